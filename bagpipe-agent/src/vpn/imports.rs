//! Which routes belong to which instances. Route targets alone decide (RFC 4364 §4.3.1), never the VNI.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::sync::Arc;

use bagpipe_bgp::types::RouteTarget;
use bagpipe_bgp::wire::Attributes;

use super::route::{RemoteRoute, RouteKey};
use crate::fib::VpnId;

/// The routes that at least one instance imports, those of this node's IP-VPNs, and the instances by what they import.
///
/// Routes are kept here, so that an instance which imports what another imports already gets them at once.
#[derive(Debug, Default)]
pub(crate) struct Imports {
    importers: BTreeMap<RouteTarget, BTreeSet<VpnId>>,
    /// Seeded, as the sets of keys are: other nodes choose the keys, and must not choose them so that all fall together.
    routes: HashMap<RouteKey, Arc<RemoteRoute>>,
    /// The one that came last.
    last: Option<Arc<RemoteRoute>>,
    by_target: BTreeMap<RouteTarget, HashSet<RouteKey>>,
}

impl Imports {
    /// The instances that import any of the targets.
    pub(crate) fn importers(&self, attributes: &Attributes) -> BTreeSet<VpnId> {
        attributes
            .route_targets()
            .filter_map(|target| self.importers.get(&target))
            .flatten()
            .copied()
            .collect()
    }

    /// A route came, changed or went: which instances learn what.
    pub(crate) fn route(
        &mut self,
        key: RouteKey,
        route: Option<Arc<RemoteRoute>>,
    ) -> Vec<(VpnId, Option<Arc<RemoteRoute>>)> {
        let before = self.forget(key).map(|known| self.importers(&known.attributes)).unwrap_or_default();
        let mut lessons = Vec::new();
        if let Some(route) = route.map(|route| self.share(route)) {
            let after = self.importers(&route.attributes);
            lessons.extend(before.difference(&after).map(|vpn| (*vpn, None)));
            lessons.extend(after.iter().map(|vpn| (*vpn, Some(Arc::clone(&route)))));
            // The speaker would not emit a route of this node again.
            if !after.is_empty() || route.is_local() {
                self.keep(key, route);
            }
        } else {
            lessons.extend(before.into_iter().map(|vpn| (vpn, None)));
        }
        lessons
    }

    /// An instance imports one more target: the routes that it gets.
    pub(crate) fn import(&mut self, target: RouteTarget, vpn: VpnId) -> Vec<(RouteKey, Arc<RemoteRoute>)> {
        self.importers.entry(target).or_default().insert(vpn);
        let keys = self.by_target.get(&target).into_iter().flatten();
        let mut routes: Vec<_> =
            keys.filter_map(|key| self.routes.get(key).map(|route| (*key, Arc::clone(route)))).collect();
        routes.sort_unstable_by_key(|(key, _)| *key);
        routes
    }

    /// An instance imports a target no longer: the routes that it loses. Call this when all its new targets are
    /// in, so that it keeps what they bring.
    pub(crate) fn unimport(&mut self, target: RouteTarget, vpn: VpnId) -> Vec<RouteKey> {
        if let Some(importers) = self.importers.get_mut(&target) {
            importers.remove(&vpn);
            if importers.is_empty() {
                self.importers.remove(&target);
            }
        }
        let mut lost = Vec::new();
        for key in self.by_target.get(&target).into_iter().flatten().copied().collect::<Vec<_>>() {
            let Some(known) = self.routes.get(&key) else { continue };
            let importers = self.importers(&known.attributes);
            if !importers.contains(&vpn) {
                lost.push(key);
            }
            if importers.is_empty() && !known.is_local() {
                self.forget(key);
            }
        }
        lost.sort_unstable();
        lost
    }

    /// The routes of one UPDATE that lead to the same place, as those with the label of a whole instance do, are
    /// one in memory.
    fn share(&mut self, route: Arc<RemoteRoute>) -> Arc<RemoteRoute> {
        let last = self.last.take().filter(|last| last.says_the_same(&route)).unwrap_or(route);
        Arc::clone(self.last.insert(last))
    }

    fn keep(&mut self, key: RouteKey, route: Arc<RemoteRoute>) {
        for target in route.attributes.route_targets() {
            self.by_target.entry(target).or_default().insert(key);
        }
        self.routes.insert(key, route);
    }

    fn forget(&mut self, key: RouteKey) -> Option<Arc<RemoteRoute>> {
        let known = self.routes.remove(&key)?;
        for target in known.attributes.route_targets() {
            if let Some(keys) = self.by_target.get_mut(&target) {
                keys.remove(&key);
                if keys.is_empty() {
                    self.by_target.remove(&target);
                }
            }
        }
        Some(known)
    }

    /// Whether a route is one of this node itself.
    pub(crate) fn is_local(&self, key: &RouteKey) -> bool {
        self.routes.get(key).is_some_and(|route| route.is_local())
    }

    /// Whether nothing is imported and no route is kept.
    pub(crate) fn is_empty(&self) -> bool {
        self.importers.is_empty() && self.routes.is_empty() && self.by_target.is_empty()
    }
}
