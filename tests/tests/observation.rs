//! What operators see, and what they change while everything runs: reload, monitors, reasons, a BMP station.

use std::fs;
use std::time::Duration;

use bagpipe_agent::lab::{Agent, Capture, Lab, LabError, Node, wait_until};
use bagpipe_tests::fabric::{Fabric, VNI, VPN};
use bagpipe_tests::station::Station;
use bagpipe_tests::{SOON, bagpipe, tshark};
use serde_json::Value;

const HUB: &str = "10.99.0.1";

/// A hub and two others on one switch, each an agent without data plane.
struct Network {
    hub: Agent,
    others: Vec<Agent>,
    nodes: Vec<Node>,
    _lab: Lab,
}

impl Network {
    /// `keys` are those of `[bgp]` of the hub.
    fn new(keys: &str) -> Result<Self, LabError> {
        let lab = Lab::new()?;
        let switch = lab.switch("switch")?;
        let nodes = [lab.node("hub")?, lab.node("one")?, lab.node("two")?];
        for (node, last) in nodes.iter().zip(1..) {
            switch.plug(node, "eth0")?.address("eth0", &format!("10.99.0.{last}/24"))?;
        }
        let passive = |address: &str| {
            let keys = format!("{}[[bgp.peers]]\naddress = \"{HUB}\"\npassive = true\n", bgp(address, ""));
            format!("{keys}[dataplane]\ndriver = \"none\"\n")
        };
        let start = |node, text: &str| Agent::configured(&lab, &bagpipe(), node, text);
        let hub = format!("{}{}[dataplane]\ndriver = \"none\"\n", bgp(HUB, keys), peer("10.99.0.2", ""));
        Ok(Self {
            hub: start(&nodes[0], &hub)?,
            others: vec![start(&nodes[1], &passive("10.99.0.2"))?, start(&nodes[2], &passive("10.99.0.3"))?],
            nodes: nodes.to_vec(),
            _lab: lab,
        })
    }

    /// Changes the hub's file.
    fn edit(&self, change: impl FnOnce(String) -> String) -> Result<(), LabError> {
        let path = self.hub.config();
        let failed = |source| LabError::File { path: path.to_owned(), source };
        let text = fs::read_to_string(path).map_err(failed)?;
        fs::write(path, change(text)).map_err(failed)
    }

    /// How the hub stands with a peer.
    fn peer(&self, address: &str) -> Option<Value> {
        let peers = self.hub.json(&["show", "peers"]).ok()?;
        peers.as_array()?.iter().find(|peer| peer["address"] == address).cloned()
    }

    fn wait_established(&self, address: &str) -> Result<(), LabError> {
        let is_up = || self.peer(address).is_some_and(|peer| peer["state"] == "established");
        wait_until(SOON, address, || is_up().then_some(()))
    }
}

fn bgp(address: &str, keys: &str) -> String {
    format!(
        "[bgp]\nlocal_address = \"{address}\"\nas_number = 64512\nlisten = [\"{address}:179\"]\nhold_time = 9\n{keys}\n"
    )
}

fn peer(address: &str, terms: &str) -> String {
    format!("[[bgp.peers]]\naddress = \"{address}\"\n{terms}\n")
}

fn attach(agent: &Agent, mac: &str, ip: &str) -> Result<(), LabError> {
    let words = ["attach", "--vpn", "blue", "--port", "tap0", "--mac", mac, "--ip", ip, "--rt", "64512:10"];
    agent.cli(&words).map(drop)
}

/// What the programs see is what is said of a route.
#[test]
fn the_entries_of_a_route_are_named() -> Result<(), LabError> {
    let fabric = Fabric::new(2)?;
    let [agent, _] = fabric.agents.as_slice() else { unreachable!("two nodes") };
    let host = &fabric.hosts[1];
    let explained = agent.cli(&["explain", "--route", &format!("mac-ip {} {}", host.mac, host.ipv4)])?;
    for words in [
        "from 10.99.0.254, the best path\n".to_owned(),
        format!("imported by {VPN} for 64512:{VNI}\n"),
        format!("frames to {}: written to FDB [vpn 1 {}]: next hop ", host.mac, host.mac),
        format!("ARP and ND for {}: written to NEIGHBORS [vpn 1 {}]: {}", host.ipv4, host.ipv4, host.mac),
    ] {
        assert!(explained.contains(&words), "{words} in:\n{explained}");
    }
    let explained = agent.cli(&["explain", "--route", "multicast 10.99.0.2"])?;
    assert!(
        explained.contains("flooded frames to 10.99.0.2: written to FLOODS [vpn 1 remote 0]: next hop "),
        "{explained}"
    );
    let own = agent.cli(&["explain", "--route", "multicast 10.99.0.1"])?;
    assert!(own.contains("not used: it is a route of this node"), "{own}");
    Ok(())
}

/// OPENs that were sent to a peer: one for each session.
fn opens(peer: Option<&Value>) -> Option<u64> {
    peer?.pointer("/counters/sent/opens")?.as_u64()
}

#[test]
fn a_reload_touches_only_what_has_changed() -> Result<(), LabError> {
    let network = Network::new("")?;
    network.wait_established("10.99.0.2")?;
    let before = network.peer("10.99.0.2");
    let sessions = opens(before.as_ref());

    // One more peer, by the command.
    network.edit(|text| text + &peer("10.99.0.3", ""))?;
    assert_eq!(network.hub.cli(&["reload"])?, "peer 10.99.0.3 added\n");
    network.wait_established("10.99.0.3")?;

    // What is wrong changes nothing, whatever else is in it: not TOML, an unknown key, and one that needs a restart.
    let good = fs::read_to_string(network.hub.config()).unwrap_or_default();
    let without = good.replace(&peer("10.99.0.3", ""), "");
    for (bad, words) in [
        (format!("{without}[["), "not valid TOML"),
        (without.replace("hold_time", "hold_tiem"), "bgp.hold_tiem: unknown key"),
        (
            without.replace("as_number = 64512", "as_number = 64513"),
            "only a restart of the agent can change bgp.as_number, route_targets.as_number;",
        ),
    ] {
        network.edit(|_| bad)?;
        let refused = network.hub.output(&["reload"])?;
        assert_eq!(refused.code, Some(1), "{refused:?}");
        assert!(refused.stderr.contains(words), "{}", refused.stderr);
        assert!(network.peer("10.99.0.3").is_some_and(|peer| peer["state"] == "established"));
    }

    // A peer less, by the signal.
    network.edit(|_| without)?;
    let process = network.hub.process_id().unwrap_or_default().to_string();
    network.nodes[0].run(&["kill", "-HUP", &process])?;
    wait_until(SOON, "the peer is gone", || network.peer("10.99.0.3").is_none().then_some(()))?;

    // All the while the session with the other one was the same.
    let after = network.peer("10.99.0.2");
    assert_eq!(after.as_ref().map(|peer| &peer["state"]), Some(&"established".into()));
    assert_eq!((opens(after.as_ref()), sessions), (sessions, Some(1)));
    Ok(())
}

#[test]
fn a_station_hears_what_another_dissector_understands() -> Result<(), LabError> {
    let bmp = "[bgp.bmp]\nstation = \"10.99.0.3:11019\"\nstatistics_interval = 1\n";
    let mut network = Network::new(bmp)?;
    network.wait_established("10.99.0.2")?;
    attach(&network.others[0], "02:00:00:00:00:01", "192.168.10.1")?;
    attach(&network.hub, "02:00:00:00:00:02", "192.168.10.2")?;

    // The station comes after the session and its routes, and is told of them all the same.
    let capture = Capture::start(&network.nodes[2], "eth0", "tcp port 11019")?;
    let _station = Station::start(&network.nodes[2], ([10, 99, 0, 3], 11_019).into());
    let seen = |filter: &str| !tshark::packets(capture.path(), filter).is_empty();
    let wait = |filter: &str| wait_until(SOON * 2, filter, || seen(filter).then_some(()));
    wait("bmp.type == 4 && bmp.init.info")?;
    wait("bmp.type == 3 && bmp.peer.ip.addr == 10.99.0.2 && bmp.peer.up.ip.addr == 10.99.0.1")?;
    wait("bmp.type == 0 && bmp.peer.flags.post_policy == 1 && bgp.evpn.nlri.mac_addr == 02:00:00:00:00:01")?;
    wait("bmp.type == 1 && bmp.stats.data.routes_per_adj_rib_in")?;

    // A route that comes later, and the end of the session.
    attach(&network.others[0], "02:00:00:00:00:03", "192.168.10.3")?;
    wait("bmp.type == 0 && bgp.evpn.nlri.mac_addr == 02:00:00:00:00:03")?;
    network.others[0].kill();
    wait("bmp.type == 2 && bmp.peer.down.reason == 4")?;
    network.hub.stop()?;
    wait("bmp.type == 5")?;
    // What this node announces itself came over no session.
    assert!(!seen("bgp.evpn.nlri.mac_addr == 02:00:00:00:00:02"));
    tshark::assert_well_formed(&capture.stop()?, &["bmp.type == 3 && bgp.type == 1"]);
    Ok(())
}

#[test]
fn events_and_reasons_are_printed() -> Result<(), LabError> {
    let network = Network::new("")?;
    network.wait_established("10.99.0.2")?;
    attach(&network.hub, "02:00:00:00:00:02", "192.168.10.2")?;

    let binary = bagpipe();
    let (binary, socket) = (binary.to_string_lossy(), network.hub.socket().to_string_lossy());
    let words = [binary.as_ref(), "--socket", socket.as_ref(), "monitor"];
    let spawn =
        |what: &str, more: &[&str]| network.nodes[0].spawn(what, &[&words[..], &[what], more].concat());
    let (routes, sessions) = (spawn("routes", &["-o", "json"])?, spawn("sessions", &[])?);
    // Nobody says when a reader has begun; so things happen until it has heard of one.
    wait_until(SOON, "a route", || {
        for verb in ["detach", "attach"] {
            let rt: &[&str] =
                if verb == "attach" { &["--rt", "64512:10", "--ip", "192.168.10.1"] } else { &[] };
            let words = [verb, "--vpn", "blue", "--port", "tap0", "--mac", "02:00:00:00:00:01"];
            drop(network.others[0].cli(&[&words[..], rt].concat()));
        }
        let printed = routes.printed();
        let events = printed.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
        events
            .into_iter()
            .any(|event| event["event"] == "announced" && event["source"] == "10.99.0.2")
            .then_some(())
    })?;
    wait_until(SOON, "a session that ends and begins", || {
        network.hub.cli(&["peer", "reset", "10.99.0.2"]).ok()?;
        let printed = sessions.printed();
        (printed.contains("10.99.0.2 is down: reset here") && printed.contains("10.99.0.2 is up: AS 64512"))
            .then_some(())
    })?;
    network.wait_established("10.99.0.2")?;

    let route = "mac-ip 02:00:00:00:00:01 192.168.10.1";
    let explained =
        wait_until(SOON, "the route again", || network.hub.cli(&["explain", "--route", route]).ok())?;
    for words in [
        "from 10.99.0.2, the best path",
        "imported by blue for 64512:10",
        "frames to 02:00:00:00:00:01: by this route; there are no maps to write to",
    ] {
        assert!(explained.contains(words), "{explained}");
    }
    let unknown = network.hub.output(&["explain", "--route", "mac-ip 02:00:00:00:00:77"])?;
    assert_eq!(unknown.code, Some(1), "{unknown:?}");
    let filtered = network.hub.cli(&["show", "routes", "--peer", "10.99.0.2", "--family", "evpn"])?;
    assert!(filtered.contains("02:00:00:00:00:01") && !filtered.contains("02:00:00:00:00:02"), "{filtered}");
    let sent = network.hub.cli(&["show", "routes", "--peer", "10.99.0.2", "--family", "evpn", "--out"])?;
    assert!(sent.contains("02:00:00:00:00:02") && !sent.contains("02:00:00:00:00:01"), "{sent}");

    // Who leaves is no trouble to anybody.
    routes.kill();
    sessions.interrupt(Duration::from_secs(5)).map(drop)
}
