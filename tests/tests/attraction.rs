//! Attraction of traffic: an IP-VPN tells others by flow specifications (RFC 8955) which packets it wants; those are led
//! through the host behind its port, all others go on as before.

use std::fs;
use std::net::SocketAddr;

use bagpipe_agent::lab::{Agent, LabError, Node, wait_until};
use bagpipe_tests::edges::{Edges, Family, Form, Site};
use bagpipe_tests::fabric::UNDERLAY;
use bagpipe_tests::gobgp::Reflector;
use bagpipe_tests::{SOON, traffic};
use serde_json::Value;

const CLIENTS: &str = "64512:100";
const SERVERS: &str = "64512:109";
const ATTRACTED: &str = "64512:300";

#[test]
fn what_is_attracted_goes_through_the_function_and_nothing_else() -> Result<(), LabError> {
    attracts(Form::Udp)
}

#[test]
fn what_is_attracted_goes_by_vxlan() -> Result<(), LabError> {
    attracts(Form::Vxlan)
}

fn attracts(form: Form) -> Result<(), LabError> {
    let mut edges = Edges::new(form, Family::V4, 2)?;
    let client = edges.add_site(1, "client", 1)?;
    client.attach(&edges.agents[0], "client", &["--rt", CLIENTS, "--import-rt", SERVERS])?;
    let server = edges.add_site(2, "server", 2)?;
    server.attach(&edges.agents[1], "server", &["--rt", SERVERS, "--import-rt", CLIENTS])?;
    let function = Function::new(&mut edges)?;
    let gobgp = gobgp(&edges)?;
    edges.assert_meshed(&[&client, &server])?;

    function.attach(&edges.agents[1])?;
    for (address, family) in [(&server.ipv4, "ipv4-l3vpn-flowspec"), (&server.ipv6, "ipv6-l3vpn-flowspec")] {
        wait_until(SOON, "GoBGP has the flow specification", || {
            let rules = gobgp.gobgp(&["global", "rib", "-a", family]).ok()?;
            (rules.contains(address.as_str()) && rules.contains(ATTRACTED)).then_some(())
        })?;
    }
    for (from, to) in [(&client.ipv4, &server.ipv4), (&client.ipv6, &server.ipv6)] {
        wait_until(SOON, "an attracted packet goes through the function to the server", || {
            let before = (function.forwarded(), received(&server.node));
            send(&client, from, to, 5005).ok()?;
            let passed =
                || (function.forwarded() > before.0 && received(&server.node) > before.1).then_some(());
            wait_until(SOON / 10, "it is there", passed).ok()
        })
        .inspect_err(|_| eprintln!("{}", edges.drops()))?;
        let before = function.forwarded();
        for port in [4999, 5011] {
            let arrived = received(&server.node);
            send(&client, from, to, port)?;
            wait_until(SOON, "another packet", || (received(&server.node) > arrived).then_some(()))?;
        }
        traffic::wait_for_ping(&client.node, to)?;
        assert_eq!(function.forwarded(), before, "what is not attracted");
    }
    edges.verify()?;

    function.detach(&edges.agents[1])?;
    wait_until(SOON, "nothing is attracted", || {
        let shown = edges.agents[0].json(&["show", "vpns"]).ok()?.to_string();
        (!shown.contains("redirect-to-ipvpn")).then_some(())
    })?;
    let (before, arrived) = (function.forwarded(), received(&server.node));
    send(&client, &client.ipv4, &server.ipv4, 5005)?;
    wait_until(SOON, "the packet", || (received(&server.node) > arrived).then_some(()))?;
    assert_eq!(function.forwarded(), before);
    edges.verify()
}

/// Whoever restarts, no packet is lost, and none goes past the function; what is not told again is attracted no longer.
#[test]
fn what_is_attracted_goes_on_over_restarts() -> Result<(), LabError> {
    let mut edges = Edges::new(Form::Udp, Family::V4, 2)?;
    let client = edges.add_site(1, "client", 1)?;
    client.attach(&edges.agents[0], "client", &["--rt", CLIENTS, "--import-rt", SERVERS])?;
    let server = edges.add_site(2, "server", 2)?;
    server.attach(&edges.agents[1], "server", &["--rt", SERVERS, "--import-rt", CLIENTS])?;
    let function = Function::new(&mut edges)?;
    edges.assert_meshed(&[&client, &server])?;
    function.attach(&edges.agents[1])?;
    wait_until(SOON, "packets go through the function", || {
        let before = function.forwarded();
        send(&client, &client.ipv4, &server.ipv4, 5005).ok()?;
        wait_until(SOON / 10, "it is there", || (function.forwarded() > before).then_some(())).ok()
    })?;
    let redirects = edges.agents[0].json(&["show", "vpns"])?;

    let start = (function.forwarded(), received(&server.node));
    let sender = client.node.spawn("stream", &["python3", "-c", STREAM, &server.ipv4])?;
    for number in [0, 1, 0] {
        let agent = &mut edges.agents[number];
        agent.kill();
        agent.resume()?;
        wait_until(SOON, "the agent knows all routes", || {
            agent.json(&["status"]).ok()?["converged"].as_bool()?.then_some(())
        })?;
        let before = received(&server.node);
        wait_until(SOON, "more packets", || (received(&server.node) > before + 50).then_some(()))?;
    }
    let log = sender.log().to_owned();
    sender.interrupt(SOON)?;
    let text = fs::read_to_string(&log).expect("what the sender printed");
    let sent: u64 = text.trim().parse().expect("how many packets it sent");
    wait_until(SOON, "all packets", || (received(&server.node) - start.1 >= sent).then_some(()))
        .inspect_err(|_| eprintln!("{} of {sent}\n{}", received(&server.node) - start.1, edges.drops()))?;
    assert_eq!((function.forwarded() - start.0, received(&server.node) - start.1), (sent, sent));
    let names = |vpns: &Value| {
        let members = vpns.as_array().into_iter().flatten();
        members.map(|vpn| (vpn["name"].clone(), vpn["number"].clone())).collect::<Vec<_>>()
    };
    assert_eq!(names(&edges.agents[0].json(&["show", "vpns"])?), names(&redirects));
    edges.verify()?;

    edges.agents[0].kill();
    function.detach(&edges.agents[1])?;
    edges.agents[0].resume()?;
    wait_until(SOON, "nothing is attracted", || {
        let shown = edges.agents[0].json(&["show", "vpns"]).ok()?.to_string();
        (!shown.contains("redirect-to-ipvpn")).then_some(())
    })?;
    let arrived = received(&server.node);
    send(&client, &client.ipv4, &server.ipv4, 5005)?;
    wait_until(SOON, "the packet", || (received(&server.node) > arrived).then_some(()))?;
    edges.verify()
}

/// A Python script that sends a datagram each two milliseconds, and prints how many it has sent when it is interrupted.
const STREAM: &str = "
import signal, socket, sys, time
stream, sent, going = socket.socket(socket.AF_INET, socket.SOCK_DGRAM), 0, True
def end(*_):
    global going
    going = False
signal.signal(signal.SIGINT, end)
while going:
    stream.sendto(b'flow', (sys.argv[1], 5005))
    sent += 1
    time.sleep(0.002)
print(sent, flush=True)
";

/// A host that forwards from one interface to the other.
struct Function {
    left: Site,
    right: Site,
}

impl Function {
    fn new(edges: &mut Edges) -> Result<Self, LabError> {
        let [left, right] = edges.add_function(2, 1, 2)?;
        Ok(Self { left, right })
    }

    /// Attracts UDP from the clients to a range of the servers' ports.
    fn attach(&self, agent: &Agent) -> Result<(), LabError> {
        let attract = ["--redirect-rts", CLIENTS, "--protocol", "udp", "--destination-port", "5000:5010"];
        let readvertise = ["--readv-from-rt", SERVERS, "--readv-to-rt", ATTRACTED];
        let left = ["--import-rt", CLIENTS];
        self.left.attach(agent, "left", &[&left[..], &readvertise, &attract].concat())?;
        self.right.attach(agent, "right", &["--import-rt", SERVERS, "--direction", "from-port"])
    }

    fn detach(&self, agent: &Agent) -> Result<(), LabError> {
        self.left.detach(agent, "left")?;
        self.right.detach(agent, "right")
    }

    /// Packets that it has forwarded.
    fn forwarded(&self) -> u64 {
        counter(&self.left.node, "IpForwDatagrams") + counter(&self.left.node, "Ip6OutForwDatagrams")
    }
}

/// Datagrams that came to a host, to a port where nobody listens.
fn received(node: &Node) -> u64 {
    counter(node, "UdpNoPorts") + counter(node, "Udp6NoPorts")
}

/// A counter of the kernel of a host.
fn counter(node: &Node, name: &str) -> u64 {
    let text = node.run(&["nstat", "-asz", name]).unwrap_or_default();
    let line = text.lines().find(|line| line.starts_with(name));
    line.and_then(|line| line.split_whitespace().nth(1)?.parse().ok()).unwrap_or_default()
}

fn send(client: &Site, from: &str, to: &str, port: u16) -> Result<(), LabError> {
    let socket = |address: &str, port| SocketAddr::new(address.parse().expect("an address"), port);
    client.node.send_udp(socket(from, 4000), socket(to, port), b"flow", 1)
}

/// A GoBGP that the reflector tells of flow specifications.
fn gobgp(edges: &Edges) -> Result<Reflector, LabError> {
    let node = edges.lab.node("gobgp")?;
    edges.underlay.plug(&node, UNDERLAY)?;
    node.address(UNDERLAY, &Family::V4.prefix(50))?;
    let family = |name: &str| {
        format!("[[neighbors.afi-safis]]\n[neighbors.afi-safis.config]\nafi-safi-name = \"{name}\"\n")
    };
    let families = ["l3vpn-ipv4-flowspec", "l3vpn-ipv6-flowspec"].map(family).concat();
    let configuration = format!(
        "[global.config]\nas = 64512\nrouter-id = \"10.98.0.50\"\n\
         [[neighbors]]\n[neighbors.config]\nneighbor-address = \"10.98.0.254\"\npeer-as = 64512\n\
         [neighbors.timers.config]\nconnect-retry = 1\n{families}"
    );
    Reflector::configured(&edges.lab, &node, &configuration)
}
