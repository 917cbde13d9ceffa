//! What is to be sent to a peer, packed into UPDATEs when its connection can take one.
//!
//! A peer reads the logs of its families window by window. The routes of a window are sorted by their attributes,
//! so that one UPDATE announces many; whatever changes after it was read stands again in the log behind the
//! reader, and is left to it. So every route is sent in its last state only, and never in the wrong order.

use bytes::Bytes;

use super::Rib;
use super::attributes::AttributesId;
use super::export::Exporter;
use super::held_paths::HeldPath;
use super::peer::{End, Peer, Slot};
use super::table::{FamilyId, PathRecord, Route, RouteId};
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
    fn of(route: &Route, path: Option<&PathRecord>) -> Self {
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

impl Rib {
    /// The next UPDATE for a peer, or the ROUTE-REFRESH before or after all of a family: a whole message.
    pub fn next_update(&mut self, id: super::PeerId) -> Option<Bytes> {
        let slot = self.peers.slot(id)?;
        loop {
            if let Some(update) = self.pack(slot) {
                return Some(update);
            }
            match self.read(slot) {
                Next::Window => {}
                Next::Marker(message) => return Some(message),
                Next::Nothing => {
                    if self.peers.get(slot)?.up {
                        self.peers.rest(slot);
                    }
                    return None;
                }
            }
        }
    }

    /// Fill the window of a peer.
    fn read(&mut self, slot: Slot) -> Next {
        let Self { config, table, attributes, peers, deferred, .. } = self;
        let Some(peer) = peers.get_mut(slot) else { return Next::Nothing };
        let mut reconsider = std::mem::take(&mut peer.reconsider);
        let mut readers = std::mem::take(&mut peer.readers);
        let mut window = std::mem::take(&mut peer.window);

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
            next = Next::Window;
        }
        if let Some(peer) = peers.get_mut(slot) {
            (peer.reconsider, peer.readers, peer.window) = (reconsider, readers, window);
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

    /// A route went to a peer: Adj-RIB-Out.
    fn settle(&mut self, slot: Slot, pending: &Pending) {
        let Some(route) = self.table.get_mut(pending.route) else { return };
        let Some(peer) = self.peers.get_mut(slot) else { return };
        let several = peer.paths_of(route.family).is_some();
        let change = match pending.group.path {
            Some(_) if several => {
                let path = route.paths().iter().find(|path| path.id == pending.id);
                let version = path.map_or(0, |path| path.version);
                route.sent_to.insert(slot);
                isize::from(peer.held_paths.insert(pending.route, HeldPath { id: pending.id, version }))
            }
            None if several => {
                let removed = peer.held_paths.remove(pending.route, pending.id);
                if peer.held_paths.of(pending.route).is_empty() {
                    route.sent_to.remove(slot);
                }
                -isize::from(removed)
            }
            Some(_) => isize::from(route.sent_to.insert(slot)),
            None => -isize::from(route.sent_to.remove(slot)),
        };
        peer.count_sent(pending.group.family, change);
        self.table.drop_if_dead(pending.route);
    }

    /// The withdrawal of a route that cannot be announced, if the peer holds it.
    fn unsent(&mut self, slot: Slot, pending: Pending) -> Option<Bytes> {
        let route = self.table.get(pending.route).filter(|route| route.sent_to.contains(slot))?;
        let peer = self.peers.get(slot)?;
        if peer.paths_of(route.family).is_some() {
            peer.held_paths.version(pending.route, pending.id)?;
        }
        let family = self.table.family(pending.group.family);
        let mut writer = UpdateWriter::withdraw(&peer.facts.context, family);
        writer.push_bytes(pending.id.into(), route.nlri());
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
            let (wanted, held) = (path.is_some(), route.sent_to.contains(slot));
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
            let encoded = path.map_or(route.nlri(), |path| route.nlri_of(path));
            return due.then_some((Group::of(route, path), encoded));
        }
        let path = self.path(slot, peer, route);
        let (wanted, held) = (path.is_some(), route.sent_to.contains(slot));
        let due = if pending.changed { wanted || held } else { wanted != held };
        let encoded = path.map_or(route.nlri(), |path| route.nlri_of(path));
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
