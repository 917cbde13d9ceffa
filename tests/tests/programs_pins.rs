//! Loading, pinning, attaching and replacing the programs, as the agent does.

use std::net::UdpSocket;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::{Duration, Instant};
use std::{fs, process, thread};

use aya::maps::{MapData, MapInfo};
use aya::programs::{SchedClassifier, TcAttachType};
use bagpipe_agent::dataplane::programs::{LoadError, MAPS, Programs, UnderlayMode};
use bagpipe_common::{Settings, limits};
use bagpipe_tests::isolated::{Namespace, ip, isolated};
use nix::sched::{CloneFlags, setns};
use serde_json::Value;

const INSTANCE: &str = "bptest";
const SETTINGS: Settings = Settings {
    vxlan_port: 4789,
    flags: 0,
    local_ipv4: [0; 4],
    local_ipv6: [0; 16],
    gateway_mac: [0; 6],
    router_mac: [0; 6],
};

/// A directory for pins, removed with the pins when this is dropped.
struct Pins(PathBuf);

impl Pins {
    fn new(name: &str) -> Self {
        Self(PathBuf::from(format!("/sys/fs/bpf/bptest-{name}-{}", process::id())))
    }

    fn load(&self) -> Result<Programs, LoadError> {
        Programs::load(&self.0, INSTANCE, SETTINGS, limits::ROUTES)
    }
}

impl Drop for Pins {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn ifindex(name: &str) -> u32 {
    let text = fs::read_to_string(format!("/sys/class/net/{name}/ifindex")).expect("the interface");
    text.trim().parse().expect("an index")
}

/// The filters on an interface: name and identifier of the program.
fn filters_on(interface: &str) -> Vec<(String, u64)> {
    let output = process::Command::new("tc")
        .args(["-json", "filter", "show", "dev", interface, "ingress"])
        .output()
        .expect("iproute2 is installed");
    let filters: Vec<Value> = serde_json::from_slice(&output.stdout).expect("JSON");
    let options = filters.iter().map(|filter| &filter["options"]);
    options
        .filter_map(|options| {
            Some((options["bpf_name"].as_str()?.to_owned(), options["prog"]["id"].as_u64()?))
        })
        .collect()
}

fn tc(arguments: &str) {
    let status =
        process::Command::new("tc").args(arguments.split(' ')).status().expect("iproute2 is installed");
    assert!(status.success(), "tc {arguments}: {status}");
}

/// The identifiers of the programs that are linked to an interface.
fn programs_on(interface: &str) -> Vec<u32> {
    let (_, programs) =
        SchedClassifier::query_tcx(interface, TcAttachType::Ingress).expect("tcx can be asked");
    programs.iter().map(aya::programs::ProgramInfo::id).collect()
}

#[test]
fn a_later_agent_adopts_maps_and_replaces_programs() {
    isolated("a_later_agent_adopts_maps_and_replaces_programs", || {
        let pins = Pins::new("adopt");
        ip(&["link", "add", "port", "type", "veth", "peer", "name", "under"]);
        let (port, under) = (ifindex("port"), ifindex("under"));
        let mut first = pins.load().expect("the programs load");
        first.attach_port(port).expect("the port");
        first.attach_port(port).expect("the port again");
        assert!(first.has_port(port).expect("the port is asked"));
        assert_eq!(first.attach_underlay(under, UnderlayMode::Tc).expect("the underlay"), UnderlayMode::Tc);
        first.attach_stray(under).expect("the stray");
        assert_eq!(filters_on("under").len(), 1);
        let maps: Vec<u32> = map_ids(&pins.0);
        let before = filters_on("port");
        assert_eq!(before.len(), 1);
        assert_eq!(before[0].0, "bagpipe:bptest");
        let linked = programs_on("under");
        assert_eq!(linked.len(), 1);
        assert!(first.has_underlay(under).expect("the underlay is asked"));
        drop(first);
        assert_eq!(filters_on("port"), before, "the filter stays");
        assert_eq!(programs_on("under"), linked, "the links are pinned");

        let mut second = pins.load().expect("the programs load again");
        assert_eq!(map_ids(&pins.0), maps, "the maps are the same");
        assert!(!second.has_port(port).expect("the port is asked"), "it is the old program");
        second.attach_port(port).expect("the port is taken over");
        assert!(second.has_port(port).expect("the port is asked"));
        let after = filters_on("port");
        assert_eq!(after.len(), 1);
        assert_ne!(after, before, "the program is the new one");
        assert!(!second.has_underlay(under).expect("the underlay is asked"), "it is the old program");
        assert_eq!(
            second.attach_underlay(under, UnderlayMode::Xdp).expect("XDP on a veth"),
            UnderlayMode::Xdp
        );
        assert_eq!(second.attach_underlay(under, UnderlayMode::Xdp).expect("XDP again"), UnderlayMode::Xdp);
        assert!(second.has_underlay(under).expect("the underlay is asked"));
        second.detach_underlay(under).expect("the underlay is left");
        second.detach_port(port).expect("the port is left");
        assert_eq!(filters_on("port"), []);
        second.detach_port(port).expect("nothing is there any more");
        // The kernel takes a linked program off a moment after the pin is gone.
        let limit = Instant::now() + Duration::from_secs(5);
        while !programs_on("under").is_empty() {
            assert!(Instant::now() < limit, "the program stays");
            thread::yield_now();
        }
        assert!(second.attach_port(9999).is_err());
        assert!(!second.has_port(9999).expect("there is nothing"));
        second.detach_port(9999).expect("there is nothing");
    });
}

#[test]
fn filters_of_others_are_left_alone() {
    isolated("filters_of_others_are_left_alone", || {
        let pins = Pins::new("others");
        ip(&["link", "add", "port", "type", "veth", "peer", "name", "end"]);
        let port = ifindex("port");
        tc("qdisc add dev port clsact");
        tc("filter add dev port ingress prio 10 protocol all u32 match u32 0 0 flowid 1:1");
        let mut programs = pins.load().expect("the programs load");
        programs.attach_port(port).expect("the port");
        assert_eq!(filters_on("port").len(), 1);
        programs.detach_port(port).expect("the port is left");
        assert_eq!(filters_on("port"), []);

        // Another agent has our place.
        let mut other =
            Programs::load(&pins.0, "bpother", SETTINGS, limits::ROUTES).expect("the programs load");
        other.attach_port(port).expect("the place is free");
        let error = programs.attach_port(port).expect_err("the place is taken").to_string();
        assert!(error.contains("'bagpipe:bpother'") && error.contains("tc filter show"), "{error}");
        programs.detach_port(port).expect("there is none of ours");
        assert_eq!(filters_on("port").len(), 1);

        let output = process::Command::new("tc").args(["filter", "show", "dev", "port", "ingress"]).output();
        let text = String::from_utf8_lossy(&output.expect("iproute2 is installed").stdout).into_owned();
        assert!(text.contains("u32"), "{text}");
    });
}

#[test]
fn no_packet_meets_a_port_without_its_program() {
    isolated("no_packet_meets_a_port_without_its_program", || {
        let pins = Pins::new("gapless");
        let host = Namespace::new();
        ip(&["link", "add", "port", "type", "veth", "peer", "name", "end", "netns", host.name()]);
        ip(&["link", "set", "port", "address", "02:00:00:00:00:01", "up"]);
        ip(&["address", "add", "192.0.2.1/24", "dev", "port"]);
        host.ip(&["link", "set", "end", "up"]);
        host.ip(&["address", "add", "192.0.2.2/24", "dev", "end"]);
        host.ip(&["neigh", "replace", "192.0.2.1", "lladdr", "02:00:00:00:00:01", "dev", "end"]);
        let inside = UdpSocket::bind("192.0.2.1:9").expect("bind");
        inside.set_read_timeout(Some(Duration::from_secs(5))).expect("a limit");
        let (sent, end) = (AtomicU32::new(0), AtomicBool::new(false));
        thread::scope(|scope| {
            // A panic here must end the flood as well.
            let flood = Flood(&end);
            scope.spawn(|| {
                let namespace =
                    fs::File::open(Path::new("/run/netns").join(host.name())).expect("the namespace");
                setns(namespace, CloneFlags::CLONE_NEWNET).expect("root may enter it");
                let socket = UdpSocket::bind("192.0.2.2:0").expect("bind");
                while !end.load(Ordering::Relaxed) {
                    socket.send_to(b"through", "192.0.2.1:9").expect("the link is up");
                    sent.fetch_add(1, Ordering::Relaxed);
                }
            });
            inside.recv(&mut [0; 8]).expect("without the program the kernel gets the packets");
            let mut programs = pins.load().expect("the programs load");
            programs.attach_port(ifindex("port")).expect("the port");
            inside.set_nonblocking(true).expect("a socket");
            // What got in before has come when one more has been sent and dropped: a veth keeps the order.
            let limit = Instant::now() + Duration::from_secs(5);
            let mut quiet = sent.load(Ordering::Relaxed);
            while sent.load(Ordering::Relaxed) < quiet + 5000 {
                if inside.recv(&mut [0; 8]).is_ok() {
                    quiet = sent.load(Ordering::Relaxed);
                }
                assert!(Instant::now() < limit, "the port's packets are not the kernel's");
            }
            let before = sent.load(Ordering::Relaxed);
            for _ in 0..20 {
                programs = pins.load().expect("the programs load again");
                for _ in 0..20 {
                    programs.attach_port(ifindex("port")).expect("the port is taken over");
                }
            }
            assert!(sent.load(Ordering::Relaxed) > before + 1000, "under traffic");
            assert!(inside.recv(&mut [0; 8]).is_err(), "a packet got past the program");
            drop((programs, flood));
        });
    });
}

/// Ends a flood of packets when dropped.
struct Flood<'a>(&'a AtomicBool);

impl Drop for Flood<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

#[test]
fn an_interface_that_came_back_with_the_same_index() {
    isolated("an_interface_that_came_back_with_the_same_index", || {
        let pins = Pins::new("again");
        let mut programs = pins.load().expect("the programs load");
        for _ in 0..2 {
            ip(&["link", "add", "port", "index", "77", "type", "veth", "peer", "name", "end"]);
            programs.attach_port(77).expect("the port");
            assert_eq!(filters_on("port").len(), 1);
            ip(&["link", "del", "port"]);
        }
    });
}

#[test]
fn a_map_of_another_layout_is_refused() {
    let pins = Pins::new("layout");
    drop(pins.load().expect("the programs load"));
    let maps = pins.0.join("maps");
    fs::remove_file(maps.join("FDB")).expect("the pin");
    let other = MapData::from_pin(maps.join("VPNS")).expect("a map");
    other.pin(maps.join("FDB")).expect("a pin");
    let error = pins.load().expect_err("the wrong map");
    assert!(matches!(error, LoadError::Layout { .. }), "{error}");
    assert!(error.to_string().contains("bagpipe cleanup"), "{error}");
}

#[test]
fn pins_need_a_bpf_file_system() {
    let directory = std::env::temp_dir().join(format!("bptest-nobpffs-{}", process::id()));
    let result = Programs::load(&directory, INSTANCE, SETTINGS, limits::ROUTES);
    let _ = fs::remove_dir_all(&directory);
    let error = result.expect_err("no BPF file system").to_string();
    assert!(error.contains("mount -t bpf"), "{error}");
}

fn map_ids(pins: &Path) -> Vec<u32> {
    MAPS.iter()
        .map(|(name, ..)| MapInfo::from_pin(pins.join("maps").join(name)).expect("the pinned map").id())
        .collect()
}
