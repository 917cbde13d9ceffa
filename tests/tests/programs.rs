//! Each program by itself, fed with packets made by hand (BPF_PROG_TEST_RUN).

use aya::programs::TcAttachType;
use bagpipe_common::{
    Adjacency, Counters, DropReason, FloodScope, Port, Vpn, encap_flags, mapped, neighbor_flags,
};
use bagpipe_tests::isolated::{Namespace, ip, isolated};
use bagpipe_tests::packet::{self, Ipv4, Mac, ethernet, tagged, udp, vxlan};
use bagpipe_tests::programs::{
    Copy, NEXT, REDIRECT, SHOT, XDP_DROP, XDP_PASS, adjacent, encap, port, port_any_ip, remote, router,
};

const VPN: u16 = 7;
const VNI: u32 = 100;
/// The VNI that the remote endpoint advertised.
const REMOTE_VNI: u32 = 0x0a_0b_0c;
/// Hosts: on port 1, on the same port, on port 2, behind the remote endpoint, behind one without a route.
const A: Mac = [2, 0, 0, 0, 0, 0xa];
const A2: Mac = [2, 0, 0, 0, 0, 0xa2];
const C: Mac = [2, 0, 0, 0, 0, 0xc];
const B: Mac = [2, 0, 0, 0, 0, 0xb];
const LOST: Mac = [2, 0, 0, 0, 0, 0xd];
const NOBODY: Mac = [2, 0, 0, 0, 0, 0xe];
const ALL: Mac = [0xff; 6];
const IP_A: [u8; 4] = [192, 168, 0, 1];
const IP_B: [u8; 4] = [192, 168, 0, 2];
const LOCAL: [u8; 4] = [10, 9, 0, 1];
const REMOTE: [u8; 4] = [10, 9, 0, 2];
const ROUTER: Mac = [2, 0, 0, 0, 0xff, 2];
const UNDERLAY: Mac = [2, 0, 0, 0, 0xff, 1];
/// No interface has it: copies for it are refused, and nothing leaves the machine.
const ABSENT: u32 = 0x7fff_fff0;

const fn v6(last: u8) -> [u8; 16] {
    [0xfd, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, last]
}

/// A node: the loopback interface (that test runs come from) is port 1.
fn node() -> Copy {
    let mut node = Copy::load();
    node.vpn(VPN, Vpn { vni: VNI, local_ports: 2, remote_endpoints: 1 });
    node.interface(1, 1);
    node.port(1, Port { ifindex: 1, vpn: VPN, flags: 0 });
    node.port(2, Port { ifindex: ABSENT, vpn: VPN, flags: 0 });
    for (mac, target) in [(A, port(1)), (A2, port_any_ip(1)), (C, port(2)), (B, remote(1, REMOTE_VNI))] {
        node.mac(VPN, mac, target);
    }
    node.mac(VPN, LOST, remote(2, REMOTE_VNI));
    node.member(VPN, FloodScope::Local, 0, port(1));
    node.member(VPN, FloodScope::Local, 1, port(2));
    node.member(VPN, FloodScope::Remote, 0, remote(1, REMOTE_VNI));
    for (address, mac) in [(mapped(IP_A), A), (mapped(IP_B), B), (v6(1), A), (v6(2), B)] {
        node.neighbor(VPN, address, mac, 0);
    }
    node.next_hop(1, encap(LOCAL, REMOTE, ABSENT, 1500));
    node.tunnel(mapped(REMOTE), VNI, VPN);
    node.local(mapped(LOCAL));
    node
}

/// A UDP packet in a frame.
fn frame(destination: Mac, source: Mac, from: [u8; 4], payload: usize) -> Vec<u8> {
    let packet = Ipv4::new(from, IP_B, 17).packet(&udp(1000, 2000, &vec![0x55; payload]));
    ethernet(destination, source, 0x0800, &packet)
}

/// A VXLAN packet as it comes from the remote endpoint.
fn from_remote(inner: &[u8]) -> Vec<u8> {
    outer(Ipv4::new(REMOTE, LOCAL, 17), 8, VNI, inner)
}

fn outer(ip: Ipv4, flags: u8, vni: u32, inner: &[u8]) -> Vec<u8> {
    ethernet(UNDERLAY, ROUTER, 0x0800, &ip.packet(&udp(50000, 4789, &vxlan(flags, vni, inner))))
}

/// Runs a program and demands that it drops for a reason.
fn assert_drops(node: &mut Copy, reason: DropReason, program: &str, packet: &[u8]) {
    let before = node.drops(reason);
    let (action, _) = node.run(program, packet);
    let after = node.drops(reason);
    assert_eq!(after.packets, before.packets + 1, "{reason:?}: action {action}");
    assert!(after.bytes > before.bytes, "{reason:?}");
    assert!([SHOT, XDP_DROP, REDIRECT].contains(&action), "{reason:?}: action {action}");
}

/// Provokes a drop. A new reason does not compile without a case here.
fn provoke(reason: DropReason) {
    let mut node = node();
    let hello = frame(C, B, IP_B, 100);
    let (program, packet) = match reason {
        DropReason::Malformed => ("port_ingress", ethernet(B, A, 0x0800, &[0x65; 20])),
        DropReason::SourceMac => ("port_ingress", frame(B, NOBODY, IP_A, 100)),
        DropReason::SourceIp => ("port_ingress", frame(B, A, [192, 168, 0, 9], 100)),
        DropReason::LinkLocalMulticast => {
            ("port_ingress", ethernet([1, 0x80, 0xc2, 0, 0, 14], A, 0x88cc, &[0; 46]))
        }
        DropReason::NoMember => {
            node.vpn(VPN, Vpn { vni: VNI, local_ports: 1, remote_endpoints: 0 });
            ("port_ingress", frame(ALL, A, IP_A, 100))
        }
        DropReason::NoNextHop => ("port_ingress", frame(LOST, A, IP_A, 100)),
        DropReason::NoPort => {
            node.port(2, Port { ifindex: 0, vpn: VPN, flags: 0 });
            ("port_ingress", frame(C, A, IP_A, 100))
        }
        DropReason::TooBig => ("port_ingress", ethernet(B, A, 0x88b5, &[0; 1460])),
        DropReason::TunnelInTunnel => return provoke_tunnel_in_tunnel(),
        DropReason::Encapsulation => return provoke_encapsulation(),
        DropReason::BadVxlanHeader => {
            ("underlay_ingress", outer(Ipv4::new(REMOTE, LOCAL, 17), 0, VNI, &hello))
        }
        DropReason::UnknownVni => ("underlay_ingress", outer(Ipv4::new(REMOTE, LOCAL, 17), 8, 999, &hello)),
        DropReason::UnknownEndpoint => {
            ("underlay_ingress", outer(Ipv4::new([10, 9, 0, 66], LOCAL, 17), 8, VNI, &hello))
        }
        DropReason::OuterFragment => {
            let first = Ipv4 { fragment: 0x2000, ..Ipv4::new(REMOTE, LOCAL, 17) };
            ("underlay_ingress", outer(first, 8, VNI, &hello))
        }
        DropReason::Ecn => {
            let marked = Ipv4 { traffic_class: 3, ..Ipv4::new(REMOTE, LOCAL, 17) };
            ("underlay_ingress", outer(marked, 8, VNI, &hello))
        }
        DropReason::SplitHorizon => ("underlay_ingress", from_remote(&frame(B, NOBODY, IP_B, 100))),
        DropReason::Unattached => {
            node = Copy::load();
            ("port_ingress", frame(B, A, IP_A, 100))
        }
        DropReason::StrayTunnel => ("stray_ingress", hello),
        DropReason::SamePort => ("port_ingress", frame(A2, A, IP_A, 100)),
        // Provoked in `programs_mpls.rs`.
        DropReason::UnknownLabel | DropReason::BadLabelStack | DropReason::BadGreHeader => return,
        DropReason::NoRoute | DropReason::TtlExceeded | DropReason::NotRoutable => {
            node.mac(VPN, NOBODY, router(VPN));
            let ip = Ipv4 { ttl: 1, ..Ipv4::new(IP_A, IP_B, 17) };
            if reason == DropReason::TtlExceeded {
                node.host(VPN, mapped(IP_B), adjacent(1));
                node.adjacency(1, Adjacency { vpn: VPN, target: port(2), ..Adjacency::default() });
            }
            let ethertype = if reason == DropReason::NotRoutable { 0x88b5 } else { 0x0800 };
            ("port_ingress", ethernet(NOBODY, A, ethertype, &ip.packet(&udp(1, 2, &[0; 30]))))
        }
    };
    assert_drops(&mut node, reason, program, &packet);
    if program == "underlay_ingress" {
        assert_drops(&mut node, reason, "underlay_xdp", &packet);
    }
}

/// A packet that claims to be segments of nothing that the kernel knows: it does not let a program change it.
fn provoke_encapsulation() {
    let mut node = node();
    node.run_segments("port_ingress", &frame(B, A, IP_A, 1000), 500);
    assert_eq!(node.drops(DropReason::Encapsulation).packets, 1);
}

/// Segments in a tenant's own tunnel, from a host with offloads.
fn provoke_tunnel_in_tunnel() {
    let mut node = node();
    let host = Namespace::new();
    ip(&["link", "add", "port", "type", "veth", "peer", "name", "eth0", "netns", host.name()]);
    ip(&["link", "set", "port", "up"]);
    let tunnel = "type vxlan id 55 dstport 4789 local 192.168.0.1 remote 192.168.0.2";
    for command in [
        "link set eth0 address 02:00:00:00:00:0a",
        "link set eth0 up",
        "addr add 192.168.0.1/24 dev eth0",
        "neigh add 192.168.0.2 lladdr 02:00:00:00:00:0b dev eth0",
        &format!("link add tunnel {tunnel}"),
        "link set tunnel up mtu 1300",
        "addr add 10.55.0.1/24 dev tunnel",
        "neigh add 10.55.0.2 lladdr 02:00:00:00:00:55 dev tunnel",
    ] {
        host.ip(&command.split(' ').collect::<Vec<_>>());
    }
    let ifindex = std::fs::read_to_string("/sys/class/net/port/ifindex").expect("the interface");
    node.interface(ifindex.trim().parse().expect("an index"), 1);
    node.classifier("port_ingress").attach("port", TcAttachType::Ingress).expect("the program attaches");
    // UDP_SEGMENT: one packet of five datagrams.
    let send = "import socket; s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); \
                s.setsockopt(17, 103, 1000); s.sendto(bytes(5000), ('10.55.0.2', 9))";
    let _ = host.run("python3", &["-c", send]);
    assert_eq!(node.drops(DropReason::TunnelInTunnel).packets, 1);
}

#[test]
fn every_drop_reason_is_counted() {
    isolated("every_drop_reason_is_counted", || {
        for reason in DropReason::ALL {
            provoke(*reason);
        }
    });
}

/// What an encapsulated frame must look like: the port is the program's choice.
fn assert_encapsulated(output: &[u8], inner: &[u8], traffic_class: u8) {
    let port = u16::from_be_bytes([output[34], output[35]]);
    assert!(port >= 49_152, "source port {port}");
    let ip = Ipv4 { traffic_class, ..Ipv4::new(LOCAL, REMOTE, 17) };
    let expected = ip.packet(&udp(port, 4789, &vxlan(8, REMOTE_VNI, inner)));
    assert_eq!(output, ethernet(ROUTER, UNDERLAY, 0x0800, &expected));
}

#[test]
fn a_frame_for_a_remote_host_is_encapsulated() {
    let mut node = node();
    let inner = frame(B, A, IP_A, 100);
    let (action, output) = node.run("port_ingress", &inner);
    assert_eq!(action, REDIRECT);
    assert_encapsulated(&output, &inner, 0);
    let length = inner.len() as u64;
    let expected = Counters { rx_packets: 1, rx_bytes: length, ..Counters::default() };
    assert_eq!(node.counters("PORT_STATS", 1), expected);
    assert_eq!(node.counters("VPN_STATS", VPN.into()), expected);
}

#[test]
fn dscp_and_ecn_are_copied_outside() {
    let ip = Ipv4 { traffic_class: 0xb9, ..Ipv4::new(IP_A, IP_B, 17) };
    let inner = ethernet(B, A, 0x0800, &ip.packet(&udp(1, 2, &[0; 30])));
    let (_, output) = node().run("port_ingress", &inner);
    assert_encapsulated(&output, &inner, 0xb9);
}

#[test]
fn frames_of_any_kind_are_encapsulated() {
    let ip = frame(B, A, IP_A, 100);
    let extension =
        packet::ipv6(v6(1), v6(2), 0, 64, &[&[17, 0, 1, 4, 0, 0, 0, 0][..], &udp(1, 2, &[0; 20])].concat());
    for inner in [
        ethernet(B, A, 0x88b5, &[7; 46]),
        ethernet(B, A, 40, &[7; 46]),
        ethernet(B, A, 0x86dd, &extension),
        tagged(&ip, 0x8100, 5),
        tagged(&tagged(&ip, 0x8100, 6), 0x88a8, 5),
        ethernet(B, A, 0x88b5, &[]),
    ] {
        let (action, output) = node().run("port_ingress", &inner);
        assert_eq!(action, REDIRECT, "{inner:02x?}");
        assert_encapsulated(&output, &inner, 0);
    }
}

#[test]
fn an_ipv6_underlay_carries_frames() {
    let mut node = node();
    let mut hop = encap(LOCAL, REMOTE, ABSENT, 1500);
    (hop.local, hop.remote, hop.flags) = (v6(0x11), v6(0x22), encap_flags::RESOLVED | encap_flags::IPV6);
    node.next_hop(1, hop);
    for inner in [frame(B, A, IP_A, 100), ethernet(B, A, 0x88b5, &[7; 46])] {
        let (action, output) = node.run("port_ingress", &inner);
        assert_eq!(action, REDIRECT);
        let port = u16::from_be_bytes([output[54], output[55]]);
        let flow = [output[15], output[16], output[17]];
        let mut expected =
            packet::ipv6(v6(0x11), v6(0x22), 17, 64, &udp(port, 4789, &vxlan(8, REMOTE_VNI, &inner)));
        expected[1..4].copy_from_slice(&flow);
        assert_eq!(output, ethernet(ROUTER, UNDERLAY, 0x86dd, &expected));
    }
    node.local(v6(0x11));
    node.tunnel(v6(0x22), VNI, VPN);
    for inner in [frame(C, B, IP_B, 100), ethernet(C, B, 0x88b5, &[7; 46])] {
        let packet = packet::ipv6(v6(0x22), v6(0x11), 17, 64, &udp(50000, 4789, &vxlan(8, VNI, &inner)));
        let packet = ethernet(UNDERLAY, ROUTER, 0x86dd, &packet);
        for (program, action) in [("underlay_ingress", REDIRECT), ("underlay_xdp", XDP_PASS)] {
            assert_eq!(node.run(program, &packet), (action, inner.clone()), "{program}");
        }
    }
}

#[test]
fn a_frame_from_a_remote_host_is_decapsulated() {
    let mut node = node();
    for inner in [
        frame(C, B, IP_B, 100),
        ethernet(C, B, 0x0806, &packet::arp(2, (B, IP_B), (C, [192, 168, 0, 3]))),
        ethernet(C, B, 0x88b5, &[7; 46]),
    ] {
        assert_eq!(node.run("underlay_ingress", &from_remote(&inner)), (REDIRECT, inner.clone()));
        assert_eq!(node.run("underlay_xdp", &from_remote(&inner)), (XDP_PASS, inner));
    }
    assert_eq!(node.counters("PORT_STATS", 2).tx_packets, 3);
}

#[test]
fn tags_come_out_of_the_tunnel() {
    let ip = frame(C, B, IP_B, 100);
    for inner in [tagged(&ip, 0x8100, 5), tagged(&tagged(&ip, 0x8100, 6), 0x88a8, 5)] {
        let (action, output) = node().run("underlay_xdp", &from_remote(&inner));
        assert_eq!((action, output), (XDP_PASS, inner.clone()));
        // The outermost tag is the kernel's, beside the packet.
        let (action, output) = node().run("underlay_ingress", &from_remote(&inner));
        assert_eq!((action, output), (REDIRECT, [&inner[..12], &inner[16..]].concat()));
    }
}

#[test]
fn short_frames_are_padded() {
    let inner = ethernet(C, B, 0x88b5, &[7; 4]);
    let (action, output) = node().run("underlay_ingress", &from_remote(&inner));
    assert_eq!((action, output), (REDIRECT, ethernet(C, B, 0x88b5, &[&[7; 4][..], &[0; 42]].concat())));
}

#[test]
fn congestion_is_carried_inside() {
    let inner = |traffic_class| {
        let ip = Ipv4 { traffic_class, ..Ipv4::new(IP_B, IP_A, 17) };
        ethernet(C, B, 0x0800, &ip.packet(&udp(1, 2, &[0; 30])))
    };
    let mut node = node();
    for (inside, outside, after) in [(2, 3, 3), (1, 3, 3), (2, 1, 1), (0, 2, 0), (0xb8 | 2, 3, 0xb8 | 3)] {
        let ip = Ipv4 { traffic_class: outside, ..Ipv4::new(REMOTE, LOCAL, 17) };
        let packet = outer(ip, 8, VNI, &inner(inside));
        for (program, action) in [("underlay_ingress", REDIRECT), ("underlay_xdp", XDP_PASS)] {
            assert_eq!(node.run(program, &packet), (action, inner(after)), "{program} {inside} {outside}");
        }
    }
}

#[test]
fn what_is_not_ours_is_left_alone() {
    let mut node = node();
    let hello = frame(C, B, IP_B, 100);
    let to = |destination| outer(Ipv4::new(REMOTE, destination, 17), 8, VNI, &hello);
    let mut other_port = from_remote(&hello);
    other_port[36..38].copy_from_slice(&4790u16.to_be_bytes());
    let later_fragment = Ipv4 { fragment: 0x0010, ..Ipv4::new(REMOTE, LOCAL, 17) };
    for packet in [
        hello.clone(),
        to([10, 9, 0, 77]),
        other_port,
        outer(later_fragment, 8, VNI, &hello),
        ethernet(UNDERLAY, ROUTER, 0x0806, &packet::arp(1, (ROUTER, REMOTE), ([0; 6], LOCAL))),
        tagged(&from_remote(&hello), 0x8100, 5),
    ] {
        assert_eq!(node.run("underlay_ingress", &packet), (NEXT, packet.clone()));
        assert_eq!(node.run("underlay_xdp", &packet), (XDP_PASS, packet));
    }
    for reason in DropReason::ALL {
        assert_eq!(node.drops(*reason).packets, 0, "{reason:?}");
    }
}

#[test]
fn a_port_speaks_for_its_own_mac_addresses_only() {
    let mut node = node();
    for source in [C, B, ALL] {
        let frame = ethernet(B, source, 0x88b5, &[0; 46]);
        assert_drops(&mut node, DropReason::SourceMac, "port_ingress", &frame);
    }
}

/// As while the agent gives a port's number to a port of another instance.
#[test]
fn a_port_of_another_instance_gets_nothing() {
    let mut node = node();
    node.port(2, Port { ifindex: ABSENT, vpn: VPN + 1, flags: 0 });
    assert_drops(&mut node, DropReason::NoPort, "port_ingress", &frame(C, A, IP_A, 100));
    assert_drops(&mut node, DropReason::NoPort, "underlay_ingress", &from_remote(&frame(C, B, IP_B, 100)));
}

#[test]
fn a_flooded_frame_that_is_too_big_is_counted() {
    assert_drops(&mut node(), DropReason::TooBig, "port_ingress", &ethernet(ALL, A, 0x88b5, &[0; 1460]));
}

#[test]
fn lengths_beyond_the_packet_are_malformed() {
    let mut node = node();
    let whole = from_remote(&frame(C, B, IP_B, 100));
    // Of UDP: more than there is, and less than its own header needs.
    for length in [u16::MAX, 8] {
        let mut packet = whole.clone();
        packet[38..40].copy_from_slice(&length.to_be_bytes());
        for program in ["underlay_ingress", "underlay_xdp"] {
            assert_drops(&mut node, DropReason::Malformed, program, &packet);
        }
    }
    // Of IP.
    let mut packet = whole;
    packet[16..18].copy_from_slice(&u16::MAX.to_be_bytes());
    packet[24..26].fill(0);
    let sum = packet::checksum(&packet[14..34]);
    packet[24..26].copy_from_slice(&sum.to_be_bytes());
    for program in ["underlay_ingress", "underlay_xdp"] {
        assert_drops(&mut node, DropReason::Malformed, program, &packet);
    }
}

#[test]
fn truncated_packets_never_pass() {
    let whole = from_remote(&frame(C, B, IP_B, 100));
    let mut node = node();
    for length in 14..whole.len() {
        // The kernel itself makes no packet of less than an IPv4 header.
        if length >= 34 {
            let (action, _) = node.run("underlay_ingress", &whole[..length]);
            assert!([NEXT, SHOT].contains(&action), "{length} bytes: {action}");
        }
        let (action, output) = node.run("underlay_xdp", &whole[..length]);
        assert!(action == XDP_DROP || output == whole[..length], "{length} bytes: {action}");
    }
}

#[test]
fn arp_for_a_known_address_is_answered() {
    let mut node = node();
    let request = ethernet(ALL, A, 0x0806, &packet::arp(1, (A, IP_A), ([0; 6], IP_B)));
    let reply = ethernet(A, B, 0x0806, &packet::arp(2, (B, IP_B), (A, IP_A)));
    assert_eq!(node.run("port_ingress", &request), (REDIRECT, reply));
    // A probe (RFC 5227) is answered, too.
    let probe = ethernet(ALL, A, 0x0806, &packet::arp(1, (A, [0; 4]), ([0; 6], IP_B)));
    let reply = ethernet(A, B, 0x0806, &packet::arp(2, (B, IP_B), (A, [0; 4])));
    assert_eq!(node.run("port_ingress", &probe), (REDIRECT, reply));
}

#[test]
fn other_arp_is_forwarded() {
    let mut node = node();
    // Who is behind the same port hears the request itself.
    node.neighbor(VPN, mapped([192, 168, 0, 3]), A2, 0);
    for (destination, target) in [(ALL, IP_A), (ALL, [192, 168, 0, 3]), (ALL, [192, 168, 0, 99]), (B, IP_B)] {
        let request = ethernet(destination, A, 0x0806, &packet::arp(1, (A, IP_A), ([0; 6], target)));
        let (action, output) = node.run("port_ingress", &request);
        assert_eq!(action, REDIRECT);
        assert_encapsulated(&output, &request, 0);
    }
}

#[test]
fn arp_for_another_is_refused() {
    let mut node = node();
    let lie = ethernet(ALL, A, 0x0806, &packet::arp(2, (A, IP_B), ([0; 6], IP_B)));
    assert_drops(&mut node, DropReason::SourceIp, "port_ingress", &lie);
    let lie = ethernet(ALL, A, 0x0806, &packet::arp(2, (B, IP_B), ([0; 6], IP_B)));
    assert_drops(&mut node, DropReason::SourceMac, "port_ingress", &lie);
}

#[test]
fn arp_of_another_hardware_type_is_no_way_round_the_checks() {
    let mut node = node();
    // Linux takes type 6, IEEE 802, for Ethernet.
    let mut lie = ethernet(ALL, A, 0x0806, &packet::arp(2, (A, IP_B), ([0; 6], IP_B)));
    lie[15] = 6;
    assert_drops(&mut node, DropReason::SourceIp, "port_ingress", &lie);
    // The sender of any other format is where nobody looks.
    for (at, value) in [(15, 24), (16, 0x86), (18, 8), (19, 16)] {
        let mut odd = ethernet(ALL, A, 0x0806, &packet::arp(2, (A, IP_A), ([0; 6], IP_B)));
        odd[at] = value;
        assert_drops(&mut node, DropReason::Malformed, "port_ingress", &odd);
    }
}

const SOLICITED_NODE: [u8; 16] = [0xff, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0xff, 0, 0, 2];
const GROUP: Mac = [0x33, 0x33, 0xff, 0, 0, 2];
const ALL_NODES: [u8; 16] = [0xff, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1];

#[test]
fn solicitations_for_a_known_address_are_answered() {
    let mut node = node();
    for option in [Some((1, A)), None] {
        let request = packet::neighbor(v6(1), SOLICITED_NODE, 135, 0, v6(2), option);
        let reply = packet::neighbor(v6(2), v6(1), 136, 0x60, v6(2), Some((2, B)));
        let answer = node.run("port_ingress", &ethernet(GROUP, A, 0x86dd, &request));
        assert_eq!(answer, (REDIRECT, ethernet(A, B, 0x86dd, &reply)));
    }
    // Duplicate address detection: all nodes are told (RFC 4861 §7.2.4).
    node.neighbor(VPN, v6(2), B, neighbor_flags::ROUTER);
    let request = packet::neighbor([0; 16], SOLICITED_NODE, 135, 0, v6(2), None);
    let reply = packet::neighbor(v6(2), ALL_NODES, 136, 0xa0, v6(2), Some((2, B)));
    let answer = node.run("port_ingress", &ethernet(GROUP, A, 0x86dd, &request));
    assert_eq!(answer, (REDIRECT, ethernet([0x33, 0x33, 0, 0, 0, 1], B, 0x86dd, &reply)));
}

#[test]
fn other_neighbor_discovery_is_forwarded() {
    let mut node = node();
    for (destination, packet) in [
        (GROUP, packet::neighbor(v6(1), SOLICITED_NODE, 135, 0, v6(9), Some((1, A)))),
        (GROUP, packet::neighbor([0; 16], SOLICITED_NODE, 135, 0, v6(1), None)),
        (B, packet::neighbor(v6(1), v6(2), 135, 0, v6(2), Some((1, A)))),
        ([0x33, 0x33, 0, 0, 0, 1], packet::neighbor(v6(1), ALL_NODES, 136, 0x20, v6(1), Some((2, A)))),
    ] {
        let request = ethernet(destination, A, 0x86dd, &packet);
        let (action, output) = node.run("port_ingress", &request);
        assert_eq!(action, REDIRECT);
        assert_encapsulated(&output, &request, 0);
    }
}

#[test]
fn neighbor_discovery_for_another_is_refused() {
    let mut node = node();
    let group = [0x33, 0x33, 0, 0, 0, 1];
    let advertise = |source, target, mac| {
        ethernet(group, A, 0x86dd, &packet::neighbor(source, ALL_NODES, 136, 0x20, target, Some((2, mac))))
    };
    assert_drops(&mut node, DropReason::SourceIp, "port_ingress", &advertise(v6(1), v6(2), A));
    assert_drops(&mut node, DropReason::SourceMac, "port_ingress", &advertise(v6(1), v6(1), B));
    assert_drops(&mut node, DropReason::SourceIp, "port_ingress", &advertise(v6(2), v6(1), A));
    // Nor behind an extension header.
    let hidden = packet::icmpv6(v6(1), ALL_NODES, 136, &[&[0x20, 0, 0, 0][..], &v6(2)].concat());
    let hidden = [&[58, 0, 1, 4, 0, 0, 0, 0][..], &hidden].concat();
    let hidden = ethernet(group, A, 0x86dd, &packet::ipv6(v6(1), ALL_NODES, 0, 255, &hidden));
    assert_drops(&mut node, DropReason::SourceIp, "port_ingress", &hidden);
    // However many there are of them.
    let lie = packet::icmpv6(v6(1), ALL_NODES, 136, &[&[0x20, 0, 0, 0][..], &v6(2)].concat());
    let many = [&[60, 0, 1, 4, 0, 0, 0, 0].repeat(6)[..], &[58, 0, 1, 4, 0, 0, 0, 0], &lie].concat();
    let many = ethernet(group, A, 0x86dd, &packet::ipv6(v6(1), ALL_NODES, 60, 255, &many));
    assert_drops(&mut node, DropReason::Malformed, "port_ingress", &many);
    // Nor by an option that the length in the header leaves out: with hop-by-hop options and a length of zero
    // Linux reads to the end of the frame.
    let body = [&[0x20, 0, 0, 0][..], &v6(1), &[2, 1], &B].concat();
    let beyond = packet::icmpv6(v6(1), ALL_NODES, 136, &body);
    let beyond = [&[58, 0, 1, 4, 0, 0, 0, 0][..], &beyond].concat();
    let mut beyond = ethernet(group, A, 0x86dd, &packet::ipv6(v6(1), ALL_NODES, 0, 255, &beyond));
    beyond[18..20].fill(0);
    assert_drops(&mut node, DropReason::Malformed, "port_ingress", &beyond);
    // A link-local address is free until it is another's.
    let local = [0xfe, 0x80, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1];
    assert_eq!(node.run("port_ingress", &advertise(local, local, A)).0, REDIRECT);
    node.neighbor(VPN, local, B, 0);
    assert_drops(&mut node, DropReason::SourceIp, "port_ingress", &advertise(local, local, A));
}

#[test]
fn any_ip_is_any_that_no_other_has() {
    let mut node = node();
    assert_eq!(node.run("port_ingress", &frame(B, A2, [172, 16, 0, 1], 10)).0, REDIRECT);
    assert_drops(&mut node, DropReason::SourceIp, "port_ingress", &frame(B, A2, IP_B, 10));
    assert_eq!(node.run("port_ingress", &frame(B, A, [0; 4], 10)).0, REDIRECT);
    // A priority tag is no other network; a VLAN is.
    let spoofed = frame(B, A, IP_B, 10);
    assert_drops(&mut node, DropReason::Malformed, "port_ingress", &tagged(&spoofed, 0x8100, 0xe000));
    assert_eq!(node.run("port_ingress", &tagged(&spoofed, 0x8100, 5)).0, REDIRECT);
}

#[test]
fn a_too_big_ipv4_packet_is_answered() {
    for fragment in [0x4000, 0] {
        let mut node = node();
        let ip = Ipv4 { fragment, ..Ipv4::new(IP_A, IP_B, 17) };
        let request = ip.packet(&udp(1, 2, &[0x5a; 1431]));
        let (action, output) = node.run("port_ingress", &ethernet(B, A, 0x0800, &request));
        assert_eq!(action, REDIRECT);
        let mut icmp = [&[3, 4, 0, 0][..], &1450u32.to_be_bytes(), &request[..548]].concat();
        let sum = packet::checksum(&icmp);
        icmp[2..4].copy_from_slice(&sum.to_be_bytes());
        let reply = Ipv4 { traffic_class: 0xc0, ..Ipv4::new(IP_B, IP_A, 1) }.packet(&icmp);
        assert_eq!(output, ethernet(A, B, 0x0800, &reply));
        assert_eq!(node.drops(DropReason::TooBig).packets, 1);
    }
    let (_, output) = node().run("port_ingress", &frame(B, A, IP_A, 1422));
    assert_eq!(output.len(), 1514, "the largest that fits");
}

#[test]
fn a_too_big_ipv6_packet_is_answered() {
    let mut node = node();
    let request = packet::ipv6(v6(1), v6(2), 17, 64, &udp(1, 2, &[0x5a; 1431]));
    let (action, output) = node.run("port_ingress", &ethernet(B, A, 0x86dd, &request));
    assert_eq!(action, REDIRECT);
    let body = [&1450u32.to_be_bytes()[..], &request[..1232]].concat();
    let reply = packet::ipv6(v6(2), v6(1), 58, 64, &packet::icmpv6(v6(2), v6(1), 2, &body));
    assert_eq!(output, ethernet(A, B, 0x86dd, &reply));
    // No error about an error (RFC 4443 §2.4 e).
    let error = packet::icmpv6(v6(1), v6(2), 2, &[0; 1440]);
    let error = ethernet(B, A, 0x86dd, &packet::ipv6(v6(1), v6(2), 58, 64, &error));
    assert_eq!(node.run("port_ingress", &error).0, SHOT);
    assert_eq!(node.drops(DropReason::TooBig).packets, 2);
}

#[test]
fn unresolved_next_hops_are_left_to_the_kernel() {
    let mut node = node();
    let mut hop = encap(LOCAL, REMOTE, 1, 1500);
    hop.flags = 0;
    node.next_hop(1, hop);
    let inner = frame(B, A, IP_A, 100);
    let (action, output) = node.run("port_ingress", &inner);
    assert_eq!(action, REDIRECT);
    assert_encapsulated(&output, &inner, 0);
}

#[test]
fn every_remote_endpoint_gets_a_copy_of_either_family() {
    let mut node = node();
    node.vpn(VPN, Vpn { vni: VNI, local_ports: 2, remote_endpoints: 4 });
    let mut over_ipv6 = encap(LOCAL, REMOTE, ABSENT, 1500);
    (over_ipv6.local, over_ipv6.remote) = (v6(0x11), v6(0x22));
    over_ipv6.flags |= encap_flags::IPV6;
    node.next_hop(3, over_ipv6);
    node.next_hop(4, encap(LOCAL, REMOTE, ABSENT, 1500));
    for (index, hop) in [(0, 4), (1, 3), (2, 3), (3, 1)] {
        node.member(VPN, FloodScope::Remote, index, remote(hop, REMOTE_VNI));
    }
    for inner in [
        frame(ALL, A, IP_A, 100),
        frame(NOBODY, A, IP_A, 100),
        ethernet(ALL, A, 0x88b5, &[7; 46]),
        tagged(&frame(ALL, A, IP_A, 100), 0x8100, 5),
    ] {
        let before = node.drops(DropReason::NoNextHop).packets;
        let (action, output) = node.run("port_ingress", &inner);
        assert_eq!(action, REDIRECT);
        assert_encapsulated(&output, &inner, 0);
        // The copies went to an interface that is not there; the last one is the packet itself.
        assert_eq!(node.drops(DropReason::NoNextHop).packets, before + 3);
    }
    assert_eq!(node.drops(DropReason::Encapsulation).packets, 0);
}

/// Logging takes stack and steps, of which the kernel gives a program only so many.
#[test]
fn programs_built_for_debugging_load() {
    drop(Copy::load_logging());
}
