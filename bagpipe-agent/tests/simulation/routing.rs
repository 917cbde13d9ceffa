//! IP-VPNs: random attachments, route targets and faults, then each node must route to what the route targets let it
//! hear of, and to nothing else. All instances use the same addresses, so a route that leaks shows.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

use bagpipe_agent::fib::{Adjacency, Hop, MplsForm, PortId, Target, VpnId};
use bagpipe_agent::vpn::request::{LocalPort, Number, TextList};
use bagpipe_agent::vpn::{AttachRequest, DetachRequest, GATEWAY_MAC};
use bagpipe_bgp::types::{IpPrefix, Label, MacAddr};

use crate::host::Plan;
use crate::network::Network;
use crate::rng::Rng;

const VPNS: [&str; 3] = ["north", "east", "south"];
const TARGETS: [&str; 4] = ["64512:1", "64512:2", "64512:3", "64512:4"];
const HOSTS: u8 = 4;
/// Longer than all that may keep a network from being quiet.
const QUIET: Duration = Duration::from_secs(75);

/// What is attached, by node and name.
type Model = BTreeMap<(usize, &'static str), Instance>;

#[derive(Default)]
struct Instance {
    import: BTreeSet<&'static str>,
    export: BTreeSet<&'static str>,
    /// LOCAL_PREF of each host.
    hosts: BTreeMap<u8, u32>,
}

/// What a node has chosen for an instance: its number, and the port and label of each host.
struct Numbers {
    vpn: VpnId,
    hosts: BTreeMap<MacAddr, (PortId, Label)>,
}

pub(crate) fn run(seed: u64, trace: bool) {
    let mut rng = Rng::new(seed);
    let (nodes, reflectors) = (2 + rng.below(3), 1 + rng.below(2));
    let plan = Plan::random(nodes, reflectors, &mut rng);
    let (mut network, mut model) = (Network::new(plan, rng, trace), Model::new());
    for _ in 0..2 {
        for _ in 0..25 {
            step(&mut network, &mut model);
            let pause = network.rng.millis(1_000);
            network.run(pause);
        }
        network.run(QUIET);
        check(&network, &model, seed);
    }
    for (node, vpn) in model.keys().copied().collect::<Vec<_>>() {
        for host in 0..HOSTS {
            detach(&mut network, &mut model, node, vpn, host);
        }
    }
    network.run(QUIET);
    check(&network, &model, seed);
    for node in 0..plan.nodes {
        assert!(network.node(node).is_some_and(|node| node.engine.is_empty()), "seed {seed}");
    }
}

fn step(network: &mut Network, model: &mut Model) {
    let node = network.rng.below(network.plan.nodes);
    let vpn = VPNS[network.rng.below(VPNS.len())];
    let host = u8::try_from(network.rng.below(HOSTS.into())).unwrap();
    match network.rng.below(12) {
        0..=7 => attach(network, model, node, vpn, host),
        8..=9 => detach(network, model, node, vpn, host),
        10 => network.kill(node, false),
        _ => {
            let reflector = network.plan.reflectors().start;
            network.break_link(node, reflector, false);
        }
    }
}

fn attach(network: &mut Network, model: &mut Model, node: usize, vpn: &'static str, host: u8) {
    if network.node(node).is_none() {
        return;
    }
    let rng = &mut network.rng;
    let local_pref = if rng.one_in(3) { 200 } else { 100 };
    let retarget = rng.one_in(4);
    let (import, export) = (random_targets(rng), random_targets(rng));
    let instance = model.entry((node, vpn)).or_default();
    if retarget || instance.hosts.is_empty() {
        (instance.import, instance.export) = (import, export);
    }
    instance.hosts.insert(host, local_pref);
    let list =
        |targets: &BTreeSet<&str>| TextList::List(targets.iter().map(|text| (*text).to_owned()).collect());
    let request = AttachRequest {
        vpn_type: Some("ipvpn".into()),
        vpn_instance_id: Some(vpn.into()),
        mac_address: Some(mac(host).to_string()),
        ip_address: Some(ip(host).to_string()),
        local_port: Some(LocalPort::Name(format!("{vpn}{}", host % 2))),
        import_rt: Some(list(&instance.import)),
        export_rt: Some(list(&instance.export)),
        local_pref: Some(Number::Number(local_pref.into())),
        ..AttachRequest::default()
    };
    network.say(|| format!("node {node} attaches {request:?}"));
    let now = network.now;
    network.with_node(node, |node| node.engine.attach(&request, now).unwrap());
}

fn detach(network: &mut Network, model: &mut Model, node: usize, vpn: &'static str, host: u8) {
    let Some(instance) = model.get_mut(&(node, vpn)) else { return };
    if network.node(node).is_none() || instance.hosts.remove(&host).is_none() {
        return;
    }
    if instance.hosts.is_empty() {
        model.remove(&(node, vpn));
    }
    let request = DetachRequest {
        vpn_type: Some("ipvpn".into()),
        vpn_instance_id: Some(vpn.into()),
        mac_address: Some(mac(host).to_string()),
        ip_address: Some(ip(host).to_string()),
        local_port: None,
    };
    network.say(|| format!("node {node} detaches {request:?}"));
    let now = network.now;
    network.with_node(node, |node| node.engine.detach(&request, now).unwrap());
}

fn check(network: &Network, model: &Model, seed: u64) {
    let numbers: BTreeMap<(usize, &str), Numbers> =
        model.keys().map(|(node, vpn)| ((*node, *vpn), numbers(network, *node, vpn))).collect();
    for node in 0..network.plan.nodes {
        let (mut routes, mut endpoints) = (BTreeMap::new(), BTreeSet::new());
        for ((_, vpn), instance) in model.iter().filter(|((at, _), _)| *at == node) {
            let own = &numbers[&(node, *vpn)];
            let heard = |other: &Instance| !other.export.is_disjoint(&instance.import);
            for ((other, _), remote) in model.iter().filter(|((other, _), _)| *other != node) {
                if heard(remote) {
                    endpoints.insert((own.vpn, address(network, *other)));
                }
            }
            for host in 0..HOSTS {
                // Here, then in other instances of this node, then elsewhere; of each the best.
                let tier = |place: &(usize, &str)| (place.0 != node, place != &(node, *vpn));
                let candidates = model.iter().filter(|(place, other)| {
                    other.hosts.contains_key(&host) && (**place == (node, *vpn) || heard(other))
                });
                let ranked = candidates
                    .map(|(place, other)| ((tier(place), std::cmp::Reverse(other.hosts[&host])), *place));
                let ranked: Vec<_> = ranked.collect();
                let Some(first) = ranked.iter().map(|(rank, _)| *rank).min() else { continue };
                let best = ranked.iter().filter(|(rank, _)| *rank == first).map(|(_, place)| place);
                let hops: BTreeSet<Hop> =
                    best.map(|place| hop(network, &numbers[place], node, place.0, host)).collect();
                routes.insert((own.vpn, IpPrefix::host(ip(host))), hops);
            }
        }
        let fib = &network.node(node).expect("all nodes are up").fib;
        let found: BTreeMap<_, _> =
            fib.routes.iter().map(|(key, route)| (*key, route.hops.iter().copied().collect())).collect();
        assert_eq!(found, routes, "routes of node {node}, seed {seed}");
        assert_eq!(fib.endpoints, endpoints, "endpoints of node {node}, seed {seed}");
        let hosts =
            model.iter().filter(|((at, _), _)| *at == node).map(|(_, instance)| instance.hosts.len() + 1);
        assert_eq!(fib.labels.len(), hosts.sum::<usize>(), "labels of node {node}, seed {seed}");
    }
}

fn hop(network: &Network, numbers: &Numbers, node: usize, place: usize, host: u8) -> Hop {
    let (port, label) = numbers.hosts[&mac(host)];
    if place == node {
        let (vpn, destination, source) = (numbers.vpn, mac(host), GATEWAY_MAC);
        return Hop::Adjacency(Adjacency { vpn, destination, source, target: Target::Port(port) });
    }
    Hop::Labelled(Target::Mpls { endpoint: address(network, place), label, form: MplsForm::Udp })
}

fn numbers(network: &Network, node: usize, vpn: &str) -> Numbers {
    let engine = &network.node(node).expect("all nodes are up").engine;
    let view = engine.vpns().find(|view| view.name == vpn).expect("it is attached");
    let ports = engine.ports().filter(|port| port.vpn == vpn);
    let hosts = ports.flat_map(|port| {
        let number = port.number;
        port.macs.into_iter().map(move |entry| (entry.mac, (number, entry.label.expect("it has a label"))))
    });
    Numbers { vpn: view.number, hosts: hosts.collect() }
}

fn address(network: &Network, node: usize) -> IpAddr {
    network.plan.address(node).into()
}

const fn mac(host: u8) -> MacAddr {
    MacAddr([2, 0, 0, 0, 0, host + 1])
}

const fn ip(host: u8) -> IpAddr {
    IpAddr::V4(Ipv4Addr::new(10, 0, 0, host + 1))
}

fn random_targets(rng: &mut Rng) -> BTreeSet<&'static str> {
    (0..1 + rng.below(2)).filter_map(|_| rng.pick(&TARGETS)).copied().collect()
}
