//! Capabilities (RFC 5492).

use bytes::{BufMut, Bytes};
use serde::Serialize;

use super::reader::Reader;
use super::text::hex;
use crate::types::{Asn, Family};

const MULTIPROTOCOL: u8 = 1;
const ROUTE_REFRESH: u8 = 2;
const EXTENDED_MESSAGE: u8 = 6;
const GRACEFUL_RESTART: u8 = 64;
const FOUR_OCTET_AS: u8 = 65;

/// Largest restart time: 12 bits (RFC 4724 §3).
const MAX_RESTART_TIME: u16 = 0x0fff;
const RESTARTING: u16 = 0x8000;
const NOTIFICATION: u16 = 0x4000;
const FORWARDING: u8 = 0x80;

/// A capability of an OPEN message.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Capability {
    /// Code 1: a family (RFC 4760 §8).
    Multiprotocol(Family),
    /// Code 2: route refresh (RFC 2918).
    RouteRefresh,
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
    /// Any other capability, as it is.
    Unknown {
        /// Capability code.
        code: u8,
        /// Capability value.
        #[serde(serialize_with = "hex")]
        value: Bytes,
    },
}

impl Capability {
    /// Takes one capability; `None` if its length is wrong.
    pub(super) fn decode(reader: &mut Reader<'_>) -> Option<Self> {
        let (code, length) = (reader.u8()?, reader.u8()?);
        let mut value = Reader(reader.take(length.into())?);
        let capability = match code {
            MULTIPROTOCOL => {
                let (afi, _reserved, safi) = (value.u16()?, value.u8()?, value.u8()?);
                Self::Multiprotocol(Family { afi, safi })
            }
            ROUTE_REFRESH => Self::RouteRefresh,
            EXTENDED_MESSAGE => Self::ExtendedMessage,
            GRACEFUL_RESTART => decode_graceful_restart(&mut value)?,
            FOUR_OCTET_AS => Self::FourOctetAs(value.u32()?),
            code => {
                let value = value.take(length.into())?;
                return Some(Self::Unknown { code, value: Bytes::copy_from_slice(value) });
            }
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
            Self::Unknown { code, value } => put(out, *code, value),
        }
    }
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

/// A value that the one octet of length cannot describe is left out: it cannot be said at all.
fn put(out: &mut Vec<u8>, code: u8, value: &[u8]) {
    if let Ok(length) = u8::try_from(value.len()) {
        out.put_slice(&[code, length]);
        out.put_slice(value);
    }
}
