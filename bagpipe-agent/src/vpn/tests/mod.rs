//! The rules of E-VPN instances, each with the routes and changes that it leads to.

mod attaching;
mod attracting;
mod duplicates;
mod fallback;
mod importing;
mod moving;
mod mpls;
mod overlay_index;
mod relaying;
mod restoring;
mod routing;
mod segments;

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bagpipe_bgp::types::{MacAddr, RouteDistinguisher, RouteTarget, Vni};
use bagpipe_bgp::wire::community::{MacMobility, TunnelType};
use bagpipe_bgp::wire::pmsi::PmsiTunnelKind;
use bagpipe_bgp::wire::{Attributes, EvpnRoute, ExtendedCommunity, NextHop, Nlri, PmsiTunnel};

use super::*;
use crate::fib::{Change, Fib, Mac, Neighbor, Target, VpnId};

const OWN: &str = "192.0.2.10";
const LOWER: &str = "192.0.2.9";
const HIGHER: &str = "192.0.2.11";

/// A node: its instances, and what they have put out so far.
struct Node {
    vpns: Vpns,
    now: Instant,
    fib: Fib,
    routes: BTreeMap<RouteKey, (Nlri, Attributes)>,
    flows: BTreeMap<String, Attributes>,
    /// What is stored, which has got nothing but differences.
    stored: Snapshot,
}

impl Node {
    fn new() -> Self {
        Self {
            vpns: Vpns::new(config()),
            now: Instant::now(),
            fib: Fib::default(),
            routes: BTreeMap::new(),
            flows: BTreeMap::new(),
            stored: Snapshot::default(),
        }
    }

    fn wait(&mut self, time: Duration) {
        self.now += time;
        self.settle();
    }

    /// Carries out what is to be done. Each effect has to make a difference and to keep the order promised.
    fn settle(&mut self) -> Effects {
        let effects = self.vpns.settle(self.now);
        assert!(effects.changes.is_sorted_by_key(Change::rank));
        for change in &effects.changes {
            let before = self.fib.clone();
            self.fib.apply(change);
            assert_ne!(self.fib, before, "{change:?} changes nothing");
        }
        for (nlri, attributes) in &effects.announce {
            let Some(key) = RouteKey::of(nlri) else {
                let before = self.flows.insert(nlri.to_string(), attributes.clone());
                assert_ne!(before.as_ref(), Some(attributes), "announced twice");
                continue;
            };
            let before = self.routes.insert(key, (nlri.clone(), attributes.clone()));
            assert_ne!(before, Some((nlri.clone(), attributes.clone())), "announced twice");
        }
        for nlri in &effects.withdraw {
            let was_there = match RouteKey::of(nlri) {
                Some(key) => self.routes.remove(&key).is_some(),
                None => self.flows.remove(&nlri.to_string()).is_some(),
            };
            assert!(was_there, "withdrawn twice: {nlri:?}");
        }
        self.store();
        effects
    }

    /// Stores the difference, as text. It leads to what is there, and then there is none any more.
    fn store(&mut self) {
        let text = serde_json::to_string(&self.vpns.difference(&self.stored)).unwrap();
        self.stored.apply(serde_json::from_str(&text).unwrap());
        assert_eq!(self.stored, self.vpns.snapshot());
        let nothing = Difference { next: self.stored.next, ..Difference::default() };
        assert_eq!(self.vpns.difference(&self.stored), nothing);
    }

    fn attach(&mut self, attach: &Attach) -> Attached {
        let attached = self.vpns.attach(attach, self.now).unwrap();
        let effects = self.settle();
        assert!(attached.changed || effects.is_empty());
        attached
    }

    fn detach(&mut self, mac: u8, ip: Option<&str>) -> Detached {
        let detached = self.vpns.detach(&detach(mac, ip)).unwrap();
        self.settle();
        detached
    }

    fn announce(&mut self, route: &Remote) -> Effects {
        self.vpns.route(&route.nlri(), Some(&Arc::new(route.attributes())));
        self.settle()
    }

    fn withdraw(&mut self, route: &Remote) -> Effects {
        self.vpns.route(&route.nlri(), None);
        self.settle()
    }

    fn target(&self, vpn: VpnId, address: u8) -> Option<Target> {
        self.fib.macs.get(&(vpn, mac(address))).map(|mac| mac.target)
    }

    fn neighbor(&self, vpn: VpnId, address: &str) -> Option<Neighbor> {
        self.fib.neighbors.get(&(vpn, ip(address))).copied()
    }

    /// The type 2 routes put out: MAC address, IP address, sequence number.
    fn mac_routes(&self) -> Vec<(MacAddr, Option<IpAddr>, u32)> {
        let routes = self.routes.iter().filter_map(|(key, (_, attributes))| match key {
            RouteKey::MacIp(_, mac, ip) => Some((*mac, *ip, sequence(attributes))),
            _ => None,
        });
        routes.collect()
    }
}

fn config() -> VpnsConfig {
    VpnsConfig {
        router_id: "192.0.2.10".parse().unwrap(),
        local_endpoint: ip(OWN),
        vnis: 16_000..=16_003,
        overlay: Overlay { labels: 100..=109, ..Overlay::new(ip(OWN)) },
        duplicates: DuplicateDetection::default(),
    }
}

fn attach(interface: &str, address: u8, ip_address: Option<&str>) -> Attach {
    Attach {
        vpn: "blue".into(),
        port: AttachPort::Interface(interface.into()),
        mac: mac(address),
        ip: ip_address.map(ip),
        routed: None,
        import: [target("64512:1")].into(),
        export: [target("64512:1")].into(),
        vni: None,
        gateway: None,
        description: None,
        vpn_description: None,
    }
}

fn in_vpn(vpn: &str, attach: Attach) -> Attach {
    Attach { vpn: vpn.into(), ..attach }
}

fn detach(address: u8, ip_address: Option<&str>) -> Detach {
    let ip = ip_address.map(|ip_address| InterfaceAddress::host(ip(ip_address)));
    Detach { vpn: "blue".into(), mac: mac(address), ip, routed: false }
}

/// A route of another node: type 2, or type 3 if it has no MAC address.
#[derive(Clone)]
struct Remote {
    endpoint: IpAddr,
    vni: u32,
    mac: Option<MacAddr>,
    ip: Option<IpAddr>,
    tag: u32,
    sequence: u32,
    sticky: bool,
    encapsulation: Option<TunnelType>,
    targets: Vec<RouteTarget>,
}

fn remote(endpoint: &str, address: u8, ip_address: Option<&str>) -> Remote {
    Remote {
        endpoint: ip(endpoint),
        vni: 700,
        mac: Some(mac(address)),
        ip: ip_address.map(ip),
        tag: 0,
        sequence: 0,
        sticky: false,
        encapsulation: Some(TunnelType::VXLAN),
        targets: vec![target("64512:1")],
    }
}

fn multicast(endpoint: &str) -> Remote {
    Remote { mac: None, ..remote(endpoint, 0, None) }
}

impl Remote {
    fn nlri(&self) -> Nlri {
        let address = match self.endpoint {
            IpAddr::V4(address) => address,
            IpAddr::V6(_) => "192.0.2.66".parse().unwrap(),
        };
        let (rd, tag) = (RouteDistinguisher::from_ipv4(address, 1), self.tag);
        Nlri::Evpn(match self.mac {
            Some(mac) => EvpnRoute::MacIp {
                rd,
                esi: Default::default(),
                tag,
                mac,
                ip: self.ip,
                label: Vni::new(self.vni).unwrap().into(),
                ip_label: None,
            },
            None => EvpnRoute::InclusiveMulticast { rd, tag, originator: self.endpoint },
        })
    }

    fn attributes(&self) -> Attributes {
        let mut communities: Vec<ExtendedCommunity> =
            self.targets.iter().map(|target| (*target).into()).collect();
        communities.extend(self.encapsulation.map(ExtendedCommunity::encapsulation));
        if self.sequence > 0 || self.sticky {
            let mobility = MacMobility { sticky: self.sticky, sequence: self.sequence };
            communities.push(ExtendedCommunity::mac_mobility(mobility));
        }
        Attributes {
            next_hop: Some(NextHop { address: self.endpoint, link_local: None }),
            extended_communities: communities,
            pmsi_tunnel: self.mac.is_none().then(|| PmsiTunnel {
                flags: 0,
                label: Vni::new(self.vni).unwrap().into(),
                tunnel: PmsiTunnelKind::IngressReplication(self.endpoint),
            }),
            ..Attributes::default()
        }
    }
}

fn vxlan(endpoint: &str, vni: u32) -> Target {
    Target::Vxlan { endpoint: ip(endpoint), vni: Vni::new(vni).unwrap() }
}

fn sequence(attributes: &Attributes) -> u32 {
    let mobility = attributes.extended_communities.iter().find_map(ExtendedCommunity::as_mac_mobility);
    mobility.map_or(0, |mobility| mobility.sequence)
}

fn mac(last: u8) -> MacAddr {
    MacAddr([2, 0, 0, 0, 0, last])
}

fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

fn target(text: &str) -> RouteTarget {
    text.parse().unwrap()
}
