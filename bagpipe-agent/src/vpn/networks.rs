//! Named networks: route targets for those who have no orchestrator to choose them.
//!
//! A network's route target is drawn from configured ranges, or follows from its VNI (RFC 8365 §5.1.2.1), which gives
//! the same on every node.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::RangeInclusive;

use bagpipe_bgp::types::{Asn, RouteTarget, Vni};
use serde::{Deserialize, Serialize};

use super::request::{AttachRequest, Number, TextList};

/// What route targets are made of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RouteTargets {
    /// The autonomous system in them.
    pub as_number: Asn,
    /// The numbers after it.
    pub ranges: Vec<RangeInclusive<u32>>,
}

/// A network.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Network {
    /// Its name.
    pub name: String,
    /// What its routes have.
    #[serde(with = "as_text")]
    pub route_target: RouteTarget,
    /// Its VNI, if the route target follows from that.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub vni: Option<Vni>,
}

/// All networks.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Networks {
    by_name: BTreeMap<String, Network>,
    /// The number drawn last: a released one comes last, so that no node still imports it for another network.
    last: u32,
}

/// Why a network is not made, or not removed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NetworkError {
    /// There is one of this name.
    #[error(
        "network '{name}' is there already, with route target {route_target}; delete it first, or use it"
    )]
    Exists {
        /// Its name.
        name: String,
        /// Its route target.
        route_target: RouteTarget,
    },
    /// The name cannot be one.
    #[error("'{0}' cannot name a network; give 1 to 255 octets without control characters")]
    Name(String),
    /// No ranges.
    #[error(
        "there is nothing to draw a route target from; set [route_targets] ranges = [\"100:199\"], or give a VNI"
    )]
    NoRanges,
    /// All are taken.
    #[error(
        "all {count} route targets of [route_targets] ranges are taken; delete networks that are not used, or add a \
         range"
    )]
    Exhausted {
        /// How many there are.
        count: u64,
    },
    /// No room for a number of 32 bits beside an AS number of 32 bits.
    #[error(
        "no route target follows from a VNI and AS {0}, which has more than 16 bits; set [route_targets] as_number to a \
         smaller one, or give no VNI"
    )]
    WideAs(Asn),
    /// The route target is that of another network.
    #[error("route target {route_target} is that of network '{other}'; give another VNI")]
    Taken {
        /// The route target.
        route_target: RouteTarget,
        /// Whose it is.
        other: String,
    },
    /// There is none of this name.
    #[error("network '{0}' could not be found; `bagpipe network list` lists them")]
    NoSuch(String),
    /// A VPN instance has its route target.
    #[error("network '{name}' is used by VPN instance '{vpn}'; detach its ports first")]
    Used {
        /// Its name.
        name: String,
        /// The instance.
        vpn: String,
    },
}

impl Networks {
    /// Makes a network.
    ///
    /// # Errors
    /// Its name or its VNI is taken, or nothing is left to draw from.
    pub fn create(
        &mut self,
        name: &str,
        vni: Option<Vni>,
        targets: &RouteTargets,
    ) -> Result<&Network, NetworkError> {
        if name.is_empty() || name.len() > 255 || name.chars().any(char::is_control) {
            return Err(NetworkError::Name(name.escape_debug().to_string()));
        }
        if let Some(Network { route_target, .. }) = self.by_name.get(name) {
            return Err(NetworkError::Exists { name: name.to_owned(), route_target: *route_target });
        }
        // Zero has one drawn, as in an attach.
        let vni = vni.filter(|vni| vni.get() != 0);
        let route_target = match vni {
            Some(vni) => self.derived(vni, targets.as_number)?,
            None => self.draw(targets)?,
        };
        let network = Network { name: name.to_owned(), route_target, vni };
        Ok(self.by_name.entry(name.to_owned()).or_insert(network))
    }

    /// The route target of a VXLAN network (RFC 8365 §5.1.2.1): bit 0 clear for derived by itself, type 1 for VXLAN,
    /// domain 0, then the VNI.
    fn derived(&self, vni: Vni, asn: Asn) -> Result<RouteTarget, NetworkError> {
        const VXLAN: u32 = 1 << 28;
        let asn = u16::try_from(asn).map_err(|_| NetworkError::WideAs(asn))?;
        let route_target = target(asn.into(), VXLAN | vni.get()).ok_or(NetworkError::WideAs(asn.into()))?;
        match self.by_name.values().find(|network| network.route_target == route_target) {
            Some(other) => Err(NetworkError::Taken { route_target, other: other.name.clone() }),
            None => Ok(route_target),
        }
    }

    fn draw(&mut self, targets: &RouteTargets) -> Result<RouteTarget, NetworkError> {
        let RouteTargets { as_number, ranges } = targets;
        if ranges.is_empty() {
            return Err(NetworkError::NoRanges);
        }
        let taken: BTreeSet<RouteTarget> =
            self.by_name.values().map(|network| network.route_target).collect();
        let numbers = || ranges.iter().cloned().flatten();
        // Every candidate before the one that is drawn is taken: as many steps as there are networks, at most.
        let later = ranges.iter().map(|range| self.last.saturating_add(1).max(*range.start())..=*range.end());
        let candidates = later.flatten().chain(numbers());
        let free = candidates.filter_map(|number| Some((number, target(*as_number, number)?)));
        let drawn = free.into_iter().find(|(_, target)| !taken.contains(target));
        let size = |range: &RangeInclusive<u32>| u64::from(*range.end()) + 1 - u64::from(*range.start());
        let (number, target) =
            drawn.ok_or_else(|| NetworkError::Exhausted { count: ranges.iter().map(size).sum() })?;
        self.last = number;
        Ok(target)
    }

    /// Removes a network, whose route target is free then.
    ///
    /// # Errors
    /// There is none of this name.
    pub fn delete(&mut self, name: &str) -> Result<Network, NetworkError> {
        self.by_name.remove(name).ok_or_else(|| NetworkError::NoSuch(name.to_owned()))
    }

    /// The network of a name.
    ///
    /// # Errors
    /// There is none.
    pub fn get(&self, name: &str) -> Result<&Network, NetworkError> {
        self.by_name.get(name).ok_or_else(|| NetworkError::NoSuch(name.to_owned()))
    }

    /// All, by name.
    pub fn iter(&self) -> impl Iterator<Item = &Network> {
        self.by_name.values()
    }

    /// What an attach to a network means: its route target besides those that are given, and its name and VNI where
    /// none is given.
    ///
    /// # Errors
    /// There is no such network.
    pub fn complete(&self, mut request: AttachRequest) -> Result<AttachRequest, NetworkError> {
        let Some(name) = request.network.take() else { return Ok(request) };
        let network = self.get(&name)?;
        let with = |list: Option<TextList>| {
            let mut texts: Vec<String> = list.iter().flat_map(TextList::texts).map(str::to_owned).collect();
            texts.push(network.route_target.to_string());
            Some(TextList::List(texts))
        };
        request.import_rt = with(request.import_rt.take());
        request.export_rt = with(request.export_rt.take());
        request.vpn_instance_id.get_or_insert(name);
        request.vni = request.vni.or(network.vni.map(|vni| Number::Number(vni.get().into())));
        Ok(request)
    }
}

fn target(asn: Asn, number: u32) -> Option<RouteTarget> {
    format!("{asn}:{number}").parse().ok()
}

/// Route targets are written as people write them.
mod as_text {
    use bagpipe_bgp::types::RouteTarget;
    use serde::{Deserialize, Deserializer, Serializer, de};

    pub(super) fn serialize<S: Serializer>(target: &RouteTarget, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(target)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<RouteTarget, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn targets() -> RouteTargets {
        RouteTargets { as_number: 64_512, ranges: vec![100..=101, 500..=500] }
    }

    fn create(networks: &mut Networks, name: &str) -> Result<String, NetworkError> {
        networks.create(name, None, &targets()).map(|network| network.route_target.to_string())
    }

    #[test]
    fn route_targets_are_drawn_in_turn_until_none_is_left() {
        let mut networks = Networks::default();
        assert_eq!(create(&mut networks, "a").unwrap(), "64512:100");
        assert_eq!(create(&mut networks, "b").unwrap(), "64512:101");
        networks.delete("a").unwrap();
        assert_eq!(create(&mut networks, "c").unwrap(), "64512:500");
        let text = serde_json::to_string(&networks).unwrap();
        let mut networks: Networks = serde_json::from_str(&text).unwrap();
        assert_eq!(create(&mut networks, "d").unwrap(), "64512:100");
        assert_eq!(create(&mut networks, "e"), Err(NetworkError::Exhausted { count: 3 }));
        assert_eq!(
            create(&mut networks, "b").unwrap_err().to_string(),
            "network 'b' is there already, with route target 64512:101; delete it first, or use it"
        );
        assert_eq!(networks.delete("a"), Err(NetworkError::NoSuch("a".into())));
        assert!(create(&mut networks, "").is_err() && create(&mut networks, "x\n").is_err());
    }

    #[test]
    fn a_vni_gives_the_same_route_target_everywhere() {
        let mut networks = Networks::default();
        let vni = Vni::new(10_000);
        let target = networks.create("a", vni, &targets()).unwrap().route_target;
        assert_eq!(target.octets(), [0, 2, 0xfc, 0x00, 0x10, 0x00, 0x27, 0x10]);
        assert!(matches!(networks.create("b", vni, &targets()), Err(NetworkError::Taken { .. })));
        let wide = RouteTargets { as_number: 70_000, ranges: vec![1..=1] };
        assert_eq!(networks.create("b", vni, &wide), Err(NetworkError::WideAs(70_000)));
        assert_eq!(networks.create("b", None, &wide).unwrap().route_target.to_string(), "70000:1");
        let none = RouteTargets { ranges: Vec::new(), ..wide };
        assert_eq!(networks.create("c", None, &none), Err(NetworkError::NoRanges));
    }

    #[test]
    fn an_attach_to_a_network_has_its_route_target() {
        let mut networks = Networks::default();
        networks.create("blue", Vni::new(7), &targets()).unwrap();
        let request = AttachRequest { network: Some("blue".into()), ..AttachRequest::default() };
        let complete = networks.complete(request.clone()).unwrap();
        assert_eq!(complete.vpn_instance_id.as_deref(), Some("blue"));
        assert_eq!(complete.vni, Some(Number::Number(7)));
        assert_eq!(complete.import_rt, Some(TextList::List(vec!["64512:268435463".into()])));
        assert_eq!(complete.network, None);
        let more = AttachRequest { export_rt: Some(TextList::Text("64512:1".into())), ..request.clone() };
        let export = networks.complete(more).unwrap().export_rt.unwrap();
        assert_eq!(export.texts(), ["64512:1", "64512:268435463"]);
        let other = AttachRequest { network: Some("red".into()), ..request };
        assert_eq!(networks.complete(other), Err(NetworkError::NoSuch("red".into())));
    }
}
