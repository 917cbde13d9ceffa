//! Speakers joined by simulated TCP, under a simulated clock.
//!
//! Everything that happens is an item in one queue ordered by time, so that a run is repeated exactly. Bytes may be
//! cut anywhere; nodes may be stopped, killed without a trace or cut off from each other.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::{Duration, Instant};

use bagpipe_bgp::speaker::{
    Action, ConnId, Path, PeerConfig, PeerId, PeerState, PeerStatus, Speaker, SpeakerConfig, SpeakerEvent,
    SpeakerTerms,
};
use bagpipe_bgp::types::{EthernetSegmentId, Family, MacAddr, RouteDistinguisher, RouteTarget, Vni};
use bagpipe_bgp::wire::{Attributes, EvpnRoute, Nlri};
use bytes::Bytes;

/// Time that bytes and connection attempts take from one node to another.
pub(crate) const LATENCY: Duration = Duration::from_millis(1);

/// The families that all nodes speak.
pub(crate) const FAMILIES: [Family; 2] = [Family::ROUTE_TARGET, Family::EVPN];

/// A node's number: its address is 192.0.2.number, and so is its identifier.
pub(crate) type NodeId = u8;

/// A process that may be there or not.
#[derive(Default)]
pub(crate) struct Node {
    pub(crate) speaker: Option<Speaker>,
    /// Accepts connections.
    pub(crate) listening: bool,
    /// Takes no bytes: what is to be sent to others stays where it is.
    pub(crate) stuck: bool,
    pub(crate) events: Vec<SpeakerEvent>,
    /// Best paths, by the text of their NLRI.
    pub(crate) routes: BTreeMap<String, Path>,
    /// Every route that has ever gone away.
    pub(crate) lost: Vec<String>,
    /// When it tried to connect.
    pub(crate) attempts: Vec<Instant>,
    sockets: BTreeMap<ConnId, Socket>,
}

#[derive(Clone, Copy)]
struct Socket {
    remote: NodeId,
    /// How long bytes take, in either direction.
    latency: Duration,
    /// The connection's name at the other end, once it is accepted.
    remote_conn: Option<ConnId>,
}

enum Item {
    Arrive { from: NodeId, conn: ConnId, to: NodeId, latency: Duration },
    Accepted { at: NodeId, conn: ConnId, by: NodeId, remote_conn: ConnId },
    Refused { at: NodeId, conn: ConnId },
    Bytes { at: NodeId, conn: ConnId, bytes: Bytes },
    Closed { at: NodeId, conn: ConnId },
}

pub(crate) struct Network {
    pub(crate) now: Instant,
    pub(crate) started: Instant,
    pub(crate) nodes: BTreeMap<NodeId, Node>,
    /// Pairs between which nothing passes, without anybody being told; the lower number first.
    pub(crate) cut: BTreeSet<(NodeId, NodeId)>,
    /// Connections that a node opens are slower than [`LATENCY`].
    pub(crate) slow: BTreeMap<NodeId, Duration>,
    /// Bytes come in pieces of at most this length.
    pub(crate) piece: usize,
    queue: BTreeMap<(Instant, u64), Item>,
    sequence: u64,
}

pub(crate) fn address(node: NodeId) -> Ipv4Addr {
    Ipv4Addr::new(192, 0, 2, node)
}

pub(crate) fn speaker_config(node: NodeId) -> SpeakerConfig {
    SpeakerConfig {
        local_addresses: vec![address(node).into()],
        families: FAMILIES.to_vec(),
        terms: SpeakerTerms { restart_time: 120, ..SpeakerTerms::default() },
        ..SpeakerConfig::new(64512, address(node))
    }
}

/// The same, but for some of its terms.
pub(crate) fn on_terms(mut config: SpeakerConfig, change: impl FnOnce(&mut SpeakerTerms)) -> SpeakerConfig {
    change(&mut config.terms);
    config
}

/// A reflector whose clients are known by their prefix.
pub(crate) fn reflector_config(node: NodeId) -> SpeakerConfig {
    on_terms(speaker_config(node), |terms| terms.dynamic_clients = vec![(address(0).into(), 24)])
}

pub(crate) fn peer_config(node: NodeId) -> PeerConfig {
    PeerConfig { families: FAMILIES.to_vec(), ..PeerConfig::new(address(node).into(), 64512) }
}

pub(crate) fn passive(node: NodeId) -> PeerConfig {
    PeerConfig { passive: true, ..peer_config(node) }
}

pub(crate) fn target() -> RouteTarget {
    "64512:100".parse().unwrap()
}

/// A MAC that `node` announces.
pub(crate) fn route(node: NodeId, number: u8) -> (Nlri, Attributes) {
    let nlri = Nlri::Evpn(EvpnRoute::MacIp {
        rd: RouteDistinguisher::from_ipv4(address(node), 1),
        esi: EthernetSegmentId::ZERO,
        tag: 0,
        mac: MacAddr([2, 0, 0, 0, node, number]),
        ip: None,
        label: Vni::new(100).unwrap().into(),
        ip_label: None,
    });
    let attributes = Attributes {
        next_hop: Some(IpAddr::from(address(node)).into()),
        local_pref: Some(100),
        extended_communities: vec![target().into()],
        ..Attributes::default()
    };
    (nlri, attributes)
}

impl Item {
    fn destination(&self) -> NodeId {
        let (Self::Arrive { to, .. }
        | Self::Accepted { at: to, .. }
        | Self::Refused { at: to, .. }
        | Self::Bytes { at: to, .. }
        | Self::Closed { at: to, .. }) = self;
        *to
    }
}

impl Node {
    pub(crate) fn connection_ids(&self) -> Vec<ConnId> {
        self.sockets.keys().copied().collect()
    }
}

impl Network {
    pub(crate) fn new() -> Self {
        let now = Instant::now();
        Self {
            now,
            started: now,
            nodes: BTreeMap::new(),
            cut: BTreeSet::new(),
            slow: BTreeMap::new(),
            piece: usize::MAX,
            queue: BTreeMap::new(),
            sequence: 0,
        }
    }

    /// Starts a speaker on a node, which listens from now on. It knows nothing of earlier connections.
    pub(crate) fn start(&mut self, node: NodeId, config: SpeakerConfig, peers: &[PeerConfig]) {
        let mut speaker = Speaker::new(config, self.now);
        for peer in peers {
            speaker.add_peer(peer.clone(), self.now);
        }
        for state in self.nodes.values_mut() {
            for socket in state.sockets.values_mut().filter(|socket| socket.remote == node) {
                socket.remote_conn = None;
            }
        }
        self.queue.retain(|_, item| matches!(item, Item::Arrive { .. }) || item.destination() != node);
        let state = Node { listening: true, speaker: Some(speaker), ..Node::default() };
        self.nodes.insert(node, state);
        self.pump(node);
    }

    /// The process is gone; the kernel closes its connections.
    pub(crate) fn kill(&mut self, node: NodeId) {
        for conn in self.node(node).connection_ids() {
            self.close(node, conn);
        }
        self.crash(node);
    }

    /// The machine is gone: nobody is told.
    pub(crate) fn crash(&mut self, node: NodeId) {
        let state = self.node(node);
        state.speaker = None;
        state.listening = false;
        state.sockets.clear();
    }

    /// Whether a node accepts connections.
    pub(crate) fn listen(&mut self, node: NodeId, listening: bool) {
        self.node(node).listening = listening;
    }

    /// Closes all connections of a node at both ends, as a network that forgets them does.
    pub(crate) fn reset_connections(&mut self, node: NodeId) {
        let now = self.now;
        for conn in self.node(node).connection_ids() {
            self.close(node, conn);
            self.with(node, |speaker| speaker.closed(conn, now));
        }
    }

    /// Calls a speaker and carries out what it asks for.
    pub(crate) fn with<T>(&mut self, node: NodeId, call: impl FnOnce(&mut Speaker) -> T) -> T {
        let result = call(self.node(node).speaker.as_mut().expect("the node runs"));
        self.pump(node);
        result
    }

    pub(crate) fn node(&mut self, node: NodeId) -> &mut Node {
        self.nodes.get_mut(&node).expect("the node has been started")
    }

    pub(crate) fn announce(&mut self, node: NodeId, number: u8) {
        let (nlri, attributes) = route(node, number);
        self.with(node, |speaker| speaker.originate(nlri, attributes));
    }

    /// The peer that `node` has at the address of `other`.
    pub(crate) fn peer(&self, node: NodeId, other: NodeId) -> Option<PeerStatus> {
        let speaker = self.nodes.get(&node)?.speaker.as_ref()?;
        speaker.peers().find(|status| status.address == IpAddr::from(address(other)))
    }

    pub(crate) fn peer_id(&self, node: NodeId, other: NodeId) -> PeerId {
        self.peer(node, other).expect("a peer").peer
    }

    pub(crate) fn last_error(&self, node: NodeId, other: NodeId) -> String {
        self.peer(node, other).and_then(|status| status.last_error).unwrap_or_default()
    }

    /// Whether both sides have the session.
    pub(crate) fn established(&self, one: NodeId, other: NodeId) -> bool {
        self.is_up(one, other) && self.is_up(other, one)
    }

    pub(crate) fn is_up(&self, node: NodeId, other: NodeId) -> bool {
        self.peer(node, other).is_some_and(|status| status.state == PeerState::Established)
    }

    /// The reasons for which sessions or attempts of a node have ended.
    pub(crate) fn downs(&self, node: NodeId) -> Vec<&str> {
        let mut downs = Vec::new();
        for event in &self.nodes[&node].events {
            if let SpeakerEvent::PeerDown { reason, .. } = event {
                downs.push(reason.as_str());
            }
        }
        downs
    }

    /// The number of `node`'s connections, in any state.
    pub(crate) fn connections(&self, node: NodeId) -> usize {
        self.nodes[&node].sockets.len()
    }

    pub(crate) fn has_route(&self, node: NodeId, (nlri, _): &(Nlri, Attributes)) -> bool {
        self.nodes[&node].routes.contains_key(&nlri.to_string())
    }

    /// Runs until the condition holds; panics if it does not within `limit` of simulated time.
    pub(crate) fn run_until(&mut self, what: &str, limit: Duration, condition: impl Fn(&Self) -> bool) {
        let end = self.now + limit;
        while !condition(self) {
            assert!(self.step(end), "not {what} within {limit:?}: {:#?}", self.report());
        }
    }

    pub(crate) fn run_for(&mut self, time: Duration) {
        let end = self.now + time;
        while self.step(end) {}
        self.now = end;
    }

    /// The next thing that happens, if it does by `end`.
    fn step(&mut self, end: Instant) -> bool {
        let item = self.queue.first_key_value().map(|(key, _)| *key);
        let timer = self
            .nodes
            .iter()
            .filter_map(|(id, node)| Some((node.speaker.as_ref()?.poll_timeout()?, *id)))
            .min();
        match (item, timer) {
            (Some(key), timer) if key.0 <= end && timer.is_none_or(|(at, _)| key.0 <= at) => {
                self.now = key.0;
                let item = self.queue.remove(&key).expect("it is the first");
                self.deliver(item);
            }
            (_, Some((at, node))) if at <= end => {
                self.now = self.now.max(at);
                let now = self.now;
                self.with(node, |speaker| speaker.timeout(now));
            }
            _ => return false,
        }
        true
    }

    fn deliver(&mut self, item: Item) {
        let now = self.now;
        match item {
            Item::Arrive { from, conn, to, latency } => self.arrive(from, conn, to, latency),
            Item::Accepted { at, conn, by, remote_conn } => {
                match self.nodes.get_mut(&at).and_then(|node| node.sockets.get_mut(&conn)) {
                    Some(socket) => {
                        socket.remote_conn = Some(remote_conn);
                        self.with(at, |speaker| speaker.connected(conn, now));
                    }
                    // Given up meanwhile.
                    None => self.enqueue(at, LATENCY, Item::Closed { at: by, conn: remote_conn }),
                }
            }
            Item::Refused { at, conn } => {
                if self.node(at).sockets.remove(&conn).is_some() {
                    self.with(at, |speaker| speaker.connect_failed(conn, "connection refused", now));
                }
            }
            Item::Bytes { at, conn, bytes } => {
                for piece in bytes.chunks(self.piece) {
                    if self.node(at).sockets.contains_key(&conn) {
                        self.with(at, |speaker| speaker.received(conn, piece, now));
                    }
                }
            }
            Item::Closed { at, conn } => {
                if self.node(at).sockets.remove(&conn).is_some() {
                    self.with(at, |speaker| speaker.closed(conn, now));
                }
            }
        }
    }

    fn arrive(&mut self, from: NodeId, conn: ConnId, to: NodeId, latency: Duration) {
        let now = self.now;
        let remote = SocketAddr::new(address(from).into(), 40_000);
        let listener = self.nodes.get_mut(&to).filter(|node| node.listening);
        // What the speaker does about it is looked at when the socket is known.
        let accepted = listener.and_then(|node| node.speaker.as_mut()?.accepted(remote, now).ok());
        match accepted {
            Some(remote_conn) => {
                let socket = Socket { remote: from, latency, remote_conn: Some(conn) };
                self.node(to).sockets.insert(remote_conn, socket);
                self.enqueue(to, latency, Item::Accepted { at: from, conn, by: to, remote_conn });
                self.pump(to);
            }
            None => self.enqueue(to, latency, Item::Refused { at: from, conn }),
        }
    }

    /// Carries out what a speaker asks for.
    fn pump(&mut self, id: NodeId) {
        loop {
            let now = self.now;
            let node = self.node(id);
            let Some(speaker) = &mut node.speaker else { return };
            node.events.extend(std::iter::from_fn(|| speaker.poll_event()));
            while let Some(change) = speaker.poll_route() {
                let name = change.nlri.to_string();
                if let Some(path) = change.best {
                    node.routes.insert(name, path);
                } else {
                    node.routes.remove(&name);
                    node.lost.push(name);
                }
            }
            match speaker.poll_action() {
                None => return,
                Some(Action::Connect { conn, remote, .. }) => {
                    let IpAddr::V4(remote) = remote.ip() else { panic!("all addresses are IPv4") };
                    let [.., to] = remote.octets();
                    node.attempts.push(now);
                    let latency = self.slow.get(&id).copied().unwrap_or(LATENCY);
                    self.node(id).sockets.insert(conn, Socket { remote: to, latency, remote_conn: None });
                    self.enqueue(id, latency, Item::Arrive { from: id, conn, to, latency });
                }
                Some(Action::Close { conn }) => {
                    self.transmit(id, conn);
                    self.close(id, conn);
                }
                Some(Action::WantsWrite { conn }) => self.transmit(id, conn),
            }
        }
    }

    /// Writes what has waited for a node that was stuck.
    pub(crate) fn unstick(&mut self, id: NodeId) {
        self.node(id).stuck = false;
        for conn in self.node(id).connection_ids() {
            self.transmit(id, conn);
        }
    }

    fn transmit(&mut self, id: NodeId, conn: ConnId) {
        let node = self.node(id);
        if node.stuck {
            return;
        }
        let Some(speaker) = &mut node.speaker else { return };
        let bytes: Vec<_> = std::iter::from_fn(|| speaker.poll_transmit(conn)).collect();
        if let Some(Socket { remote, latency, remote_conn: Some(remote_conn) }) =
            node.sockets.get(&conn).copied()
        {
            for bytes in bytes {
                self.enqueue(id, latency, Item::Bytes { at: remote, conn: remote_conn, bytes });
            }
        }
    }

    fn close(&mut self, id: NodeId, conn: ConnId) {
        if let Some(Socket { remote, latency, remote_conn: Some(conn) }) = self.node(id).sockets.remove(&conn)
        {
            self.enqueue(id, latency, Item::Closed { at: remote, conn });
        }
    }

    fn enqueue(&mut self, from: NodeId, latency: Duration, item: Item) {
        let to = item.destination();
        if !self.cut.contains(&(from.min(to), from.max(to))) {
            self.sequence += 1;
            self.queue.insert((self.now + latency, self.sequence), item);
        }
    }

    fn report(&self) -> Vec<String> {
        let running = self.nodes.iter().filter_map(|(id, node)| Some((id, node, node.speaker.as_ref()?)));
        running
            .map(|(id, node, speaker)| {
                let peers: Vec<_> = speaker.peers().collect();
                format!("node {id}: {peers:#?}\nevents {:?}\nroutes {:?}", node.events, node.routes.keys())
            })
            .collect()
    }
}
