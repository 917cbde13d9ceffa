//! What a speaker shows of itself.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Instant;

use serde::Serialize;

use super::administration::Held;
use super::faults::Faults;
use super::peer::{Connection, Peer};
use super::{PeerId, Speaker};
use crate::rib::{FamilyCount, HeldPath, RouteSource};
use crate::session::{Counters, Negotiated, State};
use crate::types::{Asn, Family, RouterId};
use crate::wire::{Attributes, Nlri, PathId};

/// The states of RFC 4271 §8.2.2; of several connections the one that is furthest.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum PeerState {
    /// Waiting until the next attempt to connect.
    Idle,
    /// Waiting for the peer to connect.
    Active,
    /// Connecting.
    Connect,
    /// OPEN sent.
    OpenSent,
    /// OPEN received.
    OpenConfirm,
    /// Established.
    Established,
}

/// A peer, as `show peers` and the metrics give it.
#[derive(Clone, Debug, Serialize)]
pub struct PeerStatus {
    /// The peer.
    pub peer: PeerId,
    /// Its address.
    pub address: IpAddr,
    /// Its AS.
    pub asn: Asn,
    /// It is a client of this reflector (RFC 4456).
    pub client: bool,
    /// It is known by its prefix only.
    pub dynamic: bool,
    /// The state.
    pub state: PeerState,
    /// Why it is kept away, if it is.
    pub held: Option<Held>,
    /// Since when it is or is not established.
    #[serde(skip)]
    pub since: Instant,
    /// Its BGP identifier, while established.
    pub router_id: Option<RouterId>,
    /// What was agreed on, while established.
    pub negotiated: Option<Negotiated>,
    /// Families whose routes are kept from an earlier session (RFC 4724 §4.2).
    pub stale: Vec<Family>,
    /// Those of them that have been kept for longer than the restart time (RFC 9494).
    pub long_lived: Vec<Family>,
    /// Messages, of all connections so far.
    pub counters: Counters,
    /// Routes received and sent per family.
    pub routes: Vec<FamilyCount>,
    /// What ended the last session or attempt; `None` while established.
    pub last_error: Option<String>,
    /// What has gone wrong so far.
    pub faults: Faults,
}

/// A route, as `show routes` gives it.
#[derive(Clone, Debug, Serialize)]
pub struct RouteStatus {
    /// The route.
    pub nlri: Nlri,
    /// Its attributes.
    pub attributes: Arc<Attributes>,
    /// Where it comes from.
    pub source: RouteSource,
    /// It is the best path.
    pub best: bool,
    /// Kept from an earlier session (RFC 4724 §4.2).
    pub stale: bool,
    /// The path identifier that it came with, or went with; zero without add-path (RFC 7911).
    pub path_id: PathId,
}

impl Speaker {
    /// All peers, in the order in which they came.
    pub fn peers(&self) -> impl Iterator<Item = PeerStatus> + '_ {
        self.peers.iter().map(|(&peer, state)| self.status(peer, state))
    }

    /// One peer.
    #[must_use]
    pub fn peer(&self, peer: PeerId) -> Option<PeerStatus> {
        self.peers.get(&peer).map(|state| self.status(peer, state))
    }

    /// The peer at an address, a configured one or a client.
    #[must_use]
    pub fn peer_at(&self, address: IpAddr) -> Option<PeerId> {
        self.addresses.get(&address.to_canonical()).copied()
    }

    /// All routes held: our own and those received.
    pub fn routes(&self) -> impl Iterator<Item = RouteStatus> + '_ {
        self.rib.routes().map(|held| self.route_status(held))
    }

    /// The routes that a peer holds of us, with the attributes that go to it.
    pub fn routes_sent(&self, peer: PeerId) -> impl Iterator<Item = RouteStatus> + '_ {
        self.rib.sent(peer).map(|held| self.route_status(held))
    }

    pub(super) fn route_status(&self, held: HeldPath) -> RouteStatus {
        let address = |peer| self.peers.get(&peer).map(|state| state.config.address);
        let source = held.peer.and_then(|peer| Some(RouteSource::Peer(peer, address(peer)?)));
        RouteStatus {
            nlri: held.nlri,
            attributes: held.attributes,
            source: source.unwrap_or(RouteSource::Local),
            best: held.best,
            stale: held.stale,
            path_id: held.path_id,
        }
    }

    fn status(&self, peer: PeerId, state: &Peer) -> PeerStatus {
        let mut counters = state.counters;
        for session in self.connections_of(state).filter_map(|connection| connection.session.as_ref()) {
            counters += session.counters();
        }
        let negotiated = state.up.as_ref().map(|up| up.negotiated.clone());
        PeerStatus {
            peer,
            address: state.config.address,
            asn: state.config.asn,
            client: state.config.client,
            dynamic: state.dynamic,
            state: self.state_of(state),
            held: state.held,
            since: state.since,
            router_id: negotiated.as_ref().map(|negotiated| negotiated.router_id),
            negotiated,
            stale: state.stale.clone(),
            long_lived: state.long_lived.clone(),
            counters,
            routes: self.rib.counts(peer),
            last_error: state.last_error.clone(),
            faults: state.faults.clone(),
        }
    }

    fn state_of(&self, state: &Peer) -> PeerState {
        let of = |connection: &Connection| match connection.state() {
            None => PeerState::Connect,
            Some(State::OpenSent) => PeerState::OpenSent,
            Some(State::OpenConfirm) => PeerState::OpenConfirm,
            Some(State::Established) => PeerState::Established,
            Some(State::Closed) => PeerState::Idle,
        };
        let waiting = if state.active() { PeerState::Idle } else { PeerState::Active };
        self.connections_of(state).map(of).max().unwrap_or(waiting)
    }

    fn connections_of<'a>(&'a self, state: &'a Peer) -> impl Iterator<Item = &'a Connection> {
        state.connections.iter().filter_map(|conn| self.connections.get(conn))
    }
}
