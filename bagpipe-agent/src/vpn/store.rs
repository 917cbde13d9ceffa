//! The state of all attachments as it is stored, so that after a restart the same identifiers, and so the same
//! routes and the same forwarding state, come out.

use std::collections::BTreeSet;
use std::net::IpAddr;

use bagpipe_bgp::types::{Label, MacAddr, RouteTarget, Vni};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::address::InterfaceAddress;
use super::error::RestoreError;
use super::flows::name_of_redirect;
use super::instance::Instance;
use super::local::LocalPort;
use super::networks::Networks;
use super::request::{Endpoint, LastResort, Relay};
use super::router::{Attached, Router, Site};
use super::vpns::{Vpns, VpnsConfig};
use crate::fib::{PortId, VpnId};

/// All attachments and identifiers.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Snapshot {
    /// Where the search for free identifiers goes on.
    pub next: NextNumbers,
    /// The instances, by number.
    pub vpns: Vec<StoredVpn>,
    /// The instances that route what flow specifications redirect, by route target.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub redirects: Vec<StoredRedirect>,
    /// The named networks.
    #[serde(default)]
    pub networks: Networks,
}

/// An instance that routes what is redirected to a route target.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StoredRedirect {
    /// The route target.
    pub target: RouteTarget,
    /// Its number.
    pub number: VpnId,
    /// Its VNI.
    pub vni: Vni,
    /// Its label.
    pub label: Label,
}

impl Snapshot {
    /// The numbers of all instances.
    pub fn numbers(&self) -> impl Iterator<Item = VpnId> {
        let redirects = self.redirects.iter().map(|redirect| redirect.number);
        self.vpns.iter().map(|vpn| vpn.number).chain(redirects)
    }
}

/// Where the search for free identifiers goes on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct NextNumbers {
    /// Of instances.
    pub vpn: u32,
    /// Of ports.
    pub port: u32,
    /// VNIs.
    pub vni: u32,
    /// Labels.
    #[serde(default)]
    pub label: u32,
}

/// A VPN instance.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct StoredVpn {
    /// Its name.
    pub name: String,
    /// Its number.
    pub number: VpnId,
    /// Its VNI.
    pub vni: Vni,
    /// Route targets that it imports.
    pub import: BTreeSet<RouteTarget>,
    /// Route targets that it exports.
    pub export: BTreeSet<RouteTarget>,
    /// Its gateway.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub gateway: Option<IpAddr>,
    /// Its description.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub description: Option<Value>,
    /// The label of its frames or, of an IP-VPN, of its packets.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub label: Option<Label>,
    /// What makes it an IP-VPN.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub router: Option<StoredRouter>,
    /// Its ports, by number.
    pub ports: Vec<StoredPort>,
}

/// What makes an instance an IP-VPN.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct StoredRouter {
    /// ARP and ND are answered for addresses that nobody has, too.
    pub proxy: bool,
    /// The E-VPN instances that are plugged in.
    pub plugs: Vec<StoredPlug>,
    /// Routes of others that it announces again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub relay: Option<Relay>,
    /// Who gets packets that have no route.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fallback: Option<StoredFallback>,
}

/// Who gets packets of an IP-VPN that have no route.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StoredFallback {
    /// Number of the port that they leave by.
    pub port: PortId,
    /// Who gets them.
    #[serde(flatten)]
    pub last_resort: LastResort,
}

/// An attachment of an E-VPN to an IP-VPN.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct StoredPlug {
    /// Number of the E-VPN.
    pub evpn: VpnId,
    /// The MAC address that was given.
    pub mac: MacAddr,
    /// The prefix.
    #[serde(flatten)]
    pub prefix: StoredPrefix,
}

/// A prefix that is attached to an IP-VPN.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct StoredPrefix {
    /// The address and the length of its subnet.
    pub address: InterfaceAddress,
    /// What becomes of it.
    #[serde(flatten)]
    pub endpoint: Endpoint,
    /// Number in its route distinguisher, if it is not that of the instance.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rd: Option<VpnId>,
}

/// A port.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct StoredPort {
    /// Its number.
    pub number: PortId,
    /// Its interface.
    pub interface: String,
    /// The MAC addresses on it, in order.
    pub macs: Vec<StoredMac>,
}

/// A MAC address of a port.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct StoredMac {
    /// The MAC address.
    pub mac: MacAddr,
    /// Its IP addresses; any, if there are none.
    pub ips: BTreeSet<IpAddr>,
    /// Its sequence number (RFC 7432 §7.7).
    pub sequence: u32,
    /// Its label in an IP-VPN.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub label: Option<Label>,
    /// Number in the route distinguishers of what is announced again with that label.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub relay_rd: Option<VpnId>,
    /// Its prefixes in an IP-VPN.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub prefixes: Vec<StoredPrefix>,
    /// Its description.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub description: Option<Value>,
}

impl Vpns {
    /// All attachments and identifiers, to be stored; not the networks, of which instances know nothing.
    #[must_use]
    pub fn snapshot(&self) -> Snapshot {
        Snapshot {
            next: self.next(),
            vpns: self.instances.values().filter(|instance| instance.redirect.is_none()).map(store).collect(),
            redirects: self.redirects(),
            networks: Networks::default(),
        }
    }

    /// Where the search for free identifiers goes on.
    pub(super) fn next(&self) -> NextNumbers {
        NextNumbers {
            vpn: self.numbers.position(),
            port: self.ports.position(),
            vni: self.vnis.position(),
            label: self.labels.position(),
        }
    }

    /// The instances that route what flow specifications redirect.
    pub(super) fn redirects(&self) -> Vec<StoredRedirect> {
        self.instances.values().filter_map(store_redirect).collect()
    }

    /// Takes up stored attachments.
    ///
    /// # Errors
    /// The stored state contradicts itself.
    pub fn restore(config: VpnsConfig, snapshot: &Snapshot) -> Result<Self, RestoreError> {
        let mut vpns = Self::new(config);
        for stored in &snapshot.vpns {
            vpns.restore_vpn(stored)?;
        }
        for stored in &snapshot.vpns {
            vpns.restore_plugs(stored)?;
        }
        for stored in &snapshot.vpns {
            if vpns.instances.get(&stored.number).is_some_and(Instance::is_empty) {
                return Err(fault(stored, "instance", &stored.name, "has no ports"));
            }
        }
        for stored in &snapshot.redirects {
            vpns.restore_redirect(stored)?;
        }
        vpns.numbers.resume(snapshot.next.vpn);
        vpns.ports.resume(snapshot.next.port);
        vpns.vnis.resume(snapshot.next.vni);
        vpns.labels.resume(snapshot.next.label);
        Ok(vpns)
    }

    /// What nothing is redirected to any longer goes when all flow specifications have come.
    fn restore_redirect(&mut self, stored: &StoredRedirect) -> Result<(), RestoreError> {
        let StoredRedirect { target, number, vni, label } = *stored;
        let vpn = name_of_redirect(target);
        let (what, value) = match () {
            () if self.names.contains_key(&vpn) => ("name", vpn.clone()),
            () if number == 0 || self.numbers.is_used(number.into()) => ("number", number.to_string()),
            () if self.owners.contains_key(&vni) => ("VNI", vni.to_string()),
            () if self.labels.is_used(label.get()) => ("label", label.to_string()),
            () => {
                self.create_redirect(target, number, vni, label);
                return Ok(());
            }
        };
        Err(RestoreError { what, value, vpn, problem: "is zero or there twice" })
    }

    fn restore_vpn(&mut self, stored: &StoredVpn) -> Result<(), RestoreError> {
        let fault = |what, value: &dyn ToString, problem| fault(stored, what, value, problem);
        if self.names.contains_key(&stored.name) {
            return Err(fault("name", &stored.name, "is there twice"));
        }
        if stored.number == 0 || self.instances.contains_key(&stored.number) {
            return Err(fault("number", &stored.number, "is zero or there twice"));
        }
        if self.owners.contains_key(&stored.vni) {
            return Err(fault("VNI", &stored.vni, "is there twice"));
        }
        let is_routed = stored.router.is_some();
        let label = match stored.label {
            Some(label) if self.labels.is_used(label.get()) => {
                return Err(fault("label", &label, "is there twice"));
            }
            Some(label) => Some(label),
            // The configuration asks for labels that it did not ask for when this was stored.
            None if self.needs_label(is_routed) => self.labels.peek().and_then(Label::new),
            None => None,
        };
        if is_routed && label.is_none() {
            return Err(fault("label", &"none", "is left of [vpn] labels"));
        }
        let label = label.filter(|_| self.needs_label(is_routed));
        self.create(stored.number, &stored.name, stored.vni, label, is_routed);
        self.set_import(stored.number, &stored.import);
        let relay = stored.router.as_ref().and_then(|router| router.relay.as_ref());
        if let Some(relay) = relay {
            self.set_relay(stored.number, relay);
        }
        self.touched.insert(stored.number);
        let Some(instance) = self.instances.get_mut(&stored.number) else { return Ok(()) };
        if let Some(StoredFallback { port, last_resort }) =
            stored.router.as_ref().and_then(|router| router.fallback.as_ref())
        {
            if !self.ports.range().contains(port) || !self.ports.take(*port) {
                return Err(fault("port number", port, "is out of range or there twice"));
            }
            instance.set_fallback(*port, last_resort);
        }
        instance.export.clone_from(&stored.export);
        instance.description.clone_from(&stored.description);
        if let Some(gateway) = stored.gateway {
            instance.set_gateway(gateway);
        }
        for port in &stored.ports {
            if !self.ports.range().contains(&port.number) || !self.ports.take(port.number) {
                return Err(fault("port number", &port.number, "is out of range or there twice"));
            }
            let place = (stored.number, port.number);
            if self.interfaces.insert(port.interface.clone(), place).is_some() {
                return Err(fault("interface", &port.interface, "is there twice"));
            }
            if port.macs.is_empty() {
                return Err(fault("interface", &port.interface, "has no MAC addresses"));
            }
            for stored_mac in &port.macs {
                let StoredMac { mac, ips, sequence, description, label, relay_rd, prefixes } = stored_mac;
                if instance.local_mac(mac).is_some() {
                    return Err(fault("MAC address", mac, "is there twice"));
                }
                if let Some(ip) = ips.iter().find(|ip| instance.local.owner(ip).is_some()) {
                    return Err(fault("IP address", ip, "is there twice"));
                }
                if is_routed {
                    let label = label.filter(|label| self.labels.take(label.get()));
                    if label.is_none() || prefixes.is_empty() {
                        return Err(fault("MAC address", mac, "has no prefix, or no label of its own"));
                    }
                    if relay.is_some() && relay_rd.is_none() {
                        return Err(fault("MAC address", mac, "has no number for what is announced again"));
                    }
                    self.numbers.take_each(*relay_rd);
                    if let Some(router) = &mut instance.router {
                        router.relay_rds.extend(relay_rd.map(|number| (*mac, number)));
                    }
                    for prefix in prefixes {
                        self.numbers.take_each(prefix.rd);
                        let attachment = (Site::Port(*mac), prefix.address);
                        let place = Some((port.number, port.interface.as_str()));
                        instance.attach_prefix(place, attachment, prefix.attached(), label);
                    }
                } else {
                    instance.restore(port.number, &port.interface, *mac, ips, *sequence);
                }
                if let Some(entry) = instance.local.macs.get_mut(mac) {
                    entry.description.clone_from(description);
                }
            }
        }
        Ok(())
    }

    /// Plugs E-VPN instances in, when all instances are there.
    fn restore_plugs(&mut self, stored: &StoredVpn) -> Result<(), RestoreError> {
        let Some(router) = &stored.router else { return Ok(()) };
        for plug in &router.plugs {
            let evpn = self.instances.get(&plug.evpn).filter(|evpn| evpn.router.is_none());
            if evpn.is_none_or(|evpn| evpn.plug.as_ref().is_some_and(|plug| plug.ipvpn != stored.number)) {
                return Err(fault(stored, "E-VPN", &plug.evpn, "is not there, or plugged in twice"));
            }
            self.numbers.take_each(plug.prefix.rd);
            if let Some(instance) = self.instances.get_mut(&stored.number) {
                let attachment = (Site::Evpn(plug.evpn, plug.mac), plug.prefix.address);
                instance.attach_prefix(None, attachment, plug.prefix.attached(), None);
            }
        }
        if let Some(instance) = self.instances.get_mut(&stored.number).and_then(|it| it.router.as_mut()) {
            instance.proxy = router.proxy;
        }
        self.replug(stored.number);
        Ok(())
    }
}

impl StoredPrefix {
    pub(super) const fn new(address: InterfaceAddress, attached: &Attached) -> Self {
        Self { address, endpoint: attached.endpoint, rd: attached.rd }
    }

    const fn attached(&self) -> Attached {
        Attached { endpoint: self.endpoint, rd: self.rd }
    }
}

fn fault(
    stored: &StoredVpn,
    what: &'static str,
    value: &dyn ToString,
    problem: &'static str,
) -> RestoreError {
    RestoreError { what, value: value.to_string(), vpn: stored.name.clone(), problem }
}

fn store_router(router: &Router) -> StoredRouter {
    let plugs = router.attached.iter().filter_map(|((site, address), attached)| {
        let Site::Evpn(evpn, mac) = *site else { return None };
        Some(StoredPlug { evpn, mac, prefix: StoredPrefix::new(*address, attached) })
    });
    let fallback = router.fallback.clone();
    let fallback = fallback.map(|(port, last_resort)| StoredFallback { port, last_resort });
    StoredRouter { proxy: router.proxy, plugs: plugs.collect(), relay: router.relay().cloned(), fallback }
}

fn store_redirect(instance: &Instance) -> Option<StoredRedirect> {
    let (target, router) = (instance.redirect?, instance.router.as_ref()?);
    Some(StoredRedirect { target, number: instance.id, vni: instance.originator.vni, label: router.label })
}

/// An instance with its ports.
pub(super) fn store(instance: &Instance) -> StoredVpn {
    let ports = &instance.local.ports;
    StoredVpn {
        ports: ports.iter().map(|(number, port)| store_port(instance, *number, port)).collect(),
        ..store_head(instance)
    }
}

/// An instance without its ports.
pub(super) fn store_head(instance: &Instance) -> StoredVpn {
    StoredVpn {
        name: instance.name.clone(),
        number: instance.id,
        vni: instance.originator.vni,
        import: instance.import.clone(),
        export: instance.export.clone(),
        gateway: instance.gateway,
        description: instance.description.clone(),
        label: instance.router.as_ref().map(|router| router.label).or(instance.originator.bridge),
        router: instance.router.as_deref().map(store_router),
        ports: Vec::new(),
    }
}

/// A port of an instance.
pub(super) fn store_port(instance: &Instance, number: PortId, port: &LocalPort) -> StoredPort {
    let mac = |mac: &MacAddr| {
        let entry = instance.local_mac(mac)?;
        Some(StoredMac {
            mac: *mac,
            ips: if instance.router.is_some() { BTreeSet::new() } else { entry.ips.clone() },
            sequence: entry.sequence,
            label: instance.router.as_ref().and_then(|router| router.labels.get(mac).copied()),
            relay_rd: instance.router.as_ref().and_then(|router| router.relay_rds.get(mac).copied()),
            prefixes: instance
                .router
                .iter()
                .flat_map(|router| router.of_site(Site::Port(*mac)))
                .map(|(address, attached)| StoredPrefix::new(address, attached))
                .collect(),
            description: entry.description.clone(),
        })
    };
    StoredPort { number, interface: port.interface.clone(), macs: port.macs.iter().filter_map(mac).collect() }
}
