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
use super::numbered::Numbered;
use crate::fib::Hop;

const BUCKETS: usize = GROUP_BUCKETS as usize;

/// Several hops, in ascending order.
pub(crate) type Hops = Arc<[Hop]>;

/// All groups.
#[derive(Debug)]
pub(crate) struct Groups {
    numbers: Numbered<Hops>,
    buckets: FxHashMap<Hops, Box<[Hop]>>,
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
        Self { numbers: Numbered::new(size), buckets: FxHashMap::default() }
    }

    /// Takes over the groups of the map that something refers to: number, and buckets, if they mean anything.
    pub(crate) fn adopt(&mut self, found: impl IntoIterator<Item = (u32, Option<Box<[Hop]>>)>) {
        let mut numbers = Vec::new();
        for (number, buckets) in found {
            let hops = buckets.map(|buckets| {
                let hops = hops_in(&buckets);
                self.buckets.entry(hops.clone()).or_insert(buckets);
                hops
            });
            numbers.push((number, hops));
        }
        self.numbers.adopt(numbers);
    }

    /// Counts one more reference to a group. A new one is made of the buckets of the hops before.
    pub(crate) fn acquire(&mut self, hops: &Hops, before: &[Hop]) {
        if !self.numbers.contains(&**hops) {
            let buckets = match (self.buckets.get(before), before) {
                (Some(buckets), _) => spread(hops, buckets.iter().copied().map(Some)),
                (None, [only]) => spread(hops, [Some(*only); BUCKETS]),
                _ => spread(hops, [None; BUCKETS]),
            };
            self.buckets.insert(hops.clone(), buckets);
        }
        self.numbers.acquire(hops);
    }

    /// Counts one reference less.
    pub(crate) fn release(&mut self, hops: &Hops) {
        self.numbers.release(hops);
    }

    /// Gives numbers to those that wait for one; the keys of their entries.
    pub(crate) fn assign(&mut self, now: Instant) -> Vec<Key> {
        self.numbers.assign(now).into_iter().flat_map(|(number, _)| bucket_keys(number)).collect()
    }

    /// Forgets those that nothing refers to.
    pub(crate) fn collect(&mut self, now: Instant) {
        for (hops, _) in self.numbers.collect(now) {
            self.buckets.remove(&hops);
        }
    }

    /// The number of a group.
    #[must_use]
    pub(crate) fn number(&self, hops: &[Hop]) -> Option<u32> {
        self.numbers.number(hops)
    }

    /// The hop of a bucket, by its index in the map.
    #[must_use]
    pub(crate) fn bucket(&self, index: u32) -> Option<&Hop> {
        let hops = self.numbers.of_number(index / GROUP_BUCKETS)?;
        self.buckets.get(hops)?.get((index % GROUP_BUCKETS) as usize)
    }

    /// The keys of all entries that groups have.
    pub(crate) fn keys(&self) -> impl Iterator<Item = Key> {
        self.numbers.numbers().flat_map(bucket_keys)
    }

    /// When one that waits for a number may get it.
    #[must_use]
    pub(crate) fn timeout(&self) -> Option<Instant> {
        self.numbers.timeout()
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
                let old = before.as_ref().map(|hops| groups.buckets[hops].clone());
                groups.acquire(&after, before.as_deref().unwrap_or_default());
                if let Some(before) = &before {
                    groups.release(before);
                }
                groups.assign(now);
                groups.collect(now);
                let new = groups.buckets[&after].clone();
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
        let pairs = groups.buckets[&three].iter().zip(&groups.buckets[&two]);
        assert!(pairs.clone().all(|(old, new)| old == new || *old == hop(2)));
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
