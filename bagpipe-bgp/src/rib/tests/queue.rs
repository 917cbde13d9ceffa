//! What goes to a peer: packed, in the last state, bounded in work and memory.

use super::*;
use Kind::{Client, External};

const EVPN: &[Family] = &[Family::EVPN];

fn network(peers: usize) -> Network {
    Network::new(&vec![(Client, EVPN); peers])
}

fn macs(range: std::ops::Range<u32>) -> Vec<Nlri> {
    range.map(|number| mac(number, 1)).collect()
}

#[test]
fn routes_with_the_same_attributes_share_updates() {
    let mut network = network(2);
    // Interleaved and one by one, as they arrive from peers that move hosts.
    for number in 0..1000 {
        let next_hop = 1 + number % 2;
        network.announce(1, attributes(next_hop, &[target(1)]), &[mac(number, 1)]);
    }
    network.settle();
    let remote = &network.peers[1].1;
    assert_eq!(remote.routes.len(), 1000);
    // 4096 octets hold about 110 routes.
    assert!(remote.messages <= 13, "{} messages", remote.messages);

    for number in 0..1000 {
        network.withdraw(1, &[mac(number, 1)]);
    }
    network.settle();
    let remote = &network.peers[1].1;
    assert_eq!(remote.routes.len(), 0);
    assert!(remote.messages <= 26, "{} messages", remote.messages);
    assert_eq!(network.rib.table.ids().filter_map(|id| network.rib.table.get(id)).count(), 0);
    assert_eq!(network.rib.attributes.len(), 0);
}

#[test]
fn attributes_are_held_once() {
    let mut network = network(1);
    for number in 0..100 {
        network.announce(1, attributes(1 + number % 4, &[target(1)]), &[mac(number, 1)]);
    }
    assert_eq!(network.rib.attributes.len(), 4);
}

#[test]
fn a_slow_peer_gets_the_last_state_only() {
    let mut network = network(2);
    for label in 1..=200 {
        network.announce(1, attributes(u32::from(label), &[target(1)]), &[mac(1, label)]);
    }
    network.announce(1, attributes(1, &[target(1)]), &[mac(2, 1)]);
    network.withdraw(1, &[mac(2, 1)]);
    network.settle();
    let remote = &network.peers[1].1;
    assert_eq!((remote.announced, remote.withdrawn), (1, 0));
    assert_eq!(network.held(2, &mac(1, 1)).next_hop, attributes(200, &[]).next_hop);
}

#[test]
fn the_log_does_not_grow_with_churn() {
    let mut network = network(2);
    network.announce(1, attributes(1, &[target(1)]), &macs(0..10));
    for round in 0..10_000_u32 {
        network.announce(1, attributes(round % 200, &[target(1)]), &[mac(round % 10, 1)]);
    }
    let family = network.rib.table.family_id(Family::EVPN).unwrap();
    assert!(network.rib.table.log_length(family) < 3000);
    network.settle();
    assert_eq!(network.peers[1].1.routes.len(), 10);
}

#[test]
fn an_unchanged_announcement_is_not_passed_on() {
    let mut network = network(2);
    for _ in 0..3 {
        network.announce(1, attributes(1, &[target(1)]), &[mac(1, 1)]);
        network.settle();
    }
    assert_eq!(network.peers[1].1.announced, 1);
    // Another label is a change.
    network.announce(1, attributes(1, &[target(1)]), &[mac(1, 2)]);
    network.settle();
    assert_eq!(network.peers[1].1.announced, 2);
    assert_eq!(network.peers[1].1.routes[&(key_of(&mac(1, 0)), 0)].0, mac(1, 2));
}

#[test]
fn end_of_rib_follows_the_first_routes_and_can_be_deferred() {
    let mut network = network(1);
    network.rib.defer_end_of_rib(true);
    network.rib.originate(mac(1, 1), attributes(254, &[target(1)]));
    network.settle();
    assert_eq!(network.peers[0].1.announced, 1);
    assert_eq!(network.peers[0].1.ended, []);
    network.rib.defer_end_of_rib(false);
    assert_eq!(drain_awake(&mut network.rib), [PeerId(1)]);
    network.settle();
    assert_eq!(network.peers[0].1.ended, EVPN);
    network.rib.originate(mac(2, 1), attributes(254, &[target(1)]));
    network.settle();
    assert_eq!(network.peers[0].1.ended, EVPN);
}

#[test]
fn a_refresh_sends_everything_again() {
    let mut network = network(2);
    network.announce(1, attributes(1, &[target(1)]), &macs(0..10));
    network.settle();
    network.rib.refresh(PeerId(2), Family::EVPN, false);
    assert!(network.rib.has_updates(PeerId(2)));
    network.settle();
    assert_eq!(network.peers[1].1.announced, 20);
    network.rib.refresh(PeerId(2), Family::VPNV4, true);
    network.settle();
    assert_eq!(network.peers[1].1.announced, 20);
    assert_eq!(network.peers[1].1.refreshed, []);
}

/// RFC 7313 §4.
#[test]
fn a_refresh_is_marked_after_the_first_end_of_rib() {
    let mut network = network(2);
    network.announce(1, attributes(1, &[target(1)]), &macs(0..10));
    network.rib.refresh(PeerId(2), Family::EVPN, true);
    network.settle();
    let (announced, refreshed) = (network.peers[1].1.announced, &network.peers[1].1.refreshed);
    assert_eq!((announced, &refreshed[..]), (10, &[][..]));
    // Asked for twice, begun twice and sent once; what goes meanwhile is withdrawn.
    network.rib.refresh(PeerId(2), Family::EVPN, true);
    let context = network.peers[1].0.context.clone();
    assert!(network.peers[1].1.pull(&mut network.rib, PeerId(2), &context));
    assert_eq!(network.peers[1].1.refreshing[&Family::EVPN].len(), 10);
    network.withdraw(1, &macs(0..3));
    network.rib.refresh(PeerId(2), Family::EVPN, true);
    network.settle();
    assert_eq!((network.peers[1].1.announced, network.peers[1].1.withdrawn), (17, 3));
    assert_eq!(network.peers[1].1.refreshed, EVPN);
}

/// RFC 7313 §4.
#[test]
fn what_is_not_announced_again_is_swept_after_a_refresh() {
    let mut network = network(2);
    network.announce(1, attributes(1, &[target(1)]), &macs(0..10));
    assert_eq!(network.knowing(&mac(7, 1)), [2]);
    network.rib.mark_stale(PeerId(1), Family::EVPN);
    assert_eq!(network.rib.routes().filter(|path| path.stale).count(), 10);
    network.announce(1, attributes(1, &[target(1)]), &macs(0..5));
    assert_eq!(network.rib.routes().filter(|path| path.stale).count(), 5);
    assert_eq!(network.knowing(&mac(7, 1)), [2]);
    let announced = network.peers[1].1.announced;
    network.rib.sweep(PeerId(1), Family::EVPN);
    assert_eq!(network.knowing(&mac(7, 1)), [0; 0]);
    assert_eq!(network.knowing(&mac(3, 1)), [2]);
    assert_eq!(network.peers[1].1.announced, announced, "what stays is not sent again");
}

fn drain_awake(rib: &mut Rib) -> Vec<PeerId> {
    let mut awake: Vec<_> = std::iter::from_fn(|| rib.poll_peer_with_updates()).collect();
    awake.sort();
    awake
}

#[test]
fn peers_are_woken_once_when_there_is_something() {
    let mut network = network(3);
    assert_eq!(drain_awake(&mut network.rib), [PeerId(1), PeerId(2), PeerId(3)]);
    network.settle();
    assert_eq!(drain_awake(&mut network.rib), []);
    network.announce(1, attributes(1, &[target(1)]), &macs(0..10));
    assert_eq!(drain_awake(&mut network.rib), [PeerId(1), PeerId(2), PeerId(3)]);
    network.announce(1, attributes(1, &[target(1)]), &macs(10..20));
    assert_eq!(drain_awake(&mut network.rib), [], "they have not read the first change yet");
    network.settle();
    assert!(!network.rib.has_updates(PeerId(2)));
}

#[test]
fn attributes_too_long_for_a_message_withdraw_the_route() {
    let mut network = network(2);
    network.announce(1, attributes(1, &[target(1)]), &[mac(1, 1)]);
    assert_eq!(network.knowing(&mac(1, 1)), [2]);
    let long = Attributes { communities: (0..1010).collect(), ..attributes(1, &[target(1)]) };
    network.announce(1, long, &[mac(1, 1), mac(2, 1)]);
    assert_eq!(network.knowing(&mac(1, 1)), []);
    assert_eq!(network.knowing(&mac(2, 1)), []);
    network.announce(1, attributes(1, &[target(1)]), &[mac(1, 1)]);
    assert_eq!(network.knowing(&mac(1, 1)), [2]);
}

#[test]
fn counts_follow_what_was_received_and_sent() {
    let mut network = network(2);
    network.announce(1, attributes(1, &[target(1)]), &macs(0..5));
    network.withdraw(1, &macs(3..5));
    network.announce(1, attributes(1, &[target(1)]), &macs(0..2));
    network.settle();
    let count = |received, sent| vec![FamilyCount { family: Family::EVPN, received, sent }];
    assert_eq!(network.rib.counts(PeerId(1)), count(3, 0));
    assert_eq!(network.rib.counts(PeerId(2)), count(0, 3));
    network.rib.peer_down(PeerId(1), EVPN);
    assert_eq!(network.rib.counts(PeerId(1)), count(3, 0));
    network.rib.sweep(PeerId(1), Family::EVPN);
    network.settle();
    assert_eq!(network.rib.counts(PeerId(1)), count(0, 0));
    assert_eq!(network.rib.counts(PeerId(2)), count(0, 0));
    network.rib.forget(PeerId(1));
    assert_eq!(network.rib.counts(PeerId(1)), []);
}

#[test]
fn families_that_were_not_negotiated_are_ignored() {
    let mut network = network(2);
    let other = Nlri::RouteTarget(RouteTargetMembership::DEFAULT);
    network.announce(1, attributes(1, &[]), &[other]);
    assert_eq!(network.rib.routes().count(), 0);
}

#[test]
fn more_than_64_peers() {
    let mut network = network(150);
    network.announce(1, attributes(1, &[target(1)]), &[mac(1, 1)]);
    assert_eq!(network.knowing(&mac(1, 1)), (2..=150).collect::<Vec<_>>());
    network.rib.forget(PeerId(1));
    network.peers[0].1 = Remote::default();
    assert_eq!(network.knowing(&mac(1, 1)), []);
}

/// Quadratic behavior anywhere in here would take minutes.
#[test]
fn a_hundred_thousand_routes() {
    const ROUTES: u32 = 100_000;
    let mut network =
        Network::new(&[(Client, EVPN), (Client, &[Family::ROUTE_TARGET, Family::EVPN]), (External, EVPN)]);
    network.rib.release_memberships(PeerId(2));
    network.rib.import(target(1));
    for chunk in 0..ROUTES / 50 {
        let attributes = attributes(1 + chunk % 100, &[target(1), target(2)]);
        network.announce(1, attributes, &macs(chunk * 50..chunk * 50 + 50));
    }
    network.announce(2, attributes(2, &[]), &[membership(target(2))]);
    network.settle();
    assert_eq!(network.changes().len(), ROUTES as usize);
    for peer in [1, 2] {
        assert_eq!(network.peers[peer].1.routes.len(), ROUTES as usize + usize::from(peer == 1) * 2);
    }
    network.withdraw(2, &[membership(target(2))]);
    network.settle();
    assert_eq!(network.peers[1].1.withdrawn, ROUTES as usize + 1);
    network.rib.peer_down(PeerId(1), &[]);
    network.settle();
    assert_eq!(network.peers[2].1.routes.len(), 0);
    assert_eq!(network.changes().len(), ROUTES as usize);
    assert_eq!(network.rib.routes().count(), 1, "the own membership");
}
