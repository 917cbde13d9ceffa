//! BIRD as a peer. It speaks of VPN-IPv6 over IPv6 only: a next hop that is an IPv4 address in IPv6's form
//! (RFC 4659 §3.2.1.2) is none to it.

use std::collections::BTreeSet;
use std::fs;
use std::path::PathBuf;

use bagpipe_agent::lab::{Lab, LabError, Node, Process, wait_until};

use super::{Abilities, Opens, PASSWORD, Peer, RED, Terms, vpn};
use crate::SOON;
use crate::routes::{Kind, Route, short_address};

pub(super) const ABILITIES: Abilities = Abilities {
    waits: true,
    secured: true,
    families: &["vpnv4", "vpnv6"],
    refreshes: true,
    marks: true,
    asks: true,
    restarts: true,
    helps: &["vpnv4", "vpnv6"],
};

/// A BIRD with files of its own.
pub(super) struct Bird {
    node: Node,
    directory: PathBuf,
    addresses: [&'static str; 2],
    process: Option<Process>,
}

impl Bird {
    pub(super) fn start(lab: &Lab, node: &Node, terms: Terms) -> Result<Self, LabError> {
        let directory = lab.directory().join("bird");
        let config = directory.join("bird.conf");
        fs::create_dir_all(&directory)
            .and_then(|()| fs::write(&config, configuration(terms)))
            .map_err(|source| LabError::File { path: config, source })?;
        let mut bird = Self { node: node.clone(), directory, addresses: terms.addresses, process: None };
        bird.spawn(&[])?;
        Ok(bird)
    }

    fn spawn(&mut self, options: &[&str]) -> Result<(), LabError> {
        let [config, socket, pid] = ["bird.conf", "bird.ctl", "bird.pid"].map(|name| self.file(name));
        let line = ["bird", "-f", "-c", &config, "-s", &socket, "-P", &pid];
        self.process = Some(self.node.spawn("bird", &[&line, options].concat())?);
        wait_until(SOON, "BIRD answers", || self.birdc(&["show", "status"]).ok()).map(drop)
    }

    /// Runs the command line client.
    fn birdc(&self, words: &[&str]) -> Result<String, LabError> {
        self.node.run(&[&["birdc", "-s", &self.file("bird.ctl")], words].concat())
    }

    fn file(&self, name: &str) -> String {
        self.directory.join(name).to_string_lossy().into_owned()
    }

    fn change(&self, verb: &str) -> Result<(), LabError> {
        ["own4", "own6"].iter().try_for_each(|protocol| self.birdc(&[verb, protocol]).map(drop))
    }
}

impl Peer for Bird {
    fn want(&mut self, _target: &str) -> Result<(), LabError> {
        Ok(())
    }

    fn announce(&mut self) -> Result<(), LabError> {
        self.change("enable")
    }

    fn withdraw(&mut self) -> Result<(), LabError> {
        self.change("disable")
    }

    fn theirs(&self) -> Result<BTreeSet<Route>, LabError> {
        let own = self.addresses[1];
        Ok(BTreeSet::from([vpn("10.2.0.0/16", 700, own), vpn("fd02::/32", 701, own)]))
    }

    fn received(&self) -> Result<BTreeSet<Route>, LabError> {
        let shown = self.birdc(&["show", "route", "all", "protocol", "agent"])?;
        // Each route begins at the left, and what belongs to it is indented.
        let mut blocks: Vec<Vec<&str>> = Vec::new();
        for line in shown.lines() {
            match blocks.last_mut() {
                Some(block) if line.starts_with('\t') => block.push(line.trim()),
                _ => blocks.push(vec![line]),
            }
        }
        Ok(blocks.iter().filter_map(|block| route(block)).collect())
    }

    fn ask(&self) -> Result<(), LabError> {
        self.birdc(&["reload", "in", "agent"]).map(drop)
    }

    fn has_session(&self) -> bool {
        self.birdc(&["show", "protocols", "agent"]).is_ok_and(|text| text.contains("Established"))
    }

    fn kill(&mut self) {
        if let Some(process) = self.process.take() {
            process.kill();
        }
    }

    fn resume(&mut self) -> Result<(), LabError> {
        self.spawn(&["-R"])
    }
}

fn route(block: &[&str]) -> Option<Route> {
    let (head, lines) = block.split_first()?;
    let mut words = head.split_whitespace();
    let (rd, prefix) = (words.next()?, words.next()?);
    let value =
        |name: &str| lines.iter().find_map(|line| line.strip_prefix(name)?.strip_prefix(':').map(str::trim));
    Some(Route {
        kind: Kind::Vpn,
        rd: rd.to_owned(),
        prefix: prefix.to_owned(),
        labels: vec![value("BGP.mpls_label_stack")?.parse().ok()?],
        next_hop: short_address(value("BGP.next_hop")?.split_whitespace().next()?)?,
        local_pref: value("BGP.local_pref")?.parse().ok(),
        communities: communities(value("BGP.ext_community")?),
    })
}

/// Such as `(rt, 64512, 100) (generic, 0x30c0000, 0xd)`.
fn communities(text: &str) -> BTreeSet<String> {
    let community = |text: &str| {
        let parts: Vec<&str> = text.trim_matches(['(', ')', ' ']).split(", ").collect();
        match parts.as_slice() {
            ["rt", administrator, number] => format!("rt:{administrator}:{number}"),
            // RFC 9012 §4.1
            ["generic", "0x30c0000", tunnel] => {
                let number =
                    tunnel.strip_prefix("0x").and_then(|number| u16::from_str_radix(number, 16).ok());
                number.map_or_else(|| text.to_owned(), |number| format!("encap:{number}"))
            }
            _ => text.to_owned(),
        }
    };
    text.split(") ").map(community).collect()
}

fn configuration(terms: Terms) -> String {
    let [ours, theirs] = terms.addresses;
    let secured =
        if terms.secured { format!("password \"{PASSWORD}\"; ttl security on; ") } else { String::new() };
    let passive = if terms.opens == Opens::We { "passive; " } else { "" };
    let own = |number: u8, route: &str| {
        format!(
            "protocol static own{number} {{ disabled yes; vpn{number} {{ table vpntab{number}; }};\n\
             route 64512:7 {route} mpls 70{} {{ bgp_ext_community.add((rt, {})); }}; }}\n",
            u8::from(number == 6),
            RED.replace(':', ", ")
        )
    };
    let channel = |number: u8, more: &str| {
        format!("vpn{number} mpls {{ table vpntab{number}; import all; export all; {more}}};\n")
    };
    format!(
        "log stderr all;\nrouter id 10.99.0.2;\nprotocol device {{}}\nvpn4 table vpntab4;\nvpn6 table vpntab6;\n{}{}\
         protocol bgp agent {{ local {theirs} as 64512; neighbor {ours} as 64512; connect delay time 1;\n\
         connect retry time 1; error wait time 1, 2; graceful restart on; {secured}{passive}\n{}{} }}\n",
        own(4, &format!("10.2.0.0/16 via {theirs}")),
        own(6, &format!("fd02::/32 via {theirs}")),
        channel(4, "extended next hop on; "),
        channel(6, ""),
    )
}
