//! What becomes of packets of an IP-VPN that have no route (bagpipe-bgp's `fallback`): they leave by an interface, in a
//! frame for whoever routes them on.

use std::collections::BTreeMap;

use bagpipe_bgp::types::MacAddr;
use serde::{Deserialize, Serialize};

use super::super::error::FieldError;
use super::fields::{interface, invalid, mac_address};
use super::{Number, in_place_of};

/// What becomes of packets that have no route.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(
    default,
    expecting = "fallback must be null, or an object with 'src_mac', 'dst_mac' and 'interface' or 'ovs_port_number'"
)]
pub struct Fallback {
    /// Source MAC address that they get.
    pub src_mac: Option<String>,
    /// Destination MAC address that they get.
    pub dst_mac: Option<String>,
    /// The interface that they leave by; NAME:VLAN is a VLAN on it.
    pub interface: Option<String>,
    /// The name of the port of Open vSwitch that they are sent to.
    pub ovs_port_name: Option<String>,
    /// Its number.
    pub ovs_port_number: Option<Number>,
}

/// The gateway of last resort: whoever gets the packets of an IP-VPN that have no route.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LastResort {
    /// The interface that they leave by; NAME:VLAN is a VLAN on it.
    pub interface: String,
    /// The source MAC address that they get.
    pub source: MacAddr,
    /// The destination MAC address that they get.
    pub destination: MacAddr,
}

impl Fallback {
    /// The same with the interface in place of the name or number that Open vSwitch has for it, if one of `trunks` stands
    /// for that. Packets leave with the VLAN of the ports, as those of bagpipe-bgp do.
    pub(super) fn on(mut self, trunks: &BTreeMap<String, String>, vlan: u16) -> Self {
        let number = self.ovs_port_number.as_ref().map(Number::text);
        let mut names = self.ovs_port_name.as_deref().into_iter().chain(number.as_deref());
        self.interface = match &self.interface {
            Some(given) => Some(in_place_of(given, trunks).unwrap_or_else(|| given.clone())),
            None => names.find_map(|name| trunks.get(name)).map(|trunk| format!("{trunk}:{vlan}")),
        };
        self
    }

    pub(super) fn check(&self) -> Result<LastResort, FieldError> {
        const INTERFACE: &str = "fallback.interface";
        let mac = |field, text: &Option<String>| mac_address(field, text.as_deref());
        let (source, destination) =
            (mac("fallback.src_mac", &self.src_mac)?, mac("fallback.dst_mac", &self.dst_mac)?);
        if let Some(given) = &self.interface {
            return Ok(LastResort { interface: interface(INTERFACE, given, &[])?, source, destination });
        }
        let number = self.ovs_port_number.as_ref().map(Number::text);
        match self.ovs_port_name.clone().or(number) {
            Some(port) => {
                let reason = "name the interface that stands for it in [ports] trunks, or give 'interface'";
                Err(invalid("fallback.ovs_port_number", &port, reason))
            }
            None => Err(FieldError::Missing { field: INTERFACE, expected: "what packets leave by" }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::{AttachRequest, LocalPort};

    const BACK: &str = r#""src_mac": "00:00:5e:2a:10:00", "dst_mac": "02:00:00:00:00:fe""#;

    /// What a fallback with these members means on a port.
    fn checked(port: &str, members: &str) -> Result<String, String> {
        let trunks = [("6", "to-int"), ("patch-int", "to-int")]
            .map(|(ovs, own)| (ovs.to_owned(), own.to_owned()))
            .into();
        let request = AttachRequest {
            local_port: Some(LocalPort::Name(port.to_owned())),
            fallback: Some(serde_json::from_str(&format!("{{{members}}}")).unwrap()),
            ..AttachRequest::default()
        };
        let checked = request.on(&trunks).fallback.unwrap().check();
        checked.map(|fallback| fallback.interface).map_err(|error| error.to_string())
    }

    #[test]
    fn the_interface_has_many_names() {
        for (port, member, interface) in [
            ("tap0", r#""interface": "eth1""#, "eth1"),
            ("tap0:31", r#""interface": "eth1""#, "eth1"),
            ("tap0", r#""interface": "eth1:7""#, "eth1:7"),
            ("tap0", r#""interface": "patch-int:7""#, "to-int:7"),
            ("tap0:31", r#""ovs_port_number": 6"#, "to-int:31"),
            ("tap0", r#""ovs_port_number": "6""#, "to-int"),
            ("tap0:31", r#""ovs_port_name": "patch-int", "ovs_port_number": 9"#, "to-int:31"),
            ("tap0:31", r#""interface": "eth1", "ovs_port_number": 6"#, "eth1"),
        ] {
            assert_eq!(checked(port, &format!("{BACK}, {member}")), Ok(interface.to_owned()), "{member}");
        }
    }

    #[test]
    fn what_is_wrong_is_told() {
        for (members, word) in [
            (BACK.to_owned(), "fallback.interface"),
            (format!(r#"{BACK}, "ovs_port_number": 7"#), "fallback.ovs_port_number '7'"),
            (format!(r#"{BACK}, "interface": "a/b""#), "fallback.interface 'a/b'"),
            (r#""src_mac": "02:00:00:00:00:01", "interface": "eth1""#.to_owned(), "'fallback.dst_mac'"),
            (
                BACK.replace("00:00:5e", "01:00:5e") + r#", "interface": "eth1""#,
                "fallback.src_mac '01:00:5e:2a:10:00'",
            ),
        ] {
            let error = checked("tap0", &members).unwrap_err();
            assert!(error.contains(word), "{word}: {error}");
        }
    }
}
