//! bagpipe-bgp 21.0.0, the predecessor: a BGP speaker with a REST API, and a VTEP by its Linux VXLAN driver.
//!
//! It is installed from PyPI, once, into a virtual environment beside the test programs; that needs the network.

use std::env;
use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::net::TcpStream;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use bagpipe_agent::lab::{Lab, LabError, Node, Process};
use serde_json::{Value, json};

use crate::speaker::within;

/// What is installed, in a virtual environment of its own.
#[derive(Clone, Copy, Debug)]
struct Environment {
    name: &'static str,
    requirements: &'static str,
}

/// The daemon and its command line tools.
const DAEMON: Environment =
    Environment { name: "bagpipe-bgp", requirements: include_str!("../bagpipe-bgp.txt") };
/// The REST client of Neutron's agents, of a later version.
const CLIENT: Environment =
    Environment { name: "bagpipe-agent", requirements: include_str!("../bagpipe-agent.txt") };

/// Its API, in its node.
pub(crate) const API: &str = "127.0.0.1:8082";
/// It starts in four seconds, and in several times that on a busy machine.
const START: Duration = Duration::from_secs(60);
/// An answer may wait for its dataplane.
const ANSWER: Duration = Duration::from_secs(20);

/// A running bagpipe-bgp.
#[derive(Debug)]
pub struct BagpipeBgp {
    node: Node,
    config: PathBuf,
    process: Option<Process>,
}

/// What it is configured with.
#[derive(Clone, Copy, Debug)]
pub struct Options<'a> {
    /// Its address: BGP source, router id and tunnel endpoint.
    pub address: &'a str,
    /// The reflectors that it opens sessions to; it never listens.
    pub peers: &'a [&'a str],
    /// RT Constraint.
    pub rtc: bool,
    /// What becomes of its E-VPNs.
    pub driver: Driver,
}

/// A dataplane for E-VPNs; IP-VPNs have none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Driver {
    /// Control plane only.
    Dummy,
    /// Kernel bridge and VXLAN device.
    Linux,
}

/// An answer of its API.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// The HTTP status.
    pub status: u16,
    /// The body.
    pub body: String,
}

impl BagpipeBgp {
    /// Starts it on a node, and waits until it answers.
    ///
    /// # Errors
    /// When it can't be installed or does not start.
    pub fn start(lab: &Lab, node: &Node, options: &Options<'_>) -> Result<Self, LabError> {
        Self::configured(lab, node, &options.configuration())
    }

    /// The same with a configuration of its own, in its format; what becomes root for it is added.
    ///
    /// # Errors
    /// As [`Self::start`].
    pub fn configured(lab: &Lab, node: &Node, configuration: &str) -> Result<Self, LabError> {
        let config = lab.directory().join(format!("{}-bgp.conf", node.name()));
        let helper = program("privsep-helper")?;
        let privileges =
            format!("[privsep]\nhelper_command = {} --config-file {}\n", helper.display(), config.display());
        fs::write(&config, format!("{configuration}\n{privileges}"))
            .map_err(|source| file(&config, source))?;
        let mut speaker = Self { node: node.clone(), config, process: None };
        speaker.resume()?;
        Ok(speaker)
    }

    /// Starts it again.
    ///
    /// # Errors
    /// When it does not answer.
    pub fn resume(&mut self) -> Result<(), LabError> {
        let daemon = program("bagpipe-bgp")?;
        let path = search_path(&daemon);
        let words =
            ["env", &path, &daemon.to_string_lossy(), "--config-file", &self.config.to_string_lossy()]
                .map(str::to_owned);
        let mut process =
            self.node.spawn("bagpipe-bgp", &words.iter().map(String::as_str).collect::<Vec<_>>())?;
        process.wait_ready(START, "bagpipe-bgp", |_| {
            self.request("GET", "/ping", "").ok().filter(|answer| answer.status == 200)
        })?;
        self.process = Some(process);
        Ok(())
    }

    /// SIGKILL.
    pub fn kill(&mut self) {
        if let Some(process) = self.process.take() {
            process.kill();
        }
    }

    /// Its process number, while it runs.
    #[must_use]
    pub fn process_id(&self) -> Option<u32> {
        self.process.as_ref().map(Process::id)
    }

    /// The node it runs on.
    #[must_use]
    pub const fn node(&self) -> &Node {
        &self.node
    }

    /// What it logged so far, since it was last started.
    #[must_use]
    pub fn log(&self) -> String {
        self.process.as_ref().map(Process::printed).unwrap_or_default()
    }

    /// Asks its API.
    ///
    /// # Errors
    /// When it does not answer in HTTP.
    pub fn request(&self, method: &str, path: &str, body: &str) -> Result<Answer, LabError> {
        let failed = |source| LabError::File { path: PathBuf::from(format!("http://{API}{path}")), source };
        within(&self.node, || exchange(method, path, body)).map_err(failed)
    }

    /// Asks for something that must succeed, and returns its JSON.
    ///
    /// # Errors
    /// When it does not, with what it answered.
    pub fn json(&self, method: &str, path: &str, body: &str) -> Result<Value, LabError> {
        let answer = self.request(method, path, body)?;
        let value = serde_json::from_str(&answer.body).ok().filter(|_| answer.status == 200);
        value.ok_or_else(|| LabError::Failed {
            command: format!("{method} {path} {body}"),
            status: answer.status.to_string(),
            output: answer.body,
        })
    }

    /// A place of its looking glass, such as `/bgp/routes`.
    ///
    /// # Errors
    /// When there is none.
    pub fn looking_glass(&self, place: &str) -> Result<Value, LabError> {
        self.json("GET", &format!("/looking-glass{place}"), "")
    }

    /// Attaches a port to an E-VPN whose route target is imported and exported.
    ///
    /// # Errors
    /// When it refuses it.
    pub fn attach_evpn(&self, port: &str, mac: &str, address: &str, number: u32) -> Result<(), LabError> {
        let target = [format!("64512:{number}")];
        let body = json!({
            "vpn_type": "evpn", "vpn_instance_id": "blue", "vni": number, "local_port": {"linuxif": port},
            "mac_address": mac, "ip_address": address, "import_rt": target, "export_rt": target,
        });
        self.json("POST", "/attach_localport", &body.to_string()).map(drop)
    }

    /// Attaches a port to an IP-VPN whose route target is imported and exported.
    ///
    /// # Errors
    /// When it refuses it.
    pub fn attach_ipvpn(&self, port: &str, mac: &str, address: &str, target: &str) -> Result<(), LabError> {
        let body = json!({
            "vpn_type": "ipvpn", "vpn_instance_id": "red", "local_port": {"linuxif": port},
            "mac_address": mac, "ip_address": address, "gateway_ip": "0.0.0.0",
            "import_rt": [target], "export_rt": [target],
        });
        self.json("POST", "/attach_localport", &body.to_string()).map(drop)
    }

    /// Number of established sessions.
    #[must_use]
    pub fn sessions(&self) -> u64 {
        let summary = self.looking_glass("/summary").unwrap_or_default();
        summary["BGP_established_peers"].as_u64().unwrap_or(0)
    }
}

impl Options<'_> {
    fn configuration(&self) -> String {
        let driver = match self.driver {
            Driver::Dummy => "dummy",
            Driver::Linux => "linux",
        };
        let (host, port) = API.split_once(':').unwrap_or_default();
        format!(
            "[BGP]\nlocal_address = {}\npeers = {}\nmy_as = 64512\nenable_rtc = {}\n\
             [API]\nhost = {host}\nport = {port}\n[COMMON]\nroot_helper = env\n\
             [DATAPLANE_DRIVER_EVPN]\ndataplane_driver = {driver}\n\
             [DATAPLANE_DRIVER_IPVPN]\ndataplane_driver = dummy\n",
            self.address,
            self.peers.join(","),
            self.rtc,
        )
    }
}

/// One request on a connection of its own, as its server wants it (HTTP/1.0).
pub(crate) fn exchange(method: &str, path: &str, body: &str) -> io::Result<Answer> {
    let mut stream = TcpStream::connect(API)?;
    stream.set_read_timeout(Some(ANSWER))?;
    let head = format!(
        "{method} {path} HTTP/1.0\r\nHost: {API}\r\nAccept: application/json\r\nContent-Length: {}\r\n",
        body.len()
    );
    stream.write_all(format!("{head}Content-Type: application/json\r\n\r\n{body}").as_bytes())?;
    let mut text = String::new();
    stream.read_to_string(&mut text)?;
    let unreadable = || io::Error::other(format!("not an answer in HTTP: {text}"));
    let (head, body) = text.split_once("\r\n\r\n").ok_or_else(unreadable)?;
    let status = head.split(' ').nth(1).and_then(|status| status.parse().ok()).ok_or_else(unreadable)?;
    Ok(Answer { status, body: body.to_owned() })
}

/// A program of bagpipe-bgp's, after it has been installed.
///
/// # Errors
/// When it can't be installed.
pub fn program(name: &str) -> Result<PathBuf, LabError> {
    Ok(environment(DAEMON)?.join("bin").join(name))
}

/// The Python that has the REST client of Neutron's agents.
///
/// # Errors
/// When it can't be installed.
pub fn client_python() -> Result<PathBuf, LabError> {
    Ok(environment(CLIENT)?.join("bin/python"))
}

/// `PATH=...` with the directory of a program first.
fn search_path(program: &Path) -> String {
    let directory = program.parent().unwrap_or(program).display();
    format!("PATH={directory}:{}", env::var("PATH").unwrap_or_default())
}

/// The virtual environment. It is made by the first who asks, in any process, and made again when something else is to
/// be installed; a mark that is written last says what is in it.
fn environment(what: Environment) -> Result<PathBuf, LabError> {
    let Environment { name, requirements } = what;
    let top = target_directory();
    let (place, lock) = (top.join(name), top.join(format!("{name}.lock")));
    let _guard = File::create(&lock)
        .and_then(|lock| lock.lock().map(|()| lock))
        .map_err(|source| file(&lock, source))?;
    let mark = place.join("installed.txt");
    if fs::read_to_string(&mark).is_ok_and(|installed| installed == requirements) {
        return Ok(place);
    }
    let list = top.join(format!("{name}.txt"));
    fs::write(&list, requirements).map_err(|source| file(&list, source))?;
    run(Command::new("python3").args(["-m", "venv", "--clear"]).arg(&place))?;
    run(Command::new(place.join("bin/pip")).args(["install", "--quiet", "--no-deps", "-r"]).arg(&list))?;
    // Its Linux driver asks for the kernel's VXLAN module first, also when that is built in and no file tells of it.
    let modprobe = place.join("bin/modprobe");
    symlink("/bin/true", &modprobe).map_err(|source| file(&modprobe, source))?;
    fs::write(&mark, requirements).map_err(|source| file(&mark, source))?;
    Ok(place)
}

/// Where cargo puts what it makes: `target/<profile>/deps/<test>` is what runs.
fn target_directory() -> PathBuf {
    let test = env::current_exe().unwrap_or_default();
    test.ancestors().nth(3).map_or_else(env::temp_dir, Path::to_owned)
}

fn run(command: &mut Command) -> Result<(), LabError> {
    let shown = || {
        let words = std::iter::once(command.get_program()).chain(command.get_args());
        words.map(std::ffi::OsStr::to_string_lossy).collect::<Vec<_>>().join(" ")
    };
    let shown = shown();
    let output = command
        .stdin(Stdio::null())
        .output()
        .map_err(|source| LabError::Missing { program: shown.clone(), source })?;
    if output.status.success() {
        return Ok(());
    }
    let printed = String::from_utf8_lossy(&output.stderr).into_owned();
    Err(LabError::Failed { command: shown, status: output.status.to_string(), output: printed })
}

fn file(path: &Path, source: io::Error) -> LabError {
    LabError::File { path: path.to_owned(), source }
}
