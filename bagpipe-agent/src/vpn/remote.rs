//! The routes of other nodes that an E-VPN instance has imported.

use std::cmp::Reverse;
use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use bagpipe_bgp::types::{EthernetSegmentId, MacAddr};

use super::duplicates::Place;
use super::mobility::Claim;
use super::route::{Frames, OnSegment, RouteKey};
use super::segments::{Segments, Way};
use crate::fib::{Segment, Target, VpnId};

impl Frames {
    pub(crate) const fn claim(&self) -> Claim {
        Claim { sticky: self.sticky, sequence: self.sequence, endpoint: Reverse(self.endpoint) }
    }
}

/// The routes that an instance has imported, ordered by who is preferred. Other nodes choose the keys: in trees they
/// cannot choose them so that all fall together, and neighbours, which often come and go one after another, are close.
#[derive(Debug, Default)]
pub(crate) struct Remote {
    routes: BTreeMap<RouteKey, Frames>,
    pub(crate) segments: Segments,
    on_segments: BTreeMap<RouteKey, OnSegment>,
    /// The MAC addresses on each segment, and how many routes say so.
    by_segment: BTreeMap<EthernetSegmentId, BTreeMap<MacAddr, usize>>,
    by_mac: BTreeMap<MacAddr, Candidates>,
    by_ip: BTreeMap<IpAddr, Candidates>,
    /// How many routes want a copy of flooded frames, and how many come from an endpoint.
    flooded: BTreeMap<Target, usize>,
    endpoints: BTreeMap<IpAddr, usize>,
}

/// A type 2 route in the order of preference, the best last. Equal claims of one endpoint are ordered too, so
/// that the choice never depends on the order in which routes came.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Candidate {
    pub(crate) claim: Claim,
    target: Reverse<Target>,
    mac: Reverse<MacAddr>,
    esi: EthernetSegmentId,
    key: RouteKey,
}

impl Candidate {
    const fn new(key: RouteKey, mac: MacAddr, route: &Frames) -> Self {
        let Frames { target, esi, .. } = *route;
        Self { claim: route.claim(), target: Reverse(target), mac: Reverse(mac), esi, key }
    }

    const fn frames(&self) -> Frames {
        let Claim { sticky, sequence, endpoint: Reverse(endpoint) } = self.claim;
        Frames { target: self.target.0, endpoint, esi: self.esi, sticky, sequence }
    }

    pub(crate) const fn mac(&self) -> MacAddr {
        self.mac.0
    }

    const fn ip(&self) -> Option<IpAddr> {
        match self.key {
            RouteKey::MacIp(_, _, ip) => ip,
            _ => None,
        }
    }
}

/// Routes for one address in the order of preference. Most addresses have one route: no tree for it.
#[derive(Debug)]
enum Candidates {
    One(Candidate),
    Several(BTreeSet<Candidate>),
}

impl Candidates {
    fn insert(&mut self, candidate: Candidate) {
        match self {
            Self::One(one) if *one == candidate => {}
            Self::One(one) => *self = Self::Several(BTreeSet::from([*one, candidate])),
            Self::Several(several) => drop(several.insert(candidate)),
        }
    }

    /// Leaves at least one.
    fn remove(&mut self, candidate: &Candidate) {
        let Self::Several(several) = self else { return };
        several.remove(candidate);
        if several.len() == 1
            && let Some(one) = several.pop_first()
        {
            *self = Self::One(one);
        }
    }

    /// The preferred one first.
    fn iter(&self) -> impl Iterator<Item = &Candidate> {
        let (one, several) = match self {
            Self::One(one) => (Some(one), None),
            Self::Several(several) => (None, Some(several)),
        };
        one.into_iter().chain(several.into_iter().flat_map(|several| several.iter().rev()))
    }
}

impl Remote {
    /// Adds, replaces or removes a route; gives back the one that was there.
    pub(crate) fn set(&mut self, key: RouteKey, route: Option<Frames>) -> Option<Frames> {
        let before = match route {
            Some(route) => self.routes.insert(key, route),
            None => self.routes.remove(&key),
        };
        if before != route {
            if let Some(before) = &before {
                self.unindex(key, before);
            }
            if let Some(route) = &route {
                self.index(key, route);
            }
        }
        before
    }

    /// A node is on a segment, or says so no longer; gives back what it said.
    pub(crate) fn set_on_segment(
        &mut self,
        key: RouteKey,
        esi: EthernetSegmentId,
        on: Option<OnSegment>,
    ) -> Option<OnSegment> {
        let before = match on {
            Some(on) => self.on_segments.insert(key, on),
            None => self.on_segments.remove(&key),
        };
        if let Some(before) = before {
            decrement(&mut self.endpoints, &before.endpoint);
        }
        if let Some(on) = on {
            *self.endpoints.entry(on.endpoint).or_default() += 1;
        }
        self.segments.set_on(esi, key, on);
        before
    }

    fn index(&mut self, key: RouteKey, route: &Frames) {
        *self.endpoints.entry(route.endpoint).or_default() += 1;
        match key {
            RouteKey::MacIp(_, mac, ip) => {
                let candidate = Candidate::new(key, mac, route);
                insert(&mut self.by_mac, mac, candidate);
                if route.esi != EthernetSegmentId::ZERO {
                    *self.by_segment.entry(route.esi).or_default().entry(mac).or_default() += 1;
                }
                if let Some(ip) = ip {
                    insert(&mut self.by_ip, ip, candidate);
                }
            }
            RouteKey::Multicast(..) => *self.flooded.entry(route.target).or_default() += 1,
            RouteKey::ForSegment(_, esi) => self.segments.set_takes(esi, key, Some(route)),
            RouteKey::OnSegment(..) | RouteKey::EvpnPrefix(..) | RouteKey::Prefix(..) => {}
        }
    }

    fn unindex(&mut self, key: RouteKey, route: &Frames) {
        decrement(&mut self.endpoints, &route.endpoint);
        match key {
            RouteKey::MacIp(_, mac, ip) => {
                let candidate = Candidate::new(key, mac, route);
                remove(&mut self.by_mac, &mac, &candidate);
                if let Some(macs) = self.by_segment.get_mut(&route.esi) {
                    decrement(macs, &mac);
                    if macs.is_empty() {
                        self.by_segment.remove(&route.esi);
                    }
                }
                if let Some(ip) = ip {
                    remove(&mut self.by_ip, &ip, &candidate);
                }
            }
            RouteKey::Multicast(..) => decrement(&mut self.flooded, &route.target),
            RouteKey::ForSegment(_, esi) => self.segments.set_takes(esi, key, None),
            RouteKey::OnSegment(..) | RouteKey::EvpnPrefix(..) | RouteKey::Prefix(..) => {}
        }
    }

    pub(crate) fn keys(&self) -> impl Iterator<Item = RouteKey> + '_ {
        self.routes.keys().chain(self.on_segments.keys()).copied()
    }

    pub(crate) fn len(&self) -> usize {
        self.routes.len() + self.on_segments.len()
    }

    /// Where frames for a MAC address go in an instance: where the preferred route says that leads anywhere, and before
    /// all others one for the place where it is frozen.
    pub(crate) fn target(&self, vpn: VpnId, mac: &MacAddr, frozen: Option<Place>) -> Option<Target> {
        let (frames, way) = self.way(mac, frozen)?;
        Some(match way {
            Way::All => Target::Segment(Segment { vpn, esi: frames.esi }),
            Way::One(target) => target,
        })
    }

    /// The same, for who can have one endpoint only.
    pub(crate) fn one_target(&self, mac: &MacAddr, frozen: Option<Place>) -> Option<Target> {
        let (frames, way) = self.way(mac, frozen)?;
        match way {
            Way::All => self.segments.all(frames.esi).first().copied(),
            Way::One(target) => Some(target),
        }
    }

    /// The preferred route for a MAC address that leads anywhere.
    pub(crate) fn best(&self, mac: &MacAddr) -> Option<Frames> {
        self.way(mac, None).map(|(frames, _)| frames)
    }

    fn way(&self, mac: &MacAddr, frozen: Option<Place>) -> Option<(Frames, Way)> {
        let ways = || {
            let candidates =
                self.by_mac.get(mac).into_iter().flat_map(Candidates::iter).map(Candidate::frames);
            candidates.filter_map(|frames| Some((frames, self.segments.way(&frames)?)))
        };
        let stays = |(frames, _): &(Frames, Way)| frozen == Some(Place::of(frames));
        frozen.and_then(|_| ways().find(stays)).or_else(|| ways().next())
    }

    /// The MAC addresses on a segment.
    pub(crate) fn macs_on(&self, esi: EthernetSegmentId) -> impl Iterator<Item = MacAddr> + '_ {
        self.by_segment.get(&esi).into_iter().flat_map(|macs| macs.keys().copied())
    }

    /// The greatest sequence number that any route for the MAC address has.
    pub(crate) fn last_claim(&self, mac: &MacAddr) -> Option<Claim> {
        // Of equal ones the preferred, which comes first.
        let claims = self.by_mac.get(mac)?.iter().map(|candidate| candidate.claim);
        claims.reduce(|last, claim| if claim.sequence > last.sequence { claim } else { last })
    }

    /// The IP addresses that routes for a MAC address carry.
    pub(crate) fn ips_of(&self, mac: &MacAddr) -> BTreeSet<IpAddr> {
        self.by_mac.get(mac).into_iter().flat_map(Candidates::iter).filter_map(Candidate::ip).collect()
    }

    /// All IP addresses that routes carry.
    pub(crate) fn ips(&self) -> impl Iterator<Item = IpAddr> + '_ {
        self.by_ip.keys().copied()
    }

    /// The routes for an IP address, the preferred one first.
    pub(crate) fn of_ip(&self, ip: &IpAddr) -> impl Iterator<Item = &Candidate> {
        self.by_ip.get(ip).into_iter().flat_map(Candidates::iter)
    }

    pub(crate) fn has_endpoint(&self, endpoint: &IpAddr) -> bool {
        self.endpoints.contains_key(endpoint)
    }

    pub(crate) fn floods_to(&self, target: &Target) -> bool {
        self.flooded.contains_key(target)
    }
}

pub(crate) fn decrement<K: Ord>(counts: &mut BTreeMap<K, usize>, key: &K) {
    if let Some(count) = counts.get_mut(key) {
        *count -= 1;
        if *count == 0 {
            counts.remove(key);
        }
    }
}

fn insert<K: Ord>(index: &mut BTreeMap<K, Candidates>, key: K, candidate: Candidate) {
    match index.entry(key) {
        Entry::Vacant(place) => drop(place.insert(Candidates::One(candidate))),
        Entry::Occupied(mut place) => place.get_mut().insert(candidate),
    }
}

fn remove<K: Ord>(index: &mut BTreeMap<K, Candidates>, key: &K, candidate: &Candidate) {
    match index.get_mut(key) {
        Some(Candidates::One(one)) if one == candidate => drop(index.remove(key)),
        Some(candidates) => candidates.remove(candidate),
        None => {}
    }
}
