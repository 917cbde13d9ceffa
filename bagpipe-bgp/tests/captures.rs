//! Messages that GoBGP and FRR have sent, recorded in `data/`, read for what they say.

// The helpers here are outside the test functions for which these are allowed anyway.
#![allow(clippy::expect_used, clippy::indexing_slicing, clippy::panic, clippy::unwrap_used)]

mod support;

use bagpipe_bgp::types::Family;
use bagpipe_bgp::wire::{Capability, Message, NlriBlock, Open, Update};
use support::{context, decode, routes};

const GOBGP: &str = include_str!("data/gobgp.hex");
const FRR: &str = include_str!("data/frr.hex");

fn messages(text: &str) -> Vec<Message> {
    let lines = text.lines().filter(|line| !line.starts_with('#'));
    let octets = |line: &str| -> Vec<u8> {
        (0..line.len())
            .step_by(2)
            .map(|at| u8::from_str_radix(&line[at..at + 2], 16).expect("digits"))
            .collect()
    };
    lines.map(|line| decode(&octets(line), &context()).expect("a message that is right")).collect()
}

fn open(messages: &[Message]) -> &Open {
    match &messages[..2] {
        [Message::Open(open), Message::Keepalive] => open,
        other => panic!("not how a session starts: {other:?}"),
    }
}

/// Each route with its attributes, one a line, as they are printed.
fn announced(messages: &[Message]) -> Vec<String> {
    let lines = |update: &Update| {
        assert_eq!((&update.errors, &update.withdrawn), (&vec![], &Vec::<NlriBlock>::new()));
        let nlri: Vec<_> = update.announced.iter().flat_map(routes).collect();
        nlri.iter().map(|nlri| format!("{nlri} | {}", update.attributes)).collect::<Vec<_>>()
    };
    let updates = messages.iter().filter_map(|message| match message {
        Message::Update(update) => Some(update),
        _ => None,
    });
    let mut lines: Vec<_> = updates.flat_map(lines).collect();
    lines.sort();
    lines
}

#[test]
fn gobgp() {
    let messages = messages(GOBGP);
    let open = open(&messages);
    assert_eq!((open.asn, open.hold_time, open.router_id), (64512, 90, [10, 99, 0, 1].into()));
    for capability in [
        Capability::Multiprotocol(Family::EVPN),
        Capability::Multiprotocol(Family::ROUTE_TARGET),
        Capability::Multiprotocol(Family::VPNV4),
        Capability::RouteRefresh,
        Capability::FourOctetAs(64512),
    ] {
        assert!(open.capabilities.contains(&capability), "{capability:?}");
    }
    #[rustfmt::skip]
    let expected = [
        "ethernet-ad rd 10.99.0.1:10 esi 00:01:00:00:00:00:00:00:00:00 tag 5 label 100 | origin incomplete, next hop 10.99.0.1, local-pref 100, extended communities rt:64512:10",
        "ethernet-segment 00:01:00:00:00:00:00:00:00:00 10.99.0.1 rd 10.99.0.1:10 | origin incomplete, next hop 10.99.0.1, local-pref 100, extended communities rt:64512:10",
        "ip-prefix 10.50.0.0/24 rd 10.99.0.1:50 tag 0 label 5000 | origin incomplete, next hop 10.99.0.1, local-pref 100, extended communities rt:64512:5000 encap:vxlan router-mac:02:aa:bb:cc:dd:ee",
        "ip-prefix 2001:db8:50::/64 rd 10.99.0.1:50 tag 0 label 5000 | origin incomplete, next hop 10.99.0.1, local-pref 100, extended communities rt:64512:5000 encap:vxlan",
        "mac-ip 02:aa:00:00:00:02 10.10.0.102 rd 10.99.0.1:10 tag 0 label 10 | origin incomplete, next hop 10.99.0.1, local-pref 100, extended communities rt:64512:10 encap:vxlan",
        "mac-ip 02:aa:00:00:00:03 2001:db8::3 rd 10.99.0.1:10 tag 0 label 10 | origin incomplete, next hop 10.99.0.1, local-pref 100, extended communities rt:64512:10 encap:vxlan",
        "mac-ip 02:aa:00:00:00:04 rd 10.99.0.1:10 tag 0 label 10 | origin incomplete, next hop 10.99.0.1, local-pref 100, extended communities rt:65535:9 encap:vxlan",
        "multicast 10.99.0.1 rd 10.99.0.1:10 tag 0 | origin incomplete, next hop 10.99.0.1, local-pref 100, extended communities rt:64512:10 encap:vxlan, pmsi ingress-replication 10.99.0.1 label 10",
        "rtc 64512:99 origin 64512 | origin igp, next hop 10.99.0.1, local-pref 100",
        "vpnv4 700012d10000fc000000003c0a3d00 | origin incomplete, next hop 10.99.0.12, med 5, local-pref 100, extended communities rt:64512:60",
    ];
    assert_eq!(announced(&messages), expected);
}

#[test]
fn frr() {
    let messages = messages(FRR);
    let open = open(&messages);
    assert_eq!((open.asn, open.hold_time, open.router_id), (64512, 180, [10, 99, 1, 1].into()));
    for capability in [
        Capability::Multiprotocol(Family::EVPN),
        Capability::RouteRefresh,
        Capability::ExtendedMessage,
        Capability::FourOctetAs(64512),
    ] {
        assert!(open.capabilities.contains(&capability), "{capability:?}");
    }
    #[rustfmt::skip]
    let expected = [
        "mac-ip 02:bb:00:00:00:01 10.10.0.1 rd 10.99.1.1:2 tag 0 label 10 | origin igp, next hop 10.99.1.1, local-pref 100, extended communities encap:vxlan rt:64512:10",
        "mac-ip 02:bb:00:00:00:01 rd 10.99.1.1:2 tag 0 label 10 | origin igp, next hop 10.99.1.1, local-pref 100, extended communities encap:vxlan rt:64512:10",
        "mac-ip 02:bb:00:00:00:02 2001:db8::2 rd 10.99.1.1:2 tag 0 label 10 | origin igp, next hop 10.99.1.1, local-pref 100, extended communities encap:vxlan rt:64512:10",
        "mac-ip 02:bb:00:00:00:02 rd 10.99.1.1:2 tag 0 label 10 | origin igp, next hop 10.99.1.1, local-pref 100, extended communities encap:vxlan rt:64512:10",
        "mac-ip 5a:3e:58:9a:4d:d2 rd 10.99.1.1:2 tag 0 label 10 | origin igp, next hop 10.99.1.1, local-pref 100, extended communities encap:vxlan rt:64512:10",
        "multicast 10.99.1.1 rd 10.99.1.1:2 tag 0 | origin igp, next hop 10.99.1.1, local-pref 100, extended communities encap:vxlan rt:64512:10, pmsi ingress-replication 10.99.1.1 label 10",
    ];
    assert_eq!(announced(&messages), expected);
}
