//! What the VPN instances of this speaker import: the targets, and the changes of routes that have one of them.

use std::collections::hash_map::Entry;
use std::sync::Arc;

use bytes::BytesMut;

use super::route::{PathKey, Route};
use super::rt_constraint::{TargetPrefix, is_constrained};
use super::table::RouteId;
use super::{Path, Rib, RouteChange, key};
use crate::types::RouteTarget;
use crate::wire::{Attributes, NextHop, Nlri, RouteTargetMembership};

impl Rib {
    /// An instance imports a target. Held routes that have it are reported again if no instance imported it
    /// before; the peers are told that this speaker wants such routes (RFC 4684 §3).
    pub fn import(&mut self, target: RouteTarget) {
        match self.imports.entry(target.octets()) {
            Entry::Occupied(mut count) => *count.get_mut() += 1,
            Entry::Vacant(first) => {
                first.insert(1);
                self.originate(self.membership_of(target), self.membership_attributes());
                for held in self.attributes.with_target(TargetPrefix::exact(target)) {
                    let routes: Vec<_> = self.table.with_attributes(held, &self.attributes).collect();
                    for id in routes {
                        self.queue_change(id);
                    }
                }
            }
        }
    }

    /// An instance does not import a target any more. Nothing is reported: the instance is gone, or knows.
    pub fn unimport(&mut self, target: RouteTarget) {
        if let Entry::Occupied(mut count) = self.imports.entry(target.octets()) {
            *count.get_mut() -= 1;
            if *count.get() == 0 {
                count.remove();
                self.withdraw(&self.membership_of(target));
            }
        }
    }

    /// The attributes of this speaker's memberships.
    pub(super) fn membership_attributes(&self) -> Attributes {
        let address = self.config.local_addresses.first();
        let next_hop = address.map(|address| NextHop { address: *address, link_local: None });
        Attributes { next_hop, ..Attributes::default() }
    }

    fn membership_of(&self, target: RouteTarget) -> Nlri {
        Nlri::RouteTarget(RouteTargetMembership::exact(self.config.asn, target))
    }

    /// The next change of a route that the instances import.
    pub fn poll_change(&mut self) -> Option<RouteChange> {
        while let Some(id) = self.changes.pop_front() {
            let Some(route) = self.table.get_mut(id) else { continue };
            route.queued = false;
            let Some(route) = self.table.get(id) else { continue };
            let best = self.imported(route);
            let family = self.table.family(route.family);
            let change = (best.is_some() || route.reported)
                .then(|| key::decode(family, self.table.nlri(route)))
                .flatten()
                .map(|nlri| RouteChange { nlri: best.as_ref().map_or(nlri, |path| path.nlri.clone()), best });
            if let Some(route) = self.table.get_mut(id) {
                route.reported = change.as_ref().is_some_and(|change| change.best.is_some());
            }
            self.table.drop_if_dead(id);
            if change.is_some() {
                return change;
            }
        }
        None
    }

    /// Note that a route is to be reported, in the state that it has when it is asked for.
    pub(super) fn queue_change(&mut self, id: RouteId) {
        let Some(route) = self.table.get(id) else { return };
        if !route.queued && (route.reported || self.is_imported(route)) {
            self.changes.push_back(id);
            if let Some(route) = self.table.get_mut(id) {
                route.queued = true;
            }
        }
    }

    /// The best path of a route came from a peer and has an imported target.
    fn is_imported(&self, route: &Route) -> bool {
        let Some(best) = route.best().filter(|path| path.key.source.is_some()) else { return false };
        is_constrained(self.table.family(route.family))
            && self
                .attributes
                .get(best.attributes)
                .is_some_and(|held| held.targets.iter().any(|target| self.imports.contains_key(target)))
    }

    fn imported(&self, route: &Route) -> Option<Path> {
        let best = route.best().filter(|_| self.is_imported(route))?;
        Some(Path {
            attributes: Arc::clone(&self.attributes.get(best.attributes)?.attributes),
            nlri: key::decode(self.table.family(route.family), self.table.nlri_of(route, best))?,
            peer: self.peers.get(best.key.source?)?.id,
            stale: best.stale,
        })
    }

    /// Add or replace a route of this speaker. It is preferred to all paths of peers.
    #[expect(clippy::needless_pass_by_value, reason = "the route is handed over: the RIB holds it now")]
    pub fn originate(&mut self, nlri: Nlri, attributes: Attributes) {
        let Some(family) = self.table.family_id(nlri.family()) else { return };
        let mut encoded = BytesMut::new();
        nlri.encode(&mut encoded);
        let held = self.attributes.intern(&Arc::new(attributes));
        self.put(PathKey::LOCAL, family, &encoded, held);
        self.attributes.release(held);
    }

    /// Withdraw a route of this speaker.
    pub fn withdraw(&mut self, nlri: &Nlri) {
        let Some(family) = self.table.family_id(nlri.family()) else { return };
        let mut encoded = BytesMut::new();
        nlri.encode(&mut encoded);
        self.remove(PathKey::LOCAL, family, &encoded);
    }
}
