//! A BMP station (RFC 7854): it is told of all sessions and of all routes that come over them, from the moment on at
//! which it can be reached.
//!
//! First come the peers that are up, and what they have announced so far, in steps for which everything else does
//! not wait; then changes as they happen. A station that falls too far behind is disconnected and begins anew:
//! a gap in the middle could not be told.

use std::collections::BTreeMap;
use std::io;
use std::net::SocketAddr;
use std::time::{Duration, SystemTime};

use bagpipe_bgp::bmp::{self, MonitoredPeer, RouteMonitoring};
use bagpipe_bgp::rib::PeerId;
use bagpipe_bgp::speaker::{PathChange, RouteSource, SpeakerEvent, Walk};
use bagpipe_bgp::types::Family;
use bytes::Bytes;
use serde::Serialize;
use tokio::sync::mpsc;
use tokio::task::AbortHandle;
use tokio::time::{Interval, MissedTickBehavior};

use super::link::{self, Link, LinkEvent};
use crate::config::Bmp;
use crate::engine::Engine;
use crate::peer::Sockets;

/// Places of the table that are told of in one step: some tenth of a millisecond.
const STEP: u32 = 256;

/// How long last messages may take to leave.
const LAST_WORDS: Duration = Duration::from_secs(2);

/// A station, and what it knows.
#[derive(Debug)]
pub(super) struct Station {
    address: SocketAddr,
    task: AbortHandle,
    events: mpsc::Receiver<LinkEvent>,
    link: Option<Link>,
    /// The peers that it has been told of as up.
    peers: BTreeMap<PeerId, MonitoredPeer>,
    /// How much of the table it has been told of; `None`: all.
    walk: Option<Walk>,
    routes: RouteMonitoring,
    /// Told after the routes that come before them.
    ends_of_rib: Vec<(PeerId, Family)>,
    statistics: Option<Interval>,
    /// Why there is no connection, as it was logged last.
    trouble: Option<io::ErrorKind>,
}

/// A station, as `status` shows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct StationStatus {
    /// Where it listens.
    pub address: SocketAddr,
    /// Whether it is told what happens.
    pub connected: bool,
}

/// Something is to be done for the station.
#[derive(Debug)]
pub struct StationEvent(Due);

#[derive(Debug)]
enum Due {
    Link(LinkEvent),
    /// There is room for more of the table.
    Room,
    Statistics,
}

impl Station {
    /// Begins to connect.
    pub(super) fn start(config: &Bmp) -> Self {
        let (sender, events) = mpsc::channel(4);
        let seconds = Duration::from_secs(config.statistics_interval.into());
        let statistics = (!seconds.is_zero()).then(|| {
            let mut interval = tokio::time::interval_at(tokio::time::Instant::now() + seconds, seconds);
            interval.set_missed_tick_behavior(MissedTickBehavior::Delay);
            interval
        });
        Self {
            address: config.station,
            task: tokio::spawn(link::run(config.station, sender)).abort_handle(),
            events,
            link: None,
            peers: BTreeMap::new(),
            walk: None,
            routes: RouteMonitoring::default(),
            ends_of_rib: Vec::new(),
            statistics,
            trouble: None,
        }
    }

    /// Says that it is over, and closes the connection (§3.3).
    pub(super) fn stop(mut self) {
        self.send(bmp::termination());
        drop(self.link);
        let task = self.task;
        tokio::spawn(async move {
            tokio::time::sleep(LAST_WORDS).await;
            task.abort();
        });
    }

    pub(super) const fn is_connected(&self) -> bool {
        self.link.is_some()
    }

    pub(super) fn status(&self) -> StationStatus {
        StationStatus { address: self.address, connected: self.link.is_some() }
    }

    /// See [`super::Observers::event`].
    pub(super) async fn event(&mut self) -> StationEvent {
        let Self { events, link, walk, statistics, .. } = self;
        let room = async {
            match link {
                Some(link) if walk.is_some() => link.room().await,
                _ => std::future::pending().await,
            }
        };
        let tick = async {
            match statistics {
                Some(interval) => drop(interval.tick().await),
                None => std::future::pending().await,
            }
        };
        StationEvent(tokio::select! {
            Some(event) = events.recv() => Due::Link(event),
            () = room => Due::Room,
            () = tick => Due::Statistics,
        })
    }

    /// See [`super::Observers::handle`].
    pub(super) fn handle(
        &mut self,
        event: StationEvent,
        engine: &Engine,
        sockets: &Sockets,
        now: SystemTime,
    ) {
        match event.0 {
            Due::Link(LinkEvent::Up(link)) => self.begin(link, engine, sockets, now),
            Due::Link(LinkEvent::Down(error)) => self.lost(&error),
            Due::Room => self.step(engine, now),
            Due::Statistics => self.report(engine, now),
        }
    }

    /// See [`super::Observers::session`].
    pub(super) fn session(
        &mut self,
        event: &SpeakerEvent,
        engine: &Engine,
        sockets: &Sockets,
        now: SystemTime,
    ) {
        if self.link.is_none() {
            return;
        }
        match event {
            SpeakerEvent::PeerUp { peer, .. } => self.peer_up(*peer, engine, sockets, now),
            SpeakerEvent::PeerDown { peer, session: Some(reason), .. } => {
                if let Some(known) = self.peers.remove(peer) {
                    self.send(bmp::peer_down(&known, reason, now));
                }
            }
            SpeakerEvent::EndOfRib { peer, family } => self.ends_of_rib.push((*peer, *family)),
            SpeakerEvent::PeerDown { session: None, .. }
            | SpeakerEvent::NearLimit { .. }
            | SpeakerEvent::Error { .. }
            | SpeakerEvent::Converged => {}
        }
    }

    /// See [`super::Observers::path`]. Routes of this node came over no session.
    pub(super) fn path(&mut self, change: &PathChange, now: SystemTime) {
        let RouteSource::Peer(id, _) = change.source else { return };
        if let Some(peer) = self.peers.get(&id) {
            self.routes.path(peer, &change.nlri, change.path_id, change.attributes.as_ref(), now);
        }
    }

    /// See [`super::Observers::flush`].
    pub(super) fn flush(&mut self, now: SystemTime) {
        for (peer, family) in std::mem::take(&mut self.ends_of_rib) {
            if let Some(peer) = self.peers.get(&peer) {
                self.routes.end_of_rib(peer, family, now);
            }
        }
        let messages = self.routes.take(now);
        self.send(messages);
    }

    fn begin(&mut self, link: Link, engine: &Engine, sockets: &Sockets, now: SystemTime) {
        tracing::info!("BMP station {} is connected", self.address);
        self.trouble = None;
        self.link = Some(link);
        let description = concat!("bagpipe ", env!("CARGO_PKG_VERSION"));
        self.send(bmp::initiation(&host_name(), description));
        for status in engine.peers() {
            self.peer_up(status.peer, engine, sockets, now);
        }
        self.walk = Some(Walk::default());
    }

    fn peer_up(&mut self, id: PeerId, engine: &Engine, sockets: &Sockets, now: SystemTime) {
        // A session that is over again already is nothing that a station could be told of.
        let Some((conn, opens)) = engine.opens(id) else { return };
        let Some(status) = engine.peer(id) else { return };
        let (Some(negotiated), Some((local, remote))) = (status.negotiated, sockets.ends(conn)) else {
            return;
        };
        let peer = MonitoredPeer::new(status.address, engine.asn(), &negotiated);
        self.send(bmp::peer_up(&peer, local, remote, &opens, now));
        self.peers.insert(id, peer);
    }

    /// Tells of some more of the table. What is stale was not announced in the session that the station knows.
    fn step(&mut self, engine: &Engine, now: SystemTime) {
        let Some(walk) = &mut self.walk else { return };
        let Some(paths) = engine.step(walk, STEP) else {
            self.walk = None;
            for (id, peer) in &self.peers {
                self.ends_of_rib.extend(peer.families().iter().map(|family| (*id, *family)));
            }
            return self.flush(now);
        };
        for path in paths.iter().filter(|path| !path.stale) {
            if let Some(peer) = path.peer.and_then(|id| self.peers.get(&id)) {
                self.routes.path(peer, &path.nlri, path.path_id, Some(&path.attributes), now);
            }
        }
        self.flush(now);
    }

    fn report(&mut self, engine: &Engine, now: SystemTime) {
        let status = |id: &PeerId| engine.peer(*id);
        let told: Vec<Bytes> = self
            .peers
            .iter()
            .filter_map(|(id, peer)| Some(bmp::statistics(peer, &status(id)?.routes, now)))
            .collect();
        told.into_iter().for_each(|message| self.send(message));
    }

    fn send(&mut self, messages: Bytes) {
        let Some(link) = self.link.as_ref().filter(|_| !messages.is_empty()) else { return };
        if link.send(messages).is_err() {
            self.forget();
        }
    }

    fn lost(&mut self, error: &io::Error) {
        if self.trouble.replace(error.kind()) != Some(error.kind()) {
            tracing::warn!("no connection to BMP station {}: {error}; trying again", self.address);
        }
        self.forget();
    }

    /// Nothing of what the station was told counts any more.
    fn forget(&mut self) {
        self.link = None;
        self.walk = None;
        self.peers.clear();
        self.ends_of_rib.clear();
        self.routes = RouteMonitoring::default();
    }
}

/// What the kernel calls this node.
fn host_name() -> String {
    let name = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    name.trim().to_owned()
}
