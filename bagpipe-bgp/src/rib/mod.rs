//! Routing information bases: Adj-RIB-In, best path, Adj-RIB-Out, for a leaf as for a route reflector.
//!
//! There are no sessions and no time here. UPDATEs come in by [`Rib::receive`], routes of this speaker by
//! [`Rib::originate`]; [`Rib::next_update`] packs what a peer is to be told, and [`Rib::poll_change`] reports
//! what the VPN instances of this speaker import.
//!
//! Made for many routes and many peers: a route is kept as it is encoded and typed on demand; attributes are held
//! once; what a peer has yet to be told is a position in a log that all peers share.

mod adj_rib_out;
mod ask_for_all;
mod attributes;
mod batch;
mod best_path;
mod decision;
mod export;
mod held_paths;
mod importer;
mod key;
mod long_lived;
mod octets;
mod peer;
mod peer_sets;
mod policy;
mod route;
mod rt_constraint;
mod table;
#[cfg(test)]
mod tests;
mod update_queue;
mod watch;

use std::collections::VecDeque;
use std::net::{IpAddr, Ipv4Addr};
use std::num::NonZeroU32;
use std::sync::Arc;

use rustc_hash::FxHashMap;

pub use self::best_path::{Rule, equally_good};
pub use self::policy::{Export, Import, NextHopPolicy, Policy};
pub use self::watch::{PathChange, RouteSource, Walk};

use self::attributes::AttributeTable;
use self::batch::Batches;
use self::export::Exporter;
use self::peer::{End, Peers, Slot};
use self::route::{PathKey, Route};
use self::rt_constraint::Target;
use self::table::{FamilyId, Position, RouteId, Table};
use crate::types::{Asn, Family, RouterId};
use crate::wire::attribute::AsSegment;
use crate::wire::error::Action;
use crate::wire::message::Context;
use crate::wire::update::nlri_error;
use crate::wire::{Attributes, Nlri, NlriBlock, PathId, Update, UpdateError};

/// Paths that a peer may announce of a route (RFC 7911 has no limit): when one changes it is compared with all others.
const MOST_PATHS: usize = 1024;

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
    /// What is taken from it, and what it is told.
    pub policy: Policy,
    /// It knows what LLGR_STALE means (RFC 9494 §4.3).
    pub long_lived: bool,
    /// How many paths of a route it is sent, in the families that `context` says (RFC 7911).
    pub send_paths: Option<NonZeroU32>,
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
    /// The path identifier that it came with; zero without add-path (RFC 7911).
    pub path_id: PathId,
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
pub struct Rib {
    config: RibConfig,
    table: Table,
    attributes: AttributeTable,
    peers: Peers,
    batches: Batches,
    /// Targets that the instances of this speaker import, and how many of them do.
    imports: FxHashMap<Target, usize>,
    /// Routes with a change to report.
    changes: VecDeque<RouteId>,
    /// End-of-RIB markers are held back.
    deferred: bool,
    /// What has happened to paths, if anybody watches.
    watched: Option<VecDeque<PathChange>>,
}

impl Rib {
    /// An empty RIB without peers.
    #[must_use]
    pub fn new(config: RibConfig) -> Self {
        Self {
            config,
            table: Table::default(),
            attributes: AttributeTable::default(),
            peers: Peers::default(),
            batches: Batches::default(),
            imports: FxHashMap::default(),
            changes: VecDeque::new(),
            deferred: false,
            watched: None,
        }
    }

    /// A session was established. All routes that the peer is to have will be sent to it. Routes kept from its
    /// last session stay until they are announced again or swept.
    pub fn peer_up(&mut self, id: PeerId, facts: RibPeer) {
        let slot = self.peers.find_or_add(id, &facts);
        if self.peers.get(slot).is_some_and(|peer| peer.up) {
            self.peer_down(id, &[]);
        }
        let Some(peer) = self.peers.get_mut(slot) else { return };
        let same = peer.facts.ranks_like(&facts);
        peer.start(facts, &mut self.table);
        if !same {
            self.decide_all_of(slot);
        }
        self.peers.rest(slot);
        self.peers.wake(slot);
        self.review_takers();
    }

    /// A session went down. The routes of the families in `retain` are kept as stale (RFC 4724 §4.2), the others
    /// are removed.
    pub fn peer_down(&mut self, id: PeerId, retain: &[Family]) {
        let Some(slot) = self.peers.slot(id) else { return };
        self.peers.stop(slot);
        for route_id in self.table.ids() {
            let Some(route) = self.table.get(route_id) else { continue };
            let family = route.family;
            self.table.set_sent(route_id, slot, false);
            if retain.contains(&self.table.family(family)) {
                if let Some(route) = self.table.get_mut(route_id) {
                    route.mark_stale(slot);
                }
            } else {
                self.remove_where(slot, route_id, |_| true);
            }
            self.table.drop_if_dead(route_id);
        }
    }

    /// Remove the routes of a peer that are still stale: it has not announced them again.
    pub fn sweep(&mut self, id: PeerId, family: Family) {
        let (Some(slot), Some(family)) = (self.peers.slot(id), self.table.family_id(family)) else { return };
        for route_id in self.table.ids() {
            if self.table.get(route_id).is_some_and(|route| route.family == family) {
                self.remove_where(slot, route_id, |path| path.stale);
            }
        }
    }

    /// A peer was removed: nothing of it remains.
    pub fn forget(&mut self, id: PeerId) {
        if let Some(slot) = self.peers.slot(id) {
            self.peer_down(id, &[]);
            self.peers.remove(slot);
            self.review_takers();
        }
    }

    /// An UPDATE came in. Returns what was wrong with routes in it, which are left out: the first error of each block.
    pub fn receive(&mut self, id: PeerId, update: &Update) -> Vec<UpdateError> {
        let Some(slot) = self.peers.slot(id) else { return Vec::new() };
        let Some(peer) = self.peers.get(slot).filter(|peer| peer.up) else { return Vec::new() };
        let usable = !self.is_looped(&peer.facts, &update.attributes);
        // What the peer asks for is no route to anywhere: it is always taken.
        let memberships = self.table.family_id(Family::ROUTE_TARGET);
        let all = peer.facts.policy.import == Import::All;
        let mut errors = self.each(slot, &update.withdrawn, Self::remove);
        let more = if usable && !update.announced.is_empty() {
            let held = self.attributes.intern(&update.attributes);
            let mut beyond = None;
            let mut errors = self.each(slot, &update.announced, |rib, key, family, encoded| {
                if !all && Some(family) != memberships {
                    rib.remove(key, family, encoded);
                } else if rib.has_most_paths(key, family, encoded) {
                    beyond =
                        beyond.take().or_else(|| Some(too_many_paths(rib.table.family(family), encoded)));
                } else {
                    rib.put(key, family, encoded, held);
                }
            });
            self.attributes.release(held);
            errors.extend(beyond);
            errors
        } else {
            // An earlier path is replaced by one that is ignored: there is none.
            self.each(slot, &update.announced, Self::remove)
        };
        errors.extend(more);
        errors
    }

    /// Whether a path would be one too many of a peer to a route.
    fn has_most_paths(&mut self, key: PathKey, family: FamilyId, encoded: &[u8]) -> bool {
        // A peer that does not tell its paths apart has one (RFC 7911 §3).
        if key.received == 0 {
            return false;
        }
        let route = self.table.find(family, encoded).and_then(|id| self.table.get(id));
        route.is_some_and(|route| {
            let of_peer = route.paths().iter().filter(|path| path.key.source == key.source);
            route.path(key).is_none() && of_peer.count() >= MOST_PATHS
        })
    }

    /// Do something with each route of the families negotiated with a peer. Returns the first error of each block: of
    /// short routes there can be thousands.
    fn each(
        &mut self,
        slot: Slot,
        blocks: &[NlriBlock],
        mut action: impl FnMut(&mut Self, PathKey, FamilyId, &[u8]),
    ) -> Vec<UpdateError> {
        let mut errors = Vec::new();
        for block in blocks {
            let Some(family) = self.table.family_id(block.family) else { continue };
            if self.peers.get(slot).and_then(|peer| peer.position(family)).is_none() {
                continue;
            }
            let mut first = None;
            block.for_each_canonical(|path| match path {
                Ok((received, encoded)) => {
                    action(self, PathKey { source: Some(slot), received }, family, encoded);
                }
                Err(error) => first = first.take().or(Some(error)),
            });
            errors.extend(first);
        }
        errors
    }

    /// Whether a path comes from this speaker, or from its cluster or AS: such a path is ignored.
    fn is_looped(&self, peer: &RibPeer, attributes: &Attributes) -> bool {
        let RibConfig { asn, router_id, cluster_id, local_addresses } = &self.config;
        // RFC 4271 §5.1.3
        let own_next_hop =
            attributes.next_hop.is_some_and(|next_hop| local_addresses.contains(&next_hop.address));
        if peer.internal {
            // RFC 4456 §8
            own_next_hop
                || attributes.originator_id == Some(*router_id)
                || attributes.cluster_list.contains(cluster_id)
        } else {
            // RFC 4271 §9.1.2
            own_next_hop
                || attributes.as_path.0.iter().any(|segment| match segment {
                    AsSegment::Set(ases) | AsSegment::Sequence(ases) | AsSegment::Confederation(_, ases) => {
                        ases.contains(asn)
                    }
                })
        }
    }

    /// Send all routes of a family to a peer again (RFC 2918 §4). `marked`: say where they begin and end
    /// (RFC 7313 §4), but for the first time, which End-of-RIB ends.
    pub fn refresh(&mut self, id: PeerId, family: Family, marked: bool) {
        let (Some(slot), Some(family)) = (self.peers.slot(id), self.table.family_id(family)) else { return };
        let Some(peer) = self.peers.get_mut(slot) else { return };
        let table = &self.table;
        peer.held_paths.forget_versions(|id| table.get(id).is_some_and(|route| route.family == family));
        peer.place.take_if(|place| place.is_of(family));
        for reader in peer.readers.iter_mut().filter(|reader| reader.family == family) {
            reader.position = Position::default();
            if marked && reader.end != Some(End::OfRib) {
                reader.begins_refresh = true;
                reader.end = Some(End::OfRefresh);
            }
        }
        self.peers.wake(slot);
    }

    /// A peer is about to announce all its routes of a family again: those that it does not are to be swept
    /// (RFC 7313 §4).
    pub fn mark_stale(&mut self, id: PeerId, family: Family) {
        let (Some(slot), Some(family)) = (self.peers.slot(id), self.table.family_id(family)) else { return };
        for route_id in self.table.ids() {
            if let Some(route) = self.table.get_mut(route_id).filter(|route| route.family == family) {
                route.mark_stale(slot);
            }
        }
    }

    /// Whether End-of-RIB markers are held back: after a restart, until the routes of the peers are known
    /// (RFC 4724 §4.1).
    pub fn defer_end_of_rib(&mut self, defer: bool) {
        self.deferred = defer;
        if !defer {
            self.peers.wake_all();
        }
    }

    /// The memberships of a peer are known, or were waited for long enough: VPN routes may flow to it
    /// (RFC 4684 §6).
    pub fn release_memberships(&mut self, id: PeerId) {
        let Some(slot) = self.peers.slot(id) else { return };
        if let Some(peer) = self.peers.get_mut(slot) {
            peer.released = true;
        }
        self.peers.wake(slot);
    }

    /// Whether [`Rib::next_update`] may have something for a peer.
    #[must_use]
    pub fn has_updates(&self, id: PeerId) -> bool {
        self.peers
            .slot(id)
            .is_some_and(|slot| !self.peers.is_idle(slot) && self.peers.get(slot).is_some_and(|peer| peer.up))
    }

    /// A peer for which there is something to send. It is reported again only after [`Rib::next_update`] was
    /// `None` for it.
    pub fn poll_peer_with_updates(&mut self) -> Option<PeerId> {
        self.peers.poll_awake()
    }

    /// All paths held, those of a route together, the best first.
    pub fn routes(&self) -> impl Iterator<Item = HeldPath> + '_ {
        self.table.routes().flat_map(|route| self.held_paths(route))
    }

    /// The paths of a route, each with the rule by which it lost against the first, of all routes that have a path
    /// as wanted.
    pub fn ranked(&self, wanted: impl Fn(&Nlri) -> bool) -> Vec<(HeldPath, Option<Rule>)> {
        let Self { config, table, attributes, peers, .. } = self;
        let exporter = Exporter { config, table, attributes, peers };
        let mut ranked = Vec::new();
        for route in table.routes() {
            let paths: Vec<_> = self.held_paths(route).collect();
            if paths.iter().any(|path| wanted(&path.nlri)) {
                let mobile = key::is_mobile(table.family(route.family), table.nlri(route));
                let candidates = route.paths().iter().filter_map(|path| exporter.candidate(path));
                ranked.extend(paths.into_iter().zip(best_path::lost_by(candidates, mobile)));
            }
        }
        ranked
    }

    fn held_paths<'a>(&'a self, route: &'a Route) -> impl Iterator<Item = HeldPath> + 'a {
        let family = self.table.family(route.family);
        route.paths().iter().enumerate().filter_map(move |(position, path)| {
            Some(HeldPath {
                nlri: key::decode(family, self.table.nlri_of(route, path))?,
                attributes: Arc::clone(&self.attributes.get(path.attributes)?.attributes),
                peer: path.key.source.and_then(|slot| self.peers.get(slot)).map(|peer| peer.id),
                best: position == 0,
                stale: path.stale,
                path_id: path.key.received,
            })
        })
    }

    /// How many routes came from a peer and went to it, per family.
    #[must_use]
    pub fn counts(&self, id: PeerId) -> Vec<FamilyCount> {
        let peer = self.peers.slot(id).and_then(|slot| self.peers.get(slot));
        peer.map(|peer| peer.counts(&self.table)).unwrap_or_default()
    }

    /// How many routes of a family a peer has announced.
    #[must_use]
    pub fn received(&mut self, id: PeerId, family: Family) -> usize {
        let Some(family) = self.table.family_id(family) else { return 0 };
        let peer = self.peers.slot(id).and_then(|slot| self.peers.get(slot));
        peer.map_or(0, |peer| peer.received(family))
    }

    /// Select again wherever a peer has a path.
    fn decide_all_of(&mut self, slot: Slot) {
        for id in self.table.ids() {
            let Some(route) = self.table.get(id) else { continue };
            if route.paths().iter().any(|path| path.key.source == Some(slot)) {
                let before = route.best().map(decision::identity);
                self.decide(id, before, Some(slot));
            }
        }
    }
}

fn too_many_paths(family: Family, encoded: &[u8]) -> UpdateError {
    let what = format!("more than {MOST_PATHS} paths of a route, of which the rest are left out");
    nlri_error(Action::TreatAsWithdraw, family, encoded, &what)
}

impl RibPeer {
    /// How many paths of a route of this family it is sent; `None`: the best one, without an identifier.
    fn paths_of(&self, family: Family) -> Option<usize> {
        let agreed = self.context.add_paths.send.contains(&family);
        let paths = self.send_paths.filter(|_| agreed)?;
        Some(usize::try_from(paths.get()).unwrap_or(usize::MAX))
    }

    /// Whether paths from a peer rank and travel the same after it came back.
    fn ranks_like(&self, other: &Self) -> bool {
        (self.router_id, self.address, self.internal, self.client)
            == (other.router_id, other.address, other.internal, other.client)
    }
}
