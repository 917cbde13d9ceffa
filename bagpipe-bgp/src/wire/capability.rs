//! Capabilities (RFC 5492).

use bytes::{BufMut, Bytes};
use serde::Serialize;

use super::reader::Reader;
use super::text::hex;
use crate::types::{Asn, Family};

const MULTIPROTOCOL: u8 = 1;
const ROUTE_REFRESH: u8 = 2;
const EXTENDED_NEXT_HOP: u8 = 5;
const EXTENDED_MESSAGE: u8 = 6;
const GRACEFUL_RESTART: u8 = 64;
const FOUR_OCTET_AS: u8 = 65;
const ADD_PATH: u8 = 69;
const ENHANCED_ROUTE_REFRESH: u8 = 70;
const LONG_LIVED: u8 = 71;

/// Largest restart time: 12 bits (RFC 4724 §3).
const MAX_RESTART_TIME: u16 = 0x0fff;
const RESTARTING: u16 = 0x8000;
const NOTIFICATION: u16 = 0x4000;
const FORWARDING: u8 = 0x80;
/// Send/Receive of an entry of the add-path capability (RFC 7911 §4).
const RECEIVE: u8 = 1;
const SEND: u8 = 2;

/// A capability of an OPEN message.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Capability {
    /// Code 1: a family (RFC 4760 §8).
    Multiprotocol(Family),
    /// Code 2: route refresh (RFC 2918).
    RouteRefresh,
    /// Code 5: families of routes whose next hop may be of another address family (RFC 8950 §4).
    ExtendedNextHop(Vec<ExtendedNextHop>),
    /// Code 6: messages of up to 65,535 octets (RFC 8654).
    ExtendedMessage,
    /// Code 64: graceful restart (RFC 4724 §3).
    GracefulRestart {
        /// The speaker has restarted (R bit).
        restarting: bool,
        /// A NOTIFICATION keeps routes too (N bit, RFC 8538 §2).
        notification: bool,
        /// Seconds for which routes are to be kept, 12 bits.
        time: u16,
        /// Families, and whether forwarding state was preserved (F bit).
        families: Vec<(Family, bool)>,
    },
    /// Code 65: four-octet AS numbers (RFC 6793).
    FourOctetAs(Asn),
    /// Code 69: several paths of a route, told apart by identifiers (RFC 7911 §4).
    AddPath(Vec<AddPath>),
    /// Code 70: enhanced route refresh (RFC 7313 §3.1).
    EnhancedRouteRefresh,
    /// Code 71: long-lived graceful restart (RFC 9494 §3.1).
    LongLived(Vec<LongLived>),
    /// Any other capability, as it is.
    Unknown {
        /// Capability code.
        code: u8,
        /// Capability value.
        #[serde(serialize_with = "hex")]
        value: Bytes,
    },
}

/// An entry of the long-lived graceful restart capability (RFC 9494 §3.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
pub struct LongLived {
    /// The family of the routes.
    pub family: Family,
    /// Forwarding state was preserved (F bit).
    pub forwarding: bool,
    /// Seconds for which routes are to be kept after the restart time, 24 bits.
    pub time: u32,
}

impl LongLived {
    /// The longest time: 24 bits, about 194 days.
    pub const MAX_TIME: u32 = 0x00ff_ffff;
}

/// An entry of the add-path capability (RFC 7911 §4).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
pub struct AddPath {
    /// The family of the routes.
    pub family: Family,
    /// The speaker takes several paths of a route.
    pub receive: bool,
    /// The speaker sends several paths of a route.
    pub send: bool,
}

/// An entry of the extended next hop encoding capability (RFC 8950 §4).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
pub struct ExtendedNextHop {
    /// The family of the routes.
    pub family: Family,
    /// The address family of their next hops.
    pub next_hop_afi: u16,
}

impl ExtendedNextHop {
    /// VPN-IPv4 routes with IPv6 next hops: what an IPv6 underlay needs.
    pub const VPNV4_OVER_IPV6: Self = Self { family: Family::VPNV4, next_hop_afi: 2 };
}

impl Capability {
    /// Takes one capability; `None` if its length is wrong.
    pub(super) fn decode(reader: &mut Reader<'_>) -> Option<Self> {
        let (code, length) = (reader.u8()?, reader.u8()?);
        let whole = reader.take(length.into())?;
        let mut value = Reader(whole);
        let capability = match code {
            MULTIPROTOCOL => {
                let (afi, _reserved, safi) = (value.u16()?, value.u8()?, value.u8()?);
                Self::Multiprotocol(Family { afi, safi })
            }
            ROUTE_REFRESH => Self::RouteRefresh,
            EXTENDED_NEXT_HOP => decode_extended_next_hop(&mut value)?,
            EXTENDED_MESSAGE => Self::ExtendedMessage,
            GRACEFUL_RESTART => decode_graceful_restart(&mut value)?,
            FOUR_OCTET_AS => Self::FourOctetAs(value.u32()?),
            ADD_PATH => match decode_add_path(&mut value)? {
                Some(capability) => capability,
                None => return Some(Self::Unknown { code, value: Bytes::copy_from_slice(whole) }),
            },
            ENHANCED_ROUTE_REFRESH => Self::EnhancedRouteRefresh,
            LONG_LIVED => decode_long_lived(&mut value)?,
            code => return Some(Self::Unknown { code, value: Bytes::copy_from_slice(whole) }),
        };
        value.is_empty().then_some(capability)
    }

    pub(super) fn encode(&self, out: &mut Vec<u8>) {
        match self {
            Self::Multiprotocol(family) => {
                let [high, low] = family.afi.to_be_bytes();
                put(out, MULTIPROTOCOL, &[high, low, 0, family.safi]);
            }
            Self::RouteRefresh => put(out, ROUTE_REFRESH, &[]),
            Self::ExtendedNextHop(entries) => {
                let mut value = Vec::new();
                for ExtendedNextHop { family, next_hop_afi } in entries {
                    value.put_u16(family.afi);
                    value.put_u16(family.safi.into());
                    value.put_u16(*next_hop_afi);
                }
                put(out, EXTENDED_NEXT_HOP, &value);
            }
            Self::ExtendedMessage => put(out, EXTENDED_MESSAGE, &[]),
            Self::GracefulRestart { restarting, notification, time, families } => {
                let mut flags = (*time).min(MAX_RESTART_TIME);
                flags |= if *restarting { RESTARTING } else { 0 };
                flags |= if *notification { NOTIFICATION } else { 0 };
                let mut value = flags.to_be_bytes().to_vec();
                for (family, forwarding) in families {
                    value.put_u16(family.afi);
                    value.put_slice(&[family.safi, if *forwarding { FORWARDING } else { 0 }]);
                }
                put(out, GRACEFUL_RESTART, &value);
            }
            Self::FourOctetAs(asn) => put(out, FOUR_OCTET_AS, &asn.to_be_bytes()),
            Self::AddPath(entries) => {
                let mut value = Vec::new();
                for AddPath { family, receive, send } in entries {
                    value.put_u16(family.afi);
                    let directions = if *receive { RECEIVE } else { 0 } | if *send { SEND } else { 0 };
                    value.put_slice(&[family.safi, directions]);
                }
                put(out, ADD_PATH, &value);
            }
            Self::EnhancedRouteRefresh => put(out, ENHANCED_ROUTE_REFRESH, &[]),
            Self::LongLived(entries) => {
                let mut value = Vec::new();
                for LongLived { family, forwarding, time } in entries {
                    value.put_u16(family.afi);
                    value.put_slice(&[family.safi, if *forwarding { FORWARDING } else { 0 }]);
                    let [_, time @ ..] = (*time).min(LongLived::MAX_TIME).to_be_bytes();
                    value.put_slice(&time);
                }
                put(out, LONG_LIVED, &value);
            }
            Self::Unknown { code, value } => put(out, *code, value),
        }
    }
}

/// The SAFI has two octets here, of which the first is always zero; entries of which nothing is known are passed
/// over (RFC 8950 §4).
fn decode_extended_next_hop(value: &mut Reader<'_>) -> Option<Capability> {
    let mut entries = Vec::new();
    while !value.is_empty() {
        let (afi, safi, next_hop_afi) = (value.u16()?, value.u16()?, value.u16()?);
        if let Ok(safi) = u8::try_from(safi) {
            entries.push(ExtendedNextHop { family: Family { afi, safi }, next_hop_afi });
        }
    }
    Some(Capability::ExtendedNextHop(entries))
}

/// With any other Send/Receive the capability counts as one that is not understood, which is the inner `None`
/// (RFC 7911 §4).
#[expect(clippy::option_option, reason = "a wrong length is another matter than an unknown value")]
fn decode_add_path(value: &mut Reader<'_>) -> Option<Option<Capability>> {
    let mut entries = Vec::new();
    let mut understood = true;
    while !value.is_empty() {
        let (afi, safi, directions) = (value.u16()?, value.u8()?, value.u8()?);
        understood &= matches!(directions, 1..=3);
        let family = Family { afi, safi };
        entries.push(AddPath { family, receive: directions & RECEIVE != 0, send: directions & SEND != 0 });
    }
    Some(understood.then_some(Capability::AddPath(entries)))
}

fn decode_graceful_restart(value: &mut Reader<'_>) -> Option<Capability> {
    let flags = value.u16()?;
    let mut families = Vec::new();
    while !value.is_empty() {
        let (afi, safi, flags) = (value.u16()?, value.u8()?, value.u8()?);
        families.push((Family { afi, safi }, flags & FORWARDING != 0));
    }
    Some(Capability::GracefulRestart {
        restarting: flags & RESTARTING != 0,
        notification: flags & NOTIFICATION != 0,
        time: flags & MAX_RESTART_TIME,
        families,
    })
}

fn decode_long_lived(value: &mut Reader<'_>) -> Option<Capability> {
    let mut entries = Vec::new();
    while !value.is_empty() {
        let (afi, safi, flags) = (value.u16()?, value.u8()?, value.u8()?);
        let [a, b, c] = value.array()?;
        entries.push(LongLived {
            family: Family { afi, safi },
            forwarding: flags & FORWARDING != 0,
            time: u32::from_be_bytes([0, a, b, c]),
        });
    }
    Some(Capability::LongLived(entries))
}

/// A value that the one octet of length cannot describe is left out: it cannot be said at all.
fn put(out: &mut Vec<u8>, code: u8, value: &[u8]) {
    if let Ok(length) = u8::try_from(value.len()) {
        out.put_slice(&[code, length]);
        out.put_slice(value);
    }
}
