//! The engine as it is shown. The field names are stable: `-o json` prints them.

use std::net::IpAddr;
use std::sync::Arc;

use bagpipe_bgp::rib::PeerId;
use bagpipe_bgp::speaker::{ConnId, HeldPath, Opens, PeerStatus, RouteSource, RouteStatus, Rule, Walk};
use bagpipe_bgp::types::{Asn, MacAddr};
use bagpipe_bgp::wire::{Attributes, Nlri, PathId};
use serde::Serialize;

use super::Engine;
use crate::fib::VpnId;
use crate::vpn::explain::Explanation;
use crate::vpn::explain_route::RouteUse;
use crate::vpn::routes_view::{LabelView, PrefixRouteView};
use crate::vpn::view::{FdbView, NeighborView, PlugView, PortView, VpnView};
use crate::vpn::{Ignored, RouteKey, classify};

/// A route, and what becomes of it on this node.
#[derive(Clone, Debug, Serialize)]
pub struct RouteView {
    /// The route on one line.
    pub route: String,
    /// The route.
    pub nlri: Nlri,
    /// Its attributes.
    pub attributes: Arc<Attributes>,
    /// Address of the peer that it came from; none for a route of this node.
    pub peer: Option<IpAddr>,
    /// It is the best path.
    pub best: bool,
    /// It was kept when the session went down (RFC 4724 §4.2).
    pub stale: bool,
    /// The path identifier that it came with, or went with; zero without add-path (RFC 7911).
    pub path_id: PathId,
    /// The instances that import it.
    pub imported_by: Vec<String>,
    /// Why a received VPN route is not used for forwarding, whatever its route targets.
    pub ignored: Option<String>,
}

impl Engine {
    /// The BGP peers.
    pub fn peers(&self) -> impl Iterator<Item = PeerStatus> + '_ {
        self.speaker.peers()
    }

    /// One BGP peer.
    #[must_use]
    pub fn peer(&self, peer: PeerId) -> Option<PeerStatus> {
        self.speaker.peer(peer)
    }

    /// All routes, received and originated.
    pub fn routes(&self) -> impl Iterator<Item = RouteView> + '_ {
        self.speaker.routes().map(|status| self.route_view(status))
    }

    /// The routes that a peer holds of us, with the attributes that go to it.
    pub fn routes_sent(&self, peer: PeerId) -> impl Iterator<Item = RouteView> + '_ {
        self.speaker.routes_sent(peer).map(|status| self.route_view(status))
    }

    /// The paths at the next `count` places of the RIB; `None` after the last.
    pub fn step(&self, walk: &mut Walk, count: u32) -> Option<Vec<HeldPath>> {
        self.speaker.step(walk, count)
    }

    /// The connection of an established session, and the OPENs that it began with.
    #[must_use]
    pub fn opens(&self, peer: PeerId) -> Option<(ConnId, Opens)> {
        self.speaker.opens(peer)
    }

    /// Our AS.
    #[must_use]
    pub fn asn(&self) -> Asn {
        self.speaker.asn()
    }

    /// All routes, received and originated, without what becomes of them.
    pub fn route_statuses(&self) -> impl Iterator<Item = RouteStatus> + '_ {
        self.speaker.routes()
    }

    /// The instance of this node whose route distinguisher a route has, and its type.
    #[must_use]
    pub fn originator(&self, nlri: &Nlri) -> Option<(VpnId, &'static str)> {
        self.vpns.owner(RouteKey::of(nlri)?.rd())
    }

    /// The E-VPN instances that are plugged into IP-VPNs.
    pub fn plugs(&self) -> impl Iterator<Item = PlugView> + '_ {
        self.vpns.plugs()
    }

    /// The VPN instances, by number.
    pub fn vpns(&self) -> impl Iterator<Item = VpnView> + '_ {
        self.vpns.vpns()
    }

    /// An instance by its name and type, for people; by its number if it is gone.
    #[must_use]
    pub fn describe(&self, vpn: VpnId) -> String {
        self.vpns.describe(vpn).unwrap_or_else(|| format!("VPN instance number {vpn}, which is gone,"))
    }

    /// The instances that do not apply all flow specifications, and why.
    pub fn shortages(&self) -> impl Iterator<Item = (VpnId, String)> {
        self.vpns.shortages()
    }

    /// The ports, by instance and number.
    pub fn ports(&self) -> impl Iterator<Item = PortView> + '_ {
        self.vpns.ports()
    }

    /// Where MAC addresses are, by instance and MAC address.
    pub fn fdb(&self) -> impl Iterator<Item = FdbView> + '_ {
        self.vpns.fdb()
    }

    /// The MAC addresses that have moved too often, with the names of their instances.
    pub fn frozen_macs(&self) -> impl Iterator<Item = (&str, MacAddr)> {
        self.vpns.frozen_macs()
    }

    /// The MAC addresses of IP addresses, by instance and IP address.
    pub fn neighbors(&self) -> impl Iterator<Item = NeighborView> + '_ {
        self.vpns.neighbors()
    }

    /// Where prefixes are, by instance and prefix.
    pub fn prefix_routes(&self) -> impl Iterator<Item = PrefixRouteView> + '_ {
        self.vpns.prefix_routes()
    }

    /// The labels of this node.
    #[must_use]
    pub fn labels(&self) -> Vec<LabelView> {
        self.vpns.labels()
    }

    /// Why packets of an instance for an address go where they go; `None` if there is no such instance.
    #[must_use]
    pub fn explain(&self, vpn: &str, ip: IpAddr) -> Option<Explanation> {
        self.vpns.explain(vpn, ip)
    }

    /// The paths of the routes of which one is as wanted, those of a route together, the best first; each with the
    /// rule of the decision process by which it lost.
    pub fn ranked(&self, wanted: impl Fn(&Nlri) -> bool) -> Vec<(RouteStatus, Option<Rule>)> {
        self.speaker.ranked(wanted)
    }

    /// What becomes of a best path on this node.
    ///
    /// # Errors
    /// Why it is not used, whatever its route targets.
    pub fn uses(&self, nlri: &Nlri, attributes: &Arc<Attributes>) -> Result<Vec<RouteUse>, Ignored> {
        self.vpns.uses(nlri, attributes)
    }

    /// Whether no instance, no identifier and no imported route is held.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.vpns.is_empty()
    }

    fn route_view(&self, status: RouteStatus) -> RouteView {
        let peer = match status.source {
            RouteSource::Local => None,
            RouteSource::Peer(_, address) => Some(address),
        };
        let received =
            peer.is_some() && matches!(status.nlri, Nlri::Evpn(_) | Nlri::Vpn(_) | Nlri::FlowSpec(_));
        let ignored =
            received.then(|| classify(&status.nlri, &status.attributes, self.vpns.config()).err()).flatten();
        // Route targets tell for whom a flow specification is, too.
        let is_flow = matches!(status.nlri, Nlri::FlowSpec(_));
        let used = received && status.best && (ignored.is_none() || is_flow);
        let ignored = ignored.filter(|reason| *reason != Ignored::FlowSpec);
        RouteView {
            route: status.nlri.to_string(),
            imported_by: if used { self.vpns.importers(&status.attributes) } else { Vec::new() },
            nlri: status.nlri,
            attributes: status.attributes,
            peer,
            best: status.best,
            stale: status.stale,
            path_id: status.path_id,
            ignored: ignored.map(|reason| reason.to_string()),
        }
    }
}
