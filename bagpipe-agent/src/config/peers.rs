//! `[[bgp.peers]]` and `[bgp.reflector]`: whom we talk to, and on what terms.

use std::collections::BTreeMap;
use std::fmt;
use std::net::{IpAddr, Ipv4Addr};

use bagpipe_bgp::speaker::{Export, Import, NextHopPolicy, SpeakerConfig};
use bagpipe_bgp::types::{Asn, Family};
use serde::{Serialize, Serializer};

use super::Prefix;
use super::sections::{ANY_PORT, BGP_PORT, as_number, hold_time, prefix, router_id};
use super::table::{Item, Section};
use super::tcp_ao::{self, TcpAo};

const FAMILIES: &[Family] = &SpeakerConfig::FAMILIES;
const FAMILY_NAMES: &str =
    "\"evpn\", \"vpnv4\", \"vpnv6\", \"flowspec-vpnv4\", \"flowspec-vpnv6\" or \"rtc\"";

/// The largest number of paths that can be asked for: more than a route ever has, so all of them.
const MOST_PATHS: u32 = 65_535;

/// The longest key that the kernel takes (linux/tcp.h, TCP_MD5SIG_MAXKEYLEN and TCP_AO_MAXKEYLEN).
const KEY_LENGTH: usize = 80;

/// `[[bgp.peers]]`
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Peer {
    /// Address of the peer.
    pub address: IpAddr,
    /// TCP port of the peer.
    pub port: u16,
    /// Autonomous system of the peer; default: our own.
    pub as_number: Asn,
    /// Wait for the peer to connect.
    pub passive: bool,
    /// Families to negotiate.
    pub families: Vec<Family>,
    /// Proposed hold time in seconds; default: `bgp.hold_time`.
    pub hold_time: Option<u16>,
    /// Which of its routes are taken.
    pub import: Import,
    /// Which routes it is told.
    pub export: Export,
    /// Which next hop it is told.
    pub next_hop: NextHopPolicy,
    /// What it has to prove, and how much it may send.
    #[serde(flatten)]
    pub terms: Terms,
}

/// `[bgp.reflector]` (RFC 4456)
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Reflector {
    /// Peers in these prefixes are accepted as clients.
    pub clients: Vec<Prefix>,
    /// How many of them at a time.
    pub maximum_clients: usize,
    /// CLUSTER_ID; default: the router id.
    pub cluster_id: Option<Ipv4Addr>,
    /// What each of them has to prove, and how much it may send.
    #[serde(flatten)]
    pub terms: Terms,
}

/// What a peer has to prove, and how much it may send.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Terms {
    /// Key of the signature of every TCP segment (RFC 2385).
    pub password: Option<Secret>,
    /// Key of the authentication of every TCP segment (RFC 5925); never beside a password.
    pub tcp_ao: Option<TcpAo>,
    /// The peer is at most so many hops away, and proves it by the TTL of its packets (RFC 5082).
    pub ttl_security: Option<u8>,
    /// How many routes the peer may announce.
    pub maximum_prefixes: Option<MaximumPrefixes>,
    /// Whether several paths of a route are taken from the peer and sent to it (RFC 7911).
    pub add_paths: Option<AddPathsTerms>,
}

impl Terms {
    /// These, and where they say nothing those of `others`.
    #[must_use]
    pub fn or(self, others: &Self) -> Self {
        // Segments have one signature: a key of one kind takes the place of one of the other.
        let signed = if self.is_signed() { &self } else { others };
        Self {
            password: signed.password.clone(),
            tcp_ao: signed.tcp_ao.clone(),
            ttl_security: self.ttl_security.or(others.ttl_security),
            maximum_prefixes: self.maximum_prefixes.or_else(|| others.maximum_prefixes.clone()),
            add_paths: self.add_paths.or(others.add_paths),
        }
    }

    /// Whether segments have to be signed.
    #[must_use]
    pub fn is_signed(&self) -> bool {
        self.password.is_some() || self.tcp_ao.is_some()
    }
}

/// `add_paths`
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct AddPathsTerms {
    /// Take as many paths of a route as the peer sends.
    pub receive: bool,
    /// Send so many of the best; 0: the best one alone, without an identifier.
    pub send: u32,
}

/// A password. It is shown to nobody.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// The password's octets.
    #[must_use]
    pub fn expose(&self) -> &[u8] {
        self.0.as_bytes()
    }
}

impl From<&str> for Secret {
    fn from(text: &str) -> Self {
        Self(text.to_owned())
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("(hidden)")
    }
}

impl Serialize for Secret {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str("(hidden)")
    }
}

/// `maximum_prefixes`
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct MaximumPrefixes {
    /// Routes that may be announced, by family; a family that is not here has the usual limit.
    #[serde(flatten)]
    pub limits: BTreeMap<Family, u32>,
    /// Percent of a limit from which on a warning is logged; 100: none.
    pub warning: u8,
    /// Seconds for which a peer that exceeds a limit is kept away; 0: until a restart of the agent.
    pub restart: u32,
}

impl Default for MaximumPrefixes {
    fn default() -> Self {
        Self { limits: BTreeMap::new(), warning: 80, restart: 300 }
    }
}

pub(super) fn peer(mut section: Section<'_, '_>, own: Option<Asn>) -> Option<Peer> {
    if section.get("address").is_none() && section.is_present() {
        section.missing("address", "write address = \"ADDRESS\" in each [[bgp.peers]]");
    }
    let address = section.get("address").and_then(|item| item.address());
    let port = section.get("port").and_then(|item| item.integer(ANY_PORT)).unwrap_or(BGP_PORT);
    let as_number = section.get("as_number").and_then(|item| as_number(&item)).or(own);
    let passive = section.get("passive").and_then(|item| item.boolean()).unwrap_or(false);
    let families = section.get("families").map(|item| families(&item)).unwrap_or(FAMILIES.to_vec());
    let hold_time = section.get("hold_time").and_then(|item| hold_time(&item));
    let internal = as_number == own;
    let import = section.get("import").and_then(|item| import(&item)).unwrap_or(Import::usual(internal));
    let export = section.get("export").and_then(|item| export(&item)).unwrap_or(Export::usual(internal));
    let next_hop = section.get("next_hop").and_then(|item| next_hop(&item)).unwrap_or_default();
    let terms = terms(&mut section);
    section.finish();
    Some(Peer {
        address: address?,
        port,
        as_number: as_number?,
        passive,
        families,
        hold_time,
        import,
        export,
        next_hop,
        terms,
    })
}

pub(super) fn reflector(mut section: Section<'_, '_>) -> Option<Reflector> {
    let clients = section.get("clients").map(|item| item.list()).unwrap_or_default();
    let clients = clients.iter().filter_map(prefix).collect();
    let maximum_clients = section.get("maximum_clients").and_then(|item| item.integer(1..=1_000_000));
    let maximum_clients = maximum_clients.unwrap_or(SpeakerConfig::MAX_CLIENTS);
    let cluster_id = section.get("cluster_id").and_then(|item| router_id(&item));
    let terms = terms(&mut section);
    let present = section.is_present();
    section.finish();
    present.then_some(Reflector { clients, maximum_clients, cluster_id, terms })
}

fn terms(section: &mut Section<'_, '_>) -> Terms {
    let (password, tcp_ao) = (section.get("password"), section.get("tcp_ao"));
    if let (Some(_), Some(tcp_ao)) = (&password, &tcp_ao) {
        tcp_ao.refuse::<()>(
            "stands beside a password",
            "remove one: a segment has one signature (RFC 5925 §2)",
        );
    }
    Terms {
        password: password.and_then(|item| secret(&item)),
        tcp_ao: tcp_ao.and_then(|item| tcp_ao::tcp_ao(item.section())),
        ttl_security: section.get("ttl_security").and_then(|item| ttl_security(&item)),
        maximum_prefixes: section
            .get("maximum_prefixes")
            .and_then(|item| maximum_prefixes(&item, item.section())),
        add_paths: section.get("add_paths").map(|item| add_paths(item.section())),
    }
}

fn families(item: &Item<'_, '_>) -> Vec<Family> {
    let mut families = Vec::new();
    if item.is_empty_list() {
        item.refuse::<()>("no family at all", format!("use some of {FAMILY_NAMES}, or remove the key"));
    }
    for member in item.list() {
        match member.parse::<Family>(FAMILY_NAMES) {
            Some(family) if families.contains(&family) => {
                member.refuse::<()>(format!("{family} is there twice"), "keep one");
            }
            Some(family) if FAMILIES.contains(&family) => families.push(family),
            Some(family) => {
                member.refuse::<()>(format!("{family} is not spoken"), format!("use {FAMILY_NAMES}"));
            }
            None => {}
        }
    }
    families
}

fn import(item: &Item<'_, '_>) -> Option<Import> {
    match item.string()? {
        "all" => Some(Import::All),
        "none" => Some(Import::None),
        other => item.refuse(format!("'{other}' is not a policy"), "use \"all\" or \"none\""),
    }
}

fn export(item: &Item<'_, '_>) -> Option<Export> {
    match item.string()? {
        "all" => Some(Export::All),
        "own" => Some(Export::Own),
        "none" => Some(Export::None),
        other => item.refuse(format!("'{other}' is not a policy"), "use \"all\", \"own\" or \"none\""),
    }
}

fn next_hop(item: &Item<'_, '_>) -> Option<NextHopPolicy> {
    match item.string()? {
        "unchanged" => Some(NextHopPolicy::Unchanged),
        "self" => Some(NextHopPolicy::Ourselves),
        other => item.refuse(format!("'{other}' is not a policy"), "use \"unchanged\" or \"self\""),
    }
}

/// A password or key.
pub(super) fn secret(item: &Item<'_, '_>) -> Option<Secret> {
    let text = item.string()?;
    if (1..=KEY_LENGTH).contains(&text.len()) {
        return Some(text.into());
    }
    item.refuse(format!("has {} octets", text.len()), format!("use 1 to {KEY_LENGTH}, or remove the key"))
}

/// `true` for a peer on a common link, or its distance in hops; `false` as if it were not there.
fn ttl_security(item: &Item<'_, '_>) -> Option<u8> {
    if item.is_boolean() { item.boolean()?.then_some(1) } else { item.integer(1..=254) }
}

fn add_paths(mut section: Section<'_, '_>) -> AddPathsTerms {
    let receive = section.get("receive").and_then(|item| item.boolean()).unwrap_or(false);
    let send = section.get("send").and_then(|item| item.integer(0..=MOST_PATHS)).unwrap_or(0);
    section.finish();
    AddPathsTerms { receive, send }
}

fn maximum_prefixes(item: &Item<'_, '_>, mut section: Section<'_, '_>) -> Option<MaximumPrefixes> {
    let MaximumPrefixes { mut limits, warning, restart } = MaximumPrefixes::default();
    for (key, family) in [
        ("evpn", Family::EVPN),
        ("vpnv4", Family::VPNV4),
        ("vpnv6", Family::VPNV6),
        ("flowspec-vpnv4", Family::FLOWSPEC_VPNV4),
        ("flowspec-vpnv6", Family::FLOWSPEC_VPNV6),
        ("rtc", Family::ROUTE_TARGET),
    ] {
        limits.extend(section.get(key).and_then(|item| Some((family, item.integer(1..=u32::MAX)?))));
    }
    let warning = section.get("warning").and_then(|item| item.integer(1..=100)).unwrap_or(warning);
    let restart = section.get("restart").and_then(|item| item.integer(0..=86_400)).unwrap_or(restart);
    let present = section.is_present();
    section.finish();
    if limits.is_empty() && present {
        return item.refuse("limits no family", "write { evpn = 100000 }, or remove the key");
    }
    Some(MaximumPrefixes { limits, warning, restart })
}
