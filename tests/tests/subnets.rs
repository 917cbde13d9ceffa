//! Routing between E-VPN subnets on the nodes themselves, and to the prefixes of an IP-VPN (RFC 9135, RFC 9136).

use std::time::Duration;

use bagpipe_agent::lab::{Agent, Capture, LabError, Ping};
use bagpipe_tests::edges::{Edges, Family, Form, Site};
use bagpipe_tests::fabric::UNDERLAY;
use bagpipe_tests::{traffic, tshark};

const TENANT: &str = "64512:300";

/// An E-VPN and its subnet.
struct Subnet {
    name: &'static str,
    number: u8,
    vni: &'static str,
    target: &'static str,
}

const WEB: Subnet = Subnet { name: "web", number: 1, vni: "11", target: "64512:11" };
const DATA: Subnet = Subnet { name: "data", number: 2, vni: "12", target: "64512:12" };

impl Subnet {
    /// Attaches a site to the E-VPN.
    fn attach(&self, agent: &Agent, site: &Site) -> Result<(), LabError> {
        let words = ["attach", "--type", "evpn", "--vpn", self.name, "--rt", self.target, "--vni", self.vni];
        let port = ["--port", &site.port, "--mac", &site.mac, "--ip", &site.ipv4, "--ip", &site.ipv6];
        agent.cli(&[&words[..], &port].concat()).map(drop)
    }

    /// Plugs the E-VPN into the tenant's IP-VPN, with its gateways.
    fn plug(&self, agent: &Agent) -> Result<(), LabError> {
        let words = ["attach", "--type", "ipvpn", "--vpn", "tenant", "--rt", TENANT, "--evpn", self.name];
        for (gateway, length) in
            [(format!("10.1.{}.1", self.number), 24), (format!("fd01:{:x}::1", self.number), 64)]
        {
            let address = format!("{gateway}/{length}");
            let own = ["--mac", "02:00:00:00:02:01", "--ip", &address, "--gateway-ip", &gateway];
            agent.cli(&[&words[..], &own].concat())?;
        }
        Ok(())
    }
}

#[test]
fn subnets_are_routed_on_every_node_by_vxlan() -> Result<(), LabError> {
    subnets_are_routed_on_every_node(Form::Vxlan)
}

#[test]
fn subnets_are_routed_on_every_node_under_labels() -> Result<(), LabError> {
    subnets_are_routed_on_every_node(Form::Udp)
}

/// Hosts of two subnets behind nodes that have one of them, or both, and a site of the IP-VPN: all reach all.
fn subnets_are_routed_on_every_node(form: Form) -> Result<(), LabError> {
    let mut edges = Edges::new(form, Family::V4, 4)?;
    let web = site(&mut edges, 1, "web1", &WEB, 2)?;
    let data = site(&mut edges, 2, "data2", &DATA, 2)?;
    let both = site(&mut edges, 3, "web3", &WEB, 3)?;
    let beside = site(&mut edges, 3, "data3", &DATA, 3)?;
    let outside = edges.attach_site(4, "tenant", 9, TENANT)?;
    let all = [&web, &data, &both, &beside, &outside];
    edges.assert_meshed(&all)?;
    for host in all {
        for gateway in [&host.gateway4, &host.gateway6] {
            traffic::wait_for_ping(&host.node, gateway)?;
        }
    }
    for (from, to) in [(&web, &data), (&web, &outside), (&both, &beside), (&outside, &both)] {
        for address in [&to.ipv4, &to.ipv6] {
            let bits = traffic::tcp_throughput(&from.node, &to.node, address)?;
            assert!(bits > 5e7, "TCP to {address}: {bits} bit/s");
        }
    }
    edges.verify()
}

/// Between two nodes the packet goes with the VNI of the IP-VPN and the MAC addresses of the two routers (symmetric IRB,
/// RFC 9135 §5).
#[test]
fn routed_packets_go_with_the_vni_of_the_router() -> Result<(), LabError> {
    let mut edges = Edges::new(Form::Vxlan, Family::V4, 2)?;
    let web = site(&mut edges, 1, "web1", &WEB, 2)?;
    let data = site(&mut edges, 2, "data2", &DATA, 2)?;
    edges.assert_meshed(&[&web, &data])?;
    let capture = Capture::start(edges.agents[0].node(), UNDERLAY, "udp port 4789")?;
    traffic::wait_for_ping(&web.node, &data.ipv4)?;
    traffic::wait_for_ping(&web.node, &data.ipv6)?;
    let capture = capture.stop()?;
    tshark::assert_well_formed(&capture, &["vxlan && icmp", "vxlan && icmpv6"]);
    let bridged = format!("vxlan.vni in {{{}, {}}} && (icmp || icmpv6.type == 128)", WEB.vni, DATA.vni);
    assert_eq!(tshark::packets(&capture, &bridged), "");
    Ok(())
}

/// A host moves to another node: its gateway is there already, and has the same addresses.
#[test]
fn a_host_keeps_its_gateway_when_it_moves() -> Result<(), LabError> {
    let mut edges = Edges::new(Form::Vxlan, Family::V4, 3)?;
    let web = site(&mut edges, 1, "web1", &WEB, 2)?;
    let data = site(&mut edges, 2, "data2", &DATA, 2)?;
    let stays = site(&mut edges, 3, "web3", &WEB, 3)?;
    edges.assert_meshed(&[&web, &data, &stays])?;
    let gateway = mac_of(&web, &web.gateway4);
    web.node.ip(&["link", "delete", "eth0"])?;
    web.link(&edges.lab, edges.agents[2].node())?;
    WEB.attach(&edges.agents[2], &web)?;
    let words = ["detach", "--type", "evpn", "--vpn", "web", "--port", &web.port, "--mac", &web.mac];
    edges.agents[0].cli(&words)?;
    edges.assert_meshed(&[&web, &data, &stays])?;
    assert_eq!(mac_of(&web, &web.gateway4), gateway, "the gateway is the same on every node");
    let traffic = Ping::start(&web.node, &data.ipv4, Duration::from_millis(2))?;
    edges.agents[2].kill();
    edges.agents[2].resume()?;
    edges.assert_meshed(&[&web, &data, &stays])?;
    assert_eq!(traffic.finish()?.lost, 0);
    Ok(())
}

/// A site of a subnet behind a node where the subnet is plugged in, or becomes so.
fn site(edges: &mut Edges, node: u8, name: &str, subnet: &Subnet, host: u8) -> Result<Site, LabError> {
    let site = edges.add_host(node, name, subnet.number, host)?;
    let agent = &edges.agents[usize::from(node) - 1];
    subnet.attach(agent, &site)?;
    subnet.plug(agent)?;
    Ok(site)
}

fn mac_of(site: &Site, address: &str) -> String {
    let text = site.node.ip(&["-j", "neighbour", "show", address, "dev", "eth0"]).unwrap_or_default();
    let entries = serde_json::from_str::<serde_json::Value>(&text).unwrap_or_default();
    entries.pointer("/0/lladdr").map_or_else(String::new, ToString::to_string)
}
