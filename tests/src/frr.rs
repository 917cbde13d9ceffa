//! FRR: zebra and bgpd on one node, as a route reflector or as a VTEP over a kernel bridge and VXLAN device.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use bagpipe_agent::lab::{Lab, LabError, Node, Process, wait_until};
use serde_json::Value;

use crate::SOON;

const DAEMONS: &str = "/usr/lib/frr";

/// An FRR instance with its own directory of sockets and files.
#[derive(Debug)]
pub struct Frr {
    node: Node,
    directory: PathBuf,
    processes: Vec<(String, Process)>,
}

impl Frr {
    /// A reflector of E-VPN routes to every client of a prefix.
    ///
    /// # Errors
    /// When it does not start.
    pub fn reflector(lab: &Lab, node: &Node, address: &str, clients: &str) -> Result<Self, LabError> {
        let neighbors = format!(
            " neighbor clients peer-group\n neighbor clients remote-as 64512\n neighbor clients passive\n \
             bgp listen range {clients} peer-group clients\n"
        );
        let family = "  neighbor clients activate\n  neighbor clients route-reflector-client\n";
        Self::start(lab, node, &configuration(address, &neighbors, family))
    }

    /// A VTEP that advertises every VXLAN device of its node to a reflector. Its route target for a VNI is
    /// `64512:<vni>`.
    ///
    /// # Errors
    /// When it does not start.
    pub fn vtep(lab: &Lab, node: &Node, address: &str, reflector: &str) -> Result<Self, LabError> {
        let neighbors = format!(
            " neighbor {reflector} remote-as 64512\n neighbor {reflector} timers connect 1\n \
             neighbor {reflector} update-source {address}\n"
        );
        let family = format!("  neighbor {reflector} activate\n  advertise-all-vni\n");
        Self::start(lab, node, &configuration(address, &neighbors, &family))
    }

    /// Runs a command of the shell, which then prints JSON.
    ///
    /// # Errors
    /// When the daemons don't answer.
    pub fn json(&self, command: &str) -> Result<Value, LabError> {
        let text = self.vtysh(&format!("{command} json"))?;
        Ok(serde_json::from_str(&text).unwrap_or_default())
    }

    /// Number of established E-VPN sessions.
    #[must_use]
    pub fn sessions(&self) -> usize {
        let summary = self.json("show bgp l2vpn evpn summary").unwrap_or_default();
        let established = |peer: &&Value| peer.get("state").is_some_and(|state| state == "Established");
        let peers = summary.get("peers").and_then(Value::as_object);
        peers.map_or(0, |peers| peers.values().filter(established).count())
    }

    /// Runs a command of the shell.
    ///
    /// # Errors
    /// When the daemons don't answer.
    pub fn vtysh(&self, command: &str) -> Result<String, LabError> {
        let directory = self.directory.to_string_lossy();
        self.node.run(&["vtysh", "--vty_socket", directory.as_ref(), "-c", command])
    }

    /// The process number of a daemon.
    #[must_use]
    pub fn process_id(&self, daemon: &str) -> Option<u32> {
        self.processes.iter().find(|(name, _)| name == daemon).map(|(_, process)| process.id())
    }

    /// Starts the daemons with a configuration.
    ///
    /// # Errors
    /// When one does not start.
    pub fn start(lab: &Lab, node: &Node, configuration: &str) -> Result<Self, LabError> {
        let directory = lab.directory().join(format!("{}-frr", node.name()));
        let write = |path: &Path| {
            fs::create_dir_all(&directory)?;
            fs::write(path, configuration)
        };
        let file = directory.join("frr.conf");
        write(&file).map_err(|source| LabError::File { path: file.clone(), source })?;
        // The daemons give up root's rights and then write here.
        let owner = Command::new("chown").args(["-R", "frr:frr"]).arg(&directory).status();
        owner.map_err(|source| LabError::File { path: directory.clone(), source })?;

        let mut frr = Self { node: node.clone(), directory, processes: Vec::new() };
        frr.resume()?;
        Ok(frr)
    }

    /// SIGKILL for both daemons.
    pub fn kill(&mut self) {
        for (_, process) in self.processes.drain(..) {
            process.kill();
        }
    }

    /// Starts them again.
    ///
    /// # Errors
    /// When one does not start.
    pub fn resume(&mut self) -> Result<(), LabError> {
        self.daemon("zebra", &["-s", "90000000"])?;
        self.daemon("bgpd", &[])?;
        wait_until(SOON, "FRR answers", || self.vtysh("show bgp summary json").ok()).map(drop)
    }

    fn daemon(&mut self, name: &str, options: &[&str]) -> Result<(), LabError> {
        let directory = self.directory.to_string_lossy();
        let file = |suffix: &str| format!("{directory}/{suffix}");
        let program = format!("{DAEMONS}/{name}");
        let (config, pid, zserv) = (file("frr.conf"), file(&format!("{name}.pid")), file("zserv.api"));
        let log = format!("file:{}", file(&format!("{name}.log")));
        let common = [
            &program,
            "-f",
            &config,
            "-i",
            &pid,
            "-z",
            &zserv,
            "--vty_socket",
            directory.as_ref(),
            "--log",
            &log,
        ];
        // That of a killed one is still there; and if none is, all the better.
        let _ = fs::remove_file(file(&format!("{name}.vty")));
        let process = self.node.spawn(name, &[&common, options].concat())?;
        self.processes.push((name.to_owned(), process));
        // bgpd asks zebra for interfaces and VNIs as soon as it runs.
        wait_until(SOON, "socket of an FRR daemon", || {
            Path::new(&file(&format!("{name}.vty"))).exists().then_some(())
        })
    }
}

fn configuration(address: &str, neighbors: &str, family: &str) -> String {
    format!(
        "router bgp 64512\n bgp router-id {address}\n no bgp default ipv4-unicast\n timers bgp 3 9\n{neighbors} \
         address-family l2vpn evpn\n{family} exit-address-family\n"
    )
}
