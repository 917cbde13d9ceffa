//! Messages per type, as `show peers` and the metrics give them.

use std::ops::AddAssign;

use serde::Serialize;

use crate::wire::Message;
use crate::wire::message::{HEADER_LENGTH, kind};

/// Messages of each type in one direction.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct MessageCounts {
    /// OPEN.
    pub opens: u64,
    /// UPDATE.
    pub updates: u64,
    /// NOTIFICATION.
    pub notifications: u64,
    /// KEEPALIVE.
    pub keepalives: u64,
    /// ROUTE-REFRESH.
    pub route_refreshes: u64,
}

/// Messages in both directions.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Counters {
    /// From us to the peer.
    pub sent: MessageCounts,
    /// From the peer to us.
    pub received: MessageCounts,
}

impl MessageCounts {
    pub(super) fn count(&mut self, message: &Message) {
        *match message {
            Message::Open(_) => &mut self.opens,
            Message::Update(_) => &mut self.updates,
            Message::Notification(_) => &mut self.notifications,
            Message::Keepalive => &mut self.keepalives,
            Message::RouteRefresh(..) => &mut self.route_refreshes,
        } += 1;
    }

    /// Counts a message of the owner, which sends only two types.
    pub(super) fn count_encoded(&mut self, message: &[u8]) {
        const TYPE: usize = HEADER_LENGTH - 1;
        match message.get(TYPE) {
            Some(&kind::ROUTE_REFRESH) => self.route_refreshes += 1,
            _ => self.updates += 1,
        }
    }
}

impl AddAssign for MessageCounts {
    fn add_assign(&mut self, other: Self) {
        self.opens += other.opens;
        self.updates += other.updates;
        self.notifications += other.notifications;
        self.keepalives += other.keepalives;
        self.route_refreshes += other.route_refreshes;
    }
}

impl AddAssign for Counters {
    fn add_assign(&mut self, other: Self) {
        self.sent += other.sent;
        self.received += other.received;
    }
}
