//! E-VPN prefixes (RFC 9136): behind a router (§4.4.1), or behind a host that the E-VPN knows (§4.1).

use bagpipe_bgp::types::{IpPrefix, Label, LabelField};

use super::*;
use crate::fib::{Adjacency, Hop, MplsForm, PortId, Route};

const SUBNET: &str = "10.7.0.0/16";

/// A node with E-VPN `lan` (number 1) plugged into IP-VPN `vpn` (number 2), both with the same route target.
fn plugged() -> Node {
    let mut node = Node::new();
    node.attach(&in_vpn("lan", attach("tap0", 1, Some("10.0.0.1"))));
    let request: AttachRequest = serde_json::from_str(
        r#"{"vpn_type": "ipvpn", "vpn_instance_id": "vpn", "mac_address": "02:00:00:00:00:77",
            "ip_address": "10.0.0.254/24", "gateway_ip": "10.0.0.254", "local_port": {"evpn": {"id": "lan"}},
            "import_rt": "64512:1", "export_rt": "64512:1"}"#,
    )
    .unwrap();
    node.attach(&request.validate().unwrap());
    node
}

impl Node {
    /// A type 5 route with a gateway, from a remote endpoint.
    fn announce_behind(&mut self, endpoint: &str, gateway: &str, esi: u8) {
        let nlri = prefix_route(endpoint, gateway, esi);
        self.vpns.route(&nlri, Some(&Arc::new(remote(endpoint, 2, None).attributes())));
        self.settle();
    }

    fn way(&self) -> Vec<Hop> {
        let prefix: IpPrefix = SUBNET.parse().unwrap();
        self.fib.routes.get(&(2, prefix)).map(|route: &Route| route.hops.to_vec()).unwrap_or_default()
    }
}

fn prefix_route(endpoint: &str, gateway: &str, esi: u8) -> Nlri {
    Nlri::Evpn(EvpnRoute::IpPrefix {
        rd: RouteDistinguisher::from_ipv4(endpoint.parse().unwrap(), 1),
        esi: bagpipe_bgp::types::EthernetSegmentId([esi; 10]),
        tag: 0,
        prefix: SUBNET.parse().unwrap(),
        gateway: ip(gateway),
        label: Vni::new(900).unwrap().into(),
    })
}

/// To a host of the E-VPN, in a frame from the gateway.
fn to_host(address: u8, target: Target) -> Hop {
    Hop::Adjacency(Adjacency { vpn: 1, destination: mac(address), source: GATEWAY_MAC, target })
}

fn to_port(address: u8, port: PortId) -> Hop {
    to_host(address, Target::Port(port))
}

#[test]
fn a_gateway_is_followed_to_wherever_its_host_is() {
    let mut node = plugged();
    node.announce_behind(LOWER, "10.0.0.9", 0);
    assert!(node.way().is_empty(), "no type 2 route yet");

    // On another node than the one that announces the prefix; it moves; it is attached here; it goes.
    let host = remote(LOWER, 9, Some("10.0.0.9"));
    node.announce(&host);
    assert_eq!(node.way(), [to_host(9, vxlan(LOWER, 700))]);
    let moved = Remote { sequence: 1, vni: 702, ..remote(HIGHER, 9, Some("10.0.0.9")) };
    node.announce(&moved);
    assert_eq!(node.way(), [to_host(9, vxlan(HIGHER, 702))]);
    node.withdraw(&host);
    assert_eq!(node.way(), [to_host(9, vxlan(HIGHER, 702))]);
    node.attach(&in_vpn("lan", attach("tap1", 9, Some("10.0.0.9"))));
    assert_eq!(node.way(), [to_port(9, 2)]);
    node.vpns.detach(&Detach { vpn: "lan".into(), ..detach(9, None) }).unwrap();
    node.settle();
    assert_eq!(node.way(), [to_host(9, vxlan(HIGHER, 702))]);
    node.withdraw(&moved);
    assert!(node.way().is_empty());
}

#[test]
fn a_gateway_of_an_e_vpn_over_mpls_is_in_a_frame_under_its_label() {
    let mut node = plugged();
    node.announce_behind(LOWER, "10.0.0.9", 0);
    let label = Label::new(500).unwrap();
    let field = LabelField::from(label);
    node.announce(&Remote {
        vni: field.vni().get(),
        encapsulation: Some(TunnelType::MPLS_IN_GRE),
        ..remote(HIGHER, 9, Some("10.0.0.9"))
    });
    let target = Target::Mpls { endpoint: ip(HIGHER), label, form: MplsForm::Gre };
    assert_eq!(node.way(), [to_host(9, target)]);
    // Such a host is routed to as well (asymmetric IRB).
    let host = IpPrefix::host(ip("10.0.0.9"));
    assert_eq!(node.fib.routes[&(2, host)].hops.to_vec(), [to_host(9, target)]);
}

#[test]
fn several_gateways_share_and_a_change_of_gateway_is_followed() {
    let mut node = plugged();
    for (endpoint, address) in [(LOWER, 8), (HIGHER, 9)] {
        let gateway = format!("10.0.0.{address}");
        node.announce(&remote(endpoint, address, Some(&gateway)));
        node.announce_behind(endpoint, &gateway, 0);
    }
    assert_eq!(node.way(), [to_host(8, vxlan(LOWER, 700)), to_host(9, vxlan(HIGHER, 700))]);
    node.announce_behind(HIGHER, "10.0.0.8", 0);
    assert_eq!(node.way(), [to_host(8, vxlan(LOWER, 700))]);
    node.vpns.route(&prefix_route(LOWER, "10.0.0.8", 0), None);
    node.vpns.route(&prefix_route(HIGHER, "10.0.0.8", 0), None);
    node.settle();
    assert!(node.way().is_empty());
}

#[test]
fn what_cannot_be_resolved_is_not_followed() {
    let mut node = plugged();
    // The router itself, another prefix's address, a segment (RFC 9136 §3.1 allows one index only).
    for (gateway, esi) in [("10.0.0.254", 0), ("10.7.0.1", 0), ("10.0.0.1", 7), ("0.0.0.0", 7)] {
        node.announce_behind(LOWER, gateway, esi);
        assert!(node.way().is_empty(), "{gateway} {esi}");
    }
    // A Router's MAC without a label would be an index (§4.4.3), which is not resolved.
    let mut attributes = remote(LOWER, 2, None).attributes();
    attributes.extended_communities.push(ExtendedCommunity::router_mac(mac(9)));
    let attributes = Arc::new(attributes);
    for (label, followed) in [(0, false), (900, true), (0, false)] {
        let Nlri::Evpn(EvpnRoute::IpPrefix { rd, esi, tag, prefix, gateway, .. }) =
            prefix_route(LOWER, "0.0.0.0", 0)
        else {
            panic!("type 5")
        };
        let label = LabelField::from(Vni::new(label).unwrap());
        let nlri = Nlri::Evpn(EvpnRoute::IpPrefix { rd, esi, tag, prefix, gateway, label });
        node.vpns.route(&nlri, Some(&attributes));
        node.settle();
        assert_eq!(!node.way().is_empty(), followed);
    }
    // It says something else now, and is followed.
    node.announce_behind(LOWER, "10.0.0.1", 0);
    assert_eq!(node.way(), [to_port(1, 1)]);
    node.announce_behind(LOWER, "10.0.0.1", 7);
    assert!(node.way().is_empty());
}
