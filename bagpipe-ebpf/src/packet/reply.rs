//! Answers on behalf of others: ARP replies and neighbour advertisements.

use crate::checksum;
use crate::header::{
    ARP_ETHERNET_IPV4, ARP_REPLY, Arp, Ethernet, Ipv6, Mac, NeighborMessage, ethertype, nd, protocol,
};

/// A frame with an ARP reply.
#[repr(C, align(2))]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ArpReply {
    /// Ethernet.
    pub ethernet: Ethernet,
    /// ARP.
    pub arp: Arp,
}

impl ArpReply {
    /// Answers `request`, which came from `asker`, with `mac` (RFC 826).
    #[inline(always)]
    #[must_use]
    pub const fn new(request: &Arp, asker: Mac, mac: Mac) -> Self {
        Self {
            ethernet: Ethernet { destination: asker, source: mac, ethertype: ethertype::ARP.to_be_bytes() },
            arp: Arp {
                format: ARP_ETHERNET_IPV4,
                operation: ARP_REPLY,
                sender_mac: mac,
                sender_ip: request.target_ip,
                target_mac: request.sender_mac,
                target_ip: request.sender_ip,
            },
        }
    }
}

/// A frame with a neighbour advertisement (RFC 4861 §4.4) and its target link-layer address option.
#[repr(C, align(2))]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NeighborAdvertisement {
    /// Ethernet.
    pub ethernet: Ethernet,
    /// IPv6.
    pub ip: Ipv6,
    /// The advertisement.
    pub message: NeighborMessage,
    /// Type and length of the option.
    pub option: [u8; 2],
    /// The link-layer address.
    pub mac: Mac,
}

/// Bytes of the message and its option.
const MESSAGE: usize = size_of::<NeighborMessage>() + 2 + size_of::<Mac>();
/// All nodes of the link (RFC 4291 §2.7.1), and the Ethernet address of that group (RFC 2464 §7).
const ALL_NODES: ([u8; 16], Mac) =
    ([0xff, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1], [0x33, 0x33, 0, 0, 0, 1]);

const ROUTER: u8 = 0x80;
const SOLICITED: u8 = 0x40;
const OVERRIDE: u8 = 0x20;

impl NeighborAdvertisement {
    /// Answers a solicitation for `target`, sent by `asker` from the address `source`, with `mac`.
    ///
    /// Who asks from the unspecified address looks for duplicates: all nodes are told (RFC 4861 §7.2.4).
    #[inline(always)]
    #[must_use]
    pub fn new(asker: Mac, source: [u8; 16], target: [u8; 16], mac: Mac, router: bool) -> Self {
        let unspecified = u128::from_ne_bytes(source) == 0;
        let (destination, station) = if unspecified { ALL_NODES } else { (source, asker) };
        let solicited = if unspecified { 0 } else { SOLICITED };
        let router = if router { ROUTER } else { 0 };
        let mut reply = Self {
            ethernet: Ethernet {
                destination: station,
                source: mac,
                ethertype: ethertype::IPV6.to_be_bytes(),
            },
            ip: Ipv6 {
                version_class_flow: [0x60, 0, 0, 0],
                payload_length: (MESSAGE as u16).to_be_bytes(),
                next_header: protocol::ICMPV6,
                hop_limit: nd::HOP_LIMIT,
                source: target,
                destination,
            },
            message: NeighborMessage {
                kind: nd::ADVERTISEMENT,
                code: 0,
                checksum: [0; 2],
                flags: [router | solicited | OVERRIDE, 0, 0, 0],
                target,
            },
            option: [nd::TARGET_LINK_LAYER, 1],
            mac,
        };
        reply.message.checksum = (!checksum::fold(reply.sum())).to_be_bytes();
        reply
    }

    /// The sum that the checksum is made of: pseudo-header (RFC 8200 §8.1), message and option.
    #[inline(always)]
    fn sum(&self) -> u64 {
        let NeighborMessage { kind, code, checksum, flags, target } = self.message;
        let [m0, m1, m2, m3, m4, m5] = self.mac;
        checksum::sum(&self.ip.source)
            + checksum::sum(&self.ip.destination)
            + MESSAGE as u64
            + protocol::ICMPV6 as u64
            + checksum::sum(&[kind, code, checksum[0], checksum[1]])
            + checksum::sum(&flags)
            + checksum::sum(&target)
            + checksum::sum(&[self.option[0], self.option[1], m0, m1, m2, m3, m4, m5])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ASKER: Mac = [2, 0, 0, 0, 0, 1];
    const OWNER: Mac = [2, 0, 0, 0, 0, 2];
    const SOURCE: [u8; 16] = [0xfd, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1];
    const TARGET: [u8; 16] = [0xfd, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 2];

    #[test]
    fn an_advertisement_has_a_right_checksum_and_is_solicited() {
        let reply = NeighborAdvertisement::new(ASKER, SOURCE, TARGET, OWNER, false);
        assert_eq!(checksum::fold(reply.sum()), 0xffff);
        assert_eq!(reply.message.flags[0], SOLICITED | OVERRIDE);
        assert_eq!((reply.ethernet.destination, reply.ip.destination), (ASKER, SOURCE));
    }

    #[test]
    fn a_duplicate_is_told_to_all_nodes() {
        let reply = NeighborAdvertisement::new(ASKER, [0; 16], TARGET, OWNER, true);
        assert_eq!(reply.message.flags[0], ROUTER | OVERRIDE);
        assert_eq!((reply.ip.destination, reply.ethernet.destination), ALL_NODES);
        assert_eq!(reply.ip.source, TARGET);
    }

    #[test]
    fn an_arp_reply_turns_the_request_round() {
        let request = Arp {
            format: ARP_ETHERNET_IPV4,
            operation: [0, 1],
            sender_mac: ASKER,
            sender_ip: [10, 0, 0, 1],
            target_mac: [0; 6],
            target_ip: [10, 0, 0, 2],
        };
        let reply = ArpReply::new(&request, ASKER, OWNER);
        assert_eq!((reply.arp.sender_mac, reply.arp.sender_ip), (OWNER, [10, 0, 0, 2]));
        assert_eq!((reply.arp.target_mac, reply.arp.target_ip), (ASKER, [10, 0, 0, 1]));
    }
}
