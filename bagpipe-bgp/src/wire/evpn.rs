//! E-VPN NLRI (RFC 7432 §7, RFC 9136 §3).

use std::net::IpAddr;

use bytes::Bytes;

use crate::types::{EthernetSegmentId, EthernetTagId, LabelField, MacAddr, RouteDistinguisher};

/// An E-VPN route.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum EvpnRoute {
    /// Type 1: Ethernet auto-discovery (RFC 7432 §7.1).
    EthernetAutoDiscovery {
        /// Route distinguisher.
        rd: RouteDistinguisher,
        /// Ethernet segment.
        esi: EthernetSegmentId,
        /// Ethernet tag; the largest value for a route per segment.
        tag: EthernetTagId,
        /// MPLS label or VNI.
        label: LabelField,
    },
    /// Type 2: MAC/IP advertisement (RFC 7432 §7.2).
    MacIp {
        /// Route distinguisher.
        rd: RouteDistinguisher,
        /// Ethernet segment; not part of the key.
        esi: EthernetSegmentId,
        /// Ethernet tag.
        tag: EthernetTagId,
        /// MAC address.
        mac: MacAddr,
        /// IP address, if any.
        ip: Option<IpAddr>,
        /// MPLS label or VNI of the bridge domain; not part of the key.
        label: LabelField,
        /// MPLS label or VNI of the IP VRF (RFC 9135 §4.1); not part of the key.
        ip_label: Option<LabelField>,
    },
    /// Type 3: inclusive multicast Ethernet tag (RFC 7432 §7.3).
    InclusiveMulticast {
        /// Route distinguisher.
        rd: RouteDistinguisher,
        /// Ethernet tag.
        tag: EthernetTagId,
        /// Originating router.
        originator: IpAddr,
    },
    /// Type 4: Ethernet segment (RFC 7432 §7.4).
    EthernetSegment {
        /// Route distinguisher.
        rd: RouteDistinguisher,
        /// Ethernet segment.
        esi: EthernetSegmentId,
        /// Originating router.
        originator: IpAddr,
    },
    /// Type 5: IP prefix (RFC 9136 §3.1).
    IpPrefix {
        /// Route distinguisher.
        rd: RouteDistinguisher,
        /// Ethernet segment; not part of the key.
        esi: EthernetSegmentId,
        /// Ethernet tag.
        tag: EthernetTagId,
        /// Network address, with the bits beyond `prefix_length` zero.
        prefix: IpAddr,
        /// Prefix length in bits.
        prefix_length: u8,
        /// Gateway address, unspecified if none; not part of the key.
        gateway: IpAddr,
        /// MPLS label or VNI; not part of the key.
        label: LabelField,
    },
    /// A type that this speaker does not know, kept as it is.
    Unknown {
        /// Route type.
        route_type: u8,
        /// Route type specific part.
        value: Bytes,
    },
}
