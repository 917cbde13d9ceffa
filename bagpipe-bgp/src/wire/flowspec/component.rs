//! The components of a flow specification: a field of the packet, and what it has to be (RFC 8955 §4.2.2, RFC 8956 §3).

use std::fmt;
use std::net::IpAddr;

use bytes::{BufMut, BytesMut};

use super::term::{self, Bitmask, Numeric, Term};
use crate::types::{IpPrefix, IpVersion};
use crate::wire::reader::Reader;

const DESTINATION: u8 = 1;
const SOURCE: u8 = 2;

/// A field of a packet, and what it has to be.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Component {
    /// Type 1: the destination address.
    Destination(FlowPrefix),
    /// Type 2: the source address.
    Source(FlowPrefix),
    /// A number; one of the terms, or of the groups of terms with "and" between them, has to hold.
    Numeric(NumericField, Vec<Numeric>),
    /// Bits, likewise.
    Bitmask(BitmaskField, Vec<Bitmask>),
}

/// Bits of an address, from an offset to a length (RFC 8956 §3.1). With IPv4 the offset is zero.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct FlowPrefix {
    prefix: IpPrefix,
    offset: u8,
}

impl FlowPrefix {
    /// The bits of a prefix from an offset on; those before it may be anything. `None` if nothing would be left, or
    /// for an offset in an IPv4 prefix.
    #[must_use]
    pub fn new(prefix: IpPrefix, offset: u8) -> Option<Self> {
        let whole = offset == 0;
        let part = prefix.version() == IpVersion::V6 && offset < prefix.length();
        (whole || part).then(|| Self { prefix: without_first(prefix, offset), offset })
    }

    /// The prefix, with the bits before the offset zero.
    #[must_use]
    pub const fn prefix(&self) -> IpPrefix {
        self.prefix
    }

    /// The first bit that counts.
    #[must_use]
    pub const fn offset(&self) -> u8 {
        self.offset
    }

    fn take(version: IpVersion, reader: &mut Reader<'_>) -> Result<Self, &'static str> {
        const SHORT: &str = "a prefix overruns the NLRI";
        let length = reader.u8().ok_or(SHORT)?;
        let offset = match version {
            IpVersion::V4 => 0,
            IpVersion::V6 => reader.u8().ok_or(SHORT)?,
        };
        // RFC 8956 §3.1: both zero, or bits between them.
        let bits = length.checked_sub(offset).filter(|bits| *bits > 0 || length == 0);
        let bits = bits.ok_or("a prefix of which its offset leaves nothing (RFC 8956 §3.1)")?;
        let octets = reader.take(usize::from(bits.div_ceil(8))).ok_or(SHORT)?;
        let prefix = match version {
            IpVersion::V4 => IpPrefix::v4(u32::from_be_bytes(padded(octets)), length),
            IpVersion::V6 => {
                let pattern = u128::from_be_bytes(padded(octets));
                IpPrefix::v6(pattern.checked_shr(offset.into()).unwrap_or(0), length)
            }
        };
        Ok(Self { prefix: prefix.ok_or("a prefix longer than an address")?, offset })
    }

    fn encode(&self, out: &mut BytesMut) {
        let (length, offset) = (self.prefix.length(), self.offset);
        out.put_u8(length);
        let octets = usize::from(length.saturating_sub(offset).div_ceil(8));
        match self.prefix.address() {
            IpAddr::V4(address) => out.extend(address.octets().into_iter().take(octets)),
            IpAddr::V6(address) => {
                out.put_u8(offset);
                let pattern = address.to_bits().checked_shl(offset.into()).unwrap_or(0);
                out.extend(pattern.to_be_bytes().into_iter().take(octets));
            }
        }
    }
}

/// The first octets, zero where there are none, and nothing of those that are too many.
fn padded<const N: usize>(octets: &[u8]) -> [u8; N] {
    let mut padded = [0; N];
    padded.iter_mut().zip(octets).for_each(|(octet, received)| *octet = *received);
    padded
}

fn without_first(prefix: IpPrefix, bits: u8) -> IpPrefix {
    match prefix.address() {
        IpAddr::V6(address) => {
            let kept = u128::MAX.checked_shr(bits.into()).unwrap_or(0);
            IpPrefix::v6(address.to_bits() & kept, prefix.length()).unwrap_or(prefix)
        }
        IpAddr::V4(_) => prefix,
    }
}

macro_rules! fields {
    ($(#[$about:meta])* $fields:ident { $($(#[$doc:meta])* $name:ident = $kind:literal $text:literal,)* }) => {
        $(#[$about])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum $fields { $($(#[$doc])* $name = $kind,)* }

        impl $fields {
            const fn of(kind: u8) -> Option<Self> {
                match kind { $($kind => Some(Self::$name),)* _ => None }
            }

            const fn name(self) -> &'static str {
                match self { $(Self::$name => $text,)* }
            }
        }
    };
}

fields! {
    /// A field that is a number, with the type of its component.
    NumericField {
        /// IP protocol; with IPv6 the upper layer protocol.
        Protocol = 3 "protocol",
        /// Either port.
        Port = 4 "port",
        /// Destination port.
        DestinationPort = 5 "destination-port",
        /// Source port.
        SourcePort = 6 "source-port",
        /// ICMP type.
        IcmpType = 7 "icmp-type",
        /// ICMP code.
        IcmpCode = 8 "icmp-code",
        /// Length of the packet, from the IP header on.
        PacketLength = 10 "packet-length",
        /// Differentiated services code point.
        Dscp = 11 "dscp",
        /// Flow label, of IPv6 alone (RFC 8956 §3.7).
        FlowLabel = 13 "flow-label",
    }
}

fields! {
    /// A field that is a set of bits, with the type of its component.
    BitmaskField {
        /// Flags of TCP.
        TcpFlags = 9 "tcp-flags",
        /// What the packet is of a fragmented one: 1 don't fragment, 2 fragment, 4 the first, 8 the last.
        Fragment = 12 "fragment",
    }
}

impl Component {
    /// The type of the component.
    #[must_use]
    pub const fn kind(&self) -> u8 {
        match self {
            Self::Destination(_) => DESTINATION,
            Self::Source(_) => SOURCE,
            Self::Numeric(field, _) => *field as u8,
            Self::Bitmask(field, _) => *field as u8,
        }
    }

    /// The name of the field.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Destination(_) => "destination",
            Self::Source(_) => "source",
            Self::Numeric(field, _) => field.name(),
            Self::Bitmask(field, _) => field.name(),
        }
    }

    /// What the field has to be, in words.
    #[must_use]
    pub fn condition(&self) -> String {
        struct Terms<'a, T>(&'a [T]);
        impl<T: Term> fmt::Display for Terms<'_, T> {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                term::write(self.0, f)
            }
        }
        match self {
            Self::Destination(prefix) | Self::Source(prefix) => prefix.to_string(),
            Self::Numeric(_, terms) => Terms(terms).to_string(),
            Self::Bitmask(_, terms) => Terms(terms).to_string(),
        }
    }

    pub(super) fn take(version: IpVersion, reader: &mut Reader<'_>) -> Result<Self, &'static str> {
        const SHORT: &str = "a component overruns the NLRI";
        let kind = reader.u8().ok_or(SHORT)?;
        match kind {
            DESTINATION => FlowPrefix::take(version, reader).map(Self::Destination),
            SOURCE => FlowPrefix::take(version, reader).map(Self::Source),
            _ => match (NumericField::of(kind), BitmaskField::of(kind)) {
                (Some(field), _) => Ok(Self::Numeric(field, term::take(reader).ok_or(SHORT)?)),
                (_, Some(field)) => Ok(Self::Bitmask(field, term::take(reader).ok_or(SHORT)?)),
                (None, None) => Err("a component of an unknown type"),
            },
        }
    }

    /// Whether the IP version has the field, and the values as many octets as they must.
    pub(super) fn check(&self, version: IpVersion) -> Result<(), &'static str> {
        let widest = |octets: usize| match self {
            Self::Numeric(_, terms) => terms.iter().all(|term| term.octets() <= octets),
            Self::Bitmask(_, terms) => terms.iter().all(|term| term.octets() <= octets),
            Self::Destination(_) | Self::Source(_) => true,
        };
        match self {
            Self::Destination(prefix) | Self::Source(prefix) if prefix.prefix.version() != version => {
                Err("a prefix of the other IP version")
            }
            Self::Destination(_) | Self::Source(_) => Ok(()),
            Self::Numeric(NumericField::FlowLabel, _) if version == IpVersion::V4 => {
                Err("a flow label in IPv4 (RFC 8956 §3.7)")
            }
            Self::Numeric(_, terms) if terms.is_empty() => Err("a component without terms"),
            Self::Bitmask(_, terms) if terms.is_empty() => Err("a component without terms"),
            Self::Numeric(NumericField::Dscp, _) if !widest(1) => {
                Err("a DSCP of more than one octet (RFC 8955 §4.2.2.11)")
            }
            Self::Bitmask(BitmaskField::TcpFlags, _) if !widest(2) => {
                Err("TCP flags of more than two octets (RFC 8955 §4.2.2.9)")
            }
            Self::Bitmask(BitmaskField::Fragment, _) if !widest(1) => {
                Err("fragment bits of more than one octet (RFC 8955 §4.2.2.12)")
            }
            Self::Numeric(..) | Self::Bitmask(..) => Ok(()),
        }
    }

    pub(super) fn encode(&self, out: &mut BytesMut) {
        out.put_u8(self.kind());
        match self {
            Self::Destination(prefix) | Self::Source(prefix) => prefix.encode(out),
            Self::Numeric(_, terms) => term::put(terms, out),
            Self::Bitmask(_, terms) => term::put(terms, out),
        }
    }
}

impl fmt::Display for FlowPrefix {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.prefix.fmt(f)?;
        if self.offset == 0 { Ok(()) } else { write!(f, " from bit {}", self.offset) }
    }
}

impl fmt::Display for Component {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.name(), self.condition())
    }
}
