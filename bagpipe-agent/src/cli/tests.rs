use clap::error::ErrorKind;
use serde_json::{Value, json};

use super::rows::rows;
use super::show::What;
use super::*;

fn parse(line: &str) -> Result<Cli, clap::Error> {
    Cli::try_parse_from(std::iter::once("bagpipe").chain(line.split_whitespace()))
}

fn attach_request(line: &str) -> Value {
    match parse(line).unwrap().command {
        Command::Attach(args) => args.request(),
        other => panic!("{other:?}"),
    }
}

#[test]
fn the_command_line_is_consistent() {
    Cli::command().debug_assert();
}

#[test]
fn the_words_of_the_contract_are_taken() {
    for line in [
        "agent",
        "agent --config /etc/b.toml --check",
        "agent --instance blue",
        "config convert /etc/bagpipe-bgp/bgp.conf",
        "--instance blue --socket /run/b.sock status -o json",
        "attach --vpn v --type evpn --port tap0 --mac 02:00:00:00:00:01 --ip 10.0.0.1/24 --rt 64512:1 --vni 5 --gateway-ip 10.0.0.254",
        "attach --vpn v --port tap0 --mac 02:00:00:00:00:01 --import-rt 64512:1 --export-rt 64512:2",
        "detach --vpn v --type evpn --port tap0 --mac 02:00:00:00:00:01",
        "attach --vpn v --type ipvpn --port tap0 --mac 02:00:00:00:00:01 --ip 10.0.0.1/24 --rt 64512:1 --advertise-subnet --gateway-ip 10.0.0.254 --local-pref 200 --direction to-port --lb-order 3 --proxy-arp",
        "attach --vpn v --type ipvpn --evpn lan --mac 02:00:00:00:00:01 --ip 10.0.0.254/24 --rt 64512:1",
        "attach --network blue --port netns --ip 10.0.0.1",
        "attach --network blue --vpn v --port netns:veth7 --netns x --if2vpn eth0 --ip 10.0.0.1/16",
        "detach --network blue --port netns",
        "network create blue",
        "network create blue --vni 100 -o json",
        "network list",
        "network delete blue",
        "impex --format dot",
        "show routes --vpn v",
        "show labels",
        "explain --vpn v --ip 10.0.0.1 -o json",
        "show peers",
        "show vpns -o json",
        "show ports",
        "show routes",
        "show fdb",
        "show neighbors",
        "show nexthops",
        "show rtc",
        "show config",
        "peer shutdown 10.0.0.1 --message words",
        "peer reset 10.0.0.1",
        "peer enable 2001:db8::1",
        "map ls",
        "map dump FDB -o json",
        "map verify",
        "cleanup",
        "completion bash",
        "man",
        "version",
    ] {
        if let Err(error) = parse(line) {
            panic!("{line}: {error}");
        }
    }
}

#[test]
fn what_makes_no_sense_is_a_usage_error() {
    for (line, expected) in [
        ("", ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand),
        ("nonsense", ErrorKind::InvalidSubcommand),
        ("show nothing", ErrorKind::InvalidValue),
        ("status -o xml", ErrorKind::InvalidValue),
        ("attach --vpn v --port tap0 --mac 02:00:00:00:00:01", ErrorKind::MissingRequiredArgument),
        ("attach --vpn v --type vpls --port tap0 --mac m --rt 1:1", ErrorKind::InvalidValue),
        ("attach --vpn v --port tap0 --mac m --rt 1:1 --vni x", ErrorKind::ValueValidation),
        ("--instance ../up status", ErrorKind::ValueValidation),
        ("peer", ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand),
        ("peer reset", ErrorKind::MissingRequiredArgument),
        ("peer enable here", ErrorKind::ValueValidation),
        ("map dump", ErrorKind::MissingRequiredArgument),
    ] {
        assert_eq!(parse(line).unwrap_err().kind(), expected, "{line}");
    }
}

#[test]
fn an_attach_is_one_request_whatever_the_number_of_addresses() {
    let line = "attach --vpn v --port tap0 --mac 02:00:00:00:00:01 --rt 64512:1 --import-rt 64512:2,64512:3";
    let request = json!({
        "vpn_type": "evpn",
        "vpn_instance_id": "v",
        "mac_address": "02:00:00:00:00:01",
        "ip_addresses": [],
        "local_port": { "linuxif": "tap0" },
        "import_rt": ["64512:1", "64512:2", "64512:3"],
        "export_rt": ["64512:1"],
    });
    assert_eq!(attach_request(line), request);

    let request =
        attach_request(&format!("{line} --ip 10.0.0.1/24 --ip 2001:db8::1 --vni 9 --gateway-ip 10.0.0.254"));
    assert_eq!(request["ip_addresses"], json!(["10.0.0.1/24", "2001:db8::1"]));
    assert_eq!((&request["vni"], &request["gateway_ip"]), (&json!(9), &json!("10.0.0.254")));
}

#[test]
fn an_absent_agent_is_named_with_the_command_that_starts_it() {
    let socket = std::env::temp_dir().join(format!("bagpipe-absent-{}.sock", std::process::id()));
    let failure = show::status(&Client::new(socket.clone(), "blue"), Format::Table).unwrap_err();
    assert!(matches!(failure, Failure::Unreachable(_)));
    let text = failure.to_string();
    assert!(text.contains(&socket.display().to_string()), "{text}");
    assert!(text.contains("bagpipe agent --instance blue --config /etc/bagpipe/bagpipe.toml"), "{text}");
}

#[test]
fn a_port_has_a_row_for_each_of_its_addresses_and_its_traffic_once() {
    let ports = json!([{
        "vpn": "blue",
        "interface": "tap0",
        "number": 1,
        "macs": [
            { "mac": "02:00:00:00:00:01", "ips": ["10.0.0.1", "2001:db8::1"], "sequence": 0, "advertised": true },
            { "mac": "02:00:00:00:00:02", "ips": [], "sequence": 3, "advertised": false },
        ],
        "traffic": { "rx_packets": 603, "rx_bytes": 59_094, "tx_packets": 20_000_000, "tx_bytes": 8_000_000_000_u64 },
    }]);
    let text = table::render(What::Ports.view().1, &rows(What::Ports, ports));
    let expected = "\
INTERFACE  VPN   MAC                IP           ADVERTISED  RX        TX
tap0       blue  02:00:00:00:00:01  10.0.0.1     yes         603 59kB  20M 8000MB
tap0       blue  02:00:00:00:00:01  2001:db8::1  yes         -         -
tap0       blue  02:00:00:00:00:02  any          no          -         -
";
    assert_eq!(text, expected);

    let ports = json!([{
        "vpn": "blue", "interface": "tap0", "present": false, "traffic": null,
        "macs": [{ "mac": "02:00:00:00:00:01", "ips": [], "advertised": true }],
    }]);
    assert!(table::render(What::Ports.view().1, &rows(What::Ports, ports)).contains("tap0 (away)  blue"));
}

#[test]
fn an_instance_has_one_short_row() {
    let vpn = |export: &[&str]| {
        json!({
            "name": "blue", "vni": 100, "rd": "10.0.0.1:1", "import_rt": ["64512:1"], "export_rt": export,
            "ports": 2, "remote_endpoints": ["10.0.0.2", "10.0.0.3"], "traffic": null,
        })
    };
    let value = json!([vpn(&["64512:1"]), vpn(&[])]);
    let text = table::render(What::Vpns.view().1, &rows(What::Vpns, value));
    let expected = "\
NAME  VNI  RD          TARGETS                     PORTS  REMOTES  RX  TX
blue  100  10.0.0.1:1  64512:1                     2      2        -   -
blue  100  10.0.0.1:1  import 64512:1 export none  2      2        -   -
";
    assert_eq!(text, expected);
}

#[test]
fn the_status_says_what_was_dropped_and_what_is_wrong() {
    let text = show::status_text(&json!({
        "instance": "default",
        "dataplane": { "driver": "ebpf", "drops": 5, "dropped": [{
            "reason": "unknown-endpoint", "packets": 5, "bytes": 740,
            "explanation": "From the underlay: the sender is not a known remote endpoint of this VNI, \
                            nor of any other that this node has.",
        }] },
        "degraded": ["peer 10.0.0.254 is not established", "interface eth0 is away"],
    }));
    let (_, tail) = text.split_once("Drops").unwrap();
    let expected = "            5
  unknown-endpoint: 5 packets, 740 bytes
      From the underlay: the sender is not a known remote endpoint of this VNI,
      nor of any other that this node has.
Degraded: peer 10.0.0.254 is not established
Degraded: interface eth0 is away
";
    assert_eq!(tail, expected);
}

#[test]
fn a_peer_is_shown_with_what_it_announced_and_what_went_wrong() {
    let counts =
        json!({ "opens": 1, "updates": 2, "notifications": 0, "keepalives": 3, "route_refreshes": 0 });
    let text = peer_view::text(&json!({
        "address": "10.0.0.9", "asn": 64512, "state": "established", "seconds": 7, "last_error": null,
        "negotiated": { "families": ["evpn"], "hold_time": 90, "capabilities": ["route-refresh", { "four-octet-as": 64512 }] },
        "counters": { "sent": counts, "received": counts },
        "routes": [{ "family": "evpn", "received": 4, "sent": 5 }],
        "faults": {
            "update_errors": 2,
            "last_update_error": { "reason": "attribute 1: wrong length", "action": "treat-as-withdraw", "data": "40010000" },
            "last_notification": { "direction": "received", "code": 6, "subcode": 4, "data": "" },
        },
    }));
    for line in [
        "Peer               10.0.0.9",
        "Families           evpn",
        "Announced capability: four-octet-as=64512",
        "received  1     2       0             3          0",
        "evpn    4         5",
        "Last NOTIFICATION: received, 6/4, data -",
        "Last of 2 malformed UPDATEs: attribute 1: wrong length; treat-as-withdraw; 40010000",
    ] {
        assert!(text.lines().any(|shown| shown == line), "{line} in:\n{text}");
    }
}

#[test]
fn events_are_lines() {
    let event = json!({
        "time": 45_296_789, "event": "announced", "source": "10.0.0.2", "route": "mac-ip 02:00:00:00:00:01",
        "next_hop": "10.0.0.2", "route_targets": ["64512:1"], "best": "10.0.0.3",
    });
    let expected = "12:34:56.789Z announced mac-ip 02:00:00:00:00:01 by 10.0.0.2, next hop 10.0.0.2, targets 64512:1, best path from 10.0.0.3\n";
    assert_eq!(monitor::text(&event), expected);
    let down = json!({ "time": 0, "event": "down", "peer": "10.0.0.2", "reason": "\u{1b}[2J" });
    assert_eq!(monitor::text(&down), "00:00:00.000Z 10.0.0.2 is down: \u{fffd}[2J\n");
    assert_eq!(
        monitor::text(&json!({ "event": "missed", "count": 3 })),
        "3 events missed: this reader is too slow\n"
    );
}

#[test]
fn a_route_is_explained_in_a_few_lines() {
    let text = explain_route::text(&json!([{
        "route": "mac-ip 02:00:00:00:00:01", "source": "10.0.0.2", "next_hop": "10.0.0.2",
        "route_targets": ["64512:1"], "attributes": "local pref 100", "stale": false, "best": true, "lost_by": null,
        "unused": null,
        "imported_by": [{ "vpn": "blue", "route_targets": ["64512:1"], "entries": [
            { "what": "frames", "unused": null, "entry": { "map": "FDB", "key": "vpn 1", "value": "next hop 2", "failure": null } },
            { "what": "ARP", "unused": "attached here", "entry": null },
        ] }],
    }, {
        "route": "mac-ip 02:00:00:00:00:01", "source": "10.0.0.3", "next_hop": "10.0.0.2", "route_targets": [],
        "attributes": "local pref 90", "stale": true, "best": false, "lost_by": "local-pref",
        "unused": "another path is better", "imported_by": [],
    }]));
    let expected = "\
mac-ip 02:00:00:00:00:01
  from 10.0.0.2, the best path
    next hop 10.0.0.2, local pref 100
    imported by blue for 64512:1
      frames: written to FDB [vpn 1]: next hop 2
      ARP: not by this route: attached here
  from 10.0.0.3, not the best: it lost by local-pref, stale
    next hop 10.0.0.2, local pref 90
    not used: another path is better
";
    assert_eq!(text, expected);
}

#[test]
fn what_a_peer_says_does_not_speak_to_the_terminal() {
    let text = table::render(&[("ERROR", "/error")], &[json!({ "error": "\u{1b}[2J\nx" })]);
    assert_eq!(text, "ERROR\n\u{fffd}[2J\u{fffd}x\n");
}

#[test]
fn the_manual_and_completions_name_every_command() {
    let mut page = Vec::new();
    clap_mangen::Man::new(Cli::command()).render(&mut page).unwrap();
    let mut script = Vec::new();
    clap_complete::generate(clap_complete::Shell::Bash, &mut Cli::command(), "bagpipe", &mut script);
    for command in Cli::command().get_subcommands() {
        for text in [&page, &script] {
            assert!(String::from_utf8_lossy(text).contains(command.get_name()), "{}", command.get_name());
        }
    }
}

#[test]
fn the_graph_shows_who_exports_to_whom() {
    let vpns = [
        json!({"name": "lan \"1\"", "type": "evpn", "import_rt": ["64512:1"], "export_rt": ["64512:1"], "plugged_into": "wan"}),
        json!({"name": "wan", "type": "ipvpn", "import_rt": ["64512:2"], "export_rt": [], "plugged_into": null}),
    ];
    let ports = [json!({"interface": "tap0", "vpn": "wan"})];
    let graph = impex::graph(&vpns, &ports);
    for line in [
        r#""vpn lan \"1\"" [shape = box, label = "evpn\nlan \"1\""];"#,
        r#""rt 64512:1" -> "vpn lan \"1\"" [color = orange];"#,
        r#""vpn lan \"1\"" -> "rt 64512:1" [color = orange];"#,
        r#""rt 64512:2" -> "vpn wan" [color = orange];"#,
        r#""vpn lan \"1\"" -> "vpn wan" [dir = none];"#,
        r#""vpn wan" -> "port tap0" [style = dashed, dir = none];"#,
    ] {
        assert!(graph.contains(line), "{line} is not in {graph}");
    }
}
