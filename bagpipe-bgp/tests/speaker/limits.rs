//! What peers and clients may use up: routes and connections.

use std::time::Duration;

use bagpipe_bgp::speaker::{Held, MaxPrefixes, PeerConfig, PeerState, Refused, SpeakerEvent};
use bagpipe_bgp::types::Family;

use crate::network::{
    Network, address, on_terms, passive, peer_config, reflector_config, route, speaker_config, target,
};

const SOON: Duration = Duration::from_millis(100);
const RESTART: Duration = Duration::from_secs(60);

fn limits(limit: u32) -> MaxPrefixes {
    MaxPrefixes { limits: vec![(Family::EVPN, limit)], warning: 75, restart: Some(RESTART) }
}

/// Node 1 announces to node 2, which takes 8 routes.
fn pair(restart: Option<Duration>) -> Network {
    let mut network = Network::new();
    let limited = PeerConfig { max_prefixes: MaxPrefixes { restart, ..limits(8) }, ..passive(1) };
    network.start(2, speaker_config(2), &[limited]);
    network.start(1, speaker_config(1), &[peer_config(2)]);
    network.with(2, |speaker| speaker.import(target()));
    network
}

fn warnings(network: &Network) -> usize {
    let near = |event: &&SpeakerEvent| {
        matches!(event, SpeakerEvent::NearLimit { family: Family::EVPN, routes: 7, limit: 8, .. })
    };
    network.nodes[&2].events.iter().filter(near).count()
}

/// RFC 4486 §4.
#[test]
fn a_peer_with_too_many_routes_is_kept_away_for_a_while() {
    let mut network = pair(Some(RESTART));
    for number in 0..7 {
        network.announce(1, number);
        network.run_for(SOON);
        // More than 75 % of 8.
        assert_eq!(warnings(&network), usize::from(number >= 6));
    }
    network.announce(1, 7);
    network.run_for(SOON);
    assert!(network.has_route(2, &route(1, 7)) && network.established(1, 2), "as many as it may");
    assert_eq!(warnings(&network), 1, "once in a session");

    network.announce(1, 8);
    network.run_for(SOON);
    let held = network.peer(2, 1).unwrap();
    assert_eq!(held.held, Some(Held::TooManyRoutes));
    assert_ne!(held.state, PeerState::Established);
    let reason = "peer announces more than 8 evpn routes: kept away for 60 s";
    assert_eq!(network.last_error(2, 1), reason);
    let told = network.downs(1);
    assert!(told[0].contains("6/1 cease, maximum number of prefixes reached of evpn: 8"), "{told:?}");
    // In spite of graceful restart nothing is kept: it is what there is too much of.
    assert!(network.nodes[&2].routes.is_empty());

    let now = network.now;
    let refused = network.with(2, |speaker| speaker.accepted((address(1), 1024).into(), now));
    assert_eq!(refused, Err(Refused::Held(address(1).into())));
    let (nlri, _) = route(1, 0);
    network.with(1, |speaker| speaker.withdraw(&nlri));
    network.run_for(RESTART - Duration::from_secs(2));
    assert!(!network.established(1, 2));
    network.run_until("back", Duration::from_secs(60), |network| network.has_route(2, &route(1, 8)));
}

#[test]
fn a_peer_may_be_kept_away_for_good() {
    let mut network = pair(None);
    for number in 0..9 {
        network.announce(1, number);
    }
    network.run_for(SOON);
    assert_eq!(network.last_error(2, 1), "peer announces more than 8 evpn routes: kept away for good");
    network.run_for(Duration::from_secs(3_600));
    assert!(!network.established(1, 2));
    // Who removes it and adds it again gives it another chance.
    for number in 0..3 {
        let (nlri, _) = route(1, number);
        network.with(1, |speaker| speaker.withdraw(&nlri));
    }
    let now = network.now;
    network.with(2, |speaker| speaker.add_peer(passive(1), now));
    network.run_until("back", Duration::from_secs(60), |network| network.has_route(2, &route(1, 8)));
}

/// What has been read of one that announces far too much is not taken.
#[test]
fn a_flood_is_cut_off_at_the_limit() {
    let mut network = pair(Some(RESTART));
    network.run_for(SOON);
    network.node(1).stuck = true;
    for number in 0..=255 {
        let (nlri, mut attributes) = route(1, number);
        // Each in an UPDATE of its own.
        attributes.med = Some(number.into());
        network.with(1, |speaker| speaker.originate(nlri, attributes));
    }
    let (from, to) = (network.nodes[&1].connection_ids()[0], network.nodes[&2].connection_ids()[0]);
    let read =
        network.with(1, |speaker| std::iter::from_fn(|| speaker.poll_transmit(from)).collect::<Vec<_>>());
    assert!(read.len() >= 256);
    let now = network.now;
    network.with(2, |speaker| speaker.received(to, &read.concat(), now));
    let held = network.peer(2, 1).unwrap();
    assert_eq!(held.held, Some(Held::TooManyRoutes));
    assert_eq!(held.routes.iter().map(|count| count.received).sum::<usize>(), 0);
    assert_eq!(network.downs(2).len(), 1);
    assert!(network.nodes[&2].routes.is_empty() && network.nodes[&2].lost.is_empty());
}

#[test]
fn clients_have_limits_too() {
    let mut network = Network::new();
    let config = on_terms(reflector_config(1), |terms| {
        (terms.max_clients, terms.client_max_prefixes) = (2, limits(2));
    });
    network.start(1, config, &[]);
    for client in [2, 3, 4] {
        network.start(client, speaker_config(client), &[peer_config(1)]);
        network.run_for(SOON);
        assert_eq!(network.is_up(1, client), client < 4, "client {client}");
    }
    let now = network.now;
    let refused = network.with(1, |speaker| speaker.accepted((address(4), 1024).into(), now));
    assert_eq!(refused, Err(Refused::TooManyClients(address(4).into(), 2)));

    // Somebody has to want the routes.
    network.with(3, |speaker| speaker.import(target()));
    // It is not forgotten while it is kept away, and so cannot come back at once.
    for number in 0..3 {
        network.announce(2, number);
    }
    network.run_for(SOON);
    assert!(network.peer(1, 2).is_some_and(|peer| peer.held.is_some()));
    network.crash(2);
    network.run_for(RESTART);
    assert!(network.peer(1, 2).is_none());
    network.run_until("room for another", Duration::from_secs(60), |network| network.is_up(1, 4));
}
