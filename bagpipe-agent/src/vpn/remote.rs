//! The routes of other nodes that an E-VPN instance has imported.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use bagpipe_bgp::types::{EthernetSegmentId, MacAddr};

use super::candidates::{Candidate, Candidates, set};
use super::counts::Counts;
use super::duplicates::Place;
use super::mobility::Claim;
use super::route::{Frames, OnSegment, RouteKey};
use super::segments::{Segments, Way};
use crate::fib::{Segment, Target, VpnId};

/// The routes that an instance has imported, ordered by who is preferred. Other nodes choose the keys: in trees they
/// cannot choose them so that all fall together, and neighbours, which often come and go one after another, are close.
#[derive(Debug, Default)]
pub(crate) struct Remote {
    /// Routes that are not for MAC addresses.
    routes: BTreeMap<RouteKey, Frames>,
    pub(crate) segments: Segments,
    on_segments: BTreeMap<RouteKey, OnSegment>,
    /// The MAC addresses on each segment, and how many routes say so.
    by_segment: Counts<(EthernetSegmentId, MacAddr)>,
    by_mac: BTreeMap<MacAddr, Candidates>,
    /// How many routes those are.
    of_macs: usize,
    by_ip: BTreeMap<IpAddr, Candidates>,
    /// How many routes want a copy of flooded frames, and how many come from an endpoint.
    flooded: Counts<Target>,
    endpoints: Counts<IpAddr>,
}

impl Remote {
    /// Adds, replaces or removes a route; gives back the one that was there.
    pub(crate) fn set(&mut self, key: RouteKey, route: Option<Frames>) -> Option<Frames> {
        let before = match (key, route) {
            (RouteKey::MacIp(_, mac, _), _) => {
                let candidate = route.map(|route| Candidate::new(key, mac, &route));
                let before = set(&mut self.by_mac, mac, key, candidate);
                self.of_macs = self.of_macs + usize::from(route.is_some()) - usize::from(before.is_some());
                before.map(|before| before.frames())
            }
            (_, Some(route)) => self.routes.insert(key, route),
            (_, None) => self.routes.remove(&key),
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
            self.endpoints.remove(&before.endpoint);
        }
        if let Some(on) = on {
            self.endpoints.add(on.endpoint);
        }
        self.segments.set_on(esi, key, on);
        before
    }

    fn index(&mut self, key: RouteKey, route: &Frames) {
        self.endpoints.add(route.endpoint);
        match key {
            RouteKey::MacIp(_, mac, ip) => {
                if route.esi != EthernetSegmentId::ZERO {
                    self.by_segment.add((route.esi, mac));
                }
                if let Some(ip) = ip {
                    set(&mut self.by_ip, ip, key, Some(Candidate::new(key, mac, route)));
                }
            }
            RouteKey::Multicast(..) => self.flooded.add(route.target),
            RouteKey::ForSegment(_, esi) => self.segments.set_takes(esi, key, Some(route)),
            RouteKey::OnSegment(..) | RouteKey::EvpnPrefix(..) | RouteKey::Prefix(..) => {}
        }
    }

    fn unindex(&mut self, key: RouteKey, route: &Frames) {
        self.endpoints.remove(&route.endpoint);
        match key {
            RouteKey::MacIp(_, mac, ip) => {
                self.by_segment.remove(&(route.esi, mac));
                if let Some(ip) = ip {
                    set(&mut self.by_ip, ip, key, None);
                }
            }
            RouteKey::Multicast(..) => self.flooded.remove(&route.target),
            RouteKey::ForSegment(_, esi) => self.segments.set_takes(esi, key, None),
            RouteKey::OnSegment(..) | RouteKey::EvpnPrefix(..) | RouteKey::Prefix(..) => {}
        }
    }

    pub(crate) fn keys(&self) -> impl Iterator<Item = RouteKey> + '_ {
        let of_macs = self.by_mac.values().flat_map(Candidates::iter).map(|candidate| candidate.key);
        of_macs.chain(self.routes.keys().chain(self.on_segments.keys()).copied())
    }

    pub(crate) fn len(&self) -> usize {
        self.of_macs + self.routes.len() + self.on_segments.len()
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
        let from = self.by_segment.from((esi, MacAddr([0; 6])));
        from.map_while(move |(segment, mac)| (*segment == esi).then_some(*mac))
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
        self.endpoints.contains(endpoint)
    }

    pub(crate) fn floods_to(&self, target: &Target) -> bool {
        self.flooded.contains(target)
    }
}
