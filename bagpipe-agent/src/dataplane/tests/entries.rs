//! What single changes do to the maps: full ones, slots, interfaces, trunks.

use super::histories::{Step, take};
use super::*;

#[test]
fn a_full_map_degrades_an_instance_until_there_is_space() {
    let mut node = Node::new();
    node.kernel.capacity = BTreeMap::from([(Map::Fdb, 2)]);
    node.apply(&Change::Vpn(7, Some(vni(100))));
    for last in 0..3 {
        node.apply(&remote_mac(7, last, 1));
    }
    assert_eq!(node.commit(), Err(Failure::Full { map: Map::Fdb }));
    assert_eq!(node.commit(), Ok(()), "it is told once");
    let health = node.tables.health();
    assert!(
        health.len() == 1
            && health[0].vpn == Some(7)
            && health[0].what.starts_with("lacks 1 entry: map FDB is full"),
        "{health:?}"
    );
    assert_eq!(node.tables.verify(&node.kernel.contents()), []);
    node.apply(&Change::Mac(7, mac(0), None));
    node.commit().unwrap();
    assert_eq!(node.tables.health(), []);
    node.check();
}

#[test]
fn a_flood_list_ends_before_a_member_that_found_no_space() {
    let mut node = Node::new();
    node.kernel.capacity = BTreeMap::from([(Map::Floods, 2)]);
    node.apply(&Change::Vpn(7, Some(vni(100))));
    for port in 0..3 {
        node.apply(&Change::Flood(7, Target::Port(port), true));
    }
    assert_eq!(node.commit(), Err(Failure::Full { map: Map::Floods }));
    let count = |node: &Node| match node.kernel.maps.get(&Key::Vpn(7)) {
        Some(Value::Vpn(vpn)) => vpn.local_ports,
        _ => 0,
    };
    assert_eq!(count(&node), 2);
    // The member that found no space is moved to the place of one that leaves.
    node.apply(&Change::Flood(7, Target::Port(0), false));
    node.commit().unwrap();
    node.now += GRACE;
    node.commit().unwrap();
    assert_eq!((count(&node), node.tables.health()), (2, vec![]));
    node.check();
}

#[test]
fn a_changed_next_hop_mac_changes_one_slot_and_no_route() {
    let mut node = Node::new();
    node.kernel
        .routes
        .insert(remote(1), underlay::Route { ifindex: 2, gateway: Some(gateway(0)), mtu: None });
    take(&mut node, Step::Neighbor { gateway: 0, mac: Some(1) });
    node.apply(&Change::Vpn(7, Some(vni(100))));
    for last in 0..9 {
        node.apply(&remote_mac(7, last, 1));
    }
    node.commit().unwrap();
    let before = node.kernel.contents();
    take(&mut node, Step::Neighbor { gateway: 0, mac: Some(2) });
    node.commit().unwrap();
    let changed: Vec<Key> = node
        .kernel
        .contents()
        .into_iter()
        .filter(|entry| !before.contains(entry))
        .map(|(key, _)| key)
        .collect();
    assert_eq!(changed, [Key::Encap(2), Key::Nexthop(1)]);
}

#[test]
fn an_interface_that_vanishes_and_comes_back_is_attached_again() {
    let mut node = Node::new();
    node.apply(&Change::Vpn(7, Some(vni(100))));
    node.apply(&Change::Port(1, Some(Port { interface: "tap1".into(), vpn: 7, egress: false })));
    node.check();
    assert!(node.kernel.attached.is_empty(), "it is away");
    for index in [20, 30] {
        node.link(index, "tap1", 1400);
        node.check();
        assert_eq!(node.kernel.attached, BTreeSet::from([index]));
        take(&mut node, Step::NoLink { index });
        node.check();
        assert!(node.kernel.attached.is_empty());
    }
}

#[test]
fn vlans_on_a_trunk_are_ports_of_their_own() {
    let mut node = Node::new();
    node.link(30, "tap3", 1400);
    node.link(31, "tap30", 1400);
    node.apply(&Change::Vpn(7, Some(vni(100))));
    let at = |name: &str| Some(Port { interface: name.into(), vpn: 7, egress: false });
    node.apply(&Change::Port(3, at("tap3")));
    node.apply(&Change::Port(6, at("tap30")));
    node.check();
    let entry = |node: &Node, key: Key| match node.kernel.maps.get(&key) {
        Some(Value::Number(number)) => Some(*number),
        _ => None,
    };
    let vlan = |vlan| Key::Vlan(VlanKey { ifindex: 30, vlan });
    assert_eq!((entry(&node, Key::PortOfInterface(30)), entry(&node, vlan(0))), (Some(3), None));
    node.apply(&Change::Port(5, at("tap3:5")));
    node.check();
    assert_eq!(entry(&node, Key::PortOfInterface(30)), Some(abi::TRUNK));
    assert_eq!(entry(&node, Key::PortOfInterface(31)), Some(6));
    assert_eq!([0, 5, 6].map(|number| entry(&node, vlan(number))), [Some(3), Some(5), None]);
    node.apply(&Change::Port(3, None));
    node.check();
    assert_eq!([0, 5].map(|number| entry(&node, vlan(number))), [None, Some(5)]);
    take(&mut node, Step::NoLink { index: 30 });
    node.check();
    assert_eq!((entry(&node, Key::PortOfInterface(30)), entry(&node, vlan(5))), (None, None));
}

#[test]
fn maps_that_contradict_each_other_are_found_without_an_agent() {
    let mut node = Node::new();
    node.kernel.routes.insert(remote(1), underlay::Route { ifindex: 2, gateway: None, mtu: None });
    node.link(20, "tap1", 1400);
    node.apply(&Change::Vpn(7, Some(vni(100))));
    node.apply(&Change::Port(1, Some(Port { interface: "tap1".into(), vpn: 7, egress: false })));
    node.apply(&Change::Mac(7, mac(0), Some(Mac { target: Target::Port(1), any_ip: true })));
    node.apply(&remote_mac(7, 1, 1));
    node.apply(&Change::Flood(7, Target::Port(1), true));
    node.apply(&Change::Endpoint(7, remote(1), true));
    node.commit().unwrap();
    assert_eq!(check_consistency(&node.kernel.contents()), []);
    for key in [Key::Port(1), Key::Vpn(7), Key::Vni(100), Key::Encap(1)] {
        let contents: Vec<_> =
            node.kernel.contents().into_iter().filter(|(found, _)| *found != key).collect();
        assert!(!check_consistency(&contents).is_empty(), "without {} {key}", key.map());
    }
    // What a list has left behind its end for the grace is no contradiction, also without its port.
    node.apply(&Change::Flood(7, Target::Port(1), false));
    node.apply(&Change::Mac(7, mac(0), None));
    node.apply(&Change::Port(1, None));
    node.commit().unwrap();
    assert!(node.kernel.maps.keys().any(|key| key.map() == Map::Floods));
    assert_eq!(check_consistency(&node.kernel.contents()), []);
    let header: Vec<Encap> = node
        .kernel
        .maps
        .values()
        .filter_map(|value| if let Value::Encap(encap) = value { Some(**encap) } else { None })
        .collect();
    assert_eq!(header.iter().map(|encap| ip_of(&encap.remote)).collect::<Vec<_>>(), [remote(1)]);
}
