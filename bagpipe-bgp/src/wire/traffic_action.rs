//! What becomes of packets that a flow specification is about, as extended communities (RFC 8955 §7).

use std::fmt;

use super::ExtendedCommunity;
use crate::types::RouteTarget;

/// Type of generic transitive experimental communities; those with an IPv4 address or a four-octet AS have the two
/// after it (RFC 7153 §2.1).
const GENERIC: u8 = 0x80;
const RATE_BYTES: u8 = 0x06;
const ACTION: u8 = 0x07;
const REDIRECT: u8 = 0x08;
const MARKING: u8 = 0x09;
const RATE_PACKETS: u8 = 0x0c;

const TERMINAL: u8 = 0x01;
const SAMPLE: u8 = 0x02;
const DSCP: u8 = 0x3f;

/// What becomes of a packet.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum TrafficAction {
    /// So many octets in a second are let through, at least zero (§7.1).
    RateBytes {
        /// Two-octet AS of who says so; for information.
        informative_as: u16,
        /// Octets in a second.
        rate: f32,
    },
    /// So many packets in a second are let through, at least zero (§7.2).
    RatePackets {
        /// Two-octet AS of who says so; for information.
        informative_as: u16,
        /// Packets in a second.
        rate: f32,
    },
    /// What the filter does besides (§7.3).
    Apply {
        /// The filters that follow are applied too.
        go_on: bool,
        /// Packets are sampled and logged.
        sample: bool,
    },
    /// It is routed by the VRF that imports this route target (§7.4).
    Redirect(RouteTarget),
    /// It gets this DSCP, six bits (§7.5).
    Mark(u8),
}

impl From<TrafficAction> for ExtendedCommunity {
    fn from(action: TrafficAction) -> Self {
        let rated = |kind, informative_as: u16, rate: f32| {
            let ([a, b], [c, d, e, f]) = (informative_as.to_be_bytes(), rate.max(0.0).to_be_bytes());
            Self([GENERIC, kind, a, b, c, d, e, f])
        };
        match action {
            TrafficAction::RateBytes { informative_as, rate } => rated(RATE_BYTES, informative_as, rate),
            TrafficAction::RatePackets { informative_as, rate } => rated(RATE_PACKETS, informative_as, rate),
            TrafficAction::Apply { go_on, sample } => {
                let bits = if go_on { TERMINAL } else { 0 } | if sample { SAMPLE } else { 0 };
                Self([GENERIC, ACTION, 0, 0, 0, 0, 0, bits])
            }
            TrafficAction::Redirect(target) => {
                let [layout, _, value @ ..] = target.octets();
                let [a, b, c, d, e, f] = value;
                Self([GENERIC | layout, REDIRECT, a, b, c, d, e, f])
            }
            TrafficAction::Mark(dscp) => Self([GENERIC, MARKING, 0, 0, 0, 0, 0, dscp & DSCP]),
        }
    }
}

impl ExtendedCommunity {
    /// What becomes of packets, if this is a traffic filtering action.
    #[must_use]
    pub fn as_traffic_action(&self) -> Option<TrafficAction> {
        let rate = |octets| f32::from_be_bytes(octets).max(0.0); // RFC 8955 §7.1: what is negative is zero.
        match self.0 {
            [GENERIC, RATE_BYTES, a, b, c, d, e, f] => Some(TrafficAction::RateBytes {
                informative_as: u16::from_be_bytes([a, b]),
                rate: rate([c, d, e, f]),
            }),
            [GENERIC, RATE_PACKETS, a, b, c, d, e, f] => Some(TrafficAction::RatePackets {
                informative_as: u16::from_be_bytes([a, b]),
                rate: rate([c, d, e, f]),
            }),
            [GENERIC, ACTION, .., bits] => {
                Some(TrafficAction::Apply { go_on: bits & TERMINAL != 0, sample: bits & SAMPLE != 0 })
            }
            [GENERIC, MARKING, .., dscp] => Some(TrafficAction::Mark(dscp & DSCP)),
            [layout @ 0x80..=0x82, REDIRECT, a, b, c, d, e, f] => {
                let target = [layout & !GENERIC, RouteTarget::SUB_TYPE, a, b, c, d, e, f];
                RouteTarget::from_octets(target).map(TrafficAction::Redirect)
            }
            _ => None,
        }
    }
}

impl fmt::Display for TrafficAction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::RateBytes { informative_as, rate } => write!(f, "traffic-rate:{informative_as}:{rate}"),
            Self::RatePackets { informative_as, rate } => {
                write!(f, "traffic-rate-packets:{informative_as}:{rate}")
            }
            Self::Apply { go_on, sample } => {
                f.write_str("traffic-action")?;
                f.write_str(if *sample { ":sample" } else { "" })?;
                f.write_str(if *go_on { ":go-on" } else { "" })
            }
            Self::Redirect(target) => write!(f, "redirect:{target}"),
            Self::Mark(dscp) => write!(f, "traffic-marking:{dscp}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn actions_are_written_read_and_printed() {
        let target = |text: &str| TrafficAction::Redirect(text.parse().unwrap());
        for (action, octets, text) in [
            (target("64512:100"), [0x80, 8, 0xfc, 0, 0, 0, 0, 100], "redirect:64512:100"),
            (target("10.0.0.1:7"), [0x81, 8, 10, 0, 0, 1, 0, 7], "redirect:10.0.0.1:7"),
            (target("4200000000:9"), [0x82, 8, 0xfa, 0x56, 0xea, 0, 0, 9], "redirect:4200000000:9"),
            (
                TrafficAction::RateBytes { informative_as: 64512, rate: 1500.0 },
                [0x80, 6, 0xfc, 0, 0x44, 0xbb, 0x80, 0],
                "traffic-rate:64512:1500",
            ),
            (
                TrafficAction::RatePackets { informative_as: 0, rate: 0.0 },
                [0x80, 0x0c, 0, 0, 0, 0, 0, 0],
                "traffic-rate-packets:0:0",
            ),
            (
                TrafficAction::Apply { go_on: true, sample: true },
                [0x80, 7, 0, 0, 0, 0, 0, 3],
                "traffic-action:sample:go-on",
            ),
            (
                TrafficAction::Apply { go_on: false, sample: false },
                [0x80, 7, 0, 0, 0, 0, 0, 0],
                "traffic-action",
            ),
            (TrafficAction::Mark(46), [0x80, 9, 0, 0, 0, 0, 0, 46], "traffic-marking:46"),
        ] {
            let community = ExtendedCommunity::from(action);
            assert_eq!(community, ExtendedCommunity(octets), "{text}");
            assert_eq!(community.as_traffic_action(), Some(action), "{text}");
            assert_eq!(community.to_string(), text);
        }
    }

    #[test]
    fn a_rate_below_zero_is_zero() {
        let community = ExtendedCommunity([0x80, 6, 0, 0, 0xbf, 0x80, 0, 0]);
        let zero = TrafficAction::RateBytes { informative_as: 0, rate: 0.0 };
        assert_eq!(community.as_traffic_action(), Some(zero));
    }
}
