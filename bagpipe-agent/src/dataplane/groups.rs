//! Groups: the flow's hash chooses one of their buckets, and the bucket says which of several equal ways.
//!
//! Ways have equal shares of the buckets, and a bucket changes its way only when that one goes, or has more than its
//! share: flows that need not move stay where they are.
//!
//! Equal hops of routes are a group, which all routes that have the same hops share. Its buckets are written once, as
//! those of an adjacency are; other hops are another group, made of the buckets of the one that it takes the place of.
//! An Ethernet segment is a group whatever its remote endpoints are: they are exchanged in its buckets, at once for all
//! MAC addresses on it (RFC 7432 §8.2).

use std::collections::BTreeSet;
use std::hash::Hash;
use std::sync::Arc;
use std::time::Instant;

use bagpipe_bgp::types::EthernetSegmentId;
use bagpipe_common::{GROUP_BUCKETS, limits};
use rustc_hash::FxHashMap;

use super::entry::Key;
use super::numbered::Numbered;
use crate::fib::{Hop, Segment, Target, VpnId};

const BUCKETS: usize = GROUP_BUCKETS as usize;

/// Several hops, in their order.
pub(crate) type Hops = Arc<[Hop]>;

/// What is a group.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum Group {
    /// Several equal hops.
    Hops(Hops),
    /// The remote endpoints of a segment.
    Segment(Segment),
}

/// What is in a bucket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Bucket {
    /// A hop of a packet.
    Hop(Hop),
    /// A remote endpoint of a frame.
    Frame(Target),
}

/// All groups.
#[derive(Debug)]
pub(crate) struct Groups {
    numbers: Numbered<Group>,
    buckets: FxHashMap<Hops, Box<[Hop]>>,
    segments: FxHashMap<Segment, Box<[Target]>>,
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
        Self { numbers: Numbered::new(size), buckets: FxHashMap::default(), segments: FxHashMap::default() }
    }

    /// Takes over the groups of the map that something refers to: number, and buckets, if they mean anything.
    pub(crate) fn adopt(&mut self, found: impl IntoIterator<Item = (u32, Option<Found>)>) {
        let mut numbers = Vec::new();
        for (number, found) in found {
            let group = found.map(|found| match found {
                Found::Hops(buckets) => {
                    let hops = ways_in(&buckets);
                    self.buckets.entry(hops.clone()).or_insert(buckets);
                    Group::Hops(hops)
                }
                Found::Segment(segment, buckets) => {
                    self.segments.entry(segment).or_insert(buckets);
                    Group::Segment(segment)
                }
            });
            numbers.push((number, group));
        }
        self.numbers.adopt(numbers);
    }

    /// Counts one more reference to a group. A new one is made of the buckets of the hops before.
    pub(crate) fn acquire(&mut self, hops: &Hops, before: &[Hop]) {
        let group = Group::Hops(hops.clone());
        if !self.numbers.contains(&group) {
            // After one hop they are dealt as after none: so nodes agree on them, whichever hop each knew first.
            let buckets = match self.buckets.get(before) {
                Some(buckets) => spread(hops, buckets.iter().copied().map(Some)),
                None => spread(hops, [None; BUCKETS]),
            };
            self.buckets.insert(hops.clone(), buckets);
        }
        self.numbers.acquire(&group);
    }

    /// Counts one reference less.
    pub(crate) fn release(&mut self, hops: &Hops) {
        self.numbers.release(&Group::Hops(hops.clone()));
    }

    /// Sets the remote endpoints of a segment, which is a group from the first until there are none; the keys of its
    /// entries, if it has any yet.
    pub(crate) fn set_segment(
        &mut self,
        segment: Segment,
        before: bool,
        targets: Option<&[Target]>,
    ) -> Vec<Key> {
        let group = Group::Segment(segment);
        let Some(targets) = targets else {
            if before {
                self.numbers.release(&group);
            }
            return Vec::new();
        };
        let former = self.nameless(segment.vpn, targets);
        let former = former.or_else(|| self.segments.get(&segment).map(|buckets| &**buckets));
        let former = former.into_iter().flatten().copied().map(Some);
        let buckets = spread(targets, former.chain(std::iter::repeat(None)).take(BUCKETS));
        self.segments.insert(segment, buckets);
        if !before {
            self.numbers.acquire(&group);
        }
        self.numbers.number(&group).into_iter().flat_map(bucket_keys).collect()
    }

    /// The buckets of a nameless segment of these endpoints: after a restart the one that was told of by its name.
    fn nameless(&self, vpn: VpnId, targets: &[Target]) -> Option<&[Target]> {
        let same = self.segments.iter().filter(|(segment, buckets)| {
            segment.vpn == vpn && is_nameless(segment) && *ways_in(buckets) == *targets
        });
        same.min_by_key(|(segment, _)| **segment).map(|(_, buckets)| &**buckets)
    }

    /// Gives numbers to those that wait for one; the keys of their entries.
    pub(crate) fn assign(&mut self, now: Instant) -> Vec<Key> {
        self.numbers.assign(now).into_iter().flat_map(|(number, _)| bucket_keys(number)).collect()
    }

    /// Forgets those that nothing refers to.
    pub(crate) fn collect(&mut self, now: Instant) {
        for (group, _) in self.numbers.collect(now) {
            match group {
                Group::Hops(hops) => drop(self.buckets.remove(&hops)),
                Group::Segment(segment) => drop(self.segments.remove(&segment)),
            }
        }
    }

    /// The number of a group.
    #[must_use]
    pub(crate) fn number(&self, group: &Group) -> Option<u32> {
        self.numbers.number(group)
    }

    /// What is in a bucket, by its index in the map.
    #[must_use]
    pub(crate) fn bucket(&self, index: u32) -> Option<Bucket> {
        let at = (index % GROUP_BUCKETS) as usize;
        match self.numbers.of_number(index / GROUP_BUCKETS)? {
            Group::Hops(hops) => self.buckets.get(hops)?.get(at).copied().map(Bucket::Hop),
            Group::Segment(segment) => self.segments.get(segment)?.get(at).copied().map(Bucket::Frame),
        }
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

/// What the buckets of a group in the map mean.
#[derive(Debug)]
pub(crate) enum Found {
    /// Hops of routes.
    Hops(Box<[Hop]>),
    /// Remote endpoints of a segment.
    Segment(Segment, Box<[Target]>),
}

/// The name of a segment of which the map has only its group's number: no type of identifier (RFC 7432 §5).
#[must_use]
pub(crate) fn nameless(vpn: VpnId, group: u32) -> Segment {
    let [a, b, c, d] = group.to_be_bytes();
    Segment { vpn, esi: EthernetSegmentId([0xff, 0xff, 0xff, 0xff, 0xff, 0xff, a, b, c, d]) }
}

fn is_nameless(segment: &Segment) -> bool {
    segment.esi.0.starts_with(&[0xff; 6])
}

/// The ways that have a share of these buckets.
#[must_use]
pub(crate) fn ways_in<T: Copy + Ord>(buckets: &[T]) -> Arc<[T]> {
    buckets.iter().copied().collect::<BTreeSet<_>>().into_iter().collect()
}

fn bucket_keys(number: u32) -> impl Iterator<Item = Key> {
    let first = number * GROUP_BUCKETS;
    (first..first + GROUP_BUCKETS).map(Key::Bucket)
}

/// Deals the buckets out to hops or endpoints, in equal shares but for one. A bucket keeps what it has while that has no
/// more than its share. More of them than buckets get none.
fn spread<T: Copy + Eq + Hash>(hops: &[T], former: impl IntoIterator<Item = Option<T>>) -> Box<[T]> {
    let hops = hops.get(..BUCKETS).unwrap_or(hops);
    let (share, mut larger) = (BUCKETS / hops.len().max(1), BUCKETS % hops.len().max(1));
    let former: Vec<Option<T>> = former.into_iter().collect();
    let mut left: FxHashMap<T, usize> = hops.iter().map(|hop| (*hop, share)).collect();
    let mut buckets: Vec<Option<T>> = former
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

fn take_one<T: Eq + Hash>(left: &mut FxHashMap<T, usize>, hop: &T) -> bool {
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
    fn hops_are_dealt_in_their_order_whichever_was_known_first() {
        let hops: Hops = [hop(3), hop(1), hop(2)].into();
        for before in [&[][..], &[hop(1)], &[hop(3)]] {
            let mut groups = Groups::new(8);
            groups.acquire(&hops, before);
            let first: Vec<_> = groups.buckets[&hops].iter().take(4).copied().collect();
            assert_eq!(first, [hop(3), hop(1), hop(2), hop(3)]);
        }
    }

    #[test]
    fn adopted_buckets_are_as_they_were() {
        let (mut groups, now) = (Groups::new(8), Instant::now());
        let odd: Box<[Hop]> = (0..BUCKETS).map(|bucket| hop(u32::from(bucket < 40))).collect();
        groups.adopt([(3, Some(Found::Hops(odd.clone())))]);
        groups.acquire(&hops(&[0, 1]), &[]);
        assert_eq!(groups.assign(now), []);
        groups.collect(now);
        assert_eq!(
            (groups.number(&Group::Hops(hops(&[0, 1]))), groups.bucket(3 * GROUP_BUCKETS)),
            (Some(3), Some(Bucket::Hop(hop(1))))
        );
    }
}
