//! Flow specifications that an IP-VPN originates to attract traffic (bagpipe-bgp's `attract_traffic`): who imports them
//! routes such packets by the default routes that this one announces (RFC 8955 §7.4, §8).

use std::collections::btree_map::Entry;

use bagpipe_bgp::types::{IpPrefix, RouteTarget};
use bagpipe_bgp::wire::flowspec::{Comparison, Component, FlowPrefix, Numeric, NumericField};
use bagpipe_bgp::wire::{Attributes, ExtendedCommunity, FlowSpecRoute, Nlri, TrafficAction};

use super::super::effects::Effects;
use super::super::originate::Originator;
use super::super::request::TrafficClass;
use super::Router;
use super::announce::LOCAL_PREF;

impl Router {
    /// Brings the flow specification for packets to a prefix up to date.
    pub(super) fn announce_flow(&mut self, prefix: IpPrefix, originator: &Originator, effects: &mut Effects) {
        let wanted = self.flow(prefix, originator);
        let entry = self.flows.entry(prefix);
        match (&entry, &wanted) {
            (Entry::Occupied(known), Some(wanted)) if known.get() == wanted => return,
            (Entry::Occupied(known), _) if wanted.as_ref().map(|(flow, _)| flow) != Some(&known.get().0) => {
                let (flow, _) = known.get();
                effects.withdraw.push(Nlri::FlowSpec(flow.clone()));
                effects.local_flows.push((flow.clone(), None));
            }
            _ => {}
        }
        match (entry, wanted) {
            (entry, Some((flow, attributes))) => {
                effects.announce.push((Nlri::FlowSpec(flow.clone()), attributes.clone()));
                effects.local_flows.push((flow.clone(), Some(attributes.clone().into())));
                entry.insert_entry((flow, attributes));
            }
            (Entry::Occupied(known), None) => drop(known.remove()),
            (Entry::Vacant(_), None) => {}
        }
    }

    fn flow(&self, prefix: IpPrefix, originator: &Originator) -> Option<(FlowSpecRoute, Attributes)> {
        let relayed = self.relayed.as_ref()?;
        let attract = relayed.relay.attract.as_ref()?;
        let to = relayed.relay.to.first()?;
        // Nobody could import it, or there is nobody to send to.
        if attract.redirect.is_empty() || self.relaying().next().is_none() {
            return None;
        }
        let fixed = attract.destinations.contains(&prefix).then(Default::default);
        let record = relayed.record(prefix).or(fixed)?;
        let components = components(&attract.class, prefix)?;
        let flow = FlowSpecRoute::new(originator.rd, prefix.version(), components).ok()?;
        let targets = attract.redirect.iter().map(|target| ExtendedCommunity::from(*target));
        let record = record.iter().map(|target: &RouteTarget| ExtendedCommunity::rt_record(*target));
        let action = ExtendedCommunity::from(TrafficAction::Redirect(*to));
        let attributes = Attributes {
            local_pref: Some(LOCAL_PREF),
            extended_communities: targets.chain([action]).chain(record).collect(),
            ..Attributes::default()
        };
        Some((flow, attributes))
    }
}

/// Packets of a class to a prefix; none if there can be no such.
fn components(class: &TrafficClass, prefix: IpPrefix) -> Option<Vec<Component>> {
    let destination = class.destination.map_or(Some(prefix), |other| common(prefix, other))?;
    if class.source.is_some_and(|source| source.version() != prefix.version()) {
        return None;
    }
    let whole = |prefix| FlowPrefix::new(prefix, 0);
    let ports =
        |field, ports: Option<(u16, u16)>| ports.map(|ports| Component::Numeric(field, between(ports)));
    let protocol = Numeric::new(Comparison::EQUAL, class.protocol.into());
    let mut components = vec![
        Component::Destination(whole(destination)?),
        Component::Numeric(NumericField::Protocol, vec![protocol]),
    ];
    components.extend(class.source.and_then(whole).map(Component::Source));
    components.extend(ports(NumericField::DestinationPort, class.destination_ports));
    components.extend(ports(NumericField::SourcePort, class.source_ports));
    Some(components)
}

/// The longer one of two prefixes, if it is in the other.
fn common(one: IpPrefix, other: IpPrefix) -> Option<IpPrefix> {
    let (wide, narrow) = if one.length() <= other.length() { (one, other) } else { (other, one) };
    (wide.version() == narrow.version() && wide.contains(narrow.address())).then_some(narrow)
}

fn between((first, last): (u16, u16)) -> Vec<Numeric> {
    if first == last {
        return vec![Numeric::new(Comparison::EQUAL, first.into())];
    }
    vec![
        Numeric::new(Comparison::AT_LEAST, first.into()),
        Numeric::new(Comparison::AT_MOST, last.into()).and(),
    ]
}
