//! Route target membership NLRI (RFC 4684 §4): the prefix of (origin AS, route target) that a speaker wants.

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
}
