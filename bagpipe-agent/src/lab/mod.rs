//! Networks in network namespaces, for the demo and the end-to-end tests.
//!
//! ```no_run
//! # fn main() -> Result<(), bagpipe_agent::lab::LabError> {
//! use bagpipe_agent::lab::Lab;
//!
//! let lab = Lab::new()?;
//! let underlay = lab.switch("underlay")?;
//! let left = lab.node("left")?;
//! let right = lab.node("right")?;
//! underlay.plug(&left, "eth0")?.address("eth0", "10.99.0.1/24")?;
//! underlay.plug(&right, "eth0")?.address("eth0", "10.99.0.2/24")?;
//! left.run(&["ping", "-c", "1", "10.99.0.2"])?;
//! # Ok(())
//! # }
//! ```
//!
//! Everything belongs to a [`Lab`] and ends with it: processes, namespaces, pinned BPF objects, files. That
//! holds for a panic and for SIGINT as well; what a killed process left is removed by the next lab. Tools are
//! iproute2, util-linux and procps, called without a shell.

mod agent;
mod capture;
mod error;
mod host;
mod node;
mod ping;
mod process;
mod remains;
mod switch;
mod wait;

use std::cell::Cell;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};

pub use agent::{Agent, AgentOptions, Attachment, BgpRole};
pub use capture::Capture;
pub use error::LabError;
pub use host::Host;
pub use node::{Node, Output};
pub use ping::{Loss, Ping};
pub use process::Process;
pub use switch::Switch;
pub use wait::wait_until;

/// A set of namespaces with everything in them.
#[derive(Debug)]
pub struct Lab {
    id: String,
    directory: PathBuf,
    agents: Cell<u32>,
    kept: bool,
}

impl Lab {
    /// An empty lab. Removes first what dead processes have left of theirs.
    ///
    /// # Errors
    /// Without root's rights, and when a tool is missing.
    pub fn new() -> Result<Self, LabError> {
        static SERIAL: AtomicU32 = AtomicU32::new(0);
        remains::require_root()?;
        remains::sweep();
        remains::remove_on_signal();
        mount_bpffs()?;
        let id = remains::id(SERIAL.fetch_add(1, Ordering::Relaxed));
        let directory = remains::directory(&id);
        fs::create_dir_all(&directory).map_err(|source| LabError::file(&directory, source))?;
        Ok(Self { id, directory, agents: Cell::new(0), kept: false })
    }

    /// A directory of this lab's own: configuration, sockets, logs, captures.
    #[must_use]
    pub fn directory(&self) -> &Path {
        &self.directory
    }

    /// Makes a node: a namespace without interfaces but `lo`.
    ///
    /// # Errors
    /// When `ip netns` or `sysctl` fails.
    pub fn node(&self, name: &str) -> Result<Node, LabError> {
        Node::create(&self.id, &self.directory, name)
    }

    /// Makes an Ethernet switch: a node with a bridge.
    ///
    /// # Errors
    /// As [`Self::node`].
    pub fn switch(&self, name: &str) -> Result<Switch, LabError> {
        Switch::create(self.node(name)?)
    }

    /// Joins two nodes by a pair of veth interfaces, both up.
    ///
    /// # Errors
    /// When an interface of that name exists already.
    pub fn link(&self, one: (&Node, &str), other: (&Node, &str)) -> Result<(), LabError> {
        let peer = other.0.namespace();
        one.0.ip(&["link", "add", one.1, "type", "veth", "peer", "name", other.1, "netns", peer])?;
        one.0.up(one.1)?;
        other.0.up(other.1)
    }

    /// A name for the next agent of this lab: it names its directory of pinned BPF objects and an interface,
    /// so it is short, and no other lab uses it.
    #[must_use]
    pub fn next_instance(&self) -> String {
        let number = self.agents.get();
        self.agents.set(number + 1);
        remains::instance(&self.id, number)
    }

    /// Leaves the lab standing after this process ends, until the next [`remove_kept`].
    ///
    /// # Errors
    /// When the mark that says so can't be written.
    pub fn keep(mut self) -> Result<(), LabError> {
        remains::keep(&self.id)?;
        self.kept = true;
        Ok(())
    }
}

impl Drop for Lab {
    fn drop(&mut self) {
        remains::halt_when_ending();
        if !self.kept {
            remains::remove(&self.id);
        }
    }
}

/// Removes labs left standing by [`Lab::keep`]; returns how many there were.
///
/// # Errors
/// Without root's rights.
pub fn remove_kept() -> Result<usize, LabError> {
    remains::require_root()?;
    Ok(remains::remove_kept())
}

/// Agents pin their maps in bpffs, which systemd mounts at boot and containers often don't have.
fn mount_bpffs() -> Result<(), LabError> {
    const BPFFS: &str = "/sys/fs/bpf";
    let mounts = Path::new("/proc/self/mounts");
    let text = fs::read_to_string(mounts).map_err(|source| LabError::file(mounts, source))?;
    let mounted = text.lines().any(|line| {
        let mut fields = line.split(' ').skip(1);
        fields.next() == Some(BPFFS) && fields.next() == Some("bpf")
    });
    if !mounted {
        let mut mount = std::process::Command::new("mount");
        node::run(mount.args(["-t", "bpf", "bpf", BPFFS]))?;
    }
    Ok(())
}
