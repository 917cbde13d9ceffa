//! Open vSwitch with its datapath in userspace: a label switching router that shares nothing with this project.

use std::fs;
use std::path::{Path, PathBuf};

use bagpipe_agent::lab::{Lab, LabError, Node, Process, wait_until};
use serde_json::Value;

use crate::SOON;
use crate::fabric::UNDERLAY;

const SCHEMA: &str = "/usr/share/openvswitch/vswitch.ovsschema";

/// The bridge with the underlay interface. Its own port, of the same name, has the node's address.
const UNDER: &str = "under";
/// The bridge with the sites and the tunnels.
const EDGE: &str = "edge";

/// Port numbers of [`UNDER`].
const WIRE: &str = "1";
const TO_EDGE: &str = "2";
/// Port numbers of [`EDGE`].
const TO_UNDER: &str = "1";
const GRE: &str = "2";
const SITE: &str = "3";

/// Open vSwitch as the only owner of a node's underlay interface, with daemons, database and sockets of its own.
#[derive(Debug)]
pub struct OpenVSwitch {
    node: Node,
    directory: PathBuf,
    processes: Vec<Process>,
}

/// How labelled packets are sent and taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way<'a> {
    /// On Ethernet, to the MAC address of the other router.
    Ethernet(&'a str),
    /// In GRE, to the remote endpoint of [`OpenVSwitch::tunnel`].
    Gre,
}

/// Where packets with a label go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Destination<'a> {
    /// A prefix of IPv4 or IPv6.
    pub prefix: &'a str,
    /// The label of the prefix.
    pub label: u32,
}

impl OpenVSwitch {
    /// Starts it on a node whose underlay interface is linked. `prefix` is the node's address with its length.
    ///
    /// # Errors
    /// When a daemon does not start.
    pub fn start(lab: &Lab, node: &Node, prefix: &str) -> Result<Self, LabError> {
        let directory = lab.directory().join(format!("{}-ovs", node.name()));
        fs::create_dir_all(&directory)
            .map_err(|source| LabError::File { path: directory.clone(), source })?;
        let mut switch = Self { node: node.clone(), directory, processes: Vec::new() };
        let database = switch.file("conf.db");
        node.run(&["ovsdb-tool", "create", &database, SCHEMA])?;
        let remote = format!("--remote=punix:{}", switch.file("db.sock"));
        switch.daemon("ovsdb-server", &[&database, &remote])?;
        switch.vsctl(&["--no-wait", "init"])?;
        let database = switch.database();
        switch.daemon("ovs-vswitchd", &[&database, "--disable-system"])?;

        for bridge in [UNDER, EDGE] {
            // Without flows of its own making, from the first: what is not told is dropped.
            let settings = ["datapath_type=netdev", "fail_mode=secure"];
            switch.vsctl(&[&["add-br", bridge, "--", "set", "bridge", bridge][..], &settings].concat())?;
        }
        switch.port(UNDER, UNDERLAY, WIRE, &[])?;
        switch.port(UNDER, "to-edge", TO_EDGE, &["type=patch", "options:peer=to-under"])?;
        switch.port(EDGE, "to-under", TO_UNDER, &["type=patch", "options:peer=to-edge"])?;
        node.address(UNDER, prefix)?;
        node.up(UNDER)?;
        switch.flow(UNDER, &format!("priority=2,in_port={WIRE},mpls,actions=output:{TO_EDGE}"))?;
        switch.flow(UNDER, &format!("priority=1,in_port={WIRE},actions=LOCAL"))?;
        switch.flow(UNDER, &format!("in_port=LOCAL,actions=output:{WIRE}"))?;
        switch.flow(UNDER, &format!("in_port={TO_EDGE},actions=output:{WIRE}"))?;
        Ok(switch)
    }

    /// Takes an interface of the node as that of the only site.
    ///
    /// # Errors
    /// When it is not there.
    pub fn site(&self, interface: &str) -> Result<(), LabError> {
        self.port(EDGE, interface, SITE, &[])
    }

    /// Makes a GRE tunnel that carries packets without Ethernet headers.
    ///
    /// # Errors
    /// When Open vSwitch refuses it.
    pub fn tunnel(&self, local: &str, remote: &str) -> Result<(), LabError> {
        let (local, remote) = (format!("options:local_ip={local}"), format!("options:remote_ip={remote}"));
        self.port(EDGE, "gre", GRE, &["type=gre", &local, &remote, "options:packet_type=legacy_l3"])
    }

    /// Sends what comes from the site for a prefix with a label, as an ingress router does.
    ///
    /// # Errors
    /// When Open vSwitch refuses the flow.
    pub fn push(&self, to: Destination<'_>, way: Way<'_>) -> Result<(), LabError> {
        self.push_stack(to, &[], way)
    }

    /// The same with more labels above, the topmost one last.
    ///
    /// # Errors
    /// When Open vSwitch refuses the flow.
    pub fn push_stack(&self, to: Destination<'_>, above: &[u32], way: Way<'_>) -> Result<(), LabError> {
        let Destination { prefix, label } = to;
        let matched = if prefix.contains(':') {
            format!("ipv6,ipv6_dst={prefix}")
        } else {
            format!("ip,nw_dst={prefix}")
        };
        let labels: String = std::iter::once(&label)
            .chain(above)
            .map(|label| format!("push_mpls:0x8847,set_field:{label}->mpls_label,set_field:255->mpls_ttl,"))
            .collect();
        let out = self.send(way)?;
        self.flow(EDGE, &format!("in_port={SITE},{matched},actions=dec_ttl,{labels}{out}"))
    }

    /// Gives what arrives with a label to the site, as an egress router does; the kind of packet follows from
    /// the prefix. `source` and `destination` are the MAC addresses of the gateway and of the site.
    ///
    /// # Errors
    /// When Open vSwitch refuses the flow.
    pub fn pop(
        &self,
        to: Destination<'_>,
        way: Way<'_>,
        source: &str,
        destination: &str,
    ) -> Result<(), LabError> {
        let Destination { prefix, label } = to;
        let ethertype = if prefix.contains(':') { "0x86dd" } else { "0x0800" };
        let matched = labelled(label, way);
        let header = format!("set_field:{source}->eth_src,set_field:{destination}->eth_dst");
        let actions = format!("pop_mpls:{ethertype},{header},dec_ttl,output:{SITE}");
        self.flow(EDGE, &format!("{matched},actions={actions}"))
    }

    /// Sends the site's frames, as they are, behind a label (RFC 7432 §12, without control word).
    ///
    /// # Errors
    /// When Open vSwitch refuses the flow.
    pub fn push_frames(&self, label: u32, way: Way<'_>) -> Result<(), LabError> {
        let header = match way {
            Way::Ethernet(_) => "encap(ethernet),",
            Way::Gre => "",
        };
        let out = self.send(way)?;
        let label = format!("encap(mpls),set_field:{label}->mpls_label,set_field:255->mpls_ttl");
        self.flow(EDGE, &format!("in_port={SITE},actions={label},{header}{out}"))
    }

    /// Gives the frames that arrive behind a label to the site.
    ///
    /// # Errors
    /// When Open vSwitch refuses the flow.
    pub fn pop_frames(&self, label: u32, way: Way<'_>) -> Result<(), LabError> {
        let matched = labelled(label, way);
        self.flow(EDGE, &format!("{matched},actions=decap(),decap(packet_type(ns=0,type=0)),output:{SITE}"))
    }

    /// The MAC address that it has on the underlay.
    ///
    /// # Errors
    /// When its port is gone.
    pub fn mac(&self) -> Result<String, LabError> {
        mac(&self.node, UNDER)
    }

    /// The last actions of a flow to the underlay.
    fn send(&self, way: Way<'_>) -> Result<String, LabError> {
        Ok(match way {
            Way::Ethernet(mac) => {
                format!("set_field:{}->eth_src,set_field:{mac}->eth_dst,output:{TO_UNDER}", self.mac()?)
            }
            Way::Gre => format!("output:{GRE}"),
        })
    }

    fn port(&self, bridge: &str, name: &str, number: &str, settings: &[&str]) -> Result<(), LabError> {
        let number = format!("ofport_request={number}");
        let add = ["add-port", bridge, name, "--", "set", "interface", name, &number];
        self.vsctl(&[&add[..], settings].concat()).map(drop)
    }

    fn flow(&self, bridge: &str, flow: &str) -> Result<(), LabError> {
        let target = format!("unix:{}", self.file(&format!("{bridge}.mgmt")));
        self.node.run(&["ovs-ofctl", "-O", "OpenFlow13", "add-flow", &target, flow]).map(drop)
    }

    fn vsctl(&self, words: &[&str]) -> Result<String, LabError> {
        let database = format!("--db={}", self.database());
        self.node.run(&[&["ovs-vsctl", "--timeout=20", &database], words].concat())
    }

    /// Starts a daemon and waits until it answers on its control socket.
    fn daemon(&mut self, name: &str, words: &[&str]) -> Result<(), LabError> {
        let sockets = format!("OVS_RUNDIR={}", self.directory.display());
        let control = self.file(&format!("{name}.ctl"));
        let options = [
            format!("--unixctl={control}"),
            format!("--pidfile={}", self.file(&format!("{name}.pid"))),
            format!("--log-file={}", self.file(&format!("{name}.log"))),
        ];
        let mut line = vec!["env", &sockets, name];
        line.extend(words);
        line.extend(options.iter().map(String::as_str));
        let mut process = self.node.spawn(name, &line)?;
        let node = &self.node;
        process.wait_ready(SOON, name, |_| {
            if !Path::new(&control).exists() {
                return None;
            }
            node.run(&["ovs-appctl", "--timeout=2", "-t", &control, "version"]).ok()
        })?;
        // What was started last ends first: the switch before its database.
        self.processes.insert(0, process);
        Ok(())
    }

    fn database(&self) -> String {
        format!("unix:{}", self.file("db.sock"))
    }

    fn file(&self, name: &str) -> String {
        self.directory.join(name).to_string_lossy().into_owned()
    }
}

/// What matches packets with this label and no other.
fn labelled(label: u32, way: Way<'_>) -> String {
    let port = match way {
        Way::Ethernet(_) => TO_UNDER,
        Way::Gre => GRE,
    };
    format!("in_port={port},mpls,mpls_label={label},mpls_bos=1")
}

/// The MAC address of an interface.
///
/// # Errors
/// When there is none of this name.
pub fn mac(node: &Node, interface: &str) -> Result<String, LabError> {
    wait_until(SOON, &format!("MAC address of {interface}"), || {
        let links = node.ip(&["-j", "link", "show", interface]).ok()?;
        let links: Value = serde_json::from_str(&links).ok()?;
        Some(links.pointer("/0/address")?.as_str()?.to_owned())
    })
}
