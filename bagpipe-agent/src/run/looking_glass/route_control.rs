//! What an IP-VPN does with routes of others, as bagpipe-bgp shows it.

use bagpipe_bgp::speaker::{RouteSource, RouteStatus};
use bagpipe_bgp::types::RouteTarget;
use bagpipe_bgp::wire::Nlri;
use serde_json::{Value, json};

use super::Glass;
use super::node::{Member, Node, below, here};
use super::routes::target;
use crate::fib::on_trunk;
use crate::vpn::view::VpnView;
use crate::vpn::{Attract, LastResort, Relay, TrafficClass};

impl<'a> Glass<'a> {
    /// The members of an instance that are about it; `readvertised` is of IP-VPNs only.
    pub(super) fn route_control(self, vpn: &VpnView) -> Vec<(&'static str, Member<'a>)> {
        let relay = vpn.readvertise.as_ref();
        let readvertise = relay.filter(|relay| !relay.from.is_empty());
        let readvertise = readvertise.map(|it| json!({ "from": targets(&it.from), "to": targets(&it.to) }));
        let attract = relay.and_then(|relay| Some(attraction(relay, relay.attract.as_ref()?)));
        let mut members = vec![
            ("readvertise", here(readvertise.unwrap_or_else(|| json!({})))),
            ("attract_traffic", here(attract.unwrap_or_else(|| json!({})))),
            ("fallback", here(vpn.fallback.as_ref().map_or(Value::Null, |it| self.fallback(it)))),
        ];
        if vpn.vpn_type == "ipvpn" {
            let relay = relay.cloned().unwrap_or_default();
            members.push(("readvertised", below(move || Node::Value(self.readvertised(&relay)))));
        }
        members
    }

    /// The interface is shown by its number of Open vSwitch, too, if it stands for one.
    fn fallback(self, fallback: &LastResort) -> Value {
        let mut shown = json!({
            "src_mac": fallback.source,
            "dst_mac": fallback.destination,
            "interface": fallback.interface,
        });
        let (interface, _) = on_trunk(&fallback.interface);
        let mut trunks = self.agent.config.ports.trunks.iter().filter(|(_, own)| *own == interface);
        let number = trunks.find_map(|(name, _)| name.parse::<u32>().ok());
        if let (Some(members), Some(number)) = (shown.as_object_mut(), number) {
            members.insert("ovs_port_number".to_owned(), number.into());
        }
        shown
    }

    /// The routes of others that are announced again, or attracted for.
    fn readvertised(self, relay: &Relay) -> Value {
        let goes_on = |route: &RouteStatus| {
            let mut record = route.attributes.extended_communities.iter();
            matches!(route.nlri, Nlri::Vpn(_))
                && route.attributes.route_targets().any(|target| relay.from.contains(&target))
                && !record
                    .any(|it| it.as_rt_record().is_some_and(|been| relay.senders().any(|to| *to == been)))
        };
        let routes = self.agent.engine.route_statuses();
        let shown = routes.filter(|route| route.source != RouteSource::Local && route.best && goes_on(route));
        shown.map(|route| self.route(&route)).collect()
    }
}

fn attraction(relay: &Relay, attract: &Attract) -> Value {
    let prefixes: Vec<String> = attract.destinations.iter().map(ToString::to_string).collect();
    json!({
        "redirect_rts": targets(&attract.redirect),
        "classifier": classifier(&attract.class),
        "to": targets(&relay.to),
        "static_destination_prefixes": prefixes,
    })
}

/// What is asked of packets, in the words of a request.
fn classifier(class: &TrafficClass) -> Value {
    let ports = |range: Option<(u16, u16)>| {
        range.map(|(first, last)| if first == last { first.to_string() } else { format!("{first}:{last}") })
    };
    let members = [
        ("sourcePrefix", class.source.map(|prefix| prefix.to_string())),
        ("destinationPrefix", class.destination.map(|prefix| prefix.to_string())),
        ("sourcePort", ports(class.source_ports)),
        ("destinationPort", ports(class.destination_ports)),
        ("protocol", Some(class.protocol_name())),
    ];
    let given = members.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?.into())));
    Value::Object(given.collect())
}

fn targets<'a>(targets: impl IntoIterator<Item = &'a RouteTarget>) -> Value {
    targets.into_iter().map(target).collect()
}
