//! Equal ways to one prefix: how flows are spread over them, and which of them move.

use std::collections::BTreeSet;

use bagpipe_agent::lab::{Agent, LabError, wait_until};
use bagpipe_tests::SOON;
use bagpipe_tests::edges::{Edges, Family, Form, Site};
use bagpipe_tests::flows::{FlowReceiver, send};

const TARGET: &str = "64512:100";
/// The subnet that is behind several nodes, and an address in it.
const SUBNET: &str = "10.200.0.0/16";
const SERVICE: &str = "10.200.0.9";
const FIRST: u16 = 20_000;
const FLOWS: u16 = 1000;

#[test]
fn flows_are_spread_and_stay() -> Result<(), LabError> {
    let mut edges = Edges::new(Form::Udp, Family::V4, 4)?;
    let client = edges.attach_site(1, "red", 1, TARGET)?;
    let servers = (2..=4).map(|number| edges.attach_site(number, "red", number, TARGET));
    let servers = servers.collect::<Result<Vec<_>, _>>()?;
    for (server, agent) in servers.iter().zip(&edges.agents[1..]) {
        server.node.address("eth0", &format!("{SERVICE}/32"))?;
        announce(server, agent)?;
    }
    ways(&edges.agents[0], 3)?;
    edges.assert_meshed(&[&client, &servers[0]])?;
    let before = spread(&client, &servers)?;
    for flows in &before {
        let even = usize::from(FLOWS) / servers.len();
        assert!(
            flows.len().abs_diff(even) * 100 <= even * 15,
            "{} of {FLOWS} flows, not {even}",
            flows.len()
        );
    }

    // Another route comes and goes.
    let other = edges.attach_site(2, "red", 77, TARGET)?;
    edges.assert_meshed(&[&client, &other])?;
    assert_eq!(spread(&client, &servers)?, before, "no flow has a reason to move");
    other.detach(&edges.agents[1], "red")?;

    withdraw(&servers[1], &edges.agents[2])?;
    ways(&edges.agents[0], 2)?;
    let after = spread(&client, &servers)?;
    assert!(after[1].is_empty());
    for number in [0, 2] {
        assert!(before[number].is_subset(&after[number]), "a flow of the others moved");
    }

    // A restart finds the shares as they are.
    edges.agents[0].kill();
    edges.agents[0].resume()?;
    ways(&edges.agents[0], 2)?;
    assert_eq!(spread(&client, &servers)?, after, "a restart moves no flow");

    announce(&servers[1], &edges.agents[2])?;
    ways(&edges.agents[0], 3)?;
    let again = spread(&client, &servers)?;
    for number in [0, 2] {
        assert!(again[number].is_subset(&after[number]), "who came back takes flows, and nobody else");
    }
    edges.verify()
}

fn announce(server: &Site, agent: &Agent) -> Result<(), LabError> {
    let words = ["attach", "--type", "ipvpn", "--vpn", "red", "--port", &server.port, "--mac", &server.mac];
    agent.cli(&[&words[..], &["--ip", SUBNET, "--advertise-subnet", "--rt", TARGET]].concat()).map(drop)
}

fn withdraw(server: &Site, agent: &Agent) -> Result<(), LabError> {
    let words = ["detach", "--type", "ipvpn", "--vpn", "red", "--port", &server.port, "--mac", &server.mac];
    agent.cli(&[&words[..], &["--ip", SUBNET]].concat()).map(drop)
}

/// Waits until the client's node has this many ways to the subnet.
fn ways(agent: &Agent, count: usize) -> Result<(), LabError> {
    wait_until(SOON, &format!("{count} ways to {SUBNET}"), || {
        let routes = agent.json(&["show", "routes", "--vpn", "red"]).ok()?;
        let hops =
            routes.as_array()?.iter().find(|route| route["prefix"] == SUBNET)?["hops"].as_array()?.len();
        (hops == count).then_some(())
    })?;
    wait_until(SOON, "clean maps", || agent.cli(&["map", "verify"]).ok()).map(drop)
}

/// Sends one packet of each flow; which flows came to which server.
fn spread(client: &Site, servers: &[Site]) -> Result<Vec<BTreeSet<u16>>, LabError> {
    let receivers =
        servers.iter().map(|server| FlowReceiver::start(&server.node)).collect::<Result<Vec<_>, _>>()?;
    send(&client.node, SERVICE, FIRST..FIRST + FLOWS)?;
    wait_until(SOON, "all flows", || {
        let flows: Vec<BTreeSet<u16>> = receivers.iter().map(FlowReceiver::flows).collect();
        (flows.iter().map(BTreeSet::len).sum::<usize>() == usize::from(FLOWS)).then_some(flows)
    })
}
