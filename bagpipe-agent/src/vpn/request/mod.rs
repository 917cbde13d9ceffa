//! Attach and detach: the request as it comes in JSON; `valid`: what it says once it is right; `fields`: what each field
//! may be; `route_control` and `attract`: the fields about routes of others; `fallback`: what becomes of what has none.
//!
//! The field names are those of bagpipe-bgp's REST API. Fields that this agent has no use for are ignored.

mod attract;
mod fallback;
mod fields;
mod route_control;
mod valid;

use std::collections::BTreeMap;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

pub use self::attract::{Attract, AttractTraffic, Classifier, TrafficClass};
pub use self::fallback::{Fallback, LastResort};
pub use self::route_control::Readvertise;
pub use self::valid::{Attach, AttachPort, Detach, Direction, Endpoint, Relay, Routed};
use crate::fib::on_trunk;

/// A request to attach a MAC address, and perhaps an IP address of it, of a local port to a VPN instance.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, expecting = "an attachment must be a JSON object")]
pub struct AttachRequest {
    /// `evpn` or `ipvpn`.
    pub vpn_type: Option<String>,
    /// Name of the instance; the first attach creates it.
    pub vpn_instance_id: Option<String>,
    /// Name of a network, whose route target is imported and exported besides those given.
    pub network: Option<String>,
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
    /// IP-VPN: announce routes of others again.
    pub readvertise: Option<Readvertise>,
    /// IP-VPN: attract traffic by FlowSpec routes.
    pub attract_traffic: Option<AttractTraffic>,
    /// IP-VPN: what becomes of packets without a route.
    pub fallback: Option<Fallback>,
}

impl AttachRequest {
    /// The request with interfaces in place of the names and numbers that Open vSwitch has for them, where one of `trunks`
    /// stands for those.
    #[must_use]
    pub fn on(self, trunks: &BTreeMap<String, String>) -> Self {
        let local_port = self.local_port.map(|port| port.on(trunks));
        let port = fields::port(local_port.as_ref(), true).ok();
        let vlan = port.as_ref().and_then(AttachPort::interface).map_or(0, |name| on_trunk(name).1);
        let fallback = self.fallback.map(|fallback| fallback.on(trunks, vlan));
        Self { local_port, fallback, ..self }
    }
}

/// The field of a JSON object that stands in the way of a `T` whose fields are all optional, and why.
#[must_use]
pub fn wrong_field<T: DeserializeOwned>(object: &[u8]) -> Option<String> {
    let fields: Map<String, Value> = serde_json::from_slice(object).ok()?;
    fields.into_iter().find_map(|(field, value)| {
        let alone = Value::Object(Map::from_iter([(field.clone(), value)]));
        serde_json::from_value::<T>(alone).err().map(|error| format!("'{field}' is not valid: {error}"))
    })
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
        /// A VLAN of the interface.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        vlan: Option<Number>,
        /// What Open vSwitch knows of the interface.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        ovs: Option<OvsPort>,
    },
}

/// A port of Open vSwitch; other members are ignored.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct OvsPort {
    /// The VLAN that is attached, if it is not the whole port.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub vlan: Option<Number>,
    /// The name of the port.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub port_name: Option<String>,
    /// Its number.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub port_number: Option<Number>,
}

/// An E-VPN instance that is plugged into an IP-VPN.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct EvpnPort {
    /// Its name.
    pub id: String,
}

impl LocalPort {
    /// The port with the interface in place of the name or number that Open vSwitch has for it, if one of `trunks` stands
    /// for that.
    fn on(mut self, trunks: &BTreeMap<String, String>) -> Self {
        let named = |given: &str| in_place_of(given, trunks);
        match &mut self {
            Self::Name(name) => *name = named(name).unwrap_or_else(|| std::mem::take(name)),
            Self::Object { linuxif, ovs, .. } => {
                let number = ovs.as_ref().and_then(|ovs| ovs.port_number.as_ref()).map(Number::text);
                let name = ovs.as_ref().and_then(|ovs| ovs.port_name.as_deref());
                let mut names = name.into_iter().chain(number.as_deref()).chain(linuxif.as_deref());
                if let Some(interface) = names.find_map(named) {
                    *linuxif = Some(interface);
                }
            }
        }
        self
    }

    /// The name of the interface, or of what is attached in its place, as it was given.
    #[must_use]
    pub fn name(&self) -> Option<&str> {
        match self {
            Self::Name(name) => Some(name),
            Self::Object { linuxif, evpn, .. } => {
                linuxif.as_deref().or(evpn.as_ref().map(|evpn| evpn.id.as_str()))
            }
        }
    }
}

/// The interface that stands for a name or number of Open vSwitch, if one does, and on it the VLAN that is given.
fn in_place_of(given: &str, trunks: &BTreeMap<String, String>) -> Option<String> {
    let (name, vlan) = given.split_once(':').map_or((given, None), |(name, vlan)| (name, Some(vlan)));
    let interface = trunks.get(name)?;
    Some(vlan.map_or_else(|| interface.clone(), |vlan| format!("{interface}:{vlan}")))
}

/// A list of texts, or one text with commas.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(untagged, expecting = "a list of strings is expected, or one string separated by commas")]
pub enum TextList {
    /// A list.
    List(Vec<String>),
    /// One text.
    Text(String),
}

impl TextList {
    /// The texts, without blanks around them.
    #[must_use]
    pub fn texts(&self) -> Vec<&str> {
        match self {
            Self::List(texts) => texts.iter().map(|text| text.trim()).collect(),
            Self::Text(text) => text.split(',').map(str::trim).filter(|text| !text.is_empty()).collect(),
        }
    }
}

/// A number, perhaps as a text.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(untagged, expecting = "a number is expected")]
pub enum Number {
    /// A number.
    Number(i64),
    /// A number in a text.
    Text(String),
}

impl Number {
    /// As a text, without blanks around it.
    #[must_use]
    pub fn text(&self) -> String {
        match self {
            Self::Number(number) => number.to_string(),
            Self::Text(text) => text.trim().to_owned(),
        }
    }
}

#[cfg(test)]
mod tests {
    use bagpipe_bgp::types::Vni;

    use super::*;
    use crate::vpn::FieldError;

    const GOOD: &str = r#"{"vpn_type": "evpn", "vpn_instance_id": "blue", "mac_address": "02:00:00:00:00:01",
        "ip_address": "192.0.2.1/24", "local_port": {"linuxif": "tap0", "ovs": {"plugged": true}}, "import_rt": "64512:1, 64512:2",
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
        assert_eq!(request(r#"{"linuxif": "tap0", "ovs": {"plugged": true}}"#, r#""tap0""#).unwrap(), attach);
        assert_eq!(request(r#""192.0.2.1/24""#, "null").unwrap().ip, None);
        assert_eq!(request(r#""vni": 0"#, r#""vni": "101""#).unwrap().vni, Vni::new(101));
        assert_eq!(
            request("192.0.2.1/24", "2001:db8::1/64").unwrap().ip,
            Some("2001:db8::1".parse().unwrap())
        );
        assert!(request(r#"["64512:1"]"#, "[]").unwrap().export.is_empty());
        assert_eq!(request("192.0.2.1/24", "192.0.2.1/255.255.255.0").unwrap(), attach);
        for mac in ["02-00-00-00-00-01", "0200.0000.0001", "020000000001", "02:0:0:0:0:1"] {
            assert_eq!(request("02:00:00:00:00:01", mac).unwrap(), attach);
        }
    }

    #[test]
    fn a_port_may_be_a_vlan() {
        let trunks = [("patch2tun", "veth0"), ("6", "veth6")]
            .map(|(ovs, own)| (ovs.to_owned(), own.to_owned()))
            .into();
        for (port, expected) in [
            (r#""tap0:31""#, "tap0:31"),
            (r#""tap0:0""#, "tap0"),
            (r#""patch2tun:31""#, "veth0:31"),
            (r#"{"linuxif": "patch2tun:31", "vlan": 31}"#, "veth0:31"),
            (r#"{"linuxif": "patch2tun", "vlan": "31"}"#, "veth0:31"),
            (r#"{"linuxif": "tap0", "ovs": {"vlan": 31, "port_number": 7}}"#, "tap0:31"),
            (r#"{"linuxif": "tap0", "ovs": {"vlan": 31, "port_number": 6}}"#, "veth6:31"),
            (r#"{"ovs": {"port_number": "6"}}"#, "veth6"),
            (r#"{"ovs": {"port_name": "patch2tun", "vlan": 5}}"#, "veth0:5"),
        ] {
            let port: LocalPort = serde_json::from_str(port).unwrap();
            let request = AttachRequest {
                local_port: Some(port.on(&trunks)),
                ..serde_json::from_str::<AttachRequest>(GOOD).unwrap()
            };
            assert_eq!(request.validate().unwrap().port.interface(), Some(expected));
        }
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
            ("linuxif", "port_name", "local_port"),
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
            ("192.0.2.1/24", "192.0.2.1/255.0.255.0", "ip_address"),
            ("02:00:00:00:00:01", "0200000000é1", "mac_address"),
            ("\"tap0\"", "\"tap0:4095\"", "VLAN"),
            ("\"tap0\"", "\"tap0:x\"", "VLAN"),
            ("\"plugged\": true", "\"vlan\": 4095", "VLAN"),
            ("\"tap0\", \"ovs\": {", "\"tap0:7\", \"ovs\": {\"vlan\": 31, ", "VLAN"),
            (r#""vni": 0"#, r#""fallback": {"src_mac": "x"}"#, "fallback.src_mac"),
        ] {
            let text = request(replace, by).unwrap_err().to_string();
            assert!(text.contains(field), "{by}: {text}");
        }
    }

    #[test]
    fn what_is_asked_of_routes_is_checked() {
        const ATTRACT: &str =
            r#""redirect_rts": ["64512:2"], "classifier": {"sourcePort": "80:90", "protocol": "udp"}"#;
        let attract = |more: &str| format!(r#""attract_traffic": {{{ATTRACT}{more}}}"#);
        let readvertise = r#""readvertise": {"from_rt": "64512:1", "to_rt": ["64512:3"]}"#;
        for (fields, expected) in [
            (
                r#""fallback": {"src_mac": "02:00:00:00:00:01", "dst_mac": "02:00:00:00:00:02", "ovs_port_number": 6}"#
                    .to_owned(),
                "[ports] trunks",
            ),
            (r#""readvertise": {"to_rt": []}"#.to_owned(), "'readvertise.from_rt'"),
            (r#""attract_traffic": {"redirect_rts": ["64512:2"]}"#.to_owned(), "classifier"),
            (attract(""), "to_rt"),
            (attract(r#", "to_rt": ["64512:9"]"#), "static_destination_prefixes"),
            (attract(r#", "to_rt": ["64512:8", "64512:9"]"#), "one route target"),
            (format!("{readvertise}, {}", attract(r#", "to_rt": ["64512:9"]"#)), "readvertise.to_rt"),
            (attract("").replace("80:90", "90:80"), "sourcePort"),
            (attract("").replace("udp", "vines"), "protocol"),
        ] {
            let text = GOOD
                .replace(r#""readvertise": null, "attract_traffic": {}"#, &fields)
                .replace("evpn", "ipvpn");
            let request: AttachRequest = serde_json::from_str(&text).unwrap();
            let error = request.validate().unwrap_err().to_string();
            assert!(error.contains(expected), "{fields}: {error}");
        }
        let relay = |fields: &str, vpn_type: &str| {
            let text = GOOD.replace(r#""readvertise": null, "attract_traffic": {}"#, fields);
            let request: AttachRequest = serde_json::from_str(&text.replace("evpn", vpn_type)).unwrap();
            request.validate().map(|attach| attach.routed.unwrap().relay.unwrap())
        };
        let both = format!("{readvertise}, {}", attract(""));
        let error = relay(&both, "evpn").unwrap_err().to_string();
        assert!(error.contains("readvertise for an E-VPN"), "{error}");
        let relayed = relay(&both, "ipvpn").unwrap();
        assert_eq!((relayed.from.len(), relayed.to.len()), (1, 1));
        let class = relayed.attract.unwrap().class;
        assert_eq!((class.protocol, class.source_ports, class.destination_ports), (17, Some((80, 90)), None));
        let fixed =
            attract(r#", "to": "64512:9", "static_destination_prefixes": ["10.0.0.0/8", "2001:db8::1"]"#);
        let relayed = relay(&fixed, "ipvpn").unwrap();
        assert_eq!((relayed.from.len(), relayed.attract.unwrap().destinations.len()), (0, 2));
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
        let named = |text: &str| wrong_field::<AttachPost>(text.as_bytes());
        let error = named(r#"{"vni": 0, "advertise_subnet": "yes", "more": [1]}"#).unwrap();
        assert!(error.contains("'advertise_subnet'") && error.contains("boolean"), "{error}");
        assert_eq!((named(r#"{"vni": 0}"#), named("[]")), (None, None));
        let error = serde_json::from_str::<AttachPost>("[]").unwrap_err();
        assert!(error.to_string().contains("an attachment must be a JSON object"), "{error}");
    }
}
