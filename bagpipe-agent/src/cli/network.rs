//! `bagpipe network`.

use clap::Subcommand;
use serde_json::Value;

use super::client::Client;
use super::table::{Column, cell, render};
use super::{Failure, Format, Output, print, print_json};
use crate::api::NetworkRequest;
use bagpipe_bgp::types::Vni;

#[derive(Debug, Subcommand)]
pub(super) enum NetworkCommand {
    /// Make a network, with a route target of its own: drawn from the configured ranges, or from a VNI
    Create {
        /// Its name
        name: String,
        /// VNI that the route target follows from (RFC 8365 §5.1.2.1), the same on every node
        #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=0x00ff_ffff))]
        vni: Option<u32>,
        #[command(flatten)]
        output: Output,
    },
    /// List networks, their route targets and who uses them
    List(Output),
    /// Remove a network that nothing uses; its route target is free then
    Delete {
        /// Its name
        name: String,
    },
}

const NETWORKS: &[Column] =
    &[("NAME", "/name"), ("ROUTE TARGET", "/route_target"), ("VNI", "/vni"), ("USED BY", "/used_by")];

pub(super) fn run(command: &NetworkCommand, client: &Client) -> Result<(), Failure> {
    match command {
        NetworkCommand::Create { name, vni, output } => {
            let network = post(client, "create", name, vni.and_then(Vni::new))?;
            match output.format {
                Format::Table => print(&format!("created {name}: {}\n", cell(network.get("route_target")))),
                Format::Json => print_json(&network),
            }
        }
        NetworkCommand::List(output) => match (output.format, client.view("networks")?) {
            (Format::Table, Value::Array(rows)) => print(&render(NETWORKS, &rows)),
            (_, networks) => print_json(&networks),
        },
        NetworkCommand::Delete { name } => {
            post(client, "delete", name, None)?;
            print(&format!("deleted {name}\n"))
        }
    }
}

fn post(client: &Client, action: &str, name: &str, vni: Option<Vni>) -> Result<Value, Failure> {
    let request =
        serde_json::to_value(NetworkRequest { name: name.to_owned(), vni }).map_err(Failure::failed)?;
    Ok(client.post(&format!("/v1/networks/{action}"), &request)?)
}
