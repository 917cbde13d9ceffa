//! The fields of an UPDATE around its attributes, and what stays when something in it is discarded.

use bagpipe_bgp::types::Family;
use bagpipe_bgp::wire::{Context, Message};

use crate::support::{self, decode};
use crate::table::Outcome::{Accepted, Reset, Withdrawn};
use crate::table::{AS_PATH, ORIGIN, hex, outcome, update};

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
