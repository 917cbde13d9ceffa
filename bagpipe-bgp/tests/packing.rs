//! How UPDATEs are laid out, and what is said to speakers with two-octet AS numbers.

// The helpers here are outside the test functions for which these are allowed anyway.
#![allow(clippy::expect_used, clippy::indexing_slicing, clippy::panic, clippy::unwrap_used)]

mod support;

use bagpipe_bgp::types::{EthernetSegmentId, Family, Label, LabelField, MacAddr, RouteDistinguisher};
use bagpipe_bgp::wire::{
    AsPath, AsSegment, Attributes, Context, EvpnRoute, ExtendedCommunity, LabelStack, Nlri, RawAttribute,
    UpdateWriter, VpnRoute,
};
use bytes::BytesMut;
use support::{context, decode_update, routes};

fn route(number: u32) -> Nlri {
    let [a, b, c, d] = number.to_be_bytes();
    Nlri::Evpn(EvpnRoute::MacIp {
        rd: RouteDistinguisher::from_ipv4([10, 0, 0, 1].into(), 1),
        esi: EthernetSegmentId::ZERO,
        tag: 0,
        mac: MacAddr([2, 0, a, b, c, d]),
        ip: None,
        label: LabelField([0, 0, 10]),
        ip_label: None,
    })
}

fn attributes() -> Attributes {
    Attributes { next_hop: Some(std::net::IpAddr::from([10, 0, 0, 1]).into()), ..Attributes::default() }
}

/// Types and flags of the attributes of an UPDATE without other fields.
fn layout(bytes: &[u8]) -> Vec<(u8, u8)> {
    let mut rest = &bytes[23..];
    let mut found = Vec::new();
    while let [flags, kind, tail @ ..] = rest {
        let (header, length) = match flags & 0x10 {
            0 => (1, usize::from(tail[0])),
            _ => (2, usize::from(u16::from_be_bytes([tail[0], tail[1]]))),
        };
        found.push((*kind, *flags));
        rest = &tail[header + length..];
    }
    found
}

/// RFC 7606 §5.1, RFC 4271 §5: routes first, then ascending types.
#[test]
fn the_routes_come_first_and_the_rest_in_order() {
    let attributes = Attributes {
        med: Some(1),
        local_pref: Some(100),
        originator_id: Some([10, 0, 0, 9].into()),
        cluster_list: vec![[10, 0, 0, 8].into()],
        extended_communities: vec![ExtendedCommunity([0, 2, 0, 1, 0, 0, 0, 1]); 32],
        unknown: vec![
            RawAttribute { flags: 0xc0, kind: 23, value: vec![1].into() },
            RawAttribute { flags: 0xe0, kind: 200, value: vec![1].into() },
        ],
        large_communities: vec![[1, 2, 3]],
        ..attributes()
    };
    let mut writer = UpdateWriter::announce(&context(), Family::EVPN, &attributes);
    assert!(writer.push(&route(1)));
    let expected = [
        (14, 0x80),
        (1, 0x40),
        (2, 0x40),
        (4, 0x80),
        (5, 0x40),
        (9, 0x80),
        (10, 0x80),
        (16, 0xd0),
        (23, 0xe0),
        (32, 0xc0),
        (200, 0xe0),
    ];
    assert_eq!(layout(&writer.finish()), expected);
}

/// What belongs to one AS is not sent to another (RFC 4271 §5.1.5, RFC 4456 §8).
#[test]
fn an_external_peer_is_told_less() {
    let attributes = Attributes {
        local_pref: Some(100),
        originator_id: Some([10, 0, 0, 9].into()),
        cluster_list: vec![[10, 0, 0, 8].into()],
        ..attributes()
    };
    let context = Context { internal: false, ..context() };
    let mut writer = UpdateWriter::announce(&context, Family::EVPN, &attributes);
    assert!(writer.push(&route(1)));
    assert_eq!(layout(&writer.finish()), [(14, 0x80), (1, 0x40), (2, 0x40)]);
}

#[test]
fn the_length_is_extended_only_when_it_must_be() {
    let mut seen = [false; 2];
    for count in 1..12 {
        let mut writer = UpdateWriter::withdraw(&context(), Family::EVPN);
        let all: Vec<_> = (0..count).map(route).collect();
        assert!(all.iter().all(|nlri| writer.push(nlri)));
        let bytes = writer.finish();
        let extended = 3 + all.len() * 35 > 255;
        seen[usize::from(extended)] = true;
        assert_eq!(layout(&bytes), [(15, if extended { 0x90 } else { 0x80 })]);
        assert_eq!(routes(&decode_update(&bytes, &context()).withdrawn[0]), all);
    }
    assert_eq!(seen, [true; 2]);
}

#[test]
fn messages_are_filled_to_the_brim_and_no_further() {
    for max_length in [4096, 65_535] {
        let context = Context { max_length, ..context() };
        let mut writer = UpdateWriter::announce(&context, Family::EVPN, &attributes());
        let mut count = 0;
        while writer.push(&route(count)) {
            count += 1;
        }
        let bytes = writer.finish();
        assert!(bytes.len() <= max_length && bytes.len() + 35 > max_length);
        assert_eq!(decode_update(&bytes, &context).announced[0].iter().count(), count as usize);
    }
}

#[test]
fn attributes_that_leave_no_room_take_no_route() {
    let attributes = Attributes { communities: vec![1; 1100], ..attributes() };
    let mut writer = UpdateWriter::announce(&context(), Family::EVPN, &attributes);
    assert!(!writer.push(&route(1)));
    assert!(writer.is_empty());
    assert!(writer.finish().is_empty());
}

fn path(segments: &[AsSegment]) -> AsPath {
    AsPath(segments.to_vec())
}

/// What a four-octet speaker reads of an UPDATE with these attributes that came by way of a two-octet one.
fn through_old(attributes: &str) -> Attributes {
    let reach = "800e1c 0019 46 04 0a000001 00 0311 0001 0a000001 0001 00000000 20 0a000001";
    let digits: String = format!("{reach} 400101 00 {attributes}").split_whitespace().collect();
    let octet = |at: usize| u8::from_str_radix(&digits[at..at + 2], 16).expect("digits");
    let field: Vec<u8> = (0..digits.len()).step_by(2).map(octet).collect();
    let length = u8::try_from(field.len()).expect("short");
    let bytes = [&[0xff; 16][..], &[0, length + 23, 2, 0, 0, 0, length], &field].concat();
    let update = decode_update(&bytes, &Context { four_octet_as: false, ..context() });
    assert_eq!(update.errors, []);
    (*update.attributes).clone()
}

/// RFC 6793 §4.2.3, in whatever order the attributes come.
#[test]
fn as4_path_takes_the_place_of_the_tail() {
    use AsSegment::{Confederation, Sequence, Set};
    for (attributes, expected) in [
        // Two ASes in front of what the four-octet speaker had said.
        ("400208 0203 fc01 fc02 5ba0 c01106 0201 00010000", path(&[Sequence(vec![0xfc01, 0xfc02, 0x10000])])),
        ("c01106 0201 00010000 400208 0203 fc01 fc02 5ba0", path(&[Sequence(vec![0xfc01, 0xfc02, 0x10000])])),
        // Longer than AS_PATH: it is not used.
        ("400204 0201 fc01 c0110a 0202 00010000 00010001", path(&[Sequence(vec![0xfc01])])),
        // A set counts as one.
        (
            "40020a 0201 fc01 0102 5ba0 fc05 c0110a 0102 00010000 0000fc05",
            path(&[Sequence(vec![0xfc01]), Set(vec![0x10000, 0xfc05])]),
        ),
        // Confederation segments count as none; those in AS4_PATH are dropped.
        (
            "40020a 0301 fc09 0202 fc01 5ba0 c0110c 0301 00010009 0201 00010000",
            path(&[Confederation(3, vec![0xfc09]), Sequence(vec![0xfc01, 0x10000])]),
        ),
        ("40020a 0202 fc01 5ba0 0301 fc09 c01106 0201 00010000", path(&[Sequence(vec![0xfc01, 0x10000])])),
        // What stays in front may be several segments.
        (
            "400210 0201 fc01 0102 fc02 fc03 0202 fc04 5ba0 c01106 0201 00010000",
            path(&[Sequence(vec![0xfc01]), Set(vec![0xfc02, 0xfc03]), Sequence(vec![0xfc04, 0x10000])]),
        ),
        // AS_PATH is there, but empty.
        ("400200 c01106 0201 00010000", path(&[])),
    ] {
        assert_eq!(through_old(attributes).as_path, expected, "{attributes}");
    }
}

/// RFC 6793 §4.2.3: an AGGREGATOR that is no AS_TRANS is newer than both four-octet forms.
#[test]
fn as4_aggregator_counts_beside_as_trans_only() {
    let trans =
        through_old("400204 0201 5ba0 c01106 0201 00010000 c00706 5ba0 0a000001 c01208 00010000 0a000001");
    assert_eq!(trans.aggregator, Some((0x10000, [10, 0, 0, 1].into())));
    assert_eq!(trans.as_path, path(&[AsSegment::Sequence(vec![0x10000])]));

    let newer =
        through_old("400204 0201 5ba0 c01106 0201 00010000 c00706 fc01 0a000001 c01208 00010000 0a000001");
    assert_eq!(newer.aggregator, Some((0xfc01, [10, 0, 0, 1].into())));
    assert_eq!(newer.as_path, path(&[AsSegment::Sequence(vec![23_456])]));

    assert_eq!(through_old("400200 c01208 00010000 0a000001").aggregator, None);
}

/// RFC 8277 §2.4: the octets of a withdrawal, whether the route comes typed or encoded; RFC 4659 §3.2.1.2: an IPv4
/// next hop of a VPN-IPv6 route; RFC 8950 §3: an IPv6 next hop of a VPN-IPv4 route.
#[test]
fn vpn_routes_and_next_hops_have_the_form_of_their_family() {
    let route = |labels: &[u32], prefix: &str| {
        let labels: Vec<_> = labels.iter().map(|label| Label::new(*label).unwrap()).collect();
        let rd = RouteDistinguisher::from_ipv4([10, 0, 0, 1].into(), 7);
        VpnRoute { labels: LabelStack::new(&labels).unwrap(), rd, prefix: prefix.parse().unwrap() }
    };
    const RD: [u8; 8] = [0, 1, 10, 0, 0, 1, 0, 7];
    for labels in [&[][..], &[100], &[100, 101]] {
        let vpn = Nlri::Vpn(route(labels, "192.0.2.0/24"));
        let mut encoded = BytesMut::new();
        vpn.encode(&mut encoded);
        let mut typed = UpdateWriter::withdraw(&context(), Family::VPNV4);
        let mut raw = UpdateWriter::withdraw(&context(), Family::VPNV4);
        assert!(typed.push(&vpn) && raw.push_bytes(0, &encoded));
        let typed = typed.finish();
        assert_eq!(typed, raw.finish());
        assert_eq!(typed[29..], [&[112, 0x80, 0, 0][..], &RD, &[192, 0, 2]].concat());
    }

    let next_hop = |prefix: &str, address: &str| {
        let vpn = Nlri::Vpn(route(&[100], prefix));
        let address: std::net::IpAddr = address.parse().unwrap();
        let attributes = Attributes { next_hop: Some(address.into()), ..attributes() };
        let mut writer = UpdateWriter::announce(&context(), vpn.family(), &attributes);
        assert!(writer.push(&vpn));
        let bytes = writer.finish();
        assert_eq!(decode_update(&bytes, &context()).attributes.next_hop, attributes.next_hop);
        let length = usize::from(bytes[29]);
        bytes[30..30 + length].to_vec()
    };
    let v6 = [0x20, 1, 0xd, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1];
    let mapped = [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 10, 0, 0, 1];
    assert_eq!(next_hop("192.0.2.0/24", "10.0.0.1"), [&[0; 8][..], &[10, 0, 0, 1]].concat());
    assert_eq!(next_hop("192.0.2.0/24", "2001:db8::1"), [&[0; 8][..], &v6].concat());
    assert_eq!(next_hop("2001:db8::/32", "2001:db8::1"), [&[0; 8][..], &v6].concat());
    assert_eq!(next_hop("2001:db8::/32", "10.0.0.1"), [&[0; 8][..], &mapped].concat());
}

/// The length of an NLRI has one octet: what it cannot count is not sent as something else.
#[test]
fn a_stack_that_is_too_deep_for_its_prefix_is_left_out() {
    let labels = [Label::FIRST_UNRESERVED; 3];
    let route = VpnRoute {
        labels: LabelStack::new(&labels).unwrap(),
        rd: RouteDistinguisher::from_ipv4([10, 0, 0, 1].into(), 7),
        prefix: "2001:db8::1/128".parse().unwrap(),
    };
    let mut writer = UpdateWriter::announce(&context(), Family::VPNV6, &attributes());
    assert!(writer.push(&Nlri::Vpn(route)));
    let update = decode_update(&writer.finish(), &context());
    let expected = VpnRoute { labels: LabelStack::EMPTY, ..route };
    assert_eq!(routes(&update.announced[0]), [Nlri::Vpn(expected)]);
}
