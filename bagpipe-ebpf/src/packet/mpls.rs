//! MPLS: label stack entries, and what carries them over IP.

use bagpipe_common::{Encap, TargetKind};

use crate::header::{Ethernet, Ipv4, Ipv6, Udp, ethertype, fragment, protocol};
use crate::outer::{self, source_port};

/// UDP destination port of MPLS in UDP (RFC 7510 §3).
pub const UDP_PORT: u16 = 6635;

/// Labels that mean the same everywhere (RFC 3032 §2.1).
pub mod reserved {
    /// IPv4 explicit null: nothing but an end of the label switched path.
    pub const IPV4_NULL: u32 = 0;
    /// IPv6 explicit null.
    pub const IPV6_NULL: u32 = 2;
    /// Implicit null: advertised, never sent. It asks for packets without a label.
    pub const IMPLICIT_NULL: u32 = 3;
}

/// A label stack entry (RFC 3032 §2.1): twenty bits of label, three of traffic class (RFC 5462), the bottom of the
/// stack, eight of time to live.
#[repr(C, align(2))]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Entry([u8; 4]);

/// Length of an [`Entry`].
pub const ENTRY: usize = size_of::<Entry>();

impl Entry {
    /// The only entry of a stack.
    #[inline(always)]
    #[must_use]
    pub const fn only(label: u32, class: u8, ttl: u8) -> Self {
        Self((label << 12 | (class as u32 & 7) << 9 | 1 << 8 | ttl as u32).to_be_bytes())
    }

    /// The label.
    #[inline(always)]
    #[must_use]
    pub const fn label(self) -> u32 {
        u32::from_be_bytes(self.0) >> 12
    }

    /// Whether no other entry follows.
    #[inline(always)]
    #[must_use]
    pub const fn is_bottom(self) -> bool {
        self.0[2] & 1 != 0
    }

    /// The time to live.
    #[inline(always)]
    #[must_use]
    pub const fn ttl(self) -> u8 {
        self.0[3]
    }
}

/// Traffic class of a label for the DSCP and ECN byte of its packet: the class selector (RFC 2474 §4.2.2).
#[inline(always)]
#[must_use]
pub const fn class_of(traffic_class: u8) -> u8 {
    traffic_class >> 5
}

/// Length of a GRE header without options.
pub const GRE: usize = 4;

/// What the flags of a GRE header say (RFC 2784 §2, RFC 2890 §2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Gre {
    /// Bytes of the whole header.
    pub length: usize,
    /// Whether the checksum is there.
    pub checksum: bool,
}

impl Gre {
    /// Reads the flags. `None` if the version is not zero, or one of the bits is set whose meaning this is not: such
    /// packets must be discarded (RFC 2784 §2.2). The bits reserved for the future are ignored (§2.3).
    #[inline(always)]
    #[must_use]
    pub const fn read(flags: [u8; 2]) -> Option<Self> {
        let flags = u16::from_be_bytes(flags);
        if flags & (0x4000 | 0x0c00 | 0x0007) != 0 {
            return None;
        }
        let checksum = flags & 0x8000 != 0;
        let options = checksum as usize + (flags & 0x2000 != 0) as usize + (flags & 0x1000 != 0) as usize;
        Some(Self { length: GRE + 4 * options, checksum })
    }
}

/// Bytes between the Ethernet header on the wire and what is under the label, or in place of it for an implicit null.
#[inline(always)]
#[must_use]
pub const fn overhead(kind: u8, over_ipv6: bool, labelled: bool) -> u32 {
    let label = if labelled { ENTRY } else { 0 };
    let ip = if over_ipv6 { size_of::<Ipv6>() } else { size_of::<Ipv4>() };
    let carrier = if kind == TargetKind::Mpls as u8 {
        0
    } else if kind == TargetKind::MplsUdp as u8 {
        ip + size_of::<Udp>()
    } else {
        ip + GRE
    };
    (carrier + label) as u32
}

/// Ethernet and IPv4.
#[repr(C, align(2))]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LinkIpv4(pub Ethernet, pub Ipv4);

/// Ethernet and IPv6.
#[repr(C, align(2))]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LinkIpv6(pub Ethernet, pub Ipv6);

/// What the outer IP header takes from the packet in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Payload {
    /// Bytes from the outer IP header on.
    pub length: u16,
    /// Hash of the flow.
    pub hash: u32,
    /// DSCP and ECN of the packet (RFC 6040 §4.1, normal mode).
    pub traffic_class: u8,
}

impl LinkIpv4 {
    /// The headers for a payload. Routers must not fragment it.
    #[inline(always)]
    #[must_use]
    pub fn new(encap: &Encap, kind: u8, payload: Payload) -> Self {
        let ip = Ipv4 {
            version_length: 0x45,
            traffic_class: payload.traffic_class,
            total_length: payload.length.to_be_bytes(),
            identification: [0; 2],
            fragment: fragment::DF.to_be_bytes(),
            ttl: encap.ttl,
            protocol: carrier(kind),
            checksum: [0; 2],
            source: outer::ipv4(&encap.local),
            destination: outer::ipv4(&encap.remote),
        };
        Self(outer::ethernet(encap, ethertype::IPV4), ip.summed())
    }
}

impl LinkIpv6 {
    /// The headers for a payload. The flow label carries the hash of the inner flow (RFC 6438 §3).
    #[inline(always)]
    #[must_use]
    pub fn new(encap: &Encap, kind: u8, payload: Payload) -> Self {
        let class = payload.traffic_class as u32;
        let ip = Ipv6 {
            version_class_flow: (6 << 28 | class << 20 | payload.hash & 0xf_ffff).to_be_bytes(),
            payload_length: (payload.length - size_of::<Ipv6>() as u16).to_be_bytes(),
            next_header: carrier(kind),
            hop_limit: encap.ttl,
            source: encap.local,
            destination: encap.remote,
        };
        Self(outer::ethernet(encap, ethertype::IPV6), ip)
    }
}

/// The UDP header before a label. The checksum is zero (RFC 7510 §3.1; over IPv6 RFC 6935 and RFC 6936).
#[inline(always)]
#[must_use]
pub const fn udp(hash: u32, length: u16) -> Udp {
    Udp {
        source: source_port(hash).to_be_bytes(),
        destination: UDP_PORT.to_be_bytes(),
        length: length.to_be_bytes(),
        checksum: [0; 2],
    }
}

/// A GRE header without options before a packet of this EtherType (RFC 4023 §3.2).
#[inline(always)]
#[must_use]
pub const fn gre(ethertype: u16) -> [[u8; 2]; GRE / 2] {
    [[0; 2], ethertype.to_be_bytes()]
}

/// The protocol of the outer IP header.
#[inline(always)]
const fn carrier(kind: u8) -> u8 {
    if kind == TargetKind::MplsUdp as u8 { protocol::UDP } else { protocol::GRE }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_entry_is_read_as_it_was_written() {
        let entry = Entry::only(0xf_1234, 5, 64);
        assert_eq!(entry.0, [0xf1, 0x23, 0x4b, 64]);
        assert_eq!((entry.label(), entry.is_bottom(), entry.ttl()), (0xf_1234, true, 64));
        assert!(!Entry([0, 0, 0xfe, 1]).is_bottom());
    }

    #[test]
    fn every_flag_of_gre() {
        assert_eq!(Gre::read([0, 0]), Some(Gre { length: 4, checksum: false }));
        assert_eq!(Gre::read([0x20, 0]), Some(Gre { length: 8, checksum: false }));
        assert_eq!(Gre::read([0xb0, 0]), Some(Gre { length: 16, checksum: true }));
        for ignored in [[0x02, 0], [0x01, 0], [0, 0xf8]] {
            assert_eq!(Gre::read(ignored), Some(Gre { length: 4, checksum: false }), "{ignored:?}");
        }
        for bad in [[0x40, 0], [0x08, 0], [0x04, 0], [0, 1], [0, 2], [0, 4]] {
            assert_eq!(Gre::read(bad), None, "{bad:?}");
        }
    }

    #[test]
    fn overheads_are_those_of_the_forms() {
        use TargetKind::{Mpls, MplsGre, MplsUdp};
        assert_eq!(overhead(MplsUdp as u8, false, true), 20 + 8 + 4);
        assert_eq!(overhead(MplsUdp as u8, true, true), 40 + 8 + 4);
        assert_eq!(overhead(MplsGre as u8, false, true), 20 + 4 + 4);
        assert_eq!(overhead(MplsGre as u8, true, false), 40 + 4);
        assert_eq!(overhead(Mpls as u8, true, true), 4);
        assert_eq!(overhead(Mpls as u8, false, false), 0);
    }
}
