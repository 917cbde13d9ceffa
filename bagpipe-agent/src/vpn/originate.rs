//! The routes that an instance originates (RFC 7432 §7.2 and §7.3, with VXLAN per RFC 8365).

use std::collections::BTreeSet;
use std::net::IpAddr;

use bagpipe_bgp::types::{EthernetSegmentId, MacAddr, RouteDistinguisher, RouteTarget, Vni};
use bagpipe_bgp::wire::community::{MacMobility, TunnelType};
use bagpipe_bgp::wire::pmsi::PmsiTunnelKind;
use bagpipe_bgp::wire::{Attributes, EvpnRoute, ExtendedCommunity, NextHop, Nlri, PmsiTunnel};

/// What all routes of an instance have in common.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Originator {
    pub(crate) rd: RouteDistinguisher,
    pub(crate) vni: Vni,
    /// Tunnel endpoint of this node: next hop, and where floods are to be sent.
    pub(crate) endpoint: IpAddr,
}

impl Originator {
    /// The type 2 route of a MAC address. Its label is the VNI (RFC 8365 §5.1.3), its tag zero (§5.1.2).
    pub(crate) fn mac_route(&self, mac: MacAddr, ip: Option<IpAddr>) -> Nlri {
        Nlri::Evpn(EvpnRoute::MacIp {
            rd: self.rd,
            esi: EthernetSegmentId::ZERO,
            tag: 0,
            mac,
            ip,
            label: self.vni.into(),
            ip_label: None,
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
                label: self.vni.into(),
                tunnel: PmsiTunnelKind::IngressReplication(self.endpoint),
            }),
            ..self.attributes(targets)
        }
    }

    fn attributes(&self, targets: &BTreeSet<RouteTarget>) -> Attributes {
        let encapsulation = ExtendedCommunity::encapsulation(TunnelType::VXLAN);
        Attributes {
            next_hop: Some(NextHop { address: self.endpoint, link_local: None }),
            local_pref: Some(100),
            extended_communities: targets
                .iter()
                .map(|target| ExtendedCommunity::from(*target))
                .chain([encapsulation])
                .collect(),
            ..Attributes::default()
        }
    }
}
