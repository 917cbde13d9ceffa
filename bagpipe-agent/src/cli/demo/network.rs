//! What every demo stands on: nodes around a reflector, an agent on each of them, a host behind it.

use std::env;
use std::net::Ipv4Addr;

use super::screen::Screen;
use crate::lab::{Agent, AgentOptions, BgpRole, Host, Lab, LabError, Node, Switch};

/// The underlay interface of every node.
pub(super) const UNDERLAY: &str = "eth0";

const REFLECTOR: &str = "10.99.0.254";
const CLIENTS: &str = "10.99.0.0/24";
const STRANGER: Ipv4Addr = Ipv4Addr::new(10, 99, 0, 66);

/// Short, so that nobody waits long for an agent that is gone.
const HOLD_TIME: u16 = 9;

/// In what the networks of the demos differ.
pub(super) struct Plan<'a> {
    /// How many nodes.
    pub(super) nodes: u8,
    /// What the configuration of the node of a number has besides: keys of `[dataplane]`, then other tables.
    pub(super) settings: fn(u8) -> String,
    /// The host behind the node of a number, not linked as yet.
    pub(super) host: &'a dyn Fn(&Lab, u8) -> Result<Host, LabError>,
}

/// Where there is something to see in a network that is left standing.
#[derive(Clone, Copy, Debug)]
pub(super) struct Look {
    /// A subcommand.
    pub(super) view: &'static [&'static str],
    /// What of the underlay, in tcpdump's words.
    pub(super) filter: &'static str,
}

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
    underlay: Switch,
    /// The last to go.
    lab: Lab,
}

impl Network {
    /// Builds it and starts the agents.
    pub(super) fn build(screen: &Screen, plan: &Plan<'_>) -> Result<Self, LabError> {
        let lab = Lab::new()?;
        let underlay = lab.switch("underlay")?;
        let node = plug(&lab, &underlay, "reflector", REFLECTOR)?;
        let reflector = start(&lab, &node, &reflector(), "")?;
        screen.step(&format!("reflector  {REFLECTOR}   bagpipe agent, control plane only"));

        let mut network = Self { reflector, agents: Vec::new(), hosts: Vec::new(), underlay, lab };
        for number in 1..=plan.nodes {
            network.add_node(number, plan)?;
            let (name, address, host) = (format!("node{number}"), address(number), format!("host{number}"));
            screen.step(&format!(
                "{name}      {address:<12}  bagpipe agent, eBPF on {UNDERLAY}; {host} behind it"
            ));
        }
        Ok(network)
    }

    /// A node that no agent knows, and its address.
    pub(super) fn stranger(&self) -> Result<(Node, Ipv4Addr), LabError> {
        plug(&self.lab, &self.underlay, "stranger", &STRANGER.to_string()).map(|node| (node, STRANGER))
    }

    /// Leaves it standing, and says how to look around.
    pub(super) fn keep(self, screen: &Screen, look: Look) -> Result<(), LabError> {
        let Self { reflector, agents, hosts, underlay, lab } = self;
        screen.step("the network stays. Look around:");
        if let Some(agent) = agents.first() {
            for arguments in [look.view, &["status"], &["map", "verify"]] {
                screen.detail(&agent.shown(arguments));
            }
            screen.detail(&format!("ls /sys/fs/bpf/bagpipe/{}/*", agent.instance()));
        }
        if let [one, two, ..] = hosts.as_slice() {
            screen.detail(&format!("nsenter --net=/run/netns/{} ping {}", one.node.namespace(), two.ipv4));
        }
        let switch = underlay.node().namespace();
        let filter = look.filter;
        screen.detail(&format!("nsenter --net=/run/netns/{switch} tcpdump -ni bridge {filter}"));
        screen.detail(&format!("ls {}    # configurations and logs", lab.directory().display()));
        screen.step("take it down:");
        screen.detail("bagpipe demo --remove");
        reflector.leave();
        agents.into_iter().for_each(Agent::leave);
        lab.keep()
    }

    fn add_node(&mut self, number: u8, plan: &Plan<'_>) -> Result<(), LabError> {
        let address = address(number).to_string();
        let node = plug(&self.lab, &self.underlay, &format!("node{number}"), &address)?;
        let role = BgpRole::Client(&[REFLECTOR]);
        let options = AgentOptions {
            address: &address,
            router_id: None,
            role,
            underlay: Some(UNDERLAY),
            hold_time: HOLD_TIME,
        };
        self.agents.push(start(&self.lab, &node, &options, &(plan.settings)(number))?);
        let host = (plan.host)(&self.lab, number)?;
        host.link(&self.lab, &node, &port(&host))?;
        self.hosts.push(host);
        Ok(())
    }
}

/// The address of a node in the underlay.
pub(super) const fn address(number: u8) -> Ipv4Addr {
    Ipv4Addr::new(10, 99, 0, number)
}

/// The interface on its node that leads to a host.
pub(super) fn port(host: &Host) -> String {
    format!("to-{}", host.node.name())
}

const fn reflector() -> AgentOptions<'static> {
    let role = BgpRole::Reflector(CLIENTS);
    AgentOptions { address: REFLECTOR, router_id: None, role, underlay: None, hold_time: HOLD_TIME }
}

fn start(lab: &Lab, node: &Node, options: &AgentOptions<'_>, settings: &str) -> Result<Agent, LabError> {
    let binary = env::current_exe()
        .map_err(|source| LabError::Missing { program: "this program".to_owned(), source })?;
    Agent::configured(lab, &binary, node, &format!("{}{settings}", options.configuration()))
}

fn plug(lab: &Lab, underlay: &Switch, name: &str, address: &str) -> Result<Node, LabError> {
    let node = lab.node(name)?;
    underlay.plug(&node, UNDERLAY)?.address(UNDERLAY, &format!("{address}/24"))?;
    Ok(node)
}
