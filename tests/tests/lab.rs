//! The lab itself, with what exists without us: the kernel's VXLAN, GoBGP and FRR.

use bagpipe_agent::lab::{Capture, Host, Lab, LabError, Node, wait_until};
use bagpipe_tests::frr::Frr;
use bagpipe_tests::gobgp::Reflector;
use bagpipe_tests::kernel::Vtep;
use bagpipe_tests::{SOON, traffic, tshark};

const CLIENTS: &str = "10.99.0.0/24";

/// A node with a host behind a kernel bridge and VXLAN device.
fn kernel_node(lab: &Lab, node: &Node, address: &str, host: &Host) -> Result<Vtep, LabError> {
    node.address("eth0", &format!("{address}/24"))?;
    let vtep = Vtep::new(node, 10, address)?;
    vtep.plug(lab, "port", host)?;
    Ok(vtep)
}

#[test]
fn kernel_vxlan_with_static_entries() -> Result<(), LabError> {
    let lab = Lab::new()?;
    let underlay = lab.switch("underlay")?;
    let (left, right) = (lab.node("left")?, lab.node("right")?);
    let (one, two) = (Host::new(&lab, 1)?, Host::new(&lab, 2)?);
    let left = kernel_node(&lab, underlay.plug(&left, "eth0")?, "10.99.0.1", &one)?;
    let right = kernel_node(&lab, underlay.plug(&right, "eth0")?, "10.99.0.2", &two)?;
    assert!(!traffic::pings(&one.node, &two.ipv4), "without entries nothing gets through");

    left.flood_to("10.99.0.2")?;
    left.send_to(&two.mac, "10.99.0.2")?;
    right.flood_to("10.99.0.1")?;
    right.send_to(&one.mac, "10.99.0.1")?;
    let capture = Capture::start(underlay.node(), "bridge", "udp port 4789")?;
    traffic::wait_for_ping(&one.node, &two.ipv4)?;
    traffic::wait_for_ping(&one.node, &two.ipv6)?;
    tshark::assert_well_formed(&capture.stop()?, &["vxlan.vni == 10 && icmp", "vxlan.vni == 10 && icmpv6"]);

    assert!(traffic::tcp_throughput(&one.node, &two.node, &two.ipv4)? > 0.0);
    Ok(())
}

#[test]
fn frr_through_gobgp() -> Result<(), LabError> {
    let lab = Lab::new()?;
    let underlay = lab.switch("underlay")?;
    let reflector = lab.node("reflector")?;
    underlay.plug(&reflector, "eth0")?.address("eth0", "10.99.0.254/24")?;
    let capture = Capture::start(underlay.node(), "bridge", "tcp port 179 or udp port 4789")?;
    let reflector = Reflector::start(&lab, &reflector, "10.99.0.254", CLIENTS)?;
    let _pair = frr_pair(&lab, |lab, node, address, host| {
        underlay.plug(node, "eth0")?;
        kernel_node(lab, node, address, host)?;
        Frr::vtep(lab, node, address, "10.99.0.254")
    })?;
    wait_until(SOON, "two sessions", || (reflector.sessions() == 2).then_some(()))?;
    assert!(reflector.evpn_routes() >= 4, "two type 2 and two type 3 routes");
    tshark::assert_well_formed(&capture.stop()?, &["bgp.type == 2", "vxlan.vni == 10"]);
    Ok(())
}

#[test]
fn frr_through_frr() -> Result<(), LabError> {
    let lab = Lab::new()?;
    let underlay = lab.switch("underlay")?;
    let reflector = lab.node("reflector")?;
    underlay.plug(&reflector, "eth0")?.address("eth0", "10.99.0.254/24")?;
    let reflector = Frr::reflector(&lab, &reflector, "10.99.0.254", CLIENTS)?;
    let _pair = frr_pair(&lab, |lab, node, address, host| {
        underlay.plug(node, "eth0")?;
        kernel_node(lab, node, address, host)?;
        Frr::vtep(lab, node, address, "10.99.0.254")
    })?;
    assert_eq!(reflector.sessions(), 2);
    Ok(())
}

/// Two FRR nodes with a host each; returns when the hosts reach each other.
fn frr_pair(
    lab: &Lab,
    start: impl Fn(&Lab, &Node, &str, &Host) -> Result<Frr, LabError>,
) -> Result<[Frr; 2], LabError> {
    let (left, right) = (lab.node("left")?, lab.node("right")?);
    let (one, two) = (Host::new(lab, 1)?, Host::new(lab, 2)?);
    let pair = [start(lab, &left, "10.99.0.1", &one)?, start(lab, &right, "10.99.0.2", &two)?];
    traffic::wait_for_ping(&one.node, &two.ipv4)?;
    traffic::wait_for_ping(&two.node, &one.ipv6)?;
    Ok(pair)
}
