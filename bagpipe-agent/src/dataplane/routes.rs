//! Routing among the tables: what hops, labels and routers refer to, and their entries.

use std::sync::Arc;

use bagpipe_bgp::types::{IpPrefix, Label};
use bagpipe_common::{self as abi, LabelKind, NeighborKey, RouteKey, TargetKind, router_flags};

use super::address::{host_of, prefix_of};
use super::entry::{Key, Map};
use super::groups::{Bucket, Group, Hops};
use super::tables::{Failure, Tables};
use super::value::Value;
use crate::fib::{Adjacency, Hop, LabelUse, Route, Segment, Target, VpnId};

impl Tables {
    /// Counts the references of a route in place of those of the one before.
    pub(super) fn replace_route(&mut self, at: (VpnId, IpPrefix), route: Option<&Route>) {
        let before = hops_of(self.fib.routes.get(&at));
        let after = hops_of(route);
        if before == after {
            return;
        }
        after.iter().for_each(|hop| self.refer_hop(hop));
        if after.len() > 1 {
            self.groups.acquire(&after, &before);
        }
        if before.len() > 1 {
            self.groups.release(&before);
        }
        before.iter().for_each(|hop| self.unrefer_hop(hop));
    }

    /// Counts the references of a segment in place of those that it had before.
    pub(super) fn replace_segment(&mut self, segment: Segment, targets: Option<&Arc<[Target]>>) {
        let before = self.fib.segments.get(&segment).cloned();
        if before.as_ref() == targets {
            return;
        }
        targets.into_iter().flat_map(|targets| targets.iter()).for_each(|target| self.refer(Some(*target)));
        let keys = self.groups.set_segment(segment, before.is_some(), targets.map(|targets| &**targets));
        self.dirty.extend(keys);
        before.iter().flat_map(|targets| targets.iter()).for_each(|target| self.unrefer(Some(*target)));
    }

    /// Counts the references of a label in place of those that it had before.
    pub(super) fn replace_label(&mut self, label: Label, meaning: Option<LabelUse>) {
        if let Some(LabelUse::Adjacency(_, adjacency)) = meaning {
            self.refer_adjacency(adjacency);
        }
        if let Some(LabelUse::Adjacency(_, adjacency)) = self.fib.labels.get(&label).copied() {
            self.unrefer_adjacency(adjacency);
        }
    }

    /// The keys of all entries of routing that there should be.
    pub(super) fn routing_keys(&self) -> impl Iterator<Item = Key> {
        let routes = self.fib.routes.keys().map(|(vpn, prefix)| Key::of_route(*vpn, *prefix));
        let labels = self.fib.labels.keys().map(|label| Key::Label(label.get()));
        let routers = self.fib.routers.keys().map(|vpn| Key::Router(*vpn));
        self.adjacencies
            .numbers()
            .map(Key::Adjacency)
            .chain(self.groups.keys())
            .chain(routes)
            .chain(labels)
            .chain(routers)
    }

    pub(super) fn adjacency(&self, slot: u32) -> Result<Option<Value>, Failure> {
        let Some(adjacency) = self.adjacencies.of_number(slot) else { return Ok(None) };
        Ok(Some(Value::Adjacency(Box::new(abi::Adjacency {
            destination: adjacency.destination.0,
            source: adjacency.source.0,
            vpn: adjacency.vpn,
            zero: 0,
            target: self.target(adjacency.target, false)?,
        }))))
    }

    pub(super) fn bucket(&self, index: u32) -> Result<Option<Value>, Failure> {
        let target = match self.groups.bucket(index) {
            Some(Bucket::Hop(hop)) => self.hop(&hop, None)?,
            Some(Bucket::Frame(target)) => self.target(target, false)?,
            None => return Ok(None),
        };
        Ok(Some(Value::Target(target)))
    }

    pub(super) fn host_route(&self, key: &NeighborKey) -> Result<Option<Value>, Failure> {
        self.route(key.vpn, host_of(key))
    }

    pub(super) fn other_route(&self, key: &RouteKey) -> Result<Option<Value>, Failure> {
        prefix_of(key).map_or(Ok(None), |(vpn, prefix)| self.route(vpn, prefix))
    }

    fn route(&self, vpn: VpnId, prefix: IpPrefix) -> Result<Option<Value>, Failure> {
        let hops = hops_of(self.fib.routes.get(&(vpn, prefix)));
        let target = match &*hops {
            [] => return Ok(None),
            [hop] => self.hop(hop, Some(vpn))?,
            _ => self.group(&Group::Hops(hops))?,
        };
        Ok(Some(Value::Target(target)))
    }

    pub(super) fn group(&self, group: &Group) -> Result<abi::Target, Failure> {
        let id = self.groups.number(group).ok_or(Failure::Full { map: Map::Groups })?;
        Ok(abi::Target { kind: TargetKind::Group as u8, vni: [0; 3], id })
    }

    /// Where a hop is; the router of `vpn`, or of none in a group.
    fn hop(&self, hop: &Hop, vpn: Option<VpnId>) -> Result<abi::Target, Failure> {
        match hop {
            Hop::Labelled(target) => self.target(*target, false),
            Hop::Router => {
                let id = vpn.map_or(0, u32::from);
                Ok(abi::Target { kind: TargetKind::Router as u8, vni: [0; 3], id })
            }
            Hop::Adjacency(adjacency) => {
                let id = self.slot(adjacency)?;
                Ok(abi::Target { kind: TargetKind::Adjacency as u8, vni: [0; 3], id })
            }
        }
    }

    pub(super) fn label(&self, label: u32) -> Result<Option<Value>, Failure> {
        let meaning = Label::new(label).and_then(|label| self.fib.labels.get(&label));
        let Some(meaning) = meaning else { return Ok(None) };
        let (kind, id) = match meaning {
            LabelUse::Adjacency(_, adjacency) => (LabelKind::Adjacency, self.slot(adjacency)?),
            LabelUse::Router(_) => (LabelKind::Router, 0),
            LabelUse::Bridge(_) => (LabelKind::Bridge, 0),
        };
        Ok(Some(Value::Label(abi::Label { kind: kind as u8, zero: 0, vpn: meaning.vpn(), id })))
    }

    /// A router without addresses and flags is all zero, as none is.
    pub(super) fn router(&self, vpn: VpnId) -> Option<Value> {
        let router = self.fib.routers.get(&vpn)?;
        let entry = abi::Router {
            ipv6: router.ipv6.map_or([0; 16], |ip| ip.octets()),
            ipv4: router.ipv4.map_or([0; 4], |ip| ip.octets()),
            flags: if router.proxy { router_flags::PROXY } else { 0 },
        };
        (entry != abi::Router::default()).then(|| Value::Router(Box::new(entry)))
    }

    fn slot(&self, adjacency: &Adjacency) -> Result<u32, Failure> {
        self.adjacencies.number(adjacency).ok_or(Failure::Full { map: Map::Adjacencies })
    }

    fn refer_hop(&mut self, hop: &Hop) {
        match hop {
            Hop::Adjacency(adjacency) => self.refer_adjacency(*adjacency),
            Hop::Labelled(target) => self.refer(Some(*target)),
            Hop::Router => {}
        }
    }

    fn unrefer_hop(&mut self, hop: &Hop) {
        match hop {
            Hop::Adjacency(adjacency) => self.unrefer_adjacency(*adjacency),
            Hop::Labelled(target) => self.unrefer(Some(*target)),
            Hop::Router => {}
        }
    }

    fn refer_adjacency(&mut self, adjacency: Adjacency) {
        if self.adjacencies.acquire(&adjacency) {
            self.refer(Some(adjacency.target));
        }
    }

    fn unrefer_adjacency(&mut self, adjacency: Adjacency) {
        if self.adjacencies.release(&adjacency) {
            self.unrefer(Some(adjacency.target));
        }
    }
}

fn hops_of(route: Option<&Route>) -> Hops {
    route.map_or_else(|| Hops::from([]), |route| route.hops.clone())
}
