//! MAC addresses on an Ethernet segment, by BPF_PROG_TEST_RUN: the flow of a frame chooses its remote endpoint.

use std::collections::BTreeMap;

use bagpipe_common::{DropReason, GROUP_BUCKETS, Port, Vpn, mapped};
use bagpipe_tests::packet::{Ipv4, Mac, ethernet, udp, vxlan};
use bagpipe_tests::programs::{Copy, REDIRECT, SHOT, XDP_DROP, encap, group, port, remote};

const VPN: u16 = 7;
const VNI: u32 = 1234;
const A: Mac = [2, 0, 0, 0, 0, 0xa];
/// On the segment.
const S: Mac = [2, 0, 0, 0, 0, 0x5];
const IP_A: [u8; 4] = [192, 168, 0, 1];
const IP_S: [u8; 4] = [192, 168, 0, 5];
const LOCAL: [u8; 4] = [10, 9, 0, 1];
const ENDPOINTS: [[u8; 4]; 2] = [[10, 9, 0, 2], [10, 9, 0, 3]];
const SEGMENT: u32 = 3;
const FLOWS: u16 = 400;
/// No interface has it: nothing leaves the machine.
const ABSENT: u32 = 0x7fff_fff0;

/// A node with a port, and two endpoints on a segment.
fn node() -> Copy {
    let mut node = Copy::load();
    node.vpn(VPN, Vpn { vni: VNI, local_ports: 1, remote_endpoints: 0 });
    node.interface(1, 1);
    node.port(1, Port { ifindex: 1, vpn: VPN, flags: 0 });
    node.mac(VPN, A, port(1));
    node.mac(VPN, S, group(SEGMENT));
    node.neighbor(VPN, mapped(IP_A), A, 0);
    for (number, endpoint) in (1..).zip(ENDPOINTS) {
        node.next_hop(number, encap(LOCAL, endpoint, ABSENT, 1500));
        node.tunnel(mapped(endpoint), VNI, VPN);
    }
    for bucket in 0..GROUP_BUCKETS {
        node.bucket(SEGMENT, bucket, remote(1 + bucket % 2, VNI));
    }
    node.local(mapped(LOCAL));
    node
}

fn frame(source_port: u16, payload: usize) -> Vec<u8> {
    let packet = Ipv4::new(IP_A, IP_S, 17).packet(&udp(source_port, 7000, &vec![0x55; payload]));
    ethernet(S, A, 0x0800, &packet)
}

/// Where a packet in a tunnel over IPv4 goes to.
fn outer_destination(packet: &[u8]) -> [u8; 4] {
    [packet[30], packet[31], packet[32], packet[33]]
}

#[test]
fn a_flow_keeps_to_one_endpoint_and_flows_are_spread() {
    let mut node = node();
    let mut flows: BTreeMap<[u8; 4], u16> = BTreeMap::new();
    for flow in 0..FLOWS {
        let chosen = [60, 60, 900].map(|payload| {
            let (action, output) = node.run("port_ingress", &frame(20_000 + flow, payload));
            assert_eq!(action, REDIRECT);
            outer_destination(&output)
        });
        assert!(chosen.iter().all(|endpoint| *endpoint == chosen[0]), "flow {flow}: {chosen:?}");
        *flows.entry(chosen[0]).or_default() += 1;
    }
    assert_eq!(flows.keys().copied().collect::<Vec<_>>(), ENDPOINTS);
    assert!(flows.values().all(|count| count.abs_diff(FLOWS / 2) < FLOWS / 8), "{flows:?}");
}

#[test]
fn an_endpoint_that_has_gone_from_the_buckets_gets_nothing() {
    let mut node = node();
    for bucket in 0..GROUP_BUCKETS {
        node.bucket(SEGMENT, bucket, remote(2, VNI));
    }
    for flow in 0..FLOWS {
        let (_, output) = node.run("port_ingress", &frame(20_000 + flow, 60));
        assert_eq!(outer_destination(&output), ENDPOINTS[1]);
    }
}

#[test]
fn what_no_endpoint_takes_is_dropped_for_a_reason() {
    let mut node = node();
    let (action, _) = node.run("port_ingress", &ethernet(S, A, 0x88b5, &[0; 1460]));
    assert_eq!((action, node.drops(DropReason::TooBig).packets), (SHOT, 1));
    // A bucket that is empty, or leads nowhere that frames could go to.
    for target in [port(0), group(SEGMENT), remote(9, VNI)] {
        (0..GROUP_BUCKETS).for_each(|bucket| node.bucket(SEGMENT, bucket, target));
        let before = node.drops(DropReason::NoNextHop).packets;
        let (action, _) = node.run("port_ingress", &frame(1, 60));
        assert_eq!((action, node.drops(DropReason::NoNextHop).packets), (SHOT, before + 1));
    }
}

/// RFC 7432 §11: whichever of the endpoints it came from.
#[test]
fn nothing_from_a_tunnel_goes_to_a_segment() {
    for endpoint in ENDPOINTS {
        let mut node = node();
        let inner = ethernet(S, [2; 6], 0x0800, &Ipv4::new(IP_A, IP_S, 17).packet(&udp(1, 2, &[0; 60])));
        let outer = Ipv4::new(endpoint, LOCAL, 17).packet(&udp(50_000, 4789, &vxlan(8, VNI, &inner)));
        let packet = ethernet([2, 0, 0, 0, 0xff, 1], [2, 0, 0, 0, 0xff, 2], 0x0800, &outer);
        for (program, dropped, count) in [("underlay_ingress", SHOT, 1), ("underlay_xdp", XDP_DROP, 2)] {
            let (action, _) = node.run(program, &packet);
            assert_eq!((action, node.drops(DropReason::SplitHorizon).packets), (dropped, count), "{program}");
        }
    }
}
