//! Attach and detach: the request as it comes in JSON, and what it says once it is valid.
//!
//! The field names are those of bagpipe-bgp's REST API. Fields that this agent has no use for are ignored.

use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr};

use bagpipe_bgp::types::{MacAddr, ParseError, RouteTarget, Vni};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::address::InterfaceAddress;
use super::error::FieldError;

/// Route targets of one direction, at most: far more than anyone uses, and sure to fit in a message.
const MAX_ROUTE_TARGETS: usize = 128;
/// Octets of a VPN instance name, at most.
const MAX_NAME: usize = 255;
/// Octets of an interface name, at most (IFNAMSIZ without the final zero).
const MAX_INTERFACE: usize = 15;

/// A request to attach a MAC address, and perhaps an IP address of it, of a local port to a VPN instance.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, expecting = "an attachment must be a JSON object")]
pub struct AttachRequest {
    /// `evpn` or `ipvpn`.
    pub vpn_type: Option<String>,
    /// Name of the instance; the first attach creates it.
    pub vpn_instance_id: Option<String>,
    /// The MAC address.
    pub mac_address: Option<String>,
    /// The IP address, one more of the MAC address; with or without a prefix length. Without an address the MAC
    /// address of an E-VPN may use any, in place of those that it had. An IP-VPN needs one; with
    /// `advertise_subnet` it may be a subnet behind the MAC address.
    pub ip_address: Option<String>,
    /// The interface.
    pub local_port: Option<LocalPort>,
    /// Route targets of routes to import, for the whole instance.
    pub import_rt: Option<TextList>,
    /// Route targets of the routes that the instance originates.
    pub export_rt: Option<TextList>,
    /// VNI to receive with; zero or none to have one chosen.
    pub vni: Option<Number>,
    /// The gateway of the instance: its address is answered for with the router flag set.
    pub gateway_ip: Option<String>,
    /// Anything, kept to be shown with the attachment.
    pub description: Option<Value>,
    /// Anything, kept to be shown with the instance.
    pub instance_description: Option<Value>,
    /// `both`; for an IP-VPN also `to-port` or `from-port`.
    pub direction: Option<String>,
    /// IP-VPN: announce the subnet of the IP address, not the address alone.
    pub advertise_subnet: Option<bool>,
    /// IP-VPN: LOCAL_PREF of the route; default 100.
    pub local_pref: Option<Number>,
    /// IP-VPN: place of the route among equal ones, for who distributes flows by it.
    pub lb_consistent_hash_order: Option<Number>,
    /// IP-VPN: answer ARP and ND for addresses that nobody has, too.
    pub proxy_arp: Option<bool>,
}

/// An attach as a client posts it: with more than one IP address it is several attachments, all or none of them.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(expecting = "an attachment must be a JSON object")]
pub struct AttachPost {
    /// More IP addresses of the MAC address.
    #[serde(default)]
    pub ip_addresses: Option<Vec<String>>,
    /// All else, and the first IP address.
    #[serde(flatten)]
    pub request: AttachRequest,
}

impl AttachPost {
    /// One request per IP address.
    #[must_use]
    pub fn requests(self) -> Vec<AttachRequest> {
        let Self { ip_addresses, request } = self;
        let more = ip_addresses.unwrap_or_default();
        let first = (request.ip_address.is_some() || more.is_empty()).then(|| request.clone());
        let with = |address| AttachRequest { ip_address: Some(address), ..request.clone() };
        first.into_iter().chain(more.into_iter().map(with)).collect()
    }
}

/// A request to detach a MAC address, or one IP address of it, from a VPN instance.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, expecting = "a detachment must be a JSON object")]
pub struct DetachRequest {
    /// `evpn` or `ipvpn`.
    pub vpn_type: Option<String>,
    /// Name of the instance; the last detach removes it.
    pub vpn_instance_id: Option<String>,
    /// The MAC address.
    pub mac_address: Option<String>,
    /// The IP address; without it the MAC address goes with all its IP addresses.
    pub ip_address: Option<String>,
    /// The interface. Not compared: a MAC address is on one port of an instance only.
    pub local_port: Option<LocalPort>,
}

/// A detach as a client posts it: with more than one IP address it is several, all or none of them.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(expecting = "a detachment must be a JSON object")]
pub struct DetachPost {
    /// More IP addresses of the MAC address.
    #[serde(default)]
    pub ip_addresses: Option<Vec<String>>,
    /// All else, and the first IP address.
    #[serde(flatten)]
    pub request: DetachRequest,
}

impl DetachPost {
    /// One request per IP address.
    #[must_use]
    pub fn requests(self) -> Vec<DetachRequest> {
        let Self { ip_addresses, request } = self;
        let more = ip_addresses.unwrap_or_default();
        let first = (request.ip_address.is_some() || more.is_empty()).then(|| request.clone());
        let with = |address| DetachRequest { ip_address: Some(address), ..request.clone() };
        first.into_iter().chain(more.into_iter().map(with)).collect()
    }
}

/// An interface, as a string or an object.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(untagged, expecting = "local_port must be an interface name, or an object with 'linuxif' or 'evpn'")]
pub enum LocalPort {
    /// Its name.
    Name(String),
    /// Its name in an object; other members are ignored.
    Object {
        /// Its name.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        linuxif: Option<String>,
        /// An E-VPN instance in place of an interface.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        evpn: Option<EvpnPort>,
    },
}

/// An E-VPN instance that is plugged into an IP-VPN.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct EvpnPort {
    /// Its name.
    pub id: String,
}

impl LocalPort {
    /// The name of the interface, or of what is attached in its place, as it was given.
    #[must_use]
    pub fn name(&self) -> Option<&str> {
        match self {
            Self::Name(name) => Some(name),
            Self::Object { linuxif, evpn } => {
                linuxif.as_deref().or(evpn.as_ref().map(|evpn| evpn.id.as_str()))
            }
        }
    }
}

/// A list of texts, or one text with commas.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(untagged, expecting = "route targets must be a list of strings, or one string separated by commas")]
pub enum TextList {
    /// A list.
    List(Vec<String>),
    /// One text.
    Text(String),
}

/// A number, perhaps as a text.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(untagged, expecting = "vni, local_pref and lb_consistent_hash_order must be numbers")]
pub enum Number {
    /// A number.
    Number(i64),
    /// A number in a text.
    Text(String),
}

/// A valid attach.
#[derive(Clone, Debug, PartialEq)]
pub struct Attach {
    /// Name of the instance.
    pub vpn: String,
    /// The interface, or what is attached in its place.
    pub port: AttachPort,
    /// The MAC address.
    pub mac: MacAddr,
    /// E-VPN: the IP address, if it is not to be any.
    pub ip: Option<IpAddr>,
    /// IP-VPN: the prefix.
    pub routed: Option<Routed>,
    /// Route targets to import.
    pub import: BTreeSet<RouteTarget>,
    /// Route targets to export.
    pub export: BTreeSet<RouteTarget>,
    /// VNI, if it is not to be chosen.
    pub vni: Option<Vni>,
    /// Gateway, if it is to be set.
    pub gateway: Option<IpAddr>,
    /// Description of the attachment.
    pub description: Option<Value>,
    /// Description of the instance.
    pub vpn_description: Option<Value>,
}

/// A valid detach.
#[derive(Clone, Debug, PartialEq)]
pub struct Detach {
    /// Name of the instance.
    pub vpn: String,
    /// The MAC address.
    pub mac: MacAddr,
    /// The IP address, if it is not to be all.
    pub ip: Option<InterfaceAddress>,
    /// The instance is an IP-VPN.
    pub routed: bool,
}

/// What is attached.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AttachPort {
    /// An interface of this node.
    Interface(String),
    /// All hosts of an E-VPN instance.
    Evpn(String),
}

impl AttachPort {
    /// The interface, if it is one.
    #[must_use]
    pub fn interface(&self) -> Option<&str> {
        match self {
            Self::Interface(name) => Some(name),
            Self::Evpn(_) => None,
        }
    }
}

/// What an attach to an IP-VPN says of the prefix.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Routed {
    /// The address, with the length of its subnet if that is announced, else with that of a host.
    pub address: InterfaceAddress,
    /// The rest.
    pub endpoint: Endpoint,
    /// Answer ARP and ND for addresses that nobody has, if that is to be set.
    pub proxy: Option<bool>,
}

/// What becomes of a prefix behind a port of an IP-VPN.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Endpoint {
    /// Announce the subnet of the address.
    #[serde(default)]
    pub advertise_subnet: bool,
    /// The gateway of the hosts behind the port.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub gateway: Option<IpAddr>,
    /// LOCAL_PREF of the route.
    pub local_pref: u32,
    /// Which way packets go.
    pub direction: Direction,
    /// Place among equal routes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub order: Option<u32>,
}

/// Which way packets go through a port.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Direction {
    /// Both ways.
    Both,
    /// Only to the port: nothing is taken from it.
    ToPort,
    /// Only from the port: nothing is announced.
    FromPort,
}

impl AttachRequest {
    /// What the request says, if all of it is valid.
    ///
    /// # Errors
    /// The first field that is missing or wrong.
    pub fn validate(&self) -> Result<Attach, FieldError> {
        let is_routed = is_ipvpn(self.vpn_type.as_deref())?;
        let ip = self.ip_address.as_deref();
        if !is_routed {
            check_evpn_only(self)?;
        }
        let attach = Attach {
            vpn: vpn_name(self.vpn_instance_id.as_deref())?,
            mac: mac_address(self.mac_address.as_deref())?,
            port: port(self.local_port.as_ref(), is_routed)?,
            ip: if is_routed { None } else { ip.map(ip_address).transpose()? },
            routed: None,
            import: route_targets("import_rt", self.import_rt.as_ref())?,
            export: route_targets("export_rt", self.export_rt.as_ref())?,
            vni: vni(self.vni.as_ref())?,
            gateway: self.gateway_ip.as_deref().map(|text| host("gateway_ip", text)).transpose()?,
            description: self.description.clone(),
            vpn_description: self.instance_description.clone(),
        };
        let routed = if is_routed { Some(self.routed(attach.gateway)?) } else { None };
        Ok(Attach { routed, ..attach })
    }

    fn routed(&self, gateway: Option<IpAddr>) -> Result<Routed, FieldError> {
        let text = self.ip_address.as_deref().ok_or(FieldError::Missing {
            field: "ip_address",
            expected: "the address of the host, or with advertise_subnet a subnet",
        })?;
        let advertise_subnet = self.advertise_subnet == Some(true);
        let given = prefix_address(text, advertise_subnet)?;
        let subnet = given.prefix();
        if let Some(gateway) = gateway
            && given.is_on_subnet()
            && gateway.is_ipv4() == given.address.is_ipv4()
            && !subnet.contains(gateway)
        {
            let reason = format!("it is outside the subnet {subnet} of ip_address; give the gateway there");
            return Err(invalid("gateway_ip", &gateway.to_string(), reason));
        }
        let order = bounded("lb_consistent_hash_order", self.lb_consistent_hash_order.as_ref())?;
        Ok(Routed {
            address: if advertise_subnet { given } else { InterfaceAddress::host(given.address) },
            endpoint: Endpoint {
                advertise_subnet,
                gateway,
                local_pref: bounded("local_pref", self.local_pref.as_ref())?.unwrap_or(100),
                direction: direction(self.direction.as_deref())?,
                order: order.filter(|order| *order != 0),
            },
            proxy: self.proxy_arp,
        })
    }
}

impl DetachRequest {
    /// What the request says, if all of it is valid.
    ///
    /// # Errors
    /// The first field that is missing or wrong.
    pub fn validate(&self) -> Result<Detach, FieldError> {
        let routed = is_ipvpn(self.vpn_type.as_deref())?;
        let ip = self.ip_address.as_deref();
        Ok(Detach {
            vpn: vpn_name(self.vpn_instance_id.as_deref())?,
            mac: mac_address(self.mac_address.as_deref())?,
            ip: if routed {
                ip.map(|text| prefix_address(text, true)).transpose()?
            } else {
                ip.map(ip_address).transpose()?.map(InterfaceAddress::host)
            },
            routed,
        })
    }
}

fn is_ipvpn(vpn_type: Option<&str>) -> Result<bool, FieldError> {
    match vpn_type {
        Some("evpn") => Ok(false),
        Some("ipvpn") => Ok(true),
        Some(other) => Err(invalid("vpn_type", other, "unknown vpn_type; use 'evpn' or 'ipvpn'")),
        None => Err(FieldError::Missing { field: "vpn_type", expected: "'evpn' or 'ipvpn'" }),
    }
}

/// Fields that change what an IP-VPN attach means, and that E-VPN cannot honour.
fn check_evpn_only(request: &AttachRequest) -> Result<(), FieldError> {
    if let Some(direction) = request.direction.as_deref().filter(|direction| *direction != "both") {
        return Err(invalid("direction", direction, "an E-VPN port is 'both'; leave it out"));
    }
    if request.advertise_subnet == Some(true) {
        return Err(invalid("advertise_subnet", "true", "E-VPN advertises no subnets; leave it out"));
    }
    Ok(())
}

fn direction(text: Option<&str>) -> Result<Direction, FieldError> {
    match text {
        None | Some("both") => Ok(Direction::Both),
        Some("to-port") => Ok(Direction::ToPort),
        Some("from-port") => Ok(Direction::FromPort),
        Some(other) => Err(invalid("direction", other, "use 'both', 'to-port' or 'from-port'")),
    }
}

fn vpn_name(name: Option<&str>) -> Result<String, FieldError> {
    let name = name
        .ok_or(FieldError::Missing { field: "vpn_instance_id", expected: "the name of the VPN instance" })?;
    if name.is_empty() || name.len() > MAX_NAME || name.chars().any(char::is_control) {
        let reason = format!("give a name of 1 to {MAX_NAME} octets without control characters");
        return Err(invalid("vpn_instance_id", name, reason));
    }
    Ok(name.to_owned())
}

fn mac_address(text: Option<&str>) -> Result<MacAddr, FieldError> {
    let text = text
        .ok_or(FieldError::Missing { field: "mac_address", expected: "the MAC address behind the port" })?;
    let mac: MacAddr =
        text.parse().map_err(|error: ParseError| invalid("mac_address", text, error.to_string()))?;
    if mac.is_multicast() || mac.is_zero() {
        return Err(invalid("mac_address", text, "no interface has a group or all-zero address"));
    }
    Ok(mac)
}

fn port(port: Option<&LocalPort>, is_routed: bool) -> Result<AttachPort, FieldError> {
    const MISSING: FieldError = FieldError::Missing {
        field: "local_port",
        expected: "an interface name, or an object with 'linuxif' or 'evpn'",
    };
    match port {
        Some(LocalPort::Object { linuxif: Some(interface), evpn: Some(_) }) => {
            Err(invalid("local_port", interface, "it is an interface or an E-VPN, not both; leave one out"))
        }
        Some(LocalPort::Object { linuxif: None, evpn: Some(evpn) }) if is_routed => {
            vpn_name(Some(&evpn.id)).map(AttachPort::Evpn)
        }
        Some(LocalPort::Object { linuxif: None, evpn: Some(evpn) }) => {
            Err(invalid("local_port", &evpn.id, "an E-VPN is plugged into an IP-VPN only; give an interface"))
        }
        Some(LocalPort::Name(name) | LocalPort::Object { linuxif: Some(name), .. }) => {
            interface(name).map(AttachPort::Interface)
        }
        Some(LocalPort::Object { linuxif: None, evpn: None }) | None => Err(MISSING),
    }
}

fn interface(name: &str) -> Result<String, FieldError> {
    let valid = !name.is_empty()
        && name.len() <= MAX_INTERFACE
        && !matches!(name, "." | "..")
        && !name.chars().any(|c| c == '/' || c.is_whitespace() || c.is_control());
    if !valid {
        let reason = format!("an interface name has 1 to {MAX_INTERFACE} octets, without '/' and blanks");
        return Err(invalid("local_port", name, reason));
    }
    Ok(name.to_owned())
}

/// An address, perhaps with a prefix length, which says nothing on a bridged network.
fn ip_address(text: &str) -> Result<IpAddr, FieldError> {
    prefix_address(text, false).map(|given| given.address)
}

/// An address, perhaps with a prefix length. `subnet`: the address may be that of a network.
fn prefix_address(text: &str, subnet: bool) -> Result<InterfaceAddress, FieldError> {
    let (address, length) = match text.split_once('/') {
        Some((address, length)) => (address, Some(length)),
        None => (text, None),
    };
    let given = |address: IpAddr, length: &str| {
        let longest = if address.is_ipv4() { 32 } else { 128 };
        length.parse().ok().and_then(|length| InterfaceAddress::new(address, length)).ok_or_else(|| {
            invalid("ip_address", text, format!("the prefix length is a number from 0 to {longest}"))
        })
    };
    if subnet
        && let (Ok(address), Some(length)) = (address.parse::<IpAddr>(), length)
        && address == address.to_canonical()
        && !address.is_multicast()
        && let network = given(address, length)?
        && !network.is_host()
        && network.prefix().address() == address
    {
        return Ok(network);
    }
    let address = host("ip_address", address)?;
    length.map_or_else(|| Ok(InterfaceAddress::host(address)), |length| given(address, length))
}

/// An address that one host can have.
fn host(field: &'static str, text: &str) -> Result<IpAddr, FieldError> {
    let address: IpAddr = text
        .parse()
        .map_err(|_| invalid(field, text, "give an IPv4 or IPv6 address such as 192.0.2.1 or 2001:db8::1"))?;
    let reason = match address {
        _ if address.is_unspecified() || address.is_loopback() => "no port has this address",
        _ if address.is_multicast() || address == IpAddr::V4(Ipv4Addr::BROADCAST) => {
            "a group address belongs to no port"
        }
        IpAddr::V6(v6) if v6.to_ipv4_mapped().is_some() => "write an IPv4 address in its own form",
        _ => return Ok(address),
    };
    Err(invalid(field, text, reason))
}

fn route_targets(field: &'static str, list: Option<&TextList>) -> Result<BTreeSet<RouteTarget>, FieldError> {
    const EXPECTED: &str = "a list of route targets such as 64512:100, which may be empty";
    let texts: Vec<&str> = match list.ok_or(FieldError::Missing { field, expected: EXPECTED })? {
        TextList::List(texts) => texts.iter().map(|text| text.trim()).collect(),
        TextList::Text(text) => text.split(',').map(str::trim).filter(|text| !text.is_empty()).collect(),
    };
    let targets: BTreeSet<RouteTarget> = texts
        .into_iter()
        .map(|text| text.parse().map_err(|error: ParseError| invalid(field, text, error.to_string())))
        .collect::<Result<_, _>>()?;
    if targets.len() > MAX_ROUTE_TARGETS {
        let reason = format!("give at most {MAX_ROUTE_TARGETS} route targets");
        return Err(invalid(field, &targets.len().to_string(), reason));
    }
    Ok(targets)
}

fn vni(number: Option<&Number>) -> Result<Option<Vni>, FieldError> {
    let number = match number {
        None => return Ok(None),
        Some(Number::Number(number)) => *number,
        Some(Number::Text(text)) => {
            text.trim().parse().map_err(|_| invalid("vni", text, "give a number from 1 to 16777215"))?
        }
    };
    if number == 0 {
        return Ok(None);
    }
    u32::try_from(number).ok().and_then(Vni::new).map(Some).ok_or_else(|| {
        invalid("vni", &number.to_string(), "give a number from 1 to 16777215, or 0 to have one chosen")
    })
}

/// A number of 32 bits, if there is one.
fn bounded(field: &'static str, number: Option<&Number>) -> Result<Option<u32>, FieldError> {
    let text = match number {
        None => return Ok(None),
        Some(Number::Number(number)) => number.to_string(),
        Some(Number::Text(text)) => text.trim().to_owned(),
    };
    text.parse().map(Some).map_err(|_| invalid(field, &text, "give a number from 0 to 4294967295"))
}

fn invalid(field: &'static str, value: &str, reason: impl Into<String>) -> FieldError {
    FieldError::Invalid { field, value: value.to_owned(), reason: reason.into() }
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str = r#"{"vpn_type": "evpn", "vpn_instance_id": "blue", "mac_address": "02:00:00:00:00:01",
        "ip_address": "192.0.2.1/24", "local_port": {"linuxif": "tap0", "vlan": 31}, "import_rt": "64512:1, 64512:2",
        "export_rt": ["64512:1"], "vni": 0, "readvertise": null, "attract_traffic": {}, "linuxbr": "brq0"}"#;

    fn request(replace: &str, by: &str) -> Result<Attach, FieldError> {
        assert!(GOOD.contains(replace), "{replace}");
        serde_json::from_str::<AttachRequest>(&GOOD.replace(replace, by)).unwrap().validate()
    }

    #[test]
    fn all_forms_of_the_fields_are_taken() {
        let attach = request("tap0", "tap0").unwrap();
        assert_eq!((attach.vpn.as_str(), attach.port.interface()), ("blue", Some("tap0")));
        assert_eq!(attach.ip, Some("192.0.2.1".parse().unwrap()));
        assert_eq!(attach.import.len(), 2);
        assert_eq!(attach.vni, None);
        assert_eq!(request(r#"{"linuxif": "tap0", "vlan": 31}"#, r#""tap0""#).unwrap(), attach);
        assert_eq!(request(r#""192.0.2.1/24""#, "null").unwrap().ip, None);
        assert_eq!(request(r#""vni": 0"#, r#""vni": "101""#).unwrap().vni, Vni::new(101));
        assert_eq!(
            request("192.0.2.1/24", "2001:db8::1/64").unwrap().ip,
            Some("2001:db8::1".parse().unwrap())
        );
        assert!(request(r#"["64512:1"]"#, "[]").unwrap().export.is_empty());
    }

    #[test]
    fn every_wrong_field_is_named_with_its_value() {
        for (replace, by, field) in [
            (r#""evpn""#, r#""vpls""#, "vpn_type"),
            (r#""evpn""#, "null", "vpn_type"),
            (r#""blue""#, "null", "vpn_instance_id"),
            (r#""blue""#, r#""""#, "vpn_instance_id"),
            ("02:00:00:00:00:01", "02:00:00:00:00", "mac_address"),
            ("02:00:00:00:00:01", "03:00:00:00:00:01", "mac_address"),
            ("02:00:00:00:00:01", "00:00:00:00:00:00", "mac_address"),
            ("192.0.2.1/24", "192.0.2.256", "ip_address"),
            ("192.0.2.1/24", "192.0.2.1/33", "ip_address"),
            ("192.0.2.1/24", "192.0.2.1/", "ip_address"),
            ("192.0.2.1/24", "224.0.0.1", "ip_address"),
            ("192.0.2.1/24", "::", "ip_address"),
            ("192.0.2.1/24", "::ffff:192.0.2.1", "ip_address"),
            ("linuxif", "ovs", "local_port"),
            ("tap0", "a-name-longer-than-any", "local_port"),
            ("tap0", "a/b", "local_port"),
            ("64512:1, 64512:2", "64512", "import_rt"),
            (r#"["64512:1"]"#, "null", "export_rt"),
            (r#"["64512:1"]"#, r#"["64512:1", "x:1"]"#, "export_rt"),
            (r#""vni": 0"#, r#""vni": 16777216"#, "vni"),
            (r#""vni": 0"#, r#""vni": -1"#, "vni"),
            (r#""vni": 0"#, r#""vni": "x""#, "vni"),
            (r#""vni": 0"#, r#""gateway_ip": "x""#, "gateway_ip"),
            (r#""vni": 0"#, r#""direction": "to-port""#, "direction"),
            (r#""vni": 0"#, r#""advertise_subnet": true"#, "advertise_subnet"),
        ] {
            let text = request(replace, by).unwrap_err().to_string();
            assert!(text.contains(field), "{by}: {text}");
        }
    }

    #[test]
    fn several_addresses_are_several_requests() {
        let addresses = |members: &str| -> Vec<Option<String>> {
            let text = GOOD.replace(r#""ip_address": "192.0.2.1/24""#, members);
            let requests = serde_json::from_str::<AttachPost>(&text).unwrap().requests();
            assert!(
                requests.iter().all(|request| request.validate().unwrap().port.interface() == Some("tap0"))
            );
            requests.into_iter().map(|request| request.ip_address).collect()
        };
        let (one, two) = (|| Some("192.0.2.1".to_owned()), || Some("2001:db8::1".to_owned()));
        assert_eq!(addresses(r#""ip_address": "192.0.2.1""#), [one()]);
        assert_eq!(addresses(r#""ip_address": null, "ip_addresses": null"#), [None]);
        assert_eq!(addresses(r#""ip_addresses": []"#), [None]);
        assert_eq!(addresses(r#""ip_addresses": ["192.0.2.1", "2001:db8::1"]"#), [one(), two()]);
        assert_eq!(
            addresses(r#""ip_address": "192.0.2.1", "ip_addresses": ["2001:db8::1"]"#),
            [one(), two()]
        );
    }

    #[test]
    fn wrong_json_types_are_explained() {
        let error = serde_json::from_str::<AttachRequest>(r#"{"local_port": 5}"#).unwrap_err();
        assert!(error.to_string().contains("linuxif"), "{error}");
        let error = serde_json::from_str::<AttachPost>("[]").unwrap_err();
        assert!(error.to_string().contains("an attachment must be a JSON object"), "{error}");
    }
}
