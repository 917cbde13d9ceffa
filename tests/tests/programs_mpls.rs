//! Packets and frames under labels, by BPF_PROG_TEST_RUN: what is sent, byte by byte, and what is let in.

use bagpipe_common::{
    Adjacency, DropReason, FloodScope, LabelKind, Port, Target, TargetKind, Vpn, encap_flags, mapped,
    settings_flags,
};
use bagpipe_tests::packet::{self, Ipv4, Mac, ethernet, tagged, udp};
use bagpipe_tests::programs::{Copy, NEXT, REDIRECT, SHOT, encap, labelled, port, remote};

/// The router, and the bridge whose frames go under labels, too.
const VRF: u16 = 7;
const BRIDGE: u16 = 8;
const PORT_LABEL: u32 = 100;
const ROUTER_LABEL: u32 = 101;
const BRIDGE_LABEL: u32 = 102;
/// The label that the remote endpoint advertised.
const REMOTE_LABEL: u32 = 0xa_bcde;
const GATEWAY: Mac = [2, 0, 0, 0, 0, 1];
const A: Mac = [2, 0, 0, 0, 0, 0xa];
const B: Mac = [2, 0, 0, 0, 0, 0xb];
const C: Mac = [2, 0, 0, 0, 0, 0xc];
/// The underlay's addresses. Test runs come from the loopback interface, whose Ethernet address is zero.
const OURS: Mac = [0; 6];
const UNDERLAY: Mac = [2, 0, 0, 0, 0xff, 1];
const ROUTER: Mac = [2, 0, 0, 0, 0xff, 2];
const LOCAL: [u8; 4] = [10, 9, 0, 1];
const REMOTE: [u8; 4] = [10, 9, 0, 2];
const IP_A: [u8; 4] = [192, 168, 1, 1];
const IP_B: [u8; 4] = [192, 168, 2, 2];
/// No interface has it: nothing leaves the machine.
const ABSENT: u32 = 0x7fff_fff0;

const FORMS: [TargetKind; 3] = [TargetKind::MplsUdp, TargetKind::MplsGre, TargetKind::Mpls];

const fn v6(last: u8) -> [u8; 16] {
    [0xfd, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, last]
}

/// A node: port 1 in the router, port 2 in the bridge. Next hop 1 is over IPv4, next hop 2 over IPv6.
fn node() -> Copy {
    let mut node = Copy::load();
    node.vpn(VRF, Vpn { vni: 1, local_ports: 0, remote_endpoints: 0 });
    node.vpn(BRIDGE, Vpn { vni: 2, local_ports: 1, remote_endpoints: 1 });
    node.interface(1, 1);
    node.port(1, Port { ifindex: 1, vpn: VRF, flags: 0 });
    node.port(2, Port { ifindex: ABSENT, vpn: BRIDGE, flags: 0 });
    node.mac(VRF, A, port(1));
    node.mac(VRF, GATEWAY, Target { kind: TargetKind::Router as u8, vni: [0; 3], id: VRF.into() });
    node.mac(BRIDGE, C, port(2));
    node.member(BRIDGE, FloodScope::Local, 0, port(2));
    for address in [mapped(IP_A), v6(1)] {
        node.neighbor(VRF, address, A, 0);
    }
    node.adjacency(5, Adjacency { destination: A, source: GATEWAY, vpn: VRF, zero: 0, target: port(1) });
    node.label(PORT_LABEL, LabelKind::Adjacency, VRF, 5);
    node.label(ROUTER_LABEL, LabelKind::Router, VRF, 0);
    node.label(BRIDGE_LABEL, LabelKind::Bridge, BRIDGE, 0);
    for address in [mapped(REMOTE), v6(0x22)] {
        node.endpoint(address, VRF);
        node.endpoint(address, BRIDGE);
    }
    node.local(mapped(LOCAL));
    node.local(v6(0x11));
    hops(&mut node, 1500);
    node
}

fn hops(node: &mut Copy, mtu: u32) {
    let mut hop = encap(LOCAL, REMOTE, ABSENT, mtu);
    node.next_hop(1, hop);
    (hop.local, hop.remote) = (v6(0x11), v6(0x22));
    hop.flags |= encap_flags::IPV6;
    node.next_hop(2, hop);
}

/// A packet from host A to host B as it comes out of a router, and goes into one with `ttl` one higher.
fn packet_v4(ttl: u8, traffic_class: u8, payload: usize) -> Vec<u8> {
    let ip = Ipv4 { ttl, traffic_class, ..Ipv4::new(IP_A, IP_B, 17) };
    ip.packet(&udp(1000, 2000, &vec![0x55; payload]))
}

fn packet_v6(hop_limit: u8, payload: usize) -> Vec<u8> {
    packet::ipv6(v6(1), v6(2), 17, hop_limit, &udp(1000, 2000, &vec![0x55; payload]))
}

/// A label stack before a packet; each entry is a label, a traffic class, the bottom bit, and a time to live.
fn stack(entries: &[(u32, u8, bool, u8)], packet: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::new();
    for (label, class, bottom, ttl) in entries {
        let word = label << 12 | u32::from(*class) << 9 | u32::from(*bottom) << 8 | u32::from(*ttl);
        bytes.extend(word.to_be_bytes());
    }
    bytes.extend(packet);
    bytes
}

fn gre(flags: u16, options: &[u8], payload: &[u8]) -> Vec<u8> {
    [&flags.to_be_bytes()[..], &[0x88, 0x47], options, payload].concat()
}

/// What carries labels from the remote endpoint to us.
#[derive(Clone, Copy, Debug)]
enum Carrier {
    Udp4,
    Udp6,
    Gre4,
    Gre6,
    Bare,
}

const CARRIERS: [Carrier; 5] = [Carrier::Udp4, Carrier::Udp6, Carrier::Gre4, Carrier::Gre6, Carrier::Bare];

impl Carrier {
    fn arrive(self, stack: &[u8]) -> Vec<u8> {
        match self {
            Self::Udp4 => self.over(17, &udp(50000, 6635, stack)),
            Self::Udp6 => self.over(17, &udp(50000, 6635, stack)),
            Self::Gre4 | Self::Gre6 => self.over(47, &gre(0, &[], stack)),
            Self::Bare => ethernet(OURS, ROUTER, 0x8847, stack),
        }
    }

    fn over(self, protocol: u8, payload: &[u8]) -> Vec<u8> {
        match self {
            Self::Udp6 | Self::Gre6 => {
                let packet = packet::ipv6(v6(0x22), v6(0x11), protocol, 64, payload);
                ethernet(OURS, ROUTER, 0x86dd, &packet)
            }
            _ => ethernet(OURS, ROUTER, 0x0800, &Ipv4::new(REMOTE, LOCAL, protocol).packet(payload)),
        }
    }
}

fn assert_drops(node: &mut Copy, reason: DropReason, packet: &[u8], what: &str) {
    let before = node.drops(reason).packets;
    let (action, _) = node.run("underlay_ingress", packet);
    assert_eq!((action, node.drops(reason).packets), (SHOT, before + 1), "{reason:?}: {what}");
}

fn assert_passes_on(node: &mut Copy, packet: &[u8], what: &str) {
    assert_eq!(node.run("underlay_ingress", packet), (NEXT, packet.to_vec()), "{what}");
}

/// The underlay packet that a form makes of an entry and what is under it. The source port of UDP and the flow label of
/// IPv6 are the sender's choice.
fn expected(form: TargetKind, over_ipv6: bool, class: u8, stack: &[u8], output: &[u8]) -> Vec<u8> {
    let ip = if over_ipv6 { 40 } else { 20 };
    let (protocol, payload) = match form {
        TargetKind::Mpls => return ethernet(ROUTER, UNDERLAY, 0x8847, stack),
        TargetKind::MplsGre => (47, gre(0, &[], stack)),
        _ => {
            let source = u16::from_be_bytes([output[14 + ip], output[15 + ip]]);
            assert!(source >= 49152, "source port {source}");
            (17, udp(source, 6635, stack))
        }
    };
    if !over_ipv6 {
        let ip = Ipv4 { traffic_class: class, ..Ipv4::new(LOCAL, REMOTE, protocol) };
        return ethernet(ROUTER, UNDERLAY, 0x0800, &ip.packet(&payload));
    }
    let mut packet = packet::ipv6(v6(0x11), v6(0x22), protocol, 64, &payload);
    packet[0] |= class >> 4;
    packet[1] = class << 4 | output[15] & 0x0f;
    packet[2..4].copy_from_slice(&output[16..18]);
    ethernet(ROUTER, UNDERLAY, 0x86dd, &packet)
}

#[test]
fn a_routed_packet_goes_out_in_every_form() {
    let mut node = node();
    for form in FORMS {
        for hop in [1, 2] {
            let target = labelled(form, hop, REMOTE_LABEL);
            node.host(VRF, mapped(IP_B), target);
            node.host(VRF, v6(2), target);
            // Expedited forwarding, ECN-capable: class selector 5.
            let class = 46 << 2 | 1;
            let inner = (packet_v4(64, class, 100), packet_v4(63, class, 100));
            let (action, output) = node.run("port_ingress", &ethernet(GATEWAY, A, 0x0800, &inner.0));
            assert_eq!(action, REDIRECT, "{form:?} {hop}");
            let under = stack(&[(REMOTE_LABEL, 5, true, 255)], &inner.1);
            assert_eq!(output, expected(form, hop == 2, class, &under, &output), "{form:?} {hop}");

            let (action, output) =
                node.run("port_ingress", &ethernet(GATEWAY, A, 0x86dd, &packet_v6(64, 100)));
            assert_eq!(action, REDIRECT, "{form:?} {hop}");
            let under = stack(&[(REMOTE_LABEL, 0, true, 255)], &packet_v6(63, 100));
            assert_eq!(output, expected(form, hop == 2, 0, &under, &output), "{form:?} {hop}");
        }
    }
}

#[test]
fn the_time_to_live_goes_into_the_label_if_it_shall() {
    let mut node = node();
    node.set(|settings| settings.flags = settings_flags::UNIFORM_TTL);
    node.host(VRF, mapped(IP_B), labelled(TargetKind::MplsGre, 1, REMOTE_LABEL));
    let (_, output) = node.run("port_ingress", &ethernet(GATEWAY, A, 0x0800, &packet_v4(9, 0, 10)));
    let under = stack(&[(REMOTE_LABEL, 0, true, 8)], &packet_v4(8, 0, 10));
    assert_eq!(output, expected(TargetKind::MplsGre, false, 0, &under, &output));
    // And back, but never up.
    for (label, inside, after) in [(5, 64, 4), (64, 5, 4), (255, 7, 6)] {
        for carrier in CARRIERS {
            let arrival = carrier.arrive(&stack(&[(PORT_LABEL, 0, true, label)], &packet_v4(inside, 0, 60)));
            let expected = ethernet(A, GATEWAY, 0x0800, &packet_v4(after, 0, 60));
            assert_eq!(node.run("underlay_ingress", &arrival), (REDIRECT, expected), "{carrier:?}");
            let arrival = carrier.arrive(&stack(&[(PORT_LABEL, 0, true, label)], &packet_v6(inside, 60)));
            let expected = ethernet(A, GATEWAY, 0x86dd, &packet_v6(after, 60));
            assert_eq!(node.run("underlay_ingress", &arrival), (REDIRECT, expected), "{carrier:?}");
        }
    }
}

#[test]
fn null_labels_are_sent_as_the_remote_wants_them() {
    let mut node = node();
    for null in [0, 2] {
        node.host(VRF, mapped(IP_B), labelled(TargetKind::MplsUdp, 1, null));
        let (_, output) = node.run("port_ingress", &ethernet(GATEWAY, A, 0x0800, &packet_v4(64, 0, 10)));
        let under = stack(&[(null, 0, true, 255)], &packet_v4(63, 0, 10));
        assert_eq!(output, expected(TargetKind::MplsUdp, false, 0, &under, &output));
    }
    for form in [TargetKind::MplsGre, TargetKind::MplsUdp] {
        for (packet, sent, kind) in [
            (packet_v4(64, 0, 10), packet_v4(63, 0, 10), 0x0800u16),
            (packet_v6(64, 10), packet_v6(63, 10), 0x86dd),
        ] {
            node.host(VRF, mapped(IP_B), labelled(form, 1, 3));
            node.host(VRF, v6(2), labelled(form, 1, 3));
            let (action, output) = node.run("port_ingress", &ethernet(GATEWAY, A, kind, &packet));
            let payload = [&[0, 0][..], &kind.to_be_bytes(), &sent].concat();
            let expected = Ipv4::new(LOCAL, REMOTE, 47).packet(&payload);
            assert_eq!((action, output), (REDIRECT, ethernet(ROUTER, UNDERLAY, 0x0800, &expected)));
        }
    }
    node.host(VRF, mapped(IP_B), labelled(TargetKind::Mpls, 1, 3));
    let (_, output) = node.run("port_ingress", &ethernet(GATEWAY, A, 0x0800, &packet_v4(64, 0, 10)));
    assert_eq!(output, ethernet(ROUTER, UNDERLAY, 0x0800, &packet_v4(63, 0, 10)));
}

#[test]
fn packets_fit_the_underlay_to_the_byte() {
    let mut node = node();
    for (form, hop, overhead) in [
        (TargetKind::MplsUdp, 1, 32),
        (TargetKind::MplsUdp, 2, 52),
        (TargetKind::MplsGre, 1, 28),
        (TargetKind::MplsGre, 2, 48),
        (TargetKind::Mpls, 1, 4),
    ] {
        node.host(VRF, mapped(IP_B), labelled(form, hop, REMOTE_LABEL));
        hops(&mut node, 1000);
        let largest = 1000 - overhead - 28;
        let (action, output) =
            node.run("port_ingress", &ethernet(GATEWAY, A, 0x0800, &packet_v4(64, 0, largest)));
        assert_eq!((action, output.len()), (REDIRECT, 1014), "{form:?} {hop}");
        let before = node.drops(DropReason::TooBig).packets;
        let _ = node.run("port_ingress", &ethernet(GATEWAY, A, 0x0800, &packet_v4(64, 0, largest + 1)));
        assert_eq!(node.drops(DropReason::TooBig).packets, before + 1, "{form:?} {hop}");
    }
}

#[test]
fn an_unresolved_gateway_is_left_to_the_kernel_where_it_can() {
    let mut node = node();
    let mut hop = encap(LOCAL, REMOTE, 1, 1500);
    hop.flags = 0;
    node.next_hop(1, hop);
    let packet = ethernet(GATEWAY, A, 0x0800, &packet_v4(64, 0, 10));
    for form in [TargetKind::MplsUdp, TargetKind::MplsGre] {
        node.host(VRF, mapped(IP_B), labelled(form, 1, REMOTE_LABEL));
        assert_eq!(node.run("port_ingress", &packet).0, REDIRECT);
    }
    node.host(VRF, mapped(IP_B), labelled(TargetKind::Mpls, 1, REMOTE_LABEL));
    assert_eq!(node.run("port_ingress", &packet).0, SHOT);
    assert_eq!(node.drops(DropReason::NoNextHop).packets, 1);
}

/// Puts host A's port into the bridge.
fn bridge_node() -> Copy {
    let mut node = node();
    node.port(1, Port { ifindex: 1, vpn: BRIDGE, flags: 0 });
    node.mac(BRIDGE, A, port(1));
    node.neighbor(BRIDGE, mapped(IP_A), A, 0);
    node.neighbor(BRIDGE, v6(1), A, 0);
    node
}

/// Frames of every kind, with their traffic class.
fn frames(destination: Mac, source: Mac) -> Vec<(Vec<u8>, u8)> {
    let ip = ethernet(destination, source, 0x0800, &packet_v4(64, 0x48, 100));
    vec![
        (ip.clone(), 0x48),
        (ethernet(destination, source, 0x86dd, &packet_v6(64, 100)), 0),
        (ethernet(destination, source, 0x88b5, &[7; 50]), 0),
        // Traffic classes inside VLANs are their own.
        (tagged(&ip, 0x8100, 6), 0),
        (tagged(&tagged(&ip, 0x8100, 6), 0x88a8, 5), 0),
    ]
}

#[test]
fn a_frame_goes_out_in_every_form() {
    for form in FORMS {
        for hop in [1, 2] {
            for destination in [B, [0xff; 6]] {
                let mut node = bridge_node();
                node.mac(BRIDGE, B, labelled(form, hop, REMOTE_LABEL));
                node.member(BRIDGE, FloodScope::Remote, 0, labelled(form, hop, REMOTE_LABEL));
                for (frame, class) in frames(destination, A) {
                    let (action, output) = node.run("port_ingress", &frame);
                    assert_eq!(action, REDIRECT, "{form:?} {hop} {:x?}", &frame[..20]);
                    let under = stack(&[(REMOTE_LABEL, output_class(class), true, 255)], &frame);
                    assert_eq!(output, expected(form, hop == 2, class, &under, &output), "{form:?} {hop}");
                }
            }
        }
    }
}

const fn output_class(traffic_class: u8) -> u8 {
    traffic_class >> 5
}

#[test]
fn one_flood_list_holds_endpoints_of_every_form() {
    let forms = [
        (labelled(TargetKind::Mpls, 1, REMOTE_LABEL), Some(TargetKind::Mpls)),
        (remote(1, 0x0a_0b_0c), None),
        (labelled(TargetKind::MplsUdp, 1, REMOTE_LABEL), Some(TargetKind::MplsUdp)),
        (labelled(TargetKind::MplsGre, 2, REMOTE_LABEL), Some(TargetKind::MplsGre)),
        (labelled(TargetKind::MplsGre, 1, REMOTE_LABEL), Some(TargetKind::MplsGre)),
        (labelled(TargetKind::MplsUdp, 2, REMOTE_LABEL), Some(TargetKind::MplsUdp)),
    ];
    // Each form after each other.
    for before in forms {
        for last in forms {
            let Some(form) = last.1 else { continue };
            let mut node = bridge_node();
            node.vpn(BRIDGE, Vpn { vni: 2, local_ports: 1, remote_endpoints: 3 });
            for (index, target) in [last.0, before.0, last.0].into_iter().enumerate() {
                node.member(BRIDGE, FloodScope::Remote, index as u32, target);
            }
            for (frame, class) in frames([0xff; 6], A) {
                let (action, output) = node.run("port_ingress", &frame);
                assert_eq!(action, REDIRECT, "{before:?} {last:?}");
                let under = stack(&[(REMOTE_LABEL, output_class(class), true, 255)], &frame);
                let expected = expected(form, last.0.id == 2, class, &under, &output);
                assert_eq!(output, expected, "{before:?} {last:?}");
            }
            assert_eq!(node.drops(DropReason::Encapsulation).packets, 0, "{before:?} {last:?}");
            assert_eq!(node.drops(DropReason::TunnelInTunnel).packets, 0, "{before:?} {last:?}");
        }
    }
}

#[test]
fn a_packet_comes_in_by_every_carrier() {
    let mut node = node();
    for carrier in CARRIERS {
        for (packet, delivered, kind) in [
            (packet_v4(64, 0, 60), packet_v4(63, 0, 60), 0x0800),
            (packet_v4(2, 0, 0), packet_v4(1, 0, 0), 0x0800),
            (packet_v6(64, 60), packet_v6(63, 60), 0x86dd),
            (packet_v6(64, 1200), packet_v6(63, 1200), 0x86dd),
        ] {
            let arrival = carrier.arrive(&stack(&[(PORT_LABEL, 0, true, 255)], &packet));
            let expected = ethernet(A, GATEWAY, kind, &delivered);
            assert_eq!(node.run("underlay_ingress", &arrival), (REDIRECT, expected), "{carrier:?}");
        }
    }
}

#[test]
fn a_frame_comes_in_by_every_carrier() {
    let mut node = node();
    for carrier in CARRIERS {
        for (frame, _) in frames(C, B) {
            let arrival = carrier.arrive(&stack(&[(BRIDGE_LABEL, 0, true, 255)], &frame));
            let (action, output) = node.run("underlay_ingress", &arrival);
            // The outermost tag is the kernel's, beside the packet.
            let is_tagged = frame[12..14] == [0x81, 0] || frame[12..14] == [0x88, 0xa8];
            let expected = if is_tagged { [&frame[..12], &frame[16..]].concat() } else { frame };
            assert_eq!((action, output), (REDIRECT, expected), "{carrier:?}");
        }
        // Never into another tunnel.
        node.mac(BRIDGE, B, labelled(TargetKind::MplsUdp, 1, REMOTE_LABEL));
        let back = carrier.arrive(&stack(&[(BRIDGE_LABEL, 0, true, 255)], &frames(B, C)[0].0));
        assert_drops(&mut node, DropReason::SplitHorizon, &back, "back");
    }
}

#[test]
fn label_stacks() {
    let mut node = node();
    let packet = packet_v4(64, 0, 60);
    let delivered = ethernet(A, GATEWAY, 0x0800, &packet_v4(63, 0, 60));
    let top = |label, bottom| (label, 0, bottom, 64);
    for carrier in CARRIERS {
        for good in [
            vec![top(0, false), top(PORT_LABEL, true)],
            vec![top(PORT_LABEL, false), top(2, true)],
            vec![top(0, false), top(2, false), top(PORT_LABEL, true)],
            vec![(PORT_LABEL, 7, true, 1)],
        ] {
            let arrival = carrier.arrive(&stack(&good, &packet));
            assert_eq!(node.run("underlay_ingress", &arrival), (REDIRECT, delivered.clone()), "{good:?}");
        }
        for (reason, bad) in [
            (DropReason::UnknownLabel, vec![top(999, true)]),
            (DropReason::UnknownLabel, vec![top(999, false), top(PORT_LABEL, true)]),
            (DropReason::UnknownLabel, vec![top(3, true)]),
            (DropReason::UnknownLabel, vec![top(0, true)]),
            (DropReason::BadLabelStack, vec![top(PORT_LABEL, false), top(PORT_LABEL, true)]),
            (DropReason::BadLabelStack, vec![top(PORT_LABEL, false), top(ROUTER_LABEL, true)]),
            (
                DropReason::BadLabelStack,
                vec![top(0, false), top(0, false), top(0, false), top(PORT_LABEL, true)],
            ),
            (DropReason::BadLabelStack, vec![top(PORT_LABEL, false), top(0, false), top(0, false)]),
            (DropReason::BadLabelStack, vec![(PORT_LABEL, 0, true, 0)]),
            (DropReason::BadLabelStack, vec![(0, 0, false, 0), top(PORT_LABEL, true)]),
        ] {
            assert_drops(&mut node, reason, &carrier.arrive(&stack(&bad, &packet)), &format!("{bad:?}"));
        }
        // What is below is not what the label stands for.
        for below in [vec![0x15; 60], vec![0x75; 60], frames(C, B)[0].0.clone()] {
            let arrival = carrier.arrive(&stack(&[top(PORT_LABEL, true)], &below));
            assert_drops(&mut node, DropReason::BadLabelStack, &arrival, "no IP packet");
        }
    }
}

#[test]
fn truncated_packets_never_pass() {
    let mut node = node();
    for carrier in CARRIERS {
        for label in [PORT_LABEL, BRIDGE_LABEL] {
            let below = if label == PORT_LABEL { packet_v4(64, 0, 0) } else { vec![0; 14] };
            let entries = [(0, 0, false, 64), (2, 0, false, 64), (label, 0, true, 64)];
            let whole = carrier.arrive(&stack(&entries, &below));
            // The kernel itself makes no packet of less than an IPv4 header, or than an IPv6 header.
            let least = if whole[12] == 0x86 { 54 } else { 34 };
            // The packet as it is, cut off; and one that says that it is that short.
            for length in least..whole.len() {
                let (action, _) = node.run("underlay_ingress", &whole[..length]);
                assert!([NEXT, SHOT].contains(&action), "{carrier:?}, {length} bytes: {action}");
            }
            let all = stack(&entries, &below);
            for length in 0..all.len() {
                let packet = carrier.arrive(&all[..length]);
                if packet.len() < least {
                    continue;
                }
                let (action, _) = node.run("underlay_ingress", &packet);
                assert!([NEXT, SHOT].contains(&action), "{carrier:?}, {length} bytes below: {action}");
            }
        }
    }
}

#[test]
fn gre_options() {
    let mut node = node();
    for carrier in [Carrier::Gre4, Carrier::Gre6] {
        for payload in [0, 1, 60, 61, 1000] {
            let under = stack(&[(PORT_LABEL, 0, true, 64)], &packet_v4(64, 0, payload));
            let delivered = ethernet(A, GATEWAY, 0x0800, &packet_v4(63, 0, payload));
            for (flags, options) in [(0x2000, vec![1; 4]), (0x1000, vec![2; 4]), (0x3000, vec![3; 8])] {
                let arrival = carrier.over(47, &gre(flags, &options, &under));
                let answer = node.run("underlay_ingress", &arrival);
                assert_eq!(answer, (REDIRECT, delivered.clone()), "{flags:x}");
            }
            for (flags, options) in [(0x8000, vec![0; 4]), (0xb000, [[0; 4], [9; 4], [8; 4]].concat())] {
                let mut whole = gre(flags, &options, &under);
                let sum = packet::checksum(&whole);
                whole[4..6].copy_from_slice(&sum.to_be_bytes());
                let answer = node.run("underlay_ingress", &carrier.over(47, &whole));
                assert_eq!(answer, (REDIRECT, delivered.clone()), "{flags:x} {payload}");
                let last = whole.len() - 1;
                whole[last] ^= 1;
                let wrong = carrier.over(47, &whole);
                assert_drops(&mut node, DropReason::BadGreHeader, &wrong, "checksum");
            }
        }
        let under = stack(&[(PORT_LABEL, 0, true, 64)], &packet_v4(64, 0, 60));
        for flags in [0x4000, 0x0800, 0x0400, 1, 2, 4] {
            let arrival = carrier.over(47, &gre(flags, &[], &under));
            assert_drops(&mut node, DropReason::BadGreHeader, &arrival, "flags");
        }
        // IP directly in GRE is for the kernel.
        let plain = carrier.over(47, &[&[0, 0, 8, 0][..], &packet_v4(64, 0, 60)].concat());
        assert_passes_on(&mut node, &plain, "IP in GRE");
    }
}

#[test]
fn a_udp_checksum_may_be_there() {
    let mut node = node();
    for carrier in [Carrier::Udp4, Carrier::Udp6] {
        let under = stack(&[(PORT_LABEL, 0, true, 64)], &packet_v4(64, 0, 60));
        let mut datagram = udp(50000, 6635, &under);
        datagram[6..8].copy_from_slice(&[0x12, 0x34]);
        let delivered = ethernet(A, GATEWAY, 0x0800, &packet_v4(63, 0, 60));
        let answer = node.run("underlay_ingress", &carrier.over(17, &datagram));
        assert_eq!(answer, (REDIRECT, delivered));
        for length in [0, 8, 11, 200] {
            datagram[4..6].copy_from_slice(&u16::to_be_bytes(length));
            assert_drops(&mut node, DropReason::Malformed, &carrier.over(17, &datagram), "length");
        }
    }
}

#[test]
fn only_known_endpoints_of_the_instance_may_send() {
    let mut node = node();
    let under = stack(&[(PORT_LABEL, 0, true, 64)], &packet_v4(64, 0, 60));
    let stranger = Ipv4::new([10, 9, 0, 66], LOCAL, 17);
    for (protocol, payload) in [(17, udp(50000, 6635, &under)), (47, gre(0, &[], &under))] {
        let ip = Ipv4 { protocol, ..stranger };
        let arrival = ethernet(OURS, ROUTER, 0x0800, &ip.packet(&payload));
        assert_drops(&mut node, DropReason::UnknownEndpoint, &arrival, "IPv4");
        let packet = packet::ipv6(v6(0x66), v6(0x11), protocol, 64, &payload);
        let arrival = ethernet(OURS, ROUTER, 0x86dd, &packet);
        assert_drops(&mut node, DropReason::UnknownEndpoint, &arrival, "IPv6");
    }
    // Known, but in another instance.
    node.endpoint(mapped([10, 9, 0, 66]), BRIDGE);
    let arrival = ethernet(OURS, ROUTER, 0x0800, &stranger.packet(&udp(50000, 6635, &under)));
    assert_drops(&mut node, DropReason::UnknownEndpoint, &arrival, "another instance");
}

#[test]
fn fragments_are_refused() {
    let mut node = node();
    let under = stack(&[(PORT_LABEL, 0, true, 64)], &packet_v4(64, 0, 60));
    for (protocol, payload) in [(17, udp(50000, 6635, &under)), (47, gre(0, &[], &under))] {
        let ip = Ipv4 { fragment: 0x2000, ..Ipv4::new(REMOTE, LOCAL, protocol) };
        let first = ethernet(OURS, ROUTER, 0x0800, &ip.packet(&payload));
        assert_drops(&mut node, DropReason::OuterFragment, &first, "IPv4");
        let later = Ipv4 { fragment: 0x0010, ..ip };
        assert_passes_on(&mut node, &ethernet(OURS, ROUTER, 0x0800, &later.packet(&payload)), "later");
        let fragment = [&[protocol, 0, 0, 1, 0, 0, 0, 9][..], &payload].concat();
        let packet = packet::ipv6(v6(0x22), v6(0x11), 44, 64, &fragment);
        let first = ethernet(OURS, ROUTER, 0x86dd, &packet);
        assert_drops(&mut node, DropReason::OuterFragment, &first, "IPv6");
    }
}

#[test]
fn congestion_is_carried_inside() {
    let mut node = node();
    for (inside, outside, after) in [(2, 3, 3), (2, 1, 1), (0xb8 | 2, 3, 0xb8 | 3), (0, 2, 0)] {
        let under = stack(&[(PORT_LABEL, 0, true, 64)], &packet_v4(64, inside, 60));
        let ip = Ipv4 { traffic_class: outside, ..Ipv4::new(REMOTE, LOCAL, 47) };
        let arrival = ethernet(OURS, ROUTER, 0x0800, &ip.packet(&gre(0, &[], &under)));
        let delivered = ethernet(A, GATEWAY, 0x0800, &packet_v4(63, after, 60));
        assert_eq!(node.run("underlay_ingress", &arrival), (REDIRECT, delivered));
    }
    let under = stack(&[(PORT_LABEL, 0, true, 64)], &packet_v4(64, 0, 60));
    let ip = Ipv4 { traffic_class: 3, ..Ipv4::new(REMOTE, LOCAL, 17) };
    let arrival = ethernet(OURS, ROUTER, 0x0800, &ip.packet(&udp(50000, 6635, &under)));
    assert_drops(&mut node, DropReason::Ecn, &arrival, "not capable");
}

#[test]
fn what_is_not_ours_is_left_alone() {
    let mut node = node();
    let under = stack(&[(PORT_LABEL, 0, true, 64)], &packet_v4(64, 0, 60));
    let bare = ethernet(OURS, ROUTER, 0x8847, &under);
    for (packet, what) in [
        (ethernet(UNDERLAY, ROUTER, 0x8847, &under), "to another station"),
        (ethernet([0xff; 6], ROUTER, 0x8847, &under), "to all stations"),
        (ethernet(OURS, ROUTER, 0x8848, &under), "labels that we don't assign"),
        (tagged(&bare, 0x8100, 5), "in a VLAN: another network on the same wire"),
        (Carrier::Udp4.over(17, &udp(50000, 6636, &under)), "another port"),
        (
            ethernet(
                OURS,
                ROUTER,
                0x0800,
                &Ipv4::new(REMOTE, [10, 9, 0, 77], 17).packet(&udp(1, 6635, &under)),
            ),
            "another node's",
        ),
    ] {
        assert_passes_on(&mut node, &packet, what);
    }
    for reason in DropReason::ALL {
        assert_eq!(node.drops(*reason).packets, 0, "{reason:?}");
    }
}
