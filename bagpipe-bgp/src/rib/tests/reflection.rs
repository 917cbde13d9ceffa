//! RFC 4456, and the basics of eBGP.

use super::*;
use crate::wire::RawAttribute;
use crate::wire::attribute::AsSegment;
use Kind::{Client, External, NonClient};

const EVPN: &[Family] = &[Family::EVPN];

/// Two of each kind: 1 and 2 clients, 3 and 4 non-clients, 5 and 6 external.
fn network() -> Network {
    Network::new(&[Client, Client, NonClient, NonClient, External, External].map(|kind| (kind, EVPN)))
}

fn from_external() -> Attributes {
    Attributes {
        local_pref: None,
        as_path: AsPath(vec![AsSegment::Sequence(vec![65005])]),
        ..attributes(5, &[target(1)])
    }
}

#[test]
fn routes_go_where_rfc_4456_section_6_says() {
    for (from, to) in [
        (1, vec![2, 3, 4, 5, 6]), // from a client: to all
        (3, vec![1, 2, 5, 6]),    // from a non-client: to clients
        (5, vec![1, 2, 3, 4, 6]), // from another AS: to all
    ] {
        let mut network = network();
        let attributes = if from == 5 { from_external() } else { attributes(from, &[target(1)]) };
        network.announce(from, attributes, &[mac(1, 1)]);
        assert_eq!(network.knowing(&mac(1, 1)), to, "from {from}");
        network.withdraw(from, &[mac(1, 1)]);
        assert_eq!(network.knowing(&mac(1, 1)), [], "from {from}");
    }
}

#[test]
fn a_route_of_this_speaker_goes_to_all() {
    let mut network = network();
    network.rib.originate(mac(1, 1), Attributes { local_pref: None, ..attributes(254, &[target(1)]) });
    assert_eq!(network.knowing(&mac(1, 1)), [1, 2, 3, 4, 5, 6]);
    let held = network.held(1, &mac(1, 1));
    assert_eq!((held.local_pref, held.originator_id, held.cluster_list), (Some(100), None, vec![]));
    network.rib.withdraw(&mac(1, 9));
    assert_eq!(network.knowing(&mac(1, 1)), []);
}

#[test]
fn reflection_adds_originator_and_cluster_and_keeps_the_next_hop() {
    let mut network = network();
    network.announce(1, attributes(1, &[target(1)]), &[mac(1, 1)]);
    network.settle();
    let held = network.held(2, &mac(1, 1));
    let expected = Attributes {
        originator_id: Some(address(1)),
        cluster_list: vec![CLUSTER],
        ..attributes(1, &[target(1)])
    };
    assert_eq!(held, expected);

    // A route that was reflected before keeps its originator.
    let other = Ipv4Addr::new(10, 1, 1, 1);
    let reflected = Attributes {
        originator_id: Some(address(77)),
        cluster_list: vec![other],
        ..attributes(77, &[target(1)])
    };
    network.announce(1, reflected, &[mac(2, 1)]);
    network.settle();
    let held = network.held(3, &mac(2, 1));
    assert_eq!((held.originator_id, held.cluster_list), (Some(address(77)), vec![CLUSTER, other]));
}

#[test]
fn a_route_does_not_go_back_to_its_originator() {
    let mut network = network();
    let attributes = Attributes { originator_id: Some(address(2)), ..attributes(2, &[target(1)]) };
    network.announce(3, attributes, &[mac(1, 1)]);
    assert_eq!(network.knowing(&mac(1, 1)), [1, 5, 6]);
}

#[test]
fn another_as_gets_a_longer_path_and_nothing_internal() {
    let mut network = network();
    let sent = Attributes { med: Some(5), ..attributes(1, &[target(1)]) };
    network.announce(1, sent, &[mac(1, 1)]);
    network.settle();
    let held = network.held(5, &mac(1, 1));
    let expected = Attributes {
        local_pref: None,
        as_path: AsPath(vec![AsSegment::Sequence(vec![ASN])]),
        ..attributes(1, &[target(1)])
    };
    assert_eq!(held, expected);
}

#[test]
fn what_may_leave_the_as_and_what_is_marked_on_the_way() {
    let mut network = network();
    let non_transitive = crate::wire::ExtendedCommunity([0x43, 0, 0, 0, 0, 0, 0, 1]);
    let unknown = |flags| RawAttribute { flags, kind: 200, value: Bytes::from_static(&[1]) };
    let mut sent = attributes(1, &[target(1)]);
    sent.extended_communities.push(non_transitive);
    sent.unknown.push(unknown(0xc0));
    network.announce(1, sent, &[mac(1, 1)]);
    network.settle();
    assert!(network.held(2, &mac(1, 1)).extended_communities.contains(&non_transitive));
    assert_eq!(network.held(5, &mac(1, 1)).extended_communities, [target(1).into()]);
    for peer in [2, 5] {
        assert_eq!(network.held(peer, &mac(1, 1)).unknown, [unknown(0xe0)], "partial, RFC 4271 §5");
    }
}

#[test]
fn looped_paths_are_ignored_and_replace_what_was_there() {
    let good = || attributes(3, &[target(1)]);
    for looped in [
        Attributes { originator_id: Some(OWN), ..good() },
        Attributes { cluster_list: vec![address(80), CLUSTER], ..good() },
        attributes(254, &[target(1)]),
    ] {
        let mut network = network();
        network.announce(3, good(), &[mac(1, 1)]);
        assert_eq!(network.knowing(&mac(1, 1)), [1, 2, 5, 6]);
        network.announce(3, looped, &[mac(1, 1)]);
        assert_eq!(network.knowing(&mac(1, 1)), []);
        assert_eq!(network.rib.routes().count(), 0);
    }
    let mut network = network();
    let path = AsPath(vec![AsSegment::Sequence(vec![65005, ASN])]);
    network.announce(5, Attributes { as_path: path, ..from_external() }, &[mac(1, 1)]);
    assert_eq!(network.knowing(&mac(1, 1)), []);
}

#[test]
fn well_known_communities_are_honored() {
    const NO_EXPORT: u32 = 0xffff_ff01;
    const NO_ADVERTISE: u32 = 0xffff_ff02;
    let mut network = network();
    let with = |community| Attributes { communities: vec![community], ..attributes(1, &[target(1)]) };
    network.announce(1, with(NO_EXPORT), &[mac(1, 1)]);
    network.announce(1, with(NO_ADVERTISE), &[mac(2, 1)]);
    assert_eq!(network.knowing(&mac(1, 1)), [2, 3, 4]);
    assert_eq!(network.knowing(&mac(2, 1)), []);
}

#[test]
fn routes_of_other_types_are_reflected_as_they_came() {
    let unknown = Nlri::Evpn(EvpnRoute::Unknown { route_type: 9, value: Bytes::from_static(&[1, 2, 3]) });
    let segment = Nlri::Evpn(EvpnRoute::EthernetSegment {
        rd: RouteDistinguisher::from_ipv4(address(1), 0),
        esi: EthernetSegmentId([1; 10]),
        originator: IpAddr::V4(address(1)),
    });
    let mut network = network();
    network.announce(1, attributes(1, &[target(1)]), &[unknown.clone(), segment.clone()]);
    assert_eq!(network.knowing(&unknown), [2, 3, 4, 5, 6]);
    assert_eq!(network.knowing(&segment), [2, 3, 4, 5, 6]);
}

#[test]
fn the_next_best_path_follows_when_the_best_goes() {
    let mut network = network();
    network.announce(1, Attributes { local_pref: Some(200), ..attributes(1, &[target(1)]) }, &[mac(1, 1)]);
    network.announce(2, attributes(2, &[target(1)]), &[mac(1, 2)]);
    network.settle();
    assert_eq!(network.held(3, &mac(1, 1)).next_hop, attributes(1, &[]).next_hop);
    // The best path came from 1, which so knows of none.
    assert_eq!(network.knowing(&mac(1, 1)), [2, 3, 4, 5, 6]);
    network.rib.peer_down(PeerId(1), &[]);
    network.settle();
    assert_eq!(network.held(3, &mac(1, 1)).next_hop, attributes(2, &[]).next_hop);
    assert!(!network.peers[1].1.has(&mac(1, 1)));
}
