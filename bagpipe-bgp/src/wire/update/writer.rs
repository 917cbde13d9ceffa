//! Packing routes into UPDATE messages.

use std::net::IpAddr;

use bytes::{Buf, BufMut, Bytes, BytesMut};

use super::{NlriBlock, PathId, Update, is_vpn};
use crate::types::Family;
use crate::wire::attribute::{self, rules, rules::flag};
use crate::wire::message::{HEADER_LENGTH, MAX_EXTENDED_LENGTH, MAX_LENGTH, kind, put_header};
use crate::wire::{Attributes, Context, LabelStack, NextHop, Nlri, VpnRoute, nlri};

/// Header, and the lengths of the withdrawn routes and of the path attributes.
const FIXED: usize = HEADER_LENGTH + 4;
/// Flags, type and two octets of length.
const ATTRIBUTE_HEADER: usize = 4;

/// One UPDATE that is being filled with routes of one family, all with the same attributes or all withdrawn.
///
/// MP_REACH_NLRI or MP_UNREACH_NLRI comes first, so that the routes are found even if the rest is damaged
/// (RFC 7606 §5.1). IPv4 unicast routes go into these attributes too.
#[derive(Debug)]
pub struct UpdateWriter {
    /// Room for the fixed fields and the attribute's header, the start of its value, and the routes so far.
    buffer: BytesMut,
    /// Octets in the buffer without any route.
    empty: usize,
    family: Family,
    kind: u8,
    /// Each route stands behind its path identifier (RFC 7911 §3).
    path_ids: bool,
    /// The other attributes, which follow the routes.
    tail: Vec<u8>,
    max_length: usize,
}

impl UpdateWriter {
    /// An UPDATE that announces routes with these attributes.
    #[must_use]
    pub fn announce(context: &Context, family: Family, attributes: &Attributes) -> Self {
        let mut writer = Self::new(context, family, rules::MP_REACH_NLRI);
        put_next_hop(&mut writer.buffer, family, attributes.next_hop);
        writer.buffer.put_u8(0);
        writer.empty = writer.buffer.len();
        writer.tail = attribute::encode(attributes, context);
        writer
    }

    /// An UPDATE that withdraws routes.
    #[must_use]
    pub fn withdraw(context: &Context, family: Family) -> Self {
        Self::new(context, family, rules::MP_UNREACH_NLRI)
    }

    fn new(context: &Context, family: Family, kind: u8) -> Self {
        let max_length = context.max_length.min(MAX_EXTENDED_LENGTH);
        let mut buffer = BytesMut::with_capacity(max_length.min(MAX_LENGTH));
        buffer.put_bytes(0, FIXED + ATTRIBUTE_HEADER);
        buffer.put_u16(family.afi);
        buffer.put_u8(family.safi);
        let path_ids = context.add_paths.send.contains(&family);
        Self { empty: buffer.len(), buffer, family, kind, path_ids, tail: Vec::new(), max_length }
    }

    /// Takes a route of the family, or says that the message is full. A message without any route that is full
    /// has attributes for which there is no room at all. Its path identifier, if it needs one, is zero.
    pub fn push(&mut self, nlri: &Nlri) -> bool {
        let before = self.start_route(0);
        match nlri {
            Nlri::Vpn(route) if self.kind == rules::MP_UNREACH_NLRI => {
                VpnRoute { labels: LabelStack::EMPTY, ..*route }.encode(&mut self.buffer);
            }
            _ => nlri.encode(&mut self.buffer),
        }
        self.keep_if_fits(before)
    }

    /// Takes a route as [`NlriBlock::encoded`] gives it, or says that the message is full. The path identifier is
    /// left out unless it was agreed on.
    pub fn push_bytes(&mut self, id: PathId, encoded: &[u8]) -> bool {
        let before = self.start_route(id);
        if self.kind == rules::MP_UNREACH_NLRI {
            nlri::put_withdrawal(self.family, &mut self.buffer, encoded);
        } else {
            self.buffer.put_slice(encoded);
        }
        self.keep_if_fits(before)
    }

    /// Where the route begins.
    fn start_route(&mut self, id: PathId) -> usize {
        let before = self.buffer.len();
        if self.path_ids {
            self.buffer.put_u32(id);
        }
        before
    }

    fn keep_if_fits(&mut self, before: usize) -> bool {
        let fits = self.buffer.len() + self.tail.len() <= self.max_length;
        if !fits {
            self.buffer.truncate(before);
        }
        fits
    }

    /// Whether no route has been taken yet.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.buffer.len() == self.empty
    }

    /// The message; nothing if no route has been taken.
    #[must_use]
    pub fn finish(self) -> Bytes {
        if self.is_empty() { Bytes::new() } else { self.seal() }
    }

    /// Writes the lengths, now that they are known, in front of the routes. Room was left for an attribute
    /// header with an extended length; without, the message starts one octet later.
    fn seal(mut self) -> Bytes {
        let value = self.buffer.len() - FIXED - ATTRIBUTE_HEADER;
        let mut header = Vec::with_capacity(ATTRIBUTE_HEADER);
        attribute::put_header(&mut header, flag::OPTIONAL, self.kind, value);
        self.buffer.advance(ATTRIBUTE_HEADER - header.len());
        self.buffer.put_slice(&self.tail);

        let mut front = Vec::with_capacity(FIXED + ATTRIBUTE_HEADER);
        put_header(&mut front, kind::UPDATE, self.buffer.len());
        front.put_u16(0);
        front.put_u16(length_field(self.buffer.len() - FIXED));
        front.put_slice(&header);
        for (octet, value) in self.buffer.iter_mut().zip(front) {
            *octet = value;
        }
        self.buffer.freeze()
    }
}

/// The End-of-RIB marker of a family (RFC 4724 §2).
#[must_use]
pub fn end_of_rib(family: Family) -> Bytes {
    let mut attributes = Vec::new();
    if family != Family::IPV4_UNICAST {
        let [high, low] = family.afi.to_be_bytes();
        attribute::put(&mut attributes, flag::OPTIONAL, rules::MP_UNREACH_NLRI, &[high, low, family.safi]);
    }
    let length = FIXED + attributes.len();
    let mut out = BytesMut::with_capacity(length);
    put_header(&mut out, kind::UPDATE, length);
    out.put_u16(0);
    out.put_u16(length_field(attributes.len()));
    out.put_slice(&attributes);
    out.freeze()
}

impl Update {
    /// As many messages as there are families and as their lengths require: withdrawals, announcements, and
    /// the End-of-RIB marker.
    pub(in crate::wire) fn encode(&self, context: &Context) -> Bytes {
        let mut out = BytesMut::new();
        for block in &self.withdrawn {
            pack(&mut out, block, || UpdateWriter::withdraw(context, block.family));
        }
        for block in &self.announced {
            pack(&mut out, block, || UpdateWriter::announce(context, block.family, &self.attributes));
        }
        if let Some(family) = self.end_of_rib {
            out.put_slice(&end_of_rib(family));
        }
        out.freeze()
    }
}

fn pack(out: &mut BytesMut, block: &NlriBlock, start: impl Fn() -> UpdateWriter) {
    let mut writer = start();
    for (id, nlri) in block.encoded() {
        if !writer.push_bytes(id, &nlri) {
            out.put_slice(&std::mem::replace(&mut writer, start()).finish());
            // A route for which there is no room in an empty message cannot be sent at all.
            let _ = writer.push_bytes(id, &nlri);
        }
    }
    out.put_slice(&writer.finish());
}

/// Length and address, in the VPN families behind a route distinguisher of zero (RFC 4364 §4.3.2, RFC 8950 §3). An
/// IPv4 next hop of VPN-IPv6 routes is written as an IPv6 address (RFC 4659 §3.2.1.2).
fn put_next_hop(out: &mut BytesMut, family: Family, next_hop: Option<NextHop>) {
    let mut value = Vec::with_capacity(48);
    // Flow specifications have none (RFC 8955 §4).
    let next_hop = next_hop.filter(|_| family.flow_specifications().is_none());
    if let Some(NextHop { address, link_local }) = next_hop {
        let distinguisher: &[u8] = if is_vpn(family) { &[0; 8] } else { &[] };
        value.put_slice(distinguisher);
        match address {
            IpAddr::V4(address) if family == Family::VPNV6 => {
                value.put_slice(&address.to_ipv6_mapped().octets());
            }
            IpAddr::V4(address) => value.put_slice(&address.octets()),
            IpAddr::V6(address) => value.put_slice(&address.octets()),
        }
        if let (IpAddr::V6(_), Some(link_local)) = (address, link_local) {
            value.put_slice(distinguisher);
            value.put_slice(&link_local.octets());
        }
    }
    out.put_u8(u8::try_from(value.len()).unwrap_or(0));
    out.put_slice(&value);
}

fn length_field(length: usize) -> u16 {
    u16::try_from(length).unwrap_or(u16::MAX)
}
