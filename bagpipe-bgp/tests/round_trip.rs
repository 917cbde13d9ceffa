//! What is written is read back as it was, and nothing that can be received makes the reader stumble.

// The helpers here are outside the test functions for which these are allowed anyway.
#![allow(clippy::expect_used, clippy::indexing_slicing, clippy::panic, clippy::unwrap_used)]

mod support;

use bagpipe_bgp::types::Family;
use bagpipe_bgp::wire::{
    Action, Capability, Context, ExtendedNextHop, LabelStack, LongLived, Message, Nlri, NlriBlock,
    Notification, Open, Update, VpnRoute, end_of_rib, frame,
};
use bytes::{Bytes, BytesMut};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::strategy::ValueTree;
use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};
use support::{announce, attributes, context, decode, decode_update, nlri_list, routes, update};

fn family() -> impl Strategy<Value = Family> {
    (any::<u16>(), any::<u8>()).prop_map(|(afi, safi)| Family { afi, safi })
}

fn capability() -> impl Strategy<Value = Capability> {
    let restart = (any::<bool>(), any::<bool>(), 0_u16..4096, vec((family(), any::<bool>()), 0..6)).prop_map(
        |(restarting, notification, time, families)| Capability::GracefulRestart {
            restarting,
            notification,
            time,
            families,
        },
    );
    let next_hops = vec((family(), any::<u16>()), 0..6).prop_map(|entries| {
        let entry = |(family, next_hop_afi)| ExtendedNextHop { family, next_hop_afi };
        Capability::ExtendedNextHop(entries.into_iter().map(entry).collect())
    });
    let long_lived = vec((family(), any::<bool>(), 0..=LongLived::MAX_TIME), 0..6).prop_map(|entries| {
        let entry = |(family, forwarding, time)| LongLived { family, forwarding, time };
        Capability::LongLived(entries.into_iter().map(entry).collect())
    });
    prop_oneof![
        family().prop_map(Capability::Multiprotocol),
        next_hops,
        long_lived,
        Just(Capability::RouteRefresh),
        Just(Capability::EnhancedRouteRefresh),
        Just(Capability::ExtendedMessage),
        restart,
        (128_u8..=255, vec(any::<u8>(), 0..60))
            .prop_map(|(code, value)| Capability::Unknown { code, value: value.into() }),
    ]
}

fn open() -> impl Strategy<Value = Open> {
    let hold_time = prop_oneof![Just(0_u16), 3_u16..];
    (1_u32.., hold_time, support::ipv4(), vec(capability(), 0..20)).prop_map(
        |(asn, hold_time, router_id, mut capabilities)| {
            capabilities.push(Capability::FourOctetAs(asn));
            Open { asn, hold_time, router_id, capabilities }
        },
    )
}

fn message() -> impl Strategy<Value = Message> {
    let notification = (any::<u8>(), any::<u8>(), vec(any::<u8>(), 0..300))
        .prop_map(|(code, subcode, data)| Notification { code, subcode, data: data.into() });
    prop_oneof![
        open().prop_map(Message::Open),
        notification.prop_map(Message::Notification),
        Just(Message::Keepalive),
        (family(), 0_u8..3).prop_map(|(family, subtype)| Message::RouteRefresh(family, subtype)),
    ]
}

/// Contexts of every kind of session.
fn any_context() -> impl Strategy<Value = Context> {
    (any::<bool>(), any::<bool>(), prop_oneof![Just(4096_usize), Just(65_535)]).prop_map(
        |(four_octet_as, internal, max_length)| Context { four_octet_as, internal, max_length, ..context() },
    )
}

proptest! {
    #![proptest_config(Config { cases: 1000, failure_persistence: None, ..Config::default() })]

    #[test]
    fn messages_are_read_as_they_were_written(message in message()) {
        prop_assert_eq!(decode(&message.encode(&context()), &context()), Ok(message));
    }

    #[test]
    fn updates_are_read_as_they_were_written(
        mut attributes in attributes(),
        nlri in nlri_list(),
        context in any_context(),
    ) {
        if !context.internal {
            // What belongs to one AS is not sent to another.
            attributes.local_pref = None;
            attributes.originator_id = None;
            attributes.cluster_list.clear();
        }
        if nlri.iter().any(|nlri| matches!(nlri, Nlri::FlowSpec(_))) {
            // RFC 8955 §4: flow specifications have none.
            attributes.next_hop = None;
        }
        let (bytes, taken) = announce(&context, &attributes, &nlri);
        prop_assert!(!taken.is_empty());
        prop_assert!(bytes.len() <= context.max_length);
        // A message is only full when the next route would not fit.
        if let Some(next) = nlri.get(taken.len()) {
            let mut more = BytesMut::new();
            next.encode(&mut more);
            prop_assert!(bytes.len() + more.len() >= context.max_length);
        }
        let decoded = decode_update(&bytes, &context);
        prop_assert_eq!(&decoded.errors, &vec![]);
        prop_assert_eq!(&*decoded.attributes, &attributes);
        prop_assert_eq!(routes(&decoded.announced[0]), taken);

        // Decoded, written and decoded again it is the same, and it can be printed in both forms.
        let again = Message::Update(decoded.clone()).encode(&context);
        prop_assert_eq!(decode_update(&again, &context), decoded.clone());
        prop_assert!(!decoded.attributes.to_string().is_empty());
        prop_assert!(serde_json::to_string(&decoded).is_ok());
    }

    #[test]
    fn withdrawals_are_read_as_they_were_written(nlri in nlri_list()) {
        let withdrawn = update(Default::default(), &nlri).announced;
        let bytes = Message::Update(Update { withdrawn, ..Update::default() }).encode(&context());
        let mut buffer = BytesMut::from(&*bytes);
        let mut read = Vec::new();
        while let Some(frame) = frame(&mut buffer, 4096).expect("a header that is right") {
            let Ok(Message::Update(update)) = Message::decode(frame, &context()) else { panic!("no UPDATE") };
            prop_assert!(update.announced.is_empty() && update.errors.is_empty());
            read.extend(update.withdrawn.iter().flat_map(routes));
        }
        // Labels do not matter for a withdrawal (RFC 8277 §2.4).
        let without_labels = |nlri| match nlri {
            Nlri::Vpn(route) => Nlri::Vpn(VpnRoute { labels: LabelStack::EMPTY, ..route }),
            other => other,
        };
        prop_assert_eq!(read, nlri.into_iter().map(without_labels).collect::<Vec<_>>());
    }

    #[test]
    fn routes_are_the_same_one_by_one_and_all_at_once(
        family in prop::sample::select(&[Family::EVPN, Family::VPNV4, Family::VPNV6]),
        nlri in nlri_list(),
        noise in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..4),
    ) {
        let mut bytes = BytesMut::new();
        nlri.iter().filter(|nlri| nlri.family() == family).for_each(|nlri| nlri.encode(&mut bytes));
        for (place, octet) in noise.iter().filter(|_| !nlri.is_empty()) {
            if let Some(place) = bytes.len().checked_sub(1).map(|last| place.index(last + 1)) {
                bytes[place] = *octet;
            }
        }
        let block = NlriBlock { family, bytes: bytes.freeze(), path_ids: false };
        let (mut routes, mut all) = (block.iter(), Vec::new());
        let one_by_one: Vec<_> = std::iter::from_fn(|| routes.next()).collect();
        block.iter().for_each(|route| all.push(route));
        prop_assert_eq!(one_by_one, all);
    }

    #[test]
    fn printed_routes_are_one_line(nlri in nlri_list()) {
        for nlri in nlri {
            prop_assert!(!nlri.to_string().contains('\n'));
            prop_assert!(serde_json::to_string(&nlri).is_ok());
        }
    }
}

#[test]
fn a_flow_specification_has_a_json_form() {
    let nlri = [13, 0, 0, 0xfc, 0, 0, 0, 0, 7, 4, 0x03, 80, 0xc5, 90];
    let block =
        NlriBlock { family: Family::FLOWSPEC_VPNV4, bytes: Bytes::copy_from_slice(&nlri), path_ids: false };
    let expected = serde_json::json!({
        "rd": "64512:7",
        "family": "flowspec-vpnv4",
        "match": { "port": ">=80&<=90" },
    });
    assert_eq!(serde_json::to_value(&routes(&block)[0]).unwrap(), expected);
}

#[test]
fn a_message_in_pieces_is_taken_when_it_is_whole() {
    let bytes = end_of_rib(Family::EVPN);
    let mut buffer = BytesMut::new();
    for octet in &bytes[..bytes.len() - 1] {
        buffer.extend([*octet]);
        assert_eq!(frame(&mut buffer, 4096), Ok(None));
    }
    buffer.extend(&bytes[bytes.len() - 1..]);
    buffer.extend(&bytes[..5]);
    assert!(frame(&mut buffer, 4096).unwrap().is_some());
    assert_eq!(buffer.len(), 5);
}

#[test]
fn end_of_rib_is_known_of_every_family() {
    let mut context = context();
    context.families.push(Family::IPV4_UNICAST);
    for family in context.families.clone() {
        let update = decode_update(&end_of_rib(family), &context);
        assert_eq!(update, Update { end_of_rib: Some(family), ..Update::default() });
    }
}

#[test]
fn an_iterator_over_broken_nlri_ends() {
    let block =
        NlriBlock { family: Family::EVPN, path_ids: false, bytes: Bytes::from_static(&[2, 1, 0, 3, 200, 1]) };
    let items: Vec<_> = block.iter().collect();
    let actions: Vec<_> =
        items.iter().map(|item| item.as_ref().map(Nlri::family).map_err(|e| e.action)).collect();
    assert_eq!(actions, [Err(Action::Discard), Err(Action::ResetSession)]);
}

/// Whatever a message is changed to, reading it ends without a panic, and what is read can be written,
/// printed and read again.
#[test]
fn mutated_messages_are_survived() {
    const MESSAGES: usize = 400;
    const MUTATIONS: usize = 500;
    let config = Config { failure_persistence: None, ..Config::default() };
    let mut runner = TestRunner::new_with_rng(config, TestRng::from_seed(RngAlgorithm::ChaCha, &[7; 32]));
    let value = |runner: &mut TestRunner| {
        let attributes = attributes().new_tree(runner).expect("a value").current();
        let nlri: Vec<_> = nlri_list().new_tree(runner).expect("a value").current();
        announce(&context(), &attributes, &nlri[..nlri.len().min(5)]).0
    };
    let mut read = 0;
    for number in 0..MESSAGES {
        let original = match number % 4 {
            0 => message().new_tree(&mut runner).expect("a value").current().encode(&context()),
            _ => value(&mut runner),
        };
        let context = Context { internal: number % 2 == 0, four_octet_as: number % 3 != 0, ..context() };
        for mutation in 0..MUTATIONS {
            let mutated = mutate(&original, runner.rng());
            // Printing is the slow part.
            read += usize::from(survives(&mutated, &context, mutation % 8 == 0));
        }
    }
    // Enough of them must get past the header and the first checks for this to mean something.
    assert!(read > MESSAGES * MUTATIONS / 10, "{read} of {}", MESSAGES * MUTATIONS);
}

/// A few octets changed, put in or cut out behind the header, whose length is then set right.
fn mutate(original: &[u8], random: &mut TestRng) -> Vec<u8> {
    let mut bytes = original.to_vec();
    for _ in 0..=random.random_range(0..3_u8) {
        let position = random.random_range(18..bytes.len().max(20));
        match random.random_range(0..6_u8) {
            0 if position < bytes.len() => drop(bytes.remove(position)),
            1 => bytes.insert(position.min(bytes.len()), random.random()),
            2 => bytes.truncate(position.max(19)),
            3 => bytes
                .iter_mut()
                .skip(position)
                .take(1)
                .for_each(|octet| *octet ^= 1 << random.random_range(0..8_u8)),
            _ => bytes.iter_mut().skip(position).take(1).for_each(|octet| *octet = random.random()),
        }
    }
    let length = u16::try_from(bytes.len()).expect("a message");
    bytes[16..18].copy_from_slice(&length.to_be_bytes());
    bytes
}

/// Whether it could be read.
fn survives(bytes: &[u8], context: &Context, print: bool) -> bool {
    let mut buffer = BytesMut::from(bytes);
    let Ok(Some(frame)) = frame(&mut buffer, context.max_length) else { return false };
    let Ok(message) = Message::decode(frame, context) else { return false };
    if let Message::Update(update) = &message {
        assert!(update.errors.iter().all(|error| error.action <= Action::TreatAsWithdraw));
        for block in update.announced.iter().chain(&update.withdrawn) {
            assert!(context.families.contains(&block.family));
            for nlri in block.iter() {
                match nlri {
                    Ok(nlri) => assert!(!print || !nlri.to_string().is_empty()),
                    Err(error) => assert_eq!(error.action, Action::Discard),
                }
            }
        }
    }
    if print {
        assert!(serde_json::to_string(&message).is_ok());
    }
    let mut again = BytesMut::from(&*message.encode(context));
    while let Some(frame) = support::next(&mut again, context) {
        Message::decode(frame, context).expect("what we write can be read");
    }
    true
}
