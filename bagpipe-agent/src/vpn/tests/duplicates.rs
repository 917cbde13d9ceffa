//! MAC addresses that move too often (RFC 7432 §15.1).

use super::*;

const WHILE: Duration = Duration::from_secs(10);

impl Node {
    fn detecting(recovery: Option<Duration>) -> Self {
        let duplicates = DuplicateDetection { recovery, ..DuplicateDetection::default() };
        let mut node = Self { vpns: Vpns::new(VpnsConfig { duplicates, ..config() }), ..Self::new() };
        node.attach(&attach("tap0", 9, None));
        node.wait(WHILE);
        node
    }

    /// Another node takes the MAC address with the next sequence number, and this one again.
    fn fight_once(&mut self) -> Effects {
        let sequence = self.mac_routes().iter().find(|(of, ..)| *of == mac(1)).map_or(0, |route| route.2);
        let effects = self.announce(&Remote { sequence: sequence + 1, ..remote(LOWER, 1, None) });
        self.wait(WHILE);
        self.detach(1, None);
        self.vpns.attach(&attach("tap1", 1, None), self.now).unwrap();
        let taken = self.settle();
        Effects { duplicates: [effects.duplicates, taken.duplicates].concat(), ..taken }
    }

    fn frozen(&self) -> Vec<MacAddr> {
        self.vpns.frozen_macs().map(|(vpn, mac)| (vpn == "blue").then_some(mac).unwrap()).collect()
    }
}

fn told(frozen: bool) -> Duplicate {
    Duplicate { vpn: "blue".into(), mac: mac(1), frozen }
}

#[test]
fn a_mac_address_that_two_nodes_fight_for_is_claimed_no_more() {
    let mut node = Node::detecting(None);
    node.attach(&attach("tap1", 1, None));
    assert_eq!(node.fight_once().duplicates, []);
    assert_eq!(node.fight_once().duplicates, []);
    assert_eq!(node.fight_once().duplicates, [told(true)], "the fifth move");
    assert_eq!(node.frozen(), [mac(1)]);
    assert!(matches!(node.target(1, 1), Some(Target::Port(_))), "the attachment is the authority here");

    node.announce(&Remote { sequence: 70, ..remote(LOWER, 1, None) });
    node.detach(1, None);
    node.attach(&attach("tap1", 1, None));
    let sequence = node.mac_routes().iter().find(|(of, ..)| *of == mac(1)).map(|route| route.2);
    assert_eq!(sequence, Some(70), "no number is raised any more");

    assert_eq!(node.vpns.release_mac("blue", mac(1)), Some(true));
    assert_eq!(node.settle().duplicates, [told(false)]);
    assert_eq!((node.frozen(), node.vpns.release_mac("blue", mac(1))), (vec![], Some(false)));
    assert_eq!(node.vpns.release_mac("red", mac(1)), None);
    node.settle();
    node.announce(&Remote { sequence: 71, ..remote(LOWER, 1, None) });
    node.detach(1, None);
    node.attach(&attach("tap1", 1, None));
    assert!(node.mac_routes().contains(&(mac(1), None, 72)));
}

#[test]
fn a_mac_address_that_others_fight_for_stays_where_it_is_for_a_time() {
    let recovery = Duration::from_secs(1000);
    let mut node = Node::detecting(Some(recovery));
    let at = |endpoint, sequence| Remote { sequence, ..remote(endpoint, 1, None) };
    node.announce(&at(LOWER, 0));
    let mut frozen = Vec::new();
    for sequence in 1..=9 {
        let endpoint = if sequence % 2 == 0 { LOWER } else { HIGHER };
        frozen.extend(node.announce(&at(endpoint, sequence)).duplicates);
        node.wait(WHILE);
    }
    assert_eq!(frozen, [told(true)]);
    assert_eq!(node.target(1, 1), Some(vxlan(HIGHER, 700)), "where the fifth move had brought it");
    node.announce(&at(LOWER, 90));
    assert_eq!(node.target(1, 1), Some(vxlan(HIGHER, 700)));
    node.withdraw(&at(HIGHER, 0));
    assert_eq!(node.target(1, 1), Some(vxlan(LOWER, 700)), "but not where nobody says it is");

    node.announce(&at(HIGHER, 0));
    assert_eq!(node.target(1, 1), Some(vxlan(HIGHER, 700)));
    node.now = node.vpns.timeout().unwrap();
    assert_eq!(node.settle().duplicates, [told(false)]);
    assert_eq!((node.target(1, 1), node.vpns.timeout()), (Some(vxlan(LOWER, 700)), None));
}

#[test]
fn moves_that_are_far_apart_are_none_too_many() {
    let mut node = Node::detecting(None);
    for sequence in 0..20 {
        let endpoint = if sequence % 2 == 0 { LOWER } else { HIGHER };
        node.announce(&Remote { sequence, ..remote(endpoint, 1, None) });
        node.wait(Duration::from_secs(46));
    }
    assert_eq!(node.frozen(), []);
}
