//! What is attached where, and the forwarding state that follows from it: computed anew from the definition,
//! without any of the engine's indexes and history. Only the numbers that a node chose are taken from it.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use bagpipe_agent::engine::Engine;
use bagpipe_agent::fib::{Fib, Mac, Neighbor, Port, PortId, Target, VpnId};
use bagpipe_agent::vpn::request::{LocalPort, TextList};
use bagpipe_agent::vpn::{AttachRequest, DetachRequest};
use bagpipe_bgp::types::{MacAddr, Vni};

/// All attachments, by node and name of the VPN instance.
#[derive(Default)]
pub(crate) struct Model(pub(crate) BTreeMap<(usize, String), Instance>);

#[derive(Default)]
pub(crate) struct Instance {
    pub(crate) import: BTreeSet<String>,
    pub(crate) export: BTreeSet<String>,
    /// Interface and IP addresses of each MAC address.
    pub(crate) macs: BTreeMap<MacAddr, (String, BTreeSet<IpAddr>)>,
}

/// One attach or detach.
pub(crate) struct Endpoint<'a> {
    pub(crate) node: usize,
    pub(crate) vpn: &'a str,
    pub(crate) mac: MacAddr,
    pub(crate) ip: Option<IpAddr>,
}

impl Model {
    /// Notes an attach; gives the request. A MAC address that is attached stays on its port.
    pub(crate) fn attach(
        &mut self,
        at: &Endpoint<'_>,
        interface: &str,
        targets: Option<(BTreeSet<String>, BTreeSet<String>)>,
    ) -> AttachRequest {
        let instance = self.0.entry((at.node, at.vpn.to_owned())).or_default();
        if let Some((import, export)) = targets {
            (instance.import, instance.export) = (import, export);
        }
        let entry = instance.macs.entry(at.mac).or_insert_with(|| (interface.to_owned(), BTreeSet::new()));
        match at.ip {
            Some(ip) => drop(entry.1.insert(ip)),
            None => entry.1.clear(),
        }
        AttachRequest {
            vpn_type: Some("evpn".into()),
            vpn_instance_id: Some(at.vpn.into()),
            mac_address: Some(at.mac.to_string()),
            ip_address: at.ip.map(|ip| ip.to_string()),
            local_port: Some(LocalPort::Name(entry.0.clone())),
            import_rt: Some(TextList::List(instance.import.iter().cloned().collect())),
            export_rt: Some(TextList::Text(instance.export.iter().cloned().collect::<Vec<_>>().join(","))),
            ..AttachRequest::default()
        }
    }

    /// Notes a detach; gives the request.
    pub(crate) fn detach(&mut self, at: &Endpoint<'_>) -> DetachRequest {
        let key = (at.node, at.vpn.to_owned());
        if let Some(instance) = self.0.get_mut(&key) {
            let ips = instance.macs.get_mut(&at.mac).map(|entry| &mut entry.1);
            let rest = ips.zip(at.ip).map_or(0, |(ips, ip)| {
                ips.remove(&ip);
                ips.len()
            });
            if rest == 0 {
                instance.macs.remove(&at.mac);
            }
            if instance.macs.is_empty() {
                self.0.remove(&key);
            }
        }
        DetachRequest {
            vpn_type: Some("evpn".into()),
            vpn_instance_id: Some(at.vpn.into()),
            mac_address: Some(at.mac.to_string()),
            ip_address: at.ip.map(|ip| ip.to_string()),
            local_port: None,
        }
    }

    /// The nodes that a MAC address of an instance is attached on.
    pub(crate) fn places(&self, vpn: &str, mac: MacAddr) -> Vec<usize> {
        let here =
            self.0.iter().filter(|((_, name), instance)| name == vpn && instance.macs.contains_key(&mac));
        here.map(|((node, _), _)| *node).collect()
    }

    /// The nodes that advertise a MAC address, the one with the best claim first: of those that hear of each other
    /// only one does.
    fn advertisers(&self, vpn: &str, mac: MacAddr, network: &Network) -> Vec<usize> {
        let claim = |node: usize| {
            let numbers = &network[&(node, vpn.to_owned())];
            (Reverse(numbers.sequences[&mac]), numbers.endpoint)
        };
        let instance = |node: usize| &self.0[&(node, vpn.to_owned())];
        let mut places = self.places(vpn, mac);
        places.sort_by_key(|node| claim(*node));
        let mut advertisers: Vec<usize> = Vec::new();
        for node in places {
            let hears = |other: &usize| !instance(node).import.is_disjoint(&instance(*other).export);
            if !advertisers.iter().any(hears) {
                advertisers.push(node);
            }
        }
        advertisers
    }

    /// The forwarding state of a node that may hear of some others.
    pub(crate) fn expected(&self, node: usize, network: &Network, may_hear: impl Fn(usize) -> bool) -> Fib {
        let mut fib = Fib::default();
        for ((_, name), instance) in self.0.iter().filter(|((at, _), _)| *at == node) {
            let own = &network[&(node, name.clone())];
            fib.vpns.insert(own.vpn, own.vni);
            for (mac, (interface, ips)) in &instance.macs {
                let port = own.ports[interface];
                fib.ports.insert(port, Port { interface: interface.clone(), vpn: own.vpn, egress: false });
                fib.floods.insert((own.vpn, Target::Port(port)));
                let target = Mac { target: Target::Port(port), any_ip: ips.is_empty() };
                fib.macs.insert((own.vpn, *mac), target);
                add_neighbors(&mut fib, own.vpn, *mac, Some(port), ips);
            }
            let heard = |other: usize, name: &String| {
                let remote = self.0.get(&(other, name.clone()));
                let may_hear = other != node && may_hear(other);
                remote.filter(|remote| may_hear && !instance.import.is_disjoint(&remote.export))
            };
            let target = |numbers: &Numbers| Target::Vxlan { endpoint: numbers.endpoint, vni: numbers.vni };
            for (other, name) in self.0.keys() {
                if heard(*other, name).is_some() {
                    let numbers = &network[&(*other, name.clone())];
                    fib.floods.insert((own.vpn, target(numbers)));
                    fib.endpoints.insert((own.vpn, numbers.endpoint));
                }
            }
            for (name, mac) in self.macs() {
                if instance.macs.contains_key(&mac) {
                    continue;
                }
                for other in self.advertisers(&name, mac, network) {
                    let Some(remote) = heard(other, &name) else { continue };
                    let best = Mac { target: target(&network[&(other, name.clone())]), any_ip: false };
                    fib.macs.entry((own.vpn, mac)).or_insert(best);
                    add_neighbors(&mut fib, own.vpn, mac, None, &remote.macs[&mac].1);
                }
            }
        }
        fib
    }

    /// All MAC addresses, with the names of their instances.
    pub(crate) fn macs(&self) -> BTreeSet<(String, MacAddr)> {
        let macs = self
            .0
            .iter()
            .flat_map(|((_, vpn), instance)| instance.macs.keys().map(move |mac| (vpn.clone(), *mac)));
        macs.collect()
    }
}

fn add_neighbors(fib: &mut Fib, vpn: VpnId, mac: MacAddr, port: Option<PortId>, ips: &BTreeSet<IpAddr>) {
    fib.neighbors.extend(ips.iter().map(|ip| ((vpn, *ip), Neighbor { mac, router: false, port })));
}

/// The identifiers that a node has given to an instance.
pub(crate) struct Numbers {
    endpoint: IpAddr,
    vpn: VpnId,
    vni: Vni,
    ports: BTreeMap<String, PortId>,
    /// Sequence numbers of MAC mobility.
    sequences: BTreeMap<MacAddr, u32>,
}

/// The identifiers of all instances, by node and name.
pub(crate) type Network = BTreeMap<(usize, String), Numbers>;

/// The identifiers of all instances of a node. None is given twice.
pub(crate) fn numbers(engine: &Engine, endpoint: IpAddr) -> Vec<(String, Numbers)> {
    let named: Vec<_> = engine
        .vpns()
        .map(|vpn| {
            let views: Vec<_> = engine.ports().filter(|port| port.vpn == vpn.name).collect();
            let ports = views.iter().map(|port| (port.interface.clone(), port.number)).collect();
            let macs = views.iter().flat_map(|port| &port.macs);
            let sequences = macs.map(|entry| (entry.mac, entry.sequence)).collect();
            (vpn.name, Numbers { endpoint, vpn: vpn.number, vni: vpn.vni, ports, sequences })
        })
        .collect();
    let distinct =
        |count: usize, all: BTreeSet<u32>| assert_eq!(all.len(), count, "an identifier given twice");
    distinct(named.len(), named.iter().map(|(_, numbers)| numbers.vpn.into()).collect());
    distinct(named.len(), named.iter().map(|(_, numbers)| numbers.vni.get()).collect());
    let ports: Vec<u32> = named.iter().flat_map(|(_, numbers)| numbers.ports.values().copied()).collect();
    distinct(ports.len(), ports.iter().copied().collect());
    named
}
