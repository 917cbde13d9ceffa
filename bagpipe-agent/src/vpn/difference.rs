//! What has changed of the attachments since they were stored: what an attach writes is as little as what it changes,
//! however much is attached besides.
//!
//! As elsewhere, nobody tells what has changed: what is there is compared with what is stored.

use serde::{Deserialize, Serialize};

use super::instance::Instance;
use super::local::LocalPort;
use super::networks::Networks;
use super::router::Site;
use super::store::{
    NextNumbers, Snapshot, StoredMac, StoredPort, StoredPrefix, StoredRedirect, StoredVpn, store, store_head,
    store_port,
};
use super::vpns::Vpns;
use crate::fib::{PortId, VpnId};
use bagpipe_bgp::types::MacAddr;

/// What makes a later [`Snapshot`] of an earlier one.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Difference {
    /// Where the search for free identifiers goes on.
    pub next: NextNumbers,
    /// Instances that are new, or have changed.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub changed: Vec<ChangedVpn>,
    /// Instances that were removed.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub gone: Vec<VpnId>,
    /// The instances that route what flow specifications redirect, if they have changed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub redirects: Option<Vec<StoredRedirect>>,
    /// The named networks, if they have changed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub networks: Option<Networks>,
}

/// An instance that has changed.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ChangedVpn {
    /// All of it, but of its ports only those that are new or have changed.
    pub vpn: StoredVpn,
    /// Ports that were removed.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub gone: Vec<PortId>,
}

impl Vpns {
    /// What has changed since a snapshot of these instances.
    #[must_use]
    pub fn difference(&self, stored: &Snapshot) -> Difference {
        let numbers = stored.vpns.iter().map(|vpn| vpn.number);
        let redirects = self.redirects();
        let attached = |instance: &&Instance| instance.redirect.is_none();
        Difference {
            next: self.next(),
            changed: self
                .instances
                .values()
                .filter(attached)
                .filter_map(|instance| change(instance, stored.vpn(instance.id)))
                .collect(),
            gone: numbers.filter(|number| self.instances.get(number).filter(attached).is_none()).collect(),
            redirects: (redirects != stored.redirects).then_some(redirects),
            networks: None,
        }
    }
}

impl Snapshot {
    /// Makes the later snapshot of this one.
    pub fn apply(&mut self, Difference { next, changed, gone, redirects, networks }: Difference) {
        self.next = next;
        self.vpns.retain(|vpn| !gone.contains(&vpn.number));
        for ChangedVpn { vpn, gone } in changed {
            let place = self.vpns.binary_search_by_key(&vpn.number, |vpn| vpn.number);
            match place.map(|place| self.vpns.get_mut(place)) {
                Ok(stored) => stored.into_iter().for_each(|stored| stored.apply(vpn.clone(), &gone)),
                Err(place) => self.vpns.insert(place, vpn),
            }
        }
        if let Some(redirects) = redirects {
            self.redirects = redirects;
        }
        if let Some(networks) = networks {
            self.networks = networks;
        }
    }

    fn vpn(&self, number: VpnId) -> Option<&StoredVpn> {
        let place = self.vpns.binary_search_by_key(&number, |vpn| vpn.number).ok()?;
        self.vpns.get(place)
    }
}

impl StoredVpn {
    fn apply(&mut self, changed: Self, gone: &[PortId]) {
        let mut ports = std::mem::take(&mut self.ports);
        ports.retain(|port| !gone.contains(&port.number));
        for port in changed.ports {
            match ports.binary_search_by_key(&port.number, |port| port.number) {
                Ok(place) => ports.get_mut(place).into_iter().for_each(|stored| stored.clone_from(&port)),
                Err(place) => ports.insert(place, port),
            }
        }
        *self = Self { ports, ..changed };
    }

    fn port(&self, number: PortId) -> Option<&StoredPort> {
        let place = self.ports.binary_search_by_key(&number, |port| port.number).ok()?;
        self.ports.get(place)
    }

    /// Whether all but the ports is the same.
    fn has_head(&self, head: &Self) -> bool {
        let Self { name, number, vni, import, export, gateway, description, label, router, ports: _ } = self;
        (name, number, vni, import, export)
            == (&head.name, &head.number, &head.vni, &head.import, &head.export)
            && (gateway, description, label, router)
                == (&head.gateway, &head.description, &head.label, &head.router)
    }
}

fn change(instance: &Instance, stored: Option<&StoredVpn>) -> Option<ChangedVpn> {
    let Some(stored) = stored else {
        return Some(ChangedVpn { vpn: store(instance), gone: Vec::new() });
    };
    let head = store_head(instance);
    let ports: Vec<StoredPort> = instance
        .local
        .ports
        .iter()
        .filter(|(number, port)| {
            !stored.port(**number).is_some_and(|stored| is_stored(instance, port, stored))
        })
        .map(|(number, port)| store_port(instance, *number, port))
        .collect();
    let numbers = stored.ports.iter().map(|port| port.number);
    let gone: Vec<PortId> = numbers.filter(|number| !instance.local.ports.contains_key(number)).collect();
    let is_same = ports.is_empty() && gone.is_empty() && stored.has_head(&head);
    (!is_same).then_some(ChangedVpn { vpn: StoredVpn { ports, ..head }, gone })
}

/// Whether a port is stored as it is. Nearly all are: nothing is made to find that out.
fn is_stored(instance: &Instance, port: &LocalPort, stored: &StoredPort) -> bool {
    let StoredPort { number: _, interface, macs } = stored;
    *interface == port.interface
        && macs.len() == port.macs.len()
        && port.macs.iter().zip(macs).all(|(mac, stored)| is_mac_stored(instance, *mac, stored))
}

fn is_mac_stored(instance: &Instance, own: MacAddr, stored: &StoredMac) -> bool {
    let StoredMac { mac, ips, sequence, label, relay_rd, prefixes, description } = stored;
    let Some(entry) = instance.local_mac(&own) else { return false };
    let is_same = *mac == own && *sequence == entry.sequence && *description == entry.description;
    is_same
        && match &instance.router {
            None => *ips == entry.ips && label.is_none() && relay_rd.is_none() && prefixes.is_empty(),
            Some(router) => {
                let attached = router.of_site(Site::Port(own));
                ips.is_empty()
                    && *label == router.labels.get(&own).copied()
                    && *relay_rd == router.relay_rds.get(&own).copied()
                    && attached
                        .map(|(address, attached)| StoredPrefix::new(address, attached))
                        .eq(prefixes.iter().cloned())
            }
        }
}
