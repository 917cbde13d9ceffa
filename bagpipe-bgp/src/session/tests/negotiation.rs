//! What two OPENs agree on.

use std::num::NonZeroU32;

use super::*;
use crate::wire::{ExtendedNextHop, LongLived};

#[test]
fn negotiation_takes_the_common_ground() {
    let mut open = config(2).open();
    open.hold_time = 30;
    open.capabilities = vec![
        Capability::Unknown { code: 200, value: Bytes::from_static(b"?") },
        Capability::Multiprotocol(Family::VPNV4),
        Capability::Multiprotocol(Family::EVPN),
        Capability::GracefulRestart { restarting: true, notification: true, time: 1, families: Vec::new() },
        // RFC 4724 §3: the last one counts.
        Capability::GracefulRestart { restarting: false, notification: false, time: 7, families: Vec::new() },
    ];
    let negotiated = config(1).negotiate(&open).unwrap();
    assert_eq!(negotiated.families, [Family::EVPN]);
    assert_eq!(negotiated.hold_time, 30);
    assert!(!negotiated.four_octet_as && !negotiated.route_refresh && !negotiated.extended_message);
    assert_eq!(negotiated.graceful_restart.unwrap().time, 7);

    let without = SessionConfig { restart_time: 0, ..config(1) };
    assert_eq!(without.negotiate(&open).unwrap().graceful_restart, None);
    assert!(!without.open().capabilities.iter().any(|it| matches!(it, Capability::GracefulRestart { .. })));
}

#[test]
fn ipv6_next_hops_of_vpnv4_routes_need_the_word_of_both() {
    let families = |families: &[Family]| SessionConfig { families: families.to_vec(), ..config(1) };
    let offers = |config: &SessionConfig| {
        let entries = Capability::ExtendedNextHop(vec![ExtendedNextHop::VPNV4_OVER_IPV6]);
        config.open().capabilities.contains(&entries)
    };
    let both = families(&[Family::VPNV4, Family::EVPN]);
    assert!(offers(&both) && !offers(&families(&[Family::EVPN, Family::VPNV6])));

    // The entries of several capabilities add up; those of other families do not count.
    let other = ExtendedNextHop { family: Family::IPV4_UNICAST, next_hop_afi: 2 };
    let wrong = ExtendedNextHop { next_hop_afi: 1, ..ExtendedNextHop::VPNV4_OVER_IPV6 };
    for (entries, expected) in [
        (vec![], false),
        (vec![vec![other, wrong]], false),
        (vec![vec![other], vec![ExtendedNextHop::VPNV4_OVER_IPV6]], true),
    ] {
        let mut open = families(&[Family::VPNV4]).open();
        open.router_id = Ipv4Addr::new(192, 0, 2, 2);
        open.capabilities.retain(|it| !matches!(it, Capability::ExtendedNextHop(_)));
        open.capabilities.extend(entries.into_iter().map(Capability::ExtendedNextHop));
        assert_eq!(both.negotiate(&open).unwrap().extended_next_hop, expected, "{open:?}");
        // Not without the family.
        open.capabilities.push(Capability::Multiprotocol(Family::EVPN));
        open.capabilities.retain(|it| *it != Capability::Multiprotocol(Family::VPNV4));
        assert!(!both.negotiate(&open).unwrap().extended_next_hop);
    }
}

/// RFC 9494 §3.1, §4.2.
#[test]
fn long_lived_restart_takes_both_and_lasts_no_longer_than_we_allow() {
    let ours = SessionConfig { long_lived_time: 3_600, ..config(1) };
    let offers = |config: &SessionConfig| {
        config.open().capabilities.iter().any(|it| matches!(it, Capability::LongLived(_)))
    };
    assert!(
        offers(&ours) && !offers(&config(1)) && !offers(&SessionConfig { restart_time: 0, ..ours.clone() })
    );

    let entry = |family, time| LongLived { family, forwarding: true, time };
    let entries = [entry(Family::EVPN, 60), entry(Family::ROUTE_TARGET, LongLived::MAX_TIME)];
    let mut open = config(2).open();
    open.capabilities.push(Capability::LongLived(entries.to_vec()));
    let agreed = [entry(Family::EVPN, 60), entry(Family::ROUTE_TARGET, 3_600)];
    assert_eq!(ours.negotiate(&open).unwrap().long_lived, agreed);
    assert_eq!(config(1).negotiate(&open).unwrap().long_lived, []);
    open.capabilities.retain(|it| !matches!(it, Capability::GracefulRestart { .. }));
    assert_eq!(ours.negotiate(&open).unwrap().long_lived, []);
}

#[test]
fn an_external_peer_may_have_our_identifier() {
    // RFC 6286 §2.1: the identifier is unique only within an AS.
    let external = SessionConfig { remote_asn: 64513, ..config(1) };
    let mut open = config(1).open();
    set_asn(&mut open, 64513);
    assert!(external.negotiate(&open).is_ok());
}

/// RFC 7911 §4
#[test]
fn several_paths_need_one_who_sends_and_one_who_takes() {
    let offer = |receive, send| SessionConfig {
        families: vec![Family::EVPN, Family::ROUTE_TARGET],
        add_paths: AddPaths { receive, send: NonZeroU32::new(send) },
        ..config(1)
    };
    let evpn = |agreed: bool| if agreed { vec![Family::EVPN] } else { Vec::new() };
    for (ours, theirs, receive, send) in [
        ((true, 8), (true, 8), true, true),
        ((true, 0), (true, 0), false, false),
        ((true, 0), (false, 2), true, false),
        ((false, 2), (true, 0), false, true),
        ((false, 0), (true, 8), false, false),
    ] {
        let open = Open { router_id: Ipv4Addr::new(10, 0, 0, 2), ..offer(theirs.0, theirs.1).open() };
        let agreed = offer(ours.0, ours.1).negotiate(&open).unwrap().add_paths;
        assert_eq!(
            agreed,
            AddPathFamilies { receive: evpn(receive), send: evpn(send) },
            "{ours:?} {theirs:?}"
        );
    }
}
