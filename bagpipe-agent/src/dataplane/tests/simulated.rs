//! A kernel that checks, at each write, what programs rely on.

use super::*;

/// A kernel whose maps check, at each write, what programs rely on.
#[derive(Default)]
pub(super) struct Simulated {
    pub(super) maps: BTreeMap<Key, Value>,
    pub(super) capacity: BTreeMap<Map, usize>,
    pub(super) routes: BTreeMap<IpAddr, underlay::Route>,
    pub(super) kept: BTreeSet<NeighborId>,
    pub(super) attached: BTreeSet<u32>,
    /// The maps that were written to.
    pub(super) writes: BTreeSet<Map>,
}

impl Simulated {
    pub(super) fn contents(&self) -> Vec<(Key, Value)> {
        self.maps.iter().map(|(key, value)| (*key, value.clone())).collect()
    }

    pub(super) fn check(&self) {
        for (key, value) in &self.maps {
            match (key, value) {
                (Key::Nexthop(_), Value::Number(slot)) => {
                    assert!(self.maps.contains_key(&Key::Encap(*slot)), "{key} points at an empty slot");
                }
                (Key::Vpn(vpn), Value::Vpn(entry)) => {
                    for (scope, count) in [(0, entry.local_ports), (1, entry.remote_endpoints)] {
                        for index in 0..u32::from(count) {
                            let key = Key::Flood(FloodKey { vpn: *vpn, scope, index });
                            assert!(self.maps.contains_key(&key), "flood list has a hole at {key}");
                        }
                    }
                }
                (Key::Host(_) | Key::Route(_) | Key::Fdb(_), Value::Target(target)) => {
                    self.check_target(key, target);
                }
                (Key::Label(_), Value::Label(label)) if label.id != 0 => {
                    assert!(self.maps.contains_key(&Key::Adjacency(label.id)), "{key} has no adjacency");
                }
                (Key::Classifier(_), Value::Number(first)) => {
                    for (slot, rule) in self.chain(*first) {
                        assert!(rule.is_some(), "{key} leads to no rule in slot {slot}");
                    }
                }
                (Key::PortOfInterface(ifindex), Value::Number(abi::TRUNK)) => {
                    let vlan = |key: &Key| matches!(key, Key::Vlan(vlan) if vlan.ifindex == *ifindex);
                    assert!(self.maps.keys().any(vlan), "{key} has no VLAN");
                }
                (Key::PortOfInterface(_) | Key::Vlan(_), Value::Number(port)) => {
                    assert!(self.maps.contains_key(&Key::Port(*port)), "{key} has no port");
                }
                _ => {}
            }
        }
    }

    pub(super) fn check_target(&self, key: &Key, target: &abi::Target) {
        match TargetKind::of(target.kind) {
            Some(TargetKind::Adjacency) => {
                assert!(self.maps.contains_key(&Key::Adjacency(target.id)), "{key} has no adjacency");
            }
            Some(TargetKind::Group) => {
                for bucket in buckets_of(target.id) {
                    match self.maps.get(&bucket) {
                        Some(Value::Target(hop)) if hop.kind != TargetKind::Group as u8 => {
                            self.check_target(&bucket, hop);
                        }
                        _ => panic!("{key} has no bucket {bucket}"),
                    }
                }
            }
            _ => {}
        }
    }

    /// The slots that rules are in from one on, and those.
    pub(super) fn chain(&self, first: u32) -> Vec<(u32, Option<&abi::Rule>)> {
        let rule = |slot| match self.maps.get(&Key::Rule(slot)) {
            Some(Value::Rule(rule)) => Some(&**rule),
            _ => None,
        };
        let of_slot = |slot| Some((slot, rule(slot))).filter(|_| slot != 0);
        let next = |(_, rule): &(u32, Option<&abi::Rule>)| of_slot(rule.map_or(0, |rule| rule.next));
        std::iter::successors(of_slot(first), next).collect()
    }

    /// Whether programs may read what is written once.
    pub(super) fn is_read(&self, written: &Key) -> bool {
        let reads = |target: &abi::Target| match (written, TargetKind::of(target.kind)) {
            (Key::Adjacency(slot), Some(TargetKind::Adjacency)) => target.id == *slot,
            (Key::Bucket(index), Some(TargetKind::Group)) => target.id == index / GROUP_BUCKETS,
            _ => false,
        };
        self.maps.iter().any(|entry| match (entry, written) {
            ((Key::Nexthop(_), Value::Number(used)), Key::Encap(slot)) => used == slot,
            ((Key::Label(_), Value::Label(label)), Key::Adjacency(slot)) => label.id == *slot,
            ((Key::Classifier(_), Value::Number(first)), Key::Rule(slot)) => {
                self.chain(*first).iter().any(|(used, _)| used == slot)
            }
            ((Key::Host(_) | Key::Route(_), Value::Target(target)), _) => {
                let in_group = target.kind == TargetKind::Group as u8
                    && buckets_of(target.id).any(
                        |bucket| matches!(self.maps.get(&bucket), Some(Value::Target(hop)) if reads(hop)),
                    );
                reads(target) || in_group
            }
            _ => false,
        })
    }
}

impl Kernel for Simulated {
    fn update(&mut self, map: Map, entries: &[(Key, Value)]) -> Result<(), BatchError> {
        for (done, (key, value)) in entries.iter().enumerate() {
            assert_eq!(key.map(), map);
            self.writes.insert(map);
            let size = self.maps.keys().filter(|key| key.map() == map).count();
            if !self.maps.contains_key(key)
                && self.capacity.get(&map).is_some_and(|capacity| size >= *capacity)
            {
                return Err(BatchError { done, error: io::Error::from_raw_os_error(libc::E2BIG) });
            }
            if matches!(key, Key::Encap(_) | Key::Adjacency(_) | Key::Bucket(_) | Key::Rule(_)) {
                assert!(!self.is_read(key), "{} {key} was overwritten in use", key.map());
            }
            self.maps.insert(*key, value.clone());
            // Nothing reads a new group before all of its buckets are there.
            if map != Map::Groups {
                self.check();
            }
        }
        self.check();
        Ok(())
    }

    fn remove(&mut self, map: Map, keys: &[Key]) -> Result<(), BatchError> {
        for (done, key) in keys.iter().enumerate() {
            assert_eq!(key.map(), map);
            if let Key::PortOfInterface(ifindex) = key {
                assert!(!self.attached.contains(ifindex), "the record of a program went before the program");
            }
            if self.maps.remove(key).is_none() && !map.is_array() {
                return Err(BatchError { done, error: io::Error::from_raw_os_error(libc::ENOENT) });
            }
            self.check();
        }
        Ok(())
    }

    fn route(&mut self, remote: IpAddr) -> io::Result<Option<underlay::Route>> {
        Ok(self.routes.get(&remote).copied())
    }

    fn keep_neighbor(&mut self, neighbor: NeighborId, keep: bool) -> io::Result<()> {
        if keep {
            self.kept.insert(neighbor)
        } else {
            self.kept.remove(&neighbor)
        };
        Ok(())
    }

    fn attach_port(&mut self, ifindex: u32) -> io::Result<()> {
        assert!(self.attached.insert(ifindex), "attached twice");
        Ok(())
    }

    fn detach_port(&mut self, ifindex: u32) -> io::Result<()> {
        self.attached.remove(&ifindex);
        Ok(())
    }
}
