//! The outer headers of an encapsulated frame (RFC 7348 §5).

use bagpipe_common::Encap;

use crate::header::{Ethernet, Ipv4, Ipv6, Udp, Vxlan, ethertype, fragment, protocol};

/// Ethernet, IPv4, UDP and VXLAN.
#[repr(C, align(2))]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OverIpv4 {
    /// Ethernet.
    pub ethernet: Ethernet,
    /// IPv4.
    pub ip: Ipv4,
    /// UDP.
    pub udp: Udp,
    /// VXLAN.
    pub vxlan: Vxlan,
}

/// Ethernet, IPv6, UDP and VXLAN.
#[repr(C, align(2))]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OverIpv6 {
    /// Ethernet.
    pub ethernet: Ethernet,
    /// IPv6.
    pub ip: Ipv6,
    /// UDP.
    pub udp: Udp,
    /// VXLAN.
    pub vxlan: Vxlan,
}

/// Bytes before the inner frame over IPv4.
pub const OVER_IPV4: usize = size_of::<OverIpv4>();
/// Bytes before the inner frame over IPv6.
pub const OVER_IPV6: usize = size_of::<OverIpv6>();

/// What the outer headers take from the inner frame and its destination.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Inner {
    /// Length of the inner frame, from its Ethernet header on.
    pub length: u16,
    /// Hash of its flow.
    pub hash: u32,
    /// Traffic class of its IP packet, zero if it has none.
    pub traffic_class: u8,
    /// VXLAN network identifier to send with.
    pub vni: u32,
    /// UDP destination port.
    pub port: u16,
}

impl OverIpv4 {
    /// The headers for a frame. The UDP checksum is zero (RFC 7348 §5), DSCP and ECN are the inner packet's
    /// (RFC 6040 §4.1, normal mode), and routers must not fragment (RFC 7348 §4.3).
    #[inline(always)]
    #[must_use]
    pub fn new(encap: &Encap, inner: Inner) -> Self {
        let ip = Ipv4 {
            version_length: 0x45,
            traffic_class: inner.traffic_class,
            total_length: (inner.length + (OVER_IPV4 - size_of::<Ethernet>()) as u16).to_be_bytes(),
            identification: [0, 0],
            fragment: fragment::DF.to_be_bytes(),
            ttl: encap.ttl,
            protocol: protocol::UDP,
            checksum: [0, 0],
            source: ipv4(&encap.local),
            destination: ipv4(&encap.remote),
        };
        Self {
            ethernet: ethernet(encap, ethertype::IPV4),
            ip: ip.summed(),
            udp: udp(inner),
            vxlan: Vxlan::new(inner.vni),
        }
    }
}

impl OverIpv6 {
    /// The headers for a frame. As over IPv4; the zero UDP checksum follows RFC 6935 and RFC 6936, and the flow
    /// label carries the hash of the inner flow (RFC 6438 §3).
    #[inline(always)]
    #[must_use]
    pub fn new(encap: &Encap, inner: Inner) -> Self {
        let class = inner.traffic_class as u32;
        let udp = udp(inner);
        Self {
            ethernet: ethernet(encap, ethertype::IPV6),
            ip: Ipv6 {
                version_class_flow: (6 << 28 | class << 20 | inner.hash & 0xf_ffff).to_be_bytes(),
                payload_length: udp.length,
                next_header: protocol::UDP,
                hop_limit: encap.ttl,
                source: encap.local,
                destination: encap.remote,
            },
            udp,
            vxlan: Vxlan::new(inner.vni),
        }
    }
}

pub(crate) const fn ethernet(encap: &Encap, kind: u16) -> Ethernet {
    Ethernet { destination: encap.destination_mac, source: encap.source_mac, ethertype: kind.to_be_bytes() }
}

#[inline(always)]
const fn udp(inner: Inner) -> Udp {
    let headers = size_of::<Udp>() + size_of::<Vxlan>();
    Udp {
        source: source_port(inner.hash).to_be_bytes(),
        destination: inner.port.to_be_bytes(),
        length: (inner.length + headers as u16).to_be_bytes(),
        checksum: [0, 0],
    }
}

/// The source port for a flow: in the dynamic range, so that routers spread flows (RFC 7348 §5).
#[inline(always)]
#[must_use]
pub const fn source_port(hash: u32) -> u16 {
    0xc000 | ((hash ^ hash >> 16) & 0x3fff) as u16
}

#[inline(always)]
pub(crate) const fn ipv4(address: &[u8; 16]) -> [u8; 4] {
    [address[12], address[13], address[14], address[15]]
}

#[cfg(test)]
mod tests {
    use super::*;

    const INNER: Inner = Inner { length: 98, hash: 0x1234_5678, traffic_class: 0xb9, vni: 0x102, port: 4789 };

    fn encap() -> Encap {
        Encap {
            local: bagpipe_common::mapped([10, 0, 0, 1]),
            remote: bagpipe_common::mapped([10, 0, 0, 2]),
            destination_mac: [2; 6],
            source_mac: [4; 6],
            ttl: 64,
            ..Encap::default()
        }
    }

    #[test]
    fn lengths_are_those_of_the_headers() {
        assert_eq!((OVER_IPV4, OVER_IPV6), (50, 70));
    }

    #[test]
    fn over_ipv4() {
        let outer = OverIpv4::new(&encap(), INNER);
        assert_eq!(outer.ip.sum(), 0xffff);
        assert_eq!(u16::from_be_bytes(outer.ip.total_length), 20 + 8 + 8 + 98);
        assert_eq!(u16::from_be_bytes(outer.udp.length), 8 + 8 + 98);
        assert_eq!(outer.ip.traffic_class, 0xb9);
        assert_eq!((outer.ip.source, outer.ip.destination), ([10, 0, 0, 1], [10, 0, 0, 2]));
        assert_eq!(outer.vxlan, Vxlan { flags: [8, 0, 0, 0], vni: [0, 1, 2, 0] });
    }

    #[test]
    fn over_ipv6() {
        let outer = OverIpv6::new(&Encap { local: [1; 16], remote: [2; 16], ..encap() }, INNER);
        assert_eq!(outer.ip.traffic_class(), 0xb9);
        assert_eq!(outer.ip.version_class_flow[0] >> 4, 6);
        assert_eq!(u16::from_be_bytes(outer.ip.payload_length), 8 + 8 + 98);
    }

    #[test]
    fn source_ports_are_dynamic_and_differ() {
        let ports: std::collections::BTreeSet<u16> =
            (0..10_000u32).map(|flow| source_port(flow.wrapping_mul(0x9e37_79b1))).collect();
        assert!(ports.len() > 5_000);
        assert!(ports.iter().all(|port| *port >= 49_152));
    }
}
