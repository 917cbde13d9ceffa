//! Several paths of a route, from a peer and to a peer (RFC 7911).

use std::collections::BTreeMap;
use std::num::NonZeroU32;

use super::*;
use crate::wire::message::AddPathFamilies;

/// What a peer that takes several paths holds: next hops by path identifier.
type Held = BTreeMap<PathId, IpAddr>;

const FAMILIES: &[Family] = &[Family::EVPN];

/// Clients: the fourth holds so many paths of a route, the others one. It may also send several.
fn network(paths: u32) -> Network {
    let mut network = Network::new(&[(Kind::Client, FAMILIES); 3]);
    let facts = facts(4, Kind::Client, FAMILIES);
    let add_paths = AddPathFamilies { receive: FAMILIES.to_vec(), send: FAMILIES.to_vec() };
    let context = Context { add_paths, ..facts.context.clone() };
    let facts = RibPeer { send_paths: NonZeroU32::new(paths), context, ..facts };
    network.rib.peer_up(PeerId(4), facts.clone());
    network.peers.push((facts, Remote::default()));
    network
}

impl Network {
    /// Delivers what is pending. What the fourth peer then holds of a route.
    fn paths(&mut self, nlri: &Nlri) -> Held {
        self.settle();
        let routes = &self.peers[3].1.routes;
        let paths = routes.iter().filter(|((key, _), _)| *key == key_of(nlri));
        paths.map(|((_, id), (_, attributes))| (*id, attributes.next_hop.unwrap().address)).collect()
    }

    /// How many routes have been announced to it, and withdrawn, since the last time.
    fn sent(&mut self) -> (usize, usize) {
        let remote = &mut self.peers[3].1;
        (std::mem::take(&mut remote.announced), std::mem::take(&mut remote.withdrawn))
    }
}

fn next_hops(held: &Held) -> Vec<IpAddr> {
    let mut next_hops: Vec<_> = held.values().copied().collect();
    next_hops.sort();
    next_hops
}

fn addresses(numbers: &[u32]) -> Vec<IpAddr> {
    numbers.iter().map(|number| IpAddr::V4(address(*number))).collect()
}

#[test]
fn a_peer_holds_all_paths_and_each_keeps_its_identifier() {
    let mut network = network(8);
    for peer in 1..=3 {
        network.announce(peer, attributes(peer, &[]), &[mac(1, 1)]);
    }
    let held = network.paths(&mac(1, 1));
    assert_eq!((next_hops(&held), network.sent()), (addresses(&[1, 2, 3]), (3, 0)));

    let better = Attributes { local_pref: Some(200), ..attributes(3, &[]) };
    network.announce(3, better, &[mac(1, 1)]);
    assert_eq!((network.paths(&mac(1, 1)), network.sent()), (held.clone(), (1, 0)), "only what has changed");

    network.withdraw(1, &[mac(1, 1)]);
    let left = network.paths(&mac(1, 1));
    assert_eq!((next_hops(&left), network.sent()), (addresses(&[2, 3]), (0, 1)));
    assert!(left.iter().all(|(id, next_hop)| held.get(id) == Some(next_hop)));

    for peer in 2..=3 {
        network.rib.peer_down(PeerId(peer), &[]);
    }
    assert_eq!((network.paths(&mac(1, 1)), network.sent()), (Held::new(), (0, 2)));
}

#[test]
fn no_more_paths_are_sent_than_are_allowed_and_these_are_the_best() {
    let mut network = network(2);
    for (peer, preference) in [(1, 100), (2, 300), (3, 200)] {
        let attributes = Attributes { local_pref: Some(preference), ..attributes(peer, &[]) };
        network.announce(peer, attributes, &[mac(1, 1)]);
    }
    assert_eq!(next_hops(&network.paths(&mac(1, 1))), addresses(&[2, 3]));
    network.withdraw(3, &[mac(1, 1)]);
    assert_eq!(next_hops(&network.paths(&mac(1, 1))), addresses(&[1, 2]));
}

#[test]
fn a_refresh_sends_what_is_held_again() {
    let mut network = network(8);
    for peer in 1..=2 {
        network.announce(peer, attributes(peer, &[]), &[mac(1, 1)]);
    }
    let held = network.paths(&mac(1, 1));
    assert_eq!((next_hops(&held), network.sent()), (addresses(&[1, 2]), (2, 0)));
    network.rib.refresh(PeerId(4), Family::EVPN, true);
    assert_eq!((network.paths(&mac(1, 1)), network.sent()), (held, (2, 0)));
    assert_eq!(network.peers[3].1.refreshed, [Family::EVPN]);
}

#[test]
fn many_routes_go_in_one_message() {
    let mut network = network(8);
    network.settle();
    let before = network.peers[3].1.messages;
    let routes: Vec<_> = (0..50).map(|number| mac(number, 1)).collect();
    for peer in 1..=2 {
        network.announce(peer, attributes(peer, &[]), &routes);
    }
    network.settle();
    assert_eq!(network.peers[3].1.messages - before, 2, "one for each set of attributes");
}

/// Another client that may send several paths.
fn add_sender(network: &mut Network) {
    let facts = network.peers[3].0.clone();
    let (router_id, address) = (self::address(5), self::address(5).into());
    network.rib.peer_up(PeerId(5), RibPeer { router_id, address, ..facts });
}

/// A path of its to a route.
fn update(announced: bool, id: PathId, next_hop: u32) -> Update {
    let mut encoded = BytesMut::new();
    encoded.extend_from_slice(&id.to_be_bytes());
    mac(1, 1).encode(&mut encoded);
    let block = NlriBlock { family: Family::EVPN, path_ids: true, bytes: encoded.freeze() };
    let attributes = Arc::new(attributes(next_hop, &[]));
    if announced {
        Update { attributes, announced: vec![block], ..Update::default() }
    } else {
        Update { withdrawn: vec![block], ..Update::default() }
    }
}

#[test]
fn a_peer_has_no_more_than_so_many_paths_of_a_route() {
    let mut network = network(1);
    add_sender(&mut network);
    let most = u32::try_from(MOST_PATHS).unwrap();
    for id in 1..=most {
        assert_eq!(network.rib.receive(PeerId(5), &update(true, id, 21)), []);
    }
    let errors = network.rib.receive(PeerId(5), &update(true, most + 1, 22));
    assert!(matches!(&*errors, [error] if error.reason.contains("more than 1024 paths")), "{errors:?}");
    assert_eq!(network.rib.routes().count(), MOST_PATHS);
    // Those that are there may change, and another may come when one goes.
    assert_eq!(network.rib.receive(PeerId(5), &update(true, most, 23)), []);
    network.rib.receive(PeerId(5), &update(false, 1, 0));
    assert_eq!(network.rib.receive(PeerId(5), &update(true, most + 1, 22)), []);
}

#[test]
fn the_paths_of_a_peer_are_told_apart_by_their_identifiers() {
    let mut network = network(8);
    add_sender(&mut network);
    for (id, next_hop) in [(7, 21), (9, 22), (7, 23)] {
        network.rib.receive(PeerId(5), &update(true, id, next_hop));
    }
    let held = |path: HeldPath| (path.path_id, path.attributes.next_hop.unwrap().address);
    let received: BTreeMap<_, _> = network.rib.routes().map(held).collect();
    let [first, second] = [23, 22].map(|number| IpAddr::V4(self::address(number)));
    assert_eq!(received.into_iter().collect::<Vec<_>>(), [(7, first), (9, second)]);
    assert_eq!(next_hops(&network.paths(&mac(1, 1))), addresses(&[22, 23]));

    network.rib.receive(PeerId(5), &update(false, 9, 0));
    assert_eq!(next_hops(&network.paths(&mac(1, 1))), addresses(&[23]));
    network.rib.peer_down(PeerId(5), FAMILIES);
    network.rib.sweep(PeerId(5), Family::EVPN);
    assert_eq!(network.paths(&mac(1, 1)), Held::new());
}
