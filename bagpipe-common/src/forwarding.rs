//! Values that say where a frame goes: ports, VPN instances, targets, neighbours. All are eight bytes.

/// Value of `PORTS` (array, indexed by port number): the interface behind a port. When an interface vanishes
/// and comes back, this is all that changes.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Port {
    /// Interface index, 0 when the interface is away.
    pub ifindex: u32,
    /// Number of the VPN instance that the port is attached to.
    pub vpn: u16,
    /// See [`port_flags`].
    pub flags: u16,
}

/// Bits of [`Port::flags`].
pub mod port_flags {
    /// The interface is a veth whose peer is in another network namespace: deliver straight to the peer.
    pub const REDIRECT_PEER: u16 = 1;
    /// Packets only leave by it: there is no entry in `PORT_OF_INTERFACE` for it. For the agent, after a restart.
    pub const EGRESS: u16 = 2;
    /// Where the identifier of the VLAN begins that the port is, in the upper twelve bits. Zero: the interface itself.
    pub const VLAN_SHIFT: u32 = 4;
}

/// Value of `PORT_OF_INTERFACE` in place of a port number: the interface is a trunk, and each VLAN on it, and what has
/// no tag, has its port in `PORT_OF_VLAN`.
pub const TRUNK: u32 = u32::MAX;

/// Value of `VPNS` (array, indexed by instance number).
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Vpn {
    /// VXLAN network identifier of this node for the instance, in host order.
    pub vni: u32,
    /// Length of the flood list of local ports.
    pub local_ports: u16,
    /// Length of the flood list of remote endpoints.
    pub remote_endpoints: u16,
}

/// What a [`Target`] is.
#[repr(u8)]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum TargetKind {
    /// A port of this node; `id` is the port number.
    Port = 1,
    /// A port of this node whose MAC address may use any IP address that no other MAC address has.
    PortAnyIp = 2,
    /// A remote endpoint over VXLAN; `id` is the next hop, `vni` the VNI that the remote advertised.
    Vxlan = 3,
    /// A remote endpoint over MPLS on Ethernet; `id` is the next hop, `vni` the label in the lower 20 bits.
    Mpls = 4,
    /// A remote endpoint over MPLS in GRE (RFC 4023); otherwise as [`TargetKind::Mpls`].
    MplsGre = 5,
    /// A remote endpoint over MPLS in UDP (RFC 7510); otherwise as [`TargetKind::Mpls`].
    MplsUdp = 6,
    /// In `FDB`: the router; `id` is the instance whose routes count. In `HOSTS`: an address of the router itself.
    Router = 7,
    /// In `HOSTS` and `ROUTES`: `id` is a slot of `ADJACENCIES`.
    Adjacency = 8,
    /// In `HOSTS` and `ROUTES`: one of several next hops; in `FDB`: one of several remote endpoints, those of an Ethernet
    /// segment. `id` is the number of a group.
    Group = 9,
}

impl TargetKind {
    /// All of them.
    pub const ALL: [Self; 9] = [
        Self::Port,
        Self::PortAnyIp,
        Self::Vxlan,
        Self::Mpls,
        Self::MplsGre,
        Self::MplsUdp,
        Self::Router,
        Self::Adjacency,
        Self::Group,
    ];

    /// The kind with this number.
    #[must_use]
    pub fn of(number: u8) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| *kind as u8 == number)
    }
}

/// Value of `FDB`, `FLOODS`, `HOSTS`, `ROUTES` and `GROUPS`: where a frame or a packet goes.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Target {
    /// A [`TargetKind`] as a number.
    pub kind: u8,
    /// VXLAN network identifier or label, in network order; zero where there is none.
    pub vni: [u8; 3],
    /// Number of a port, next hop, instance, adjacency or group.
    pub id: u32,
}

/// Value of `NEIGHBORS`.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Neighbor {
    /// The MAC address.
    pub mac: [u8; 6],
    /// See [`neighbor_flags`].
    pub flags: u16,
}

/// Bits of [`Neighbor::flags`].
pub mod neighbor_flags {
    /// Set the R flag in neighbour advertisements (RFC 4861 §4.4).
    pub const ROUTER: u16 = 1 << 15;
    /// The address is attached to a port of this node, whose number is in the bits of [`PORT`].
    pub const LOCAL: u16 = 1 << 14;
    /// The number of a port.
    pub const PORT: u16 = LOCAL - 1;

    const _: () = assert!(crate::limits::PORTS <= 1 << PORT.trailing_ones());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_written_at_once() {
        assert_eq!(size_of::<Port>(), 8);
        assert_eq!(size_of::<Vpn>(), 8);
        assert_eq!(size_of::<Target>(), 8);
        assert_eq!(size_of::<Neighbor>(), 8);
    }
}
