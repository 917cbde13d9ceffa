//! Service chains: IP-VPNs that announce routes of others again lead traffic through the hosts behind their ports, which
//! forward it between two interfaces.

use bagpipe_agent::lab::{Agent, LabError, wait_until};
use bagpipe_tests::edges::{Edges, Family, Form, Site};
use bagpipe_tests::{SOON, traffic};

/// The network of the client, and that of the server.
const CLIENT: u8 = 1;
const SERVER: u8 = 2;

#[test]
fn two_functions_behind_two_nodes() -> Result<(), LabError> {
    let mut edges = Edges::new(Form::Udp, Family::V4, 2)?;
    let (client, server) = ends(&mut edges, 2)?;
    let first = Function::new(&mut edges, 2, 1)?;
    let second = Function::new(&mut edges, 1, 2)?;
    assert!(!traffic::pings(&client.node, &server.ipv4), "no function leads there");
    first.attach(&edges, &target(0), &target(1), &[])?;
    second.attach(&edges, &target(1), &target(9), &[])?;
    assert_chained(&edges, &client, &server, &[&first, &second])?;

    // What is announced again is so after a restart, which no packet notices.
    edges.agents[1].kill();
    edges.agents[1].resume()?;
    assert_chained(&edges, &client, &server, &[&first, &second])?;

    second.detach(&edges)?;
    wait_until(SOON, "nothing leads to the server", || {
        (!traffic::pings(&client.node, &server.ipv4)).then_some(())
    })?;
    edges.verify()
}

#[test]
fn three_functions_where_packets_go_by_vxlan() -> Result<(), LabError> {
    let mut edges = Edges::new(Form::Vxlan, Family::V4, 3)?;
    let (client, server) = ends(&mut edges, 3)?;
    let functions = (1..=3).map(|number| Function::new(&mut edges, number, number));
    let functions = functions.collect::<Result<Vec<_>, _>>()?;
    for (number, function) in (0..).zip(&functions) {
        let right = if number == 2 { 9 } else { number + 1 };
        function.attach(&edges, &target(number), &target(right), &[])?;
    }
    assert_chained(&edges, &client, &server, &functions.iter().collect::<Vec<_>>())
}

#[test]
fn equal_functions_share_the_load() -> Result<(), LabError> {
    let mut edges = Edges::new(Form::Udp, Family::V4, 2)?;
    let (client, server) = ends(&mut edges, 2)?;
    let near = Function::new(&mut edges, 1, 1)?;
    let far = Function::new(&mut edges, 2, 2)?;
    for (order, function) in [("1", &near), ("2", &far)] {
        function.attach(&edges, &target(0), &target(9), &["--lb-order", order])?;
    }
    for function in [&near, &far] {
        assert_chained(&edges, &client, &server, &[])?;
        wait_until(SOON, "some flows go through each function", || {
            let before = function.forwarded();
            for port in 4000..4032 {
                let ends = (format!("{}:{port}", client.ipv4), format!("{}:{port}", server.ipv4));
                client.node.send_udp(ends.0.parse().ok()?, ends.1.parse().ok()?, b"flow", 1).ok()?;
            }
            (function.forwarded() >= before + 4).then_some(())
        })?;
    }
    edges.verify()
}

/// A client behind the first node and a server behind another, each in a network of its own.
fn ends(edges: &mut Edges, node: u8) -> Result<(Site, Site), LabError> {
    let client = edges.attach_site(1, "client", CLIENT, &target(0))?;
    let server = edges.attach_site(node, "server", SERVER, &target(9))?;
    for site in [&client, &server] {
        // Segments that come out of a tunnel go into none while they are one packet of this kernel, whose parts the
        // functions are.
        site.node.run(&["ethtool", "-K", "eth0", "tso", "off", "gso", "off"])?;
    }
    Ok((client, server))
}

/// The route target of a network between two functions: 0 is the client's, 9 the server's.
fn target(number: u8) -> String {
    format!("64512:{}", 100 + u32::from(number))
}

/// Asserts that client and server reach each other, and that what they say goes through all of the functions.
fn assert_chained(
    edges: &Edges,
    client: &Site,
    server: &Site,
    functions: &[&Function],
) -> Result<(), LabError> {
    for (address, back) in [(&server.ipv4, &client.ipv4), (&server.ipv6, &client.ipv6)] {
        traffic::wait_for_ping(&client.node, address)?;
        traffic::wait_for_ping(&server.node, back)?;
    }
    let before: Vec<u64> = functions.iter().map(|function| function.forwarded()).collect();
    traffic::wait_for_ping(&client.node, &server.ipv4)?;
    for (function, before) in functions.iter().zip(before) {
        assert!(function.forwarded() >= before + 2, "{} is passed by", function.left.port);
    }
    let bits = traffic::tcp_throughput(&client.node, &server.node, &server.ipv4)?;
    assert!(bits > 5e6, "TCP through the chain: {bits} bit/s\n{}", edges.drops());
    edges.verify()
}

/// A host that forwards between two interfaces.
struct Function {
    /// Number of its node.
    node: u8,
    /// Towards the client.
    left: Site,
    /// Towards the server.
    right: Site,
}

impl Function {
    fn new(edges: &mut Edges, node: u8, number: u8) -> Result<Self, LabError> {
        let [left, right] = edges.add_function(node, number, SERVER)?;
        Ok(Self { node, left, right })
    }

    /// Puts it between two networks, for both directions.
    fn attach(&self, edges: &Edges, left: &str, right: &str, options: &[&str]) -> Result<(), LabError> {
        for (site, own, other) in [(&self.left, left, right), (&self.right, right, left)] {
            let words = ["--rt", own, "--readv-from-rt", other, "--readv-to-rt", own];
            site.attach(agent(edges, self.node), &site.port, &[&words[..], options].concat())?;
        }
        Ok(())
    }

    fn detach(&self, edges: &Edges) -> Result<(), LabError> {
        [&self.left, &self.right]
            .into_iter()
            .try_for_each(|site| site.detach(agent(edges, self.node), &site.port))
    }

    /// IPv4 packets that it has forwarded.
    fn forwarded(&self) -> u64 {
        let text = self.left.node.run(&["cat", "/proc/net/snmp"]).unwrap_or_default();
        let mut lines = text.lines().filter_map(|line| line.strip_prefix("Ip: ")).map(str::split_whitespace);
        let (names, values) = (lines.next(), lines.next());
        let mut counters = names.into_iter().flatten().zip(values.into_iter().flatten());
        let counter = counters.find(|(name, _)| *name == "ForwDatagrams");
        counter.and_then(|(_, value)| value.parse().ok()).unwrap_or_default()
    }
}

fn agent(edges: &Edges, number: u8) -> &Agent {
    &edges.agents[usize::from(number) - 1]
}
