//! What an IP-VPN instance does where an E-VPN does something else: prefixes come and go, and routes and labels are
//! put out.

use bagpipe_bgp::types::{IpPrefix, Label, MacAddr};

use super::address::InterfaceAddress;
use super::effects::Effects;
use super::instance::Instance;
use super::request::{LastResort, Relay};
use super::router::{Attached, Attachment, Site};
use crate::fib::{Hop, PortId, Target, VpnId};

/// What went with a detached prefix.
#[derive(Debug, Default)]
pub(crate) struct Gone {
    pub(crate) port: Option<(PortId, String)>,
    pub(crate) label: Option<Label>,
    /// Number for what was announced again.
    pub(crate) relay_rd: Option<VpnId>,
}

impl Instance {
    /// Attaches a prefix to a port, or to a plugged E-VPN. Gives what was there.
    pub(crate) fn attach_prefix(
        &mut self,
        port: Option<(PortId, &str)>,
        (site, address): Attachment,
        attached: Attached,
        label: Option<Label>,
    ) -> Option<Attached> {
        let router = self.router.as_mut()?;
        let before = router.attach((site, address), attached);
        if let (Site::Port(mac), Some((port, interface))) = (site, port) {
            if let Some(label) = label {
                router.set_label(mac, Some(label));
            }
            self.local.add_port(port, interface);
            self.local.add_mac(port, mac, 0);
            if let Some(ip) = address.host_address() {
                self.local.add_ip(mac, ip);
            }
            self.touch_port(port);
            self.touch_site(mac, address);
        }
        self.touch_faces();
        before
    }

    /// Detaches a prefix, its MAC address with the last one, and its port with the last MAC address.
    pub(crate) fn detach_prefix(&mut self, (site, address): Attachment) -> Gone {
        let Some(router) = &mut self.router else { return Gone::default() };
        router.detach((site, address));
        let mut gone = Gone::default();
        if let Site::Port(mac) = site {
            let rest: Vec<_> = router.of_site(site).map(|(address, _)| address.host_address()).collect();
            let own = address.host_address();
            if rest.is_empty() {
                gone.label = router.set_label(mac, None);
                gone.relay_rd = router.relay_rds.remove(&mac);
                gone.port = self.local.remove_mac(mac).map(|(port, entry)| (port, entry.interface));
            } else if let Some(ip) = own.filter(|_| !rest.contains(&own)) {
                self.local.remove_ip(mac, ip);
            }
            self.touch_site(mac, address);
            if let Some((port, _)) = &gone.port {
                self.touch_port(*port);
            }
        }
        self.touch_faces();
        gone
    }

    fn touch_site(&mut self, mac: MacAddr, address: InterfaceAddress) {
        self.touch_mac(mac, address.host_address().into_iter());
    }

    /// Announces other routes of others again; whether that changed anything.
    pub(crate) fn set_relay(&mut self, relay: &Relay) -> bool {
        let Some(router) = &mut self.router else { return false };
        let changed = router.set_relay(Some(relay));
        if changed {
            // Who forwards for others sends from their addresses.
            self.touched.macs.extend(self.local.macs.keys());
        }
        changed
    }

    /// Sends packets that have no route out by a port; whether that changed anything.
    pub(crate) fn set_fallback(&mut self, port: PortId, last_resort: &LastResort) -> bool {
        let changed = self.router.as_mut().is_some_and(|router| router.set_fallback(port, last_resort));
        if changed {
            self.touch_port(port);
        }
        changed
    }

    /// The gateways may be others, and so what the router is to hosts.
    pub(super) fn touch_faces(&mut self) {
        let Some(router) = &self.router else { return };
        let overlay = &self.originator.overlay;
        self.touched.macs.extend([overlay.gateway_mac, overlay.router_mac]);
        let before =
            self.installed.neighbors.iter().filter(|(_, neighbor)| neighbor.router).map(|(ip, _)| *ip);
        self.touched.ips.extend(router.gateways().chain(before));
    }

    /// Brings up to date what an IP-VPN originates.
    pub(crate) fn announce_prefixes(&mut self, effects: &mut Effects) {
        let Some(router) = &mut self.router else { return };
        let (local, prefixes) = (&self.local, std::mem::take(&mut router.touched.originated));
        let port = |mac: MacAddr| local.macs.get(&mac).map(|entry| entry.port);
        router.announce(prefixes, &self.originator, &self.export, &port, effects);
    }

    /// Brings routes and labels up to date.
    pub(super) fn put_out_routes(&mut self, effects: &mut Effects) {
        let Some(router) = &mut self.router else { return };
        let (vpn, local, changes) = (self.id, &self.local, &mut effects.changes);
        let port = |mac: MacAddr| local.macs.get(&mac).map(|entry| entry.port);
        for prefix in std::mem::take(&mut router.touched.prefixes) {
            let hops = if self.closed { Vec::new() } else { router.hops(prefix, &port) };
            self.installed.set_route(vpn, prefix, hops, changes);
        }
        for (label, mac) in std::mem::take(&mut router.touched.labels) {
            let target = |mac| port(mac).map(Target::Port);
            let wanted = if self.closed { None } else { router.label_use(label, mac, target) };
            self.installed.set_label(label, wanted, changes);
        }
    }

    /// Where a prefix of an IP-VPN is now.
    pub(crate) fn installed_hops(&self, prefix: &IpPrefix) -> &[Hop] {
        self.installed.routes.get(prefix).map(|hops| &**hops).unwrap_or_default()
    }
}
