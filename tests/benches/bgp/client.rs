//! Clients of a reflector: one that sends prepared messages as fast as they are taken, and those that count what comes.

use std::io::{ErrorKind, Read, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::time::{Duration, Instant};

use bagpipe_agent::lab::{LabError, Node, wait_until};
use bagpipe_bgp::types::Family;
use bagpipe_bgp::wire::{Capability, Context, Message, NlriBlock, frame};
use bagpipe_tests::SOON;
use bagpipe_tests::speaker::{open, stream};
use bytes::BytesMut;

use crate::routes::{Routes, context};

/// Where all reflectors are.
pub const REFLECTOR: &str = "10.99.0.254";
/// The client that announces, and the next hop of its routes.
pub const SOURCE: Ipv4Addr = Ipv4Addr::new(10, 99, 0, 1);
/// The network of all.
pub const NETWORK: &str = "10.99.0.0/24";
/// How long a client waits before it looks at the time again.
const PAUSE: Duration = Duration::from_millis(100);
/// Octets read at once.
const READ: usize = 256 * 1024;

/// A session of one family.
#[derive(Debug)]
pub struct Client {
    stream: TcpStream,
    input: BytesMut,
    context: Context,
}

impl Client {
    /// The client with this number, with its session established.
    pub fn establish(node: &Node, number: u8, family: Family) -> Result<Self, LabError> {
        let address = Ipv4Addr::new(10, 99, 0, number).to_string();
        let connected = || stream(node, &address, (REFLECTOR, 179)).ok();
        let stream = wait_until(SOON, "connection to a reflector", connected)?;
        Ok(Self::greet(stream, &address, family))
    }

    /// The one that announces, with a session that the other end opens.
    pub fn accept(listener: &TcpListener, family: Family) -> Self {
        let (stream, _) = listener.accept().expect("a connection");
        Self::greet(stream, &SOURCE.to_string(), family)
    }

    fn greet(stream: TcpStream, address: &str, family: Family) -> Self {
        stream.set_read_timeout(Some(PAUSE)).expect("a limit");
        stream.set_nodelay(true).expect("TCP");
        let mut client = Self { stream, input: BytesMut::new(), context: context(family) };
        let mut open = open(address);
        open.capabilities = vec![
            Capability::Multiprotocol(family),
            Capability::FourOctetAs(open.asn),
            Capability::RouteRefresh,
        ];
        for message in [Message::Open(open), Message::Keepalive] {
            client.send(&message.encode(&Context::default()));
        }
        let end = Instant::now() + SOON;
        while client.next(end).is_some_and(|message| message != Message::Keepalive) {}
        client
    }

    /// Sends bytes, or as many of them as are taken until the other end is gone.
    pub fn offer(&mut self, bytes: &[u8]) {
        let _ = self.stream.write_all(bytes);
    }

    /// Sends bytes.
    pub fn send(&mut self, bytes: &[u8]) {
        self.stream.write_all(bytes).expect("the reflector reads");
    }

    /// Announces a route until another client has it: the sessions are up on the far side, too. It is withdrawn
    /// by nobody.
    pub fn reach(&mut self, others: &mut [Self], family: Family) {
        self.send(&Routes::another(family).bytes());
        for other in others {
            other.count(1, SOON).expect("the reflector passes on a route");
        }
    }

    /// When so many routes have been announced to this client; `None` if that takes longer than a limit.
    pub fn count(&mut self, routes: usize, limit: Duration) -> Option<Instant> {
        let end = Instant::now() + limit;
        let mut left = routes;
        while left > 0 {
            if let Message::Update(update) = self.next(end)? {
                let announced: usize =
                    update.announced.iter().map(NlriBlock::encoded).map(Iterator::count).sum();
                left = left.saturating_sub(announced);
            }
        }
        Some(Instant::now())
    }

    fn next(&mut self, end: Instant) -> Option<Message> {
        loop {
            if let Some(frame) =
                frame(&mut self.input, self.context.max_length).expect("a header that is right")
            {
                return Some(Message::decode(frame, &self.context).expect("a message that is right"));
            }
            let length = self.input.len();
            self.input.resize(length + READ, 0);
            let read = self.stream.read(self.input.get_mut(length..).unwrap_or_default());
            self.input.truncate(length + read.as_ref().copied().unwrap_or(0));
            match read {
                Ok(0) => panic!("the reflector closed the session"),
                Err(error) if error.kind() != ErrorKind::WouldBlock => panic!("cannot read: {error}"),
                _ if Instant::now() > end => return None,
                _ => {}
            }
        }
    }
}
