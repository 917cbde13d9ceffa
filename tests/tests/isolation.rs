//! Who reaches whom: route targets decide, and nothing leaks between IP-VPNs that have the same addresses.

use bagpipe_agent::lab::{Capture, LabError, wait_until};
use bagpipe_tests::edges::{Edges, Family, Form, Site};
use bagpipe_tests::{SOON, traffic, tshark};

/// Three IP-VPNs with the same addresses behind the same two nodes: each host pings each address there is, with a pattern
/// of its IP-VPN, and hears only its own.
#[test]
fn equal_addresses_never_meet() -> Result<(), LabError> {
    let mut edges = Edges::new(Form::Udp, Family::V4, 2)?;
    let vpns = [("red", "64512:1", "a1"), ("blue", "64512:2", "b2"), ("green", "64512:3", "c3")];
    let mut sites = Vec::new();
    for (vpn, target, pattern) in vpns {
        let left = edges.attach_site(1, vpn, 1, target)?;
        let right = edges.attach_site(2, vpn, 2, target)?;
        edges.assert_meshed(&[&left, &right])?;
        sites.extend([(left, pattern), (right, pattern)]);
    }
    let captures = sites.iter().map(|(site, _)| Capture::start(&site.node, "eth0", "icmp or icmp6"));
    let captures = captures.collect::<Result<Vec<_>, _>>()?;
    for (from, pattern) in &sites {
        for (to, other) in &sites {
            for address in [&to.ipv4, &to.ipv6] {
                let ping = ["ping", "-n", "-c", "1", "-W", "2", "-p", pattern, address];
                let answered = from.node.output(&ping)?.success;
                assert!(answered, "{pattern} to {address}, which {other} has, too");
            }
        }
    }
    for ((site, pattern), capture) in sites.iter().zip(captures) {
        let capture = capture.stop()?;
        for (_, _, other) in vpns {
            let seen = tshark::packets(&capture, &format!("frame contains {}", [other; 12].join(":")));
            assert_eq!(!seen.is_empty(), other == *pattern, "{other} at {}:\n{seen}", site.node.name());
        }
    }
    edges.verify()
}

/// Spokes export to the hub and import from it: they reach the hub, and not one another.
#[test]
fn spokes_reach_the_hub_only() -> Result<(), LabError> {
    let mut edges = Edges::new(Form::Gre, Family::V4, 3)?;
    let spoke = ["--import-rt", "64512:10", "--export-rt", "64512:20"];
    let first = edges.add_site(1, "spoke1", 1)?;
    first.attach(&edges.agents[0], "first", &spoke)?;
    let second = edges.add_site(2, "spoke2", 2)?;
    second.attach(&edges.agents[1], "second", &spoke)?;
    let hub = edges.add_site(3, "hub", 3)?;
    hub.attach(&edges.agents[2], "hub", &["--import-rt", "64512:20", "--export-rt", "64512:10"])?;
    edges.assert_meshed(&[&first, &hub])?;
    edges.assert_meshed(&[&second, &hub])?;
    unreachable(&first, &second)?;
    unreachable(&second, &first)
}

/// Two IP-VPNs, and a third with services for both.
#[test]
fn an_extranet_is_for_both() -> Result<(), LabError> {
    let mut edges = Edges::new(Form::Ethernet, Family::V4, 2)?;
    let shared = ["--import-rt", "64512:1,64512:2", "--export-rt", "64512:9"];
    let red = edges.add_site(1, "red", 1)?;
    red.attach(&edges.agents[0], "red", &["--rt", "64512:1", "--import-rt", "64512:9"])?;
    let blue = edges.add_site(1, "blue", 2)?;
    blue.attach(&edges.agents[0], "blue", &["--rt", "64512:2", "--import-rt", "64512:9"])?;
    let services = edges.add_site(2, "services", 3)?;
    services.attach(&edges.agents[1], "services", &shared)?;
    // On the same node, too.
    let near = edges.add_site(1, "near", 4)?;
    near.attach(&edges.agents[0], "services", &shared)?;
    for customer in [&red, &blue] {
        edges.assert_meshed(&[customer, &services])?;
        edges.assert_meshed(&[customer, &near])?;
    }
    unreachable(&red, &blue)?;
    unreachable(&blue, &red)
}

/// The node says that there is no way.
fn unreachable(from: &Site, to: &Site) -> Result<(), LabError> {
    for address in [&to.ipv4, &to.ipv6] {
        let line = ["ping", "-n", "-c", "1", "-W", "2", address];
        wait_until(SOON, &format!("no way to {address}"), || {
            from.node.output(&line).ok()?.stdout.contains("nreachable").then_some(())
        })?;
        assert!(!traffic::pings(&from.node, address));
    }
    Ok(())
}

/// Subnets and a default route behind ports that have routers of their own behind them.
#[test]
fn subnets_and_a_default_route() -> Result<(), LabError> {
    let mut edges = Edges::new(Form::Udp, Family::V4, 3)?;
    let host = edges.attach_site(1, "red", 1, "64512:1")?;
    let subnet = edges.attach_site(2, "red", 2, "64512:1")?;
    let internet = edges.attach_site(3, "red", 3, "64512:1")?;
    for (router, agent, prefixes, addresses) in [
        (&subnet, 1, ["172.16.0.0/12", "fd16::/16"], ["172.16.5.5/32", "fd16::5/128"]),
        (&internet, 2, ["0.0.0.0/0", "::/0"], ["203.0.113.9/32", "2001:db8::9/128"]),
    ] {
        for address in addresses {
            router.node.address("eth0", address)?;
        }
        for prefix in prefixes {
            let words = ["attach", "--type", "ipvpn", "--vpn", "red", "--rt", "64512:1", "--ip", prefix];
            let own = ["--port", &router.port, "--mac", &router.mac, "--advertise-subnet"];
            edges.agents[agent].cli(&[words.as_slice(), &own].concat())?;
        }
    }
    for address in ["172.16.5.5", "203.0.113.9", "fd16::5", "2001:db8::9"] {
        traffic::wait_for_ping(&host.node, address)?;
    }
    // The longer prefix wins: what is in the subnet does not go to the default route's router.
    let capture = Capture::start(&internet.node, "eth0", "host 172.16.5.5 or host fd16::5")?;
    traffic::wait_for_ping(&host.node, "172.16.5.5")?;
    traffic::wait_for_ping(&host.node, "fd16::5")?;
    assert_eq!(tshark::packets(&capture.stop()?, "icmp || icmpv6.type == 128"), "");
    edges.verify()
}
