//! What may go wrong: links that break, hosts that die, stand still, or take nothing.

use std::time::Duration;

use super::{End, Event, Network, link};
use crate::host::Host;

/// When TCP gives up on a peer that acknowledges nothing (TCP_USER_TIMEOUT); later than the hold time.
const GIVE_UP: Duration = Duration::from_secs(35);
/// A host that dies is back in this time, in milliseconds.
const DEATH: usize = 6_000;

impl Network {
    /// Breaks the connections of a link. Silently: neither side is told, and for a while no other is made.
    pub(crate) fn break_link(&mut self, a: usize, b: usize, silently: bool) {
        if silently {
            let time = self.rng.millis(15_000);
            return self.cut(a, b, time);
        }
        self.say(|| format!("link {a}-{b} breaks"));
        self.break_pipes(|end, other| link(end.host, other.host) == link(a, b), false);
    }

    /// Nothing passes between two hosts for some time, and neither is told.
    pub(crate) fn cut(&mut self, a: usize, b: usize, time: Duration) {
        self.say(|| format!("link {a}-{b} is cut for {time:?}"));
        let until = self.now + time;
        let end = self.blocked.entry(link(a, b)).or_insert(until);
        *end = until.max(*end);
        self.break_pipes(|end, other| link(end.host, other.host) == link(a, b), true);
    }

    /// All links are there again.
    pub(crate) fn heal(&mut self) {
        self.say(|| "all links are there again".to_owned());
        self.blocked.clear();
    }

    /// Whether something may pass between two hosts.
    pub(crate) fn is_open(&self, a: usize, b: usize) -> bool {
        self.blocked.get(&link(a, b)).is_none_or(|until| *until <= self.now)
    }

    /// Whether routes of one node reach another one: they go over one reflector, or over two (RFC 4456 §6).
    pub(crate) fn may_hear(&self, one: usize, other: usize) -> bool {
        let reflectors = || self.plan.reflectors();
        reflectors().filter(|first| self.is_open(one, *first)).any(|first| {
            reflectors()
                .filter(|last| self.is_open(*last, other))
                .any(|last| first == last || self.is_open(first, last))
        })
    }

    fn break_pipes(&mut self, which: impl Fn(&End, &End) -> bool, silently: bool) {
        let broken: Vec<End> =
            self.pipes.iter().filter(|(end, pipe)| which(end, &pipe.other)).map(|(end, _)| *end).collect();
        for end in broken {
            self.pipes.remove(&end);
            let delay = if silently { GIVE_UP } else { self.rng.millis(super::DELAY) };
            self.schedule(delay, Event::Broken(end));
        }
    }

    /// For some time one host takes nothing of what another one sends.
    pub(crate) fn clog(&mut self, from: usize, to: usize, time: Duration) {
        if self.clogged.insert((from, to)) {
            self.say(|| format!("host {to} takes nothing of {from} for {time:?}"));
            self.schedule(time, Event::Unclog(from, to));
        }
    }

    pub(super) fn unclog(&mut self, from: usize, to: usize) {
        self.clogged.remove(&(from, to));
        let waiting = self.pipes.iter().filter(|(end, pipe)| (end.host, pipe.other.host) == (from, to));
        for end in waiting.map(|(end, _)| *end).collect::<Vec<_>>() {
            self.schedule(Duration::ZERO, Event::Write(end));
        }
    }

    /// A host stands still for some time: then all happens to it that has waited.
    pub(crate) fn freeze(&mut self, host: usize, time: Duration) {
        if self.answers(host) {
            self.say(|| format!("host {host} stands still for {time:?}"));
            self.frozen.insert(host, Vec::new());
            self.schedule(time, Event::Thaw(host));
        }
    }

    pub(super) fn thaw(&mut self, host: usize) {
        for event in self.frozen.remove(&host).unwrap_or_default() {
            self.schedule(Duration::ZERO, event);
        }
    }

    /// Ends a host at once; another life of it begins after some time.
    pub(crate) fn kill(&mut self, id: usize, silently: bool) {
        let Some(host) = self.hosts[id].host.take() else { return };
        self.say(|| format!("host {id} dies, silently: {silently}"));
        let place = &mut self.hosts[id];
        if let Host::Node(node) = host {
            place.left = (node.stored.clone(), node.left());
        }
        place.life += 1;
        place.timer = None;
        self.thaw(id);
        self.break_pipes(|end, other| end.host == id || other.host == id, silently);
        let delay = self.rng.millis(DEATH);
        self.schedule(delay, Event::Boot(id));
    }

    /// The same, and the next life knows nothing of this one: nobody keeps its routes once it is back.
    pub(crate) fn kill_for_good(&mut self, id: usize, silently: bool) {
        self.kill(id, silently);
        self.hosts[id].cold = true;
    }
}
