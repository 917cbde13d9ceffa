//! The timers of a speaker, ordered by the time at which they are due.

use std::collections::BTreeSet;
use std::time::Instant;

use rustc_hash::FxHashMap;

use super::event::ConnId;
use crate::rib::PeerId;
use crate::types::Family;

/// What may be due.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) enum Timer {
    /// A session's own timers, or the limit of an attempt to connect.
    Connection(ConnId),
    /// The next attempt to connect.
    Retry(PeerId),
    /// The end of the time for which a peer is kept away that has announced too many routes.
    Held(PeerId),
    /// The end of a peer's stale routes (RFC 4724 §4.2).
    Stale(PeerId),
    /// The end of a family's stale routes that outlive the restart time (RFC 9494 §4.2).
    LongLived(PeerId, Family),
    /// The end of the wait for routes that a peer is sending again (RFC 7313 §4).
    Refresh(PeerId, Family),
    /// The end of the wait for a peer's route target memberships (RFC 4684 §6).
    Memberships(PeerId),
    /// The end of holding back our End-of-RIB (RFC 4724 §4.1).
    Deferral,
    /// The end of the wait for the peers' End-of-RIB.
    Convergence,
}

/// At most one time per timer.
#[derive(Debug, Default)]
pub(super) struct Timers {
    times: FxHashMap<Timer, Instant>,
    queue: BTreeSet<(Instant, Timer)>,
}

impl Timers {
    /// Sets or, with `None`, stops a timer.
    pub(super) fn set(&mut self, timer: Timer, at: Option<Instant>) {
        let before = match at {
            Some(at) => self.times.insert(timer, at),
            None => self.times.remove(&timer),
        };
        if before == at {
            return;
        }
        if let Some(before) = before {
            self.queue.remove(&(before, timer));
        }
        if let Some(at) = at {
            self.queue.insert((at, timer));
        }
    }

    pub(super) fn is_set(&self, timer: Timer) -> bool {
        self.times.contains_key(&timer)
    }

    /// When the first one is due.
    pub(super) fn next(&self) -> Option<Instant> {
        self.queue.first().map(|(at, _)| *at)
    }

    /// Takes the first one that is due at `now`.
    pub(super) fn expire(&mut self, now: Instant) -> Option<Timer> {
        let (at, timer) = *self.queue.first()?;
        if at > now {
            return None;
        }
        self.set(timer, None);
        Some(timer)
    }
}
