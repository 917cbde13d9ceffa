//! Routes and labels as they are shown, and why a packet goes where it goes.

use std::net::IpAddr;

use bagpipe_bgp::types::{IpPrefix, Label, MacAddr, Vni};
use serde::Serialize;

use super::instance::Instance;
use super::router::Reason;
use super::vpns::Vpns;
use crate::fib::{Hop, LabelUse, MplsForm, PortId, Target};

/// A prefix of an IP-VPN, and where it is.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct PrefixRouteView {
    /// The instance.
    pub vpn: String,
    /// The prefix.
    pub prefix: IpPrefix,
    /// Where packets go, each in words.
    pub hops: Vec<HopView>,
}

/// A hop in words.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case", tag = "hop")]
pub enum HopView {
    /// A port of this node.
    Port {
        /// Its interface.
        interface: String,
        /// The MAC address behind it.
        mac: MacAddr,
    },
    /// A remote endpoint over VXLAN.
    Vxlan {
        /// Its address.
        endpoint: IpAddr,
        /// The VNI to send with.
        vni: Vni,
        /// The MAC address that the frame is for.
        mac: MacAddr,
    },
    /// A remote endpoint over MPLS.
    Mpls {
        /// Its address.
        endpoint: IpAddr,
        /// The label to send with.
        label: Label,
        /// What carries it.
        form: MplsForm,
    },
    /// The gateway itself.
    Gateway,
}

impl HopView {
    /// The remote endpoint.
    #[must_use]
    pub const fn endpoint(&self) -> Option<IpAddr> {
        match self {
            Self::Vxlan { endpoint, .. } | Self::Mpls { endpoint, .. } => Some(*endpoint),
            Self::Port { .. } | Self::Gateway => None,
        }
    }
}

/// A label of this node.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct LabelView {
    /// The label.
    pub label: Label,
    /// The instance whose remote endpoints may send with it.
    pub vpn: String,
    /// `port`, `router` or `bridge`.
    pub kind: &'static str,
    /// The interface that packets go to without a lookup.
    pub interface: Option<String>,
    /// The MAC address behind it.
    pub mac: Option<MacAddr>,
}

/// Why packets of an IP-VPN for an address go where they go.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Explanation {
    /// The instance whose routes count.
    pub vpn: String,
    /// The longest prefix that the address is in.
    pub prefix: Option<IpPrefix>,
    /// Why it is where it is.
    pub reason: Option<Reason>,
    /// The imported routes for the prefix.
    pub candidates: Vec<CandidateView>,
    /// What is in the maps for it.
    pub hops: Vec<HopView>,
    /// Why packets go nowhere.
    pub stopped: Option<String>,
}

/// An imported route.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct CandidateView {
    /// Its route distinguisher and prefix, or MAC address.
    pub route: String,
    /// What decides between it and others.
    pub attributes: String,
    /// It is one of those that are used, if the prefix is not attached here.
    pub best: bool,
}

impl Vpns {
    /// Where prefixes are, by instance and prefix.
    pub fn prefix_routes(&self) -> impl Iterator<Item = PrefixRouteView> + '_ {
        self.instances.values().flat_map(move |instance| {
            instance.installed.routes.iter().map(move |(prefix, hops)| PrefixRouteView {
                vpn: instance.name.clone(),
                prefix: *prefix,
                hops: self.hop_views(hops),
            })
        })
    }

    /// The labels of this node.
    #[must_use]
    pub fn labels(&self) -> Vec<LabelView> {
        let all = self.instances.values().flat_map(|instance| &instance.installed.labels);
        let mut labels: Vec<LabelView> = all
            .map(|(label, meaning)| {
                let (kind, adjacency) = match meaning {
                    LabelUse::Adjacency(_, adjacency) => ("port", Some(adjacency)),
                    LabelUse::Router(_) => ("router", None),
                    LabelUse::Bridge(_) => ("bridge", None),
                };
                let interface = adjacency.and_then(|adjacency| match adjacency.target {
                    Target::Port(port) => self.interface_of(port),
                    _ => None,
                });
                let mac = adjacency.map(|adjacency| adjacency.destination);
                LabelView { label: *label, vpn: self.name_of(meaning.vpn()), kind, interface, mac }
            })
            .collect();
        labels.sort_unstable_by_key(|view| view.label);
        labels
    }

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
            prefix: None,
            reason: None,
            candidates: Vec::new(),
            hops: Vec::new(),
            stopped: None,
        };
        let Some(router) = &routing.router else {
            explanation.stopped = Some(format!(
                "E-VPN instance '{vpn}' is not plugged into an IP-VPN: it switches frames and routes nothing"
            ));
            return Some(explanation);
        };
        let bits = IpPrefix::host(ip).length();
        let lengths = (0..=bits).rev().filter_map(|length| IpPrefix::new(ip, length));
        let known = |prefix: &IpPrefix| {
            routing.installed.routes.contains_key(prefix) || router.candidates(*prefix).next().is_some()
        };
        let Some(prefix) = lengths.into_iter().find(known) else {
            explanation.stopped = Some(format!(
                "no route: nothing that holds {ip} is attached, and no route with an imported route target has come"
            ));
            return Some(explanation);
        };
        let port = |mac: MacAddr| routing.local_mac(&mac).map(|entry| entry.port);
        explanation.prefix = Some(prefix);
        explanation.reason = router.resolve(prefix, &port).map(|(_, reason)| reason);
        let best: Vec<_> = router.best(prefix).into_iter().map(|(key, _)| *key).collect();
        explanation.candidates = router
            .candidates(prefix)
            .map(|(key, path)| CandidateView {
                route: format!("{key:?}"),
                attributes: path.attributes.to_string(),
                best: best.contains(key),
            })
            .collect();
        explanation.hops = self.hop_views(routing.installed_hops(&prefix));
        if explanation.hops.is_empty() {
            explanation.stopped = Some(format!(
                "the best route of {prefix} leads nowhere: its gateway has no route of its own"
            ));
        }
        Some(explanation)
    }

    fn hop_views(&self, hops: &[Hop]) -> Vec<HopView> {
        hops.iter().filter_map(|hop| self.hop_view(hop)).collect()
    }

    fn hop_view(&self, hop: &Hop) -> Option<HopView> {
        let (target, mac) = match hop {
            Hop::Router => return Some(HopView::Gateway),
            Hop::Labelled(target) => (target, MacAddr([0; 6])),
            Hop::Adjacency(adjacency) => (&adjacency.target, adjacency.destination),
        };
        Some(match *target {
            Target::Port(port) => HopView::Port { interface: self.interface_of(port)?, mac },
            Target::Vxlan { endpoint, vni } => HopView::Vxlan { endpoint, vni, mac },
            Target::Mpls { endpoint, label, form } => HopView::Mpls { endpoint, label, form },
            Target::Router(_) => HopView::Gateway,
        })
    }

    fn interface_of(&self, port: PortId) -> Option<String> {
        let ports = |instance: &Instance| Some(instance.local.ports.get(&port)?.interface.clone());
        self.instances.values().find_map(ports)
    }
}
