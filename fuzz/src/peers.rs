//! A speaker with two peers that say whatever comes.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr};
use std::num::NonZeroU32;
use std::time::{Duration, Instant};

use bagpipe_bgp::session::SessionConfig;
use bagpipe_bgp::speaker::{
    Action, AddPaths, ConnId, Export, Import, PeerConfig, PeerState, Policy, RouteSource, Speaker,
    SpeakerConfig,
};
use bagpipe_bgp::types::{Asn, Family};
use bagpipe_bgp::wire::{AddPathFamilies, Context, Message, frame};
use bytes::BytesMut;

use crate::{FAMILIES, message};

const LOCAL_ASN: Asn = 64_512;

/// Paths of a route that a peer is told of.
const PATHS: NonZeroU32 = NonZeroU32::new(2).unwrap();

/// The speaker, and what its peers have of it. The second peer is a client, to which what the first one says is
/// reflected.
pub struct Peers {
    speaker: Speaker,
    now: Instant,
    conns: [Option<ConnId>; 2],
    asns: [Asn; 2],
    add_paths: AddPaths,
    /// With which families a connection is sent path identifiers, once that is agreed on.
    identified: BTreeMap<ConnId, Vec<Family>>,
    /// What each connection has been sent and nobody has read yet.
    sent: BTreeMap<ConnId, BytesMut>,
}

impl Peers {
    /// Both sessions are established; that of the first peer with another AS, if it is external. With several paths of a
    /// route, or one (RFC 7911).
    #[must_use]
    pub fn new(external: bool, several_paths: bool) -> Self {
        let send = several_paths.then_some(PATHS);
        let add_paths = AddPaths { receive: several_paths, send };
        let now = Instant::now();
        let asns = [if external { LOCAL_ASN + 1 } else { LOCAL_ASN }, LOCAL_ASN];
        let mut speaker = Speaker::new(SpeakerConfig::new(LOCAL_ASN, address(0)), now);
        for (peer, asn) in (1..).zip(asns) {
            let config = PeerConfig {
                passive: true,
                client: asn == LOCAL_ASN,
                families: FAMILIES.to_vec(),
                add_paths,
                policy: Policy { import: Import::All, export: Export::All, ..Policy::default() },
                ..PeerConfig::new(address(peer).into(), asn)
            };
            speaker.add_peer(config, now);
        }
        let (identified, sent) = (BTreeMap::new(), BTreeMap::new());
        let mut peers = Self { speaker, now, conns: [None; 2], asns, add_paths, identified, sent };
        for peer in 0..2 {
            peers.establish(peer);
        }
        // The second peer wants everything: the default membership (RFC 4684 §4).
        peers.receive(1, &message(2, &ALL_WANTED));
        peers
    }

    /// One thing: the low bit of `what` says with which peer, the others what.
    pub fn step(&mut self, what: u8, bytes: &[u8]) {
        let peer = usize::from(what & 1);
        match what >> 1 {
            // Messages of a type that may even be there: what the fuzzer would seldom find by itself.
            kind @ 1..=6 => self.receive(peer, &message(kind, bytes)),
            7 => self.disconnect(peer),
            8 => {
                self.now += Duration::from_secs(bytes.len() as u64);
                self.speaker.timeout(self.now);
            }
            9 => self.establish(peer),
            10 => self.connect(peer),
            _ => self.receive(peer, bytes),
        }
        self.settle();
    }

    /// Without a session a peer has no routes. Nobody does graceful restart here.
    pub fn end(mut self) {
        for peer in 0..2 {
            self.disconnect(peer);
        }
        self.settle();
        let left: Vec<_> = self.speaker.routes().collect();
        assert!(left.is_empty(), "routes of nobody: {left:?}");
        assert!(self.speaker.peers().all(|peer| peer.state != PeerState::Established));
    }

    fn connect(&mut self, peer: usize) {
        self.disconnect(peer);
        let remote = (address(peer as u8 + 1), 1024).into();
        self.conns[peer] = self.speaker.accepted(remote, self.now).ok();
        self.settle();
    }

    fn establish(&mut self, peer: usize) {
        self.connect(peer);
        let config = SessionConfig {
            local_asn: self.asns[peer],
            router_id: address(peer as u8 + 1),
            remote_asn: LOCAL_ASN,
            hold_time: 90,
            families: FAMILIES.to_vec(),
            restart_time: 0,
            restarting: false,
            long_lived_time: 0,
            add_paths: self.add_paths,
        };
        for message in [Message::Open(config.open()), Message::Keepalive] {
            self.receive(peer, &message.encode(&Context::default()));
        }
    }

    fn receive(&mut self, peer: usize, bytes: &[u8]) {
        if let Some(conn) = self.conns[peer] {
            self.speaker.received(conn, bytes, self.now);
        }
        self.settle();
    }

    fn disconnect(&mut self, peer: usize) {
        if let Some(conn) = self.conns[peer].take() {
            self.speaker.closed(conn, self.now);
        }
        self.settle();
    }

    /// Carries out what the speaker asks for.
    fn settle(&mut self) {
        for peer in self.speaker.peers() {
            let number = (0..2).find(|number| peer.address == IpAddr::from(address(number + 1)));
            let conn = number.and_then(|number| self.conns[usize::from(number)]);
            if let (Some(conn), Some(negotiated)) = (conn, &peer.negotiated) {
                self.identified.insert(conn, negotiated.add_paths.send.clone());
            }
        }
        while self.speaker.poll_event().is_some() {}
        while let Some(change) = self.speaker.poll_route() {
            assert!(!change.nlri.to_string().is_empty());
        }
        while let Some(action) = self.speaker.poll_action() {
            match action {
                Action::WantsWrite { conn } => self.transmit(conn),
                Action::Close { conn } => {
                    self.transmit(conn);
                    self.conns.iter_mut().filter(|open| **open == Some(conn)).for_each(|open| *open = None);
                }
                Action::Connect { .. } => unreachable!("all peers are passive"),
            }
        }
        self.check();
    }

    /// Whatever is sent is whole messages that can be read.
    fn transmit(&mut self, conn: ConnId) {
        let buffer = self.sent.entry(conn).or_default();
        while let Some(bytes) = self.speaker.poll_transmit(conn) {
            buffer.extend_from_slice(&bytes);
        }
        let receive = self.identified.get(&conn).cloned().unwrap_or_default();
        let context = Context {
            max_length: 65_535,
            families: FAMILIES.to_vec(),
            extended_next_hop: true,
            add_paths: AddPathFamilies { receive, send: Vec::new() },
            ..Context::default()
        };
        while let Some(frame) = frame(buffer, context.max_length).expect("a header that is right") {
            // With which AS numbers it was written does not matter for what resets a session.
            Message::decode(frame, &context).expect("a message that is right");
        }
        assert!(buffer.is_empty(), "a part of a message was sent");
    }

    /// A peer has as many routes as are counted, and none without a session.
    fn check(&self) {
        for peer in self.speaker.peers() {
            serde_json::to_string(&peer).expect("a peer has a JSON form");
            let counted: usize = peer.routes.iter().map(|count| count.received).sum();
            let from_it = |source| matches!(source, RouteSource::Peer(id, _) if id == peer.peer);
            let held = self.speaker.routes().filter(|route| from_it(route.source)).count();
            assert_eq!(counted, held, "routes of {}", peer.address);
            assert!(held == 0 || peer.state == PeerState::Established);
        }
        for route in self.speaker.routes() {
            serde_json::to_string(&route).expect("a route has a JSON form");
            let family: Family = route.nlri.family();
            assert!(FAMILIES.contains(&family), "{family} was not agreed on");
        }
    }
}

/// The body of an UPDATE that announces the default membership.
const ALL_WANTED: [u8; 31] = [
    0, 0, 0, 27, 0x40, 1, 1, 0, 0x40, 2, 0, 0x40, 5, 4, 0, 0, 0, 100, 0x80, 14, 10, 0, 1, 132, 4, 192, 0, 2,
    2, 0, 0,
];

fn address(peer: u8) -> Ipv4Addr {
    Ipv4Addr::new(192, 0, 2, peer)
}
