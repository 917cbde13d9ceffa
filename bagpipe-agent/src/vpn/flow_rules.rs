//! What a flow specification says, as rules that the data plane knows.

use bagpipe_bgp::types::{IpPrefix, RouteTarget};
use bagpipe_bgp::wire::flowspec::{Component, FlowPrefix, Numeric, NumericField, holds};
use bagpipe_bgp::wire::{Attributes, ExtendedCommunity, FlowSpecRoute, TrafficAction};

use super::route::Ignored;
use crate::fib::Rule;

/// Protocols, and ranges of ports, that a flow specification may list.
const MAX_ALTERNATIVES: usize = 8;

/// The route target that packets are redirected to.
///
/// # Errors
/// Something else, or more, is to become of them.
pub(super) fn redirected_to(attributes: &Attributes) -> Result<RouteTarget, Ignored> {
    let mut actions = attributes.extended_communities.iter().filter_map(ExtendedCommunity::as_traffic_action);
    match (actions.next(), actions.next()) {
        (Some(TrafficAction::Redirect(target)), None) => Ok(target),
        _ => Err(Ignored::FlowAction),
    }
}

/// Whether a flow specification is applied to packets of who imports it.
///
/// # Errors
/// Why it is not.
pub(super) fn applied(flow: &FlowSpecRoute, attributes: &Attributes) -> Result<(), Ignored> {
    redirected_to(attributes)?;
    rules(flow).map(drop)
}

/// The rules that a flow specification comes to, one for each combination of what it lists; all to no instance yet.
///
/// # Errors
/// It is about a field that the data plane does not look at, or lists too much.
pub(super) fn rules(flow: &FlowSpecRoute) -> Result<Vec<Rule>, Ignored> {
    let any = Rule {
        version: flow.version(),
        source: None,
        destination: None,
        protocol: None,
        source_ports: None,
        destination_ports: None,
        vrf: 0,
    };
    flow.components().iter().try_fold(vec![any], |rules, component| {
        let alternatives = alternatives(component)?;
        let each = |rule: Rule| alternatives.iter().map(move |alternative| alternative.add_to(rule));
        Ok(rules.into_iter().flat_map(each).collect())
    })
}

/// One way to meet a component.
enum Alternative {
    Destination(IpPrefix),
    Source(IpPrefix),
    Protocol(u8),
    DestinationPorts((u16, u16)),
    SourcePorts((u16, u16)),
}

impl Alternative {
    fn add_to(&self, rule: Rule) -> Rule {
        match self {
            Self::Destination(prefix) => Rule { destination: Some(*prefix), ..rule },
            Self::Source(prefix) => Rule { source: Some(*prefix), ..rule },
            Self::Protocol(protocol) => Rule { protocol: Some(*protocol), ..rule },
            Self::DestinationPorts(ports) => Rule { destination_ports: Some(*ports), ..rule },
            Self::SourcePorts(ports) => Rule { source_ports: Some(*ports), ..rule },
        }
    }
}

fn alternatives(component: &Component) -> Result<Vec<Alternative>, Ignored> {
    let whole =
        |prefix: &FlowPrefix| (prefix.offset() == 0).then(|| prefix.prefix()).ok_or(Ignored::FlowField);
    Ok(match component {
        Component::Destination(prefix) => vec![Alternative::Destination(whole(prefix)?)],
        Component::Source(prefix) => vec![Alternative::Source(whole(prefix)?)],
        Component::Numeric(NumericField::Protocol, terms) => {
            let protocols = (0..=u8::MAX).filter(|protocol| holds(terms, u64::from(*protocol)));
            at_most(protocols.map(Alternative::Protocol))?
        }
        Component::Numeric(NumericField::DestinationPort, terms) => {
            at_most(ranges(terms).into_iter().map(Alternative::DestinationPorts))?
        }
        Component::Numeric(NumericField::SourcePort, terms) => {
            at_most(ranges(terms).into_iter().map(Alternative::SourcePorts))?
        }
        Component::Numeric(..) | Component::Bitmask(..) => return Err(Ignored::FlowField),
    })
}

fn at_most(alternatives: impl Iterator<Item = Alternative>) -> Result<Vec<Alternative>, Ignored> {
    let alternatives: Vec<_> = alternatives.take(MAX_ALTERNATIVES + 1).collect();
    if alternatives.len() > MAX_ALTERNATIVES { Err(Ignored::FlowField) } else { Ok(alternatives) }
}

/// The ports that meet a condition, as ranges. Between the numbers that it names, all do or none.
fn ranges(terms: &[Numeric]) -> Vec<(u16, u16)> {
    let named = terms.iter().filter_map(|term| u16::try_from(term.value()).ok());
    let mut starts: Vec<u16> = named.flat_map(|port| [Some(port), port.checked_add(1)]).flatten().collect();
    starts.push(0);
    starts.sort_unstable();
    starts.dedup();
    let ends = starts.iter().skip(1).map(|next| next - 1).chain([u16::MAX]);
    let mut ranges: Vec<(u16, u16)> = Vec::new();
    for (first, last) in starts.iter().copied().zip(ends) {
        if !holds(terms, first.into()) {
            continue;
        }
        match ranges.last_mut() {
            Some((_, before)) if before.checked_add(1) == Some(first) => *before = last,
            _ => ranges.push((first, last)),
        }
    }
    ranges
}

#[cfg(test)]
mod tests {
    use bagpipe_bgp::wire::flowspec::Comparison;

    use super::*;

    #[test]
    fn conditions_on_ports_are_ranges() {
        let term = Numeric::new;
        for (terms, expected) in [
            (vec![term(Comparison::EQUAL, 80)], vec![(80, 80)]),
            (vec![term(Comparison::AT_LEAST, 80), term(Comparison::AT_MOST, 90).and()], vec![(80, 90)]),
            (vec![term(Comparison::EQUAL, 80), term(Comparison::EQUAL, 81)], vec![(80, 81)]),
            (vec![term(Comparison::OTHER, 0)], vec![(1, u16::MAX)]),
            (vec![term(Comparison::OTHER, 9)], vec![(0, 8), (10, u16::MAX)]),
            (vec![term(Comparison::GREATER, 65_535)], vec![]),
            (vec![term(Comparison::LESS, 100_000)], vec![(0, u16::MAX)]),
            (vec![term(Comparison::NEVER, 5)], vec![]),
        ] {
            assert_eq!(ranges(&terms), expected, "{terms:?}");
        }
    }
}
