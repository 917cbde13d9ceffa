//! Two nodes joined by one link, a host behind each: with the kernel's bridge and VXLAN device, with Open vSwitch, and
//! with bagpipe.

use bagpipe_agent::lab::{Agent, AgentOptions, Attachment, BgpRole, Host, Lab, LabError, Node};
use bagpipe_tests::foreign::without_offloads;
use bagpipe_tests::kernel::Vtep;
use bagpipe_tests::ovs::{self, Destination, OpenVSwitch, Way};
use bagpipe_tests::{edges, traffic};

/// The interface of a node that carries encapsulated traffic.
const UNDERLAY: &str = "eth0";
const ADDRESSES: [&str; 2] = ["10.99.0.1", "10.99.0.2"];
/// Where the agent of the first node reflects routes to.
const CLIENTS: &str = "10.99.0.0/24";
/// The router of the hosts, where packets are routed.
const GATEWAY: &str = "192.168.10.254";
/// Its MAC address, where it is Open vSwitch.
const GATEWAY_MAC: &str = "02:00:00:00:ee:01";

/// Two nodes and their hosts.
pub struct Pair {
    /// The nodes.
    pub nodes: [Node; 2],
    /// A host behind each node.
    pub hosts: [Host; 2],
    /// The agents, where there are any.
    agents: Vec<Agent>,
    /// The instances of Open vSwitch, where there are any.
    switches: Vec<OpenVSwitch>,
}

impl Pair {
    /// Nodes whose hosts reach each other through the kernel's bridge and VXLAN device.
    pub fn kernel(lab: &Lab) -> Result<Self, LabError> {
        let pair = Self::linked(lab, "kernel", 1)?;
        pair.add_addresses()?;
        for (this, other) in [(0, 1), (1, 0)] {
            let vtep = Vtep::new(&pair.nodes[this], 10, ADDRESSES[this])?;
            vtep.plug(lab, "port", &pair.hosts[this])?;
            vtep.flood_to(ADDRESSES[other])?;
            vtep.send_to(&pair.hosts[other].mac, ADDRESSES[other])?;
        }
        pair.reached()
    }

    /// Nodes whose hosts reach each other through an E-VPN of bagpipe, over VXLAN; the first node reflects routes to
    /// the second.
    pub fn bagpipe(lab: &Lab) -> Result<Self, LabError> {
        let mut pair = Self::linked(lab, "bagpipe", 3)?;
        pair.add_addresses()?;
        let roles = [BgpRole::Reflector(CLIENTS), BgpRole::Client(&ADDRESSES[..1])];
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
            pair.agents.push(agent);
        }
        pair.reached()
    }

    /// Nodes whose hosts reach each other through an IP-VPN of bagpipe, over MPLS in a form of `dataplane.mpls`.
    pub fn labelled(lab: &Lab, form: &str) -> Result<Self, LabError> {
        let mut pair = Self::linked(lab, form, 5)?;
        pair.add_addresses()?;
        let roles = [
            format!("[bgp.reflector]\nclients = [\"{CLIENTS}\"]"),
            format!("[[bgp.peers]]\naddress = \"{}\"", ADDRESSES[0]),
        ];
        for (this, role) in roles.iter().enumerate() {
            let host = &pair.hosts[this];
            host.link(lab, &pair.nodes[this], "port")?;
            let configuration = format!(
                "[bgp]\nlocal_address = \"{}\"\nas_number = 64512\n{role}\n\
                 [dataplane]\nunderlay = [\"{UNDERLAY}\"]\nmpls = \"{form}\"\n\
                 [vpn]\nipvpn_encapsulation = \"mpls\"\n",
                ADDRESSES[this],
            );
            let agent = Agent::configured(lab, &bagpipe_tests::bagpipe(), &pair.nodes[this], &configuration)?;
            let words = ["attach", "--type", "ipvpn", "--vpn", "bench", "--rt", "64512:10", "--port", "port"];
            let prefix = format!("{}/24", host.ipv4);
            let address = ["--mac", &host.mac, "--ip", &prefix, "--gateway-ip", GATEWAY];
            agent.cli(&[&words[..], &address].concat())?;
            pair.agents.push(agent);
        }
        pair.add_routes()?;
        pair.reached()
    }

    /// Nodes whose hosts reach each other through Open vSwitch's userspace datapath, with labels on Ethernet.
    pub fn open_vswitch(lab: &Lab, labels: [u32; 2]) -> Result<Self, LabError> {
        let mut pair = Self::linked(lab, "ovs", 7)?;
        let mac = |node: &Node| ovs::mac(node, UNDERLAY);
        let macs = [mac(&pair.nodes[0])?, mac(&pair.nodes[1])?];
        for (this, other) in [(0, 1), (1, 0)] {
            let host = &pair.hosts[this];
            host.link(lab, &pair.nodes[this], "site")?;
            without_offloads(&host.node, Host::INTERFACE)?;
            let prefix = format!("{}/24", ADDRESSES[this]);
            let switch = OpenVSwitch::start(lab, &pair.nodes[this], &prefix)?;
            switch.site("site")?;
            let destination =
                |host: usize| Destination { prefix: &pair.hosts[host].ipv4, label: labels[host] };
            let way = Way::Ethernet(&macs[other]);
            switch.push(destination(other), way)?;
            switch.pop(destination(this), way, GATEWAY_MAC, &host.mac)?;
            pair.switches.push(switch);
        }
        pair.add_routes()?;
        for host in &pair.hosts {
            host.set_neighbor(GATEWAY, GATEWAY_MAC)?;
        }
        pair.reached()
    }

    /// The labels that the agents gave the hosts.
    ///
    /// # Panics
    /// When they gave none.
    pub fn labels(&self) -> [u32; 2] {
        [0, 1].map(|this| edges::label(&self.agents[this], &self.hosts[this].mac).expect("a label"))
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
        let hosts = [Host::new(lab, first_host)?, Host::new(lab, first_host + 1)?];
        Ok(Self { nodes, hosts, agents: Vec::new(), switches: Vec::new() })
    }

    fn add_addresses(&self) -> Result<(), LabError> {
        for (node, address) in self.nodes.iter().zip(ADDRESSES) {
            node.address(UNDERLAY, &format!("{address}/24"))?;
        }
        Ok(())
    }

    /// Has each host reach the other one by the gateway, although both are in one subnet.
    fn add_routes(&self) -> Result<(), LabError> {
        for (this, other) in [(0, 1), (1, 0)] {
            self.hosts[this].node.ip(&["route", "add", &self.hosts[other].ipv4, "via", GATEWAY])?;
        }
        Ok(())
    }

    fn reached(self) -> Result<Self, LabError> {
        let [one, two] = &self.hosts;
        traffic::wait_for_ping(&one.node, &two.ipv4)?;
        Ok(self)
    }
}
