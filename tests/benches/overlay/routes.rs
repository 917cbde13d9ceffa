//! A million routes of an IP-VPN, from one peer into one instance: how fast they come into the maps, and what each takes
//! of the agent's memory.

use std::net::{IpAddr, Ipv4Addr};
use std::time::{Duration, Instant};

use bagpipe_agent::lab::{Agent, Lab, LabError, wait_until};
use bagpipe_bgp::types::{Family, IpPrefix, Label, RouteDistinguisher, RouteTarget};
use bagpipe_bgp::wire::community::TunnelType;
use bagpipe_bgp::wire::update::UpdateWriter;
use bagpipe_bgp::wire::{
    Attributes, Capability, Context, ExtendedCommunity, LabelStack, Message, NextHop, Nlri, VpnRoute,
};
use bagpipe_tests::bagpipe;
use bagpipe_tests::speaker::{Speaker, open};
use serde_json::Value;

use crate::agent::resident;

const ROUTES: u32 = 1_000_000;
const OWN: &str = "10.99.0.1";
const PEER: Ipv4Addr = Ipv4Addr::new(10, 99, 0, 2);
/// Far longer than it takes.
const LIMIT: Duration = Duration::from_secs(300);

/// Prints the figures: with the label of a whole instance, and with a label for each route.
pub fn report() -> Result<(), LabError> {
    for (what, labels) in [("one label", 1), ("a label each", ROUTES)] {
        let lab = Lab::new()?;
        let (node, router) = (lab.node("node")?, lab.node("router")?);
        let hosts = lab.node("hosts")?;
        lab.link((&node, "eth0"), (&router, "eth0"))?;
        lab.link((&node, "port0"), (&hosts, "eth0"))?;
        node.address("eth0", &format!("{OWN}/24"))?;
        router.address("eth0", &format!("{PEER}/24"))?;
        let agent = Agent::configured(&lab, &bagpipe(), &node, &configuration())?;
        agent.cli(&[
            "attach",
            "--vpn",
            "bench",
            "--type",
            "ipvpn",
            "--port",
            "port0",
            "--mac",
            "02:00:00:00:00:01",
            "--ip",
            "10.0.0.1",
            "--rt",
            "64512:10",
        ])?;
        let mut peer = Speaker::connect(&router, &PEER.to_string(), (OWN, 179));
        peer.establish_with(speaker());
        let messages = messages(labels);
        let (before, start) = (resident(&agent), Instant::now());
        for message in messages {
            peer.send(&message);
        }
        wait_until(LIMIT, "all routes are in the maps", || {
            (routes(&agent)? > u64::from(ROUTES)).then_some(())
        })?;
        let (time, taken) = (start.elapsed(), resident(&agent) - before);
        let name = format!("agent: {ROUTES} VPN routes, {what}");
        println!("{name:<44} {:>8.0} routes/s", f64::from(ROUTES) / time.as_secs_f64());
        println!("{:<44} {:>8.0} bytes each", "", taken * 1024.0 * 1024.0 / f64::from(ROUTES));
    }
    Ok(())
}

fn configuration() -> String {
    format!(
        "[bgp]\nlocal_address = \"{OWN}\"\nas_number = 64512\nlisten = [\"{OWN}:179\"]\n\
         [[bgp.peers]]\naddress = \"{PEER}\"\npassive = true\nfamilies = [\"vpnv4\"]\n\
         [dataplane]\nunderlay = [\"eth0\"]\n"
    )
}

fn speaker() -> Message {
    let mut open = open(&PEER.to_string());
    open.capabilities.push(Capability::Multiprotocol(Family::VPNV4));
    Message::Open(open)
}

/// Prefixes that the instance routes to: its view changes when their changes are in the maps, all of which have to be.
fn routes(agent: &Agent) -> Option<u64> {
    let vpns = serde_json::from_str::<Value>(&agent.cli(&["show", "vpns", "-o", "json"]).ok()?).ok()?;
    let vpn = vpns.get(0)?;
    assert_eq!(vpn.get("degraded"), Some(&Value::Array(Vec::new())), "the maps hold all routes");
    vpn.get("routes")?.as_u64()
}

/// Each UPDATE as full as it gets.
fn messages(labels: u32) -> Vec<bytes::Bytes> {
    let target: RouteTarget = "64512:10".parse().expect("a route target");
    let attributes = Attributes {
        next_hop: Some(NextHop::from(IpAddr::V4(PEER))),
        local_pref: Some(100),
        extended_communities: vec![target.into(), ExtendedCommunity::encapsulation(TunnelType::MPLS_IN_UDP)],
        ..Attributes::default()
    };
    let context = Context { four_octet_as: true, families: vec![Family::VPNV4], ..Context::default() };
    let writer = || UpdateWriter::announce(&context, Family::VPNV4, &attributes);
    let (mut messages, mut update) = (Vec::new(), writer());
    for number in 0..ROUTES {
        let nlri = route(number, labels);
        if !update.push(&nlri) {
            messages.push(std::mem::replace(&mut update, writer()).finish());
            update.push(&nlri);
        }
    }
    messages.push(update.finish());
    messages
}

/// One /24 after the other, from 16.0.0.0 on.
fn route(number: u32, labels: u32) -> Nlri {
    let address = Ipv4Addr::from_bits((16 << 24) + (number << 8));
    let prefix = IpPrefix::new(address.into(), 24).expect("a prefix");
    let label = Label::new(16 + number % labels).expect("a label");
    let labels = LabelStack::new(&[label]).expect("one label");
    Nlri::Vpn(VpnRoute { labels, rd: RouteDistinguisher::from_ipv4(PEER, 1), prefix })
}
