//! What is taken from a peer and what it is told, beyond what route targets decide.

use super::*;
use crate::wire::attribute::AsSegment;

const EVPN: &[Family] = &[Family::EVPN];
const BOTH: &[Family] = &[Family::EVPN, Family::ROUTE_TARGET];

impl Network {
    /// Starts the session of a peer again, under a policy.
    fn set_policy(&mut self, number: u32, policy: Policy) {
        let (facts, remote) = &mut self.peers[number as usize - 1];
        facts.policy = policy;
        *remote = Remote::default();
        self.rib.peer_up(PeerId(number), facts.clone());
    }
}

fn external(next_hop: u32) -> Attributes {
    let as_path = AsPath(vec![AsSegment::Sequence(vec![65001])]);
    Attributes { as_path, local_pref: None, ..attributes(next_hop, &[target(1)]) }
}

/// RFC 8212 §3.
#[test]
fn without_a_word_nothing_crosses_the_border() {
    assert_eq!((Import::usual(false), Export::usual(false)), (Import::None, Export::None));
    assert_eq!((Import::usual(true), Export::usual(true)), (Import::All, Export::All));
    let mut network = Network::new(&[(Kind::External, EVPN), (Kind::Client, EVPN)]);
    network.rib.import(target(1));
    network.set_policy(1, Policy { import: Import::None, export: Export::None, ..Policy::default() });
    network.announce(1, external(1), &[mac(1, 1)]);
    network.announce(2, attributes(2, &[target(1)]), &[mac(2, 1)]);
    network.rib.originate(mac(3, 1), attributes(254, &[target(1)]));
    assert_eq!(network.knowing(&mac(1, 1)), [0; 0]);
    assert_eq!(network.knowing(&mac(2, 1)), [0; 0]);
    assert_eq!(network.knowing(&mac(3, 1)), [2]);
    let held = network.rib.routes().filter(|path| path.nlri.family() == Family::EVPN).count();
    assert_eq!(held, 2, "what is not taken is not held either");
    let changed: Vec<_> = network.changes().into_iter().map(|change| key_of(&change.nlri)).collect();
    assert_eq!(changed, [key_of(&mac(2, 1))]);
}

#[test]
fn who_is_told_own_routes_only_is_told_no_others() {
    let mut network = Network::new(&[(Kind::External, EVPN), (Kind::Client, EVPN)]);
    network.set_policy(1, Policy { export: Export::Own, ..Policy::default() });
    network.announce(1, external(1), &[mac(1, 1)]);
    network.announce(2, attributes(2, &[target(1)]), &[mac(2, 1)]);
    network.rib.originate(mac(3, 1), attributes(254, &[target(1)]));
    assert_eq!(network.knowing(&mac(1, 1)), [2]);
    assert_eq!(network.knowing(&mac(2, 1)), [0; 0]);
    assert_eq!(network.knowing(&mac(3, 1)), [1, 2]);
    // Ours, when a better path to the same comes and goes.
    network.rib.withdraw(&mac(3, 1));
    assert_eq!(network.knowing(&mac(3, 1)), [0; 0]);
}

/// Memberships say what routes are wanted: they are sent to those from whom routes are taken, and taken from all.
#[test]
fn memberships_go_against_the_routes() {
    let policies = [
        Policy { import: Import::All, export: Export::None, ..Policy::default() },
        Policy { import: Import::None, export: Export::All, ..Policy::default() },
    ];
    for policy in policies {
        let mut network = Network::new(&[(Kind::External, BOTH), (Kind::Client, BOTH)]);
        network.set_policy(1, policy);
        network.rib.import(target(1));
        network.rib.release_memberships(PeerId(1));
        network.announce(1, external(1), &[membership(target(2))]);
        network.settle();
        let asked = network.peers[0].1.has(&membership(target(1)));
        assert_eq!(asked, policy.import == Import::All);
        assert_eq!(network.knowing(&membership(target(2))), [2]);
        network.rib.originate(mac(3, 1), attributes(254, &[target(2)]));
        assert_eq!(network.knowing(&mac(3, 1)).contains(&1), policy.export == Export::All);
    }
}

/// RFC 4364 §10 (b), or (c) when the next hop is kept.
#[test]
fn the_next_hop_is_kept_or_ours() {
    let mut network = Network::new(&[
        (Kind::External, EVPN),
        (Kind::External, EVPN),
        (Kind::Client, EVPN),
        (Kind::Client, EVPN),
    ]);
    for ourselves in [2, 4] {
        network.set_policy(ourselves, Policy { next_hop: NextHopPolicy::Ourselves, ..Policy::default() });
    }
    network.announce(3, attributes(33, &[target(1)]), &[mac(3, 1)]);
    network.announce(1, external(11), &[mac(1, 1)]);
    network.rib.originate(mac(9, 1), attributes(99, &[target(1)]));
    network.settle();
    let next_hop = |peer, route: &Nlri| network.held(peer, route).next_hop.unwrap().address;
    assert_eq!(next_hop(1, &mac(3, 1)), address(33));
    assert_eq!(next_hop(2, &mac(3, 1)), OWN);
    assert_eq!(next_hop(3, &mac(1, 1)), address(11));
    assert_eq!(next_hop(4, &mac(1, 1)), OWN);
    assert_eq!(next_hop(4, &mac(3, 1)), OWN);
    // Where our own tunnels end we know better.
    assert_eq!(next_hop(2, &mac(9, 1)), address(99));
    // RFC 4271 §5.1.2: our AS comes in front, for other ASes alone.
    let path = |peer, route: &Nlri| network.held(peer, route).as_path.to_string();
    assert_eq!(path(1, &mac(3, 1)), ASN.to_string());
    assert_eq!(path(2, &mac(1, 1)), format!("{ASN} 65001"));
    assert_eq!(path(4, &mac(1, 1)), "65001");
}
