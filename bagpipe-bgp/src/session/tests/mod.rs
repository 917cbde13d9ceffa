//! One session in front of a peer made by hand.

mod negotiation;

use std::net::Ipv4Addr;
use std::time::{Duration, Instant};

use bytes::{Bytes, BytesMut};
use proptest::prelude::*;

use super::notification::{Cease, Described, cease, hard_reset};
use super::*;
use crate::wire::update::end_of_rib;
use crate::wire::{AddPathFamilies, Capability};

const FAMILIES: [Family; 2] = [Family::EVPN, Family::ROUTE_TARGET];

fn config(last: u8) -> SessionConfig {
    SessionConfig {
        local_asn: 64512,
        router_id: Ipv4Addr::new(192, 0, 2, last),
        remote_asn: 64512,
        hold_time: 90,
        families: FAMILIES.to_vec(),
        restart_time: 120,
        long_lived_time: 0,
        add_paths: AddPaths::default(),
        restarting: false,
    }
}

/// A session in front of a peer made by hand.
struct Bench {
    session: Session,
    now: Instant,
    /// What the session has sent.
    sent: Vec<Message>,
    events: Vec<Event>,
}

impl Bench {
    fn new(config: SessionConfig) -> Self {
        let now = Instant::now();
        let mut bench =
            Self { session: Session::new(config, now), now, sent: Vec::new(), events: Vec::new() };
        bench.drain();
        assert!(matches!(bench.sent.remove(0), Message::Open(_)), "the OPEN comes first");
        bench
    }

    /// A session in the given state, with nothing in `sent` and `events`.
    fn in_state(state: State) -> Self {
        let mut bench = Self::new(config(1));
        if state != State::OpenSent {
            bench.receive(&Message::Open(config(2).open()));
        }
        if state == State::Established {
            bench.receive(&Message::Keepalive);
        }
        assert_eq!(bench.session.state(), state);
        bench.sent.clear();
        bench.events.clear();
        bench
    }

    fn receive(&mut self, message: &Message) {
        self.receive_bytes(&message.encode(&Context::default()));
    }

    fn receive_bytes(&mut self, bytes: &[u8]) {
        self.session.receive(bytes, self.now);
        self.drain();
    }

    fn advance(&mut self, by: Duration) {
        self.now += by;
        if self.session.poll_timeout().is_some_and(|at| at <= self.now) {
            self.session.timeout(self.now);
        }
        self.drain();
    }

    fn drain(&mut self) {
        while let Some(bytes) = self.session.poll_transmit() {
            let mut buffer = BytesMut::from(&bytes[..]);
            while let Some(frame) = message::frame(&mut buffer, MAX_LENGTH).unwrap() {
                self.sent.push(Message::decode(frame, &Context::default()).unwrap());
            }
        }
        while let Some(event) = self.session.poll_event() {
            self.events.push(event);
        }
    }

    /// The NOTIFICATION with which the session has ended, and nothing after it.
    fn notification(&self) -> (u8, u8, Bytes) {
        assert_eq!(self.session.state(), State::Closed);
        assert_eq!(self.session.poll_timeout(), None);
        let Some(Message::Notification(sent)) = self.sent.last() else {
            panic!("no NOTIFICATION but {:?}", self.sent)
        };
        let Some(Event::Down(DownReason::Sent(reported, _))) = self.events.last() else {
            panic!("not down by a NOTIFICATION: {:?}", self.events)
        };
        assert_eq!(reported, sent);
        (sent.code, sent.subcode, sent.data.clone())
    }
}

#[test]
fn two_opens_and_two_keepalives_establish_a_session() {
    let mut bench = Bench::new(config(1));
    bench.receive(&Message::Open(config(2).open()));
    assert_eq!(bench.session.state(), State::OpenConfirm);
    assert_eq!(bench.sent, [Message::Keepalive]);
    assert!(matches!(bench.events[..], [Event::Opened]));
    bench.receive(&Message::Keepalive);
    assert_eq!(bench.session.state(), State::Established);
    assert!(matches!(bench.events[..], [Event::Opened, Event::Established]));
    assert_eq!(
        bench.session.negotiated().unwrap(),
        &Negotiated {
            asn: 64512,
            router_id: Ipv4Addr::new(192, 0, 2, 2),
            families: FAMILIES.to_vec(),
            hold_time: 90,
            four_octet_as: true,
            route_refresh: true,
            enhanced_route_refresh: true,
            extended_message: true,
            extended_next_hop: false,
            add_paths: AddPathFamilies::default(),
            graceful_restart: Some(GracefulRestart {
                restarting: false,
                notification: true,
                time: 120,
                families: FAMILIES.map(|family| (family, true)).to_vec(),
            }),
            long_lived: Vec::new(),
            capabilities: config(2).open().capabilities,
        }
    );
    let counters = bench.session.counters();
    assert_eq!((counters.sent.opens, counters.sent.keepalives), (1, 1));
    assert_eq!((counters.received.opens, counters.received.keepalives), (1, 1));
}

#[test]
fn unacceptable_opens_are_answered_with_their_codes() {
    type Change = fn(&mut Open);
    let cases: [(&str, Change, (u8, u8)); 6] = [
        ("wrong AS", |open| set_asn(open, 64513), (2, 2)),
        ("AS 0", |open| set_asn(open, 0), (2, 2)),
        ("identifier zero", |open| open.router_id = Ipv4Addr::UNSPECIFIED, (2, 3)),
        ("our own identifier", |open| open.router_id = Ipv4Addr::new(192, 0, 2, 1), (2, 3)),
        ("hold time of 2 s", |open| open.hold_time = 2, (2, 6)),
        (
            "no common family",
            |open| open.capabilities = vec![Capability::Multiprotocol(Family::VPNV4)],
            (2, 7),
        ),
    ];
    for (what, change, expected) in cases {
        let mut open = config(2).open();
        change(&mut open);
        let mut bench = Bench::new(config(1));
        bench.receive(&Message::Open(open));
        let (code, subcode, data) = bench.notification();
        assert_eq!((code, subcode), expected, "{what}");
        if subcode == 7 {
            // RFC 5492 §5: what we would have needed.
            assert_eq!(data[..], [1, 4, 0, 25, 0, 70, 1, 4, 0, 1, 0, 132]);
        }
    }
}

fn set_asn(open: &mut Open, asn: u32) {
    open.asn = asn;
    open.capabilities.retain(|it| !matches!(it, Capability::FourOctetAs(_)));
    open.capabilities.push(Capability::FourOctetAs(asn));
}

#[test]
fn another_version_is_refused_with_ours() {
    let mut bytes = Message::Open(config(2).open()).encode(&Context::default()).to_vec();
    bytes[19] = 3;
    let mut bench = Bench::new(config(1));
    bench.receive_bytes(&bytes);
    assert_eq!(bench.notification(), (2, 1, Bytes::from_static(&[0, 4])));
}

#[test]
fn every_message_in_a_wrong_state_is_a_state_machine_error() {
    let open = Message::Open(config(2).open());
    let refresh = Message::RouteRefresh(Family::EVPN, 0);
    let update = Message::Update(Update { end_of_rib: Some(Family::EVPN), ..Update::default() });
    let cases = [
        (State::OpenSent, &Message::Keepalive, 1, 4),
        (State::OpenSent, &update, 1, 2),
        (State::OpenSent, &refresh, 1, 5),
        (State::OpenConfirm, &open, 2, 1),
        (State::OpenConfirm, &update, 2, 2),
        (State::OpenConfirm, &refresh, 2, 5),
        (State::Established, &open, 3, 1),
    ];
    for (state, message, subcode, kind) in cases {
        let mut bench = Bench::in_state(state);
        match message {
            Message::Update(_) => bench.receive_bytes(&end_of_rib(Family::EVPN)),
            message => bench.receive(message),
        }
        assert_eq!(
            bench.notification(),
            (5, subcode, Bytes::copy_from_slice(&[kind])),
            "{message:?} in {state:?}"
        );
    }
}

#[test]
fn a_notification_ends_the_session_without_an_answer() {
    for state in [State::OpenSent, State::OpenConfirm, State::Established] {
        let mut bench = Bench::in_state(state);
        let notification = cease(Cease::AdministrativeShutdown(""));
        bench.receive(&Message::Notification(notification.clone()));
        assert!(bench.sent.is_empty(), "{:?}", bench.sent);
        let [Event::Down(DownReason::Received(received))] = &bench.events[..] else {
            panic!("{:?}", bench.events)
        };
        assert_eq!(received, &notification);
        // Nothing that follows has any effect.
        bench.receive(&Message::Keepalive);
        bench.session.stop(cease(Cease::PeerDeconfigured), String::new());
        bench.drain();
        assert!(bench.sent.is_empty() && bench.events.len() == 1);
    }
}

#[test]
fn keepalives_are_sent_every_third_of_the_hold_time() {
    let mut bench = Bench::in_state(State::Established);
    for _ in 0..10 {
        bench.advance(Duration::from_secs(29));
        assert!(bench.sent.is_empty());
        bench.advance(Duration::from_secs(1));
        assert_eq!(std::mem::take(&mut bench.sent), [Message::Keepalive]);
        bench.receive(&Message::Keepalive);
    }
    assert_eq!(bench.session.state(), State::Established);
}

#[test]
fn the_hold_time_is_restarted_by_keepalives_and_updates_only() {
    let mut bench = Bench::in_state(State::Established);
    bench.advance(Duration::from_secs(60));
    bench.receive_bytes(&end_of_rib(Family::EVPN));
    bench.advance(Duration::from_secs(60));
    bench.receive(&Message::Keepalive);
    bench.advance(Duration::from_secs(60));
    bench.receive(&Message::RouteRefresh(Family::EVPN, 0));
    bench.advance(Duration::from_secs(29));
    assert_eq!(bench.session.state(), State::Established);
    bench.advance(Duration::from_secs(1));
    assert_eq!(bench.notification(), (4, 0, Bytes::new()));
}

#[test]
fn the_hold_timer_also_runs_before_the_session_is_established() {
    let mut bench = Bench::in_state(State::OpenSent);
    bench.advance(OPEN_WAIT);
    assert_eq!(bench.notification(), (4, 0, Bytes::new()));
    let mut bench = Bench::in_state(State::OpenConfirm);
    bench.advance(Duration::from_secs(90));
    assert_eq!(bench.notification(), (4, 0, Bytes::new()));
}

#[test]
fn a_hold_time_of_zero_turns_the_timers_off() {
    let mut bench = Bench::new(SessionConfig { hold_time: 0, ..config(1) });
    bench.receive(&Message::Open(config(2).open()));
    bench.receive(&Message::Keepalive);
    assert_eq!(bench.session.state(), State::Established);
    assert_eq!(bench.session.poll_timeout(), None);
}

/// Where RFC 4271 §8.2.2 would wait for ever.
#[test]
fn a_hold_time_of_zero_does_not_keep_a_peer_that_never_confirms() {
    let mut bench = Bench::new(SessionConfig { hold_time: 0, ..config(1) });
    bench.receive(&Message::Open(config(2).open()));
    bench.advance(OPEN_WAIT - Duration::from_secs(1));
    assert_eq!(bench.session.state(), State::OpenConfirm);
    bench.advance(Duration::from_secs(1));
    assert_eq!(bench.notification(), (4, 0, Bytes::new()));
}

#[test]
fn the_smallest_hold_time_has_a_keepalive_every_second() {
    let mut bench = Bench::new(SessionConfig { hold_time: 3, ..config(1) });
    bench.receive(&Message::Open(config(2).open()));
    bench.receive(&Message::Keepalive);
    bench.sent.clear();
    for _ in 0..10 {
        bench.receive(&Message::Keepalive);
        bench.advance(Duration::from_secs(1));
        assert_eq!(std::mem::take(&mut bench.sent), [Message::Keepalive]);
    }
    bench.advance(Duration::from_secs(1));
    bench.advance(Duration::from_secs(1));
    assert_eq!(bench.notification(), (4, 0, Bytes::new()));
}

#[test]
fn a_peer_that_takes_nothing_is_given_up() {
    let mut bench = Bench::in_state(State::Established);
    let started = bench.now;
    // The peer goes on sending, but nobody pulls our bytes.
    while bench.session.state() == State::Established && bench.now < started + Duration::from_secs(3_600) {
        bench.now += Duration::from_secs(10);
        bench.session.receive(&Message::Keepalive.encode(&Context::default()), bench.now);
        bench.session.timeout(bench.now);
    }
    // The keepalive after 30 s waits; after 60 s it is seen to.
    let after = bench.now - started;
    assert_eq!(after, SEND_HOLD_MIN + Duration::from_secs(60));
    bench.drain();
    assert!(matches!(bench.events[..], [Event::Down(DownReason::SendHoldExpired)]));
}

#[test]
fn a_peer_that_takes_little_is_not_given_up() {
    let mut bench = Bench::in_state(State::Established);
    for second in 0..3_600 {
        bench.now += Duration::from_secs(1);
        bench.session.receive(&Message::Keepalive.encode(&Context::default()), bench.now);
        bench.session.timeout(bench.now);
        if second % 400 == 399 {
            bench.session.sent(&end_of_rib(Family::EVPN));
        }
    }
    assert_eq!(bench.session.state(), State::Established);
}

#[test]
fn refresh_is_asked_of_the_owner_for_negotiated_families_only() {
    let mut bench = Bench::in_state(State::Established);
    bench.receive(&Message::RouteRefresh(Family::VPNV4, 0));
    bench.receive(&Message::RouteRefresh(Family::VPNV4, 1));
    // RFC 7313 §5: an unknown subtype.
    bench.receive(&Message::RouteRefresh(Family::EVPN, 3));
    assert!(bench.events.is_empty());
    bench.receive(&Message::RouteRefresh(Family::EVPN, 0));
    bench.receive(&Message::RouteRefresh(Family::EVPN, 1));
    bench.receive(&Message::RouteRefresh(Family::EVPN, 2));
    let [Event::Refresh(Family::EVPN), Event::RefreshBegins(Family::EVPN), Event::RefreshEnds(Family::EVPN)] =
        bench.events[..]
    else {
        panic!("{:?}", bench.events)
    };
}

#[test]
fn marks_of_a_refresh_that_were_not_agreed_on_are_ignored() {
    let mut open = config(2).open();
    open.capabilities.retain(|it| *it != Capability::EnhancedRouteRefresh);
    let mut bench = Bench::new(config(1));
    bench.receive(&Message::Open(open));
    bench.receive(&Message::Keepalive);
    bench.events.clear();
    for subtype in [1, 2] {
        bench.receive(&Message::RouteRefresh(Family::EVPN, subtype));
    }
    assert!(bench.events.is_empty());
}

#[test]
fn garbage_is_answered_with_a_header_error() {
    for state in [State::OpenSent, State::OpenConfirm, State::Established] {
        let mut bench = Bench::in_state(state);
        bench.receive_bytes(b"GET / HTTP/1.1\r\nHost: example\r\n\r\n");
        let (code, subcode, _) = bench.notification();
        assert_eq!((code, subcode), (1, 1), "in {state:?}");
        let mut bench = Bench::in_state(state);
        let mut keepalive = Message::Keepalive.encode(&Context::default()).to_vec();
        keepalive[17] = 20;
        bench.receive_bytes(&keepalive);
        let (code, subcode, _) = bench.notification();
        assert_eq!((code, subcode), (1, 2), "in {state:?}");
    }
}

#[test]
fn long_messages_are_refused_until_the_opens_allow_them() {
    let mut header = vec![0xff; 16];
    header.extend([0x20, 0x00, 2]);
    let mut bench = Bench::in_state(State::OpenSent);
    bench.receive_bytes(&header);
    let (code, subcode, data) = bench.notification();
    assert_eq!((code, subcode, &data[..]), (1, 2, &[0x20, 0x00][..]));
    // RFC 8654 §4: afterwards more of it is waited for.
    let mut bench = Bench::in_state(State::Established);
    bench.receive_bytes(&header);
    assert_eq!(bench.session.state(), State::Established);
}

#[test]
fn notifications_are_put_into_words() {
    let shutdown = Notification { code: 6, subcode: 2, data: Bytes::from_static(b"\x04bye\n") };
    for (notification, expected) in [
        (shutdown, "NOTIFICATION 6/2 (cease, administrative shutdown: \"bye\\n\")"),
        (
            hard_reset(Cease::PeerDeconfigured),
            "NOTIFICATION 6/9 (cease, hard reset: 6/3 cease, peer de-configured)",
        ),
        (
            hard_reset(Cease::AdministrativeReset("new cables")),
            "NOTIFICATION 6/9 (cease, hard reset: 6/4 cease, administrative reset: \"new cables\")",
        ),
        // What would write elsewhere on a terminal, or backwards, or is no UTF-8, or has another length.
        (
            Notification {
                code: 6,
                subcode: 4,
                data: Bytes::from_static("\x20\u{1b}[2J\u{202e}x".as_bytes()),
            },
            "NOTIFICATION 6/4 (cease, administrative reset: \"\\u{1b}[2J\\u{202e}x\")",
        ),
        (
            Notification { code: 6, subcode: 2, data: Bytes::from_static(b"\x03a\xffbcd") },
            "NOTIFICATION 6/2 (cease, administrative shutdown: \"a\u{fffd}b\")",
        ),
        (
            Notification { code: 6, subcode: 2, data: Bytes::from_static(b"\x00abc") },
            "NOTIFICATION 6/2 (cease, administrative shutdown)",
        ),
        (
            cease(Cease::MaximumPrefixes(Family::VPNV4, 1_000)),
            "NOTIFICATION 6/1 (cease, maximum number of prefixes reached of vpnv4: 1000)",
        ),
        (Notification { code: 6, subcode: 9, data: Bytes::new() }, "NOTIFICATION 6/9 (cease, hard reset)"),
        (Notification { code: 99, subcode: 1, data: Bytes::new() }, "NOTIFICATION 99/1 (unknown error)"),
    ] {
        assert_eq!(Described(&notification).to_string(), expected);
    }
}

/// RFC 9003 §2: at most 255 octets, and no character cut in two.
#[test]
fn words_for_the_peer_fit_their_field() {
    assert_eq!(&cease(Cease::AdministrativeShutdown("tschüß")).data[..], b"\x08tsch\xc3\xbc\xc3\x9f");
    assert!(cease(Cease::AdministrativeShutdown("")).data.is_empty());
    let long = cease(Cease::AdministrativeReset(&"ü".repeat(200)));
    assert_eq!((long.data.len(), long.data[0]), (255, 254));
    assert!(Described(&long).to_string().ends_with("üü\")"));
}

/// A stream that brings a session up, passes routes and, if asked to, ends it.
fn stream(messages: &[u8]) -> Vec<u8> {
    let mut bytes = Message::Open(config(2).open()).encode(&Context::default()).to_vec();
    bytes.extend(Message::Keepalive.encode(&Context::default()));
    for kind in messages {
        bytes.extend(match kind % 5 {
            0 => Message::Keepalive.encode(&Context::default()),
            1 => Message::RouteRefresh(Family::EVPN, 0).encode(&Context::default()),
            2 => end_of_rib(Family::EVPN),
            3 => end_of_rib(Family::ROUTE_TARGET),
            _ if *kind == 254 => Bytes::from_static(b"nonsense that is no message"),
            _ => Message::Keepalive.encode(&Context::default()),
        });
    }
    bytes
}

/// All that a session says and does when it gets a stream in the given pieces.
fn outcome<'a>(pieces: impl Iterator<Item = &'a [u8]>) -> (Vec<String>, Vec<Message>, Counters) {
    let mut bench = Bench::new(config(1));
    for piece in pieces {
        bench.receive_bytes(piece);
    }
    let events = bench.events.iter().map(|event| format!("{event:?}")).collect();
    (events, bench.sent, bench.session.counters())
}

proptest! {
    #[test]
    fn any_split_of_the_stream_gives_the_same_result(
        messages in prop::collection::vec(any::<u8>(), 0..20),
        mut cuts in prop::collection::vec(any::<prop::sample::Index>(), 0..40),
    ) {
        let bytes = stream(&messages);
        let mut cuts: Vec<_> = cuts.drain(..).map(|cut| cut.index(bytes.len() + 1)).collect();
        cuts.extend([0, bytes.len()]);
        cuts.sort_unstable();
        let pieces = cuts.windows(2).map(|cut| &bytes[cut[0]..cut[1]]);
        prop_assert_eq!(outcome(pieces), outcome([&bytes[..]].into_iter()));
    }

    #[test]
    fn no_bytes_make_a_session_panic(mut bytes in prop::collection::vec(any::<u8>(), 0..300), flip in any::<u16>()) {
        // Right up to a point, then anything.
        let mut stream = stream(&[2, 0, 1]);
        let position = usize::from(flip) % stream.len();
        stream[position] ^= (flip >> 8) as u8;
        stream.append(&mut bytes);
        let mut bench = Bench::new(config(1));
        bench.session.receive(&stream, bench.now);
        while bench.session.poll_event().is_some() {}
    }
}
