//! Two connections between the same two speakers (RFC 4271 §6.8).

use std::time::{Duration, Instant};

use bagpipe_bgp::session::{AddPaths, SessionConfig};
use bagpipe_bgp::speaker::{Action, ConnId, Speaker, SpeakerEvent};
use bagpipe_bgp::types::RouterId;
use bagpipe_bgp::wire::Message;
use bagpipe_bgp::wire::message::{self, Context, MAX_LENGTH};
use bytes::BytesMut;

use crate::network::{
    FAMILIES, LATENCY, Network, address, on_terms, peer_config, route, speaker_config, target,
};

const LOW: u8 = 1;
const HIGH: u8 = 3;

/// Speaker 2 in front of a peer made by hand, to which it has one connection and from which it has another.
struct Bench {
    speaker: Speaker,
    now: Instant,
    peer: RouterId,
    restart_time: u16,
    outgoing: ConnId,
    incoming: ConnId,
}

#[derive(Debug, PartialEq)]
enum Said {
    Open,
    Keepalive,
    Update,
    Cease(u8),
    Closed,
}

impl Bench {
    fn new(peer: u8, restart_time: u16) -> Self {
        let now = Instant::now();
        let mut speaker =
            Speaker::new(on_terms(speaker_config(2), |terms| terms.restart_time = restart_time), now);
        speaker.add_peer(peer_config(peer), now);
        let Some(Action::Connect { conn: outgoing, .. }) = speaker.poll_action() else {
            panic!("no attempt")
        };
        let incoming = speaker.accepted((address(peer), 1024).into(), now).unwrap();
        speaker.connected(outgoing, now);
        let mut bench = Self { speaker, now, peer: address(peer), restart_time, outgoing, incoming };
        assert_eq!(bench.said(outgoing), [Said::Open]);
        assert_eq!(bench.said(incoming), [Said::Open]);
        bench
    }

    /// What the speaker has said on a connection since the last call.
    fn said(&mut self, conn: ConnId) -> Vec<Said> {
        let mut buffer = BytesMut::new();
        while let Some(bytes) = self.speaker.poll_transmit(conn) {
            buffer.extend_from_slice(&bytes);
        }
        let mut said = Vec::new();
        while let Some(frame) = message::frame(&mut buffer, MAX_LENGTH).unwrap() {
            said.push(match Message::decode(frame, &Context::default()).unwrap() {
                Message::Open(_) => Said::Open,
                Message::Keepalive => Said::Keepalive,
                Message::Update(_) => Said::Update,
                Message::Notification(notification) => Said::Cease(notification.subcode),
                Message::RouteRefresh(..) => panic!("nobody asked for a refresh"),
            });
        }
        let mut kept = Vec::new();
        while let Some(action) = self.speaker.poll_action() {
            kept.push(action);
        }
        if kept.contains(&Action::Close { conn }) {
            said.push(Said::Closed);
        }
        said
    }

    fn open(&mut self, conn: ConnId) {
        let config = SessionConfig {
            local_asn: 64512,
            router_id: self.peer,
            remote_asn: 64512,
            hold_time: 90,
            families: FAMILIES.to_vec(),
            restart_time: self.restart_time,
            restarting: false,
            long_lived_time: 0,
            add_paths: AddPaths::default(),
        };
        self.receive(conn, &Message::Open(config.open()));
    }

    fn establish(&mut self, conn: ConnId) {
        self.open(conn);
        self.receive(conn, &Message::Keepalive);
    }

    fn receive(&mut self, conn: ConnId, message: &Message) {
        self.speaker.received(conn, &message.encode(&Context::default()), self.now);
    }

    fn ups_and_downs(&mut self) -> String {
        std::iter::from_fn(|| self.speaker.poll_event())
            .filter_map(|event| match event {
                SpeakerEvent::PeerUp { .. } => Some('+'),
                SpeakerEvent::PeerDown { .. } => Some('-'),
                _ => None,
            })
            .collect()
    }
}

/// The connection that is kept is that of the higher identifier, whichever OPEN comes first.
#[test]
fn the_connection_of_the_higher_identifier_is_kept() {
    for peer in [LOW, HIGH] {
        for outgoing_first in [true, false] {
            let mut bench = Bench::new(peer, 120);
            let (winner, loser) = match peer {
                LOW => (bench.outgoing, bench.incoming),
                _ => (bench.incoming, bench.outgoing),
            };
            let (first, second) = match outgoing_first {
                true => (bench.outgoing, bench.incoming),
                false => (bench.incoming, bench.outgoing),
            };
            bench.open(first);
            if first == winner {
                // The other one is closed before its OPEN comes; the peer comes to the same judgement.
                assert_eq!(bench.said(loser), [Said::Cease(7), Said::Closed]);
                assert_eq!(bench.said(winner), [Said::Keepalive]);
            } else {
                // Both get as far as OpenConfirm, for an instant.
                assert_eq!(bench.said(loser), [Said::Keepalive]);
                bench.open(second);
                assert_eq!(bench.said(loser), [Said::Cease(7), Said::Closed]);
                assert_eq!(bench.said(winner), [Said::Keepalive]);
            }
            bench.receive(winner, &Message::Keepalive);
            assert_eq!(bench.ups_and_downs(), "+", "peer {peer}, outgoing first: {outgoing_first}");
        }
    }
}

/// The loser of the collision is established before the winner's OPEN comes: what the peer confirms is kept.
#[test]
fn crossing_connections_do_not_both_go_down() {
    // The peer has judged by the identifiers: it confirms the winner.
    let mut bench = Bench::new(HIGH, 120);
    let (loser, winner) = (bench.outgoing, bench.incoming);
    bench.establish(loser);
    bench.open(winner);
    assert!(!bench.said(loser).contains(&Said::Closed));
    bench.receive(winner, &Message::Keepalive);
    assert!(bench.said(loser).ends_with(&[Said::Cease(7), Said::Closed]));
    assert_eq!(bench.ups_and_downs(), "+-+");

    // The peer has kept what was established first, and closes the other one.
    let mut bench = Bench::new(HIGH, 120);
    let (loser, winner) = (bench.outgoing, bench.incoming);
    bench.establish(loser);
    bench.open(winner);
    bench.speaker.closed(winner, bench.now);
    assert!(!bench.said(loser).contains(&Said::Closed));
    assert_eq!(bench.ups_and_downs(), "+");

    // The connection that would lose anyway is closed.
    let mut bench = Bench::new(LOW, 120);
    let (winner, loser) = (bench.outgoing, bench.incoming);
    bench.establish(winner);
    bench.open(loser);
    assert!(!bench.said(winner).contains(&Said::Closed));
    assert_eq!(bench.ups_and_downs(), "+");
}

/// An OPEN on a new connection while a session is up: the peer has restarted (RFC 4724 §5), if it does so.
#[test]
fn an_open_of_a_peer_that_is_up_means_that_it_has_restarted() {
    for (restart_time, expected) in [(120, "+-+"), (0, "+")] {
        let mut bench = Bench::new(HIGH, restart_time);
        let old = bench.incoming;
        bench.establish(old);
        bench.said(old);
        bench.now += Duration::from_secs(60);
        bench.receive(old, &Message::Keepalive);
        let new = bench.speaker.accepted((bench.peer, 1025).into(), bench.now).unwrap();
        bench.establish(new);
        let (said_old, said_new) = (bench.said(old), bench.said(new));
        if restart_time > 0 {
            assert!(!said_old.iter().any(|said| matches!(said, Said::Cease(_))), "{said_old:?}");
            assert!(said_new.starts_with(&[Said::Open, Said::Keepalive]), "{said_new:?}");
        } else {
            assert_eq!(said_new, [Said::Open, Said::Cease(7)]);
        }
        assert_eq!(bench.ups_and_downs(), expected);
    }
}

#[test]
fn two_incoming_connections_are_one_peer_that_has_tried_again() {
    let mut bench = Bench::new(HIGH, 120);
    let first = bench.incoming;
    bench.open(first);
    assert_eq!(bench.said(first), [Said::Keepalive]);
    let second = bench.speaker.accepted((bench.peer, 1025).into(), bench.now).unwrap();
    bench.open(second);
    assert_eq!(bench.said(second), [Said::Open, Said::Keepalive]);
    bench.receive(second, &Message::Keepalive);
    assert_eq!(bench.ups_and_downs(), "+");
}

/// Both sides connect to each other at once, over connections of different speed, so that every message of one can
/// come before or after every message of the other: one session remains, and routes flow.
#[test]
fn simultaneous_opens_end_in_one_session() {
    for (slow, by) in [1, 2].into_iter().flat_map(|node| (1..40).map(move |by| (node, by))) {
        let mut network = Network::new();
        network.slow.insert(slow, LATENCY * by / 4);
        for (node, other) in [(1, 2), (2, 1)] {
            network.start(node, speaker_config(node), &[]);
            network.with(node, |speaker| speaker.import(target()));
            network.announce(node, 1);
            let now = network.now;
            network.with(node, |speaker| speaker.add_peer(peer_config(other), now));
        }
        network.run_until("routes exchanged", Duration::from_secs(3), |network| {
            let exchanged = network.has_route(1, &route(2, 1)) && network.has_route(2, &route(1, 1));
            network.established(1, 2) && exchanged
        });
        network.run_for(Duration::from_secs(120));
        let what = format!("connections of {slow} take {by}/4 of the others' time");
        assert!(network.established(1, 2), "{what}");
        assert_eq!((network.connections(1), network.connections(2)), (1, 1), "{what}");
        let downs = network.downs(1).len() + network.downs(2).len();
        assert!(downs <= 2, "{what}: {:?} {:?}", network.downs(1), network.downs(2));
    }
}
