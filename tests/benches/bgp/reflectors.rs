//! Who is compared: each as it comes, configured as a reflector for a prefix of clients, and nothing else.

use std::fs;
use std::path::PathBuf;

use bagpipe_agent::lab::{Agent, AgentOptions, BgpRole, Lab, LabError, Node, Process, wait_until};
use bagpipe_bgp::types::Family;
use bagpipe_tests::frr::Frr;
use bagpipe_tests::gobgp::Reflector as Gobgp;
use bagpipe_tests::{SOON, bagpipe};

use crate::client::{NETWORK, REFLECTOR};

/// A kind of reflector.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Bagpipe,
    Bird,
    Frr,
    Gobgp,
}

/// A reflector that runs. It ends with this value.
#[derive(Debug)]
pub enum Reflector {
    Bagpipe(Agent),
    Bird(Process),
    Frr(Frr),
    Gobgp(Gobgp),
}

impl Kind {
    /// Those that know a family: BIRD 2.0 has no E-VPN. bagpipe-bgp is none of them: it never was a reflector.
    pub fn of(family: Family) -> &'static [Self] {
        if family == Family::EVPN {
            &[Self::Bagpipe, Self::Frr, Self::Gobgp]
        } else {
            &[Self::Bagpipe, Self::Bird, Self::Frr, Self::Gobgp]
        }
    }

    pub const fn name(self) -> &'static str {
        match self {
            Self::Bagpipe => "bagpipe",
            Self::Bird => "BIRD",
            Self::Frr => "FRR",
            Self::Gobgp => "GoBGP",
        }
    }

    /// Starts one on a node that has the reflectors' address.
    pub fn start(self, lab: &Lab, node: &Node) -> Result<Reflector, LabError> {
        match self {
            Self::Bagpipe => {
                let options = AgentOptions {
                    address: REFLECTOR,
                    router_id: None,
                    role: BgpRole::Reflector(NETWORK),
                    underlay: None,
                    hold_time: 90,
                };
                Agent::start(lab, &bagpipe(), node, &options).map(Reflector::Bagpipe)
            }
            Self::Bird => bird(lab, node).map(Reflector::Bird),
            Self::Frr => Frr::start(lab, node, &frr()).map(Reflector::Frr),
            Self::Gobgp => {
                let families = ["l3vpn-ipv4-unicast", "l2vpn-evpn"];
                Gobgp::of_families(lab, node, (REFLECTOR, REFLECTOR), NETWORK, &families)
                    .map(Reflector::Gobgp)
            }
        }
    }
}

impl Reflector {
    /// The process that does the work.
    pub fn process(&self) -> u32 {
        let process = match self {
            Self::Bagpipe(agent) => agent.process_id(),
            Self::Bird(process) => Some(process.id()),
            Self::Frr(frr) => frr.process_id("bgpd"),
            Self::Gobgp(gobgp) => gobgp.process_id(),
        };
        process.expect("it runs")
    }
}

/// Next hops are looked up in the table of connected networks.
fn bird(lab: &Lab, node: &Node) -> Result<Process, LabError> {
    let file = |suffix: &str| lab.directory().join(format!("{}-bird.{suffix}", node.name()));
    let (config, socket): (PathBuf, PathBuf) = (file("conf"), file("ctl"));
    let text = format!(
        "router id {REFLECTOR};\nvpn4 table vpntab;\nprotocol device {{}}\nprotocol direct {{ ipv4; }}\n\
         protocol bgp clients {{\n local {REFLECTOR} as 64512;\n neighbor range {NETWORK} as 64512;\n \
         rr client;\n vpn4 mpls {{ table vpntab; import all; export all; }};\n}}\n"
    );
    fs::write(&config, text).map_err(|source| LabError::File { path: config.clone(), source })?;
    let (config, socket) = (config.to_string_lossy(), socket.to_string_lossy());
    let process = node.spawn("bird", &["/usr/sbin/bird", "-f", "-c", &config, "-s", &socket])?;
    wait_until(SOON, "BIRD answers", || {
        node.run(&["/usr/sbin/birdc", "-s", &socket, "show", "status"]).ok()
    })?;
    Ok(process)
}

fn frr() -> String {
    let family = |name: &str| {
        format!(
            " address-family {name}\n  neighbor clients activate\n  neighbor clients route-reflector-client\n \
             exit-address-family\n"
        )
    };
    format!(
        "router bgp 64512\n bgp router-id {REFLECTOR}\n no bgp default ipv4-unicast\n \
         neighbor clients peer-group\n neighbor clients remote-as 64512\n neighbor clients passive\n \
         bgp listen range {NETWORK} peer-group clients\n{}{}",
        family("ipv4 vpn"),
        family("l2vpn evpn")
    )
}
