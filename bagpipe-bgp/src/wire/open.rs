//! OPEN (RFC 4271 §4.2, RFC 5492, RFC 9072).

use super::Capability;
use crate::types::{Asn, RouterId};

/// An OPEN message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Open {
    /// The speaker's AS: from the four-octet AS capability if it is there (RFC 6793), else from the fixed field.
    pub asn: Asn,
    /// Proposed hold time in seconds: 0, or at least 3.
    pub hold_time: u16,
    /// BGP identifier.
    pub router_id: RouterId,
    /// Capabilities, in order.
    pub capabilities: Vec<Capability>,
}
