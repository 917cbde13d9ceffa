//! Attachments of before a restart that no client has attached again since.
//!
//! A client of bagpipe-bgp attaches everything again when it sees a restart, and says nothing of what went meanwhile. So
//! what it has not attached again after a while is gone.

use std::collections::BTreeMap;
use std::net::IpAddr;

use bagpipe_bgp::types::MacAddr;

use super::address::InterfaceAddress;
use super::request::{Attach, Detach};
use super::store::{Snapshot, StoredMac};

/// What has not been attached again: by instance and MAC address the addresses, none for one that may use any; and whether
/// each is of an IP-VPN.
#[derive(Debug, Default)]
pub struct Stale(BTreeMap<(String, MacAddr), BTreeMap<Option<InterfaceAddress>, bool>>);

impl Stale {
    /// All that was stored.
    #[must_use]
    pub fn of(snapshot: &Snapshot) -> Self {
        let mut stale: BTreeMap<_, BTreeMap<_, _>> = BTreeMap::new();
        for vpn in &snapshot.vpns {
            let routed = vpn.router.is_some();
            let mut add = |mac, address| {
                stale.entry((vpn.name.clone(), mac)).or_default().insert(address, routed);
            };
            for StoredMac { mac, ips, prefixes, .. } in vpn.ports.iter().flat_map(|port| &port.macs) {
                for ip in ips {
                    add(*mac, Some(InterfaceAddress::host(*ip)));
                }
                for prefix in prefixes {
                    add(*mac, Some(prefix.address));
                }
                if ips.is_empty() && !routed {
                    add(*mac, None);
                }
            }
            for plug in vpn.router.iter().flat_map(|router| &router.plugs) {
                add(plug.mac, Some(plug.prefix.address));
            }
        }
        Self(stale)
    }

    /// This was attached again. Any address replaces all others, and the first other replaces any.
    pub fn confirm(&mut self, attach: &Attach) {
        let host = |ip: IpAddr| InterfaceAddress::host(ip);
        let address = attach.routed.as_ref().map(|routed| routed.address).or(attach.ip.map(host));
        let of_mac = (attach.vpn.clone(), attach.mac);
        let Some(known) = self.0.get_mut(&of_mac) else { return };
        known.retain(|known, _| address.is_some() && known.is_some() && *known != address);
        if known.is_empty() {
            self.0.remove(&of_mac);
        }
    }

    /// How many there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.values().map(BTreeMap::len).sum()
    }

    /// Whether all were attached again.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// What detaches the rest, which is forgotten.
    pub fn take(&mut self) -> Vec<Detach> {
        let rest = std::mem::take(&mut self.0).into_iter();
        let detach = |((vpn, mac), addresses): ((String, _), BTreeMap<_, _>)| {
            addresses.into_iter().map(move |(ip, routed)| Detach { vpn: vpn.clone(), mac, ip, routed })
        };
        rest.flat_map(detach).collect()
    }
}
