//! What may happen to a RIB.

use super::*;
use crate::rib::tests as common;
use crate::types::{IpPrefix, Label};
use crate::wire::attribute::AsSegment;
use crate::wire::community::MacMobility;

#[derive(Clone, Debug)]
pub(super) enum Step {
    Announce(u32, u32, Variant),
    Withdraw(u32, u32, PathId),
    Want(u32, u8),
    WantNot(u32, u8),
    Down(u32, bool),
    Up(u32),
    Sweep(u32, usize),
    LongLived(u32, usize),
    Release(u32),
    Refresh(u32, usize, bool),
    Forget(u32),
    Originate(u32, Variant),
    Retract(u32),
    Import(u8),
    Unimport(u8),
    Pull(u32, u8),
    Report(u8),
}

/// What differs between announcements of a route.
#[derive(Clone, Copy, Debug)]
pub(super) struct Variant {
    pub(super) local_pref: u32,
    pub(super) sequence: u32,
    /// A bit per target.
    pub(super) targets: u8,
    pub(super) label: u8,
    pub(super) originator: Option<u32>,
    pub(super) looped: bool,
    /// The path identifier, from the peer that sends one.
    pub(super) path_id: PathId,
}

impl Variant {
    pub(super) const PLAIN: Self = Self {
        local_pref: 100,
        sequence: 0,
        targets: 0,
        label: 0,
        originator: None,
        looped: false,
        path_id: 0,
    };

    pub(super) fn attributes(self, peer: u32) -> Attributes {
        let targets: Vec<_> = (0..TARGETS).filter(|bit| self.targets & 1 << bit != 0).map(target).collect();
        let external = peer == EXTERNAL;
        let mut attributes = common::attributes(peer, &targets);
        let mobility = MacMobility { sticky: false, sequence: self.sequence };
        attributes.extended_communities.push(ExtendedCommunity::mac_mobility(mobility));
        attributes.local_pref = (!external).then_some(self.local_pref);
        if external {
            attributes.as_path = AsPath(vec![AsSegment::Sequence(vec![65005])]);
        } else if peer != 254 {
            attributes.originator_id = self.originator.map(address);
        }
        if self.looped {
            attributes.next_hop = common::attributes(254, &[]).next_hop;
        }
        attributes
    }
}

fn variant() -> impl Strategy<Value = Variant> {
    (
        99..101_u32,
        0..2_u32,
        0..8_u8,
        1..3_u8,
        proptest::option::weighted(0.2, 1..8_u32),
        proptest::bool::weighted(0.1),
        0..2_u32,
    )
        .prop_map(|(local_pref, sequence, targets, label, originator, looped, path_id)| Variant {
            local_pref,
            sequence,
            targets,
            label,
            originator,
            looped,
            path_id,
        })
}

/// A route of the E-VPN family, or of the VPN-IPv4 family.
pub(super) fn numbered(number: u32, label: u8) -> Nlri {
    if number.is_multiple_of(2) {
        return mac(number, label);
    }
    Nlri::Vpn(VpnRoute {
        labels: Label::new(label.into()).map(Into::into).unwrap_or_default(),
        rd: RouteDistinguisher::from_ipv4(Ipv4Addr::new(10, 0, 0, 1), 7),
        prefix: IpPrefix::host(address(number).into()),
    })
}

pub(super) fn step() -> impl Strategy<Value = Step> {
    let peer = || 1..8_u32;
    let route = || 0..4_u32;
    prop_oneof![
        10 => (peer(), route(), variant()).prop_map(|(peer, route, variant)| Step::Announce(peer, route, variant)),
        4 => (peer(), route(), 0..2_u32).prop_map(|(peer, route, id)| Step::Withdraw(peer, route, id)),
        // The last number is the default membership.
        4 => (peer(), 0..TARGETS + 1).prop_map(|(peer, number)| Step::Want(peer, number)),
        3 => (peer(), 0..TARGETS + 1).prop_map(|(peer, number)| Step::WantNot(peer, number)),
        2 => (peer(), any::<bool>()).prop_map(|(peer, retain)| Step::Down(peer, retain)),
        3 => peer().prop_map(Step::Up),
        3 => (peer(), 0..ALL.len()).prop_map(|(peer, family)| Step::Sweep(peer, family)),
        2 => (peer(), 0..ALL.len()).prop_map(|(peer, family)| Step::LongLived(peer, family)),
        2 => peer().prop_map(Step::Release),
        2 => (peer(), 0..ALL.len(), any::<bool>())
            .prop_map(|(peer, family, marked)| Step::Refresh(peer, family, marked)),
        1 => peer().prop_map(Step::Forget),
        2 => (route(), variant()).prop_map(|(route, variant)| Step::Originate(route, variant)),
        2 => route().prop_map(Step::Retract),
        2 => (0..TARGETS).prop_map(Step::Import),
        1 => (0..TARGETS).prop_map(Step::Unimport),
        8 => (peer(), 1..4_u8).prop_map(|(peer, count)| Step::Pull(peer, count)),
        2 => (1..4_u8).prop_map(Step::Report),
    ]
}

pub(super) fn wanted(number: u8) -> Nlri {
    if number == TARGETS {
        Nlri::RouteTarget(RouteTargetMembership::DEFAULT)
    } else {
        membership(target(number))
    }
}
