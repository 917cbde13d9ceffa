//! What the kernel says: interfaces, neighbours, routes, addresses.

use std::net::IpAddr;

use bagpipe_bgp::types::MacAddr;

use super::message::{Message, attributes, u16_at, u32_at};
use crate::dataplane::links::Link;
use crate::dataplane::underlay::{Neighbor, NeighborId, Route};

/// A change that concerns the data plane.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Event {
    /// An interface came or changed.
    Link(Link),
    /// An interface went.
    LinkGone(u32),
    /// A neighbour is this, or not known.
    Neighbor(NeighborId, Option<Neighbor>),
    /// Routes in a prefix changed.
    Routes(IpAddr, u8),
}

/// The event that a message tells, if it concerns the data plane.
#[must_use]
pub(crate) fn event(message: &Message<'_>) -> Option<Event> {
    match message.kind {
        libc::RTM_NEWLINK => link(message).map(Event::Link),
        libc::RTM_DELLINK => link(message).map(|link| Event::LinkGone(link.index)),
        libc::RTM_NEWNEIGH => neighbor(message).map(|(id, mac)| Event::Neighbor(id, mac)),
        libc::RTM_DELNEIGH => neighbor(message).map(|(id, _)| Event::Neighbor(id, None)),
        libc::RTM_NEWROUTE | libc::RTM_DELROUTE => {
            let (prefix, length) = prefix(message)?;
            Some(Event::Routes(prefix, length))
        }
        _ => None,
    }
}

/// An interface (`struct ifinfomsg`).
#[must_use]
pub(crate) fn link(message: &Message<'_>) -> Option<Link> {
    let (fixed, rest) = message.split::<16>()?;
    // A bridge tells of its ports in the same messages, and "gone" means gone from the bridge.
    if i32::from(*fixed.first()?) != libc::AF_UNSPEC {
        return None;
    }
    let flags = u32_at(fixed, 8)?;
    let mut link = Link {
        index: u32_at(fixed, 4)?,
        up: flags & libc::IFF_UP.unsigned_abs() != 0,
        loopback: flags & libc::IFF_LOOPBACK.unsigned_abs() != 0,
        ..Link::default()
    };
    for (kind, value) in attributes(rest) {
        match kind {
            libc::IFLA_IFNAME => link.name = text(value),
            libc::IFLA_ADDRESS => link.mac = value.try_into().ok().map(MacAddr),
            libc::IFLA_MTU => link.mtu = u32_at(value, 0)?,
            libc::IFLA_MASTER => link.master = u32_at(value, 0),
            libc::IFLA_LINK_NETNSID => link.peer_elsewhere = true,
            libc::IFLA_LINKINFO => link_info(value, &mut link),
            _ => {}
        }
    }
    (link.index != 0 && !link.name.is_empty()).then_some(link)
}

const IFLA_INFO_KIND: u16 = 1;
const IFLA_INFO_DATA: u16 = 2;
const IFLA_VXLAN_PORT: u16 = 15;

fn link_info(info: &[u8], link: &mut Link) {
    let mut data: &[u8] = &[];
    for (kind, value) in attributes(info) {
        match kind {
            IFLA_INFO_KIND => link.kind = Some(text(value)),
            IFLA_INFO_DATA => data = value,
            _ => {}
        }
    }
    if link.kind.as_deref() == Some("vxlan") {
        let port = attributes(data).find(|(kind, _)| *kind == IFLA_VXLAN_PORT);
        link.vxlan_port = port.and_then(|(_, value)| u16_at(value, 0)).map(u16::from_be);
    }
}

/// An address of an interface (`struct ifaddrmsg`), unless it is good on its link or node only.
#[must_use]
pub(crate) fn address(message: &Message<'_>) -> Option<(u32, IpAddr)> {
    let (fixed, rest) = message.split::<8>()?;
    let [family, _, _, libc::RT_SCOPE_UNIVERSE, ..] = *fixed else { return None };
    let (mut local, mut peer) = (None, None);
    for (kind, value) in attributes(rest) {
        match kind {
            libc::IFA_LOCAL => local = ip(family, value),
            libc::IFA_ADDRESS => peer = ip(family, value),
            _ => {}
        }
    }
    // IPv6 has no IFA_LOCAL unless the address is one end of a point-to-point link.
    Some((u32_at(fixed, 4)?, local.or(peer)?))
}

/// A neighbour (`struct ndmsg`), with its MAC address if that is usable.
#[must_use]
pub(crate) fn neighbor(message: &Message<'_>) -> Option<(NeighborId, Option<Neighbor>)> {
    const FIXED: u16 = libc::NUD_PERMANENT | libc::NUD_NOARP;
    const USABLE: u16 = FIXED | libc::NUD_REACHABLE | libc::NUD_PROBE | libc::NUD_STALE | libc::NUD_DELAY;
    let (fixed, rest) = message.split::<12>()?;
    let (family, ifindex, state) = (*fixed.first()?, u32_at(fixed, 4)?, u16_at(fixed, 8)?);
    let (mut address, mut mac) = (None, None);
    for (kind, value) in attributes(rest) {
        match kind {
            libc::NDA_DST => address = ip(family, value),
            libc::NDA_LLADDR => mac = value.try_into().ok().map(MacAddr),
            _ => {}
        }
    }
    let neighbor = mac.map(|mac| Neighbor { mac, fixed: state & FIXED != 0 });
    Some(((ifindex, address?), neighbor.filter(|_| state & USABLE != 0)))
}

/// The answer to a question for a route (`struct rtmsg`), if that is a unicast route out of an interface.
#[must_use]
pub(crate) fn route(message: &Message<'_>) -> Option<Route> {
    const RTN_UNICAST: u8 = 1;
    const RTAX_MTU: u16 = 2;
    let (fixed, rest) = message.split::<12>()?;
    let [family, _, _, _, _, _, _, RTN_UNICAST, ..] = *fixed else { return None };
    let (mut ifindex, mut gateway, mut mtu) = (None, None, None);
    for (kind, value) in attributes(rest) {
        match kind {
            libc::RTA_OIF => ifindex = u32_at(value, 0),
            libc::RTA_GATEWAY => gateway = ip(family, value),
            libc::RTA_VIA => {
                let family = u16_at(value, 0).and_then(|family| u8::try_from(family).ok());
                gateway = ip(family?, value.get(2..)?);
            }
            libc::RTA_METRICS => {
                let metric = attributes(value).find(|(kind, _)| *kind == RTAX_MTU);
                mtu = metric.and_then(|(_, value)| u32_at(value, 0)).filter(|mtu| *mtu != 0);
            }
            _ => {}
        }
    }
    Some(Route { ifindex: ifindex?, gateway, mtu })
}

/// The destination prefix of a route.
fn prefix(message: &Message<'_>) -> Option<(IpAddr, u8)> {
    let (fixed, rest) = message.split::<12>()?;
    let [family, length, ..] = *fixed;
    let destination = attributes(rest).find(|(kind, _)| *kind == libc::RTA_DST);
    let prefix = match destination {
        Some((_, value)) => ip(family, value)?,
        None if i32::from(family) == libc::AF_INET => IpAddr::from([0; 4]),
        None if i32::from(family) == libc::AF_INET6 => IpAddr::from([0; 16]),
        None => return None,
    };
    Some((prefix, length))
}

fn ip(family: u8, octets: &[u8]) -> Option<IpAddr> {
    match i32::from(family) {
        libc::AF_INET => <[u8; 4]>::try_from(octets).ok().map(IpAddr::from),
        libc::AF_INET6 => <[u8; 16]>::try_from(octets).ok().map(IpAddr::from),
        _ => None,
    }
}

fn text(octets: &[u8]) -> String {
    let end = octets.iter().position(|octet| *octet == 0).unwrap_or(octets.len());
    String::from_utf8_lossy(octets.get(..end).unwrap_or_default()).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dataplane::netlink::message::{Builder, messages};
    use proptest::prelude::*;

    fn decode<T>(bytes: &[u8], with: impl Fn(&Message<'_>) -> Option<T>) -> Option<T> {
        with(&messages(bytes).next()?)
    }

    #[test]
    fn a_veth_whose_peer_is_elsewhere_is_recognised() {
        let mut fixed = [0; 16];
        fixed[4..8].copy_from_slice(&5_u32.to_ne_bytes());
        fixed[8..12].copy_from_slice(&1_u32.to_ne_bytes());
        let message = |family| {
            fixed[0] = family;
            Builder::new(libc::RTM_NEWLINK, 0, 0)
                .fixed(&fixed)
                .attribute(libc::IFLA_IFNAME, b"tap0\0")
                .attribute(libc::IFLA_ADDRESS, &[2, 0, 0, 0, 0, 1])
                .attribute(libc::IFLA_MTU, &1450_u32.to_ne_bytes())
                .attribute(libc::IFLA_LINK_NETNSID, &0_u32.to_ne_bytes())
                .nested(libc::IFLA_LINKINFO, |info| info.attribute(IFLA_INFO_KIND, b"veth\0"))
                .finish()
        };
        let mut message = message;
        let link = decode(&message(0), link).unwrap();
        assert_eq!((link.index, link.name.as_str(), link.mtu, link.up), (5, "tap0", 1450, true));
        assert!(link.redirects_to_peer());
        assert_eq!(decode(&message(7), super::link), None, "a message of a bridge");
    }

    #[test]
    fn only_addresses_that_reach_beyond_the_link_are_read() {
        let message = |family, scope, attribute, octets: &[u8]| {
            let fixed = [[family, 24, 0, scope].as_slice(), &3_u32.to_ne_bytes()].concat();
            Builder::new(libc::RTM_NEWADDR, 0, 0).fixed(&fixed).attribute(attribute, octets).finish()
        };
        let global = message(2, 0, libc::IFA_LOCAL, &[10, 0, 0, 1]);
        assert_eq!(decode(&global, address), Some((3, "10.0.0.1".parse().unwrap())));
        let six: std::net::Ipv6Addr = "2001:db8::1".parse().unwrap();
        let global = message(10, 0, libc::IFA_ADDRESS, &six.octets());
        assert_eq!(decode(&global, address), Some((3, six.into())));
        assert_eq!(decode(&message(2, 253, libc::IFA_LOCAL, &[169, 254, 0, 1]), address), None);
        assert_eq!(decode(&message(2, 0, libc::IFA_LABEL, b"eth0"), address), None);
    }

    #[test]
    fn a_route_through_a_gateway_of_the_other_family_is_read() {
        let via = [[10, 0].as_slice(), &[0xfe, 0x80, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1]].concat();
        let bytes = Builder::new(libc::RTM_NEWROUTE, 0, 0)
            .fixed(&[2, 32, 0, 0, 254, 3, 0, 1, 0, 0, 0, 0])
            .attribute(libc::RTA_OIF, &3_u32.to_ne_bytes())
            .attribute(libc::RTA_VIA, &via)
            .nested(libc::RTA_METRICS, |metrics| metrics.attribute(2, &1400_u32.to_ne_bytes()))
            .finish();
        let expected = Route { ifindex: 3, gateway: Some("fe80::1".parse().unwrap()), mtu: Some(1400) };
        assert_eq!(decode(&bytes, route), Some(expected));
        let local = [2, 32, 0, 0, 255, 2, 0, 2, 0, 0, 0, 0];
        assert_eq!(decode(&Builder::new(libc::RTM_NEWROUTE, 0, 0).fixed(&local).finish(), route), None);
    }

    proptest! {
        #[test]
        fn any_payload_is_decoded_without_panic(
            kind in 16..30_u16, payload in prop::collection::vec(any::<u8>(), 0..128)
        ) {
            let message = Message { kind, sequence: 0, payload: &payload };
            let _ = (event(&message), route(&message));
        }
    }
}
