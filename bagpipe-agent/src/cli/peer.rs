//! `bagpipe peer`.

use std::net::IpAddr;

use clap::{Args, Subcommand};

use super::client::Client;
use super::{Failure, print};
use crate::api::PeerRequest;

#[derive(Debug, Subcommand)]
pub(super) enum PeerCommand {
    /// End the session and keep the peer away, until it is enabled or the agent is restarted
    Shutdown(Told),
    /// End the session for it to begin again; routes are kept meanwhile where both ends can
    Reset(Told),
    /// Let a peer come back that was shut down, or that had announced too many routes
    Enable(Named),
}

#[derive(Debug, Args)]
pub(super) struct Named {
    /// Address of the peer
    address: IpAddr,
}

#[derive(Debug, Args)]
pub(super) struct Told {
    #[command(flatten)]
    peer: Named,
    /// Words for the peer's operator; up to 255 octets reach it (RFC 9003)
    #[arg(long, value_name = "TEXT", default_value = "")]
    message: String,
}

pub(super) fn run(command: &PeerCommand, client: &Client) -> Result<(), Failure> {
    let (action, done, address, message) = match command {
        PeerCommand::Shutdown(told) => ("shutdown", "shut down", told.peer.address, told.message.as_str()),
        PeerCommand::Reset(told) => ("reset", "reset", told.peer.address, told.message.as_str()),
        PeerCommand::Enable(peer) => ("enable", "enabled", peer.address, ""),
    };
    let request = PeerRequest { address, message: message.to_owned() };
    let body = serde_json::to_value(request).map_err(Failure::failed)?;
    client.post(&format!("/v1/peers/{action}"), &body)?;
    print(&format!("{done} {address}\n"))
}
