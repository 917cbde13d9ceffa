//! An agent and Open vSwitch exchange labelled packets. GoBGP beside Open vSwitch tells the agent of its labels, and
//! Open vSwitch is programmed with what GoBGP hears from the agent.

use bagpipe_agent::lab::{Capture, LabError, Node, wait_until};
use bagpipe_tests::edges::{Edges, Family, Form, Site, label};
use bagpipe_tests::fabric::UNDERLAY;
use bagpipe_tests::gobgp::Reflector;
use bagpipe_tests::ovs::{self, LabelSwitch, Payload, Peer};
use bagpipe_tests::{SOON, traffic, tshark};

const TARGET: &str = "64512:100";
/// The number of the node with Open vSwitch, and of the subnet behind it.
const THEIRS: u8 = 9;
/// Its labels for IPv4 and IPv6: what is under a label is not written in the packet.
const LABELS: [u32; 2] = [1_000, 1_000_006];

#[test]
fn labels_on_ethernet() -> Result<(), LabError> {
    exchanges_labelled_packets(Form::Ethernet)
}

#[test]
fn labels_in_gre() -> Result<(), LabError> {
    exchanges_labelled_packets(Form::Gre)
}

fn exchanges_labelled_packets(form: Form) -> Result<(), LabError> {
    let mut edges = Edges::new(form, Family::V4, 1)?;
    let ours = edges.attach_site(1, "red", 1, TARGET)?;
    let (node, theirs) = foreign_site(&mut edges)?;
    let address = Family::V4.node(THEIRS);
    let switch = LabelSwitch::start(&edges.lab, &node, &format!("{address}/24"))?;
    switch.add_tunnel(&address, &Family::V4.node(1))?;
    let gobgp = gobgp(&edges, &node, &address)?;
    announce(&gobgp, &address, &theirs)?;
    let labels = labels(&gobgp, &ours)?;
    assert_eq!(
        labels.map(Some),
        [label(&edges.agents[0], &ours.mac); 2],
        "what the agent shows is announced"
    );

    let mac = hardware_address(edges.agents[0].node())?;
    let peer = if form == Form::Gre { Peer::Tunnel } else { Peer::Adjacent(&mac) };
    for (prefix, label) in [&ours.ipv4, &ours.ipv6].into_iter().zip(labels) {
        switch.push(prefix, label, peer)?;
    }
    for (payload, label) in [Payload::Ipv4, Payload::Ipv6].into_iter().zip(LABELS) {
        switch.pop(label, payload, &theirs.mac, peer)?;
    }

    let capture = Capture::start(edges.agents[0].node(), UNDERLAY, "not port 179")?;
    let packets_cross = || -> Result<(), LabError> {
        for (from, to) in [(&ours, &theirs), (&theirs, &ours)] {
            traffic::wait_for_ping(&from.node, &to.ipv4)?;
            traffic::wait_for_ping(&from.node, &to.ipv6)?;
        }
        for (from, to) in [(&ours, &theirs), (&theirs, &ours)] {
            for address in [&to.ipv4, &to.ipv6] {
                let bits = traffic::tcp_throughput(&from.node, &to.node, address)?;
                assert!(bits > 1e7, "TCP to {address}: {bits} bit/s");
            }
        }
        edges.verify()
    };
    packets_cross().inspect_err(|_| eprintln!("{}{}", switch.flows(), edges.drops()))?;
    let capture = capture.stop()?;
    tshark::assert_well_formed(&capture, &[]);
    for label in [labels[0], LABELS[0], LABELS[1]] {
        let filter = format!("{} && mpls.label == {label}", form.filter());
        assert_ne!(tshark::packets(&capture, &filter), "", "{filter}");
    }
    Ok(())
}

/// A node for Open vSwitch, and a host behind it whose neighbour is the gateway.
fn foreign_site(edges: &mut Edges) -> Result<(Node, Site), LabError> {
    let node = edges.lab.node("switch")?;
    edges.underlay.plug(&node, UNDERLAY)?;
    let site = edges.add_host_of(&node, "site", "theirs", THEIRS, 2)?;
    for gateway in [&site.gateway4, &site.gateway6] {
        site.node.ip(&["neigh", "add", gateway, "lladdr", ovs::GATEWAY_MAC, "dev", "eth0"])?;
    }
    // The underlay takes 1500 bytes with all headers.
    site.node.mtu("eth0", 1430)?;
    ovs::complete_packets(&site.node, "eth0")?;
    for sender in [edges.agents[0].node(), edges.reflector.node()] {
        ovs::complete_packets(sender, UNDERLAY)?;
    }
    Ok((node, site))
}

/// GoBGP as a client of the reflector.
fn gobgp(edges: &Edges, node: &Node, address: &str) -> Result<Reflector, LabError> {
    let reflector = edges.reflector_address();
    let families = ["l3vpn-ipv4-unicast", "l3vpn-ipv6-unicast"].map(|family| {
        format!("[[neighbors.afi-safis]]\n[neighbors.afi-safis.config]\nafi-safi-name = \"{family}\"\n")
    });
    let text = format!(
        r#"
[global.config]
as = 64512
router-id = "{address}"
local-address-list = ["{address}"]
[[neighbors]]
[neighbors.config]
neighbor-address = "{reflector}"
peer-as = 64512
[neighbors.transport.config]
local-address = "{address}"
[neighbors.timers.config]
connect-retry = 1
{}"#,
        families.concat()
    );
    let gobgp = Reflector::configured(&edges.lab, node, &text)?;
    wait_until(SOON, "session of GoBGP", || (gobgp.sessions() == 1).then_some(()))?;
    Ok(gobgp)
}

fn announce(gobgp: &Reflector, address: &str, site: &Site) -> Result<(), LabError> {
    let rd = format!("{address}:1");
    let mapped = format!("::ffff:{address}");
    let prefixes = [format!("{}/32", site.ipv4), format!("{}/128", site.ipv6)];
    for (((family, next_hop), prefix), label) in
        [("vpnv4", address), ("vpnv6", &mapped)].into_iter().zip(&prefixes).zip(LABELS)
    {
        let add = ["global", "rib", "add", "-a", family, prefix, "label", &label.to_string()];
        gobgp.gobgp(&[&add[..], &["rd", &rd, "rt", TARGET, "nexthop", next_hop]].concat())?;
    }
    Ok(())
}

/// The labels of a site's addresses, as GoBGP knows them.
fn labels(gobgp: &Reflector, site: &Site) -> Result<[u32; 2], LabError> {
    let heard = |family, address: &str| {
        wait_until(SOON, &format!("GoBGP knows {address}"), || gobgp.label(family, address))
    };
    Ok([heard("vpnv4", &site.ipv4)?, heard("vpnv6", &site.ipv6)?])
}

fn hardware_address(node: &Node) -> Result<String, LabError> {
    let text = node.ip(&["-j", "link", "show", UNDERLAY])?;
    let links = serde_json::from_str::<serde_json::Value>(&text).unwrap_or_default();
    Ok(links[0]["address"].as_str().unwrap_or_default().to_owned())
}
