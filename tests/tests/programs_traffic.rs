//! The programs on real interfaces: two nodes' programs between two hosts, and one node against the kernel's own
//! VXLAN device. Maps are filled by hand.

use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};

use aya::programs::tc::TcAttachOptions;
use aya::programs::{LinkOrder, TcAttachType, XdpMode};
use bagpipe_common::{DropReason, FloodScope, Port, Vpn, encap_flags, mapped, port_flags};
use bagpipe_tests::cable::{Server, assert_flows, ifindex, ping, report, tcp, text, underlay};
use bagpipe_tests::isolated::{Namespace, ip, isolated};
use bagpipe_tests::packet::{Ipv4, Mac, ethernet, tagged, udp};
use bagpipe_tests::programs::{Copy, encap, port_any_ip, remote};
use bagpipe_tests::traffic::TAGGED;

const VPN: u16 = 7;
const VNI: u32 = 100;
const A: Mac = [2, 0, 0, 0, 0, 0xa];
const B: Mac = [2, 0, 0, 0, 0, 0xb];
const UNDERLAY_1: [u8; 4] = [10, 9, 0, 1];
const UNDERLAY_2: [u8; 4] = [10, 9, 0, 2];

/// A host in a namespace of its own, at the other end of a port of this one.
fn host(port: &str, mac: Mac, number: u8, mtu: &str) -> Namespace {
    let host = Namespace::new();
    let mac = text(mac);
    ip(&["link", "add", port, "type", "veth", "peer", "name", "eth0", "address", &mac, "netns", host.name()]);
    ip(&["link", "set", port, "up", "mtu", mtu]);
    host.ip(&["link", "set", "eth0", "up", "mtu", mtu]);
    host.ip(&["addr", "add", &format!("192.168.0.{number}/24"), "dev", "eth0"]);
    host.ip(&["addr", "add", &format!("fd00::{number}/64"), "dev", "eth0", "nodad"]);
    host
}

/// A node's programs: one port, one remote endpoint.
fn node(port: &str, underlay: &str, local: (Mac, [u8; 4]), other: (Mac, [u8; 4]), flags: u16) -> Copy {
    let mut node = Copy::load();
    node.vpn(VPN, Vpn { vni: VNI, local_ports: 1, remote_endpoints: 1 });
    node.port(1, Port { ifindex: ifindex(port), vpn: VPN, flags });
    node.interface(ifindex(port), 1);
    node.mac(VPN, local.0, port_any_ip(1));
    node.mac(VPN, other.0, remote(1, VNI));
    node.member(VPN, FloodScope::Local, 0, port_any_ip(1));
    node.member(VPN, FloodScope::Remote, 0, remote(1, VNI));
    let mut hop = encap(local.1, other.1, ifindex(underlay), 1500);
    if underlay == "u2" {
        std::mem::swap(&mut hop.source_mac, &mut hop.destination_mac);
    }
    node.next_hop(1, hop);
    node.tunnel(mapped(other.1), VNI, VPN);
    node.local(mapped(local.1));
    for (program, interface) in [("port_ingress", port), ("underlay_ingress", underlay)] {
        let program = node.classifier(program);
        program.attach(interface, TcAttachType::Ingress).expect("the program attaches");
    }
    node
}

fn two_nodes(flags: u16) -> (Copy, Copy, Namespace, Namespace) {
    underlay();
    let a = host("pa", A, 1, "1450");
    let b = host("pb", B, 2, "1450");
    let one = node("pa", "u1", (A, UNDERLAY_1), (B, UNDERLAY_2), flags);
    let two = node("pb", "u2", (B, UNDERLAY_2), (A, UNDERLAY_1), flags);
    (one, two, a, b)
}

fn exercise(flags: u16) {
    let (one, two, a, b) = two_nodes(flags);
    ping(&a, &["192.168.0.2"]);
    ping(&b, &["fd00::1"]);
    let _server = Server::new(&b);
    assert_flows(tcp(&a, "192.168.0.2"), "TCP over IPv4");
    assert_flows(tcp(&a, "fd00::2"), "TCP over IPv6");
    for host in [&a, &b] {
        let _ = host.run("ethtool", &["-K", "eth0", "tso", "off", "gso", "off"]);
    }
    assert_flows(tcp(&a, "192.168.0.2"), "TCP in single segments");
    let _ = a.run("ethtool", &["-K", "eth0", "tx", "off"]);
    assert_flows(tcp(&a, "192.168.0.2"), "TCP without checksum offload");
    report(&[&one, &two]);
    assert_eq!(one.drops(DropReason::Encapsulation).packets, 0);
    assert_eq!(two.drops(DropReason::Encapsulation).packets, 0);
}

#[test]
fn hosts_talk_through_the_other_end_of_the_veth() {
    isolated("hosts_talk_through_the_other_end_of_the_veth", || exercise(port_flags::REDIRECT_PEER));
}

#[test]
fn hosts_talk_through_the_port() {
    isolated("hosts_talk_through_the_port", || exercise(0));
}

fn exercise_driver(flags: u16) {
    let (mut one, mut two, a, b) = two_nodes(flags);
    for (node, interface) in [(&mut one, "u1"), (&mut two, "u2")] {
        let program = node.xdp("underlay_xdp");
        program.attach(interface, XdpMode::Driver).expect("the program attaches");
    }
    // A program that comes first, knows no tunnel, and so delivers only what was decapsulated before it.
    let mut first = Copy::load();
    first.vpn(VPN, Vpn { vni: VNI, local_ports: 1, remote_endpoints: 0 });
    first.port(1, Port { ifindex: ifindex("pb"), vpn: VPN, flags });
    first.member(VPN, FloodScope::Local, 0, port_any_ip(1));
    let order = TcAttachOptions::TcxOrder(LinkOrder::first());
    let program = first.classifier("underlay_ingress");
    program.attach_with_options("u2", TcAttachType::Ingress, order).expect("the program attaches");
    ping(&a, &["192.168.0.2"]);
    ping(&b, &["fd00::1"]);
    // What the hosts sent of their own accord before all programs were attached.
    let before = two.counters("PORT_STATS", 1).tx_packets;
    let _server = Server::new(&b);
    assert_flows(tcp(&a, "192.168.0.2"), "TCP, decapsulated in the driver");
    report(&[&one, &two, &first]);
    assert_ne!(first.counters("PORT_STATS", 1).tx_packets, 0);
    assert_eq!(two.counters("PORT_STATS", 1).tx_packets, before, "decapsulated behind the driver");
}

#[test]
fn decapsulated_in_the_driver() {
    isolated("decapsulated_in_the_driver", || exercise_driver(port_flags::REDIRECT_PEER));
}

#[test]
fn decapsulated_in_the_driver_and_sent_through_the_port() {
    isolated("decapsulated_in_the_driver_and_sent_through_the_port", || exercise_driver(0));
}

#[test]
fn hosts_talk_over_an_ipv6_underlay() {
    isolated("hosts_talk_over_an_ipv6_underlay", || {
        let (mut one, mut two, a, b) = two_nodes(port_flags::REDIRECT_PEER);
        let address = |last| [0xfd, 9, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, last];
        for (node, end, local, remote) in [(&mut one, "u1", 1, 2), (&mut two, "u2", 2, 1)] {
            let mut hop = encap(UNDERLAY_1, UNDERLAY_2, ifindex(end), 1500);
            (hop.local, hop.remote) = (address(local), address(remote));
            hop.flags |= encap_flags::IPV6;
            if end == "u2" {
                std::mem::swap(&mut hop.source_mac, &mut hop.destination_mac);
            }
            node.next_hop(1, hop);
            node.tunnel(address(remote), VNI, VPN);
            node.local(address(local));
        }
        for host in [&a, &b] {
            host.ip(&["link", "set", "eth0", "mtu", "1430"]);
        }
        ping(&a, &["192.168.0.2"]);
        ping(&b, &["fd00::1"]);
        let _server = Server::new(&b);
        assert_flows(tcp(&a, "192.168.0.2"), "TCP over an IPv6 underlay");
        for end in ["u1", "u2"] {
            let arguments = ["-K", end, "tso", "off", "gso", "off", "tx-udp_tnl-segmentation", "off"];
            assert!(Command::new("ethtool").args(arguments).status().expect("ethtool runs").success());
        }
        assert_flows(tcp(&a, "192.168.0.2"), "TCP over an IPv6 underlay, segmented before it");
        report(&[&one, &two]);
    });
}

#[test]
fn segments_of_mtu_size_cross_the_underlay() {
    isolated("segments_of_mtu_size_cross_the_underlay", || {
        let (one, two, a, b) = two_nodes(port_flags::REDIRECT_PEER);
        for end in ["u1", "u2"] {
            let output = Command::new("ethtool")
                .args(["-K", end, "tso", "off", "gso", "off", "tx-udp_tnl-segmentation", "off"])
                .status();
            assert!(output.expect("ethtool runs").success());
        }
        let _server = Server::new(&b);
        assert_flows(tcp(&a, "192.168.0.2"), "TCP, segmented before the underlay");
        report(&[&one, &two]);
    });
}

#[test]
fn tags_cross_the_overlay() {
    isolated("tags_cross_the_overlay", || {
        let (one, two, a, b) = two_nodes(port_flags::REDIRECT_PEER);
        let ip = Ipv4::new([10, 6, 0, 1], [10, 6, 0, 2], 17).packet(&udp(1, 2, &[0x55; 60]));
        let once = tagged(&ethernet(B, A, 0x0800, &ip), 0x8100, 6);
        for frame in [once.clone(), tagged(&once, 0x88a8, 5), tagged(&once, 0x8100, 5)] {
            let frame: String = frame.iter().map(|byte| format!("{byte:02x}")).collect();
            let mut receiver = b.command("python3");
            let receiver = receiver.args(["-c", TAGGED, "receive", &frame]).stdout(Stdio::piped());
            let mut receiver = receiver.spawn().expect("python3 runs");
            let mut lines = BufReader::new(receiver.stdout.take().expect("its output")).lines();
            assert_eq!(lines.next().expect("a line").expect("text"), "ready");
            let _ = a.run("python3", &["-c", TAGGED, "send", &frame]);
            let received = lines.next();
            receiver.wait().expect("it ends");
            report(&[&one, &two]);
            assert_eq!(received.expect("a line").expect("text"), frame);
        }
    });
}

#[test]
fn too_big_packets_are_answered() {
    isolated("too_big_packets_are_answered", || {
        underlay();
        let a = host("pa", A, 1, "9000");
        let b = host("pb", B, 2, "9000");
        let one = node("pa", "u1", (A, UNDERLAY_1), (B, UNDERLAY_2), 0);
        let two = node("pb", "u2", (B, UNDERLAY_2), (A, UNDERLAY_1), 0);
        let output =
            a.command("ping").args(["-c", "1", "-W", "1", "-M", "do", "-s", "3000", "192.168.0.2"]).output();
        let output = String::from_utf8_lossy(&output.expect("ping runs").stdout).into_owned();
        assert!(output.contains("mtu = 1450") || output.contains("mtu=1450"), "{output}");
        let output = a.command("ping").args(["-c", "1", "-W", "1", "-s", "3000", "fd00::2"]).output();
        let output = String::from_utf8_lossy(&output.expect("ping runs").stdout).into_owned();
        assert!(output.contains("mtu=1450") || output.contains("mtu = 1450"), "{output}");
        assert!(one.drops(DropReason::TooBig).packets >= 2);
        // The senders have learned the size: TCP and fragmented pings arrive.
        ping(&a, &["-s", "3000", "fd00::2"]);
        let _server = Server::new(&b);
        assert_flows(tcp(&a, "192.168.0.2"), "TCP after a too-big error");
        report(&[&one, &two]);
    });
}

#[test]
fn the_kernels_vxlan_device_understands_us() {
    isolated("the_kernels_vxlan_device_understands_us", || {
        underlay();
        ip(&["addr", "add", "10.9.0.1/24", "dev", "u1"]);
        let a = host("pa", A, 1, "1450");
        let kernel = Namespace::new();
        ip(&["link", "set", "u2", "netns", kernel.name()]);
        kernel.ip(&["link", "set", "u2", "up"]);
        kernel.ip(&["addr", "add", "10.9.0.2/24", "dev", "u2"]);
        kernel.ip(&[
            "link",
            "add",
            "vx",
            "address",
            &text(B),
            "type",
            "vxlan",
            "id",
            "100",
            "dstport",
            "4789",
            "local",
            "10.9.0.2",
            "remote",
            "10.9.0.1",
        ]);
        kernel.ip(&["link", "set", "vx", "up", "mtu", "1450"]);
        kernel.ip(&["addr", "add", "192.168.0.2/24", "dev", "vx"]);
        let mut one = node("pa", "u1", (A, UNDERLAY_1), (B, UNDERLAY_2), port_flags::REDIRECT_PEER);
        ping(&a, &["192.168.0.2"]);
        ping(&kernel, &["192.168.0.1"]);
        let server = Server::new(&kernel);
        assert_flows(tcp(&a, "192.168.0.2"), "TCP to the kernel");
        drop(server);
        let _server = Server::new(&a);
        assert_flows(tcp(&kernel, "192.168.0.1"), "TCP from the kernel");
        // The kernel also resolves next hops, for ARP in the tunnel as for IP.
        let mut unresolved = encap(UNDERLAY_1, UNDERLAY_2, ifindex("u1"), 1500);
        (unresolved.flags, unresolved.destination_mac) = (0, Mac::default());
        one.next_hop(1, unresolved);
        ip(&["neigh", "flush", "dev", "u1"]);
        a.ip(&["neigh", "flush", "dev", "eth0"]);
        ping(&a, &["192.168.0.2"]);
        assert_flows(tcp(&kernel, "192.168.0.1"), "TCP over an unresolved next hop");
        report(&[&one]);
    });
}
