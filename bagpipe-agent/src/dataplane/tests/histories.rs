//! Any sequence of changes and events ends in what a fresh computation gives.

use super::*;

#[derive(Clone, Debug)]
pub(super) enum Step {
    Change(Change),
    Link { port: u32, index: u32, mtu: u32 },
    NoLink { index: u32 },
    UnderlayMtu(u32),
    Neighbor { gateway: u8, mac: Option<u8> },
    Route { remote: u8, gateway: Option<u8>, mtu: Option<u32> },
    NoRoute { remote: u8 },
    Commit { milliseconds: u64 },
    Restart { confirmed: u8 },
}

fn target() -> impl Strategy<Value = Target> {
    prop_oneof![
        (1..4_u32).prop_map(Target::Port),
        (1..5_u8, 100..102_u32).prop_map(|(number, number_of_vni)| Target::Vxlan {
            endpoint: remote(number),
            vni: vni(number_of_vni)
        }),
    ]
}

fn adjacency() -> impl Strategy<Value = Adjacency> {
    (1..4_u16, 0..2_u8, target()).prop_map(|(vpn, last, target)| Adjacency {
        vpn,
        destination: mac(last),
        source: mac(9),
        target,
    })
}

fn hop() -> impl Strategy<Value = Hop> {
    let form = prop_oneof![Just(MplsForm::Ethernet), Just(MplsForm::Gre), Just(MplsForm::Udp)];
    prop_oneof![
        4 => adjacency().prop_map(Hop::Adjacency),
        4 => (1..5_u8, 16..18_u32, form).prop_map(|(number, label, form)| Hop::Labelled(Target::Mpls {
            endpoint: remote(number),
            label: Label::new(label).unwrap(),
            form,
        })),
        1 => Just(Hop::Router),
    ]
}

fn prefix() -> impl Strategy<Value = IpPrefix> {
    prop::sample::select(vec![
        "10.0.0.1/32",
        "10.0.0.0/8",
        "0.0.0.0/0",
        "::/0",
        "2001:db8::/32",
        "2001:db8::1/128",
    ])
    .prop_map(|text| text.parse().unwrap())
}

fn segment() -> impl Strategy<Value = Segment> {
    (1..4_u16, 1..3_u8).prop_map(|(vpn, number)| Segment { vpn, esi: EthernetSegmentId([number; 10]) })
}

/// A segment and its remote endpoints, or a MAC address on it.
fn segment_change() -> impl Strategy<Value = Change> {
    let vxlan = |number| Target::Vxlan { endpoint: remote(number), vni: vni(100) };
    let targets = prop::collection::btree_set(1..5_u8, 1..4)
        .prop_map(move |numbers| numbers.into_iter().map(vxlan).collect());
    prop_oneof![
        (segment(), prop::option::weighted(0.8, targets))
            .prop_map(|(segment, targets)| Change::Segment(segment, targets)),
        (segment(), 0..4_u8).prop_map(|(segment, last)| {
            let value = Mac { target: Target::Segment(segment), any_ip: false };
            Change::Mac(segment.vpn, mac(last), Some(value))
        }),
    ]
}

/// Whether what a change refers to is there, and what it removes is not in use.
fn is_sound(change: &Change, fib: &Fib) -> bool {
    match change {
        Change::Mac(_, _, Some(Mac { target: Target::Segment(segment), .. })) => {
            fib.segments.contains_key(segment)
        }
        Change::Segment(segment, None) => {
            !fib.macs.values().any(|mac| mac.target == Target::Segment(*segment))
        }
        _ => true,
    }
}

fn routing_change() -> impl Strategy<Value = Change> {
    let vpn = || 1..4_u16;
    let route =
        prop::collection::btree_set(hop(), 1..5).prop_map(|hops| Route { hops: hops.into_iter().collect() });
    let meaning = prop_oneof![
        (vpn(), adjacency()).prop_map(|(vpn, adjacency)| LabelUse::Adjacency(vpn, adjacency)),
        vpn().prop_map(LabelUse::Router),
        vpn().prop_map(LabelUse::Bridge),
    ];
    let router = (any::<bool>(), any::<bool>()).prop_map(|(has_address, proxy)| Router {
        ipv4: has_address.then_some([10, 0, 0, 254].into()),
        ipv6: None,
        proxy,
    });
    prop_oneof![
        6 => (vpn(), prefix(), prop::option::weighted(0.8, route))
            .prop_map(|(vpn, prefix, route)| Change::Route(vpn, prefix, route)),
        2 => (16..20_u32, prop::option::weighted(0.8, meaning))
            .prop_map(|(label, meaning)| Change::Label(Label::new(label).unwrap(), meaning)),
        1 => (vpn(), prop::option::of(router)).prop_map(|(vpn, router)| Change::Router(vpn, router)),
    ]
}

fn rule() -> impl Strategy<Value = Rule> {
    let is_of = |version, prefix: &IpPrefix| prefix.version() == version;
    let ports = || prop::option::of(prop::sample::select(vec![(80, 80), (80, 90), (0, u16::MAX)]));
    let prefixes = (prop::option::of(prefix()), prop::option::of(prefix()));
    (any::<bool>(), prefixes, prop::option::of(6..8_u8), ports(), ports(), 1..4_u16).prop_map(
        move |(is_v4, (source, destination), protocol, source_ports, destination_ports, vrf)| {
            let version = if is_v4 { IpVersion::V4 } else { IpVersion::V6 };
            Rule {
                version,
                source: source.filter(|prefix| is_of(version, prefix)),
                destination: destination.filter(|prefix| is_of(version, prefix)),
                protocol,
                source_ports,
                destination_ports,
                vrf,
            }
        },
    )
}

/// Lists of few rules, so that many end alike.
fn classifier_change() -> impl Strategy<Value = Change> {
    let rules = prop::collection::vec(rule(), 1..4).prop_map(Into::into);
    (1..4_u16, prop::option::weighted(0.8, rules)).prop_map(|(vpn, rules)| Change::Classifier(vpn, rules))
}

/// Ports 1 to 3 have an interface each; on that of port 3 there are two VLANs. By 6 and 7 packets only leave.
fn place(port: u32) -> String {
    match port {
        6 => "tap1".to_owned(),
        7 => "tap3:4".to_owned(),
        4 | 5 => format!("tap3:{port}"),
        _ => format!("tap{port}"),
    }
}

fn change() -> impl Strategy<Value = Change> {
    let vpn = || 1..4_u16;
    let mac = || (0..4_u8).prop_map(|last| MacAddr([2, 0, 0, 0, 1, last]));
    prop_oneof![
        (vpn(), prop::option::of(0..2_u32))
            .prop_map(|(vpn, which)| Change::Vpn(vpn, which.map(|which| vni(u32::from(vpn) * 10 + which)))),
        (1..8_u32, prop::option::of(vpn())).prop_map(|(port, vpn)| {
            Change::Port(port, vpn.map(|vpn| Port { interface: place(port), vpn, egress: port > 5 }))
        }),
        (vpn(), mac(), prop::option::of((target(), any::<bool>()))).prop_map(|(vpn, mac, value)| {
            Change::Mac(vpn, mac, value.map(|(target, any_ip)| Mac { target, any_ip }))
        }),
        (vpn(), 0..4_u8, prop::option::of((mac(), any::<bool>()))).prop_map(|(vpn, ip, value)| {
            Change::Neighbor(vpn, remote(ip), value.map(|(mac, router)| Neighbor { mac, router, port: None }))
        }),
        (vpn(), target(), any::<bool>()).prop_map(|(vpn, target, wanted)| Change::Flood(vpn, target, wanted)),
        (vpn(), 1..5_u8, any::<bool>())
            .prop_map(|(vpn, number, wanted)| { Change::Endpoint(vpn, remote(number), wanted) }),
    ]
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        12 => change().prop_map(Step::Change),
        8 => routing_change().prop_map(Step::Change),
        6 => segment_change().prop_map(Step::Change),
        4 => classifier_change().prop_map(Step::Change),
        1 => (1..4_u32, 10..14_u32, 1400..1402_u32)
            .prop_map(|(port, index, mtu)| Step::Link { port, index: index + port * 10, mtu }),
        1 => (1..4_u32, 10..14_u32).prop_map(|(port, index)| Step::NoLink { index: index + port * 10 }),
        1 => (1500..1502_u32).prop_map(Step::UnderlayMtu),
        1 => (0..2_u8, prop::option::of(0..2_u8)).prop_map(|(gateway, mac)| Step::Neighbor { gateway, mac }),
        2 => (1..5_u8, prop::option::of(0..2_u8), prop::option::of(1300..1302_u32))
            .prop_map(|(remote, gateway, mtu)| Step::Route { remote, gateway, mtu }),
        1 => (1..5_u8).prop_map(|remote| Step::NoRoute { remote }),
        3 => (0..200_u64).prop_map(|milliseconds| Step::Commit { milliseconds }),
        1 => any::<u8>().prop_map(|confirmed| Step::Restart { confirmed }),
    ]
}

pub(super) fn take(node: &mut Node, step: Step) {
    match step {
        Step::Change(change) if !is_sound(&change, &node.fib) => {}
        Step::Change(change) => node.apply(&change),
        Step::Link { port, index, mtu } => {
            let name = format!("tap{port}");
            let namesake = node.links.values().find(|link| link.name == name && link.index != index);
            if let Some(index) = namesake.map(|link| link.index) {
                take(node, Step::NoLink { index });
            }
            node.link(index, &name, mtu);
        }
        Step::NoLink { index } => {
            node.links.remove(&index);
            node.kernel.attached.remove(&index);
            node.tables.remove_link(index);
        }
        Step::UnderlayMtu(mtu) => node.link(2, "eth0", mtu),
        Step::Neighbor { gateway: number, mac } => {
            let (id, mac) = ((2, gateway(number)), mac.map(|mac| MacAddr([6, 0, 0, 0, 0, mac])));
            match mac {
                Some(mac) => node.neighbors.insert(id, mac),
                None => node.neighbors.remove(&id),
            };
            let neighbor = mac.map(|mac| underlay::Neighbor { mac, fixed: false });
            node.tables.underlay.neighbor(id, neighbor);
        }
        Step::Route { remote: number, gateway: via, mtu } => {
            let route = underlay::Route { ifindex: 2, gateway: via.map(gateway), mtu };
            node.kernel.routes.insert(remote(number), route);
            node.tables.underlay.routes_changed(remote(number), 32);
        }
        Step::NoRoute { remote: number } => {
            node.kernel.routes.remove(&remote(number));
            node.tables.underlay.routes_changed(remote(number), 32);
        }
        Step::Commit { milliseconds } => {
            node.now += Duration::from_millis(milliseconds);
            node.check();
        }
        Step::Restart { confirmed } => {
            node.restart();
            let confirmations = changes(node.fib.clone());
            let some = usize::from(confirmed) * confirmations.len() / 256;
            for change in confirmations.iter().take(some) {
                node.tables.apply(change);
            }
            node.commit().unwrap();
            for change in confirmations.iter().skip(some) {
                node.tables.apply(change);
            }
            node.tables.sweep();
            node.check();
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]
    #[test]
    fn any_history_ends_as_a_fresh_computation(steps in prop::collection::vec(step(), 0..80)) {
        let mut node = Node::new();
        for step in steps {
            take(&mut node, step);
        }
        node.check();
        node.now += GRACE;
        node.check();
        let rest = changes(node.fib.clone());
        for change in rest {
            node.apply(&super::super::tables::Object::of(&change).removal());
        }
        node.check();
        node.now += GRACE;
        node.check();
        let written_once = |key: &&Key| matches!(key, Key::Encap(_) | Key::Adjacency(_) | Key::Bucket(_) | Key::Rule(_));
        let left = node.kernel.maps.keys().filter(|key| !written_once(key));
        prop_assert_eq!(left.count(), 0, "removing everything leaves nothing");
    }
}
