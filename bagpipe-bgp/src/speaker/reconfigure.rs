//! What may change of a speaker and its peers without ending sessions that it does not concern.

use std::time::Instant;

use super::{PeerConfig, PeerId, Speaker, SpeakerTerms};

impl Speaker {
    /// Takes over new terms. Clients that no prefix contains any more are removed.
    pub fn set_terms(&mut self, terms: SpeakerTerms, now: Instant) {
        self.config.terms = terms;
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
