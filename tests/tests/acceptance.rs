//! What network engineers accept a VTEP by, with FRR and the kernel as the other node: scenarios of `docs/ACCEPTANCE.md`
//! that no other test covers.

use bagpipe_agent::lab::{Agent, Host, Lab, LabError, Node, wait_until};
use bagpipe_tests::edges::Site;
use bagpipe_tests::fabric::UNDERLAY;
use bagpipe_tests::frr::Frr;
use bagpipe_tests::kernel::Vtep;
use bagpipe_tests::{SOON, bagpipe, traffic};

const OURS: &str = "10.99.0.1";
const THEIRS: &str = "10.99.0.2";

/// Two nodes on one link.
struct Link {
    ours: Node,
    theirs: Node,
    lab: Lab,
}

impl Link {
    fn new() -> Result<Self, LabError> {
        let lab = Lab::new()?;
        let (ours, theirs) = (lab.node("ours")?, lab.node("theirs")?);
        lab.link((&ours, UNDERLAY), (&theirs, UNDERLAY))?;
        for (node, address) in [(&ours, OURS), (&theirs, THEIRS)] {
            node.address(UNDERLAY, &format!("{address}/24"))?;
        }
        Ok(Self { ours, theirs, lab })
    }

    /// Our agent, with terms of the peer.
    fn agent(&self, terms: &str) -> Result<Agent, LabError> {
        let text = format!(
            "[bgp]\nlocal_address = \"{OURS}\"\nas_number = 64512\nhold_time = 9\n\
             [[bgp.peers]]\naddress = \"{THEIRS}\"\n{terms}\n[dataplane]\nunderlay = [\"{UNDERLAY}\"]\n"
        );
        Agent::configured(&self.lab, &bagpipe(), &self.ours, &text)
    }

    /// FRR in an AS. Its route target for a VNI is `<AS>:<VNI>`.
    fn frr(&self, asn: u32) -> Result<Frr, LabError> {
        let text = format!(
            "router bgp {asn}\n bgp router-id {THEIRS}\n no bgp default ipv4-unicast\n no bgp ebgp-requires-policy\n \
             neighbor {OURS} remote-as 64512\n neighbor {OURS} passive\n address-family l2vpn evpn\n  \
             neighbor {OURS} activate\n  advertise-all-vni\n exit-address-family\n"
        );
        Frr::start(&self.lab, &self.theirs, &text)
    }
}

/// Bridging between two autonomous systems: neither changes the next hop, which is the tunnel's end.
#[test]
fn bridging_over_ebgp() -> Result<(), LabError> {
    let link = Link::new()?;
    let [one, two] = [Host::new(&link.lab, 1)?, Host::new(&link.lab, 2)?];
    Vtep::new(&link.theirs, 10, THEIRS)?.plug(&link.lab, "to-host2", &two)?;
    let frr = link.frr(64_513)?;
    // Not in its file: there it would be zebra's as well, and the VNI of a router.
    frr.vtysh(
        "configure\nrouter bgp 64513\naddress-family l2vpn evpn\nvni 10\nroute-target both 64512:10\nend",
    )?;
    let agent = link.agent("as_number = 64513\nimport = \"all\"\nexport = \"own\"")?;
    one.link(&link.lab, &link.ours, "to-host1")?;
    let attach = ["attach", "--vpn", "blue", "--type", "evpn", "--rt", "64512:10", "--vni", "10"];
    let port = ["--port", "to-host1", "--mac", &one.mac, "--ip", &one.ipv4, "--ip", &one.ipv6];
    agent.cli(&[&attach[..], &port].concat())?;
    wait_until(SOON, "session of FRR", || (frr.sessions() == 1).then_some(()))?;
    traffic::wait_for_ping(&two.node, &one.ipv4)?;
    traffic::wait_for_ping(&two.node, &one.ipv6)?;
    traffic::wait_for_ping(&one.node, &two.ipv4)?;
    traffic::wait_for_ping(&one.node, &two.ipv6)?;
    let bits = traffic::tcp_throughput(&one.node, &two.node, &two.ipv4)?;
    assert!(bits > 1e8, "TCP to {}: {bits} bit/s", two.ipv4);
    let routes = agent.json(&["show", "routes"])?;
    let paths: Vec<_> =
        routes.as_array().into_iter().flatten().filter(|it| it["source"] != "local").collect();
    assert!(!paths.is_empty());
    assert!(paths.iter().all(|path| path["attributes"]["as_path"] == "64513"), "{paths:?}");
    agent.cli(&["map", "verify"]).map(drop)
}

/// Two subnets that are on both nodes, each of which routes what its hosts send (asymmetric IRB, RFC 9135 §4.1): the
/// kernel between its bridges, and we in the IP-VPN that both E-VPNs are plugged into.
#[test]
fn asymmetric_irb() -> Result<(), LabError> {
    let link = Link::new()?;
    let agent = link.agent("")?;
    let mut ours = Vec::new();
    let mut theirs = Vec::new();
    for subnet in [1, 2] {
        let vni = 10 + u32::from(subnet);
        let (name, target, number) = (format!("net{subnet}"), format!("64512:{vni}"), vni.to_string());
        let site = Site::new(&link.lab, &link.ours, &format!("near{subnet}"), subnet.into(), subnet, 2)?;
        let port = ["--port", &site.port, "--mac", &site.mac, "--ip", &site.ipv4];
        let attach = ["attach", "--type", "evpn", "--vpn", &name, "--rt", &target, "--vni", &number];
        agent.cli(&[&attach[..], &port].concat())?;
        let gateway = format!("{}/24", site.gateway4);
        let plug = ["attach", "--type", "ipvpn", "--vpn", "tenant", "--rt", "64512:300", "--evpn", &name];
        let own = ["--mac", "02:00:00:00:02:01", "--ip", &gateway, "--gateway-ip", &site.gateway4];
        agent.cli(&[&plug[..], &own].concat())?;
        ours.push(site);

        Vtep::new(&link.theirs, vni, THEIRS)?;
        let far =
            Site::new(&link.lab, &link.theirs, &format!("far{subnet}"), usize::from(subnet) + 2, subnet, 3)?;
        link.theirs.ip(&["link", "set", &far.port, "master", &format!("br{vni}")])?;
        // The same gateway on both nodes, but for the MAC address.
        link.theirs.address(&format!("br{vni}"), &gateway)?;
        theirs.push(far);
    }
    let frr = link.frr(64_512)?;
    // It switches that off when it starts.
    link.theirs.sysctl("net.ipv4.ip_forward", "1")?;
    wait_until(SOON, "session of FRR", || (frr.sessions() == 1).then_some(()))?;
    for far in &theirs {
        traffic::wait_for_ping(&far.node, &far.gateway4)?;
    }
    for from in ours.iter().chain(&theirs) {
        for to in ours.iter().chain(&theirs).filter(|to| to.mac != from.mac) {
            traffic::wait_for_ping(&from.node, &to.ipv4)?;
        }
    }
    agent.cli(&["map", "verify"]).map(drop)
}
