//! Which routes belong to which instances. Route targets alone decide (RFC 4364 §4.3.1), never the VNI.

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use bagpipe_bgp::types::{MacAddr, RouteDistinguisher, RouteTarget};
use bagpipe_bgp::wire::Attributes;

use super::counts::Counts;
use super::route::{RemoteRoute, RouteKey};
use crate::fib::VpnId;

/// No distinguisher comes before it.
const FIRST: RouteDistinguisher = RouteDistinguisher([0; 8]);

/// The routes that at least one instance imports, those of this node's IP-VPNs, and the instances by what they import.
///
/// Routes are kept here, so that an instance which imports what another imports already gets them at once. Those of one
/// distinguisher mostly have the same targets: what has a target is found by the distinguishers, not route by route.
#[derive(Debug, Default)]
pub(crate) struct Imports {
    importers: BTreeMap<RouteTarget, BTreeSet<VpnId>>,
    routes: BTreeMap<(RouteDistinguisher, RouteKey), Arc<RemoteRoute>>,
    /// The one that came last.
    last: Option<Arc<RemoteRoute>>,
    /// The attributes that were looked up last, and who imports them: routes with the same ones come together.
    recent: Option<(Arc<Attributes>, Arc<[VpnId]>)>,
    /// How many routes of each distinguisher have the target.
    by_target: Counts<(RouteTarget, RouteDistinguisher)>,
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

    /// The same, in their order, without a look at each target when the route before had the same attributes.
    fn importers_again(&mut self, attributes: &Arc<Attributes>) -> Arc<[VpnId]> {
        if let Some((recent, importers)) = &self.recent
            && Arc::ptr_eq(recent, attributes)
        {
            return Arc::clone(importers);
        }
        let importers: Arc<[VpnId]> = self.importers(attributes).into_iter().collect();
        self.recent = Some((Arc::clone(attributes), Arc::clone(&importers)));
        importers
    }

    /// A route of this node, or of others, came, changed or went: tells each instance that learns something what it is. A
    /// route of this node is here whatever others say of it.
    pub(crate) fn route(
        &mut self,
        key: RouteKey,
        route: Option<Arc<RemoteRoute>>,
        of_others: bool,
        mut learn: impl FnMut(VpnId, Option<Arc<RemoteRoute>>),
    ) {
        let before = match self.routes.entry((key.rd(), key)) {
            Entry::Occupied(known) if of_others && known.get().is_local() => return,
            Entry::Occupied(known) => Some(known.remove()),
            Entry::Vacant(_) => None,
        };
        let before = before.map(|known| {
            self.forget_targets(key, &known.attributes);
            self.importers_again(&known.attributes)
        });
        let before = before.as_deref().unwrap_or_default();
        let Some(route) = route.map(|route| self.share(route)) else {
            return before.iter().for_each(|vpn| learn(*vpn, None));
        };
        let after = self.importers_again(&route.attributes);
        before.iter().filter(|vpn| after.binary_search(vpn).is_err()).for_each(|vpn| learn(*vpn, None));
        after.iter().for_each(|vpn| learn(*vpn, Some(Arc::clone(&route))));
        // The speaker would not emit a route of this node again.
        if !after.is_empty() || route.is_local() {
            self.keep(key, route);
        }
    }

    /// An instance imports one more target: the routes that it gets.
    pub(crate) fn import(&mut self, target: RouteTarget, vpn: VpnId) -> Vec<(RouteKey, Arc<RemoteRoute>)> {
        self.recent = None;
        self.importers.entry(target).or_default().insert(vpn);
        self.with(target).map(|(key, route)| (key, Arc::clone(route))).collect()
    }

    /// The routes that have any of these targets.
    pub(crate) fn with_any(&self, targets: &BTreeSet<RouteTarget>) -> Vec<(RouteKey, Arc<RemoteRoute>)> {
        let routes: BTreeMap<RouteKey, _> = targets.iter().flat_map(|target| self.with(*target)).collect();
        routes.into_iter().map(|(key, route)| (key, Arc::clone(route))).collect()
    }

    /// The routes that have a target.
    fn with(&self, target: RouteTarget) -> impl Iterator<Item = (RouteKey, &Arc<RemoteRoute>)> {
        let rds = self.by_target.from((target, FIRST));
        let rds = rds.map_while(move |(of, rd)| (*of == target).then_some(*rd));
        let routes = rds.flat_map(|rd| {
            let first = RouteKey::MacIp(FIRST, MacAddr([0; 6]), None);
            self.routes.range((rd, first)..).take_while(move |((of, _), _)| *of == rd)
        });
        let has = move |route: &RemoteRoute| route.attributes.route_targets().any(|of| of == target);
        routes.filter(move |(_, route)| has(route)).map(|((_, key), route)| (*key, route))
    }

    /// An instance imports a target no longer: the routes that it loses. Call this when all its new targets are
    /// in, so that it keeps what they bring.
    pub(crate) fn unimport(&mut self, target: RouteTarget, vpn: VpnId) -> Vec<RouteKey> {
        self.recent = None;
        if let Some(importers) = self.importers.get_mut(&target) {
            importers.remove(&vpn);
            if importers.is_empty() {
                self.importers.remove(&target);
            }
        }
        let mut lost = Vec::new();
        let routes: Vec<_> = self.with(target).map(|(key, route)| (key, Arc::clone(route))).collect();
        for (key, known) in routes {
            let importers = self.importers(&known.attributes);
            if !importers.contains(&vpn) {
                lost.push(key);
            }
            if importers.is_empty() && !known.is_local() {
                self.routes.remove(&(key.rd(), key));
                self.forget_targets(key, &known.attributes);
            }
        }
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
            self.by_target.add((target, key.rd()));
        }
        self.routes.insert((key.rd(), key), route);
    }

    fn forget_targets(&mut self, key: RouteKey, attributes: &Attributes) {
        for target in attributes.route_targets() {
            self.by_target.remove(&(target, key.rd()));
        }
    }

    /// Whether a route is one of this node itself.
    pub(crate) fn is_local(&self, key: &RouteKey) -> bool {
        self.routes.get(&(key.rd(), *key)).is_some_and(|route| route.is_local())
    }

    /// Whether nothing is imported and no route is kept.
    pub(crate) fn is_empty(&self) -> bool {
        self.importers.is_empty() && self.routes.is_empty() && self.by_target.is_empty()
    }
}
