//! The programs by themselves: a copy of the object without pins, its maps filled by hand.

use std::fs;
use std::net::Ipv6Addr;
use std::time::Duration;

use aya::maps::lpm_trie::{Key, LpmTrie};
use aya::maps::{Array, HashMap, Map, MapData, PerCpuArray};
use aya::programs::{SchedClassifier, TestRun, TestRunOptions, Xdp};
use aya::{Ebpf, EbpfLoader, Pod};
use bagpipe_agent::dataplane::programs::OBJECT;
use bagpipe_common::{
    Address, Adjacency, Counters, Drop, DropReason, Encap, EndpointKey, FdbKey, FloodKey, FloodScope,
    GROUP_BUCKETS, Label, LabelKind, Neighbor, NeighborKey, Port, ROUTE_KEY_BITS, RoutePrefix, Router,
    Settings, TRUNK, Target, TargetKind, Tunnel, TunnelKey, VlanKey, Vpn, encap_flags, mapped,
};

use crate::packet::Mac;

/// `TCX_NEXT`.
pub const NEXT: i32 = -1;
/// `TC_ACT_SHOT`.
pub const SHOT: i32 = 2;
/// `TC_ACT_REDIRECT`.
pub const REDIRECT: i32 = 7;
/// `XDP_DROP`.
pub const XDP_DROP: i32 = 1;
/// `XDP_PASS`.
pub const XDP_PASS: i32 = 2;

/// Room in a map, where nothing else is said.
const ENTRIES: u32 = 4096;

/// A copy of the programs and their maps.
#[derive(Debug)]
pub struct Copy {
    object: Ebpf,
    settings: Settings,
}

impl Copy {
    /// Loads the programs.
    ///
    /// # Panics
    /// When they were not built, or the kernel refuses them.
    #[must_use]
    pub fn load() -> Self {
        Self::with_routes(ENTRIES)
    }

    /// Loads the programs with room for this many prefixes.
    ///
    /// # Panics
    /// When they were not built, or the kernel refuses them.
    #[must_use]
    pub fn with_routes(routes: u32) -> Self {
        assert!(!OBJECT.is_empty(), "no eBPF object: run 'cargo xtask build-ebpf'");
        Self::of(OBJECT, routes)
    }

    /// A copy of the programs that were built for debugging: they log what they drop.
    ///
    /// # Panics
    /// When they were not built, or the kernel refuses them.
    #[must_use]
    pub fn load_logging() -> Self {
        let path =
            concat!(env!("CARGO_MANIFEST_DIR"), "/../target/bpf-log/bpfel-unknown-none/bpf/bagpipe-ebpf");
        let object = fs::read(path).unwrap_or_else(|error| panic!("{path}: {error}: run 'cargo xtask test'"));
        Self::of(&object, ENTRIES)
    }

    fn of(object: &[u8], routes: u32) -> Self {
        let mut loader = EbpfLoader::new();
        for map in ["FDB", "NEIGHBORS", "FLOODS", "TUNNELS", "HOSTS", "LABELS", "ENDPOINTS", "PORT_OF_VLAN"] {
            loader.map_max_entries(map, ENTRIES);
        }
        loader.map_max_entries("ROUTES", routes);
        let mut object = loader.load(object).expect("the object loads");
        for (name, program) in object.programs_mut() {
            let result = match program {
                aya::programs::Program::SchedClassifier(program) => program.load(),
                aya::programs::Program::Xdp(program) => program.load(),
                _ => continue,
            };
            result.unwrap_or_else(|error| panic!("{name}: {error}"));
        }
        let settings = Settings { vxlan_port: 4789, ..Settings::default() };
        let mut copy = Self { object, settings };
        copy.element("SETTINGS", 0, settings);
        copy
    }

    /// A TC program.
    ///
    /// # Panics
    /// When the object has no such program.
    pub fn classifier(&mut self, name: &str) -> &mut SchedClassifier {
        self.object.program_mut(name).expect("the program").try_into().expect("a classifier")
    }

    /// An XDP program.
    ///
    /// # Panics
    /// When the object has no such program.
    pub fn xdp(&mut self, name: &str) -> &mut Xdp {
        self.object.program_mut(name).expect("the program").try_into().expect("an XDP program")
    }

    /// Runs a program once for a packet, as if from the loopback interface. Returns its answer and the packet
    /// after, without metadata.
    ///
    /// # Panics
    /// When the kernel refuses to.
    pub fn run(&mut self, name: &str, packet: &[u8]) -> (i32, Vec<u8>) {
        self.run_with(name, packet, None)
    }

    /// Runs a TC program once, as [`Copy::run`] does, for a packet that says it is to be cut into segments with `payload`
    /// bytes each.
    ///
    /// # Panics
    /// When the kernel refuses to.
    pub fn run_segments(&mut self, name: &str, packet: &[u8], payload: u32) -> (i32, Vec<u8>) {
        const GSO_SEGS: usize = 164;
        const GSO_SIZE: usize = 176;
        const CONTEXT: usize = 192;
        let mut context = [0; CONTEXT];
        context[GSO_SEGS..GSO_SEGS + 4].copy_from_slice(&2u32.to_ne_bytes());
        context[GSO_SIZE..GSO_SIZE + 4].copy_from_slice(&payload.to_ne_bytes());
        self.run_with(name, packet, Some(&context))
    }

    /// What a run of a TC program for a packet takes on average, if it runs again and again, each time for the packet that
    /// it made of it before.
    ///
    /// # Panics
    /// When the kernel refuses to, or the program did not redirect the last of the packets.
    pub fn time(&mut self, name: &str, packet: &[u8], runs: u32) -> Duration {
        let options = TestRunOptions { data_in: Some(packet), repeat: runs, ..TestRunOptions::default() };
        let result = self.classifier(name).test_run(options);
        let result = result.unwrap_or_else(|error| panic!("{name}: {error}"));
        assert_eq!(result.return_value as i32, REDIRECT, "{name}: the packet is forwarded");
        result.duration
    }

    fn run_with(&mut self, name: &str, packet: &[u8], context: Option<&[u8]>) -> (i32, Vec<u8>) {
        let mut output = vec![0; packet.len() + 2048];
        let options = TestRunOptions {
            data_in: Some(packet),
            data_out: Some(&mut output),
            ctx_in: context,
            ..TestRunOptions::default()
        };
        let result = if name == "underlay_xdp" {
            self.xdp(name).test_run(options)
        } else {
            self.classifier(name).test_run(options)
        }
        .unwrap_or_else(|error| panic!("{name}: {error}"));
        output.truncate(result.data_size_out as usize);
        // An XDP program's packet comes with its metadata in front.
        if output.starts_with(b"bpvd") {
            output.drain(..16);
        }
        (result.return_value as i32, output)
    }

    /// What was dropped for a reason so far.
    ///
    /// # Panics
    /// When the map can't be read.
    #[must_use]
    pub fn drops(&self, reason: DropReason) -> Drop {
        let values = self.per_cpu::<Drop>("DROPS").get(&(reason as u32), 0).expect("a drop counter");
        values.iter().fold(Drop::default(), |sum, value| Drop {
            packets: sum.packets + value.packets,
            bytes: sum.bytes + value.bytes,
        })
    }

    /// The counters of a port (`PORT_STATS`) or of an instance (`VPN_STATS`).
    ///
    /// # Panics
    /// When the map can't be read.
    #[must_use]
    pub fn counters(&self, map: &str, index: u32) -> Counters {
        let values = self.per_cpu::<Counters>(map).get(&index, 0).expect("counters");
        values.iter().fold(Counters::default(), |sum, value| Counters {
            rx_packets: sum.rx_packets + value.rx_packets,
            rx_bytes: sum.rx_bytes + value.rx_bytes,
            tx_packets: sum.tx_packets + value.tx_packets,
            tx_bytes: sum.tx_bytes + value.tx_bytes,
        })
    }

    /// A port.
    pub fn port(&mut self, number: u32, port: Port) {
        self.element("PORTS", number, port);
    }

    /// Which port an interface is.
    pub fn interface(&mut self, ifindex: u32, port: u32) {
        self.insert("PORT_OF_INTERFACE", ifindex, port);
    }

    /// Which port a VLAN on an interface is, which is a trunk.
    pub fn vlan(&mut self, ifindex: u32, vlan: u32, port: u32) {
        self.interface(ifindex, TRUNK);
        self.insert("PORT_OF_VLAN", VlanKey { ifindex, vlan }, port);
    }

    /// An instance.
    pub fn vpn(&mut self, number: u16, vpn: Vpn) {
        self.element("VPNS", number.into(), vpn);
        self.insert("VNIS", vpn.vni, u32::from(number));
    }

    /// Where a MAC address is.
    pub fn mac(&mut self, vpn: u16, mac: Mac, target: Target) {
        self.insert("FDB", FdbKey { vpn, mac }, target);
    }

    /// Which MAC address an IP address has.
    pub fn neighbor(&mut self, vpn: u16, address: Address, mac: Mac, flags: u16) {
        self.insert("NEIGHBORS", NeighborKey { address, vpn, zero: 0 }, Neighbor { mac, flags });
    }

    /// A member of a flood list.
    pub fn member(&mut self, vpn: u16, scope: FloodScope, index: u32, target: Target) {
        self.insert("FLOODS", FloodKey { vpn, scope: scope as u16, index }, target);
    }

    /// A next hop, in the slot of its number.
    pub fn next_hop(&mut self, number: u32, encap: Encap) {
        self.element("ENCAPS", number, encap);
        self.element("NEXTHOPS", number, number);
    }

    /// A remote endpoint that may send to an instance.
    pub fn tunnel(&mut self, remote: Address, vni: u32, vpn: u16) {
        self.insert("TUNNELS", TunnelKey { remote, vni }, Tunnel { vpn, zero: 0 });
    }

    /// A local tunnel address.
    pub fn local(&mut self, address: Address) {
        match Ipv6Addr::from(address).to_ipv4_mapped() {
            Some(address) => self.settings.local_ipv4 = address.octets(),
            None => self.settings.local_ipv6 = address,
        }
        self.element("SETTINGS", 0, self.settings);
    }

    /// Where packets for an address are routed.
    pub fn host(&mut self, vpn: u16, address: Address, target: Target) {
        self.insert("HOSTS", NeighborKey { address, vpn, zero: 0 }, target);
    }

    /// Where packets for a prefix are routed: its address, and how many bits of it count.
    ///
    /// # Panics
    /// When the map can't be written.
    pub fn route(&mut self, vpn: u16, address: Address, bits: u32, target: Target) {
        let map: &mut Map = self.object.map_mut("ROUTES").expect("the map");
        let is_ipv4 = address[..12] == mapped([0; 4])[..12];
        let family = [0, if is_ipv4 { 4 } else { 6 }];
        let prefix = RoutePrefix { vpn: vpn.to_be_bytes(), family, address };
        LpmTrie::<&mut MapData, RoutePrefix, Target>::try_from(map)
            .expect("a trie")
            .insert(&Key::new(ROUTE_KEY_BITS + bits, prefix), target, 0)
            .expect("the route");
    }

    /// A bucket of a group.
    pub fn bucket(&mut self, group: u32, bucket: u32, target: Target) {
        self.element("GROUPS", group * GROUP_BUCKETS + bucket, target);
    }

    /// What the router is to an instance's hosts.
    pub fn router(&mut self, vpn: u16, router: Router) {
        self.element("ROUTERS", vpn.into(), router);
    }

    /// What a routed packet gets for an Ethernet header, and where it goes then.
    pub fn adjacency(&mut self, slot: u32, adjacency: Adjacency) {
        self.element("ADJACENCIES", slot, adjacency);
    }

    /// What a label means.
    pub fn label(&mut self, label: u32, kind: LabelKind, vpn: u16, id: u32) {
        self.insert("LABELS", label, Label { kind: kind as u8, zero: 0, vpn, id });
    }

    /// A remote endpoint that may send with the labels of an instance.
    pub fn endpoint(&mut self, remote: Address, vpn: u16) {
        self.insert("ENDPOINTS", EndpointKey { remote, vpn, zero: 0 }, 1u32);
    }

    /// Changes what the agent was configured with.
    pub fn set(&mut self, change: impl FnOnce(&mut Settings)) {
        change(&mut self.settings);
        self.element("SETTINGS", 0, self.settings);
    }

    fn element<V: Pod>(&mut self, map: &str, index: u32, value: V) {
        let map: &mut Map = self.object.map_mut(map).expect("the map");
        Array::<&mut MapData, V>::try_from(map).expect("an array").set(index, value, 0).expect("the element");
    }

    fn insert<K: Pod, V: Pod>(&mut self, map: &str, key: K, value: V) {
        let map = self.object.map_mut(map).expect("the map");
        HashMap::<&mut MapData, K, V>::try_from(map)
            .expect("a hash")
            .insert(key, value, 0)
            .expect("the entry");
    }

    fn per_cpu<V: Pod>(&self, map: &str) -> PerCpuArray<&MapData, V> {
        PerCpuArray::try_from(self.object.map(map).expect("the map")).expect("a per-CPU array")
    }
}

/// The target of a port.
#[must_use]
pub fn port(id: u32) -> Target {
    Target { kind: TargetKind::Port as u8, vni: [0; 3], id }
}

/// The target of a port whose MAC address may use any IP address.
#[must_use]
pub fn port_any_ip(id: u32) -> Target {
    Target { kind: TargetKind::PortAnyIp as u8, ..port(id) }
}

/// The target of a remote endpoint.
#[must_use]
pub fn remote(id: u32, vni: u32) -> Target {
    let [_, vni @ ..] = vni.to_be_bytes();
    Target { kind: TargetKind::Vxlan as u8, vni, id }
}

/// The target of a remote endpoint over MPLS.
#[must_use]
pub fn labelled(kind: TargetKind, id: u32, label: u32) -> Target {
    Target { kind: kind as u8, ..remote(id, label) }
}

/// The target of frames that a router takes.
#[must_use]
pub fn router(vrf: u16) -> Target {
    Target { kind: TargetKind::Router as u8, ..port(vrf.into()) }
}

/// The target of an adjacency.
#[must_use]
pub fn adjacent(slot: u32) -> Target {
    Target { kind: TargetKind::Adjacency as u8, ..port(slot) }
}

/// The target of a group.
#[must_use]
pub fn group(id: u32) -> Target {
    Target { kind: TargetKind::Group as u8, ..port(id) }
}

/// A resolved next hop over IPv4.
#[must_use]
pub fn encap(local: [u8; 4], remote: [u8; 4], ifindex: u32, mtu: u32) -> Encap {
    Encap {
        local: mapped(local),
        remote: mapped(remote),
        gateway: mapped(remote),
        ifindex,
        mtu,
        destination_mac: [2, 0, 0, 0, 0xff, 2],
        source_mac: [2, 0, 0, 0, 0xff, 1],
        flags: encap_flags::RESOLVED,
        ttl: 64,
        zero: 0,
    }
}
