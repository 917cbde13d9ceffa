//! Headers, OPEN, ROUTE-REFRESH and NOTIFICATION: what is refused, and with which words (RFC 4271 §6.1, §6.2).

// The helpers here are outside the test functions for which these are allowed anyway.
#![allow(clippy::expect_used, clippy::indexing_slicing, clippy::panic, clippy::unwrap_used)]

mod support;

use bagpipe_bgp::types::Family;
use bagpipe_bgp::wire::{Capability, Message, Notification, Open, frame};
use bytes::{Bytes, BytesMut};
use support::{context, decode};

fn message(kind: u8, body: &[u8]) -> Vec<u8> {
    let length = u16::try_from(body.len() + 19).expect("short").to_be_bytes();
    [&[0xff; 16][..], &length, &[kind], body].concat()
}

/// Error code, subcode and data.
fn refused(bytes: &[u8]) -> (u8, u8, Vec<u8>) {
    let mut buffer = BytesMut::from(bytes);
    let result = frame(&mut buffer, context().max_length)
        .and_then(|frame| Message::decode(frame.expect("a whole message"), &context()));
    let error = result.expect_err("an error");
    (error.code, error.subcode, error.data.to_vec())
}

/// Version, AS, hold time, identifier, length of the optional parameters; then these.
fn open(parameters: &[u8]) -> Vec<u8> {
    let length = u8::try_from(parameters.len()).expect("short");
    [&[4, 0xfc, 0, 0, 90, 10, 0, 0, 1, length], parameters].concat()
}

#[test]
fn headers_are_checked_as_soon_as_they_are_there() {
    let header = |marker: u8, length: u16, kind: u8| {
        let [high, low] = length.to_be_bytes();
        [&[marker; 16][..], &[high, low, kind]].concat()
    };
    assert_eq!(refused(&header(0, 19, 4)), (1, 1, vec![]));
    for (length, kind) in
        [(18, 4), (20, 4), (28, 1), (22, 2), (20, 3), (22, 5), (4097, 2), (0, 2), (65535, 3)]
    {
        assert_eq!(
            refused(&header(0xff, length, kind)),
            (1, 2, length.to_be_bytes().to_vec()),
            "{length} {kind}"
        );
    }
    for kind in [0, 6, 255] {
        assert_eq!(refused(&header(0xff, 19, kind)), (1, 3, vec![kind]));
    }
}

/// RFC 8654 §3: OPEN and KEEPALIVE are not extended.
#[test]
fn only_some_messages_may_be_extended() {
    let header = |kind: u8| BytesMut::from(&[&[0xff; 16][..], &[0x10, 0x01, kind]].concat()[..]);
    assert!(frame(&mut header(1), 65_535).is_err());
    assert!(frame(&mut header(4), 65_535).is_err());
    assert_eq!(frame(&mut header(2), 65_535), Ok(None));
}

#[test]
fn open_messages_in_error_are_refused() {
    let changed = |at: usize, value: u8| {
        let mut body = open(&[]);
        body[at] = value;
        message(1, &body)
    };
    assert!(decode(&message(1, &open(&[])), &context()).is_ok());
    assert_eq!(refused(&changed(0, 3)), (2, 1, vec![0, 4]));
    assert_eq!(refused(&changed(4, 1)), (2, 6, vec![]));
    assert_eq!(refused(&changed(4, 2)), (2, 6, vec![]));
    assert!(decode(&changed(4, 0), &context()).is_ok());
    assert_eq!(refused(&message(1, &[4, 0, 0, 0, 90, 10, 0, 0, 1, 0])), (2, 2, vec![]));
    assert_eq!(refused(&message(1, &[4, 0xfc, 0, 0, 90, 0, 0, 0, 0, 0])), (2, 3, vec![]));
    // An optional parameter that is not known, lengths that do not fit, capabilities cut short.
    assert_eq!(refused(&message(1, &open(&[1, 1, 0]))), (2, 4, vec![1]));
    assert_eq!(refused(&changed(9, 4)), (2, 0, vec![]));
    for parameters in [
        &[2_u8][..],
        &[2, 3, 1, 4],
        &[2, 1, 1],
        &[2, 2, 1, 4],
        &[2, 5, 1, 3, 0, 1, 1],
        &[2, 3, 2, 1, 0],
        &[2, 5, 65, 3, 0, 0, 1],
    ] {
        assert_eq!(refused(&message(1, &open(parameters))), (2, 0, vec![]), "{parameters:?}");
    }
    // AS 0 in the four-octet capability (RFC 7607 §2).
    assert_eq!(refused(&message(1, &open(&[2, 6, 65, 4, 0, 0, 0, 0]))), (2, 2, vec![]));
}

#[test]
fn capabilities_are_taken_from_all_parameters() {
    let bytes = message(1, &open(&[2, 2, 2, 0, 2, 8, 65, 4, 0, 1, 0, 0, 99, 0]));
    let Ok(Message::Open(open)) = decode(&bytes, &context()) else { panic!("refused") };
    assert_eq!(open.asn, 65_536);
    assert_eq!(
        open.capabilities,
        [
            Capability::RouteRefresh,
            Capability::FourOctetAs(65_536),
            Capability::Unknown { code: 99, value: Bytes::new() }
        ]
    );
}

/// RFC 9072 §2: two-octet lengths. The first length may be any but zero.
#[test]
fn extended_optional_parameters_are_read_and_written() {
    for length in [255, 1] {
        let body = [4, 0xfc, 0, 0, 90, 10, 0, 0, 1, length, 255, 0, 5, 2, 0, 2, 2, 0];
        let Ok(Message::Open(open)) = decode(&message(1, &body), &context()) else { panic!("refused") };
        assert_eq!(open.capabilities, [Capability::RouteRefresh]);
    }
    let truncated = [4, 0xfc, 0, 0, 90, 10, 0, 0, 1, 255, 255, 0, 6, 2, 0, 2, 2, 0];
    assert_eq!(refused(&message(1, &truncated)), (2, 0, vec![]));

    for size in [250, 251, 252, 253, 254, 255] {
        let value = Bytes::from(vec![7; size - 2]);
        let capabilities = vec![Capability::Unknown { code: 200, value }];
        let open = Open { asn: 64512, hold_time: 90, router_id: [10, 0, 0, 1].into(), capabilities };
        let bytes = Message::Open(open.clone()).encode(&context());
        assert_eq!(bytes[28..30] == [255, 255], size > 252, "{size}");
        assert_eq!(decode(&bytes, &context()), Ok(Message::Open(open)));
    }
}

#[test]
fn a_two_octet_field_says_as_trans_for_a_four_octet_as() {
    let open = Open {
        asn: 4_200_000_000,
        hold_time: 90,
        router_id: [10, 0, 0, 1].into(),
        capabilities: vec![Capability::FourOctetAs(4_200_000_000)],
    };
    let bytes = Message::Open(open.clone()).encode(&context());
    assert_eq!(bytes[20..22], 23_456_u16.to_be_bytes());
    assert_eq!(decode(&bytes, &context()), Ok(Message::Open(open)));
}

/// RFC 7313 §5: the data is the whole message.
#[test]
fn a_route_refresh_of_another_length_is_refused() {
    let bytes = message(5, &[0, 25, 1, 70, 0]);
    assert_eq!(refused(&bytes), (7, 1, bytes));
    assert_eq!(decode(&message(5, &[0, 25, 1, 70]), &context()), Ok(Message::RouteRefresh(Family::EVPN, 1)));
}

/// RFC 4271 §4.5; an offending message that is itself as long as a message can be is cut short.
#[test]
fn a_notification_never_exceeds_a_message() {
    let notification = Notification { code: 7, subcode: 1, data: vec![1; 5000].into() };
    let bytes = Message::Notification(notification).encode(&context());
    assert_eq!(bytes.len(), 4096);
    assert!(decode(&bytes, &context()).is_ok());
}
