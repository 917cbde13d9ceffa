//! What carries the traffic of instances between nodes: what this node announces, and what it makes of what others
//! announce (RFC 8365 §5.1.3, RFC 9012 §4.1).

use std::net::IpAddr;
use std::ops::RangeInclusive;

use bagpipe_bgp::types::{Label, MacAddr};
use bagpipe_bgp::wire::community::TunnelType;
use bagpipe_bgp::wire::{Attributes, ExtendedCommunity};
use serde::Serialize;

use crate::fib::MplsForm;

/// The gateway's MAC address on every node (RFC 5798 §7.3 has the form; virtual router 1).
pub const GATEWAY_MAC: MacAddr = MacAddr([0x00, 0x00, 0x5e, 0x00, 0x01, 0x01]);

/// What a family is announced with.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Encapsulation {
    /// VXLAN.
    Vxlan,
    /// MPLS, in the configured form.
    Mpls,
}

/// Tunnels, labels and the addresses of the router, the same for all instances of a node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Overlay {
    /// The gateway's MAC address, the same on every node (RFC 9135 §4.1).
    pub gateway_mac: MacAddr,
    /// The MAC address that other nodes send routed packets over VXLAN to (RFC 9135 §8.1).
    pub router_mac: MacAddr,
    /// What carries labels, where the remote endpoint gives the choice.
    pub mpls: MplsForm,
    /// What E-VPN routes are announced with.
    pub evpn: Encapsulation,
    /// What IP-VPN routes are announced with.
    pub ipvpn: Encapsulation,
    /// What labels are drawn from.
    pub labels: RangeInclusive<u32>,
}

/// The tunnel that a route of another node is followed through.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Tunnel {
    Vxlan,
    Mpls(MplsForm),
}

impl Overlay {
    /// The defaults of a node with this tunnel endpoint.
    #[must_use]
    pub fn new(endpoint: IpAddr) -> Self {
        Self {
            gateway_mac: GATEWAY_MAC,
            router_mac: router_mac(endpoint),
            mpls: MplsForm::Udp,
            evpn: Encapsulation::Vxlan,
            ipvpn: Encapsulation::Mpls,
            labels: Label::FIRST_UNRESERVED.get()..=Label::MAX,
        }
    }

    /// The Encapsulation communities of a route. Labelled packets are accepted in every form: the preferred one
    /// comes first.
    pub(crate) fn communities(&self, encapsulation: Encapsulation) -> Vec<ExtendedCommunity> {
        let types = match encapsulation {
            Encapsulation::Vxlan => vec![TunnelType::VXLAN],
            Encapsulation::Mpls => {
                let others = [MplsForm::Udp, MplsForm::Gre, MplsForm::Ethernet];
                let others = others.into_iter().filter(|form| *form != self.mpls);
                std::iter::once(self.mpls).chain(others).map(tunnel_type).collect()
            }
        };
        types.into_iter().map(ExtendedCommunity::encapsulation).collect()
    }

    /// How a route is followed: as this node would announce it, if the remote endpoint offers that, else by the
    /// first way that it offers. No offer means MPLS (RFC 8365 §5.1.3).
    pub(crate) fn tunnel(&self, attributes: &Attributes, preferred: Encapsulation) -> Option<Tunnel> {
        let preferred = match preferred {
            Encapsulation::Vxlan => Tunnel::Vxlan,
            Encapsulation::Mpls => Tunnel::Mpls(self.mpls),
        };
        let mut offers =
            attributes.extended_communities.iter().filter_map(ExtendedCommunity::as_encapsulation).peekable();
        if offers.peek().is_none() {
            return Some(Tunnel::Mpls(self.mpls));
        }
        let mut tunnels = offers.filter_map(tunnel).peekable();
        let first = tunnels.peek().copied();
        if tunnels.any(|tunnel| tunnel == preferred) { Some(preferred) } else { first }
    }
}

const fn tunnel_type(form: MplsForm) -> TunnelType {
    match form {
        MplsForm::Ethernet => TunnelType::MPLS,
        MplsForm::Gre => TunnelType::MPLS_IN_GRE,
        MplsForm::Udp => TunnelType::MPLS_IN_UDP,
    }
}

fn tunnel(offer: TunnelType) -> Option<Tunnel> {
    match offer {
        TunnelType::VXLAN => Some(Tunnel::Vxlan),
        TunnelType::MPLS => Some(Tunnel::Mpls(MplsForm::Ethernet)),
        // GRE with a label inside is what the family of a labelled route implies (RFC 9012 §3.2.6).
        TunnelType::GRE | TunnelType::MPLS_IN_GRE => Some(Tunnel::Mpls(MplsForm::Gre)),
        TunnelType::MPLS_IN_UDP => Some(Tunnel::Mpls(MplsForm::Udp)),
        _ => None,
    }
}

/// A locally administered address with the tunnel endpoint in it: no two nodes of an underlay share it.
fn router_mac(endpoint: IpAddr) -> MacAddr {
    match endpoint.to_canonical() {
        IpAddr::V4(address) => {
            let [a, b, c, d] = address.octets();
            MacAddr([0x02, 0x00, a, b, c, d])
        }
        IpAddr::V6(address) => {
            let [a, b, c, d] = address
                .octets()
                .as_chunks::<4>()
                .0
                .iter()
                .fold(0_u32, |folded, part| folded.rotate_left(5) ^ u32::from_be_bytes(*part))
                .to_be_bytes();
            MacAddr([0x02, 0x01, a, b, c, d])
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn offering(types: &[u16]) -> Attributes {
        let communities = types.iter().map(|kind| ExtendedCommunity::encapsulation(TunnelType(*kind)));
        Attributes { extended_communities: communities.collect(), ..Attributes::default() }
    }

    #[test]
    fn the_configured_form_is_taken_if_it_is_offered_else_the_first_offer() {
        let overlay = Overlay::new([192, 0, 2, 1].into());
        for (offers, tunnel) in [
            (&[][..], Some(Tunnel::Mpls(MplsForm::Udp))),
            (&[10, 13], Some(Tunnel::Mpls(MplsForm::Udp))),
            (&[10, 11], Some(Tunnel::Mpls(MplsForm::Ethernet))),
            (&[19, 2, 10], Some(Tunnel::Mpls(MplsForm::Gre))),
            (&[8], Some(Tunnel::Vxlan)),
            (&[19], None),
        ] {
            assert_eq!(overlay.tunnel(&offering(offers), Encapsulation::Mpls), tunnel, "{offers:?}");
        }
        assert_eq!(overlay.tunnel(&offering(&[13, 8]), Encapsulation::Vxlan), Some(Tunnel::Vxlan));
    }

    #[test]
    fn the_routers_mac_is_that_of_an_interface() {
        for endpoint in ["192.0.2.1", "2001:db8::1"] {
            let mac = router_mac(endpoint.parse().unwrap());
            assert!(!mac.is_multicast() && !mac.is_zero());
        }
        assert_ne!(router_mac("2001:db8::1".parse().unwrap()), router_mac("2001:db8:1::".parse().unwrap()));
    }
}
