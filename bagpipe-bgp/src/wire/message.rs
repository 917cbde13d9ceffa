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
