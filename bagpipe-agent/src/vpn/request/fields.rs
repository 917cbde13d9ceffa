//! What each field of a request may be.

use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr};

use bagpipe_bgp::types::{MacAddr, ParseError, RouteTarget, Vni};

use super::super::address::InterfaceAddress;
use super::super::error::FieldError;
use super::valid::{AttachPort, Direction};
use super::{LocalPort, Number, TextList};

/// Route targets of one direction, at most: far more than anyone uses, and sure to fit in a message.
const MAX_ROUTE_TARGETS: usize = 128;
/// Octets of a VPN instance name, at most.
const MAX_NAME: usize = 255;
/// Octets of an interface name, at most (IFNAMSIZ without the final zero).
const MAX_INTERFACE: usize = 15;
/// The last identifier of a VLAN (IEEE 802.1Q §9.6).
const MAX_VLAN: u16 = 4094;

pub(super) fn is_ipvpn(vpn_type: Option<&str>) -> Result<bool, FieldError> {
    match vpn_type {
        Some("evpn") => Ok(false),
        Some("ipvpn") => Ok(true),
        Some(other) => Err(invalid("vpn_type", other, "unknown vpn_type; use 'evpn' or 'ipvpn'")),
        None => Err(FieldError::Missing { field: "vpn_type", expected: "'evpn' or 'ipvpn'" }),
    }
}

pub(super) fn direction(text: Option<&str>) -> Result<Direction, FieldError> {
    match text {
        None | Some("both") => Ok(Direction::Both),
        Some("to-port") => Ok(Direction::ToPort),
        Some("from-port") => Ok(Direction::FromPort),
        Some(other) => Err(invalid("direction", other, "use 'both', 'to-port' or 'from-port'")),
    }
}

pub(super) fn vpn_name(name: Option<&str>) -> Result<String, FieldError> {
    let name = name
        .ok_or(FieldError::Missing { field: "vpn_instance_id", expected: "the name of the VPN instance" })?;
    if name.is_empty() || name.len() > MAX_NAME || name.chars().any(char::is_control) {
        let reason = format!("give a name of 1 to {MAX_NAME} octets without control characters");
        return Err(invalid("vpn_instance_id", name, reason));
    }
    Ok(name.to_owned())
}

pub(super) fn mac_address(field: &'static str, text: Option<&str>) -> Result<MacAddr, FieldError> {
    let text =
        text.ok_or(FieldError::Missing { field, expected: "a MAC address such as 02:00:00:00:00:01" })?;
    let mac: MacAddr = text
        .parse()
        .or_else(|error| undivided_mac(text).ok_or(error))
        .map_err(|error: ParseError| invalid(field, text, error.to_string()))?;
    if mac.is_multicast() || mac.is_zero() {
        return Err(invalid(field, text, "no interface has a group or all-zero address"));
    }
    Ok(mac)
}

/// Twelve digits, perhaps in groups of four: `0200.5e00.5301`.
fn undivided_mac(text: &str) -> Option<MacAddr> {
    let digits: String = text.chars().filter(|character| !matches!(character, '.' | '-')).collect();
    let number = u64::from_str_radix(&digits, 16).ok().filter(|_| digits.len() == 12 && digits.is_ascii())?;
    let [_, _, octets @ ..] = number.to_be_bytes();
    Some(MacAddr(octets))
}

pub(super) fn port(port: Option<&LocalPort>, is_routed: bool) -> Result<AttachPort, FieldError> {
    const PORT: &str = "local_port";
    const MISSING: FieldError = FieldError::Missing {
        field: PORT,
        expected: "an interface name, or an object with 'linuxif' or 'evpn'",
    };
    match port {
        Some(LocalPort::Object { linuxif: Some(interface), evpn: Some(_), .. }) => {
            Err(invalid(PORT, interface, "it is an interface or an E-VPN, not both; leave one out"))
        }
        Some(LocalPort::Object { linuxif: None, evpn: Some(evpn), .. }) if is_routed => {
            vpn_name(Some(&evpn.id)).map(AttachPort::Evpn)
        }
        Some(LocalPort::Object { linuxif: None, evpn: Some(evpn), .. }) => {
            Err(invalid(PORT, &evpn.id, "an E-VPN is plugged into an IP-VPN only; give an interface"))
        }
        Some(LocalPort::Name(name)) => interface(PORT, name, &[]).map(AttachPort::Interface),
        Some(LocalPort::Object { linuxif: Some(name), vlan, ovs, .. }) => {
            let vlans = vlan.iter().chain(ovs.iter().filter_map(|ovs| ovs.vlan.as_ref()));
            interface(PORT, name, &vlans.map(Number::text).collect::<Vec<_>>()).map(AttachPort::Interface)
        }
        Some(LocalPort::Object { linuxif: None, evpn: None, ovs: Some(ovs), .. })
            if ovs.port_number.is_some() || ovs.port_name.is_some() =>
        {
            let number = ovs.port_number.as_ref().map(Number::text);
            let name = ovs.port_name.clone().or(number).unwrap_or_default();
            let reason = "name the interface that stands for it in [ports] trunks, or give 'linuxif'";
            Err(invalid("local_port.ovs", &name, reason))
        }
        Some(LocalPort::Object { linuxif: None, evpn: None, .. }) | None => Err(MISSING),
    }
}

/// The interface, with its VLAN if it is one: however often that is given, it is the same. Zero is none.
pub(super) fn interface(field: &'static str, given: &str, vlans: &[String]) -> Result<String, FieldError> {
    let (name, own) = given.split_once(':').map_or((given, None), |(name, vlan)| (name, Some(vlan)));
    let mut vlan = 0;
    for text in own.into_iter().chain(vlans.iter().map(String::as_str)) {
        match text.parse() {
            Ok(0) => {}
            Ok(number @ 1..=MAX_VLAN) if vlan == 0 || vlan == number => vlan = number,
            _ => {
                let reason =
                    format!("its VLAN is one number from 1 to {MAX_VLAN}, or 0 for none; not {text}");
                return Err(invalid(field, given, reason));
            }
        }
    }
    let valid = !name.is_empty()
        && name.len() <= MAX_INTERFACE
        && !matches!(name, "." | "..")
        && !name.chars().any(|c| matches!(c, '/' | ':') || c.is_whitespace() || c.is_control());
    if !valid {
        let reason =
            format!("an interface name has 1 to {MAX_INTERFACE} octets, without '/', ':' and blanks");
        return Err(invalid(field, name, reason));
    }
    Ok(if vlan == 0 { name.to_owned() } else { format!("{name}:{vlan}") })
}

/// An address, perhaps with a prefix length, which says nothing on a bridged network.
pub(super) fn ip_address(text: &str) -> Result<IpAddr, FieldError> {
    prefix_address(text, false).map(|given| given.address)
}

/// An address, perhaps with a prefix length. `subnet`: the address may be that of a network.
pub(super) fn prefix_address(text: &str, subnet: bool) -> Result<InterfaceAddress, FieldError> {
    let (address, length) = match text.split_once('/') {
        Some((address, length)) => (address, Some(length)),
        None => (text, None),
    };
    let given = |address: IpAddr, length: &str| {
        let longest = if address.is_ipv4() { 32 } else { 128 };
        let parsed = length.parse().ok().or_else(|| mask_length(length).filter(|_| address.is_ipv4()));
        parsed.and_then(|length| InterfaceAddress::new(address, length)).ok_or_else(|| {
            invalid("ip_address", text, format!("the prefix length is a number from 0 to {longest}"))
        })
    };
    if subnet
        && let (Ok(address), Some(length)) = (address.parse::<IpAddr>(), length)
        && address == address.to_canonical()
        && !address.is_multicast()
        && let network = given(address, length)?
        && !network.is_host()
        && network.prefix().address() == address
    {
        return Ok(network);
    }
    let address = host("ip_address", address)?;
    length.map_or_else(|| Ok(InterfaceAddress::host(address)), |length| given(address, length))
}

/// The length that a mask such as 255.255.255.0 means.
fn mask_length(mask: &str) -> Option<u8> {
    let bits = mask.parse::<Ipv4Addr>().ok()?.to_bits();
    u8::try_from(bits.leading_ones()).ok().filter(|_| bits.leading_ones() == bits.count_ones())
}

/// An address that one host can have.
pub(super) fn host(field: &'static str, text: &str) -> Result<IpAddr, FieldError> {
    let address: IpAddr = text
        .parse()
        .map_err(|_| invalid(field, text, "give an IPv4 or IPv6 address such as 192.0.2.1 or 2001:db8::1"))?;
    let reason = match address {
        _ if address.is_unspecified() || address.is_loopback() => "no port has this address",
        _ if address.is_multicast() || address == IpAddr::V4(Ipv4Addr::BROADCAST) => {
            "a group address belongs to no port"
        }
        IpAddr::V6(v6) if v6.to_ipv4_mapped().is_some() => "write an IPv4 address in its own form",
        _ => return Ok(address),
    };
    Err(invalid(field, text, reason))
}

pub(super) fn route_targets(
    field: &'static str,
    list: Option<&TextList>,
) -> Result<BTreeSet<RouteTarget>, FieldError> {
    const EXPECTED: &str = "a list of route targets such as 64512:100, which may be empty";
    let list = list.ok_or(FieldError::Missing { field, expected: EXPECTED })?;
    let targets: BTreeSet<RouteTarget> = list
        .texts()
        .into_iter()
        .map(|text| text.parse().map_err(|error: ParseError| invalid(field, text, error.to_string())))
        .collect::<Result<_, _>>()?;
    if targets.len() > MAX_ROUTE_TARGETS {
        let reason = format!("give at most {MAX_ROUTE_TARGETS} route targets");
        return Err(invalid(field, &targets.len().to_string(), reason));
    }
    Ok(targets)
}

pub(super) fn vni(number: Option<&Number>) -> Result<Option<Vni>, FieldError> {
    let number = match number {
        None => return Ok(None),
        Some(Number::Number(number)) => *number,
        Some(Number::Text(text)) => {
            text.trim().parse().map_err(|_| invalid("vni", text, "give a number from 1 to 16777215"))?
        }
    };
    if number == 0 {
        return Ok(None);
    }
    u32::try_from(number).ok().and_then(Vni::new).map(Some).ok_or_else(|| {
        invalid("vni", &number.to_string(), "give a number from 1 to 16777215, or 0 to have one chosen")
    })
}

/// A number of 32 bits, if there is one.
pub(super) fn bounded(field: &'static str, number: Option<&Number>) -> Result<Option<u32>, FieldError> {
    let Some(text) = number.map(Number::text) else { return Ok(None) };
    text.parse().map(Some).map_err(|_| invalid(field, &text, "give a number from 0 to 4294967295"))
}

pub(super) fn invalid(field: &'static str, value: &str, reason: impl Into<String>) -> FieldError {
    FieldError::Invalid { field, value: value.to_owned(), reason: reason.into() }
}
