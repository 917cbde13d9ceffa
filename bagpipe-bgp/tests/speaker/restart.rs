//! Graceful restart (RFC 4724, RFC 8538), as helper and as the one that restarts.

use std::time::Duration;

use bagpipe_bgp::session::notification::{Cease, cease};
use bagpipe_bgp::speaker::{PeerConfig, SpeakerConfig, SpeakerEvent};
use bagpipe_bgp::types::Family;
use bagpipe_bgp::wire::Message;
use bagpipe_bgp::wire::message::Context;

use crate::network::{
    Network, NodeId, address, on_terms, passive, peer_config, reflector_config, route, speaker_config, target,
};

const SOON: Duration = Duration::from_millis(100);

/// Node 1 connects to node 2, imports, and has routes 0 to 2 of node 2.
fn with_routes(config: SpeakerConfig) -> Network {
    let mut network = Network::new();
    network.start(2, config, &[passive(1)]);
    network.start(1, speaker_config(1), &[peer_config(2)]);
    network.with(1, |speaker| speaker.import(target()));
    for number in 0..3 {
        network.announce(2, number);
    }
    network.run_until("routes there", SOON, |network| has_routes(network, 1, 2));
    // Long enough to be a stable session.
    network.run_for(Duration::from_secs(20));
    network
}

fn has_routes(network: &Network, at: NodeId, of: NodeId) -> bool {
    (0..3).all(|number| network.has_route(at, &route(of, number)))
}

fn is_stale(network: &Network, at: NodeId, of: NodeId) -> bool {
    (0..3).all(|number| network.nodes[&at].routes[&route(of, number).0.to_string()].stale)
}

fn restarting(config: SpeakerConfig) -> SpeakerConfig {
    SpeakerConfig { restarting: true, ..config }
}

#[test]
fn routes_outlive_a_restart_and_those_not_announced_again_go_at_its_end() {
    let mut network = with_routes(speaker_config(2));
    network.kill(2);
    network.run_until("noticed", SOON, |network| !network.is_up(1, 2));
    assert!(has_routes(&network, 1, 2));
    assert_eq!(network.peer(1, 2).unwrap().stale.len(), 2);

    network.start(2, restarting(speaker_config(2)), &[passive(1)]);
    network.announce(2, 0);
    network.announce(2, 1);
    network.run_until("up again", Duration::from_secs(5), |network| network.established(1, 2));
    network.run_until("the third one is dropped", Duration::from_secs(10), |network| {
        !network.has_route(1, &route(2, 2))
    });
    assert!(network.has_route(1, &route(2, 0)) && network.has_route(1, &route(2, 1)));
    network.run_for(Duration::from_secs(300));
    assert_eq!(network.nodes[&1].lost.len(), 1, "{:?}", network.nodes[&1].lost);
    assert!(network.peer(1, 2).unwrap().stale.is_empty());
}

#[test]
fn routes_of_a_peer_that_stays_away_go_after_its_restart_time() {
    let mut network = with_routes(on_terms(speaker_config(2), |terms| terms.restart_time = 60));
    network.kill(2);
    let gone_since = network.now;
    network.run_until("noticed", SOON, |network| !network.is_up(1, 2));
    network.run_until("dropped", Duration::from_secs(100), |network| !network.has_route(1, &route(2, 0)));
    let after = network.now - gone_since;
    assert!(after >= Duration::from_secs(60) && after < Duration::from_secs(61), "{after:?}");
    assert!((0..3).all(|number| !network.has_route(1, &route(2, number))));
}

#[test]
fn routes_of_a_peer_that_does_no_graceful_restart_go_at_once() {
    let mut network = with_routes(on_terms(speaker_config(2), |terms| terms.restart_time = 0));
    network.kill(2);
    network.run_until("dropped", SOON, |network| !network.has_route(1, &route(2, 0)));
}

#[test]
fn routes_are_kept_over_a_lost_connection() {
    let mut network = with_routes(speaker_config(2));
    network.reset_connections(1);
    network.run_until("up again", Duration::from_secs(3), |network| network.established(1, 2));
    network.run_for(Duration::from_secs(300));
    assert!(has_routes(&network, 1, 2) && network.nodes[&1].lost.is_empty());
    assert!(network.peer(1, 2).unwrap().stale.is_empty());
}

/// RFC 8538: with the N bit on both sides a NOTIFICATION, and so the hold timer, keeps the routes too.
#[test]
fn routes_are_kept_over_a_notification_that_is_no_hard_reset() {
    let mut network = with_routes(speaker_config(2));
    let conn = network.nodes[&1].connection_ids()[0];
    let reset = Message::Notification(cease(Cease::AdministrativeShutdown(""))).encode(&Context::default());
    let now = network.now;
    network.with(1, |speaker| speaker.received(conn, &reset, now));
    assert!(!network.is_up(1, 2) && has_routes(&network, 1, 2));
    assert!(is_stale(&network, 1, 2) || network.nodes[&1].lost.is_empty());
    network.run_until("up again", Duration::from_secs(5), |network| network.established(1, 2));

    network.run_for(Duration::from_secs(20));
    network.cut.insert((1, 2));
    network.run_until("hold time over", Duration::from_secs(91), |network| !network.is_up(1, 2));
    assert!(has_routes(&network, 1, 2));
    network.cut.clear();
    network.run_until("up again", Duration::from_secs(31), |network| network.established(1, 2));
    network.run_for(Duration::from_secs(30));
    assert!(has_routes(&network, 1, 2) && network.nodes[&1].lost.is_empty());
}

/// The machine goes away without a word and comes back within the hold time: its OPEN tells (RFC 4724 §5).
#[test]
fn a_peer_that_opens_anew_has_restarted() {
    let mut network = with_routes(speaker_config(2));
    network.crash(2);
    network.run_for(Duration::from_secs(5));
    assert!(network.is_up(1, 2), "nobody has told it");
    network.start(2, restarting(speaker_config(2)), &[peer_config(1)]);
    for number in 0..3 {
        network.announce(2, number);
    }
    network.run_until("up again", Duration::from_secs(1), |network| network.established(1, 2));
    network.run_for(Duration::from_secs(30));
    assert!(has_routes(&network, 1, 2) && network.nodes[&1].lost.is_empty());
    assert_eq!(network.downs(1).len(), 1, "{:?}", network.downs(1));
}

#[test]
fn a_peer_that_did_not_keep_forwarding_loses_its_routes_when_it_comes_back() {
    let mut network = with_routes(speaker_config(2));
    network.kill(2);
    network.run_for(SOON);
    // It comes back without graceful restart: no F bit.
    network.start(2, on_terms(speaker_config(2), |terms| terms.restart_time = 0), &[passive(1)]);
    network.run_until("up again", Duration::from_secs(5), |network| network.is_up(1, 2));
    assert!((0..3).all(|number| !network.has_route(1, &route(2, number))));
}

#[test]
fn stopping_with_graceful_restart_leaves_routes_alone() {
    let mut network = with_routes(speaker_config(2));
    let now = network.now;
    network.with(2, |speaker| speaker.shutdown(now));
    network.run_until("noticed", SOON, |network| !network.is_up(1, 2));
    assert!(has_routes(&network, 1, 2));
    assert!(network.last_error(1, 2).contains("connection closed"), "{}", network.last_error(1, 2));
}

/// Our End-of-RIB waits for the peers' (RFC 4724 §4.1), but not for ever.
#[test]
fn a_restarting_speaker_sends_its_end_of_rib_last() {
    let mut network = Network::new();
    network.start(1, speaker_config(1), &[passive(2)]);
    network.start(3, speaker_config(3), &[passive(2)]);
    network.listen(3, false);
    let end_of_rib = |network: &Network| {
        let of_evpn =
            |event: &SpeakerEvent| matches!(event, SpeakerEvent::EndOfRib { family: Family::EVPN, .. });
        network.nodes[&1].events.iter().any(of_evpn)
    };
    network.start(2, restarting(speaker_config(2)), &[peer_config(1), peer_config(3)]);
    network.run_for(Duration::from_secs(2));
    assert!(network.established(1, 2));
    let graceful = network.peer(1, 2).unwrap().negotiated.unwrap().graceful_restart.unwrap();
    assert!(graceful.restarting, "R bit");
    assert!(!end_of_rib(&network), "one of two peers is not there yet");
    network.listen(3, true);
    network.run_until("sent when both are there", Duration::from_secs(3), end_of_rib);

    let mut network = Network::new();
    network.start(1, speaker_config(1), &[passive(2)]);
    network.start(2, restarting(speaker_config(2)), &[peer_config(1), peer_config(3)]);
    network.run_for(SpeakerConfig::DEFERRAL - SOON);
    assert!(!end_of_rib(&network));
    network.run_until("sent when the time is over", SOON * 2, end_of_rib);
}

/// The peers' End-of-RIB is waited for even if they are up, unless they are restarting themselves.
#[test]
fn only_peers_that_restart_themselves_are_not_waited_for() {
    let end_of_rib_after = |other: SpeakerConfig| {
        let mut network = Network::new();
        let own = SpeakerConfig { deferral: Duration::from_secs(60), ..restarting(speaker_config(2)) };
        network.start(1, other, &[passive(2)]);
        network.start(2, own, &[peer_config(1)]);
        network.run_until("End-of-RIB", Duration::from_secs(61), |network| {
            let of_evpn =
                |event: &SpeakerEvent| matches!(event, SpeakerEvent::EndOfRib { family: Family::EVPN, .. });
            network.nodes[&1].events.iter().any(of_evpn)
        });
        network.now - network.started
    };
    assert!(end_of_rib_after(restarting(speaker_config(1))) < SOON);
    // A reflector holds its own back for a while.
    let after = end_of_rib_after(reflector_config(1));
    assert!(after >= SpeakerConfig::DEFERRAL && after < SpeakerConfig::DEFERRAL + SOON, "{after:?}");
}

#[test]
fn a_speaker_that_has_just_started_does_not_wait() {
    let mut network = Network::new();
    network.start(1, speaker_config(1), &[passive(2)]);
    network.start(2, speaker_config(2), &[peer_config(1)]);
    network.run_until("End-of-RIB of all families", SOON, |network| {
        let ends = |event: &&SpeakerEvent| matches!(event, SpeakerEvent::EndOfRib { .. });
        network.nodes[&1].events.iter().filter(ends).count() == 2
    });
}

/// A reflector that is killed and comes back takes no route from anyone, whenever its clients notice.
#[test]
fn no_route_is_lost_over_a_reflectors_restart() {
    for (away, config) in [
        (Duration::ZERO, reflector_config(1)),
        (Duration::from_secs(3), restarting(reflector_config(1))),
        (Duration::from_secs(100), restarting(reflector_config(1))),
    ] {
        let mut network = Network::new();
        network.start(1, reflector_config(1), &[]);
        let clients = 2..8;
        for client in clients.clone() {
            network.start(client, speaker_config(client), &[peer_config(1)]);
            network.with(client, |speaker| speaker.import(target()));
            for number in 0..3 {
                network.announce(client, number);
            }
        }
        let complete = |network: &Network| {
            (2..8).all(|to| (2..8).all(|from| from == to || has_routes(network, to, from)))
        };
        network.run_until("all routes everywhere", Duration::from_secs(10), complete);
        network.run_for(Duration::from_secs(20));
        network.kill(1);
        network.run_for(away);
        network.start(1, config, &[]);
        network.run_for(Duration::from_secs(60));
        assert!(complete(&network), "away for {away:?}");
        for client in clients {
            assert!(network.established(1, client));
            assert!(network.nodes[&client].lost.is_empty(), "{:?}", network.nodes[&client].lost);
            assert!(network.peer(client, 1).unwrap().stale.is_empty(), "away for {away:?}");
        }
    }
}

/// A client that moves its routes while the reflector is away is seen by all, once it is back.
#[test]
fn what_changed_during_a_reflectors_restart_is_put_right() {
    let mut network = Network::new();
    network.start(1, reflector_config(1), &[]);
    for client in [2, 3] {
        network.start(client, speaker_config(client), &[peer_config(1)]);
        network.with(client, |speaker| speaker.import(target()));
    }
    network.announce(2, 0);
    network.announce(2, 1);
    let both = |network: &Network| network.has_route(3, &route(2, 0)) && network.has_route(3, &route(2, 1));
    network.run_until("routes there", Duration::from_secs(10), both);
    network.kill(1);
    network.run_for(SOON);
    let (nlri, _) = route(2, 0);
    network.with(2, |speaker| speaker.withdraw(&nlri));
    network.announce(2, 2);
    network.start(1, reflector_config(1), &[]);
    network.run_until("put right", Duration::from_secs(20), |network| {
        !network.has_route(3, &route(2, 0)) && network.has_route(3, &route(2, 2))
    });
    assert!(network.has_route(3, &route(2, 1)) && network.nodes[&3].lost.len() == 1);
}

#[test]
fn convergence_is_told_once_all_peers_have_sent_their_routes() {
    let converged = |network: &Network| {
        network.nodes[&1].events.iter().filter(|event| matches!(event, SpeakerEvent::Converged)).count()
    };
    let mut network = Network::new();
    network.start(2, speaker_config(2), &[passive(1)]);
    network.start(3, speaker_config(3), &[passive(1)]);
    network.listen(3, false);
    network.start(1, speaker_config(1), &[peer_config(2), peer_config(3)]);
    network.run_for(Duration::from_secs(20));
    assert_eq!(converged(&network), 0);
    network.listen(3, true);
    network.run_until("converged", Duration::from_secs(30), |network| converged(network) == 1);
    network.reset_connections(1);
    network.run_for(Duration::from_secs(600));
    assert_eq!(converged(&network), 1);

    // A peer that never comes is waited for as long as a restart may take.
    let mut network = Network::new();
    let config = on_terms(speaker_config(1), |terms| terms.restart_time = 60);
    network.start(1, config, &[PeerConfig { address: address(4).into(), ..peer_config(4) }]);
    network.run_for(Duration::from_secs(59));
    assert_eq!(converged(&network), 0);
    network.run_for(Duration::from_secs(2));
    assert_eq!(converged(&network), 1);
}
