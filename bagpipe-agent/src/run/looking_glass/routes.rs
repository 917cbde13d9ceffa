//! Routes as the looking glass shows them.

use bagpipe_bgp::speaker::{RouteSource, RouteStatus};
use bagpipe_bgp::types::{Family, RouteTarget};
use bagpipe_bgp::wire::pmsi::PmsiTunnelKind;
use bagpipe_bgp::wire::{Attributes, Nlri};
use serde_json::{Map, Value, json};

use super::Glass;
use crate::fib::VpnId;
use crate::vpn::RouteKey;
use crate::vpn::view::VpnView;

/// The families of bagpipe-bgp, which shows them even without routes.
pub(super) const FAMILIES: [Family; 5] =
    [Family::VPNV4, Family::EVPN, Family::ROUTE_TARGET, FLOWSPEC_VPN, Family::VPNV6];

/// FlowSpec of VPNs (RFC 8955 §8).
const FLOWSPEC_VPN: Family = Family { afi: 1, safi: 134 };

/// A family as bagpipe-bgp writes it.
pub(super) fn family(family: Family) -> String {
    match family {
        Family::EVPN => "l2vpn/evpn".to_owned(),
        Family::VPNV4 => "ipv4/mpls-vpn".to_owned(),
        Family::VPNV6 => "ipv6/mpls-vpn".to_owned(),
        Family::ROUTE_TARGET => "ipv4/rtc".to_owned(),
        FLOWSPEC_VPN => "ipv4/flow-vpn".to_owned(),
        other => other.to_string(),
    }
}

/// A route target as bagpipe-bgp writes it.
pub(super) fn target(target: &RouteTarget) -> String {
    format!("target:{target}")
}

/// The name of an instance among the workers.
pub(super) fn worker(vpn: &VpnView) -> String {
    worker_name(vpn.vpn_type, vpn.number)
}

fn worker_name(vpn_type: &str, number: VpnId) -> String {
    format!("{}-{number}", if vpn_type == "evpn" { "EVI" } else { "VRF" })
}

impl Glass<'_> {
    /// A route under its name.
    pub(super) fn route(self, route: &RouteStatus) -> Value {
        let mut shown = json!({
            "afi-safi": family(route.nlri.family()),
            "attributes": attributes(&route.attributes),
            "next_hop": route.attributes.next_hop.map(|next_hop| next_hop.address.to_string()),
            "source": self.source(route),
        });
        if let Some(shown) = shown.as_object_mut()
            && !matches!(route.nlri, Nlri::RouteTarget(_))
        {
            let targets: Vec<String> = route.attributes.route_targets().map(|rt| target(&rt)).collect();
            shown.insert("route_targets".to_owned(), targets.into());
        }
        Value::Object(Map::from_iter([(route.nlri.to_string(), shown)]))
    }

    fn source(self, route: &RouteStatus) -> Value {
        let id = match route.source {
            RouteSource::Peer(_, address) => format!("BGP-{address}"),
            RouteSource::Local => {
                let owner = self.agent.engine.originator(&route.nlri);
                owner.map_or_else(|| "BGPManager".to_owned(), |(number, kind)| worker_name(kind, number))
            }
        };
        json!({ "id": id, "href": self.at(&["bgp", "workers", &id]) })
    }
}

/// What bagpipe-bgp compares routes by: of several routes of one key some are the best.
pub(super) fn tracked(nlri: &Nlri) -> String {
    match RouteKey::of(nlri) {
        Some(RouteKey::MacIp(_, mac, _)) => format!("('MAC', {})", mac.to_string().to_uppercase()),
        Some(RouteKey::Multicast(rd, originator)) => format!("('Multicast', ({originator}, rd {rd}))"),
        Some(RouteKey::EvpnPrefix(_, prefix) | RouteKey::Prefix(_, prefix)) => format!("'{prefix}'"),
        Some(RouteKey::OnSegment(..) | RouteKey::ForSegment(..)) | None => nlri.to_string(),
    }
}

fn attributes(attributes: &Attributes) -> Value {
    let mut shown = Map::new();
    if !attributes.extended_communities.is_empty() {
        let texts = attributes.extended_communities.iter().map(|community| {
            let text = community.to_string();
            text.strip_prefix("rt:").map_or_else(|| text.clone(), |target| format!("target:{target}"))
        });
        let texts = texts.collect::<Vec<_>>().join(" ");
        shown.insert("extended-community".to_owned(), format!("[ {texts} ]").into());
    }
    if let Some(local_pref) = attributes.local_pref {
        shown.insert("local-preference".to_owned(), local_pref.to_string().into());
    }
    if let Some(pmsi) = &attributes.pmsi_tunnel {
        let text = match &pmsi.tunnel {
            PmsiTunnelKind::IngressReplication(endpoint) => {
                format!("pmsi:ingressreplication:{}:{}:{endpoint}", pmsi.flags, pmsi.label)
            }
            PmsiTunnelKind::Other(..) => format!("pmsi:{pmsi}"),
        };
        shown.insert("pmsi-tunnel".to_owned(), text.into());
    }
    Value::Object(shown)
}
