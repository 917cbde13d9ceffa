//! A route of any family, and how the NLRI of a family follow one another.

use std::fmt;

use bytes::{BufMut, Bytes, BytesMut};
use serde::Serialize;

use super::text::{Hex, hex};
use super::{EvpnRoute, RouteTargetMembership};
use crate::types::Family;

/// Network layer reachability information of any family.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(untagged)]
pub enum Nlri {
    /// L2VPN E-VPN.
    Evpn(EvpnRoute),
    /// Route target membership.
    RouteTarget(RouteTargetMembership),
    /// Any other family: kept as it is.
    Other(Family, #[serde(serialize_with = "hex")] Bytes),
}

impl Nlri {
    /// The family whose messages carry this route.
    #[must_use]
    pub const fn family(&self) -> Family {
        match self {
            Self::Evpn(_) => Family::EVPN,
            Self::RouteTarget(_) => Family::ROUTE_TARGET,
            Self::Other(family, _) => *family,
        }
    }

    /// Writes the route as it stands in MP_REACH_NLRI and MP_UNREACH_NLRI.
    pub fn encode(&self, out: &mut BytesMut) {
        match self {
            Self::Evpn(route) => route.encode(out),
            Self::RouteTarget(membership) => membership.encode(out),
            Self::Other(_, bytes) => out.put_slice(bytes),
        }
    }

    /// The route in one NLRI that [`split`] has cut out of `block`.
    pub(super) fn decode(family: Family, nlri: &[u8], block: &Bytes) -> Result<Self, &'static str> {
        match (family, nlri) {
            (Family::EVPN, [route_type, _length, value @ ..]) => {
                EvpnRoute::decode(*route_type, value, block).map(Self::Evpn)
            }
            (Family::ROUTE_TARGET, _) => RouteTargetMembership::decode(nlri).map(Self::RouteTarget),
            _ => Ok(Self::Other(family, block.slice_ref(nlri))),
        }
    }
}

impl fmt::Display for Nlri {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Evpn(route) => route.fmt(f),
            Self::RouteTarget(membership) => membership.fmt(f),
            Self::Other(family, bytes) => write!(f, "{family} {}", Hex(bytes)),
        }
    }
}

/// How many octets the first NLRI of `bytes` has.
///
/// # Errors
///
/// The NLRI overruns what encloses it, or its length cannot be: nothing after it can be found
/// (RFC 7606 §5.3).
pub(super) fn split(family: Family, bytes: &[u8]) -> Result<usize, &'static str> {
    let length = match (framing(family), bytes) {
        (Framing::Typed, [_, length, ..]) => 2 + usize::from(*length),
        (Framing::Typed, _) => return Err("NLRI ends before its length"),
        (Framing::Prefix { max_bits }, [bits, ..]) if *bits <= max_bits => 1 + usize::from(bits.div_ceil(8)),
        (Framing::Prefix { .. }, _) => return Err("NLRI longer than its family allows"),
        (Framing::Unknown, _) => bytes.len(),
    };
    if length <= bytes.len() { Ok(length) } else { Err("NLRI overruns its field") }
}

enum Framing {
    /// A type octet and a length in octets.
    Typed,
    /// A length in bits, then as many octets as that needs.
    Prefix { max_bits: u8 },
    /// All that there is counts as one.
    Unknown,
}

const fn framing(family: Family) -> Framing {
    match (family.afi, family.safi) {
        (25, 70) => Framing::Typed,
        // RFC 4684 §4: four octets of origin AS and eight of route target.
        (1, 132) => Framing::Prefix { max_bits: 96 },
        (1, 1 | 2) => Framing::Prefix { max_bits: 32 },
        (2, 1 | 2) => Framing::Prefix { max_bits: 128 },
        // With labels and a route distinguisher any number of bits can be right.
        (1 | 2, 4 | 128) => Framing::Prefix { max_bits: u8::MAX },
        _ => Framing::Unknown,
    }
}
