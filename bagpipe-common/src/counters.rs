//! Counters: per CPU, written by the programs, summed by the agent.

/// Value of `PORT_STATS` (indexed by port number) and `VPN_STATS` (indexed by instance number).
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// Packets that came from ports.
    pub rx_packets: u64,
    /// Bytes of them, from the Ethernet header on.
    pub rx_bytes: u64,
    /// Packets delivered to ports.
    pub tx_packets: u64,
    /// Bytes of them, from the Ethernet header on.
    pub tx_bytes: u64,
}

/// Value of `DROPS` (indexed by [`DropReason`]).
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Drop {
    /// Packets.
    pub packets: u64,
    /// Bytes of them.
    pub bytes: u64,
}

/// Defines [`DropReason`] with its names and explanations: one list, so that none is forgotten.
macro_rules! drop_reasons {
    ($($number:literal $variant:ident $name:literal $explanation:literal,)*) => {
        /// Why a program dropped a packet.
        #[repr(u32)]
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub enum DropReason { $( #[doc = $explanation] $variant = $number, )* }

        impl DropReason {
            /// All reasons, in the order of their numbers.
            pub const ALL: &'static [Self] = &[$(Self::$variant),*];

            /// The name shown to users.
            #[must_use]
            pub const fn name(self) -> &'static str {
                match self { $(Self::$variant => $name,)* }
            }

            /// One sentence for users: what was wrong with the packet.
            #[must_use]
            pub const fn explanation(self) -> &'static str {
                match self { $(Self::$variant => $explanation,)* }
            }
        }
    };
}

drop_reasons! {
    0 Malformed "malformed" "A header is truncated or contradicts itself.",
    1 SourceMac "source-mac" "From a port: the source MAC address is not one of the port's.",
    2 SourceIp "source-ip" "From a port: the source IP address, or the sender in ARP or ND, is not one of the MAC address's.",
    3 LinkLocalMulticast "link-local-multicast" "From a port or tunnel: 01:80:c2:00:00:0x, which no bridge forwards (IEEE 802.1Q §8.6.3).",
    4 NoMember "no-member" "A broadcast, unknown unicast or multicast frame, and the instance has no other member.",
    5 NoNextHop "no-next-hop" "The remote endpoint has no route in the underlay.",
    6 NoPort "no-port" "The interface of the destination port is away.",
    7 TooBig "too-big" "Larger than the underlay takes; an ICMP or ICMPv6 too-big was returned where the frame is IP.",
    8 TunnelInTunnel "tunnel-in-tunnel" "From a port: a segmented packet that is itself a tunnel, which the kernel can't segment twice.",
    9 Encapsulation "encapsulation" "The kernel refused to add or remove the outer header.",
    10 BadVxlanHeader "bad-vxlan-header" "From the underlay: the VXLAN I flag is not set (RFC 7348 §5).",
    11 UnknownVni "unknown-vni" "From the underlay: no VPN instance has this VNI.",
    12 UnknownEndpoint "unknown-endpoint" "From the underlay: the sender is not a known remote endpoint of this VNI.",
    13 OuterFragment "outer-fragment" "From the underlay: a fragmented VXLAN packet (RFC 7348 §4.3).",
    14 Ecn "ecn" "From the underlay: congestion experienced, and the inner packet is not ECN-capable (RFC 6040 §4.2).",
    15 SplitHorizon "split-horizon" "From the underlay: the destination is behind a remote endpoint; never sent back.",
    16 Unattached "unattached" "From an interface that is no longer attached to a VPN instance.",
    17 StrayTunnel "stray-tunnel" "VXLAN that reached the kernel's own tunnel device, not through an underlay interface.",
    18 SamePort "same-port" "From a port: the destination is behind the same port, so the frame needs no switching.",
    19 NoRoute "no-route" "Routed: no route to the destination; an ICMP or ICMPv6 unreachable was returned where the rules allow.",
    20 TtlExceeded "ttl-exceeded" "Routed: the time to live or hop limit has come to its end; an ICMP or ICMPv6 time exceeded was returned where the rules allow.",
    21 UnknownLabel "unknown-label" "From the underlay: no VPN instance has this label.",
    22 BadLabelStack "bad-label-stack" "From the underlay: a label stack that does not end, is too deep, or is not followed by what its label stands for.",
    23 BadGreHeader "bad-gre-header" "From the underlay: a GRE header with reserved bits or a wrong checksum (RFC 2784 §2).",
    24 NotRoutable "not-routable" "Routed: not a unicast IP packet, or one that a router must not forward (RFC 1812 §5.3.4, RFC 4291 §2.5.6).",
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn drop_reasons_are_numbered_without_gaps() {
        for (number, reason) in DropReason::ALL.iter().enumerate() {
            assert_eq!(*reason as usize, number);
        }
    }
}
