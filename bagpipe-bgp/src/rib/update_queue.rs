//! What is to be sent to a peer, packed into UPDATEs when its connection can take one.
//!
//! A peer reads the logs of its families part by part: a batch that it shares with others, or a window of its own where
//! the paths that it gets are its own matter. The routes of either are sorted by their attributes, so that one UPDATE
//! announces many; whatever changes after it was read stands again in the log behind the reader, and is left to it. So
//! every route is sent in its last state only, and never in the wrong order.

use std::ops::Range;
use std::sync::Arc;

use bytes::Bytes;

use super::Rib;
use super::attributes::AttributesId;
use super::batch::{Message, Place};
use super::export::Exporter;
use super::held_paths::HeldPath;
use super::peer::{End, Peer, Slot};
use super::route::{PathRecord, Route};
use super::table::{FamilyId, RouteId};
use crate::types::Family;
use crate::wire::message::{refresh, route_refresh};
use crate::wire::update::{UpdateWriter, end_of_rib};

/// How many routes are sorted at a time: enough to pack well, little memory for a slow peer.
const WINDOW: usize = 4096;

/// Routes that fit in one UPDATE.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Group {
    family: FamilyId,
    /// `None`: withdrawals.
    path: Option<(AttributesId, Option<Slot>)>,
}

impl Group {
    pub(super) fn of(route: &Route, path: Option<&PathRecord>) -> Self {
        Self { family: route.family, path: path.map(|path| (path.attributes, path.key.source)) }
    }
}

/// A route to be sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Pending {
    group: Group,
    route: RouteId,
    /// The path identifier, where several paths are sent.
    id: u16,
    /// To be sent even if the peer holds the route already: its attributes may be others.
    changed: bool,
}

/// What a peer is to get next.
enum Next {
    Window,
    Marker(Bytes),
    Nothing,
}

/// What a step through a batch gave.
enum Taken {
    Update(Bytes),
    /// There may be something in the window, and in the rest of the batch.
    Other,
    Nothing,
}

impl Rib {
    /// The next UPDATE for a peer, or the ROUTE-REFRESH before or after all of a family: a whole message.
    pub fn next_update(&mut self, id: super::PeerId) -> Option<Bytes> {
        let slot = self.peers.slot(id)?;
        loop {
            if let Some(update) = self.pack(slot) {
                return Some(update);
            }
            match self.pack_batch(slot) {
                Taken::Update(update) => return Some(update),
                Taken::Other => continue,
                Taken::Nothing => {}
            }
            match self.read(slot) {
                Next::Window => {}
                Next::Marker(message) => return Some(message),
                Next::Nothing => {
                    if self.peers.get(slot)?.up {
                        self.peers.rest(slot);
                        if self.peers.all_idle() {
                            self.batches.clear();
                        }
                    }
                    return None;
                }
            }
        }
    }

    /// Fill the window of a peer.
    fn read(&mut self, slot: Slot) -> Next {
        let Self { config, table, attributes, peers, batches, deferred, .. } = self;
        let Some(peer) = peers.get_mut(slot) else { return Next::Nothing };
        let mut reconsider = std::mem::take(&mut peer.reconsider);
        let mut readers = std::mem::take(&mut peer.readers);
        let mut window = std::mem::take(&mut peer.window);
        let mut place = None;

        let exporter = Exporter { config, table, attributes, peers };
        let mut next = Next::Nothing;
        if let Some(peer) = peers.get(slot) {
            while window.len() < WINDOW
                && let Some(id) = reconsider.pop_first()
            {
                let Some(route) = table.get(id) else { continue };
                let read = readers
                    .iter()
                    .any(|reader| reader.family == route.family && route.position < reader.position);
                if read {
                    exporter.collect(slot, peer, id, false, &mut window);
                }
            }
            for reader in &mut readers {
                let family = table.family(reader.family);
                if !window.is_empty() {
                    break;
                }
                if peer.waits(family) {
                    continue;
                }
                if std::mem::take(&mut reader.begins_refresh) {
                    next = Next::Marker(route_refresh(family, refresh::BEGIN));
                    break;
                }
                if peer.paths_of(reader.family).is_none() && family != Family::ROUTE_TARGET {
                    if let Some(batch) = batches.read(table, reader.family, reader.position) {
                        reader.position = batch.to;
                        place = Some(Place { batch, next: 0 });
                        break;
                    }
                    reader.position = table.end(reader.family);
                }
                let mut end = table.end(reader.family);
                for (behind, id) in table.changed_since(reader.family, reader.position) {
                    exporter.collect(slot, peer, id, true, &mut window);
                    if window.len() >= WINDOW {
                        end = behind;
                        break;
                    }
                }
                reader.position = end;
                // RFC 4724 §4.1 defers the marker after a restart. That of RT Constraint is not deferred: the
                // peers wait for it before they send the routes that we wait for (RFC 4684 §6).
                let deferred = *deferred && family != Family::ROUTE_TARGET;
                if !window.is_empty() || reader.end == Some(End::OfRib) && deferred {
                    continue;
                }
                if let Some(end) = reader.end.take() {
                    next = Next::Marker(match end {
                        End::OfRib => end_of_rib(family),
                        End::OfRefresh => route_refresh(family, refresh::END),
                    });
                    break;
                }
            }
        }
        if !window.is_empty() {
            window.sort_unstable();
        }
        if !window.is_empty() || place.is_some() {
            next = Next::Window;
        }
        if let Some(peer) = peers.get_mut(slot) {
            (peer.reconsider, peer.readers, peer.window, peer.place) = (reconsider, readers, window, place);
        }
        next
    }

    /// Take an UPDATE from the window of a peer.
    fn pack(&mut self, slot: Slot) -> Option<Bytes> {
        let mut window = std::mem::take(&mut self.peers.get_mut(slot)?.window);
        let update = self.pack_from(slot, &mut window);
        self.peers.get_mut(slot)?.window = window;
        update
    }

    fn pack_from(&mut self, slot: Slot, window: &mut Vec<Pending>) -> Option<Bytes> {
        let mut open: Option<(Group, UpdateWriter)> = None;
        while let Some(pending) = window.last().copied() {
            if open.as_ref().is_some_and(|(group, _)| *group != pending.group) {
                break;
            }
            let exporter = Exporter {
                config: &self.config,
                table: &self.table,
                attributes: &self.attributes,
                peers: &self.peers,
            };
            let peer = self.peers.get(slot)?;
            let Some((group, encoded)) = exporter.due(slot, peer, &pending) else {
                window.pop();
                continue;
            };
            if group != pending.group {
                window.pop();
                window.push(Pending { group, ..pending });
                continue;
            }
            let (group, mut writer) = match open.take() {
                Some(open) => open,
                None => (pending.group, exporter.writer(peer, pending.group)?),
            };
            if !writer.push_bytes(pending.id.into(), encoded) {
                if !writer.is_empty() {
                    return Some(writer.finish());
                }
                // The attributes leave no room for a single route: the peer must not keep an older path.
                window.pop();
                match self.unsent(slot, pending) {
                    Some(withdrawal) => return Some(withdrawal),
                    None => continue,
                }
            }
            window.pop();
            open = Some((group, writer));
            self.settle(slot, &pending);
        }
        open.map(|(_, writer)| writer.finish())
    }

    /// Take the next UPDATE from the batch that a peer reads, or have what can't be shared put into its window.
    fn pack_batch(&mut self, slot: Slot) -> Taken {
        let Some(peer) = self.peers.get_mut(slot) else { return Taken::Nothing };
        let Some(place) = peer.place.clone() else { return Taken::Nothing };
        let Some((group, run)) = place.batch.run(place.next) else {
            peer.place = None;
            return Taken::Nothing;
        };
        let (message, allowed) = self.shared(slot, group, &place, run.clone());
        let part = message.as_ref().map_or(run, |message| message.part.clone());
        let Self { table, peers, .. } = self;
        let Some(peer) = peers.get_mut(slot) else { return Taken::Nothing };
        let batch = &place.batch;
        peer.place = Some(Place { batch: Arc::clone(batch), next: part.end });
        let is_held = |id: &RouteId| table.get(*id).is_some_and(|route| table.is_sent(route, slot));
        let due = batch.unchanged(table, part.clone());
        if let Some(message) = message {
            let due: Vec<_> = due.filter(|id| group.path.is_some() || is_held(id)).collect();
            if due.len() == message.routes {
                self.settle_all(slot, group, &due);
                return if due.is_empty() { Taken::Other } else { Taken::Update(message.bytes) };
            }
        }
        let routes = batch.unchanged(table, part).filter(|id| allowed || is_held(id));
        let group = if allowed { group } else { Group { path: None, ..group } };
        peer.window.extend(routes.map(|route| Pending { group, route, id: 0, changed: true }));
        Taken::Other
    }

    /// The message at a place that a peer shares with others, and whether the peer may get such routes.
    fn shared(
        &mut self,
        slot: Slot,
        group: Group,
        place: &Place,
        run: Range<usize>,
    ) -> (Option<Message>, bool) {
        let Self { config, table, attributes, peers, batches, .. } = self;
        let Some(peer) = peers.get(slot) else { return (None, false) };
        let exporter = Exporter { config, table, attributes, peers };
        let family = table.family(group.family);
        let allowed = group.path.is_none_or(|path| exporter.may_go(slot, peer, family, path));
        if !allowed || !place.batch.is_current(table) {
            return (None, allowed);
        }
        if let Some(message) = batches.message(place, &peer.likeness) {
            return (Some(message.clone()), true);
        }
        let writer = exporter.writer(peer, group);
        let message =
            writer.and_then(|writer| Message::pack(&peer.likeness, &place.batch, run, table, writer));
        if let Some(message) = &message {
            batches.keep(&place.batch, message.clone());
        }
        (message, true)
    }

    /// Routes of one group went to a peer: Adj-RIB-Out.
    fn settle_all(&mut self, slot: Slot, group: Group, routes: &[RouteId]) {
        let sent = group.path.is_some();
        let mut news = 0;
        for id in routes {
            news += isize::from(self.table.set_sent(*id, slot, sent));
            self.table.drop_if_dead(*id);
        }
        if let Some(peer) = self.peers.get_mut(slot) {
            peer.count_sent(group.family, if sent { news } else { -news });
        }
    }

    /// A route went to a peer: Adj-RIB-Out.
    fn settle(&mut self, slot: Slot, pending: &Pending) {
        let Some(route) = self.table.get(pending.route) else { return };
        let Some(peer) = self.peers.get_mut(slot) else { return };
        let several = peer.paths_of(route.family).is_some();
        let change = match pending.group.path {
            Some(_) if several => {
                let path = route.paths().iter().find(|path| path.id == pending.id);
                let version = path.map_or(0, |path| path.version);
                self.table.set_sent(pending.route, slot, true);
                isize::from(peer.held_paths.insert(pending.route, HeldPath { id: pending.id, version }))
            }
            None if several => {
                let removed = peer.held_paths.remove(pending.route, pending.id);
                if peer.held_paths.of(pending.route).is_empty() {
                    self.table.set_sent(pending.route, slot, false);
                }
                -isize::from(removed)
            }
            Some(_) => isize::from(self.table.set_sent(pending.route, slot, true)),
            None => -isize::from(self.table.set_sent(pending.route, slot, false)),
        };
        peer.count_sent(pending.group.family, change);
        self.table.drop_if_dead(pending.route);
    }

    /// The withdrawal of a route that cannot be announced, if the peer holds it.
    fn unsent(&mut self, slot: Slot, pending: Pending) -> Option<Bytes> {
        let route = self.table.get(pending.route).filter(|route| self.table.is_sent(route, slot))?;
        let peer = self.peers.get(slot)?;
        if peer.paths_of(route.family).is_some() {
            peer.held_paths.version(pending.route, pending.id)?;
        }
        let family = self.table.family(pending.group.family);
        let mut writer = UpdateWriter::withdraw(&peer.facts.context, family);
        writer.push_bytes(pending.id.into(), self.table.nlri(route));
        self.settle(slot, &Pending { group: Group { path: None, ..pending.group }, ..pending });
        Some(writer.finish())
    }
}

impl<'a> Exporter<'a> {
    /// What is to be sent of a route to a peer. `changed`: also what it holds already, if it is sent one path only.
    fn collect(&self, slot: Slot, peer: &Peer, id: RouteId, changed: bool, window: &mut Vec<Pending>) {
        let Some(route) = self.table.get(id) else { return };
        let Some(limit) = peer.paths_of(route.family) else {
            let path = self.path(slot, peer, route);
            let (wanted, held) = (path.is_some(), self.table.is_sent(route, slot));
            if if changed { wanted || held } else { wanted != held } {
                window.push(Pending { group: Group::of(route, path), route: id, id: 0, changed });
            }
            return;
        };
        let wanted = self.paths(slot, peer, route, limit);
        let held = peer.held_paths.of(id);
        let gone = held.iter().map(|held| held.id).filter(|held| wanted.iter().all(|path| path.id != *held));
        let gone = gone.map(|held| (Group::of(route, None), held));
        let same =
            |path: &PathRecord| held.iter().any(|held| held.id == path.id && held.version == path.version);
        let new = wanted.iter().filter(|path| !same(path));
        let new = new.map(|path| (Group::of(route, Some(path)), path.id));
        window.extend(new.chain(gone).map(|(group, path)| Pending { group, route: id, id: path, changed }));
    }

    /// The group in which a route of the window is to be sent, and its octets; `None` if it is not any more. What
    /// has changed since it was read stands again in the log; but whether the peer wants it may have changed, too.
    fn due(&self, slot: Slot, peer: &Peer, pending: &Pending) -> Option<(Group, &'a [u8])> {
        let route = self.table.get(pending.route)?;
        if route.position >= peer.position(route.family)? {
            return None;
        }
        if let Some(limit) = peer.paths_of(route.family) {
            let paths = self.paths(slot, peer, route, limit);
            let path = paths.into_iter().find(|path| path.id == pending.id);
            let due = path.map(|path| path.version) != peer.held_paths.version(pending.route, pending.id);
            let encoded = path.map_or_else(|| self.table.nlri(route), |path| self.table.nlri_of(route, path));
            return due.then_some((Group::of(route, path), encoded));
        }
        let path = self.path(slot, peer, route);
        let (wanted, held) = (path.is_some(), self.table.is_sent(route, slot));
        let due = if pending.changed { wanted || held } else { wanted != held };
        let encoded = path.map_or_else(|| self.table.nlri(route), |path| self.table.nlri_of(route, path));
        due.then_some((Group::of(route, path), encoded))
    }

    fn writer(&self, peer: &Peer, group: Group) -> Option<UpdateWriter> {
        let family = self.table.family(group.family);
        let context = &peer.facts.context;
        match group.path {
            Some((held, source)) => {
                let attributes = self.attributes(&peer.facts, family, held, source)?;
                Some(UpdateWriter::announce(context, family, &attributes))
            }
            None => Some(UpdateWriter::withdraw(context, family)),
        }
    }
}
