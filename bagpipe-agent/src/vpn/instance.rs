//! One VPN instance: its tables, and what is derived from them.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bagpipe_bgp::types::{EthernetSegmentId, MacAddr, RouteTarget};
use serde_json::Value;

use super::candidates::Candidate;
use super::duplicates::Duplicates;
use super::effects::Effects;
use super::flows::Shortage;
use super::installed::{Installed, replace};
use super::local::{Local, LocalMac};
use super::mobility::Claim;
use super::originate::Originator;
use super::plug::Plug;
use super::remote::Remote;
use super::route::{Frames, RemoteRoute, RouteKey};
use super::router::{Host, Router};
use crate::fib::{LabelUse, Mac, Neighbor, Port, PortId, Segment, Target, VpnId};

/// A VPN instance.
#[derive(Debug)]
pub(crate) struct Instance {
    pub(crate) id: VpnId,
    pub(crate) name: String,
    pub(crate) originator: Originator,
    pub(crate) import: BTreeSet<RouteTarget>,
    /// Route targets of all routes that it is told of: those it imports, and those of what it announces again.
    pub(crate) subscribed: BTreeSet<RouteTarget>,
    pub(crate) export: BTreeSet<RouteTarget>,
    pub(crate) gateway: Option<IpAddr>,
    pub(crate) description: Option<Value>,
    pub(crate) local: Local,
    pub(crate) remote: Remote,
    pub(crate) installed: Installed,
    /// The instance is an IP-VPN.
    pub(crate) router: Option<Box<Router>>,
    /// The route target whose traffic it routes: it is there because flow specifications redirect to it.
    pub(crate) redirect: Option<RouteTarget>,
    /// Why not all flow specifications are applied.
    pub(super) shortage: Option<Shortage>,
    /// The IP-VPN that this E-VPN is plugged into.
    pub(super) plug: Option<Plug>,
    /// The hosts that it was told of.
    pub(super) told: BTreeMap<IpAddr, Host>,
    advertised: Advertised,
    pub(super) touched: Touched,
    pub(super) duplicates: Duplicates,
    /// Until when the routes of other nodes are taken to be older than the attachments.
    learning: Option<Instant>,
    pub(super) closed: bool,
}

/// The types of instances, as requests name them.
pub(crate) const EVPN: &str = "evpn";
pub(crate) const IPVPN: &str = "ipvpn";

/// How long the routes of a new route target take to come: the reflector has them in memory. Longer would take
/// newer routes for older ones.
const LEARNING: Duration = Duration::from_millis(250);

/// The routes that were put out.
#[derive(Debug, Default)]
struct Advertised {
    targets: BTreeSet<RouteTarget>,
    multicast: bool,
    /// Type 2 routes and their sequence numbers.
    macs: BTreeMap<(MacAddr, Option<IpAddr>), u32>,
    /// Type 2 routes of the gateway.
    gateways: BTreeSet<IpAddr>,
}

/// What events have touched since the last time; ordered, so that equal events give equal output.
#[derive(Debug, Default)]
pub(super) struct Touched {
    pub(super) ports: BTreeSet<PortId>,
    pub(super) macs: BTreeSet<MacAddr>,
    pub(super) ips: BTreeSet<IpAddr>,
    floods: BTreeSet<Target>,
    segments: BTreeSet<EthernetSegmentId>,
    endpoints: BTreeSet<IpAddr>,
    pub(super) routes: BTreeSet<(MacAddr, Option<IpAddr>)>,
    /// What all type 2 routes have in common differs.
    pub(super) all_routes: bool,
}

impl Instance {
    pub(crate) fn new(id: VpnId, name: String, originator: Originator, duplicates: Duplicates) -> Self {
        Self {
            id,
            name,
            originator,
            import: BTreeSet::new(),
            subscribed: BTreeSet::new(),
            export: BTreeSet::new(),
            gateway: None,
            description: None,
            local: Local::default(),
            remote: Remote::default(),
            installed: Installed::default(),
            router: None,
            redirect: None,
            shortage: None,
            plug: None,
            told: BTreeMap::new(),
            advertised: Advertised::default(),
            touched: Touched::default(),
            duplicates,
            learning: None,
            closed: false,
        }
    }

    /// The instance was made by an attach just now, so it has yet to hear of other nodes.
    pub(crate) fn start_learning(&mut self, now: Instant) {
        self.learning = Some(now + LEARNING);
    }

    /// Attaches a MAC address to a port, with an IP address or, in place of all it has, with none.
    /// Tells whether anything changed.
    pub(crate) fn attach(&mut self, port: PortId, interface: &str, mac: MacAddr, ip: Option<IpAddr>) -> bool {
        let known = self.local.macs.get(&mac);
        if known.is_some_and(|entry| entry.has(ip)) {
            return false;
        }
        let replaced = known.filter(|_| ip.is_none()).map(|entry| entry.ips.clone()).unwrap_or_default();
        if known.is_none() {
            self.add_mac(port, interface, mac);
        }
        match ip {
            Some(ip) => self.local.add_ip(mac, ip),
            None => replaced.iter().for_each(|ip| self.local.remove_ip(mac, *ip)),
        }
        self.touch_mac(mac, replaced.into_iter().chain(ip));
        true
    }

    fn add_mac(&mut self, port: PortId, interface: &str, mac: MacAddr) {
        let claim = self.remote.last_claim(&mac);
        // RFC 7432 §15.1: what moves too often is not claimed again.
        let frozen = self.duplicates.frozen(&mac).is_some();
        let next = |claim: Claim| if frozen { claim.sequence } else { claim.next_sequence() };
        self.local.add_port(port, interface);
        let entry = self.local.add_mac(port, mac, claim.map_or(0, next));
        entry.unheard = claim.is_none() && self.learning.is_some();
        self.touch_port(port);
        self.touch_remote(mac);
    }

    /// Detaches an IP address of a MAC address, the MAC address with its last one, and its port with the last
    /// MAC address. Without an IP address all go. Tells the port that went, with its interface.
    pub(crate) fn detach(&mut self, mac: MacAddr, ip: Option<IpAddr>) -> Option<(PortId, String)> {
        let entry = self.local.macs.get(&mac)?;
        let gone: Vec<IpAddr> = ip.map_or_else(|| entry.ips.iter().copied().collect(), |ip| vec![ip]);
        let last = ip.is_none_or(|ip| entry.ips.len() == 1 && entry.ips.contains(&ip));
        let port = if last {
            self.touch_remote(mac);
            self.local.remove_mac(mac)
        } else {
            gone.iter().for_each(|ip| self.local.remove_ip(mac, *ip));
            None
        };
        self.touch_mac(mac, gone.into_iter());
        port.map(|(id, port)| {
            self.touch_port(id);
            (id, port.interface)
        })
    }

    /// Takes up a stored MAC address.
    pub(crate) fn restore(
        &mut self,
        port: PortId,
        interface: &str,
        mac: MacAddr,
        ips: &BTreeSet<IpAddr>,
        sequence: u32,
    ) {
        self.local.add_port(port, interface);
        self.local.add_mac(port, mac, sequence);
        for ip in ips {
            self.local.add_ip(mac, *ip);
        }
        self.touch_port(port);
        self.touch_mac(mac, ips.iter().copied());
    }

    /// Sets the address that is answered for as a router; tells whether that changed anything.
    pub(crate) fn set_gateway(&mut self, gateway: IpAddr) -> bool {
        let before = self.gateway.replace(gateway);
        if before == Some(gateway) {
            return false;
        }
        self.touched.ips.extend(before);
        self.touched.ips.insert(gateway);
        true
    }

    /// Imports a route, or what it says now, or loses it.
    pub(crate) fn learn(&mut self, key: RouteKey, route: Option<Arc<RemoteRoute>>) {
        if let Some(router) = &mut self.router {
            return router.learn(key, route, &self.import);
        }
        if let RouteKey::OnSegment(_, esi) = key {
            let on = route.and_then(|route| route.segment);
            let before = self.remote.set_on_segment(key, esi, on);
            if before != on {
                self.touched.segments.insert(esi);
                self.touched.endpoints.extend(before.iter().chain(&on).map(|on| on.endpoint));
            }
            return;
        }
        let route = route.and_then(|route| route.frames);
        let before = self.remote.set(key, route);
        if before == route {
            return;
        }
        match key {
            RouteKey::MacIp(_, mac, ip) => {
                self.touched.macs.insert(mac);
                self.touched.ips.extend(ip);
            }
            RouteKey::Multicast(..) => self.touched.floods.extend(before.iter().chain(&route).map(target)),
            RouteKey::ForSegment(_, esi) => drop(self.touched.segments.insert(esi)),
            RouteKey::OnSegment(..) | RouteKey::EvpnPrefix(..) | RouteKey::Prefix(..) => {}
        }
        self.touched.endpoints.extend(before.iter().chain(&route).map(|route| route.endpoint));
    }

    /// Takes the instance down: all it has put out goes.
    pub(crate) fn close(&mut self, effects: &mut Effects) {
        self.closed = true;
        for key in self.remote.keys().collect::<Vec<_>>() {
            self.learn(key, None);
        }
        for mac in self.local.macs.keys().copied().collect::<Vec<_>>() {
            self.detach(mac, None);
        }
        if let Some(router) = &mut self.router {
            router.clear();
            let way_out = router.fallback.as_ref().map(|(port, _)| *port);
            way_out.into_iter().for_each(|port| self.touch_port(port));
            self.touch_faces();
        }
        self.announce_prefixes(effects);
        self.put_out(None, effects);
    }

    pub(super) fn touch_port(&mut self, port: PortId) {
        self.touched.ports.insert(port);
        self.touched.floods.insert(Target::Port(port));
    }

    /// A MAC address of this node came, went, or got or lost these IP addresses.
    pub(super) fn touch_mac(&mut self, mac: MacAddr, ips: impl Iterator<Item = IpAddr>) {
        self.touched.macs.insert(mac);
        self.touched.routes.insert((mac, None));
        for ip in ips {
            self.touched.ips.insert(ip);
            self.touched.routes.insert((mac, Some(ip)));
        }
    }

    /// A MAC address came to this node or leaves it: what routes say about its IP addresses is heard no longer, or
    /// again (see `neighbor`).
    fn touch_remote(&mut self, mac: MacAddr) {
        self.touched.ips.extend(self.remote.ips_of(&mac));
    }

    /// Derives the state of all that was touched, and puts out what differs.
    pub(crate) fn settle(&mut self, effects: &mut Effects, now: Instant) {
        self.learning = self.learning.filter(|until| now < *until);
        self.put_out(Some(now), effects);
    }

    fn put_out(&mut self, now: Option<Instant>, effects: &mut Effects) {
        let mut touched = std::mem::take(&mut self.touched);
        for esi in touched.segments {
            touched.macs.extend(self.set_segment(esi, effects));
        }
        let mut routes = touched.routes;
        for mac in &touched.macs {
            routes.extend(self.judge(*mac, effects));
        }
        if let Some(now) = now {
            self.watch(&touched.macs, now, effects);
        }
        self.tell(&touched.macs, &touched.ips, effects);
        let (vpn, changes) = (self.id, &mut effects.changes);
        self.installed.set_vpn(vpn, (!self.closed).then_some(self.originator.vni), changes);
        for port in touched.ports {
            let wanted = self.port(port);
            self.installed.set_port(port, wanted, changes);
        }
        self.installed.set_router(vpn, self.face().filter(|_| !self.closed), changes);
        let from = self.router.as_mut().map(|router| std::mem::take(&mut router.touched.endpoints));
        for endpoint in touched.endpoints.into_iter().chain(from.into_iter().flatten()) {
            let routed = self.router.as_ref().is_some_and(|router| router.has_endpoint(&endpoint));
            let wanted = routed || self.remote.has_endpoint(&endpoint);
            self.installed.set_endpoint(vpn, endpoint, wanted, changes);
        }
        for mac in touched.macs {
            let wanted = self.mac(&mac);
            self.installed.set_mac(vpn, mac, wanted, changes);
        }
        for ip in touched.ips {
            let wanted = self.neighbor(ip);
            self.installed.set_neighbor(vpn, ip, wanted, changes);
        }
        for target in touched.floods {
            let wanted = self.floods_to(target);
            self.installed.set_flood(vpn, target, wanted, changes);
        }
        if let Some(label) = self.originator.bridge {
            self.installed.set_label(label, (!self.closed).then_some(LabelUse::Bridge(vpn)), changes);
        }
        if self.closed {
            self.installed.set_classifier(vpn, Vec::new(), changes);
        }
        if self.router.is_some() {
            self.put_out_routes(effects);
        } else {
            self.advertise(routes, touched.all_routes, effects);
        }
    }

    /// What a port is: one that something is attached to, or the one that packets without a route leave by.
    fn port(&self, id: PortId) -> Option<Port> {
        if let Some(entry) = self.local.ports.get(&id) {
            return Some(Port { interface: entry.interface.clone(), vpn: self.id, egress: false });
        }
        let router = self.router.as_ref().filter(|_| !self.closed)?;
        let (_, last_resort) = router.fallback.as_ref().filter(|(port, _)| *port == id)?;
        Some(Port { interface: last_resort.interface.clone(), vpn: self.id, egress: true })
    }

    /// Puts out who is on a segment; the MAC addresses that are to be derived again with it. Where flows choose between
    /// nodes before and after, that is none: their entries say which segment it is, not who is on it.
    fn set_segment(&mut self, esi: EthernetSegmentId, effects: &mut Effects) -> Vec<MacAddr> {
        let segment = Segment { vpn: self.id, esi };
        let targets = self.remote.segments.all(esi);
        let before = self.installed.segments.contains_key(&esi);
        let after = !targets.is_empty();
        self.installed.set_segment(segment, targets, &mut effects.changes);
        // Routed packets are told of one node.
        if before && after && self.plug.is_none() { Vec::new() } else { self.remote.macs_on(esi).collect() }
    }

    /// Decides whether another node has the better claim to a MAC address of this node (RFC 7432 §15): then it
    /// is not advertised. Frames still go to the port, because the attachment is the authority here. Gives the
    /// routes that the decision touches.
    ///
    /// In the first moment of an instance the routes that come are older than its attachments, which could not
    /// take the next sequence number because they did not know of them. They take it then, each once, so that two
    /// nodes never outbid each other for long.
    fn judge(&mut self, mac: MacAddr, effects: &mut Effects) -> Vec<(MacAddr, Option<IpAddr>)> {
        let frozen = self.duplicates.frozen(&mac).is_some();
        let Some(entry) = self.local.macs.get_mut(&mac) else { return Vec::new() };
        let own = |sequence| self.originator.claim(sequence);
        let best = self.remote.best(&mac).map(|best| best.claim());
        let mut renumbered = false;
        if let Some(best) = best
            && !frozen
            && std::mem::take(&mut entry.unheard)
            && self.learning.is_some()
            && best > own(entry.sequence)
        {
            entry.sequence = best.next_sequence();
            renumbered = true;
        }
        effects.renumbered |= renumbered;
        // Who is frozen goes on as before while others claim the address, too.
        if frozen && best.is_some() {
            return Vec::new();
        }
        let contested = best.is_some_and(|best| best > own(entry.sequence));
        if std::mem::replace(&mut entry.contested, contested) == contested && !renumbered {
            return Vec::new();
        }
        entry.routes().map(|ip| (mac, ip)).collect()
    }

    /// Where a MAC address is: here, if it is attached here, else where the preferred route says.
    fn mac(&self, mac: &MacAddr) -> Option<Mac> {
        if let Some(router) = self.routes_for(mac) {
            return Some(Mac { target: Target::Router(router), any_ip: false });
        }
        if let Some(entry) = self.local.macs.get(mac) {
            let (sends, any_ip) = match &self.router {
                Some(router) => (router.sends(*mac), router.any_ip(*mac)),
                None => (true, entry.ips.is_empty()),
            };
            return sends.then_some(Mac { target: Target::Port(entry.port), any_ip });
        }
        let target = self.remote.target(self.id, mac, self.duplicates.frozen(mac))?;
        Some(Mac { target, any_ip: false })
    }

    /// The MAC address of an IP address. For a MAC address that is attached here, only the attachment says
    /// which IP addresses it has: else a route could allow a port an address that it was not given.
    fn neighbor(&self, ip: IpAddr) -> Option<Neighbor> {
        if self.is_gateway(&ip) {
            return Some(Neighbor { mac: self.originator.overlay.gateway_mac, router: true, port: None });
        }
        let (mac, router) = self.host(ip)?;
        let local = self.local.owner(&ip).and_then(|owner| self.local.macs.get(&owner));
        Some(Neighbor { mac, router, port: local.map(|entry| entry.port) })
    }

    /// The MAC address of a host, and whether it was said to be the gateway.
    pub(super) fn host(&self, ip: IpAddr) -> Option<(MacAddr, bool)> {
        if let Some(router) = &self.router {
            let owner = self.local.owner(&ip).filter(|mac| router.sends_from(*mac, ip));
            return owner.map(|mac| (mac, false));
        }
        let mac = self.local.owner(&ip).or_else(|| {
            let mut candidates = self.remote.of_ip(&ip).map(Candidate::mac);
            candidates.find(|mac| !self.local.macs.contains_key(mac))
        })?;
        Some((mac, self.gateway == Some(ip)))
    }

    /// An IP-VPN floods nothing.
    fn floods_to(&self, target: Target) -> bool {
        match target {
            _ if self.router.is_some() => false,
            Target::Port(port) => self.local.ports.contains_key(&port),
            Target::Vxlan { .. } | Target::Mpls { .. } => self.remote.floods_to(&target),
            Target::Router(_) | Target::Segment(_) => false,
        }
    }

    /// Brings what is originated up to date: replaced in place, new before old.
    fn advertise(
        &mut self,
        mut routes: BTreeSet<(MacAddr, Option<IpAddr>)>,
        all: bool,
        effects: &mut Effects,
    ) {
        let retarget = self.advertised.targets != self.export;
        self.advertised.targets.clone_from(&self.export);
        if retarget || all {
            routes
                .extend(self.local.macs.iter().flat_map(|(mac, entry)| entry.routes().map(|ip| (*mac, ip))));
        }
        // Nobody could import a route without route targets.
        let open = !self.closed && !self.export.is_empty();
        let multicast = self.originator.multicast_route();
        let multicast_before = std::mem::replace(&mut self.advertised.multicast, open);
        match open {
            true if retarget || !multicast_before => {
                effects.announce.push((multicast, self.originator.multicast_attributes(&self.export)));
            }
            false if multicast_before => effects.withdraw.push(multicast),
            _ => {}
        }
        for (mac, ip) in routes {
            let entry = self.local.macs.get(&mac);
            let wanted =
                entry.filter(|entry| open && entry.has(ip) && !entry.contested).map(|entry| entry.sequence);
            let differs = replace(&mut self.advertised.macs, (mac, ip), wanted);
            let plug = self.plug.as_ref();
            let route = || self.originator.mac_route(mac, ip, plug);
            match wanted {
                Some(sequence) if differs || retarget || all && ip.is_some() => {
                    let mut attributes = self.originator.mac_attributes(&self.export, sequence);
                    if let Some(plug) = plug.filter(|_| ip.is_some()) {
                        self.originator.add_plug(&mut attributes, &self.export, plug);
                    }
                    effects.announce.push((route(), attributes));
                }
                None if differs => effects.withdraw.push(route()),
                _ => {}
            }
        }
        self.advertise_gateways(open, retarget, effects);
    }

    /// The gateway is on this node as on every other that has the E-VPN plugged in: those that have not reach it by
    /// its routes (RFC 7432 §10.1).
    fn advertise_gateways(&mut self, open: bool, retarget: bool, effects: &mut Effects) {
        let plugged = self.plug.as_ref().filter(|_| open);
        let wanted = plugged.map(|plug| plug.gateways.clone()).unwrap_or_default();
        let before = std::mem::replace(&mut self.advertised.gateways, wanted);
        let gateway = self.originator.overlay.gateway_mac;
        let route = |ip: &IpAddr| self.originator.mac_route(gateway, Some(*ip), None);
        for ip in self.advertised.gateways.iter().filter(|ip| retarget || !before.contains(ip)) {
            effects.announce.push((route(ip), self.originator.gateway_attributes(&self.export)));
        }
        effects.withdraw.extend(before.difference(&self.advertised.gateways).map(route));
    }

    /// Its type, as requests name it.
    pub(crate) fn vpn_type(&self) -> &'static str {
        if self.router.is_some() { IPVPN } else { EVPN }
    }

    /// Whether nothing is attached to it, and it is plugged in nowhere.
    pub(crate) fn is_empty(&self) -> bool {
        let routed = self.router.as_ref().is_some_and(|router| !router.attached.is_empty());
        self.local.ports.is_empty() && !routed && self.plug.is_none()
    }

    /// The attached MAC address.
    pub(crate) fn local_mac(&self, mac: &MacAddr) -> Option<&LocalMac> {
        self.local.macs.get(mac)
    }
}

const fn target(route: &Frames) -> Target {
    route.target
}
