//! `bagpipe monitor`.

use std::io::Write;

use clap::ValueEnum;
use serde_json::Value;

use super::client::Client;
use super::rows::members;
use super::table::cell;
use super::{Failure, Format};

/// What can be monitored.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum What {
    /// Paths that come, change and go, received and our own
    Routes,
    /// Sessions with BGP peers
    Sessions,
}

/// Prints a line for each thing that happens, until nobody reads or the agent stops.
pub(super) fn run(what: What, client: &Client, format: Format) -> Result<(), Failure> {
    let path = match what {
        What::Routes => "/v1/monitor/routes",
        What::Sessions => "/v1/monitor/sessions",
    };
    let mut gone = Ok(());
    client.lines(path, |line| {
        let text = match format {
            Format::Json => format!("{line}\n"),
            Format::Table => {
                serde_json::from_str(line).map_or_else(|_| line.to_owned(), |event| text(&event))
            }
        };
        gone = std::io::stdout().write_all(text.as_bytes()).and_then(|()| std::io::stdout().flush());
        gone.is_ok()
    })?;
    match gone {
        Err(error) if error.kind() != std::io::ErrorKind::BrokenPipe => Err(Failure::failed(error)),
        Err(_) => Ok(()),
        Ok(()) => Err(Failure::Failed("the agent has stopped".to_owned())),
    }
}

/// An event on one line.
pub(super) fn text(event: &Value) -> String {
    let field = |name: &str| cell(event.get(name));
    let what = match field("event").as_str() {
        "missed" => return format!("{} events missed: this reader is too slow\n", field("count")),
        "announced" => {
            let targets = members(event, "/route_targets").iter().map(|target| cell(Some(target)));
            let targets = targets.collect::<Vec<_>>().join(" ");
            let next_hop = field("next_hop");
            format!(
                "announced {} by {}, next hop {next_hop}, targets {targets}",
                field("route"),
                field("source")
            )
        }
        "withdrawn" => format!("withdrawn {} by {}", field("route"), field("source")),
        "up" => {
            format!("{} is up: AS {}, router id {}", field("peer"), field("as_number"), field("router_id"))
        }
        "down" => format!("{} is down: {}", field("peer"), field("reason")),
        "end-of-rib" => format!("{} has sent all its {} routes", field("peer"), field("family")),
        "malformed" => format!("{} sent a malformed UPDATE: {}", field("peer"), field("error")),
        "near-limit" => format!(
            "{} has announced {} {} routes of {} at most",
            field("peer"),
            field("routes"),
            field("family"),
            field("limit")
        ),
        other => other.to_owned(),
    };
    let best = match (event.get("best"), event.get("route")) {
        (Some(Value::String(best)), Some(_)) => format!(", best path from {best}"),
        (_, Some(_)) => ", no path left".to_owned(),
        _ => String::new(),
    };
    format!("{} {what}{best}\n", clock(event.get("time").and_then(Value::as_u64).unwrap_or(0)))
}

/// Time of day in UTC, of milliseconds of the Unix epoch.
fn clock(milliseconds: u64) -> String {
    let seconds = milliseconds / 1000;
    let (hours, minutes) = (seconds / 3600 % 24, seconds / 60 % 60);
    format!("{hours:02}:{minutes:02}:{:02}.{:03}Z", seconds % 60, milliseconds % 1000)
}
