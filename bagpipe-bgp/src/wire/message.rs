//! The message header (RFC 4271 §4.1), and messages of all types.

use bytes::Bytes;

use super::{Open, Update};
use crate::types::Family;

/// Octets of the header: marker, length, type.
pub const HEADER_LENGTH: usize = 19;
/// Largest message without the extended message capability (RFC 4271 §4.1).
pub const MAX_LENGTH: usize = 4_096;
/// Largest message with it (RFC 8654 §3).
pub const MAX_EXTENDED_LENGTH: usize = 65_535;

/// A message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Message {
    /// Type 1.
    Open(Open),
    /// Type 2.
    Update(Update),
    /// Type 3.
    Notification(Notification),
    /// Type 4.
    Keepalive,
    /// Type 5 (RFC 2918, RFC 7313): family, and the subtype in the reserved octet.
    RouteRefresh(Family, u8),
}

/// A NOTIFICATION (RFC 4271 §4.5).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Notification {
    /// Error code.
    pub code: u8,
    /// Error subcode.
    pub subcode: u8,
    /// Data.
    pub data: Bytes,
}

/// What a session has negotiated that messages depend on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Context {
    /// AS numbers have four octets (RFC 6793).
    pub four_octet_as: bool,
    /// Largest message: [`MAX_LENGTH`] or [`MAX_EXTENDED_LENGTH`].
    pub max_length: usize,
    /// The session is internal (iBGP).
    pub internal: bool,
    /// Negotiated families.
    pub families: Vec<Family>,
}

impl Default for Context {
    fn default() -> Self {
        Self { four_octet_as: false, max_length: MAX_LENGTH, internal: true, families: Vec::new() }
    }
}
