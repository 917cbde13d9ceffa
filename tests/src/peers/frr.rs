//! FRR as a peer.

use std::collections::BTreeSet;

use bagpipe_agent::lab::{Lab, LabError, Node};

use super::{Abilities, Opens, PASSWORD, Peer, RED, Terms, vpn};
use crate::frr::Frr;
use crate::routes::{Kind, Route, of_frr};

pub(super) const ABILITIES: Abilities = Abilities {
    waits: true,
    secured: true,
    families: &["evpn", "vpnv4", "vpnv6"],
    refreshes: true,
    marks: true,
    asks: true,
    restarts: false,
    // Of E-VPN routes it does so from version 10.6 on.
    helps: &["vpnv4", "vpnv6"],
};

const ROUTER: &str = "02:00:00:00:77:fe";
/// How it knows its type 5 route; the Router's MAC is no part of that.
const PREFIX: &str =
    "10.3.0.0/16 rd 64512:7 ethtag 0 label 800 esi 00:00:00:00:00:00:00:00:00:00 gwip 0.0.0.0";

struct Speaker {
    frr: Frr,
    addresses: [&'static str; 2],
}

pub(super) fn start(lab: &Lab, node: &Node, terms: Terms) -> Result<impl Peer + use<>, LabError> {
    let frr = Frr::start(lab, node, &configuration(terms))?;
    Ok(Speaker { frr, addresses: terms.addresses })
}

impl Speaker {
    fn change(&self, verb: &str, router: &str) -> Result<(), LabError> {
        let family = |family: &str, network: &str| {
            format!("address-family {family}\n{verb}network {network}\nexit-address-family\n")
        };
        let networks = [
            family("ipv4 vpn", "10.2.0.0/16 rd 64512:7 label 700"),
            family("ipv6 vpn", "fd02::/32 rd 64512:7 label 701"),
            family("l2vpn evpn", &format!("{PREFIX}{router}")),
        ];
        self.frr.vtysh(&format!("configure\nrouter bgp 64512\n{}", networks.concat())).map(drop)
    }
}

impl Peer for Speaker {
    fn want(&mut self, _target: &str) -> Result<(), LabError> {
        Ok(())
    }

    fn announce(&mut self) -> Result<(), LabError> {
        self.change("", &format!(" routermac {ROUTER}"))
    }

    fn withdraw(&mut self) -> Result<(), LabError> {
        self.change("no ", "")
    }

    fn theirs(&self) -> Result<BTreeSet<Route>, LabError> {
        let own = self.addresses[1];
        // What is configured as a label stands in the upper 20 of the 24 bits, above the bottom-of-stack bit.
        let mut prefix = Route { kind: Kind::IpPrefix, ..vpn("10.3.0.0/16", 800 << 4 | 1, own) };
        prefix.communities.insert(format!("router-mac:{ROUTER}"));
        Ok(BTreeSet::from([vpn("10.2.0.0/16", 700, own), vpn("fd02::/32", 701, own), prefix]))
    }

    fn received(&self) -> Result<BTreeSet<Route>, LabError> {
        let routes = of_frr(&self.frr)?;
        Ok(routes.into_iter().filter(|route| route.next_hop == self.addresses[0]).collect())
    }

    fn ask(&self) -> Result<(), LabError> {
        self.frr.vtysh(&format!("clear bgp l2vpn evpn {} soft in", self.addresses[0])).map(drop)
    }

    fn has_session(&self) -> bool {
        self.frr.sessions() == 1
    }

    fn kill(&mut self) {
        self.frr.kill();
    }

    fn resume(&mut self) -> Result<(), LabError> {
        self.frr.resume()
    }
}

/// Its networks are in its configuration only; policies at the way out give them next hops and route targets.
fn configuration(terms: Terms) -> String {
    let [ours, theirs] = terms.addresses;
    let mut neighbor = vec!["remote-as 64512", "timers connect 1"];
    let password = format!("password {PASSWORD}");
    if terms.secured {
        neighbor.extend([password.as_str(), "ttl-security hops 1"]);
    }
    if terms.opens == Opens::We {
        neighbor.push("passive");
    }
    let neighbor: String = neighbor.iter().map(|term| format!(" neighbor {ours} {term}\n")).collect();
    let families = [("ipv4 vpn", "four"), ("ipv6 vpn", "six"), ("l2vpn evpn", "four")].map(|(family, policy)| {
        format!(
            " address-family {family}\n  neighbor {ours} activate\n  neighbor {ours} route-map {policy} out\n \
             exit-address-family\n"
        )
    });
    format!(
        "route-map four permit 1\n set extcommunity rt {RED}\n set ip next-hop {theirs}\nexit\n\
         route-map six permit 1\n set extcommunity rt {RED}\n set ipv6 next-hop global ::ffff:{theirs}\nexit\n\
         router bgp 64512\n bgp router-id 10.99.0.2\n no bgp default ipv4-unicast\n no bgp network import-check\n\
         {neighbor}{}",
        families.concat()
    )
}
