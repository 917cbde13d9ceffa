//! Labels between our node and Open vSwitch, whose routes come from GoBGP beside it: packets of an IP-VPN, frames of an
//! E-VPN.

use bagpipe_agent::lab::{Host, LabError, Node, wait_until};
use bagpipe_tests::edges::{self, Family, Site};
use bagpipe_tests::foreign::{Foreign, without_offloads};
use bagpipe_tests::ovs::Destination;
use bagpipe_tests::{SOON, traffic};

const TARGET: &str = "64512:100";
/// What Open vSwitch takes for its site, over IPv4 and over IPv6.
const THEIRS: [Destination<'_>; 2] =
    [Destination { prefix: "10.1.2.0/24", label: 102 }, Destination { prefix: "fd01:2::/64", label: 202 }];
/// The label of its frames.
const FRAMES: u32 = 302;
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

#[test]
fn frames_behind_labels_on_ethernet() -> Result<(), LabError> {
    frames("ethernet")
}

#[test]
fn frames_behind_labels_in_gre() -> Result<(), LabError> {
    frames("gre")
}

/// Our node and the foreign one, with a site of one IP-VPN behind each.
struct Pair {
    ours: Site,
    theirs: Site,
    between: Foreign,
}

impl Pair {
    fn new(form: &'static str, family: Family) -> Result<Self, LabError> {
        let between = Foreign::new(form, family, "")?;
        let ours = site(&between, between.agent.node(), "ours", 1)?;
        ours.attach(&between.agent, "red", &["--rt", TARGET])?;
        let theirs = site(&between, between.node(), "theirs", 2)?;
        between.ovs.site(&theirs.port)?;
        theirs.node.mtu("eth0", 1400)?;
        let pair = Self { ours, theirs, between };
        pair.tell()?;
        Ok(pair)
    }

    /// Each learns the labels of the other: our node by BGP, Open vSwitch from what GoBGP has received.
    fn tell(&self) -> Result<(), LabError> {
        let Foreign { ovs, .. } = &self.between;
        for (family, Destination { prefix, label }) in ["vpnv4", "vpnv6"].into_iter().zip(THEIRS) {
            self.between.announce(family, &[prefix, "label", &label.to_string()], TARGET)?;
        }
        // Nobody answers for the gateway there.
        for gateway in [&self.theirs.gateway4, &self.theirs.gateway6] {
            self.theirs.node.ip(&["neigh", "add", gateway, "lladdr", &ovs.mac()?, "dev", "eth0"])?;
        }
        let way = self.between.way();
        for (label, prefix) in self.labels()?.into_iter().zip(["10.1.1.0/24", "fd01:1::/64"]) {
            ovs.push(Destination { prefix, label }, way)?;
        }
        for destination in THEIRS {
            ovs.pop(destination, way, &ovs.mac()?, &self.theirs.mac)?;
        }
        Ok(())
    }

    fn exchange(&self) -> Result<(), LabError> {
        let capture = self.between.capture()?;
        for (from, to) in [(&self.ours, &self.theirs), (&self.theirs, &self.ours)] {
            traffic::wait_for_ping(&from.node, &to.ipv4)?;
            traffic::wait_for_ping(&from.node, &to.ipv6)?;
        }
        self.seen(&capture.stop()?)?;
        for (from, to) in [(&self.ours, &self.theirs), (&self.theirs, &self.ours)] {
            carry_tcp(&from.node, &to.node, [&to.ipv4, &to.ipv6])?;
        }
        self.under_another_label()?;
        self.with_an_unknown_label()?;
        self.between.agent.cli(&["map", "verify"]).map(drop)
    }

    /// The labels that our node gave to its site, over IPv4 and IPv6, as GoBGP has them.
    fn labels(&self) -> Result<[u32; 2], LabError> {
        let label = |family, address: &str| {
            wait_until(SOON, &format!("label of {address}"), || self.between.gobgp.label(family, address))
        };
        let labels = [label("vpnv4", &self.ours.ipv4)?, label("vpnv6", &self.ours.ipv6)?];
        let shown = edges::label(&self.between.agent, &self.ours.mac);
        assert_eq!(labels.map(Some), [shown; 2], "what the agent shows is announced");
        Ok(labels)
    }

    /// The labels are on the wire, the right ones, with the TTL of the pipe model.
    fn seen(&self, capture: &std::path::Path) -> Result<(), LabError> {
        let [four, six] = self.labels()?;
        let filters = [
            (THEIRS[0].label, format!("ip.dst == {}", self.theirs.ipv4)),
            (THEIRS[1].label, format!("ipv6.dst == {}", self.theirs.ipv6)),
            (four, format!("ip.dst == {}", self.ours.ipv4)),
            (six, format!("ipv6.dst == {}", self.ours.ipv6)),
        ];
        let filters = filters.map(|(label, destination)| {
            format!("mpls.label == {label} && mpls.bottom == 1 && mpls.ttl == 255 && {destination}")
        });
        self.between.assert_seen(capture, &filters);
        Ok(())
    }

    /// A label that says nothing, above the one that counts.
    fn under_another_label(&self) -> Result<(), LabError> {
        let [label, _] = self.labels()?;
        let ours = Destination { prefix: "10.1.1.0/24", label };
        self.between.ovs.push_stack(ours, &[EXPLICIT_NULL], self.between.way())?;
        let capture = self.between.capture()?;
        traffic::wait_for_ping(&self.theirs.node, &self.ours.ipv4)?;
        let two = format!("mpls.label == {EXPLICIT_NULL} && mpls.label == {label} && icmp");
        self.between.assert_seen(&capture.stop()?, &[two]);
        self.between.ovs.push(ours, self.between.way())
    }

    fn with_an_unknown_label(&self) -> Result<(), LabError> {
        let agent = &self.between.agent;
        let before = agent.dropped("unknown-label")?;
        let nowhere = Destination { prefix: "10.1.1.0/24", label: UNKNOWN };
        self.between.ovs.push(nowhere, self.between.way())?;
        wait_until(SOON, "a counted drop", || {
            let answered = traffic::pings(&self.theirs.node, &self.ours.ipv4);
            (!answered && agent.dropped("unknown-label").ok()? > before).then_some(())
        })
    }
}

/// An E-VPN over MPLS: a host behind each node, in one subnet.
fn frames(form: &'static str) -> Result<(), LabError> {
    let between = Foreign::new(form, Family::V4, "[vpn]\nevpn_encapsulation = \"mpls\"\n")?;
    let (one, two) = (Host::new(&between.lab, 1)?, Host::new(&between.lab, 2)?);
    one.link(&between.lab, between.agent.node(), "to-one")?;
    two.link(&between.lab, between.node(), "to-two")?;
    for host in [&one, &two] {
        host.node.mtu(Host::INTERFACE, 1400)?;
        without_offloads(&host.node, Host::INTERFACE)?;
    }
    between.ovs.site("to-two")?;
    let attach = ["attach", "--vpn", "blue", "--port", "to-one", "--mac", &one.mac, "--rt", TARGET];
    between.agent.cli(&[&attach[..], &["--ip", &one.ipv4, "--ip", &one.ipv6]].concat())?;

    // A label is in the upper 20 bits of its field, and GoBGP takes the number for all 24 (RFC 7432 §7.2).
    let field = (FRAMES << 4).to_string();
    for address in [&two.ipv4, &two.ipv6] {
        let route = ["macadv", &two.mac, address, "etag", "0", "label", &field];
        between.announce("evpn", &route, TARGET)?;
    }
    let flood = ["pmsi", "ingress-repl", &field, &between.address];
    let route = ["multicast", &between.address, "etag", "0"];
    between.announce_with("evpn", &route, TARGET, &flood)?;

    // Unicast and flooded frames have one label with us; it is in the PMSI tunnel attribute, and in type 2 routes.
    let label = |place: &'static str| {
        wait_until(SOON, "label of frames", || {
            let paths = between.received("evpn").ok()?;
            let ours = paths.iter().filter(|path| path.get("neighbor-ip").is_some());
            let mut fields = ours.filter_map(|path| match place {
                "pmsi" => {
                    path["attrs"].as_array()?.iter().find(|attribute| attribute["type"] == 22)?["label"]
                        .as_u64()
                }
                _ => path.pointer("/nlri/value/labels/0")?.as_u64(),
            });
            u32::try_from(fields.next()? >> 4).ok()
        })
    };
    let ours = label("mac")?;
    assert_eq!(label("pmsi")?, ours);
    between.ovs.push_frames(ours, between.way())?;
    between.ovs.pop_frames(FRAMES, between.way())?;

    let capture = between.capture()?;
    // The first question of their host is flooded to ours.
    traffic::wait_for_ping(&two.node, &one.ipv4)?;
    traffic::wait_for_ping(&two.node, &one.ipv6)?;
    traffic::wait_for_ping(&one.node, &two.ipv4)?;
    traffic::wait_for_ping(&one.node, &two.ipv6)?;
    let filters = [
        format!("mpls.label == {ours} && mpls.bottom == 1 && mpls.ttl == 255"),
        format!("mpls.label == {FRAMES} && mpls.bottom == 1 && mpls.ttl == 255"),
    ];
    between.assert_seen(&capture.stop()?, &filters);
    carry_tcp(&one.node, &two.node, [&two.ipv4, &two.ipv6])?;
    carry_tcp(&two.node, &one.node, [&one.ipv4, &one.ipv6])?;
    between.agent.cli(&["map", "verify"]).map(drop)
}

fn carry_tcp(from: &Node, to: &Node, addresses: [&str; 2]) -> Result<(), LabError> {
    for address in addresses {
        let bits = traffic::tcp_throughput(from, to, address)?;
        assert!(bits > 1e7, "TCP from {} to {address}: {bits} bit/s", from.name());
    }
    Ok(())
}

/// A host in subnet `number` behind a node.
fn site(between: &Foreign, node: &Node, name: &str, number: u8) -> Result<Site, LabError> {
    let site = Site::new(&between.lab, node, name, usize::from(number), number, 2)?;
    without_offloads(&site.node, "eth0")?;
    Ok(site)
}
