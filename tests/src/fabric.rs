//! A whole network: an underlay, a route reflector, nodes with an agent each, and hosts behind them in one VPN.

use bagpipe_agent::lab::{
    Agent, AgentOptions, Attachment, BgpRole, Host, Lab, LabError, Node, Switch, wait_until,
};
use serde_json::Value;

use crate::frr::Frr;
use crate::gobgp;
use crate::{SOON, bagpipe, traffic};

/// The VPN instance of all hosts, and its VNI, which is also the number in its route target.
pub const VPN: &str = "blue";
/// See [`VPN`].
pub const VNI: u32 = 10;
/// The underlay interface of every node.
pub const UNDERLAY: &str = "eth0";

/// Makes a node that is plugged into an underlay with this address and prefix length.
///
/// # Errors
/// When it is there already.
pub fn node_on(lab: &Lab, underlay: &Switch, name: &str, address: &str) -> Result<Node, LabError> {
    let node = lab.node(name)?;
    underlay.plug(&node, UNDERLAY)?.address(UNDERLAY, address)?;
    Ok(node)
}

/// The addresses of an underlay.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Addresses {
    V4,
    V6,
}

impl Addresses {
    fn node(self, number: u8) -> String {
        match self {
            Self::V4 => format!("10.99.0.{number}"),
            Self::V6 => format!("fd99::{number:x}"),
        }
    }

    /// The address with its prefix length.
    fn interface(self, number: u8) -> String {
        let length = if self == Self::V4 { 24 } else { 64 };
        format!("{}/{length}", self.node(number))
    }

    const fn clients(self) -> &'static str {
        match self {
            Self::V4 => "10.99.0.0/24",
            Self::V6 => "fd99::/64",
        }
    }
}

/// The number of the reflector among the nodes.
const REFLECTOR: u8 = 254;

/// Who reflects routes.
#[derive(Debug)]
pub enum Reflector {
    /// An agent without data plane.
    Bagpipe(Box<Agent>),
    /// gobgpd.
    Gobgp(gobgp::Reflector),
    /// FRR's bgpd.
    Frr(Frr),
}

/// The network. Nodes and hosts are numbered from 1: host `n` starts behind node `n`.
#[derive(Debug)]
pub struct Fabric {
    /// One for each node.
    pub agents: Vec<Agent>,
    /// One for each node.
    pub hosts: Vec<Host>,
    /// The reflector.
    pub reflector: Reflector,
    /// The switch between the nodes.
    pub underlay: Switch,
    addresses: Addresses,
    /// What the configurations of agents say besides.
    settings: &'static str,
    /// What it all stands in; the last to go.
    pub lab: Lab,
}

impl Fabric {
    /// Nodes that are clients of a bagpipe reflector, with their hosts attached, when all know all.
    ///
    /// # Errors
    /// When a part does not come up.
    pub fn new(nodes: u8) -> Result<Self, LabError> {
        Self::with_bagpipe(Addresses::V4, nodes, "")
    }

    /// The same with more in the configurations of agents.
    ///
    /// # Errors
    /// As [`Self::new`].
    pub fn configured(nodes: u8, settings: &'static str) -> Result<Self, LabError> {
        Self::with_bagpipe(Addresses::V4, nodes, settings)
    }

    /// The same over IPv6.
    ///
    /// # Errors
    /// As [`Self::new`].
    pub fn over_ipv6(nodes: u8) -> Result<Self, LabError> {
        Self::with_bagpipe(Addresses::V6, nodes, "")
    }

    /// No nodes as yet, and GoBGP as reflector.
    ///
    /// # Errors
    /// As [`Self::new`].
    pub fn with_gobgp() -> Result<Self, LabError> {
        let addresses = Addresses::V4;
        Self::with_reflector(addresses, |lab, node| {
            gobgp::Reflector::start(lab, node, &addresses.node(REFLECTOR), addresses.clients())
                .map(Reflector::Gobgp)
        })
    }

    /// No nodes as yet, and FRR as reflector.
    ///
    /// # Errors
    /// As [`Self::new`].
    pub fn with_frr() -> Result<Self, LabError> {
        let addresses = Addresses::V4;
        Self::with_reflector(addresses, |lab, node| {
            Frr::reflector(lab, node, &addresses.node(REFLECTOR), addresses.clients()).map(Reflector::Frr)
        })
    }

    /// No nodes as yet, and a reflector of any kind for them, at the address of node 254.
    ///
    /// # Errors
    /// As [`Self::new`].
    pub fn behind(start: impl FnOnce(&Lab, &Node) -> Result<Reflector, LabError>) -> Result<Self, LabError> {
        Self::with_reflector(Addresses::V4, start)
    }

    /// The address of a node, by its number, in an IPv4 underlay.
    #[must_use]
    pub fn address(number: u8) -> String {
        Addresses::V4.node(number)
    }

    /// Makes a node that is plugged into the underlay, without an agent.
    ///
    /// # Errors
    /// When it is there already.
    pub fn bare_node(&self, number: u8) -> Result<Node, LabError> {
        node_on(&self.lab, &self.underlay, &format!("node{number}"), &self.addresses.interface(number))
    }

    /// Makes a node with an agent, and the host of its number behind it, attached.
    ///
    /// # Errors
    /// When the agent does not start or refuses the attachment.
    pub fn add_node(&mut self, number: u8) -> Result<(), LabError> {
        let node = self.bare_node(number)?;
        let (address, reflector) = (self.addresses.node(number), self.addresses.node(REFLECTOR));
        let options = AgentOptions {
            address: &address,
            router_id: Some(&Self::address(number)),
            role: BgpRole::Client(&[&reflector]),
            underlay: Some(UNDERLAY),
            hold_time: 9,
        };
        let configuration = format!("{}{}", options.configuration(), self.settings);
        self.agents.push(Agent::configured(&self.lab, &bagpipe(), &node, &configuration)?);
        self.add_host(number, number)
    }

    /// Makes a host behind a node, attached.
    ///
    /// # Errors
    /// When the agent refuses the attachment.
    pub fn add_host(&mut self, node: u8, number: u8) -> Result<(), LabError> {
        let agent = &self.agents[usize::from(node) - 1];
        let host = Host::new(&self.lab, number)?;
        host.link(&self.lab, agent.node(), &port(&host))?;
        agent.attach(&attachment(&host))?;
        self.hosts.push(host);
        Ok(())
    }

    /// Links a host to another node. Attaching and detaching is for the caller.
    ///
    /// # Errors
    /// When the host has no link to move.
    pub fn relink(&self, host: &Host, to: &Agent) -> Result<(), LabError> {
        host.unlink()?;
        host.link(&self.lab, to.node(), &port(host))
    }

    /// Waits until every agent knows every host.
    ///
    /// # Errors
    /// When one does not in time.
    pub fn settle(&self) -> Result<(), LabError> {
        for agent in &self.agents {
            for host in &self.hosts {
                let what = format!("{} knows {}", agent.node().name(), host.node.name());
                wait_until(SOON, &what, || fdb(agent, &host.mac).map(drop))?;
            }
        }
        Ok(())
    }

    /// Asserts that every host reaches every other, and that what is in the maps is what should be there.
    ///
    /// # Errors
    /// When a host is not reached in time, or a map diverges.
    pub fn assert_whole(&self) -> Result<(), LabError> {
        for from in &self.hosts {
            for to in self.hosts.iter().filter(|to| to.mac != from.mac) {
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

    fn with_bagpipe(addresses: Addresses, nodes: u8, settings: &'static str) -> Result<Self, LabError> {
        let mut fabric = Self::with_reflector(addresses, |lab, node| {
            let options = AgentOptions {
                address: &addresses.node(REFLECTOR),
                router_id: Some(&Self::address(REFLECTOR)),
                role: BgpRole::Reflector(addresses.clients()),
                underlay: None,
                hold_time: 9,
            };
            Ok(Reflector::Bagpipe(Box::new(Agent::start(lab, &bagpipe(), node, &options)?)))
        })?;
        fabric.settings = settings;
        for number in 1..=nodes {
            fabric.add_node(number)?;
        }
        fabric.settle()?;
        Ok(fabric)
    }

    fn with_reflector(
        addresses: Addresses,
        start: impl FnOnce(&Lab, &Node) -> Result<Reflector, LabError>,
    ) -> Result<Self, LabError> {
        let lab = Lab::new()?;
        let underlay = lab.switch("underlay")?;
        let node = node_on(&lab, &underlay, "reflector", &addresses.interface(REFLECTOR))?;
        let reflector = start(&lab, &node)?;
        Ok(Self { agents: Vec::new(), hosts: Vec::new(), reflector, underlay, addresses, settings: "", lab })
    }
}

/// What attaches a host.
#[must_use]
pub fn attachment(host: &Host) -> Attachment {
    Attachment {
        vpn: VPN.to_owned(),
        port: port(host),
        mac: host.mac.clone(),
        addresses: vec![host.ipv4.clone(), host.ipv6.clone()],
        route_target: format!("64512:{VNI}"),
        vni: Some(VNI),
    }
}

/// The entry of an agent's forwarding table for a MAC address.
#[must_use]
pub fn fdb(agent: &Agent, mac: &str) -> Option<Value> {
    let entries = agent.json(&["show", "fdb"]).ok()?;
    entries.as_array()?.iter().find(|entry| entry.get("mac").is_some_and(|value| value == mac)).cloned()
}

/// The remote endpoint that an agent sends to for a MAC address; `None` if it has none, or a port of its own.
#[must_use]
pub fn endpoint(agent: &Agent, mac: &str) -> Option<String> {
    Some(fdb(agent, mac)?.get("endpoint")?.as_str()?.to_owned())
}

/// Number of established sessions of an agent.
#[must_use]
pub fn sessions(agent: &Agent) -> u64 {
    let status = agent.json(&["status"]).unwrap_or_default();
    status.pointer("/peers/established").and_then(Value::as_u64).unwrap_or(0)
}

/// The name of a host's interface on its node.
fn port(host: &Host) -> String {
    format!("to-{}", host.node.name())
}
