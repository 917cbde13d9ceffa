//! `bagpipe agent` on a node of a lab, and its command line.

use std::fmt::Write as _;
use std::fs;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde_json::Value;

use super::{Lab, LabError, Node, Output, Process};

const LIMIT: Duration = Duration::from_secs(10);

/// What an agent is configured with.
#[derive(Clone, Debug)]
pub struct AgentOptions<'a> {
    /// Its address: BGP source and tunnel endpoint.
    pub address: &'a str,
    /// Router id; needed when the address is IPv6.
    pub router_id: Option<&'a str>,
    /// Its place in BGP.
    pub role: BgpRole<'a>,
    /// The interface that carries encapsulated traffic; `None` for an agent without data plane.
    pub underlay: Option<&'a str>,
    /// BGP hold time in seconds.
    pub hold_time: u16,
}

/// An agent's place in BGP.
#[derive(Clone, Copy, Debug)]
pub enum BgpRole<'a> {
    /// Route reflector for this prefix (RFC 4456).
    Reflector(&'a str),
    /// Client of the reflectors with these addresses.
    Client(&'a [&'a str]),
}

/// A port to attach.
#[derive(Clone, Debug)]
pub struct Attachment {
    /// Name of the VPN instance.
    pub vpn: String,
    /// The interface.
    pub port: String,
    /// The MAC address behind it.
    pub mac: String,
    /// The IP addresses of the MAC address.
    pub addresses: Vec<String>,
    /// The route target, imported and exported.
    pub route_target: String,
    /// The VNI; `None` to have one allocated.
    pub vni: Option<u32>,
}

/// An agent. It outlives [`kill`](Self::kill) and [`stop`](Self::stop): [`resume`](Self::resume) starts it again
/// with the same configuration and state.
#[derive(Debug)]
pub struct Agent {
    node: Node,
    binary: PathBuf,
    instance: String,
    config: PathBuf,
    socket: PathBuf,
    process: Option<Process>,
}

impl AgentOptions<'_> {
    /// The configuration that says so: tables may be added to it.
    #[must_use]
    pub fn configuration(&self) -> String {
        let mut text = String::new();
        // Writing to a string does not fail.
        let _ = write!(
            text,
            "[bgp]\nlocal_address = \"{}\"\nas_number = 64512\nhold_time = {}\n",
            self.address, self.hold_time
        );
        if let Some(router_id) = self.router_id {
            let _ = writeln!(text, "router_id = \"{router_id}\"");
        }
        match self.role {
            BgpRole::Reflector(clients) => {
                let _ = writeln!(text, "[bgp.reflector]\nclients = [\"{clients}\"]");
            }
            BgpRole::Client(reflectors) => {
                for reflector in reflectors {
                    let _ = writeln!(text, "[[bgp.peers]]\naddress = \"{reflector}\"");
                }
            }
        }
        let _ = match self.underlay {
            Some(interface) => writeln!(text, "[dataplane]\nunderlay = [\"{interface}\"]"),
            None => writeln!(text, "[dataplane]\ndriver = \"none\""),
        };
        text
    }
}

impl Agent {
    /// Configures and starts an agent, and waits until it answers.
    ///
    /// # Errors
    /// When it does not start, with the end of its log.
    pub fn start(
        lab: &Lab,
        binary: &Path,
        node: &Node,
        options: &AgentOptions<'_>,
    ) -> Result<Self, LabError> {
        Self::configured(lab, binary, node, &options.configuration())
    }

    /// Starts an agent with a configuration of which sockets and directories are still missing, and waits until it
    /// answers.
    ///
    /// # Errors
    /// As [`Self::start`].
    pub fn configured(lab: &Lab, binary: &Path, node: &Node, configuration: &str) -> Result<Self, LabError> {
        let instance = lab.next_instance();
        let file = |suffix: &str| lab.directory().join(format!("{}-agent.{suffix}", node.name()));
        let (config, socket, state) = (file("toml"), file("sock"), file("state"));
        fs::create_dir_all(&state).map_err(|source| LabError::file(&state, source))?;
        let text = format!("{configuration}{}", places(&socket, &state));
        fs::write(&config, text).map_err(|source| LabError::file(&config, source))?;
        let mut agent =
            Self { node: node.clone(), binary: binary.to_owned(), instance, config, socket, process: None };
        agent.resume()?;
        Ok(agent)
    }

    /// The node it runs on.
    #[must_use]
    pub fn node(&self) -> &Node {
        &self.node
    }

    /// Its name, which is that of its directory of pinned BPF objects.
    #[must_use]
    pub fn instance(&self) -> &str {
        &self.instance
    }

    /// Its process number, while it runs.
    #[must_use]
    pub fn process_id(&self) -> Option<u32> {
        self.process.as_ref().map(Process::id)
    }

    /// Its configuration file.
    #[must_use]
    pub fn config(&self) -> &Path {
        &self.config
    }

    /// The unix socket of its API.
    #[must_use]
    pub fn socket(&self) -> &Path {
        &self.socket
    }

    /// What it logged so far, since it was last started.
    #[must_use]
    pub fn log(&self) -> String {
        self.process.as_ref().map(Process::printed).unwrap_or_default()
    }

    /// Starts it again, and waits until it answers.
    ///
    /// # Errors
    /// When it does not start, with the end of its log.
    pub fn resume(&mut self) -> Result<(), LabError> {
        let binary = self.binary.to_string_lossy();
        let config = self.config.to_string_lossy();
        let line = [binary.as_ref(), "agent", "--instance", &self.instance, "--config", config.as_ref()];
        let mut process = self.node.spawn("agent", &line)?;
        process.wait_ready(LIMIT, "bagpipe agent", |_| UnixStream::connect(&self.socket).ok())?;
        self.process = Some(process);
        Ok(())
    }

    /// SIGKILL.
    pub fn kill(&mut self) {
        if let Some(process) = self.process.take() {
            process.kill();
        }
    }

    /// SIGTERM.
    ///
    /// # Errors
    /// When it does not end in time.
    pub fn stop(&mut self) -> Result<(), LabError> {
        match self.process.take() {
            Some(process) => process.terminate(LIMIT).map(drop),
            None => Ok(()),
        }
    }

    /// Leaves it running when this value is dropped.
    pub fn leave(mut self) {
        if let Some(process) = self.process.take() {
            process.leave();
        }
    }

    /// Runs a subcommand of `bagpipe` against this agent, and returns what it printed.
    ///
    /// # Errors
    /// When it fails.
    pub fn cli(&self, arguments: &[&str]) -> Result<String, LabError> {
        self.node.run(&self.words(arguments).iter().map(String::as_str).collect::<Vec<_>>())
    }

    /// Runs a subcommand of `bagpipe` against this agent, whichever way it ends.
    ///
    /// # Errors
    /// When it can't be started.
    pub fn output(&self, arguments: &[&str]) -> Result<Output, LabError> {
        self.node.output(&self.words(arguments).iter().map(String::as_str).collect::<Vec<_>>())
    }

    /// Runs a reading subcommand with `-o json`, and returns what it printed. A degraded agent answers as well.
    ///
    /// # Errors
    /// When it fails, or prints something else than JSON.
    pub fn json(&self, arguments: &[&str]) -> Result<Value, LabError> {
        let arguments = [arguments, &["-o", "json"]].concat();
        let output = self.output(&arguments)?;
        serde_json::from_str(&output.stdout).map_err(|error| LabError::Failed {
            command: self.shown(&arguments),
            status: error.to_string(),
            output: output.stderr + &output.stdout,
        })
    }

    /// Packets that its programs dropped for a reason, by the name of the reason.
    ///
    /// # Errors
    /// When the agent does not answer.
    pub fn dropped(&self, reason: &str) -> Result<u64, LabError> {
        let status = self.json(&["status"])?;
        let reasons = status.pointer("/dataplane/dropped").and_then(Value::as_array);
        let counted = |entry: &&Value| entry.get("reason").is_some_and(|name| name == reason);
        let entry = reasons.and_then(|reasons| reasons.iter().find(counted));
        // A reason that has dropped nothing is left out.
        Ok(entry.and_then(|entry| entry.get("packets")?.as_u64()).unwrap_or(0))
    }

    /// Attaches a port.
    ///
    /// # Errors
    /// When the agent refuses it.
    pub fn attach(&self, attachment: &Attachment) -> Result<(), LabError> {
        let words = attachment.attach();
        self.cli(&words.iter().map(String::as_str).collect::<Vec<_>>()).map(drop)
    }

    /// Detaches a port with all addresses of its MAC address.
    ///
    /// # Errors
    /// When the agent refuses it.
    pub fn detach(&self, attachment: &Attachment) -> Result<(), LabError> {
        let words = attachment.detach();
        self.cli(&words.iter().map(String::as_str).collect::<Vec<_>>()).map(drop)
    }

    /// The command line as a person would type it in the node.
    #[must_use]
    pub fn shown(&self, arguments: &[&str]) -> String {
        self.words(arguments).join(" ")
    }

    fn words(&self, arguments: &[&str]) -> Vec<String> {
        let path = |path: &Path| path.to_string_lossy().into_owned();
        let mut words = vec![path(&self.binary), "--instance".to_owned(), self.instance.clone()];
        words.extend(["--socket".to_owned(), path(&self.socket)]);
        words.extend(arguments.iter().map(|&word| word.to_owned()));
        words
    }
}

impl Attachment {
    /// The words of `bagpipe attach`.
    #[must_use]
    pub fn attach(&self) -> Vec<String> {
        let mut words = self.words("attach");
        words.extend(["--rt".to_owned(), self.route_target.clone()]);
        if let Some(vni) = self.vni {
            words.extend(["--vni".to_owned(), vni.to_string()]);
        }
        for address in &self.addresses {
            words.extend(["--ip".to_owned(), address.clone()]);
        }
        words
    }

    fn detach(&self) -> Vec<String> {
        self.words("detach")
    }

    fn words(&self, verb: &str) -> Vec<String> {
        let words = [verb, "--vpn", &self.vpn, "--type", "evpn", "--port", &self.port, "--mac", &self.mac];
        words.map(str::to_owned).to_vec()
    }
}

/// The REST API on TCP is off: all agents would share the port of a loopback address of their own, but nothing here
/// uses it.
fn places(socket: &Path, state: &Path) -> String {
    let (socket, state) = (socket.display(), state.display());
    format!("[api]\nlisten = \"\"\nsocket = \"{socket}\"\n[state]\ndirectory = \"{state}\"\n")
}
