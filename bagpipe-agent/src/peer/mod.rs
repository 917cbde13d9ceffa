//! The sockets of BGP: TCP around the sans-IO speaker.
//!
//! A task per connection reads and writes. What it reads goes through one bounded queue, so that a peer that
//! sends faster than we think is held back by TCP. What it writes is pulled: the owner hands over the next
//! batch only when the previous one is in the kernel, so that a peer that does not read holds back only itself.

mod connect;
mod connection;
mod listener;
mod protection;
mod signature;

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use bagpipe_bgp::speaker::ConnId;
use bytes::Bytes;
use rustc_hash::FxHashMap;
use tokio::net::TcpStream;
use tokio::sync::{mpsc, watch};
use tokio::task::AbortHandle;

pub use connect::ConnectError;
pub use listener::ListenError;
pub use protection::{Proof, Protection, ProtectionError};

use listener::Listener;

/// Events in the queue before readers wait.
const QUEUE: usize = 64;

/// How long last words may take to leave.
const LAST_WORDS_LIMIT: Duration = Duration::from_secs(2);

/// The addresses of a connection: ours and the peer's.
pub type Ends = (SocketAddr, SocketAddr);

/// What happened on a socket.
#[derive(Debug)]
pub enum Event {
    /// Somebody connected.
    Accepted(TcpStream, SocketAddr),
    /// A connection that was asked for is there.
    Connected(ConnId, Option<Ends>),
    /// A connection that was asked for is not to be had.
    ConnectFailed(ConnId, ConnectError),
    /// Bytes came in.
    Received(ConnId, Bytes),
    /// The last batch is in the kernel: the next may be written.
    Written(ConnId),
    /// The connection is gone; with an error unless the peer closed it.
    Closed(ConnId, Option<io::Error>),
}

/// All sockets of the speaker.
#[derive(Debug)]
pub struct Sockets {
    local_address: IpAddr,
    protection: watch::Sender<Arc<Protection>>,
    unacknowledged: Option<Duration>,
    connections: FxHashMap<u64, Connection>,
    listeners: Vec<Listener>,
    events: mpsc::Sender<Event>,
    inbox: mpsc::Receiver<Event>,
}

#[derive(Debug)]
struct Connection {
    task: AbortHandle,
    /// Where batches go; never more than one, and last words.
    outgoing: mpsc::UnboundedSender<Bytes>,
    established: bool,
    /// Its addresses, once it is there.
    ends: Option<Ends>,
    /// No batch is on its way.
    writable: bool,
}

impl Sockets {
    /// No sockets yet. Connections are made from the local address, have to prove what `protection` says, and end
    /// when the peer's system acknowledges nothing for as long as given.
    #[must_use]
    pub fn new(local_address: IpAddr, protection: Protection, unacknowledged: Option<Duration>) -> Self {
        let (events, inbox) = mpsc::channel(QUEUE);
        Self {
            local_address,
            protection: watch::Sender::new(Arc::new(protection)),
            unacknowledged,
            connections: FxHashMap::default(),
            listeners: Vec::new(),
            events,
            inbox,
        }
    }

    /// Accepts connections on an address; gives the address with the port that it got.
    pub fn listen(&mut self, address: SocketAddr) -> Result<SocketAddr, ListenError> {
        let listener = Listener::start(address, self.protection.subscribe(), self.events.clone())?;
        let bound = listener.bound;
        self.listeners.push(listener);
        Ok(bound)
    }

    /// Has connections from now on prove what `protection` says, and end when nothing is acknowledged for as long as
    /// given. Those that are there go on as they are.
    ///
    /// # Errors
    /// The kernel does not take a password; nothing has changed.
    pub fn protect(
        &mut self,
        protection: Protection,
        unacknowledged: Option<Duration>,
    ) -> Result<(), ListenError> {
        let before = Arc::clone(&self.protection.borrow());
        for (position, listener) in self.listeners.iter().enumerate() {
            if let Err(error) = listener.protect(&before, &protection) {
                for listener in self.listeners.iter().take(position + 1) {
                    if let Err(error) = listener.protect(&protection, &before) {
                        tracing::error!("passwords of before are not in force: {error}");
                    }
                }
                return Err(error);
            }
        }
        self.protection.send_replace(Arc::new(protection));
        self.unacknowledged = unacknowledged;
        Ok(())
    }

    /// Starts to connect.
    pub fn connect(&mut self, conn: ConnId, remote: SocketAddr) {
        let (local, limit, events) = (self.local_address, self.unacknowledged, self.events.clone());
        let protection = Arc::clone(&self.protection.borrow());
        let (outgoing, batches) = mpsc::unbounded_channel();
        let task = tokio::spawn(async move {
            match connect::open(local, remote, &protection).await {
                Ok(stream) => {
                    if events.send(Event::Connected(conn, ends(&stream))).await.is_ok() {
                        connection::run(conn, stream, limit, &events, batches).await;
                    }
                }
                Err(error) => drop(events.send(Event::ConnectFailed(conn, error)).await),
            }
        });
        let task = task.abort_handle();
        let connection = Connection { task, outgoing, established: false, ends: None, writable: false };
        self.connections.insert(conn.0, connection);
    }

    /// Takes an accepted connection into service.
    pub fn adopt(&mut self, conn: ConnId, stream: TcpStream) {
        let (limit, events, ends) = (self.unacknowledged, self.events.clone(), ends(&stream));
        let (outgoing, batches) = mpsc::unbounded_channel();
        let task = tokio::spawn(async move { connection::run(conn, stream, limit, &events, batches).await });
        let task = task.abort_handle();
        let connection = Connection { task, outgoing, established: true, ends, writable: true };
        self.connections.insert(conn.0, connection);
    }

    /// The addresses of a connection.
    #[must_use]
    pub fn ends(&self, conn: ConnId) -> Option<Ends> {
        self.connections.get(&conn.0)?.ends
    }

    /// Whether a batch may be written now.
    #[must_use]
    pub fn is_writable(&self, conn: ConnId) -> bool {
        self.connections.get(&conn.0).is_some_and(|connection| connection.writable)
    }

    /// Writes a batch; [`Event::Written`] follows.
    pub fn write(&mut self, conn: ConnId, batch: Bytes) {
        if let Some(connection) = self.connections.get_mut(&conn.0) {
            connection.writable = false;
            // If the task is gone, its `Closed` is in the queue.
            drop(connection.outgoing.send(batch));
        }
    }

    /// Closes a connection, after last words if there are any.
    pub fn close(&mut self, conn: ConnId, last_words: Bytes) {
        let Some(connection) = self.connections.remove(&conn.0) else { return };
        if connection.established {
            // The task writes what is queued, and ends because the sender is gone; or, if the peer does not
            // read any more, because its time is up.
            drop(connection.outgoing.send(last_words));
            tokio::spawn(async move {
                tokio::time::sleep(LAST_WORDS_LIMIT).await;
                connection.task.abort();
            });
        } else {
            connection.task.abort();
        }
    }

    /// Waits until connections are closed, at most as long as last words may take.
    pub async fn finish(mut self) {
        for listener in self.listeners.drain(..) {
            listener.stop();
        }
        for (_, connection) in self.connections.drain() {
            connection.task.abort();
        }
        drop(self.events);
        // Every task holds a sender: the queue ends when the last of them does.
        while self.inbox.recv().await.is_some() {}
    }

    /// The next event of a connection that is still in service. May be dropped and called again.
    pub async fn next(&mut self) -> Option<Event> {
        loop {
            let event = self.inbox.recv().await?;
            let known = match &event {
                Event::Accepted(..) => true,
                Event::Connected(conn, ends) => self.now_connected(*conn, *ends),
                Event::Written(conn) => self.now_writable(*conn),
                Event::Received(conn, _) => self.connections.contains_key(&conn.0),
                Event::ConnectFailed(conn, _) | Event::Closed(conn, _) => {
                    self.connections.remove(&conn.0).is_some()
                }
            };
            if known {
                return Some(event);
            }
        }
    }

    fn now_connected(&mut self, conn: ConnId, ends: Option<Ends>) -> bool {
        if let Some(connection) = self.connections.get_mut(&conn.0) {
            connection.ends = ends;
        }
        self.now_writable(conn)
    }

    fn now_writable(&mut self, conn: ConnId) -> bool {
        let Some(connection) = self.connections.get_mut(&conn.0) else { return false };
        connection.established = true;
        connection.writable = true;
        true
    }
}

fn ends(stream: &TcpStream) -> Option<Ends> {
    Some((stream.local_addr().ok()?, stream.peer_addr().ok()?))
}

#[cfg(test)]
mod protection_tests;
#[cfg(test)]
mod tests;
