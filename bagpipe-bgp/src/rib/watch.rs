//! What happens to paths, for those who watch: monitors, and stations that collect routes (RFC 7854).
//!
//! Nothing is kept while nobody watches. What is kept is one change for each path that an operation touched, until
//! the owner takes it.

use std::collections::VecDeque;
use std::net::IpAddr;
use std::sync::Arc;

use serde::Serialize;

use super::route::{PathKey, PathRecord};
use super::table::{FamilyId, RouteId};
use super::{HeldPath, PeerId, Rib, key};
use crate::wire::{Attributes, Nlri, PathId};

/// Where a route comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum RouteSource {
    /// This speaker.
    Local,
    /// A peer.
    Peer(PeerId, IpAddr),
}

/// A path came, changed or went.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PathChange {
    /// The route, with its labels.
    pub nlri: Nlri,
    /// The path identifier that it came with; zero without add-path (RFC 7911).
    pub path_id: PathId,
    /// Where it comes from.
    pub source: RouteSource,
    /// What it is now; `None` if it went.
    pub attributes: Option<Arc<Attributes>>,
    /// Where the best path of the route comes from now, if there is one.
    pub best: Option<RouteSource>,
}

/// How far somebody has come who reads all routes in several steps. What changes meanwhile has to be watched.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Walk {
    next: u32,
}

impl Rib {
    /// Whether changes of paths are kept for [`Self::poll_path`].
    pub fn watch(&mut self, on: bool) {
        match (on, &self.watched) {
            (true, None) => self.watched = Some(VecDeque::new()),
            (true, Some(_)) => {}
            (false, _) => self.watched = None,
        }
    }

    /// The next change of a path.
    pub fn poll_path(&mut self) -> Option<PathChange> {
        self.watched.as_mut()?.pop_front()
    }

    /// The paths of the next `count` places of the table; `None` after the last.
    pub fn step(&self, walk: &mut Walk, count: u32) -> Option<Vec<HeldPath>> {
        let end = walk.next.saturating_add(count);
        let ids = self.table.ids_between(walk.next, end)?;
        walk.next = end;
        let routes = ids.filter_map(|id| self.table.get(id));
        Some(routes.flat_map(|route| self.held_paths(route)).collect())
    }

    /// A path was announced.
    pub(super) fn note_put(&mut self, id: RouteId, key: PathKey) {
        if self.watched.is_none() {
            return;
        }
        let Some(route) = self.table.get(id) else { return };
        let Some(path) = route.path(key) else { return };
        let attributes = self.attributes.get(path.attributes).map(|held| Arc::clone(&held.attributes));
        let nlri = key::decode(self.table.family(route.family), self.table.nlri_of(route, path));
        self.note(id, key, nlri, attributes);
    }

    /// A path was removed; the route may be gone as well.
    pub(super) fn note_removal(&mut self, id: RouteId, key: PathKey, family: FamilyId, encoded: &[u8]) {
        self.note(id, key, key::decode(self.table.family(family), encoded), None);
    }

    fn note(&mut self, id: RouteId, key: PathKey, nlri: Option<Nlri>, attributes: Option<Arc<Attributes>>) {
        let best = self.table.get(id).and_then(|route| route.best()).and_then(|best| self.source(best));
        let (Some(nlri), Some(source)) = (nlri, self.source_of(key)) else { return };
        if let Some(watched) = &mut self.watched {
            watched.push_back(PathChange { nlri, path_id: key.received, source, attributes, best });
        }
    }

    fn source(&self, path: &PathRecord) -> Option<RouteSource> {
        self.source_of(path.key)
    }

    fn source_of(&self, key: PathKey) -> Option<RouteSource> {
        let Some(slot) = key.source else { return Some(RouteSource::Local) };
        self.peers.get(slot).map(|peer| RouteSource::Peer(peer.id, peer.facts.address))
    }
}
