//! Routes of others that an IP-VPN announces again (bagpipe-bgp's `readvertise`): who imports them sends to its ports,
//! and what is behind these forwards to where the routes came from. That is a hop of a service chain.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::sync::Arc;

use bagpipe_bgp::rib::equally_good;
use bagpipe_bgp::types::{IpPrefix, IpVersion, Label, MacAddr, RouteDistinguisher, RouteTarget};
use bagpipe_bgp::wire::{Attributes, ExtendedCommunity, LabelStack, NextHop, Nlri, VpnRoute};

use super::super::originate::Originator;
use super::super::overlay::Encapsulation;
use super::super::request::Relay;
use super::super::route::{RemoteRoute, RouteKey, Through};
use super::announce::{LOCAL_PREF, Wanted};
use super::imported::Imported;
use super::{Router, Site, default_prefixes, endpoints};
use crate::fib::{PortId, Target, VpnId};

/// Route targets that are recorded, at most: as many fit into a message with all else.
const MAX_RECORD: usize = 256;

/// What is announced again.
#[derive(Debug)]
pub(super) struct Relayed {
    pub(super) relay: Relay,
    /// The routes that are announced again, and those of who will send by what comes of them: so packets are accepted
    /// from nodes whose routes are not imported.
    routes: Imported,
}

impl Relayed {
    /// Takes a route, or what it says now, or loses it; gives the endpoints that this is about, if it is about any.
    pub(super) fn learn(
        &mut self,
        prefix: IpPrefix,
        key: RouteKey,
        route: Option<&Arc<RemoteRoute>>,
    ) -> Option<Vec<IpAddr>> {
        let relay = &self.relay;
        let concerns = |route: &RemoteRoute| {
            let mut targets = route.attributes.route_targets();
            targets.any(|target| relay.from.contains(&target) || relay.senders().any(|own| *own == target))
        };
        let route = route.filter(|route| concerns(route)).cloned();
        let before = self.routes.set(prefix, key, route.clone());
        (before != route).then(|| endpoints(before.iter().chain(&route)).collect())
    }

    pub(super) fn has_endpoint(&self, endpoint: &IpAddr) -> bool {
        self.routes.has_endpoint(endpoint)
    }

    /// The route targets that the routes of a prefix which are announced again have and had before; none if there are
    /// none. A route that has been where it would go now is passed over: it came around.
    pub(super) fn record(&self, prefix: IpPrefix) -> Option<BTreeSet<RouteTarget>> {
        let came_around = |target: RouteTarget| self.relay.senders().any(|own| *own == target);
        let paths = self.routes.of(prefix).map(|(_, route)| route);
        let paths = paths.filter(|route| has_any(route, &self.relay.from));
        let paths = paths.filter(|route| !recorded(&route.attributes).any(came_around));
        let best = equally_good(paths.collect(), |route| &*route.attributes);
        let targets = |route: &RemoteRoute| {
            route.attributes.route_targets().chain(recorded(&route.attributes)).collect::<Vec<_>>()
        };
        let record: BTreeSet<RouteTarget> = best.into_iter().flat_map(targets).collect();
        (1..=MAX_RECORD).contains(&record.len()).then_some(record)
    }
}

impl Router {
    /// Announces other routes again, or with other route targets, or none. Then all routes are to be learned again.
    /// Whether that changed anything.
    pub(crate) fn set_relay(&mut self, relay: Option<&Relay>) -> bool {
        let relay = relay.filter(|relay| !relay.is_empty());
        if self.relay() == relay {
            return false;
        }
        let after = relay.map(|relay| Relayed { relay: relay.clone(), routes: Imported::default() });
        let before = std::mem::replace(&mut self.relayed, after.map(Box::new));
        if let Some(before) = before {
            self.touched.endpoints.extend(endpoints(before.routes.routes()));
        }
        self.touched.announcements = true;
        true
    }

    /// What is announced again.
    pub(crate) fn relay(&self) -> Option<&Relay> {
        self.relayed.as_ref().map(|relayed| &relayed.relay)
    }

    /// The prefixes that may be announced again.
    pub(super) fn relayed_prefixes(&self) -> impl Iterator<Item = IpPrefix> {
        let attracted = self.relayed.iter().filter_map(|relayed| relayed.relay.attract.as_ref());
        let attracted =
            attracted.flat_map(|attract| attract.destinations.iter().copied().chain(default_prefixes()));
        self.relayed.iter().flat_map(|relayed| relayed.routes.prefixes()).chain(attracted)
    }

    /// The MAC addresses of ports that have no number for what is announced again.
    pub(crate) fn without_relay_rd(&self) -> impl Iterator<Item = MacAddr> {
        self.labels.keys().filter(|mac| !self.relay_rds.contains_key(mac)).copied()
    }

    /// What comes of the routes of a prefix that are announced again: a route to each MAC address that packets are sent
    /// to. They go under its label in any case: by a VNI they would be routed here, and back.
    pub(super) fn relay_routes(
        &self,
        prefix: IpPrefix,
        originator: &Originator,
        port: &dyn Fn(MacAddr) -> Option<PortId>,
        wanted: &mut BTreeMap<RouteKey, Wanted>,
    ) {
        let Some(relayed) = &self.relayed else { return };
        let attracts = relayed.relay.attract.is_some();
        let record = if attracts { default_route(prefix) } else { relayed.record(prefix) };
        let Some(record) = record else { return };
        for (mac, label, number) in self.relaying() {
            if attracts && !self.speaks(mac, prefix.version()) {
                continue;
            }
            let Some(labels) = LabelStack::new(&[label]) else { continue };
            let order = self.of_site(Site::Port(mac)).find_map(|(_, attached)| attached.endpoint.order);
            let targets = relayed.relay.to.iter().map(|target| ExtendedCommunity::from(*target));
            let record = record.iter().map(|target| ExtendedCommunity::rt_record(*target));
            let attributes = Attributes {
                next_hop: Some(NextHop::from(originator.endpoint)),
                local_pref: Some(LOCAL_PREF),
                extended_communities: targets
                    .chain(self.overlay.communities(Encapsulation::Mpls))
                    .chain(order.map(ExtendedCommunity::consistent_hash_sort_order))
                    .chain(record)
                    .collect(),
                ..Attributes::default()
            };
            let rd = RouteDistinguisher::from_ipv4(originator.router_id, number);
            let place =
                port(mac).map(|port| Through::Local(self.adjacency(self.id, mac, Target::Port(port))));
            let nlri = Nlri::Vpn(VpnRoute { labels, rd, prefix });
            wanted.insert(RouteKey::Prefix(rd, prefix), (nlri, attributes, place));
        }
    }

    /// Whether a MAC address has addresses of an IP version.
    fn speaks(&self, mac: MacAddr, version: IpVersion) -> bool {
        self.of_site(Site::Port(mac)).any(|(address, _)| address.prefix().version() == version)
    }

    /// The MAC addresses that packets are sent to, with their labels and numbers.
    pub(super) fn relaying(&self) -> impl Iterator<Item = (MacAddr, Label, VpnId)> {
        let receiving = self.labels.iter().filter(|(mac, _)| self.receives(**mac));
        receiving.filter_map(|(mac, label)| Some((*mac, *label, *self.relay_rds.get(mac)?)))
    }
}

/// What is attracted has to be taken whatever its destination: an empty record for a default route.
fn default_route(prefix: IpPrefix) -> Option<BTreeSet<RouteTarget>> {
    (prefix.length() == 0).then(BTreeSet::new)
}

/// Whether a route has any of these route targets.
pub(super) fn has_any(route: &RemoteRoute, targets: &BTreeSet<RouteTarget>) -> bool {
    route.attributes.route_targets().any(|target| targets.contains(&target))
}

/// Whether a route is one of a service chain: it was announced again, or has a place among others.
pub(super) fn is_chained(route: &RemoteRoute) -> bool {
    let mut communities = route.attributes.extended_communities.iter();
    communities.any(|community| {
        community.as_rt_record().is_some() || community.as_consistent_hash_sort_order().is_some()
    })
}

fn recorded(attributes: &Attributes) -> impl Iterator<Item = RouteTarget> {
    attributes.extended_communities.iter().filter_map(ExtendedCommunity::as_rt_record)
}
