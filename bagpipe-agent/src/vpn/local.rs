//! What is attached to a VPN instance on this node. The attach request is the authority: nothing here changes
//! because of what is seen on the wire.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use bagpipe_bgp::types::MacAddr;
use rustc_hash::FxHashMap;
use serde_json::Value;

use crate::fib::PortId;

/// Ports, MAC addresses and IP addresses of an instance on this node.
#[derive(Debug, Default)]
pub(crate) struct Local {
    pub(crate) ports: BTreeMap<PortId, LocalPort>,
    pub(crate) macs: FxHashMap<MacAddr, LocalMac>,
    /// An address that an IP-VPN announces may be that of several MAC addresses.
    ips: FxHashMap<IpAddr, Owners>,
}

/// The MAC addresses that have an IP address; nearly always one.
#[derive(Clone, Debug)]
enum Owners {
    One(MacAddr),
    Several(BTreeSet<MacAddr>),
}

#[derive(Debug)]
pub(crate) struct LocalPort {
    pub(crate) interface: String,
    pub(crate) macs: BTreeSet<MacAddr>,
}

#[derive(Debug)]
pub(crate) struct LocalMac {
    pub(crate) port: PortId,
    /// Its IP addresses; if there are none, it may use any.
    pub(crate) ips: BTreeSet<IpAddr>,
    /// Sequence number it is advertised with (RFC 7432 §7.7).
    pub(crate) sequence: u32,
    /// Another node has the better claim: the address is not advertised (RFC 7432 §15).
    pub(crate) contested: bool,
    /// It was attached while the routes of its instance had not come yet: see [`Instance::judge`].
    ///
    /// [`Instance::judge`]: super::instance::Instance::judge
    pub(crate) unheard: bool,
    pub(crate) description: Option<Value>,
}

impl LocalMac {
    /// Whether the route for `ip` (or the one without an IP address) is one of this MAC address.
    pub(crate) fn has(&self, ip: Option<IpAddr>) -> bool {
        match ip {
            Some(ip) => self.ips.contains(&ip),
            None => self.ips.is_empty(),
        }
    }

    /// The IP fields of the routes of this MAC address: each IP address, or one route without.
    pub(crate) fn routes(&self) -> impl Iterator<Item = Option<IpAddr>> {
        self.ips.iter().copied().map(Some).chain(self.ips.is_empty().then_some(None))
    }
}

impl Local {
    /// The port, added if it is new.
    pub(crate) fn add_port(&mut self, port: PortId, interface: &str) {
        self.ports
            .entry(port)
            .or_insert_with(|| LocalPort { interface: interface.to_owned(), macs: BTreeSet::new() });
    }

    /// Adds a MAC address to a port, both new or known.
    pub(crate) fn add_mac(&mut self, port: PortId, mac: MacAddr, sequence: u32) -> &mut LocalMac {
        if let Some(port) = self.ports.get_mut(&port) {
            port.macs.insert(mac);
        }
        self.macs.entry(mac).or_insert_with(|| LocalMac {
            port,
            ips: BTreeSet::new(),
            sequence,
            contested: false,
            unheard: false,
            description: None,
        })
    }

    pub(crate) fn add_ip(&mut self, mac: MacAddr, ip: IpAddr) {
        if let Some(entry) = self.macs.get_mut(&mac) {
            entry.ips.insert(ip);
            self.ips.entry(ip).and_modify(|owners| owners.add(mac)).or_insert(Owners::One(mac));
        }
    }

    pub(crate) fn remove_ip(&mut self, mac: MacAddr, ip: IpAddr) {
        if let Some(entry) = self.macs.get_mut(&mac)
            && entry.ips.remove(&ip)
        {
            self.disown(ip, mac);
        }
    }

    /// Removes a MAC address with its IP addresses, and its port with the last one; tells which port that was.
    pub(crate) fn remove_mac(&mut self, mac: MacAddr) -> Option<(PortId, LocalPort)> {
        let entry = self.macs.remove(&mac)?;
        for ip in &entry.ips {
            self.disown(*ip, mac);
        }
        let port = self.ports.get_mut(&entry.port)?;
        port.macs.remove(&mac);
        let empty = port.macs.is_empty();
        empty.then(|| self.ports.remove(&entry.port).map(|port| (entry.port, port))).flatten()
    }

    fn disown(&mut self, ip: IpAddr, mac: MacAddr) {
        if self.ips.get_mut(&ip).is_some_and(|owners| owners.remove(mac)) {
            self.ips.remove(&ip);
        }
    }

    /// The MAC address that an IP address is attached with, if it is only one.
    pub(crate) fn owner(&self, ip: &IpAddr) -> Option<MacAddr> {
        match self.ips.get(ip)? {
            Owners::One(mac) => Some(*mac),
            Owners::Several(_) => None,
        }
    }
}

impl Owners {
    fn add(&mut self, mac: MacAddr) {
        match self {
            Self::One(owner) => *self = Self::Several([*owner, mac].into()),
            Self::Several(owners) => drop(owners.insert(mac)),
        }
        self.simplify();
    }

    /// Whether none is left.
    fn remove(&mut self, mac: MacAddr) -> bool {
        match self {
            Self::One(owner) => *owner == mac,
            Self::Several(owners) => {
                owners.remove(&mac);
                self.simplify();
                false
            }
        }
    }

    fn simplify(&mut self) {
        if let Self::Several(owners) = self
            && let (1, Some(owner)) = (owners.len(), owners.first())
        {
            *self = Self::One(*owner);
        }
    }
}
