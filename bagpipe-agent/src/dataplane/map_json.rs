//! Entries of the maps as JSON, with named fields.

use std::net::{Ipv4Addr, Ipv6Addr};

use bagpipe_bgp::types::MacAddr;
use bagpipe_common::{
    self as abi, GROUP_BUCKETS, LabelKind, TRUNK, TargetKind, encap_flags, neighbor_flags, port_flags,
    router_flags, rule_flags,
};
use serde_json::{Value as Json, json};

use super::address::{host_of, ip_of, prefix_of};
use super::entry::{Key, Map};
use super::value::Value;

/// A key, with named fields.
pub(super) fn key_json(key: &Key) -> Json {
    match key {
        Key::Encap(slot) => json!({ "slot": slot }),
        Key::Nexthop(number) => json!({ "nexthop": number }),
        Key::Port(port) => json!({ "port": port }),
        Key::Adjacency(slot) => json!({ "adjacency": slot }),
        Key::Bucket(index) => json!({ "group": index / GROUP_BUCKETS, "bucket": index % GROUP_BUCKETS }),
        Key::Host(key) => json!({ "vpn": key.vpn, "prefix": host_of(key).to_string() }),
        Key::Route(key) => {
            let (vpn, prefix) = prefix_of(key).unzip();
            json!({ "vpn": vpn, "prefix": prefix.map(|prefix| prefix.to_string()) })
        }
        Key::Rule(slot) => json!({ "rule": slot }),
        Key::Label(label) => json!({ "label": label }),
        Key::Router(vpn) | Key::Classifier(vpn) => json!({ "vpn": vpn }),
        Key::Endpoint(key) => json!({ "vpn": key.vpn, "remote": ip_of(&key.remote) }),
        Key::Neighbor(key) => json!({ "vpn": key.vpn, "address": ip_of(&key.address) }),
        Key::Fdb(key) => json!({ "vpn": key.vpn, "mac": MacAddr(key.mac) }),
        Key::Flood(key) => {
            json!({ "vpn": key.vpn, "scope": if key.scope == 0 { "local" } else { "remote" }, "index": key.index })
        }
        Key::Vpn(vpn) => json!({ "vpn": vpn }),
        Key::Vni(vni) => json!({ "vni": vni }),
        Key::Tunnel(key) => json!({ "remote": ip_of(&key.remote), "vni": key.vni }),
        Key::Vlan(key) => json!({ "ifindex": key.ifindex, "vlan": key.vlan }),
        Key::PortOfInterface(ifindex) => json!({ "ifindex": ifindex }),
    }
}

/// The value of a key, with named fields.
pub(super) fn value_json(key: &Key, value: &Value) -> Json {
    match value {
        Value::Number(number) => match key.map() {
            Map::Nexthops => json!({ "slot": number }),
            Map::Classifiers => json!({ "rule": number }),
            Map::PortOfInterface if *number == TRUNK => json!({ "trunk": true }),
            Map::PortOfInterface | Map::PortOfVlan => json!({ "port": number }),
            Map::Vnis => json!({ "vpn": number }),
            _ => json!(number),
        },
        Value::Port(port) => json!({
            "ifindex": port.ifindex,
            "vpn": port.vpn,
            "redirect_peer": port.flags & port_flags::REDIRECT_PEER != 0,
            "vlan": port.flags >> port_flags::VLAN_SHIFT,
        }),
        Value::Neighbor(neighbor) => json!({
            "mac": MacAddr(neighbor.mac),
            "router": neighbor.flags & neighbor_flags::ROUTER != 0,
            "port": (neighbor.flags & neighbor_flags::LOCAL != 0).then_some(neighbor.flags & neighbor_flags::PORT),
        }),
        Value::Target(target) => target_json(target),
        Value::Adjacency(adjacency) => json!({
            "vpn": adjacency.vpn,
            "destination_mac": MacAddr(adjacency.destination),
            "source_mac": MacAddr(adjacency.source),
            "target": target_json(&adjacency.target),
        }),
        Value::Label(label) => label_json(label),
        Value::Rule(rule) => json!({
            "ethertype": rule.ethertype,
            "source": ip_of(&rule.source),
            "source_mask": ip_of(&rule.source_mask),
            "destination": ip_of(&rule.destination),
            "destination_mask": ip_of(&rule.destination_mask),
            "protocol": (rule.flags & rule_flags::PROTOCOL != 0).then_some(rule.protocol),
            "source_ports": (rule.flags & rule_flags::PORTS != 0).then_some(rule.source_ports),
            "destination_ports": (rule.flags & rule_flags::PORTS != 0).then_some(rule.destination_ports),
            "vpn": rule.vrf,
            "next": rule.next,
        }),
        Value::Router(router) => json!({
            "ipv4": Ipv4Addr::from(router.ipv4),
            "ipv6": Ipv6Addr::from(router.ipv6),
            "proxy": router.flags & router_flags::PROXY != 0,
        }),
        Value::Vpn(vpn) => json!({
            "vni": vpn.vni,
            "local_ports": vpn.local_ports,
            "remote_endpoints": vpn.remote_endpoints,
        }),
        Value::Tunnel(tunnel) => json!({ "vpn": tunnel.vpn }),
        Value::Encap(encap) => json!({
            "local": ip_of(&encap.local),
            "remote": ip_of(&encap.remote),
            "gateway": ip_of(&encap.gateway),
            "ifindex": encap.ifindex,
            "mtu": encap.mtu,
            "destination_mac": MacAddr(encap.destination_mac),
            "source_mac": MacAddr(encap.source_mac),
            "resolved": encap.flags & encap_flags::RESOLVED != 0,
            "ipv6": encap.flags & encap_flags::IPV6 != 0,
            "ttl": encap.ttl,
        }),
    }
}

fn target_json(target: &abi::Target) -> Json {
    let [a, b, c] = target.vni;
    let (id, label) = (target.id, u32::from_be_bytes([0, a, b, c]));
    match TargetKind::of(target.kind) {
        Some(TargetKind::Port) => json!({ "kind": "port", "port": id }),
        Some(TargetKind::PortAnyIp) => json!({ "kind": "port-any-ip", "port": id }),
        Some(TargetKind::Vxlan) => json!({ "kind": "vxlan", "nexthop": id, "vni": label }),
        Some(TargetKind::Mpls) => json!({ "kind": "mpls", "nexthop": id, "label": label }),
        Some(TargetKind::MplsGre) => json!({ "kind": "mpls-gre", "nexthop": id, "label": label }),
        Some(TargetKind::MplsUdp) => json!({ "kind": "mpls-udp", "nexthop": id, "label": label }),
        Some(TargetKind::Router) => json!({ "kind": "router", "vpn": id }),
        Some(TargetKind::Adjacency) => json!({ "kind": "adjacency", "adjacency": id }),
        Some(TargetKind::Group) => json!({ "kind": "group", "group": id }),
        None => json!({ "kind": target.kind, "id": id }),
    }
}

fn label_json(label: &abi::Label) -> Json {
    match LabelKind::of(label.kind) {
        Some(LabelKind::Adjacency) => json!({ "kind": "adjacency", "vpn": label.vpn, "adjacency": label.id }),
        Some(LabelKind::Router) => json!({ "kind": "router", "vpn": label.vpn }),
        Some(LabelKind::Bridge) => json!({ "kind": "bridge", "vpn": label.vpn }),
        None => json!({ "kind": label.kind, "vpn": label.vpn, "id": label.id }),
    }
}
