//! The Adj-RIB-Out of a peer that is sent several paths of a route (RFC 7911).

use rustc_hash::FxHashMap;

use super::table::RouteId;

/// A path that a peer holds of us.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct HeldPath {
    /// Its identifier.
    pub(super) id: u16,
    /// Which version of it was sent; zero: it is to be sent again whatever it is.
    pub(super) version: u32,
}

/// The paths that a peer holds of us, by route.
#[derive(Debug, Default)]
pub(super) struct HeldPaths(FxHashMap<RouteId, Vec<HeldPath>>);

impl HeldPaths {
    pub(super) fn of(&self, route: RouteId) -> &[HeldPath] {
        self.0.get(&route).map_or(&[], Vec::as_slice)
    }

    /// The version that it holds of a path.
    pub(super) fn version(&self, route: RouteId, id: u16) -> Option<u32> {
        self.of(route).iter().find(|held| held.id == id).map(|held| held.version)
    }

    /// A path was sent. Whether the peer had none with this identifier.
    pub(super) fn insert(&mut self, route: RouteId, path: HeldPath) -> bool {
        let held = self.0.entry(route).or_default();
        match held.iter_mut().find(|held| held.id == path.id) {
            Some(held) => {
                *held = path;
                false
            }
            None => {
                held.push(path);
                true
            }
        }
    }

    /// A path was withdrawn. Whether the peer had it.
    pub(super) fn remove(&mut self, route: RouteId, id: u16) -> bool {
        let Some(held) = self.0.get_mut(&route) else { return false };
        let before = held.len();
        held.retain(|held| held.id != id);
        let removed = held.len() < before;
        if held.is_empty() {
            self.0.remove(&route);
        }
        removed
    }

    /// All paths of some routes are to be sent again.
    pub(super) fn forget_versions(&mut self, concerns: impl Fn(RouteId) -> bool) {
        for (_, paths) in self.0.iter_mut().filter(|(route, _)| concerns(**route)) {
            paths.iter_mut().for_each(|path| path.version = 0);
        }
    }
}
