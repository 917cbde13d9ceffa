//! `--vpn evpn`: one subnet behind all nodes.

use std::time::Duration;

use serde_json::Value;

use super::network::{Network, Plan, address, port};
use super::screen::Screen;
use super::{DemoError, forged, steps};
use crate::lab::{Agent, Attachment, Host, wait_until};

/// What finds its packets in the underlay.
pub(super) const FILTER: &str = "udp port 4789";

/// The VPN instance of all hosts, and its VNI.
const VPN: &str = "blue";
const VNI: u32 = 100;

const LIMIT: Duration = Duration::from_secs(10);

/// The whole demo.
pub(super) fn show(screen: &Screen, nodes: u8) -> Result<Network, DemoError> {
    screen.step(&format!(
        "{nodes} nodes and a route reflector, each in a network namespace, a host behind each node"
    ));
    let plan = Plan { nodes, settings: |_| String::new(), host: &Host::new };
    let mut network = Network::build(screen, &plan)?;
    steps::sessions(screen, &network, &[("evpn", "E-VPN"), ("rtc", "RT Constraint")])?;
    for (agent, host) in network.agents.iter().zip(&network.hosts) {
        let deed = format!("{} is attached", host.node.name());
        steps::attach(screen, agent, &deed, &[attachment(host).attach()])?;
    }
    routes(screen, &network)?;
    steps::maps(screen, &network, &["FDB"])?;
    steps::ping(screen, &network)?;
    steps::packet_on_the_wire(screen, &network, "udp dst port 4789")?;
    steps::agent_killed_under_traffic(screen, &mut network)?;
    forged_packets(screen, &network)?;
    Ok(network)
}

fn attachment(host: &Host) -> Attachment {
    Attachment {
        vpn: VPN.to_owned(),
        port: port(host),
        mac: host.mac.clone(),
        addresses: vec![host.ipv4.clone(), host.ipv6.clone()],
        route_target: format!("64512:{VNI}"),
        vni: Some(VNI),
    }
}

/// Waits until every node knows every host.
fn routes(screen: &Screen, network: &Network) -> Result<(), DemoError> {
    for agent in &network.agents {
        for host in &network.hosts {
            let what = format!("{} knows {}", agent.node().name(), host.node.name());
            wait_until(LIMIT, &what, || knows(agent, host).then_some(()))?;
        }
    }
    let first = steps::first(&network.agents)?;
    screen.step(&format!("every node has the routes of every other; on {}:", first.node().name()));
    screen.detail(&first.cli(&["show", "routes"])?);
    Ok(())
}

fn knows(agent: &Agent, host: &Host) -> bool {
    let entries = agent.json(&["show", "fdb"]).unwrap_or_default();
    let known = |entry: &Value| entry.get("mac").is_some_and(|mac| *mac == host.mac);
    entries.as_array().is_some_and(|entries| entries.iter().any(known))
}

/// Sends well-formed VXLAN for a host from an address that no route names.
fn forged_packets(screen: &Screen, network: &Network) -> Result<(), DemoError> {
    let (agent, victim) = (steps::first(&network.agents)?, steps::first(&network.hosts)?);
    let (stranger, local) = network.stranger()?;
    let (from, to, vni) = (local.to_string(), address(1).to_string(), VNI.to_string());
    let kind = ["type", "vxlan", "id", &vni, "local", &from, "remote", &to, "dstport", "4789"];
    stranger.ip(&[&["link", "add", "vxlan"][..], &kind].concat())?;
    stranger.address("vxlan", "192.168.10.66/24")?;
    stranger.up("vxlan")?;
    let entry = ["neighbour", "add", &victim.ipv4, "lladdr", &victim.mac, "dev", "vxlan"];
    stranger.ip(&entry)?;

    let fate = forged::fate(agent, victim, || {
        let count = forged::PACKETS.to_string();
        // Nothing answers: that is its failure, and our success.
        let line = ["ping", "-n", "-c", &count, "-i", "0.01", "-W", "0.1", &victim.ipv4];
        stranger.output(&line).map(drop)
    })?;
    screen.step(&format!(
        "{local}, which no route names, sends {} packets with VNI {VNI} of {VPN} to {}: {fate}",
        forged::PACKETS,
        agent.node().name()
    ));
    fate.harmless()
}
