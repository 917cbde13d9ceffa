//! How far a packet may go by its addresses.

use crate::header::words;

/// How far packets from or to an address may go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scope {
    /// Over any router.
    Global,
    /// To the routers of its own link (RFC 4291 §2.5.6).
    Link,
    /// Nowhere: not an address of one host, or not one that is ever on a link (RFC 1812 §5.3.7).
    None,
}

/// The scope of an IPv4 address: "this network", loopback, multicast and what lies beyond go nowhere.
#[inline(always)]
#[must_use]
pub const fn ipv4(address: [u8; 4]) -> Scope {
    if matches!(address[0], 0 | 127 | 224..) { Scope::None } else { Scope::Global }
}

/// The scope of an IPv6 address. The first 64 bits are zero in the unspecified address, in the loopback address, and
/// in those that hold an IPv4 address for a host's own use (RFC 4291 §2.5): the routes of such an address are those of IPv4.
#[inline(always)]
#[must_use]
pub const fn ipv6(address: &[u8; 16]) -> Scope {
    match (words(address), address[0], address[1] & 0xc0) {
        ([0, 0, ..], ..) | (_, 0xff, _) => Scope::None,
        (_, 0xfe, 0x80) => Scope::Link,
        _ => Scope::Global,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scopes_of_ipv4() {
        for (address, scope) in [
            ([0, 0, 0, 0], Scope::None),
            ([127, 0, 0, 1], Scope::None),
            ([224, 0, 0, 1], Scope::None),
            ([255, 255, 255, 255], Scope::None),
            ([1, 1, 1, 1], Scope::Global),
            ([223, 255, 255, 255], Scope::Global),
            ([169, 254, 169, 254], Scope::Global),
        ] {
            assert_eq!(ipv4(address), scope, "{address:?}");
        }
    }

    #[test]
    fn scopes_of_ipv6() {
        for (address, scope) in [
            ("::", Scope::None),
            ("::1", Scope::None),
            ("::ffff:10.0.0.1", Scope::None),
            ("ff02::1", Scope::None),
            ("fe80::1", Scope::Link),
            ("febf::1", Scope::Link),
            ("fec0::1", Scope::Global),
            ("fd00::1", Scope::Global),
            ("64:ff9b::a00:1", Scope::Global),
        ] {
            let octets = address.parse::<core::net::Ipv6Addr>().expect("an address").octets();
            assert_eq!(ipv6(&octets), scope, "{address}");
        }
    }
}
