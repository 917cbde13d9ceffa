//! Explicit congestion notification through a tunnel (RFC 6040).

/// The two bits of a traffic class that are ECN's (RFC 3168 §5).
pub const MASK: u8 = 0b11;
/// Not ECN-capable transport.
pub const NOT_ECT: u8 = 0b00;
/// ECN-capable transport, codepoint 1.
pub const ECT1: u8 = 0b01;
/// ECN-capable transport, codepoint 0.
pub const ECT0: u8 = 0b10;
/// Congestion experienced.
pub const CE: u8 = 0b11;

/// The traffic class that the inner packet leaves the tunnel with, or `None` where it must be dropped
/// (RFC 6040 §4.2, figure 4). Only the ECN bits of `outer` matter; the others of `inner` are kept.
#[inline(always)]
#[must_use]
pub const fn decapsulated(inner: u8, outer: u8) -> Option<u8> {
    match (inner & MASK, outer & MASK) {
        (NOT_ECT, CE) => None,
        (ECT0 | ECT1, CE) => Some(inner | CE),
        (ECT0, ECT1) => Some(inner & !MASK | ECT1),
        _ => Some(inner),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_cell_of_figure_4() {
        let rows = [
            (NOT_ECT, [Some(NOT_ECT), Some(NOT_ECT), Some(NOT_ECT), None]),
            (ECT0, [Some(ECT0), Some(ECT0), Some(ECT1), Some(CE)]),
            (ECT1, [Some(ECT1), Some(ECT1), Some(ECT1), Some(CE)]),
            (CE, [Some(CE), Some(CE), Some(CE), Some(CE)]),
        ];
        for (inner, columns) in rows {
            for (outer, expected) in [NOT_ECT, ECT0, ECT1, CE].into_iter().zip(columns) {
                assert_eq!(decapsulated(inner, outer), expected, "inner {inner} outer {outer}");
                let dscp = 46 << 2;
                assert_eq!(decapsulated(dscp | inner, outer), expected.map(|ecn| dscp | ecn));
            }
        }
    }
}
