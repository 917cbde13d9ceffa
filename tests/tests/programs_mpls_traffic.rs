//! Labelled traffic on real interfaces: two nodes' programs between two hosts, in every form, with and without what a
//! NIC does for its host. Maps are filled by hand.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};
use std::{env, fs, process, thread};

use aya::programs::TcAttachType;
use bagpipe_common::{
    Adjacency, DropReason, FloodScope, LabelKind, Port, Target, TargetKind, Vpn, encap_flags, mapped,
    port_flags,
};
use bagpipe_tests::cable::{Server, assert_flows, ifindex, ping, report, tcp, text, underlay};
use bagpipe_tests::isolated::{Namespace, ip, isolated};
use bagpipe_tests::packet::Mac;
use bagpipe_tests::programs::{Copy, encap, labelled, port};
use bagpipe_tests::tshark;

const VPN: u16 = 7;
const GATEWAY: Mac = [2, 0, 0, 0, 0, 1];
const HOSTS: [Mac; 2] = [[2, 0, 0, 0, 0, 0xa], [2, 0, 0, 0, 0, 0xb]];
const ENDS: [&str; 2] = ["u1", "u2"];
const PORTS: [&str; 2] = ["pa", "pb"];

/// Addresses of host and node `side`.
fn host_v4(side: usize) -> [u8; 4] {
    [192, 168, side as u8 + 1, 2]
}

fn host_v6(side: usize) -> [u8; 16] {
    [0xfd, 0, 0, 0, 0, side as u8 + 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 2]
}

fn node_v4(side: usize) -> [u8; 4] {
    [10, 9, 0, side as u8 + 1]
}

fn node_v6(side: usize) -> [u8; 16] {
    [0xfd, 9, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, side as u8 + 1]
}

const LABEL: u32 = 100;

/// A host behind a gateway of its own; or, with none, in one subnet with the other.
fn host(side: usize, gateway: bool, mtu: &str) -> Namespace {
    let host = Namespace::new();
    let (port, mac) = (PORTS[side], text(HOSTS[side]));
    ip(&["link", "add", port, "type", "veth", "peer", "name", "eth0", "address", &mac, "netns", host.name()]);
    ip(&["link", "set", port, "up", "mtu", mtu]);
    host.ip(&["link", "set", "eth0", "up", "mtu", mtu]);
    let n = side + 1;
    let (v4, v6) = if gateway { (24, 64) } else { (16, 32) };
    host.ip(&["addr", "add", &format!("192.168.{n}.2/{v4}"), "dev", "eth0"]);
    host.ip(&["addr", "add", &format!("fd00:0:{n}::2/{v6}"), "dev", "eth0", "nodad"]);
    if gateway {
        for (family, address) in [("-4", format!("192.168.{n}.1")), ("-6", format!("fd00:0:{n}::1"))] {
            host.ip(&[family, "neigh", "add", &address, "lladdr", &text(GATEWAY), "dev", "eth0"]);
            host.ip(&[family, "route", "add", "default", "via", &address, "dev", "eth0"]);
        }
    }
    host
}

/// A node's programs. `bridged`: both hosts are in one E-VPN; else each is behind its router.
fn node(side: usize, form: TargetKind, over_ipv6: bool, bridged: bool, flags: u16) -> Copy {
    let (other, interface) = (1 - side, ifindex(PORTS[side]));
    let mut node = Copy::load();
    let mut hop = encap(node_v4(side), node_v4(other), ifindex(ENDS[side]), 1500);
    if over_ipv6 {
        (hop.local, hop.remote) = (node_v6(side), node_v6(other));
        hop.flags |= encap_flags::IPV6;
    }
    if side == 1 {
        std::mem::swap(&mut hop.source_mac, &mut hop.destination_mac);
    }
    node.next_hop(1, hop);
    node.local(mapped(node_v4(side)));
    node.local(node_v6(side));
    node.endpoint(mapped(node_v4(other)), VPN);
    node.endpoint(node_v6(other), VPN);
    node.port(1, Port { ifindex: interface, vpn: VPN, flags });
    node.interface(interface, 1);
    node.mac(VPN, HOSTS[side], port(1));
    for address in [mapped(host_v4(side)), host_v6(side)] {
        node.neighbor(VPN, address, HOSTS[side], 0);
    }
    let remote = labelled(form, 1, LABEL);
    if bridged {
        node.vpn(VPN, Vpn { vni: 1, local_ports: 1, remote_endpoints: 1 });
        node.member(VPN, FloodScope::Local, 0, port(1));
        node.member(VPN, FloodScope::Remote, 0, remote);
        node.mac(VPN, HOSTS[other], remote);
        node.label(LABEL, LabelKind::Bridge, VPN, 0);
    } else {
        node.vpn(VPN, Vpn { vni: 1, local_ports: 0, remote_endpoints: 0 });
        node.mac(VPN, GATEWAY, Target { kind: TargetKind::Router as u8, vni: [0; 3], id: VPN.into() });
        let adjacency =
            Adjacency { destination: HOSTS[side], source: GATEWAY, vpn: VPN, zero: 0, target: port(1) };
        node.adjacency(1, adjacency);
        node.label(LABEL, LabelKind::Adjacency, VPN, 1);
        for address in [mapped(host_v4(other)), host_v6(other)] {
            node.host(VPN, address, remote);
        }
    }
    for (program, interface) in [("port_ingress", PORTS[side]), ("underlay_ingress", ENDS[side])] {
        node.classifier(program).attach(interface, TcAttachType::Ingress).expect("the program attaches");
    }
    node
}

/// tcpdump on the cable, ended when this is dropped.
struct Capture {
    tcpdump: Child,
    file: PathBuf,
}

impl Capture {
    fn new(interface: &str) -> Self {
        let file = env::temp_dir().join(format!("bagpipe-mpls-{}.pcap", process::id()));
        let mut command = Command::new("tcpdump");
        command.args(["-Z", "root", "-U", "-s", "300", "-c", "2000", "-i", interface, "-w"]).arg(&file);
        let tcpdump =
            command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("tcpdump is installed");
        let limit = Instant::now() + Duration::from_secs(10);
        // It writes the file's header when it listens.
        while fs::metadata(&file).map_or(0, |file| file.len()) == 0 {
            assert!(Instant::now() < limit, "tcpdump does not listen");
            thread::yield_now();
        }
        Self { tcpdump, file }
    }

    fn end(&mut self) -> &Path {
        let _ = self.tcpdump.kill();
        let _ = self.tcpdump.wait();
        &self.file
    }
}

impl Drop for Capture {
    fn drop(&mut self) {
        self.end();
        let _ = fs::remove_file(&self.file);
    }
}

fn offloads(end: &str, state: &str) {
    let features = ["tso", "gso", "tx-gre-segmentation", "tx-udp_tnl-segmentation"];
    for feature in features {
        // What a kernel can't change stays as it is.
        let _ = Command::new("ethtool").args(["-K", end, feature, state]).stderr(Stdio::null()).status();
    }
}

fn exercise(form: TargetKind, over_ipv6: bool, bridged: bool, flags: u16) {
    underlay();
    // Room for the longest header, 70 bytes over IPv6.
    let (a, b) = (host(0, !bridged, "1430"), host(1, !bridged, "1430"));
    let one = node(0, form, over_ipv6, bridged, flags);
    let two = node(1, form, over_ipv6, bridged, flags);
    let mut capture = Capture::new("u2");
    ping(&a, &["192.168.2.2"]);
    ping(&b, &["fd00:0:1::2"]);
    let filter = match form {
        TargetKind::MplsUdp => "udp.dstport == 6635 && mpls.label == 100 && mpls.bottom == 1",
        TargetKind::MplsGre => "gre.proto == 0x8847 && mpls.label == 100 && mpls.bottom == 1",
        _ => "eth.type == 0x8847 && mpls.label == 100 && mpls.bottom == 1",
    };
    let _server = Server::new(&b);
    let rate = |what: &str| {
        for (to, family) in [("192.168.2.2", "IPv4"), ("fd00:0:2::2", "IPv6")] {
            assert_flows(tcp(&a, to), &format!("{form:?}, {family}, {what}"));
        }
        report(&[&one, &two]);
    };
    rate("all offloads");
    // The capture ended by itself, full of segments; the pings are in it.
    let pings = [&format!("icmp.type == 0 && {filter}")[..], &format!("icmpv6.type == 129 && {filter}")];
    let decode = if bridged { vec![filter] } else { pings.to_vec() };
    tshark::assert_well_formed(capture.end(), &decode);
    for end in ENDS {
        offloads(end, "off");
    }
    rate("segmented before the underlay");
    for host in [&a, &b] {
        let _ = host.run("ethtool", &["-K", "eth0", "tso", "off", "gso", "off"]);
    }
    rate("single segments");
    let _ = a.run("ethtool", &["-K", "eth0", "tx", "off"]);
    rate("no checksum offload");
    for node in [&one, &two] {
        for reason in [DropReason::Encapsulation, DropReason::TunnelInTunnel, DropReason::BadLabelStack] {
            assert_eq!(node.drops(reason).packets, 0, "{reason:?}");
        }
    }
}

macro_rules! forms {
    ($($name:ident: $form:ident, $over_ipv6:literal, $bridged:literal, $flags:expr;)*) => { $(
        #[test]
        fn $name() {
            isolated(stringify!($name), || exercise(TargetKind::$form, $over_ipv6, $bridged, $flags));
        }
    )* };
}

forms! {
    packets_in_udp: MplsUdp, false, false, port_flags::REDIRECT_PEER;
    packets_in_udp_over_ipv6: MplsUdp, true, false, 0;
    packets_in_gre: MplsGre, false, false, 0;
    packets_in_gre_over_ipv6: MplsGre, true, false, port_flags::REDIRECT_PEER;
    packets_on_ethernet: Mpls, false, false, port_flags::REDIRECT_PEER;
    packets_on_ethernet_through_the_port: Mpls, false, false, 0;
    frames_in_udp: MplsUdp, false, true, port_flags::REDIRECT_PEER;
    frames_in_gre_over_ipv6: MplsGre, true, true, 0;
    frames_on_ethernet: Mpls, false, true, port_flags::REDIRECT_PEER;
    frames_on_ethernet_through_the_port: Mpls, false, true, 0;
}
