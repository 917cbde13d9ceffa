//! Route target membership NLRI (RFC 4684 §4): the prefix of (origin AS, route target) that a speaker wants.

use std::fmt;

use bytes::{BufMut, BytesMut};

use super::reader::Reader;
use super::text::{Hex, serialize_as_text};
use crate::types::{Asn, RouteTarget};

/// A route target membership: zero bits (the default: everything), or 32 to 96 bits of origin AS and target.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct RouteTargetMembership {
    /// Prefix length in bits: 0, or 32 to 96.
    pub length: u8,
    /// The AS that originated the membership; zero if `length` is 0.
    pub origin: Asn,
    /// The eight octets of the route target, with the bits beyond the prefix zero.
    pub target: [u8; 8],
}

impl RouteTargetMembership {
    /// The wildcard: all route targets (RFC 4684 §4).
    pub const DEFAULT: Self = Self { length: 0, origin: 0, target: [0; 8] };

    /// The membership of exactly one route target.
    #[must_use]
    pub const fn exact(origin: Asn, target: RouteTarget) -> Self {
        Self { length: 96, origin, target: target.octets() }
    }

    /// The membership in a whole NLRI: length in bits, then the prefix.
    pub(super) fn decode(nlri: &[u8]) -> Result<Self, &'static str> {
        let mut reader = Reader(nlri);
        let length = reader.u8().ok_or("no length")?;
        if length == 0 && reader.is_empty() {
            return Ok(Self::DEFAULT);
        }
        if !(32..=96).contains(&length) || reader.0.len() != usize::from(length.div_ceil(8)) {
            return Err("prefix length is neither 0 nor 32 to 96 bits (RFC 4684 §4)");
        }
        let origin = reader.u32().ok_or("no origin AS")?;
        let mut target = [0; 8];
        for (octet, received) in target.iter_mut().zip(reader.0) {
            *octet = *received;
        }
        let mask = u64::MAX.checked_shl(96 - u32::from(length)).unwrap_or(0);
        Ok(Self { length, origin, target: (u64::from_be_bytes(target) & mask).to_be_bytes() })
    }

    /// Writes the length in bits and as many octets as it needs.
    pub fn encode(&self, out: &mut BytesMut) {
        out.put_u8(self.length);
        let octets = usize::from(self.length.div_ceil(8));
        let [a, b, c, d] = self.origin.to_be_bytes();
        out.extend([a, b, c, d].into_iter().chain(self.target).take(octets));
    }

    /// Whether routes with this route target are asked for.
    #[must_use]
    pub const fn matches(&self, target: RouteTarget) -> bool {
        let bits = self.length.saturating_sub(32);
        let difference = u64::from_be_bytes(target.octets()) ^ u64::from_be_bytes(self.target);
        match difference.checked_shr(64_u32.saturating_sub(bits as u32)) {
            Some(rest) => rest == 0,
            None => true,
        }
    }
}

impl fmt::Display for RouteTargetMembership {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.length, RouteTarget::from_octets(self.target)) {
            (0, _) => f.write_str("rtc default"),
            (96, Some(target)) => write!(f, "rtc {target} origin {}", self.origin),
            _ => write!(f, "rtc {}/{} origin {}", Hex(&self.target), self.length, self.origin),
        }
    }
}

serialize_as_text!(RouteTargetMembership);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_membership_matches_what_begins_with_its_bits() {
        let target = |text: &str| text.parse::<RouteTarget>().unwrap();
        let exact = RouteTargetMembership::exact(64512, target("64512:100"));
        assert!(exact.matches(target("64512:100")));
        assert!(!exact.matches(target("64512:101")));
        assert!(RouteTargetMembership::DEFAULT.matches(target("10.0.0.1:7")));
        // 32 bits: the origin AS alone.
        assert!(RouteTargetMembership { length: 32, target: [0; 8], ..exact }.matches(target("10.0.0.1:7")));
        // 64 bits: the kind and the AS.
        let of_as = RouteTargetMembership { length: 64, target: [0, 2, 0xfc, 0, 0, 0, 0, 0], ..exact };
        assert!(of_as.matches(target("64512:7")));
        assert!(!of_as.matches(target("64513:7")));
        let one_bit_less = RouteTargetMembership { length: 95, ..exact };
        assert!(one_bit_less.matches(target("64512:101")));
        assert!(!one_bit_less.matches(target("64512:102")));
    }
}
