//! What keeps an agent from starting.

use std::io;

use super::capabilities::CapabilityError;
use super::claim::ClaimError;
use crate::api::{BindError, TokenError};
use crate::config::AddressError;
use crate::dataplane::DataplaneError;
use crate::peer::{ListenError, ProtectionError};
use crate::store::StoreError;
use crate::vpn::RestoreError;

/// What keeps an agent from starting; each names the thing, the cause and the remedy.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// The local address.
    #[error(transparent)]
    Address(#[from] AddressError),
    /// Capabilities.
    #[error(transparent)]
    Capability(#[from] CapabilityError),
    /// The pinned maps.
    #[error(transparent)]
    Claim(#[from] ClaimError),
    /// The state directory.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The stored attachments.
    #[error(transparent)]
    Restore(#[from] RestoreError),
    /// Programs, maps or netlink.
    #[error(transparent)]
    Dataplane(#[from] DataplaneError),
    /// What the kernel can't do for connections.
    #[error(transparent)]
    Protection(#[from] ProtectionError),
    /// A BGP listener.
    #[error(transparent)]
    Listen(#[from] ListenError),
    /// An API listener.
    #[error(transparent)]
    Bind(#[from] BindError),
    /// The token of the API.
    #[error(transparent)]
    Token(#[from] TokenError),
    /// Signals.
    #[error("cannot wait for signals: {0}")]
    Signal(io::Error),
}
