//! A node with a router, for tests of its programs: host A is in one subnet, host B in another, and a remote router
//! behind a tunnel.

use bagpipe_common::{Adjacency, DropReason, LabelKind, Port, Router, Vpn, mapped, neighbor_flags};

use crate::packet::{self, Ipv4, Mac, ethernet, icmp, icmpv6, udp};
use crate::programs::{Copy, REDIRECT, SHOT, adjacent, encap, port, remote, router};

/// The router.
pub const VRF: u16 = 7;
/// Another router.
pub const OTHER: u16 = 8;
/// The E-VPN that is plugged into the router.
pub const BRIDGE: u16 = 9;
/// Its VNI.
pub const BRIDGE_VNI: u32 = 100;
/// The L3 VNI of the router.
pub const ROUTER_VNI: u32 = 101;
/// The label of host B.
pub const PORT_LABEL: u32 = 200;
/// The label of the router.
pub const ROUTER_LABEL: u32 = 201;
/// The label that the remote endpoint advertised.
pub const REMOTE_LABEL: u32 = 0xa_bcde;
/// The L3 VNI that the remote endpoint advertised.
pub const REMOTE_VNI: u32 = 0x0a_0b_0c;
/// The gateway's MAC address.
pub const GATEWAY: Mac = [2, 0, 0, 0, 0, 1];
/// This node's router's MAC.
pub const OUR_ROUTER: Mac = [2, 0, 0, 0, 0, 2];
/// The remote endpoint's router's MAC.
pub const THEIR_ROUTER: Mac = [2, 0, 0, 0, 0, 3];
/// Host A.
pub const A: Mac = [2, 0, 0, 0, 0, 0xa];
/// Host B.
pub const B: Mac = [2, 0, 0, 0, 0, 0xb];
/// This node in the underlay.
pub const UNDERLAY: Mac = [2, 0, 0, 0, 0xff, 1];
/// The next node in the underlay.
pub const NEIGHBOR: Mac = [2, 0, 0, 0, 0xff, 2];
/// This node's tunnel address.
pub const LOCAL: [u8; 4] = [10, 9, 0, 1];
/// The remote endpoint's.
pub const REMOTE: [u8; 4] = [10, 9, 0, 2];
/// Address of host A.
pub const IP_A: [u8; 4] = [192, 168, 1, 1];
/// Address of host B.
pub const IP_B: [u8; 4] = [192, 168, 2, 2];
/// The gateway's address.
pub const IP_GATEWAY: [u8; 4] = [192, 168, 1, 254];
/// An address that there is no route to.
pub const NOWHERE: [u8; 4] = [203, 0, 113, 1];
/// No interface has it: nothing leaves the machine.
pub const ABSENT: u32 = 0x7fff_fff0;

/// Slot of the adjacency of host A.
pub const TO_A: u32 = 1;
/// Slot of the adjacency of host B.
pub const TO_B: u32 = 2;
/// Slot of the adjacency of the remote router.
pub const TO_REMOTE: u32 = 3;

/// An IPv6 address: subnet and host.
#[must_use]
pub const fn v6(net: u8, last: u8) -> [u8; 16] {
    [0xfd, 0, 0, 0, 0, net, 0, 0, 0, 0, 0, 0, 0, 0, 0, last]
}

/// The gateway's address in IPv6.
pub const GATEWAY_V6: [u8; 16] = v6(1, 0xfe);

/// A node: host A is behind port 1 (the loopback interface, that test runs come from), host B behind port 2.
#[must_use]
pub fn node() -> Copy {
    let mut node = Copy::load();
    node.vpn(VRF, Vpn { vni: ROUTER_VNI, local_ports: 0, remote_endpoints: 0 });
    node.interface(1, 1);
    for (number, ifindex, mac) in [(1, 1, A), (2, ABSENT, B)] {
        node.port(number, Port { ifindex, vpn: VRF, flags: 0 });
        node.mac(VRF, mac, port(number));
        let adjacency =
            Adjacency { destination: mac, source: GATEWAY, vpn: VRF, zero: 0, target: port(number) };
        node.adjacency(number, adjacency);
    }
    for mac in [GATEWAY, OUR_ROUTER] {
        node.mac(VRF, mac, router(VRF));
    }
    for (address, mac) in [(mapped(IP_A), A), (v6(1, 1), A), (mapped(IP_B), B), (v6(2, 2), B)] {
        node.neighbor(VRF, address, mac, 0);
    }
    for (address, target) in [
        (mapped(IP_A), adjacent(TO_A)),
        (v6(1, 1), adjacent(TO_A)),
        (mapped(IP_B), adjacent(TO_B)),
        (v6(2, 2), adjacent(TO_B)),
        (mapped(IP_GATEWAY), router(VRF)),
        (GATEWAY_V6, router(VRF)),
    ] {
        node.host(VRF, address, target);
    }
    node.adjacency(
        TO_REMOTE,
        Adjacency {
            destination: THEIR_ROUTER,
            source: OUR_ROUTER,
            vpn: VRF,
            zero: 0,
            target: remote(1, REMOTE_VNI),
        },
    );
    node.router(VRF, Router { ipv6: GATEWAY_V6, ipv4: IP_GATEWAY, flags: 0 });
    node.next_hop(1, encap(LOCAL, REMOTE, ABSENT, 1500));
    node.tunnel(mapped(REMOTE), ROUTER_VNI, VRF);
    node.label(PORT_LABEL, LabelKind::Adjacency, VRF, TO_B);
    node.label(ROUTER_LABEL, LabelKind::Router, VRF, 0);
    node.endpoint(mapped(REMOTE), VRF);
    node.local(mapped(LOCAL));
    node.set(|settings| (settings.gateway_mac, settings.router_mac) = (GATEWAY, OUR_ROUTER));
    node
}

/// A frame from host A to the gateway.
#[must_use]
pub fn from_a(ethertype: u16, packet: &[u8]) -> Vec<u8> {
    ethernet(GATEWAY, A, ethertype, packet)
}

/// A packet of UDP from host A.
#[must_use]
pub fn packet_v4(destination: [u8; 4], ttl: u8, payload: usize) -> Vec<u8> {
    Ipv4 { ttl, ..Ipv4::new(IP_A, destination, 17) }.packet(&udp(1000, 2000, &vec![0x55; payload]))
}

/// The same over IPv6.
#[must_use]
pub fn packet_v6(destination: [u8; 16], hop_limit: u8, payload: usize) -> Vec<u8> {
    packet::ipv6(v6(1, 1), destination, 17, hop_limit, &udp(1000, 2000, &vec![0x55; payload]))
}

/// The frame that host B gets.
#[must_use]
pub fn to_b(ethertype: u16, packet: &[u8]) -> (i32, Vec<u8>) {
    (REDIRECT, ethernet(B, GATEWAY, ethertype, packet))
}

/// The ICMP error that host A gets from the router.
#[must_use]
pub fn error_v4(kind: u8, code: u8, mtu: u32, about: &[u8]) -> (i32, Vec<u8>) {
    let message = icmp(kind, code, &[&mtu.to_be_bytes()[..], &about[..about.len().min(548)]].concat());
    let packet = Ipv4 { traffic_class: 0xc0, ..Ipv4::new(IP_GATEWAY, IP_A, 1) }.packet(&message);
    (REDIRECT, ethernet(A, GATEWAY, 0x0800, &packet))
}

/// The ICMPv6 error that host A gets from the router.
#[must_use]
pub fn error_v6(kind: u8, mtu: u32, about: &[u8]) -> (i32, Vec<u8>) {
    let body = [&mtu.to_be_bytes()[..], &about[..about.len().min(1232)]].concat();
    let packet = packet::ipv6(GATEWAY_V6, v6(1, 1), 58, 64, &icmpv6(GATEWAY_V6, v6(1, 1), kind, &body));
    (REDIRECT, ethernet(A, GATEWAY, 0x86dd, &packet))
}

/// Runs the port's program and demands that it drops for a reason, and answers or not.
///
/// # Panics
/// When it does not.
pub fn assert_drops(node: &mut Copy, reason: DropReason, answered: bool, packet: &[u8], what: &str) {
    let before = node.drops(reason);
    let (action, _) = node.run("port_ingress", packet);
    let expected = if answered { REDIRECT } else { SHOT };
    assert_eq!((action, node.drops(reason).packets), (expected, before.packets + 1), "{reason:?}: {what}");
    assert_eq!(node.drops(reason).bytes, before.bytes + packet.len() as u64, "{what}");
}

/// An E-VPN plugged into the router: host A is in it.
#[must_use]
pub fn irb_node() -> Copy {
    let mut node = node();
    node.vpn(BRIDGE, Vpn { vni: BRIDGE_VNI, local_ports: 1, remote_endpoints: 0 });
    node.port(1, Port { ifindex: 1, vpn: BRIDGE, flags: 0 });
    node.mac(BRIDGE, A, port(1));
    node.mac(BRIDGE, GATEWAY, router(VRF));
    for (address, mac) in [(mapped(IP_A), A), (v6(1, 1), A)] {
        node.neighbor(BRIDGE, address, mac, 0);
    }
    for address in [mapped(IP_GATEWAY), GATEWAY_V6] {
        node.neighbor(BRIDGE, address, GATEWAY, neighbor_flags::ROUTER);
    }
    let adjacency = Adjacency { destination: A, source: GATEWAY, vpn: BRIDGE, zero: 0, target: port(1) };
    node.adjacency(TO_A, adjacency);
    node.router(VRF, Router::default());
    node.router(BRIDGE, Router { ipv6: GATEWAY_V6, ipv4: IP_GATEWAY, flags: 0 });
    node.tunnel(mapped(REMOTE), BRIDGE_VNI, BRIDGE);
    node
}
