//! ExaBGP as a peer: what it is told by a script it announces, and what it receives it tells the script. It has no words
//! for E-VPN routes of its own.

use std::collections::BTreeMap;
use std::collections::BTreeSet;
use std::fs::{self, OpenOptions};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use bagpipe_agent::lab::{Lab, LabError, Node, Process, wait_until};
use serde_json::Value;

use super::{Abilities, Opens, PASSWORD, Peer, RED, Terms, vpn};
use crate::SOON;
use crate::routes::{Kind, Route, community, short_address};

pub(super) const ABILITIES: Abilities = Abilities {
    waits: true,
    secured: true,
    families: &["evpn", "vpnv4", "vpnv6"],
    refreshes: true,
    marks: true,
    asks: true,
    restarts: true,
    // It has no table to keep them in.
    helps: &[],
};

/// The script: what it is told goes to one file, what is added to another is what it says.
const SCRIPT: &str = "exec 3<&0\ncat <&3 >\"$0.received\" &\nexec tail -n +1 -f \"$0.commands\"\n";

/// An ExaBGP with files of its own.
pub(super) struct Exabgp {
    node: Node,
    directory: PathBuf,
    addresses: [&'static str; 2],
    process: Option<Process>,
}

impl Exabgp {
    pub(super) fn start(lab: &Lab, node: &Node, terms: Terms) -> Result<Self, LabError> {
        let directory = lab.directory().join("exabgp");
        let mut peer = Self { node: node.clone(), directory, addresses: terms.addresses, process: None };
        let script = peer.file("script");
        fs::create_dir_all(&peer.directory)
            .and_then(|()| fs::write(&script, SCRIPT))
            .and_then(|()| fs::write(peer.file("exabgp.conf"), configuration(terms, &script)))
            .map_err(|source| file(&peer.directory, source))?;
        peer.resume()?;
        Ok(peer)
    }

    fn say(&self, lines: &[String]) -> Result<(), LabError> {
        let path = self.file("script.commands");
        let mut commands =
            OpenOptions::new().append(true).open(&path).map_err(|source| file(&path, source))?;
        let text: String = lines.iter().map(|line| format!("{line}\n")).collect();
        commands.write_all(text.as_bytes()).map_err(|source| file(&path, source))
    }

    fn change(&self, verb: &str) -> Result<(), LabError> {
        let own = self.addresses[1];
        let mapped = if own.contains(':') { own.to_owned() } else { format!("::ffff:{own}") };
        let route = |prefix: &str, next_hop: &str, label: u16| {
            format!(
                "{verb} route {prefix} next-hop {next_hop} rd 64512:7 label {label} \
                 extended-community [ target:{RED} ] local-preference 100"
            )
        };
        self.say(&[route("10.2.0.0/16", own, 700), route("fd02::/32", &mapped, 701)])
    }

    /// What it was told so far, a message each.
    fn messages(&self) -> Result<Vec<Value>, LabError> {
        let path = self.file("script.received");
        let text = fs::read_to_string(&path).map_err(|source| file(&path, source))?;
        Ok(text.lines().filter_map(|line| serde_json::from_str(line).ok()).collect())
    }

    fn file(&self, name: &str) -> PathBuf {
        self.directory.join(name)
    }
}

impl Peer for Exabgp {
    fn want(&mut self, _target: &str) -> Result<(), LabError> {
        Ok(())
    }

    fn announce(&mut self) -> Result<(), LabError> {
        self.change("announce")
    }

    fn withdraw(&mut self) -> Result<(), LabError> {
        self.change("withdraw")
    }

    fn theirs(&self) -> Result<BTreeSet<Route>, LabError> {
        let own = self.addresses[1];
        Ok(BTreeSet::from([vpn("10.2.0.0/16", 700, own), vpn("fd02::/32", 701, own)]))
    }

    /// What was announced and not withdrawn since, in this session.
    fn received(&self) -> Result<BTreeSet<Route>, LabError> {
        let mut routes = BTreeMap::new();
        for message in self.messages()? {
            if message["neighbor"]["state"] == "down" {
                routes.clear();
            }
            let update = &message["neighbor"]["message"]["update"];
            for (_, withdrawn) in members(&update["withdraw"]) {
                for nlri in list(withdrawn) {
                    routes.remove(&key(nlri));
                }
            }
            for (_, by_next_hop) in members(&update["announce"]) {
                for (next_hop, announced) in members(by_next_hop) {
                    for nlri in list(announced) {
                        routes.insert(key(nlri), route(nlri, next_hop, &update["attribute"]));
                    }
                }
            }
        }
        Ok(routes.into_values().flatten().collect())
    }

    fn ask(&self) -> Result<(), LabError> {
        self.say(&["announce route-refresh ipv4 mpls-vpn".to_owned()])
    }

    fn has_session(&self) -> bool {
        let messages = self.messages().unwrap_or_default();
        let mut states = messages.iter().filter_map(|message| message["neighbor"]["state"].as_str());
        states.next_back() == Some("up")
    }

    fn kill(&mut self) {
        if let Some(process) = self.process.take() {
            process.kill();
        }
    }

    fn resume(&mut self) -> Result<(), LabError> {
        for name in ["script.commands", "script.received"] {
            fs::write(self.file(name), "").map_err(|source| file(&self.directory, source))?;
        }
        let config = self.file("exabgp.conf").to_string_lossy().into_owned();
        let settings = ["env", "exabgp.daemon.user=root", "exabgp.daemon.drop=false", "exabgp.api.cli=false"];
        let line = ["exabgp", &config];
        let mut process = self.node.spawn("exabgp", &[&settings[..], &line].concat())?;
        process.wait_ready(SOON, "ExaBGP", |process| {
            process.printed().contains("loaded new configuration").then_some(())
        })?;
        self.process = Some(process);
        wait_until(SOON, "the script of ExaBGP", || self.messages().ok()).map(drop)
    }
}

/// What tells a route from others: its NLRI but for the labels.
fn key(nlri: &Value) -> String {
    let part = |name: &str| nlri[name].to_string();
    ["code", "rd", "nlri", "mac", "ip"].map(part).join(" ")
}

fn route(nlri: &Value, next_hop: &str, attributes: &Value) -> Option<Route> {
    let text = |name: &str| nlri[name].as_str().map(str::to_owned);
    // Of VPN routes a label of 20 bits; of E-VPN routes that, and then the whole field.
    let labels = || list(&nlri["label"]).iter().filter_map(|label| list(label).last()?.as_u64()).collect();
    let (kind, prefix, labels) = match nlri["code"].as_u64() {
        None => (Kind::Vpn, text("nlri")?, labels()),
        Some(2) => (Kind::MacIp, format!("{} {}", text("mac")?.to_lowercase(), text("ip")?), labels()),
        Some(3) => (Kind::Multicast, text("ip")?, vec![tunnel(attributes["pmsi"].as_str()?)?]),
        Some(_) => return None,
    };
    let communities = list(&attributes["extended-community"]).iter();
    Some(Route {
        kind,
        rd: text("rd")?,
        prefix,
        labels,
        next_hop: short_address(next_hop)?,
        local_pref: attributes["local-preference"].as_u64(),
        communities: communities.filter_map(|shown| shown["value"].as_u64().map(community)).collect(),
    })
}

/// The label field of a PMSI tunnel: 10 of `pmsi:ingressreplication:0:0(10):10.99.0.1`.
pub(super) fn tunnel(text: &str) -> Option<u64> {
    text.strip_prefix("pmsi:ingressreplication:")?.split(['(', ')']).nth(1)?.parse().ok()
}

fn list(value: &Value) -> &[Value] {
    value.as_array().map_or(&[], Vec::as_slice)
}

fn members(value: &Value) -> impl Iterator<Item = (&String, &Value)> {
    value.as_object().into_iter().flatten()
}

fn configuration(terms: Terms, script: &Path) -> String {
    let [ours, theirs] = terms.addresses;
    let secured = if terms.secured {
        format!("md5-password \"{PASSWORD}\"; outgoing-ttl 255; incoming-ttl 255;")
    } else {
        String::new()
    };
    let passive = if terms.opens == Opens::We { "passive true; listen 179;" } else { "" };
    format!(
        "process script {{ run /bin/sh {}; encoder json; }}\n\
         neighbor {ours} {{ local-address {theirs}; router-id 10.99.0.2; local-as 64512; peer-as 64512;\n\
         hold-time 90; {secured} {passive}\n\
         capability {{ route-refresh enable; graceful-restart 60; }}\n\
         family {{ ipv4 mpls-vpn; ipv6 mpls-vpn; l2vpn evpn; }}\n\
         api {{ processes [ script ]; neighbor-changes; receive {{ parsed; update; }} }} }}\n",
        script.display()
    )
}

fn file(path: &Path, source: io::Error) -> LabError {
    LabError::File { path: path.to_owned(), source }
}
