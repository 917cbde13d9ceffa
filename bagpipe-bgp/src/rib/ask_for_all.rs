//! The default membership of this speaker (RFC 4684 §4): where RT Constraint ends.
//!
//! A peer without RT Constraint is sent all VPN routes, and cannot say so to those who have it. So this speaker asks
//! them for all routes, in the place of that peer: else it would get none of those that only that peer imports.

use super::peer::Peer;
use super::route::Route;
use super::rt_constraint::is_constrained;
use super::table::Table;
use super::{Export, Rib, RibPeer};
use crate::wire::{Nlri, RouteTargetMembership};

/// Which peers there are that take all VPN routes of others: up or away for a while.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Takers {
    any: bool,
    /// Some that also are told what comes from internal peers that are no clients (RFC 4456 §6).
    of_non_clients: bool,
}

impl Takers {
    /// Those whose part others are to be asked for; none where there is nobody to ask.
    fn among<'a>(peers: impl Iterator<Item = &'a Peer> + Clone) -> Self {
        let mut takers = Self::default();
        for peer in peers.clone().filter(|peer| peer.takes_all()) {
            takers.any = true;
            takers.of_non_clients |= !is_non_client(&peer.facts);
        }
        let asked = |peer: &Peer| peer.constrained && takers.of(&peer.facts);
        if peers.into_iter().any(asked) { takers } else { Self::default() }
    }

    /// Whether there are some for the routes of a peer.
    pub(super) fn of(self, peer: &RibPeer) -> bool {
        if is_non_client(peer) { self.of_non_clients } else { self.any }
    }
}

fn is_non_client(peer: &RibPeer) -> bool {
    peer.internal && !peer.client
}

impl Peer {
    fn takes_all(&self) -> bool {
        let vpns = self.facts.families.iter().any(|family| is_constrained(*family));
        vpns && !self.constrained && self.facts.policy.export == Export::All
    }
}

impl Table {
    /// Whether a membership is the default one: no bits at all.
    pub(super) fn is_default_membership(&self, route: &Route) -> bool {
        self.nlri(route) == [0]
    }
}

impl Rib {
    /// A peer came, or is gone for good: begin or end to ask for all routes.
    pub(super) fn review_takers(&mut self) {
        let takers = Takers::among(self.peers.iter());
        if std::mem::replace(&mut self.peers.takers, takers) == takers {
            return;
        }
        let default = Nlri::RouteTarget(RouteTargetMembership::DEFAULT);
        // Also if it goes on: it goes to other peers than before.
        self.withdraw(&default);
        if takers.any {
            self.originate(default, self.membership_attributes());
        }
    }
}
