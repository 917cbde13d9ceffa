//! `bagpipe map` and `bagpipe cleanup`: the pinned maps, with or without an agent.

use clap::Subcommand;
use serde::Serialize;
use serde_json::Value;

use super::client::CallError;
use super::table::{Column, render};
use super::{Failure, Format, Global, Output, print, print_json};
use crate::dataplane::map_cli;
use crate::run::Claim;

#[derive(Debug, Subcommand)]
pub(super) enum MapCommand {
    /// List the maps, and how full they are
    Ls(Output),
    /// Print the entries of a map
    Dump {
        /// Name of the map, such as FDB
        name: String,
        #[command(flatten)]
        output: Output,
    },
    /// Compare the maps with what they should hold; without an agent, with each other. Exit code 1 if they differ
    Verify(Output),
}

const MAPS: &[Column] =
    &[("MAP", "/name"), ("ENTRIES", "/entries"), ("CAPACITY", "/capacity"), ("PIN", "/pin")];
const ENTRIES: &[Column] = &[("KEY", "/0"), ("VALUE", "/1")];
const DIVERGENCES: &[Column] =
    &[("MAP", "/map"), ("KEY", "/key"), ("EXPECTED", "/expected"), ("FOUND", "/found")];

pub(super) fn run(command: &MapCommand, global: &Global) -> Result<(), Failure> {
    let instance = &global.instance;
    match command {
        MapCommand::Ls(output) => {
            let maps = json(&map_cli::list(instance).map_err(Failure::failed)?)?;
            show(MAPS, maps, output.format)
        }
        MapCommand::Dump { name, output } => match output.format {
            Format::Table => {
                let entries = json(&map_cli::dump_text(instance, name).map_err(Failure::failed)?)?;
                show(ENTRIES, entries, Format::Table)
            }
            Format::Json => print_json(&map_cli::dump(instance, name).map_err(Failure::failed)?.into()),
        },
        MapCommand::Verify(output) => verify(global, output.format),
    }
}

/// The agent knows what should be there; without it, the maps can only be held against each other.
fn verify(global: &Global, format: Format) -> Result<(), Failure> {
    let (divergences, by_agent) = match global.client().view("verify") {
        Ok(divergences) => (divergences, true),
        Err(CallError::Unreachable { .. }) => {
            (json(&map_cli::verify_offline(&global.instance).map_err(Failure::failed)?)?, false)
        }
        Err(error) => return Err(error.into()),
    };
    let count = divergences.as_array().map_or(0, Vec::len);
    match format {
        Format::Json => print_json(&divergences)?,
        Format::Table if count > 0 => show(DIVERGENCES, divergences, Format::Table)?,
        Format::Table if by_agent => print("the maps hold what the agent wants\n")?,
        Format::Table => print("no agent answers; the maps agree with each other\n")?,
    }
    if count > 0 { Err(Failure::Failed(format!("divergences: {count}"))) } else { Ok(()) }
}

pub(super) fn cleanup(global: &Global, format: Format) -> Result<(), Failure> {
    let _claim = Claim::take_existing(&global.instance).map_err(Failure::failed)?;
    let removed = map_cli::cleanup(&global.instance).map_err(Failure::failed)?;
    match format {
        Format::Json => print_json(&removed.into()),
        Format::Table if removed.is_empty() => print("nothing to remove\n"),
        Format::Table => print(&removed.iter().map(|what| format!("removed {what}\n")).collect::<String>()),
    }
}

fn show(columns: &[Column], rows: Value, format: Format) -> Result<(), Failure> {
    match (format, rows) {
        (Format::Table, Value::Array(rows)) => print(&render(columns, &rows)),
        (_, value) => print_json(&value),
    }
}

fn json(value: &impl Serialize) -> Result<Value, Failure> {
    serde_json::to_value(value).map_err(Failure::failed)
}
