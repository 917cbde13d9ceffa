//! The routes of other nodes that an E-VPN instance has imported.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use bagpipe_bgp::types::MacAddr;

use super::mobility::Claim;
use super::route::{Frames, RouteKey};
use crate::fib::Target;

impl Frames {
    pub(crate) const fn claim(&self) -> Claim {
        Claim { sticky: self.sticky, sequence: self.sequence, endpoint: Reverse(self.endpoint) }
    }
}

/// The routes that an instance has imported, ordered by who is preferred. Other nodes choose the keys: in trees
/// they cannot choose them so that all fall together, as in a hash table that is not seeded.
#[derive(Debug, Default)]
pub(crate) struct Remote {
    routes: BTreeMap<RouteKey, Frames>,
    by_mac: BTreeMap<MacAddr, BTreeSet<Candidate>>,
    by_ip: BTreeMap<IpAddr, BTreeSet<Candidate>>,
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
    key: RouteKey,
}

impl Candidate {
    const fn new(key: RouteKey, mac: MacAddr, route: &Frames) -> Self {
        Self { claim: route.claim(), target: Reverse(route.target), mac: Reverse(mac), key }
    }

    pub(crate) const fn target(&self) -> Target {
        self.target.0
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

    fn index(&mut self, key: RouteKey, route: &Frames) {
        *self.endpoints.entry(route.endpoint).or_default() += 1;
        match key {
            RouteKey::MacIp(_, mac, ip) => {
                let candidate = Candidate::new(key, mac, route);
                self.by_mac.entry(mac).or_default().insert(candidate);
                if let Some(ip) = ip {
                    self.by_ip.entry(ip).or_default().insert(candidate);
                }
            }
            RouteKey::Multicast(..) => *self.flooded.entry(route.target).or_default() += 1,
            RouteKey::EvpnPrefix(..) | RouteKey::Prefix(..) => {}
        }
    }

    fn unindex(&mut self, key: RouteKey, route: &Frames) {
        decrement(&mut self.endpoints, &route.endpoint);
        match key {
            RouteKey::MacIp(_, mac, ip) => {
                let candidate = Candidate::new(key, mac, route);
                remove(&mut self.by_mac, &mac, &candidate);
                if let Some(ip) = ip {
                    remove(&mut self.by_ip, &ip, &candidate);
                }
            }
            RouteKey::Multicast(..) => decrement(&mut self.flooded, &route.target),
            RouteKey::EvpnPrefix(..) | RouteKey::Prefix(..) => {}
        }
    }

    pub(crate) fn keys(&self) -> impl Iterator<Item = RouteKey> + '_ {
        self.routes.keys().copied()
    }

    pub(crate) fn len(&self) -> usize {
        self.routes.len()
    }

    /// The preferred route for a MAC address.
    pub(crate) fn best(&self, mac: &MacAddr) -> Option<&Candidate> {
        self.by_mac.get(mac)?.last()
    }

    /// The greatest sequence number that any route for the MAC address has.
    pub(crate) fn last_claim(&self, mac: &MacAddr) -> Option<Claim> {
        self.by_mac.get(mac)?.iter().map(|candidate| candidate.claim).max_by_key(|claim| claim.sequence)
    }

    /// The IP addresses that routes for a MAC address carry.
    pub(crate) fn ips_of(&self, mac: &MacAddr) -> BTreeSet<IpAddr> {
        self.by_mac.get(mac).into_iter().flatten().filter_map(Candidate::ip).collect()
    }

    /// All IP addresses that routes carry.
    pub(crate) fn ips(&self) -> impl Iterator<Item = IpAddr> + '_ {
        self.by_ip.keys().copied()
    }

    /// The routes for an IP address, the preferred one first.
    pub(crate) fn of_ip(&self, ip: &IpAddr) -> impl Iterator<Item = &Candidate> {
        self.by_ip.get(ip).into_iter().flat_map(|candidates| candidates.iter().rev())
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

fn remove<K: Ord>(index: &mut BTreeMap<K, BTreeSet<Candidate>>, key: &K, candidate: &Candidate) {
    if let Some(candidates) = index.get_mut(key) {
        candidates.remove(candidate);
        if candidates.is_empty() {
            index.remove(key);
        }
    }
}
