//! Random histories against a model that computes everything anew from what was received.

use std::cmp::Reverse;
use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;
use crate::rib::long_lived::LLGR_STALE;
use crate::types::{IpPrefix, Label};
use crate::wire::ExtendedCommunity;
use crate::wire::attribute::AsSegment;
use crate::wire::community::MacMobility;

const ALL: &[Family] = &[Family::ROUTE_TARGET, Family::EVPN, Family::VPNV4];
const VPNS: &[Family] = &[Family::EVPN, Family::VPNV4];

/// Peer 1 and 2: clients; 3 and 4: non-clients; 5: external, 6: a client without RT Constraint.
const PEERS: [(Kind, &[Family]); 6] = [
    (Kind::Client, ALL),
    (Kind::Client, ALL),
    (Kind::NonClient, ALL),
    (Kind::NonClient, ALL),
    (Kind::External, ALL),
    (Kind::Client, VPNS),
];

const TARGETS: u8 = 3;

/// Peers with RFC 9494.
const KNOW_LLGR: [u32; 3] = [1, 3, 5];
/// A peer that is told routes of this speaker only, and one that is told its next hop.
const TOLD_OWN_ROUTES: u32 = 4;
const TOLD_OWN_NEXT_HOP: u32 = 6;

#[derive(Clone, Debug)]
enum Step {
    Announce(u32, u32, Variant),
    Withdraw(u32, u32),
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
struct Variant {
    local_pref: u32,
    sequence: u32,
    /// A bit per target.
    targets: u8,
    label: u8,
    originator: Option<u32>,
    looped: bool,
}

impl Variant {
    fn attributes(self, peer: u32) -> Attributes {
        let targets: Vec<_> = (0..TARGETS).filter(|bit| self.targets & 1 << bit != 0).map(target).collect();
        let external = peer == 5;
        let mut attributes = attributes(peer, &targets);
        let mobility = MacMobility { sticky: false, sequence: self.sequence };
        attributes.extended_communities.push(ExtendedCommunity::mac_mobility(mobility));
        attributes.local_pref = (!external).then_some(self.local_pref);
        if external {
            attributes.as_path = AsPath(vec![AsSegment::Sequence(vec![65005])]);
        } else if peer != 254 {
            attributes.originator_id = self.originator.map(address);
        }
        if self.looped {
            attributes.next_hop = super::attributes(254, &[]).next_hop;
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
        proptest::option::weighted(0.2, 1..7_u32),
        proptest::bool::weighted(0.1),
    )
        .prop_map(|(local_pref, sequence, targets, label, originator, looped)| Variant {
            local_pref,
            sequence,
            targets,
            label,
            originator,
            looped,
        })
}

/// A route of the E-VPN family, or of the VPN-IPv4 family.
fn numbered(number: u32, label: u8) -> Nlri {
    if number.is_multiple_of(2) {
        return mac(number, label);
    }
    Nlri::Vpn(VpnRoute {
        labels: Label::new(label.into()).map(Into::into).unwrap_or_default(),
        rd: RouteDistinguisher::from_ipv4(Ipv4Addr::new(10, 0, 0, 1), 7),
        prefix: IpPrefix::host(address(number).into()),
    })
}

fn step() -> impl Strategy<Value = Step> {
    let peer = || 1..7_u32;
    let route = || 0..4_u32;
    prop_oneof![
        10 => (peer(), route(), variant()).prop_map(|(peer, route, variant)| Step::Announce(peer, route, variant)),
        4 => (peer(), route()).prop_map(|(peer, route)| Step::Withdraw(peer, route)),
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

fn wanted(number: u8) -> Nlri {
    if number == TARGETS {
        Nlri::RouteTarget(RouteTargetMembership::DEFAULT)
    } else {
        membership(target(number))
    }
}

/// All that was received and said, and nothing derived.
#[derive(Default)]
struct Model {
    /// By key in the order of their text, then by peer (0: this speaker).
    paths: BTreeMap<String, BTreeMap<u32, (Nlri, Attributes, bool)>>,
    up: BTreeMap<u32, bool>,
    imports: BTreeMap<u8, usize>,
}

impl Model {
    fn put(&mut self, peer: u32, nlri: &Nlri, attributes: Attributes) {
        let key = format!("{:?}", key_of(nlri));
        self.paths.entry(key).or_default().insert(peer, (nlri.clone(), attributes, false));
    }

    fn remove(&mut self, peer: u32, nlri: &Nlri) {
        if let Some(paths) = self.paths.get_mut(&format!("{:?}", key_of(nlri))) {
            paths.remove(&peer);
        }
    }

    /// The best of these paths: (peer, NLRI, attributes).
    fn best<'a>(
        &self,
        paths: impl Iterator<Item = (&'a u32, &'a (Nlri, Attributes, bool))>,
    ) -> Option<(u32, &'a Nlri, &'a Attributes)> {
        paths
            .min_by_key(|(peer, (nlri, attributes, _))| {
                let sequence = match nlri {
                    Nlri::Evpn(_) => mobility(attributes),
                    _ => 0,
                };
                let length = attributes.as_path.0.len();
                let local_pref = attributes.local_pref.unwrap_or(100);
                let router_id = attributes.originator_id.unwrap_or(address(**peer));
                let external = **peer == 5;
                let last_resort = attributes.communities.contains(&LLGR_STALE);
                (
                    **peer != 0,
                    last_resort,
                    Reverse(sequence),
                    Reverse(local_pref),
                    length,
                    !external,
                    router_id,
                    **peer,
                )
            })
            .map(|(peer, (nlri, attributes, _))| (*peer, nlri, attributes))
    }

    /// What a peer is to know.
    fn view(&self, to: u32) -> BTreeMap<String, (Nlri, Attributes)> {
        let (kind, families) = PEERS[to as usize - 1];
        let mut view = BTreeMap::new();
        for (key, paths) in &self.paths {
            let Some((from, nlri, attributes)) = self.best(paths.iter()) else { continue };
            let (mut from, mut nlri, mut attributes) = (from, nlri, attributes);
            let is_membership = matches!(nlri, Nlri::RouteTarget(_));
            if is_membership && kind == Kind::NonClient && !passes(from, to, attributes) {
                let others = paths.iter().filter(|(from, (_, attributes, _))| passes(**from, to, attributes));
                let Some(other) = self.best(others) else { continue };
                (from, nlri, attributes) = other;
            }
            let wanted = match families.contains(&Family::ROUTE_TARGET) {
                false => !is_membership,
                true => is_membership || (self.up[&to] && self.wants(to, attributes)),
            };
            let client_membership = is_membership && kind == Kind::Client;
            let hidden = attributes.communities.contains(&LLGR_STALE) && !KNOW_LLGR.contains(&to);
            let others = to == TOLD_OWN_ROUTES && from != 0 && !is_membership;
            if wanted && !hidden && !others && (client_membership || passes(from, to, attributes)) {
                view.insert(key.clone(), (nlri.clone(), sent(from, to, is_membership, attributes)));
            }
        }
        view
    }

    fn wants(&self, peer: u32, attributes: &Attributes) -> bool {
        let has = |number| {
            let paths = self.paths.get(&format!("{:?}", key_of(&wanted(number))));
            paths.is_some_and(|paths| paths.contains_key(&peer))
        };
        has(TARGETS)
            || (0..TARGETS)
                .any(|number| has(number) && attributes.route_targets().any(|held| held == target(number)))
    }

    /// What the instances are to know: label and peer by key.
    fn imported(&self) -> BTreeMap<String, (Nlri, u32, Attributes)> {
        let best = |paths: &'_ BTreeMap<u32, (Nlri, Attributes, bool)>| {
            let (from, nlri, attributes) = self.best(paths.iter())?;
            let imported = attributes
                .route_targets()
                .any(|held| self.imports.keys().any(|number| target(*number) == held));
            (imported && from != 0).then(|| (nlri.clone(), from, attributes.clone()))
        };
        self.paths.iter().filter_map(|(key, paths)| Some((key.clone(), best(paths)?))).collect()
    }
}

fn mobility(attributes: &Attributes) -> u32 {
    let mut communities = attributes.extended_communities.iter();
    communities.find_map(ExtendedCommunity::as_mac_mobility).map_or(0, |mobility| mobility.sequence)
}

fn kind(peer: u32) -> Kind {
    PEERS[peer as usize - 1].0
}

fn passes(from: u32, to: u32, attributes: &Attributes) -> bool {
    if from == 0 {
        return true;
    }
    let both_internal = kind(from) != Kind::External && kind(to) != Kind::External;
    let reflects = kind(from) == Kind::Client || kind(to) == Kind::Client;
    let originator = attributes.originator_id.unwrap_or(address(from));
    from != to && (!both_internal || (reflects && originator != address(to)))
}

fn sent(from: u32, to: u32, is_membership: bool, attributes: &Attributes) -> Attributes {
    let mut sent = attributes.clone();
    if kind(to) == Kind::External {
        let mut ases = vec![ASN];
        if from == 5 {
            ases.push(65005);
        }
        sent.as_path = AsPath(vec![AsSegment::Sequence(ases)]);
        (sent.local_pref, sent.originator_id) = (None, None);
    } else {
        sent.local_pref = sent.local_pref.or(Some(100));
        if from != 0 && kind(from) != Kind::External {
            sent.originator_id = sent.originator_id.or(Some(address(from)));
            sent.cluster_list.insert(0, CLUSTER);
        }
    }
    if to == TOLD_OWN_NEXT_HOP && from != 0 && !is_membership {
        sent.next_hop = attributes_of_own().next_hop;
    }
    if is_membership && kind(to) != Kind::NonClient {
        sent.originator_id = (kind(to) == Kind::Client).then_some(OWN);
        sent.next_hop = attributes_of_own().next_hop;
    }
    sent
}

fn attributes_of_own() -> Attributes {
    Attributes { local_pref: None, ..super::attributes(254, &[]) }
}

/// The RIB and the model side by side.
struct Pair {
    rib: Rib,
    model: Model,
    remotes: BTreeMap<u32, Remote>,
    reported: BTreeMap<String, (Nlri, u32, Attributes)>,
}

impl Pair {
    fn new() -> Self {
        let mut pair =
            Self { rib: rib(), model: Model::default(), remotes: BTreeMap::new(), reported: BTreeMap::new() };
        for peer in 1..=6 {
            pair.up(peer);
        }
        pair
    }

    fn facts(peer: u32) -> RibPeer {
        let (kind, families) = PEERS[peer as usize - 1];
        let policy = Policy {
            export: if peer == TOLD_OWN_ROUTES { Export::Own } else { Export::All },
            next_hop: if peer == TOLD_OWN_NEXT_HOP {
                NextHopPolicy::Ourselves
            } else {
                NextHopPolicy::Unchanged
            },
            ..Policy::default()
        };
        RibPeer {
            asn: if peer == 5 { 65005 } else { ASN },
            policy,
            send_paths: None,
            long_lived: KNOW_LLGR.contains(&peer),
            ..facts(peer, kind, families)
        }
    }

    /// `Some(released)` if the session is up.
    fn state(&self, peer: u32) -> Option<bool> {
        self.model.up.get(&peer).copied()
    }

    fn up(&mut self, peer: u32) {
        if self.state(peer).is_none() {
            self.rib.peer_up(PeerId(peer), Self::facts(peer));
            self.model.up.insert(peer, false);
            self.remotes.insert(peer, Remote::default());
        }
    }

    fn down(&mut self, peer: u32, retain: bool) {
        if self.model.up.remove(&peer).is_none() {
            return;
        }
        self.rib.peer_down(PeerId(peer), if retain { ALL } else { &[] });
        for paths in self.model.paths.values_mut() {
            if retain {
                paths.entry(peer).and_modify(|path| path.2 = true);
            } else {
                paths.remove(&peer);
            }
        }
    }

    fn announce(&mut self, peer: u32, nlri: &Nlri, attributes: Attributes, looped: bool) {
        let known = PEERS[peer as usize - 1].1.contains(&nlri.family());
        self.rib.receive(PeerId(peer), &announce(attributes.clone(), std::slice::from_ref(nlri)));
        if self.state(peer).is_none() || !known {
            return;
        }
        if looped {
            self.model.remove(peer, nlri);
        } else {
            self.model.put(peer, nlri, attributes);
        }
    }

    fn withdraw(&mut self, peer: u32, nlri: &Nlri) {
        self.rib.receive(PeerId(peer), &withdraw(std::slice::from_ref(nlri)));
        if self.state(peer).is_some() {
            self.model.remove(peer, nlri);
        }
    }

    fn apply(&mut self, step: &Step) {
        match *step {
            Step::Announce(peer, route, variant) => {
                self.announce(
                    peer,
                    &numbered(route, variant.label),
                    variant.attributes(peer),
                    variant.looped,
                );
            }
            Step::Withdraw(peer, route) => self.withdraw(peer, &numbered(route, 0)),
            Step::Want(peer, number) => {
                let variant = Variant {
                    local_pref: 100,
                    sequence: 0,
                    targets: 0,
                    label: 0,
                    originator: None,
                    looped: false,
                };
                self.announce(peer, &wanted(number), variant.attributes(peer), false);
            }
            Step::WantNot(peer, number) => self.withdraw(peer, &wanted(number)),
            Step::Down(peer, retain) => self.down(peer, retain),
            Step::Up(peer) => self.up(peer),
            Step::Sweep(peer, family) => {
                let family = ALL[family];
                self.rib.sweep(PeerId(peer), family);
                for paths in self.model.paths.values_mut() {
                    if paths.get(&peer).is_some_and(|(nlri, _, stale)| *stale && nlri.family() == family) {
                        paths.remove(&peer);
                    }
                }
            }
            Step::LongLived(peer, family) => {
                let family = ALL[family];
                self.rib.mark_long_lived(PeerId(peer), family);
                for paths in self.model.paths.values_mut() {
                    if let Some((nlri, attributes, true)) = paths.get_mut(&peer)
                        && nlri.family() == family
                        && !attributes.communities.contains(&LLGR_STALE)
                    {
                        attributes.communities.push(LLGR_STALE);
                    }
                }
            }
            Step::Release(peer) => {
                if let Some(released) = self.model.up.get_mut(&peer) {
                    self.rib.release_memberships(PeerId(peer));
                    *released = true;
                }
            }
            Step::Refresh(peer, family, marked) => self.rib.refresh(PeerId(peer), ALL[family], marked),
            Step::Forget(peer) => {
                self.down(peer, false);
                self.rib.forget(PeerId(peer));
                for paths in self.model.paths.values_mut() {
                    paths.remove(&peer);
                }
            }
            Step::Originate(route, variant) => {
                let nlri = numbered(route, variant.label);
                let attributes = Variant { looped: false, ..variant }.attributes(254);
                self.rib.originate(nlri.clone(), attributes.clone());
                self.model.put(0, &nlri, attributes);
            }
            Step::Retract(route) => {
                self.rib.withdraw(&numbered(route, 0));
                self.model.remove(0, &numbered(route, 0));
            }
            Step::Import(number) => {
                self.rib.import(target(number));
                *self.model.imports.entry(number).or_default() += 1;
                self.model.put(0, &membership(target(number)), attributes_of_own());
            }
            Step::Unimport(number) => self.unimport(number),
            Step::Pull(peer, count) => {
                for _ in 0..count {
                    self.pull(peer);
                }
            }
            Step::Report(count) => {
                for _ in 0..count {
                    self.report();
                }
            }
        }
    }

    fn unimport(&mut self, number: u8) {
        self.rib.unimport(target(number));
        let Some(count) = self.model.imports.get_mut(&number) else { return };
        *count -= 1;
        if *count == 0 {
            self.model.imports.remove(&number);
            self.model.remove(0, &membership(target(number)));
        }
    }

    fn pull(&mut self, peer: u32) -> bool {
        let Some(remote) = self.remotes.get_mut(&peer) else { return false };
        remote.pull(&mut self.rib, PeerId(peer), &Self::facts(peer).context)
    }

    fn report(&mut self) -> bool {
        let Some(change) = self.rib.poll_change() else { return false };
        let key = format!("{:?}", key_of(&change.nlri));
        match change.best {
            Some(path) => {
                self.reported.insert(key, (path.nlri, path.peer.0, Attributes::clone(&path.attributes)));
            }
            None => assert!(self.reported.remove(&key).is_some(), "{key} was never reported"),
        }
        true
    }

    fn settle_and_compare(&mut self) {
        for peer in 1..=6 {
            while self.pull(peer) {}
            let Some(released) = self.state(peer) else { continue };
            let mut expected = self.model.view(peer);
            if !released && peer != 6 {
                expected.retain(|_, (nlri, _)| nlri.family() == Family::ROUTE_TARGET);
            }
            let remote = &self.remotes[&peer];
            let known: BTreeMap<_, _> = remote
                .routes
                .iter()
                .map(|(key, (nlri, attributes))| {
                    (format!("{key:?}"), (nlri.clone(), Attributes::clone(attributes)))
                })
                .collect();
            assert_eq!(known, expected, "what peer {peer} knows");
            let counts = self.rib.counts(PeerId(peer));
            assert_eq!(counts.iter().map(|count| count.sent).sum::<usize>(), expected.len());
            let received = self.model.paths.values().filter(|paths| paths.contains_key(&peer)).count();
            assert_eq!(counts.iter().map(|count| count.received).sum::<usize>(), received);
        }
        while self.report() {}
        // What is not imported any more may still be known: nothing is reported of it.
        let expected = self.model.imported();
        let mut reported = self.reported.clone();
        reported.retain(|_, (_, _, attributes)| {
            attributes
                .route_targets()
                .any(|held| self.model.imports.keys().any(|number| target(*number) == held))
        });
        assert_eq!(reported, expected, "what the instances know");
    }

    /// Take everything away: nothing may be left behind.
    fn clear(&mut self) {
        for number in 0..TARGETS {
            while self.model.imports.contains_key(&number) {
                self.unimport(number);
            }
        }
        for route in 0..4 {
            self.rib.withdraw(&numbered(route, 0));
        }
        for peer in 1..=6 {
            self.rib.forget(PeerId(peer));
        }
        while self.rib.poll_change().is_some() {}
        assert_eq!(self.rib.table.routes().count(), 0);
        assert_eq!(self.rib.attributes.len(), 0);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]
    #[test]
    fn any_history_ends_as_the_model_says(
        steps in proptest::collection::vec(step(), 1..80),
        early in 0..80_usize,
    ) {
        let mut pair = Pair::new();
        for (number, step) in steps.iter().enumerate() {
            pair.apply(step);
            if number == early {
                pair.settle_and_compare();
            }
        }
        pair.settle_and_compare();
        pair.clear();
    }
}
