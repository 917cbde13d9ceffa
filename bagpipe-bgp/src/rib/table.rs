//! All routes, each with its paths; and per family the log of changes that every peer reads at its own pace.
//!
//! A route is in the log of its family exactly once: a change moves it to the end. A peer remembers only how far
//! it has read, so the log takes the place of a queue per peer, and a slow peer finds the last state of a route,
//! not its history.

use hashbrown::HashTable;
use std::hash::{BuildHasher, RandomState};

use super::attributes::{AttributeTable, AttributesId};
use super::key::Key;
use super::octets::OctetStore;
use super::peer::Slot;
use super::peer_sets::{PeerSetId, PeerSets};
use super::route::{Hash, PathKey, PathRecord, Put, Route};
use crate::types::Family;

/// Names a route while it is in the table.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) struct RouteId(u32);

impl RouteId {
    /// No route: what a moved route leaves behind in the log, and the end of a chain.
    pub(super) const NONE: Self = Self(u32::MAX);
}

/// Names a family of the table.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) struct FamilyId(u16);

/// A place in the log of a family.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Position(u32);

impl Position {
    /// The place of a route that never had a best path.
    pub(super) const NOWHERE: Self = Self(u32::MAX);

    /// The first place behind this one whose number is a multiple.
    pub(super) fn next_multiple_of(self, length: u32) -> Self {
        Self((self.0 / length).saturating_add(1).saturating_mul(length))
    }
}

/// The routes of one family in the order of their last change.
#[derive(Debug)]
struct Log {
    family: Family,
    entries: Vec<RouteId>,
    /// How many entries are [`RouteId::NONE`].
    moved: usize,
    /// How often its gaps were closed.
    epoch: u32,
}

/// All routes.
#[derive(Debug, Default)]
pub(super) struct Table {
    routes: Vec<Option<Route>>,
    octets: OctetStore,
    holders: PeerSets,
    free: Vec<RouteId>,
    index: HashTable<RouteId>,
    /// Seeded: peers choose the keys, and must not choose them so that all fall together.
    hasher: RandomState,
    logs: Vec<Log>,
    /// The last version of all paths; zero is none.
    version: u32,
}

impl Table {
    /// The name of a family; `None` only for more families than a speaker can have.
    pub(super) fn family_id(&mut self, family: Family) -> Option<FamilyId> {
        let number = self.logs.iter().position(|log| log.family == family).unwrap_or_else(|| {
            self.logs.push(Log { family, entries: Vec::new(), moved: 0, epoch: 0 });
            self.logs.len() - 1
        });
        u16::try_from(number).ok().map(FamilyId)
    }

    pub(super) fn family(&self, id: FamilyId) -> Family {
        self.logs.get(usize::from(id.0)).map_or(Family::IPV4_UNICAST, |log| log.family)
    }

    pub(super) fn get(&self, id: RouteId) -> Option<&Route> {
        self.routes.get(id.0 as usize)?.as_ref()
    }

    pub(super) fn get_mut(&mut self, id: RouteId) -> Option<&mut Route> {
        self.routes.get_mut(id.0 as usize)?.as_mut()
    }

    /// The names of all routes. While they are walked routes may be removed.
    pub(super) fn ids(&self) -> impl Iterator<Item = RouteId> + use<> {
        (0..u32::try_from(self.routes.len()).unwrap_or(u32::MAX)).map(RouteId)
    }

    /// The names from one number up to another; `None` if there is none at that number or beyond.
    pub(super) fn ids_between(&self, start: u32, end: u32) -> Option<impl Iterator<Item = RouteId> + use<>> {
        let length = u32::try_from(self.routes.len()).unwrap_or(u32::MAX);
        (start < length).then(|| (start..end.min(length)).map(RouteId))
    }

    pub(super) fn routes(&self) -> impl Iterator<Item = &Route> {
        self.routes.iter().flatten()
    }

    pub(super) fn find(&self, family: FamilyId, encoded: &[u8]) -> Option<RouteId> {
        let key = Key::of(self.family(family), encoded);
        self.find_hashed(family, key, self.hash(family, key))
    }

    fn find_hashed(&self, family: FamilyId, key: Key<'_>, hash: Hash) -> Option<RouteId> {
        self.index.find(hash.spread(), |id| self.is(*id, family, key, hash)).copied()
    }

    /// Find a route, or add it without paths.
    pub(super) fn find_or_add(&mut self, family: FamilyId, encoded: &[u8]) -> RouteId {
        let key = Key::of(self.family(family), encoded);
        let hash = self.hash(family, key);
        if let Some(id) = self.find_hashed(family, key, hash) {
            return id;
        }
        let route = Route::new(family, self.octets.insert(encoded), hash);
        let id = self.free.pop().unwrap_or_else(|| {
            self.routes.push(None);
            RouteId(u32::try_from(self.routes.len() - 1).unwrap_or(u32::MAX))
        });
        if let Some(place) = self.routes.get_mut(id.0 as usize) {
            *place = Some(route);
        }
        let routes = &self.routes;
        let rehash = |id: &RouteId| {
            let route = routes.get(id.0 as usize).and_then(Option::as_ref);
            route.map_or(0, |route| route.hash.spread())
        };
        self.index.insert_unique(hash.spread(), id, rehash);
        id
    }

    fn hash(&self, family: FamilyId, key: Key<'_>) -> Hash {
        Hash::of(self.hasher.hash_one((family, key)))
    }

    fn is(&self, id: RouteId, family: FamilyId, key: Key<'_>, hash: Hash) -> bool {
        self.get(id).is_some_and(|route| {
            route.hash == hash
                && route.family == family
                && Key::of(self.family(family), self.nlri(route)) == key
        })
    }

    /// The encoded NLRI of a route: its key fields count, the others are those of some path.
    pub(super) fn nlri(&self, route: &Route) -> &[u8] {
        self.octets.get(route.nlri)
    }

    /// The encoded NLRI of a route as it came with one of its paths.
    pub(super) fn nlri_of<'a>(&'a self, route: &'a Route, path: &PathRecord) -> &'a [u8] {
        route.nlri_of(path, &self.octets)
    }

    /// Add or replace the path of a source to a route.
    pub(super) fn put(
        &mut self,
        id: RouteId,
        key: PathKey,
        encoded: &[u8],
        attributes: AttributesId,
    ) -> Option<Put> {
        self.version = self.version.checked_add(1).unwrap_or(1);
        let route = self.routes.get_mut(id.0 as usize)?.as_mut()?;
        Some(route.put(key, encoded, attributes, self.version, &mut self.octets))
    }

    /// Remove a path of a route, if it is there.
    pub(super) fn remove(&mut self, id: RouteId, key: PathKey) -> Option<PathRecord> {
        self.routes.get_mut(id.0 as usize)?.as_mut()?.remove(key, &mut self.octets)
    }

    /// Whether a peer holds a route of us.
    pub(super) fn is_sent(&self, route: &Route, slot: Slot) -> bool {
        self.holders.contains(route.sent_to, slot)
    }

    /// Note whether a peer holds a route of us. Whether that is news.
    pub(super) fn set_sent(&mut self, id: RouteId, slot: Slot, sent: bool) -> bool {
        let Some(Some(route)) = self.routes.get_mut(id.0 as usize) else { return false };
        if sent {
            self.holders.insert(&mut route.sent_to, slot)
        } else {
            self.holders.remove(&mut route.sent_to, slot)
        }
    }

    /// Drop a route that nobody needs any more. Whether it was dropped.
    pub(super) fn drop_if_dead(&mut self, id: RouteId) -> bool {
        let Some(route) = self.get(id) else { return false };
        let needed = !route.paths().is_empty() || route.queued || route.reported;
        if needed || route.sent_to != PeerSetId::EMPTY {
            return false;
        }
        let (family, position, nlri, hash) = (route.family, route.position, route.nlri, route.hash);
        if let Ok(place) = self.index.find_entry(hash.spread(), |other| *other == id) {
            place.remove();
        }
        self.vacate(family, position);
        self.octets.remove(nlri);
        if let Some(place) = self.routes.get_mut(id.0 as usize) {
            *place = None;
        }
        self.free.push(id);
        true
    }

    /// Move a route to the end of its log.
    pub(super) fn touch(&mut self, id: RouteId) {
        let Some(route) = self.get(id) else { return };
        let (family, position) = (route.family, route.position);
        let end = self.end(family);
        self.vacate(family, position);
        self.append(family, id);
        if let Some(route) = self.get_mut(id) {
            route.position = end;
        }
    }

    /// Where the next change of a family will be.
    pub(super) fn end(&self, family: FamilyId) -> Position {
        let length = self.logs.get(usize::from(family.0)).map_or(0, |log| log.entries.len());
        Position(u32::try_from(length).unwrap_or(u32::MAX))
    }

    /// The routes that changed at or after a position, each with the position behind it.
    pub(super) fn changed_since(
        &self,
        family: FamilyId,
        position: Position,
    ) -> impl Iterator<Item = (Position, RouteId)> + '_ {
        let entries =
            self.logs.get(usize::from(family.0)).and_then(|log| log.entries.get(position.0 as usize..));
        (position.0 + 1..)
            .map(Position)
            .zip(entries.unwrap_or_default().iter().copied())
            .filter(|(_, id)| *id != RouteId::NONE)
    }

    /// The routes from one position up to another.
    pub(super) fn between(
        &self,
        family: FamilyId,
        from: Position,
        to: Position,
    ) -> impl Iterator<Item = RouteId> + '_ {
        let range = from.0 as usize..to.0 as usize;
        let entries = self.logs.get(usize::from(family.0)).and_then(|log| log.entries.get(range));
        entries.unwrap_or_default().iter().copied().filter(|id| *id != RouteId::NONE)
    }

    /// How often the positions of a log have changed their meaning.
    pub(super) fn epoch(&self, family: FamilyId) -> u32 {
        self.logs.get(usize::from(family.0)).map_or(0, |log| log.epoch)
    }

    /// How many entries a log has, with its gaps.
    #[cfg(test)]
    pub(super) fn log_length(&self, family: FamilyId) -> usize {
        self.logs[usize::from(family.0)].entries.len()
    }

    fn append(&mut self, family: FamilyId, id: RouteId) {
        if let Some(log) = self.logs.get_mut(usize::from(family.0)) {
            log.entries.push(id);
        }
    }

    fn vacate(&mut self, family: FamilyId, position: Position) {
        if let Some(log) = self.logs.get_mut(usize::from(family.0))
            && let Some(entry) = log.entries.get_mut(position.0 as usize)
        {
            *entry = RouteId::NONE;
            log.moved += 1;
        }
    }

    /// Close the gaps of a log once they are the greater part of it. Positions held elsewhere are then to be
    /// translated by the result.
    pub(super) fn compact(&mut self, family: FamilyId) -> Option<Translation> {
        const MOVED_WORTHWHILE: usize = 1024;
        let log = self.logs.get_mut(usize::from(family.0))?;
        if log.moved < MOVED_WORTHWHILE || log.moved * 2 < log.entries.len() {
            return None;
        }
        let mut live = 0;
        let mut positions = Vec::with_capacity(log.entries.len() + 1);
        for id in &log.entries {
            positions.push(Position(live));
            live += u32::from(*id != RouteId::NONE);
        }
        positions.push(Position(live));
        log.entries.retain(|id| *id != RouteId::NONE);
        log.moved = 0;
        log.epoch = log.epoch.wrapping_add(1);
        for (position, id) in log.entries.iter().enumerate() {
            if let Some(Some(route)) = self.routes.get_mut(id.0 as usize) {
                route.position = Position(u32::try_from(position).unwrap_or(u32::MAX));
            }
        }
        Some(Translation(positions))
    }

    /// Chain a route to the attributes of its best path.
    pub(super) fn link(&mut self, id: RouteId, attributes: AttributesId, all: &mut AttributeTable) {
        let Some(held) = all.get_mut(attributes) else { return };
        let next = held.first.replace(id).unwrap_or(RouteId::NONE);
        if let Some(route) = self.get_mut(id) {
            (route.previous, route.next) = (RouteId::NONE, next);
        }
        if let Some(route) = self.get_mut(next) {
            route.previous = id;
        }
    }

    /// Take a route out of the chain of the attributes that its best path had.
    pub(super) fn unlink(&mut self, id: RouteId, attributes: AttributesId, all: &mut AttributeTable) {
        let Some(route) = self.get_mut(id) else { return };
        let (previous, next) = (route.previous, route.next);
        (route.previous, route.next) = (RouteId::NONE, RouteId::NONE);
        if let Some(route) = self.get_mut(next) {
            route.previous = previous;
        }
        match self.get_mut(previous) {
            Some(route) => route.next = next,
            None => {
                if let Some(held) = all.get_mut(attributes) {
                    held.first = (next != RouteId::NONE).then_some(next);
                }
            }
        }
    }

    /// The routes whose best path has these attributes.
    pub(super) fn with_attributes(
        &self,
        attributes: AttributesId,
        all: &AttributeTable,
    ) -> impl Iterator<Item = RouteId> + '_ {
        let first = all.get(attributes).and_then(|held| held.first);
        std::iter::successors(first, |id| {
            self.get(*id).map(|route| route.next).filter(|next| *next != RouteId::NONE)
        })
    }
}

/// From the positions of a log to those after its gaps were closed.
pub(super) struct Translation(Vec<Position>);

impl Translation {
    pub(super) fn apply(&self, position: &mut Position) {
        if let Some(translated) = self.0.get(position.0 as usize) {
            *position = *translated;
        }
    }
}
