//! What follows from a path that comes, changes or goes: the best path, the log, the importer.

use super::Rib;
use super::attributes::AttributesId;
use super::export::Exporter;
use super::peer::Slot;
use super::route::{PathKey, PathRecord, Route};
use super::rt_constraint::TargetPrefix;
use super::table::{FamilyId, RouteId};
use super::{best_path, key};
use crate::types::Family;

/// What the best path of a route was.
type Best = Option<(PathKey, AttributesId)>;

pub(super) fn identity(path: &PathRecord) -> (PathKey, AttributesId) {
    (path.key, path.attributes)
}

impl Rib {
    /// A path was announced.
    pub(super) fn put(&mut self, key: PathKey, family: FamilyId, encoded: &[u8], attributes: AttributesId) {
        let id = self.table.find_or_add(family, encoded);
        let before = self.table.get(id).and_then(Route::best).map(identity);
        let watched = self.watched.is_some();
        let stale =
            watched && self.table.get(id).and_then(|route| route.path(key)).is_some_and(|path| path.stale);
        let Some(put) = self.table.put(id, key, encoded, attributes) else { return };
        self.attributes.refer(attributes);
        if put.changed {
            self.decide(id, before, key.source);
        }
        if put.changed || stale {
            self.note_put(id, key);
        }
        if let Some(released) = put.released {
            self.attributes.release(released);
        }
        if put.new {
            self.counted(key, family, TargetPrefix::of(encoded), 1);
        }
    }

    /// A path was withdrawn.
    pub(super) fn remove(&mut self, key: PathKey, family: FamilyId, encoded: &[u8]) {
        if let Some(id) = self.table.find(family, encoded) {
            self.remove_from(key, id);
        }
    }

    /// Remove the paths of a peer in a route that are of a kind.
    pub(super) fn remove_where(&mut self, slot: Slot, id: RouteId, kind: impl Fn(&PathRecord) -> bool) {
        let is_one = |path: &&PathRecord| path.key.source == Some(slot) && kind(path);
        while let Some(route) = self.table.get(id)
            && let Some(path) = route.paths().iter().find(is_one)
        {
            self.remove_from(path.key, id);
        }
    }

    /// Remove a path of a route, if it is there.
    pub(super) fn remove_from(&mut self, key: PathKey, id: RouteId) {
        let Some(route) = self.table.get(id) else { return };
        let before = route.best().map(identity);
        let nlri = route
            .path(key)
            .filter(|_| self.watched.is_some())
            .map(|path| self.table.nlri_of(route, path).to_vec());
        let (family, prefix) = (route.family, TargetPrefix::of(self.table.nlri(route)));
        let Some(removed) = self.table.remove(id, key) else { return };
        self.decide(id, before, key.source);
        self.attributes.release(removed.attributes);
        self.counted(key, family, prefix, -1);
        if let Some(nlri) = nlri {
            self.note_removal(id, key, family, &nlri);
        }
    }

    /// Select the best path again, and pass on what changed. `touched`: the source whose path is not what it was.
    pub(super) fn decide(&mut self, id: RouteId, before: Best, touched: Option<Slot>) {
        let Self { config, table, attributes, peers, .. } = self;
        let Some(route) = table.get(id) else { return };
        let name = table.family(route.family);
        if route.paths().len() > 1 {
            let exporter = Exporter { config, table, attributes, peers };
            let candidates = route.paths().iter().filter_map(|path| exporter.candidate(path));
            let best = best_path::best(candidates, key::is_mobile(name, table.nlri(route))).unwrap_or(0);
            if let Some(route) = table.get_mut(id) {
                route.promote(best);
            }
        }
        let Some(route) = table.get(id) else { return };
        let (family, after) = (route.family, route.best().map(identity));
        if before.map(|(_, held)| held) != after.map(|(_, held)| held) {
            if let Some((_, held)) = before {
                table.unlink(id, held, attributes);
            }
            if let Some((_, held)) = after {
                table.link(id, held, attributes);
            }
        }
        // Of a membership a path other than the best may be what some peer holds (RFC 4684 §3.2).
        let concerns_best = before != after || after.is_some_and(|(key, _)| key.source == touched);
        if concerns_best || name == Family::ROUTE_TARGET {
            self.changed(id, family);
        } else {
            self.peers.reconsider_paths(id, family);
        }
    }

    /// The best path of a route changed.
    fn changed(&mut self, id: RouteId, family: FamilyId) {
        self.table.touch(id);
        self.queue_change(id);
        if !self.table.drop_if_dead(id) {
            self.peers.wake_all();
        }
        if let Some(translation) = self.table.compact(family) {
            self.peers.translate(family, &translation);
        }
    }

    /// A peer has a path more or less. `prefix`: what the route asks for, if it is a membership.
    fn counted(&mut self, key: PathKey, family: FamilyId, prefix: Option<TargetPrefix>, change: isize) {
        let Some(slot) = key.source else { return };
        if let Some(peer) = self.peers.get_mut(slot) {
            peer.count_received(family, change);
        }
        if self.table.family(family) == Family::ROUTE_TARGET
            && let Some(prefix) = prefix
        {
            self.membership_changed(slot, prefix, change > 0);
        }
    }

    /// A peer wants more or less: reconsider exactly the routes for which this makes a difference (RFC 4684 §3).
    fn membership_changed(&mut self, slot: Slot, prefix: TargetPrefix, added: bool) {
        let Some(peer) = self.peers.get_mut(slot) else { return };
        let affected =
            if peer.up { self.attributes.with_target(prefix) } else { std::collections::BTreeSet::new() };
        let unwanted = |peer: &super::peer::Peer, held: &AttributesId| {
            self.attributes.get(*held).is_some_and(|held| !peer.memberships.want(&held.targets))
        };
        let affected: Vec<_> = if added {
            let affected = affected.into_iter().filter(|held| unwanted(peer, held)).collect();
            peer.memberships.add(prefix);
            affected
        } else {
            peer.memberships.remove(prefix);
            affected.into_iter().filter(|held| unwanted(peer, held)).collect()
        };
        for held in affected {
            peer.reconsider.extend(self.table.with_attributes(held, &self.attributes));
        }
        // Attributes are chained to routes by best paths only: of the others all have to be looked at.
        if peer.up && peer.read_paths_again() {
            self.peers.wake(slot);
            return;
        }
        if !peer.reconsider.is_empty() {
            self.peers.wake(slot);
        }
    }
}
