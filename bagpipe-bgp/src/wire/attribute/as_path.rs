//! AS_PATH in its two-octet and four-octet forms, and AS4_PATH (RFC 4271 §4.3, RFC 6793 §4.2).

use std::fmt;

use bytes::BufMut;

use crate::types::Asn;
use crate::wire::open::AS_TRANS;
use crate::wire::reader::Reader;
use crate::wire::text::{serialize_as_text, spaced};

const SET: u8 = 1;
const SEQUENCE: u8 = 2;
const CONFEDERATION_SEQUENCE: u8 = 3;
const CONFEDERATION_SET: u8 = 4;
/// The number of ASes that the one octet of a segment's length can say.
const MAX_SEGMENT: usize = 255;

/// One segment of AS_PATH (RFC 4271 §4.3).
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum AsSegment {
    /// An unordered set of ASes.
    Set(Vec<Asn>),
    /// An ordered sequence of ASes.
    Sequence(Vec<Asn>),
    /// A confederation segment (RFC 5065), kept as it is: its type (3 or 4) and its ASes.
    Confederation(u8, Vec<Asn>),
}

/// AS_PATH, in four-octet form (RFC 6793).
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct AsPath(pub Vec<AsSegment>);

/// Whether AS numbers have two or four octets.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum AsSize {
    Two,
    Four,
}

impl AsSize {
    pub(super) const fn of(four_octet_as: bool) -> Self {
        if four_octet_as { Self::Four } else { Self::Two }
    }

    pub(super) fn take(self, reader: &mut Reader<'_>) -> Option<Asn> {
        match self {
            Self::Two => reader.u16().map(Asn::from),
            Self::Four => reader.u32(),
        }
    }

    pub(super) fn put(self, out: &mut Vec<u8>, asn: Asn) {
        match self {
            Self::Two => out.put_u16(u16::try_from(asn).unwrap_or(AS_TRANS)),
            Self::Four => out.put_u32(asn),
        }
    }
}

impl AsPath {
    /// The length that counts in best path selection: a set counts as one AS, confederation segments as none
    /// (RFC 4271 §9.1.2.2 (a), RFC 5065 §5.3).
    #[must_use]
    pub fn length(&self) -> usize {
        self.0.iter().map(AsSegment::length).sum()
    }

    /// Whether an AS is anywhere in the path: a loop, if it is one's own (RFC 4271 §9.1.2).
    #[must_use]
    pub fn contains(&self, asn: Asn) -> bool {
        self.0.iter().any(|segment| segment.ases().contains(&asn))
    }

    /// Reads the attribute. Malformed are unknown segment types, empty segments and segments that overrun or
    /// underrun the attribute (RFC 7606 §7.2), and AS 0 (RFC 7607 §2).
    pub(super) fn decode(value: &[u8], size: AsSize) -> Result<Self, &'static str> {
        let mut reader = Reader(value);
        let mut segments = Vec::new();
        while !reader.is_empty() {
            let (Some(kind), Some(count)) = (reader.u8(), reader.u8()) else {
                return Err("segment ends before its length");
            };
            if count == 0 {
                return Err("empty segment");
            }
            let ases: Option<Vec<Asn>> = (0..count).map(|_| size.take(&mut reader)).collect();
            let ases = ases.ok_or("segment overruns the attribute")?;
            if ases.contains(&0) {
                return Err("AS number 0");
            }
            segments.push(match kind {
                SET => AsSegment::Set(ases),
                SEQUENCE => AsSegment::Sequence(ases),
                CONFEDERATION_SEQUENCE | CONFEDERATION_SET => AsSegment::Confederation(kind, ases),
                _ => return Err("unknown segment type"),
            });
        }
        Ok(Self(segments))
    }

    pub(super) fn encode(&self, out: &mut Vec<u8>, size: AsSize) {
        for segment in &self.0 {
            // A sequence too long for one segment goes on in the next, with the same meaning (RFC 4271 §5.1.2).
            for ases in segment.ases().chunks(MAX_SEGMENT) {
                out.put_slice(&[segment.kind(), u8::try_from(ases.len()).unwrap_or(u8::MAX)]);
                for asn in ases {
                    size.put(out, *asn);
                }
            }
        }
    }

    pub(super) fn has_confederation(&self) -> bool {
        self.0.iter().any(|segment| matches!(segment, AsSegment::Confederation(..)))
    }

    /// What AS4_PATH has to say to a two-octet speaker: the path without its confederation segments, if an AS
    /// in it does not fit (RFC 6793 §4.2.2).
    pub(super) fn as4_path(&self) -> Option<Self> {
        let segments: Vec<_> = self.without_confederation().0;
        let needed = segments.iter().flat_map(AsSegment::ases).any(|asn| *asn > Asn::from(u16::MAX));
        needed.then_some(Self(segments))
    }

    /// Such segments do not belong in AS4_PATH and are dropped from it (RFC 6793 §6).
    fn without_confederation(&self) -> Self {
        let keep = |segment: &&AsSegment| !matches!(segment, AsSegment::Confederation(..));
        Self(self.0.iter().filter(keep).cloned().collect())
    }

    /// The path that a two-octet speaker has passed on, with AS4_PATH put in the place of its tail
    /// (RFC 6793 §4.2.3).
    pub(super) fn merge(self, as4_path: &Self) -> Self {
        let tail = as4_path.without_confederation();
        // An AS4_PATH that is longer has been overtaken by an aggregation on the way: it says nothing.
        let Some(mut keep) = self.length().checked_sub(tail.length()) else { return self };
        let mut merged = Vec::new();
        for segment in self.0 {
            match segment {
                AsSegment::Confederation(..) => merged.push(segment),
                AsSegment::Sequence(mut ases) if keep > 0 => {
                    let whole = ases.len() <= keep;
                    ases.truncate(keep);
                    keep -= ases.len();
                    merged.push(AsSegment::Sequence(ases));
                    if !whole {
                        break;
                    }
                }
                AsSegment::Set(_) if keep > 0 => {
                    keep -= 1;
                    merged.push(segment);
                }
                AsSegment::Sequence(_) | AsSegment::Set(_) => break,
            }
        }
        let mut tail = tail.0.into_iter().peekable();
        // Two sequences in a row are one.
        if let Some(AsSegment::Sequence(head)) = merged.last_mut()
            && let Some(AsSegment::Sequence(ases)) =
                tail.next_if(|segment| matches!(segment, AsSegment::Sequence(_)))
        {
            head.extend(ases);
        }
        merged.extend(tail);
        Self(merged)
    }
}

impl AsSegment {
    fn ases(&self) -> &[Asn] {
        match self {
            Self::Set(ases) | Self::Sequence(ases) | Self::Confederation(_, ases) => ases,
        }
    }

    const fn kind(&self) -> u8 {
        match self {
            Self::Set(_) => SET,
            Self::Sequence(_) => SEQUENCE,
            Self::Confederation(kind, _) => *kind,
        }
    }

    fn length(&self) -> usize {
        match self {
            Self::Set(_) => 1,
            Self::Sequence(ases) => ases.len(),
            Self::Confederation(..) => 0,
        }
    }
}

impl fmt::Display for AsPath {
    /// As is usual: sequences bare, sets in braces, confederation segments in brackets.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        spaced(f, &self.0)
    }
}

impl fmt::Display for AsSegment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (open, close) = match self {
            Self::Sequence(_) => ("", ""),
            Self::Set(_) => ("{", "}"),
            Self::Confederation(CONFEDERATION_SET, _) => ("[", "]"),
            Self::Confederation(..) => ("(", ")"),
        };
        f.write_str(open)?;
        spaced(f, self.ases())?;
        f.write_str(close)
    }
}

serialize_as_text!(AsPath);
