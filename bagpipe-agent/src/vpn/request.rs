//! Attach and detach: the request as it comes in JSON, and what it says once it is valid.
//!
//! The field names are those of bagpipe-bgp's REST API. Fields that say nothing about E-VPN are ignored.

use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr};

use bagpipe_bgp::types::{MacAddr, ParseError, RouteTarget, Vni};
use serde::{Deserialize, Serialize};
use serde_json::Value;

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
    /// `evpn`.
    pub vpn_type: Option<String>,
    /// Name of the instance; the first attach creates it.
    pub vpn_instance_id: Option<String>,
    /// The MAC address.
    pub mac_address: Option<String>,
    /// The IP address, one more of the MAC address; with or without a prefix length. Without an address the MAC
    /// address may use any, in place of those that it had.
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
    /// `both`; an E-VPN port cannot be one-way.
    pub direction: Option<String>,
    /// `false`; an E-VPN instance has no subnets to advertise.
    pub advertise_subnet: Option<bool>,
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
    /// `evpn`.
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
#[serde(untagged, expecting = "local_port must be an interface name, or an object with 'linuxif'")]
pub enum LocalPort {
    /// Its name.
    Name(String),
    /// Its name in an object; other members are ignored.
    Object {
        /// Its name.
        #[serde(default)]
        linuxif: Option<String>,
    },
}

impl LocalPort {
    /// The name of the interface, as it was given.
    #[must_use]
    pub fn interface(&self) -> Option<&str> {
        match self {
            Self::Name(name) => Some(name),
            Self::Object { linuxif } => linuxif.as_deref(),
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
#[serde(untagged, expecting = "vni must be a number")]
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
    /// Name of the interface.
    pub interface: String,
    /// The MAC address.
    pub mac: MacAddr,
    /// The IP address, if it is not to be any.
    pub ip: Option<IpAddr>,
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
    pub ip: Option<IpAddr>,
}

impl AttachRequest {
    /// What the request says, if all of it is valid.
    ///
    /// # Errors
    /// The first field that is missing or wrong.
    pub fn validate(&self) -> Result<Attach, FieldError> {
        check_vpn_type(self.vpn_type.as_deref())?;
        check_evpn_only(self)?;
        Ok(Attach {
            vpn: vpn_name(self.vpn_instance_id.as_deref())?,
            mac: mac_address(self.mac_address.as_deref())?,
            interface: interface(self.local_port.as_ref())?,
            ip: self.ip_address.as_deref().map(ip_address).transpose()?,
            import: route_targets("import_rt", self.import_rt.as_ref())?,
            export: route_targets("export_rt", self.export_rt.as_ref())?,
            vni: vni(self.vni.as_ref())?,
            gateway: self.gateway_ip.as_deref().map(|text| host("gateway_ip", text)).transpose()?,
            description: self.description.clone(),
            vpn_description: self.instance_description.clone(),
        })
    }
}

impl DetachRequest {
    /// What the request says, if all of it is valid.
    ///
    /// # Errors
    /// The first field that is missing or wrong.
    pub fn validate(&self) -> Result<Detach, FieldError> {
        check_vpn_type(self.vpn_type.as_deref())?;
        Ok(Detach {
            vpn: vpn_name(self.vpn_instance_id.as_deref())?,
            mac: mac_address(self.mac_address.as_deref())?,
            ip: self.ip_address.as_deref().map(ip_address).transpose()?,
        })
    }
}

fn check_vpn_type(vpn_type: Option<&str>) -> Result<(), FieldError> {
    match vpn_type {
        Some("evpn") => Ok(()),
        Some("ipvpn") => Err(FieldError::IpVpn),
        Some(other) => Err(invalid("vpn_type", other, "unknown vpn_type; use 'evpn'")),
        None => Err(FieldError::Missing { field: "vpn_type", expected: "'evpn'" }),
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

fn interface(port: Option<&LocalPort>) -> Result<String, FieldError> {
    const MISSING: FieldError = FieldError::Missing {
        field: "local_port",
        expected: "an interface name, or an object with 'linuxif'",
    };
    let name = match port {
        Some(LocalPort::Name(name) | LocalPort::Object { linuxif: Some(name) }) => name,
        Some(LocalPort::Object { linuxif: None }) | None => return Err(MISSING),
    };
    let valid = !name.is_empty()
        && name.len() <= MAX_INTERFACE
        && !matches!(name.as_str(), "." | "..")
        && !name.chars().any(|c| c == '/' || c.is_whitespace() || c.is_control());
    if !valid {
        let reason = format!("an interface name has 1 to {MAX_INTERFACE} octets, without '/' and blanks");
        return Err(invalid("local_port", name, reason));
    }
    Ok(name.clone())
}

/// An address, perhaps with a prefix length, which says nothing on a bridged network.
fn ip_address(text: &str) -> Result<IpAddr, FieldError> {
    let Some((address, length)) = text.split_once('/') else {
        return host("ip_address", text);
    };
    let address = host("ip_address", address)?;
    let longest = if address.is_ipv4() { 32 } else { 128 };
    match length.parse::<u8>() {
        Ok(length) if length <= longest => Ok(address),
        _ => Err(invalid("ip_address", text, format!("the prefix length is a number from 0 to {longest}"))),
    }
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
        assert_eq!((attach.vpn.as_str(), attach.interface.as_str()), ("blue", "tap0"));
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
            (r#""evpn""#, r#""ipvpn""#, "vpn_type"),
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
            assert!(requests.iter().all(|request| request.validate().unwrap().interface == "tap0"));
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
