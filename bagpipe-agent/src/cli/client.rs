//! Calls to the agent, over its unix socket.

use std::io;
use std::path::PathBuf;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::header::{ACCEPT, HOST};
use hyper::{Method, Request, StatusCode};
use hyper_util::rt::TokioIo;
use serde_json::Value;
use tokio::net::UnixStream;

/// How long an agent may take to answer before it counts as unreachable.
const LIMIT: Duration = Duration::from_secs(30);

/// Why a call has no answer.
#[derive(Debug, thiserror::Error)]
pub(super) enum CallError {
    /// There is no agent.
    #[error("no agent answers on {socket}: {cause}; start it with: {command}", socket = socket.display())]
    Unreachable {
        /// The socket that was tried.
        socket: PathBuf,
        /// What the system said.
        cause: io::Error,
        /// How to start an agent there.
        command: String,
    },
    /// The agent says no, and why.
    #[error("{0}")]
    Refused(String),
    /// The agent says something that makes no sense.
    #[error("the agent's answer cannot be read: {0}; are agent and command line of the same version?")]
    Broken(String),
}

/// A client of one agent.
#[derive(Debug)]
pub(super) struct Client {
    socket: PathBuf,
    /// How to start the agent.
    command: String,
}

impl Client {
    pub(super) fn new(socket: PathBuf, instance: &str) -> Self {
        let name = if instance == crate::config::DEFAULT_INSTANCE {
            String::new()
        } else {
            format!(" --instance {instance}")
        };
        let command = format!("bagpipe agent{name} --config {}", crate::config::DEFAULT_FILE);
        Self { socket, command }
    }

    /// Reads one of the agent's views.
    pub(super) fn view(&self, name: &str) -> Result<Value, CallError> {
        self.call(Method::GET, format!("/v1/{name}"), None)
    }

    /// Posts a request.
    pub(super) fn post(&self, path: &str, body: &Value) -> Result<Value, CallError> {
        self.call(Method::POST, path.to_owned(), Some(body))
    }

    fn call(&self, method: Method, path: String, body: Option<&Value>) -> Result<Value, CallError> {
        let body = Full::from(body.map(Value::to_string).unwrap_or_default());
        let request = Request::builder()
            .method(method)
            .uri(path)
            .header(HOST, "bagpipe")
            .header(ACCEPT, "application/json")
            .body(body)
            .map_err(|error| CallError::Broken(error.to_string()))?;
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .map_err(|error| self.unreachable(error))?;
        runtime.block_on(async {
            tokio::time::timeout(LIMIT, self.exchange(request))
                .await
                .unwrap_or_else(|_| Err(self.unreachable(io::ErrorKind::TimedOut.into())))
        })
    }

    async fn exchange(&self, request: Request<Full<Bytes>>) -> Result<Value, CallError> {
        let stream = UnixStream::connect(&self.socket).await.map_err(|error| self.unreachable(error))?;
        let broken = |error: hyper::Error| CallError::Broken(error.to_string());
        let (mut sender, connection) =
            hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.map_err(broken)?;
        tokio::spawn(connection);
        let response = sender.send_request(request).await.map_err(broken)?;
        let status = response.status();
        let body = response.into_body().collect().await.map_err(broken)?.to_bytes();
        let value: Value =
            serde_json::from_slice(&body).map_err(|error| CallError::Broken(error.to_string()))?;
        if status == StatusCode::OK {
            return Ok(value);
        }
        let description = value.get("description").and_then(Value::as_str).unwrap_or("no reason given");
        Err(CallError::Refused(description.strip_prefix("API error: ").unwrap_or(description).to_owned()))
    }

    fn unreachable(&self, cause: io::Error) -> CallError {
        CallError::Unreachable { socket: self.socket.clone(), cause, command: self.command.clone() }
    }
}
