//! What an operator does to a peer, with words for the other operator (RFC 9003).

use std::time::Instant;

use serde::Serialize;

use super::timers::Timer;
use super::{PeerId, Speaker};
use crate::session::notification::Cease;

/// Why a peer is kept away: there are no attempts to connect to it, and its own are refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Held {
    /// It has announced more routes than it may (RFC 4486 §4).
    TooManyRoutes,
    /// An operator has shut it down.
    Shutdown,
}

impl Speaker {
    /// Ends the session with a peer, and keeps it away until [`Self::enable_peer`]. Its routes go, graceful restart
    /// or not.
    pub fn shut_down_peer(&mut self, peer: PeerId, words: &str, now: Instant) {
        let Some(state) = self.peers.get_mut(&peer) else { return };
        state.held = Some(Held::Shutdown);
        self.timers.set(Timer::Held(peer), None);
        self.timers.set(Timer::Retry(peer), None);
        self.end_all(peer, Cease::AdministrativeShutdown(words), &told("shut down", words), now);
        self.report_failure(peer, &told("shut down", words));
        self.wake_writers();
    }

    /// Ends the session with a peer, for it to begin again. Where both can, routes are kept meanwhile.
    pub fn reset_peer(&mut self, peer: PeerId, words: &str, now: Instant) {
        self.end_all(peer, Cease::AdministrativeReset(words), &told("reset", words), now);
        // An attempt that was still connecting has no session whose end would lead to the next.
        self.connect_when_due(peer, now);
        self.wake_writers();
    }

    /// Lets a peer come back that was shut down, or had announced too many routes; and connects at once.
    pub fn enable_peer(&mut self, peer: PeerId, now: Instant) {
        let Some(state) = self.peers.get_mut(&peer) else { return };
        state.failures = 0;
        self.timers.set(Timer::Held(peer), None);
        self.timers.set(Timer::Retry(peer), None);
        self.release(peer, now);
    }

    /// The time is over for which a peer was kept away.
    pub(super) fn release(&mut self, peer: PeerId, now: Instant) {
        let Some(state) = self.peers.get_mut(&peer) else { return };
        state.held = None;
        self.forget_if_gone(peer);
        self.connect_when_due(peer, now);
    }

    /// Ends all connections of a peer in whatever state.
    pub(super) fn end_all(&mut self, peer: PeerId, cease: Cease<'_>, reason: &str, now: Instant) {
        let connections = self.peers.get(&peer).map(|state| state.connections.clone()).unwrap_or_default();
        for conn in connections {
            self.stop_connection(conn, cease, reason, now);
        }
    }
}

fn told(what: &str, words: &str) -> String {
    if words.is_empty() { format!("{what} here") } else { format!("{what} here: {words}") }
}
