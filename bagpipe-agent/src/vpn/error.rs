//! Why a request or a stored state was refused: each error names the field or thing, its value and the remedy.

use std::net::IpAddr;

use bagpipe_bgp::types::{IpPrefix, MacAddr, Vni};

/// What an error means to the one who asked, whatever the interface.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ErrorKind {
    /// The request itself is wrong.
    Invalid,
    /// The request contradicts what is attached, or there is nothing left to attach it with.
    Conflict,
    /// What the request names is not there.
    NotFound,
}

/// A field of a request is missing or wrong.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FieldError {
    /// A mandatory field is not there.
    #[error("missing parameter '{field}': expected {expected}")]
    Missing {
        /// Name of the field.
        field: &'static str,
        /// What to give.
        expected: &'static str,
    },
    /// A field has a value that it cannot have.
    #[error("{field} '{value}' is not valid: {reason}")]
    Invalid {
        /// Name of the field.
        field: &'static str,
        /// Its value.
        value: String,
        /// What is wrong with it, and what to give.
        reason: String,
    },
    /// A field asks for what this agent does not do.
    #[error("{field} is not supported yet; {remedy}")]
    Unsupported {
        /// Name of the field.
        field: &'static str,
        /// What to do.
        remedy: &'static str,
    },
}

/// Why an attach was refused. Nothing has changed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AttachError {
    /// A field is missing or wrong.
    #[error(transparent)]
    Field(#[from] FieldError),
    /// The VNI is that of another instance.
    #[error(
        "vni {vni} is in use by VPN instance '{other}'; give another, or leave it out to have one chosen"
    )]
    VniInUse {
        /// The VNI asked for.
        vni: Vni,
        /// The instance that has it.
        other: String,
    },
    /// The instance has another VNI.
    #[error(
        "vni {asked} contradicts VNI {vni} of VPN instance '{vpn}'; leave it out, or detach all ports of the \
         instance first"
    )]
    VniFixed {
        /// The VNI asked for.
        asked: Vni,
        /// The instance.
        vpn: String,
        /// Its VNI.
        vni: Vni,
    },
    /// The interface is a port of another instance.
    #[error(
        "local_port '{interface}' is attached to VPN instance '{vpn}'; an interface belongs to one instance: \
         detach it there first"
    )]
    InterfaceInUse {
        /// The interface.
        interface: String,
        /// The instance that has it.
        vpn: String,
    },
    /// The MAC address is on another port of the instance.
    #[error(
        "mac_address {mac} is attached to port '{port}' of VPN instance '{vpn}', so not to '{asked}'; detach it \
         there first"
    )]
    MacOnOtherPort {
        /// The MAC address.
        mac: MacAddr,
        /// The instance.
        vpn: String,
        /// The port that has it.
        port: String,
        /// The port asked for.
        asked: String,
    },
    /// The IP address is attached with another MAC address of the instance.
    #[error(
        "ip_address {ip} is attached with mac_address {mac} in VPN instance '{vpn}', so not with {asked}; detach \
         it there first"
    )]
    IpOnOtherMac {
        /// The IP address.
        ip: IpAddr,
        /// The instance.
        vpn: String,
        /// The MAC address that has it.
        mac: MacAddr,
        /// The MAC address asked for.
        asked: MacAddr,
    },
    /// The instance is of the other type.
    #[error("VPN instance '{vpn}' is of vpn_type '{is}', not '{asked}'; use another vpn_instance_id")]
    OtherType {
        /// The instance.
        vpn: String,
        /// Its type.
        is: &'static str,
        /// The type asked for.
        asked: &'static str,
    },
    /// The prefix is attached with another MAC address of the IP-VPN.
    #[error(
        "ip_address {prefix} is attached with mac_address {mac} in VPN instance '{vpn}', so not with {asked} as \
         well, unless both are attached with advertise_subnet; detach it there first, or advertise the subnet"
    )]
    PrefixOnOtherMac {
        /// The prefix.
        prefix: IpPrefix,
        /// The instance.
        vpn: String,
        /// The MAC address that has it.
        mac: MacAddr,
        /// The MAC address asked for.
        asked: MacAddr,
    },
    /// The MAC address is that of the router.
    #[error("mac_address {mac} is that of the gateway of every node; use the host's own")]
    RouterMac {
        /// The MAC address.
        mac: MacAddr,
    },
    /// There is no such E-VPN to plug in.
    #[error("local_port.evpn.id '{evpn}' names no E-VPN instance on this node; attach a port to it first")]
    NoSuchEvpn {
        /// Its name.
        evpn: String,
    },
    /// The E-VPN has its router already.
    #[error(
        "local_port.evpn.id '{evpn}' is plugged into VPN instance '{vpn}' already; an E-VPN has one router: \
         detach it there first"
    )]
    EvpnInUse {
        /// The E-VPN.
        evpn: String,
        /// The IP-VPN that it is plugged into.
        vpn: String,
    },
    /// A VPN-IPv4 route has no room for the VNI.
    #[error(
        "vni {vni} of VPN instance '{vpn}' does not fit in the label of a VPN route (RFC 9012 §8); give one up \
         to 1048575, or set [vpn] ipvpn_encapsulation = \"mpls\""
    )]
    VniNoLabel {
        /// The VNI.
        vni: Vni,
        /// The instance.
        vpn: String,
    },
    /// All identifiers of a kind are taken.
    #[error("no {what} is left of {first} to {last}; {remedy}")]
    Exhausted {
        /// The kind of identifier.
        what: &'static str,
        /// The first of the range.
        first: u32,
        /// The last of the range.
        last: u32,
        /// What to do.
        remedy: &'static str,
    },
}

impl AttachError {
    /// What the error means to the one who asked.
    #[must_use]
    pub const fn kind(&self) -> ErrorKind {
        match self {
            Self::Field(_) => ErrorKind::Invalid,
            Self::NoSuchEvpn { .. } => ErrorKind::NotFound,
            _ => ErrorKind::Conflict,
        }
    }
}

/// Why a detach was refused. Nothing has changed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DetachError {
    /// A field is missing or wrong.
    #[error(transparent)]
    Field(#[from] FieldError),
    /// There is no such instance.
    #[error("VPN instance '{vpn}' could not be found; nothing is attached to it")]
    NoSuchVpn {
        /// Its name.
        vpn: String,
    },
    /// The instance is of the other type.
    #[error("VPN instance '{vpn}' is of vpn_type '{is}'; detach with that")]
    OtherType {
        /// The instance.
        vpn: String,
        /// Its type.
        is: &'static str,
    },
    /// The MAC address and IP address are not attached together.
    #[error("mac_address {mac} with ip_address {ip} is not attached to VPN instance '{vpn}'")]
    NoSuchEndpoint {
        /// The instance.
        vpn: String,
        /// The MAC address.
        mac: MacAddr,
        /// The IP address.
        ip: IpAddr,
    },
}

impl DetachError {
    /// What the error means to the one who asked.
    #[must_use]
    pub const fn kind(&self) -> ErrorKind {
        match self {
            Self::Field(_) => ErrorKind::Invalid,
            Self::OtherType { .. } => ErrorKind::Conflict,
            Self::NoSuchVpn { .. } | Self::NoSuchEndpoint { .. } => ErrorKind::NotFound,
        }
    }
}

/// Why a stored state cannot be taken up again: it contradicts itself.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the stored state is inconsistent: {what} '{value}' of VPN instance '{vpn}' {problem}")]
pub struct RestoreError {
    /// The kind of thing that is wrong.
    pub what: &'static str,
    /// The thing.
    pub value: String,
    /// The instance in which it was found.
    pub vpn: String,
    /// What is wrong with it.
    pub problem: &'static str,
}
