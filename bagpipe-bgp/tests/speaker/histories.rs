//! Random histories of a reflector and its clients: whatever has happened, everything is right when it is quiet again.

use std::collections::BTreeSet;
use std::ops::RangeInclusive;
use std::time::Duration;

use bagpipe_bgp::speaker::SpeakerConfig;
use bagpipe_bgp::wire::Message;
use bagpipe_bgp::wire::message::Context;

use crate::network::{
    FAMILIES, Network, NodeId, on_terms, peer_config, reflector_config, route, speaker_config, target,
};

const REFLECTOR: NodeId = 1;
const CLIENTS: RangeInclusive<NodeId> = 2..=5;
const SEEDS: u64 = 300;
/// Less than what a history may take, more than the restart time (RFC 9494).
const LONG_LIVED: u32 = 200;

/// Xorshift: the same seed gives the same history everywhere.
struct Chance(u64);

impl Chance {
    fn below(&mut self, limit: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 16) % limit
    }

    fn client(&mut self) -> NodeId {
        let count = u64::try_from(CLIENTS.count()).unwrap();
        CLIENTS.start() + u8::try_from(self.below(count)).unwrap()
    }
}

struct History {
    network: Network,
    chance: Chance,
    /// What each client announces, also while its process is away.
    announced: BTreeSet<(NodeId, u8)>,
}

impl History {
    fn new(seed: u64) -> Self {
        // Small numbers have too few bits set to begin with.
        let chance = Chance((seed + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15));
        let mut history = Self { network: Network::new(), chance, announced: BTreeSet::new() };
        history.start_reflector();
        for client in CLIENTS {
            history.start_client(client);
        }
        history
    }

    fn start_reflector(&mut self) {
        let config = self.long_lived(reflector_config(REFLECTOR));
        self.network.start(REFLECTOR, config, &[]);
    }

    /// A speaker that kept its forwarding state, or did not.
    fn long_lived(&mut self, config: SpeakerConfig) -> SpeakerConfig {
        let restarting = self.chance.below(2) == 0;
        SpeakerConfig { restarting, ..on_terms(config, |terms| terms.long_lived_time = LONG_LIVED) }
    }

    fn start_client(&mut self, client: NodeId) {
        let config = self.long_lived(speaker_config(client));
        self.network.start(client, config, &[peer_config(REFLECTOR)]);
        self.network.with(client, |speaker| speaker.import(target()));
        for (_, number) in self.announced.clone().range((client, 0)..=(client, u8::MAX)) {
            self.network.announce(client, *number);
        }
    }

    fn is_running(&self, node: NodeId) -> bool {
        self.network.nodes[&node].speaker.is_some()
    }

    fn step(&mut self) {
        let client = self.chance.client();
        let number = u8::try_from(self.chance.below(6)).unwrap();
        match self.chance.below(13) {
            0..=3 => {
                self.announced.insert((client, number));
                if self.is_running(client) {
                    self.network.announce(client, number);
                }
            }
            4..=5 => {
                self.announced.remove(&(client, number));
                if self.is_running(client) {
                    let (nlri, _) = route(client, number);
                    self.network.with(client, |speaker| speaker.withdraw(&nlri));
                }
            }
            6 if self.is_running(client) => self.network.reset_connections(client),
            7 => self.toggle(client),
            8 if number == 0 => self.toggle(REFLECTOR),
            9 if self.is_running(client) => self.refresh(client, number),
            10 if self.is_running(client) => self.reset(client, REFLECTOR),
            11 if self.is_running(REFLECTOR) => self.reset(REFLECTOR, client),
            _ => self.network.piece = [1, 7, 100, usize::MAX][usize::from(number % 4)],
        }
        let pause = match self.chance.below(4) {
            0 => 0,
            1 => self.chance.below(10),
            2 => self.chance.below(3_000),
            _ => self.chance.below(30_000),
        };
        self.network.run_for(Duration::from_millis(pause));
    }

    /// One of a client's connections brings a ROUTE-REFRESH; where there is no session yet, it is a mistake that ends it.
    fn refresh(&mut self, client: NodeId, number: u8) {
        let family = FAMILIES[usize::from(number) % FAMILIES.len()];
        let message = Message::RouteRefresh(family, 0).encode(&Context::default());
        let now = self.network.now;
        for conn in self.network.node(client).connection_ids() {
            self.network.with(client, |speaker| speaker.received(conn, &message, now));
        }
    }

    fn reset(&mut self, node: NodeId, other: NodeId) {
        let now = self.network.now;
        if let Some(peer) = self.network.peer(node, other).map(|status| status.peer) {
            self.network.with(node, |speaker| speaker.reset_peer(peer, "again", now));
        }
    }

    /// Ends a process in one of three ways, or starts it again.
    fn toggle(&mut self, node: NodeId) {
        let now = self.network.now;
        match (self.is_running(node), self.chance.below(3)) {
            (true, 0) => self.network.crash(node),
            (true, 1) => self.network.kill(node),
            (true, _) => {
                self.network.with(node, |speaker| speaker.shutdown(now));
                self.network.kill(node);
            }
            (false, _) if node == REFLECTOR => self.start_reflector(),
            (false, _) => self.start_client(node),
        }
    }

    /// Everybody runs again, and has had the time to notice whatever there is to notice.
    fn settle(&mut self) {
        for node in CLIENTS.chain([REFLECTOR]) {
            if !self.is_running(node) {
                self.toggle(node);
            }
        }
        self.network.run_for(Duration::from_secs(400));
    }

    fn check(&self, seed: u64) {
        for client in CLIENTS {
            assert!(self.network.established(REFLECTOR, client), "seed {seed}: {client} has no session");
            assert_eq!(self.network.connections(client), 1, "seed {seed}: connections of {client}");
            let expected: BTreeSet<_> = self
                .announced
                .iter()
                .filter(|(from, _)| *from != client)
                .map(|&(from, number)| route(from, number).0.to_string())
                .collect();
            let routes = &self.network.nodes[&client].routes;
            let actual: BTreeSet<_> = routes.keys().cloned().collect();
            assert_eq!(actual, expected, "seed {seed}: routes of {client}");
            assert!(routes.values().all(|path| !path.stale), "seed {seed}: stale routes of {client}");
        }
    }
}

#[test]
fn every_history_ends_well() {
    for seed in 0..SEEDS {
        let mut history = History::new(seed);
        for _ in 0..40 {
            history.step();
        }
        history.settle();
        history.check(seed);
    }
}
