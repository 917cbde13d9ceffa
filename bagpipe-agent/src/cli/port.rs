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
    /// Interface of this node
    #[arg(long, value_name = "INTERFACE")]
    port: String,
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
    /// One request per IP address.
    pub(super) fn requests(&self) -> Vec<Value> {
        let both = |own: &[String]| [self.rt.as_slice(), own].concat();
        let mut requests = self.port.requests();
        for request in requests.iter_mut().filter_map(Value::as_object_mut) {
            request.insert("import_rt".into(), both(&self.import_rt).into());
            request.insert("export_rt".into(), both(&self.export_rt).into());
            for (key, value) in [
                ("vni", self.vni.map(Value::from)),
                ("gateway_ip", self.gateway_ip.clone().map(Value::from)),
                ("description", self.description.clone().map(Value::from)),
            ] {
                if let Some(value) = value {
                    request.insert(key.into(), value);
                }
            }
        }
        requests
    }
}

impl PortArgs {
    fn requests(&self) -> Vec<Value> {
        let vpn_type = match self.vpn_type {
            VpnType::Evpn => "evpn",
            VpnType::Ipvpn => "ipvpn",
        };
        let request = json!({
            "vpn_type": vpn_type,
            "vpn_instance_id": self.vpn,
            "mac_address": self.mac,
            "local_port": { "linuxif": self.port },
        });
        if self.ip.is_empty() {
            return vec![request];
        }
        let with_address = |address: &String| {
            let mut request = request.clone();
            if let Some(object) = request.as_object_mut() {
                object.insert("ip_address".into(), address.clone().into());
            }
            request
        };
        self.ip.iter().map(with_address).collect()
    }
}

pub(super) fn attach(args: &AttachArgs, client: &Client) -> Result<(), Failure> {
    post_all(client, "/attach_localport", &args.requests())?;
    print(&format!("attached {} to {}\n", args.port.port, args.port.vpn))
}

pub(super) fn detach(args: &DetachArgs, client: &Client) -> Result<(), Failure> {
    post_all(client, "/detach_localport", &args.port.requests())?;
    print(&format!("detached {} from {}\n", args.port.port, args.port.vpn))
}

/// Posts one after the other; a refusal says what had been done before it.
fn post_all(client: &Client, path: &str, requests: &[Value]) -> Result<(), Failure> {
    for (position, request) in requests.iter().enumerate() {
        if let Err(error) = client.post(path, request) {
            let failure = Failure::from(error);
            return Err(match failure {
                Failure::Failed(text) if position > 0 => {
                    let address = request.get("ip_address").and_then(Value::as_str).unwrap_or_default();
                    Failure::Failed(format!("{text} (the addresses before {address} are done)"))
                }
                failure => failure,
            });
        }
    }
    Ok(())
}
