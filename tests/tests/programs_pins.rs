//! Loading, pinning, attaching and replacing the programs, as the agent does.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};
use std::{fs, process, thread};

use aya::maps::{MapData, MapInfo};
use aya::programs::{SchedClassifier, TcAttachType};
use bagpipe_agent::dataplane::programs::{LoadError, MAPS, Programs, UnderlayMode};
use bagpipe_common::Settings;
use bagpipe_tests::isolated::{ip, isolated};

const SETTINGS: Settings = Settings { vxlan_port: 4789, zero: [0; 3] };

/// A directory for pins, removed with the pins when this is dropped.
struct Pins(PathBuf);

impl Pins {
    fn new(name: &str) -> Self {
        Self(PathBuf::from(format!("/sys/fs/bpf/bptest-{name}-{}", process::id())))
    }

    fn load(&self) -> Result<Programs, LoadError> {
        Programs::load(&self.0, SETTINGS)
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

/// The identifiers of the programs on an interface.
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
        assert_eq!(first.attach_underlay(under, UnderlayMode::Tc).expect("the underlay"), UnderlayMode::Tc);
        first.attach_stray(under).expect("the stray");
        let maps: Vec<u32> = map_ids(&pins.0);
        let before = programs_on("port");
        assert_eq!(before.len(), 1);
        assert_eq!(programs_on("under").len(), 2);
        drop(first);
        assert_eq!(programs_on("port"), before, "the link is pinned");

        let mut second = pins.load().expect("the programs load again");
        assert_eq!(map_ids(&pins.0), maps, "the maps are the same");
        second.attach_port(port).expect("the port is taken over");
        let after = programs_on("port");
        assert_eq!(after.len(), 1);
        assert_ne!(after, before, "the program is the new one");
        assert_eq!(
            second.attach_underlay(under, UnderlayMode::Xdp).expect("XDP on a veth"),
            UnderlayMode::Xdp
        );
        assert_eq!(second.attach_underlay(under, UnderlayMode::Xdp).expect("XDP again"), UnderlayMode::Xdp);
        second.detach_underlay(under).expect("the underlay is left");
        second.detach_port(port).expect("the port is left");
        second.detach_port(port).expect("nothing is there any more");
        // The kernel takes the program off a moment after the pin is gone.
        let limit = Instant::now() + Duration::from_secs(5);
        while !programs_on("port").is_empty() {
            assert!(Instant::now() < limit, "the program stays");
            thread::yield_now();
        }
        assert!(second.attach_port(9999).is_err());
    });
}

#[test]
fn an_interface_that_came_back_with_the_same_index() {
    isolated("an_interface_that_came_back_with_the_same_index", || {
        let pins = Pins::new("again");
        let mut programs = pins.load().expect("the programs load");
        for _ in 0..2 {
            ip(&["link", "add", "port", "index", "77", "type", "veth", "peer", "name", "end"]);
            programs.attach_port(77).expect("the port");
            assert_eq!(programs_on("port").len(), 1);
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
    let result = Programs::load(&directory, SETTINGS);
    let _ = fs::remove_dir_all(&directory);
    let error = result.expect_err("no BPF file system").to_string();
    assert!(error.contains("mount -t bpf"), "{error}");
}

fn map_ids(pins: &Path) -> Vec<u32> {
    MAPS.iter()
        .map(|(name, ..)| MapInfo::from_pin(pins.join("maps").join(name)).expect("the pinned map").id())
        .collect()
}
