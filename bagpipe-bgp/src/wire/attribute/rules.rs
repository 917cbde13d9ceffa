//! What each path attribute has to look like, and what is done when it does not: RFC 7606 §7 as a table.

use crate::wire::Action::{self, Discard, TreatAsWithdraw};

pub(in crate::wire) const ORIGIN: u8 = 1;
pub(in crate::wire) const AS_PATH: u8 = 2;
pub(in crate::wire) const NEXT_HOP: u8 = 3;
pub(in crate::wire) const MULTI_EXIT_DISC: u8 = 4;
pub(in crate::wire) const LOCAL_PREF: u8 = 5;
pub(in crate::wire) const ATOMIC_AGGREGATE: u8 = 6;
pub(in crate::wire) const AGGREGATOR: u8 = 7;
pub(in crate::wire) const COMMUNITIES: u8 = 8;
pub(in crate::wire) const ORIGINATOR_ID: u8 = 9;
pub(in crate::wire) const CLUSTER_LIST: u8 = 10;
pub(in crate::wire) const MP_REACH_NLRI: u8 = 14;
pub(in crate::wire) const MP_UNREACH_NLRI: u8 = 15;
pub(in crate::wire) const EXTENDED_COMMUNITIES: u8 = 16;
pub(in crate::wire) const AS4_PATH: u8 = 17;
pub(in crate::wire) const AS4_AGGREGATOR: u8 = 18;
pub(in crate::wire) const PMSI_TUNNEL: u8 = 22;
pub(in crate::wire) const LARGE_COMMUNITIES: u8 = 32;

/// Attribute flags (RFC 4271 §4.3).
pub(in crate::wire) mod flag {
    pub(in crate::wire) const OPTIONAL: u8 = 0x80;
    pub(in crate::wire) const TRANSITIVE: u8 = 0x40;
    pub(in crate::wire) const PARTIAL: u8 = 0x20;
    pub(in crate::wire) const EXTENDED_LENGTH: u8 = 0x10;
}

/// The optional and transitive flags of a known attribute.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Class {
    WellKnown,
    Transitive,
    NonTransitive,
}

impl Class {
    pub(super) const fn flags(self) -> u8 {
        match self {
            Self::WellKnown => flag::TRANSITIVE,
            Self::Transitive => flag::OPTIONAL | flag::TRANSITIVE,
            Self::NonTransitive => flag::OPTIONAL,
        }
    }
}

/// The lengths in octets that an attribute may have.
#[derive(Clone, Copy)]
pub(super) enum Length {
    /// Judged where the value is read.
    Any,
    Exactly(usize),
    AtLeast(usize),
    /// At least one of them.
    MultipleOf(usize),
    /// With two-octet AS numbers, with four-octet ones.
    ByAsSize(usize, usize),
}

impl Length {
    pub(super) const fn allows(self, length: usize, four_octet_as: bool) -> bool {
        match self {
            Self::Any => true,
            Self::Exactly(octets) => length == octets,
            Self::AtLeast(octets) => length >= octets,
            Self::MultipleOf(octets) => length > 0 && length.is_multiple_of(octets),
            Self::ByAsSize(two, four) => length == if four_octet_as { four } else { two },
        }
    }
}

/// What a session with another AS does with an attribute.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum External {
    Use,
    Ignore,
}

pub(super) struct Rule {
    pub(super) kind: u8,
    pub(super) name: &'static str,
    pub(super) class: Class,
    pub(super) length: Length,
    /// When length or value are wrong. Wrong flags always are "treat-as-withdraw" (RFC 7606 §3 (c)).
    pub(super) malformed: Action,
    pub(super) external: External,
    pub(super) section: &'static str,
}

/// The rule of an attribute type that this speaker knows.
pub(super) fn rule(kind: u8) -> Option<&'static Rule> {
    RULES.iter().find(|rule| rule.kind == kind)
}

macro_rules! rules {
    ($($kind:ident $class:ident $length:expr, $malformed:ident, $external:ident, $section:literal;)*) => {
        &[$(Rule {
            kind: $kind,
            name: stringify!($kind),
            class: Class::$class,
            length: { use Length::*; $length },
            malformed: $malformed,
            external: External::$external,
            section: $section,
        }),*]
    };
}

/// MP_REACH_NLRI and MP_UNREACH_NLRI are not malformed in this sense: if they cannot be read, the session is
/// reset (RFC 7606 §7.11, §7.12), which the UPDATE decoder sees to.
#[rustfmt::skip]
static RULES: &[Rule] = rules! {
    // type               class          length              malformed        from eBGP  section
    ORIGIN                WellKnown      Exactly(1),         TreatAsWithdraw, Use,       "RFC 7606 §7.1";
    AS_PATH               WellKnown      Any,                TreatAsWithdraw, Use,       "RFC 7606 §7.2";
    NEXT_HOP              WellKnown      Exactly(4),         TreatAsWithdraw, Use,       "RFC 7606 §7.3";
    MULTI_EXIT_DISC       NonTransitive  Exactly(4),         TreatAsWithdraw, Use,       "RFC 7606 §7.4";
    LOCAL_PREF            WellKnown      Exactly(4),         TreatAsWithdraw, Ignore,    "RFC 7606 §7.5";
    ATOMIC_AGGREGATE      WellKnown      Exactly(0),         Discard,         Use,       "RFC 7606 §7.6";
    AGGREGATOR            Transitive     ByAsSize(6, 8),     Discard,         Use,       "RFC 7606 §7.7";
    COMMUNITIES           Transitive     MultipleOf(4),      TreatAsWithdraw, Use,       "RFC 7606 §7.8";
    ORIGINATOR_ID         NonTransitive  Exactly(4),         TreatAsWithdraw, Ignore,    "RFC 7606 §7.9";
    CLUSTER_LIST          NonTransitive  MultipleOf(4),      TreatAsWithdraw, Ignore,    "RFC 7606 §7.10";
    MP_REACH_NLRI         NonTransitive  Any,                TreatAsWithdraw, Use,       "RFC 7606 §7.11";
    MP_UNREACH_NLRI       NonTransitive  Any,                TreatAsWithdraw, Use,       "RFC 7606 §7.12";
    EXTENDED_COMMUNITIES  Transitive     MultipleOf(8),      TreatAsWithdraw, Use,       "RFC 7606 §7.14";
    AS4_PATH              Transitive     AtLeast(6),         Discard,         Use,       "RFC 6793 §6";
    AS4_AGGREGATOR        Transitive     Exactly(8),         Discard,         Use,       "RFC 6793 §6";
    PMSI_TUNNEL           Transitive     AtLeast(5),         TreatAsWithdraw, Use,       "RFC 6514 §5";
    LARGE_COMMUNITIES     Transitive     MultipleOf(12),     TreatAsWithdraw, Use,       "RFC 8092 §6";
};
