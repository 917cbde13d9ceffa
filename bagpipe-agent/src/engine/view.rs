//! The engine as it is shown. The field names are stable: `-o json` prints them.

use std::net::IpAddr;
use std::sync::Arc;

use bagpipe_bgp::rib::PeerId;
use bagpipe_bgp::speaker::{PeerStatus, RouteSource, RouteStatus};
use bagpipe_bgp::types::MacAddr;
use bagpipe_bgp::wire::{Attributes, Nlri};
use serde::Serialize;

use super::Engine;
use crate::fib::VpnId;
use crate::vpn::explain::Explanation;
use crate::vpn::routes_view::{LabelView, PrefixRouteView};
use crate::vpn::view::{FdbView, NeighborView, PortView, VpnView};
use crate::vpn::{Ignored, classify};

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

    /// The VPN instances, by number.
    pub fn vpns(&self) -> impl Iterator<Item = VpnView> + '_ {
        self.vpns.vpns()
    }

    /// An instance by its name and type, for people; by its number if it is gone.
    #[must_use]
    pub fn describe(&self, vpn: VpnId) -> String {
        self.vpns.describe(vpn).unwrap_or_else(|| format!("VPN instance number {vpn}, which is gone,"))
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
        let used = received && status.best && matches!(ignored, None | Some(Ignored::FlowSpec));
        RouteView {
            route: status.nlri.to_string(),
            imported_by: if used { self.vpns.importers(&status.attributes) } else { Vec::new() },
            nlri: status.nlri,
            attributes: status.attributes,
            peer,
            best: status.best,
            stale: status.stale,
            ignored: ignored.map(|reason| reason.to_string()),
        }
    }
}
