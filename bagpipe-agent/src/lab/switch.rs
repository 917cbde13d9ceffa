//! An Ethernet switch: a bridge in a namespace of its own.

use super::{LabError, Node};

const BRIDGE: &str = "bridge";

/// A switch. Its port to a node has the name of the node.
#[derive(Clone, Debug)]
pub struct Switch {
    node: Node,
}

impl Switch {
    pub(super) fn create(node: Node) -> Result<Self, LabError> {
        node.ip(&["link", "add", BRIDGE, "type", "bridge", "mcast_snooping", "0", "stp_state", "0"])?;
        node.up(BRIDGE)?;
        Ok(Self { node })
    }

    /// The namespace of the switch: what crosses it can be captured on `bridge` and on its ports.
    #[must_use]
    pub fn node(&self) -> &Node {
        &self.node
    }

    /// Plugs a node in: makes `interface` in it, up. Returns the node, to go on with its addresses.
    ///
    /// # Errors
    /// When the interface exists already.
    pub fn plug<'a>(&self, node: &'a Node, interface: &str) -> Result<&'a Node, LabError> {
        let port = node.name();
        let switch = self.node.namespace();
        node.ip(&["link", "add", interface, "type", "veth", "peer", "name", port, "netns", switch])?;
        self.node.ip(&["link", "set", port, "master", BRIDGE])?;
        self.node.up(port)?;
        node.up(interface)?;
        Ok(node)
    }

    /// Sets the largest IP packet that crosses, in bytes. The interfaces of the nodes keep theirs.
    ///
    /// # Errors
    /// When an interface refuses it.
    pub fn mtu(&self, nodes: &[&Node], bytes: u32) -> Result<(), LabError> {
        for node in nodes {
            self.node.mtu(node.name(), bytes)?;
        }
        self.node.mtu(BRIDGE, bytes)
    }

    /// Sets the port to a node down: the node sees its link lose its carrier.
    ///
    /// # Errors
    /// When the node is not plugged in.
    pub fn disconnect(&self, node: &Node) -> Result<(), LabError> {
        self.node.down(node.name())
    }

    /// Sets the port to a node up again.
    ///
    /// # Errors
    /// When the node is not plugged in.
    pub fn reconnect(&self, node: &Node) -> Result<(), LabError> {
        self.node.up(node.name())
    }
}
