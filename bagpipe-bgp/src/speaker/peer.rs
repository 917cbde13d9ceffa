//! What a speaker remembers of a peer and of each connection to it.

use std::time::{Duration, Instant};

use super::administration::Held;
use super::collision::{Direction, Other};
use super::config::{PeerConfig, SpeakerConfig};
use super::event::ConnId;
use super::faults::Faults;
use crate::rib::{PeerId, RibPeer};
use crate::session::{Counters, DownReason, Negotiated, Session, SessionConfig, State, notification};
use crate::types::Family;
use crate::wire::LongLived;

/// A session that lasted so long is not a failed attempt: the next one comes at once.
const STABLE: Duration = Duration::from_secs(10);

#[derive(Debug)]
pub(super) struct Peer {
    pub(super) config: PeerConfig,
    /// A reflector client known by its prefix only: forgotten when it goes.
    pub(super) dynamic: bool,
    /// Connections in any state, oldest first.
    pub(super) connections: Vec<ConnId>,
    /// The session, once it is established.
    pub(super) up: Option<Up>,
    /// Since when `up` is what it is.
    pub(super) since: Instant,
    /// Attempts that have failed since the last stable session.
    pub(super) failures: u32,
    /// Why it is kept away, if it is.
    pub(super) held: Option<Held>,
    /// Families whose routes are kept from an earlier session (RFC 4724 §4.2).
    pub(super) stale: Vec<Family>,
    /// Those of them that have been kept for longer than the restart time (RFC 9494).
    pub(super) long_lived: Vec<Family>,
    /// How long they are kept then, as of the last session.
    pub(super) long_lived_times: Vec<LongLived>,
    /// The peer has once sent all its routes, in a session of ours.
    pub(super) complete: bool,
    /// What ended the last session or attempt.
    pub(super) last_error: Option<String>,
    /// What has gone wrong.
    pub(super) faults: Faults,
    /// Messages of connections that are gone.
    pub(super) counters: Counters,
}

/// An established session.
#[derive(Debug)]
pub(super) struct Up {
    pub(super) conn: ConnId,
    pub(super) negotiated: Negotiated,
    /// Families of which the peer has not sent the End-of-RIB yet.
    pub(super) awaited: Vec<Family>,
    /// Families whose routes the peer is sending again (RFC 7313 §4).
    pub(super) refreshing: Vec<Family>,
    /// Families of which the peer has nearly announced as many routes as it may.
    pub(super) warned: Vec<Family>,
}

/// A connection to a peer.
#[derive(Debug)]
pub(super) struct Connection {
    pub(super) peer: PeerId,
    pub(super) direction: Direction,
    pub(super) started: Instant,
    /// `None` while TCP is still connecting.
    pub(super) session: Option<Session>,
    /// The owner knows that there is something to write.
    pub(super) notified: bool,
}

impl Peer {
    pub(super) fn new(config: PeerConfig, dynamic: bool, now: Instant) -> Self {
        Self {
            config,
            dynamic,
            connections: Vec::new(),
            up: None,
            since: now,
            failures: 0,
            held: None,
            stale: Vec::new(),
            long_lived: Vec::new(),
            long_lived_times: Vec::new(),
            complete: false,
            last_error: None,
            faults: Faults::default(),
            counters: Counters::default(),
        }
    }

    pub(super) fn session_config(&self, speaker: &SpeakerConfig, restarting: bool) -> SessionConfig {
        SessionConfig {
            local_asn: speaker.asn,
            router_id: speaker.router_id,
            remote_asn: self.config.asn,
            hold_time: self.config.hold_time,
            families: self.config.families.clone(),
            restart_time: speaker.terms.restart_time,
            long_lived_time: speaker.terms.long_lived_time,
            restarting,
            add_paths: self.config.add_paths,
        }
    }

    pub(super) fn rib_peer(
        &self,
        speaker: &SpeakerConfig,
        session: &Session,
        negotiated: &Negotiated,
    ) -> RibPeer {
        RibPeer {
            asn: negotiated.asn,
            router_id: negotiated.router_id,
            address: self.config.address,
            internal: negotiated.asn == speaker.asn,
            client: self.config.client,
            families: negotiated.families.clone(),
            policy: self.config.policy,
            long_lived: !negotiated.long_lived.is_empty(),
            send_paths: self.config.add_paths.send,
            context: session.context().clone(),
        }
    }

    /// Counts an attempt or a session that has ended, unless the session was stable.
    pub(super) fn count_failure(&mut self, established: Option<Instant>, now: Instant) {
        let stable = established.is_some_and(|at| now.saturating_duration_since(at) >= STABLE);
        self.failures = if stable { 0 } else { self.failures.saturating_add(1) };
    }

    /// Whether the owner is to connect to it.
    pub(super) fn active(&self) -> bool {
        !self.config.passive && !self.dynamic && self.held.is_none()
    }

    /// The longest wait before the next attempt. While its routes are kept the peer is wanted back well before it
    /// ends holding back its End-of-RIB: what it has not relearned by then, others drop.
    pub(super) fn retry_limit(&self) -> Duration {
        const WHILE_STALE: Duration = Duration::from_secs(2);
        if self.stale.len() == self.long_lived.len() {
            self.config.connect_retry
        } else {
            self.config.connect_retry.min(WHILE_STALE)
        }
    }
}

impl Up {
    /// The families whose routes are kept when the session ends for `reason` (RFC 4724 §4.2, RFC 8538 §4).
    pub(super) fn retained(&self, reason: &DownReason) -> Vec<Family> {
        let Some(graceful) = &self.negotiated.graceful_restart else { return Vec::new() };
        let kept = match reason {
            DownReason::Disconnected | DownReason::Replaced => true,
            DownReason::SendHoldExpired => graceful.notification,
            DownReason::Sent(notification, _) | DownReason::Received(notification) => {
                graceful.notification && !notification::is_hard_reset(notification)
            }
        };
        let listed = |family: &Family| graceful.families.iter().any(|(listed, _)| listed == family);
        let listed = |family: &Family| listed(family) || self.long_lived_time(*family) > 0;
        self.negotiated.families.iter().copied().filter(|family| kept && listed(family)).collect()
    }

    /// Whether forwarding state of a family survived the peer's restart (F bit, RFC 4724 §4.2).
    pub(super) fn preserved(&self, family: Family) -> bool {
        let families = self.negotiated.graceful_restart.as_ref().map(|graceful| &graceful.families);
        let long_lived = self.negotiated.long_lived.iter();
        families.is_some_and(|families| families.contains(&(family, true)))
            || long_lived.into_iter().any(|entry| entry.family == family && entry.forwarding)
    }

    /// For how many seconds routes of a family are kept after the restart time (RFC 9494 §4.2).
    pub(super) fn long_lived_time(&self, family: Family) -> u32 {
        long_lived_time(&self.negotiated.long_lived, family)
    }
}

/// The time of a family in the capability of a peer.
pub(super) fn long_lived_time(entries: &[LongLived], family: Family) -> u32 {
    entries.iter().find(|entry| entry.family == family).map_or(0, |entry| entry.time)
}

impl Connection {
    pub(super) fn state(&self) -> Option<State> {
        self.session.as_ref().map(Session::state)
    }

    /// Past the point from which only one connection may go on.
    pub(super) fn is_confirmed(&self) -> bool {
        matches!(self.state(), Some(State::OpenConfirm | State::Established))
    }

    pub(super) fn as_other(&self, conn: ConnId, peer: &Peer) -> Other {
        let up = peer.up.as_ref().filter(|up| up.conn == conn);
        Other {
            direction: self.direction,
            state: self.state(),
            established: up.map(|_| peer.since),
            graceful: up.is_some_and(|up| up.negotiated.graceful_restart.is_some()),
        }
    }
}
