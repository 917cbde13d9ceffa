//! The Internet checksum (RFC 1071).

/// Folds a sum of 16-bit or 32-bit words into sixteen bits with end-around carry.
#[inline(always)]
#[must_use]
pub const fn fold(sum: u64) -> u16 {
    let sum = (sum >> 32) + (sum & 0xffff_ffff);
    let sum = (sum >> 16) + (sum & 0xffff);
    let sum = (sum >> 16) + (sum & 0xffff);
    let sum = (sum >> 16) + (sum & 0xffff);
    sum as u16
}

/// The sum of `bytes` as 16-bit words in network order; their number must be even.
#[inline(always)]
#[must_use]
pub fn sum<const N: usize>(bytes: &[u8; N]) -> u64 {
    const { assert!(N.is_multiple_of(2)) };
    bytes.as_chunks::<2>().0.iter().map(|word| u64::from(u16::from_be_bytes(*word))).sum()
}

/// The checksum after one 16-bit word that it covers has changed (RFC 1624 equation 3).
#[inline(always)]
#[must_use]
pub const fn updated(checksum: u16, from: u16, to: u16) -> u16 {
    !fold(!checksum as u64 + !from as u64 + to as u64)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The IPv4 header of a common example, whose checksum is 0xb861.
    const HEADER: [u8; 20] =
        [0x45, 0, 0, 0x73, 0, 0, 0x40, 0, 0x40, 0x11, 0xb8, 0x61, 192, 168, 0, 1, 192, 168, 0, 199];

    #[test]
    fn a_correct_header_sums_to_all_ones() {
        assert_eq!(fold(sum(&HEADER)), 0xffff);
        let mut without = HEADER;
        without[10..12].fill(0);
        assert_eq!(!fold(sum(&without)), 0xb861);
    }

    #[test]
    fn an_update_equals_a_fresh_sum() {
        for tos in 0..=255u8 {
            let mut changed = HEADER;
            changed[1] = tos;
            let checksum = updated(0xb861, 0x4500, 0x4500 | u16::from(tos));
            changed[10..12].copy_from_slice(&checksum.to_be_bytes());
            assert_eq!(fold(sum(&changed)), 0xffff, "tos {tos}");
        }
    }

    #[test]
    fn folding_keeps_every_carry() {
        assert_eq!(fold(u64::MAX), 0xffff);
        assert_eq!(fold(0x0001_ffff), 1);
    }
}
