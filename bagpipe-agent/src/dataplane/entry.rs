//! Keys of the pinned maps: which map, which entry, and the bytes of both.
//!
//! The variants of [`Key`] are in the order in which entries are written: what is referred to comes before what
//! refers to it. Removal goes the other way. So the order of a sorted set of keys is the order of the writes.

use std::fmt;
use std::net::IpAddr;

use bagpipe_bgp::types::{IpPrefix, MacAddr};
use bagpipe_common::{
    self as abi, EndpointKey, FdbKey, FloodKey, GROUP_BUCKETS, NeighborKey, RouteKey, TunnelKey, VlanKey,
    limits,
};

use super::address::{address_of, ip_of, prefix_of, route_key};
use super::sys;
use crate::fib::VpnId;

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
    /// Rules for packets that are routed by another instance.
    Rules,
    /// The first rule of each instance.
    Classifiers,
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
    /// VLANs of ports.
    PortOfVlan,
    /// Interfaces of ports.
    PortOfInterface,
}

impl Map {
    /// All maps, in writing order.
    pub const ALL: [Self; 20] = [
        Self::Encaps,
        Self::Nexthops,
        Self::Ports,
        Self::Adjacencies,
        Self::Groups,
        Self::Hosts,
        Self::Routes,
        Self::Rules,
        Self::Classifiers,
        Self::Labels,
        Self::Routers,
        Self::Neighbors,
        Self::Fdb,
        Self::Floods,
        Self::Vpns,
        Self::Vnis,
        Self::Tunnels,
        Self::Endpoints,
        Self::PortOfVlan,
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
            Self::Rules => "RULES",
            Self::Classifiers => "CLASSIFIERS",
            Self::Labels => "LABELS",
            Self::Routers => "ROUTERS",
            Self::Neighbors => "NEIGHBORS",
            Self::Fdb => "FDB",
            Self::Floods => "FLOODS",
            Self::Vpns => "VPNS",
            Self::Vnis => "VNIS",
            Self::Tunnels => "TUNNELS",
            Self::Endpoints => "ENDPOINTS",
            Self::PortOfVlan => "PORT_OF_VLAN",
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
                | Self::Rules
                | Self::Classifiers
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
            Self::PortOfVlan => size_of::<VlanKey>(),
            Self::Encaps
            | Self::Nexthops
            | Self::Ports
            | Self::Adjacencies
            | Self::Groups
            | Self::Labels
            | Self::Rules
            | Self::Classifiers
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
            Self::Rules => size_of::<abi::Rule>(),
            Self::Routers => size_of::<abi::Router>(),
            Self::Vpns => size_of::<abi::Vpn>(),
            Self::Tunnels => size_of::<abi::Tunnel>(),
            Self::Nexthops
            | Self::Classifiers
            | Self::Vnis
            | Self::Endpoints
            | Self::PortOfVlan
            | Self::PortOfInterface => size_of::<u32>(),
        }
    }

    /// How many entries the map takes by default; the pinned map may be of another size.
    #[must_use]
    pub const fn default_capacity(self) -> u32 {
        match self {
            Self::Encaps => limits::ENCAPS,
            Self::Nexthops => limits::NEXTHOPS,
            Self::Ports | Self::PortOfVlan | Self::PortOfInterface => limits::PORTS,
            Self::Adjacencies => limits::ADJACENCIES,
            Self::Groups => limits::GROUPS * GROUP_BUCKETS,
            Self::Hosts => limits::HOSTS,
            Self::Routes => limits::ROUTES,
            Self::Labels => limits::LABELS,
            Self::Rules => limits::RULES,
            Self::Neighbors => limits::NEIGHBORS,
            Self::Fdb => limits::FDB,
            Self::Floods => limits::FLOODS,
            Self::Vpns | Self::Vnis | Self::Routers | Self::Classifiers => limits::VPNS,
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
    /// A slot of a rule.
    Rule(u32),
    /// The number of an instance that has rules.
    Classifier(u16),
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
    /// A VLAN on a trunk.
    Vlan(VlanKey),
    /// An interface index.
    PortOfInterface(u32),
}

impl Key {
    /// The key of a route: a host is in a map of its own.
    #[must_use]
    pub(crate) fn of_route(vpn: VpnId, prefix: IpPrefix) -> Self {
        if prefix.is_host() {
            Self::Host(NeighborKey { address: address_of(prefix.address()), vpn, zero: 0 })
        } else {
            Self::Route(route_key(vpn, prefix))
        }
    }

    /// The key of a remote endpoint that may send with a VNI.
    #[must_use]
    pub(crate) fn of_tunnel(remote: IpAddr, vni: u32) -> Self {
        Self::Tunnel(TunnelKey { remote: address_of(remote), vni })
    }

    /// The key of a remote endpoint that may send with the labels of an instance.
    #[must_use]
    pub(crate) fn of_endpoint(vpn: VpnId, remote: IpAddr) -> Self {
        Self::Endpoint(EndpointKey { remote: address_of(remote), vpn, zero: 0 })
    }

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
            Self::Rule(_) => Map::Rules,
            Self::Classifier(_) => Map::Classifiers,
            Self::Label(_) => Map::Labels,
            Self::Router(_) => Map::Routers,
            Self::Neighbor(_) => Map::Neighbors,
            Self::Fdb(_) => Map::Fdb,
            Self::Flood(_) => Map::Floods,
            Self::Vpn(_) => Map::Vpns,
            Self::Vni(_) => Map::Vnis,
            Self::Tunnel(_) => Map::Tunnels,
            Self::Endpoint(_) => Map::Endpoints,
            Self::Vlan(_) => Map::PortOfVlan,
            Self::PortOfInterface(_) => Map::PortOfInterface,
        }
    }

    /// Puts the bytes of the key behind others.
    pub(crate) fn put(&self, bytes: &mut Vec<u8>) {
        match self {
            Self::Encap(number)
            | Self::Nexthop(number)
            | Self::Port(number)
            | Self::Adjacency(number)
            | Self::Bucket(number)
            | Self::Rule(number)
            | Self::Label(number)
            | Self::Vni(number)
            | Self::PortOfInterface(number) => bytes.extend(number.to_ne_bytes()),
            Self::Vpn(number) | Self::Router(number) | Self::Classifier(number) => {
                bytes.extend(u32::from(*number).to_ne_bytes());
            }
            Self::Neighbor(key) | Self::Host(key) => bytes.extend(sys::bytes_of(key)),
            Self::Route(key) => bytes.extend(sys::bytes_of(key)),
            Self::Fdb(key) => bytes.extend(sys::bytes_of(key)),
            Self::Flood(key) => bytes.extend(sys::bytes_of(key)),
            Self::Tunnel(key) => bytes.extend(sys::bytes_of(key)),
            Self::Endpoint(key) => bytes.extend(sys::bytes_of(key)),
            Self::Vlan(key) => bytes.extend(sys::bytes_of(key)),
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
            Map::Rules => Self::Rule(number()?),
            Map::Classifiers => Self::Classifier(number()?.try_into().ok()?),
            Map::Labels => Self::Label(number()?),
            Map::Routers => Self::Router(number()?.try_into().ok()?),
            Map::Neighbors => Self::Neighbor(sys::read(bytes)?),
            Map::Fdb => Self::Fdb(sys::read(bytes)?),
            Map::Floods => Self::Flood(sys::read(bytes)?),
            Map::Vpns => Self::Vpn(number()?.try_into().ok()?),
            Map::Vnis => Self::Vni(number()?),
            Map::Tunnels => Self::Tunnel(sys::read(bytes)?),
            Map::Endpoints => Self::Endpoint(sys::read(bytes)?),
            Map::PortOfVlan => Self::Vlan(sys::read(bytes)?),
            Map::PortOfInterface => Self::PortOfInterface(number()?),
        })
    }
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Encap(number)
            | Self::Nexthop(number)
            | Self::Port(number)
            | Self::Adjacency(number)
            | Self::Rule(number) => write!(f, "{number}"),
            Self::Bucket(index) => {
                write!(f, "group {} bucket {}", index / GROUP_BUCKETS, index % GROUP_BUCKETS)
            }
            Self::Label(label) => write!(f, "label {label}"),
            Self::Vlan(key) => write!(f, "ifindex {} vlan {}", key.ifindex, key.vlan),
            Self::PortOfInterface(ifindex) => write!(f, "ifindex {ifindex}"),
            Self::Vpn(vpn) | Self::Router(vpn) | Self::Classifier(vpn) => write!(f, "{vpn}"),
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
