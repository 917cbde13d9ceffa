//! Route target memberships of a peer (RFC 4684): which routes it wants.

use std::collections::BTreeMap;

use rustc_hash::FxHashMap;

use crate::types::{Family, RouteTarget};
use crate::wire::Attributes;

/// The eight octets of a route target, also of kinds that instances do not import (RFC 7432 §7.6).
pub(super) type Target = [u8; 8];

/// Whether routes of a family are sent only to peers that ask for their targets: the VPN families.
pub(super) const fn is_constrained(family: Family) -> bool {
    const AFI_L2VPN: u16 = 25;
    // MCAST-VPN (RFC 6514), MPLS-labeled VPN (RFC 4364), multicast VPN (RFC 6513), FlowSpec VPN (RFC 8955).
    family.afi == AFI_L2VPN || matches!(family.safi, 5 | 128 | 129 | 134)
}

/// The route targets of a path: sub-type 2 of the types that carry one (RFC 4360 §4, RFC 5668 §2), and the
/// ES-Import target, which is made to be constrained in the same way (RFC 7432 §7.6).
pub(super) fn targets(attributes: &Attributes) -> Box<[Target]> {
    const SUB_TYPE: u8 = 2;
    attributes
        .extended_communities
        .iter()
        .map(|community| community.0)
        .filter(|octets| matches!(octets, [0..=2 | 6, SUB_TYPE, ..]))
        .collect()
}

/// The part of a membership that is matched with routes: the leading bits of a route target. The origin AS only
/// steers how memberships spread (RFC 4684 §3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct TargetPrefix {
    /// 0 to 64.
    pub(super) bits: u8,
    /// The bits beyond the prefix are zero.
    pub(super) target: Target,
}

impl TargetPrefix {
    /// From an encoded membership NLRI (RFC 4684 §4): length in bits, origin AS, route target.
    pub(super) fn of(encoded: &[u8]) -> Option<Self> {
        const ORIGIN_BITS: u8 = 32;
        let (length, rest) = encoded.split_first()?;
        let bits = length.saturating_sub(ORIGIN_BITS).min(64);
        let mut target = [0; 8];
        for (octet, value) in target.iter_mut().zip(rest.iter().skip(4)) {
            *octet = *value;
        }
        Some(Self { bits, target: masked(target, bits) })
    }

    /// All bits of a target.
    pub(super) const fn exact(target: RouteTarget) -> Self {
        Self { bits: 64, target: target.octets() }
    }

    /// The last target that begins with this prefix, for searches in an ordered index.
    pub(super) fn last(&self) -> Target {
        (u64::from_be_bytes(self.target) | !mask(self.bits)).to_be_bytes()
    }
}

fn masked(target: Target, bits: u8) -> Target {
    (u64::from_be_bytes(target) & mask(bits)).to_be_bytes()
}

/// The leading `bits` ones.
const fn mask(bits: u8) -> u64 {
    match bits {
        0 => 0,
        1..64 => !(u64::MAX >> bits),
        _ => u64::MAX,
    }
}

/// The memberships of a peer: how many NLRI (of different origin ASes) hold each prefix, by its length.
#[derive(Debug, Default)]
pub(super) struct Memberships(BTreeMap<u8, FxHashMap<Target, u32>>);

impl Memberships {
    /// Add an NLRI.
    pub(super) fn add(&mut self, prefix: TargetPrefix) {
        *self.0.entry(prefix.bits).or_default().entry(prefix.target).or_default() += 1;
    }

    /// Remove an NLRI that was added.
    pub(super) fn remove(&mut self, prefix: TargetPrefix) {
        let Some(held) = self.0.get_mut(&prefix.bits) else { return };
        if let Some(count) = held.get_mut(&prefix.target) {
            *count -= 1;
            if *count == 0 {
                held.remove(&prefix.target);
            }
        }
        if held.is_empty() {
            self.0.remove(&prefix.bits);
        }
    }

    /// Whether a route with these targets is wanted. The default membership asks for all routes, also for one
    /// without any target (RFC 4684 §4).
    pub(super) fn want(&self, targets: &[Target]) -> bool {
        self.0.contains_key(&0)
            || self
                .0
                .iter()
                .any(|(&bits, held)| targets.iter().any(|target| held.contains_key(&masked(*target, bits))))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn prefix(length: u8, target: Target) -> TargetPrefix {
        let mut encoded = vec![length, 0, 0, 0xfc, 0];
        encoded.extend(target);
        TargetPrefix::of(&encoded).unwrap()
    }

    #[test]
    fn prefixes_match_their_leading_bits() {
        let target = [0, 2, 0xfc, 0, 0, 0, 0, 100];
        let other = [0, 2, 0xfc, 0, 0, 0, 0, 101];
        for (length, wants_target, wants_other) in
            [(0, true, true), (32, true, true), (48, true, true), (95, true, true), (96, true, false)]
        {
            let mut memberships = Memberships::default();
            memberships.add(prefix(length, target));
            assert_eq!(memberships.want(&[target]), wants_target, "{length}");
            assert_eq!(memberships.want(&[other]), wants_other, "{length}");
            memberships.remove(prefix(length, target));
            assert!(!memberships.want(&[target]), "{length}");
        }
    }

    #[test]
    fn a_membership_lasts_until_its_last_origin_is_gone() {
        let target = [0, 2, 0xfc, 0, 0, 0, 0, 100];
        let mut memberships = Memberships::default();
        memberships.add(prefix(96, target));
        memberships.add(prefix(96, target));
        memberships.remove(prefix(96, target));
        assert!(memberships.want(&[target]));
        memberships.remove(prefix(96, target));
        assert!(!memberships.want(&[target]));
    }

    #[test]
    fn only_the_default_asks_for_routes_without_target() {
        let mut memberships = Memberships::default();
        memberships.add(prefix(96, [0, 2, 0, 0, 0, 0, 0, 1]));
        assert!(!memberships.want(&[]));
        memberships.add(TargetPrefix::of(&[0]).unwrap());
        assert!(memberships.want(&[]));
    }
}
