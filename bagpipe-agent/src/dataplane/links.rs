//! The interfaces of this network namespace, as netlink tells of them.

use std::collections::BTreeMap;

use bagpipe_bgp::types::MacAddr;

/// An interface.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Link {
    /// Interface index.
    pub index: u32,
    /// Name.
    pub name: String,
    /// Link-layer address, where it is a MAC address.
    pub mac: Option<MacAddr>,
    /// Largest IP packet, in bytes.
    pub mtu: u32,
    /// Administratively up.
    pub up: bool,
    /// The loopback interface.
    pub loopback: bool,
    /// Kind of a virtual interface, such as `veth`.
    pub kind: Option<String>,
    /// The other end of the link is in another network namespace.
    pub peer_elsewhere: bool,
    /// Index of the bridge or bond that the interface is in.
    pub master: Option<u32>,
    /// UDP port of a VXLAN device.
    pub vxlan_port: Option<u16>,
}

impl Link {
    /// Whether packets can be handed straight to the other end (bpf_redirect_peer).
    #[must_use]
    pub(crate) fn redirects_to_peer(&self) -> bool {
        self.peer_elsewhere && self.kind.as_deref() == Some("veth")
    }
}

/// All interfaces, by index and by name.
#[derive(Debug, Default)]
pub(crate) struct Links {
    links: BTreeMap<u32, Link>,
    names: BTreeMap<String, u32>,
}

impl Links {
    /// An interface came or changed; what was known of it before.
    pub(crate) fn set(&mut self, link: Link) -> Option<Link> {
        let index = link.index;
        let old = self.remove(index);
        self.names.insert(link.name.clone(), index);
        self.links.insert(index, link);
        old
    }

    /// An interface went.
    pub(crate) fn remove(&mut self, index: u32) -> Option<Link> {
        let link = self.links.remove(&index)?;
        // The name may already belong to another: events of renames come one by one.
        if self.names.get(&link.name) == Some(&index) {
            self.names.remove(&link.name);
        }
        Some(link)
    }

    /// The interface of an index.
    #[must_use]
    pub(crate) fn get(&self, index: u32) -> Option<&Link> {
        self.links.get(&index)
    }

    /// The interface of a name.
    #[must_use]
    pub(crate) fn of_name(&self, name: &str) -> Option<&Link> {
        self.links.get(self.names.get(name)?)
    }

    /// All interfaces.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &Link> {
        self.links.values()
    }
}
