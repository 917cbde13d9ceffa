//! What can be wrong with a message, and what is to be done about it.

use bytes::Bytes;
use serde::Serialize;

use super::text::hex;

/// Error codes of NOTIFICATION (RFC 4271 §4.5, RFC 7313 §5).
pub mod code {
    /// Message Header Error.
    pub const HEADER: u8 = 1;
    /// OPEN Message Error.
    pub const OPEN: u8 = 2;
    /// UPDATE Message Error.
    pub const UPDATE: u8 = 3;
    /// Hold Timer Expired.
    pub const HOLD_TIMER: u8 = 4;
    /// Finite State Machine Error.
    pub const FSM: u8 = 5;
    /// Cease.
    pub const CEASE: u8 = 6;
    /// ROUTE-REFRESH Message Error.
    pub const ROUTE_REFRESH: u8 = 7;
}

/// What RFC 7606 §2 says to do about an error in an UPDATE, weakest first: when there are several errors, the
/// strongest action is taken (RFC 7606 §3 (h)).
///
/// Where the RFC leaves the choice between "AFI/SAFI disable" and "session reset", the session is reset: a
/// family that stays silently disabled is worse for its users than a session that says why it went down.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Action {
    /// Drop the attribute or the single NLRI, and use the rest.
    Discard,
    /// Treat the routes of the UPDATE as withdrawn.
    TreatAsWithdraw,
    /// Send a NOTIFICATION and close the session.
    ResetSession,
}

/// An error in an UPDATE.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error, Serialize)]
#[error("{reason}")]
pub struct UpdateError {
    /// What to do about it.
    pub action: Action,
    /// The attribute in which it was found.
    pub attribute: Option<u8>,
    /// UPDATE Message Error subcode (RFC 4271 §6.3), for the log and for a NOTIFICATION.
    pub subcode: u8,
    /// The offending bytes.
    #[serde(serialize_with = "hex")]
    pub data: Bytes,
    /// What is wrong, and the section that says so.
    pub reason: String,
}

impl From<UpdateError> for MessageError {
    fn from(error: UpdateError) -> Self {
        Self { code: code::UPDATE, subcode: error.subcode, data: error.data, reason: error.reason }
    }
}

/// An error for which a session is closed with a NOTIFICATION (RFC 4271 §6).
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error, Serialize)]
#[error("{reason} (NOTIFICATION {code}/{subcode})")]
pub struct MessageError {
    /// Error code (RFC 4271 §4.5).
    pub code: u8,
    /// Error subcode.
    pub subcode: u8,
    /// Data field of the NOTIFICATION.
    #[serde(serialize_with = "hex")]
    pub data: Bytes,
    /// What is wrong, for the log.
    pub reason: String,
}

impl MessageError {
    pub(super) fn new(code: u8, subcode: u8, data: impl Into<Bytes>, reason: impl Into<String>) -> Self {
        Self { code, subcode, data: data.into(), reason: reason.into() }
    }
}
