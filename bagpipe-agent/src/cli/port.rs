//! `bagpipe attach` and `bagpipe detach`.

use clap::{Args, ValueEnum};
use serde_json::{Value, json};

use super::attract::AttractArgs;
use super::client::Client;
use super::fallback::FallbackArgs;
use super::netns::{self, Namespace};
use super::{Failure, print};

#[derive(Debug, Args)]
pub(super) struct AttachArgs {
    #[command(flatten)]
    port: PortArgs,
    /// Route target to import and to export, such as 64512:100; may be repeated
    #[arg(long, value_name = "RT", value_delimiter = ',', required_unless_present_any = ["import_rt", "export_rt", "network"])]
    rt: Vec<String>,
    /// Route target to import only
    #[arg(long, value_name = "RT", value_delimiter = ',')]
    import_rt: Vec<String>,
    /// Route target to export only
    #[arg(long, value_name = "RT", value_delimiter = ',')]
    export_rt: Vec<String>,
    /// VNI of the instance [default: one that is free on this node]
    #[arg(long, value_name = "N")]
    vni: Option<u32>,
    /// Address of the network's gateway
    #[arg(long, value_name = "ADDRESS")]
    gateway_ip: Option<String>,
    /// IP-VPN: announce the subnet of the IP address, not the address alone
    #[arg(long)]
    advertise_subnet: bool,
    /// IP-VPN: LOCAL_PREF of the route [default: 100]
    #[arg(long, value_name = "N")]
    local_pref: Option<u32>,
    /// IP-VPN: both, to-port or from-port [default: both]
    #[arg(long, value_name = "DIRECTION", value_parser = ["both", "to-port", "from-port"])]
    direction: Option<String>,
    /// IP-VPN: place of the route among equal ones
    #[arg(long, value_name = "N")]
    lb_order: Option<u32>,
    /// IP-VPN: announce routes with this route target again, as a hop of a service chain; may be repeated
    #[arg(long, value_name = "RT", value_delimiter = ',', requires = "readv_to_rt")]
    readv_from_rt: Vec<String>,
    /// IP-VPN: route target to announce them with
    #[arg(long, value_name = "RT", value_delimiter = ',', requires = "readv_from_rt")]
    readv_to_rt: Vec<String>,
    #[command(flatten)]
    attract: AttractArgs,
    #[command(flatten)]
    fallback: FallbackArgs,
    /// IP-VPN: answer ARP and ND for addresses that nobody has, too
    #[arg(long)]
    proxy_arp: bool,
    /// Text to show with the attachment
    #[arg(long, value_name = "TEXT")]
    description: Option<String>,
}

#[derive(Debug, Args)]
pub(super) struct DetachArgs {
    #[command(flatten)]
    port: PortArgs,
}

#[derive(Debug, Args)]
struct PortArgs {
    /// Name of the VPN instance [default: that of the network]
    #[arg(long, value_name = "NAME", required_unless_present = "network")]
    vpn: Option<String>,
    /// Network to attach to, which has its route target; `bagpipe network` makes them
    #[arg(long, value_name = "NAME")]
    network: Option<String>,
    /// Type of the VPN instance
    #[arg(long = "type", value_enum, default_value_t = VpnType::Evpn, value_name = "TYPE")]
    vpn_type: VpnType,
    /// Interface of this node; NAME:VLAN for a VLAN on it; 'netns' or 'netns:INTERFACE' to have a network namespace
    /// made, with a veth to it
    #[arg(long, value_name = "INTERFACE", required_unless_present = "evpn")]
    port: Option<String>,
    /// E-VPN instance in place of an interface: its hosts are routed by the IP-VPN
    #[arg(long, value_name = "NAME", conflicts_with = "port")]
    evpn: Option<String>,
    /// MAC address behind the interface [default, with --port netns: that of the interface there]
    #[arg(long, value_name = "MAC")]
    mac: Option<String>,
    /// IP address of that MAC address; may be repeated [default: any]
    #[arg(long, value_name = "ADDRESS[/LENGTH]", value_delimiter = ',')]
    ip: Vec<String>,
    /// With --port netns: name of the network namespace [default: that of the VPN instance]
    #[arg(long, value_name = "NAME")]
    netns: Option<String>,
    /// With --port netns: name of the interface in the namespace
    #[arg(long, value_name = "INTERFACE", default_value = "tovpn")]
    if2vpn: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum VpnType {
    Evpn,
    Ipvpn,
}

impl AttachArgs {
    pub(super) fn request(&self) -> Value {
        let readvertise = (!self.readv_from_rt.is_empty())
            .then(|| json!({ "from_rt": self.readv_from_rt, "to_rt": self.readv_to_rt }));
        let both = |own: &[String]| [self.rt.as_slice(), own].concat();
        let mut request = self.port.request();
        if let Some(request) = request.as_object_mut() {
            request.insert("import_rt".into(), both(&self.import_rt).into());
            request.insert("export_rt".into(), both(&self.export_rt).into());
            for (key, value) in [
                ("network", self.port.network.clone().map(Value::from)),
                ("vni", self.vni.map(Value::from)),
                ("gateway_ip", self.gateway_ip.clone().map(Value::from)),
                ("advertise_subnet", self.advertise_subnet.then(|| Value::from(true))),
                ("local_pref", self.local_pref.map(Value::from)),
                ("direction", self.direction.clone().map(Value::from)),
                ("lb_consistent_hash_order", self.lb_order.map(Value::from)),
                ("readvertise", readvertise),
                ("attract_traffic", self.attract.request()),
                ("fallback", self.fallback.request()),
                ("proxy_arp", self.proxy_arp.then(|| Value::from(true))),
                ("description", self.description.clone().map(Value::from)),
            ] {
                if let Some(value) = value {
                    request.insert(key.into(), value);
                }
            }
        }
        request
    }

    /// Makes the network namespace that `--port netns` asks for, and attaches what leads to it.
    fn plug_namespace(&mut self) -> Result<(), Failure> {
        let Some(namespace) = self.port.namespace()? else { return Ok(()) };
        let Some(ip) = self.port.ip.first_mut() else {
            return Err(Failure::Invalid(
                "--port netns needs the address to be set there; give --ip".to_owned(),
            ));
        };
        let (address, gateway) = netns::addresses(ip, self.gateway_ip.as_deref())?;
        namespace.make(self.port.mac.as_deref(), &address, gateway.as_deref())?;
        *ip = address;
        if self.port.vpn_type == VpnType::Ipvpn {
            self.gateway_ip = gateway;
        }
        self.port.enter(namespace)
    }
}

impl PortArgs {
    /// What is attached, for people.
    fn name(&self) -> &str {
        self.port.as_deref().or(self.evpn.as_deref()).unwrap_or_default()
    }

    /// The instance.
    fn vpn(&self) -> &str {
        self.vpn.as_deref().or(self.network.as_deref()).unwrap_or_default()
    }

    /// The network namespace that is asked for in place of an interface.
    fn namespace(&self) -> Result<Option<Namespace>, Failure> {
        let name = self.netns.as_deref().unwrap_or(self.vpn());
        let namespace =
            self.port.as_deref().map(|port| Namespace::asked(port, name, &self.if2vpn)).transpose()?;
        match namespace.flatten() {
            None if self.mac.is_none() => Err(Failure::Invalid("--mac is missing".to_owned())),
            namespace => Ok(namespace),
        }
    }

    /// The port is what leads to a network namespace.
    fn enter(&mut self, namespace: Namespace) -> Result<(), Failure> {
        if self.mac.is_none() {
            self.mac = Some(namespace.mac()?);
        }
        self.port = Some(namespace.port);
        Ok(())
    }

    /// What attach and detach have in common: one request for all IP addresses, all of them or none.
    fn request(&self) -> Value {
        let vpn_type = match self.vpn_type {
            VpnType::Evpn => "evpn",
            VpnType::Ipvpn => "ipvpn",
        };
        json!({
            "vpn_type": vpn_type,
            "vpn_instance_id": self.vpn(),
            "mac_address": self.mac,
            "ip_addresses": self.ip,
            "local_port": match &self.evpn {
                Some(evpn) => json!({ "evpn": { "id": evpn } }),
                None => json!({ "linuxif": self.port }),
            },
        })
    }
}

pub(super) fn attach(mut args: AttachArgs, client: &Client) -> Result<(), Failure> {
    args.plug_namespace()?;
    client.post("/attach_localport", &args.request())?;
    print(&format!("attached {} to {}\n", args.port.name(), args.port.vpn()))
}

/// A network namespace stays, for what else is in it.
pub(super) fn detach(mut args: DetachArgs, client: &Client) -> Result<(), Failure> {
    if let Some(namespace) = args.port.namespace()? {
        args.port.enter(namespace)?;
    }
    client.post("/detach_localport", &args.port.request())?;
    print(&format!("detached {} from {}\n", args.port.name(), args.port.vpn()))
}
