//! Sets of peers, each kept once: the routes that the same peers hold share one.

use std::hash::{BuildHasher, RandomState};

use hashbrown::HashTable;

use super::peer::Slot;

/// Names a set. Each that is kept stands for one reference, which [`PeerSets::insert`] and [`PeerSets::remove`] take
/// over.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct PeerSetId(u32);

impl PeerSetId {
    /// The set of no peer, which is always there.
    pub(super) const EMPTY: Self = Self(0);
}

/// All sets that are in use.
#[derive(Debug, Default)]
pub(super) struct PeerSets {
    /// From the second on: the first name is that of the empty set.
    sets: Vec<Set>,
    free: Vec<PeerSetId>,
    index: HashTable<PeerSetId>,
    /// Seeded: which peers hold a route is up to them.
    hasher: RandomState,
    /// What the last change was, for the next route of the same UPDATE.
    last: Option<Change>,
}

#[derive(Debug, Default)]
struct Set {
    /// A bit per peer; the last word is not zero.
    words: Vec<u64>,
    references: u32,
}

/// Two sets that differ in one peer.
#[derive(Clone, Copy, Debug)]
struct Change {
    from: PeerSetId,
    slot: Slot,
    to: PeerSetId,
}

impl PeerSets {
    pub(super) fn contains(&self, set: PeerSetId, slot: Slot) -> bool {
        let (word, bit) = place(slot);
        self.words(set).get(word).is_some_and(|word| word & bit != 0)
    }

    /// Add a peer to the set. Whether it was not there.
    pub(super) fn insert(&mut self, set: &mut PeerSetId, slot: Slot) -> bool {
        let absent = !self.contains(*set, slot);
        if absent {
            *set = self.changed(*set, slot);
        }
        absent
    }

    /// Remove a peer from the set. Whether it was there.
    pub(super) fn remove(&mut self, set: &mut PeerSetId, slot: Slot) -> bool {
        let present = self.contains(*set, slot);
        if present {
            *set = self.changed(*set, slot);
        }
        present
    }

    /// The set that differs in one peer.
    fn changed(&mut self, from: PeerSetId, slot: Slot) -> PeerSetId {
        let to = match self.last {
            Some(last) if last.from == from && last.slot == slot => last.to,
            _ => self.find_or_add(self.toggled(from, slot)),
        };
        if let Some(set) = self.get_mut(to) {
            set.references += 1;
        }
        self.last = Some(Change { from, slot, to });
        self.release(from);
        to
    }

    fn toggled(&self, set: PeerSetId, slot: Slot) -> Vec<u64> {
        let (place, bit) = place(slot);
        let mut words = self.words(set).to_vec();
        words.resize(words.len().max(place + 1), 0);
        if let Some(word) = words.get_mut(place) {
            *word ^= bit;
        }
        let used = words.iter().rposition(|word| *word != 0).map_or(0, |last| last + 1);
        words.truncate(used);
        words
    }

    fn find_or_add(&mut self, words: Vec<u64>) -> PeerSetId {
        if words.is_empty() {
            return PeerSetId::EMPTY;
        }
        let hash = self.hasher.hash_one(&words);
        if let Some(found) = self.index.find(hash, |id| self.words(*id) == words) {
            return *found;
        }
        let id = self.free.pop().unwrap_or_else(|| {
            self.sets.push(Set::default());
            PeerSetId(u32::try_from(self.sets.len()).unwrap_or(u32::MAX))
        });
        if let Some(set) = self.get_mut(id) {
            *set = Set { words, references: 0 };
        }
        let Self { sets, index, hasher, .. } = self;
        index.insert_unique(hash, id, |id| hasher.hash_one(get(sets, *id).map_or(&[][..], |set| &set.words)));
        id
    }

    fn release(&mut self, id: PeerSetId) {
        let Some(set) = self.get_mut(id) else { return };
        set.references -= 1;
        if set.references > 0 {
            return;
        }
        let words = std::mem::take(&mut set.words);
        if let Ok(place) = self.index.find_entry(self.hasher.hash_one(&words), |other| *other == id) {
            place.remove();
        }
        self.free.push(id);
        if self.last.is_some_and(|last| last.from == id || last.to == id) {
            self.last = None;
        }
    }

    fn words(&self, id: PeerSetId) -> &[u64] {
        get(&self.sets, id).map_or(&[], |set| &set.words)
    }

    fn get_mut(&mut self, id: PeerSetId) -> Option<&mut Set> {
        self.sets.get_mut((id.0 as usize).checked_sub(1)?)
    }
}

fn get(sets: &[Set], id: PeerSetId) -> Option<&Set> {
    sets.get((id.0 as usize).checked_sub(1)?)
}

fn place(slot: Slot) -> (usize, u64) {
    (slot.index() / 64, 1 << (slot.index() % 64))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_sets_are_one() {
        let mut sets = PeerSets::default();
        let [mut one, mut other] = [PeerSetId::EMPTY; 2];
        for number in [0, 63, 64, 200] {
            assert!(sets.insert(&mut one, Slot::new(number)));
            assert!(!sets.insert(&mut one, Slot::new(number)));
        }
        for number in [200, 64, 63, 0] {
            assert_ne!(one, other);
            assert!(!sets.contains(other, Slot::new(number)));
            assert!(sets.insert(&mut other, Slot::new(number)));
            assert!(sets.contains(other, Slot::new(number)));
        }
        assert_eq!(one, other);
        for number in [63, 200, 0, 64] {
            assert!(sets.remove(&mut one, Slot::new(number)));
            assert!(!sets.remove(&mut one, Slot::new(number)));
            assert!(sets.contains(other, Slot::new(number)));
        }
        assert_eq!(one, PeerSetId::EMPTY);
    }

    #[test]
    fn what_nobody_uses_is_dropped() {
        let mut sets = PeerSets::default();
        let mut routes = [PeerSetId::EMPTY; 3];
        for slot in [5, 70, 6].map(Slot::new) {
            assert!(routes.iter_mut().all(|set| sets.insert(set, slot)));
        }
        assert_eq!(sets.index.len(), 1);
        for slot in [70, 5, 6].map(Slot::new) {
            assert!(routes.iter_mut().all(|set| sets.remove(set, slot)));
        }
        assert_eq!((sets.index.len(), sets.free.len()), (0, sets.sets.len()));
        assert_eq!(routes, [PeerSetId::EMPTY; 3]);
    }
}
