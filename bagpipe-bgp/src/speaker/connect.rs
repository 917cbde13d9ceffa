//! Connections coming up: accepted, attempted, retried.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use super::collision::Direction;
use super::event::{Action, ConnId, Refused};
use super::peer::{Connection, Peer};
use super::timers::Timer;
use super::{PeerId, Speaker, backoff};
use crate::session::{DownReason, Session, State, notification::Cease};

/// How long an attempt to connect may take.
const CONNECT_LIMIT: Duration = Duration::from_secs(15);

impl Speaker {
    /// A TCP connection has come in.
    ///
    /// # Errors
    ///
    /// It is to be closed: nobody is expected at this address.
    pub fn accepted(&mut self, remote: SocketAddr, now: Instant) -> Result<ConnId, Refused> {
        let address = remote.ip().to_canonical();
        if self.stopped {
            return Err(Refused::Stopped(address));
        }
        let peer = match self.addresses.get(&address) {
            Some(peer) if self.peers.get(peer).is_some_and(|state| state.held.is_some()) => {
                return Err(Refused::Held(address));
            }
            Some(&peer) => peer,
            None if self.config.is_dynamic_client(address) => {
                let limit = self.config.terms.max_clients;
                if self.peers.values().filter(|state| state.dynamic).count() >= limit {
                    return Err(Refused::TooManyClients(address, limit));
                }
                let config = self.config.dynamic_client(address);
                self.insert_peer(address, Peer::new(config, true, now))
            }
            None => return Err(Refused::UnknownPeer(address)),
        };
        let conn = self.insert_connection(peer, Direction::Incoming, now);
        self.close_silent(peer, now);
        self.start_session(conn, now);
        Ok(conn)
    }

    /// An attempt to connect has succeeded.
    pub fn connected(&mut self, conn: ConnId, now: Instant) {
        if self.connections.get(&conn).is_some_and(|connection| connection.session.is_none()) {
            self.start_session(conn, now);
        }
    }

    /// An attempt to connect has failed, for a reason that is shown as the peer's last error.
    pub fn connect_failed(&mut self, conn: ConnId, reason: &str, now: Instant) {
        self.attempt_failed(conn, reason, false, now);
    }

    /// Connects at once, or after the time that failures so far ask for; unless there is no need to.
    pub(super) fn connect_when_due(&mut self, peer: PeerId, now: Instant) {
        let Some(state) = self.peers.get(&peer) else { return };
        if !self.wants_connection(state) || self.timers.is_set(Timer::Retry(peer)) {
            return;
        }
        let (limit, address) = (state.retry_limit(), state.config.address);
        let delay = backoff::delay(state.failures, limit, self.config.router_id, address);
        if delay.is_zero() {
            self.connect_now(peer, now);
        } else {
            self.timers.set(Timer::Retry(peer), Some(now + delay));
        }
    }

    pub(super) fn connect_now(&mut self, peer: PeerId, now: Instant) {
        let Some(state) = self.peers.get(&peer) else { return };
        if !self.wants_connection(state) {
            return;
        }
        let remote = SocketAddr::new(state.config.address, state.config.port);
        let conn = self.insert_connection(peer, Direction::Outgoing, now);
        self.timers.set(Timer::Connection(conn), Some(now + CONNECT_LIMIT));
        self.actions.push_back(Action::Connect { conn, peer, remote });
    }

    /// Does what is due on a connection: a session's timers, or the limit of an attempt.
    pub(super) fn connection_due(&mut self, conn: ConnId, now: Instant) {
        let Some(connection) = self.connections.get_mut(&conn) else { return };
        match &mut connection.session {
            Some(session) => {
                session.timeout(now);
                self.drain(conn, now);
            }
            None => self.attempt_failed(conn, "connecting took too long", true, now),
        }
    }

    pub(super) fn attempt_failed(&mut self, conn: ConnId, reason: &str, close: bool, now: Instant) {
        let attempt = self.connections.get(&conn).filter(|connection| connection.session.is_none());
        let Some(peer) = attempt.map(|connection| connection.peer) else { return };
        self.remove_connection(conn, close);
        self.report_failure(peer, reason);
        if let Some(state) = self.peers.get_mut(&peer) {
            state.count_failure(None, now);
        }
        self.connect_when_due(peer, now);
    }

    /// Whether a connection of our own would be of use: there is none, and no other one has got as far as
    /// OpenConfirm.
    fn wants_connection(&self, peer: &Peer) -> bool {
        let useful = |connection: &Connection| {
            connection.direction == Direction::Outgoing || connection.is_confirmed()
        };
        let mut connections = peer.connections.iter().filter_map(|conn| self.connections.get(conn));
        peer.active() && !self.stopped && !connections.any(useful)
    }

    /// Closes accepted connections on which no OPEN has come. The peer has one connection of its own at a time: it
    /// has given up the earlier one, and nobody can fill our memory with them.
    fn close_silent(&mut self, peer: PeerId, now: Instant) {
        let Some(state) = self.peers.get(&peer) else { return };
        for conn in state.connections.clone() {
            let silent = self.connections.get(&conn).is_some_and(|connection| {
                connection.direction == Direction::Incoming && connection.state() == Some(State::OpenSent)
            });
            if silent {
                self.stop_connection(conn, Cease::ConnectionCollision, "peer connected again", now);
            }
        }
    }

    fn insert_connection(&mut self, peer: PeerId, direction: Direction, now: Instant) -> ConnId {
        let conn = ConnId(self.next_conn);
        self.next_conn += 1;
        let connection = Connection { peer, direction, started: now, session: None, notified: false };
        self.connections.insert(conn, connection);
        if let Some(state) = self.peers.get_mut(&peer) {
            state.connections.push(conn);
        }
        conn
    }

    fn start_session(&mut self, conn: ConnId, now: Instant) {
        let restarting = self.config.restarting && self.deferring();
        let Some(connection) = self.connections.get_mut(&conn) else { return };
        let Some(peer) = self.peers.get(&connection.peer) else { return };
        connection.session = Some(Session::new(peer.session_config(&self.config, restarting), now));
        self.drain(conn, now);
    }

    /// The TCP connection is gone: closed by the peer, or broken.
    pub fn closed(&mut self, conn: ConnId, now: Instant) {
        self.farewells.remove(&conn);
        if self.connections.get(&conn).is_some_and(|connection| connection.session.is_none()) {
            return self.attempt_failed(conn, &DownReason::Disconnected.to_string(), false, now);
        }
        self.end_connection(conn, &DownReason::Disconnected, false, now);
        self.wake_writers();
    }
}
