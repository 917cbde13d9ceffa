//! Agents beside other VTEPs and behind other reflectors.

use bagpipe_agent::lab::{Attachment, Capture, Host, LabError, wait_until};
use bagpipe_tests::bagpipe_bgp::{BagpipeBgp, Driver, Options};
use bagpipe_tests::fabric::{Fabric, Reflector, VNI, attachment, fdb};
use bagpipe_tests::frr::Frr;
use bagpipe_tests::kernel::Vtep;
use bagpipe_tests::{SOON, traffic, tshark};

const REFLECTOR: &str = "10.99.0.254";

/// The agent learns of the kernel's node from GoBGP, told by hand; the kernel's node has static entries.
#[test]
fn a_kernel_vxlan_device_with_static_entries() -> Result<(), LabError> {
    let mut fabric = Fabric::with_gobgp()?;
    fabric.add_node(1)?;
    let node = fabric.bare_node(2)?;
    let (one, two) = (fabric.hosts[0].clone(), Host::new(&fabric.lab, 2)?);
    let (near, far) = (Fabric::address(1), Fabric::address(2));
    let vtep = Vtep::new(&node, VNI, &far)?;
    vtep.plug(&fabric.lab, "port", &two)?;
    vtep.flood_to(&near)?;
    vtep.send_to(&one.mac, &near)?;

    let Reflector::Gobgp(gobgp) = &fabric.reflector else { unreachable!("GoBGP") };
    let (vni, rd, rt) = (VNI.to_string(), format!("{far}:{VNI}"), format!("64512:{VNI}"));
    let add = ["global", "rib", "add", "-a", "evpn"];
    let common = ["etag", "0", "rd", &rd, "rt", &rt, "encap", "vxlan", "nexthop", &far];
    for address in [&two.ipv4, &two.ipv6] {
        let route = ["macadv", &two.mac, address, "etag", "0", "label", &vni];
        gobgp.gobgp(&[&add[..], &route, &common[2..]].concat())?;
    }
    let pmsi = ["pmsi", "ingress-repl", &vni, &far];
    gobgp.gobgp(&[&add[..], &["multicast", &far], &common, &pmsi].concat())?;

    wait_until(SOON, "the agent knows the host", || fdb(&fabric.agents[0], &two.mac).map(drop))?;
    traffic::wait_for_ping(&one.node, &two.ipv4)?;
    traffic::wait_for_ping(&two.node, &one.ipv6)?;
    let bits = traffic::tcp_throughput(&two.node, &one.node, &one.ipv4)?;
    assert!(bits > 3e8, "TCP from the kernel: {bits} bit/s");
    let bits = traffic::tcp_throughput(&one.node, &two.node, &two.ipv4)?;
    assert!(bits > 3e8, "TCP to the kernel: {bits} bit/s");
    fabric.verify()
}

#[test]
fn frr_through_gobgp() -> Result<(), LabError> {
    with_frr(Fabric::with_gobgp()?)
}

#[test]
fn frr_through_frr() -> Result<(), LabError> {
    with_frr(Fabric::with_frr()?)
}

/// Two agents and one FRR node behind a reflector; the whole run is captured.
fn with_frr(mut fabric: Fabric) -> Result<(), LabError> {
    let capture = Capture::start(fabric.underlay.node(), "bridge", "tcp port 179 or udp port 4789")?;
    fabric.add_node(1)?;
    fabric.add_node(2)?;
    let node = fabric.bare_node(3)?;
    let host = Host::new(&fabric.lab, 3)?;
    Vtep::new(&node, VNI, &Fabric::address(3))?.plug(&fabric.lab, "port", &host)?;
    let frr = Frr::vtep(&fabric.lab, &node, &Fabric::address(3), REFLECTOR)?;
    wait_until(SOON, "session of FRR", || (frr.sessions() == 1).then_some(()))?;

    // The kernel learns where its host is from a packet, and FRR from the kernel. The unanswered question is
    // flooded to the agents' hosts by the type 3 routes.
    let one = &fabric.hosts[0];
    traffic::wait_for_ping(&host.node, &one.ipv4)?;
    traffic::wait_for_ping(&host.node, &one.ipv6)?;
    fabric.hosts.push(host);
    fabric.settle()?;
    fabric.assert_whole()?;

    tshark::assert_well_formed(&capture.stop()?, &["bgp.type == 2", &format!("vxlan.vni == {VNI}")]);
    Ok(())
}

/// Two of our nodes and one of the predecessor's, with its Linux VXLAN driver, behind GoBGP. Its device answers ARP for
/// the addresses it has been told and floods no other question. It takes one route of each MAC address, chosen by
/// chance, and so has to be told of no more than one IP address of each.
#[test]
fn bagpipe_bgp_through_gobgp() -> Result<(), LabError> {
    let mut fabric = Fabric::with_gobgp()?;
    let capture = Capture::start(fabric.underlay.node(), "bridge", "tcp port 179 or udp port 4789")?;
    fabric.add_node(1)?;
    fabric.add_node(2)?;
    for (agent, host) in fabric.agents.iter().zip(&fabric.hosts) {
        agent.detach(&attachment(host))?;
        agent.attach(&Attachment { addresses: vec![host.ipv4.clone()], ..attachment(host) })?;
    }
    let node = fabric.bare_node(3)?;
    let host = Host::new(&fabric.lab, 3)?;
    host.link(&fabric.lab, &node, "to-host3")?;
    let address = Fabric::address(3);
    let options = Options { address: &address, peers: &[REFLECTOR], rtc: true, driver: Driver::Linux };
    let predecessor = BagpipeBgp::start(&fabric.lab, &node, &options)?;
    predecessor.attach_evpn("to-host3", &host.mac, &host.ipv4, VNI)?;
    wait_until(SOON, "session of bagpipe-bgp", || (predecessor.sessions() == 1).then_some(()))?;

    fabric.hosts.push(host);
    fabric.settle()?;
    for from in &fabric.hosts {
        for to in fabric.hosts.iter().filter(|to| to.mac != from.mac) {
            traffic::wait_for_ping(&from.node, &to.ipv4)?;
        }
    }
    let [one, _, three] = fabric.hosts.as_slice() else { unreachable!("three hosts") };
    for (from, to) in [(one, three), (three, one)] {
        let bits = traffic::tcp_throughput(&from.node, &to.node, &to.ipv4)?;
        assert!(bits > 1e8, "TCP to {}: {bits} bit/s", to.ipv4);
    }
    tshark::assert_well_formed(&capture.stop()?, &["bgp.type == 2", &format!("vxlan.vni == {VNI}")]);
    fabric.verify()
}
