//! `--vpn ipvpn`: a subnet of its own behind each node.

use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use serde_json::Value;

use super::network::{Network, Plan, address};
use super::screen::Screen;
use super::subnet::{Subnet, attach_words, port_words};
use super::{DemoError, forged, labelled, steps, way};
use crate::lab::{Agent, Host, wait_until};

/// The VPN instance of all hosts.
pub(super) const VPN: &str = "red";
/// What finds its packets in the underlay.
pub(super) const FILTER: &str = "udp port 6635";

const TARGET: &str = "64512:200";
/// MPLS in UDP (RFC 7510 §6).
const PORT: u16 = 6635;

const LIMIT: Duration = Duration::from_secs(10);

/// The whole demo.
pub(super) fn show(screen: &Screen, nodes: u8) -> Result<Network, DemoError> {
    screen.step(&format!(
        "{nodes} nodes and a route reflector, each in a network namespace, a host in a subnet of its own behind \
         each node"
    ));
    let plan = Plan { nodes, settings, host: &|lab, number| Subnet(number).host(lab, number) };
    let mut network = Network::build(screen, &plan)?;
    let families = [("vpnv4", "VPNv4"), ("vpnv6", "VPNv6"), ("evpn", "E-VPN"), ("rtc", "RT Constraint")];
    steps::sessions(screen, &network, &families)?;
    for ((agent, host), number) in network.agents.iter().zip(&network.hosts).zip(1..) {
        Subnet(number).use_gateways(host)?;
        let deed = format!("{} is attached", host.node.name());
        steps::attach(screen, agent, &deed, &requests(Subnet(number), host))?;
    }
    labels(screen, &network)?;
    way::routes(screen, &network, VPN)?;
    steps::maps(screen, &network, &["HOSTS", "ADJACENCIES", "LABELS"])?;
    way::explanation(screen, &network, VPN)?;
    steps::ping(screen, &network)?;
    way::routers(screen, &network, [Subnet(1), Subnet(nodes)])?;
    let lines = steps::packet_on_the_wire(screen, &network, "udp dst port 6635")?;
    if !lines.iter().any(|line| line.starts_with("MPLS")) {
        return Err(DemoError::Broken("the packet has no label".to_owned()));
    }
    steps::agent_killed_under_traffic(screen, &mut network)?;
    forged_packets(screen, &network, nodes)?;
    Ok(network)
}

/// Labels mean something to their node only. Here they also tell which node that is.
fn settings(number: u8) -> String {
    format!("mpls = \"udp\"\n[vpn]\nlabels = \"{number}000-{number}999\"\n")
}

/// A request for each family: each has a gateway of its own.
fn requests(subnet: Subnet, host: &Host) -> Vec<Vec<String>> {
    let request = |address: &String, (gateway, length): (String, u8)| {
        let own = ["--ip".to_owned(), format!("{address}/{length}"), "--gateway-ip".to_owned(), gateway];
        [attach_words("ipvpn", VPN, TARGET), port_words(host), own.to_vec()].concat()
    };
    let [ipv4, ipv6] = subnet.gateways();
    vec![request(&host.ipv4, ipv4), request(&host.ipv6, ipv6)]
}

fn labels(screen: &Screen, network: &Network) -> Result<(), DemoError> {
    for agent in &network.agents {
        screen.step(&format!("labels that {} has given out:", agent.node().name()));
        screen.detail(&agent.cli(&["show", "labels"])?);
    }
    Ok(())
}

/// Sends a host well-formed packets under its label: from an address that no route names, then the same from a node
/// that may. So it was not the packets that were wrong.
fn forged_packets(screen: &Screen, network: &Network, nodes: u8) -> Result<(), DemoError> {
    let (victim, pretended) = steps::ends(network)?;
    let agent = steps::first(&network.agents)?;
    let label = label_of(agent, &victim)?;
    let packet = labelled::echo_request(label, ipv4(&pretended)?, ipv4(&victim)?);
    let target = SocketAddr::from((address(1), PORT));

    let (stranger, local) = network.stranger()?;
    let fate = forged::fate(agent, &victim, || {
        stranger.send_udp((local, 0).into(), target, &packet, forged::PACKETS)
    })?;
    screen.step(&format!(
        "{local}, which no route names, sends {} packets with label {label} of {VPN} to {}: {fate}",
        forged::PACKETS,
        agent.node().name()
    ));
    fate.harmless()?;

    let (member, local) = (steps::last(&network.agents)?.node(), address(nodes));
    let before = forged::echo_requests(&victim.node)?;
    member.send_udp((local, 0).into(), target, &packet, forged::PACKETS)?;
    let delivered = wait_until(LIMIT, "the packets of a node that may send them", || {
        let delivered = forged::echo_requests(&victim.node).ok()? - before;
        (delivered >= forged::PACKETS).then_some(delivered)
    })?;
    screen.step(&format!("the same packets from {local}, whose routes {VPN} imports: {delivered} delivered"));
    Ok(())
}

fn ipv4(host: &Host) -> Result<Ipv4Addr, DemoError> {
    host.ipv4.parse().map_err(|_| DemoError::Broken(format!("{} has no IPv4 address", host.node.name())))
}

/// The label that leads to a host without a lookup.
fn label_of(agent: &Agent, host: &Host) -> Result<u32, DemoError> {
    let labels = agent.json(&["show", "labels"])?;
    let mut labels = labels.as_array().into_iter().flatten();
    let label = labels.find(|label| label.get("mac").is_some_and(|mac| *mac == host.mac));
    let number = label.and_then(|label| label.get("label")).and_then(Value::as_u64);
    let number = number.and_then(|number| u32::try_from(number).ok());
    number.ok_or_else(|| DemoError::Broken(format!("{} has no label", host.node.name())))
}
