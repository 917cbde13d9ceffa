//! The looking glass of bagpipe-bgp: the same tree, with the same names, over what this agent knows.
//!
//! `node`: the tree; `bgp`: peers and routes; `vpns`: instances, ports and drivers; `route_control`: what these do
//! with routes of others; `routes`: a route in JSON.

mod bgp;
mod node;
mod route_control;
mod routes;
mod vpns;

use std::time::SystemTime;

use serde_json::{Value, json};

use self::node::{Member, Node, below, here};
use super::Agent;
use crate::config::{Driver, LocalAddress};
use crate::log;

/// A look at the tree, with what all nodes need.
#[derive(Clone, Copy)]
struct Glass<'a> {
    agent: &'a Agent,
    /// Address of the root, for links across the tree.
    root: &'a str,
}

impl Agent {
    /// What is at a path of the tree whose root has an address; `None` if nothing is.
    pub(super) fn look(&self, path: &[String], root: &str) -> Option<Value> {
        Glass { agent: self, root }.top().look(root, path)
    }
}

impl<'a> Glass<'a> {
    fn top(self) -> Node<'a> {
        Node::Object(vec![
            ("summary", here(self.summary())),
            ("config", below(move || Node::Value(self.config()))),
            ("bgp", below(move || self.bgp())),
            ("vpns", below(move || self.vpns())),
            ("logs", below(|| Node::Value(logs(|_| true)))),
        ])
    }

    fn summary(self) -> Value {
        let status = self.agent.status();
        let started = SystemTime::now().checked_sub(self.agent.started.elapsed());
        json!({
            "BGP_established_peers": status.peers.established,
            "route_counts": self.route_counts(),
            "vpn_instances_count": status.vpns,
            "warnings_and_errors": log::recent().len(),
            "start_time": log::utc(started.unwrap_or(SystemTime::UNIX_EPOCH)).0,
            "version": env!("CARGO_PKG_VERSION"),
        })
    }

    /// Received routes, and VPN routes of this node.
    fn route_counts(self) -> Value {
        let (mut local, mut received) = (0_usize, 0_usize);
        for route in self.agent.engine.route_statuses() {
            match route.source {
                bagpipe_bgp::speaker::RouteSource::Local => {
                    local += usize::from(!matches!(route.nlri, bagpipe_bgp::wire::Nlri::RouteTarget(_)));
                }
                bagpipe_bgp::speaker::RouteSource::Peer(..) => received += 1,
            }
        }
        json!({ "local_routes_count": local, "received_routes_count": received })
    }

    /// The configuration in the words of bagpipe-bgp.
    fn config(self) -> Value {
        let config = &self.agent.config;
        let (host, port) = match config.api.listen {
            Some(address) => (address.ip().to_string().into(), address.port().into()),
            None => (Value::Null, Value::Null),
        };
        let local_address = match &config.bgp.local_address {
            LocalAddress::Address(address) => address.to_string(),
            LocalAddress::Interface(name) => name.clone(),
        };
        let port_of = config.bgp.peers.first().map_or(179, |peer| peer.port);
        let families = config.bgp.peers.iter().flat_map(|peer| &peer.families);
        let enable_rtc = config.bgp.peers.is_empty()
            || families.into_iter().any(|family| *family == bagpipe_bgp::types::Family::ROUTE_TARGET);
        json!({
            "COMMON": { "root_helper": "", "root_helper_daemon": null },
            "API": { "host": host, "port": port },
            "BGP": {
                "local_address": local_address,
                "peers": config.bgp.peers.iter().map(|peer| peer.address.to_string()).collect::<Vec<_>>(),
                "my_as": config.bgp.as_number,
                "enable_rtc": enable_rtc,
                "bgp_port": port_of,
            },
            "DATAPLANE_DRIVER_IPVPN": self.driver_config(),
            "DATAPLANE_DRIVER_EVPN": self.driver_config(),
        })
    }

    fn driver_config(self) -> Value {
        let dataplane = &self.agent.config.dataplane;
        json!({
            "dataplane_driver": match dataplane.driver { Driver::Ebpf => "ebpf", Driver::None => "dummy" },
            "dataplane_local_address": dataplane.local_address.map(|address| address.to_string()),
        })
    }

    fn at(self, path: &[&str]) -> String {
        path.iter().fold(self.root.to_owned(), |address, name| node::joined(&address, name))
    }
}

/// The last warnings and errors, newest first, of which the text is of interest.
fn logs(wanted: impl Fn(&str) -> bool) -> Value {
    let records = log::recent().into_iter().rev().filter(|record| wanted(&record.message));
    let shown = records.map(|record| {
        let (seconds, fraction) = log::utc(record.time);
        json!({
            "level": if record.level == tracing::Level::WARN { "WARNING" } else { "ERROR" },
            "time": format!("{seconds},{fraction:03}"),
            "name": record.target,
            "message": record.message,
        })
    });
    shown.collect()
}

/// Those that mention something.
fn logs_of<'a>(what: String) -> Member<'a> {
    below(move || Node::Value(logs(|message| message.contains(&what))))
}
