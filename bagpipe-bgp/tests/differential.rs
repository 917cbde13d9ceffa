//! Two codecs of other authors read what we write, and we read what they write of it: all three have to agree.

// The helpers here are outside the test functions for which these are allowed anyway.
#![allow(clippy::expect_used, clippy::indexing_slicing, clippy::panic, clippy::unwrap_used)]

mod support;

use std::io::Write;

use bagpipe_bgp::types::Family;
use bagpipe_bgp::wire::{
    AsSegment, Attributes, Context, EvpnRoute, Nlri, PmsiTunnel, RouteTargetMembership, pmsi::PmsiTunnelKind,
};
use bytes::{BufMut, Bytes, BytesMut};
use netgauze_bgp_pkt::BgpMessage;
use netgauze_bgp_pkt::wire::deserializer::BgpParsingContext;
use netgauze_parse_utils::WritablePdu;
use netgauze_parse_utils::reader::SliceReader;
use netgauze_parse_utils::traits::ParseFromWithOneInput;
use proptest::collection::vec;
use proptest::prelude::*;
use rustbgpd_wire as other;
use support::{announce, common_attributes, decode_update, known_route, membership, routes};

/// Reads a message with netgauze-bgp-pkt and writes it again.
fn through_netgauze(bytes: &[u8]) -> Vec<u8> {
    let mut context = BgpParsingContext::asn2_default();
    context.set_asn4(true);
    let message = BgpMessage::parse(&mut SliceReader::new(bytes), &mut context).expect("netgauze reads it");
    let mut out = BytesMut::new().writer();
    message.write(&mut out).expect("netgauze writes it");
    out.flush().expect("memory");
    out.into_inner().to_vec()
}

/// Reads a message with rustbgpd-wire and writes it again.
fn through_rustbgpd(bytes: &[u8]) -> Vec<u8> {
    let mut bytes = Bytes::copy_from_slice(bytes);
    let Ok(other::Message::Update(update)) = other::decode_message(&mut bytes, 4096) else {
        panic!("rustbgpd reads it");
    };
    let parsed = update.parse(true, false, &[]).expect("rustbgpd reads the attributes");
    let mode = other::Ipv4UnicastMode::Body;
    let built = other::UpdateMessage::try_build(&[], &[], &parsed.attributes, true, false, mode)
        .expect("rustbgpd builds it");
    other::encode_message(&other::Message::Update(built)).expect("rustbgpd writes it").to_vec()
}

type Other = (&'static str, fn(&[u8]) -> Vec<u8>);
const NETGAUZE: Other = ("netgauze", through_netgauze);
const RUSTBGPD: Other = ("rustbgpd", through_rustbgpd);

fn agree(bytes: &[u8], context: &Context, others: &[Other]) {
    let ours = decode_update(bytes, context);
    assert_eq!(ours.errors, []);
    for (name, through) in others {
        let theirs = decode_update(&through(bytes), context);
        assert_eq!(theirs.errors, [], "{name}");
        assert_eq!(theirs.attributes, ours.attributes, "{name}");
        let all =
            |update: &bagpipe_bgp::wire::Update| update.announced.iter().flat_map(routes).collect::<Vec<_>>();
        assert_eq!(all(&theirs), all(&ours), "{name}");
    }
}

/// Without AS_SET, which one of the others refuses to write (RFC 9774).
fn plain_attributes() -> impl Strategy<Value = Attributes> {
    common_attributes().prop_map(|mut attributes| {
        attributes.as_path.0.retain(|segment| matches!(segment, AsSegment::Sequence(_)));
        attributes.as_path.0.truncate(1);
        attributes
    })
}

fn whole_membership() -> impl Strategy<Value = RouteTargetMembership> {
    membership().prop_filter_map("whole octets", |mut membership| {
        membership.length -= membership.length % 8;
        let bits = u32::from(membership.length).saturating_sub(32);
        let mask = u64::MAX.checked_shl(64 - bits).unwrap_or(0);
        membership.target = (u64::from_be_bytes(membership.target) & mask).to_be_bytes();
        (membership.length == 0 || membership.length >= 32).then_some(membership)
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 500, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn evpn_routes_and_their_attributes_are_read_alike(
        attributes in plain_attributes(),
        nlri in vec(known_route().prop_map(Nlri::Evpn), 1..20),
    ) {
        let (bytes, taken) = announce(&support::context(), &attributes, &nlri);
        prop_assert!(!taken.is_empty());
        agree(&bytes, &support::context(), &[NETGAUZE, RUSTBGPD]);
    }

    #[test]
    fn memberships_are_read_alike(
        attributes in plain_attributes(),
        nlri in prop_oneof![vec(membership(), 1..20), vec(whole_membership(), 1..20)],
    ) {
        let nlri: Vec<_> = nlri.into_iter().map(Nlri::RouteTarget).collect();
        let (bytes, taken) = announce(&support::context(), &attributes, &nlri);
        prop_assert!(!taken.is_empty());
        // One of the others takes only whole octets for a prefix.
        let whole = |nlri: &Nlri| matches!(nlri, Nlri::RouteTarget(membership) if membership.length % 8 == 0);
        let others: &[Other] = if taken.iter().all(whole) { &[NETGAUZE, RUSTBGPD] } else { &[RUSTBGPD] };
        agree(&bytes, &support::context(), others);
    }

    /// Field by field, with the types of the other codec.
    #[test]
    fn mac_ip_routes_have_the_same_fields(route in known_route()) {
        let mut bytes = BytesMut::new();
        route.encode(&mut bytes);
        let theirs = other::decode_evpn_nlri(&bytes).expect("rustbgpd reads it");
        let (EvpnRoute::MacIp { rd, esi, tag, mac, ip, .. }, [other::EvpnRoute::MacIp(theirs)]) = (&route, &theirs[..])
        else {
            return Ok(());
        };
        prop_assert_eq!(rd.0, theirs.rd.0);
        prop_assert_eq!(esi.0, theirs.esi.0);
        prop_assert_eq!(*tag, theirs.ethernet_tag.0);
        prop_assert_eq!(mac.0, theirs.mac.0);
        prop_assert_eq!(*ip, theirs.ip);
    }

    #[test]
    fn pmsi_tunnels_have_the_same_fields(label in any::<[u8; 3]>(), endpoint in support::ipv4()) {
        let tunnel = other::PmsiTunnel::for_evpn_ingress_replication(
            u32::from_be_bytes([0, label[0], label[1], label[2]]),
            endpoint.into(),
        );
        let mut value = Vec::new();
        tunnel.encode(&mut value);
        let mut attributes = vec![0x40, 1, 1, 0, 0x40, 2, 0, 0xc0, 22, u8::try_from(value.len()).expect("short")];
        attributes.extend(value);
        attributes.extend([0x80, 14, 10, 0, 1, 132, 4, 10, 0, 0, 1, 0, 0]);
        let length = u8::try_from(attributes.len()).expect("short");
        let mut message = vec![0xff; 16];
        message.extend([0, length + 23, 2, 0, 0, 0, length]);
        message.extend(attributes);
        let update = decode_update(&message, &support::context());
        prop_assert_eq!(update.announced[0].family, Family::ROUTE_TARGET);
        prop_assert_eq!(
            update.attributes.pmsi_tunnel.clone(),
            Some(PmsiTunnel {
                flags: 0,
                label: bagpipe_bgp::types::LabelField(label),
                tunnel: PmsiTunnelKind::IngressReplication(endpoint.into()),
            })
        );
    }
}
