//! The Ethernet segments that other nodes are on, as an E-VPN instance has heard of them (RFC 7432 §8, §14.1).
//!
//! Who is on a segment says so once for all instances; who takes frames of this instance for it says so with a VNI or
//! label. A node counts when it says both. When it no longer says that it is on the segment, it is out for all MAC
//! addresses at once, however many there are (RFC 7432 §8.2).

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use bagpipe_bgp::types::EthernetSegmentId;

use super::route::{Frames, OnSegment, RouteKey};
use crate::fib::Target;

/// All segments.
#[derive(Debug, Default)]
pub(crate) struct Segments(BTreeMap<EthernetSegmentId, Segment>);

#[derive(Debug, Default)]
struct Segment {
    on: BTreeMap<RouteKey, OnSegment>,
    takes: BTreeMap<RouteKey, (IpAddr, Target)>,
}

/// How frames reach a MAC address on a segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Way {
    /// Through any of the nodes that are on the segment.
    All,
    /// Through one of them.
    One(Target),
}

impl Segments {
    /// A node is on a segment, or says so no longer.
    pub(crate) fn set_on(&mut self, esi: EthernetSegmentId, key: RouteKey, on: Option<OnSegment>) {
        let segment = self.0.entry(esi).or_default();
        match on {
            Some(on) => drop(segment.on.insert(key, on)),
            None => drop(segment.on.remove(&key)),
        }
        self.drop_if_empty(esi);
    }

    /// A node takes frames for a segment, or says so no longer.
    pub(crate) fn set_takes(&mut self, esi: EthernetSegmentId, key: RouteKey, route: Option<&Frames>) {
        let segment = self.0.entry(esi).or_default();
        match route {
            Some(route) => drop(segment.takes.insert(key, (route.endpoint, route.target))),
            None => drop(segment.takes.remove(&key)),
        }
        self.drop_if_empty(esi);
    }

    fn drop_if_empty(&mut self, esi: EthernetSegmentId) {
        if self.0.get(&esi).is_some_and(|segment| segment.on.is_empty() && segment.takes.is_empty()) {
            self.0.remove(&esi);
        }
    }

    /// The nodes between which flows choose, in their order; none if only one at a time forwards.
    pub(crate) fn all(&self, esi: EthernetSegmentId) -> Vec<Target> {
        let segment = self.0.get(&esi).filter(|segment| !segment.is_single_active());
        let targets: BTreeSet<Target> = segment.into_iter().flat_map(Segment::targets).collect();
        targets.into_iter().collect()
    }

    /// How frames reach a MAC address that a route says is on a segment; `None` if nobody is there.
    pub(crate) fn way(&self, route: &Frames) -> Option<Way> {
        let own = Way::One(route.target);
        if route.esi == EthernetSegmentId::ZERO {
            return Some(own);
        }
        let segment = self.0.get(&route.esi)?;
        let announcer = segment.has(route.endpoint).then_some(own);
        if segment.is_single_active() {
            // RFC 7432 §14.1.1: who announces it, and one of the others when that one has gone.
            return announcer.or_else(|| segment.targets().min().map(Way::One));
        }
        segment.targets().next().map(|_| Way::All).or(announcer)
    }
}

impl Segment {
    /// RFC 7432 §14.1.1: one that says so is enough.
    fn is_single_active(&self) -> bool {
        self.on.values().any(|on| on.single_active)
    }

    fn has(&self, endpoint: IpAddr) -> bool {
        self.on.values().any(|on| on.endpoint == endpoint)
    }

    /// RFC 7432 §8.4: what says that a node takes frames is not used before it says that it is on the segment.
    fn targets(&self) -> impl Iterator<Item = Target> {
        self.takes.values().filter(|(endpoint, _)| self.has(*endpoint)).map(|(_, target)| *target)
    }
}

#[cfg(test)]
mod tests {
    use bagpipe_bgp::types::{RouteDistinguisher, Vni};

    use super::*;

    const ESI: EthernetSegmentId = EthernetSegmentId([1; 10]);

    fn endpoint(number: u8) -> IpAddr {
        [10, 0, 0, number].into()
    }

    fn target(number: u8) -> Target {
        Target::Vxlan { endpoint: endpoint(number), vni: Vni::new(u32::from(number)).unwrap() }
    }

    fn frames(number: u8) -> Frames {
        Frames { target: target(number), endpoint: endpoint(number), esi: ESI, sticky: false, sequence: 0 }
    }

    fn rd(number: u8) -> RouteDistinguisher {
        RouteDistinguisher([number; 8])
    }

    impl Segments {
        fn on(&mut self, number: u8, single_active: Option<bool>) {
            let on =
                single_active.map(|single_active| OnSegment { endpoint: endpoint(number), single_active });
            self.set_on(ESI, RouteKey::OnSegment(rd(number), ESI), on);
        }

        fn takes(&mut self, number: u8, takes: bool) {
            let route = takes.then(|| frames(number));
            self.set_takes(ESI, RouteKey::ForSegment(rd(number), ESI), route.as_ref());
        }
    }

    #[test]
    fn a_node_counts_that_is_on_the_segment_and_takes_frames() {
        let mut segments = Segments::default();
        assert_eq!(segments.way(&frames(1)), None);
        assert_eq!(
            segments.way(&Frames { esi: EthernetSegmentId::ZERO, ..frames(1) }),
            Some(Way::One(target(1)))
        );
        segments.takes(1, true);
        segments.takes(2, true);
        assert_eq!((segments.way(&frames(1)), segments.all(ESI)), (None, vec![]));
        segments.on(2, Some(false));
        assert_eq!((segments.way(&frames(1)), segments.all(ESI)), (Some(Way::All), vec![target(2)]));
        segments.on(1, Some(false));
        assert_eq!(segments.all(ESI), [target(1), target(2)]);
        segments.takes(1, false);
        segments.takes(2, false);
        assert_eq!((segments.way(&frames(1)), segments.all(ESI)), (Some(Way::One(target(1))), vec![]));
        assert_eq!(segments.way(&frames(3)), None);
        segments.on(1, None);
        segments.on(2, None);
        assert!(segments.0.is_empty());
    }

    #[test]
    fn one_forwards_at_a_time_if_one_says_so() {
        let mut segments = Segments::default();
        for number in [1, 2, 3] {
            segments.takes(number, true);
            segments.on(number, Some(number == 2));
        }
        assert_eq!((segments.way(&frames(3)), segments.all(ESI)), (Some(Way::One(target(3))), vec![]));
        segments.on(3, None);
        assert_eq!(segments.way(&frames(3)), Some(Way::One(target(1))));
        segments.on(2, None);
        assert_eq!((segments.way(&frames(3)), segments.all(ESI)), (Some(Way::All), vec![target(1)]));
    }
}
