//! What stays, moves and goes when hops and segments change, and when the agent comes back.

use super::histories::{Step, take};
use super::*;

#[test]
fn a_node_leaves_a_segment_for_all_mac_addresses_at_once() {
    let mut node = Node::new();
    node.apply(&Change::Vpn(7, Some(vni(100))));
    for number in 1..4 {
        take(&mut node, Step::Route { remote: number, gateway: None, mtu: None });
    }
    let segment = Segment { vpn: 7, esi: EthernetSegmentId([1; 10]) };
    let targets = |numbers: &[u8]| {
        let vxlan = |number: &u8| Target::Vxlan { endpoint: remote(*number), vni: vni(100) };
        Some(numbers.iter().map(vxlan).collect())
    };
    node.apply(&Change::Segment(segment, targets(&[1, 2, 3])));
    for last in 0..3 {
        node.apply(&Change::Mac(7, mac(last), Some(Mac { target: Target::Segment(segment), any_ip: false })));
    }
    node.check();
    let buckets = |node: &Node| buckets_from(node, |key| matches!(key, Key::Fdb(_)));
    let before = buckets(&node);
    node.kernel.writes.clear();
    node.apply(&Change::Segment(segment, targets(&[1, 3])));
    node.check();
    assert_eq!(node.kernel.writes, [Map::Groups].into());
    let after = buckets(&node);
    let moved = before.iter().zip(&after).filter(|(before, after)| before != after).count();
    assert!((21..=22).contains(&moved), "flows of those that stay do not move: {moved}");

    // A restart does not know which segment it was until it is told; nothing moves meanwhile.
    node.restart();
    node.commit().unwrap();
    assert_eq!(buckets(&node), after);
    let confirmations = changes(node.fib.clone());
    let mut told = |change: &Change| {
        node.tables.apply(change);
        node.commit().unwrap();
        assert_eq!(buckets(&node), after, "{change:?}");
    };
    told(&Change::Segment(segment, targets(&[3])));
    confirmations.iter().filter(|change| matches!(change, Change::Mac(..))).for_each(&mut told);
    confirmations.iter().for_each(|change| node.tables.apply(change));
    node.tables.sweep();
    node.check();
    assert_eq!(buckets(&node), after, "nor then");
}

#[test]
fn a_restart_moves_no_flow_while_hops_are_told_of_one_by_one() {
    let mut node = Node::new();
    node.apply(&Change::Vpn(7, Some(vni(100))));
    for number in 1..4 {
        take(&mut node, Step::Route { remote: number, gateway: None, mtu: None });
    }
    let route = |numbers: &[u8]| {
        let hop = |number: &u8| {
            let label = Label::new(16).unwrap();
            Hop::Labelled(Target::Mpls { endpoint: remote(*number), label, form: MplsForm::Udp })
        };
        let hops = numbers.iter().map(hop).collect();
        Change::Route(7, "10.0.0.0/24".parse().unwrap(), Some(Route { hops }))
    };
    let buckets = |node: &Node| buckets_from(node, |key| matches!(key, Key::Route(_)));
    for hops in [&[1, 2, 3][..], &[1, 3], &[1, 2, 3]] {
        node.apply(&route(hops));
        node.commit().unwrap();
    }
    let before = buckets(&node);
    node.restart();
    node.apply(&Change::Vpn(7, Some(vni(100))));
    for hops in [&[3][..], &[2, 3], &[1, 2, 3]] {
        node.apply(&route(hops));
        node.commit().unwrap();
        assert_eq!(buckets(&node), before, "{hops:?}");
    }
    node.tables.sweep();
    node.check();
    assert_eq!(buckets(&node), before);

    // What is all that has come when the rest is swept is all there is.
    node.restart();
    node.apply(&Change::Vpn(7, Some(vni(100))));
    node.apply(&route(&[1, 3]));
    node.commit().unwrap();
    assert_eq!(buckets(&node), before);
    assert_eq!(node.tables.sweep(), 0);
    node.check();
}

#[test]
fn what_is_not_confirmed_after_a_restart_is_swept() {
    let mut node = Node::new();
    node.kernel.routes.insert(remote(1), underlay::Route { ifindex: 2, gateway: None, mtu: None });
    node.apply(&Change::Vpn(7, Some(vni(100))));
    node.apply(&Change::Vpn(8, Some(vni(200))));
    for (vpn, last) in [(7, 0), (7, 1), (8, 0)] {
        node.apply(&remote_mac(vpn, last, 1));
    }
    node.commit().unwrap();
    // Instance 8 was not restored; MAC address 1 is not advertised any longer.
    for gone in [Change::Vpn(8, None), Change::Mac(8, mac(0), None), Change::Mac(7, mac(1), None)] {
        node.fib.apply(&gone);
    }
    node.restart();
    node.commit().unwrap();
    let fdb = |node: &Node| node.kernel.maps.keys().filter(|key| key.map() == Map::Fdb).count();
    assert_eq!(fdb(&node), 2, "an unknown instance's entries go at once, others stay");
    for change in changes(node.fib.clone()) {
        node.tables.apply(&change);
    }
    assert_eq!(node.tables.sweep(), 1);
    node.check();
    assert_eq!(fdb(&node), 1);
}

#[test]
fn rules_go_on_over_a_restart_and_only_their_difference_is_written() {
    let mut node = Node::new();
    for vpn in [7, 8] {
        node.apply(&Change::Vpn(vpn, Some(vni(u32::from(vpn)))));
    }
    let to = |last: u8| Rule {
        version: IpVersion::V4,
        source: None,
        destination: Some(IpPrefix::host([10, 0, 0, last].into())),
        protocol: Some(6),
        source_ports: None,
        destination_ports: Some((80, 90)),
        vrf: 8,
    };
    let rules = |numbers: &[u8]| Change::Classifier(7, Some(numbers.iter().copied().map(to).collect()));
    let first = |node: &Node| node.kernel.maps.get(&Key::Classifier(7)).cloned();
    node.apply(&rules(&[1, 2, 3]));
    node.check();
    let before = node.kernel.contents();
    node.restart();
    node.commit().unwrap();
    assert_eq!(node.kernel.contents(), before, "nothing is told yet, and nothing changes");
    node.kernel.writes.clear();
    changes(node.fib.clone()).iter().for_each(|change| node.tables.apply(change));
    node.tables.sweep();
    node.check();
    assert_eq!((node.kernel.writes.len(), node.kernel.contents()), (0, before.clone()));

    // In front of those that stay there is one more, then they change places with none.
    node.apply(&rules(&[9, 2, 3]));
    node.check();
    let written = |node: &Node| node.kernel.contents().len() - before.len();
    assert_eq!(written(&node), 1, "the new rule");

    // What is not told again goes.
    node.fib.apply(&Change::Classifier(7, None));
    node.restart();
    assert!(first(&node).is_some());
    changes(node.fib.clone()).iter().for_each(|change| node.tables.apply(change));
    assert_eq!(node.tables.sweep(), 1);
    node.check();
    assert_eq!(first(&node), None);

    // Rules that lead to an instance which is not known any more lead nowhere.
    node.apply(&rules(&[1]));
    node.commit().unwrap();
    node.fib.apply(&Change::Vpn(8, None));
    node.restart();
    node.commit().unwrap();
    assert_eq!(first(&node), None);
}
