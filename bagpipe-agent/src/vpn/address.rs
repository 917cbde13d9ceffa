//! The address of a host together with the length of its subnet.

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

use bagpipe_bgp::types::IpPrefix;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// An address and the length of its subnet, as in `192.0.2.5/24`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct InterfaceAddress {
    /// The address.
    pub address: IpAddr,
    length: u8,
}

impl InterfaceAddress {
    /// An address and a length, if the address has so many bits.
    #[must_use]
    pub fn new(address: IpAddr, length: u8) -> Option<Self> {
        IpPrefix::new(address, length).map(|_| Self { address, length })
    }

    /// An address alone.
    #[must_use]
    pub const fn host(address: IpAddr) -> Self {
        Self { address, length: IpPrefix::host(address).length() }
    }

    /// The same address on the largest subnet.
    pub(crate) const fn shortest(self) -> Self {
        Self { address: self.address, length: 0 }
    }

    /// The subnet.
    #[must_use]
    pub fn prefix(&self) -> IpPrefix {
        IpPrefix::new(self.address, self.length).unwrap_or_else(|| IpPrefix::host(self.address))
    }

    /// Whether the subnet holds nothing but the address.
    #[must_use]
    pub fn is_host(&self) -> bool {
        self.prefix().is_host()
    }

    /// Whether the address is one of a subnet, neither alone nor that of the network itself.
    #[must_use]
    pub fn is_on_subnet(&self) -> bool {
        !self.is_host() && self.prefix().address() != self.address
    }

    /// The host, if the address is that of one and not of a network.
    #[must_use]
    pub fn host_address(&self) -> Option<IpAddr> {
        (self.is_host() || self.is_on_subnet()).then_some(self.address)
    }
}

impl fmt::Display for InterfaceAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.is_host() { self.address.fmt(f) } else { write!(f, "{}/{}", self.address, self.length) }
    }
}

impl FromStr for InterfaceAddress {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let parse = || match text.split_once('/') {
            Some((address, length)) => Self::new(address.parse().ok()?, length.parse().ok()?),
            None => text.parse().ok().map(Self::host),
        };
        parse().ok_or("not an address with a prefix length")
    }
}

impl Serialize for InterfaceAddress {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for InterfaceAddress {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_are_told_from_networks() {
        for (text, host, on_subnet) in [
            ("192.0.2.5/24", true, true),
            ("192.0.2.5", true, false),
            ("192.0.2.0/24", false, false),
            ("0.0.0.0/0", false, false),
            ("2001:db8::1/64", true, true),
            ("2001:db8::/64", false, false),
        ] {
            let address: InterfaceAddress = text.parse().unwrap();
            assert_eq!(
                (address.host_address().is_some(), address.is_on_subnet()),
                (host, on_subnet),
                "{text}"
            );
            assert_eq!(address.to_string(), text);
        }
        assert!("192.0.2.1/33".parse::<InterfaceAddress>().is_err());
    }
}
