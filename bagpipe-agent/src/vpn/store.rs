//! The state of all attachments as it is stored, so that after a restart the same identifiers, and so the same
//! routes and the same forwarding state, come out.

use std::collections::BTreeSet;
use std::net::IpAddr;

use bagpipe_bgp::types::{MacAddr, RouteTarget, Vni};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::error::RestoreError;
use super::instance::Instance;
use super::vpns::{Vpns, VpnsConfig};
use crate::fib::{PortId, VpnId};

/// All attachments and identifiers.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Snapshot {
    /// Where the search for free identifiers goes on.
    pub next: NextNumbers,
    /// The instances, by number.
    pub vpns: Vec<StoredVpn>,
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
    /// Its ports, by number.
    pub ports: Vec<StoredPort>,
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
    /// Its description.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub description: Option<Value>,
}

impl Vpns {
    /// All attachments and identifiers, to be stored.
    #[must_use]
    pub fn snapshot(&self) -> Snapshot {
        Snapshot {
            next: NextNumbers {
                vpn: self.numbers.position(),
                port: self.ports.position(),
                vni: self.vnis.position(),
            },
            vpns: self.instances.values().map(store).collect(),
        }
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
        vpns.numbers.resume(snapshot.next.vpn);
        vpns.ports.resume(snapshot.next.port);
        vpns.vnis.resume(snapshot.next.vni);
        Ok(vpns)
    }

    fn restore_vpn(&mut self, stored: &StoredVpn) -> Result<(), RestoreError> {
        let fault = |what, value: &dyn ToString, problem| RestoreError {
            what,
            value: value.to_string(),
            vpn: stored.name.clone(),
            problem,
        };
        if self.names.contains_key(&stored.name) {
            return Err(fault("name", &stored.name, "is there twice"));
        }
        if stored.number == 0 || self.instances.contains_key(&stored.number) {
            return Err(fault("number", &stored.number, "is zero or there twice"));
        }
        if self.owners.contains_key(&stored.vni) {
            return Err(fault("VNI", &stored.vni, "is there twice"));
        }
        if stored.ports.is_empty() {
            return Err(fault("instance", &stored.name, "has no ports"));
        }
        self.create(stored.number, &stored.name, stored.vni);
        self.set_import(stored.number, &stored.import);
        self.touched.insert(stored.number);
        let Some(instance) = self.instances.get_mut(&stored.number) else { return Ok(()) };
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
            for StoredMac { mac, ips, sequence, description } in &port.macs {
                if instance.local_mac(mac).is_some() {
                    return Err(fault("MAC address", mac, "is there twice"));
                }
                if let Some(ip) = ips.iter().find(|ip| instance.local.owner(ip).is_some()) {
                    return Err(fault("IP address", ip, "is there twice"));
                }
                instance.restore(port.number, &port.interface, *mac, ips, *sequence);
                if let Some(entry) = instance.local.macs.get_mut(mac) {
                    entry.description.clone_from(description);
                }
            }
        }
        Ok(())
    }
}

fn store(instance: &Instance) -> StoredVpn {
    let mac = |mac: &MacAddr| {
        let entry = instance.local_mac(mac)?;
        Some(StoredMac {
            mac: *mac,
            ips: entry.ips.clone(),
            sequence: entry.sequence,
            description: entry.description.clone(),
        })
    };
    StoredVpn {
        name: instance.name.clone(),
        number: instance.id,
        vni: instance.originator.vni,
        import: instance.import.clone(),
        export: instance.export.clone(),
        gateway: instance.gateway,
        description: instance.description.clone(),
        ports: instance
            .local
            .ports
            .iter()
            .map(|(number, port)| StoredPort {
                number: *number,
                interface: port.interface.clone(),
                macs: port.macs.iter().filter_map(mac).collect(),
            })
            .collect(),
    }
}
