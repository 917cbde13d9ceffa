//! From a configuration to a running agent, in the order in which one thing needs another.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use bagpipe_bgp::speaker::SpeakerConfig;
use bagpipe_bgp::types::RouterId;
use tokio::sync::mpsc;

use super::{Agent, Claim, Health, RunError, Saving, capabilities, peering};
use crate::api::{Limits, Listener, Request, Role, Service, Token};
use crate::config::{AddressError, Config, Driver, LocalAddress, Ttl};
use crate::dataplane::{self, Dataplane};
use crate::engine::{Engine, EngineConfig};
use crate::fib::VpnId;
use crate::observe::Observers;
use crate::peer::Sockets;
use crate::store::{Loaded, Store};
use crate::vpn::{Overlay, Snapshot};

/// Calls that may wait for the agent before clients do.
pub(super) const CALLS: usize = 64;

/// Who this agent is, once interfaces have been asked for their addresses.
#[derive(Clone, Copy, Debug)]
pub(super) struct Identity {
    pub(super) router_id: RouterId,
    /// BGP source address.
    pub(super) local_address: IpAddr,
    /// Tunnel endpoint: the next hop of our routes.
    pub(super) endpoint: IpAddr,
}

/// Starts everything. Forwarding goes on meanwhile if an earlier agent left it.
pub(super) async fn start(config: Config, file: PathBuf) -> Result<Agent, RunError> {
    let started = Instant::now();
    let identity = Identity::new(&config)?;
    let store = Store::open(&config.state.directory)?;
    let claim =
        (config.dataplane.driver == Driver::Ebpf).then(|| Claim::take(&config.instance)).transpose()?;
    let snapshot = load(&store)?;
    let known = snapshot.iter().flat_map(Snapshot::numbers).collect();
    let dataplane = dataplane(&config, identity, &known)?;
    let restarting = dataplane.adopted();
    let engine_config = EngineConfig {
        speaker: speaker(&config, identity, restarting),
        local_endpoint: identity.endpoint,
        vnis: config.vpn.vnis.clone(),
        overlay: overlay(&config, identity),
        duplicates: config.vpn.duplicates,
    };
    let mut engine = restore(engine_config, snapshot.as_ref(), &store)?;
    for peer in peering::peers(&config) {
        peering::warn_if_useless(&peer);
        engine.add_peer(peer, Instant::now());
    }
    let sockets = sockets(&config, identity.local_address)?;
    let calls = serve(&config)?;
    tracing::info!(
        "agent {} of AS {} is ready: router id {}, tunnel endpoint {}, VPN instances {}{}",
        config.instance,
        config.bgp.as_number,
        identity.router_id,
        identity.endpoint,
        known.len(),
        if restarting { ", forwarding state adopted" } else { "" }
    );
    let observers = Observers::new(config.bgp.bmp.as_ref());
    let sweep = sweep_time(&config, &engine);
    let mut agent = Agent {
        config,
        file,
        identity,
        engine,
        dataplane,
        sockets,
        store,
        _claim: claim,
        calls,
        started,
        converged: false,
        sweep,
        saving: Saving::default(),
        health: Health::unknown(),
        observers,
    };
    drop(agent.settle());
    Ok(agent)
}

/// When what was stored, and nobody has attached again until then, is detached.
fn sweep_time(config: &Config, engine: &Engine) -> Option<Instant> {
    let seconds = config.state.stale_time;
    if seconds == 0 || engine.stale() == 0 {
        return None;
    }
    tracing::info!("attachments of before: {}; those not attached again go in {seconds} s", engine.stale());
    Some(Instant::now() + Duration::from_secs(seconds.into()))
}

impl Identity {
    fn new(config: &Config) -> Result<Self, RunError> {
        let local_address = match &config.bgp.local_address {
            LocalAddress::Address(address) => *address,
            LocalAddress::Interface(name) => {
                dataplane::address_of(name)?.ok_or_else(|| AddressError::NoAddress(name.clone()))?
            }
        };
        Ok(Self {
            router_id: config.router_id(local_address)?,
            local_address,
            endpoint: config.dataplane.local_address.unwrap_or(local_address),
        })
    }
}

fn dataplane(config: &Config, identity: Identity, known: &BTreeSet<VpnId>) -> Result<Dataplane, RunError> {
    if config.dataplane.driver == Driver::None {
        return Ok(Dataplane::none());
    }
    capabilities::check()?;
    let Overlay { gateway_mac, router_mac, .. } = overlay(config, identity);
    let dataplane = dataplane::Config {
        instance: config.instance.clone(),
        underlay: config.dataplane.underlay.iter().cloned().collect(),
        local_addresses: vec![identity.endpoint],
        vxlan_port: config.dataplane.vxlan_port,
        gateway_mac,
        router_mac,
        uniform_ttl: config.dataplane.ttl == Ttl::Uniform,
        maximum_routes: config.dataplane.maximum_routes,
    };
    Ok(Dataplane::start(dataplane, known)?)
}

fn overlay(config: &Config, identity: Identity) -> Overlay {
    let defaults = Overlay::new(identity.endpoint);
    Overlay {
        gateway_mac: config.dataplane.gateway_mac,
        router_mac: config.dataplane.router_mac.unwrap_or(defaults.router_mac),
        mpls: config.dataplane.mpls,
        evpn: config.vpn.evpn_encapsulation,
        ipvpn: config.vpn.ipvpn_encapsulation,
        labels: config.vpn.labels.clone(),
    }
}

/// The attachments of an earlier agent. Damaged ones are no reason not to start: whoever attached can do so again.
fn load(store: &Store) -> Result<Option<Snapshot>, RunError> {
    match store.load(Snapshot::apply)? {
        Loaded::Nothing => Ok(None),
        Loaded::Snapshot(snapshot) => Ok(Some(snapshot)),
        Loaded::Damaged { kept, cause } => {
            lament(&kept, &cause);
            Ok(None)
        }
    }
}

fn lament(kept: &Path, cause: &dyn std::fmt::Display) {
    tracing::error!(
        "the stored attachments cannot be used ({cause}) and are kept in {}; starting without any: attach again",
        kept.display()
    );
}

/// An engine with the attachments, or without if they contradict themselves.
fn restore(config: EngineConfig, snapshot: Option<&Snapshot>, store: &Store) -> Result<Engine, RunError> {
    let now = Instant::now();
    match Engine::new(config.clone(), snapshot, now) {
        Ok(engine) => Ok(engine),
        Err(error) => {
            lament(&store.set_aside()?, &error);
            Ok(Engine::new(config, None, now)?)
        }
    }
}

fn speaker(config: &Config, identity: Identity, restarting: bool) -> SpeakerConfig {
    let cluster_id = config.bgp.reflector.as_ref().and_then(|reflector| reflector.cluster_id);
    SpeakerConfig {
        cluster_id: cluster_id.unwrap_or(identity.router_id),
        local_addresses: vec![identity.local_address, identity.endpoint],
        restarting,
        terms: peering::terms(config),
        ..SpeakerConfig::new(config.bgp.as_number, identity.router_id)
    }
}

fn sockets(config: &Config, local_address: IpAddr) -> Result<Sockets, RunError> {
    let protection = peering::protection(config);
    protection.check()?;
    let mut sockets = Sockets::new(local_address, protection, peering::hold_time(config));
    for address in config.bgp_listen(local_address) {
        let bound = sockets.listen(address)?;
        tracing::info!("BGP sessions are accepted on {bound}");
    }
    Ok(sockets)
}

/// Opens the API. The unix socket comes last: who can connect to it finds an agent that is ready.
fn serve(config: &Config) -> Result<mpsc::Receiver<Request>, RunError> {
    let (requests, calls) = mpsc::channel(CALLS);
    let service = Service { role: Role::Api, ping: ping(), token: None, requests };
    if let Some(address) = config.api.metrics {
        let service = Service { role: Role::Metrics, ..service.clone() };
        tokio::spawn(Listener::tcp(address)?.serve(service, Limits::default()));
    }
    if let Some(address) = config.api.listen {
        let token = config.api.token_file.as_deref().map(Token::read).transpose()?;
        let service = Service { token, ..service.clone() };
        tokio::spawn(Listener::tcp(address)?.serve(service, Limits::default()));
    }
    tokio::spawn(Listener::unix(&config.api.socket)?.serve(service, Limits::default()));
    Ok(calls)
}

/// A number that no other start has: 128 bits that the kernel drew, of which one is set so that it is never short.
fn ping() -> u128 {
    let drawn = std::fs::read_to_string("/proc/sys/kernel/random/uuid").ok();
    let number = drawn.and_then(|text| u128::from_str_radix(&text.trim().replace('-', ""), 16).ok());
    // Without /proc the time of the start tells one start from another as well.
    let since = || SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_nanos();
    number.unwrap_or_else(since) | 1 << 126
}

#[cfg(test)]
mod tests {
    #[test]
    fn each_start_has_another_long_number() {
        let (first, second) = (super::ping(), super::ping());
        assert_ne!(first, second);
        assert!(first > 1 << 64);
    }
}
