//! IP VPN routes through the RIB: what names them, what is said of them, and which path is the best.

use super::*;
use crate::rib::NextHopPolicy;
use crate::types::{IpVersion, Label};
use crate::wire::FlowSpecRoute;
use crate::wire::attribute::AsSegment;
use crate::wire::flowspec::{Comparison, Component, Numeric, NumericField};

const FAMILIES: &[Family] = &[Family::VPNV4, Family::VPNV6];
const PREFIXES: [&str; 4] = ["192.0.2.0/24", "0.0.0.0/0", "2001:db8::/61", "2001:db8::1/128"];

fn route(prefix: &str, label: Option<u32>) -> Nlri {
    Nlri::Vpn(VpnRoute {
        labels: label.and_then(Label::new).map(Into::into).unwrap_or_default(),
        rd: RouteDistinguisher::from_ipv4(Ipv4Addr::new(10, 0, 0, 1), 7),
        prefix: prefix.parse().unwrap(),
    })
}

#[test]
fn a_label_changes_the_route_and_does_not_name_it() {
    for prefix in PREFIXES {
        let mut network = Network::new(&[(Kind::Client, FAMILIES), (Kind::Client, FAMILIES)]);
        network.announce(1, attributes(1, &[target(1)]), &[route(prefix, Some(16))]);
        network.announce(1, attributes(1, &[target(1)]), &[route(prefix, Some(17))]);
        assert_eq!(network.knowing(&route(prefix, None)), [2]);
        network.announce(1, attributes(1, &[target(1)]), &[route(prefix, Some(18))]);
        network.settle();
        let held: Vec<_> = network.peers[1].1.routes.values().map(|(nlri, _)| nlri.clone()).collect();
        assert_eq!(held, [route(prefix, Some(18))]);
        // RFC 8277 §2.4: the labels of a withdrawal do not matter.
        network.withdraw(1, &[route(prefix, None)]);
        assert_eq!(network.knowing(&route(prefix, None)), [0; 0]);
        assert_eq!(network.rib.routes().count(), 0);
    }
}

#[test]
fn the_route_is_reported_with_the_label_of_its_best_path() {
    for prefix in PREFIXES {
        let mut network = Network::new(&[(Kind::Client, FAMILIES), (Kind::Client, FAMILIES)]);
        network.rib.import(target(1));
        for peer in [2, 1] {
            network.announce(peer, attributes(peer, &[target(1)]), &[route(prefix, Some(16 + peer))]);
        }
        let labels = |network: &mut Network| {
            let bests = network.changes().into_iter().map(|change| change.best.map(|path| path.nlri));
            bests.collect::<Vec<_>>()
        };
        assert_eq!(labels(&mut network), [Some(route(prefix, Some(17)))]);
        network.withdraw(1, &[route(prefix, None)]);
        assert_eq!(labels(&mut network), [Some(route(prefix, Some(18)))]);
        network.withdraw(2, &[route(prefix, Some(99))]);
        assert_eq!(labels(&mut network), [None]);
    }
}

/// RFC 8950 §4: an IPv6 next hop of VPN-IPv4 routes is only for peers that can take it. RFC 4659 §3.2.1.2: an IPv4
/// one of VPN-IPv6 routes is for everybody.
#[test]
fn a_peer_gets_only_next_hops_that_it_can_take() {
    let extended = |facts: RibPeer, extended_next_hop| RibPeer {
        context: Context { extended_next_hop, ..facts.context.clone() },
        ..facts
    };
    let mut network = Network::new(&[(Kind::Client, FAMILIES); 3]);
    for (number, takes) in [(1, true), (2, true), (3, false)] {
        let (facts, remote) = &mut network.peers[number as usize - 1];
        *facts = extended(facts.clone(), takes);
        *remote = Remote::default();
        network.rib.peer_up(PeerId(number), facts.clone());
    }
    let with = |next_hop: &str| Attributes {
        next_hop: Some(next_hop.parse::<IpAddr>().unwrap().into()),
        ..attributes(1, &[target(1)])
    };
    for (prefix, next_hop, knowing) in [
        ("192.0.2.0/24", "10.0.0.1", vec![2, 3]),
        ("192.0.2.0/24", "2001:db8::9", vec![2]),
        ("192.0.2.0/24", "10.0.0.1", vec![2, 3]),
        ("2001:db8::/61", "2001:db8::9", vec![2, 3]),
        ("2001:db8::/61", "10.0.0.1", vec![2, 3]),
    ] {
        network.announce(1, with(next_hop), &[route(prefix, Some(16))]);
        assert_eq!(network.knowing(&route(prefix, None)), knowing, "{prefix} by {next_hop}");
    }
}

/// RFC 8955 §4: flow specifications have no next hop, also where this speaker is that of all other routes; their route
/// targets count as those of routes do.
#[test]
fn flow_specifications_are_reflected_and_imported() {
    let families = &[Family::FLOWSPEC_VPNV4, Family::FLOWSPEC_VPNV6];
    let rd = RouteDistinguisher::from_ipv4(Ipv4Addr::new(10, 0, 0, 1), 7);
    for version in [IpVersion::V4, IpVersion::V6] {
        let port = Numeric::new(Comparison::EQUAL, 80);
        let components = vec![Component::Numeric(NumericField::Port, vec![port])];
        let flow = Nlri::FlowSpec(FlowSpecRoute::new(rd, version, components).unwrap());
        let mut network = Network::new(&[(Kind::Client, families), (Kind::Client, families)]);
        network.peers[1].0.policy.next_hop = NextHopPolicy::Ourselves;
        network.rib.peer_up(PeerId(2), network.peers[1].0.clone());
        network.rib.import(target(1));
        network.announce(1, attributes(1, &[target(1)]), std::slice::from_ref(&flow));
        assert_eq!(network.knowing(&flow), [2]);
        assert_eq!(network.held(2, &flow).next_hop, None);
        let changes = network.changes();
        assert_eq!(changes.iter().filter(|change| change.nlri == flow && change.best.is_some()).count(), 1);
        network.withdraw(1, std::slice::from_ref(&flow));
        assert_eq!(network.knowing(&flow), [0; 0]);
        assert_eq!(network.changes().iter().filter(|change| change.best.is_none()).count(), 1);
    }
}

/// RFC 4271 §9.1.2.2 c: of two paths from one neighboring AS the MED decides, before what else would.
#[test]
fn med_is_compared_within_a_neighboring_as() {
    let path = |ases: [Asn; 2], med| Attributes {
        as_path: AsPath(vec![AsSegment::Sequence(ases.to_vec())]),
        med,
        ..attributes(30, &[])
    };
    let cases = [
        ("the lower of one AS", 2, [path([7, 9], Some(2)), path([7, 8], Some(1))]),
        ("none is zero", 2, [path([7, 9], Some(1)), path([7, 9], None)]),
        ("not between ASes", 1, [path([7, 9], Some(2)), path([8, 9], Some(1))]),
    ];
    for prefix in PREFIXES {
        for (what, winner, paths) in &cases {
            let mut network = Network::new(&[(Kind::NonClient, FAMILIES), (Kind::NonClient, FAMILIES)]);
            for (peer, attributes) in (1..).zip(paths) {
                network.announce(peer, attributes.clone(), &[route(prefix, Some(16))]);
            }
            let best = network.rib.routes().find(|path| path.best).unwrap();
            assert_eq!(best.peer, Some(PeerId(*winner)), "{what}");
        }
    }
}

/// A path that loses to another of its AS by MED does not come back when that one loses to a third.
#[test]
fn a_path_that_med_has_ruled_out_does_not_win() {
    let path = |asn, med| Attributes {
        as_path: AsPath(vec![AsSegment::Sequence(vec![asn])]),
        med: Some(med),
        ..attributes(30, &[])
    };
    let paths = [(1, path(7, 9)), (2, path(8, 0)), (3, path(7, 1))];
    for order in [[0, 1, 2], [0, 2, 1], [1, 0, 2], [1, 2, 0], [2, 0, 1], [2, 1, 0]] {
        let mut network = Network::new(&[(Kind::NonClient, FAMILIES); 3]);
        for (peer, attributes) in order.map(|position| paths[position].clone()) {
            network.announce(peer, attributes, &[route(PREFIXES[0], Some(16))]);
        }
        assert_eq!(network.rib.routes().find(|path| path.best).unwrap().peer, Some(PeerId(2)));
    }
}
