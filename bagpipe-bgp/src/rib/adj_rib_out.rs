//! What a peer holds of us, as it is shown.

use std::sync::Arc;

use super::export::Exporter;
use super::{HeldPath, PeerId, Rib, key};

impl Rib {
    /// The routes that a peer was sent and not told to drop, with the attributes that go to it.
    pub fn sent(&self, id: PeerId) -> impl Iterator<Item = HeldPath> + '_ {
        let Self { config, table, attributes, peers, .. } = self;
        let exporter = Exporter { config, table, attributes, peers };
        let peer = peers.slot(id).and_then(|slot| Some((slot, peers.get(slot)?)));
        peer.into_iter().flat_map(move |(slot, peer)| {
            let held = table.routes().filter(move |route| route.sent_to.contains(slot));
            held.filter_map(move |route| {
                let family = table.family(route.family);
                let path = exporter.path(slot, peer, route)?;
                let attributes = exporter.attributes(&peer.facts, family, path.attributes, path.source)?;
                Some(HeldPath {
                    nlri: key::decode(family, route.nlri_of(path))?,
                    attributes: Arc::new(attributes),
                    peer: path.source.and_then(|slot| peers.get(slot)).map(|peer| peer.id),
                    best: route.best().is_some_and(|best| best.source == path.source),
                    stale: path.stale,
                })
            })
        })
    }
}
