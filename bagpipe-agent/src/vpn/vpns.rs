//! All VPN instances of the node: requests are checked against all of them, then carried out.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::ops::RangeInclusive;
use std::sync::Arc;
use std::time::Instant;

use bagpipe_bgp::types::{MacAddr, RouteDistinguisher, RouteTarget, RouterId, Vni};
use bagpipe_bgp::wire::{Attributes, Nlri};
use bagpipe_common::limits;
use rustc_hash::FxHashMap;
use serde::Serialize;

use super::effects::Effects;
use super::error::{AttachError, DetachError};
use super::imports::Imports;
use super::instance::Instance;
use super::numbers::Numbers;
use super::originate::Originator;
use super::remote::{RemoteRoute, RouteKey, classify};
use super::request::{Attach, Detach};
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
}

/// All VPN instances.
#[derive(Debug)]
pub struct Vpns {
    config: VpnsConfig,
    pub(super) instances: BTreeMap<VpnId, Instance>,
    pub(super) names: FxHashMap<String, VpnId>,
    pub(super) interfaces: FxHashMap<String, (VpnId, PortId)>,
    pub(super) owners: FxHashMap<Vni, VpnId>,
    imports: Imports,
    pub(super) numbers: Numbers,
    pub(super) ports: Numbers,
    pub(super) vnis: Numbers,
    /// Instances that something was told since the last time.
    pub(super) touched: BTreeSet<VpnId>,
    effects: Effects,
}

/// An attachment that is there now.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Attached {
    /// Number of the instance.
    pub vpn: VpnId,
    /// Number of the port.
    pub port: PortId,
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
struct Plan {
    vpn: VpnId,
    port: PortId,
    vni: Vni,
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
            touched: BTreeSet::new(),
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
        let port = self.interfaces.get(&attach.interface);
        if let Some((vpn, _)) = port
            && instance.is_none_or(|instance| instance.id != *vpn)
        {
            let vpn = self.name_of(*vpn);
            return Err(AttachError::InterfaceInUse { interface: attach.interface.clone(), vpn });
        }
        let (vpn, vni) = match instance {
            Some(instance) => {
                check_attachments(instance, attach)?;
                (instance.id, instance.originator.vni)
            }
            None => (self.free_instance()?, self.free_vni(attach)?),
        };
        let port = match port {
            Some((_, port)) => *port,
            None => free(&self.ports, "port number", "detach ports that are not used")?,
        };
        Ok(Plan { vpn, port, vni })
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
        if created {
            self.create(plan.vpn, &attach.vpn, plan.vni);
        }
        let (mut changed, mut added) = (created, false);
        changed |= self.set_import(plan.vpn, &attach.import);
        if self.ports.take(plan.port) {
            self.interfaces.insert(attach.interface.clone(), (plan.vpn, plan.port));
        }
        if let Some(instance) = self.instances.get_mut(&plan.vpn) {
            if created {
                instance.start_learning(now);
            }
            changed |= assign(&mut instance.export, &attach.export);
            changed |= attach.gateway.is_some_and(|gateway| instance.set_gateway(gateway));
            if attach.vpn_description.is_some() {
                changed |= assign(&mut instance.description, &attach.vpn_description);
            }
            added = instance.attach(plan.port, &attach.interface, attach.mac, attach.ip);
            changed |= added;
            if let Some(entry) = instance.local.macs.get_mut(&attach.mac)
                && attach.description.is_some()
            {
                changed |= assign(&mut entry.description, &attach.description);
            }
        }
        self.touched.insert(plan.vpn);
        Attached { vpn: plan.vpn, port: plan.port, vni: plan.vni, created, added, changed }
    }

    pub(super) fn create(&mut self, vpn: VpnId, name: &str, vni: Vni) {
        let originator = Originator {
            rd: RouteDistinguisher::from_ipv4(self.config.router_id, vpn),
            vni,
            endpoint: self.config.local_endpoint,
        };
        self.numbers.take(vpn.into());
        self.vnis.take(vni.get());
        self.owners.insert(vni, vpn);
        self.names.insert(name.to_owned(), vpn);
        self.instances.insert(vpn, Instance::new(vpn, name.to_owned(), originator));
    }

    /// Imports other targets from now on. Routes that both old and new targets bring stay as they are.
    pub(super) fn set_import(&mut self, vpn: VpnId, targets: &BTreeSet<RouteTarget>) -> bool {
        let Some(instance) = self.instances.get_mut(&vpn) else { return false };
        let before = std::mem::replace(&mut instance.import, targets.clone());
        for target in targets.difference(&before) {
            self.effects.import.push(*target);
            for (key, route) in self.imports.import(*target, vpn) {
                instance.learn(key, Some(route));
            }
        }
        for target in before.difference(targets) {
            self.effects.unimport.push(*target);
            for key in self.imports.unimport(*target, vpn) {
                instance.learn(key, None);
            }
        }
        before != *targets
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
        let instance = self.instances.get_mut(&vpn).ok_or_else(no_such)?;
        if let Some((port, interface)) = instance.detach(detach.mac, detach.ip) {
            self.ports.release(port);
            self.interfaces.remove(&interface);
        }
        let removed = instance.local.ports.is_empty();
        self.touched.insert(vpn);
        if removed {
            self.remove(vpn);
        }
        Ok(Detached { vpn, removed, changed })
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
        match (instance.local_mac(&detach.mac), detach.ip) {
            (Some(entry), Some(ip)) if entry.ips.contains(&ip) => Ok(true),
            (Some(_), None) => Ok(true),
            (None, None) => Ok(false),
            (_, Some(ip)) => {
                Err(DetachError::NoSuchEndpoint { vpn: detach.vpn.clone(), mac: detach.mac, ip })
            }
        }
    }

    fn remove(&mut self, vpn: VpnId) {
        self.set_import(vpn, &BTreeSet::new());
        self.touched.remove(&vpn);
        if let Some(mut instance) = self.instances.remove(&vpn) {
            instance.close(&mut self.effects);
            self.names.remove(&instance.name);
            self.vnis.release(instance.originator.vni.get());
            self.owners.remove(&instance.originator.vni);
            self.numbers.release(vpn.into());
        }
    }

    /// Takes a change of the best path of a route.
    pub fn route(&mut self, nlri: &Nlri, attributes: Option<&Arc<Attributes>>) {
        let Some(key) = RouteKey::of(nlri) else { return };
        let route: Option<(RemoteRoute, Arc<Attributes>)> = attributes.and_then(|attributes| {
            let (_, route) = classify(nlri, attributes, self.config.local_endpoint).ok()?;
            Some((route, Arc::clone(attributes)))
        });
        for (vpn, route) in self.imports.route(key, route) {
            if let Some(instance) = self.instances.get_mut(&vpn) {
                instance.learn(key, route);
                self.touched.insert(vpn);
            }
        }
    }

    /// What is to be done about all events since the last time.
    pub fn settle(&mut self, now: Instant) -> Effects {
        for vpn in std::mem::take(&mut self.touched) {
            if let Some(instance) = self.instances.get_mut(&vpn) {
                instance.settle(&mut self.effects, now);
            }
        }
        let mut effects = std::mem::take(&mut self.effects);
        effects.changes.sort_by_key(crate::fib::Change::rank);
        effects
    }

    /// Names of the instances that import a route with these attributes.
    #[must_use]
    pub fn importers(&self, attributes: &Attributes) -> Vec<String> {
        self.imports.importers(attributes).into_iter().map(|vpn| self.name_of(vpn)).collect()
    }

    fn name_of(&self, vpn: VpnId) -> String {
        self.instances.get(&vpn).map(|instance| instance.name.clone()).unwrap_or_default()
    }

    /// Tunnel endpoint of this node.
    #[must_use]
    pub const fn local_endpoint(&self) -> IpAddr {
        self.config.local_endpoint
    }

    /// Whether nothing is held: no instance, no identifier, no route.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.instances.is_empty()
            && self.names.is_empty()
            && self.interfaces.is_empty()
            && self.owners.is_empty()
            && self.imports.is_empty()
            && [&self.numbers, &self.ports, &self.vnis].iter().all(|numbers| numbers.in_use() == 0)
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
        && port.interface != attach.interface
    {
        return Err(AttachError::MacOnOtherPort {
            mac: attach.mac,
            vpn: vpn(),
            port: port.interface.clone(),
            asked: attach.interface.clone(),
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

fn free(numbers: &Numbers, what: &'static str, remedy: &'static str) -> Result<u32, AttachError> {
    let (first, last) = (*numbers.range().start(), *numbers.range().end());
    numbers.peek().ok_or(AttachError::Exhausted { what, first, last, remedy })
}

fn assign<T: PartialEq + Clone>(place: &mut T, value: &T) -> bool {
    let differs = place != value;
    if differs {
        place.clone_from(value);
    }
    differs
}
