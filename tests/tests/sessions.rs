//! Sessions with speakers that nobody here wrote, on special terms: signed, near, over IPv4 and IPv6, opened by either
//! side.

use bagpipe_agent::lab::{Agent, Lab, LabError, Node, wait_until};
use bagpipe_tests::frr::Frr;
use bagpipe_tests::gobgp::Reflector;
use bagpipe_tests::{SOON, bagpipe};

const PASSWORD: &str = "a-key:of_1number";

/// Two nodes on one link.
struct Link {
    ours: Node,
    theirs: Node,
    /// Our address and theirs.
    addresses: [&'static str; 2],
    lab: Lab,
}

const IPV4: [&str; 2] = ["10.99.0.1", "10.99.0.2"];
const IPV6: [&str; 2] = ["fd99::1", "fd99::2"];

/// Who opens the connection; the other one waits.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Opens {
    We,
    They,
}

impl Link {
    fn new(addresses: [&'static str; 2]) -> Result<Self, LabError> {
        let lab = Lab::new()?;
        let (ours, theirs) = (lab.node("ours")?, lab.node("theirs")?);
        lab.link((&ours, "eth0"), (&theirs, "eth0"))?;
        let length = if addresses == IPV4 { 24 } else { 64 };
        for (node, address) in [&ours, &theirs].into_iter().zip(addresses) {
            node.address("eth0", &format!("{address}/{length}"))?;
        }
        // FRR wants a link-local address beside a global one (RFC 2545 §3).
        theirs.address("eth0", "fe80::2/64")?;
        Ok(Self { ours, theirs, addresses, lab })
    }

    fn agent(&self, opens: Opens, terms: &str) -> Result<Agent, LabError> {
        self.agent_with("", opens, terms)
    }

    /// An agent with keys of its own in `[bgp]`, and in `[[bgp.peers]]`.
    fn agent_with(&self, keys: &str, opens: Opens, terms: &str) -> Result<Agent, LabError> {
        let [ours, theirs] = self.addresses;
        let socket = if ours.contains(':') { format!("[{ours}]:179") } else { format!("{ours}:179") };
        let text = format!(
            "[bgp]\nlocal_address = \"{ours}\"\nrouter_id = \"10.99.0.1\"\nas_number = 64512\n\
             listen = [\"{socket}\"]\nhold_time = 9\n{keys}\n\
             [[bgp.peers]]\naddress = \"{theirs}\"\npassive = {}\n{terms}\n\
             [dataplane]\ndriver = \"none\"\n",
            opens == Opens::They
        );
        Agent::configured(&self.lab, &bagpipe(), &self.ours, &text)
    }

    fn gobgp(&self, opens: Opens, terms: &str) -> Result<Reflector, LabError> {
        self.gobgp_with(64_512, opens, terms, "")
    }

    /// GoBGP in an AS, with terms of the peer, and of its family.
    fn gobgp_with(&self, asn: u32, opens: Opens, terms: &str, family: &str) -> Result<Reflector, LabError> {
        let [ours, theirs] = self.addresses;
        let text = format!(
            r#"
[global.config]
as = {asn}
router-id = "10.99.0.2"
local-address-list = ["{theirs}"]
[[neighbors]]
[neighbors.config]
neighbor-address = "{ours}"
peer-as = 64512
{terms}
[neighbors.transport.config]
passive-mode = {}
local-address = "{theirs}"
[neighbors.timers.config]
connect-retry = 1
[[neighbors.afi-safis]]
[neighbors.afi-safis.config]
afi-safi-name = "l2vpn-evpn"
{family}
"#,
            opens == Opens::We
        );
        Reflector::configured(&self.lab, &self.theirs, &text)
    }

    fn frr(&self, opens: Opens, terms: &[&str]) -> Result<Frr, LabError> {
        let [ours, theirs] = self.addresses;
        let terms: String = terms.iter().map(|term| format!(" neighbor {ours} {term}\n")).collect();
        let passive = if opens == Opens::We { format!(" neighbor {ours} passive\n") } else { String::new() };
        let text = format!(
            "router bgp 64512\n bgp router-id 10.99.0.2\n no bgp default ipv4-unicast\n neighbor {ours} remote-as 64512\n \
             neighbor {ours} update-source {theirs}\n neighbor {ours} timers connect 1\n{terms}{passive} \
             address-family l2vpn evpn\n  neighbor {ours} activate\n exit-address-family\n"
        );
        Frr::start(&self.lab, &self.theirs, &text)
    }
}

fn terms() -> String {
    format!("password = \"{PASSWORD}\"\nttl_security = true")
}

/// Waits until the agent has its session, and says what was agreed on.
fn established(agent: &Agent) -> Result<serde_json::Value, LabError> {
    wait_until(SOON, "the session", || {
        let peers = agent.json(&["show", "peers"]).ok()?;
        let peer = peers.get(0)?;
        (peer.get("state")? == "established").then(|| peer.clone())
    })
}

const ATTACH: [&str; 11] = [
    "attach",
    "--vpn",
    "blue",
    "--port",
    "tap0",
    "--mac",
    "02:00:00:00:00:01",
    "--ip",
    "192.168.10.1",
    "--rt",
    "64512:10",
];

#[test]
fn gobgp_signed_and_near() -> Result<(), LabError> {
    for (addresses, opens) in [(IPV4, Opens::We), (IPV4, Opens::They), (IPV6, Opens::We), (IPV6, Opens::They)]
    {
        let link = Link::new(addresses)?;
        let theirs = format!(
            "auth-password = \"{PASSWORD}\"\n[neighbors.ttl-security.config]\nenabled = true\nttl-min = 255"
        );
        let gobgp = link.gobgp(opens, &theirs)?;
        let agent = link.agent(opens, &terms())?;
        established(&agent)?;
        agent.cli(&ATTACH)?;
        wait_until(SOON, "GoBGP has the routes", || (gobgp.evpn_routes() == 2).then_some(()))?;
    }
    Ok(())
}

#[test]
fn frr_signed_and_near() -> Result<(), LabError> {
    for (addresses, opens) in [(IPV4, Opens::We), (IPV4, Opens::They), (IPV6, Opens::We), (IPV6, Opens::They)]
    {
        let link = Link::new(addresses)?;
        let frr = link.frr(opens, &[&format!("password {PASSWORD}"), "ttl-security hops 1"])?;
        let agent = link.agent(opens, &terms())?;
        let peer = established(&agent)?;
        assert_eq!(peer["negotiated"]["enhanced_route_refresh"], true, "{peer}");
        agent.cli(&ATTACH)?;
        // It takes no E-VPN routes with an IPv6 next hop.
        if addresses == IPV4 {
            let routes = || frr.json("show bgp l2vpn evpn").unwrap_or_default()["numPrefix"].as_u64();
            wait_until(SOON, "FRR has the routes", || (routes() == Some(2)).then_some(()))?;
        }
    }
    Ok(())
}

/// Has GoBGP announce a MAC address.
fn announce(gobgp: &Reflector) -> Result<(), LabError> {
    let route = ["macadv", "02:00:00:00:00:09", "192.168.10.9", "etag", "0", "label", "10"];
    let more = ["rd", "10.99.0.2:10", "rt", "64512:10", "encap", "vxlan", "nexthop", "10.99.0.2"];
    gobgp.gobgp(&[&["global", "rib", "add", "-a", "evpn"][..], &route, &more].concat()).map(drop)
}

/// RFC 8950: VPN-IPv4 routes over an IPv6 session, with an IPv6 next hop.
#[test]
fn gobgp_sends_ipv6_next_hops() -> Result<(), LabError> {
    let link = Link::new(IPV6)?;
    let more =
        "[[neighbors.afi-safis]]\n[neighbors.afi-safis.config]\nafi-safi-name = \"l3vpn-ipv4-unicast\"";
    let gobgp = link.gobgp_with(64_512, Opens::We, "", more)?;
    let agent = link.agent(Opens::We, "")?;
    let peer = established(&agent)?;
    assert_eq!(peer["negotiated"]["extended_next_hop"], true, "{peer}");
    agent.cli(&ATTACH)?;
    let add = [
        "global",
        "rib",
        "add",
        "-a",
        "vpnv4",
        "192.0.2.0/24",
        "label",
        "100",
        "rd",
        "64512:1",
        "rt",
        "64512:10",
    ];
    gobgp.gobgp(&[&add[..], &["nexthop", "fd99::2"]].concat())?;
    let route = wait_until(SOON, "the route", || {
        let routes = agent.json(&["show", "routes"]).ok()?;
        routes.as_array()?.iter().find(|route| route.to_string().contains("192.0.2.0/24")).cloned()
    })?;
    assert_eq!(route["next_hop"], "fd99::2", "{route}");
    Ok(())
}

/// Routes cross the border of the AS both ways when the configuration says so, and else they do not (RFC 8212).
#[test]
fn gobgp_in_another_as() -> Result<(), LabError> {
    for (policy, crossing) in [("import = \"all\"\nexport = \"own\"", true), ("", false)] {
        let link = Link::new(IPV4)?;
        let gobgp = link.gobgp_with(64_513, Opens::They, "", "")?;
        let agent = link.agent(Opens::They, &format!("as_number = 64513\n{policy}"))?;
        established(&agent)?;
        agent.cli(&ATTACH)?;
        announce(&gobgp)?;
        if crossing {
            wait_until(SOON, "GoBGP has our routes", || (gobgp.evpn_routes() == 3).then_some(()))?;
            let path = gobgp.gobgp(&["global", "rib", "-a", "evpn"])?;
            assert!(path.contains("64512"), "{path}");
            let routes = || agent.json(&["show", "routes"]).unwrap_or_default();
            let theirs = wait_until(SOON, "we have theirs", || {
                routes().as_array()?.iter().find(|route| route["source"] != "local").cloned()
            })?;
            assert_eq!(theirs["attributes"]["as_path"], "64513", "{theirs}");
            assert_eq!(theirs["next_hop"], "10.99.0.2", "{theirs}");
        } else {
            // What it sends has arrived, and is not taken.
            let updates =
                || agent.json(&["show", "peers"]).ok()?.pointer("/0/counters/received/updates")?.as_u64();
            wait_until(SOON, "UPDATEs of GoBGP", || (updates()? > 0).then_some(()))?;
            let peer = established(&agent)?;
            assert_eq!((&peer["received"], &peer["sent"]), (&0.into(), &0.into()), "{peer}");
            assert_eq!(gobgp.evpn_routes(), 1);
        }
    }
    Ok(())
}

/// RFC 9494, either side being the one that stays away.
#[test]
fn gobgp_and_we_keep_routes_for_long() -> Result<(), LabError> {
    let link = Link::new(IPV4)?;
    let restart = "[neighbors.graceful-restart.config]\nenabled = true\nrestart-time = 1\nlong-lived-enabled = true\nnotification-enabled = true";
    let family = "[neighbors.afi-safis.mp-graceful-restart.config]\nenabled = true\n\
                  [neighbors.afi-safis.long-lived-graceful-restart.config]\nenabled = true\nrestart-time = 100";
    let mut gobgp = link.gobgp_with(64_512, Opens::We, restart, family)?;
    let mut agent = link.agent_with("restart_time = 1\nlong_lived_restart_time = 100", Opens::We, "")?;
    let peer = established(&agent)?;
    assert_eq!(peer.pointer("/negotiated/long_lived/0/time"), Some(&100.into()), "{peer}");
    agent.cli(&ATTACH)?;
    announce(&gobgp)?;
    let has_route = || agent.cli(&["show", "routes"]).is_ok_and(|text| text.contains("02:00:00:00:00:09"));
    wait_until(SOON, "the route", || has_route().then_some(()))?;
    wait_until(SOON, "GoBGP has ours", || (gobgp.evpn_routes() == 3).then_some(()))?;

    gobgp.kill();
    let long_lived =
        || agent.json(&["show", "peers"]).ok()?.pointer("/0/long_lived")?.as_array().map(Vec::len);
    wait_until(SOON, "the restart time is over", || (long_lived() == Some(1)).then_some(()))?;
    assert!(has_route());
    gobgp.resume()?;
    wait_until(SOON, "what is not announced again is gone", || (!has_route()).then_some(()))?;
    established(&agent)?;
    assert_eq!(long_lived(), Some(0));

    wait_until(SOON, "GoBGP has ours again", || (gobgp.evpn_routes() == 2).then_some(()))?;
    agent.kill();
    let marked =
        || gobgp.gobgp(&["global", "rib", "-a", "evpn"]).is_ok_and(|text| text.contains("llgr-stale"));
    wait_until(SOON, "GoBGP keeps ours as the last resort", || marked().then_some(()))?;
    agent.resume()?;
    wait_until(SOON, "as good as ever", || (!marked() && gobgp.evpn_routes() == 2).then_some(()))
}

/// A refresh that FRR asks for is marked, and FRR keeps what comes between the marks.
#[test]
fn frr_has_its_routes_sent_again() -> Result<(), LabError> {
    let link = Link::new(IPV4)?;
    let frr = link.frr(Opens::They, &[])?;
    let agent = link.agent(Opens::They, "")?;
    established(&agent)?;
    agent.cli(&ATTACH)?;
    let routes = || frr.json("show bgp l2vpn evpn").unwrap_or_default()["numPrefix"].as_u64();
    wait_until(SOON, "FRR has the routes", || (routes() == Some(2)).then_some(()))?;
    frr.vtysh("clear bgp l2vpn evpn 10.99.0.1 soft in")?;
    wait_until(SOON, "both marks sent", || {
        let sent = agent.json(&["show", "peers"]).ok()?;
        (sent.pointer("/0/counters/sent/route_refreshes")?.as_u64()? >= 2).then_some(())
    })?;
    established(&agent)?;
    assert_eq!(routes(), Some(2));
    Ok(())
}

/// Operators of different speakers tell each other why a session ends (RFC 9003, RFC 8538 §3.1). FRR shows the reason,
/// and keeps the words to itself.
#[test]
fn frr_is_told_and_tells_why() -> Result<(), LabError> {
    let link = Link::new(IPV4)?;
    let frr = link.frr(Opens::They, &[])?;
    let agent = link.agent(Opens::They, "")?;
    established(&agent)?;
    agent.cli(&["peer", "reset", "10.99.0.2", "--message", "new cables, back at 4"])?;
    let told = |reason: &str| {
        wait_until(SOON, reason, || {
            frr.vtysh("show bgp neighbors 10.99.0.1").ok()?.contains(reason).then_some(())
        })
    };
    told("Notification received (Cease/Administrative Reset)")?;
    established(&agent)?;
    agent.cli(&["peer", "shutdown", "10.99.0.2", "--message", "new cables, back at 4"])?;
    told("Notification received (Cease/Administrative Shutdown/Hard Reset)")?;
    agent.cli(&["peer", "enable", "10.99.0.2"])?;
    established(&agent)?;
    frr.vtysh("configure\nrouter bgp 64512\nneighbor 10.99.0.1 shutdown message it is our turn")?;
    wait_until(SOON, "we show the words", || {
        agent.cli(&["show", "peers"]).ok()?.contains("it is our turn").then_some(())
    })
}
