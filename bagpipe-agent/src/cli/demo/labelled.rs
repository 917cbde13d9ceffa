//! A packet under a label, made by hand: what a router puts into UDP (RFC 7510 §3).

use std::net::Ipv4Addr;

/// An ICMP echo request between two addresses, under a label that is the bottom of the stack.
pub(super) fn echo_request(label: u32, from: Ipv4Addr, to: Ipv4Addr) -> Vec<u8> {
    const BOTTOM: u32 = 0x100;
    const TTL: u32 = 255;
    let mut packet = (label << 12 | BOTTOM | TTL).to_be_bytes().to_vec();

    let mut echo = *b"\x08\0\0\0\0\x2a\0\x01";
    put_checksum(&mut echo, 2);

    let mut header = *b"\x45\0\0\x1c\0\0\x40\0\x40\x01\0\0........";
    let [.., s1, s2, s3, s4, d1, d2, d3, d4] = &mut header;
    [*s1, *s2, *s3, *s4] = from.octets();
    [*d1, *d2, *d3, *d4] = to.octets();
    put_checksum(&mut header, 10);

    packet.extend(header);
    packet.extend(echo);
    packet
}

/// Puts the checksum of a header (RFC 1071) at its place, where zeros were.
fn put_checksum(header: &mut [u8], place: usize) {
    let sum = checksum(header);
    if let Some(place) = header.get_mut(place..place + 2) {
        place.copy_from_slice(&sum.to_be_bytes());
    }
}

fn checksum(header: &[u8]) -> u16 {
    let words = header.chunks(2).filter_map(|word| Some(u16::from_be_bytes(word.try_into().ok()?)));
    let sum = words.fold(0_u16, |sum, word| {
        let (sum, carry) = sum.overflowing_add(word);
        sum + u16::from(carry)
    });
    !sum
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_is_whole() {
        let packet = echo_request(1001, Ipv4Addr::new(10, 1, 2, 3), Ipv4Addr::new(10, 1, 1, 2));
        let (label, rest) = packet.split_at(4);
        assert_eq!(label, [0x00, 0x3e, 0x91, 255]);
        let (ip, icmp) = rest.split_at(20);
        // A header with its checksum sums up to zero.
        assert_eq!((checksum(ip), checksum(icmp)), (0, 0));
        assert_eq!(usize::from(u16::from_be_bytes([ip[2], ip[3]])), rest.len());
        assert_eq!((&ip[12..16], &ip[16..20]), (&[10, 1, 2, 3][..], &[10, 1, 1, 2][..]));
        assert_eq!(icmp[0], 8);
    }
}
