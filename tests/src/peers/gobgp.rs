//! GoBGP as a peer. It announces no type 2 routes here: with one of its own, version 3.10 crashes in its MAC mobility as
//! soon as a peer that sent it type 2 routes restarts gracefully.

use std::collections::BTreeSet;

use bagpipe_agent::lab::{Lab, LabError, Node};

use super::{Abilities, BLUE, Opens, PASSWORD, Peer, RED, Terms, vpn};
use crate::gobgp::Reflector;
use crate::routes::{Kind, Route, of_gobgp};

pub(super) const ABILITIES: Abilities = Abilities {
    waits: true,
    secured: true,
    families: &["evpn", "vpnv4", "vpnv6", "rtc"],
    refreshes: true,
    marks: false,
    // It keeps all that it is sent, and applies new policies to that.
    asks: false,
    restarts: true,
    helps: &["evpn", "vpnv4", "vpnv6"],
};

struct Gobgp {
    reflector: Reflector,
    addresses: [&'static str; 2],
}

pub(super) fn start(lab: &Lab, node: &Node, terms: Terms) -> Result<impl Peer + use<>, LabError> {
    let reflector = Reflector::configured(lab, node, &configuration(terms))?;
    Ok(Gobgp { reflector, addresses: terms.addresses })
}

impl Gobgp {
    fn change(&self, verb: &str) -> Result<(), LabError> {
        let own = self.addresses[1];
        let red = ["rd", "64512:7", "rt", RED, "nexthop", own];
        let blue = ["rd", "64512:7", "rt", BLUE, "encap", "vxlan", "nexthop", own];
        let pmsi = ["pmsi", "ingress-repl", "10", own];
        let prefix = ["prefix", "10.3.0.0/16", "etag", "0", "label", "10"];
        for (family, words) in [
            ("vpnv4", [&["10.2.0.0/16", "label", "700"][..], &red].concat()),
            ("vpnv6", [&["fd02::/32", "label", "701"][..], &red].concat()),
            ("evpn", [&prefix[..], &blue].concat()),
            ("evpn", [&["multicast", own, "etag", "0"][..], &blue, &pmsi].concat()),
        ] {
            self.reflector.gobgp(&[&["global", "rib", verb, "-a", family][..], &words].concat())?;
        }
        Ok(())
    }
}

impl Peer for Gobgp {
    /// It asks for what its VRFs import.
    fn want(&mut self, target: &str) -> Result<(), LabError> {
        self.reflector.gobgp(&["vrf", "add", target, "rd", target, "rt", "both", target]).map(drop)
    }

    fn announce(&mut self) -> Result<(), LabError> {
        self.change("add")
    }

    fn withdraw(&mut self) -> Result<(), LabError> {
        self.change("del")
    }

    fn theirs(&self) -> Result<BTreeSet<Route>, LabError> {
        let own = self.addresses[1];
        let framed = |kind, prefix: &str| Route {
            kind,
            prefix: prefix.to_owned(),
            communities: BTreeSet::from([format!("rt:{BLUE}"), "encap:8".to_owned()]),
            ..vpn(prefix, 10, own)
        };
        Ok(BTreeSet::from([
            vpn("10.2.0.0/16", 700, own),
            vpn("fd02::/32", 701, own),
            framed(Kind::IpPrefix, "10.3.0.0/16"),
            framed(Kind::Multicast, own),
        ]))
    }

    fn received(&self) -> Result<BTreeSet<Route>, LabError> {
        let routes = of_gobgp(&self.reflector)?;
        Ok(routes.into_iter().filter(|route| route.next_hop == self.addresses[0]).collect())
    }

    fn has_session(&self) -> bool {
        self.reflector.sessions() == 1
    }

    fn kill(&mut self) {
        self.reflector.kill();
    }

    fn resume(&mut self) -> Result<(), LabError> {
        self.reflector.resume_gracefully()
    }
}

fn configuration(terms: Terms) -> String {
    let [ours, theirs] = terms.addresses;
    let families = ["l2vpn-evpn", "l3vpn-ipv4-unicast", "l3vpn-ipv6-unicast", "rtc"].map(|family| {
        format!(
            "[[neighbors.afi-safis]]\n[neighbors.afi-safis.config]\nafi-safi-name = \"{family}\"\n\
             [neighbors.afi-safis.mp-graceful-restart.config]\nenabled = true\n"
        )
    });
    let (password, distance) = if terms.secured {
        (
            format!("auth-password = \"{PASSWORD}\"\n"),
            "[neighbors.ttl-security.config]\nenabled = true\nttl-min = 255\n",
        )
    } else {
        (String::new(), "")
    };
    format!(
        "[global.config]\nas = 64512\nrouter-id = \"10.99.0.2\"\nlocal-address-list = [\"{theirs}\"]\n\
         [[neighbors]]\n[neighbors.config]\nneighbor-address = \"{ours}\"\npeer-as = 64512\n{password}{distance}\
         [neighbors.transport.config]\npassive-mode = {}\nlocal-address = \"{theirs}\"\n\
         [neighbors.timers.config]\nconnect-retry = 1\n\
         [neighbors.graceful-restart.config]\nenabled = true\nrestart-time = 60\n{}",
        terms.opens == Opens::We,
        families.concat()
    )
}
