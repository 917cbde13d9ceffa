//! A node that imports what it is sent: how soon all of it is in the kernel, and how soon all of it is gone.

use std::io::{Read, Write};
use std::net::TcpListener;
use std::os::unix::net::UnixStream;
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use bagpipe_agent::lab::{Agent, Lab, LabError, Node, wait_until};
use bagpipe_bgp::types::Family;
use bagpipe_tests::bagpipe;
use bagpipe_tests::bagpipe_bgp::{BagpipeBgp, Driver, Options};
use bagpipe_tests::frr::Frr;
use bagpipe_tests::kernel::Vtep;
use bagpipe_tests::speaker::within;
use serde_json::Value;

use crate::client::{Client, REFLECTOR, SOURCE};
use crate::process::processor_time;
use crate::routes::{Routes, VPN};
use crate::{ROUNDS, median};

const ROUTES: u32 = 100_000;
const WITHDRAWN: u32 = 50_000;
/// Far longer than it takes.
const LIMIT: Duration = Duration::from_secs(120);

/// Seconds until something was done, and seconds of a processor that it took.
type Times = (f64, f64);

/// Prints how long it takes from the first octet sent until the kernel has all routes.
pub fn report() -> Result<(), LabError> {
    let routes = Routes::of_one_vpn(Family::EVPN, ROUTES);
    let (mut ours, mut others) = (Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        ours.push(into_maps(&routes)?);
        others.push(into_kernel_fdb(&routes)?);
    }
    let predecessors = into_predecessor(&routes)?;
    println!("{ROUTES} E-VPN type 2 routes imported by a node");
    let (ours, others) = (medians(&ours), medians(&others));
    print("bagpipe, in the BPF maps", ours, ours);
    print("FRR, in the kernel's FDB", others, ours);
    match predecessors {
        Some(times) => print("bagpipe-bgp, without FDB", times, ours),
        None => println!("  {:<26} more than {} s", "bagpipe-bgp, without FDB", LIMIT.as_secs()),
    }
    println!();
    Ok(())
}

/// Prints how long it takes from the first octet of the withdrawals until the maps hold none of the routes.
pub fn report_withdrawal() -> Result<(), LabError> {
    let announced = Routes::of_one_vpn(Family::EVPN, WITHDRAWN).bytes();
    let withdrawn = Routes::withdrawn(Family::EVPN, WITHDRAWN).bytes();
    let (mut withdrawals, mut ends) = (Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        for (withdraw, times) in [(true, &mut withdrawals), (false, &mut ends)] {
            let node = ImportingNode::new()?;
            let mut source = node.source()?;
            source.send(&announced);
            node.wait_for(WITHDRAWN)?;
            let stopwatch = Stopwatch::start(node.agent.process_id().into_iter().collect());
            // Without graceful restart, what a session brought goes with it.
            let _kept = if withdraw {
                source.send(&withdrawn);
                Some(source)
            } else {
                drop(source);
                None
            };
            node.wait_for(0)?;
            times.push(stopwatch.read());
        }
    }
    println!("{WITHDRAWN} MAC addresses of a remote node gone from the BPF maps");
    let (withdrawals, ends) = (medians(&withdrawals), medians(&ends));
    print("each withdrawn", withdrawals, withdrawals);
    print("with the session", ends, withdrawals);
    println!();
    Ok(())
}

fn medians(times: &[Times]) -> Times {
    let of = |value: fn(&Times) -> f64| median(times.iter().map(value).collect());
    (of(|times| times.0), of(|times| times.1))
}

fn print(what: &str, (time, processor): Times, (first, first_processor): Times) {
    println!(
        "  {what:<26}{time:>8.3} s   ratio {:>6.2}   processor {processor:>7.3} s   ratio {:>6.2}",
        time / first,
        processor / first_processor
    );
}

/// Of the time, and of that of some processes.
struct Stopwatch {
    processes: Vec<u32>,
    start: Instant,
    busy: f64,
}

impl Stopwatch {
    fn start(processes: Vec<u32>) -> Self {
        let busy = processes.iter().copied().map(processor_time).sum();
        Self { processes, start: Instant::now(), busy }
    }

    fn read(&self) -> Times {
        let busy: f64 = self.processes.iter().copied().map(processor_time).sum();
        (self.start.elapsed().as_secs_f64(), busy - self.busy)
    }
}

fn into_maps(routes: &Routes) -> Result<Times, LabError> {
    let bytes = routes.bytes();
    let node = ImportingNode::new()?;
    let mut source = node.source()?;
    let stopwatch = Stopwatch::start(node.agent.process_id().into_iter().collect());
    source.send(&bytes);
    node.wait_for(ROUTES)?;
    Ok(stopwatch.read())
}

/// An agent with one instance, whose port is there, beside the node that announces.
struct ImportingNode {
    agent: Agent,
    source: Node,
    _lab: Lab,
}

impl ImportingNode {
    fn new() -> Result<Self, LabError> {
        let (lab, node, source) = network()?;
        let hosts = lab.node("hosts")?;
        lab.link((&node, "port0"), (&hosts, "eth0"))?;
        let configuration = format!(
            "[bgp]\nlocal_address = \"{REFLECTOR}\"\nas_number = 64512\nlisten = [\"{REFLECTOR}:179\"]\n\
             [[bgp.peers]]\naddress = \"{SOURCE}\"\npassive = true\nfamilies = [\"evpn\"]\n\
             [dataplane]\nunderlay = [\"eth0\"]\n"
        );
        let agent = Agent::configured(&lab, &bagpipe(), &node, &configuration)?;
        let (vni, target) = (VPN.to_string(), format!("64512:{VPN}"));
        let vpn = ["attach", "--vpn", "bench", "--type", "evpn", "--vni", &vni, "--rt", &target];
        agent.cli(&[&vpn[..], &["--port", "port0", "--mac", "02:ff:00:00:00:01"]].concat())?;
        Ok(Self { agent, source, _lab: lab })
    }

    fn source(&self) -> Result<Client, LabError> {
        Client::establish(&self.source, 1, Family::EVPN)
    }

    /// Waits until so many routes are imported: the agent answers when their changes are in the maps, all of which
    /// have to be.
    fn wait_for(&self, routes: u32) -> Result<(), LabError> {
        wait_until(LIMIT, "routes are in the maps", || {
            let vpn = self.vpn()?;
            assert_eq!(vpn.get("degraded"), Some(&Value::Array(Vec::new())), "the maps hold all routes");
            (vpn.get("remote_routes")?.as_u64()? == u64::from(routes)).then_some(())
        })
    }

    /// The instance, by a single request: a process to make it would take more time than what is measured.
    fn vpn(&self) -> Option<Value> {
        let mut stream = UnixStream::connect(self.agent.socket()).ok()?;
        stream.write_all(b"GET /v1/vpns HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n").ok()?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).ok()?;
        let (_, body) = answer.split_once("\r\n\r\n")?;
        serde_json::from_str::<Value>(body).ok()?.get(0).cloned()
    }
}

fn network() -> Result<(Lab, Node, Node), LabError> {
    let lab = Lab::new()?;
    let (node, source) = (lab.node("node")?, lab.node("source")?);
    lab.link((&node, "eth0"), (&source, "eth0"))?;
    node.address("eth0", &format!("{REFLECTOR}/24"))?;
    source.address("eth0", &format!("{SOURCE}/24"))?;
    Ok((lab, node, source))
}

/// FRR with its zebra, a bridge and a VXLAN device.
fn into_kernel_fdb(routes: &Routes) -> Result<Times, LabError> {
    let bytes = routes.bytes();
    let (lab, node, source) = network()?;
    let _vtep = Vtep::new(&node, VPN, REFLECTOR)?;
    let frr = Frr::start(
        &lab,
        &node,
        &format!(
            "router bgp 64512\n bgp router-id {REFLECTOR}\n no bgp default ipv4-unicast\n \
             neighbor {SOURCE} remote-as 64512\n neighbor {SOURCE} passive\n address-family l2vpn evpn\n  \
             neighbor {SOURCE} activate\n  advertise-all-vni\n exit-address-family\n"
        ),
    )?;
    let mut source = Client::establish(&source, 1, routes.family)?;
    source.count(1, LIMIT).expect("FRR announces its VNI");
    let processes = ["bgpd", "zebra"].iter().filter_map(|daemon| frr.process_id(daemon)).collect();
    let stopwatch = Stopwatch::start(processes);
    source.send(&bytes);
    wait_until(LIMIT, "routes are in the kernel's FDB", || {
        let look = Instant::now();
        let entries = fdb_entries(&node)?;
        let done = (entries >= routes.count).then(|| stopwatch.read());
        if done.is_none() {
            // Zebra has to wait while the kernel lists its entries: that must not be what is measured.
            thread::sleep(look.elapsed() * 4);
        }
        done
    })
}

/// bagpipe-bgp without a data plane: until it has received all, once; `None` if that takes longer than the limit.
fn into_predecessor(routes: &Routes) -> Result<Option<Times>, LabError> {
    let bytes = routes.bytes();
    let (lab, node, source) = network()?;
    let listener = within(&source, || TcpListener::bind((SOURCE, 179))).expect("a port that is free");
    let peer = SOURCE.to_string();
    let options = Options { address: REFLECTOR, peers: &[&peer], rtc: false, driver: Driver::Dummy };
    let mut speaker = BagpipeBgp::start(&lab, &node, &options)?;
    let mut source = Client::accept(&listener, routes.family);
    speaker.attach_evpn("port0", "02:ff:00:00:00:01", "192.0.2.1", VPN)?;
    let stopwatch = Stopwatch::start(speaker.process_id().into_iter().collect());
    Ok(thread::scope(|scope| {
        scope.spawn(|| source.offer(&bytes));
        let times = wait_until(LIMIT, "routes are received", || {
            let look = Instant::now();
            let summary = speaker.looking_glass("/summary").ok()?;
            let received = summary.pointer("/route_counts/received_routes_count").and_then(Value::as_u64);
            let done = (received? >= u64::from(ROUTES)).then(|| stopwatch.read());
            if done.is_none() {
                // To answer takes its time: that must not be what is measured.
                thread::sleep(look.elapsed() * 4);
            }
            done
        });
        speaker.kill();
        times.ok()
    }))
}

/// Remote entries of all VXLAN devices of a node.
fn fdb_entries(node: &Node) -> Option<usize> {
    let output = Command::new("bridge").args(["-n", node.namespace(), "fdb", "show"]).output().ok()?;
    let text = String::from_utf8(output.stdout).ok()?;
    Some(text.lines().filter(|line| line.contains(" dst ")).count())
}
