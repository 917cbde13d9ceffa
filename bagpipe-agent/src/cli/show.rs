//! `bagpipe status` and `bagpipe show`.

use clap::ValueEnum;
use serde_json::Value;

use super::client::Client;
use super::table::{Column, render, render_one};
use super::{Failure, Format, print, print_json};

/// What can be shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum What {
    /// BGP peers
    Peers,
    /// VPN instances
    Vpns,
    /// Attached ports
    Ports,
    /// BGP routes, received and our own
    Routes,
    /// MAC addresses and where frames for them go
    Fdb,
    /// IP addresses that are answered for, and their MAC addresses
    Neighbors,
    /// Remote tunnel endpoints and how they are reached
    Nexthops,
    /// Route target memberships (RFC 4684)
    Rtc,
    /// The configuration, with defaults
    Config,
}

impl What {
    /// The agent's name for it, and the columns of its table.
    pub(super) const fn view(self) -> (&'static str, &'static [Column]) {
        match self {
            Self::Peers => (
                "peers",
                &[
                    ("PEER", "/address"),
                    ("AS", "/asn"),
                    ("STATE", "/state"),
                    ("SECONDS", "/seconds"),
                    ("RECEIVED", "/received"),
                    ("SENT", "/sent"),
                    ("LAST ERROR", "/last_error"),
                ],
            ),
            Self::Vpns => (
                "vpns",
                &[
                    ("NAME", "/name"),
                    ("VNI", "/vni"),
                    ("RD", "/rd"),
                    ("IMPORT", "/import_rt"),
                    ("EXPORT", "/export_rt"),
                    ("PORTS", "/ports"),
                    ("REMOTES", "/remote_endpoints"),
                ],
            ),
            Self::Ports => (
                "ports",
                &[
                    ("INTERFACE", "/interface"),
                    ("VPN", "/vpn"),
                    ("MAC", "/mac"),
                    ("IP", "/ips"),
                    ("SEQUENCE", "/sequence"),
                    ("ADVERTISED", "/advertised"),
                ],
            ),
            Self::Routes => (
                "routes",
                &[
                    ("BEST", "/best"),
                    ("STALE", "/stale"),
                    ("SOURCE", "/source"),
                    ("NEXT HOP", "/next_hop"),
                    ("TARGETS", "/route_targets"),
                    ("ROUTE", "/route"),
                ],
            ),
            Self::Rtc => ("rtc", &[("SOURCE", "/source"), ("STALE", "/stale"), ("MEMBERSHIP", "/route")]),
            Self::Fdb => (
                "fdb",
                &[
                    ("VPN", "/vpn"),
                    ("MAC", "/mac"),
                    ("TARGET", "/target"),
                    ("INTERFACE", "/interface"),
                    ("ENDPOINT", "/endpoint"),
                    ("VNI", "/vni"),
                ],
            ),
            Self::Neighbors => {
                ("neighbors", &[("VPN", "/vpn"), ("IP", "/ip"), ("MAC", "/mac"), ("ROUTER", "/router")])
            }
            Self::Nexthops => (
                "nexthops",
                &[
                    ("ENDPOINT", "/endpoint"),
                    ("STATE", "/state"),
                    ("INTERFACE", "/interface"),
                    ("GATEWAY", "/gateway"),
                    ("MAC", "/mac"),
                    ("MTU", "/mtu"),
                ],
            ),
            Self::Config => ("config", &[]),
        }
    }
}

const STATUS: &[Column] = &[
    ("Agent", "/instance"),
    ("Version", "/version"),
    ("State", "/state"),
    ("Uptime (s)", "/uptime"),
    ("Router id", "/router_id"),
    ("AS", "/as_number"),
    ("Tunnel endpoint", "/endpoint"),
    ("Peers up", "/peers/established"),
    ("Peers", "/peers/total"),
    ("VPN instances", "/vpns"),
    ("Ports", "/ports"),
    ("Routes", "/routes"),
    ("Data plane", "/dataplane/driver"),
    ("Drops", "/dataplane/drops"),
    ("Degraded", "/degraded"),
];

pub(super) fn status(client: &Client, format: Format) -> Result<(), Failure> {
    let status = client.view("status")?;
    match format {
        Format::Table => print(&render_one(STATUS, &status))?,
        Format::Json => print_json(&status)?,
    }
    let degraded =
        status.get("degraded").and_then(Value::as_array).is_some_and(|reasons| !reasons.is_empty());
    if degraded { Err(Failure::Degraded) } else { Ok(()) }
}

pub(super) fn show(what: What, client: &Client, format: Format) -> Result<(), Failure> {
    let (name, columns) = what.view();
    let value = client.view(name)?;
    match format {
        // A configuration is a tree, and no table makes it clearer.
        Format::Table if what != What::Config => print(&render(columns, &rows(what, value))),
        _ => print_json(&value),
    }
}

/// The rows of a table: a port has one for each of its MAC addresses.
pub(super) fn rows(what: What, value: Value) -> Vec<Value> {
    let Value::Array(members) = value else { return Vec::new() };
    if what != What::Ports {
        return members;
    }
    members.iter().flat_map(port_rows).collect()
}

fn port_rows(port: &Value) -> Vec<Value> {
    let macs = port.get("macs").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
    macs.iter()
        .map(|mac| {
            let mut row = mac.clone();
            if let Some(row) = row.as_object_mut() {
                for key in ["interface", "vpn"] {
                    row.insert(key.to_owned(), port.get(key).cloned().unwrap_or_default());
                }
            }
            row
        })
        .collect()
}
