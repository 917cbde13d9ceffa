//! Flow specifications of VPNs (RFC 8955, RFC 8956), from one GoBGP through an agent that reflects to another: what GoBGP
//! writes is shown by the agent, and what the agent writes is what GoBGP said.

use bagpipe_agent::lab::{Agent, Lab, LabError, Node, wait_until};
use bagpipe_tests::fabric::node_on;
use bagpipe_tests::gobgp::Reflector;
use bagpipe_tests::{SOON, bagpipe};
use serde_json::{Value, json};

const AGENT: &str = "10.97.0.1";
const FAMILIES: [&str; 2] = ["ipv4-l3vpn-flowspec", "ipv6-l3vpn-flowspec"];
const TARGET: &str = "64512:100";

/// For each family: what GoBGP is told, and what the agent makes of it.
const RULES: [(&str, &str); 2] = [
    (
        "match destination 10.0.0.0/24 source 192.0.2.0/25 protocol tcp destination-port >=80&<=90 =8080 \
         tcp-flags =S fragment is-fragment then redirect 64512:200 rd 64512:7 rt 64512:100",
        "flowspec-vpnv4 rd 64512:7 destination 10.0.0.0/24 source 192.0.2.0/25 protocol =6 \
         destination-port >=80&<=90,=8080 tcp-flags all:0x2 fragment any:0x2",
    ),
    (
        "match destination 2001:db8::/32 protocol udp port =53 then discard rd 64512:7 rt 64512:100",
        "flowspec-vpnv6 rd 64512:7 destination 2001:db8::/32 protocol =17 port =53",
    ),
];

#[test]
fn flow_specifications_go_from_gobgp_to_gobgp() -> Result<(), LabError> {
    let lab = Lab::new()?;
    let underlay = lab.switch("underlay")?;
    let node = |name: &str, number: u8| node_on(&lab, &underlay, name, &format!("10.97.0.{number}/24"));
    let agent = agent(&lab, &node("agent", 1)?)?;
    let speakers = [client(&lab, &node("left", 2)?, 2)?, client(&lab, &node("right", 3)?, 3)?];
    let attach = ["attach", "--type", "ipvpn", "--vpn", "red", "--rt", TARGET, "--port", "tap0"];
    agent.cli(&[&attach[..], &["--mac", "02:00:00:00:01:01", "--ip", "10.1.1.2/24"]].concat())?;
    wait_until(SOON, "both sessions", || speakers.iter().all(|gobgp| gobgp.sessions() == 1).then_some(()))?;

    let change = |verb: &str| {
        for (family, (words, _)) in FAMILIES.into_iter().zip(RULES) {
            let words: Vec<_> =
                ["global", "rib", verb, "-a", family].into_iter().chain(words.split(' ')).collect();
            speakers[0].gobgp(&words)?;
        }
        Ok::<_, LabError>(())
    };
    change("add")?;
    for (family, (_, text)) in FAMILIES.into_iter().zip(RULES) {
        let shown = wait_until(SOON, text, || route(&agent, text))?;
        assert_eq!(shown["imported_by"], json!(["red"]), "{shown}");
        assert_eq!(shown["next_hop"], Value::Null, "{shown}");
        let communities = shown["attributes"]["extended_communities"].to_string();
        let action = if family == FAMILIES[0] { "redirect:64512:200" } else { "traffic-rate:0:0" };
        assert!(communities.contains(action) && communities.contains("rt:64512:100"), "{communities}");

        let said = rules(&speakers[0], family);
        assert_eq!(said.len(), 1);
        wait_until(SOON, "the other GoBGP has the rule", || {
            (rules(&speakers[1], family) == said).then_some(())
        })?;
    }
    change("del")?;
    for (family, (_, text)) in FAMILIES.into_iter().zip(RULES) {
        wait_until(SOON, "the rule has gone", || rules(&speakers[1], family).is_empty().then_some(()))?;
        assert_eq!(route(&agent, text), None);
    }
    assert_eq!(agent.json(&["show", "peers"])?.to_string().matches("established").count(), 2);
    Ok(())
}

/// A reflector without a data plane.
fn agent(lab: &Lab, node: &Node) -> Result<Agent, LabError> {
    let text = format!(
        "[bgp]\nlocal_address = \"{AGENT}\"\nas_number = 64512\n[bgp.reflector]\nclients = [\"10.97.0.0/24\"]\n\
         [dataplane]\ndriver = \"none\"\n"
    );
    Agent::configured(lab, &bagpipe(), node, &text)
}

fn client(lab: &Lab, node: &Node, number: u8) -> Result<Reflector, LabError> {
    let family = |name: &str| {
        format!("[[neighbors.afi-safis]]\n[neighbors.afi-safis.config]\nafi-safi-name = \"{name}\"\n")
    };
    let families = ["l3vpn-ipv4-flowspec", "l3vpn-ipv6-flowspec"].map(family).concat();
    let configuration = format!(
        "[global.config]\nas = 64512\nrouter-id = \"10.97.0.{number}\"\n\
         [[neighbors]]\n[neighbors.config]\nneighbor-address = \"{AGENT}\"\npeer-as = 64512\n\
         [neighbors.timers.config]\nconnect-retry = 1\n{families}"
    );
    Reflector::configured(lab, node, &configuration)
}

/// The route that the agent shows with this text.
fn route(agent: &Agent, text: &str) -> Option<Value> {
    let routes = agent.json(&["show", "routes"]).ok()?;
    routes.as_array()?.iter().find(|route| route["route"] == text).cloned()
}

/// The rules that GoBGP has, and their extended communities.
fn rules(gobgp: &Reflector, family: &str) -> Vec<(Value, Value)> {
    let text = gobgp.gobgp(&["global", "rib", "-a", family, "-j"]).unwrap_or_default();
    let shown: Value = serde_json::from_str(&text).unwrap_or_default();
    let paths = shown.as_object().into_iter().flat_map(|routes| routes.values());
    let rule = |paths: &Value| {
        let attributes = paths.pointer("/0/attrs")?.as_array()?;
        let communities = attributes.iter().find(|attribute| attribute["type"] == 16)?["value"].clone();
        Some((paths.pointer("/0/nlri")?.clone(), communities))
    };
    paths.filter_map(rule).collect()
}
