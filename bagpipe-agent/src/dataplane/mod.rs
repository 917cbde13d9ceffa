//! The data plane: names become numbers, differences become map writes.
//!
//! [`Dataplane`] takes the engine's changes and netlink's events, both into `tables`: the desired state. A
//! commit computes from it the entries of the BPF maps (`entry`), next hops (`nexthops`, from what
//! `underlay` knows of the way to each remote endpoint) and flood lists (`floods`), and writes what differs
//! from what was written before. All of that is pure, over the `kernel` trait; `host` is the real one.

mod address;
mod adopt;
mod commit;
mod counters;
mod driver;
mod egress;
mod entry;
mod entry_view;
mod floods;
mod groups;
mod headroom;
mod health;
mod host;
mod kernel;
#[cfg(test)]
mod kernel_tests;
mod links;
pub mod map_cli;
mod map_json;
mod maps;
mod netlink;
mod nexthops;
mod numbered;
mod pins;
mod pool;
pub mod programs;
mod routes;
mod rules;
mod stale;
mod tables;
#[cfg(test)]
mod tests;
mod underlay;
mod value;
mod verify;

use std::collections::BTreeSet;
use std::future;
use std::net::IpAddr;
use std::path::{Path, PathBuf};

use serde::Serialize;

pub use counters::{Dropped, Traffic};
pub use driver::{Counters, Ebpf, NexthopView};
pub use entry_view::EntryView;
pub use health::Problem;
pub use maps::MapsError;
pub use tables::Failure;
pub use underlay::State as NexthopState;
pub use verify::Divergence;

use crate::fib::{Change, Fib, Place, VpnId};
use crate::sys;

/// Where BPF objects are pinned, one directory for each agent instance.
pub const PINS: &str = "/sys/fs/bpf/bagpipe";

/// The directory of an agent instance's pins, for this version of the map ABI.
#[must_use]
pub fn pins_of(instance: &str) -> PathBuf {
    Path::new(PINS).join(instance).join(format!("v{}", bagpipe_common::ABI_VERSION))
}

/// Name of the kernel's VXLAN device of an agent instance. Interface names have 15 octets at most, so that of a
/// long instance name is cut.
#[must_use]
pub fn vxlan_device_of(instance: &str) -> String {
    format!("bp-{instance}").chars().take(15).collect()
}

/// Name of the bridge that an agent instance's ports get their headroom by. As that of the VXLAN device, it holds the
/// longest name that an instance may have.
#[must_use]
pub fn headroom_bridge_of(instance: &str) -> String {
    format!("bh-{instance}").chars().take(15).collect()
}

/// The first address of an interface that reaches beyond its link, if it has one.
///
/// # Errors
/// When netlink does not answer.
pub fn address_of(interface: &str) -> Result<Option<IpAddr>, DataplaneError> {
    let netlink = |error| DataplaneError::Netlink { action: "list addresses", error };
    let mut requests = netlink::request::Requests::open().map_err(netlink)?;
    let links = requests.links().map_err(netlink)?;
    let index = links.iter().find(|link| link.name == interface).map(|link| link.index);
    let addresses = requests.addresses().map_err(netlink)?;
    Ok(addresses.into_iter().find(|(owner, _)| Some(*owner) == index).map(|(_, address)| address))
}

/// The interface that has an address.
///
/// # Errors
/// When netlink does not answer.
pub fn interface_of(address: IpAddr) -> Result<Option<String>, DataplaneError> {
    let netlink = |error| DataplaneError::Netlink { action: "list addresses", error };
    let mut requests = netlink::request::Requests::open().map_err(netlink)?;
    let addresses = requests.addresses().map_err(netlink)?;
    let index = addresses.into_iter().find(|(_, own)| *own == address).map(|(owner, _)| owner);
    let links = requests.links().map_err(netlink)?;
    Ok(links.into_iter().find(|link| Some(link.index) == index).map(|link| link.name))
}

/// What the data plane is made of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// Name of the agent instance.
    pub instance: String,
    /// Interfaces that carry encapsulated traffic.
    pub underlay: BTreeSet<String>,
    /// Local tunnel addresses, at most one of each family.
    pub local_addresses: Vec<IpAddr>,
    /// UDP destination port of VXLAN.
    pub vxlan_port: u16,
    /// The gateway's MAC address.
    pub gateway_mac: bagpipe_bgp::types::MacAddr,
    /// The MAC address of this node's router for other nodes.
    pub router_mac: bagpipe_bgp::types::MacAddr,
    /// Each hop of a tunnel counts in the TTL of the packet inside (RFC 3443 §3.1).
    pub uniform_ttl: bool,
    /// Routes of hosts that the maps take, and as many of other prefixes, where the maps are not there yet.
    pub maximum_routes: u32,
}

/// Why the data plane can't do what it should.
#[derive(Debug, thiserror::Error)]
pub enum DataplaneError {
    /// The programs can't be loaded or attached.
    #[error(transparent)]
    Programs(#[from] programs::LoadError),
    /// The pinned maps can't be used.
    #[error(transparent)]
    Maps(#[from] MapsError),
    /// What an agent of another version left can't be removed.
    #[error("can't remove what another version left beside {}: {error}; stop that agent, or use 'bagpipe cleanup'", .pins.display())]
    Pins {
        /// This version's directory.
        pins: PathBuf,
        /// What the kernel said.
        error: std::io::Error,
    },
    /// Netlink does not answer.
    #[error("can't {action}: {error}")]
    Netlink {
        /// What was asked.
        action: &'static str,
        /// What the kernel said.
        error: std::io::Error,
    },
    /// The kernel's VXLAN device can't be made.
    #[error(
        "can't create VXLAN device {name} on UDP port {port}: {error}; \
         if another VXLAN device has this port, delete it or set [dataplane] vxlan_port"
    )]
    VxlanDevice {
        /// Name of the device.
        name: String,
        /// The port.
        port: u16,
        /// What the kernel said.
        error: std::io::Error,
    },
    /// Something could not be written; it is tried again when there is space.
    #[error(transparent)]
    Degraded(#[from] Failure),
}

/// An interface that a port can be attached to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct InterfaceInfo {
    /// Name.
    pub name: String,
    /// Interface index; 0 without a data plane.
    pub ifindex: u32,
    /// MAC address.
    pub mac: Option<bagpipe_bgp::types::MacAddr>,
    /// Largest IP packet, in bytes.
    pub mtu: u32,
    /// Administratively up.
    pub up: bool,
}

/// Why an interface can't be a port.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InterfaceError {
    /// There is none of this name.
    #[error("interface '{0}' does not exist in the agent's network namespace; create it before attaching")]
    NotFound(String),
    /// The loopback interface.
    #[error("interface '{0}' is the loopback interface; attach a tap, veth or Ethernet interface")]
    Loopback(String),
    /// It carries the underlay.
    #[error("interface '{0}' is in [dataplane] underlay; a port can't be on it")]
    Underlay(String),
    /// It has no MAC address.
    #[error("interface '{0}' is not an Ethernet interface; attach a tap, veth or Ethernet interface")]
    NotEthernet(String),
    /// It is the agent's own.
    #[error("interface '{0}' belongs to the agent; a port can't be on it")]
    Own(String),
}

/// The data plane of the agent.
pub enum Dataplane {
    /// Control plane only: the desired state is kept and nothing is forwarded.
    None(Box<Fib>),
    /// BPF programs and maps.
    Ebpf(Box<Ebpf>),
}

impl Dataplane {
    /// A data plane that forwards nothing.
    #[must_use]
    pub fn none() -> Self {
        Self::None(Box::default())
    }

    /// Loads and attaches the programs, and adopts what pinned maps hold of the instances in `known`. What is
    /// adopted stays until [`Self::sweep`], unless a change confirms or removes it. Must be called in the
    /// context of the runtime.
    ///
    /// # Errors
    /// What keeps the data plane from working, with its remedy.
    pub fn start(config: Config, known: &BTreeSet<VpnId>) -> Result<Self, DataplaneError> {
        Ok(Self::Ebpf(Box::new(Ebpf::start(config, known)?)))
    }

    /// Whether forwarding state of an earlier run was adopted.
    #[must_use]
    pub fn adopted(&self) -> bool {
        match self {
            Self::None(_) => false,
            Self::Ebpf(driver) => driver.adopted(),
        }
    }

    /// Takes what the kernel has told so far, for who can't wait for [`Self::event`].
    pub fn catch_up(&mut self) {
        match self {
            Self::None(_) => {}
            Self::Ebpf(driver) => driver.catch_up(),
        }
    }

    /// The interface of this name, if a port can be attached to it.
    ///
    /// # Errors
    /// Why it can't.
    pub fn interface(&self, name: &str) -> Result<InterfaceInfo, InterfaceError> {
        match self {
            Self::None(_) => {
                Ok(InterfaceInfo { name: name.to_owned(), ifindex: 0, mac: None, mtu: 0, up: true })
            }
            Self::Ebpf(driver) => driver.interface(name),
        }
    }

    /// Takes a change of the desired state. Nothing is written before [`Self::commit`].
    pub fn apply(&mut self, change: &Change) {
        match self {
            Self::None(fib) => fib.apply(change),
            Self::Ebpf(driver) => driver.apply(change),
        }
    }

    /// Writes what differs from what was written before. What can't be written is kept in [`Self::health`] and
    /// tried again by later commits.
    ///
    /// # Errors
    /// The first entry that could not be written and that had been no problem before.
    pub fn commit(&mut self) -> Result<(), DataplaneError> {
        match self {
            Self::None(_) => Ok(()),
            Self::Ebpf(driver) => driver.commit(),
        }
    }

    /// Waits for the kernel to tell of a change, or for a time that was set, and takes it. What follows from it
    /// is written by the next [`Self::commit`]. Cancelling this loses nothing.
    pub async fn event(&mut self) {
        match self {
            Self::None(_) => future::pending().await,
            Self::Ebpf(driver) => driver.event().await,
        }
    }

    /// Removes what was adopted and has not been confirmed since: to be called when all peers have sent what
    /// they have. How many objects that were.
    ///
    /// # Errors
    /// Those of [`Self::commit`].
    pub fn sweep(&mut self) -> Result<usize, DataplaneError> {
        match self {
            Self::None(_) => Ok(0),
            Self::Ebpf(driver) => driver.sweep(),
        }
    }

    /// Compares the kernel's maps and the programs on interfaces with the desired state.
    ///
    /// # Errors
    /// When the kernel can't be asked.
    pub fn verify(&mut self) -> Result<Vec<Divergence>, DataplaneError> {
        match self {
            Self::None(_) => Ok(Vec::new()),
            Self::Ebpf(driver) => driver.verify(),
        }
    }

    /// The desired state.
    #[must_use]
    pub fn fib(&self) -> &Fib {
        match self {
            Self::None(fib) => fib,
            Self::Ebpf(driver) => driver.fib(),
        }
    }

    /// What was written for a piece of the desired state; `None` without maps, and for what is in none of them.
    #[must_use]
    pub fn entry(&self, place: &Place) -> Option<EntryView> {
        match self {
            Self::None(_) => None,
            Self::Ebpf(driver) => driver.entry(place),
        }
    }

    /// What the programs have counted.
    #[must_use]
    pub fn counters(&self) -> Counters {
        match self {
            Self::None(_) => Counters::default(),
            Self::Ebpf(driver) => driver.counters(),
        }
    }

    /// Whether there is an interface of that name; a driver that has none to do with it does not say.
    #[must_use]
    pub fn has_interface(&self, name: &str) -> Option<bool> {
        match self {
            Self::None(_) => None,
            Self::Ebpf(driver) => Some(driver.has_interface(name)),
        }
    }

    /// The remote endpoints that packets are sent to, and the way to them.
    #[must_use]
    pub fn nexthops(&self) -> Vec<NexthopView> {
        match self {
            Self::None(_) => Vec::new(),
            Self::Ebpf(driver) => driver.nexthops(),
        }
    }

    /// What is wrong.
    #[must_use]
    pub fn health(&self) -> Vec<Problem> {
        match self {
            Self::None(_) => Vec::new(),
            Self::Ebpf(driver) => driver.health(),
        }
    }

    /// Name of the driver, as in the configuration.
    #[must_use]
    pub const fn driver(&self) -> &'static str {
        match self {
            Self::None(_) => "none",
            Self::Ebpf(_) => "ebpf",
        }
    }

    /// Ends the agent's part. Programs, maps and links stay as they are, and go on forwarding.
    pub fn stop(mut self) {
        if let Err(error) = self.commit() {
            tracing::warn!("data plane: {error}");
        }
    }
}
