//! The type 2 routes for a MAC or an IP address, in the order of preference.

use std::cmp::Reverse;
use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use bagpipe_bgp::types::{EthernetSegmentId, MacAddr};

use super::mobility::Claim;
use super::route::{Frames, RouteKey};
use crate::fib::Target;

impl Frames {
    pub(crate) const fn claim(&self) -> Claim {
        Claim { sticky: self.sticky, sequence: self.sequence, endpoint: Reverse(self.endpoint) }
    }
}

/// A type 2 route in the order of preference, the best last. Equal claims of one endpoint are ordered too, so
/// that the choice never depends on the order in which routes came.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Candidate {
    pub(crate) claim: Claim,
    target: Reverse<Target>,
    mac: Reverse<MacAddr>,
    esi: EthernetSegmentId,
    pub(crate) key: RouteKey,
}

impl Candidate {
    pub(crate) const fn new(key: RouteKey, mac: MacAddr, route: &Frames) -> Self {
        let Frames { target, esi, .. } = *route;
        Self { claim: route.claim(), target: Reverse(target), mac: Reverse(mac), esi, key }
    }

    pub(crate) const fn frames(&self) -> Frames {
        let Claim { sticky, sequence, endpoint: Reverse(endpoint) } = self.claim;
        Frames { target: self.target.0, endpoint, esi: self.esi, sticky, sequence }
    }

    pub(crate) const fn mac(&self) -> MacAddr {
        self.mac.0
    }

    pub(crate) const fn ip(&self) -> Option<IpAddr> {
        match self.key {
            RouteKey::MacIp(_, _, ip) => ip,
            _ => None,
        }
    }
}

/// Routes for one address. Most addresses have one route: no tree for it.
#[derive(Debug)]
pub(crate) enum Candidates {
    One(Candidate),
    Several(Box<Several>),
}

#[derive(Debug, Default)]
pub(crate) struct Several {
    /// In the order of preference.
    ordered: BTreeSet<Candidate>,
    by_key: BTreeMap<RouteKey, Candidate>,
}

impl Several {
    fn set(&mut self, key: RouteKey, candidate: Option<Candidate>) -> Option<Candidate> {
        let before = match candidate {
            Some(candidate) => self.by_key.insert(key, candidate),
            None => self.by_key.remove(&key),
        };
        if let Some(before) = &before {
            self.ordered.remove(before);
        }
        self.ordered.extend(candidate);
        before
    }
}

impl Candidates {
    /// The preferred one first.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &Candidate> {
        let (one, several) = match self {
            Self::One(one) => (Some(one), None),
            Self::Several(several) => (None, Some(&several.ordered)),
        };
        one.into_iter().chain(several.into_iter().flat_map(|several| several.iter().rev()))
    }
}

/// Adds, replaces or removes a route for an address; gives back the one that was there.
pub(crate) fn set<K: Ord>(
    index: &mut BTreeMap<K, Candidates>,
    address: K,
    key: RouteKey,
    candidate: Option<Candidate>,
) -> Option<Candidate> {
    let mut place = match index.entry(address) {
        Entry::Vacant(place) => {
            if let Some(candidate) = candidate {
                place.insert(Candidates::One(candidate));
            }
            return None;
        }
        Entry::Occupied(place) => place,
    };
    match (place.get_mut(), candidate) {
        (Candidates::One(one), Some(candidate)) if one.key == key => Some(std::mem::replace(one, candidate)),
        (Candidates::One(one), None) if one.key == key => {
            let one = *one;
            place.remove();
            Some(one)
        }
        (Candidates::One(_), None) => None,
        (Candidates::One(one), Some(candidate)) => {
            let mut several = Box::<Several>::default();
            several.set(one.key, Some(*one));
            several.set(key, Some(candidate));
            place.insert(Candidates::Several(several));
            None
        }
        (Candidates::Several(several), candidate) => {
            let before = several.set(key, candidate);
            if let (1, Some(last)) = (several.ordered.len(), several.ordered.first()) {
                let last = *last;
                place.insert(Candidates::One(last));
            }
            before
        }
    }
}

#[cfg(test)]
mod tests {
    use bagpipe_bgp::types::{RouteDistinguisher, Vni};
    use proptest::prelude::*;

    use super::*;

    fn candidate(node: u8, mac: u8, sequence: u32) -> Candidate {
        let mac = MacAddr([2, 0, 0, 0, 0, mac]);
        let key = RouteKey::MacIp(RouteDistinguisher::from_ipv4([10, 0, 0, node].into(), 1), mac, None);
        let endpoint = IpAddr::from([10, 0, 0, node]);
        let target = Target::Vxlan { endpoint, vni: Vni::from_octets([0, 0, 7]) };
        let frames = Frames { target, endpoint, esi: EthernetSegmentId::ZERO, sticky: false, sequence };
        Candidate::new(key, mac, &frames)
    }

    proptest! {
        /// Each address has the last of each key, best first, and none that has no route is left.
        #[test]
        fn the_last_of_each_key_is_kept(
            steps in prop::collection::vec((0u8..3, 0u8..4, prop::option::of(0u32..5)), 0..60),
        ) {
            let (mut index, mut model) = (BTreeMap::new(), BTreeMap::new());
            for (mac, node, sequence) in steps {
                let key = candidate(node, mac, 0).key;
                let candidate = sequence.map(|sequence| candidate(node, mac, sequence));
                let before = set(&mut index, mac, key, candidate);
                let expected = match candidate {
                    Some(candidate) => model.insert((mac, key), candidate),
                    None => model.remove(&(mac, key)),
                };
                prop_assert_eq!(before, expected);
                let macs: BTreeSet<u8> = model.keys().map(|(mac, _)| *mac).collect();
                prop_assert!(index.keys().eq(&macs));
                for (mac, candidates) in &index {
                    let of_mac = model.iter().filter(|((of, _), _)| of == mac);
                    let ordered: BTreeSet<Candidate> = of_mac.map(|(_, candidate)| *candidate).collect();
                    prop_assert!(candidates.iter().eq(ordered.iter().rev()));
                }
            }
        }
    }
}
