//! Keys of the hash maps. A hash map compares keys byte by byte: unused bytes are fields, and always zero.

use crate::Address;

/// Key of `FDB`: where a MAC address of a VPN instance is.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct FdbKey {
    /// Number of the VPN instance on this node.
    pub vpn: u16,
    /// The MAC address.
    pub mac: [u8; 6],
}

/// Key of `NEIGHBORS`, which MAC address an IP address of a VPN instance has, and of `HOSTS`, where packets for it
/// are routed.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct NeighborKey {
    /// The IP address.
    pub address: Address,
    /// Number of the VPN instance on this node.
    pub vpn: u16,
    /// Zero.
    pub zero: u16,
}

/// Which of the two flood lists of a VPN instance.
#[repr(u16)]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum FloodScope {
    /// Ports of this node: where frames from ports and from tunnels go.
    Local = 0,
    /// Remote endpoints: where only frames from ports go (split horizon, RFC 7432 §11).
    Remote = 1,
}

/// Key of `FLOODS`: one member of a flood list. Members are numbered from 0, without gaps; [`Vpn`] holds how
/// many there are.
///
/// [`Vpn`]: crate::Vpn
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct FloodKey {
    /// Number of the VPN instance on this node.
    pub vpn: u16,
    /// A [`FloodScope`] as a number.
    pub scope: u16,
    /// Position in the list.
    pub index: u32,
}

/// Key of `TUNNELS`: an encapsulated packet is let in only from a known remote endpoint of its VNI.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TunnelKey {
    /// Outer source address.
    pub remote: Address,
    /// VXLAN network identifier, 24 bits (RFC 7348 §5), in host order.
    pub vni: u32,
}

/// Key of `PORT_OF_VLAN`: a VLAN on a trunk.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct VlanKey {
    /// Index of the interface.
    pub ifindex: u32,
    /// Identifier of the VLAN, twelve bits (IEEE 802.1Q §9.6); zero for frames without one.
    pub vlan: u32,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_have_no_padding() {
        assert_eq!(size_of::<FdbKey>(), 2 + 6);
        assert_eq!(size_of::<NeighborKey>(), 16 + 2 + 2);
        assert_eq!(size_of::<FloodKey>(), 2 + 2 + 4);
        assert_eq!(size_of::<TunnelKey>(), 16 + 4);
        assert_eq!(size_of::<VlanKey>(), 4 + 4);
    }
}
