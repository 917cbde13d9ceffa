//! The driver that forwards: tables over this machine's maps, programs and netlink.

use std::collections::{BTreeMap, BTreeSet};
use std::future;
use std::net::IpAddr;
use std::time::Instant;

use bagpipe_bgp::types::MacAddr;
use bagpipe_common::encap_flags;
use serde::Serialize;

use super::address::ip_of;
use super::counters::{CounterMaps, Dropped, Traffic};
use super::entry_view::EntryView;
use super::headroom::Headroom;
use super::health::Problem;
use super::host::{self, Host};
use super::kernel::Kernel as _;
use super::maps::Maps;
use super::netlink::decode::Event;
use super::netlink::events::Events;
use super::netlink::request::Requests;
use super::programs::UnderlayMode;
use super::tables::Tables;
use super::underlay::{State, Underlay};
use super::verify::Divergence;
use super::{
    Config, DataplaneError, InterfaceError, InterfaceInfo, headroom_bridge_of, pins_of, vxlan_device_of,
};
use crate::fib::{Change, Fib, Place, PortId, VpnId, on_trunk};

/// What the programs have counted.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Counters {
    /// By port number.
    pub ports: BTreeMap<PortId, Traffic>,
    /// By instance number.
    pub vpns: BTreeMap<VpnId, Traffic>,
    /// By reason.
    pub drops: Vec<Dropped>,
}

/// A remote endpoint and the way to it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct NexthopView {
    /// Address of the remote endpoint.
    pub endpoint: IpAddr,
    /// Number of the next hop in the maps.
    pub number: Option<u32>,
    /// Whether packets can be sent.
    pub state: State,
    /// How many MAC addresses and flood lists refer to it.
    pub references: usize,
    /// Outgoing interface.
    pub interface: Option<String>,
    /// Underlay gateway, or the endpoint itself.
    pub gateway: Option<IpAddr>,
    /// MAC address of the gateway.
    pub mac: Option<MacAddr>,
    /// Largest IP packet that the way takes, in bytes.
    pub mtu: Option<u32>,
}

/// The driver.
pub struct Ebpf {
    config: Config,
    tables: Tables,
    host: Host,
    headroom: Headroom,
    events: Events,
    counters: CounterMaps,
    adopted: bool,
    /// Nothing was committed yet.
    new: bool,
    /// Underlay interfaces and their index, where the program is attached.
    underlay: BTreeMap<String, u32>,
    /// What is wrong with underlay interfaces.
    underlay_problems: BTreeMap<String, String>,
}

impl Ebpf {
    /// See [`super::Dataplane::start`].
    ///
    /// # Errors
    /// What keeps the data plane from working.
    pub fn start(config: Config, known: &BTreeSet<VpnId>) -> Result<Self, DataplaneError> {
        // Maps that are made now hold nothing, and to read that takes its time.
        let is_new = !pins_of(&config.instance).exists();
        let programs = host::load(&config)?;
        Self::start_with(config, known, programs, is_new)
    }

    pub(super) fn start_with(
        config: Config,
        known: &BTreeSet<VpnId>,
        programs: Box<dyn host::Hooks>,
        is_new: bool,
    ) -> Result<Self, DataplaneError> {
        let directory = pins_of(&config.instance).join("maps");
        // Before anything is read, so that no change is missed in between.
        let events = Events::open().map_err(netlink("listen to netlink"))?;
        let requests = Requests::open().map_err(netlink("open a netlink socket"))?;
        let underlay = Underlay::new(config.local_addresses.clone(), config.underlay.clone());
        let mut driver = Self {
            tables: Tables::new(underlay),
            host: Host { maps: Maps::open(&directory)?, programs, netlink: requests, changed: Vec::new() },
            headroom: Headroom::new(headroom_bridge_of(&config.instance), vxlan_device_of(&config.instance)),
            events,
            counters: CounterMaps::open(&directory)?,
            adopted: false,
            new: true,
            underlay: BTreeMap::new(),
            underlay_problems: BTreeMap::new(),
            config,
        };
        driver.read_everything()?;
        driver.make_vxlan_device()?;
        let contents = if is_new { Vec::new() } else { driver.host.maps.read_all()? };
        driver.adopted = driver.tables.adopt(contents, known) > 0;
        driver.follow_underlay();
        Ok(driver)
    }

    /// See [`super::Dataplane::adopted`].
    #[must_use]
    pub const fn adopted(&self) -> bool {
        self.adopted
    }

    /// See [`super::Dataplane::has_interface`].
    #[must_use]
    pub fn has_interface(&self, name: &str) -> bool {
        self.tables.links().of_name(on_trunk(name).0).is_some()
    }

    /// See [`super::Dataplane::interface`].
    ///
    /// # Errors
    /// Why the interface can't be a port.
    pub fn interface(&self, name: &str) -> Result<InterfaceInfo, InterfaceError> {
        let (name, _) = on_trunk(name);
        let link =
            self.tables.links().of_name(name).ok_or_else(|| InterfaceError::NotFound(name.to_owned()))?;
        if link.loopback {
            return Err(InterfaceError::Loopback(name.to_owned()));
        }
        if self.config.underlay.contains(name) {
            return Err(InterfaceError::Underlay(name.to_owned()));
        }
        let instance = &self.config.instance;
        if name == vxlan_device_of(instance) || name == headroom_bridge_of(instance) {
            return Err(InterfaceError::Own(name.to_owned()));
        }
        if link.mac.is_none() {
            return Err(InterfaceError::NotEthernet(name.to_owned()));
        }
        Ok(InterfaceInfo {
            name: link.name.clone(),
            ifindex: link.index,
            mac: link.mac,
            mtu: link.mtu,
            up: link.up,
        })
    }

    /// See [`super::Dataplane::apply`].
    pub fn apply(&mut self, change: &Change) {
        self.tables.apply(change);
    }

    /// See [`super::Dataplane::commit`].
    ///
    /// # Errors
    /// The first entry that could not be written.
    pub fn commit(&mut self) -> Result<(), DataplaneError> {
        let committed = self.tables.commit(&mut self.host, Instant::now());
        if std::mem::take(&mut self.new) {
            self.detach_leftovers();
        }
        self.follow_headroom();
        Ok(committed?)
    }

    /// See [`super::Dataplane::event`].
    pub async fn event(&mut self) {
        let timeout = self.tables.timeout().into_iter().chain(self.headroom.timeout()).min();
        let timeout = async {
            match timeout {
                Some(at) => tokio::time::sleep_until(at.into()).await,
                None => future::pending().await,
            }
        };
        tokio::select! {
            result = self.events.ready() => match result {
                Ok(()) => self.catch_up(),
                Err(error) => {
                    tracing::error!(%error, "netlink can't be listened to any longer");
                    future::pending::<()>().await;
                }
            },
            () = timeout => {}
        }
    }

    /// See [`super::Dataplane::sweep`].
    ///
    /// # Errors
    /// Those of [`Self::commit`].
    pub fn sweep(&mut self) -> Result<usize, DataplaneError> {
        let swept = self.tables.sweep();
        self.commit()?;
        Ok(swept)
    }

    /// See [`super::Dataplane::entry`].
    #[must_use]
    pub fn entry(&self, place: &Place) -> Option<EntryView> {
        self.tables.entry(place)
    }

    /// See [`super::Dataplane::verify`].
    ///
    /// # Errors
    /// When the maps can't be read.
    pub fn verify(&mut self) -> Result<Vec<Divergence>, DataplaneError> {
        let mut divergences = self.tables.verify(&self.host.maps.read_all()?);
        let failed = netlink("ask which programs are on interfaces");
        divergences.extend(self.missing_programs().map_err(failed)?);
        Ok(divergences)
    }

    /// Interfaces whose program somebody has taken off.
    fn missing_programs(&mut self) -> std::io::Result<Vec<Divergence>> {
        let mut missing = Vec::new();
        for ifindex in &self.tables.attached {
            if !self.host.programs.has_port(*ifindex)? {
                missing.push(Divergence::program("port_ingress", *ifindex));
            }
        }
        for ifindex in self.underlay.values() {
            if !self.host.programs.has_underlay(*ifindex)? {
                missing.push(Divergence::program("underlay_ingress", *ifindex));
            }
        }
        Ok(missing)
    }

    /// See [`super::Dataplane::fib`].
    #[must_use]
    pub const fn fib(&self) -> &Fib {
        self.tables.fib()
    }

    /// See [`super::Dataplane::counters`].
    #[must_use]
    pub fn counters(&self) -> Counters {
        let fib = self.tables.fib();
        Counters {
            ports: fib.ports.keys().map(|port| (*port, self.counters.port(*port))).collect(),
            vpns: fib.vpns.keys().map(|vpn| (*vpn, self.counters.vpn(*vpn))).collect(),
            drops: self.counters.drops(),
        }
    }

    /// See [`super::Dataplane::nexthops`].
    #[must_use]
    pub fn nexthops(&self) -> Vec<NexthopView> {
        let links = self.tables.links();
        let view = |(endpoint, number, references, encap): (IpAddr, _, _, Option<&bagpipe_common::Encap>)| {
            let resolved = encap.filter(|encap| encap.flags & encap_flags::RESOLVED != 0);
            NexthopView {
                endpoint,
                number,
                state: self.tables.underlay.state(endpoint, links),
                references,
                interface: encap.and_then(|encap| Some(links.get(encap.ifindex)?.name.clone())),
                gateway: encap.map(|encap| ip_of(&encap.gateway)),
                mac: resolved.map(|encap| MacAddr(encap.destination_mac)),
                mtu: encap.map(|encap| encap.mtu),
            }
        };
        self.tables.nexthops.iter().map(view).collect()
    }

    /// See [`super::Dataplane::health`].
    #[must_use]
    pub fn health(&self) -> Vec<Problem> {
        let underlay =
            self.underlay_problems.iter().map(|(name, problem)| format!("underlay {name}: {problem}"));
        let down = self.config.underlay.iter().filter(|name| self.is_down(name)).map(|name| {
            format!("underlay {name}: the interface is down; set it up with 'ip link set {name} up'")
        });
        let unreachable = self.has_unreachable().then(|| {
            "remote endpoints have no way through the underlay; 'bagpipe show nexthops' names them".to_owned()
        });
        let underlay = underlay.chain(down).chain(unreachable).map(Problem::from);
        underlay.chain(self.tables.health()).collect()
    }

    fn is_down(&self, name: &str) -> bool {
        self.tables.links().of_name(name).is_some_and(|link| !link.up)
    }

    /// Whether there is a remote endpoint that nothing can be sent to, whatever its gateway says.
    fn has_unreachable(&self) -> bool {
        let links = self.tables.links();
        self.tables.nexthops.iter().any(|(endpoint, ..)| {
            !matches!(self.tables.underlay.state(endpoint, links), State::Resolved | State::Unresolved)
        })
    }

    /// See [`super::Dataplane::catch_up`].
    pub fn catch_up(&mut self) {
        match self.events.take() {
            Ok(batch) if batch.lost => {
                tracing::info!("netlink events were lost; interfaces, routes and neighbours are read again");
                if let Err(error) = self.read_everything() {
                    tracing::error!("{error}");
                }
            }
            Ok(batch) => batch.events.into_iter().for_each(|event| self.take_event(event)),
            Err(error) => tracing::error!(%error, "can't read netlink events"),
        }
        self.follow_underlay();
        self.follow_vxlan_device();
        self.follow_headroom();
    }

    fn take_event(&mut self, event: Event) {
        match event {
            Event::Link(link) => self.tables.set_link(link),
            Event::LinkGone(ifindex) => {
                self.underlay.retain(|_, attached| *attached != ifindex);
                self.tables.remove_link(ifindex);
            }
            Event::Neighbor(id, neighbor) => self.tables.underlay.neighbor(id, neighbor),
            Event::Routes(prefix, length) => self.tables.underlay.routes_changed(prefix, length),
        }
    }

    /// Reads interfaces and neighbours, and has every route asked for again.
    fn read_everything(&mut self) -> Result<(), DataplaneError> {
        let links = self.host.netlink.links().map_err(netlink("list interfaces"))?;
        let present: BTreeSet<u32> = links.iter().map(|link| link.index).collect();
        let gone: Vec<u32> = self.tables.links().iter().map(|link| link.index).collect();
        for ifindex in gone.into_iter().filter(|ifindex| !present.contains(ifindex)) {
            self.tables.remove_link(ifindex);
        }
        for link in links {
            self.tables.set_link(link);
        }
        self.tables.underlay.all_changed();
        for (id, neighbor) in self.host.netlink.neighbors().map_err(netlink("list neighbours"))? {
            self.tables.underlay.neighbor(id, Some(neighbor));
        }
        Ok(())
    }

    /// Keeps the underlay program on the configured interfaces, also when one is made anew.
    fn follow_underlay(&mut self) {
        for name in &self.config.underlay {
            let Some(link) = self.tables.links().of_name(name) else {
                self.underlay.remove(name);
                self.underlay_problems.insert(name.clone(), "the interface does not exist".to_owned());
                continue;
            };
            let ifindex = link.index;
            if self.underlay.get(name) == Some(&ifindex) {
                continue;
            }
            // On a virtual interface XDP costs its peer segmentation offload.
            let mode = if link.kind.is_some() { UnderlayMode::Tc } else { UnderlayMode::Auto };
            match self.host.programs.attach_underlay(ifindex, mode) {
                Ok(()) => {
                    self.underlay.insert(name.clone(), ifindex);
                    self.underlay_problems.remove(name);
                }
                Err(error) => drop(self.underlay_problems.insert(name.clone(), error.to_string())),
            }
        }
    }

    /// Takes programs off interfaces that an earlier run had them on and that are no longer ports or underlay.
    fn detach_leftovers(&mut self) {
        let own = vxlan_device_of(&self.config.instance);
        for link in self.tables.links().iter().filter(|link| link.name != own) {
            let port = match self.tables.attached.contains(&link.index) {
                true => Ok(()),
                false => self.host.detach_port(link.index),
            };
            let underlay = match self.config.underlay.contains(&link.name) {
                true => Ok(()),
                false => self.host.programs.detach_underlay(link.index),
            };
            if let Err(error) = port.and(underlay) {
                tracing::warn!(interface = link.name, %error, "can't take a program off an interface");
            }
        }
    }

    fn follow_headroom(&mut self) {
        let changed = std::mem::take(&mut self.host.changed);
        self.headroom.follow(&mut self.host.netlink, &mut self.tables, changed, Instant::now());
    }

    /// Makes the VXLAN device anew when somebody has deleted it.
    fn follow_vxlan_device(&mut self) {
        let name = vxlan_device_of(&self.config.instance);
        if self.tables.links().of_name(&name).is_some() {
            return;
        }
        match self.make_vxlan_device() {
            Ok(()) => drop(self.underlay_problems.remove(&name)),
            Err(error) => drop(self.underlay_problems.insert(name, error.to_string())),
        }
    }

    /// The kernel's own VXLAN device makes its UDP-tunnel GRO know the port; nothing is to go through it.
    fn make_vxlan_device(&mut self) -> Result<(), DataplaneError> {
        let (name, port) = (vxlan_device_of(&self.config.instance), self.config.vxlan_port);
        let failed = |error| DataplaneError::VxlanDevice { name: name.clone(), port, error };
        if let Some(link) = self.tables.links().of_name(&name).cloned()
            && (link.vxlan_port != Some(port) || !link.up)
        {
            self.host.netlink.delete_link(link.index).map_err(failed)?;
            self.tables.remove_link(link.index);
        }
        if self.tables.links().of_name(&name).is_none() {
            self.host.netlink.create_vxlan(&name, port).map_err(failed)?;
            self.read_everything()?;
            let index = self.tables.links().of_name(&name).map_or(0, |link| link.index);
            self.host.netlink.set_up(index).map_err(failed)?;
            self.read_everything()?;
        }
        let index = self.tables.links().of_name(&name).map_or(0, |link| link.index);
        self.host.programs.attach_stray(index).map_err(failed)
    }
}

fn netlink(action: &'static str) -> impl FnOnce(std::io::Error) -> DataplaneError {
    move |error| DataplaneError::Netlink { action, error }
}
