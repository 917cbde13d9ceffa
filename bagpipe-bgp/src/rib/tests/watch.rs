//! What those see who watch without taking part.

use std::num::NonZeroU32;
use std::slice;

use super::*;
use crate::wire::AddPathFamilies;

const FAMILIES: &[Family] = &[Family::EVPN];

fn three() -> Network {
    let mut network = Network::new(&[(Kind::Client, FAMILIES); 3]);
    network.rib.watch(true);
    network
}

/// What changed: the source, whether there is a path, and the source of the best one.
fn changes(network: &mut Network) -> Vec<(u32, bool, Option<u32>)> {
    let number = |source: RouteSource| match source {
        RouteSource::Local => 0,
        RouteSource::Peer(peer, at) => {
            assert_eq!(at, IpAddr::V4(address(peer.0)));
            peer.0
        }
    };
    std::iter::from_fn(|| network.rib.poll_path())
        .map(|change| (number(change.source), change.attributes.is_some(), change.best.map(number)))
        .collect()
}

#[test]
fn paths_that_come_change_and_go_are_told_once() {
    let mut network = three();
    let route = mac(1, 1);
    network.announce(1, attributes(1, &[]), slice::from_ref(&route));
    assert_eq!(changes(&mut network), [(1, true, Some(1))]);
    network.announce(1, attributes(1, &[]), slice::from_ref(&route));
    assert_eq!(changes(&mut network), [], "nothing new");
    network.announce(2, Attributes { local_pref: Some(200), ..attributes(2, &[]) }, slice::from_ref(&route));
    assert_eq!(changes(&mut network), [(2, true, Some(2))]);
    network.announce(1, attributes(3, &[]), &[mac(1, 2)]);
    assert_eq!(changes(&mut network), [(1, true, Some(2))], "another path is better still");
    network.withdraw(2, slice::from_ref(&route));
    assert_eq!(changes(&mut network), [(2, false, Some(1))]);
    network.rib.originate(route.clone(), attributes(4, &[]));
    assert_eq!(changes(&mut network), [(0, true, Some(0))]);
    network.rib.withdraw(&route);
    network.withdraw(1, &[route]);
    assert_eq!(changes(&mut network), [(0, false, Some(1)), (1, false, None)]);
}

#[test]
fn what_is_announced_again_after_a_restart_is_told_and_what_is_swept_too() {
    let mut network = three();
    network.announce(1, attributes(1, &[]), &[mac(1, 1), mac(2, 1)]);
    changes(&mut network);
    network.rib.peer_down(PeerId(1), FAMILIES);
    network.rib.peer_up(PeerId(1), facts(1, Kind::Client, FAMILIES));
    assert_eq!(changes(&mut network), []);
    network.announce(1, attributes(1, &[]), &[mac(1, 1)]);
    assert_eq!(changes(&mut network), [(1, true, Some(1))]);
    network.rib.sweep(PeerId(1), Family::EVPN);
    assert_eq!(changes(&mut network), [(1, false, None)]);

    network.rib.peer_down(PeerId(1), &[]);
    assert_eq!(changes(&mut network), [(1, false, None)]);
    network.rib.watch(false);
    network.announce(2, attributes(1, &[]), &[mac(3, 1)]);
    assert_eq!(changes(&mut network), []);
}

#[test]
fn a_walk_passes_every_path() {
    let mut network = three();
    let routes: Vec<_> = (0..100).map(|number| mac(number, 1)).collect();
    network.announce(1, attributes(1, &[]), &routes);
    network.announce(2, attributes(2, &[]), &routes[..50]);
    let (mut walk, mut paths) = (Walk::default(), 0);
    while let Some(step) = network.rib.step(&mut walk, 7) {
        assert!(step.len() <= 14);
        paths += step.len();
    }
    assert_eq!(paths, 150);
}

#[test]
fn the_rule_by_which_a_path_lost_is_named() {
    let mut network = three();
    let route = mac(1, 1);
    network.announce(1, attributes(1, &[]), &[route.clone(), mac(2, 1)]);
    network.announce(2, Attributes { local_pref: Some(200), ..attributes(2, &[]) }, slice::from_ref(&route));
    network.announce(3, Attributes { med: Some(7), ..attributes(1, &[]) }, &[mac(2, 1)]);
    let ranked = |wanted: &Nlri| {
        let ranked = network.rib.ranked(|nlri| nlri == wanted).into_iter();
        ranked.map(|(path, rule)| (path.peer.unwrap().0, path.best, rule)).collect::<Vec<_>>()
    };
    assert_eq!(ranked(&route), [(2, true, None), (1, false, Some(Rule::LocalPref))]);
    assert_eq!(ranked(&mac(2, 1)), [(1, true, None), (3, false, Some(Rule::Med))]);
    assert_eq!(ranked(&mac(3, 1)), []);
}

#[test]
fn what_a_peer_was_sent_is_what_it_holds() {
    let mut rib = rib();
    let several = RibPeer {
        send_paths: NonZeroU32::new(2),
        context: Context {
            add_paths: AddPathFamilies { receive: Vec::new(), send: FAMILIES.to_vec() },
            ..facts(4, Kind::Client, FAMILIES).context
        },
        ..facts(4, Kind::Client, FAMILIES)
    };
    for number in 1..=3 {
        rib.peer_up(PeerId(number), facts(number, Kind::Client, FAMILIES));
    }
    rib.peer_up(PeerId(4), several);
    for number in 1..=3 {
        let preference = Attributes { local_pref: Some(100 + number), ..attributes(number, &[]) };
        rib.receive(PeerId(number), &announce(preference, &[mac(1, 1)]));
    }
    rib.receive(PeerId(1), &announce(attributes(1, &[]), &[mac(2, 1)]));
    let sent = |rib: &Rib, peer| {
        let sent = rib.sent(PeerId(peer));
        let mut sent: Vec<_> =
            sent.map(|path| (key_of(&path.nlri), path.peer.unwrap().0, path.best)).collect();
        sent.sort_unstable_by_key(|(nlri, peer, _)| (nlri.to_string(), *peer));
        sent
    };
    assert_eq!(sent(&rib, 1), [], "nothing has gone out yet");
    for peer in [1, 4] {
        while rib.next_update(PeerId(peer)).is_some() {}
    }
    let [one, two] = [key_of(&mac(1, 1)), key_of(&mac(2, 1))];
    assert_eq!(sent(&rib, 1), [(one.clone(), 3, true)]);
    assert_eq!(sent(&rib, 4), [(one.clone(), 2, false), (one, 3, true), (two, 1, true)]);
    let reflected = rib.sent(PeerId(1)).next().unwrap();
    assert_eq!(reflected.attributes.cluster_list, [CLUSTER], "as it was sent");
}
