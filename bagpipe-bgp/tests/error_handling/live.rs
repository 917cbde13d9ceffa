//! A speaker with a live session, and routes of all families in it.

use std::net::Ipv4Addr;
use std::num::NonZeroU32;
use std::time::Instant;

use bagpipe_bgp::session::SessionConfig;
use bagpipe_bgp::speaker::{
    Action, AddPaths, ConnId, Export, Import, PeerConfig, PeerState, PeerStatus, Policy, RouteSource,
    RouteStatus, Speaker, SpeakerConfig,
};
use bagpipe_bgp::types::{
    EthernetSegmentId, Family, IpPrefix, IpVersion, Label, LabelField, MacAddr, RouteDistinguisher,
};
use bagpipe_bgp::wire::flowspec::{Component, FlowPrefix};
use bagpipe_bgp::wire::{
    AddPathFamilies, Attributes, Capability, Context, EvpnRoute, FlowSpecRoute, LabelStack, Message, Nlri,
    NlriBlock, RouteTargetMembership, Update, UpdateWriter, VpnRoute, frame,
};
use bytes::BytesMut;

use crate::support;
use crate::table::Session;

const LOCAL: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 1);
const PEER: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 9);
const LOCAL_ASN: u32 = 64_512;
const EXTERNAL_ASN: u32 = 65_001;

/// What tells attributes of the harness from those of a row.
const MED: u32 = 4_711;

/// The speaker, and the peer's end of the session.
pub(crate) struct Live {
    speaker: Speaker,
    now: Instant,
    session: Session,
    conn: ConnId,
    /// What the peer has been sent.
    sent: BytesMut,
    closed: bool,
}

impl Live {
    /// An established session in which the peer has announced [`bystanders`].
    pub(crate) fn new(session: Session) -> Self {
        let mut live = Self::connected(session);
        live.establish();
        live.announce(&bystanders());
        live.assert_bystanders("to begin with");
        live
    }

    /// A connection on which nothing has been received yet.
    pub(crate) fn connected(session: Session) -> Self {
        let now = Instant::now();
        let mut speaker = Speaker::new(SpeakerConfig::new(LOCAL_ASN, LOCAL), now);
        let asn = asn(session);
        let policy = Policy { import: Import::All, export: Export::All, ..Policy::default() };
        let add_paths = add_paths(session);
        let peer = PeerConfig { passive: true, policy, add_paths, ..PeerConfig::new(PEER.into(), asn) };
        speaker.add_peer(peer, now);
        let conn = speaker.accepted((PEER, 1024).into(), now).expect("a configured peer");
        let mut live = Self { speaker, now, session, conn, sent: BytesMut::new(), closed: false };
        live.settle();
        live
    }

    /// How UPDATEs are read in this session.
    pub(crate) fn context(&self) -> Context {
        Context {
            internal: self.session != Session::External,
            four_octet_as: self.session != Session::OldInternal,
            extended_next_hop: self.session != Session::OldInternal,
            add_paths: AddPathFamilies { receive: identified(self.session), send: identified(self.session) },
            ..support::context()
        }
    }

    /// The peer's OPEN.
    pub(crate) fn open(&self) -> Message {
        let mut open = SessionConfig {
            add_paths: add_paths(self.session),
            local_asn: asn(self.session),
            router_id: PEER,
            remote_asn: LOCAL_ASN,
            hold_time: 90,
            families: SpeakerConfig::FAMILIES.to_vec(),
            restart_time: 0,
            restarting: false,
            long_lived_time: 0,
        }
        .open();
        if self.session == Session::OldInternal {
            let old =
                |it: &Capability| !matches!(it, Capability::FourOctetAs(_) | Capability::ExtendedNextHop(_));
            open.capabilities.retain(old);
        }
        Message::Open(open)
    }

    pub(crate) fn establish(&mut self) {
        for message in [self.open(), Message::Keepalive] {
            self.receive(&message.encode(&Context::default()));
        }
        assert_eq!(self.peer().state, PeerState::Established);
    }

    pub(crate) fn receive(&mut self, bytes: &[u8]) {
        self.speaker.received(self.conn, bytes, self.now);
        self.settle();
    }

    /// Announces routes, each family in an UPDATE of its own, with attributes that are right.
    pub(crate) fn announce(&mut self, routes: &[Nlri]) {
        let attributes = Attributes {
            next_hop: Some(std::net::IpAddr::from(PEER).into()),
            med: Some(MED),
            local_pref: (self.session != Session::External).then_some(100),
            ..Attributes::default()
        };
        for nlri in routes {
            let mut writer = UpdateWriter::announce(&self.context(), nlri.family(), &attributes);
            assert!(writer.push(nlri));
            self.receive(&writer.finish());
        }
        self.assert_up("announcing what is right");
    }

    /// Announces all routes of an UPDATE before it comes itself, so that there is something to withdraw.
    pub(crate) fn announce_all_of(&mut self, update: &Update) {
        let routes: Vec<_> = update.announced.iter().chain(&update.withdrawn).flat_map(valid).collect();
        self.announce(&routes);
        assert!(routes.iter().all(|nlri| self.held(nlri).is_some()), "{routes:?}");
    }

    /// The number of errors that were not worth a reset.
    pub(crate) fn errors(&self) -> u64 {
        self.peer().faults.update_errors
    }

    pub(crate) fn peer(&self) -> PeerStatus {
        self.speaker.peers().next().expect("the peer")
    }

    pub(crate) fn routes(&self) -> Vec<RouteStatus> {
        let from_peer = |route: &RouteStatus| matches!(route.source, RouteSource::Peer(..));
        self.speaker.routes().filter(from_peer).collect()
    }

    /// The messages that the peer has been sent since it was asked last.
    pub(crate) fn take_sent(&mut self) -> Vec<Message> {
        let context = Context { max_length: 65_535, ..self.context() };
        let mut messages = Vec::new();
        while let Some(frame) = frame(&mut self.sent, context.max_length).expect("a header that is right") {
            messages.push(Message::decode(frame, &context).expect("a message that is right"));
        }
        messages
    }

    fn held(&self, nlri: &Nlri) -> Option<RouteStatus> {
        self.routes().into_iter().find(|route| without_labels(&route.nlri) == without_labels(nlri))
    }

    fn settle(&mut self) {
        while self.speaker.poll_event().is_some() {}
        while self.speaker.poll_route().is_some() {}
        while let Some(action) = self.speaker.poll_action() {
            let conn = match action {
                Action::WantsWrite { conn } => conn,
                Action::Close { conn } => {
                    self.closed |= conn == self.conn;
                    conn
                }
                Action::Connect { .. } => panic!("a passive peer is connected to"),
            };
            while let Some(bytes) = self.speaker.poll_transmit(conn) {
                self.sent.extend_from_slice(&bytes);
            }
        }
    }
}

/// What has to hold.
impl Live {
    pub(crate) fn assert_up(&self, row: &str) {
        assert!(
            !self.closed && self.peer().state == PeerState::Established,
            "{row}: {:?}",
            self.peer().last_error
        );
    }

    /// The announced routes are held with the attributes of the UPDATE, the withdrawn ones are gone, and nothing else has
    /// changed.
    pub(crate) fn assert_follows(&self, update: &Update, row: &str) {
        let announced: Vec<_> = update.announced.iter().flat_map(valid).collect();
        for nlri in &announced {
            let held = self.held(nlri).unwrap_or_else(|| panic!("{row}: {nlri} is not there"));
            assert_eq!(held.attributes, update.attributes, "{row}: {nlri}");
        }
        for nlri in update.withdrawn.iter().flat_map(valid) {
            assert!(self.held(&nlri).is_none(), "{row}: {nlri} is still there");
        }
        assert_eq!(self.routes().len(), bystanders().len() + announced.len(), "{row}");
        self.assert_bystanders(row);
    }

    fn assert_bystanders(&self, row: &str) {
        for nlri in bystanders() {
            let held = self.held(&nlri).unwrap_or_else(|| panic!("{row}: {nlri} has gone"));
            assert_eq!(held.attributes.med, Some(MED), "{row}: {nlri}");
        }
    }

    /// The session was ended with this NOTIFICATION as the last message, and nothing is left of it.
    pub(crate) fn assert_reset(&mut self, code: u8, subcode: u8, row: &str) {
        let last = self.take_sent().pop();
        let Some(Message::Notification(notification)) = last else { panic!("{row}: last message {last:?}") };
        assert_eq!((notification.code, notification.subcode), (code, subcode), "{row}");
        self.assert_closed(row);
    }

    pub(crate) fn assert_closed(&self, row: &str) {
        assert!(self.closed, "{row}: not closed");
        assert!(self.routes().is_empty(), "{row}: routes are left");
        assert_ne!(self.peer().state, PeerState::Established, "{row}");
    }

    /// The speaker takes routes: in this session, or in the next one if this is over.
    pub(crate) fn assert_alive(&mut self, row: &str) {
        if self.closed {
            self.conn = self.speaker.accepted((PEER, 1025).into(), self.now).expect(row);
            self.closed = false;
            self.settle();
            self.establish();
            self.announce(&bystanders());
        }
        let another = Nlri::RouteTarget(RouteTargetMembership::DEFAULT);
        self.announce(std::slice::from_ref(&another));
        assert!(self.held(&another).is_some(), "{row}: takes no routes any more");
        self.assert_bystanders(row);
    }
}

/// A route of every family and, in E-VPN, of every type.
fn bystanders() -> Vec<Nlri> {
    let rd = RouteDistinguisher::from_ipv4(PEER, 9);
    let (esi, tag, label) = (EthernetSegmentId([1; 10]), 0, LabelField([0, 0, 9]));
    let prefix = |text: &str| IpPrefix::new(text.parse().unwrap(), 32).unwrap();
    let vpn = |text: &str| {
        let labels = LabelStack::from(Label::new(99).unwrap());
        Nlri::Vpn(VpnRoute { labels, rd, prefix: prefix(text) })
    };
    let flow = |version, text: &str| {
        let destination = FlowPrefix::new(prefix(text), 0).unwrap();
        Nlri::FlowSpec(FlowSpecRoute::new(rd, version, vec![Component::Destination(destination)]).unwrap())
    };
    vec![
        Nlri::Evpn(EvpnRoute::EthernetAutoDiscovery { rd, esi, tag, label }),
        Nlri::Evpn(EvpnRoute::MacIp {
            rd,
            esi,
            tag,
            mac: MacAddr([2, 0, 0, 0, 0, 9]),
            ip: None,
            label,
            ip_label: None,
        }),
        Nlri::Evpn(EvpnRoute::InclusiveMulticast { rd, tag, originator: PEER.into() }),
        Nlri::Evpn(EvpnRoute::EthernetSegment { rd, esi, originator: PEER.into() }),
        Nlri::Evpn(EvpnRoute::IpPrefix {
            rd,
            esi: EthernetSegmentId::ZERO,
            tag,
            prefix: prefix("198.51.100.9"),
            gateway: Ipv4Addr::UNSPECIFIED.into(),
            label,
        }),
        vpn("198.51.100.9"),
        vpn("2001:db8:9::"),
        flow(IpVersion::V4, "198.51.100.9"),
        flow(IpVersion::V6, "2001:db8:9::"),
        Nlri::RouteTarget(RouteTargetMembership::exact(LOCAL_ASN, "64512:9".parse().unwrap())),
    ]
}

fn valid(block: &NlriBlock) -> Vec<Nlri> {
    block.iter().filter_map(Result::ok).collect()
}

fn without_labels(nlri: &Nlri) -> Nlri {
    match nlri {
        Nlri::Vpn(route) => Nlri::Vpn(VpnRoute { labels: LabelStack::EMPTY, ..*route }),
        other => other.clone(),
    }
}

const fn asn(session: Session) -> u32 {
    match session {
        Session::External => EXTERNAL_ASN,
        Session::Internal | Session::OldInternal | Session::Paths => LOCAL_ASN,
    }
}

/// What both ends do with several paths.
fn add_paths(session: Session) -> AddPaths {
    let several = session == Session::Paths;
    AddPaths { receive: several, send: several.then_some(NonZeroU32::MIN) }
}

/// The families whose routes have identifiers.
fn identified(session: Session) -> Vec<Family> {
    if session == Session::Paths { vec![Family::EVPN, Family::VPNV4, Family::VPNV6] } else { Vec::new() }
}
