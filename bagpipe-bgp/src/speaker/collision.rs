//! Which of several connections to one peer is kept (RFC 4271 §6.8, RFC 6286 §2.3).

use std::time::Instant;

use crate::session::State;
use crate::types::{Asn, RouterId};

/// Who opened a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Direction {
    /// We did.
    Outgoing,
    /// The peer did.
    Incoming,
}

/// Another connection to the peer from which an OPEN has just come.
#[derive(Clone, Copy, Debug)]
pub(super) struct Other {
    pub(super) direction: Direction,
    /// `None` while TCP is still connecting.
    pub(super) state: Option<State>,
    /// When it became established, if it is.
    pub(super) established: Option<Instant>,
    /// Graceful restart was negotiated on it.
    pub(super) graceful: bool,
}

/// What is to be done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// Close the connection that the OPEN came in on.
    CloseNew,
    /// Close the other one.
    CloseOther,
    /// The peer has restarted: the other one is dead already (RFC 4724 §5).
    Restarted,
    /// Neither yet: what the other connection brings will decide.
    Wait,
}

/// The connections that survive a collision are those opened by the speaker with the higher identifier or, if
/// both have the same one (which only different ASes may), by the one with the higher AS.
pub(super) fn preferred(local: (RouterId, Asn), remote: (RouterId, Asn)) -> Direction {
    if local > remote { Direction::Outgoing } else { Direction::Incoming }
}

/// Decides between the connection on which an OPEN has come and another one of the same peer.
pub(super) fn judge(new: Direction, started: Instant, other: Other, preferred: Direction) -> Verdict {
    // A speaker has one connection of its own at a time: if it opens a second one, it has lost the first.
    let new_wins = new == other.direction || new == preferred;
    match (other.state, other.established) {
        (_, Some(at)) if started > at => {
            // Opened while the other one was up: a peer that has it still would not have done so.
            if other.graceful { Verdict::Restarted } else { Verdict::CloseNew }
        }
        // The connections crossed, and the loser won the race. The peer may or may not have gone as far; if it
        // has not, it will keep the new one. Whichever it confirms is kept.
        (_, Some(_)) => {
            if new_wins {
                Verdict::Wait
            } else {
                Verdict::CloseNew
            }
        }
        (Some(State::OpenConfirm), _) => {
            if new_wins {
                Verdict::CloseOther
            } else {
                Verdict::CloseNew
            }
        }
        // Nothing is known of the other one but that it would lose, to the peer's judgement as well as to ours.
        _ => {
            if new_wins {
                Verdict::CloseOther
            } else {
                Verdict::Wait
            }
        }
    }
}
