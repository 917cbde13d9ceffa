//! Ports that are VLANs on a trunk: the program by itself, and networks behind two trunks.

use bagpipe_agent::lab::{Agent, LabError, Node, Process, wait_until};
use bagpipe_common::{DropReason, FloodScope, Port, Vpn, mapped, neighbor_flags, port_flags};
use bagpipe_tests::edges::{Edges, Family, Form};
use bagpipe_tests::packet::{Ipv4, Mac, ethernet, tagged, udp};
use bagpipe_tests::programs::{Copy, REDIRECT, SHOT, port};
use bagpipe_tests::{SOON, traffic};

const A: Mac = [2, 0, 0, 0, 0, 0xa];
const B: Mac = [2, 0, 0, 0, 0, 0xb];
/// No interface has it: nothing leaves the machine.
const ABSENT: u32 = 0x7fff_fff0;
const C_TAG: u16 = 0x8100;

#[test]
fn the_tag_says_which_port_a_frame_comes_from() {
    let mut node = Copy::load();
    for (vpn, number, vlan) in [(7, 1, 0), (8, 2, 31), (9, 3, 32)] {
        node.vpn(vpn, Vpn { vni: u32::from(vpn), local_ports: 2, remote_endpoints: 0 });
        node.vlan(1, u32::from(vlan), number);
        node.port(number, Port { ifindex: 1, vpn, flags: vlan << port_flags::VLAN_SHIFT });
        node.port(number + 10, Port { ifindex: ABSENT, vpn, flags: 0 });
        for (mac, number) in [(A, number), (B, number + 10)] {
            node.mac(vpn, mac, port(number));
        }
        node.neighbor(vpn, mapped([192, 168, 0, 1]), A, neighbor_flags::LOCAL | number as u16);
        node.member(vpn, FloodScope::Local, 0, port(number));
        node.member(vpn, FloodScope::Local, 1, port(number + 10));
    }
    let packet = Ipv4::new([192, 168, 0, 1], [192, 168, 0, 2], 17).packet(&udp(1, 2, &[0x55; 64]));
    let plain = ethernet(B, A, 0x0800, &packet);
    for (vlan, number) in [(0, 1), (31, 2), (0x6000 | 32, 3)] {
        let (action, after) = node.run("port_ingress", &tagged(&plain, C_TAG, vlan));
        assert_eq!(action, REDIRECT, "VLAN {vlan}");
        assert_eq!(node.counters("PORT_STATS", number).rx_packets, 1);
        assert_eq!(node.counters("PORT_STATS", number + 10).tx_packets, 1);
        assert_eq!(after, plain, "the tag ends here");
    }
    assert_eq!(node.run("port_ingress", &plain).0, REDIRECT);
    assert_eq!(node.counters("PORT_STATS", 1).rx_packets, 2);
    // VLANs inside a VLAN are the tenant's.
    let inner = tagged(&plain, C_TAG, 5);
    assert_eq!(node.run("port_ingress", &tagged(&inner, C_TAG, 31)).0, REDIRECT);
    assert_eq!(node.counters("PORT_STATS", 2).rx_packets, 2);

    let before = node.drops(DropReason::Unattached).packets;
    assert_eq!(node.run("port_ingress", &tagged(&plain, C_TAG, 33)).0, SHOT);
    assert_eq!(node.drops(DropReason::Unattached).packets, before + 1);
}

/// VLANs 31 and 32 of a trunk on each of two nodes: on the first, 31 is in an E-VPN and 32 in an IP-VPN; on the second
/// it is the other way round.
#[test]
fn two_vlans_of_a_trunk_are_in_two_networks() -> Result<(), LabError> {
    let mut edges = Edges::new(Form::Udp, Family::V4, 2)?;
    let one = Trunk::new(&edges, 1, 31, 32)?;
    let two = Trunk::new(&edges, 2, 32, 31)?;
    let all_reached = || -> Result<(), LabError> {
        traffic::wait_for_ping(&one.bridged, "192.168.7.2")?;
        traffic::wait_for_ping(&two.bridged, "192.168.7.1")?;
        traffic::wait_for_ping(&one.routed, "10.7.2.2")?;
        traffic::wait_for_ping(&two.routed, "10.7.1.2")?;
        traffic::wait_for_ping(&one.routed, "10.7.1.1")
    };
    all_reached()?;
    edges.verify()?;

    edges.agents[0].kill();
    edges.agents[0].resume()?;
    all_reached()?;
    edges.verify()?;

    // The other VLAN stays when one goes.
    let agent = &edges.agents[0];
    detach(agent, "ipvpn", "red", &mac(1, 2))?;
    wait_until(SOON, "the routed VLAN is gone", || (!traffic::pings(&one.routed, "10.7.1.1")).then_some(()))?;
    traffic::wait_for_ping(&one.bridged, "192.168.7.2")?;
    detach(agent, "evpn", "blue", &mac(1, 1))?;
    edges.verify()
}

/// A trunk, and a host on each of its two VLANs.
struct Trunk {
    bridged: Node,
    routed: Node,
    _splitter: Process,
}

impl Trunk {
    fn new(edges: &Edges, number: u8, bridged: u16, routed: u16) -> Result<Self, LabError> {
        let (lab, agent) = (&edges.lab, &edges.agents[usize::from(number) - 1]);
        let split = lab.node(&format!("split{number}"))?;
        lab.link((agent.node(), "veth0"), (&split, "eth0"))?;
        let hosts =
            [("blue", 1, format!("192.168.7.{number}/24")), ("red", 2, format!("10.7.{number}.2/24"))];
        let hosts = hosts.map(|(name, network, address)| {
            let host = lab.node(&format!("{name}{number}"))?;
            lab.link((&split, name), (&host, "eth0"))?;
            host.mac("eth0", &mac(number, network))?;
            // What is read from a packet socket has to have its checksums.
            host.run(&["ethtool", "-K", "eth0", "tx", "off", "gso", "off", "tso", "off"])?;
            host.address("eth0", &address)?;
            Ok::<_, LabError>(host)
        });
        let [blue, red] = hosts;
        let (blue, red) = (blue?, red?);
        let vlans = [format!("blue:{bridged}"), format!("red:{routed}")];
        let mut splitter = split.spawn("splitter", &["python3", "-c", SPLITTER, &vlans[0], &vlans[1]])?;
        splitter
            .wait_ready(SOON, "splitter", |process| process.printed().starts_with("ready").then_some(()))?;

        let gateway = format!("10.7.{number}.1");
        red.ip(&["route", "add", "10.7.0.0/16", "via", &gateway])?;
        let (bridged, routed) = (format!("veth0:{bridged}"), format!("veth0:{routed}"));
        let evpn = ["attach", "--vpn", "blue", "--rt", "64512:1", "--port", &bridged];
        let own = ["--mac", &mac(number, 1), "--ip", &format!("192.168.7.{number}")];
        agent.cli(&[&evpn[..], &own].concat())?;
        let ipvpn = ["attach", "--type", "ipvpn", "--vpn", "red", "--rt", "64512:2", "--port", &routed];
        let address = format!("10.7.{number}.2/24");
        let own = ["--mac", &mac(number, 2), "--ip", &address, "--gateway-ip", &gateway];
        agent.cli(&[&ipvpn[..], &own].concat())?;
        Ok(Self { bridged: blue, routed: red, _splitter: splitter })
    }
}

fn mac(number: u8, network: u8) -> String {
    format!("02:00:00:00:0{network}:{number:02x}")
}

fn detach(agent: &Agent, vpn_type: &str, vpn: &str, mac: &str) -> Result<(), LabError> {
    agent.cli(&["detach", "--type", vpn_type, "--vpn", vpn, "--port", "veth0", "--mac", mac]).map(drop)
}

/// A switch between the trunk `eth0` and an interface for each VLAN, given as NAME:VLAN, for kernels without VLANs.
const SPLITTER: &str = "
import select, socket, struct, sys
SOL_PACKET, AUXDATA, OUTGOING, VALID = 263, 8, 4, 1 << 4
def opened(name):
    link = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(3))
    link.setsockopt(SOL_PACKET, AUXDATA, 1)
    link.bind((name, 0))
    return link
trunk = opened('eth0')
access = {int(vlan): opened(name) for name, vlan in (word.split(':') for word in sys.argv[1:])}
vlan_of = {link: vlan for vlan, link in access.items()}
print('ready', flush=True)
while True:
    for link in select.select([trunk, *vlan_of], [], [])[0]:
        frame, notes, _, source = link.recvmsg(65536, 512)
        if source[2] == OUTGOING:
            continue
        if link is trunk:
            for level, kind, data in notes:
                status, _, _, _, _, control, _ = struct.unpack('IIIHHHH', data[:20])
                if status & VALID and control & 0xfff in access:
                    access[control & 0xfff].send(frame)
        else:
            trunk.send(frame[:12] + struct.pack('!HH', 0x8100, vlan_of[link]) + frame[12:])
";
