//! The steps of the demo, once the network stands. Each shows something and checks it.

use std::fs;
use std::time::{Duration, Instant};

use serde_json::Value;

use super::network::{Network, UNDERLAY, VNI, VPN};
use super::screen::Screen;
use super::{DemoError, packet, pcap};
use crate::lab::{Agent, Capture, Host, Node, Ping, wait_until};

const LIMIT: Duration = Duration::from_secs(10);

const STRANGER: &str = "10.99.0.66";
const FORGED_PACKETS: u64 = 5;

/// Waits for BGP.
pub(super) fn sessions(screen: &Screen, network: &Network) -> Result<(), DemoError> {
    for agent in &network.agents {
        let what = format!("BGP session of {}", agent.node().name());
        wait_until(LIMIT, &what, || (established(agent) == Some(1)).then_some(()))?;
    }
    screen.step("BGP sessions are established with the reflector, for E-VPN and RT Constraint");
    screen.detail(&network.reflector.cli(&["show", "peers"])?);
    Ok(())
}

/// Attaches the hosts.
pub(super) fn attachments(screen: &Screen, network: &Network) -> Result<(), DemoError> {
    for (agent, host) in network.agents.iter().zip(&network.hosts) {
        let attachment = network.attachment(host);
        let start = Instant::now();
        agent.attach(&attachment)?;
        let milliseconds = start.elapsed().as_secs_f64() * 1e3;
        screen.step(&format!(
            "{} is attached on {} ({milliseconds:.1} ms):",
            host.node.name(),
            agent.node().name()
        ));
        screen.detail(&format!("bagpipe {}", attachment.attach().join(" ")));
    }
    Ok(())
}

/// Waits until every node knows every host.
pub(super) fn routes(screen: &Screen, network: &Network) -> Result<(), DemoError> {
    for agent in &network.agents {
        for host in &network.hosts {
            let what = format!("{} knows {}", agent.node().name(), host.node.name());
            wait_until(LIMIT, &what, || knows(agent, host).then_some(()))?;
        }
    }
    let first = first(&network.agents)?;
    screen.step(&format!("every node has the routes of every other; on {}:", first.node().name()));
    screen.detail(&first.cli(&["show", "routes"])?);
    Ok(())
}

/// Shows what is in the kernel.
pub(super) fn forwarding_table(screen: &Screen, network: &Network) -> Result<(), DemoError> {
    let first = first(&network.agents)?;
    screen.step(&format!("and has put them into BPF maps; map FDB of {}:", first.node().name()));
    screen.detail(&first.cli(&["map", "dump", "FDB"])?);
    for agent in &network.agents {
        agent.cli(&["map", "verify"])?;
    }
    Ok(())
}

/// Pings between the first and the last host.
pub(super) fn ping(screen: &Screen, network: &Network) -> Result<(), DemoError> {
    let (from, to) = ends(network)?;
    for address in [&to.ipv4, &to.ipv6] {
        let text = from.node.run(&["ping", "-n", "-c", "3", "-i", "0.01", "-W", "1", address])?;
        let summary = text.lines().skip_while(|line| !line.starts_with("---")).skip(1);
        screen.step(&format!("{} pings {address} of {}:", from.node.name(), to.node.name()));
        screen.detail(&summary.collect::<Vec<_>>().join("\n"));
    }
    Ok(())
}

/// Shows one packet as it crosses the underlay.
pub(super) fn packet_on_the_wire(screen: &Screen, network: &Network) -> Result<(), DemoError> {
    let (from, to) = ends(network)?;
    let sender = first(&network.agents)?;
    let filter = "udp dst port 4789";
    let capture = Capture::start(sender.node(), UNDERLAY, filter)?;
    from.node.run(&["ping", "-n", "-c", "1", "-W", "1", &to.ipv4])?;
    let lines = wait_until(LIMIT, "a packet in the capture", || {
        let file = fs::read(capture.path()).ok()?;
        Some(packet::describe(pcap::packets(&file).first()?))
    })?;
    capture.stop()?;
    screen.step(&format!("the packet on {UNDERLAY} of {}:", sender.node().name()));
    screen.detail(&lines.join("\n"));
    Ok(())
}

/// Kills the agent that the traffic depends on, lets the traffic go on without it, and starts it again.
pub(super) fn agent_killed_under_traffic(screen: &Screen, network: &mut Network) -> Result<(), DemoError> {
    let (from, to) = ends(network)?;
    let ping = Ping::start(&from.node, &to.ipv4, Duration::from_millis(1))?;
    let agent = network.agents.first_mut().ok_or_else(nobody)?;
    let name = agent.node().name().to_owned();
    screen.step(&format!("1000 pings a second run; SIGKILL for the agent of {name}"));
    agent.kill();
    let (killed, before) = (Instant::now(), ping.received());
    wait_until(LIMIT, "500 pings without an agent", || (ping.received() >= before + 500).then_some(()))?;
    agent.resume()?;
    let away = killed.elapsed().as_secs_f64();
    wait_until(LIMIT, "BGP session of the new agent", || (established(agent) == Some(1)).then_some(()))?;
    agent.cli(&["map", "verify"])?;
    let loss = ping.finish()?;
    screen.step(&format!(
        "{away:.2} s later it runs again, and has its session back: {} answers, {} lost",
        loss.received, loss.lost
    ));
    if loss.lost > 0 {
        return Err(DemoError::Broken(format!("{} packets were lost while the agent was away", loss.lost)));
    }
    Ok(())
}

/// Sends well-formed VXLAN for a host from an address that no route names.
pub(super) fn forged_packets(screen: &Screen, network: &Network) -> Result<(), DemoError> {
    let (agent, victim) = (first(&network.agents)?, network.hosts.first().ok_or_else(nobody)?);
    let stranger = network.stranger(STRANGER)?;
    let (remote, vni) = ("10.99.0.1", VNI.to_string());
    let kind = ["type", "vxlan", "id", &vni, "local", STRANGER, "remote", remote, "dstport", "4789"];
    stranger.ip(&[&["link", "add", "vxlan"][..], &kind].concat())?;
    stranger.address("vxlan", "192.168.10.66/24")?;
    stranger.up("vxlan")?;
    let entry = ["neighbour", "add", &victim.ipv4, "lladdr", &victim.mac, "dev", "vxlan"];
    stranger.ip(&entry)?;

    let dropped = || agent.dropped("unknown-endpoint").unwrap_or(0);
    let (received, before) = (echo_requests(&victim.node)?, dropped());
    let count = FORGED_PACKETS.to_string();
    // Nothing answers: that is its failure, and our success.
    stranger.output(&["ping", "-n", "-c", &count, "-i", "0.01", "-W", "0.1", &victim.ipv4])?;
    let counted = wait_until(LIMIT, "drops counted as unknown-endpoint", || {
        Some(dropped() - before).filter(|drops| *drops >= FORGED_PACKETS)
    })?;
    let delivered = echo_requests(&victim.node)? - received;
    screen.step(&format!(
        "{STRANGER}, which no route names, sends {FORGED_PACKETS} packets with VNI {VNI} of {VPN} to {}: \
         {delivered} delivered, {counted} dropped as unknown-endpoint",
        agent.node().name()
    ));
    if delivered > 0 {
        return Err(DemoError::Broken(format!("{delivered} forged packets were delivered")));
    }
    Ok(())
}

/// Echo requests that a host has received so far. (Its interface also counts what the kernel asks of its own
/// accord.)
fn echo_requests(node: &Node) -> Result<u64, DemoError> {
    let text = node.run(&["cat", "/proc/net/snmp"])?;
    let mut lines = text.lines().filter_map(|line| line.strip_prefix("Icmp:"));
    let (names, values) = lines.next().zip(lines.next()).unwrap_or_default();
    let mut columns = names.split_whitespace().zip(values.split_whitespace());
    let value = columns.find(|(name, _)| *name == "InEchos").and_then(|(_, value)| value.parse().ok());
    value.ok_or_else(|| DemoError::Broken("the kernel does not count echo requests".to_owned()))
}

fn established(agent: &Agent) -> Option<u64> {
    agent.json(&["status"]).ok()?.pointer("/peers/established")?.as_u64()
}

fn knows(agent: &Agent, host: &Host) -> bool {
    let entries = agent.json(&["show", "fdb"]).unwrap_or_default();
    let known = |entry: &Value| entry.get("mac").is_some_and(|mac| *mac == host.mac);
    entries.as_array().is_some_and(|entries| entries.iter().any(known))
}

fn first(agents: &[Agent]) -> Result<&Agent, DemoError> {
    agents.first().ok_or_else(nobody)
}

fn ends(network: &Network) -> Result<(Host, Host), DemoError> {
    let (first, last) = (network.hosts.first(), network.hosts.last());
    first.cloned().zip(last.cloned()).ok_or_else(nobody)
}

fn nobody() -> DemoError {
    DemoError::Broken("the network has no nodes".to_owned())
}
