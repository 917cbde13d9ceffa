//! Prefixes and labels as they are shown. The field names are stable: `-o json` prints them.

use std::net::IpAddr;

use bagpipe_bgp::types::{IpPrefix, Label, MacAddr, Vni};
use serde::Serialize;

use super::instance::Instance;
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

    pub(super) fn hop_views(&self, hops: &[Hop]) -> Vec<HopView> {
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
            Target::Router(_) | Target::Segment(_) => HopView::Gateway,
        })
    }

    pub(super) fn interface_of(&self, port: PortId) -> Option<String> {
        let ports = |instance: &Instance| Some(instance.installed.ports.get(&port)?.interface.clone());
        self.instances.values().find_map(ports)
    }
}
