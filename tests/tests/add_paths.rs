//! Several paths of one route through a reflector (RFC 7911): GoBGP and FRR send them to us, and take them from us.

use std::collections::BTreeSet;

use bagpipe_agent::lab::{Agent, Lab, LabError, Node, wait_until};
use bagpipe_tests::edges::Family;
use bagpipe_tests::fabric::node_on;
use bagpipe_tests::frr::Frr;
use bagpipe_tests::gobgp::Reflector;
use bagpipe_tests::{SOON, bagpipe};
use serde_json::Value;

const REFLECTOR: &str = "10.98.0.254";
const CLIENTS: &str = "10.98.0.0/24";
/// Who announces the route: it is the same one, but for the next hop.
const SOURCES: [&str; 2] = ["10.98.0.1", "10.98.0.2"];
const TAKER: &str = "10.98.0.3";

/// Two GoBGPs that announce the same routes to a reflector, and the nodes of that and of a fourth speaker.
struct Star {
    sources: Vec<Reflector>,
    reflector: Node,
    taker: Node,
    lab: Lab,
}

impl Star {
    fn new() -> Result<Self, LabError> {
        let lab = Lab::new()?;
        let underlay = lab.switch("underlay")?;
        let node = |name: &str, number: u8| node_on(&lab, &underlay, name, &Family::V4.prefix(number));
        let (reflector, taker) = (node("reflector", 254)?, node("taker", 3)?);
        let sources = [node("one", 1)?, node("other", 2)?].into_iter().zip(SOURCES).map(|(node, address)| {
            let source = Reflector::configured(&lab, &node, &gobgp(address, false, ""))?;
            announce(&source, address)?;
            Ok(source)
        });
        let sources = sources.collect::<Result<_, LabError>>()?;
        Ok(Self { sources, reflector, taker, lab })
    }

    /// An agent that takes all paths, or reflects them.
    fn agent(&self, node: &Node, address: &str, tables: &str) -> Result<Agent, LabError> {
        let text = format!(
            "[bgp]\nlocal_address = \"{address}\"\nas_number = 64512\nhold_time = 9\n{tables}\n\
             [dataplane]\ndriver = \"none\"\n"
        );
        Agent::configured(&self.lab, &bagpipe(), node, &text)
    }

    fn taking_agent(&self) -> Result<Agent, LabError> {
        let peer = format!("[[bgp.peers]]\naddress = \"{REFLECTOR}\"\nadd_paths = {{ receive = true }}");
        self.agent(&self.taker, TAKER, &peer)
    }

    fn reflecting_agent(&self) -> Result<Agent, LabError> {
        let clients = format!("[bgp.reflector]\nclients = [\"{CLIENTS}\"]\nadd_paths = {{ send = 8 }}");
        self.agent(&self.reflector, REFLECTOR, &clients)
    }

    /// Whoever takes the paths has both; then the source of the best one withdraws, and the other one is left.
    fn paths_come_and_go(&self, held: impl Fn() -> Option<BTreeSet<String>>) -> Result<(), LabError> {
        let both: BTreeSet<_> = SOURCES.map(str::to_owned).into();
        wait_until(SOON, "both paths", || (held()? == both).then_some(()))?;
        let [first, ..] = &self.sources[..] else { panic!("two sources") };
        withdraw(first)?;
        let left: BTreeSet<_> = SOURCES[1..].iter().map(ToString::to_string).collect();
        wait_until(SOON, "one path", || (held()? == left).then_some(()))?;
        announce(first, SOURCES[0])?;
        wait_until(SOON, "both paths again", || (held()? == both).then_some(()))
    }
}

const FAMILIES: [&str; 2] = ["l2vpn-evpn", "l3vpn-ipv4-unicast"];

/// A GoBGP that opens a session to the reflector, with or without add-path, and other terms.
fn gobgp(address: &str, add_paths: bool, terms: &str) -> String {
    let paths = if add_paths { "[neighbors.add-paths.config]\nreceive = true" } else { "" };
    let families = FAMILIES.map(|family| {
        format!("[[neighbors.afi-safis]]\n[neighbors.afi-safis.config]\nafi-safi-name = \"{family}\"")
    });
    format!(
        "[global.config]\nas = 64512\nrouter-id = \"{address}\"\nlocal-address-list = [\"{address}\"]\n\
         [[neighbors]]\n[neighbors.config]\nneighbor-address = \"{REFLECTOR}\"\npeer-as = 64512\n\
         [neighbors.transport.config]\nlocal-address = \"{address}\"\n\
         [neighbors.timers.config]\nconnect-retry = 1\n{paths}\n{terms}\n{}\n",
        families.join("\n")
    )
}

/// A prefix in either family, the same from whoever announces it. GoBGP takes a MAC address for one that moves.
const ROUTES: [(&str, &[&str]); 2] = [
    ("evpn", &["prefix", "192.0.2.0/24", "etag", "0", "label", "800", "rd", "64512:7"]),
    ("vpnv4", &["192.0.2.0/24", "label", "100", "rd", "64512:7"]),
];

fn announce(source: &Reflector, next_hop: &str) -> Result<(), LabError> {
    change(source, "add", &["rt", "64512:10", "nexthop", next_hop])
}

fn withdraw(source: &Reflector) -> Result<(), LabError> {
    change(source, "del", &["rt", "64512:10"])
}

fn change(source: &Reflector, verb: &str, more: &[&str]) -> Result<(), LabError> {
    for (family, route) in ROUTES {
        source.gobgp(&[&["global", "rib", verb, "-a", family], route, more].concat())?;
    }
    Ok(())
}

/// The next hops of the paths that an agent has to the prefix.
fn of_agent(agent: &Agent, family: &str) -> Option<BTreeSet<String>> {
    let shown = agent.json(&["show", "routes"]).ok()?;
    let evpn = |route: &&Value| route["nlri"]["type"] == "ip-prefix";
    let routes = shown
        .as_array()?
        .iter()
        .filter(|route| route["nlri"]["prefix"] == "192.0.2.0/24" && evpn(route) == (family == "evpn"));
    routes.map(|route| Some(route["next_hop"].as_str()?.to_owned())).collect()
}

/// The same of a GoBGP.
fn of_gobgp(gobgp: &Reflector, family: &str) -> Option<BTreeSet<String>> {
    let shown: Value =
        serde_json::from_str(&gobgp.gobgp(&["global", "rib", "-a", family, "-j"]).ok()?).ok()?;
    let paths = shown.as_object()?.values().flat_map(|paths| paths.as_array().into_iter().flatten());
    let next_hop = |path: &Value| {
        let attributes = path["attrs"].as_array()?.iter();
        attributes.filter_map(|attribute| attribute["nexthop"].as_str()).next().map(str::to_owned)
    };
    paths.map(next_hop).collect()
}

/// In which families an agent has agreed with a peer on several paths.
fn agreed(agent: &Agent, peer: &str, direction: &str) -> Result<Value, LabError> {
    wait_until(SOON, "the session", || {
        let peers = agent.json(&["show", "peers"]).ok()?;
        let peer = peers.as_array()?.iter().find(|shown| shown["address"] == peer)?;
        (peer["state"] == "established").then(|| peer["negotiated"]["add_paths"][direction].clone())
    })
}

#[test]
fn gobgp_sends_us_all_paths() -> Result<(), LabError> {
    let star = Star::new()?;
    let clients = SOURCES.iter().chain([&TAKER]).map(|client| {
        let families = FAMILIES.map(|family| {
            format!("[[neighbors.afi-safis]]\n[neighbors.afi-safis.config]\nafi-safi-name = \"{family}\"\n[neighbors.afi-safis.add-paths.config]\nsend-max = 8\n")
        });
        format!(
            "[[neighbors]]\n[neighbors.config]\nneighbor-address = \"{client}\"\npeer-as = 64512\n\
             [neighbors.route-reflector.config]\nroute-reflector-client = true\nroute-reflector-cluster-id = \"{REFLECTOR}\"\n\
             [neighbors.transport.config]\npassive-mode = true\n{}", families.concat()
        )
    });
    let global = format!(
        "[global.config]\nas = 64512\nrouter-id = \"{REFLECTOR}\"\nlocal-address-list = [\"{REFLECTOR}\"]\n"
    );
    let _reflector =
        Reflector::configured(&star.lab, &star.reflector, &(global + &clients.collect::<String>()))?;
    let agent = star.taking_agent()?;
    assert_eq!(agreed(&agent, REFLECTOR, "receive")?, serde_json::json!(["evpn", "vpnv4"]));
    assert_eq!(agreed(&agent, REFLECTOR, "send")?, serde_json::json!([]));
    for family in ["evpn", "vpnv4"] {
        star.paths_come_and_go(|| of_agent(&agent, family))?;
    }
    Ok(())
}

#[test]
fn gobgp_takes_all_paths_from_us() -> Result<(), LabError> {
    let star = Star::new()?;
    let agent = star.reflecting_agent()?;
    let taker = Reflector::configured(&star.lab, &star.taker, &gobgp(TAKER, true, ""))?;
    assert_eq!(agreed(&agent, TAKER, "send")?, serde_json::json!(["evpn", "vpnv4"]));
    assert_eq!(agreed(&agent, SOURCES[0], "send")?, serde_json::json!([]));
    for family in ["evpn", "vpnv4"] {
        star.paths_come_and_go(|| of_gobgp(&taker, family))?;
    }
    Ok(())
}

/// FRR says that it sends several paths of all families if it does of one: that is, of VPN-IPv4 routes.
#[test]
fn frr_sends_us_all_paths() -> Result<(), LabError> {
    let star = Star::new()?;
    let family = |name: &str, more: &str| {
        format!(
            " address-family {name}\n  neighbor clients activate\n  neighbor clients route-reflector-client\n{more} exit-address-family\n"
        )
    };
    let text = format!(
        "router bgp 64512\n bgp router-id {REFLECTOR}\n no bgp default ipv4-unicast\n neighbor clients peer-group\n \
         neighbor clients remote-as 64512\n neighbor clients passive\n bgp listen range {CLIENTS} peer-group clients\n{}{}",
        family("l2vpn evpn", ""),
        family("ipv4 vpn", "  neighbor clients addpath-tx-all-paths\n"),
    );
    let _frr = Frr::start(&star.lab, &star.reflector, &text)?;
    let agent = star.taking_agent()?;
    assert_eq!(agreed(&agent, REFLECTOR, "receive")?, serde_json::json!(["evpn", "vpnv4"]));
    star.paths_come_and_go(|| of_agent(&agent, "vpnv4"))
}

#[test]
fn frr_takes_all_paths_from_us() -> Result<(), LabError> {
    let star = Star::new()?;
    let agent = star.reflecting_agent()?;
    let text = format!(
        "router bgp 64512\n bgp router-id {TAKER}\n no bgp default ipv4-unicast\n neighbor {REFLECTOR} remote-as 64512\n \
         neighbor {REFLECTOR} timers connect 1\n \
         address-family l2vpn evpn\n  neighbor {REFLECTOR} activate\n exit-address-family\n \
         address-family ipv4 vpn\n  neighbor {REFLECTOR} activate\n exit-address-family\n"
    );
    let frr = Frr::start(&star.lab, &star.taker, &text)?;
    assert_eq!(agreed(&agent, TAKER, "send")?, serde_json::json!(["evpn", "vpnv4"]));
    star.paths_come_and_go(|| {
        let shown = frr.json("show bgp ipv4 vpn 192.0.2.0/24").ok()?;
        let paths = shown["64512:7"]["paths"].as_array()?.iter();
        paths.map(|path| Some(path["nexthops"][0]["ip"].as_str()?.to_owned())).collect()
    })?;
    star.paths_come_and_go(|| {
        let shown = frr.json("show bgp l2vpn evpn route rd 64512:7 type prefix").ok()?;
        Some(next_hops(&shown))
    })
}

/// All next hops in what FRR shows.
fn next_hops(shown: &Value) -> BTreeSet<String> {
    match shown {
        Value::Object(members) => {
            let own =
                members.get("nexthops").and_then(|hops| hops.pointer("/0/ip")?.as_str().map(str::to_owned));
            members.values().flat_map(next_hops).chain(own).collect()
        }
        Value::Array(items) => items.iter().flat_map(next_hops).collect(),
        _ => BTreeSet::new(),
    }
}
