//! A new configuration for the running agent: checked as a whole, then taken over as a whole or not at all.
//!
//! What can fail comes first: reading and checking the file, what only a restart can change, passwords that the
//! kernel has to take. What follows can't fail. Sessions that nothing has changed for are not touched.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::time::Instant;

use bagpipe_bgp::rib::PeerId;
use bagpipe_bgp::speaker::{Held, PeerConfig};
use bytes::Bytes;
use serde::Serialize;

use super::{Agent, peering};
use crate::api::{Answer, Refused};
use crate::config::Config;

/// What became of the peers.
#[derive(Debug, Default, Serialize)]
struct Reloaded {
    /// New ones.
    added: Vec<IpAddr>,
    /// Those that are none any more.
    removed: Vec<IpAddr>,
    /// Those whose sessions have to begin again.
    changed: Vec<IpAddr>,
    /// Those whose sessions go on with other limits, and other hold times from the next session on.
    updated: Vec<IpAddr>,
}

impl Agent {
    /// Reads the configuration again and takes it over; answers with what has changed, in JSON.
    pub(super) fn reload(&mut self) -> Answer {
        let outcome = self.take_over();
        match &outcome {
            Ok(Reloaded { added, removed, changed, updated }) => tracing::info!(
                "configuration reloaded; peers: {} added, {} removed, {} changed, {} updated",
                added.len(),
                removed.len(),
                changed.len(),
                updated.len()
            ),
            Err(refused) => tracing::error!("configuration not reloaded, the running one stays: {refused}"),
        }
        drop(self.settle());
        let encoded = serde_json::to_vec(&outcome?);
        encoded.map(Bytes::from).map_err(|error| Refused(error.to_string()))
    }

    fn take_over(&mut self) -> Result<Reloaded, Refused> {
        let refused = |error: &dyn std::fmt::Display| Refused(error.to_string());
        let config = Config::load(&self.file, &self.config.instance).map_err(|error| refused(&error))?;
        let keys = self.config.needs_restart(&config);
        if !keys.is_empty() {
            return Err(Refused(format!(
                "only a restart of the agent can change {}; restart it (forwarding goes on), or write what was there before",
                keys.join(", ")
            )));
        }
        let (before, after) = (peering::protection(&self.config), peering::protection(&config));
        let reproved = |address| before.proof(address) != after.proof(address);
        let limit = peering::hold_time(&config);
        after.check().map_err(|error| refused(&error))?;
        self.sockets.protect(after.clone(), limit).map_err(|error| refused(&error))?;

        let now = Instant::now();
        let peers = |config: &Config| -> BTreeMap<IpAddr, PeerConfig> {
            peering::peers(config).map(|peer| (peer.address, peer)).collect()
        };
        let (mut old, new) = (peers(&self.config), peers(&config));
        let mut reloaded = Reloaded::default();
        // Clients first: an address that is a peer from now on is not to be removed as a client after that.
        let clients: Vec<_> = self.engine.peers().filter(|peer| peer.dynamic).collect();
        let terms = peering::terms(&config);
        let renegotiated = terms.client_add_paths != peering::terms(&self.config).client_add_paths;
        self.engine.set_terms(terms, now);
        for client in clients {
            if self.engine.peer_at(client.address).is_none() {
                reloaded.removed.push(client.address);
            } else if renegotiated || reproved(client.address) {
                self.engine.remove_peer(client.peer, now);
                reloaded.changed.push(client.address);
            }
        }
        for (address, peer) in new {
            let before = old.remove(&address);
            let id = before.as_ref().and_then(|_| self.engine.peer_at(address));
            match (before, id) {
                (Some(before), Some(_)) if before == peer && !reproved(address) => {}
                (Some(_), Some(id)) if !reproved(address) && self.engine.update_peer(id, &peer) => {
                    reloaded.updated.push(address);
                }
                (before, _) => {
                    peering::warn_if_useless(&peer);
                    let shut_down = id.is_some_and(|id| self.is_shut_down(id));
                    let id = self.engine.add_peer(peer, now);
                    if shut_down {
                        self.engine.shut_down_peer(id, "", now);
                    }
                    if before.is_some() { &mut reloaded.changed } else { &mut reloaded.added }.push(address);
                }
            }
        }
        for address in old.into_keys() {
            if let Some(id) = self.engine.peer_at(address) {
                self.engine.remove_peer(id, now);
            }
            reloaded.removed.push(address);
        }
        if self.config.bgp.bmp != config.bgp.bmp {
            self.observers.set_station(config.bgp.bmp.as_ref());
        }
        self.config = config;
        Ok(reloaded)
    }

    fn is_shut_down(&self, peer: PeerId) -> bool {
        self.engine.peer(peer).is_some_and(|status| status.held == Some(Held::Shutdown))
    }
}
