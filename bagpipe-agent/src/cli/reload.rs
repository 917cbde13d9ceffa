//! `bagpipe reload`.

use serde_json::Value;

use super::client::Client;
use super::rows::members;
use super::table::cell;
use super::{Failure, Format, print, print_json};

pub(super) fn run(client: &Client, format: Format) -> Result<(), Failure> {
    let reloaded = client.post("/v1/reload", &Value::Null)?;
    match format {
        Format::Table => print(&reloaded_text(&reloaded)),
        Format::Json => print_json(&reloaded),
    }
}

/// A line for each peer that is concerned.
pub(super) fn reloaded_text(reloaded: &Value) -> String {
    let mut text = String::new();
    for (key, words) in [
        ("added", "added"),
        ("removed", "removed"),
        ("changed", "changed; its session begins again"),
        ("updated", "updated; its session goes on"),
    ] {
        for peer in members(reloaded, &format!("/{key}")) {
            text.push_str(&format!("peer {} {words}\n", cell(Some(peer))));
        }
    }
    if text.is_empty() { "reloaded; no peer has changed\n".to_owned() } else { text }
}
