//! MAC addresses that move too often: two hosts have the same (RFC 7432 §15.1).
//!
//! Each node that takes such an address raises its sequence number, and so on without end. A MAC address that has moved
//! so many times within so long is *frozen*: it stays where it is as long as anybody says that it is there, and this
//! node does not raise its sequence number any more. That ends after a time, or when an operator says so.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::net::IpAddr;
use std::time::{Duration, Instant};

use bagpipe_bgp::types::{EthernetSegmentId, MacAddr};

use super::effects::Effects;
use super::instance::Instance;
use super::route::Frames;
use crate::fib::Target;

/// When a MAC address moves too often.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DuplicateDetection {
    /// So many moves are too many; none at all are ever too many if this is zero.
    pub moves: u32,
    /// Within so long.
    pub window: Duration,
    /// After so long it may move again; not before an operator says so, if there is none.
    pub recovery: Option<Duration>,
}

impl Default for DuplicateDetection {
    /// RFC 7432 §15.1: N = 5, M = 180 s, and "until a corrective action is taken".
    fn default() -> Self {
        Self { moves: 5, window: Duration::from_secs(180), recovery: None }
    }
}

/// A MAC address was frozen, or is no longer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Duplicate {
    /// Name of the instance.
    pub vpn: String,
    /// The address.
    pub mac: MacAddr,
    /// It is frozen from now on.
    pub frozen: bool,
}

/// Where a MAC address is. Nodes on one segment are one place (RFC 7432 §15).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Place {
    /// At a port of this node.
    Here,
    /// Behind a remote endpoint.
    Endpoint(IpAddr),
    /// On a segment.
    Segment(EthernetSegmentId),
}

impl Place {
    /// The place that a route names.
    pub(crate) const fn of(route: &Frames) -> Self {
        match route.esi {
            EthernetSegmentId::ZERO => Self::Endpoint(route.endpoint),
            esi => Self::Segment(esi),
        }
    }

    /// The place that frames go to.
    pub(crate) const fn of_target(target: Target) -> Option<Self> {
        match target {
            Target::Port(_) => Some(Self::Here),
            Target::Vxlan { endpoint, .. } | Target::Mpls { endpoint, .. } => Some(Self::Endpoint(endpoint)),
            Target::Segment(segment) => Some(Self::Segment(segment.esi)),
            Target::Router(_) => None,
        }
    }
}

/// What an instance remembers of its MAC addresses that have moved.
#[derive(Debug)]
pub(crate) struct Duplicates {
    limits: DuplicateDetection,
    moved: BTreeMap<MacAddr, Moved>,
    frozen: BTreeMap<MacAddr, Frozen>,
    /// When to forget what moved long ago.
    forget: Option<Instant>,
}

#[derive(Debug)]
struct Moved {
    place: Place,
    sequence: u32,
    times: VecDeque<Instant>,
}

#[derive(Debug)]
struct Frozen {
    since: Instant,
    place: Place,
}

impl Duplicates {
    pub(crate) const fn new(limits: DuplicateDetection) -> Self {
        Self { limits, moved: BTreeMap::new(), frozen: BTreeMap::new(), forget: None }
    }

    /// Takes note of where a MAC address is, and where it was if that is known. A greater sequence number at another
    /// place is a move. Tells whether it is frozen now and was not before.
    pub(crate) fn note(
        &mut self,
        mac: MacAddr,
        before: Option<Place>,
        (place, sequence): (Place, u32),
        now: Instant,
    ) -> bool {
        if self.limits.moves == 0 || self.frozen.contains_key(&mac) {
            return false;
        }
        self.forget(now);
        let known = self.moved.get(&mac);
        let (before, last) = known.map_or((before, 0), |moved| (Some(moved.place), moved.sequence));
        let moves = sequence > last && before.is_some_and(|before| before != place);
        if !moves && known.is_none() {
            return false;
        }
        let moved =
            self.moved.entry(mac).or_insert_with(|| Moved { place, sequence, times: VecDeque::new() });
        (moved.place, moved.sequence) = (place, sequence);
        if !moves {
            return false;
        }
        moved.times.push_back(now);
        self.forget.get_or_insert(now + self.limits.window);
        let window = self.limits.window;
        moved.times.retain(|time| now.duration_since(*time) < window);
        let too_many = moved.times.len() >= self.limits.moves as usize;
        if too_many {
            self.moved.remove(&mac);
            self.frozen.insert(mac, Frozen { since: now, place });
        }
        too_many
    }

    fn forget(&mut self, now: Instant) {
        if self.forget.is_some_and(|time| time <= now) {
            let window = self.limits.window;
            let recent = |time: &Instant| now.duration_since(*time) < window;
            self.moved.retain(|_, moved| moved.times.back().is_some_and(recent));
            self.forget = (!self.moved.is_empty()).then_some(now + window);
        }
    }

    /// Lets a MAC address move again; whether it could not.
    pub(crate) fn release(&mut self, mac: &MacAddr) -> bool {
        self.moved.remove(mac);
        self.frozen.remove(mac).is_some()
    }

    /// Lets a MAC address move again if its time has come; whether it could not.
    pub(crate) fn recover(&mut self, mac: &MacAddr, now: Instant) -> bool {
        let due = |frozen: &Frozen| self.limits.recovery.is_some_and(|time| frozen.since + time <= now);
        self.frozen.get(mac).is_some_and(due) && self.release(mac)
    }

    /// Where a MAC address is frozen, if it is.
    pub(crate) fn frozen(&self, mac: &MacAddr) -> Option<Place> {
        self.frozen.get(mac).map(|frozen| frozen.place)
    }

    /// The MAC addresses that are frozen.
    pub(crate) fn all_frozen(&self) -> impl Iterator<Item = MacAddr> + '_ {
        self.frozen.keys().copied()
    }
}

impl Instance {
    /// Takes note of those of these MAC addresses that have moved: who has the best claim is where they are.
    pub(super) fn watch(&mut self, macs: &BTreeSet<MacAddr>, now: Instant, effects: &mut Effects) {
        if self.router.is_some() {
            return;
        }
        for mac in macs {
            let own = self.local.macs.get(mac);
            let own = own.map(|entry| (Place::Here, self.originator.claim(entry.sequence)));
            let remote = self.remote.best(mac).map(|frames| (Place::of(&frames), frames.claim()));
            let best = own.into_iter().chain(remote).max_by_key(|(_, claim)| *claim);
            let Some((place, claim)) = best else { continue };
            let before = self.installed.macs.get(mac).and_then(|entry| Place::of_target(entry.target));
            if self.duplicates.note(*mac, before, (place, claim.sequence), now) {
                effects.duplicates.push(Duplicate { vpn: self.name.clone(), mac: *mac, frozen: true });
            }
        }
    }

    /// Lets a frozen MAC address move again; whether it was frozen.
    pub(super) fn release(&mut self, mac: MacAddr, effects: &mut Effects) -> bool {
        let released = self.duplicates.release(&mac);
        self.released(released, mac, effects);
        released
    }

    /// The same if its time has come.
    pub(super) fn recover(&mut self, mac: MacAddr, now: Instant, effects: &mut Effects) {
        let recovered = self.duplicates.recover(&mac, now);
        self.released(recovered, mac, effects);
    }

    fn released(&mut self, released: bool, mac: MacAddr, effects: &mut Effects) {
        if released {
            self.touched.macs.insert(mac);
            effects.duplicates.push(Duplicate { vpn: self.name.clone(), mac, frozen: false });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MAC: MacAddr = MacAddr([2, 0, 0, 0, 0, 1]);

    fn endpoint(number: u8) -> Place {
        Place::Endpoint([10, 0, 0, number].into())
    }

    fn limits() -> DuplicateDetection {
        DuplicateDetection {
            moves: 3,
            window: Duration::from_secs(60),
            recovery: Some(Duration::from_secs(100)),
        }
    }

    #[test]
    fn too_many_moves_in_a_while_freeze_an_address() {
        let (mut duplicates, start) = (Duplicates::new(limits()), Instant::now());
        let at = |seconds| start + Duration::from_secs(seconds);
        // What is new here, or said again, has not moved.
        assert!(!duplicates.note(MAC, None, (endpoint(1), 7), start));
        for _ in 0..9 {
            assert!(!duplicates.note(MAC, Some(endpoint(1)), (endpoint(1), 8), start));
        }
        for (number, seconds) in [(1, 0), (2, 10), (3, 65)] {
            let place = endpoint(10 + number);
            assert!(!duplicates.note(MAC, Some(endpoint(1)), (place, u32::from(number)), at(seconds)));
        }
        assert!(duplicates.note(MAC, None, (Place::Here, 4), at(69)));
        assert_eq!(duplicates.frozen(&MAC), Some(Place::Here));
        assert!(!duplicates.note(MAC, None, (endpoint(1), 5), at(70)));

        assert!(!duplicates.recover(&MAC, at(168)));
        assert!(duplicates.recover(&MAC, at(169)));
        assert_eq!((duplicates.frozen(&MAC), duplicates.release(&MAC)), (None, false));
        assert!(!duplicates.note(MAC, Some(Place::Here), (endpoint(1), 6), at(170)));
        assert!(!duplicates.note(MAC, Some(endpoint(1)), (endpoint(2), 7), at(400)));
        assert_eq!(duplicates.moved.len(), 1);
        assert!(!duplicates.note(MacAddr([2; 6]), Some(endpoint(1)), (endpoint(2), 1), at(800)));
        assert_eq!(duplicates.moved.len(), 1, "what moved long ago is forgotten");
    }

    #[test]
    fn nothing_freezes_when_no_move_is_too_many() {
        let mut duplicates = Duplicates::new(DuplicateDetection { moves: 0, ..limits() });
        let now = Instant::now();
        assert!((1..99).all(|number| {
            let place = if number % 2 == 0 { Place::Here } else { endpoint(1) };
            !duplicates.note(MAC, Some(endpoint(2)), (place, number), now)
        }));
    }
}
