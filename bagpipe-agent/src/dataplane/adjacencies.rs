//! Adjacencies: the Ethernet headers of routed packets, each once, in a slot that is written once.
//!
//! A slot that nothing refers to any longer keeps its content until it is used again: a program that has just read the
//! number may still follow it.

use std::collections::BTreeSet;
use std::time::Instant;

use bagpipe_common::limits;
use rustc_hash::FxHashMap;

use super::entry::Key;
use super::pool::Pool;
use crate::fib::Adjacency;

/// All adjacencies.
#[derive(Debug)]
pub(crate) struct Adjacencies {
    known: FxHashMap<Adjacency, Reference>,
    of_slot: FxHashMap<u32, Adjacency>,
    slots: Pool,
    /// Those that wait for a slot.
    waiting: BTreeSet<Adjacency>,
    /// Those that nothing refers to any longer.
    unused: BTreeSet<Adjacency>,
    /// Adopted slots whose content means nothing any more: what refers to them goes first.
    lost: Vec<u32>,
}

#[derive(Debug, Default)]
struct Reference {
    count: usize,
    slot: Option<u32>,
}

impl Default for Adjacencies {
    fn default() -> Self {
        Self::new(limits::ADJACENCIES)
    }
}

impl Adjacencies {
    /// Adjacencies in a map of this size.
    #[must_use]
    pub(crate) fn new(size: u32) -> Self {
        Self {
            known: FxHashMap::default(),
            of_slot: FxHashMap::default(),
            slots: Pool::new(size),
            waiting: BTreeSet::new(),
            unused: BTreeSet::new(),
            lost: Vec::new(),
        }
    }

    /// Takes over the slots of the map that something refers to, with what they mean, if anything.
    pub(crate) fn adopt(&mut self, found: impl IntoIterator<Item = (u32, Option<Adjacency>)>) {
        for (slot, adjacency) in found {
            let Some(adjacency) = adjacency.filter(|adjacency| !self.known.contains_key(adjacency)) else {
                self.lost.push(slot);
                continue;
            };
            self.known.insert(adjacency, Reference { count: 0, slot: Some(slot) });
            self.of_slot.insert(slot, adjacency);
            self.unused.insert(adjacency);
        }
        self.slots.adopt(self.of_slot.keys().chain(&self.lost).copied());
    }

    /// Counts one more reference; whether it is the first.
    pub(crate) fn acquire(&mut self, adjacency: Adjacency) -> bool {
        let reference = self.known.entry(adjacency).or_default();
        reference.count += 1;
        self.unused.remove(&adjacency);
        if reference.slot.is_none() {
            self.waiting.insert(adjacency);
        }
        reference.count == 1
    }

    /// Counts one reference less; whether it was the last.
    pub(crate) fn release(&mut self, adjacency: Adjacency) -> bool {
        let Some(reference) = self.known.get_mut(&adjacency) else { return false };
        reference.count = reference.count.saturating_sub(1);
        let last = reference.count == 0;
        if last {
            self.unused.insert(adjacency);
        }
        last
    }

    /// Gives slots to those that wait for one; the keys of their entries.
    pub(crate) fn assign(&mut self, now: Instant) -> Vec<Key> {
        let mut keys = Vec::new();
        while let Some(adjacency) = self.waiting.pop_first() {
            let Some(slot) = self.slots.take(now) else {
                self.waiting.insert(adjacency);
                break;
            };
            let Some(reference) = self.known.get_mut(&adjacency) else { continue };
            reference.slot = Some(slot);
            self.of_slot.insert(slot, adjacency);
            keys.push(Key::Adjacency(slot));
        }
        keys
    }

    /// Forgets those that nothing refers to.
    pub(crate) fn collect(&mut self, now: Instant) {
        for adjacency in std::mem::take(&mut self.unused) {
            self.waiting.remove(&adjacency);
            if let Some(slot) = self.known.remove(&adjacency).and_then(|reference| reference.slot) {
                self.of_slot.remove(&slot);
                self.slots.put(slot, now);
            }
        }
        for slot in self.lost.drain(..) {
            self.slots.put(slot, now);
        }
    }

    /// The slot of an adjacency.
    #[must_use]
    pub(crate) fn slot(&self, adjacency: &Adjacency) -> Option<u32> {
        self.known.get(adjacency)?.slot
    }

    /// What is in a slot.
    #[must_use]
    pub(crate) fn of_slot(&self, slot: u32) -> Option<&Adjacency> {
        self.of_slot.get(&slot)
    }

    /// The keys of all entries that adjacencies have.
    pub(crate) fn keys(&self) -> impl Iterator<Item = Key> {
        self.of_slot.keys().map(|slot| Key::Adjacency(*slot))
    }

    /// When one that waits for a slot may get it.
    #[must_use]
    pub(crate) fn timeout(&self) -> Option<Instant> {
        if self.waiting.is_empty() { None } else { self.slots.exhausted_until() }
    }

    /// How many slots are taken: without a leak, as many as there are adjacencies.
    #[cfg(test)]
    pub(crate) fn taken(&self) -> usize {
        self.slots.taken()
    }
}

#[cfg(test)]
mod tests {
    use bagpipe_bgp::types::MacAddr;

    use super::*;
    use crate::dataplane::pool::GRACE;
    use crate::fib::Target;

    fn to(host: u8) -> Adjacency {
        let mac = |last| MacAddr([2, 0, 0, 0, 0, last]);
        Adjacency { vpn: 1, destination: mac(host), source: mac(0xff), target: Target::Port(1) }
    }

    #[test]
    fn equal_adjacencies_share_a_slot_until_the_last_goes() {
        let (mut adjacencies, now) = (Adjacencies::new(3), Instant::now());
        assert!(adjacencies.acquire(to(1)));
        assert!(!adjacencies.acquire(to(1)));
        assert_eq!(adjacencies.assign(now), [Key::Adjacency(1)]);
        assert!(!adjacencies.release(to(1)));
        adjacencies.collect(now);
        assert_eq!(adjacencies.slot(&to(1)), Some(1));
        assert!(adjacencies.release(to(1)));
        adjacencies.collect(now);
        assert_eq!((adjacencies.slot(&to(1)), adjacencies.taken()), (None, 0));
    }

    #[test]
    fn a_slot_rests_before_it_is_used_again() {
        let (mut adjacencies, now) = (Adjacencies::new(2), Instant::now());
        adjacencies.acquire(to(1));
        adjacencies.assign(now);
        adjacencies.release(to(1));
        adjacencies.collect(now);
        adjacencies.acquire(to(2));
        assert_eq!(adjacencies.assign(now), []);
        assert_eq!(adjacencies.timeout(), Some(now + GRACE));
        assert_eq!(adjacencies.assign(now + GRACE), [Key::Adjacency(1)]);
        assert_eq!(adjacencies.of_slot(1), Some(&to(2)));
    }

    #[test]
    fn adopted_slots_stay_where_they_are() {
        let (mut adjacencies, now) = (Adjacencies::new(8), Instant::now());
        adjacencies.adopt([(5, Some(to(1))), (2, Some(to(2))), (1, None)]);
        adjacencies.acquire(to(1));
        adjacencies.acquire(to(3));
        assert_eq!(adjacencies.assign(now), [Key::Adjacency(4)], "the others are still referred to");
        adjacencies.collect(now);
        assert_eq!((adjacencies.slot(&to(1)), adjacencies.slot(&to(2))), (Some(5), None));
        assert_eq!(adjacencies.taken(), 2);
    }
}
