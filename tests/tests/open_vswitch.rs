//! Labels between our node and Open vSwitch, whose routes come from GoBGP beside it.

use bagpipe_agent::lab::{Agent, Capture, Lab, LabError, Node, wait_until};
use bagpipe_tests::edges::{Family, Site};
use bagpipe_tests::fabric::UNDERLAY;
use bagpipe_tests::gobgp::Reflector;
use bagpipe_tests::ovs::{Destination, OpenVSwitch, Way, mac};
use bagpipe_tests::{SOON, bagpipe, traffic, tshark};
use serde_json::Value;

const TARGET: &str = "64512:100";
/// What Open vSwitch takes for its site, over IPv4 and over IPv6.
const THEIRS: [Destination<'_>; 2] =
    [Destination { prefix: "10.1.2.0/24", label: 102 }, Destination { prefix: "fd01:2::/64", label: 202 }];
/// A label that our node gave to nothing.
const UNKNOWN: u32 = 999_999;
/// IPv4 explicit null, which is not only for the bottom of the stack (RFC 3032 §2.1, RFC 4182 §3).
const EXPLICIT_NULL: u32 = 0;

#[test]
fn labels_on_ethernet() -> Result<(), LabError> {
    Pair::new("ethernet", Family::V4)?.exchange()
}

#[test]
fn labels_in_gre() -> Result<(), LabError> {
    Pair::new("gre", Family::V4)?.exchange()
}

#[test]
fn labels_in_gre_over_ipv6() -> Result<(), LabError> {
    Pair::new("gre", Family::V6)?.exchange()
}

/// Our node and that of Open vSwitch on one link, with a site behind each.
struct Pair {
    agent: Agent,
    gobgp: Reflector,
    ovs: OpenVSwitch,
    ours: Site,
    theirs: Site,
    form: &'static str,
    _lab: Lab,
}

impl Pair {
    fn new(form: &'static str, family: Family) -> Result<Self, LabError> {
        let lab = Lab::new()?;
        let (near, far) = (lab.node("near")?, lab.node("far")?);
        lab.link((&near, UNDERLAY), (&far, UNDERLAY))?;
        // What reads packets in userspace gets them as they are: whole, and with checksums.
        without_offloads(&near, UNDERLAY)?;
        let [local, remote] = [1, 2].map(|number| family.node(number));
        near.address(UNDERLAY, &family.prefix(1))?;

        let ovs = OpenVSwitch::start(&lab, &far, &family.prefix(2))?;
        ovs.tunnel(&remote, &local)?;
        let gobgp = Reflector::configured(&lab, &far, &speaker(&remote, &local))?;
        let agent = Agent::configured(&lab, &bagpipe(), &near, &router(&local, &remote, form))?;
        let ours = site(&lab, &near, "ours", 1)?;
        ours.attach(&agent, "red", &["--rt", TARGET])?;
        let theirs = site(&lab, &far, "theirs", 2)?;
        ovs.site(&theirs.port)?;
        theirs.node.mtu("eth0", 1400)?;
        let pair = Self { agent, gobgp, ovs, ours, theirs, form, _lab: lab };
        pair.tell(&remote)?;
        Ok(pair)
    }

    /// Each learns the labels of the other: our node by BGP, Open vSwitch from what GoBGP has received.
    fn tell(&self, remote: &str) -> Result<(), LabError> {
        for (family, Destination { prefix, label }) in ["vpnv4", "vpnv6"].into_iter().zip(THEIRS) {
            let (label, next_hop) = (label.to_string(), ["nexthop", remote]);
            let route = ["global", "rib", "add", "-a", family, prefix, "label", &label];
            let more = ["rd", "64512:2", "rt", TARGET];
            self.gobgp.gobgp(&[&route[..], &more, &next_hop].concat())?;
        }
        // Static neighbours: nobody answers for the gateway there.
        for gateway in [&self.theirs.gateway4, &self.theirs.gateway6] {
            self.theirs.node.ip(&["neigh", "add", gateway, "lladdr", &self.ovs.mac()?, "dev", "eth0"])?;
        }
        let peer = mac(self.agent.node(), UNDERLAY)?;
        let way = self.way(&peer);
        for (label, prefix) in self.labels()?.into_iter().zip(["10.1.1.0/24", "fd01:1::/64"]) {
            self.ovs.push(Destination { prefix, label }, way)?;
        }
        for destination in THEIRS {
            self.ovs.pop(destination, way, &self.ovs.mac()?, &self.theirs.mac)?;
        }
        Ok(())
    }

    fn exchange(&self) -> Result<(), LabError> {
        let capture = Capture::start(self.agent.node(), UNDERLAY, "not port 179")?;
        for (from, to) in [(&self.ours, &self.theirs), (&self.theirs, &self.ours)] {
            traffic::wait_for_ping(&from.node, &to.ipv4)?;
            traffic::wait_for_ping(&from.node, &to.ipv6)?;
        }
        self.seen(&capture.stop()?)?;

        for address in [&self.theirs.ipv4, &self.theirs.ipv6] {
            let bits = traffic::tcp_throughput(&self.ours.node, &self.theirs.node, address)?;
            assert!(bits > 1e7, "TCP to {address}: {bits} bit/s");
        }
        for address in [&self.ours.ipv4, &self.ours.ipv6] {
            let bits = traffic::tcp_throughput(&self.theirs.node, &self.ours.node, address)?;
            assert!(bits > 1e7, "TCP from Open vSwitch to {address}: {bits} bit/s");
        }
        self.under_another_label()?;
        self.with_an_unknown_label()?;
        self.agent.cli(&["map", "verify"]).map(drop)
    }

    /// The labels that our node gave to its site, over IPv4 and IPv6, as GoBGP has them.
    fn labels(&self) -> Result<[u32; 2], LabError> {
        let label = |family: &str, address: &str| {
            wait_until(SOON, &format!("label of {address}"), || {
                let routes = self.gobgp.gobgp(&["global", "rib", "-a", family, "-j"]).ok()?;
                let routes: Value = serde_json::from_str(&routes).ok()?;
                let mut paths = routes.as_object()?.values().filter_map(|paths| paths.get(0));
                let path = paths.find(|path| {
                    let prefix = path.pointer("/nlri/prefix").and_then(Value::as_str);
                    prefix.is_some_and(|prefix| prefix.split('/').next() == Some(address))
                })?;
                u32::try_from(path.pointer("/nlri/labels/0")?.as_u64()?).ok()
            })
        };
        Ok([label("vpnv4", &self.ours.ipv4)?, label("vpnv6", &self.ours.ipv6)?])
    }

    /// The labels are on the wire, the right ones, with the TTL of the pipe model.
    fn seen(&self, capture: &std::path::Path) -> Result<(), LabError> {
        let form = if self.form == "gre" { "gre.proto == 0x8847" } else { "eth.type == 0x8847" };
        let [four, six] = self.labels()?;
        let mut expected = Vec::new();
        for (label, destination) in [
            (THEIRS[0].label, format!("ip.dst == {}", self.theirs.ipv4)),
            (THEIRS[1].label, format!("ipv6.dst == {}", self.theirs.ipv6)),
            (four, format!("ip.dst == {}", self.ours.ipv4)),
            (six, format!("ipv6.dst == {}", self.ours.ipv6)),
        ] {
            expected.push(format!(
                "{form} && mpls.label == {label} && mpls.bottom == 1 && mpls.ttl == 255 && {destination}"
            ));
        }
        tshark::assert_well_formed(capture, &expected.iter().map(String::as_str).collect::<Vec<_>>());
        Ok(())
    }

    /// A label that says nothing, above the one that counts.
    fn under_another_label(&self) -> Result<(), LabError> {
        let peer = mac(self.agent.node(), UNDERLAY)?;
        let [label, _] = self.labels()?;
        let ours = Destination { prefix: "10.1.1.0/24", label };
        self.ovs.push_stack(ours, &[EXPLICIT_NULL], self.way(&peer))?;
        let capture = Capture::start(self.agent.node(), UNDERLAY, "not port 179")?;
        traffic::wait_for_ping(&self.theirs.node, &self.ours.ipv4)?;
        let two = format!("mpls.label == {EXPLICIT_NULL} && mpls.label == {label} && icmp");
        tshark::assert_well_formed(&capture.stop()?, &[&two]);
        self.ovs.push(ours, self.way(&peer))
    }

    fn with_an_unknown_label(&self) -> Result<(), LabError> {
        let peer = mac(self.agent.node(), UNDERLAY)?;
        let before = self.agent.dropped("unknown-label")?;
        let nowhere = Destination { prefix: "10.1.1.0/24", label: UNKNOWN };
        self.ovs.push(nowhere, self.way(&peer))?;
        wait_until(SOON, "a counted drop", || {
            let answered = traffic::pings(&self.theirs.node, &self.ours.ipv4);
            (!answered && self.agent.dropped("unknown-label").ok()? > before).then_some(())
        })
    }

    fn way<'a>(&self, peer: &'a str) -> Way<'a> {
        if self.form == "gre" { Way::Gre } else { Way::Ethernet(peer) }
    }
}

/// A host in subnet `number` behind a node.
fn site(lab: &Lab, node: &Node, name: &str, number: u8) -> Result<Site, LabError> {
    let site = Site {
        node: lab.node(name)?,
        port: format!("to-{name}"),
        mac: format!("02:00:00:00:01:{number:02x}"),
        ipv4: format!("10.1.{number}.2"),
        ipv6: format!("fd01:{number:x}::2"),
        gateway4: format!("10.1.{number}.1"),
        gateway6: format!("fd01:{number:x}::1"),
    };
    site.link(lab, node)?;
    without_offloads(&site.node, "eth0")?;
    Ok(site)
}

fn without_offloads(node: &Node, interface: &str) -> Result<(), LabError> {
    let features = ["tx", "off", "tso", "off", "gso", "off", "gro", "off"];
    node.run(&[&["ethtool", "-K", interface][..], &features].concat()).map(drop)
}

fn router(local: &str, remote: &str, form: &str) -> String {
    format!(
        "[bgp]\nlocal_address = \"{local}\"\nrouter_id = \"10.98.0.1\"\nas_number = 64512\nhold_time = 9\n\
         [[bgp.peers]]\naddress = \"{remote}\"\n\
         [dataplane]\nunderlay = [\"{UNDERLAY}\"]\nmpls = \"{form}\"\n"
    )
}

fn speaker(local: &str, remote: &str) -> String {
    let families = ["l3vpn-ipv4-unicast", "l3vpn-ipv6-unicast"].map(|family| {
        format!("[[neighbors.afi-safis]]\n[neighbors.afi-safis.config]\nafi-safi-name = \"{family}\"\n")
    });
    format!(
        "[global.config]\nas = 64512\nrouter-id = \"10.98.0.2\"\nlocal-address-list = [\"{local}\"]\n\
         [[neighbors]]\n[neighbors.config]\nneighbor-address = \"{remote}\"\npeer-as = 64512\n\
         [neighbors.transport.config]\npassive-mode = true\nlocal-address = \"{local}\"\n{}",
        families.concat()
    )
}
