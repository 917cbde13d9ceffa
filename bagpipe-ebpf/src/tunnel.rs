//! Reading a tunnel header, the same at both hooks: what is for us, and from whom.

use bagpipe_common::{Address, DropReason, Settings, TunnelKey, mapped};
use bagpipe_packet::checksum;
use bagpipe_packet::ecn;
use bagpipe_packet::header::{
    ETHERNET, Ethernet, Ipv4, Ipv6, Tag, Udp, VXLAN_I, Vxlan, ethertype, fragment, is_tag, protocol,
};
use bagpipe_packet::outer::{OVER_IPV4, OVER_IPV6};

use crate::bytes::Bytes;
use crate::maps::{TUNNELS, VNIS, settings};

/// Bytes that must be readable for an untagged IPv4 packet over IPv4, and for the outer headers of any packet. What
/// more is read for others may have to be copied first, from where the kernel keeps the payload of a segment.
pub(crate) const READ_MOSTLY: usize = OVER_IPV4 + ETHERNET + size_of::<Ipv4>();
/// Bytes that must be readable for all that is read here.
pub(crate) const READ: usize = OVER_IPV6 + ETHERNET + 2 * size_of::<Tag>() + size_of::<Ipv6>();

/// An encapsulated frame for one of our instances, from a remote endpoint that may send to it.
#[derive(Clone, Copy)]
pub(crate) struct Arrival {
    /// The instance.
    pub(crate) vpn: u16,
    /// Bytes before the inner frame.
    pub(crate) outer: usize,
    /// DSCP and ECN of the outer header.
    pub(crate) traffic_class: u8,
}

impl Arrival {
    /// Whether nothing more is read than [`READ_MOSTLY`].
    #[inline(always)]
    pub(crate) fn is_read(&self, packet: Bytes) -> bool {
        self.outer == OVER_IPV4
            && packet
                .at::<Ethernet>(OVER_IPV4)
                .is_some_and(|inner| u16::from_be_bytes(inner.ethertype) == ethertype::IPV4)
    }
}

/// Reads the outer headers. `None`: the packet is none of ours.
#[inline(always)]
pub(crate) fn arrival(packet: Bytes, length: u32) -> Result<Option<Arrival>, DropReason> {
    let (Some(ethernet), Some(settings)) = (packet.at::<Ethernet>(0), settings()) else { return Ok(None) };
    match u16::from_be_bytes(ethernet.ethertype) {
        ethertype::IPV4 => over_ipv4(packet, length, settings),
        ethertype::IPV6 => over_ipv6(packet, length, settings),
        _ => Ok(None),
    }
}

#[inline(always)]
fn over_ipv4(packet: Bytes, length: u32, settings: &Settings) -> Result<Option<Arrival>, DropReason> {
    let Some(ip) = packet.at::<Ipv4>(ETHERNET) else { return Ok(None) };
    let fragment = u16::from_be_bytes(ip.fragment);
    // Only a first fragment has the port; the others follow it into the kernel, and expire without it.
    if ip.version_length != 0x45 || ip.protocol != protocol::UDP || fragment & fragment::OFFSET != 0 {
        return Ok(None);
    }
    let udp_at = ETHERNET + size_of::<Ipv4>();
    if ip.destination != settings.local_ipv4 || !is_vxlan(packet, udp_at, settings) {
        return Ok(None);
    }
    if fragment & fragment::MF != 0 {
        return Err(DropReason::OuterFragment);
    }
    if checksum::fold(checksum::sum(ip.bytes())) != 0xffff
        || ETHERNET as u32 + u32::from(u16::from_be_bytes(ip.total_length)) > length
    {
        return Err(DropReason::Malformed);
    }
    let traffic_class = ip.traffic_class;
    let vpn = instance(packet, udp_at, length, mapped(ip.source))?;
    Ok(Some(Arrival { vpn, outer: OVER_IPV4, traffic_class }))
}

#[inline(always)]
fn over_ipv6(packet: Bytes, length: u32, settings: &Settings) -> Result<Option<Arrival>, DropReason> {
    let Some(ip) = packet.at::<Ipv6>(ETHERNET) else { return Ok(None) };
    let next = ETHERNET + size_of::<Ipv6>();
    if ip.version_class_flow[0] >> 4 != 6 || ip.destination != settings.local_ipv6 {
        return Ok(None);
    }
    if ip.next_header == protocol::FRAGMENT {
        return fragment_over_ipv6(packet, next, settings);
    }
    if ip.next_header != protocol::UDP || !is_vxlan(packet, next, settings) {
        return Ok(None);
    }
    if (next as u32) + u32::from(u16::from_be_bytes(ip.payload_length)) > length {
        return Err(DropReason::Malformed);
    }
    let traffic_class = ip.traffic_class();
    let vpn = instance(packet, next, length, ip.source)?;
    Ok(Some(Arrival { vpn, outer: OVER_IPV6, traffic_class }))
}

/// A fragment header (RFC 8200 §4.5): next header, reserved, offset and flags, identification.
#[inline(always)]
fn fragment_over_ipv6(packet: Bytes, at: usize, settings: &Settings) -> Result<Option<Arrival>, DropReason> {
    let Some(header) = packet.at::<[u8; 8]>(at) else { return Ok(None) };
    let offset = u16::from_be_bytes([header[2], header[3]]) >> 3;
    if header[0] == protocol::UDP && offset == 0 && is_vxlan(packet, at + size_of::<[u8; 8]>(), settings) {
        return Err(DropReason::OuterFragment);
    }
    Ok(None)
}

/// Whether a UDP packet is VXLAN.
#[inline(always)]
fn is_vxlan(packet: Bytes, udp_at: usize, settings: &Settings) -> bool {
    packet.at::<Udp>(udp_at).is_some_and(|udp| u16::from_be_bytes(udp.destination) == settings.vxlan_port)
}

/// The instance that a VXLAN packet belongs to. Its UDP checksum may be left unchecked (RFC 7348 §5).
#[inline(always)]
fn instance(packet: Bytes, udp_at: usize, length: u32, remote: Address) -> Result<u16, DropReason> {
    let udp = packet.at::<Udp>(udp_at).ok_or(DropReason::Malformed)?;
    let udp_length = u32::from(u16::from_be_bytes(udp.length));
    if (udp_length as usize) < size_of::<Udp>() + size_of::<Vxlan>() + ETHERNET
        || udp_at as u32 + udp_length > length
    {
        return Err(DropReason::Malformed);
    }
    let vxlan = packet.at::<Vxlan>(udp_at + size_of::<Udp>()).ok_or(DropReason::Malformed)?;
    if vxlan.flags & VXLAN_I == 0 {
        return Err(DropReason::BadVxlanHeader);
    }
    let vni = u32::from_be_bytes([0, vxlan.vni[0], vxlan.vni[1], vxlan.vni[2]]);
    // SAFETY: a value of four bytes, copied at once.
    if let Some(tunnel) = unsafe { TUNNELS.get(TunnelKey { remote, vni }) } {
        return Ok(tunnel.vpn);
    }
    // SAFETY: only whether the key is there counts.
    Err(match unsafe { VNIS.get(vni) } {
        Some(_) => DropReason::UnknownEndpoint,
        None => DropReason::UnknownVni,
    })
}

/// The inner frame: its addresses, its tags, and where its network header is.
#[derive(Clone, Copy)]
pub(crate) struct Inner {
    /// The Ethernet header.
    pub(crate) ethernet: Ethernet,
    /// The tags behind it, and how many of the two there are.
    pub(crate) tags: [Tag; 2],
    /// See `tags`.
    pub(crate) tag_count: usize,
    /// EtherType behind the tags.
    pub(crate) ethertype: u16,
}

/// What an IP header of the inner frame must be changed to.
pub(crate) enum Congestion {
    /// Nothing.
    Unchanged,
    /// The first two bytes and the checksum of an IPv4 header.
    Ipv4([u8; 2], [u8; 2]),
    /// The first two bytes of an IPv6 header.
    Ipv6([u8; 2]),
}

impl Inner {
    /// Reads the frame that begins at `offset`.
    #[inline(always)]
    pub(crate) fn read(packet: Bytes, offset: usize) -> Result<Self, DropReason> {
        let ethernet = *packet.at::<Ethernet>(offset).ok_or(DropReason::Malformed)?;
        let none = Tag { control: [0; 2], ethertype: [0; 2] };
        let mut inner = Self {
            ethernet,
            tags: [none; 2],
            tag_count: 0,
            ethertype: u16::from_be_bytes(ethernet.ethertype),
        };
        if is_tag(inner.ethertype) {
            let first = *packet.at::<Tag>(offset + ETHERNET).ok_or(DropReason::Malformed)?;
            inner.tags[0] = first;
            inner.tag_count = 1;
            inner.ethertype = u16::from_be_bytes(first.ethertype);
            if is_tag(inner.ethertype) {
                let second =
                    *packet.at::<Tag>(offset + ETHERNET + size_of::<Tag>()).ok_or(DropReason::Malformed)?;
                inner.tags[1] = second;
                inner.tag_count = 2;
                inner.ethertype = u16::from_be_bytes(second.ethertype);
            }
        }
        Ok(inner)
    }

    /// Bytes from the start of the frame to its network header.
    #[inline(always)]
    pub(crate) fn link_length(&self) -> usize {
        ETHERNET + self.tag_count * size_of::<Tag>()
    }

    /// What the outer header's congestion mark makes of the IP header at `network` (RFC 6040 §4.2).
    #[inline(always)]
    pub(crate) fn congestion(
        &self,
        packet: Bytes,
        network: usize,
        outer: u8,
    ) -> Result<Congestion, DropReason> {
        match self.ethertype {
            ethertype::IPV4 => {
                let Some(ip) = packet.at::<Ipv4>(network) else { return Ok(Congestion::Unchanged) };
                let class = ecn::decapsulated(ip.traffic_class, outer).ok_or(DropReason::Ecn)?;
                if class == ip.traffic_class {
                    return Ok(Congestion::Unchanged);
                }
                let from = u16::from_be_bytes([ip.version_length, ip.traffic_class]);
                let to = u16::from_be_bytes([ip.version_length, class]);
                let checksum = checksum::updated(u16::from_be_bytes(ip.checksum), from, to);
                Ok(Congestion::Ipv4(to.to_be_bytes(), checksum.to_be_bytes()))
            }
            ethertype::IPV6 => {
                let Some(ip) = packet.at::<Ipv6>(network) else { return Ok(Congestion::Unchanged) };
                let class = ecn::decapsulated(ip.traffic_class(), outer).ok_or(DropReason::Ecn)?;
                if class == ip.traffic_class() {
                    return Ok(Congestion::Unchanged);
                }
                let [first, second, ..] = ip.version_class_flow;
                Ok(Congestion::Ipv6([first & 0xf0 | class >> 4, second & 0x0f | class << 4]))
            }
            _ => Ok(Congestion::Unchanged),
        }
    }
}
