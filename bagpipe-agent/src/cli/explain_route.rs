//! `bagpipe explain --route`.

use serde_json::{Value, json};

use super::client::Client;
use super::rows::members;
use super::table::cell;
use super::{Failure, Format, print, print_json};

pub(super) fn explain(route: &str, client: &Client, format: Format) -> Result<(), Failure> {
    let paths = client.post("/v1/explain-route", &json!({ "route": route }))?;
    match format {
        Format::Table => print(&text(&paths)),
        Format::Json => print_json(&paths),
    }
}

/// The paths, those of a route under its name.
pub(super) fn text(paths: &Value) -> String {
    let field = |value: &Value, name: &str| cell(value.get(name));
    let mut text = String::new();
    let mut route = String::new();
    for path in members(paths, "") {
        if field(path, "route") != route {
            route = field(path, "route");
            text.push_str(&format!("{route}\n"));
        }
        text.push_str(&format!("  from {}, {}", field(path, "source"), verdict(path)));
        text.push_str(&format!(
            "\n    next hop {}, {}\n",
            field(path, "next_hop"),
            field(path, "attributes")
        ));
        if let Some(unused) = path.get("unused").and_then(Value::as_str) {
            text.push_str(&format!("    not used: {unused}\n"));
        }
        for used in members(path, "/imported_by") {
            let targets = members(used, "/route_targets").iter().map(|target| cell(Some(target)));
            let targets = targets.collect::<Vec<_>>().join(" ");
            text.push_str(&format!("    imported by {} for {targets}\n", field(used, "vpn")));
            for entry in members(used, "/entries") {
                text.push_str(&format!("      {}\n", written(entry)));
            }
        }
    }
    text
}

fn verdict(path: &Value) -> String {
    let stale = if path.get("stale") == Some(&Value::Bool(true)) { ", stale" } else { "" };
    match path.get("lost_by").and_then(Value::as_str) {
        Some(rule) => format!("not the best: it lost by {rule}{stale}"),
        None => format!("the best path{stale}"),
    }
}

/// An entry in words.
fn written(entry: &Value) -> String {
    let what = cell(entry.get("what"));
    if let Some(unused) = entry.get("unused").and_then(Value::as_str) {
        return format!("{what}: not by this route: {unused}");
    }
    let Some(place) = entry.get("entry").filter(|place| !place.is_null()) else {
        return format!("{what}: by this route; there are no maps to write to");
    };
    let (map, key) = (cell(place.get("map")), cell(place.get("key")));
    match (place.get("failure").and_then(Value::as_str), place.get("value").and_then(Value::as_str)) {
        (Some(failure), _) => format!("{what}: not written to {map} [{key}]: {failure}"),
        (None, Some(value)) => format!("{what}: written to {map} [{key}]: {value}"),
        (None, None) => format!("{what}: nothing is in {map} [{key}]"),
    }
}
