//! Calls to the agent, over its unix socket.

use std::io;
use std::path::PathBuf;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::header::{ACCEPT, HOST};
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use serde_json::Value;
use tokio::net::UnixStream;
use tokio::runtime::Runtime;

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
        self.call(Method::GET, &format!("/v1/{name}"), None)
    }

    /// Posts a request.
    pub(super) fn post(&self, path: &str, body: &Value) -> Result<Value, CallError> {
        self.call(Method::POST, path, Some(body))
    }

    /// Hands over the lines of a response as they come, until the end or until one is not taken.
    pub(super) fn lines(&self, path: &str, mut line: impl FnMut(&str) -> bool) -> Result<(), CallError> {
        let request = request(Method::GET, path, None)?;
        self.runtime()?.block_on(async {
            let response = self.respond(request);
            let response = tokio::time::timeout(LIMIT, response).await;
            let response =
                response.unwrap_or_else(|_| Err(self.unreachable(io::ErrorKind::TimedOut.into())))?;
            if response.status() != StatusCode::OK {
                return read(response).await.map(drop);
            }
            let (mut body, mut rest) = (response.into_body(), BytesMut::new());
            // An error is the end as well: the agent has gone.
            while let Some(Ok(frame)) = body.frame().await {
                rest.extend_from_slice(frame.data_ref().map_or(&[][..], |data| data));
                while let Some(end) = rest.iter().position(|octet| *octet == b'\n') {
                    let taken = rest.split_to(end + 1);
                    if !line(String::from_utf8_lossy(&taken).trim_end()) {
                        return Ok(());
                    }
                }
            }
            Ok(())
        })
    }

    fn call(&self, method: Method, path: &str, body: Option<&Value>) -> Result<Value, CallError> {
        let request = request(method, path, body)?;
        self.runtime()?.block_on(async {
            tokio::time::timeout(LIMIT, async { read(self.respond(request).await?).await })
                .await
                .unwrap_or_else(|_| Err(self.unreachable(io::ErrorKind::TimedOut.into())))
        })
    }

    fn runtime(&self) -> Result<Runtime, CallError> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        runtime.map_err(|error| self.unreachable(error))
    }

    async fn respond(&self, request: Request<Full<Bytes>>) -> Result<Response<Incoming>, CallError> {
        let stream = UnixStream::connect(&self.socket).await.map_err(|error| self.unreachable(error))?;
        let (mut sender, connection) =
            hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.map_err(broken)?;
        tokio::spawn(connection);
        sender.send_request(request).await.map_err(broken)
    }

    fn unreachable(&self, cause: io::Error) -> CallError {
        CallError::Unreachable { socket: self.socket.clone(), cause, command: self.command.clone() }
    }
}

fn request(method: Method, path: &str, body: Option<&Value>) -> Result<Request<Full<Bytes>>, CallError> {
    let body = Full::from(body.map(Value::to_string).unwrap_or_default());
    Request::builder()
        .method(method)
        .uri(path)
        .header(HOST, "bagpipe")
        .header(ACCEPT, "application/json")
        .body(body)
        .map_err(broken)
}

/// The document of a response, or the description of what was wrong.
async fn read(response: Response<Incoming>) -> Result<Value, CallError> {
    let status = response.status();
    let body = response.into_body().collect().await.map_err(broken)?.to_bytes();
    let value: Value = serde_json::from_slice(&body).map_err(broken)?;
    if status == StatusCode::OK {
        return Ok(value);
    }
    let description = value.get("description").and_then(Value::as_str).unwrap_or("no reason given");
    Err(CallError::Refused(description.strip_prefix("API error: ").unwrap_or(description).to_owned()))
}

fn broken(error: impl std::fmt::Display) -> CallError {
    CallError::Broken(error.to_string())
}
