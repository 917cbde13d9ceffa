//! The tables over a simulated kernel: any sequence of changes and events ends in what a fresh computation gives,
//! and at no moment on the way there is a dangling reference.

mod entries;
mod histories;
mod restarts;
mod simulated;

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::net::IpAddr;
use std::time::{Duration, Instant};

use bagpipe_bgp::types::{EthernetSegmentId, IpPrefix, IpVersion, Label, MacAddr, Vni};
use bagpipe_common::{self as abi, Encap, FloodKey, GROUP_BUCKETS, TargetKind, VlanKey};
use proptest::prelude::*;

use self::simulated::Simulated;
use super::address::ip_of;
use super::adopt::changes;
use super::entry::{Key, Map};
use super::kernel::Kernel;
use super::links::Link;
use super::pool::GRACE;
use super::sys::BatchError;
use super::tables::{Failure, Tables};
use super::underlay::{self, NeighborId, Underlay};
use super::value::Value;
use super::verify::check_consistency;
use crate::fib::{
    Adjacency, Change, Fib, Hop, LabelUse, Mac, MplsForm, Neighbor, Port, Route, Router, Rule, Segment,
    Target, VpnId,
};

/// A node: tables, their kernel, and what both are told, to be told again after a restart.
struct Node {
    tables: Tables,
    kernel: Simulated,
    now: Instant,
    fib: Fib,
    links: BTreeMap<u32, Link>,
    neighbors: BTreeMap<NeighborId, MacAddr>,
}

impl Node {
    fn new() -> Self {
        let mut node = Self {
            tables: tables(),
            kernel: Simulated::default(),
            now: Instant::now(),
            fib: Fib::default(),
            links: BTreeMap::new(),
            neighbors: BTreeMap::new(),
        };
        node.link(2, "eth0", 1500);
        node
    }

    fn apply(&mut self, change: &Change) {
        self.fib.apply(change);
        self.tables.apply(change);
    }

    fn link(&mut self, index: u32, name: &str, mtu: u32) {
        let mac = Some(MacAddr([2, 0, 0, 0, 0, index.to_le_bytes()[0]]));
        let link = Link { index, name: name.to_owned(), mac, mtu, up: true, ..Link::default() };
        self.links.insert(index, link.clone());
        self.tables.set_link(link);
    }

    fn commit(&mut self) -> Result<(), Failure> {
        self.tables.commit(&mut self.kernel, self.now)
    }

    /// The agent is gone and comes back: maps and programs stay, everything else is told again.
    fn restart(&mut self) {
        self.tables = tables();
        self.kernel.attached.clear();
        self.kernel.kept.clear();
        self.observe();
        let known = self.fib.vpns.keys().copied().collect();
        self.tables.adopt(self.kernel.contents(), &known);
    }

    fn observe(&mut self) {
        for link in self.links.values() {
            self.tables.set_link(link.clone());
        }
        for (neighbor, mac) in &self.neighbors {
            self.tables.underlay.neighbor(*neighbor, Some(underlay::Neighbor { mac: *mac, fixed: false }));
        }
    }

    /// The same state, told to new tables over an empty kernel.
    fn fresh(&self) -> Self {
        let routes = self.kernel.routes.clone();
        let mut node = Self {
            tables: tables(),
            kernel: Simulated { routes, ..Simulated::default() },
            now: self.now,
            fib: self.fib.clone(),
            links: self.links.clone(),
            neighbors: self.neighbors.clone(),
        };
        node.observe();
        for change in changes(self.fib.clone()) {
            node.tables.apply(&change);
        }
        node.commit().unwrap();
        node
    }

    /// What the maps mean: numbers that may differ are replaced by what they stand for.
    fn meaning(&self) -> BTreeSet<String> {
        let maps = &self.kernel.maps;
        let encap = |number: u32| match maps.get(&Key::Nexthop(number)) {
            Some(Value::Number(slot)) => maps.get(&Key::Encap(*slot)).map(ToString::to_string),
            _ => None,
        };
        let count = |key: &FloodKey| match maps.get(&Key::Vpn(key.vpn)) {
            Some(Value::Vpn(vpn)) => {
                u32::from(if key.scope == 0 { vpn.local_ports } else { vpn.remote_endpoints })
            }
            _ => 0,
        };
        let frame = |target: &abi::Target| match TargetKind::of(target.kind) {
            Some(TargetKind::Vxlan | TargetKind::Mpls | TargetKind::MplsGre | TargetKind::MplsUdp) => {
                format!("{} {:?} {:?}", target.kind, target.vni, encap(target.id))
            }
            _ => Value::Target(*target).to_string(),
        };
        let adjacency = |slot: u32| match maps.get(&Key::Adjacency(slot)) {
            Some(Value::Adjacency(entry)) => {
                format!("{} {:?} {:?} {}", entry.vpn, entry.destination, entry.source, frame(&entry.target))
            }
            other => format!("{other:?}"),
        };
        let hop = |target: &abi::Target| match TargetKind::of(target.kind) {
            Some(TargetKind::Adjacency) => adjacency(target.id),
            _ => frame(target),
        };
        let text = |value: &Value| match value {
            Value::Target(target) if target.kind == TargetKind::Group as u8 => {
                let hops = buckets_of(target.id).filter_map(|bucket| match maps.get(&bucket) {
                    Some(Value::Target(target)) => Some(hop(target)),
                    _ => None,
                });
                format!("{:?}", hops.collect::<BTreeSet<_>>())
            }
            Value::Target(target) => hop(target),
            Value::Label(label) if label.id != 0 => format!("{} {}", label.vpn, adjacency(label.id)),
            value => value.to_string(),
        };
        maps.iter()
            .filter_map(|(key, value)| match key {
                Key::Encap(_) | Key::Nexthop(_) | Key::Adjacency(_) | Key::Bucket(_) | Key::Rule(_) => None,
                Key::Classifier(vpn) => {
                    let Value::Number(first) = value else { return None };
                    let rule = |rule: &abi::Rule| Value::Rule(Box::new(abi::Rule { next: 0, ..*rule }));
                    let chain = self.kernel.chain(*first);
                    let rules = chain.iter().map(|(_, found)| found.map(|found| rule(found).to_string()));
                    Some(format!("rules of {vpn} {:?}", rules.collect::<Vec<_>>()))
                }
                Key::Flood(key) if key.index >= count(key) => None,
                Key::Flood(key) => Some(format!("flood {} {} {}", key.vpn, key.scope, text(value))),
                key => Some(format!("{} {key} {}", key.map(), text(value))),
            })
            .collect()
    }

    fn check(&mut self) {
        self.commit().unwrap();
        assert_eq!(self.tables.verify(&self.kernel.contents()), [], "what is written is what is desired");
        assert_eq!(self.meaning(), self.fresh().meaning(), "and what a fresh computation gives");
        let nexthops: Vec<_> = self.tables.nexthops.iter().collect();
        let headers = nexthops.iter().filter(|(.., encap)| encap.is_some()).count();
        assert_eq!(self.tables.nexthops.taken(), (nexthops.len(), headers), "no number or slot leaks");
        assert!(nexthops.iter().all(|(_, _, references, _)| *references > 0), "nothing unused is kept");
        assert_eq!(
            self.tables.adjacencies.taken(),
            self.tables.adjacencies.numbers().count(),
            "no slot leaks"
        );
        assert_eq!(self.tables.rules.taken(), self.tables.rules.numbers().count(), "no slot of a rule leaks");
        let buckets = self.tables.groups.taken() * GROUP_BUCKETS as usize;
        assert_eq!(buckets, self.tables.groups.keys().count(), "no group leaks");
        let gateway = |(remote, ..): &(IpAddr, _, _, _)| {
            self.kernel.routes.get(remote).map(|route| (route.ifindex, route.gateway.unwrap_or(*remote)))
        };
        assert_eq!(
            self.kernel.kept,
            nexthops.iter().filter_map(gateway).collect(),
            "gateways in use are kept"
        );
        let ports = self.kernel.maps.keys().filter_map(|key| match key {
            Key::PortOfInterface(ifindex) => Some(*ifindex),
            _ => None,
        });
        assert_eq!(self.kernel.attached, ports.collect(), "programs are where the ports are");
    }
}

fn tables() -> Tables {
    let locals = vec!["10.0.0.1".parse().unwrap()];
    Tables::new(Underlay::new(locals, BTreeSet::from(["eth0".to_owned()])))
}

fn remote(number: u8) -> IpAddr {
    IpAddr::from([10, 0, 1, number])
}

fn gateway(number: u8) -> IpAddr {
    IpAddr::from([10, 0, 0, 250 + number])
}

fn vni(number: u32) -> Vni {
    Vni::new(number).unwrap()
}

fn mac(last: u8) -> MacAddr {
    MacAddr([2, 0, 0, 0, 1, last])
}

fn remote_mac(vpn: VpnId, last: u8, endpoint: u8) -> Change {
    let target = Target::Vxlan { endpoint: remote(endpoint), vni: vni(100) };
    Change::Mac(vpn, mac(last), Some(Mac { target, any_ip: false }))
}

/// What is in the buckets that the first entry of a kind leads to.
fn buckets_from(node: &Node, kind: impl Fn(&Key) -> bool) -> Vec<String> {
    let entry = node.kernel.maps.iter().find(|(key, _)| kind(key));
    let Some((_, Value::Target(target))) = entry else { panic!("{entry:?} leads to no group") };
    buckets_of(target.id).map(|key| node.kernel.maps[&key].to_string()).collect()
}

fn buckets_of(group: u32) -> impl Iterator<Item = Key> {
    (group * GROUP_BUCKETS..(group + 1) * GROUP_BUCKETS).map(Key::Bucket)
}
