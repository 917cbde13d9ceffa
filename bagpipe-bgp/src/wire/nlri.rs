//! A route of any family, and how the NLRI of a family follow one another.

use std::fmt;

use bytes::{BufMut, Bytes, BytesMut};
use serde::Serialize;

use super::text::{Hex, hex};
use super::{EvpnRoute, FlowSpecRoute, RouteTargetMembership, VpnRoute, flowspec, vpn};
use crate::types::{Family, IpVersion};

/// Network layer reachability information of any family.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(untagged)]
pub enum Nlri {
    /// L2VPN E-VPN.
    Evpn(EvpnRoute),
    /// Route target membership.
    RouteTarget(RouteTargetMembership),
    /// VPN-IPv4 or VPN-IPv6 unicast.
    Vpn(VpnRoute),
    /// A flow specification of a VPN.
    FlowSpec(FlowSpecRoute),
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
            Self::Vpn(route) => route.family(),
            Self::FlowSpec(route) => route.family(),
            Self::Other(family, _) => *family,
        }
    }

    /// Writes the route as it stands in MP_REACH_NLRI and MP_UNREACH_NLRI.
    pub fn encode(&self, out: &mut BytesMut) {
        match self {
            Self::Evpn(route) => route.encode(out),
            Self::RouteTarget(membership) => membership.encode(out),
            Self::Vpn(route) => route.encode(out),
            Self::FlowSpec(route) => route.encode(out),
            Self::Other(_, bytes) => out.put_slice(bytes),
        }
    }

    /// The first route of `rest`, which is a part of `block`, and how many octets it has.
    ///
    /// # Errors
    ///
    /// The outer error is that of [`split`]: where the next route begins is not known. The inner one concerns this
    /// route alone.
    #[inline]
    pub(super) fn take(
        family: Family,
        rest: &[u8],
        block: &Bytes,
    ) -> Result<(Result<Self, &'static str>, usize), &'static str> {
        if let Some(version) = vpn::version_of(family) {
            return VpnRoute::take(version, rest).map(|(route, length)| (Ok(Self::Vpn(route)), length));
        }
        let length = split(family, rest)?;
        let nlri = rest.get(..length).unwrap_or(rest);
        let route = match (family, nlri) {
            (Family::EVPN, [route_type, _length, value @ ..]) => {
                EvpnRoute::decode(*route_type, value, block).map(Self::Evpn)
            }
            (Family::ROUTE_TARGET, _) => RouteTargetMembership::decode(nlri).map(Self::RouteTarget),
            _ => match family.flow_specifications() {
                Some(version) => FlowSpecRoute::decode(version, nlri).map(Self::FlowSpec),
                None => Ok(Self::Other(family, block.slice_ref(nlri))),
            },
        };
        Ok((route, length))
    }
}

impl fmt::Display for Nlri {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Evpn(route) => route.fmt(f),
            Self::RouteTarget(membership) => membership.fmt(f),
            Self::Vpn(route) => route.fmt(f),
            Self::FlowSpec(route) => route.fmt(f),
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
        (Framing::FlowSpec, _) => match flowspec::length(bytes) {
            Some((octets, length)) => octets + length,
            None => return Err("NLRI ends before its length"),
        },
        (Framing::Vpn(version), _) => return VpnRoute::take(version, bytes).map(|(_, length)| length),
        (Framing::Unknown, _) => bytes.len(),
    };
    if length <= bytes.len() { Ok(length) } else { Err("NLRI overruns its field") }
}

enum Framing {
    /// A type octet and a length in octets.
    Typed,
    /// A length in bits, then as many octets as that needs.
    Prefix { max_bits: u8 },
    /// The same, with labels and a route distinguisher in front, which the length has to fit.
    Vpn(IpVersion),
    /// A length in octets, in one or two of them.
    FlowSpec,
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
        (1, 128) => Framing::Vpn(IpVersion::V4),
        (2, 128) => Framing::Vpn(IpVersion::V6),
        (1 | 2, 134) => Framing::FlowSpec,
        // With labels any number of bits can be right.
        (1 | 2, 4) => Framing::Prefix { max_bits: u8::MAX },
        _ => Framing::Unknown,
    }
}

/// Appends an encoded route as it stands in MP_UNREACH_NLRI.
pub(super) fn put_withdrawal(family: Family, out: &mut BytesMut, encoded: &[u8]) {
    match vpn::version_of(family) {
        Some(_) => vpn::put_withdrawal(out, encoded),
        None => out.put_slice(encoded),
    }
}
