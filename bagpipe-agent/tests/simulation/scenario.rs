//! What happens to a network.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::time::Duration;

use bagpipe_agent::fib::Fib;
use bagpipe_bgp::types::MacAddr;

use crate::host::{Host, Plan};
use crate::model::{Endpoint, Model, numbers};
use crate::network::Network;
use crate::rng::Rng;

pub(crate) const VPNS: [&str; 3] = ["red", "green", "blue"];
const TARGETS: [&str; 4] = ["64512:1", "64512:2", "10.0.0.1:3", "4200000000:4"];
/// MAC addresses of each VPN.
const MACS: u8 = 4;

/// Longer than all that may keep a network from being quiet: hold time, restart time, reconnection, deferral.
pub(crate) const QUIET: Duration = Duration::from_secs(75);

/// Hosts stand still, or take nothing of each other, no longer than so many milliseconds.
const STALL: usize = 40_000;

/// Attachments and faults of all kinds, then the check; twice; then everything is detached.
pub(crate) fn run(seed: u64, trace: bool) {
    let mut rng = Rng::new(seed);
    let (nodes, reflectors) = (2 + rng.below(3), 1 + rng.below(3));
    let plan = Plan::random(nodes, reflectors, &mut rng);
    let mut world = World { network: Network::new(plan, rng, trace), model: Model::default() };
    for _ in 0..2 {
        for _ in 0..25 {
            world.step();
            let pause = world.network.rng.below(4);
            let pause = world.network.rng.millis([1, 20, 300, 3_000][pause]);
            world.network.run(pause);
        }
        world.become_quiet();
        world.check();
    }
    world.detach_all();
    world.network.run(QUIET);
    world.check();
    world.check_nothing_left();
}

/// Restarts one host after another, each in a quiet network: at no time is anything lost that was there.
pub(crate) fn quiet_restarts(seed: u64) {
    let plan = Plan { nodes: 3, reflectors: 2, plain: 0 };
    let mut world = World { network: Network::new(plan, Rng::new(seed), false), model: Model::default() };
    world.network.run(Duration::from_secs(5));
    for _ in 0..25 {
        world.attach();
    }
    world.become_quiet();
    world.check();
    for host in (0..plan.nodes).chain(plan.reflectors()) {
        let before: Vec<Fib> = (0..plan.nodes).map(|node| world.fib(node).clone()).collect();
        world.network.kill(host, seed.is_multiple_of(2));
        for _ in 0..QUIET.as_secs() {
            world.network.run(Duration::from_secs(1));
            for node in (0..plan.nodes).filter(|node| *node != host) {
                assert_eq!(*world.fib(node), before[node], "node {node} while {host} restarts, seed {seed}");
            }
        }
        world.check();
        let relearned = world.network.node(host).is_none_or(|node| node.relearned);
        assert!(relearned, "host {host} converged before it had relearned all, seed {seed}");
    }
}

pub(crate) struct World {
    pub(crate) network: Network,
    pub(crate) model: Model,
}

impl World {
    fn step(&mut self) {
        match self.network.rng.below(18) {
            0..=5 => self.attach(),
            6..=8 => self.detach(),
            9..=10 => self.move_away(),
            11 => self.attach_again(),
            12 => {
                let (node, reflector) = (self.random_node(), self.random_reflector());
                let silently = self.network.rng.one_in(3);
                self.network.break_link(node, reflector, silently);
            }
            13..=14 => {
                let node = self.random_node();
                let silently = self.network.rng.one_in(3);
                self.network.kill(node, silently);
            }
            15 => {
                let reflector = self.random_reflector();
                let silently = self.network.rng.one_in(3);
                if self.network.rng.one_in(4) {
                    self.network.kill_for_good(reflector, silently);
                } else {
                    self.network.kill(reflector, silently);
                }
            }
            16 => {
                let host =
                    if self.network.rng.one_in(2) { self.random_node() } else { self.random_reflector() };
                let time = self.network.rng.millis(STALL);
                self.network.freeze(host, time);
            }
            _ => {
                let (node, reflector) = (self.random_node(), self.random_reflector());
                let time = self.network.rng.millis(STALL);
                let (from, to) =
                    if self.network.rng.one_in(2) { (node, reflector) } else { (reflector, node) };
                self.network.clog(from, to, time);
            }
        }
    }

    fn random_node(&mut self) -> usize {
        self.network.rng.below(self.network.plan.nodes)
    }

    fn random_reflector(&mut self) -> usize {
        let reflectors = self.network.plan.reflectors();
        reflectors.start + self.network.rng.below(reflectors.len())
    }

    /// Something new, or an IP address more, or other route targets.
    fn attach(&mut self) {
        let node = self.random_node();
        let rng = &mut self.network.rng;
        let number = rng.below(VPNS.len());
        let mac = MacAddr([
            2,
            0,
            0,
            0,
            u8::try_from(number).unwrap(),
            u8::try_from(rng.below(MACS.into())).unwrap(),
        ]);
        let ip = random_ip(rng, mac);
        let vpn = VPNS[number];
        let places = self.model.places(vpn, mac);
        if !places.is_empty() && !places.contains(&node) && !self.network.rng.one_in(4) {
            return;
        }
        self.do_attach(&Endpoint { node, vpn, mac, ip });
    }

    pub(crate) fn do_attach(&mut self, at: &Endpoint<'_>) {
        let rng = &mut self.network.rng;
        let interface = format!("{}{}", at.vpn, rng.below(2));
        let known = self.model.0.contains_key(&(at.node, at.vpn.to_owned()));
        let targets = (!known || rng.one_in(6)).then(|| (random_targets(rng), random_targets(rng)));
        self.attach_with(at, &interface, targets);
    }

    pub(crate) fn attach_with(
        &mut self,
        at: &Endpoint<'_>,
        interface: &str,
        targets: Option<(BTreeSet<String>, BTreeSet<String>)>,
    ) {
        if !self.network.answers(at.node) {
            return;
        }
        let request = self.model.attach(at, interface, targets);
        self.network.say(|| format!("node {} attaches {request:?}", at.node));
        let now = self.network.now;
        self.network.with_node(at.node, |node| node.engine.attach(&request, now).unwrap());
    }

    fn detach(&mut self) {
        let Some((node, vpn, mac, ips)) = self.random_attachment() else { return };
        let ip = if self.network.rng.one_in(2) { self.network.rng.pick(&ips).copied() } else { None };
        self.do_detach(&Endpoint { node, vpn: &vpn, mac, ip });
    }

    pub(crate) fn do_detach(&mut self, at: &Endpoint<'_>) {
        if !self.network.answers(at.node) {
            return;
        }
        let request = self.model.detach(at);
        self.network.say(|| format!("node {} detaches {request:?}", at.node));
        let now = self.network.now;
        self.network.with_node(at.node, |node| node.engine.detach(&request, now).unwrap());
    }

    /// A MAC address goes to another node: attached there before, with or after the detach here.
    fn move_away(&mut self) {
        let Some((from, vpn, mac, ips)) = self.random_attachment() else { return };
        let to = self.random_node();
        if from == to || !self.network.answers(from) || !self.network.answers(to) {
            return;
        }
        let old = Endpoint { node: from, vpn: &vpn, mac, ip: None };
        let first = self.network.rng.one_in(2);
        let pause = self.network.rng.millis(200);
        if first {
            self.do_detach(&old);
            self.network.run(pause);
        }
        let mut ips: Vec<Option<IpAddr>> = ips.into_iter().map(Some).collect();
        if ips.is_empty() {
            ips.push(None);
        }
        for ip in ips {
            self.do_attach(&Endpoint { node: to, vpn: &vpn, mac, ip });
        }
        // Sometimes the old node learns late, or only when all becomes quiet.
        if !first && !self.network.rng.one_in(3) {
            self.network.run(pause);
            self.do_detach(&old);
        }
    }

    /// The same request again: nothing happens.
    fn attach_again(&mut self) {
        let Some((at, vpn, mac, ips)) = self.random_attachment() else { return };
        let request =
            self.model.attach(&Endpoint { node: at, vpn: &vpn, mac, ip: ips.first().copied() }, "", None);
        let now = self.network.now;
        self.network.with_node(at, |node| {
            assert!(!node.engine.attach(&request, now).unwrap().changed);
            assert_eq!(node.engine.poll_change(), None);
            assert_eq!(node.engine.poll_action(), None);
        });
    }

    fn random_attachment(&mut self) -> Option<(usize, String, MacAddr, Vec<IpAddr>)> {
        let all: Vec<_> = self
            .model
            .0
            .iter()
            .flat_map(|((node, vpn), instance)| {
                instance.macs.iter().map(move |(mac, (_, ips))| (*node, vpn, *mac, ips))
            })
            .collect();
        let (node, vpn, mac, ips) = *self.network.rng.pick(&all)?;
        Some((node, vpn.clone(), mac, ips.iter().copied().collect()))
    }

    /// No more faults. Most MAC addresses come to be at one place; some stay at several.
    fn become_quiet(&mut self) {
        self.network.run(Duration::from_millis(STALL as u64));
        for (vpn, mac) in self.model.macs() {
            let mut places = self.model.places(&vpn, mac);
            if self.network.rng.one_in(4) {
                continue;
            }
            while places.len() > 1 {
                let node = places.swap_remove(self.network.rng.below(places.len()));
                self.do_detach(&Endpoint { node, vpn: &vpn, mac, ip: None });
            }
        }
        self.network.run(QUIET);
    }

    fn detach_all(&mut self) {
        while let Some((node, vpn, mac, _)) = self.random_attachment() {
            self.do_detach(&Endpoint { node, vpn: &vpn, mac, ip: None });
        }
    }

    pub(crate) fn check(&self) {
        self.check_reaching(|_, _| true);
    }

    /// Each node has what follows from the attachments of those that it may hear of.
    pub(crate) fn check_reaching(&self, may_hear: impl Fn(usize, usize) -> bool) {
        let nodes = 0..self.network.plan.nodes;
        let network: BTreeMap<_, _> = nodes
            .clone()
            .flat_map(|node| {
                let engine = &self.network.node(node).expect("all nodes are up").engine;
                let named = numbers(engine, self.network.plan.address(node).into());
                named.into_iter().map(move |(name, numbers)| ((node, name), numbers))
            })
            .collect();
        for node in nodes {
            let expected = self.model.expected(node, &network, |other| may_hear(node, other));
            if *self.fib(node) != expected {
                self.network.say(|| self.network.describe());
            }
            assert_eq!(*self.fib(node), expected, "node {node}");
            assert!(
                self.network.node(node).is_some_and(|node| node.converged),
                "node {node} has not converged"
            );
        }
    }

    /// Routes are gone; but the reflectors go on to ask in the place of hosts without RT Constraint.
    fn check_nothing_left(&self) {
        for host in 0..self.network.plan.nodes + self.network.plan.reflectors {
            let routes: Vec<String> = match self.network.host(host).expect("all hosts are up") {
                Host::Node(node) => {
                    assert!(node.engine.is_empty(), "node {host} holds {:?}", node.engine.snapshot());
                    node.engine.routes().map(|route| route.route).collect()
                }
                Host::Reflector(speaker) => speaker.routes().map(|route| route.nlri.to_string()).collect(),
            };
            assert!(routes.iter().all(|route| route == "rtc default"), "host {host} holds {routes:?}");
        }
    }

    pub(crate) fn fib(&self, node: usize) -> &Fib {
        &self.network.node(node).expect("the node is up").fib
    }
}

/// One of the addresses of a MAC address, or none.
pub(crate) fn random_ip(rng: &mut Rng, mac: MacAddr) -> Option<IpAddr> {
    let [.., vpn, last] = mac.0;
    match rng.below(4) {
        0 => None,
        1 => Some(IpAddr::from([172, 16, vpn, last])),
        2 => Some(IpAddr::from([172, 17, vpn, last])),
        _ => Some(IpAddr::from([0x2001, 0xdb8, 0, 0, 0, 0, vpn.into(), u16::from(last)])),
    }
}

fn random_targets(rng: &mut Rng) -> BTreeSet<String> {
    let count = 1 + rng.below(2) - usize::from(rng.one_in(8));
    (0..count).filter_map(|_| rng.pick(&TARGETS)).map(|target| (*target).to_owned()).collect()
}
