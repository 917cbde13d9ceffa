//! What may change of a speaker and its peers without ending sessions that it does not concern.

use std::net::IpAddr;
use std::time::Instant;

use super::{AddPaths, MaxPrefixes, PeerConfig, PeerId, Speaker};

/// What of a [`SpeakerConfig`](super::SpeakerConfig) may change while it runs.
#[derive(Clone, Debug, PartialEq)]
pub struct SpeakerTerms {
    /// Hold time proposed to dynamic clients, in seconds; as of their next session.
    pub hold_time: u16,
    /// Seconds for which peers are asked to keep our routes (RFC 4724 §3); as of their next session.
    pub restart_time: u16,
    /// Seconds for which they are asked to keep them after that (RFC 9494); as of their next session.
    pub long_lived_time: u32,
    /// Prefixes whose addresses are accepted as clients (RFC 4456).
    pub dynamic_clients: Vec<(IpAddr, u8)>,
    /// How many of them at a time; more that are there already stay.
    pub max_clients: usize,
    /// How many routes each of them may announce.
    pub client_max_prefixes: MaxPrefixes,
    /// Several paths of a route to and from each of them (RFC 7911); as of their next session.
    pub client_add_paths: AddPaths,
}

impl Speaker {
    /// Takes over new terms. Clients that no prefix contains any more are removed.
    pub fn set_terms(&mut self, terms: SpeakerTerms, now: Instant) {
        let SpeakerTerms {
            hold_time,
            restart_time,
            long_lived_time,
            dynamic_clients,
            max_clients,
            client_max_prefixes,
            client_add_paths,
        } = terms;
        self.config.hold_time = hold_time;
        self.config.restart_time = restart_time;
        self.config.long_lived_time = long_lived_time;
        self.config.dynamic_clients = dynamic_clients;
        self.config.max_clients = max_clients;
        self.config.client_max_prefixes = client_max_prefixes;
        self.config.client_add_paths = client_add_paths;
        let mut strangers = Vec::new();
        for (&peer, state) in self.peers.iter_mut().filter(|(_, state)| state.dynamic) {
            if self.config.is_dynamic_client(state.config.address) {
                state.config = self.config.dynamic_client(state.config.address);
            } else {
                strangers.push(peer);
            }
        }
        strangers.into_iter().for_each(|peer| self.remove_peer(peer, now));
    }

    /// Takes over a changed configuration of a peer, if the session can go on with it: its hold time counts from
    /// the next session on, its limits from the next route. Whether it could; if not, nothing has changed.
    pub fn update_peer(&mut self, peer: PeerId, config: &PeerConfig) -> bool {
        let Some(state) = self.peers.get_mut(&peer) else { return false };
        let kept = PeerConfig {
            address: state.config.address,
            hold_time: state.config.hold_time,
            connect_retry: state.config.connect_retry,
            max_prefixes: state.config.max_prefixes.clone(),
            ..config.clone()
        };
        let possible = !state.dynamic && kept == state.config;
        if possible {
            state.config = PeerConfig { address: state.config.address, ..config.clone() };
        }
        possible
    }
}
