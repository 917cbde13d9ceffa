//! Writing: what differs between desired state and what has been written goes to the kernel, in batches and in
//! an order in which no reference is ever dangling.

use std::collections::BTreeSet;
use std::io;
use std::time::Instant;

use super::entry::{Key, Map};
use super::kernel::Kernel;
use super::tables::{Failure, Tables};
use super::value::Value;

impl Tables {
    /// Writes everything that changed. Entries that find no space are remembered and tried again when there is
    /// some; everything else is written nevertheless.
    ///
    /// # Errors
    /// The first entry that could not be written although none of its kind had failed before.
    pub(crate) fn commit(&mut self, kernel: &mut impl Kernel, now: Instant) -> Result<(), Failure> {
        self.dirty.extend(self.floods.settle(now));
        self.dirty.extend(self.floods.left(now));
        self.resolve(kernel, now);
        let mut keys = std::mem::take(&mut self.dirty);
        keys.sort_unstable();
        keys.dedup();
        let removals = self.write(kernel, &keys);
        self.remove(kernel, &removals);
        // What nothing refers to any longer goes after the last reference has gone.
        let unused = self.collect(now);
        self.remove(kernel, &unused);
        if std::mem::take(&mut self.retry) {
            let failed: Vec<Key> = self.failed.keys().copied().collect();
            let removals = self.write(kernel, &failed);
            self.remove(kernel, &removals);
            keys.extend(failed);
        }
        self.attach(kernel, &keys);
        for (neighbor, keep) in self.underlay.take_keep() {
            if let Err(error) = kernel.keep_neighbor(neighbor, keep) {
                tracing::debug!(ifindex = neighbor.0, address = %neighbor.1, %error, "can't have neighbour kept");
            }
        }
        self.setback.take().map_or(Ok(()), Err)
    }

    /// When to commit again although nothing changed.
    #[must_use]
    pub(crate) fn timeout(&self) -> Option<Instant> {
        let timeouts = [
            self.floods.timeout(),
            self.nexthops.timeout(),
            self.adjacencies.timeout(),
            self.groups.timeout(),
            self.rules.timeout(),
        ];
        timeouts.into_iter().flatten().min()
    }

    /// Gives next hops, adjacencies and groups numbers, asks for routes, and takes the outer headers that result.
    fn resolve(&mut self, kernel: &mut impl Kernel, now: Instant) {
        let remotes = self.nexthops.assign(now);
        let mut numbered = self.groups.assign(now);
        numbered.extend(self.adjacencies.assign(now).into_iter().map(|(slot, _)| Key::Adjacency(slot)));
        numbered.extend(self.rules.assign(now).into_iter().map(|(slot, _)| Key::Rule(slot)));
        if !remotes.is_empty() || !numbered.is_empty() {
            self.dirty.extend(self.failed.keys());
            self.dirty.extend(numbered);
        }
        for remote in remotes {
            self.underlay.follow(remote);
        }
        for remote in self.underlay.take_unrouted() {
            match kernel.route(remote) {
                Ok(route) => self.underlay.set_route(remote, route),
                Err(error) => tracing::warn!(%remote, %error, "can't ask the kernel for the route"),
            }
        }
        for remote in self.underlay.take_changed() {
            let encap = self.underlay.encap(remote, &self.links);
            self.dirty.extend(self.nexthops.set(remote, encap, now));
        }
    }

    /// Writes what is desired for these keys, which are in writing order, map by map; the keys of entries that are to be
    /// removed, which are taken as removed.
    fn write(&mut self, kernel: &mut impl Kernel, keys: &[Key]) -> Vec<Key> {
        let mut removals = Vec::new();
        let mut rest = keys;
        for map in Map::ALL {
            // Keys are in writing order, as the maps are.
            let (of_map, behind) = rest.split_at(rest.partition_point(|key| key.map() <= map));
            rest = behind;
            let mut batch = Vec::new();
            let flooded: BTreeSet<Key> = match map {
                // A flood list is only as long as its members could be written.
                Map::Vpns => keys.iter().chain(self.failed.keys()).filter_map(flood_vpn).collect(),
                _ => BTreeSet::new(),
            };
            let others = of_map.iter().filter(|key| !flooded.contains(key));
            for key in others.chain(&flooded) {
                match self.desired(key) {
                    Ok(Some(value)) if self.mirror.get(key) != Some(&value) => batch.push((*key, value)),
                    Ok(Some(_)) => drop(self.failed.remove(key)),
                    Ok(None) => {
                        self.failed.remove(key);
                        removals.extend(self.forget(*key));
                    }
                    Err(failure) => {
                        self.fail(*key, failure);
                        removals.extend(self.forget(*key));
                    }
                }
            }
            self.update(kernel, map, batch);
        }
        removals.sort_unstable();
        removals
    }

    fn update(&mut self, kernel: &mut impl Kernel, map: Map, mut batch: Vec<(Key, Value)>) {
        while !batch.is_empty() {
            let (done, error) = match kernel.update(map, &batch) {
                Ok(()) => (batch.len(), None),
                Err(error) => (error.done.min(batch.len()), Some(error.error)),
            };
            for (key, value) in batch.drain(..done) {
                self.failed.remove(&key);
                self.mirror.insert(key, value);
            }
            if let Some(error) = error
                && !batch.is_empty()
            {
                let (key, _) = batch.remove(0);
                let failure = failure(map, &error);
                // An old value must not stay where the new one could not be written.
                if self.forget(key).is_some() {
                    self.remove(kernel, &[key]);
                } else if matches!(failure, Failure::Full { .. }) {
                    // There is none for the other new ones either.
                    let (old, new): (Vec<_>, Vec<_>) =
                        batch.into_iter().partition(|(key, _)| self.mirror.contains_key(key));
                    batch = old;
                    for (key, _) in new {
                        self.fail(key, failure.clone());
                    }
                }
                self.fail(key, failure);
            }
        }
    }

    fn fail(&mut self, key: Key, failure: Failure) {
        if self.failed.insert(key, failure.clone()).is_none() {
            self.setback.get_or_insert(failure);
        }
    }

    /// Takes an entry as removed, if it was there.
    fn forget(&mut self, key: Key) -> Option<Key> {
        self.mirror.remove(&key).map(|_| key)
    }

    /// Removes entries that were forgotten, the last in writing order first.
    fn remove(&mut self, kernel: &mut impl Kernel, keys: &[Key]) {
        let reversed: Vec<Key> = keys.iter().rev().copied().collect();
        self.detach(kernel, &reversed);
        for chunk in reversed.chunk_by(|a, b| a.map() == b.map()) {
            let Some(map) = chunk.first().map(Key::map) else { continue };
            let mut rest = chunk;
            while !rest.is_empty() {
                let (done, error) = match kernel.remove(map, rest) {
                    Ok(()) => (rest.len(), None),
                    Err(error) => (error.done.min(rest.len()), Some(error.error)),
                };
                // An element that is already away is as removed as it can be; any other error as well, since
                // the keys are valid: it is told, and verification finds what is left.
                if let Some(error) = &error
                    && error.raw_os_error() != Some(libc::ENOENT)
                {
                    tracing::error!(%map, %error, "can't remove an entry");
                }
                let (gone, left) = rest.split_at((done + usize::from(error.is_some())).min(rest.len()));
                self.retry |= !gone.is_empty() && self.failed.keys().any(|key| key.map() == map);
                rest = left;
            }
        }
    }

    /// Ends next hops that nothing refers to; the keys of their entries.
    fn collect(&mut self, now: Instant) -> Vec<Key> {
        self.groups.collect(now);
        self.adjacencies.collect(now);
        self.rules.collect(now);
        let mut keys = Vec::new();
        for (remote, number) in self.nexthops.collect(now) {
            self.underlay.forget(remote);
            keys.extend(number.and_then(|number| self.forget(Key::Nexthop(number))));
        }
        keys.sort_unstable();
        keys
    }

    /// Takes the port program off interfaces whose entry is about to go: the entry is the record of the program, so it
    /// goes after it.
    fn detach(&mut self, kernel: &mut impl Kernel, keys: &[Key]) {
        for key in keys {
            let Key::PortOfInterface(ifindex) = key else { continue };
            self.unattached.remove(ifindex);
            if self.attached.remove(ifindex)
                && let Err(error) = kernel.detach_port(*ifindex)
            {
                tracing::warn!(ifindex, %error, "can't take the program off an interface");
            }
        }
    }

    /// Puts the port program on interfaces that have got a port: after the maps, so that a new port starts complete.
    fn attach(&mut self, kernel: &mut impl Kernel, keys: &[Key]) {
        for key in keys {
            let Key::PortOfInterface(ifindex) = key else { continue };
            if !self.mirror.contains_key(key) || self.attached.contains(ifindex) {
                continue;
            }
            match kernel.attach_port(*ifindex) {
                Ok(()) => {
                    self.attached.insert(*ifindex);
                    self.unattached.remove(ifindex);
                }
                Err(error) => {
                    let name = self.links.get(*ifindex).map_or("?", |link| &link.name);
                    let failure =
                        Failure::Unattached { interface: name.to_owned(), error: error.to_string() };
                    if self.unattached.insert(*ifindex, failure.clone()).is_none() {
                        self.setback.get_or_insert(failure);
                    }
                }
            }
        }
    }
}

fn failure(map: Map, error: &io::Error) -> Failure {
    match error.raw_os_error() {
        Some(libc::E2BIG | libc::ENOMEM | libc::ENOSPC) => Failure::Full { map },
        _ => Failure::Refused { map, error: error.to_string() },
    }
}

fn flood_vpn(key: &Key) -> Option<Key> {
    match key {
        Key::Flood(key) => Some(Key::Vpn(key.vpn)),
        _ => None,
    }
}
