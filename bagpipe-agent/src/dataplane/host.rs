//! The kernel of this machine: pinned maps, programs, netlink.

use std::io;
use std::net::IpAddr;

use bagpipe_common::{Settings, settings_flags};

use super::entry::{Key, Map};
use super::kernel::Kernel;
use super::maps::Maps;
use super::netlink::request::Requests;
use super::programs::{Programs, UnderlayMode};
use super::sys::BatchError;
use super::underlay::{NeighborId, Route};
use super::value::Value;
use super::{Config, DataplaneError, pins, pins_of};

/// Where programs are put. The one that loads them is [`super::programs`].
pub(crate) trait Hooks {
    /// Puts the port program on an interface, or replaces the one that is there.
    ///
    /// # Errors
    /// When the kernel refuses.
    fn attach_port(&mut self, ifindex: u32) -> io::Result<()>;

    /// Takes the port program off an interface, which may be gone.
    ///
    /// # Errors
    /// When the kernel refuses.
    fn detach_port(&mut self, ifindex: u32) -> io::Result<()>;

    /// Whether the port program is on an interface.
    ///
    /// # Errors
    /// When the kernel could not be asked.
    fn has_port(&mut self, ifindex: u32) -> io::Result<bool>;

    /// Whether the underlay program is on an interface.
    ///
    /// # Errors
    /// When the kernel could not be asked.
    fn has_underlay(&mut self, ifindex: u32) -> io::Result<bool>;

    /// Puts the underlay programs on an interface, or replaces those that are there.
    ///
    /// # Errors
    /// When the kernel refuses.
    fn attach_underlay(&mut self, ifindex: u32, mode: UnderlayMode) -> io::Result<()>;

    /// Takes the underlay programs off an interface, if they are there.
    ///
    /// # Errors
    /// When the kernel refuses.
    fn detach_underlay(&mut self, ifindex: u32) -> io::Result<()>;

    /// Puts the program that drops strays on the kernel's VXLAN device.
    ///
    /// # Errors
    /// When the kernel refuses.
    fn attach_stray(&mut self, ifindex: u32) -> io::Result<()>;
}

/// Loads the programs, pins their maps, and removes those of other versions.
///
/// # Errors
/// When they can't be loaded.
pub(crate) fn load(config: &Config) -> Result<Box<dyn Hooks>, DataplaneError> {
    let mut settings = Settings {
        vxlan_port: config.vxlan_port,
        flags: if config.uniform_ttl { settings_flags::UNIFORM_TTL } else { 0 },
        gateway_mac: config.gateway_mac.0,
        router_mac: config.router_mac.0,
        ..Settings::default()
    };
    for address in &config.local_addresses {
        match address {
            IpAddr::V4(address) => settings.local_ipv4 = address.octets(),
            IpAddr::V6(address) => settings.local_ipv6 = address.octets(),
        }
    }
    let pins = pins_of(&config.instance);
    let programs = Programs::load(&pins, &config.instance, settings, config.maximum_routes)?;
    // Only now that this version works here.
    pins::remove_other_versions(&pins).map_err(|error| DataplaneError::Pins { pins, error })?;
    Ok(Box::new(programs))
}

impl Hooks for Programs {
    fn attach_port(&mut self, ifindex: u32) -> io::Result<()> {
        Self::attach_port(self, ifindex).map_err(io::Error::other)
    }

    fn detach_port(&mut self, ifindex: u32) -> io::Result<()> {
        Self::detach_port(self, ifindex).map_err(io::Error::other)
    }

    fn has_port(&mut self, ifindex: u32) -> io::Result<bool> {
        Self::has_port(self, ifindex).map_err(io::Error::other)
    }

    fn has_underlay(&mut self, ifindex: u32) -> io::Result<bool> {
        Self::has_underlay(self, ifindex).map_err(io::Error::other)
    }

    fn attach_underlay(&mut self, ifindex: u32, mode: UnderlayMode) -> io::Result<()> {
        let mode = Self::attach_underlay(self, ifindex, mode).map_err(io::Error::other)?;
        tracing::debug!(ifindex, ?mode, "underlay interface");
        Ok(())
    }

    fn detach_underlay(&mut self, ifindex: u32) -> io::Result<()> {
        Self::detach_underlay(self, ifindex).map_err(io::Error::other)
    }

    fn attach_stray(&mut self, ifindex: u32) -> io::Result<()> {
        Self::attach_stray(self, ifindex).map_err(io::Error::other)
    }
}

/// The kernel of this machine.
pub(crate) struct Host {
    /// The maps that the programs read.
    pub maps: Maps,
    /// The programs.
    pub programs: Box<dyn Hooks>,
    /// Netlink.
    pub netlink: Requests,
    /// Interfaces that the port program was put on, or taken off, since this was last emptied.
    pub changed: Vec<u32>,
}

impl Kernel for Host {
    fn update(&mut self, map: Map, entries: &[(Key, Value)]) -> Result<(), BatchError> {
        self.maps.update(map, entries)
    }

    fn remove(&mut self, map: Map, keys: &[Key]) -> Result<(), BatchError> {
        self.maps.remove(map, keys)
    }

    fn route(&mut self, remote: IpAddr) -> io::Result<Option<Route>> {
        self.netlink.route(remote)
    }

    fn keep_neighbor(&mut self, neighbor: NeighborId, keep: bool) -> io::Result<()> {
        self.netlink.keep_neighbor(neighbor, keep)
    }

    fn attach_port(&mut self, ifindex: u32) -> io::Result<()> {
        self.changed.push(ifindex);
        self.programs.attach_port(ifindex)
    }

    fn detach_port(&mut self, ifindex: u32) -> io::Result<()> {
        self.changed.push(ifindex);
        self.programs.detach_port(ifindex)
    }
}
