//! Those who watch without taking part: readers of `bagpipe monitor`, and a BMP station.
//!
//! They are fed after each event, from queues that are bounded: whoever is slow misses something, or is sent away,
//! and delays nobody.

mod line;
mod link;
mod station;

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::time::SystemTime;

use bagpipe_bgp::rib::PeerId;
use bagpipe_bgp::speaker::{PathChange, SpeakerEvent};

pub use station::{StationEvent, StationStatus};

use crate::api::{Feed, Topic};
use crate::config::Bmp;
use crate::engine::Engine;
use crate::peer::Sockets;
use station::Station;

/// Readers at the same time: each has a connection of the API, of which there are few.
const READERS: usize = 16;

/// There are as many readers as may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{READERS} readers monitor this agent already; end one of them")]
pub struct TooManyReaders;

/// All who watch.
#[derive(Debug, Default)]
pub struct Observers {
    monitors: Vec<(Topic, Feed)>,
    station: Option<Station>,
    /// The addresses of peers whose sessions are up: when one ends, the peer may be forgotten already.
    addresses: BTreeMap<PeerId, IpAddr>,
}

impl Observers {
    /// Nobody but a station, if one is configured. Must be called in the context of the runtime.
    #[must_use]
    pub fn new(station: Option<&Bmp>) -> Self {
        Self { station: station.map(Station::start), ..Self::default() }
    }

    /// Takes another station, or none, in place of the one that is told now.
    pub fn set_station(&mut self, station: Option<&Bmp>) {
        if let Some(before) = self.station.take() {
            before.stop();
        }
        self.station = station.map(Station::start);
    }

    /// One more reader.
    ///
    /// # Errors
    /// There are too many.
    pub fn add(&mut self, topic: Topic, feed: Feed) -> Result<(), TooManyReaders> {
        self.monitors.retain(|(_, feed)| feed.is_open());
        if self.monitors.len() >= READERS {
            return Err(TooManyReaders);
        }
        self.monitors.push((topic, feed));
        Ok(())
    }

    /// The station, if one is configured.
    #[must_use]
    pub fn station(&self) -> Option<StationStatus> {
        self.station.as_ref().map(Station::status)
    }

    /// Whether changes of paths are of interest to anybody.
    #[must_use]
    pub fn watch_paths(&self) -> bool {
        self.monitors.iter().any(|(topic, _)| *topic == Topic::Routes)
            || self.station.as_ref().is_some_and(Station::is_connected)
    }

    /// The address of a peer whose session is up, or just over.
    #[must_use]
    pub fn address(&self, peer: PeerId) -> Option<IpAddr> {
        self.addresses.get(&peer).copied()
    }

    /// Takes what the speaker tells of peers. Changes of paths come after it.
    pub fn session(&mut self, event: &SpeakerEvent, engine: &Engine, sockets: &Sockets) {
        if let SpeakerEvent::PeerUp { peer, .. } = event
            && let Some(status) = engine.peer(*peer)
        {
            self.addresses.insert(*peer, status.address);
        }
        let now = SystemTime::now();
        let of = |peer| engine.peer(peer).map(|status| status.address).or_else(|| self.address(peer));
        for (_, feed) in self.monitors.iter().filter(|(topic, _)| *topic == Topic::Sessions) {
            feed.push(|| line::of_session(event, of, now));
        }
        if let Some(station) = &mut self.station {
            station.session(event, engine, sockets, now);
        }
    }

    /// A session that ended is forgotten, once all have heard of it.
    pub fn ended(&mut self, event: &SpeakerEvent) {
        if let SpeakerEvent::PeerDown { peer, session: Some(_), .. } = event {
            self.addresses.remove(peer);
        }
    }

    /// Takes a change of a path.
    pub fn path(&mut self, change: &PathChange) {
        let now = SystemTime::now();
        for (_, feed) in self.monitors.iter().filter(|(topic, _)| *topic == Topic::Routes) {
            feed.push(|| line::of_path(change, now));
        }
        if let Some(station) = &mut self.station {
            station.path(change, now);
        }
    }

    /// Sends what has been taken, and forgets readers that have gone.
    pub fn flush(&mut self) {
        self.monitors.retain(|(_, feed)| feed.is_open());
        if let Some(station) = &mut self.station {
            station.flush(SystemTime::now());
        }
    }

    /// Waits until something is to be done for the station. Cancelling this loses nothing.
    pub async fn event(&mut self) -> StationEvent {
        match &mut self.station {
            Some(station) => station.event().await,
            None => std::future::pending().await,
        }
    }

    /// Does what is to be done for the station.
    pub fn handle(&mut self, event: StationEvent, engine: &Engine, sockets: &Sockets) {
        if let Some(station) = &mut self.station {
            station.handle(event, engine, sockets, SystemTime::now());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::feed;

    #[test]
    fn readers_are_few_and_forgotten_when_they_leave() {
        let mut observers = Observers::default();
        let mut readers = Vec::new();
        for _ in 0..READERS {
            let (feed, lines) = feed();
            assert_eq!(observers.add(Topic::Routes, feed), Ok(()));
            readers.push(lines);
        }
        assert!(observers.watch_paths());
        assert_eq!(observers.add(Topic::Sessions, feed().0), Err(TooManyReaders));
        readers.pop();
        let (feed, _sessions) = feed();
        assert_eq!(observers.add(Topic::Sessions, feed), Ok(()));
        readers.clear();
        observers.flush();
        assert!(!observers.watch_paths(), "sessions are no paths");
    }
}
