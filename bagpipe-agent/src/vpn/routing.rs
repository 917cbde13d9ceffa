//! Attach to and detach from an IP-VPN: what is checked against all instances, and what is taken from the node.

use bagpipe_bgp::types::{Label, MacAddr, Vni};

use super::address::InterfaceAddress;
use super::error::{AttachError, DetachError};
use super::instance::Instance;
use super::overlay::Encapsulation;
use super::plug::Plug;
use super::request::{Attach, AttachPort, Detach, Routed};
use super::router::{Attached as AttachedPrefix, Attachment, Site};
use super::vpns::{Detached, Plan, Vpns};
use crate::fib::{PortId, VpnId};

/// What an attach to an IP-VPN takes, found before anything changes.
pub(super) struct RoutedPlan {
    attachment: Attachment,
    /// A number for the route distinguisher, if it can't be that of the instance.
    rd: Option<VpnId>,
    /// Numbers for what is announced again, as many as there are MAC addresses without one.
    relay_rds: Vec<VpnId>,
    /// A number for the port that packets leave by that have no route.
    way_out: Option<PortId>,
}

/// What an attach to an IP-VPN has changed.
pub(super) struct Outcome {
    pub(super) changed: bool,
    pub(super) added: bool,
}

impl Vpns {
    pub(super) fn plan_routed(
        &self,
        instance: Option<&Instance>,
        attach: &Attach,
        routed: &Routed,
        vni: Vni,
    ) -> Result<RoutedPlan, AttachError> {
        if self.config.overlay.ipvpn == Encapsulation::Vxlan && vni.get() > Label::MAX {
            return Err(AttachError::VniNoLabel { vni, vpn: attach.vpn.clone() });
        }
        let site = match &attach.port {
            AttachPort::Interface(_) => Site::Port(attach.mac),
            AttachPort::Evpn(name) => Site::Evpn(self.pluggable(name, &attach.vpn)?, attach.mac),
        };
        let attachment = (site, routed.address);
        let mut needs_rd = false;
        if let Some((instance, router)) =
            instance.and_then(|instance| Some((instance, instance.router.as_ref()?)))
        {
            let advertise = routed.endpoint.advertise_subnet;
            let prefix = routed.address.prefix();
            if let Some((other, advertised)) = router.other_site(site, prefix) {
                if !(advertise && advertised) {
                    let (vpn, mac) = (instance.name.clone(), mac_of(other));
                    return Err(AttachError::PrefixOnOtherMac { prefix, vpn, mac, asked: attach.mac });
                }
                needs_rd = !router.attached.contains_key(&attachment);
            }
            let owner = routed.address.host_address().and_then(|ip| Some((ip, instance.local.owner(&ip)?)));
            if let Some((ip, mac)) = owner.filter(|(_, mac)| *mac != attach.mac)
                && !(advertise && router.any_ip(mac))
            {
                let vpn = instance.name.clone();
                return Err(AttachError::IpOnOtherMac { ip, vpn, mac, asked: attach.mac });
            }
        }
        let relaying = relaying(instance, attach, routed);
        let mut numbers = self.free_rds(instance.is_none(), usize::from(needs_rd) + relaying)?.into_iter();
        let rd = if needs_rd { numbers.next() } else { None };
        let way_out = self.free_way_out(instance, attach, routed)?;
        Ok(RoutedPlan { attachment, rd, relay_rds: numbers.collect(), way_out })
    }

    /// The number of the port that packets leave by that have no route, if an attach asks for that: the one that it has,
    /// or one besides that of what is attached.
    fn free_way_out(
        &self,
        instance: Option<&Instance>,
        attach: &Attach,
        routed: &Routed,
    ) -> Result<Option<PortId>, AttachError> {
        if routed.fallback.is_none() {
            return Ok(None);
        }
        if let Some(known) = instance.and_then(|instance| instance.router.as_ref()?.fallback.as_ref()) {
            return Ok(Some(known.0));
        }
        let is_new = attach.port.interface().is_some_and(|name| !self.interfaces.contains_key(name));
        let free = self.ports.peek_several(1 + usize::from(is_new));
        free.map(|numbers| numbers.last().copied()).ok_or(AttachError::Exhausted {
            what: "port number",
            first: *self.ports.range().start(),
            last: *self.ports.range().end(),
            remedy: "detach ports that are not used",
        })
    }

    /// The E-VPN of this name, if it can be plugged into an IP-VPN.
    fn pluggable(&self, name: &str, ipvpn: &str) -> Result<VpnId, AttachError> {
        let evpn = self.names.get(name).and_then(|id| self.instances.get(id));
        let evpn = evpn
            .filter(|instance| instance.router.is_none())
            .ok_or_else(|| AttachError::NoSuchEvpn { evpn: name.to_owned() })?;
        match evpn.plug.as_ref().map(|plug| self.name_of(plug.ipvpn)) {
            Some(vpn) if vpn != ipvpn => Err(AttachError::EvpnInUse { evpn: name.to_owned(), vpn }),
            _ => Ok(evpn.id),
        }
    }

    /// So many numbers for route distinguishers; the first that is free is taken by the instance, if that is new.
    fn free_rds(&self, is_new: bool, count: usize) -> Result<Vec<VpnId>, AttachError> {
        let own = usize::from(is_new);
        let numbers = if count == 0 { Some(Vec::new()) } else { self.numbers.peek_several(own + count) };
        let numbers = numbers.ok_or(AttachError::Exhausted {
            what: "number for a route distinguisher",
            first: *self.numbers.range().start(),
            last: *self.numbers.range().end(),
            remedy: "detach what is not used",
        })?;
        // The range of these numbers is that of `VpnId`.
        Ok(numbers.into_iter().skip(own).filter_map(|number| VpnId::try_from(number).ok()).collect())
    }

    /// Whether an instance has a label of its own.
    pub(super) fn needs_label(&self, is_routed: bool) -> bool {
        is_routed || self.config.overlay.evpn == Encapsulation::Mpls
    }

    /// The labels that an attach takes: one for a new instance, one for a new MAC address of an IP-VPN.
    pub(super) fn free_labels(
        &self,
        instance: Option<&Instance>,
        attach: &Attach,
    ) -> Result<Vec<Label>, AttachError> {
        let is_routed = attach.routed.is_some();
        let own = instance.is_none() && self.needs_label(is_routed);
        let known = instance.is_some_and(|instance| instance.local_mac(&attach.mac).is_some());
        let mac = is_routed && attach.port.interface().is_some() && !known;
        let labels = self.labels.peek_several(usize::from(own) + usize::from(mac));
        let labels = labels.map(|labels| labels.into_iter().filter_map(Label::new).collect());
        labels.ok_or(AttachError::Exhausted {
            what: "label",
            first: *self.labels.range().start(),
            last: *self.labels.range().end(),
            remedy: "widen 'labels' in the configuration, or detach what is not used",
        })
    }

    pub(super) fn carry_out_routed(
        &mut self,
        attach: &Attach,
        routed: &Routed,
        plan: &Plan,
        taken: &RoutedPlan,
        label: Option<Label>,
    ) -> Outcome {
        if let Some(label) = label {
            self.labels.take(label.get());
        }
        if let Some(rd) = taken.rd {
            self.numbers.take(rd.into());
        }
        let port = plan.port.zip(attach.port.interface());
        let Some(instance) = self.instances.get_mut(&plan.vpn) else {
            return Outcome { changed: false, added: false };
        };
        let known = instance.router.as_ref().and_then(|router| router.attached.get(&taken.attachment));
        let rd = known.map_or(taken.rd, |known| known.rd);
        let attached = AttachedPrefix { endpoint: routed.endpoint, rd };
        let mut changed = false;
        if let (Some(router), Some(proxy)) = (&mut instance.router, routed.proxy) {
            changed |= router.proxy != proxy;
            router.proxy = proxy;
        }
        let before = instance.attach_prefix(port, taken.attachment, attached, label);
        changed |= before != Some(attached);
        if let (Some(port), Some(last_resort)) = (taken.way_out, &routed.fallback) {
            self.ports.take(port);
            changed |= instance.set_fallback(port, last_resort);
        }
        if let Some(relay) = &routed.relay {
            changed |= self.set_relay(plan.vpn, relay);
        }
        self.number_relayed(plan.vpn, &taken.relay_rds);
        self.replug(plan.vpn);
        Outcome { changed, added: before.is_none() }
    }

    /// Gives each MAC address of an IP-VPN that announces routes of others again a number for these, and takes it back
    /// where it does so no longer.
    fn number_relayed(&mut self, vpn: VpnId, numbers: &[VpnId]) {
        let router = self.instances.get_mut(&vpn).and_then(|instance| instance.router.as_mut());
        let Some(router) = router else { return };
        if router.relay().is_none() {
            for number in std::mem::take(&mut router.relay_rds).into_values() {
                self.numbers.release(number.into());
            }
            return;
        }
        let macs: Vec<MacAddr> = router.without_relay_rd().collect();
        for (mac, number) in macs.into_iter().zip(numbers) {
            self.numbers.take((*number).into());
            router.relay_rds.insert(mac, *number);
            router.touched.announcements = true;
        }
    }

    pub(super) fn check_detach_routed(&self, vpn: VpnId, detach: &Detach) -> Result<bool, DetachError> {
        let is_attached = !self.attachments(vpn, detach.mac, detach.ip).is_empty();
        match detach.ip {
            Some(ip) if !is_attached => {
                let (vpn, mac) = (detach.vpn.clone(), detach.mac);
                Err(DetachError::NoSuchEndpoint { vpn, mac, ip: ip.address })
            }
            _ => Ok(is_attached),
        }
    }

    pub(super) fn detach_routed(&mut self, vpn: VpnId, detach: &Detach) -> Result<Detached, DetachError> {
        let changed = self.check_detach_routed(vpn, detach)?;
        for attachment in self.attachments(vpn, detach.mac, detach.ip) {
            self.detach_attachment(vpn, attachment);
        }
        let removed = self.remove_if_empty(vpn);
        Ok(Detached { vpn, removed, changed })
    }

    /// The attachments that a detach names. The length may be left out, and may be given where the subnet was not
    /// announced.
    fn attachments(&self, vpn: VpnId, mac: MacAddr, ip: Option<InterfaceAddress>) -> Vec<Attachment> {
        let router = self.instances.get(&vpn).and_then(|instance| instance.router.as_ref());
        let all = router.into_iter().flat_map(|router| router.attached.keys()).copied();
        let of_mac: Vec<Attachment> = all.filter(|(site, _)| mac_of(*site) == mac).collect();
        let Some(ip) = ip else { return of_mac };
        let with = |wanted: &dyn Fn(&InterfaceAddress) -> bool| -> Vec<Attachment> {
            of_mac.iter().filter(|(_, address)| wanted(address)).copied().collect()
        };
        let exact = with(&|address| *address == ip);
        if !exact.is_empty() {
            exact
        } else if ip.is_host() {
            with(&|address| address.address == ip.address)
        } else {
            with(&|address| *address == InterfaceAddress::host(ip.address))
        }
    }

    fn detach_attachment(&mut self, vpn: VpnId, attachment: Attachment) {
        let Some(instance) = self.instances.get_mut(&vpn) else { return };
        let rd = instance.router.as_ref().and_then(|router| router.attached.get(&attachment)?.rd);
        let gone = instance.detach_prefix(attachment);
        for number in rd.into_iter().chain(gone.relay_rd) {
            self.numbers.release(number.into());
        }
        if let Some(label) = gone.label {
            self.labels.release(label.get());
        }
        if let Some((port, interface)) = gone.port {
            self.ports.release(port);
            self.interfaces.remove(&interface);
        }
        self.replug(vpn);
        if let Site::Evpn(evpn, _) = attachment.0 {
            let plugged = |router: &super::router::Router| router.plugs().any(|plug| plug == evpn);
            let router = self.instances.get(&vpn).and_then(|instance| instance.router.as_ref());
            if !router.is_some_and(|router| plugged(router)) {
                if let Some(instance) = self.instances.get_mut(&evpn) {
                    instance.set_plug(None, &mut self.effects);
                }
                self.remove_if_empty(evpn);
            }
        }
    }

    /// Tells the E-VPN instances that are plugged into an IP-VPN what they need to know of it now.
    pub(super) fn replug(&mut self, vpn: VpnId) {
        let Some(instance) = self.instances.get(&vpn) else { return };
        let Some(router) = &instance.router else { return };
        let plugs: Vec<(VpnId, Plug)> = router
            .plugs()
            .map(|evpn| {
                let gateways = router.gateways_of(evpn);
                let face = router.face(gateways.iter().copied());
                let (vni, label) = (instance.originator.vni, router.label);
                let export = instance.export.clone();
                (evpn, Plug { ipvpn: vpn, vni, label, export, gateways, face })
            })
            .collect();
        for (evpn, plug) in plugs {
            if let Some(instance) = self.instances.get_mut(&evpn) {
                instance.set_plug(Some(plug), &mut self.effects);
                self.touched.insert(evpn);
            }
        }
    }
}

/// How many MAC addresses will need a number for what is announced again.
fn relaying(instance: Option<&Instance>, attach: &Attach, routed: &Routed) -> usize {
    let router = instance.and_then(|instance| instance.router.as_deref());
    let relay = routed.relay.as_ref().or_else(|| router?.relay());
    if relay.is_none_or(super::request::Relay::is_empty) {
        return 0;
    }
    let is_known = router.is_some_and(|router| router.labels.contains_key(&attach.mac));
    let is_new = attach.port.interface().is_some() && !is_known;
    router.map_or(0, |router| router.without_relay_rd().count()) + usize::from(is_new)
}

const fn mac_of(site: Site) -> MacAddr {
    match site {
        Site::Port(mac) | Site::Evpn(_, mac) => mac,
    }
}
