//! `bagpipe demo`: a network in namespaces, told step by step.
//!
//! Every claim is checked: the demo fails when a session does not come up, a packet is lost, or a forged one
//! gets through.

mod network;
mod packet;
mod pcap;
mod screen;
mod steps;

use clap::{Args, ValueEnum};

use crate::lab::{self, LabError};
use network::Network;
use screen::Screen;

/// What the demo is asked to be.
#[derive(Clone, Copy, Debug, Args)]
pub struct DemoArgs {
    /// Type of VPN to show
    #[arg(long, value_enum, default_value_t = Vpn::Evpn, value_name = "TYPE")]
    vpn: Vpn,
    /// Number of nodes, with a host behind each
    #[arg(long, default_value_t = 2, value_name = "N", value_parser = clap::value_parser!(u8).range(2..=9))]
    nodes: u8,
    /// Leave the network standing at the end, and say how to look around
    #[arg(long)]
    keep: bool,
    /// Only take down what `--keep` left standing
    #[arg(long, conflicts_with = "keep")]
    remove: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Vpn {
    /// Ethernet over VXLAN
    Evpn,
}

/// Why the demo did not go as told.
#[derive(Debug, thiserror::Error)]
pub enum DemoError {
    /// The network does not do what it should.
    #[error(transparent)]
    Lab(#[from] LabError),
    /// What was seen is not what was promised.
    #[error("{0}")]
    Broken(String),
}

/// Runs the demo.
///
/// # Errors
/// When something promised does not happen; the network is taken down first.
pub fn run(args: DemoArgs) -> Result<(), DemoError> {
    let screen = Screen::new();
    let removed = lab::remove_kept()?;
    if args.remove {
        screen.step(&format!("networks taken down: {removed}"));
        return Ok(());
    }
    let Vpn::Evpn = args.vpn;
    let nodes = args.nodes;
    screen.step(&format!(
        "{nodes} nodes and a route reflector, each in a network namespace, a host behind each node"
    ));
    let mut network = Network::build(&screen, nodes)?;
    steps::sessions(&screen, &network)?;
    steps::attachments(&screen, &network)?;
    steps::routes(&screen, &network)?;
    steps::forwarding_table(&screen, &network)?;
    steps::ping(&screen, &network)?;
    steps::packet_on_the_wire(&screen, &network)?;
    steps::agent_killed_under_traffic(&screen, &mut network)?;
    steps::forged_packets(&screen, &network)?;
    if args.keep {
        return network.keep(&screen).map_err(DemoError::from);
    }
    drop(network);
    screen.step("everything is taken down again");
    Ok(())
}
