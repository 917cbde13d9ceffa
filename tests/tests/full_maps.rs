//! More routes than the maps hold: the instance is degraded and says so, others are not, and it recovers.

use std::net::{IpAddr, Ipv4Addr};

use bagpipe_agent::lab::{Agent, Lab, LabError, wait_until};
use bagpipe_bgp::types::{Family, IpPrefix, Label, RouteDistinguisher, RouteTarget};
use bagpipe_bgp::wire::{
    Attributes, Capability, Context, LabelStack, Message, NextHop, Nlri, UpdateWriter, VpnRoute,
};
use bagpipe_tests::speaker::{Speaker, open};
use bagpipe_tests::{SOON, bagpipe};
use serde_json::Value;

const OWN: &str = "10.99.0.1";
const PEER: Ipv4Addr = Ipv4Addr::new(10, 99, 0, 2);
/// Prefixes that the maps take.
const ROOM: u32 = 8;

#[test]
fn an_instance_with_too_many_routes_is_degraded_alone_and_recovers() -> Result<(), LabError> {
    let lab = Lab::new()?;
    let (node, router, hosts) = (lab.node("node")?, lab.node("router")?, lab.node("hosts")?);
    lab.link((&node, "eth0"), (&router, "eth0"))?;
    node.address("eth0", &format!("{OWN}/24"))?;
    router.address("eth0", &format!("{PEER}/24"))?;
    let agent = Agent::configured(&lab, &bagpipe(), &node, &configuration())?;
    for (port, vpn) in ["small", "large"].into_iter().enumerate() {
        let (interface, target) = (format!("port{port}"), format!("64512:{port}"));
        lab.link((&node, &interface), (&hosts, &format!("eth{port}")))?;
        agent.cli(&[
            "attach",
            "--vpn",
            vpn,
            "--type",
            "ipvpn",
            "--port",
            &interface,
            "--mac",
            "02:00:00:00:00:01",
            "--ip",
            "10.0.0.1",
            "--rt",
            &target,
        ])?;
    }
    let mut peer = Speaker::connect(&router, &PEER.to_string(), (OWN, 179));
    let mut open = open(&PEER.to_string());
    open.capabilities.push(Capability::Multiprotocol(Family::VPNV4));
    peer.establish_with(Message::Open(open));

    peer.send(&update(0, 0..1, true));
    peer.send(&update(1, 0..20, true));
    wait_until(SOON, "all are known", || (routes(&agent, "large")? == 21).then_some(()))?;
    // One prefix of the small instance and seven of the large one found room.
    let lacks = "lacks 13 entries: map ROUTES is full; raise maximum_routes";
    let status = agent.json(&["status"])?.to_string();
    assert!(status.contains(&format!("VPN instance 'large' (ipvpn) {lacks}")), "{status}");
    assert!(!status.contains("'small'"), "{status}");
    assert!(degraded(&agent, "large").contains(lacks) && degraded(&agent, "small") == "[]");
    let verified = agent.cli(&["map", "verify", "-o", "json"])?;
    assert_eq!(verified.trim(), "[]", "what is in the maps is right");

    peer.send(&update(1, 0..13, false));
    wait_until(SOON, "the rest finds room", || (degraded(&agent, "large") == "[]").then_some(()))?;
    Ok(())
}

fn configuration() -> String {
    format!(
        "[bgp]\nlocal_address = \"{OWN}\"\nas_number = 64512\nlisten = [\"{OWN}:179\"]\n\
         [[bgp.peers]]\naddress = \"{PEER}\"\npassive = true\nfamilies = [\"vpnv4\"]\n\
         [dataplane]\nunderlay = [\"eth0\"]\nmaximum_routes = {ROOM}\n"
    )
}

/// Routes for the instance with this number in its route target.
fn update(vpn: u16, numbers: std::ops::Range<u32>, announce: bool) -> bytes::Bytes {
    let context = Context { four_octet_as: true, families: vec![Family::VPNV4], ..Context::default() };
    let target: RouteTarget = format!("64512:{vpn}").parse().expect("a route target");
    let attributes = Attributes {
        next_hop: Some(NextHop::from(IpAddr::V4(PEER))),
        local_pref: Some(100),
        extended_communities: vec![target.into()],
        ..Attributes::default()
    };
    let mut update = if announce {
        UpdateWriter::announce(&context, Family::VPNV4, &attributes)
    } else {
        UpdateWriter::withdraw(&context, Family::VPNV4)
    };
    let labels = LabelStack::new(&[Label::new(500).expect("a label")]).expect("one label");
    for number in numbers {
        let address = Ipv4Addr::from_bits((16 << 24) + (number << 8));
        let prefix = IpPrefix::new(address.into(), 24).expect("a prefix");
        assert!(update.push(&Nlri::Vpn(VpnRoute {
            labels,
            rd: RouteDistinguisher::from_ipv4(PEER, vpn),
            prefix
        })));
    }
    update.finish()
}

fn vpn(agent: &Agent, name: &str) -> Option<Value> {
    let vpns: Value = serde_json::from_str(&agent.cli(&["show", "vpns", "-o", "json"]).ok()?).ok()?;
    vpns.as_array()?.iter().find(|vpn| vpn.get("name").is_some_and(|found| found == name)).cloned()
}

fn routes(agent: &Agent, name: &str) -> Option<u64> {
    vpn(agent, name)?.get("routes")?.as_u64()
}

fn degraded(agent: &Agent, name: &str) -> String {
    vpn(agent, name).and_then(|vpn| vpn.get("degraded").map(ToString::to_string)).unwrap_or_default()
}
