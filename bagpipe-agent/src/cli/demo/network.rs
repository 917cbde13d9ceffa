//! The network of the demo.

use std::env;

use super::screen::Screen;
use crate::lab::{Agent, AgentOptions, Attachment, BgpRole, Host, Lab, LabError, Node, Switch};

/// The VPN instance of all hosts.
pub(super) const VPN: &str = "blue";
/// Its VNI.
pub(super) const VNI: u32 = 100;
/// The underlay interface of every node.
pub(super) const UNDERLAY: &str = "eth0";

const REFLECTOR: &str = "10.99.0.254";
const CLIENTS: &str = "10.99.0.0/24";

/// Short, so that nobody waits long for an agent that is gone.
const HOLD_TIME: u16 = 9;

/// Agents, the hosts behind them, and what they stand in.
#[derive(Debug)]
pub(super) struct Network {
    /// The route reflector.
    pub(super) reflector: Agent,
    /// One for each node.
    pub(super) agents: Vec<Agent>,
    /// One for each node.
    pub(super) hosts: Vec<Host>,
    /// The switch between the nodes.
    pub(super) underlay: Switch,
    /// The last to go.
    pub(super) lab: Lab,
}

impl Network {
    /// Builds it and starts the agents.
    pub(super) fn build(screen: &Screen, nodes: u8) -> Result<Self, LabError> {
        let lab = Lab::new()?;
        let underlay = lab.switch("underlay")?;
        let node = plug(&lab, &underlay, "reflector", REFLECTOR)?;
        let reflector = start(&lab, &node, REFLECTOR, BgpRole::Reflector(CLIENTS), None)?;
        screen.step(&format!("reflector  {REFLECTOR}   bagpipe agent, control plane only"));

        let mut network = Self { reflector, agents: Vec::new(), hosts: Vec::new(), underlay, lab };
        for number in 1..=nodes {
            network.add_node(number)?;
            let (name, address, host) = (format!("node{number}"), address(number), format!("host{number}"));
            screen.step(&format!(
                "{name}      {address:<12}  bagpipe agent, eBPF on {UNDERLAY}; {host} behind it"
            ));
        }
        Ok(network)
    }

    /// A node that no agent knows.
    pub(super) fn stranger(&self, address: &str) -> Result<Node, LabError> {
        plug(&self.lab, &self.underlay, "stranger", address)
    }

    /// What attaches a host.
    pub(super) fn attachment(&self, host: &Host) -> Attachment {
        Attachment {
            vpn: VPN.to_owned(),
            port: port(host),
            mac: host.mac.clone(),
            addresses: vec![host.ipv4.clone(), host.ipv6.clone()],
            route_target: format!("64512:{VNI}"),
            vni: Some(VNI),
        }
    }

    /// Leaves it standing, and says how to look around.
    pub(super) fn keep(self, screen: &Screen) -> Result<(), LabError> {
        let Self { reflector, agents, hosts, underlay, lab } = self;
        screen.step("the network stays. Look around:");
        if let Some(agent) = agents.first() {
            for arguments in [&["show", "fdb"][..], &["status"], &["map", "verify"]] {
                screen.detail(&agent.shown(arguments));
            }
            screen.detail(&format!("ls /sys/fs/bpf/bagpipe/{}/*", agent.instance()));
        }
        if let [one, two, ..] = hosts.as_slice() {
            screen.detail(&format!("nsenter --net=/run/netns/{} ping {}", one.node.namespace(), two.ipv4));
        }
        let switch = underlay.node().namespace();
        screen.detail(&format!("nsenter --net=/run/netns/{switch} tcpdump -ni bridge udp port 4789"));
        screen.detail(&format!("ls {}    # configurations and logs", lab.directory().display()));
        screen.step("take it down:");
        screen.detail("bagpipe demo --remove");
        reflector.leave();
        agents.into_iter().for_each(Agent::leave);
        lab.keep()
    }

    fn add_node(&mut self, number: u8) -> Result<(), LabError> {
        let address = address(number);
        let node = plug(&self.lab, &self.underlay, &format!("node{number}"), &address)?;
        let role = BgpRole::Client(&[REFLECTOR]);
        self.agents.push(start(&self.lab, &node, &address, role, Some(UNDERLAY))?);
        let host = Host::new(&self.lab, number)?;
        host.link(&self.lab, &node, &port(&host))?;
        self.hosts.push(host);
        Ok(())
    }
}

fn start(
    lab: &Lab,
    node: &Node,
    address: &str,
    role: BgpRole<'_>,
    underlay: Option<&str>,
) -> Result<Agent, LabError> {
    let binary = env::current_exe()
        .map_err(|source| LabError::Missing { program: "this program".to_owned(), source })?;
    let options = AgentOptions { address, router_id: None, role, underlay, hold_time: HOLD_TIME };
    Agent::start(lab, &binary, node, &options)
}

fn plug(lab: &Lab, underlay: &Switch, name: &str, address: &str) -> Result<Node, LabError> {
    let node = lab.node(name)?;
    underlay.plug(&node, UNDERLAY)?.address(UNDERLAY, &format!("{address}/24"))?;
    Ok(node)
}

fn address(number: u8) -> String {
    format!("10.99.0.{number}")
}

fn port(host: &Host) -> String {
    format!("to-{}", host.node.name())
}
