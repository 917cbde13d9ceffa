//! What makes an instance an IP-VPN: prefixes behind its ports, E-VPN instances plugged into it, imported routes.
//!
//! * `imported`: the routes of other nodes, and of other IP-VPNs of this node.
//! * `hops`: where a prefix is, from all of that.
//! * `announce`: the routes that follow from what is attached.
//! * `relay`: the routes of others that are announced again.
//! * `attract`: the flow specifications in their place.

mod announce;
mod attract;
mod hops;
mod imported;
mod relay;

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::Arc;

use bagpipe_bgp::types::{IpPrefix, Label, MacAddr, RouteTarget};
use bagpipe_bgp::wire::{Attributes, FlowSpecRoute, Nlri};

pub use self::hops::Reason;
use self::imported::Imported;
use self::relay::Relayed;
use super::address::InterfaceAddress;
use super::counts::Counts;
use super::overlay::Overlay;
use super::request::{Direction, Endpoint, LastResort};
use super::route::{RemoteRoute, RouteKey, Through};
use crate::fib::{self, LabelUse, PortId, Target, VpnId};

/// The tables of an IP-VPN.
#[derive(Debug)]
pub(crate) struct Router {
    pub(crate) id: VpnId,
    pub(crate) overlay: Overlay,
    /// The label of what is announced as a whole.
    pub(crate) label: Label,
    pub(crate) proxy: bool,
    /// The label of each MAC address of a port.
    pub(crate) labels: BTreeMap<MacAddr, Label>,
    pub(crate) attached: BTreeMap<Attachment, Attached>,
    /// Attachments by what they make reachable: their prefix, and the address in it.
    by_prefix: BTreeMap<IpPrefix, BTreeSet<Attachment>>,
    /// How many attachments have each gateway.
    gateways: Counts<IpAddr>,
    /// How many attachments each plugged E-VPN has.
    plugs: Counts<VpnId>,
    hosts: BTreeMap<IpAddr, BTreeMap<VpnId, Host>>,
    imported: Imported,
    relayed: Option<Box<Relayed>>,
    /// Who gets packets that have no route, and the port that they leave by.
    pub(crate) fallback: Option<(PortId, LastResort)>,
    /// Numbers in the route distinguishers of what is announced again, one for each MAC address of a port.
    pub(crate) relay_rds: BTreeMap<MacAddr, VpnId>,
    pub(crate) touched: Touched,
    advertised: BTreeMap<IpPrefix, BTreeMap<RouteKey, (Nlri, Attributes)>>,
    /// The flow specifications that are originated, each for packets to a prefix.
    flows: BTreeMap<IpPrefix, (FlowSpecRoute, Attributes)>,
}

/// Where a prefix is attached, and what was given for it.
pub(crate) type Attachment = (Site, InterfaceAddress);

/// What a prefix is behind.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Site {
    /// A MAC address of a port.
    Port(MacAddr),
    /// An E-VPN; the MAC address only tells attachments apart.
    Evpn(VpnId, MacAddr),
}

/// An attached prefix.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Attached {
    pub(crate) endpoint: Endpoint,
    /// Number in the route distinguisher, if it is not that of the instance: another MAC address announces the same
    /// prefix, and both routes must reach other nodes (RFC 4364 §4.3.2).
    pub(crate) rd: Option<VpnId>,
}

/// A host of a plugged E-VPN.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Host {
    pub(crate) mac: MacAddr,
    pub(crate) target: Target,
}

/// What events have touched since the last time.
#[derive(Debug, Default)]
pub(crate) struct Touched {
    /// Where they are may differ.
    pub(crate) prefixes: BTreeSet<IpPrefix>,
    /// What is originated for them may differ.
    pub(crate) originated: BTreeSet<IpPrefix>,
    /// Labels, with the MAC address that each is or was of; none for that of the instance.
    pub(crate) labels: BTreeSet<(Label, Option<MacAddr>)>,
    pub(crate) endpoints: BTreeSet<IpAddr>,
    /// What all originated routes have in common differs.
    pub(crate) announcements: bool,
}

impl Router {
    pub(crate) fn new(id: VpnId, label: Label, overlay: Overlay) -> Self {
        let touched = Touched { labels: [(label, None)].into(), ..Touched::default() };
        Self {
            id,
            overlay,
            label,
            proxy: false,
            labels: BTreeMap::new(),
            attached: BTreeMap::new(),
            by_prefix: BTreeMap::new(),
            gateways: Counts::default(),
            plugs: Counts::default(),
            hosts: BTreeMap::new(),
            imported: Imported::default(),
            relayed: None,
            fallback: None,
            relay_rds: BTreeMap::new(),
            touched,
            advertised: BTreeMap::new(),
            flows: BTreeMap::new(),
        }
    }

    /// Attaches a prefix, or sets what becomes of it; gives what was there.
    pub(crate) fn attach(&mut self, attachment: Attachment, attached: Attached) -> Option<Attached> {
        let before = self.attached.insert(attachment, attached);
        if before != Some(attached) {
            self.count_gateway(before.and_then(|before| before.endpoint.gateway), false);
            self.count_gateway(attached.endpoint.gateway, true);
            if before.is_none() {
                self.index(attachment);
            }
            self.touch_attachment(attachment);
        }
        before
    }

    /// Detaches a prefix; gives what was there.
    pub(crate) fn detach(&mut self, attachment: Attachment) -> Option<Attached> {
        let before = self.attached.remove(&attachment)?;
        self.count_gateway(before.endpoint.gateway, false);
        self.unindex(attachment);
        self.touch_attachment(attachment);
        Some(before)
    }

    fn index(&mut self, attachment: Attachment) {
        for prefix in prefixes(&attachment.1) {
            self.by_prefix.entry(prefix).or_default().insert(attachment);
        }
        if let Site::Evpn(evpn, _) = attachment.0 {
            self.plugs.add(evpn);
            // Type 5 routes begin with the first E-VPN.
            self.touched.announcements = true;
        }
    }

    fn unindex(&mut self, attachment: Attachment) {
        for prefix in prefixes(&attachment.1) {
            if let Some(attachments) = self.by_prefix.get_mut(&prefix) {
                attachments.remove(&attachment);
                if attachments.is_empty() {
                    self.by_prefix.remove(&prefix);
                }
            }
        }
        if let Site::Evpn(evpn, _) = attachment.0 {
            self.plugs.remove(&evpn);
            self.touched.announcements = true;
        }
    }

    fn touch_attachment(&mut self, (site, address): Attachment) {
        if let Site::Port(mac) = site
            && let Some(label) = self.labels.get(&mac)
        {
            self.touched.labels.insert((*label, Some(mac)));
        }
        prefixes(&address).into_iter().for_each(|prefix| self.touch(prefix));
        // What is announced again leads to the MAC addresses of all ports.
        self.touched.announcements |= self.relayed.is_some();
    }

    fn count_gateway(&mut self, gateway: Option<IpAddr>, more: bool) {
        let Some(gateway) = gateway else { return };
        if more {
            self.gateways.add(gateway);
        } else {
            self.gateways.remove(&gateway);
        }
        self.touch(IpPrefix::host(gateway));
    }

    /// A prefix is to be derived again, with what is originated for it and what is resolved by it.
    fn touch(&mut self, prefix: IpPrefix) {
        self.touched.originated.insert(prefix);
        self.touch_route(prefix);
    }

    fn touch_route(&mut self, prefix: IpPrefix) {
        self.touched.prefixes.insert(prefix);
        if prefix.is_host() {
            self.touched.prefixes.extend(self.imported.behind(prefix.address()));
        }
    }

    /// A MAC address of a port has a label from now on, or none any more.
    pub(crate) fn set_label(&mut self, mac: MacAddr, label: Option<Label>) -> Option<Label> {
        let before = match label {
            Some(label) => self.labels.insert(mac, label),
            None => self.labels.remove(&mac),
        };
        self.touched.labels.extend(before.into_iter().chain(label).map(|label| (label, Some(mac))));
        before
    }

    /// Sets who gets packets that have no route; whether that changed anything.
    pub(crate) fn set_fallback(&mut self, port: PortId, last_resort: &LastResort) -> bool {
        if self.fallback.as_ref().is_some_and(|known| *known == (port, last_resort.clone())) {
            return false;
        }
        self.fallback = Some((port, last_resort.clone()));
        self.touched.prefixes.extend(default_prefixes());
        true
    }

    /// A host of a plugged E-VPN came, changed or went.
    pub(crate) fn set_host(&mut self, evpn: VpnId, ip: IpAddr, host: Option<Host>) {
        let hosts = self.hosts.entry(ip).or_default();
        match host {
            Some(host) => drop(hosts.insert(evpn, host)),
            None => drop(hosts.remove(&evpn)),
        }
        if hosts.is_empty() {
            self.hosts.remove(&ip);
        }
        self.touch(IpPrefix::host(ip));
    }

    /// Imports a route, or what it says now, or loses it. `import`: the route targets that packets are routed by; other
    /// routes come because they are announced again.
    pub(crate) fn learn(
        &mut self,
        key: RouteKey,
        route: Option<Arc<RemoteRoute>>,
        import: &BTreeSet<RouteTarget>,
    ) {
        let Some(prefix) = key.prefix() else { return };
        let mut route = route.filter(|route| route.packets.is_some_and(|through| !self.is_own(&through)));
        if let Some(relayed) = &mut self.relayed {
            if let Some(endpoints) = relayed.learn(prefix, key, route.as_ref()) {
                self.touched.endpoints.extend(endpoints);
                self.touched.originated.insert(prefix);
            }
            route = route.filter(|route| relay::has_any(route, import));
        }
        let before = self.imported.set(prefix, key, route.clone());
        if before != route {
            self.touched.endpoints.extend(endpoints(before.iter().chain(&route)));
            self.touch_route(prefix);
        }
    }

    /// Whether a route leads to what is attached to this very instance.
    fn is_own(&self, through: &Through) -> bool {
        match through {
            Through::Local(adjacency) => adjacency.vpn == self.id || self.plugs.contains(&adjacency.vpn),
            _ => false,
        }
    }

    /// Everything goes.
    pub(crate) fn clear(&mut self) {
        self.set_relay(None);
        for (prefix, key) in self.imported.keys().collect::<Vec<_>>() {
            if let Some(route) = self.imported.set(prefix, key, None) {
                self.touched.endpoints.extend(route.packets.and_then(|through| through.endpoint()));
            }
            self.touched.prefixes.insert(prefix);
        }
        for attachment in self.attached.keys().copied().collect::<Vec<_>>() {
            self.detach(attachment);
        }
        self.touched.prefixes.extend(self.hosts.keys().map(|ip| IpPrefix::host(*ip)));
        self.hosts.clear();
        self.touched.prefixes.extend(default_prefixes());
        self.touched.labels.insert((self.label, None));
        let labels = std::mem::take(&mut self.labels).into_iter();
        self.touched.labels.extend(labels.map(|(mac, label)| (label, Some(mac))));
    }

    /// Another MAC address that has the prefix.
    pub(crate) fn other_site(&self, site: Site, prefix: IpPrefix) -> Option<(Site, bool)> {
        let attachments = self.by_prefix.get(&prefix)?.iter();
        let mut others = attachments.filter(|(other, address)| *other != site && address.prefix() == prefix);
        let other = others.next()?;
        Some((other.0, self.attached.get(other)?.endpoint.advertise_subnet))
    }

    /// The attachments of a site.
    pub(crate) fn of_site(&self, site: Site) -> impl Iterator<Item = (InterfaceAddress, &Attached)> {
        let all =
            self.attached.range((site, FIRST_ADDRESS)..).take_while(move |((other, _), _)| *other == site);
        all.map(|((_, address), attached)| (*address, attached))
    }

    /// Whether a MAC address may send.
    pub(crate) fn sends(&self, mac: MacAddr) -> bool {
        self.of_site(Site::Port(mac)).any(|(_, attached)| attached.endpoint.direction != Direction::ToPort)
    }

    /// Whether anything is sent to a MAC address.
    fn receives(&self, mac: MacAddr) -> bool {
        self.of_site(Site::Port(mac)).any(|(_, attached)| attached.endpoint.direction != Direction::FromPort)
    }

    /// Whether a MAC address may send from addresses other than its own: those of a subnet behind it, one that others
    /// have, too, or those of whom it forwards for in a service chain.
    pub(crate) fn any_ip(&self, mac: MacAddr) -> bool {
        self.relayed.is_some()
            || self.of_site(Site::Port(mac)).any(|(_, attached)| attached.endpoint.forwards())
    }

    /// Whether an address of a MAC address may be sent from.
    pub(crate) fn sends_from(&self, mac: MacAddr, ip: IpAddr) -> bool {
        let mut own = self.of_site(Site::Port(mac)).filter(|(address, _)| address.host_address() == Some(ip));
        own.any(|(_, attached)| attached.endpoint.direction != Direction::ToPort)
    }

    pub(crate) fn is_gateway(&self, ip: &IpAddr) -> bool {
        self.gateways.contains(ip)
    }

    pub(crate) fn gateways(&self) -> impl Iterator<Item = IpAddr> + '_ {
        self.gateways.keys().copied()
    }

    /// The gateways of the hosts of a plugged E-VPN.
    pub(crate) fn gateways_of(&self, evpn: VpnId) -> BTreeSet<IpAddr> {
        let plugged =
            self.attached.iter().filter(|((site, _), _)| matches!(site, Site::Evpn(id, _) if *id == evpn));
        plugged.filter_map(|(_, attached)| attached.endpoint.gateway).collect()
    }

    pub(crate) fn plugs(&self) -> impl Iterator<Item = VpnId> + '_ {
        self.plugs.keys().copied()
    }

    pub(crate) fn has_endpoint(&self, endpoint: &IpAddr) -> bool {
        let relayed = self.relayed.as_ref().is_some_and(|relayed| relayed.has_endpoint(endpoint));
        relayed || self.imported.has_endpoint(endpoint)
    }

    pub(crate) fn routes(&self) -> usize {
        self.imported.len()
    }

    /// What the router is to hosts whose gateways these are.
    pub(crate) fn face(&self, gateways: impl Iterator<Item = IpAddr>) -> fib::Router {
        let mut face = fib::Router { proxy: self.proxy, ..fib::Router::default() };
        for gateway in gateways {
            match gateway {
                IpAddr::V4(address) => face.ipv4 = face.ipv4.or(Some(address)),
                IpAddr::V6(address) => face.ipv6 = face.ipv6.or(Some(address)),
            }
        }
        face
    }

    /// What a label of a MAC address, or of the instance, means.
    pub(crate) fn label_use(
        &self,
        label: Label,
        mac: Option<MacAddr>,
        port: impl Fn(MacAddr) -> Option<Target>,
    ) -> Option<LabelUse> {
        let Some(mac) = mac else { return Some(LabelUse::Router(self.id)) };
        self.labels.get(&mac).filter(|own| **own == label && self.receives(mac))?;
        Some(LabelUse::Adjacency(self.id, self.adjacency(self.id, mac, port(mac)?)))
    }
}

/// The endpoints of routes.
fn endpoints<'a>(routes: impl Iterator<Item = &'a Arc<RemoteRoute>>) -> impl Iterator<Item = IpAddr> {
    routes.filter_map(|route| route.packets?.endpoint())
}

/// The prefixes that hold all addresses.
fn default_prefixes() -> impl Iterator<Item = IpPrefix> {
    let any = [IpAddr::V4(Ipv4Addr::UNSPECIFIED), IpAddr::V6(Ipv6Addr::UNSPECIFIED)];
    any.into_iter().filter_map(|address| IpPrefix::new(address, 0))
}

/// Below every other.
const FIRST_ADDRESS: InterfaceAddress = InterfaceAddress::host(IpAddr::V4(Ipv4Addr::UNSPECIFIED)).shortest();

/// What an attachment makes reachable on this node: its prefix, and the address in it.
fn prefixes(address: &InterfaceAddress) -> BTreeSet<IpPrefix> {
    address.host_address().map(IpPrefix::host).into_iter().chain([address.prefix()]).collect()
}
