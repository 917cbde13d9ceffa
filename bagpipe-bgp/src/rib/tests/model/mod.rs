//! Random histories against a model that computes everything anew from what was received.

mod expected;
mod steps;

use std::collections::{BTreeMap, BTreeSet};
use std::num::NonZeroU32;

use proptest::prelude::*;

use self::expected::{Model, Path, Source, attributes_of_own, text};
use self::steps::{Step, Variant, numbered, step, wanted};
use super::*;
use crate::rib::long_lived::LLGR_STALE;
use crate::wire::ExtendedCommunity;
use crate::wire::message::AddPathFamilies;

const ALL: &[Family] = &[Family::ROUTE_TARGET, Family::EVPN, Family::VPNV4];
const VPNS: &[Family] = &[Family::EVPN, Family::VPNV4];

/// Peer 1 and 2: clients; 3 and 4: non-clients; 5: external, 6: a client without RT Constraint; 7: a client that sends
/// and takes several paths of VPN routes.
const PEERS: [(Kind, &[Family]); 7] = [
    (Kind::Client, ALL),
    (Kind::Client, ALL),
    (Kind::NonClient, ALL),
    (Kind::NonClient, ALL),
    (Kind::External, ALL),
    (Kind::Client, VPNS),
    (Kind::Client, ALL),
];
const EXTERNAL: u32 = 5;
/// For it this speaker asks all others for all routes.
const TAKES_ALL: u32 = 6;
const SEVERAL: u32 = 7;
/// How many paths of a route the last one is sent.
const PATHS: u32 = 2;

/// The source of what this speaker says.
const OURS: Source = (0, 0);

const TARGETS: u8 = 3;

/// Peers with RFC 9494.
const KNOW_LLGR: [u32; 3] = [1, 3, 5];
/// A peer that is told routes of this speaker only, and one that is told its next hop.
const TOLD_OWN_ROUTES: u32 = 4;
const TOLD_OWN_NEXT_HOP: u32 = 6;

/// The RIB and the model side by side.
struct Pair {
    rib: Rib,
    model: Model,
    remotes: BTreeMap<u32, Remote>,
    /// The peers that were up, and have not been forgotten.
    known: BTreeSet<u32>,
    reported: BTreeMap<String, (Nlri, u32, Attributes)>,
}

impl Pair {
    fn new() -> Self {
        let mut pair = Self {
            rib: rib(),
            model: Model::default(),
            remotes: BTreeMap::new(),
            known: BTreeSet::new(),
            reported: BTreeMap::new(),
        };
        for peer in 1..=7 {
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
        let facts = facts(peer, kind, families);
        let several = if peer == SEVERAL { VPNS.to_vec() } else { Vec::new() };
        let add_paths = AddPathFamilies { receive: several.clone(), send: several };
        RibPeer {
            asn: if peer == EXTERNAL { 65005 } else { ASN },
            policy,
            send_paths: NonZeroU32::new(PATHS),
            long_lived: KNOW_LLGR.contains(&peer),
            context: Context { add_paths, ..facts.context.clone() },
            ..facts
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
            self.known.insert(peer);
            self.ask_for_all();
        }
    }

    /// All others are asked in the place of the one that cannot ask.
    fn ask_for_all(&mut self) {
        let default = wanted(TARGETS);
        if self.known.contains(&TAKES_ALL) && self.known.len() > 1 {
            self.model.put(OURS, &default, attributes_of_own());
        } else {
            self.model.remove(OURS, &default);
        }
    }

    fn down(&mut self, peer: u32, retain: bool) {
        if self.model.up.remove(&peer).is_none() {
            return;
        }
        self.rib.peer_down(PeerId(peer), if retain { ALL } else { &[] });
        if retain {
            self.model.paths_of(peer).for_each(|path| path.stale = true);
        } else {
            self.model.remove_paths(peer, |_| true);
        }
    }

    fn announce(&mut self, (peer, id): Source, nlri: &Nlri, attributes: Attributes, looped: bool) {
        let known = PEERS[peer as usize - 1].1.contains(&nlri.family());
        let update = announce(attributes.clone(), std::slice::from_ref(nlri));
        let update = Update { announced: identified(update.announced, peer, id), ..update };
        self.rib.receive(PeerId(peer), &update);
        if self.state(peer).is_none() || !known {
            return;
        }
        if looped {
            self.model.remove((peer, id), nlri);
        } else {
            self.model.put((peer, id), nlri, attributes);
        }
    }

    fn withdraw(&mut self, (peer, id): Source, nlri: &Nlri) {
        let update = withdraw(std::slice::from_ref(nlri));
        let update = Update { withdrawn: identified(update.withdrawn, peer, id), ..update };
        self.rib.receive(PeerId(peer), &update);
        if self.state(peer).is_some() {
            self.model.remove((peer, id), nlri);
        }
    }

    fn apply(&mut self, step: &Step) {
        match *step {
            Step::Announce(peer, route, variant) => {
                let source = source(peer, variant.path_id);
                let nlri = numbered(route, variant.label);
                self.announce(source, &nlri, variant.attributes(peer), variant.looped);
            }
            Step::Withdraw(peer, route, id) => self.withdraw(source(peer, id), &numbered(route, 0)),
            Step::Want(peer, number) => {
                self.announce((peer, 0), &wanted(number), Variant::PLAIN.attributes(peer), false);
            }
            Step::WantNot(peer, number) => self.withdraw((peer, 0), &wanted(number)),
            Step::Down(peer, retain) => self.down(peer, retain),
            Step::Up(peer) => self.up(peer),
            Step::Sweep(peer, family) => {
                let family = ALL[family];
                self.rib.sweep(PeerId(peer), family);
                self.model.remove_paths(peer, |path| path.stale && path.nlri.family() == family);
            }
            Step::LongLived(peer, family) => {
                let family = ALL[family];
                self.rib.mark_long_lived(PeerId(peer), family);
                let stale = |path: &&mut Path| path.stale && path.nlri.family() == family;
                for path in self.model.paths_of(peer).filter(stale) {
                    if !path.attributes.communities.contains(&LLGR_STALE) {
                        path.attributes.communities.push(LLGR_STALE);
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
                self.model.remove_paths(peer, |_| true);
                self.known.remove(&peer);
                self.ask_for_all();
            }
            Step::Originate(route, variant) => {
                let nlri = numbered(route, variant.label);
                let attributes = Variant { looped: false, ..variant }.attributes(254);
                self.rib.originate(nlri.clone(), attributes.clone());
                self.model.put(OURS, &nlri, attributes);
            }
            Step::Retract(route) => {
                self.rib.withdraw(&numbered(route, 0));
                self.model.remove(OURS, &numbered(route, 0));
            }
            Step::Import(number) => {
                self.rib.import(target(number));
                *self.model.imports.entry(number).or_default() += 1;
                self.model.put(OURS, &membership(target(number)), attributes_of_own());
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
            self.model.remove(OURS, &membership(target(number)));
        }
    }

    fn pull(&mut self, peer: u32) -> bool {
        let Some(remote) = self.remotes.get_mut(&peer) else { return false };
        remote.pull(&mut self.rib, PeerId(peer), &Self::facts(peer).context)
    }

    fn report(&mut self) -> bool {
        let Some(change) = self.rib.poll_change() else { return false };
        let key = text(&change.nlri);
        match change.best {
            Some(path) => {
                self.reported.insert(key, (path.nlri, path.peer.0, Attributes::clone(&path.attributes)));
            }
            None => assert!(self.reported.remove(&key).is_some(), "{key} was never reported"),
        }
        true
    }

    fn settle_and_compare(&mut self) {
        for peer in 1..=7 {
            while self.pull(peer) {}
            let Some(released) = self.state(peer) else { continue };
            let mut expected = self.model.view(peer);
            if !released && peer != TAKES_ALL {
                expected
                    .retain(|_, paths| paths.iter().all(|(nlri, _)| nlri.family() == Family::ROUTE_TARGET));
            }
            let mut known: BTreeMap<_, Vec<_>> = BTreeMap::new();
            for ((key, _), (nlri, attributes)) in &self.remotes[&peer].routes {
                let path = (nlri.clone(), Attributes::clone(attributes));
                known.entry(text(key)).or_default().push(path);
            }
            known.values_mut().for_each(|paths| paths.sort_by_cached_key(|path| format!("{path:?}")));
            assert_eq!(known, expected, "what peer {peer} knows");
            let counts = self.rib.counts(PeerId(peer));
            let told: usize = expected.values().map(Vec::len).sum();
            assert_eq!(counts.iter().map(|count| count.sent).sum::<usize>(), told);
            let received = self.model.paths_of(peer).count();
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
        for peer in 1..=7 {
            self.rib.forget(PeerId(peer));
        }
        while self.rib.poll_change().is_some() {}
        assert_eq!(self.rib.table.routes().count(), 0);
        assert_eq!(self.rib.attributes.len(), 0);
    }
}

/// Only one peer sends path identifiers.
fn source(peer: u32, id: PathId) -> Source {
    (peer, if peer == SEVERAL { id } else { 0 })
}

fn identified(blocks: Vec<NlriBlock>, peer: u32, id: PathId) -> Vec<NlriBlock> {
    let identifier = |block: NlriBlock| {
        let path_ids = peer == SEVERAL && block.family != Family::ROUTE_TARGET;
        let bytes =
            if path_ids { [&id.to_be_bytes(), &block.bytes[..]].concat().into() } else { block.bytes };
        NlriBlock { path_ids, bytes, ..block }
    };
    blocks.into_iter().map(identifier).collect()
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
