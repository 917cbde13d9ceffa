//! Flow specifications of VPNs (RFC 8955 §8, RFC 8956): which packets, as an ordered list of components behind a route
//! distinguisher. What becomes of the packets stands in extended communities ([`TrafficAction`](super::TrafficAction)).

mod component;
mod order;
mod term;

use std::fmt;

use bytes::{BufMut, BytesMut};
use serde::ser::{Serialize, SerializeMap, SerializeStruct, Serializer};

pub use component::{BitmaskField, Component, FlowPrefix, NumericField};
pub use term::{Bitmask, Comparison, Numeric, holds};

use super::reader::Reader;
use super::text::spaced;
use crate::types::{Family, IpVersion, RouteDistinguisher};

/// Octets of the longest NLRI: its length has 12 bits (RFC 8955 §4.1).
const MAX_LENGTH: usize = 0x0fff;

/// Shorter ones have one octet of length (RFC 8955 §4.1).
const ONE_OCTET: usize = 240;

/// A flow specification of a VPN.
///
/// Its components are in the order of their types, each type once, as other speakers compare them (RFC 8955 §4.2).
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct FlowSpecRoute {
    rd: RouteDistinguisher,
    version: IpVersion,
    components: Vec<Component>,
}

impl FlowSpecRoute {
    /// A flow specification for packets of an IP version, of which all components hold.
    ///
    /// # Errors
    ///
    /// What is wrong: a component twice, one that the IP version does not have, a value that its field cannot have, or
    /// more than an NLRI has room for.
    pub fn new(
        rd: RouteDistinguisher,
        version: IpVersion,
        mut components: Vec<Component>,
    ) -> Result<Self, &'static str> {
        components.sort_by_key(Component::kind);
        let route = Self { rd, version, components };
        route.check()?;
        let mut value = BytesMut::new();
        route.encode_value(&mut value);
        if value.len() <= MAX_LENGTH { Ok(route) } else { Err("longer than an NLRI may be (RFC 8955 §4.1)") }
    }

    /// Its route distinguisher.
    #[must_use]
    pub const fn rd(&self) -> RouteDistinguisher {
        self.rd
    }

    /// The IP version of the packets.
    #[must_use]
    pub const fn version(&self) -> IpVersion {
        self.version
    }

    /// What has to hold for a packet, all of it; any packet of the version if there is nothing.
    #[must_use]
    pub fn components(&self) -> &[Component] {
        &self.components
    }

    /// The family whose messages carry this route.
    #[must_use]
    pub const fn family(&self) -> Family {
        match self.version {
            IpVersion::V4 => Family::FLOWSPEC_VPNV4,
            IpVersion::V6 => Family::FLOWSPEC_VPNV6,
        }
    }

    /// The route in a whole NLRI of its family.
    ///
    /// # Errors
    ///
    /// What is wrong. Of a component of an unknown type not even the length is known, so that the route can not be
    /// used (RFC 8955 §10, RFC 7606 §5.3).
    pub(super) fn decode(version: IpVersion, nlri: &[u8]) -> Result<Self, &'static str> {
        let value = length(nlri).and_then(|(octets, _)| nlri.get(octets..)).ok_or("no length")?;
        let mut reader = Reader(value);
        let rd = RouteDistinguisher(reader.array().ok_or("too short for a route distinguisher")?);
        let mut components = Vec::new();
        while !reader.is_empty() {
            components.push(Component::take(version, &mut reader)?);
        }
        let route = Self { rd, version, components };
        route.check()?;
        Ok(route)
    }

    /// RFC 8955 §4.2: the types ascend, and each is there once.
    fn check(&self) -> Result<(), &'static str> {
        let kinds: Vec<_> = self.components.iter().map(Component::kind).collect();
        if !kinds.is_sorted_by(|first, second| first < second) {
            return Err("components not in ascending order, each once (RFC 8955 §4.2)");
        }
        self.components.iter().try_for_each(|component| component.check(self.version))
    }

    /// Writes length, route distinguisher and components.
    pub fn encode(&self, out: &mut BytesMut) {
        let mut value = BytesMut::new();
        self.encode_value(&mut value);
        match u8::try_from(value.len()) {
            Ok(length) if usize::from(length) < ONE_OCTET => out.put_u8(length),
            // Both ways to make one see to it that there are no more than 12 bits.
            _ => out.put_u16(0xf000 | u16::try_from(value.len()).unwrap_or(u16::MAX)),
        }
        out.put_slice(&value);
    }

    fn encode_value(&self, out: &mut BytesMut) {
        out.put_slice(&self.rd.0);
        self.components.iter().for_each(|component| component.encode(out));
    }
}

/// How many octets the first NLRI has for its length, and what they say (RFC 8955 §4.1).
pub(super) fn length(bytes: &[u8]) -> Option<(usize, usize)> {
    match bytes {
        [high @ 0xf0..=0xff, low, ..] => Some((2, usize::from(u16::from_be_bytes([high & 0x0f, *low])))),
        [0xf0..=0xff, ..] | [] => None,
        [length, ..] => Some((1, usize::from(*length))),
    }
}

impl fmt::Display for FlowSpecRoute {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} rd {} ", self.family(), self.rd)?;
        if self.components.is_empty() { f.write_str("any") } else { spaced(f, &self.components) }
    }
}

/// The components as a map from field to condition.
impl Serialize for FlowSpecRoute {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        struct Rule<'a>(&'a [Component]);
        impl Serialize for Rule<'_> {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                let mut map = serializer.serialize_map(Some(self.0.len()))?;
                for component in self.0 {
                    map.serialize_entry(component.name(), &component.condition())?;
                }
                map.end()
            }
        }
        let mut route = serializer.serialize_struct("FlowSpecRoute", 3)?;
        route.serialize_field("rd", &self.rd)?;
        route.serialize_field("family", &self.family())?;
        route.serialize_field("match", &Rule(&self.components))?;
        route.end()
    }
}

#[cfg(test)]
mod tests;
