//! OPEN (RFC 4271 §4.2, RFC 5492, RFC 9072).

use bytes::{BufMut, Bytes};
use serde::Serialize;

use super::error::code;
use super::reader::Reader;
use super::{Capability, MessageError};
use crate::types::{Asn, RouterId};

/// What a two-octet field says in place of a four-octet AS number (RFC 6793 §9).
pub const AS_TRANS: u16 = 23_456;

const VERSION: u8 = 4;
/// Optional parameter type of capabilities (RFC 5492 §4).
const CAPABILITIES: u8 = 2;
/// In the place of the first parameter's type: lengths have two octets (RFC 9072 §2).
const EXTENDED: u8 = 255;

/// An OPEN message.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Open {
    /// The speaker's AS: from the four-octet AS capability if it is there (RFC 6793), else from the fixed field.
    pub asn: Asn,
    /// Proposed hold time in seconds: 0, or at least 3.
    pub hold_time: u16,
    /// BGP identifier.
    pub router_id: RouterId,
    /// Capabilities, in order.
    pub capabilities: Vec<Capability>,
}

impl Open {
    pub(super) fn decode(body: &[u8]) -> Result<Self, MessageError> {
        let mut reader = Reader(body);
        // The version is judged first: another version may have another layout (RFC 4271 §6.2).
        match reader.u8() {
            Some(VERSION) => {}
            Some(version) => {
                let data = u16::from(VERSION).to_be_bytes().to_vec();
                return Err(open_error(1, data, format!("BGP version {version} instead of {VERSION}")));
            }
            None => return Err(malformed("is empty")),
        }
        let (Some(short_asn), Some(hold_time), Some(router_id)) = (reader.u16(), reader.u16(), reader.ipv4())
        else {
            return Err(malformed("ends within its fixed fields"));
        };
        let capabilities = decode_parameters(reader)?;
        let asn = capabilities
            .iter()
            .find_map(|capability| match capability {
                Capability::FourOctetAs(asn) => Some(*asn),
                _ => None,
            })
            .unwrap_or_else(|| Asn::from(short_asn));

        // RFC 7607 §2: AS 0 is never acceptable, in either place.
        if asn == 0 || short_asn == 0 {
            return Err(open_error(2, Vec::new(), "AS number 0".into()));
        }
        // RFC 6286 §2.2: any non-zero value is valid.
        if router_id.is_unspecified() {
            return Err(open_error(3, Vec::new(), "BGP identifier 0.0.0.0".into()));
        }
        if matches!(hold_time, 1 | 2) {
            return Err(open_error(6, Vec::new(), format!("hold time of {hold_time} s")));
        }
        Ok(Self { asn, hold_time, router_id, capabilities })
    }

    /// The body. All capabilities go in one parameter, and the extended form is used only when they do not fit
    /// otherwise (RFC 9072 §2).
    pub(super) fn encode(&self) -> Vec<u8> {
        let mut capabilities = Vec::new();
        for capability in &self.capabilities {
            capability.encode(&mut capabilities);
        }
        let mut out = vec![VERSION];
        out.put_u16(u16::try_from(self.asn).unwrap_or(AS_TRANS));
        out.put_u16(self.hold_time);
        out.put_slice(&self.router_id.octets());
        match (u8::try_from(capabilities.len()), u8::try_from(capabilities.len() + 2)) {
            (Ok(0), _) => out.put_u8(0),
            (Ok(length), Ok(total)) if total != EXTENDED => {
                out.put_slice(&[total, CAPABILITIES, length]);
            }
            _ => {
                let length = u16::try_from(capabilities.len()).unwrap_or(u16::MAX);
                out.put_slice(&[EXTENDED, EXTENDED]);
                out.put_u16(length.saturating_add(3));
                out.put_u8(CAPABILITIES);
                out.put_u16(length);
            }
        }
        out.put_slice(&capabilities);
        out
    }
}

/// Optional parameters, in both forms. The extended form is known by its first octet after the length, which
/// may be any but zero (RFC 9072 §2).
fn decode_parameters(mut reader: Reader<'_>) -> Result<Vec<Capability>, MessageError> {
    let truncated = || malformed("has optional parameters that do not fill their length");
    let length = reader.u8().ok_or_else(truncated)?;
    let extended = length != 0 && reader.0.first() == Some(&EXTENDED);
    let length = if extended {
        reader.u8();
        usize::from(reader.u16().ok_or_else(truncated)?)
    } else {
        usize::from(length)
    };
    if reader.0.len() != length {
        return Err(truncated());
    }
    let mut capabilities = Vec::new();
    while let Some(parameter) = reader.u8() {
        let length = if extended { reader.u16() } else { reader.u8().map(u16::from) };
        let value = length.and_then(|length| reader.take(length.into())).ok_or_else(truncated)?;
        if parameter != CAPABILITIES {
            return Err(open_error(4, vec![parameter], format!("unknown optional parameter {parameter}")));
        }
        let mut values = Reader(value);
        while !values.is_empty() {
            let capability =
                Capability::decode(&mut values).ok_or_else(|| malformed("has a malformed capability"))?;
            capabilities.push(capability);
        }
    }
    Ok(capabilities)
}

/// Recognized but malformed: subcode 0, "Unspecific" (RFC 4271 §6.2).
fn malformed(what: &str) -> MessageError {
    open_error(0, Vec::new(), format!("OPEN {what}"))
}

fn open_error(subcode: u8, data: Vec<u8>, reason: String) -> MessageError {
    MessageError::new(code::OPEN, subcode, Bytes::from(data), reason)
}
