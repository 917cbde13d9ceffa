//! The way across the underlay to each remote endpoint: route, outgoing interface, gateway and its MAC address,
//! as the kernel has them. Pure: what the kernel says goes in, outer headers come out.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use bagpipe_bgp::types::MacAddr;
use bagpipe_common::{Encap, encap_flags};

use super::address::address_of;
use super::links::Links;

/// Outer time to live or hop limit.
const TTL: u8 = 64;

/// A unicast route of the kernel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Route {
    /// Outgoing interface.
    pub ifindex: u32,
    /// Gateway, if the destination is not on the link.
    pub gateway: Option<IpAddr>,
    /// Path MTU that the kernel knows for the destination, in bytes.
    pub mtu: Option<u32>,
}

/// A neighbour of an underlay interface: the interface and the address.
pub(crate) type NeighborId = (u32, IpAddr);

/// What the kernel knows of a neighbour.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Neighbor {
    /// Its MAC address.
    pub(crate) mac: MacAddr,
    /// It was set by an administrator, or needs no resolution: the kernel must not be asked to resolve it.
    pub(crate) fixed: bool,
}

/// Why packets can't be sent to a remote endpoint, or that they can.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum State {
    /// The gateway's MAC address is known.
    Resolved,
    /// The kernel is asked for the gateway's MAC address, packet by packet.
    Unresolved,
    /// The kernel has no route, or the interface is down.
    NoRoute,
    /// The route leaves by an interface that is not configured as underlay.
    OutsideUnderlay,
    /// There is no local tunnel address of the same family.
    NoLocalAddress,
}

/// What is known of the underlay.
#[derive(Debug, Default)]
pub(crate) struct Underlay {
    locals: Vec<IpAddr>,
    interfaces: BTreeSet<String>,
    neighbors: BTreeMap<NeighborId, Neighbor>,
    paths: BTreeMap<IpAddr, Option<Route>>,
    by_neighbor: BTreeMap<NeighborId, BTreeSet<IpAddr>>,
    /// Remote endpoints whose route must be asked for.
    unrouted: BTreeSet<IpAddr>,
    /// Remote endpoints whose outer header may have changed.
    changed: BTreeSet<IpAddr>,
    /// Gateways that the kernel is to keep resolved (or no longer).
    keep: Vec<(NeighborId, bool)>,
}

impl Underlay {
    /// An underlay with these local tunnel addresses on these interfaces.
    #[must_use]
    pub(crate) fn new(locals: Vec<IpAddr>, interfaces: BTreeSet<String>) -> Self {
        Self { locals, interfaces, ..Self::default() }
    }

    /// Whether an interface is configured as underlay.
    #[must_use]
    pub(crate) fn has_interface(&self, name: &str) -> bool {
        self.interfaces.contains(name)
    }

    /// Begins to follow the way to a remote endpoint.
    pub(crate) fn follow(&mut self, remote: IpAddr) {
        self.paths.entry(remote).or_insert_with(|| {
            self.unrouted.insert(remote);
            None
        });
        self.changed.insert(remote);
    }

    /// Ends to follow the way to a remote endpoint.
    pub(crate) fn forget(&mut self, remote: IpAddr) {
        self.set_route(remote, None);
        self.paths.remove(&remote);
        self.unrouted.remove(&remote);
        self.changed.remove(&remote);
    }

    /// Routes in a prefix changed.
    pub(crate) fn routes_changed(&mut self, prefix: IpAddr, length: u8) {
        self.unrouted.extend(self.paths.keys().filter(|remote| contains(prefix, length, **remote)));
    }

    /// An interface came, changed or went: routes through it, and any that may now prefer it.
    pub(crate) fn link_changed(&mut self, ifindex: u32, underlay: bool) {
        let uses = |route: &Option<Route>| route.is_none_or(|route| route.ifindex == ifindex);
        for (remote, _) in self.paths.iter().filter(|(_, route)| underlay || uses(route)) {
            self.unrouted.insert(*remote);
            self.changed.insert(*remote);
        }
    }

    /// Everything may have changed.
    pub(crate) fn all_changed(&mut self) {
        self.neighbors.clear();
        self.unrouted.extend(self.paths.keys());
        self.changed.extend(self.paths.keys());
        // An interface that was recreated has lost its neighbours: they are asked for again.
        self.keep.extend(self.by_neighbor.keys().map(|neighbor| (*neighbor, true)));
    }

    /// The MAC address of a neighbour changed, or is not known any longer.
    pub(crate) fn neighbor(&mut self, id: NeighborId, neighbor: Option<Neighbor>) {
        let old = match neighbor {
            Some(neighbor) => self.neighbors.insert(id, neighbor),
            None => self.neighbors.remove(&id),
        };
        if old != neighbor
            && let Some(remotes) = self.by_neighbor.get(&id)
        {
            self.changed.extend(remotes);
            let unfixed = old.is_some_and(|old| old.fixed);
            if neighbor.is_none_or(|neighbor| unfixed && !neighbor.fixed) {
                self.keep.push((id, true));
            }
        }
    }

    /// Remote endpoints whose route is to be asked for.
    pub(crate) fn take_unrouted(&mut self) -> BTreeSet<IpAddr> {
        std::mem::take(&mut self.unrouted)
    }

    /// The kernel's answer for a remote endpoint.
    pub(crate) fn set_route(&mut self, remote: IpAddr, route: Option<Route>) {
        let Some(path) = self.paths.get_mut(&remote) else { return };
        let old = std::mem::replace(path, route);
        if old == route {
            return;
        }
        self.changed.insert(remote);
        let neighbor_of = |route: Route| (route.ifindex, route.gateway.unwrap_or(remote));
        let (before, after) = (old.map(neighbor_of), route.map(neighbor_of));
        if before == after {
            return;
        }
        if let Some(neighbor) = before
            && let Some(remotes) = self.by_neighbor.get_mut(&neighbor)
        {
            remotes.remove(&remote);
            if remotes.is_empty() {
                self.by_neighbor.remove(&neighbor);
                self.keep.push((neighbor, false));
            }
        }
        if let Some(neighbor) = after {
            let remotes = self.by_neighbor.entry(neighbor).or_default();
            if remotes.is_empty() {
                self.keep.push((neighbor, true));
            }
            remotes.insert(remote);
        }
    }

    /// Gateways that the kernel is to keep resolved from now on (`true`), or no longer.
    pub(crate) fn take_keep(&mut self) -> Vec<(NeighborId, bool)> {
        let mut keep = std::mem::take(&mut self.keep);
        keep.retain(|(id, _)| self.neighbors.get(id).is_none_or(|neighbor| !neighbor.fixed));
        keep
    }

    /// Remote endpoints whose outer header may have changed.
    pub(crate) fn take_changed(&mut self) -> BTreeSet<IpAddr> {
        std::mem::take(&mut self.changed)
    }

    /// The outer header toward a remote endpoint, if packets can be sent there.
    #[must_use]
    pub(crate) fn encap(&self, remote: IpAddr, links: &Links) -> Option<Encap> {
        self.path(remote, links).ok()
    }

    /// Whether packets can be sent to a remote endpoint.
    #[must_use]
    pub(crate) fn state(&self, remote: IpAddr, links: &Links) -> State {
        match self.path(remote, links) {
            Ok(encap) if encap.flags & encap_flags::RESOLVED != 0 => State::Resolved,
            Ok(_) => State::Unresolved,
            Err(state) => state,
        }
    }

    fn path(&self, remote: IpAddr, links: &Links) -> Result<Encap, State> {
        let local = self.locals.iter().find(|local| local.is_ipv4() == remote.is_ipv4());
        let local = local.ok_or(State::NoLocalAddress)?;
        let route = self.paths.get(&remote).copied().flatten().ok_or(State::NoRoute)?;
        let link = links.get(route.ifindex).filter(|link| link.up).ok_or(State::NoRoute)?;
        // Tenants' packets must not leave by, say, the management network while the underlay is away.
        if !self.interfaces.contains(&link.name) {
            return Err(State::OutsideUnderlay);
        }
        let source_mac = link.mac.ok_or(State::OutsideUnderlay)?;
        let gateway = route.gateway.unwrap_or(remote);
        let mac = self.neighbors.get(&(route.ifindex, gateway)).map(|neighbor| neighbor.mac);
        let resolved = if mac.is_some() { encap_flags::RESOLVED } else { 0 };
        let ipv6 = if remote.is_ipv6() { encap_flags::IPV6 } else { 0 };
        Ok(Encap {
            local: address_of(*local),
            remote: address_of(remote),
            gateway: address_of(gateway),
            ifindex: route.ifindex,
            mtu: route.mtu.map_or(link.mtu, |mtu| mtu.min(link.mtu)),
            destination_mac: mac.map_or([0; 6], |mac| mac.0),
            source_mac: source_mac.0,
            flags: resolved | ipv6,
            ttl: TTL,
            zero: 0,
        })
    }
}

fn contains(prefix: IpAddr, length: u8, address: IpAddr) -> bool {
    let (prefix, address, width) = match (prefix, address) {
        (IpAddr::V4(prefix), IpAddr::V4(address)) => (prefix.to_bits().into(), address.to_bits().into(), 32),
        (IpAddr::V6(prefix), IpAddr::V6(address)) => (prefix.to_bits(), address.to_bits(), 128),
        _ => return false,
    };
    let shift = u32::saturating_sub(width, length.into());
    // A shift by the whole width is the default route: everything is in it.
    u128::checked_shr(prefix, shift).unwrap_or(0) == u128::checked_shr(address, shift).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dataplane::links::Link;

    fn setup() -> (Underlay, Links, IpAddr, IpAddr) {
        let mut links = Links::default();
        for (index, name) in [(2, "eth0"), (3, "mgmt0")] {
            let mac = Some(MacAddr([2, 0, 0, 0, 0, 2]));
            links.set(Link { index, name: name.into(), mac, mtu: 1500, up: true, ..Link::default() });
        }
        let underlay = Underlay::new(vec!["10.0.0.1".parse().unwrap()], BTreeSet::from(["eth0".into()]));
        (underlay, links, "10.9.0.2".parse().unwrap(), "10.0.0.254".parse().unwrap())
    }

    #[test]
    fn the_header_follows_route_neighbour_and_mtu() {
        let (mut underlay, links, remote, gateway) = setup();
        underlay.follow(remote);
        assert_eq!(underlay.take_unrouted(), BTreeSet::from([remote]));
        assert_eq!(underlay.state(remote, &links), State::NoRoute);
        underlay.set_route(remote, Some(Route { ifindex: 2, gateway: Some(gateway), mtu: None }));
        assert_eq!(underlay.take_keep(), [((2, gateway), true)]);
        assert_eq!(underlay.state(remote, &links), State::Unresolved);
        underlay.take_changed();
        underlay.neighbor((2, gateway), Some(Neighbor { mac: MacAddr([6; 6]), fixed: false }));
        assert_eq!(underlay.take_changed(), BTreeSet::from([remote]));
        let encap = underlay.encap(remote, &links).unwrap();
        assert_eq!((encap.destination_mac, encap.mtu, encap.flags), ([6; 6], 1500, encap_flags::RESOLVED));
        underlay.set_route(remote, Some(Route { ifindex: 2, gateway: Some(gateway), mtu: Some(1400) }));
        assert_eq!(underlay.encap(remote, &links).unwrap().mtu, 1400);
        underlay.set_route(remote, Some(Route { ifindex: 3, gateway: None, mtu: None }));
        assert_eq!(underlay.state(remote, &links), State::OutsideUnderlay);
        assert_eq!(underlay.take_keep(), [((2, gateway), false), ((3, remote), true)]);
    }

    #[test]
    fn a_route_change_concerns_the_remotes_in_its_prefix() {
        let (mut underlay, _, remote, _) = setup();
        underlay.follow(remote);
        underlay.take_unrouted();
        underlay.routes_changed("10.8.0.0".parse().unwrap(), 16);
        underlay.routes_changed("::".parse().unwrap(), 0);
        assert_eq!(underlay.take_unrouted(), BTreeSet::new());
        for (prefix, length) in [("10.9.0.0", 16), ("0.0.0.0", 0), ("10.9.0.2", 32)] {
            underlay.routes_changed(prefix.parse().unwrap(), length);
            assert_eq!(underlay.take_unrouted(), BTreeSet::from([remote]), "{prefix}/{length}");
        }
    }
}
