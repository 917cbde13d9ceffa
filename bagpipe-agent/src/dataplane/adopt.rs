//! After a restart: what the pinned maps hold becomes desired state again, marked stale until it is confirmed.

use std::collections::{BTreeMap, BTreeSet};

use bagpipe_bgp::types::{MacAddr, Vni};
use bagpipe_common::{self as abi, Encap, FloodScope, TargetKind, neighbor_flags};

use super::entry::{Key, Value, ip_of};
use super::tables::{Object, Tables};
use crate::fib::{Change, Fib, Mac, Neighbor, Port, Target, VpnId};

impl Tables {
    /// Adopts the content of the maps, so far as it belongs to an instance of `known`; the next commit removes
    /// the rest. Interfaces must be known before. How many objects are there now, to be confirmed or swept.
    pub(crate) fn adopt(&mut self, contents: Vec<(Key, Value)>, known: &BTreeSet<VpnId>) -> usize {
        let found = Found::new(&contents);
        self.nexthops.adopt(&found.nexthops());
        for (_, number, _, _) in self.nexthops.iter() {
            self.dirty.extend(number.map(Key::Nexthop));
        }
        let fib = found.fib(known, |ifindex| self.links.get(ifindex).map(|link| link.name.clone()));
        let flood_lists = found.flood_lists(known);
        for ((vpn, scope), members) in flood_lists {
            self.floods.adopt(vpn, scope, members);
        }
        for change in changes(fib) {
            let object = Object::of(&change);
            self.apply(&change);
            self.stale.insert(object);
        }
        self.dirty.extend(contents.iter().map(|(key, _)| key).filter(|key| !matches!(key, Key::Encap(_))));
        self.mirror.extend(contents);
        self.stale.len()
    }
}

/// The content of the maps, by key.
struct Found<'a> {
    entries: BTreeMap<Key, &'a Value>,
}

impl<'a> Found<'a> {
    fn new(contents: &'a [(Key, Value)]) -> Self {
        Self { entries: contents.iter().map(|(key, value)| (*key, value)).collect() }
    }

    /// Next hops that have an outer header: the others have lost the address that they stand for, and with it
    /// all that refers to them its meaning. It did not forward anything either.
    fn nexthops(&self) -> Vec<(u32, u32, Encap)> {
        let mut remotes = BTreeSet::new();
        let mut slots = BTreeSet::new();
        self.entries
            .iter()
            .filter_map(|(key, value)| match (key, value) {
                (Key::Nexthop(number), Value::Number(slot)) => {
                    let encap = self.encap(*slot)?;
                    (slots.insert(*slot) && remotes.insert(encap.remote)).then_some((*number, *slot, encap))
                }
                _ => None,
            })
            .collect()
    }

    fn encap(&self, slot: u32) -> Option<Encap> {
        match self.entries.get(&Key::Encap(slot)) {
            Some(Value::Encap(encap)) => Some(**encap),
            _ => None,
        }
    }

    fn target(&self, target: &abi::Target) -> Option<(Target, bool)> {
        if target.kind == TargetKind::Vxlan as u8 {
            let Some(Value::Number(slot)) = self.entries.get(&Key::Nexthop(target.id)) else { return None };
            let endpoint = ip_of(&self.encap(*slot)?.remote);
            return Some((Target::Vxlan { endpoint, vni: Vni::from_octets(target.vni) }, false));
        }
        Some((Target::Port(target.id), target.kind == TargetKind::PortAnyIp as u8))
    }

    /// The members of each flood list, in their order and each once: a list that was being changed when the
    /// agent ended may hold its last member twice.
    fn flood_lists(&self, known: &BTreeSet<VpnId>) -> BTreeMap<(VpnId, FloodScope), Vec<Target>> {
        let mut lists: BTreeMap<_, Vec<Target>> = BTreeMap::new();
        for (key, value) in &self.entries {
            let (Key::Flood(key), Value::Target(target)) = (key, value) else { continue };
            let scope =
                if key.scope == FloodScope::Local as u16 { FloodScope::Local } else { FloodScope::Remote };
            let Some(Value::Vpn(vpn)) = self.entries.get(&Key::Vpn(key.vpn)) else { continue };
            let count = if scope == FloodScope::Local { vpn.local_ports } else { vpn.remote_endpoints };
            let Some((target, _)) = self.target(target) else { continue };
            if key.index < u32::from(count) && known.contains(&key.vpn) {
                let members = lists.entry((key.vpn, scope)).or_default();
                if !members.contains(&target) {
                    members.push(target);
                }
            }
        }
        lists
    }

    fn fib(&self, known: &BTreeSet<VpnId>, interface_name: impl Fn(u32) -> Option<String>) -> Fib {
        let mut fib = Fib::default();
        for (key, value) in &self.entries {
            match (key, value) {
                (Key::Vni(vni), Value::Number(vpn)) => {
                    if let (Ok(vpn), Some(vni)) = (VpnId::try_from(*vpn), Vni::new(*vni))
                        && known.contains(&vpn)
                    {
                        fib.vpns.insert(vpn, vni);
                    }
                }
                (Key::Port(number), Value::Port(port)) if known.contains(&port.vpn) => {
                    if let Some(interface) = interface_name(port.ifindex) {
                        fib.ports.insert(*number, Port { interface, vpn: port.vpn });
                    }
                }
                (Key::Fdb(key), Value::Target(target)) if known.contains(&key.vpn) => {
                    if let Some((target, any_ip)) = self.target(target) {
                        fib.macs.insert((key.vpn, MacAddr(key.mac)), Mac { target, any_ip });
                    }
                }
                (Key::Neighbor(key), Value::Neighbor(neighbor)) if known.contains(&key.vpn) => {
                    let router = neighbor.flags & neighbor_flags::ROUTER != 0;
                    let port = (neighbor.flags & neighbor_flags::LOCAL != 0)
                        .then_some(u32::from(neighbor.flags & neighbor_flags::PORT));
                    let neighbor = Neighbor { mac: MacAddr(neighbor.mac), router, port };
                    fib.neighbors.insert((key.vpn, ip_of(&key.address)), neighbor);
                }
                (Key::Tunnel(key), Value::Tunnel(tunnel)) if known.contains(&tunnel.vpn) => {
                    fib.endpoints.insert((tunnel.vpn, ip_of(&key.remote)));
                }
                _ => {}
            }
        }
        for ((vpn, _), members) in self.flood_lists(known) {
            fib.floods.extend(members.into_iter().map(|member| (vpn, member)));
        }
        fib
    }
}

/// The changes that make a forwarding state out of nothing.
fn changes(fib: Fib) -> Vec<Change> {
    let mut changes: Vec<Change> =
        fib.vpns.into_iter().map(|(vpn, vni)| Change::Vpn(vpn, Some(vni))).collect();
    changes.extend(fib.ports.into_iter().map(|(port, value)| Change::Port(port, Some(value))));
    changes.extend(fib.macs.into_iter().map(|((vpn, mac), value)| Change::Mac(vpn, mac, Some(value))));
    changes
        .extend(fib.neighbors.into_iter().map(|((vpn, ip), value)| Change::Neighbor(vpn, ip, Some(value))));
    changes.extend(fib.floods.into_iter().map(|(vpn, target)| Change::Flood(vpn, target, true)));
    changes.extend(fib.endpoints.into_iter().map(|(vpn, endpoint)| Change::Endpoint(vpn, endpoint, true)));
    changes
}
