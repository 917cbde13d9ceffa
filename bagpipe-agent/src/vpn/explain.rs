//! Why packets of an IP-VPN go where they go: port, route, best path, entry of the maps.

use std::net::IpAddr;

use bagpipe_bgp::types::{IpPrefix, MacAddr};
use serde::Serialize;

use super::instance::Instance;
use super::router::{Reason, Router};
use super::routes_view::HopView;
use super::vpns::Vpns;
use crate::fib::VpnId;

/// Why packets of an IP-VPN for an address go where they go.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Explanation {
    /// The instance whose routes count.
    pub vpn: String,
    /// Its number on this node.
    pub number: VpnId,
    /// The interfaces whose packets it routes: its own ports, and those of E-VPNs that are plugged into it.
    pub ports: Vec<String>,
    /// The longest prefix that the address is in, of those that lead anywhere.
    pub prefix: Option<IpPrefix>,
    /// Why it is where it is.
    pub reason: Option<Reason>,
    /// The imported routes for that prefix, and those for longer ones that lead nowhere.
    pub candidates: Vec<CandidateView>,
    /// Where the entry of the maps for the prefix sends packets.
    pub hops: Vec<HopView>,
    /// Why packets go nowhere.
    pub stopped: Option<String>,
}

/// An imported route.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct CandidateView {
    /// What it is for, and its route distinguisher.
    pub route: String,
    /// What decides between it and others.
    pub attributes: String,
    /// It is one of those that are used.
    pub best: bool,
}

impl Vpns {
    /// Why packets of an instance for an address go where they go; `None` if there is no such instance.
    #[must_use]
    pub fn explain(&self, vpn: &str, ip: IpAddr) -> Option<Explanation> {
        let asked = self.names.get(vpn).and_then(|id| self.instances.get(id))?;
        // The hosts of an E-VPN are routed by the IP-VPN that it is plugged into.
        let routing = match &asked.plug {
            Some(plug) => self.instances.get(&plug.ipvpn)?,
            None => asked,
        };
        let mut explanation = Explanation {
            vpn: routing.name.clone(),
            number: routing.id,
            ports: Vec::new(),
            prefix: None,
            reason: None,
            candidates: Vec::new(),
            hops: Vec::new(),
            stopped: None,
        };
        match &routing.router {
            Some(router) => self.explain_route(routing, router, ip, &mut explanation),
            None => {
                explanation.stopped = Some(format!(
                    "E-VPN instance '{vpn}' is not plugged into an IP-VPN: it switches frames and routes nothing"
                ));
            }
        }
        Some(explanation)
    }

    fn explain_route(&self, routing: &Instance, router: &Router, ip: IpAddr, explanation: &mut Explanation) {
        let plugged = router.plugs().filter_map(|evpn| self.instances.get(&evpn));
        let ports =
            std::iter::once(routing).chain(plugged).flat_map(|instance| instance.local.ports.values());
        explanation.ports = ports.map(|port| port.interface.clone()).collect();
        let port = |mac: MacAddr| routing.local_mac(&mac).map(|entry| entry.port);
        let bits = IpPrefix::host(ip).length();
        for prefix in (0..=bits).rev().filter_map(|length| IpPrefix::new(ip, length)) {
            explanation.hops = self.hop_views(routing.installed_hops(&prefix));
            let reason = router.resolve(prefix, &port).map(|(_, reason)| reason);
            let used = matches!(reason, Some(Reason::Imported)) && !explanation.hops.is_empty();
            let best = router.best(prefix);
            let is_best = |key| used && best.iter().any(|(of_best, _)| *of_best == key);
            explanation.candidates.extend(router.candidates(prefix).map(|(key, route)| CandidateView {
                route: key.to_string(),
                attributes: route.attributes.to_string(),
                best: is_best(key),
            }));
            if !explanation.hops.is_empty() {
                (explanation.prefix, explanation.reason) = (Some(prefix), reason);
                return;
            }
        }
        explanation.stopped = Some(if explanation.candidates.is_empty() {
            format!(
                "no route: nothing that holds {ip} is attached, and no route with an imported route target has come"
            )
        } else {
            format!("the routes to {ip} lead nowhere: the host that is their gateway has no route of its own")
        });
    }
}
