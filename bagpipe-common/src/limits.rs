//! Sizes of the maps, and limits that the programs and the agent must agree on.

/// Number of VPN instances of a node, and one more than the largest instance number (number 0 is unused).
pub const VPNS: u32 = 65_536;
/// Ports of a node.
pub const PORTS: u32 = 16_384;
/// MAC addresses, local and remote, over all VPN instances (default size; the agent may set another).
pub const FDB: u32 = 1_048_576;
/// IP addresses, local and remote, over all VPN instances (default size; the agent may set another).
pub const NEIGHBORS: u32 = 1_048_576;
/// Host routes over all VPN instances (default size; the agent may set another).
pub const HOSTS: u32 = 1_048_576;
/// Other IP routes over all VPN instances (default size; the agent may set another).
pub const ROUTES: u32 = 1_048_576;
/// Slots for the Ethernet headers of routed packets.
pub const ADJACENCIES: u32 = 131_072;
/// Groups of equal next hops.
pub const GROUPS: u32 = 4_096;
/// Rules for packets that are routed by another instance, over all VPN instances; those that several end with, once.
pub const RULES: u32 = 16_384;
/// Rules of one VPN instance, which a program goes through packet by packet.
pub const RULES_PER_VPN: u32 = 64;
/// Labels of this node.
pub const LABELS: u32 = 131_072;
/// (remote endpoint, VPN instance) pairs that labelled packets are accepted from.
pub const ENDPOINTS: u32 = 262_144;
/// Members of all flood lists together.
pub const FLOODS: u32 = 262_144;
/// (remote endpoint, VNI) pairs that encapsulated packets are accepted from.
pub const TUNNELS: u32 = 262_144;
/// Remote endpoints that packets are sent to.
pub const NEXTHOPS: u32 = 16_384;
/// Slots for ready-made outer headers: two for each next hop, so that a changed one is written beside the one
/// in use.
pub const ENCAPS: u32 = 2 * NEXTHOPS;
/// Copies of one broadcast, unknown unicast or multicast frame, at most, in each [`FloodScope`].
///
/// [`FloodScope`]: crate::FloodScope
pub const FLOOD_COPIES: u32 = 1_024;
