//! RFC 7606 as a table: what is received, on which kind of session, and what has to come of it.

// The helpers here are outside the test functions for which these are allowed anyway.
#![allow(clippy::expect_used, clippy::indexing_slicing, clippy::panic, clippy::unwrap_used)]

mod support;

use bagpipe_bgp::types::Family;
use bagpipe_bgp::wire::{Action, Context, Message, Update};
use support::decode;

/// What has to come of an UPDATE.
#[derive(Debug, PartialEq, Eq)]
enum Outcome {
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

#[derive(Clone, Copy)]
enum Session {
    Internal,
    External,
    /// Two-octet AS numbers, and no IPv6 next hops of VPN-IPv4 routes.
    OldInternal,
}
use Session::{External, Internal, OldInternal};

/// ORIGIN, AS_PATH, and an MP_REACH_NLRI with one E-VPN route of type 3.
const ORIGIN: &str = "400101 00";
const AS_PATH: &str = "400200";
const REACH: &str = "800e1c 0019 46 04 0a000001 00 0311 0001 0a000001 0001 00000000 20 0a000001";

/// A row: what is added to ORIGIN, AS_PATH and REACH.
type Row = (&'static str, &'static str, Session, Outcome);

#[rustfmt::skip]
const ADDED: &[Row] = &[
    // section            attribute in hexadecimal              session      outcome
    ("nothing wrong",     "",                                   Internal,    Accepted),
    ("nothing wrong",     "",                                   External,    Accepted),
    ("7606 3 (g)",        "400101 01",                          Internal,    Discarded),
    ("7606 3 (g)",        "400101 09",                          Internal,    Discarded),
    ("7606 3 (g)",        "800e1c 0019 46 04 0a000001 00 0311 0001 0a000001 0001 00000000 20 0a000001", Internal, Reset(1)),
    ("7606 3 (g)",        "800f03 001946 800f03 001946",        Internal,    Reset(1)),
    ("7606 3 (c)",        "c00404 00000001",                    Internal,    Withdrawn),
    ("7606 3 (c)",        "000504 00000064",                    Internal,    Withdrawn),
    ("7606 3 (c)",        "800808 00010002 00030004",           Internal,    Withdrawn),
    ("7606 3 (c)",        "400a04 0a000001",                    Internal,    Withdrawn),
    ("7606 3 (c)",        "c00f03 001946",                      Internal,    Withdrawn),
    ("4271 4.3",          "cf0804 00010002",                    Internal,    Accepted),
    ("4271 4.3",          "d0080004 00010002",                  Internal,    Accepted),
    ("7606 4",            "40",                                 Internal,    Withdrawn),
    ("7606 4",            "4005",                               Internal,    Withdrawn),
    ("7606 4",            "500500",                             Internal,    Withdrawn),
    ("7606 4",            "400505 00000064",                    Internal,    Withdrawn),
    ("7606 7.3",          "400303 0a0000",                      Internal,    Withdrawn),
    ("7606 7.3",          "400304 00000000",                    Internal,    Withdrawn),
    ("7606 7.3",          "400304 e0000001",                    Internal,    Withdrawn),
    ("7606 7.4",          "800403 000001",                      Internal,    Withdrawn),
    ("7606 7.4",          "800400",                             External,    Withdrawn),
    ("7606 7.4",          "800404 00000001",                    External,    Accepted),
    ("7606 7.5",          "400504 00000064",                    Internal,    Accepted),
    ("7606 7.5",          "400503 000064",                      Internal,    Withdrawn),
    ("7606 7.5",          "400503 000064",                      External,    Discarded),
    ("7606 7.5",          "400504 00000064",                    External,    Discarded),
    ("7606 7.6",          "400600",                             Internal,    Accepted),
    ("7606 7.6",          "400601 00",                          Internal,    Discarded),
    ("7606 7.7",          "c00708 0000fc00 0a000001",           Internal,    Accepted),
    ("7606 7.7",          "c00706 fc00 0a000001",               Internal,    Discarded),
    ("7606 7.7",          "c00706 fc00 0a000001",               OldInternal, Accepted),
    ("7606 7.7",          "c00708 0000fc00 0a000001",           OldInternal, Discarded),
    ("7607 2",            "c00708 00000000 0a000001",           Internal,    Discarded),
    ("7606 7.8",          "c00803 000100",                      Internal,    Withdrawn),
    ("7606 7.8",          "c00800",                             External,    Withdrawn),
    ("7606 7.9",          "800904 0a000001",                    Internal,    Accepted),
    ("7606 7.9",          "800903 0a0000",                      Internal,    Withdrawn),
    ("7606 7.9",          "800903 0a0000",                      External,    Discarded),
    ("7606 7.9",          "800904 0a000001",                    External,    Discarded),
    ("7606 7.10",         "800a08 0a000001 0a000002",           Internal,    Accepted),
    ("7606 7.10",         "800a05 0a00000100",                  Internal,    Withdrawn),
    ("7606 7.10",         "800a00",                             Internal,    Withdrawn),
    ("7606 7.10",         "800a05 0a00000100",                  External,    Discarded),
    ("7606 7.12",         "800f02 0019",                        Internal,    Reset(9)),
    ("7606 7.12",         "800f00",                             Internal,    Reset(9)),
    ("7606 5.3",          "800f05 001946 0311",                 Internal,    Reset(9)),
    ("8277 2.4",          "800f12 0001 80 70 800000 0000fc0000000064 0a0000", Internal, Accepted),
    ("8277 2.4",          "800f12 0001 80 70 000000 0000fc0000000064 0a0000", Internal, Accepted),
    ("8277 2.4",          "800f13 0002 80 78 000641 0000fc0000000064 20010db8", Internal, Accepted),
    ("7606 5.3",          "800f14 0001 80 79 800000 0000fc0000000064 0a00000100", Internal, Reset(9)),
    ("7606 5.3",          "800f0f 0001 80 57 800000 0000fc0000000064", Internal, Reset(9)),
    ("7606 7.14",         "c01008 0002fc0000000064",            Internal,    Accepted),
    ("7606 7.14",         "c01007 0002fc00000000",              Internal,    Withdrawn),
    ("7606 7.14",         "c01000",                             External,    Withdrawn),
    ("6793 6",            "c01106 0201 00010000",               Internal,    Accepted),
    ("6793 6",            "c01105 0201 000100",                 OldInternal, Discarded),
    ("6793 6",            "c01106 0501 00010000",               OldInternal, Discarded),
    ("6793 6",            "c01207 00010000 0a0000",             OldInternal, Discarded),
    ("6514 5",            "c01609 00 06 00000a 0a000001",       Internal,    Accepted),
    ("6514 5",            "c01608 00 06 00000a 0a0000",         Internal,    Withdrawn),
    ("6514 5",            "c01604 00 06 0000",                  Internal,    Withdrawn),
    ("8092 6",            "c0200c 0000fc00 00000001 00000002",  Internal,    Accepted),
    ("8092 6",            "c0200b 0000fc00 00000001 000000",    Internal,    Withdrawn),
    ("8092 6",            "c02010 0000fc00 00000001 00000002 00000000", Internal, Withdrawn),
    ("7606 7.8",          "c00806 00010002 0003",               Internal,    Withdrawn),
    ("7606 7.14",         "c0100c 0002fc0000000064 0002fc00",   Internal,    Withdrawn),
    ("4271 6.3",          "40c801 00",                          Internal,    Reset(2)),
    ("4271 5",            "c0c801 00",                          Internal,    Accepted),
    ("4271 5",            "80c801 00",                          Internal,    Accepted),
    ("4271 5",            "c01703 000800",                      Internal,    Accepted),
];

#[rustfmt::skip]
const WHOLE: &[Row] = &[
    // section            all attributes in hexadecimal (O, P and R stand for those above)
    ("7606 3 (d)",        "P R",                                Internal,    Withdrawn),
    ("7606 3 (d)",        "O R",                                Internal,    Withdrawn),
    ("7606 3 (d)",        "R",                                  External,    Withdrawn),
    ("7606 7.1",          "400102 0000 P R",                    Internal,    Withdrawn),
    ("7606 7.1",          "400100 P R",                         Internal,    Withdrawn),
    ("7606 7.1",          "400101 03 P R",                      Internal,    Withdrawn),
    ("7606 3 (c)",        "c00101 00 P R",                      Internal,    Withdrawn),
    ("7606 7.2",          "O 400206 0201 0000fc00 R",           Internal,    Accepted),
    ("7606 7.2",          "O 400204 0201 fc00 R",               OldInternal, Accepted),
    ("7606 7.2",          "O 400204 0201 fc00 R",               Internal,    Withdrawn),
    ("7606 7.2",          "O 400206 0501 0000fc00 R",           Internal,    Withdrawn),
    ("7606 7.2",          "O 400206 0202 0000fc00 R",           Internal,    Withdrawn),
    ("7606 7.2",          "O 400207 0201 0000fc00 02 R",        Internal,    Withdrawn),
    ("7606 7.2",          "O 400202 0200 R",                    Internal,    Withdrawn),
    ("7607 2",            "O 400206 0201 00000000 R",           Internal,    Withdrawn),
    ("5065 5",            "O 400206 0301 0000fc00 R",           External,    Withdrawn),
    ("5065 5",            "O 400206 0301 0000fc00 R",           Internal,    Accepted),
    ("6793 6",            "c01106 0201 00010000 O 400204 0201 5ba0 R", OldInternal, Accepted),
    ("7606 5.2",          "400102 0000 P",                      Internal,    Reset(5)),
    ("7606 5.2",          "O P 800f16 001946 0311 0001 0a000001 0001 00000000 20 0a000001 c01007 0002fc00000000", Internal, Reset(5)),
    ("7606 5.2",          "O P 800f16 001946 0311 0001 0a000001 0001 00000000 20 0a000001 400601 00", Internal, Withdrawn),
    ("7606 7.11",         "O P 800e00",                         Internal,    Reset(9)),
    ("7606 7.11",         "O P 800e04 0019 46 04",              Internal,    Reset(9)),
    ("7606 7.11",         "O P 800e1b 0019 46 03 0a0000 00 0311 0001 0a000001 0001 00000000 20 0a000001", Internal, Reset(9)),
    ("7606 7.11",         "O P 800e1d 0019 46 05 0a00000100 00 0311 0001 0a000001 0001 00000000 20 0a000001", Internal, Reset(9)),
    ("4271 6.3",          "O P 800e1c 0019 46 04 00000000 00 0311 0001 0a000001 0001 00000000 20 0a000001", Internal, Withdrawn),
    ("7606 3 (c)",        "O P c00e1c 0019 46 04 0a000001 00 0311 0001 0a000001 0001 00000000 20 0a000001", Internal, Withdrawn),
    // E-VPN: NLRI that overrun, that are wrong in themselves, and of types nobody knows.
    ("7606 5.3",          "O P 800e0b 0019 46 04 0a000001 00 0311", Internal, Reset(9)),
    ("7606 5.3",          "O P 800e0a 0019 46 04 0a000001 00 03", Internal,   Reset(9)),
    ("7606 5.4",          "O P 800e20 0019 46 04 0a000001 00 0311 0001 0a000001 0001 00000000 20 0a000001 0b 02 0102", Internal, Accepted),
    ("7432 7.3",          "O P 800e1c 0019 46 04 0a000001 00 0311 0001 0a000001 0001 00000000 21 0a000001", Internal, Discarded),
    ("7432 7.3",          "O P 800e1b 0019 46 04 0a000001 00 0310 0001 0a000001 0001 00000000 20 0a0000", Internal, Discarded),
    ("7432 7.2",          "O P 800e2c 0019 46 04 0a000001 00 0221 0001 0a000001 0001 00000000000000000000 00000000 2f 020000000001 00 00000a", Internal, Discarded),
    ("7432 7.2",          "O P 800e2c 0019 46 04 0a000001 00 0221 0001 0a000001 0001 00000000000000000000 00000000 30 020000000001 20 00000a", Internal, Discarded),
    ("7432 7.1",          "O P 800e23 0019 46 04 0a000001 00 0118 0001 0a000001 0001 00000000000000000000 00000000 0000", Internal, Discarded),
    ("9136 3.1",          "O P 800e2d 0019 46 04 0a000001 00 0522 0001 0a000001 0001 00000000000000000000 00000000 20 0a000000 00000000 00000a", Internal, Accepted),
    ("9136 3.1",          "O P 800e2d 0019 46 04 0a000001 00 0522 0001 0a000001 0001 00000000000000000000 00000000 21 0a000000 00000000 00000a", Internal, Discarded),
    ("9136 3.1",          "O P 800e2d 0019 46 04 0a000001 00 0522 0001 0a000001 0001 00000000000000000000 00000000 80 0a000000 00000000 00000a", Internal, Discarded),
    ("9136 3.1",          "O P 800e2e 0019 46 04 0a000001 00 0523 0001 0a000001 0001 00000000000000000000 00000000 20 0a000000 00000000 00000a 00", Internal, Discarded),
    // Route target membership.
    ("4684 4",            "O P 800e0a 0001 84 04 0a000001 00 00", Internal,  Accepted),
    ("4684 4",            "O P 800e16 0001 84 04 0a000001 00 60 0000fc00 0002fc0000000064", Internal, Accepted),
    ("4684 4",            "O P 800e0b 0001 84 04 0a000001 00 08 00", Internal, Discarded),
    ("7606 5.3",          "O P 800e17 0001 84 04 0a000001 00 61 0000fc00 0002fc000000006400", Internal, Reset(9)),
    ("7606 5.3",          "O P 800e0e 0001 84 04 0a000001 00 60 0000fc00", Internal, Reset(9)),
    // VPN-IPv4 and VPN-IPv6: next hops stand behind a route distinguisher.
    ("4364 4.3.2",        "O P 800e20 0001 80 0c 0000000000000000 0a000001 00 70 000641 0000fc0000000064 0a0000", Internal, Accepted),
    ("8950 3",            "O P 800e2c 0001 80 18 0000000000000000 20010db8000000000000000000000001 00 70 000641 0000fc0000000064 0a0000", Internal, Accepted),
    ("8950 3",            "O P 800e44 0001 80 30 0000000000000000 20010db8000000000000000000000001 0000000000000000 fe800000000000000000000000000001 00 70 000641 0000fc0000000064 0a0000", Internal, Accepted),
    ("8950 4",            "O P 800e2c 0001 80 18 0000000000000000 20010db8000000000000000000000001 00 70 000641 0000fc0000000064 0a0000", OldInternal, Withdrawn),
    ("8950 4",            "O P 800e2c 0001 80 18 0000000000000000 00000000000000000000ffff0a000001 00 70 000641 0000fc0000000064 0a0000", OldInternal, Accepted),
    ("4659 3.2.1.1",      "O P 800e2d 0002 80 18 0000000000000000 20010db8000000000000000000000001 00 78 000641 0000fc0000000064 20010db8", OldInternal, Accepted),
    ("4659 3.2.1.1",      "O P 800e2d 0002 80 18 0000000000000000 20010db8000000000000000000000001 00 78 000641 0000fc0000000064 20010db8", Internal, Accepted),
    ("4659 3.2.1.1",      "O P 800e45 0002 80 30 0000000000000000 20010db8000000000000000000000001 0000000000000000 fe800000000000000000000000000001 00 78 000641 0000fc0000000064 20010db8", Internal, Accepted),
    ("4659 3.2.1.2",      "O P 800e2d 0002 80 18 0000000000000000 00000000000000000000ffff0a000001 00 78 000641 0000fc0000000064 20010db8", Internal, Accepted),
    ("4271 6.3",          "O P 800e2d 0002 80 18 0000000000000000 00000000000000000000ffff00000000 00 78 000641 0000fc0000000064 20010db8", Internal, Withdrawn),
    ("4271 6.3",          "O P 800e20 0001 80 0c 0000000000000000 e0000001 00 70 000641 0000fc0000000064 0a0000", Internal, Withdrawn),
    ("7606 7.11",         "O P 800e18 0001 80 04 0a000001 00 70 000641 0000fc0000000064 0a0000", Internal, Reset(9)),
    ("7606 7.11",         "O P 800e25 0002 80 10 20010db8000000000000000000000001 00 78 000641 0000fc0000000064 20010db8", Internal, Reset(9)),
    ("7606 7.11",         "O P 800e3d 0002 80 28 0000000000000000 20010db8000000000000000000000001 fe800000000000000000000000000001 00 78 000641 0000fc0000000064 20010db8", Internal, Reset(9)),
    // Lengths have to fit labels, route distinguisher and address; the stack of labels has a bottom.
    ("4364 4.3.4",        "O P 800e1d 0001 80 0c 0000000000000000 0a000001 00 58 000641 0000fc0000000064", Internal, Accepted),
    ("4364 4.3.4",        "O P 800e21 0001 80 0c 0000000000000000 0a000001 00 78 000641 0000fc0000000064 0a000001", Internal, Accepted),
    ("4364 4.3.4",        "O P 800e1e 0001 80 0c 0000000000000000 0a000001 00 5f 000641 0000fc0000000064 ff", Internal, Accepted),
    ("8277 2.3",          "O P 800e24 0001 80 0c 0000000000000000 0a000001 00 90 000640 000651 0000fc0000000064 0a000001", Internal, Accepted),
    ("8277 2.3",          "O P 800e27 0001 80 0c 0000000000000000 0a000001 00 a8 000640 000650 000661 0000fc0000000064 0a000001", Internal, Accepted),
    ("4659 3.2",          "O P 800e29 0002 80 18 0000000000000000 20010db8000000000000000000000001 00 58 000641 0000fc0000000064", Internal, Accepted),
    ("4659 3.2",          "O P 800e39 0002 80 18 0000000000000000 20010db8000000000000000000000001 00 d8 000641 0000fc0000000064 20010db8000000000000000000000001", Internal, Accepted),
    ("8277 2.3",          "O P 800e3c 0002 80 18 0000000000000000 20010db8000000000000000000000001 00 f0 000640 000651 0000fc0000000064 20010db8000000000000000000000001", Internal, Accepted),
    ("7606 5.3",          "O P 800e12 0001 80 0c 0000000000000000 0a000001 00 70", Internal, Reset(9)),
    ("7606 5.3",          "O P 800e12 0001 80 0c 0000000000000000 0a000001 00 00", Internal, Reset(9)),
    ("7606 5.3",          "O P 800e15 0001 80 0c 0000000000000000 0a000001 00 18 000641", Internal, Reset(9)),
    ("7606 5.3",          "O P 800e1d 0001 80 0c 0000000000000000 0a000001 00 57 000641 0000fc0000000064", Internal, Reset(9)),
    ("7606 5.3",          "O P 800e1d 0001 80 0c 0000000000000000 0a000001 00 58 000640 000651 0000fc0000", Internal, Reset(9)),
    ("7606 5.3",          "O P 800e1f 0001 80 0c 0000000000000000 0a000001 00 70 000641 0000fc0000000064 0a00", Internal, Reset(9)),
    ("7606 5.3",          "O P 800e22 0001 80 0c 0000000000000000 0a000001 00 79 000641 0000fc0000000064 0a00000100", Internal, Reset(9)),
    ("7606 5.3",          "O P 800e25 0001 80 0c 0000000000000000 0a000001 00 91 000640 000651 0000fc0000000064 0a00000100", Internal, Reset(9)),
    ("7606 5.3",          "O P 800e31 0001 80 0c 0000000000000000 0a000001 00 ff 000641 0000fc0000000064 20010db8000000000000000000000001 00000000", Internal, Reset(9)),
    ("7606 5.3",          "O P 800e3a 0002 80 18 0000000000000000 20010db8000000000000000000000001 00 d9 000641 0000fc0000000064 20010db8000000000000000000000001 00", Internal, Reset(9)),
    ("7606 5.3",          "O P 800e3d 0002 80 18 0000000000000000 20010db8000000000000000000000001 00 f1 000640 000651 0000fc0000000064 20010db8000000000000000000000001 00", Internal, Reset(9)),
    ("8277 2.3",          "O P 800e21 0001 80 0c 0000000000000000 0a000001 00 78 000640 0000fc0000000064 0a000000", Internal, Reset(9)),
    ("8277 2.3",          "O P 800e31 0001 80 0c 0000000000000000 0a000001 00 f8 000640000640000640000640000640000640000640000640000640000640 00", Internal, Reset(9)),
    ("7606 5.3",          "O P 800e21 0001 80 0c 0000000000000000 0a000001 00 70 000641 0000fc0000000064 0a0000 70", Internal, Reset(9)),
    // Families that were not agreed on are not read.
    ("4760 8",            "O P 800e0b 0002 01 04 0a000001 00 08 20", Internal, Discarded),
];

#[test]
fn attributes_in_error_have_the_consequences_of_rfc_7606() {
    for (section, added, session, expected) in ADDED {
        check(section, &format!("O P R {added}"), *session, expected);
    }
    for (section, all, session, expected) in WHOLE {
        check(section, all, *session, expected);
    }
    assert!(ADDED.len() + WHOLE.len() >= 100);
}

fn check(section: &str, attributes: &str, session: Session, expected: &Outcome) {
    let text = attributes.replace('O', ORIGIN).replace('P', AS_PATH).replace('R', REACH);
    let context = Context {
        internal: !matches!(session, External),
        four_octet_as: !matches!(session, OldInternal),
        extended_next_hop: !matches!(session, OldInternal),
        ..support::context()
    };
    let outcome = match decode(&update(&[], &hex(&text), &[]), &context) {
        Ok(Message::Update(update)) => outcome(&update),
        Err(error) => {
            assert_eq!(error.code, 3, "{section}: {attributes}");
            Reset(error.subcode)
        }
        Ok(other) => panic!("{other:?}"),
    };
    assert_eq!(&outcome, expected, "{section}: {attributes}");
}

fn outcome(update: &Update) -> Outcome {
    let wrong = update.announced.iter().flat_map(|block| block.iter().filter_map(Result::err));
    let errors: Vec<_> = update.errors.iter().cloned().chain(wrong).collect();
    assert!(errors.iter().all(|error| error.action <= Action::TreatAsWithdraw));
    match (update.announced.is_empty(), errors.is_empty()) {
        (false, true) => Accepted,
        (false, false) => Discarded,
        (true, false) if update.withdrawn.is_empty() => Discarded,
        (true, _) => Withdrawn,
    }
}

fn update(withdrawn: &[u8], attributes: &[u8], announced: &[u8]) -> Vec<u8> {
    let field = |bytes: &[u8]| u16::try_from(bytes.len()).expect("short").to_be_bytes();
    let body = [&field(withdrawn), withdrawn, &field(attributes), attributes, announced].concat();
    let length = u16::try_from(body.len() + 19).expect("short").to_be_bytes();
    [&[0xff; 16][..], &length, &[2], &body].concat()
}

fn hex(text: &str) -> Vec<u8> {
    let digits: String = text.split_whitespace().collect();
    let octet = |at: usize| u8::from_str_radix(&digits[at..at + 2], 16).expect("hexadecimal digits");
    (0..digits.len()).step_by(2).map(octet).collect()
}

/// IPv4 unicast in the fields of RFC 4271: NEXT_HOP is required, and prefix lengths are checked (RFC 7606 §5.3).
#[test]
fn the_fields_of_ipv4_unicast_are_checked() {
    let context = Context { families: vec![Family::IPV4_UNICAST], ..support::context() };
    let attributes = hex("40010100 400200");
    let with_next_hop = hex("40010100 400200 4003040a000001");
    let prefix = hex("180a0000");
    let outcome = |bytes: Vec<u8>| match decode(&bytes, &context) {
        Ok(Message::Update(update)) => outcome(&update),
        Err(error) => Reset(error.subcode),
        Ok(other) => panic!("{other:?}"),
    };
    assert_eq!(outcome(update(&[], &with_next_hop, &prefix)), Accepted);
    assert_eq!(outcome(update(&[], &attributes, &prefix)), Withdrawn);
    assert_eq!(outcome(update(&[], &with_next_hop, &hex("210a000000 00"))), Reset(10));
    assert_eq!(outcome(update(&[], &with_next_hop, &hex("180a00"))), Reset(10));
    assert_eq!(outcome(update(&hex("210a00000000"), &[], &[])), Reset(10));
    assert_eq!(outcome(update(&prefix, &[], &[])), Withdrawn);
}

/// RFC 4271 §6.3: lengths that exceed the message.
#[test]
fn lengths_that_exceed_the_message_reset_the_session() {
    for body in ["0001 0000", "0000 0001", "ffff 0000", "0000 0010 40010100"] {
        let body = hex(body);
        let length = u16::try_from(body.len() + 19).expect("short").to_be_bytes();
        let bytes = [&[0xff; 16][..], &length, &[2], &body].concat();
        let error = decode(&bytes, &support::context()).expect_err("an error");
        assert_eq!((error.code, error.subcode), (3, 1));
    }
}

/// Discarded is what the error is about, and nothing else.
#[test]
fn what_is_not_in_error_stays() {
    let reach = "800e2f 0019 46 04 0a000001 00 \
                 0311 0001 0a000001 0001 00000000 21 0a000001 0311 0001 0a000001 0001 00000000 20 0a000002";
    let attributes = hex(&format!("{reach} {ORIGIN} {AS_PATH} 400601 00 800404 00000007 c00804 00010002"));
    let Ok(Message::Update(update)) = decode(&update(&[], &attributes, &[]), &support::context()) else {
        panic!("not accepted");
    };
    assert_eq!((update.attributes.med, update.attributes.atomic_aggregate), (Some(7), false));
    assert_eq!(update.attributes.communities, [0x0001_0002]);
    let routes: Vec<_> = update.announced[0].iter().collect();
    assert!(routes[0].is_err());
    assert_eq!(
        routes[1].as_ref().map(ToString::to_string).as_deref(),
        Ok("multicast 10.0.0.2 rd 10.0.0.1:1 tag 0")
    );
}

/// RFC 8277 §2.4, RFC 4659 §3.2.1.2, RFC 4364 §4.3.4: more than one form of a route is read as the same.
#[test]
fn vpn_routes_have_one_form_once_they_are_read() {
    let read = |reach: &str| {
        let attributes = hex(&format!("{ORIGIN} {AS_PATH} {reach}"));
        let Ok(Message::Update(update)) = decode(&update(&[], &attributes, &[]), &support::context()) else {
            panic!("not accepted");
        };
        assert_eq!(update.errors, []);
        let routes = update.announced.iter().chain(&update.withdrawn).flat_map(support::routes);
        let lines = routes.map(|route| route.to_string()).collect::<Vec<_>>();
        (lines, update.attributes.next_hop.map(|next_hop| next_hop.to_string()))
    };
    let both = "70 000641 0000fc0000000064 0a0000 5f 00064f 00010a0000010007 ff";
    let lines = vec!["vpnv4 10.0.0.0/24 rd 64512:100 label 100", "vpnv4 254.0.0.0/7 rd 10.0.0.1:7 label 100"];
    let lines: Vec<_> = lines.into_iter().map(str::to_owned).collect();
    let reach = format!("800e2d 0001 80 0c 0000000000000000 0a000001 00 {both}");
    assert_eq!(read(&reach), (lines.clone(), Some("10.0.0.1".into())));
    let mapped = format!("800e39 0001 80 18 0000000000000000 00000000000000000000ffff0a000001 00 {both}");
    assert_eq!(read(&mapped), (lines, Some("10.0.0.1".into())));
    let stack = "800e24 0001 80 0c 0000000000000000 0a000001 00 8f 000640 000651 0000fc0000000064 0a0000ff";
    assert_eq!(read(stack).0, ["vpnv4 10.0.0.254/31 rd 64512:100 label 100/101"]);
    for field in ["800000", "000000", "000641"] {
        let (routes, _) = read(&format!("800f12 0001 80 70 {field} 0000fc0000000064 0a0000"));
        assert!(routes[0].starts_with("vpnv4 10.0.0.0/24 rd 64512:100"), "{routes:?}");
    }
}
