//! A node: one network namespace, and what is run in it.

use std::fs::File;
use std::io;
use std::net::{SocketAddr, UdpSocket};
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::thread;

use super::{LabError, Process, remains};
use crate::sys::enter_network_namespace;

/// One network namespace. Clones are the same node.
#[derive(Clone, Debug)]
pub struct Node {
    name: String,
    namespace: String,
    directory: PathBuf,
}

/// What a program printed and how it ended.
#[derive(Clone, Debug)]
pub struct Output {
    /// Whether its exit code was 0.
    pub success: bool,
    /// Its exit code, when it was not ended by a signal.
    pub code: Option<i32>,
    /// Its standard output.
    pub stdout: String,
    /// Its standard error.
    pub stderr: String,
}

/// Per-interface settings of a new namespace. Only what a test or demo sends is to be seen on the wire: no
/// automatic link-local addresses, hence no router solicitations or multicast reports. And a reverse path
/// filter must not decide a test.
const SETTINGS: [&str; 5] = [
    "net.ipv6.conf.default.addr_gen_mode=1",
    "net.ipv6.conf.default.accept_ra=0",
    "net.ipv6.conf.default.router_solicitations=0",
    "net.ipv4.conf.default.rp_filter=0",
    "net.ipv4.conf.all.rp_filter=0",
];

impl Node {
    pub(super) fn create(lab: &str, directory: &Path, name: &str) -> Result<Self, LabError> {
        remains::halt_when_ending();
        let namespace = format!("{lab}-{name}");
        run(Command::new("ip").args(["netns", "add", &namespace]))?;
        let node = Self { name: name.to_owned(), namespace, directory: directory.to_owned() };
        run(node.command("sysctl").arg("-qw").args(SETTINGS))?;
        node.up("lo")?;
        Ok(node)
    }

    /// The name within the lab.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The name that `ip netns` knows.
    #[must_use]
    pub fn namespace(&self) -> &str {
        &self.namespace
    }

    /// The lab's directory.
    #[must_use]
    pub fn directory(&self) -> &Path {
        &self.directory
    }

    /// A command that will run in this namespace. `nsenter` and not `ip netns exec`, which hides bpffs behind
    /// a fresh `/sys`.
    #[must_use]
    pub fn command(&self, program: impl AsRef<std::ffi::OsStr>) -> Command {
        remains::halt_when_ending();
        let mut command = Command::new("nsenter");
        command.arg(format!("--net=/run/netns/{}", self.namespace)).arg("--").arg(program);
        command
    }

    /// Runs a program to its end and returns its standard output.
    ///
    /// # Errors
    /// When it fails, with what it printed.
    pub fn run(&self, line: &[&str]) -> Result<String, LabError> {
        run(&mut self.line(line))
    }

    /// Runs a program to its end, whichever end that is.
    ///
    /// # Errors
    /// When it can't be started.
    pub fn output(&self, line: &[&str]) -> Result<Output, LabError> {
        output(&mut self.line(line))
    }

    /// Starts a program that goes on running; what it prints goes to `<node>-<name>.log` in the lab's
    /// directory, or with a number if there is one already.
    ///
    /// # Errors
    /// When it can't be started.
    pub fn spawn(&self, name: &str, line: &[&str]) -> Result<Process, LabError> {
        Process::spawn(self.line(line), &self.directory, &format!("{}-{name}", self.name))
    }

    /// Runs `ip` in this namespace.
    ///
    /// # Errors
    /// As [`Self::run`].
    pub fn ip(&self, arguments: &[&str]) -> Result<String, LabError> {
        remains::halt_when_ending();
        run(Command::new("ip").args(["-n", &self.namespace]).args(arguments))
    }

    /// Adds an address with its prefix length. It can be used at once: an IPv6 address is not probed for duplicates.
    ///
    /// # Errors
    /// As [`Self::run`].
    pub fn address(&self, interface: &str, prefix: &str) -> Result<(), LabError> {
        let unprobed: &[&str] = if prefix.contains(':') { &["nodad"] } else { &[] };
        self.ip(&[&["address", "add", prefix, "dev", interface], unprobed].concat()).map(drop)
    }

    /// Sets an interface up.
    ///
    /// # Errors
    /// As [`Self::run`].
    pub fn up(&self, interface: &str) -> Result<(), LabError> {
        self.ip(&["link", "set", interface, "up"]).map(drop)
    }

    /// Sets an interface down.
    ///
    /// # Errors
    /// As [`Self::run`].
    pub fn down(&self, interface: &str) -> Result<(), LabError> {
        self.ip(&["link", "set", interface, "down"]).map(drop)
    }

    /// Sets the hardware address of an interface.
    ///
    /// # Errors
    /// As [`Self::run`].
    pub fn mac(&self, interface: &str, mac: &str) -> Result<(), LabError> {
        self.ip(&["link", "set", interface, "address", mac]).map(drop)
    }

    /// Sets the largest IP packet that an interface takes, in bytes.
    ///
    /// # Errors
    /// As [`Self::run`].
    pub fn mtu(&self, interface: &str, bytes: u32) -> Result<(), LabError> {
        self.ip(&["link", "set", interface, "mtu", &bytes.to_string()]).map(drop)
    }

    /// Sets a kernel parameter of this namespace.
    ///
    /// # Errors
    /// As [`Self::run`].
    pub fn sysctl(&self, name: &str, value: &str) -> Result<(), LabError> {
        self.run(&["sysctl", "-qw", &format!("{name}={value}")]).map(drop)
    }

    /// Sends a UDP datagram from an address of this node to that of another, `count` times.
    ///
    /// # Errors
    /// When the node does not have the address, or knows no way to the other.
    pub fn send_udp(
        &self,
        from: SocketAddr,
        to: SocketAddr,
        data: &[u8],
        count: u64,
    ) -> Result<(), LabError> {
        remains::halt_when_ending();
        let path = Path::new("/run/netns").join(&self.namespace);
        let send = || {
            enter_network_namespace(File::open(&path)?.as_fd())?;
            let socket = UdpSocket::bind(from)?;
            (0..count).try_for_each(|_| socket.send_to(data, to).map(drop))
        };
        // Only a thread goes into the namespace, one that ends there.
        let sent = thread::scope(|scope| scope.spawn(send).join());
        sent.unwrap_or_else(|_| Err(io::Error::other("the sending thread ended early")))
            .map_err(|source| LabError::file(&path, source))
    }

    fn line(&self, line: &[&str]) -> Command {
        let (program, arguments) = line.split_first().unwrap_or((&"true", &[]));
        let mut command = self.command(program);
        command.args(arguments);
        command
    }
}

/// Runs a command to its end and returns its standard output.
pub(super) fn run(command: &mut Command) -> Result<String, LabError> {
    let output = output(command)?;
    if output.success {
        return Ok(output.stdout);
    }
    let status = output.code.map_or("by a signal".to_owned(), |code| format!("exit code {code}"));
    let printed = format!("{}{}", output.stderr, output.stdout).trim().to_owned();
    Err(LabError::Failed { command: shown(command), status, output: printed })
}

fn output(command: &mut Command) -> Result<Output, LabError> {
    let output = command
        .stdin(Stdio::null())
        .output()
        .map_err(|source| LabError::Missing { program: shown(command), source })?;
    Ok(Output {
        success: output.status.success(),
        code: output.status.code(),
        stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
        stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
    })
}

/// The command line as a person would type it.
pub(super) fn shown(command: &Command) -> String {
    let words = std::iter::once(command.get_program()).chain(command.get_args());
    words.map(std::ffi::OsStr::to_string_lossy).collect::<Vec<_>>().join(" ")
}
