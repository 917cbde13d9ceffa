//! A host behind a node: one interface, `eth0`, in a tenant's network.

use super::{Lab, LabError, Node};

/// The interface of every host.
const INTERFACE: &str = "eth0";

/// What VXLAN over IPv4 leaves of an underlay of 1500 bytes.
const MTU: u32 = 1450;

/// A host, numbered so that its addresses follow.
#[derive(Clone, Debug)]
pub struct Host {
    /// Its namespace.
    pub node: Node,
    /// Its MAC address.
    pub mac: String,
    /// Its IPv4 address, in a /24.
    pub ipv4: String,
    /// Its IPv6 address, in a /64.
    pub ipv6: String,
}

impl Host {
    /// The interface of every host.
    pub const INTERFACE: &str = INTERFACE;

    /// A host without a link as yet.
    ///
    /// # Errors
    /// When its namespace can't be made.
    pub fn new(lab: &Lab, number: u8) -> Result<Self, LabError> {
        Ok(Self {
            node: lab.node(&format!("host{number}"))?,
            mac: format!("02:00:00:00:00:{number:02x}"),
            ipv4: format!("192.168.10.{number}"),
            ipv6: format!("fd00:10::{number:x}"),
        })
    }

    /// Links it to `port` of a node, and gives it its addresses.
    ///
    /// # Errors
    /// When it has a link already, or the node has such a port.
    pub fn link(&self, lab: &Lab, node: &Node, port: &str) -> Result<(), LabError> {
        lab.link((node, port), (&self.node, INTERFACE))?;
        self.node.mac(INTERFACE, &self.mac)?;
        self.node.mtu(INTERFACE, MTU)?;
        node.mtu(port, MTU)?;
        self.node.address(INTERFACE, &format!("{}/24", self.ipv4))?;
        self.node.address(INTERFACE, &format!("{}/64", self.ipv6))
    }

    /// Takes its link away, to be linked to another node.
    ///
    /// # Errors
    /// When it has none.
    pub fn unlink(&self) -> Result<(), LabError> {
        self.node.ip(&["link", "delete", INTERFACE]).map(drop)
    }

    /// Forgets the MAC addresses of all others, so that the next packet asks for them.
    ///
    /// # Errors
    /// When the kernel refuses.
    pub fn forget_neighbors(&self) -> Result<(), LabError> {
        self.node.ip(&["neighbour", "flush", "dev", INTERFACE]).map(drop)
    }

    /// The MAC address that it has for an IP address, if it has one.
    #[must_use]
    pub fn neighbor(&self, address: &str) -> Option<String> {
        let text = self.node.ip(&["-j", "neighbour", "show", address, "dev", INTERFACE]).ok()?;
        let entries = serde_json::from_str::<serde_json::Value>(&text).ok()?;
        Some(entries.pointer("/0/lladdr")?.as_str()?.to_owned())
    }

    /// Sends to an IP address with this MAC address, without asking.
    ///
    /// # Errors
    /// When the kernel refuses.
    pub fn set_neighbor(&self, address: &str, mac: &str) -> Result<(), LabError> {
        self.node
            .ip(&["neighbour", "replace", address, "lladdr", mac, "nud", "permanent", "dev", INTERFACE])
            .map(drop)
    }

    /// Whether the interface leaves segmentation and checksums to others.
    ///
    /// # Errors
    /// When `ethtool` fails.
    pub fn offloads(&self, on: bool) -> Result<(), LabError> {
        let state = if on { "on" } else { "off" };
        let features = ["tx", state, "tso", state, "gso", state, "gro", state];
        self.node.run(&[&["ethtool", "-K", INTERFACE][..], &features].concat()).map(drop)
    }
}
