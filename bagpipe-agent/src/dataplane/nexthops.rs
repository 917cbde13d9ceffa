//! Next hops: one for each remote endpoint that anything refers to, and the slot with its outer header.
//!
//! A changed outer header goes into a free slot, then the next hop is pointed at it: programs never see a header
//! that is half old and half new.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::time::Instant;

use bagpipe_common::{Encap, limits};

use super::address::ip_of;
use super::entry::Key;
use super::numbered::Numbered;
use super::pool::Pool;
use super::value::Value;

/// All next hops.
#[derive(Debug)]
pub(crate) struct Nexthops {
    remotes: Numbered<IpAddr>,
    slots: Pool,
    slot_of_number: BTreeMap<u32, u32>,
    encaps: BTreeMap<u32, Encap>,
    /// Remote endpoints that have a number and wait for a slot.
    waiting: BTreeSet<IpAddr>,
}

impl Default for Nexthops {
    fn default() -> Self {
        Self::new(limits::NEXTHOPS, limits::ENCAPS)
    }
}

impl Nexthops {
    /// Next hops in maps of these sizes.
    #[must_use]
    pub(crate) fn new(nexthops: u32, encaps: u32) -> Self {
        Self {
            remotes: Numbered::new(nexthops),
            slots: Pool::new(encaps),
            slot_of_number: BTreeMap::new(),
            encaps: BTreeMap::new(),
            waiting: BTreeSet::new(),
        }
    }

    /// Takes over next hops that are in the maps: (number, slot, outer header), and which numbers something refers to.
    pub(crate) fn adopt(&mut self, found: &[(u32, u32, Encap)], referred: &BTreeSet<u32>) {
        let known: BTreeMap<u32, IpAddr> =
            found.iter().map(|(number, _, encap)| (*number, ip_of(&encap.remote))).collect();
        let numbers: BTreeSet<u32> = known.keys().chain(referred).copied().collect();
        self.remotes.adopt(numbers.into_iter().map(|number| (number, known.get(&number).copied())));
        self.slots.adopt(found.iter().map(|(_, slot, _)| *slot));
        for (number, slot, encap) in found {
            self.slot_of_number.insert(*number, *slot);
            self.encaps.insert(*slot, *encap);
        }
    }

    /// Counts one more reference to a remote endpoint.
    pub(crate) fn acquire(&mut self, remote: IpAddr) {
        if self.remotes.acquire(&remote) && self.number(remote).is_some() {
            self.waiting.insert(remote);
        }
    }

    /// Counts one reference less.
    pub(crate) fn release(&mut self, remote: IpAddr) {
        self.remotes.release(&remote);
    }

    /// Gives numbers to the remote endpoints that wait for one; those that have one now, and whose outer header
    /// is to be set.
    pub(crate) fn assign(&mut self, now: Instant) -> Vec<IpAddr> {
        let mut assigned = std::mem::take(&mut self.waiting);
        assigned.extend(self.remotes.assign(now).into_iter().map(|(_, remote)| remote));
        assigned.into_iter().collect()
    }

    /// Sets the outer header toward a remote endpoint (none: no way there); the keys whose entries change.
    /// Where no slot is free the old one stays, and the endpoint is among those that [`Self::assign`] gives next.
    pub(crate) fn set(&mut self, remote: IpAddr, encap: Option<Encap>, now: Instant) -> Vec<Key> {
        let Some(number) = self.number(remote) else { return Vec::new() };
        let old = self.slot_of_number.get(&number).copied();
        if old.and_then(|slot| self.encaps.get(&slot)).copied() == encap {
            return Vec::new();
        }
        let mut keys = vec![Key::Nexthop(number)];
        if let Some(encap) = encap {
            let Some(slot) = self.slots.take(now) else {
                self.waiting.insert(remote);
                return Vec::new();
            };
            self.encaps.insert(slot, encap);
            self.slot_of_number.insert(number, slot);
            keys.push(Key::Encap(slot));
        } else {
            self.slot_of_number.remove(&number);
        }
        if let Some(slot) = old {
            self.encaps.remove(&slot);
            self.slots.put(slot, now);
        }
        keys
    }

    /// Removes the next hops that nothing refers to: (remote endpoint, its next-hop number).
    pub(crate) fn collect(&mut self, now: Instant) -> Vec<(IpAddr, Option<u32>)> {
        let removed = self.remotes.collect(now);
        for (remote, number) in &removed {
            self.waiting.remove(remote);
            if let Some(slot) = number.and_then(|number| self.slot_of_number.remove(&number)) {
                self.encaps.remove(&slot);
                self.slots.put(slot, now);
            }
        }
        removed
    }

    /// The number of a remote endpoint's next hop.
    #[must_use]
    pub(crate) fn number(&self, remote: IpAddr) -> Option<u32> {
        self.remotes.number(&remote)
    }

    /// The entry for a next-hop number.
    #[must_use]
    pub(crate) fn nexthop(&self, number: u32) -> Option<Value> {
        self.slot_of_number.get(&number).map(|slot| Value::Number(*slot))
    }

    /// The entry for a slot.
    #[must_use]
    pub(crate) fn encap(&self, slot: u32) -> Option<Value> {
        self.encaps.get(&slot).map(|encap| Value::Encap(Box::new(*encap)))
    }

    /// The keys of all entries that next hops have.
    pub(crate) fn keys(&self) -> impl Iterator<Item = Key> {
        let slots = self.encaps.keys().map(|slot| Key::Encap(*slot));
        slots.chain(self.slot_of_number.keys().map(|number| Key::Nexthop(*number)))
    }

    /// All remote endpoints: address, number, references, outer header.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (IpAddr, Option<u32>, usize, Option<&Encap>)> {
        self.remotes.iter().map(|(remote, number, references)| {
            let slot = number.and_then(|number| self.slot_of_number.get(&number));
            (*remote, number, references, slot.and_then(|slot| self.encaps.get(slot)))
        })
    }

    /// How many (numbers, slots) are taken: without a leak, as many as there are next hops and headers.
    #[cfg(test)]
    pub(crate) fn taken(&self) -> (usize, usize) {
        (self.remotes.taken(), self.slots.taken())
    }

    /// When a remote endpoint that waits for a number or a slot may get one.
    #[must_use]
    pub(crate) fn timeout(&self) -> Option<Instant> {
        let slots = if self.waiting.is_empty() { None } else { self.slots.exhausted_until() };
        [slots, self.remotes.timeout()].into_iter().flatten().min()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dataplane::pool::GRACE;

    fn remote(last: u8) -> IpAddr {
        IpAddr::from([192, 0, 2, last])
    }

    fn encap(mtu: u32) -> Option<Encap> {
        Some(Encap { mtu, ..Encap::default() })
    }

    #[test]
    fn a_changed_header_goes_to_another_slot() {
        let (mut nexthops, now) = (Nexthops::new(4, 4), Instant::now());
        nexthops.acquire(remote(1));
        assert_eq!(nexthops.assign(now), [remote(1)]);
        assert_eq!(nexthops.set(remote(1), encap(1500), now), [Key::Nexthop(1), Key::Encap(1)]);
        assert_eq!(nexthops.set(remote(1), encap(1500), now), []);
        assert_eq!(nexthops.set(remote(1), encap(1400), now), [Key::Nexthop(1), Key::Encap(2)]);
        assert_eq!(nexthops.nexthop(1), Some(Value::Number(2)));
        assert_eq!(nexthops.set(remote(1), None, now), [Key::Nexthop(1)]);
        assert_eq!(nexthops.nexthop(1), None);
        assert_eq!(nexthops.taken(), (1, 0));
    }

    #[test]
    fn a_header_waits_for_a_slot_when_all_rest() {
        let (mut nexthops, now) = (Nexthops::new(2, 3), Instant::now());
        nexthops.acquire(remote(1));
        nexthops.assign(now);
        nexthops.set(remote(1), encap(1), now);
        nexthops.set(remote(1), encap(2), now);
        assert_eq!(nexthops.set(remote(1), encap(3), now), []);
        assert_eq!(nexthops.timeout(), Some(now + GRACE));
        assert_eq!(nexthops.assign(now + GRACE), [remote(1)]);
        assert_eq!(nexthops.set(remote(1), encap(3), now + GRACE), [Key::Nexthop(1), Key::Encap(1)]);
    }

    #[test]
    fn the_last_reference_frees_the_number() {
        let (mut nexthops, now) = (Nexthops::new(2, 4), Instant::now());
        nexthops.acquire(remote(1));
        nexthops.acquire(remote(1));
        nexthops.acquire(remote(2));
        assert_eq!(nexthops.assign(now), [remote(1)], "there is one number only");
        nexthops.release(remote(1));
        assert_eq!(nexthops.collect(now), []);
        nexthops.release(remote(1));
        assert_eq!(nexthops.collect(now), [(remote(1), Some(1))]);
        assert!(nexthops.assign(now).is_empty());
        assert_eq!(nexthops.assign(now + GRACE), [remote(2)]);
    }
}
