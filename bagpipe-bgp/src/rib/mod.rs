//! Routing information bases.

use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;

use bytes::Bytes;

use crate::types::{Asn, Family, RouteTarget, RouterId};
use crate::wire::message::Context;
use crate::wire::{Attributes, Nlri, Update};

/// Names a peer for as long as the speaker knows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, serde::Serialize)]
pub struct PeerId(pub u32);

/// What the RIB knows about this speaker.
#[derive(Clone, Debug)]
pub struct RibConfig {
    /// Own AS.
    pub asn: Asn,
    /// Own BGP identifier.
    pub router_id: RouterId,
    /// Own cluster identifier (RFC 4456 §7).
    pub cluster_id: Ipv4Addr,
    /// Own next hops: received routes that have one of them are ignored.
    pub local_addresses: Vec<IpAddr>,
}

/// What the RIB knows about a peer whose session is up.
#[derive(Clone, Debug)]
pub struct RibPeer {
    /// Its AS.
    pub asn: Asn,
    /// Its BGP identifier.
    pub router_id: RouterId,
    /// Its address.
    pub address: IpAddr,
    /// It is in the same AS (iBGP).
    pub internal: bool,
    /// It is a client of this route reflector (RFC 4456).
    pub client: bool,
    /// The families negotiated.
    pub families: Vec<Family>,
    /// How messages to it are encoded.
    pub context: Context,
}

/// A path to an NLRI, received from a peer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Path {
    /// Attributes.
    pub attributes: Arc<Attributes>,
    /// The route as received, with its labels.
    pub nlri: Nlri,
    /// The peer it came from.
    pub peer: PeerId,
    /// Kept after the session went down (RFC 4724 §4.2).
    pub stale: bool,
}

/// The best path of an NLRI changed, or there is none any more.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RouteChange {
    /// The route; its key fields count (RFC 7432 §7).
    pub nlri: Nlri,
    /// The best path received from a peer.
    pub best: Option<Path>,
}

/// A path held in the RIB, as shown to a user.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HeldPath {
    /// The route, with its labels.
    pub nlri: Nlri,
    /// Attributes as received.
    pub attributes: Arc<Attributes>,
    /// The peer it came from; `None` for a route of this speaker.
    pub peer: Option<PeerId>,
    /// It is the best path.
    pub best: bool,
    /// Kept after the session went down (RFC 4724 §4.2).
    pub stale: bool,
}

/// How many routes of a family a peer has sent and was sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize)]
pub struct FamilyCount {
    /// The family.
    pub family: Family,
    /// Paths in the Adj-RIB-In.
    pub received: usize,
    /// Routes the peer holds of us: its Adj-RIB-Out.
    pub sent: usize,
}

/// The routing information bases of one speaker.
#[derive(Debug)]
pub struct Rib {}

#[allow(unused_variables, missing_docs, clippy::needless_pass_by_value)]
impl Rib {
    pub fn new(config: RibConfig) -> Self {
        Self {}
    }
    pub fn peer_up(&mut self, id: PeerId, peer: RibPeer) {}
    pub fn peer_down(&mut self, id: PeerId, retain: &[Family]) {}
    pub fn forget(&mut self, id: PeerId) {}
    pub fn receive(&mut self, id: PeerId, update: &Update) {}
    pub fn sweep(&mut self, id: PeerId, family: Family) {}
    pub fn originate(&mut self, nlri: Nlri, attributes: Attributes) {}
    pub fn withdraw(&mut self, nlri: &Nlri) {}
    pub fn import(&mut self, target: RouteTarget) {}
    pub fn unimport(&mut self, target: RouteTarget) {}
    pub fn refresh(&mut self, id: PeerId, family: Family) {}
    pub fn defer_end_of_rib(&mut self, defer: bool) {}
    pub fn release_memberships(&mut self, id: PeerId) {}
    pub fn next_update(&mut self, id: PeerId) -> Option<Bytes> {
        None
    }
    pub fn has_updates(&self, id: PeerId) -> bool {
        false
    }
    /// A peer for which there is something to send; it is reported again only after `next_update` said `None`.
    pub fn poll_peer_with_updates(&mut self) -> Option<PeerId> {
        None
    }
    pub fn poll_change(&mut self) -> Option<RouteChange> {
        None
    }
    pub fn routes(&self) -> impl Iterator<Item = HeldPath> + '_ {
        std::iter::empty()
    }
    pub fn counts(&self, id: PeerId) -> Vec<FamilyCount> {
        Vec::new()
    }
}
