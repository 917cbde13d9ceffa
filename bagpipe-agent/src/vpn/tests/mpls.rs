//! E-VPN over MPLS (RFC 7432): labels in place of VNIs.

use bagpipe_bgp::types::{Label, LabelField};

use super::*;
use crate::fib::{LabelUse, MplsForm};

fn over_mpls() -> Node {
    let own = config();
    let overlay = Overlay { evpn: Encapsulation::Mpls, ..own.overlay };
    Node { vpns: Vpns::new(VpnsConfig { overlay, ..own }), ..Node::new() }
}

/// A route with a label, and perhaps an Encapsulation community.
fn labelled(route: Remote, label: u32, encapsulation: Option<TunnelType>) -> Remote {
    Remote { vni: LabelField::from(Label::new(label).unwrap()).vni().get(), encapsulation, ..route }
}

fn mpls(endpoint: &str, label: u32, form: MplsForm) -> Target {
    Target::Mpls { endpoint: ip(endpoint), label: Label::new(label).unwrap(), form }
}

#[test]
fn a_node_announces_the_label_of_the_instance_in_each_route() {
    let mut node = over_mpls();
    node.attach(&attach("tap0", 1, Some("10.0.0.1")));
    let label = Label::new(100).unwrap();
    assert_eq!(node.fib.labels, [(label, LabelUse::Bridge(1))].into());
    for (nlri, attributes) in node.routes.values() {
        let field = match nlri {
            Nlri::Evpn(EvpnRoute::MacIp { label, .. }) => *label,
            Nlri::Evpn(EvpnRoute::InclusiveMulticast { .. }) => {
                attributes.pmsi_tunnel.as_ref().unwrap().label
            }
            _ => panic!("{nlri}"),
        };
        assert_eq!(field.mpls(), label);
        let offers: Vec<_> =
            attributes.extended_communities.iter().filter_map(ExtendedCommunity::as_encapsulation).collect();
        assert_eq!(offers, [TunnelType::MPLS_IN_UDP, TunnelType::MPLS_IN_GRE, TunnelType::MPLS]);
    }
    assert_eq!(node.routes.len(), 2);

    // Another has another label; each gives its own back.
    node.attach(&in_vpn("red", attach("tap1", 2, None)));
    assert_eq!(node.fib.labels.len(), 2);
    node.detach(1, None);
    node.vpns.detach(&Detach { vpn: "red".into(), ..detach(2, None) }).unwrap();
    node.settle();
    assert_eq!(node.fib, Fib::default());
    assert!(node.vpns.is_empty());
}

#[test]
fn the_form_of_each_route_is_taken_whatever_this_node_announces() {
    for mut node in [Node::new(), over_mpls()] {
        node.attach(&attach("tap0", 1, Some("10.0.0.1")));
        for (offer, form) in [
            (None, MplsForm::Udp),
            (Some(TunnelType::MPLS), MplsForm::Ethernet),
            (Some(TunnelType::MPLS_IN_GRE), MplsForm::Gre),
            (Some(TunnelType::GRE), MplsForm::Gre),
            (Some(TunnelType::MPLS_IN_UDP), MplsForm::Udp),
        ] {
            node.announce(&labelled(remote(LOWER, 2, Some("10.0.0.2")), 500, offer));
            node.announce(&labelled(multicast(LOWER), 501, offer));
            assert_eq!(node.target(1, 2), Some(mpls(LOWER, 500, form)), "{offer:?}");
            let remote: Vec<_> =
                node.fib.floods.iter().filter(|(_, target)| !matches!(target, Target::Port(_))).collect();
            assert_eq!(remote, [&(1, mpls(LOWER, 501, form))], "{offer:?}");
            assert_eq!(node.fib.endpoints, [(1, ip(LOWER))].into());
        }
        // One node may speak MPLS, the next VXLAN.
        node.announce(&remote(HIGHER, 3, None));
        assert_eq!(node.target(1, 3), Some(vxlan(HIGHER, 700)));
    }
}

#[test]
fn labels_that_no_packet_may_have_are_not_followed() {
    let mut node = over_mpls();
    node.attach(&attach("tap0", 1, None));
    // Implicit null is never on the wire (RFC 3032 §2.1); below explicit null there is no telling whose frame it is.
    for reserved in [0, 2, 3, 15] {
        assert!(node.announce(&labelled(remote(LOWER, 2, None), reserved, None)).is_empty());
        assert!(node.announce(&labelled(multicast(LOWER), reserved, None)).is_empty());
    }
}
