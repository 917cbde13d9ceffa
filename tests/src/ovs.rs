//! Open vSwitch with its userspace datapath as a label switching router (RFC 3031): it pushes and pops labels for one
//! site, over bare Ethernet and over GRE.
//!
//! It reads frames from packet sockets, where checksums and segmentation that a sender left for its NIC are still
//! undone: who sends to it does both itself ([`complete_packets`]).

use std::fs;
use std::os::unix::net::UnixStream;
use std::path::PathBuf;

use bagpipe_agent::lab::{Lab, LabError, Node, Process};

use crate::SOON;

/// The bridge, and the interface of the node's own address.
const BRIDGE: &str = "ovs";
/// The interface to the underlay.
const WIRE: &str = "eth0";
/// The interface to the site.
const SITE: &str = "site";
/// The port of the GRE tunnel.
const TUNNEL: &str = "gre";
/// The site's gateway.
pub const GATEWAY_MAC: &str = "02:00:00:00:ee:01";
/// Debian's place for it, and that of its relatives.
const SCHEMA: &str = "/usr/share/openvswitch/vswitch.ovsschema";

/// The other end of a label switched path.
#[derive(Clone, Copy, Debug)]
pub enum Peer<'a> {
    /// Next to this one, with this MAC address: labels on Ethernet (RFC 3032).
    Adjacent(&'a str),
    /// The one at the other end of the tunnel: labels in GRE (RFC 4023).
    Tunnel,
}

/// An address family of the packets under a label, which does not say it.
#[derive(Clone, Copy, Debug)]
pub enum Payload {
    /// IPv4.
    Ipv4,
    /// IPv6.
    Ipv6,
}

/// The router: a node with `eth0` to the underlay and `site` to the site.
#[derive(Debug)]
pub struct LabelSwitch {
    node: Node,
    directory: PathBuf,
    _switch: Process,
    _database: Process,
}

impl LabelSwitch {
    /// Starts a database and a switch of the node's own, with both interfaces in one bridge. What has no label goes
    /// between the underlay and the node, which has an address (with its prefix length) there.
    ///
    /// # Errors
    /// When one of them does not start, or an interface is not there.
    pub fn start(lab: &Lab, node: &Node, address: &str) -> Result<Self, LabError> {
        let directory = lab.directory().join(format!("{}-ovs", node.name()));
        fs::create_dir_all(&directory)
            .map_err(|source| LabError::File { path: directory.clone(), source })?;
        let file = |name: &str| directory.join(name).to_string_lossy().into_owned();
        node.run(&["ovsdb-tool", "create", &file("conf.db"), SCHEMA])?;
        let remote = format!("--remote=punix:{}", file("db.sock"));
        let database = daemon(node, &directory, "ovsdb-server", &[&remote, &file("conf.db")])?;
        let server = format!("unix:{}", file("db.sock"));
        node.run(&["ovs-vsctl", &format!("--db={server}"), "--no-wait", "init"])?;
        let switch = daemon(node, &directory, "ovs-vswitchd", &[&server])?;

        let this = Self { node: node.clone(), directory, _switch: switch, _database: database };
        let kind = "datapath_type=netdev";
        let bridge = ["add-br", BRIDGE, "--", "set", "bridge", BRIDGE, kind];
        this.configure(
            &[&bridge[..], &["--", "add-port", BRIDGE, WIRE, "--", "add-port", BRIDGE, SITE]].concat(),
        )?;
        node.address(BRIDGE, address)?;
        node.up(BRIDGE)?;
        // Until here the bridge is one that learns.
        this.openflow("del-flows", None)?;
        this.add_flow(&format!("priority=1,in_port={WIRE},actions=LOCAL"))?;
        this.add_flow(&format!("priority=1,in_port=LOCAL,actions=output:{WIRE}"))?;
        Ok(this)
    }

    /// Makes a GRE tunnel that carries labelled packets and no Ethernet.
    ///
    /// # Errors
    /// When there is one already.
    pub fn add_tunnel(&self, local: &str, remote: &str) -> Result<(), LabError> {
        let (local, remote) = (format!("options:local_ip={local}"), format!("options:remote_ip={remote}"));
        let port = ["add-port", BRIDGE, TUNNEL, "--", "set", "interface", TUNNEL, "type=gre"];
        self.configure(&[&port[..], &[&local, &remote, "options:packet_type=legacy_l3"]].concat())
    }

    /// Has packets of the site for a prefix sent with a label.
    ///
    /// # Errors
    /// When the switch refuses it.
    pub fn push(&self, prefix: &str, label: u32, peer: Peer<'_>) -> Result<(), LabError> {
        let packets = if prefix.contains(':') { "ipv6,ipv6_dst" } else { "ip,nw_dst" };
        let output = match peer {
            Peer::Adjacent(mac) => format!("set_field:{mac}->eth_dst,output:{WIRE}"),
            Peer::Tunnel => format!("output:{TUNNEL}"),
        };
        self.add_flow(&format!(
            "priority=10,in_port={SITE},{packets}={prefix},\
             actions=dec_ttl,push_mpls:0x8847,set_field:{label}->mpls_label,{output}"
        ))
    }

    /// Has packets with a label sent to the site's host with this MAC address.
    ///
    /// # Errors
    /// When the switch refuses it.
    pub fn pop(&self, label: u32, payload: Payload, host: &str, peer: Peer<'_>) -> Result<(), LabError> {
        let ethertype = match payload {
            Payload::Ipv4 => "0x0800",
            Payload::Ipv6 => "0x86dd",
        };
        let port = match peer {
            Peer::Adjacent(_) => WIRE,
            Peer::Tunnel => TUNNEL,
        };
        self.add_flow(&format!(
            "priority=10,in_port={port},mpls,mpls_label={label},mpls_bos=1,actions=pop_mpls:{ethertype},dec_ttl,\
             set_field:{GATEWAY_MAC}->eth_src,set_field:{host}->eth_dst,output:{SITE}"
        ))
    }

    /// The flows with their counters, for a failed test's message.
    #[must_use]
    pub fn flows(&self) -> String {
        self.openflow("dump-flows", None).unwrap_or_else(|error| error.to_string())
    }

    fn add_flow(&self, flow: &str) -> Result<(), LabError> {
        self.openflow("add-flow", Some(flow)).map(drop)
    }

    fn openflow(&self, verb: &str, flow: Option<&str>) -> Result<String, LabError> {
        let bridge = format!("unix:{}", self.directory.join(format!("{BRIDGE}.mgmt")).display());
        let line = ["ovs-ofctl", "--names", "-O", "OpenFlow13", verb, &bridge];
        self.node.run(&[&line[..], flow.as_slice()].concat())
    }

    fn configure(&self, words: &[&str]) -> Result<(), LabError> {
        let database = format!("--db=unix:{}", self.directory.join("db.sock").display());
        let limit = format!("--timeout={}", SOON.as_secs());
        self.node.run(&[&["ovs-vsctl", &database, &limit], words].concat()).map(drop)
    }
}

/// Has an interface's packets leave whole: checksums written, segments cut.
///
/// # Errors
/// When `ethtool` fails.
pub fn complete_packets(node: &Node, interface: &str) -> Result<(), LabError> {
    node.run(&["ethtool", "-K", interface, "tx", "off", "tso", "off", "gso", "off"]).map(drop)
}

/// Starts a daemon of Open vSwitch in the foreground, with all its files in a directory, and waits until it answers.
fn daemon(
    node: &Node,
    directory: &std::path::Path,
    name: &str,
    options: &[&str],
) -> Result<Process, LabError> {
    let file = |suffix: &str| directory.join(format!("{name}.{suffix}"));
    let control = file("ctl");
    let place = format!("OVS_RUNDIR={}", directory.display());
    let option = |name: &str, path: PathBuf| format!("--{name}={}", path.display());
    let files =
        [option("pidfile", file("pid")), option("log-file", file("log")), option("unixctl", control.clone())];
    let line = ["env", &place, name, &files[0], &files[1], &files[2]];
    let mut process = node.spawn(name, &[&line[..], options].concat())?;
    process.wait_ready(SOON, name, |_| UnixStream::connect(&control).ok())?;
    Ok(process)
}
