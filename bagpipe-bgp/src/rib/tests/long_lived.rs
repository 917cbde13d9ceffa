//! Routes that are kept as the last resort (RFC 9494).

use super::*;
use crate::rib::long_lived::LLGR_STALE;

const EVPN: &[Family] = &[Family::EVPN];
const NO_LLGR: u32 = 0xffff_0007;

/// Peers 1 and 2 announce; peer 3 knows LLGR_STALE, peer 4 does not. Peer 1 has gone for long.
fn network(routes: &[(u32, Attributes, Nlri)]) -> Network {
    let mut network = Network::new(&[(Kind::Client, EVPN); 4]);
    let (facts, remote) = &mut network.peers[2];
    facts.long_lived = true;
    *remote = Remote::default();
    network.rib.peer_up(PeerId(3), facts.clone());
    for (from, attributes, nlri) in routes {
        network.announce(*from, attributes.clone(), std::slice::from_ref(nlri));
    }
    network.settle();
    network.rib.peer_down(PeerId(1), EVPN);
    network.settle();
    network
}

fn said(from: u32) -> Attributes {
    attributes(from, &[target(1)])
}

#[test]
fn what_is_kept_for_long_is_marked_for_those_who_know_and_withdrawn_from_others() {
    let none = Attributes { communities: vec![NO_LLGR], ..said(1) };
    let mut network = network(&[(1, said(1), mac(1, 1)), (1, said(1), mac(2, 1)), (1, none, mac(3, 1))]);
    assert_eq!(network.knowing(&mac(1, 1)), [2, 3, 4], "the restart time goes on");
    network.rib.mark_long_lived(PeerId(1), Family::EVPN);
    let marked = network.rib.attributes.len();
    network.rib.mark_long_lived(PeerId(1), Family::EVPN);
    assert_eq!((network.rib.attributes.len(), marked), (1, 1), "once, and for both routes");
    for route in [mac(1, 1), mac(2, 1)] {
        assert_eq!(network.knowing(&route), [3]);
        assert_eq!(network.held(3, &route).communities, [LLGR_STALE]);
    }
    // RFC 9494 §3.3
    assert_eq!(network.knowing(&mac(3, 1)), [0; 0]);
    assert!(network.rib.routes().all(|path| path.stale));

    // It is back: what it announces again is as good as ever, and what it does not goes.
    let facts = network.peers[0].0.clone();
    network.rib.peer_up(PeerId(1), facts);
    network.announce(1, said(1), &[mac(1, 1)]);
    assert_eq!(network.knowing(&mac(1, 1)), [2, 3, 4]);
    assert!(network.held(3, &mac(1, 1)).communities.is_empty());
    network.rib.sweep(PeerId(1), Family::EVPN);
    assert_eq!(network.knowing(&mac(2, 1)), [0; 0]);
    assert_eq!(network.rib.routes().count(), 1);
}

/// RFC 9494 §4.3.
#[test]
fn the_last_resort_loses_against_anything() {
    let better = Attributes { local_pref: Some(500), ..said(1) };
    let mut network = network(&[(1, better, mac(1, 1)), (2, said(2), mac(1, 2))]);
    let best = |network: &Network| network.rib.routes().find(|path| path.best).and_then(|path| path.peer);
    assert_eq!(best(&network), Some(PeerId(1)));
    network.rib.mark_long_lived(PeerId(1), Family::EVPN);
    assert_eq!(best(&network), Some(PeerId(2)));
    network.withdraw(2, &[mac(1, 2)]);
    assert_eq!(best(&network), Some(PeerId(1)));
    // One that came marked is one too.
    let marked = Attributes { communities: vec![LLGR_STALE], local_pref: Some(900), ..said(2) };
    network.announce(2, marked, &[mac(1, 2)]);
    assert_eq!(best(&network), Some(PeerId(2)), "among themselves as ever");
}
