//! GoBGP as a route reflector.

use std::fs;
use std::path::PathBuf;

use bagpipe_agent::lab::{Lab, LabError, Node, Process, wait_until};
use serde_json::Value;

use crate::SOON;

/// A gobgpd that reflects E-VPN and RT Constraint routes to every client of a prefix.
#[derive(Debug)]
pub struct Reflector {
    node: Node,
    config: PathBuf,
    process: Option<Process>,
}

impl Reflector {
    /// Starts it, and waits until it answers.
    ///
    /// # Errors
    /// When it does not.
    pub fn start(lab: &Lab, node: &Node, address: &str, clients: &str) -> Result<Self, LabError> {
        Self::of_families(lab, node, (address, address), clients, &["l2vpn-evpn", "rtc"])
    }

    /// The same for other families, in GoBGP's words, with an address and a router id.
    ///
    /// # Errors
    /// As [`Self::start`].
    pub fn of_families(
        lab: &Lab,
        node: &Node,
        itself: (&str, &str),
        clients: &str,
        families: &[&str],
    ) -> Result<Self, LabError> {
        Self::configured(lab, node, &configuration(itself, clients, families))
    }

    /// Starts gobgpd with a configuration, and waits until it answers.
    ///
    /// # Errors
    /// When it does not.
    pub fn configured(lab: &Lab, node: &Node, configuration: &str) -> Result<Self, LabError> {
        let config = lab.directory().join(format!("{}-gobgpd.toml", node.name()));
        fs::write(&config, configuration)
            .map_err(|source| LabError::File { path: config.clone(), source })?;
        let mut reflector = Self { node: node.clone(), config, process: None };
        reflector.resume()?;
        Ok(reflector)
    }

    /// Its process number, while it runs.
    #[must_use]
    pub fn process_id(&self) -> Option<u32> {
        self.process.as_ref().map(Process::id)
    }

    /// SIGKILL.
    pub fn kill(&mut self) {
        if let Some(process) = self.process.take() {
            process.kill();
        }
    }

    /// Starts it again.
    ///
    /// # Errors
    /// When it does not answer.
    pub fn resume(&mut self) -> Result<(), LabError> {
        self.spawn(&[])
    }

    /// The same, and it tells the neighbours of its configuration that it has restarted (RFC 4724 §4.1).
    ///
    /// # Errors
    /// When it does not answer.
    pub fn resume_gracefully(&mut self) -> Result<(), LabError> {
        self.spawn(&["--graceful-restart"])
    }

    fn spawn(&mut self, options: &[&str]) -> Result<(), LabError> {
        let config = self.config.to_string_lossy();
        let line = ["gobgpd", "-f", config.as_ref(), "--api-hosts", "127.0.0.1:50051", "--pprof-disable"];
        self.process = Some(self.node.spawn("gobgpd", &[&line, options].concat())?);
        wait_until(SOON, "gobgpd answers", || self.gobgp(&["global"]).ok()).map(drop)
    }

    /// Runs the command line client.
    ///
    /// # Errors
    /// When it fails.
    pub fn gobgp(&self, arguments: &[&str]) -> Result<String, LabError> {
        self.node.run(&[&["gobgp", "-u", "127.0.0.1", "-p", "50051"], arguments].concat())
    }

    /// Number of established sessions.
    #[must_use]
    pub fn sessions(&self) -> usize {
        let text = self.gobgp(&["neighbor", "-j"]).unwrap_or_default();
        let neighbors = serde_json::from_str::<Value>(&text).unwrap_or_default();
        // The state is a number of the protocol definition: 6 is ESTABLISHED.
        let established = |peer: &&Value| peer.pointer("/state/session_state") == Some(&Value::from(6));
        neighbors.as_array().map_or(0, |peers| peers.iter().filter(established).count())
    }

    /// Number of E-VPN routes.
    #[must_use]
    pub fn evpn_routes(&self) -> usize {
        let text = self.gobgp(&["global", "rib", "-a", "evpn", "-j"]).unwrap_or_default();
        let routes = serde_json::from_str::<Value>(&text).unwrap_or_default();
        routes.as_object().map_or(0, serde_json::Map::len)
    }

    /// The label of an address in a VPN, whatever the route distinguisher; `None` when there is no such route.
    #[must_use]
    pub fn label(&self, family: &str, address: &str) -> Option<u32> {
        let text = self.gobgp(&["global", "rib", "-a", family, "-j"]).ok()?;
        let routes = serde_json::from_str::<Value>(&text).ok()?;
        let mut nlri = routes.as_object()?.values().filter_map(|paths| paths.pointer("/0/nlri"));
        let of_address = |nlri: &&Value| {
            nlri["prefix"].as_str().and_then(|prefix| prefix.split('/').next()) == Some(address)
        };
        nlri.find(of_address)?.pointer("/labels/0")?.as_u64()?.try_into().ok()
    }
}

fn configuration((address, router_id): (&str, &str), clients: &str, families: &[&str]) -> String {
    let family = |family: &&str| {
        format!("[[peer-groups.afi-safis]]\n[peer-groups.afi-safis.config]\nafi-safi-name = \"{family}\"\n")
    };
    let families: String = families.iter().map(family).collect();
    format!(
        r#"
[global.config]
as = 64512
router-id = "{router_id}"
local-address-list = ["{address}"]
[[peer-groups]]
[peer-groups.config]
peer-group-name = "clients"
peer-as = 64512
[peer-groups.route-reflector.config]
route-reflector-client = true
route-reflector-cluster-id = "{router_id}"
[peer-groups.transport.config]
passive-mode = true
{families}
[[dynamic-neighbors]]
[dynamic-neighbors.config]
prefix = "{clients}"
peer-group = "clients"
"#
    )
}
