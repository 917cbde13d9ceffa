//! Each path attribute with each fault that any of them can have: an octet short, an octet long, each wrong flag, there
//! twice, longer than the UPDATE, missing.

use crate::support::decode_update;
use crate::table::Outcome::{self, Discarded, Reset, Withdrawn};
use crate::table::Session::{self, External, Internal, OldInternal};
use crate::table::{AS_PATH, ORIGIN, REACH, check, each, hex, update};

/// An attribute that is right, and what has to come of it when it is not.
pub(crate) struct Attribute {
    kind: u8,
    flags: u8,
    value: &'static str,
    /// RFC and section of its length, and the outcome when that is wrong, on internal and on external sessions.
    length: (&'static str, Outcome, Outcome),
    /// Of flags that are not its own (RFC 7606 §3 (c)).
    flags_wrong: (Outcome, Outcome),
    /// Of another one behind it (RFC 7606 §3 (g)).
    twice: Outcome,
    /// Of a length that exceeds the UPDATE (RFC 7606 §4), on any session.
    overrun: Outcome,
    /// Of none at all (RFC 7606 §3 (d)).
    missing: Option<Outcome>,
}

const fn attribute(kind: u8, flags: u8, value: &'static str, section: &'static str) -> Attribute {
    Attribute {
        kind,
        flags,
        value,
        length: (section, Withdrawn, Withdrawn),
        flags_wrong: (Withdrawn, Withdrawn),
        twice: Discarded,
        overrun: Withdrawn,
        missing: None,
    }
}

impl Attribute {
    const fn mandatory(self) -> Self {
        Self { missing: Some(Withdrawn), ..self }
    }

    /// It says nothing about the route itself: a length that is wrong is no reason to withdraw it.
    const fn informative(self) -> Self {
        Self { length: (self.length.0, Discarded, Discarded), ..self }
    }

    /// External peers have no business with it: from them it is discarded unread.
    const fn internal(self) -> Self {
        Self { length: (self.length.0, Withdrawn, Discarded), flags_wrong: (Withdrawn, Discarded), ..self }
    }

    /// Its routes cannot be told when its length is wrong (RFC 7606 §3 (j), §5.3).
    const fn routes(self) -> Self {
        Self { length: (self.length.0, Reset(9), Reset(9)), twice: Reset(1), overrun: Reset(1), ..self }
    }
}

#[rustfmt::skip]
const ATTRIBUTES: &[Attribute] = &[
    attribute( 1, 0x40, "00",                       "7606 7.1").mandatory(),
    attribute( 2, 0x40, "02010000fde9",             "7606 7.2").mandatory(),
    attribute( 3, 0x40, "0a000001",                 "7606 7.3"),
    attribute( 4, 0x80, "0000000a",                 "7606 7.4"),
    attribute( 5, 0x40, "00000064",                 "7606 7.5").internal(),
    attribute( 6, 0x40, "",                         "7606 7.6").informative(),
    attribute( 7, 0xc0, "0000fde90a000002",         "7606 7.7").informative(),
    attribute( 8, 0xc0, "00010002",                 "7606 7.8"),
    attribute( 9, 0x80, "0a000001",                 "7606 7.9").internal(),
    attribute(10, 0x80, "0a0000010a000002",         "7606 7.10").internal(),
    attribute(14, 0x80, "00194604 0a00000100 0311 00010a0000010001 00000000 20 0a000001", "7606 7.11").routes(),
    attribute(15, 0x80, "001946 0311 00010a0000010001 00000000 20 0a000009", "7606 7.12").routes(),
    attribute(16, 0xc0, "0002fc0000000064",         "7606 7.14"),
    attribute(17, 0xc0, "02010000fde9",             "6793 6").informative(),
    attribute(18, 0xc0, "0000fde90a000002",         "6793 6").informative(),
    attribute(22, 0xc0, "000600000a0a000001",       "6514 5"),
    attribute(32, 0xc0, "0000fde90000000100000002", "8092 6"),
];

/// RFC and section, all attributes, session, outcome.
pub(crate) type Case = (String, String, Session, Outcome);

/// The attribute in octets, with a length that may be another than it has.
fn octets(attribute: &Attribute, flags: u8, value: &str, length: usize) -> String {
    format!("{flags:02x}{:02x}{length:02x}{value}", attribute.kind)
}

/// What a route needs but for attributes of this kind: the one in question stands in front of it or behind it.
fn beside(kind: u8) -> String {
    let all = [(1, ORIGIN), (2, AS_PATH), (14, REACH)];
    all.into_iter().filter(|(other, _)| *other != kind).map(|(_, text)| text).collect()
}

/// Every message of the matrix.
pub(crate) fn cases() -> Vec<Case> {
    ATTRIBUTES.iter().flat_map(cases_of).collect()
}

fn cases_of(attribute: &Attribute) -> Vec<Case> {
    let value: String = attribute.value.split_whitespace().collect();
    let length = value.len() / 2;
    let rest = beside(attribute.kind);
    let right = octets(attribute, attribute.flags, &value, length);
    // AS4_PATH and AS4_AGGREGATOR are read in sessions of two octets only (RFC 6793 §4.1).
    let internal = if matches!(attribute.kind, 17 | 18) { OldInternal } else { Internal };
    let mut cases = Vec::new();
    let mut add = |section: &str, all: String, outcomes: (Outcome, Outcome)| {
        cases.push((section.to_owned(), all.clone(), internal, outcomes.0));
        if internal == Internal {
            cases.push((section.to_owned(), all, External, outcomes.1));
        }
    };
    let (section, within, without) = attribute.length;
    if let Some(short) = value.get(..value.len().saturating_sub(2)).filter(|_| length > 0) {
        let short = octets(attribute, attribute.flags, short, length - 1);
        add(section, format!("{short}{rest}"), (within, without));
    }
    let long = octets(attribute, attribute.flags, &format!("{value}00"), length + 1);
    add(section, format!("{long}{rest}"), (within, without));
    for wrong in [0x80, 0x40, 0xc0] {
        let wrong = octets(attribute, attribute.flags ^ wrong, &value, length);
        add("7606 3 (c)", format!("{wrong}{rest}"), attribute.flags_wrong);
    }
    add("7606 3 (g)", format!("{right}{rest}{right}"), (attribute.twice, attribute.twice));
    let overrun = octets(attribute, attribute.flags, &value, length + 1);
    add("7606 4", format!("{rest}{overrun}"), (attribute.overrun, attribute.overrun));
    if let Some(outcome) = attribute.missing {
        add("7606 3 (d)", rest, (outcome, outcome));
    }
    cases
}

#[test]
fn each_fault_of_each_attribute_has_its_consequence() {
    each(&cases(), |(section, all, session, outcome)| check(section, all, *session, outcome));
}

/// RFC 7606 §3 (g): the first of two that differ is the one that counts.
#[test]
fn the_first_of_two_counts() {
    for (first, second) in [
        ("400101 00", "400101 02"),
        ("400206 0201 0000fde9", "400200"),
        ("800404 00000007", "800404 00000008"),
        ("400504 00000064", "400504 00000065"),
        ("c00708 0000fde9 0a000002", "c00708 0000fde9 0a000003"),
        ("c00804 00010002", "c00804 00010003"),
        ("800904 0a000001", "800904 0a000002"),
        ("800a04 0a000001", "800a04 0a000002"),
        ("c01008 0002fc0000000064", "c01008 0002fc0000000065"),
        ("c01609 00 06 00000a 0a000001", "c01609 00 06 00000a 0a000002"),
        ("c0200c 0000fde9 00000001 00000002", "c0200c 0000fde9 00000001 00000003"),
    ] {
        let kind = hex(first)[1];
        let read = |attributes: String| {
            let bytes = update(&[], &hex(&attributes), &[]);
            decode_update(&bytes, &crate::support::context()).attributes
        };
        let rest = beside(kind);
        let both = read(format!("{first}{rest}{second}"));
        assert_eq!(both, read(format!("{first}{rest}")), "{first} {second}");
        assert_ne!(both, read(format!("{second}{rest}")), "{first} {second}");
    }
}
