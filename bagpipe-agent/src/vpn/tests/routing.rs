use bagpipe_bgp::types::{IpPrefix, Label};
use bagpipe_bgp::wire::{LabelStack, VpnRoute};

use super::*;
use crate::fib::{Adjacency, Hop, LabelUse, MplsForm, Route, Router};
use crate::vpn::request::{LocalPort, TextList};

/// A request to attach to IP-VPN `blue`, as it comes.
pub(super) fn request(interface: &str, address: u8, ip_address: &str) -> AttachRequest {
    AttachRequest {
        vpn_type: Some("ipvpn".into()),
        vpn_instance_id: Some("blue".into()),
        mac_address: Some(mac(address).to_string()),
        ip_address: Some(ip_address.into()),
        local_port: Some(LocalPort::Name(interface.into())),
        import_rt: Some(TextList::Text("64512:1".into())),
        export_rt: Some(TextList::Text("64512:1".into())),
        ..AttachRequest::default()
    }
}

fn subnet(interface: &str, address: u8, ip_address: &str) -> AttachRequest {
    AttachRequest { advertise_subnet: Some(true), ..request(interface, address, ip_address) }
}

fn plugged(evpn: &str, gateway: &str) -> AttachRequest {
    let text = format!(r#"{{"evpn": {{"id": "{evpn}"}}}}"#);
    AttachRequest {
        local_port: Some(serde_json::from_str(&text).unwrap()),
        gateway_ip: Some(gateway.into()),
        ..request("", 0x77, &format!("{gateway}/24"))
    }
}

pub(super) fn routed(request: &AttachRequest) -> Attach {
    request.validate().unwrap()
}

fn prefix(text: &str) -> IpPrefix {
    text.parse().unwrap()
}

fn gateway() -> MacAddr {
    GATEWAY_MAC
}

fn to_port(vpn: VpnId, address: u8, port: u32) -> Hop {
    Hop::Adjacency(adjacency(vpn, address, port))
}

fn adjacency(vpn: VpnId, address: u8, port: u32) -> Adjacency {
    Adjacency { vpn, destination: mac(address), source: gateway(), target: Target::Port(port) }
}

pub(super) fn labelled(endpoint: &str, label: u32, form: MplsForm) -> Hop {
    Hop::Labelled(Target::Mpls { endpoint: ip(endpoint), label: Label::new(label).unwrap(), form })
}

fn rd(number: u16) -> RouteDistinguisher {
    RouteDistinguisher::from_ipv4("192.0.2.10".parse().unwrap(), number)
}

impl Node {
    fn hops(&self, vpn: VpnId, text: &str) -> Vec<Hop> {
        let route: Option<&Route> = self.fib.routes.get(&(vpn, prefix(text)));
        route.map(|route| route.hops.to_vec()).unwrap_or_default()
    }

    /// A VPN-IPv4 or VPN-IPv6 route of another node.
    fn announce_prefix(&mut self, endpoint: &str, text: &str, label: u32, change: impl Fn(&mut Attributes)) {
        let mut attributes = remote(endpoint, 0, None).attributes();
        attributes.pmsi_tunnel = None;
        attributes.extended_communities.retain(|community| community.as_encapsulation().is_none());
        change(&mut attributes);
        self.vpns.route(&vpn_route(endpoint, text, label), Some(&Arc::new(attributes)));
        self.settle();
    }

    pub(super) fn withdraw_prefix(&mut self, endpoint: &str, text: &str) {
        self.vpns.route(&vpn_route(endpoint, text, 0), None);
        self.settle();
    }

    fn vpn_labels(&self) -> Vec<(RouteDistinguisher, IpPrefix, u32)> {
        let routes = self.routes.values().filter_map(|(nlri, _)| match nlri {
            Nlri::Vpn(route) => Some((route.rd, route.prefix, route.labels.top().unwrap().get())),
            _ => None,
        });
        routes.collect()
    }
}

pub(super) fn vpn_route(endpoint: &str, text: &str, label: u32) -> Nlri {
    let rd = RouteDistinguisher::from_ipv4(endpoint.parse().unwrap(), 1);
    let labels = LabelStack::new(&[Label::new(label).unwrap()]).unwrap();
    Nlri::Vpn(VpnRoute { labels, rd, prefix: prefix(text) })
}

#[test]
fn an_ip_vpn_is_an_instance_that_routes_and_leaves_nothing() {
    let mut node = Node::new();
    let gateway_ip = Some("10.0.0.254".to_owned());
    let attach = routed(&AttachRequest { gateway_ip, ..request("tap0", 1, "10.0.0.1/24") });
    let attached = node.attach(&attach);
    assert_eq!((attached.vpn, attached.port), (1, Some(1)));
    assert!(!node.attach(&attach).changed);

    let router_mac = config().overlay.router_mac;
    assert_eq!(node.fib.vpns, [(1, attached.vni)].into());
    assert_eq!(node.fib.macs[&(1, mac(1))], Mac { target: Target::Port(1), any_ip: false });
    for own in [gateway(), router_mac] {
        assert_eq!(node.fib.macs[&(1, own)].target, Target::Router(1));
    }
    assert_eq!(node.neighbor(1, "10.0.0.1"), Some(Neighbor { mac: mac(1), router: false, port: Some(1) }));
    assert_eq!(node.neighbor(1, "10.0.0.254"), Some(Neighbor { mac: gateway(), router: true, port: None }));
    let face = Router { ipv4: Some("10.0.0.254".parse().unwrap()), ..Router::default() };
    assert_eq!(node.fib.routers, [(1, face)].into());
    assert_eq!(node.hops(1, "10.0.0.1/32"), [to_port(1, 1, 1)]);
    assert_eq!(node.hops(1, "10.0.0.254/32"), [Hop::Router]);
    let label = |number| Label::new(number).unwrap();
    let labels =
        [(label(100), LabelUse::Router(1)), (label(101), LabelUse::Adjacency(1, adjacency(1, 1, 1)))];
    assert_eq!(node.fib.labels, labels.into());
    assert!(node.fib.floods.is_empty());
    assert_eq!(node.vpn_labels(), [(rd(1), prefix("10.0.0.1/32"), 101)]);

    let detach = Detach { routed: true, ip: Some("10.0.0.1/24".parse().unwrap()), ..detach(1, None) };
    assert!(node.vpns.detach(&detach).unwrap().removed);
    node.settle();
    assert_eq!(node.fib, Fib::default());
    assert!(node.routes.is_empty() && node.vpns.is_empty());
}

#[test]
fn originated_routes_carry_what_others_need() {
    let mut node = Node::new();
    let request = AttachRequest {
        local_pref: Some(serde_json::from_str("44").unwrap()),
        lb_consistent_hash_order: Some(serde_json::from_str("7").unwrap()),
        ..subnet("tap0", 1, "2001:db8::1/64")
    };
    node.attach(&routed(&request));
    let (_, attributes) = &node.routes[&RouteKey::Prefix(rd(1), prefix("2001:db8::/64"))];
    assert_eq!(attributes.local_pref, Some(44));
    assert_eq!(attributes.next_hop.map(|next_hop| next_hop.address), Some(ip(OWN)));
    assert_eq!(attributes.route_targets().collect::<Vec<_>>(), [target("64512:1")]);
    let types: Vec<_> =
        attributes.extended_communities.iter().filter_map(ExtendedCommunity::as_encapsulation).collect();
    assert_eq!(types, [TunnelType::MPLS_IN_UDP, TunnelType::MPLS_IN_GRE, TunnelType::MPLS]);
    assert!(attributes.extended_communities.contains(&ExtendedCommunity::consistent_hash_sort_order(7)));
    assert!(node.fib.macs[&(1, mac(1))].any_ip, "the subnet is behind it");
    assert_eq!(node.hops(1, "2001:db8::1/128"), [to_port(1, 1, 1)]);

    let changed = AttachRequest { export_rt: Some(TextList::Text("64512:9".into())), ..request };
    node.attach(&routed(&changed));
    let (_, attributes) = &node.routes[&RouteKey::Prefix(rd(1), prefix("2001:db8::/64"))];
    assert_eq!(attributes.route_targets().collect::<Vec<_>>(), [target("64512:9")]);
}

#[test]
fn a_prefix_on_several_mac_addresses_is_several_routes() {
    let mut node = Node::new();
    node.attach(&routed(&subnet("tap0", 1, "10.9.0.0/16")));
    let refused = node.vpns.attach(&routed(&request("tap1", 2, "10.9.0.0")), node.now);
    assert!(refused.is_ok(), "a host in the subnet is no contradiction");
    node.attach(&routed(&subnet("tap1", 2, "10.9.0.0/16")));
    assert_eq!(node.hops(1, "10.9.0.0/16"), [to_port(1, 1, 1), to_port(1, 2, 2)]);
    let of_prefix: Vec<_> =
        node.vpn_labels().into_iter().filter(|(_, own, _)| *own == prefix("10.9.0.0/16")).collect();
    assert_eq!(of_prefix, [(rd(1), prefix("10.9.0.0/16"), 101), (rd(2), prefix("10.9.0.0/16"), 102)]);

    // Of unequal ones the better is used.
    let better = AttachRequest {
        local_pref: Some(serde_json::from_str("200").unwrap()),
        ..subnet("tap1", 2, "10.9.0.0/16")
    };
    node.attach(&routed(&better));
    assert_eq!(node.hops(1, "10.9.0.0/16"), [to_port(1, 2, 2)]);
    let error = node.vpns.attach(&routed(&request("tap3", 3, "10.9.0.0")), node.now).unwrap_err();
    assert!(error.to_string().contains("advertise_subnet"), "{error}");
}

#[test]
fn directions_are_kept() {
    let mut node = Node::new();
    let one_way = |interface, address, ip, direction: &str| AttachRequest {
        direction: Some(direction.into()),
        ..request(interface, address, ip)
    };
    node.attach(&routed(&one_way("tap0", 1, "10.0.0.1", "to-port")));
    node.attach(&routed(&one_way("tap1", 2, "10.0.0.2", "from-port")));
    assert_eq!((node.target(1, 1), node.neighbor(1, "10.0.0.1")), (None, None), "nothing is taken from it");
    assert_eq!(node.hops(1, "10.0.0.1"), [to_port(1, 1, 1)]);
    assert!(node.target(1, 2).is_some() && node.neighbor(1, "10.0.0.2").is_some());
    assert!(node.hops(1, "10.0.0.2").is_empty(), "nothing is sent to it");
    let label = |number| node.fib.labels.get(&Label::new(number).unwrap()).copied();
    assert_eq!(label(101), Some(LabelUse::Adjacency(1, adjacency(1, 1, 1))));
    assert_eq!(label(102), None, "not by label either");
    assert_eq!(node.vpn_labels().len(), 1);
    // A port may be given the other direction.
    node.attach(&routed(&one_way("tap1", 2, "10.0.0.2", "both")));
    assert!(node.fib.labels.contains_key(&Label::new(102).unwrap()) && !node.hops(1, "10.0.0.2").is_empty());
    node.attach(&routed(&one_way("tap1", 2, "10.0.0.2", "from-port")));
    assert!(!node.fib.labels.contains_key(&Label::new(102).unwrap()) && node.vpn_labels().len() == 1);
}

/// What a frame from one port for the gateway needs to come out of the other, and the way back.
#[test]
fn two_ports_talk_through_the_gateway() {
    let mut node = Node::new();
    for (interface, address, ip, direction) in
        [("tap0", 1, "10.0.1.1/24", "both"), ("tap1", 2, "10.0.2.1/24", "to-port")]
    {
        let gateway = format!("{}.254", &ip[..6]);
        node.attach(&routed(&AttachRequest {
            gateway_ip: Some(gateway),
            direction: Some(direction.into()),
            ..request(interface, address, ip)
        }));
    }
    for own in ["10.0.1.254", "10.0.2.254"] {
        assert_eq!(node.neighbor(1, own), Some(Neighbor { mac: gateway(), router: true, port: None }));
        assert_eq!(node.hops(1, own), [Hop::Router]);
    }
    assert_eq!(node.fib.macs[&(1, gateway())].target, Target::Router(1));
    assert_eq!(node.hops(1, "10.0.1.1"), [to_port(1, 1, 1)]);
    // It takes frames without an entry for its MAC address, with which it could send.
    assert_eq!((node.hops(1, "10.0.2.1"), node.target(1, 2)), (vec![to_port(1, 2, 2)], None));
}

#[test]
fn equal_routes_share_and_better_ones_win() {
    let mut node = Node::new();
    node.attach(&routed(&request("tap0", 1, "10.0.0.1")));
    let udp = |endpoint, label| labelled(endpoint, label, MplsForm::Udp);
    node.announce_prefix(LOWER, "10.5.0.0/16", 500, |_| {});
    node.announce_prefix(HIGHER, "10.5.0.0/16", 600, |_| {});
    assert_eq!(node.hops(1, "10.5.0.0/16"), [udp(LOWER, 500), udp(HIGHER, 600)]);
    assert_eq!(node.fib.endpoints, [(1, ip(LOWER)), (1, ip(HIGHER))].into());

    node.announce_prefix(HIGHER, "10.5.0.0/16", 600, |attributes| attributes.local_pref = Some(200));
    assert_eq!(node.hops(1, "10.5.0.0/16"), [udp(HIGHER, 600)]);
    node.announce_prefix(HIGHER, "10.5.0.0/16", 600, |attributes| attributes.med = Some(9));
    assert_eq!(node.hops(1, "10.5.0.0/16"), [udp(LOWER, 500)]);
    node.withdraw_prefix(LOWER, "10.5.0.0/16");
    assert_eq!(node.hops(1, "10.5.0.0/16"), [udp(HIGHER, 600)]);

    // What is attached here is here.
    node.announce_prefix(HIGHER, "10.0.0.1/32", 601, |attributes| attributes.local_pref = Some(900));
    assert_eq!(node.hops(1, "10.0.0.1"), [to_port(1, 1, 1)]);
    node.withdraw_prefix(HIGHER, "10.5.0.0/16");
    node.withdraw_prefix(HIGHER, "10.0.0.1/32");
    assert!(node.fib.endpoints.is_empty() && node.fib.routes.len() == 1);
}

#[test]
fn the_form_is_that_of_the_route() {
    let mut node = Node::new();
    node.attach(&routed(&request("tap0", 1, "10.0.0.1")));
    let with = |kind: TunnelType| {
        move |attributes: &mut Attributes| {
            attributes.extended_communities.push(ExtendedCommunity::encapsulation(kind));
        }
    };
    for (kind, form) in [(TunnelType::MPLS, MplsForm::Ethernet), (TunnelType::MPLS_IN_GRE, MplsForm::Gre)] {
        node.announce_prefix(LOWER, "0.0.0.0/0", 500, with(kind));
        assert_eq!(node.hops(1, "0.0.0.0/0"), [labelled(LOWER, 500, form)]);
    }
    node.announce_prefix(LOWER, "0.0.0.0/0", 500, with(TunnelType::VXLAN));
    let Overlay { router_mac, gateway_mac, .. } = config().overlay;
    let frame = Adjacency { vpn: 1, destination: gateway_mac, source: router_mac, target: vxlan(LOWER, 500) };
    assert_eq!(node.hops(1, "0.0.0.0/0"), [Hop::Adjacency(frame)]);
    node.announce_prefix(LOWER, "0.0.0.0/0", 500, with(TunnelType(19)));
    assert!(node.hops(1, "0.0.0.0/0").is_empty() && node.fib.endpoints.is_empty());
}

#[test]
fn ip_vpns_of_one_node_hear_of_each_other_by_their_targets_alone() {
    let mut node = Node::new();
    let other = |import: &str| AttachRequest {
        vpn_instance_id: Some("green".into()),
        import_rt: Some(TextList::Text(import.into())),
        export_rt: Some(TextList::Text("64512:2".into())),
        ..request("tap1", 2, "10.0.0.2")
    };
    node.attach(&routed(&request("tap0", 1, "10.0.0.1")));
    node.attach(&routed(&other("64512:7")));
    assert!(node.hops(2, "10.0.0.1").is_empty() && node.hops(1, "10.0.0.2").is_empty());
    node.attach(&routed(&other("64512:1")));
    assert_eq!(node.hops(2, "10.0.0.1"), [to_port(1, 1, 1)]);
    assert!(node.hops(1, "10.0.0.2").is_empty(), "one way only");
    let detach = Detach { routed: true, ..detach(1, None) };
    node.vpns.detach(&detach).unwrap();
    node.settle();
    assert!(node.hops(2, "10.0.0.1").is_empty());
}

#[test]
fn an_e_vpn_that_is_plugged_in_has_the_gateway_and_its_hosts_are_routed_to() {
    let mut node = Node::new();
    node.attach(&in_vpn("lan", attach("tap0", 1, Some("10.0.0.1"))));
    node.announce(&remote(LOWER, 2, Some("10.0.0.2")));
    let request = AttachRequest {
        import_rt: Some(TextList::Text("64512:5".into())),
        export_rt: Some(TextList::Text("64512:5".into())),
        ..plugged("lan", "10.0.0.254")
    };
    node.attach(&routed(&request));
    assert_eq!(node.fib.macs[&(1, gateway())].target, Target::Router(2));
    assert_eq!(node.neighbor(1, "10.0.0.254"), Some(Neighbor { mac: gateway(), router: true, port: None }));
    assert_eq!(node.fib.routers[&1].ipv4, Some("10.0.0.254".parse().unwrap()));
    assert_eq!(node.hops(2, "10.0.0.1"), [to_port(1, 1, 1)]);
    // Asymmetric: the route of the other node names no IP-VPN.
    let asymmetric = Adjacency { vpn: 1, destination: mac(2), source: gateway(), target: vxlan(LOWER, 700) };
    assert_eq!(node.hops(2, "10.0.0.2"), [Hop::Adjacency(asymmetric)]);

    // Type 2 has both labels and both targets; the gateway is announced as such.
    let (nlri, attributes) = &node.routes[&RouteKey::MacIp(rd(1), mac(1), Some(ip("10.0.0.1")))];
    let Nlri::Evpn(EvpnRoute::MacIp { ip_label: Some(label), .. }) = nlri else { panic!("{nlri}") };
    assert_eq!(label.vni(), node.fib.vpns[&2]);
    assert_eq!(attributes.route_targets().collect::<Vec<_>>(), [target("64512:1"), target("64512:5")]);
    let own = ExtendedCommunity::router_mac(config().overlay.router_mac);
    assert!(attributes.extended_communities.contains(&own));
    let (_, attributes) = &node.routes[&RouteKey::MacIp(rd(1), gateway(), Some(ip("10.0.0.254")))];
    assert!(attributes.extended_communities.contains(&ExtendedCommunity::DEFAULT_GATEWAY));
    assert!(node.vpn_labels().contains(&(rd(2), prefix("10.0.0.1/32"), 100)));

    // Symmetric, once the other node names the IP-VPN.
    let router = MacAddr([2, 9, 9, 9, 9, 9]);
    let route =
        Remote { targets: vec![target("64512:1"), target("64512:5")], ..remote(LOWER, 2, Some("10.0.0.2")) };
    let Nlri::Evpn(EvpnRoute::MacIp { rd, esi, tag, mac, ip, label, .. }) = route.nlri() else { panic!() };
    let ip_label = Some(Vni::new(900).unwrap().into());
    let nlri = Nlri::Evpn(EvpnRoute::MacIp { rd, esi, tag, mac, ip, label, ip_label });
    let mut attributes = route.attributes();
    attributes.extended_communities.push(ExtendedCommunity::router_mac(router));
    node.vpns.route(&nlri, Some(&Arc::new(attributes)));
    node.settle();
    let source = config().overlay.router_mac;
    let symmetric = Adjacency { vpn: 2, destination: router, source, target: vxlan(LOWER, 900) };
    assert_eq!(node.hops(2, "10.0.0.2"), [Hop::Adjacency(symmetric)]);
    assert!(node.fib.endpoints.contains(&(2, super::ip(LOWER))));

    // Ports of the E-VPN may go first: the instance stays while it is plugged in.
    node.vpns.detach(&Detach { vpn: "lan".into(), ..detach(1, None) }).unwrap();
    node.settle();
    assert!(node.hops(2, "10.0.0.1").is_empty() && node.fib.vpns.len() == 2);
    node.vpns.detach(&Detach { routed: true, ..detach(0x77, None) }).unwrap();
    node.settle();
    assert_eq!(node.fib, Fib::default());
    assert!(node.routes.is_empty());
}

#[test]
fn prefixes_of_e_vpn_are_followed_by_label_or_by_gateway() {
    let mut node = Node::new();
    node.attach(&routed(&request("tap0", 1, "10.0.0.1")));
    let router = MacAddr([2, 9, 9, 9, 9, 9]);
    let mut announce = |gateway: &str, with_mac: bool| {
        let nlri = Nlri::Evpn(EvpnRoute::IpPrefix {
            rd: RouteDistinguisher::from_ipv4(LOWER.parse().unwrap(), 1),
            esi: Default::default(),
            tag: 0,
            prefix: prefix("10.7.0.0/16"),
            gateway: ip(gateway),
            label: Vni::new(900).unwrap().into(),
        });
        let mut attributes = remote(LOWER, 2, None).attributes();
        attributes.extended_communities.extend(with_mac.then(|| ExtendedCommunity::router_mac(router)));
        node.vpns.route(&nlri, Some(&Arc::new(attributes)));
        node.settle();
        node.hops(1, "10.7.0.0/16")
    };
    let source = config().overlay.router_mac;
    let frame = Adjacency { vpn: 1, destination: router, source, target: vxlan(LOWER, 900) };
    assert_eq!(announce("0.0.0.0", true), [Hop::Adjacency(frame)]);
    assert!(announce("0.0.0.0", false).is_empty(), "RFC 9136 §4.4.1: without Router's MAC it leads nowhere");
    assert_eq!(announce("10.0.0.1", false), [to_port(1, 1, 1)]);
    assert!(announce("10.0.0.9", false).is_empty());
    // The gateway comes later.
    node.attach(&routed(&request("tap0", 9, "10.0.0.9")));
    assert_eq!(node.hops(1, "10.7.0.0/16"), [to_port(1, 9, 1)]);
}

#[test]
fn contradictions_are_refused_and_change_nothing() {
    let mut node = Node::new();
    node.attach(&routed(&request("tap0", 1, "10.0.0.1")));
    node.attach(&in_vpn("lan", attach("tap9", 9, None)));
    let in_red = |request: AttachRequest| AttachRequest { vpn_instance_id: Some("red".into()), ..request };
    for (request, words) in [
        (request("tap1", 2, "10.0.0.1"), &["10.0.0.1", "advertise_subnet"][..]),
        (request("tap1", 1, "10.0.0.2"), &["tap0", "tap1"]),
        (in_red(request("tap0", 5, "10.0.0.5")), &["tap0", "blue"]),
        (plugged("nowhere", "10.0.0.254"), &["nowhere", "E-VPN"]),
        (plugged("blue", "10.0.0.254"), &["blue", "E-VPN"]),
        (
            AttachRequest { vpn_instance_id: Some("lan".into()), ..request("tap9", 9, "10.0.0.9") },
            &["ipvpn", "lan"],
        ),
        (
            AttachRequest { mac_address: Some(gateway().to_string()), ..request("tap1", 2, "10.0.0.3") },
            &["gateway"],
        ),
    ] {
        let (before, attach) = (node.vpns.snapshot(), routed(&request));
        let error = node.vpns.attach(&attach, node.now).unwrap_err();
        for word in words {
            assert!(error.to_string().contains(word), "{error}");
        }
        assert_eq!(node.vpns.snapshot(), before);
        assert!(node.settle().is_empty());
    }
    node.attach(&routed(&plugged("lan", "10.0.0.254")));
    let error = node.vpns.attach(&routed(&in_red(plugged("lan", "10.0.0.254"))), node.now).unwrap_err();
    assert!(error.to_string().contains("blue"), "{error}");

    let outside =
        AttachRequest { gateway_ip: Some("10.1.0.254".into()), ..request("tap0", 1, "10.0.0.1/24") };
    assert!(outside.validate().unwrap_err().to_string().contains("10.0.0.0/24"));
    let both = serde_json::from_str(r#"{"linuxif": "tap0", "evpn": {"id": "lan"}}"#).unwrap();
    let both = AttachRequest { local_port: Some(both), ..request("tap0", 1, "10.0.0.1") };
    assert!(both.validate().unwrap_err().to_string().contains("not both"));
}

#[test]
fn labels_run_out_and_come_back() {
    let mut node = Node::new();
    for host in 1..10 {
        node.attach(&routed(&request("tap0", host, &format!("10.0.0.{host}"))));
    }
    let more = routed(&request("tap0", 10, "10.0.0.10"));
    let error = node.vpns.attach(&more, node.now).unwrap_err();
    assert!(error.to_string().contains("label is left of 100 to 109"), "{error}");
    node.vpns.detach(&Detach { routed: true, ..detach(3, None) }).unwrap();
    node.settle();
    node.attach(&more);
}

#[test]
fn what_was_stored_comes_out_the_same() {
    let mut before = Node::new();
    before.attach(&in_vpn("lan", attach("tap0", 1, Some("10.0.0.1"))));
    before.attach(&routed(&plugged("lan", "10.0.0.254")));
    before.attach(&routed(&subnet("tap1", 2, "10.9.0.1/16")));
    before.attach(&routed(&subnet("tap2", 3, "10.9.0.2/16")));
    before.attach(&routed(&AttachRequest { proxy_arp: Some(true), ..request("tap2", 3, "2001:db8::3") }));
    let text = serde_json::to_string(&before.vpns.snapshot()).unwrap();
    let snapshot: Snapshot = serde_json::from_str(&text).unwrap();
    let mut after = Node { vpns: Vpns::restore(config(), &snapshot).unwrap(), ..Node::new() };
    after.settle();
    assert_eq!(after.fib, before.fib);
    assert_eq!(after.routes, before.routes);
    assert_eq!(after.vpns.snapshot(), snapshot);
    assert!(after.fib.routers[&2].proxy);
}
