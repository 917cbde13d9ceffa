//! What operators do to peers, and what they tell each other (RFC 9003).

use std::time::Duration;

use bagpipe_bgp::speaker::{Held, Refused};

use crate::network::{Network, address, on_terms, passive, peer_config, route, speaker_config, target};

const SOON: Duration = Duration::from_millis(100);
const LONG: Duration = Duration::from_secs(3_600);

/// Node 1 connects to node 2 and announces a route, which node 2 imports.
fn pair(restart_time: u16) -> Network {
    let mut network = Network::new();
    let config = |node| on_terms(speaker_config(node), |terms| terms.restart_time = restart_time);
    network.start(2, config(2), &[passive(1)]);
    network.start(1, config(1), &[peer_config(2)]);
    network.with(2, |speaker| speaker.import(target()));
    network.announce(1, 1);
    network.run_until("there", SOON, |network| network.has_route(2, &route(1, 1)));
    network
}

#[test]
fn a_peer_that_is_shut_down_is_told_why_and_stays_away() {
    for (restart_time, told) in [
        (0, "NOTIFICATION 6/2 (cease, administrative shutdown: \"new cables until 4\")"),
        (
            120,
            "NOTIFICATION 6/9 (cease, hard reset: 6/2 cease, administrative shutdown: \"new cables until 4\")",
        ),
    ] {
        // Whoever of the two connects.
        for (own, other) in [(1, 2), (2, 1)] {
            let mut network = pair(restart_time);
            let (peer, now) = (network.peer_id(own, other), network.now);
            network.with(own, |speaker| speaker.shut_down_peer(peer, "new cables until 4", now));
            network.run_for(SOON);
            assert!(network.downs(other)[0].contains(told), "{:?}", network.downs(other));
            assert_eq!(network.last_error(own, other), "shut down here: new cables until 4");
            assert_eq!(network.peer(own, other).unwrap().held, Some(Held::Shutdown));
            assert!(!network.has_route(2, &route(1, 1)), "graceful restart or not");
            network.run_for(LONG);
            assert!(!network.is_up(own, other) && !network.is_up(other, own));
            let now = network.now;
            let refused = network.with(own, |speaker| speaker.accepted((address(other), 1024).into(), now));
            assert_eq!(refused, Err(Refused::Held(address(other).into())));

            let now = network.now;
            network.with(own, |speaker| speaker.enable_peer(peer, now));
            // The other side finds out when it tries the next time.
            network.run_until("back", Duration::from_secs(31), |network| network.has_route(2, &route(1, 1)));
        }
    }
}

/// A reset is a graceful restart where both can do it.
#[test]
fn a_peer_that_is_reset_comes_back_at_once() {
    for (restart_time, kept) in [(0, false), (120, true)] {
        let mut network = pair(restart_time);
        network.run_for(Duration::from_secs(20));
        let (peer, now) = (network.peer_id(1, 2), network.now);
        network.with(1, |speaker| speaker.reset_peer(peer, "", now));
        network.run_for(Duration::from_micros(1_500));
        assert_eq!(network.last_error(1, 2), "reset here");
        let told = "peer sent NOTIFICATION 6/4 (cease, administrative reset)";
        assert_eq!(network.downs(2), [told]);
        assert_eq!(network.has_route(2, &route(1, 1)), kept);
        network.run_until("back", Duration::from_secs(2), |network| network.established(1, 2));
        network.run_for(SOON);
        assert!(network.has_route(2, &route(1, 1)));
        assert_eq!(network.nodes[&2].lost.is_empty(), kept);
    }
}

/// One that is being connected to is connected to anew.
#[test]
fn a_reset_begins_an_attempt_anew() {
    let mut network = Network::new();
    network.start(2, speaker_config(2), &[passive(1)]);
    network.cut.insert((1, 2));
    network.start(1, speaker_config(1), &[peer_config(2)]);
    network.cut.clear();
    network.run_for(SOON);
    let (peer, now) = (network.peer_id(1, 2), network.now);
    network.with(1, |speaker| speaker.reset_peer(peer, "", now));
    network.run_until("up", SOON, |network| network.established(1, 2));
}

/// One that is shut down while it is not up is kept away as well.
#[test]
fn who_is_not_there_can_be_shut_down() {
    let mut network = Network::new();
    network.start(1, speaker_config(1), &[peer_config(2)]);
    let (peer, now) = (network.peer_id(1, 2), network.now);
    network.with(1, |speaker| speaker.shut_down_peer(peer, "", now));
    assert_eq!(network.last_error(1, 2), "shut down here");
    let attempts = network.nodes[&1].attempts.len();
    network.start(2, speaker_config(2), &[passive(1)]);
    network.run_for(LONG);
    assert_eq!(network.nodes[&1].attempts.len(), attempts);
    let now = network.now;
    network.with(1, |speaker| speaker.enable_peer(peer, now));
    network.run_until("up", SOON, |network| network.established(1, 2));
}
