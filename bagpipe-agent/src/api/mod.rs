//! The REST API: bagpipe-bgp's `ping`, `attach_localport` and `detach_localport`, and what the command line reads.
//!
//! The server knows HTTP; what a call means is decided by the one who owns the engine, through a channel of
//! [`Request`]s.

mod access;
mod failure;
mod looking_glass;
mod monitor;
mod network;
mod page;
mod peer;
mod routes;
mod server;
mod service;
#[cfg(test)]
mod tests;

use std::net::IpAddr;

use bytes::Bytes;
use serde::Deserialize;
use tokio::sync::{mpsc, oneshot};

pub use access::{Token, TokenError};
#[cfg(test)]
pub(crate) use monitor::feed;
pub use monitor::{Feed, Lines, Topic};
pub use network::{NetworkAction, NetworkRequest};
pub use peer::{MacRequest, PeerAction, PeerRequest};
pub use routes::{Direction, RouteQuestion, RoutesRequest};
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
    /// Read the configuration file again, and take over what has changed.
    Reload,
    /// Let a frozen MAC address move again.
    ReleaseMac(MacRequest),
    /// Do something to a named network.
    Network(NetworkAction, NetworkRequest),
    /// Show something.
    View(View),
    /// Show some of the BGP routes.
    Routes(RoutesRequest),
    /// Say why packets go where they go.
    Explain(ExplainRequest),
    /// Say what became of a route.
    ExplainRoute(RouteQuestion),
    /// Tell of everything that happens from now on.
    Monitor(Topic, Feed),
    /// Show a part of the looking glass; what is refused is not there.
    Look(LookRequest),
}

/// A part of the looking glass.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LookRequest {
    /// The names on the way from the root.
    pub path: Vec<String>,
    /// Address of the root, for links.
    pub root: String,
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
    /// Named networks.
    Networks,
    /// The configuration with its defaults.
    Config,
    /// Where the maps differ from what they should be.
    Verify,
    /// Counters for Prometheus.
    Metrics,
}

impl View {
    /// The views under `/v1/`.
    pub const NAMED: [(&'static str, Self); 14] = [
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
        ("networks", Self::Networks),
        ("config", Self::Config),
        ("verify", Self::Verify),
    ];

    /// The view of a name.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        Self::NAMED.iter().find(|(candidate, _)| *candidate == name).map(|(_, view)| *view)
    }
}
