//! The desired forwarding state: what the engine wants to be in the BPF maps, in its own terms.
//!
//! The engine emits [`Change`]s; the dataplane turns names into interface indices and remote endpoints into
//! next hops, and writes the difference to what is in the maps. Here is no BPF and no netlink, so simulations
//! compare the state of whole networks by comparing [`Fib`]s.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use bagpipe_bgp::types::{MacAddr, Vni};

/// Number of a VPN instance on this node, 1 to 65535; also the number in its route distinguisher. It stays the
/// same over restarts.
pub type VpnId = u16;

/// Number of a port on this node. It stays the same over restarts.
pub type PortId = u32;

/// Where a frame goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Target {
    /// A port of this node.
    Port(PortId),
    /// A remote endpoint over VXLAN, with the VNI that it advertised.
    Vxlan {
        /// Address of the remote tunnel endpoint.
        endpoint: IpAddr,
        /// VNI to send with.
        vni: Vni,
    },
}

/// A port: an interface of this node that is attached to a VPN instance.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Port {
    /// Name of the interface.
    pub interface: String,
    /// The instance.
    pub vpn: VpnId,
}

/// Where a MAC address is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Mac {
    /// Where frames for it go.
    pub target: Target,
    /// For a local port: the MAC address may send from any IP address that no other has.
    pub any_ip: bool,
}

/// The MAC address of an IP address, for answers to ARP and ND and for the check of sources.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Neighbor {
    /// The MAC address.
    pub mac: MacAddr,
    /// Answer with the router flag set (RFC 4861 §4.4).
    pub router: bool,
    /// The port that it is attached to, if it is one of this node.
    pub port: Option<PortId>,
}

/// One piece of forwarding state that is to be there, or to be there no longer (`None`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    /// An instance, and the VNI that this node receives it with.
    Vpn(VpnId, Option<Vni>),
    /// A port.
    Port(PortId, Option<Port>),
    /// Where a MAC address of an instance is.
    Mac(VpnId, MacAddr, Option<Mac>),
    /// The MAC address of an IP address of an instance.
    Neighbor(VpnId, IpAddr, Option<Neighbor>),
    /// Whether a target gets a copy of broadcast, unknown unicast and multicast frames of an instance.
    Flood(VpnId, Target, bool),
    /// Whether encapsulated packets for an instance are accepted from a remote endpoint.
    Endpoint(VpnId, IpAddr, bool),
}

impl Change {
    /// The place of a change among changes that are made together: what is referred to is there before what
    /// refers to it, and goes after it.
    #[must_use]
    pub const fn rank(&self) -> u8 {
        match self {
            Self::Vpn(_, Some(_)) => 0,
            Self::Port(_, Some(_)) => 1,
            Self::Endpoint(_, _, true) => 2,
            Self::Mac(_, _, Some(_)) => 3,
            Self::Neighbor(_, _, Some(_)) => 4,
            Self::Flood(_, _, true) => 5,
            Self::Flood(_, _, false) => 6,
            Self::Neighbor(_, _, None) => 7,
            Self::Mac(_, _, None) => 8,
            Self::Endpoint(_, _, false) => 9,
            Self::Port(_, None) => 10,
            Self::Vpn(_, None) => 11,
        }
    }
}

/// The whole desired forwarding state.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Fib {
    /// Instances and their VNIs.
    pub vpns: BTreeMap<VpnId, Vni>,
    /// Ports.
    pub ports: BTreeMap<PortId, Port>,
    /// MAC addresses.
    pub macs: BTreeMap<(VpnId, MacAddr), Mac>,
    /// IP addresses.
    pub neighbors: BTreeMap<(VpnId, IpAddr), Neighbor>,
    /// Members of flood lists.
    pub floods: BTreeSet<(VpnId, Target)>,
    /// Accepted remote endpoints.
    pub endpoints: BTreeSet<(VpnId, IpAddr)>,
}

impl Fib {
    /// Applies one change.
    pub fn apply(&mut self, change: &Change) {
        match change {
            Change::Vpn(vpn, vni) => set(&mut self.vpns, *vpn, *vni),
            Change::Port(port, value) => set(&mut self.ports, *port, value.clone()),
            Change::Mac(vpn, mac, value) => set(&mut self.macs, (*vpn, *mac), *value),
            Change::Neighbor(vpn, ip, value) => set(&mut self.neighbors, (*vpn, *ip), *value),
            Change::Flood(vpn, target, wanted) => include(&mut self.floods, (*vpn, *target), *wanted),
            Change::Endpoint(vpn, endpoint, wanted) => {
                include(&mut self.endpoints, (*vpn, *endpoint), *wanted);
            }
        }
    }
}

fn set<K: Ord, V>(map: &mut BTreeMap<K, V>, key: K, value: Option<V>) {
    match value {
        Some(value) => drop(map.insert(key, value)),
        None => drop(map.remove(&key)),
    }
}

fn include<T: Ord>(members: &mut BTreeSet<T>, member: T, wanted: bool) {
    if wanted {
        members.insert(member);
    } else {
        members.remove(&member);
    }
}
