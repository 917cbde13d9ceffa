//! Packets between hosts through agents: every kind of traffic, in networks of two and four nodes.

use std::time::Duration;

use bagpipe_agent::dataplane::programs::MAPS;
use bagpipe_agent::lab::{Capture, Host, LabError, Ping, wait_until};
use bagpipe_tests::fabric::{Fabric, VNI};
use bagpipe_tests::{SOON, traffic, tshark};

#[test]
fn two_nodes() -> Result<(), LabError> {
    let fabric = Fabric::new(2)?;
    let capture = Capture::start(fabric.underlay.node(), "bridge", "tcp port 179 or udp port 4789")?;
    fabric.assert_whole()?;
    let [one, two] = fabric.hosts.as_slice() else { unreachable!("two nodes") };
    for address in [&two.ipv4, &two.ipv6] {
        one.node.run(&["ping", "-n", "-c", "1", "-W", "1", "-s", "4000", address])?;
    }
    let vxlan = format!("vxlan.vni == {VNI}");
    tshark::assert_well_formed(
        &capture.stop()?,
        &[&format!("{vxlan} && icmp"), &format!("{vxlan} && icmpv6")],
    );
    Ok(())
}

#[test]
fn two_nodes_over_ipv6() -> Result<(), LabError> {
    let fabric = Fabric::over_ipv6(2)?;
    let capture = Capture::start(fabric.underlay.node(), "bridge", "tcp port 179 or udp port 4789")?;
    fabric.assert_whole()?;
    // The hosts think that there is room for 1450 octets; it is 1430, and they are told.
    let [one, two] = fabric.hosts.as_slice() else { unreachable!("two nodes") };
    let bits = traffic::tcp_throughput(&one.node, &two.node, &two.ipv4)?;
    assert!(bits > 3e8, "{bits} bit/s");
    tshark::assert_well_formed(&capture.stop()?, &["ipv6 && vxlan && icmp", "ipv6 && vxlan && icmpv6"]);
    fabric.verify()
}

#[test]
fn four_nodes() -> Result<(), LabError> {
    let fabric = Fabric::new(4)?;
    fabric.assert_whole()?;
    broadcast_reaches_each_host_once(&fabric)?;
    unknown_unicast_reaches_each_host_once(&fabric)?;
    fabric.verify()
}

#[test]
fn nodes_answer_arp_and_neighbor_solicitations() -> Result<(), LabError> {
    let fabric = Fabric::new(2)?;
    let [one, two] = fabric.hosts.as_slice() else { unreachable!("two nodes") };
    let asked = format!("ether src {} and (arp[6:2] == 1 or (icmp6 and ip6[40] == 135))", one.mac);
    let capture = Capture::start(&two.node, Host::INTERFACE, &asked)?;
    one.forget_neighbors()?;
    traffic::wait_for_ping(&one.node, &two.ipv4)?;
    traffic::wait_for_ping(&one.node, &two.ipv6)?;
    assert_eq!(one.neighbor(&two.ipv4).as_deref(), Some(two.mac.as_str()));
    assert_eq!(one.neighbor(&two.ipv6).as_deref(), Some(two.mac.as_str()));
    assert_eq!(tshark::packets(&capture.stop()?, "frame"), "", "the question stayed on its node");
    fabric.verify()
}

#[test]
fn an_unknown_address_is_asked_for_everywhere() -> Result<(), LabError> {
    let fabric = Fabric::new(2)?;
    let [one, two] = fabric.hosts.as_slice() else { unreachable!("two nodes") };
    let capture = Capture::start(&two.node, Host::INTERFACE, &format!("arp and ether src {}", one.mac))?;
    assert!(!traffic::pings(&one.node, "192.168.10.77"), "nobody has this address");
    assert_ne!(tshark::packets(&capture.stop()?, "arp.dst.proto_ipv4 == 192.168.10.77"), "");
    fabric.verify()
}

#[test]
fn tcp_with_and_without_offloads() -> Result<(), LabError> {
    let fabric = Fabric::new(2)?;
    let [one, two] = fabric.hosts.as_slice() else { unreachable!("two nodes") };
    // Far below what a machine at rest does, far above what is left when every segment is lost or resent.
    let throughput = |limit: f64, what: &str, address: &str| -> Result<(), LabError> {
        let bits = traffic::tcp_throughput(&one.node, &two.node, address)?;
        println!("{what}: {:.2} Gbit/s", bits / 1e9);
        assert!(bits > limit, "{what}: {bits} bit/s");
        Ok(())
    };
    throughput(1e9, "with offloads, IPv4", &two.ipv4)?;
    throughput(1e9, "with offloads, IPv6", &two.ipv6)?;
    one.offloads(false)?;
    throughput(1e8, "sender without offloads", &two.ipv4)?;
    two.offloads(false)?;
    throughput(1e8, "both without offloads", &two.ipv4)?;
    // As between machines: MTU-sized packets on the underlay, merged again by the receiver.
    one.offloads(true)?;
    two.offloads(true)?;
    for agent in &fabric.agents {
        let features = ["ethtool", "-K", "eth0", "tso", "off", "gso", "off"];
        agent.node().run(&features)?;
    }
    throughput(5e8, "underlay without segmentation", &two.ipv4)?;
    fabric.verify()
}

#[test]
fn jumbo_frames() -> Result<(), LabError> {
    let fabric = Fabric::new(2)?;
    let nodes = fabric.agents.iter().map(bagpipe_agent::lab::Agent::node).collect::<Vec<_>>();
    fabric.underlay.mtu(&nodes, 9000)?;
    for (agent, host) in fabric.agents.iter().zip(&fabric.hosts) {
        agent.node().mtu("eth0", 9000)?;
        agent.node().mtu(&format!("to-{}", host.node.name()), 8950)?;
        host.node.mtu(Host::INTERFACE, 8950)?;
    }
    let [one, two] = fabric.hosts.as_slice() else { unreachable!("two nodes") };
    // 8950 octets with the headers of ICMP and of IP.
    wait_until(SOON, "a jumbo frame is answered", || full_size_ping(one, &two.ipv4, 8922).then_some(()))?;
    wait_until(SOON, "a jumbo frame is answered", || full_size_ping(one, &two.ipv6, 8902).then_some(()))?;
    fabric.assert_whole()
}

#[test]
fn what_is_too_big_for_the_underlay_is_answered() -> Result<(), LabError> {
    let fabric = Fabric::new(2)?;
    let [one, two] = fabric.hosts.as_slice() else { unreachable!("two nodes") };
    for (agent, host) in fabric.agents.iter().zip(&fabric.hosts) {
        agent.node().mtu(&format!("to-{}", host.node.name()), 1500)?;
        host.node.mtu(Host::INTERFACE, 1500)?;
    }
    // VXLAN over IPv4 takes 50 octets of the underlay's 1500.
    for (address, size) in [(&two.ipv4, 1472), (&two.ipv6, 1452)] {
        assert!(!full_size_ping(one, address, size));
        wait_until(SOON, "a learned path MTU of 1450", || {
            full_size_ping(one, address, size);
            one.node.ip(&["route", "get", address]).ok()?.contains("mtu 1450").then_some(())
        })?;
    }
    let bits = traffic::tcp_throughput(&one.node, &two.node, &two.ipv4)?;
    assert!(bits > 3e8, "TCP follows the path MTU: {bits} bit/s");
    fabric.verify()
}

#[test]
fn bpftool_names_the_fields_of_the_maps() -> Result<(), LabError> {
    let fabric = Fabric::new(2)?;
    let agent = &fabric.agents[0];
    let pins = format!("/sys/fs/bpf/bagpipe/{}/v{}/maps", agent.instance(), bagpipe_common::ABI_VERSION);
    let bpftool = |verb: &str, map: &str| {
        agent.node().run(&["bpftool", "-p", "map", verb, "pinned", &format!("{pins}/{map}")])
    };
    for (map, ..) in MAPS {
        let shown = bpftool("show", map)?;
        assert!(shown.contains("\"btf_id\":"), "{map} has no names:\n{shown}");
    }
    for (map, fields) in [
        ("FDB", ["vpn", "mac", "kind", "vni"].as_slice()),
        ("NEIGHBORS", &["vpn", "address", "mac", "flags"]),
        ("FLOODS", &["vpn", "scope", "index", "kind"]),
        ("TUNNELS", &["remote", "vni", "vpn"]),
        ("SETTINGS", &["vxlan_port", "local_ipv4", "local_ipv6"]),
        ("DROPS", &["packets", "bytes"]),
    ] {
        let text = bpftool("dump", map)?;
        for field in fields {
            assert!(text.contains(&format!("\"{field}\":")), "no {field} in {map}:\n{text}");
        }
    }
    Ok(())
}

fn broadcast_reaches_each_host_once(fabric: &Fabric) -> Result<(), LabError> {
    flooded_once(fabric, "ff:ff:ff:ff:ff:ff", &["ping", "-n", "-b", "-c", "1", "-W", "1", "192.168.10.255"])
}

fn unknown_unicast_reaches_each_host_once(fabric: &Fabric) -> Result<(), LabError> {
    let mac = "02:00:00:00:00:4e";
    fabric.hosts[0].set_neighbor("192.168.10.78", mac)?;
    flooded_once(fabric, mac, &["ping", "-n", "-c", "1", "-W", "1", "192.168.10.78"])
}

/// Asserts that one frame that the first host sends to a MAC address comes once to each other host.
fn flooded_once(fabric: &Fabric, mac: &str, line: &[&str]) -> Result<(), LabError> {
    let (one, others) = fabric.hosts.split_first().unwrap_or_else(|| unreachable!("four nodes"));
    let filter = format!("ether dst {mac} and icmp");
    let captures = others.iter().map(|host| Capture::start(&host.node, Host::INTERFACE, &filter));
    let captures = captures.collect::<Result<Vec<_>, _>>()?;
    let output = one.node.output(line)?;
    assert!(!output.success, "nobody answers: {}", output.stdout);
    for capture in captures {
        let packets = tshark::packets(&capture.stop()?, "icmp");
        assert_eq!(packets.lines().count(), 1, "{packets}");
    }
    Ok(())
}

/// Whether a ping with so many octets of data, not to be fragmented, is answered.
fn full_size_ping(from: &Host, to: &str, size: u32) -> bool {
    let size = size.to_string();
    let line = ["ping", "-n", "-c", "1", "-W", "1", "-M", "do", "-s", &size, to];
    from.node.output(&line).is_ok_and(|output| output.success)
}

#[test]
fn steady_traffic_loses_nothing() -> Result<(), LabError> {
    let fabric = Fabric::new(2)?;
    let [one, two] = fabric.hosts.as_slice() else { unreachable!("two nodes") };
    let ping = Ping::start(&one.node, &two.ipv4, Duration::from_millis(2))?;
    for _ in 0..20 {
        traffic::wait_for_ping(&two.node, &one.ipv6)?;
    }
    let loss = ping.finish()?;
    assert_eq!((loss.lost, loss.duplicates), (0, 0), "{loss:?}");
    Ok(())
}
