//! One entry of the maps, as it is shown.

use bagpipe_common::{FdbKey, FloodKey, FloodScope, NeighborKey};
use serde::Serialize;

use super::address::address_of;
use super::entry::Key;
use super::tables::Tables;
use crate::fib::{Place, Target, VpnId};

/// An entry of the maps.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct EntryView {
    /// The map that it is in.
    pub map: &'static str,
    /// Its key.
    pub key: String,
    /// What was written; `None` if there is nothing.
    pub value: Option<String>,
    /// Why it could not be written.
    pub failure: Option<String>,
}

impl Tables {
    /// What was written for a piece of the desired state.
    #[must_use]
    pub(crate) fn entry(&self, place: &Place) -> Option<EntryView> {
        let key = match *place {
            Place::Mac(vpn, mac) => Key::Fdb(FdbKey { vpn, mac: mac.0 }),
            Place::Neighbor(vpn, ip) => Key::Neighbor(NeighborKey { address: address_of(ip), vpn, zero: 0 }),
            Place::Route(vpn, prefix) => Key::of_route(vpn, prefix),
            Place::Flood(vpn, target) => self.flood_key(vpn, target)?,
        };
        Some(EntryView {
            map: key.map().name(),
            key: key.to_string(),
            value: self.mirror.get(&key).map(ToString::to_string),
            failure: self.failed.get(&key).map(ToString::to_string),
        })
    }

    /// Where a remote endpoint is in the flood list of an instance.
    fn flood_key(&self, vpn: VpnId, target: Target) -> Option<Key> {
        let scope = FloodScope::Remote;
        let length = u32::try_from(self.floods.len(vpn, scope)).unwrap_or(u32::MAX);
        let keys = (0..length).map(|index| FloodKey { vpn, scope: scope as u16, index });
        keys.into_iter().find(|key| self.floods.member(key) == Some(target)).map(Key::Flood)
    }
}
