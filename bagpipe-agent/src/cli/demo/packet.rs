//! Says what is in a packet, header by header.

use std::net::{Ipv4Addr, Ipv6Addr};

use bagpipe_bgp::types::MacAddr;

const IPV4: u16 = 0x0800;
const ARP: u16 = 0x0806;
const IPV6: u16 = 0x86dd;
const ICMP: u8 = 1;
const UDP: u8 = 17;
const ICMPV6: u8 = 58;
const VXLAN: u16 = 4789;
const MPLS_IN_UDP: u16 = 6635;

/// One line for each header of an Ethernet frame, those inside a tunnel included. Stops where the frame ends early.
pub(super) fn describe(frame: &[u8]) -> Vec<String> {
    let mut lines = Vec::new();
    // `None` is the end of what can be told.
    let _ = ethernet(&mut Reader(frame), &mut lines);
    lines
}

fn ethernet(frame: &mut Reader<'_>, lines: &mut Vec<String>) -> Option<()> {
    let (destination, source) = (MacAddr(frame.take()?), MacAddr(frame.take()?));
    let ether_type = frame.number()?;
    lines.push(format!("Ethernet  {source} -> {destination}"));
    match ether_type {
        IPV4 => ipv4(frame, lines),
        IPV6 => ipv6(frame, lines),
        ARP => arp(frame, lines),
        _ => None,
    }
}

fn ipv4(packet: &mut Reader<'_>, lines: &mut Vec<String>) -> Option<()> {
    let [version, service] = packet.take()?;
    let length = packet.number()?;
    packet.number()?;
    let fragment = packet.number()?;
    let [ttl, protocol] = packet.take()?;
    packet.number()?;
    let (source, destination) = (Ipv4Addr::from(packet.take::<4>()?), Ipv4Addr::from(packet.take::<4>()?));
    let options = usize::from(version & 0xf).checked_sub(5)? * 4;
    packet.skip(options)?;
    let unfragmented = if fragment & 0x4000 == 0 { "" } else { ", don't fragment" };
    let ecn = if service & 3 == 0 { "" } else { ", ECN-capable" };
    lines.push(format!("IPv4      {source} -> {destination}, {length} octets, TTL {ttl}{unfragmented}{ecn}"));
    match protocol {
        UDP => udp(packet, lines),
        ICMP => icmp("ICMP  ", packet, lines),
        _ => None,
    }
}

fn ipv6(packet: &mut Reader<'_>, lines: &mut Vec<String>) -> Option<()> {
    packet.skip(4)?;
    let length = packet.number()?;
    let [next_header, hop_limit] = packet.take()?;
    let (source, destination) = (Ipv6Addr::from(packet.take::<16>()?), Ipv6Addr::from(packet.take::<16>()?));
    lines.push(format!("IPv6      {source} -> {destination}, {length} octets, hop limit {hop_limit}"));
    match next_header {
        UDP => udp(packet, lines),
        ICMPV6 => icmp("ICMPv6", packet, lines),
        _ => None,
    }
}

fn arp(packet: &mut Reader<'_>, lines: &mut Vec<String>) -> Option<()> {
    packet.skip(6)?;
    let operation = packet.number()?;
    let sender_mac = MacAddr(packet.take()?);
    let sender = Ipv4Addr::from(packet.take::<4>()?);
    packet.skip(6)?;
    let target = Ipv4Addr::from(packet.take::<4>()?);
    lines.push(match operation {
        1 => format!("ARP       who has {target}? asks {sender}"),
        _ => format!("ARP       {sender} is at {sender_mac}"),
    });
    Some(())
}

fn udp(packet: &mut Reader<'_>, lines: &mut Vec<String>) -> Option<()> {
    let (source, destination) = (packet.number()?, packet.number()?);
    packet.skip(4)?;
    lines.push(format!("UDP       {source} -> {destination}"));
    match destination {
        VXLAN => vxlan(packet, lines),
        MPLS_IN_UDP => mpls(packet, lines),
        _ => None,
    }
}

/// RFC 7348 §5.
fn vxlan(packet: &mut Reader<'_>, lines: &mut Vec<String>) -> Option<()> {
    let [flags, _, _, _, high, middle, low, _] = packet.take()?;
    let vni = u32::from_be_bytes([0, high, middle, low]);
    lines.push(format!("VXLAN     VNI {vni}, flags {flags:#04x}"));
    ethernet(packet, lines)
}

/// RFC 7510 §3, RFC 3032 §2.1. Only who gave a label knows what follows it: here, IP.
fn mpls(packet: &mut Reader<'_>, lines: &mut Vec<String>) -> Option<()> {
    loop {
        let entry = u32::from_be_bytes(packet.take()?);
        let is_last = entry & 0x100 != 0;
        let bottom = if is_last { ", bottom of the stack" } else { "" };
        lines.push(format!("MPLS      label {}, TTL {}{bottom}", entry >> 12, entry & 0xff));
        if is_last {
            break;
        }
    }
    match packet.0.first()? >> 4 {
        4 => ipv4(packet, lines),
        6 => ipv6(packet, lines),
        _ => None,
    }
}

fn icmp(name: &str, packet: &mut Reader<'_>, lines: &mut Vec<String>) -> Option<()> {
    let [kind, code] = packet.take()?;
    packet.number()?;
    let (identifier, sequence) = (packet.number()?, packet.number()?);
    lines.push(match kind {
        8 | 128 => format!("{name}    echo request, identifier {identifier}, sequence {sequence}"),
        0 | 129 => format!("{name}    echo reply, identifier {identifier}, sequence {sequence}"),
        _ => format!("{name}    type {kind}, code {code}"),
    });
    Some(())
}

/// What is left of a packet.
struct Reader<'a>(&'a [u8]);

impl Reader<'_> {
    fn take<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (taken, rest) = self.0.split_first_chunk()?;
        self.0 = rest;
        Some(*taken)
    }

    fn number(&mut self) -> Option<u16> {
        self.take().map(u16::from_be_bytes)
    }

    fn skip(&mut self, octets: usize) -> Option<()> {
        self.0 = self.0.get(octets..)?;
        Some(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn octets(text: &str) -> Vec<u8> {
        let digits = text.split_whitespace().collect::<String>();
        let octet = |at: usize| u8::from_str_radix(&digits[at..at + 2], 16).unwrap();
        (0..digits.len()).step_by(2).map(octet).collect()
    }

    fn sample() -> Vec<u8> {
        octets(
            "0a0000000002 0a0000000001 0800 \
            4500 0086 0000 4000 4011 0000 0a630001 0a630002 \
            c351 12b5 0072 0000 \
            08000000 00006400 \
            020000000002 020000000001 0800 \
            4500 0054 0001 4000 4001 0000 c0a80a01 c0a80a02 \
            0800 0000 002a 0007",
        )
    }

    #[test]
    fn a_ping_in_vxlan_is_told_header_by_header() {
        assert_eq!(
            describe(&sample()),
            [
                "Ethernet  0a:00:00:00:00:01 -> 0a:00:00:00:00:02",
                "IPv4      10.99.0.1 -> 10.99.0.2, 134 octets, TTL 64, don't fragment",
                "UDP       50001 -> 4789",
                "VXLAN     VNI 100, flags 0x08",
                "Ethernet  02:00:00:00:00:01 -> 02:00:00:00:00:02",
                "IPv4      192.168.10.1 -> 192.168.10.2, 84 octets, TTL 64, don't fragment",
                "ICMP      echo request, identifier 42, sequence 7",
            ]
        );
    }

    #[test]
    fn a_ping_under_labels_is_told_label_by_label() {
        let frame = octets(
            "0a0000000002 0a0000000001 0800 \
            4500 0078 0000 4000 4011 0000 0a630001 0a630002 \
            c351 19eb 0064 0000 \
            003e8 040 007d1 1ff \
            4500 0054 0001 4000 3f01 0000 0a010102 0a010203 \
            0000 0000 002a 0007",
        );
        assert_eq!(
            describe(&frame)[2..],
            [
                "UDP       50001 -> 6635",
                "MPLS      label 1000, TTL 64",
                "MPLS      label 2001, TTL 255, bottom of the stack",
                "IPv4      10.1.1.2 -> 10.1.2.3, 84 octets, TTL 63, don't fragment",
                "ICMP      echo reply, identifier 42, sequence 7",
            ]
        );
    }

    #[test]
    fn a_packet_may_end_anywhere() {
        let whole = sample();
        for length in 0..whole.len() {
            let lines = describe(&whole[..length]);
            assert!(describe(&whole).starts_with(&lines));
        }
    }
}
