//! Which octets of an encoded NLRI tell one route from another.
//!
//! Routes are held as they are encoded. The label fields, and in MAC/IP and IP prefix routes the Ethernet segment
//! and the gateway, say what a route leads to, not which route it is: an announcement that differs in them
//! replaces the one before (RFC 7432 §7, RFC 9136 §3.1).

use std::hash::{Hash, Hasher};

use bytes::Bytes;

use crate::types::Family;
use crate::wire::{Nlri, NlriBlock, vpn};

const ETHERNET_AUTO_DISCOVERY: u8 = 1;
const MAC_IP: u8 = 2;
const IP_PREFIX: u8 = 5;

/// The key of an encoded NLRI: what of it is compared and hashed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Key<'a> {
    /// The E-VPN route type; in the IP VPN families the prefix length; zero in others.
    kind: u8,
    head: &'a [u8],
    tail: &'a [u8],
}

impl<'a> Key<'a> {
    pub(super) fn of(family: Family, encoded: &'a [u8]) -> Self {
        match encoded {
            [kind, _length, value @ ..] if family == Family::EVPN => {
                let (head, tail) = evpn_key(*kind, value).unwrap_or((value, &[]));
                Self { kind: *kind, head, tail }
            }
            // RFC 4364 §4.3.4: RD and prefix.
            _ if matches!(family, Family::VPNV4 | Family::VPNV6) => {
                let (kind, head) = vpn::key(encoded).unwrap_or((0, encoded));
                Self { kind, head, tail: &[] }
            }
            _ => Self { kind: 0, head: encoded, tail: &[] },
        }
    }
}

/// Without the lengths of the parts, which the derived form would add to each: they follow from what is in them.
impl Hash for Key<'_> {
    fn hash<H: Hasher>(&self, state: &mut H) {
        state.write_u8(self.kind);
        state.write(self.head);
        state.write(self.tail);
    }
}

/// The key of an E-VPN route whose fields are not all part of it; `None` if they are.
fn evpn_key(kind: u8, value: &[u8]) -> Option<(&[u8], &[u8])> {
    let distinguisher = value.get(..8)?;
    match kind {
        // RFC 7432 §7.1: RD, Ethernet segment and tag.
        ETHERNET_AUTO_DISCOVERY => Some((value.get(..22)?, &[])),
        // RFC 7432 §7.2: RD, tag, MAC address and IP address with their lengths.
        MAC_IP => {
            let address_octets = usize::from(*value.get(29)?) / 8;
            Some((distinguisher, value.get(18..30 + address_octets)?))
        }
        // RFC 9136 §3.1: RD, tag, prefix length and prefix; the length of the NLRI tells IPv4 from IPv6.
        IP_PREFIX => {
            let prefix_octets = if value.len() == 34 { 4 } else { 16 };
            Some((distinguisher, value.get(18..23 + prefix_octets)?))
        }
        _ => None,
    }
}

/// Whether MAC Mobility decides between paths of this route (RFC 7432 §15).
pub(super) fn is_mobile(family: Family, encoded: &[u8]) -> bool {
    family == Family::EVPN && encoded.first() == Some(&MAC_IP)
}

/// The route, typed.
pub(super) fn decode(family: Family, encoded: &[u8]) -> Option<Nlri> {
    NlriBlock { family, path_ids: false, bytes: Bytes::copy_from_slice(encoded) }.iter().next()?.ok()
}

#[cfg(test)]
mod tests {
    use bytes::BytesMut;

    use super::*;
    use crate::types::{Label, RouteDistinguisher};
    use crate::wire::{LabelStack, VpnRoute};

    fn mac_ip(esi: u8, mac: u8, ip: &[u8], label: u8) -> Vec<u8> {
        let mut value = vec![0, 1, 10, 0, 0, 1, 0, 7];
        value.extend([esi; 10]);
        value.extend([0, 0, 0, 0, 48, 2, 0, 0, 0, 0, mac, u8::try_from(ip.len() * 8).unwrap()]);
        value.extend(ip);
        value.extend([0, 0, label]);
        [vec![2, u8::try_from(value.len()).unwrap()], value].concat()
    }

    #[test]
    fn segment_and_label_are_not_part_of_the_key_of_a_mac_route() {
        let route = mac_ip(0, 1, &[192, 0, 2, 1], 9);
        let key = Key::of(Family::EVPN, &route);
        assert_eq!(key, Key::of(Family::EVPN, &mac_ip(5, 1, &[192, 0, 2, 1], 8)));
        assert_ne!(key, Key::of(Family::EVPN, &mac_ip(0, 2, &[192, 0, 2, 1], 9)));
        assert_ne!(key, Key::of(Family::EVPN, &mac_ip(0, 1, &[192, 0, 2, 2], 9)));
        assert_ne!(key, Key::of(Family::EVPN, &mac_ip(0, 1, &[], 9)));
    }

    #[test]
    fn a_second_label_does_not_make_another_mac_route() {
        let mut route = mac_ip(0, 1, &[192, 0, 2, 1], 9);
        route.extend([0, 0, 77]);
        route[1] += 3;
        assert_eq!(Key::of(Family::EVPN, &route), Key::of(Family::EVPN, &mac_ip(0, 1, &[192, 0, 2, 1], 9)));
    }

    #[test]
    fn segment_gateway_and_label_are_not_part_of_the_key_of_a_prefix_route() {
        for octets in [4, 16] {
            let route = |esi, prefix, gateway, label| {
                let value = [
                    vec![0, 1, 10, 0, 0, 1, 0, 7],
                    vec![esi; 10],
                    vec![0, 0, 0, 0, 24],
                    vec![prefix; octets],
                    vec![gateway; octets],
                    vec![0, 0, label],
                ]
                .concat();
                [vec![5, u8::try_from(value.len()).unwrap()], value].concat()
            };
            let first = route(0, 1, 0, 1);
            let key = Key::of(Family::EVPN, &first);
            assert_eq!(key, Key::of(Family::EVPN, &route(1, 1, 2, 3)));
            assert_ne!(key, Key::of(Family::EVPN, &route(0, 2, 0, 1)));
        }
    }

    #[test]
    fn labels_do_not_make_another_vpn_route() {
        let route = |family, labels: &[u32], rd, prefix: &str| {
            let labels: Vec<_> = labels.iter().map(|label| Label::new(*label).unwrap()).collect();
            let route = VpnRoute {
                labels: LabelStack::new(&labels).unwrap(),
                rd: RouteDistinguisher([0, 1, 10, 0, 0, 1, 0, rd]),
                prefix: prefix.parse().unwrap(),
            };
            assert_eq!(route.family(), family);
            let mut encoded = BytesMut::new();
            route.encode(&mut encoded);
            encoded
        };
        for (family, prefix, others) in [
            (Family::VPNV4, "192.0.2.0/24", ["192.0.3.0/24", "192.0.2.0/23", "192.0.2.0/25", "192.0.2.0/32"]),
            (Family::VPNV4, "0.0.0.0/0", ["0.0.0.0/1", "0.0.0.0/8", "0.0.0.0/24", "128.0.0.0/1"]),
            (Family::VPNV6, "2001:db8::/64", ["2001:db8::/63", "2001:db8::/65", "2001:db8::/128", "::/64"]),
        ] {
            let first = route(family, &[16], 7, prefix);
            let key = Key::of(family, &first);
            for labels in [&[][..], &[17], &[16, 17]] {
                assert_eq!(key, Key::of(family, &route(family, labels, 7, prefix)), "{prefix} {labels:?}");
            }
            assert_ne!(key, Key::of(family, &route(family, &[16], 8, prefix)));
            for other in others {
                assert_ne!(key, Key::of(family, &route(family, &[16], 7, other)), "{prefix} {other}");
            }
        }
    }

    #[test]
    fn what_is_too_short_for_its_type_is_compared_whole() {
        for kind in 0..=6 {
            for length in 0..40 {
                let mut route = vec![kind, length];
                route.extend((0..length).map(|octet| octet | 0x80));
                let _ = Key::of(Family::EVPN, &route);
                assert_ne!(
                    Key::of(Family::EVPN, &route),
                    Key::of(Family::EVPN, &[kind, 1, 0]),
                    "{kind} {length}"
                );
            }
        }
    }
}
