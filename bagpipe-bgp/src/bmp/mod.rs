//! The BGP Monitoring Protocol (RFC 7854): what a station is told of sessions and of the routes that came over them.
//!
//! Only messages: who sends them to whom is the owner's. Routes are told as they were taken (post-policy Adj-RIB-In,
//! §5), packed into UPDATEs by [`RouteMonitoring`].

mod route_monitoring;
#[cfg(test)]
mod tests;

use std::net::{IpAddr, SocketAddr};
use std::time::{SystemTime, UNIX_EPOCH};

use bytes::{BufMut, Bytes, BytesMut};

pub use route_monitoring::RouteMonitoring;

use crate::rib::FamilyCount;
use crate::session::{DownReason, Negotiated, Opens};
use crate::types::{Asn, Family, RouterId};
use crate::wire::message::MAX_LENGTH;
use crate::wire::{AddPathFamilies, Context, Message, Notification};

const VERSION: u8 = 3;
/// Version, length, type.
const COMMON_HEADER: usize = 6;

/// Message types (§4.1).
mod kind {
    pub(super) const ROUTE_MONITORING: u8 = 0;
    pub(super) const STATISTICS: u8 = 1;
    pub(super) const PEER_DOWN: u8 = 2;
    pub(super) const PEER_UP: u8 = 3;
    pub(super) const INITIATION: u8 = 4;
    pub(super) const TERMINATION: u8 = 5;
}

/// Flags of the per-peer header (§4.2).
mod flag {
    /// The peer's address is an IPv6 address.
    pub(super) const V: u8 = 0x80;
    /// Routes are those that are left after the policy.
    pub(super) const L: u8 = 0x40;
}

/// Statistics (§4.8, RFC 8671 §6.2).
mod statistic {
    pub(super) const RECEIVED: u16 = 7;
    pub(super) const RECEIVED_OF_FAMILY: u16 = 9;
    pub(super) const SENT: u16 = 15;
    pub(super) const SENT_OF_FAMILY: u16 = 17;
}

/// The FSM event of RFC 9687 §3.1, Send Hold Timer Expires.
const SEND_HOLD_TIMER_EXPIRES: u16 = 29;

/// A peer whose session is up, as stations know it.
#[derive(Clone, Debug)]
pub struct MonitoredPeer {
    address: IpAddr,
    asn: Asn,
    router_id: RouterId,
    /// How its routes are written.
    context: Context,
}

impl MonitoredPeer {
    /// A peer in another AS than `local_asn`, or in the same.
    #[must_use]
    pub fn new(address: IpAddr, local_asn: Asn, negotiated: &Negotiated) -> Self {
        let context = Context {
            // §4.2: the A flag would tell of the form of RFC 6793 §4.1 for those that know no other.
            four_octet_as: true,
            max_length: MAX_LENGTH,
            internal: negotiated.asn == local_asn,
            families: negotiated.families.clone(),
            extended_next_hop: negotiated.extended_next_hop,
            // What the peer may send with identifiers, the station reads with them.
            add_paths: AddPathFamilies { receive: Vec::new(), send: negotiated.add_paths.receive.clone() },
        };
        Self { address, asn: negotiated.asn, router_id: negotiated.router_id, context }
    }

    /// The families of the session.
    #[must_use]
    pub fn families(&self) -> &[Family] {
        &self.context.families
    }

    fn put_header(&self, out: &mut BytesMut, flags: u8, now: SystemTime) {
        const GLOBAL_INSTANCE: u8 = 0;
        let version = if self.address.is_ipv6() { flag::V } else { 0 };
        out.put_slice(&[GLOBAL_INSTANCE, flags | version]);
        out.put_u64(0);
        put_address(out, self.address);
        out.put_u32(self.asn);
        out.put_slice(&self.router_id.octets());
        let since = now.duration_since(UNIX_EPOCH).unwrap_or_default();
        out.put_u32(u32::try_from(since.as_secs()).unwrap_or(u32::MAX));
        out.put_u32(since.subsec_micros());
    }
}

/// The first message of a connection (§4.3): who speaks.
#[must_use]
pub fn initiation(name: &str, description: &str) -> Bytes {
    const DESCRIPTION: u16 = 1;
    const NAME: u16 = 2;
    message(kind::INITIATION, |out| {
        put_tlv(out, DESCRIPTION, description.as_bytes());
        put_tlv(out, NAME, name.as_bytes());
    })
}

/// The last message of a connection (§4.5) that is closed for good by an administrator.
#[must_use]
pub fn termination() -> Bytes {
    const REASON: u16 = 1;
    const ADMINISTRATIVELY_CLOSED: u16 = 0;
    message(kind::TERMINATION, |out| put_tlv(out, REASON, &ADMINISTRATIVELY_CLOSED.to_be_bytes()))
}

/// A session is up (§4.10), between these two ends of its connection.
#[must_use]
pub fn peer_up(
    peer: &MonitoredPeer,
    local: SocketAddr,
    remote: SocketAddr,
    opens: &Opens,
    now: SystemTime,
) -> Bytes {
    message(kind::PEER_UP, |out| {
        peer.put_header(out, 0, now);
        put_address(out, local.ip());
        out.put_u16(local.port());
        out.put_u16(remote.port());
        out.put_slice(&opens.sent);
        out.put_slice(&opens.received);
    })
}

/// A session is over (§4.9).
#[must_use]
pub fn peer_down(peer: &MonitoredPeer, reason: &DownReason, now: SystemTime) -> Bytes {
    const LOCAL_NOTIFICATION: u8 = 1;
    const LOCAL: u8 = 2;
    const REMOTE_NOTIFICATION: u8 = 3;
    const REMOTE: u8 = 4;
    let encoded =
        |notification: &Notification| Message::Notification(notification.clone()).encode(&Context::default());
    message(kind::PEER_DOWN, |out| {
        peer.put_header(out, 0, now);
        match reason {
            DownReason::Sent(notification, _) => {
                out.put_u8(LOCAL_NOTIFICATION);
                out.put_slice(&encoded(notification));
            }
            DownReason::Received(notification) => {
                out.put_u8(REMOTE_NOTIFICATION);
                out.put_slice(&encoded(notification));
            }
            DownReason::SendHoldExpired => {
                out.put_u8(LOCAL);
                out.put_u16(SEND_HOLD_TIMER_EXPIRES);
            }
            // No event of the state machine led to it.
            DownReason::Replaced => {
                out.put_u8(LOCAL);
                out.put_u16(0);
            }
            DownReason::Disconnected => out.put_u8(REMOTE),
        }
    })
}

/// How many routes came from a peer and went to it (§4.8).
#[must_use]
pub fn statistics(peer: &MonitoredPeer, counts: &[FamilyCount], now: SystemTime) -> Bytes {
    let gauge = |count: usize| u64::try_from(count).unwrap_or(u64::MAX);
    let total = |of: fn(&FamilyCount) -> usize| gauge(counts.iter().map(of).sum());
    message(kind::STATISTICS, |out| {
        peer.put_header(out, 0, now);
        out.put_u32(u32::try_from(2 + 2 * counts.len()).unwrap_or(u32::MAX));
        put_tlv(out, statistic::RECEIVED, &total(|count| count.received).to_be_bytes());
        put_tlv(out, statistic::SENT, &total(|count| count.sent).to_be_bytes());
        for count in counts {
            put_family_gauge(out, statistic::RECEIVED_OF_FAMILY, count.family, gauge(count.received));
            put_family_gauge(out, statistic::SENT_OF_FAMILY, count.family, gauge(count.sent));
        }
    })
}

fn put_family_gauge(out: &mut BytesMut, kind: u16, family: Family, value: u64) {
    let mut gauge = Vec::with_capacity(11);
    gauge.put_u16(family.afi);
    gauge.put_u8(family.safi);
    gauge.put_u64(value);
    put_tlv(out, kind, &gauge);
}

/// A message, with the common header before what `body` writes (§4.1).
fn message(kind: u8, body: impl FnOnce(&mut BytesMut)) -> Bytes {
    let mut contents = BytesMut::new();
    body(&mut contents);
    let mut out = BytesMut::with_capacity(COMMON_HEADER + contents.len());
    out.put_u8(VERSION);
    out.put_u32(u32::try_from(COMMON_HEADER + contents.len()).unwrap_or(u32::MAX));
    out.put_u8(kind);
    out.put_slice(&contents);
    out.freeze()
}

fn put_tlv(out: &mut BytesMut, kind: u16, value: &[u8]) {
    let value = value.get(..usize::from(u16::MAX)).unwrap_or(value);
    out.put_u16(kind);
    out.put_u16(u16::try_from(value.len()).unwrap_or(u16::MAX));
    out.put_slice(value);
}

/// Sixteen octets; an IPv4 address is in the last four (§4.2).
fn put_address(out: &mut BytesMut, address: IpAddr) {
    match address {
        IpAddr::V4(address) => {
            out.put_bytes(0, 12);
            out.put_slice(&address.octets());
        }
        IpAddr::V6(address) => out.put_slice(&address.octets()),
    }
}
