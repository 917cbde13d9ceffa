//! Who has a MAC address, when more than one node says so (RFC 7432 §7.7, §15).

use std::cmp::Reverse;
use std::net::IpAddr;

/// A claim to a MAC address. The greatest wins: a static address (RFC 7432 §15.2), then the highest sequence
/// number, then the lowest address of the endpoint (RFC 7432 §15). All nodes order claims alike.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Claim {
    pub(crate) sticky: bool,
    pub(crate) sequence: u32,
    pub(crate) endpoint: Reverse<IpAddr>,
}

impl Claim {
    /// The sequence number that a node takes which attaches the MAC address over this claim (RFC 7432 §15). The
    /// last number is not left again: from there on the endpoint decides.
    pub(crate) const fn next_sequence(&self) -> u32 {
        self.sequence.saturating_add(1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn claim(sticky: bool, sequence: u32, endpoint: &str) -> Claim {
        Claim { sticky, sequence, endpoint: Reverse(endpoint.parse().unwrap()) }
    }

    #[test]
    fn claims_are_ordered_by_sticky_sequence_and_endpoint() {
        let ascending = [
            claim(false, 0, "192.0.2.10"),
            claim(false, 0, "192.0.2.9"),
            claim(false, 1, "192.0.2.10"),
            claim(true, 0, "192.0.2.10"),
        ];
        assert!(ascending.is_sorted());
    }

    #[test]
    fn the_sequence_does_not_wrap() {
        assert_eq!(claim(false, 7, "192.0.2.1").next_sequence(), 8);
        assert_eq!(claim(false, u32::MAX, "192.0.2.1").next_sequence(), u32::MAX);
    }
}
