//! IP-VPNs, through the API: routes and labels, why packets go where they go, and what is refused.

use serde_json::{Value, json};

use crate::lab::{Agent, Lab, text};

const VPN: &str = "--vpn vpn --type ipvpn --rt 64512:1";

fn explain(agent: &Agent, vpn: &str, ip: &str) -> Value {
    agent.json(&format!("explain --vpn {vpn} --ip {ip}"))
}

/// The output of a command that fails, with its complaint.
fn refused(agent: &Agent, line: &str) -> String {
    let output = agent.cli(line);
    assert_eq!(output.status.code(), Some(1), "{line}: {}", text(&output.stdout));
    text(&output.stderr)
}

#[test]
fn the_way_of_a_packet_is_told_from_port_to_map_entry() {
    let lab = Lab::new();
    let _reflector = lab.reflector(1);
    let (first, second) = (lab.client(2, 1), lab.client(3, 1));
    first.done(&format!(
        "attach {VPN} --port tap0 --mac 02:00:00:00:00:01 --ip 10.0.0.1/24 --gateway-ip 10.0.0.254"
    ));
    second.done(&format!(
        "attach {VPN} --port tap1 --mac 02:00:00:00:00:02 --ip 10.8.0.1/16 --advertise-subnet"
    ));
    first.wait("the route", || explain(&first, "vpn", "10.8.7.6")["stopped"].is_null());

    let label = &second.json("show labels")[1]["label"];
    let hop = json!({ "hop": "mpls", "endpoint": lab.address(3), "label": label, "form": "udp" });
    let way = explain(&first, "vpn", "10.8.7.6");
    assert_eq!((&way["vpn"], &way["ports"]), (&json!("vpn"), &json!(["tap0"])));
    assert_eq!((&way["prefix"], &way["reason"]), (&json!("10.8.0.0/16"), &json!("imported")));
    assert_eq!(way["hops"], json!([hop]));
    let candidate = &way["candidates"][0];
    assert_eq!(candidate["route"], format!("vpn 10.8.0.0/16 rd {}:1", lab.address(3)));
    assert_eq!(candidate["best"], true);
    assert!(candidate["attributes"].as_str().is_some_and(|shown| shown.contains("64512:1")), "{candidate}");
    let told = first.done("explain --vpn vpn --ip 10.8.7.6");
    for line in
        ["10.8.7.6 in vpn", "from tap0", "route 10.8.0.0/16 (imported)", "best vpn 10.8.0.0/16", "goes to"]
    {
        assert!(told.contains(line), "{told}lacks {line}");
    }

    // What is here, the gateway, and what is nowhere.
    let reasons = ["10.0.0.1", "10.0.0.254"].map(|ip| explain(&first, "vpn", ip)["reason"].clone());
    assert_eq!(reasons, [json!("attached"), json!("gateway")]);
    assert!(
        refused(&first, "explain --vpn vpn --ip 10.9.0.1")
            .contains("packets for 10.9.0.1 stop here: no route")
    );
    assert!(
        refused(&first, "explain --vpn none --ip 10.9.0.1")
            .contains("VPN instance 'none' could not be found")
    );
    first.done("attach --vpn lan --port tap5 --mac 02:00:00:00:00:05 --rt 64512:5");
    assert!(refused(&first, "explain --vpn lan --ip 10.9.0.1").contains("not plugged into an IP-VPN"));

    let routes = first.done("show routes --vpn vpn");
    assert!(routes.contains("10.8.0.0/16") && routes.contains(&lab.address(3)), "{routes}");
    second.done("detach --vpn vpn --type ipvpn --port tap1 --mac 02:00:00:00:00:02");
    first.wait("the withdrawal", || !explain(&first, "vpn", "10.8.7.6")["stopped"].is_null());
}

#[test]
fn what_contradicts_an_ip_vpn_is_refused_with_the_remedy() {
    let lab = Lab::new();
    let agent = lab.start(1, "[vpn]\nlabels = \"100-101\"");
    agent.done("attach --vpn other --port tap9 --mac 02:00:00:00:00:09 --rt 64512:9");
    agent.done(&format!("attach {VPN} --port tap0 --mac 02:00:00:00:00:01 --ip 10.0.0.1/24"));
    let before = ["show vpns", "show ports", "show labels", "show routes"].map(|view| agent.json(view));

    for (line, words) in [
        // A prefix on two MAC addresses, and what both would have to say.
        (
            "--port tap1 --mac 02:00:00:00:00:02 --ip 10.0.0.1",
            &["10.0.0.1", "02:00:00:00:00:01", "advertise_subnet"][..],
        ),
        (
            "--port tap0 --mac 02:00:00:00:00:01 --ip 10.0.0.1/24 --gateway-ip 10.1.0.254",
            &["gateway_ip '10.1.0.254'", "10.0.0.0/24"],
        ),
        (
            "--evpn none --mac 02:00:00:00:00:03 --ip 10.0.0.254/24",
            &["local_port.evpn.id 'none'", "attach a port to it first"],
        ),
        (
            "--port tap2 --mac 02:00:00:00:00:02 --ip 10.0.0.2",
            &["no label is left of 100 to 101", "widen 'labels'"],
        ),
        ("--port tap9 --mac 02:00:00:00:00:02 --ip 10.0.0.2", &["tap9", "other"]),
        ("--port tap0 --mac 02:00:00:00:00:01 --ip 10.0.0.300", &["ip_address '10.0.0.300'"]),
    ] {
        let complaint = refused(&agent, &format!("attach {VPN} {line}"));
        for word in words {
            assert!(complaint.contains(word), "{line}: {complaint}lacks {word}");
        }
    }
    assert!(
        refused(
            &agent,
            "attach --vpn other --type ipvpn --rt 64512:1 --port tap3 --mac 02:00:00:00:00:04 --ip 10.0.0.4"
        )
        .contains("is of vpn_type 'evpn', not 'ipvpn'")
    );
    let after = ["show vpns", "show ports", "show labels", "show routes"].map(|view| agent.json(view));
    assert_eq!(after, before, "what was refused has changed nothing");

    // A label that is given back is there for another.
    agent.done("detach --vpn vpn --type ipvpn --port tap0 --mac 02:00:00:00:00:01");
    agent.done(&format!("attach {VPN} --port tap2 --mac 02:00:00:00:00:02 --ip 10.0.0.2"));
}

/// Two subnets on two nodes, each an E-VPN of its own, and one IP-VPN on both.
#[test]
fn hosts_of_two_e_vpns_are_routed_to_each_other_across_nodes() {
    let lab = Lab::new();
    let _reflector = lab.reflector(1);
    let agents = [lab.client(2, 1), lab.client(3, 1)];
    for (agent, subnet) in agents.iter().zip([1, 2]) {
        agent.done(&format!(
            "attach --vpn lan{subnet} --port tap0 --mac 02:00:00:00:00:0{subnet} --ip 10.0.{subnet}.5 --rt 64512:1{subnet}"
        ));
        agent.done(&format!(
            "attach {VPN} --evpn lan{subnet} --mac 02:00:00:00:01:0{subnet} --ip 10.0.{subnet}.254/24 --gateway-ip 10.0.{subnet}.254"
        ));
    }
    let [first, second] = &agents;
    first.wait("the route", || explain(first, "lan1", "10.0.2.5")["stopped"].is_null());
    let way = explain(first, "lan1", "10.0.2.5");
    let vni =
        second.json("show vpns").as_array().unwrap().iter().find(|vpn| vpn["name"] == "vpn").unwrap()["vni"]
            .clone();
    assert_eq!(way["ports"], json!(["tap0"]));
    let hop = &way["hops"][0];
    assert_eq!((&hop["hop"], &hop["endpoint"], &hop["vni"]), (&json!("vxlan"), &lab.address(3).into(), &vni));
    first.done("detach --vpn vpn --type ipvpn --evpn lan1 --mac 02:00:00:00:01:01");
    assert!(refused(first, "explain --vpn lan1 --ip 10.0.2.5").contains("not plugged into an IP-VPN"));
}
