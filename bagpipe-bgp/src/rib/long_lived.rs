//! Routes that are kept as the last resort (RFC 9494).

use std::sync::Arc;

use rustc_hash::FxHashMap;

use super::{PeerId, Rib};
use crate::types::Family;
use crate::wire::Attributes;

/// The community of routes that have been kept for longer than a restart takes (§3.2).
pub(super) const LLGR_STALE: u32 = 0xffff_0006;
/// The community of routes that are not to be kept so (§3.3).
const NO_LLGR: u32 = 0xffff_0007;

impl Rib {
    /// The routes of a family that are stale are so for long: they are marked as the last resort, or removed if they
    /// ask for that (§4.2).
    pub fn mark_long_lived(&mut self, id: PeerId, family: Family) {
        let (Some(slot), Some(family)) = (self.peers.slot(id), self.table.family_id(family)) else { return };
        // Many routes share their attributes, and are to share the marked ones.
        let mut marked = FxHashMap::default();
        for route_id in self.table.ids() {
            let Some(route) = self.table.get(route_id).filter(|route| route.family == family) else {
                continue;
            };
            let paths = route.paths().iter().filter(|path| path.stale && path.key.source == Some(slot));
            let paths: Vec<_> = paths
                .map(|path| (path.key, path.attributes, self.table.nlri_of(route, path).to_vec()))
                .collect();
            for (key, held, encoded) in paths {
                let Some(attributes) = self.attributes.get(held).map(|held| &held.attributes) else {
                    continue;
                };
                if attributes.communities.contains(&NO_LLGR) {
                    self.remove_from(key, route_id);
                    continue;
                }
                let attributes = marked.entry(held).or_insert_with(|| mark(attributes));
                let held = self.attributes.intern(attributes);
                self.put(key, family, &encoded, held);
                self.attributes.release(held);
                if let Some(route) = self.table.get_mut(route_id) {
                    route.mark_path_stale(key);
                }
            }
        }
    }
}

fn mark(attributes: &Arc<Attributes>) -> Arc<Attributes> {
    if attributes.communities.contains(&LLGR_STALE) {
        return Arc::clone(attributes);
    }
    let mut marked = Attributes::clone(attributes);
    marked.communities.push(LLGR_STALE);
    Arc::new(marked)
}
