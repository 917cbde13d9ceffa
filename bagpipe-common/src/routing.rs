//! Keys and values of routing: where an IP packet goes, and what a label means.
//!
//! A router is an instance as any other: an IP-VPN is one, with its ports in `PORTS` and `FDB`. A frame is routed
//! when `FDB` says that its destination MAC address is the router's ([`TargetKind::Router`]).
//!
//! [`TargetKind::Router`]: crate::TargetKind::Router

use crate::{Address, Target};

/// Buckets of a group of equal next hops: the flow hash chooses one.
pub const GROUP_BUCKETS: u32 = 64;

/// Key of `ROUTES` (longest-prefix match). Host routes are not there but in `HOSTS`, which is asked first.
///
/// The bits that count begin with [`ROUTE_KEY_BITS`]: a prefix of IPv4 has `32 + 96 + n` of them, one of IPv6 `32 + n`.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct RouteKey {
    /// Bits of the prefix that count, in host order.
    pub prefix_length: u32,
    /// The prefix.
    pub prefix: RoutePrefix,
}

/// The bits of a [`RouteKey`], the first first.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct RoutePrefix {
    /// Number of the VPN instance on this node, in network order.
    pub vpn: [u8; 2],
    /// Zero, and 4 or 6: an IPv4 address is no IPv6 address, though it is written as one.
    pub family: [u8; 2],
    /// The prefix; the bits beyond are zero.
    pub address: Address,
}

/// Bits before the address of a [`RoutePrefix`].
pub const ROUTE_KEY_BITS: u32 = 32;

/// Key of `ENDPOINTS`: a labelled packet is let in only from a known remote endpoint of the label's instance.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct EndpointKey {
    /// Outer source address.
    pub remote: Address,
    /// Number of the VPN instance on this node.
    pub vpn: u16,
    /// Zero.
    pub zero: u16,
}

/// Value of `ADJACENCIES` (array): a routed packet gets these Ethernet addresses, then goes to the target as a
/// frame of the instance. Written once into a free slot, as [`Encap`](crate::Encap) is.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Adjacency {
    /// Destination: a host, or the router's MAC of a remote endpoint (RFC 9135 §5.1).
    pub destination: [u8; 6],
    /// Source: the gateway's, or this node's router's MAC.
    pub source: [u8; 6],
    /// Number of the instance that the frame is in.
    pub vpn: u16,
    /// Zero.
    pub zero: u16,
    /// A port of this node, or a remote endpoint: over VXLAN, or the whole frame over MPLS.
    pub target: Target,
}

/// Value of `RULES` (array): a packet from a port of an instance of which all of this holds is routed by another one; if
/// not, the next rule counts. Written once into a free slot, and never changed while anything leads to it: so whoever
/// goes from rule to rule sees those that were there when it began.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Rule {
    /// Where packets come from: the bits that count.
    pub source: Address,
    /// Which bits count of the source.
    pub source_mask: Address,
    /// Where packets go: the bits that count.
    pub destination: Address,
    /// Which bits count of the destination.
    pub destination_mask: Address,
    /// First and last source port, in host order.
    pub source_ports: [u16; 2],
    /// First and last destination port, in host order.
    pub destination_ports: [u16; 2],
    /// EtherType of the packets, in host order.
    pub ethertype: u16,
    /// IP protocol, see [`rule_flags::PROTOCOL`].
    pub protocol: u8,
    /// See [`rule_flags`].
    pub flags: u8,
    /// Slot of the next rule; zero if this is the last.
    pub next: u32,
    /// Number of the instance that routes the packet.
    pub vrf: u32,
}

/// Bits of [`Rule::flags`].
pub mod rule_flags {
    /// The protocol counts.
    pub const PROTOCOL: u8 = 1;
    /// Ports count: what has none is not meant.
    pub const PORTS: u8 = 2;
}

/// Value of `ROUTERS` (array, indexed by instance number): what the router is to the instance's hosts. It may be
/// read while it changes: nothing worse follows than an ICMP error from the previous address.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Router {
    /// Source of ICMPv6 errors; unspecified if there is none.
    pub ipv6: Address,
    /// Source of ICMP errors; unspecified if there is none.
    pub ipv4: [u8; 4],
    /// See [`router_flags`].
    pub flags: u32,
}

/// Bits of [`Router::flags`].
pub mod router_flags {
    /// ARP and ND requests for addresses that nobody has are answered, too.
    pub const PROXY: u32 = 1;
}

/// What a [`Label`] is for.
#[repr(u8)]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum LabelKind {
    /// The packet below goes to the adjacency `id`: no lookup.
    Adjacency = 1,
    /// The packet below is routed by the instance; only to ports of this node.
    Router = 2,
    /// The frame below is switched by the E-VPN instance; only to ports of this node.
    Bridge = 3,
}

impl LabelKind {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Adjacency, Self::Router, Self::Bridge];

    /// The kind with this number.
    #[must_use]
    pub fn of(number: u8) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| *kind as u8 == number)
    }
}

/// Value of `LABELS`: what a label that this node has assigned means.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Label {
    /// A [`LabelKind`] as a number.
    pub kind: u8,
    /// Zero.
    pub zero: u8,
    /// Number of the instance.
    pub vpn: u16,
    /// Number of the adjacency; zero for other kinds.
    pub id: u32,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_has_padding() {
        assert_eq!(size_of::<RouteKey>(), 4 + 2 + 16 + 2);
        assert_eq!(size_of::<EndpointKey>(), 16 + 2 + 2);
        assert_eq!(size_of::<Adjacency>(), 6 + 6 + 2 + 2 + 8);
        assert_eq!(size_of::<Router>(), 16 + 4 + 4);
        assert_eq!(size_of::<Label>(), 8);
        assert_eq!(size_of::<Rule>(), 4 * 16 + 8 + 2 + 1 + 1 + 4 + 4);
    }
}
