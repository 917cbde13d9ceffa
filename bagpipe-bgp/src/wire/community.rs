//! Extended communities (RFC 4360, RFC 7153): eight octets, with accessors for those that E-VPN uses.

use crate::types::RouteTarget;

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
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
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

impl std::fmt::Debug for ExtendedCommunity {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:02x?}", self.0)
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
}
