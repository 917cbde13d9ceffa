//! Headers as they stand on the wire. Fields are bytes in network order. A header begins at an even address, as all
//! do whose packet does: so two bytes are read at once.

/// An Ethernet address.
pub type Mac = [u8; 6];

/// EtherTypes.
pub mod ethertype {
    /// IPv4.
    pub const IPV4: u16 = 0x0800;
    /// ARP.
    pub const ARP: u16 = 0x0806;
    /// IPv6.
    pub const IPV6: u16 = 0x86dd;
    /// A customer VLAN tag (IEEE 802.1Q §9.5).
    pub const C_TAG: u16 = 0x8100;
    /// A service VLAN tag (IEEE 802.1Q §9.5).
    pub const S_TAG: u16 = 0x88a8;
    /// MPLS, from a router that switches by the label on top (RFC 3032 §5, RFC 5332 §3).
    pub const MPLS: u16 = 0x8847;
}

/// IP protocol numbers and IPv6 next headers.
pub mod protocol {
    /// IPv6 hop-by-hop options (RFC 8200 §4.3).
    pub const HOP_BY_HOP: u8 = 0;
    /// ICMP.
    pub const ICMP: u8 = 1;
    /// TCP.
    pub const TCP: u8 = 6;
    /// UDP.
    pub const UDP: u8 = 17;
    /// IPv6 routing header (RFC 8200 §4.4).
    pub const ROUTING: u8 = 43;
    /// IPv6 fragment header (RFC 8200 §4.5).
    pub const FRAGMENT: u8 = 44;
    /// GRE (RFC 2784).
    pub const GRE: u8 = 47;
    /// ICMPv6.
    pub const ICMPV6: u8 = 58;
    /// IPv6 destination options (RFC 8200 §4.6).
    pub const DESTINATION_OPTIONS: u8 = 60;
    /// SCTP (RFC 9260), whose header begins with ports, too.
    pub const SCTP: u8 = 132;
}

/// ICMP and ICMPv6 types, and the codes of those that have several (RFC 792, RFC 4443).
pub mod icmp {
    /// Echo reply.
    pub const ECHO_REPLY: u8 = 0;
    /// Destination unreachable.
    pub const UNREACHABLE: u8 = 3;
    /// Its code: the network is.
    pub const NET_UNREACHABLE: u8 = 0;
    /// Its code: fragmentation needed, and not allowed.
    pub const FRAGMENTATION_NEEDED: u8 = 4;
    /// Echo request.
    pub const ECHO: u8 = 8;
    /// Time exceeded.
    pub const TIME_EXCEEDED: u8 = 11;
    /// ICMPv6: destination unreachable; its code zero: no route.
    pub const UNREACHABLE_V6: u8 = 1;
    /// ICMPv6: packet too big.
    pub const TOO_BIG_V6: u8 = 2;
    /// ICMPv6: time exceeded.
    pub const TIME_EXCEEDED_V6: u8 = 3;
    /// ICMPv6: echo request.
    pub const ECHO_V6: u8 = 128;
    /// ICMPv6: echo reply.
    pub const ECHO_REPLY_V6: u8 = 129;

    /// Whether an ICMP message is an error: unreachable, source quench, redirect, time exceeded, parameter problem
    /// (RFC 1122 §3.2.2).
    #[inline(always)]
    #[must_use]
    pub const fn is_error(kind: u8) -> bool {
        matches!(kind, 3..=5 | 11 | 12)
    }

    /// Whether an ICMPv6 message is an error (RFC 4443 §2.1) or a redirect, which is not answered with one either
    /// (RFC 4443 §2.4 e.2).
    #[inline(always)]
    #[must_use]
    pub const fn is_error_v6(kind: u8) -> bool {
        matches!(kind, 0..=127 | 137)
    }
}

/// Length of an Ethernet header without tags.
pub const ETHERNET: usize = size_of::<Ethernet>();

/// An Ethernet header without tags.
#[repr(C, align(2))]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ethernet {
    /// Destination.
    pub destination: Mac,
    /// Source.
    pub source: Mac,
    /// EtherType, or a length below 1536.
    pub ethertype: [u8; 2],
}

/// What follows the EtherType of a VLAN tag.
#[repr(C, align(2))]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tag {
    /// Priority, drop-eligible bit and VLAN identifier.
    pub control: [u8; 2],
    /// EtherType of what follows.
    pub ethertype: [u8; 2],
}

/// An IPv4 header without options (RFC 791 §3.1).
#[repr(C, align(2))]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ipv4 {
    /// Version and header length.
    pub version_length: u8,
    /// Type of service: DSCP and ECN.
    pub traffic_class: u8,
    /// Total length.
    pub total_length: [u8; 2],
    /// Identification.
    pub identification: [u8; 2],
    /// Flags and fragment offset.
    pub fragment: [u8; 2],
    /// Time to live.
    pub ttl: u8,
    /// Protocol.
    pub protocol: u8,
    /// Header checksum.
    pub checksum: [u8; 2],
    /// Source address.
    pub source: [u8; 4],
    /// Destination address.
    pub destination: [u8; 4],
}

/// Bits of [`Ipv4::fragment`].
pub mod fragment {
    /// Don't fragment.
    pub const DF: u16 = 0x4000;
    /// More fragments.
    pub const MF: u16 = 0x2000;
    /// The offset, in units of eight bytes.
    pub const OFFSET: u16 = 0x1fff;
}

impl Ipv4 {
    /// The sum of the header's words as they lie in memory, which is as good as in network order (RFC 1071 §2 B): all
    /// ones if the checksum is right. Field by field, since the compiler for BPF makes a loop over single bytes of a
    /// sum over bytes.
    #[inline(always)]
    #[must_use]
    pub const fn sum(&self) -> u16 {
        let [a, b, c, d] = self.source;
        let [e, f, g, h] = self.destination;
        let sum = word([self.version_length, self.traffic_class])
            + word(self.total_length)
            + word(self.identification)
            + word(self.fragment)
            + word([self.ttl, self.protocol])
            + word(self.checksum)
            + word([a, b])
            + word([c, d])
            + word([e, f])
            + word([g, h]);
        // Ten words carry once, and what was carried may carry once more.
        let sum = (sum >> 16) + (sum & 0xffff);
        ((sum >> 16) + sum) as u16
    }

    /// The header with its checksum, which was zero.
    #[inline(always)]
    #[must_use]
    pub const fn summed(self) -> Self {
        Self { checksum: (!self.sum()).to_ne_bytes(), ..self }
    }
}

/// An IPv6 header (RFC 8200 §3).
#[repr(C, align(2))]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ipv6 {
    /// Version, traffic class and flow label.
    pub version_class_flow: [u8; 4],
    /// Payload length.
    pub payload_length: [u8; 2],
    /// Next header.
    pub next_header: u8,
    /// Hop limit.
    pub hop_limit: u8,
    /// Source address.
    pub source: [u8; 16],
    /// Destination address.
    pub destination: [u8; 16],
}

impl Ipv6 {
    /// The traffic class: DSCP and ECN.
    #[inline(always)]
    #[must_use]
    pub const fn traffic_class(&self) -> u8 {
        self.version_class_flow[0] << 4 | self.version_class_flow[1] >> 4
    }
}

const fn word(bytes: [u8; 2]) -> u32 {
    u16::from_ne_bytes(bytes) as u32
}

/// A UDP header (RFC 768).
#[repr(C, align(2))]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Udp {
    /// Source port.
    pub source: [u8; 2],
    /// Destination port.
    pub destination: [u8; 2],
    /// Length of header and payload.
    pub length: [u8; 2],
    /// Checksum.
    pub checksum: [u8; 2],
}

/// A VXLAN header (RFC 7348 §5).
#[repr(C, align(2))]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Vxlan {
    /// Flags; all but [`VXLAN_I`] are reserved: zero when sent, ignored when received.
    pub flags: [u8; 4],
    /// VXLAN network identifier, and a reserved byte.
    pub vni: [u8; 4],
}

/// The I flag: the VNI is valid.
pub const VXLAN_I: u32 = 0x0800_0000;

impl Vxlan {
    /// The header for a VNI.
    #[inline(always)]
    #[must_use]
    pub const fn new(vni: u32) -> Self {
        Self { flags: VXLAN_I.to_be_bytes(), vni: (vni << 8).to_be_bytes() }
    }

    /// The VNI, if the header says that it is valid.
    #[inline(always)]
    #[must_use]
    pub const fn vni(&self) -> Option<u32> {
        if u32::from_be_bytes(self.flags) & VXLAN_I == 0 {
            return None;
        }
        Some(u32::from_be_bytes(self.vni) >> 8)
    }
}

/// ARP for IPv4 over Ethernet (RFC 826).
#[repr(C, align(2))]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Arp {
    /// Hardware type, protocol type and their address lengths: [`ARP_ETHERNET_IPV4`].
    pub format: [u8; 6],
    /// Operation.
    pub operation: [u8; 2],
    /// Sender hardware address.
    pub sender_mac: Mac,
    /// Sender protocol address.
    pub sender_ip: [u8; 4],
    /// Target hardware address.
    pub target_mac: Mac,
    /// Target protocol address.
    pub target_ip: [u8; 4],
}

impl Arp {
    /// Whether this is ARP for IPv4 over Ethernet. Receivers take hardware type 6, IEEE 802, for the same.
    #[inline(always)]
    #[must_use]
    pub const fn is_ethernet_ipv4(&self) -> bool {
        matches!(self.format, [0, 1 | 6, 0x08, 0x00, 6, 4])
    }
}

/// [`Arp::format`] for IPv4 over Ethernet.
pub const ARP_ETHERNET_IPV4: [u8; 6] = [0, 1, 0x08, 0x00, 6, 4];
/// [`Arp::operation`] of a request.
pub const ARP_REQUEST: [u8; 2] = [0, 1];
/// [`Arp::operation`] of a reply.
pub const ARP_REPLY: [u8; 2] = [0, 2];

/// Whether a frame for this address goes to several stations.
#[inline(always)]
#[must_use]
pub const fn is_group(mac: Mac) -> bool {
    mac[0] & 1 != 0
}

/// Whether no bridge forwards frames for this address (IEEE 802.1Q §8.6.3).
#[inline(always)]
#[must_use]
pub const fn is_link_local_multicast(mac: Mac) -> bool {
    matches!(mac, [0x01, 0x80, 0xc2, 0, 0, 0..=15])
}

/// An address as four words, which a program compares without calling a function.
#[inline(always)]
#[must_use]
pub const fn words(address: &[u8; 16]) -> [u32; 4] {
    let [a, b, c, d, e, f, g, h, i, j, k, l, m, n, o, p] = *address;
    [
        u32::from_ne_bytes([a, b, c, d]),
        u32::from_ne_bytes([e, f, g, h]),
        u32::from_ne_bytes([i, j, k, l]),
        u32::from_ne_bytes([m, n, o, p]),
    ]
}

/// The third of the [`words`] of an IPv4-mapped address; the first two are zero (RFC 4291 §2.5.5.2).
pub const MAPPED: u32 = u32::from_ne_bytes([0, 0, 0xff, 0xff]);

/// Whether an address is the unspecified one, of IPv6 or of IPv4.
#[inline(always)]
#[must_use]
pub const fn is_unspecified(address: &[u8; 16]) -> bool {
    matches!(words(address), [0, 0, 0 | MAPPED, 0])
}

/// Whether the EtherType is a VLAN tag's.
#[inline(always)]
#[must_use]
pub const fn is_tag(kind: u16) -> bool {
    kind == ethertype::C_TAG || kind == ethertype::S_TAG
}

/// Whether the next header is an extension header that others may follow (RFC 8200 §4).
#[inline(always)]
#[must_use]
pub const fn is_extension(next_header: u8) -> bool {
    matches!(
        next_header,
        protocol::HOP_BY_HOP | protocol::ROUTING | protocol::FRAGMENT | protocol::DESTINATION_OPTIONS
    )
}

/// What neighbour solicitations and advertisements begin with (RFC 4861 §4.3, §4.4).
#[repr(C, align(2))]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NeighborMessage {
    /// ICMPv6 type.
    pub kind: u8,
    /// Zero.
    pub code: u8,
    /// Checksum over the pseudo-header and the message.
    pub checksum: [u8; 2],
    /// Flags of an advertisement, and reserved bits.
    pub flags: [u8; 4],
    /// The address asked for, or told of.
    pub target: [u8; 16],
}

/// ICMPv6 types of neighbour discovery (RFC 4861 §4).
pub mod nd {
    /// Router solicitation.
    pub const ROUTER_SOLICITATION: u8 = 133;
    /// Router advertisement.
    pub const ROUTER_ADVERTISEMENT: u8 = 134;
    /// Neighbour solicitation.
    pub const SOLICITATION: u8 = 135;
    /// Neighbour advertisement.
    pub const ADVERTISEMENT: u8 = 136;
    /// The option with the link-layer address of the sender.
    pub const SOURCE_LINK_LAYER: u8 = 1;
    /// The option with the link-layer address of the target.
    pub const TARGET_LINK_LAYER: u8 = 2;
    /// Hop limit of every message: it came from no further than this link.
    pub const HOP_LIMIT: u8 = 255;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_header_is_summed_as_its_bytes_are() {
        // A common example, whose checksum is 0xb861.
        let header = Ipv4 {
            version_length: 0x45,
            traffic_class: 0,
            total_length: [0, 0x73],
            identification: [0; 2],
            fragment: [0x40, 0],
            ttl: 0x40,
            protocol: 0x11,
            checksum: [0; 2],
            source: [192, 168, 0, 1],
            destination: [192, 168, 0, 199],
        };
        let summed = header.summed();
        assert_eq!((summed.checksum, summed.sum()), ([0xb8, 0x61], 0xffff));
        assert_ne!(Ipv4 { ttl: 0x3f, ..summed }.sum(), 0xffff);
        let most = Ipv4 {
            source: [0xff; 4],
            destination: [0xff; 4],
            fragment: [0xff; 2],
            identification: [0xff; 2],
            total_length: [0xff; 2],
            ..header
        };
        assert_eq!(most.summed().sum(), 0xffff, "every carry is kept");
    }

    #[test]
    fn a_vni_has_24_bits_and_its_flag() {
        assert_eq!(Vxlan::new(0x1_0203), Vxlan { flags: [8, 0, 0, 0], vni: [1, 2, 3, 0] });
        assert_eq!(Vxlan { flags: [0xff; 4], vni: [1, 2, 3, 4] }.vni(), Some(0x1_0203));
        assert_eq!(Vxlan { flags: [0xf7, 8, 8, 8], vni: [1, 2, 3, 4] }.vni(), None);
    }

    #[test]
    fn link_local_multicast_is_sixteen_addresses() {
        assert!(is_link_local_multicast([1, 0x80, 0xc2, 0, 0, 0]));
        assert!(is_link_local_multicast([1, 0x80, 0xc2, 0, 0, 15]));
        assert!(!is_link_local_multicast([1, 0x80, 0xc2, 0, 0, 16]));
        assert!(!is_link_local_multicast([1, 0x80, 0xc2, 0, 1, 0]));
    }

    #[test]
    fn only_zero_is_unspecified() {
        assert!(is_unspecified(&[0; 16]));
        assert!(is_unspecified(&bagpipe_common::mapped([0; 4])));
        for at in 0..16 {
            let mut address = [0; 16];
            address[at] = 1;
            assert!(!is_unspecified(&address), "byte {at}");
        }
    }
}
