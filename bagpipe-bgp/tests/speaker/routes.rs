//! Routes between speakers: memberships, reflection, refresh, back-pressure.

use std::time::Duration;

use bagpipe_bgp::session::{AddPaths, SessionConfig};
use bagpipe_bgp::speaker::{PeerConfig, Refused, RouteSource, SpeakerConfig, SpeakerEvent};
use bagpipe_bgp::types::{Family, Label, RouteDistinguisher};
use bagpipe_bgp::wire::message::Context;
use bagpipe_bgp::wire::{Attributes, Message, Nlri, VpnRoute};

use crate::network::{
    FAMILIES, Network, address, on_terms, passive, peer_config, reflector_config, route, speaker_config,
    target,
};

const SOON: Duration = Duration::from_millis(100);

/// Node 1 connects to node 2; both import.
fn pair() -> Network {
    let mut network = Network::new();
    network.start(2, speaker_config(2), &[passive(1)]);
    network.start(1, speaker_config(1), &[peer_config(2)]);
    for node in [1, 2] {
        network.with(node, |speaker| speaker.import(target()));
    }
    network
}

/// An UPDATE of node 9 that asks for all route targets (RFC 4684 §4), with the given ORIGIN attribute.
fn wildcard_membership(origin: &[u8]) -> Vec<u8> {
    let mut attributes = origin.to_vec();
    attributes.extend([0x40, 2, 0, 0x40, 5, 4, 0, 0, 0, 100]);
    attributes.extend([0x80, 14, 10, 0, 1, 132, 4, 192, 0, 2, 9, 0, 0]);
    let length = u8::try_from(attributes.len()).unwrap();
    let mut update = vec![0xff; 16];
    update.extend([0, 23 + length, 2, 0, 0, 0, length]);
    update.extend(attributes);
    update
}

#[test]
fn routes_flow_whatever_the_pieces_in_which_bytes_come() {
    for piece in [1, 7, usize::MAX] {
        let mut network = pair();
        network.piece = piece;
        for number in 0..10 {
            network.announce(1, number);
        }
        network.run_until("all routes there", SOON, |network| {
            (0..10).all(|number| network.has_route(2, &route(1, number)))
        });
        let (nlri, _) = route(1, 3);
        network.with(1, |speaker| speaker.withdraw(&nlri));
        network.run_until("one gone", SOON, |network| !network.has_route(2, &route(1, 3)));
        assert!(network.has_route(2, &route(1, 4)));
    }
}

#[test]
fn many_routes_share_messages() {
    let mut network = pair();
    network.run_for(SOON);
    network.node(1).stuck = true;
    for number in 0..=255 {
        network.announce(1, number);
    }
    let before = network.peer(1, 2).unwrap().counters.sent.updates;
    network.unstick(1);
    network.run_until("there", SOON, |network| network.has_route(2, &route(1, 255)));
    assert_eq!(network.peer(1, 2).unwrap().counters.sent.updates, before + 1);
    let counts = network.peer(2, 1).unwrap().routes;
    let evpn = counts.iter().find(|count| count.family == Family::EVPN).unwrap();
    assert_eq!(evpn.received, 256);
}

#[test]
fn routes_wait_for_the_peers_memberships() {
    let mut network = Network::new();
    network.start(2, speaker_config(2), &[passive(1)]);
    network.start(1, speaker_config(1), &[peer_config(2)]);
    network.announce(1, 1);
    network.run_for(Duration::from_secs(10));
    let received = |network: &mut Network| {
        let from_peer = |source| matches!(source, RouteSource::Peer(..));
        network.with(2, |speaker| speaker.routes().filter(|route| from_peer(route.source)).count())
    };
    assert_eq!(received(&mut network), 0, "nobody asked for it");
    network.with(2, |speaker| speaker.import(target()));
    network.run_until("sent when asked for", SOON, |network| network.has_route(2, &route(1, 1)));
    network.with(2, |speaker| speaker.unimport(target()));
    network.run_for(SOON);
    assert_eq!(received(&mut network), 0, "nobody asks for it any more");
}

#[test]
fn a_peer_that_never_ends_its_memberships_gets_what_it_asked_for_after_a_while() {
    let (mut network, sent) = after_memberships_without_end(120);
    network.run_for(Duration::from_secs(4));
    assert_eq!(sent(&network), 0);
    network.run_for(Duration::from_secs(2));
    assert_eq!(sent(&network), 1);
}

#[test]
fn a_peer_that_promises_no_end_of_its_memberships_gets_what_it_asks_for_at_once() {
    let (mut network, sent) = after_memberships_without_end(0);
    network.run_for(Duration::from_millis(1));
    assert_eq!(sent(&network), 1);
}

/// A speaker with a route, and a peer with a restart time that has asked for all routes, without an End-of-RIB after
/// that; and what counts the routes that the peer was sent.
fn after_memberships_without_end(restart_time: u16) -> (Network, impl Fn(&Network) -> usize) {
    let mut network = Network::new();
    network.start(1, speaker_config(1), &[passive(9)]);
    network.announce(1, 1);
    let now = network.now;
    let conn = network.with(1, |speaker| speaker.accepted((address(9), 1024).into(), now)).unwrap();
    let config = SessionConfig {
        local_asn: 64512,
        router_id: address(9),
        remote_asn: 64512,
        hold_time: 0,
        families: FAMILIES.to_vec(),
        restart_time,
        restarting: false,
        long_lived_time: 0,
        add_paths: AddPaths::default(),
    };
    for message in [Message::Open(config.open()), Message::Keepalive] {
        let bytes = message.encode(&Context::default());
        network.with(1, |speaker| speaker.received(conn, &bytes, now));
    }
    assert!(network.is_up(1, 9));
    let sent = |network: &Network| {
        let counts = network.peer(1, 9).unwrap().routes;
        counts.iter().filter(|count| count.family == Family::EVPN).map(|count| count.sent).sum::<usize>()
    };
    let wildcard = wildcard_membership(&[0x40, 1, 1, 0]);
    network.with(1, |speaker| speaker.received(conn, &wildcard, now));
    (network, sent)
}

#[test]
fn a_peer_without_route_targets_gets_everything() {
    let mut network = Network::new();
    network.start(2, speaker_config(2), &[PeerConfig { families: vec![Family::EVPN], ..passive(1) }]);
    network.start(1, speaker_config(1), &[peer_config(2)]);
    network.with(2, |speaker| speaker.import(target()));
    network.announce(1, 1);
    network.run_until("there", SOON, |network| network.has_route(2, &route(1, 1)));
}

#[test]
fn peers_with_a_part_of_the_families_get_that_part() {
    let mut network = Network::new();
    let all = SpeakerConfig { families: SpeakerConfig::FAMILIES.to_vec(), ..reflector_config(1) };
    network.start(1, all, &[]);
    let parts: [&[Family]; 4] = [
        &SpeakerConfig::FAMILIES,
        &[Family::VPNV4],
        &[Family::EVPN],
        &[Family::VPNV4, Family::VPNV6, Family::ROUTE_TARGET],
    ];
    for (node, families) in (2..).zip(parts) {
        let peer = PeerConfig { families: families.to_vec(), ..peer_config(1) };
        network.start(node, speaker_config(node), &[peer]);
        network.with(node, |speaker| speaker.import(target()));
    }
    network.announce(2, 1);
    network.with(2, |speaker| vpn_routes().map(|(nlri, attributes)| speaker.originate(nlri, attributes)));
    network.run_for(Duration::from_secs(10));
    for (node, families) in (2..).zip(parts) {
        let negotiated = network.peer(1, node).unwrap().negotiated.unwrap();
        assert!(negotiated.families.iter().all(|family| families.contains(family)), "{negotiated:?}");
        assert_eq!(negotiated.families.len(), families.len());
        for route in vpn_routes().into_iter().chain([route(2, 1)]).filter(|_| node != 2) {
            let spoken = families.contains(&route.0.family());
            assert_eq!(network.has_route(node, &route), spoken, "{} at {node}", route.0);
        }
    }
}

/// A VPN-IPv4 and a VPN-IPv6 route of node 2.
fn vpn_routes() -> [(Nlri, Attributes); 2] {
    let (_, attributes) = route(2, 1);
    ["192.0.2.0/24", "2001:db8::/61"].map(|prefix| {
        let nlri = Nlri::Vpn(VpnRoute {
            labels: Label::new(16).unwrap().into(),
            rd: RouteDistinguisher::from_ipv4(address(2), 1),
            prefix: prefix.parse().unwrap(),
        });
        (nlri, attributes.clone())
    })
}

#[test]
fn a_refresh_brings_all_routes_again() {
    let mut network = pair();
    network.announce(1, 1);
    network.run_until("there", SOON, |network| network.has_route(2, &route(1, 1)));
    network.run_for(SOON);
    let before = network.peer(1, 2).unwrap().counters.sent.updates;
    let conn = network.nodes[&1].connection_ids()[0];
    let refresh = Message::RouteRefresh(Family::EVPN, 0).encode(&Context::default());
    let now = network.now;
    network.with(1, |speaker| speaker.received(conn, &refresh, now));
    network.run_for(SOON);
    assert!(network.peer(1, 2).unwrap().counters.sent.updates > before);
    assert!(network.has_route(2, &route(1, 1)) && network.nodes[&2].lost.is_empty());
}

/// RFC 7313 §4: what the peer does not send again is gone.
#[test]
fn a_marked_refresh_sweeps_what_it_does_not_bring() {
    let mut network = pair();
    for number in [1, 2] {
        network.announce(1, number);
    }
    network.run_until("there", SOON, |network| network.has_route(2, &route(1, 2)));
    network.run_for(SOON);
    let conn = network.nodes[&2].connection_ids()[0];
    let refresh = |network: &mut Network, subtype| {
        let message = Message::RouteRefresh(Family::EVPN, subtype).encode(&Context::default());
        let now = network.now;
        network.with(2, |speaker| speaker.received(conn, &message, now));
    };
    // An end without a beginning says nothing.
    refresh(&mut network, 2);
    assert!(network.has_route(2, &route(1, 1)));
    refresh(&mut network, 1);
    assert!(network.has_route(2, &route(1, 1)), "stale routes are used");
    refresh(&mut network, 2);
    assert!(!network.has_route(2, &route(1, 1)) && !network.has_route(2, &route(1, 2)));

    // Without an end, time ends it.
    let (nlri, mut attributes) = route(1, 2);
    attributes.med = Some(1);
    network.with(1, |speaker| speaker.originate(nlri, attributes));
    network.run_until("there again", SOON, |network| network.has_route(2, &route(1, 2)));
    refresh(&mut network, 1);
    network.run_for(Duration::from_secs(359));
    assert!(network.has_route(2, &route(1, 2)));
    network.run_for(Duration::from_secs(2));
    assert!(!network.has_route(2, &route(1, 2)));
    assert!(network.established(1, 2));
}

/// Both marks come when all routes are asked for, and nothing is lost by them.
#[test]
fn a_refresh_is_marked_for_those_who_know_the_marks() {
    let mut network = pair();
    network.announce(1, 1);
    network.run_until("there", SOON, |network| network.has_route(2, &route(1, 1)));
    network.run_for(SOON);
    let conn = network.nodes[&1].connection_ids()[0];
    let refresh = Message::RouteRefresh(Family::EVPN, 0).encode(&Context::default());
    let now = network.now;
    network.with(1, |speaker| speaker.received(conn, &refresh, now));
    network.run_for(SOON);
    assert_eq!(network.peer(1, 2).unwrap().counters.sent.route_refreshes, 2);
    assert_eq!(network.peer(2, 1).unwrap().counters.received.route_refreshes, 2);
    assert!(network.has_route(2, &route(1, 1)) && network.nodes[&2].lost.is_empty());
    let stale = network.with(2, |speaker| speaker.routes().filter(|route| route.stale).count());
    assert_eq!(stale, 0);
}

#[test]
fn a_slow_peer_gets_the_latest_state_not_the_history() {
    let mut network = pair();
    network.announce(1, 0);
    network.run_until("route there", SOON, |network| network.has_route(2, &route(1, 0)));
    network.run_for(SOON);
    let before = network.peer(1, 2).unwrap().counters.sent.updates;
    network.node(1).stuck = true;
    for round in 0..1_000 {
        let (nlri, mut attributes) = route(1, 0);
        attributes.med = Some(round);
        network.with(1, |speaker| speaker.originate(nlri, attributes));
    }
    network.unstick(1);
    network.run_for(SOON);
    let path = &network.nodes[&2].routes[&route(1, 0).0.to_string()];
    assert_eq!(path.attributes.med, Some(999));
    assert_eq!(network.peer(1, 2).unwrap().counters.sent.updates, before + 1);
}

#[test]
fn a_malformed_update_is_reported_and_the_session_stays_up() {
    let mut network = pair();
    network.announce(1, 1);
    network.run_until("there", SOON, |network| network.has_route(2, &route(1, 1)));
    // ORIGIN of two octets: treated as withdraw (RFC 7606 §7.1).
    let update = wildcard_membership(&[0x40, 1, 2, 0, 0]);
    let conn = network.nodes[&2].connection_ids()[0];
    let now = network.now;
    network.with(2, |speaker| speaker.received(conn, &update, now));
    assert!(network.nodes[&2].events.iter().any(|event| matches!(event, SpeakerEvent::Error { .. })));
    assert!(network.is_up(2, 1));
    let shown = serde_json::to_value(network.peer(2, 1).unwrap()).unwrap();
    assert_eq!(shown["faults"]["update_errors"], 1);
    assert_eq!(shown["faults"]["last_update_error"]["data"], "4001020000");
    assert_eq!(shown["faults"]["last_update_error"]["action"], "treat-as-withdraw");
}

#[test]
fn the_notification_that_ended_a_session_is_kept_and_no_more_of_it_than_is_needed() {
    let mut network = pair();
    network.run_until("up", SOON, |network| network.established(1, 2));
    let conn = network.nodes[&2].connection_ids()[0];
    let now = network.now;
    // A ROUTE-REFRESH of another length comes back as the data (RFC 7313 §5).
    let mut refresh = vec![0xff; 16];
    refresh.extend([0, 219, 5]);
    refresh.resize(219, 0);
    network.with(2, |speaker| speaker.received(conn, &refresh, now));
    network.run_for(SOON);
    for (node, other, direction) in [(2, 1, "sent"), (1, 2, "received")] {
        let shown = serde_json::to_value(network.peer(node, other).unwrap()).unwrap();
        let last = &shown["faults"]["last_notification"];
        assert_eq!(
            (&last["code"], &last["subcode"], &last["direction"]),
            (&7.into(), &1.into(), &direction.into())
        );
        let data = last["data"].as_str().unwrap();
        assert!(data.starts_with("ffff") && data.len() == 128, "{data}");
    }
}

#[test]
fn clients_come_and_go_and_are_forgotten() {
    let mut network = Network::new();
    network.start(1, on_terms(reflector_config(1), |terms| terms.restart_time = 0), &[]);
    for client in 2..10 {
        network.start(client, speaker_config(client), &[peer_config(1)]);
        network.with(client, |speaker| speaker.import(target()));
        network.announce(client, 0);
    }
    network.run_until("all routes everywhere", Duration::from_secs(1), |network| {
        (2..10).all(|to| (2..10).all(|from| from == to || network.has_route(to, &route(from, 0))))
    });
    let status = network.peer(1, 5).unwrap();
    assert!(status.dynamic && status.client);
    network.kill(5);
    network.run_until("forgotten", SOON, |network| network.peer(1, 5).is_none());
    network.run_until("withdrawn", SOON, |network| !network.has_route(2, &route(5, 0)));
    assert!(network.has_route(2, &route(6, 0)));
}

#[test]
fn a_removed_peer_is_told_and_its_routes_go() {
    let mut network = pair();
    network.announce(1, 1);
    network.announce(2, 2);
    network.run_until("routes there", SOON, |network| {
        network.has_route(2, &route(1, 1)) && network.has_route(1, &route(2, 2))
    });
    let (peer, now) = (network.peer_id(1, 2), network.now);
    network.with(1, |speaker| speaker.remove_peer(peer, now));
    // A hard reset (RFC 8538): over a plain NOTIFICATION both sides would keep the routes.
    network.run_until("gone on both sides", SOON, |network| {
        !network.has_route(2, &route(1, 1)) && !network.has_route(1, &route(2, 2))
    });
    let last_error = network.last_error(2, 1);
    assert!(last_error.contains("6/9") && last_error.contains("peer de-configured"), "{last_error}");
    network.run_for(Duration::from_secs(300));
    assert_eq!((network.connections(1), network.connections(2)), (0, 0));
}

#[test]
fn stopping_without_graceful_restart_withdraws_routes_at_once() {
    let mut network = Network::new();
    network.start(2, speaker_config(2), &[passive(1)]);
    network.start(1, on_terms(speaker_config(1), |terms| terms.restart_time = 0), &[peer_config(2)]);
    network.with(2, |speaker| speaker.import(target()));
    network.announce(1, 1);
    network.run_until("route there", SOON, |network| network.has_route(2, &route(1, 1)));
    let now = network.now;
    network.with(1, |speaker| speaker.shutdown(now));
    network.run_until("withdrawn", SOON, |network| !network.has_route(2, &route(1, 1)));
    assert!(network.last_error(2, 1).contains("administrative shutdown"));
    let now = network.now;
    let refused = network.with(1, |speaker| speaker.accepted((address(2), 1024).into(), now));
    assert_eq!(refused, Err(Refused::Stopped(address(2).into())));
}
