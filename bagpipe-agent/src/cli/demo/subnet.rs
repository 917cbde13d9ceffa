//! Subnets with a gateway, which is the node that a host is behind.

use crate::lab::{Host, Lab, LabError};

use super::network::port;

/// The subnets of a number: 10.1.n.0/24 and fd01:n::/64. The gateway has the first address of each.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Subnet(pub(super) u8);

impl Subnet {
    /// Address and prefix length of the gateways.
    pub(super) fn gateways(self) -> [(String, u8); 2] {
        [(self.ipv4(1), 24), (self.ipv6(1), 64)]
    }

    /// The host behind the node of a number.
    pub(super) fn host(self, lab: &Lab, number: u8) -> Result<Host, LabError> {
        // The first address is the gateway's.
        let place = number + 1;
        Ok(Host {
            node: lab.node(&format!("host{number}"))?,
            mac: format!("02:00:00:00:{:02x}:{place:02x}", self.0),
            ipv4: self.ipv4(place),
            ipv6: self.ipv6(place),
        })
    }

    /// Sends what a host has for other subnets to the gateways.
    pub(super) fn use_gateways(self, host: &Host) -> Result<(), LabError> {
        let [(ipv4, _), (ipv6, _)] = self.gateways();
        host.node.ip(&["route", "add", "default", "via", &ipv4])?;
        host.node.ip(&["-6", "route", "add", "default", "via", &ipv6]).map(drop)
    }

    fn ipv4(self, place: u8) -> String {
        format!("10.1.{}.{place}", self.0)
    }

    fn ipv6(self, place: u8) -> String {
        format!("fd01:{:x}::{place:x}", self.0)
    }
}

/// The first words of `bagpipe attach`: to what.
pub(super) fn attach_words(kind: &str, vpn: &str, target: &str) -> Vec<String> {
    ["attach", "--vpn", vpn, "--type", kind, "--rt", target].map(str::to_owned).to_vec()
}

/// The words that follow for a host.
pub(super) fn port_words(host: &Host) -> Vec<String> {
    ["--port", &port(host), "--mac", &host.mac].map(str::to_owned).to_vec()
}
