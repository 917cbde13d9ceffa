use super::*;

/// After this an instance has heard of other nodes.
const LONG: Duration = Duration::from_secs(1);

#[test]
fn a_new_instance_takes_the_first_routes_for_older_than_its_attachments() {
    let mut node = Node::new();
    node.attach(&attach("tap0", 1, Some("10.0.0.1")));
    let claim = Remote { sequence: 6, ..remote(LOWER, 1, Some("10.0.0.1")) };
    assert!(node.announce(&claim).renumbered);
    assert_eq!(node.mac_routes(), [(mac(1), Some(ip("10.0.0.1")), 7)]);
    // Only once: the other node may have the same reason.
    assert!(!node.announce(&Remote { sequence: 8, ..claim }).renumbered);
    assert!(node.mac_routes().is_empty());
}

#[test]
fn a_static_mac_address_of_another_node_is_not_outbid() {
    let mut node = Node::new();
    node.attach(&attach("tap0", 1, None));
    node.announce(&Remote { sticky: true, ..remote(LOWER, 1, None) });
    assert!(node.mac_routes().is_empty());
}

#[test]
fn what_is_attached_later_knows_the_routes_already() {
    let mut node = Node::new();
    node.attach(&attach("tap0", 1, None));
    node.wait(LONG);
    node.attach(&attach("tap0", 2, None));
    node.announce(&Remote { sequence: 1, ..remote(LOWER, 2, None) });
    assert_eq!(node.mac_routes(), [(mac(1), None, 0)]);
}

#[test]
fn a_mac_address_attached_over_a_remote_one_takes_the_next_sequence_number() {
    let mut node = Node::new();
    node.attach(&attach("tap0", 1, None));
    node.announce(&Remote { sequence: 4, ..remote(LOWER, 2, Some("10.0.0.2")) });
    node.attach(&attach("tap1", 2, Some("10.0.0.2")));
    assert_eq!(node.target(1, 2), Some(Target::Port(2)), "the local one is preferred");
    assert!(node.mac_routes().contains(&(mac(2), Some(ip("10.0.0.2")), 5)));
    // Its other addresses have the same number.
    node.attach(&attach("tap1", 2, Some("10.0.0.3")));
    assert!(node.mac_routes().contains(&(mac(2), Some(ip("10.0.0.3")), 5)));
    // The old node withdraws: nothing changes here.
    assert!(
        node.withdraw(&remote(LOWER, 2, Some("10.0.0.2")))
            .changes
            .iter()
            .all(|change| matches!(change, Change::Endpoint(..)))
    );
}

#[test]
fn a_better_claim_of_another_node_silences_ours_until_it_goes() {
    for (claim, wins) in [
        (remote(LOWER, 1, None), true),
        (remote(HIGHER, 1, None), false),
        (Remote { sequence: 1, ..remote(HIGHER, 1, None) }, true),
        (Remote { sticky: true, ..remote(HIGHER, 1, None) }, true),
    ] {
        let mut node = Node::new();
        node.attach(&attach("tap0", 1, Some("10.0.0.1")));
        node.wait(LONG);
        let advertised = node.mac_routes();
        node.announce(&claim);
        assert_eq!(node.mac_routes().is_empty(), wins);
        assert_eq!(node.vpns.ports().next().unwrap().macs[0].advertised, !wins);
        assert_eq!(node.target(1, 1), Some(Target::Port(1)), "the attachment is the authority here");
        assert!(node.neighbor(1, "10.0.0.1").is_some());
        node.withdraw(&claim);
        assert_eq!(node.mac_routes(), advertised);
    }
}

#[test]
fn a_silenced_mac_address_gets_and_loses_ip_addresses_in_silence() {
    let mut node = Node::new();
    node.attach(&attach("tap0", 1, Some("10.0.0.1")));
    node.wait(LONG);
    let claim = Remote { sequence: 1, ..remote(HIGHER, 1, Some("10.0.0.1")) };
    node.announce(&claim);
    node.attach(&attach("tap0", 1, Some("10.0.0.2")));
    node.detach(1, Some("10.0.0.1"));
    assert!(node.mac_routes().is_empty());
    node.withdraw(&claim);
    assert_eq!(node.mac_routes(), [(mac(1), Some(ip("10.0.0.2")), 0)]);
}

#[test]
fn the_sequence_number_stays_at_its_end() {
    let mut node = Node::new();
    node.attach(&attach("tap0", 1, None));
    node.announce(&Remote { sequence: u32::MAX, ..remote(HIGHER, 2, None) });
    node.attach(&attach("tap1", 2, None));
    assert!(node.mac_routes().contains(&(mac(2), None, u32::MAX)), "the lower endpoint wins");
}

#[test]
fn among_remote_claims_the_greatest_is_followed() {
    let mut node = Node::new();
    node.attach(&attach("tap0", 1, None));
    node.announce(&remote(HIGHER, 2, Some("10.0.0.2")));
    assert_eq!(node.target(1, 2), Some(vxlan(HIGHER, 700)));
    node.announce(&remote(LOWER, 2, Some("10.0.0.2")));
    assert_eq!(node.target(1, 2), Some(vxlan(LOWER, 700)));
    node.announce(&Remote { sequence: 1, ..remote(HIGHER, 2, None) });
    assert_eq!(node.target(1, 2), Some(vxlan(HIGHER, 700)), "the MAC address counts, not its IP address");
    node.announce(&Remote { sticky: true, ..remote(LOWER, 2, None) });
    assert_eq!(node.target(1, 2), Some(vxlan(LOWER, 700)));
}

#[test]
fn a_moved_mac_address_is_followed_without_a_gap() {
    let mut node = Node::new();
    node.attach(&attach("tap0", 1, None));
    node.announce(&remote(LOWER, 2, None));
    let moved = node.announce(&Remote { sequence: 1, ..remote(HIGHER, 2, None) });
    let wanted = Mac { target: vxlan(HIGHER, 700), any_ip: false };
    assert!(moved.changes.contains(&Change::Mac(1, mac(2), Some(wanted))));
    let gone = node.withdraw(&remote(LOWER, 2, None));
    assert_eq!(gone.changes, [Change::Endpoint(1, ip(LOWER), false)]);
    // And back to this node, and away again.
    node.attach(&attach("tap1", 2, None));
    assert_eq!(node.target(1, 2), Some(Target::Port(2)));
    node.detach(2, None);
    assert_eq!(node.target(1, 2), Some(vxlan(HIGHER, 700)));
}

#[test]
fn only_the_attachment_says_which_ip_addresses_a_local_mac_address_has() {
    let mut node = Node::new();
    node.attach(&attach("tap0", 1, Some("10.0.0.1")));
    node.announce(&remote(HIGHER, 1, Some("10.0.0.9")));
    assert_eq!(node.neighbor(1, "10.0.0.9"), None);
    node.announce(&remote(HIGHER, 3, Some("10.0.0.1")));
    assert_eq!(node.neighbor(1, "10.0.0.1").unwrap().mac, mac(1), "the local one is preferred");
    node.attach(&attach("tap0", 4, None));
    node.detach(1, None);
    assert_eq!(node.neighbor(1, "10.0.0.9").unwrap().mac, mac(1), "now it is remote");
    assert_eq!(node.neighbor(1, "10.0.0.1").unwrap().mac, mac(3));
}
