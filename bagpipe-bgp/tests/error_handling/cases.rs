//! The cases of FRR's RFC 7606 conformance suite (`tests/topotests/bgp_rfc7606_*/cases.py`, 2026), with routes of the VPN
//! families in place of IPv4 unicast: one attribute in error beside others that are right.
//!
//! Attributes that this speaker does not know are nobody's error: it drops or passes them on (RFC 4271 §5). FRR, which
//! knows them, treats some of these rows as withdrawn.

use crate::table::Outcome::{self, Accepted, Discarded, Withdrawn};
use crate::table::Session::{self, External, Internal};
use crate::table::{check, each};

/// RFC and section, type, flags, value, outcome on internal and on external sessions.
pub(crate) type Case = (&'static str, u8, u8, &'static str, Outcome, Outcome);

#[rustfmt::skip]
pub(crate) const CASES: &[Case] = &[
    ("7606 3 (c)",   1, 0xc0, "00",                 Withdrawn, Withdrawn),
    // The Partial bit of a well-known attribute is to be zero (RFC 4271 §4.3); RFC 7606 §3 (c) is about the other two.
    ("7606 3 (c)",   1, 0x60, "00",                 Accepted,  Accepted),
    ("7606 7.1",     1, 0x40, "",                   Withdrawn, Withdrawn),
    ("7606 7.1",     1, 0x40, "0000",               Withdrawn, Withdrawn),
    ("7606 7.1",     1, 0x40, "03",                 Withdrawn, Withdrawn),
    ("7606 7.1",     1, 0x40, "04",                 Withdrawn, Withdrawn),
    ("7606 7.1",     1, 0x40, "ff",                 Withdrawn, Withdrawn),
    ("7606 3 (c)",   2, 0xc0, "02010000fde9",       Withdrawn, Withdrawn),
    ("7606 3 (c)",   2, 0x60, "02010000fde9",       Accepted,  Accepted),
    ("7606 7.2",     2, 0x40, "00010000fde9",       Withdrawn, Withdrawn),
    ("7606 7.2",     2, 0x40, "05010000fde9",       Withdrawn, Withdrawn),
    ("7606 7.2",     2, 0x40, "0200",               Withdrawn, Withdrawn),
    ("7606 7.2",     2, 0x40, "02ff0000fde9",       Withdrawn, Withdrawn),
    ("7607 2",       2, 0x40, "020100000000",       Withdrawn, Withdrawn),
    // NEXT_HOP is not that of these routes, but malformed all the same.
    ("4271 6.3",     3, 0x40, "00000000",           Withdrawn, Withdrawn),
    // The address of a host all the same: whether it can be reached is not a question of syntax. FRR has it withdrawn.
    ("4271 6.3",     3, 0x40, "7f000001",           Accepted,  Accepted),
    ("4271 6.3",     3, 0x40, "e0000001",           Withdrawn, Withdrawn),
    ("7606 3 (c)",   3, 0xc0, "0a000001",           Withdrawn, Withdrawn),
    ("7606 7.3",     3, 0x40, "0a0000010a",         Withdrawn, Withdrawn),
    ("7606 3 (c)",   4, 0xc0, "0000000a",           Withdrawn, Withdrawn),
    ("7606 7.4",     4, 0x80, "000000",             Withdrawn, Withdrawn),
    ("7606 7.4",     4, 0x80, "000000000a",         Withdrawn, Withdrawn),
    ("7606 7.4",     4, 0x80, "",                   Withdrawn, Withdrawn),
    ("7606 7.5",     5, 0x40, "000000",             Withdrawn, Discarded),
    ("7606 7.5",     5, 0x40, "0000000064",         Withdrawn, Discarded),
    ("7606 7.5",     5, 0x40, "",                   Withdrawn, Discarded),
    ("7606 7.5",     5, 0xc0, "00000064",           Withdrawn, Discarded),
    ("7606 7.6",     6, 0x40, "00",                 Discarded, Discarded),
    ("7606 3 (c)",   6, 0xc0, "",                   Withdrawn, Withdrawn),
    ("7606 7.7",     7, 0xc0, "0000fde90a",         Discarded, Discarded),
    ("7606 7.7",     7, 0xc0, "0000fde90a0000",     Discarded, Discarded),
    ("7606 7.7",     7, 0xc0, "0000fde90a00000200", Discarded, Discarded),
    ("7607 2",       7, 0xc0, "000000000a000002",   Discarded, Discarded),
    ("7606 3 (c)",   7, 0x80, "0000fde90a000002",   Withdrawn, Withdrawn),
    ("7606 3 (c)",   8, 0x80, "ffff0001",           Withdrawn, Withdrawn),
    ("7606 7.8",     8, 0xc0, "",                   Withdrawn, Withdrawn),
    ("7606 7.8",     8, 0xc0, "ffff000100",         Withdrawn, Withdrawn),
    ("7606 7.9",     9, 0x80, "0a0000",             Withdrawn, Discarded),
    ("7606 7.9",     9, 0x80, "0a00000200",         Withdrawn, Discarded),
    ("7606 7.9",     9, 0xc0, "0a000002",           Withdrawn, Discarded),
    ("7606 7.10",   10, 0x80, "",                   Withdrawn, Discarded),
    ("7606 7.10",   10, 0x80, "0a00000200",         Withdrawn, Discarded),
    ("7606 7.10",   10, 0xc0, "0a000002",           Withdrawn, Discarded),
    ("7606 3 (c)",  16, 0x80, "0002fde900000001",   Withdrawn, Withdrawn),
    ("7606 7.14",   16, 0xc0, "",                   Withdrawn, Withdrawn),
    ("7606 7.14",   16, 0xc0, "0002fde90000000100", Withdrawn, Withdrawn),
    ("7606 3 (c)",  17, 0x80, "020100010001",       Withdrawn, Withdrawn),
    // From a four-octet speaker it is discarded unread.
    ("6793 4.1",    17, 0xc0, "000100010001",       Accepted,  Accepted),
    ("6793 4.1",    18, 0xc0, "0000fde90a0000",     Discarded, Discarded),
    ("6793 4.1",    18, 0xc0, "0000fde90a00000200", Discarded, Discarded),
    ("7606 3 (c)",  22, 0x80, "00060000000a000002", Withdrawn, Withdrawn),
    ("6514 5",      22, 0xc0, "00060000",           Withdrawn, Withdrawn),
    // Tunnel types that nobody knows are kept: a reflector has no use for them, and its clients may.
    ("7385 4",      22, 0xc0, "00080000000a000002", Accepted,  Accepted),
    ("7385 4",      22, 0xc0, "00ff0000000a000002", Accepted,  Accepted),
    ("6514 5",      22, 0xc0, "00060000000a00000200", Withdrawn, Withdrawn),
    ("7606 3 (c)",  32, 0x80, "0000fde90000000100000002", Withdrawn, Withdrawn),
    ("8092 6",      32, 0xc0, "",                   Withdrawn, Withdrawn),
    ("8092 6",      32, 0xc0, "0000fde9000000010000000200", Withdrawn, Withdrawn),
    // Unknown here: Tunnel Encapsulation, IPv6 communities, AIGP, LINK_STATE, OTC, next hop capability, Prefix-SID.
    ("4271 5",      23, 0x80, "00070000",           Accepted,  Accepted),
    ("4271 5",      23, 0xc0, "000700",             Accepted,  Accepted),
    ("4271 5",      23, 0xc0, "0007000401",         Accepted,  Accepted),
    ("4271 5",      23, 0xc0, "0007000401ff",       Accepted,  Accepted),
    ("4271 5",      25, 0x80, "000220010db80000000000000000000000010001", Accepted, Accepted),
    ("4271 5",      25, 0xc0, "",                   Accepted,  Accepted),
    ("4271 5",      25, 0xc0, "000220010db8000000000000000000000001000100", Accepted, Accepted),
    ("4271 5",      26, 0xc0, "01000b0000000000000000000a", Accepted, Accepted),
    ("4271 5",      26, 0x80, "09000b0000000000000000000a", Accepted, Accepted),
    ("4271 5",      26, 0x80, "0100050000000000000000000a", Accepted, Accepted),
    ("4271 5",      26, 0x80, "",                   Accepted,  Accepted),
    ("4271 5",      29, 0xc0, "0400000100",         Accepted,  Accepted),
    ("4271 5",      29, 0x80, "040000ff00",         Accepted,  Accepted),
    ("4271 5",      29, 0x80, "0400",               Accepted,  Accepted),
    ("4271 5",      35, 0x80, "0000fde9",           Accepted,  Accepted),
    ("4271 5",      35, 0xc0, "0000fd",             Accepted,  Accepted),
    ("4271 5",      35, 0xc0, "0000fde900",         Accepted,  Accepted),
    ("4271 5",      35, 0xc0, "00000000",           Accepted,  Accepted),
    ("4271 5",      39, 0xc0, "00ff010001000100",   Accepted,  Accepted),
    ("4271 5",      39, 0xc0, "0001010001ff00",     Accepted,  Accepted),
    ("4271 5",      40, 0x80, "010007000000000001", Accepted,  Accepted),
    ("4271 5",      40, 0xc0, "0100ff000000",       Accepted,  Accepted),
    ("4271 5",      40, 0xc0, "0100",               Accepted,  Accepted),
    ("4271 5",      40, 0xc0, "010000",             Accepted,  Accepted),
    ("4271 5",     253, 0x80, "deadbeef",           Accepted,  Accepted),
    ("4271 5",     254, 0xc0, "deadbeef",           Accepted,  Accepted),
];

/// MP_REACH_NLRI with a route of each type.
#[rustfmt::skip]
const ROUTES: &[&str] = &[
    "800e24 0019 46 04 0a000001 00 0119 0001 0a000001 0001 00000000000000000000 00000000 00000a",
    "800e2c 0019 46 04 0a000001 00 0221 0001 0a000001 0001 00000000000000000000 00000000 30 020000000001 00 00000a",
    "800e1c 0019 46 04 0a000001 00 0311 0001 0a000001 0001 00000000 20 0a000001",
    "800e22 0019 46 04 0a000001 00 0417 0001 0a000001 0001 00000000000000000000 20 0a000001",
    "800e2d 0019 46 04 0a000001 00 0522 0001 0a000001 0001 00000000000000000000 00000000 20 0a000000 00000000 00000a",
    "800e20 0001 80 0c 0000000000000000 0a000001 00 70 000641 0000fc0000000064 0a0000",
    "800e2d 0002 80 18 0000000000000000 20010db8000000000000000000000001 00 78 000641 0000fc0000000064 20010db8",
    "800e16 0001 84 04 0a000001 00 60 0000fc00 0002fc0000000064",
];

#[test]
fn cases_of_frr_hold_for_routes_of_each_type() {
    for route in ROUTES {
        each(CASES, |(section, kind, flags, value, internal, external)| {
            let case = format!("{flags:02x} {kind:02x} {:02x} {value}", value.len() / 2);
            let beside = |other: u8, attribute: &'static str| if *kind == other { "" } else { attribute };
            // In front of the route, as FRR's suite has it: what is in error hides nothing that follows.
            let all = format!("{} {} {case} {route}", beside(1, "400101 00"), beside(2, "400200"));
            let with = |session: Session, outcome| check(section, &all, session, outcome);
            with(Internal, internal);
            with(External, external);
        });
    }
}
