//! Reading an UPDATE under RFC 7606.

use std::net::IpAddr;
use std::sync::Arc;

use bytes::Bytes;

use super::{NlriBlock, Update, is_vpn, nlri_error, take_path_id};
use crate::types::Family;
use crate::wire::attribute::{self, Decoded, rules};
use crate::wire::nlri::Framing;
use crate::wire::reader::Reader;
use crate::wire::{Action, Context, MessageError, NextHop, UpdateError};

impl Update {
    /// The UPDATE in a message body.
    ///
    /// # Errors
    ///
    /// Those for which RFC 7606 leaves "session reset": without certainty about which routes the message is
    /// about, nothing weaker is safe (RFC 7606 §3 (j)).
    pub(in crate::wire) fn decode(body: &Bytes, context: &Context) -> Result<Self, MessageError> {
        let fields = Fields::of(body).ok_or_else(overlong)?;
        let mut decoded = attribute::decode(fields.attributes, context);
        require_certainty(&decoded.errors, Action::ResetSession)?;
        let reach = decoded.reach.map(|value| Reach::decode(value, context)).transpose()?;
        let unreach = decoded.unreach.map(Unreach::decode).transpose()?;

        let announces = reach.as_ref().is_some_and(|reach| !reach.nlri.is_empty());
        if announces || !fields.announced.is_empty() {
            decoded.require(!fields.announced.is_empty());
        } else if decoded.others {
            // RFC 7606 §5.2: attributes without routes. If more than a discarded attribute is wrong, the routes
            // may be what has been lost.
            require_certainty(&decoded.errors, Action::TreatAsWithdraw)?;
        }

        let end_of_rib = end_of_rib(&fields, &decoded, unreach.as_ref())
            .filter(|family| context.families.contains(family));
        let mut update = Self { end_of_rib, ..Self::default() };
        let errors = &mut decoded.errors;
        let mut block = |family, bytes| block(body, family, bytes, context, errors);
        update.withdrawn.extend(block(Family::IPV4_UNICAST, fields.withdrawn)?);
        if let Some(unreach) = &unreach {
            update.withdrawn.extend(block(unreach.family, unreach.nlri)?);
        }
        let ipv4 = block(Family::IPV4_UNICAST, fields.announced)?;
        if let Some(reach) = &reach {
            update.announced.extend(block(reach.family, reach.nlri)?);
        }
        update.place_ipv4(ipv4, reach.as_ref(), &mut decoded);
        update.take_next_hop(reach.as_ref(), context, &mut decoded);
        update.finish(decoded);
        Ok(update)
    }

    /// Attributes have one next hop. Routes in the NLRI field of an UPDATE whose MP_REACH_NLRI has another one
    /// are not used; nobody sends such a mixture (RFC 7606 §5.1).
    fn place_ipv4(&mut self, ipv4: Option<NlriBlock>, reach: Option<&Reach<'_>>, decoded: &mut Decoded<'_>) {
        let Some(block) = ipv4 else { return };
        if self.announced.is_empty() || reach.and_then(|reach| reach.next_hop) == decoded.attributes.next_hop
        {
            self.announced.push(block);
        } else {
            let what = "announced beside other routes with another next hop";
            decoded.errors.push(nlri_error(Action::Discard, block.family, &block.bytes, what));
            self.withdrawn.push(block);
        }
    }

    /// NEXT_HOP has no meaning for the routes of MP_REACH_NLRI (RFC 4760 §3).
    fn take_next_hop(&mut self, reach: Option<&Reach<'_>>, context: &Context, decoded: &mut Decoded<'_>) {
        let Some(reach) =
            reach.filter(|reach| self.announced.iter().any(|block| block.family == reach.family))
        else {
            return;
        };
        decoded.attributes.next_hop = reach.next_hop;
        // Memberships lead nowhere, so that their next hop may be anything (RFC 4684 §4).
        let wrong = match reach.next_hop {
            _ if reach.family == Family::ROUTE_TARGET => return,
            _ if reach.family.flow_specifications().is_some() => return,
            Some(next_hop) if !next_hop.is_host() => "is not the address of a host (RFC 4271 §6.3)",
            Some(next_hop) if !context.allows_next_hop(reach.family, next_hop.address) => {
                "is an IPv6 address, which was not agreed on (RFC 8950 §4)"
            }
            Some(_) => return,
            None => "is missing (RFC 4760 §3)",
        };
        decoded.errors.push(UpdateError {
            action: Action::TreatAsWithdraw,
            attribute: Some(rules::MP_REACH_NLRI),
            subcode: 8,
            data: Bytes::new(),
            reason: format!("next hop of {} routes {wrong}", reach.family),
        });
    }

    /// Applies "treat-as-withdraw" (RFC 7606 §2).
    fn finish(&mut self, decoded: Decoded<'_>) {
        if decoded.errors.iter().any(|error| error.action == Action::TreatAsWithdraw) {
            self.withdrawn.append(&mut self.announced);
        }
        if !self.announced.is_empty() {
            self.attributes = Arc::new(decoded.attributes);
        }
        self.errors = decoded.errors;
    }
}

/// The three variable fields of an UPDATE (RFC 4271 §4.3).
struct Fields<'a> {
    withdrawn: &'a [u8],
    attributes: &'a [u8],
    announced: &'a [u8],
}

impl<'a> Fields<'a> {
    fn of(body: &'a [u8]) -> Option<Self> {
        let mut reader = Reader(body);
        let length = reader.u16()?;
        let withdrawn = reader.take(length.into())?;
        let length = reader.u16()?;
        let attributes = reader.take(length.into())?;
        Some(Self { withdrawn, attributes, announced: reader.0 })
    }
}

/// The value of MP_REACH_NLRI (RFC 4760 §3).
struct Reach<'a> {
    family: Family,
    next_hop: Option<NextHop>,
    nlri: &'a [u8],
}

impl<'a> Reach<'a> {
    fn decode(value: &'a [u8], context: &Context) -> Result<Self, MessageError> {
        let error = |what: &str| unreadable(rules::MP_REACH_NLRI, value, what, "RFC 7606 §7.11");
        let mut reader = Reader(value);
        let (Some(afi), Some(safi), Some(length)) = (reader.u16(), reader.u8(), reader.u8()) else {
            return Err(error("too short"));
        };
        let family = Family { afi, safi };
        let (Some(next_hop), Some(_reserved)) = (reader.take(length.into()), reader.u8()) else {
            return Err(error("next hop overruns the attribute"));
        };
        // Flow specifications lead nowhere: what stands there is to be ignored (RFC 8955 §4).
        if family.flow_specifications().is_some() {
            return Ok(Self { family, next_hop: None, nlri: reader.0 });
        }
        let next_hop = decode_next_hop(family, next_hop);
        // Of a family that is not in use, nothing is read: what its next hop looks like does not matter.
        if next_hop.is_none() && context.families.contains(&family) {
            return Err(error("next hop length does not fit the family"));
        }
        Ok(Self { family, next_hop, nlri: reader.0 })
    }
}

/// Addresses of 4, 16 or 32 octets (RFC 4760 §3, RFC 2545 §3, RFC 7432 §9.2); in the VPN families each behind
/// a route distinguisher of zero (RFC 4364 §4.3.2, RFC 4659 §3.2.1, RFC 8950 §3), and an IPv4 address possibly in
/// the form of an IPv6 address (RFC 4659 §3.2.1.2).
fn decode_next_hop(family: Family, value: &[u8]) -> Option<NextHop> {
    let distinguished = is_vpn(family);
    let mut reader = Reader(value);
    let skip = |reader: &mut Reader<'_>| if distinguished { reader.take(8).map(drop) } else { Some(()) };
    skip(&mut reader)?;
    let octets = reader.0.len();
    let address = reader.address(if octets == 4 { 4 } else { 16 })?;
    let link_local = if reader.is_empty() {
        None
    } else {
        skip(&mut reader)?;
        Some(reader.ipv6()?)
    };
    if !reader.is_empty() {
        return None;
    }
    Some(match address.to_canonical() {
        IpAddr::V4(mapped) if distinguished => IpAddr::V4(mapped).into(),
        _ => NextHop { address, link_local },
    })
}

/// The value of MP_UNREACH_NLRI (RFC 4760 §4).
struct Unreach<'a> {
    family: Family,
    nlri: &'a [u8],
}

impl<'a> Unreach<'a> {
    fn decode(value: &'a [u8]) -> Result<Self, MessageError> {
        let mut reader = Reader(value);
        match (reader.u16(), reader.u8()) {
            (Some(afi), Some(safi)) => Ok(Self { family: Family { afi, safi }, nlri: reader.0 }),
            _ => Err(unreadable(rules::MP_UNREACH_NLRI, value, "too short", "RFC 7606 §7.12")),
        }
    }
}

/// Nothing at all, or nothing but an MP_UNREACH_NLRI without routes (RFC 4724 §2).
fn end_of_rib(fields: &Fields<'_>, decoded: &Decoded<'_>, unreach: Option<&Unreach<'_>>) -> Option<Family> {
    if !fields.withdrawn.is_empty() || !fields.announced.is_empty() || decoded.others {
        return None;
    }
    match unreach {
        None => Some(Family::IPV4_UNICAST),
        Some(unreach) => unreach.nlri.is_empty().then_some(unreach.family),
    }
}

/// The routes of a field, if there are any: without their bytes being copied, and with each of them findable.
fn block(
    body: &Bytes,
    family: Family,
    bytes: &[u8],
    context: &Context,
    errors: &mut Vec<UpdateError>,
) -> Result<Option<NlriBlock>, MessageError> {
    if bytes.is_empty() {
        return Ok(None);
    }
    let bytes = body.slice_ref(bytes);
    if !context.families.contains(&family) {
        errors.push(nlri_error(Action::Discard, family, &[], "family not agreed on (RFC 4760 §8)"));
        return Ok(None);
    }
    let path_ids = context.add_paths.receive.contains(&family);
    let framing = Framing::of(family);
    let mut rest: &[u8] = &bytes;
    while !rest.is_empty() {
        let split = take_path_id(path_ids, rest)
            .and_then(|(_, route)| framing.split(route).map(|length| route.get(length..)));
        match split {
            Ok(behind) => rest = behind.unwrap_or_default(),
            Err(what) => {
                return Err(nlri_error(Action::ResetSession, family, rest, what).into());
            }
        }
    }
    Ok(Some(NlriBlock { family, path_ids, bytes }))
}

/// Fails with the first error that is at least as strong as `limit`.
fn require_certainty(errors: &[UpdateError], limit: Action) -> Result<(), MessageError> {
    match errors.iter().find(|error| error.action >= limit) {
        Some(error) => Err(error.clone().into()),
        None => Ok(()),
    }
}

fn overlong() -> MessageError {
    let reason = "the lengths of the fields exceed the message (RFC 4271 §6.3)";
    reset(None, 1, Bytes::new(), reason.into())
}

fn unreadable(kind: u8, value: &[u8], what: &str, section: &str) -> MessageError {
    reset(Some(kind), 9, Bytes::copy_from_slice(value), format!("attribute {kind}: {what} ({section})"))
}

fn reset(attribute: Option<u8>, subcode: u8, data: Bytes, reason: String) -> MessageError {
    UpdateError { action: Action::ResetSession, attribute, subcode, data, reason }.into()
}
