//! `POST /v1/routes`: which BGP routes to show; `POST /v1/explain-route`: which one to explain.

use std::net::IpAddr;

use bagpipe_bgp::types::{Family, RouteTarget};
use serde::{Deserialize, Serialize};

/// What routes have to be like to be shown; what is left out does not count.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct RoutesRequest {
    /// Their family: `evpn`, `vpnv4`, `vpnv6` or `rtc`.
    pub family: Option<Family>,
    /// A route target that they have.
    pub route_target: Option<RouteTarget>,
    /// Name of a VPN instance that imports them.
    pub imported_by: Option<String>,
    /// The peer that they came from, or go to.
    pub peer: Option<IpAddr>,
    /// Whether they came in or went out; without, our own are shown as well.
    pub direction: Option<Direction>,
}

/// Which way routes go.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Direction {
    /// Received: Adj-RIB-In.
    In,
    /// Sent: Adj-RIB-Out.
    Out,
}

/// A question for what became of a route.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct RouteQuestion {
    /// The route as `show routes` prints it, or what its text begins with.
    pub route: String,
}
