//! Reflectors that are killed and come back, ten times over, while a thousand packets a second are on their way.

use std::time::{Duration, Instant};

use bagpipe_agent::lab::{Agent, LabError, Ping, wait_until};
use bagpipe_tests::fabric::{Fabric, Reflector, fdb, sessions};
use bagpipe_tests::{SOON, bagpipe, gobgp};

const RESTARTS: usize = 10;
/// An agent tries again after one second, then two, four, eight.
const RECONNECTED: Duration = Duration::from_secs(60);
const PACE: Duration = Duration::from_millis(1);
/// From the last session until the last route.
const CONVERGED: Duration = Duration::from_secs(1);

const REFLECTOR: &str = "10.99.0.254";
const CLIENTS: &str = "10.99.0.0/24";

/// What a reflector does about its restarts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Manner {
    /// It has its clients keep its routes meanwhile (RFC 4724).
    Graceful,
    /// It takes them with it.
    Abrupt,
}

#[test]
fn ours_gracefully() -> Result<(), LabError> {
    nothing_is_lost(ours(Manner::Graceful)?)
}

#[test]
fn gobgp_gracefully() -> Result<(), LabError> {
    nothing_is_lost(theirs(Manner::Graceful)?)
}

#[test]
fn ours_abruptly() -> Result<(), LabError> {
    routes_are_back_at_once(ours(Manner::Abrupt)?)
}

#[test]
fn gobgp_abruptly() -> Result<(), LabError> {
    routes_are_back_at_once(theirs(Manner::Abrupt)?)
}

fn nothing_is_lost(mut fabric: Fabric) -> Result<(), LabError> {
    let traffic = Ping::start(&fabric.hosts[0].node, &fabric.hosts[1].ipv4, PACE)?;
    for number in 0..RESTARTS {
        stop(&mut fabric)?;
        assert!(fabric.agents.iter().all(is_kept), "restart {number}");
        resume(&mut fabric, Manner::Graceful)?;
        for agent in &fabric.agents {
            wait_until(RECONNECTED, "the session is back", || (sessions(agent) == 1).then_some(()))?;
            wait_until(SOON, "the routes are new again", || (!is_kept(agent)).then_some(()))?;
        }
    }
    let loss = traffic.finish()?;
    assert_eq!((loss.lost, loss.duplicates), (0, 0), "{loss:?}");
    fabric.settle()?;
    fabric.assert_whole()
}

fn routes_are_back_at_once(mut fabric: Fabric) -> Result<(), LabError> {
    for number in 0..RESTARTS {
        stop(&mut fabric)?;
        assert_eq!(learned(&fabric), 0, "restart {number}");
        resume(&mut fabric, Manner::Abrupt)?;
        for agent in &fabric.agents {
            wait_until(RECONNECTED, "the session is back", || (sessions(agent) == 1).then_some(()))?;
        }
        let start = Instant::now();
        wait_until(SOON, "the routes are back", || (learned(&fabric) == fabric.agents.len()).then_some(()))?;
        let passed = start.elapsed();
        assert!(passed < CONVERGED, "restart {number}: {passed:?} after the sessions came up");
    }
    fabric.assert_whole()
}

/// How many agents know the host behind the other.
fn learned(fabric: &Fabric) -> usize {
    let remote = fabric.hosts.iter().rev();
    fabric.agents.iter().zip(remote).filter(|(agent, host)| fdb(agent, &host.mac).is_some()).count()
}

/// Whether an agent keeps routes of a session that is over.
fn is_kept(agent: &Agent) -> bool {
    let peers = agent.json(&["show", "peers"]).unwrap_or_default();
    peers.pointer("/0/stale").and_then(|stale| stale.as_array()).is_some_and(|stale| !stale.is_empty())
}

/// Kills the reflector, and waits until all agents know.
fn stop(fabric: &mut Fabric) -> Result<(), LabError> {
    match &mut fabric.reflector {
        Reflector::Bagpipe(agent) => agent.kill(),
        Reflector::Gobgp(gobgp) => gobgp.kill(),
        Reflector::Frr(_) => unreachable!("not one of these tests"),
    }
    for agent in &fabric.agents {
        wait_until(SOON, "the session is gone", || (sessions(agent) == 0).then_some(()))?;
    }
    Ok(())
}

/// Starts the reflector again. The agents are told to connect at once: so short a session would have them wait.
fn resume(fabric: &mut Fabric, manner: Manner) -> Result<(), LabError> {
    match &mut fabric.reflector {
        Reflector::Bagpipe(agent) => agent.resume(),
        Reflector::Gobgp(gobgp) if manner == Manner::Graceful => gobgp.resume_gracefully(),
        Reflector::Gobgp(gobgp) => gobgp.resume(),
        Reflector::Frr(_) => unreachable!("not one of these tests"),
    }?;
    fabric.agents.iter().try_for_each(|agent| agent.cli(&["peer", "enable", REFLECTOR]).map(drop))
}

fn ours(manner: Manner) -> Result<Fabric, LabError> {
    let restart_time = if manner == Manner::Graceful { 120 } else { 0 };
    let text = format!(
        "[bgp]\nlocal_address = \"{REFLECTOR}\"\nas_number = 64512\nhold_time = 9\nrestart_time = {restart_time}\n\
         [bgp.reflector]\nclients = [\"{CLIENTS}\"]\n[dataplane]\ndriver = \"none\"\n"
    );
    with_nodes(Fabric::behind(|lab, node| {
        Agent::configured(lab, &bagpipe(), node, &text).map(|agent| Reflector::Bagpipe(Box::new(agent)))
    })?)
}

fn theirs(manner: Manner) -> Result<Fabric, LabError> {
    if manner == Manner::Abrupt {
        return with_nodes(Fabric::with_gobgp()?);
    }
    // It waits for its clients' routes before it sends any, and so has to know their names.
    let clients: String = [1, 2].map(|number| restarting_client(&Fabric::address(number))).concat();
    let text = format!(
        "[global.config]\nas = 64512\nrouter-id = \"{REFLECTOR}\"\nlocal-address-list = [\"{REFLECTOR}\"]\n{clients}"
    );
    with_nodes(Fabric::behind(|lab, node| {
        gobgp::Reflector::configured(lab, node, &text).map(Reflector::Gobgp)
    })?)
}

fn restarting_client(address: &str) -> String {
    let families = ["l2vpn-evpn", "rtc"].map(|family| {
        format!(
            "[[neighbors.afi-safis]]\n[neighbors.afi-safis.config]\nafi-safi-name = \"{family}\"\n\
             [neighbors.afi-safis.mp-graceful-restart.config]\nenabled = true\n"
        )
    });
    format!(
        "[[neighbors]]\n[neighbors.config]\nneighbor-address = \"{address}\"\npeer-as = 64512\n\
         [neighbors.route-reflector.config]\nroute-reflector-client = true\n\
         route-reflector-cluster-id = \"{REFLECTOR}\"\n\
         [neighbors.transport.config]\npassive-mode = true\n\
         [neighbors.graceful-restart.config]\nenabled = true\nrestart-time = 60\n{}",
        families.concat()
    )
}

fn with_nodes(mut fabric: Fabric) -> Result<Fabric, LabError> {
    fabric.add_node(1)?;
    fabric.add_node(2)?;
    fabric.settle()?;
    fabric.assert_whole()?;
    Ok(fabric)
}
