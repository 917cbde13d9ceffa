//! VPN instances as they are shown. The field names are stable: `-o json` prints them.

use std::net::IpAddr;

use bagpipe_bgp::types::{EthernetSegmentId, IpPrefix, Label, MacAddr, RouteDistinguisher, RouteTarget, Vni};
use serde::Serialize;
use serde_json::Value;

use super::address::InterfaceAddress;
use super::instance::Instance;
use super::request::{Endpoint, LastResort, Relay};
use super::router::Site;
use super::vpns::Vpns;
use crate::fib::{MplsForm, PortId, Target, VpnId};

/// A VPN instance.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct VpnView {
    /// Its name.
    pub name: String,
    /// `evpn` or `ipvpn`.
    #[serde(rename = "type")]
    pub vpn_type: &'static str,
    /// Its number on this node.
    pub number: VpnId,
    /// The VNI that this node receives it with.
    pub vni: Vni,
    /// Its route distinguisher.
    pub rd: RouteDistinguisher,
    /// Route targets that it imports.
    pub import_rt: Vec<RouteTarget>,
    /// Route targets that it exports.
    pub export_rt: Vec<RouteTarget>,
    /// Routes of others that it announces again.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub readvertise: Option<Relay>,
    /// Who gets packets that have no route.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub fallback: Option<LastResort>,
    /// Its gateway.
    pub gateway_ip: Option<IpAddr>,
    /// The label of its frames or packets, if it has one.
    pub label: Option<Label>,
    /// The IP-VPN that it is plugged into.
    pub plugged_into: Option<String>,
    /// Number of ports.
    pub ports: usize,
    /// Number of MAC addresses attached on this node.
    pub local_macs: usize,
    /// Number of IP prefixes that it routes to.
    pub routes: usize,
    /// Number of routes imported from other nodes.
    pub remote_routes: usize,
    /// Tunnel endpoints that packets are accepted from, in order.
    pub remote_endpoints: Vec<IpAddr>,
    /// MAC addresses that have moved too often, and are frozen (RFC 7432 §15.1).
    pub frozen_macs: Vec<MacAddr>,
    /// Its description.
    pub description: Option<Value>,
}

/// A port.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct PortView {
    /// Its instance.
    pub vpn: String,
    /// Its interface.
    pub interface: String,
    /// Its number on this node.
    pub number: PortId,
    /// The MAC addresses on it.
    pub macs: Vec<LocalMacView>,
}

/// A MAC address of a port.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct LocalMacView {
    /// The MAC address.
    pub mac: MacAddr,
    /// Its IP addresses; any, if there are none.
    pub ips: Vec<IpAddr>,
    /// Sequence number of MAC mobility.
    pub sequence: u32,
    /// False while another node has the better claim to the address.
    pub advertised: bool,
    /// Its label in an IP-VPN.
    pub label: Option<Label>,
    /// Its prefixes in an IP-VPN.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub prefixes: Vec<PrefixView>,
    /// Its description.
    pub description: Option<Value>,
}

/// A prefix of a MAC address.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct PrefixView {
    /// What is announced.
    pub prefix: IpPrefix,
    /// The address and the rest of what was attached.
    pub address: InterfaceAddress,
    /// What becomes of it.
    #[serde(flatten)]
    pub endpoint: Endpoint,
}

/// An E-VPN instance that is plugged into an IP-VPN.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct PlugView {
    /// Number of the IP-VPN.
    pub ipvpn: VpnId,
    /// Number of the E-VPN.
    pub evpn: VpnId,
    /// The MAC address that was given.
    pub mac: MacAddr,
    /// The address.
    pub address: InterfaceAddress,
    /// What becomes of it.
    pub endpoint: Endpoint,
}

/// Where frames for a MAC address go.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct FdbView {
    /// The instance.
    pub vpn: String,
    /// The MAC address.
    pub mac: MacAddr,
    /// The target.
    #[serde(flatten)]
    pub target: TargetView,
    /// It has moved too often, and is frozen (RFC 7432 §15.1).
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub frozen: bool,
}

/// A target.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "lowercase", tag = "target")]
pub enum TargetView {
    /// A port of this node.
    Port {
        /// Its interface.
        interface: String,
        /// The MAC address may send from any IP address.
        any_ip: bool,
    },
    /// A remote endpoint.
    Vxlan {
        /// Its address.
        endpoint: IpAddr,
        /// The VNI to send with.
        vni: Vni,
    },
    /// A remote endpoint.
    Mpls {
        /// Its address.
        endpoint: IpAddr,
        /// The label to send with.
        label: Label,
        /// What carries it.
        form: MplsForm,
    },
    /// An Ethernet segment: the flow chooses one of its remote endpoints.
    Segment {
        /// The segment.
        esi: EthernetSegmentId,
        /// Their addresses.
        endpoints: Vec<IpAddr>,
    },
    /// The router.
    Router {
        /// The IP-VPN that routes.
        router: String,
    },
}

/// The MAC address of an IP address.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct NeighborView {
    /// The instance.
    pub vpn: String,
    /// The IP address.
    pub ip: IpAddr,
    /// The MAC address.
    pub mac: MacAddr,
    /// It is answered for as a router.
    pub router: bool,
}

impl Vpns {
    /// The instances, by number.
    pub fn vpns(&self) -> impl Iterator<Item = VpnView> + '_ {
        self.instances.values().map(|instance| VpnView {
            name: instance.name.clone(),
            vpn_type: instance.vpn_type(),
            number: instance.id,
            vni: instance.originator.vni,
            rd: instance.originator.rd,
            import_rt: instance.import.iter().copied().collect(),
            export_rt: instance.export.iter().copied().collect(),
            readvertise: instance.router.as_ref().and_then(|router| router.relay()).cloned(),
            fallback: instance.router.as_ref().and_then(|router| Some(router.fallback.as_ref()?.1.clone())),
            gateway_ip: instance.gateway.or_else(|| instance.router.as_ref()?.gateways().next()),
            label: instance.router.as_ref().map(|router| router.label).or(instance.originator.bridge),
            plugged_into: instance.plug.as_ref().map(|plug| self.name_of(plug.ipvpn)),
            ports: instance.local.ports.len(),
            local_macs: instance.local.macs.len(),
            routes: instance.installed.routes.len(),
            remote_routes: instance.router.as_ref().map_or(instance.remote.len(), |router| router.routes()),
            remote_endpoints: sorted(instance.installed.endpoints.iter().copied()),
            frozen_macs: instance.duplicates.all_frozen().collect(),
            description: instance.description.clone(),
        })
    }

    /// The ports, by instance and number.
    pub fn ports(&self) -> impl Iterator<Item = PortView> + '_ {
        self.instances.values().flat_map(|instance| {
            instance.local.ports.iter().map(|(number, port)| PortView {
                vpn: instance.name.clone(),
                interface: port.interface.clone(),
                number: *number,
                macs: port.macs.iter().filter_map(|mac| local_mac(instance, mac)).collect(),
            })
        })
    }

    /// The E-VPN instances that are plugged into IP-VPNs.
    pub fn plugs(&self) -> impl Iterator<Item = PlugView> + '_ {
        let routers =
            self.instances.values().filter_map(|instance| Some((instance.id, instance.router.as_ref()?)));
        routers.flat_map(|(ipvpn, router)| {
            router.attached.iter().filter_map(move |((site, address), attached)| {
                let Site::Evpn(evpn, mac) = *site else { return None };
                Some(PlugView { ipvpn, evpn, mac, address: *address, endpoint: attached.endpoint })
            })
        })
    }

    /// The instance whose routes have a route distinguisher, and its type.
    #[must_use]
    pub fn owner(&self, rd: RouteDistinguisher) -> Option<(VpnId, &'static str)> {
        let router_id = self.config().router_id;
        let is = |number: VpnId| RouteDistinguisher::from_ipv4(router_id, number) == rd;
        let has = |instance: &&Instance| {
            let attached = instance.router.iter().flat_map(|router| router.attached.values());
            is(instance.id) || attached.filter_map(|attached| attached.rd).any(is)
        };
        self.instances.values().find(has).map(|instance| (instance.id, instance.vpn_type()))
    }

    /// Where MAC addresses are, by instance and MAC address.
    pub fn fdb(&self) -> impl Iterator<Item = FdbView> + '_ {
        self.instances.values().flat_map(|instance| {
            sorted(instance.installed.macs.keys().copied()).into_iter().filter_map(|mac| {
                let entry = instance.installed.macs.get(&mac)?;
                let target = match entry.target {
                    Target::Port(port) => TargetView::Port {
                        interface: instance.local.ports.get(&port)?.interface.clone(),
                        any_ip: entry.any_ip,
                    },
                    Target::Vxlan { endpoint, vni } => TargetView::Vxlan { endpoint, vni },
                    Target::Mpls { endpoint, label, form } => TargetView::Mpls { endpoint, label, form },
                    Target::Segment(segment) => TargetView::Segment {
                        esi: segment.esi,
                        endpoints: instance
                            .installed
                            .segments
                            .get(&segment.esi)?
                            .iter()
                            .filter_map(Target::endpoint)
                            .collect(),
                    },
                    Target::Router(router) => TargetView::Router { router: self.name_of(router) },
                };
                let frozen = instance.duplicates.frozen(&mac).is_some();
                Some(FdbView { vpn: instance.name.clone(), mac, target, frozen })
            })
        })
    }

    /// The MAC addresses that have moved too often, with the names of their instances.
    pub fn frozen_macs(&self) -> impl Iterator<Item = (&str, MacAddr)> {
        let frozen = |instance: &Instance| instance.duplicates.all_frozen().collect::<Vec<_>>();
        self.instances
            .values()
            .flat_map(move |instance| frozen(instance).into_iter().map(|mac| (instance.name.as_str(), mac)))
    }

    /// The MAC addresses of IP addresses, by instance and IP address.
    pub fn neighbors(&self) -> impl Iterator<Item = NeighborView> + '_ {
        self.instances.values().flat_map(|instance| {
            sorted(instance.installed.neighbors.keys().copied()).into_iter().filter_map(|ip| {
                let entry = instance.installed.neighbors.get(&ip)?;
                Some(NeighborView { vpn: instance.name.clone(), ip, mac: entry.mac, router: entry.router })
            })
        })
    }
}

fn local_mac(instance: &Instance, mac: &MacAddr) -> Option<LocalMacView> {
    let entry = instance.local_mac(mac)?;
    Some(LocalMacView {
        mac: *mac,
        ips: entry.ips.iter().copied().collect(),
        sequence: entry.sequence,
        advertised: !entry.contested && !instance.export.is_empty(),
        label: instance.router.as_ref().and_then(|router| router.labels.get(mac).copied()),
        prefixes: instance
            .router
            .iter()
            .flat_map(|router| router.of_site(Site::Port(*mac)))
            .map(|(address, attached)| PrefixView {
                prefix: address.prefix(),
                address,
                endpoint: attached.endpoint,
            })
            .collect(),
        description: entry.description.clone(),
    })
}

fn sorted<T: Ord>(items: impl Iterator<Item = T>) -> Vec<T> {
    let mut items: Vec<T> = items.collect();
    items.sort_unstable();
    items
}
