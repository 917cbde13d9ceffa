//! What has brought down other BGP daemons, as far as it was published: the octets that did it, or their like in the
//! families that this speaker has.

use bagpipe_bgp::wire::Context;

use crate::live::Live;
use crate::messages::Answer::{Ended, Nothing, Refused};
use crate::messages::State::{Established, OpenSent};
use crate::messages::{self, Row as MessageRow};
use crate::table::Outcome::{Accepted, Discarded, Reset, Withdrawn};
use crate::table::Session::{External, Internal, OldInternal};
use crate::table::{Row, check, check_all, hex, message};

#[rustfmt::skip]
pub(crate) const MESSAGES: &[MessageRow] = &[
    // FRR: optional parameters in the extended form, cut short where three octets are read for two.
    ("CVE-2022-40302",  OpenSent,    1, "04 fc00 005a c0000209 ff ff 00",   Refused(2, 0)),
    ("CVE-2022-40318",  OpenSent,    1, "04 fc00 005a c0000209 ff ff 0003 02 00", Refused(2, 0)),
    ("CVE-2022-43681",  OpenSent,    1, "04 fc00 005a c0000209 02 02",      Refused(2, 0)),
    // FRR: a CAPABILITY message that was never agreed on.
    ("CVE-2022-37032",  Established, 6, "00 01 01 00",                      Refused(1, 3)),
    // FRR: outbound route filters that end before their length.
    ("CVE-2023-41360",  Established, 5, "0001 00 01 01 80",                 Refused(7, 1)),
    // GoBGP: a software version of no length, and none at all. Nobody asks what an unknown capability says.
    ("CVE-2025-43971",  OpenSent,    1, "04 fc00 005a c0000209 05 0203 4b01 00", Refused(2, 7)),
    ("CVE-2025-43971",  OpenSent,    1, "04 fc00 005a c0000209 04 0202 4b00", Refused(2, 7)),
    // GoBGP: an AS number that would be read from the next capability.
    ("GHSA-gjrg-jjr3-56cm", OpenSent, 1, "04 fc00 005a c0000209 0a 0208 4100 4104 0000fc00", Refused(2, 0)),
    // Quagga: a multiprotocol capability without a value kept it busy for ever.
    ("CVE-2018-5381",   OpenSent,    1, "04 fc00 005a c0000209 04 0202 0100", Refused(2, 0)),
    // Quagga: codes for which there is no name.
    ("CVE-2018-5380",   Established, 3, "07ff",                             Ended),
    ("CVE-2018-5380",   Established, 3, "ff00",                             Ended),
    // BIRD: a shutdown communication longer than the message.
    ("CVE-2019-16159",  Established, 3, "0602 ff",                          Ended),
    ("CVE-2019-16159",  Established, 3, "0602 80 ffffffffffffffffffffffffffffffff", Ended),
    // A refresh of a family that is not there.
    ("GoBGP 3250",      Established, 5, "0100 00 80",                       Nothing),
];

#[rustfmt::skip]
pub(crate) const UPDATES: &[Row] = &[
    // FRR: MP_REACH_NLRI too short, and with a next hop that fills it.
    ("CVE-2023-46752",  "O P 800e03 001946",                    Internal,    Reset(9)),
    ("CVE-2023-46752",  "O P 800e05 0019 46 ff 00",             Internal,    Reset(9)),
    ("CVE-2023-46752",  "O P 800e14 0001 80 10 20010db8000000000000000000000001", Internal, Reset(9)),
    // FRR: nothing but an unknown attribute, beside routes and without.
    ("CVE-2023-46753",  "c01f10 00000000000000000000000000000000 R", Internal, Withdrawn),
    // FRR: a Tunnel Encapsulation attribute that ends within a sub-TLV.
    ("CVE-2023-38802",  "O P R c01709 0008 0005 010c 000000",   Internal,    Accepted),
    ("CVE-2024-44070",  "O P R c01704 0008 ffff",               Internal,    Accepted),
    ("CVE-2024-44070",  "O P R c01703 000800",                  Internal,    Accepted),
    // FRR: a length that made the NOTIFICATION tell what else was in memory.
    ("CVE-2017-15865",  "O P R d0c0ffff 00",                    Internal,    Withdrawn),
    ("CVE-2017-15865",  "O P R d008ffff",                       Internal,    Withdrawn),
    // FRR: prefix lengths of IPv6 in a route of IPv4's length.
    ("FRR 22353",       "O P 800e2d 0019 46 04 0a000001 00 0522 0001 0a000001 0001 00000000000000000000 00000000 21 0a000000 00000000 00000a", Internal, Discarded),
    ("FRR 22353",       "O P 800e2d 0019 46 04 0a000001 00 0522 0001 0a000001 0001 00000000000000000000 00000000 80 0a000000 00000000 00000a", Internal, Discarded),
    ("FRR 22353",       "O P 800e2d 0019 46 04 0a000001 00 0522 0001 0a000001 0001 00000000000000000000 00000000 ff 0a000000 00000000 00000a", Internal, Discarded),
    // FRR: a well-known attribute in error, and no routes to be treated as withdrawn.
    ("FRR 22563",       "400120 00",                            Internal,    Reset(1)),
    // FRR: Prefix-SID with the deprecated sub-TLV only, and one that it could not parse.
    ("FRR 22041",       "O P R c02816 04 0013 00 01 00 20010db8000000000000000000000001", Internal, Accepted),
    ("FRR 19336",       "O P R e02803 010000",                  Internal,    Accepted),
    // GoBGP: AS4_PATH of one octet, before AS_PATH; with and without routes.
    ("GoBGP 3308",      "401101 02 400204 ffffdead",            Internal,    Reset(4)),
    ("GoBGP 3308",      "O 401101 02 400204 ffffdead R",        OldInternal, Withdrawn),
    ("GoBGP 3308",      "O c01101 02 400204 0201fde9 R",        OldInternal, Discarded),
    // GoBGP: ORIGIN without the transitive flag; an unknown attribute that says it is well known.
    ("GoBGP 3392",      "000101 00 P R",                        External,    Withdrawn),
    ("CVE-2026-42285",  "400102 0000 P R",                      External,    Withdrawn),
    ("CVE-2026-41642",  "O P R 40c800",                         External,    Reset(2)),
    ("CVE-2026-41642",  "O P R 000000",                         External,    Reset(2)),
    // GoBGP: no segment, a segment of nothing.
    ("GHSA-frrj-87jh-2772", "O 400200 R",                       External,    Accepted),
    ("GHSA-frrj-87jh-2772", "O 400202 0300 R",                  External,    Withdrawn),
    // GoBGP: an IPv6 community that is cut short, a NEXT_HOP of another length.
    ("CVE-2026-37461",  "O P R c01904 00020001",                Internal,    Accepted),
    ("GHSA-4p9m-8gc4-rw2h", "O P R 400300",                     Internal,    Withdrawn),
    ("GHSA-4p9m-8gc4-rw2h", "O P R 400305 0a00000100",          Internal,    Withdrawn),
    // GoBGP: a stack of labels without a bottom.
    ("GoBGP 7b3e5553",  "O P 800e21 0001 80 0c 0000000000000000 0a000001 00 78 000640 0000fc0000000064 0a000000", Internal, Reset(9)),
    // Quagga: a VPN-IPv4 route longer than an address; an attribute twice.
    ("CVE-2016-2342",   "O P 800e31 0001 80 0c 0000000000000000 0a000001 00 ff 000641 0000fc0000000064 20010db8000000000000000000000001 00000000", Internal, Reset(9)),
    ("CVE-2018-5379",   "O P R 800a04 0a000001 800a04 0a000001", Internal,   Discarded),
    // Junos: an attribute of which nobody expected that it is empty.
    ("VU#347067",       "O P R c01c00",                         Internal,    Accepted),
    ("VU#347067",       "O P R e01c02 0000",                    Internal,    Accepted),
];

#[test]
fn what_broke_others_does_not_break_this_speaker() {
    messages::check_all(MESSAGES);
    check_all(UPDATES);
}

/// FRR (CVE-2023-41358): routes, and attributes of no length at all. IPv4 unicast was not agreed on here.
#[test]
fn routes_without_any_attribute_are_not_taken() {
    let mut live = Live::new(Internal);
    live.receive(&message(2, &hex("0000 0000 18 0a0000")));
    live.assert_up("CVE-2023-41358");
    live.assert_alive("CVE-2023-41358");
    assert!(live.errors() > 0);
}

/// IOS (CVE-2010-3035, the experiment of August 2010): an unknown attribute that is long. IOS (CVE-2009-1154): a path that is.
#[test]
fn long_attributes_are_no_errors() {
    let unknown = format!("O P R d063 0bb8 {}", "00".repeat(3_000));
    check("CVE-2010-3035", &unknown, External, &Accepted);
    let path = format!("O 500203fa 02fe{} R", "0000fde9".repeat(254));
    check("CVE-2009-1154", &path, External, &Accepted);
}

/// FRR 21396: it aborted when the session ended after a type 5 route that is right.
#[test]
fn a_session_may_end_with_routes_of_each_type() {
    let mut live = Live::new(Internal);
    live.receive(&message(3, &hex("0602 00")));
    live.assert_closed("FRR 21396");
    live.assert_alive("FRR 21396");
    let again = live.open().encode(&Context::default());
    live.receive(&again);
    live.assert_reset(5, 3, "FRR 21396");
    live.assert_alive("FRR 21396");
}
