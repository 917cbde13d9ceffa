//! RFC 4271 §9.1.2.2, RFC 4456 §9, RFC 7432 §15: each rule, and that the order of arrival does not matter.

use proptest::prelude::*;

use super::*;
use crate::wire::ExtendedCommunity;
use crate::wire::attribute::{AsSegment, Origin};
use crate::wire::community::MacMobility;

/// 1 to 3 internal, 4 to 6 external.
fn peers() -> Rib {
    let mut rib = rib();
    for number in 1..=6 {
        let kind = if number <= 3 { Kind::NonClient } else { Kind::External };
        rib.peer_up(PeerId(number), facts(number, kind, &[Family::EVPN]));
    }
    rib
}

/// The peer whose path is the best, after the paths arrived in this order.
fn winner(paths: &[(u32, Attributes)]) -> u32 {
    let mut rib = peers();
    for (peer, attributes) in paths {
        rib.receive(PeerId(*peer), &announce(attributes.clone(), &[mac(1, 1)]));
    }
    let best = rib.routes().find(|path| path.best).unwrap();
    best.peer.unwrap().0
}

fn path(ases: &[Asn]) -> AsPath {
    AsPath(if ases.is_empty() { vec![] } else { vec![AsSegment::Sequence(ases.to_vec())] })
}

fn moved(sticky: bool, sequence: u32) -> Attributes {
    let mobility = ExtendedCommunity::mac_mobility(MacMobility { sticky, sequence });
    Attributes { extended_communities: vec![mobility], ..attributes(30, &[]) }
}

#[test]
fn each_rule_decides_when_those_before_it_do_not() {
    let plain = || attributes(30, &[]);
    // (what, winner with its path, loser with its path)
    let cases = [
        ("sticky", (2, moved(true, 0)), (1, moved(false, 9))),
        ("sequence", (2, moved(false, 3)), (1, Attributes { local_pref: Some(999), ..moved(false, 2) })),
        ("sequence zero is none", (1, plain()), (2, moved(false, 0))),
        ("local preference", (2, Attributes { local_pref: Some(101), ..plain() }), (1, plain())),
        ("path length", (2, plain()), (1, Attributes { as_path: path(&[7]), ..plain() })),
        ("origin", (2, plain()), (1, Attributes { origin: Origin::Incomplete, ..plain() })),
        ("MED", (2, Attributes { med: Some(1), ..plain() }), (1, Attributes { med: Some(2), ..plain() })),
        (
            "external over internal",
            (4, Attributes { as_path: path(&[7]), ..plain() }),
            (1, Attributes { as_path: path(&[7]), ..plain() }),
        ),
        ("router identifier", (1, plain()), (2, plain())),
        ("originator", (2, Attributes { originator_id: Some(address(0)), ..plain() }), (1, plain())),
        (
            "cluster list",
            (2, Attributes { originator_id: Some(address(9)), ..plain() }),
            (1, Attributes { originator_id: Some(address(9)), cluster_list: vec![address(5)], ..plain() }),
        ),
        (
            "address",
            (1, Attributes { originator_id: Some(address(9)), ..plain() }),
            (2, Attributes { originator_id: Some(address(9)), ..plain() }),
        ),
    ];
    for (what, winning, losing) in cases {
        assert_eq!(winner(&[winning.clone(), losing.clone()]), winning.0, "{what}");
        assert_eq!(winner(&[losing, winning.clone()]), winning.0, "{what}, the other way round");
    }
}

#[test]
fn a_route_of_this_speaker_is_always_the_best() {
    let mut rib = peers();
    rib.receive(PeerId(1), &announce(Attributes { local_pref: Some(999), ..moved(true, 9) }, &[mac(1, 1)]));
    rib.originate(mac(1, 1), attributes(254, &[]));
    assert_eq!(rib.routes().find(|path| path.best).unwrap().peer, None);
}

#[test]
fn a_peer_that_comes_back_as_another_router_is_ranked_anew() {
    let mut rib = peers();
    for peer in [1, 2] {
        rib.receive(PeerId(peer), &announce(attributes(30, &[]), &[mac(1, 1)]));
    }
    let best = |rib: &Rib| rib.routes().find(|path| path.best).unwrap().peer;
    assert_eq!(best(&rib), Some(PeerId(1)));
    rib.peer_down(PeerId(1), &[Family::EVPN]);
    assert_eq!(best(&rib), Some(PeerId(1)), "a stale path is as good as any");
    let other = RibPeer { router_id: address(99), ..facts(1, Kind::NonClient, &[Family::EVPN]) };
    rib.peer_up(PeerId(1), other);
    assert_eq!(best(&rib), Some(PeerId(2)));
}

fn any_attributes() -> impl Strategy<Value = Attributes> {
    let ases = proptest::collection::vec(7_u32..9, 0..3);
    (
        99..101_u32,
        ases,
        0..2_u8,
        proptest::option::of(0..3_u32),
        proptest::option::of(40..43_u32),
        0..2_usize,
        0..3_u32,
    )
        .prop_map(|(local_pref, ases, origin, med, originator, clusters, sequence)| Attributes {
            local_pref: Some(local_pref),
            as_path: path(&ases),
            origin: if origin == 0 { Origin::Igp } else { Origin::Incomplete },
            med,
            originator_id: originator.map(address),
            cluster_list: vec![address(50); clusters],
            ..moved(false, sequence / 2)
        })
}

proptest! {
    #[test]
    fn the_order_of_arrival_does_not_matter(
        paths in proptest::collection::vec(any_attributes(), 6),
        order in Just([1_u32, 2, 3, 4, 5, 6]).prop_shuffle(),
    ) {
        let arrive = |order: [u32; 6]| order.map(|peer| (peer, paths[peer as usize - 1].clone()));
        prop_assert_eq!(winner(&arrive(order)), winner(&arrive([1, 2, 3, 4, 5, 6])));
    }
}
