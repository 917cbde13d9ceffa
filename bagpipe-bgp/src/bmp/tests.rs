use std::net::Ipv4Addr;
use std::time::Duration;

use std::sync::Arc;

use super::*;
use crate::session::SessionConfig;
use crate::speaker::AddPaths;
use crate::wire::{Attributes, Nlri, RouteTargetMembership};

const NOW: Duration = Duration::from_micros(1_700_000_000_000_042);

fn now() -> SystemTime {
    UNIX_EPOCH + NOW
}

fn config(last: u8) -> SessionConfig {
    SessionConfig {
        local_asn: 64_512,
        router_id: Ipv4Addr::new(192, 0, 2, last),
        remote_asn: 64_512,
        hold_time: 90,
        families: vec![Family::EVPN, Family::ROUTE_TARGET],
        restart_time: 120,
        restarting: false,
        long_lived_time: 0,
        add_paths: AddPaths::default(),
    }
}

fn peer(address: &str) -> MonitoredPeer {
    let negotiated = config(1).negotiate(&config(2).open()).unwrap();
    MonitoredPeer::new(address.parse().unwrap(), 64_512, &negotiated)
}

/// Cuts a stream into messages: type, and what follows the common header.
fn messages(mut stream: &[u8]) -> Vec<(u8, Vec<u8>)> {
    let mut messages = Vec::new();
    while let [version, a, b, c, d, kind, ..] = *stream {
        assert_eq!(version, 3);
        let (message, rest) = stream.split_at(u32::from_be_bytes([a, b, c, d]) as usize);
        messages.push((kind, message[COMMON_HEADER..].to_vec()));
        stream = rest;
    }
    assert!(stream.is_empty());
    messages
}

#[test]
fn peers_are_known_by_address_and_number() {
    let opens = Opens {
        sent: Message::Open(config(1).open()).encode(&Context::default()),
        received: Message::Open(config(2).open()).encode(&Context::default()),
    };
    let (local, remote) = ("10.0.0.1:179".parse().unwrap(), "10.0.0.2:4000".parse().unwrap());
    let [(kind, body)] = &messages(&peer_up(&peer("10.0.0.2"), local, remote, &opens, now()))[..] else {
        panic!("one message");
    };
    assert_eq!(*kind, 3);
    let (header, rest) = body.split_at(42);
    assert_eq!(header[..10], [0; 10], "global instance, IPv4");
    assert_eq!(header[10..26], [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 10, 0, 0, 2]);
    assert_eq!(header[26..30], 64_512_u32.to_be_bytes());
    assert_eq!(header[30..34], [192, 0, 2, 2]);
    assert_eq!(header[34..38], 1_700_000_000_u32.to_be_bytes());
    assert_eq!(header[38..42], 42_u32.to_be_bytes());
    assert_eq!(rest[..20], [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 10, 0, 0, 1, 0, 179, 15, 160]);
    assert_eq!(rest[20..], [&opens.sent[..], &opens.received[..]].concat());

    let (_, body) = messages(&peer_down(&peer("2001:db8::2"), &DownReason::Disconnected, now())).remove(0);
    assert_eq!(body[1], 0x80, "IPv6");
    assert_eq!(body[42..], [4]);
}

#[test]
fn the_end_of_a_session_has_its_reason() {
    let notification = Notification { code: 6, subcode: 4, data: Bytes::from_static(b"x") };
    let encoded = Message::Notification(notification.clone()).encode(&Context::default());
    for (reason, code, data) in [
        (DownReason::Sent(notification.clone(), String::new()), 1, &encoded[..]),
        (DownReason::SendHoldExpired, 2, &[0, 29]),
        (DownReason::Replaced, 2, &[0, 0]),
        (DownReason::Received(notification), 3, &encoded[..]),
        (DownReason::Disconnected, 4, &[]),
    ] {
        let (kind, body) = messages(&peer_down(&peer("10.0.0.2"), &reason, now())).remove(0);
        assert_eq!((kind, body[42], &body[43..]), (2, code, data), "{reason:?}");
    }
}

#[test]
fn routes_with_the_same_attributes_share_an_update() {
    let peer = peer("10.0.0.2");
    let membership = |number| {
        Nlri::RouteTarget(RouteTargetMembership::exact(64_512, format!("64512:{number}").parse().unwrap()))
    };
    let attributes =
        Arc::new(Attributes { next_hop: Some(IpAddr::from([10, 0, 0, 2]).into()), ..Attributes::default() });
    let mut routes = RouteMonitoring::default();
    for number in 0..3 {
        routes.path(&peer, &membership(number), 0, Some(&attributes), now());
    }
    routes.path(&peer, &membership(7), 0, None, now());
    routes.end_of_rib(&peer, Family::ROUTE_TARGET, now());
    let stream = routes.take(now());
    let told = messages(&stream);
    assert_eq!(told.len(), 3);
    let updates: Vec<_> = told
        .iter()
        .map(|(kind, body)| {
            assert_eq!((*kind, body[1]), (0, 0x40), "post-policy");
            let mut bytes = BytesMut::from(&body[42..]);
            let frame = crate::wire::frame(&mut bytes, MAX_LENGTH).unwrap().unwrap();
            match Message::decode(frame, &peer.context).unwrap() {
                Message::Update(update) => update,
                other => panic!("{other:?}"),
            }
        })
        .collect();
    assert_eq!(updates[0].announced[0].iter().count(), 3);
    assert_eq!(updates[1].withdrawn[0].iter().count(), 1);
    assert_eq!(updates[2].end_of_rib, Some(Family::ROUTE_TARGET));
    assert!(routes.take(now()).is_empty());
}

#[test]
fn statistics_are_counted_by_family() {
    let counts = [FamilyCount { family: Family::EVPN, received: 7, sent: 9 }];
    let (kind, body) = messages(&statistics(&peer("10.0.0.2"), &counts, now())).remove(0);
    assert_eq!((kind, &body[42..46]), (1, &[0, 0, 0, 4][..]));
    let family = [&[0, 17, 0, 11, 0, 25, 70][..], &9_u64.to_be_bytes()].concat();
    assert!(body.ends_with(&family));
}

#[test]
fn a_speaker_says_who_it_is_and_that_it_ends() {
    let (kind, body) = messages(&initiation("leaf1", "bagpipe")).remove(0);
    assert_eq!((kind, &body[..]), (4, &b"\0\x01\0\x07bagpipe\0\x02\0\x05leaf1"[..]));
    assert_eq!(messages(&termination()), [(5, vec![0, 1, 0, 2, 0, 0])]);
}
