//! `bagpipe map` and `bagpipe cleanup`: what can be read and removed without an agent.

use std::io;
use std::path::{Path, PathBuf};

use serde::Serialize;
use serde_json::{Value as Json, json};

use super::entry::Map;
use super::map_json::{key_json, value_json};
use super::maps::{Maps, MapsError};
use super::netlink::request::Requests;
use super::pins;
use super::programs::PortFilters;
use super::verify::{Divergence, check_consistency};
use super::{PINS, headroom_bridge_of, pins_of, vxlan_device_of};

/// A pinned map and how full it is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct MapSummary {
    /// Name.
    pub name: &'static str,
    /// Entries; of an array, those that are not zero.
    pub entries: usize,
    /// How many it takes.
    pub capacity: u32,
    /// Where it is pinned.
    pub pin: PathBuf,
}

/// An entry that is asked for by the name of its map.
#[derive(Debug, thiserror::Error)]
pub enum MapCommandError {
    /// There is no such map.
    #[error("there is no map '{0}'; 'bagpipe map ls' lists them")]
    Unknown(String),
    /// The maps can't be read.
    #[error(transparent)]
    Maps(#[from] MapsError),
}

/// The pinned maps of an agent instance.
///
/// # Errors
/// When they can't be read.
pub fn list(instance: &str) -> Result<Vec<MapSummary>, MapCommandError> {
    let directory = pins_of(instance).join("maps");
    let maps = Maps::open(&directory)?;
    let summary = |map: Map| {
        Ok(MapSummary {
            name: map.name(),
            entries: maps.read(map)?.len(),
            capacity: maps.capacity(map),
            pin: directory.join(map.name()),
        })
    };
    Map::ALL.into_iter().map(summary).collect()
}

/// The entries of a map, with named fields.
///
/// # Errors
/// When there is no such map, or it can't be read.
pub fn dump(instance: &str, name: &str) -> Result<Vec<Json>, MapCommandError> {
    let map =
        Map::of_name(&name.to_ascii_uppercase()).ok_or_else(|| MapCommandError::Unknown(name.to_owned()))?;
    let mut entries = Maps::open(&pins_of(instance).join("maps"))?.read(map)?;
    entries.sort_unstable_by_key(|(key, _)| *key);
    Ok(entries
        .iter()
        .map(|(key, value)| json!({ "key": key_json(key), "value": value_json(key, value) }))
        .collect())
}

/// The entries of a map as lines of text: key, value.
///
/// # Errors
/// When there is no such map, or it can't be read.
pub fn dump_text(instance: &str, name: &str) -> Result<Vec<[String; 2]>, MapCommandError> {
    let map =
        Map::of_name(&name.to_ascii_uppercase()).ok_or_else(|| MapCommandError::Unknown(name.to_owned()))?;
    let mut entries = Maps::open(&pins_of(instance).join("maps"))?.read(map)?;
    entries.sort_unstable_by_key(|(key, _)| *key);
    Ok(entries.iter().map(|(key, value)| [key.to_string(), value.to_string()]).collect())
}

/// Whether the maps agree with each other: for when there is no agent that knows what they should hold.
///
/// # Errors
/// When they can't be read.
pub fn verify_offline(instance: &str) -> Result<Vec<Divergence>, MapCommandError> {
    Ok(check_consistency(&Maps::open(&pins_of(instance).join("maps"))?.read_all()?))
}

/// Removes everything of an agent instance from the kernel: program attachments, maps, the VXLAN device and
/// the bridge. Filters on ports and devices are those of this network namespace. Traffic stops. What was removed, in words; nothing if there was nothing.
///
/// # Errors
/// The first thing that could not be removed.
pub fn cleanup(instance: &str) -> io::Result<Vec<String>> {
    let mut removed = Vec::new();
    let mut netlink = Requests::open()?;
    let links = netlink.links()?;
    let mut ports = PortFilters::open(instance)?;
    for link in &links {
        let detached =
            ports.detach(link.index).map_err(|error| context(&link.name, &io::Error::other(error)))?;
        removed.extend(detached.then(|| format!("filter on interface {}", link.name)));
    }
    let directory = Path::new(PINS).join(instance);
    pins::remove(&directory, &mut removed).map_err(|error| context(&directory.display(), &error))?;
    for (name, kind) in [(vxlan_device_of(instance), "vxlan"), (headroom_bridge_of(instance), "bridge")] {
        let device = links.iter().find(|link| link.name == name && link.kind.as_deref() == Some(kind));
        if let Some(link) = device {
            netlink.delete_link(link.index).map_err(|error| context(&name, &error))?;
            removed.push(format!("interface {name}"));
        }
    }
    Ok(removed)
}

fn context(what: &impl std::fmt::Display, error: &io::Error) -> io::Error {
    io::Error::new(error.kind(), format!("can't remove {what}: {error}"))
}
