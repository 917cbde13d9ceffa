//! Agents as processes, on loopback addresses and without data plane: sessions, routes, restarts, exit codes.

#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)] // A test fails by panicking.

mod duplicates;
mod lab;
mod routing;
mod sessions;

use std::path::Path;
use std::process::Command;

use lab::{BAGPIPE, Lab, text};

const MAC: &str = "02:00:00:00:00:01";

fn attach(ip: &str) -> String {
    format!("attach --vpn blue --type evpn --port tap0 --mac {MAC} --ip {ip} --rt 64512:1")
}

#[test]
fn what_is_attached_on_one_agent_is_known_on_another_through_a_reflector() {
    let lab = Lab::new();
    let reflector = lab.reflector(1);
    let (first, second) = (lab.client(2, 1), lab.client(3, 1));
    for agent in [&first, &second] {
        agent.wait("session", || agent.is_well());
    }
    first.done(&attach("10.0.0.1/24"));
    second.done("attach --vpn red --port tap0 --mac 02:00:00:00:00:02 --rt 64512:1");
    second.wait("the route", || second.has_route(MAC));
    assert!(first.done("show peers").contains("established"));
    assert_eq!(reflector.json("status")["peers"]["established"], 2);

    second.wait("forwarding", || {
        let fdb = second.json("show fdb");
        fdb.as_array().unwrap().iter().any(|entry| entry["mac"] == MAC && entry["endpoint"] == lab.address(2))
    });
    let neighbors = second.json("show neighbors");
    assert_eq!(neighbors[0]["ip"], "10.0.0.1");

    // Another address, the same again, and the way back.
    first.done(&attach("2001:db8::1"));
    first.done(&attach("2001:db8::1"));
    second.wait("the second route", || second.has_route("2001:db8::1"));
    first.done(&format!("detach --vpn blue --type evpn --port tap0 --mac {MAC}"));
    second.wait("the withdrawal", || !second.has_route(MAC));
    assert_eq!(first.json("show ports"), serde_json::json!([]));
    assert_eq!(first.json("show vpns"), serde_json::json!([]));
}

/// What commands print, with the addresses of the agents as `R`, `A` and `B`: names and columns are what people and
/// programs rely on.
#[test]
fn what_is_shown_keeps_its_form() {
    let lab = Lab::new();
    let _reflector = lab.reflector(1);
    let (first, second) = (lab.client(2, 1), lab.client(3, 1));
    first.done("attach --vpn blue --port tap0 --mac 02:00:00:00:00:01 --ip 10.0.0.1 --rt 64512:1 --vni 100");
    second.done(
        "attach --vpn red --port tap9 --mac 02:00:00:00:00:02 --rt 64512:1 --vni 200 --gateway-ip 10.0.0.254",
    );
    first.wait("both routes", || first.done("show fdb").contains("02:00:00:00:00:02"));
    second.wait("both routes", || second.done("show fdb").contains("02:00:00:00:00:01"));

    let shown = |what: &str| {
        let text = second.done(&format!("show {what}"));
        let text = [(1, "R"), (2, "A"), (3, "B")]
            .iter()
            .fold(text, |text, (host, name)| text.replace(&lab.address(*host), name));
        // Columns are as wide as the addresses were.
        text.lines()
            .map(|line| line.split_whitespace().collect::<Vec<_>>().join(" ") + "\n")
            .collect::<String>()
    };
    assert_eq!(shown("vpns"), "NAME VNI RD TARGETS PORTS REMOTES RX TX\nred 200 B:1 64512:1 1 1 - -\n");
    assert_eq!(
        shown("ports"),
        "INTERFACE VPN MAC IP ADVERTISED RX TX\ntap9 red 02:00:00:00:00:02 any yes - -\n"
    );
    assert_eq!(
        shown("fdb"),
        "VPN MAC TARGET INTERFACE ENDPOINT VNI\n\
         red 02:00:00:00:00:01 vxlan - A 100\n\
         red 02:00:00:00:00:02 port tap9 - -\n"
    );
    assert_eq!(shown("neighbors"), "VPN IP MAC ROUTER\nred 10.0.0.1 02:00:00:00:00:01 no\n");
    let routes = shown("routes");
    for line in [
        "BEST STALE SOURCE NEXT HOP TARGETS ROUTE",
        "yes no R A 64512:1 mac-ip 02:00:00:00:00:01 10.0.0.1 rd A:1 tag 0 label 100",
        "yes no R A 64512:1 multicast A rd A:1 tag 0",
        "yes no local B 64512:1 mac-ip 02:00:00:00:00:02 rd B:1 tag 0 label 200",
    ] {
        assert!(routes.lines().any(|shown| shown == line), "{routes}lacks {line}");
    }
    assert!(shown("rtc").contains("local no rtc 64512:1 origin 64512"), "{}", shown("rtc"));
    assert!(
        shown("peers").starts_with("PEER AS STATE SECONDS RECEIVED SENT LAST ERROR\nR 64512 established ")
    );
    assert!(shown("nexthops").starts_with("ENDPOINT STATE INTERFACE GATEWAY MAC MTU\n"));
    assert_eq!(second.json("show config")["vpn"]["vnis"], "16-16777215");
    for (what, keys) in [
        (
            "peers",
            vec![
                "address",
                "asn",
                "state",
                "seconds",
                "received",
                "sent",
                "router_id",
                "negotiated",
                "counters",
            ],
        ),
        (
            "routes",
            vec!["route", "nlri", "attributes", "source", "next_hop", "route_targets", "best", "stale"],
        ),
    ] {
        let first = second.json(&format!("show {what}"))[0].clone();
        for key in keys {
            assert!(first.get(key).is_some(), "show {what} lacks {key}: {first}");
        }
    }
    let status = second.json("status");
    assert_eq!(
        (&status["state"], &status["vpns"], &status["ports"]),
        (&"running".into(), &1.into(), &1.into())
    );
    assert_eq!(second.json("map verify"), serde_json::json!([]));
}

#[test]
fn attachments_outlive_a_killed_agent() {
    let lab = Lab::new();
    let _reflector = lab.reflector(1);
    let (mut first, second) = (lab.client(2, 1), lab.client(3, 1));
    second.done("attach --vpn red --port tap0 --mac 02:00:00:00:00:02 --rt 64512:1");
    first.done(&attach("10.0.0.1"));
    second.wait("the route", || second.has_route(MAC));
    let state = lab.directory.join("2.state/attachments.json");
    first.wait("the attachments on disk", || {
        std::fs::read_to_string(&state).is_ok_and(|text| text.contains(MAC))
    });
    let (vpns, ping) = (first.json("show vpns"), first.get("/ping"));

    first.kill();
    assert_eq!(first.cli("status").status.code(), Some(3));
    first.resume();
    first.wait("session", || first.is_well());
    assert_ne!(first.get("/ping"), ping);
    let again = first.json("show vpns");
    for key in ["name", "vni", "rd", "number", "import_rt"] {
        assert_eq!(again[0][key], vpns[0][key], "{key}");
    }
    assert!(second.has_route(MAC));

    assert_eq!(first.stop(), Some(0));
    assert!(!first.socket.exists());
    std::fs::write(&state, "{ not what it was").unwrap();
    first.resume();
    assert_eq!(first.json("show vpns"), serde_json::json!([]));
    assert!(first.logged().contains("attach again"));
}

#[test]
fn what_goes_wrong_has_its_exit_code_and_says_what_to_do() {
    let lab = Lab::new();
    let config = lab.config(1, "");
    let check = |config: &Path| {
        Command::new(BAGPIPE).args(["agent", "--check", "--config"]).arg(config).output().unwrap()
    };
    assert_eq!(check(&config).status.code(), Some(0));
    let wrong = check(&lab.config(2, "hold_tiem = 3"));
    assert_eq!(wrong.status.code(), Some(2));
    assert!(text(&wrong.stderr).contains("2.toml:4: bgp.hold_tiem: unknown key; did you mean 'hold_time'?"));
    assert_eq!(check(&lab.directory.join("absent.toml")).status.code(), Some(2));

    let agent = lab.client(3, 9);
    let status = agent.cli("status");
    assert_eq!(status.status.code(), Some(4), "{}", text(&status.stdout));
    assert!(text(&status.stdout).contains("is not established"));

    let twice = Command::new(BAGPIPE).args(["agent", "--config"]).arg(&agent.config).output().unwrap();
    assert_eq!(twice.status.code(), Some(1));
    assert!(text(&twice.stderr).contains("another agent uses"), "{}", text(&twice.stderr));

    for (line, expected) in [
        ("attach --vpn blue --port tap0 --mac 03:00:00:00:00:01 --rt 64512:1", "mac_address"),
        ("attach --vpn blue --port tap0 --mac 02:00:00:00:00:01 --rt 64512", "import_rt"),
        ("attach --vpn blue --type ipvpn --port tap0 --mac 02:00:00:00:00:01 --rt 64512:1", "ip_address"),
        ("detach --vpn blue --port tap0 --mac 02:00:00:00:00:01", "VPN instance 'blue'"),
    ] {
        let output = agent.cli(line);
        assert_eq!(output.status.code(), Some(1), "{line}");
        assert!(text(&output.stderr).contains(expected), "{line}: {}", text(&output.stderr));
    }
    assert_eq!(agent.json("show vpns"), serde_json::json!([]));
    assert_eq!(agent.cli("show nonsense").status.code(), Some(2));
}

#[test]
fn a_taken_port_is_named_with_the_remedy() {
    let lab = Lab::new();
    let reflector = lab.reflector(1);
    let listen = format!("listen = [\"{}:1790\"]", lab.address(1));
    let output =
        Command::new(BAGPIPE).args(["agent", "--config"]).arg(lab.config(2, &listen)).output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    let complaint = text(&output.stderr);
    assert!(
        complaint.contains(&format!("{}:1790", lab.address(1))) && complaint.contains("ss -ltnp"),
        "{complaint}"
    );
    drop(reflector);
}

#[test]
fn what_was_answered_outlives_a_kill() {
    let lab = Lab::new();
    let mut agent = lab.reflector(1);
    for last in 1..=20 {
        agent.done(&attach(&format!("10.0.0.{last}")));
        agent.kill();
        agent.resume();
        let ports = agent.json("show ports");
        assert_eq!(ports[0]["macs"][0]["ips"].as_array().map(Vec::len), Some(last), "{ports}");
    }
    agent.done(&format!("detach --vpn blue --port tap0 --mac {MAC}"));
    agent.kill();
    agent.resume();
    assert_eq!(agent.json("show ports"), serde_json::json!([]));
    assert!(agent.logged().contains(&format!("attach vpn=blue port=tap0 mac={MAC} ips=10.0.0.1")));
}

#[test]
fn a_detach_of_several_addresses_is_all_or_nothing() {
    let lab = Lab::new();
    let agent = lab.reflector(1);
    agent.done(&attach("10.0.0.1,10.0.0.2,10.0.0.3"));
    let before = agent.json("show ports");
    let detach = |ips: &str| format!("detach --vpn blue --port tap0 --mac {MAC} --ip {ips}");
    let refused = agent.cli(&detach("10.0.0.1,10.0.0.9"));
    assert!(text(&refused.stderr).contains("10.0.0.9"), "{}", text(&refused.stderr));
    assert!(agent.logged().contains("refused"), "{}", agent.logged());
    assert_eq!(agent.json("show ports"), before);
    agent.done(&detach("10.0.0.1,10.0.0.1/24,10.0.0.2"));
    assert_eq!(agent.json("show ports")[0]["macs"][0]["ips"], serde_json::json!(["10.0.0.3"]));
}

#[test]
fn why_a_peer_is_not_reached_is_shown() {
    let lab = Lab::new();
    let agent = lab.client(1, 9);
    let shown = |words: &str| agent.done("show peers").contains(words);
    agent.wait("the cause", || shown("port 1790: refused; start the BGP speaker there"));
}
