//! The tables over a simulated kernel: any sequence of changes and events ends in what a fresh computation gives,
//! and at no moment on the way there is a dangling reference.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::net::IpAddr;
use std::time::{Duration, Instant};

use bagpipe_bgp::types::{EthernetSegmentId, IpPrefix, IpVersion, Label, MacAddr, Vni};
use bagpipe_common::{self as abi, Encap, FloodKey, GROUP_BUCKETS, TargetKind, VlanKey};
use proptest::prelude::*;

use super::address::ip_of;
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

/// A kernel whose maps check, at each write, what programs rely on.
#[derive(Default)]
struct Simulated {
    maps: BTreeMap<Key, Value>,
    capacity: BTreeMap<Map, usize>,
    routes: BTreeMap<IpAddr, underlay::Route>,
    kept: BTreeSet<NeighborId>,
    attached: BTreeSet<u32>,
    /// The maps that were written to.
    writes: BTreeSet<Map>,
}

impl Simulated {
    fn contents(&self) -> Vec<(Key, Value)> {
        self.maps.iter().map(|(key, value)| (*key, value.clone())).collect()
    }

    fn check(&self) {
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

    fn check_target(&self, key: &Key, target: &abi::Target) {
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
    fn chain(&self, first: u32) -> Vec<(u32, Option<&abi::Rule>)> {
        let rule = |slot| match self.maps.get(&Key::Rule(slot)) {
            Some(Value::Rule(rule)) => Some(&**rule),
            _ => None,
        };
        let of_slot = |slot| Some((slot, rule(slot))).filter(|_| slot != 0);
        let next = |(_, rule): &(u32, Option<&abi::Rule>)| of_slot(rule.map_or(0, |rule| rule.next));
        std::iter::successors(of_slot(first), next).collect()
    }

    /// Whether programs may read what is written once.
    fn is_read(&self, written: &Key) -> bool {
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
        for change in changes(&self.fib) {
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

fn changes(fib: &Fib) -> Vec<Change> {
    let mut all: Vec<Change> = fib.vpns.iter().map(|(vpn, vni)| Change::Vpn(*vpn, Some(*vni))).collect();
    all.extend(fib.ports.iter().map(|(port, value)| Change::Port(*port, Some(value.clone()))));
    all.extend(
        fib.segments.iter().map(|(segment, targets)| Change::Segment(*segment, Some(targets.clone()))),
    );
    all.extend(fib.macs.iter().map(|((vpn, mac), value)| Change::Mac(*vpn, *mac, Some(*value))));
    all.extend(fib.neighbors.iter().map(|((vpn, ip), value)| Change::Neighbor(*vpn, *ip, Some(*value))));
    all.extend(fib.floods.iter().map(|(vpn, target)| Change::Flood(*vpn, *target, true)));
    all.extend(fib.endpoints.iter().map(|(vpn, endpoint)| Change::Endpoint(*vpn, *endpoint, true)));
    all.extend(fib.routers.iter().map(|(vpn, router)| Change::Router(*vpn, Some(*router))));
    all.extend(
        fib.routes.iter().map(|((vpn, prefix), route)| Change::Route(*vpn, *prefix, Some(route.clone()))),
    );
    all.extend(fib.classifiers.iter().map(|(vpn, rules)| Change::Classifier(*vpn, Some(rules.clone()))));
    all.extend(fib.labels.iter().map(|(label, meaning)| Change::Label(*label, Some(*meaning))));
    all
}

fn buckets_of(group: u32) -> impl Iterator<Item = Key> {
    (group * GROUP_BUCKETS..(group + 1) * GROUP_BUCKETS).map(Key::Bucket)
}

#[derive(Clone, Debug)]
enum Step {
    Change(Change),
    Link { port: u32, index: u32, mtu: u32 },
    NoLink { index: u32 },
    UnderlayMtu(u32),
    Neighbor { gateway: u8, mac: Option<u8> },
    Route { remote: u8, gateway: Option<u8>, mtu: Option<u32> },
    NoRoute { remote: u8 },
    Commit { milliseconds: u64 },
    Restart { confirmed: u8 },
}

fn target() -> impl Strategy<Value = Target> {
    prop_oneof![
        (1..4_u32).prop_map(Target::Port),
        (1..5_u8, 100..102_u32).prop_map(|(number, number_of_vni)| Target::Vxlan {
            endpoint: remote(number),
            vni: vni(number_of_vni)
        }),
    ]
}

fn adjacency() -> impl Strategy<Value = Adjacency> {
    (1..4_u16, 0..2_u8, target()).prop_map(|(vpn, last, target)| Adjacency {
        vpn,
        destination: mac(last),
        source: mac(9),
        target,
    })
}

fn hop() -> impl Strategy<Value = Hop> {
    let form = prop_oneof![Just(MplsForm::Ethernet), Just(MplsForm::Gre), Just(MplsForm::Udp)];
    prop_oneof![
        4 => adjacency().prop_map(Hop::Adjacency),
        4 => (1..5_u8, 16..18_u32, form).prop_map(|(number, label, form)| Hop::Labelled(Target::Mpls {
            endpoint: remote(number),
            label: Label::new(label).unwrap(),
            form,
        })),
        1 => Just(Hop::Router),
    ]
}

fn prefix() -> impl Strategy<Value = IpPrefix> {
    prop::sample::select(vec![
        "10.0.0.1/32",
        "10.0.0.0/8",
        "0.0.0.0/0",
        "::/0",
        "2001:db8::/32",
        "2001:db8::1/128",
    ])
    .prop_map(|text| text.parse().unwrap())
}

fn segment() -> impl Strategy<Value = Segment> {
    (1..4_u16, 1..3_u8).prop_map(|(vpn, number)| Segment { vpn, esi: EthernetSegmentId([number; 10]) })
}

/// A segment and its remote endpoints, or a MAC address on it.
fn segment_change() -> impl Strategy<Value = Change> {
    let vxlan = |number| Target::Vxlan { endpoint: remote(number), vni: vni(100) };
    let targets = prop::collection::btree_set(1..5_u8, 1..4)
        .prop_map(move |numbers| numbers.into_iter().map(vxlan).collect());
    prop_oneof![
        (segment(), prop::option::weighted(0.8, targets))
            .prop_map(|(segment, targets)| Change::Segment(segment, targets)),
        (segment(), 0..4_u8).prop_map(|(segment, last)| {
            let value = Mac { target: Target::Segment(segment), any_ip: false };
            Change::Mac(segment.vpn, mac(last), Some(value))
        }),
    ]
}

/// Whether what a change refers to is there, and what it removes is not in use.
fn is_sound(change: &Change, fib: &Fib) -> bool {
    match change {
        Change::Mac(_, _, Some(Mac { target: Target::Segment(segment), .. })) => {
            fib.segments.contains_key(segment)
        }
        Change::Segment(segment, None) => {
            !fib.macs.values().any(|mac| mac.target == Target::Segment(*segment))
        }
        _ => true,
    }
}

fn routing_change() -> impl Strategy<Value = Change> {
    let vpn = || 1..4_u16;
    let route =
        prop::collection::btree_set(hop(), 1..5).prop_map(|hops| Route { hops: hops.into_iter().collect() });
    let meaning = prop_oneof![
        (vpn(), adjacency()).prop_map(|(vpn, adjacency)| LabelUse::Adjacency(vpn, adjacency)),
        vpn().prop_map(LabelUse::Router),
        vpn().prop_map(LabelUse::Bridge),
    ];
    let router = (any::<bool>(), any::<bool>()).prop_map(|(has_address, proxy)| Router {
        ipv4: has_address.then_some([10, 0, 0, 254].into()),
        ipv6: None,
        proxy,
    });
    prop_oneof![
        6 => (vpn(), prefix(), prop::option::weighted(0.8, route))
            .prop_map(|(vpn, prefix, route)| Change::Route(vpn, prefix, route)),
        2 => (16..20_u32, prop::option::weighted(0.8, meaning))
            .prop_map(|(label, meaning)| Change::Label(Label::new(label).unwrap(), meaning)),
        1 => (vpn(), prop::option::of(router)).prop_map(|(vpn, router)| Change::Router(vpn, router)),
    ]
}

fn rule() -> impl Strategy<Value = Rule> {
    let is_of = |version, prefix: &IpPrefix| prefix.version() == version;
    let ports = || prop::option::of(prop::sample::select(vec![(80, 80), (80, 90), (0, u16::MAX)]));
    let prefixes = (prop::option::of(prefix()), prop::option::of(prefix()));
    (any::<bool>(), prefixes, prop::option::of(6..8_u8), ports(), ports(), 1..4_u16).prop_map(
        move |(is_v4, (source, destination), protocol, source_ports, destination_ports, vrf)| {
            let version = if is_v4 { IpVersion::V4 } else { IpVersion::V6 };
            Rule {
                version,
                source: source.filter(|prefix| is_of(version, prefix)),
                destination: destination.filter(|prefix| is_of(version, prefix)),
                protocol,
                source_ports,
                destination_ports,
                vrf,
            }
        },
    )
}

/// Lists of few rules, so that many end alike.
fn classifier_change() -> impl Strategy<Value = Change> {
    let rules = prop::collection::vec(rule(), 1..4).prop_map(Into::into);
    (1..4_u16, prop::option::weighted(0.8, rules)).prop_map(|(vpn, rules)| Change::Classifier(vpn, rules))
}

/// Ports 1 to 3 have an interface each; on that of port 3 there are two VLANs. By 6 and 7 packets only leave.
fn place(port: u32) -> String {
    match port {
        6 => "tap1".to_owned(),
        7 => "tap3:4".to_owned(),
        4 | 5 => format!("tap3:{port}"),
        _ => format!("tap{port}"),
    }
}

fn change() -> impl Strategy<Value = Change> {
    let vpn = || 1..4_u16;
    let mac = || (0..4_u8).prop_map(|last| MacAddr([2, 0, 0, 0, 1, last]));
    prop_oneof![
        (vpn(), prop::option::of(0..2_u32))
            .prop_map(|(vpn, which)| Change::Vpn(vpn, which.map(|which| vni(u32::from(vpn) * 10 + which)))),
        (1..8_u32, prop::option::of(vpn())).prop_map(|(port, vpn)| {
            Change::Port(port, vpn.map(|vpn| Port { interface: place(port), vpn, egress: port > 5 }))
        }),
        (vpn(), mac(), prop::option::of((target(), any::<bool>()))).prop_map(|(vpn, mac, value)| {
            Change::Mac(vpn, mac, value.map(|(target, any_ip)| Mac { target, any_ip }))
        }),
        (vpn(), 0..4_u8, prop::option::of((mac(), any::<bool>()))).prop_map(|(vpn, ip, value)| {
            Change::Neighbor(vpn, remote(ip), value.map(|(mac, router)| Neighbor { mac, router, port: None }))
        }),
        (vpn(), target(), any::<bool>()).prop_map(|(vpn, target, wanted)| Change::Flood(vpn, target, wanted)),
        (vpn(), 1..5_u8, any::<bool>())
            .prop_map(|(vpn, number, wanted)| { Change::Endpoint(vpn, remote(number), wanted) }),
    ]
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        12 => change().prop_map(Step::Change),
        8 => routing_change().prop_map(Step::Change),
        6 => segment_change().prop_map(Step::Change),
        4 => classifier_change().prop_map(Step::Change),
        1 => (1..4_u32, 10..14_u32, 1400..1402_u32)
            .prop_map(|(port, index, mtu)| Step::Link { port, index: index + port * 10, mtu }),
        1 => (1..4_u32, 10..14_u32).prop_map(|(port, index)| Step::NoLink { index: index + port * 10 }),
        1 => (1500..1502_u32).prop_map(Step::UnderlayMtu),
        1 => (0..2_u8, prop::option::of(0..2_u8)).prop_map(|(gateway, mac)| Step::Neighbor { gateway, mac }),
        2 => (1..5_u8, prop::option::of(0..2_u8), prop::option::of(1300..1302_u32))
            .prop_map(|(remote, gateway, mtu)| Step::Route { remote, gateway, mtu }),
        1 => (1..5_u8).prop_map(|remote| Step::NoRoute { remote }),
        3 => (0..200_u64).prop_map(|milliseconds| Step::Commit { milliseconds }),
        1 => any::<u8>().prop_map(|confirmed| Step::Restart { confirmed }),
    ]
}

fn take(node: &mut Node, step: Step) {
    match step {
        Step::Change(change) if !is_sound(&change, &node.fib) => {}
        Step::Change(change) => node.apply(&change),
        Step::Link { port, index, mtu } => {
            let name = format!("tap{port}");
            let namesake = node.links.values().find(|link| link.name == name && link.index != index);
            if let Some(index) = namesake.map(|link| link.index) {
                take(node, Step::NoLink { index });
            }
            node.link(index, &name, mtu);
        }
        Step::NoLink { index } => {
            node.links.remove(&index);
            node.kernel.attached.remove(&index);
            node.tables.remove_link(index);
        }
        Step::UnderlayMtu(mtu) => node.link(2, "eth0", mtu),
        Step::Neighbor { gateway: number, mac } => {
            let (id, mac) = ((2, gateway(number)), mac.map(|mac| MacAddr([6, 0, 0, 0, 0, mac])));
            match mac {
                Some(mac) => node.neighbors.insert(id, mac),
                None => node.neighbors.remove(&id),
            };
            let neighbor = mac.map(|mac| underlay::Neighbor { mac, fixed: false });
            node.tables.underlay.neighbor(id, neighbor);
        }
        Step::Route { remote: number, gateway: via, mtu } => {
            let route = underlay::Route { ifindex: 2, gateway: via.map(gateway), mtu };
            node.kernel.routes.insert(remote(number), route);
            node.tables.underlay.routes_changed(remote(number), 32);
        }
        Step::NoRoute { remote: number } => {
            node.kernel.routes.remove(&remote(number));
            node.tables.underlay.routes_changed(remote(number), 32);
        }
        Step::Commit { milliseconds } => {
            node.now += Duration::from_millis(milliseconds);
            node.check();
        }
        Step::Restart { confirmed } => {
            node.restart();
            let confirmations = changes(&node.fib);
            let some = usize::from(confirmed) * confirmations.len() / 256;
            for change in confirmations.iter().take(some) {
                node.tables.apply(change);
            }
            node.commit().unwrap();
            for change in confirmations.iter().skip(some) {
                node.tables.apply(change);
            }
            node.tables.sweep();
            node.check();
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]
    #[test]
    fn any_history_ends_as_a_fresh_computation(steps in prop::collection::vec(step(), 0..80)) {
        let mut node = Node::new();
        for step in steps {
            take(&mut node, step);
        }
        node.check();
        node.now += GRACE;
        node.check();
        let rest = changes(&node.fib);
        for change in rest {
            node.apply(&super::tables::Object::of(&change).removal());
        }
        node.check();
        node.now += GRACE;
        node.check();
        let written_once = |key: &&Key| matches!(key, Key::Encap(_) | Key::Adjacency(_) | Key::Bucket(_) | Key::Rule(_));
        let left = node.kernel.maps.keys().filter(|key| !written_once(key));
        prop_assert_eq!(left.count(), 0, "removing everything leaves nothing");
    }
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

#[test]
fn a_node_leaves_a_segment_for_all_mac_addresses_at_once() {
    let mut node = Node::new();
    node.apply(&Change::Vpn(7, Some(vni(100))));
    for number in 1..4 {
        take(&mut node, Step::Route { remote: number, gateway: None, mtu: None });
    }
    let segment = Segment { vpn: 7, esi: EthernetSegmentId([1; 10]) };
    let targets = |numbers: &[u8]| {
        let vxlan = |number: &u8| Target::Vxlan { endpoint: remote(*number), vni: vni(100) };
        Some(numbers.iter().map(vxlan).collect())
    };
    node.apply(&Change::Segment(segment, targets(&[1, 2, 3])));
    for last in 0..3 {
        node.apply(&Change::Mac(7, mac(last), Some(Mac { target: Target::Segment(segment), any_ip: false })));
    }
    node.check();
    let buckets = |node: &Node| buckets_from(node, |key| matches!(key, Key::Fdb(_)));
    let before = buckets(&node);
    node.kernel.writes.clear();
    node.apply(&Change::Segment(segment, targets(&[1, 3])));
    node.check();
    assert_eq!(node.kernel.writes, [Map::Groups].into());
    let after = buckets(&node);
    let moved = before.iter().zip(&after).filter(|(before, after)| before != after).count();
    assert!((21..=22).contains(&moved), "flows of those that stay do not move: {moved}");

    // A restart does not know which segment it was until it is told; nothing moves meanwhile.
    node.restart();
    node.commit().unwrap();
    assert_eq!(buckets(&node), after);
    let confirmations = changes(&node.fib);
    let mut told = |change: &Change| {
        node.tables.apply(change);
        node.commit().unwrap();
        assert_eq!(buckets(&node), after, "{change:?}");
    };
    told(&Change::Segment(segment, targets(&[3])));
    confirmations.iter().filter(|change| matches!(change, Change::Mac(..))).for_each(&mut told);
    confirmations.iter().for_each(|change| node.tables.apply(change));
    node.tables.sweep();
    node.check();
    assert_eq!(buckets(&node), after, "nor then");
}

#[test]
fn a_restart_moves_no_flow_while_hops_are_told_of_one_by_one() {
    let mut node = Node::new();
    node.apply(&Change::Vpn(7, Some(vni(100))));
    for number in 1..4 {
        take(&mut node, Step::Route { remote: number, gateway: None, mtu: None });
    }
    let route = |numbers: &[u8]| {
        let hop = |number: &u8| {
            let label = Label::new(16).unwrap();
            Hop::Labelled(Target::Mpls { endpoint: remote(*number), label, form: MplsForm::Udp })
        };
        let hops = numbers.iter().map(hop).collect();
        Change::Route(7, "10.0.0.0/24".parse().unwrap(), Some(Route { hops }))
    };
    let buckets = |node: &Node| buckets_from(node, |key| matches!(key, Key::Route(_)));
    for hops in [&[1, 2, 3][..], &[1, 3], &[1, 2, 3]] {
        node.apply(&route(hops));
        node.commit().unwrap();
    }
    let before = buckets(&node);
    node.restart();
    node.apply(&Change::Vpn(7, Some(vni(100))));
    for hops in [&[3][..], &[2, 3], &[1, 2, 3]] {
        node.apply(&route(hops));
        node.commit().unwrap();
        assert_eq!(buckets(&node), before, "{hops:?}");
    }
    node.tables.sweep();
    node.check();
    assert_eq!(buckets(&node), before);

    // What is all that has come when the rest is swept is all there is.
    node.restart();
    node.apply(&Change::Vpn(7, Some(vni(100))));
    node.apply(&route(&[1, 3]));
    node.commit().unwrap();
    assert_eq!(buckets(&node), before);
    assert_eq!(node.tables.sweep(), 0);
    node.check();
}

#[test]
fn a_full_map_degrades_an_instance_until_there_is_space() {
    let mut node = Node::new();
    node.kernel.capacity = BTreeMap::from([(Map::Fdb, 2)]);
    node.apply(&Change::Vpn(7, Some(vni(100))));
    for last in 0..3 {
        node.apply(&remote_mac(7, last, 1));
    }
    assert_eq!(node.commit(), Err(Failure::Full { map: Map::Fdb }));
    assert_eq!(node.commit(), Ok(()), "it is told once");
    let health = node.tables.health();
    assert!(
        health.len() == 1
            && health[0].vpn == Some(7)
            && health[0].what.starts_with("lacks 1 entry: map FDB is full"),
        "{health:?}"
    );
    assert_eq!(node.tables.verify(&node.kernel.contents()), []);
    node.apply(&Change::Mac(7, mac(0), None));
    node.commit().unwrap();
    assert_eq!(node.tables.health(), []);
    node.check();
}

#[test]
fn a_flood_list_ends_before_a_member_that_found_no_space() {
    let mut node = Node::new();
    node.kernel.capacity = BTreeMap::from([(Map::Floods, 2)]);
    node.apply(&Change::Vpn(7, Some(vni(100))));
    for port in 0..3 {
        node.apply(&Change::Flood(7, Target::Port(port), true));
    }
    assert_eq!(node.commit(), Err(Failure::Full { map: Map::Floods }));
    let count = |node: &Node| match node.kernel.maps.get(&Key::Vpn(7)) {
        Some(Value::Vpn(vpn)) => vpn.local_ports,
        _ => 0,
    };
    assert_eq!(count(&node), 2);
    // The member that found no space is moved to the place of one that leaves.
    node.apply(&Change::Flood(7, Target::Port(0), false));
    node.commit().unwrap();
    node.now += GRACE;
    node.commit().unwrap();
    assert_eq!((count(&node), node.tables.health()), (2, vec![]));
    node.check();
}

#[test]
fn a_changed_next_hop_mac_changes_one_slot_and_no_route() {
    let mut node = Node::new();
    node.kernel
        .routes
        .insert(remote(1), underlay::Route { ifindex: 2, gateway: Some(gateway(0)), mtu: None });
    take(&mut node, Step::Neighbor { gateway: 0, mac: Some(1) });
    node.apply(&Change::Vpn(7, Some(vni(100))));
    for last in 0..9 {
        node.apply(&remote_mac(7, last, 1));
    }
    node.commit().unwrap();
    let before = node.kernel.contents();
    take(&mut node, Step::Neighbor { gateway: 0, mac: Some(2) });
    node.commit().unwrap();
    let changed: Vec<Key> = node
        .kernel
        .contents()
        .into_iter()
        .filter(|entry| !before.contains(entry))
        .map(|(key, _)| key)
        .collect();
    assert_eq!(changed, [Key::Encap(2), Key::Nexthop(1)]);
}

#[test]
fn an_interface_that_vanishes_and_comes_back_is_attached_again() {
    let mut node = Node::new();
    node.apply(&Change::Vpn(7, Some(vni(100))));
    node.apply(&Change::Port(1, Some(Port { interface: "tap1".into(), vpn: 7, egress: false })));
    node.check();
    assert!(node.kernel.attached.is_empty(), "it is away");
    for index in [20, 30] {
        node.link(index, "tap1", 1400);
        node.check();
        assert_eq!(node.kernel.attached, BTreeSet::from([index]));
        take(&mut node, Step::NoLink { index });
        node.check();
        assert!(node.kernel.attached.is_empty());
    }
}

#[test]
fn vlans_on_a_trunk_are_ports_of_their_own() {
    let mut node = Node::new();
    node.link(30, "tap3", 1400);
    node.link(31, "tap30", 1400);
    node.apply(&Change::Vpn(7, Some(vni(100))));
    let at = |name: &str| Some(Port { interface: name.into(), vpn: 7, egress: false });
    node.apply(&Change::Port(3, at("tap3")));
    node.apply(&Change::Port(6, at("tap30")));
    node.check();
    let entry = |node: &Node, key: Key| match node.kernel.maps.get(&key) {
        Some(Value::Number(number)) => Some(*number),
        _ => None,
    };
    let vlan = |vlan| Key::Vlan(VlanKey { ifindex: 30, vlan });
    assert_eq!((entry(&node, Key::PortOfInterface(30)), entry(&node, vlan(0))), (Some(3), None));
    node.apply(&Change::Port(5, at("tap3:5")));
    node.check();
    assert_eq!(entry(&node, Key::PortOfInterface(30)), Some(abi::TRUNK));
    assert_eq!(entry(&node, Key::PortOfInterface(31)), Some(6));
    assert_eq!([0, 5, 6].map(|number| entry(&node, vlan(number))), [Some(3), Some(5), None]);
    node.apply(&Change::Port(3, None));
    node.check();
    assert_eq!([0, 5].map(|number| entry(&node, vlan(number))), [None, Some(5)]);
    take(&mut node, Step::NoLink { index: 30 });
    node.check();
    assert_eq!((entry(&node, Key::PortOfInterface(30)), entry(&node, vlan(5))), (None, None));
}

#[test]
fn what_is_not_confirmed_after_a_restart_is_swept() {
    let mut node = Node::new();
    node.kernel.routes.insert(remote(1), underlay::Route { ifindex: 2, gateway: None, mtu: None });
    node.apply(&Change::Vpn(7, Some(vni(100))));
    node.apply(&Change::Vpn(8, Some(vni(200))));
    for (vpn, last) in [(7, 0), (7, 1), (8, 0)] {
        node.apply(&remote_mac(vpn, last, 1));
    }
    node.commit().unwrap();
    // Instance 8 was not restored; MAC address 1 is not advertised any longer.
    for gone in [Change::Vpn(8, None), Change::Mac(8, mac(0), None), Change::Mac(7, mac(1), None)] {
        node.fib.apply(&gone);
    }
    node.restart();
    node.commit().unwrap();
    let fdb = |node: &Node| node.kernel.maps.keys().filter(|key| key.map() == Map::Fdb).count();
    assert_eq!(fdb(&node), 2, "an unknown instance's entries go at once, others stay");
    for change in changes(&node.fib.clone()) {
        node.tables.apply(&change);
    }
    assert_eq!(node.tables.sweep(), 1);
    node.check();
    assert_eq!(fdb(&node), 1);
}

#[test]
fn maps_that_contradict_each_other_are_found_without_an_agent() {
    let mut node = Node::new();
    node.kernel.routes.insert(remote(1), underlay::Route { ifindex: 2, gateway: None, mtu: None });
    node.link(20, "tap1", 1400);
    node.apply(&Change::Vpn(7, Some(vni(100))));
    node.apply(&Change::Port(1, Some(Port { interface: "tap1".into(), vpn: 7, egress: false })));
    node.apply(&Change::Mac(7, mac(0), Some(Mac { target: Target::Port(1), any_ip: true })));
    node.apply(&remote_mac(7, 1, 1));
    node.apply(&Change::Flood(7, Target::Port(1), true));
    node.apply(&Change::Endpoint(7, remote(1), true));
    node.commit().unwrap();
    assert_eq!(check_consistency(&node.kernel.contents()), []);
    for key in [Key::Port(1), Key::Vpn(7), Key::Vni(100), Key::Encap(1)] {
        let contents: Vec<_> =
            node.kernel.contents().into_iter().filter(|(found, _)| *found != key).collect();
        assert!(!check_consistency(&contents).is_empty(), "without {} {key}", key.map());
    }
    // What a list has left behind its end for the grace is no contradiction, also without its port.
    node.apply(&Change::Flood(7, Target::Port(1), false));
    node.apply(&Change::Mac(7, mac(0), None));
    node.apply(&Change::Port(1, None));
    node.commit().unwrap();
    assert!(node.kernel.maps.keys().any(|key| key.map() == Map::Floods));
    assert_eq!(check_consistency(&node.kernel.contents()), []);
    let header: Vec<Encap> = node
        .kernel
        .maps
        .values()
        .filter_map(|value| if let Value::Encap(encap) = value { Some(**encap) } else { None })
        .collect();
    assert_eq!(header.iter().map(|encap| ip_of(&encap.remote)).collect::<Vec<_>>(), [remote(1)]);
}

#[test]
fn rules_go_on_over_a_restart_and_only_their_difference_is_written() {
    let mut node = Node::new();
    for vpn in [7, 8] {
        node.apply(&Change::Vpn(vpn, Some(vni(u32::from(vpn)))));
    }
    let to = |last: u8| Rule {
        version: IpVersion::V4,
        source: None,
        destination: Some(IpPrefix::host([10, 0, 0, last].into())),
        protocol: Some(6),
        source_ports: None,
        destination_ports: Some((80, 90)),
        vrf: 8,
    };
    let rules = |numbers: &[u8]| Change::Classifier(7, Some(numbers.iter().copied().map(to).collect()));
    let first = |node: &Node| node.kernel.maps.get(&Key::Classifier(7)).cloned();
    node.apply(&rules(&[1, 2, 3]));
    node.check();
    let before = node.kernel.contents();
    node.restart();
    node.commit().unwrap();
    assert_eq!(node.kernel.contents(), before, "nothing is told yet, and nothing changes");
    node.kernel.writes.clear();
    changes(&node.fib).iter().for_each(|change| node.tables.apply(change));
    node.tables.sweep();
    node.check();
    assert_eq!((node.kernel.writes.len(), node.kernel.contents()), (0, before.clone()));

    // In front of those that stay there is one more, then they change places with none.
    node.apply(&rules(&[9, 2, 3]));
    node.check();
    let written = |node: &Node| node.kernel.contents().len() - before.len();
    assert_eq!(written(&node), 1, "the new rule");

    // What is not told again goes.
    node.fib.apply(&Change::Classifier(7, None));
    node.restart();
    assert!(first(&node).is_some());
    changes(&node.fib).iter().for_each(|change| node.tables.apply(change));
    assert_eq!(node.tables.sweep(), 1);
    node.check();
    assert_eq!(first(&node), None);

    // Rules that lead to an instance which is not known any more lead nowhere.
    node.apply(&rules(&[1]));
    node.commit().unwrap();
    node.fib.apply(&Change::Vpn(8, None));
    node.restart();
    node.commit().unwrap();
    assert_eq!(first(&node), None);
}
