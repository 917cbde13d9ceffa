//! Connecting to a peer, and why it failed.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use tokio::net::{TcpSocket, TcpStream};

/// How long the kernel may try to connect; the speaker's retry timer does the rest.
const LIMIT: Duration = Duration::from_secs(10);

/// Why there is no connection to a peer.
#[derive(Debug, thiserror::Error)]
pub enum ConnectError {
    /// Connections can't be made from the local address.
    #[error(
        "cannot connect from {local}: {source}; give an interface of this node that address, or correct bgp.local_address"
    )]
    Bind {
        /// The local address.
        local: IpAddr,
        /// What the system said.
        source: io::Error,
    },
    /// The peer is not reached, or does not want to be.
    #[error("cannot connect to port {}: {}", .remote.port(), cause(.source))]
    Connect {
        /// The peer.
        remote: SocketAddr,
        /// What the system said.
        source: io::Error,
    },
}

/// The cause in words, and the remedy where there is one.
fn cause(error: &io::Error) -> String {
    use io::ErrorKind::{ConnectionRefused, HostUnreachable, NetworkUnreachable, TimedOut};
    let text = match error.kind() {
        ConnectionRefused => "refused; start the BGP speaker there, or correct the peer's port",
        TimedOut => "no answer; check the peer's address, that it runs, and that no firewall drops TCP to it",
        HostUnreachable => "host unreachable; check the peer's address, and the links to it",
        NetworkUnreachable => "network unreachable; check the links and routes of this node",
        _ => return error.to_string(),
    };
    text.to_owned()
}

/// Connects from the local address.
pub(super) async fn open(local: IpAddr, remote: SocketAddr) -> Result<TcpStream, ConnectError> {
    let failed = |source| ConnectError::Connect { remote, source };
    let socket = match remote {
        SocketAddr::V4(_) => TcpSocket::new_v4(),
        SocketAddr::V6(_) => TcpSocket::new_v6(),
    }
    .map_err(failed)?;
    // A peer of the other address family is reached from whatever address the kernel picks.
    if local.is_ipv4() == remote.is_ipv4() {
        socket.bind(SocketAddr::new(local, 0)).map_err(|source| ConnectError::Bind { local, source })?;
    }
    let attempt = tokio::time::timeout(LIMIT, socket.connect(remote)).await;
    attempt.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into())).map_err(failed)
}
