//! bagpipe-bgp as a peer. It opens connections and never waits for any, and its BGP knows neither signatures nor
//! refresh nor graceful restart. It has no VPN-IPv6.

use std::collections::BTreeSet;

use bagpipe_agent::lab::{Lab, LabError, Node};
use serde_json::{Value, json};

use super::exabgp::tunnel;
use super::{Abilities, Peer, RED, Terms};
use crate::bagpipe_bgp::{BagpipeBgp, Driver, Options};
use crate::routes::{Kind, Route, short_address};

pub(super) const ABILITIES: Abilities = Abilities {
    waits: false,
    secured: false,
    families: &["evpn", "vpnv4", "flowspec-vpnv4", "rtc"],
    refreshes: false,
    marks: false,
    asks: false,
    restarts: false,
    helps: &[],
};

/// Its ports: type of VPN, name, interface, MAC address, IP address.
const PORTS: [[&str; 5]; 2] = [
    ["ipvpn", "red", "tap8", "02:00:00:00:00:08", "10.2.0.8"],
    ["evpn", "blue", "tap9", "02:00:00:00:00:09", "192.168.10.9"],
];

struct Predecessor {
    daemon: BagpipeBgp,
    addresses: [&'static str; 2],
}

pub(super) fn start(lab: &Lab, node: &Node, terms: Terms) -> Result<impl Peer + use<>, LabError> {
    let [ours, theirs] = terms.addresses;
    let options = Options { address: theirs, peers: &[ours], rtc: true, driver: Driver::Dummy };
    Ok(Predecessor { daemon: BagpipeBgp::start(lab, node, &options)?, addresses: terms.addresses })
}

impl Predecessor {
    /// The routes with a next hop.
    fn routes(&self, next_hop: &str) -> Result<BTreeSet<Route>, LabError> {
        let shown = self.daemon.looking_glass("/bgp/routes")?;
        let families = shown.as_object().into_iter().flat_map(|families| families.values());
        let shown = families.filter_map(Value::as_array).flatten().filter_map(Value::as_object).flatten();
        Ok(shown
            .filter_map(|(nlri, shown)| route(nlri, shown))
            .filter(|it| it.next_hop == next_hop)
            .collect())
    }
}

impl Peer for Predecessor {
    /// It asks for what its instances import, and announces their ports.
    fn want(&mut self, target: &str) -> Result<(), LabError> {
        let [[_, _, port, mac, address], [_, _, other_port, other_mac, other_address]] = PORTS;
        if target == RED {
            self.daemon.attach_ipvpn(port, mac, address, target)
        } else {
            self.daemon.attach_evpn(other_port, other_mac, other_address, 10)
        }
    }

    fn announce(&mut self) -> Result<(), LabError> {
        Ok(())
    }

    fn withdraw(&mut self) -> Result<(), LabError> {
        PORTS.iter().try_for_each(|[kind, vpn, port, mac, address]| {
            let body = json!({
                "vpn_type": kind, "vpn_instance_id": vpn, "local_port": {"linuxif": port},
                "mac_address": mac, "ip_address": address,
            });
            self.daemon.json("POST", "/detach_localport", &body.to_string()).map(drop)
        })
    }

    fn theirs(&self) -> Result<BTreeSet<Route>, LabError> {
        self.routes(self.addresses[1])
    }

    fn received(&self) -> Result<BTreeSet<Route>, LabError> {
        self.routes(self.addresses[0])
    }

    fn has_session(&self) -> bool {
        self.daemon.sessions() == 1
    }

    fn kill(&mut self) {
        self.daemon.kill();
    }

    fn resume(&mut self) -> Result<(), LabError> {
        self.daemon.resume()
    }
}

/// A route of its looking glass, where NLRI are text.
fn route(nlri: &str, shown: &Value) -> Option<Route> {
    let attributes = &shown["attributes"];
    let (kind, rd, prefix, labels) = if let Some(rest) = nlri.strip_prefix("evpn:macadv::") {
        // RD ESI:TAG:MAC/48:IP: label LABEL (FIELD)
        let (fields, label) = rest.split_once(": label ")?;
        let (head, address) = fields.split_once("/48:")?;
        let words: Vec<&str> = head.split(':').collect();
        let [administrator, number, _, _, mac @ ..] = words.as_slice() else { return None };
        let field = label.split(['(', ')']).nth(1)?.parse().ok()?;
        let prefix = format!("{} {address}", mac.join(":").to_lowercase());
        (Kind::MacIp, format!("{administrator}:{number}"), prefix, vec![field])
    } else if let Some(rest) = nlri.strip_prefix("evpn:multicast::") {
        // RD:TAG:IP
        let words: Vec<&str> = rest.split(':').collect();
        let [administrator, number, _, address] = words.as_slice() else { return None };
        let field = tunnel(attributes["pmsi-tunnel"].as_str()?)?;
        (Kind::Multicast, format!("{administrator}:{number}"), (*address).to_owned(), vec![field])
    } else {
        // PREFIX label LABEL next-hop ADDRESS rd RD
        let words: Vec<&str> = nlri.split_whitespace().collect();
        let [prefix, "label", label, .., "rd", rd] = words.as_slice() else { return None };
        (Kind::Vpn, (*rd).to_owned(), (*prefix).to_owned(), vec![label.parse().ok()?])
    };
    let communities = attributes["extended-community"].as_str()?;
    Some(Route {
        kind,
        rd,
        prefix,
        labels,
        next_hop: short_address(shown["next_hop"].as_str()?)?,
        // Of its own type 3 routes it adds the usual one on the way out.
        local_pref: attributes["local-preference"].as_str().map_or(Some(100), |number| number.parse().ok()),
        communities: communities.trim_matches(['[', ']', ' ']).split(' ').map(community).collect(),
    })
}

/// A community as it prints it: `target:64512:10`, `encap:VXLAN`, `encap:encap:UNKNOWN-11`.
fn community(shown: &str) -> String {
    let tunnels = [("VXLAN", 8), ("MPLS", 10), ("encap:UNKNOWN-11", 11), ("MPLS-in-UDP", 13)];
    let tunnel =
        shown.strip_prefix("encap:").and_then(|name| tunnels.iter().find(|(known, _)| *known == name));
    match (shown.strip_prefix("target:"), tunnel) {
        (Some(target), _) => format!("rt:{target}"),
        (_, Some((_, number))) => format!("encap:{number}"),
        _ => shown.to_owned(),
    }
}
