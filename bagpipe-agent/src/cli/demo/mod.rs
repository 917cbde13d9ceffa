//! `bagpipe demo`: a network in namespaces, told step by step.
//!
//! Every claim is checked: the demo fails when a session does not come up, a packet is lost, or a forged one
//! gets through.

mod bridged;
mod forged;
mod labelled;
mod network;
mod packet;
mod pcap;
mod routed;
mod screen;
mod steps;
mod subnet;
mod subnets;
mod way;

use clap::{Args, ValueEnum};

use crate::lab::{self, LabError};
use network::Look;
use screen::Screen;

/// What the demo is asked to be.
#[derive(Clone, Copy, Debug, Args)]
pub struct DemoArgs {
    /// What to show
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
    /// Ethernet over VXLAN: one subnet behind all nodes
    Evpn,
    /// IP under MPLS labels: a subnet of its own behind each node
    Ipvpn,
    /// Both: two Ethernet subnets, routed by every node itself
    Subnets,
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
    let network = match args.vpn {
        Vpn::Evpn => bridged::show(&screen, args.nodes)?,
        Vpn::Ipvpn => routed::show(&screen, args.nodes)?,
        Vpn::Subnets => subnets::show(&screen, args.nodes)?,
    };
    if args.keep {
        return network.keep(&screen, args.vpn.look()).map_err(DemoError::from);
    }
    drop(network);
    screen.step("everything is taken down again");
    Ok(())
}

impl Vpn {
    /// Where there is something to see of it.
    const fn look(self) -> Look {
        match self {
            Self::Evpn => Look { view: &["show", "fdb"], filter: bridged::FILTER },
            Self::Ipvpn => Look { view: &["show", "routes", "--vpn", routed::VPN], filter: routed::FILTER },
            Self::Subnets => {
                Look { view: &["show", "routes", "--vpn", subnets::VPN], filter: subnets::FILTER }
            }
        }
    }
}
