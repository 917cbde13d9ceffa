//! Route target memberships (RFC 4684) between our reflector, a client that has them (GoBGP), and one that has not (FRR).

use bagpipe_agent::lab::{Agent, Lab, LabError, wait_until};
use bagpipe_tests::edges::Family;
use bagpipe_tests::fabric::node_on;
use bagpipe_tests::frr::Frr;
use bagpipe_tests::gobgp::Reflector;
use bagpipe_tests::{SOON, bagpipe};
use serde_json::Value;

const REFLECTOR: &str = "10.98.0.254";
const GOBGP: &str = "10.98.0.1";
const FRR: &str = "10.98.0.2";

/// GoBGP sends no more than it is asked for. The reflector asks for all while FRR is there, which cannot ask.
#[test]
fn all_routes_are_asked_for_while_a_client_cannot_ask() -> Result<(), LabError> {
    let lab = Lab::new()?;
    let underlay = lab.switch("underlay")?;
    let node = |name: &str, number: u8| node_on(&lab, &underlay, name, &Family::V4.prefix(number));
    let (reflector, asking, plain) = (node("reflector", 254)?, node("asking", 1)?, node("plain", 2)?);
    let text = format!(
        "[bgp]\nlocal_address = \"{REFLECTOR}\"\nas_number = 64512\nhold_time = 9\n\
         [bgp.reflector]\nclients = [\"10.98.0.0/24\"]\n[dataplane]\ndriver = \"none\"\n"
    );
    let agent = Agent::configured(&lab, &bagpipe(), &reflector, &text)?;
    let gobgp = Reflector::configured(&lab, &asking, &gobgp_configuration())?;
    let route = ["192.0.2.0/24", "label", "100", "rd", "64512:7", "rt", "64512:10", "nexthop", GOBGP];
    gobgp.gobgp(&[&["global", "rib", "add", "-a", "vpnv4"][..], &route].concat())?;
    wait_until(SOON, "GoBGP's session", || (peer(&agent, GOBGP)?["state"] == "established").then_some(()))?;
    assert_eq!(memberships(&gobgp), Some(0));

    let frr = Frr::start(&lab, &plain, &frr_configuration())?;
    wait_until(SOON, "GoBGP is asked for all", || (memberships(&gobgp) == Some(1)).then_some(()))?;
    wait_until(SOON, "FRR has the route", || {
        let shown = frr.json("show bgp ipv4 vpn 192.0.2.0/24").ok()?;
        shown["64512:7"]["paths"].as_array().filter(|paths| paths.len() == 1).map(drop)
    })?;

    // A client that is gone for good is asked for no more.
    drop(frr);
    wait_until(SOON, "GoBGP is not asked for all any more", || {
        (memberships(&gobgp) == Some(0)).then_some(())
    })?;
    wait_until(SOON, "the reflector has nothing any more", || {
        let routes = agent.json(&["show", "routes"]).ok()?;
        routes.as_array().filter(|routes| routes.is_empty()).map(drop)
    })
}

fn peer(agent: &Agent, address: &str) -> Option<Value> {
    let peers = agent.json(&["show", "peers"]).ok()?;
    peers.as_array()?.iter().find(|peer| peer["address"] == address).cloned()
}

/// How many memberships GoBGP has.
fn memberships(gobgp: &Reflector) -> Option<usize> {
    let shown: Value =
        serde_json::from_str(&gobgp.gobgp(&["global", "rib", "-a", "rtc", "-j"]).ok()?).ok()?;
    Some(shown.as_object()?.len())
}

fn gobgp_configuration() -> String {
    let families = ["l3vpn-ipv4-unicast", "rtc"].map(|family| {
        format!("[[neighbors.afi-safis]]\n[neighbors.afi-safis.config]\nafi-safi-name = \"{family}\"\n")
    });
    format!(
        "[global.config]\nas = 64512\nrouter-id = \"{GOBGP}\"\nlocal-address-list = [\"{GOBGP}\"]\n\
         [[neighbors]]\n[neighbors.config]\nneighbor-address = \"{REFLECTOR}\"\npeer-as = 64512\n\
         [neighbors.transport.config]\nlocal-address = \"{GOBGP}\"\n\
         [neighbors.timers.config]\nconnect-retry = 1\n{}",
        families.concat()
    )
}

fn frr_configuration() -> String {
    format!(
        "router bgp 64512\n bgp router-id {FRR}\n no bgp default ipv4-unicast\n neighbor {REFLECTOR} remote-as 64512\n \
         neighbor {REFLECTOR} timers connect 1\n \
         address-family ipv4 vpn\n  neighbor {REFLECTOR} activate\n exit-address-family\n"
    )
}
