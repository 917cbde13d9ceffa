//! Verification: what the kernel's maps hold against what they should hold.

use std::collections::{BTreeMap, BTreeSet};

use bagpipe_common::{FloodKey, FloodScope, GROUP_BUCKETS, LabelKind, TRUNK, Target, TargetKind, VlanKey};
use serde::Serialize;

use super::entry::{Key, Map};
use super::tables::Tables;
use super::value::Value;

/// An entry that is not what it should be.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Divergence {
    /// Name of the map, or of the program that is not on its interface.
    pub map: &'static str,
    /// The key, for people.
    pub key: String,
    /// What should be there.
    pub expected: Option<String>,
    /// What is there.
    pub found: Option<String>,
}

impl Divergence {
    fn new(key: &Key, expected: Option<String>, found: Option<&Value>) -> Self {
        let found = found.map(ToString::to_string);
        Self { map: key.map().name(), key: key.to_string(), expected, found }
    }

    /// A program is not where it should be.
    pub(super) fn program(name: &'static str, ifindex: u32) -> Self {
        Self {
            map: name,
            key: format!("ifindex {ifindex}"),
            expected: Some("attached".to_owned()),
            found: None,
        }
    }
}

impl Tables {
    /// Compares the content of the maps with the desired state. Entries that found no space are not divergences:
    /// they are known, see [`super::health`].
    #[must_use]
    pub(crate) fn verify(&self, contents: &[(Key, Value)]) -> Vec<Divergence> {
        let found: BTreeMap<Key, &Value> = contents.iter().map(|(key, value)| (*key, value)).collect();
        let expected: BTreeSet<Key> = self.keys().collect();
        let mut divergences = Vec::new();
        for key in &expected {
            let Ok(value) = self.desired(key) else { continue };
            if value.as_ref() != found.get(key).copied() && !self.failed.contains_key(key) {
                let value = value.map(|value| value.to_string());
                divergences.push(Divergence::new(key, value, found.get(key).copied()));
            }
        }
        for (key, value) in &found {
            // Programs do not read slots that nothing points at, nor flood entries past the count.
            let unread = match key {
                Key::Encap(_) | Key::Adjacency(_) | Key::Bucket(_) | Key::Rule(_) => true,
                Key::Flood(key) => self.floods.is_leaving(key),
                _ => false,
            };
            if !expected.contains(key) && !unread {
                divergences.push(Divergence::new(key, None, Some(value)));
            }
        }
        divergences
    }
}

/// Checks that the maps agree with each other, without knowing what they should hold: for when there is no agent.
#[must_use]
pub(crate) fn check_consistency(contents: &[(Key, Value)]) -> Vec<Divergence> {
    let found: BTreeMap<Key, &Value> = contents.iter().map(|(key, value)| (*key, value)).collect();
    let check = Consistency { found: &found };
    found.iter().filter_map(|(key, value)| check.entry(key, value)).collect()
}

struct Consistency<'a> {
    found: &'a BTreeMap<Key, &'a Value>,
}

impl Consistency<'_> {
    fn entry(&self, key: &Key, value: &Value) -> Option<Divergence> {
        let problem = match (key, value) {
            (Key::Nexthop(_), Value::Number(slot)) if !self.has(Key::Encap(*slot)) => {
                Some(format!("an outer header in slot {slot}"))
            }
            (Key::Port(_), Value::Port(port)) if !self.has(Key::Vpn(port.vpn)) => {
                Some(format!("instance {} in {}", port.vpn, Map::Vpns))
            }
            (Key::Fdb(fdb), Value::Target(target)) => self.target(fdb.vpn, target),
            (Key::Host(host), Value::Target(target)) => self.target(host.vpn, target),
            (Key::Route(route), Value::Target(target)) => {
                self.target(u16::from_be_bytes(route.prefix.vpn), target)
            }
            (Key::Classifier(_), Value::Number(slot)) if !self.has(Key::Rule(*slot)) => {
                Some(format!("a rule in slot {slot}"))
            }
            (Key::Label(_), Value::Label(label)) if label.kind == LabelKind::Adjacency as u8 => {
                self.adjacency(label.id)
            }
            (Key::Flood(flood), Value::Target(target)) if self.is_read(flood) => {
                self.target(flood.vpn, target)
            }
            (Key::Vpn(vpn), Value::Vpn(entry)) => self.vpn(*vpn, entry),
            (Key::Vni(vni), Value::Number(vpn)) => {
                let entry = u16::try_from(*vpn).ok().and_then(|vpn| self.found.get(&Key::Vpn(vpn)));
                let same = matches!(entry, Some(Value::Vpn(entry)) if entry.vni == *vni);
                (!same).then(|| format!("instance {vpn} to have this VNI"))
            }
            (Key::Tunnel(tunnel), Value::Tunnel(entry)) => {
                let of_vni = self.found.get(&Key::Vni(tunnel.vni));
                let same = of_vni == Some(&&Value::Number(u32::from(entry.vpn)));
                (!same).then(|| format!("vni {} to be of instance {}", tunnel.vni, entry.vpn))
            }
            (Key::PortOfInterface(_), Value::Number(TRUNK)) => None,
            (Key::PortOfInterface(ifindex) | Key::Vlan(VlanKey { ifindex, .. }), Value::Number(port)) => {
                let entry = self.found.get(&Key::Port(*port));
                let same = matches!(entry, Some(Value::Port(entry)) if entry.ifindex == *ifindex);
                (!same).then(|| format!("port {port} to have this interface"))
            }
            _ => None,
        };
        problem.map(|problem| Divergence::new(key, Some(problem), Some(value)))
    }

    /// Whether an entry of a flood list is before the list's end. One behind it may be left of an agent that ended
    /// before its grace did.
    fn is_read(&self, key: &FloodKey) -> bool {
        let count = match self.found.get(&Key::Vpn(key.vpn)) {
            Some(Value::Vpn(vpn)) if key.scope == FloodScope::Local as u16 => vpn.local_ports,
            Some(Value::Vpn(vpn)) => vpn.remote_endpoints,
            _ => 0,
        };
        key.index < u32::from(count)
    }

    fn has(&self, key: Key) -> bool {
        self.found.contains_key(&key)
    }

    /// A port must be there, and of the same instance. A next hop may have no outer header: then the remote
    /// endpoint has no route.
    fn target(&self, vpn: u16, target: &Target) -> Option<String> {
        match TargetKind::of(target.kind) {
            Some(TargetKind::Port | TargetKind::PortAnyIp) => self.port(vpn, target.id),
            Some(TargetKind::Vxlan | TargetKind::Mpls | TargetKind::MplsGre | TargetKind::MplsUdp) => {
                (target.id == 0).then(|| "a next hop other than 0".to_owned())
            }
            Some(TargetKind::Adjacency) => self.adjacency(target.id),
            Some(TargetKind::Group) => self.group(vpn, target.id),
            Some(TargetKind::Router) => None,
            None => Some("a known kind of target".to_owned()),
        }
    }

    fn adjacency(&self, slot: u32) -> Option<String> {
        match self.found.get(&Key::Adjacency(slot)) {
            Some(Value::Adjacency(adjacency)) => self.target(adjacency.vpn, &adjacency.target),
            _ => Some(format!("adjacency {slot}")),
        }
    }

    fn group(&self, vpn: u16, number: u32) -> Option<String> {
        let first = number.saturating_mul(GROUP_BUCKETS);
        (first..first.saturating_add(GROUP_BUCKETS)).find_map(|index| {
            match self.found.get(&Key::Bucket(index)) {
                Some(Value::Target(target)) if target.kind != TargetKind::Group as u8 => {
                    self.target(vpn, target)
                }
                _ => Some(format!("bucket {} of group {number}", index - first)),
            }
        })
    }

    fn port(&self, vpn: u16, number: u32) -> Option<String> {
        let entry = self.found.get(&Key::Port(number));
        let same = matches!(entry, Some(Value::Port(port)) if port.vpn == vpn);
        (!same).then(|| format!("port {number} to be of instance {vpn}"))
    }

    fn vpn(&self, vpn: u16, entry: &bagpipe_common::Vpn) -> Option<String> {
        let counts = [(0, entry.local_ports), (1, entry.remote_endpoints)];
        let missing = counts.into_iter().find_map(|(scope, count)| {
            (0..u32::from(count))
                .map(|index| FloodKey { vpn, scope, index })
                .find(|key| !self.has(Key::Flood(*key)))
        });
        missing.map(|key| format!("member {} of its flood list {}", key.index, key.scope))
    }
}
