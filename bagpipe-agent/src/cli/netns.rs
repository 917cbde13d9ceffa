//! `bagpipe attach --port netns[:INTERFACE]`: a network namespace with a host's interface in it, to try an attachment with.
//!
//! It is made as bagpipe-rest-attach makes it; what is there already stays as it is. `ip` does it: names of namespaces
//! are its own convention.

use std::net::IpAddr;
use std::process::Command;

use super::Failure;
use crate::config::is_interface_name;

/// Room for the outer headers on an underlay of 1500 octets.
const MTU: &str = "1420";

/// What is made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Namespace {
    /// Its name.
    pub(super) name: String,
    /// The interface of this node, which is attached.
    pub(super) port: String,
    /// The interface in it.
    pub(super) inside: String,
}

impl Namespace {
    /// What `--port` asks for; `None` if that is an interface.
    pub(super) fn asked(port: &str, name: &str, inside: &str) -> Result<Option<Self>, Failure> {
        let port = match (port, port.strip_prefix("netns:")) {
            ("netns", _) => format!("ns-{name}").chars().take(15).collect(),
            (_, Some(port)) => port.to_owned(),
            _ => return Ok(None),
        };
        let invalid = |what: &str, text: &str| Failure::Invalid(format!("'{text}' cannot name {what}"));
        if name.is_empty() || name.contains('/') || name.starts_with(['.', '-']) || name.len() > 200 {
            return Err(invalid("a network namespace; give another with --netns", name));
        }
        if let Some(wrong) = [port.as_str(), inside].into_iter().find(|text| !is_interface_name(text)) {
            return Err(invalid("an interface; use --port netns:INTERFACE or --if2vpn", wrong));
        }
        Ok(Some(Self { name: name.to_owned(), port, inside: inside.to_owned() }))
    }

    /// Makes what is missing.
    pub(super) fn make(
        &self,
        mac: Option<&str>,
        address: &str,
        gateway: Option<&str>,
    ) -> Result<(), Failure> {
        let Self { name, port, inside } = self;
        let lines: [&[&str]; 3] = [
            &["netns", "add", name],
            &["link", "add", port, "type", "veth", "peer", "name", inside, "netns", name],
            &["link", "set", "dev", port, "mtu", "9000", "up"],
        ];
        let [namespace, link, outside] = lines;
        if !ip(&["netns", "pids", name]).is_ok_and(|_| std::path::Path::new("/run/netns").join(name).exists())
        {
            ip(namespace)?;
        }
        self.inside(&["link", "set", "dev", "lo", "up"])?;
        if self.inside(&["link", "show", "dev", inside]).is_err() {
            ip(link)?;
        }
        ip(outside)?;
        if let Some(mac) = mac {
            self.inside(&["link", "set", "dev", inside, "address", mac])?;
        }
        self.inside(&["link", "set", "dev", inside, "mtu", MTU, "up"])?;
        self.inside(&["address", "replace", address, "dev", inside, "nodad"])?;
        if let Some(gateway) = gateway {
            self.inside(&["route", "replace", "default", "via", gateway, "dev", inside])?;
        }
        Ok(())
    }

    /// The MAC address of the interface in it.
    pub(super) fn mac(&self) -> Result<String, Failure> {
        let shown = self.inside(&["-oneline", "link", "show", "dev", &self.inside])?;
        let mut words = shown.split_whitespace().skip_while(|word| *word != "link/ether");
        words.nth(1).map(str::to_owned).ok_or_else(|| {
            Failure::Failed(format!("{} in network namespace {} has no MAC address", self.inside, self.name))
        })
    }

    fn inside(&self, words: &[&str]) -> Result<String, Failure> {
        ip(&[&["-netns", self.name.as_str()], words].concat())
    }
}

/// An address with the length of its subnet, and the gateway if none is given: the last host of the subnet.
pub(super) fn addresses(ip: &str, gateway: Option<&str>) -> Result<(String, Option<String>), Failure> {
    let invalid = || Failure::Invalid(format!("'{ip}' is not an address; use ADDRESS or ADDRESS/LENGTH"));
    let (address, length) =
        ip.split_once('/').map_or((ip, None), |(address, length)| (address, Some(length)));
    let address: IpAddr = address.parse().map_err(|_| invalid())?;
    let (bits, usual): (u32, u32) = if address.is_ipv4() { (32, 24) } else { (128, 64) };
    let length: u32 = length.map_or(Ok(usual), str::parse).map_err(|_| invalid())?;
    let hosts = bits.checked_sub(length).ok_or_else(invalid)?;
    let last = match address {
        IpAddr::V4(address) if hosts > 1 => Some(IpAddr::from(
            (address.to_bits() | u32::MAX.checked_shr(length).unwrap_or(0)).wrapping_sub(1).to_be_bytes(),
        )),
        _ => None,
    };
    let gateway = gateway.map(str::to_owned).or(last.map(|last| last.to_string()));
    Ok((format!("{address}/{length}"), gateway.filter(|gateway| *gateway != address.to_string())))
}

fn ip(words: &[&str]) -> Result<String, Failure> {
    let line = || format!("ip {}", words.join(" "));
    let output = Command::new("ip")
        .args(words)
        .output()
        .map_err(|error| Failure::Failed(format!("cannot run `{}`: {error}; install iproute2", line())))?;
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
    }
    let cause = String::from_utf8_lossy(&output.stderr);
    Err(Failure::Failed(format!("`{}` failed: {}; are you root?", line(), cause.trim())))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_netns_asks_for_a_namespace() {
        let asked = |port: &str| Namespace::asked(port, "a-long-instance-name", "tovpn");
        assert!(asked("tap0").is_ok_and(|asked| asked.is_none()));
        assert_eq!(asked("netns").unwrap().unwrap().port, "ns-a-long-insta");
        assert_eq!(asked("netns:veth7").unwrap().unwrap().port, "veth7");
        assert!(asked("netns:").is_err() && asked("netns:much-too-long-a-name").is_err());
        assert!(Namespace::asked("netns", "a/b", "tovpn").is_err());
    }

    #[test]
    fn subnets_and_gateways_are_those_of_bagpipe_rest_attach() {
        let both = |ip, gateway| addresses(ip, gateway).unwrap();
        let pair = |address: &str, gateway: Option<&str>| (address.to_owned(), gateway.map(str::to_owned));
        assert_eq!(both("10.0.0.1", None), pair("10.0.0.1/24", Some("10.0.0.254")));
        assert_eq!(both("10.0.5.1/16", None), pair("10.0.5.1/16", Some("10.0.255.254")));
        assert_eq!(both("10.0.0.254", None), pair("10.0.0.254/24", None));
        assert_eq!(both("10.0.0.1/32", None), pair("10.0.0.1/32", None));
        assert_eq!(both("10.0.0.1", Some("10.0.0.7")), pair("10.0.0.1/24", Some("10.0.0.7")));
        assert_eq!(both("fd00::1", None), pair("fd00::1/64", None));
        assert!(addresses("10.0.0.1/33", None).is_err() && addresses("host", None).is_err());
    }
}
