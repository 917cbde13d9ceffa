//! The configuration file: what it may say, and what it says once it is checked.
//!
//! Reading it changes nothing and asks nothing of the system, so that it can be checked anywhere.

mod bmp;
mod difference;
mod error;
mod ini;
mod peers;
mod predecessor;
mod sections;
mod table;
mod tcp_ao;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};

use bagpipe_bgp::types::{Asn, MacAddr, RouterId};
use serde::ser::{SerializeMap, SerializeStruct};
use serde::{Serialize, Serializer};
use toml::de::DeTable;

use crate::fib::MplsForm;
use crate::vpn::networks::RouteTargets;
use crate::vpn::{DuplicateDetection, Encapsulation};

pub use bmp::Bmp;
pub use error::{ConfigError, Problem, ProblemKind};
pub use peers::{AddPathsTerms, MaximumPrefixes, Peer, Reflector, Secret, Terms};
pub use predecessor::{Converted, System, convert, is_predecessors};
pub use tcp_ao::{AoAlgorithm, TcpAo};

/// The file that is read when the command line names none.
pub const DEFAULT_FILE: &str = "/etc/bagpipe/bagpipe.toml";

/// The name of the agent when the command line gives none.
pub const DEFAULT_INSTANCE: &str = "default";

/// A checked configuration, with defaults filled in.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Config {
    /// Name of this agent among those of one kernel.
    pub instance: String,
    /// `[bgp]`
    pub bgp: Bgp,
    /// `[dataplane]`
    pub dataplane: Dataplane,
    /// `[vpn]`
    pub vpn: Vpn,
    /// `[route_targets]`
    #[serde(serialize_with = "route_targets")]
    pub route_targets: RouteTargets,
    /// `[ports]`
    pub ports: Ports,
    /// `[api]`
    pub api: Api,
    /// `[state]`
    pub state: State,
}

/// An address, or the interface to take it from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum LocalAddress {
    /// The address.
    Address(IpAddr),
    /// The first global address of an interface.
    Interface(String),
}

/// `[bgp]`
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Bgp {
    /// BGP source address, default next hop and default router id.
    pub local_address: LocalAddress,
    /// BGP identifier; default: the local address if it is IPv4.
    pub router_id: Option<RouterId>,
    /// Our autonomous system.
    pub as_number: Asn,
    /// Where sessions are accepted; with a reflector, by default port 179 of the local address.
    pub listen: Vec<SocketAddr>,
    /// Proposed hold time in seconds (RFC 4271 §4.2); 0: no keepalives.
    pub hold_time: u16,
    /// Seconds for which peers are asked to keep our routes while we restart (RFC 4724 §3); 0: not at all.
    pub restart_time: u16,
    /// Seconds for which peers are asked to keep them after that, as the last resort (RFC 9494), and we theirs at
    /// most; 0: not at all.
    pub long_lived_restart_time: u32,
    /// Configured peers.
    pub peers: Vec<Peer>,
    /// `[bgp.reflector]`, if this agent is one.
    pub reflector: Option<Reflector>,
    /// `[bgp.bmp]`, if a station is to be told of sessions and routes.
    pub bmp: Option<Bmp>,
}

/// An address prefix.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Prefix {
    /// Network address.
    pub address: IpAddr,
    /// Length in bits.
    pub length: u8,
}

impl Prefix {
    /// The prefix of one address alone.
    #[must_use]
    pub const fn host(address: IpAddr) -> Self {
        Self { address, length: if address.is_ipv4() { 32 } else { 128 } }
    }

    /// Whether an address is in the prefix.
    #[must_use]
    pub fn contains(&self, address: IpAddr) -> bool {
        let shift = |width: u32| width.saturating_sub(self.length.into());
        match (self.address, address) {
            (IpAddr::V4(own), IpAddr::V4(other)) => {
                (own.to_bits() ^ other.to_bits()).checked_shr(shift(u32::BITS)).unwrap_or(0) == 0
            }
            (IpAddr::V6(own), IpAddr::V6(other)) => {
                (own.to_bits() ^ other.to_bits()).checked_shr(shift(u128::BITS)).unwrap_or(0) == 0
            }
            _ => false,
        }
    }
}

impl fmt::Display for Prefix {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.address, self.length)
    }
}

impl Serialize for Prefix {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// What writes the forwarding state.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Driver {
    /// BPF programs and maps.
    Ebpf,
    /// Nothing: control plane only.
    None,
}

/// `[dataplane]`
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Dataplane {
    /// What writes the forwarding state.
    pub driver: Driver,
    /// Interfaces that carry encapsulated traffic.
    pub underlay: Vec<String>,
    /// UDP port of VXLAN.
    pub vxlan_port: u16,
    /// Address of the local tunnel endpoint; default: `bgp.local_address`.
    pub local_address: Option<IpAddr>,
    /// What carries labels, where the remote endpoint gives the choice.
    pub mpls: MplsForm,
    /// The gateway's MAC address, the same on every node.
    pub gateway_mac: MacAddr,
    /// The MAC address of this node's router for others; default: made from the tunnel endpoint's address.
    pub router_mac: Option<MacAddr>,
    /// How the TTL of labels goes with that of packets.
    pub ttl: Ttl,
    /// Routes of hosts that the maps take, and as many of other prefixes.
    pub maximum_routes: u32,
}

/// How the TTL of labels goes with that of packets (RFC 3443).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Ttl {
    /// The tunnel is one hop, whatever is on the way.
    Pipe,
    /// Each hop of the tunnel counts.
    Uniform,
}

/// `[vpn]`
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Vpn {
    /// What VNIs are drawn from when an attachment gives none.
    #[serde(serialize_with = "as_range")]
    pub vnis: RangeInclusive<u32>,
    /// What labels are drawn from.
    #[serde(serialize_with = "as_range")]
    pub labels: RangeInclusive<u32>,
    /// What IP-VPN routes are announced with.
    pub ipvpn_encapsulation: Encapsulation,
    /// What E-VPN routes are announced with.
    pub evpn_encapsulation: Encapsulation,
    /// When a MAC address moves too often.
    #[serde(flatten, serialize_with = "as_keys")]
    pub duplicates: DuplicateDetection,
}

/// As the keys of `[vpn]`.
fn as_keys<S: Serializer>(duplicates: &DuplicateDetection, serializer: S) -> Result<S::Ok, S::Error> {
    let mut keys = serializer.serialize_map(Some(3))?;
    keys.serialize_entry("duplicate_mac_moves", &duplicates.moves)?;
    keys.serialize_entry("duplicate_mac_window", &duplicates.window.as_secs())?;
    keys.serialize_entry("duplicate_mac_recovery", &duplicates.recovery.map_or(0, |time| time.as_secs()))?;
    keys.end()
}

fn as_range<S: Serializer>(range: &RangeInclusive<u32>, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(&format_args!("{}-{}", range.start(), range.end()))
}

fn route_targets<S: Serializer>(targets: &RouteTargets, serializer: S) -> Result<S::Ok, S::Error> {
    let ranges: Vec<String> =
        targets.ranges.iter().map(|range| format!("{}:{}", range.start(), range.end())).collect();
    let mut fields = serializer.serialize_struct("RouteTargets", 2)?;
    fields.serialize_field("as_number", &targets.as_number)?;
    fields.serialize_field("ranges", &ranges)?;
    fields.end()
}

/// `[ports]`
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Ports {
    /// The interfaces that stand for ports of Open vSwitch, by the names and numbers that these have in requests.
    pub trunks: BTreeMap<String, String>,
}

/// `[api]`
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Api {
    /// TCP address of the REST API, on loopback unless there is a token; `None` if it is off (`listen = ""`).
    pub listen: Option<SocketAddr>,
    /// File with the token that clients over TCP have to know.
    pub token_file: Option<PathBuf>,
    /// Path of the REST API's unix socket.
    pub socket: PathBuf,
    /// Where metrics are served, if at all.
    pub metrics: Option<SocketAddr>,
}

/// `[state]`
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct State {
    /// Where attachments are kept over restarts.
    pub directory: PathBuf,
    /// Seconds after a start when what no client has attached again since is detached; 0: never.
    pub stale_time: u32,
}

/// Why the configured local address cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum AddressError {
    /// The interface has no usable address.
    #[error(
        "bgp.local_address: interface {0} is not there, or has no global address; correct the name, give it an address, \
         or write the address itself"
    )]
    NoAddress(String),
    /// An IPv6 address says nothing about the router id (RFC 6286).
    #[error("bgp.router_id: missing, and {0} is not an IPv4 address to take it from; set bgp.router_id")]
    NoRouterId(IpAddr),
}

impl Config {
    /// Reads and checks a file.
    pub fn load(path: &Path, instance: &str) -> Result<Self, ConfigError> {
        let text = std::fs::read_to_string(path)
            .map_err(|source| ConfigError::Read { path: path.to_owned(), source })?;
        Self::parse(&text, path, instance)
    }

    /// Checks a text; `path` is only for messages.
    pub fn parse(text: &str, path: &Path, instance: &str) -> Result<Self, ConfigError> {
        let reader = table::Reader::new(text);
        let document = DeTable::parse(text).map_err(|error| ConfigError::Syntax {
            path: path.to_owned(),
            line: reader.line(error.span().map_or(0, |span| span.start)),
            message: error.message().lines().collect::<Vec<_>>().join(", "),
        })?;
        let config = sections::read(reader.root(document.get_ref()), instance);
        let problems = reader.problems();
        match config {
            Some(config) if problems.is_empty() => Ok(config),
            _ => Err(ConfigError::Invalid { path: path.to_owned(), problems }),
        }
    }

    /// Whether there is a password or another key in it.
    #[must_use]
    pub fn has_password(&self) -> bool {
        let peers = self.bgp.peers.iter().map(|peer| &peer.terms);
        let clients = self.bgp.reflector.iter().map(|reflector| &reflector.terms);
        peers.chain(clients).any(Terms::is_signed)
    }

    /// The BGP identifier, given the local address.
    pub fn router_id(&self, local_address: IpAddr) -> Result<RouterId, AddressError> {
        match (self.bgp.router_id, local_address) {
            (Some(router_id), _) => Ok(router_id),
            (None, IpAddr::V4(address)) => Ok(address),
            (None, IpAddr::V6(_)) => Err(AddressError::NoRouterId(local_address)),
        }
    }

    /// Where sessions are accepted, given the local address.
    #[must_use]
    pub fn bgp_listen(&self, local_address: IpAddr) -> Vec<SocketAddr> {
        if self.bgp.listen.is_empty() && self.bgp.reflector.is_some() {
            return vec![SocketAddr::new(local_address, sections::BGP_PORT)];
        }
        self.bgp.listen.clone()
    }
}

/// The unix socket of the agent of that name, unless its configuration says otherwise.
#[must_use]
pub fn default_socket(instance: &str) -> PathBuf {
    let name = if instance == DEFAULT_INSTANCE { "bagpipe" } else { instance };
    Path::new("/run/bagpipe").join(format!("{name}.sock"))
}

/// The state directory of the agent of that name, unless its configuration says otherwise.
#[must_use]
pub fn default_state_directory(instance: &str) -> PathBuf {
    let directory = Path::new("/var/lib/bagpipe");
    if instance == DEFAULT_INSTANCE { directory.to_owned() } else { directory.join(instance) }
}

/// Whether a text can name an agent: it becomes part of paths and of an interface name.
#[must_use]
pub fn is_instance_name(text: &str) -> bool {
    (1..=12).contains(&text.len())
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_')
        && !text.starts_with('-')
}

/// Whether a text can name a network interface (the kernel's `dev_valid_name`).
#[must_use]
pub fn is_interface_name(text: &str) -> bool {
    (1..16).contains(&text.len())
        && text != "."
        && text != ".."
        && text.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'/' && byte != b':')
}
