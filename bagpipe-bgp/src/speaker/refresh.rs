//! Route refresh (RFC 2918) and its marked form (RFC 7313).

use std::time::{Duration, Instant};

use super::timers::Timer;
use super::{PeerId, Speaker};
use crate::types::Family;

/// How long routes that a peer is sending again are waited for (RFC 7313 §4 asks for an upper bound).
const REFRESH_LIMIT: Duration = Duration::from_secs(360);

impl Speaker {
    /// The peer asks for all routes of a family.
    pub(super) fn refresh(&mut self, peer: PeerId, family: Family) {
        let up = self.peers.get(&peer).and_then(|state| state.up.as_ref());
        let marked = up.is_some_and(|up| up.negotiated.enhanced_route_refresh);
        self.rib.refresh(peer, family, marked);
    }

    /// The peer is about to send all its routes of a family again. Before its End-of-RIB, which will show what is
    /// stale, this says nothing (RFC 7313 §4).
    pub(super) fn refresh_begins(&mut self, peer: PeerId, family: Family, now: Instant) {
        let Some(up) = self.peers.get_mut(&peer).and_then(|state| state.up.as_mut()) else { return };
        if up.negotiated.graceful_restart.is_some() && up.awaited.contains(&family) {
            return;
        }
        if !up.refreshing.contains(&family) {
            up.refreshing.push(family);
        }
        self.timers.set(Timer::Refresh(peer, family), Some(now + REFRESH_LIMIT));
        self.rib.mark_stale(peer, family);
    }

    /// The peer has sent all its routes of a family again, or has had its time to: what it has not announced is
    /// gone. Without a beginning this says nothing.
    pub(super) fn refresh_ends(&mut self, peer: PeerId, family: Family) {
        let Some(up) = self.peers.get_mut(&peer).and_then(|state| state.up.as_mut()) else { return };
        if up.refreshing.contains(&family) {
            up.refreshing.retain(|refreshing| *refreshing != family);
            self.timers.set(Timer::Refresh(peer, family), None);
            self.rib.sweep(peer, family);
        }
    }
}
