//! Random values of every wire type, and the way to and from bytes.

// Each test program uses its own part of this module.
#![allow(dead_code, missing_docs, unreachable_pub)]

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::ops::RangeInclusive;
use std::sync::Arc;

use bagpipe_bgp::types::{
    EthernetSegmentId, Family, IpPrefix, IpVersion, Label, LabelField, MacAddr, RouteDistinguisher,
};
use bagpipe_bgp::wire::community::TunnelType;
use bagpipe_bgp::wire::flowspec::{
    Bitmask, BitmaskField, Comparison, Component, FlowPrefix, Numeric, NumericField,
};
use bagpipe_bgp::wire::pmsi::{PmsiTunnel, PmsiTunnelKind};
use bagpipe_bgp::wire::{
    AsPath, AsSegment, Attributes, Context, EvpnRoute, ExtendedCommunity, FlowSpecRoute, Frame, LabelStack,
    Message, MessageError, NextHop, Nlri, NlriBlock, Origin, RawAttribute, RouteTargetMembership, Update,
    UpdateWriter, VpnRoute, frame,
};
use bytes::{Bytes, BytesMut};
use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;

/// What a session between two bagpipe speakers agrees on.
pub fn context() -> Context {
    Context {
        four_octet_as: true,
        families: vec![
            Family::EVPN,
            Family::ROUTE_TARGET,
            Family::VPNV4,
            Family::VPNV6,
            Family::FLOWSPEC_VPNV4,
            Family::FLOWSPEC_VPNV6,
        ],
        extended_next_hop: true,
        ..Context::default()
    }
}

/// Decodes exactly one message.
pub fn decode(bytes: &[u8], context: &Context) -> Result<Message, MessageError> {
    let mut buffer = BytesMut::from(bytes);
    let frame = frame(&mut buffer, context.max_length)?.expect("a whole message");
    assert!(buffer.is_empty(), "one message");
    Message::decode(frame, context)
}

/// The next of several messages.
pub fn next(buffer: &mut BytesMut, context: &Context) -> Option<Frame> {
    frame(buffer, context.max_length).expect("a header that is right")
}

pub fn decode_update(bytes: &[u8], context: &Context) -> Update {
    match decode(bytes, context) {
        Ok(Message::Update(update)) => update,
        other => panic!("not an UPDATE: {other:?}"),
    }
}

pub fn routes(block: &NlriBlock) -> Vec<Nlri> {
    block.iter().collect::<Result<_, _>>().expect("only routes that are right")
}

/// One UPDATE with as many of the routes as fit, and those routes.
pub fn announce(context: &Context, attributes: &Attributes, routes: &[Nlri]) -> (Bytes, Vec<Nlri>) {
    let family = routes.first().map_or(Family::EVPN, Nlri::family);
    let mut writer = UpdateWriter::announce(context, family, attributes);
    let taken = routes.iter().take_while(|nlri| writer.push(nlri)).cloned().collect();
    (writer.finish(), taken)
}

pub fn update(attributes: Attributes, announced: &[Nlri]) -> Update {
    Update { attributes: Arc::new(attributes), announced: blocks(announced), ..Update::default() }
}

fn blocks(routes: &[Nlri]) -> Vec<NlriBlock> {
    let mut bytes = BytesMut::new();
    routes.iter().for_each(|nlri| nlri.encode(&mut bytes));
    match routes.first() {
        Some(first) => vec![NlriBlock { family: first.family(), path_ids: false, bytes: bytes.freeze() }],
        None => Vec::new(),
    }
}

pub fn ipv4() -> impl Strategy<Value = Ipv4Addr> {
    (1_u8..224, any::<[u8; 3]>()).prop_map(|(a, [b, c, d])| Ipv4Addr::new(a, b, c, d))
}

pub fn ipv6() -> impl Strategy<Value = Ipv6Addr> {
    any::<[u8; 14]>().prop_map(|tail| {
        let mut octets = [0x20; 16];
        octets[2..].copy_from_slice(&tail);
        Ipv6Addr::from(octets)
    })
}

pub fn address() -> impl Strategy<Value = IpAddr> {
    prop_oneof![ipv4().prop_map(IpAddr::V4), ipv6().prop_map(IpAddr::V6)]
}

fn rd() -> impl Strategy<Value = RouteDistinguisher> {
    (0_u8..3, any::<[u8; 6]>())
        .prop_map(|(kind, [a, b, c, d, e, f])| RouteDistinguisher([0, kind, a, b, c, d, e, f]))
}

fn esi() -> impl Strategy<Value = EthernetSegmentId> {
    prop_oneof![
        Just(EthernetSegmentId::ZERO),
        any::<[u8; 9]>().prop_map(|tail| {
            let mut octets = [0; 10];
            octets[1..].copy_from_slice(&tail);
            EthernetSegmentId(octets)
        })
    ]
}

fn label() -> impl Strategy<Value = LabelField> {
    any::<[u8; 3]>().prop_map(LabelField)
}

fn mac() -> impl Strategy<Value = MacAddr> {
    any::<[u8; 6]>().prop_map(MacAddr)
}

/// Routes of types 1 to 5.
pub fn known_route() -> impl Strategy<Value = EvpnRoute> {
    prop_oneof![
        (rd(), esi(), any::<u32>(), label())
            .prop_map(|(rd, esi, tag, label)| EvpnRoute::EthernetAutoDiscovery { rd, esi, tag, label }),
        (rd(), esi(), any::<u32>(), mac(), option::of(address()), label(), option::of(label())).prop_map(
            |(rd, esi, tag, mac, ip, label, ip_label)| EvpnRoute::MacIp {
                rd,
                esi,
                tag,
                mac,
                ip,
                label,
                ip_label
            }
        ),
        (rd(), any::<u32>(), address()).prop_map(|(rd, tag, originator)| EvpnRoute::InclusiveMulticast {
            rd,
            tag,
            originator
        }),
        (rd(), esi(), address()).prop_map(|(rd, esi, originator)| EvpnRoute::EthernetSegment {
            rd,
            esi,
            originator
        }),
        (rd(), any::<u32>(), prefix_with_gateway(), label()).prop_map(
            |(rd, tag, (prefix, gateway), label)| {
                EvpnRoute::IpPrefix { rd, esi: EthernetSegmentId::ZERO, tag, prefix, gateway, label }
            }
        ),
    ]
}

fn ipv4_prefix() -> impl Strategy<Value = IpPrefix> {
    (any::<u32>(), 0_u8..=32).prop_map(|(bits, length)| prefix(IpAddr::V4(bits.into()), length))
}

fn ipv6_prefix() -> impl Strategy<Value = IpPrefix> {
    (any::<u128>(), 0_u8..=128).prop_map(|(bits, length)| prefix(IpAddr::V6(bits.into()), length))
}

fn prefix(address: IpAddr, length: u8) -> IpPrefix {
    IpPrefix::new(address, length).expect("a length that the address has")
}

/// A prefix, and a gateway of the same IP version.
fn prefix_with_gateway() -> impl Strategy<Value = (IpPrefix, IpAddr)> {
    prop_oneof![
        (ipv4_prefix(), any::<u32>()).prop_map(|(prefix, gateway)| (prefix, IpAddr::V4(gateway.into()))),
        (ipv6_prefix(), any::<u128>()).prop_map(|(prefix, gateway)| (prefix, IpAddr::V6(gateway.into()))),
    ]
}

/// VPN routes of both families, with so many labels.
pub fn vpn_route(labels: RangeInclusive<usize>) -> impl Strategy<Value = VpnRoute> {
    let label = (0..=Label::MAX).prop_map(|number| Label::new(number).expect("20 bits"));
    let prefix = prop_oneof![ipv4_prefix(), ipv6_prefix()];
    (vec(label, labels), rd(), prefix).prop_map(|(labels, rd, prefix)| VpnRoute {
        labels: LabelStack::new(&labels).expect("few labels"),
        rd,
        prefix,
    })
}

/// VPN routes of one family, with so many labels each. Any prefix leaves room for two.
pub fn vpn_routes(labels: RangeInclusive<usize>) -> impl Strategy<Value = Vec<Nlri>> {
    (vec(vpn_route(labels), 1..80), any::<bool>()).prop_map(|(mut routes, ipv4)| {
        let family = if ipv4 { Family::VPNV4 } else { Family::VPNV6 };
        if routes.iter().any(|route| route.family() == family) {
            routes.retain(|route| route.family() == family);
        } else {
            routes.truncate(1);
        }
        routes.into_iter().map(Nlri::Vpn).collect()
    })
}

fn numeric() -> impl Strategy<Value = Numeric> {
    let comparison = proptest::sample::select(vec![
        Comparison::NEVER,
        Comparison::EQUAL,
        Comparison::GREATER,
        Comparison::AT_LEAST,
        Comparison::LESS,
        Comparison::AT_MOST,
        Comparison::OTHER,
        Comparison::ALWAYS,
    ]);
    let value = prop_oneof![0_u64..256, 0_u64..65_536, 0_u64..1 << 32, any::<u64>()];
    (comparison, value).prop_map(|(comparison, value)| Numeric::new(comparison, value))
}

/// Terms, of which all but the first may be tied to the one before.
fn terms<T>(term: impl Strategy<Value = T>, and: impl Fn(&mut T) + Clone) -> impl Strategy<Value = Vec<T>>
where
    T: std::fmt::Debug,
{
    vec((term, any::<bool>()), 1..5).prop_map(move |terms| {
        let tied = |(position, (mut term, tied)): (usize, (T, bool))| {
            if tied && position > 0 {
                and(&mut term);
            }
            term
        };
        terms.into_iter().enumerate().map(tied).collect()
    })
}

fn component(version: IpVersion) -> impl Strategy<Value = Component> {
    let prefix = move || {
        let prefix = match version {
            IpVersion::V4 => ipv4_prefix().boxed(),
            IpVersion::V6 => ipv6_prefix().boxed(),
        };
        (prefix, any::<u8>()).prop_map(|(prefix, offset)| {
            FlowPrefix::new(prefix, offset).or(FlowPrefix::new(prefix, 0)).expect("no offset is always right")
        })
    };
    let mut fields = vec![
        NumericField::Protocol,
        NumericField::Port,
        NumericField::DestinationPort,
        NumericField::SourcePort,
        NumericField::IcmpType,
        NumericField::IcmpCode,
        NumericField::PacketLength,
    ];
    if version == IpVersion::V6 {
        fields.push(NumericField::FlowLabel);
    }
    let numbers = (proptest::sample::select(fields), terms(numeric(), |term| term.and = true))
        .prop_map(|(field, terms)| Component::Numeric(field, terms));
    let dscp = (0_u64..64).prop_map(|dscp| Numeric::new(Comparison::EQUAL, dscp));
    let dscp = vec(dscp, 1..4).prop_map(|terms| Component::Numeric(NumericField::Dscp, terms));
    let bits = (proptest::sample::select(vec![BitmaskField::TcpFlags, BitmaskField::Fragment]), {
        let bits = (0_u64..256, any::<bool>(), any::<bool>()).prop_map(|(bits, all, not)| {
            let mut term = if all { Bitmask::all(bits) } else { Bitmask::any(bits) };
            term.not = not;
            term
        });
        terms(bits, |term| term.and = true)
    });
    prop_oneof![
        1 => prefix().prop_map(Component::Destination),
        1 => prefix().prop_map(Component::Source),
        3 => numbers,
        1 => dscp,
        1 => bits.prop_map(|(field, terms)| Component::Bitmask(field, terms)),
    ]
}

/// Flow specifications of one of the two families.
pub fn flow_routes() -> impl Strategy<Value = Vec<Nlri>> {
    let of = |version| {
        let route = (rd(), vec(component(version), 0..8)).prop_map(move |(rd, mut components)| {
            components.sort_by_key(Component::kind);
            components.dedup_by_key(|component| component.kind());
            Nlri::FlowSpec(FlowSpecRoute::new(rd, version, components).expect("components in order"))
        });
        vec(route, 1..40)
    };
    prop_oneof![of(IpVersion::V4), of(IpVersion::V6)]
}

pub fn membership() -> impl Strategy<Value = RouteTargetMembership> {
    prop_oneof![
        Just(RouteTargetMembership::DEFAULT),
        (32_u8..=96, any::<u32>(), any::<u64>()).prop_map(|(length, origin, target)| {
            let mask = u64::MAX.checked_shl(96 - u32::from(length)).unwrap_or(0);
            RouteTargetMembership { length, origin, target: (target & mask).to_be_bytes() }
        })
    ]
}

/// Routes of one family.
pub fn nlri_list() -> impl Strategy<Value = Vec<Nlri>> {
    let unknown = (6_u8..=255, vec(any::<u8>(), 0..40))
        .prop_map(|(route_type, value)| EvpnRoute::Unknown { route_type, value: value.into() });
    prop_oneof![
        4 => vec(prop_oneof![9 => known_route(), 1 => unknown].prop_map(Nlri::Evpn), 1..80),
        1 => vec(membership().prop_map(Nlri::RouteTarget), 1..80),
        2 => vpn_routes(0..=2),
        1 => flow_routes(),
    ]
}

pub fn as_path() -> impl Strategy<Value = AsPath> {
    let asn = || prop_oneof![1_u32..=0xffff, 1_u32..];
    vec(
        prop_oneof![
            3 => vec(asn(), 1..6).prop_map(AsSegment::Sequence),
            1 => vec(asn(), 1..6).prop_map(AsSegment::Set),
        ],
        0..4,
    )
    .prop_map(|segments| {
        // Two sequences in a row would be one.
        let mut path: Vec<AsSegment> = Vec::new();
        for segment in segments {
            match (path.last_mut(), segment) {
                (Some(AsSegment::Sequence(head)), AsSegment::Sequence(more)) => head.extend(more),
                (_, segment) => path.push(segment),
            }
        }
        AsPath(path)
    })
}

fn pmsi() -> impl Strategy<Value = PmsiTunnel> {
    (any::<bool>(), label(), address()).prop_map(|(flag, label, endpoint)| PmsiTunnel {
        flags: flag.into(),
        label,
        tunnel: PmsiTunnelKind::IngressReplication(endpoint),
    })
}

pub fn extended_community() -> impl Strategy<Value = ExtendedCommunity> {
    let kinds = proptest::sample::select(vec![
        [0x00, 0x02],
        [0x01, 0x02],
        [0x02, 0x02],
        [0x00, 0x03],
        [0x01, 0x03],
        [0x06, 0x03],
    ]);
    let with_tail = (kinds, any::<[u8; 6]>())
        .prop_map(|([kind, sub], [a, b, c, d, e, f])| ExtendedCommunity([kind, sub, a, b, c, d, e, f]));
    let mobility = (any::<bool>(), any::<u32>()).prop_map(|(sticky, sequence)| {
        ExtendedCommunity::mac_mobility(bagpipe_bgp::wire::community::MacMobility { sticky, sequence })
    });
    let tunnel = proptest::sample::select(vec![
        TunnelType::VXLAN,
        TunnelType::MPLS,
        TunnelType::MPLS_IN_GRE,
        TunnelType::MPLS_IN_UDP,
    ]);
    prop_oneof![4 => with_tail, 1 => mobility, 1 => tunnel.prop_map(ExtendedCommunity::encapsulation)]
}

/// Those of segments and of flow specifications, in which others forget what is reserved.
fn particular_community() -> impl Strategy<Value = ExtendedCommunity> {
    let kinds =
        [(0x06, 1), (0x06, 2), (0x80, 6), (0x80, 7), (0x80, 8), (0x81, 8), (0x82, 8), (0x80, 9), (0x80, 12)];
    (proptest::sample::select(kinds.to_vec()), any::<[u8; 6]>())
        .prop_map(|((kind, sub), [a, b, c, d, e, f])| ExtendedCommunity([kind, sub, a, b, c, d, e, f]))
}

/// Attributes that every implementation of the RFCs reads alike.
pub fn common_attributes() -> impl Strategy<Value = Attributes> {
    let origin = prop_oneof![Just(Origin::Igp), Just(Origin::Egp), Just(Origin::Incomplete)];
    let first = (
        (origin, as_path(), address()),
        option::of(any::<u32>()),
        option::of(any::<u32>()),
        any::<bool>(),
        option::of((1_u32.., ipv4())),
        vec(any::<u32>(), 0..4),
    );
    let second = (
        option::of(ipv4()),
        vec(ipv4(), 0..4),
        vec(extended_community(), 0..8),
        vec(any::<[u32; 3]>(), 0..4),
        option::of(pmsi()),
    );
    (first, second).prop_map(|(first, second)| {
        let ((origin, as_path, next_hop), med, local_pref, atomic_aggregate, aggregator, communities) = first;
        let (originator_id, cluster_list, extended_communities, large_communities, pmsi_tunnel) = second;
        Attributes {
            origin,
            as_path,
            next_hop: Some(next_hop.into()),
            med,
            local_pref,
            atomic_aggregate,
            aggregator,
            communities,
            originator_id,
            cluster_list,
            extended_communities,
            large_communities,
            pmsi_tunnel,
            unknown: Vec::new(),
        }
    })
}

/// The above, and what is particular: unknown attributes, link-local next hops, values of extended length.
pub fn attributes() -> impl Strategy<Value = Attributes> {
    let unknown = option::of((prop_oneof![19_u8..=21, 23_u8..=31, 100_u8..=127], vec(any::<u8>(), 0..400)));
    let community = prop_oneof![4 => extended_community(), 1 => particular_community()];
    let more = (unknown, option::of(ipv6()), vec(community, 0..64));
    (common_attributes(), more).prop_map(|(mut attributes, (unknown, link_local, communities))| {
        attributes.extended_communities.extend(communities);
        let raw = |(kind, value): (u8, Vec<u8>)| RawAttribute { flags: 0xe0, kind, value: value.into() };
        attributes.unknown = unknown.map(raw).into_iter().collect();
        if let Some(NextHop { address: IpAddr::V6(_), link_local: field }) = &mut attributes.next_hop {
            *field = link_local;
        }
        attributes
    })
}
