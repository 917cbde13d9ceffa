//! `bagpipe show peers --peer ADDRESS`: all that is known of one peer.

use std::net::IpAddr;

use serde_json::Value;

use super::client::Client;
use super::rows::members;
use super::table::{Column, cell, render, render_one};
use super::{Failure, Format, print, print_json};

const PEER: &[Column] = &[
    ("Peer", "/address"),
    ("AS", "/asn"),
    ("State", "/state"),
    ("Seconds", "/seconds"),
    ("Kept away", "/held"),
    ("Last error", "/last_error"),
    ("Router id", "/negotiated/router_id"),
    ("Families", "/negotiated/families"),
    ("Hold time", "/negotiated/hold_time"),
    ("Graceful restart", "/negotiated/graceful_restart"),
    ("Long-lived", "/negotiated/long_lived"),
    ("Extended messages", "/negotiated/extended_message"),
    ("Route refresh", "/negotiated/route_refresh"),
    ("Marked refresh", "/negotiated/enhanced_route_refresh"),
    ("Several paths", "/negotiated/add_paths"),
    ("Kept routes of", "/stale"),
];

const MESSAGES: &[Column] = &[
    ("MESSAGES", "/direction"),
    ("OPEN", "/opens"),
    ("UPDATE", "/updates"),
    ("NOTIFICATION", "/notifications"),
    ("KEEPALIVE", "/keepalives"),
    ("REFRESH", "/route_refreshes"),
];

const ROUTES: &[Column] = &[("ROUTES", "/family"), ("RECEIVED", "/received"), ("SENT", "/sent")];

/// Shows one peer, or says that there is none at the address.
pub(super) fn show(address: IpAddr, client: &Client, format: Format) -> Result<(), Failure> {
    let peers = client.view("peers")?;
    let of = |peer: &&Value| peer.get("address").and_then(Value::as_str)?.parse::<IpAddr>().ok();
    let address = address.to_canonical();
    let Some(peer) = members(&peers, "").iter().find(|peer| of(peer) == Some(address)) else {
        return Err(Failure::Failed(format!("{address} is not a peer; `bagpipe show peers` lists them")));
    };
    match format {
        Format::Table => print(&text(peer)),
        Format::Json => print_json(peer),
    }
}

pub(super) fn text(peer: &Value) -> String {
    let mut text = render_one(PEER, peer);
    for capability in members(peer, "/negotiated/capabilities") {
        text.push_str(&format!("Announced capability: {}\n", cell(Some(capability))));
    }
    let counters = ["sent", "received"].map(|direction| {
        let mut row = peer.pointer(&format!("/counters/{direction}")).cloned().unwrap_or_default();
        if let Some(row) = row.as_object_mut() {
            row.insert("direction".to_owned(), direction.into());
        }
        row
    });
    text.push_str(&render(MESSAGES, &counters));
    text.push_str(&render(ROUTES, members(peer, "/routes")));
    if let Some(fault) = peer.pointer("/faults/last_notification").filter(|fault| !fault.is_null()) {
        let [direction, code, subcode, data] =
            ["direction", "code", "subcode", "data"].map(|field| cell(fault.get(field)));
        text.push_str(&format!("Last NOTIFICATION: {direction}, {code}/{subcode}, data {data}\n"));
    }
    if let Some(fault) = peer.pointer("/faults/last_update_error").filter(|fault| !fault.is_null()) {
        let errors = cell(peer.pointer("/faults/update_errors"));
        let [reason, action, data] = ["reason", "action", "data"].map(|field| cell(fault.get(field)));
        text.push_str(&format!("Last of {errors} malformed UPDATEs: {reason}; {action}; {data}\n"));
    }
    text
}
