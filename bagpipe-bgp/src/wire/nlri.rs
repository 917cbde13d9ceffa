//! A route of any family, and how the NLRI of a family follow one another.

use std::fmt;

use bytes::{BufMut, Bytes, BytesMut};
use serde::Serialize;

use super::text::{Hex, hex};
use super::{EvpnRoute, FlowSpecRoute, RouteTargetMembership, VpnRoute, evpn, flowspec, vpn};
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

    /// [`EvpnRoute::usual`]
    #[inline]
    pub(super) fn usual_evpn(bytes: &[u8]) -> Option<(Self, usize)> {
        EvpnRoute::usual(bytes).map(|(route, length)| (Self::Evpn(route), length))
    }

    /// [`VpnRoute::usual`]
    #[inline]
    pub(super) fn usual_vpnv4(bytes: &[u8]) -> Option<(Self, usize)> {
        VpnRoute::usual(bytes).map(|(route, length)| (Self::Vpn(route), length))
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

    /// The first route of `rest`, which is a part of `block`, of as many octets as [`Framing::split`] said.
    ///
    /// # Errors
    ///
    /// What is wrong with this route alone.
    #[inline]
    pub(super) fn decode(
        family: Family,
        rest: &[u8],
        length: usize,
        block: &Bytes,
    ) -> Result<Self, &'static str> {
        if let Some(version) = vpn::version_of(family) {
            return VpnRoute::decode(version, rest).map(Self::Vpn);
        }
        let nlri = rest.get(..length).unwrap_or(rest);
        match (family, nlri) {
            (Family::EVPN, [route_type, _length, value @ ..]) => {
                EvpnRoute::decode(*route_type, value, block).map(Self::Evpn)
            }
            (Family::ROUTE_TARGET, _) => RouteTargetMembership::decode(nlri).map(Self::RouteTarget),
            _ => match family.flow_specifications() {
                Some(version) => FlowSpecRoute::decode(version, nlri).map(Self::FlowSpec),
                None => Ok(Self::Other(family, block.slice_ref(nlri))),
            },
        }
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

/// How many octets the first NLRI of `bytes` has, if it can be told at a glance that it is in the form that
/// [`Nlri::encode`] gives it: a route of the most common kinds.
#[inline]
pub(super) fn canonical(family: Family, bytes: &[u8]) -> Option<usize> {
    match family {
        Family::EVPN => evpn::canonical(bytes),
        Family::VPNV4 => vpn::canonical(bytes),
        _ => None,
    }
}

/// How the NLRI of a family follow one another.
#[derive(Clone, Copy, Debug)]
pub(super) enum Framing {
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

impl Framing {
    pub(super) const fn of(family: Family) -> Self {
        match (family.afi, family.safi) {
            (25, 70) => Self::Typed,
            // RFC 4684 §4: four octets of origin AS and eight of route target.
            (1, 132) => Self::Prefix { max_bits: 96 },
            (1, 1 | 2) => Self::Prefix { max_bits: 32 },
            (2, 1 | 2) => Self::Prefix { max_bits: 128 },
            (1, 128) => Self::Vpn(IpVersion::V4),
            (2, 128) => Self::Vpn(IpVersion::V6),
            (1 | 2, 134) => Self::FlowSpec,
            // With labels any number of bits can be right.
            (1 | 2, 4) => Self::Prefix { max_bits: u8::MAX },
            _ => Self::Unknown,
        }
    }

    /// How many octets the first NLRI of `bytes` has.
    ///
    /// # Errors
    ///
    /// The NLRI overruns what encloses it, or its length cannot be: nothing after it can be found
    /// (RFC 7606 §5.3).
    // A call for each route would take as long as what is done in it.
    #[inline(always)]
    pub(super) fn split(self, bytes: &[u8]) -> Result<usize, &'static str> {
        let length = match (self, bytes) {
            (Self::Typed, [_, length, ..]) => 2 + usize::from(*length),
            (Self::Typed, _) => return Err("NLRI ends before its length"),
            (Self::Prefix { max_bits }, [bits, ..]) if *bits <= max_bits => 1 + usize::from(bits.div_ceil(8)),
            (Self::Prefix { .. }, _) => return Err("NLRI longer than its family allows"),
            (Self::FlowSpec, _) => match flowspec::length(bytes) {
                Some((octets, length)) => octets + length,
                None => return Err("NLRI ends before its length"),
            },
            (Self::Vpn(version), _) => return vpn::split(version, bytes),
            (Self::Unknown, _) => bytes.len(),
        };
        if length <= bytes.len() { Ok(length) } else { Err("NLRI overruns its field") }
    }
}

/// Appends an encoded route as it stands in MP_UNREACH_NLRI.
pub(super) fn put_withdrawal(family: Family, out: &mut BytesMut, encoded: &[u8]) {
    match vpn::version_of(family) {
        Some(_) => vpn::put_withdrawal(out, encoded),
        None => out.put_slice(encoded),
    }
}
