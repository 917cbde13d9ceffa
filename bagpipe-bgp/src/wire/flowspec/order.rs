//! Which of two flow specifications is applied first (RFC 8955 §5.1, RFC 8956 §5).

use std::cmp::Ordering;

use bytes::BytesMut;

use super::FlowSpecRoute;
use super::component::{Component, FlowPrefix};

impl FlowSpecRoute {
    /// Less than the other if this one comes first; equal only if they are the same.
    #[must_use]
    pub fn precedence(&self, other: &Self) -> Ordering {
        let components = self.components.iter().zip(&other.components);
        let mut differences = components.map(|(own, other)| own.precedence(other));
        let first = differences.find(|order| order.is_ne()).unwrap_or(Ordering::Equal);
        // Who says more comes first.
        let longer = other.components.len().cmp(&self.components.len());
        first
            .then(longer)
            .then_with(|| self.version.cmp(&other.version))
            .then_with(|| self.rd.0.cmp(&other.rd.0))
    }
}

impl Component {
    fn precedence(&self, other: &Self) -> Ordering {
        match (self, other) {
            (Self::Destination(own), Self::Destination(other)) | (Self::Source(own), Self::Source(other)) => {
                own.precedence(other)
            }
            _ => {
                let (own, other) = (self.octets(), other.octets());
                let common = own.len().min(other.len());
                own.iter().take(common).cmp(other.iter().take(common)).then(other.len().cmp(&own.len()))
            }
        }
    }

    /// Beginning with its type: the lowest comes first.
    fn octets(&self) -> BytesMut {
        let mut octets = BytesMut::new();
        self.encode(&mut octets);
        octets
    }
}

impl FlowPrefix {
    /// The longer of two prefixes that have addresses in common comes first, else the lower.
    fn precedence(&self, other: &Self) -> Ordering {
        let (own, others) = (self.prefix(), other.prefix());
        let overlap = own.contains(others.address()) || others.contains(own.address());
        let longer = others.length().cmp(&own.length());
        let by_address = own.address().cmp(&others.address());
        self.offset().cmp(&other.offset()).then(if overlap { longer } else { by_address })
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Comparison, Numeric, NumericField};
    use super::*;
    use crate::types::{IpVersion, RouteDistinguisher};

    fn flow(components: &[Component]) -> FlowSpecRoute {
        FlowSpecRoute::new(RouteDistinguisher([0; 8]), IpVersion::V4, components.to_vec()).unwrap()
    }

    fn to(prefix: &str) -> Component {
        Component::Destination(FlowPrefix::new(prefix.parse().unwrap(), 0).unwrap())
    }

    fn protocol(number: u64) -> Component {
        Component::Numeric(NumericField::Protocol, vec![Numeric::new(Comparison::EQUAL, number)])
    }

    #[test]
    fn the_more_specific_comes_first() {
        let source = Component::Source(FlowPrefix::new("10.0.0.0/8".parse().unwrap(), 0).unwrap());
        let ordered = [
            flow(&[to("10.1.0.0/16"), protocol(6)]),
            flow(&[to("10.1.0.0/16")]),
            flow(&[to("10.0.0.0/8"), source.clone()]),
            flow(&[to("10.0.0.0/8"), protocol(6)]),
            flow(&[to("10.0.0.0/8"), protocol(17)]),
            flow(&[to("10.0.0.0/8")]),
            flow(&[to("11.0.0.0/24")]),
            flow(&[source]),
            flow(&[protocol(6)]),
            flow(&[]),
        ];
        for (place, first) in ordered.iter().enumerate() {
            for (other, second) in ordered.iter().enumerate() {
                assert_eq!(first.precedence(second), place.cmp(&other), "{first} and {second}");
            }
        }
    }
}
