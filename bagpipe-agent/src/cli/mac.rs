//! `bagpipe mac`.

use bagpipe_bgp::types::MacAddr;
use clap::Subcommand;

use super::client::Client;
use super::{Failure, print};
use crate::api::MacRequest;

#[derive(Debug, Subcommand)]
pub(super) enum MacCommand {
    /// Let a MAC address move again that was frozen because it moved too often (RFC 7432 §15.1)
    Release {
        /// The MAC address
        mac: MacAddr,
        /// Name of the VPN instance
        #[arg(long, value_name = "NAME")]
        vpn: String,
    },
}

pub(super) fn run(command: &MacCommand, client: &Client) -> Result<(), Failure> {
    let MacCommand::Release { mac, vpn } = command;
    let request = MacRequest { vpn_instance_id: vpn.clone(), mac_address: *mac };
    client.post("/v1/macs/release", &serde_json::to_value(request).map_err(Failure::failed)?)?;
    print(&format!("released {mac}\n"))
}
