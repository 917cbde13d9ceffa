//! Listening sockets.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::{TcpListener, TcpSocket};
use tokio::sync::{mpsc, watch};
use tokio::task::AbortHandle;

use super::{Event, Protection};

const BACKLOG: u32 = 1024;

/// How long not to accept when the system has no descriptors left.
const PAUSE: Duration = Duration::from_millis(200);

/// Why sessions cannot be accepted on an address.
#[derive(Debug, thiserror::Error)]
#[error("cannot listen for BGP on {address}: {source}; {}", remedy(source))]
pub struct ListenError {
    /// The address.
    pub address: SocketAddr,
    /// What the system said.
    pub source: io::Error,
}

fn remedy(error: &io::Error) -> &'static str {
    match error.kind() {
        io::ErrorKind::AddrInUse => {
            "stop the BGP speaker that has the port (`ss -ltnp` names it), or set another in bgp.listen"
        }
        io::ErrorKind::PermissionDenied => {
            "run the agent as root or with CAP_NET_BIND_SERVICE, or set a port above 1023 in bgp.listen"
        }
        io::ErrorKind::AddrNotAvailable => {
            "give an interface of this node that address, or correct bgp.listen"
        }
        io::ErrorKind::Unsupported => "correct bgp.peers or bgp.reflector",
        _ => "correct bgp.listen",
    }
}

/// A listening socket, and the task that accepts.
#[derive(Debug)]
pub(super) struct Listener {
    socket: Arc<TcpListener>,
    task: AbortHandle,
    /// The address with the port that it got.
    pub(super) bound: SocketAddr,
}

impl Listener {
    /// Starts to accept.
    pub(super) fn start(
        address: SocketAddr,
        protection: watch::Receiver<Arc<Protection>>,
        events: mpsc::Sender<Event>,
    ) -> Result<Self, ListenError> {
        let bound = bind(address, &protection.borrow());
        let (listener, bound) = bound.map_err(|source| ListenError { address, source })?;
        let socket = Arc::new(listener);
        let task = tokio::spawn(accept(Arc::clone(&socket), protection, events)).abort_handle();
        Ok(Self { socket, task, bound })
    }

    /// Has those who connect from now on prove something else than before. Connections that are there go on.
    pub(super) fn protect(&self, before: &Protection, after: &Protection) -> Result<(), ListenError> {
        let failed = |source| ListenError { address: self.bound, source };
        after.replace_on_listener(&*self.socket, self.bound.ip(), before).map_err(failed)
    }

    /// Ends it.
    pub(super) fn stop(&self) {
        self.task.abort();
    }
}

fn bind(address: SocketAddr, protection: &Protection) -> io::Result<(TcpListener, SocketAddr)> {
    let socket = match address {
        SocketAddr::V4(_) => TcpSocket::new_v4()?,
        SocketAddr::V6(_) => TcpSocket::new_v6()?,
    };
    // A restart must not wait for the connections of the previous process to leave TIME-WAIT.
    socket.set_reuseaddr(true)?;
    protection.prepare_listener(&socket, address.ip())?;
    socket.bind(address)?;
    let listener = socket.listen(BACKLOG)?;
    let bound = listener.local_addr()?;
    Ok((listener, bound))
}

async fn accept(
    listener: Arc<TcpListener>,
    protection: watch::Receiver<Arc<Protection>>,
    events: mpsc::Sender<Event>,
) {
    loop {
        match listener.accept().await {
            Ok((stream, remote)) => {
                let protection = Arc::clone(&protection.borrow());
                if let Err(error) = protection.check_accepted(&stream, remote.ip()) {
                    tracing::info!("connection from {remote} is not taken: {error}");
                    continue;
                }
                if events.send(Event::Accepted(stream, remote)).await.is_err() {
                    return;
                }
            }
            Err(error) => {
                tracing::warn!("cannot accept BGP connections: {error}");
                tokio::time::sleep(PAUSE).await;
            }
        }
    }
}
