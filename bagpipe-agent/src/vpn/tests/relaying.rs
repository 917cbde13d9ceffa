//! Routes of others that an IP-VPN announces again: hops of service chains.

use bagpipe_bgp::types::IpPrefix;

use super::routing::{labelled, request, routed, vpn_route};
use super::*;
use crate::fib::{Hop, MplsForm};
use crate::vpn::request::{LocalPort, Readvertise, TextList};

const LEFT: &str = "64512:10";
const RIGHT: &str = "64512:20";

pub(super) fn list(text: &str) -> Option<TextList> {
    Some(TextList::Text(text.into()))
}

/// An IP-VPN that imports `import`, and announces with it what has `from`.
pub(super) fn hop(vpn: &str, interface: &str, address: u8, import: &str, from: &str) -> AttachRequest {
    AttachRequest {
        vpn_instance_id: Some(vpn.into()),
        local_port: Some(LocalPort::Name(interface.into())),
        import_rt: list(import),
        export_rt: list(import),
        readvertise: Some(Readvertise { from_rt: list(from), to_rt: list(import) }),
        ..request(interface, address, &format!("10.9.0.{address}"))
    }
}

impl Node {
    pub(super) fn announce_with(&mut self, endpoint: &str, text: &str, targets: &[&str], record: &[&str]) {
        let route = Remote {
            encapsulation: None,
            targets: targets.iter().map(|text| target(text)).collect(),
            ..remote(endpoint, 0, None)
        };
        let mut attributes = Attributes { pmsi_tunnel: None, ..route.attributes() };
        let record = record.iter().map(|text| ExtendedCommunity::rt_record(target(text)));
        attributes.extended_communities.extend(record);
        self.vpns.route(&vpn_route(endpoint, text, 700), Some(&Arc::new(attributes)));
        self.settle();
    }

    /// What is announced for a prefix, each as label and communities.
    pub(super) fn announced(&self, text: &str) -> Vec<(u32, Vec<String>)> {
        let prefix: IpPrefix = text.parse().unwrap();
        let routes = self.routes.values().filter_map(|(nlri, attributes)| match nlri {
            Nlri::Vpn(route) if route.prefix == prefix => {
                let communities = attributes.extended_communities.iter();
                let own = communities.filter(|community| community.as_encapsulation().is_none());
                let label = route.labels.top().unwrap().get();
                Some((label, own.map(ToString::to_string).collect()))
            }
            _ => None,
        });
        routes.collect()
    }

    pub(super) fn hops_in(&self, vpn: VpnId, text: &str) -> Vec<Hop> {
        let route = self.fib.routes.get(&(vpn, text.parse().unwrap()));
        route.map(|route| route.hops.to_vec()).unwrap_or_default()
    }
}

#[test]
fn a_route_is_announced_again_for_each_port_and_not_imported() {
    let mut node = Node::new();
    let asked = AttachRequest {
        lb_consistent_hash_order: Some(serde_json::from_str("3").unwrap()),
        ..hop("left", "tap0", 1, LEFT, RIGHT)
    };
    node.attach(&routed(&asked));
    node.announce_with(LOWER, "10.2.0.0/16", &[RIGHT, "64512:99"], &["64512:77"]);
    let expected: Vec<String> = [
        "rt:64512:10",
        "0x0314000000030000",
        "rt-record:64512:20",
        "rt-record:64512:77",
        "rt-record:64512:99",
    ]
    .map(str::to_owned)
    .into();
    assert_eq!(node.announced("10.2.0.0/16"), [(101, expected.clone())]);
    assert_eq!(node.hops_in(1, "10.2.0.0/16"), []);
    assert!(node.fib.endpoints.contains(&(1, ip(LOWER))));
    // What is behind the port forwards: it sends from addresses that are not its own.
    assert!(node.fib.macs[&(1, mac(1))].any_ip);

    // One more port, and one that packets are not sent to.
    node.attach(&routed(&AttachRequest { readvertise: None, ..hop("left", "tap1", 2, LEFT, RIGHT) }));
    let from = AttachRequest { direction: Some("from-port".into()), ..hop("left", "tap2", 3, LEFT, RIGHT) };
    node.attach(&routed(&from));
    let labels: Vec<u32> = node.announced("10.2.0.0/16").into_iter().map(|(label, _)| label).collect();
    assert_eq!(labels, [101, 102]);
    node.vpns.detach(&Detach { routed: true, vpn: "left".into(), ..detach(2, None) }).unwrap();
    node.settle();
    assert_eq!(node.announced("10.2.0.0/16"), [(101, expected)]);

    // With its import route target it is a route like any other, too.
    node.announce_with(LOWER, "10.2.0.0/16", &[RIGHT, LEFT], &[]);
    assert_eq!(node.hops_in(1, "10.2.0.0/16"), [labelled(LOWER, 700, MplsForm::Udp)]);
    node.vpns.route(&vpn_route(LOWER, "10.2.0.0/16", 0), None);
    node.settle();
    assert_eq!(node.announced("10.2.0.0/16"), []);
    assert_eq!(node.hops_in(1, "10.2.0.0/16"), []);
}

#[test]
fn a_route_that_came_around_is_not_announced_again() {
    let mut node = Node::new();
    node.attach(&routed(&hop("left", "tap0", 1, LEFT, RIGHT)));
    node.announce_with(LOWER, "10.2.0.0/16", &[RIGHT], &[LEFT]);
    assert_eq!(node.announced("10.2.0.0/16"), []);
    node.announce_with(HIGHER, "10.2.0.0/16", &[RIGHT], &[]);
    assert_eq!(node.announced("10.2.0.0/16").len(), 1);
    // Too many to be recorded.
    let many: Vec<String> = (0..300).map(|number| format!("64512:{}", 1000 + number)).collect();
    let many: Vec<&str> = many.iter().map(String::as_str).collect();
    node.announce_with(HIGHER, "10.2.0.0/16", &[RIGHT], &many);
    assert_eq!(node.announced("10.2.0.0/16"), []);
}

/// Two hops on this node: left - middle - right, in both directions.
#[test]
fn the_hops_of_a_chain_may_be_on_one_node() {
    let mut node = Node::new();
    let middle = "64512:15";
    node.attach(&routed(&hop("a1", "tap1", 1, LEFT, middle)));
    node.attach(&routed(&hop("a2", "tap2", 2, middle, LEFT)));
    node.attach(&routed(&hop("b1", "tap3", 3, middle, RIGHT)));
    node.attach(&routed(&hop("b2", "tap4", 4, RIGHT, middle)));
    node.announce_with(HIGHER, "10.2.0.0/16", &[RIGHT], &[]);
    let targets = |node: &Node| -> Vec<String> {
        node.announced("10.2.0.0/16")
            .into_iter()
            .map(|(label, texts)| format!("{label} {}", texts.join(" ")))
            .collect()
    };
    // a1 has label 101, b1 has 105.
    assert_eq!(
        targets(&node),
        ["101 rt:64512:10 rt-record:64512:15 rt-record:64512:20", "105 rt:64512:15 rt-record:64512:20"]
    );
    // a2 sends to b1, and b2 to the other node.
    assert!(matches!(node.hops_in(3, "10.2.0.0/16")[..], [Hop::Adjacency(hop)] if hop.destination == mac(3)));
    assert_eq!(node.hops_in(7, "10.2.0.0/16"), [labelled(HIGHER, 700, MplsForm::Udp)]);

    // What was stored comes out the same.
    let snapshot = node.vpns.snapshot();
    let text = serde_json::to_string(&snapshot).unwrap();
    let mut after =
        Node { vpns: Vpns::restore(config(), &serde_json::from_str(&text).unwrap()).unwrap(), ..Node::new() };
    after.settle();
    after.announce_with(HIGHER, "10.2.0.0/16", &[RIGHT], &[]);
    assert_eq!((after.fib, after.routes), (node.fib.clone(), node.routes.clone()));

    node.vpns.route(&vpn_route(HIGHER, "10.2.0.0/16", 0), None);
    node.settle();
    assert_eq!(targets(&node), [""; 0]);
    for (number, vpn) in [(1, "a1"), (2, "a2"), (3, "b1"), (4, "b2")] {
        node.vpns.detach(&Detach { routed: true, vpn: vpn.into(), ..detach(number, None) }).unwrap();
        node.settle();
    }
    assert_eq!(node.fib, Fib::default());
    assert!(node.routes.is_empty() && node.vpns.is_empty());
}

#[test]
fn what_is_announced_again_may_change() {
    let mut node = Node::new();
    node.attach(&routed(&AttachRequest { readvertise: None, ..hop("left", "tap0", 1, LEFT, RIGHT) }));
    node.announce_with(LOWER, "10.2.0.0/16", &[RIGHT], &[]);
    node.announce_with(HIGHER, "10.3.0.0/16", &[LEFT], &[]);
    assert_eq!(node.hops_in(1, "10.3.0.0/16").len(), 1);
    assert!(node.announced("10.2.0.0/16").is_empty());
    node.attach(&routed(&hop("left", "tap0", 1, LEFT, RIGHT)));
    // The route was not kept: nobody asked for its route target.
    node.announce_with(LOWER, "10.2.0.0/16", &[RIGHT], &[]);
    assert_eq!(node.announced("10.2.0.0/16").len(), 1);
    // Not to say is not to change; to say nothing is.
    node.attach(&routed(&AttachRequest { readvertise: None, ..hop("left", "tap0", 1, LEFT, RIGHT) }));
    assert_eq!(node.announced("10.2.0.0/16").len(), 1);
    // Imported from now on, as well.
    let wider = AttachRequest { import_rt: list("64512:10,64512:20"), ..hop("left", "tap0", 1, LEFT, RIGHT) };
    node.attach(&routed(&AttachRequest { readvertise: None, ..wider }));
    assert_eq!(node.hops_in(1, "10.2.0.0/16"), [labelled(LOWER, 700, MplsForm::Udp)]);
    node.attach(&routed(&AttachRequest { readvertise: None, ..hop("left", "tap0", 1, LEFT, RIGHT) }));
    assert_eq!(node.hops_in(1, "10.2.0.0/16"), []);
    let nothing = Readvertise { from_rt: list(""), to_rt: list("") };
    node.attach(&routed(&AttachRequest {
        readvertise: Some(nothing),
        ..hop("left", "tap0", 1, LEFT, RIGHT)
    }));
    assert!(node.announced("10.2.0.0/16").is_empty());
    assert!(!node.fib.endpoints.contains(&(1, ip(LOWER))));
    assert!(!node.fib.macs[&(1, mac(1))].any_ip);
    assert_eq!(node.hops_in(1, "10.3.0.0/16").len(), 1);
}

/// The hops of a chain that do the same share the load, on this node and on others.
#[test]
fn equal_hops_share_the_load_wherever_they_are() {
    let mut node = Node::new();
    let plain = AttachRequest {
        vpn_instance_id: Some("out".into()),
        import_rt: list(LEFT),
        ..request("tap9", 9, "10.9.0.9")
    };
    node.attach(&routed(&plain));
    node.attach(&routed(&hop("left", "tap0", 1, LEFT, RIGHT)));
    node.announce_with(LOWER, "10.2.0.0/16", &[RIGHT], &[]);
    node.announce_with(HIGHER, "10.2.0.0/16", &[LEFT], &[RIGHT]);
    assert_eq!(node.hops_in(1, "10.2.0.0/16").len(), 2);
}

/// The last port of a one-way chain: nothing is announced of it, and what it sends comes from others.
#[test]
fn what_is_only_sent_from_may_come_from_others() {
    let mut node = Node::new();
    let out = AttachRequest { direction: Some("from-port".into()), ..request("tap0", 1, "10.9.0.1") };
    node.attach(&routed(&out));
    assert!(node.fib.macs[&(1, mac(1))].any_ip);
    node.attach(&routed(&request("tap0", 1, "10.9.0.1")));
    assert!(!node.fib.macs[&(1, mac(1))].any_ip);
}

/// Nodes agree on which of several hops a flow takes, although a hop of their own is another kind of hop.
#[test]
fn equal_hops_are_in_the_order_that_their_routes_say() {
    let ordered = |node: &mut Node, endpoint: &str, order: u32| {
        let route = Remote { encapsulation: None, targets: vec![target(LEFT)], ..remote(endpoint, 0, None) };
        let mut attributes = Attributes { pmsi_tunnel: None, ..route.attributes() };
        let order = (order > 0).then(|| ExtendedCommunity::consistent_hash_sort_order(order));
        attributes.extended_communities.extend(order);
        node.vpns.route(&vpn_route(endpoint, "10.2.0.0/16", 700), Some(&Arc::new(attributes)));
        node.settle();
    };
    let endpoints = |node: &Node| -> Vec<Option<IpAddr>> {
        let endpoint = |hop: &Hop| match hop {
            Hop::Labelled(target) => target.endpoint(),
            _ => None,
        };
        node.hops_in(1, "10.2.0.0/16").iter().map(endpoint).collect()
    };
    let mut node = Node::new();
    node.attach(&routed(&AttachRequest { readvertise: None, ..hop("left", "tap0", 1, LEFT, RIGHT) }));
    ordered(&mut node, LOWER, 2);
    ordered(&mut node, HIGHER, 1);
    assert_eq!(endpoints(&node), [Some(ip(HIGHER)), Some(ip(LOWER))]);
    ordered(&mut node, LOWER, 0);
    assert_eq!(endpoints(&node), [Some(ip(LOWER)), Some(ip(HIGHER))], "none counts as zero");

    let mut own = Node::new();
    own.attach(&routed(&AttachRequest { readvertise: None, ..hop("left", "tap0", 1, LEFT, RIGHT) }));
    let chained = AttachRequest {
        lb_consistent_hash_order: Some(serde_json::from_str("3").unwrap()),
        ..hop("chain", "tap1", 2, LEFT, RIGHT)
    };
    own.attach(&routed(&chained));
    own.announce_with(LOWER, "10.2.0.0/16", &[RIGHT], &[]);
    ordered(&mut own, HIGHER, 1);
    assert_eq!(endpoints(&own), [Some(ip(HIGHER)), None], "the own hop is the third");
}
