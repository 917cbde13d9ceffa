use std::net::Ipv4Addr;
use std::time::Duration;

use bagpipe_bgp::speaker::{Export, Import, NextHopPolicy, SpeakerConfig};
use bagpipe_bgp::types::Family;

use super::*;

const GOOD: &str = r#"
[bgp]
local_address = "10.0.0.1"
as_number = 64512
listen = ["10.0.0.1:179"]
hold_time = 30
long_lived_restart_time = 86400
[[bgp.peers]]
address = "10.0.0.254"
[[bgp.peers]]
address = "2001:db8::1"
as_number = 4200000000
port = 1790
passive = true
families = ["evpn"]
[bgp.reflector]
clients = ["10.0.0.0/24", "2001:db8::/64"]
cluster_id = "10.0.0.9"
[dataplane]
driver = "ebpf"
underlay = ["eth0"]
vxlan_port = 8472
local_address = "10.1.0.1"
mpls = "udp"
maximum_routes = 4096
[vpn]
vnis = "100-200"
labels = "16-1048575"
duplicate_mac_moves = 9
duplicate_mac_recovery = 600
[route_targets]
as_number = 64513
ranges = ["100:119", "500:519"]
[api]
listen = "[::1]:8082"
socket = "/run/b.sock"
metrics = "127.0.0.1:9465"
[state]
directory = "/var/lib/b"
stale_time = 900
"#;

fn parse(text: &str) -> Result<Config, ConfigError> {
    Config::parse(text, Path::new("b.toml"), DEFAULT_INSTANCE)
}

/// What is wrong with a file whose `[bgp]` and `[dataplane]` are right but for the extra text.
fn complaint(bgp: &str, rest: &str) -> String {
    let text = format!("[bgp]\nlocal_address = \"10.0.0.1\"\nas_number = 64512\n{bgp}\n{rest}");
    parse(&text).unwrap_err().to_string()
}

#[test]
fn every_key_is_read() {
    let config = parse(GOOD).unwrap();
    assert_eq!(config.bgp.local_address, LocalAddress::Address("10.0.0.1".parse().unwrap()));
    assert_eq!((config.bgp.hold_time, config.bgp.long_lived_restart_time), (30, 86_400));
    let [first, second] = config.bgp.peers.as_slice() else { panic!("{:?}", config.bgp.peers) };
    assert_eq!((first.port, first.as_number, first.passive), (179, 64512, false));
    assert_eq!(first.families, SpeakerConfig::FAMILIES);
    assert_eq!((second.port, second.as_number, second.passive), (1790, 4_200_000_000, true));
    assert_eq!(second.families, [Family::EVPN]);
    let reflector = config.bgp.reflector.unwrap();
    assert_eq!(reflector.clients[1], Prefix { address: "2001:db8::".parse().unwrap(), length: 64 });
    assert_eq!(reflector.cluster_id, Some([10, 0, 0, 9].into()));
    assert_eq!(config.dataplane.underlay, ["eth0"]);
    assert_eq!((config.dataplane.vxlan_port, config.dataplane.driver), (8472, Driver::Ebpf));
    assert_eq!(config.vpn.vnis, 100..=200);
    assert_eq!(
        (config.route_targets.as_number, &*config.route_targets.ranges),
        (64_513, &[100..=119, 500..=519][..])
    );
    let recovery = Some(Duration::from_secs(600));
    let usual = DuplicateDetection::default();
    assert_eq!(config.vpn.duplicates, DuplicateDetection { moves: 9, recovery, ..usual });
    assert_eq!(config.api.socket, Path::new("/run/b.sock"));
    assert_eq!(config.state.directory, Path::new("/var/lib/b"));
    assert_eq!(config.state.stale_time, 900);
}

#[test]
fn what_is_left_out_has_a_default() {
    let text = "[bgp]\nlocal_address = \"eth0\"\nas_number = 1\n[dataplane]\ndriver = \"none\"\n";
    let config = Config::parse(text, Path::new("b.toml"), "blue").unwrap();
    assert_eq!(config.bgp.local_address, LocalAddress::Interface("eth0".into()));
    assert_eq!((config.bgp.hold_time, config.bgp.restart_time), (90, 120));
    assert_eq!(config.api.listen, Some("127.0.0.1:8082".parse().unwrap()));
    assert_eq!(config.api.socket, Path::new("/run/bagpipe/blue.sock"));
    assert_eq!(config.state.directory, Path::new("/var/lib/bagpipe/blue"));
    assert_eq!(config.vpn.vnis, 16..=0x00ff_ffff);
    assert!(config.bgp_listen("10.0.0.1".parse().unwrap()).is_empty());
    assert_eq!(config.bgp.bmp, None);
    let text = text.replace("[dataplane]", "[bgp.bmp]\nstation = \"192.0.2.9:11019\"\n[dataplane]");
    let bmp = Config::parse(&text, Path::new("b.toml"), "blue").unwrap().bgp.bmp.unwrap();
    assert_eq!((bmp.station, bmp.statistics_interval), ("192.0.2.9:11019".parse().unwrap(), 60));
}

#[test]
fn peers_and_clients_have_terms() {
    let text = format!(
        "{}\n{}",
        r#"[bgp]
local_address = "10.0.0.1"
as_number = 64512
[[bgp.peers]]
address = "10.0.0.2"
password = "secret"
ttl_security = true
maximum_prefixes = { evpn = 1000, vpnv6 = 10, warning = 50, restart = 0 }
add_paths = { receive = true }
hold_time = 0
[[bgp.peers]]
address = "10.0.0.3"
as_number = 64513
ttl_security = 3
next_hop = "self"
export = "own"
[[bgp.peers]]
address = "10.0.0.4"
tcp_ao = { key_id = 7, receive_id = 9, algorithm = "aes-128-cmac-96", key = "other secret" }
[bgp.reflector]
clients = ["10.0.1.0/24"]
maximum_clients = 7
password = "other"
ttl_security = false
add_paths = { send = 8 }"#,
        "[dataplane]\ndriver = \"none\"\n"
    );
    let config = parse(&text).unwrap();
    let [first, second, third] = &config.bgp.peers[..] else { panic!("{:?}", config.bgp.peers) };
    assert_eq!(first.terms.password.as_ref().map(Secret::expose), Some(&b"secret"[..]));
    assert_eq!((first.terms.ttl_security, first.hold_time), (Some(1), Some(0)));
    let limits = first.terms.maximum_prefixes.as_ref().unwrap();
    assert_eq!(limits.limits, [(Family::EVPN, 1000), (Family::VPNV6, 10)].into());
    assert_eq!((limits.warning, limits.restart), (50, 0));
    assert_eq!((first.import, first.export, first.next_hop), Default::default());
    // RFC 8212: nothing from another AS, or to it, unless somebody says so.
    assert_eq!((second.import, second.export), (Import::None, Export::Own));
    assert_eq!((second.next_hop, second.terms.ttl_security), (NextHopPolicy::Ourselves, Some(3)));
    let reflector = config.bgp.reflector.as_ref().unwrap();
    assert_eq!((reflector.maximum_clients, reflector.terms.ttl_security), (7, None));
    assert_eq!(reflector.terms.password.as_ref().map(Secret::expose), Some(&b"other"[..]));

    let tcp_ao = third.terms.tcp_ao.clone();
    let expected =
        TcpAo { key_id: 7, receive_id: 9, algorithm: AoAlgorithm::Aes128Cmac, key: "other secret".into() };
    assert_eq!((third.terms.password.as_ref(), tcp_ao.as_ref()), (None, Some(&expected)));

    // What a peer has no terms of its own for is as for clients.
    let terms = second.terms.clone().or(&reflector.terms);
    assert_eq!((terms.ttl_security, terms.password), (Some(3), reflector.terms.password.clone()));
    assert_eq!(terms.add_paths, Some(AddPathsTerms { receive: false, send: 8 }));
    let terms = first.terms.clone().or(&reflector.terms);
    assert_eq!(terms.add_paths, Some(AddPathsTerms { receive: true, send: 0 }));
    let terms = first.terms.clone().or(&Terms { password: None, tcp_ao: tcp_ao.clone(), ..Terms::default() });
    assert_eq!((terms.password, terms.tcp_ao), (first.terms.password.clone(), None));
    let terms = second.terms.clone().or(&Terms { tcp_ao: tcp_ao.clone(), ..reflector.terms.clone() });
    assert_eq!(terms.tcp_ao, tcp_ao);
    // Nobody is shown a password.
    for shown in [serde_json::to_string(&config).unwrap(), format!("{config:?}")] {
        assert!(
            !shown.contains("secret") && !shown.contains("other") && shown.contains("(hidden)"),
            "{shown}"
        );
    }
}

#[test]
fn a_reflector_listens_without_being_told() {
    let text = "[bgp]\nlocal_address = \"10.0.0.1\"\nas_number = 1\n[bgp.reflector]\n[dataplane]\ndriver = \"none\"\n";
    let local = "10.0.0.1".parse().unwrap();
    assert_eq!(parse(text).unwrap().bgp_listen(local), ["10.0.0.1:179".parse().unwrap()]);
}

#[test]
fn an_ipv6_address_needs_a_router_id() {
    let text = "[bgp]\nlocal_address = \"2001:db8::1\"\nas_number = 1\n[dataplane]\ndriver = \"none\"\n";
    let address = "2001:db8::1".parse().unwrap();
    assert!(matches!(parse(text).unwrap().router_id(address), Err(AddressError::NoRouterId(_))));
    let text = text.replace("as_number", "router_id = \"10.0.0.1\"\nas_number");
    assert_eq!(parse(&text).unwrap().router_id(address).unwrap(), Ipv4Addr::new(10, 0, 0, 1));
}

#[test]
fn what_is_missing_is_named_with_its_remedy() {
    let text = parse("").unwrap_err().to_string();
    assert!(text.contains("b.toml:1: bgp.local_address: missing; write local_address"), "{text}");
    assert!(text.contains("bgp.as_number: missing"), "{text}");
    assert!(text.contains("dataplane.underlay: missing"), "{text}");
}

#[test]
fn unknown_keys_are_named_with_their_line_and_the_nearest_known_key() {
    let none = "[dataplane]\ndriver = \"none\"\n";
    for (bgp, rest, expected) in [
        ("hold_tiem = 3", none, "b.toml:4: bgp.hold_tiem: unknown key; did you mean 'hold_time'?"),
        ("xyzzy = 3", none, "b.toml:4: bgp.xyzzy: unknown key"),
        (
            "",
            "[datapalne]\n[dataplane]\ndriver=\"none\"",
            "b.toml:5: datapalne: unknown key; did you mean 'dataplane'?",
        ),
        (
            "[[bgp.peers]]\naddress=\"10.0.0.2\"\nport_ = 1",
            none,
            "b.toml:6: bgp.peers[0].port_: unknown key; did you mean 'port'?",
        ),
        (
            "[bgp.reflector]\nclient = []",
            none,
            "b.toml:5: bgp.reflector.client: unknown key; did you mean 'clients'?",
        ),
    ] {
        assert_eq!(complaint(bgp, rest), expected);
    }
}

#[test]
fn values_that_cannot_be_are_named_with_cause_and_remedy() {
    let none = "[dataplane]\ndriver = \"none\"\n";
    for (bgp, rest, expected) in [
        (
            "hold_time = 2",
            none,
            "b.toml:4: bgp.hold_time: 2 is out of range; use 0 or a number from 3 to 65535",
        ),
        (
            "hold_time = 70000",
            none,
            "b.toml:4: bgp.hold_time: 70000 is out of range; use a number from 0 to 65535",
        ),
        ("hold_time = -1", none, "b.toml:4: bgp.hold_time: -1 is out of range; use a number from 0 to 65535"),
        ("hold_time = \"90\"", none, "b.toml:4: bgp.hold_time: string where an integer is expected"),
        ("listen = \"10.0.0.1:179\"", none, "b.toml:4: bgp.listen: string where an array is expected"),
        (
            "listen = [\"10.0.0.1\"]",
            none,
            "b.toml:4: bgp.listen[0]: '10.0.0.1' cannot be read; use ADDRESS:PORT",
        ),
        ("router_id = \"0.0.0.0\"", none, "b.toml:4: bgp.router_id: the router id is zero"),
        ("[bgp.bmp]", none, "b.toml:4: bgp.bmp.station: missing; write station"),
        (
            "[bgp.bmp]\nstation = \"192.0.2.9\"",
            none,
            "bgp.bmp.station: '192.0.2.9' cannot be read; use ADDRESS:PORT",
        ),
        ("[[bgp.peers]]", none, "b.toml:4: bgp.peers[0].address: missing; write address"),
        ("[[bgp.peers]]\naddress = \"nine\"", none, "b.toml:5: bgp.peers[0].address: 'nine' cannot be read"),
        (
            "[[bgp.peers]]\naddress = \"10.0.0.2\"\nport = 0",
            none,
            "b.toml:6: bgp.peers[0].port: 0 is out of range",
        ),
        (
            "[[bgp.peers]]\naddress = \"10.0.0.2\"\npassword = \"\"",
            none,
            "bgp.peers[0].password: has 0 octets; use 1 to 80",
        ),
        (
            "[[bgp.peers]]\naddress = \"10.0.0.2\"\npassword = \"x\"\ntcp_ao = { key_id = 1, receive_id = 1, key = \"y\" }",
            none,
            "b.toml:7: bgp.peers[0].tcp_ao: stands beside a password; remove one",
        ),
        (
            "[[bgp.peers]]\naddress = \"10.0.0.2\"\ntcp_ao = { key_id = 256, receive_id = 1, key = \"y\" }",
            none,
            "bgp.peers[0].tcp_ao.key_id: 256 is out of range",
        ),
        (
            "[[bgp.peers]]\naddress = \"10.0.0.2\"\ntcp_ao = { key_id = 1, key = \"y\" }",
            none,
            "bgp.peers[0].tcp_ao.receive_id: missing; write a number from 0 to 255",
        ),
        (
            "[[bgp.peers]]\naddress = \"10.0.0.2\"\ntcp_ao = { key_id = 1, receive_id = 1 }",
            none,
            "bgp.peers[0].tcp_ao.key: missing; write the key",
        ),
        (
            "[[bgp.peers]]\naddress = \"10.0.0.2\"\ntcp_ao = { key_id = 1, receive_id = 1, key = \"y\", algorithm = \"md5\" }",
            none,
            "bgp.peers[0].tcp_ao.algorithm: 'md5' is not an algorithm; use \"hmac-sha-1-96\"",
        ),
        (
            "[[bgp.peers]]\naddress = \"10.0.0.2\"\nttl_security = 255",
            none,
            "bgp.peers[0].ttl_security: 255 is out of range; use a number from 1 to 254",
        ),
        (
            "[[bgp.peers]]\naddress = \"10.0.0.2\"\nmaximum_prefixes = { evnp = 3 }",
            none,
            "bgp.peers[0].maximum_prefixes.evnp: unknown key; did you mean 'evpn'?",
        ),
        (
            "[bgp.reflector]\nmaximum_prefixes = { warning = 3 }",
            none,
            "bgp.reflector.maximum_prefixes: limits no family",
        ),
        (
            "[[bgp.peers]]\naddress = \"10.0.0.2\"\nadd_paths = { send = 65536 }",
            none,
            "bgp.peers[0].add_paths.send: 65536 is out of range; use a number from 0 to 65535",
        ),
        (
            "[[bgp.peers]]\naddress = \"10.0.0.2\"\nexport = \"some\"",
            none,
            "bgp.peers[0].export: 'some' is not a policy; use \"all\", \"own\" or \"none\"",
        ),
        (
            "[[bgp.peers]]\naddress = \"10.0.0.2\"\nhold_time = 2",
            none,
            "bgp.peers[0].hold_time: 2 is out of range; use 0 or a number from 3 to 65535",
        ),
        (
            "[[bgp.peers]]\naddress = \"10.0.0.2\"\nfamilies = [\"ipv4-unicast\"]",
            none,
            "bgp.peers[0].families[0]: ipv4-unicast is not spoken",
        ),
        (
            "[[bgp.peers]]\naddress = \"10.0.0.2\"\nfamilies = []",
            none,
            "bgp.peers[0].families: no family at all; use some of \"evpn\"",
        ),
        (
            "[[bgp.peers]]\naddress = \"10.0.0.2\"\n[[bgp.peers]]\naddress = \"10.0.0.2\"",
            none,
            "10.0.0.2 is there twice",
        ),
        (
            "[bgp.reflector]\nclients = [\"10.0.0.0/33\"]",
            none,
            "bgp.reflector.clients[0]: '10.0.0.0/33' is not a prefix",
        ),
        (
            "",
            "[dataplane]\ndriver = \"ovs\"\nunderlay = [\"eth0\"]",
            "dataplane.driver: 'ovs' is not a driver",
        ),
        ("", "[dataplane]\nunderlay = [\"a/b\"]", "dataplane.underlay[0]: 'a/b' is not an interface name"),
        ("", "[dataplane]\nunderlay = []", "dataplane.underlay: missing"),
        ("", "[dataplane]\ndriver = \"none\"\nmpls = \"ip\"", "dataplane.mpls: not an encapsulation of MPLS"),
        (
            "",
            "[dataplane]\ndriver = \"none\"\nmaximum_routes = 0",
            "dataplane.maximum_routes: 0 is out of range",
        ),
        ("", "[dataplane]\ndriver = \"none\"\nttl = \"long\"", "dataplane.ttl: 'long' is not a model"),
        (
            "",
            "[dataplane]\ndriver = \"none\"\ngateway_mac = \"01:00:5e:00:00:01\"",
            "dataplane.gateway_mac: 01:00:5e:00:00:01 is not",
        ),
        (
            "",
            "[dataplane]\ndriver = \"none\"\n[vpn]\nipvpn_encapsulation = \"ip\"",
            "vpn.ipvpn_encapsulation: 'ip' is not an encapsulation",
        ),
        ("", "[dataplane]\ndriver = \"none\"\n[vpn]\nvnis = \"9-1\"", "vpn.vnis: '9-1' is not a range"),
        (
            "",
            "[dataplane]\ndriver = \"none\"\n[vpn]\nduplicate_mac_window = 0",
            "vpn.duplicate_mac_window: 0 is out of range",
        ),
        ("", "[dataplane]\ndriver = \"none\"\n[vpn]\nlabels = \"3-99\"", "vpn.labels: '3-99' is not a range"),
        ("", "[dataplane]\ndriver = \"none\"\n[api]\nlisten = \"0.0.0.0:8082\"", "open to the network"),
        (
            "",
            "[dataplane]\ndriver = \"none\"\n[api]\nsocket = \"b.sock\"",
            "api.socket: 'b.sock' is not an absolute path",
        ),
        ("", "[dataplane", "b.toml:5: not valid TOML"),
    ] {
        let text = complaint(bgp, rest);
        assert!(text.contains(expected), "{text}\nlacks\n{expected}");
    }
}

#[test]
fn all_problems_are_told_at_once_in_the_order_of_the_file() {
    let text = complaint("hold_time = 1\nlisten = 3", "[dataplane]\ndriver = \"none\"\nvxlan_port = 0");
    let lines: Vec<_> =
        text.lines().map(|line| line.split(": ").take(2).collect::<Vec<_>>().join(": ")).collect();
    assert_eq!(lines, ["b.toml:4: bgp.hold_time", "b.toml:5: bgp.listen", "b.toml:8: dataplane.vxlan_port"]);
}

#[test]
fn names_that_become_paths_and_interfaces_are_checked() {
    for good in ["default", "a", "node-1", "n_2"] {
        assert!(is_instance_name(good), "{good}");
    }
    for bad in ["", "../x", "a b", "-x", "thirteenchars"] {
        assert!(!is_instance_name(bad), "{bad}");
    }
    assert!(
        is_interface_name("tap0.31") && !is_interface_name("sixteen-is-too-l") && !is_interface_name("..")
    );
}

#[test]
fn prefixes_contain_their_addresses() {
    for (prefix, address, expected) in [
        (("10.0.0.0", 24), "10.0.0.255", true),
        (("10.0.0.0", 24), "10.0.1.0", false),
        (("10.0.0.1", 32), "10.0.0.1", true),
        (("10.0.0.1", 32), "10.0.0.0", false),
        (("0.0.0.0", 0), "192.0.2.1", true),
        (("0.0.0.0", 0), "2001:db8::1", false),
        (("2001:db8::", 64), "2001:db8::1", true),
        (("::", 0), "2001:db8::1", true),
    ] {
        let prefix = Prefix { address: prefix.0.parse().unwrap(), length: prefix.1 };
        assert_eq!(prefix.contains(address.parse().unwrap()), expected, "{prefix:?} {address}");
    }
}
