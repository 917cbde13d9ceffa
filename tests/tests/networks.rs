//! Networks that are more than one host behind each node: VLANs inside ports, several ports on a node, and a whole run
//! as a stranger sees it.

use bagpipe_agent::lab::{Capture, Host, LabError, wait_until};
use bagpipe_tests::fabric::{Fabric, Reflector, VNI, attachment, fdb, sessions};
use bagpipe_tests::packet::{Ipv4, ethernet, tagged, udp};
use bagpipe_tests::{SOON, traffic, tshark};

#[test]
fn vlans_inside_ports() -> Result<(), LabError> {
    let fabric = Fabric::new(2)?;
    let [one, two] = fabric.hosts.as_slice() else { unreachable!("two nodes") };
    let (source, destination) = ([2, 0, 0, 0, 0, 1], [2, 0, 0, 0, 0, 2]);
    let capture = Capture::start(fabric.underlay.node(), "bridge", "udp port 4789")?;
    let ip = Ipv4::new([10, 6, 0, 1], [10, 6, 0, 2], 17).packet(&udp(7, 7, &[0x55; 200]));
    let plain = ethernet(destination, source, 0x0800, &ip);
    let everyone = ethernet([0xff; 6], source, 0x0800, &ip);
    let frames = [
        tagged(&plain, 0x8100, 5),
        tagged(&tagged(&plain, 0x8100, 7), 0x88a8, 9),
        // Priority 3, to everyone.
        tagged(&everyone, 0x8100, 0x6005),
        tagged(&tagged(&everyone, 0x8100, 7), 0x8100, 9),
    ];
    for frame in frames {
        let sent: String = frame.iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!(traffic::carry(&one.node, &two.node, &frame)?, sent);
    }
    tshark::assert_well_formed(&capture.stop()?, &["vxlan && vlan.id == 5", "vxlan && vlan.id == 9"]);
    fabric.verify()
}

#[test]
fn several_hosts_behind_a_node() -> Result<(), LabError> {
    let mut fabric = Fabric::new(3)?;
    fabric.add_host(1, 4)?;
    fabric.add_host(1, 5)?;
    fabric.settle()?;
    fabric.assert_whole()?;

    let (one, neighbor) = (&fabric.hosts[0], &fabric.hosts[3]);
    let capture =
        Capture::start(fabric.underlay.node(), "bridge", "udp port 4789 and greater 100 and less 200")?;
    for _ in 0..5 {
        traffic::wait_for_ping(&one.node, &neighbor.ipv4)?;
        traffic::wait_for_ping(&one.node, &neighbor.ipv6)?;
    }
    let crossed = tshark::packets(&capture.stop()?, &format!("ip.addr == {}", neighbor.ipv4));
    assert_eq!(crossed, "", "what is for the same node stays on it");

    // One copy for each other port of the instance, here and on the other nodes; none for the sender.
    let filter = "ether dst ff:ff:ff:ff:ff:ff and icmp";
    let captures = fabric.hosts.iter().map(|host| Capture::start(&host.node, Host::INTERFACE, filter));
    let captures = captures.collect::<Result<Vec<_>, _>>()?;
    one.node.output(&["ping", "-n", "-b", "-c", "1", "-W", "1", "192.168.10.255"])?;
    for (host, capture) in fabric.hosts.iter().zip(captures) {
        let packets = tshark::packets(&capture.stop()?, "icmp");
        // The sender has the packet that it sent.
        assert_eq!(packets.lines().count(), 1, "{}:\n{packets}", host.node.name());
    }
    fabric.verify()
}

/// Sessions, routes, every kind of traffic, changes and restarts, in one capture.
#[test]
fn a_whole_run_is_well_formed() -> Result<(), LabError> {
    let mut fabric = Fabric::new(0)?;
    let capture = Capture::start(fabric.underlay.node(), "bridge", "tcp port 179 or udp port 4789")?;
    for number in 1..=3 {
        fabric.add_node(number)?;
    }
    fabric.settle()?;
    fabric.assert_whole()?;
    {
        let [one, two, _] = fabric.hosts.as_slice() else { unreachable!("three nodes") };
        traffic::tcp_throughput(&one.node, &two.node, &two.ipv4)?;
        traffic::tcp_throughput(&one.node, &two.node, &two.ipv6)?;
        one.node.run(&["ping", "-n", "-c", "1", "-W", "1", "-s", "4000", &two.ipv4])?;
        one.node.output(&["ping", "-n", "-b", "-c", "1", "-W", "1", "192.168.10.255"])?;
        assert!(!traffic::pings(&one.node, "192.168.10.77"), "nobody has this address");

        let (left, right) = (&fabric.agents[0], &fabric.agents[1]);
        right.detach(&attachment(two))?;
        wait_until(SOON, "the host is gone", || fdb(left, &two.mac).is_none().then_some(()))?;
        right.attach(&attachment(two))?;
    }
    fabric.settle()?;
    fabric.agents[2].kill();
    fabric.agents[2].resume()?;
    let Reflector::Bagpipe(reflector) = &mut fabric.reflector else { unreachable!("our own reflector") };
    reflector.stop()?;
    reflector.resume()?;
    for agent in &fabric.agents {
        wait_until(SOON, "the session is back", || (sessions(agent) == 1).then_some(()))?;
    }
    fabric.settle()?;
    fabric.assert_whole()?;

    let file = capture.stop()?;
    let vxlan = format!("vxlan.vni == {VNI}");
    let expected = ["bgp.type == 1", "bgp.type == 2", "bgp.type == 4", &format!("{vxlan} && icmp")];
    tshark::assert_well_formed(&file, &expected);
    tshark::assert_well_formed(&file, &[&format!("{vxlan} && tcp"), &format!("{vxlan} && arp")]);
    let errors = tshark::packets(&file, "_ws.expert.severity == error");
    assert_eq!(errors, "", "tshark takes these for errors");
    Ok(())
}
