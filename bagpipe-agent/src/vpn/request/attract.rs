//! Attraction of traffic: in place of routes of others, an IP-VPN announces which packets it wants
//! (bagpipe-bgp's `attract_traffic`).

use std::collections::BTreeSet;
use std::net::IpAddr;

use bagpipe_bgp::types::{IpPrefix, RouteTarget};
use serde::{Deserialize, Serialize};

use super::super::error::FieldError;
use super::fields::{invalid, route_targets};
use super::{Number, Relay, TextList};

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

/// What is attracted, in place of announcing routes of others again.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Attract {
    /// Route targets of who is to send.
    pub redirect: BTreeSet<RouteTarget>,
    /// Which traffic.
    pub class: TrafficClass,
    /// Destinations besides those of the routes.
    #[serde(default)]
    pub destinations: BTreeSet<IpPrefix>,
}

/// A class of traffic; what is not given may be anything.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TrafficClass {
    /// Where packets come from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source: Option<IpPrefix>,
    /// Where they go.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub destination: Option<IpPrefix>,
    /// IP protocol.
    pub protocol: u8,
    /// First and last source port.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source_ports: Option<(u16, u16)>,
    /// First and last destination port.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub destination_ports: Option<(u16, u16)>,
}

/// What `attract_traffic.classifier.protocol` is by default, as with bagpipe-bgp.
const DEFAULT_PROTOCOL: &str = "tcp";

/// Protocols that have a name, and their numbers.
const PROTOCOLS: [(&str, u8); 5] = [("tcp", 6), ("udp", 17), ("icmp", 1), ("icmpv6", 58), ("sctp", 132)];

/// More prefixes than any client lists, and few enough to announce all of them at once.
const MAX_DESTINATIONS: usize = 1000;

impl AttractTraffic {
    /// What is attracted. `readvertised`: the routes whose prefixes are, too.
    pub(super) fn check(&self, readvertised: Option<Relay>) -> Result<Relay, FieldError> {
        const TO: &str = "attract_traffic.to_rt";
        const STATIC: &str = "attract_traffic.static_destination_prefixes";
        let redirect = route_targets("attract_traffic.redirect_rts", self.redirect_rts.as_ref())?;
        let expected = "an object that describes traffic";
        let missing = FieldError::Missing { field: "attract_traffic.classifier", expected };
        let class = self.classifier.as_ref().ok_or(missing)?.check()?;
        let own = self.to_rt.as_ref().map(|list| route_targets(TO, Some(list))).transpose()?;
        if let (Some(own), Some(readvertised)) = (&own, &readvertised)
            && *own != readvertised.to
        {
            return Err(invalid(TO, &listed(own), "it must be that of readvertise.to_rt"));
        }
        let readvertised = readvertised.unwrap_or_default();
        let is_given = own.is_some();
        let to = own.unwrap_or(readvertised.to);
        // A redirect action names one route target (RFC 8955 §7.4).
        if to.len() != 1 {
            let expected = "one route target, here or in readvertise.to_rt";
            return Err(FieldError::Missing { field: TO, expected });
        }
        let statics = self.static_destination_prefixes.as_ref().map(TextList::texts).unwrap_or_default();
        if is_given && statics.is_empty() {
            let expected = "the prefixes to attract traffic for, together with attract_traffic.to_rt";
            return Err(FieldError::Missing { field: STATIC, expected });
        }
        if statics.len() > MAX_DESTINATIONS {
            let reason = format!("give at most {MAX_DESTINATIONS} prefixes");
            return Err(invalid(STATIC, &statics.len().to_string(), reason));
        }
        let destinations = statics.into_iter().map(|text| prefix(STATIC, text)).collect::<Result<_, _>>()?;
        Ok(Relay { from: readvertised.from, to, attract: Some(Attract { redirect, class, destinations }) })
    }
}

impl Classifier {
    fn check(&self) -> Result<TrafficClass, FieldError> {
        let prefix_of =
            |field, text: &Option<String>| text.as_deref().map(|text| prefix(field, text)).transpose();
        let ports = |field, number: &Option<Number>| {
            number.as_ref().map(|number| port_range(field, &number.text())).transpose()
        };
        Ok(TrafficClass {
            source: prefix_of("classifier.sourcePrefix", &self.source_prefix)?,
            destination: prefix_of("classifier.destinationPrefix", &self.destination_prefix)?,
            protocol: match &self.protocol {
                Some(number) => protocol(&number.text())?,
                None => protocol(DEFAULT_PROTOCOL)?,
            },
            source_ports: ports("classifier.sourcePort", &self.source_port)?,
            destination_ports: ports("classifier.destinationPort", &self.destination_port)?,
        })
    }
}

impl TrafficClass {
    /// Name or number of the protocol.
    #[must_use]
    pub fn protocol_name(&self) -> String {
        let named = PROTOCOLS.iter().find(|(_, number)| *number == self.protocol);
        named.map_or_else(|| self.protocol.to_string(), |(name, _)| (*name).to_owned())
    }
}

fn prefix(field: &'static str, text: &str) -> Result<IpPrefix, FieldError> {
    let reason = "give a prefix such as 192.0.2.0/24 or 2001:db8::/32";
    let host = || text.parse::<IpAddr>().ok().map(IpPrefix::host);
    text.parse().ok().or_else(host).ok_or_else(|| invalid(field, text, reason))
}

fn port_range(field: &'static str, text: &str) -> Result<(u16, u16), FieldError> {
    let (first, last) = text.split_once(':').unwrap_or((text, text));
    match (first.trim().parse::<u16>(), last.trim().parse::<u16>()) {
        (Ok(first), Ok(last)) if first <= last => Ok((first, last)),
        _ => Err(invalid(field, text, "give a port such as 80, or a range such as 80:90")),
    }
}

fn protocol(text: &str) -> Result<u8, FieldError> {
    let named = PROTOCOLS.iter().find(|(name, _)| text.eq_ignore_ascii_case(name)).map(|(_, number)| *number);
    let reason = "give a number from 0 to 255, or tcp, udp, icmp, icmpv6 or sctp";
    named.or_else(|| text.parse().ok()).ok_or_else(|| invalid("classifier.protocol", text, reason))
}

fn listed(targets: &BTreeSet<RouteTarget>) -> String {
    targets.iter().map(ToString::to_string).collect::<Vec<_>>().join(",")
}
