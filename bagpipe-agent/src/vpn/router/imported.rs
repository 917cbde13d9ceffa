//! The imported routes of an IP-VPN. There may be a million: they are in one flat tree.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::sync::Arc;

use bagpipe_bgp::types::{IpPrefix, MacAddr, RouteDistinguisher};

use super::super::counts::Counts;
use super::super::route::{RemoteRoute, RouteKey, Through};

#[derive(Debug, Default)]
pub(super) struct Imported {
    /// Each says where packets go.
    paths: BTreeMap<(IpPrefix, RouteKey), Arc<RemoteRoute>>,
    /// Prefixes by the gateway that they are behind.
    behind: BTreeMap<IpAddr, BTreeSet<(IpPrefix, RouteKey)>>,
    /// How many routes come from an endpoint.
    endpoints: Counts<IpAddr>,
}

impl Imported {
    /// Adds, replaces or removes a route; gives back the one that was there.
    pub(super) fn set(
        &mut self,
        prefix: IpPrefix,
        key: RouteKey,
        path: Option<Arc<RemoteRoute>>,
    ) -> Option<Arc<RemoteRoute>> {
        let place = (prefix, key);
        let through = path.as_ref().and_then(|path| path.packets);
        let before = match path {
            Some(path) => self.paths.insert(place, path),
            None => self.paths.remove(&place),
        };
        if let Some(before) = before.as_ref().and_then(|before| before.packets) {
            if let Some(endpoint) = before.endpoint() {
                self.endpoints.remove(&endpoint);
            }
            if let Through::Gateway(gateway) = &before
                && let Some(places) = self.behind.get_mut(gateway)
            {
                places.remove(&place);
                if places.is_empty() {
                    self.behind.remove(gateway);
                }
            }
        }
        if let Some(through) = through {
            if let Some(endpoint) = through.endpoint() {
                self.endpoints.add(endpoint);
            }
            if let Through::Gateway(gateway) = through {
                self.behind.entry(gateway).or_default().insert(place);
            }
        }
        before
    }

    /// The routes of a prefix, in the order of their keys.
    pub(super) fn of(&self, prefix: IpPrefix) -> impl Iterator<Item = (&RouteKey, &RemoteRoute)> {
        const FIRST: RouteKey = RouteKey::MacIp(RouteDistinguisher([0; 8]), MacAddr([0; 6]), None);
        let all = self.paths.range((prefix, FIRST)..).take_while(move |((other, _), _)| *other == prefix);
        all.map(|((_, key), path)| (key, &**path))
    }

    /// The prefixes that are behind a gateway.
    pub(super) fn behind(&self, gateway: IpAddr) -> impl Iterator<Item = IpPrefix> {
        self.behind.get(&gateway).into_iter().flatten().map(|(prefix, _)| *prefix)
    }

    pub(super) fn keys(&self) -> impl Iterator<Item = (IpPrefix, RouteKey)> {
        self.paths.keys().copied()
    }

    pub(super) fn prefixes(&self) -> impl Iterator<Item = IpPrefix> {
        self.paths.keys().map(|(prefix, _)| *prefix)
    }

    /// All routes.
    pub(super) fn routes(&self) -> impl Iterator<Item = &Arc<RemoteRoute>> {
        self.paths.values()
    }

    pub(super) fn has_endpoint(&self, endpoint: &IpAddr) -> bool {
        self.endpoints.contains(endpoint)
    }

    pub(super) fn len(&self) -> usize {
        self.paths.len()
    }
}
