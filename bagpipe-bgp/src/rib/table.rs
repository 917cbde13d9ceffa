//! All routes, each with its paths; and per family the log of changes that every peer reads at its own pace.
//!
//! A route is in the log of its family exactly once: a change moves it to the end. A peer remembers only how far
//! it has read, so the log takes the place of a queue per peer, and a slow peer finds the last state of a route,
//! not its history.

use hashbrown::HashTable;
use hashbrown::hash_table::Entry;
use std::hash::{BuildHasher, RandomState};

use super::attributes::{AttributeTable, AttributesId};
use super::key::Key;
use super::peer::{PeerSet, Slot};
use crate::types::Family;
use crate::wire::PathId;

/// Names a route while it is in the table.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) struct RouteId(u32);

impl RouteId {
    /// No route: what a moved route leaves behind in the log, and the end of a chain.
    const NONE: Self = Self(u32::MAX);
}

/// Names a family of the table.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) struct FamilyId(u16);

/// A place in the log of a family.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Position(u32);

impl Position {
    /// The place of a route that never had a best path.
    const NOWHERE: Self = Self(u32::MAX);
}

/// Tells the paths of a route apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct PathKey {
    /// The peer it came from; `None` for this speaker.
    pub(super) source: Option<Slot>,
    /// The identifier that the peer gave it; zero without add-path (RFC 7911 §3).
    pub(super) received: PathId,
}

impl PathKey {
    /// The path of this speaker.
    pub(super) const LOCAL: Self = Self { source: None, received: 0 };
}

/// A path to a route.
#[derive(Debug)]
pub(super) struct PathRecord {
    pub(super) key: PathKey,
    pub(super) attributes: AttributesId,
    /// Another one after each change, by which a peer that holds several paths is told no more than what changed.
    pub(super) version: u32,
    /// The identifier that goes with it to other peers, the same for as long as it lives; zero if there was none left.
    pub(super) id: u16,
    pub(super) stale: bool,
    /// The encoded NLRI, where it differs from that of the route (in labels, for example).
    nlri: Option<Box<[u8]>>,
}

/// A route. It lives while it has a path, or some peer or the importer has not yet heard that it has none.
#[derive(Debug)]
pub(super) struct Route {
    nlri: Box<[u8]>,
    /// The best path is the first.
    paths: Paths,
    next: RouteId,
    previous: RouteId,
    pub(super) position: Position,
    pub(super) family: FamilyId,
    /// The importer was told of a best path.
    pub(super) reported: bool,
    /// A change is queued for the importer.
    pub(super) queued: bool,
    /// The peers that hold this route of us: Adj-RIB-Out.
    pub(super) sent_to: PeerSet,
}

/// Most routes have one path: no allocation for it.
#[derive(Debug, Default)]
enum Paths {
    #[default]
    None,
    One(PathRecord),
    Many(Vec<PathRecord>),
}

impl Paths {
    fn as_slice(&self) -> &[PathRecord] {
        match self {
            Self::None => &[],
            Self::One(path) => std::slice::from_ref(path),
            Self::Many(paths) => paths,
        }
    }

    fn as_mut_slice(&mut self) -> &mut [PathRecord] {
        match self {
            Self::None => &mut [],
            Self::One(path) => std::slice::from_mut(path),
            Self::Many(paths) => paths,
        }
    }

    fn push(&mut self, path: PathRecord) {
        *self = match std::mem::take(self) {
            Self::None => Self::One(path),
            Self::One(first) => Self::Many(vec![first, path]),
            Self::Many(mut paths) => {
                paths.push(path);
                Self::Many(paths)
            }
        };
    }

    fn remove(&mut self, key: PathKey) -> Option<PathRecord> {
        let (rest, removed) = match std::mem::take(self) {
            Self::One(path) if path.key == key => (Self::None, Some(path)),
            Self::Many(mut paths) => {
                let position = paths.iter().position(|path| path.key == key);
                let removed = position.map(|position| paths.remove(position));
                let rest = if paths.len() == 1 {
                    paths.pop().map_or(Self::None, Self::One)
                } else {
                    Self::Many(paths)
                };
                (rest, removed)
            }
            other => (other, None),
        };
        *self = rest;
        removed
    }
}

/// What [`Route::put`] did.
pub(super) struct Put {
    /// There was no path from this source before.
    pub(super) new: bool,
    /// The attributes or the octets of the NLRI are others than before.
    pub(super) changed: bool,
    /// Attributes that the path no longer refers to.
    pub(super) released: Option<AttributesId>,
}

impl Route {
    /// The paths, best first.
    pub(super) fn paths(&self) -> &[PathRecord] {
        self.paths.as_slice()
    }

    pub(super) fn best(&self) -> Option<&PathRecord> {
        self.paths().first()
    }

    /// The encoded NLRI: its key fields count, the others are those of some path.
    pub(super) fn nlri(&self) -> &[u8] {
        &self.nlri
    }

    /// The encoded NLRI as it came with a path of this route.
    pub(super) fn nlri_of<'a>(&'a self, path: &'a PathRecord) -> &'a [u8] {
        path.nlri.as_ref().unwrap_or(&self.nlri)
    }

    /// The encoded NLRI of a path, to be kept for longer than the path.
    pub(super) fn encoded(&self, key: PathKey) -> Option<Box<[u8]>> {
        let path = self.paths().iter().find(|path| path.key == key)?;
        Some(self.nlri_of(path).into())
    }

    /// Add or replace the path of a source.
    pub(super) fn put(
        &mut self,
        key: PathKey,
        encoded: &[u8],
        attributes: AttributesId,
        version: u32,
    ) -> Put {
        let alone = self.paths().iter().all(|path| path.key == key);
        let before = self.paths().iter().find(|path| path.key == key);
        let same_nlri = before.is_some_and(|path| self.nlri_of(path) == encoded);
        if alone && *self.nlri != *encoded {
            self.nlri = encoded.into();
        }
        let nlri = (*self.nlri != *encoded).then(|| encoded.into());
        if let Some(path) = self.paths.as_mut_slice().iter_mut().find(|path| path.key == key) {
            let changed = !same_nlri || path.attributes != attributes;
            let released = Some(path.attributes);
            let version = if changed { version } else { path.version };
            *path = PathRecord { key, attributes, version, id: path.id, stale: false, nlri };
            return Put { new: false, changed, released };
        }
        let id = self.free_id();
        self.paths.push(PathRecord { key, attributes, version, id, stale: false, nlri });
        Put { new: true, changed: true, released: None }
    }

    /// A path identifier that no path has.
    fn free_id(&self) -> u16 {
        let used = || self.paths().iter().map(|path| path.id);
        let highest = used().max().unwrap_or(0);
        let free = |id: &u16| used().all(|used| used != *id);
        highest.checked_add(1).or_else(|| (1..u16::MAX).find(free)).unwrap_or(0)
    }

    /// Remove a path.
    pub(super) fn remove(&mut self, key: PathKey) -> Option<PathRecord> {
        self.paths.remove(key)
    }

    /// Mark all paths of a source as stale.
    pub(super) fn mark_stale(&mut self, source: Slot) {
        for path in self.paths.as_mut_slice().iter_mut().filter(|path| path.key.source == Some(source)) {
            path.stale = true;
        }
    }

    /// Mark one path as stale.
    pub(super) fn mark_path_stale(&mut self, key: PathKey) {
        for path in self.paths.as_mut_slice().iter_mut().filter(|path| path.key == key) {
            path.stale = true;
        }
    }

    /// Make the path at this position the best.
    pub(super) fn promote(&mut self, position: usize) {
        let paths = self.paths.as_mut_slice();
        if position < paths.len() {
            paths.swap(0, position);
        }
    }
}

/// The routes of one family in the order of their last change.
#[derive(Debug)]
struct Log {
    family: Family,
    entries: Vec<RouteId>,
    /// How many entries are [`RouteId::NONE`].
    moved: usize,
}

/// All routes.
#[derive(Debug, Default)]
pub(super) struct Table {
    routes: Vec<Option<Route>>,
    free: Vec<RouteId>,
    index: HashTable<RouteId>,
    /// Seeded: peers choose the keys, and must not choose them so that all fall together.
    hasher: RandomState,
    logs: Vec<Log>,
    /// The last of all [`PathRecord::version`]s; zero is none.
    version: u32,
}

impl Table {
    /// The name of a family; `None` only for more families than a speaker can have.
    pub(super) fn family_id(&mut self, family: Family) -> Option<FamilyId> {
        let number = self.logs.iter().position(|log| log.family == family).unwrap_or_else(|| {
            self.logs.push(Log { family, entries: Vec::new(), moved: 0 });
            self.logs.len() - 1
        });
        u16::try_from(number).ok().map(FamilyId)
    }

    /// A version for a path that is put.
    pub(super) fn next_version(&mut self) -> u32 {
        self.version = self.version.checked_add(1).unwrap_or(1);
        self.version
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
        let hash = self.hasher.hash_one((family, key));
        self.index.find(hash, |id| self.is(*id, family, key)).copied()
    }

    /// Find a route, or add it without paths.
    pub(super) fn find_or_add(&mut self, family: FamilyId, encoded: &[u8]) -> RouteId {
        let name = self.family(family);
        let key = Key::of(name, encoded);
        let Self { routes, free, index, hasher, logs, .. } = self;
        let hash = hasher.hash_one((family, key));
        let held = |id: RouteId| routes.get(id.0 as usize)?.as_ref();
        let same = |id: &RouteId| {
            held(*id).is_some_and(|route| route.family == family && Key::of(name, &route.nlri) == key)
        };
        let rehash = |id: &RouteId| {
            held(*id).map_or(0, |route| {
                let name = logs.get(usize::from(route.family.0)).map_or(name, |log| log.family);
                hasher.hash_one((route.family, Key::of(name, &route.nlri)))
            })
        };
        let id = match index.entry(hash, same, rehash) {
            Entry::Occupied(found) => return *found.get(),
            Entry::Vacant(place) => {
                let id = free.pop().unwrap_or(RouteId(u32::try_from(routes.len()).unwrap_or(u32::MAX)));
                place.insert(id);
                id
            }
        };
        let route = Route {
            nlri: encoded.into(),
            paths: Paths::None,
            next: RouteId::NONE,
            previous: RouteId::NONE,
            position: Position::NOWHERE,
            family,
            reported: false,
            queued: false,
            sent_to: PeerSet::default(),
        };
        match self.routes.get_mut(id.0 as usize) {
            Some(place) => *place = Some(route),
            None => self.routes.push(Some(route)),
        }
        id
    }

    fn is(&self, id: RouteId, family: FamilyId, key: Key<'_>) -> bool {
        self.get(id)
            .is_some_and(|route| route.family == family && Key::of(self.family(family), &route.nlri) == key)
    }

    /// Drop a route that nobody needs any more. Whether it was dropped.
    pub(super) fn drop_if_dead(&mut self, id: RouteId) -> bool {
        let Some(route) = self.get(id) else { return false };
        if !route.paths().is_empty() || route.queued || route.reported || !route.sent_to.is_empty() {
            return false;
        }
        let (family, position) = (route.family, route.position);
        let hash = self.hasher.hash_one((family, Key::of(self.family(family), &route.nlri)));
        if let Ok(place) = self.index.find_entry(hash, |other| *other == id) {
            place.remove();
        }
        self.vacate(family, position);
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
