//! A request that is right: names and numbers in place of text.

use std::collections::BTreeSet;
use std::net::IpAddr;

use bagpipe_bgp::types::{MacAddr, RouteTarget, Vni};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::super::address::InterfaceAddress;
use super::super::error::FieldError;
use super::fields::{
    bounded, direction, host, invalid, ip_address, is_ipvpn, mac_address, port, prefix_address,
    route_targets, vni, vpn_name,
};
use super::{AttachRequest, Attract, DetachRequest, LastResort, route_control};

/// A valid attach.
#[derive(Clone, Debug, PartialEq)]
pub struct Attach {
    /// Name of the instance.
    pub vpn: String,
    /// The interface, or what is attached in its place.
    pub port: AttachPort,
    /// The MAC address.
    pub mac: MacAddr,
    /// E-VPN: the IP address, if it is not to be any.
    pub ip: Option<IpAddr>,
    /// IP-VPN: the prefix.
    pub routed: Option<Routed>,
    /// Route targets to import.
    pub import: BTreeSet<RouteTarget>,
    /// Route targets to export.
    pub export: BTreeSet<RouteTarget>,
    /// VNI, if it is not to be chosen.
    pub vni: Option<Vni>,
    /// Gateway, if it is to be set.
    pub gateway: Option<IpAddr>,
    /// Description of the attachment.
    pub description: Option<Value>,
    /// Description of the instance.
    pub vpn_description: Option<Value>,
}

/// A valid detach.
#[derive(Clone, Debug, PartialEq)]
pub struct Detach {
    /// Name of the instance.
    pub vpn: String,
    /// The MAC address.
    pub mac: MacAddr,
    /// The IP address, if it is not to be all.
    pub ip: Option<InterfaceAddress>,
    /// The instance is an IP-VPN.
    pub routed: bool,
}

/// What is attached.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AttachPort {
    /// An interface of this node, or NAME:VLAN: a VLAN on one.
    Interface(String),
    /// All hosts of an E-VPN instance.
    Evpn(String),
}

impl AttachPort {
    /// The interface, if it is one.
    #[must_use]
    pub fn interface(&self) -> Option<&str> {
        match self {
            Self::Interface(name) => Some(name),
            Self::Evpn(_) => None,
        }
    }
}

/// What an attach to an IP-VPN says of the prefix.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Routed {
    /// The address, with the length of its subnet if that is announced, else with that of a host.
    pub address: InterfaceAddress,
    /// The rest.
    pub endpoint: Endpoint,
    /// Answer ARP and ND for addresses that nobody has, if that is to be set.
    pub proxy: Option<bool>,
    /// What the whole instance announces again, if that is to be set; nothing, if there are no route targets.
    pub relay: Option<Relay>,
    /// Who gets packets of the instance that have no route, if that is to be set.
    pub fallback: Option<LastResort>,
}

/// Routes of others that an IP-VPN announces again, so that their traffic comes through its ports.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Relay {
    /// Route targets of the routes.
    pub from: BTreeSet<RouteTarget>,
    /// Route targets that they are announced with.
    pub to: BTreeSet<RouteTarget>,
    /// Not they are announced, but which packets are wanted, for them and other destinations.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub attract: Option<Attract>,
}

impl Relay {
    /// Whether nothing is announced again.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.to.is_empty() || self.from.is_empty() && self.attract.is_none()
    }

    /// Route targets of who may send because of it.
    pub(crate) fn senders(&self) -> impl Iterator<Item = &RouteTarget> {
        self.to.iter().chain(self.attract.iter().flat_map(|attract| &attract.redirect))
    }
}

/// What becomes of a prefix behind a port of an IP-VPN.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Endpoint {
    /// Announce the subnet of the address.
    #[serde(default)]
    pub advertise_subnet: bool,
    /// The gateway of the hosts behind the port.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub gateway: Option<IpAddr>,
    /// LOCAL_PREF of the route.
    pub local_pref: u32,
    /// Which way packets go.
    pub direction: Direction,
    /// Place among equal routes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub order: Option<u32>,
}

/// Which way packets go through a port.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Direction {
    /// Both ways.
    Both,
    /// Only to the port: nothing is taken from it.
    ToPort,
    /// Only from the port: nothing is announced.
    FromPort,
}

impl Endpoint {
    /// Whether a port with it sends for others, too: for a subnet behind it, or, where nothing is announced of it, for
    /// those that a service chain leads through it.
    #[must_use]
    pub fn forwards(&self) -> bool {
        self.advertise_subnet || self.direction == Direction::FromPort
    }
}

impl AttachRequest {
    /// What the request says, if all of it is valid.
    ///
    /// # Errors
    /// The first field that is missing or wrong.
    pub fn validate(&self) -> Result<Attach, FieldError> {
        let is_routed = is_ipvpn(self.vpn_type.as_deref())?;
        let ip = self.ip_address.as_deref();
        if !is_routed {
            check_evpn_only(self)?;
        }
        let (relay, fallback) = route_control::check(self, is_routed)?;
        let attach = Attach {
            vpn: vpn_name(self.vpn_instance_id.as_deref())?,
            mac: mac_address("mac_address", self.mac_address.as_deref())?,
            port: port(self.local_port.as_ref(), is_routed)?,
            ip: if is_routed { None } else { ip.map(ip_address).transpose()? },
            routed: None,
            import: route_targets("import_rt", self.import_rt.as_ref())?,
            export: route_targets("export_rt", self.export_rt.as_ref())?,
            vni: vni(self.vni.as_ref())?,
            gateway: self.gateway_ip.as_deref().map(|text| host("gateway_ip", text)).transpose()?,
            description: self.description.clone(),
            vpn_description: self.instance_description.clone(),
        };
        let routed = if is_routed { Some(self.routed(attach.gateway, relay, fallback)?) } else { None };
        Ok(Attach { routed, ..attach })
    }

    fn routed(
        &self,
        gateway: Option<IpAddr>,
        relay: Option<Relay>,
        fallback: Option<LastResort>,
    ) -> Result<Routed, FieldError> {
        let text = self.ip_address.as_deref().ok_or(FieldError::Missing {
            field: "ip_address",
            expected: "the address of the host, or with advertise_subnet a subnet",
        })?;
        let advertise_subnet = self.advertise_subnet == Some(true);
        let given = prefix_address(text, advertise_subnet)?;
        let subnet = given.prefix();
        if let Some(gateway) = gateway
            && given.is_on_subnet()
            && gateway.is_ipv4() == given.address.is_ipv4()
            && !subnet.contains(gateway)
        {
            let reason = format!("it is outside the subnet {subnet} of ip_address; give the gateway there");
            return Err(invalid("gateway_ip", &gateway.to_string(), reason));
        }
        let order = bounded("lb_consistent_hash_order", self.lb_consistent_hash_order.as_ref())?;
        Ok(Routed {
            address: if advertise_subnet { given } else { InterfaceAddress::host(given.address) },
            endpoint: Endpoint {
                advertise_subnet,
                gateway,
                local_pref: bounded("local_pref", self.local_pref.as_ref())?.unwrap_or(100),
                direction: direction(self.direction.as_deref())?,
                order: order.filter(|order| *order != 0),
            },
            proxy: self.proxy_arp,
            relay,
            fallback,
        })
    }
}

impl DetachRequest {
    /// What the request says, if all of it is valid.
    ///
    /// # Errors
    /// The first field that is missing or wrong.
    pub fn validate(&self) -> Result<Detach, FieldError> {
        let routed = is_ipvpn(self.vpn_type.as_deref())?;
        let ip = self.ip_address.as_deref();
        Ok(Detach {
            vpn: vpn_name(self.vpn_instance_id.as_deref())?,
            mac: mac_address("mac_address", self.mac_address.as_deref())?,
            ip: if routed {
                ip.map(|text| prefix_address(text, true)).transpose()?
            } else {
                ip.map(ip_address).transpose()?.map(InterfaceAddress::host)
            },
            routed,
        })
    }
}

/// Fields that change what an IP-VPN attach means, and that E-VPN cannot honour.
fn check_evpn_only(request: &AttachRequest) -> Result<(), FieldError> {
    if let Some(direction) = request.direction.as_deref().filter(|direction| *direction != "both") {
        return Err(invalid("direction", direction, "an E-VPN port is 'both'; leave it out"));
    }
    if request.advertise_subnet == Some(true) {
        return Err(invalid("advertise_subnet", "true", "E-VPN advertises no subnets; leave it out"));
    }
    Ok(())
}
