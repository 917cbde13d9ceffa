//! Reading path attributes under RFC 7606.

use std::net::Ipv4Addr;

use bytes::Bytes;

use super::as_path::AsSize;
use super::rules::{self, External, Rule, flag, rule};
use super::{AsPath, Attributes, NextHop, Origin, RawAttribute};
use crate::types::Asn;
use crate::wire::open::AS_TRANS;
use crate::wire::reader::Reader;
use crate::wire::{Action, Context, ExtendedCommunity, PmsiTunnel, UpdateError};

/// UPDATE Message Error subcodes (RFC 4271 §6.3).
mod subcode {
    pub(super) const MALFORMED_LIST: u8 = 1;
    pub(super) const UNRECOGNIZED_WELL_KNOWN: u8 = 2;
    pub(super) const MISSING_WELL_KNOWN: u8 = 3;
    pub(super) const FLAGS: u8 = 4;
    pub(super) const LENGTH: u8 = 5;
    pub(super) const ORIGIN: u8 = 6;
    pub(super) const NEXT_HOP: u8 = 8;
    pub(super) const OPTIONAL: u8 = 9;
    pub(super) const AS_PATH: u8 = 11;
}

/// The path attributes of one UPDATE.
#[derive(Default)]
pub(in crate::wire) struct Decoded<'a> {
    /// The attributes that were right.
    pub(in crate::wire) attributes: Attributes,
    /// The value of MP_REACH_NLRI.
    pub(in crate::wire) reach: Option<&'a [u8]>,
    /// The value of MP_UNREACH_NLRI.
    pub(in crate::wire) unreach: Option<&'a [u8]>,
    /// There is an attribute other than MP_UNREACH_NLRI.
    pub(in crate::wire) others: bool,
    /// What was wrong.
    pub(in crate::wire) errors: Vec<UpdateError>,
    seen: Seen,
    as4_path: Option<AsPath>,
    as4_aggregator: Option<(Asn, Ipv4Addr)>,
}

/// Reads the Path Attributes field. Errors are collected; what an attribute in error would have said is absent.
pub(in crate::wire) fn decode<'a>(field: &'a [u8], context: &Context) -> Decoded<'a> {
    let mut decoded = Decoded::default();
    let mut reader = Reader(field);
    while !reader.is_empty() {
        let start = reader.0;
        let Some(header) = Header::take(&mut reader) else {
            decoded.overrun(start);
            break;
        };
        let Some(value) = reader.take(header.length) else {
            decoded.overrun(start);
            break;
        };
        decoded.others |= header.kind != rules::MP_UNREACH_NLRI;
        let whole = start.get(..start.len() - reader.0.len()).unwrap_or(start);
        if let Err(error) = decoded.attribute(&header, value, whole, context) {
            decoded.errors.push(error);
        }
    }
    decoded.merge_four_octet_forms();
    decoded.attributes.unknown.sort_by_key(|raw| raw.kind);
    decoded
}

struct Header {
    flags: u8,
    kind: u8,
    length: usize,
}

impl Header {
    fn take(reader: &mut Reader<'_>) -> Option<Self> {
        let (flags, kind) = (reader.u8()?, reader.u8()?);
        let length = if flags & flag::EXTENDED_LENGTH != 0 { reader.u16()? } else { reader.u8()?.into() };
        Some(Self { flags, kind, length: length.into() })
    }
}

/// Which attribute types have been there.
#[derive(Default)]
struct Seen([u64; 4]);

impl Seen {
    fn contains(&self, kind: u8) -> bool {
        self.0.get(usize::from(kind / 64)).is_some_and(|word| word & (1 << (kind % 64)) != 0)
    }

    /// Whether it had not been there before.
    fn insert(&mut self, kind: u8) -> bool {
        let new = !self.contains(kind);
        if let Some(word) = self.0.get_mut(usize::from(kind / 64)) {
            *word |= 1 << (kind % 64);
        }
        new
    }
}

impl<'a> Decoded<'a> {
    /// Reports the attributes that RFC 4271 §5 requires of announced routes and that were not there
    /// (RFC 7606 §3 (d)); NEXT_HOP is required only beside the NLRI field (RFC 4760 §3).
    pub(in crate::wire) fn require(&mut self, next_hop: bool) {
        let required = [(rules::ORIGIN, true), (rules::AS_PATH, true), (rules::NEXT_HOP, next_hop)];
        for (kind, required) in required {
            if required && !self.seen.contains(kind) {
                self.errors.push(UpdateError {
                    action: Action::TreatAsWithdraw,
                    attribute: Some(kind),
                    subcode: subcode::MISSING_WELL_KNOWN,
                    data: Bytes::copy_from_slice(&[kind]),
                    reason: format!("{} is missing (RFC 7606 §3 (d))", name(kind)),
                });
            }
        }
    }

    /// Too few octets for an attribute's header or value: the rest cannot be read, but the NLRI can be found
    /// (RFC 7606 §4), unless they were to be in this attribute (RFC 7606 §3 (j)).
    fn overrun(&mut self, rest: &[u8]) {
        self.others = true;
        let attribute = rest.get(1).copied();
        let has_routes = matches!(attribute, Some(rules::MP_REACH_NLRI | rules::MP_UNREACH_NLRI));
        self.errors.push(UpdateError {
            action: if has_routes { Action::ResetSession } else { Action::TreatAsWithdraw },
            attribute,
            subcode: subcode::MALFORMED_LIST,
            data: Bytes::copy_from_slice(rest),
            reason: "an attribute overruns the path attributes (RFC 7606 §4)".into(),
        });
    }

    fn attribute(
        &mut self,
        header: &Header,
        value: &'a [u8],
        whole: &[u8],
        context: &Context,
    ) -> Result<(), UpdateError> {
        let kind = header.kind;
        let error = |action, subcode, reason: String| UpdateError {
            action,
            attribute: Some(kind),
            subcode,
            data: Bytes::copy_from_slice(whole),
            reason,
        };
        if !self.seen.insert(kind) {
            return Err(match kind {
                rules::MP_REACH_NLRI | rules::MP_UNREACH_NLRI => error(
                    Action::ResetSession,
                    subcode::MALFORMED_LIST,
                    format!("{} appears twice (RFC 7606 §3 (g))", name(kind)),
                ),
                _ => error(
                    Action::Discard,
                    subcode::MALFORMED_LIST,
                    format!("{} appears again (RFC 7606 §3 (g))", name(kind)),
                ),
            });
        }
        let Some(rule) = rule(kind) else {
            return self.unknown(header, value).map_err(|reason| {
                error(Action::ResetSession, subcode::UNRECOGNIZED_WELL_KNOWN, reason.into())
            });
        };
        if rule.external == External::Ignore && !context.internal {
            let reason = format!("{} from an external peer ({})", rule.name, rule.section);
            return Err(error(Action::Discard, subcode::OPTIONAL, reason));
        }
        let class = flag::OPTIONAL | flag::TRANSITIVE;
        if header.flags & class != rule.class.flags() {
            // MP_REACH_NLRI and MP_UNREACH_NLRI still say which routes are to be withdrawn.
            self.mp(kind, value);
            let reason = format!("{} has flags {:#04x} (RFC 7606 §3 (c))", rule.name, header.flags);
            return Err(error(Action::TreatAsWithdraw, subcode::FLAGS, reason));
        }
        if !rule.length.allows(value.len(), context.four_octet_as) {
            let reason = format!("{} has {} octets ({})", rule.name, value.len(), rule.section);
            return Err(error(rule.malformed, subcode::LENGTH, reason));
        }
        self.value(rule, value, context).map_err(|Malformed(subcode, what)| {
            error(rule.malformed, subcode, format!("{}: {what} ({})", rule.name, rule.section))
        })
    }

    fn mp(&mut self, kind: u8, value: &'a [u8]) {
        match kind {
            rules::MP_REACH_NLRI => self.reach = Some(value),
            rules::MP_UNREACH_NLRI => self.unreach = Some(value),
            _ => {}
        }
    }

    /// RFC 4271 §5, §6.3: a well-known attribute must be known; an optional one is kept if it is transitive.
    fn unknown(&mut self, header: &Header, value: &[u8]) -> Result<(), &'static str> {
        if header.flags & flag::OPTIONAL == 0 {
            return Err("unknown well-known attribute (RFC 4271 §6.3)");
        }
        if header.flags & flag::TRANSITIVE != 0 {
            self.attributes.unknown.push(RawAttribute {
                flags: header.flags & (flag::OPTIONAL | flag::TRANSITIVE | flag::PARTIAL),
                kind: header.kind,
                value: Bytes::copy_from_slice(value),
            });
        }
        Ok(())
    }

    /// The value of an attribute whose flags and length are right.
    fn value(&mut self, rule: &Rule, value: &'a [u8], context: &Context) -> Result<(), Malformed> {
        let mut reader = Reader(value);
        let attributes = &mut self.attributes;
        match rule.kind {
            rules::ORIGIN => attributes.origin = decode_origin(value)?,
            rules::AS_PATH => attributes.as_path = decode_as_path(value, context)?,
            rules::NEXT_HOP => {
                attributes.next_hop =
                    reader.ipv4().map(|address| NextHop::from(std::net::IpAddr::V4(address)));
                if !attributes.next_hop.is_some_and(|next_hop| next_hop.is_host()) {
                    return Err(Malformed(subcode::NEXT_HOP, "not the address of a host"));
                }
            }
            rules::MULTI_EXIT_DISC => attributes.med = reader.u32(),
            rules::LOCAL_PREF => attributes.local_pref = reader.u32(),
            rules::ATOMIC_AGGREGATE => attributes.atomic_aggregate = true,
            rules::AGGREGATOR => {
                let size = AsSize::of(context.four_octet_as);
                attributes.aggregator = Some(decode_aggregator(&mut reader, size)?);
            }
            rules::COMMUNITIES => {
                attributes.communities = items(value).map(u32::from_be_bytes).collect();
            }
            rules::ORIGINATOR_ID => attributes.originator_id = reader.ipv4(),
            rules::CLUSTER_LIST => {
                attributes.cluster_list = items::<4>(value).map(Ipv4Addr::from).collect();
            }
            rules::EXTENDED_COMMUNITIES => {
                attributes.extended_communities = items(value).map(ExtendedCommunity).collect();
            }
            rules::LARGE_COMMUNITIES => {
                attributes.large_communities =
                    items::<12>(value).filter_map(|octets| large_community(&octets)).collect();
            }
            rules::PMSI_TUNNEL => {
                attributes.pmsi_tunnel = Some(
                    PmsiTunnel::decode(value)
                        .ok_or(Malformed(subcode::OPTIONAL, "identifier does not fit the tunnel type"))?,
                );
            }
            // RFC 6793 §4.1: four-octet speakers do not send these to each other; if they do, it says nothing.
            rules::AS4_PATH | rules::AS4_AGGREGATOR if context.four_octet_as => {}
            rules::AS4_PATH => {
                let path = AsPath::decode(value, AsSize::Four);
                self.as4_path = Some(path.map_err(|what| Malformed(subcode::OPTIONAL, what))?);
            }
            rules::AS4_AGGREGATOR => {
                self.as4_aggregator = Some(decode_aggregator(&mut reader, AsSize::Four)?);
            }
            kind => self.mp(kind, value),
        }
        Ok(())
    }

    /// What two-octet speakers have passed on beside AS_PATH and AGGREGATOR (RFC 6793 §4.2.3). The order of
    /// the attributes does not matter here: all of them have been read.
    fn merge_four_octet_forms(&mut self) {
        match (self.attributes.aggregator, self.as4_aggregator) {
            // An AGGREGATOR of a two-octet AS is newer than both four-octet forms.
            (Some((asn, _)), Some(_)) if asn != Asn::from(AS_TRANS) => return,
            (Some(_), Some(aggregator)) => self.attributes.aggregator = Some(aggregator),
            _ => {}
        }
        if let Some(as4_path) = self.as4_path.take() {
            self.attributes.as_path = std::mem::take(&mut self.attributes.as_path).merge(&as4_path);
        }
    }
}

/// Subcode, and what is wrong.
struct Malformed(u8, &'static str);

fn decode_origin(value: &[u8]) -> Result<Origin, Malformed> {
    match value {
        [0] => Ok(Origin::Igp),
        [1] => Ok(Origin::Egp),
        [2] => Ok(Origin::Incomplete),
        _ => Err(Malformed(subcode::ORIGIN, "undefined value")),
    }
}

fn decode_as_path(value: &[u8], context: &Context) -> Result<AsPath, Malformed> {
    let path = AsPath::decode(value, AsSize::of(context.four_octet_as))
        .map_err(|what| Malformed(subcode::AS_PATH, what))?;
    // RFC 5065 §4.1, §5: confederation segments do not leave the confederation.
    if !context.internal && path.has_confederation() {
        return Err(Malformed(subcode::AS_PATH, "confederation segment from an external peer"));
    }
    Ok(path)
}

fn decode_aggregator(reader: &mut Reader<'_>, size: AsSize) -> Result<(Asn, Ipv4Addr), Malformed> {
    match (size.take(reader), reader.ipv4()) {
        (Some(0), _) => Err(Malformed(subcode::OPTIONAL, "AS number 0 (RFC 7607 §2)")),
        (Some(asn), Some(address)) => Ok((asn, address)),
        _ => Err(Malformed(subcode::LENGTH, "too short")),
    }
}

fn large_community(octets: &[u8]) -> Option<[u32; 3]> {
    let mut reader = Reader(octets);
    Some([reader.u32()?, reader.u32()?, reader.u32()?])
}

fn items<const N: usize>(value: &[u8]) -> impl Iterator<Item = [u8; N]> + '_ {
    value.as_chunks::<N>().0.iter().copied()
}

fn name(kind: u8) -> String {
    rule(kind).map_or_else(|| format!("attribute {kind}"), |rule| rule.name.into())
}
