//! Entries of the pinned maps, as typed keys and values, and their bytes.
//!
//! The variants of [`Key`] are in the order in which entries are written: what is referred to comes before what
//! refers to it. Removal goes the other way. So the order of a sorted set of keys is the order of the writes.

use std::fmt;
use std::net::{Ipv4Addr, Ipv6Addr};

use bagpipe_bgp::types::MacAddr;
use bagpipe_common::{
    self as abi, EndpointKey, FdbKey, FloodKey, GROUP_BUCKETS, LabelKind, NeighborKey, RouteKey, TargetKind,
    TunnelKey, limits,
};

use super::address::{ip_of, prefix_of};
use super::sys;

/// The maps that the agent fills, in writing order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Map {
    /// Ready-made outer headers.
    Encaps,
    /// Next hops.
    Nexthops,
    /// Ports.
    Ports,
    /// Ethernet headers of routed packets.
    Adjacencies,
    /// Buckets of groups of equal hops.
    Groups,
    /// Host routes.
    Hosts,
    /// Other IP routes.
    Routes,
    /// Labels.
    Labels,
    /// Routers.
    Routers,
    /// IP addresses.
    Neighbors,
    /// MAC addresses.
    Fdb,
    /// Flood lists.
    Floods,
    /// VPN instances.
    Vpns,
    /// VNIs.
    Vnis,
    /// Accepted remote endpoints of VXLAN.
    Tunnels,
    /// Accepted remote endpoints of MPLS.
    Endpoints,
    /// Interfaces of ports.
    PortOfInterface,
}

impl Map {
    /// All maps, in writing order.
    pub const ALL: [Self; 17] = [
        Self::Encaps,
        Self::Nexthops,
        Self::Ports,
        Self::Adjacencies,
        Self::Groups,
        Self::Hosts,
        Self::Routes,
        Self::Labels,
        Self::Routers,
        Self::Neighbors,
        Self::Fdb,
        Self::Floods,
        Self::Vpns,
        Self::Vnis,
        Self::Tunnels,
        Self::Endpoints,
        Self::PortOfInterface,
    ];

    /// The name of the map and of its pin.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Encaps => "ENCAPS",
            Self::Nexthops => "NEXTHOPS",
            Self::Ports => "PORTS",
            Self::Adjacencies => "ADJACENCIES",
            Self::Groups => "GROUPS",
            Self::Hosts => "HOSTS",
            Self::Routes => "ROUTES",
            Self::Labels => "LABELS",
            Self::Routers => "ROUTERS",
            Self::Neighbors => "NEIGHBORS",
            Self::Fdb => "FDB",
            Self::Floods => "FLOODS",
            Self::Vpns => "VPNS",
            Self::Vnis => "VNIS",
            Self::Tunnels => "TUNNELS",
            Self::Endpoints => "ENDPOINTS",
            Self::PortOfInterface => "PORT_OF_INTERFACE",
        }
    }

    /// The map of this name.
    #[must_use]
    pub fn of_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|map| map.name() == name)
    }

    /// Whether the map is an array: elements are never absent, zero means none.
    #[must_use]
    pub const fn is_array(self) -> bool {
        matches!(
            self,
            Self::Ports
                | Self::Vpns
                | Self::Nexthops
                | Self::Encaps
                | Self::Adjacencies
                | Self::Groups
                | Self::Routers
        )
    }

    /// Size of a key, in bytes.
    #[must_use]
    pub const fn key_size(self) -> usize {
        match self {
            Self::Neighbors | Self::Hosts => size_of::<NeighborKey>(),
            Self::Routes => size_of::<RouteKey>(),
            Self::Fdb => size_of::<FdbKey>(),
            Self::Floods => size_of::<FloodKey>(),
            Self::Tunnels => size_of::<TunnelKey>(),
            Self::Endpoints => size_of::<EndpointKey>(),
            Self::Encaps
            | Self::Nexthops
            | Self::Ports
            | Self::Adjacencies
            | Self::Groups
            | Self::Labels
            | Self::Routers
            | Self::Vpns
            | Self::Vnis
            | Self::PortOfInterface => size_of::<u32>(),
        }
    }

    /// Size of a value, in bytes.
    #[must_use]
    pub const fn value_size(self) -> usize {
        match self {
            Self::Encaps => size_of::<abi::Encap>(),
            Self::Ports => size_of::<abi::Port>(),
            Self::Neighbors => size_of::<abi::Neighbor>(),
            Self::Adjacencies => size_of::<abi::Adjacency>(),
            Self::Fdb | Self::Floods | Self::Groups | Self::Hosts | Self::Routes => size_of::<abi::Target>(),
            Self::Labels => size_of::<abi::Label>(),
            Self::Routers => size_of::<abi::Router>(),
            Self::Vpns => size_of::<abi::Vpn>(),
            Self::Tunnels => size_of::<abi::Tunnel>(),
            Self::Nexthops | Self::Vnis | Self::Endpoints | Self::PortOfInterface => size_of::<u32>(),
        }
    }

    /// How many entries the map takes by default; the pinned map may be of another size.
    #[must_use]
    pub const fn default_capacity(self) -> u32 {
        match self {
            Self::Encaps => limits::ENCAPS,
            Self::Nexthops => limits::NEXTHOPS,
            Self::Ports | Self::PortOfInterface => limits::PORTS,
            Self::Adjacencies => limits::ADJACENCIES,
            Self::Groups => limits::GROUPS * GROUP_BUCKETS,
            Self::Hosts => limits::HOSTS,
            Self::Routes => limits::ROUTES,
            Self::Labels => limits::LABELS,
            Self::Neighbors => limits::NEIGHBORS,
            Self::Fdb => limits::FDB,
            Self::Floods => limits::FLOODS,
            Self::Vpns | Self::Vnis | Self::Routers => limits::VPNS,
            Self::Tunnels => limits::TUNNELS,
            Self::Endpoints => limits::ENDPOINTS,
        }
    }
}

impl fmt::Display for Map {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// The key of an entry, with the map that it is in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum Key {
    /// A slot.
    Encap(u32),
    /// A next-hop number.
    Nexthop(u32),
    /// A port number.
    Port(u32),
    /// A slot of an adjacency.
    Adjacency(u32),
    /// A bucket of a group, counted through all groups.
    Bucket(u32),
    /// A host.
    Host(NeighborKey),
    /// Another prefix.
    Route(RouteKey),
    /// A label of this node.
    Label(u32),
    /// The number of an instance whose hosts have a router.
    Router(u16),
    /// An IP address.
    Neighbor(NeighborKey),
    /// A MAC address.
    Fdb(FdbKey),
    /// A member of a flood list.
    Flood(FloodKey),
    /// An instance number.
    Vpn(u16),
    /// A VNI of this node.
    Vni(u32),
    /// A remote endpoint and VNI.
    Tunnel(TunnelKey),
    /// A remote endpoint and instance.
    Endpoint(EndpointKey),
    /// An interface index.
    PortOfInterface(u32),
}

impl Key {
    /// The map that the entry is in.
    #[must_use]
    pub(crate) const fn map(&self) -> Map {
        match self {
            Self::Encap(_) => Map::Encaps,
            Self::Nexthop(_) => Map::Nexthops,
            Self::Port(_) => Map::Ports,
            Self::Adjacency(_) => Map::Adjacencies,
            Self::Bucket(_) => Map::Groups,
            Self::Host(_) => Map::Hosts,
            Self::Route(_) => Map::Routes,
            Self::Label(_) => Map::Labels,
            Self::Router(_) => Map::Routers,
            Self::Neighbor(_) => Map::Neighbors,
            Self::Fdb(_) => Map::Fdb,
            Self::Flood(_) => Map::Floods,
            Self::Vpn(_) => Map::Vpns,
            Self::Vni(_) => Map::Vnis,
            Self::Tunnel(_) => Map::Tunnels,
            Self::Endpoint(_) => Map::Endpoints,
            Self::PortOfInterface(_) => Map::PortOfInterface,
        }
    }

    /// The bytes of the key.
    #[must_use]
    pub(crate) fn bytes(&self) -> Vec<u8> {
        match self {
            Self::Encap(number)
            | Self::Nexthop(number)
            | Self::Port(number)
            | Self::Adjacency(number)
            | Self::Bucket(number)
            | Self::Label(number)
            | Self::Vni(number)
            | Self::PortOfInterface(number) => number.to_ne_bytes().to_vec(),
            Self::Vpn(number) | Self::Router(number) => u32::from(*number).to_ne_bytes().to_vec(),
            Self::Neighbor(key) | Self::Host(key) => sys::bytes_of(key).to_vec(),
            Self::Route(key) => sys::bytes_of(key).to_vec(),
            Self::Fdb(key) => sys::bytes_of(key).to_vec(),
            Self::Flood(key) => sys::bytes_of(key).to_vec(),
            Self::Tunnel(key) => sys::bytes_of(key).to_vec(),
            Self::Endpoint(key) => sys::bytes_of(key).to_vec(),
        }
    }

    /// The key of an entry of `map`; `None` when the bytes are too few or no number of an instance.
    #[must_use]
    pub(crate) fn from_bytes(map: Map, bytes: &[u8]) -> Option<Self> {
        let number = || sys::read::<u32>(bytes);
        Some(match map {
            Map::Encaps => Self::Encap(number()?),
            Map::Nexthops => Self::Nexthop(number()?),
            Map::Ports => Self::Port(number()?),
            Map::Adjacencies => Self::Adjacency(number()?),
            Map::Groups => Self::Bucket(number()?),
            Map::Hosts => Self::Host(sys::read(bytes)?),
            Map::Routes => Self::Route(sys::read(bytes)?),
            Map::Labels => Self::Label(number()?),
            Map::Routers => Self::Router(number()?.try_into().ok()?),
            Map::Neighbors => Self::Neighbor(sys::read(bytes)?),
            Map::Fdb => Self::Fdb(sys::read(bytes)?),
            Map::Floods => Self::Flood(sys::read(bytes)?),
            Map::Vpns => Self::Vpn(number()?.try_into().ok()?),
            Map::Vnis => Self::Vni(number()?),
            Map::Tunnels => Self::Tunnel(sys::read(bytes)?),
            Map::Endpoints => Self::Endpoint(sys::read(bytes)?),
            Map::PortOfInterface => Self::PortOfInterface(number()?),
        })
    }
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Encap(number) | Self::Nexthop(number) | Self::Port(number) | Self::Adjacency(number) => {
                write!(f, "{number}")
            }
            Self::Bucket(index) => {
                write!(f, "group {} bucket {}", index / GROUP_BUCKETS, index % GROUP_BUCKETS)
            }
            Self::Label(label) => write!(f, "label {label}"),
            Self::PortOfInterface(ifindex) => write!(f, "ifindex {ifindex}"),
            Self::Vpn(vpn) | Self::Router(vpn) => write!(f, "{vpn}"),
            Self::Vni(vni) => write!(f, "vni {vni}"),
            Self::Neighbor(key) | Self::Host(key) => write!(f, "vpn {} {}", key.vpn, ip_of(&key.address)),
            Self::Route(key) => match prefix_of(key) {
                Some((vpn, prefix)) => write!(f, "vpn {vpn} {prefix}"),
                None => write!(f, "no prefix"),
            },
            Self::Fdb(key) => write!(f, "vpn {} {}", key.vpn, MacAddr(key.mac)),
            Self::Flood(key) => {
                let scope = if key.scope == 0 { "local" } else { "remote" };
                write!(f, "vpn {} {scope} {}", key.vpn, key.index)
            }
            Self::Tunnel(key) => write!(f, "{} vni {}", ip_of(&key.remote), key.vni),
            Self::Endpoint(key) => write!(f, "vpn {} {}", key.vpn, ip_of(&key.remote)),
        }
    }
}

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
    /// The bytes of the value.
    #[must_use]
    pub(crate) fn bytes(&self) -> Vec<u8> {
        match self {
            Self::Number(value) => value.to_ne_bytes().to_vec(),
            Self::Port(value) => sys::bytes_of(value).to_vec(),
            Self::Neighbor(value) => sys::bytes_of(value).to_vec(),
            Self::Target(value) => sys::bytes_of(value).to_vec(),
            Self::Label(value) => sys::bytes_of(value).to_vec(),
            Self::Adjacency(value) => sys::bytes_of(&**value).to_vec(),
            Self::Router(value) => sys::bytes_of(&**value).to_vec(),
            Self::Vpn(value) => sys::bytes_of(value).to_vec(),
            Self::Tunnel(value) => sys::bytes_of(value).to_vec(),
            Self::Encap(value) => sys::bytes_of(&**value).to_vec(),
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
            Map::Routers => Self::Router(Box::new(sys::read(bytes)?)),
            Map::Vpns => Self::Vpn(sys::read(bytes)?),
            Map::Tunnels => Self::Tunnel(sys::read(bytes)?),
            Map::Nexthops | Map::Vnis | Map::Endpoints | Map::PortOfInterface => {
                Self::Number(sys::read(bytes)?)
            }
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
    use super::*;
    use crate::dataplane::address::{address_of, endpoint_key, route_key};

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
            (route_key(1, "192.0.2.0/24".parse().unwrap()), target()),
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
            (endpoint_key(1, ip_of(&address)), Value::Number(1)),
            (Key::PortOfInterface(4), Value::Number(9)),
        ];
        for ((key, value), map) in entries.iter().zip(Map::ALL) {
            assert_eq!(key.map(), map, "keys are ordered as maps are");
            assert_eq!((key.bytes().len(), value.bytes().len()), (map.key_size(), map.value_size()), "{map}");
            assert_eq!(Key::from_bytes(map, &key.bytes()), Some(*key));
            assert_eq!(Value::from_bytes(map, &value.bytes()).as_ref(), Some(value));
            assert_eq!(Map::of_name(map.name()), Some(map));
        }
        assert!(entries.is_sorted_by_key(|(key, _)| *key));
    }
}
