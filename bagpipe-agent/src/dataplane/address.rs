//! Addresses and prefixes as the maps hold them.

use std::net::{IpAddr, Ipv6Addr};

use bagpipe_bgp::types::IpPrefix;
use bagpipe_common::{self as abi, Address, NeighborKey, ROUTE_KEY_BITS, RouteKey, RoutePrefix};

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

/// The key of a prefix of an instance, which may be that of a host.
#[must_use]
pub(crate) fn route_key(vpn: VpnId, prefix: IpPrefix) -> RouteKey {
    let (family, before) = if prefix.address().is_ipv4() { (4, MAPPED_BITS) } else { (6, 0) };
    RouteKey {
        prefix_length: ROUTE_KEY_BITS + u32::from(before + prefix.length()),
        prefix: RoutePrefix {
            vpn: vpn.to_be_bytes(),
            family: [0, family],
            address: address_of(prefix.address()),
        },
    }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prefixes_come_back_from_their_keys() {
        let prefixes = ["0.0.0.0/0", "10.1.0.0/16", "::/0", "::/96", "2001:db8::/32", "128.0.0.0/1"];
        for text in prefixes.into_iter().chain(["::ffff:0:0/96", "10.1.0.1/32", "2001:db8::1/128"]) {
            let prefix: IpPrefix = text.parse().unwrap();
            assert_eq!(prefix_of(&route_key(258, prefix)), Some((258, prefix)));
        }
    }

    #[test]
    fn the_families_have_nothing_in_common() {
        let family = |text: &str| route_key(1, text.parse().unwrap()).prefix.family;
        assert_ne!(family("0.0.0.0/0"), family("::/0"));
    }
}
