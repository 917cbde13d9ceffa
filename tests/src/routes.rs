//! VPN routes as different speakers print them, brought to one form, so that they can be compared field by field.

use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv6Addr};

use bagpipe_agent::lab::{Agent, LabError};
use serde_json::Value;

use crate::frr::Frr;
use crate::gobgp::Reflector;

/// A route of an IP-VPN, or of an E-VPN that belongs to one.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Route {
    /// What kind of route it is.
    pub kind: Kind,
    /// Route distinguisher.
    pub rd: String,
    /// The prefix; of a type 2 route the MAC address and the IP address, of a type 3 route the originator.
    pub prefix: String,
    /// The labels; of E-VPN routes the numbers in the label fields, 24 bits wide, of a type 3 route that in its PMSI
    /// tunnel.
    pub labels: Vec<u64>,
    /// Next hop. An IPv4 address in IPv6's form (RFC 4659 §3.2.1.2) is shown as IPv4 address.
    pub next_hop: String,
    /// LOCAL_PREF.
    pub local_pref: Option<u64>,
    /// Extended communities: `rt:AS:N`, `encap:TYPE`, `router-mac:MAC`.
    pub communities: BTreeSet<String>,
}

/// The kinds of routes that E-VPNs and IP-VPNs live by.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// VPN-IPv4 and VPN-IPv6 (RFC 4364 §4.3.4, RFC 4659 §2).
    Vpn,
    /// E-VPN type 2 with an IP address (RFC 7432 §7.2).
    MacIp,
    /// E-VPN type 3 whose PMSI is ingress replication (RFC 7432 §7.3, RFC 6514 §5).
    Multicast,
    /// E-VPN type 5 (RFC 9136 §3.1).
    IpPrefix,
}

impl Kind {
    /// The family that it is of, in our words, with this prefix.
    #[must_use]
    pub fn family(self, prefix: &str) -> &'static str {
        match self {
            Self::Vpn if prefix.contains(':') => "vpnv6",
            Self::Vpn => "vpnv4",
            Self::MacIp | Self::Multicast | Self::IpPrefix => "evpn",
        }
    }
}

/// The routes of these kinds that an agent has.
///
/// # Errors
/// When it does not answer.
pub fn of_agent(agent: &Agent) -> Result<BTreeSet<Route>, LabError> {
    let shown = agent.json(&["show", "routes"])?;
    Ok(list(&shown).iter().filter_map(agent_route).collect())
}

/// The routes of these kinds that GoBGP has.
///
/// # Errors
/// When it does not answer.
pub fn of_gobgp(gobgp: &Reflector) -> Result<BTreeSet<Route>, LabError> {
    let mut routes = BTreeSet::new();
    for family in ["vpnv4", "vpnv6", "evpn"] {
        let shown = gobgp.gobgp(&["global", "rib", "-a", family, "-j"])?;
        let shown: Value = serde_json::from_str(&shown).unwrap_or_default();
        let paths = shown.as_object().into_iter().flat_map(|paths| paths.values());
        routes.extend(paths.filter_map(|paths| gobgp_route(paths.get(0)?)));
    }
    Ok(routes)
}

/// The routes of these kinds that FRR has.
///
/// # Errors
/// When it does not answer.
pub fn of_frr(frr: &Frr) -> Result<BTreeSet<Route>, LabError> {
    let mut routes = BTreeSet::new();
    for family in ["ipv4", "ipv6"] {
        let shown = frr.json(&format!("show bgp {family} vpn"))?;
        for (rd, prefixes) in members(&shown["routes"]["routeDistinguishers"]) {
            for (prefix, _) in members(prefixes) {
                let detail = frr.json(&format!("show bgp {family} vpn {prefix}"))?;
                routes.extend(frr_vpn_route(rd, &detail[rd]));
            }
        }
    }
    let shown = frr.json("show bgp l2vpn evpn route detail")?;
    let entries = members(&shown).flat_map(|(rd, routes)| members(routes).map(move |(_, route)| (rd, route)));
    routes.extend(entries.filter_map(|(rd, route)| frr_evpn_route(rd, route)));
    Ok(routes)
}

fn agent_route(shown: &Value) -> Option<Route> {
    let nlri = &shown["nlri"];
    let (kind, prefix, labels) = match nlri["type"].as_str() {
        Some("ip-prefix") => (Kind::IpPrefix, text(&nlri["prefix"])?, numbers([&nlri["label"]])),
        Some("mac-ip") => {
            let prefix = format!("{} {}", text(&nlri["mac"])?, text(&nlri["ip"])?);
            (Kind::MacIp, prefix, numbers([&nlri["label"], &nlri["ip_label"]]))
        }
        Some("inclusive-multicast") => {
            let tunnel = &shown["attributes"]["pmsi_tunnel"];
            tunnel["tunnel"].get("ingress-replication")?;
            (Kind::Multicast, text(&nlri["originator"])?, numbers([&tunnel["label"]]))
        }
        Some(_) => return None,
        None if nlri["match"].is_object() => return None,
        None => (Kind::Vpn, text(&nlri["prefix"])?, numbers(list(&nlri["labels"]))),
    };
    let attributes = &shown["attributes"];
    let communities = list(&attributes["extended_communities"]).iter().filter_map(text);
    let tunnels = [("vxlan", 8), ("mpls", 10), ("mpls-in-gre", 11), ("mpls-in-udp", 13)];
    Some(Route {
        kind,
        rd: text(&nlri["rd"])?,
        prefix,
        labels,
        next_hop: address(&shown["next_hop"])?,
        local_pref: attributes["local_pref"].as_u64(),
        communities: communities
            .map(|community| {
                let tunnel = community.strip_prefix("encap:").unwrap_or_default();
                let number = tunnels.iter().find(|(name, _)| *name == tunnel);
                number.map_or(community.clone(), |(_, number)| format!("encap:{number}"))
            })
            .collect(),
    })
}

fn gobgp_route(path: &Value) -> Option<Route> {
    let (kind, nlri) = match path["nlri"]["type"].as_u64() {
        None => (Kind::Vpn, &path["nlri"]),
        Some(2) => (Kind::MacIp, &path["nlri"]["value"]),
        Some(3) => (Kind::Multicast, &path["nlri"]["value"]),
        Some(5) => (Kind::IpPrefix, &path["nlri"]["value"]),
        Some(_) => return None,
    };
    let attribute = |code: u64| list(&path["attrs"]).iter().find(|attribute| attribute["type"] == code);
    let community = |community: &Value| {
        let field = |name: &str| community[name].as_u64();
        match (field("type")?, field("subtype")?) {
            // RFC 4360 §4, of two octets of AS number; RFC 9012 §4.1; RFC 9135 §8.1.
            (0, 2) => Some(format!("rt:{}", text(&community["value"])?)),
            (3, 12) => Some(format!("encap:{}", community["tunnel_type"])),
            (6, 3) => Some(format!("router-mac:{}", text(&community["mac"])?)),
            other => Some(format!("{other:?}")),
        }
    };
    Some(Route {
        kind,
        rd: format!("{}:{}", plain(&nlri["rd"]["admin"]), plain(&nlri["rd"]["assigned"])),
        prefix: match kind {
            Kind::MacIp => format!("{} {}", text(&nlri["mac"])?, text(&nlri["ip"])?),
            Kind::Multicast => text(&nlri["ip"])?,
            Kind::Vpn | Kind::IpPrefix => text(&nlri["prefix"])?,
        },
        labels: match kind {
            Kind::IpPrefix => numbers([&nlri["label"]]),
            // Type 6 is ingress replication (RFC 6514 §5).
            Kind::Multicast => {
                let tunnel = attribute(22).filter(|tunnel| tunnel["tunnel-type"] == 6)?;
                numbers([&tunnel["label"]])
            }
            Kind::Vpn | Kind::MacIp => numbers(list(&nlri["labels"])),
        },
        next_hop: address(&attribute(14)?["nexthop"])?,
        local_pref: attribute(5).and_then(|attribute| attribute["value"].as_u64()),
        communities: list(&attribute(16)?["value"]).iter().filter_map(community).collect(),
    })
}

fn frr_vpn_route(rd: &str, detail: &Value) -> Option<Route> {
    let path = &detail["paths"][0];
    Some(Route {
        kind: Kind::Vpn,
        rd: rd.to_owned(),
        prefix: text(&detail["prefix"])?,
        labels: numbers([&path["remoteLabel"]]),
        next_hop: address(&path["nexthops"][0]["ip"])?,
        local_pref: path["locPrf"].as_u64(),
        communities: frr_communities(path)?,
    })
}

fn frr_evpn_route(rd: &str, route: &Value) -> Option<Route> {
    let ip = text(&route["ip"])?;
    let (kind, prefix) = match route["routeType"].as_u64()? {
        2 => (Kind::MacIp, format!("{} {ip}", text(&route["mac"])?)),
        3 => (Kind::Multicast, ip),
        5 => (Kind::IpPrefix, format!("{ip}/{}", route["ipLen"])),
        _ => return None,
    };
    let path = &route["paths"][0][0];
    Some(Route {
        kind,
        rd: rd.to_owned(),
        prefix,
        labels: match kind {
            Kind::Multicast => numbers([&path["pmsi"]["label"]]),
            _ => text(&path["vni"])?.split('/').filter_map(|number| number.parse().ok()).collect(),
        },
        next_hop: address(&path["nexthops"][0]["ip"])?,
        local_pref: path["locPrf"].as_u64(),
        communities: frr_communities(path)?,
    })
}

fn frr_communities(path: &Value) -> Option<BTreeSet<String>> {
    let shown = text(&path["extendedCommunity"]["string"])?;
    let names = [("RT:", "rt:"), ("ET:", "encap:"), ("Rmac:", "router-mac:")];
    let renamed = |word: &str| {
        let rest = |(theirs, ours): &(&str, &str)| Some(format!("{ours}{}", word.strip_prefix(theirs)?));
        names.iter().find_map(rest).unwrap_or_else(|| word.to_owned())
    };
    Some(shown.split(' ').map(renamed).collect())
}

/// An extended community by its eight octets: as [`Route::communities`] has it.
pub(crate) fn community(octets: u64) -> String {
    let [kind, subtype, a, b, c, d, e, f] = octets.to_be_bytes();
    match (kind, subtype) {
        (0, 2) => format!("rt:{}:{}", u16::from_be_bytes([a, b]), u32::from_be_bytes([c, d, e, f])),
        (3, 12) => format!("encap:{}", u16::from_be_bytes([e, f])),
        _ => format!("{octets:016x}"),
    }
}

fn text(value: &Value) -> Option<String> {
    value.as_str().map(str::to_owned)
}

/// A number, or a string without its quotes.
fn plain(value: &Value) -> String {
    text(value).unwrap_or_else(|| value.to_string())
}

fn address(value: &Value) -> Option<String> {
    short_address(value.as_str()?)
}

/// An IP address in its shortest form, and as IPv4 address if it is one.
pub(crate) fn short_address(text: &str) -> Option<String> {
    let address: IpAddr = text.parse().ok()?;
    let short = match address {
        IpAddr::V6(address) => Ipv6Addr::to_ipv4_mapped(&address).map_or(IpAddr::V6(address), IpAddr::V4),
        IpAddr::V4(_) => address,
    };
    Some(short.to_string())
}

fn numbers<'a>(values: impl IntoIterator<Item = &'a Value>) -> Vec<u64> {
    values.into_iter().filter_map(Value::as_u64).collect()
}

fn list(value: &Value) -> &[Value] {
    value.as_array().map_or(&[], Vec::as_slice)
}

fn members(value: &Value) -> impl Iterator<Item = (&String, &Value)> {
    value.as_object().into_iter().flatten()
}
