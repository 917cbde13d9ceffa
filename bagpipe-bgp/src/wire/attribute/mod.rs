//! Path attributes (RFC 4271 §4.3, RFC 4456, RFC 4360, RFC 6514).

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use bytes::Bytes;
use serde::{Serialize, Serializer};

use super::community::ExtendedCommunity;
use super::pmsi::PmsiTunnel;
use super::text::{Hex, hex, serialize_as_text, spaced, texts};
use crate::types::{Asn, RouteTarget, RouterId};

mod as_path;
mod decode;
mod encode;
pub(super) mod rules;

pub use as_path::{AsPath, AsSegment};
pub(super) use decode::{Decoded, decode};
pub(super) use encode::{encode, put, put_header};

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

/// The next hop of an UPDATE (RFC 4760 §3); for VPN families without its route distinguisher, which is zero.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct NextHop {
    /// The global address.
    pub address: IpAddr,
    /// The IPv6 link-local address that may follow a global one (RFC 2545 §3).
    pub link_local: Option<Ipv6Addr>,
}

/// An attribute that this speaker does not use, kept to be passed on (RFC 4271 §5: optional transitive).
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize)]
pub struct RawAttribute {
    /// Attribute flags as received, but for the extended length flag, which is of the encoding alone.
    pub flags: u8,
    /// Attribute type.
    pub kind: u8,
    /// Attribute value.
    #[serde(serialize_with = "hex")]
    pub value: Bytes,
}

/// The attributes of a path, and its next hop. Shared by all routes of an UPDATE.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize)]
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
    #[serde(serialize_with = "community_texts")]
    pub communities: Vec<u32>,
    /// ORIGINATOR_ID (RFC 4456 §8).
    pub originator_id: Option<RouterId>,
    /// CLUSTER_LIST, most recent first (RFC 4456 §8).
    pub cluster_list: Vec<Ipv4Addr>,
    /// EXTENDED_COMMUNITIES (RFC 4360), in the order received.
    #[serde(serialize_with = "texts")]
    pub extended_communities: Vec<ExtendedCommunity>,
    /// LARGE_COMMUNITIES (RFC 8092).
    #[serde(serialize_with = "large_community_texts")]
    pub large_communities: Vec<[u32; 3]>,
    /// PMSI_TUNNEL (RFC 6514 §5).
    pub pmsi_tunnel: Option<PmsiTunnel>,
    /// Optional transitive attributes that are passed on unread, in the order of their types.
    pub unknown: Vec<RawAttribute>,
}

impl Attributes {
    /// The route targets among the extended communities.
    pub fn route_targets(&self) -> impl Iterator<Item = RouteTarget> + '_ {
        self.extended_communities.iter().filter_map(|community| RouteTarget::from_octets(community.0))
    }
}

impl From<IpAddr> for NextHop {
    fn from(address: IpAddr) -> Self {
        Self { address, link_local: None }
    }
}

impl NextHop {
    /// Whether it can be the address of a host, as it has to be (RFC 4271 §6.3).
    pub(super) const fn is_host(&self) -> bool {
        match self.address {
            IpAddr::V4(address) => {
                !address.is_unspecified() && !address.is_multicast() && !address.is_broadcast()
            }
            IpAddr::V6(address) => !address.is_unspecified() && !address.is_multicast(),
        }
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Igp => "igp",
            Self::Egp => "egp",
            Self::Incomplete => "incomplete",
        })
    }
}

impl fmt::Display for NextHop {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.address.fmt(f)?;
        self.link_local.iter().try_for_each(|address| write!(f, "+{address}"))
    }
}

serialize_as_text!(Origin, NextHop);

impl fmt::Display for RawAttribute {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "attribute {} flags {:#04x} {}", self.kind, self.flags, Hex(&self.value))
    }
}

impl fmt::Display for Attributes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "origin {}", self.origin)?;
        if !self.as_path.0.is_empty() {
            write!(f, ", path {}", self.as_path)?;
        }
        if let Some(next_hop) = &self.next_hop {
            write!(f, ", next hop {next_hop}")?;
        }
        if let Some(med) = self.med {
            write!(f, ", med {med}")?;
        }
        if let Some(local_pref) = self.local_pref {
            write!(f, ", local-pref {local_pref}")?;
        }
        if self.atomic_aggregate {
            f.write_str(", atomic-aggregate")?;
        }
        if let Some((asn, address)) = self.aggregator {
            write!(f, ", aggregator {asn} {address}")?;
        }
        list(f, ", communities ", self.communities.iter().copied().map(Community))?;
        if let Some(originator) = self.originator_id {
            write!(f, ", originator {originator}")?;
        }
        list(f, ", clusters ", &self.cluster_list)?;
        list(f, ", extended communities ", &self.extended_communities)?;
        list(f, ", large communities ", self.large_communities.iter().copied().map(LargeCommunity))?;
        if let Some(tunnel) = &self.pmsi_tunnel {
            write!(f, ", pmsi {tunnel}")?;
        }
        list(f, ", ", &self.unknown)
    }
}

fn list<T: fmt::Display>(
    f: &mut fmt::Formatter<'_>,
    title: &str,
    items: impl IntoIterator<Item = T, IntoIter: ExactSizeIterator>,
) -> fmt::Result {
    let items = items.into_iter();
    if items.len() == 0 {
        return Ok(());
    }
    f.write_str(title)?;
    spaced(f, items)
}

/// A community in the usual form of two halves (RFC 1997).
struct Community(u32);

impl fmt::Display for Community {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.0 >> 16, self.0 & 0xffff)
    }
}

/// A large community in its canonical form (RFC 8092 §5).
struct LargeCommunity([u32; 3]);

impl fmt::Display for LargeCommunity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [global, first, second] = self.0;
        write!(f, "{global}:{first}:{second}")
    }
}

fn community_texts<S: Serializer>(communities: &[u32], serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_seq(communities.iter().map(|community| Community(*community).to_string()))
}

fn large_community_texts<S: Serializer>(communities: &[[u32; 3]], serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_seq(communities.iter().map(|community| LargeCommunity(*community).to_string()))
}
