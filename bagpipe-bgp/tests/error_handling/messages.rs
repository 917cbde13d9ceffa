//! Headers, OPEN, capabilities, KEEPALIVE, NOTIFICATION and ROUTE-REFRESH in error, in each state of a session.

use bagpipe_bgp::wire::{Context, Message};

use crate::live::Live;
use crate::table::{Session, each, hex, message};

/// What the message is received after.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum State {
    /// Nothing: an OPEN is waited for.
    OpenSent,
    /// The OPENs: a KEEPALIVE is waited for.
    OpenConfirm,
    /// Routes of all families.
    Established,
}
use State::{Established, OpenConfirm, OpenSent};

/// What has to come of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Answer {
    /// The session goes on, and all its routes are still there.
    Nothing,
    /// A NOTIFICATION with this code and subcode ends it.
    Refused(u8, u8),
    /// It ends without another word: NOTIFICATIONs are not answered (RFC 4271 §6.4).
    Ended,
}
use Answer::{Ended, Nothing, Refused};

/// RFC and section, state, message type, body in hexadecimal, answer.
pub(crate) type Row = (&'static str, State, u8, &'static str, Answer);

#[rustfmt::skip]
pub(crate) const MESSAGES: &[Row] = &[
    // Types and lengths (RFC 4271 §6.1).
    ("4271 6.1",  Established, 0,   "",                                Refused(1, 3)),
    ("4271 6.1",  Established, 6,   "",                                Refused(1, 3)),
    ("4271 6.1",  Established, 255, "",                                Refused(1, 3)),
    ("4271 6.1",  OpenSent,    9,   "00",                              Refused(1, 3)),
    ("4271 6.1",  Established, 4,   "00",                              Refused(1, 2)),
    ("4271 6.1",  Established, 2,   "000000",                          Refused(1, 2)),
    ("4271 6.1",  Established, 3,   "06",                              Refused(1, 2)),
    ("4271 6.1",  OpenSent,    1,   "04 fc00 005a c0000209",           Refused(1, 2)),
    // OPEN: fixed fields (RFC 4271 §6.2).
    ("4271 6.2",  OpenSent,    1,   "03 fc00 005a c0000209 00",        Refused(2, 1)),
    ("4271 6.2",  OpenSent,    1,   "05 fc00 005a c0000209 00",        Refused(2, 1)),
    ("4271 6.2",  OpenSent,    1,   "04 fc01 005a c0000209 00",        Refused(2, 2)),
    ("7607 2",    OpenSent,    1,   "04 0000 005a c0000209 00",        Refused(2, 2)),
    ("4271 6.2",  OpenSent,    1,   "04 fc00 0001 c0000209 00",        Refused(2, 6)),
    ("4271 6.2",  OpenSent,    1,   "04 fc00 0002 c0000209 00",        Refused(2, 6)),
    ("6286 2.2",  OpenSent,    1,   "04 fc00 005a 00000000 00",        Refused(2, 3)),
    ("6286 2.1",  OpenSent,    1,   "04 fc00 005a c0000201 08 0206 0104 0019 00 46", Refused(2, 3)),
    // OPEN: optional parameters.
    ("4271 6.2",  OpenSent,    1,   "04 fc00 005a c0000209 02 0100",   Refused(2, 4)),
    ("4271 6.2",  OpenSent,    1,   "04 fc00 005a c0000209 03 010100", Refused(2, 4)),
    ("4271 6.2",  OpenSent,    1,   "04 fc00 005a c0000209 01",        Refused(2, 0)),
    ("4271 6.2",  OpenSent,    1,   "04 fc00 005a c0000209 00 00",     Refused(2, 0)),
    ("4271 6.2",  OpenSent,    1,   "04 fc00 005a c0000209 02 0206",   Refused(2, 0)),
    ("4271 6.2",  OpenSent,    1,   "04 fc00 005a c0000209 03 020201", Refused(2, 0)),
    ("9072 2",    OpenSent,    1,   "04 fc00 005a c0000209 ff ff",     Refused(2, 0)),
    ("9072 2",    OpenSent,    1,   "04 fc00 005a c0000209 ff ff 0001", Refused(2, 0)),
    ("9072 2",    OpenSent,    1,   "04 fc00 005a c0000209 ff ff 0002 0200", Refused(2, 0)),
    ("9072 2",    OpenSent,    1,   "04 fc00 005a c0000209 ff ff 0004 02ffff01", Refused(2, 0)),
    // OPEN: capabilities, each too short, and too long where its length is fixed.
    ("5492 5",    OpenSent,    1,   "04 fc00 005a c0000209 00",        Refused(2, 7)),
    ("5492 5",    OpenSent,    1,   "04 fc00 005a c0000209 08 0206 0104 0001 00 01", Refused(2, 7)),
    ("4760 8",    OpenSent,    1,   "04 fc00 005a c0000209 07 0205 0103 0019 00", Refused(2, 0)),
    ("4760 8",    OpenSent,    1,   "04 fc00 005a c0000209 09 0207 0105 0019 00 46 00", Refused(2, 0)),
    ("2918 2",    OpenSent,    1,   "04 fc00 005a c0000209 05 0203 0201 00", Refused(2, 0)),
    ("8950 4",    OpenSent,    1,   "04 fc00 005a c0000209 09 0207 0505 0001 0080 00", Refused(2, 0)),
    ("8654 3",    OpenSent,    1,   "04 fc00 005a c0000209 05 0203 0601 00", Refused(2, 0)),
    ("4724 3",    OpenSent,    1,   "04 fc00 005a c0000209 05 0203 4001 00", Refused(2, 0)),
    ("4724 3",    OpenSent,    1,   "04 fc00 005a c0000209 07 0205 4003 0078 00", Refused(2, 0)),
    ("6793 3",    OpenSent,    1,   "04 fc00 005a c0000209 07 0205 4103 0000fc", Refused(2, 0)),
    ("6793 3",    OpenSent,    1,   "04 fc00 005a c0000209 09 0207 4105 0000fc0000", Refused(2, 0)),
    ("7607 2",    OpenSent,    1,   "04 fc00 005a c0000209 08 0206 4104 00000000", Refused(2, 2)),
    ("6793 4.1",  OpenSent,    1,   "04 fc00 005a c0000209 08 0206 4104 0000fc01", Refused(2, 2)),
    ("7911 4",    OpenSent,    1,   "04 fc00 005a c0000209 07 0205 4503 001946", Refused(2, 0)),
    ("7911 4",    OpenSent,    1,   "04 fc00 005a c0000209 09 0207 4505 00194603 00", Refused(2, 0)),
    ("7313 3.1",  OpenSent,    1,   "04 fc00 005a c0000209 05 0203 4601 00", Refused(2, 0)),
    ("9494 3.1",  OpenSent,    1,   "04 fc00 005a c0000209 08 0206 4704 0019 46 80", Refused(2, 0)),
    // Messages that do not belong in the state (RFC 4271 §6.6, RFC 6608 §3).
    ("6608 3",    OpenSent,    4,   "",                                Refused(5, 1)),
    ("6608 3",    OpenSent,    2,   "0000 0000",                       Refused(5, 1)),
    ("6608 3",    OpenSent,    5,   "0019 00 46",                      Refused(5, 1)),
    ("6608 3",    OpenConfirm, 2,   "0000 0000",                       Refused(5, 2)),
    ("6608 3",    OpenConfirm, 5,   "0019 00 46",                      Refused(5, 2)),
    ("6608 3",    OpenConfirm, 1,   "04 fc00 005a c0000209 08 0206 0104 0019 00 46", Refused(5, 2)),
    ("6608 3",    Established, 1,   "04 fc00 005a c0000209 08 0206 0104 0019 00 46", Refused(5, 3)),
    // NOTIFICATION: whatever it says, it ends the session, and is not answered (RFC 4271 §6.4).
    ("4271 6.4",  OpenSent,    3,   "0201",                            Ended),
    ("4271 6.4",  OpenConfirm, 3,   "0400",                            Ended),
    ("4271 6.4",  Established, 3,   "0000",                            Ended),
    ("4271 6.4",  Established, 3,   "ffff ffffffff",                   Ended),
    ("4271 6.4",  Established, 3,   "0601",                            Ended),
    ("4486 4",    Established, 3,   "0601 0019 46",                    Ended),
    ("9003 2",    Established, 3,   "0602 ff 61",                      Ended),
    ("9003 2",    Established, 3,   "0602 02 c328",                    Ended),
    ("9003 2",    Established, 3,   "0604 00",                         Ended),
    ("8538 3",    Established, 3,   "0609",                            Ended),
    ("8538 3",    Established, 3,   "0609 06",                         Ended),
    // ROUTE-REFRESH (RFC 2918 §4, RFC 7313 §5).
    ("2918 4",    Established, 5,   "0001 00 01",                      Nothing),
    ("2918 4",    Established, 5,   "ffff 00 ff",                      Nothing),
    ("7313 5",    Established, 5,   "0019 03 46",                      Nothing),
    ("7313 5",    Established, 5,   "0019 ff 46",                      Nothing),
    ("7313 5",    Established, 5,   "0019 02 46",                      Nothing),
    ("4271 6.1",  Established, 5,   "0019 00",                         Refused(1, 2)),
    ("7313 5",    Established, 5,   "0019 00 46 00",                   Refused(7, 1)),
    ("7313 5",    Established, 5,   "0019 01 46 02 80 0001 00",        Refused(7, 1)),
    ("4271 6.5",  Established, 4,   "",                                Nothing),
];

#[test]
fn messages_in_error_have_the_consequences_of_rfc_4271() {
    check_all(MESSAGES);
}

pub(crate) fn check_all(rows: &[Row]) {
    each(rows, |(section, state, kind, body, expected)| check(section, *state, *kind, body, *expected));
}

fn check(section: &str, state: State, kind: u8, body: &str, expected: Answer) {
    let row = format!("{section}: {state:?} {kind} {body}");
    let mut live = match state {
        OpenSent => Live::connected(Session::Internal),
        OpenConfirm => {
            let mut live = Live::connected(Session::Internal);
            let open = live.open().encode(&Context::default());
            live.receive(&open);
            live
        }
        Established => Live::new(Session::Internal),
    };
    live.take_sent();
    live.receive(&message(kind, &hex(body)));
    match expected {
        Nothing => live.assert_up(&row),
        Refused(code, subcode) => live.assert_reset(code, subcode, &row),
        Ended => {
            let answered = live.take_sent().iter().any(|sent| matches!(sent, Message::Notification(_)));
            assert!(!answered, "{row}: a NOTIFICATION was answered");
            live.assert_closed(&row);
        }
    }
    live.assert_alive(&row);
}

/// RFC 4271 §6.1: each octet of the marker counts, and the bounds of the length.
#[test]
fn headers_in_error_reset_the_session() {
    for at in 0..16 {
        let mut keepalive = message(4, &[]);
        keepalive[at] = 0xfe;
        let mut live = Live::new(Session::Internal);
        live.receive(&keepalive);
        live.assert_reset(1, 1, "marker");
        live.assert_alive("marker");
    }
    for length in [0_u16, 1, 18] {
        let header = [&[0xff; 16][..], &length.to_be_bytes(), &[2]].concat();
        let mut live = Live::new(Session::Internal);
        live.receive(&header);
        live.assert_reset(1, 2, "length");
        live.assert_alive("length");
    }
}
