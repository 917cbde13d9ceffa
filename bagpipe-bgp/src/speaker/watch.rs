//! For those who watch a speaker without taking part.

use super::{ConnId, HeldPath, Opens, PathChange, PeerId, RouteStatus, Rule, Speaker, Walk};
use crate::types::Asn;
use crate::wire::Nlri;

impl Speaker {
    /// Whether changes of paths are kept for [`Self::poll_path`].
    pub fn watch_paths(&mut self, on: bool) {
        self.rib.watch(on);
    }

    /// The next change of a path, received or our own.
    pub fn poll_path(&mut self) -> Option<PathChange> {
        self.rib.poll_path()
    }

    /// The paths at the next `count` places of the table; `None` after the last.
    pub fn step(&self, walk: &mut Walk, count: u32) -> Option<Vec<HeldPath>> {
        self.rib.step(walk, count)
    }

    /// The paths of the routes of which one is as wanted, those of a route together, the best first; each with the
    /// rule of the decision process by which it lost.
    pub fn ranked(&self, wanted: impl Fn(&Nlri) -> bool) -> Vec<(RouteStatus, Option<Rule>)> {
        let ranked = self.rib.ranked(wanted).into_iter();
        ranked.map(|(held, rule)| (self.route_status(held), rule)).collect()
    }

    /// The connection of an established session, and the OPENs that it began with.
    #[must_use]
    pub fn opens(&self, peer: PeerId) -> Option<(ConnId, Opens)> {
        let conn = self.peers.get(&peer)?.up.as_ref()?.conn;
        Some((conn, self.connections.get(&conn)?.session.as_ref()?.opens()?))
    }

    /// Our AS.
    #[must_use]
    pub const fn asn(&self) -> Asn {
        self.config.asn
    }
}
