//! An agent that serves the REST API where bagpipe-bgp does: in its node, on 127.0.0.1:8082. It has no data plane, so that
//! ports need no interfaces.

use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use bagpipe_agent::lab::{Lab, LabError, Node, Process};

use crate::bagpipe;
use serde_json::Value;

use crate::bagpipe_bgp::{API, Answer, exchange};
use crate::speaker::within;

const LIMIT: Duration = Duration::from_secs(10);

/// The agent.
#[derive(Debug)]
pub struct RestAgent {
    node: Node,
    config: PathBuf,
    instance: String,
    process: Option<Process>,
}

impl RestAgent {
    /// Starts it on a node with this address, and waits until it answers.
    ///
    /// # Errors
    /// When it does not start, with the end of its log.
    pub fn start(lab: &Lab, node: &Node, address: &str) -> Result<Self, LabError> {
        Self::start_with(lab, node, address, "")
    }

    /// The same; `more` follows the keys of `[bgp]`.
    ///
    /// # Errors
    /// As [`Self::start`].
    pub fn start_with(lab: &Lab, node: &Node, address: &str, more: &str) -> Result<Self, LabError> {
        let place = |suffix: &str| lab.directory().join(format!("{}-rest.{suffix}", node.name()));
        let (config, socket, state) = (place("toml"), place("sock"), place("state"));
        let text = format!(
            "[bgp]\nlocal_address = \"{address}\"\nas_number = 64512\n{more}[dataplane]\ndriver = \"none\"\n\
             [ports]\ntrunks = {{ \"6\" = \"to-router\" }}\n\
             [api]\nlisten = \"{API}\"\nsocket = \"{}\"\n[state]\ndirectory = \"{}\"\n",
            socket.display(),
            state.display(),
        );
        fs::write(&config, text).map_err(|source| LabError::File { path: config.clone(), source })?;
        let mut agent = Self { node: node.clone(), config, instance: lab.next_instance(), process: None };
        agent.resume()?;
        Ok(agent)
    }

    /// Starts it again.
    ///
    /// # Errors
    /// When it does not answer.
    pub fn resume(&mut self) -> Result<(), LabError> {
        let (binary, config) = (bagpipe(), self.config.to_string_lossy().into_owned());
        let line = [&*binary.to_string_lossy(), "agent", "--instance", &self.instance, "--config", &config];
        let mut process = self.node.spawn("rest", &line)?;
        process.wait_ready(LIMIT, "bagpipe agent", |_| {
            self.request("GET", "/ping", "").ok().filter(|answer| answer.status == 200)
        })?;
        self.process = Some(process);
        Ok(())
    }

    /// Starts it again without what it has kept: its clients have to attach again.
    ///
    /// # Errors
    /// When it does not answer.
    pub fn forget_and_resume(&mut self) -> Result<(), LabError> {
        self.stop()?;
        let state = self.config.with_extension("state");
        fs::remove_dir_all(&state).map_err(|source| LabError::File { path: state, source })?;
        self.resume()
    }

    /// A place of its looking glass, such as `/bgp/routes`.
    ///
    /// # Errors
    /// When there is none.
    pub fn looking_glass(&self, place: &str) -> Result<Value, LabError> {
        let answer = self.request("GET", &format!("/looking-glass{place}"), "")?;
        serde_json::from_str(&answer.body).ok().filter(|_| answer.status == 200).ok_or_else(|| {
            LabError::Failed {
                command: format!("GET /looking-glass{place}"),
                status: answer.status.to_string(),
                output: answer.body,
            }
        })
    }

    /// SIGTERM.
    ///
    /// # Errors
    /// When it does not end in time.
    pub fn stop(&mut self) -> Result<(), LabError> {
        self.process.take().map_or(Ok(()), |process| process.terminate(LIMIT).map(drop))
    }

    /// The node it runs on.
    #[must_use]
    pub const fn node(&self) -> &Node {
        &self.node
    }

    /// Asks its API.
    ///
    /// # Errors
    /// When it does not answer in HTTP.
    pub fn request(&self, method: &str, path: &str, body: &str) -> Result<Answer, LabError> {
        let failed = |source| LabError::File { path: PathBuf::from(format!("http://{API}{path}")), source };
        within(&self.node, || exchange(method, path, body)).map_err(failed)
    }
}
