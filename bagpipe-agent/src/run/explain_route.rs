//! Why a route is used or not: received from whom, chosen or by which rule not, imported by which instances for the
//! sake of which route target, and what was written for it.

use std::net::IpAddr;

use bagpipe_bgp::speaker::{RouteSource, RouteStatus, Rule};
use bagpipe_bgp::wire::{Nlri, PathId};
use serde::Serialize;

use super::Agent;
use super::views::encode;
use crate::api::{Answer, Refused, RouteQuestion};
use crate::dataplane::EntryView;
use crate::vpn::explain_route::{EntryUse, RouteUse};

/// A path, and what became of it.
#[derive(Debug, Serialize)]
struct ExplainedPath {
    /// The route on one line.
    route: String,
    /// The peer that it came from, or `local`.
    source: String,
    /// The path identifier that it came with; zero without add-path (RFC 7911).
    path_id: PathId,
    next_hop: Option<IpAddr>,
    route_targets: Vec<String>,
    /// What decides between it and others.
    attributes: String,
    /// Kept from an earlier session (RFC 4724 §4.2).
    stale: bool,
    /// It is the best path.
    best: bool,
    /// The rule of the decision process by which another one is better.
    lost_by: Option<Rule>,
    /// Why it is not used on this node; none if an instance imports it.
    unused: Option<String>,
    /// The instances that import it.
    imported_by: Vec<ExplainedUse>,
}

/// An instance that imports a path.
#[derive(Debug, Serialize)]
struct ExplainedUse {
    vpn: String,
    /// The route targets that are common to both.
    route_targets: Vec<String>,
    entries: Vec<ExplainedEntry>,
}

/// An entry that a path is for.
#[derive(Debug, Serialize)]
struct ExplainedEntry {
    #[serde(flatten)]
    purpose: EntryUse,
    /// Where it is in the maps, and what is there; none without a data plane.
    entry: Option<EntryView>,
}

impl Agent {
    /// Explains all paths of the routes whose text begins with what is asked for.
    pub(super) fn explain_route(&self, question: &RouteQuestion) -> Answer {
        let asked = question.route.trim();
        let is_meant = |nlri: &Nlri| {
            let text = nlri.to_string();
            text.strip_prefix(asked).is_some_and(|rest| rest.is_empty() || rest.starts_with(' '))
        };
        if asked.is_empty() {
            return Err(Refused("route: empty; write a route as `bagpipe show routes` prints it".to_owned()));
        }
        let paths = self.engine.ranked(is_meant);
        if paths.is_empty() {
            return Err(Refused(format!(
                "no route '{asked}' is here; `bagpipe show routes` lists those that are. One that nobody here imports is not sent by peers that do RT Constraint (RFC 4684)"
            )));
        }
        encode(&paths.into_iter().map(|(status, rule)| self.explain_path(status, rule)).collect::<Vec<_>>())
    }

    fn explain_path(&self, status: RouteStatus, lost_by: Option<Rule>) -> ExplainedPath {
        let RouteStatus { nlri, attributes, source, best, stale, path_id } = status;
        let uses = match (source, &nlri, best) {
            (RouteSource::Local, ..) => Err("it is a route of this node".to_owned()),
            (_, Nlri::RouteTarget(_), _) => {
                Err("it says what the peer asks for, and leads nowhere".to_owned())
            }
            (_, _, false) => Err("another path is better".to_owned()),
            (_, _, true) => self.engine.uses(&nlri, &attributes).map_err(|ignored| ignored.to_string()),
        };
        let (imported_by, unused) = match uses {
            Ok(uses) if uses.is_empty() => {
                (Vec::new(), Some("no instance imports any of its route targets".to_owned()))
            }
            Ok(uses) => (uses, None),
            Err(reason) => (Vec::new(), Some(reason)),
        };
        ExplainedPath {
            route: nlri.to_string(),
            source: match source {
                RouteSource::Local => "local".to_owned(),
                RouteSource::Peer(_, address) => address.to_string(),
            },
            path_id,
            next_hop: attributes.next_hop.map(|next_hop| next_hop.address),
            route_targets: attributes.route_targets().map(|target| target.to_string()).collect(),
            attributes: attributes.to_string(),
            stale,
            best,
            lost_by,
            unused,
            imported_by: imported_by.into_iter().map(|used| self.explain_use(used)).collect(),
        }
    }

    fn explain_use(&self, used: RouteUse) -> ExplainedUse {
        let RouteUse { vpn, route_targets, entries } = used;
        let entries = entries.into_iter().map(|purpose| {
            let entry = self.dataplane.entry(&purpose.place);
            ExplainedEntry { purpose, entry }
        });
        ExplainedUse {
            vpn,
            route_targets: route_targets.iter().map(ToString::to_string).collect(),
            entries: entries.collect(),
        }
    }
}
