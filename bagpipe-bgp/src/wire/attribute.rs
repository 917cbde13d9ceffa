//! Path attributes (RFC 4271 §4.3, RFC 4456, RFC 4360, RFC 6514).

use std::net::{IpAddr, Ipv4Addr};

use bytes::Bytes;

use super::community::ExtendedCommunity;
use super::pmsi::PmsiTunnel;
use crate::types::{Asn, RouteTarget, RouterId};

/// ORIGIN (RFC 4271 §5.1.1).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Origin {
    /// Interior to the originating AS.
    #[default]
    Igp,
    /// Learned by EGP.
    Egp,
    /// Learned by some other means.
    Incomplete,
}

/// One segment of AS_PATH (RFC 4271 §4.3).
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum AsSegment {
    /// An unordered set of ASes.
    Set(Vec<Asn>),
    /// An ordered sequence of ASes.
    Sequence(Vec<Asn>),
    /// A confederation segment (RFC 5065), kept as it is: its type (3 or 4) and its ASes.
    Confederation(u8, Vec<Asn>),
}

/// AS_PATH, in four-octet form (RFC 6793).
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct AsPath(pub Vec<AsSegment>);

/// The next hop of an UPDATE (RFC 4760 §3); for VPN families without its route distinguisher, which is zero.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct NextHop {
    /// The global address.
    pub address: IpAddr,
    /// The IPv6 link-local address that may follow a global one (RFC 2545 §3).
    pub link_local: Option<std::net::Ipv6Addr>,
}

/// An attribute that this speaker does not use, kept to be passed on (RFC 4271 §5: optional transitive).
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct RawAttribute {
    /// Attribute flags as received.
    pub flags: u8,
    /// Attribute type.
    pub kind: u8,
    /// Attribute value.
    pub value: Bytes,
}

/// The attributes of a path, and its next hop. Shared by all routes of an UPDATE.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Attributes {
    /// ORIGIN.
    pub origin: Origin,
    /// AS_PATH; empty for a route of this AS.
    pub as_path: AsPath,
    /// Next hop, from MP_REACH_NLRI or NEXT_HOP. RT Constraint routes have one too.
    pub next_hop: Option<NextHop>,
    /// MULTI_EXIT_DISC.
    pub med: Option<u32>,
    /// LOCAL_PREF; absent on eBGP.
    pub local_pref: Option<u32>,
    /// ATOMIC_AGGREGATE.
    pub atomic_aggregate: bool,
    /// AGGREGATOR, with a four-octet AS.
    pub aggregator: Option<(Asn, Ipv4Addr)>,
    /// COMMUNITIES (RFC 1997).
    pub communities: Vec<u32>,
    /// ORIGINATOR_ID (RFC 4456 §8).
    pub originator_id: Option<RouterId>,
    /// CLUSTER_LIST, most recent first (RFC 4456 §8).
    pub cluster_list: Vec<Ipv4Addr>,
    /// EXTENDED_COMMUNITIES (RFC 4360), in the order received.
    pub extended_communities: Vec<ExtendedCommunity>,
    /// LARGE_COMMUNITIES (RFC 8092).
    pub large_communities: Vec<[u32; 3]>,
    /// PMSI_TUNNEL (RFC 6514 §5).
    pub pmsi_tunnel: Option<PmsiTunnel>,
    /// Optional transitive attributes that are passed on unread.
    pub unknown: Vec<RawAttribute>,
}

impl Attributes {
    /// The route targets among the extended communities.
    pub fn route_targets(&self) -> impl Iterator<Item = RouteTarget> + '_ {
        self.extended_communities.iter().filter_map(|community| RouteTarget::from_octets(community.0))
    }
}
