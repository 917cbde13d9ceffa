//! What a request asks of routes beyond its own prefix: to announce those of others again, to attract traffic, to send on
//! what has no route. All of it is checked; none of it is done, so a request that asks for it is refused.

use std::collections::BTreeSet;

use bagpipe_bgp::types::{IpPrefix, RouteTarget};
use serde::{Deserialize, Serialize};

use super::super::error::FieldError;
use super::fields::{invalid, mac_address, route_targets};
use super::{AttachRequest, Number, TextList};

/// Announce routes again that come with some route targets.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, expecting = "readvertise must be null, or an object with 'from_rt' and 'to_rt'")]
pub struct Readvertise {
    /// Route targets that the routes have.
    pub from_rt: Option<TextList>,
    /// Route targets that they are announced with.
    pub to_rt: Option<TextList>,
}

/// Attract traffic that a classifier describes.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(
    default,
    expecting = "attract_traffic must be null, or an object with 'redirect_rts' and 'classifier'"
)]
pub struct AttractTraffic {
    /// Route targets of the FlowSpec routes.
    pub redirect_rts: Option<TextList>,
    /// Which traffic.
    pub classifier: Option<Classifier>,
    /// The route target that traffic is redirected to. bagpipe-rest-attach calls it `to`.
    #[serde(alias = "to", alias = "attract_to_rts")]
    pub to_rt: Option<TextList>,
    /// Destinations to attract besides those of routes.
    pub static_destination_prefixes: Option<TextList>,
}

/// A class of traffic.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase", expecting = "classifier must be an object")]
pub struct Classifier {
    /// Where packets come from.
    pub source_prefix: Option<String>,
    /// Where they go.
    pub destination_prefix: Option<String>,
    /// A port, or two with a colon between.
    pub source_port: Option<Number>,
    /// A port, or two with a colon between.
    pub destination_port: Option<Number>,
    /// Name or number of the protocol.
    pub protocol: Option<Number>,
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

/// Refuses what is wrong, and then what cannot be done.
pub(super) fn check(request: &AttachRequest) -> Result<(), FieldError> {
    let readvertise = request.readvertise.as_ref().filter(|asked| **asked != Readvertise::default());
    let attract = request.attract_traffic.as_ref().filter(|asked| **asked != AttractTraffic::default());
    let fallback = request.fallback.as_ref().filter(|asked| **asked != Fallback::default());
    let to = readvertise.map(Readvertise::check).transpose()?;
    if let Some(attract) = attract {
        attract.check(to.as_ref())?;
    }
    fallback.map(Fallback::check).transpose()?;
    let asked = [
        ("readvertise", readvertise.is_some()),
        ("attract_traffic", attract.is_some()),
        ("fallback", fallback.is_some()),
    ];
    match asked.into_iter().find(|(_, asked)| *asked) {
        Some((field, _)) => Err(FieldError::Unsupported { field, remedy: "leave it out" }),
        None => Ok(()),
    }
}

impl Readvertise {
    fn check(&self) -> Result<BTreeSet<RouteTarget>, FieldError> {
        route_targets("readvertise.from_rt", self.from_rt.as_ref())?;
        route_targets("readvertise.to_rt", self.to_rt.as_ref())
    }
}

impl AttractTraffic {
    /// `readvertised`: route targets that routes are announced again with.
    fn check(&self, readvertised: Option<&BTreeSet<RouteTarget>>) -> Result<(), FieldError> {
        const TO: &str = "attract_traffic.to_rt";
        route_targets("attract_traffic.redirect_rts", self.redirect_rts.as_ref())?;
        let classifier = self.classifier.as_ref().ok_or(FieldError::Missing {
            field: "attract_traffic.classifier",
            expected: "an object that describes traffic",
        })?;
        classifier.check()?;
        let own = self.to_rt.as_ref().map(|list| route_targets(TO, Some(list))).transpose()?;
        if let (Some(own), Some(readvertised)) = (&own, readvertised)
            && own != readvertised
        {
            return Err(invalid(TO, &listed(own), "it must be that of readvertise.to_rt"));
        }
        // A redirect action names one route target (RFC 8955 §7.4).
        let to = own.as_ref().or(readvertised).filter(|targets| targets.len() == 1);
        to.ok_or(FieldError::Missing {
            field: TO,
            expected: "one route target, here or in readvertise.to_rt",
        })?;
        let statics = self.static_destination_prefixes.as_ref().map(TextList::texts).unwrap_or_default();
        if own.is_some() && statics.is_empty() {
            return Err(FieldError::Missing {
                field: "attract_traffic.static_destination_prefixes",
                expected: "the prefixes to attract traffic for, together with attract_traffic.to_rt",
            });
        }
        statics.into_iter().try_for_each(|text| prefix("attract_traffic.static_destination_prefixes", text))
    }
}

impl Classifier {
    fn check(&self) -> Result<(), FieldError> {
        for (field, text) in [
            ("classifier.sourcePrefix", &self.source_prefix),
            ("classifier.destinationPrefix", &self.destination_prefix),
        ] {
            text.as_deref().map_or(Ok(()), |text| prefix(field, text))?;
        }
        for (field, ports) in [
            ("classifier.sourcePort", &self.source_port),
            ("classifier.destinationPort", &self.destination_port),
        ] {
            ports.as_ref().map_or(Ok(()), |number| port_range(field, &number.text()))?;
        }
        self.protocol.as_ref().map_or(Ok(()), |number| protocol(&number.text()))
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

fn prefix(field: &'static str, text: &str) -> Result<(), FieldError> {
    let reason = "give a prefix such as 192.0.2.0/24 or 2001:db8::/32";
    let parsed = text.parse::<IpPrefix>().is_ok() || text.parse::<std::net::IpAddr>().is_ok();
    if parsed { Ok(()) } else { Err(invalid(field, text, reason)) }
}

fn port_range(field: &'static str, text: &str) -> Result<(), FieldError> {
    let (first, last) = text.split_once(':').unwrap_or((text, text));
    match (first.trim().parse::<u16>(), last.trim().parse::<u16>()) {
        (Ok(first), Ok(last)) if first <= last => Ok(()),
        _ => Err(invalid(field, text, "give a port such as 80, or a range such as 80:90")),
    }
}

fn protocol(text: &str) -> Result<(), FieldError> {
    const NAMES: [&str; 5] = ["tcp", "udp", "icmp", "icmpv6", "sctp"];
    let known = NAMES.iter().any(|name| text.eq_ignore_ascii_case(name)) || text.parse::<u8>().is_ok();
    let reason = "give a number from 0 to 255, or tcp, udp, icmp, icmpv6 or sctp";
    if known { Ok(()) } else { Err(invalid("classifier.protocol", text, reason)) }
}

fn listed(targets: &BTreeSet<RouteTarget>) -> String {
    targets.iter().map(ToString::to_string).collect::<Vec<_>>().join(",")
}
