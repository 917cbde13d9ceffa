//! What the agent shows of itself.

use std::net::IpAddr;

use bagpipe_bgp::speaker::{PeerState, PeerStatus};
use bagpipe_bgp::types::{Asn, RouterId};
use bagpipe_bgp::wire::Nlri;
use bytes::Bytes;
use serde::Serialize;

use super::Agent;
use super::filter::admits;
use crate::api::{Answer, Direction, ExplainRequest, Refused, RoutesRequest, View};
use crate::config::Driver;
use crate::dataplane::{Dropped, NexthopState, NexthopView, Problem, Traffic};
use crate::engine::RouteView;
use crate::observe::StationStatus;
use crate::vpn::explain::Explanation;
use crate::vpn::view::{PortView, VpnView};

impl Agent {
    pub(super) fn view(&mut self, view: View) -> Answer {
        match view {
            View::Status => encode(&self.status()),
            View::Peers => encode(&self.peers().collect::<Vec<_>>()),
            View::Vpns => encode(&self.vpns()),
            View::Ports => encode(&self.ports()),
            View::Routes => encode(&self.routes(|_| true)),
            View::Rtc => encode(&self.routes(|nlri| matches!(nlri, Nlri::RouteTarget(_)))),
            View::Fdb => encode(&self.engine.fdb().collect::<Vec<_>>()),
            View::Neighbors => encode(&self.engine.neighbors().collect::<Vec<_>>()),
            View::Prefixes => encode(&self.engine.prefix_routes().collect::<Vec<_>>()),
            View::Labels => encode(&self.engine.labels()),
            View::Networks => encode(&self.networks().collect::<Vec<_>>()),
            View::Nexthops => encode(&self.dataplane.nexthops()),
            View::Config => encode(&self.config),
            View::Verify => {
                let divergences = self.dataplane.verify().map_err(|error| Refused(error.to_string()))?;
                encode(&divergences)
            }
            View::Metrics => Ok(Bytes::from(self.metrics())),
        }
    }

    /// Why packets go where they go, down to the underlay.
    pub(super) fn explain(&self, request: &ExplainRequest) -> Answer {
        let vpn = &request.vpn_instance_id;
        let mut explanation = self
            .engine
            .explain(vpn, request.ip_address)
            .ok_or_else(|| Refused(format!("VPN instance '{vpn}' could not be found")))?;
        let nexthops = self.dataplane.nexthops();
        let wanted =
            |view: &NexthopView| explanation.hops.iter().any(|hop| hop.endpoint() == Some(view.endpoint));
        let egress: Vec<NexthopView> = nexthops.into_iter().filter(wanted).collect();
        let forwards =
            egress.iter().any(|view| matches!(view.state, NexthopState::Resolved | NexthopState::Unresolved))
                || explanation.hops.iter().any(|hop| hop.endpoint().is_none());
        if explanation.stopped.is_none() && !egress.is_empty() && !forwards {
            let stopped =
                "none of the remote endpoints is reachable over [dataplane] underlay (bagpipe show nexthops)";
            explanation.stopped = Some(stopped.to_owned());
        }
        let problems = self.all_problems();
        let own = problems.iter().filter(|problem| problem.vpn == Some(explanation.number));
        let degraded = own.map(|problem| problem.what.clone()).collect();
        encode(&Explained { explanation, egress, degraded })
    }

    pub(super) fn peers(&self) -> impl Iterator<Item = PeerView> {
        self.engine.peers().map(|status| PeerView {
            seconds: status.since.elapsed().as_secs(),
            received: status.routes.iter().map(|count| count.received).sum(),
            sent: status.routes.iter().map(|count| count.sent).sum(),
            status,
        })
    }

    /// The VPN instances, with what the programs have counted of each.
    fn vpns(&self) -> Vec<Counted<ShownVpn>> {
        let (counters, problems) = (self.dataplane.counters(), self.all_problems());
        let vpns = self.engine.vpns().map(|vpn| {
            let own = problems.iter().filter(|problem| problem.vpn == Some(vpn.number));
            let degraded = own.map(|problem| problem.what.clone()).collect();
            let traffic = counters.vpns.get(&vpn.number).copied();
            Counted { traffic, view: ShownVpn { vpn, degraded } }
        });
        vpns.collect()
    }

    /// The ports, with what the programs have counted of each.
    fn ports(&self) -> Vec<Counted<ShownPort>> {
        let counters = self.dataplane.counters();
        let ports = self.engine.ports().map(|port| Counted {
            traffic: counters.ports.get(&port.number).copied(),
            view: ShownPort { present: self.dataplane.has_interface(&port.interface), port },
        });
        ports.collect()
    }

    fn routes(&self, wanted: impl Fn(&Nlri) -> bool) -> Vec<ShownRoute> {
        let routes = self.engine.routes().filter(|route| wanted(&route.nlri));
        routes.map(ShownRoute::from).collect()
    }

    /// The routes that a filter lets through.
    pub(super) fn filtered_routes(&self, request: &RoutesRequest) -> Answer {
        let unknown = |peer| Refused(format!("{peer} is not a peer; `bagpipe show peers` lists them"));
        let known = |peer: IpAddr| self.engine.peer_at(peer).ok_or_else(|| unknown(peer));
        let peer = request.peer.map(known).transpose()?;
        let shown: Vec<ShownRoute> = match (request.direction, peer) {
            (Some(Direction::Out), Some(peer)) => {
                let sent = self.engine.routes_sent(peer);
                sent.filter(|route| admits(request, route)).map(ShownRoute::from).collect()
            }
            (Some(Direction::Out), None) => {
                return Err(Refused("routes go out to a peer each; name it with peer".to_owned()));
            }
            (direction, _) => {
                let from = request.peer.map(|peer| peer.to_canonical());
                let from_there = |route: &RouteView| match (direction, from) {
                    (_, Some(_)) => route.peer == from,
                    (Some(_), None) => route.peer.is_some(),
                    (None, None) => true,
                };
                let held = self.engine.routes();
                let wanted = held.filter(|route| from_there(route) && admits(request, route));
                wanted.map(ShownRoute::from).collect()
            }
        };
        encode(&shown)
    }

    pub(super) fn status(&self) -> Status<'_> {
        let peers: Vec<_> = self.engine.peers().collect();
        let degraded = self.degraded(&peers);
        let mut drops = self.dataplane.counters().drops;
        drops.retain(|drop| drop.packets > 0);
        Status {
            instance: &self.config.instance,
            version: env!("CARGO_PKG_VERSION"),
            state: if degraded.is_empty() { "running" } else { "degraded" },
            degraded,
            uptime: self.started.elapsed().as_secs(),
            converged: self.converged,
            router_id: self.identity.router_id,
            as_number: self.config.bgp.as_number,
            local_address: self.identity.local_address,
            endpoint: self.identity.endpoint,
            peers: PeerTotals {
                established: peers.iter().filter(|peer| is_established(peer)).count(),
                total: peers.len(),
            },
            vpns: self.engine.vpns().count(),
            ports: self.engine.ports().count(),
            routes: peers.iter().flat_map(|peer| &peer.routes).map(|count| count.received).sum(),
            bmp: self.observers.station(),
            dataplane: DataplaneStatus {
                driver: self.config.dataplane.driver,
                drops: drops.iter().map(|drop| drop.packets).sum(),
                dropped: drops,
            },
        }
    }

    /// Why the agent does not do all that it was asked to, each reason in words.
    fn degraded(&self, peers: &[PeerStatus]) -> Vec<String> {
        // Clients that are known by their prefix come and go as they like.
        let down = peers.iter().filter(|peer| !peer.dynamic && !is_established(peer));
        let mut reasons: Vec<String> = down
            .map(|peer| {
                let cause = peer.last_error.as_ref().map(|error| format!(": {error}")).unwrap_or_default();
                format!("peer {} is not established{cause}", peer.address)
            })
            .collect();
        reasons.extend(self.problems());
        reasons.extend(self.engine.frozen_macs().map(|(vpn, mac)| {
            format!(
                "MAC address {mac} of VPN instance '{vpn}' moves too often and is frozen: two hosts have it; \
                 bagpipe mac release {mac} --vpn {vpn}"
            )
        }));
        reasons.extend(self.saving.error.as_ref().map(ToString::to_string));
        reasons
    }

    /// What is wrong with the data plane, in words.
    pub(super) fn problems(&self) -> Vec<String> {
        let problems = self.all_problems();
        problems.iter().map(|problem| problem.told(|vpn| self.engine.describe(vpn))).collect()
    }

    /// What is not in the data plane, for want of room there or of what it takes.
    fn all_problems(&self) -> Vec<Problem> {
        let shortages = self.engine.shortages().map(|(vpn, what)| Problem { vpn: Some(vpn), what });
        self.dataplane.health().into_iter().chain(shortages).collect()
    }
}

fn is_established(peer: &PeerStatus) -> bool {
    peer.state == PeerState::Established
}

pub(super) fn encode(value: &impl Serialize) -> Answer {
    serde_json::to_vec(value).map(Bytes::from).map_err(|error| Refused(format!("cannot show this: {error}")))
}

/// A peer, with what is read most at the top.
#[derive(Debug, Serialize)]
pub(super) struct PeerView {
    #[serde(flatten)]
    pub(super) status: PeerStatus,
    /// Seconds since the session was established or lost.
    seconds: u64,
    /// Routes received, of all families.
    received: usize,
    /// Routes sent, of all families.
    sent: usize,
}

/// A VPN instance or a port, with what was counted of it.
#[derive(Debug, Serialize)]
struct Counted<View> {
    #[serde(flatten)]
    view: View,
    /// None without programs that count.
    traffic: Option<Traffic>,
}

/// A VPN instance, and what it lacks.
#[derive(Debug, Serialize)]
struct ShownVpn {
    #[serde(flatten)]
    vpn: VpnView,
    /// Why it does not forward all that it should; empty if it does.
    degraded: Vec<String>,
}

/// A port, and whether its interface is there.
#[derive(Debug, Serialize)]
struct ShownPort {
    #[serde(flatten)]
    port: PortView,
    /// False while the interface is away; the attachment is kept, and resumes when it comes back.
    present: Option<bool>,
}

/// A route, with what is read most at the top.
#[derive(Debug, Serialize)]
struct ShownRoute {
    source: String,
    next_hop: Option<IpAddr>,
    route_targets: Vec<String>,
    #[serde(flatten)]
    route: RouteView,
}

impl From<RouteView> for ShownRoute {
    fn from(route: RouteView) -> Self {
        Self {
            source: route.peer.map_or_else(|| "local".to_owned(), |peer| peer.to_string()),
            next_hop: route.attributes.next_hop.map(|next_hop| next_hop.address),
            route_targets: route.attributes.route_targets().map(|target| target.to_string()).collect(),
            route,
        }
    }
}

/// The way of packets, and the underlay below it.
#[derive(Debug, Serialize)]
struct Explained {
    #[serde(flatten)]
    explanation: Explanation,
    egress: Vec<NexthopView>,
    /// What the instance lacks in the maps: the entry for the prefix may be among it.
    degraded: Vec<String>,
}

/// The agent as a whole.
#[derive(Debug, Serialize)]
pub(super) struct Status<'a> {
    instance: &'a str,
    version: &'static str,
    state: &'static str,
    degraded: Vec<String>,
    /// Seconds since the start.
    uptime: u64,
    /// Forwarding state from before the start has been brought up to date.
    converged: bool,
    router_id: RouterId,
    as_number: Asn,
    local_address: IpAddr,
    endpoint: IpAddr,
    pub(super) peers: PeerTotals,
    pub(super) vpns: usize,
    pub(super) ports: usize,
    pub(super) routes: usize,
    /// The BMP station, if one is configured.
    bmp: Option<StationStatus>,
    dataplane: DataplaneStatus,
}

#[derive(Debug, Serialize)]
pub(super) struct PeerTotals {
    pub(super) established: usize,
    pub(super) total: usize,
}

#[derive(Debug, Serialize)]
struct DataplaneStatus {
    driver: Driver,
    /// Packets dropped, whatever the reason.
    drops: u64,
    /// The reasons, and what each means.
    dropped: Vec<Dropped>,
}
