//! Writing path attributes.

use std::iter::Peekable;
use std::slice;

use bytes::BufMut;

use super::as_path::AsSize;
use super::rules::{self, flag, rule};
use super::{Attributes, Origin, RawAttribute};
use crate::types::Asn;
use crate::wire::Context;

/// All attributes but MP_REACH_NLRI, in the order of their types.
pub(in crate::wire) fn encode(attributes: &Attributes, context: &Context) -> Vec<u8> {
    let unknown = attributes.unknown.iter().peekable();
    let mut writer = Writer { attributes, context, unknown, out: Vec::with_capacity(128) };
    writer.known();
    writer.unknown_below(None);
    writer.out
}

/// One attribute: header and value.
pub(in crate::wire) fn put(out: &mut Vec<u8>, flags: u8, kind: u8, value: &[u8]) {
    put_header(out, flags, kind, value.len());
    out.put_slice(value);
}

/// Flags, type and length, the length extended only where one octet does not do (RFC 4271 §4.3).
pub(in crate::wire) fn put_header(out: &mut Vec<u8>, flags: u8, kind: u8, length: usize) {
    let flags = flags & !flag::EXTENDED_LENGTH;
    match u8::try_from(length) {
        Ok(length) => out.put_slice(&[flags, kind, length]),
        Err(_) => {
            out.put_slice(&[flags | flag::EXTENDED_LENGTH, kind]);
            // A longer value fits in no message: the limit of the message stops it.
            out.put_u16(u16::try_from(length).unwrap_or(u16::MAX));
        }
    }
}

struct Writer<'a> {
    attributes: &'a Attributes,
    context: &'a Context,
    /// The unknown attributes that are still to be written, in the order of their types.
    unknown: Peekable<slice::Iter<'a, RawAttribute>>,
    out: Vec<u8>,
}

impl Writer<'_> {
    fn known(&mut self) {
        let attributes = self.attributes;
        let internal = self.context.internal;
        let size = AsSize::of(self.context.four_octet_as);

        let origin = match attributes.origin {
            Origin::Igp => 0,
            Origin::Egp => 1,
            Origin::Incomplete => 2,
        };
        self.put(rules::ORIGIN, &[origin]);
        let mut path = Vec::new();
        attributes.as_path.encode(&mut path, size);
        self.put(rules::AS_PATH, &path);
        if let Some(med) = attributes.med {
            self.put(rules::MULTI_EXIT_DISC, &med.to_be_bytes());
        }
        // RFC 4271 §5.1.5: LOCAL_PREF is not for external peers.
        if let Some(local_pref) = attributes.local_pref.filter(|_| internal) {
            self.put(rules::LOCAL_PREF, &local_pref.to_be_bytes());
        }
        if attributes.atomic_aggregate {
            self.put(rules::ATOMIC_AGGREGATE, &[]);
        }
        if let Some((asn, address)) = attributes.aggregator {
            let mut value = Vec::new();
            size.put(&mut value, asn);
            value.put_slice(&address.octets());
            self.put(rules::AGGREGATOR, &value);
        }
        self.put_list(rules::COMMUNITIES, attributes.communities.iter().map(|c| c.to_be_bytes()));
        // RFC 4456 §8: these two are of the AS that reflects.
        if internal {
            if let Some(originator) = attributes.originator_id {
                self.put(rules::ORIGINATOR_ID, &originator.octets());
            }
            self.put_list(
                rules::CLUSTER_LIST,
                attributes.cluster_list.iter().map(std::net::Ipv4Addr::octets),
            );
        }
        self.put_list(rules::EXTENDED_COMMUNITIES, attributes.extended_communities.iter().map(|c| c.0));
        if size == AsSize::Two {
            self.four_octet_forms();
        }
        if let Some(tunnel) = &attributes.pmsi_tunnel {
            let mut value = Vec::new();
            tunnel.encode(&mut value);
            self.put(rules::PMSI_TUNNEL, &value);
        }
        let large = attributes.large_communities.iter().flatten().map(|number| number.to_be_bytes());
        self.put_list(rules::LARGE_COMMUNITIES, large);
    }

    /// Those that come before an attribute of the given type.
    fn unknown_below(&mut self, kind: Option<u8>) {
        while let Some(raw) = self.unknown.next_if(|raw| kind.is_none_or(|kind| raw.kind < kind)) {
            // RFC 4271 §5: who passes on what it does not know says that the information may be partial.
            put(&mut self.out, raw.flags | flag::PARTIAL, raw.kind, &raw.value);
        }
    }

    /// AS4_PATH and AS4_AGGREGATOR, for what the two-octet forms could not say (RFC 6793 §4.2.2).
    fn four_octet_forms(&mut self) {
        if let Some(path) = self.attributes.as_path.as4_path() {
            let mut value = Vec::new();
            path.encode(&mut value, AsSize::Four);
            self.put(rules::AS4_PATH, &value);
        }
        if let Some((asn, address)) = self.attributes.aggregator.filter(|(asn, _)| *asn > Asn::from(u16::MAX))
        {
            let mut value = asn.to_be_bytes().to_vec();
            value.put_slice(&address.octets());
            self.put(rules::AS4_AGGREGATOR, &value);
        }
    }

    fn put(&mut self, kind: u8, value: &[u8]) {
        self.unknown_below(Some(kind));
        let flags = rule(kind).map_or(flag::OPTIONAL, |rule| rule.class.flags());
        put(&mut self.out, flags, kind, value);
    }

    fn put_list<const N: usize>(&mut self, kind: u8, items: impl Iterator<Item = [u8; N]>) {
        let value: Vec<u8> = items.flatten().collect();
        if !value.is_empty() {
            self.put(kind, &value);
        }
    }
}
