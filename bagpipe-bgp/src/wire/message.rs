//! The message header (RFC 4271 §4.1), and messages of all types.

use std::net::IpAddr;

use bytes::{BufMut, Bytes, BytesMut};
use serde::Serialize;

use super::error::code;
use super::reader::Reader;
use super::text::hex;
use super::{MessageError, Open, Update};
use crate::types::Family;

/// Octets of the header: marker, length, type.
pub const HEADER_LENGTH: usize = 19;
/// Largest message without the extended message capability (RFC 4271 §4.1).
pub const MAX_LENGTH: usize = 4_096;
/// Largest message with it (RFC 8654 §3).
pub const MAX_EXTENDED_LENGTH: usize = 65_535;

/// Message types (RFC 4271 §4.1, RFC 2918 §3).
pub mod kind {
    /// OPEN.
    pub const OPEN: u8 = 1;
    /// UPDATE.
    pub const UPDATE: u8 = 2;
    /// NOTIFICATION.
    pub const NOTIFICATION: u8 = 3;
    /// KEEPALIVE.
    pub const KEEPALIVE: u8 = 4;
    /// ROUTE-REFRESH.
    pub const ROUTE_REFRESH: u8 = 5;
}

/// Subtypes of ROUTE-REFRESH (RFC 7313 §3.2).
pub mod refresh {
    /// All routes of a family are asked for (RFC 2918 §3).
    pub const REQUEST: u8 = 0;
    /// BoRR: all routes of a family follow.
    pub const BEGIN: u8 = 1;
    /// EoRR: these were all.
    pub const END: u8 = 2;
}

/// What two speakers have agreed on: how UPDATEs are to be read and written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Context {
    /// AS numbers in AS_PATH and AGGREGATOR have four octets (RFC 6793 §4.1).
    pub four_octet_as: bool,
    /// Largest message in octets (RFC 8654).
    pub max_length: usize,
    /// The peer is in the same AS.
    pub internal: bool,
    /// The families that both sides have announced; NLRI of any other are dropped (RFC 4760 §8).
    pub families: Vec<Family>,
    /// VPN-IPv4 routes may have IPv6 next hops (RFC 8950 §4).
    pub extended_next_hop: bool,
    /// Families whose routes have path identifiers in UPDATEs from the peer, and in those to it (RFC 7911 §3).
    pub add_paths: AddPathFamilies,
}

/// The families whose routes have path identifiers, by direction (RFC 7911 §4).
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct AddPathFamilies {
    /// From the peer.
    pub receive: Vec<Family>,
    /// To the peer.
    pub send: Vec<Family>,
}

impl Context {
    /// Whether routes of a family may have this next hop: that of VPN-IPv4 routes is an IPv4 address unless more
    /// was agreed on (RFC 8950 §4).
    #[must_use]
    pub fn allows_next_hop(&self, family: Family, next_hop: IpAddr) -> bool {
        family != Family::VPNV4 || next_hop.is_ipv4() || self.extended_next_hop
    }
}

impl Default for Context {
    fn default() -> Self {
        Self {
            four_octet_as: false,
            max_length: MAX_LENGTH,
            internal: true,
            families: Vec::new(),
            extended_next_hop: false,
            add_paths: AddPathFamilies::default(),
        }
    }
}

/// A message whose header has been checked and taken off.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Frame {
    /// Message type, one of [`kind`].
    pub kind: u8,
    /// What follows the header.
    pub body: Bytes,
}

impl Frame {
    /// The message as it came, with its header.
    #[must_use]
    pub fn encode(&self) -> Bytes {
        message(self.kind, &self.body)
    }
}

/// Takes one message off the front of what has been received; `None` until all of it is there.
///
/// # Errors
///
/// A Message Header Error (RFC 4271 §6.1), as soon as the header is there.
pub fn frame(buffer: &mut BytesMut, max_length: usize) -> Result<Option<Frame>, MessageError> {
    let mut header = Reader(buffer);
    let (Some(marker), Some(length), Some(kind)) = (header.array::<16>(), header.u16(), header.u8()) else {
        return Ok(None);
    };
    if marker != [0xff; 16] {
        return Err(MessageError::new(code::HEADER, 1, Bytes::new(), "marker is not all ones"));
    }
    let size = usize::from(length);
    if !length_is_right(kind, size, max_length)? {
        return Err(MessageError::new(
            code::HEADER,
            2,
            length.to_be_bytes().to_vec(),
            format!("length {length} is wrong for a message of type {kind}"),
        ));
    }
    if buffer.len() < size {
        return Ok(None);
    }
    let mut message = buffer.split_to(size);
    Ok(Some(Frame { kind, body: message.split_off(HEADER_LENGTH).freeze() }))
}

/// The bounds of RFC 4271 §6.1 for each type; OPEN and KEEPALIVE are never extended (RFC 8654 §3).
fn length_is_right(kind: u8, length: usize, max_length: usize) -> Result<bool, MessageError> {
    Ok(match kind {
        kind::OPEN => (29..=MAX_LENGTH).contains(&length),
        kind::UPDATE => (23..=max_length).contains(&length),
        kind::NOTIFICATION => (21..=max_length).contains(&length),
        kind::KEEPALIVE => length == HEADER_LENGTH,
        kind::ROUTE_REFRESH => (23..=max_length).contains(&length),
        _ => {
            return Err(MessageError::new(
                code::HEADER,
                3,
                vec![kind],
                format!("unknown message type {kind}"),
            ));
        }
    })
}

/// A message.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Message {
    /// Type 1.
    Open(Open),
    /// Type 2.
    Update(Update),
    /// Type 3.
    Notification(Notification),
    /// Type 4.
    Keepalive,
    /// Type 5 (RFC 2918, RFC 7313): family, and one of [`refresh`] in the reserved octet.
    RouteRefresh(Family, u8),
}

impl Message {
    /// Reads the message in a frame.
    ///
    /// # Errors
    ///
    /// Only those for which the session is to be closed with a NOTIFICATION.
    pub fn decode(frame: Frame, context: &Context) -> Result<Self, MessageError> {
        match frame.kind {
            kind::OPEN => Open::decode(&frame.body).map(Self::Open),
            kind::UPDATE => Update::decode(&frame.body, context).map(Self::Update),
            kind::NOTIFICATION => Notification::decode(frame.body).map(Self::Notification),
            kind::KEEPALIVE => Ok(Self::Keepalive),
            kind::ROUTE_REFRESH => decode_route_refresh(&frame.body),
            other => {
                Err(MessageError::new(code::HEADER, 3, vec![other], format!("unknown message type {other}")))
            }
        }
    }

    /// The message with its header. An [`Update`] that does not fit in one message, or that has several blocks
    /// of NLRI, becomes several messages, one after another.
    #[must_use]
    pub fn encode(&self, context: &Context) -> Bytes {
        match self {
            Self::Open(open) => message(kind::OPEN, &open.encode()),
            Self::Update(update) => update.encode(context),
            Self::Notification(notification) => notification.encode(context.max_length),
            Self::Keepalive => message(kind::KEEPALIVE, &[]),
            Self::RouteRefresh(family, subtype) => route_refresh(*family, *subtype),
        }
    }
}

/// A ROUTE-REFRESH message (RFC 2918 §3) of a subtype of [`refresh`].
#[must_use]
pub fn route_refresh(family: Family, subtype: u8) -> Bytes {
    let [high, low] = family.afi.to_be_bytes();
    message(kind::ROUTE_REFRESH, &[high, low, subtype, family.safi])
}

/// AFI, subtype, SAFI. Nothing may follow, because outbound route filters (RFC 5291) are never agreed on.
fn decode_route_refresh(body: &Bytes) -> Result<Message, MessageError> {
    match **body {
        [high, low, subtype, safi] => {
            Ok(Message::RouteRefresh(Family { afi: u16::from_be_bytes([high, low]), safi }, subtype))
        }
        // RFC 7313 §5: "Invalid Message Length"; the data is the whole message.
        _ => Err(MessageError::new(
            code::ROUTE_REFRESH,
            1,
            message(kind::ROUTE_REFRESH, body),
            format!("ROUTE-REFRESH with {} octets instead of 4", body.len()),
        )),
    }
}

/// A NOTIFICATION (RFC 4271 §4.5).
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Notification {
    /// Error code.
    pub code: u8,
    /// Error subcode.
    pub subcode: u8,
    /// Data.
    #[serde(serialize_with = "hex")]
    pub data: Bytes,
}

impl From<MessageError> for Notification {
    fn from(error: MessageError) -> Self {
        Self { code: error.code, subcode: error.subcode, data: error.data }
    }
}

impl Notification {
    fn decode(mut body: Bytes) -> Result<Self, MessageError> {
        match *body {
            [code, subcode, ..] => Ok(Self { code, subcode, data: body.split_off(2) }),
            _ => Err(MessageError::new(code::HEADER, 2, Bytes::new(), "NOTIFICATION without a subcode")),
        }
    }

    /// Data that would not fit is cut off: the peer needs the code more than the whole of an offending message.
    fn encode(&self, max_length: usize) -> Bytes {
        let room = max_length.clamp(MAX_LENGTH, MAX_EXTENDED_LENGTH) - HEADER_LENGTH - 2;
        let mut body = vec![self.code, self.subcode];
        body.extend(self.data.iter().take(room));
        message(kind::NOTIFICATION, &body)
    }
}

/// Writes a header for a message of `length` octets, header included.
pub(super) fn put_header(out: &mut impl BufMut, kind: u8, length: usize) {
    out.put_bytes(0xff, 16);
    out.put_u16(u16::try_from(length).unwrap_or(u16::MAX));
    out.put_u8(kind);
}

fn message(kind: u8, body: &[u8]) -> Bytes {
    let length = HEADER_LENGTH + body.len();
    let mut out = BytesMut::with_capacity(length);
    put_header(&mut out, kind, length);
    out.put_slice(body);
    out.freeze()
}
