//! What the router and its gateway answer, by BPF_PROG_TEST_RUN: ICMP errors, echoes, ARP and neighbour discovery.

use bagpipe_common::{DropReason, Router, TargetKind, mapped};
use bagpipe_tests::packet::{self, Ipv4, ethernet, icmp, icmpv6, with_options};
use bagpipe_tests::programs::{REDIRECT, SHOT, adjacent, encap, group, labelled, port, router};
use bagpipe_tests::routing::*;

#[test]
fn the_end_of_a_packets_life_is_told() {
    for ttl in [0, 1] {
        let mut node = node();
        let packet = packet_v4(IP_B, ttl, 100);
        assert_eq!(node.run("port_ingress", &from_a(0x0800, &packet)), error_v4(11, 0, 0, &packet));
        let packet = packet_v6(v6(2, 2), ttl, 100);
        assert_eq!(node.run("port_ingress", &from_a(0x86dd, &packet)), error_v6(3, 0, &packet));
        assert_eq!(node.drops(DropReason::TtlExceeded).packets, 2);
        assert_eq!(node.counters("PORT_STATS", 1).tx_packets, 2);
    }
}

#[test]
fn a_missing_route_is_told() {
    let mut node = node();
    let packet = packet_v4(NOWHERE, 64, 100);
    assert_eq!(node.run("port_ingress", &from_a(0x0800, &packet)), error_v4(3, 0, 0, &packet));
    let packet = packet_v6(v6(9, 9), 64, 100);
    assert_eq!(node.run("port_ingress", &from_a(0x86dd, &packet)), error_v6(1, 0, &packet));
    assert_eq!(node.drops(DropReason::NoRoute).packets, 2);
    // Nor has a route that leads to nothing.
    for target in [adjacent(999), group(7), adjacent(u32::MAX), group(u32::MAX), port(2)] {
        node.host(VRF, mapped(NOWHERE), target);
        let before = node.drops(DropReason::NoRoute).packets;
        let _ = node.run("port_ingress", &from_a(0x0800, &packet_v4(NOWHERE, 64, 100)));
        assert_eq!(node.drops(DropReason::NoRoute).packets, before + 1, "{target:?}");
    }
}

#[test]
fn what_is_too_big_for_the_way_is_told() {
    let mut node = node();
    for (target, mtu) in [
        (adjacent(TO_REMOTE), 1500 - 50),
        (labelled(TargetKind::MplsUdp, 1, REMOTE_LABEL), 1500 - 32),
        (labelled(TargetKind::MplsGre, 1, REMOTE_LABEL), 1500 - 28),
        (labelled(TargetKind::Mpls, 1, REMOTE_LABEL), 1500 - 4),
    ] {
        node.host(VRF, mapped(NOWHERE), target);
        node.host(VRF, v6(9, 9), target);
        for fits in [true, false] {
            let length = mtu as usize + usize::from(!fits);
            let packet = packet_v4(NOWHERE, 64, length - 28);
            let answer = node.run("port_ingress", &from_a(0x0800, &packet));
            assert_eq!(answer == error_v4(3, 4, mtu, &packet), !fits, "{target:?}");
            assert_eq!(answer.0, REDIRECT);
            let packet = packet_v6(v6(9, 9), 64, length - 48);
            let answer = node.run("port_ingress", &from_a(0x86dd, &packet));
            assert_eq!(answer == error_v6(2, mtu, &packet), !fits, "{target:?}");
            assert_eq!(answer.0, REDIRECT);
        }
    }
    assert_eq!(node.drops(DropReason::TooBig).packets, 8);
    // A smaller MTU than any link's is not told.
    node.next_hop(1, encap(LOCAL, REMOTE, ABSENT, 600));
    node.host(VRF, mapped(NOWHERE), adjacent(TO_REMOTE));
    let packet = from_a(0x0800, &packet_v4(NOWHERE, 64, 1000));
    assert_drops(&mut node, DropReason::TooBig, false, &packet, "550 bytes");
}

#[test]
fn quotes_of_every_length() {
    let mut node = node();
    for length in (0..40).chain(505..560).chain([1000, 1400]) {
        let packet = packet_v4(IP_B, 1, length);
        let answer = node.run("port_ingress", &from_a(0x0800, &packet));
        assert_eq!(answer, error_v4(11, 0, 0, &packet), "{length}");
        // Padding of a short frame is not quoted.
        let padded = [packet.clone(), vec![0xee; 7]].concat();
        assert_eq!(node.run("port_ingress", &from_a(0x0800, &padded)), answer, "{length}");
    }
    for length in (0..40).chain(450..520).chain(970..990).chain(1180..1200).chain([1400]) {
        let packet = packet_v6(v6(2, 2), 1, length);
        let answer = node.run("port_ingress", &from_a(0x86dd, &packet));
        assert_eq!(answer, error_v6(3, 0, &packet), "{length}");
    }
}

#[test]
fn a_router_without_an_address() {
    let mut node = node();
    node.router(VRF, Router::default());
    let (action, output) = node.run("port_ingress", &from_a(0x0800, &packet_v4(IP_B, 1, 100)));
    // RFC 7600 §3.
    assert_eq!((action, &output[26..30]), (REDIRECT, &[192, 0, 0, 8][..]));
    let packet = from_a(0x86dd, &packet_v6(v6(2, 2), 1, 100));
    assert_drops(&mut node, DropReason::TtlExceeded, false, &packet, "IPv6");
    node.host(VRF, v6(9, 9), adjacent(TO_REMOTE));
    let (action, output) = node.run("port_ingress", &from_a(0x86dd, &packet_v6(v6(9, 9), 64, 1450)));
    assert_eq!((action, &output[22..38]), (REDIRECT, &v6(9, 9)[..]));
}

#[test]
fn no_error_about_what_asks_for_none() {
    let mut node = node();
    let ttl = |protocol, fragment| Ipv4 { ttl: 1, fragment, ..Ipv4::new(IP_A, IP_B, protocol) };
    for kind in [3, 4, 5, 11, 12] {
        let packet = ttl(1, 0).packet(&icmp(kind, 0, &[0; 40]));
        assert_drops(&mut node, DropReason::TtlExceeded, false, &from_a(0x0800, &packet), "ICMP");
        let packet = with_options(&packet, &[1; 8]);
        assert_drops(&mut node, DropReason::TtlExceeded, false, &from_a(0x0800, &packet), "options");
    }
    for kind in [0, 8, 13] {
        let packet = ttl(1, 0).packet(&icmp(kind, 0, &[0; 40]));
        assert_drops(&mut node, DropReason::TtlExceeded, true, &from_a(0x0800, &packet), "a query");
    }
    let packet = ttl(17, 0x2001).packet(&[0; 40]);
    assert_drops(&mut node, DropReason::TtlExceeded, false, &from_a(0x0800, &packet), "a later fragment");
    let packet = ttl(17, 0x2000).packet(&[0; 40]);
    assert_drops(&mut node, DropReason::TtlExceeded, true, &from_a(0x0800, &packet), "a first fragment");

    let v6_packet =
        |next, payload: &[u8]| from_a(0x86dd, &packet::ipv6(v6(1, 1), v6(2, 2), next, 1, payload));
    let fragment = |offset: u16, kind, payload: &[u8]| {
        let offset = (offset << 3 | 1).to_be_bytes();
        [&[kind, 0, offset[0], offset[1], 0, 0, 0, 9][..], payload].concat()
    };
    for kind in [1, 2, 3, 4, 100, 127, 137] {
        let error = icmpv6(v6(1, 1), v6(2, 2), kind, &[0; 40]);
        let packet = v6_packet(58, &error);
        assert_drops(&mut node, DropReason::TtlExceeded, false, &packet, "ICMPv6");
        let hidden = [&[58, 0, 1, 4, 0, 0, 0, 0][..], &error].concat();
        assert_drops(&mut node, DropReason::TtlExceeded, false, &v6_packet(60, &hidden), "options");
        let hidden = v6_packet(44, &fragment(0, 58, &error));
        assert_drops(&mut node, DropReason::TtlExceeded, false, &hidden, "a first fragment of one");
    }
    let query = icmpv6(v6(1, 1), v6(2, 2), 128, &[0; 40]);
    assert_drops(&mut node, DropReason::TtlExceeded, true, &v6_packet(58, &query), "a query");
    let later = v6_packet(44, &fragment(1, 17, &[0; 40]));
    assert_drops(&mut node, DropReason::TtlExceeded, false, &later, "a later fragment");
    let first = v6_packet(44, &fragment(0, 17, &[0; 40]));
    assert_drops(&mut node, DropReason::TtlExceeded, true, &first, "a first fragment");
}

#[test]
fn errors_are_few() {
    let mut node = node();
    let packet = from_a(0x0800, &packet_v4(IP_B, 1, 10));
    // A thousand at once for each CPU that a run may be on.
    let most = 1_500 * std::thread::available_parallelism().map_or(1, usize::from);
    let silent = (0..most).find(|_| node.run("port_ingress", &packet).0 == SHOT);
    assert!(silent.is_some_and(|after| after >= 1_000), "{silent:?} of {most}");
    // The other packets go their way.
    assert_eq!(node.run("port_ingress", &from_a(0x0800, &packet_v4(IP_B, 2, 10))).0, REDIRECT);
}

#[test]
fn the_gateway_answers_echo_requests() {
    let mut node = node();
    for size in [0, 1, 56, 1400] {
        let body = [&[0, 1, 0, 2][..], &vec![0xab; size]].concat();
        // Whatever its time to live: it has arrived.
        let request = Ipv4 { ttl: 1, ..Ipv4::new(IP_A, IP_GATEWAY, 1) }.packet(&icmp(8, 0, &body));
        let reply = Ipv4::new(IP_GATEWAY, IP_A, 1).packet(&icmp(0, 0, &body));
        let answer = node.run("port_ingress", &from_a(0x0800, &request));
        assert_eq!(answer, (REDIRECT, ethernet(A, GATEWAY, 0x0800, &reply)), "{size}");
        let options = [1; 8];
        let answer = node.run("port_ingress", &from_a(0x0800, &with_options(&request, &options)));
        let reply = with_options(&reply, &options);
        assert_eq!(answer, (REDIRECT, ethernet(A, GATEWAY, 0x0800, &reply)), "{size}");

        let echo = |source, destination, kind, hop_limit| {
            packet::ipv6(source, destination, 58, hop_limit, &icmpv6(source, destination, kind, &body))
        };
        let answer = node.run("port_ingress", &from_a(0x86dd, &echo(v6(1, 1), GATEWAY_V6, 128, 1)));
        let reply = echo(GATEWAY_V6, v6(1, 1), 129, 64);
        assert_eq!(answer, (REDIRECT, ethernet(A, GATEWAY, 0x86dd, &reply)), "{size}");
    }
    for reason in DropReason::ALL {
        assert_eq!(node.drops(*reason).packets, 0, "{reason:?}");
    }
}

#[test]
fn the_gateway_answers_fragments_of_echo_requests() {
    let mut node = node();
    let body = vec![0x5a; 2000];
    let (request, reply) = (icmp(8, 0, &body), icmp(0, 0, &body));
    for (fragment, range) in [(0x2000, 0..1400), (0x2000 | 175, 1400..1600), (200, 1600..2004)] {
        let sent = Ipv4 { fragment, ..Ipv4::new(IP_A, IP_GATEWAY, 1) }.packet(&request[range.clone()]);
        let expected = Ipv4 { fragment, ..Ipv4::new(IP_GATEWAY, IP_A, 1) }.packet(&reply[range]);
        let answer = node.run("port_ingress", &from_a(0x0800, &sent));
        assert_eq!(answer, (REDIRECT, ethernet(A, GATEWAY, 0x0800, &expected)), "{fragment:x}");
    }
    let (request, reply) =
        (icmpv6(v6(1, 1), GATEWAY_V6, 128, &body), icmpv6(GATEWAY_V6, v6(1, 1), 129, &body));
    for (offset, range) in [(1u16, 0..1200), (1200, 1200..2004)] {
        let [a, b] = offset.to_be_bytes();
        let fragment = |message: &[u8]| [&[58, 0, a, b, 0, 0, 0, 7][..], &message[range.clone()]].concat();
        let sent = packet::ipv6(v6(1, 1), GATEWAY_V6, 44, 64, &fragment(&request));
        let expected = packet::ipv6(GATEWAY_V6, v6(1, 1), 44, 64, &fragment(&reply));
        let answer = node.run("port_ingress", &from_a(0x86dd, &sent));
        assert_eq!(answer, (REDIRECT, ethernet(A, GATEWAY, 0x86dd, &expected)), "{offset}");
    }
}

#[test]
fn the_gateway_has_no_other_service() {
    let mut node = node();
    let mut refused = vec![
        (0x0800, packet_v4(IP_GATEWAY, 64, 20)),
        (0x86dd, packet_v6(GATEWAY_V6, 64, 20)),
        (0x0800, Ipv4::new(IP_A, IP_GATEWAY, 1).packet(&icmp(8, 1, &[0; 20]))),
        (0x0800, Ipv4::new(IP_A, IP_GATEWAY, 6).packet(&[0; 20])),
        (0x86dd, packet::ipv6(v6(1, 1), GATEWAY_V6, 44, 64, &[17, 0, 0, 1, 0, 0, 0, 7, 0, 0, 0, 0])),
    ];
    for kind in [0, 3, 13] {
        refused.push((0x0800, Ipv4::new(IP_A, IP_GATEWAY, 1).packet(&icmp(kind, 0, &[0; 20]))));
    }
    for kind in [1, 129, 130] {
        let message = icmpv6(v6(1, 1), GATEWAY_V6, kind, &[0; 20]);
        refused.push((0x86dd, packet::ipv6(v6(1, 1), GATEWAY_V6, 58, 64, &message)));
    }
    for (ethertype, packet) in refused {
        let frame = from_a(ethertype, &packet);
        assert_drops(&mut node, DropReason::NotRoutable, false, &frame, &format!("{packet:02x?}"));
    }
    let request = Ipv4::new(IP_A, IP_GATEWAY, 1).packet(&icmp(8, 0, &[0; 1000]));
    assert_eq!(node.run_segments("port_ingress", &from_a(0x0800, &request), 500).0, SHOT);
}

#[test]
fn a_link_local_gateway_answers_its_hosts() {
    let mut node = node();
    let mut gateway = [0; 16];
    (gateway[0], gateway[1], gateway[15]) = (0xfe, 0x80, 1);
    let mut host = gateway;
    host[15] = 9;
    node.host(VRF, gateway, router(VRF));
    let request = packet::ipv6(host, gateway, 58, 64, &icmpv6(host, gateway, 128, &[1; 20]));
    let reply = packet::ipv6(gateway, host, 58, 64, &icmpv6(gateway, host, 129, &[1; 20]));
    let answer = node.run("port_ingress", &from_a(0x86dd, &request));
    assert_eq!(answer, (REDIRECT, ethernet(A, GATEWAY, 0x86dd, &reply)));
}

#[test]
fn nobody_else_is_the_gateway() {
    for mut node in [node(), irb_node()] {
        let spoofed = ethernet(B, GATEWAY, 0x0800, &packet_v4(IP_B, 64, 10));
        assert_drops(&mut node, DropReason::SourceMac, false, &spoofed, "its MAC address");
        let lie = ethernet([0xff; 6], A, 0x0806, &packet::arp(2, (GATEWAY, IP_GATEWAY), (A, IP_A)));
        let before = node.drops(DropReason::SourceMac).packets + node.drops(DropReason::SourceIp).packets;
        assert_eq!(node.run("port_ingress", &lie).0, SHOT);
        let after = node.drops(DropReason::SourceMac).packets + node.drops(DropReason::SourceIp).packets;
        assert_eq!(after, before + 1);
    }
}

#[test]
fn a_router_floods_nothing() {
    let mut node = node();
    let request = packet::arp(1, (A, IP_A), ([0; 6], [192, 168, 1, 77]));
    for frame in [
        ethernet([0xff; 6], A, 0x0806, &request),
        ethernet([0xff; 6], A, 0x88b5, &[7; 46]),
        ethernet([2, 0, 0, 0, 0, 0x77], A, 0x0800, &packet_v4(IP_B, 64, 10)),
    ] {
        assert_drops(&mut node, DropReason::NoMember, false, &frame, "nobody is there");
    }
}

#[test]
fn the_gateway_is_found_by_arp() {
    let mut node = irb_node();
    let ask = |to, from, target| ethernet(to, A, 0x0806, &packet::arp(1, (A, from), ([0; 6], target)));
    let reply = |from, target| {
        (REDIRECT, ethernet(A, GATEWAY, 0x0806, &packet::arp(2, (GATEWAY, target), (A, from))))
    };
    // Once by all, then again by itself; and by who wants the address for himself.
    assert_eq!(node.run("port_ingress", &ask([0xff; 6], IP_A, IP_GATEWAY)), reply(IP_A, IP_GATEWAY));
    assert_eq!(node.run("port_ingress", &ask(GATEWAY, IP_A, IP_GATEWAY)), reply(IP_A, IP_GATEWAY));
    assert_eq!(node.run("port_ingress", &ask([0xff; 6], [0; 4], IP_GATEWAY)), reply([0; 4], IP_GATEWAY));
    // Whether somebody else is there, it does not know.
    node.neighbor(BRIDGE, mapped([192, 168, 1, 50]), B, 0);
    let frame = ask(GATEWAY, IP_A, [192, 168, 1, 50]);
    assert_drops(&mut node, DropReason::NotRoutable, false, &frame, "another's");
    // Not for others, if it is no proxy.
    assert_drops(
        &mut node,
        DropReason::NoMember,
        false,
        &ask([0xff; 6], IP_A, [192, 168, 1, 77]),
        "nobody's",
    );
    node.router(BRIDGE, Router { ipv6: GATEWAY_V6, ipv4: IP_GATEWAY, flags: 1 });
    let nobody = [192, 168, 1, 77];
    assert_eq!(node.run("port_ingress", &ask([0xff; 6], IP_A, nobody)), reply(IP_A, nobody));
    assert_eq!(node.run("port_ingress", &ask(GATEWAY, IP_A, nobody)), reply(IP_A, nobody));
    // Neither for the asker's own address, nor for one that it means to take.
    for (from, target) in [(IP_A, IP_A), ([0; 4], nobody), ([0; 4], IP_A)] {
        assert_drops(&mut node, DropReason::NoMember, false, &ask([0xff; 6], from, target), "its own");
    }
}

#[test]
fn the_gateway_is_found_by_neighbor_discovery() {
    let mut node = irb_node();
    let group = [0x33, 0x33, 0xff, 0, 0, 0xfe];
    let solicited = [0xff, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0xff, 0, 0, 0xfe];
    let ask = |station, to, target| {
        ethernet(station, A, 0x86dd, &packet::neighbor(v6(1, 1), to, 135, 0, target, Some((1, A))))
    };
    let reply = |target| {
        let packet = packet::neighbor(target, v6(1, 1), 136, 0xe0, target, Some((2, GATEWAY)));
        (REDIRECT, ethernet(A, GATEWAY, 0x86dd, &packet))
    };
    assert_eq!(node.run("port_ingress", &ask(group, solicited, GATEWAY_V6)), reply(GATEWAY_V6));
    assert_eq!(node.run("port_ingress", &ask(GATEWAY, GATEWAY_V6, GATEWAY_V6)), reply(GATEWAY_V6));
    let nobody = v6(1, 0x77);
    assert_drops(&mut node, DropReason::NoMember, false, &ask(group, solicited, nobody), "nobody's");
    node.router(BRIDGE, Router { ipv6: GATEWAY_V6, ipv4: IP_GATEWAY, flags: 1 });
    assert_eq!(node.run("port_ingress", &ask(group, solicited, nobody)), reply(nobody));
    let mut link_local = [0; 16];
    (link_local[0], link_local[1], link_local[15]) = (0xfe, 0x80, 0x77);
    assert_drops(&mut node, DropReason::NoMember, false, &ask(group, solicited, link_local), "link-local");
    // Duplicate address detection: the gateway's is taken, others are free.
    let probe =
        |target| ethernet(group, A, 0x86dd, &packet::neighbor([0; 16], solicited, 135, 0, target, None));
    assert_eq!(node.run("port_ingress", &probe(GATEWAY_V6)).0, REDIRECT);
    assert_drops(&mut node, DropReason::NoMember, false, &probe(nobody), "free");
}
