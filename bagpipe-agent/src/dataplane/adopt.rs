//! After a restart: what the pinned maps hold becomes desired state again, marked stale until it is confirmed.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{Ipv4Addr, Ipv6Addr};

use bagpipe_bgp::types::{Label, MacAddr, Vni};
use bagpipe_common::{
    self as abi, Encap, FloodScope, GROUP_BUCKETS, LabelKind, TargetKind, limits, neighbor_flags, port_flags,
    router_flags,
};

use super::address::{host_of, ip_of, prefix_of};
use super::entry::Key;
use super::groups::{self, nameless, ways_in};
use super::rules::{Rules, rule_of};
use super::tables::{Object, Tables};
use super::value::Value;
use crate::fib::{
    Adjacency, Change, Fib, Hop, LabelUse, Mac, MplsForm, Neighbor, Port, Route, Router, Rule, Segment,
    Target, VpnId,
};

impl Tables {
    /// Adopts the content of the maps, so far as it belongs to an instance of `known`; the next commit removes
    /// the rest. Interfaces must be known before. How many objects are there now, to be confirmed or swept.
    pub(crate) fn adopt(&mut self, contents: Vec<(Key, Value)>, known: &BTreeSet<VpnId>) -> usize {
        let found = Found::new(&contents);
        self.nexthops.adopt(&found.nexthops(), &found.referred_nexthops());
        for (_, number, _, _) in self.nexthops.iter() {
            self.dirty.extend(number.map(Key::Nexthop));
        }
        let fib = found.fib(known, |ifindex| self.links.get(ifindex).map(|link| link.name.clone()));
        self.adjacencies.adopt(found.slots().into_iter().map(|slot| (slot, found.adjacency(slot))));
        let of_routes = found.route_groups().into_iter();
        let of_routes = of_routes.map(|group| (group, found.buckets(group).map(groups::Found::Hops)));
        let of_segments = found.segments().into_iter().map(|(group, segment)| {
            (group, found.frames(group).map(|targets| groups::Found::Segment(segment, targets)))
        });
        self.groups.adopt(of_routes.chain(of_segments));
        self.rules.adopt(found.rules());
        let flood_lists = found.flood_lists(known);
        for ((vpn, scope), members) in flood_lists {
            self.floods.adopt(vpn, scope, members);
        }
        for change in changes(fib) {
            let object = Object::of(&change);
            self.apply(&change);
            self.stale.insert(object, None);
        }
        // What is written once is left as it is: nothing reads it any longer, or it is just right.
        let rewritten =
            |key: &&Key| !matches!(key, Key::Encap(_) | Key::Adjacency(_) | Key::Bucket(_) | Key::Rule(_));
        self.dirty.extend(contents.iter().map(|(key, _)| key).filter(rewritten));
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
        let endpoint = || {
            let Some(Value::Number(slot)) = self.entries.get(&Key::Nexthop(target.id)) else { return None };
            Some(ip_of(&self.encap(*slot)?.remote))
        };
        let labelled = |form| {
            let [a, b, c] = target.vni;
            let label = Label::new(u32::from_be_bytes([0, a, b, c]))?;
            Some(Target::Mpls { endpoint: endpoint()?, label, form })
        };
        let plain = match TargetKind::of(target.kind)? {
            TargetKind::PortAnyIp => return Some((Target::Port(target.id), true)),
            TargetKind::Port => Target::Port(target.id),
            TargetKind::Vxlan => Target::Vxlan { endpoint: endpoint()?, vni: Vni::from_octets(target.vni) },
            TargetKind::Mpls => labelled(MplsForm::Ethernet)?,
            TargetKind::MplsGre => labelled(MplsForm::Gre)?,
            TargetKind::MplsUdp => labelled(MplsForm::Udp)?,
            TargetKind::Router => Target::Router(target.id.try_into().ok()?),
            TargetKind::Adjacency | TargetKind::Group => return None,
        };
        Some((plain, false))
    }

    fn adjacency(&self, slot: u32) -> Option<Adjacency> {
        let Some(Value::Adjacency(adjacency)) = self.entries.get(&Key::Adjacency(slot)) else { return None };
        Some(Adjacency {
            vpn: adjacency.vpn,
            destination: MacAddr(adjacency.destination),
            source: MacAddr(adjacency.source),
            target: self.target(&adjacency.target)?.0,
        })
    }

    fn hop(&self, target: &abi::Target) -> Option<Hop> {
        match TargetKind::of(target.kind)? {
            TargetKind::Adjacency => self.adjacency(target.id).map(Hop::Adjacency),
            TargetKind::Router => Some(Hop::Router),
            TargetKind::Mpls | TargetKind::MplsGre | TargetKind::MplsUdp => {
                self.target(target).map(|(target, _)| Hop::Labelled(target))
            }
            TargetKind::Port | TargetKind::PortAnyIp | TargetKind::Vxlan | TargetKind::Group => None,
        }
    }

    fn buckets(&self, group: u32) -> Option<Box<[Hop]>> {
        let first = group.checked_mul(GROUP_BUCKETS)?;
        let bucket = |index| match self.entries.get(&Key::Bucket(index)) {
            Some(Value::Target(target)) => self.hop(target),
            _ => None,
        };
        (first..first.checked_add(GROUP_BUCKETS)?).map(bucket).collect()
    }

    fn frames(&self, group: u32) -> Option<Box<[Target]>> {
        let first = group.checked_mul(GROUP_BUCKETS)?;
        let bucket = |index| match self.entries.get(&Key::Bucket(index)) {
            Some(Value::Target(target)) => self.target(target).map(|(target, _)| target),
            _ => None,
        };
        (first..first.checked_add(GROUP_BUCKETS)?).map(bucket).collect()
    }

    /// The groups that MAC addresses refer to. The maps don't tell which segment each is: it gets a name that stands
    /// until its MAC addresses have been told of again.
    fn segments(&self) -> BTreeMap<u32, Segment> {
        let segment = |(key, value): (&Key, &&Value)| match (key, value) {
            (Key::Fdb(key), Value::Target(target)) if target.kind == TargetKind::Group as u8 => {
                Some((target.id, nameless(key.vpn, target.id)))
            }
            _ => None,
        };
        self.entries.iter().filter_map(segment).collect()
    }

    fn route(&self, target: &abi::Target) -> Option<Route> {
        let hops = if target.kind == TargetKind::Group as u8 {
            ways_in(&self.buckets(target.id)?)
        } else {
            [self.hop(target)?].into()
        };
        Some(Route { hops })
    }

    /// The slots of rules that an instance refers to, each with its rule and those that follow.
    fn rules(&self) -> BTreeMap<u32, Option<Rules>> {
        let mut slots = BTreeMap::new();
        for (key, value) in &self.entries {
            let (Key::Classifier(_), Value::Number(first)) = (key, value) else { continue };
            let chain = self.chain(*first);
            let rules: Option<Vec<Rule>> = chain.iter().map(|(_, rule)| *rule).collect();
            for (position, (slot, _)) in chain.iter().enumerate() {
                let tail = rules.as_ref().and_then(|rules| Some(rules.get(position..)?.into()));
                slots.insert(*slot, tail);
            }
        }
        slots
    }

    /// The slots and rules from one on, each rule if it means anything.
    fn chain(&self, first: u32) -> Vec<(u32, Option<Rule>)> {
        let mut chain = Vec::new();
        let mut slot = first;
        while slot != 0 && chain.len() < limits::RULES_PER_VPN as usize {
            let Some(Value::Rule(rule)) = self.entries.get(&Key::Rule(slot)) else {
                chain.push((slot, None));
                break;
            };
            chain.push((slot, rule_of(rule)));
            slot = rule.next;
        }
        chain
    }

    /// The rules of an instance: all of them, if the instances that they lead to are known.
    fn classifier(&self, first: u32, known: &BTreeSet<VpnId>) -> Option<Rules> {
        let rules: Option<Vec<Rule>> = self.chain(first).into_iter().map(|(_, rule)| rule).collect();
        rules.filter(|rules| rules.iter().all(|rule| known.contains(&rule.vrf))).map(Into::into)
    }

    fn label(&self, label: &abi::Label) -> Option<LabelUse> {
        Some(match LabelKind::of(label.kind)? {
            LabelKind::Adjacency => LabelUse::Adjacency(label.vpn, self.adjacency(label.id)?),
            LabelKind::Router => LabelUse::Router(label.vpn),
            LabelKind::Bridge => LabelUse::Bridge(label.vpn),
        })
    }

    /// The targets that programs may come upon: of MAC addresses, flood lists and routes, and of the groups of those.
    /// Other buckets and slots may be left of a former use.
    fn targets(&self) -> impl Iterator<Item = &abi::Target> {
        let targets = self.entries.iter().filter_map(|(key, value)| match (key, value) {
            (Key::Fdb(_) | Key::Flood(_) | Key::Host(_) | Key::Route(_), Value::Target(target)) => {
                Some(target)
            }
            _ => None,
        });
        let groups = self.route_groups().into_iter().chain(self.segments().into_keys());
        let in_groups = groups.flat_map(move |group| {
            let index = move |bucket| group.saturating_mul(GROUP_BUCKETS).saturating_add(bucket);
            (0..GROUP_BUCKETS).filter_map(move |bucket| match self.entries.get(&Key::Bucket(index(bucket))) {
                Some(Value::Target(target)) => Some(target),
                _ => None,
            })
        });
        targets.chain(in_groups)
    }

    /// Groups that a route refers to.
    fn route_groups(&self) -> BTreeSet<u32> {
        let target = |(key, value): (&Key, &&Value)| match (key, value) {
            (Key::Host(_) | Key::Route(_), Value::Target(target)) => Some(*target),
            _ => None,
        };
        let targets = self.entries.iter().filter_map(target);
        targets.filter(|target| target.kind == TargetKind::Group as u8).map(|target| target.id).collect()
    }

    /// Slots of adjacencies that something refers to.
    fn slots(&self) -> BTreeSet<u32> {
        let of_targets = self.targets().filter(|target| target.kind == TargetKind::Adjacency as u8);
        let of_labels = self.entries.values().filter_map(|value| match value {
            Value::Label(label) if label.kind == LabelKind::Adjacency as u8 => Some(label.id),
            _ => None,
        });
        of_targets.map(|target| target.id).chain(of_labels).collect()
    }

    /// Numbers of next hops that something refers to.
    fn referred_nexthops(&self) -> BTreeSet<u32> {
        let slots = self.slots();
        let adjacent = slots.iter().filter_map(|slot| match self.entries.get(&Key::Adjacency(*slot)) {
            Some(Value::Adjacency(adjacency)) => Some(&adjacency.target),
            _ => None,
        });
        let is_remote = |target: &&abi::Target| {
            use TargetKind::{Mpls, MplsGre, MplsUdp, Vxlan};
            matches!(TargetKind::of(target.kind), Some(Vxlan | Mpls | MplsGre | MplsUdp)) && target.id != 0
        };
        self.targets().chain(adjacent).filter(is_remote).map(|target| target.id).collect()
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
                    if let Some(name) = interface_name(port.ifindex) {
                        let interface = match port.flags >> port_flags::VLAN_SHIFT {
                            0 => name,
                            vlan => format!("{name}:{vlan}"),
                        };
                        let egress = port.flags & port_flags::EGRESS != 0;
                        fib.ports.insert(*number, Port { interface, vpn: port.vpn, egress });
                    }
                }
                (Key::Fdb(key), Value::Target(target))
                    if known.contains(&key.vpn) && target.kind == TargetKind::Group as u8 =>
                {
                    let segment = nameless(key.vpn, target.id);
                    if let Some(targets) = self.frames(target.id) {
                        fib.segments.entry(segment).or_insert_with(|| ways_in(&targets));
                        let mac = Mac { target: Target::Segment(segment), any_ip: false };
                        fib.macs.insert((key.vpn, MacAddr(key.mac)), mac);
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
                (Key::Endpoint(key), Value::Number(_)) if known.contains(&key.vpn) => {
                    fib.endpoints.insert((key.vpn, ip_of(&key.remote)));
                }
                (Key::Host(key), Value::Target(target)) if known.contains(&key.vpn) => {
                    if let Some(route) = self.route(target) {
                        fib.routes.insert((key.vpn, host_of(key)), route);
                    }
                }
                (Key::Route(key), Value::Target(target)) => {
                    if let Some((at, route)) = prefix_of(key).zip(self.route(target))
                        && known.contains(&at.0)
                    {
                        fib.routes.insert(at, route);
                    }
                }
                (Key::Label(label), Value::Label(entry)) if known.contains(&entry.vpn) => {
                    if let Some((label, meaning)) = Label::new(*label).zip(self.label(entry)) {
                        fib.labels.insert(label, meaning);
                    }
                }
                (Key::Classifier(vpn), Value::Number(first)) if known.contains(vpn) => {
                    if let Some(rules) = self.classifier(*first, known) {
                        fib.classifiers.insert(*vpn, rules);
                    }
                }
                (Key::Router(vpn), Value::Router(router)) if known.contains(vpn) => {
                    fib.routers.insert(*vpn, face(router));
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
pub(super) fn changes(fib: Fib) -> Vec<Change> {
    let mut changes: Vec<Change> =
        fib.vpns.into_iter().map(|(vpn, vni)| Change::Vpn(vpn, Some(vni))).collect();
    changes.extend(fib.ports.into_iter().map(|(port, value)| Change::Port(port, Some(value))));
    changes
        .extend(fib.segments.into_iter().map(|(segment, targets)| Change::Segment(segment, Some(targets))));
    changes.extend(fib.macs.into_iter().map(|((vpn, mac), value)| Change::Mac(vpn, mac, Some(value))));
    changes
        .extend(fib.neighbors.into_iter().map(|((vpn, ip), value)| Change::Neighbor(vpn, ip, Some(value))));
    changes.extend(fib.floods.into_iter().map(|(vpn, target)| Change::Flood(vpn, target, true)));
    changes.extend(fib.endpoints.into_iter().map(|(vpn, endpoint)| Change::Endpoint(vpn, endpoint, true)));
    changes.extend(fib.routers.into_iter().map(|(vpn, router)| Change::Router(vpn, Some(router))));
    changes
        .extend(fib.routes.into_iter().map(|((vpn, prefix), route)| Change::Route(vpn, prefix, Some(route))));
    changes.extend(fib.classifiers.into_iter().map(|(vpn, rules)| Change::Classifier(vpn, Some(rules))));
    changes.extend(fib.labels.into_iter().map(|(label, meaning)| Change::Label(label, Some(meaning))));
    changes
}

fn face(router: &abi::Router) -> Router {
    let (ipv4, ipv6) = (Ipv4Addr::from(router.ipv4), Ipv6Addr::from(router.ipv6));
    Router {
        ipv4: (!ipv4.is_unspecified()).then_some(ipv4),
        ipv6: (!ipv6.is_unspecified()).then_some(ipv6),
        proxy: router.flags & router_flags::PROXY != 0,
    }
}
