//! Routed traffic on real interfaces: two nodes' programs between two hosts in two subnets, who know nothing but their
//! gateway's address. Maps are filled by hand.

use aya::programs::{TcAttachType, XdpMode};
use bagpipe_common::{
    Adjacency, DropReason, Port, Router, TargetKind, Vpn, mapped, neighbor_flags, port_flags,
};
use bagpipe_tests::cable::{Server, assert_flows, ifindex, ping, report, tcp, text, underlay};
use bagpipe_tests::isolated::{Namespace, ip, isolated};
use bagpipe_tests::packet::Mac;
use bagpipe_tests::programs::{Copy, adjacent, encap, labelled, port, remote, router};

/// The router, and the E-VPN of each host, which is plugged into it.
const VRF: u16 = 7;
const BRIDGE: u16 = 8;
const ROUTER_VNI: u32 = 100;
const LABEL: u32 = 200;
const GATEWAY: Mac = [2, 0, 0, 0, 0, 1];
const HOSTS: [Mac; 2] = [[2, 0, 0, 0, 0, 0xa], [2, 0, 0, 0, 0, 0xb]];
const ROUTERS: [Mac; 2] = [[2, 0, 0, 0, 1, 1], [2, 0, 0, 0, 1, 2]];
const PORTS: [&str; 2] = ["pa", "pb"];
const ENDS: [&str; 2] = ["u1", "u2"];

fn v4(side: usize, host: u8) -> [u8; 4] {
    [192, 168, side as u8 + 1, host]
}

fn v6(side: usize, host: u8) -> [u8; 16] {
    [0xfd, 0, 0, 0, 0, side as u8 + 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, host]
}

fn endpoint(side: usize) -> [u8; 4] {
    [10, 9, 0, side as u8 + 1]
}

/// A host in a subnet of its own, whose gateway it finds by itself.
fn host(side: usize) -> Namespace {
    let host = Namespace::new();
    let (port, mac, n) = (PORTS[side], text(HOSTS[side]), side + 1);
    ip(&["link", "add", port, "type", "veth", "peer", "name", "eth0", "address", &mac, "netns", host.name()]);
    ip(&["link", "set", port, "up"]);
    for command in [
        "link set eth0 up".to_owned(),
        format!("addr add 192.168.{n}.2/24 dev eth0"),
        format!("addr add fd00:0:{n}::2/64 dev eth0 nodad"),
        format!("route add default via 192.168.{n}.1"),
        format!("-6 route add default via fd00:0:{n}::1"),
    ] {
        host.ip(&command.split(' ').collect::<Vec<_>>());
    }
    host
}

/// How packets go from node to node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Way {
    /// Symmetric IRB: in a frame between the routers' MAC addresses, with the L3 VNI.
    Vxlan,
    /// Under the label of the router.
    Label,
}

/// A node: its host is in an E-VPN that is plugged into the router.
fn node(side: usize, way: Way, flags: u16, xdp: bool) -> Copy {
    let other = 1 - side;
    let mut node = Copy::load();
    let mut hop = encap(endpoint(side), endpoint(other), ifindex(ENDS[side]), 1500);
    if side == 1 {
        std::mem::swap(&mut hop.source_mac, &mut hop.destination_mac);
    }
    node.next_hop(1, hop);
    node.local(mapped(endpoint(side)));
    node.set(|settings| (settings.gateway_mac, settings.router_mac) = (GATEWAY, ROUTERS[side]));
    node.vpn(VRF, Vpn { vni: ROUTER_VNI, local_ports: 0, remote_endpoints: 0 });
    node.vpn(BRIDGE, Vpn { vni: 1, local_ports: 1, remote_endpoints: 0 });
    node.tunnel(mapped(endpoint(other)), ROUTER_VNI, VRF);
    node.endpoint(mapped(endpoint(other)), VRF);
    node.label(LABEL, bagpipe_common::LabelKind::Router, VRF, 0);
    node.port(1, Port { ifindex: ifindex(PORTS[side]), vpn: BRIDGE, flags });
    node.interface(ifindex(PORTS[side]), 1);
    for (mac, target) in [(HOSTS[side], port(1)), (GATEWAY, router(VRF))] {
        node.mac(BRIDGE, mac, target);
    }
    node.mac(VRF, ROUTERS[side], router(VRF));
    let of_host =
        Adjacency { destination: HOSTS[side], source: GATEWAY, vpn: BRIDGE, zero: 0, target: port(1) };
    node.adjacency(1, of_host);
    let of_remote = Adjacency {
        destination: ROUTERS[other],
        source: ROUTERS[side],
        vpn: VRF,
        zero: 0,
        target: remote(1, ROUTER_VNI),
    };
    node.adjacency(2, of_remote);
    let remote = match way {
        Way::Vxlan => adjacent(2),
        Way::Label => labelled(TargetKind::MplsUdp, 1, LABEL),
    };
    for (host, gateway) in [(mapped(v4(side, 2)), mapped(v4(side, 1))), (v6(side, 2), v6(side, 1))] {
        node.host(VRF, host, adjacent(1));
        node.host(VRF, gateway, router(VRF));
        node.neighbor(BRIDGE, host, HOSTS[side], 0);
        node.neighbor(BRIDGE, gateway, GATEWAY, neighbor_flags::ROUTER);
    }
    node.route(VRF, mapped(v4(other, 0)), 96 + 24, remote);
    node.route(VRF, v6(other, 0), 64, remote);
    for vpn in [VRF, BRIDGE] {
        node.router(vpn, Router { ipv6: v6(side, 1), ipv4: v4(side, 1), flags: 0 });
    }
    for (program, interface) in [("port_ingress", PORTS[side]), ("underlay_ingress", ENDS[side])] {
        node.classifier(program).attach(interface, TcAttachType::Ingress).expect("the program attaches");
    }
    if xdp {
        node.xdp("underlay_xdp").attach(ENDS[side], XdpMode::Driver).expect("the program attaches");
    }
    node
}

/// A probe as those of traceroute: prints who sent the ICMP error about a datagram with this time to live.
const PROBE: &str = "
import select, socket, sys
to, ttl = sys.argv[1], int(sys.argv[2])
v6 = ':' in to
s = socket.socket(socket.AF_INET6 if v6 else socket.AF_INET, socket.SOCK_DGRAM)
# IPV6_RECVERR and IPV6_UNICAST_HOPS, IP_RECVERR and IP_TTL.
for option, value in ((25, 1), (16, ttl)) if v6 else ((11, 1), (2, ttl)):
    s.setsockopt(41 if v6 else 0, option, value)
s.sendto(bytes(32), (to, 33434))
poll = select.poll()
poll.register(s, 0)
assert poll.poll(2000), 'no error came'
error = s.recvmsg(2000, 512, socket.MSG_ERRQUEUE)[1][0][2]
print(socket.inet_ntop(socket.AF_INET6, error[24:40]) if v6 else socket.inet_ntop(socket.AF_INET, error[20:24]))
";

/// What `ping` prints for one request, answered or not.
fn one_ping(host: &Namespace, arguments: &[&str]) -> String {
    let output = host.command("ping").args(["-c", "1", "-W", "2"]).args(arguments).output().expect("ping");
    String::from_utf8_lossy(&output.stdout).into_owned()
}

fn exercise(way: Way, flags: u16, xdp: bool) {
    underlay();
    let (a, b) = (host(0), host(1));
    let nodes = [node(0, way, flags, xdp), node(1, way, flags, xdp)];
    // The gateway, found by ARP and ND; also with more than one packet.
    for address in ["192.168.1.1", "fd00:0:1::1"] {
        ping(&a, &[address]);
        ping(&a, &["-s", "4000", address]);
    }
    ping(&a, &["192.168.2.2"]);
    ping(&b, &["fd00:0:1::2"]);
    // A packet's life ends at this node, then at the other one, then it arrives.
    for (to, hops) in [
        ("192.168.2.2", ["192.168.1.1", "192.168.2.1", "192.168.2.2"]),
        ("fd00:0:2::2", ["fd00:0:1::1", "fd00:0:2::1", "fd00:0:2::2"]),
    ] {
        for (ttl, hop) in (1..).zip(hops) {
            let text = one_ping(&a, &["-t", &ttl.to_string(), to]);
            let answer = if ttl == 3 { "bytes from" } else { "From" };
            assert!(text.contains(&format!("{answer} {hop}")), "{to} after {ttl}: {text}");
            // With a checksum that the host leaves to the NIC; the host itself has no such port.
            assert_eq!(a.run("python3", &["-c", PROBE, to, &ttl.to_string()]).trim(), hop, "UDP after {ttl}");
        }
    }
    for (to, hop) in [("203.0.113.1", "From 192.168.1.1"), ("2001:db8::1", "From fd00:0:1::1")] {
        let text = one_ping(&a, &[to]);
        assert!(text.contains(hop) && text.to_lowercase().contains("unreachable"), "{text}");
    }
    // The hosts' links take 1500 bytes, the way between the nodes less: they are told, and what they send then fits.
    let least = if way == Way::Vxlan { 1450 } else { 1468 };
    let text = one_ping(&a, &["-M", "do", "-s", "1472", "192.168.2.2"]);
    assert!(text.contains(&format!("mtu = {least}")) || text.contains(&format!("mtu={least}")), "{text}");
    let _server = Server::new(&b);
    for to in ["192.168.2.2", "fd00:0:2::2"] {
        assert_flows(tcp(&a, to), &format!("{way:?} to {to}"));
    }
    report(&[&nodes[0], &nodes[1]]);
    for host in [&a, &b] {
        let _ = host.run("ethtool", &["-K", "eth0", "tso", "off", "gso", "off"]);
    }
    assert_flows(tcp(&a, "192.168.2.2"), "single segments");
    for node in &nodes {
        for reason in [DropReason::Encapsulation, DropReason::Malformed, DropReason::NoNextHop] {
            assert_eq!(node.drops(reason).packets, 0, "{reason:?}");
        }
    }
}

#[test]
fn between_subnets_by_vxlan() {
    isolated("between_subnets_by_vxlan", || exercise(Way::Vxlan, port_flags::REDIRECT_PEER, false));
}

#[test]
fn between_subnets_by_vxlan_and_the_driver() {
    isolated("between_subnets_by_vxlan_and_the_driver", || exercise(Way::Vxlan, 0, true));
}

#[test]
fn between_subnets_under_a_label() {
    isolated("between_subnets_under_a_label", || exercise(Way::Label, port_flags::REDIRECT_PEER, false));
}
