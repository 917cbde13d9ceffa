//! E-VPN over MPLS (RFC 7432): frames under labels, in each form.

use bagpipe_agent::lab::{Agent, Capture, LabError, wait_until};
use bagpipe_tests::edges::{Edges, Family, Form, Site};
use bagpipe_tests::fabric::UNDERLAY;
use bagpipe_tests::packet::{ethernet, tagged};
use bagpipe_tests::{SOON, traffic, tshark};

#[test]
fn frames_on_ethernet() -> Result<(), LabError> {
    frames_cross(Form::Ethernet, Family::V4)
}

#[test]
fn frames_in_gre() -> Result<(), LabError> {
    frames_cross(Form::Gre, Family::V4)
}

#[test]
fn frames_in_udp() -> Result<(), LabError> {
    frames_cross(Form::Udp, Family::V4)
}

#[test]
fn frames_in_udp_over_ipv6() -> Result<(), LabError> {
    frames_cross(Form::Udp, Family::V6)
}

/// Three hosts of one E-VPN behind three nodes.
fn frames_cross(form: Form, family: Family) -> Result<(), LabError> {
    let mut edges = Edges::new(form, family, 3)?;
    let mut hosts = Vec::new();
    for number in 1..=3 {
        let host = edges.add_host(number, &format!("host{number}"), 1, number + 10)?;
        attach(&edges.agents[usize::from(number) - 1], &host)?;
        // Room for any form in the underlay of 1500 bytes.
        host.node.mtu("eth0", 1430)?;
        hosts.push(host);
    }
    let [one, two, three] = hosts.as_slice() else { unreachable!("three hosts") };
    let capture = Capture::start(edges.agents[0].node(), UNDERLAY, "not port 179")?;
    edges.assert_meshed(&[one, two, three])?;
    broadcast_reaches_all(one, &[two, three])?;
    tags_are_kept(one, two)?;
    let capture = capture.stop()?;
    tshark::assert_well_formed(&capture, &[form.filter()]);
    for on in ["off", "on"] {
        let features = ["ethtool", "-K", "eth0", "tx", on, "tso", on, "gso", on, "gro", on];
        one.node.run(&features)?;
        two.node.run(&features)?;
        for address in [&two.ipv4, &two.ipv6] {
            let bits = traffic::tcp_throughput(&one.node, &two.node, address)?;
            assert!(bits > 5e7, "TCP to {address} with offloads {on}: {bits} bit/s");
        }
    }
    edges.agents[1].kill();
    edges.agents[1].resume()?;
    edges.assert_meshed(&[one, two, three])
}

fn attach(agent: &Agent, host: &Site) -> Result<(), LabError> {
    let words = ["attach", "--type", "evpn", "--vpn", "lan", "--rt", "64512:11"];
    let port = ["--port", &host.port, "--mac", &host.mac, "--ip", &host.ipv4, "--ip", &host.ipv6];
    agent.cli(&[&words[..], &port].concat()).map(drop)
}

fn broadcast_reaches_all(from: &Site, to: &[&Site]) -> Result<(), LabError> {
    let captures = to.iter().map(|host| Capture::start(&host.node, "eth0", "icmp and ether broadcast"));
    let captures = captures.collect::<Result<Vec<_>, _>>()?;
    from.node.output(&["ping", "-n", "-b", "-c", "1", "-W", "1", "10.1.1.255"])?;
    for capture in captures {
        let seen = tshark::packets(&capture.stop()?, "icmp");
        assert_eq!(seen.lines().count(), 1, "{seen}");
    }
    Ok(())
}

fn tags_are_kept(from: &Site, to: &Site) -> Result<(), LabError> {
    let mac = |text: &str| -> [u8; 6] {
        let octets: Vec<u8> =
            text.split(':').filter_map(|octet| u8::from_str_radix(octet, 16).ok()).collect();
        octets.try_into().unwrap_or_default()
    };
    let frame = tagged(&ethernet(mac(&to.mac), mac(&from.mac), 0x88b5, &[0x5a; 60]), 0x8100, 7);
    let arrived = wait_until(SOON, "a tagged frame", || traffic::carry(&from.node, &to.node, &frame).ok())?;
    let sent: String = frame.iter().map(|octet| format!("{octet:02x}")).collect();
    assert_eq!(arrived, sent);
    Ok(())
}
