//! The functional core: the BGP speaker and the VPN instances as one state machine, without input and output.
//!
//! The owner puts in what happens (requests, bytes, connections, time) and drains what is to be done:
//! [`Engine::poll_action`] and [`Engine::poll_transmit`] for connections, [`Engine::poll_change`] for the
//! dataplane, then [`Engine::poll_event`] for the log and the store (an event comes after the changes that belong
//! to it). So whole networks of engines run inside one
//! test, from one seed.

mod view;

use std::collections::VecDeque;
use std::net::{IpAddr, SocketAddr};
use std::ops::RangeInclusive;
use std::time::Instant;

use bagpipe_bgp::rib::PeerId;
use bagpipe_bgp::speaker::{
    Action, ConnId, PathChange, PeerConfig, Refused, Speaker, SpeakerConfig, SpeakerEvent, SpeakerTerms,
};
use bagpipe_bgp::types::{MacAddr, Vni};
use bytes::Bytes;

pub use self::view::RouteView;
use crate::fib::Change;
use crate::vpn::networks::{Network, NetworkError, Networks, RouteTargets};
use crate::vpn::{
    Attach, AttachError, AttachRequest, Attached, Detach, DetachError, DetachRequest, Detached, Difference,
    Duplicate, DuplicateDetection, Overlay, RestoreError, Snapshot, Stale, Vpns, VpnsConfig,
};

/// What an engine is made with.
#[derive(Clone, Debug)]
pub struct EngineConfig {
    /// The BGP speaker. The tunnel endpoint is added to its local addresses.
    pub speaker: SpeakerConfig,
    /// Tunnel endpoint of this node: the next hop of its routes.
    pub local_endpoint: IpAddr,
    /// VNIs to choose from for instances that are given none.
    pub vnis: RangeInclusive<u32>,
    /// Tunnels, labels and the router.
    pub overlay: Overlay,
    /// When a MAC address moves too often.
    pub duplicates: DuplicateDetection,
}

/// What others than the dataplane want to know.
#[derive(Clone, Debug)]
pub enum EngineEvent {
    /// Something about BGP peers; `Converged`: what the dataplane kept from before and was not told again since
    /// may go.
    Speaker(SpeakerEvent),
    /// A VPN instance was created.
    VpnCreated {
        /// Its name.
        vpn: String,
    },
    /// A VPN instance was removed with its last port.
    VpnRemoved {
        /// Its name.
        vpn: String,
    },
    /// A MAC address was frozen because it moves too often, or is no longer (RFC 7432 §15.1).
    Duplicate(Duplicate),
    /// What [`Engine::shortages`] tells differs.
    HealthChanged,
    /// The snapshot differs from the last one: store it.
    AttachmentsChanged,
}

/// The BGP speaker and the VPN instances.
#[derive(Debug)]
pub struct Engine {
    speaker: Speaker,
    vpns: Vpns,
    changes: VecDeque<Change>,
    events: VecDeque<EngineEvent>,
    store: bool,
    stale: Stale,
    networks: Networks,
}

impl Engine {
    /// An engine with the attachments of a snapshot, if there is one.
    ///
    /// # Errors
    /// The snapshot contradicts itself.
    pub fn new(
        mut config: EngineConfig,
        snapshot: Option<&Snapshot>,
        now: Instant,
    ) -> Result<Self, RestoreError> {
        let vpns = VpnsConfig {
            router_id: config.speaker.router_id,
            local_endpoint: config.local_endpoint,
            vnis: config.vnis,
            overlay: config.overlay,
            duplicates: config.duplicates,
        };
        if !config.speaker.local_addresses.contains(&config.local_endpoint) {
            config.speaker.local_addresses.push(config.local_endpoint);
        }
        let mut vpns = match snapshot {
            Some(snapshot) => Vpns::restore(vpns, snapshot)?,
            None => Vpns::new(vpns),
        };
        if config.speaker.restarting {
            vpns.hold_flows();
        }
        let mut engine = Self {
            speaker: Speaker::new(config.speaker, now),
            vpns,
            changes: VecDeque::new(),
            events: VecDeque::new(),
            store: false,
            stale: snapshot.map(Stale::of).unwrap_or_default(),
            networks: snapshot.map(|snapshot| snapshot.networks.clone()).unwrap_or_default(),
        };
        engine.settle(now);
        Ok(engine)
    }

    /// Attaches, or changes nothing. The caller has made sure that the interface is there, or that the
    /// attachment is to wait for it.
    ///
    /// # Errors
    /// What is wrong with the request, or what it contradicts.
    pub fn attach(&mut self, request: &AttachRequest, now: Instant) -> Result<Attached, AttachError> {
        self.attach_valid(request.validate()?, now)
    }

    /// Attaches what [`Self::check`] gave, or changes nothing.
    ///
    /// # Errors
    /// What it contradicts.
    pub fn attach_valid(&mut self, attach: Attach, now: Instant) -> Result<Attached, AttachError> {
        let attached = self.vpns.attach(&attach, now)?;
        self.stale.confirm(&attach);
        if attached.created {
            self.events.push_back(EngineEvent::VpnCreated { vpn: attach.vpn });
        }
        self.store |= attached.changed;
        self.settle(now);
        Ok(attached)
    }

    /// Checks an attach without carrying it out; gives what it says.
    ///
    /// # Errors
    /// Those of [`Self::attach`].
    pub fn check(&self, request: &AttachRequest) -> Result<Attach, AttachError> {
        let attach = request.validate()?;
        self.vpns.check(&attach)?;
        Ok(attach)
    }

    /// Checks a detach without carrying it out.
    ///
    /// # Errors
    /// Those of [`Self::detach`].
    pub fn check_detach(&self, request: &DetachRequest) -> Result<(), DetachError> {
        self.vpns.check_detach(&request.validate()?).map(drop)
    }

    /// Detaches, or changes nothing.
    ///
    /// # Errors
    /// What is wrong with the request, or what is not attached.
    pub fn detach(&mut self, request: &DetachRequest, now: Instant) -> Result<Detached, DetachError> {
        self.carry_out(request.validate()?, now)
    }

    fn carry_out(&mut self, detach: Detach, now: Instant) -> Result<Detached, DetachError> {
        let detached = self.vpns.detach(&detach)?;
        if detached.removed {
            self.events.push_back(EngineEvent::VpnRemoved { vpn: detach.vpn });
        }
        self.store |= detached.changed;
        self.settle(now);
        Ok(detached)
    }

    /// How many attachments of the snapshot nobody has attached again.
    #[must_use]
    pub fn stale(&self) -> usize {
        self.stale.len()
    }

    /// Detaches what nobody has attached again; gives what that was. What was detached meanwhile is not there.
    pub fn sweep_stale(&mut self, now: Instant) -> Vec<Detach> {
        let mut stale = self.stale.take();
        stale.retain(|detach| self.carry_out(detach.clone(), now).is_ok_and(|detached| detached.changed));
        stale
    }

    /// All attachments, identifiers and networks, to be stored.
    #[must_use]
    pub fn snapshot(&self) -> Snapshot {
        Snapshot { networks: self.networks.clone(), ..self.vpns.snapshot() }
    }

    /// What has changed since a snapshot of this engine.
    #[must_use]
    pub fn difference(&self, stored: &Snapshot) -> Difference {
        let networks = (self.networks != stored.networks).then(|| self.networks.clone());
        Difference { networks, ..self.vpns.difference(stored) }
    }

    /// Makes a named network.
    ///
    /// # Errors
    /// See [`Networks::create`].
    pub fn create_network(
        &mut self,
        name: &str,
        vni: Option<Vni>,
        targets: &RouteTargets,
    ) -> Result<Network, NetworkError> {
        let network = self.networks.create(name, vni, targets)?.clone();
        self.store = true;
        Ok(network)
    }

    /// Removes a named network, which nothing may use any more.
    ///
    /// # Errors
    /// There is none of this name.
    pub fn delete_network(&mut self, name: &str) -> Result<Network, NetworkError> {
        let network = self.networks.delete(name)?;
        self.store = true;
        Ok(network)
    }

    /// The named networks.
    pub fn networks(&self) -> impl Iterator<Item = &Network> {
        self.networks.iter()
    }

    /// An attach with what its network says, if it names one.
    ///
    /// # Errors
    /// There is no such network.
    pub fn in_network(&self, request: AttachRequest) -> Result<AttachRequest, NetworkError> {
        self.networks.complete(request)
    }

    /// Adds a peer.
    pub fn add_peer(&mut self, peer: PeerConfig, now: Instant) -> PeerId {
        let peer = self.speaker.add_peer(peer, now);
        self.settle(now);
        peer
    }

    /// Removes a peer; its routes go.
    pub fn remove_peer(&mut self, peer: PeerId, now: Instant) {
        self.speaker.remove_peer(peer, now);
        self.settle(now);
    }

    /// Takes over new terms of the speaker. Clients that no prefix contains any more are removed.
    pub fn set_terms(&mut self, terms: SpeakerTerms, now: Instant) {
        self.speaker.set_terms(terms, now);
        self.settle(now);
    }

    /// Takes over a changed configuration of a peer, if its session can go on with it; tells whether it could.
    pub fn update_peer(&mut self, peer: PeerId, config: &PeerConfig) -> bool {
        self.speaker.update_peer(peer, config)
    }

    /// The peer at an address, a configured one or a client.
    #[must_use]
    pub fn peer_at(&self, address: IpAddr) -> Option<PeerId> {
        self.speaker.peer_at(address)
    }

    /// Ends the session with a peer and keeps it away; `words` are for its operator (RFC 9003).
    pub fn shut_down_peer(&mut self, peer: PeerId, words: &str, now: Instant) {
        self.speaker.shut_down_peer(peer, words, now);
        self.settle(now);
    }

    /// Ends the session with a peer, for it to begin again.
    pub fn reset_peer(&mut self, peer: PeerId, words: &str, now: Instant) {
        self.speaker.reset_peer(peer, words, now);
        self.settle(now);
    }

    /// Lets a peer come back that is kept away.
    pub fn enable_peer(&mut self, peer: PeerId, now: Instant) {
        self.speaker.enable_peer(peer, now);
        self.settle(now);
    }

    /// Lets a frozen MAC address move again; `None` if there is no such instance, else whether it was frozen.
    pub fn release_mac(&mut self, vpn: &str, mac: MacAddr, now: Instant) -> Option<bool> {
        let released = self.vpns.release_mac(vpn, mac);
        self.settle(now);
        released
    }

    /// A TCP connection came in.
    ///
    /// # Errors
    /// Nobody expects it: close it.
    pub fn accepted(&mut self, remote: SocketAddr, now: Instant) -> Result<ConnId, Refused> {
        let accepted = self.speaker.accepted(remote, now);
        self.settle(now);
        accepted
    }

    /// A connection that was asked for is there.
    pub fn connected(&mut self, conn: ConnId, now: Instant) {
        self.speaker.connected(conn, now);
        self.settle(now);
    }

    /// A connection that was asked for could not be made, for this reason.
    pub fn connect_failed(&mut self, conn: ConnId, reason: &str, now: Instant) {
        self.speaker.connect_failed(conn, reason, now);
        self.settle(now);
    }

    /// Bytes came in on a connection.
    pub fn received(&mut self, conn: ConnId, bytes: &[u8], now: Instant) {
        self.speaker.received(conn, bytes, now);
        self.settle(now);
    }

    /// A connection was closed by the other side, or broke.
    pub fn closed(&mut self, conn: ConnId, now: Instant) {
        self.speaker.closed(conn, now);
        self.settle(now);
    }

    /// Does what is due at `now`.
    pub fn timeout(&mut self, now: Instant) {
        self.speaker.timeout(now);
        self.settle(now);
    }

    /// Closes all connections. Forwarding stays as it is.
    pub fn shutdown(&mut self, now: Instant) {
        self.speaker.shutdown(now);
    }

    /// When to call [`Self::timeout`].
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Instant> {
        self.speaker.poll_timeout().into_iter().chain(self.vpns.timeout()).min()
    }

    /// The next thing to do with connections.
    pub fn poll_action(&mut self) -> Option<Action> {
        self.speaker.poll_action()
    }

    /// The next bytes for a connection; to be called when it can take them.
    pub fn poll_transmit(&mut self, conn: ConnId) -> Option<Bytes> {
        self.speaker.poll_transmit(conn)
    }

    /// The next change of the desired forwarding state.
    pub fn poll_change(&mut self) -> Option<Change> {
        self.changes.pop_front()
    }

    /// The next event.
    pub fn poll_event(&mut self) -> Option<EngineEvent> {
        if let Some(event) = self.events.pop_front() {
            return Some(event);
        }
        if std::mem::take(&mut self.store) {
            return Some(EngineEvent::AttachmentsChanged);
        }
        None
    }

    /// Whether changes of paths are kept for [`Self::poll_path`].
    pub fn watch_paths(&mut self, on: bool) {
        self.speaker.watch_paths(on);
    }

    /// The next change of a path, received or our own; to be taken after the events.
    pub fn poll_path(&mut self) -> Option<PathChange> {
        self.speaker.poll_path()
    }

    /// Carries out the consequences of the last event.
    fn settle(&mut self, now: Instant) {
        self.carry(now);
        while let Some(event) = self.speaker.poll_event() {
            if matches!(event, SpeakerEvent::Converged) {
                // Before what was not told again goes.
                self.vpns.release_flows();
                self.carry(now);
            }
            self.events.push_back(EngineEvent::Speaker(event));
        }
    }

    /// Carries routes and their consequences between the speaker and the instances until nothing is left: an
    /// instance that imports one more route target makes the speaker emit the routes it has.
    fn carry(&mut self, now: Instant) {
        loop {
            while let Some(change) = self.speaker.poll_route() {
                let path = change.best.as_ref();
                let nlri = path.map_or(&change.nlri, |path| &path.nlri);
                self.vpns.route(nlri, path.map(|path| &path.attributes));
            }
            let effects = self.vpns.settle(now);
            if effects.is_empty() {
                break;
            }
            self.store |= effects.renumbered;
            self.changes.extend(effects.changes);
            self.events.extend(effects.health.then_some(EngineEvent::HealthChanged));
            self.events.extend(effects.duplicates.into_iter().map(EngineEvent::Duplicate));
            // First in, then out: a target that one instance takes over from another stays imported.
            effects.import.into_iter().for_each(|target| self.speaker.import(target));
            effects.unimport.into_iter().for_each(|target| self.speaker.unimport(target));
            for (nlri, attributes) in effects.announce {
                self.speaker.originate(nlri, attributes);
            }
            effects.withdraw.iter().for_each(|nlri| self.speaker.withdraw(nlri));
        }
    }
}

#[cfg(test)]
mod tests;
