//! Flows: which of several equal ways a packet takes.

/// A hash of addresses, protocol and ports (zero where there are none), each as it lies in memory. It is no secret and
/// has no seed: a flow takes the same way through every node and after every restart.
#[inline(always)]
#[must_use]
pub const fn hash(source: [u32; 4], destination: [u32; 4], protocol: u8, ports: u32) -> u32 {
    let mut hash = mix(FRACTION, pair(source[0], source[1]));
    hash = mix(hash, pair(source[2], source[3]));
    hash = mix(hash, pair(destination[0], destination[1]));
    hash = mix(hash, pair(destination[2], destination[3]));
    hash = mix(hash, pair(protocol as u32, ports));
    (hash >> 32) as u32
}

/// The fraction of the golden ratio: an odd number without a pattern.
const FRACTION: u64 = 0x9e37_79b9_7f4a_7c15;

const fn pair(a: u32, b: u32) -> u64 {
    (a as u64) << 32 | b as u64
}

/// Each bit of the word reaches the upper half of the product, which then reaches the lower half.
const fn mix(hash: u64, word: u64) -> u64 {
    let product = (hash ^ word).wrapping_mul(FRACTION);
    (product ^ product >> 32).wrapping_mul(FRACTION)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::header::MAPPED;

    fn ipv4(host: u8) -> [u32; 4] {
        [0, 0, MAPPED, u32::from_ne_bytes([192, 168, 0, host])]
    }

    /// How 64 buckets fill, at best and at worst, for flows that differ in one thing only.
    fn spread(hashes: impl Iterator<Item = u32>) -> (u32, u32) {
        let mut buckets = [0u32; 64];
        for hash in hashes {
            buckets[hash as usize % 64] += 1;
        }
        (*buckets.iter().max().expect("64"), *buckets.iter().min().expect("64"))
    }

    #[test]
    fn flows_spread_whatever_they_differ_in() {
        let port = |flow: u16| u32::from_ne_bytes([(flow >> 8) as u8, flow as u8, 0, 80]);
        let ports = spread((0..6_400).map(|flow| hash(ipv4(1), ipv4(2), 6, port(flow))));
        let hosts = spread((0..6_400u32).map(|flow| hash([0, 0, MAPPED, flow.to_be()], ipv4(2), 17, 0)));
        let far = spread((0..6_400u32).map(|flow| hash(ipv4(1), [0xfd, 0, 0, flow.to_be()], 58, 0)));
        for (most, least) in [ports, hosts, far] {
            assert!(most < 150 && least > 60, "100 expected, {least} to {most}");
        }
    }

    #[test]
    fn everything_counts() {
        let flow = hash(ipv4(1), ipv4(2), 6, 7);
        for other in [
            hash(ipv4(2), ipv4(1), 6, 7),
            hash(ipv4(1), ipv4(3), 6, 7),
            hash(ipv4(1), ipv4(2), 17, 7),
            hash(ipv4(1), ipv4(2), 6, 8),
        ] {
            assert_ne!(flow, other);
        }
    }
}
