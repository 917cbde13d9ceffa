//! The port program on interfaces, and the one for strays on the kernel's VXLAN device: a direct-action filter on each.
//!
//! Not a tcx link, as the underlay's programs are: making one waits for an RCU grace period under the kernel's one
//! lock for all network configuration, some ten milliseconds for each port. A filter has neither a pin nor a handle
//! that could be closed. It stays until it is removed or its interface goes, and its name says whose it is.

use std::io;
use std::os::fd::BorrowedFd;

use super::AttachError;
use crate::dataplane::netlink::request::Requests;

/// The filters of an agent instance, in the network namespace in which this was made.
#[derive(Debug)]
pub(crate) struct PortFilters {
    netlink: Requests,
    name: String,
}

impl PortFilters {
    /// The filters of this instance.
    ///
    /// # Errors
    /// When there is no netlink.
    pub(crate) fn open(instance: &str) -> io::Result<Self> {
        Ok(Self { netlink: Requests::open()?, name: format!("bagpipe:{instance}") })
    }

    /// Puts a program on an interface. One that is there is replaced at once: no packet meets none.
    ///
    /// # Errors
    /// When our place is taken by somebody else, or the kernel refuses.
    pub(crate) fn attach(&mut self, ifindex: u32, program: BorrowedFd<'_>) -> Result<(), AttachError> {
        let refused = |error| AttachError::Filter { ifindex, error };
        match self.netlink.add_filter(ifindex, program, &self.name) {
            Err(error) if error.raw_os_error() == Some(libc::EEXIST) => {}
            outcome => return outcome.map_err(refused),
        }
        if let Some(other) = self.netlink.filter(ifindex).map_err(refused)?
            && other.name != self.name
        {
            return Err(AttachError::Taken { ifindex, name: other.name });
        }
        self.netlink.replace_filter(ifindex, program, &self.name).map_err(refused)
    }

    /// Takes our program off an interface, which may be gone; whether it was there. The `clsact` qdisc stays: it
    /// costs a packet next to nothing, and others may be about to put filters on it.
    ///
    /// # Errors
    /// When the kernel refuses.
    pub(crate) fn detach(&mut self, ifindex: u32) -> Result<bool, AttachError> {
        let refused = |error| AttachError::Filter { ifindex, error };
        if self.program(ifindex).map_err(refused)?.is_none() {
            return Ok(false);
        }
        self.netlink.remove_filter(ifindex).map_err(refused)?;
        Ok(true)
    }

    /// The identifier of our program on an interface, if there is one.
    ///
    /// # Errors
    /// When the kernel could not be asked.
    pub(crate) fn program(&mut self, ifindex: u32) -> io::Result<Option<u32>> {
        let filter = self.netlink.filter(ifindex)?;
        Ok(filter.filter(|filter| filter.name == self.name).map(|filter| filter.program))
    }
}
