//! The routes that an instance originates (RFC 7432 §7.2 and §7.3, with VXLAN per RFC 8365).

use std::cmp::Reverse;
use std::collections::BTreeSet;
use std::net::IpAddr;

use bagpipe_bgp::types::{
    EthernetSegmentId, Label, LabelField, MacAddr, RouteDistinguisher, RouteTarget, RouterId, Vni,
};
use bagpipe_bgp::wire::community::MacMobility;
use bagpipe_bgp::wire::pmsi::PmsiTunnelKind;
use bagpipe_bgp::wire::{Attributes, EvpnRoute, ExtendedCommunity, NextHop, Nlri, PmsiTunnel};

use super::mobility::Claim;
use super::overlay::{Encapsulation, Overlay};
use super::plug::Plug;

/// What all routes of an instance have in common.
#[derive(Clone, Debug)]
pub(crate) struct Originator {
    pub(crate) router_id: RouterId,
    pub(crate) rd: RouteDistinguisher,
    pub(crate) vni: Vni,
    /// Tunnel endpoint of this node: next hop, and where floods are to be sent.
    pub(crate) endpoint: IpAddr,
    pub(crate) overlay: Overlay,
    /// Label of the frames of an E-VPN over MPLS.
    pub(crate) bridge: Option<Label>,
}

impl Originator {
    /// The type 2 route of a MAC address. Its label is the VNI (RFC 8365 §5.1.3), its tag zero (§5.1.2). The second
    /// is that of the IP-VPN that the instance is plugged into (RFC 9135 §4.1).
    pub(crate) fn mac_route(&self, mac: MacAddr, ip: Option<IpAddr>, plug: Option<&Plug>) -> Nlri {
        Nlri::Evpn(EvpnRoute::MacIp {
            rd: self.rd,
            esi: EthernetSegmentId::ZERO,
            tag: 0,
            mac,
            ip,
            label: self.label(),
            ip_label: ip.and(plug).map(|plug| match self.overlay.evpn {
                Encapsulation::Vxlan => plug.vni.into(),
                Encapsulation::Mpls => plug.label.into(),
            }),
        })
    }

    /// Attributes of type 2 routes with a mobility sequence number. A MAC address that never moved has no MAC
    /// Mobility community (RFC 7432 §15).
    pub(crate) fn mac_attributes(&self, targets: &BTreeSet<RouteTarget>, sequence: u32) -> Attributes {
        let mut attributes = self.attributes(targets);
        if sequence > 0 {
            let mobility = MacMobility { sticky: false, sequence };
            attributes.extended_communities.push(ExtendedCommunity::mac_mobility(mobility));
        }
        attributes
    }

    /// The type 3 route of the instance.
    pub(crate) const fn multicast_route(&self) -> Nlri {
        Nlri::Evpn(EvpnRoute::InclusiveMulticast { rd: self.rd, tag: 0, originator: self.endpoint })
    }

    /// Attributes of the type 3 route: ingress replication (RFC 7432 §11.2, RFC 8365 §9).
    pub(crate) fn multicast_attributes(&self, targets: &BTreeSet<RouteTarget>) -> Attributes {
        Attributes {
            pmsi_tunnel: Some(PmsiTunnel {
                flags: 0,
                label: self.label(),
                tunnel: PmsiTunnelKind::IngressReplication(self.endpoint),
            }),
            ..self.attributes(targets)
        }
    }

    /// The route of the gateway of a plugged instance (RFC 7432 §10.1).
    pub(crate) fn gateway_attributes(&self, targets: &BTreeSet<RouteTarget>) -> Attributes {
        let mut attributes = self.attributes(targets);
        attributes.extended_communities.push(ExtendedCommunity::DEFAULT_GATEWAY);
        attributes
    }

    /// Adds what makes a type 2 route one of the IP-VPN, too (RFC 9135 §5.1).
    pub(crate) fn add_plug(&self, attributes: &mut Attributes, own: &BTreeSet<RouteTarget>, plug: &Plug) {
        let more = plug.export.difference(own).map(|target| ExtendedCommunity::from(*target));
        attributes.extended_communities.extend(more);
        if self.overlay.evpn == Encapsulation::Vxlan {
            attributes.extended_communities.push(ExtendedCommunity::router_mac(self.overlay.router_mac));
        }
    }

    /// The claim of this node to a MAC address.
    pub(crate) const fn claim(&self, sequence: u32) -> Claim {
        Claim { sticky: false, sequence, endpoint: Reverse(self.endpoint) }
    }

    fn label(&self) -> LabelField {
        self.bridge.map_or_else(|| self.vni.into(), LabelField::from)
    }

    fn attributes(&self, targets: &BTreeSet<RouteTarget>) -> Attributes {
        Attributes {
            next_hop: Some(NextHop { address: self.endpoint, link_local: None }),
            local_pref: Some(100),
            extended_communities: targets
                .iter()
                .map(|target| ExtendedCommunity::from(*target))
                .chain(self.overlay.communities(self.overlay.evpn))
                .collect(),
            ..Attributes::default()
        }
    }
}
