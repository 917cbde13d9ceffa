//! `/vpns`: instances, their ports and routes, and what stands for bagpipe-bgp's drivers.

use std::collections::BTreeMap;

use bagpipe_bgp::speaker::{RouteSource, RouteStatus};
use bagpipe_bgp::types::Label;
use bagpipe_bgp::wire::Nlri;
use serde_json::{Map, Value, json};

use super::node::{Entry, Member, Node, below, here};
use super::routes::{target, tracked, worker};
use super::{Glass, logs, logs_of};
use crate::config::Driver;
use crate::fib::VpnId;
use crate::vpn::Encapsulation;
use crate::vpn::view::{LocalMacView, VpnView};

/// The names of bagpipe-bgp's drivers.
const DRIVERS: [&str; 2] = ["evpn", "ipvpn"];

impl<'a> Glass<'a> {
    pub(super) fn vpns(self) -> Node<'a> {
        let per_vni = self.agent.engine.vpns().map(|vpn| {
            let shown = json!({ "name": worker(&vpn), "external_instance_id": vpn.name });
            (vpn.vni.to_string(), shown)
        });
        Node::Object(vec![
            ("instances", below(move || self.instances())),
            ("dataplane", below(move || self.dataplane())),
            ("instances_per_vni", here(Value::Object(per_vni.collect()))),
        ])
    }

    fn instances(self) -> Node<'a> {
        let entries = self.agent.engine.vpns().map(|vpn| {
            let mut more = vec![("name", worker(&vpn).into())];
            more.extend(vpn.description.clone().map(|text| ("description", text)));
            Entry { id: vpn.name, more }
        });
        let find = move |id: &str| {
            self.agent.engine.vpns().find(|vpn| vpn.name == id).map(|vpn| self.instance(&vpn))
        };
        Node::Collection(entries.collect(), Box::new(find))
    }

    pub(super) fn instance(self, vpn: &VpnView) -> Node<'a> {
        let is_evpn = vpn.vpn_type == "evpn";
        let (import, export): (Vec<String>, Vec<String>) =
            (vpn.import_rt.iter().map(target).collect(), vpn.export_rt.iter().map(target).collect());
        let family = if is_evpn { "l2vpn/evpn" } else { "ipv4/mpls-vpn" };
        let subscriptions: Vec<String> = import.iter().map(|rt| format!("match:{family},{rt}")).collect();
        let id = if is_evpn { vpn.vni.get() } else { vpn.label.map_or(0, Label::get) };
        let number = vpn.number;
        let own = move |route: &RouteStatus| self.is_of(route, number);
        let own_type = if is_evpn { "EVI" } else { "VRF" };
        let (received, best, ports) = (vpn.clone(), vpn.clone(), vpn.clone());
        let mut members = vec![
            ("name", here(worker(vpn))),
            ("internals", here(json!({ "event queue length": 0, "subscriptions": subscriptions }))),
            ("instance_type", here(own_type)),
            ("external_instance_id", here(vpn.name.clone())),
            ("description", here(vpn.description.clone().unwrap_or_default())),
            ("route_targets", here(json!({ "import": import, "export": export }))),
            ("gateway_ip", here(vpn.gateway_ip.map(|gateway| gateway.to_string()))),
            ("subnet_prefix_length", here(Value::Null)),
            ("instance_dataplane_id", here(id)),
            ("dataplane", below(move || self.instance_dataplane(if is_evpn { "evpn" } else { "ipvpn" }))),
            ("ports", below(move || Node::Value(self.ports(&ports)))),
            ("received_routes", below(move || Node::Value(self.imported(&received, |_| true)))),
            ("best_routes", below(move || Node::Value(self.imported(&best, |route| route.best)))),
            ("adv_routes", self.routes_below(own)),
            ("logs", logs_of(vpn.name.clone())),
        ];
        if is_evpn {
            members.push(("gateway_port", here(self.gateway_port(vpn))));
        }
        members.extend(self.route_control(vpn));
        Node::Object(members)
    }

    /// The IP-VPN that routes for an E-VPN.
    fn gateway_port(self, evpn: &VpnView) -> Value {
        let ipvpn = evpn.plugged_into.as_ref();
        let Some(ipvpn) = ipvpn.and_then(|name| self.agent.engine.vpns().find(|vpn| vpn.name == *name))
        else {
            return Value::Null;
        };
        json!({
            "interface": format!("'evpn{}-ipvpn{}'", evpn.number, ipvpn.number),
            "ipvpn": {
                "href": self.at(&["vpns", "instances", &ipvpn.name]),
                "id": worker(&ipvpn),
                "external_instance_id": ipvpn.name,
            },
        })
    }

    /// What is attached, by interface.
    fn ports(self, vpn: &VpnView) -> Value {
        let mut ports: BTreeMap<String, Vec<Value>> = BTreeMap::new();
        for port in self.agent.engine.ports().filter(|port| port.vpn == vpn.name) {
            ports
                .entry(port.interface)
                .or_default()
                .extend(port.macs.iter().flat_map(|mac| endpoints(vpn, mac)));
        }
        for plug in self.agent.engine.plugs().filter(|plug| plug.ipvpn == vpn.number) {
            let interface = format!("ipvpn{}-evpn{}", plug.ipvpn, plug.evpn);
            ports.entry(interface).or_default().push(json!({
                "label": vpn.label,
                "mac_address": plug.mac,
                "ip_address": plug.address,
                "local_pref": plug.endpoint.local_pref,
                "rd": format!("rd {}", vpn.rd),
                "description": null,
                "direction": plug.endpoint.direction,
            }));
        }
        let shown = ports.into_iter().map(|(name, endpoints)| (name, json!({ "endpoints": endpoints })));
        Value::Object(shown.collect())
    }

    /// The routes of others that an instance imports, by what they are compared by.
    fn imported(self, vpn: &VpnView, wanted: impl Fn(&RouteStatus) -> bool) -> Value {
        let mut keys: Map<String, Value> = Map::new();
        let fits = |nlri: &Nlri| match nlri {
            Nlri::Evpn(_) => true,
            Nlri::Vpn(_) => vpn.vpn_type != "evpn",
            _ => false,
        };
        for route in self.agent.engine.route_statuses() {
            let imports = route.attributes.route_targets().any(|target| vpn.import_rt.contains(&target));
            if imports
                && fits(&route.nlri)
                && !self.is_of(&route, vpn.number)
                && wanted(&route)
                && let Value::Array(list) = keys.entry(tracked(&route.nlri)).or_insert_with(|| json!([]))
            {
                list.push(self.route(&route));
            }
        }
        Value::Object(keys)
    }

    /// Whether an instance of this node originates a route.
    fn is_of(self, route: &RouteStatus, vpn: VpnId) -> bool {
        let originator = || self.agent.engine.originator(&route.nlri);
        route.source == RouteSource::Local && originator().is_some_and(|(number, _)| number == vpn)
    }

    fn instance_dataplane(self, driver: &'static str) -> Node<'a> {
        let link = json!({ "id": driver, "href": self.at(&["vpns", "dataplane", "drivers", driver]) });
        Node::Object(vec![("driver", here(link)), ("logs", no_logs())])
    }

    fn dataplane(self) -> Node<'a> {
        let drivers = move || {
            let entries = DRIVERS.map(Entry::new).into();
            let find =
                move |id: &str| DRIVERS.into_iter().find(|name| *name == id).map(|name| self.driver(name));
            Node::Collection(entries, Box::new(find))
        };
        Node::Object(vec![
            ("drivers", below(drivers)),
            ("ids", below(move || Node::Value(self.identifiers()))),
        ])
    }

    fn driver(self, name: &'static str) -> Node<'a> {
        let config = &self.agent.config;
        let encapsulation =
            if name == "evpn" { config.vpn.evpn_encapsulation } else { config.vpn.ipvpn_encapsulation };
        let encaps = match encapsulation {
            Encapsulation::Vxlan => ["encap:VXLAN", "encap:MPLS"],
            Encapsulation::Mpls => ["encap:MPLS", "encap:VXLAN"],
        };
        let release = std::fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
        Node::Object(vec![
            (
                "name",
                here(match config.dataplane.driver {
                    Driver::Ebpf => "eBPF",
                    Driver::None => "none",
                }),
            ),
            ("local_address", here(self.agent.identity.endpoint.to_string())),
            ("supported_encaps", here(encaps.map(Value::from).to_vec())),
            ("config", here(self.driver_config())),
            ("kernel_release", here(release.trim())),
            ("logs", no_logs()),
        ])
    }

    /// The labels of this node, and what each is for.
    fn identifiers(self) -> Value {
        let vpns: BTreeMap<String, String> =
            self.agent.engine.vpns().map(|vpn| (vpn.name.clone(), worker(&vpn))).collect();
        let labels = self.agent.engine.labels().into_iter().map(|label| {
            let mut text = format!("Incoming traffic for {}", vpns.get(&label.vpn).unwrap_or(&label.vpn));
            if let (Some(interface), Some(mac)) = (label.interface, label.mac) {
                text.push_str(&format!(", interface {interface}, endpoint {mac}"));
            }
            (label.label.to_string(), text.into())
        });
        Value::Object(labels.collect())
    }
}

/// An endpoint for each address of a MAC address.
fn endpoints(vpn: &VpnView, mac: &LocalMacView) -> Vec<Value> {
    let endpoint = |address: Value, local_pref: Option<u32>, direction: Value| {
        json!({
            "label": mac.label.or(vpn.label),
            "mac_address": mac.mac,
            "ip_address": address,
            "local_pref": local_pref,
            "rd": format!("rd {}", vpn.rd),
            "description": mac.description,
            "direction": direction,
        })
    };
    if !mac.prefixes.is_empty() {
        let shown = mac.prefixes.iter().map(|prefix| {
            let Some(direction) = serde_json::to_value(prefix.endpoint.direction).ok() else {
                return Value::Null;
            };
            endpoint(prefix.address.to_string().into(), Some(prefix.endpoint.local_pref), direction)
        });
        return shown.collect();
    }
    if mac.ips.is_empty() {
        return vec![endpoint(Value::Null, None, "both".into())];
    }
    mac.ips.iter().map(|ip| endpoint(ip.to_string().into(), None, "both".into())).collect()
}

fn no_logs<'a>() -> Member<'a> {
    below(|| Node::Value(logs(|message| message.contains("data plane"))))
}
