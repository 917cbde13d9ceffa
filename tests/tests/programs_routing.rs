//! Packets through the router, by BPF_PROG_TEST_RUN: where each goes and what it looks like then, byte by byte.

use bagpipe_common::{Adjacency, DropReason, Target, TargetKind, mapped};
use bagpipe_tests::packet::{self, Ipv4, ethernet, icmp, icmpv6, tagged, udp, vxlan, with_options};
use bagpipe_tests::programs::{Copy, REDIRECT, SHOT, XDP_PASS, adjacent, group, labelled, port};
use bagpipe_tests::routing::*;

#[test]
fn a_packet_is_routed_to_a_port() {
    let mut node = node();
    for (ttl, payload) in [(64, 100), (2, 0), (255, 1400)] {
        let answer = node.run("port_ingress", &from_a(0x0800, &packet_v4(IP_B, ttl, payload)));
        assert_eq!(answer, to_b(0x0800, &packet_v4(IP_B, ttl - 1, payload)), "{ttl}");
        let answer = node.run("port_ingress", &from_a(0x86dd, &packet_v6(v6(2, 2), ttl, payload)));
        assert_eq!(answer, to_b(0x86dd, &packet_v6(v6(2, 2), ttl - 1, payload)), "{ttl}");
    }
    assert_eq!(node.counters("PORT_STATS", 1).rx_packets, 6);
    assert_eq!(node.counters("PORT_STATS", 2).tx_packets, 6);
    // Back to the port that it came from: a router is not a bridge.
    let (action, output) = node.run("port_ingress", &from_a(0x0800, &packet_v4(IP_A, 64, 1)));
    assert_eq!((action, output), (REDIRECT, ethernet(A, GATEWAY, 0x0800, &packet_v4(IP_A, 63, 1))));
}

#[test]
fn every_header_sum_is_kept() {
    let mut node = node();
    // All values of one byte go through all carries of the sum.
    for traffic_class in 0..=255 {
        for ttl in [2, 3, 255] {
            let ip = |ttl| Ipv4 { ttl, traffic_class, ..Ipv4::new(IP_A, IP_B, 17) }.packet(&[0; 8]);
            let (_, output) = node.run("port_ingress", &from_a(0x0800, &ip(ttl)));
            assert_eq!(packet::checksum(&output[14..34]), 0, "{traffic_class} {ttl}");
            assert_eq!(output[14..], ip(ttl - 1), "{traffic_class} {ttl}");
        }
    }
    // A wrong one stays wrong: it is for the receiver to see.
    let mut wrong = packet_v4(IP_B, 64, 10);
    wrong[10] ^= 0x40;
    let (action, output) = node.run("port_ingress", &from_a(0x0800, &wrong));
    assert_eq!((action, packet::checksum(&output[14..34]) != 0), (REDIRECT, true));
}

#[test]
fn options_and_extension_headers_are_carried() {
    let mut node = node();
    // No operation, and timestamps.
    for options in [vec![1; 4], vec![1; 40], vec![68, 12, 5, 0, 0, 0, 0, 0, 0, 0, 0, 0]] {
        let packet = |ttl| with_options(&packet_v4(IP_B, ttl, 50), &options);
        let answer = node.run("port_ingress", &from_a(0x0800, &packet(64)));
        assert_eq!(answer, to_b(0x0800, &packet(63)), "{options:?}");
        let answer = node.run("port_ingress", &from_a(0x0800, &packet(1)));
        assert_eq!(answer, error_v4(11, 0, 0, &packet(1)), "{options:?}");
    }
    let extended = |hop_limit| {
        let payload = [&[60, 0, 1, 4, 0, 0, 0, 0][..], &[17, 0, 1, 4, 0, 0, 0, 0], &udp(1, 2, &[9; 9])];
        packet::ipv6(v6(1, 1), v6(2, 2), 0, hop_limit, &payload.concat())
    };
    assert_eq!(node.run("port_ingress", &from_a(0x86dd, &extended(64))), to_b(0x86dd, &extended(63)));
    assert_eq!(node.run("port_ingress", &from_a(0x86dd, &extended(1))), error_v6(3, 0, &extended(1)));
}

#[test]
fn a_packet_is_routed_to_a_remote_router() {
    let mut node = node();
    for (destination, ethertype, packets) in [
        (mapped(NOWHERE), 0x0800, [packet_v4(NOWHERE, 64, 100), packet_v4(NOWHERE, 63, 100)]),
        (v6(9, 9), 0x86dd, [packet_v6(v6(9, 9), 64, 100), packet_v6(v6(9, 9), 63, 100)]),
    ] {
        node.host(VRF, destination, adjacent(TO_REMOTE));
        let (action, output) = node.run("port_ingress", &from_a(ethertype, &packets[0]));
        let inner = ethernet(THEIR_ROUTER, OUR_ROUTER, ethertype, &packets[1]);
        let source = u16::from_be_bytes([output[34], output[35]]);
        let packet = Ipv4::new(LOCAL, REMOTE, 17).packet(&udp(source, 4789, &vxlan(8, REMOTE_VNI, &inner)));
        assert_eq!((action, output), (REDIRECT, ethernet(NEIGHBOR, UNDERLAY, 0x0800, &packet)));
    }
}

#[test]
fn the_longest_prefix_counts() {
    let mut node = node();
    let marked = |node: &mut Copy, slot: u32| {
        let destination = [2, 0, 0, 1, 0, slot as u8];
        node.adjacency(slot, Adjacency { destination, source: GATEWAY, vpn: VRF, zero: 0, target: port(2) });
        adjacent(slot)
    };
    let (v4, v6) = ([172, 16, 33, 129], v6(0x21, 0x81));
    for bits in [0, 1, 8, 12, 15, 16, 17, 24, 25, 31] {
        let network = u32::from_be_bytes(v4) & (u64::MAX << (32 - bits)) as u32;
        let target = marked(&mut node, 100 + bits);
        node.route(VRF, mapped(network.to_be_bytes()), 96 + bits, target);
        let (action, output) = node.run("port_ingress", &from_a(0x0800, &packet_v4(v4, 64, 10)));
        assert_eq!((action, output[5]), (REDIRECT, 100 + bits as u8), "/{bits}");
    }
    for bits in [0u32, 1, 16, 48, 64, 65, 96, 127] {
        let mask = if bits == 0 { 0 } else { u128::MAX << (128 - bits) };
        let target = marked(&mut node, 50 + bits);
        node.route(VRF, (u128::from_be_bytes(v6) & mask).to_be_bytes(), bits, target);
        let (action, output) = node.run("port_ingress", &from_a(0x86dd, &packet_v6(v6, 64, 10)));
        assert_eq!((action, output[5]), (REDIRECT, 50 + bits as u8), "/{bits}");
    }
    // A host route is longer than any.
    for address in [mapped(v4), v6] {
        let target = marked(&mut node, 99);
        node.host(VRF, address, target);
    }
    assert_eq!(node.run("port_ingress", &from_a(0x0800, &packet_v4(v4, 64, 10))).1[5], 99);
    assert_eq!(node.run("port_ingress", &from_a(0x86dd, &packet_v6(v6, 64, 10))).1[5], 99);
    // Default routes of a family are not the other's: that of IPv6 is there, and has fewer bits.
    assert_eq!(node.run("port_ingress", &from_a(0x0800, &packet_v4([100, 64, 0, 1], 64, 10))).1[5], 100);
}

#[test]
fn routes_are_of_one_router() {
    let mut node = node();
    node.route(OTHER, [0; 16], 0, adjacent(TO_B));
    node.route(OTHER, mapped([0; 4]), 96, adjacent(TO_B));
    node.host(OTHER, mapped(NOWHERE), adjacent(TO_B));
    assert_drops(&mut node, DropReason::NoRoute, true, &from_a(0x0800, &packet_v4(NOWHERE, 64, 10)), "IPv4");
    assert_drops(&mut node, DropReason::NoRoute, true, &from_a(0x86dd, &packet_v6(v6(9, 9), 64, 10)), "IPv6");
}

#[test]
fn what_no_router_forwards() {
    let mut node = node();
    node.route(VRF, [0; 16], 0, adjacent(TO_B));
    node.route(VRF, mapped([0; 4]), 96, adjacent(TO_B));
    for destination in [[0, 0, 0, 0], [127, 0, 0, 1], [224, 0, 0, 5], [239, 1, 1, 1], [255; 4]] {
        let packet = from_a(0x0800, &packet_v4(destination, 64, 20));
        assert_drops(&mut node, DropReason::NotRoutable, false, &packet, &format!("{destination:?}"));
    }
    let unspecified = from_a(0x0800, &Ipv4::new([0; 4], IP_B, 17).packet(&[0; 20]));
    assert_drops(&mut node, DropReason::NotRoutable, false, &unspecified, "from 0.0.0.0");
    let mut ipv4_inside = mapped(IP_B);
    for destination in ["::", "::1", "ff02::1", "ff0e::1", "fe80::2"] {
        let octets = destination.parse::<std::net::Ipv6Addr>().expect("an address").octets();
        let packet = from_a(0x86dd, &packet_v6(octets, 64, 20));
        assert_drops(&mut node, DropReason::NotRoutable, false, &packet, destination);
    }
    let packet = from_a(0x86dd, &packet_v6(ipv4_inside, 64, 20));
    assert_drops(&mut node, DropReason::NotRoutable, false, &packet, "IPv4 in IPv6");
    ipv4_inside[10..12].fill(0);
    let packet = from_a(0x86dd, &packet_v6(ipv4_inside, 64, 20));
    assert_drops(&mut node, DropReason::NotRoutable, false, &packet, "IPv4-compatible");
    for source in ["::", "fe80::1"] {
        let octets = source.parse::<std::net::Ipv6Addr>().expect("an address").octets();
        let packet = packet::ipv6(octets, v6(2, 2), 17, 64, &udp(1, 2, &[0; 20]));
        assert_drops(&mut node, DropReason::NotRoutable, false, &from_a(0x86dd, &packet), source);
    }
    for (ethertype, payload) in [
        (0x88b5, vec![7; 46]),
        (0x0806, packet::arp(2, (A, IP_A), (GATEWAY, IP_GATEWAY))),
        (0x8847, vec![0; 46]),
    ] {
        let packet = from_a(ethertype, &payload);
        assert_drops(&mut node, DropReason::NotRoutable, false, &packet, &format!("{ethertype:x}"));
    }
    let in_vlan = tagged(&from_a(0x0800, &packet_v4(IP_B, 64, 20)), 0x8100, 5);
    assert_drops(&mut node, DropReason::NotRoutable, false, &in_vlan, "in a VLAN");
}

#[test]
fn what_contradicts_itself_is_not_forwarded() {
    let mut node = node();
    let good = packet_v4(IP_B, 64, 20);
    for (at, value, what) in [(2, 1, "longer than it is"), (0, 0x4f, "options that are not there")] {
        let mut bad = good.clone();
        bad[at] = value;
        assert_drops(&mut node, DropReason::Malformed, false, &from_a(0x0800, &bad), what);
    }
    let mut short = good.clone();
    short[3] = 19;
    assert_drops(&mut node, DropReason::Malformed, false, &from_a(0x0800, &short), "shorter than a header");
    let mut bad = packet_v6(v6(2, 2), 64, 20);
    bad[4] = 1;
    assert_drops(&mut node, DropReason::Malformed, false, &from_a(0x86dd, &bad), "longer than it is");
    // Cut off anywhere, it is dropped; the kernel itself makes no frame of less than an IP header.
    for (ethertype, whole) in [(0x0800, good), (0x86dd, packet_v6(v6(2, 2), 64, 20))] {
        for length in if ethertype == 0x0800 { 20 } else { 40 }..whole.len() {
            let packet = from_a(ethertype, &whole[..length]);
            assert_drops(&mut node, DropReason::Malformed, false, &packet, &format!("{length} bytes"));
        }
    }
}

#[test]
fn segments_are_routed_as_one() {
    let mut node = node();
    let packet = packet_v4(IP_B, 64, 3000);
    assert_eq!(
        node.run_segments("port_ingress", &from_a(0x0800, &packet), 1000),
        to_b(0x0800, &packet_v4(IP_B, 63, 3000))
    );
    // More bytes than a length field holds.
    let mut jumbo = packet.clone();
    jumbo[2..4].fill(0);
    assert_eq!(node.run_segments("port_ingress", &from_a(0x0800, &jumbo), 1000).0, REDIRECT);
    let packet = packet_v4(IP_B, 1, 3000);
    let answer = node.run_segments("port_ingress", &from_a(0x0800, &packet), 1000);
    assert_eq!(answer, error_v4(11, 0, 0, &packet));
    // It is the segments that are too big or not.
    node.host(VRF, mapped(NOWHERE), adjacent(TO_REMOTE));
    let packet = packet_v4(NOWHERE, 64, 3000);
    let answer = node.run_segments("port_ingress", &from_a(0x0800, &packet), 1450);
    assert_eq!(answer, error_v4(3, 4, 1450, &packet));
}

#[test]
fn a_flow_stays_in_its_bucket() {
    let mut node = node();
    node.host(VRF, mapped(NOWHERE), group(5));
    node.host(VRF, v6(9, 9), group(5));
    for bucket in 0..64 {
        let slot = 100 + bucket;
        let destination = [2, 0, 0, 1, 0, bucket as u8];
        node.adjacency(slot, Adjacency { destination, source: GATEWAY, vpn: VRF, zero: 0, target: port(2) });
        node.bucket(5, bucket, adjacent(slot));
    }
    let mut bucket_of = |ethertype, packet: &[u8]| {
        let (action, output) = node.run("port_ingress", &from_a(ethertype, packet));
        assert_eq!(action, REDIRECT);
        usize::from(output[5])
    };
    let ip = Ipv4::new(IP_A, NOWHERE, 6);
    let mut used = [0; 64];
    for port in 1000..2000u16 {
        let v4 = bucket_of(0x0800, &ip.packet(&udp(port, 80, &[1; 20])));
        // Neither what it carries, nor its options, nor its life make it another flow.
        let other = Ipv4 { ttl: 9, traffic_class: 4, ..ip }.packet(&udp(port, 80, &[2; 90]));
        assert_eq!(bucket_of(0x0800, &with_options(&other, &[1; 12])), v4);
        used[v4] += 1;
        let v6 = bucket_of(0x86dd, &packet::ipv6(v6(1, 1), v6(9, 9), 17, 64, &udp(port, 53, &[1; 20])));
        used[v6] += 1;
    }
    // Three equal next hops, as the agent spreads them over the buckets.
    for hop in 0..3 {
        let share: u32 = used.iter().skip(hop).step_by(3).sum();
        assert!((567..=767).contains(&share), "667 of 2,000 expected: {used:?}");
    }
    // Fragments have no ports, nor has the first of them.
    let first = bucket_of(0x0800, &Ipv4 { fragment: 0x2000, ..ip }.packet(&udp(1, 2, &[0; 40])));
    for (fragment, payload) in [(0x2000, udp(3, 4, &[0; 40])), (0x2001, vec![9; 40]), (7, vec![8; 3])] {
        assert_eq!(bucket_of(0x0800, &Ipv4 { fragment, ..ip }.packet(&payload)), first);
    }
    let fragment = |ports: [u8; 2]| [&[17, 0, 0, 1, 0, 0, 0, 9][..], &ports.repeat(20)].concat();
    let first = bucket_of(0x86dd, &packet::ipv6(v6(1, 1), v6(9, 9), 44, 64, &fragment([1, 2])));
    let other = bucket_of(0x86dd, &packet::ipv6(v6(1, 1), v6(9, 9), 44, 64, &fragment([3, 4])));
    assert_eq!(first, other);
}

#[test]
fn groups_lead_anywhere() {
    let mut node = node();
    node.host(VRF, mapped(NOWHERE), group(0));
    for (target, length) in [
        (adjacent(TO_B), 0),
        (adjacent(TO_REMOTE), 50),
        (labelled(TargetKind::MplsUdp, 1, REMOTE_LABEL), 32),
        (labelled(TargetKind::Mpls, 1, REMOTE_LABEL), 4),
    ] {
        (0..64).for_each(|bucket| node.bucket(0, bucket, target));
        let frame = from_a(0x0800, &packet_v4(NOWHERE, 64, 100));
        let (action, output) = node.run("port_ingress", &frame);
        assert_eq!((action, output.len()), (REDIRECT, frame.len() + length), "{target:?}");
    }
    (0..64).for_each(|bucket| node.bucket(0, bucket, Target::default()));
    let frame = from_a(0x0800, &packet_v4(NOWHERE, 64, 100));
    assert_drops(&mut node, DropReason::NoRoute, true, &frame, "an empty bucket");
}

/// A frame in VXLAN, as it comes from the remote endpoint.
fn in_vxlan(vni: u32, frame: &[u8]) -> Vec<u8> {
    let packet = Ipv4::new(REMOTE, LOCAL, 17).packet(&udp(50000, 4789, &vxlan(8, vni, frame)));
    ethernet([0; 6], NEIGHBOR, 0x0800, &packet)
}

/// A packet under a label, as it comes from the remote endpoint.
fn under_label(label: u32, packet: &[u8]) -> Vec<u8> {
    let under = [&(label << 12 | 0x1ff).to_be_bytes()[..], packet].concat();
    ethernet([0; 6], NEIGHBOR, 0x0800, &Ipv4::new(REMOTE, LOCAL, 17).packet(&udp(50000, 6635, &under)))
}

/// How a packet comes to a router of this node from another one. A label of the port leads to host B.
fn arrivals(ethertype: u16, packet: &[u8]) -> [(Vec<u8>, &'static str); 3] {
    [
        (in_vxlan(ROUTER_VNI, &ethernet(OUR_ROUTER, THEIR_ROUTER, ethertype, packet)), "L3 VNI"),
        (under_label(ROUTER_LABEL, packet), "label of the router"),
        (under_label(PORT_LABEL, packet), "label of the port"),
    ]
}

/// A packet from the remote host to host B.
fn from_afar_v4(ttl: u8, payload: usize) -> Vec<u8> {
    Ipv4 { ttl, ..Ipv4::new(NOWHERE, IP_B, 17) }.packet(&udp(1000, 2000, &vec![0x55; payload]))
}

fn from_afar_v6(hop_limit: u8, payload: usize) -> Vec<u8> {
    packet::ipv6(v6(9, 9), v6(2, 2), 17, hop_limit, &udp(1000, 2000, &vec![0x55; payload]))
}

#[test]
fn a_packet_from_another_router_goes_to_its_port() {
    let mut node = node();
    for (ethertype, packet, expected) in [
        (0x0800, from_afar_v4(64, 100), from_afar_v4(63, 100)),
        (0x86dd, from_afar_v6(64, 100), from_afar_v6(63, 100)),
        (0x0800, from_afar_v4(2, 0), from_afar_v4(1, 0)),
    ] {
        for (arrival, what) in arrivals(ethertype, &packet) {
            assert_eq!(node.run("underlay_ingress", &arrival), to_b(ethertype, &expected), "{what}");
        }
    }
    assert_eq!(node.counters("PORT_STATS", 2).tx_packets, 9);
}

#[test]
fn the_driver_s_verdict_is_routed_as_well() {
    let mut node = node();
    let inner = ethernet(OUR_ROUTER, THEIR_ROUTER, 0x0800, &from_afar_v4(64, 100));
    let (action, output) = node.run("underlay_xdp", &in_vxlan(ROUTER_VNI, &inner));
    assert_eq!((action, output), (XDP_PASS, inner));
}

#[test]
fn a_packet_from_another_router_goes_to_no_third() {
    let mut node = node();
    for target in [adjacent(TO_REMOTE), labelled(TargetKind::MplsGre, 1, REMOTE_LABEL)] {
        node.host(VRF, mapped(IP_B), target);
        for (arrival, what) in arrivals(0x0800, &from_afar_v4(64, 100)).into_iter().take(2) {
            let before = node.drops(DropReason::SplitHorizon).packets;
            assert_eq!(node.run("underlay_ingress", &arrival).0, SHOT, "{what}");
            assert_eq!(node.drops(DropReason::SplitHorizon).packets, before + 1, "{what}");
        }
    }
}

/// What the router sends to the remote host over MPLS in UDP.
fn back_under_label(output: &[u8], class: u8, packet: &[u8]) -> Vec<u8> {
    let entry = REMOTE_LABEL << 12 | u32::from(class >> 5) << 9 | 0x1ff;
    let under = [&entry.to_be_bytes()[..], packet].concat();
    let source = u16::from_be_bytes([output[34], output[35]]);
    let ip = Ipv4 { traffic_class: class, ..Ipv4::new(LOCAL, REMOTE, 17) };
    ethernet(NEIGHBOR, UNDERLAY, 0x0800, &ip.packet(&udp(source, 6635, &under)))
}

#[test]
fn errors_find_their_way_back_through_the_tunnel() {
    let mut node = node();
    for address in [mapped(NOWHERE), v6(9, 9)] {
        node.host(VRF, address, labelled(TargetKind::MplsUdp, 1, REMOTE_LABEL));
    }
    let packet = from_afar_v4(1, 100);
    let message = icmp(11, 0, &[&[0; 4][..], &packet].concat());
    let error = Ipv4 { traffic_class: 0xc0, ..Ipv4::new(IP_GATEWAY, NOWHERE, 1) }.packet(&message);
    for (arrival, what) in arrivals(0x0800, &packet) {
        let before = node.drops(DropReason::TtlExceeded).packets;
        let (action, output) = node.run("underlay_ingress", &arrival);
        assert_eq!((action, &output), (REDIRECT, &back_under_label(&output, 0xc0, &error)), "{what}");
        assert_eq!(node.drops(DropReason::TtlExceeded).packets, before + 1, "{what}");
    }
    let packet = from_afar_v6(1, 100);
    let message = icmpv6(GATEWAY_V6, v6(9, 9), 3, &[&[0; 4][..], &packet].concat());
    let error = packet::ipv6(GATEWAY_V6, v6(9, 9), 58, 64, &message);
    for (arrival, what) in arrivals(0x86dd, &packet) {
        let (action, output) = node.run("underlay_ingress", &arrival);
        assert_eq!((action, &output), (REDIRECT, &back_under_label(&output, 0, &error)), "{what}");
    }
    // No route, and an echo.
    let packet = Ipv4::new(NOWHERE, [198, 51, 100, 1], 17).packet(&udp(1, 2, &[0; 30]));
    let message = icmp(3, 0, &[&[0; 4][..], &packet].concat());
    let error = Ipv4 { traffic_class: 0xc0, ..Ipv4::new(IP_GATEWAY, NOWHERE, 1) }.packet(&message);
    let (action, output) = node.run("underlay_ingress", &under_label(ROUTER_LABEL, &packet));
    assert_eq!((action, &output), (REDIRECT, &back_under_label(&output, 0xc0, &error)));
    let request = Ipv4::new(NOWHERE, IP_GATEWAY, 1).packet(&icmp(8, 0, &[3; 40]));
    let reply = Ipv4::new(IP_GATEWAY, NOWHERE, 1).packet(&icmp(0, 0, &[3; 40]));
    let (action, output) = node.run("underlay_ingress", &under_label(ROUTER_LABEL, &request));
    assert_eq!((action, &output), (REDIRECT, &back_under_label(&output, 0, &reply)));
}

#[test]
fn errors_find_their_way_back_by_vxlan() {
    let mut node = node();
    node.host(VRF, mapped(NOWHERE), adjacent(TO_REMOTE));
    let packet = from_afar_v4(1, 100);
    let message = icmp(11, 0, &[&[0; 4][..], &packet].concat());
    let error = Ipv4 { traffic_class: 0xc0, ..Ipv4::new(IP_GATEWAY, NOWHERE, 1) }.packet(&message);
    let frame = ethernet(THEIR_ROUTER, OUR_ROUTER, 0x0800, &error);
    for (arrival, what) in arrivals(0x0800, &packet) {
        let (action, output) = node.run("underlay_ingress", &arrival);
        let source = u16::from_be_bytes([output[34], output[35]]);
        let ip = Ipv4 { traffic_class: 0xc0, ..Ipv4::new(LOCAL, REMOTE, 17) };
        let expected = ip.packet(&udp(source, 4789, &vxlan(8, REMOTE_VNI, &frame)));
        assert_eq!((action, output), (REDIRECT, ethernet(NEIGHBOR, UNDERLAY, 0x0800, &expected)), "{what}");
    }
}

#[test]
fn an_error_without_a_way_back_ends_here() {
    let mut node = node();
    for (arrival, what) in arrivals(0x0800, &from_afar_v4(1, 100)) {
        let before = node.drops(DropReason::NoRoute).packets;
        assert_eq!(node.run("underlay_ingress", &arrival).0, SHOT, "{what}");
        assert_eq!(node.drops(DropReason::NoRoute).packets, before + 1, "{what}");
    }
    assert_eq!(node.drops(DropReason::TtlExceeded).packets, 3);
    // To another port of this node it is one step.
    node.host(VRF, mapped(NOWHERE), adjacent(TO_A));
    let (action, output) = node.run("underlay_ingress", &under_label(ROUTER_LABEL, &from_afar_v4(1, 100)));
    assert_eq!((action, &output[..6], output[34]), (REDIRECT, &A[..], 11));
}

#[test]
fn a_bridge_hands_packets_to_its_router() {
    let mut node = irb_node();
    let answer = node.run("port_ingress", &from_a(0x0800, &packet_v4(IP_B, 64, 100)));
    assert_eq!(answer, to_b(0x0800, &packet_v4(IP_B, 63, 100)));
    assert_eq!(node.counters("VPN_STATS", BRIDGE.into()).rx_packets, 1);
    assert_eq!(node.counters("VPN_STATS", VRF.into()).tx_packets, 1);
    // Errors come from the address that the hosts know.
    let packet = packet_v4(IP_B, 1, 100);
    assert_eq!(node.run("port_ingress", &from_a(0x0800, &packet)), error_v4(11, 0, 0, &packet));
    // From a node that leaves the routing to us, and from one that routes by itself.
    for vni in [BRIDGE_VNI, ROUTER_VNI] {
        let to = if vni == BRIDGE_VNI { GATEWAY } else { OUR_ROUTER };
        let arrival = in_vxlan(vni, &ethernet(to, THEIR_ROUTER, 0x0800, &from_afar_v4(64, 10)));
        let answer = node.run("underlay_ingress", &arrival);
        assert_eq!(answer, to_b(0x0800, &from_afar_v4(63, 10)), "{vni}");
    }
    let to_a = Ipv4::new(NOWHERE, IP_A, 17).packet(&udp(1, 2, &[0; 30]));
    let (action, output) = node.run("underlay_ingress", &under_label(ROUTER_LABEL, &to_a));
    assert_eq!((action, &output[..12]), (REDIRECT, &[A, GATEWAY].concat()[..]));
    // What is in a VLAN, or no packet, is of no router.
    for frame in [
        tagged(&ethernet(GATEWAY, THEIR_ROUTER, 0x0800, &from_afar_v4(64, 10)), 0x8100, 5),
        ethernet(GATEWAY, THEIR_ROUTER, 0x0806, &packet::arp(2, (B, IP_B), (GATEWAY, IP_GATEWAY))),
        ethernet(GATEWAY, THEIR_ROUTER, 0x0800, &[0x45; 4]),
    ] {
        let before = node.drops(DropReason::NotRoutable).packets;
        assert_eq!(node.run("underlay_ingress", &in_vxlan(BRIDGE_VNI, &frame)).0, SHOT);
        assert_eq!(node.drops(DropReason::NotRoutable).packets, before + 1, "{frame:02x?}");
    }
}
