//! The pinned maps: opened by name, checked, read and written in batches.

use std::io;
use std::num::NonZero;
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};
use std::thread;

use aya::maps::MapData;

use super::entry::{Key, Map};
use super::sys::{self, BatchError};
use super::value::Value;

/// Entries of one batch: its buffers stay small, and one system call is shared by many.
const BATCH: usize = 4096;

/// Removals that are worth a thread: the kernel takes half a microsecond and more for one.
const THREAD: usize = 1024;

/// Threads that remove at the same time, at most: other processes want processors too.
const THREADS: usize = 4;

/// Why the pinned maps can't be used.
#[derive(Debug, thiserror::Error)]
pub enum MapsError {
    /// A map is not pinned where it should be.
    #[error("can't open map {map} in {}: {error}; is the agent of this instance installed on this node?", .directory.display())]
    Open {
        /// Name of the map.
        map: &'static str,
        /// Directory of the pins.
        directory: PathBuf,
        /// What the kernel said.
        error: String,
    },
    /// A map is not of this program's version.
    #[error(
        "map {map} has keys of {key} and values of {value} bytes, not {expected_key} and {expected_value}; \
         remove what an incompatible version left with 'bagpipe cleanup'"
    )]
    Layout {
        /// Name of the map.
        map: &'static str,
        /// Size of its keys.
        key: u32,
        /// Size of its values.
        value: u32,
        /// Size that keys should have.
        expected_key: usize,
        /// Size that values should have.
        expected_value: usize,
    },
    /// A map can't be read.
    #[error("can't read map {map}: {error}")]
    Read {
        /// Name of the map.
        map: &'static str,
        /// What the kernel said.
        error: io::Error,
    },
}

/// The maps that the agent fills.
#[derive(Debug)]
pub(crate) struct Maps {
    maps: Vec<(Map, MapData)>,
    threads: usize,
}

impl Maps {
    /// Opens the maps that are pinned in a directory.
    ///
    /// # Errors
    /// When one is missing or not of this version.
    pub(crate) fn open(directory: &Path) -> Result<Self, MapsError> {
        let open = |map: Map| {
            let data = open_checked(directory, map.name(), map.key_size(), map.value_size())?;
            Ok((map, data))
        };
        let maps = Map::ALL.into_iter().map(open).collect::<Result<_, MapsError>>()?;
        Ok(Self { maps, threads: thread::available_parallelism().map_or(1, NonZero::get).min(THREADS) })
    }

    /// All entries of all maps. Zero elements of arrays are not entries.
    ///
    /// # Errors
    /// When a map can't be read.
    pub(crate) fn read_all(&self) -> Result<Vec<(Key, Value)>, MapsError> {
        let mut contents = Vec::new();
        for map in Map::ALL {
            contents.extend(self.read(map)?);
        }
        Ok(contents)
    }

    /// All entries of one map.
    ///
    /// # Errors
    /// When it can't be read.
    pub(crate) fn read(&self, map: Map) -> Result<Vec<(Key, Value)>, MapsError> {
        let data = self.data(map).map_err(|error| MapsError::Read { map: map.name(), error })?;
        let (keys, values) = sys::read_all(data.fd().as_fd(), map.key_size(), map.value_size())
            .map_err(|error| MapsError::Read { map: map.name(), error })?;
        let pairs = keys.chunks_exact(map.key_size()).zip(values.chunks_exact(map.value_size()));
        Ok(pairs
            .filter_map(|(key, value)| Some((Key::from_bytes(map, key)?, Value::from_bytes(map, value)?)))
            .collect())
    }

    /// How many entries a map takes.
    #[must_use]
    pub(crate) fn capacity(&self, map: Map) -> u32 {
        let info = self.data(map).ok().and_then(|data| data.info().ok());
        info.map_or(map.default_capacity(), |info| info.max_entries())
    }

    /// Writes entries of one map.
    ///
    /// # Errors
    /// How many were written, and why the next one was not.
    pub(crate) fn update(&self, map: Map, entries: &[(Key, Value)]) -> Result<(), BatchError> {
        let data = self.data(map).map_err(|error| BatchError { done: 0, error })?;
        for (number, batch) in entries.chunks(BATCH).enumerate() {
            let mut keys = Vec::with_capacity(batch.len() * map.key_size());
            let mut values = Vec::with_capacity(batch.len() * map.value_size());
            for (key, value) in batch {
                key.put(&mut keys);
                value.put(&mut values);
            }
            sys::update_batch(data.fd().as_fd(), &keys, &values, batch.len())
                .map_err(|error| after(number * BATCH, error))?;
        }
        Ok(())
    }

    /// Removes entries of one map; elements of an array become zero. Many are removed by several threads: what a remote
    /// node had goes sooner, and it does not matter which of them goes first.
    ///
    /// # Errors
    /// How many were removed at least, before the first that was not, and why that one was not.
    pub(crate) fn remove(&self, map: Map, keys: &[Key]) -> Result<(), BatchError> {
        let data = self.data(map).map_err(|error| BatchError { done: 0, error })?;
        let size = keys.len().div_ceil(self.threads).max(THREAD);
        let Some((first, others)) = keys.split_at_checked(size) else { return remove(map, data, keys) };
        thread::scope(|scope| {
            let spawn = |part| thread::Builder::new().spawn_scoped(scope, move || remove(map, data, part));
            let parts: Vec<_> = others.chunks(size).map(|part| (part, spawn(part))).collect();
            let mut result = remove(map, data, first);
            for (number, (part, thread)) in parts.into_iter().enumerate() {
                let removed = match thread.map(thread::ScopedJoinHandle::join) {
                    Ok(Ok(removed)) => removed,
                    // There was no thread to be had.
                    Err(_) | Ok(Err(_)) => remove(map, data, part),
                };
                result = result.and_then(|()| removed.map_err(|error| after((number + 1) * size, error)));
            }
            result
        })
    }

    fn data(&self, map: Map) -> io::Result<&MapData> {
        let found = self.maps.iter().find(|(name, _)| *name == map);
        found.map(|(_, data)| data).ok_or_else(|| io::ErrorKind::NotFound.into())
    }
}

fn remove(map: Map, data: &MapData, keys: &[Key]) -> Result<(), BatchError> {
    for (number, batch) in keys.chunks(BATCH).enumerate() {
        let mut keys = Vec::with_capacity(batch.len() * map.key_size());
        batch.iter().for_each(|key| key.put(&mut keys));
        if map.is_array() {
            let zero = vec![0; batch.len() * map.value_size()];
            sys::update_batch(data.fd().as_fd(), &keys, &zero, batch.len())
        } else {
            sys::delete_batch(data.fd().as_fd(), &keys, batch.len())
        }
        .map_err(|error| after(number * BATCH, error))?;
    }
    Ok(())
}

/// Opens a pinned map and compares its sizes with those that this program knows.
///
/// # Errors
/// When it is missing or of other sizes.
pub(crate) fn open_checked(
    directory: &Path,
    name: &'static str,
    expected_key: usize,
    expected_value: usize,
) -> Result<MapData, MapsError> {
    let open = || -> Result<_, aya::maps::MapError> {
        let data = MapData::from_pin(directory.join(name))?;
        let info = data.info()?;
        Ok((data, info))
    };
    let (data, info) = open().map_err(|error| MapsError::Open {
        map: name,
        directory: directory.to_owned(),
        error: chain(&error),
    })?;
    let (key, value) = (info.key_size(), info.value_size());
    if (key as usize, value as usize) != (expected_key, expected_value) {
        return Err(MapsError::Layout { map: name, key, value, expected_key, expected_value });
    }
    Ok(data)
}

/// An error with its causes.
pub(super) fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text.push_str(": ");
        text.push_str(&cause.to_string());
        source = cause.source();
    }
    text
}

fn after(already: usize, error: BatchError) -> BatchError {
    BatchError { done: already + error.done, error: error.error }
}
