//! Packets of an IP-VPN that have no route leave by an interface of their own.

use super::relaying::hop;
use super::routing::routed;
use super::*;
use crate::fib::{Adjacency, Hop, Port, PortId};
use crate::vpn::request::Fallback;

const TARGET: &str = "64512:10";
const BACK: &str = "02:00:00:00:00:fe";

/// An attachment to an IP-VPN whose packets leave by `interface` if they have no route.
fn falling_back(interface: Option<&str>) -> AttachRequest {
    let fallback = interface.map(|interface| Fallback {
        src_mac: Some("00:00:5e:2a:10:00".into()),
        dst_mac: Some(BACK.into()),
        interface: Some(interface.into()),
        ..Fallback::default()
    });
    AttachRequest { readvertise: None, fallback, ..hop("left", "tap0", 1, TARGET, TARGET) }
}

fn way_out(port: PortId) -> Vec<Hop> {
    vec![Hop::Adjacency(Adjacency {
        vpn: 1,
        destination: BACK.parse().unwrap(),
        source: "00:00:5e:2a:10:00".parse().unwrap(),
        target: Target::Port(port),
    })]
}

#[test]
fn what_has_no_route_leaves_by_the_interface() {
    let mut node = Node::new();
    node.attach(&routed(&falling_back(None)));
    assert_eq!(node.hops_in(1, "0.0.0.0/0"), []);
    assert!(node.attach(&routed(&falling_back(Some("to-router")))).changed);
    let port = |interface: &str| Port { interface: interface.into(), vpn: 1, egress: true };
    assert_eq!((&node.fib.ports[&2], node.fib.ports.len()), (&port("to-router"), 2));
    for default in ["0.0.0.0/0", "::/0"] {
        assert_eq!(node.hops_in(1, default), way_out(2));
    }
    // It is no route of anybody's, and goes behind one that is.
    assert_eq!(node.announced("0.0.0.0/0"), []);
    node.announce_with(LOWER, "0.0.0.0/0", &[TARGET], &[]);
    assert_ne!(node.hops_in(1, "0.0.0.0/0"), way_out(2));
    assert_eq!(node.hops_in(1, "::/0"), way_out(2));
    node.withdraw_prefix(LOWER, "0.0.0.0/0");
    assert_eq!(node.hops_in(1, "0.0.0.0/0"), way_out(2));
    let reason = |node: &Node, of: &str| node.vpns.explain("left", ip(of)).unwrap().reason;
    assert_eq!(reason(&node, "198.51.100.1"), Some(Reason::Fallback));

    // It stays when it is not spoken of, and goes to another interface in one step.
    assert!(!node.attach(&routed(&falling_back(None))).changed);
    assert!(!node.attach(&routed(&falling_back(Some("to-router")))).changed);
    node.attach(&routed(&falling_back(Some("to-router:7"))));
    assert_eq!((&node.fib.ports[&2], node.hops_in(1, "::/0")), (&port("to-router:7"), way_out(2)));

    node.vpns.detach(&Detach { routed: true, vpn: "left".into(), ..detach(1, None) }).unwrap();
    node.settle();
    assert!(node.vpns.is_empty() && node.fib == Fib::default());
}

#[test]
fn it_is_kept_over_a_restart() {
    let mut node = Node::new();
    node.attach(&routed(&falling_back(Some("to-router"))));
    let text = serde_json::to_string(&node.vpns.snapshot()).unwrap();
    let mut snapshot: Snapshot = serde_json::from_str(&text).unwrap();
    let mut after = Node { vpns: Vpns::restore(config(), &snapshot).unwrap(), ..Node::new() };
    after.settle();
    assert_eq!((&after.fib, after.vpns.snapshot()), (&node.fib, snapshot.clone()));
    assert!(!after.attach(&routed(&falling_back(Some("to-router")))).changed);

    let router = snapshot.vpns[0].router.as_mut().unwrap();
    router.fallback.as_mut().unwrap().port = 1;
    let error = Vpns::restore(config(), &snapshot).unwrap_err().to_string();
    assert!(error.contains("port number"), "{error}");
}

#[test]
fn two_instances_may_have_the_same_way_out() {
    let mut node = Node::new();
    node.attach(&routed(&falling_back(Some("tap0"))));
    let other = AttachRequest {
        vpn_instance_id: Some("right".into()),
        local_port: Some(crate::vpn::request::LocalPort::Name("tap1".into())),
        ..falling_back(Some("tap0"))
    };
    node.attach(&routed(&other));
    let on_tap0 = node.fib.ports.values().filter(|port| port.interface == "tap0");
    assert_eq!(
        on_tap0.map(|port| (port.vpn, port.egress)).collect::<Vec<_>>(),
        [(1, false), (1, true), (2, true)]
    );
}
