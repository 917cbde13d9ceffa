//! Which of several paths is the best (RFC 4271 §9.1.2.2, RFC 4456 §9, RFC 7432 §15.1).
//!
//! Each rule removes paths from the whole set, so the outcome does not depend on the order of arrival; comparing
//! paths in pairs would, because MED is compared only between paths from the same neighboring AS.

use std::cmp::Reverse;
use std::net::IpAddr;

use rustc_hash::FxHashMap;
use serde::Serialize;

use super::PeerId;
use super::long_lived::LLGR_STALE;
use crate::types::{Asn, RouterId};
use crate::wire::attribute::AsSegment;
use crate::wire::{AsPath, Attributes, ExtendedCommunity, Origin, PathId};

/// LOCAL_PREF of a path that has none.
pub(super) const DEFAULT_LOCAL_PREF: u32 = 100;

/// What of the attributes counts, read once when they are interned.
#[derive(Clone, Copy, Debug)]
pub(super) struct Preference {
    long_lived_stale: bool,
    sticky: bool,
    sequence: u32,
    local_pref: u32,
    as_path_length: usize,
    origin: Origin,
    neighbor: Option<Asn>,
    med: u32,
    originator: Option<RouterId>,
    cluster_list_length: usize,
}

impl Preference {
    pub(super) fn of(attributes: &Attributes) -> Self {
        // Without the community the sequence number is zero (RFC 7432 §15).
        let mobility = attributes.extended_communities.iter().find_map(ExtendedCommunity::as_mac_mobility);
        Self {
            long_lived_stale: attributes.communities.contains(&LLGR_STALE),
            sticky: mobility.is_some_and(|mobility| mobility.sticky),
            sequence: mobility.map_or(0, |mobility| mobility.sequence),
            local_pref: attributes.local_pref.unwrap_or(DEFAULT_LOCAL_PREF),
            as_path_length: length(&attributes.as_path),
            origin: attributes.origin,
            neighbor: neighbor(&attributes.as_path),
            med: attributes.med.unwrap_or(0),
            originator: attributes.originator_id,
            cluster_list_length: attributes.cluster_list.len(),
        }
    }
}

/// Number of ASes; a set counts as one (RFC 4271 §9.1.2.2 a), a confederation not at all (RFC 5065 §5.3).
fn length(path: &AsPath) -> usize {
    path.0
        .iter()
        .map(|segment| match segment {
            AsSegment::Sequence(ases) => ases.len(),
            AsSegment::Set(_) => 1,
            AsSegment::Confederation(..) => 0,
        })
        .sum()
}

/// The neighboring AS of RFC 4271 §9.1.2.2 c; `None` for a path from within this AS.
fn neighbor(path: &AsPath) -> Option<Asn> {
    let segment = path.0.iter().find(|segment| !matches!(segment, AsSegment::Confederation(..)))?;
    match segment {
        AsSegment::Sequence(ases) => ases.first().copied(),
        _ => None,
    }
}

/// Where a path came from. The order is that of the last rules: a route of this speaker before any other.
#[derive(Clone, Copy, Debug)]
pub(super) enum Origination {
    /// This speaker.
    Local,
    /// A peer.
    Peer { id: PeerId, internal: bool, router_id: RouterId, address: IpAddr, received: PathId },
}

/// A path to choose from.
#[derive(Clone, Copy, Debug)]
pub(super) struct Candidate<'a> {
    pub(super) preference: &'a Preference,
    pub(super) origination: Origination,
}

/// A rule of the decision process, by which a path is left out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Rule {
    /// A route of this speaker comes first.
    Local,
    /// What has been stale for long is the last resort, whatever else speaks for it (RFC 9494 §4.3).
    LongLivedStale,
    /// The MAC address is pinned elsewhere, or has moved since (RFC 7432 §15).
    MacMobility,
    /// A higher LOCAL_PREF.
    LocalPref,
    /// A shorter AS_PATH (RFC 4271 §9.1.2.2 a).
    AsPathLength,
    /// A lower ORIGIN (§9.1.2.2 b).
    Origin,
    /// A lower MED from the same neighboring AS (§9.1.2.2 c).
    Med,
    /// A path from another AS comes before one from our own (§9.1.2.2 d).
    External,
    /// A lower BGP identifier, or ORIGINATOR_ID in its place (§9.1.2.2 f, RFC 4456 §9).
    RouterId,
    /// A shorter CLUSTER_LIST (RFC 4456 §9).
    ClusterListLength,
    /// A lower peer address, then a lower path identifier (§9.1.2.2 g).
    PeerAddress,
}

/// The position of the best path. `mobile`: MAC Mobility decides first.
pub(super) fn best<'a>(candidates: impl Iterator<Item = Candidate<'a>>, mobile: bool) -> Option<usize> {
    decide(candidates.enumerate().collect(), mobile, |_, _| {})
}

/// For each path the rule by which it lost; `None` for the best one.
pub(super) fn lost_by<'a>(
    candidates: impl Iterator<Item = Candidate<'a>>,
    mobile: bool,
) -> Vec<Option<Rule>> {
    let candidates: Vec<_> = candidates.enumerate().collect();
    let mut rules = vec![None; candidates.len()];
    decide(candidates, mobile, |position, rule| {
        if let Some(lost) = rules.get_mut(position) {
            *lost = Some(rule);
        }
    });
    rules
}

/// Applies rule after rule, and tells of each path that is left out by one.
fn decide<'a>(
    mut left: Vec<(usize, Candidate<'a>)>,
    mobile: bool,
    mut lost: impl FnMut(usize, Rule),
) -> Option<usize> {
    keep(
        &mut left,
        |(_, path)| !matches!(path.origination, Origination::Local),
        |it| lost(it.0, Rule::Local),
    );
    keep(&mut left, |(_, path)| path.preference.long_lived_stale, |it| lost(it.0, Rule::LongLivedStale));
    if mobile {
        let rank = |path: &Candidate<'a>| Reverse((path.preference.sticky, path.preference.sequence));
        keep(&mut left, |(_, path)| rank(path), |it| lost(it.0, Rule::MacMobility));
    }
    keep(&mut left, |(_, path)| Reverse(path.preference.local_pref), |it| lost(it.0, Rule::LocalPref));
    keep(&mut left, |(_, path)| path.preference.as_path_length, |it| lost(it.0, Rule::AsPathLength));
    keep(&mut left, |(_, path)| path.preference.origin, |it| lost(it.0, Rule::Origin));
    keep_lowest_med(&mut left, |(_, path)| path.preference, |it| lost(it.0, Rule::Med));
    keep(&mut left, |(_, path)| path.is_internal(), |it| lost(it.0, Rule::External));
    // RFC 4456 §9: ORIGINATOR_ID stands for the router identifier, and the CLUSTER_LIST breaks the next tie.
    keep(&mut left, |(_, path)| path.router_id(), |it| lost(it.0, Rule::RouterId));
    let cluster_list = |path: &Candidate<'a>| path.preference.cluster_list_length;
    keep(&mut left, |(_, path)| cluster_list(path), |it| lost(it.0, Rule::ClusterListLength));
    keep(&mut left, |(_, path)| path.peer(), |it| lost(it.0, Rule::PeerAddress));
    left.first().map(|(position, _)| *position)
}

/// Those of the paths to one prefix between which only identifiers would decide, so that traffic may use all of
/// them: equal in LOCAL_PREF, AS_PATH length, ORIGIN and MED (RFC 4271 §9.1.2.2 a to c). They may be of routes
/// with different route distinguishers: for a VRF they are one route (RFC 4364 §4.3.2).
pub fn equally_good<'a, T>(paths: Vec<T>, attributes: impl Fn(&T) -> &'a Attributes) -> Vec<T> {
    if paths.len() < 2 {
        return paths;
    }
    let mut left: Vec<(Preference, T)> =
        paths.into_iter().map(|path| (Preference::of(attributes(&path)), path)).collect();
    keep(&mut left, |(preference, _)| Reverse(preference.local_pref), |_| {});
    keep(&mut left, |(preference, _)| preference.as_path_length, |_| {});
    keep(&mut left, |(preference, _)| preference.origin, |_| {});
    keep_lowest_med(&mut left, |(preference, _)| preference, |_| {});
    left.into_iter().map(|(_, path)| path).collect()
}

/// Keep the paths with the lowest rank, and tell of the others.
fn keep<T, R: Ord>(left: &mut Vec<T>, rank: impl Fn(&T) -> R, lost: impl FnMut(&T)) {
    if left.len() < 2 {
        return;
    }
    if let Some(lowest) = left.iter().map(&rank).min() {
        retain(left, |path| rank(path) == lowest, lost);
    }
}

/// Of the paths from one neighboring AS, keep those with the lowest MED (RFC 4271 §9.1.2.2 c).
fn keep_lowest_med<T>(left: &mut Vec<T>, preference: impl Fn(&T) -> &Preference, lost: impl FnMut(&T)) {
    if left.len() < 2 {
        return;
    }
    let mut lowest: FxHashMap<Option<Asn>, u32> = FxHashMap::default();
    for path in left.iter().map(&preference) {
        let med = lowest.entry(path.neighbor).or_insert(u32::MAX);
        *med = path.med.min(*med);
    }
    let is_lowest = |path: &T| {
        let Preference { neighbor, med, .. } = preference(path);
        lowest.get(neighbor) == Some(med)
    };
    retain(left, is_lowest, lost);
}

fn retain<T>(left: &mut Vec<T>, wanted: impl Fn(&T) -> bool, mut lost: impl FnMut(&T)) {
    left.retain(|path| {
        let kept = wanted(path);
        if !kept {
            lost(path);
        }
        kept
    });
}

impl Candidate<'_> {
    fn is_internal(&self) -> bool {
        matches!(self.origination, Origination::Peer { internal: true, .. })
    }

    fn router_id(&self) -> Option<RouterId> {
        match self.origination {
            Origination::Local => None,
            Origination::Peer { router_id, .. } => Some(self.preference.originator.unwrap_or(router_id)),
        }
    }

    fn peer(&self) -> Option<(IpAddr, PeerId, PathId)> {
        match self.origination {
            Origination::Local => None,
            Origination::Peer { address, id, received, .. } => Some((address, id, received)),
        }
    }
}
