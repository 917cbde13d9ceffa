//! What has gone wrong with a peer, kept for whoever looks for the cause.

use bytes::Bytes;
use serde::Serialize;

use crate::session::DownReason;
use crate::wire::{Notification, UpdateError};

/// Offending octets that are kept: enough to see what they are, and a bound for a peer that sends 65,535.
const KEPT: usize = 64;

/// What has gone wrong with a peer. Offending octets are cut to the first 64.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Faults {
    /// Errors in UPDATEs that did not end the session (RFC 7606 §2).
    pub update_errors: u64,
    /// The last of them.
    pub last_update_error: Option<UpdateError>,
    /// The NOTIFICATION that ended the last session or attempt for which there was one.
    pub last_notification: Option<LastNotification>,
}

/// A NOTIFICATION, and whose it was.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct LastNotification {
    /// Ours, or the peer's.
    pub direction: Direction,
    /// Codes and data.
    #[serde(flatten)]
    pub notification: Notification,
}

/// Whose message it was.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Direction {
    /// Ours.
    Sent,
    /// The peer's.
    Received,
}

impl Faults {
    pub(super) fn update(&mut self, error: &UpdateError) {
        self.update_errors += 1;
        self.last_update_error = Some(UpdateError { data: cut(&error.data), ..error.clone() });
    }

    pub(super) fn down(&mut self, reason: &DownReason) {
        let (direction, notification) = match reason {
            DownReason::Sent(notification, _) => (Direction::Sent, notification),
            DownReason::Received(notification) => (Direction::Received, notification),
            DownReason::Disconnected | DownReason::SendHoldExpired | DownReason::Replaced => return,
        };
        let notification = Notification { data: cut(&notification.data), ..notification.clone() };
        self.last_notification = Some(LastNotification { direction, notification });
    }
}

/// A copy, so that a few octets do not hold the whole buffer that they came in.
fn cut(data: &Bytes) -> Bytes {
    Bytes::copy_from_slice(data.get(..KEPT).unwrap_or(data))
}
