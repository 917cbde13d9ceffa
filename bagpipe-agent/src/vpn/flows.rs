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

/// Why flow specifications that an instance imports are not applied: the words that follow its name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Shortage {
    /// There are too many.
    #[error(
        "applies {applied} of {all} flow specifications: an instance has {max} rules at most, and the first come first \
         (RFC 8955 §5.1); announce fewer with the route targets that it imports",
        max = limits::RULES_PER_VPN
    )]
    Rules {
        /// How many are applied.
        applied: usize,
        /// How many could be.
        all: usize,
    },
    /// There is none of what another instance takes.
    #[error(
        "does not apply flow specifications that redirect to {target}: no instance number, VNI or label is free for \
         these packets; widen 'vnis' and 'labels' in [vpn], or detach what is not used"
    )]
    Redirect {
        /// Where they redirect to.
        target: RouteTarget,
    },
}

impl Vpns {
    /// The instances that do not apply all flow specifications, and why.
    pub fn shortages(&self) -> impl Iterator<Item = (VpnId, String)> {
        let shortages =
            self.instances.values().filter_map(|instance| Some((instance.id, instance.shortage?)));
        shortages.map(|(vpn, shortage)| (vpn, shortage.to_string()))
    }

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
            let (rules, shortage) = self.rules_of(vpn);
            if let Some(instance) = self.instances.get_mut(&vpn) {
                self.effects.health |= instance.shortage != shortage;
                instance.shortage = shortage;
                instance.installed.set_classifier(vpn, rules, &mut self.effects.changes);
            }
        }
        if self.flows.held.is_empty() {
            self.remove_redirects();
        }
        self.flows.touched = held;
    }

    fn rules_of(&mut self, vpn: VpnId) -> (Vec<Rule>, Option<Shortage>) {
        let instance = self.instances.get(&vpn).filter(|instance| instance.router.is_some());
        let Some(import) =
            instance.filter(|instance| instance.redirect.is_none()).map(|it| it.import.clone())
        else {
            return (Vec::new(), None);
        };
        let flows = self.flows.of(&import).into_iter();
        let matched: Vec<_> = flows.filter_map(|(flow, target)| Some((rules(&flow).ok()?, target))).collect();
        let (mut all, mut shortage) = (Vec::new(), None);
        for (applied, (rules, target)) in matched.iter().enumerate() {
            if all.len() + rules.len() > limits::RULES_PER_VPN as usize {
                return (all, Some(Shortage::Rules { applied, all: matched.len() }));
            }
            match self.redirect_to(*target) {
                Some(vrf) => all.extend(rules.iter().map(|rule| Rule { vrf, ..*rule })),
                None => shortage = Some(Shortage::Redirect { target: *target }),
            }
        }
        (all, shortage)
    }

    /// The instance that routes what is redirected to a route target; it is made if need be.
    fn redirect_to(&mut self, target: RouteTarget) -> Option<VpnId> {
        if let Some(vpn) = self.flows.redirects.get(&target) {
            return Some(*vpn);
        }
        let numbers = (self.numbers.peek(), self.vnis.peek(), self.labels.peek());
        let (Some(number), Some(vni), Some(label)) = numbers else { return None };
        let is_free = !self.names.contains_key(&name_of_redirect(target));
        let vpn = VpnId::try_from(number).ok().filter(|_| is_free)?;
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
