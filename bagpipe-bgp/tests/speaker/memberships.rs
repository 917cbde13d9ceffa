//! The RT Constraint scenarios of GoBGP (`test/scenario_test/rtc_test.py`), with E-VPN routes beside the VPN-IPv4 ones:
//! who is sent which memberships and routes while VRFs and their routes come and go.

use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

use bagpipe_bgp::speaker::{PeerConfig, SpeakerConfig};
use bagpipe_bgp::types::{Family, IpPrefix, Label, RouteDistinguisher, RouteTarget};
use bagpipe_bgp::wire::{Attributes, EvpnRoute, Nlri, VpnRoute};

use crate::network::{Network, NodeId, address, passive, peer_config, speaker_config};

const REFLECTOR: NodeId = 3;

/// From, to, and how many memberships and routes of each VPN family are sent.
type Sent = (NodeId, NodeId, usize, usize);

struct Scenario(Network);

impl Scenario {
    /// The nodes, and who has a session with whom.
    fn new(nodes: &[NodeId], sessions: &[(NodeId, NodeId)]) -> Self {
        let mut network = Network::new();
        for &node in nodes {
            let config = SpeakerConfig { families: SpeakerConfig::FAMILIES.to_vec(), ..speaker_config(node) };
            let peers: Vec<_> = sessions
                .iter()
                .filter_map(|&(one, other)| match node {
                    _ if node == one => Some(peer(node, other, peer_config(other))),
                    _ if node == other => Some(peer(node, one, passive(one))),
                    _ => None,
                })
                .collect();
            network.start(node, config, &peers);
        }
        network.run_until("sessions", Duration::from_secs(60), |network| {
            sessions.iter().all(|&(one, other)| network.established(one, other))
        });
        Self(network)
    }

    fn add_vrf(&mut self, node: NodeId, vrf: u8) {
        self.0.with(node, |speaker| speaker.import(target(vrf)));
    }

    fn add_routes(&mut self, node: NodeId, vrf: u8) {
        for nlri in routes(node, vrf) {
            self.0.with(node, |speaker| speaker.originate(nlri, attributes(node, vrf)));
        }
    }

    fn delete_routes(&mut self, node: NodeId, vrf: u8) {
        for nlri in routes(node, vrf) {
            self.0.with(node, |speaker| speaker.withdraw(&nlri));
        }
    }

    fn delete_vrf(&mut self, node: NodeId, vrf: u8) {
        self.delete_routes(node, vrf);
        self.0.with(node, |speaker| speaker.unimport(target(vrf)));
    }

    /// Both ends count alike.
    fn expect(&mut self, step: &str, expected: &[Sent]) {
        self.0.run_for(Duration::from_secs(1));
        for &(from, to, memberships, routes) in expected {
            let count = |node, other, family| {
                let counts = self.0.peer(node, other).expect("a peer").routes;
                let count = counts.iter().find(|count| count.family == family);
                count.map_or((0, 0), |count| (count.sent, count.received))
            };
            for (family, number) in
                [(Family::ROUTE_TARGET, memberships), (Family::VPNV4, routes), (Family::EVPN, routes)]
            {
                let counted = (count(from, to, family).0, count(to, from, family).1);
                assert_eq!(counted, (number, number), "{step}: {family} from {from} to {to}");
            }
        }
    }
}

fn peer(node: NodeId, other: NodeId, config: PeerConfig) -> PeerConfig {
    let client = node == REFLECTOR && other > REFLECTOR;
    PeerConfig { client, families: SpeakerConfig::FAMILIES.to_vec(), ..config }
}

fn target(vrf: u8) -> RouteTarget {
    format!("{vrf}00:{vrf}00").parse().unwrap()
}

/// A VPN-IPv4 and an E-VPN route of a VRF.
fn routes(node: NodeId, vrf: u8) -> [Nlri; 2] {
    let rd = RouteDistinguisher::from_ipv4(address(node), vrf.into());
    let prefix = IpPrefix::new(Ipv4Addr::new(node * 10, 0, 0, 0).into(), 24).unwrap();
    [
        Nlri::Vpn(VpnRoute { labels: Label::new(100).unwrap().into(), rd, prefix }),
        Nlri::Evpn(EvpnRoute::InclusiveMulticast { rd, tag: 0, originator: address(node).into() }),
    ]
}

fn attributes(node: NodeId, vrf: u8) -> Attributes {
    Attributes {
        next_hop: Some(IpAddr::from(address(node)).into()),
        local_pref: Some(100),
        extended_communities: vec![target(vrf).into()],
        ..Attributes::default()
    }
}

/// Steps 3 to 8.
#[test]
fn between_two_speakers() {
    let mut scenario = Scenario::new(&[2, 1], &[(1, 2)]);
    for (node, vrf) in [(1, 1), (1, 2), (2, 1), (2, 3)] {
        scenario.add_vrf(node, vrf);
        scenario.add_routes(node, vrf);
    }
    scenario.expect("a VRF in common", &[(1, 2, 2, 1), (2, 1, 2, 1)]);
    scenario.add_vrf(1, 3);
    scenario.expect("a second one", &[(1, 2, 3, 1), (2, 1, 2, 2)]);
    scenario.add_routes(1, 3);
    scenario.expect("routes in it", &[(1, 2, 3, 2), (2, 1, 2, 2)]);
    scenario.delete_routes(1, 3);
    scenario.expect("without them", &[(1, 2, 3, 1), (2, 1, 2, 2)]);
    scenario.delete_vrf(1, 3);
    scenario.expect("without the VRF", &[(1, 2, 2, 1), (2, 1, 2, 1)]);
    scenario.delete_vrf(1, 1);
    scenario.expect("nothing in common", &[(1, 2, 1, 0), (2, 1, 2, 0)]);
}

/// Steps 11 to 14.
#[test]
fn between_two_clients_of_a_reflector() {
    let mut scenario = Scenario::new(&[3, 4, 5], &[(4, 3), (5, 3)]);
    scenario.add_vrf(4, 1);
    scenario.add_vrf(5, 1);
    scenario.expect("empty VRFs", &[(4, 3, 1, 0), (5, 3, 1, 0), (3, 4, 1, 0), (3, 5, 1, 0)]);
    // Memberships go to and fro once, not for ever.
    let updates = |scenario: &Scenario| {
        [4, 5].map(|node| scenario.0.peer(node, 3).expect("a peer").counters.received.updates)
    };
    let before = updates(&scenario);
    scenario.0.run_for(Duration::from_secs(10));
    assert_eq!(updates(&scenario), before);

    scenario.add_routes(4, 1);
    scenario.add_routes(5, 1);
    scenario.expect("routes", &[(4, 3, 1, 1), (5, 3, 1, 1), (3, 4, 1, 1), (3, 5, 1, 1)]);
    scenario.add_vrf(4, 2);
    scenario.expect("one more VRF", &[(4, 3, 2, 1), (3, 4, 2, 1), (5, 3, 1, 1), (3, 5, 2, 1)]);
    // GoBGP has node 4 send these, since the reflector gives the membership back; so do we.
    scenario.add_routes(4, 2);
    scenario.expect("routes in it", &[(4, 3, 2, 2), (3, 4, 2, 1), (5, 3, 1, 1), (3, 5, 2, 1)]);
    scenario.delete_vrf(4, 1);
    scenario.expect("nothing in common", &[(4, 3, 1, 1), (3, 4, 2, 0), (5, 3, 1, 1), (3, 5, 2, 0)]);
}

/// Steps 21 to 23.
#[test]
fn between_clients_and_others() {
    let sessions = [(1, 2), (1, 3), (2, 3), (4, 3), (5, 3)];
    let mut scenario = Scenario::new(&[1, 2, 3, 4, 5], &sessions);
    for client in [4, 5] {
        scenario.add_vrf(client, 1);
        scenario.add_routes(client, 1);
    }
    scenario.expect("clients alone", &[(4, 3, 1, 1), (3, 1, 1, 0), (1, 3, 0, 0), (3, 4, 1, 1)]);
    scenario.add_vrf(1, 1);
    scenario.add_routes(1, 1);
    scenario.expect(
        "another that is no client",
        &[
            (4, 3, 1, 1),
            (5, 3, 1, 1),
            (3, 1, 1, 2),
            (3, 2, 1, 0),
            (1, 3, 1, 1),
            (2, 3, 0, 0),
            (3, 4, 1, 2),
            (3, 5, 1, 2),
        ],
    );
    scenario.add_vrf(2, 2);
    scenario.add_routes(2, 2);
    scenario.expect(
        "and one that has nothing in common",
        &[(2, 3, 1, 0), (3, 2, 1, 0), (3, 4, 2, 2), (3, 5, 2, 2), (1, 2, 1, 0), (2, 1, 1, 0)],
    );
}

/// A client that knows no RT Constraint gets the routes that nobody else imports.
#[test]
fn a_client_that_cannot_ask_gets_what_it_imports() {
    let mut network = Network::new();
    let vpns = || vec![Family::EVPN, Family::VPNV4];
    let families = |node| if node == 5 { vpns() } else { SpeakerConfig::FAMILIES.to_vec() };
    for node in [3, 4, 5] {
        let config = SpeakerConfig { families: families(node), ..speaker_config(node) };
        let peers: Vec<_> = match node {
            REFLECTOR => [4, 5].map(|other| peer(node, other, passive(other))).into(),
            _ => vec![PeerConfig { families: families(node), ..peer_config(REFLECTOR) }],
        };
        network.start(node, config, &peers);
    }
    let mut scenario = Scenario(network);
    scenario.add_routes(4, 1);
    scenario.add_routes(5, 2);
    scenario.expect("a hub and a spoke", &[(3, 4, 1, 0), (4, 3, 0, 1), (3, 5, 0, 1), (5, 3, 0, 1)]);
    scenario.add_vrf(4, 2);
    scenario.expect("both ways", &[(3, 4, 2, 1), (4, 3, 1, 1), (3, 5, 0, 1), (5, 3, 0, 1)]);
}
