//! Section by section: keys, defaults and what values may be.

use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use bagpipe_bgp::types::{Asn, MacAddr, RouterId};
use bagpipe_bgp::wire::LongLived;
use bagpipe_common::limits;

use super::table::{Item, Section};
use super::{
    Api, Bgp, Config, Dataplane, Driver, LocalAddress, Prefix, State, Ttl, Vpn, bmp, default_socket,
    default_state_directory, is_interface_name, peers,
};
use crate::fib::MplsForm;
use crate::vpn::networks::RouteTargets;
use crate::vpn::{DuplicateDetection, Encapsulation, GATEWAY_MAC};

pub(super) const BGP_PORT: u16 = 179;
pub(super) const ANY_PORT: std::ops::RangeInclusive<u32> = 1..=65535;
/// Seconds.
const A_WEEK: u32 = 7 * 24 * 3600;
/// Sizes of maps for routes.
const MAXIMUM_ROUTES: std::ops::RangeInclusive<u32> = 1..=16_777_216;

/// Reads the whole document; `None` or a reported problem if something essential is missing.
pub(super) fn read(mut root: Section<'_, '_>, instance: &str) -> Option<Config> {
    let bgp = bgp(root.section("bgp"));
    let dataplane = dataplane(root.section("dataplane"));
    let vpn = vpn(root.section("vpn"));
    let api = api(root.section("api"), instance);
    let state = state(root.section("state"), instance);
    let route_targets = route_targets(root.section("route_targets"), bgp.as_ref().map(|bgp| bgp.as_number));
    root.finish();
    Some(Config { instance: instance.to_owned(), bgp: bgp?, dataplane, vpn, route_targets, api, state })
}

fn bgp(mut section: Section<'_, '_>) -> Option<Bgp> {
    if section.get("local_address").is_none() {
        section.missing(
            "local_address",
            "write local_address = \"ADDRESS\" or the name of an interface in [bgp]",
        );
    }
    if section.get("as_number").is_none() {
        section.missing("as_number", "write as_number = 64512 (a private AS) or your own in [bgp]");
    }
    let local_address = section.get("local_address").and_then(|item| local_address(&item));
    let as_number: Option<Asn> = section.get("as_number").and_then(|item| as_number(&item));
    let router_id = section.get("router_id").and_then(|item| router_id(&item));
    let listen = section.get("listen").map(|item| listen(&item)).unwrap_or_default();
    let hold_time = section.get("hold_time").and_then(|item| hold_time(&item)).unwrap_or(90);
    let restart_time = section.get("restart_time").and_then(|item| item.integer(0..=4095)).unwrap_or(120);
    let long_lived = section.get("long_lived_restart_time");
    let long_lived = long_lived.and_then(|item| item.integer(0..=LongLived::MAX_TIME)).unwrap_or(0);
    let listed = section.get("peers").map(|item| item.list()).unwrap_or_default();
    let peers = listed.iter().filter_map(|item| peers::peer(item.section(), as_number)).collect::<Vec<_>>();
    let reflector = peers::reflector(section.section("reflector"));
    let bmp = bmp::bmp(section.section("bmp"));
    if let Some(item) = section.get("peers") {
        for (position, peer) in peers.iter().enumerate() {
            if peers.iter().take(position).any(|other| other.address == peer.address) {
                item.refuse::<()>(
                    format!("{} is there twice", peer.address),
                    "keep one [[bgp.peers]] per address",
                );
            }
        }
    }
    section.finish();
    Some(Bgp {
        local_address: local_address?,
        router_id,
        as_number: as_number?,
        listen,
        hold_time,
        restart_time,
        long_lived_restart_time: long_lived,
        peers,
        reflector,
        bmp,
    })
}

fn local_address(item: &Item<'_, '_>) -> Option<LocalAddress> {
    let text = item.string()?;
    match text.parse::<IpAddr>() {
        Ok(address) if address.is_unspecified() || address.is_multicast() => {
            item.refuse(format!("{address} is not the address of a host"), "use an address of this node")
        }
        Ok(address) => Some(LocalAddress::Address(address)),
        Err(_) if is_interface_name(text) => Some(LocalAddress::Interface(text.to_owned())),
        Err(_) => item.refuse(
            format!("'{text}' is neither an address nor an interface name"),
            "use an address of this node such as \"10.0.0.1\", or an interface such as \"eth0\"",
        ),
    }
}

/// 0 is reserved (RFC 7607), and so is the largest number (RFC 7300).
pub(super) fn as_number(item: &Item<'_, '_>) -> Option<Asn> {
    item.integer(1..=u32::MAX - 1)
}

pub(super) fn router_id(item: &Item<'_, '_>) -> Option<RouterId> {
    let id: RouterId = item.parse("four octets such as \"10.0.0.1\"")?;
    // RFC 6286 §2.1
    if id.is_unspecified() {
        item.refuse("the router id is zero", "use an IPv4 address of this node")
    } else {
        Some(id)
    }
}

fn listen(item: &Item<'_, '_>) -> Vec<SocketAddr> {
    item.list().iter().filter_map(Item::socket_address).collect()
}

/// 0, or at least three seconds (RFC 4271 §4.2).
pub(super) fn hold_time(item: &Item<'_, '_>) -> Option<u16> {
    match item.integer(0..=65535)? {
        seconds @ (1 | 2) => {
            item.refuse(format!("{seconds} is out of range"), "use 0 or a number from 3 to 65535")
        }
        seconds => Some(seconds),
    }
}

pub(super) fn prefix(item: &Item<'_, '_>) -> Option<Prefix> {
    let text = item.string()?;
    let (address, length) =
        text.split_once('/').map_or((text, None), |(address, length)| (address, Some(length)));
    let parsed = address.parse::<IpAddr>().ok().and_then(|address| {
        let bits = if address.is_ipv4() { 32 } else { 128 };
        let length =
            length.map_or(Some(bits), |length| length.parse().ok().filter(|length| *length <= bits))?;
        Some(Prefix { address, length })
    });
    match parsed {
        Some(prefix) => Some(prefix),
        None => {
            item.refuse(format!("'{text}' is not a prefix"), "use ADDRESS/LENGTH such as \"10.0.0.0/24\"")
        }
    }
}

fn dataplane(mut section: Section<'_, '_>) -> Dataplane {
    let driver = section.get("driver").and_then(|item| driver(&item)).unwrap_or(Driver::Ebpf);
    let underlay = section.get("underlay").map(|item| item.list()).unwrap_or_default();
    let underlay: Vec<String> = underlay.iter().filter_map(interface).collect();
    if driver == Driver::Ebpf && section.get("underlay").is_none_or(|item| item.is_empty_list()) {
        section.missing(
            "underlay",
            "write underlay = [\"INTERFACE\"] in [dataplane], or driver = \"none\" for a control plane only",
        );
    }
    let vxlan_port = section.get("vxlan_port").and_then(|item| item.integer(ANY_PORT)).unwrap_or(4789);
    let local_address = section.get("local_address").and_then(|item| item.address());
    let mpls = section.get("mpls").and_then(|item| mpls(&item)).unwrap_or(MplsForm::Udp);
    let gateway_mac = section.get("gateway_mac").and_then(|item| mac(&item)).unwrap_or(GATEWAY_MAC);
    let router_mac = section.get("router_mac").and_then(|item| mac(&item));
    let ttl = section.get("ttl").and_then(|item| ttl(&item)).unwrap_or(Ttl::Pipe);
    let maximum_routes =
        section.get("maximum_routes").and_then(|item| item.integer(MAXIMUM_ROUTES)).unwrap_or(limits::ROUTES);
    section.finish();
    Dataplane {
        driver,
        underlay,
        vxlan_port,
        local_address,
        mpls,
        gateway_mac,
        router_mac,
        ttl,
        maximum_routes,
    }
}

fn mpls(item: &Item<'_, '_>) -> Option<MplsForm> {
    match item.string()? {
        "ethernet" => Some(MplsForm::Ethernet),
        "gre" => Some(MplsForm::Gre),
        "udp" => Some(MplsForm::Udp),
        _ => item.refuse("not an encapsulation of MPLS", "use \"ethernet\", \"gre\" or \"udp\""),
    }
}

fn mac(item: &Item<'_, '_>) -> Option<MacAddr> {
    let mac: MacAddr = item.parse("a MAC address such as \"00:00:5e:00:01:01\"")?;
    if mac.is_multicast() || mac.is_zero() {
        return item.refuse(format!("{mac} is not the address of an interface"), "use a unicast address");
    }
    Some(mac)
}

fn ttl(item: &Item<'_, '_>) -> Option<Ttl> {
    match item.string()? {
        "pipe" => Some(Ttl::Pipe),
        "uniform" => Some(Ttl::Uniform),
        other => item.refuse(format!("'{other}' is not a model of RFC 3443"), "use \"pipe\" or \"uniform\""),
    }
}

fn encapsulation(item: &Item<'_, '_>) -> Option<Encapsulation> {
    match item.string()? {
        "vxlan" => Some(Encapsulation::Vxlan),
        "mpls" => Some(Encapsulation::Mpls),
        other => item.refuse(format!("'{other}' is not an encapsulation"), "use \"vxlan\" or \"mpls\""),
    }
}

fn driver(item: &Item<'_, '_>) -> Option<Driver> {
    match item.string()? {
        "ebpf" => Some(Driver::Ebpf),
        "none" => Some(Driver::None),
        other => item.refuse(format!("'{other}' is not a driver"), "use \"ebpf\" or \"none\""),
    }
}

fn interface(item: &Item<'_, '_>) -> Option<String> {
    let name = item.string()?;
    if is_interface_name(name) {
        return Some(name.to_owned());
    }
    item.refuse(format!("'{name}' is not an interface name"), "use a name as `ip link` prints it")
}

fn vpn(mut section: Section<'_, '_>) -> Vpn {
    let vnis = section.get("vnis").and_then(|item| item.range(1..=0x00ff_ffff)).unwrap_or(16..=0x00ff_ffff);
    // 0 to 15 are reserved (RFC 3032 §2.1).
    let labels =
        section.get("labels").and_then(|item| item.range(16..=0x000f_ffff)).unwrap_or(16..=0x000f_ffff);
    let ipvpn_encapsulation = section
        .get("ipvpn_encapsulation")
        .and_then(|item| encapsulation(&item))
        .unwrap_or(Encapsulation::Mpls);
    let evpn_encapsulation = section
        .get("evpn_encapsulation")
        .and_then(|item| encapsulation(&item))
        .unwrap_or(Encapsulation::Vxlan);
    let duplicates = duplicates(&mut section);
    section.finish();
    Vpn { vnis, labels, ipvpn_encapsulation, evpn_encapsulation, duplicates }
}

/// Without a time for recovery only an operator ends it.
fn duplicates(section: &mut Section<'_, '_>) -> DuplicateDetection {
    let usual = DuplicateDetection::default();
    let seconds = |seconds: u32| Duration::from_secs(seconds.into());
    let mut number = |key, range| section.get(key).and_then(|item| item.integer(range));
    DuplicateDetection {
        moves: number("duplicate_mac_moves", 0..=1_000).unwrap_or(usual.moves),
        window: number("duplicate_mac_window", 1..=86_400).map_or(usual.window, seconds),
        recovery: number("duplicate_mac_recovery", 0..=86_400)
            .map_or(usual.recovery, |time| (time > 0).then(|| seconds(time))),
    }
}

/// Beside an AS number of more than 16 bits there is room for 16 bits (RFC 5668 §2).
fn route_targets(mut section: Section<'_, '_>, own: Option<Asn>) -> RouteTargets {
    let as_number = section.get("as_number").and_then(|item| as_number(&item)).or(own).unwrap_or_default();
    let last = if as_number > u32::from(u16::MAX) { u16::MAX.into() } else { u32::MAX };
    let listed = section.get("ranges").map(|item| item.list()).unwrap_or_default();
    let ranges = listed.iter().filter_map(|item| item.range_between(':', 1..=last)).collect();
    section.finish();
    RouteTargets { as_number, ranges }
}

fn api(mut section: Section<'_, '_>, instance: &str) -> Api {
    let default = SocketAddr::from(([127, 0, 0, 1], 8082));
    let token_file = section.get("token_file").and_then(|item| path(&item));
    let listen = section.get("listen").map_or(Some(default), |item| api_listen(&item, token_file.is_some()));
    let socket = section.get("socket").and_then(|item| path(&item));
    let metrics = section.get("metrics").and_then(|item| item.socket_address());
    section.finish();
    Api { listen, token_file, socket: socket.unwrap_or_else(|| default_socket(instance)), metrics }
}

/// Who reaches the API changes what this node forwards, and without a token it asks nobody who they are.
fn api_listen(item: &Item<'_, '_>, has_token: bool) -> Option<SocketAddr> {
    if item.string()?.is_empty() {
        return None;
    }
    let address = item.socket_address()?;
    if address.ip().is_loopback() || has_token {
        return Some(address);
    }
    item.refuse(
        format!("{address} is open to the network, and nobody is asked who they are"),
        "use a loopback address such as \"127.0.0.1:8082\", with a TLS proxy before it, or set token_file",
    )
}

fn state(mut section: Section<'_, '_>, instance: &str) -> State {
    let directory = section.get("directory").and_then(|item| path(&item));
    let stale_time = section.get("stale_time").and_then(|item| item.integer(0..=A_WEEK)).unwrap_or(0);
    section.finish();
    State { directory: directory.unwrap_or_else(|| default_state_directory(instance)), stale_time }
}

fn path(item: &Item<'_, '_>) -> Option<PathBuf> {
    let path = PathBuf::from(item.string()?);
    if path.is_absolute() {
        return Some(path);
    }
    item.refuse(format!("'{}' is not an absolute path", path.display()), "start it with '/'")
}
