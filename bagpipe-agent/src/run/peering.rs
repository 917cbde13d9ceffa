//! From a configuration to what the speaker and its sockets are told of peers: the same at a start and at a reload.

use std::num::NonZeroU32;
use std::time::Duration;

use bagpipe_bgp::speaker::{
    AddPaths, Export, Import, MaxPrefixes, PeerConfig, Policy, SpeakerConfig, SpeakerTerms,
};

use crate::config::{Config, Peer, Prefix, Terms};
use crate::peer::{Proof, Protection};

/// Routes of a family that a peer may announce if the configuration does not say how many.
const USUAL_MAXIMUM: u32 = 10_000_000;

/// What the speaker is told of itself that may change later.
pub(super) fn terms(config: &Config) -> SpeakerTerms {
    let reflector = config.bgp.reflector.as_ref();
    let clients = reflector.into_iter().flat_map(|reflector| &reflector.clients);
    SpeakerTerms {
        hold_time: config.bgp.hold_time,
        restart_time: config.bgp.restart_time,
        long_lived_time: config.bgp.long_lived_restart_time,
        dynamic_clients: clients.map(|prefix| (prefix.address, prefix.length)).collect(),
        max_clients: reflector.map_or(0, |reflector| reflector.maximum_clients),
        client_add_paths: reflector.map(|reflector| add_paths(&reflector.terms)).unwrap_or_default(),
        client_max_prefixes: reflector.map(|reflector| max_prefixes(&reflector.terms)).unwrap_or_default(),
    }
}

/// The configured peers.
pub(super) fn peers(config: &Config) -> impl Iterator<Item = PeerConfig> + '_ {
    config.bgp.peers.iter().map(|peer| PeerConfig {
        port: peer.port,
        passive: peer.passive,
        client: is_client(config, peer),
        families: peer.families.clone(),
        hold_time: peer.hold_time.unwrap_or(config.bgp.hold_time),
        max_prefixes: max_prefixes(&terms_of(config, peer)),
        add_paths: add_paths(&terms_of(config, peer)),
        policy: Policy { import: peer.import, export: peer.export, next_hop: peer.next_hop },
        ..PeerConfig::new(peer.address.to_canonical(), peer.as_number)
    })
}

/// Logs that a peer is of no use as it is configured (RFC 8212).
pub(super) fn warn_if_useless(peer: &PeerConfig) {
    if peer.policy.import == Import::None && peer.policy.export == Export::None {
        tracing::warn!(
            "peer {} gives no routes and gets none: set import and export in its [[bgp.peers]]",
            peer.address
        );
    }
}

/// What connections have to prove. A peer that is a client of this reflector has to prove what clients do, unless it
/// has terms of its own.
pub(super) fn protection(config: &Config) -> Protection {
    let proof = |terms: &Terms| Proof {
        password: terms.password.clone(),
        tcp_ao: terms.tcp_ao.clone(),
        ttl_security: terms.ttl_security,
    };
    let reflector = config.bgp.reflector.iter();
    let clients = reflector
        .flat_map(|reflector| reflector.clients.iter().map(move |prefix| (*prefix, proof(&reflector.terms))));
    let peers = config.bgp.peers.iter();
    let peers = peers.map(|peer| (Prefix::host(peer.address), proof(&terms_of(config, peer))));
    Protection::new(clients.chain(peers))
}

/// The longest hold time of all peers. One of zero lets a session live however long nothing is heard (RFC 4271 §4.2).
pub(super) fn hold_time(config: &Config) -> Option<Duration> {
    let peers = config.bgp.peers.iter().filter_map(|peer| peer.hold_time);
    let times: Vec<_> = peers.chain([config.bgp.hold_time]).collect();
    let longest = times.iter().max().filter(|_| !times.contains(&0));
    longest.map(|seconds| Duration::from_secs((*seconds).into()))
}

/// Whether a configured peer is a client of this reflector: it is in one of the prefixes.
fn is_client(config: &Config, peer: &Peer) -> bool {
    let mut prefixes = config.bgp.reflector.iter().flat_map(|reflector| &reflector.clients);
    prefixes.any(|prefix| prefix.contains(peer.address))
}

fn terms_of(config: &Config, peer: &Peer) -> Terms {
    match &config.bgp.reflector {
        Some(reflector) if is_client(config, peer) => peer.terms.clone().or(&reflector.terms),
        _ => peer.terms.clone(),
    }
}

fn add_paths(terms: &Terms) -> AddPaths {
    let configured = terms.add_paths.as_ref();
    AddPaths {
        receive: configured.is_some_and(|configured| configured.receive),
        send: configured.and_then(|configured| NonZeroU32::new(configured.send)),
    }
}

/// What a family has no limit for in the configuration has this one: a peer can't have us use memory without end.
fn max_prefixes(terms: &Terms) -> MaxPrefixes {
    let configured = terms.maximum_prefixes.clone().unwrap_or_default();
    let limit = |family| (family, configured.limits.get(&family).copied().unwrap_or(USUAL_MAXIMUM));
    MaxPrefixes {
        limits: SpeakerConfig::FAMILIES.map(limit).to_vec(),
        warning: configured.warning,
        restart: (configured.restart > 0).then(|| Duration::from_secs(configured.restart.into())),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use bagpipe_bgp::types::Family;

    use super::*;
    use crate::config::MaximumPrefixes;

    #[test]
    fn every_family_has_a_limit() {
        let limits = BTreeMap::from([(Family::VPNV4, 5)]);
        let maximum_prefixes = Some(MaximumPrefixes { limits, ..MaximumPrefixes::default() });
        let limits = max_prefixes(&Terms { maximum_prefixes, ..Terms::default() }).limits;
        let limit =
            |wanted: Family| limits.iter().find(|(family, _)| *family == wanted).map(|(_, limit)| *limit);
        assert_eq!((limit(Family::VPNV4), limit(Family::EVPN)), (Some(5), Some(USUAL_MAXIMUM)));
        assert_eq!(max_prefixes(&Terms::default()).limits.len(), SpeakerConfig::FAMILIES.len());
    }
}
