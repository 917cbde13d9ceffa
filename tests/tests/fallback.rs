//! Packets of an IP-VPN that have no route leave by an interface, for a router that is in no VPN.

use std::time::Duration;

use bagpipe_agent::lab::{LabError, Node, Ping, wait_until};
use bagpipe_tests::SOON;
use bagpipe_tests::edges::{Edges, Family, Form, Site};
use bagpipe_tests::traffic::{self, TAGGED};

const TARGET: &str = "64512:100";
/// What the router alone can reach.
const OUTSIDE: [&str; 2] = ["198.51.100.1", "2001:db8::1"];
const ROUTER: &str = "02:00:00:00:0f:01";
const SOURCE: &str = "00:00:5e:2a:10:00";

#[test]
fn what_has_no_route_goes_to_the_router() -> Result<(), LabError> {
    let mut edges = Edges::new(Form::Udp, Family::V4, 2)?;
    let client = edges.attach_site(1, "client", 1, TARGET)?;
    let server = edges.attach_site(2, "server", 2, TARGET)?;
    let router = router(&mut edges)?;
    edges.assert_meshed(&[&client, &server])?;
    assert!(!traffic::pings(&client.node, OUTSIDE[0]), "there is no route");

    let fall_back = |interface: &str| {
        let options = ["--rt", TARGET, "--fallback", interface];
        let macs = ["--fallback-src-mac", SOURCE, "--fallback-dst-mac", ROUTER];
        client.attach(&edges.agents[0], "client", &[&options[..], &macs].concat())
    };
    let refused = fall_back("to-nowhere").expect_err("there is no such interface").to_string();
    assert!(refused.contains("to-nowhere"), "{refused}");
    fall_back("to-router")?;
    for address in OUTSIDE {
        traffic::wait_for_ping(&client.node, address).inspect_err(|_| eprintln!("{}", edges.drops()))?;
    }
    let explained = edges.agents[0].cli(&["explain", "--vpn", "client", "--ip", OUTSIDE[0]])?;
    assert!(
        explained.contains("route 0.0.0.0/0 (fallback)") && explained.contains("to-router"),
        "{explained}"
    );
    // What has a route follows it, and each router takes one off the time to live.
    edges.assert_meshed(&[&client, &server])?;
    let reaches = |ttl: &str| client.node.output(&["ping", "-n", "-c1", "-W1", "-t", ttl, OUTSIDE[0]]);
    let expired = reaches("1")?;
    assert!(expired.stdout.contains(&format!("From {}", client.gateway4)), "{}", expired.stdout);
    assert!(reaches("2")?.success);

    // Neither the end of the agent nor its return is noticed.
    let traffic = Ping::start(&client.node, OUTSIDE[0], Duration::from_millis(2))?;
    edges.agents[0].kill();
    edges.agents[0].resume()?;
    edges.assert_meshed(&[&client, &server])?;
    let loss = traffic.finish()?;
    assert_eq!(loss.lost, 0, "{loss:?}");
    let fallback = edges.agents[0].json(&["show", "vpns"])?[0]["fallback"].clone();
    assert_eq!((&fallback["interface"], &fallback["destination"]), (&"to-router".into(), &ROUTER.into()));

    // It may be a VLAN; and a default route comes before it.
    fall_back_tagged(&edges, &client, &router)?;
    server.attach(&edges.agents[1], "server", &["--rt", TARGET])?;
    let default = ["--rt", TARGET, "--advertise-subnet"];
    let words =
        ["attach", "--type", "ipvpn", "--vpn", "server", "--port", &server.port, "--mac", &server.mac];
    edges.agents[1].cli(&[&words[..], &["--ip", "0.0.0.0/0"], &default].concat())?;
    wait_until(SOON, "the default route", || {
        let explained = edges.agents[0].cli(&["explain", "--vpn", "client", "--ip", OUTSIDE[0]]).ok()?;
        (!explained.contains("fallback")).then_some(())
    })?;
    edges.verify()?;

    client.detach(&edges.agents[0], "client")?;
    let ports = edges.agents[0].cli(&["map", "dump", "PORTS"])?;
    assert_eq!(ports.lines().count(), 2, "the heading, and the way back: {ports}");
    edges.verify()
}

/// A host that gets what has no route on `eth0`, and answers by `eth1`, which is a port of the clients' network.
fn router(edges: &mut Edges) -> Result<Node, LabError> {
    let site = edges.add_site(1, "back", 9)?;
    let (router, node) = (site.node.clone(), edges.agents[0].node());
    edges.lab.link((node, "to-router"), (&router, "eth9"))?;
    router.mac("eth9", ROUTER)?;
    // Where it has no other, the kernel asks for neighbours from this.
    router.address("eth0", "fe80::1/64")?;
    for interface in ["all", "eth9"] {
        router.sysctl(&format!("net.ipv4.conf.{interface}.rp_filter"), "0")?;
    }
    router.address("lo", &format!("{}/32", OUTSIDE[0]))?;
    router.address("lo", &format!("{}/128", OUTSIDE[1]))?;
    site.attach(&edges.agents[0], "back", &["--rt", TARGET, "--direction", "from-port"])?;
    Ok(router)
}

/// Has the fallback go to a VLAN, and back.
fn fall_back_tagged(edges: &Edges, client: &Site, router: &Node) -> Result<(), LabError> {
    let frame = format!("{ROUTER}:{SOURCE}").replace(':', "");
    // The script listens on an interface of this name.
    let script = TAGGED.replace("eth0", "eth9");
    let mut receiver = router.spawn("tagged", &["python3", "-c", &script, "receive", &frame])?;
    receiver.wait_ready(SOON, "receiver", |process| process.printed().contains("ready").then_some(()))?;
    let macs = ["--fallback-src-mac", SOURCE, "--fallback-dst-mac", ROUTER];
    let words = ["--rt", TARGET, "--fallback", "to-router:31"];
    client.attach(&edges.agents[0], "client", &[&words[..], &macs].concat())?;
    let printed = wait_until(SOON, "a tagged frame", || {
        let _ = traffic::pings(&client.node, OUTSIDE[0]);
        receiver.printed().lines().nth(1).map(str::to_owned)
    })?;
    assert_eq!(printed.get(24..32), Some("8100001f"), "{printed}");
    Ok(())
}
