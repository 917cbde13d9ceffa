use super::*;

#[test]
fn routes_are_followed_with_the_vni_that_the_remote_advertises() {
    let mut node = Node::new();
    node.attach(&attach("tap0", 1, Some("10.0.0.1")));
    let route = remote(LOWER, 2, Some("10.0.0.2"));
    node.announce(&route);
    assert_eq!(node.target(1, 2), Some(vxlan(LOWER, 700)));
    assert_eq!(node.neighbor(1, "10.0.0.2"), Some(Neighbor { mac: mac(2), router: false, port: None }));
    assert_eq!(node.fib.endpoints, [(1, ip(LOWER))].into());

    node.announce(&multicast(LOWER));
    assert!(node.fib.floods.contains(&(1, vxlan(LOWER, 700))));

    node.announce(&Remote { vni: 701, ..route.clone() });
    assert_eq!(node.target(1, 2), Some(vxlan(LOWER, 701)));
    assert!(node.announce(&Remote { vni: 701, ..route.clone() }).is_empty());

    node.withdraw(&route);
    assert_eq!((node.target(1, 2), node.neighbor(1, "10.0.0.2")), (None, None));
    assert_eq!(node.fib.endpoints, [(1, ip(LOWER))].into(), "its multicast route is still there");
    node.withdraw(&multicast(LOWER));
    assert!(node.fib.endpoints.is_empty());
    assert_eq!(node.fib.floods, [(1, Target::Port(1))].into());
}

#[test]
fn endpoints_may_have_ipv6_addresses() {
    let own = VpnsConfig { local_endpoint: ip("2001:db8::10"), ..config() };
    let mut node = Node { vpns: Vpns::new(own), ..Node::new() };
    node.attach(&attach("tap0", 1, Some("10.0.0.1")));
    assert!(node.routes.values().all(|(_, attributes)| {
        attributes.next_hop.is_some_and(|next_hop| next_hop.address == ip("2001:db8::10"))
    }));
    node.announce(&remote("2001:db8::9", 2, None));
    node.announce(&multicast("2001:db8::9"));
    assert_eq!(node.target(1, 2), Some(vxlan("2001:db8::9", 700)));
    assert!(node.fib.floods.contains(&(1, vxlan("2001:db8::9", 700))));
    assert!(node.announce(&remote("2001:db8::10", 3, None)).is_empty());
}

/// In the maps an IPv4 address has the same key as its form in IPv6: what goes by two names would be removed by
/// one of them while the other is in use.
#[test]
fn an_ipv4_address_goes_by_one_name() {
    let mut node = Node::new();
    node.attach(&attach("tap0", 1, Some("10.0.0.1")));
    let mapped = |address: &str| format!("::ffff:{address}");
    node.announce(&remote(LOWER, 2, None));
    node.announce(&remote(&mapped(LOWER), 3, None));
    node.announce(&multicast(&mapped(LOWER)));
    assert_eq!(node.fib.endpoints, [(1, ip(LOWER))].into());
    assert!(node.fib.floods.contains(&(1, vxlan(LOWER, 700))));
    assert!(node.announce(&remote(&mapped(OWN), 4, None)).is_empty(), "a route of this node");
    assert!(node.announce(&remote(LOWER, 5, Some(&mapped("10.0.0.1")))).is_empty());
}

#[test]
fn route_targets_alone_decide_what_is_imported() {
    let mut node = Node::new();
    node.attach(&Attach { vni: Vni::new(700), ..attach("tap0", 1, None) });
    let other = Remote { targets: vec![target("64512:2")], ..remote(LOWER, 2, None) };
    assert!(node.announce(&other).is_empty(), "the same VNI means nothing");
    let both = Remote { targets: vec![target("64512:2"), target("64512:1")], ..remote(LOWER, 3, None) };
    node.announce(&both);
    assert!(node.target(1, 3).is_some());
    // A route that loses its target is lost.
    node.announce(&Remote { targets: vec![target("64512:2")], ..both });
    assert_eq!(node.target(1, 3), None);
}

#[test]
fn instances_that_import_the_same_target_both_get_the_route() {
    let mut node = Node::new();
    node.attach(&attach("tap0", 1, None));
    node.announce(&remote(LOWER, 7, None));
    // The second instance comes later: the speaker will not emit the route again.
    node.attach(&in_vpn("green", attach("tap1", 2, None)));
    assert!(node.target(1, 7).is_some() && node.target(2, 7).is_some());
    node.vpns.detach(&detach(1, None)).unwrap();
    node.settle();
    assert!(node.target(1, 7).is_none() && node.target(2, 7).is_some());
    node.withdraw(&remote(LOWER, 7, None));
    assert_eq!(node.target(2, 7), None);
}

#[test]
fn what_one_instance_loses_another_keeps() {
    let mut node = Node::new();
    node.attach(&attach("tap0", 1, None));
    node.attach(&in_vpn("green", attach("tap1", 2, None)));
    node.announce(&remote(LOWER, 7, None));
    node.attach(&Attach { import: [].into(), ..attach("tap0", 1, None) });
    assert!(node.target(1, 7).is_none() && node.target(2, 7).is_some());
    node.attach(&attach("tap0", 1, None));
    assert!(node.target(1, 7).is_some());
}

#[test]
fn import_targets_change_without_a_flap() {
    let mut node = Node::new();
    node.attach(&Attach { import: [target("64512:1"), target("64512:2")].into(), ..attach("tap0", 1, None) });
    node.announce(&Remote { targets: vec![target("64512:1")], ..remote(LOWER, 2, None) });
    node.announce(&Remote { targets: vec![target("64512:1"), target("64512:3")], ..remote(LOWER, 3, None) });
    node.announce(&Remote { targets: vec![target("64512:2")], ..remote(LOWER, 4, None) });

    let request = Attach { import: [target("64512:3"), target("64512:2")].into(), ..attach("tap0", 1, None) };
    node.vpns.attach(&request, node.now).unwrap();
    let effects = node.settle();
    assert_eq!(effects.import, [target("64512:3")]);
    assert_eq!(effects.unimport, [target("64512:1")]);
    assert_eq!(effects.changes, [Change::Mac(1, mac(2), None)]);
    assert!(effects.announce.is_empty() && effects.withdraw.is_empty());
}

#[test]
fn what_cannot_be_used_is_ignored_for_a_reason() {
    let good = remote(LOWER, 2, Some("10.0.0.2"));
    let (own, config) = (ip(OWN), config());
    let reason_of =
        |nlri: &Nlri, attributes: Attributes| classify(nlri, &Arc::new(attributes), &config).unwrap_err();
    for (route, reason) in [
        (Remote { encapsulation: Some(TunnelType(19)), ..good.clone() }, Ignored::Encapsulation),
        (Remote { encapsulation: None, vni: 3 << 4, ..good.clone() }, Ignored::Label),
        (Remote { tag: 5, ..good.clone() }, Ignored::EthernetTag),
        (Remote { mac: Some(MacAddr([1; 6])), ..good.clone() }, Ignored::Mac),
        (Remote { mac: Some(MacAddr([0; 6])), ..good.clone() }, Ignored::Mac),
        (Remote { ip: Some(ip("224.0.0.1")), ..good.clone() }, Ignored::Ip),
        (remote(OWN, 2, None), Ignored::Own),
        (multicast(OWN), Ignored::Own),
        (remote("224.0.0.1", 2, None), Ignored::Endpoint),
        (multicast("0.0.0.0"), Ignored::Endpoint),
    ] {
        assert_eq!(reason_of(&route.nlri(), route.attributes()), reason);
        let mut node = Node::new();
        node.attach(&attach("tap0", 1, None));
        assert!(node.announce(&route).is_empty());
        assert!(node.withdraw(&route).is_empty());
    }
    let without_pmsi = Attributes { pmsi_tunnel: None, ..multicast(LOWER).attributes() };
    assert_eq!(reason_of(&multicast(LOWER).nlri(), without_pmsi), Ignored::Pmsi);
    let segment = Nlri::Evpn(EvpnRoute::EthernetSegment {
        rd: RouteDistinguisher([0; 8]),
        esi: Default::default(),
        originator: own,
    });
    assert_eq!(reason_of(&segment, good.attributes()), Ignored::EthernetSegment);
}

#[test]
fn a_route_that_becomes_unusable_is_lost() {
    let mut node = Node::new();
    node.attach(&attach("tap0", 1, None));
    node.announce(&remote(LOWER, 2, None));
    node.announce(&Remote { encapsulation: Some(TunnelType(19)), ..remote(LOWER, 2, None) });
    assert_eq!(node.target(1, 2), None);
    assert!(node.fib.endpoints.is_empty());
}

#[test]
fn a_tagged_route_does_not_remove_an_untagged_one() {
    let mut node = Node::new();
    node.attach(&attach("tap0", 1, None));
    node.announce(&remote(LOWER, 2, None));
    node.withdraw(&Remote { tag: 5, ..remote(LOWER, 2, None) });
    assert!(node.target(1, 2).is_some());
}

#[test]
fn one_of_several_ip_addresses_goes_and_the_others_stay() {
    let mut node = Node::new();
    node.attach(&attach("tap0", 1, None));
    for address in ["10.0.0.2", "10.0.0.3", "2001:db8::2"] {
        node.announce(&remote(LOWER, 2, Some(address)));
    }
    let effects = node.withdraw(&remote(LOWER, 2, Some("10.0.0.3")));
    assert_eq!(effects.changes, [Change::Neighbor(1, ip("10.0.0.3"), None)]);
}

#[test]
fn the_same_routes_give_the_same_state_in_any_order() {
    let routes = [
        remote(LOWER, 2, Some("10.0.0.2")),
        remote(HIGHER, 2, Some("10.0.0.2")),
        Remote { vni: 701, ..remote(HIGHER, 2, None) },
        remote(HIGHER, 3, Some("10.0.0.2")),
        multicast(LOWER),
        multicast(HIGHER),
    ];
    let mut states = Vec::new();
    for start in 0..routes.len() {
        let mut node = Node::new();
        node.attach(&attach("tap0", 1, None));
        for offset in 0..routes.len() {
            node.announce(&routes[(start + offset) % routes.len()]);
        }
        states.push(node.fib);
    }
    assert!(states.windows(2).all(|pair| pair[0] == pair[1]));
}
