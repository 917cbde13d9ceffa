//! `--vpn subnets`: two subnets of E-VPNs, and an IP-VPN that both are plugged into on the nodes themselves.

use std::collections::BTreeSet;

use super::network::{Network, Plan};
use super::screen::Screen;
use super::subnet::{Subnet, attach_words, port_words};
use super::{DemoError, steps, way};
use crate::lab::Host;

/// The IP-VPN.
pub(super) const VPN: &str = "tenant";
/// What finds its packets in the underlay.
pub(super) const FILTER: &str = "udp port 4789";

const TARGET: &str = "64512:300";
/// The VNI that packets between the subnets go with.
const VNI: u32 = 300;

/// The MAC address of the plugs between the E-VPNs and the IP-VPN; no packet has it.
const PLUG: &str = "02:00:00:00:02:01";

/// An E-VPN and its subnet.
#[derive(Clone, Copy, Debug)]
struct Bridge {
    name: &'static str,
    subnet: Subnet,
    vni: u32,
}

const WEB: Bridge = Bridge { name: "web", subnet: Subnet(1), vni: 11 };
const DATA: Bridge = Bridge { name: "data", subnet: Subnet(2), vni: 12 };

/// The whole demo.
pub(super) fn show(screen: &Screen, nodes: u8) -> Result<Network, DemoError> {
    screen.step(&format!(
        "{nodes} nodes and a route reflector, each in a network namespace, a host behind each node, in subnet {} or in \
         subnet {}; each node routes between the two",
        WEB.name, DATA.name
    ));
    let plan =
        Plan { nodes, settings, host: &|lab, number| Bridge::behind(number, nodes).subnet.host(lab, number) };
    let mut network = Network::build(screen, &plan)?;
    steps::sessions(screen, &network, &[("evpn", "E-VPN"), ("rtc", "RT Constraint")])?;
    for ((agent, host), number) in network.agents.iter().zip(&network.hosts).zip(1..) {
        let bridge = Bridge::behind(number, nodes);
        bridge.subnet.use_gateways(host)?;
        let deed = format!("{} is attached", host.node.name());
        steps::attach(screen, agent, &deed, &[bridge.attachment(host)])?;
        let deed = format!("subnet {} is plugged into {VPN}", bridge.name);
        steps::attach(screen, agent, &deed, &bridge.plugs())?;
    }
    way::routes(screen, &network, VPN)?;
    steps::maps(screen, &network, &["FDB", "HOSTS", "ADJACENCIES"])?;
    way::explanation(screen, &network, VPN)?;
    steps::ping(screen, &network)?;
    gateways(screen, &network, nodes)?;
    way::routers(screen, &network, [WEB.subnet, DATA.subnet])?;
    routed_packet(screen, &network, nodes)?;
    steps::agent_killed_under_traffic(screen, &mut network)?;
    Ok(network)
}

fn settings(number: u8) -> String {
    format!("router_mac = \"{}\"\n[vpn]\nipvpn_encapsulation = \"vxlan\"\n", router_mac(number))
}

/// What the router on the node of a number is called on the way between nodes.
fn router_mac(number: u8) -> String {
    format!("02:00:00:00:ff:{number:02x}")
}

impl Bridge {
    /// That of a node: the first half of the nodes has one, the others have the other.
    const fn behind(number: u8, nodes: u8) -> Self {
        if number <= nodes / 2 { WEB } else { DATA }
    }

    /// What attaches a host.
    fn attachment(self, host: &Host) -> Vec<String> {
        let own = ["--vni", &self.vni.to_string(), "--ip", &host.ipv4, "--ip", &host.ipv6].map(str::to_owned);
        [attach_words("evpn", self.name, &format!("64512:{}", self.vni)), port_words(host), own.to_vec()]
            .concat()
    }

    /// What plugs the E-VPN into the IP-VPN, with a gateway of each family.
    fn plugs(self) -> Vec<Vec<String>> {
        let plug = |(gateway, length): (String, u8)| {
            let address = format!("{gateway}/{length}");
            let own = ["--evpn", self.name, "--mac", PLUG, "--vni", &VNI.to_string(), "--ip", &address];
            let own = [&own[..], &["--gateway-ip", &gateway]].concat();
            [attach_words("ipvpn", VPN, TARGET), own.iter().map(|word| (*word).to_owned()).collect()].concat()
        };
        self.subnet.gateways().map(plug).to_vec()
    }
}

/// Shows that the gateway is the node itself, with the same MAC address on each: a host may move and keeps it.
fn gateways(screen: &Screen, network: &Network, nodes: u8) -> Result<(), DemoError> {
    screen.step("each host has its own node as gateway, and all gateways have one MAC address:");
    let mut macs = BTreeSet::new();
    for (host, number) in network.hosts.iter().zip(1..) {
        for (gateway, _) in Bridge::behind(number, nodes).subnet.gateways() {
            host.node.run(&["ping", "-n", "-c", "1", "-W", "1", &gateway])?;
            let mac = host.neighbor(&gateway);
            let mac = mac.ok_or_else(|| DemoError::Broken(format!("{gateway} has no MAC address")))?;
            screen.detail(&format!("{}  {gateway:<9}  is at {mac}", host.node.name()));
            macs.insert(mac);
        }
    }
    match macs.len() {
        1 => Ok(()),
        _ => Err(DemoError::Broken("the gateways have different MAC addresses".to_owned())),
    }
}

/// A packet between the subnets is in none of them on its way: it goes with the VNI of the IP-VPN, from router to router
/// (RFC 9135 §5).
fn routed_packet(screen: &Screen, network: &Network, nodes: u8) -> Result<(), DemoError> {
    let lines = steps::packet_on_the_wire(screen, network, "udp dst port 4789")?;
    let (from, to) = (router_mac(1), router_mac(nodes));
    let expected = [format!("VXLAN     VNI {VNI}, flags 0x08"), format!("Ethernet  {from} -> {to}")];
    if lines.windows(2).any(|lines| lines == expected) {
        return Ok(());
    }
    Err(DemoError::Broken(format!("the packet does not go from router to router with VNI {VNI}")))
}
