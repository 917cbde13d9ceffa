//! The routes that an IP-VPN originates: VPN-IPv4 and VPN-IPv6 (RFC 4364 §4.3, RFC 4659 §3.2), and type 5 where an
//! E-VPN is plugged in (RFC 9136 §4.4.1).

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::sync::Arc;

use bagpipe_bgp::types::{IpPrefix, Label, LabelField, MacAddr, RouteDistinguisher, RouteTarget};
use bagpipe_bgp::wire::{Attributes, EvpnRoute, ExtendedCommunity, LabelStack, NextHop, Nlri, VpnRoute};

use super::super::effects::Effects;
use super::super::originate::Originator;
use super::super::overlay::Encapsulation;
use super::super::request::Direction;
use super::super::route::{RemoteRoute, RouteKey, Through};
use super::{Attached, Attachment, Router, Site};
use crate::fib::{PortId, Target, VpnId};

/// LOCAL_PREF of what an attach says nothing about.
pub(super) const LOCAL_PREF: u32 = 100;

/// A route to originate, and where it leads on this node.
pub(super) type Wanted = (Nlri, Attributes, Option<Through>);

/// What is announced of a prefix.
struct Offer {
    /// Number in the route distinguisher.
    rd: VpnId,
    label: Label,
    local_pref: u32,
    order: Option<u32>,
    /// Where it is on this node, for other IP-VPNs here; not so for what is announced as a whole.
    place: Option<Through>,
}

impl Router {
    /// Brings what is originated up to date.
    pub(crate) fn announce(
        &mut self,
        prefixes: BTreeSet<IpPrefix>,
        originator: &Originator,
        export: &BTreeSet<RouteTarget>,
        port: &dyn Fn(MacAddr) -> Option<PortId>,
        effects: &mut Effects,
    ) {
        let mut prefixes = prefixes;
        if std::mem::take(&mut self.touched.announcements) {
            prefixes.extend(self.by_prefix.keys().chain(self.advertised.keys()));
            prefixes.extend(self.hosts.keys().map(|ip| IpPrefix::host(*ip)));
            prefixes.extend(self.relayed_prefixes());
            prefixes.extend(self.flows.keys());
        }
        for prefix in prefixes {
            let mut wanted = BTreeMap::new();
            // Nobody could import a route without route targets.
            if !export.is_empty() {
                for offer in self.offers(prefix, port) {
                    self.routes_of(prefix, &offer, originator, export, &mut wanted);
                }
            }
            self.relay_routes(prefix, originator, port, &mut wanted);
            self.replace(prefix, wanted, effects);
            self.announce_flow(prefix, originator, effects);
        }
    }

    fn replace(&mut self, prefix: IpPrefix, wanted: BTreeMap<RouteKey, Wanted>, effects: &mut Effects) {
        let before = self.advertised.remove(&prefix).unwrap_or_default();
        for (key, (nlri, _)) in &before {
            if !wanted.contains_key(key) {
                effects.withdraw.push(nlri.clone());
                effects.local.push((*key, None));
            }
        }
        let mut after = BTreeMap::new();
        for (key, (nlri, attributes, place)) in wanted {
            let known = before.get(&key);
            let differs = known.is_none_or(|(held, with)| *held != nlri || *with != attributes);
            if differs {
                effects.announce.push((nlri.clone(), attributes.clone()));
            }
            // Where it is may change while the route stays the same.
            let route = place.filter(|_| matches!(key, RouteKey::Prefix(..))).map(|place| {
                let attributes = Arc::new(attributes.clone());
                Arc::new(RemoteRoute { frames: None, packets: Some(place), segment: None, attributes })
            });
            effects.local.push((key, route));
            after.insert(key, (nlri, attributes));
        }
        if !after.is_empty() {
            self.advertised.insert(prefix, after);
        }
    }

    fn offers(&self, prefix: IpPrefix, port: &dyn Fn(MacAddr) -> Option<PortId>) -> Vec<Offer> {
        let attachments = self.by_prefix.get(&prefix).into_iter().flatten();
        let announced = attachments.filter(|(_, address)| address.prefix() == prefix);
        let mut offers: Vec<Offer> = announced
            .filter_map(|attachment| self.offer(attachment, self.attached.get(attachment)?, port))
            .collect();
        // One MAC address may have several addresses on the prefix, each with its own LOCAL_PREF: the last counts.
        offers.sort_by_key(|offer| (offer.rd, offer.local_pref));
        if offers.is_empty()
            && prefix.is_host()
            && !self.is_gateway(&prefix.address())
            && let Some((evpn, host)) = self.plugged_port(prefix.address())
        {
            let place = Some(Through::Local(self.adjacency(evpn, host.mac, host.target)));
            offers.push(Offer { rd: self.id, label: self.label, local_pref: LOCAL_PREF, order: None, place });
        }
        offers
    }

    fn plugged_port(&self, ip: IpAddr) -> Option<(VpnId, super::Host)> {
        let mut hosts = self.hosts.get(&ip)?.iter();
        hosts.find(|(_, host)| matches!(host.target, Target::Port(_))).map(|(evpn, host)| (*evpn, *host))
    }

    fn offer(
        &self,
        (site, _): &Attachment,
        attached: &Attached,
        port: &dyn Fn(MacAddr) -> Option<PortId>,
    ) -> Option<Offer> {
        let endpoint = attached.endpoint;
        if endpoint.direction == Direction::FromPort {
            return None;
        }
        let (label, place) = match site {
            Site::Port(mac) => {
                let adjacency = self.adjacency(self.id, *mac, Target::Port(port(*mac)?));
                (*self.labels.get(mac)?, Some(Through::Local(adjacency)))
            }
            Site::Evpn(..) if endpoint.advertise_subnet => (self.label, None),
            Site::Evpn(..) => return None,
        };
        let rd = attached.rd.unwrap_or(self.id);
        Some(Offer { rd, label, local_pref: endpoint.local_pref, order: endpoint.order, place })
    }

    fn routes_of(
        &self,
        prefix: IpPrefix,
        offer: &Offer,
        originator: &Originator,
        export: &BTreeSet<RouteTarget>,
        wanted: &mut BTreeMap<RouteKey, Wanted>,
    ) {
        let rd = RouteDistinguisher::from_ipv4(originator.router_id, offer.rd);
        let attributes = |encapsulation: Encapsulation| Attributes {
            next_hop: Some(NextHop::from(originator.endpoint)),
            local_pref: Some(offer.local_pref),
            extended_communities: self.communities(encapsulation, offer.order, export),
            ..Attributes::default()
        };
        let ipvpn = self.overlay.ipvpn;
        let label = match ipvpn {
            Encapsulation::Mpls => offer.label,
            // An attach has made sure that the VNI fits.
            Encapsulation::Vxlan => Label::new(originator.vni.get()).unwrap_or(offer.label),
        };
        if let Some(labels) = LabelStack::new(&[label]) {
            let nlri = Nlri::Vpn(VpnRoute { labels, rd, prefix });
            wanted.insert(RouteKey::Prefix(rd, prefix), (nlri, attributes(ipvpn), offer.place));
        }
        // A host of a plugged E-VPN is announced by its type 2 route.
        let host = prefix.is_host() && self.hosts.contains_key(&prefix.address());
        if !self.plugs.is_empty() && !host {
            let evpn = self.overlay.evpn;
            let nlri = Nlri::Evpn(EvpnRoute::IpPrefix {
                rd,
                esi: Default::default(),
                tag: 0,
                prefix,
                gateway: match prefix.address() {
                    IpAddr::V4(_) => IpAddr::V4(std::net::Ipv4Addr::UNSPECIFIED),
                    IpAddr::V6(_) => IpAddr::V6(std::net::Ipv6Addr::UNSPECIFIED),
                },
                label: match evpn {
                    Encapsulation::Mpls => LabelField::from(offer.label),
                    Encapsulation::Vxlan => LabelField::from(originator.vni),
                },
            });
            wanted.insert(RouteKey::EvpnPrefix(rd, prefix), (nlri, attributes(evpn), None));
        }
    }

    fn communities(
        &self,
        encapsulation: Encapsulation,
        order: Option<u32>,
        export: &BTreeSet<RouteTarget>,
    ) -> Vec<ExtendedCommunity> {
        let targets = export.iter().map(|target| ExtendedCommunity::from(*target));
        // RFC 9136 §4.4.1: packets over VXLAN are in frames for the router.
        let router = (encapsulation == Encapsulation::Vxlan)
            .then(|| ExtendedCommunity::router_mac(self.overlay.router_mac));
        let order = order.map(ExtendedCommunity::consistent_hash_sort_order);
        targets.chain(self.overlay.communities(encapsulation)).chain(router).chain(order).collect()
    }
}
