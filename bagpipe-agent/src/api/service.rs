//! Paths and methods: from an HTTP request to a call, and from its answer to a response.

use std::convert::Infallible;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt, Either, Full, LengthLimitError, Limited};
use hyper::body::Incoming;
use hyper::header::{CONTENT_LENGTH, CONTENT_TYPE, HeaderValue};
use hyper::{Method, Response, StatusCode};
use serde::de::DeserializeOwned;
use tokio::sync::oneshot;

use super::failure::Failure;
use super::monitor::{Lines, Topic, feed};
use super::server::Limits;
use super::{
    Answer, Call, NetworkAction, PeerAction, Refused, Request, Requests, Token, View, access, looking_glass,
    page,
};
use crate::vpn::request::{AttachPost, DetachPost, wrong_field};

/// What a listener serves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// The REST API.
    Api,
    /// Counters for Prometheus, and nothing that changes anything.
    Metrics,
}

/// What all connections share.
#[derive(Clone, Debug)]
pub struct Service {
    /// What is served.
    pub role: Role,
    /// What `/ping` answers: a number that is another at each start, so that clients see restarts.
    pub ping: u128,
    /// What clients have to say; `None` if whoever reaches the listener may ask.
    pub token: Option<Token>,
    /// Where calls go.
    pub requests: Requests,
}

const JSON: &str = "application/json";
/// JSON objects, one to a line.
const LINES: &str = "application/x-ndjson";
const TEXT: &str = "text/plain; version=0.0.4";

/// What is there at once, or what comes as it happens.
type Body = Either<Full<Bytes>, Lines>;

impl Service {
    pub(super) async fn respond(
        self,
        limits: Limits,
        request: hyper::Request<Incoming>,
    ) -> Result<Response<Body>, Infallible> {
        let (head, body) = request.into_parts();
        let outcome = match self.role {
            Role::Api => self.api(&head, body, limits).await,
            Role::Metrics => self.metrics(&head).await,
        };
        Ok(outcome.unwrap_or_else(|failure| {
            tracing::debug!("{} {}: {failure:?}", head.method, head.uri.path());
            failure.response(&head.headers).map(Either::Left)
        }))
    }

    async fn api(
        &self,
        head: &hyper::http::request::Parts,
        body: Incoming,
        limits: Limits,
    ) -> Result<Response<Body>, Failure> {
        // bagpipe-bgp takes a slash at the end, too.
        let path = head.uri.path().trim_end_matches('/');
        // There is nothing in the page; what it shows it asks for, with the token.
        if path.is_empty() && page::is_wanted(&head.headers) {
            return reading(&head.method).map(|()| page::response().map(Either::Left));
        }
        access::check(self.token.as_ref(), &head.method, &head.headers)?;
        match path {
            "" => reading(&head.method).map(|()| success(JSON, "{}")),
            "/ping" => reading(&head.method).map(|()| success(JSON, self.ping.to_string())),
            "/attach_localport" => {
                let post: AttachPost = posted_port(head, body, limits).await?;
                self.ask(Call::Attach(post.requests())).await.map(|body| success(JSON, body))
            }
            "/detach_localport" => {
                let post: DetachPost = posted_port(head, body, limits).await?;
                self.ask(Call::Detach(post.requests())).await.map(|body| success(JSON, body))
            }
            path if let Some(action) = path.strip_prefix("/v1/peers/").and_then(PeerAction::named) => {
                let request = posted(head, body, limits, "peer").await?;
                self.ask(Call::Peer(action, request)).await.map(|body| success(JSON, body))
            }
            "/v1/reload" if head.method != Method::POST => Err(Failure::method("POST")),
            "/v1/reload" => self.ask(Call::Reload).await.map(|body| success(JSON, body)),
            "/v1/routes" if head.method == Method::POST => {
                let request = posted(head, body, limits, "filter").await?;
                self.ask(Call::Routes(request)).await.map(|body| success(JSON, body))
            }
            "/v1/macs/release" => {
                let request = posted(head, body, limits, "MAC address").await?;
                self.ask(Call::ReleaseMac(request)).await.map(|body| success(JSON, body))
            }
            path if let Some(action) = path.strip_prefix("/v1/networks/").and_then(NetworkAction::named) => {
                let request = posted(head, body, limits, "network").await?;
                self.ask(Call::Network(action, request)).await.map(|body| success(JSON, body))
            }
            "/v1/explain" => {
                let request = posted(head, body, limits, "question").await?;
                self.ask(Call::Explain(request)).await.map(|body| success(JSON, body))
            }
            "/v1/explain-route" => {
                let request = posted(head, body, limits, "question").await?;
                self.ask(Call::ExplainRoute(request)).await.map(|body| success(JSON, body))
            }
            path if let Some(topic) = path.strip_prefix("/v1/monitor/").and_then(Topic::named) => {
                reading(&head.method)?;
                let (feed, lines) = feed();
                self.ask(Call::Monitor(topic, feed)).await.map(|_| response(LINES, Either::Right(lines)))
            }
            path if looking_glass::is_in(path) => {
                reading(&head.method)?;
                let look = Call::Look(looking_glass::request(head));
                let found = self
                    .call(look)
                    .await?
                    .map_err(|Refused(what)| Failure::new(StatusCode::NOT_FOUND, what))?;
                Ok(success(JSON, found))
            }
            path => match path.strip_prefix("/v1/").and_then(View::named) {
                Some(view) => {
                    reading(&head.method)?;
                    self.ask(Call::View(view)).await.map(|body| success(JSON, body))
                }
                None => Err(Failure::new(StatusCode::NOT_FOUND, format!("There is nothing at {path}"))),
            },
        }
    }

    async fn metrics(&self, head: &hyper::http::request::Parts) -> Result<Response<Body>, Failure> {
        match head.uri.path() {
            "/metrics" => {
                reading(&head.method)?;
                self.ask(Call::View(View::Metrics)).await.map(|body| success(TEXT, body))
            }
            path => {
                Err(Failure::new(StatusCode::NOT_FOUND, format!("There is nothing at {path}; see /metrics")))
            }
        }
    }

    async fn ask(&self, call: Call) -> Result<Bytes, Failure> {
        self.call(call).await?.map_err(Failure::refused)
    }

    async fn call(&self, call: Call) -> Result<Answer, Failure> {
        let (reply, answer) = oneshot::channel();
        let stopping = || Failure::new(StatusCode::SERVICE_UNAVAILABLE, "The agent is stopping");
        self.requests.send(Request { call, reply }).await.map_err(|_| stopping())?;
        answer.await.map_err(|_| stopping())
    }
}

fn success(kind: &'static str, body: impl Into<Bytes>) -> Response<Body> {
    response(kind, Either::Left(Full::new(body.into())))
}

fn response(kind: &'static str, body: Body) -> Response<Body> {
    let mut response = Response::new(body);
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(kind));
    response
}

fn reading(method: &Method) -> Result<(), Failure> {
    if [Method::GET, Method::HEAD].contains(method) { Ok(()) } else { Err(Failure::method("GET, HEAD")) }
}

/// What bagpipe-bgp calls the document of an attach or detach.
const PORT: &str = "local port details";

/// The document of an attach or a detach; what is wrong with it is told with the name of the field.
async fn posted_port<T: DeserializeOwned>(
    head: &hyper::http::request::Parts,
    body: Incoming,
    limits: Limits,
) -> Result<T, Failure> {
    let octets = octets(head, body, limits, PORT).await?;
    serde_json::from_slice(&octets).map_err(|error| match wrong_field::<T>(&octets) {
        Some(field) => Failure::refused(field),
        None => Failure::refused(format_args!("No {PORT} received: {error}")),
    })
}

/// The JSON document of a POST, which describes `what`.
async fn posted<T: DeserializeOwned>(
    head: &hyper::http::request::Parts,
    body: Incoming,
    limits: Limits,
    what: &str,
) -> Result<T, Failure> {
    serde_json::from_slice(&octets(head, body, limits, what).await?)
        .map_err(|error| Failure::refused(format_args!("No {what} received: {error}")))
}

/// The body of a POST, which describes `what`.
async fn octets(
    head: &hyper::http::request::Parts,
    body: Incoming,
    limits: Limits,
    what: &str,
) -> Result<Bytes, Failure> {
    if head.method != Method::POST {
        return Err(Failure::method("POST"));
    }
    let too_large = || {
        let description = format!("The body has more than {} octets", limits.body);
        Failure::new(StatusCode::PAYLOAD_TOO_LARGE, description)
    };
    // Who says beforehand that it is too long is not made to send it.
    let announced =
        head.headers.get(CONTENT_LENGTH).and_then(|length| length.to_str().ok()?.parse::<usize>().ok());
    if announced.is_some_and(|length| length > limits.body) {
        return Err(too_large());
    }
    let octets = match collect(Limited::new(body, limits.body), limits.patience).await {
        Ok(octets) => octets,
        Err(Incomplete::TooLarge) => return Err(too_large()),
        Err(Incomplete::Late) => {
            let description = format!("The body took more than {} s", limits.patience.as_secs_f32());
            return Err(Failure::new(StatusCode::REQUEST_TIMEOUT, description));
        }
        Err(Incomplete::Broken(cause)) => {
            return Err(Failure::refused(format_args!("cannot read the body: {cause}")));
        }
    };
    // An empty body deserializes like an empty object would, which says less about what is wrong.
    if octets.trim_ascii().is_empty() {
        return Err(Failure::refused(format_args!(
            "No {what} received: the body is empty, and not a JSON object"
        )));
    }
    Ok(octets)
}

enum Incomplete {
    TooLarge,
    Late,
    Broken(String),
}

async fn collect(body: Limited<Incoming>, patience: Duration) -> Result<Bytes, Incomplete> {
    match tokio::time::timeout(patience, body.collect()).await {
        Ok(Ok(collected)) => Ok(collected.to_bytes()),
        Ok(Err(error)) if error.is::<LengthLimitError>() => Err(Incomplete::TooLarge),
        Ok(Err(error)) => Err(Incomplete::Broken(error.to_string())),
        Err(_) => Err(Incomplete::Late),
    }
}
