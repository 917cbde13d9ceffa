//! The simulated network: a clock, and connections with delay.

mod faults;

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use bagpipe_agent::engine::RouteView;
use bagpipe_agent::fib::Fib;
use bagpipe_bgp::speaker::{Action, ConnId, RouteStatus};
use bytes::Bytes;

use crate::host::{Host, Node, Plan};
use crate::rng::Rng;

/// The longest delay of a link, in milliseconds.
const DELAY: usize = 40;

pub(crate) struct Network {
    pub(crate) plan: Plan,
    pub(crate) rng: Rng,
    pub(crate) now: Instant,
    start: Instant,
    trace: bool,
    hosts: Vec<Place>,
    /// What is to happen, in the order of time.
    queue: BTreeMap<(Instant, u64), Event>,
    events: u64,
    /// Open connections, by each of their ends.
    pipes: BTreeMap<End, Pipe>,
    /// Links that nothing passes, until when.
    blocked: BTreeMap<(usize, usize), Instant>,
    /// From whom nobody takes anything at whom: its window is full.
    clogged: BTreeSet<(usize, usize)>,
    /// Hosts that stand still, and what has happened to them meanwhile.
    frozen: BTreeMap<usize, Vec<Event>>,
}

/// Where a host is, or was: its life counts its restarts, so that nothing of an earlier one reaches a later one.
struct Place {
    life: u32,
    host: Option<Host>,
    timer: Option<Instant>,
    /// The next life knows nothing of this one.
    cold: bool,
    left: (bagpipe_agent::vpn::Snapshot, Fib),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct End {
    host: usize,
    life: u32,
    conn: ConnId,
}

struct Pipe {
    other: End,
    /// Bytes arrive in order, however long each takes.
    last_arrival: Instant,
}

enum Event {
    Arrive {
        from: End,
        to: usize,
    },
    Connected(End),
    Failed(End),
    Deliver(End, Bytes),
    /// The other side has closed: all bytes have come before.
    Closed(End),
    /// The connection broke: bytes may be lost.
    Broken(End),
    Write(End),
    Timer {
        host: usize,
        life: u32,
    },
    Unclog(usize, usize),
    Thaw(usize),
    Boot(usize),
}

impl Event {
    /// The host that it happens to.
    fn concerns(&self) -> Option<usize> {
        match self {
            Self::Arrive { to, .. } => Some(*to),
            Self::Connected(end)
            | Self::Failed(end)
            | Self::Deliver(end, _)
            | Self::Closed(end)
            | Self::Broken(end)
            | Self::Write(end) => Some(end.host),
            Self::Timer { host, .. } => Some(*host),
            Self::Unclog(..) | Self::Thaw(_) | Self::Boot(_) => None,
        }
    }
}

impl Network {
    pub(crate) fn new(plan: Plan, rng: Rng, trace: bool) -> Self {
        let start = Instant::now();
        let place = || Place { life: 0, host: None, timer: None, cold: false, left: Default::default() };
        let count = plan.nodes + plan.reflectors;
        let mut network = Self {
            plan,
            rng,
            now: start,
            start,
            trace,
            hosts: std::iter::repeat_with(place).take(count).collect(),
            queue: BTreeMap::new(),
            events: 0,
            pipes: BTreeMap::new(),
            blocked: BTreeMap::new(),
            clogged: BTreeSet::new(),
            frozen: BTreeMap::new(),
        };
        for host in 0..count {
            let delay = network.rng.millis(500);
            network.schedule(delay, Event::Boot(host));
        }
        network
    }

    /// A line of the trace.
    pub(crate) fn say(&self, line: impl FnOnce() -> String) {
        if self.trace {
            println!("{:10.3} {}", (self.now - self.start).as_secs_f64(), line());
        }
    }

    /// Sessions and routes of all hosts.
    pub(crate) fn describe(&self) -> String {
        let mut text = String::new();
        for (id, place) in self.hosts.iter().enumerate() {
            let (peers, routes): (Vec<_>, Vec<String>) = match &place.host {
                None => continue,
                Some(Host::Node(node)) => {
                    let route =
                        |route: RouteView| format!("{} from {:?} {:?}", route.route, route.peer, route.stale);
                    (node.engine.peers().collect(), node.engine.routes().map(route).collect())
                }
                Some(Host::Reflector(speaker)) => {
                    let route = |route: RouteStatus| {
                        format!("{} from {:?} {:?}", route.nlri, route.source, route.stale)
                    };
                    (speaker.peers().collect(), speaker.routes().map(route).collect())
                }
            };
            text += &format!("\nhost {id} {}", self.plan.address(id));
            for peer in peers {
                text += &format!(
                    "\n  peer {} {:?}, error {:?}, {:?}",
                    peer.address, peer.state, peer.last_error, peer.routes
                );
            }
            for route in routes {
                text += &format!("\n  route {route}");
            }
        }
        text
    }

    pub(crate) fn node(&self, host: usize) -> Option<&Node> {
        match &self.hosts[host].host {
            Some(Host::Node(node)) => Some(node),
            _ => None,
        }
    }

    pub(crate) fn host(&self, host: usize) -> Option<&Host> {
        self.hosts[host].host.as_ref()
    }

    /// Whether a host is there and answers.
    pub(crate) fn answers(&self, host: usize) -> bool {
        self.hosts[host].host.is_some() && !self.frozen.contains_key(&host)
    }

    /// What a node forwards by: what it has put into its dataplane, then what its earlier lives have left there.
    pub(crate) fn forwarding(&self, host: usize) -> Vec<&Fib> {
        match &self.hosts[host].host {
            Some(Host::Node(node)) => vec![&node.fib, &node.kept],
            _ => vec![&self.hosts[host].left.1],
        }
    }

    /// Lets something happen to a node that is up.
    pub(crate) fn with_node<T>(&mut self, host: usize, work: impl FnOnce(&mut Node) -> T) -> Option<T> {
        let Some(Host::Node(node)) = &mut self.hosts[host].host else { return None };
        let result = work(node);
        self.settle(host);
        Some(result)
    }

    /// Lets the network run for some time.
    pub(crate) fn run(&mut self, time: Duration) {
        let end = self.now + time;
        while let Some(entry) = self.queue.first_entry() {
            if entry.key().0 > end {
                break;
            }
            let ((when, _), event) = entry.remove_entry();
            self.now = when;
            self.happen(event);
        }
        self.now = end;
    }

    fn schedule(&mut self, delay: Duration, event: Event) {
        self.schedule_at(self.now + delay, event);
    }

    fn schedule_at(&mut self, when: Instant, event: Event) {
        self.events += 1;
        self.queue.insert((when, self.events), event);
    }

    fn happen(&mut self, event: Event) {
        let now = self.now;
        if let Some(waiting) = event.concerns().and_then(|host| self.frozen.get_mut(&host)) {
            return waiting.push(event);
        }
        match event {
            Event::Arrive { from, to } => self.arrive(from, to),
            Event::Connected(end) => {
                if self.pipes.contains_key(&end) {
                    self.tell(end, |host| host.connected(end.conn, now));
                }
            }
            Event::Failed(end) => self.tell(end, |host| host.connect_failed(end.conn, "refused", now)),
            Event::Deliver(end, bytes) => {
                if self.pipes.contains_key(&end) {
                    self.tell(end, |host| host.received(end.conn, &bytes, now));
                }
            }
            Event::Closed(end) => {
                if self.pipes.remove(&end).is_some() {
                    self.tell(end, |host| host.closed(end.conn, now));
                }
            }
            Event::Broken(end) => self.tell(end, |host| host.closed(end.conn, now)),
            Event::Write(end) => {
                self.write(end);
                self.settle(end.host);
            }
            Event::Timer { host, life } => {
                let place = &mut self.hosts[host];
                if let Some(machine) = &mut place.host
                    && place.life == life
                {
                    place.timer = None;
                    if machine.poll_timeout().is_some_and(|due| due <= now) {
                        machine.timeout(now);
                    }
                    self.settle(host);
                }
            }
            Event::Unclog(from, to) => self.unclog(from, to),
            Event::Thaw(host) => self.thaw(host),
            Event::Boot(host) => self.boot(host),
        }
    }

    fn alive(&mut self, end: End) -> Option<&mut Host> {
        let place = &mut self.hosts[end.host];
        if place.life == end.life { place.host.as_mut() } else { None }
    }

    fn tell(&mut self, end: End, what: impl FnOnce(&mut Host)) {
        if let Some(host) = self.alive(end) {
            what(host);
            self.settle(end.host);
        }
    }

    fn arrive(&mut self, from: End, to: usize) {
        let (now, delay) = (self.now, self.rng.millis(DELAY));
        if self.alive(from).is_none() {
            return;
        }
        let port = 1_024 + u16::try_from(from.conn.0 % 60_000).unwrap();
        let remote = SocketAddr::new(self.plan.address(from.host).into(), port);
        let open = self.is_open(from.host, to);
        let accepted = match &mut self.hosts[to].host {
            Some(host) if open => host.accepted(remote, now).ok(),
            _ => None,
        };
        let Some(conn) = accepted else { return self.schedule(delay, Event::Failed(from)) };
        let end = End { host: to, life: self.hosts[to].life, conn };
        let back = now + delay;
        self.pipes.insert(end, Pipe { other: from, last_arrival: now });
        self.pipes.insert(from, Pipe { other: end, last_arrival: back });
        self.schedule_at(back, Event::Connected(from));
        self.settle(to);
    }

    /// Does what a host asks for.
    fn settle(&mut self, id: usize) {
        let life = self.hosts[id].life;
        while let Some(action) = self.hosts[id].host.as_mut().and_then(Host::poll_action) {
            let delay = self.rng.millis(DELAY);
            match action {
                Action::Connect { conn, remote, .. } => {
                    let from = End { host: id, life, conn };
                    match self.plan.host_of(remote.ip()) {
                        Some(to) => self.schedule(delay, Event::Arrive { from, to }),
                        None => panic!("a connection to nobody: {remote}"),
                    }
                }
                Action::WantsWrite { conn } => {
                    self.schedule(delay, Event::Write(End { host: id, life, conn }));
                }
                Action::Close { conn } => {
                    let end = End { host: id, life, conn };
                    self.write(end);
                    if let Some(pipe) = self.pipes.remove(&end) {
                        let when = self.arrival(pipe.other);
                        self.schedule_at(when, Event::Closed(pipe.other));
                    }
                }
            }
        }
        let place = &mut self.hosts[id];
        let Some(host) = &mut place.host else { return };
        host.drain();
        let due = host.poll_timeout();
        if due.is_some_and(|due| place.timer.is_none_or(|timer| due < timer)) {
            place.timer = due;
            let when = due.map_or(self.now, |due| due.max(self.now));
            self.schedule_at(when, Event::Timer { host: id, life });
        }
    }

    /// The connection takes what its end has to say, sometimes in two pieces.
    fn write(&mut self, end: End) {
        let full = |pipe: &Pipe| self.clogged.contains(&(end.host, pipe.other.host));
        if self.pipes.get(&end).is_some_and(full) {
            return;
        }
        while let Some(mut bytes) = self.alive(end).and_then(|host| host.poll_transmit(end.conn)) {
            let Some(other) = self.pipes.get(&end).map(|pipe| pipe.other) else { continue };
            if self.rng.one_in(8) {
                let first = bytes.split_to(1 + self.rng.below(bytes.len() - 1));
                let when = self.arrival(other);
                self.schedule_at(when, Event::Deliver(other, first));
            }
            let when = self.arrival(other);
            self.schedule_at(when, Event::Deliver(other, bytes));
        }
    }

    /// When what is sent now arrives: after all that was sent before on the connection.
    fn arrival(&mut self, end: End) -> Instant {
        let soonest = self.now + self.rng.millis(DELAY);
        match self.pipes.get_mut(&end) {
            Some(pipe) => {
                pipe.last_arrival = pipe.last_arrival.max(soonest);
                pipe.last_arrival
            }
            None => soonest,
        }
    }

    fn boot(&mut self, id: usize) {
        self.say(|| format!("host {id} starts"));
        let (plan, now) = (self.plan, self.now);
        let place = &mut self.hosts[id];
        let again = place.life > 0 && !std::mem::take(&mut place.cold);
        place.host = Some(if id < plan.nodes {
            plan.node(id, again.then(|| std::mem::take(&mut place.left)), now)
        } else {
            plan.reflector(id, again, now)
        });
        self.settle(id);
    }
}

fn link(a: usize, b: usize) -> (usize, usize) {
    (a.min(b), a.max(b))
}
