//! VPN-IPv4, VPN-IPv6 and E-VPN routes of IP-VPNs, exchanged with GoBGP and FRR both ways and reflected by them: what
//! each speaker has is compared field by field.

use std::collections::BTreeSet;

use bagpipe_agent::lab::{Agent, Capture, Lab, LabError, Node, wait_until};
use bagpipe_tests::edges::Family;
use bagpipe_tests::fabric::{UNDERLAY, node_on};
use bagpipe_tests::frr::Frr;
use bagpipe_tests::gobgp::Reflector;
use bagpipe_tests::routes::{Kind, Route, of_agent, of_frr, of_gobgp};
use bagpipe_tests::{SOON, bagpipe, tshark};

const TARGET: &str = "64512:100";
/// Router ids of a site that routes labelled packets, of one that is also an E-VPN's router, and of the reflector.
const ROUTER_IDS: [&str; 2] = ["10.98.0.1", "10.98.0.2"];
const REFLECTOR: &str = "10.98.0.254";
const SITE: &str = "02:00:00:00:01:01";
const HOST: &str = "02:00:00:00:01:02";
/// The Router's MAC of our agents, and that of the reflector's route.
const ROUTER: &str = "02:00:00:00:77:02";
const THEIR_ROUTER: &str = "02:00:00:00:77:fe";
/// VNIs of the second agent's E-VPN and IP-VPN.
const L2: &str = "500";
const L3: &str = "1000";

#[test]
fn gobgp() -> Result<(), LabError> {
    with_gobgp(Family::V4)
}

/// All next hops are IPv6 addresses then, also those of VPN-IPv4 routes (RFC 8950).
#[test]
fn gobgp_over_ipv6() -> Result<(), LabError> {
    with_gobgp(Family::V6)
}

fn with_gobgp(family: Family) -> Result<(), LabError> {
    let ours = Ours::new(family)?;
    let families = ["l3vpn-ipv4-unicast", "l3vpn-ipv6-unicast", "l2vpn-evpn", "rtc"];
    let itself = (ours.addresses[2].as_str(), REFLECTOR);
    let gobgp = Reflector::of_families(&ours.lab, &ours.reflector, itself, &ours.clients(), &families)?;
    let capture = Capture::start(&ours.reflector, UNDERLAY, "tcp port 179")?;
    let agents = ours.agents()?;
    attach(&agents)?;

    let common = ["rd", "64512:7", "rt", TARGET, "nexthop", &ours.addresses[2]];
    let change = |verb: &str| {
        for (family, route) in
            [("vpnv4", &["10.2.0.0/16", "label", "700"][..]), ("vpnv6", &["fd02::/32", "label", "701"])]
        {
            let words = ["global", "rib", verb, "-a", family];
            gobgp.gobgp(&[&words[..], route, &common].concat())?;
        }
        let words = ["global", "rib", verb, "-a", "evpn", "prefix", "10.3.0.0/16", "etag", "0"];
        let tunnel = ["encap", "vxlan", "router-mac", THEIR_ROUTER];
        let [rd, rd_value, more @ ..] = common;
        gobgp.gobgp(&[&words[..], &["label", "800", rd, rd_value], &more, &tunnel].concat()).map(drop)
    };
    change("add")?;
    let mut theirs = their_routes(&ours.addresses[2], 800);
    let prefix = theirs.iter_mut().find(|route| route.kind == Kind::IpPrefix).expect("a prefix");
    prefix.communities.insert("encap:8".to_owned());
    ours.converge(&agents, &theirs, || of_gobgp(&gobgp))?;
    behind_a_gateway(&agents, &gobgp, common)?;

    detach(&agents[0])?;
    change("del")?;
    ours.converge(&agents, &[], || of_gobgp(&gobgp))?;
    tshark::assert_well_formed(&capture.stop()?, &WIRE);
    Ok(())
}

/// A prefix behind a host of the E-VPN (RFC 9136 §4.1) goes wherever that host is.
fn behind_a_gateway(agents: &[Agent; 2], gobgp: &Reflector, common: [&str; 6]) -> Result<(), LabError> {
    let route = ["prefix", "10.4.0.0/16", "gw", "10.5.0.2", "etag", "0", "label", "0"];
    let change =
        |verb: &str| gobgp.gobgp(&[&["global", "rib", verb, "-a", "evpn"][..], &route, &common].concat());
    change("add")?;
    for agent in agents {
        let shown = |arguments: &[&str], place: &str, prefix: &str| {
            let routes = agent.json(arguments).ok()?;
            routes.as_array()?.iter().find(|route| route.pointer(place) == Some(&prefix.into())).cloned()
        };
        let what = "prefix behind a gateway";
        let received = wait_until(SOON, what, || shown(&["show", "routes"], "/nlri/prefix", "10.4.0.0/16"))?;
        assert_eq!(received["nlri"]["gateway"], "10.5.0.2", "{received}");
        let hops = |prefix: &str| {
            let route =
                wait_until(SOON, prefix, || shown(&["show", "routes", "--vpn", "red"], "/prefix", prefix));
            Ok::<_, LabError>(route?["hops"].clone())
        };
        let gateway = hops("10.5.0.2/32")?;
        assert!(gateway.as_array().is_some_and(|hops| hops.len() == 1), "{gateway}");
        assert_eq!(hops("10.4.0.0/16")?, gateway);
    }
    change("del").map(drop)
}

#[test]
fn frr() -> Result<(), LabError> {
    let ours = Ours::new(Family::V4)?;
    let frr = Frr::start(&ours.lab, &ours.reflector, &frr_reflector(&ours.clients()))?;
    let capture = Capture::start(&ours.reflector, UNDERLAY, "tcp port 179")?;
    let agents = ours.agents()?;
    attach(&agents)?;
    // What is configured as a label stands in the upper 20 of the 24 bits, above the bottom-of-stack bit.
    let theirs = their_routes(&ours.addresses[2], 800 << 4 | 1);
    ours.converge(&agents, &theirs, || of_frr(&frr))?;

    detach(&agents[0])?;
    let family = |family: &str, network: &str| {
        format!("address-family {family}\nno network {network}\nexit-address-family\n")
    };
    let networks = [
        family("ipv4 vpn", "10.2.0.0/16 rd 64512:7 label 700"),
        family("ipv6 vpn", "fd02::/32 rd 64512:7 label 701"),
        family("l2vpn evpn", FRR_PREFIX),
    ];
    frr.vtysh(&format!("configure\nrouter bgp 64512\n{}", networks.concat()))?;
    ours.converge(&agents, &[], || of_frr(&frr))?;
    tshark::assert_well_formed(&capture.stop()?, &WIRE);
    Ok(())
}

/// What is on the wire: UPDATEs of all three families.
const WIRE: [&str; 3] = [
    "bgp.update.path_attribute.mp_reach_nlri.afi == 1 && bgp.update.path_attribute.mp_reach_nlri.safi == 128",
    "bgp.update.path_attribute.mp_reach_nlri.afi == 2 && bgp.update.path_attribute.mp_reach_nlri.safi == 128",
    "bgp.evpn.nlri.rt == 5",
];

/// The nodes of two agents and of a reflector, and the addresses of all three.
struct Ours {
    nodes: [Node; 2],
    reflector: Node,
    addresses: [String; 3],
    family: Family,
    lab: Lab,
}

impl Ours {
    fn new(family: Family) -> Result<Self, LabError> {
        let lab = Lab::new()?;
        let underlay = lab.switch("underlay")?;
        let node = |name: &str, number: u8| node_on(&lab, &underlay, name, &family.prefix(number));
        let nodes = [node("site", 1)?, node("gateway", 2)?];
        let reflector = node("reflector", 254)?;
        let addresses = [1, 2, 254].map(|number| family.node(number));
        Ok(Self { nodes, reflector, addresses, family, lab })
    }

    fn clients(&self) -> String {
        self.family.prefix(0)
    }

    fn agents(&self) -> Result<[Agent; 2], LabError> {
        let agent = |number: usize, encapsulation: &str| {
            let text = format!(
                "[bgp]\nlocal_address = \"{}\"\nrouter_id = \"{}\"\nas_number = 64512\nhold_time = 9\n\
                 [[bgp.peers]]\naddress = \"{}\"\n\
                 [dataplane]\ndriver = \"none\"\nrouter_mac = \"{ROUTER}\"\n\
                 [vpn]\nipvpn_encapsulation = \"{encapsulation}\"\n",
                self.addresses[number], ROUTER_IDS[number], self.addresses[2]
            );
            Agent::configured(&self.lab, &bagpipe(), &self.nodes[number], &text)
        };
        Ok([agent(0, "mpls")?, agent(1, "vxlan")?])
    }

    /// Waits until the reflector and both agents have all routes, and the same: what the agents were told to announce,
    /// and `theirs` from the reflector.
    fn converge(
        &self,
        agents: &[Agent; 2],
        theirs: &[Route],
        reflected: impl Fn() -> Result<BTreeSet<Route>, LabError>,
    ) -> Result<(), LabError> {
        let attached = agents[0].json(&["show", "ports"])?.to_string().contains("10.1.1.2");
        let mut originated = BTreeSet::new();
        for (agent, address) in agents.iter().zip(&self.addresses) {
            originated
                .extend(of_tenant(of_agent(agent)?).into_iter().filter(|route| route.next_hop == *address));
        }
        assert_eq!(told(&originated), self.expected(attached));
        let all: BTreeSet<Route> = originated.iter().chain(theirs).cloned().collect();

        same("the reflector has", &originated, || {
            // Its own routes have neither next hop nor LOCAL_PREF before they are sent.
            Ok(of_tenant(reflected()?)
                .into_iter()
                .filter(|route| self.addresses[..2].contains(&route.next_hop))
                .collect())
        })?;
        for agent in agents {
            same(&format!("{} has", agent.node().name()), &all, || of_agent(agent).map(of_tenant))?;
            self.reflection_is_marked(agent)?;
        }
        Ok(())
    }

    /// RFC 4456 §8: who reflects a route says where it is from, and that it was there.
    fn reflection_is_marked(&self, agent: &Agent) -> Result<(), LabError> {
        let routes = agent.json(&["show", "routes"])?;
        for route in routes.as_array().into_iter().flatten() {
            let (attributes, next_hop) = (&route["attributes"], &route["next_hop"]);
            let originator = self.addresses.iter().zip(ROUTER_IDS).find(|(address, _)| next_hop == *address);
            if let Some((_, router_id)) = originator.filter(|_| route["source"] != "local") {
                assert_eq!(attributes["originator_id"], router_id, "{route}");
                assert_eq!(attributes["cluster_list"], serde_json::json!([REFLECTOR]), "{route}");
            }
        }
        Ok(())
    }

    /// What the agents are to announce.
    fn expected(&self, attached: bool) -> BTreeSet<Told> {
        let told = |kind, prefix: &str, next_hop: &str, local_pref, communities: &[&str]| {
            let communities = communities.iter().map(|&community| community.to_owned()).collect();
            (kind, prefix.to_owned(), next_hop.to_owned(), Some(local_pref), communities)
        };
        let labelled = ["encap:10", "encap:11", "encap:13", "rt:64512:100"];
        let router = format!("router-mac:{ROUTER}");
        let framed = ["encap:8", &router, "rt:64512:100"];
        let host = ["encap:8", &router, "rt:64512:100", "rt:64512:5"];
        let [site, gateway, _] = &self.addresses;
        let mut routes = BTreeSet::from([
            told(Kind::Vpn, "fd01:1::2/128", site, 100, &labelled),
            told(Kind::Vpn, "10.9.0.0/16", site, 100, &labelled),
            told(Kind::Vpn, "10.5.0.0/24", gateway, 100, &framed),
            told(Kind::Vpn, "10.5.0.2/32", gateway, 100, &framed),
            told(Kind::MacIp, &format!("{HOST} 10.5.0.2"), gateway, 100, &host),
            told(Kind::IpPrefix, "10.5.0.0/24", gateway, 100, &framed),
        ]);
        if attached {
            routes.insert(told(Kind::Vpn, "10.1.1.2/32", site, 200, &labelled));
        }
        routes
    }
}

/// The first agent has a host and a subnet; the second one a host in an E-VPN that is plugged into the IP-VPN.
fn attach([site, gateway]: &[Agent; 2]) -> Result<(), LabError> {
    let ipvpn = ["attach", "--type", "ipvpn", "--vpn", "red", "--rt", TARGET];
    let at_site =
        |words: &[&str]| site.cli(&[&ipvpn[..], &["--port", "tap0", "--mac", SITE], words].concat());
    at_site(&["--ip", "10.1.1.2/24", "--gateway-ip", "10.1.1.1", "--local-pref", "200"])?;
    at_site(&["--ip", "fd01:1::2/64", "--gateway-ip", "fd01:1::1"])?;
    at_site(&["--ip", "10.9.0.0/16", "--advertise-subnet"])?;

    let evpn = ["attach", "--type", "evpn", "--vpn", "blue", "--rt", "64512:5", "--vni", L2];
    gateway.cli(&[&evpn[..], &["--port", "tap1", "--mac", HOST, "--ip", "10.5.0.2/24"]].concat())?;
    let plug = ["--evpn", "blue", "--mac", "02:00:00:00:05:00", "--vni", L3, "--advertise-subnet"];
    gateway.cli(&[&ipvpn[..], &plug, &["--ip", "10.5.0.1/24"]].concat()).map(drop)
}

fn detach(site: &Agent) -> Result<(), LabError> {
    let words = ["detach", "--type", "ipvpn", "--vpn", "red", "--port", "tap0", "--mac", SITE];
    site.cli(&[&words[..], &["--ip", "10.1.1.2/24"]].concat()).map(drop)
}

/// The routes of the IP-VPN: who asks by RT Constraint is told of no others.
fn of_tenant(routes: BTreeSet<Route>) -> BTreeSet<Route> {
    let target = format!("rt:{TARGET}");
    routes.into_iter().filter(|route| route.communities.contains(&target)).collect()
}

/// Waits until a speaker has these routes; else says what differs.
fn same(
    who: &str,
    wanted: &BTreeSet<Route>,
    routes: impl Fn() -> Result<BTreeSet<Route>, LabError>,
) -> Result<(), LabError> {
    let outcome = wait_until(SOON, who, || (routes().ok()? == *wanted).then_some(()));
    if outcome.is_err() {
        let found = routes()?;
        let missing: Vec<_> = wanted.difference(&found).collect();
        let extra: Vec<_> = found.difference(wanted).collect();
        panic!("{who} not the same routes; missing {missing:#?}, unexpected {extra:#?}");
    }
    Ok(())
}

/// What was told to the agents: kind, prefix, next hop, LOCAL_PREF and communities. Labels and route distinguishers
/// are the agents' own choice, but for the VNIs.
type Told = (Kind, String, String, Option<u64>, Vec<String>);

fn told(routes: &BTreeSet<Route>) -> BTreeSet<Told> {
    for route in routes.iter().filter(|route| route.communities.contains("encap:8")) {
        let labels: &[u64] = if route.kind == Kind::MacIp { &[500, 1000] } else { &[1000] };
        assert_eq!(route.labels, labels, "{route:?}");
    }
    let told = |route: &Route| {
        let communities = route.communities.iter().cloned().collect();
        (route.kind, route.prefix.clone(), route.next_hop.clone(), route.local_pref, communities)
    };
    routes.iter().map(told).collect()
}

/// What the reflector originates itself.
fn their_routes(next_hop: &str, field: u64) -> Vec<Route> {
    let route = |kind, prefix: &str, label: u64| Route {
        kind,
        rd: "64512:7".to_owned(),
        prefix: prefix.to_owned(),
        labels: vec![label],
        next_hop: next_hop.to_owned(),
        local_pref: Some(100),
        communities: BTreeSet::from([format!("rt:{TARGET}")]),
    };
    let mut prefix = route(Kind::IpPrefix, "10.3.0.0/16", field);
    prefix.communities.insert(format!("router-mac:{THEIR_ROUTER}"));
    vec![route(Kind::Vpn, "10.2.0.0/16", 700), route(Kind::Vpn, "fd02::/32", 701), prefix]
}

/// How FRR knows its type 5 route; the Router's MAC is no part of that.
const FRR_PREFIX: &str =
    "10.3.0.0/16 rd 64512:7 ethtag 0 label 800 esi 00:00:00:00:00:00:00:00:00:00 gwip 0.0.0.0";

/// FRR announces networks that are in its configuration only; policies at the way out give them next hops, and
/// route targets to those that can't have them at the way in.
fn frr_reflector(clients: &str) -> String {
    let family = |family: &str, network: &str, policy: &str| {
        format!(
            " address-family {family}\n  neighbor clients activate\n  neighbor clients route-reflector-client\n  \
             neighbor clients route-map {policy} out\n  network {network}\n exit-address-family\n"
        )
    };
    let families = [
        family("ipv4 vpn", "10.2.0.0/16 rd 64512:7 label 700", "four"),
        family("ipv6 vpn", "fd02::/32 rd 64512:7 label 701", "six"),
        family("l2vpn evpn", &format!("{FRR_PREFIX} routermac {THEIR_ROUTER}"), "four"),
    ];
    format!(
        "route-map four permit 1\n set extcommunity rt {TARGET}\n set ip next-hop {REFLECTOR}\nexit\n\
         route-map six permit 1\n set extcommunity rt {TARGET}\n set ipv6 next-hop global ::ffff:{REFLECTOR}\nexit\n\
         router bgp 64512\n bgp router-id {REFLECTOR}\n no bgp default ipv4-unicast\n no bgp network import-check\n \
         timers bgp 3 9\n neighbor clients peer-group\n neighbor clients remote-as 64512\n neighbor clients passive\n \
         bgp listen range {clients} peer-group clients\n{}",
        families.concat()
    )
}
