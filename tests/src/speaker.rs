//! A BGP speaker of few words and no manners: a socket, the messages of our codec, and any bytes at all.

use std::io::{self, ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::os::fd::AsRawFd;
use std::thread;
use std::time::{Duration, Instant};

use bagpipe_agent::lab::Node;
use bagpipe_bgp::types::Family;
use bagpipe_bgp::wire::{Capability, Context, Message, Notification, Open, frame};
use bytes::BytesMut;
use nix::sched::{CloneFlags, setns};
use nix::sys::socket::{AddressFamily, SockFlag, SockType, SockaddrStorage, bind, socket};

use crate::SOON;

/// The AS of both sides.
const ASN: u32 = 64_512;

/// One connection.
#[derive(Debug)]
pub struct Speaker {
    stream: TcpStream,
    input: BytesMut,
}

/// What comes instead of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Closed;

impl Speaker {
    /// Connects from an address of a node to a port.
    ///
    /// # Panics
    /// When nobody accepts.
    #[must_use]
    pub fn connect(node: &Node, local: &str, remote: (&str, u16)) -> Self {
        let stream = stream(node, local, remote).expect("the agent accepts");
        stream.set_read_timeout(Some(Duration::from_millis(100))).expect("a limit");
        Self { stream, input: BytesMut::new() }
    }

    /// Sends bytes, whatever they mean.
    ///
    /// # Panics
    /// When the connection is gone.
    pub fn send(&mut self, bytes: &[u8]) {
        self.stream.write_all(bytes).expect("the agent reads");
    }

    /// Exchanges OPENs and KEEPALIVEs.
    ///
    /// # Panics
    /// When the agent does not.
    pub fn establish(&mut self, router_id: &str) {
        self.establish_with(Message::Open(open(router_id)));
    }

    /// Exchanges KEEPALIVEs, and OPENs of which ours is this.
    ///
    /// # Panics
    /// When the agent does not.
    pub fn establish_with(&mut self, open: Message) {
        self.send(&open.encode(&Context::default()));
        assert!(matches!(self.receive(), Ok(Message::Open(_))), "an OPEN");
        self.send(&Message::Keepalive.encode(&Context::default()));
        assert_eq!(self.receive(), Ok(Message::Keepalive));
    }

    /// The NOTIFICATION that ends the session, after whatever comes before it; `Closed` when there is none.
    ///
    /// # Errors
    /// The connection was closed without.
    ///
    /// # Panics
    /// When the connection stays open.
    pub fn notification(&mut self) -> Result<Notification, Closed> {
        loop {
            if let Message::Notification(notification) = self.receive()? {
                return Ok(notification);
            }
        }
    }

    /// The next message.
    ///
    /// # Errors
    /// The connection was closed.
    ///
    /// # Panics
    /// When none comes in time, or one that is malformed.
    pub fn receive(&mut self) -> Result<Message, Closed> {
        let context = Context { four_octet_as: true, families: vec![Family::EVPN], ..Context::default() };
        let end = Instant::now() + SOON;
        loop {
            if let Some(frame) = frame(&mut self.input, context.max_length).expect("a header that is right") {
                return Ok(Message::decode(frame, &context).expect("a message that is right"));
            }
            let mut bytes = [0; 4096];
            match self.stream.read(&mut bytes) {
                Ok(0) => return Err(Closed),
                Ok(length) => self.input.extend_from_slice(&bytes[..length]),
                Err(error) if error.kind() == ErrorKind::ConnectionReset => return Err(Closed),
                Err(error) if error.kind() == ErrorKind::WouldBlock => {
                    assert!(Instant::now() < end, "neither a message nor the end of the connection");
                }
                Err(error) => panic!("cannot read: {error}"),
            }
        }
    }
}

/// An OPEN that suits the agents of a fabric. No graceful restart: what a session brought goes with it.
#[must_use]
pub fn open(router_id: &str) -> Open {
    Open {
        asn: ASN,
        hold_time: 90,
        router_id: router_id.parse().expect("an IPv4 address"),
        capabilities: vec![Capability::Multiprotocol(Family::EVPN), Capability::FourOctetAs(ASN)],
    }
}

/// A connection from an address of a node to a port.
///
/// # Errors
/// When nobody accepts.
pub fn stream(node: &Node, local: &str, remote: (&str, u16)) -> io::Result<TcpStream> {
    within(node, || connect(local, remote))
}

fn connect(local: &str, (remote, port): (&str, u16)) -> io::Result<TcpStream> {
    let address = |text: &str, port| {
        text.parse()
            .map(|address| SockaddrStorage::from(SocketAddr::new(address, port)))
            .map_err(io::Error::other)
    };
    let socket = socket(AddressFamily::Inet, SockType::Stream, SockFlag::SOCK_CLOEXEC, None)?;
    bind(socket.as_raw_fd(), &address(local, 0)?)?;
    nix::sys::socket::connect(socket.as_raw_fd(), &address(remote, port)?)?;
    Ok(TcpStream::from(socket))
}

/// Does something in the network namespace of a node: sockets stay in the one they were made in.
///
/// # Panics
/// When the namespace is gone, or the body panics.
pub fn within<T: Send>(node: &Node, body: impl FnOnce() -> T + Send) -> T {
    let path = format!("/run/netns/{}", node.namespace());
    thread::scope(|scope| {
        let thread = scope.spawn(move || {
            let namespace = std::fs::File::open(path).expect("the namespace of a node");
            setns(namespace, CloneFlags::CLONE_NEWNET).expect("root may enter a namespace");
            body()
        });
        thread.join().expect("the thread ends")
    })
}
