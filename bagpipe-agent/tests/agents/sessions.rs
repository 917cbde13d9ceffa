//! Sessions on special terms: signed, near, over IPv6, with another AS, limited, shut down.

use std::os::unix::fs::PermissionsExt;
use std::process::Command;

use crate::lab::{Agent, BAGPIPE, Lab, text};

const FIRST: &str = "attach --vpn blue --port tap0 --mac 02:00:00:00:00:01 --rt 64512:1";
const SECOND: &str = "attach --vpn blue --port tap1 --mac 02:00:00:00:00:02 --rt 64512:1";

/// What an agent shows of its first peer.
fn peer(agent: &Agent) -> serde_json::Value {
    agent.json("show peers")[0].clone()
}

fn peer_with(lab: &Lab, host: u8, terms: &str) -> String {
    format!("[[bgp.peers]]\naddress = \"{}\"\nport = 1790\n{terms}", lab.address(host))
}

#[test]
fn sessions_are_signed_and_near() {
    let lab = Lab::new();
    let terms = "password = \"lorem\"\nttl_security = true";
    let reflector = format!(
        "listen = [\"{}:1790\"]\n[bgp.reflector]\nclients = [\"127.0.0.0/8\"]\n{terms}",
        lab.address(1)
    );
    let reflector = lab.start(1, &reflector);
    let (first, second) =
        (lab.start(2, &peer_with(&lab, 1, terms)), lab.start(3, &peer_with(&lab, 1, terms)));
    let unsigned = lab.client(4, 1);
    for agent in [&first, &second] {
        agent.wait("session", || agent.is_well());
    }
    first.done(FIRST);
    second.done(SECOND);
    second.wait("the route", || second.has_route("02:00:00:00:00:01"));
    assert_eq!(reflector.json("status")["peers"]["total"], 2);
    assert_ne!(peer(&unsigned)["state"], "established");
    for agent in [&reflector, &first] {
        assert!(!agent.done("show config -o json").contains("lorem") && !agent.logged().contains("lorem"));
    }
}

/// A password that everybody can read protects nothing.
#[test]
fn a_password_that_others_can_read_is_warned_of() {
    let lab = Lab::new();
    for (terms, mode, warned) in
        [("password = \"lorem\"", 0o644, true), ("password = \"lorem\"", 0o640, false), ("", 0o644, false)]
    {
        let config = lab.config(1, &peer_with(&lab, 2, terms));
        std::fs::set_permissions(&config, std::fs::Permissions::from_mode(mode)).unwrap();
        let check = ["agent", "--check", "--config", config.to_str().unwrap()];
        let output = Command::new(BAGPIPE).args(check).output().unwrap();
        assert!(output.status.success());
        let printed = text(&output.stdout);
        assert_eq!(printed.contains("has a password and can be read by others"), warned, "{printed}");
        assert!(!printed.contains("lorem"));
    }
}

/// RFC 9003, and the way back.
#[test]
fn operators_tell_each_other_why() {
    let lab = Lab::new();
    let reflector = lab.reflector(1);
    let client = lab.client(2, 1);
    client.wait("session", || client.is_well());
    let words = ["peer", "shutdown", &lab.address(2), "--message", "new cables, back at 4"];
    let output = reflector.run(&words);
    assert_eq!(text(&output.stdout), format!("shut down {}\n", lab.address(2)), "{}", text(&output.stderr));
    client.wait("the words", || client.done("show peers").contains("new cables, back at 4"));
    let held = peer(&reflector);
    assert_eq!((&held["held"], &held["dynamic"]), (&"shutdown".into(), &true.into()));
    assert_eq!(peer(&client)["faults"]["last_notification"]["direction"], "received");

    reflector.done(&format!("peer enable {}", lab.address(2)));
    client.wait("session again", || client.is_well());
    client.done(&format!("peer reset {}", lab.address(1)));
    client.wait("session once more", || client.is_well());
    let notification = &peer(&reflector)["faults"]["last_notification"];
    assert_eq!((&notification["code"], &notification["subcode"]), (&6.into(), &4.into()));

    let unknown = client.cli("peer reset 192.0.2.1");
    assert_eq!(unknown.status.code(), Some(1));
    assert!(text(&unknown.stderr).contains("192.0.2.1 is not a peer"), "{}", text(&unknown.stderr));
}

/// Both have one address here, so that routes would be taken for own ones: the end-to-end tests have two.
#[test]
fn a_session_over_ipv6_from_near() {
    let lab = Lab::new();
    let port = 10_000 + u16::try_from(std::process::id() % 50_000).unwrap();
    let local = |id: u8| format!("router_id = \"192.0.2.{id}\"");
    let reflector =
        format!("{}\nlisten = [\"[::1]:{port}\"]\n[bgp.reflector]\nclients = [\"::/0\"]", local(1));
    let reflector = lab.start_at("::1", 1, &reflector);
    let client = format!(
        "{}\n[[bgp.peers]]\naddress = \"::1\"\nport = {port}\nttl_security = true\nimport = \"all\"",
        local(2)
    );
    let client = lab.start_at("::1", 2, &client);
    client.wait("session", || client.is_well());
    assert_eq!(peer(&reflector)["address"], "::1");
    let negotiated = &peer(&client)["negotiated"];
    let families = ["evpn", "vpnv4", "vpnv6", "flowspec-vpnv4", "flowspec-vpnv6", "rtc"];
    assert_eq!(negotiated["families"], serde_json::json!(families));
    assert_eq!(negotiated["extended_next_hop"], true);
    let announced = negotiated["capabilities"].as_array().unwrap();
    for capability in
        [serde_json::json!("enhanced-route-refresh"), serde_json::json!({ "multiprotocol": "vpnv6" })]
    {
        assert!(announced.contains(&capability), "{negotiated}");
    }
}

/// RFC 8212: routes cross the border when both sides say so.
#[test]
fn another_as_gets_and_gives_what_the_configuration_says() {
    let lab = Lab::new();
    let external = |terms: &str| format!("as_number = 64513\n{terms}");
    let listen = format!("listen = [\"{}:1790\"]", lab.address(1));
    let peer_two = format!(
        "{listen}\n[[bgp.peers]]\naddress = \"{}\"\npassive = true\n{}",
        lab.address(2),
        external("import = \"all\"\nexport = \"own\"")
    );
    let one = lab.start(1, &peer_two);
    one.done(FIRST);
    for (terms, flows) in [("import = \"all\"\nexport = \"all\"", true), ("", false)] {
        let two = peer_with(&lab, 1, &format!("as_number = 64512\n{terms}"));
        let two = lab.start_in_as(64_513, 2, &two);
        two.wait("session", || two.is_well());
        two.done(SECOND);
        if flows {
            two.wait("the route", || two.has_route("02:00:00:00:00:01"));
            one.wait("the other", || one.has_route("02:00:00:00:00:02"));
            let routes = one.json("show routes");
            let from_two = |route: &&serde_json::Value| route["source"] != "local";
            let path = routes.as_array().unwrap().iter().find(from_two).unwrap();
            assert_eq!(path["attributes"]["as_path"], "64513");
        } else {
            assert!(two.logged().contains("gives no routes and gets none"), "{}", two.logged());
            one.wait("the session there", || one.is_well());
            assert_eq!(peer(&one)["received"].as_u64(), Some(0), "{}", peer(&one));
            assert!(!two.has_route("02:00:00:00:00:01"));
        }
    }
}

#[test]
fn a_client_with_too_many_routes_is_kept_away() {
    let lab = Lab::new();
    let reflector = format!(
        "listen = [\"{}:1790\"]\n[bgp.reflector]\nclients = [\"127.0.0.0/8\"]\n\
         maximum_prefixes = {{ evpn = 2, restart = 1, warning = 100 }}",
        lab.address(1)
    );
    let reflector = lab.start(1, &reflector);
    let (first, second) = (lab.client(2, 1), lab.client(3, 1));
    second.done(SECOND);
    first.done(FIRST);
    second.wait("the route", || second.has_route("02:00:00:00:00:01"));
    first.done("attach --vpn blue --port tap2 --mac 02:00:00:00:00:03 --rt 64512:1");
    first.wait("the reason", || {
        first.done("show peers").contains("maximum number of prefixes reached of evpn: 2")
    });
    second.wait("nothing of it left", || !second.has_route("02:00:00:00:00:01"));
    assert!(reflector.logged().contains("announces more than 2 evpn routes: kept away for 1 s"));
    first.done("detach --vpn blue --port tap2 --mac 02:00:00:00:00:03");
    second.wait("back", || second.has_route("02:00:00:00:00:01"));
}
