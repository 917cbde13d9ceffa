//! What the data plane's logic needs of the kernel. The real one is [`super::host::Host`]; tests have their own.

use std::io;
use std::net::IpAddr;

use super::entry::{Key, Map};
use super::sys::BatchError;
use super::underlay::{NeighborId, Route};
use super::value::Value;

/// The kernel, as far as the logic of the data plane sees it.
pub(crate) trait Kernel {
    /// Writes entries of one map, in this order.
    ///
    /// # Errors
    /// How many entries were written, and why the next one was not.
    fn update(&mut self, map: Map, entries: &[(Key, Value)]) -> Result<(), BatchError>;

    /// Removes entries of one map, in this order. Elements of an array are set to zero.
    ///
    /// # Errors
    /// How many entries were removed, and why the next one was not.
    fn remove(&mut self, map: Map, keys: &[Key]) -> Result<(), BatchError>;

    /// The unicast route to an address, if there is one.
    ///
    /// # Errors
    /// When the kernel could not be asked.
    fn route(&mut self, remote: IpAddr) -> io::Result<Option<Route>>;

    /// Asks the kernel to keep the MAC address of a neighbour known, or no longer.
    ///
    /// # Errors
    /// When the kernel refuses; the neighbour is then resolved by traffic alone.
    fn keep_neighbor(&mut self, neighbor: NeighborId, keep: bool) -> io::Result<()>;

    /// Attaches the port program to an interface, or replaces the one that is there.
    ///
    /// # Errors
    /// When the kernel refuses.
    fn attach_port(&mut self, ifindex: u32) -> io::Result<()>;

    /// Detaches the port program from an interface, which may be gone.
    ///
    /// # Errors
    /// When the kernel refuses.
    fn detach_port(&mut self, ifindex: u32) -> io::Result<()>;
}
