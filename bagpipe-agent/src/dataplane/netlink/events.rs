//! What the kernel tells by itself.

use std::io;

use netlink_sys::{Socket, SocketAddr, protocols::NETLINK_ROUTE};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

use super::decode::{self, Event};
use super::message::messages;
use super::request::DATAGRAM;
use crate::dataplane::sys;

/// Room for what comes while the agent does something else; more than that is lost, and told as lost.
const BUFFER: i32 = 4 << 20;

/// A socket on which the kernel tells of interfaces, neighbours and routes.
#[derive(Debug)]
pub(crate) struct Events {
    socket: AsyncFd<Socket>,
    /// Room for a datagram.
    datagram: Vec<u8>,
}

/// What has come.
#[derive(Debug, Default)]
pub(crate) struct Batch {
    /// Events, in their order.
    pub events: Vec<Event>,
    /// Events were lost: everything must be read again.
    pub lost: bool,
}

impl Events {
    /// Opens the socket, in the network namespace of the calling thread. Events from now on are not missed.
    ///
    /// # Errors
    /// Those of socket(2), and when there is no tokio runtime.
    pub(crate) fn open() -> io::Result<Self> {
        let groups =
            [libc::RTNLGRP_LINK, libc::RTNLGRP_NEIGH, libc::RTNLGRP_IPV4_ROUTE, libc::RTNLGRP_IPV6_ROUTE];
        let mut socket = Socket::new(NETLINK_ROUTE)?;
        socket.bind(&SocketAddr::new(0, 0))?;
        for group in groups {
            socket.add_membership(group)?;
        }
        // Beyond what the system allows to everybody.
        sys::set_option(&socket, libc::SOL_SOCKET, libc::SO_RCVBUFFORCE, &BUFFER.to_ne_bytes())?;
        socket.set_non_blocking(true)?;
        Ok(Self { socket: sys::watch(socket)?, datagram: Vec::with_capacity(DATAGRAM) })
    }

    /// Waits until something has come. Cancelling this loses nothing.
    ///
    /// # Errors
    /// When the runtime is shutting down.
    pub(crate) async fn ready(&self) -> io::Result<()> {
        self.socket.readable().await.map(|mut guard| guard.retain_ready())
    }

    /// Takes everything that has come.
    ///
    /// # Errors
    /// Those of recv(2).
    pub(crate) fn take(&mut self) -> io::Result<Batch> {
        let mut batch = Batch::default();
        let datagram = &mut self.datagram;
        loop {
            datagram.clear();
            // What has come may not have been polled yet. When there is nothing more, once again within `try_io`,
            // so that the readiness that it clears is never that of a later event.
            let received = match self.socket.get_ref().recv(datagram, 0) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    self.socket.try_io(Interest::READABLE, |socket| socket.recv(datagram, 0))
                }
                received => received,
            };
            match received {
                Ok(_) => {
                    batch.events.extend(messages(datagram).filter_map(|message| decode::event(&message)));
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(batch),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) if error.raw_os_error() == Some(libc::ENOBUFS) => batch.lost = true,
                Err(error) => return Err(error),
            }
        }
    }
}
