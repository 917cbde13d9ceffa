//! Long-lived graceful restart (RFC 9494): routes of a peer that stays away for longer than its restart time, as the last
//! resort.

use std::time::{Duration, Instant};

use super::peer::{Up, long_lived_time};
use super::timers::Timer;
use super::{PeerId, Speaker};
use crate::types::Family;

impl Speaker {
    /// The restart time is over: keeps what routes of a family may be kept, marked as the last resort. Whether there
    /// is a time for which to keep them (§4.2).
    pub(super) fn keep_long(&mut self, peer: PeerId, family: Family, now: Instant) -> bool {
        let Some(state) = self.peers.get_mut(&peer) else { return false };
        let time = long_lived_time(&state.long_lived_times, family);
        if time == 0 {
            return false;
        }
        if !state.long_lived.contains(&family) {
            state.long_lived.push(family);
            // A time that runs is not prolonged by a session that ended before its End-of-RIB.
            self.timers.set(Timer::LongLived(peer, family), Some(now + Duration::from_secs(time.into())));
        }
        self.rib.mark_long_lived(peer, family);
        true
    }

    /// Families without graceful restart have no restart time: theirs is over at once (§4.2).
    pub(super) fn skip_restart_time(&mut self, peer: PeerId, up: &Up, now: Instant) {
        let Some(graceful) = &up.negotiated.graceful_restart else { return };
        let stale = self.peers.get(&peer).map(|state| state.stale.clone()).unwrap_or_default();
        for family in stale {
            if !graceful.families.iter().any(|(listed, _)| *listed == family) {
                self.keep_long(peer, family, now);
            }
        }
    }

    /// Stops the time of families of which nothing is kept any more.
    pub(super) fn forget_long_lived(&mut self, peer: PeerId) {
        let Some(state) = self.peers.get_mut(&peer) else { return };
        let (kept, over): (Vec<_>, Vec<_>) =
            state.long_lived.iter().partition(|family| state.stale.contains(family));
        state.long_lived = kept;
        for family in over {
            self.timers.set(Timer::LongLived(peer, family), None);
        }
    }
}
