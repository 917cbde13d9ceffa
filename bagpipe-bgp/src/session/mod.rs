//! One BGP connection, from the moment TCP is up until it is closed (RFC 4271 §8, states OpenSent to Established).
//!
//! What comes before (Idle, Connect, Active) and what concerns several connections to one peer (collisions,
//! retries, graceful restart) is the [speaker](crate::speaker)'s. A session is fed with [`receive`](Session::receive)
//! and [`timeout`](Session::timeout) and drained by the `poll_*` methods:
//!
//! ```text
//!          new: OPEN ->          <- OPEN: KEEPALIVE ->            <- KEEPALIVE
//!   (TCP) ----------> OpenSent -----------------------> OpenConfirm ----------> Established
//!                         \________________________________\_____________________/
//!                             error, NOTIFICATION, hold time, stop: Closed
//! ```

mod counters;
mod negotiation;
pub mod notification;

#[cfg(test)]
mod tests;

use std::collections::VecDeque;
use std::fmt;
use std::time::{Duration, Instant};

use bytes::{Bytes, BytesMut};

pub use counters::{Counters, MessageCounts};
pub use negotiation::{AddPaths, GracefulRestart, Negotiated, SessionConfig};

use crate::types::Family;
use crate::wire::message::{
    self, Context, Frame, HEADER_LENGTH, MAX_EXTENDED_LENGTH, MAX_LENGTH, kind, refresh,
};
use crate::wire::{Message, MessageError, Notification, Open, Update};

/// How long to wait for the peer's OPEN (RFC 4271 §8.2.2: "a large value", 4 minutes suggested).
pub const OPEN_WAIT: Duration = Duration::from_secs(240);

/// The least time after which a peer that takes no bytes is given up (RFC 9687 §4).
const SEND_HOLD_MIN: Duration = Duration::from_secs(480);

/// Where a connection is in the state machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// Our OPEN is sent; the peer's is awaited.
    OpenSent,
    /// The OPENs agree; the peer's first KEEPALIVE is awaited.
    OpenConfirm,
    /// Routes may flow.
    Established,
    /// Over: nothing but what is left in `poll_transmit` goes out.
    Closed,
}

/// What a session has to say to its owner.
#[derive(Debug)]
pub enum Event {
    /// The peer's OPEN is acceptable: now is the time to look for collisions (RFC 4271 §6.8).
    Opened,
    /// The session is established.
    Established,
    /// Routes.
    Update(Update),
    /// The peer asks for all routes of a family again (RFC 2918).
    Refresh(Family),
    /// The peer is about to send all routes of a family again (BoRR, RFC 7313 §4).
    RefreshBegins(Family),
    /// It has done so (EoRR).
    RefreshEnds(Family),
    /// The session is over; the last event.
    Down(DownReason),
}

/// Why a session is over.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DownReason {
    /// We sent a NOTIFICATION, for the reason in words.
    Sent(Notification, String),
    /// The peer sent one.
    Received(Notification),
    /// The TCP connection is gone, without a NOTIFICATION.
    Disconnected,
    /// The peer takes no bytes any more (RFC 9687).
    SendHoldExpired,
    /// The peer opened a new session while this one seemed to be up: it has restarted (RFC 4724 §5).
    Replaced,
}

impl fmt::Display for DownReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Sent(_, reason) => f.write_str(reason),
            Self::Received(received) => write!(f, "peer sent {}", notification::Described(received)),
            Self::Disconnected => f.write_str("connection closed by the peer or the network"),
            Self::SendHoldExpired => f.write_str("peer takes no data (send hold time expired)"),
            Self::Replaced => f.write_str("peer opened a new session: it has restarted"),
        }
    }
}

/// The OPEN messages of a session, as they went over the wire.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Opens {
    /// Ours.
    pub sent: Bytes,
    /// The peer's.
    pub received: Bytes,
}

/// One BGP connection.
#[derive(Debug)]
pub struct Session {
    config: SessionConfig,
    state: State,
    input: BytesMut,
    output: VecDeque<Bytes>,
    events: VecDeque<Event>,
    /// How messages are read and written: the plain form until the OPENs have been exchanged.
    context: Context,
    negotiated: Option<Negotiated>,
    /// The peer's OPEN as it came.
    received_open: Bytes,
    hold: Option<Instant>,
    keepalive: Option<Instant>,
    /// When a peer that takes no bytes is given up; counts while it takes none.
    send_hold: Option<Instant>,
    /// Bytes have been taken since that was last looked at.
    progress: bool,
    counters: Counters,
}

impl Session {
    /// A session over a TCP connection that has just come up, in either direction. Our OPEN is ready to be sent.
    #[must_use]
    pub fn new(config: SessionConfig, now: Instant) -> Self {
        let mut session = Self {
            state: State::OpenSent,
            input: BytesMut::new(),
            output: VecDeque::new(),
            events: VecDeque::new(),
            context: Context::default(),
            negotiated: None,
            received_open: Bytes::new(),
            hold: Some(now + OPEN_WAIT),
            keepalive: None,
            send_hold: None,
            progress: false,
            counters: Counters::default(),
            config,
        };
        session.send(&Message::Open(session.config.open()));
        session
    }

    /// Takes bytes from the peer, cut anywhere.
    pub fn receive(&mut self, bytes: &[u8], now: Instant) {
        if self.state == State::Closed {
            return;
        }
        self.input.extend_from_slice(bytes);
        while self.state != State::Closed {
            let max_length = self.max_receive_length();
            match message::frame(&mut self.input, max_length) {
                Ok(Some(frame)) => self.receive_frame(frame, now),
                Ok(None) => return,
                Err(error) => self.reset(error),
            }
        }
    }

    /// Does what is due at `now`.
    pub fn timeout(&mut self, now: Instant) {
        if self.state == State::Closed {
            return;
        }
        if self.hold.is_some_and(|at| at <= now) {
            return self.fail(notification::hold_timer_expired(), "hold time expired".to_owned());
        }
        if self.send_hold.is_some_and(|at| at <= now) {
            self.send_hold_due();
        }
        if self.keepalive.is_some_and(|at| at <= now) {
            self.keepalive_due(now);
        }
    }

    /// Ends the session with a NOTIFICATION.
    pub fn stop(&mut self, notification: Notification, reason: String) {
        if self.state != State::Closed {
            // A KEEPALIVE that has not gone out yet would confirm, for an instant, a session that is to end.
            let waiting = self.output.len();
            self.output.retain(|message| message.len() > HEADER_LENGTH);
            self.counters.sent.keepalives -= (waiting - self.output.len()) as u64;
            self.fail(notification, reason);
        }
    }

    /// Ends the session without a word: the connection is gone, or is to look as if it were.
    pub fn abandon(&mut self, reason: DownReason) {
        if self.state != State::Closed {
            self.output.clear();
            self.close(reason);
        }
    }

    /// The next bytes for the peer, except UPDATEs: those are the owner's, see [`Self::sent`].
    pub fn poll_transmit(&mut self) -> Option<Bytes> {
        let bytes = self.output.pop_front()?;
        self.progress = true;
        Some(bytes)
    }

    /// Whether [`Self::poll_transmit`] has something.
    #[must_use]
    pub fn wants_write(&self) -> bool {
        !self.output.is_empty()
    }

    /// The owner has sent a message that is not from [`Self::poll_transmit`]: an UPDATE, or a mark of a refresh.
    pub fn sent(&mut self, message: &[u8]) {
        self.progress = true;
        self.counters.sent.count_encoded(message);
    }

    /// When to call [`Self::timeout`].
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Instant> {
        [self.hold, self.keepalive, self.send_hold].into_iter().flatten().min()
    }

    /// The next event.
    pub fn poll_event(&mut self) -> Option<Event> {
        self.events.pop_front()
    }

    /// The state.
    #[must_use]
    pub fn state(&self) -> State {
        self.state
    }

    /// What the OPENs agree on, once they do.
    #[must_use]
    pub fn negotiated(&self) -> Option<&Negotiated> {
        self.negotiated.as_ref()
    }

    /// Both OPENs, once they agree.
    #[must_use]
    pub fn opens(&self) -> Option<Opens> {
        self.negotiated.as_ref()?;
        let sent = Message::Open(self.config.open()).encode(&Context::default());
        Some(Opens { sent, received: self.received_open.clone() })
    }

    /// How UPDATEs for this peer are written.
    #[must_use]
    pub fn context(&self) -> &Context {
        &self.context
    }

    /// Messages sent and received.
    #[must_use]
    pub fn counters(&self) -> Counters {
        self.counters
    }

    fn receive_frame(&mut self, frame: Frame, now: Instant) {
        if self.state == State::OpenSent && frame.kind == kind::OPEN {
            self.received_open = frame.encode();
        }
        let message = match Message::decode(frame, &self.context) {
            Ok(message) => message,
            Err(error) => return self.reset(error),
        };
        self.counters.received.count(&message);
        match (self.state, message) {
            (_, Message::Notification(received)) => self.close(DownReason::Received(received)),
            (State::OpenSent, Message::Open(open)) => self.receive_open(&open, now),
            (State::OpenConfirm, Message::Keepalive) => {
                self.state = State::Established;
                self.restart_hold(now);
                self.events.push_back(Event::Established);
            }
            (State::Established, Message::Keepalive) => self.restart_hold(now),
            (State::Established, Message::Update(update)) => {
                self.restart_hold(now);
                self.events.push_back(Event::Update(update));
            }
            (State::Established, Message::RouteRefresh(family, subtype)) => {
                self.receive_refresh(family, subtype);
            }
            (state, message) => self.unexpected(state, &message),
        }
    }

    fn receive_open(&mut self, open: &Open, now: Instant) {
        let negotiated = match self.config.negotiate(open) {
            Ok(negotiated) => negotiated,
            Err(error) => return self.reset(error),
        };
        self.send(&Message::Keepalive);
        self.context = negotiated.context(&self.config);
        // RFC 4271 §4.2 and §4.4: zero turns both timers off; otherwise a keepalive every third of the hold time.
        let hold_time = Duration::from_secs(u64::from(negotiated.hold_time));
        self.keepalive = (!hold_time.is_zero()).then(|| now + hold_time / 3);
        self.negotiated = Some(negotiated);
        // Without a hold time nothing else would end the wait for the first KEEPALIVE.
        self.hold = Some(now + if hold_time.is_zero() { OPEN_WAIT } else { hold_time });
        self.state = State::OpenConfirm;
        self.events.push_back(Event::Opened);
    }

    /// RFC 2918 §4: a family that was not negotiated is ignored. So are unknown subtypes, and those that were not
    /// agreed on (RFC 7313 §5).
    fn receive_refresh(&mut self, family: Family, subtype: u8) {
        let enhanced = self.negotiated.as_ref().is_some_and(|negotiated| negotiated.enhanced_route_refresh);
        let event = match subtype {
            refresh::REQUEST => Event::Refresh(family),
            refresh::BEGIN if enhanced => Event::RefreshBegins(family),
            refresh::END if enhanced => Event::RefreshEnds(family),
            _ => return,
        };
        if self.context.families.contains(&family) {
            self.events.push_back(event);
        }
    }

    /// RFC 4271 §6.6, with the subcodes of RFC 6608 §3.
    fn unexpected(&mut self, state: State, message: &Message) {
        let kind = match message {
            Message::Open(_) => "OPEN",
            Message::Update(_) => "UPDATE",
            Message::Notification(_) => "NOTIFICATION",
            Message::Keepalive => "KEEPALIVE",
            Message::RouteRefresh(..) => "ROUTE-REFRESH",
        };
        self.fail(notification::fsm_error(state, message), format!("unexpected {kind} in state {state:?}"));
    }

    fn keepalive_due(&mut self, now: Instant) {
        let hold_time = self.hold_time();
        self.keepalive = Some(now + hold_time / 3);
        let progress = std::mem::take(&mut self.progress);
        if self.output.is_empty() || progress {
            self.send_hold = None;
        } else if self.send_hold.is_none() {
            self.send_hold = Some(now + SEND_HOLD_MIN.max(hold_time * 2));
        }
        // One that waits says all that a second one would.
        if self.output.is_empty() {
            self.send(&Message::Keepalive);
        }
    }

    /// RFC 9687 §3.2: a peer that keeps sending but takes nothing would hold its stale routes for ever.
    fn send_hold_due(&mut self) {
        self.send_hold = None;
        if !std::mem::take(&mut self.progress) {
            self.abandon(DownReason::SendHoldExpired);
        }
    }

    fn restart_hold(&mut self, now: Instant) {
        let hold_time = self.hold_time();
        self.hold = (!hold_time.is_zero()).then(|| now + hold_time);
    }

    fn hold_time(&self) -> Duration {
        Duration::from_secs(self.negotiated.as_ref().map_or(0, |negotiated| negotiated.hold_time.into()))
    }

    fn max_receive_length(&self) -> usize {
        // RFC 8654 §4: having advertised the capability, we take long messages once the OPENs are exchanged.
        if self.state == State::OpenSent { MAX_LENGTH } else { MAX_EXTENDED_LENGTH }
    }

    fn reset(&mut self, error: MessageError) {
        let reason = error.to_string();
        self.fail(error.into(), reason);
    }

    fn fail(&mut self, notification: Notification, reason: String) {
        self.send(&Message::Notification(notification.clone()));
        self.close(DownReason::Sent(notification, reason));
    }

    fn close(&mut self, reason: DownReason) {
        self.state = State::Closed;
        self.input = BytesMut::new();
        self.hold = None;
        self.keepalive = None;
        self.send_hold = None;
        self.events.push_back(Event::Down(reason));
    }

    fn send(&mut self, message: &Message) {
        self.counters.sent.count(message);
        self.output.push_back(message.encode(&self.context));
    }
}
