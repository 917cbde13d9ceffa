//! Long-lived graceful restart (RFC 9494), as helper and as the one that is away.

use std::time::Duration;

use bagpipe_bgp::speaker::SpeakerConfig;

use crate::network::{Network, on_terms, passive, peer_config, route, speaker_config, target};

const SOON: Duration = Duration::from_millis(100);
const RESTART: Duration = Duration::from_secs(120);
const HOUR: Duration = Duration::from_secs(3_600);

fn config(node: u8, long_lived_time: u32) -> SpeakerConfig {
    on_terms(speaker_config(node), |terms| terms.long_lived_time = long_lived_time)
}

/// Node 1 has routes 0 and 1 of node 2, which has just been killed.
fn killed(ours: u32, theirs: u32) -> Network {
    let mut network = Network::new();
    network.start(2, config(2, theirs), &[passive(1)]);
    network.start(1, config(1, ours), &[peer_config(2)]);
    network.with(1, |speaker| speaker.import(target()));
    for number in 0..2 {
        network.announce(2, number);
    }
    network.run_until("routes there", SOON, |network| network.has_route(1, &route(2, 1)));
    network.run_for(Duration::from_secs(20));
    network.kill(2);
    network.run_until("noticed", SOON, |network| !network.is_up(1, 2));
    network
}

fn kept(network: &Network) -> (usize, usize) {
    let status = network.peer(1, 2).unwrap();
    (status.stale.len(), status.long_lived.len())
}

#[test]
fn routes_outlive_the_restart_time_for_as_long_as_both_allow() {
    for (ours, theirs, lasting) in
        [(3_600, 7_200, true), (7_200, 3_600, true), (0, 3_600, false), (3_600, 0, false)]
    {
        let mut network = killed(ours, theirs);
        assert_eq!(kept(&network), (2, 0));
        network.run_for(RESTART + SOON);
        assert_eq!(network.has_route(1, &route(2, 1)), lasting, "{ours} {theirs}");
        assert_eq!(kept(&network), if lasting { (2, 2) } else { (0, 0) });
        if lasting {
            network.run_for(HOUR - Duration::from_secs(1));
            assert!(network.has_route(1, &route(2, 1)));
            // It is not looked for as often as one that is to come back at once.
            assert!(network.nodes[&1].attempts.len() < 250, "{}", network.nodes[&1].attempts.len());
            network.run_for(Duration::from_secs(1));
            assert!(!network.has_route(1, &route(2, 1)));
            assert_eq!(kept(&network), (0, 0));
        }
    }
}

/// The end of the wait for a peer that has come back is its End-of-RIB.
#[test]
fn who_comes_back_late_replaces_what_was_kept() {
    let mut network = killed(3_600, 3_600);
    network.run_for(RESTART + Duration::from_secs(600));
    let restarted = SpeakerConfig { restarting: true, ..config(2, 3_600) };
    network.start(2, restarted, &[passive(1)]);
    network.announce(2, 0);
    network.run_until("up again", Duration::from_secs(40), |network| network.established(1, 2));
    network.run_until("the other one is dropped", Duration::from_secs(10), |network| {
        !network.has_route(1, &route(2, 1))
    });
    assert_eq!(kept(&network), (0, 0));
    assert_eq!(network.nodes[&1].lost.len(), 1, "{:?}", network.nodes[&1].lost);
    let path = &network.nodes[&1].routes[&route(2, 0).0.to_string()];
    assert!(path.attributes.communities.is_empty() && !path.stale);
    network.run_for(HOUR * 2);
    assert!(network.has_route(1, &route(2, 0)), "no timer is left");
}

/// A time that runs is not prolonged by a session that does not get as far as its End-of-RIB.
#[test]
fn the_time_of_what_is_kept_goes_on_while_the_peer_comes_and_goes() {
    let mut network = killed(3_600, 3_600);
    network.run_for(RESTART + HOUR / 2);
    // Kept back for so long that it goes again before.
    let slow = SpeakerConfig { restarting: true, deferral: HOUR, ..config(2, 3_600) };
    network.start(2, slow, &[passive(1), passive(3)]);
    network.run_until("up", Duration::from_secs(40), |network| network.established(1, 2));
    network.kill(2);
    network.run_for(HOUR / 2 + Duration::from_secs(1));
    assert!(!network.has_route(1, &route(2, 1)));
    network.run_for(HOUR * 2);
    assert_eq!(kept(&network), (0, 0));
}
