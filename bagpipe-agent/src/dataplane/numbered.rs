//! Things that map entries refer to by number: each once, counted, and reused only after a grace.
//!
//! What has a number is written before anything refers to it, and the number rests after the last reference has gone:
//! a program that has just read the number may still follow it.

use std::borrow::Borrow;
use std::collections::BTreeSet;
use std::hash::Hash;
use std::time::Instant;

use rustc_hash::FxHashMap;

use super::pool::Pool;

/// Things of one kind, with their numbers.
#[derive(Debug)]
pub(crate) struct Numbered<T> {
    things: FxHashMap<T, Reference>,
    of_number: FxHashMap<u32, T>,
    pool: Pool,
    /// Those that wait for a number.
    waiting: BTreeSet<T>,
    /// Those that nothing refers to any longer.
    unused: BTreeSet<T>,
    /// Adopted numbers that mean nothing any more: what refers to them goes first.
    lost: Vec<u32>,
}

#[derive(Debug, Default)]
struct Reference {
    count: usize,
    number: Option<u32>,
}

impl<T: Clone + Ord + Hash> Numbered<T> {
    /// Numbers below `size`, but for zero.
    #[must_use]
    pub(crate) fn new(size: u32) -> Self {
        Self {
            things: FxHashMap::default(),
            of_number: FxHashMap::default(),
            pool: Pool::new(size),
            waiting: BTreeSet::new(),
            unused: BTreeSet::new(),
            lost: Vec::new(),
        }
    }

    /// Takes over numbers that something refers to, with what they mean, if anything. A thing that has one already gets
    /// no second.
    pub(crate) fn adopt(&mut self, found: impl IntoIterator<Item = (u32, Option<T>)>) {
        for (number, thing) in found {
            let Some(thing) = thing.filter(|thing| !self.things.contains_key(thing)) else {
                self.lost.push(number);
                continue;
            };
            self.of_number.insert(number, thing.clone());
            self.unused.insert(thing.clone());
            self.things.insert(thing, Reference { count: 0, number: Some(number) });
        }
        self.pool.adopt(self.of_number.keys().chain(&self.lost).copied());
    }

    /// Counts one more reference; whether it is the first.
    pub(crate) fn acquire(&mut self, thing: &T) -> bool {
        let reference = self.things.entry(thing.clone()).or_default();
        reference.count += 1;
        if reference.count == 1 {
            self.unused.remove(thing);
        }
        if reference.number.is_none() {
            self.waiting.insert(thing.clone());
        }
        reference.count == 1
    }

    /// Counts one reference less; whether it was the last.
    pub(crate) fn release(&mut self, thing: &T) -> bool {
        let Some(reference) = self.things.get_mut(thing) else { return false };
        reference.count = reference.count.saturating_sub(1);
        let last = reference.count == 0;
        if last {
            self.unused.insert(thing.clone());
        }
        last
    }

    /// Gives numbers to those that wait for one.
    pub(crate) fn assign(&mut self, now: Instant) -> Vec<(u32, T)> {
        let mut assigned = Vec::new();
        while let Some(thing) = self.waiting.pop_first() {
            let Some(reference) = self.things.get_mut(&thing) else { continue };
            let Some(number) = self.pool.take(now) else {
                self.waiting.insert(thing);
                break;
            };
            reference.number = Some(number);
            self.of_number.insert(number, thing.clone());
            assigned.push((number, thing));
        }
        assigned
    }

    /// Forgets those that nothing refers to; they and their numbers.
    pub(crate) fn collect(&mut self, now: Instant) -> Vec<(T, Option<u32>)> {
        let mut removed = Vec::new();
        for thing in std::mem::take(&mut self.unused) {
            self.waiting.remove(&thing);
            let Some(Reference { number, .. }) = self.things.remove(&thing) else { continue };
            if let Some(number) = number {
                self.of_number.remove(&number);
                self.pool.put(number, now);
            }
            removed.push((thing, number));
        }
        for number in self.lost.drain(..) {
            self.pool.put(number, now);
        }
        removed
    }

    /// Whether a thing is there, with a number or without.
    #[must_use]
    pub(crate) fn contains<Q: Hash + Eq + ?Sized>(&self, thing: &Q) -> bool
    where
        T: Borrow<Q>,
    {
        self.things.contains_key(thing)
    }

    /// The number of a thing.
    #[must_use]
    pub(crate) fn number<Q: Hash + Eq + ?Sized>(&self, thing: &Q) -> Option<u32>
    where
        T: Borrow<Q>,
    {
        self.things.get(thing)?.number
    }

    /// What a number means.
    #[must_use]
    pub(crate) fn of_number(&self, number: u32) -> Option<&T> {
        self.of_number.get(&number)
    }

    /// All numbers that mean something.
    pub(crate) fn numbers(&self) -> impl Iterator<Item = u32> {
        self.of_number.keys().copied()
    }

    /// All things: number, and how often they are referred to.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (&T, Option<u32>, usize)> {
        self.things.iter().map(|(thing, reference)| (thing, reference.number, reference.count))
    }

    /// When one that waits for a number may get it.
    #[must_use]
    pub(crate) fn timeout(&self) -> Option<Instant> {
        if self.waiting.is_empty() { None } else { self.pool.exhausted_until() }
    }

    /// How many numbers are taken: without a leak, as many as there are things.
    #[cfg(test)]
    pub(crate) fn taken(&self) -> usize {
        self.pool.taken()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dataplane::pool::GRACE;

    #[test]
    fn equal_things_share_a_number_until_the_last_reference_goes() {
        let (mut things, now) = (Numbered::new(3), Instant::now());
        assert!(things.acquire(&'a'));
        assert!(!things.acquire(&'a'));
        assert_eq!(things.assign(now), [(1, 'a')]);
        assert!(!things.release(&'a'));
        assert_eq!(things.collect(now), []);
        assert_eq!(things.number(&'a'), Some(1));
        assert!(things.release(&'a'));
        assert_eq!(things.collect(now), [('a', Some(1))]);
        assert_eq!((things.number(&'a'), things.taken()), (None, 0));
    }

    #[test]
    fn a_number_rests_before_it_is_used_again() {
        let (mut things, now) = (Numbered::new(2), Instant::now());
        things.acquire(&'a');
        things.acquire(&'b');
        assert_eq!(things.assign(now), [(1, 'a')], "there is one number only");
        things.release(&'a');
        things.collect(now);
        assert_eq!(things.assign(now), []);
        assert_eq!(things.timeout(), Some(now + GRACE));
        assert_eq!(things.assign(now + GRACE), [(1, 'b')]);
        assert_eq!(things.of_number(1), Some(&'b'));
    }

    #[test]
    fn adopted_numbers_stay_and_lost_ones_rest() {
        let (mut things, now) = (Numbered::new(8), Instant::now());
        things.adopt([(5, Some('a')), (2, Some('b')), (1, None), (6, Some('a'))]);
        things.acquire(&'a');
        things.acquire(&'c');
        assert_eq!(things.assign(now), [(4, 'c')], "the others are still referred to");
        assert_eq!(things.collect(now), [('b', Some(2))]);
        assert_eq!((things.number(&'a'), things.number(&'b'), things.taken()), (Some(5), None, 2));
    }
}
