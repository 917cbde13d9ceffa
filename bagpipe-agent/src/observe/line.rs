//! What readers of `bagpipe monitor` get: one JSON object to a line. The field names are stable.

use std::net::IpAddr;
use std::time::{SystemTime, UNIX_EPOCH};

use bagpipe_bgp::rib::PeerId;
use bagpipe_bgp::speaker::{PathChange, RouteSource, SpeakerEvent};
use bagpipe_bgp::types::{Asn, Family, RouterId};
use bagpipe_bgp::wire::{Attributes, PathId};
use bytes::Bytes;
use serde::Serialize;

/// Something happened, at this many milliseconds of the Unix epoch.
#[derive(Serialize)]
struct Line<T> {
    time: u64,
    #[serde(flatten)]
    what: T,
}

#[derive(Serialize)]
struct PathLine<'a> {
    event: &'static str,
    source: String,
    family: Family,
    route: String,
    path_id: PathId,
    next_hop: Option<IpAddr>,
    route_targets: Vec<String>,
    attributes: Option<&'a Attributes>,
    /// Where the best path comes from now, if there is one.
    best: Option<String>,
}

#[derive(Serialize)]
#[serde(tag = "event", rename_all = "kebab-case")]
enum SessionLine<'a> {
    Up { peer: Option<IpAddr>, as_number: Asn, router_id: RouterId, families: &'a [Family], hold_time: u16 },
    Down { peer: Option<IpAddr>, reason: &'a str },
    EndOfRib { peer: Option<IpAddr>, family: Family },
    Malformed { peer: Option<IpAddr>, error: String },
    NearLimit { peer: Option<IpAddr>, family: Family, routes: usize, limit: u32 },
    Converged,
}

pub(super) fn of_path(change: &PathChange, now: SystemTime) -> Bytes {
    let PathChange { nlri, path_id, source, attributes, best } = change;
    let targets = attributes.iter().flat_map(|attributes| attributes.route_targets());
    let next_hop = attributes.as_ref().and_then(|attributes| attributes.next_hop);
    encode(
        now,
        PathLine {
            event: if attributes.is_some() { "announced" } else { "withdrawn" },
            source: name(source),
            family: nlri.family(),
            route: nlri.to_string(),
            path_id: *path_id,
            next_hop: next_hop.map(|next_hop| next_hop.address),
            route_targets: targets.map(|target| target.to_string()).collect(),
            attributes: attributes.as_deref(),
            best: best.as_ref().map(name),
        },
    )
}

pub(super) fn of_session(
    event: &SpeakerEvent,
    address: impl Fn(PeerId) -> Option<IpAddr>,
    now: SystemTime,
) -> Bytes {
    let line = match event {
        SpeakerEvent::PeerUp { peer, negotiated } => SessionLine::Up {
            peer: address(*peer),
            as_number: negotiated.asn,
            router_id: negotiated.router_id,
            families: &negotiated.families,
            hold_time: negotiated.hold_time,
        },
        SpeakerEvent::PeerDown { peer, reason, .. } => SessionLine::Down { peer: address(*peer), reason },
        SpeakerEvent::EndOfRib { peer, family } => {
            SessionLine::EndOfRib { peer: address(*peer), family: *family }
        }
        SpeakerEvent::Error { peer, error } => {
            SessionLine::Malformed { peer: address(*peer), error: error.to_string() }
        }
        SpeakerEvent::NearLimit { peer, family, routes, limit } => {
            SessionLine::NearLimit { peer: address(*peer), family: *family, routes: *routes, limit: *limit }
        }
        SpeakerEvent::Converged => SessionLine::Converged,
    };
    encode(now, line)
}

fn name(source: &RouteSource) -> String {
    match source {
        RouteSource::Local => "local".to_owned(),
        RouteSource::Peer(_, address) => address.to_string(),
    }
}

fn encode(now: SystemTime, what: impl Serialize) -> Bytes {
    let time = now.duration_since(UNIX_EPOCH).unwrap_or_default().as_millis();
    let line = Line { time: u64::try_from(time).unwrap_or(u64::MAX), what };
    // Plain values have a form in JSON always.
    let mut text = serde_json::to_vec(&line).unwrap_or_default();
    text.push(b'\n');
    text.into()
}
