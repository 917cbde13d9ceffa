//! Attraction of traffic: what is announced for it, and what comes of the flow specifications of others.

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
