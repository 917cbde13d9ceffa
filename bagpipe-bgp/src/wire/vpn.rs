//! VPN-IPv4 and VPN-IPv6 NLRI (RFC 4364 §4.3.4, RFC 4659 §3.2): labels, route distinguisher and prefix.

use std::fmt;
use std::net::IpAddr;

use bytes::{BufMut, BytesMut};
use serde::Serialize;

use super::label_stack::{LABEL_BITS, LabelStack, WITHDRAWN, label_octets};
use crate::types::{Family, IpPrefix, IpVersion, RouteDistinguisher};

const RD_BITS: usize = 64;

/// A route of an IP VPN.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
pub struct VpnRoute {
    /// Labels, none in a withdrawal; not part of the key.
    pub labels: LabelStack,
    /// Route distinguisher.
    pub rd: RouteDistinguisher,
    /// Prefix. Its IP version tells the family.
    pub prefix: IpPrefix,
}

impl VpnRoute {
    /// The family whose messages carry this route.
    #[must_use]
    pub const fn family(&self) -> Family {
        match self.prefix.address() {
            IpAddr::V4(_) => Family::VPNV4,
            IpAddr::V6(_) => Family::VPNV6,
        }
    }

    /// The route at the start of `bytes`, which [`split`] has found.
    ///
    /// # Errors
    ///
    /// Those of [`split`].
    #[inline]
    pub(super) fn decode(version: IpVersion, bytes: &[u8]) -> Result<Self, &'static str> {
        let Parts { labels, rd, prefix_bits, prefix, .. } = Parts::of(bytes)?;
        let prefix = match version {
            IpVersion::V4 => IpPrefix::v4(u32::from_be_bytes(padded(prefix)), prefix_bits),
            IpVersion::V6 => IpPrefix::v6(u128::from_be_bytes(padded(prefix)), prefix_bits),
        };
        let prefix = prefix.ok_or(TOO_LONG)?;
        Ok(Self { labels: LabelStack::decode(labels), rd: RouteDistinguisher(*rd), prefix })
    }

    /// The VPN-IPv4 route at the start of `bytes` and its octets, if it is in the form that most are in: its fields are at
    /// known places.
    #[inline]
    pub(super) fn usual(bytes: &[u8]) -> Option<(Self, usize)> {
        let common = Common::of(bytes)?;
        let prefix = IpPrefix::v4(u32::from_be_bytes(common.address), common.bits)?;
        let (labels, rd) = (LabelStack::of_bottom(common.label), RouteDistinguisher(common.rd));
        Some((Self { labels, rd, prefix }, common.length()))
    }

    /// Writes length, labels, route distinguisher and prefix. Labels for which the length has no room are left
    /// out, so that nobody can use the route: with a part of them packets would go astray.
    pub fn encode(&self, out: &mut BytesMut) {
        let prefix_bits = self.prefix.length();
        let with =
            |labels: usize| u8::try_from(labels * LABEL_BITS + RD_BITS + usize::from(prefix_bits)).ok();
        let whole = with(self.labels.len()).filter(|_| !self.labels.is_empty());
        let (bits, labels) = match whole {
            Some(bits) => (bits, self.labels.fields()),
            None => (with(1).unwrap_or(u8::MAX), &[WITHDRAWN][..]),
        };
        out.put_u8(bits);
        out.extend(labels.iter().flat_map(|field| field.0));
        out.put_slice(&self.rd.0);
        let octets = usize::from(prefix_bits.div_ceil(8));
        match self.prefix.address() {
            IpAddr::V4(address) => out.extend(address.octets().into_iter().take(octets)),
            IpAddr::V6(address) => out.extend(address.octets().into_iter().take(octets)),
        }
    }
}

/// The IP version of a family of VPN routes.
pub(super) const fn version_of(family: Family) -> Option<IpVersion> {
    match family {
        Family::VPNV4 => Some(IpVersion::V4),
        Family::VPNV6 => Some(IpVersion::V6),
        _ => None,
    }
}

const TOO_LONG: &str = "prefix longer than an address";

/// How many octets the route at the start of `bytes` has.
///
/// # Errors
///
/// The lengths do not agree, or do not fit the family. Nothing after such a route can be found
/// (RFC 7606 §5.3, RFC 8277 §2.3).
#[inline]
pub(super) fn split(version: IpVersion, bytes: &[u8]) -> Result<usize, &'static str> {
    let longest = match version {
        IpVersion::V4 => 32,
        IpVersion::V6 => 128,
    };
    if let Some(common) = Common::of(bytes).filter(|common| common.bits <= longest) {
        let length = common.length();
        return if length <= bytes.len() { Ok(length) } else { Err("NLRI overruns its field") };
    }
    split_any(longest, bytes)
}

fn split_any(longest: u8, bytes: &[u8]) -> Result<usize, &'static str> {
    let Parts { length, prefix_bits, .. } = Parts::of(bytes)?;
    if prefix_bits <= longest { Ok(length) } else { Err(TOO_LONG) }
}

/// How many octets the route has, if it is a VPN-IPv4 route with one label whose unused bits are as
/// [`VpnRoute::encode`] writes them.
#[inline]
pub(super) fn canonical(bytes: &[u8]) -> Option<usize> {
    let common = Common::of(bytes).filter(|common| common.bits <= 32)?;
    let behind = |bits: u8| u32::MAX.checked_shr(bits.into()).unwrap_or(0);
    let unused = behind(common.bits) & !behind(common.bits.div_ceil(8) * 8);
    let zero = u32::from_be_bytes(common.address) & unused == 0;
    (zero && LabelStack::is_canonical(common.label)).then(|| common.length())
}

/// The front of an encoded route with one label, behind which there are octets enough for an IPv4 address: so are all but
/// the last ones of a message, and their fields are at known places.
struct Common {
    /// Prefix length.
    bits: u8,
    label: [u8; 3],
    rd: [u8; 8],
    /// Begins with the octets of the prefix.
    address: [u8; 4],
}

impl Common {
    #[inline]
    fn of(bytes: &[u8]) -> Option<Self> {
        const FRONT: u8 = 88;
        let [bits, a, b, c, rest @ ..] = *bytes.first_chunk::<16>()?;
        let (rd, address) = rest.split_first_chunk::<8>()?;
        let (bits, label) = (bits.checked_sub(FRONT)?, [a, b, c]);
        LabelStack::is_bottom(label).then_some(())?;
        Some(Self { bits, label, rd: *rd, address: *address.first_chunk()? })
    }

    /// Octets of the whole.
    #[inline]
    fn length(&self) -> usize {
        12 + usize::from(self.bits.div_ceil(8))
    }
}

/// An encoded route, taken apart.
struct Parts<'a> {
    /// Octets of the whole.
    length: usize,
    labels: &'a [u8],
    rd: &'a [u8; 8],
    prefix_bits: u8,
    /// Begins with the octets of the prefix.
    prefix: &'a [u8],
}

impl<'a> Parts<'a> {
    #[inline]
    fn of(bytes: &'a [u8]) -> Result<Self, &'static str> {
        let Some((bits, rest)) = bytes.split_first() else { return Err("NLRI ends before its length") };
        let octets = usize::from(bits.div_ceil(8));
        let value = rest.get(..octets).ok_or("NLRI overruns its field")?;
        let labels = label_octets(value).ok_or("no bottom of the label stack (RFC 8277 §2.3)")?;
        let (labels, _) = value.split_at_checked(labels).ok_or("NLRI too short for its labels")?;
        let front = labels.len() * 8 + RD_BITS;
        let prefix_bits = usize::from(*bits).checked_sub(front).and_then(|bits| u8::try_from(bits).ok());
        let (Some((rd, prefix)), Some(prefix_bits)) =
            (rest.get(labels.len()..).and_then(|rest| rest.split_first_chunk()), prefix_bits)
        else {
            return Err("NLRI too short for labels and route distinguisher");
        };
        Ok(Self { length: 1 + octets, labels, rd, prefix_bits, prefix })
    }
}

/// The first octets, zero where there are none: the prefix needs no more of them than are there.
#[inline]
fn padded<const N: usize>(bytes: &[u8]) -> [u8; N] {
    bytes.first_chunk().copied().unwrap_or_else(|| {
        let mut padded = [0; N];
        padded.iter_mut().zip(bytes).for_each(|(octet, received)| *octet = *received);
        padded
    })
}

/// What of an encoded route tells it from others: the prefix length, then route distinguisher and prefix.
pub(crate) fn key(encoded: &[u8]) -> Option<(u8, &[u8])> {
    let parts = Parts::of(encoded).ok()?;
    Some((parts.prefix_bits, encoded.get(1 + parts.labels.len()..parts.length)?))
}

/// Appends the withdrawal of an encoded route: a field that says nothing takes the place of its labels
/// (RFC 8277 §2.4).
pub(super) fn put_withdrawal(out: &mut BytesMut, encoded: &[u8]) {
    if let Some((prefix_bits, tail)) = key(encoded)
        && let Ok(bits) = u8::try_from(LABEL_BITS + RD_BITS + usize::from(prefix_bits))
    {
        out.put_u8(bits);
        out.put_slice(&WITHDRAWN.0);
        out.put_slice(tail);
    }
}

impl fmt::Display for VpnRoute {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {} rd {}", self.family(), self.prefix, self.rd)?;
        if self.labels.is_empty() { Ok(()) } else { write!(f, " label {}", self.labels) }
    }
}
