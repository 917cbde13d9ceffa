//! From desired state to map entries: for each key, what should be there now.
//!
//! Changes only mark keys as dirty; [`Tables::commit`](super::commit) asks [`Tables::desired`] for each of them
//! and writes what differs from the mirror of what has been written. Verification asks the same function for
//! every key.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use bagpipe_bgp::types::{IpPrefix, Label, MacAddr, Vni};
use bagpipe_common::{
    self as abi, FdbKey, FloodKey, FloodScope, NeighborKey, TargetKind, TunnelKey, VlanKey, limits,
    neighbor_flags, port_flags,
};
use rustc_hash::FxHashMap;

use super::address::{address_of, ip_of};
use super::egress::Egress;
use super::entry::{Key, Map};
use super::floods::Floods;
use super::groups::{Group, Groups};
use super::links::{Link, Links};
use super::nexthops::Nexthops;
use super::numbered::Numbered;
use super::rules::Rules;
use super::underlay::Underlay;
use super::value::Value;
use crate::fib::{Adjacency, Change, Fib, MplsForm, PortId, Segment, Target, VpnId, on_trunk};

/// An object of the desired state, by name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum Object {
    /// A port.
    Port(PortId),
    /// Where a MAC address is.
    Mac(VpnId, MacAddr),
    /// The remote endpoints of a segment.
    Segment(Segment),
    /// The MAC address of an IP address.
    Neighbor(VpnId, IpAddr),
    /// A member of a flood list.
    Flood(VpnId, Target),
    /// An accepted remote endpoint.
    Endpoint(VpnId, IpAddr),
    /// An instance.
    Vpn(VpnId),
    /// The router of an instance.
    Router(VpnId),
    /// An IP prefix.
    Route(VpnId, IpPrefix),
    /// The rules of an instance.
    Classifier(VpnId),
    /// A label.
    Label(Label),
}

impl Object {
    /// The object that a change is about.
    #[must_use]
    pub(crate) const fn of(change: &Change) -> Self {
        match change {
            Change::Vpn(vpn, _) => Self::Vpn(*vpn),
            Change::Router(vpn, _) => Self::Router(*vpn),
            Change::Segment(segment, _) => Self::Segment(*segment),
            Change::Route(vpn, prefix, _) => Self::Route(*vpn, *prefix),
            Change::Classifier(vpn, _) => Self::Classifier(*vpn),
            Change::Label(label, _) => Self::Label(*label),
            Change::Port(port, _) => Self::Port(*port),
            Change::Mac(vpn, mac, _) => Self::Mac(*vpn, *mac),
            Change::Neighbor(vpn, ip, _) => Self::Neighbor(*vpn, *ip),
            Change::Flood(vpn, target, _) => Self::Flood(*vpn, *target),
            Change::Endpoint(vpn, endpoint, _) => Self::Endpoint(*vpn, *endpoint),
        }
    }

    /// The change that removes it.
    #[must_use]
    pub(crate) const fn removal(self) -> Change {
        match self {
            Self::Vpn(vpn) => Change::Vpn(vpn, None),
            Self::Router(vpn) => Change::Router(vpn, None),
            Self::Segment(segment) => Change::Segment(segment, None),
            Self::Route(vpn, prefix) => Change::Route(vpn, prefix, None),
            Self::Classifier(vpn) => Change::Classifier(vpn, None),
            Self::Label(label) => Change::Label(label, None),
            Self::Port(port) => Change::Port(port, None),
            Self::Mac(vpn, mac) => Change::Mac(vpn, mac, None),
            Self::Neighbor(vpn, ip) => Change::Neighbor(vpn, ip, None),
            Self::Flood(vpn, target) => Change::Flood(vpn, target, false),
            Self::Endpoint(vpn, endpoint) => Change::Endpoint(vpn, endpoint, false),
        }
    }

    pub(super) const fn vpn(self) -> Option<VpnId> {
        match self {
            Self::Port(_) | Self::Label(_) => None,
            Self::Segment(segment) => Some(segment.vpn),
            Self::Mac(vpn, _)
            | Self::Neighbor(vpn, _)
            | Self::Flood(vpn, _)
            | Self::Endpoint(vpn, _)
            | Self::Router(vpn)
            | Self::Classifier(vpn)
            | Self::Route(vpn, _)
            | Self::Vpn(vpn) => Some(vpn),
        }
    }
}

/// Why an entry that should be there is not.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Failure {
    /// The map takes no more entries.
    #[error("map {map} is full")]
    Full {
        /// The map.
        map: Map,
    },
    /// The kernel refused.
    #[error("the kernel refused an entry of map {map}: {error}")]
    Refused {
        /// The map.
        map: Map,
        /// What it said.
        error: String,
    },
    /// The port program could not be put on an interface.
    #[error("can't put the port program on interface {interface}: {error}")]
    Unattached {
        /// Name of the interface.
        interface: String,
        /// What the kernel said.
        error: String,
    },
}

/// Desired state, and what was derived from it and written.
#[derive(Debug)]
pub(crate) struct Tables {
    pub(super) fib: Fib,
    /// What was adopted from the maps and not yet confirmed, and what part of it was told again.
    pub(super) stale: FxHashMap<Object, Option<Change>>,
    pub(super) vpn_of_vni: BTreeMap<u32, VpnId>,
    pub(super) port_of_interface: BTreeMap<String, PortId>,
    egress: Egress,
    pub(super) links: Links,
    pub(super) underlay: Underlay,
    pub(super) nexthops: Nexthops,
    /// Ethernet headers of routed packets. What is in a slot that nothing refers to stays until that is used again.
    pub(super) adjacencies: Numbered<Adjacency>,
    pub(super) groups: Groups,
    /// Rules of instances, each with those that follow it.
    pub(super) rules: Numbered<Rules>,
    pub(super) floods: Floods,
    /// Keys whose entry may differ from what is desired, in any order and more than once.
    pub(super) dirty: Vec<Key>,
    /// What has been written.
    pub(super) mirror: BTreeMap<Key, Value>,
    /// What could not be written.
    pub(super) failed: BTreeMap<Key, Failure>,
    /// Space has come since something could not be written.
    pub(super) retry: bool,
    /// The first thing in this commit that could not be done and that had been no problem before.
    pub(super) setback: Option<Failure>,
    /// Interfaces that the port program is on.
    pub(super) attached: BTreeSet<u32>,
    /// Interfaces that the port program could not be put on.
    pub(super) unattached: BTreeMap<u32, Failure>,
}

impl Tables {
    /// Empty tables over this underlay.
    #[must_use]
    pub(crate) fn new(underlay: Underlay) -> Self {
        Self {
            fib: Fib::default(),
            stale: FxHashMap::default(),
            vpn_of_vni: BTreeMap::new(),
            port_of_interface: BTreeMap::new(),
            egress: Egress::default(),
            links: Links::default(),
            underlay,
            nexthops: Nexthops::default(),
            adjacencies: Numbered::new(limits::ADJACENCIES),
            groups: Groups::default(),
            rules: Numbered::new(limits::RULES),
            floods: Floods::default(),
            dirty: Vec::new(),
            mirror: BTreeMap::new(),
            failed: BTreeMap::new(),
            retry: false,
            setback: None,
            attached: BTreeSet::new(),
            unattached: BTreeMap::new(),
        }
    }

    /// The desired state.
    #[must_use]
    pub(crate) const fn fib(&self) -> &Fib {
        &self.fib
    }

    /// The interfaces.
    #[must_use]
    pub(crate) const fn links(&self) -> &Links {
        &self.links
    }

    /// Takes a change of the desired state.
    pub(crate) fn apply(&mut self, change: &Change) {
        if !self.confirm(change) {
            return;
        }
        match change {
            Change::Vpn(vpn, vni) => self.set_vpn(*vpn, *vni),
            Change::Port(port, value) => self.set_port(*port, value.as_ref()),
            Change::Mac(vpn, mac, value) => {
                self.refer(value.map(|value| value.target));
                self.unrefer(self.fib.macs.get(&(*vpn, *mac)).map(|old| old.target));
                self.dirty.push(Key::Fdb(FdbKey { vpn: *vpn, mac: mac.0 }));
            }
            Change::Neighbor(vpn, ip, _) => {
                self.dirty.push(Key::Neighbor(NeighborKey { address: address_of(*ip), vpn: *vpn, zero: 0 }));
            }
            Change::Flood(vpn, target, wanted) => {
                let present = self.fib.floods.contains(&(*vpn, *target));
                match (present, *wanted) {
                    (false, true) => self.refer(Some(*target)),
                    (true, false) => self.unrefer(Some(*target)),
                    _ => {}
                }
                self.floods.set(*vpn, *target, *wanted);
            }
            Change::Endpoint(vpn, endpoint, _) => {
                self.dirty.push(Key::of_endpoint(*vpn, *endpoint));
                if let Some(vni) = self.fib.vpns.get(vpn) {
                    self.dirty.push(Key::of_tunnel(*endpoint, vni.get()));
                }
            }
            Change::Segment(segment, targets) => self.replace_segment(*segment, targets.as_ref()),
            Change::Router(vpn, _) => self.dirty.push(Key::Router(*vpn)),
            Change::Route(vpn, prefix, route) => {
                self.replace_route((*vpn, *prefix), route.as_ref());
                self.dirty.push(Key::of_route(*vpn, *prefix));
            }
            Change::Classifier(vpn, rules) => {
                self.replace_rules(*vpn, rules.as_ref());
                self.dirty.push(Key::Classifier(*vpn));
            }
            Change::Label(label, meaning) => {
                self.replace_label(*label, *meaning);
                self.dirty.push(Key::Label(label.get()));
            }
        }
        self.fib.apply(change);
    }

    /// Takes what netlink says of an interface.
    pub(crate) fn set_link(&mut self, link: Link) {
        if self.links.get(link.index) == Some(&link) {
            return;
        }
        let (index, name) = (link.index, link.name.clone());
        let old = self.links.set(link);
        self.link_changed(index, [Some(name), old.map(|old| old.name)]);
    }

    /// Takes that an interface is gone.
    pub(crate) fn remove_link(&mut self, index: u32) {
        if let Some(old) = self.links.remove(index) {
            // Its program went with it, and another may come with the same index.
            self.attached.remove(&index);
            self.unattached.remove(&index);
            self.link_changed(index, [Some(old.name), None]);
        }
    }

    /// What the entry of a key should be.
    ///
    /// # Errors
    /// Why there can't be one although there should.
    pub(crate) fn desired(&self, key: &Key) -> Result<Option<Value>, Failure> {
        Ok(match key {
            Key::Encap(slot) => self.nexthops.encap(*slot),
            Key::Nexthop(number) => self.nexthops.nexthop(*number),
            Key::Port(port) => self.port(*port).map(Value::Port),
            Key::Adjacency(slot) => self.adjacency(*slot)?,
            Key::Bucket(index) => self.bucket(*index)?,
            Key::Host(key) => self.host_route(key)?,
            Key::Route(key) => self.other_route(key)?,
            Key::Rule(slot) => self.rule(*slot)?,
            Key::Classifier(vpn) => self.first_rule(*vpn)?,
            Key::Label(label) => self.label(*label)?,
            Key::Router(vpn) => self.router(*vpn),
            Key::Neighbor(key) => self.neighbor(key).map(Value::Neighbor),
            Key::Fdb(key) => match self.fib.macs.get(&(key.vpn, MacAddr(key.mac))) {
                Some(mac) => Some(Value::Target(self.target(mac.target, mac.any_ip)?)),
                None => None,
            },
            Key::Flood(key) => match self.floods.member(key) {
                Some(member) => Some(Value::Target(self.target(member, false)?)),
                None => None,
            },
            Key::Vpn(vpn) => self.vpn(*vpn).map(Value::Vpn),
            Key::Vni(vni) => self.vpn_of_vni.get(vni).map(|vpn| Value::Number(u32::from(*vpn))),
            Key::Tunnel(key) => self.tunnel(key).map(Value::Tunnel),
            Key::Endpoint(key) => {
                let accepted = self.fib.endpoints.contains(&(key.vpn, ip_of(&key.remote)));
                accepted.then_some(Value::Number(1))
            }
            Key::Vlan(key) => self.port_of_vlan(*key).map(Value::Number),
            Key::PortOfInterface(ifindex) => self.port_of_interface(*ifindex).map(Value::Number),
        })
    }

    /// The keys of all entries that there should be.
    pub(crate) fn keys(&self) -> impl Iterator<Item = Key> {
        let ports = self.fib.ports.keys().map(|port| Key::Port(*port));
        let neighbors = self
            .fib
            .neighbors
            .keys()
            .map(|(vpn, ip)| Key::Neighbor(NeighborKey { address: address_of(*ip), vpn: *vpn, zero: 0 }));
        let macs = self.fib.macs.keys().map(|(vpn, mac)| Key::Fdb(FdbKey { vpn: *vpn, mac: mac.0 }));
        let vpns = self.fib.vpns.keys().map(|vpn| Key::Vpn(*vpn));
        let vnis = self.fib.vpns.values().map(|vni| Key::Vni(vni.get()));
        let tunnels = self.fib.endpoints.iter().filter_map(|(vpn, endpoint)| {
            self.fib.vpns.get(vpn).map(|vni| Key::of_tunnel(*endpoint, vni.get()))
        });
        let taking = self.fib.ports.values().filter(|port| !port.egress);
        let interfaces = taking.flat_map(|port| self.port_keys(&port.interface));
        let endpoints = self.fib.endpoints.iter().map(|(vpn, endpoint)| Key::of_endpoint(*vpn, *endpoint));
        self.nexthops
            .keys()
            .chain(self.routing_keys())
            .chain(self.rule_keys())
            .chain(ports)
            .chain(neighbors)
            .chain(macs)
            .chain(self.floods.keys())
            .chain(vpns)
            .chain(vnis)
            .chain(tunnels)
            .chain(endpoints)
            .chain(interfaces)
    }

    fn port(&self, number: PortId) -> Option<abi::Port> {
        let port = self.fib.ports.get(&number)?;
        let (interface, vlan) = on_trunk(&port.interface);
        let link = self.links.of_name(interface);
        let redirect = vlan == 0 && link.is_some_and(Link::redirects_to_peer);
        let way = if redirect { port_flags::REDIRECT_PEER } else { vlan << port_flags::VLAN_SHIFT };
        let egress = if port.egress { port_flags::EGRESS } else { 0 };
        Some(abi::Port { ifindex: link.map_or(0, |link| link.index), vpn: port.vpn, flags: way | egress })
    }

    /// The ports on an interface: itself, and its VLANs, in order.
    fn ports_on(&self, interface: &str) -> impl Iterator<Item = (u16, PortId)> {
        let first = interface.to_owned();
        // Names that go on otherwise may come in between.
        let alike = self
            .port_of_interface
            .range(first.clone()..)
            .take_while(move |(name, _)| name.starts_with(&first));
        alike.filter_map(move |(name, port)| {
            let (trunk, vlan) = on_trunk(name);
            (trunk == interface).then_some((vlan, *port))
        })
    }

    fn port_of_interface(&self, ifindex: u32) -> Option<u32> {
        let link = self.links.get(ifindex)?;
        let mut port = None;
        for (vlan, number) in self.ports_on(&link.name) {
            port = Some(number);
            if vlan != 0 {
                return Some(abi::TRUNK);
            }
        }
        port
    }

    fn port_of_vlan(&self, key: VlanKey) -> Option<u32> {
        let link = self.links.get(key.ifindex)?;
        let mut ports =
            self.ports_on(&link.name).filter(|_| self.port_of_interface(key.ifindex) == Some(abi::TRUNK));
        ports.find(|(vlan, _)| u32::from(*vlan) == key.vlan).map(|(_, port)| port)
    }

    /// The keys by which frames from a port are known to be its own; of a trunk, that of what is not tagged, too.
    fn port_keys(&self, port: &str) -> Vec<Key> {
        let (interface, vlan) = on_trunk(port);
        let Some(link) = self.links.of_name(interface) else { return Vec::new() };
        keys_of(link.index, vlan).into()
    }

    fn neighbor(&self, key: &NeighborKey) -> Option<abi::Neighbor> {
        let neighbor = self.fib.neighbors.get(&(key.vpn, ip_of(&key.address)))?;
        let router = if neighbor.router { neighbor_flags::ROUTER } else { 0 };
        let port = neighbor.port.and_then(|port| u16::try_from(port).ok());
        Some(abi::Neighbor {
            mac: neighbor.mac.0,
            flags: router | port.map_or(0, |port| neighbor_flags::LOCAL | port & neighbor_flags::PORT),
        })
    }

    pub(super) fn target(&self, target: Target, any_ip: bool) -> Result<abi::Target, Failure> {
        Ok(match target {
            Target::Port(port) => {
                let kind = if any_ip { TargetKind::PortAnyIp } else { TargetKind::Port };
                abi::Target { kind: kind as u8, vni: [0; 3], id: port }
            }
            Target::Vxlan { endpoint, vni } => {
                let id = self.nexthops.number(endpoint).ok_or(Failure::Full { map: Map::Nexthops })?;
                abi::Target { kind: TargetKind::Vxlan as u8, vni: vni.octets(), id }
            }
            Target::Mpls { endpoint, label, form } => {
                let id = self.nexthops.number(endpoint).ok_or(Failure::Full { map: Map::Nexthops })?;
                let kind = match form {
                    MplsForm::Ethernet => TargetKind::Mpls,
                    MplsForm::Gre => TargetKind::MplsGre,
                    MplsForm::Udp => TargetKind::MplsUdp,
                };
                let [_, vni @ ..] = label.get().to_be_bytes();
                abi::Target { kind: kind as u8, vni, id }
            }
            Target::Router(vpn) => {
                abi::Target { kind: TargetKind::Router as u8, vni: [0; 3], id: vpn.into() }
            }
            Target::Segment(segment) => self.group(&Group::Segment(segment))?,
        })
    }

    fn vpn(&self, vpn: VpnId) -> Option<abi::Vpn> {
        let vni = self.fib.vpns.get(&vpn)?;
        Some(abi::Vpn {
            vni: vni.get(),
            local_ports: self.flood_count(vpn, FloodScope::Local),
            remote_endpoints: self.flood_count(vpn, FloodScope::Remote),
        })
    }

    /// How many members of a flood list programs may read: those before the first that could not be written.
    fn flood_count(&self, vpn: VpnId, scope: FloodScope) -> u16 {
        let key = |index| Key::Flood(FloodKey { vpn, scope: scope as u16, index });
        let length = self.floods.len(vpn, scope).min(limits::FLOOD_COPIES as usize);
        let gap = self.failed.range(key(0)..=key(u32::MAX)).next().map(|(key, _)| key);
        let readable = match gap {
            Some(Key::Flood(gap)) => length.min(gap.index as usize),
            _ => length,
        };
        u16::try_from(readable).unwrap_or(u16::MAX)
    }

    fn tunnel(&self, key: &TunnelKey) -> Option<abi::Tunnel> {
        let vpn = *self.vpn_of_vni.get(&key.vni)?;
        self.fib.endpoints.contains(&(vpn, ip_of(&key.remote))).then_some(abi::Tunnel { vpn, zero: 0 })
    }

    fn set_vpn(&mut self, vpn: VpnId, vni: Option<Vni>) {
        let old = self.fib.vpns.get(&vpn).copied();
        if vni.is_none() {
            self.forget_stale(vpn);
        }
        if let Some(holder) = vni.and_then(|vni| self.vpn_of_vni.get(&vni.get())).copied()
            && self.stale.remove(&Object::Vpn(holder)).is_some()
        {
            self.apply(&Object::Vpn(holder).removal());
        }
        self.dirty.push(Key::Vpn(vpn));
        if old != vni {
            let endpoints =
                (vpn, IpAddr::V4(Ipv4Addr::UNSPECIFIED))..=(vpn, IpAddr::V6(Ipv6Addr::from([0xff; 16])));
            for vni in [old, vni].into_iter().flatten() {
                self.dirty.push(Key::Vni(vni.get()));
                let endpoints = self.fib.endpoints.range(endpoints.clone());
                self.dirty.extend(endpoints.map(|(_, endpoint)| Key::of_tunnel(*endpoint, vni.get())));
            }
        }
        if let Some(old) = old
            && self.vpn_of_vni.get(&old.get()) == Some(&vpn)
        {
            self.vpn_of_vni.remove(&old.get());
        }
        if let Some(vni) = vni {
            self.vpn_of_vni.insert(vni.get(), vpn);
        }
    }

    fn set_port(&mut self, port: PortId, value: Option<&crate::fib::Port>) {
        self.dirty.push(Key::Port(port));
        self.egress.replace(port, self.fib.ports.get(&port), value);
        let value = value.filter(|value| !value.egress);
        if let Some(holder) = value.and_then(|value| self.port_of_interface.get(&value.interface)).copied()
            && self.stale.remove(&Object::Port(holder)).is_some()
        {
            self.apply(&Object::Port(holder).removal());
        }
        let old = self.fib.ports.get(&port).filter(|old| !old.egress).map(|old| old.interface.clone());
        for name in [old.as_ref(), value.map(|value| &value.interface)].into_iter().flatten() {
            self.dirty.extend(self.port_keys(name));
        }
        if let Some(old) = old
            && self.port_of_interface.get(&old) == Some(&port)
        {
            self.port_of_interface.remove(&old);
        }
        if let Some(value) = value {
            self.port_of_interface.insert(value.interface.clone(), port);
        }
    }

    pub(super) fn refer(&mut self, target: Option<Target>) {
        if let Some(Target::Vxlan { endpoint, .. } | Target::Mpls { endpoint, .. }) = target {
            self.nexthops.acquire(endpoint);
        }
    }

    pub(super) fn unrefer(&mut self, target: Option<Target>) {
        if let Some(Target::Vxlan { endpoint, .. } | Target::Mpls { endpoint, .. }) = target {
            self.nexthops.release(endpoint);
        }
    }

    fn link_changed(&mut self, index: u32, names: [Option<String>; 2]) {
        self.dirty.push(Key::PortOfInterface(index));
        let mut underlay = false;
        for name in names.into_iter().flatten() {
            let ports: Vec<(u16, PortId)> = self.ports_on(&name).collect();
            for (vlan, port) in ports {
                self.dirty.push(Key::Port(port));
                self.dirty.extend(keys_of(index, vlan));
            }
            self.dirty.extend(self.egress.on(&name).map(Key::Port));
            underlay |= self.underlay.has_interface(&name);
        }
        self.underlay.link_changed(index, underlay);
    }
}

/// The keys of a port on an interface.
const fn keys_of(ifindex: u32, vlan: u16) -> [Key; 3] {
    [
        Key::PortOfInterface(ifindex),
        Key::Vlan(VlanKey { ifindex, vlan: 0 }),
        Key::Vlan(VlanKey { ifindex, vlan: vlan as u32 }),
    ]
}
