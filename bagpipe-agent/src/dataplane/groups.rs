//! Groups of equal hops: the flow's hash chooses one of their buckets, and the bucket says which hop.
//!
//! Hops have equal shares of the buckets, and a bucket changes its hop only when that one goes, or has more than its
//! share: flows that need not move stay where they are. The buckets of a group are written once, as those of an
//! adjacency are; other hops are another group, made of the buckets of the one that it takes the place of.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Instant;

use bagpipe_common::{GROUP_BUCKETS, limits};
use rustc_hash::FxHashMap;

use super::entry::Key;
use super::pool::Pool;
use crate::fib::Hop;

const BUCKETS: usize = GROUP_BUCKETS as usize;

/// Several hops, in ascending order.
pub(crate) type Hops = Arc<[Hop]>;

/// All groups.
#[derive(Debug)]
pub(crate) struct Groups {
    known: FxHashMap<Hops, Group>,
    of_number: FxHashMap<u32, Hops>,
    numbers: Pool,
    /// Those that wait for a number.
    waiting: BTreeSet<Hops>,
    /// Those that nothing refers to any longer.
    unused: BTreeSet<Hops>,
    /// Adopted numbers whose buckets mean nothing any more: what refers to them goes first.
    lost: Vec<u32>,
}

#[derive(Debug)]
struct Group {
    references: usize,
    number: Option<u32>,
    buckets: Box<[Hop]>,
}

impl Default for Groups {
    fn default() -> Self {
        Self::new(limits::GROUPS)
    }
}

impl Groups {
    /// Groups in a map of this many.
    #[must_use]
    pub(crate) fn new(size: u32) -> Self {
        Self {
            known: FxHashMap::default(),
            of_number: FxHashMap::default(),
            numbers: Pool::new(size),
            waiting: BTreeSet::new(),
            unused: BTreeSet::new(),
            lost: Vec::new(),
        }
    }

    /// Takes over the groups of the map that something refers to: number, and buckets, if they mean anything.
    pub(crate) fn adopt(&mut self, found: impl IntoIterator<Item = (u32, Option<Box<[Hop]>>)>) {
        for (number, buckets) in found {
            let group = buckets.map(|buckets| (hops_in(&buckets), buckets));
            let Some((hops, buckets)) = group.filter(|(hops, _)| !self.known.contains_key(hops)) else {
                self.lost.push(number);
                continue;
            };
            self.of_number.insert(number, hops.clone());
            self.unused.insert(hops.clone());
            self.known.insert(hops, Group { references: 0, number: Some(number), buckets });
        }
        self.numbers.adopt(self.of_number.keys().chain(&self.lost).copied());
    }

    /// Counts one more reference to a group. A new one is made of the buckets of the hops before.
    pub(crate) fn acquire(&mut self, hops: &Hops, before: &[Hop]) {
        if !self.known.contains_key(hops) {
            let former = self.known.get(before).map(|group| &*group.buckets);
            let buckets = match (former, before) {
                (Some(buckets), _) => spread(hops, buckets.iter().copied().map(Some)),
                (None, [only]) => spread(hops, [Some(*only); BUCKETS]),
                _ => spread(hops, [None; BUCKETS]),
            };
            self.known.insert(hops.clone(), Group { references: 0, number: None, buckets });
            self.waiting.insert(hops.clone());
        }
        self.unused.remove(hops);
        if let Some(group) = self.known.get_mut(hops) {
            group.references += 1;
        }
    }

    /// Counts one reference less.
    pub(crate) fn release(&mut self, hops: &[Hop]) {
        let Some((key, _)) = self.known.get_key_value(hops) else { return };
        let key = key.clone();
        if let Some(group) = self.known.get_mut(hops) {
            group.references = group.references.saturating_sub(1);
            if group.references == 0 {
                self.unused.insert(key);
            }
        }
    }

    /// Gives numbers to those that wait for one; the keys of their entries.
    pub(crate) fn assign(&mut self, now: Instant) -> Vec<Key> {
        let mut keys = Vec::new();
        while let Some(hops) = self.waiting.pop_first() {
            let Some(number) = self.numbers.take(now) else {
                self.waiting.insert(hops);
                break;
            };
            let Some(group) = self.known.get_mut(&hops) else { continue };
            group.number = Some(number);
            self.of_number.insert(number, hops);
            keys.extend(bucket_keys(number));
        }
        keys
    }

    /// Forgets those that nothing refers to.
    pub(crate) fn collect(&mut self, now: Instant) {
        for hops in std::mem::take(&mut self.unused) {
            self.waiting.remove(&hops);
            if let Some(number) = self.known.remove(&hops).and_then(|group| group.number) {
                self.of_number.remove(&number);
                self.numbers.put(number, now);
            }
        }
        for number in self.lost.drain(..) {
            self.numbers.put(number, now);
        }
    }

    /// The number of a group.
    #[must_use]
    pub(crate) fn number(&self, hops: &[Hop]) -> Option<u32> {
        self.known.get(hops)?.number
    }

    /// The hop of a bucket, by its index in the map.
    #[must_use]
    pub(crate) fn bucket(&self, index: u32) -> Option<&Hop> {
        let hops = self.of_number.get(&(index / GROUP_BUCKETS))?;
        self.known.get(hops)?.buckets.get((index % GROUP_BUCKETS) as usize)
    }

    /// The keys of all entries that groups have.
    pub(crate) fn keys(&self) -> impl Iterator<Item = Key> {
        self.of_number.keys().flat_map(|number| bucket_keys(*number))
    }

    /// When one that waits for a number may get it.
    #[must_use]
    pub(crate) fn timeout(&self) -> Option<Instant> {
        if self.waiting.is_empty() { None } else { self.numbers.exhausted_until() }
    }

    /// How many numbers are taken: without a leak, as many as there are groups.
    #[cfg(test)]
    pub(crate) fn taken(&self) -> usize {
        self.numbers.taken()
    }
}

/// The hops that have a share of these buckets.
#[must_use]
pub(crate) fn hops_in(buckets: &[Hop]) -> Hops {
    buckets.iter().copied().collect::<BTreeSet<_>>().into_iter().collect()
}

fn bucket_keys(number: u32) -> impl Iterator<Item = Key> {
    let first = number * GROUP_BUCKETS;
    (first..first + GROUP_BUCKETS).map(Key::Bucket)
}

/// Deals the buckets out to hops, in equal shares but for one. A bucket keeps its hop while that has no more than its
/// share. More hops than buckets get none.
fn spread(hops: &[Hop], former: impl IntoIterator<Item = Option<Hop>>) -> Box<[Hop]> {
    let hops = hops.get(..BUCKETS).unwrap_or(hops);
    let (share, mut larger) = (BUCKETS / hops.len().max(1), BUCKETS % hops.len().max(1));
    let former: Vec<Option<Hop>> = former.into_iter().collect();
    let mut left: FxHashMap<Hop, usize> = hops.iter().map(|hop| (*hop, share)).collect();
    let mut buckets: Vec<Option<Hop>> = former
        .iter()
        .map(|hop| {
            let left = left.get_mut(&(*hop)?)?;
            *left = left.checked_sub(1)?;
            *hop
        })
        .collect();
    // The larger shares go to who has more than the others already, then to the first.
    for larger_first in [true, false] {
        for hop in hops {
            let had = former.iter().filter(|former| **former == Some(*hop)).count();
            let extra = left.get_mut(hop).filter(|_| larger > 0 && (had > share) == larger_first);
            if let Some(left) = extra {
                *left += 1;
                larger -= 1;
            }
        }
    }
    for (bucket, former) in buckets.iter_mut().zip(&former) {
        let kept = former.and_then(|hop| left.get_mut(&hop).filter(|left| bucket.is_none() && **left > 0));
        if let Some(left) = kept {
            *left -= 1;
            *bucket = *former;
        }
    }
    // One of each in turn, so that neighbouring buckets differ.
    let mut turn = hops.iter().cycle();
    for bucket in buckets.iter_mut().filter(|bucket| bucket.is_none()) {
        *bucket = turn.by_ref().take(hops.len()).find(|hop| take_one(&mut left, hop)).copied();
    }
    buckets.into_iter().flatten().collect()
}

fn take_one(left: &mut FxHashMap<Hop, usize>, hop: &Hop) -> bool {
    left.get_mut(hop).is_some_and(|left| left.checked_sub(1).map(|less| *left = less).is_some())
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;
    use crate::dataplane::pool::GRACE;
    use crate::fib::{MplsForm, Target};

    fn hop(number: u32) -> Hop {
        Hop::Labelled(Target::Mpls {
            endpoint: [10, 0, 0, 1].into(),
            label: bagpipe_bgp::types::Label::new(number + 16).unwrap(),
            form: MplsForm::Udp,
        })
    }

    fn hops(numbers: &[u32]) -> Hops {
        numbers.iter().copied().collect::<BTreeSet<_>>().into_iter().map(hop).collect()
    }

    fn shares(buckets: &[Hop]) -> BTreeMap<Hop, usize> {
        let mut shares = BTreeMap::new();
        for hop in buckets {
            *shares.entry(*hop).or_default() += 1;
        }
        shares
    }

    proptest! {
        /// Shares differ by one at most, and no more buckets change than must.
        #[test]
        fn shares_are_equal_and_movement_is_minimal(steps in prop::collection::vec(prop::collection::btree_set(0u32..12, 2..10), 1..8)) {
            let mut groups = Groups::new(64);
            let now = Instant::now();
            let mut before: Option<Hops> = None;
            for step in steps {
                let after = hops(&step.into_iter().collect::<Vec<_>>());
                let old = before.as_ref().map(|hops| groups.known[hops].buckets.clone());
                groups.acquire(&after, before.as_deref().unwrap_or_default());
                if let Some(before) = &before {
                    groups.release(before);
                }
                groups.assign(now);
                groups.collect(now);
                let new = groups.known[&after].buckets.clone();
                prop_assert_eq!(new.len(), BUCKETS);
                let shares_after = shares(&new);
                prop_assert_eq!(shares_after.len(), after.len());
                let (least, most) = (shares_after.values().min().unwrap(), shares_after.values().max().unwrap());
                prop_assert!(most - least <= 1);
                if let Some(old) = old {
                    let moved = old.iter().zip(&new).filter(|(old, new)| old != new).count();
                    // What a hop has more than before must have come from elsewhere.
                    let shares_before = shares(&old);
                    let gained: usize = shares_after
                        .iter()
                        .map(|(hop, share)| share.saturating_sub(shares_before.get(hop).copied().unwrap_or(0)))
                        .sum();
                    prop_assert_eq!(moved, gained);
                }
                before = Some(after);
            }
            prop_assert_eq!(groups.taken(), 1);
        }
    }

    #[test]
    fn only_the_share_of_the_lost_hop_moves() {
        let mut groups = Groups::new(8);
        let (three, two) = (hops(&[1, 2, 3]), hops(&[1, 3]));
        groups.acquire(&three, &[]);
        groups.acquire(&two, &three);
        let pairs = groups.known[&three].buckets.iter().zip(&groups.known[&two].buckets);
        assert!(pairs.clone().all(|(old, new)| old == new || *old == hop(2)));
    }

    #[test]
    fn a_number_rests_before_it_is_used_again() {
        let (mut groups, now) = (Groups::new(2), Instant::now());
        groups.acquire(&hops(&[1, 2]), &[]);
        assert_eq!(groups.assign(now).len(), BUCKETS);
        assert_eq!(groups.bucket(GROUP_BUCKETS), groups.known[&hops(&[1, 2])].buckets.first());
        groups.acquire(&hops(&[1, 3]), &hops(&[1, 2]));
        groups.release(&hops(&[1, 2]));
        assert_eq!(groups.assign(now), []);
        groups.collect(now);
        assert_eq!(groups.timeout(), Some(now + GRACE));
        assert_eq!(groups.assign(now + GRACE).len(), BUCKETS);
        assert_eq!(groups.number(&hops(&[1, 3])), Some(1));
    }

    #[test]
    fn adopted_buckets_are_as_they_were() {
        let (mut groups, now) = (Groups::new(8), Instant::now());
        let odd: Box<[Hop]> = (0..BUCKETS).map(|bucket| hop(u32::from(bucket < 40))).collect();
        groups.adopt([(3, Some(odd.clone()))]);
        groups.acquire(&hops(&[0, 1]), &[]);
        assert_eq!(groups.assign(now), []);
        groups.collect(now);
        assert_eq!(
            (groups.number(&hops(&[0, 1])), groups.bucket(3 * GROUP_BUCKETS)),
            (Some(3), Some(&hop(1)))
        );
    }
}
