//! Provider edges: nodes with an agent each, a reflector, and sites in IP-VPNs behind them.

use std::fmt::Write as _;

use bagpipe_agent::lab::{Agent, AgentOptions, BgpRole, Lab, LabError, Node, Switch};

use crate::fabric::UNDERLAY;
use crate::{bagpipe, traffic};

/// How packets go from node to node: configuration, and what tshark calls it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// A label on Ethernet (RFC 3032).
    Ethernet,
    /// A label in GRE (RFC 4023).
    Gre,
    /// A label in UDP (RFC 7510).
    Udp,
    /// VXLAN with the VNI of the IP-VPN (RFC 9135 §4).
    Vxlan,
}

impl Form {
    /// What finds its packets in a capture.
    #[must_use]
    pub const fn filter(self) -> &'static str {
        match self {
            Self::Ethernet => "eth.type == 0x8847 && mpls",
            Self::Gre => "gre.proto == 0x8847 && mpls",
            Self::Udp => "udp.dstport == 6635 && mpls",
            Self::Vxlan => "udp.dstport == 4789 && vxlan",
        }
    }

    const fn dataplane(self) -> &'static str {
        match self {
            Self::Ethernet => "mpls = \"ethernet\"",
            Self::Gre => "mpls = \"gre\"",
            Self::Udp | Self::Vxlan => "mpls = \"udp\"",
        }
    }

    const fn encapsulation(self) -> &'static str {
        match self {
            Self::Vxlan => "vxlan",
            _ => "mpls",
        }
    }
}

/// The family of the underlay's addresses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Family {
    /// IPv4.
    V4,
    /// IPv6.
    V6,
}

impl Family {
    /// The address of a node.
    #[must_use]
    pub fn node(self, number: u8) -> String {
        match self {
            Self::V4 => format!("10.98.0.{number}"),
            Self::V6 => format!("fd98::{number:x}"),
        }
    }

    /// The address of a node with its prefix length.
    #[must_use]
    pub fn prefix(self, number: u8) -> String {
        format!("{}/{}", self.node(number), self.length())
    }

    const fn length(self) -> u8 {
        match self {
            Self::V4 => 24,
            Self::V6 => 64,
        }
    }
}

/// The number of the reflector among the nodes.
const REFLECTOR: u8 = 254;

/// The nodes, numbered from 1.
#[derive(Debug)]
pub struct Edges {
    /// One for each node.
    pub agents: Vec<Agent>,
    /// The reflector.
    pub reflector: Agent,
    /// The switch between the nodes.
    pub underlay: Switch,
    /// The sites, in the order in which they were added.
    pub sites: Vec<Site>,
    form: Form,
    family: Family,
    /// What it all stands in; the last to go.
    pub lab: Lab,
}

/// A host behind a node, with a gateway that is the node.
#[derive(Clone, Debug)]
pub struct Site {
    /// Its namespace.
    pub node: Node,
    /// Its interface on its node.
    pub port: String,
    /// Its MAC address.
    pub mac: String,
    /// Its IPv4 address, in a /24.
    pub ipv4: String,
    /// Its IPv6 address, in a /64.
    pub ipv6: String,
    /// Gateway of its IPv4 subnet.
    pub gateway4: String,
    /// Gateway of its IPv6 subnet.
    pub gateway6: String,
}

impl Edges {
    /// Nodes and a reflector, without sites.
    ///
    /// # Errors
    /// When a part does not come up.
    pub fn new(form: Form, family: Family, nodes: u8) -> Result<Self, LabError> {
        let lab = Lab::new()?;
        let underlay = lab.switch("underlay")?;
        let node = lab.node("reflector")?;
        plug(&underlay, &node, family, REFLECTOR)?;
        let clients = format!("{}/{}", family.node(0), family.length());
        let options = AgentOptions {
            address: &family.node(REFLECTOR),
            router_id: Some("10.98.0.254"),
            role: BgpRole::Reflector(&clients),
            underlay: None,
            hold_time: 9,
        };
        let reflector = Agent::start(&lab, &bagpipe(), &node, &options)?;
        let mut edges =
            Self { agents: Vec::new(), reflector, underlay, sites: Vec::new(), form, family, lab };
        for number in 1..=nodes {
            edges.add_node(number, form)?;
        }
        Ok(edges)
    }

    /// Makes a node that sends in a form of its own.
    ///
    /// # Errors
    /// When the agent does not start.
    pub fn add_node(&mut self, number: u8, form: Form) -> Result<(), LabError> {
        let node = self.lab.node(&format!("node{number}"))?;
        plug(&self.underlay, &node, self.family, number)?;
        let (address, reflector) = (self.family.node(number), self.family.node(REFLECTOR));
        let configuration = format!(
            "[bgp]\nlocal_address = \"{address}\"\nrouter_id = \"10.98.0.{number}\"\nas_number = 64512\nhold_time = 9\n\
             [[bgp.peers]]\naddress = \"{reflector}\"\n\
             [dataplane]\nunderlay = [\"{UNDERLAY}\"]\n{}\n\
             [vpn]\nipvpn_encapsulation = \"{}\"\nevpn_encapsulation = \"{}\"\n",
            form.dataplane(),
            form.encapsulation(),
            form.encapsulation(),
        );
        self.agents.push(Agent::configured(&self.lab, &bagpipe(), &node, &configuration)?);
        Ok(())
    }

    /// Makes the first host of subnet `subnet` behind a node, linked but not attached.
    ///
    /// # Errors
    /// When there is one of this name.
    pub fn add_site(&mut self, node: u8, name: &str, subnet: u8) -> Result<Site, LabError> {
        self.add_host(node, name, subnet, 2)
    }

    /// Makes a host with two interfaces, each a site at the node, between which it forwards: to the site of this number by
    /// the second, and else by the first.
    ///
    /// # Errors
    /// When it is there already.
    pub fn add_function(&mut self, node: u8, number: u8, beyond: u8) -> Result<[Site; 2], LabError> {
        let left = self.add_site(node, &format!("left{number}"), 10 + 2 * number)?;
        let right = Site {
            port: format!("to-right{number}"),
            mac: format!("02:00:00:00:02:{number:02x}"),
            ipv4: format!("10.1.{}.2", 11 + 2 * number),
            ipv6: format!("fd01:{:x}::2", 11 + 2 * number),
            gateway4: format!("10.1.{}.1", 11 + 2 * number),
            gateway6: format!("fd01:{:x}::1", 11 + 2 * number),
            node: left.node.clone(),
        };
        let host = &left.node;
        self.lab.link((self.agents[usize::from(node) - 1].node(), &right.port), (host, "eth1"))?;
        host.mac("eth1", &right.mac)?;
        host.address("eth1", &format!("{}/24", right.ipv4))?;
        host.address("eth1", &format!("{}/64", right.ipv6))?;
        // Where it forwards, the kernel asks for neighbours from these.
        host.address("eth0", "fe80::1/64")?;
        host.address("eth1", "fe80::2/64")?;
        host.sysctl("net.ipv4.ip_forward", "1")?;
        host.sysctl("net.ipv6.conf.all.forwarding", "1")?;
        host.ip(&["route", "add", &format!("10.1.{beyond}.0/24"), "via", &right.gateway4])?;
        host.ip(&["-6", "route", "add", &format!("fd01:{beyond:x}::/64"), "via", &right.gateway6])?;
        Ok([left, right])
    }

    /// Makes the host of a number in subnet `subnet` behind a node, linked but not attached.
    ///
    /// # Errors
    /// When there is one of this name.
    pub fn add_host(&mut self, node: u8, name: &str, subnet: u8, host: u8) -> Result<Site, LabError> {
        let agent = &self.agents[usize::from(node) - 1];
        let site = Site::new(&self.lab, agent.node(), name, self.sites.len() + 1, subnet, host)?;
        self.sites.push(site.clone());
        Ok(site)
    }

    /// Makes a site and attaches it to an IP-VPN whose route target is imported and exported.
    ///
    /// # Errors
    /// When the agent refuses it.
    pub fn attach_site(&mut self, node: u8, vpn: &str, subnet: u8, target: &str) -> Result<Site, LabError> {
        let site = self.add_site(node, &format!("{vpn}{subnet}"), subnet)?;
        site.attach(&self.agents[usize::from(node) - 1], vpn, &["--rt", target])?;
        Ok(site)
    }

    /// What is to be found in a capture of the underlay.
    #[must_use]
    pub const fn filter(&self) -> &'static str {
        self.form.filter()
    }

    /// Asserts that every one of these sites reaches every other, over IPv4 and IPv6.
    ///
    /// # Errors
    /// When one is not reached in time.
    pub fn assert_meshed(&self, sites: &[&Site]) -> Result<(), LabError> {
        for from in sites {
            for to in sites.iter().filter(|to| to.mac != from.mac) {
                traffic::wait_for_ping(&from.node, &to.ipv4)?;
                traffic::wait_for_ping(&from.node, &to.ipv6)?;
            }
        }
        self.verify()
    }

    /// Asserts that what is in the maps is what should be there.
    ///
    /// # Errors
    /// With the divergences, when there are any.
    pub fn verify(&self) -> Result<(), LabError> {
        self.agents.iter().try_for_each(|agent| agent.cli(&["map", "verify"]).map(drop))
    }

    /// What every agent counted as dropped, for a failed test's message.
    #[must_use]
    pub fn drops(&self) -> String {
        let mut text = String::new();
        for agent in &self.agents {
            let drops = agent.cli(&["status"]).unwrap_or_else(|error| error.to_string());
            let _ = writeln!(text, "{}:\n{drops}", agent.node().name());
        }
        text
    }
}

impl Site {
    /// Makes the host of a number in subnet `subnet` behind any node, linked. `number` is its place among the sites of
    /// its lab.
    ///
    /// # Errors
    /// When there is one of this name.
    pub fn new(
        lab: &Lab,
        node: &Node,
        name: &str,
        number: usize,
        subnet: u8,
        host: u8,
    ) -> Result<Self, LabError> {
        let site = Self {
            node: lab.node(name)?,
            port: format!("to-{name}"),
            mac: format!("02:00:00:00:01:{number:02x}"),
            ipv4: format!("10.1.{subnet}.{host}"),
            ipv6: format!("fd01:{subnet:x}::{host:x}"),
            gateway4: format!("10.1.{subnet}.1"),
            gateway6: format!("fd01:{subnet:x}::1"),
        };
        site.link(lab, node)?;
        Ok(site)
    }

    /// Links it to a node, and gives it addresses and default routes.
    ///
    /// # Errors
    /// When it has a link already.
    pub fn link(&self, lab: &Lab, node: &Node) -> Result<(), LabError> {
        lab.link((node, &self.port), (&self.node, "eth0"))?;
        self.node.mac("eth0", &self.mac)?;
        self.node.address("eth0", &format!("{}/24", self.ipv4))?;
        self.node.address("eth0", &format!("{}/64", self.ipv6))?;
        self.node.ip(&["route", "add", "default", "via", &self.gateway4])?;
        self.node.ip(&["-6", "route", "add", "default", "via", &self.gateway6]).map(drop)
    }

    /// Attaches both addresses to an IP-VPN. `options` are words of `bagpipe attach`.
    ///
    /// # Errors
    /// When the agent refuses it.
    pub fn attach(&self, agent: &Agent, vpn: &str, options: &[&str]) -> Result<(), LabError> {
        for (address, length, gateway) in [(&self.ipv4, 24, &self.gateway4), (&self.ipv6, 64, &self.gateway6)]
        {
            let address = format!("{address}/{length}");
            let words = ["attach", "--type", "ipvpn", "--vpn", vpn, "--port", &self.port, "--mac", &self.mac];
            let own = ["--ip", &address, "--gateway-ip", gateway];
            agent.cli(&[&words[..], &own, options].concat())?;
        }
        Ok(())
    }

    /// Takes the MAC address off the IP-VPN.
    ///
    /// # Errors
    /// When the agent refuses it.
    pub fn detach(&self, agent: &Agent, vpn: &str) -> Result<(), LabError> {
        let words = ["detach", "--type", "ipvpn", "--vpn", vpn, "--port", &self.port, "--mac", &self.mac];
        agent.cli(&words).map(drop)
    }
}

/// The label that an agent gave a MAC address, whose prefixes are announced with it.
#[must_use]
pub fn label(agent: &Agent, mac: &str) -> Option<u32> {
    let labels = agent.json(&["show", "labels"]).ok()?;
    let label = labels.as_array()?.iter().find(|label| label["mac"] == mac)?;
    label["label"].as_u64()?.try_into().ok()
}

fn plug(underlay: &Switch, node: &Node, family: Family, number: u8) -> Result<(), LabError> {
    underlay.plug(node, UNDERLAY)?;
    if family == Family::V6 {
        // Every interface has one (RFC 4291 §2.1): the kernel asks for neighbours from it where no packet does.
        node.address(UNDERLAY, &format!("fe80::{number:x}/64"))?;
    }
    node.address(UNDERLAY, &family.prefix(number))
}
