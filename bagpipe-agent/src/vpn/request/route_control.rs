//! What a request asks of routes beyond its own prefix: to announce those of others again, to attract traffic, to send on
//! what has no route. The last is checked and not done, so a request that asks for it is refused.

use serde::{Deserialize, Serialize};

use super::super::error::FieldError;
use super::attract::AttractTraffic;
use super::fields::{mac_address, route_targets};
use super::{AttachRequest, Number, Relay, TextList};

/// Announce routes again that come with some route targets.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, expecting = "readvertise must be null, or an object with 'from_rt' and 'to_rt'")]
pub struct Readvertise {
    /// Route targets that the routes have.
    pub from_rt: Option<TextList>,
    /// Route targets that they are announced with.
    pub to_rt: Option<TextList>,
}

/// What becomes of packets that have no route.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(
    default,
    expecting = "fallback must be null, or an object with 'src_mac', 'dst_mac' and 'ovs_port_number'"
)]
pub struct Fallback {
    /// Source MAC address that they get.
    pub src_mac: Option<String>,
    /// Destination MAC address that they get.
    pub dst_mac: Option<String>,
    /// The port of Open vSwitch that they are sent to.
    pub ovs_port_number: Option<Number>,
}

/// What is announced again. Refuses what is wrong, and then what cannot be done.
pub(super) fn relay(request: &AttachRequest, is_routed: bool) -> Result<Option<Relay>, FieldError> {
    let readvertise = request.readvertise.as_ref().filter(|asked| **asked != Readvertise::default());
    let attract = request.attract_traffic.as_ref().filter(|asked| **asked != AttractTraffic::default());
    let fallback = request.fallback.as_ref().filter(|asked| **asked != Fallback::default());
    let mut relay = readvertise.map(Readvertise::check).transpose()?;
    if let Some(attract) = attract {
        relay = Some(attract.check(relay)?);
    }
    fallback.map(Fallback::check).transpose()?;
    let asked = [
        ("readvertise for an E-VPN", readvertise.is_some() && !is_routed),
        ("attract_traffic for an E-VPN", attract.is_some() && !is_routed),
        ("fallback", fallback.is_some()),
    ];
    match asked.into_iter().find(|(_, asked)| *asked) {
        Some((field, _)) => Err(FieldError::Unsupported { field, remedy: "leave it out" }),
        None => Ok(relay),
    }
}

impl Readvertise {
    fn check(&self) -> Result<Relay, FieldError> {
        Ok(Relay {
            from: route_targets("readvertise.from_rt", self.from_rt.as_ref())?,
            to: route_targets("readvertise.to_rt", self.to_rt.as_ref())?,
            attract: None,
        })
    }
}

impl Fallback {
    fn check(&self) -> Result<(), FieldError> {
        for mac in [&self.src_mac, &self.dst_mac] {
            mac_address(mac.as_deref())?;
        }
        match self.ovs_port_number {
            Some(_) => Ok(()),
            None => Err(FieldError::Missing { field: "fallback.ovs_port_number", expected: "a port number" }),
        }
    }
}
