//! What has to hold for every message, whoever has sent it: what the fuzz targets share.
//!
//! A target that finds a fault aborts; libFuzzer then keeps the input in `artifacts/`.

pub mod peers;

use bagpipe_bgp::types::Family;
use bagpipe_bgp::wire::{
    Action, AddPathFamilies, Attributes, Context, LabelStack, Message, Nlri, NlriBlock, PathId, Update,
    VpnRoute, frame,
};
use bytes::{Bytes, BytesMut};

/// All that the speaker reads.
pub const FAMILIES: [Family; 7] = [
    Family::EVPN,
    Family::VPNV4,
    Family::VPNV6,
    Family::FLOWSPEC_VPNV4,
    Family::FLOWSPEC_VPNV6,
    Family::ROUTE_TARGET,
    Family::IPV4_UNICAST,
];

/// Those with several paths of a route.
const VPN_FAMILIES: [Family; 3] = [Family::EVPN, Family::VPNV4, Family::VPNV6];

/// A flag of attributes (RFC 4271 §4.3).
const PARTIAL: u8 = 0x20;

/// Octets of a message's header.
const HEADER: usize = 19;

/// The first octet of an input says what kind of session it is read in; the rest is what is received.
///
/// Messages may be long, so that whatever came in a short one can be written again.
#[must_use]
pub fn context(input: &[u8]) -> Option<(Context, &[u8])> {
    let (bits, rest) = input.split_first()?;
    let context = Context {
        four_octet_as: bits & 1 != 0,
        internal: bits & 2 != 0,
        extended_next_hop: bits & 4 != 0,
        max_length: 65_535,
        families: FAMILIES.to_vec(),
        add_paths: add_paths(bits & 8 != 0),
    };
    Some((context, rest))
}

/// What is agreed on with a peer that tells several paths of a route and is told them, or one that does neither
/// (RFC 7911).
#[must_use]
pub fn add_paths(agreed: bool) -> AddPathFamilies {
    let families = if agreed { VPN_FAMILIES.to_vec() } else { Vec::new() };
    AddPathFamilies { receive: families.clone(), send: families }
}

/// A message of this type around a body.
#[must_use]
pub fn message(kind: u8, body: &[u8]) -> Vec<u8> {
    let length = u16::try_from(HEADER + body.len()).unwrap_or(u16::MAX);
    [&[0xff; 16][..], &length.to_be_bytes(), &[kind], body].concat()
}

/// Reads messages until one is in error or cut short, and holds each of them to [`message_holds`].
pub fn stream_holds(bytes: &[u8], context: &Context) {
    let mut buffer = BytesMut::from(bytes);
    while let Ok(Some(frame)) = frame(&mut buffer, context.max_length) {
        if let Ok(message) = Message::decode(frame, context) {
            message_holds(&message, context);
        }
    }
}

/// What is read can be printed, and written; what is then read says the same.
pub fn message_holds(message: &Message, context: &Context) {
    serde_json::to_string(message).expect("a message has a JSON form");
    let again = written_and_read(message, context);
    match message {
        Message::Update(update) => {
            let again = again.iter().map(|message| match message {
                Message::Update(update) => update,
                other => panic!("an UPDATE became {other:?}"),
            });
            let (meant, read) = (Meaning::of([update]), Meaning::of(again));
            assert_eq!(meant, read, "an UPDATE changed its meaning: {update:?}");
        }
        other => assert_eq!(again.as_slice(), std::slice::from_ref(other)),
    }
}

fn written_and_read(message: &Message, context: &Context) -> Vec<Message> {
    let mut buffer = BytesMut::from(&*message.encode(context));
    let mut messages = Vec::new();
    while let Some(frame) = frame(&mut buffer, context.max_length).expect("a header of our own") {
        messages.push(Message::decode(frame, context).expect("a message of our own"));
    }
    assert!(buffer.is_empty(), "octets after the last message");
    messages
}

/// What several UPDATEs say together. Routes in error say nothing.
#[derive(Debug, Default, PartialEq)]
struct Meaning {
    announced: Vec<(PathId, Nlri, Attributes)>,
    withdrawn: Vec<(PathId, Nlri)>,
    end_of_rib: Vec<Family>,
}

impl Meaning {
    fn of<'a>(updates: impl IntoIterator<Item = &'a Update>) -> Self {
        let mut meaning = Self::default();
        for update in updates {
            let announced = update.announced.iter().flat_map(routes);
            meaning.announced.extend(announced.map(|(id, nlri)| (id, nlri, passed_on(&update.attributes))));
            let withdrawn = update.withdrawn.iter().flat_map(routes);
            meaning.withdrawn.extend(withdrawn.map(|(id, nlri)| (id, without_labels(nlri))));
            meaning.end_of_rib.extend(update.end_of_rib);
        }
        meaning
    }
}

/// The routes of a block, each of which can be printed, in both forms.
fn routes(block: &NlriBlock) -> Vec<(PathId, Nlri)> {
    let print = |(_, nlri): &(PathId, Nlri)| {
        serde_json::to_string(nlri).expect("a route has a JSON form");
        assert!(!nlri.to_string().is_empty());
    };
    block.paths().filter_map(Result::ok).inspect(print).collect()
}

/// Whoever passes on an attribute that it does not know sets the Partial bit (RFC 4271 §5).
fn passed_on(attributes: &Attributes) -> Attributes {
    let mut attributes = attributes.clone();
    attributes.unknown.iter_mut().for_each(|raw| raw.flags |= PARTIAL);
    attributes
}

/// Labels do not matter for a withdrawal (RFC 8277 §2.4).
fn without_labels(nlri: Nlri) -> Nlri {
    match nlri {
        Nlri::Vpn(route) => Nlri::Vpn(VpnRoute { labels: LabelStack::EMPTY, ..route }),
        other => other,
    }
}

/// NLRI of one family, without path identifiers and with them: each that can be read can be printed and written, and is
/// then read as the same; only the last may be one after which none can be found.
pub fn nlri_hold(family: Family, bytes: &[u8]) {
    for path_ids in [false, true] {
        block_holds(&NlriBlock { family, path_ids, bytes: Bytes::copy_from_slice(bytes) });
    }
}

fn block_holds(block: &NlriBlock) {
    let mut rest = block.iter();
    while let Some(route) = rest.next() {
        match route {
            Ok(nlri) => {
                serde_json::to_string(&nlri).expect("a route has a JSON form");
                assert!(!nlri.to_string().is_empty());
                let mut encoded = BytesMut::new();
                nlri.encode(&mut encoded);
                let again = NlriBlock { family: block.family, path_ids: false, bytes: encoded.freeze() };
                assert_eq!(again.iter().collect::<Vec<_>>(), [Ok(nlri)]);
                assert_eq!(again.encoded().count(), 1);
            }
            Err(error) if error.action == Action::ResetSession => assert!(rest.next().is_none()),
            Err(error) => assert_eq!(error.action, Action::Discard),
        }
    }
}
