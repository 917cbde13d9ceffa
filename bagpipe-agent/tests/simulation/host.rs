//! The hosts of a network: nodes with an engine, and route reflectors.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::{Duration, Instant};

use bagpipe_agent::engine::{Engine, EngineConfig, EngineEvent};
use bagpipe_agent::fib::{Change, Fib, Target};
use bagpipe_agent::vpn::{DuplicateDetection, Overlay, Snapshot};
use bagpipe_bgp::speaker::{
    Action, ConnId, PeerConfig, Refused, Speaker, SpeakerConfig, SpeakerEvent, SpeakerTerms,
};
use bagpipe_bgp::types::Family;
use bytes::Bytes;

use crate::rng::Rng;

pub(crate) const ASN: u32 = 64_512;
const FAMILIES: [Family; 4] = [Family::ROUTE_TARGET, Family::EVPN, Family::VPNV4, Family::VPNV6];
const HOLD_TIME: u16 = 30;
const RESTART_TIME: u16 = 20;

pub(crate) enum Host {
    Node(Box<Node>),
    Reflector(Box<Speaker>),
}

pub(crate) struct Node {
    pub(crate) engine: Engine,
    pub(crate) fib: Fib,
    pub(crate) stored: Snapshot,
    pub(crate) converged: bool,
    /// What earlier lives left in the dataplane.
    pub(crate) kept: Fib,
    /// On convergence all that was kept was there again: nothing is lost when the rest is swept.
    pub(crate) relearned: bool,
}

/// Hosts are numbered: first the nodes, then the reflectors.
#[derive(Clone, Copy)]
pub(crate) struct Plan {
    pub(crate) nodes: usize,
    pub(crate) reflectors: usize,
    /// A bit for each host that has no RT Constraint.
    pub(crate) plain: usize,
}

impl Plan {
    /// Every fourth host has no RT Constraint.
    pub(crate) fn random(nodes: usize, reflectors: usize, rng: &mut Rng) -> Self {
        let hosts = 0..nodes + reflectors;
        let plain = hosts.filter(|_| rng.one_in(4)).map(|host| 1 << host).sum();
        Self { nodes, reflectors, plain }
    }

    fn families(&self, host: usize) -> Vec<Family> {
        let has_constraint = self.plain & 1 << host == 0;
        FAMILIES.into_iter().filter(|family| has_constraint || *family != Family::ROUTE_TARGET).collect()
    }

    pub(crate) fn address(&self, host: usize) -> Ipv4Addr {
        match host.checked_sub(self.nodes) {
            None => Ipv4Addr::new(10, 0, 0, 10 + u8::try_from(host).unwrap()),
            Some(reflector) => Ipv4Addr::new(10, 0, 1, 1 + u8::try_from(reflector).unwrap()),
        }
    }

    pub(crate) fn host_of(&self, address: IpAddr) -> Option<usize> {
        (0..self.nodes + self.reflectors).find(|host| address == self.address(*host))
    }

    pub(crate) fn reflectors(&self) -> std::ops::Range<usize> {
        self.nodes..self.nodes + self.reflectors
    }

    fn speaker(&self, host: usize, restarting: bool) -> SpeakerConfig {
        let address = self.address(host);
        let reflector = host >= self.nodes;
        SpeakerConfig {
            local_addresses: vec![address.into()],
            families: self.families(host),
            restarting,
            terms: SpeakerTerms {
                hold_time: HOLD_TIME,
                restart_time: RESTART_TIME,
                dynamic_clients: reflector
                    .then_some((Ipv4Addr::new(10, 0, 0, 0).into(), 24))
                    .into_iter()
                    .collect(),
                ..SpeakerTerms::default()
            },
            ..SpeakerConfig::new(ASN, address)
        }
    }

    /// Every host has the reflectors as peers, but for itself.
    fn peers(&self, host: usize) -> impl Iterator<Item = PeerConfig> {
        let plan = *self;
        self.reflectors().filter(move |reflector| *reflector != host).map(move |reflector| PeerConfig {
            families: plan.families(host),
            hold_time: HOLD_TIME,
            connect_retry: Duration::from_secs(4),
            ..PeerConfig::new(plan.address(reflector).into(), ASN)
        })
    }

    pub(crate) fn node(&self, host: usize, before: Option<(Snapshot, Fib)>, now: Instant) -> Host {
        let config = EngineConfig {
            speaker: self.speaker(host, before.is_some()),
            local_endpoint: self.address(host).into(),
            vnis: 1_000..=2_000,
            overlay: Overlay::new(self.address(host).into()),
            // Hosts move more often here than anybody would let them.
            duplicates: DuplicateDetection { moves: 0, ..DuplicateDetection::default() },
        };
        let (stored, kept) = before.unwrap_or_default();
        let mut engine = Engine::new(config, Some(&stored), now).unwrap();
        for peer in self.peers(host) {
            engine.add_peer(peer, now);
        }
        Host::Node(Box::new(Node {
            engine,
            fib: Fib::default(),
            stored,
            converged: false,
            kept,
            relearned: false,
        }))
    }

    pub(crate) fn reflector(&self, host: usize, restarting: bool, now: Instant) -> Host {
        let mut speaker = Speaker::new(self.speaker(host, restarting), now);
        for peer in self.peers(host) {
            speaker.add_peer(peer, now);
        }
        Host::Reflector(Box::new(speaker))
    }
}

/// Calls a method that the engine passes on to its speaker.
macro_rules! pass {
    ($($name:ident($($argument:ident: $type:ty),*) $(-> $result:ty)?;)*) => { $(
        pub(crate) fn $name(&mut self, $($argument: $type),*) $(-> $result)? {
            match self {
                Self::Node(node) => node.engine.$name($($argument),*),
                Self::Reflector(speaker) => speaker.$name($($argument),*),
            }
        }
    )* };
}

impl Host {
    pass! {
        accepted(remote: SocketAddr, now: Instant) -> Result<ConnId, Refused>;
        connected(conn: ConnId, now: Instant);
        connect_failed(conn: ConnId, reason: &str, now: Instant);
        received(conn: ConnId, bytes: &[u8], now: Instant);
        closed(conn: ConnId, now: Instant);
        timeout(now: Instant);
        poll_timeout() -> Option<Instant>;
        poll_action() -> Option<Action>;
        poll_transmit(conn: ConnId) -> Option<Bytes>;
    }

    /// Takes out what a dataplane, a store and a log would.
    pub(crate) fn drain(&mut self) {
        match self {
            Self::Node(node) => node.drain(),
            Self::Reflector(speaker) => {
                while speaker.poll_route().is_some() {}
                while speaker.poll_event().is_some() {}
            }
        }
    }
}

impl Node {
    /// What stays in the dataplane when the agent ends.
    pub(crate) fn left(&self) -> Fib {
        let (mut all, fib) = (self.kept.clone(), self.fib.clone());
        all.vpns.extend(fib.vpns);
        all.ports.extend(fib.ports);
        all.macs.extend(fib.macs);
        all.neighbors.extend(fib.neighbors);
        all.floods.extend(fib.floods);
        all.endpoints.extend(fib.endpoints);
        all
    }

    fn drain(&mut self) {
        while let Some(change) = self.engine.poll_change() {
            self.check_references(&change);
            self.fib.apply(&change);
        }
        while let Some(event) = self.engine.poll_event() {
            match event {
                EngineEvent::AttachmentsChanged => {
                    self.stored.apply(self.engine.difference(&self.stored));
                    assert_eq!(self.stored, self.engine.snapshot());
                }
                EngineEvent::Speaker(SpeakerEvent::Converged) => {
                    assert!(!self.converged, "converged twice");
                    self.converged = true;
                    self.relearned = self.kept == self.fib;
                    self.kept = Fib::default();
                }
                EngineEvent::Speaker(SpeakerEvent::Error { error, .. }) => panic!("{error}"),
                EngineEvent::Speaker(_)
                | EngineEvent::VpnCreated { .. }
                | EngineEvent::VpnRemoved { .. }
                | EngineEvent::HealthChanged
                | EngineEvent::Duplicate(_) => {}
            }
        }
    }

    /// What is referred to is there; and a change changes something.
    fn check_references(&self, change: &Change) {
        let fib = &self.fib;
        let target = |target: &Target| match target {
            Target::Port(port) => fib.ports.contains_key(port),
            Target::Vxlan { .. } | Target::Mpls { .. } => true,
            Target::Router(vpn) => fib.vpns.contains_key(vpn),
            Target::Segment(segment) => fib.segments.contains_key(segment),
        };
        let sound = match change {
            Change::Vpn(vpn, None) => {
                fib.vpns.contains_key(vpn) && !fib.ports.values().any(|port| port.vpn == *vpn)
            }
            Change::Vpn(vpn, Some(vni)) => fib.vpns.get(vpn) != Some(vni),
            Change::Port(port, None) => {
                let used = |other: Target| other == Target::Port(*port);
                fib.ports.contains_key(port)
                    && !fib.macs.values().any(|mac| used(mac.target))
                    && !fib.floods.iter().any(|(_, target)| used(*target))
            }
            Change::Port(port, Some(value)) => {
                fib.vpns.contains_key(&value.vpn) && fib.ports.get(port) != Some(value)
            }
            Change::Mac(vpn, mac, None) => fib.macs.contains_key(&(*vpn, *mac)),
            Change::Mac(vpn, mac, Some(value)) => {
                fib.vpns.contains_key(vpn)
                    && target(&value.target)
                    && fib.macs.get(&(*vpn, *mac)) != Some(value)
            }
            Change::Neighbor(vpn, ip, value) => {
                fib.vpns.contains_key(vpn) && fib.neighbors.get(&(*vpn, *ip)) != value.as_ref()
            }
            Change::Flood(vpn, member, wanted) => {
                fib.vpns.contains_key(vpn)
                    && target(member)
                    && fib.floods.contains(&(*vpn, *member)) != *wanted
            }
            Change::Endpoint(vpn, endpoint, wanted) => {
                fib.vpns.contains_key(vpn) && fib.endpoints.contains(&(*vpn, *endpoint)) != *wanted
            }
            Change::Segment(segment, None) => {
                let used = |other: Target| other == Target::Segment(*segment);
                fib.segments.contains_key(segment) && !fib.macs.values().any(|mac| used(mac.target))
            }
            Change::Segment(segment, targets) => {
                fib.vpns.contains_key(&segment.vpn) && fib.segments.get(segment) != targets.as_ref()
            }
            Change::Router(vpn, value) => {
                fib.vpns.contains_key(vpn) && fib.routers.get(vpn) != value.as_ref()
            }
            Change::Route(vpn, prefix, value) => {
                fib.vpns.contains_key(vpn) && fib.routes.get(&(*vpn, *prefix)) != value.as_ref()
            }
            Change::Classifier(vpn, value) => {
                let leads =
                    value.iter().flat_map(|rules| rules.iter()).all(|rule| fib.vpns.contains_key(&rule.vrf));
                fib.vpns.contains_key(vpn) && leads && fib.classifiers.get(vpn) != value.as_ref()
            }
            Change::Label(label, value) => fib.labels.get(label) != value.as_ref(),
        };
        assert!(sound, "{change:?} in {fib:?}");
    }
}
