//! The NOTIFICATIONs that sessions send, and what those of peers mean in words.

use std::fmt;

use bytes::{BufMut, Bytes, BytesMut};

use super::State;
use crate::types::Family;
use crate::wire::error::code;
use crate::wire::message::kind;
use crate::wire::{Message, Notification};

/// Subcodes of OPEN Message Error (RFC 4271 §6.2) that depend on both sides; the decoder has the others.
pub mod open_error {
    /// Bad Peer AS.
    pub const BAD_PEER_AS: u8 = 2;
    /// Bad BGP Identifier.
    pub const BAD_IDENTIFIER: u8 = 3;
    /// Unsupported Capability (RFC 5492 §5).
    pub const UNSUPPORTED_CAPABILITY: u8 = 7;
}

/// Why a session is ended that has done nothing against the protocol (RFC 4486 §3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cease<'a> {
    /// More routes of a family than the peer may announce, which are so many.
    MaximumPrefixes(Family, u32),
    /// Stopped by an administrator, whose words these are (RFC 9003).
    AdministrativeShutdown(&'a str),
    /// No longer configured.
    PeerDeconfigured,
    /// Ended by an administrator, to begin again.
    AdministrativeReset(&'a str),
    /// The other of two connections is kept.
    ConnectionCollision,
}

impl Cease<'_> {
    const fn subcode(self) -> u8 {
        match self {
            Self::MaximumPrefixes(..) => 1,
            Self::AdministrativeShutdown(_) => 2,
            Self::PeerDeconfigured => 3,
            Self::AdministrativeReset(_) => 4,
            Self::ConnectionCollision => 7,
        }
    }

    fn data(self) -> Bytes {
        match self {
            // RFC 4486 §4
            Self::MaximumPrefixes(family, limit) => {
                let mut data = BytesMut::with_capacity(7);
                data.put_u16(family.afi);
                data.put_u8(family.safi);
                data.put_u32(limit);
                data.freeze()
            }
            Self::AdministrativeShutdown(words) | Self::AdministrativeReset(words) => communication(words),
            Self::PeerDeconfigured | Self::ConnectionCollision => Bytes::new(),
        }
    }
}

/// Subcode of Cease: drop the routes in spite of graceful restart (RFC 8538 §3.1).
const HARD_RESET: u8 = 9;

/// A Cease.
#[must_use]
pub fn cease(cease: Cease<'_>) -> Notification {
    Notification { code: code::CEASE, subcode: cease.subcode(), data: cease.data() }
}

/// A Cease that ends graceful restart as well: the reason is wrapped in its data (RFC 8538 §3.1).
#[must_use]
pub fn hard_reset(cease: Cease<'_>) -> Notification {
    let mut data = BytesMut::new();
    data.put_u8(code::CEASE);
    data.put_u8(cease.subcode());
    data.put_slice(&cease.data());
    Notification { code: code::CEASE, subcode: HARD_RESET, data: data.freeze() }
}

/// The Shutdown Communication field: a length and as much UTF-8 as it can describe (RFC 9003 §2).
fn communication(words: &str) -> Bytes {
    if words.is_empty() {
        return Bytes::new();
    }
    let words = words.get(..words.floor_char_boundary(u8::MAX.into())).unwrap_or_default();
    let mut data = BytesMut::with_capacity(1 + words.len());
    data.put_u8(u8::try_from(words.len()).unwrap_or(u8::MAX));
    data.put_slice(words.as_bytes());
    data.freeze()
}

/// Whether graceful restart does not apply to what this NOTIFICATION ends (RFC 8538 §3.1).
#[must_use]
pub fn is_hard_reset(notification: &Notification) -> bool {
    notification.code == code::CEASE && notification.subcode == HARD_RESET
}

/// Hold Timer Expired (RFC 4271 §6.5).
#[must_use]
pub fn hold_timer_expired() -> Notification {
    Notification { code: code::HOLD_TIMER, subcode: 0, data: Bytes::new() }
}

/// Finite State Machine Error (RFC 4271 §6.6); the data is the type of the message (RFC 6608 §4).
#[must_use]
pub fn fsm_error(state: State, message: &Message) -> Notification {
    let subcode = match state {
        State::OpenSent => 1,
        State::OpenConfirm => 2,
        State::Established => 3,
        State::Closed => 0,
    };
    let kind = match message {
        Message::Open(_) => kind::OPEN,
        Message::Update(_) => kind::UPDATE,
        Message::Notification(_) => kind::NOTIFICATION,
        Message::Keepalive => kind::KEEPALIVE,
        Message::RouteRefresh(..) => kind::ROUTE_REFRESH,
    };
    Notification { code: code::FSM, subcode, data: Bytes::copy_from_slice(&[kind]) }
}

/// A NOTIFICATION in words: its codes, their names and, for a shutdown, the peer's own words (RFC 9003).
pub struct Described<'a>(pub &'a Notification);

impl fmt::Display for Described<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Notification { code, subcode, data } = self.0;
        write!(f, "NOTIFICATION {code}/{subcode} ({}", name(*code, *subcode))?;
        match (code, subcode, &data[..]) {
            (6, 9, [code, rest @ ..]) => {
                let (subcode, data) = rest.split_first().unwrap_or((&0, &[]));
                write!(f, ": {code}/{subcode} {}", name(*code, *subcode))?;
                write_data(f, *code, *subcode, data)?;
            }
            (_, _, data) => write_data(f, *code, *subcode, data)?,
        }
        f.write_str(")")
    }
}

/// What the data says: which limit was exceeded, or the peer's own words, with nothing in them that a terminal or a log would take for more than text.
fn write_data(f: &mut fmt::Formatter<'_>, code: u8, subcode: u8, data: &[u8]) -> fmt::Result {
    match (code, subcode, data) {
        (6, 1, [high, low, safi, limit @ ..]) => {
            let family = Family { afi: u16::from_be_bytes([*high, *low]), safi: *safi };
            write!(f, " of {family}")?;
            match limit {
                [a, b, c, d] => write!(f, ": {}", u32::from_be_bytes([*a, *b, *c, *d])),
                _ => Ok(()),
            }
        }
        (6, 2 | 4, [length, rest @ ..]) if *length > 0 => {
            // RFC 9003 §4: a length that is wrong is no reason to lose the words.
            let text = rest.get(..usize::from(*length)).unwrap_or(rest);
            write!(f, ": \"{}\"", String::from_utf8_lossy(text).escape_debug())
        }
        _ => Ok(()),
    }
}

/// IANA registry "BGP Error Codes and Subcodes".
fn name(code: u8, subcode: u8) -> &'static str {
    match (code, subcode) {
        (1, 1) => "message header error, connection not synchronized",
        (1, 2) => "message header error, bad message length",
        (1, 3) => "message header error, bad message type",
        (1, _) => "message header error",
        (2, 1) => "OPEN error, unsupported version number",
        (2, 2) => "OPEN error, bad peer AS",
        (2, 3) => "OPEN error, bad BGP identifier",
        (2, 4) => "OPEN error, unsupported optional parameter",
        (2, 6) => "OPEN error, unacceptable hold time",
        (2, 7) => "OPEN error, unsupported capability",
        (2, 11) => "OPEN error, role mismatch",
        (2, _) => "OPEN error",
        (3, 1) => "UPDATE error, malformed attribute list",
        (3, 2) => "UPDATE error, unrecognized well-known attribute",
        (3, 3) => "UPDATE error, missing well-known attribute",
        (3, 4) => "UPDATE error, attribute flags",
        (3, 5) => "UPDATE error, attribute length",
        (3, 6) => "UPDATE error, invalid ORIGIN",
        (3, 8) => "UPDATE error, invalid NEXT_HOP",
        (3, 9) => "UPDATE error, optional attribute",
        (3, 10) => "UPDATE error, invalid network field",
        (3, 11) => "UPDATE error, malformed AS_PATH",
        (3, _) => "UPDATE error",
        (4, _) => "hold timer expired",
        (5, 1) => "finite state machine error, unexpected message in OpenSent",
        (5, 2) => "finite state machine error, unexpected message in OpenConfirm",
        (5, 3) => "finite state machine error, unexpected message in Established",
        (5, _) => "finite state machine error",
        (6, 1) => "cease, maximum number of prefixes reached",
        (6, 2) => "cease, administrative shutdown",
        (6, 3) => "cease, peer de-configured",
        (6, 4) => "cease, administrative reset",
        (6, 5) => "cease, connection rejected",
        (6, 6) => "cease, other configuration change",
        (6, 7) => "cease, connection collision resolution",
        (6, 8) => "cease, out of resources",
        (6, 9) => "cease, hard reset",
        (6, 10) => "cease, BFD down",
        (6, _) => "cease",
        (7, _) => "ROUTE-REFRESH error",
        (8, _) => "send hold timer expired",
        _ => "unknown error",
    }
}
