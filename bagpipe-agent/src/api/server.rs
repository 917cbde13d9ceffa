//! Listening for HTTP on TCP and on a unix socket.

use std::fs::Permissions;
use std::io;
use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use socket2::SockRef;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpSocket, UnixListener};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::Service;

/// What a client may take of the agent.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Connections of one listener at the same time; more wait.
    pub connections: usize,
    /// Octets of a body.
    pub body: usize,
    /// Time for the head of a request, and for its body; also how long a connection may stay idle.
    pub patience: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self { connections: 256, body: 64 * 1024, patience: Duration::from_secs(10) }
    }
}

/// Connections that may wait to be accepted: as many as clients come at the same time.
const BACKLOG: u32 = 1024;

/// Octets of the head of a request.
const HEAD: usize = 16 * 1024;

/// How long a client may leave what was sent to it unread.
const UNREAD: Duration = Duration::from_secs(30);

/// How long not to accept when the system has no descriptors left.
const PAUSE: Duration = Duration::from_millis(200);

/// Why the API cannot be served.
#[derive(Debug, thiserror::Error)]
pub enum BindError {
    /// The TCP address cannot be had.
    #[error(
        "cannot serve HTTP on {address}: {source}; free the port (`ss -ltnp` names who has it) or set another in [api]"
    )]
    Tcp {
        /// The address.
        address: SocketAddr,
        /// What the system said.
        source: io::Error,
    },
    /// The socket cannot be made.
    #[error("cannot serve the API on {}: {source}; check the directory, or set another api.socket", path.display())]
    Unix {
        /// The path.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// Somebody answers on the socket.
    #[error("another agent serves {}; stop it, or give this one another --instance or api.socket", .0.display())]
    InUse(PathBuf),
}

/// A listening socket.
#[derive(Debug)]
pub enum Listener {
    /// TCP.
    Tcp(TcpListener),
    /// A unix socket.
    Unix(UnixListener),
}

impl Listener {
    /// Listens on a TCP address.
    pub fn tcp(address: SocketAddr) -> Result<Self, BindError> {
        bind_tcp(address).map(Self::Tcp).map_err(|source| BindError::Tcp { address, source })
    }

    /// Listens on a path, in place of a socket that nobody serves any more.
    pub fn unix(path: &Path) -> Result<Self, BindError> {
        if std::os::unix::net::UnixStream::connect(path).is_ok() {
            return Err(BindError::InUse(path.to_owned()));
        }
        bind_unix(path).map(Self::Unix).map_err(|source| BindError::Unix { path: path.to_owned(), source })
    }

    /// Serves until the task is aborted.
    pub async fn serve(self, service: Service, limits: Limits) {
        let places = Arc::new(Semaphore::new(limits.connections));
        while let Ok(place) = Arc::clone(&places).acquire_owned().await {
            let accepted = match &self {
                Self::Tcp(listener) => {
                    listener.accept().await.map(|(stream, _)| {
                        // What does not know the option only keeps such a client for longer.
                        drop(SockRef::from(&stream).set_tcp_user_timeout(Some(UNREAD)));
                        spawn(stream, &service, limits, place);
                    })
                }
                Self::Unix(listener) => {
                    listener.accept().await.map(|(stream, _)| spawn(stream, &service, limits, place))
                }
            };
            if let Err(error) = accepted {
                tracing::warn!("cannot accept API connections: {error}");
                tokio::time::sleep(PAUSE).await;
            }
        }
    }
}

fn bind_tcp(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = if address.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    socket.listen(BACKLOG)
}

/// The socket gets its permissions before its name, so that at no time anyone else can connect.
fn bind_unix(path: &Path) -> io::Result<UnixListener> {
    if let Some(directory) = path.parent() {
        std::fs::create_dir_all(directory)?;
    }
    let aside = path.with_extension(format!("{}.new", std::process::id()));
    let listener = UnixListener::bind(&aside)?;
    std::fs::set_permissions(&aside, Permissions::from_mode(0o660))
        .and_then(|()| std::fs::rename(&aside, path))
        .inspect_err(|_| drop(std::fs::remove_file(&aside)))?;
    Ok(listener)
}

fn spawn<S>(stream: S, service: &Service, limits: Limits, place: OwnedSemaphorePermit)
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let service = service.clone();
    tokio::spawn(async move {
        if let Err(error) = converse(stream, service, limits).await {
            tracing::debug!("API connection: {error}");
        }
        drop(place);
    });
}

async fn converse<S>(stream: S, service: Service, limits: Limits) -> hyper::Result<()>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let respond = service_fn(move |request| service.clone().respond(limits, request));
    http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(limits.patience)
        .max_headers(64)
        .max_buf_size(HEAD)
        .serve_connection(TokioIo::new(stream), respond)
        .await
}
