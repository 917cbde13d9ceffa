//! Reads the packets of a capture file (the classic format of tcpdump, in this machine's byte order).

/// Octets before the first packet.
const FILE_HEADER: usize = 24;

/// The packets of a file, as far as they are complete.
pub(super) fn packets(file: &[u8]) -> Vec<&[u8]> {
    let mut rest = file.get(FILE_HEADER..).unwrap_or_default();
    let mut packets = Vec::new();
    while let Some((packet, after)) = record(rest) {
        packets.push(packet);
        rest = after;
    }
    packets
}

/// A record: seconds, microseconds, octets in the file, octets on the wire, then the packet.
fn record(rest: &[u8]) -> Option<(&[u8], &[u8])> {
    let (length, packet) = rest.get(8..)?.split_first_chunk::<4>()?;
    let length = usize::try_from(u32::from_ne_bytes(*length)).ok()?;
    packet.get(4..)?.split_at_checked(length)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_packet_still_being_written_is_left_out() {
        let mut file = vec![0; FILE_HEADER];
        for packet in [&b"first"[..], b"second"] {
            let length = u32::try_from(packet.len()).unwrap();
            for word in [1, 2, length, length] {
                file.extend(word.to_ne_bytes());
            }
            file.extend(packet);
        }
        assert_eq!(packets(&file), [&b"first"[..], b"second"]);
        file.pop();
        assert_eq!(packets(&file), [b"first"]);
        assert_eq!(packets(&file[..10]), [] as [&[u8]; 0]);
    }
}
