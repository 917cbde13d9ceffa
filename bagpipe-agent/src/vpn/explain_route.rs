//! What becomes of a route on this node: which instances import it, and whether it is what their entries follow.

use std::net::IpAddr;
use std::sync::Arc;

use bagpipe_bgp::types::{IpPrefix, MacAddr, RouteTarget};
use bagpipe_bgp::wire::{Attributes, Nlri};
use serde::Serialize;

use super::instance::Instance;
use super::route::{Frames, Ignored, RouteKey, classify};
use super::router::{Reason, Router};
use super::vpns::Vpns;
use crate::fib::{Place, Target};

/// An instance that imports a route.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct RouteUse {
    /// Its name.
    pub vpn: String,
    /// The route targets of the route that it imports.
    pub route_targets: Vec<RouteTarget>,
    /// The entries that the route is for.
    pub entries: Vec<EntryUse>,
}

/// An entry of the forwarding state that a route is for.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct EntryUse {
    /// Where it is.
    #[serde(skip)]
    pub place: Place,
    /// What it is for.
    pub what: String,
    /// Why the entry does not follow the route; `None` if it does.
    pub unused: Option<String>,
}

impl Vpns {
    /// What becomes of a best path on this node.
    ///
    /// # Errors
    /// Why it is not used, whatever its route targets.
    pub fn uses(&self, nlri: &Nlri, attributes: &Arc<Attributes>) -> Result<Vec<RouteUse>, Ignored> {
        let (key, route) = classify(nlri, attributes, self.config())?;
        let importers = self.imports.importers(attributes);
        let uses = importers.iter().filter_map(|id| self.instances.get(id)).map(|instance| RouteUse {
            vpn: instance.name.clone(),
            route_targets: attributes
                .route_targets()
                .filter(|target| instance.import.contains(target))
                .collect(),
            entries: match (&instance.router, &route.frames) {
                (Some(router), _) => routed(instance, router, &key).into_iter().collect(),
                (None, Some(frames)) => switched(instance, &key, frames),
                (None, None) => Vec::new(),
            },
        });
        Ok(uses.collect())
    }
}

/// The entries of an E-VPN.
fn switched(instance: &Instance, key: &RouteKey, frames: &Frames) -> Vec<EntryUse> {
    match key {
        RouteKey::MacIp(_, mac, ip) => {
            let neighbor = ip.map(|ip| neighbor(instance, ip, *mac));
            [mac_address(instance, *mac, frames)].into_iter().chain(neighbor).collect()
        }
        RouteKey::Multicast(_, originator) => {
            let flooded = instance.installed.floods.contains(&frames.target);
            let unused = (!flooded).then(|| "this node floods nothing to it".to_owned());
            let what = format!("flooded frames to {originator}");
            vec![EntryUse { place: Place::Flood(instance.id, frames.target), what, unused }]
        }
        // Those of segments have no entry of their own: they count for the MAC addresses there.
        RouteKey::OnSegment(..)
        | RouteKey::ForSegment(..)
        | RouteKey::EvpnPrefix(..)
        | RouteKey::Prefix(..) => Vec::new(),
    }
}

fn mac_address(instance: &Instance, mac: MacAddr, route: &Frames) -> EntryUse {
    let unused = match instance.installed.macs.get(&mac).map(|entry| entry.target) {
        Some(installed) if installed == route.target => None,
        // Whoever is on the segment gets them, whichever of them announced the address (RFC 7432 §8.4).
        Some(Target::Segment(segment)) if segment.esi == route.esi => None,
        Some(Target::Port(_)) => Some("the MAC address is attached to this node".to_owned()),
        Some(Target::Router(_)) => Some("it is the MAC address of the gateway".to_owned()),
        Some(_) => Some("another route for the MAC address is preferred (RFC 7432 §15)".to_owned()),
        None => Some("there is no entry for the MAC address".to_owned()),
    };
    EntryUse { place: Place::Mac(instance.id, mac), what: format!("frames to {mac}"), unused }
}

fn neighbor(instance: &Instance, ip: IpAddr, mac: MacAddr) -> EntryUse {
    let unused = match instance.installed.neighbors.get(&ip) {
        Some(entry) if entry.mac == mac => None,
        Some(entry) => {
            Some(format!("{} has the IP address by a route or an attachment that is preferred", entry.mac))
        }
        None => Some("there is no entry for the IP address".to_owned()),
    };
    EntryUse { place: Place::Neighbor(instance.id, ip), what: format!("ARP and ND for {ip}"), unused }
}

/// The entry of an IP-VPN.
fn routed(instance: &Instance, router: &Router, key: &RouteKey) -> Option<EntryUse> {
    let prefix: IpPrefix = key.prefix()?;
    let port = |mac: MacAddr| instance.local_mac(&mac).map(|entry| entry.port);
    let reason = router.resolve(prefix, &port).map(|(_, reason)| reason);
    let unused = match reason {
        Some(Reason::Imported) if router.best(prefix).iter().any(|(best, _)| *best == key) => None,
        Some(Reason::Imported) => Some("another imported route for the prefix is better".to_owned()),
        Some(Reason::Gateway) => Some("it is the address of the gateway".to_owned()),
        Some(Reason::Attached) => Some("the prefix is attached to this node".to_owned()),
        Some(Reason::PluggedHost) => Some("it is a host of an E-VPN that is plugged in".to_owned()),
        Some(Reason::RemoteHost) => {
            Some("it is a host of an E-VPN that is plugged in, on another node".to_owned())
        }
        Some(Reason::Fallback) | None => {
            Some("it leads nowhere: its gateway has no route of its own".to_owned())
        }
    };
    Some(EntryUse { place: Place::Route(instance.id, prefix), what: format!("packets to {prefix}"), unused })
}
