//! `bagpipe attach` and `bagpipe detach`.

use clap::{Args, ValueEnum};
use serde_json::{Value, json};

use super::client::Client;
use super::{Failure, print};

#[derive(Debug, Args)]
pub(super) struct AttachArgs {
    #[command(flatten)]
    port: PortArgs,
    /// Route target to import and to export, such as 64512:100; may be repeated
    #[arg(long, value_name = "RT", value_delimiter = ',', required_unless_present_any = ["import_rt", "export_rt"])]
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
    /// Name of the VPN instance
    #[arg(long, value_name = "NAME")]
    vpn: String,
    /// Type of the VPN instance
    #[arg(long = "type", value_enum, default_value_t = VpnType::Evpn, value_name = "TYPE")]
    vpn_type: VpnType,
    /// Interface of this node; NAME:VLAN for a VLAN on it
    #[arg(long, value_name = "INTERFACE", required_unless_present = "evpn")]
    port: Option<String>,
    /// E-VPN instance in place of an interface: its hosts are routed by the IP-VPN
    #[arg(long, value_name = "NAME", conflicts_with = "port")]
    evpn: Option<String>,
    /// MAC address behind the interface
    #[arg(long, value_name = "MAC")]
    mac: String,
    /// IP address of that MAC address; may be repeated [default: any]
    #[arg(long, value_name = "ADDRESS[/LENGTH]", value_delimiter = ',')]
    ip: Vec<String>,
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
                ("vni", self.vni.map(Value::from)),
                ("gateway_ip", self.gateway_ip.clone().map(Value::from)),
                ("advertise_subnet", self.advertise_subnet.then(|| Value::from(true))),
                ("local_pref", self.local_pref.map(Value::from)),
                ("direction", self.direction.clone().map(Value::from)),
                ("lb_consistent_hash_order", self.lb_order.map(Value::from)),
                ("readvertise", readvertise),
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
}

impl PortArgs {
    /// What is attached, for people.
    fn name(&self) -> &str {
        self.port.as_deref().or(self.evpn.as_deref()).unwrap_or_default()
    }

    /// What attach and detach have in common: one request for all IP addresses, all of them or none.
    fn request(&self) -> Value {
        let vpn_type = match self.vpn_type {
            VpnType::Evpn => "evpn",
            VpnType::Ipvpn => "ipvpn",
        };
        json!({
            "vpn_type": vpn_type,
            "vpn_instance_id": self.vpn,
            "mac_address": self.mac,
            "ip_addresses": self.ip,
            "local_port": match &self.evpn {
                Some(evpn) => json!({ "evpn": { "id": evpn } }),
                None => json!({ "linuxif": self.port }),
            },
        })
    }
}

pub(super) fn attach(args: &AttachArgs, client: &Client) -> Result<(), Failure> {
    client.post("/attach_localport", &args.request())?;
    print(&format!("attached {} to {}\n", args.port.name(), args.port.vpn))
}

pub(super) fn detach(args: &DetachArgs, client: &Client) -> Result<(), Failure> {
    client.post("/detach_localport", &args.port.request())?;
    print(&format!("detached {} from {}\n", args.port.name(), args.port.vpn))
}
