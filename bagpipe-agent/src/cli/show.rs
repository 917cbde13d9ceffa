//! `bagpipe status` and `bagpipe show`.

use std::net::IpAddr;

use bagpipe_bgp::types::{Family, RouteTarget};
use clap::{Args, ValueEnum};
use serde_json::Value;

use super::client::Client;
use super::rows::{hop_rows, members, of_vpn, rows};
use super::table::{Column, cell, render, render_one, wrap};
use super::{Failure, Format, print, print_json};
use crate::api::{Direction, RoutesRequest};

/// What can be shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum What {
    /// BGP peers
    Peers,
    /// VPN instances; RX: packets and bytes that came from their ports, TX: that went to them
    Vpns,
    /// Attached ports; RX: packets and bytes that came from the port, TX: that went to it
    Ports,
    /// BGP routes, received and our own
    Routes,
    /// MAC addresses and where frames for them go
    Fdb,
    /// IP addresses that are answered for, and their MAC addresses
    Neighbors,
    /// MPLS labels of this node and what they mean
    Labels,
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
                    ("TARGETS", "/targets"),
                    ("PORTS", "/ports"),
                    ("REMOTES", "/remotes"),
                    ("RX", "/rx"),
                    ("TX", "/tx"),
                ],
            ),
            Self::Ports => (
                "ports",
                &[
                    ("INTERFACE", "/interface"),
                    ("VPN", "/vpn"),
                    ("MAC", "/mac"),
                    ("IP", "/ip"),
                    ("ADVERTISED", "/advertised"),
                    ("RX", "/rx"),
                    ("TX", "/tx"),
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
            Self::Labels => (
                "labels",
                &[
                    ("LABEL", "/label"),
                    ("VPN", "/vpn"),
                    ("KIND", "/kind"),
                    ("INTERFACE", "/interface"),
                    ("MAC", "/mac"),
                ],
            ),
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
];

pub(super) fn status(client: &Client, format: Format) -> Result<(), Failure> {
    let status = client.view("status")?;
    match format {
        Format::Table => print(&status_text(&status))?,
        Format::Json => print_json(&status)?,
    }
    if members(&status, "/degraded").is_empty() { Ok(()) } else { Err(Failure::Degraded) }
}

/// The agent in numbers, then what was dropped and why, then why it is degraded.
pub(super) fn status_text(status: &Value) -> String {
    let mut text = render_one(STATUS, status);
    for drop in members(status, "/dataplane/dropped") {
        let field = |name: &str| cell(drop.get(name));
        text.push_str(&format!(
            "  {}: {} packets, {} bytes\n",
            field("reason"),
            field("packets"),
            field("bytes")
        ));
        text.push_str(&wrap(&field("explanation"), "      "));
    }
    for reason in members(status, "/degraded") {
        // Not wrapped: it may name a command to copy.
        text.push_str(&format!("Degraded: {}\n", cell(Some(reason))));
    }
    text
}

/// Which BGP routes to show.
#[derive(Debug, Args)]
#[command(next_help_heading = "Which routes")]
pub(super) struct RouteArgs {
    /// Of a family: evpn, vpnv4, vpnv6 or rtc
    #[arg(long, value_name = "FAMILY")]
    family: Option<Family>,
    /// With a route target
    #[arg(long, value_name = "ASN:NUMBER")]
    rt: Option<RouteTarget>,
    /// Imported by a VPN instance
    #[arg(long, value_name = "NAME")]
    imported_by: Option<String>,
    /// From a peer; with --out, that it was sent. With `show peers`: all that is known of the peer
    #[arg(long, value_name = "ADDRESS")]
    peer: Option<IpAddr>,
    /// Received, not our own
    #[arg(long = "in", conflicts_with = "out")]
    received: bool,
    /// As a peer was sent them
    #[arg(long, requires = "peer")]
    out: bool,
}

impl RouteArgs {
    /// Why they may not stand beside others.
    pub(super) const MISPLACED: &'static str = "--family, --rt, --imported-by, --peer, --in and --out are for `show routes` without --vpn, which shows where packets go; for the BGP routes of an instance, use --imported-by";

    /// The peer, if nothing else is given.
    pub(super) fn only_peer(&self) -> Option<IpAddr> {
        let Self { family: None, rt: None, imported_by: None, peer, received: false, out: false } = self
        else {
            return None;
        };
        *peer
    }

    /// What to ask for; `None` if nothing is to be left out.
    pub(super) fn request(self) -> Option<RoutesRequest> {
        let Self { family, rt, imported_by, peer, received, out } = self;
        let direction = match (received, out) {
            (_, true) => Some(Direction::Out),
            (true, false) => Some(Direction::In),
            (false, false) => None,
        };
        let request = RoutesRequest { family, route_target: rt, imported_by, peer, direction };
        (request != RoutesRequest::default()).then_some(request)
    }
}

/// Shows some of the BGP routes.
pub(super) fn routes(request: &RoutesRequest, client: &Client, format: Format) -> Result<(), Failure> {
    let body = serde_json::to_value(request).map_err(Failure::failed)?;
    let routes = client.post("/v1/routes", &body)?;
    match format {
        Format::Table => print(&render(What::Routes.view().1, &rows(What::Routes, routes))),
        Format::Json => print_json(&routes),
    }
}

/// Where IP prefixes are, a row for each hop.
const PREFIXES: &[Column] = &[
    ("PREFIX", "/prefix"),
    ("HOP", "/hop"),
    ("INTERFACE", "/interface"),
    ("ENDPOINT", "/endpoint"),
    ("VNI", "/vni"),
    ("LABEL", "/label"),
    ("MAC", "/mac"),
];

pub(super) fn show(what: What, vpn: Option<&str>, client: &Client, format: Format) -> Result<(), Failure> {
    if let Some(vpn) = vpn {
        let prefixes =
            of_vpn(client.view(if what == What::Routes { "prefixes" } else { what.view().0 })?, vpn);
        return match (format, what) {
            (Format::Table, What::Routes) => print(&render(PREFIXES, &hop_rows(&prefixes))),
            (Format::Table, _) => print(&render(what.view().1, &rows(what, prefixes))),
            (Format::Json, _) => print_json(&prefixes),
        };
    }
    let (name, columns) = what.view();
    let value = client.view(name)?;
    match format {
        // A configuration is a tree, and no table makes it clearer.
        Format::Table if what != What::Config => print(&render(columns, &rows(what, value))),
        _ => print_json(&value),
    }
}
