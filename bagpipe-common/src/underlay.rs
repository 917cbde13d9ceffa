//! Values that say how a packet crosses the underlay.

use crate::Address;

/// Value of `TUNNELS`: the VPN instance that a packet from this endpoint with this VNI belongs to.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tunnel {
    /// Number of the VPN instance on this node.
    pub vpn: u16,
    /// Zero.
    pub zero: u16,
}

/// Value of `ENCAPS` (array): what the outer header is made of. Written once into a free slot; `NEXTHOPS`
/// (array of `u32`, indexed by next-hop number) says which slot a next hop uses, 0 meaning none.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Encap {
    /// Outer source address: the local tunnel endpoint.
    pub local: Address,
    /// Outer destination address: the remote tunnel endpoint.
    pub remote: Address,
    /// Underlay gateway: the address whose neighbour entry gives `destination_mac`.
    pub gateway: Address,
    /// Outgoing underlay interface.
    pub ifindex: u32,
    /// Largest IP packet that the underlay path takes, in bytes.
    pub mtu: u32,
    /// Outer Ethernet destination; zero while the neighbour is unresolved.
    pub destination_mac: [u8; 6],
    /// Outer Ethernet source: the address of the outgoing interface.
    pub source_mac: [u8; 6],
    /// See [`encap_flags`].
    pub flags: u16,
    /// Outer time to live or hop limit.
    pub ttl: u8,
    /// Zero.
    pub zero: u8,
}

/// Bits of [`Encap::flags`].
pub mod encap_flags {
    /// `destination_mac` is known. Without it the kernel is asked to resolve the gateway for each packet.
    pub const RESOLVED: u16 = 1;
    /// The outer header is IPv6.
    pub const IPV6: u16 = 2;
}

/// Value of `SETTINGS` (array of one): what the agent was configured with.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Settings {
    /// UDP destination port of VXLAN (RFC 7348 §5), in host order.
    pub vxlan_port: u16,
    /// See [`settings_flags`].
    pub flags: u16,
    /// The local tunnel endpoint over IPv4; unspecified if there is none.
    pub local_ipv4: [u8; 4],
    /// The local tunnel endpoint over IPv6; unspecified if there is none.
    pub local_ipv6: Address,
    /// MAC address of the gateway: the same on every node (RFC 9135 §4.1).
    pub gateway_mac: [u8; 6],
    /// MAC address of this node as a router toward other routers (RFC 9135 §5.1).
    pub router_mac: [u8; 6],
}

/// Bits of [`Settings::flags`].
pub mod settings_flags {
    /// The TTL goes over into the label and back (uniform model of RFC 3443); else labels have their own (pipe).
    pub const UNIFORM_TTL: u16 = 1;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_have_no_padding() {
        assert_eq!(size_of::<Tunnel>(), 4);
        assert_eq!(size_of::<Encap>(), 3 * 16 + 4 + 4 + 6 + 6 + 2 + 1 + 1);
        assert_eq!(size_of::<Settings>(), 2 + 2 + 4 + 16 + 6 + 6);
    }
}
