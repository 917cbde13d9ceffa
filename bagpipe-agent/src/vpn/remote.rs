//! Routes of other nodes: what a route says for forwarding, and the routes that an instance has imported.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use bagpipe_bgp::types::{MacAddr, RouteDistinguisher, Vni};
use bagpipe_bgp::wire::community::TunnelType;
use bagpipe_bgp::wire::pmsi::PmsiTunnelKind;
use bagpipe_bgp::wire::{Attributes, EvpnRoute, ExtendedCommunity, Nlri};

use super::mobility::Claim;

/// The key of a route that may be used for forwarding (RFC 7432 §7.2 and §7.3, with the Ethernet tag zero).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum RouteKey {
    /// Type 2.
    MacIp(RouteDistinguisher, MacAddr, Option<IpAddr>),
    /// Type 3.
    Multicast(RouteDistinguisher, IpAddr),
}

impl RouteKey {
    /// The key of a route, if it is of a kind that may be used.
    #[must_use]
    pub const fn of(nlri: &Nlri) -> Option<Self> {
        match nlri {
            Nlri::Evpn(EvpnRoute::MacIp { rd, tag: 0, mac, ip, .. }) => Some(Self::MacIp(*rd, *mac, *ip)),
            Nlri::Evpn(EvpnRoute::InclusiveMulticast { rd, tag: 0, originator }) => {
                Some(Self::Multicast(*rd, *originator))
            }
            _ => None,
        }
    }
}

/// What a route of another node says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RemoteRoute {
    /// The tunnel endpoint.
    pub endpoint: IpAddr,
    /// The VNI that it receives with.
    pub vni: Vni,
    /// The MAC address never moves (RFC 7432 §15.2).
    pub sticky: bool,
    /// Sequence number of MAC mobility (RFC 7432 §7.7).
    pub sequence: u32,
}

impl RemoteRoute {
    pub(crate) const fn claim(&self) -> Claim {
        Claim { sticky: self.sticky, sequence: self.sequence, endpoint: Reverse(self.endpoint) }
    }
}

/// Why a route is not used for forwarding.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Ignored {
    /// Not an E-VPN route.
    #[error("not an E-VPN route")]
    Family,
    /// Types 1, 4, 5 and those unknown.
    #[error("E-VPN routes of this type are not used for forwarding")]
    RouteType,
    /// VLAN-aware bundles (RFC 7432 §6.3) are not supported.
    #[error("the Ethernet tag is not zero")]
    EthernetTag,
    /// Without VXLAN in an Encapsulation community, the label is an MPLS label (RFC 8365 §5.1.3).
    #[error("no Encapsulation community with VXLAN")]
    Encapsulation,
    /// Nowhere to send to.
    #[error("the tunnel endpoint is not a unicast address")]
    Endpoint,
    /// A route of this node that came back.
    #[error("the tunnel endpoint is this node")]
    Own,
    /// A type 3 route without ingress replication in its PMSI_TUNNEL (RFC 7432 §11.2).
    #[error("no PMSI tunnel for ingress replication")]
    Pmsi,
    /// A MAC address that no interface has.
    #[error("a group or all-zero MAC address")]
    Mac,
    /// An IP address that no interface has.
    #[error("an unspecified, multicast or IPv4-mapped IP address")]
    Ip,
}

/// What a route says for forwarding on a node with the tunnel endpoint `own`.
///
/// # Errors
/// Why it is not used.
pub fn classify(
    nlri: &Nlri,
    attributes: &Attributes,
    own: IpAddr,
) -> Result<(RouteKey, RemoteRoute), Ignored> {
    let Nlri::Evpn(route) = nlri else { return Err(Ignored::Family) };
    let (tag, label, endpoint) = match route {
        EvpnRoute::MacIp { tag, mac, ip, label, .. } => {
            if mac.is_multicast() || mac.is_zero() {
                return Err(Ignored::Mac);
            }
            if ip.is_some_and(|ip| ip.is_unspecified() || ip.is_multicast() || ip != ip.to_canonical()) {
                return Err(Ignored::Ip);
            }
            (*tag, *label, attributes.next_hop.map(|next_hop| next_hop.address).ok_or(Ignored::Endpoint)?)
        }
        EvpnRoute::InclusiveMulticast { tag, .. } => match &attributes.pmsi_tunnel {
            Some(pmsi) => match pmsi.tunnel {
                PmsiTunnelKind::IngressReplication(endpoint) => (*tag, pmsi.label, endpoint),
                PmsiTunnelKind::Other(..) => return Err(Ignored::Pmsi),
            },
            None => return Err(Ignored::Pmsi),
        },
        _ => return Err(Ignored::RouteType),
    };
    let key = RouteKey::of(nlri).filter(|_| tag == 0).ok_or(Ignored::EthernetTag)?;
    let mut communities = attributes.extended_communities.iter();
    if !communities.any(|community| community.as_encapsulation() == Some(TunnelType::VXLAN)) {
        return Err(Ignored::Encapsulation);
    }
    // An IPv4 address in the form of IPv6 has the same key in the maps: it must not have two names before them.
    let endpoint = endpoint.to_canonical();
    if endpoint.is_unspecified() || endpoint.is_multicast() {
        return Err(Ignored::Endpoint);
    }
    if endpoint == own {
        return Err(Ignored::Own);
    }
    let mobility = attributes.extended_communities.iter().find_map(ExtendedCommunity::as_mac_mobility);
    let (sticky, sequence) = mobility.map_or((false, 0), |mobility| (mobility.sticky, mobility.sequence));
    Ok((key, RemoteRoute { endpoint, vni: label.vni(), sticky, sequence }))
}

/// The routes that an instance has imported, ordered by who is preferred. Other nodes choose the keys: in trees
/// they cannot choose them so that all fall together, as in a hash table that is not seeded.
#[derive(Debug, Default)]
pub(crate) struct Remote {
    routes: BTreeMap<RouteKey, RemoteRoute>,
    by_mac: BTreeMap<MacAddr, BTreeSet<Candidate>>,
    by_ip: BTreeMap<IpAddr, BTreeSet<Candidate>>,
    /// How many routes want a copy of flooded frames, and how many come from an endpoint.
    flooded: BTreeMap<(IpAddr, Vni), usize>,
    endpoints: BTreeMap<IpAddr, usize>,
}

/// A type 2 route in the order of preference, the best last. Equal claims of one endpoint are ordered too, so
/// that the choice never depends on the order in which routes came.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Candidate {
    pub(crate) claim: Claim,
    vni: Reverse<Vni>,
    mac: Reverse<MacAddr>,
    key: RouteKey,
}

impl Candidate {
    const fn new(key: RouteKey, mac: MacAddr, route: &RemoteRoute) -> Self {
        Self { claim: route.claim(), vni: Reverse(route.vni), mac: Reverse(mac), key }
    }

    pub(crate) const fn endpoint(&self) -> IpAddr {
        self.claim.endpoint.0
    }

    pub(crate) const fn vni(&self) -> Vni {
        self.vni.0
    }

    pub(crate) const fn mac(&self) -> MacAddr {
        self.mac.0
    }

    const fn ip(&self) -> Option<IpAddr> {
        match self.key {
            RouteKey::MacIp(_, _, ip) => ip,
            RouteKey::Multicast(..) => None,
        }
    }
}

impl Remote {
    /// Adds, replaces or removes a route; gives back the one that was there.
    pub(crate) fn set(&mut self, key: RouteKey, route: Option<RemoteRoute>) -> Option<RemoteRoute> {
        let before = match route {
            Some(route) => self.routes.insert(key, route),
            None => self.routes.remove(&key),
        };
        if before != route {
            if let Some(before) = &before {
                self.unindex(key, before);
            }
            if let Some(route) = &route {
                self.index(key, route);
            }
        }
        before
    }

    fn index(&mut self, key: RouteKey, route: &RemoteRoute) {
        *self.endpoints.entry(route.endpoint).or_default() += 1;
        match key {
            RouteKey::MacIp(_, mac, ip) => {
                let candidate = Candidate::new(key, mac, route);
                self.by_mac.entry(mac).or_default().insert(candidate);
                if let Some(ip) = ip {
                    self.by_ip.entry(ip).or_default().insert(candidate);
                }
            }
            RouteKey::Multicast(..) => *self.flooded.entry((route.endpoint, route.vni)).or_default() += 1,
        }
    }

    fn unindex(&mut self, key: RouteKey, route: &RemoteRoute) {
        decrement(&mut self.endpoints, &route.endpoint);
        match key {
            RouteKey::MacIp(_, mac, ip) => {
                let candidate = Candidate::new(key, mac, route);
                remove(&mut self.by_mac, &mac, &candidate);
                if let Some(ip) = ip {
                    remove(&mut self.by_ip, &ip, &candidate);
                }
            }
            RouteKey::Multicast(..) => decrement(&mut self.flooded, &(route.endpoint, route.vni)),
        }
    }

    pub(crate) fn keys(&self) -> impl Iterator<Item = RouteKey> + '_ {
        self.routes.keys().copied()
    }

    pub(crate) fn len(&self) -> usize {
        self.routes.len()
    }

    /// The preferred route for a MAC address.
    pub(crate) fn best(&self, mac: &MacAddr) -> Option<&Candidate> {
        self.by_mac.get(mac)?.last()
    }

    /// The greatest sequence number that any route for the MAC address has.
    pub(crate) fn last_claim(&self, mac: &MacAddr) -> Option<Claim> {
        self.by_mac.get(mac)?.iter().map(|candidate| candidate.claim).max_by_key(|claim| claim.sequence)
    }

    /// The IP addresses that routes for a MAC address carry.
    pub(crate) fn ips_of(&self, mac: &MacAddr) -> BTreeSet<IpAddr> {
        self.by_mac.get(mac).into_iter().flatten().filter_map(Candidate::ip).collect()
    }

    /// The routes for an IP address, the preferred one first.
    pub(crate) fn of_ip(&self, ip: &IpAddr) -> impl Iterator<Item = &Candidate> {
        self.by_ip.get(ip).into_iter().flat_map(|candidates| candidates.iter().rev())
    }

    pub(crate) fn has_endpoint(&self, endpoint: &IpAddr) -> bool {
        self.endpoints.contains_key(endpoint)
    }

    pub(crate) fn floods_to(&self, endpoint: IpAddr, vni: Vni) -> bool {
        self.flooded.contains_key(&(endpoint, vni))
    }
}

fn decrement<K: Ord>(counts: &mut BTreeMap<K, usize>, key: &K) {
    if let Some(count) = counts.get_mut(key) {
        *count -= 1;
        if *count == 0 {
            counts.remove(key);
        }
    }
}

fn remove<K: Ord>(index: &mut BTreeMap<K, BTreeSet<Candidate>>, key: &K, candidate: &Candidate) {
    if let Some(candidates) = index.get_mut(key) {
        candidates.remove(candidate);
        if candidates.is_empty() {
            index.remove(key);
        }
    }
}
