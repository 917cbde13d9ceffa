//! `/bgp`: peers, workers and routes.

use std::net::IpAddr;

use bagpipe_bgp::speaker::{PeerState, PeerStatus, RouteSource, RouteStatus};
use bagpipe_bgp::types::Family;
use bagpipe_bgp::wire::Nlri;
use serde_json::{Map, Value, json};

use super::node::{Entry, Member, Node, below, here};
use super::routes::{FAMILIES, family, worker};
use super::{Glass, logs_of};
use crate::log;

impl<'a> Glass<'a> {
    pub(super) fn bgp(self) -> Node<'a> {
        Node::Object(vec![
            ("peers", below(move || self.peers())),
            ("routes", below(move || Node::Value(self.routes_by_family()))),
            ("workers", below(move || self.workers())),
            ("route_counts", here(self.route_counts())),
            ("adv_routes", below(move || Node::Value(self.some_routes(is_own_membership)))),
        ])
    }

    fn peers(self) -> Node<'a> {
        let entries = self.agent.engine.peers().map(|peer| Entry {
            id: peer.address.to_string(),
            more: vec![("state", state(peer.state).into())],
        });
        let find = move |id: &str| {
            let address: IpAddr = id.parse().ok()?;
            self.agent.engine.peers().find(|peer| peer.address == address).map(|peer| self.peer(&peer))
        };
        Node::Collection(entries.collect(), Box::new(find))
    }

    fn peer(self, peer: &PeerStatus) -> Node<'a> {
        let negotiated = peer.negotiated.as_ref();
        let families = negotiated.map(|negotiated| negotiated.families.clone()).unwrap_or_default();
        let active: Vec<String> =
            families.iter().map(|active| format!("({})", family(*active).replace('/', ", "))).collect();
        let address = peer.address;
        let configured = self.agent.config.bgp.peers.iter().find(|peer| peer.address == address);
        let enabled = configured.is_none_or(|peer| peer.families.contains(&Family::ROUTE_TARGET));
        let changed = std::time::SystemTime::now().checked_sub(peer.since.elapsed());
        let hold_time = negotiated.map(|negotiated| negotiated.hold_time);
        let before =
            if peer.state == PeerState::Established { PeerState::OpenConfirm } else { PeerState::Idle };
        let from =
            move |route: &RouteStatus| matches!(route.source, RouteSource::Peer(_, peer) if peer == address);
        Node::Object(vec![
            (
                "peeringAddresses",
                here(json!({
                    "peer_address": address.to_string(),
                    "local_address": self.agent.identity.local_address.to_string(),
                })),
            ),
            ("as_info", here(json!({ "local": self.agent.config.bgp.as_number, "peer": peer.asn }))),
            ("rtc", here(json!({ "active": families.contains(&Family::ROUTE_TARGET), "enabled": enabled }))),
            ("active_families", here(active)),
            (
                "protocol",
                here(json!({
                    "state": state(peer.state),
                    "previous_state": format!("({})", state(before)),
                    "hold_time": hold_time.unwrap_or(self.agent.config.bgp.hold_time),
                    "last_transition_time": changed.map(|time| log::utc(time).0),
                })),
            ),
            ("name", here(format!("BGP-{address}"))),
            ("internals", here(json!({ "event queue length": 0, "subscriptions": [] }))),
            // What bagpipe-bgp calls advertised is what the peer has advertised.
            ("adv_routes", below(move || Node::Value(self.some_routes(from)))),
            ("logs", logs_of(address.to_string())),
        ])
    }

    fn workers(self) -> Node<'a> {
        let instances = self.agent.engine.vpns().map(|vpn| Entry::new(worker(&vpn)));
        let peers = self.agent.engine.peers().map(|peer| Entry::new(format!("BGP-{}", peer.address)));
        let find = move |id: &str| {
            if let Some(address) = id.strip_prefix("BGP-") {
                let address: IpAddr = address.parse().ok()?;
                let peer = self.agent.engine.peers().find(|peer| peer.address == address)?;
                return Some(self.peer(&peer));
            }
            self.agent.engine.vpns().find(|vpn| worker(vpn) == id).map(|vpn| self.instance(&vpn))
        };
        Node::Collection(instances.chain(peers).collect(), Box::new(find))
    }

    /// All routes, those of each family in a list.
    fn routes_by_family(self) -> Value {
        let key = |known: Family| format!("{},*", family(known));
        let empty = FAMILIES.map(|known| (key(known), Value::Array(Vec::new())));
        let mut families = Map::from_iter(empty);
        for route in self.agent.engine.route_statuses() {
            let list = families.entry(key(route.nlri.family())).or_insert_with(|| Value::Array(Vec::new()));
            if let Value::Array(list) = list {
                list.push(self.route(&route));
            }
        }
        Value::Object(families)
    }

    pub(super) fn some_routes(self, wanted: impl Fn(&RouteStatus) -> bool) -> Value {
        self.agent
            .engine
            .route_statuses()
            .filter(|route| wanted(route))
            .map(|route| self.route(&route))
            .collect()
    }

    /// Links to the routes that are of interest, in a list.
    pub(super) fn routes_below(self, wanted: impl Fn(&RouteStatus) -> bool + Copy + 'a) -> Member<'a> {
        below(move || Node::Value(self.some_routes(wanted)))
    }
}

fn is_own_membership(route: &RouteStatus) -> bool {
    route.source == RouteSource::Local && matches!(route.nlri, Nlri::RouteTarget(_))
}

const fn state(state: PeerState) -> &'static str {
    match state {
        PeerState::Idle => "Idle",
        PeerState::Active => "Active",
        PeerState::Connect => "Connect",
        PeerState::OpenSent => "OpenSent",
        PeerState::OpenConfirm => "OpenConfirm",
        PeerState::Established => "Established",
    }
}
