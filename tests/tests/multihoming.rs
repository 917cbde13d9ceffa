//! Hosts on an Ethernet segment of two other nodes, as GoBGP tells of it (RFC 7432 §8.2, §8.4, §14.1): both nodes are
//! kernel VTEPs, and the MAC address is behind each of them.

use std::collections::BTreeSet;
use std::ops::Range;

use bagpipe_agent::lab::{Agent, Host, LabError, Node, Process, wait_until};
use bagpipe_tests::fabric::{Fabric, Reflector, VNI, VPN, fdb};
use bagpipe_tests::kernel::Vtep;
use bagpipe_tests::{SOON, gobgp};
use serde_json::json;

/// A segment, and what GoBGP calls the value of its identifier, whose type is zero.
const ESI: &str = "00:01:02:03:04:05:06:07:08:09";
const VALUE: &str = "01:02:03:04:05:06:07:08:09";
const NODES: [u8; 2] = [2, 3];
const FLOWS: u16 = 400;

#[test]
fn flows_choose_between_the_nodes_of_a_segment() -> Result<(), LabError> {
    let mut site = Site::new()?;
    let agent = &site.fabric.agents[0];
    for number in NODES {
        site.takes("add", number)?;
    }
    site.mac("add", NODES[0])?;
    for number in NODES {
        site.on("add", number)?;
    }
    let both: Vec<String> = NODES.map(Fabric::address).to_vec();
    let wanted = json!({ "vpn": VPN, "mac": site.mac, "target": "segment", "esi": ESI, "endpoints": both });
    wait_until(SOON, "both nodes of the segment", || (fdb(agent, &site.mac)? == wanted).then_some(()))?;

    site.even_flows()?;
    site.answers_are_taken_from_both()?;

    // Mass withdraw: the routes of the MAC address and for the instance are still there.
    site.on("del", NODES[0])?;
    wait_until(SOON, "one node is left", || {
        (endpoints(agent, &site.mac) == [both[1].clone()]).then_some(())
    })?;
    let after = site.flows(1000)?;
    assert_eq!((after[0].len(), after[1].len()), (0, usize::from(FLOWS)));
    site.fabric.verify()?;

    site.on("add", NODES[0])?;
    wait_until(SOON, "both are back", || (endpoints(agent, &site.mac) == both).then_some(()))?;
    let again = site.even_flows()?;
    site.fabric.agents[0].kill();
    site.fabric.agents[0].resume()?;
    wait_until(SOON, "both after a restart", || {
        (endpoints(&site.fabric.agents[0], &site.mac) == both).then_some(())
    })?;
    assert_eq!(site.flows(0)?, again, "a restart moves no flow");

    for number in NODES {
        site.on("del", number)?;
    }
    wait_until(SOON, "nobody has the address", || {
        fdb(&site.fabric.agents[0], &site.mac).is_none().then_some(())
    })?;
    site.fabric.verify()
}

/// An agent with a host, and two VTEPs with a host each, which have the same addresses.
struct Site {
    fabric: Fabric,
    twins: [Host; 2],
    mac: String,
}

impl Site {
    fn new() -> Result<Self, LabError> {
        let mut fabric = Fabric::with_gobgp()?;
        fabric.add_node(1)?;
        let near = fabric.hosts[0].clone();
        let twin = |number| {
            let node = fabric.bare_node(number)?;
            let vtep = Vtep::new(&node, VNI, &Fabric::address(number))?;
            let host = Host {
                mac: "02:00:00:00:00:77".into(),
                ipv4: "192.168.10.77".into(),
                ..Host::new(&fabric.lab, number)?
            };
            vtep.plug(&fabric.lab, "port", &host)?;
            vtep.send_to(&near.mac, &Fabric::address(1))?;
            host.set_neighbor(&near.ipv4, &near.mac)?;
            near.set_neighbor(&host.ipv4, &host.mac)?;
            Ok::<_, LabError>(host)
        };
        let [left, right] = NODES;
        let twins = [twin(left)?, twin(right)?];
        let mac = twins[0].mac.clone();
        Ok(Self { fabric, twins, mac })
    }

    fn gobgp(&self, verb: &str, number: u8, route: &[&str], more: &[&str]) -> Result<(), LabError> {
        let Reflector::Gobgp(gobgp) = &self.fabric.reflector else { unreachable!("GoBGP") };
        say(gobgp, verb, number, route, more)
    }

    /// The node is on the segment.
    fn on(&self, verb: &str, number: u8) -> Result<(), LabError> {
        let route = ["a-d", "esi", "ARBITRARY", VALUE, "etag", "4294967295", "label", "0"];
        self.gobgp(verb, number, &route, &["esi-label", "0"])
    }

    /// The node takes frames for the segment.
    fn takes(&self, verb: &str, number: u8) -> Result<(), LabError> {
        let vni = VNI.to_string();
        let route = ["a-d", "esi", "ARBITRARY", VALUE, "etag", "0", "label", &vni];
        self.gobgp(verb, number, &route, &[])
    }

    /// The MAC address is on the segment.
    fn mac(&self, verb: &str, number: u8) -> Result<(), LabError> {
        let vni = VNI.to_string();
        let host = &self.twins[0];
        let route = ["macadv", &host.mac, &host.ipv4, "esi", "ARBITRARY", VALUE, "etag", "0", "label", &vni];
        self.gobgp(verb, number, &route, &[])
    }

    /// Sends one packet of each flow from the agent's host; which came to which of the twins.
    fn flows(&self, first: u16) -> Result<[BTreeSet<u16>; 2], LabError> {
        let receivers = [receiver(&self.twins[0].node)?, receiver(&self.twins[1].node)?];
        send(&self.fabric.hosts[0].node, &self.twins[0].ipv4, 20_000 + first..20_000 + first + FLOWS)?;
        wait_until(SOON, "all flows", || {
            let flows = [flows_of(&receivers[0]), flows_of(&receivers[1])];
            (flows.iter().map(BTreeSet::len).sum::<usize>() == usize::from(FLOWS)).then_some(flows)
        })
    }

    /// The same, when each has about half of them.
    fn even_flows(&self) -> Result<[BTreeSet<u16>; 2], LabError> {
        let (flows, even) = (self.flows(0)?, usize::from(FLOWS) / 2);
        for flows in &flows {
            assert!(flows.len().abs_diff(even) * 100 <= even * 30, "{} of {FLOWS} flows", flows.len());
        }
        Ok(flows)
    }

    /// Whichever node a frame comes from, it is the host's.
    fn answers_are_taken_from_both(&self) -> Result<(), LabError> {
        let near = &self.fabric.hosts[0];
        let receiver = receiver(&near.node)?;
        for (twin, first) in self.twins.iter().zip([30_000, 31_000]) {
            send(&twin.node, &near.ipv4, first..first + 10)?;
        }
        wait_until(SOON, "packets from both nodes", || (flows_of(&receiver).len() == 20).then_some(()))
    }
}

/// A route of a node, in GoBGP's words.
fn say(
    gobgp: &gobgp::Reflector,
    verb: &str,
    number: u8,
    route: &[&str],
    more: &[&str],
) -> Result<(), LabError> {
    let address = Fabric::address(number);
    let (rd, rt) = (format!("{address}:{VNI}"), format!("64512:{VNI}"));
    let common = ["rd", &rd, "rt", &rt, "encap", "vxlan"];
    let words = [&["global", "rib", verb, "-a", "evpn"][..], route, &common, more, &["nexthop", &address]];
    gobgp.gobgp(&words.concat()).map(drop)
}

fn endpoints(agent: &Agent, mac: &str) -> Vec<String> {
    let entry = fdb(agent, mac).unwrap_or_default();
    let endpoints = entry["endpoints"].as_array().into_iter().flatten();
    endpoints.filter_map(|endpoint| endpoint.as_str().map(str::to_owned)).collect()
}

fn receiver(node: &Node) -> Result<Process, LabError> {
    let mut receiver = node.spawn("flows", &["python3", "-c", RECEIVER])?;
    receiver
        .wait_ready(SOON, "receiver", |process| process.printed().starts_with("ready\n").then_some(()))?;
    Ok(receiver)
}

fn send(node: &Node, to: &str, ports: Range<u16>) -> Result<(), LabError> {
    node.run(&["python3", "-c", SENDER, to, &ports.start.to_string(), &ports.end.to_string()]).map(drop)
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

/// Sends one packet from each port of a range.
const SENDER: &str = "
import socket, sys
for port in range(int(sys.argv[2]), int(sys.argv[3])):
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
        sender.bind(('', port))
        sender.sendto(b'flow', (sys.argv[1], 7000))
";
