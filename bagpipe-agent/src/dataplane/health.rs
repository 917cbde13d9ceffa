//! What is wrong with the data plane, for people.

use std::collections::BTreeMap;

use super::entry::{Key, Map};
use super::tables::{Failure, Tables};
use crate::fib::VpnId;

/// Something that is wrong with the data plane.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// The instance that it degrades, if it is one alone.
    pub vpn: Option<VpnId>,
    /// What is wrong, and the remedy; of an instance, the words that follow its name.
    pub what: String,
}

impl Problem {
    /// The sentence, with the instance as `name` says it.
    pub fn told(&self, name: impl FnOnce(VpnId) -> String) -> String {
        match self.vpn {
            Some(vpn) => format!("{} {}", name(vpn), self.what),
            None => self.what.clone(),
        }
    }
}

impl From<String> for Problem {
    fn from(what: String) -> Self {
        Self { vpn: None, what }
    }
}

impl Tables {
    /// What is wrong: instances that lack entries, ports without their program.
    #[must_use]
    pub(crate) fn health(&self) -> Vec<Problem> {
        let mut missing: BTreeMap<(Option<u16>, String), usize> = BTreeMap::new();
        for (key, failure) in &self.failed {
            *missing.entry((vpn_of(key), remedy(failure))).or_default() += 1;
        }
        let missing = missing.into_iter().map(|((vpn, why), count)| {
            let entries = entries(count);
            let what = match vpn {
                Some(_) => format!("lacks {entries}: {why}"),
                None => format!("{entries} missing: {why}"),
            };
            Problem { vpn, what }
        });
        missing.chain(self.unattached.values().map(|failure| failure.to_string().into())).collect()
    }
}

fn entries(count: usize) -> String {
    if count == 1 { "1 entry".to_owned() } else { format!("{count} entries") }
}

fn remedy(failure: &Failure) -> String {
    match failure {
        Failure::Full { map: Map::Hosts | Map::Routes } => {
            format!(
                "{failure}; raise maximum_routes in [dataplane] and run 'bagpipe cleanup', or import less"
            )
        }
        Failure::Full { .. } => format!("{failure}; spread its instances over more nodes"),
        Failure::Refused { .. } | Failure::Unattached { .. } => failure.to_string(),
    }
}

fn vpn_of(key: &Key) -> Option<u16> {
    match key {
        Key::Neighbor(key) | Key::Host(key) => Some(key.vpn),
        Key::Route(key) => Some(u16::from_be_bytes(key.prefix.vpn)),
        Key::Endpoint(key) => Some(key.vpn),
        Key::Fdb(key) => Some(key.vpn),
        Key::Flood(key) => Some(key.vpn),
        Key::Vpn(vpn) | Key::Router(vpn) | Key::Classifier(vpn) => Some(*vpn),
        Key::Encap(_)
        | Key::Nexthop(_)
        | Key::Port(_)
        | Key::Adjacency(_)
        | Key::Bucket(_)
        | Key::Rule(_)
        | Key::Label(_)
        | Key::Vni(_)
        | Key::Tunnel(_)
        | Key::Vlan(_)
        | Key::PortOfInterface(_) => None,
    }
}
