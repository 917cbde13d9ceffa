//! What a speaker asks for and what it reports.

use std::net::{IpAddr, SocketAddr};

use crate::rib::PeerId;
use crate::session::{DownReason, Negotiated};
use crate::types::Family;
use crate::wire::UpdateError;

/// Names a connection; the speaker's owner maps it to a socket.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ConnId(pub u64);

/// What the owner is to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// Open a TCP connection; then call `connected` or `connect_failed`.
    Connect {
        /// The name of the connection to be.
        conn: ConnId,
        /// The peer.
        peer: PeerId,
        /// Its address and port.
        remote: SocketAddr,
    },
    /// Write what `poll_transmit` still has, until it says `None`, then close. The name is not used again, and
    /// nothing has to be reported about it any more. For an attempt to connect: give it up.
    Close {
        /// The connection.
        conn: ConnId,
    },
    /// `poll_transmit` has something again. Comes once; then pull, as the socket takes it, until `None`.
    WantsWrite {
        /// The connection.
        conn: ConnId,
    },
}

/// What is worth a person's attention, and what others wait for.
#[derive(Clone, Debug)]
pub enum SpeakerEvent {
    /// A session is established.
    PeerUp {
        /// The peer.
        peer: PeerId,
        /// What was agreed on.
        negotiated: Negotiated,
    },
    /// A session is over; or an attempt to establish one has failed, for another reason than the last time.
    PeerDown {
        /// The peer.
        peer: PeerId,
        /// Why.
        reason: String,
        /// How the session ended; `None` for an attempt.
        session: Option<DownReason>,
    },
    /// The peer has sent all its routes of a family (RFC 4724 §2).
    EndOfRib {
        /// The peer.
        peer: PeerId,
        /// The family.
        family: Family,
    },
    /// The peer has nearly announced as many routes of a family as it may; once in a session.
    NearLimit {
        /// The peer.
        peer: PeerId,
        /// The family.
        family: Family,
        /// Routes that the peer has announced.
        routes: usize,
        /// Routes that it may announce.
        limit: u32,
    },
    /// Once: all configured peers have sent all their routes, or have had their time to. What was kept from
    /// before a restart and has not been relearned is to be dropped.
    Converged,
    /// An UPDATE was malformed, and the action of RFC 7606 has been taken.
    Error {
        /// The peer.
        peer: PeerId,
        /// What was wrong, and what was done.
        error: UpdateError,
    },
}

/// Why an incoming connection is not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// Its address is neither a peer's nor a client's.
    #[error("connection from {0}, which is neither a configured peer nor in a client prefix")]
    UnknownPeer(IpAddr),
    /// It has announced too many routes, or was shut down.
    #[error("connection from {0}, which is kept away")]
    Held(IpAddr),
    /// There are as many dynamic clients as may be.
    #[error("connection from {0}, a client beyond the limit of {1}")]
    TooManyClients(IpAddr, usize),
    /// The speaker has been shut down.
    #[error("connection from {0} while shutting down")]
    Stopped(IpAddr),
}
