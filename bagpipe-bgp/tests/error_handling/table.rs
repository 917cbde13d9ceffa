//! Rows of UPDATEs, and what is looked at for each of them.

use std::panic::{AssertUnwindSafe, catch_unwind};

use bagpipe_bgp::wire::{Action, Message, Update};

use crate::live::Live;
use crate::support::decode;

/// What has to come of an UPDATE.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// Announced, and nothing to complain about.
    Accepted,
    /// Announced without the attribute in error, or without the route in error.
    Discarded,
    /// Withdrawn.
    Withdrawn,
    /// NOTIFICATION 3 with this subcode.
    Reset(u8),
}
use Outcome::{Accepted, Discarded, Reset, Withdrawn};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Session {
    Internal,
    External,
    /// Two-octet AS numbers, and no IPv6 next hops of VPN-IPv4 routes.
    OldInternal,
    /// Several paths of a route, told apart by identifiers (RFC 7911).
    Paths,
}

/// RFC and section, attributes in hexadecimal, session, outcome.
pub(crate) type Row = (&'static str, &'static str, Session, Outcome);

/// ORIGIN, AS_PATH, and an MP_REACH_NLRI with one E-VPN route of type 3.
pub(crate) const ORIGIN: &str = "400101 00";
pub(crate) const AS_PATH: &str = "400200";
pub(crate) const REACH: &str = "800e1c 0019 46 04 0a000001 00 0311 0001 0a000001 0001 00000000 20 0a000001";

/// Each row in the session that it names. `O`, `P` and `R` stand for the attributes above.
pub(crate) fn check_all(rows: &[Row]) {
    each(rows, |(section, attributes, session, expected)| check(section, attributes, *session, expected));
}

/// All rows that fail are worth seeing, not only the first; what is wrong with each is printed where it fails.
pub(crate) fn each<T>(rows: &[T], check: impl Fn(&T)) {
    let fails = |row: &&T| catch_unwind(AssertUnwindSafe(|| check(row))).is_err();
    let failed = rows.iter().filter(fails).count();
    assert_eq!(failed, 0, "of {} rows", rows.len());
}

/// Receives an UPDATE with these attributes after its routes were there, and routes of all families that it has
/// nothing to do with.
pub(crate) fn check(section: &str, attributes: &str, session: Session, expected: &Outcome) {
    let row = format!("{section}: {attributes}");
    let bytes = update(&[], &octets(attributes), &[]);
    let mut live = Live::new(session);
    let decoded = match decode(&bytes, &live.context()) {
        Ok(Message::Update(update)) => Ok(update),
        Ok(other) => panic!("{other:?}"),
        Err(error) => Err(error),
    };
    let actual = decoded.as_ref().map_or_else(|error| Reset(error.subcode), outcome);
    assert_eq!(&actual, expected, "{row}");

    if let Ok(update) = &decoded {
        live.announce_all_of(update);
    }
    let before = live.errors();
    live.receive(&bytes);
    match (&decoded, expected) {
        (Err(_), Reset(subcode)) => live.assert_reset(3, *subcode, &row),
        (Ok(update), _) => {
            live.assert_up(&row);
            live.assert_follows(update, &row);
            assert_eq!(live.errors() - before, errors_of(update).len() as u64, "{row}: errors told");
        }
        (Err(error), _) => panic!("{row}: {error}"),
    }
    live.assert_alive(&row);
}

/// The attributes of a row.
pub(crate) fn octets(attributes: &str) -> Vec<u8> {
    hex(&attributes.replace('O', ORIGIN).replace('P', AS_PATH).replace('R', REACH))
}

/// What an UPDATE comes to.
pub(crate) fn outcome(update: &Update) -> Outcome {
    let errors = errors_of(update);
    assert!(errors.iter().all(|action| *action <= Action::TreatAsWithdraw));
    match (update.announced.is_empty(), errors.is_empty()) {
        (false, true) => Accepted,
        (false, false) => Discarded,
        (true, false) if update.withdrawn.is_empty() => Discarded,
        (true, _) => Withdrawn,
    }
}

/// Of the message, and the first of each block of routes.
fn errors_of(update: &Update) -> Vec<Action> {
    let blocks = update.announced.iter().chain(&update.withdrawn);
    let wrong = blocks.filter_map(|block| block.iter().find_map(Result::err));
    update.errors.iter().cloned().chain(wrong).map(|error| error.action).collect()
}

/// An UPDATE with these three fields.
pub(crate) fn update(withdrawn: &[u8], attributes: &[u8], announced: &[u8]) -> Vec<u8> {
    let field = |bytes: &[u8]| u16::try_from(bytes.len()).expect("short").to_be_bytes();
    message(2, &[&field(withdrawn), withdrawn, &field(attributes), attributes, announced].concat())
}

/// A message of this type.
pub(crate) fn message(kind: u8, body: &[u8]) -> Vec<u8> {
    let length = u16::try_from(body.len() + 19).expect("short").to_be_bytes();
    [&[0xff; 16][..], &length, &[kind], body].concat()
}

/// Octets from hexadecimal digits and spaces.
pub(crate) fn hex(text: &str) -> Vec<u8> {
    let digits: String = text.split_whitespace().collect();
    let octet = |at: usize| u8::from_str_radix(&digits[at..at + 2], 16).expect("hexadecimal digits");
    (0..digits.len()).step_by(2).map(octet).collect()
}
