//! A route with its paths. There are many of them: what is the same for most takes no room in each.

use super::attributes::AttributesId;
use super::octets::{OctetStore, Octets};
use super::peer::Slot;
use super::peer_sets::PeerSetId;
use super::table::{FamilyId, Position, RouteId};
use crate::wire::PathId;

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
#[derive(Clone, Copy, Debug)]
pub(super) struct PathRecord {
    pub(super) key: PathKey,
    pub(super) attributes: AttributesId,
    /// Another one after each change, by which a peer that holds several paths is told no more than what changed.
    pub(super) version: u32,
    /// The identifier that goes with it to other peers, the same for as long as it lives; zero if there was none left.
    pub(super) id: u16,
    pub(super) stale: bool,
}

/// A route. It lives while it has a path, or some peer or the importer has not yet heard that it has none.
#[derive(Debug)]
pub(super) struct Route {
    /// The encoded NLRI: its key fields count, the others are those of some path.
    pub(super) nlri: Octets,
    /// The best path is the first.
    paths: Paths,
    pub(super) next: RouteId,
    pub(super) previous: RouteId,
    pub(super) position: Position,
    /// The peers that hold this route of us: Adj-RIB-Out.
    pub(super) sent_to: PeerSetId,
    /// Kept, so that the index can grow without a look at the octets.
    pub(super) hash: Hash,
    pub(super) family: FamilyId,
    /// The importer was told of a best path.
    pub(super) reported: bool,
    /// A change is queued for the importer.
    pub(super) queued: bool,
}

/// Half of the hash of a key: enough to find a route by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Hash(u32);

impl Hash {
    pub(super) const fn of(hash: u64) -> Self {
        let [a, b, c, d, ..] = hash.to_le_bytes();
        Self(u32::from_le_bytes([a, b, c, d]))
    }

    /// As long as the index wants it, which looks at both ends.
    pub(super) const fn spread(self) -> u64 {
        (self.0 as u64) << 32 | self.0 as u64
    }
}

/// Most routes have one path: no allocation for it.
#[derive(Debug, Default)]
enum Paths {
    #[default]
    None,
    One(PathRecord),
    Several(Box<Several>),
}

#[derive(Debug, Default)]
struct Several {
    paths: Vec<PathRecord>,
    /// The octets of those that differ from those of the route (in labels, for example).
    others: Vec<(PathKey, Box<[u8]>)>,
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
    /// A route without paths.
    pub(super) const fn new(family: FamilyId, nlri: Octets, hash: Hash) -> Self {
        Self {
            nlri,
            paths: Paths::None,
            next: RouteId::NONE,
            previous: RouteId::NONE,
            position: Position::NOWHERE,
            sent_to: PeerSetId::EMPTY,
            hash,
            family,
            reported: false,
            queued: false,
        }
    }

    /// The paths, best first.
    pub(super) fn paths(&self) -> &[PathRecord] {
        match &self.paths {
            Paths::None => &[],
            Paths::One(path) => std::slice::from_ref(path),
            Paths::Several(several) => &several.paths,
        }
    }

    fn paths_mut(&mut self) -> &mut [PathRecord] {
        match &mut self.paths {
            Paths::None => &mut [],
            Paths::One(path) => std::slice::from_mut(path),
            Paths::Several(several) => &mut several.paths,
        }
    }

    pub(super) fn path(&self, key: PathKey) -> Option<&PathRecord> {
        self.paths().iter().find(|path| path.key == key)
    }

    pub(super) fn best(&self) -> Option<&PathRecord> {
        self.paths().first()
    }

    /// The encoded NLRI as it came with a path of this route.
    pub(super) fn nlri_of<'a>(&'a self, path: &PathRecord, store: &'a OctetStore) -> &'a [u8] {
        let others = match &self.paths {
            Paths::Several(several) => several.others.as_slice(),
            Paths::None | Paths::One(_) => &[],
        };
        let other = others.iter().find(|(key, _)| *key == path.key);
        other.map_or_else(|| store.get(self.nlri), |(_, octets)| octets)
    }

    /// Add or replace the path of a source.
    pub(super) fn put(
        &mut self,
        key: PathKey,
        encoded: &[u8],
        attributes: AttributesId,
        version: u32,
        store: &mut OctetStore,
    ) -> Put {
        let before = self.path(key).copied();
        let unchanged =
            before.filter(|path| path.attributes == attributes && self.nlri_of(path, store) == encoded);
        let path = PathRecord {
            key,
            attributes,
            version: unchanged.map_or(version, |path| path.version),
            id: before.map_or_else(|| self.free_id(), |path| path.id),
            stale: false,
        };
        let like_route = store.get(self.nlri) == encoded;
        if self.paths().iter().all(|path| path.key == key) {
            if !like_route {
                store.replace(&mut self.nlri, encoded);
            }
            self.paths = Paths::One(path);
        } else {
            self.put_beside_others(path, (!like_route).then(|| encoded.into()));
        }
        let released = before.map(|path| path.attributes);
        Put { new: before.is_none(), changed: unchanged.is_none(), released }
    }

    fn put_beside_others(&mut self, path: PathRecord, other_nlri: Option<Box<[u8]>>) {
        let mut several = match std::mem::take(&mut self.paths) {
            Paths::None => Box::default(),
            Paths::One(first) => Box::new(Several { paths: vec![first], others: Vec::new() }),
            Paths::Several(several) => several,
        };
        several.others.retain(|(key, _)| *key != path.key);
        several.others.extend(other_nlri.map(|octets| (path.key, octets)));
        match several.paths.iter_mut().find(|held| held.key == path.key) {
            Some(held) => *held = path,
            None => several.paths.push(path),
        }
        self.paths = Paths::Several(several);
    }

    /// A path identifier that no path has.
    fn free_id(&self) -> u16 {
        let used = || self.paths().iter().map(|path| path.id);
        let highest = used().max().unwrap_or(0);
        let free = |id: &u16| used().all(|used| used != *id);
        highest.checked_add(1).or_else(|| (1..u16::MAX).find(free)).unwrap_or(0)
    }

    /// Remove a path. The octets of the only one that is left become those of the route.
    pub(super) fn remove(&mut self, key: PathKey, store: &mut OctetStore) -> Option<PathRecord> {
        let removed = self.path(key).copied()?;
        self.paths = match std::mem::take(&mut self.paths) {
            Paths::None | Paths::One(_) => Paths::None,
            Paths::Several(mut several) => {
                several.paths.retain(|path| path.key != key);
                several.others.retain(|(other, _)| *other != key);
                if let [last] = &*several.paths {
                    if let Some((_, octets)) = several.others.first() {
                        store.replace(&mut self.nlri, octets);
                    }
                    Paths::One(*last)
                } else {
                    Paths::Several(several)
                }
            }
        };
        Some(removed)
    }

    /// Mark all paths of a source as stale.
    pub(super) fn mark_stale(&mut self, source: Slot) {
        for path in self.paths_mut().iter_mut().filter(|path| path.key.source == Some(source)) {
            path.stale = true;
        }
    }

    /// Mark one path as stale.
    pub(super) fn mark_path_stale(&mut self, key: PathKey) {
        for path in self.paths_mut().iter_mut().filter(|path| path.key == key) {
            path.stale = true;
        }
    }

    /// Make the path at this position the best.
    pub(super) fn promote(&mut self, position: usize) {
        let paths = self.paths_mut();
        if position < paths.len() {
            paths.swap(0, position);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What a route takes, beside its octets and its places in the index and the log. A reflector has millions.
    #[test]
    fn a_route_is_small() {
        assert!(size_of::<Option<Route>>() <= 56, "{}", size_of::<Option<Route>>());
    }
}
