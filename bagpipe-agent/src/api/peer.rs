//! What operators can do: to a BGP peer, and to a MAC address.

use std::net::IpAddr;

use bagpipe_bgp::types::MacAddr;
use serde::{Deserialize, Serialize};

/// `POST /v1/macs/release`: a MAC address that is frozen may move again.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MacRequest {
    /// Name of the VPN instance.
    pub vpn_instance_id: String,
    /// The MAC address.
    pub mac_address: MacAddr,
}

/// `POST /v1/peers/ACTION`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PeerRequest {
    /// Address of the peer.
    pub address: IpAddr,
    /// Words for its operator (RFC 9003).
    #[serde(default)]
    pub message: String,
}

/// What is to be done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PeerAction {
    /// End the session, and keep the peer away.
    Shutdown,
    /// End the session, for it to begin again.
    Reset,
    /// Let a peer come back that is kept away.
    Enable,
}

impl PeerAction {
    /// The action of a path.
    pub(super) fn named(name: &str) -> Option<Self> {
        match name {
            "shutdown" => Some(Self::Shutdown),
            "reset" => Some(Self::Reset),
            "enable" => Some(Self::Enable),
            _ => None,
        }
    }
}
