//! MAC addresses on Ethernet segments of several other nodes (RFC 7432 §8.2, §8.4, §14.1).

use bagpipe_bgp::types::{EthernetSegmentId, LabelField};
use bagpipe_bgp::wire::community::EsiLabel;

use super::*;
use crate::fib::Segment;

const ESI: EthernetSegmentId = EthernetSegmentId([0, 1, 2, 3, 4, 5, 6, 7, 8, 9]);
const OTHER_ESI: EthernetSegmentId = EthernetSegmentId([0, 9, 9, 9, 9, 9, 9, 9, 9, 9]);

/// A route about a segment, or about a MAC address on it.
type Said = (Nlri, Attributes);

/// The node is on the segment.
fn on(endpoint: &str, single_active: bool) -> Said {
    let (route, label) = (remote(endpoint, 0, None), LabelField::default());
    let (rd, mut attributes) = (rd(endpoint, 0), route.attributes());
    attributes.extended_communities.push(ExtendedCommunity::esi_label(EsiLabel { single_active, label }));
    (Nlri::Evpn(EvpnRoute::EthernetAutoDiscovery { rd, esi: ESI, tag: u32::MAX, label }), attributes)
}

/// The node takes frames for the segment.
fn takes(endpoint: &str) -> Said {
    let label = Vni::new(800).unwrap().into();
    let nlri = EvpnRoute::EthernetAutoDiscovery { rd: rd(endpoint, 1), esi: ESI, tag: 0, label };
    (Nlri::Evpn(nlri), remote(endpoint, 0, None).attributes())
}

/// The MAC address is on the segment.
fn on_it(endpoint: &str, address: u8, sequence: u32) -> Said {
    let route = Remote { sequence, ..remote(endpoint, address, None) };
    let Nlri::Evpn(EvpnRoute::MacIp { rd, tag, mac, ip, label, ip_label, .. }) = route.nlri() else {
        unreachable!("a type 2 route");
    };
    (Nlri::Evpn(EvpnRoute::MacIp { rd, esi: ESI, tag, mac, ip, label, ip_label }), route.attributes())
}

fn rd(endpoint: &str, number: u16) -> RouteDistinguisher {
    RouteDistinguisher::from_ipv4(endpoint.parse().unwrap(), number)
}

impl Node {
    fn told(said: &[Said]) -> Self {
        let mut node = Self::new();
        node.attach(&attach("tap0", 1, None));
        for route in said {
            node.tell(route);
        }
        node
    }

    fn tell(&mut self, (nlri, attributes): &Said) -> Effects {
        self.vpns.route(nlri, Some(&Arc::new(attributes.clone())));
        self.settle()
    }

    fn take_back(&mut self, (nlri, _): &Said) -> Effects {
        self.vpns.route(nlri, None);
        self.settle()
    }

    fn endpoints_of_segment(&self) -> Vec<Target> {
        self.fib.segments.get(&SEGMENT).map(|targets| targets.to_vec()).unwrap_or_default()
    }
}

const SEGMENT: Segment = Segment { vpn: 1, esi: ESI };

#[test]
fn flows_choose_between_all_nodes_on_the_segment() {
    let mut node = Node::told(&[on_it(LOWER, 2, 0), on_it(LOWER, 3, 0)]);
    assert_eq!(node.target(1, 2), None, "nobody is on the segment");
    node.tell(&takes(LOWER));
    node.tell(&takes(HIGHER));
    assert_eq!(node.target(1, 2), None, "RFC 7432 §8.4: not before it is known who is on it");
    node.tell(&on(LOWER, false));
    node.tell(&on(HIGHER, false));
    for address in [2, 3] {
        assert_eq!(node.target(1, address), Some(Target::Segment(SEGMENT)));
    }
    assert_eq!(node.endpoints_of_segment(), [vxlan(LOWER, 800), vxlan(HIGHER, 800)]);
    for endpoint in [LOWER, HIGHER] {
        assert!(node.fib.endpoints.contains(&(1, ip(endpoint))), "frames come from {endpoint}, too");
    }

    // One change, however many MAC addresses there are.
    let effects = node.take_back(&on(LOWER, false));
    assert_eq!(effects.changes, [Change::Segment(SEGMENT, Some([vxlan(HIGHER, 800)].into()))]);
    node.take_back(&on(HIGHER, false));
    assert_eq!((node.target(1, 2), node.endpoints_of_segment()), (None, vec![]));
    for route in [on_it(LOWER, 2, 0), on_it(LOWER, 3, 0), takes(LOWER), takes(HIGHER)] {
        node.take_back(&route);
    }
    assert!(node.fib.endpoints.is_empty() && node.fib.segments.is_empty());
}

#[test]
fn without_a_route_for_the_instance_who_announces_the_address_has_it() {
    let mut node = Node::told(&[on_it(LOWER, 2, 0), on(LOWER, false), on(HIGHER, false)]);
    assert_eq!(node.target(1, 2), Some(vxlan(LOWER, 700)));
    node.take_back(&on(LOWER, false));
    assert_eq!(node.target(1, 2), None);
}

#[test]
fn of_a_segment_with_one_active_node_the_others_are_for_later() {
    let mut node =
        Node::told(&[on_it(LOWER, 2, 0), on(LOWER, true), on(HIGHER, true), takes(LOWER), takes(HIGHER)]);
    assert_eq!(node.target(1, 2), Some(vxlan(LOWER, 700)));
    assert!(node.fib.segments.is_empty());
    node.take_back(&on(LOWER, true));
    assert_eq!(node.target(1, 2), Some(vxlan(HIGHER, 800)));
    node.tell(&on(LOWER, true));
    assert_eq!(node.target(1, 2), Some(vxlan(LOWER, 700)));
    // The other one takes over and says so itself.
    node.tell(&on_it(HIGHER, 2, 1));
    assert_eq!(node.target(1, 2), Some(vxlan(HIGHER, 700)));
}

/// RFC 7432 §8.2: a route that leads nowhere leaves the address to the next one.
#[test]
fn an_address_that_a_dead_segment_had_is_where_another_route_says() {
    let mut node = Node::told(&[on_it(LOWER, 2, 7), on(LOWER, false), takes(LOWER)]);
    node.announce(&remote(HIGHER, 2, None));
    assert_eq!(node.target(1, 2), Some(Target::Segment(SEGMENT)));
    node.take_back(&on(LOWER, false));
    assert_eq!(node.target(1, 2), Some(vxlan(HIGHER, 700)));
}

/// RFC 7432 §15: only who can have the address takes it away.
#[test]
fn a_route_on_a_dead_segment_does_not_silence_ours() {
    let mut node = Node::told(&[takes(LOWER)]);
    node.wait(Duration::from_secs(1));
    node.tell(&on_it(LOWER, 1, 7));
    assert_eq!(node.mac_routes(), [(mac(1), None, 0)]);
    node.tell(&on(LOWER, false));
    assert_eq!(node.mac_routes(), []);
    node.take_back(&on(LOWER, false));
    assert_eq!(node.mac_routes(), [(mac(1), None, 0)]);
}

#[test]
fn what_is_said_in_any_order_gives_the_same_state() {
    let routes = [
        on(LOWER, false),
        takes(LOWER),
        on_it(LOWER, 2, 0),
        on(HIGHER, false),
        takes(HIGHER),
        on_it(HIGHER, 2, 0),
        on_it(HIGHER, 3, 0),
    ];
    let mut states = Vec::new();
    for start in 0..routes.len() {
        let mut turned = routes.to_vec();
        turned.rotate_left(start);
        states.push(Node::told(&turned).fib);
        turned.reverse();
        states.push(Node::told(&turned).fib);
    }
    assert!(states.windows(2).all(|pair| pair[0] == pair[1]));
    let mut node = Node::told(&routes);
    node.detach(1, None);
    assert_eq!(node.fib, Fib::default());
    assert!(node.vpns.is_empty());
}

#[test]
fn routes_about_no_segment_are_ignored() {
    let (nlri, attributes) = on(LOWER, false);
    let Nlri::Evpn(EvpnRoute::EthernetAutoDiscovery { rd, tag, label, .. }) = nlri else { unreachable!() };
    let classified = |esi, tag| {
        let nlri = Nlri::Evpn(EvpnRoute::EthernetAutoDiscovery { rd, esi, tag, label });
        classify(&nlri, &Arc::new(attributes.clone()), &config()).map(|(key, _)| key)
    };
    assert_eq!(classified(EthernetSegmentId::ZERO, tag), Err(Ignored::NoSegment));
    assert_eq!(classified(ESI, 7), Err(Ignored::EthernetTag));
    assert_eq!(classified(OTHER_ESI, tag), Ok(RouteKey::OnSegment(rd, OTHER_ESI)));
}
