//! Flood lists: for each instance its local ports, and its remote endpoints, numbered without gaps.
//!
//! Programs walk a list from 0 to the count that the instance's entry holds, while the agent changes it. No
//! member may be skipped: a new member takes a hole or the end, the last member is moved into a hole before the
//! count goes down, and the entry that it leaves stays for a grace.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Instant;

use bagpipe_common::{FloodKey, FloodScope};
use rustc_hash::FxHashMap;

use super::entry::Key;
use super::pool::GRACE;
use crate::fib::{Target, VpnId};

/// All flood lists.
#[derive(Debug, Default)]
pub(crate) struct Floods {
    lists: BTreeMap<(VpnId, u16), List>,
    dirty: BTreeSet<(VpnId, u16)>,
    /// Entries past the end of a list that a program may still read.
    leaving: VecDeque<(Instant, FloodKey)>,
}

#[derive(Debug, Default)]
struct List {
    members: Vec<Target>,
    positions: FxHashMap<Target, usize>,
    added: BTreeSet<Target>,
    removed: BTreeSet<Target>,
}

impl Floods {
    /// Takes over a list as it is in the map.
    pub(crate) fn adopt(&mut self, vpn: VpnId, scope: FloodScope, members: Vec<Target>) {
        let list = self.lists.entry((vpn, scope as u16)).or_default();
        list.positions = members.iter().enumerate().map(|(position, member)| (*member, position)).collect();
        list.members = members;
    }

    /// Notes that a target is to be a member, or no longer.
    pub(crate) fn set(&mut self, vpn: VpnId, target: Target, wanted: bool) {
        let key = (vpn, scope_of(target) as u16);
        let list = self.lists.entry(key).or_default();
        let present = list.positions.contains_key(&target);
        list.added.remove(&target);
        list.removed.remove(&target);
        if wanted && !present {
            list.added.insert(target);
        } else if !wanted && present {
            list.removed.insert(target);
        }
        self.dirty.insert(key);
    }

    /// Brings the lists up to date; the keys of all entries that change, counts included.
    pub(crate) fn settle(&mut self, now: Instant) -> Vec<Key> {
        let mut keys = Vec::new();
        for (vpn, scope) in std::mem::take(&mut self.dirty) {
            let Some(list) = self.lists.get_mut(&(vpn, scope)) else { continue };
            let flood_key = |position: usize| FloodKey { vpn, scope, index: index_of(position) };
            let length = list.members.len();
            keys.extend(list.settle().into_iter().map(|position| Key::Flood(flood_key(position))));
            self.leaving.extend((list.members.len()..length).map(|position| (now, flood_key(position))));
            keys.push(Key::Vpn(vpn));
            if list.members.is_empty() {
                self.lists.remove(&(vpn, scope));
            }
        }
        keys
    }

    /// The keys of entries past the end of their list that no program reads any longer.
    pub(crate) fn left(&mut self, now: Instant) -> Vec<Key> {
        let mut keys = Vec::new();
        while let Some((since, key)) = self.leaving.front().copied() {
            if now.saturating_duration_since(since) < GRACE {
                break;
            }
            self.leaving.pop_front();
            keys.push(Key::Flood(key));
        }
        keys
    }

    /// When the next entry past the end of its list is to be removed.
    #[must_use]
    pub(crate) fn timeout(&self) -> Option<Instant> {
        self.leaving.front().map(|(since, _)| *since + GRACE)
    }

    /// Whether an entry is past the end of its list and waits for its removal.
    #[must_use]
    pub(crate) fn is_leaving(&self, key: &FloodKey) -> bool {
        self.leaving.iter().any(|(_, leaving)| leaving == key)
    }

    /// The member at a position.
    #[must_use]
    pub(crate) fn member(&self, key: &FloodKey) -> Option<Target> {
        self.lists.get(&(key.vpn, key.scope))?.members.get(key.index as usize).copied()
    }

    /// The length of a list.
    #[must_use]
    pub(crate) fn len(&self, vpn: VpnId, scope: FloodScope) -> usize {
        self.lists.get(&(vpn, scope as u16)).map_or(0, |list| list.members.len())
    }

    /// The keys of all entries.
    pub(crate) fn keys(&self) -> impl Iterator<Item = Key> {
        self.lists.iter().flat_map(|((vpn, scope), list)| {
            let key = |position| FloodKey { vpn: *vpn, scope: *scope, index: index_of(position) };
            (0..list.members.len()).map(move |position| Key::Flood(key(position)))
        })
    }
}

impl List {
    /// Applies what was noted; the positions whose member changed.
    fn settle(&mut self) -> Vec<usize> {
        let mut holes: Vec<usize> = std::mem::take(&mut self.removed)
            .iter()
            .filter_map(|target| self.positions.remove(target))
            .collect();
        holes.sort_unstable_by(|a, b| b.cmp(a));
        let mut changed = Vec::new();
        for target in std::mem::take(&mut self.added) {
            // The lowest hole first, so that the highest, which cost nothing to close, are left.
            let position = holes.pop().unwrap_or(self.members.len());
            match self.members.get_mut(position) {
                Some(member) => *member = target,
                None => self.members.push(target),
            }
            self.positions.insert(target, position);
            changed.push(position);
        }
        // Holes are closed from the end, so the last member is never one of them.
        for hole in holes {
            let Some(last) = self.members.pop() else { break };
            if let Some(member) = self.members.get_mut(hole) {
                *member = last;
                self.positions.insert(last, hole);
                changed.push(hole);
            }
        }
        changed
    }
}

fn scope_of(target: Target) -> FloodScope {
    match target {
        Target::Port(_) | Target::Router(_) | Target::Segment(_) => FloodScope::Local,
        Target::Vxlan { .. } | Target::Mpls { .. } => FloodScope::Remote,
    }
}

fn index_of(position: usize) -> u32 {
    u32::try_from(position).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_hole_is_filled_by_a_new_member_before_the_list_shrinks() {
        let (mut floods, now) = (Floods::default(), Instant::now());
        for port in 0..3 {
            floods.set(1, Target::Port(port), true);
        }
        floods.settle(now);
        floods.set(1, Target::Port(0), false);
        floods.set(1, Target::Port(9), true);
        assert_eq!(floods.settle(now).len(), 2, "one member and the count");
        assert_eq!(floods.member(&FloodKey { vpn: 1, scope: 0, index: 0 }), Some(Target::Port(9)));
        floods.set(1, Target::Port(1), false);
        floods.settle(now);
        assert_eq!(floods.member(&FloodKey { vpn: 1, scope: 0, index: 1 }), Some(Target::Port(2)));
        assert_eq!(floods.left(now), []);
        assert_eq!(floods.left(now + GRACE), [Key::Flood(FloodKey { vpn: 1, scope: 0, index: 2 })]);
    }

    proptest! {
        #[test]
        fn lists_are_dense_and_hold_what_is_wanted(
            batches in prop::collection::vec(prop::collection::vec((0..12_u32, any::<bool>()), 0..8), 0..12)
        ) {
            let (mut floods, now, mut wanted) = (Floods::default(), Instant::now(), BTreeSet::new());
            for batch in batches {
                for (port, member) in batch {
                    floods.set(1, Target::Port(port), member);
                    if member { wanted.insert(port); } else { wanted.remove(&port); }
                }
                floods.settle(now);
                let length = floods.len(1, FloodScope::Local);
                let members: BTreeSet<u32> = (0..length)
                    .filter_map(|index| floods.member(&FloodKey { vpn: 1, scope: 0, index: index_of(index) }))
                    .map(|target| match target { Target::Port(port) => port, _ => u32::MAX })
                    .collect();
                prop_assert_eq!(length, wanted.len());
                prop_assert_eq!(&members, &wanted);
            }
        }
    }
}
