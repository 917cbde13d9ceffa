//! What a speaker is told about itself and its peers.

use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

use super::{MaxPrefixes, Policy};
use crate::session::AddPaths;
use crate::types::{Asn, Family, RouterId};

/// A speaker.
#[derive(Clone, Debug)]
pub struct SpeakerConfig {
    /// Own AS.
    pub asn: Asn,
    /// Own BGP identifier.
    pub router_id: RouterId,
    /// Own cluster identifier (RFC 4456 §7).
    pub cluster_id: Ipv4Addr,
    /// Own next hops: received routes that have one of them are ignored.
    pub local_addresses: Vec<IpAddr>,
    /// Families offered to dynamic clients.
    pub families: Vec<Family>,
    /// This process came back with its forwarding state kept (RFC 4724 §3, R bit).
    pub restarting: bool,
    /// How long our End-of-RIB is held back at most after a restart, or after any start of a reflector with
    /// dynamic clients, so that no peer drops what we have not relearned yet (RFC 4724 §4.1).
    pub deferral: Duration,
    /// What may change while it runs.
    pub terms: SpeakerTerms,
}

/// What of a speaker may change while it runs. What is told to peers holds as of their next session.
#[derive(Clone, Debug, PartialEq)]
pub struct SpeakerTerms {
    /// Hold time proposed to dynamic clients, in seconds.
    pub hold_time: u16,
    /// Seconds for which peers are asked to keep our routes when we restart; 0: no graceful restart (RFC 4724 §3).
    pub restart_time: u16,
    /// Seconds for which peers are asked to keep our routes after that, and we theirs at most; 0: not at all
    /// (RFC 9494).
    pub long_lived_time: u32,
    /// Prefixes (address and length) whose addresses are accepted as route reflector clients (RFC 4456).
    pub dynamic_clients: Vec<(IpAddr, u8)>,
    /// How many such clients there may be at a time; more that are there already stay.
    pub max_clients: usize,
    /// How many routes each of them may announce.
    pub client_max_prefixes: MaxPrefixes,
    /// Several paths of a route to and from each of them (RFC 7911).
    pub client_add_paths: AddPaths,
}

impl Default for SpeakerTerms {
    /// The usual values: no graceful restart, no clients.
    fn default() -> Self {
        Self {
            hold_time: SpeakerConfig::HOLD_TIME,
            restart_time: 0,
            long_lived_time: 0,
            dynamic_clients: Vec::new(),
            max_clients: SpeakerConfig::MAX_CLIENTS,
            client_max_prefixes: MaxPrefixes::default(),
            client_add_paths: AddPaths::default(),
        }
    }
}

impl SpeakerConfig {
    /// The families of VPNs, and of what their route targets ask for.
    pub const FAMILIES: [Family; 6] = [
        Family::EVPN,
        Family::VPNV4,
        Family::VPNV6,
        Family::FLOWSPEC_VPNV4,
        Family::FLOWSPEC_VPNV6,
        Family::ROUTE_TARGET,
    ];

    /// The usual proposal for the hold time, in seconds (RFC 4271 §10).
    pub const HOLD_TIME: u16 = 90;

    /// The usual time for [`Self::deferral`].
    pub const DEFERRAL: Duration = Duration::from_secs(5);

    /// The usual limit of dynamic clients: more sockets than a process may usually have open.
    pub const MAX_CLIENTS: usize = 10_000;

    /// A speaker with usual values: no graceful restart, no clients, no addresses of its own.
    #[must_use]
    pub fn new(asn: Asn, router_id: RouterId) -> Self {
        Self {
            asn,
            router_id,
            cluster_id: router_id,
            local_addresses: Vec::new(),
            families: Self::FAMILIES.to_vec(),
            restarting: false,
            deferral: Self::DEFERRAL,
            terms: SpeakerTerms::default(),
        }
    }

    /// Whether a connection from this address is taken for a reflector client's.
    pub(super) fn is_dynamic_client(&self, address: IpAddr) -> bool {
        self.terms.dynamic_clients.iter().any(|&(network, length)| contains(network, length, address))
    }

    pub(super) fn dynamic_client(&self, address: IpAddr) -> PeerConfig {
        PeerConfig {
            passive: true,
            client: true,
            families: self.families.clone(),
            hold_time: self.terms.hold_time,
            max_prefixes: self.terms.client_max_prefixes.clone(),
            add_paths: self.terms.client_add_paths,
            ..PeerConfig::new(address, self.asn)
        }
    }
}

/// A configured peer.
#[derive(Clone, Debug, PartialEq)]
pub struct PeerConfig {
    /// Its address.
    pub address: IpAddr,
    /// The TCP port to connect to.
    pub port: u16,
    /// Its AS.
    pub asn: Asn,
    /// Wait for its connections, never connect.
    pub passive: bool,
    /// It is a client of this route reflector (RFC 4456).
    pub client: bool,
    /// Families offered to it.
    pub families: Vec<Family>,
    /// Hold time proposed, in seconds.
    pub hold_time: u16,
    /// The longest time between two attempts to connect; the first ones come sooner.
    pub connect_retry: Duration,
    /// How many routes it may announce.
    pub max_prefixes: MaxPrefixes,
    /// Several paths of a route from it and to it (RFC 7911).
    pub add_paths: AddPaths,
    /// What is taken from it, and what it is told.
    pub policy: Policy,
}

impl PeerConfig {
    /// The usual time for [`Self::connect_retry`].
    pub const CONNECT_RETRY: Duration = Duration::from_secs(30);

    /// A peer with usual values: connected to on port 179, no client of ours.
    #[must_use]
    pub fn new(address: IpAddr, asn: Asn) -> Self {
        Self {
            address,
            port: 179,
            asn,
            passive: false,
            client: false,
            families: SpeakerConfig::FAMILIES.to_vec(),
            hold_time: SpeakerConfig::HOLD_TIME,
            connect_retry: Self::CONNECT_RETRY,
            max_prefixes: MaxPrefixes::default(),
            add_paths: AddPaths::default(),
            policy: Policy::default(),
        }
    }
}

fn contains(network: IpAddr, length: u8, address: IpAddr) -> bool {
    let length = u32::from(length);
    match (network, address) {
        (IpAddr::V4(network), IpAddr::V4(address)) => {
            let differing = network.to_bits() ^ address.to_bits();
            differing.leading_zeros() >= length.min(u32::BITS)
        }
        (IpAddr::V6(network), IpAddr::V6(address)) => {
            let differing = network.to_bits() ^ address.to_bits();
            differing.leading_zeros() >= length.min(u128::BITS)
        }
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::contains;

    #[test]
    fn prefixes_contain_their_addresses() {
        for (network, length, address, expected) in [
            ("10.0.0.0", 24, "10.0.0.255", true),
            ("10.0.0.0", 24, "10.0.1.0", false),
            ("10.0.0.1", 32, "10.0.0.1", true),
            ("10.0.0.1", 32, "10.0.0.2", false),
            ("0.0.0.0", 0, "192.0.2.1", true),
            ("0.0.0.0", 0, "2001:db8::1", false),
            ("2001:db8::", 32, "2001:db8:ffff::1", true),
            ("2001:db8::", 32, "2001:db9::1", false),
            ("::", 0, "2001:db9::1", true),
        ] {
            let (network, address) = (network.parse().unwrap(), address.parse().unwrap());
            assert_eq!(contains(network, length, address), expected, "{address} in {network}/{length}");
        }
    }
}
