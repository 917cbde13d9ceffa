//! Sessions coming up, staying up and not coming up.

use std::time::Duration;

use bagpipe_bgp::speaker::{PeerConfig, PeerState, Refused, SpeakerConfig, SpeakerEvent};
use bagpipe_bgp::types::Family;

use crate::network::{
    FAMILIES, Network, address, on_terms, passive, peer_config, reflector_config, speaker_config,
};

const SOON: Duration = Duration::from_millis(100);

/// Node 1 connects to node 2.
fn pair() -> Network {
    let mut network = Network::new();
    network.start(2, speaker_config(2), &[passive(1)]);
    network.start(1, speaker_config(1), &[peer_config(2)]);
    network
}

#[test]
fn sessions_come_up_whoever_connects() {
    for (first, second) in [(peer_config(2), passive(1)), (passive(2), peer_config(1))] {
        let mut network = Network::new();
        network.start(1, speaker_config(1), &[first]);
        network.start(2, speaker_config(2), &[second]);
        network.run_until("established", Duration::from_secs(2), |network| network.established(1, 2));
        let status = network.peer(1, 2).unwrap();
        assert_eq!(status.router_id, Some(address(2)));
        assert_eq!(status.negotiated.unwrap().families, FAMILIES);
        assert_eq!(status.last_error, None);
        assert_eq!((network.connections(1), network.connections(2)), (1, 1));
        assert!(matches!(network.nodes[&2].events[0], SpeakerEvent::PeerUp { .. }));
    }
}

#[test]
fn the_first_attempt_is_made_at_once() {
    let mut network = pair();
    network.run_until("established", SOON, |network| network.established(1, 2));
}

#[test]
fn keepalives_keep_a_quiet_session_up() {
    let mut network = Network::new();
    network.start(2, speaker_config(2), &[passive(1)]);
    network.start(1, speaker_config(1), &[PeerConfig { hold_time: 3, ..peer_config(2) }]);
    network.run_for(Duration::from_secs(3_600));
    assert!(network.established(1, 2));
    assert!(network.downs(1).is_empty() && network.downs(2).is_empty());
    let status = network.peer(1, 2).unwrap();
    assert_eq!(status.negotiated.unwrap().hold_time, 3);
    assert!((3_599..=3_601).contains(&status.counters.received.keepalives), "{:?}", status.counters);
}

#[test]
fn a_silent_peer_is_down_after_the_hold_time() {
    let mut network = pair();
    network.run_until("established", SOON, |network| network.established(1, 2));
    network.run_for(SOON);
    network.cut.insert((1, 2));
    let silent_since = network.now;
    network.run_until("down", Duration::from_secs(120), |network| !network.is_up(1, 2));
    let after = network.now - silent_since;
    assert!(after > Duration::from_secs(89) && after <= Duration::from_secs(90), "{after:?}");
    assert_eq!(network.last_error(1, 2), "hold time expired");
    network.run_for(Duration::from_secs(10));
    network.cut.clear();
    network.run_until("established again", Duration::from_secs(60), |network| network.established(1, 2));
}

#[test]
fn refusals_are_reported_once_and_attempts_grow_rare() {
    let cases = [
        (PeerConfig { asn: 64513, ..peer_config(2) }, "peer is in AS 64512, expected AS 64513"),
        (PeerConfig { families: vec![Family::VPNV4], ..peer_config(2) }, "none of the families [vpnv4]"),
    ];
    for (config, reason) in cases {
        let mut network = Network::new();
        network.start(2, speaker_config(2), &[passive(1)]);
        network.start(1, speaker_config(1), &[config]);
        network.run_for(Duration::from_secs(300));
        let told = network.downs(1);
        assert!(told.iter().any(|told| told.contains(reason)), "{told:?}");
        assert!(told.len() <= 2, "{told:?}");
        assert!(network.nodes[&1].attempts.len() < 20, "{} attempts", network.nodes[&1].attempts.len());
        assert_eq!((network.connections(1), network.connections(2)), (0, 0));
    }
}

#[test]
fn the_same_identifier_is_refused() {
    let mut network = Network::new();
    network.start(2, SpeakerConfig { router_id: address(1), ..speaker_config(2) }, &[passive(1)]);
    network.start(1, speaker_config(1), &[peer_config(2)]);
    network.run_for(Duration::from_secs(10));
    assert!(!network.is_up(1, 2) && !network.is_up(2, 1));
    assert!(network.downs(2).iter().any(|told| told.contains("same as ours")), "{:?}", network.downs(2));
}

#[test]
fn attempts_back_off_up_to_the_limit() {
    let mut network = Network::new();
    network.start(1, speaker_config(1), &[peer_config(2)]);
    network.run_for(Duration::from_secs(200));
    let attempts = &network.nodes[&1].attempts;
    let pauses: Vec<_> = attempts.windows(2).map(|pair| pair[1] - pair[0]).collect();
    assert_eq!(attempts[0], network.started);
    assert!(pauses.len() > 7, "{pauses:?}");
    for (pause, full) in pauses.iter().zip([1, 2, 4, 8, 16, 30, 30, 30]) {
        let full = Duration::from_secs(full);
        assert!(*pause >= full * 3 / 4 && *pause <= full + SOON, "{pauses:?}");
    }
    assert_eq!(network.peer(1, 2).unwrap().state, PeerState::Idle);
    assert_eq!(network.last_error(1, 2), "connection refused");
    assert_eq!(network.downs(1).len(), 1, "told once");
    network.start(2, speaker_config(2), &[passive(1)]);
    network.run_until("established", Duration::from_secs(31), |network| network.established(1, 2));
}

#[test]
fn an_attempt_that_is_not_answered_is_given_up() {
    let mut network = Network::new();
    network.cut.insert((1, 2));
    network.start(1, speaker_config(1), &[peer_config(2)]);
    network.run_for(Duration::from_secs(30));
    assert_eq!(network.nodes[&1].attempts.len(), 2);
    network.cut.clear();
    network.start(2, speaker_config(2), &[passive(1)]);
    network.run_until("established", Duration::from_secs(30), |network| network.established(1, 2));
}

#[test]
fn only_peers_and_clients_are_accepted() {
    let mut network = Network::new();
    let config = on_terms(reflector_config(1), |terms| terms.dynamic_clients = vec![(address(8).into(), 29)]);
    network.start(1, config, &[passive(2)]);
    let now = network.now;
    let mut accept = |remote: &str| network.with(1, |speaker| speaker.accepted(remote.parse().unwrap(), now));
    assert_eq!(accept("192.0.2.3:1024"), Err(Refused::UnknownPeer(address(3).into())));
    assert_eq!(accept("192.0.2.16:1024"), Err(Refused::UnknownPeer(address(16).into())));
    assert!(accept("192.0.2.2:1024").is_ok());
    assert!(accept("192.0.2.15:1024").is_ok());
    assert!(accept("[::ffff:192.0.2.8]:1024").is_ok());
}

#[test]
fn connections_without_an_open_do_not_pile_up() {
    let mut network = Network::new();
    network.start(1, reflector_config(1), &[]);
    let now = network.now;
    for _ in 0..100 {
        network.with(1, |speaker| speaker.accepted((address(2), 1024).into(), now)).unwrap();
    }
    assert_eq!(network.with(1, |speaker| speaker.peers().count()), 1);
    let sent = network.peer(1, 2).unwrap().counters.sent;
    assert_eq!((sent.opens, sent.notifications), (100, 99), "all but the last one are closed");
    network.run_for(Duration::from_secs(300));
    assert_eq!(network.with(1, |speaker| speaker.peers().count()), 0, "no OPEN, no client");
}

#[test]
fn malformed_bytes_end_the_session_and_it_comes_back() {
    let mut network = pair();
    network.run_until("established", SOON, |network| network.established(1, 2));
    let conn = network.nodes[&2].connection_ids()[0];
    let now = network.now;
    network.with(2, |speaker| speaker.received(conn, b"this is not BGP at all", now));
    assert!(network.last_error(2, 1).contains("NOTIFICATION 1/1"), "{}", network.last_error(2, 1));
    network.run_until("down", SOON, |network| !network.is_up(1, 2));
    assert!(network.last_error(1, 2).contains("NOTIFICATION 1/1"), "{}", network.last_error(1, 2));
    network.run_until("established again", Duration::from_secs(3), |network| network.established(1, 2));
}

#[test]
fn statuses_are_shown_as_json() {
    let mut network = pair();
    network.run_until("established", SOON, |network| network.established(1, 2));
    let status = serde_json::to_value(network.peer(1, 2).unwrap()).unwrap();
    assert_eq!(status["state"], "established");
    assert_eq!(status["address"], "192.0.2.2");
    assert_eq!(status["negotiated"]["families"][1], "evpn");
    assert_eq!(status["counters"]["sent"]["opens"], 1);
}
