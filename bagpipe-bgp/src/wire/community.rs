//! Extended communities (RFC 4360, RFC 7153): eight octets, with accessors for those that VPNs use.

use std::fmt;

use serde::Serialize;

use super::text::{Hex, serialize_as_text};
use crate::types::{Assigned, LabelField, MacAddr, RouteTarget};

/// An extended community, of any kind.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ExtendedCommunity(pub [u8; 8]);

/// Tunnel types of the Encapsulation community (RFC 9012 §4.1, IANA "BGP Tunnel Encapsulation Tunnel Types").
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TunnelType(pub u16);

impl TunnelType {
    /// GRE, with what the family of the route implies inside (RFC 9012 §3.2.6).
    pub const GRE: Self = Self(2);
    /// VXLAN.
    pub const VXLAN: Self = Self(8);
    /// MPLS, over whatever leads to the next hop.
    pub const MPLS: Self = Self(10);
    /// MPLS over GRE (RFC 4023).
    pub const MPLS_IN_GRE: Self = Self(11);
    /// MPLS over UDP (RFC 7510).
    pub const MPLS_IN_UDP: Self = Self(13);

    const NAMES: [(Self, &'static str); 5] = [
        (Self::GRE, "gre"),
        (Self::VXLAN, "vxlan"),
        (Self::MPLS, "mpls"),
        (Self::MPLS_IN_GRE, "mpls-in-gre"),
        (Self::MPLS_IN_UDP, "mpls-in-udp"),
    ];
}

/// Subtype of route targets (RFC 4360 §4).
const ROUTE_TARGET: u8 = 0x02;
/// Subtype of records of them.
const RT_RECORD: u8 = 0x13;

/// MAC Mobility (RFC 7432 §7.7).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct MacMobility {
    /// The MAC address is static and does not move.
    pub sticky: bool,
    /// Raised by one on each move.
    pub sequence: u32,
}

/// How a segment is used, and what frames from it carry (RFC 7432 §7.5).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EsiLabel {
    /// One of the nodes at a time forwards, not all of them.
    pub single_active: bool,
    /// The label of split horizon; of no use to VXLAN (RFC 8365 §8.3.1).
    pub label: LabelField,
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
        if let Some(origin) = self.as_route_origin() {
            return write!(f, "origin:{origin}");
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
        if let Some(target) = self.as_rt_record() {
            return write!(f, "rt-record:{target}");
        }
        if self.is_default_gateway() {
            return f.write_str("default-gateway");
        }
        if let Some(label) = self.as_esi_label() {
            let mode = if label.single_active { "single-active" } else { "all-active" };
            return write!(f, "esi-label:{}:{mode}", label.label);
        }
        if let Some(mac) = self.as_es_import() {
            return write!(f, "es-import:{mac}");
        }
        if let Some(action) = self.as_traffic_action() {
            return action.fmt(f);
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
        match Self::NAMES.iter().find(|(tunnel, _)| tunnel == self) {
            Some((_, name)) => f.write_str(name),
            None => self.0.fmt(f),
        }
    }
}

impl ExtendedCommunity {
    /// The Default Gateway community (RFC 7432 §7.8).
    pub const DEFAULT_GATEWAY: Self = Self([0x03, 0x0d, 0, 0, 0, 0, 0, 0]);

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

    /// The Consistent Hash Sort Order community (draft-ietf-bess-service-chaining §7.3): the place of a route among
    /// equal ones, for who distributes flows between them.
    #[must_use]
    pub const fn consistent_hash_sort_order(order: u32) -> Self {
        let [a, b, c, d] = order.to_be_bytes();
        Self([0x03, 0x14, a, b, c, d, 0, 0])
    }

    /// The place of a route among equal ones, if this is a Consistent Hash Sort Order community.
    #[must_use]
    pub const fn as_consistent_hash_sort_order(&self) -> Option<u32> {
        match self.0 {
            [0x03, 0x14, a, b, c, d, _, _] => Some(u32::from_be_bytes([a, b, c, d])),
            _ => None,
        }
    }

    /// The RT Record community (draft-ietf-bess-service-chaining §7.2): a route target that the route had before it was
    /// announced again. It is laid out as the route target, with another subtype.
    #[must_use]
    pub fn rt_record(target: RouteTarget) -> Self {
        let [kind, _, rest @ ..] = target.octets();
        let [a, b, c, d, e, f] = rest;
        Self([kind, RT_RECORD, a, b, c, d, e, f])
    }

    /// The route target, if this is an RT Record community.
    #[must_use]
    pub fn as_rt_record(&self) -> Option<RouteTarget> {
        match self.0 {
            [kind, RT_RECORD, a, b, c, d, e, f] => {
                RouteTarget::from_octets([kind, ROUTE_TARGET, a, b, c, d, e, f])
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

    /// The ESI Label community (RFC 7432 §7.5).
    #[must_use]
    pub const fn esi_label(EsiLabel { single_active, label: LabelField([a, b, c]) }: EsiLabel) -> Self {
        Self([0x06, 0x01, single_active as u8, 0, 0, a, b, c])
    }

    /// How a segment is used, if this is an ESI Label community.
    #[must_use]
    pub const fn as_esi_label(&self) -> Option<EsiLabel> {
        match self.0 {
            [0x06, 0x01, flags, _, _, a, b, c] => {
                Some(EsiLabel { single_active: flags & 1 != 0, label: LabelField([a, b, c]) })
            }
            _ => None,
        }
    }

    /// The ES-Import route target (RFC 7432 §7.6): those who are on the segment import it.
    #[must_use]
    pub const fn es_import(MacAddr([a, b, c, d, e, f]): MacAddr) -> Self {
        Self([0x06, 0x02, a, b, c, d, e, f])
    }

    /// The octets of a segment's identifier, if this is an ES-Import route target.
    #[must_use]
    pub const fn as_es_import(&self) -> Option<MacAddr> {
        match self.0 {
            [0x06, 0x02, a, b, c, d, e, f] => Some(MacAddr([a, b, c, d, e, f])),
            _ => None,
        }
    }

    /// Whether this is the Default Gateway community (RFC 7432 §7.8).
    #[must_use]
    pub const fn is_default_gateway(&self) -> bool {
        matches!(self.0, [0x03, 0x0d, ..])
    }

    /// The site of a Route Origin community, of any of the three kinds (RFC 4360 §5, RFC 5668 §3): also called
    /// Site of Origin (RFC 4364 §7).
    fn as_route_origin(&self) -> Option<Assigned> {
        match self.0 {
            [layout, 0x03, a, b, c, d, e, f] => Assigned::from_octets(layout, [a, b, c, d, e, f]),
            _ => None,
        }
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
        let segment = EsiLabel { single_active: true, label: LabelField([0, 0x1f, 0x40]) };
        assert_eq!(ExtendedCommunity::esi_label(segment).as_esi_label(), Some(segment));
        assert_eq!(ExtendedCommunity::es_import(mac).as_es_import(), Some(mac));
        for (community, text) in [
            (ExtendedCommunity::mac_mobility(mobility), "mac-mobility:7:sticky"),
            (ExtendedCommunity::router_mac(mac), "router-mac:02:00:00:00:00:01"),
            (vxlan, "encap:vxlan"),
            (ExtendedCommunity::encapsulation(TunnelType(2)), "encap:gre"),
            (ExtendedCommunity::encapsulation(TunnelType(11)), "encap:mpls-in-gre"),
            (ExtendedCommunity::encapsulation(TunnelType(13)), "encap:mpls-in-udp"),
            (ExtendedCommunity::encapsulation(TunnelType(19)), "encap:19"),
            (ExtendedCommunity::DEFAULT_GATEWAY, "default-gateway"),
            (ExtendedCommunity([0, 3, 0xfc, 0, 0, 0, 0, 9]), "origin:64512:9"),
            (ExtendedCommunity([1, 3, 10, 0, 0, 1, 0, 9]), "origin:10.0.0.1:9"),
            (ExtendedCommunity([2, 3, 0, 1, 0, 0, 0, 9]), "origin:65536:9"),
            (ExtendedCommunity([0, 2, 0xfc, 0, 0, 0, 0, 9]), "rt:64512:9"),
            (ExtendedCommunity([6, 1, 1, 0, 0, 0, 1, 0xf4]), "esi-label:500:single-active"),
            (ExtendedCommunity([6, 1, 0, 0, 0, 0, 1, 0xf4]), "esi-label:500:all-active"),
            (ExtendedCommunity::es_import(mac), "es-import:02:00:00:00:00:01"),
            (ExtendedCommunity::rt_record("64512:9".parse().unwrap()), "rt-record:64512:9"),
            (ExtendedCommunity::rt_record("10.0.0.1:9".parse().unwrap()), "rt-record:10.0.0.1:9"),
            (ExtendedCommunity([0x40, 1, 2, 3, 4, 5, 6, 7]), "0x4001020304050607"),
        ] {
            assert_eq!(community.to_string(), text);
        }
    }
}
