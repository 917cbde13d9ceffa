//! What a request asks of routes beyond its own prefix: to announce those of others again, to attract traffic, to send on
//! what has no route. An E-VPN has no routes, so it is refused all of that.

use serde::{Deserialize, Serialize};

use super::super::error::FieldError;
use super::attract::AttractTraffic;
use super::fallback::{Fallback, LastResort};
use super::fields::route_targets;
use super::{AttachRequest, Relay, TextList};

/// Announce routes again that come with some route targets.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, expecting = "readvertise must be null, or an object with 'from_rt' and 'to_rt'")]
pub struct Readvertise {
    /// Route targets that the routes have.
    pub from_rt: Option<TextList>,
    /// Route targets that they are announced with.
    pub to_rt: Option<TextList>,
}

/// What is announced again, and who gets what has no route. Refuses what is wrong, and then what cannot be done.
pub(super) fn check(
    request: &AttachRequest,
    is_routed: bool,
) -> Result<(Option<Relay>, Option<LastResort>), FieldError> {
    let readvertise = request.readvertise.as_ref().filter(|asked| **asked != Readvertise::default());
    let attract = request.attract_traffic.as_ref().filter(|asked| **asked != AttractTraffic::default());
    let fallback = request.fallback.as_ref().filter(|asked| **asked != Fallback::default());
    let mut relay = readvertise.map(Readvertise::check).transpose()?;
    if let Some(attract) = attract {
        relay = Some(attract.check(relay)?);
    }
    let last_resort = fallback.map(Fallback::check).transpose()?;
    let asked = [
        ("readvertise for an E-VPN", readvertise.is_some()),
        ("attract_traffic for an E-VPN", attract.is_some()),
        ("fallback for an E-VPN", fallback.is_some()),
    ];
    match asked.into_iter().find(|(_, asked)| *asked && !is_routed) {
        Some((field, _)) => Err(FieldError::Unsupported { field, remedy: "leave it out" }),
        None => Ok((relay, last_resort)),
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
