//! Addresses and prefixes as the maps hold them.

use std::net::{IpAddr, Ipv6Addr};

use bagpipe_bgp::types::IpPrefix;
use bagpipe_common::{
    self as abi, Address, EndpointKey, NeighborKey, ROUTE_KEY_BITS, RouteKey, RoutePrefix, TunnelKey,
};

use super::entry::Key;
use crate::fib::VpnId;

/// Bits before an IPv4 address that is written as an IPv6 address.
const MAPPED_BITS: u8 = 96;

/// The sixteen octets of an address as the maps hold it.
#[must_use]
pub(crate) fn address_of(ip: IpAddr) -> Address {
    match ip {
        IpAddr::V4(ip) => abi::mapped(ip.octets()),
        IpAddr::V6(ip) => ip.octets(),
    }
}

/// The address that sixteen octets of a map stand for.
#[must_use]
pub(crate) fn ip_of(address: &Address) -> IpAddr {
    Ipv6Addr::from(*address).to_canonical()
}

/// The key of a route: a host is in a map of its own.
#[must_use]
pub(crate) fn route_key(vpn: VpnId, prefix: IpPrefix) -> Key {
    let address = address_of(prefix.address());
    if prefix.is_host() {
        return Key::Host(NeighborKey { address, vpn, zero: 0 });
    }
    let (family, before) = if prefix.address().is_ipv4() { (4, MAPPED_BITS) } else { (6, 0) };
    Key::Route(RouteKey {
        prefix_length: ROUTE_KEY_BITS + u32::from(before + prefix.length()),
        prefix: RoutePrefix { vpn: vpn.to_be_bytes(), family: [0, family], address },
    })
}

/// The instance and the prefix of a route's key; `None` if that is no prefix of its family.
#[must_use]
pub(crate) fn prefix_of(key: &RouteKey) -> Option<(VpnId, IpPrefix)> {
    let RoutePrefix { vpn, family, address } = key.prefix;
    let length = u8::try_from(key.prefix_length.checked_sub(ROUTE_KEY_BITS)?).ok()?;
    let prefix = match (family, Ipv6Addr::from(address)) {
        ([0, 4], ip) => IpPrefix::new(ip.to_ipv4_mapped()?.into(), length.checked_sub(MAPPED_BITS)?)?,
        ([0, 6], ip) => IpPrefix::new(ip.into(), length)?,
        _ => return None,
    };
    Some((u16::from_be_bytes(vpn), prefix))
}

/// The prefix of a host's key.
#[must_use]
pub(crate) fn host_of(key: &NeighborKey) -> IpPrefix {
    IpPrefix::host(ip_of(&key.address))
}

pub(crate) fn tunnel_key(remote: IpAddr, vni: u32) -> Key {
    Key::Tunnel(TunnelKey { remote: address_of(remote), vni })
}

pub(crate) fn endpoint_key(vpn: VpnId, remote: IpAddr) -> Key {
    Key::Endpoint(EndpointKey { remote: address_of(remote), vpn, zero: 0 })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prefixes_come_back_from_their_keys() {
        for text in
            ["0.0.0.0/0", "10.1.0.0/16", "::/0", "::/96", "::ffff:0:0/96", "2001:db8::/32", "128.0.0.0/1"]
        {
            let prefix: IpPrefix = text.parse().unwrap();
            let Key::Route(key) = route_key(258, prefix) else { panic!("{text} is no host") };
            assert_eq!(prefix_of(&key), Some((258, prefix)));
        }
        for text in ["10.1.0.1/32", "2001:db8::1/128"] {
            let prefix: IpPrefix = text.parse().unwrap();
            let Key::Host(key) = route_key(258, prefix) else { panic!("{text} is a host") };
            assert_eq!((key.vpn, host_of(&key)), (258, prefix));
        }
    }

    #[test]
    fn the_families_have_nothing_in_common() {
        let key = |text: &str| match route_key(1, text.parse().unwrap()) {
            Key::Route(key) => key.prefix.family,
            _ => panic!("no host"),
        };
        assert_ne!(key("0.0.0.0/0"), key("::/0"));
    }
}
