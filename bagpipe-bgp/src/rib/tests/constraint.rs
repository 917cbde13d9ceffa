//! RT Constraint (RFC 4684).

use super::*;
use Kind::{Client, External, NonClient};

const BOTH: &[Family] = &[Family::ROUTE_TARGET, Family::EVPN];
const EVPN: &[Family] = &[Family::EVPN];

/// Clients 1 and 2, non-clients 3 and 4, all with RT Constraint and past its End-of-RIB.
fn network() -> Network {
    let mut network = Network::new(&[Client, Client, NonClient, NonClient].map(|kind| (kind, BOTH)));
    for number in 1..=4 {
        network.rib.release_memberships(PeerId(number));
    }
    network
}

fn wants(network: &mut Network, peer: u32, targets: &[u8]) {
    let routes: Vec<_> = targets.iter().map(|number| membership(target(*number))).collect();
    network.announce(peer, attributes(peer, &[]), &routes);
}

fn wants_no_more(network: &mut Network, peer: u32, number: u8) {
    network.withdraw(peer, &[membership(target(number))]);
}

#[test]
fn a_peer_gets_what_it_asks_for() {
    let mut network = network();
    network.announce(1, attributes(1, &[target(1)]), &[mac(1, 1)]);
    network.announce(1, attributes(1, &[target(2), target(3)]), &[mac(2, 1)]);
    assert_eq!(network.knowing(&mac(1, 1)), []);

    wants(&mut network, 2, &[1]);
    assert_eq!(network.knowing(&mac(1, 1)), [2]);
    assert_eq!(network.knowing(&mac(2, 1)), []);

    wants(&mut network, 3, &[1, 3]);
    assert_eq!(network.knowing(&mac(1, 1)), [2, 3]);
    assert_eq!(network.knowing(&mac(2, 1)), [3]);

    wants_no_more(&mut network, 3, 1);
    assert_eq!(network.knowing(&mac(1, 1)), [2]);
    assert_eq!(network.knowing(&mac(2, 1)), [3]);
}

#[test]
fn a_route_with_two_targets_stays_until_neither_is_wanted() {
    let mut network = network();
    network.announce(1, attributes(1, &[target(1), target(2)]), &[mac(1, 1)]);
    wants(&mut network, 2, &[1, 2]);
    assert_eq!(network.knowing(&mac(1, 1)), [2]);
    wants_no_more(&mut network, 2, 1);
    assert_eq!(network.knowing(&mac(1, 1)), [2]);
    assert_eq!(network.peers[1].1.announced, 3, "the route once, and its two memberships reflected");
    wants_no_more(&mut network, 2, 2);
    assert_eq!(network.knowing(&mac(1, 1)), []);
}

#[test]
fn a_route_follows_the_change_of_its_targets() {
    let mut network = network();
    wants(&mut network, 2, &[1]);
    wants(&mut network, 3, &[2]);
    network.announce(1, attributes(1, &[target(1)]), &[mac(1, 1)]);
    assert_eq!(network.knowing(&mac(1, 1)), [2]);
    network.announce(1, attributes(1, &[target(2)]), &[mac(1, 1)]);
    assert_eq!(network.knowing(&mac(1, 1)), [3]);
}

#[test]
fn a_change_of_targets_is_sent_though_it_was_unwanted_when_it_was_read() {
    let mut network = network();
    wants(&mut network, 2, &[1]);
    network.announce(1, attributes(1, &[target(1)]), &[mac(1, 1)]);
    network.settle();

    // With two groups in its window the peer takes one UPDATE, and leaves the withdrawal of the route.
    network.announce(3, attributes(3, &[target(1)]), &[mac(2, 1)]);
    network.announce(1, attributes(9, &[target(2)]), &[mac(1, 1)]);
    let (facts, remote) = &mut network.peers[1];
    remote.pull(&mut network.rib, PeerId(2), &facts.context);
    assert!(remote.has(&mac(1, 1)) && remote.has(&mac(2, 1)));

    wants(&mut network, 2, &[2]);
    assert_eq!(network.knowing(&mac(1, 1)), [2]);
    assert_eq!(network.held(2, &mac(1, 1)).next_hop, attributes(9, &[]).next_hop);
}

#[test]
fn a_peer_without_rt_constraint_gets_everything() {
    let mut network = Network::new(&[(Client, BOTH), (Client, EVPN), (Client, BOTH)]);
    network.announce(1, attributes(1, &[target(1)]), &[mac(1, 1)]);
    network.announce(1, attributes(1, &[]), &[mac(2, 1)]);
    assert_eq!(network.knowing(&mac(1, 1)), [2]);
    assert_eq!(network.knowing(&mac(2, 1)), [2]);
}

#[test]
fn the_default_and_shorter_memberships_ask_for_more() {
    for (length, first, second, none) in
        [(0, true, true, true), (32, true, true, true), (88, true, true, false), (96, true, false, false)]
    {
        let mut network = network();
        let mut octets = target(1).octets();
        if length == 0 || length == 32 {
            octets = [0; 8];
        } else if length == 88 {
            octets[7] = 0;
        }
        let wide = Nlri::RouteTarget(RouteTargetMembership {
            length,
            origin: if length == 0 { 0 } else { ASN },
            target: octets,
        });
        network.announce(1, attributes(1, &[target(1)]), &[mac(1, 1)]);
        network.announce(1, attributes(1, &[target(2)]), &[mac(2, 1)]);
        network.announce(1, attributes(1, &[]), &[mac(3, 1)]);
        network.announce(2, attributes(2, &[]), std::slice::from_ref(&wide));
        for (number, expected) in [(1, first), (2, second), (3, none)] {
            assert_eq!(network.knowing(&mac(number, 1)).contains(&2), expected, "/{length} route {number}");
        }
        network.withdraw(2, &[wide]);
        for number in 1..=3 {
            assert_eq!(network.knowing(&mac(number, 1)), [], "/{length} route {number}");
        }
    }
}

#[test]
fn vpn_routes_wait_for_the_memberships() {
    let mut network = Network::new(&[(Client, BOTH), (Client, BOTH)]);
    network.announce(1, attributes(1, &[target(1)]), &[mac(1, 1)]);
    wants(&mut network, 2, &[1]);
    assert_eq!(network.knowing(&mac(1, 1)), []);
    assert_eq!(network.peers[1].1.ended, [Family::ROUTE_TARGET]);
    network.rib.release_memberships(PeerId(2));
    assert_eq!(network.knowing(&mac(1, 1)), [2]);
    assert_eq!(network.peers[1].1.ended, [Family::ROUTE_TARGET, Family::EVPN]);
}

#[test]
fn a_client_learns_from_the_reflector_that_its_own_target_is_wanted() {
    let mut network = network();
    wants(&mut network, 1, &[1]);
    assert_eq!(network.knowing(&membership(target(1))), [1, 2, 3, 4]);
    for client in [1, 2] {
        let held = network.held(client, &membership(target(1)));
        assert_eq!(held.originator_id, Some(OWN), "RFC 4684 §3.2 i");
        assert_eq!(held.next_hop.unwrap().address, IpAddr::V4(OWN));
    }
    let held = network.held(3, &membership(target(1)));
    assert_eq!((held.originator_id, held.cluster_list), (Some(address(1)), vec![CLUSTER]));
}

#[test]
fn the_membership_of_a_client_reaches_non_clients_though_a_non_client_has_the_best_path() {
    let mut network = network();
    network.announce(3, Attributes { local_pref: Some(200), ..attributes(3, &[]) }, &[membership(target(1))]);
    // From a non-client to clients only.
    assert_eq!(network.knowing(&membership(target(1))), [1, 2]);
    wants(&mut network, 2, &[1]);
    // RFC 4684 §3.2 ii: also to the peer that has the best path.
    assert_eq!(network.knowing(&membership(target(1))), [1, 2, 3, 4]);
    assert_eq!(network.held(4, &membership(target(1))).originator_id, Some(address(2)));
    assert_eq!(network.held(3, &membership(target(1))).originator_id, Some(address(2)));
    wants_no_more(&mut network, 2, 1);
    assert_eq!(network.knowing(&membership(target(1))), [1, 2]);
}

#[test]
fn imports_are_counted_and_announced() {
    let mut network = network();
    network.rib.import(target(1));
    network.rib.import(target(1));
    assert_eq!(network.knowing(&membership(target(1))), [1, 2, 3, 4]);
    network.rib.unimport(target(1));
    assert_eq!(network.knowing(&membership(target(1))), [1, 2, 3, 4]);
    network.rib.unimport(target(1));
    assert_eq!(network.knowing(&membership(target(1))), []);
    network.rib.unimport(target(1));
    assert_eq!(network.knowing(&membership(target(1))), []);
}

#[test]
fn a_membership_lasts_as_long_as_one_client_has_it() {
    let mut network = network();
    network.announce(3, attributes(3, &[target(1)]), &[mac(1, 1)]);
    wants(&mut network, 1, &[1]);
    wants(&mut network, 2, &[1]);
    assert_eq!(network.knowing(&mac(1, 1)), [1, 2]);
    wants_no_more(&mut network, 1, 1);
    assert_eq!(network.knowing(&membership(target(1))), [1, 2, 3, 4]);
    assert_eq!(network.knowing(&mac(1, 1)), [2]);
    network.rib.peer_down(PeerId(2), &[]);
    network.peers[1].1 = Remote::default();
    assert_eq!(network.knowing(&membership(target(1))), []);
    assert_eq!(network.knowing(&mac(1, 1)), []);
}

#[test]
fn memberships_kept_over_a_restart_hold_until_they_are_swept() {
    let mut network = network();
    network.announce(1, attributes(1, &[target(1)]), &[mac(1, 1)]);
    wants(&mut network, 2, &[1]);
    assert_eq!(network.knowing(&mac(1, 1)), [2]);

    network.rib.peer_down(PeerId(2), BOTH);
    network.peers[1].1 = Remote::default();
    network.rib.peer_up(PeerId(2), facts(2, Client, BOTH));
    network.rib.release_memberships(PeerId(2));
    assert_eq!(network.knowing(&mac(1, 1)), [2]);
    network.rib.sweep(PeerId(2), Family::ROUTE_TARGET);
    assert_eq!(network.knowing(&mac(1, 1)), []);
}

fn default() -> Nlri {
    Nlri::RouteTarget(RouteTargetMembership::DEFAULT)
}

/// A client, a non-client and an external peer with RT Constraint, and a peer without.
fn network_with_a_taker(kind: Kind) -> Network {
    let mut network = Network::new(&[(Client, BOTH), (NonClient, BOTH), (External, BOTH), (kind, EVPN)]);
    for number in 1..=3 {
        network.rib.release_memberships(PeerId(number));
    }
    network
}

#[test]
fn for_a_peer_that_cannot_ask_all_is_asked_of_those_whose_routes_it_gets() {
    // RFC 4456 §6: what is from a non-client goes to no other one.
    for (kind, asked) in [(Client, &[1, 2, 3][..]), (NonClient, &[1, 3]), (External, &[1, 2, 3])] {
        let mut network = network_with_a_taker(kind);
        assert_eq!(network.knowing(&default()), asked, "{kind:?}");
        // It may come back, and then is to find the routes.
        network.rib.peer_down(PeerId(4), EVPN);
        assert_eq!(network.knowing(&default()), asked, "{kind:?}");
        network.rib.forget(PeerId(4));
        assert_eq!(network.knowing(&default()), [0; 0], "{kind:?}");
    }
    let mut network = network_with_a_taker(NonClient);
    assert_eq!(network.knowing(&default()), [1, 3]);
    network.rib.peer_up(PeerId(5), facts(5, Client, EVPN));
    assert_eq!(network.knowing(&default()), [1, 2, 3]);
    assert_eq!(network.held(1, &default()).originator_id, Some(OWN));
}

#[test]
fn nothing_is_asked_for_a_peer_that_is_told_nothing_of_others() {
    let mut network = Network::new(&[(Client, BOTH)]);
    let policy = Policy { export: Export::Own, ..Policy::default() };
    network.rib.peer_up(PeerId(2), RibPeer { policy, ..facts(2, External, EVPN) });
    assert_eq!(network.knowing(&default()), [0; 0]);
}

#[test]
fn who_asks_for_all_is_heard_of_where_this_speaker_does_not_ask() {
    let mut network = network_with_a_taker(NonClient);
    network.announce(1, attributes(1, &[]), &[default()]);
    assert_eq!(network.knowing(&default()), [1, 2, 3]);
    assert_eq!(network.held(2, &default()).originator_id, Some(address(1)));
    network.withdraw(1, &[default()]);
    assert_eq!(network.knowing(&default()), [1, 3]);
}

#[test]
fn an_external_peer_is_told_of_memberships_too() {
    let mut network = Network::new(&[(Client, BOTH), (External, BOTH)]);
    wants(&mut network, 1, &[1]);
    assert_eq!(network.knowing(&membership(target(1))), [1, 2]);
    let held = network.held(2, &membership(target(1)));
    assert_eq!((held.originator_id, held.local_pref), (None, None));
}

#[test]
fn only_imported_targets_are_reported() {
    let mut network = network();
    network.rib.import(target(1));
    network.announce(1, attributes(1, &[target(1)]), &[mac(1, 5)]);
    network.announce(1, attributes(1, &[target(2)]), &[mac(2, 5)]);
    let changes = network.changes();
    assert_eq!(changes.len(), 1);
    let best = changes[0].best.as_ref().unwrap();
    assert_eq!((&best.nlri, best.peer), (&mac(1, 5), PeerId(1)));

    // Another import brings what is held already.
    network.rib.import(target(2));
    let changes = network.changes();
    assert_eq!(changes.iter().map(|change| &change.nlri).collect::<Vec<_>>(), [&mac(2, 5)]);

    // A route that loses its imported target goes away.
    network.announce(1, attributes(1, &[target(3)]), &[mac(1, 5)]);
    let changes = network.changes();
    assert_eq!((changes.len(), &changes[0].nlri, &changes[0].best), (1, &mac(1, 5), &None));
    network.withdraw(1, &[mac(1, 0)]);
    assert_eq!(network.changes(), []);
}

#[test]
fn a_change_is_reported_in_its_last_state_only() {
    let mut network = network();
    network.rib.import(target(1));
    for label in 1..=3 {
        network.announce(1, attributes(1, &[target(1)]), &[mac(1, label)]);
    }
    let changes = network.changes();
    assert_eq!(changes.len(), 1);
    assert_eq!(changes[0].best.as_ref().unwrap().nlri, mac(1, 3));
    network.announce(1, attributes(1, &[target(1)]), &[mac(2, 1)]);
    network.withdraw(1, &[mac(2, 1)]);
    assert_eq!(network.changes(), [], "it came and went unseen");
}
