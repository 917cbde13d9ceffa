//! What the RIB keeps per peer.

use std::collections::BTreeSet;
use std::num::NonZeroU32;
use std::sync::Arc;

use rustc_hash::FxHashMap;

use super::ask_for_all::Takers;
use super::batch::{Likeness, Place};
use super::held_paths::HeldPaths;
use super::rt_constraint::{Memberships, Target, is_constrained};
use super::table::{FamilyId, Position, RouteId, Table, Translation};
use super::update_queue::Pending;
use super::{FamilyCount, PeerId, RibPeer};
use crate::types::Family;

/// A small number for a peer, used again after the peer is forgotten.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) struct Slot(NonZeroU32);

impl Slot {
    /// The slot at an index from zero on.
    pub(super) fn new(index: usize) -> Self {
        Self(NonZeroU32::MIN.saturating_add(u32::try_from(index).unwrap_or(u32::MAX)))
    }

    pub(super) fn index(self) -> usize {
        self.0.get() as usize - 1
    }
}

/// How far a peer has read the log of a family.
#[derive(Debug)]
pub(super) struct Reader {
    pub(super) family: FamilyId,
    pub(super) position: Position,
    /// The marker before all routes that are sent again has yet to be sent (BoRR, RFC 7313 §4).
    pub(super) begins_refresh: bool,
    /// The marker to be sent when everything has been read.
    pub(super) end: Option<End>,
}

/// What marks that all routes of a family have been sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum End {
    /// End-of-RIB (RFC 4724 §2): the first time.
    OfRib,
    /// EoRR (RFC 7313 §4).
    OfRefresh,
}

/// A peer: one that is up, or whose routes are kept although it is down.
#[derive(Debug)]
pub(super) struct Peer {
    pub(super) id: PeerId,
    pub(super) facts: RibPeer,
    pub(super) up: bool,
    /// RT Constraint was negotiated.
    pub(super) constrained: bool,
    /// VPN routes may be sent to it: its memberships are known (RFC 4684 §6).
    pub(super) released: bool,
    pub(super) memberships: Memberships,
    /// RT Constraint first.
    pub(super) readers: Vec<Reader>,
    /// The families of which it is sent several paths of a route, and how many (RFC 7911).
    several: Vec<(FamilyId, usize)>,
    /// Routes before the reader's position that a change of memberships concerns.
    pub(super) reconsider: BTreeSet<RouteId>,
    /// What it shares with other peers that it reads: next after the window.
    pub(super) place: Option<Place>,
    /// Routes that are for this peer alone, sorted so that those with the same attributes are together.
    pub(super) window: Vec<Pending>,
    pub(super) likeness: Arc<Likeness>,
    /// What it holds of the routes of which it is sent several paths.
    pub(super) held_paths: HeldPaths,
    counts: FxHashMap<FamilyId, Count>,
}

#[derive(Clone, Copy, Debug, Default)]
struct Count {
    received: usize,
    sent: usize,
}

impl Peer {
    fn new(id: PeerId, facts: RibPeer) -> Self {
        Self {
            id,
            likeness: Arc::new(Likeness::of(&facts)),
            facts,
            up: false,
            constrained: false,
            released: false,
            memberships: Memberships::default(),
            readers: Vec::new(),
            several: Vec::new(),
            reconsider: BTreeSet::new(),
            place: None,
            window: Vec::new(),
            held_paths: HeldPaths::default(),
            counts: FxHashMap::default(),
        }
    }

    /// Start over: everything is to be sent.
    pub(super) fn start(&mut self, facts: RibPeer, table: &mut Table) {
        let mut families = facts.families.clone();
        families.sort_by_key(|family| *family != Family::ROUTE_TARGET);
        families.dedup();
        self.constrained = families.contains(&Family::ROUTE_TARGET);
        self.released = !self.constrained;
        self.several = families
            .iter()
            .filter_map(|family| Some((table.family_id(*family)?, facts.paths_of(*family)?)))
            .collect();
        self.readers = families
            .into_iter()
            .filter_map(|family| table.family_id(family))
            .map(|family| Reader {
                family,
                position: Position::default(),
                begins_refresh: false,
                end: Some(End::OfRib),
            })
            .collect();
        self.likeness = Arc::new(Likeness::of(&facts));
        self.facts = facts;
        self.up = true;
    }

    /// Forget all about what is to be sent and was sent.
    fn stop(&mut self) {
        self.up = false;
        self.readers.clear();
        self.reconsider.clear();
        self.place = None;
        self.window.clear();
        self.held_paths = HeldPaths::default();
        for count in self.counts.values_mut() {
            count.sent = 0;
        }
    }

    /// Whether it asks for a route of this family with these targets (RFC 4684 §3).
    pub(super) fn wants(&self, family: Family, targets: &[Target]) -> bool {
        !self.constrained || !is_constrained(family) || self.memberships.want(targets)
    }

    /// Whether routes of this family are held back.
    pub(super) fn waits(&self, family: Family) -> bool {
        !self.released && is_constrained(family)
    }

    /// How far it has read a family; `None` if the family was not negotiated.
    pub(super) fn position(&self, family: FamilyId) -> Option<Position> {
        self.readers.iter().find(|reader| reader.family == family).map(|reader| reader.position)
    }

    /// How many paths of a route of this family it is sent, if it is more than the best one (RFC 7911).
    pub(super) fn paths_of(&self, family: FamilyId) -> Option<usize> {
        self.several.iter().find(|(several, _)| *several == family).map(|(_, paths)| *paths)
    }

    /// Look again at all routes of which it is sent several paths; it is told what has changed. Whether there are any.
    pub(super) fn read_paths_again(&mut self) -> bool {
        for reader in &mut self.readers {
            if self.several.iter().any(|(family, _)| *family == reader.family) {
                reader.position = Position::default();
            }
        }
        !self.several.is_empty()
    }

    pub(super) fn count_received(&mut self, family: FamilyId, change: isize) {
        let count = self.counts.entry(family).or_default();
        count.received = count.received.saturating_add_signed(change);
    }

    pub(super) fn count_sent(&mut self, family: FamilyId, change: isize) {
        let count = self.counts.entry(family).or_default();
        count.sent = count.sent.saturating_add_signed(change);
    }

    pub(super) fn received(&self, family: FamilyId) -> usize {
        self.counts.get(&family).map_or(0, |count| count.received)
    }

    pub(super) fn counts(&self, table: &Table) -> Vec<FamilyCount> {
        let mut counts: Vec<_> = self
            .counts
            .iter()
            .map(|(id, count)| FamilyCount {
                family: table.family(*id),
                received: count.received,
                sent: count.sent,
            })
            .collect();
        counts.sort_by_key(|count| count.family);
        counts
    }
}

/// All peers; and which of them have something to read.
#[derive(Debug, Default)]
pub(super) struct Peers {
    slots: Vec<Option<Peer>>,
    by_id: FxHashMap<PeerId, Slot>,
    /// Which of them take all VPN routes.
    pub(super) takers: Takers,
    /// Peers that have read everything.
    idle: BTreeSet<Slot>,
    /// Peers that have something to read, and were not reported since they were last idle.
    awake: BTreeSet<Slot>,
}

impl Peers {
    pub(super) fn slot(&self, id: PeerId) -> Option<Slot> {
        self.by_id.get(&id).copied()
    }

    pub(super) fn get(&self, slot: Slot) -> Option<&Peer> {
        self.slots.get(slot.index())?.as_ref()
    }

    pub(super) fn get_mut(&mut self, slot: Slot) -> Option<&mut Peer> {
        self.slots.get_mut(slot.index())?.as_mut()
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &Peer> + Clone {
        self.slots.iter().flatten()
    }

    /// The slot of a peer.
    pub(super) fn find_or_add(&mut self, id: PeerId, facts: &RibPeer) -> Slot {
        if let Some(slot) = self.slot(id) {
            return slot;
        }
        let number = self.slots.iter().position(Option::is_none).unwrap_or(self.slots.len());
        let slot = Slot::new(number);
        let peer = Some(Peer::new(id, facts.clone()));
        match self.slots.get_mut(number) {
            Some(place) => *place = peer,
            None => self.slots.push(peer),
        }
        self.by_id.insert(id, slot);
        slot
    }

    pub(super) fn remove(&mut self, slot: Slot) {
        self.stop(slot);
        if let Some(peer) = self.slots.get_mut(slot.index()).and_then(Option::take) {
            self.by_id.remove(&peer.id);
        }
    }

    /// There is something to read for this peer.
    pub(super) fn wake(&mut self, slot: Slot) {
        if self.idle.remove(&slot) {
            self.awake.insert(slot);
        }
    }

    /// There is something to read for all peers.
    pub(super) fn wake_all(&mut self) {
        self.awake.append(&mut self.idle);
    }

    /// A path other than the best one changed: of concern to those that are sent several.
    pub(super) fn reconsider_paths(&mut self, id: RouteId, family: FamilyId) {
        for (index, peer) in self.slots.iter_mut().enumerate() {
            let Some(peer) = peer.as_mut().filter(|peer| peer.up && peer.paths_of(family).is_some()) else {
                continue;
            };
            peer.reconsider.insert(id);
            let slot = Slot::new(index);
            if self.idle.remove(&slot) {
                self.awake.insert(slot);
            }
        }
    }

    /// This peer has read everything.
    pub(super) fn rest(&mut self, slot: Slot) {
        self.awake.remove(&slot);
        self.idle.insert(slot);
    }

    /// A session went down.
    pub(super) fn stop(&mut self, slot: Slot) {
        self.idle.remove(&slot);
        self.awake.remove(&slot);
        if let Some(peer) = self.get_mut(slot) {
            peer.stop();
        }
    }

    /// Whether all peers that are up have read everything.
    pub(super) fn all_idle(&self) -> bool {
        let mut up =
            self.slots.iter().enumerate().filter(|(_, peer)| peer.as_ref().is_some_and(|peer| peer.up));
        up.all(|(index, _)| self.is_idle(Slot::new(index)))
    }

    pub(super) fn is_idle(&self, slot: Slot) -> bool {
        self.idle.contains(&slot)
    }

    pub(super) fn poll_awake(&mut self) -> Option<PeerId> {
        let slot = self.awake.pop_first()?;
        self.get(slot).map(|peer| peer.id)
    }

    /// A log was compacted.
    pub(super) fn translate(&mut self, family: FamilyId, translation: &Translation) {
        for peer in self.slots.iter_mut().flatten() {
            for reader in peer.readers.iter_mut().filter(|reader| reader.family == family) {
                translation.apply(&mut reader.position);
            }
        }
    }
}
