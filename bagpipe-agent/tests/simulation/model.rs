//! What is attached where, and the forwarding state that follows from it: computed anew from the definition,
//! without any of the engine's indexes and history.

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

    /// The forwarding state of a node. No MAC address is attached on two nodes any more.
    pub(crate) fn expected(&self, node: usize, network: &BTreeMap<(usize, String), Numbers>) -> Fib {
        let mut fib = Fib::default();
        for ((_, name), instance) in self.0.iter().filter(|((at, _), _)| *at == node) {
            let own = &network[&(node, name.clone())];
            fib.vpns.insert(own.vpn, own.vni);
            for (mac, (interface, ips)) in &instance.macs {
                let port = own.ports[interface];
                fib.ports.insert(port, Port { interface: interface.clone(), vpn: own.vpn });
                fib.floods.insert((own.vpn, Target::Port(port)));
                let target = Mac { target: Target::Port(port), any_ip: ips.is_empty() };
                fib.macs.insert((own.vpn, *mac), target);
                add_neighbors(&mut fib, own.vpn, *mac, ips);
            }
            for ((other, name), remote) in &self.0 {
                if *other == node || instance.import.is_disjoint(&remote.export) {
                    continue;
                }
                let numbers = &network[&(*other, name.clone())];
                let target = Target::Vxlan { endpoint: numbers.endpoint, vni: numbers.vni };
                fib.floods.insert((own.vpn, target));
                fib.endpoints.insert((own.vpn, numbers.endpoint));
                for (mac, (_, ips)) in &remote.macs {
                    fib.macs.insert((own.vpn, *mac), Mac { target, any_ip: false });
                    add_neighbors(&mut fib, own.vpn, *mac, ips);
                }
            }
        }
        fib
    }
}

fn add_neighbors(fib: &mut Fib, vpn: VpnId, mac: MacAddr, ips: &BTreeSet<IpAddr>) {
    fib.neighbors.extend(ips.iter().map(|ip| ((vpn, *ip), Neighbor { mac, router: false })));
}

/// The identifiers that a node has given to an instance.
pub(crate) struct Numbers {
    endpoint: IpAddr,
    vpn: VpnId,
    vni: Vni,
    ports: BTreeMap<String, PortId>,
}

/// The identifiers of all instances of a node. None is given twice.
pub(crate) fn numbers(engine: &Engine, endpoint: IpAddr) -> Vec<(String, Numbers)> {
    let named: Vec<_> = engine
        .vpns()
        .map(|vpn| {
            let ports = engine.ports().filter(|port| port.vpn == vpn.name);
            let ports = ports.map(|port| (port.interface, port.number)).collect();
            (vpn.name, Numbers { endpoint, vpn: vpn.number, vni: vpn.vni, ports })
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
