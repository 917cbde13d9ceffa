//! Flow specifications that redirect packets of an IP-VPN: an instance that nothing is attached to routes them, by the
//! routes of the route target that they are redirected to (RFC 8955 §7.4).

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use bagpipe_bgp::types::{Label, RouteTarget, Vni};
use bagpipe_bgp::wire::{Attributes, FlowSpecRoute};
use bagpipe_common::limits;

use super::flow_rules::{redirected_to, rules};
use super::vpns::Vpns;
use crate::fib::{Rule, VpnId};

/// The flow specifications that instances import, and the instances that they redirect to.
#[derive(Debug, Default)]
pub(super) struct Flows {
    /// With their attributes, and whether they are this node's own. Seeded: other nodes choose the keys.
    routes: HashMap<FlowSpecRoute, (Arc<Attributes>, bool)>,
    /// Instances whose rules may differ.
    pub(super) touched: BTreeSet<VpnId>,
    /// Those of them whose rules stay as they were before a restart until all flow specifications have come: packets
    /// would go another way for as long as one is missing.
    held: BTreeSet<VpnId>,
    pub(super) redirects: BTreeMap<RouteTarget, VpnId>,
}

impl Flows {
    /// Keeps the routes whose attributes are wanted, and those of this node.
    pub(super) fn retain(&mut self, wanted: impl Fn(&Attributes) -> bool) {
        self.routes.retain(|_, (attributes, is_local)| *is_local || wanted(attributes));
    }

    /// Whether nothing is held.
    pub(super) fn is_empty(&self) -> bool {
        self.routes.is_empty() && self.redirects.is_empty()
    }

    /// Those that have any of the route targets and redirect, the first to be applied first.
    fn of(&self, import: &BTreeSet<RouteTarget>) -> Vec<(FlowSpecRoute, RouteTarget)> {
        let imported =
            |attributes: &Attributes| attributes.route_targets().any(|target| import.contains(&target));
        let routes = self.routes.iter().filter(|(_, (attributes, _))| imported(attributes));
        let mut flows: Vec<_> = routes
            .filter_map(|(flow, (attributes, _))| Some((flow.clone(), redirected_to(attributes).ok()?)))
            .collect();
        flows.sort_by(|(one, _), (other, _)| one.precedence(other));
        flows
    }
}

impl Vpns {
    /// A flow specification came, changed or went.
    pub(super) fn take_flow(
        &mut self,
        flow: &FlowSpecRoute,
        attributes: Option<Arc<Attributes>>,
        is_local: bool,
    ) {
        let known = self.flows.routes.get(flow);
        // A route of this node is here whatever others say of it.
        if known.is_some_and(|(_, known)| *known && !is_local) {
            return;
        }
        let before = known.map(|(attributes, _)| Arc::clone(attributes));
        let concerned: BTreeSet<VpnId> = before
            .iter()
            .chain(&attributes)
            .flat_map(|attributes| self.imports.importers(attributes))
            .collect();
        match attributes.filter(|_| is_local || !concerned.is_empty()) {
            Some(attributes) => drop(self.flows.routes.insert(flow.clone(), (attributes, is_local))),
            None => drop(self.flows.routes.remove(flow)),
        }
        self.flows.touched.extend(concerned);
    }

    /// Leaves rules as they were before a restart, for now.
    pub(crate) fn hold_flows(&mut self) {
        let restored = self.instances.values().filter(|instance| instance.redirect.is_none());
        self.flows.held = restored.map(|instance| instance.id).collect();
    }

    /// All flow specifications have come again that are there.
    pub(crate) fn release_flows(&mut self) {
        let held = std::mem::take(&mut self.flows.held);
        self.flows.touched.extend(held);
    }

    /// Brings up to date which packets of which instances are routed by others, and those.
    pub(super) fn redirect(&mut self) {
        // Instances that come and go on the way import what touches themselves: no rules are made for them.
        let touched = std::mem::take(&mut self.flows.touched);
        let (held, touched): (BTreeSet<VpnId>, BTreeSet<VpnId>) = touched
            .into_iter()
            .partition(|vpn| self.flows.held.contains(vpn) && self.instances.contains_key(vpn));
        if touched.is_empty() {
            self.flows.touched = held;
            return;
        }
        for vpn in touched {
            let rules = self.rules_of(vpn);
            if let Some(instance) = self.instances.get_mut(&vpn) {
                instance.installed.set_classifier(vpn, rules, &mut self.effects.changes);
            }
        }
        if self.flows.held.is_empty() {
            self.remove_redirects();
        }
        self.flows.touched = held;
    }

    fn rules_of(&mut self, vpn: VpnId) -> Vec<Rule> {
        let instance = self.instances.get(&vpn).filter(|instance| instance.router.is_some());
        let Some(import) =
            instance.filter(|instance| instance.redirect.is_none()).map(|it| it.import.clone())
        else {
            return Vec::new();
        };
        let mut all = Vec::new();
        for (flow, target) in self.flows.of(&import) {
            let Ok(matched) = rules(&flow) else { continue };
            if all.len() + matched.len() > limits::RULES_PER_VPN as usize {
                let vpn = self.name_of(vpn);
                tracing::warn!(%vpn, %flow, "more flow specifications than a VPN instance can have are not applied");
                break;
            }
            let Some(vrf) = self.redirect_to(target) else { continue };
            all.extend(matched.into_iter().map(|rule| Rule { vrf, ..rule }));
        }
        all
    }

    /// The instance that routes what is redirected to a route target; it is made if need be.
    fn redirect_to(&mut self, target: RouteTarget) -> Option<VpnId> {
        if let Some(vpn) = self.flows.redirects.get(&target) {
            return Some(*vpn);
        }
        let name = name_of_redirect(target);
        let numbers = (self.numbers.peek(), self.vnis.peek(), self.labels.peek());
        let (Some(number), Some(vni), Some(label)) = numbers else {
            tracing::warn!(%name, "no instance number, VNI or label is free for what is redirected");
            return None;
        };
        let vpn = VpnId::try_from(number).ok().filter(|_| !self.names.contains_key(&name))?;
        self.create_redirect(target, vpn, Vni::new(vni)?, Label::new(label)?);
        self.effects.renumbered = true;
        Some(vpn)
    }

    /// Makes the instance that routes what is redirected to a route target.
    pub(super) fn create_redirect(&mut self, target: RouteTarget, vpn: VpnId, vni: Vni, label: Label) {
        self.create(vpn, &name_of_redirect(target), vni, Some(label), true);
        if let Some(instance) = self.instances.get_mut(&vpn) {
            instance.redirect = Some(target);
        }
        self.set_import(vpn, &[target].into());
        self.touched.insert(vpn);
        self.flows.redirects.insert(target, vpn);
    }

    /// Removes instances that nothing is redirected to any longer.
    fn remove_redirects(&mut self) {
        let rules = self.instances.values().flat_map(|instance| &instance.installed.classifier);
        let used: BTreeSet<VpnId> = rules.map(|rule| rule.vrf).collect();
        let unused = self.flows.redirects.extract_if(.., |_, vpn| !used.contains(vpn));
        for (_, vpn) in unused.collect::<Vec<_>>() {
            self.remove(vpn);
            self.effects.renumbered = true;
        }
    }
}

/// The name of the instance that routes what is redirected to a route target, as with bagpipe-bgp.
pub(super) fn name_of_redirect(target: RouteTarget) -> String {
    format!("redirect-to-ipvpn-{}", target.to_string().replace(':', "_"))
}
