//! Why programs can't be loaded or attached, and what to do about it.

use std::io;
use std::path::{Path, PathBuf};

use aya::EbpfError;
use aya::maps::MapError;
use aya::pin::PinError;
use aya::programs::ProgramError;
use aya::programs::links::LinkError;

/// Why the programs can't be loaded.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// The binary was built without the programs.
    #[error(
        "this binary has no eBPF programs: build them with 'cargo xtask build-ebpf', then build it again"
    )]
    NotBuilt,
    /// The process lacks a capability.
    #[error(
        "not permitted to load eBPF programs: run as root, or with CAP_BPF, CAP_NET_ADMIN and CAP_PERFMON"
    )]
    NotPermitted,
    /// The directory for the pins can't be made.
    #[error("can't make {}: {error}; pins need a BPF file system: 'mount -t bpf bpf /sys/fs/bpf'", .path.display())]
    Directory {
        /// The directory.
        path: PathBuf,
        /// What the kernel said.
        error: io::Error,
    },
    /// A map can't be pinned.
    #[error("can't pin map {name}: {error}; pins need a BPF file system: 'mount -t bpf bpf /sys/fs/bpf'")]
    Pin {
        /// Name of the map.
        name: String,
        /// What the kernel said.
        error: PinError,
    },
    /// A pinned map is another program's, or of another version.
    #[error("{} is not a map of this version; remove what another one left with 'bagpipe cleanup'", .path.display())]
    Layout {
        /// The pin.
        path: PathBuf,
    },
    /// A map can't be read or written.
    #[error("map {name}: {error}")]
    Map {
        /// Name of the map.
        name: &'static str,
        /// What the kernel said.
        error: MapError,
    },
    /// The object lacks a map.
    #[error("the eBPF object has no map {name}: build it again with 'cargo xtask build-ebpf'")]
    Missing {
        /// Name of the map.
        name: &'static str,
    },
    /// The kernel does not take a program.
    #[error("the kernel refuses the program {name}: {error}; Linux 6.6 or later is needed")]
    Program {
        /// Name of the program.
        name: &'static str,
        /// What the kernel said.
        error: Box<ProgramError>,
    },
    /// There is no netlink.
    #[error("can't open a netlink socket: {0}")]
    Netlink(io::Error),
    /// What the programs log can't be read.
    #[error("can't read what the eBPF programs log: {0}; build them without logging: cargo xtask build-ebpf")]
    Log(io::Error),
    /// The object can't be read.
    #[error("can't load the eBPF object: {0}")]
    Object(Box<EbpfError>),
}

impl LoadError {
    pub(super) fn object(error: EbpfError) -> Self {
        match error {
            EbpfError::MapError(MapError::CreateError { io_error, .. }) if is_not_permitted(&io_error) => {
                Self::NotPermitted
            }
            EbpfError::MapError(MapError::PinError { name, error }) => {
                Self::Pin { name: name.unwrap_or_default(), error }
            }
            error => Self::Object(Box::new(error)),
        }
    }

    pub(super) fn program(name: &'static str) -> impl Fn(ProgramError) -> Self {
        move |error| match error {
            ProgramError::LoadError { io_error, .. } if is_not_permitted(&io_error) => Self::NotPermitted,
            error => Self::Program { name, error: Box::new(error) },
        }
    }
}

/// `EPERM` alone: with `EACCES`, the other error of this kind, the verifier refuses a program.
fn is_not_permitted(error: &io::Error) -> bool {
    error.raw_os_error() == Some(libc::EPERM)
}

/// Why a program can't be put on an interface, or taken off it.
#[derive(Debug, thiserror::Error)]
pub enum AttachError {
    /// There is no such interface.
    #[error("no interface has the index {ifindex}: {error}")]
    Interface {
        /// Index of the interface.
        ifindex: u32,
        /// What the kernel said.
        error: io::Error,
    },
    /// Another XDP program is on the interface.
    #[error(
        "another XDP program is on interface {ifindex}: remove it ('ip link set dev NAME xdp off'), or let the \
         agent use TC"
    )]
    Busy {
        /// Index of the interface.
        ifindex: u32,
    },
    /// The kernel does not attach a program.
    #[error("can't attach the program {name} to interface {ifindex}: {error}")]
    Program {
        /// Name of the program.
        name: &'static str,
        /// Index of the interface.
        ifindex: u32,
        /// What the kernel said.
        error: Box<ProgramError>,
    },
    /// The kernel does not put the port program on an interface, or take it off.
    #[error(
        "can't change the filter on interface {ifindex}: {error}; the kernel needs CONFIG_NET_CLS_BPF and \
         CONFIG_NET_SCH_INGRESS"
    )]
    Filter {
        /// Index of the interface.
        ifindex: u32,
        /// What the kernel said.
        error: io::Error,
    },
    /// Another filter has the place of ours.
    #[error(
        "the filter '{name}' on interface {ifindex} has the priority of the port program: remove it \
         ('tc filter show dev NAME ingress' shows it)"
    )]
    Taken {
        /// Index of the interface.
        ifindex: u32,
        /// Name of the filter.
        name: String,
    },
    /// A pinned link can't be used.
    #[error("the link pinned at {} can't be used: {error}; 'bagpipe cleanup' removes it", .path.display())]
    Link {
        /// The pin.
        path: PathBuf,
        /// What the kernel said.
        error: LinkError,
    },
    /// A link can't be pinned.
    #[error("can't pin the link at {}: {error}", .path.display())]
    Pin {
        /// The pin.
        path: PathBuf,
        /// What the kernel said.
        error: PinError,
    },
    /// A pin can't be removed.
    #[error("can't remove {}: {error}", .path.display())]
    Unpin {
        /// The pin.
        path: PathBuf,
        /// What the kernel said.
        error: io::Error,
    },
}

impl AttachError {
    pub(super) fn program(name: &'static str, ifindex: u32) -> impl Fn(ProgramError) -> Self {
        move |error| match &error {
            ProgramError::SyscallError(cause) if cause.io_error.raw_os_error() == Some(libc::EBUSY) => {
                Self::Busy { ifindex }
            }
            _ => Self::Program { name, ifindex, error: Box::new(error) },
        }
    }

    pub(super) fn link(path: &Path) -> impl Fn(LinkError) -> Self {
        move |error| Self::Link { path: path.to_owned(), error }
    }
}
