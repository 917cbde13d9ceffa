//! Route Monitoring (RFC 7854 §4.6): paths that came, changed or went, packed into UPDATEs.

use std::sync::Arc;
use std::time::SystemTime;

use bytes::{BufMut, Bytes, BytesMut};

use super::{MonitoredPeer, flag, kind, message};
use crate::types::Family;
use crate::wire::message::MAX_EXTENDED_LENGTH;
use crate::wire::{Attributes, Context, Nlri, PathId, UpdateWriter, end_of_rib};

/// Packs what follows each other and goes together: paths from one peer, of one family, with the same attributes
/// in memory.
#[derive(Debug, Default)]
pub struct RouteMonitoring {
    open: Option<Open>,
    out: BytesMut,
}

/// An UPDATE that is being filled.
#[derive(Debug)]
struct Open {
    peer: MonitoredPeer,
    family: Family,
    attributes: Option<Arc<Attributes>>,
    writer: UpdateWriter,
}

impl RouteMonitoring {
    /// A path from a peer came or changed; without attributes, it went.
    pub fn path(
        &mut self,
        peer: &MonitoredPeer,
        nlri: &Nlri,
        id: PathId,
        attributes: Option<&Arc<Attributes>>,
        now: SystemTime,
    ) {
        let mut encoded = BytesMut::new();
        nlri.encode(&mut encoded);
        let family = nlri.family();
        let fits = self.open.as_ref().is_some_and(|open| open.takes(peer, family, attributes));
        if !fits || !self.push(id, &encoded) {
            self.flush(now);
            self.open = Some(Open::new(peer, family, attributes, peer.context.max_length));
            if !self.push(id, &encoded) {
                // Attributes that came in a longer message than most take (RFC 8654).
                self.open = Some(Open::new(peer, family, attributes, MAX_EXTENDED_LENGTH));
                self.push(id, &encoded);
            }
        }
    }

    /// All paths of a family have been told (§5).
    pub fn end_of_rib(&mut self, peer: &MonitoredPeer, family: Family, now: SystemTime) {
        self.flush(now);
        self.put(peer, &end_of_rib(family), now);
    }

    /// The messages so far.
    #[must_use]
    pub fn take(&mut self, now: SystemTime) -> Bytes {
        self.flush(now);
        std::mem::take(&mut self.out).freeze()
    }

    fn push(&mut self, id: PathId, encoded: &[u8]) -> bool {
        self.open.as_mut().is_some_and(|open| open.writer.push_bytes(id, encoded))
    }

    fn flush(&mut self, now: SystemTime) {
        let Some(Open { peer, writer, .. }) = self.open.take() else { return };
        let update = writer.finish();
        if !update.is_empty() {
            self.put(&peer, &update, now);
        }
    }

    fn put(&mut self, peer: &MonitoredPeer, update: &[u8], now: SystemTime) {
        let monitoring = message(kind::ROUTE_MONITORING, |out| {
            peer.put_header(out, flag::L, now);
            out.put_slice(update);
        });
        self.out.put_slice(&monitoring);
    }
}

impl Open {
    fn new(
        peer: &MonitoredPeer,
        family: Family,
        attributes: Option<&Arc<Attributes>>,
        max_length: usize,
    ) -> Self {
        let context = Context { max_length, ..peer.context.clone() };
        let writer = match attributes {
            Some(attributes) => UpdateWriter::announce(&context, family, attributes),
            None => UpdateWriter::withdraw(&context, family),
        };
        Self { peer: peer.clone(), family, attributes: attributes.cloned(), writer }
    }

    fn takes(&self, peer: &MonitoredPeer, family: Family, attributes: Option<&Arc<Attributes>>) -> bool {
        let same = match (&self.attributes, attributes) {
            (Some(own), Some(others)) => Arc::ptr_eq(own, others),
            (None, None) => true,
            _ => false,
        };
        same && self.family == family && self.peer.address == peer.address
    }
}
