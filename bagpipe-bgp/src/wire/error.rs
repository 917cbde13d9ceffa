//! What can be wrong with a message, and what is to be done about it.

use bytes::Bytes;

use crate::types::Family;

/// What RFC 7606 §2 says to do about an error in an UPDATE, weakest first: when there are several errors, the
/// strongest action is taken (RFC 7606 §3 (h)).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Action {
    /// Drop the attribute or the single NLRI, and use the rest.
    Discard,
    /// Treat the routes of the UPDATE as withdrawn.
    TreatAsWithdraw,
    /// Stop using the family on this session.
    DisableFamily(Family),
    /// Send a NOTIFICATION and close the session.
    ResetSession,
}

/// An error in an UPDATE.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{reason}")]
pub struct UpdateError {
    /// What to do about it.
    pub action: Action,
    /// The attribute in which it was found.
    pub attribute: Option<u8>,
    /// UPDATE Message Error subcode (RFC 4271 §6.3), for the log and for a NOTIFICATION.
    pub subcode: u8,
    /// The offending bytes.
    pub data: Bytes,
    /// What is wrong, and the section that says so.
    pub reason: String,
}

/// An error for which a session is closed with a NOTIFICATION (RFC 4271 §6).
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{reason} (NOTIFICATION {code}/{subcode})")]
pub struct MessageError {
    /// Error code (RFC 4271 §4.5).
    pub code: u8,
    /// Error subcode.
    pub subcode: u8,
    /// Data field of the NOTIFICATION.
    pub data: Bytes,
    /// What is wrong, for the log.
    pub reason: String,
}
