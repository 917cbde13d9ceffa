//! Attraction of traffic: what is announced for it, and what comes of the flow specifications of others.

use bagpipe_bgp::types::IpVersion;
use bagpipe_bgp::wire::flowspec::{Comparison, Component, FlowPrefix, Numeric, NumericField};
use bagpipe_bgp::wire::{FlowSpecRoute, TrafficAction};

use super::relaying::{hop, list};
use super::routing::routed;
use super::*;
use crate::vpn::request::{AttractTraffic, Classifier};

const LEFT: &str = "64512:10";
const RIGHT: &str = "64512:20";
const SENDERS: &str = "64512:30";

/// Attracts TCP from 10.7.0.0/16 to port 80 of what has the route target of the right, and of `fixed`.
fn attracting(fixed: Option<&str>) -> AttachRequest {
    let classifier = Classifier {
        source_prefix: Some("10.7.0.0/16".into()),
        destination_port: serde_json::from_str("80").unwrap(),
        ..Classifier::default()
    };
    AttachRequest {
        attract_traffic: Some(AttractTraffic {
            redirect_rts: list(SENDERS),
            classifier: Some(classifier),
            to_rt: fixed.and(list(LEFT)),
            static_destination_prefixes: fixed.and_then(list),
        }),
        ..hop("left", "tap0", 1, LEFT, RIGHT)
    }
}

impl Node {
    /// The flow specifications that are announced, with their extended communities.
    fn flows(&self) -> Vec<(String, Vec<String>)> {
        let communities = |attributes: &Attributes| {
            attributes.extended_communities.iter().map(ToString::to_string).collect()
        };
        self.flows.iter().map(|(flow, attributes)| (flow.clone(), communities(attributes))).collect()
    }
}

#[test]
fn a_default_route_and_flow_specifications_are_announced_in_place_of_routes() {
    let mut node = Node::new();
    node.attach(&routed(&attracting(None)));
    assert_eq!(node.announced("0.0.0.0/0"), [(101, vec!["rt:64512:10".to_owned()])]);
    assert_eq!(node.announced("::/0"), [], "the port has no address of IPv6");
    assert_eq!(node.flows(), []);

    node.announce_with(LOWER, "10.2.0.0/16", &[RIGHT], &["64512:77"]);
    node.announce_with(HIGHER, "10.3.0.0/16", &[RIGHT], &[SENDERS]);
    node.announce_with(HIGHER, "10.4.0.0/16", &[RIGHT], &[LEFT]);
    assert_eq!(node.announced("10.2.0.0/16"), []);
    let communities =
        ["rt:64512:30", "redirect:64512:10", "rt-record:64512:20", "rt-record:64512:77"].map(str::to_owned);
    let flow = |prefix: &str| {
        format!(
            "flowspec-vpnv4 rd 192.0.2.10:1 destination {prefix} source 10.7.0.0/16 protocol =6 destination-port =80"
        )
    };
    assert_eq!(node.flows(), [(flow("10.2.0.0/16"), communities.to_vec())], "the others came around");

    // Destinations that are given are attracted without a record.
    node.attach(&routed(&attracting(Some("10.9.0.0/24, 2001:db8::/32"))));
    let fixed = communities.iter().take(2).cloned().collect();
    assert_eq!(
        node.flows(),
        [(flow("10.2.0.0/16"), communities.to_vec()), (flow("10.9.0.0/24"), fixed)],
        "no packet goes from IPv4 to IPv6"
    );

    node.vpns.detach(&Detach { routed: true, vpn: "left".into(), ..detach(1, None) }).unwrap();
    node.settle();
    assert_eq!(node.flows(), []);
    assert!(node.routes.is_empty() && node.vpns.is_empty());
}

/// A flow specification of another node: TCP to a prefix, redirected.
fn flow(prefix: &str) -> Nlri {
    let components = vec![
        Component::Destination(FlowPrefix::new(prefix.parse().unwrap(), 0).unwrap()),
        Component::Numeric(NumericField::Protocol, vec![Numeric::new(Comparison::EQUAL, 6)]),
    ];
    let rd = RouteDistinguisher::from_ipv4("192.0.2.9".parse().unwrap(), 1);
    Nlri::FlowSpec(FlowSpecRoute::new(rd, IpVersion::V4, components).unwrap())
}

fn redirecting(import: &str, to: &str) -> Arc<Attributes> {
    let action = TrafficAction::Redirect(target(to));
    Arc::new(Attributes {
        extended_communities: vec![target(import).into(), action.into()],
        ..Attributes::default()
    })
}

#[test]
fn packets_of_a_flow_specification_are_routed_by_an_instance_of_its_own() {
    let mut node = Node::new();
    node.attach(&routed(&AttachRequest { readvertise: None, ..hop("client", "tap0", 1, SENDERS, RIGHT) }));
    node.vpns.route(&flow("10.2.0.0/16"), Some(&redirecting(SENDERS, LEFT)));
    node.vpns.route(&flow("10.2.3.0/24"), Some(&redirecting(SENDERS, LEFT)));
    let effects = node.settle();
    assert_eq!(effects.import, [target(LEFT)]);
    let rules = &node.fib.classifiers[&1];
    let destinations: Vec<_> = rules.iter().filter_map(|rule| rule.destination).collect();
    assert_eq!(destinations, ["10.2.3.0/24", "10.2.0.0/16"].map(|text| text.parse().unwrap()));
    assert!(rules.iter().all(|rule| rule.vrf == 2 && rule.protocol == Some(6)));
    assert_eq!(node.vpns.describe(2).unwrap(), "VPN instance 'redirect-to-ipvpn-64512_10' (ipvpn)");
    node.announce_with(LOWER, "0.0.0.0/0", &[LEFT], &[]);
    assert_eq!((node.hops_in(2, "0.0.0.0/0").len(), node.hops_in(1, "0.0.0.0/0").len()), (1, 0));

    // It is neither attached to nor stored.
    let attach = hop("redirect-to-ipvpn-64512_10", "tap1", 2, LEFT, RIGHT);
    node.vpns.attach(&routed(&attach), node.now).unwrap_err();
    assert_eq!(node.vpns.snapshot().vpns.len(), 1);

    // What asks for more than a redirect is not applied.
    let mut more = (*redirecting(SENDERS, LEFT)).clone();
    more.extended_communities.push(TrafficAction::Mark(46).into());
    node.vpns.route(&flow("10.2.3.0/24"), Some(&Arc::new(more)));
    node.settle();
    assert_eq!(node.fib.classifiers[&1].len(), 1);
    node.vpns.route(&flow("10.2.0.0/16"), None);
    let effects = node.settle();
    assert_eq!(effects.unimport, [target(LEFT)]);
    assert!(node.fib.classifiers.is_empty() && !node.fib.vpns.contains_key(&2));
}

#[test]
fn instances_of_one_node_attract_from_each_other() {
    let mut node = Node::new();
    node.attach(&routed(&AttachRequest { readvertise: None, ..hop("client", "tap1", 2, SENDERS, RIGHT) }));
    node.attach(&routed(&attracting(Some("10.9.0.0/24"))));
    let rules = &node.fib.classifiers[&1];
    let vrf = rules[0].vrf;
    assert_eq!((rules.len(), rules[0].destination_ports), (1, Some((80, 80))));
    assert_eq!(node.hops_in(vrf, "0.0.0.0/0").len(), 1);
    node.vpns.detach(&Detach { routed: true, vpn: "left".into(), ..detach(1, None) }).unwrap();
    node.settle();
    assert!(node.fib.classifiers.is_empty());
    node.vpns.detach(&Detach { routed: true, vpn: "client".into(), ..detach(2, None) }).unwrap();
    node.settle();
    assert!(node.vpns.is_empty() && node.fib == Fib::default());
}

#[test]
fn rules_stay_after_a_restart_until_all_flow_specifications_have_come() {
    let mut node = Node::new();
    node.attach(&routed(&AttachRequest { readvertise: None, ..hop("client", "tap0", 1, SENDERS, RIGHT) }));
    for (prefix, to) in [("10.2.0.0/16", LEFT), ("10.3.0.0/16", "64512:11"), ("10.4.0.0/16", LEFT)] {
        node.vpns.route(&flow(prefix), Some(&redirecting(SENDERS, to)));
    }
    node.settle();
    let rules = node.fib.classifiers[&1].clone();
    let text = serde_json::to_string(&node.vpns.snapshot()).unwrap();
    let snapshot: Snapshot = serde_json::from_str(&text).unwrap();
    assert_eq!(snapshot.numbers().collect::<Vec<_>>(), [1, 2, 3]);

    let mut after = Node { vpns: Vpns::restore(config(), &snapshot).unwrap(), ..Node::new() };
    after.vpns.hold_flows();
    after.settle();
    for (prefix, to) in [("10.4.0.0/16", LEFT), ("10.3.0.0/16", "64512:11")] {
        after.vpns.route(&flow(prefix), Some(&redirecting(SENDERS, to)));
        after.settle();
        assert!(after.fib.classifiers.is_empty(), "what is adopted goes on");
    }
    // An instance that was not there before has nothing to go on with.
    after.attach(&routed(&AttachRequest { readvertise: None, ..hop("new", "tap1", 2, SENDERS, RIGHT) }));
    assert_eq!(after.fib.classifiers.len(), 1);
    after.vpns.route(&flow("10.2.0.0/16"), Some(&redirecting(SENDERS, LEFT)));
    after.vpns.release_flows();
    after.settle();
    assert_eq!(after.fib.classifiers[&1], rules, "the same numbers, too");
    assert_eq!(after.vpns.snapshot().redirects, snapshot.redirects);

    // What nothing is redirected to any longer goes then.
    let mut gone = Node { vpns: Vpns::restore(config(), &snapshot).unwrap(), ..Node::new() };
    gone.vpns.hold_flows();
    gone.vpns.route(&flow("10.3.0.0/16"), Some(&redirecting(SENDERS, "64512:11")));
    gone.settle();
    assert_eq!(gone.fib.vpns.len(), 3);
    gone.vpns.release_flows();
    gone.settle();
    assert_eq!((gone.fib.vpns.len(), gone.fib.classifiers[&1].len()), (2, 1));

    let contradicting = |change: fn(&mut Snapshot)| {
        let mut snapshot = snapshot.clone();
        change(&mut snapshot);
        Vpns::restore(config(), &snapshot).unwrap_err().to_string()
    };
    assert!(contradicting(|it| it.redirects[0].number = 1).contains("number"));
    assert!(contradicting(|it| it.redirects[0].target = it.redirects[1].target).contains("name"));
    assert!(contradicting(|it| it.redirects[0].vni = it.redirects[1].vni).contains("VNI"));
    assert!(contradicting(|it| it.redirects[0].label = it.redirects[1].label).contains("label"));
}

#[test]
fn more_than_an_instance_takes_is_told() {
    let mut node = Node::new();
    node.attach(&routed(&AttachRequest { readvertise: None, ..hop("client", "tap0", 1, SENDERS, RIGHT) }));
    let prefix = |number: u8| format!("10.{number}.0.0/16");
    for number in 0..70 {
        node.vpns.route(&flow(&prefix(number)), Some(&redirecting(SENDERS, LEFT)));
    }
    assert!(node.settle().health);
    let rules = &node.fib.classifiers[&1];
    assert_eq!((rules.len(), rules[63].destination), (64, Some(prefix(63).parse().unwrap())));
    let told: Vec<_> = node.vpns.shortages().collect();
    assert!(told.len() == 1 && told[0].0 == 1 && told[0].1.starts_with("applies 64 of 70"), "{told:?}");
    for number in 0..6 {
        node.vpns.route(&flow(&prefix(number)), None);
    }
    assert!(node.settle().health);
    assert_eq!((node.fib.classifiers[&1].len(), node.vpns.shortages().count()), (64, 0));

    // There are four VNIs: two are left for what is redirected elsewhere.
    for (number, to) in (100..).zip(["64512:11", "64512:12", "64512:13"]) {
        node.vpns.route(&flow(&prefix(number)), Some(&redirecting(SENDERS, to)));
    }
    for number in 6..60 {
        node.vpns.route(&flow(&prefix(number)), None);
    }
    assert!(node.settle().health);
    let told: Vec<_> = node.vpns.shortages().collect();
    assert!(told.len() == 1 && told[0].1.contains("redirect to 64512:13: no instance number"), "{told:?}");
    assert_eq!(node.fib.classifiers[&1].len(), 12);
}
