//! The daemon: one task that owns the engine, the data plane and the sockets, and carries effects from one to
//! the other.
//!
//! Order is what it guarantees. Forwarding state is written before the routes that draw traffic to it are sent,
//! an attach is answered after both and when it is stored, so that it outlives whatever ends the agent.

mod attachments;
mod calls;
mod capabilities;
mod claim;
mod error;
mod explain_route;
mod filter;
mod looking_glass;
mod metrics;
mod networks;
mod notify;
mod peering;
mod reload;
mod start;
mod views;

use std::future;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use bagpipe_bgp::rib::PeerId;
use bagpipe_bgp::speaker::{Action, ConnId, SpeakerEvent};
use bytes::{Bytes, BytesMut};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::mpsc;

pub use claim::{Claim, ClaimError};
pub use error::RunError;

use crate::api::Request;
use crate::config::Config;
use crate::dataplane::{Dataplane, DataplaneError};
use crate::engine::{Engine, EngineEvent};
use crate::observe::Observers;
use crate::peer::{Event, Sockets};
use crate::store::{Store, StoreError};
use crate::vpn::{Detach, Duplicate, Snapshot};

/// Octets handed to a connection at once: enough to fill a segmentation offload.
const BATCH: usize = 64 * 1024;

/// How long to wait after a failed write of the attachments.
const SAVE_RETRY: Duration = Duration::from_secs(5);

/// How often a data plane that is not well is looked at.
const EXAMINE_INTERVAL: Duration = Duration::from_secs(1);

/// How long the last write of the attachments may take.
const LAST_SAVE: Duration = Duration::from_secs(5);

/// Runs the agent until it is told to stop. Forwarding goes on after that. The configuration is read again from `file`
/// when a hangup or a call asks for it.
///
/// # Errors
/// What keeps the agent from starting, with its remedy.
pub async fn run(config: Config, file: PathBuf) -> Result<(), RunError> {
    let mut terminate = signal(SignalKind::terminate()).map_err(RunError::Signal)?;
    let mut interrupt = signal(SignalKind::interrupt()).map_err(RunError::Signal)?;
    let mut hangup = signal(SignalKind::hangup()).map_err(RunError::Signal)?;
    let mut agent = start::start(config, file).await?;
    notify::ready();
    loop {
        tokio::select! {
            () = agent.step() => drop(agent.settle()),
            _ = hangup.recv() => drop(agent.reload()),
            _ = terminate.recv() => break,
            _ = interrupt.recv() => break,
        }
    }
    agent.stop().await;
    Ok(())
}

struct Agent {
    config: Config,
    /// Where it was read from.
    file: PathBuf,
    identity: start::Identity,
    engine: Engine,
    dataplane: Dataplane,
    sockets: Sockets,
    store: Store,
    _claim: Option<Claim>,
    calls: mpsc::Receiver<Request>,
    started: Instant,
    converged: bool,
    /// When what nobody has attached again goes.
    sweep: Option<Instant>,
    saving: Saving,
    health: Health,
    observers: Observers,
}

/// How the data plane was when it was last looked at. Looking costs time in proportion to what is wrong, so it is
/// not done after every event.
struct Health {
    /// What was wrong.
    problems: Vec<String>,
    /// Something may be wrong that was not before.
    suspect: bool,
    examined: Instant,
}

impl Health {
    fn unknown() -> Self {
        Self { problems: Vec::new(), suspect: true, examined: Instant::now() }
    }

    fn is_due(&self) -> bool {
        self.suspect || !self.problems.is_empty() && self.examined.elapsed() >= EXAMINE_INTERVAL
    }
}

/// How the attachments stand on disk.
#[derive(Default)]
struct Saving {
    /// There are newer ones than those written.
    needed: bool,
    /// Not before this time, after a failure.
    not_before: Option<Instant>,
    /// Why the last write failed.
    error: Option<StoreError>,
    /// What is written.
    stored: Snapshot,
}

impl Agent {
    /// Waits for one thing to happen, and lets it happen.
    async fn step(&mut self) {
        let timeout = self.engine.poll_timeout();
        let retry = self.saving.not_before.filter(|_| self.saving.needed);
        let mut requests = Vec::new();
        tokio::select! {
            Some(event) = self.sockets.next() => self.socket(event),
            1.. = self.calls.recv_many(&mut requests, start::CALLS) => self.answer(requests),
            () = until(timeout) => self.engine.timeout(Instant::now()),
            () = self.dataplane.event() => self.health.suspect = true,
            error = self.store.failed() => self.saved(Err(error)),
            event = self.observers.event() => self.observers.handle(event, &self.engine, &self.sockets),
            () = until(retry) => self.saving.not_before = None,
            () = until(self.sweep) => self.sweep_stale(),
        }
    }

    /// Detaches what was attached before the start and never since.
    fn sweep_stale(&mut self) {
        self.sweep = None;
        let swept = self.engine.sweep_stale(Instant::now());
        for Detach { vpn, mac, ip, .. } in &swept {
            let ip = ip.map_or_else(|| "any".to_owned(), |ip| ip.to_string());
            tracing::info!("detach vpn={vpn} mac={mac} ips={ip}: not attached again since the start");
        }
    }

    fn socket(&mut self, event: Event) {
        let now = Instant::now();
        match event {
            Event::Accepted(stream, remote) => match self.engine.accepted(remote, now) {
                Ok(conn) => {
                    self.sockets.adopt(conn, stream);
                    self.write(conn);
                }
                Err(refused) => tracing::debug!("{refused}"),
            },
            Event::Connected(conn, _) => {
                self.engine.connected(conn, now);
                self.write(conn);
            }
            Event::ConnectFailed(conn, error) => {
                tracing::debug!("connection {}: {error}", conn.0);
                self.engine.connect_failed(conn, &error.to_string(), now);
            }
            Event::Received(conn, bytes) => self.engine.received(conn, &bytes, now),
            Event::Written(conn) => self.write(conn),
            Event::Closed(conn, error) => {
                if let Some(error) = error {
                    tracing::debug!("connection {}: {error}", conn.0);
                }
                self.engine.closed(conn, now);
            }
        }
    }

    /// Carries out what the last events led to. What cannot be written to the maps is kept by the data plane,
    /// which tries again; who has to know of it at once gets it as an error.
    fn settle(&mut self) -> Result<(), DataplaneError> {
        while let Some(change) = self.engine.poll_change() {
            self.dataplane.apply(&change);
        }
        let committed = self.dataplane.commit();
        self.health.suspect |= committed.is_err();
        while let Some(event) = self.engine.poll_event() {
            self.report(event);
        }
        if self.health.is_due() {
            self.examine();
        }
        self.observe();
        while let Some(action) = self.engine.poll_action() {
            match action {
                Action::Connect { conn, remote, .. } => self.sockets.connect(conn, remote),
                Action::WantsWrite { conn } => self.write(conn),
                Action::Close { conn } => {
                    let mut words = BytesMut::new();
                    while let Some(bytes) = self.engine.poll_transmit(conn) {
                        words.extend_from_slice(&bytes);
                    }
                    self.sockets.close(conn, words.freeze());
                }
            }
        }
        self.save();
        committed
    }

    /// Logs what became wrong with the data plane, or right again.
    fn examine(&mut self) {
        let problems = self.problems();
        if problems != self.health.problems {
            match problems.as_slice() {
                [] => tracing::info!("data plane is well again"),
                problems => tracing::warn!("data plane is degraded: {}", problems.join("; ")),
            }
        }
        self.health = Health { problems, suspect: false, examined: Instant::now() };
    }

    /// Hands the next batch to a connection that can take one.
    fn write(&mut self, conn: ConnId) {
        if !self.sockets.is_writable(conn) {
            return;
        }
        let batch = self.batch(conn);
        if !batch.is_empty() {
            self.sockets.write(conn, batch);
        }
    }

    fn batch(&mut self, conn: ConnId) -> Bytes {
        let Some(first) = self.engine.poll_transmit(conn) else { return Bytes::new() };
        let mut batch = BytesMut::from(first);
        while batch.len() < BATCH
            && let Some(bytes) = self.engine.poll_transmit(conn)
        {
            batch.extend_from_slice(&bytes);
        }
        batch.freeze()
    }

    /// Feeds those who watch. They have heard of the sessions by which paths come and go.
    fn observe(&mut self) {
        while let Some(change) = self.engine.poll_path() {
            self.observers.path(&change);
        }
        self.observers.flush();
        self.engine.watch_paths(self.observers.watch_paths());
    }

    fn report(&mut self, event: EngineEvent) {
        match event {
            EngineEvent::Speaker(event) => {
                self.observers.session(&event, &self.engine, &self.sockets);
                self.report_bgp(&event);
                self.observers.ended(&event);
            }
            EngineEvent::VpnCreated { vpn } => tracing::info!("instance {vpn} created"),
            EngineEvent::VpnRemoved { vpn } => tracing::info!("instance {vpn} removed"),
            EngineEvent::Duplicate(Duplicate { vpn, mac, frozen: true }) => tracing::warn!(
                "MAC address {mac} of instance {vpn} moves too often and is frozen: two hosts have it; \
                 `bagpipe mac release {mac} --vpn {vpn}` lets it move again"
            ),
            EngineEvent::Duplicate(Duplicate { vpn, mac, frozen: false }) => {
                tracing::info!("MAC address {mac} of instance {vpn} may move again");
            }
            EngineEvent::HealthChanged => self.health.suspect = true,
            EngineEvent::AttachmentsChanged => self.saving.needed = true,
        }
    }

    fn report_bgp(&mut self, event: &SpeakerEvent) {
        let name = |agent: &Self, peer: &PeerId| match agent.engine.peer(*peer) {
            Some(status) if status.dynamic => format!("client {}", status.address),
            Some(status) => format!("peer {}", status.address),
            None => {
                agent.observers.address(*peer).map_or_else(String::new, |address| format!("peer {address}"))
            }
        };
        match event {
            SpeakerEvent::PeerUp { peer, negotiated } => {
                let families: Vec<_> = negotiated.families.iter().map(ToString::to_string).collect();
                tracing::info!(
                    "{} is up: AS {}, router id {}, families {}, hold time {} s",
                    name(self, peer),
                    negotiated.asn,
                    negotiated.router_id,
                    families.join(" "),
                    negotiated.hold_time
                );
            }
            SpeakerEvent::PeerDown { peer, reason, .. } => {
                tracing::info!("{} is down: {reason}", name(self, peer));
            }
            SpeakerEvent::EndOfRib { peer, family } => {
                tracing::debug!("{} has sent all its {family} routes", name(self, peer));
            }
            SpeakerEvent::Error { peer, error } => {
                tracing::warn!("{} sent a malformed UPDATE: {error}", name(self, peer));
            }
            SpeakerEvent::NearLimit { peer, family, routes, limit } => {
                tracing::warn!(
                    "{} has announced {routes} {family} routes of {limit} at most",
                    name(self, peer)
                );
            }
            SpeakerEvent::Converged => {
                self.converged = true;
                match self.dataplane.sweep() {
                    Ok(swept) => tracing::info!("converged; {swept} stale pieces of forwarding state swept"),
                    Err(error) => tracing::warn!("converged, but cannot sweep: {error}"),
                }
            }
        }
    }

    /// Writes what has changed of the attachments.
    fn save(&mut self) {
        if !self.saving.needed || self.saving.not_before.is_some() {
            return;
        }
        self.saving.needed = false;
        let outcome = if self.store.takes_changes() {
            let difference = self.engine.difference(&self.saving.stored);
            let outcome = self.store.add(&difference);
            self.saving.stored.apply(difference);
            outcome
        } else {
            self.saving.stored = self.engine.snapshot();
            self.store.write(&self.saving.stored)
        };
        self.saved(outcome);
    }

    /// Takes how a write went. Who waits for it is answered either way: what was asked for is done, and the log and the
    /// status say that it is not kept.
    fn saved(&mut self, outcome: Result<(), StoreError>) {
        match outcome {
            Ok(()) => {
                if self.saving.error.take().is_some() {
                    tracing::info!("attachments are kept again");
                }
            }
            Err(error) => {
                tracing::error!("attachments would not outlive a restart: {error}");
                self.saving.needed = true;
                self.saving.not_before = Some(Instant::now() + SAVE_RETRY);
                self.saving.error = Some(error);
            }
        }
    }

    /// Ends sessions and leaves forwarding as it is.
    async fn stop(mut self) {
        tracing::info!("stopping; forwarding goes on");
        self.engine.shutdown(Instant::now());
        self.observers.set_station(None);
        self.saving.not_before = None;
        drop(self.settle());
        let finished = tokio::time::timeout(LAST_SAVE, self.store.finish()).await;
        if !matches!(finished, Ok(Ok(()))) || self.saving.error.is_some() {
            tracing::error!("the last attachments are not written");
        }
        drop(std::fs::remove_file(&self.config.api.socket));
        self.sockets.finish().await;
        self.dataplane.stop();
    }
}

/// Waits until a time; for ever if there is none.
async fn until(time: Option<Instant>) {
    match time {
        Some(time) => tokio::time::sleep_until(time.into()).await,
        None => future::pending().await,
    }
}

#[cfg(test)]
mod tests;
