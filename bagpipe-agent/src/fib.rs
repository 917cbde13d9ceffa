//! The desired forwarding state: what the engine wants to be in the BPF maps, in its own terms.
//!
//! The engine emits [`Change`]s; the dataplane turns names into interface indices and remote endpoints into
//! next hops, and writes the difference to what is in the maps. Here is no BPF and no netlink, so simulations
//! compare the state of whole networks by comparing [`Fib`]s.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::Arc;

use bagpipe_bgp::types::{EthernetSegmentId, IpPrefix, IpVersion, Label, MacAddr, Vni};
use serde::Serialize;

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
    /// A remote endpoint over MPLS, with the label that it advertised.
    Mpls {
        /// Address of the remote tunnel endpoint.
        endpoint: IpAddr,
        /// Label to send with.
        label: Label,
        /// What carries the label.
        form: MplsForm,
    },
    /// The router: frames with this destination are routed by an instance.
    Router(VpnId),
    /// An Ethernet segment of several remote endpoints, between which the flow chooses.
    Segment(Segment),
}

impl Target {
    /// The remote endpoint, if it is one.
    #[must_use]
    pub const fn endpoint(&self) -> Option<IpAddr> {
        match self {
            Self::Vxlan { endpoint, .. } | Self::Mpls { endpoint, .. } => Some(*endpoint),
            Self::Port(_) | Self::Router(_) | Self::Segment(_) => None,
        }
    }
}

/// An Ethernet segment as an instance sees it. Where it is, is said once, for all MAC addresses on it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Segment {
    /// The instance.
    pub vpn: VpnId,
    /// The segment.
    pub esi: EthernetSegmentId,
}

/// A piece of the state that packets follow.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// A MAC address of an instance.
    Mac(VpnId, MacAddr),
    /// An IP address of an instance.
    Neighbor(VpnId, IpAddr),
    /// A remote endpoint that an instance floods to.
    Flood(VpnId, Target),
    /// A prefix of an instance.
    Route(VpnId, IpPrefix),
}

/// What carries labelled packets across the underlay.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum MplsForm {
    /// Ethernet (RFC 3032).
    Ethernet,
    /// GRE (RFC 4023).
    Gre,
    /// UDP (RFC 7510).
    Udp,
}

/// A routed packet's new Ethernet header, and where it goes with it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Adjacency {
    /// The instance that the frame is in.
    pub vpn: VpnId,
    /// Destination: a host, or the router's MAC of a remote endpoint.
    pub destination: MacAddr,
    /// Source: the gateway's, or this node's router's MAC.
    pub source: MacAddr,
    /// A port, or a remote endpoint: over VXLAN, or in an E-VPN over MPLS.
    pub target: Target,
}

/// Where routed packets go next.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Hop {
    /// In a new Ethernet header.
    Adjacency(Adjacency),
    /// Without one, under a label ([`Target::Mpls`]).
    Labelled(Target),
    /// The router itself.
    Router,
}

/// Where an IP prefix of an instance is: one hop, or several equal ones, between which the flow chooses.
/// Routes with the same hops share them: there may be a million.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Route {
    /// In their order, each once; never empty.
    pub hops: Arc<[Hop]>,
}

/// Packets from the ports of an instance that are routed by another one: those of which all of this holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Rule {
    /// Their IP version.
    pub version: IpVersion,
    /// Where they come from.
    pub source: Option<IpPrefix>,
    /// Where they go.
    pub destination: Option<IpPrefix>,
    /// Their IP protocol.
    pub protocol: Option<u8>,
    /// First and last source port.
    pub source_ports: Option<(u16, u16)>,
    /// First and last destination port.
    pub destination_ports: Option<(u16, u16)>,
    /// The instance that routes them.
    pub vrf: VpnId,
}

/// What a label of this node means.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum LabelUse {
    /// A label of this instance: the packet below goes to an adjacency with a port, without a lookup. The frame may
    /// be in another instance, an E-VPN that is plugged into the router.
    Adjacency(VpnId, Adjacency),
    /// The packet below is routed by the instance.
    Router(VpnId),
    /// The frame below is switched by the instance.
    Bridge(VpnId),
}

impl LabelUse {
    /// The instance whose remote endpoints may send with the label.
    #[must_use]
    pub const fn vpn(&self) -> VpnId {
        match self {
            Self::Adjacency(vpn, _) | Self::Router(vpn) | Self::Bridge(vpn) => *vpn,
        }
    }
}

/// What the router is to the hosts of an instance.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Router {
    /// Source of ICMP errors.
    pub ipv4: Option<Ipv4Addr>,
    /// Source of ICMPv6 errors.
    pub ipv6: Option<Ipv6Addr>,
    /// Answer ARP and ND for addresses that nobody has, too.
    pub proxy: bool,
}

/// A port: an interface of this node that is attached to a VPN instance.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Port {
    /// Name of the interface; NAME:VLAN is a VLAN on it, which is a trunk then.
    pub interface: String,
    /// The instance.
    pub vpn: VpnId,
    /// Packets only leave by it. What comes in is not the instance's; the interface may be another's port, too.
    pub egress: bool,
}

/// The interface that a port is on, and the VLAN that it is there: zero if it is the interface itself. No interface has
/// a colon in its name.
#[must_use]
pub fn on_trunk(port: &str) -> (&str, u16) {
    let vlan = port.split_once(':').and_then(|(name, vlan)| Some((name, vlan.parse().ok()?)));
    vlan.unwrap_or((port, 0))
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
    /// What the router is to the hosts of an instance.
    Router(VpnId, Option<Router>),
    /// The remote endpoints of a segment, in their order, each once; never empty.
    Segment(Segment, Option<Arc<[Target]>>),
    /// Where an IP prefix of an instance is.
    Route(VpnId, IpPrefix, Option<Route>),
    /// Which packets of an instance are routed by others: the first rule that holds counts; never empty.
    Classifier(VpnId, Option<Arc<[Rule]>>),
    /// What a label of this node means.
    Label(Label, Option<LabelUse>),
}

impl Change {
    /// The place of a change among changes that are made together: what is referred to is there before what
    /// refers to it, and goes after it.
    #[must_use]
    pub const fn rank(&self) -> u8 {
        match self {
            Self::Vpn(_, Some(_)) => 0,
            Self::Router(_, Some(_)) => 1,
            Self::Port(_, Some(_)) => 2,
            Self::Endpoint(_, _, true) => 3,
            Self::Segment(_, Some(_)) => 4,
            Self::Route(_, _, Some(_)) => 5,
            Self::Classifier(_, Some(_)) | Self::Label(_, Some(_)) => 6,
            Self::Mac(_, _, Some(_)) => 7,
            Self::Neighbor(_, _, Some(_)) => 8,
            Self::Flood(_, _, true) => 9,
            Self::Flood(_, _, false) => 10,
            Self::Neighbor(_, _, None) => 11,
            Self::Mac(_, _, None) => 12,
            Self::Classifier(_, None) | Self::Label(_, None) => 13,
            Self::Route(_, _, None) => 14,
            Self::Segment(_, None) => 15,
            Self::Endpoint(_, _, false) => 16,
            Self::Port(_, None) => 17,
            Self::Router(_, None) => 18,
            Self::Vpn(_, None) => 19,
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
    /// The remote endpoints of segments.
    pub segments: BTreeMap<Segment, Arc<[Target]>>,
    /// Routers, by the instance whose hosts they serve.
    pub routers: BTreeMap<VpnId, Router>,
    /// IP routes.
    pub routes: BTreeMap<(VpnId, IpPrefix), Route>,
    /// Rules of instances.
    pub classifiers: BTreeMap<VpnId, Arc<[Rule]>>,
    /// Labels.
    pub labels: BTreeMap<Label, LabelUse>,
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
            Change::Segment(segment, value) => set(&mut self.segments, *segment, value.clone()),
            Change::Router(vpn, value) => set(&mut self.routers, *vpn, *value),
            Change::Route(vpn, prefix, value) => set(&mut self.routes, (*vpn, *prefix), value.clone()),
            Change::Classifier(vpn, value) => set(&mut self.classifiers, *vpn, value.clone()),
            Change::Label(label, value) => set(&mut self.labels, *label, *value),
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
