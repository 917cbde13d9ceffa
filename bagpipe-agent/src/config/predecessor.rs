//! The configuration of bagpipe-bgp, read as what this agent makes of it.

use std::fmt::Write;
use std::net::{IpAddr, SocketAddr};
use std::path::Path;

use super::error::{ConfigError, Problem, ProblemKind};
use super::ini::{self, Entry};
use super::is_interface_name;

/// Seconds after which attachments that nobody has made again go: bagpipe-bgp keeps none, so its clients attach
/// everything again.
const STALE_TIME: u32 = 600;

const EVPN: &str = "DATAPLANE_DRIVER_EVPN";
const IPVPN: &str = "DATAPLANE_DRIVER_IPVPN";

/// What is asked of the system: the file may name an interface where an address is needed, and the other way round.
pub struct System<'a> {
    /// The address of an interface.
    pub address_of: &'a dyn Fn(&str) -> Option<IpAddr>,
    /// The interface that has an address.
    pub interface_of: &'a dyn Fn(IpAddr) -> Option<String>,
}

/// A file of bagpipe-bgp, read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Converted {
    /// The same as a configuration of this agent.
    pub toml: String,
    /// Options that say nothing to this agent, with file, line and reason.
    pub ignored: Vec<String>,
}

/// Whether a file is one of bagpipe-bgp, by its name.
#[must_use]
pub fn is_predecessors(path: &Path) -> bool {
    path.extension().is_some_and(|extension| extension == "conf" || extension == "ini")
}

/// Reads a file of bagpipe-bgp; `path` is only for messages.
///
/// # Errors
/// All that is wrong, each with its line.
pub fn convert(text: &str, path: &Path, system: &System<'_>) -> Result<Converted, ConfigError> {
    let (entries, problems) = ini::parse(text);
    let mut reader = Reader { path, system, entries, problems, ignored: Vec::new() };
    let toml = reader.document();
    reader.ignore_rest();
    if reader.problems.is_empty() {
        return Ok(Converted { toml, ignored: reader.ignored });
    }
    reader.problems.sort_by_key(|problem| problem.line);
    Err(ConfigError::Invalid { path: path.to_owned(), problems: reader.problems })
}

struct Reader<'a> {
    path: &'a Path,
    system: &'a System<'a>,
    /// What was not asked for yet.
    entries: Vec<Entry>,
    problems: Vec<Problem>,
    ignored: Vec<String>,
}

impl Reader<'_> {
    fn document(&mut self) -> String {
        let local_address = self.take("BGP", &["local_address"]);
        let mut text = self.bgp(local_address.as_ref());
        text.push_str(&self.dataplane(local_address.as_ref()));
        text.push_str(&self.api());
        // Writing to a string does not fail.
        let _ = write!(text, "[state]\nstale_time = {STALE_TIME}\n");
        text
    }

    fn bgp(&mut self, local_address: Option<&Entry>) -> String {
        let mut text = "[bgp]\n".to_owned();
        match local_address {
            Some(entry) if entry.value.parse::<IpAddr>().is_ok() || is_interface_name(&entry.value) => {
                let _ = writeln!(text, "local_address = \"{}\"", entry.value);
            }
            Some(entry) => {
                self.refuse(entry, "neither an address nor an interface", "use an address of this node");
            }
            None => self.missing("BGP.local_address", "write local_address = ADDRESS in [BGP]"),
        }
        match self.take("BGP", &["my_as"]) {
            Some(entry) => match entry.value.parse::<u32>() {
                Ok(number) if (1..u32::MAX).contains(&number) => {
                    let _ = writeln!(text, "as_number = {number}");
                }
                _ => self.refuse(&entry, "not the number of an AS", "use a number from 1 to 4294967294"),
            },
            None => self.missing("BGP.my_as", "write my_as = 64512 (a private AS) or your own in [BGP]"),
        }
        let port = self.port("BGP", &["bgp_port"]);
        let rtc = self.boolean("BGP", "enable_rtc").unwrap_or(true);
        if let Some(peers) = self.take("BGP", &["peers"]) {
            for peer in peers.value.split(',').map(str::trim).filter(|peer| !peer.is_empty()) {
                match peer.parse::<IpAddr>() {
                    Ok(address) => {
                        let _ = writeln!(text, "[[bgp.peers]]\naddress = \"{address}\"");
                    }
                    Err(_) => self.refuse(&peers, format!("'{peer}' is not an address"), "use IP addresses"),
                }
                if let Some(port) = port {
                    let _ = writeln!(text, "port = {port}");
                }
                if !rtc {
                    text.push_str("families = [\"evpn\", \"vpnv4\", \"vpnv6\"]\n");
                }
            }
        }
        text
    }

    fn dataplane(&mut self, local_address: Option<&Entry>) -> String {
        let mut text = "[dataplane]\n".to_owned();
        let drivers = [EVPN, IPVPN].map(|section| self.driver(section));
        let own = self.take(EVPN, &["dataplane_local_address"]);
        let other = self.take(IPVPN, &["dataplane_local_address"]);
        if let (Some(own), Some(other)) = (&own, &other)
            && own.value != other.value
        {
            self.refuse(other, format!("differs from {} of {EVPN}", own.value), "use one address for both");
        }
        let endpoint = own.or(other);
        let mpls = self.take(IPVPN, &["mpls_interface"]);
        let gre = self.boolean(IPVPN, "mpls_over_gre") == Some(true)
            || mpls.as_ref().is_some_and(|entry| entry.value == "*gre*");
        let carrier =
            mpls.filter(|entry| entry.value != "*gre*" && !entry.value.eq_ignore_ascii_case("none"));
        if drivers.contains(&true) {
            let named = [carrier.as_ref(), endpoint.as_ref(), local_address];
            let underlay: Vec<String> =
                named.into_iter().flatten().filter_map(|it| self.interface(it)).collect();
            match underlay.first() {
                Some(interface) => {
                    let _ = writeln!(text, "underlay = [\"{interface}\"]");
                }
                None if local_address.is_some() => self.missing(
                    "BGP.local_address",
                    "no interface has this address: write the interface that carries tunnels in its place",
                ),
                None => {}
            }
        } else {
            text.push_str("driver = \"none\"\n");
        }
        if let Some(entry) = endpoint {
            match entry.value.parse::<IpAddr>().ok().or_else(|| (self.system.address_of)(&entry.value)) {
                Some(address) => {
                    let _ = writeln!(text, "local_address = \"{address}\"");
                }
                None => self.refuse(&entry, "an interface without an address", "use an address"),
            }
        }
        if let Some(port) = self.port(EVPN, &["vxlan_dst_port"]) {
            let _ = writeln!(text, "vxlan_port = {port}");
        }
        match (gre, carrier) {
            (true, _) => text.push_str("mpls = \"gre\"\n"),
            (false, Some(_)) => text.push_str("mpls = \"ethernet\"\n"),
            (false, None) => {}
        }
        if self.boolean(IPVPN, "vxlan_encap") == Some(true) {
            text.push_str("[vpn]\nipvpn_encapsulation = \"vxlan\"\n");
        }
        text
    }

    /// Whether there is a data plane. Drivers may be named by their old class names.
    fn driver(&mut self, section: &'static str) -> bool {
        let Some(entry) = self.take(section, &["dataplane_driver"]) else { return false };
        match entry.value.rsplit('.').next().unwrap_or_default() {
            "dummy" | "DummyDataplaneDriver" => false,
            "linux" | "LinuxVXLANDataplaneDriver" | "MPLSLinuxDataplaneDriver" => true,
            "ovs" | "MPLSOVSDataplaneDriver" => true,
            _ => {
                self.refuse(&entry, "not a driver of bagpipe-bgp", "use linux, ovs or dummy");
                false
            }
        }
    }

    /// The interface that is named, or that has the address.
    fn interface(&self, entry: &Entry) -> Option<String> {
        match entry.value.parse::<IpAddr>() {
            Ok(address) => (self.system.interface_of)(address),
            Err(_) => Some(entry.value.clone()).filter(|name| is_interface_name(name)),
        }
    }

    fn api(&mut self) -> String {
        let host = self.take("API", &["host", "api_host"]);
        let port = self.port("API", &["port", "api_port"]).unwrap_or(8082);
        let address = match host.as_ref().map(|entry| entry.value.as_str()) {
            None | Some("localhost") => Some(IpAddr::from([127, 0, 0, 1])),
            Some(text) => text.parse().ok(),
        };
        match (address, host) {
            (Some(address), _) if address.is_loopback() => {
                format!("[api]\nlisten = \"{}\"\n", SocketAddr::new(address, port))
            }
            (_, Some(entry)) => {
                let remedy = "use 127.0.0.1; a configuration of this agent (bagpipe config convert) may listen \
                              elsewhere with [api] token_file";
                self.refuse(&entry, "not a loopback address, and nobody is asked who they are", remedy);
                String::new()
            }
            (_, None) => String::new(),
        }
    }

    /// The last option of that name: its place is taken from the list.
    fn take(&mut self, section: &str, keys: &[&str]) -> Option<Entry> {
        let is = |entry: &Entry| entry.section == section && keys.contains(&entry.key.as_str());
        let found = self.entries.iter().rfind(|entry| is(entry)).cloned();
        self.entries.retain(|entry| !is(entry));
        found.filter(|entry| !entry.value.is_empty())
    }

    fn port(&mut self, section: &str, keys: &[&str]) -> Option<u16> {
        let entry = self.take(section, keys)?;
        let port = entry.value.parse().ok().filter(|port| *port != 0);
        if port.is_none() {
            self.refuse(&entry, "not a port", "use a number from 1 to 65535");
        }
        port
    }

    /// None also for `auto`.
    fn boolean(&mut self, section: &str, key: &str) -> Option<bool> {
        let entry = self.take(section, &[key])?;
        match entry.value.to_ascii_lowercase().as_str() {
            "true" | "yes" | "on" | "1" => Some(true),
            "false" | "no" | "off" | "0" => Some(false),
            "auto" => None,
            _ => {
                self.refuse(&entry, "neither true nor false", "use True or False");
                None
            }
        }
    }

    fn ignore_rest(&mut self) {
        for Entry { section, key, line, .. } in std::mem::take(&mut self.entries) {
            let path = self.path.display();
            let reason = reason(&section, &key);
            self.ignored.push(format!("{path}:{line}: [{section}] {key} is ignored: {reason}"));
        }
    }

    fn refuse(&mut self, entry: &Entry, cause: impl Into<String>, remedy: &str) {
        let kind = ProblemKind::Value { cause: cause.into(), remedy: remedy.to_owned() };
        let key = format!("{}.{} = {}", entry.section, entry.key, entry.value);
        self.problems.push(Problem { line: entry.line, key, kind });
    }

    fn missing(&mut self, key: &str, remedy: &'static str) {
        let kind = ProblemKind::Missing { remedy };
        self.problems.push(Problem { line: 1, key: key.to_owned(), kind });
    }
}

/// Why an option says nothing to this agent.
fn reason(section: &str, key: &str) -> &'static str {
    match (section, key) {
        ("DEFAULT", _) => "the log goes to standard error; BAGPIPE_LOG says what is logged",
        ("COMMON" | "privsep" | "oslo_concurrency", _) => "no other command is run",
        (IPVPN, "arp_responder") => "the gateway is always answered for",
        (IPVPN, "proxy_arp") => "attachments ask for it themselves, with proxy_arp",
        (EVPN | IPVPN, _) => "an option of a driver that is not here",
        _ => "no such option of bagpipe-bgp is known",
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Config, Driver, LocalAddress};
    use super::*;
    use crate::fib::MplsForm;
    use crate::vpn::Encapsulation;

    fn convert(text: &str) -> Result<Converted, ConfigError> {
        let interface_of =
            |address: IpAddr| (address == IpAddr::from([10, 0, 0, 1])).then(|| "eth7".to_owned());
        let address_of = |name: &str| (name == "eth8").then(|| IpAddr::from([10, 0, 8, 1]));
        let system = System { address_of: &address_of, interface_of: &interface_of };
        super::convert(text, Path::new("bgp.conf"), &system)
    }

    fn config(text: &str) -> Config {
        let converted = convert(text).unwrap();
        Config::parse(&converted.toml, Path::new("converted"), "default").unwrap()
    }

    const BGP: &str = "[BGP]\nlocal_address = 10.0.0.1\nmy_as = 64512\npeers = 10.0.0.254, 10.0.0.253\n";

    #[test]
    fn the_file_of_a_node_says_the_same() {
        let config = config(&format!(
            "{BGP}enable_rtc = False\nbgp_port = 1179\n[API]\napi_host = 127.0.0.1\napi_port = 8083\n\
             [DATAPLANE_DRIVER_EVPN]\ndataplane_driver = linux\nvxlan_dst_port = 8472\n\
             [DATAPLANE_DRIVER_IPVPN]\ndataplane_driver = mpls_ovs_dataplane.MPLSOVSDataplaneDriver\n\
             mpls_interface = *gre*\nvxlan_encap = True\ndataplane_local_address = eth8\n"
        ));
        assert_eq!(config.bgp.local_address, LocalAddress::Address([10, 0, 0, 1].into()));
        let peers: Vec<_> = config.bgp.peers.iter().map(|it| (it.address.to_string(), it.port)).collect();
        assert_eq!(peers, [("10.0.0.254".to_owned(), 1179), ("10.0.0.253".to_owned(), 1179)]);
        assert_eq!(config.bgp.peers.first().map(|peer| peer.families.len()), Some(3));
        assert_eq!(config.api.listen.map(|address| address.to_string()).as_deref(), Some("127.0.0.1:8083"));
        assert_eq!((config.dataplane.driver, config.dataplane.vxlan_port), (Driver::Ebpf, 8472));
        assert_eq!(config.dataplane.underlay, ["eth8"]);
        assert_eq!(config.dataplane.local_address, Some([10, 0, 8, 1].into()));
        assert_eq!(
            (config.dataplane.mpls, config.vpn.ipvpn_encapsulation),
            (MplsForm::Gre, Encapsulation::Vxlan)
        );
        assert_eq!(config.state.stale_time, STALE_TIME);
    }

    #[test]
    fn the_underlay_is_found_by_what_is_named() {
        let with = |options: &str| {
            config(&format!("{BGP}[DATAPLANE_DRIVER_IPVPN]\ndataplane_driver = linux\n{options}"))
        };
        assert_eq!(with("").dataplane.underlay, ["eth7"]);
        let bare = with("mpls_interface = eth5\nmpls_over_gre = False").dataplane;
        assert_eq!((bare.underlay, bare.mpls), (vec!["eth5".to_owned()], MplsForm::Ethernet));
        let none = config(BGP).dataplane;
        assert_eq!((none.driver, none.underlay.len()), (Driver::None, 0));
    }

    #[test]
    fn what_says_nothing_is_told_and_nothing_more() {
        let text = format!(
            "[DEFAULT]\ndebug = True\n{BGP}[COMMON]\nroot_helper = sudo\n[DATAPLANE_DRIVER_IPVPN]\nhash_method = x\n[X]\ny = 1\n"
        );
        let converted = convert(&text).unwrap();
        assert_eq!(converted.ignored.len(), 4);
        assert!(converted.ignored[0].starts_with("bgp.conf:2: [DEFAULT] debug is ignored: "));
        assert!(converted.ignored[3].contains("[X] y"));
    }

    #[test]
    fn what_is_wrong_is_told_with_its_line() {
        for (text, expected) in [
            ("[BGP]\nmy_as = 64512\n", "bgp.conf:1: BGP.local_address: missing"),
            ("[BGP]\nlocal_address = 10.0.0.1\nmy_as = x\n", "bgp.conf:3: BGP.my_as = x"),
            (&format!("{BGP}bgp_port = 0\n"), "bgp.conf:5: BGP.bgp_port = 0"),
            (
                &format!("{BGP}[API]\nhost = 0.0.0.0\n"),
                "bgp.conf:6: API.host = 0.0.0.0: not a loopback address",
            ),
            (&format!("{BGP}[DATAPLANE_DRIVER_EVPN]\ndataplane_driver = vpp\n"), "not a driver"),
            (&BGP.replace("10.0.0.253", "reflector"), "bgp.conf:4: BGP.peers"),
            (&format!("{BGP}enable_rtc = perhaps\n"), "neither true nor false"),
            (
                &format!(
                    "{}[DATAPLANE_DRIVER_EVPN]\ndataplane_driver = linux\n",
                    BGP.replace("0.0.1", "0.0.9")
                ),
                "no interface has this address",
            ),
            ("nonsense\n", "bgp.conf:1: nonsense"),
        ] {
            let error = convert(text).unwrap_err().to_string();
            assert!(error.contains(expected), "{text}: {error}");
        }
    }
}
