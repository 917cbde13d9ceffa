use std::path::PathBuf;
use std::time::Duration;

use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpStream, UnixStream};
use tokio::task::AbortHandle;

use super::*;

const LIMIT: Duration = Duration::from_secs(10);
const PING: u128 = 238_493_307_575_443_840_361_417_062_901_223_607_120;
const ATTACH: &str = r#"{"vpn_type": "evpn", "vpn_instance_id": "blue", "mac_address": "02:00:00:00:00:01",
    "local_port": {"linuxif": "tap0"}, "import_rt": [], "export_rt": [], "readvertise": null, "vni": 0}"#;

/// An API on a socket of its own, whose owner grants what names the instance `blue`.
struct Server {
    path: PathBuf,
    tasks: Vec<AbortHandle>,
}

impl Server {
    fn start(name: &str, limits: Limits) -> Self {
        Self::configured(name, limits, None)
    }

    fn with_token(name: &str, token: Option<Token>) -> Self {
        Self::configured(name, Limits::default(), token)
    }

    fn configured(name: &str, limits: Limits, token: Option<Token>) -> Self {
        let path = std::env::temp_dir().join(format!("bagpipe-api-{}-{name}.sock", std::process::id()));
        let (requests, mut calls) = mpsc::channel(4);
        let service = Service { role: Role::Api, ping: PING, token, requests };
        let server = tokio::spawn(Listener::unix(&path).unwrap().serve(service, limits));
        let owner = tokio::spawn(async move {
            while let Some(Request { call, reply }) = calls.recv().await {
                drop(reply.send(answer(call)));
            }
        });
        Self { path, tasks: vec![server.abort_handle(), owner.abort_handle()] }
    }

    async fn connect(&self) -> UnixStream {
        UnixStream::connect(&self.path).await.unwrap()
    }

    /// The response to a request, with its head and body.
    async fn exchange(&self, request: &str) -> String {
        let mut stream = self.connect().await;
        stream.write_all(request.as_bytes()).await.unwrap();
        finish(stream).await
    }

    async fn post(&self, path: &str, headers: &str, body: &str) -> String {
        let length = body.len();
        self.exchange(&format!(
            "POST {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: {length}\r\n{headers}\r\n{body}"
        ))
        .await
    }

    async fn request(&self, method: &str, path: &str) -> String {
        self.exchange(&format!("{method} {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")).await
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.tasks.iter().for_each(AbortHandle::abort);
        drop(std::fs::remove_file(&self.path));
    }
}

fn answer(call: Call) -> Answer {
    let vpn = match call {
        Call::Attach(requests) => requests.into_iter().next().and_then(|request| request.vpn_instance_id),
        Call::Detach(requests) => requests.into_iter().next().and_then(|request| request.vpn_instance_id),
        Call::Peer(PeerAction::Reset, request) => Some(request.message),
        Call::Peer(..) => None,
        Call::ReleaseMac(request) => Some(request.vpn_instance_id),
        Call::Network(NetworkAction::Create, request) => Some(request.name),
        Call::Network(NetworkAction::Delete, _) => None,
        Call::Explain(request) => Some(request.vpn_instance_id),
        Call::Routes(request) => request.imported_by,
        Call::ExplainRoute(question) => Some(question.route),
        Call::Look(look) if look.path.is_empty() => return Ok(Bytes::from(format!("\"{}\"", look.root))),
        Call::Look(look) => Some(look.path.join("/")),
        Call::View(_) | Call::Reload | Call::Monitor(..) => return Ok(Bytes::from_static(b"[1]")),
    };
    match vpn.as_deref() {
        Some("blue") => Ok(Bytes::from_static(b"null")),
        _ => Err(Refused("<blue> is \"all\" there is".into())),
    }
}

async fn finish(mut stream: impl tokio::io::AsyncRead + Unpin) -> String {
    let mut response = String::new();
    tokio::time::timeout(LIMIT, stream.read_to_string(&mut response)).await.unwrap().unwrap();
    response
}

fn status(response: &str) -> &str {
    response.lines().next().unwrap_or_default()
}

fn body(response: &str) -> &str {
    response.split_once("\r\n\r\n").unwrap().1
}

#[tokio::test]
async fn peers_are_named_and_told() {
    let server = Server::start("peers", Limits::default());
    let blue = r#"{"address": "2001:db8::1", "message": "blue"}"#;
    let response = server.post("/v1/peers/reset", "", blue).await;
    assert_eq!((status(&response), body(&response)), ("HTTP/1.1 200 OK", "null"));
    for (path, request, expected) in [
        ("/v1/peers/reset", r#"{"address": "nine"}"#, "HTTP/1.1 400 Bad Request"),
        ("/v1/peers/reset", r#"{"address": "::1", "words": ""}"#, "HTTP/1.1 400 Bad Request"),
        ("/v1/peers/enable", r#"{"address": "::1"}"#, "HTTP/1.1 400 Bad Request"),
        ("/v1/peers/remove", blue, "HTTP/1.1 404 Not Found"),
    ] {
        assert_eq!(status(&server.post(path, "", request).await), expected, "{path} {request}");
    }
    assert_eq!(status(&server.request("GET", "/v1/peers/reset").await), "HTTP/1.1 405 Method Not Allowed");
}

#[tokio::test]
async fn browsers_get_a_page_that_needs_nothing_else() {
    let server = Server::start("page", Limits::default());
    let browser = "GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\nAccept: text/html,*/*;q=0.8\r\n\r\n";
    let page = server.exchange(browser).await;
    assert_eq!(status(&page), "HTTP/1.1 200 OK");
    assert!(page.to_lowercase().contains("content-security-policy: default-src 'none'"), "{page}");
    for outside in ["src=", "href=", "http:", "https:", "url(", "@import"] {
        assert!(!body(&page).contains(outside), "{outside}");
    }
    assert_eq!(body(&server.request("GET", "/").await), "{}");
    assert_eq!(
        status(&server.post("/", "Accept: text/html\r\n", "x").await),
        "HTTP/1.1 405 Method Not Allowed"
    );
}

#[tokio::test]
async fn networks_are_made_and_removed() {
    let server = Server::start("networks", Limits::default());
    for (path, request, expected) in [
        ("/v1/networks/create", r#"{"name": "blue", "vni": 7}"#, "HTTP/1.1 200 OK"),
        ("/v1/networks/create", r#"{"name": "blue", "vni": 16777216}"#, "HTTP/1.1 400 Bad Request"),
        ("/v1/networks/create", r#"{"vni": 7}"#, "HTTP/1.1 400 Bad Request"),
        ("/v1/networks/delete", r#"{"name": "blue"}"#, "HTTP/1.1 400 Bad Request"),
        ("/v1/networks/rename", r#"{"name": "blue"}"#, "HTTP/1.1 404 Not Found"),
    ] {
        assert_eq!(status(&server.post(path, "", request).await), expected, "{path} {request}");
    }
}

#[tokio::test]
async fn the_looking_glass_is_asked_and_what_it_does_not_have_is_not_found() {
    let server = Server::start("glass", Limits::default());
    assert_eq!(body(&server.request("GET", "/looking-glass").await), "\"http://x/looking-glass\"");
    assert_eq!(body(&server.request("GET", "/looking-glass/blu%65").await), "null");
    for (method, path, expected) in [
        ("GET", "/looking-glass/red", "HTTP/1.1 404 Not Found"),
        ("GET", "/looking-glasses", "HTTP/1.1 404 Not Found"),
        ("POST", "/looking-glass", "HTTP/1.1 405 Method Not Allowed"),
        ("HEAD", "/looking-glass", "HTTP/1.1 200 OK"),
    ] {
        assert_eq!(status(&server.request(method, path).await), expected, "{method} {path}");
    }
}

#[tokio::test]
async fn the_calls_of_bagpipe_bgp_are_answered_as_by_bagpipe_bgp() {
    let server = Server::start("calls", Limits::default());
    let response = server.request("GET", "/ping").await;
    assert_eq!((status(&response), body(&response)), ("HTTP/1.1 200 OK", PING.to_string().as_str()));
    assert_eq!(body(&server.request("GET", "/").await), "{}");
    for path in ["/attach_localport", "/detach_localport"] {
        let response = server.post(path, "", ATTACH).await;
        assert_eq!((status(&response), body(&response)), ("HTTP/1.1 200 OK", "null"));
        assert!(response.to_lowercase().contains("content-type: application/json"), "{response}");
    }
    let old = server.exchange("GET /ping HTTP/1.0\r\n\r\n").await;
    assert_eq!(body(&old), PING.to_string());
}

#[tokio::test]
async fn a_refusal_is_json_for_those_who_accept_it_and_a_page_for_others() {
    let server = Server::start("forms", Limits::default());
    let request = ATTACH.replace("blue", "red");
    for accept in ["Accept: application/json\r\n", "Accept: text/html;q=0.1, Application/JSON;q=0.9\r\n"] {
        let response = server.post("/attach_localport", accept, &request).await;
        assert_eq!(status(&response), "HTTP/1.1 400 Bad Request");
        let error: Value = serde_json::from_str(body(&response)).unwrap();
        assert_eq!(error["code"], 400);
        assert_eq!(error["title"], "Bad Request");
        assert_eq!(error["description"], "API error: <blue> is \"all\" there is");
    }
    for accept in ["", "Accept: */*\r\n", "Accept: text/html\r\n"] {
        let response = server.post("/attach_localport", accept, &request).await;
        assert!(response.to_lowercase().contains("content-type: text/html"), "{response}");
        assert!(body(&response).contains("&lt;blue&gt; is &quot;all&quot; there is"), "{response}");
    }
}

#[tokio::test]
async fn what_is_no_request_is_refused() {
    let server = Server::start("malformed", Limits::default());
    for (request, expected) in [
        ("", "No local port details received"),
        ("{\"vpn_type\":", "No local port details received: EOF"),
        ("nonsense", "No local port details received"),
        ("{\"vpn_type\": 5}", "invalid type: integer"),
        ("{\"local_port\": 5}", "linuxif"),
        ("[[[[", "No local port details received"),
        ("\"text\"", "invalid type: string"),
    ] {
        let response = server.post("/attach_localport", "Accept: application/json\r\n", request).await;
        assert_eq!(status(&response), "HTTP/1.1 400 Bad Request", "{request}");
        assert!(body(&response).contains(expected), "{request}: {response}");
    }
    let deep = "[".repeat(60_000);
    assert_eq!(status(&server.post("/attach_localport", "", &deep).await), "HTTP/1.1 400 Bad Request");
}

#[tokio::test]
async fn paths_and_methods_that_are_not_there_say_so() {
    let server = Server::start("paths", Limits::default());
    for (method, path, expected) in [
        ("GET", "/v1/nothing", "HTTP/1.1 404 Not Found"),
        ("GET", "/attach_localport/", "HTTP/1.1 405 Method Not Allowed"),
        ("GET", "/ping/", "HTTP/1.1 200 OK"),
        ("GET", "/ping/more", "HTTP/1.1 404 Not Found"),
        ("GET", "/looking", "HTTP/1.1 404 Not Found"),
        ("GET", "/attach_localport", "HTTP/1.1 405 Method Not Allowed"),
        ("PUT", "/detach_localport", "HTTP/1.1 405 Method Not Allowed"),
        ("DELETE", "/ping", "HTTP/1.1 405 Method Not Allowed"),
        ("POST", "/v1/status", "HTTP/1.1 405 Method Not Allowed"),
        ("HEAD", "/ping", "HTTP/1.1 200 OK"),
    ] {
        assert_eq!(status(&server.request(method, path).await), expected, "{method} {path}");
    }
    assert!(server.request("GET", "/attach_localport").await.to_lowercase().contains("allow: post"));
    for (name, _) in View::NAMED {
        assert_eq!(body(&server.request("GET", &format!("/v1/{name}")).await), "[1]");
    }
}

#[tokio::test]
async fn a_body_that_is_too_long_is_not_read() {
    let server = Server::start("long", Limits::default());
    let announced =
        "POST /attach_localport HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: 65537\r\n\r\n";
    assert_eq!(status(&server.exchange(announced).await), "HTTP/1.1 413 Payload Too Large");
    let chunk = format!("10000\r\n{}\r\n", "x".repeat(0x10000));
    let chunked = format!(
        "POST /attach_localport HTTP/1.1\r\nHost: x\r\nConnection: close\r\nTransfer-Encoding: chunked\r\n\r\n{chunk}1\r\nx\r\n"
    );
    assert_eq!(status(&server.exchange(&chunked).await), "HTTP/1.1 413 Payload Too Large");
}

#[tokio::test]
async fn a_slow_client_is_sent_away() {
    let limits = Limits { patience: Duration::from_millis(100), ..Limits::default() };
    let server = Server::start("slow", limits);
    let head = "POST /attach_localport HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\n{";
    assert_eq!(status(&server.exchange(head).await), "HTTP/1.1 408 Request Timeout");
    // Without a whole head there is nothing to answer to.
    assert_eq!(server.exchange("POST /attach_local").await, "");
}

#[tokio::test]
async fn connections_beyond_the_limit_wait_for_a_place() {
    let limits = Limits { connections: 2, ..Limits::default() };
    let server = Server::start("places", limits);
    let request = "GET /ping HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n";
    let (first, second) = (server.connect().await, server.connect().await);
    let mut third = server.connect().await;
    third.write_all(request.as_bytes()).await.unwrap();
    let mut octet = [0];
    let early = tokio::time::timeout(Duration::from_millis(100), third.read(&mut octet)).await;
    assert!(early.is_err(), "served without a place");
    drop((first, second));
    assert_eq!(status(&finish(third).await), "HTTP/1.1 200 OK");
}

#[tokio::test]
async fn a_client_that_goes_away_leaves_nothing_behind() {
    let server = Server::start("gone", Limits { connections: 1, ..Limits::default() });
    for _ in 0..10 {
        let mut stream = server.connect().await;
        stream
            .write_all(b"POST /attach_localport HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\n{")
            .await
            .unwrap();
        drop(stream);
    }
    assert_eq!(status(&server.request("GET", "/ping").await), "HTTP/1.1 200 OK");
}

#[tokio::test]
async fn the_socket_is_for_owner_and_group_and_has_one_server() {
    use std::os::unix::fs::PermissionsExt;
    let server = Server::start("mode", Limits::default());
    let mode = std::fs::metadata(&server.path).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o660);
    assert!(matches!(Listener::unix(&server.path), Err(BindError::InUse(path)) if path == server.path));
    // A socket that a killed agent left is replaced.
    let left = server.path.with_extension("left");
    drop(std::os::unix::net::UnixListener::bind(&left).unwrap());
    let replaced = Listener::unix(&left);
    drop(std::fs::remove_file(&left));
    assert!(replaced.is_ok());
}

#[tokio::test]
async fn metrics_are_all_that_the_metrics_port_serves() {
    let (requests, mut calls) = mpsc::channel(1);
    let listener = Listener::tcp(([127, 0, 0, 1], 0).into()).unwrap();
    let Listener::Tcp(socket) = &listener else { panic!("not TCP") };
    let address = socket.local_addr().unwrap();
    assert!(matches!(Listener::tcp(address), Err(BindError::Tcp { .. })));
    let service = Service { role: Role::Metrics, ping: PING, token: None, requests };
    tokio::spawn(listener.serve(service, Limits::default()));
    tokio::spawn(async move {
        while let Some(Request { call, reply }) = calls.recv().await {
            drop(reply.send(answer(call)));
        }
    });
    for (path, expected) in [("/metrics", "HTTP/1.1 200 OK"), ("/attach_localport", "HTTP/1.1 404 Not Found")]
    {
        let mut stream = TcpStream::connect(address).await.unwrap();
        let request = format!("GET {path} HTTP/1.0\r\n\r\n");
        stream.write_all(request.as_bytes()).await.unwrap();
        assert_eq!(status(&finish(stream).await).replace("1.0", "1.1"), expected);
    }
}

/// A thousand clients, as many at the same time as there are descriptors for, and before them some that say nothing.
#[tokio::test]
async fn all_of_a_thousand_clients_are_answered_though_others_are_silent() {
    let (requests, mut calls) = mpsc::channel(4);
    let listener = Listener::tcp(([127, 0, 0, 1], 0).into()).unwrap();
    let Listener::Tcp(socket) = &listener else { panic!("not TCP") };
    let address = socket.local_addr().unwrap();
    let limits = Limits { patience: Duration::from_millis(200), ..Limits::default() };
    let service = Service { role: Role::Api, ping: PING, token: None, requests };
    tokio::spawn(listener.serve(service, limits));
    tokio::spawn(async move {
        while let Some(Request { call, reply }) = calls.recv().await {
            drop(reply.send(answer(call)));
        }
    });
    let mut silent = Vec::new();
    for _ in 0..100 {
        let mut stream = TcpStream::connect(address).await.unwrap();
        stream.write_all(b"POST /attach_loc").await.unwrap();
        silent.push(stream);
    }
    // Each of them is one descriptor here and one there.
    for _ in 0..4 {
        let clients: Vec<_> = (0..250)
            .map(|_| {
                tokio::spawn(async move {
                    let mut stream = TcpStream::connect(address).await.unwrap();
                    let length = ATTACH.len();
                    let head = format!("POST /attach_localport HTTP/1.0\r\nContent-Length: {length}\r\n\r\n");
                    stream.write_all(format!("{head}{ATTACH}").as_bytes()).await.unwrap();
                    status(&finish(stream).await).to_owned()
                })
            })
            .collect();
        for client in clients {
            assert_eq!(client.await.unwrap().replace("1.0", "1.1"), "HTTP/1.1 200 OK");
        }
    }
    for stream in silent {
        assert_eq!(finish(stream).await, "");
    }
}

#[tokio::test]
async fn a_token_is_asked_for_and_other_sites_are_refused() {
    let path = std::env::temp_dir().join(format!("bagpipe-api-token-{}", std::process::id()));
    std::fs::write(&path, "0123456789abcdef").unwrap();
    let token = Token::read(&path).ok();
    std::fs::remove_file(&path).unwrap();
    let server = Server::with_token("token", token);
    let refused = server.request("GET", "/ping").await;
    assert_eq!(status(&refused), "HTTP/1.1 401 Unauthorized");
    assert!(refused.to_lowercase().contains("www-authenticate: bearer"), "{refused}");
    let known = "Authorization: Bearer 0123456789abcdef\r\n";
    assert_eq!(status(&server.post("/attach_localport", known, ATTACH).await), "HTTP/1.1 200 OK");
    let site = format!("{known}Origin: http://example.org\r\n");
    assert_eq!(status(&server.post("/attach_localport", &site, ATTACH).await), "HTTP/1.1 403 Forbidden");
}
