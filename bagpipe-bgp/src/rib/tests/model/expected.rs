//! What follows from what was received, derived anew each time.

use std::cmp::Reverse;

use super::*;
use crate::rib::tests as common;
use crate::wire::attribute::AsSegment;

/// Where a path came from: a peer, or 0 for this speaker; and the identifier that it came with.
pub(super) type Source = (u32, PathId);

#[derive(Clone)]
pub(super) struct Path {
    pub(super) nlri: Nlri,
    pub(super) attributes: Attributes,
    pub(super) stale: bool,
}

/// All that was received and said.
#[derive(Default)]
pub(super) struct Model {
    /// By key in the order of their text.
    pub(super) paths: BTreeMap<String, BTreeMap<Source, Path>>,
    /// The peers that are up, and whether their memberships are known.
    pub(super) up: BTreeMap<u32, bool>,
    pub(super) imports: BTreeMap<u8, usize>,
}

impl Model {
    pub(super) fn put(&mut self, source: Source, nlri: &Nlri, attributes: Attributes) {
        let path = Path { nlri: nlri.clone(), attributes, stale: false };
        self.paths.entry(text(nlri)).or_default().insert(source, path);
    }

    pub(super) fn remove(&mut self, source: Source, nlri: &Nlri) {
        if let Some(paths) = self.paths.get_mut(&text(nlri)) {
            paths.remove(&source);
        }
    }

    /// The paths of a peer.
    pub(super) fn paths_of(&mut self, peer: u32) -> impl Iterator<Item = &mut Path> {
        self.paths.values_mut().flatten().filter(move |((from, _), _)| *from == peer).map(|(_, path)| path)
    }

    pub(super) fn remove_paths(&mut self, peer: u32, kind: impl Fn(&Path) -> bool) {
        for paths in self.paths.values_mut() {
            paths.retain(|(from, _), path| *from != peer || !kind(path));
        }
    }

    /// What a peer is to know: of each route one path, or several.
    pub(super) fn view(&self, to: u32) -> BTreeMap<String, Vec<(Nlri, Attributes)>> {
        let mut view = BTreeMap::new();
        for (key, paths) in &self.paths {
            let ranked = ranked(paths.iter());
            let may_go = |&&(from, path): &&(Source, &Path)| self.may_go(from, to, path);
            let Some(best) = ranked.first() else { continue };
            let is_membership = is_membership(&best.1.nlri);
            let chosen: Vec<_> = if to == SEVERAL && !is_membership {
                ranked.iter().filter(may_go).take(PATHS as usize).collect()
            } else if is_membership && kind(to) == Kind::NonClient {
                ranked.iter().filter(|(from, path)| passes(*from, to, &path.attributes)).take(1).collect()
            } else {
                ranked.iter().take(1).collect()
            };
            let mut told: Vec<_> = chosen
                .into_iter()
                .filter(may_go)
                .map(|(from, path)| (path.nlri.clone(), sent(*from, to, is_membership, &path.attributes)))
                .collect();
            told.sort_by_cached_key(|path| format!("{path:?}"));
            if !told.is_empty() {
                view.insert(key.clone(), told);
            }
        }
        view
    }

    fn may_go(&self, from: Source, to: u32, path: &Path) -> bool {
        let (kind, families) = PEERS[to as usize - 1];
        let is_membership = is_membership(&path.nlri);
        let wanted = match families.contains(&Family::ROUTE_TARGET) {
            false => !is_membership,
            true => is_membership || (self.up[&to] && self.wants(to, &path.attributes)),
        };
        let client_membership = is_membership && kind == Kind::Client;
        let hidden = path.attributes.communities.contains(&LLGR_STALE) && !KNOW_LLGR.contains(&to);
        let others = to == TOLD_OWN_ROUTES && from != OURS && !is_membership;
        wanted && !hidden && !others && (client_membership || passes(from, to, &path.attributes))
    }

    fn wants(&self, peer: u32, attributes: &Attributes) -> bool {
        let has = |number| {
            let paths = self.paths.get(&text(&wanted(number)));
            paths.is_some_and(|paths| paths.keys().any(|(from, _)| *from == peer))
        };
        has(TARGETS)
            || (0..TARGETS)
                .any(|number| has(number) && attributes.route_targets().any(|held| held == target(number)))
    }

    /// What the instances are to know: label and peer by key.
    pub(super) fn imported(&self) -> BTreeMap<String, (Nlri, u32, Attributes)> {
        let best = |paths: &'_ BTreeMap<Source, Path>| {
            let (source, path) = *ranked(paths.iter()).first()?;
            let imported = path
                .attributes
                .route_targets()
                .any(|held| self.imports.keys().any(|number| target(*number) == held));
            (imported && source != OURS).then(|| (path.nlri.clone(), source.0, path.attributes.clone()))
        };
        self.paths.iter().filter_map(|(key, paths)| Some((key.clone(), best(paths)?))).collect()
    }
}

pub(super) fn text(nlri: &Nlri) -> String {
    format!("{:?}", key_of(nlri))
}

/// The best path first.
fn ranked<'a>(paths: impl Iterator<Item = (&'a Source, &'a Path)>) -> Vec<(Source, &'a Path)> {
    let mut ranked: Vec<_> = paths.map(|(source, path)| (*source, path)).collect();
    ranked.sort_by_key(|((peer, id), Path { nlri, attributes, .. })| {
        let sequence = match nlri {
            Nlri::Evpn(_) => mobility(attributes),
            _ => 0,
        };
        (
            *peer != 0,
            attributes.communities.contains(&LLGR_STALE),
            Reverse(sequence),
            Reverse(attributes.local_pref.unwrap_or(100)),
            attributes.as_path.0.len(),
            *peer == EXTERNAL,
            attributes.originator_id.unwrap_or(address(*peer)),
            *peer,
            *id,
        )
    });
    ranked
}

fn is_membership(nlri: &Nlri) -> bool {
    matches!(nlri, Nlri::RouteTarget(_))
}

fn mobility(attributes: &Attributes) -> u32 {
    let mut communities = attributes.extended_communities.iter();
    communities.find_map(ExtendedCommunity::as_mac_mobility).map_or(0, |mobility| mobility.sequence)
}

fn kind(peer: u32) -> Kind {
    PEERS[peer as usize - 1].0
}

fn passes((from, _): Source, to: u32, attributes: &Attributes) -> bool {
    if from == 0 {
        return true;
    }
    let both_internal = kind(from) != Kind::External && kind(to) != Kind::External;
    let reflects = kind(from) == Kind::Client || kind(to) == Kind::Client;
    let originator = attributes.originator_id.unwrap_or(address(from));
    from != to && (!both_internal || (reflects && originator != address(to)))
}

fn sent((from, _): Source, to: u32, is_membership: bool, attributes: &Attributes) -> Attributes {
    let mut sent = attributes.clone();
    if kind(to) == Kind::External {
        let mut ases = vec![ASN];
        if from == EXTERNAL {
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

pub(super) fn attributes_of_own() -> Attributes {
    Attributes { local_pref: None, ..common::attributes(254, &[]) }
}
