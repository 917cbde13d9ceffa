//! An E-VPN instance that is plugged into an IP-VPN: the gateway in it, and what it tells the IP-VPN of its hosts.

use std::collections::BTreeSet;
use std::net::IpAddr;

use bagpipe_bgp::types::{Label, MacAddr, RouteTarget, Vni};

use super::effects::Effects;
use super::installed::replace;
use super::instance::Instance;
use super::router::Host;
use crate::fib::{Router, Target, VpnId};

/// What an E-VPN needs to know of the IP-VPN that it is plugged into.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Plug {
    /// Its number.
    pub(crate) ipvpn: VpnId,
    /// Its VNI and its label.
    pub(crate) vni: Vni,
    pub(crate) label: Label,
    /// What its routes are exported with.
    pub(crate) export: BTreeSet<RouteTarget>,
    /// The gateways of the hosts of the E-VPN.
    pub(crate) gateways: BTreeSet<IpAddr>,
    /// What the router is to them.
    pub(crate) face: Router,
}

impl Instance {
    /// Plugs the E-VPN in, otherwise, or out. An E-VPN is plugged out before it is plugged in elsewhere.
    pub(crate) fn set_plug(&mut self, plug: Option<Plug>, effects: &mut Effects) {
        if self.plug == plug {
            return;
        }
        if plug.is_none()
            && let Some(before) = &self.plug
        {
            let told = std::mem::take(&mut self.told).into_keys();
            effects.hosts.extend(told.map(|ip| (before.ipvpn, self.id, ip, None)));
        }
        let gateways = self.plug.iter().chain(&plug).flat_map(|plug| &plug.gateways);
        self.touched.ips.extend(gateways);
        self.touched.macs.insert(self.originator.overlay.gateway_mac);
        if self.plug.is_none() {
            let remote = self.remote.ips();
            self.touched
                .ips
                .extend(remote.chain(self.local.macs.values().flat_map(|entry| entry.ips.iter().copied())));
        }
        let common = |plug: &Plug| (plug.vni, plug.label, plug.export.clone());
        self.touched.all_routes |= self.plug.as_ref().map(common) != plug.as_ref().map(common);
        self.plug = plug;
    }

    /// Tells the IP-VPN of the hosts that were touched.
    pub(super) fn tell(&mut self, macs: &BTreeSet<MacAddr>, ips: &BTreeSet<IpAddr>, effects: &mut Effects) {
        let Some(plug) = &self.plug else { return };
        let (ipvpn, evpn) = (plug.ipvpn, self.id);
        let mut ips = ips.clone();
        for mac in macs {
            ips.extend(self.remote.ips_of(mac));
            ips.extend(self.local.macs.get(mac).into_iter().flat_map(|entry| entry.ips.iter().copied()));
        }
        for ip in ips {
            let host = self.routed_host(ip);
            if replace(&mut self.told, ip, host) {
                effects.hosts.push((ipvpn, evpn, ip, host));
            }
        }
    }

    /// A host that packets can be routed to.
    fn routed_host(&self, ip: IpAddr) -> Option<Host> {
        if self.is_gateway(&ip) {
            return None;
        }
        let (mac, _) = self.host(ip)?;
        let target = match self.local.macs.get(&mac) {
            Some(entry) => Target::Port(entry.port),
            None => self.remote.one_target(&mac, self.duplicates.frozen(&mac))?,
        };
        // The gateway of another node is none of the hosts.
        (mac != self.originator.overlay.gateway_mac).then_some(Host { mac, target })
    }

    /// The number of the router that frames for a MAC address go to.
    pub(super) fn routes_for(&self, mac: &MacAddr) -> Option<VpnId> {
        if self.closed {
            return None;
        }
        let overlay = &self.originator.overlay;
        match (&self.router, &self.plug) {
            // Routed packets from other nodes come in frames for the router's own MAC address.
            (Some(router), _) if *mac == overlay.gateway_mac || *mac == overlay.router_mac => Some(router.id),
            (None, Some(plug)) if *mac == overlay.gateway_mac => Some(plug.ipvpn),
            _ => None,
        }
    }

    /// Whether an address is that of the router.
    pub(super) fn is_gateway(&self, ip: &IpAddr) -> bool {
        match (&self.router, &self.plug) {
            (Some(router), _) => router.is_gateway(ip),
            (None, Some(plug)) => plug.gateways.contains(ip),
            (None, None) => false,
        }
    }

    /// What the router is to the hosts of the instance.
    pub(super) fn face(&self) -> Option<Router> {
        match (&self.router, &self.plug) {
            (Some(router), _) => Some(router.face(router.gateways())),
            (None, plug) => plug.as_ref().map(|plug| plug.face),
        }
    }
}
