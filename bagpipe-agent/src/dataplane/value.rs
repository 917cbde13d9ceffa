//! Values of the pinned maps, and their bytes.

use std::fmt;
use std::net::{Ipv4Addr, Ipv6Addr};

use bagpipe_bgp::types::MacAddr;
use bagpipe_common::{self as abi, LabelKind, TargetKind, rule_flags};

use super::address::ip_of;
use super::entry::Map;
use super::sys;

/// The value of an entry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Value {
    /// A number: a slot, a port number, an instance number, or one.
    Number(u32),
    /// In `PORTS`.
    Port(abi::Port),
    /// In `NEIGHBORS`.
    Neighbor(abi::Neighbor),
    /// In `FDB`, `FLOODS`, `GROUPS`, `HOSTS` and `ROUTES`.
    Target(abi::Target),
    /// In `LABELS`.
    Label(abi::Label),
    /// In `ADJACENCIES`; boxed, as the next ones, since it is larger than the others.
    Adjacency(Box<abi::Adjacency>),
    /// In `RULES`.
    Rule(Box<abi::Rule>),
    /// In `ROUTERS`.
    Router(Box<abi::Router>),
    /// In `VPNS`.
    Vpn(abi::Vpn),
    /// In `TUNNELS`.
    Tunnel(abi::Tunnel),
    /// In `ENCAPS`.
    Encap(Box<abi::Encap>),
}

impl Value {
    /// Puts the bytes of the value behind others.
    pub(crate) fn put(&self, bytes: &mut Vec<u8>) {
        match self {
            Self::Number(value) => bytes.extend(value.to_ne_bytes()),
            Self::Port(value) => bytes.extend(sys::bytes_of(value)),
            Self::Neighbor(value) => bytes.extend(sys::bytes_of(value)),
            Self::Target(value) => bytes.extend(sys::bytes_of(value)),
            Self::Label(value) => bytes.extend(sys::bytes_of(value)),
            Self::Adjacency(value) => bytes.extend(sys::bytes_of(&**value)),
            Self::Rule(value) => bytes.extend(sys::bytes_of(&**value)),
            Self::Router(value) => bytes.extend(sys::bytes_of(&**value)),
            Self::Vpn(value) => bytes.extend(sys::bytes_of(value)),
            Self::Tunnel(value) => bytes.extend(sys::bytes_of(value)),
            Self::Encap(value) => bytes.extend(sys::bytes_of(&**value)),
        }
    }

    /// The value of an entry of `map`; `None` when the bytes are too few, and for the zero of an array.
    #[must_use]
    pub(crate) fn from_bytes(map: Map, bytes: &[u8]) -> Option<Self> {
        if map.is_array() && bytes.iter().all(|byte| *byte == 0) {
            return None;
        }
        Some(match map {
            Map::Encaps => Self::Encap(Box::new(sys::read(bytes)?)),
            Map::Ports => Self::Port(sys::read(bytes)?),
            Map::Neighbors => Self::Neighbor(sys::read(bytes)?),
            Map::Fdb | Map::Floods | Map::Groups | Map::Hosts | Map::Routes => {
                Self::Target(sys::read(bytes)?)
            }
            Map::Adjacencies => Self::Adjacency(Box::new(sys::read(bytes)?)),
            Map::Labels => Self::Label(sys::read(bytes)?),
            Map::Rules => Self::Rule(Box::new(sys::read(bytes)?)),
            Map::Routers => Self::Router(Box::new(sys::read(bytes)?)),
            Map::Vpns => Self::Vpn(sys::read(bytes)?),
            Map::Tunnels => Self::Tunnel(sys::read(bytes)?),
            Map::Nexthops
            | Map::Classifiers
            | Map::Vnis
            | Map::Endpoints
            | Map::PortOfVlan
            | Map::PortOfInterface => Self::Number(sys::read(bytes)?),
        })
    }
}

impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Number(value) => write!(f, "{value}"),
            Self::Port(port) => write!(f, "ifindex {} vpn {} flags {}", port.ifindex, port.vpn, port.flags),
            Self::Neighbor(neighbor) => write!(f, "{} flags {}", MacAddr(neighbor.mac), neighbor.flags),
            Self::Target(target) => write_target(f, target),
            Self::Label(label) => write_label(f, label),
            Self::Adjacency(adjacency) => {
                let (source, destination) = (MacAddr(adjacency.source), MacAddr(adjacency.destination));
                write!(f, "vpn {} {source} > {destination} ", adjacency.vpn)?;
                write_target(f, &adjacency.target)
            }
            Self::Rule(rule) => write_rule(f, rule),
            Self::Router(router) => {
                let (ipv4, ipv6) = (Ipv4Addr::from(router.ipv4), Ipv6Addr::from(router.ipv6));
                write!(f, "{ipv4} {ipv6} flags {}", router.flags)
            }
            Self::Vpn(vpn) => {
                write!(f, "vni {} ports {} endpoints {}", vpn.vni, vpn.local_ports, vpn.remote_endpoints)
            }
            Self::Tunnel(tunnel) => write!(f, "vpn {}", tunnel.vpn),
            Self::Encap(encap) => write!(
                f,
                "{} > {} via {} ifindex {} mtu {} {} > {} flags {} ttl {}",
                ip_of(&encap.local),
                ip_of(&encap.remote),
                ip_of(&encap.gateway),
                encap.ifindex,
                encap.mtu,
                MacAddr(encap.source_mac),
                MacAddr(encap.destination_mac),
                encap.flags,
                encap.ttl
            ),
        }
    }
}

/// Kind and number, with the VNI or label that it goes with.
fn write_target(f: &mut fmt::Formatter<'_>, target: &abi::Target) -> fmt::Result {
    let [a, b, c] = target.vni;
    let (id, label) = (target.id, u32::from_be_bytes([0, a, b, c]));
    match TargetKind::of(target.kind) {
        Some(TargetKind::Port) => write!(f, "port {id}"),
        Some(TargetKind::PortAnyIp) => write!(f, "port {id} any ip"),
        Some(TargetKind::Vxlan) => write!(f, "next hop {id} vni {label}"),
        Some(TargetKind::Mpls) => write!(f, "next hop {id} label {label}"),
        Some(TargetKind::MplsGre) => write!(f, "next hop {id} label {label} in gre"),
        Some(TargetKind::MplsUdp) => write!(f, "next hop {id} label {label} in udp"),
        Some(TargetKind::Router) => write!(f, "router {id}"),
        Some(TargetKind::Adjacency) => write!(f, "adjacency {id}"),
        Some(TargetKind::Group) => write!(f, "group {id}"),
        None => write!(f, "kind {} {id}", target.kind),
    }
}

fn write_rule(f: &mut fmt::Formatter<'_>, rule: &abi::Rule) -> fmt::Result {
    let length = |mask: &abi::Address| u128::from_be_bytes(*mask).count_ones();
    let (source, destination) = (length(&rule.source_mask), length(&rule.destination_mask));
    write!(f, "ethertype {:#06x} {}/{source} > ", rule.ethertype, Ipv6Addr::from(rule.source))?;
    write!(f, "{}/{destination} ", Ipv6Addr::from(rule.destination))?;
    if rule.flags & rule_flags::PROTOCOL != 0 {
        write!(f, "protocol {} ", rule.protocol)?;
    }
    if rule.flags & rule_flags::PORTS != 0 {
        let ([first, last], [start, end]) = (rule.source_ports, rule.destination_ports);
        write!(f, "ports {first}-{last} > {start}-{end} ")?;
    }
    write!(f, "vpn {} next {}", rule.vrf, rule.next)
}

fn write_label(f: &mut fmt::Formatter<'_>, label: &abi::Label) -> fmt::Result {
    let (vpn, id) = (label.vpn, label.id);
    match LabelKind::of(label.kind) {
        Some(LabelKind::Adjacency) => write!(f, "vpn {vpn} adjacency {id}"),
        Some(LabelKind::Router) => write!(f, "router {vpn}"),
        Some(LabelKind::Bridge) => write!(f, "bridge {vpn}"),
        None => write!(f, "kind {} vpn {vpn}", label.kind),
    }
}

#[cfg(test)]
mod tests {
    use bagpipe_common::{FdbKey, FloodKey, NeighborKey, TunnelKey, VlanKey};

    use super::*;
    use crate::dataplane::address::{address_of, ip_of};
    use crate::dataplane::entry::Key;

    #[test]
    fn keys_and_values_have_the_sizes_of_their_maps() {
        let address = address_of("192.0.2.1".parse().unwrap());
        let target = || Value::Target(abi::Target { kind: 3, vni: [0, 0, 100], id: 7 });
        let entries = [
            (Key::Encap(3), Value::Encap(Box::new(abi::Encap { ttl: 64, ..Default::default() }))),
            (Key::Nexthop(1), Value::Number(3)),
            (Key::Port(9), Value::Port(abi::Port { ifindex: 4, vpn: 1, flags: 0 })),
            (Key::Adjacency(2), Value::Adjacency(Box::new(abi::Adjacency { vpn: 3, ..Default::default() }))),
            (Key::Bucket(64), target()),
            (Key::Host(NeighborKey { address, vpn: 1, zero: 0 }), target()),
            (Key::of_route(1, "192.0.2.0/24".parse().unwrap()), target()),
            (Key::Rule(5), Value::Rule(Box::new(abi::Rule { vrf: 2, ..Default::default() }))),
            (Key::Classifier(1), Value::Number(5)),
            (Key::Label(16), Value::Label(abi::Label { kind: 1, zero: 0, vpn: 1, id: 2 })),
            (Key::Router(1), Value::Router(Box::new(abi::Router { flags: 1, ..Default::default() }))),
            (
                Key::Neighbor(NeighborKey { address, vpn: 1, zero: 0 }),
                Value::Neighbor(abi::Neighbor::default()),
            ),
            (Key::Fdb(FdbKey { vpn: 1, mac: [2; 6] }), target()),
            (Key::Flood(FloodKey { vpn: 1, scope: 1, index: 0 }), target()),
            (Key::Vpn(1), Value::Vpn(abi::Vpn { vni: 100, local_ports: 0, remote_endpoints: 1 })),
            (Key::Vni(100), Value::Number(1)),
            (
                Key::Tunnel(TunnelKey { remote: address, vni: 100 }),
                Value::Tunnel(abi::Tunnel { vpn: 1, zero: 0 }),
            ),
            (Key::of_endpoint(1, ip_of(&address)), Value::Number(1)),
            (Key::Vlan(VlanKey { ifindex: 4, vlan: 5 }), Value::Number(9)),
            (Key::PortOfInterface(4), Value::Number(9)),
        ];
        for ((key, value), map) in entries.iter().zip(Map::ALL) {
            assert_eq!(key.map(), map, "keys are ordered as maps are");
            let (mut of_key, mut of_value) = (Vec::new(), Vec::new());
            key.put(&mut of_key);
            value.put(&mut of_value);
            assert_eq!((of_key.len(), of_value.len()), (map.key_size(), map.value_size()), "{map}");
            assert_eq!(Key::from_bytes(map, &of_key), Some(*key));
            assert_eq!(Value::from_bytes(map, &of_value).as_ref(), Some(value));
            assert_eq!(Map::of_name(map.name()), Some(map));
        }
        assert!(entries.is_sorted_by_key(|(key, _)| *key));
    }
}
