//! `bagpipe explain`.

use std::net::IpAddr;

use serde_json::{Value, json};

use super::client::Client;
use super::rows::members;
use super::table::cell;
use super::{Failure, Format, print, print_json};

/// Walks from the instance to the wire; a way that ends before is a failure.
pub(super) fn explain(vpn: &str, ip: IpAddr, client: &Client, format: Format) -> Result<(), Failure> {
    let explanation = client.post("/v1/explain", &json!({ "vpn_instance_id": vpn, "ip_address": ip }))?;
    match format {
        Format::Table => print(&text(ip, &explanation))?,
        Format::Json => print_json(&explanation)?,
    }
    match explanation.get("stopped").and_then(Value::as_str) {
        Some(stopped) => Err(Failure::Failed(format!("packets for {ip} stop here: {stopped}"))),
        None => Ok(()),
    }
}

pub(super) fn text(ip: IpAddr, explanation: &Value) -> String {
    let field = |value: &Value, name: &str| cell(value.get(name));
    let mut text = format!("{ip} in {}\n", field(explanation, "vpn"));
    let ports = members(explanation, "/ports").iter().map(|port| cell(Some(port))).collect::<Vec<_>>();
    if !ports.is_empty() {
        text.push_str(&format!("  from {}\n", ports.join(", ")));
    }
    if explanation.get("prefix").is_some_and(|prefix| !prefix.is_null()) {
        let (prefix, reason) = (field(explanation, "prefix"), field(explanation, "reason"));
        text.push_str(&format!("  route {prefix} ({reason})\n"));
    }
    for candidate in members(explanation, "/candidates") {
        let best = if candidate.get("best") == Some(&Value::Bool(true)) { "best " } else { "" };
        let (route, attributes) = (field(candidate, "route"), field(candidate, "attributes"));
        text.push_str(&format!("    {best}{route}: {attributes}\n"));
    }
    for hop in members(explanation, "/hops") {
        text.push_str(&format!("  goes to {}\n", pairs(hop)));
    }
    for egress in members(explanation, "/egress") {
        text.push_str(&format!("  by {}\n", pairs(egress)));
    }
    for lack in members(explanation, "/degraded") {
        text.push_str(&format!("  but the instance {}\n", cell(Some(lack))));
    }
    text
}

/// An object on one line.
fn pairs(object: &Value) -> String {
    let members = object.as_object().into_iter().flatten();
    let shown = members.filter(|(_, value)| !value.is_null());
    shown.map(|(key, value)| format!("{key} {}", cell(Some(value)))).collect::<Vec<_>>().join(", ")
}
