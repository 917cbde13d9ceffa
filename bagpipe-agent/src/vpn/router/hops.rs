//! Where a prefix of an IP-VPN is.

use std::collections::BTreeSet;
use std::net::IpAddr;

use bagpipe_bgp::rib::equally_good;
use bagpipe_bgp::types::{IpPrefix, MacAddr};
use bagpipe_bgp::wire::ExtendedCommunity;
use serde::Serialize;

use super::super::request::Direction;
use super::super::route::{RemoteRoute, RouteKey, Through};
use super::relay::is_chained;
use super::{Router, Site};
use crate::fib::{Adjacency, Hop, PortId, Target, VpnId};

/// Why packets for a prefix go where they go.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Reason {
    /// The gateway itself.
    Gateway,
    /// Attached here: what is here is not sought elsewhere.
    Attached,
    /// A host of an E-VPN that is plugged in here.
    PluggedHost,
    /// The best of the imported routes (RFC 4271 §9.1.2.2).
    Imported,
    /// A host of a plugged E-VPN on another node, whose route names no IP-VPN (asymmetric IRB, RFC 9135 §4).
    RemoteHost,
    /// Nothing else leads anywhere: to the gateway of last resort.
    Fallback,
}

/// A hop, with its place among equal ones before it: zero unless its route says it
/// (draft-ietf-bess-service-chaining §7.3). So nodes have the same order, whatever kind of hop it is to each.
type Placed = (u32, Hop);

impl Router {
    /// The hops of a prefix in their order, none if it is nowhere. `port` gives the port of a MAC address.
    pub(crate) fn hops(&self, prefix: IpPrefix, port: &dyn Fn(MacAddr) -> Option<PortId>) -> Vec<Hop> {
        self.resolve(prefix, port).map(|(hops, _)| hops).unwrap_or_default()
    }

    /// The hops of a prefix, and why.
    pub(crate) fn resolve(
        &self,
        prefix: IpPrefix,
        port: &dyn Fn(MacAddr) -> Option<PortId>,
    ) -> Option<(Vec<Hop>, Reason)> {
        let (mut hops, reason) = match self.local(prefix, port) {
            Some(local) => local,
            None => self.elsewhere(prefix, port),
        };
        hops.sort_unstable();
        let mut known = BTreeSet::new();
        let hops: Vec<Hop> = hops.into_iter().map(|(_, hop)| hop).filter(|hop| known.insert(*hop)).collect();
        if hops.is_empty() {
            return self.last_resort(prefix).map(|hop| (vec![hop], Reason::Fallback));
        }
        Some((hops, reason))
    }

    /// Where packets go that have no route: it is the default route, if there is no other.
    fn last_resort(&self, prefix: IpPrefix) -> Option<Hop> {
        let (port, last_resort) = self.fallback.as_ref().filter(|_| prefix.length() == 0)?;
        Some(Hop::Adjacency(Adjacency {
            vpn: self.id,
            destination: last_resort.destination,
            source: last_resort.source,
            target: Target::Port(*port),
        }))
    }

    /// What is here is not sought elsewhere, whatever the attributes: packets that come from another node go to
    /// ports of this one only.
    fn local(
        &self,
        prefix: IpPrefix,
        port: &dyn Fn(MacAddr) -> Option<PortId>,
    ) -> Option<(Vec<Placed>, Reason)> {
        if prefix.is_host() && self.is_gateway(&prefix.address()) {
            return Some((vec![(0, Hop::Router)], Reason::Gateway));
        }
        let attached = self.by_prefix.get(&prefix).into_iter().flatten().filter_map(|attachment| {
            let attached = self.attached.get(attachment)?;
            let Site::Port(mac) = attachment.0 else { return None };
            let reachable = attached.endpoint.direction != Direction::FromPort;
            reachable.then_some((attached.endpoint.local_pref, attached.endpoint.order.unwrap_or(0), mac))
        });
        let attached: Vec<_> = attached.collect();
        if let Some(best) = attached.iter().map(|(local_pref, ..)| *local_pref).max() {
            let best = attached.into_iter().filter(|(local_pref, ..)| *local_pref == best);
            let hop = |(_, order, mac)| {
                Some((order, Hop::Adjacency(self.adjacency(self.id, mac, Target::Port(port(mac)?)))))
            };
            return Some((best.filter_map(hop).collect(), Reason::Attached));
        }
        let (evpn, host) = self.plugged(prefix, |target| matches!(target, Target::Port(_)))?;
        let adjacency = self.adjacency(evpn, host.mac, host.target);
        Some((vec![(0, Hop::Adjacency(adjacency))], Reason::PluggedHost))
    }

    fn elsewhere(&self, prefix: IpPrefix, port: &dyn Fn(MacAddr) -> Option<PortId>) -> (Vec<Placed>, Reason) {
        let best = self.best(prefix);
        let symmetric = best.iter().any(|(key, _)| matches!(key, RouteKey::MacIp(..)));
        if !symmetric && let Some((evpn, host)) = self.plugged(prefix, is_remote) {
            let adjacency = self.adjacency(evpn, host.mac, host.target);
            return (vec![(0, Hop::Adjacency(adjacency))], Reason::RemoteHost);
        }
        let placed = |route: &RemoteRoute| {
            let order = order(route);
            self.follow(route, port).into_iter().map(move |hop| (order, hop))
        };
        (best.into_iter().flat_map(|(_, route)| placed(route)).collect(), Reason::Imported)
    }

    /// The imported routes that are used: those of this node before others, then the best, and of equally good
    /// ones the more specific kind: a host's MAC address, a prefix of E-VPN, a prefix of IP-VPN.
    pub(crate) fn best(&self, prefix: IpPrefix) -> Vec<(&RouteKey, &RemoteRoute)> {
        let mut paths: Vec<(&RouteKey, &RemoteRoute)> = self.imported.of(prefix).collect();
        let is_local = |path: &(&RouteKey, &RemoteRoute)| path.1.is_local();
        // The hops of a service chain share their load, wherever they are.
        let is_chained = paths.iter().any(|(_, route)| is_chained(route));
        if paths.iter().any(is_local) && !is_chained {
            paths.retain(is_local);
        }
        let mut best = equally_good(paths, |(_, route)| &*route.attributes);
        if let Some(first) = best.iter().map(|(key, _)| kind(key)).min() {
            best.retain(|(key, _)| kind(key) == first);
        }
        best
    }

    /// All imported routes of a prefix.
    pub(crate) fn candidates(&self, prefix: IpPrefix) -> impl Iterator<Item = (&RouteKey, &RemoteRoute)> {
        self.imported.of(prefix)
    }

    fn follow(&self, route: &RemoteRoute, port: &dyn Fn(MacAddr) -> Option<PortId>) -> Vec<Hop> {
        let Some(through) = route.packets else { return Vec::new() };
        match through {
            Through::Mpls { target, .. } => vec![Hop::Labelled(target)],
            Through::Vxlan { endpoint, vni, router } => vec![Hop::Adjacency(Adjacency {
                vpn: self.id,
                destination: router,
                source: self.overlay.router_mac,
                target: Target::Vxlan { endpoint, vni },
            })],
            Through::Local(adjacency) => vec![Hop::Adjacency(adjacency)],
            Through::Gateway(gateway) => self.follow_gateway(gateway, port),
        }
    }

    /// A gateway is a host: its route is never behind another gateway (RFC 9136 §4.1).
    fn follow_gateway(&self, gateway: IpAddr, port: &dyn Fn(MacAddr) -> Option<PortId>) -> Vec<Hop> {
        let prefix = IpPrefix::host(gateway);
        match self.local(prefix, port) {
            Some((_, Reason::Gateway)) => Vec::new(),
            Some((hops, _)) => hops.into_iter().map(|(_, hop)| hop).collect(),
            None => {
                let Some((evpn, host)) = self.plugged(prefix, is_remote) else {
                    let direct =
                        self.best(prefix).into_iter().filter(|(key, _)| matches!(key, RouteKey::MacIp(..)));
                    return direct
                        .filter(|(_, route)| !matches!(route.packets, Some(Through::Gateway(_))))
                        .flat_map(|(_, route)| self.follow(route, port))
                        .collect();
                };
                vec![Hop::Adjacency(self.adjacency(evpn, host.mac, host.target))]
            }
        }
    }

    /// The host of a plugged E-VPN that has this address. Where two have it, the first E-VPN counts.
    fn plugged(&self, prefix: IpPrefix, wanted: impl Fn(&Target) -> bool) -> Option<(VpnId, super::Host)> {
        let hosts = self.hosts.get(&prefix.address()).filter(|_| prefix.is_host())?;
        hosts.iter().find(|(_, host)| wanted(&host.target)).map(|(evpn, host)| (*evpn, *host))
    }

    /// A packet in a frame from the gateway.
    pub(crate) const fn adjacency(&self, vpn: VpnId, destination: MacAddr, target: Target) -> Adjacency {
        Adjacency { vpn, destination, source: self.overlay.gateway_mac, target }
    }
}

fn order(route: &RemoteRoute) -> u32 {
    let mut communities = route.attributes.extended_communities.iter();
    communities.find_map(ExtendedCommunity::as_consistent_hash_sort_order).unwrap_or(0)
}

const fn is_remote(target: &Target) -> bool {
    matches!(target, Target::Vxlan { .. } | Target::Mpls { .. })
}

const fn kind(key: &RouteKey) -> u8 {
    match key {
        RouteKey::MacIp(..) => 0,
        RouteKey::EvpnPrefix(..) => 1,
        RouteKey::Prefix(..)
        | RouteKey::Multicast(..)
        | RouteKey::OnSegment(..)
        | RouteKey::ForSegment(..) => 2,
    }
}
