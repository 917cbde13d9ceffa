//! Storms: links are cut for long, hosts die, stand still or take nothing, while some nodes and one reflector between
//! them keep their links.
//!
//! At no time do these nodes lose each other. When the timers are over, each node has what it can still hear of, and
//! nothing else; when the links are back, all.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::time::Duration;

use bagpipe_agent::fib::{Fib, Target};
use bagpipe_bgp::types::MacAddr;

use crate::host::Plan;
use crate::model::{Endpoint, Model};
use crate::network::Network;
use crate::rng::Rng;
use crate::scenario::{QUIET, VPNS, World, random_ip};

/// MAC addresses of each VPN on each node: none is ever on two nodes.
const MACS: usize = 3;
/// Longer than forwarding state may be stale: back after death, hold time, restart time, and the time to connect.
const TIMERS: Duration = Duration::from_secs(6 + 30 + 20 + 10);
/// Longer than any storm with its timers.
const LONG: Duration = Duration::from_secs(1_000);

pub(crate) fn run(seed: u64, trace: bool) {
    let mut rng = Rng::new(seed);
    let (nodes, reflectors) = (3 + rng.below(3), 2 + rng.below(2));
    let plan = Plan::random(nodes, reflectors, &mut rng);
    let mut world = World { network: Network::new(plan, rng, trace), model: Model::default() };
    world.network.run(Duration::from_secs(5));
    for node in 0..plan.nodes {
        for _ in 0..6 {
            change(&mut world, node);
        }
    }
    world.network.run(QUIET);
    world.check();
    for _ in 0..2 {
        let storm = Storm::new(&mut world);
        for _ in 0..20 {
            storm.step(&mut world);
            let rest = world.network.rng.millis(2_000);
            world.network.run(rest);
            storm.check(&world);
        }
        for _ in 0..TIMERS.as_secs() {
            world.network.run(Duration::from_secs(1));
            storm.check(&world);
        }
        world.check_reaching(|one, other| world.network.may_hear(one, other));
        world.network.heal();
        for _ in 0..QUIET.as_secs() {
            world.network.run(Duration::from_secs(1));
            storm.check(&world);
        }
        world.check();
    }
}

/// Attaches something to a node, or detaches it.
fn change(world: &mut World, node: usize) {
    let rng = &mut world.network.rng;
    let number = rng.below(VPNS.len());
    let byte = |number: usize| u8::try_from(number).unwrap();
    let mac = MacAddr([2, 0, 0, 0, byte(number), byte(node * MACS + rng.below(MACS))]);
    let vpn = VPNS[number];
    if !world.model.places(vpn, mac).is_empty() && rng.one_in(2) {
        return world.do_detach(&Endpoint { node, vpn, mac, ip: None });
    }
    let ip = random_ip(rng, mac);
    world.do_attach(&Endpoint { node, vpn, mac, ip });
}

/// Who keeps the links, and what these nodes had of each other when it began.
struct Storm {
    nodes: BTreeSet<usize>,
    reflector: usize,
    before: Vec<(usize, Fib)>,
    /// The nodes restart, with their forwarding state kept; else all of them stand still for a while.
    restarts: bool,
}

impl Storm {
    fn new(world: &mut World) -> Self {
        let (plan, network) = (world.network.plan, &mut world.network);
        let nodes: BTreeSet<usize> = (0..plan.nodes).filter(|_| !network.rng.one_in(3)).collect();
        let reflector = plan.reflectors().start + network.rng.below(plan.reflectors);
        network.say(|| format!("a storm, but for {nodes:?} at {reflector}"));
        let endpoints: BTreeSet<IpAddr> = nodes.iter().map(|node| plan.address(*node).into()).collect();
        let stays = |target: &Target| match target {
            Target::Vxlan { endpoint, .. } => endpoints.contains(endpoint),
            _ => true,
        };
        let before = nodes.iter().map(|node| {
            let mut fib = world.fib(*node).clone();
            fib.macs.retain(|_, mac| stays(&mac.target));
            fib.floods.retain(|(_, target)| stays(target));
            fib.endpoints.retain(|(_, endpoint)| endpoints.contains(endpoint));
            (*node, fib)
        });
        let before = before.collect();
        let restarts = world.network.rng.one_in(2);
        Self { nodes, reflector, before, restarts }
    }

    fn step(&self, world: &mut World) {
        let plan = world.network.plan;
        let host = world.network.rng.below(plan.nodes + plan.reflectors);
        let peer = plan.reflectors().start + world.network.rng.below(plan.reflectors);
        let calm = self.nodes.contains(&host) || host == self.reflector;
        let link_stays = calm && peer == self.reflector;
        match world.network.rng.below(8) {
            0..=2 if host != peer && !link_stays => world.network.cut(host, peer, LONG),
            3 if host != peer && !(link_stays && self.restarts) => {
                let time = world.network.rng.millis(if link_stays { 4_000 } else { 40_000 });
                let (from, to) = if world.network.rng.one_in(2) { (host, peer) } else { (peer, host) };
                world.network.clog(from, to, time);
            }
            4 if !(calm && self.restarts) => {
                let time = world.network.rng.millis(if calm { 4_000 } else { 40_000 });
                world.network.freeze(host, time);
            }
            5 if self.nodes.contains(&host) && self.restarts => world.network.kill(host, false),
            5 | 6 if !calm => {
                let silently = world.network.rng.one_in(3);
                if host < plan.nodes || world.network.rng.one_in(2) {
                    world.network.kill(host, silently);
                } else {
                    world.network.kill_for_good(host, silently);
                }
            }
            7 if host < plan.nodes && !calm && world.network.answers(host) => change(world, host),
            _ => {}
        }
    }

    /// The nodes that keep their links have kept each other.
    fn check(&self, world: &World) {
        for (node, before) in &self.before {
            let now = world.network.forwarding(*node);
            let mac = |key| now.iter().find_map(|fib| fib.macs.get(key));
            let macs = before.macs.iter().filter(|(key, before)| mac(key) != Some(before));
            let floods =
                before.floods.iter().filter(|flood| !now.iter().any(|fib| fib.floods.contains(flood)));
            let known = |endpoint: &_| now.iter().any(|fib| fib.endpoints.contains(endpoint));
            let endpoints = before.endpoints.iter().filter(|endpoint| !known(endpoint));
            let lost: Vec<String> = macs
                .map(|lost| format!("{lost:?}"))
                .chain(floods.map(|lost| format!("{lost:?}")))
                .chain(endpoints.map(|lost| format!("{lost:?}")))
                .collect();
            assert!(lost.is_empty(), "node {node} of {:?} at {} lost {lost:?}", self.nodes, self.reflector);
        }
    }
}
