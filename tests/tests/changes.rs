//! What changes while traffic flows: attachments, agents, reflectors, links.

use std::fs;
use std::path::Path;
use std::time::Duration;

use bagpipe_agent::lab::{LabError, Ping, wait_until};
use bagpipe_common::ABI_VERSION;
use bagpipe_tests::fabric::{Fabric, Reflector, UNDERLAY, attachment, endpoint, fdb, sessions};
use bagpipe_tests::{SOON, traffic};

const PACE: Duration = Duration::from_millis(2);

#[test]
fn a_mac_moves_between_nodes() -> Result<(), LabError> {
    let mut fabric = Fabric::new(3)?;
    fabric.add_host(1, 9)?;
    fabric.settle()?;
    let moving = &fabric.hosts[3];
    // There and back: the sequence number of MAC mobility must not stand in the way.
    for (from, to) in [(0, 1), (1, 2), (2, 0)] {
        let (left, right) = (&fabric.agents[from], &fabric.agents[to]);
        fabric.relink(moving, right)?;
        right.attach(&attachment(moving))?;
        left.detach(&attachment(moving))?;
        let address = Fabric::address(u8::try_from(to + 1).unwrap_or(u8::MAX));
        for (number, agent) in fabric.agents.iter().enumerate().filter(|(number, _)| *number != to) {
            let what = format!("node {} sends to {address}", number + 1);
            wait_until(SOON, &what, || (endpoint(agent, &moving.mac)? == address).then_some(()))?;
        }
        fabric.assert_whole()?;
    }
    Ok(())
}

#[test]
fn a_port_is_detached_and_attached_again() -> Result<(), LabError> {
    let fabric = Fabric::new(2)?;
    let ([one, two], [left, right]) = (fabric.hosts.as_slice(), fabric.agents.as_slice()) else {
        unreachable!("two nodes")
    };
    right.detach(&attachment(two))?;
    wait_until(SOON, "the host is gone", || fdb(left, &two.mac).is_none().then_some(()))?;
    assert!(!traffic::pings(&one.node, &two.ipv4));
    fabric.verify()?;

    right.attach(&attachment(two))?;
    fabric.settle()?;
    // Once more is no change.
    right.attach(&attachment(two))?;
    fabric.assert_whole()
}

#[test]
fn route_targets_change() -> Result<(), LabError> {
    let fabric = Fabric::new(3)?;
    let ([one, two, three], [left, right, _]) = (fabric.hosts.as_slice(), fabric.agents.as_slice()) else {
        unreachable!("three nodes")
    };
    let mut elsewhere = attachment(two);
    elsewhere.route_target = "64512:4000".to_owned();
    let steady = Ping::start(&one.node, &three.ipv4, PACE)?;
    right.attach(&elsewhere)?;
    wait_until(SOON, "the host is gone", || fdb(left, &two.mac).is_none().then_some(()))?;
    wait_until(SOON, "the others are gone", || fdb(right, &one.mac).is_none().then_some(()))?;
    assert!(!traffic::pings(&one.node, &two.ipv4));
    fabric.verify()?;

    right.attach(&attachment(two))?;
    fabric.settle()?;
    let loss = steady.finish()?;
    assert_eq!(loss.lost, 0, "the others notice nothing: {loss:?}");
    fabric.assert_whole()
}

#[test]
fn an_agent_restarts() -> Result<(), LabError> {
    let mut fabric = Fabric::new(2)?;
    let traffic = Ping::start(&fabric.hosts[0].node, &fabric.hosts[1].ipv4, PACE)?;
    for killed in [true, false] {
        let agent = &mut fabric.agents[0];
        if killed {
            agent.kill()
        } else {
            agent.stop()?
        }
        agent.resume()?;
        wait_until(SOON, "the session is back", || (sessions(agent) == 1).then_some(()))?;
        fabric.settle()?;
        fabric.verify()?;
    }
    let loss = traffic.finish()?;
    assert_eq!(loss.lost, 0, "{loss:?}");
    fabric.assert_whole()
}

/// What another version of the map ABI left holds the hook of XDP and takes packets.
#[test]
fn an_agent_takes_over_from_another_version() -> Result<(), LabError> {
    let mut fabric = Fabric::new(2)?;
    let agent = &mut fabric.agents[0];
    agent.kill();
    let pins = Path::new("/sys/fs/bpf/bagpipe").join(agent.instance());
    let (current, other) = (pins.join(format!("v{ABI_VERSION}")), pins.join("v0"));
    fs::rename(&current, &other).expect("the pins get another version");
    agent.resume()?;
    wait_until(SOON, "the session is back", || (sessions(agent) == 1).then_some(()))?;
    assert!(!other.exists() && current.exists());
    fabric.settle()?;
    fabric.assert_whole()
}

#[test]
fn forwarding_goes_on_without_agents() -> Result<(), LabError> {
    let mut fabric = Fabric::new(2)?;
    fabric.agents.iter_mut().for_each(bagpipe_agent::lab::Agent::kill);
    let [one, two] = fabric.hosts.as_slice() else { unreachable!("two nodes") };
    one.forget_neighbors()?;
    traffic::wait_for_ping(&one.node, &two.ipv4)?;
    fabric.verify()
}

#[test]
fn the_reflector_restarts() -> Result<(), LabError> {
    let mut fabric = Fabric::new(2)?;
    let traffic = Ping::start(&fabric.hosts[0].node, &fabric.hosts[1].ipv4, PACE)?;
    let Reflector::Bagpipe(reflector) = &mut fabric.reflector else { unreachable!("our own reflector") };
    reflector.kill();
    reflector.resume()?;
    for agent in &fabric.agents {
        wait_until(SOON, "the session is back", || (sessions(agent) == 1).then_some(()))?;
    }
    fabric.settle()?;
    let loss = traffic.finish()?;
    assert_eq!(loss.lost, 0, "{loss:?}");
    fabric.assert_whole()
}

#[test]
fn the_underlay_link_flaps() -> Result<(), LabError> {
    let fabric = Fabric::new(2)?;
    let [one, two] = fabric.hosts.as_slice() else { unreachable!("two nodes") };
    let node = fabric.agents[1].node();
    for _ in 0..3 {
        fabric.underlay.disconnect(node)?;
        wait_until(SOON, "loss of the carrier", || {
            node.ip(&["link", "show", UNDERLAY]).ok()?.contains("NO-CARRIER").then_some(())
        })?;
        assert!(!traffic::pings(&one.node, &two.ipv4));
        fabric.underlay.reconnect(node)?;
        traffic::wait_for_ping(&one.node, &two.ipv4)?;
    }
    fabric.assert_whole()
}

#[test]
fn a_next_hop_changes_its_mac_address() -> Result<(), LabError> {
    let fabric = Fabric::new(2)?;
    let [one, two] = fabric.hosts.as_slice() else { unreachable!("two nodes") };
    let node = fabric.agents[1].node();
    // As a replaced network card, or a router that takes over an address: it says so.
    node.sysctl(&format!("net.ipv4.conf.{UNDERLAY}.arp_notify"), "1")?;
    node.mac(UNDERLAY, "02:99:00:00:00:aa")?;
    traffic::wait_for_ping(&one.node, &two.ipv4)?;
    fabric.assert_whole()
}

#[test]
fn an_interface_vanishes_and_comes_back() -> Result<(), LabError> {
    let fabric = Fabric::new(2)?;
    let [one, two] = fabric.hosts.as_slice() else { unreachable!("two nodes") };
    two.unlink()?;
    assert!(!traffic::pings(&one.node, &two.ipv4));
    fabric.verify()?;
    two.link(&fabric.lab, fabric.agents[1].node(), &attachment(two).port)?;
    traffic::wait_for_ping(&one.node, &two.ipv4)?;
    fabric.assert_whole()
}
