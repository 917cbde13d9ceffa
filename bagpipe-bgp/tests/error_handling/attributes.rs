//! Path attributes (RFC 7606 §3 to §7): flags, lengths, values, repeated, missing, overrun.

use crate::table::Outcome::{Accepted, Discarded, Reset, Withdrawn};
use crate::table::Session::{External, Internal, OldInternal};
use crate::table::{Row, check, check_all, each};

/// What is added to ORIGIN, AS_PATH and a route.
#[rustfmt::skip]
pub(crate) const ADDED: &[Row] = &[
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
pub(crate) const WHOLE: &[Row] = &[
    // section            all attributes in hexadecimal (O, P and R stand for those above)
    ("7606 3 (d)",        "P R",                                Internal,    Withdrawn),
    ("7606 3 (d)",        "O R",                                Internal,    Withdrawn),
    ("7606 3 (d)",        "R",                                  External,    Withdrawn),
    ("7606 7.1",          "400102 0000 P R",                    Internal,    Withdrawn),
    ("7606 7.1",          "400100 P R",                         Internal,    Withdrawn),
    ("7606 7.1",          "400101 03 P R",                      Internal,    Withdrawn),
    ("7606 3 (c)",        "c00101 00 P R",                      Internal,    Withdrawn),
    ("7606 7.2",          "O 400206 0201 0000fde9 R",           Internal,    Accepted),
    ("7606 7.2",          "O 400204 0201 fde9 R",               OldInternal, Accepted),
    ("7606 7.2",          "O 400204 0201 fde9 R",               Internal,    Withdrawn),
    ("7606 7.2",          "O 400206 0501 0000fde9 R",           Internal,    Withdrawn),
    ("7606 7.2",          "O 400206 0202 0000fde9 R",           Internal,    Withdrawn),
    ("7606 7.2",          "O 400207 0201 0000fde9 02 R",        Internal,    Withdrawn),
    ("7606 7.2",          "O 400202 0200 R",                    Internal,    Withdrawn),
    ("7607 2",            "O 400206 0201 00000000 R",           Internal,    Withdrawn),
    ("5065 5",            "O 400206 0301 0000fde9 R",           External,    Withdrawn),
    ("5065 5",            "O 400206 0301 0000fde9 R",           Internal,    Accepted),
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
];

#[test]
fn attributes_in_error_have_the_consequences_of_rfc_7606() {
    each(ADDED, |(section, added, session, expected)| {
        check(section, &format!("O P R {added}"), *session, expected);
    });
    check_all(WHOLE);
}
