use super::*;

#[test]
fn the_first_attach_creates_an_instance_and_the_last_detach_leaves_nothing() {
    let mut node = Node::new();
    let attached = node.attach(&attach("tap0", 1, Some("10.0.0.1")));
    assert_eq!((attached.vpn, attached.port, attached.vni.get()), (1, Some(1), 16_000));
    assert!(attached.created && attached.changed);

    assert_eq!(node.fib.vpns, [(1, attached.vni)].into());
    assert_eq!(node.fib.ports[&1].interface, "tap0");
    assert_eq!(node.fib.macs[&(1, mac(1))], Mac { target: Target::Port(1), any_ip: false });
    assert_eq!(node.neighbor(1, "10.0.0.1"), Some(Neighbor { mac: mac(1), router: false, port: Some(1) }));
    assert_eq!(node.fib.floods, [(1, Target::Port(1))].into());

    assert_eq!(node.detach(1, Some("10.0.0.1")), Detached { vpn: 1, removed: true, changed: true });
    assert_eq!(node.fib, Fib::default());
    assert!(node.routes.is_empty() && node.vpns.is_empty());
}

#[test]
fn originated_routes_carry_what_others_need() {
    let mut node = Node::new();
    let attached = node.attach(&attach("tap0", 1, Some("10.0.0.1")));
    let rd = RouteDistinguisher::from_ipv4("192.0.2.10".parse().unwrap(), 1);

    let (nlri, attributes) = &node.routes[&RouteKey::MacIp(rd, mac(1), Some(ip("10.0.0.1")))];
    let Nlri::Evpn(EvpnRoute::MacIp { tag: 0, label, ip_label: None, esi, .. }) = nlri else { panic!() };
    assert_eq!((label.vni(), *esi), (attached.vni, Default::default()));
    assert_eq!(attributes.next_hop.map(|next_hop| next_hop.address), Some(ip(OWN)));
    assert_eq!(attributes.route_targets().collect::<Vec<_>>(), [target("64512:1")]);
    let encapsulation = ExtendedCommunity::encapsulation(TunnelType::VXLAN);
    assert!(attributes.extended_communities.contains(&encapsulation));
    assert_eq!(attributes.pmsi_tunnel, None);

    let (_, attributes) = &node.routes[&RouteKey::Multicast(rd, ip(OWN))];
    let pmsi = attributes.pmsi_tunnel.as_ref().unwrap();
    assert_eq!(
        (pmsi.label.vni(), &pmsi.tunnel),
        (attached.vni, &PmsiTunnelKind::IngressReplication(ip(OWN)))
    );
    assert!(attributes.extended_communities.contains(&encapsulation));
}

#[test]
fn attaching_again_changes_nothing() {
    let mut node = Node::new();
    for request in [attach("tap0", 1, Some("10.0.0.1")), attach("tap1", 2, None)] {
        node.attach(&request);
        assert!(!node.attach(&request).changed);
    }
}

#[test]
fn ports_have_several_mac_addresses_and_those_several_ip_addresses() {
    let mut node = Node::new();
    for (address, ip_address) in [(1, "10.0.0.1"), (1, "2001:db8::1"), (1, "10.0.0.3"), (2, "10.0.0.2")] {
        assert_eq!(node.attach(&attach("tap0", address, Some(ip_address))).port, Some(1));
    }
    assert_eq!((node.fib.ports.len(), node.fib.macs.len(), node.fib.neighbors.len()), (1, 2, 4));
    assert_eq!(node.mac_routes().len(), 4);

    node.detach(1, Some("10.0.0.3"));
    assert_eq!((node.fib.macs.len(), node.fib.neighbors.len()), (2, 3));
    node.detach(1, None);
    assert_eq!((node.fib.ports.len(), node.fib.macs.len(), node.fib.neighbors.len()), (1, 1, 1));
    assert!(node.detach(2, None).removed);
    assert_eq!(node.fib, Fib::default());
}

#[test]
fn an_ip_address_replaces_any_address_without_a_gap_and_back() {
    let mut node = Node::new();
    node.attach(&attach("tap0", 1, None));
    assert_eq!(node.mac_routes(), [(mac(1), None, 0)]);
    assert!(node.fib.macs[&(1, mac(1))].any_ip);

    for (ip_address, gone) in [(Some("10.0.0.1"), None), (None, Some("10.0.0.1"))] {
        node.vpns.attach(&attach("tap0", 1, ip_address), node.now).unwrap();
        let effects = node.settle();
        let key = |address: Option<&str>| {
            let rd = RouteDistinguisher::from_ipv4("192.0.2.10".parse().unwrap(), 1);
            Some(RouteKey::MacIp(rd, mac(1), address.map(ip)))
        };
        // `Effects` promises that announcements are carried out before withdrawals.
        assert_eq!(
            effects.announce.iter().map(|(nlri, _)| RouteKey::of(nlri)).collect::<Vec<_>>(),
            [key(ip_address)]
        );
        assert_eq!(effects.withdraw.iter().map(RouteKey::of).collect::<Vec<_>>(), [key(gone)]);
        assert_eq!(node.fib.macs[&(1, mac(1))].any_ip, ip_address.is_none());
    }
}

#[test]
fn contradictions_are_refused_and_change_nothing() {
    let mut node = Node::new();
    node.attach(&Attach { vni: Vni::new(100), ..attach("tap0", 1, Some("10.0.0.1")) });
    node.attach(&in_vpn("green", attach("tap9", 9, None)));
    for (request, words) in [
        (attach("tap1", 1, Some("10.0.0.1")), &["02:00:00:00:00:01", "tap0", "tap1"][..]),
        (attach("tap1", 2, Some("10.0.0.1")), &["10.0.0.1", "02:00:00:00:00:01", "02:00:00:00:00:02"]),
        (attach("tap9", 3, None), &["tap9", "green"]),
        (in_vpn("red", attach("tap0", 1, None)), &["tap0", "blue"]),
        (Attach { vni: Vni::new(101), ..attach("tap0", 1, None) }, &["100", "101", "blue"]),
        (Attach { vni: Vni::new(100), ..in_vpn("red", attach("tap5", 5, None)) }, &["100", "blue"]),
        (Attach { vni: Vni::new(16_000), ..in_vpn("red", attach("tap5", 5, None)) }, &["16000", "green"]),
    ] {
        let before = node.vpns.snapshot();
        let error = node.vpns.attach(&request, node.now).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Conflict);
        assert_eq!(node.vpns.check(&request), Err(error.clone()));
        for word in words {
            assert!(error.to_string().contains(word), "{error}");
        }
        assert_eq!(node.vpns.snapshot(), before);
        assert!(node.settle().is_empty());
    }
}

#[test]
fn identifiers_run_out_and_come_back() {
    let mut node = Node::new();
    for (number, name) in ["a", "b", "c", "d"].into_iter().enumerate() {
        node.attach(&in_vpn(name, attach(&format!("tap{number}"), 1, None)));
    }
    let fifth = in_vpn("e", attach("tap8", 1, None));
    let error = node.vpns.attach(&fifth, node.now).unwrap_err();
    assert!(error.to_string().contains("VNI is left of 16000 to 16003"), "{error}");

    node.vpns.detach(&Detach { vpn: "b".into(), ..detach(1, None) }).unwrap();
    node.settle();
    assert_eq!(node.attach(&fifth).vni.get(), 16_001);
}

#[test]
fn detaching_names_what_is_not_there() {
    let mut node = Node::new();
    let error = node.vpns.detach(&detach(1, None)).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NotFound);
    assert!(error.to_string().contains("blue"), "{error}");

    node.attach(&attach("tap0", 1, Some("10.0.0.1")));
    for (address, ip_address) in [(1, "10.0.0.2"), (2, "10.0.0.1")] {
        let error = node.vpns.detach(&detach(address, Some(ip_address))).unwrap_err();
        assert!(error.to_string().contains(ip_address), "{error}");
    }
    assert_eq!(node.detach(2, None), Detached { vpn: 1, removed: false, changed: false });
}

#[test]
fn export_targets_change_in_place_with_the_multicast_route() {
    let mut node = Node::new();
    node.attach(&attach("tap0", 1, Some("10.0.0.1")));
    let other = Attach { export: [target("64512:2")].into(), ..attach("tap0", 1, Some("10.0.0.1")) };
    node.vpns.attach(&other, node.now).unwrap();
    let effects = node.settle();
    assert_eq!((effects.announce.len(), effects.withdraw.len(), effects.changes.len()), (2, 0, 0));
    for (_, attributes) in node.routes.values() {
        assert_eq!(attributes.route_targets().collect::<Vec<_>>(), [target("64512:2")]);
    }
    // Without export targets nobody could import: the routes go.
    node.attach(&Attach { export: [].into(), ..attach("tap0", 1, Some("10.0.0.1")) });
    assert!(node.routes.is_empty());
    node.attach(&other);
    assert_eq!(node.routes.len(), 2);
}

#[test]
fn the_gateway_answers_as_a_router() {
    let mut node = Node::new();
    node.attach(&Attach { gateway: Some(ip("2001:db8::1")), ..attach("tap0", 1, Some("2001:db8::1")) });
    assert!(node.neighbor(1, "2001:db8::1").unwrap().router);
    node.attach(&Attach { gateway: Some(ip("2001:db8::2")), ..attach("tap0", 1, Some("2001:db8::1")) });
    assert!(!node.neighbor(1, "2001:db8::1").unwrap().router);
}
