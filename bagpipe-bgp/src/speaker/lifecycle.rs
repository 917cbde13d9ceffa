//! Sessions coming up and going down, and what happens to routes then.

use std::net::IpAddr;
use std::time::Instant;

use super::collision::{self, Verdict};
use super::event::{Action, ConnId, SpeakerEvent};
use super::peer::{Connection, Peer, Up};
use super::timers::Timer;
use super::{PeerId, Speaker};
use crate::session::notification::{self, Cease};
use crate::session::{DownReason, Event, Session, State};
use crate::wire::Update;

impl Speaker {
    /// Bytes have come from a peer.
    pub fn received(&mut self, conn: ConnId, bytes: &[u8], now: Instant) {
        let Some(session) = self.connections.get_mut(&conn).and_then(|it| it.session.as_mut()) else {
            return;
        };
        session.receive(bytes, now);
        self.drain(conn, now);
        self.wake_writers();
    }

    /// Handles all events of a session, then looks at its timers and at what it has to write.
    pub(super) fn drain(&mut self, conn: ConnId, now: Instant) {
        while let Some(connection) = self.connections.get_mut(&conn) {
            let peer = connection.peer;
            let Some(event) = connection.session.as_mut().and_then(Session::poll_event) else {
                break;
            };
            match event {
                Event::Opened => self.resolve_collisions(conn, peer, now),
                Event::Established => self.session_up(conn, peer, now),
                Event::Update(update) => self.update(peer, update, now),
                Event::Refresh(family) => self.refresh(peer, family),
                Event::RefreshBegins(family) => self.refresh_begins(peer, family, now),
                Event::RefreshEnds(family) => self.refresh_ends(peer, family),
                Event::Down(reason) => self.session_ended(conn, &reason, true, now),
            }
        }
        let Some(connection) = self.connections.get(&conn) else { return };
        let Some(session) = &connection.session else { return };
        self.timers.set(Timer::Connection(conn), session.poll_timeout());
        if session.wants_write() {
            self.wake(conn);
        }
    }

    /// Ends a connection with a Cease.
    pub(super) fn stop_connection(&mut self, conn: ConnId, cease: Cease<'_>, reason: &str, now: Instant) {
        let Some(connection) = self.connections.get_mut(&conn) else { return };
        let Some(session) = &mut connection.session else { return self.remove_connection(conn, true) };
        // RFC 8538 §3: where a plain Cease would start a graceful restart, a peer that is gone for good is told so.
        let graceful = session.negotiated().and_then(|negotiated| negotiated.graceful_restart.as_ref());
        let for_good = !matches!(cease, Cease::ConnectionCollision | Cease::AdministrativeReset(_));
        let hard = for_good && graceful.is_some_and(|graceful| graceful.notification);
        let notification = if hard { notification::hard_reset(cease) } else { notification::cease(cease) };
        session.stop(notification, reason.to_owned());
        self.drain(conn, now);
    }

    /// Ends a connection without a NOTIFICATION.
    pub(super) fn end_connection(&mut self, conn: ConnId, reason: &DownReason, close: bool, now: Instant) {
        let Some(connection) = self.connections.get_mut(&conn) else { return };
        let Some(session) = &mut connection.session else { return self.remove_connection(conn, close) };
        session.abandon(reason.clone());
        self.session_ended(conn, reason, close, now);
    }

    /// Tells the owner of every peer for which the RIB has got something to send.
    pub(super) fn wake_writers(&mut self) {
        while let Some(peer) = self.rib.poll_peer_with_updates() {
            if let Some(up) = self.peers.get(&peer).and_then(|state| state.up.as_ref()) {
                self.wake(up.conn);
            }
        }
    }

    pub(super) fn insert_peer(&mut self, address: IpAddr, state: Peer) -> PeerId {
        let peer = PeerId(self.next_peer);
        self.next_peer += 1;
        self.addresses.insert(address, peer);
        self.peers.insert(peer, state);
        peer
    }

    pub(super) fn forget_peer(&mut self, peer: PeerId) {
        let Some(state) = self.peers.remove(&peer) else { return };
        for &family in &state.long_lived {
            self.timers.set(Timer::LongLived(peer, family), None);
        }
        self.addresses.remove(&state.config.address);
        for timer in [Timer::Retry(peer), Timer::Held(peer), Timer::Stale(peer), Timer::Memberships(peer)] {
            self.timers.set(timer, None);
        }
        self.rib.forget(peer);
    }

    /// Forgets a connection; what its session has left to say is kept for the owner to write.
    pub(super) fn remove_connection(&mut self, conn: ConnId, close: bool) {
        let Some(mut connection) = self.connections.remove(&conn) else { return };
        self.timers.set(Timer::Connection(conn), None);
        if let Some(state) = self.peers.get_mut(&connection.peer) {
            state.connections.retain(|other| *other != conn);
            if let Some(session) = &connection.session {
                state.counters += session.counters();
            }
        }
        if close {
            if let Some(session) = connection.session.as_mut().filter(|session| session.wants_write()) {
                self.farewells.insert(conn, std::iter::from_fn(|| session.poll_transmit()).collect());
            }
            self.actions.push_back(Action::Close { conn });
        }
    }

    /// Keeps why an attempt failed, and reports it when it is news.
    pub(super) fn report_failure(&mut self, peer: PeerId, reason: &str) {
        let Some(state) = self.peers.get_mut(&peer) else { return };
        if state.last_error.as_deref() != Some(reason) {
            state.last_error = Some(reason.to_owned());
            self.events.push_back(SpeakerEvent::PeerDown { peer, reason: reason.to_owned(), session: None });
        }
    }

    fn wake(&mut self, conn: ConnId) {
        if let Some(connection) = self.connections.get_mut(&conn)
            && !std::mem::replace(&mut connection.notified, true)
        {
            self.actions.push_back(Action::WantsWrite { conn });
        }
    }

    /// RFC 4271 §6.8: an OPEN has come on `conn`; of several connections one goes on.
    fn resolve_collisions(&mut self, conn: ConnId, peer: PeerId, now: Instant) {
        let Some(state) = self.peers.get(&peer) else { return };
        let Some(new) = self.connections.get(&conn) else { return };
        let Some(negotiated) = new.session.as_ref().and_then(|session| session.negotiated()) else { return };
        let local = (self.config.router_id, self.config.asn);
        let preferred = collision::preferred(local, (negotiated.router_id, negotiated.asn));
        let others: Vec<_> = state.connections.iter().copied().filter(|other| *other != conn).collect();
        let verdicts: Vec<_> = others
            .into_iter()
            .filter_map(|other| {
                let seen = self.connections.get(&other)?.as_other(other, state);
                Some((other, collision::judge(new.direction, new.started, seen, preferred)))
            })
            .collect();

        const REASON: &str = "collision: another connection is kept";
        if verdicts.iter().any(|(_, verdict)| *verdict == Verdict::CloseNew) {
            return self.stop_connection(conn, Cease::ConnectionCollision, REASON, now);
        }
        // There is no need for an attempt of our own any more.
        self.timers.set(Timer::Retry(peer), None);
        for (other, verdict) in verdicts {
            match verdict {
                Verdict::CloseOther => self.stop_connection(other, Cease::ConnectionCollision, REASON, now),
                Verdict::Restarted => self.end_connection(other, &DownReason::Replaced, true, now),
                Verdict::Wait | Verdict::CloseNew => {}
            }
        }
    }

    fn session_up(&mut self, conn: ConnId, peer: PeerId, now: Instant) {
        self.close_losers(conn, peer, now);
        let Some(state) = self.peers.get_mut(&peer) else { return };
        let Some(session) = self.connections.get(&conn).and_then(|it| it.session.as_ref()) else { return };
        let Some(negotiated) = session.negotiated().cloned() else { return };
        self.rib.peer_up(peer, state.rib_peer(&self.config, session, &negotiated));
        state.up = Some(Up {
            conn,
            awaited: negotiated.families.clone(),
            refreshing: Vec::new(),
            warned: Vec::new(),
            negotiated: negotiated.clone(),
        });
        state.since = now;
        state.last_error = None;
        self.events.push_back(SpeakerEvent::PeerUp { peer, negotiated });
        self.resume_stale(peer, now);
        self.await_memberships(peer, now);
        self.check_deferral();
    }

    /// A session is established: attempts that are still connecting, and a session that lost a collision only
    /// after it had been established, are over.
    fn close_losers(&mut self, conn: ConnId, peer: PeerId, now: Instant) {
        let Some(state) = self.peers.get(&peer) else { return };
        for other in state.connections.clone() {
            let over = self.connections.get(&other).map(Connection::state);
            if other != conn && matches!(over, Some(None | Some(State::Established))) {
                self.stop_connection(
                    other,
                    Cease::ConnectionCollision,
                    "collision: another connection is kept",
                    now,
                );
            }
        }
    }

    fn update(&mut self, peer: PeerId, update: Update, now: Instant) {
        // What had been read when the session was ended for the sake of memory.
        if self.peers.get(&peer).is_none_or(|state| state.held.is_some()) {
            return;
        }
        let of_routes = self.rib.receive(peer, &update);
        for error in update.errors.into_iter().chain(of_routes) {
            if let Some(state) = self.peers.get_mut(&peer) {
                state.faults.update(&error);
            }
            self.events.push_back(SpeakerEvent::Error { peer, error });
        }
        if let Some(family) = update.end_of_rib {
            self.end_of_rib(peer, family);
        }
        for block in &update.announced {
            self.check_limit(peer, block.family, now);
        }
    }

    fn session_ended(&mut self, conn: ConnId, reason: &DownReason, close: bool, now: Instant) {
        let Some(peer) = self.connections.get(&conn).map(|connection| connection.peer) else { return };
        self.remove_connection(conn, close);
        let Some(state) = self.peers.get_mut(&peer) else { return };
        let text = reason.to_string();
        state.faults.down(reason);
        match state.up.take_if(|up| up.conn == conn) {
            Some(up) => {
                for &family in &up.refreshing {
                    self.timers.set(Timer::Refresh(peer, family), None);
                }
                state.count_failure(Some(state.since), now);
                state.since = now;
                state.last_error = Some(text.clone());
                let session = Some(reason.clone());
                self.events.push_back(SpeakerEvent::PeerDown { peer, reason: text, session });
                if !self.stopped {
                    self.keep_or_drop(peer, &up, reason, now);
                }
            }
            // The end of a connection that lost against another one is no failure.
            None if state.connections.is_empty() => {
                state.count_failure(None, now);
                self.report_failure(peer, &text);
            }
            None => {}
        }
        self.forget_if_gone(peer);
        self.connect_when_due(peer, now);
    }

    /// A dynamic client of which nothing is left is not a peer any more.
    pub(super) fn forget_if_gone(&mut self, peer: PeerId) {
        let gone = |state: &Peer| {
            state.dynamic && state.connections.is_empty() && state.stale.is_empty() && state.held.is_none()
        };
        if self.peers.get(&peer).is_some_and(gone) {
            self.forget_peer(peer);
        }
    }
}
