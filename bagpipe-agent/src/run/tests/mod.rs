//! Agents without data plane, on loopback, in one task.

mod calling;
mod observing;

use std::net::{IpAddr, Ipv4Addr};
use std::path::PathBuf;
use std::sync::atomic::{AtomicU8, Ordering};
use std::time::{Duration, Instant};

use bagpipe_bgp::speaker::{Held, PeerState, PeerStatus};
use serde_json::{Value, json};

use super::{Agent, start};
use crate::config::Config;

const LIMIT: Duration = Duration::from_secs(20);

/// A directory that goes with its owner.
pub(super) struct Directory(PathBuf);

impl Drop for Directory {
    fn drop(&mut self) {
        drop(std::fs::remove_dir_all(&self.0));
    }
}

/// A node: its address, its files, its agent.
pub(super) struct Node {
    pub(super) address: IpAddr,
    pub(super) agent: Agent,
    file: PathBuf,
    directory: Directory,
}

/// An address of loopback that no other test of this machine uses at the same time.
fn address() -> IpAddr {
    static NEXT: AtomicU8 = AtomicU8::new(1);
    let [.., high, low] = std::process::id().to_be_bytes();
    Ipv4Addr::new(127, high | 0x80, low, NEXT.fetch_add(1, Ordering::Relaxed)).into()
}

impl Node {
    /// Starts an agent; `more` follows the keys of `[bgp]`.
    pub(super) async fn start(more: &str) -> Self {
        let address = address();
        let directory = Directory(std::env::temp_dir().join(format!("bagpipe-run-{address}")));
        std::fs::create_dir_all(&directory.0).unwrap();
        let file = directory.0.join("bagpipe.toml");
        let text = Self::text(address, &directory.0, more);
        std::fs::write(&file, &text).unwrap();
        let config = Config::load(&file, "test").unwrap_or_else(|error| panic!("{error}"));
        let agent = start::start(config, file.clone()).await.unwrap_or_else(|error| panic!("{error}"));
        Self { address, agent, file, directory }
    }

    fn text(address: IpAddr, directory: &std::path::Path, more: &str) -> String {
        let directory = directory.display();
        format!(
            "api = {{ listen = \"\", socket = \"{directory}/socket\" }}\nstate.directory = \"{directory}/state\"\n\
             dataplane.driver = \"none\"\n\
             [bgp]\nlocal_address = \"{address}\"\nas_number = 64512\nlisten = [\"{address}:1790\"]\n{more}"
        )
    }

    /// Writes another configuration and has it read.
    pub(super) fn reload(&mut self, more: &str) -> Result<Value, String> {
        std::fs::write(&self.file, Self::text(self.address, &self.directory.0, more)).unwrap();
        let answer = self.agent.reload().map_err(|refused| refused.to_string())?;
        Ok(serde_json::from_slice(&answer).unwrap())
    }

    /// Attaches a port, which nothing has to exist for without a data plane.
    pub(super) fn attach(&mut self, vpn: &str, target: &str, ip: &str) {
        let mac = format!("02:00:00:00:00:0{}", ip.trim_start_matches("10.0.0."));
        self.attach_mac(vpn, target, &mac, ip);
    }

    /// The same with another MAC address than the usual.
    pub(super) fn attach_mac(&mut self, vpn: &str, target: &str, mac: &str, ip: &str) {
        let request = json!({
            "vpn_type": "evpn",
            "vpn_instance_id": vpn,
            "mac_address": mac,
            "ip_address": ip,
            "local_port": { "linuxif": format!("tap-{vpn}") },
            "import_rt": [target],
            "export_rt": [target],
        });
        let request = serde_json::from_value(request).unwrap();
        self.agent.engine.attach(&request, Instant::now()).unwrap_or_else(|error| panic!("{error}"));
        drop(self.agent.settle());
    }

    /// The unix socket of its API.
    pub(super) fn socket(&self) -> PathBuf {
        self.directory.0.join("socket")
    }

    pub(super) fn peer(&self, address: IpAddr) -> Option<PeerStatus> {
        self.agent.engine.peers().find(|peer| peer.address == address)
    }

    pub(super) fn is_up(&self, address: IpAddr) -> bool {
        self.peer(address).is_some_and(|peer| peer.state == PeerState::Established)
    }
}

/// Lets things happen to all nodes until something is so.
pub(super) async fn until(nodes: &mut [&mut Node], what: &str, so: impl Fn(&[&mut Node]) -> bool) {
    let deadline = Instant::now() + LIMIT;
    while !so(nodes) {
        assert!(Instant::now() < deadline, "not in time: {what}");
        for node in &mut *nodes {
            drop(tokio::time::timeout(Duration::from_millis(2), node.agent.step()).await);
            drop(node.agent.settle());
        }
    }
}

/// `[[bgp.peers]]` of an address.
pub(super) fn peer(address: IpAddr, more: &str) -> String {
    format!("[[bgp.peers]]\naddress = \"{address}\"\nport = 1790\n{more}\n")
}

#[tokio::test]
async fn a_reload_touches_only_the_sessions_that_it_concerns() {
    let mut hub = Node::start("").await;
    let to_hub = peer(hub.address, "passive = true");
    let (mut first, mut second) = (Node::start(&to_hub).await, Node::start(&to_hub).await);
    let (a, b) = (first.address, second.address);
    let both = [peer(a, ""), peer(b, "")].concat();

    let reloaded = hub.reload(&both).unwrap();
    assert_eq!(reloaded["added"], json!([a, b]));
    until(&mut [&mut hub, &mut first, &mut second], "sessions", |nodes| {
        nodes[0].is_up(a) && nodes[0].is_up(b)
    })
    .await;
    let since = |hub: &Node, address| hub.peer(address).unwrap().since;
    let (first_since, second_since) = (since(&hub, a), since(&hub, b));

    // Nothing has changed, then a hold time.
    let reloaded = hub.reload(&both).unwrap();
    for what in ["added", "removed", "changed", "updated"] {
        assert_eq!(reloaded[what], json!([]), "{what}");
    }
    let reloaded = hub.reload(&[peer(a, "hold_time = 30"), peer(b, "")].concat()).unwrap();
    assert_eq!(reloaded["updated"], json!([a]));
    assert_eq!((since(&hub, a), since(&hub, b)), (first_since, second_since));
    assert!(hub.is_up(a) && hub.is_up(b));

    // Fewer families are another session, for that peer only.
    let fewer = [peer(a, "hold_time = 30\nfamilies = [\"evpn\"]"), peer(b, "")].concat();
    assert_eq!(hub.reload(&fewer).unwrap()["changed"], json!([a]));
    until(&mut [&mut hub, &mut first, &mut second], "the session again", |nodes| nodes[0].is_up(a)).await;
    let negotiated = hub.peer(a).unwrap().negotiated.unwrap();
    assert_eq!((negotiated.families.len(), negotiated.hold_time), (1, 30));
    assert_eq!(since(&hub, b), second_since);

    // What an operator has shut down stays so.
    let id = hub.agent.engine.peer_at(a).unwrap();
    hub.agent.engine.shut_down_peer(id, "", Instant::now());
    assert_eq!(hub.reload(&both).unwrap()["changed"], json!([a]));
    assert_eq!(hub.peer(a).unwrap().held, Some(Held::Shutdown));

    assert_eq!(hub.reload(&peer(b, "")).unwrap()["removed"], json!([a]));
    assert!(hub.peer(a).is_none() && hub.is_up(b));
    assert_eq!(since(&hub, b), second_since);
}

#[tokio::test]
async fn what_cannot_be_taken_over_changes_nothing() {
    let mut hub = Node::start("").await;
    let mut other = Node::start(&peer(hub.address, "passive = true")).await;
    let address = other.address;
    hub.reload(&peer(address, "")).unwrap();
    until(&mut [&mut hub, &mut other], "a session", |nodes| nodes[0].is_up(address)).await;
    let before = hub.agent.config.clone();

    let stranger = peer(IpAddr::from([192, 0, 2, 1]), "");
    for (more, words) in [
        (format!("nonsense = 1\n{stranger}"), "bgp.nonsense: unknown key"),
        (
            format!("router_id = \"1.2.3.4\"\n{stranger}"),
            "only a restart of the agent can change bgp.router_id;",
        ),
        (format!("{stranger}[vpn]\nvnis = \"20-30\""), "can change vpn.vnis;"),
        ("= not TOML".to_owned(), "not valid TOML"),
    ] {
        let refused = hub.reload(&more).unwrap_err();
        assert!(refused.contains(words), "{refused}");
        assert_eq!(hub.agent.config, before);
        assert!(hub.is_up(address));
        assert_eq!(hub.agent.engine.peers().count(), 1);
    }
}

#[tokio::test]
async fn clients_and_passwords_change_in_place() {
    let clients =
        |password: &str| format!("[bgp.reflector]\nclients = [\"127.0.0.0/8\"]\npassword = \"{password}\"\n");
    let mut hub = Node::start("").await;
    let to_hub = |password: &str| peer(hub.address, &format!("password = \"{password}\""));
    let (old, new) = (to_hub("old"), to_hub("new"));
    let mut client = Node::start(&old).await;
    let address = client.address;

    hub.reload(&clients("old")).unwrap();
    until(&mut [&mut hub, &mut client], "a client", |nodes| nodes[0].is_up(address)).await;
    let since = hub.peer(address).unwrap().since;

    // Its session ends, and there is no other one before it knows the new password.
    assert_eq!(hub.reload(&clients("new")).unwrap()["changed"], json!([address]));
    assert!(hub.peer(address).is_none());
    let hub_address = hub.address;
    until(&mut [&mut hub, &mut client], "the end", |nodes| !nodes[1].is_up(hub_address)).await;
    assert_eq!(client.reload(&new).unwrap()["changed"], json!([hub_address]));
    until(&mut [&mut hub, &mut client], "the client again", |nodes| nodes[0].is_up(address)).await;
    assert_ne!(hub.peer(address).unwrap().since, since);

    assert_eq!(hub.reload("").unwrap()["removed"], json!([address]));
    assert!(hub.peer(address).is_none());
}

/// What a filter shows, each route on its line.
fn routes(node: &Node, request: serde_json::Value) -> Vec<String> {
    let request = serde_json::from_value(request).unwrap();
    let answer = node.agent.filtered_routes(&request).unwrap();
    let routes: Vec<Value> = serde_json::from_slice(&answer).unwrap();
    routes.iter().map(|route| format!("{} {}", route["source"], route["route"])).collect()
}

#[tokio::test]
async fn routes_are_shown_by_what_they_are_and_where_they_go() {
    let mut hub = Node::start("").await;
    let mut leaf = Node::start(&peer(hub.address, "passive = true")).await;
    let address = leaf.address;
    let (here, there) = (hub.address, leaf.address);
    hub.attach("red", "64512:1", "10.0.0.1");
    hub.attach("blue", "64512:2", "10.0.0.2");
    leaf.attach("red", "64512:1", "10.0.0.3");
    hub.reload(&peer(address, "")).unwrap();
    let received = |nodes: &[&mut Node]| {
        !routes(nodes[0], json!({ "family": "evpn", "peer": there })).is_empty()
            && !routes(nodes[1], json!({ "family": "evpn", "direction": "in" })).is_empty()
    };
    until(&mut [&mut hub, &mut leaf], "routes", received).await;

    let all = routes(&hub, json!({}));
    let evpn = routes(&hub, json!({ "family": "evpn" }));
    let rtc = routes(&hub, json!({ "family": "rtc" }));
    assert_eq!(evpn.len() + rtc.len(), all.len());
    let blue = routes(&hub, json!({ "route_target": "64512:2", "family": "evpn" }));
    assert!(!blue.is_empty() && blue.iter().all(|route| route.starts_with("\"local\"")), "{blue:?}");
    let from = routes(&hub, json!({ "peer": there, "family": "evpn" }));
    assert_eq!(routes(&hub, json!({ "direction": "in", "family": "evpn" })), from);
    assert_eq!(routes(&hub, json!({ "imported_by": "red" })), from);
    assert_eq!(routes(&hub, json!({ "imported_by": "blue" })), Vec::<String>::new());
    // The leaf asks for one of the two targets only, so that is what it was sent, and what it has.
    let out = routes(&hub, json!({ "peer": there, "direction": "out", "family": "evpn" }));
    let red = routes(&hub, json!({ "route_target": "64512:1", "family": "evpn" }));
    assert_eq!(out.len() + from.len(), red.len());
    assert_eq!(out.len(), routes(&leaf, json!({ "peer": here, "direction": "in", "family": "evpn" })).len());
    assert_eq!(
        routes(&hub, json!({ "peer": there, "direction": "out", "route_target": "64512:2" })).len(),
        0
    );

    let refused = |request| hub.agent.filtered_routes(&serde_json::from_value(request).unwrap()).unwrap_err();
    assert!(refused(json!({ "peer": "192.0.2.1" })).to_string().contains("192.0.2.1 is not a peer"));
    assert!(refused(json!({ "direction": "out" })).to_string().contains("name it with peer"));
}
