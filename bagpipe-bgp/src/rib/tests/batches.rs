//! Peers that are alike share UPDATEs; what is a peer's own matter is not shared.

use super::*;

const EVPN: &[Family] = &[Family::EVPN];

/// Three clients that have all, and two routes of the first that the others have yet to be sent.
fn two_routes_pending() -> Network {
    let mut network = Network::new(&[(Kind::Client, EVPN); 3]);
    network.settle();
    network.announce(1, attributes(1, &[target(1)]), &[mac(1, 1), mac(2, 1)]);
    network
}

fn pull(network: &mut Network, number: u32) {
    let (facts, remote) = &mut network.peers[number as usize - 1];
    remote.pull_all(&mut network.rib, PeerId(number), &facts.context);
}

#[test]
fn an_update_is_packed_once_for_all_that_are_alike() {
    let mut network = two_routes_pending();
    let [one, two, three] = [1, 2, 3].map(|number| network.rib.next_update(PeerId(number)));
    assert_eq!(one, None);
    assert_eq!(two.unwrap().as_ptr(), three.unwrap().as_ptr());
}

#[test]
fn peers_that_are_not_alike_get_their_own() {
    let mut network = Network::new(&[(Kind::Client, EVPN); 2]);
    let mut old = facts(3, Kind::Client, EVPN);
    old.context.four_octet_as = false;
    network.rib.peer_up(PeerId(3), old.clone());
    network.peers.push((old, Remote::default()));
    network.settle();
    let longer = Attributes {
        as_path: AsPath(vec![crate::wire::AsSegment::Sequence(vec![65_001])]),
        ..attributes(1, &[target(1)])
    };
    network.announce(1, longer, &[mac(1, 1)]);
    let [two, three] = [2, 3].map(|number| network.rib.next_update(PeerId(number)).unwrap());
    assert_eq!(two.len(), three.len() + 2);
}

#[test]
fn a_route_that_has_changed_since_is_sent_in_its_last_state_only() {
    let mut network = two_routes_pending();
    pull(&mut network, 2);
    network.announce(1, attributes(1, &[target(1)]), &[mac(2, 9)]);
    network.settle();
    let announced = [1, 2].map(|index: usize| network.peers[index].1.announced);
    assert_eq!(announced, [3, 2]);
    for (_, remote) in &network.peers[1..] {
        assert_eq!(remote.routes[&(key_of(&mac(2, 9)), 0)].0, mac(2, 9));
    }
}

#[test]
fn a_withdrawal_goes_to_those_that_hold_the_route() {
    let mut network = two_routes_pending();
    pull(&mut network, 2);
    network.withdraw(1, &[mac(1, 1)]);
    network.settle();
    let told =
        [1, 2].map(|index: usize| (network.peers[index].1.announced, network.peers[index].1.withdrawn));
    assert_eq!(told, [(2, 1), (1, 0)]);
}

#[test]
fn nothing_is_kept_when_all_have_read_everything() {
    let mut network = two_routes_pending();
    pull(&mut network, 2);
    pull(&mut network, 1);
    assert!(!network.rib.batches.is_empty());
    pull(&mut network, 3);
    assert!(network.rib.batches.is_empty());
}

#[test]
fn a_peer_goes_on_where_its_log_was_compacted_in_the_middle_of_a_batch() {
    let mut network = Network::new(&[(Kind::Client, EVPN); 3]);
    network.settle();
    let routes: Vec<_> = (0..600).map(|number| mac(number, 1)).collect();
    network.announce(1, attributes(1, &[target(1)]), &routes);
    // The first UPDATE of several.
    let (facts, remote) = &mut network.peers[1];
    assert!(remote.pull(&mut network.rib, PeerId(2), &facts.context));
    // So many changes of one half that the log closes its gaps.
    for label in 2..8 {
        let changed: Vec<_> = (0..300).map(|number| mac(number, label)).collect();
        network.announce(1, attributes(1, &[target(1)]), &changed);
    }
    network.settle();
    for (_, remote) in &network.peers[1..] {
        assert_eq!(remote.routes.len(), 600);
        assert_eq!(remote.routes[&(key_of(&mac(7, 0)), 0)].0, mac(7, 7));
        assert_eq!(remote.routes[&(key_of(&mac(500, 0)), 0)].0, mac(500, 1));
    }
}
