//! What a peer is told: which path of a route, and with which attributes (RFC 4271 §9.1.3, RFC 4456, RFC 4684).

use std::net::IpAddr;

use super::attributes::{AttributeTable, AttributesId};
use super::best_path::{self, Candidate, DEFAULT_LOCAL_PREF, Origination};
use super::key;
use super::long_lived::LLGR_STALE;
use super::peer::{Peer, Peers, Slot};
use super::route::{PathRecord, Route};
use super::table::Table;
use super::{Export, Import, NextHopPolicy, Policy, RibConfig, RibPeer};
use crate::types::Family;
use crate::wire::attribute::AsSegment;
use crate::wire::{AsPath, Attributes, NextHop};

/// Well-known communities (RFC 1997).
const NO_EXPORT: u32 = 0xffff_ff01;
const NO_ADVERTISE: u32 = 0xffff_ff02;
const NO_EXPORT_SUBCONFED: u32 = 0xffff_ff03;

/// The parts of the RIB that decide what is sent.
#[derive(Clone, Copy)]
pub(super) struct Exporter<'a> {
    pub(super) config: &'a RibConfig,
    pub(super) table: &'a Table,
    pub(super) attributes: &'a AttributeTable,
    pub(super) peers: &'a Peers,
}

impl<'a> Exporter<'a> {
    /// The path of a route that a peer is to hold; `None` if it is not to hold the route.
    pub(super) fn path(&self, slot: Slot, peer: &Peer, route: &'a Route) -> Option<&'a PathRecord> {
        let family = self.table.family(route.family);
        let path = match family {
            Family::ROUTE_TARGET => self.membership(slot, peer, route)?,
            _ => route.best()?,
        };
        self.may_go(slot, peer, family, (path.attributes, path.key.source)).then_some(path)
    }

    /// So many paths of a route that a peer is to hold, the best ones first (RFC 7911 §2).
    pub(super) fn paths(
        &self,
        slot: Slot,
        peer: &Peer,
        route: &'a Route,
        limit: usize,
    ) -> Vec<&'a PathRecord> {
        let family = self.table.family(route.family);
        let identified = route.paths().iter().filter(|path| path.id != 0);
        let mut left: Vec<_> = identified
            .filter(|path| self.may_go(slot, peer, family, (path.attributes, path.key.source)))
            .collect();
        if left.len() <= limit {
            return left;
        }
        let mobile = key::is_mobile(family, self.table.nlri(route));
        let mut chosen = Vec::with_capacity(limit);
        while chosen.len() < limit
            && let Some(best) = best_path::best(left.iter().filter_map(|path| self.candidate(path)), mobile)
            && best < left.len()
        {
            chosen.push(left.swap_remove(best));
        }
        chosen
    }

    /// Whether a path may go to a peer, and is wanted there: one with these attributes from this source.
    pub(super) fn may_go(
        &self,
        slot: Slot,
        peer: &Peer,
        family: Family,
        (held, source): (AttributesId, Option<Slot>),
    ) -> bool {
        let Some(attributes) = self.attributes.get(held) else { return false };
        let kept_here = attributes.attributes.communities.iter().any(|community| match *community {
            NO_ADVERTISE => true,
            // RFC 9494 §4.3: who does not know it would not treat it as the last resort.
            LLGR_STALE => !peer.facts.long_lived,
            NO_EXPORT | NO_EXPORT_SUBCONFED => !peer.facts.internal,
            _ => false,
        });
        let reflects_own = family == Family::ROUTE_TARGET && peer.facts.client;
        let allowed = reflects_own || self.may_pass(slot, peer, held, source);
        let permitted = allowed && !kept_here && permits(peer.facts.policy, family, source);
        let next_hop = self.next_hop(&peer.facts, family, attributes.attributes.next_hop, source);
        let usable =
            next_hop.is_none_or(|next_hop| peer.facts.context.allows_next_hop(family, next_hop.address));
        permitted && usable && peer.wants(family, &attributes.targets)
    }

    /// Whether a path may go to a peer (RFC 4271 §9.2, RFC 4456 §6).
    fn may_pass(&self, slot: Slot, peer: &Peer, held: AttributesId, source: Option<Slot>) -> bool {
        let Some(source_slot) = source else { return true };
        let Some(source) = self.peers.get(source_slot).map(|source| &source.facts) else { return false };
        if source_slot == slot {
            return false;
        }
        if !(source.internal && peer.facts.internal) {
            return true;
        }
        let originator = self.attributes.get(held).and_then(|held| held.attributes.originator_id);
        (source.client || peer.facts.client) && originator.unwrap_or(source.router_id) != peer.facts.router_id
    }

    /// The path of a membership for a peer (RFC 4684 §3.2). A client gets the best path, be it its own: so it learns
    /// that the reflector wants the target. For any other internal peer a path from a client stands in for a best path
    /// that came from a non-client and so could not be sent to it. That this speaker asks for all routes is told to
    /// those who have some for the peers that take all; others hear who else asks for them.
    fn membership(&self, slot: Slot, peer: &Peer, route: &'a Route) -> Option<&'a PathRecord> {
        let asks = !self.table.is_default_membership(route) || self.peers.takers.of(&peer.facts);
        let anywhere = peer.facts.client || !peer.facts.internal;
        let goes = |path: &&PathRecord| {
            (asks || path.key.source.is_some())
                && (anywhere || self.may_pass(slot, peer, path.attributes, path.key.source))
        };
        let best = route.best()?;
        if goes(&best) {
            return Some(best);
        }
        let others: Vec<_> = route.paths().iter().filter(goes).collect();
        let chosen = best_path::best(others.iter().filter_map(|path| self.candidate(path)), false)?;
        others.get(chosen).copied()
    }

    /// What the decision process looks at.
    pub(super) fn candidate(&self, path: &PathRecord) -> Option<Candidate<'a>> {
        let preference = &self.attributes.get(path.attributes)?.preference;
        let origination = match path.key.source {
            None => Origination::Local,
            Some(slot) => {
                let Peer { id, facts, .. } = self.peers.get(slot)?;
                let RibPeer { internal, router_id, address, .. } = *facts;
                Origination::Peer { id: *id, internal, router_id, address, received: path.key.received }
            }
        };
        Some(Candidate { preference, origination })
    }

    /// The next hop that goes to a peer with a path. That of VPN routes is kept, unless this speaker is to be the
    /// next hop of all: the tunnel ends there.
    fn next_hop(
        &self,
        peer: &RibPeer,
        family: Family,
        received: Option<NextHop>,
        source: Option<Slot>,
    ) -> Option<NextHop> {
        let ourselves = peer.policy.next_hop == NextHopPolicy::Ourselves && source.is_some();
        let leads_somewhere = family != Family::ROUTE_TARGET && family.flow_specifications().is_none();
        if ourselves && leads_somewhere { Some(self.address_toward(peer).into()) } else { received }
    }

    /// The attributes that go to a peer with a path.
    pub(super) fn attributes(
        &self,
        peer: &RibPeer,
        family: Family,
        held: AttributesId,
        source: Option<Slot>,
    ) -> Option<Attributes> {
        let mut attributes = Attributes::clone(&self.attributes.get(held)?.attributes);
        attributes.next_hop = self.next_hop(peer, family, attributes.next_hop, source);
        let source = source.and_then(|slot| self.peers.get(slot)).map(|source| &source.facts);
        if peer.internal {
            attributes.local_pref.get_or_insert(DEFAULT_LOCAL_PREF);
            if let Some(source) = source.filter(|source| source.internal) {
                // RFC 4456 §8.
                attributes.originator_id.get_or_insert(source.router_id);
                attributes.cluster_list.insert(0, self.config.cluster_id);
            }
        } else {
            self.cross_border(&mut attributes, source.is_some());
        }
        if family == Family::ROUTE_TARGET && (peer.client || !peer.internal) {
            // RFC 4684 §3.2: so that a client does not drop its own membership when it comes back.
            attributes.originator_id = Some(self.config.router_id);
            attributes.next_hop = Some(NextHop { address: self.address_toward(peer), link_local: None });
        }
        Some(attributes)
    }

    /// What changes on the way to another AS. The codec leaves out what is for internal peers alone: LOCAL_PREF,
    /// ORIGINATOR_ID and CLUSTER_LIST.
    fn cross_border(&self, attributes: &mut Attributes, received: bool) {
        const NON_TRANSITIVE: u8 = 0x40;
        prepend(&mut attributes.as_path, self.config.asn);
        if received {
            attributes.med = None; // RFC 4271 §5.1.4
        }
        // RFC 4360 §3
        attributes.extended_communities.retain(|community| {
            let [kind, ..] = community.0;
            kind & NON_TRANSITIVE == 0
        });
    }

    /// The own address of the peer's IP version.
    fn address_toward(&self, peer: &RibPeer) -> IpAddr {
        let same_version = |address: &&IpAddr| address.is_ipv4() == peer.address.is_ipv4();
        self.config.local_addresses.iter().find(same_version).copied().unwrap_or(self.config.router_id.into())
    }
}

/// Whether the operator lets a path go to a peer.
fn permits(policy: Policy, family: Family, source: Option<Slot>) -> bool {
    match policy.export {
        // What is asked for is no route to anywhere: it goes to those from whom routes are taken.
        _ if family == Family::ROUTE_TARGET => policy.import == Import::All,
        Export::All => true,
        Export::Own => source.is_none(),
        Export::None => false,
    }
}

/// Put an AS in front of a path (RFC 4271 §5.1.2).
fn prepend(path: &mut AsPath, asn: u32) {
    const LONGEST_SEGMENT: usize = 255;
    path.0.retain(|segment| !matches!(segment, AsSegment::Confederation(..)));
    match path.0.first_mut() {
        Some(AsSegment::Sequence(ases)) if ases.len() < LONGEST_SEGMENT => ases.insert(0, asn),
        _ => path.0.insert(0, AsSegment::Sequence(vec![asn])),
    }
}
