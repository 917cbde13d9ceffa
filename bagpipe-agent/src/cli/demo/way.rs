//! The way of a packet between subnets: as an agent explains it, and as the routers on it answer.

use std::net::IpAddr;
use std::time::Duration;

use serde_json::Value;

use super::DemoError;
use super::network::Network;
use super::screen::Screen;
use super::steps::{ends, first};
use super::subnet::Subnet;
use crate::cli::rows::members;
use crate::lab::{Agent, Host, wait_until};

const LIMIT: Duration = Duration::from_secs(10);

/// Waits until every node has a way to every host, and shows the routes and where they lead.
pub(super) fn routes(screen: &Screen, network: &Network, vpn: &str) -> Result<(), DemoError> {
    for agent in &network.agents {
        for host in &network.hosts {
            let what = format!("{} knows the way to {}", agent.node().name(), host.node.name());
            let known = || [&host.ipv4, &host.ipv6].iter().all(|address| has_way(agent, vpn, address));
            wait_until(LIMIT, &what, || known().then_some(()))?;
        }
    }
    let first = first(&network.agents)?;
    let name = first.node().name();
    screen.step(&format!("every node has the routes of every other; on {name}:"));
    screen.detail(&first.cli(&["show", "routes"])?);
    screen.step(&format!("{name} makes of them, for {vpn}:"));
    screen.detail(&first.cli(&["show", "routes", "--vpn", vpn])?);
    Ok(())
}

/// Has an agent explain why packets go where they go.
pub(super) fn explanation(screen: &Screen, network: &Network, vpn: &str) -> Result<(), DemoError> {
    let (_, to) = ends(network)?;
    let first = first(&network.agents)?;
    let line = ["explain", "--vpn", vpn, "--ip", &to.ipv4];
    let text = first.cli(&line)?;
    screen.step(&format!("bagpipe {} on {}:", line.join(" "), first.node().name()));
    screen.detail(&text);
    Ok(())
}

/// Lets packets live for one hop more each time, and shows who answers: the gateway of the one end, that of the other,
/// then the host.
pub(super) fn routers(screen: &Screen, network: &Network, subnets: [Subnet; 2]) -> Result<(), DemoError> {
    let (from, to) = ends(network)?;
    let [near, far] = subnets.map(Subnet::gateways);
    for ((near, far), address) in near.iter().zip(&far).zip([&to.ipv4, &to.ipv6]) {
        screen.step(&format!("the way from {} to {address}, one hop more each time:", from.node.name()));
        let hops = [("1", &near.0, "exceeded"), ("2", &far.0, "exceeded"), ("3", address, "time=")];
        for (ttl, expected, proof) in hops {
            let line = ["ping", "-n", "-c", "1", "-W", "1", "-t", ttl, address];
            let text = from.node.output(&line)?.stdout;
            let (who, said) = answer(&text).ok_or_else(|| silent(&from, address, ttl))?;
            screen.detail(&format!("{ttl}  {who}  {said}"));
            if !same(who, expected) || !said.contains(proof) {
                let seen = format!("hop {ttl} to {address} is {who} ({said}), and not {expected}");
                return Err(DemoError::Broken(seen));
            }
        }
    }
    Ok(())
}

/// Who answered a ping, and with what.
fn answer(text: &str) -> Option<(&str, &str)> {
    text.lines().find_map(|line| {
        let (answer, end) = match line.strip_prefix("From ") {
            Some(answer) => (answer, " icmp_seq="),
            None => (line.split_once(" bytes from ")?.1, ": icmp_seq="),
        };
        let (who, rest) = answer.split_once(end)?;
        let (_, said) = rest.split_once(' ')?;
        Some((who, said))
    })
}

fn same(one: &str, other: &str) -> bool {
    one.parse::<IpAddr>().is_ok_and(|one| other.parse() == Ok(one))
}

fn silent(from: &Host, address: &str, ttl: &str) -> DemoError {
    DemoError::Broken(format!("nobody answers {} at hop {ttl} to {address}", from.node.name()))
}

/// Whether packets for an address get somewhere, and the neighbour on the way is known.
fn has_way(agent: &Agent, vpn: &str, address: &str) -> bool {
    let line = ["explain", "--vpn", vpn, "--ip", address];
    let Ok(explanation) = agent.json(&line) else { return false };
    let stopped = explanation.get("stopped").and_then(Value::as_str);
    let resolved = |egress: &Value| egress.get("state").is_some_and(|state| state == "resolved");
    stopped.is_none()
        && !members(&explanation, "/hops").is_empty()
        && members(&explanation, "/egress").iter().all(resolved)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn routers_and_hosts_answer_a_ping() {
        let cases = [
            (
                "PING 10.1.2.3 (10.1.2.3) 56(84) bytes of data.\nFrom 10.1.1.1 icmp_seq=1 Time to live exceeded\n",
                Some(("10.1.1.1", "Time to live exceeded")),
            ),
            (
                "PING fd01:2::3(fd01:2::3) 56 data bytes\nFrom fd01:2::1 icmp_seq=1 Time exceeded: Hop limit\n",
                Some(("fd01:2::1", "Time exceeded: Hop limit")),
            ),
            (
                "64 bytes from fd01:2::3: icmp_seq=1 ttl=62 time=0.1 ms\n",
                Some(("fd01:2::3", "ttl=62 time=0.1 ms")),
            ),
            ("1 packets transmitted, 0 received, 100% packet loss, time 0ms\n", None),
        ];
        for (text, expected) in cases {
            assert_eq!(answer(text), expected);
        }
    }

    #[test]
    fn an_address_may_be_written_in_two_ways() {
        assert!(same("fd01:2::1", "fd01:2:0::1"));
        assert!(!same("10.1.1.1", "10.1.1.2"));
        assert!(!same("nobody", "nobody"));
    }
}
