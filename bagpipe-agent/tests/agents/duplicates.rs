//! A MAC address that two agents attach in turn (RFC 7432 §15.1): what operators see of it, and do about it.

use crate::lab::{Agent, Lab, text};
use crate::{MAC, attach};

const SETTINGS: &str = "[vpn]\nduplicate_mac_moves = 3\nduplicate_mac_window = 600";

#[test]
fn a_mac_address_that_moves_too_often_is_frozen_until_it_is_released() {
    let lab = Lab::new();
    let _reflector = lab.reflector(1);
    let client = |host| {
        let peer = format!("[[bgp.peers]]\naddress = \"{}\"\nport = 1790", lab.address(1));
        lab.start(host, &format!("{peer}\n{SETTINGS}"))
    };
    let (first, second) = (client(2), client(3));
    for agent in [&first, &second] {
        agent.wait("session", || agent.is_well());
        assert_eq!(agent.json("show config")["vpn"]["duplicate_mac_moves"], 3);
    }
    // What is attached when the instances have been there for a while is newer than what they have heard.
    let bystander = "attach --vpn blue --type evpn --port tap1 --mac 02:00:00:00:00:0";
    first.done(&format!("{bystander}8 --rt 64512:1"));
    second.done(&format!("{bystander}9 --rt 64512:1"));
    first.wait("the other", || first.has_route("02:00:00:00:00:09"));
    second.wait("the other", || second.has_route("02:00:00:00:00:08"));

    for agent in [&first, &second] {
        agent.wait("convergence", || agent.json("status")["converged"] == true);
    }

    first.done(&attach("10.0.0.1"));
    second.wait("the route", || second.has_route(MAC));
    for (winner, loser) in [(&second, &first), (&first, &second), (&second, &first)] {
        drop(winner.cli(&format!("detach --vpn blue --type evpn --port tap0 --mac {MAC}")));
        winner.done(&attach("10.0.0.1"));
        loser.wait("the other has it", || loser.has_route(MAC) && !is_advertised(loser));
    }
    for agent in [&first, &second] {
        agent.wait("frozen", || agent.json("show vpns")[0]["frozen_macs"] == serde_json::json!([MAC]));
        assert_eq!(agent.cli("status").status.code(), Some(4));
        let status = agent.json("status")["degraded"].to_string();
        assert!(status.contains(&format!("bagpipe mac release {MAC} --vpn blue")), "{status}");
        assert!(agent.logged().contains("moves too often"));
        assert!(agent.done("show fdb").contains("port (frozen)"), "{}", agent.done("show fdb"));

        assert_eq!(agent.done(&format!("mac release {MAC} --vpn blue")), format!("released {MAC}\n"));
        assert!(agent.is_well());
        for (line, reason) in [
            (format!("mac release {MAC} --vpn blue"), "not frozen"),
            (format!("mac release {MAC} --vpn red"), "'red'"),
        ] {
            let output = agent.cli(&line);
            assert_eq!(output.status.code(), Some(1));
            assert!(text(&output.stderr).contains(reason), "{}", text(&output.stderr));
        }
    }
}

fn is_advertised(agent: &Agent) -> bool {
    let ports = agent.json("show ports");
    let macs =
        ports.as_array().into_iter().flatten().flat_map(|port| port["macs"].as_array().into_iter().flatten());
    macs.filter(|mac| mac["mac"] == MAC).all(|mac| mac["advertised"] == true)
}
