//! A virtual machine that moves between four nodes, a thousand times, under traffic.

use std::thread;
use std::time::{Duration, Instant};

use bagpipe_agent::lab::{Agent, Host, LabError, Ping, wait_until};
use bagpipe_tests::SOON;
use bagpipe_tests::fabric::{Fabric, attachment, endpoint, fdb};

const NODES: u8 = 4;
const MIGRATIONS: usize = 1000;

#[test]
fn a_thousand_live_migrations() -> Result<(), LabError> {
    // Elsewhere that many moves in so short a time mean that two hosts have the address.
    let fabric = Fabric::configured(NODES, "[vpn]\nduplicate_mac_moves = 0\n")?;
    let mover = Mover::new(&fabric)?;
    fabric.agents[0].attach(&attachment(&mover.host))?;
    mover.appear(&fabric.agents[0])?;
    assert_known(&fabric, &mover, 0)?;

    let traffic = Ping::start(&fabric.hosts[0].node, &mover.host.ipv4, Duration::from_millis(5))?;
    let (mut at, mut slowest) = (0, Duration::ZERO);
    for migration in 0..MIGRATIONS {
        // Every pair of nodes, in both directions.
        let to = (at + 1 + migration % usize::from(NODES - 1)) % usize::from(NODES);
        let (old, new) = (&fabric.agents[at], &fabric.agents[to]);
        let start = Instant::now();
        mover.migrate(old, new, Order::of(migration))?;
        assert_known(&fabric, &mover, to)?;
        slowest = slowest.max(start.elapsed());
        at = to;
        if migration % 100 == 99 {
            fabric.verify()?;
        }
    }
    fabric
        .hosts
        .iter()
        .try_for_each(|host| bagpipe_tests::traffic::wait_for_ping(&host.node, &mover.host.ipv6))?;
    let loss = traffic.finish()?;
    println!(
        "{MIGRATIONS} migrations: longest gap {:?}, {} of {} pings lost, slowest until all nodes agree {slowest:?}",
        loss.longest_gap,
        loss.lost,
        loss.lost + loss.received,
    );
    assert!(loss.longest_gap < Duration::from_secs(5), "{loss:?}");

    fabric.agents[at].detach(&attachment(&mover.host))?;
    for agent in &fabric.agents {
        wait_until(SOON, "the mover is forgotten", || fdb(agent, &mover.host.mac).is_none().then_some(()))?;
        let entries = agent.json(&["show", "fdb"])?;
        assert_eq!(entries.as_array().map(Vec::len), Some(usize::from(NODES)), "{entries}");
    }
    fabric.verify()
}

/// When the new node attaches.
#[derive(Clone, Copy)]
enum Order {
    Before,
    With,
    After,
}

impl Order {
    fn of(migration: usize) -> Self {
        [Self::Before, Self::With, Self::After][migration % 3]
    }
}

/// A host with a link to every node, of which one forwards: where it runs at the moment.
struct Mover {
    host: Host,
}

impl Mover {
    fn new(fabric: &Fabric) -> Result<Self, LabError> {
        let host = Host::new(&fabric.lab, 9)?;
        let node = &host.node;
        node.ip(&[
            "link",
            "add",
            Host::INTERFACE,
            "address",
            &host.mac,
            "type",
            "bridge",
            "mcast_snooping",
            "0",
        ])?;
        node.up(Host::INTERFACE)?;
        for agent in &fabric.agents {
            let link = agent.node().name();
            fabric.lab.link((agent.node(), &attachment(&host).port), (node, link))?;
            node.ip(&["link", "set", link, "mtu", "1450", "master", Host::INTERFACE])?;
            node.ip(&["link", "set", link, "type", "bridge_slave", "state", "0", "learning", "off"])?;
        }
        node.mtu(Host::INTERFACE, 1450)?;
        node.address(Host::INTERFACE, &format!("{}/24", host.ipv4))?;
        node.address(Host::INTERFACE, &format!("{}/64", host.ipv6))?;
        Ok(Self { host })
    }

    fn migrate(&self, old: &Agent, new: &Agent, order: Order) -> Result<(), LabError> {
        let attachment = attachment(&self.host);
        let switch = || self.disappear(old).and_then(|()| self.appear(new));
        match order {
            Order::Before => {
                new.attach(&attachment)?;
                switch()?;
                old.detach(&attachment)
            }
            Order::With => thread::scope(|scope| {
                let attached = scope.spawn(|| new.attach(&attachment));
                let detached = scope.spawn(|| old.detach(&attachment));
                switch()?;
                attached.join().expect("attaching does not panic")?;
                detached.join().expect("detaching does not panic")
            }),
            Order::After => {
                old.detach(&attachment)?;
                switch()?;
                new.attach(&attachment)
            }
        }
    }

    fn appear(&self, at: &Agent) -> Result<(), LabError> {
        self.set_state(at, "3")
    }

    fn disappear(&self, from: &Agent) -> Result<(), LabError> {
        self.set_state(from, "0")
    }

    /// State of the link as a port of the host's bridge: 3 forwards, 0 does not.
    fn set_state(&self, node: &Agent, state: &str) -> Result<(), LabError> {
        let link = node.node().name();
        self.host.node.ip(&["link", "set", link, "type", "bridge_slave", "state", state]).map(drop)
    }
}

/// Waits until every node sends to where the mover is.
fn assert_known(fabric: &Fabric, mover: &Mover, at: usize) -> Result<(), LabError> {
    let address = Fabric::address(u8::try_from(at + 1).unwrap_or(u8::MAX));
    for (number, agent) in fabric.agents.iter().enumerate() {
        let what = format!("{} knows that the mover is behind {address}", agent.node().name());
        wait_until(SOON, &what, || {
            let known = endpoint(agent, &mover.host.mac);
            let local = fdb(agent, &mover.host.mac).is_some_and(|entry| entry.get("interface").is_some());
            if number == at { local.then_some(()) } else { (known? == address).then_some(()) }
        })?;
    }
    Ok(())
}
