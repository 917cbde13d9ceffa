//! Extended communities (RFC 4360, RFC 7153): eight octets, with accessors for those that E-VPN uses.

use std::fmt;

use serde::Serialize;

use super::text::{Hex, serialize_as_text};
use crate::types::{MacAddr, RouteTarget};

/// An extended community, of any kind.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ExtendedCommunity(pub [u8; 8]);

/// Tunnel types of the Encapsulation community (RFC 9012 §4.1, IANA "BGP Tunnel Encapsulation Tunnel Types").
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TunnelType(pub u16);

impl TunnelType {
    /// VXLAN.
    pub const VXLAN: Self = Self(8);
    /// MPLS.
    pub const MPLS: Self = Self(10);
}

/// MAC Mobility (RFC 7432 §7.7).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct MacMobility {
    /// The MAC address is static and does not move.
    pub sticky: bool,
    /// Raised by one on each move.
    pub sequence: u32,
}

impl From<RouteTarget> for ExtendedCommunity {
    fn from(target: RouteTarget) -> Self {
        Self(target.octets())
    }
}

impl fmt::Display for ExtendedCommunity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(target) = RouteTarget::from_octets(self.0) {
            return write!(f, "rt:{target}");
        }
        if let Some(tunnel) = self.as_encapsulation() {
            return write!(f, "encap:{tunnel}");
        }
        if let Some(mobility) = self.as_mac_mobility() {
            let sticky = if mobility.sticky { ":sticky" } else { "" };
            return write!(f, "mac-mobility:{}{sticky}", mobility.sequence);
        }
        if let Some(mac) = self.as_router_mac() {
            return write!(f, "router-mac:{mac}");
        }
        if self.is_default_gateway() {
            return f.write_str("default-gateway");
        }
        write!(f, "0x{}", Hex(&self.0))
    }
}

impl fmt::Debug for ExtendedCommunity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

serialize_as_text!(ExtendedCommunity, TunnelType);

impl fmt::Display for TunnelType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::VXLAN => f.write_str("vxlan"),
            Self::MPLS => f.write_str("mpls"),
            Self(other) => other.fmt(f),
        }
    }
}

impl ExtendedCommunity {
    /// The Encapsulation community (RFC 9012 §4.1).
    #[must_use]
    pub const fn encapsulation(tunnel: TunnelType) -> Self {
        let [high, low] = tunnel.0.to_be_bytes();
        Self([0x03, 0x0c, 0, 0, 0, 0, high, low])
    }

    /// The tunnel type, if this is an Encapsulation community.
    #[must_use]
    pub const fn as_encapsulation(&self) -> Option<TunnelType> {
        match self.0 {
            [0x03, 0x0c, _, _, _, _, high, low] => Some(TunnelType(u16::from_be_bytes([high, low]))),
            _ => None,
        }
    }

    /// The MAC Mobility community (RFC 7432 §7.7).
    #[must_use]
    pub const fn mac_mobility(mobility: MacMobility) -> Self {
        let [a, b, c, d] = mobility.sequence.to_be_bytes();
        Self([0x06, 0x00, mobility.sticky as u8, 0, a, b, c, d])
    }

    /// The sequence number and sticky flag, if this is a MAC Mobility community.
    #[must_use]
    pub const fn as_mac_mobility(&self) -> Option<MacMobility> {
        match self.0 {
            [0x06, 0x00, flags, _, a, b, c, d] => {
                Some(MacMobility { sticky: flags & 1 != 0, sequence: u32::from_be_bytes([a, b, c, d]) })
            }
            _ => None,
        }
    }

    /// The Router's MAC community (RFC 9135 §8.1).
    #[must_use]
    pub const fn router_mac(MacAddr([a, b, c, d, e, f]): MacAddr) -> Self {
        Self([0x06, 0x03, a, b, c, d, e, f])
    }

    /// The MAC address, if this is a Router's MAC community.
    #[must_use]
    pub const fn as_router_mac(&self) -> Option<MacAddr> {
        match self.0 {
            [0x06, 0x03, a, b, c, d, e, f] => Some(MacAddr([a, b, c, d, e, f])),
            _ => None,
        }
    }

    /// Whether this is the Default Gateway community (RFC 7432 §7.8).
    #[must_use]
    pub const fn is_default_gateway(&self) -> bool {
        matches!(self.0, [0x03, 0x0d, ..])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn communities_are_read_back_and_printed() {
        let mobility = MacMobility { sticky: true, sequence: 7 };
        let mac = MacAddr([2, 0, 0, 0, 0, 1]);
        assert_eq!(ExtendedCommunity::mac_mobility(mobility).as_mac_mobility(), Some(mobility));
        assert_eq!(ExtendedCommunity::router_mac(mac).as_router_mac(), Some(mac));
        let vxlan = ExtendedCommunity::encapsulation(TunnelType::VXLAN);
        assert_eq!(vxlan.as_encapsulation(), Some(TunnelType::VXLAN));
        assert_eq!(vxlan.as_mac_mobility(), None);
        for (community, text) in [
            (ExtendedCommunity::mac_mobility(mobility), "mac-mobility:7:sticky"),
            (ExtendedCommunity::router_mac(mac), "router-mac:02:00:00:00:00:01"),
            (vxlan, "encap:vxlan"),
            (ExtendedCommunity::encapsulation(TunnelType(13)), "encap:13"),
            (ExtendedCommunity([3, 13, 0, 0, 0, 0, 0, 0]), "default-gateway"),
            (ExtendedCommunity([0, 2, 0xfc, 0, 0, 0, 0, 9]), "rt:64512:9"),
            (ExtendedCommunity([0x40, 1, 2, 3, 4, 5, 6, 7]), "0x4001020304050607"),
        ] {
            assert_eq!(community.to_string(), text);
        }
    }
}
