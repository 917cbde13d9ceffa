//! The state of all attachments as it is stored, so that after a restart the same identifiers, and so the same
//! routes and the same forwarding state, come out.

use std::collections::BTreeSet;
use std::net::IpAddr;

use bagpipe_bgp::types::{MacAddr, RouteTarget, Vni};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::fib::{PortId, VpnId};

/// All attachments and identifiers.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Snapshot {
    /// Where the search for free identifiers goes on.
    pub next: NextNumbers,
    /// The instances, by number.
    pub vpns: Vec<StoredVpn>,
}

/// Where the search for free identifiers goes on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct NextNumbers {
    /// Of instances.
    pub vpn: u32,
    /// Of ports.
    pub port: u32,
    /// VNIs.
    pub vni: u32,
}

/// A VPN instance.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct StoredVpn {
    /// Its name.
    pub name: String,
    /// Its number.
    pub number: VpnId,
    /// Its VNI.
    pub vni: Vni,
    /// Route targets that it imports.
    pub import: BTreeSet<RouteTarget>,
    /// Route targets that it exports.
    pub export: BTreeSet<RouteTarget>,
    /// Its gateway.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub gateway: Option<IpAddr>,
    /// Its description.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub description: Option<Value>,
    /// Its ports, by number.
    pub ports: Vec<StoredPort>,
}

/// A port.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct StoredPort {
    /// Its number.
    pub number: PortId,
    /// Its interface.
    pub interface: String,
    /// The MAC addresses on it, in order.
    pub macs: Vec<StoredMac>,
}

/// A MAC address of a port.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct StoredMac {
    /// The MAC address.
    pub mac: MacAddr,
    /// Its IP addresses; any, if there are none.
    pub ips: BTreeSet<IpAddr>,
    /// Its sequence number (RFC 7432 §7.7).
    pub sequence: u32,
    /// Its description.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub description: Option<Value>,
}
