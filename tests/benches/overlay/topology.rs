//! Two nodes joined by one link, a host behind each: once with the kernel's bridge and VXLAN device, once with
//! bagpipe.

use bagpipe_agent::lab::{Agent, AgentOptions, Attachment, BgpRole, Host, Lab, LabError, Node};
use bagpipe_tests::kernel::Vtep;
use bagpipe_tests::traffic;

/// The interface of a node that carries encapsulated traffic.
const UNDERLAY: &str = "eth0";
const ADDRESSES: [&str; 2] = ["10.99.0.1", "10.99.0.2"];

/// Two nodes and their hosts.
pub struct Pair {
    /// The nodes.
    pub nodes: [Node; 2],
    /// A host behind each node.
    pub hosts: [Host; 2],
    /// The agents, where there are any.
    _agents: Vec<Agent>,
}

impl Pair {
    /// Nodes whose hosts reach each other through the kernel's bridge and VXLAN device.
    pub fn kernel(lab: &Lab) -> Result<Self, LabError> {
        let pair = Self::linked(lab, "kernel", 1)?;
        for (this, other) in [(0, 1), (1, 0)] {
            let vtep = Vtep::new(&pair.nodes[this], 10, ADDRESSES[this])?;
            vtep.plug(lab, "port", &pair.hosts[this])?;
            vtep.flood_to(ADDRESSES[other])?;
            vtep.send_to(&pair.hosts[other].mac, ADDRESSES[other])?;
        }
        pair.reached()
    }

    /// Nodes whose hosts reach each other through bagpipe; the first node reflects routes to the second.
    pub fn bagpipe(lab: &Lab) -> Result<Self, LabError> {
        let mut pair = Self::linked(lab, "bagpipe", 3)?;
        let roles = [BgpRole::Reflector("10.99.0.0/24"), BgpRole::Client(&ADDRESSES[..1])];
        for (this, role) in roles.into_iter().enumerate() {
            let host = &pair.hosts[this];
            host.link(lab, &pair.nodes[this], "port")?;
            let options = AgentOptions {
                address: ADDRESSES[this],
                router_id: None,
                role,
                underlay: Some(UNDERLAY),
                hold_time: 90,
            };
            let agent = Agent::start(lab, &bagpipe_tests::bagpipe(), &pair.nodes[this], &options)?;
            agent.attach(&Attachment {
                vpn: "bench".to_owned(),
                port: "port".to_owned(),
                mac: host.mac.clone(),
                addresses: vec![host.ipv4.clone(), host.ipv6.clone()],
                route_target: "64512:10".to_owned(),
                vni: Some(10),
            })?;
            pair._agents.push(agent);
        }
        pair.reached()
    }

    /// Has the underlay carry frames of the size of its MTU, as a wire does, or super-packets, as veth can.
    pub fn wire_sized_frames(&self, wire: bool) -> Result<(), LabError> {
        let state = if wire { "off" } else { "on" };
        for node in &self.nodes {
            node.run(&["ethtool", "-K", UNDERLAY, "tso", state, "gso", state, "gro", "on"])?;
        }
        Ok(())
    }

    fn linked(lab: &Lab, name: &str, first_host: u8) -> Result<Self, LabError> {
        let nodes = [lab.node(&format!("{name}-a"))?, lab.node(&format!("{name}-b"))?];
        lab.link((&nodes[0], UNDERLAY), (&nodes[1], UNDERLAY))?;
        for (node, address) in nodes.iter().zip(ADDRESSES) {
            node.address(UNDERLAY, &format!("{address}/24"))?;
        }
        let hosts = [Host::new(lab, first_host)?, Host::new(lab, first_host + 1)?];
        Ok(Self { nodes, hosts, _agents: Vec::new() })
    }

    fn reached(self) -> Result<Self, LabError> {
        let [one, two] = &self.hosts;
        traffic::wait_for_ping(&one.node, &two.ipv4)?;
        Ok(self)
    }
}
