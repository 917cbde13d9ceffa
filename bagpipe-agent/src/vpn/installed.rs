//! The forwarding state and the routes that an instance has put out: what a newly derived state is compared
//! with, so that only differences go on.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::sync::Arc;

use bagpipe_bgp::types::{EthernetSegmentId, IpPrefix, Label, MacAddr, Vni};

use super::counts::Counts;
use crate::fib::{
    Change, Hop, LabelUse, Mac, Neighbor, Port, PortId, Route, Router, Rule, Segment, Target, VpnId,
};

/// What one instance has in the forwarding state.
#[derive(Debug, Default)]
pub(crate) struct Installed {
    pub(crate) vni: Option<Vni>,
    pub(crate) ports: BTreeMap<PortId, Port>,
    pub(crate) macs: BTreeMap<MacAddr, Mac>,
    pub(crate) neighbors: BTreeMap<IpAddr, Neighbor>,
    pub(crate) floods: BTreeSet<Target>,
    pub(crate) endpoints: BTreeSet<IpAddr>,
    /// The remote endpoints of segments that have several.
    pub(crate) segments: BTreeMap<EthernetSegmentId, Arc<[Target]>>,
    pub(crate) router: Option<Router>,
    pub(crate) routes: BTreeMap<IpPrefix, Arc<[Hop]>>,
    /// The hops of routes, and how many routes have them: most of a million routes lead to few places.
    hops: Counts<Arc<[Hop]>>,
    pub(crate) labels: BTreeMap<Label, LabelUse>,
    /// Rules for packets that are routed by other instances.
    pub(crate) classifier: Vec<Rule>,
}

impl Installed {
    pub(crate) fn set_vpn(&mut self, vpn: VpnId, vni: Option<Vni>, changes: &mut Vec<Change>) {
        if self.vni != vni {
            self.vni = vni;
            changes.push(Change::Vpn(vpn, vni));
        }
    }

    pub(crate) fn set_port(&mut self, id: PortId, port: Option<Port>, changes: &mut Vec<Change>) {
        if self.ports.get(&id) != port.as_ref() {
            match &port {
                Some(port) => drop(self.ports.insert(id, port.clone())),
                None => drop(self.ports.remove(&id)),
            }
            changes.push(Change::Port(id, port));
        }
    }

    pub(crate) fn set_mac(
        &mut self,
        vpn: VpnId,
        mac: MacAddr,
        value: Option<Mac>,
        changes: &mut Vec<Change>,
    ) {
        if replace(&mut self.macs, mac, value) {
            changes.push(Change::Mac(vpn, mac, value));
        }
    }

    pub(crate) fn set_neighbor(
        &mut self,
        vpn: VpnId,
        ip: IpAddr,
        value: Option<Neighbor>,
        changes: &mut Vec<Change>,
    ) {
        if replace(&mut self.neighbors, ip, value) {
            changes.push(Change::Neighbor(vpn, ip, value));
        }
    }

    pub(crate) fn set_flood(&mut self, vpn: VpnId, target: Target, wanted: bool, changes: &mut Vec<Change>) {
        if include(&mut self.floods, target, wanted) {
            changes.push(Change::Flood(vpn, target, wanted));
        }
    }

    pub(crate) fn set_endpoint(
        &mut self,
        vpn: VpnId,
        endpoint: IpAddr,
        wanted: bool,
        changes: &mut Vec<Change>,
    ) {
        if include(&mut self.endpoints, endpoint, wanted) {
            changes.push(Change::Endpoint(vpn, endpoint, wanted));
        }
    }

    pub(crate) fn set_router(&mut self, vpn: VpnId, router: Option<Router>, changes: &mut Vec<Change>) {
        if self.router != router {
            self.router = router;
            changes.push(Change::Router(vpn, router));
        }
    }

    /// Sets the remote endpoints of a segment, in their order.
    pub(crate) fn set_segment(&mut self, segment: Segment, targets: Vec<Target>, changes: &mut Vec<Change>) {
        if self.segments.get(&segment.esi).map(|before| &**before).unwrap_or_default() == targets {
            return;
        }
        let targets: Option<Arc<[Target]>> = (!targets.is_empty()).then(|| targets.into());
        match &targets {
            Some(targets) => drop(self.segments.insert(segment.esi, Arc::clone(targets))),
            None => drop(self.segments.remove(&segment.esi)),
        }
        changes.push(Change::Segment(segment, targets));
    }

    /// Sets where a prefix is: at hops in their order; nowhere if there are none.
    pub(crate) fn set_route(
        &mut self,
        vpn: VpnId,
        prefix: IpPrefix,
        hops: Vec<Hop>,
        changes: &mut Vec<Change>,
    ) {
        if self.routes.get(&prefix).map(|before| &**before).unwrap_or_default() == hops {
            return;
        }
        let hops = (!hops.is_empty()).then(|| self.share(hops));
        let before = match &hops {
            Some(hops) => self.routes.insert(prefix, Arc::clone(hops)),
            None => self.routes.remove(&prefix),
        };
        if let Some(before) = before {
            self.hops.remove(&before);
        }
        changes.push(Change::Route(vpn, prefix, hops.map(|hops| Route { hops })));
    }

    /// Sets the rules for packets that are routed by other instances; whether that changed anything.
    pub(crate) fn set_classifier(&mut self, vpn: VpnId, rules: Vec<Rule>, changes: &mut Vec<Change>) -> bool {
        let differs = self.classifier != rules;
        if differs {
            changes.push(Change::Classifier(vpn, (!rules.is_empty()).then(|| rules.as_slice().into())));
            self.classifier = rules;
        }
        differs
    }

    fn share(&mut self, hops: Vec<Hop>) -> Arc<[Hop]> {
        let known = self.hops.get(hops.as_slice()).map(Arc::clone);
        let hops = known.unwrap_or_else(|| hops.into());
        self.hops.add(Arc::clone(&hops));
        hops
    }

    pub(crate) fn set_label(&mut self, label: Label, value: Option<LabelUse>, changes: &mut Vec<Change>) {
        if self.labels.get(&label) != value.as_ref() {
            match value {
                Some(value) => drop(self.labels.insert(label, value)),
                None => drop(self.labels.remove(&label)),
            }
            changes.push(Change::Label(label, value));
        }
    }
}

/// Sets or removes a value; whether that changed anything.
pub(crate) fn replace<K: Ord, V: PartialEq + Copy>(
    map: &mut BTreeMap<K, V>,
    key: K,
    value: Option<V>,
) -> bool {
    match value {
        Some(value) => map.insert(key, value) != Some(value),
        None => map.remove(&key).is_some(),
    }
}

fn include<T: Ord>(set: &mut BTreeSet<T>, member: T, wanted: bool) -> bool {
    if wanted { set.insert(member) } else { set.remove(&member) }
}
