//! Capabilities (RFC 5492).

use bytes::Bytes;

use crate::types::{Asn, Family};

/// A capability of an OPEN message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Capability {
    /// Code 1: a family (RFC 4760 §8).
    Multiprotocol(Family),
    /// Code 2: route refresh (RFC 2918).
    RouteRefresh,
    /// Code 6: messages of up to 65,535 octets (RFC 8654).
    ExtendedMessage,
    /// Code 64: graceful restart (RFC 4724 §3).
    GracefulRestart {
        /// The speaker has restarted (R bit).
        restarting: bool,
        /// A NOTIFICATION keeps routes too (N bit, RFC 8538 §2).
        notification: bool,
        /// Seconds for which routes are to be kept, 12 bits.
        time: u16,
        /// Families, and whether forwarding state was preserved (F bit).
        families: Vec<(Family, bool)>,
    },
    /// Code 65: four-octet AS numbers (RFC 6793).
    FourOctetAs(Asn),
    /// Any other capability, as it is.
    Unknown {
        /// Capability code.
        code: u8,
        /// Capability value.
        value: Bytes,
    },
}
