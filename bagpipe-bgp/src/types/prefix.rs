//! IP prefixes.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::str::FromStr;

use super::ParseError;

/// An IPv4 or IPv6 prefix. The bits of the address beyond the length are zero, so that a prefix has one form only.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct IpPrefix {
    address: IpAddr,
    length: u8,
}

/// The two versions of IP.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum IpVersion {
    /// IPv4.
    V4,
    /// IPv6.
    V6,
}

impl IpPrefix {
    /// The prefix of this length that holds an address; `None` if the length exceeds that of the address.
    #[must_use]
    pub fn new(address: IpAddr, length: u8) -> Option<Self> {
        match address {
            IpAddr::V4(address) => Self::v4(address.to_bits(), length),
            IpAddr::V6(address) => Self::v6(address.to_bits(), length),
        }
    }

    /// The prefix that holds nothing but this address.
    #[must_use]
    pub const fn host(address: IpAddr) -> Self {
        Self { address, length: bits(address) }
    }

    #[inline]
    pub(crate) fn v4(address: u32, length: u8) -> Option<Self> {
        let mask = u32::MAX.checked_shl(32_u32.checked_sub(length.into())?).unwrap_or(0);
        Some(Self { address: IpAddr::V4(Ipv4Addr::from_bits(address & mask)), length })
    }

    #[inline]
    pub(crate) fn v6(address: u128, length: u8) -> Option<Self> {
        let mask = u128::MAX.checked_shl(128_u32.checked_sub(length.into())?).unwrap_or(0);
        Some(Self { address: IpAddr::V6(Ipv6Addr::from_bits(address & mask)), length })
    }

    /// Of which IP version it is.
    #[must_use]
    pub const fn version(&self) -> IpVersion {
        match self.address {
            IpAddr::V4(_) => IpVersion::V4,
            IpAddr::V6(_) => IpVersion::V6,
        }
    }

    /// The network address.
    #[must_use]
    pub const fn address(&self) -> IpAddr {
        self.address
    }

    /// The length in bits.
    #[must_use]
    pub const fn length(&self) -> u8 {
        self.length
    }

    /// Whether it holds one address only.
    #[must_use]
    pub const fn is_host(&self) -> bool {
        self.length == bits(self.address)
    }

    /// Whether an address is in the prefix. An address of the other IP version never is.
    #[must_use]
    pub fn contains(&self, address: IpAddr) -> bool {
        Self::new(address, self.length) == Some(*self)
    }
}

/// How many bits an address has.
const fn bits(address: IpAddr) -> u8 {
    match address {
        IpAddr::V4(_) => 32,
        IpAddr::V6(_) => 128,
    }
}

impl fmt::Display for IpPrefix {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.address, self.length)
    }
}

impl fmt::Debug for IpPrefix {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for IpPrefix {
    type Err = ParseError;

    /// An address and a length; without a length, the host prefix.
    fn from_str(text: &str) -> Result<Self, ParseError> {
        let parse = || match text.split_once('/') {
            Some((address, length)) => Self::new(address.parse().ok()?, length.parse().ok()?),
            None => Some(Self::host(text.parse().ok()?)),
        };
        parse().ok_or_else(|| ParseError::new("IP prefix", text, "ADDRESS/LENGTH such as 192.0.2.0/24"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prefixes_have_one_form_only() {
        for (text, printed) in [
            ("10.1.2.3/8", "10.0.0.0/8"),
            ("10.1.2.3/31", "10.1.2.2/31"),
            ("10.1.2.3", "10.1.2.3/32"),
            ("255.255.255.255/0", "0.0.0.0/0"),
            ("2001:db8:ffff::1/33", "2001:db8:8000::/33"),
            ("2001:db8::1", "2001:db8::1/128"),
            ("ffff::/0", "::/0"),
        ] {
            let prefix: IpPrefix = text.parse().unwrap();
            assert_eq!(prefix.to_string(), printed);
            assert_eq!(prefix.is_host(), !text.contains('/'));
        }
    }

    #[test]
    fn malformed_prefixes_are_refused() {
        for text in
            ["", "/", "10.0.0.0/", "10.0.0.0/33", "10.0.0/8", "10.0.0.0/-1", "::/129", "::/1/2", "a/8"]
        {
            assert!(text.parse::<IpPrefix>().is_err(), "{text}");
        }
    }

    #[test]
    fn a_prefix_contains_what_begins_with_it() {
        let contains = |prefix: &str, address: &str| {
            prefix.parse::<IpPrefix>().unwrap().contains(address.parse().unwrap())
        };
        assert!(contains("10.0.0.0/8", "10.255.0.1"));
        assert!(!contains("10.0.0.0/8", "11.0.0.0"));
        assert!(contains("0.0.0.0/0", "192.0.2.1"));
        assert!(!contains("0.0.0.0/0", "::1"));
        assert!(!contains("::/0", "192.0.2.1"));
        assert!(contains("2001:db8::/32", "2001:db8:ffff::"));
        assert!(!contains("2001:db8::/32", "2001:db9::"));
        assert!(contains("192.0.2.1", "192.0.2.1"));
    }
}
