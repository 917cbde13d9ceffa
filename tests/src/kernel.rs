//! A VTEP made of a kernel bridge and a kernel VXLAN device.

use std::process::Command;

use bagpipe_agent::lab::{Host, Lab, LabError, Node};

/// A bridge with a VXLAN device that learns nothing: entries are static, or FRR's.
#[derive(Clone, Debug)]
pub struct Vtep {
    node: Node,
    bridge: String,
    device: String,
}

impl Vtep {
    /// Makes both devices on a node.
    ///
    /// # Errors
    /// When the kernel refuses.
    pub fn new(node: &Node, vni: u32, local: &str) -> Result<Self, LabError> {
        let (bridge, device) = (format!("br{vni}"), format!("vx{vni}"));
        let vni = vni.to_string();
        node.ip(&["link", "add", &bridge, "type", "bridge", "mcast_snooping", "0"])?;
        let kind = ["type", "vxlan", "id", &vni, "local", local, "dstport", "4789", "nolearning"];
        node.ip(&[&["link", "add", device.as_str()][..], &kind].concat())?;
        node.ip(&["link", "set", &device, "master", &bridge])?;
        node.ip(&[
            "link",
            "set",
            &device,
            "type",
            "bridge_slave",
            "neigh_suppress",
            "on",
            "learning",
            "off",
        ])?;
        node.up(&bridge)?;
        node.up(&device)?;
        Ok(Self { node: node.clone(), bridge, device })
    }

    /// Joins a host to the bridge by a new port.
    ///
    /// # Errors
    /// When the port exists already.
    pub fn plug(&self, lab: &Lab, port: &str, host: &Host) -> Result<(), LabError> {
        host.link(lab, &self.node, port)?;
        self.node.ip(&["link", "set", port, "master", &self.bridge]).map(drop)
    }

    /// Floods to a remote endpoint.
    ///
    /// # Errors
    /// When the kernel refuses.
    pub fn flood_to(&self, endpoint: &str) -> Result<(), LabError> {
        self.fdb("append", "00:00:00:00:00:00", endpoint)
    }

    /// Says that a MAC address is behind a remote endpoint.
    ///
    /// # Errors
    /// When the kernel refuses.
    pub fn send_to(&self, mac: &str, endpoint: &str) -> Result<(), LabError> {
        self.fdb("replace", mac, endpoint)
    }

    fn fdb(&self, verb: &str, mac: &str, endpoint: &str) -> Result<(), LabError> {
        let namespace = self.node.namespace();
        let output = Command::new("bridge")
            .args(["-n", namespace, "fdb", verb, mac, "dev", &self.device, "dst", endpoint])
            .output()
            .map_err(|source| LabError::Missing { program: "bridge".to_owned(), source })?;
        if output.status.success() {
            return Ok(());
        }
        Err(LabError::Failed {
            command: format!("bridge fdb {verb} {mac} dst {endpoint}"),
            status: output.status.to_string(),
            output: String::from_utf8_lossy(&output.stderr).into_owned(),
        })
    }
}
