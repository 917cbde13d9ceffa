//! The eBPF programs: loading them around the pinned maps, and putting them on interfaces.
//!
//! Maps and links are pinned, filters stay by themselves. A later agent adopts the maps, and replaces the programs one
//! by one, each at once: no packet meets an interface without its program.

mod error;
mod log;
mod port;

use std::os::fd::AsFd;
use std::os::unix::fs::DirBuilderExt;
use std::panic::resume_unwind;
use std::path::{Path, PathBuf};
use std::{fs, io, thread};

use aya::maps::{Map, MapData, MapInfo, MapType};
use aya::programs::links::{FdLink, LinkError, PinnedLink};
use aya::programs::tc::TcAttachOptions;
use aya::programs::{LinkOrder, Program, ProgramError, SchedClassifier, TcAttachType, Xdp, XdpMode};
use aya::{Ebpf, EbpfLoader};
use bagpipe_common::{
    Adjacency, Counters, Drop, Encap, EndpointKey, FdbKey, FloodKey, Label, Neighbor, NeighborKey, Port,
    RouteKey, Router, Rule, Settings, Target, Tunnel, TunnelKey, VlanKey, Vpn,
};

pub use error::{AttachError, LoadError};
pub(crate) use port::PortFilters;

use super::sys::interface_name;

/// The object with the programs, or nothing where it was not built.
pub static OBJECT: &[u8] = aya::include_bytes_aligned!(concat!(env!("OUT_DIR"), "/bagpipe-ebpf"));

/// The maps that are pinned: name, type, size of a key and of a value. The others are the programs' own.
pub const MAPS: &[(&str, MapType, usize, usize)] = &[
    ("PORT_OF_INTERFACE", MapType::Hash, size_of::<u32>(), size_of::<u32>()),
    ("PORT_OF_VLAN", MapType::Hash, size_of::<VlanKey>(), size_of::<u32>()),
    ("PORTS", MapType::Array, size_of::<u32>(), size_of::<Port>()),
    ("VPNS", MapType::Array, size_of::<u32>(), size_of::<Vpn>()),
    ("FDB", MapType::Hash, size_of::<FdbKey>(), size_of::<Target>()),
    ("NEIGHBORS", MapType::Hash, size_of::<NeighborKey>(), size_of::<Neighbor>()),
    ("FLOODS", MapType::Hash, size_of::<FloodKey>(), size_of::<Target>()),
    ("NEXTHOPS", MapType::Array, size_of::<u32>(), size_of::<u32>()),
    ("ENCAPS", MapType::Array, size_of::<u32>(), size_of::<Encap>()),
    ("TUNNELS", MapType::Hash, size_of::<TunnelKey>(), size_of::<Tunnel>()),
    ("VNIS", MapType::Hash, size_of::<u32>(), size_of::<u32>()),
    ("ADJACENCIES", MapType::Array, size_of::<u32>(), size_of::<Adjacency>()),
    ("GROUPS", MapType::Array, size_of::<u32>(), size_of::<Target>()),
    ("HOSTS", MapType::Hash, size_of::<NeighborKey>(), size_of::<Target>()),
    ("ROUTES", MapType::LpmTrie, size_of::<RouteKey>(), size_of::<Target>()),
    ("RULES", MapType::Array, size_of::<u32>(), size_of::<Rule>()),
    ("CLASSIFIERS", MapType::Array, size_of::<u32>(), size_of::<u32>()),
    ("LABELS", MapType::Hash, size_of::<u32>(), size_of::<Label>()),
    ("ENDPOINTS", MapType::Hash, size_of::<EndpointKey>(), size_of::<u32>()),
    ("ROUTERS", MapType::Array, size_of::<u32>(), size_of::<Router>()),
    ("SETTINGS", MapType::Array, size_of::<u32>(), size_of::<Settings>()),
    ("PORT_STATS", MapType::PerCpuArray, size_of::<u32>(), size_of::<Counters>()),
    ("VPN_STATS", MapType::PerCpuArray, size_of::<u32>(), size_of::<Counters>()),
    ("DROPS", MapType::PerCpuArray, size_of::<u32>(), size_of::<Drop>()),
];

const PORT: &str = "port_ingress";
const UNDERLAY: &str = "underlay_ingress";
const UNDERLAY_XDP: &str = "underlay_xdp";
const STRAY: &str = "stray_ingress";

/// Where packets from the underlay are decapsulated.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum UnderlayMode {
    /// In the driver where it can, else behind it.
    Auto,
    /// In the driver, before the kernel merges segments (native XDP).
    Xdp,
    /// Behind the driver (TC).
    Tc,
}

/// The loaded programs.
#[derive(Debug)]
pub struct Programs {
    object: Ebpf,
    links: PathBuf,
    ports: PortFilters,
}

impl Programs {
    /// Loads the programs. Maps pinned under `pins` are used, those that are missing are made and pinned there. The
    /// filters on ports bear the name of the instance. Maps that are made take so many routes of hosts, and as many of
    /// other prefixes.
    ///
    /// # Errors
    /// When the object was not built, a pinned map has another layout, or the kernel refuses; see [`LoadError`].
    pub fn load(
        pins: &Path,
        instance: &str,
        settings: Settings,
        maximum_routes: u32,
    ) -> Result<Self, LoadError> {
        if OBJECT.is_empty() {
            return Err(LoadError::NotBuilt);
        }
        let maps = pins.join("maps");
        let links = pins.join("links");
        for directory in [&maps, &links] {
            make_directory(directory)?;
        }
        let mut loader = EbpfLoader::new();
        for &(name, kind, key, value) in MAPS {
            let path = maps.join(name);
            check_layout(&path, name, kind, key, value)?;
            loader.map_pin_path(name, path);
        }
        for name in ["HOSTS", "ROUTES"] {
            loader.map_max_entries(name, maximum_routes);
        }
        let mut object = loader.load(OBJECT).map_err(LoadError::object)?;
        verify(&mut object)?;
        log::follow(&mut object).map_err(LoadError::Log)?;
        let ports = PortFilters::open(instance).map_err(LoadError::Netlink)?;
        let mut programs = Self { object, links, ports };
        programs.set(settings)?;
        Ok(programs)
    }

    /// The maps, by name: what the programs read and count.
    pub fn maps(&self) -> impl Iterator<Item = (&str, &Map)> {
        self.object.maps()
    }

    /// Puts the port program on an interface, or replaces the one that is there.
    ///
    /// # Errors
    /// When the kernel refuses, or the place is taken by another's filter.
    pub fn attach_port(&mut self, ifindex: u32) -> Result<(), AttachError> {
        let failed = AttachError::program(PORT, ifindex);
        let program = classifier(&mut self.object, PORT).map_err(&failed)?;
        self.ports.attach(ifindex, program.fd().map_err(&failed)?.as_fd())
    }

    /// Takes the port program off an interface, which may be gone.
    ///
    /// # Errors
    /// When the kernel refuses.
    pub fn detach_port(&mut self, ifindex: u32) -> Result<(), AttachError> {
        self.ports.detach(ifindex).map(drop)
    }

    /// Whether this port program is on an interface.
    ///
    /// # Errors
    /// When the kernel could not be asked.
    pub fn has_port(&mut self, ifindex: u32) -> Result<bool, AttachError> {
        let wanted = self.id(PORT, ifindex)?;
        let found = self.ports.program(ifindex).map_err(|error| AttachError::Filter { ifindex, error })?;
        Ok(found == Some(wanted))
    }

    /// Whether this underlay program (TC) is on an interface.
    ///
    /// # Errors
    /// When the kernel could not be asked.
    pub fn has_underlay(&mut self, ifindex: u32) -> Result<bool, AttachError> {
        let wanted = self.id(UNDERLAY, ifindex)?;
        let interface = interface_name(ifindex).map_err(|error| AttachError::Interface { ifindex, error })?;
        let (_, programs) = SchedClassifier::query_tcx(&interface, TcAttachType::Ingress)
            .map_err(AttachError::program(UNDERLAY, ifindex))?;
        Ok(programs.iter().any(|program| program.id() == wanted))
    }

    /// Puts the underlay programs on an interface, or replaces those that are there. Returns the mode that the
    /// interface works in: [`UnderlayMode::Xdp`] or [`UnderlayMode::Tc`].
    ///
    /// # Errors
    /// When the kernel refuses, or XDP is asked for and the interface is another XDP program's.
    pub fn attach_underlay(&mut self, ifindex: u32, mode: UnderlayMode) -> Result<UnderlayMode, AttachError> {
        self.attach_tc(UNDERLAY, "underlay", ifindex)?;
        let wanted = match mode {
            UnderlayMode::Tc => false,
            UnderlayMode::Xdp | UnderlayMode::Auto => true,
        };
        if !wanted {
            self.detach("xdp", ifindex)?;
            return Ok(UnderlayMode::Tc);
        }
        match self.attach_xdp(ifindex) {
            Ok(()) => Ok(UnderlayMode::Xdp),
            Err(error) if mode == UnderlayMode::Auto => {
                tracing::debug!(ifindex, %error, "no native XDP; decapsulating behind the driver");
                Ok(UnderlayMode::Tc)
            }
            Err(error) => Err(error),
        }
    }

    /// Takes the underlay programs off an interface, which may be gone.
    ///
    /// # Errors
    /// When a pinned link can't be removed.
    pub fn detach_underlay(&mut self, ifindex: u32) -> Result<(), AttachError> {
        self.detach("xdp", ifindex)?;
        self.detach("underlay", ifindex)
    }

    /// Puts the program that drops strays on the kernel's VXLAN device.
    ///
    /// # Errors
    /// When the kernel refuses.
    pub fn attach_stray(&mut self, ifindex: u32) -> Result<(), AttachError> {
        let failed = AttachError::program(STRAY, ifindex);
        let program = classifier(&mut self.object, STRAY).map_err(&failed)?;
        self.ports.attach(ifindex, program.fd().map_err(&failed)?.as_fd())
    }

    fn set(&mut self, settings: Settings) -> Result<(), LoadError> {
        let wrong = |error| LoadError::Map { name: "SETTINGS", error };
        let map = self.object.map_mut("SETTINGS").ok_or(LoadError::Missing { name: "SETTINGS" })?;
        let mut map = aya::maps::Array::<&mut MapData, Settings>::try_from(map).map_err(wrong)?;
        map.set(0, settings, 0).map_err(wrong)
    }

    fn attach_tc(&mut self, name: &'static str, role: &str, ifindex: u32) -> Result<(), AttachError> {
        let path = self.link_path(role, ifindex);
        let failed = AttachError::program(name, ifindex);
        let program = classifier(&mut self.object, name).map_err(&failed)?;
        if let Some(link) = pinned(&path).map_err(AttachError::link(&path))? {
            let replaced = link
                .try_into()
                .map_err(AttachError::link(&path))
                .and_then(|link| program.attach_to_link(link).map_err(&failed));
            if let Ok(id) = replaced {
                // The pin keeps the link; this handle of it is closed.
                return program.take_link(id).map(std::mem::drop).map_err(&failed);
            }
            // Its interface is gone, and the index was given to another one.
            remove_pin(&path)?;
        }
        let options = TcAttachOptions::TcxOrder(LinkOrder::default());
        let interface = interface_name(ifindex).map_err(|error| AttachError::Interface { ifindex, error })?;
        let id = program.attach_with_options(&interface, TcAttachType::Ingress, options).map_err(&failed)?;
        let link = program.take_link(id).map_err(&failed)?;
        let link: FdLink = link.try_into().map_err(AttachError::link(&path))?;
        link.pin(&path).map_err(|error| AttachError::Pin { path, error }).map(std::mem::drop)
    }

    fn attach_xdp(&mut self, ifindex: u32) -> Result<(), AttachError> {
        let path = self.link_path("xdp", ifindex);
        let failed = AttachError::program(UNDERLAY_XDP, ifindex);
        let program = xdp(&mut self.object).map_err(&failed)?;
        if let Some(link) = pinned(&path).map_err(AttachError::link(&path))? {
            let replaced = link
                .try_into()
                .map_err(AttachError::link(&path))
                .and_then(|link| program.attach_to_link(link).map_err(&failed));
            if let Ok(id) = replaced {
                return program.take_link(id).map(std::mem::drop).map_err(&failed);
            }
            remove_pin(&path)?;
        }
        let id = program.attach_to_if_index(ifindex, XdpMode::Driver).map_err(&failed)?;
        let link: FdLink =
            program.take_link(id).map_err(&failed)?.try_into().map_err(AttachError::link(&path))?;
        link.pin(&path).map_err(|error| AttachError::Pin { path, error }).map(std::mem::drop)
    }

    /// The identifier of a loaded classifier.
    fn id(&mut self, name: &'static str, ifindex: u32) -> Result<u32, AttachError> {
        let info = classifier(&mut self.object, name).and_then(|program| program.info());
        info.map(|info| info.id()).map_err(AttachError::program(name, ifindex))
    }

    fn detach(&self, role: &str, ifindex: u32) -> Result<(), AttachError> {
        remove_pin(&self.link_path(role, ifindex))
    }

    fn link_path(&self, role: &str, ifindex: u32) -> PathBuf {
        self.links.join(format!("{role}-{ifindex}"))
    }
}

/// Loads the programs into the kernel, all at the same time: the verifier works through each on a processor of its own.
fn verify(object: &mut Ebpf) -> Result<(), LoadError> {
    let programs = object.programs_mut().filter_map(|(name, program)| {
        Some(([PORT, UNDERLAY, STRAY, UNDERLAY_XDP].into_iter().find(|known| *known == name)?, program))
    });
    thread::scope(|scope| {
        let loads: Vec<_> = programs
            .map(|(name, program)| {
                let mut load = move || match program {
                    Program::SchedClassifier(program) => program.load(),
                    Program::Xdp(program) => program.load(),
                    _ => Err(ProgramError::UnexpectedProgramType),
                };
                scope.spawn(move || load().map_err(LoadError::program(name)))
            })
            .collect();
        loads.into_iter().try_for_each(|load| load.join().unwrap_or_else(|panic| resume_unwind(panic)))
    })
}

fn classifier<'a>(object: &'a mut Ebpf, name: &str) -> Result<&'a mut SchedClassifier, ProgramError> {
    object.program_mut(name).ok_or(ProgramError::NotLoaded)?.try_into()
}

fn xdp(object: &mut Ebpf) -> Result<&mut Xdp, ProgramError> {
    object.program_mut(UNDERLAY_XDP).ok_or(ProgramError::NotLoaded)?.try_into()
}

/// aya adopts whatever is pinned at a path; the programs would read it as something else.
fn check_layout(
    path: &Path,
    name: &'static str,
    kind: MapType,
    key: usize,
    value: usize,
) -> Result<(), LoadError> {
    if !path.exists() {
        return Ok(());
    }
    let wrong = |error| LoadError::Map { name, error };
    let info = MapInfo::from_pin(path).map_err(wrong)?;
    let same = info.map_type().map_err(wrong)? == kind
        && info.key_size() as usize == key
        && info.value_size() as usize == value;
    if same { Ok(()) } else { Err(LoadError::Layout { path: path.to_owned() }) }
}

fn make_directory(path: &Path) -> Result<(), LoadError> {
    // Who can open a pin can change where packets go.
    let made = fs::DirBuilder::new().recursive(true).mode(0o700).create(path);
    made.map_err(|error| LoadError::Directory { path: path.to_owned(), error })
}

/// A pinned link, if there is one.
fn pinned(path: &Path) -> Result<Option<FdLink>, LinkError> {
    match PinnedLink::from_pin(path) {
        Ok(link) => Ok(Some(link.into())),
        Err(LinkError::SyscallError(error)) if error.io_error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

/// Removing the pin of a link closes it: the program leaves the interface.
fn remove_pin(path: &Path) -> Result<(), AttachError> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            Err(AttachError::Unpin { path: path.to_owned(), error })
        }
        _ => Ok(()),
    }
}
