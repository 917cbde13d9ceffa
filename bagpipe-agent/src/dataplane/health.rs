//! What is wrong with the data plane, for people.

use std::collections::BTreeMap;

use super::entry::Key;
use super::tables::{Failure, Tables};

impl Tables {
    /// One sentence for each thing that is wrong: instances that lack entries, ports without their program.
    #[must_use]
    pub(crate) fn health(&self) -> Vec<String> {
        let mut missing: BTreeMap<(Option<u16>, String), usize> = BTreeMap::new();
        for (key, failure) in &self.failed {
            *missing.entry((vpn_of(key), remedy(failure))).or_default() += 1;
        }
        let missing = missing.into_iter().map(|((vpn, why), count)| match vpn {
            Some(vpn) => format!("instance {vpn} lacks {}: {why}", entries(count)),
            None => format!("{} missing: {why}", entries(count)),
        });
        missing.chain(self.unattached.values().map(ToString::to_string)).collect()
    }
}

fn entries(count: usize) -> String {
    if count == 1 { "1 entry".to_owned() } else { format!("{count} entries") }
}

fn remedy(failure: &Failure) -> String {
    match failure {
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
        Key::Vpn(vpn) | Key::Router(vpn) => Some(*vpn),
        Key::Encap(_)
        | Key::Nexthop(_)
        | Key::Port(_)
        | Key::Adjacency(_)
        | Key::Bucket(_)
        | Key::Label(_)
        | Key::Vni(_)
        | Key::Tunnel(_)
        | Key::PortOfInterface(_) => None,
    }
}
