//! Peers and their connections around one RIB.
//!
//! The owner carries bytes between sockets and the speaker. It reports what happens to connections (`accepted`,
//! `connected`, `connect_failed`, `received`, `closed`) and calls [`timeout`](Speaker::timeout) when
//! [`poll_timeout`](Speaker::poll_timeout) says so. After each call it drains
//! [`poll_action`](Speaker::poll_action), [`poll_event`](Speaker::poll_event) and
//! [`poll_route`](Speaker::poll_route). Bytes to a peer are pulled with
//! [`poll_transmit`](Speaker::poll_transmit) when its socket can take them: a slow peer holds back only itself, and
//! what changes meanwhile is merged.

mod administration;
mod backoff;
mod collision;
mod config;
mod connect;
mod event;
mod faults;
mod lifecycle;
mod long_lived;
mod peer;
mod prefix_limit;
mod reconfigure;
mod refresh;
mod restart;
mod status;
mod timers;
mod watch;

use std::collections::{BTreeMap, VecDeque};
use std::net::IpAddr;
use std::time::Instant;

use bytes::Bytes;
use rustc_hash::FxHashMap;

pub use self::administration::Held;
pub use self::config::{PeerConfig, SpeakerConfig, SpeakerTerms};
pub use self::event::{Action, ConnId, Refused, SpeakerEvent};
pub use self::faults::{Direction, Faults, LastNotification};
pub use self::status::{PeerState, PeerStatus, RouteStatus};
pub use crate::rib::{
    Export, HeldPath, Import, NextHopPolicy, Path, PathChange, PeerId, Policy, RouteChange, RouteSource,
    Rule, Walk,
};
pub use crate::session::{AddPaths, DownReason, Opens};

use self::peer::{Connection, Peer};
pub use self::prefix_limit::MaxPrefixes;

use self::timers::{Timer, Timers};
use crate::rib::{Rib, RibConfig};
use crate::session::notification::Cease;
use crate::types::RouteTarget;
use crate::wire::{Attributes, Nlri};

/// A BGP speaker.
#[derive(Debug)]
pub struct Speaker {
    config: SpeakerConfig,
    rib: Rib,
    peers: BTreeMap<PeerId, Peer>,
    addresses: FxHashMap<IpAddr, PeerId>,
    connections: FxHashMap<ConnId, Connection>,
    /// What is still to be written to connections that are to be closed.
    farewells: FxHashMap<ConnId, VecDeque<Bytes>>,
    next_peer: u32,
    next_conn: u64,
    timers: Timers,
    actions: VecDeque<Action>,
    events: VecDeque<SpeakerEvent>,
    converged: bool,
    stopped: bool,
}

impl Speaker {
    /// A speaker without peers.
    #[must_use]
    pub fn new(config: SpeakerConfig, now: Instant) -> Self {
        let rib = Rib::new(RibConfig {
            asn: config.asn,
            router_id: config.router_id,
            cluster_id: config.cluster_id,
            local_addresses: config.local_addresses.clone(),
        });
        let mut speaker = Self {
            config,
            rib,
            peers: BTreeMap::new(),
            addresses: FxHashMap::default(),
            connections: FxHashMap::default(),
            farewells: FxHashMap::default(),
            next_peer: 1,
            next_conn: 1,
            timers: Timers::default(),
            actions: VecDeque::new(),
            events: VecDeque::new(),
            converged: false,
            stopped: false,
        };
        speaker.start_deferral(now);
        speaker
    }

    /// Adds a peer and, unless it is passive, connects to it. An address that was a dynamic client's, or another
    /// configured peer's, is this peer's from now on.
    pub fn add_peer(&mut self, config: PeerConfig, now: Instant) -> PeerId {
        let address = config.address.to_canonical();
        if let Some(&before) = self.addresses.get(&address) {
            self.remove_peer(before, now);
        }
        let peer = self.insert_peer(address, Peer::new(PeerConfig { address, ..config }, false, now));
        self.connect_when_due(peer, now);
        peer
    }

    /// Removes a peer: its session is closed for good, and its routes are withdrawn.
    pub fn remove_peer(&mut self, peer: PeerId, now: Instant) {
        let Some(state) = self.peers.get_mut(&peer) else { return };
        // Nothing is to be connected again by what follows.
        state.config.passive = true;
        for conn in state.connections.clone() {
            self.stop_connection(conn, Cease::PeerDeconfigured, "peer removed", now);
        }
        self.forget_peer(peer);
        self.check_convergence();
        self.wake_writers();
    }

    /// Ends the speaker. With graceful restart the connections are just closed, so that peers keep our routes
    /// (RFC 4724 §4.2); without, they are told to drop them.
    pub fn shutdown(&mut self, now: Instant) {
        self.stopped = true;
        let connections: Vec<_> = self.connections.keys().copied().collect();
        for conn in connections {
            if self.config.terms.restart_time > 0 {
                self.end_connection(conn, &DownReason::Disconnected, true, now);
            } else {
                const REASON: &str = "the speaker is stopping";
                self.stop_connection(conn, Cease::AdministrativeShutdown(REASON), REASON, now);
            }
        }
        self.timers = Timers::default();
    }

    /// The next bytes for a connection: first the session's own messages, then packed UPDATEs.
    pub fn poll_transmit(&mut self, conn: ConnId) -> Option<Bytes> {
        if let Some(rest) = self.farewells.get_mut(&conn) {
            let bytes = rest.pop_front();
            if rest.is_empty() {
                self.farewells.remove(&conn);
            }
            return bytes;
        }
        let connection = self.connections.get_mut(&conn)?;
        let session = connection.session.as_mut()?;
        if let Some(bytes) = session.poll_transmit() {
            return Some(bytes);
        }
        let established = self.peers.get(&connection.peer)?.up.as_ref().is_some_and(|up| up.conn == conn);
        match established.then(|| self.rib.next_update(connection.peer)).flatten() {
            Some(bytes) => {
                session.sent(&bytes);
                Some(bytes)
            }
            None => {
                connection.notified = false;
                None
            }
        }
    }

    /// The next thing to do.
    pub fn poll_action(&mut self) -> Option<Action> {
        self.actions.pop_front()
    }

    /// The next thing to report.
    pub fn poll_event(&mut self) -> Option<SpeakerEvent> {
        self.events.pop_front()
    }

    /// The next change of a best path among the routes received from peers.
    pub fn poll_route(&mut self) -> Option<RouteChange> {
        self.rib.poll_change()
    }

    /// When to call [`Self::timeout`].
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Instant> {
        self.timers.next()
    }

    /// Does what is due at `now`.
    pub fn timeout(&mut self, now: Instant) {
        while let Some(timer) = self.timers.expire(now) {
            match timer {
                Timer::Connection(conn) => self.connection_due(conn, now),
                Timer::Retry(peer) => self.connect_now(peer, now),
                Timer::Held(peer) => self.release(peer, now),
                Timer::Stale(peer) => self.stale_due(peer, now),
                Timer::LongLived(peer, family) => self.drop_family(peer, family),
                Timer::Refresh(peer, family) => self.refresh_ends(peer, family),
                Timer::Memberships(peer) => self.rib.release_memberships(peer),
                Timer::Deferral => self.end_deferral(),
                Timer::Convergence => self.converge(),
            }
        }
        self.wake_writers();
    }

    /// Announces a route of our own, or replaces it.
    pub fn originate(&mut self, nlri: Nlri, attributes: Attributes) {
        self.rib.originate(nlri, attributes);
        self.wake_writers();
    }

    /// Withdraws a route of our own.
    pub fn withdraw(&mut self, nlri: &Nlri) {
        self.rib.withdraw(nlri);
        self.wake_writers();
    }

    /// Asks for the routes of a route target; counted, see [`Self::unimport`].
    pub fn import(&mut self, target: RouteTarget) {
        self.rib.import(target);
        self.wake_writers();
    }

    /// Takes back one [`Self::import`].
    pub fn unimport(&mut self, target: RouteTarget) {
        self.rib.unimport(target);
        self.wake_writers();
    }
}
