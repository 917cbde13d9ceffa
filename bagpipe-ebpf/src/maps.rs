//! The maps. Their types, and the rules for reading them while the agent writes, are in `bagpipe-common`.

use aya_ebpf::btf_maps::lpm_trie::Key;
use aya_ebpf::btf_maps::{Array, HashMap, LpmTrie, PerCpuArray};
use aya_ebpf::macros::btf_map;
use bagpipe_common::{
    Address, Adjacency, Counters, Drop, DropReason, Encap, EndpointKey, FdbKey, FloodKey, GROUP_BUCKETS,
    Label, Neighbor, NeighborKey, Port, ROUTE_KEY_BITS, RoutePrefix, Router, Rule, Settings, Target, Tunnel,
    TunnelKey, VlanKey, Vpn, limits,
};
use bagpipe_packet::header;

use crate::budget::Budget;

/// `BPF_F_NO_PREALLOC`: memory for what is there, not for what could be.
const ON_DEMAND: usize = 1;

#[btf_map]
pub(crate) static PORT_OF_INTERFACE: HashMap<u32, u32, { limits::PORTS as usize }> = HashMap::new();
#[btf_map]
pub(crate) static PORT_OF_VLAN: HashMap<VlanKey, u32, { limits::PORTS as usize }, ON_DEMAND> = HashMap::new();
#[btf_map]
pub(crate) static PORTS: Array<Port, { limits::PORTS as usize }> = Array::new();
#[btf_map]
pub(crate) static VPNS: Array<Vpn, { limits::VPNS as usize }> = Array::new();
#[btf_map]
pub(crate) static FDB: HashMap<FdbKey, Target, { limits::FDB as usize }, ON_DEMAND> = HashMap::new();
#[btf_map]
pub(crate) static NEIGHBORS: HashMap<NeighborKey, Neighbor, { limits::NEIGHBORS as usize }, ON_DEMAND> =
    HashMap::new();
#[btf_map]
pub(crate) static FLOODS: HashMap<FloodKey, Target, { limits::FLOODS as usize }, ON_DEMAND> = HashMap::new();
#[btf_map]
pub(crate) static NEXTHOPS: Array<u32, { limits::NEXTHOPS as usize }> = Array::new();
#[btf_map]
pub(crate) static ENCAPS: Array<Encap, { limits::ENCAPS as usize }> = Array::new();
#[btf_map]
pub(crate) static TUNNELS: HashMap<TunnelKey, Tunnel, { limits::TUNNELS as usize }, ON_DEMAND> =
    HashMap::new();
#[btf_map]
pub(crate) static VNIS: HashMap<u32, u32, { limits::VPNS as usize }, ON_DEMAND> = HashMap::new();
#[btf_map]
pub(crate) static LABELS: HashMap<u32, Label, { limits::LABELS as usize }, ON_DEMAND> = HashMap::new();
#[btf_map]
pub(crate) static ENDPOINTS: HashMap<EndpointKey, u32, { limits::ENDPOINTS as usize }, ON_DEMAND> =
    HashMap::new();
#[btf_map]
pub(crate) static ADJACENCIES: Array<Adjacency, { limits::ADJACENCIES as usize }> = Array::new();
#[btf_map]
pub(crate) static HOSTS: HashMap<NeighborKey, Target, { limits::HOSTS as usize }, ON_DEMAND> = HashMap::new();
#[btf_map]
pub(crate) static ROUTES: LpmTrie<RoutePrefix, Target, { limits::ROUTES as usize }> = LpmTrie::new();
#[btf_map]
pub(crate) static RULES: Array<Rule, { limits::RULES as usize }> = Array::new();
#[btf_map]
pub(crate) static CLASSIFIERS: Array<u32, { limits::VPNS as usize }> = Array::new();
#[btf_map]
pub(crate) static GROUPS: Array<Target, { (limits::GROUPS * GROUP_BUCKETS) as usize }> = Array::new();
#[btf_map]
pub(crate) static ROUTERS: Array<Router, { limits::VPNS as usize }> = Array::new();
#[btf_map]
pub(crate) static SETTINGS: Array<Settings, 1> = Array::new();
#[btf_map]
pub(crate) static PORT_STATS: PerCpuArray<Counters, { limits::PORTS as usize }> = PerCpuArray::new();
#[btf_map]
pub(crate) static VPN_STATS: PerCpuArray<Counters, { limits::VPNS as usize }> = PerCpuArray::new();
#[btf_map]
pub(crate) static DROPS: PerCpuArray<Drop, { DropReason::ALL.len() }> = PerCpuArray::new();
/// Room for what an ICMP error quotes, too large for the stack. Private to the programs.
#[btf_map]
pub(crate) static SCRATCH: PerCpuArray<[u8; crate::icmp::QUOTE_ROOM], 1> = PerCpuArray::new();

/// What each CPU may spend on ICMP errors. Private to the programs.
#[btf_map]
pub(crate) static BUDGET: PerCpuArray<Budget, 1> = PerCpuArray::new();

/// What the agent was configured with.
#[inline(always)]
pub(crate) fn settings() -> Option<&'static Settings> {
    SETTINGS.get(0)
}

/// Where a MAC address of an instance is.
#[inline(always)]
pub(crate) fn fdb(vpn: u16, mac: [u8; 6]) -> Option<Target> {
    // SAFETY: a value of eight bytes, copied at once.
    unsafe { FDB.get(FdbKey { vpn, mac }) }.copied()
}

/// Which MAC address an IP address of an instance has.
#[inline(always)]
pub(crate) fn neighbor(vpn: u16, address: Address) -> Option<Neighbor> {
    let key = neighbor_key(vpn, header::words(&address));
    // SAFETY: a value of eight bytes, copied at once.
    unsafe { NEIGHBORS.get(key) }.copied()
}

/// Where packets for an address, given as its words, are routed: by its own route, else by that of the longest prefix.
#[inline(always)]
pub(crate) fn route(vpn: u16, address: [u32; 4]) -> Option<Target> {
    // SAFETY: a value of eight bytes, copied at once.
    if let Some(target) = unsafe { HOSTS.get(neighbor_key(vpn, address)) } {
        return Some(*target);
    }
    ROUTES.get(&route_key(vpn, address)).copied()
}

/// A key put together of words: the compiler for BPF writes an address byte by byte, which the kernel then reads by words.
#[inline(always)]
fn neighbor_key(vpn: u16, [a, b, c, d]: [u32; 4]) -> NeighborKey {
    let [first, second] = vpn.to_ne_bytes();
    let last = u32::from_ne_bytes([first, second, 0, 0]);
    // SAFETY: twenty bytes both, and any bytes are a key.
    unsafe { core::mem::transmute::<[u32; 5], NeighborKey>([a, b, c, d, last]) }
}

/// The key of the longest prefix: all bits count.
#[inline(always)]
fn route_key(vpn: u16, address @ [a, b, c, d]: [u32; 4]) -> Key<RoutePrefix> {
    const BITS: u32 = ROUTE_KEY_BITS + 8 * size_of::<Address>() as u32;
    let family = if matches!(address, [0, 0, header::MAPPED, _]) { 4 } else { 6 };
    let instance = (u32::from(vpn) << 16 | family).to_be();
    // SAFETY: twenty-four bytes both, and any bytes are a key.
    unsafe { core::mem::transmute::<[u32; 6], Key<RoutePrefix>>([BITS, instance, a, b, c, d]) }
}

/// The slot of the first rule of an instance; zero if it has none.
#[inline(always)]
pub(crate) fn first_rule(vpn: u16) -> u32 {
    CLASSIFIERS.get(vpn.into()).map_or(0, |slot| *slot)
}

/// The header template of a next hop.
#[inline(always)]
pub(crate) fn encap(next_hop: u32) -> Option<&'static Encap> {
    match *NEXTHOPS.get(next_hop)? {
        0 => None,
        slot => ENCAPS.get(slot),
    }
}
