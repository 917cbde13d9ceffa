//! The REST API: bagpipe-bgp's `ping`, `attach_localport` and `detach_localport`, and what the command line reads.
//!
//! The server knows HTTP; what a call means is decided by the one who owns the engine, through a channel of
//! [`Request`]s.

mod failure;
mod peer;
mod server;
mod service;
#[cfg(test)]
mod tests;

use std::net::IpAddr;

use bytes::Bytes;
use serde::Deserialize;
use tokio::sync::{mpsc, oneshot};

pub use peer::{MacRequest, PeerAction, PeerRequest};
pub use server::{BindError, Limits, Listener};
pub use service::{Role, Service};

use crate::vpn::request::{AttachRequest, DetachRequest};

/// A call, and where its answer goes.
#[derive(Debug)]
pub struct Request {
    /// What is asked.
    pub call: Call,
    /// Where the answer goes; nobody waits for it any more if the client has gone.
    pub reply: oneshot::Sender<Answer>,
}

/// What is asked.
#[derive(Debug)]
pub enum Call {
    /// Attach a port: all of these or none.
    Attach(Vec<AttachRequest>),
    /// Detach a port: all of these or none.
    Detach(Vec<DetachRequest>),
    /// Do something to a BGP peer.
    Peer(PeerAction, PeerRequest),
    /// Let a frozen MAC address move again.
    ReleaseMac(MacRequest),
    /// Show something.
    View(View),
    /// Say why packets go where they go.
    Explain(ExplainRequest),
}

/// A question for the way of packets.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct ExplainRequest {
    /// Name of the instance that they come from.
    pub vpn_instance_id: String,
    /// Where they go.
    pub ip_address: IpAddr,
}

/// The body of a success, or why there is none.
pub type Answer = Result<Bytes, Refused>;

/// Where calls are sent.
pub type Requests = mpsc::Sender<Request>;

/// A request that cannot be granted: its field, value and remedy, in a text.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Refused(pub String);

/// What can be shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum View {
    /// The agent as a whole.
    Status,
    /// BGP peers.
    Peers,
    /// VPN instances.
    Vpns,
    /// Attached ports.
    Ports,
    /// BGP routes.
    Routes,
    /// MAC addresses and where they are.
    Fdb,
    /// IP addresses and their MAC addresses.
    Neighbors,
    /// IP prefixes and where they are.
    Prefixes,
    /// Labels of this node.
    Labels,
    /// Remote endpoints and how they are reached.
    Nexthops,
    /// Route target memberships.
    Rtc,
    /// The configuration with its defaults.
    Config,
    /// Where the maps differ from what they should be.
    Verify,
    /// Counters for Prometheus.
    Metrics,
}

impl View {
    /// The views under `/v1/`.
    pub const NAMED: [(&'static str, Self); 13] = [
        ("status", Self::Status),
        ("peers", Self::Peers),
        ("vpns", Self::Vpns),
        ("ports", Self::Ports),
        ("routes", Self::Routes),
        ("fdb", Self::Fdb),
        ("neighbors", Self::Neighbors),
        ("prefixes", Self::Prefixes),
        ("labels", Self::Labels),
        ("nexthops", Self::Nexthops),
        ("rtc", Self::Rtc),
        ("config", Self::Config),
        ("verify", Self::Verify),
    ];

    /// The view of a name.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        Self::NAMED.iter().find(|(candidate, _)| *candidate == name).map(|(_, view)| *view)
    }
}
