//! IP-VPNs end to end: each encapsulation, both families inside and outside.

use bagpipe_agent::lab::{Capture, LabError, Ping, wait_until};
use bagpipe_tests::edges::{Edges, Family, Form, Site};
use bagpipe_tests::fabric::UNDERLAY;
use bagpipe_tests::{SOON, traffic, tshark};
use std::time::Duration;

const TARGET: &str = "64512:100";

#[test]
fn labels_on_ethernet() -> Result<(), LabError> {
    carries_everything(Form::Ethernet, Family::V4)
}

#[test]
fn labels_on_ethernet_over_ipv6() -> Result<(), LabError> {
    carries_everything(Form::Ethernet, Family::V6)
}

#[test]
fn labels_in_gre() -> Result<(), LabError> {
    carries_everything(Form::Gre, Family::V4)
}

#[test]
fn labels_in_gre_over_ipv6() -> Result<(), LabError> {
    carries_everything(Form::Gre, Family::V6)
}

#[test]
fn labels_in_udp() -> Result<(), LabError> {
    carries_everything(Form::Udp, Family::V4)
}

#[test]
fn labels_in_udp_over_ipv6() -> Result<(), LabError> {
    carries_everything(Form::Udp, Family::V6)
}

#[test]
fn packets_in_vxlan() -> Result<(), LabError> {
    carries_everything(Form::Vxlan, Family::V4)
}

#[test]
fn packets_in_vxlan_over_ipv6() -> Result<(), LabError> {
    carries_everything(Form::Vxlan, Family::V6)
}

/// Ping, path, path MTU, TCP and UDP between two sites of one IP-VPN behind two nodes.
fn carries_everything(form: Form, family: Family) -> Result<(), LabError> {
    let mut edges = Edges::new(form, family, 2)?;
    let left = edges.attach_site(1, "red", 1, TARGET)?;
    let right = edges.attach_site(2, "red", 2, TARGET)?;
    let capture = Capture::start(edges.agents[0].node(), UNDERLAY, "not port 179")?;
    edges.assert_meshed(&[&left, &right])?;
    gateways_answer(&left)?;
    path_is_seen(&edges, &left, &right)?;
    let capture = capture.stop()?;
    tshark::assert_well_formed(&capture, &[form.filter(), &format!("{} && icmp", form.filter())]);

    tcp(&left, &right, "without path MTU discovery")?;
    path_mtu_is_learned(&left, &right)?;
    for on in [false, true] {
        offloads(&left, on)?;
        offloads(&right, on)?;
        tcp(&left, &right, if on { "with offloads" } else { "without offloads" })?;
    }
    for address in [&right.ipv4, &right.ipv6] {
        let lost = traffic::udp_loss(&left.node, &right.node, address)?;
        assert!(lost < 0.01, "UDP to {address}: {lost} lost");
    }
    edges.verify()
}

fn tcp(left: &Site, right: &Site, when: &str) -> Result<(), LabError> {
    for address in [&right.ipv4, &right.ipv6] {
        let bits = traffic::tcp_throughput(&left.node, &right.node, address)?;
        assert!(bits > 5e7, "TCP to {address} {when}: {bits} bit/s");
    }
    Ok(())
}

fn offloads(site: &Site, on: bool) -> Result<(), LabError> {
    let state = if on { "on" } else { "off" };
    let features = ["tx", state, "tso", state, "gso", state, "gro", state];
    site.node.run(&[&["ethtool", "-K", "eth0"][..], &features].concat()).map(drop)
}

fn gateways_answer(site: &Site) -> Result<(), LabError> {
    for gateway in [&site.gateway4, &site.gateway6] {
        traffic::wait_for_ping(&site.node, gateway)?;
    }
    Ok(())
}

/// Each node on the way says that it is there: a packet's time to live runs out at the first, then at the second.
fn path_is_seen(edges: &Edges, left: &Site, right: &Site) -> Result<(), LabError> {
    for (target, hops) in [
        (&right.ipv4, [&left.gateway4, &right.gateway4, &right.ipv4]),
        (&right.ipv6, [&left.gateway6, &right.gateway6, &right.ipv6]),
    ] {
        let seen = left.node.run(&["traceroute", "-n", "-q", "1", "-w", "2", "-m", "4", target])?;
        let seen: Vec<&str> =
            seen.lines().skip(1).filter_map(|line| line.split_whitespace().nth(1)).collect();
        assert_eq!(seen, hops, "the way to {target}; {}", edges.drops());
    }
    Ok(())
}

/// The underlay takes 1500 bytes with all headers, the site's interface 1500 without.
fn path_mtu_is_learned(left: &Site, right: &Site) -> Result<(), LabError> {
    for target in [&right.ipv4, &right.ipv6] {
        wait_until(SOON, &format!("a learned path MTU to {target}"), || {
            let line = ["ping", "-n", "-c", "1", "-W", "1", "-M", "do", "-s", "1440", target];
            let _ = left.node.output(&line);
            left.node.ip(&["route", "get", target]).ok()?.contains(" mtu 14").then_some(())
        })?;
    }
    Ok(())
}

#[test]
fn two_ports_of_one_node_talk_without_leaving_it() -> Result<(), LabError> {
    let mut edges = Edges::new(Form::Udp, Family::V4, 1)?;
    let left = edges.attach_site(1, "red", 1, TARGET)?;
    let right = edges.attach_site(1, "red", 2, TARGET)?;
    let capture = Capture::start(edges.agents[0].node(), UNDERLAY, "not port 179")?;
    edges.assert_meshed(&[&left, &right])?;
    for address in [&right.ipv4, &right.ipv6] {
        let bits = traffic::tcp_throughput(&left.node, &right.node, address)?;
        assert!(bits > 1e9, "TCP to {address}: {bits} bit/s");
    }
    let capture = capture.stop()?;
    assert_eq!(tshark::packets(&capture, "mpls"), "");
    Ok(())
}

#[test]
fn all_forms_are_taken_at_the_same_time() -> Result<(), LabError> {
    let mut edges = Edges::new(Form::Udp, Family::V4, 1)?;
    edges.add_node(2, Form::Gre)?;
    edges.add_node(3, Form::Ethernet)?;
    edges.add_node(4, Form::Vxlan)?;
    let sites = (1..=4).map(|number| edges.attach_site(number, "red", number, TARGET));
    let sites = sites.collect::<Result<Vec<_>, _>>()?;
    edges.assert_meshed(&sites.iter().collect::<Vec<_>>())
}

#[test]
fn an_agent_restarts_and_no_routed_packet_is_lost() -> Result<(), LabError> {
    let mut edges = Edges::new(Form::Udp, Family::V4, 2)?;
    let left = edges.attach_site(1, "red", 1, TARGET)?;
    let right = edges.attach_site(2, "red", 2, TARGET)?;
    edges.assert_meshed(&[&left, &right])?;
    let traffic = Ping::start(&left.node, &right.ipv4, Duration::from_millis(2))?;
    for number in [0, 1] {
        edges.agents[number].kill();
        edges.agents[number].resume()?;
        let agent = &edges.agents[number];
        wait_until(SOON, "the session is back", || {
            (bagpipe_tests::fabric::sessions(agent) == 1).then_some(())
        })?;
        wait_until(SOON, "clean maps", || agent.cli(&["map", "verify"]).ok())?;
    }
    let loss = traffic.finish()?;
    assert_eq!(loss.lost, 0, "{loss:?}");
    edges.assert_meshed(&[&left, &right])
}
