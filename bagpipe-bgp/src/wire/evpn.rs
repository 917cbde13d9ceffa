//! E-VPN NLRI (RFC 7432 §7, RFC 9136 §3).

use std::fmt;
use std::net::IpAddr;

use bytes::{BufMut, Bytes, BytesMut};
use serde::Serialize;

use super::reader::Reader;
use super::text::{Hex, hex};
use crate::types::{EthernetSegmentId, EthernetTagId, IpPrefix, LabelField, MacAddr, RouteDistinguisher};

/// An E-VPN route.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(tag = "type", rename_all = "kebab-case")]
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
        /// Prefix.
        prefix: IpPrefix,
        /// Gateway address of the same IP version, unspecified if none; not part of the key.
        gateway: IpAddr,
        /// MPLS label or VNI; not part of the key.
        label: LabelField,
    },
    /// A type that this speaker does not know, kept as it is.
    Unknown {
        /// Route type.
        route_type: u8,
        /// Route type specific part.
        #[serde(serialize_with = "hex")]
        value: Bytes,
    },
}

/// What an IP prefix route is resolved to, before its next hop is (RFC 9136 §3.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum OverlayIndex {
    /// Nothing: the label, and with VXLAN the Router's MAC community, lead to the VRF (RFC 9136 §4.4.1). In the
    /// interface-ful model the Router's MAC is looked up in turn (RFC 9136 §4.4.3).
    None,
    /// The MAC/IP route of this address (RFC 9136 §4.1, §4.4.2).
    Gateway(IpAddr),
    /// The Ethernet auto-discovery route of this segment (RFC 9136 §4.3).
    Segment(EthernetSegmentId),
}

const ETHERNET_AUTO_DISCOVERY: u8 = 1;
const MAC_IP: u8 = 2;
const INCLUSIVE_MULTICAST: u8 = 3;
const ETHERNET_SEGMENT: u8 = 4;
const IP_PREFIX: u8 = 5;
/// Octets of a MAC/IP route with neither an IP address nor a second label.
const MAC_LENGTH: usize = 33;

impl EvpnRoute {
    /// The route of one NLRI in `block`: its type, and the part of it that its length bounds.
    ///
    /// # Errors
    ///
    /// What is wrong: RFC 7432 §7 gives each type its fields, and all lengths have to agree with them.
    #[inline]
    pub(super) fn decode(route_type: u8, value: &[u8], block: &Bytes) -> Result<Self, &'static str> {
        let mut reader = Reader(value);
        let route = match route_type {
            ETHERNET_AUTO_DISCOVERY => decode_auto_discovery(&mut reader),
            MAC_IP => decode_mac_ip(&mut reader),
            INCLUSIVE_MULTICAST => decode_inclusive_multicast(&mut reader),
            ETHERNET_SEGMENT => decode_ethernet_segment(&mut reader),
            IP_PREFIX => decode_ip_prefix(&mut reader),
            // Whoever does not know a type passes over it (RFC 7606 §5.4); a reflector may keep it.
            _ => return Ok(Self::Unknown { route_type, value: block.slice_ref(value) }),
        };
        match route {
            Some(route) if reader.is_empty() => Ok(route),
            _ => Err("lengths do not fit the route type (RFC 7432 §7, RFC 9136 §3.1)"),
        }
    }

    /// The route at the start of `bytes` and its octets, if it is of the type and the length that most are of: its fields are
    /// at known places.
    #[inline]
    pub(super) fn usual(bytes: &[u8]) -> Option<(Self, usize)> {
        let length = canonical(bytes)?;
        let mut reader = Reader(bytes.first_chunk::<{ 2 + MAC_LENGTH }>()?.get(2..)?);
        Some((decode_mac_ip(&mut reader)?, length))
    }

    /// Writes route type, length and route.
    pub fn encode(&self, out: &mut BytesMut) {
        let start = out.len();
        out.put_slice(&[self.route_type(), 0]);
        match self {
            Self::EthernetAutoDiscovery { rd, esi, tag, label } => {
                put_start(out, *rd, Some(*esi), *tag);
                out.put_slice(&label.0);
            }
            Self::MacIp { rd, esi, tag, mac, ip, label, ip_label } => {
                put_start(out, *rd, Some(*esi), *tag);
                out.put_u8(48);
                out.put_slice(&mac.0);
                match ip {
                    Some(ip) => put_address(out, *ip),
                    None => out.put_u8(0),
                }
                out.put_slice(&label.0);
                if let Some(label) = ip_label {
                    out.put_slice(&label.0);
                }
            }
            Self::InclusiveMulticast { rd, tag, originator } => {
                put_start(out, *rd, None, *tag);
                put_address(out, *originator);
            }
            Self::EthernetSegment { rd, esi, originator } => {
                out.put_slice(&rd.0);
                out.put_slice(&esi.0);
                put_address(out, *originator);
            }
            Self::IpPrefix { rd, esi, tag, prefix, gateway, label } => {
                put_start(out, *rd, Some(*esi), *tag);
                out.put_u8(prefix.length());
                put_octets(out, prefix.address());
                put_octets(out, *gateway);
                out.put_slice(&label.0);
            }
            Self::Unknown { value, .. } => out.put_slice(value),
        }
        let length = u8::try_from(out.len() - start - 2).unwrap_or(u8::MAX);
        out.truncate(start + 2 + usize::from(length));
        if let Some(field) = out.get_mut(start + 1) {
            *field = length;
        }
    }

    /// How an IP prefix route is resolved: the ESI and the gateway are never set at the same time
    /// (RFC 9136 §3.1). `None` if they are, so that the route is to be treated as withdrawn, and for other types.
    #[must_use]
    pub fn overlay_index(&self) -> Option<OverlayIndex> {
        let Self::IpPrefix { esi, gateway, .. } = self else { return None };
        match (*esi == EthernetSegmentId::ZERO, gateway.is_unspecified()) {
            (true, true) => Some(OverlayIndex::None),
            (true, false) => Some(OverlayIndex::Gateway(*gateway)),
            (false, true) => Some(OverlayIndex::Segment(*esi)),
            (false, false) => None,
        }
    }

    /// The route type (RFC 7432 §7, RFC 9136 §3).
    #[must_use]
    pub const fn route_type(&self) -> u8 {
        match self {
            Self::EthernetAutoDiscovery { .. } => ETHERNET_AUTO_DISCOVERY,
            Self::MacIp { .. } => MAC_IP,
            Self::InclusiveMulticast { .. } => INCLUSIVE_MULTICAST,
            Self::EthernetSegment { .. } => ETHERNET_SEGMENT,
            Self::IpPrefix { .. } => IP_PREFIX,
            Self::Unknown { route_type, .. } => *route_type,
        }
    }
}

/// How many octets the route at the start of `bytes` has, if it is a MAC/IP route without IP address and second label:
/// all of its fields stand in it as [`EvpnRoute::encode`] writes them.
#[inline]
pub(super) fn canonical(bytes: &[u8]) -> Option<usize> {
    const LENGTH: usize = 2 + MAC_LENGTH;
    // RFC 7432 §7.2: the lengths of the two addresses are 48 bits and nothing.
    let octets = bytes.first_chunk::<LENGTH>()?;
    let lengths = (octets[0], usize::from(octets[1]), octets[24], octets[31]);
    (lengths == (MAC_IP, MAC_LENGTH, 48, 0)).then_some(LENGTH)
}

fn decode_auto_discovery(reader: &mut Reader<'_>) -> Option<EvpnRoute> {
    let (rd, esi, tag) = take_start(reader)?;
    Some(EvpnRoute::EthernetAutoDiscovery { rd, esi, tag, label: take_label(reader)? })
}

#[inline]
fn decode_mac_ip(reader: &mut Reader<'_>) -> Option<EvpnRoute> {
    let (rd, esi, tag) = take_start(reader)?;
    // RFC 7432 §7.2: the length of a MAC address is always 48 bits.
    let [48, mac @ ..] = reader.array::<7>()? else { return None };
    let ip = match reader.u8()? {
        0 => None,
        bits => Some(take_address(reader, bits)?),
    };
    let label = take_label(reader)?;
    let ip_label = if reader.is_empty() { None } else { Some(take_label(reader)?) };
    Some(EvpnRoute::MacIp { rd, esi, tag, mac: MacAddr(mac), ip, label, ip_label })
}

fn decode_inclusive_multicast(reader: &mut Reader<'_>) -> Option<EvpnRoute> {
    let (rd, tag, bits) = (RouteDistinguisher(reader.array()?), reader.u32()?, reader.u8()?);
    Some(EvpnRoute::InclusiveMulticast { rd, tag, originator: take_address(reader, bits)? })
}

fn decode_ethernet_segment(reader: &mut Reader<'_>) -> Option<EvpnRoute> {
    let (rd, esi) = (RouteDistinguisher(reader.array()?), EthernetSegmentId(reader.array()?));
    let bits = reader.u8()?;
    Some(EvpnRoute::EthernetSegment { rd, esi, originator: take_address(reader, bits)? })
}

/// The family is told by the length alone: 34 octets with IPv4, 58 with IPv6 (RFC 9136 §3.1).
fn decode_ip_prefix(reader: &mut Reader<'_>) -> Option<EvpnRoute> {
    let octets = match reader.0.len() {
        34 => 4,
        58 => 16,
        _ => return None,
    };
    let (rd, esi, tag) = take_start(reader)?;
    let length = reader.u8()?;
    let prefix = IpPrefix::new(reader.address(octets)?, length)?;
    let gateway = reader.address(octets)?;
    Some(EvpnRoute::IpPrefix { rd, esi, tag, prefix, gateway, label: take_label(reader)? })
}

#[inline]
fn take_start(reader: &mut Reader<'_>) -> Option<(RouteDistinguisher, EthernetSegmentId, EthernetTagId)> {
    Some((RouteDistinguisher(reader.array()?), EthernetSegmentId(reader.array()?), reader.u32()?))
}

#[inline]
fn take_label(reader: &mut Reader<'_>) -> Option<LabelField> {
    reader.array().map(LabelField)
}

fn put_start(out: &mut BytesMut, rd: RouteDistinguisher, esi: Option<EthernetSegmentId>, tag: EthernetTagId) {
    out.put_slice(&rd.0);
    if let Some(esi) = esi {
        out.put_slice(&esi.0);
    }
    out.put_u32(tag);
}

/// An address after its length in bits (RFC 7432 §7).
fn take_address(reader: &mut Reader<'_>, bits: u8) -> Option<IpAddr> {
    match bits {
        32 => reader.address(4),
        128 => reader.address(16),
        _ => None,
    }
}

fn put_address(out: &mut BytesMut, address: IpAddr) {
    out.put_u8(if address.is_ipv4() { 32 } else { 128 });
    put_octets(out, address);
}

fn put_octets(out: &mut BytesMut, address: IpAddr) {
    match address {
        IpAddr::V4(address) => out.put_slice(&address.octets()),
        IpAddr::V6(address) => out.put_slice(&address.octets()),
    }
}

impl fmt::Display for EvpnRoute {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::EthernetAutoDiscovery { rd, esi, tag, label } => {
                write!(f, "ethernet-ad rd {rd} esi {esi} tag {tag} label {label}")
            }
            Self::MacIp { rd, esi, tag, mac, ip, label, ip_label } => {
                write!(f, "mac-ip {mac}")?;
                if let Some(ip) = ip {
                    write!(f, " {ip}")?;
                }
                write!(f, " rd {rd} tag {tag} label {label}")?;
                if let Some(label) = ip_label {
                    write!(f, " ip-label {label}")?;
                }
                if *esi != EthernetSegmentId::ZERO {
                    write!(f, " esi {esi}")?;
                }
                Ok(())
            }
            Self::InclusiveMulticast { rd, tag, originator } => {
                write!(f, "multicast {originator} rd {rd} tag {tag}")
            }
            Self::EthernetSegment { rd, esi, originator } => {
                write!(f, "ethernet-segment {esi} {originator} rd {rd}")
            }
            Self::IpPrefix { rd, esi, tag, prefix, gateway, label } => {
                write!(f, "ip-prefix {prefix} rd {rd} tag {tag} label {label}")?;
                if !gateway.is_unspecified() {
                    write!(f, " gateway {gateway}")?;
                }
                if *esi != EthernetSegmentId::ZERO {
                    write!(f, " esi {esi}")?;
                }
                Ok(())
            }
            Self::Unknown { route_type, value } => write!(f, "type-{route_type} {}", Hex(value)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_prefix_is_resolved_by_one_index() {
        let index = |segment, gateway: [u8; 4]| {
            let route = EvpnRoute::IpPrefix {
                rd: RouteDistinguisher([0; 8]),
                esi: EthernetSegmentId([segment; 10]),
                tag: 0,
                prefix: IpPrefix::host([192, 0, 2, 1].into()),
                gateway: gateway.into(),
                label: LabelField([0, 0, 1]),
            };
            route.overlay_index()
        };
        assert_eq!(index(0, [0; 4]), Some(OverlayIndex::None));
        assert_eq!(index(0, [10, 0, 0, 1]), Some(OverlayIndex::Gateway([10, 0, 0, 1].into())));
        assert_eq!(index(7, [0; 4]), Some(OverlayIndex::Segment(EthernetSegmentId([7; 10]))));
        assert_eq!(index(7, [10, 0, 0, 1]), None);
    }
}
