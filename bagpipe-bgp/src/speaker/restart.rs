//! Graceful restart (RFC 4724, RFC 8538): routes that outlive a session, and the wait for End-of-RIB.

use std::time::{Duration, Instant};

use super::event::SpeakerEvent;
use super::peer::{Peer, Up};
use super::timers::Timer;
use super::{PeerId, Speaker};
use crate::session::DownReason;
use crate::types::Family;

/// How long stale routes are kept after the peer is back, if its End-of-RIB does not come (RFC 4724 §4.2 asks for
/// an upper bound and leaves the value open).
const STALE_LIMIT: Duration = Duration::from_secs(360);

/// How long routes are held back until a peer has told which ones it wants (RFC 4684 §6 suggests 60 s; a peer that
/// sends no End-of-RIB should not wait so long for its first route).
const MEMBERSHIP_WAIT: Duration = Duration::from_secs(5);

/// How long peers have to send their routes if no restart time is configured.
const CONVERGENCE_WAIT: Duration = Duration::from_secs(120);

// As helper: a peer's session goes and comes back.
impl Speaker {
    /// A session has ended: the peer's routes are kept as stale for the families that it may come back with.
    pub(super) fn keep_or_drop(&mut self, peer: PeerId, up: &Up, reason: &DownReason, now: Instant) {
        let kept = up.retained(reason);
        self.rib.peer_down(peer, &kept);
        self.timers.set(Timer::Memberships(peer), None);
        let restart_time = up.negotiated.graceful_restart.as_ref().map_or(0, |graceful| graceful.time);
        let until = now + Duration::from_secs(restart_time.into());
        self.timers.set(Timer::Stale(peer), (!kept.is_empty()).then_some(until));
        if let Some(state) = self.peers.get_mut(&peer) {
            state.stale = kept;
            state.long_lived_times.clone_from(&up.negotiated.long_lived);
        }
        self.forget_long_lived(peer);
        self.skip_restart_time(peer, up, now);
    }

    /// A peer is back. What it has not kept forwarding for is dropped at once (RFC 4724 §4.2), the rest when its
    /// End-of-RIB comes.
    pub(super) fn resume_stale(&mut self, peer: PeerId, now: Instant) {
        let Some(state) = self.peers.get_mut(&peer) else { return };
        let Some(up) = &state.up else { return };
        let (kept, lost): (Vec<_>, _) = state.stale.iter().copied().partition(|family| up.preserved(*family));
        self.timers.set(Timer::Stale(peer), (!kept.is_empty()).then_some(now + STALE_LIMIT));
        state.stale = kept;
        for family in lost {
            self.rib.sweep(peer, family);
        }
        self.forget_long_lived(peer);
    }

    /// The time of stale routes is over: those of a peer that is away may be kept for longer.
    pub(super) fn stale_due(&mut self, peer: PeerId, now: Instant) {
        let Some(state) = self.peers.get(&peer) else { return };
        let (stale, away) = (state.stale.clone(), state.up.is_none());
        for family in stale {
            if !(away && self.keep_long(peer, family, now)) {
                self.drop_family(peer, family);
            }
        }
    }

    /// The stale routes of a family go.
    pub(super) fn drop_family(&mut self, peer: PeerId, family: Family) {
        let Some(state) = self.peers.get_mut(&peer) else { return };
        state.stale.retain(|stale| *stale != family);
        self.forget_long_lived(peer);
        self.rib.sweep(peer, family);
        self.forget_if_gone(peer);
    }

    /// The peer has sent all its routes of a family.
    pub(super) fn end_of_rib(&mut self, peer: PeerId, family: Family) {
        let Some(state) = self.peers.get_mut(&peer) else { return };
        let Some(up) = &mut state.up else { return };
        up.awaited.retain(|awaited| *awaited != family);
        state.complete |= up.awaited.is_empty();
        if state.stale.contains(&family) {
            state.stale.retain(|stale| *stale != family);
            if state.stale.is_empty() {
                self.timers.set(Timer::Stale(peer), None);
            }
            self.rib.sweep(peer, family);
            self.forget_long_lived(peer);
        }
        if family == Family::ROUTE_TARGET {
            self.timers.set(Timer::Memberships(peer), None);
            self.rib.release_memberships(peer);
        }
        self.events.push_back(SpeakerEvent::EndOfRib { peer, family });
        self.check_deferral();
        self.check_convergence();
    }

    /// Holds VPN routes back until the peer's memberships are known (RFC 4684 §6). Without graceful restart no
    /// End-of-RIB is promised, nor sent by most: routes follow the memberships then as these come.
    pub(super) fn await_memberships(&mut self, peer: PeerId, now: Instant) {
        let Some(up) = self.peers.get(&peer).and_then(|state| state.up.as_ref()) else { return };
        if !up.negotiated.families.contains(&Family::ROUTE_TARGET) {
            return;
        }
        if up.negotiated.graceful_restart.is_some() {
            self.timers.set(Timer::Memberships(peer), Some(now + MEMBERSHIP_WAIT));
        } else {
            self.rib.release_memberships(peer);
        }
    }
}

// As the one that has restarted, or just started.
impl Speaker {
    /// Holds back our End-of-RIB after a restart (RFC 4724 §4.1). A reflector cannot know which clients will come,
    /// nor whether they keep routes of its former life: it waits after any start.
    pub(super) fn start_deferral(&mut self, now: Instant) {
        if self.config.restarting || self.has_unknown_clients() {
            self.rib.defer_end_of_rib(true);
            self.timers.set(Timer::Deferral, Some(now + self.config.deferral));
        }
        let wait = match self.config.terms.restart_time {
            0 => CONVERGENCE_WAIT,
            seconds => Duration::from_secs(seconds.into()),
        };
        self.timers.set(Timer::Convergence, Some(now + wait));
    }

    /// Whether our End-of-RIB is held back.
    pub(super) fn deferring(&self) -> bool {
        self.timers.is_set(Timer::Deferral)
    }

    /// RFC 4724 §4.1: the wait ends early when all peers have sent theirs, but for those that do no graceful
    /// restart and those that are restarting themselves.
    pub(super) fn check_deferral(&mut self) {
        let excused = |state: &Peer| {
            state.up.as_ref().is_some_and(|up| {
                up.negotiated.graceful_restart.as_ref().is_none_or(|graceful| graceful.restarting)
            })
        };
        if self.deferring()
            && !self.has_unknown_clients()
            && self.configured().all(|state| state.complete || excused(state))
        {
            self.end_deferral();
        }
    }

    pub(super) fn end_deferral(&mut self) {
        self.timers.set(Timer::Deferral, None);
        self.rib.defer_end_of_rib(false);
        self.check_convergence();
    }

    pub(super) fn check_convergence(&mut self) {
        let clients = self.has_unknown_clients();
        let peers_come = clients || self.configured().next().is_some();
        let waiting = clients && self.deferring();
        if peers_come && !waiting && self.configured().all(|state| state.complete) {
            self.converge();
        }
    }

    pub(super) fn converge(&mut self) {
        if !std::mem::replace(&mut self.converged, true) {
            self.timers.set(Timer::Convergence, None);
            self.events.push_back(SpeakerEvent::Converged);
        }
    }

    fn has_unknown_clients(&self) -> bool {
        !self.config.terms.dynamic_clients.is_empty()
    }

    fn configured(&self) -> impl Iterator<Item = &Peer> {
        self.peers.values().filter(|state| !state.dynamic)
    }
}
