//! All VPN instances of the node: requests are checked against all of them, then carried out.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::ops::RangeInclusive;
use std::sync::Arc;
use std::time::Instant;

use bagpipe_bgp::types::{Label, MacAddr, RouteDistinguisher, RouteTarget, RouterId, Vni};
use bagpipe_bgp::wire::{Attributes, Nlri};
use bagpipe_common::limits;
use rustc_hash::FxHashMap;
use serde::Serialize;

use super::duplicates::{Duplicate, DuplicateDetection, Duplicates};
use super::effects::Effects;
use super::error::{AttachError, DetachError};
use super::flows::Flows;
use super::imports::Imports;
use super::instance::{EVPN, IPVPN, Instance};
use super::numbers::Numbers;
use super::originate::Originator;
use super::overlay::Overlay;
use super::request::{Attach, Detach, Relay};
use super::route::{RemoteRoute, RouteKey, classify};
use super::router::Router;
use super::routing::RoutedPlan;
use crate::fib::{PortId, VpnId};

/// What all instances have in common.
#[derive(Clone, Debug)]
pub struct VpnsConfig {
    /// The BGP identifier; route distinguishers are made with it (RFC 7432 §7.9).
    pub router_id: RouterId,
    /// Tunnel endpoint of this node.
    pub local_endpoint: IpAddr,
    /// VNIs to choose from for instances that are given none.
    pub vnis: RangeInclusive<u32>,
    /// Tunnels, labels and the router.
    pub overlay: Overlay,
    /// When a MAC address moves too often.
    pub duplicates: DuplicateDetection,
}

/// All VPN instances.
#[derive(Debug)]
pub struct Vpns {
    pub(super) config: VpnsConfig,
    pub(super) instances: BTreeMap<VpnId, Instance>,
    pub(super) names: FxHashMap<String, VpnId>,
    pub(super) interfaces: FxHashMap<String, (VpnId, PortId)>,
    pub(super) owners: FxHashMap<Vni, VpnId>,
    pub(super) imports: Imports,
    /// Of instances, and of route distinguishers that are not those of an instance.
    pub(super) numbers: Numbers,
    pub(super) ports: Numbers,
    pub(super) vnis: Numbers,
    pub(super) labels: Numbers,
    /// Instances that something was told since the last time.
    pub(super) touched: BTreeSet<VpnId>,
    pub(super) flows: Flows,
    /// When MAC addresses that are frozen may move again.
    recoveries: BTreeSet<(Instant, VpnId, MacAddr)>,
    pub(super) effects: Effects,
}

/// An attachment that is there now.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Attached {
    /// Number of the instance.
    pub vpn: VpnId,
    /// Number of the port; none if an E-VPN was plugged in.
    pub port: Option<PortId>,
    /// VNI that the instance receives with.
    pub vni: Vni,
    /// The instance is new.
    pub created: bool,
    /// The port has the address now, and had not before.
    pub added: bool,
    /// It was not all there before: the snapshot differs.
    pub changed: bool,
}

/// An attachment that is there no longer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Detached {
    /// Number of the instance.
    pub vpn: VpnId,
    /// The instance went with its last port.
    pub removed: bool,
    /// It was there before: the snapshot differs.
    pub changed: bool,
}

/// The identifiers that an attach takes, found before anything changes.
pub(super) struct Plan {
    pub(super) vpn: VpnId,
    /// None if there is no interface.
    pub(super) port: Option<PortId>,
    pub(super) vni: Vni,
    /// Labels that are free, as many as are needed.
    pub(super) labels: Vec<Label>,
    /// What an attach to an IP-VPN takes besides.
    pub(super) routed: Option<RoutedPlan>,
}

impl Vpns {
    /// No instances.
    #[must_use]
    pub fn new(config: VpnsConfig) -> Self {
        Self {
            instances: BTreeMap::new(),
            names: FxHashMap::default(),
            interfaces: FxHashMap::default(),
            owners: FxHashMap::default(),
            imports: Imports::default(),
            numbers: Numbers::new(1..=limits::VPNS - 1),
            ports: Numbers::new(1..=limits::PORTS - 1),
            vnis: Numbers::new(config.vnis.clone()),
            labels: Numbers::new(config.overlay.labels.clone()),
            touched: BTreeSet::new(),
            flows: Flows::default(),
            recoveries: BTreeSet::new(),
            effects: Effects::default(),
            config,
        }
    }

    /// Attaches, or leaves all as it is.
    ///
    /// # Errors
    /// What the attachment contradicts.
    pub fn attach(&mut self, attach: &Attach, now: Instant) -> Result<Attached, AttachError> {
        let plan = self.plan(attach)?;
        Ok(self.carry_out(attach, &plan, now))
    }

    /// Checks an attach without carrying it out.
    ///
    /// # Errors
    /// What the attachment contradicts.
    pub fn check(&self, attach: &Attach) -> Result<(), AttachError> {
        self.plan(attach).map(drop)
    }

    fn plan(&self, attach: &Attach) -> Result<Plan, AttachError> {
        let instance = self.names.get(&attach.vpn).and_then(|id| self.instances.get(id));
        let asked = if attach.routed.is_some() { IPVPN } else { EVPN };
        if let Some(instance) = instance.filter(|instance| instance.vpn_type() != asked) {
            let (vpn, is) = (instance.name.clone(), instance.vpn_type());
            return Err(AttachError::OtherType { vpn, is, asked });
        }
        if instance.is_some_and(|instance| instance.redirect.is_some()) {
            return Err(AttachError::OtherType { vpn: attach.vpn.clone(), is: "redirect", asked });
        }
        let overlay = &self.config.overlay;
        if attach.mac == overlay.gateway_mac || attach.mac == overlay.router_mac {
            return Err(AttachError::RouterMac { mac: attach.mac });
        }
        let interface = attach.port.interface();
        let port = interface.and_then(|interface| self.interfaces.get(interface));
        if let (Some(interface), Some((vpn, _))) = (interface, port)
            && instance.is_none_or(|instance| instance.id != *vpn)
        {
            let vpn = self.name_of(*vpn);
            return Err(AttachError::InterfaceInUse { interface: interface.to_owned(), vpn });
        }
        let (vpn, vni) = match instance {
            Some(instance) => {
                check_attachments(instance, attach)?;
                (instance.id, instance.originator.vni)
            }
            None => (self.free_instance()?, self.free_vni(attach)?),
        };
        let port = match (interface, port) {
            (None, _) => None,
            (Some(_), Some((_, port))) => Some(*port),
            (Some(_), None) => Some(free(&self.ports, "port number", "detach ports that are not used")?),
        };
        let routed = attach.routed.as_ref().map(|routed| self.plan_routed(instance, attach, routed, vni));
        let routed = routed.transpose()?;
        let labels = self.free_labels(instance, attach)?;
        Ok(Plan { vpn, port, vni, labels, routed })
    }

    fn free_instance(&self) -> Result<VpnId, AttachError> {
        let number = free(&self.numbers, "VPN instance number", "detach VPN instances that are not used")?;
        // The range of instance numbers is that of `VpnId`.
        Ok(VpnId::try_from(number).unwrap_or_default())
    }

    fn free_vni(&self, attach: &Attach) -> Result<Vni, AttachError> {
        if let Some(vni) = attach.vni {
            return match self.owners.get(&vni) {
                Some(owner) => Err(AttachError::VniInUse { vni, other: self.name_of(*owner) }),
                None => Ok(vni),
            };
        }
        const REMEDY: &str = "give a vni, or widen 'vnis' in the configuration";
        let number = free(&self.vnis, "VNI", REMEDY)?;
        Vni::new(number).ok_or(AttachError::Exhausted {
            what: "VNI",
            first: *self.vnis.range().start(),
            last: Vni::MAX,
            remedy: REMEDY,
        })
    }

    fn carry_out(&mut self, attach: &Attach, plan: &Plan, now: Instant) -> Attached {
        let created = !self.instances.contains_key(&plan.vpn);
        let mut labels = plan.labels.iter().copied();
        if created {
            let own = if self.needs_label(attach.routed.is_some()) { labels.next() } else { None };
            self.create(plan.vpn, &attach.vpn, plan.vni, own, attach.routed.is_some());
        }
        let (mut changed, mut added) = (created, false);
        changed |= self.set_import(plan.vpn, &attach.import);
        if let (Some(port), Some(interface)) = (plan.port, attach.port.interface())
            && self.ports.take(port)
        {
            self.interfaces.insert(interface.to_owned(), (plan.vpn, port));
        }
        if let Some(instance) = self.instances.get_mut(&plan.vpn) {
            if created {
                instance.start_learning(now);
            }
            let retargeted = assign(&mut instance.export, &attach.export);
            changed |= retargeted;
            if let Some(router) = instance.router.as_mut().filter(|_| retargeted) {
                router.touched.announcements = true;
            }
            if attach.routed.is_none() {
                changed |= attach.gateway.is_some_and(|gateway| instance.set_gateway(gateway));
            }
            if attach.vpn_description.is_some() {
                changed |= assign(&mut instance.description, &attach.vpn_description);
            }
        }
        if let (Some(routed), Some(taken)) = (&attach.routed, &plan.routed) {
            let outcome = self.carry_out_routed(attach, routed, plan, taken, labels.next());
            (changed, added) = (changed | outcome.changed, outcome.added);
        }
        if let Some(instance) = self.instances.get_mut(&plan.vpn) {
            if let (None, Some(port), Some(interface)) = (&attach.routed, plan.port, attach.port.interface())
            {
                added = instance.attach(port, interface, attach.mac, attach.ip);
                changed |= added;
            }
            if let Some(entry) = instance.local.macs.get_mut(&attach.mac)
                && attach.description.is_some()
            {
                changed |= assign(&mut entry.description, &attach.description);
            }
        }
        self.touched.insert(plan.vpn);
        Attached { vpn: plan.vpn, port: plan.port, vni: plan.vni, created, added, changed }
    }

    /// Makes an instance. `label`: that of its frames, or of its packets; an IP-VPN always has one.
    pub(super) fn create(&mut self, vpn: VpnId, name: &str, vni: Vni, label: Option<Label>, is_routed: bool) {
        let overlay = self.config.overlay.clone();
        let originator = Originator {
            router_id: self.config.router_id,
            rd: RouteDistinguisher::from_ipv4(self.config.router_id, vpn),
            vni,
            endpoint: self.config.local_endpoint,
            overlay: overlay.clone(),
            bridge: label.filter(|_| !is_routed),
        };
        let duplicates = Duplicates::new(self.config.duplicates);
        let mut instance = Instance::new(vpn, name.to_owned(), originator, duplicates);
        if let Some(label) = label {
            instance.router = is_routed.then(|| Box::new(Router::new(vpn, label, overlay)));
            self.labels.take(label.get());
        }
        self.numbers.take(vpn.into());
        self.vnis.take(vni.get());
        self.owners.insert(vni, vpn);
        self.names.insert(name.to_owned(), vpn);
        self.instances.insert(vpn, instance);
    }

    /// Imports other targets from now on. Routes that both old and new targets bring stay as they are.
    pub(super) fn set_import(&mut self, vpn: VpnId, targets: &BTreeSet<RouteTarget>) -> bool {
        let Some(instance) = self.instances.get_mut(&vpn) else { return false };
        let changed = assign(&mut instance.import, targets);
        if changed {
            self.subscribe(vpn);
        }
        changed
    }

    /// Announces other routes of others again from now on.
    pub(super) fn set_relay(&mut self, vpn: VpnId, relay: &Relay) -> bool {
        let changed = self.instances.get_mut(&vpn).is_some_and(|instance| instance.set_relay(relay));
        if changed {
            self.subscribe(vpn);
        }
        changed
    }

    /// Tells an instance of the routes that concern it now.
    fn subscribe(&mut self, vpn: VpnId) {
        let Some(instance) = self.instances.get_mut(&vpn) else { return };
        let mut targets = instance.import.clone();
        let relay = instance.router.as_ref().and_then(|router| router.relay()).cloned();
        targets.extend(relay.iter().flat_map(|relay| relay.from.iter().chain(relay.senders())));
        let before = std::mem::replace(&mut instance.subscribed, targets.clone());
        for target in targets.difference(&before) {
            self.effects.import.push(*target);
            for (key, route) in self.imports.import(*target, vpn) {
                instance.learn(key, Some(route));
            }
        }
        for target in before.difference(&targets) {
            self.effects.unimport.push(*target);
            for key in self.imports.unimport(*target, vpn) {
                instance.learn(key, None);
            }
        }
        self.flows.touched.insert(vpn);
        self.flows.retain(|attributes| !self.imports.importers(attributes).is_empty());
        if relay.is_some() {
            // What is imported, and what is announced again only, may be other routes than before.
            for (key, route) in self.imports.with_any(&targets) {
                instance.learn(key, Some(route));
            }
        }
    }

    /// Detaches, or leaves all as it is.
    ///
    /// # Errors
    /// What is not attached. A MAC address without an IP address that is not attached is no error: there is
    /// nothing left to do.
    pub fn detach(&mut self, detach: &Detach) -> Result<Detached, DetachError> {
        let changed = self.check_detach(detach)?;
        let no_such = || DetachError::NoSuchVpn { vpn: detach.vpn.clone() };
        let vpn = *self.names.get(&detach.vpn).ok_or_else(no_such)?;
        if detach.routed {
            return self.detach_routed(vpn, detach);
        }
        let instance = self.instances.get_mut(&vpn).ok_or_else(no_such)?;
        if let Some((port, interface)) = instance.detach(detach.mac, detach.ip.map(|ip| ip.address)) {
            self.ports.release(port);
            self.interfaces.remove(&interface);
        }
        let removed = self.remove_if_empty(vpn);
        Ok(Detached { vpn, removed, changed })
    }

    /// Removes an instance that nothing is attached to, and that is plugged in nowhere.
    pub(super) fn remove_if_empty(&mut self, vpn: VpnId) -> bool {
        self.touched.insert(vpn);
        let empty = self.instances.get(&vpn).is_some_and(Instance::is_empty);
        if empty {
            self.remove(vpn);
        }
        empty
    }

    /// Checks a detach without carrying it out; tells whether it would change anything.
    ///
    /// # Errors
    /// Those of [`Self::detach`].
    pub fn check_detach(&self, detach: &Detach) -> Result<bool, DetachError> {
        let instance = self
            .names
            .get(&detach.vpn)
            .and_then(|id| self.instances.get(id))
            .ok_or_else(|| DetachError::NoSuchVpn { vpn: detach.vpn.clone() })?;
        if instance.router.is_some() != detach.routed {
            let is = instance.vpn_type();
            return Err(DetachError::OtherType { vpn: detach.vpn.clone(), is });
        }
        if detach.routed {
            return self.check_detach_routed(instance.id, detach);
        }
        match (instance.local_mac(&detach.mac), detach.ip.map(|ip| ip.address)) {
            (Some(entry), Some(ip)) if entry.ips.contains(&ip) => Ok(true),
            (Some(_), None) => Ok(true),
            (None, None) => Ok(false),
            (_, Some(ip)) => {
                Err(DetachError::NoSuchEndpoint { vpn: detach.vpn.clone(), mac: detach.mac, ip })
            }
        }
    }

    pub(super) fn remove(&mut self, vpn: VpnId) {
        self.set_relay(vpn, &Relay::default());
        self.set_import(vpn, &BTreeSet::new());
        self.touched.remove(&vpn);
        if let Some(mut instance) = self.instances.remove(&vpn) {
            instance.close(&mut self.effects);
            let way_out = instance.router.as_ref().and_then(|router| Some(router.fallback.as_ref()?.0));
            self.names.remove(&instance.name);
            self.vnis.release(instance.originator.vni.get());
            self.owners.remove(&instance.originator.vni);
            let label = instance.router.map(|router| router.label).or(instance.originator.bridge);
            if let Some(label) = label {
                self.labels.release(label.get());
            }
            if let Some(port) = way_out {
                self.ports.release(port);
            }
            self.numbers.release(vpn.into());
        }
    }

    /// Takes a change of the best path of a route.
    pub fn route(&mut self, nlri: &Nlri, attributes: Option<&Arc<Attributes>>) {
        if let Nlri::FlowSpec(flow) = nlri {
            return self.take_flow(flow, attributes.cloned(), false);
        }
        let Some(key) = RouteKey::of(nlri) else { return };
        let route = attributes
            .and_then(|attributes| Some(Arc::new(classify(nlri, attributes, &self.config).ok()?.1)));
        self.take_route(key, route, true);
    }

    fn take_route(&mut self, key: RouteKey, route: Option<Arc<RemoteRoute>>, of_others: bool) {
        self.imports.route(key, route, of_others, |vpn, route| {
            if let Some(instance) = self.instances.get_mut(&vpn) {
                instance.learn(key, route);
                self.touched.insert(vpn);
            }
        });
    }

    /// What is to be done about all events since the last time.
    ///
    /// E-VPN instances come first: they tell those that they are plugged into of their hosts. Then IP-VPN instances
    /// originate, so that those of one node hear of each other. Routes come last.
    pub fn settle(&mut self, now: Instant) -> Effects {
        self.recover(now);
        for vpn in self.touched.clone() {
            if let Some(instance) = self.instances.get_mut(&vpn).filter(|instance| instance.router.is_none())
            {
                self.touched.remove(&vpn);
                instance.settle(&mut self.effects, now);
            }
        }
        for (ipvpn, evpn, ip, host) in std::mem::take(&mut self.effects.hosts) {
            if let Some(router) = self.instances.get_mut(&ipvpn).and_then(|instance| instance.router.as_mut())
            {
                router.set_host(evpn, ip, host);
                self.touched.insert(ipvpn);
            }
        }
        self.originate();
        self.redirect();
        for vpn in std::mem::take(&mut self.touched) {
            if let Some(instance) = self.instances.get_mut(&vpn) {
                instance.settle(&mut self.effects, now);
            }
        }
        let mut effects = std::mem::take(&mut self.effects);
        self.plan_recoveries(&effects.duplicates, now);
        effects.changes.sort_by_key(crate::fib::Change::rank);
        effects
    }

    /// IP-VPN instances originate until they have nothing more to tell each other. Only what is announced again depends
    /// on what is imported, and a route is announced again at most once for each route target: its record grows.
    fn originate(&mut self) {
        loop {
            for vpn in &self.touched {
                if let Some(instance) = self.instances.get_mut(vpn) {
                    instance.announce_prefixes(&mut self.effects);
                }
            }
            for (flow, attributes) in std::mem::take(&mut self.effects.local_flows) {
                self.take_flow(&flow, attributes, true);
            }
            let local = std::mem::take(&mut self.effects.local);
            if local.is_empty() {
                return;
            }
            for (key, route) in local {
                if route.is_some() || self.imports.is_local(&key) {
                    self.take_route(key, route, false);
                }
            }
        }
    }

    /// When to settle again although nothing happens.
    #[must_use]
    pub fn timeout(&self) -> Option<Instant> {
        self.recoveries.first().map(|(time, ..)| *time)
    }

    /// Lets a frozen MAC address move again; `None` if there is no such instance, else whether it was frozen.
    pub fn release_mac(&mut self, vpn: &str, mac: MacAddr) -> Option<bool> {
        let vpn = *self.names.get(vpn)?;
        let released = self.instances.get_mut(&vpn)?.release(mac, &mut self.effects);
        self.touched.insert(vpn);
        Some(released)
    }

    fn plan_recoveries(&mut self, duplicates: &[Duplicate], now: Instant) {
        let Some(recovery) = self.config.duplicates.recovery else { return };
        for Duplicate { vpn, mac, .. } in duplicates.iter().filter(|duplicate| duplicate.frozen) {
            self.recoveries.extend(self.names.get(vpn).map(|vpn| (now + recovery, *vpn, *mac)));
        }
    }

    fn recover(&mut self, now: Instant) {
        while let Some((_, vpn, mac)) = self.recoveries.first().copied().filter(|(time, ..)| *time <= now) {
            self.recoveries.pop_first();
            if let Some(instance) = self.instances.get_mut(&vpn) {
                instance.recover(mac, now, &mut self.effects);
                self.touched.insert(vpn);
            }
        }
    }

    /// Names of the instances that import a route with these attributes.
    #[must_use]
    pub fn importers(&self, attributes: &Attributes) -> Vec<String> {
        self.imports.importers(attributes).into_iter().map(|vpn| self.name_of(vpn)).collect()
    }

    /// An instance by its name and type, for people.
    #[must_use]
    pub fn describe(&self, vpn: VpnId) -> Option<String> {
        let instance = self.instances.get(&vpn)?;
        Some(format!("VPN instance '{}' ({})", instance.name, instance.vpn_type()))
    }

    pub(super) fn name_of(&self, vpn: VpnId) -> String {
        self.instances.get(&vpn).map(|instance| instance.name.clone()).unwrap_or_default()
    }

    /// What all instances have in common.
    #[must_use]
    pub const fn config(&self) -> &VpnsConfig {
        &self.config
    }

    /// Whether nothing is held: no instance, no identifier, no route.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.instances.is_empty()
            && self.names.is_empty()
            && self.interfaces.is_empty()
            && self.owners.is_empty()
            && self.imports.is_empty()
            && self.flows.is_empty()
            && [&self.numbers, &self.ports, &self.vnis, &self.labels]
                .iter()
                .all(|numbers| numbers.in_use() == 0)
    }
}

/// What the attachments of the instance have against an attach.
fn check_attachments(instance: &Instance, attach: &Attach) -> Result<(), AttachError> {
    let vpn = || instance.name.clone();
    let vni = instance.originator.vni;
    if let Some(asked) = attach.vni.filter(|asked| *asked != vni) {
        return Err(AttachError::VniFixed { asked, vpn: vpn(), vni });
    }
    if let Some(entry) = instance.local_mac(&attach.mac)
        && let Some(port) = instance.local.ports.get(&entry.port)
        && let Some(asked) = attach.port.interface().filter(|asked| *asked != port.interface)
    {
        return Err(AttachError::MacOnOtherPort {
            mac: attach.mac,
            vpn: vpn(),
            port: port.interface.clone(),
            asked: asked.to_owned(),
        });
    }
    let owner: Option<(IpAddr, MacAddr)> = attach.ip.and_then(|ip| Some((ip, instance.local.owner(&ip)?)));
    match owner {
        Some((ip, mac)) if mac != attach.mac => {
            Err(AttachError::IpOnOtherMac { ip, vpn: vpn(), mac, asked: attach.mac })
        }
        _ => Ok(()),
    }
}

pub(super) fn free(numbers: &Numbers, what: &'static str, remedy: &'static str) -> Result<u32, AttachError> {
    let (first, last) = (*numbers.range().start(), *numbers.range().end());
    numbers.peek().ok_or(AttachError::Exhausted { what, first, last, remedy })
}

pub(super) fn assign<T: PartialEq + Clone>(place: &mut T, value: &T) -> bool {
    let differs = place != value;
    if differs {
        place.clone_from(value);
    }
    differs
}
