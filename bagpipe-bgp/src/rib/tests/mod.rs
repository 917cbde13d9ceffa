//! The RIB as its users see it: UPDATEs in, UPDATEs and route changes out.

mod add_paths;
mod batches;
mod best_path;
mod constraint;
mod long_lived;
mod model;
mod policy;
mod queue;
mod reflection;
mod vpn;
mod watch;

use std::collections::{HashMap, HashSet};
use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;

use bytes::{Bytes, BytesMut};

use super::*;
use crate::types::{EthernetSegmentId, LabelField, MacAddr, RouteDistinguisher, RouteTarget};
use crate::wire::message::{self, Message, refresh};
use crate::wire::{AsPath, EvpnRoute, LabelStack, NextHop, RouteTargetMembership, VpnRoute};

const ASN: Asn = 64512;
const OWN: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 254);
const CLUSTER: Ipv4Addr = Ipv4Addr::new(10, 9, 9, 9);

/// Which kind of peer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Client,
    NonClient,
    External,
}

fn address(number: u32) -> Ipv4Addr {
    Ipv4Addr::from(0x0a00_0000 + number)
}

fn rib() -> Rib {
    Rib::new(RibConfig {
        asn: ASN,
        router_id: OWN,
        cluster_id: CLUSTER,
        local_addresses: vec![IpAddr::V4(OWN)],
    })
}

fn facts(number: u32, kind: Kind, families: &[Family]) -> RibPeer {
    let internal = kind != Kind::External;
    RibPeer {
        asn: if internal { ASN } else { 65000 + number },
        router_id: address(number),
        address: IpAddr::V4(address(number)),
        internal,
        client: kind == Kind::Client,
        families: families.to_vec(),
        policy: Policy::default(),
        long_lived: false,
        send_paths: None,
        context: Context { four_octet_as: true, internal, families: families.to_vec(), ..Context::default() },
    }
}

fn target(number: u8) -> RouteTarget {
    RouteTarget::from_octets([0, 2, 0xfc, 0, 0, 0, 0, number]).unwrap()
}

fn mac(number: u32, label: u8) -> Nlri {
    let [a, b, c, d] = number.to_be_bytes();
    Nlri::Evpn(EvpnRoute::MacIp {
        rd: RouteDistinguisher::from_ipv4(Ipv4Addr::new(10, 0, 0, 1), 7),
        esi: EthernetSegmentId::ZERO,
        tag: 0,
        mac: MacAddr([2, 0, a, b, c, d]),
        ip: None,
        label: LabelField([0, 0, label]),
        ip_label: None,
    })
}

fn membership(target: RouteTarget) -> Nlri {
    Nlri::RouteTarget(RouteTargetMembership::exact(ASN, target))
}

/// Attributes as an internal peer sends them.
fn attributes(next_hop: u32, targets: &[RouteTarget]) -> Attributes {
    Attributes {
        next_hop: Some(NextHop { address: IpAddr::V4(address(next_hop)), link_local: None }),
        local_pref: Some(100),
        extended_communities: targets.iter().map(|target| (*target).into()).collect(),
        ..Attributes::default()
    }
}

fn blocks(routes: &[Nlri]) -> Vec<NlriBlock> {
    let mut blocks: Vec<(Family, BytesMut)> = Vec::new();
    for nlri in routes {
        if blocks.last().is_none_or(|(family, _)| *family != nlri.family()) {
            blocks.push((nlri.family(), BytesMut::new()));
        }
        nlri.encode(&mut blocks.last_mut().unwrap().1);
    }
    blocks
        .into_iter()
        .map(|(family, bytes)| NlriBlock { family, path_ids: false, bytes: bytes.freeze() })
        .collect()
}

fn announce(attributes: Attributes, routes: &[Nlri]) -> Update {
    Update { attributes: Arc::new(attributes), announced: blocks(routes), ..Update::default() }
}

fn withdraw(routes: &[Nlri]) -> Update {
    Update { withdrawn: blocks(routes), ..Update::default() }
}

/// The key fields of a route: those that do not count are zero.
fn key_of(nlri: &Nlri) -> Nlri {
    match nlri {
        Nlri::Evpn(EvpnRoute::MacIp { rd, tag, mac, ip, .. }) => Nlri::Evpn(EvpnRoute::MacIp {
            rd: *rd,
            esi: EthernetSegmentId::ZERO,
            tag: *tag,
            mac: *mac,
            ip: *ip,
            label: LabelField::default(),
            ip_label: None,
        }),
        Nlri::Vpn(route) => Nlri::Vpn(VpnRoute { labels: LabelStack::EMPTY, ..*route }),
        other => other.clone(),
    }
}

/// The far end of a session: what a peer knows after the UPDATEs it was sent.
#[derive(Default)]
struct Remote {
    /// By key and path identifier, which is zero without add-path.
    routes: HashMap<(Nlri, PathId), (Nlri, Arc<Attributes>)>,
    ended: Vec<Family>,
    /// Routes of families that are being sent again, and have not been yet.
    refreshing: HashMap<Family, HashSet<(Nlri, PathId)>>,
    /// Families that have been sent again, with markers around them.
    refreshed: Vec<Family>,
    messages: usize,
    announced: usize,
    withdrawn: usize,
}

impl Remote {
    /// Take one UPDATE. Whether there was one.
    fn pull(&mut self, rib: &mut Rib, id: PeerId, context: &Context) -> bool {
        let Some(bytes) = rib.next_update(id) else { return false };
        self.take(&bytes, context);
        true
    }

    fn pull_all(&mut self, rib: &mut Rib, id: PeerId, context: &Context) {
        for _ in 0..100_000 {
            if !self.pull(rib, id, context) {
                assert!(!rib.has_updates(id));
                return;
            }
        }
        panic!("the peer is never done");
    }

    fn take(&mut self, bytes: &Bytes, context: &Context) {
        assert!(bytes.len() <= context.max_length);
        let mut stream = BytesMut::from(&bytes[..]);
        let frame = message::frame(&mut stream, context.max_length).unwrap().unwrap();
        assert!(stream.is_empty());
        let update = match Message::decode(frame, context).unwrap() {
            Message::Update(update) => update,
            Message::RouteRefresh(family, subtype) => return self.take_marker(family, subtype),
            other => panic!("{other:?}"),
        };
        assert_eq!(update.errors, []);
        self.messages += 1;
        self.ended.extend(update.end_of_rib);
        for path in update.withdrawn.iter().flat_map(NlriBlock::paths) {
            self.withdrawn += 1;
            let (id, nlri) = path.unwrap();
            let key = (key_of(&nlri), id);
            assert!(self.routes.remove(&key).is_some(), "withdrawn but never announced");
            self.not_stale(&key);
        }
        for path in update.announced.iter().flat_map(NlriBlock::paths) {
            self.announced += 1;
            let (id, nlri) = path.unwrap();
            let key = (key_of(&nlri), id);
            self.not_stale(&key);
            self.routes.insert(key, (nlri, Arc::clone(&update.attributes)));
        }
    }

    fn not_stale(&mut self, key: &(Nlri, PathId)) {
        for stale in self.refreshing.values_mut() {
            stale.remove(key);
        }
    }

    /// RFC 7313 §4: between the markers everything comes that the peer is to have, and after End-of-RIB only.
    fn take_marker(&mut self, family: Family, subtype: u8) {
        assert!(self.ended.contains(&family));
        if subtype == refresh::BEGIN {
            let stale = self.routes.keys().filter(|(nlri, _)| nlri.family() == family).cloned().collect();
            self.refreshing.insert(family, stale);
        } else {
            assert_eq!(subtype, refresh::END);
            assert_eq!(self.refreshing.remove(&family), Some(HashSet::new()));
            self.refreshed.push(family);
        }
    }

    fn has(&self, nlri: &Nlri) -> bool {
        self.routes.contains_key(&(key_of(nlri), 0))
    }
}

/// A RIB, its peers and their far ends.
struct Network {
    rib: Rib,
    peers: Vec<(RibPeer, Remote)>,
}

impl Network {
    /// Peers in the order given, with numbers from 1.
    fn new(kinds: &[(Kind, &[Family])]) -> Self {
        let mut rib = rib();
        let peers = kinds.iter().zip(1..).map(|((kind, families), number)| facts(number, *kind, families));
        let peers: Vec<_> = peers.map(|facts| (facts, Remote::default())).collect();
        for ((facts, _), number) in peers.iter().zip(1..) {
            rib.peer_up(PeerId(number), facts.clone());
        }
        Self { rib, peers }
    }

    fn announce(&mut self, from: u32, attributes: Attributes, routes: &[Nlri]) {
        self.rib.receive(PeerId(from), &announce(attributes, routes));
    }

    fn withdraw(&mut self, from: u32, routes: &[Nlri]) {
        self.rib.receive(PeerId(from), &withdraw(routes));
    }

    fn settle(&mut self) {
        for ((facts, remote), number) in self.peers.iter_mut().zip(1..) {
            remote.pull_all(&mut self.rib, PeerId(number), &facts.context);
        }
    }

    /// Deliver what is pending, and say which peers know a route.
    fn knowing(&mut self, nlri: &Nlri) -> Vec<u32> {
        self.settle();
        let holders = self.peers.iter().zip(1..).filter(|((_, remote), _)| remote.has(nlri));
        holders.map(|(_, number)| number).collect()
    }

    fn held(&self, peer: u32, nlri: &Nlri) -> Attributes {
        let (_, attributes) = &self.peers[peer as usize - 1].1.routes[&(key_of(nlri), 0)];
        Attributes::clone(attributes)
    }

    fn changes(&mut self) -> Vec<RouteChange> {
        std::iter::from_fn(|| self.rib.poll_change()).collect()
    }
}
