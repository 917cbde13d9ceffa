//! The identifiers of BGP VPNs, as types that cannot be confused.

use std::fmt;
use std::net::Ipv4Addr;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

mod label;
mod prefix;

pub use label::{Label, LabelField};
pub use prefix::{IpPrefix, IpVersion};

/// An autonomous system number, four octets (RFC 6793).
pub type Asn = u32;

/// A BGP identifier (RFC 6286): four octets, written as an IPv4 address, never zero.
pub type RouterId = Ipv4Addr;

/// Why a text is not one of this module's identifiers.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("'{text}' is not a {what}; expected {expected}")]
pub struct ParseError {
    what: &'static str,
    text: String,
    expected: &'static str,
}

impl ParseError {
    fn new(what: &'static str, text: &str, expected: &'static str) -> Self {
        Self { what, text: text.to_owned(), expected }
    }
}

/// Serialize and deserialize as the text of `Display` and `FromStr`.
macro_rules! serde_as_text {
    ($($type:ty),*) => { $(
        impl Serialize for $type {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }

        impl<'de> Deserialize<'de> for $type {
            fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let text = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
                text.parse().map_err(serde::de::Error::custom)
            }
        }
    )* };
}

serde_as_text!(MacAddr, RouteTarget, RouteDistinguisher, EthernetSegmentId, Family, IpPrefix);

/// An address family and subsequent address family (RFC 4760 §3).
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Family {
    /// Address family identifier.
    pub afi: u16,
    /// Subsequent address family identifier.
    pub safi: u8,
}

impl Family {
    /// IPv4 unicast, the family of an UPDATE without MP_REACH_NLRI.
    pub const IPV4_UNICAST: Self = Self { afi: 1, safi: 1 };
    /// L2VPN E-VPN (RFC 7432 §7).
    pub const EVPN: Self = Self { afi: 25, safi: 70 };
    /// Route target membership (RFC 4684 §4).
    pub const ROUTE_TARGET: Self = Self { afi: 1, safi: 132 };
    /// VPN-IPv4 unicast (RFC 4364 §4.3.4).
    pub const VPNV4: Self = Self { afi: 1, safi: 128 };
    /// VPN-IPv6 unicast (RFC 4659 §3.2).
    pub const VPNV6: Self = Self { afi: 2, safi: 128 };

    /// Flow specifications of VPNs, IPv4 (RFC 8955 §8).
    pub const FLOWSPEC_VPNV4: Self = Self { afi: 1, safi: 134 };
    /// Flow specifications of VPNs, IPv6 (RFC 8956 §2).
    pub const FLOWSPEC_VPNV6: Self = Self { afi: 2, safi: 134 };

    const NAMES: [(Self, &'static str); 7] = [
        (Self::IPV4_UNICAST, "ipv4-unicast"),
        (Self::EVPN, "evpn"),
        (Self::ROUTE_TARGET, "rtc"),
        (Self::VPNV4, "vpnv4"),
        (Self::VPNV6, "vpnv6"),
        (Self::FLOWSPEC_VPNV4, "flowspec-vpnv4"),
        (Self::FLOWSPEC_VPNV6, "flowspec-vpnv6"),
    ];
}

impl Family {
    /// The IP version of a family of flow specifications; `None` for others.
    #[must_use]
    pub const fn flow_specifications(self) -> Option<IpVersion> {
        match self {
            Self::FLOWSPEC_VPNV4 => Some(IpVersion::V4),
            Self::FLOWSPEC_VPNV6 => Some(IpVersion::V6),
            _ => None,
        }
    }
}

impl fmt::Display for Family {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match Self::NAMES.iter().find(|(family, _)| family == self) {
            Some((_, name)) => f.write_str(name),
            None => write!(f, "{}/{}", self.afi, self.safi),
        }
    }
}

impl fmt::Debug for Family {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

const FAMILY_FORMS: &str = "evpn, rtc, vpnv4, vpnv6, flowspec-vpnv4, flowspec-vpnv6 or AFI/SAFI in numbers";

impl FromStr for Family {
    type Err = ParseError;

    fn from_str(text: &str) -> Result<Self, ParseError> {
        if let Some((family, _)) = Self::NAMES.iter().find(|(_, name)| *name == text) {
            return Ok(*family);
        }
        text.split_once('/')
            .and_then(|(afi, safi)| Some(Self { afi: afi.parse().ok()?, safi: safi.parse().ok()? }))
            .ok_or_else(|| ParseError::new("family", text, FAMILY_FORMS))
    }
}

/// A MAC address.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct MacAddr(pub [u8; 6]);

impl MacAddr {
    /// Whether this is a group address, which no interface has (IEEE 802, I/G bit).
    #[must_use]
    pub const fn is_multicast(&self) -> bool {
        self.0[0] & 1 != 0
    }

    /// Whether all octets are zero.
    #[must_use]
    pub fn is_zero(&self) -> bool {
        self.0 == [0; 6]
    }
}

impl fmt::Display for MacAddr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [a, b, c, d, e, g] = self.0;
        write!(f, "{a:02x}:{b:02x}:{c:02x}:{d:02x}:{e:02x}:{g:02x}")
    }
}

impl fmt::Debug for MacAddr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for MacAddr {
    type Err = ParseError;

    /// Six octets in hexadecimal, separated by `:` or `-`.
    fn from_str(text: &str) -> Result<Self, ParseError> {
        let error = || ParseError::new("MAC address", text, "six octets such as 02:00:5e:00:53:01");
        let mut octets = [0; 6];
        let mut parts = text.split([':', '-']);
        for octet in &mut octets {
            let part = parts.next().filter(|part| (1..=2).contains(&part.len())).ok_or_else(error)?;
            *octet = u8::from_str_radix(part, 16).map_err(|_| error())?;
        }
        if parts.next().is_some() { Err(error()) } else { Ok(Self(octets)) }
    }
}

/// A VXLAN network identifier, 24 bits (RFC 7348 §5).
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "u32", into = "u32")]
pub struct Vni(u32);

impl Vni {
    /// The largest VNI.
    pub const MAX: u32 = 0x00ff_ffff;

    /// A VNI, if the number fits in 24 bits.
    #[must_use]
    pub const fn new(number: u32) -> Option<Self> {
        if number <= Self::MAX { Some(Self(number)) } else { None }
    }

    /// The VNI as a number.
    #[must_use]
    pub const fn get(self) -> u32 {
        self.0
    }

    /// The three octets, in network order.
    #[must_use]
    pub const fn octets(self) -> [u8; 3] {
        let [_, a, b, c] = self.0.to_be_bytes();
        [a, b, c]
    }

    /// From three octets in network order.
    #[must_use]
    pub const fn from_octets([a, b, c]: [u8; 3]) -> Self {
        Self(u32::from_be_bytes([0, a, b, c]))
    }
}

impl TryFrom<u32> for Vni {
    type Error = ParseError;

    fn try_from(number: u32) -> Result<Self, ParseError> {
        Self::new(number)
            .ok_or_else(|| ParseError::new("VNI", &number.to_string(), "a number from 0 to 16777215"))
    }
}

impl From<Vni> for u32 {
    fn from(vni: Vni) -> Self {
        vni.0
    }
}

impl fmt::Display for Vni {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl fmt::Debug for Vni {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// An Ethernet tag, 32 bits (RFC 7432 §5): identifies a broadcast domain in an E-VPN instance.
pub type EthernetTagId = u32;

/// An Ethernet segment identifier, ten octets (RFC 7432 §5); zero for a single-homed site.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
pub struct EthernetSegmentId(pub [u8; 10]);

impl EthernetSegmentId {
    /// The reserved value of a single-homed site.
    pub const ZERO: Self = Self([0; 10]);
}

impl fmt::Display for EthernetSegmentId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (position, octet) in self.0.iter().enumerate() {
            write!(f, "{}{octet:02x}", if position == 0 { "" } else { ":" })?;
        }
        Ok(())
    }
}

impl fmt::Debug for EthernetSegmentId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for EthernetSegmentId {
    type Err = ParseError;

    fn from_str(text: &str) -> Result<Self, ParseError> {
        let error = || ParseError::new("Ethernet segment identifier", text, "ten octets separated by ':'");
        let mut octets = [0; 10];
        let mut parts = text.split(':');
        for octet in &mut octets {
            let part = parts.next().ok_or_else(error)?;
            *octet = u8::from_str_radix(part, 16).map_err(|_| error())?;
        }
        if parts.next().is_some() { Err(error()) } else { Ok(Self(octets)) }
    }
}

/// The administrator and the number of a route target, route origin or route distinguisher: the three layouts
/// that RFC 4360 §3 and RFC 4364 §4.2 share.
pub(crate) enum Assigned {
    TwoOctetAs(u16, u32),
    Ipv4(Ipv4Addr, u16),
    FourOctetAs(u32, u16),
}

impl Assigned {
    pub(crate) fn from_octets(layout: u8, [a, b, c, d, e, f]: [u8; 6]) -> Option<Self> {
        match layout {
            0 => Some(Self::TwoOctetAs(u16::from_be_bytes([a, b]), u32::from_be_bytes([c, d, e, f]))),
            1 => Some(Self::Ipv4(Ipv4Addr::new(a, b, c, d), u16::from_be_bytes([e, f]))),
            2 => Some(Self::FourOctetAs(u32::from_be_bytes([a, b, c, d]), u16::from_be_bytes([e, f]))),
            _ => None,
        }
    }

    /// The layout number and the six octets.
    fn octets(&self) -> (u8, [u8; 6]) {
        match self {
            Self::TwoOctetAs(asn, number) => {
                let ([a, b], [c, d, e, f]) = (asn.to_be_bytes(), number.to_be_bytes());
                (0, [a, b, c, d, e, f])
            }
            Self::Ipv4(address, number) => {
                let ([a, b, c, d], [e, f]) = (address.octets(), number.to_be_bytes());
                (1, [a, b, c, d, e, f])
            }
            Self::FourOctetAs(asn, number) => {
                let ([a, b, c, d], [e, f]) = (asn.to_be_bytes(), number.to_be_bytes());
                (2, [a, b, c, d, e, f])
            }
        }
    }

    fn parse(text: &str) -> Option<Self> {
        let (administrator, number) = text.rsplit_once(':')?;
        if administrator.contains('.') {
            return Some(Self::Ipv4(administrator.parse().ok()?, number.parse().ok()?));
        }
        // A trailing "L" asks for the four-octet layout of a number that would fit in two.
        let (digits, four_octets) = match administrator.strip_suffix('L') {
            Some(digits) => (digits, true),
            None => (administrator, false),
        };
        let asn: u32 = digits.parse().ok()?;
        match u16::try_from(asn) {
            Ok(asn) if !four_octets => Some(Self::TwoOctetAs(asn, number.parse().ok()?)),
            _ => Some(Self::FourOctetAs(asn, number.parse().ok()?)),
        }
    }
}

impl fmt::Display for Assigned {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TwoOctetAs(asn, number) => write!(f, "{asn}:{number}"),
            Self::Ipv4(address, number) => write!(f, "{address}:{number}"),
            Self::FourOctetAs(asn, number) if *asn > u32::from(u16::MAX) => write!(f, "{asn}:{number}"),
            Self::FourOctetAs(asn, number) => write!(f, "{asn}L:{number}"),
        }
    }
}

const ASSIGNED_FORMS: &str = "AS:NUMBER or A.B.C.D:NUMBER, such as 64512:100";

/// A route target extended community of any of the three kinds (RFC 4360 §4, RFC 5668 §2): its eight octets.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct RouteTarget([u8; 8]);

impl RouteTarget {
    /// The sub-type of route targets.
    pub const SUB_TYPE: u8 = 0x02;

    /// From the eight octets of an extended community, if it is a route target.
    #[must_use]
    pub fn from_octets(octets: [u8; 8]) -> Option<Self> {
        (octets[0] <= 2 && octets[1] == Self::SUB_TYPE).then_some(Self(octets))
    }

    /// The eight octets of the extended community.
    #[must_use]
    pub const fn octets(self) -> [u8; 8] {
        self.0
    }
}

impl fmt::Display for RouteTarget {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [layout, _, a, b, c, d, e, g] = self.0;
        match Assigned::from_octets(layout, [a, b, c, d, e, g]) {
            Some(assigned) => assigned.fmt(f),
            None => write!(f, "{:02x?}", self.0),
        }
    }
}

impl fmt::Debug for RouteTarget {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for RouteTarget {
    type Err = ParseError;

    fn from_str(text: &str) -> Result<Self, ParseError> {
        let assigned =
            Assigned::parse(text).ok_or_else(|| ParseError::new("route target", text, ASSIGNED_FORMS))?;
        let (layout, [a, b, c, d, e, f]) = assigned.octets();
        Ok(Self([layout, Self::SUB_TYPE, a, b, c, d, e, f]))
    }
}

/// A route distinguisher (RFC 4364 §4.2): eight octets, of any type.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct RouteDistinguisher(pub [u8; 8]);

impl RouteDistinguisher {
    /// Type 1: an IPv4 address and a number (RFC 7432 §7.9).
    #[must_use]
    pub const fn from_ipv4(address: Ipv4Addr, number: u16) -> Self {
        let ([a, b, c, d], [e, f]) = (address.octets(), number.to_be_bytes());
        Self([0, 1, a, b, c, d, e, f])
    }
}

impl fmt::Display for RouteDistinguisher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [high, layout, a, b, c, d, e, g] = self.0;
        match Assigned::from_octets(layout, [a, b, c, d, e, g]) {
            Some(assigned) if high == 0 => assigned.fmt(f),
            _ => write!(f, "{:02x?}", self.0),
        }
    }
}

impl fmt::Debug for RouteDistinguisher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for RouteDistinguisher {
    type Err = ParseError;

    fn from_str(text: &str) -> Result<Self, ParseError> {
        let assigned = Assigned::parse(text)
            .ok_or_else(|| ParseError::new("route distinguisher", text, ASSIGNED_FORMS))?;
        let (layout, [a, b, c, d, e, f]) = assigned.octets();
        Ok(Self([0, layout, a, b, c, d, e, f]))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn route_targets_of_all_kinds_are_read_and_printed() {
        for (text, octets) in [
            ("64512:100", [0, 2, 0xfc, 0, 0, 0, 0, 100]),
            ("10.0.0.1:7", [1, 2, 10, 0, 0, 1, 0, 7]),
            ("4200000000:9", [2, 2, 0xfa, 0x56, 0xea, 0, 0, 9]),
            ("100L:9", [2, 2, 0, 0, 0, 100, 0, 9]),
        ] {
            let target: RouteTarget = text.parse().unwrap();
            assert_eq!(target.octets(), octets);
            assert_eq!(target.to_string(), text);
        }
    }

    #[test]
    fn malformed_route_targets_are_refused() {
        for text in [
            "",
            "64512",
            "64512:",
            ":1",
            "a:1",
            "64512:4294967296",
            "10.0.0.1:65536",
            "4200000000:65536",
            "1:2:3",
        ] {
            assert!(text.parse::<RouteTarget>().is_err(), "{text}");
        }
    }

    #[test]
    fn malformed_mac_addresses_are_refused() {
        assert_eq!("02-00-00-00-00-0A".parse(), Ok(MacAddr([2, 0, 0, 0, 0, 10])));
        for text in [
            "",
            "02:00:00:00:00",
            "02:00:00:00:00:00:00",
            "02:00:00:00:00:100",
            "02:00:00:00:00:+1x",
            "020000000001",
        ] {
            assert!(text.parse::<MacAddr>().is_err(), "{text}");
        }
    }
}
