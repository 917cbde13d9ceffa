//! Who watches: readers of events, a BMP station, and those who ask for a reason.

use std::net::SocketAddr;

use http_body_util::BodyExt;
use tokio::io::AsyncReadExt;
use tokio::net::{TcpListener, TcpStream, UnixStream};

use super::*;
use crate::api::RouteQuestion;

/// Two nodes, each with a port of the same network; the session between them is up, and the routes have come.
async fn pair(more: &str) -> (Node, Node) {
    let mut hub = Node::start(more).await;
    let mut leaf = Node::start(&peer(hub.address, "passive = true")).await;
    hub.attach("red", "64512:1", "10.0.0.1");
    leaf.attach("red", "64512:1", "10.0.0.3");
    hub.reload(&format!("{more}\n{}", peer(leaf.address, ""))).unwrap();
    until(&mut [&mut hub, &mut leaf], "routes", |nodes| nodes.iter().all(|node| imported(node) == 2)).await;
    (hub, leaf)
}

/// How many routes of others the network has.
fn imported(node: &Node) -> usize {
    routes(node, json!({ "imported_by": "red", "direction": "in" })).len()
}

fn explained(node: &Node, route: &str) -> Result<Vec<Value>, String> {
    let question = RouteQuestion { route: route.to_owned() };
    let answer = node.agent.explain_route(&question).map_err(|refused| refused.to_string())?;
    Ok(serde_json::from_slice(&answer).unwrap())
}

#[tokio::test]
async fn a_route_is_explained_from_its_source_to_its_entry() {
    let (mut hub, mut leaf) = pair("").await;
    let paths = explained(&hub, "mac-ip 02:00:00:00:00:03").unwrap();
    let [path] = &paths[..] else { panic!("{paths:?}") };
    assert_eq!(path["source"], json!(leaf.address));
    assert_eq!(
        (&path["best"], &path["lost_by"], &path["unused"]),
        (&json!(true), &json!(null), &json!(null))
    );
    let [used] = &path["imported_by"].as_array().unwrap()[..] else { panic!("{path}") };
    assert_eq!((&used["vpn"], &used["route_targets"]), (&json!("red"), &json!(["64512:1"])));
    let whats: Vec<_> = used["entries"].as_array().unwrap().iter().map(|entry| &entry["what"]).collect();
    assert_eq!(whats, [&json!("frames to 02:00:00:00:00:03"), &json!("ARP and ND for 10.0.0.3")]);
    assert!(used["entries"].as_array().unwrap().iter().all(|entry| entry["unused"].is_null()), "{used}");

    let flooded = explained(&hub, &format!("multicast {}", leaf.address)).unwrap();
    let what = &flooded[0]["imported_by"][0]["entries"][0];
    assert_eq!(what["what"], json!(format!("flooded frames to {}", leaf.address)));
    let own = explained(&hub, "mac-ip 02:00:00:00:00:01").unwrap();
    assert_eq!(own[0]["unused"], json!("it is a route of this node"));
    assert!(explained(&hub, "mac-ip 02:00:00:00:00:0").unwrap_err().contains("no route 'mac-ip"));
    assert!(explained(&hub, " ").unwrap_err().contains("empty"));

    // The same MAC address attached here: it is not sought elsewhere.
    hub.attach_mac("red", "64512:1", "02:00:00:00:00:03", "10.0.0.3");
    let used = &explained(&hub, "mac-ip 02:00:00:00:00:03 10.0.0.3").unwrap();
    let theirs = used.iter().find(|path| path["source"] == json!(leaf.address)).expect("their path");
    assert_eq!(
        theirs["imported_by"][0]["entries"][0]["unused"],
        json!("the MAC address is attached to this node")
    );
    until(&mut [&mut hub, &mut leaf], "a settled network", |_| true).await;
}

/// Reads lines of a topic until one is as wanted.
async fn line(node: &Node, topic: &str) -> tokio::sync::mpsc::Receiver<Value> {
    let (sender, lines) = tokio::sync::mpsc::channel(4096);
    let (socket, path) = (node.socket(), format!("/v1/monitor/{topic}"));
    tokio::spawn(async move {
        let stream = UnixStream::connect(socket).await.unwrap();
        let (mut client, connection) =
            hyper::client::conn::http1::handshake(hyper_util::rt::TokioIo::new(stream)).await.unwrap();
        tokio::spawn(connection);
        let request = hyper::Request::get(path).header("host", "x");
        let request = request.body(http_body_util::Empty::<bytes::Bytes>::new()).unwrap();
        let mut body = client.send_request(request).await.unwrap().into_body();
        drop(sender.send(json!("reading")).await);
        let mut rest = Vec::new();
        while let Some(Ok(frame)) = body.frame().await {
            rest.extend_from_slice(frame.data_ref().unwrap());
            while let Some(end) = rest.iter().position(|octet| *octet == b'\n') {
                let line: Vec<u8> = rest.drain(..=end).collect();
                if sender.send(serde_json::from_slice(&line).unwrap()).await.is_err() {
                    return;
                }
            }
        }
    });
    lines
}

/// Lets things happen until a line is as wanted; gives it.
async fn until_line(
    nodes: &mut [&mut Node],
    lines: &mut tokio::sync::mpsc::Receiver<Value>,
    wanted: impl Fn(&Value) -> bool,
) -> Value {
    let found = std::cell::RefCell::new(None);
    let lines = std::cell::RefCell::new(lines);
    until(nodes, "a line", |_| {
        while let Ok(line) = lines.borrow_mut().try_recv() {
            if wanted(&line) {
                found.replace(Some(line));
                return true;
            }
        }
        false
    })
    .await;
    found.into_inner().unwrap()
}

#[tokio::test]
async fn what_happens_is_told_to_those_who_read() {
    let (mut hub, mut leaf) = pair("").await;
    let there = json!(leaf.address);
    let (mut routes, mut sessions) = (line(&hub, "routes").await, line(&hub, "sessions").await);
    for lines in [&mut routes, &mut sessions] {
        until_line(&mut [&mut hub, &mut leaf], lines, |line| *line == json!("reading")).await;
    }

    leaf.attach_mac("red", "64512:1", "02:00:00:00:00:04", "10.0.0.4");
    let of = |event: &'static str| {
        move |line: &Value| {
            line["event"] == json!(event) && line["route"].as_str().unwrap().contains("02:00:00:00:00:04")
        }
    };
    let announced = until_line(&mut [&mut hub, &mut leaf], &mut routes, of("announced")).await;
    assert_eq!((&announced["source"], &announced["best"]), (&there, &there));
    assert_eq!(announced["route_targets"], json!(["64512:1"]));
    assert!(announced["attributes"].is_object() && announced["time"].is_u64());

    hub.reload("").unwrap();
    let withdrawn = until_line(&mut [&mut hub, &mut leaf], &mut routes, of("withdrawn")).await;
    assert_eq!((&withdrawn["source"], &withdrawn["best"]), (&there, &json!(null)));
    let down =
        until_line(&mut [&mut hub, &mut leaf], &mut sessions, |line| line["event"] == json!("down")).await;
    assert_eq!((&down["peer"], &down["reason"]), (&there, &json!("peer removed")));

    hub.reload(&peer(leaf.address, "")).unwrap();
    let up = until_line(&mut [&mut hub, &mut leaf], &mut sessions, |line| line["event"] == json!("up")).await;
    assert_eq!((&up["peer"], &up["as_number"]), (&there, &json!(64_512)));
    drop((routes, sessions));
    // What nobody reads is not kept.
    leaf.attach_mac("red", "64512:1", "02:00:00:00:00:05", "10.0.0.5");
    until(&mut [&mut hub, &mut leaf], "no reader", |nodes| !nodes[0].agent.observers.watch_paths()).await;
}

/// A BMP station that reads messages: type, and what follows the common header.
struct Station {
    listener: TcpListener,
    address: SocketAddr,
}

impl Station {
    async fn start() -> Self {
        let listener = TcpListener::bind(SocketAddr::new(address(), 0)).await.unwrap();
        let address = listener.local_addr().unwrap();
        Self { listener, address }
    }

    fn config(&self) -> String {
        format!("bmp = {{ station = \"{}\", statistics_interval = 1 }}", self.address)
    }

    /// Collects messages of the next connection.
    async fn messages(&self) -> tokio::sync::mpsc::Receiver<(u8, Vec<u8>)> {
        let (sender, messages) = tokio::sync::mpsc::channel(4096);
        let (mut stream, _): (TcpStream, _) = self.listener.accept().await.unwrap();
        tokio::spawn(async move {
            let mut header = [0; 6];
            while stream.read_exact(&mut header).await.is_ok() {
                let [version, a, b, c, d, kind] = header;
                assert_eq!(version, 3);
                let mut body = vec![0; u32::from_be_bytes([a, b, c, d]) as usize - header.len()];
                stream.read_exact(&mut body).await.unwrap();
                if sender.send((kind, body)).await.is_err() {
                    return;
                }
            }
        });
        messages
    }
}

/// Lets things happen until the messages so far are as wanted.
async fn until_told(
    nodes: &mut [&mut Node],
    messages: &mut tokio::sync::mpsc::Receiver<(u8, Vec<u8>)>,
    what: &str,
    so: impl Fn(&[(u8, Vec<u8>)]) -> bool,
) -> Vec<(u8, Vec<u8>)> {
    let state = std::cell::RefCell::new((messages, Vec::new()));
    until(nodes, what, |_| {
        let (messages, told) = &mut *state.borrow_mut();
        while let Ok(message) = messages.try_recv() {
            told.push(message);
        }
        so(told)
    })
    .await;
    state.into_inner().1
}

fn has(told: &[(u8, Vec<u8>)], kind: u8, octets: &[u8]) -> bool {
    told.iter().any(|(of, body)| *of == kind && body.windows(octets.len()).any(|window| window == octets))
}

#[tokio::test]
async fn a_station_is_told_of_sessions_and_routes() {
    const MAC: [u8; 6] = [2, 0, 0, 0, 0, 3];
    const LATER: [u8; 6] = [2, 0, 0, 0, 0, 4];
    let (mut hub, mut leaf) = pair("").await;
    let peers = peer(leaf.address, "");
    let station = Station::start().await;
    hub.reload(&format!("{}\n{peers}", station.config())).unwrap();
    let mut messages = station.messages().await;

    // What is there already: who speaks, the session, its routes, and a mark that these are all.
    let nodes = &mut [&mut hub, &mut leaf];
    let end = [&[0, 29, 2, 0, 0, 0, 6, 128, 15, 3][..], &[0, 25, 70]].concat();
    let all = |told: &[(u8, Vec<u8>)]| has(told, 0, &MAC) && has(told, 0, &end);
    let told = until_told(nodes, &mut messages, "what is there", all).await;
    assert_eq!(told.iter().map(|(kind, _)| *kind).take(3).collect::<Vec<_>>(), [4, 3, 0]);

    // What happens: a route comes; then the session ends, with a NOTIFICATION of ours.
    nodes[1].attach_mac("red", "64512:1", "02:00:00:00:00:04", "10.0.0.4");
    until_told(nodes, &mut messages, "a new route", |told| has(told, 0, &LATER)).await;
    until_told(nodes, &mut messages, "statistics", |told| told.iter().any(|(kind, _)| *kind == 1)).await;
    nodes[0].reload(&station.config()).unwrap();
    let told =
        until_told(nodes, &mut messages, "the end", |told| told.iter().any(|(kind, _)| *kind == 2)).await;
    let down = told.iter().find(|(kind, _)| *kind == 2).unwrap();
    assert_eq!((down.1[42], &down.1[61..64]), (1, &[3, 6, 9][..]), "Cease, hard reset");

    // A station that comes back hears it all again; one that is not wanted any more is told so.
    drop(messages);
    nodes[0].reload(&format!("{}\n{peers}", station.config())).unwrap();
    let mut again = None;
    let deadline = Instant::now() + LIMIT;
    while again.is_none() {
        assert!(Instant::now() < deadline, "no new connection");
        again = tokio::time::timeout(Duration::from_millis(5), station.messages()).await.ok();
        for node in nodes.iter_mut() {
            drop(tokio::time::timeout(Duration::from_millis(2), node.agent.step()).await);
            drop(node.agent.settle());
        }
    }
    let mut messages = again.unwrap();
    until_told(nodes, &mut messages, "it all again", |told| has(told, 4, b"bagpipe") && has(told, 0, &LATER))
        .await;
    nodes[0].reload(&peers).unwrap();
    until_told(nodes, &mut messages, "the last word", |told| told.iter().any(|(kind, _)| *kind == 5)).await;
    assert_eq!(imported(nodes[0]), 3);
}

#[tokio::test]
async fn a_station_that_does_not_read_delays_nobody() {
    let station = Station::start().await;
    let (mut hub, mut leaf) = pair(&station.config()).await;
    let (_unread, _) = station.listener.accept().await.unwrap();
    leaf.attach_mac("red", "64512:1", "02:00:00:00:00:04", "10.0.0.4");
    until(&mut [&mut hub, &mut leaf], "the route", |nodes| imported(nodes[0]) == 3).await;
}
