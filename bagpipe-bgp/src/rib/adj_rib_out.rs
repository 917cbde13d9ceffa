//! What a peer holds of us, as it is shown.

use std::sync::Arc;

use super::export::Exporter;
use super::peer::{Peer, Slot};
use super::route::PathRecord;
use super::table::RouteId;
use super::{HeldPath, PeerId, Rib, key};

impl Rib {
    /// The paths that a peer was sent and not told to drop, with the attributes that go to it.
    pub fn sent(&self, id: PeerId) -> impl Iterator<Item = HeldPath> + '_ {
        let Self { config, table, attributes, peers, .. } = self;
        let exporter = Exporter { config, table, attributes, peers };
        let peer = peers.slot(id).and_then(|slot| Some((slot, peers.get(slot)?)));
        peer.into_iter().flat_map(move |(slot, peer)| {
            table.ids().flat_map(move |id| exporter.held(slot, peer, id)).filter_map(move |(id, path)| {
                let route = table.get(id)?;
                let family = table.family(route.family);
                let attributes =
                    exporter.attributes(&peer.facts, family, path.attributes, path.key.source)?;
                let several = peer.paths_of(route.family).is_some();
                Some(HeldPath {
                    nlri: key::decode(family, table.nlri_of(route, path))?,
                    attributes: Arc::new(attributes),
                    peer: path.key.source.and_then(|slot| peers.get(slot)).map(|peer| peer.id),
                    best: route.best().is_some_and(|best| best.key == path.key),
                    stale: path.stale,
                    path_id: if several { path.id.into() } else { 0 },
                })
            })
        })
    }
}

impl<'a> Exporter<'a> {
    /// The paths of a route that a peer holds.
    fn held(&self, slot: Slot, peer: &Peer, id: RouteId) -> Vec<(RouteId, &'a PathRecord)> {
        let Some(route) = self.table.get(id).filter(|route| self.table.is_sent(route, slot)) else {
            return Vec::new();
        };
        match peer.paths_of(route.family) {
            None => self.path(slot, peer, route).map(|path| (id, path)).into_iter().collect(),
            Some(limit) => {
                let paths = self.paths(slot, peer, route, limit).into_iter();
                let held = paths.filter(|path| peer.held_paths.version(id, path.id).is_some());
                held.map(|path| (id, path)).collect()
            }
        }
    }
}
