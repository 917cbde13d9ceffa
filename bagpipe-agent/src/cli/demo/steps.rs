//! Steps that all demos have, once the network stands. Each shows something and checks it.

use std::fs;
use std::time::{Duration, Instant};

use serde_json::Value;

use super::network::{Network, UNDERLAY};
use super::screen::Screen;
use super::{DemoError, packet, pcap};
use crate::lab::{Agent, Capture, Host, Ping, wait_until};

const LIMIT: Duration = Duration::from_secs(10);

/// Waits for BGP with these families: what the agent calls them, and what they are called.
pub(super) fn sessions(
    screen: &Screen,
    network: &Network,
    families: &[(&str, &str)],
) -> Result<(), DemoError> {
    for agent in &network.agents {
        let what = format!("BGP session of {}", agent.node().name());
        wait_until(LIMIT, &what, || speaks(agent, families).then_some(()))?;
    }
    let names = families.iter().map(|(_, name)| *name).collect::<Vec<_>>();
    let names = match names.as_slice() {
        [all @ .., last] => format!("{} and {last}", all.join(", ")),
        [] => String::new(),
    };
    screen.step(&format!("BGP sessions are established with the reflector, for {names}"));
    screen.detail(&network.reflector.cli(&["show", "peers"])?);
    Ok(())
}

/// Asks an agent for a deed, by the words of one `bagpipe attach` or more.
pub(super) fn attach(
    screen: &Screen,
    agent: &Agent,
    deed: &str,
    requests: &[Vec<String>],
) -> Result<(), DemoError> {
    let start = Instant::now();
    for words in requests {
        agent.cli(&words.iter().map(String::as_str).collect::<Vec<_>>())?;
    }
    let milliseconds = start.elapsed().as_secs_f64() * 1e3;
    screen.step(&format!("{deed} on {} ({milliseconds:.1} ms):", agent.node().name()));
    for words in requests {
        screen.detail(&format!("bagpipe {}", words.join(" ")));
    }
    Ok(())
}

/// Shows what is in the kernel.
pub(super) fn maps(screen: &Screen, network: &Network, maps: &[&str]) -> Result<(), DemoError> {
    let first = first(&network.agents)?;
    for (index, map) in maps.iter().enumerate() {
        let said = if index == 0 { "and has put them into BPF maps; " } else { "" };
        screen.step(&format!("{said}map {map} of {}:", first.node().name()));
        screen.detail(&first.cli(&["map", "dump", map])?);
    }
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

/// Shows one packet as it crosses the underlay, and returns what was told of it.
pub(super) fn packet_on_the_wire(
    screen: &Screen,
    network: &Network,
    filter: &str,
) -> Result<Vec<String>, DemoError> {
    let (from, to) = ends(network)?;
    let sender = first(&network.agents)?;
    let capture = Capture::start(sender.node(), UNDERLAY, filter)?;
    from.node.run(&["ping", "-n", "-c", "1", "-W", "1", &to.ipv4])?;
    let lines = wait_until(LIMIT, "a packet in the capture", || {
        let file = fs::read(capture.path()).ok()?;
        Some(packet::describe(pcap::packets(&file).first()?))
    })?;
    capture.stop()?;
    screen.step(&format!("the packet on {UNDERLAY} of {}:", sender.node().name()));
    screen.detail(&lines.join("\n"));
    Ok(lines)
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

/// The first of what there is one of for each node.
pub(super) fn first<T>(members: &[T]) -> Result<&T, DemoError> {
    members.first().ok_or_else(nobody)
}

/// The last of what there is one of for each node.
pub(super) fn last<T>(members: &[T]) -> Result<&T, DemoError> {
    members.last().ok_or_else(nobody)
}

/// The first and the last host.
pub(super) fn ends(network: &Network) -> Result<(Host, Host), DemoError> {
    let (first, last) = (network.hosts.first(), network.hosts.last());
    first.cloned().zip(last.cloned()).ok_or_else(nobody)
}

/// Whether the session with the reflector is there, with all of these families.
fn speaks(agent: &Agent, families: &[(&str, &str)]) -> bool {
    let peers = agent.json(&["show", "peers"]).unwrap_or_default();
    let negotiated = peers.pointer("/0/negotiated/families").and_then(Value::as_array);
    let has = |family: &str| negotiated.is_some_and(|all| all.iter().any(|name| name == family));
    established(agent) == Some(1) && families.iter().all(|(family, _)| has(family))
}

fn established(agent: &Agent) -> Option<u64> {
    agent.json(&["status"]).ok()?.pointer("/peers/established")?.as_u64()
}

fn nobody() -> DemoError {
    DemoError::Broken("the network has no nodes".to_owned())
}
