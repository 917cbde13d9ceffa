//! Equal ways to one prefix: how flows are spread over them, and which of them move.

use std::collections::BTreeSet;

use bagpipe_agent::lab::{Agent, LabError, Node, Process, wait_until};
use bagpipe_tests::SOON;
use bagpipe_tests::edges::{Edges, Family, Form, Site};

const TARGET: &str = "64512:100";
/// The subnet that is behind several nodes, and an address in it.
const SUBNET: &str = "10.200.0.0/16";
const SERVICE: &str = "10.200.0.9";
const FLOWS: usize = 1000;

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
        let even = FLOWS / servers.len();
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
    let receivers = servers.iter().map(|server| receiver(&server.node)).collect::<Result<Vec<_>, _>>()?;
    client.node.run(&["python3", "-c", SENDER, SERVICE, &FLOWS.to_string()])?;
    wait_until(SOON, "all flows", || {
        let flows: Vec<BTreeSet<u16>> = receivers.iter().map(flows_of).collect();
        (flows.iter().map(BTreeSet::len).sum::<usize>() == FLOWS).then_some(flows)
    })
}

fn receiver(node: &Node) -> Result<Process, LabError> {
    let mut receiver = node.spawn("flows", &["python3", "-c", RECEIVER])?;
    receiver
        .wait_ready(SOON, "receiver", |process| process.printed().starts_with("ready\n").then_some(()))?;
    Ok(receiver)
}

fn flows_of(receiver: &Process) -> BTreeSet<u16> {
    let printed = receiver.printed();
    let whole = printed.rfind('\n').map_or("", |end| &printed[..end]);
    whole.lines().skip(1).filter_map(|line| line.parse().ok()).collect()
}

/// Prints the source port of each packet.
const RECEIVER: &str = "
import socket
receiver = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
receiver.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 22)
receiver.bind(('', 7000))
print('ready', flush=True)
while True:
    print(receiver.recvfrom(100)[1][1], flush=True)
";

/// Sends one packet from each of so many ports.
const SENDER: &str = "
import socket, sys
for port in range(20000, 20000 + int(sys.argv[2])):
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
        sender.bind(('', port))
        sender.sendto(b'flow', (sys.argv[1], 7000))
";
