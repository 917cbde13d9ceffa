//! How many routes a peer may announce, and what happens to one that announces more (RFC 4486 §4).

use std::time::{Duration, Instant};

use super::event::SpeakerEvent;
use super::timers::Timer;
use super::{Held, PeerId, Speaker};
use crate::session::notification::Cease;
use crate::types::Family;

/// The limits of a peer: they bound the memory that it can have us use.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct MaxPrefixes {
    /// Routes that it may announce, by family; a family that is not here has no limit.
    pub limits: Vec<(Family, u32)>,
    /// The part of a limit, in percent, from which on a warning is given; 100 or more: none.
    pub warning: u8,
    /// How long a peer that has exceeded a limit is kept away; `None`: for ever.
    pub restart: Option<Duration>,
}

impl Speaker {
    /// The peer has announced routes of a family: ends its session if there are too many of them now. It is told to
    /// forget ours, and its own are dropped, graceful restart or not: they are what there is too much of.
    pub(super) fn check_limit(&mut self, peer: PeerId, family: Family, now: Instant) {
        let Some(state) = self.peers.get_mut(&peer) else { return };
        let MaxPrefixes { limits, warning, .. } = &state.config.max_prefixes;
        let Some(&(_, limit)) = limits.iter().find(|(limited, _)| *limited == family) else { return };
        let Some(up) = &mut state.up else { return };
        let routes = self.rib.received(peer, family);
        if exceeds(routes, limit, 100) {
            self.hold(peer, family, limit, now);
        } else if *warning < 100 && exceeds(routes, limit, *warning) && !up.warned.contains(&family) {
            up.warned.push(family);
            self.events.push_back(SpeakerEvent::NearLimit { peer, family, routes, limit });
        }
    }

    /// Ends all connections of a peer, and keeps it away for a while.
    fn hold(&mut self, peer: PeerId, family: Family, limit: u32, now: Instant) {
        let Some(state) = self.peers.get_mut(&peer) else { return };
        state.held = Some(Held::TooManyRoutes);
        let restart = state.config.max_prefixes.restart;
        let until = restart.map_or_else(|| "for good".to_owned(), |time| format!("for {} s", time.as_secs()));
        let reason = format!("peer announces more than {limit} {family} routes: kept away {until}");
        self.end_all(peer, Cease::MaximumPrefixes(family, limit), &reason, now);
        self.timers.set(Timer::Held(peer), restart.map(|time| now + time));
    }
}

/// Whether there are more routes than so many percent of a limit.
fn exceeds(routes: usize, limit: u32, percent: u8) -> bool {
    let routes = u64::try_from(routes).unwrap_or(u64::MAX);
    routes.saturating_mul(100) > u64::from(limit) * u64::from(percent)
}
