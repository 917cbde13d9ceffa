//! The agent itself: memory, time to start, time to attach.

use std::fs::{self, File};
use std::io::{Read, Write};
use std::net::TcpListener;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::sync::{Barrier, mpsc};
use std::thread;
use std::time::{Duration, Instant};

use bagpipe_agent::lab::{Agent, AgentOptions, BgpRole, Lab, LabError};
use nix::sched::{CloneFlags, setns};

use crate::{ROUNDS, median};

const REFLECTOR: &str = "10.99.0.254";
/// Ports attached, one request each.
const PORTS: usize = 200;

/// Prints the figures.
pub fn report() -> Result<(), LabError> {
    let lab = Lab::new()?;
    let (node, reflector) = (lab.node("node")?, lab.node("reflector")?);
    lab.link((&node, "eth0"), (&reflector, "eth0"))?;
    node.address("eth0", "10.99.0.1/24")?;
    reflector.address("eth0", &format!("{REFLECTOR}/24"))?;
    let options = AgentOptions {
        address: "10.99.0.1",
        router_id: None,
        role: BgpRole::Client(&[REFLECTOR]),
        underlay: Some("eth0"),
        hold_time: 90,
    };
    let attempts = listen(&Path::new("/run/netns").join(reflector.namespace()));

    let mut agent = Agent::start(&lab, &bagpipe_tests::bagpipe(), &node, &options)?;
    let mut starts = Vec::new();
    for _ in 0..ROUNDS {
        agent.stop()?;
        agent.cli(&["cleanup"])?;
        while attempts.try_recv().is_ok() {}
        let start = Instant::now();
        agent.resume()?;
        let attempt = attempts.recv_timeout(Duration::from_secs(10)).expect("the agent connects to its peer");
        starts.push((attempt - start).as_secs_f64() * 1e3);
    }
    println!("{:<44} {:>8.1} ms", "agent: start to first connection attempt", median(starts));
    println!("{:<44} {:>8.1} MB", "agent: resident memory, idle", resident(&agent));

    let times = attach(&lab, &agent)?;
    println!("{:<44} {:>8.3} ms", "agent: attach request, a new port each", median(times));
    println!("{:<44} {:>8.1} MB", "agent: resident memory, 200 ports", resident(&agent));
    let clients = clients(&lab, &agent)?;
    for (name, gap) in [("1,000 in a second", Duration::from_millis(100)), ("all at once", Duration::ZERO)] {
        let times = concurrent(agent.socket(), &clients, gap);
        let [half, most] = [50, 99].map(|percent| percentile(&times, percent));
        println!(
            "{:<44} {half:>8.3} ms median, {most:.3} ms p99",
            format!("agent: attach, 100 clients, {name}")
        );
    }
    Ok(())
}

/// Accepts connections to the BGP port in a namespace, and tells when each came.
fn listen(namespace: &Path) -> mpsc::Receiver<Instant> {
    let (sender, receiver) = mpsc::channel();
    let (ready, wait) = mpsc::channel();
    let namespace = File::open(namespace).expect("the namespace exists");
    thread::spawn(move || {
        setns(namespace, CloneFlags::CLONE_NEWNET).expect("root may enter a namespace");
        let listener = TcpListener::bind((REFLECTOR, 179)).expect("bind");
        ready.send(()).expect("the benchmark waits");
        let mut connections = Vec::new();
        for connection in listener.incoming() {
            connections.push(connection);
            if sender.send(Instant::now()).is_err() {
                return;
            }
        }
    });
    wait.recv().expect("the listener is bound");
    receiver
}

/// Resident memory in MB.
pub fn resident(agent: &Agent) -> f64 {
    let process = agent.process_id().expect("the agent runs");
    let status = fs::read_to_string(format!("/proc/{process}/status")).expect("the agent runs");
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).expect("VmRSS");
    line.trim().trim_end_matches(" kB").parse::<f64>().expect("a number") / 1024.0
}

/// Milliseconds of each attach request, over one connection after another to the unix socket.
fn attach(lab: &Lab, agent: &Agent) -> Result<Vec<f64>, LabError> {
    let hosts = lab.node("hosts")?;
    for port in 0..PORTS {
        lab.link((agent.node(), &format!("port{port}")), (&hosts, &format!("eth{port}")))?;
    }
    Ok((0..PORTS).map(|port| request(agent.socket(), port)).collect())
}

/// Clients at the same time, each with a port of its own.
const CLIENTS: usize = 100;
/// How often each of them attaches it.
const TURNS: usize = 20;

/// The numbers of their ports.
fn clients(lab: &Lab, agent: &Agent) -> Result<Vec<usize>, LabError> {
    let hosts = lab.node("clients")?;
    let ports: Vec<usize> = (PORTS..PORTS + CLIENTS).collect();
    for port in &ports {
        lab.link((agent.node(), &format!("port{port}")), (&hosts, &format!("eth{port}")))?;
    }
    Ok(ports)
}

/// Milliseconds of each attach request of many clients, each of which attaches its port every `gap`, out of step with the
/// others; without a gap all of them attach at the same moment. In between they detach, which is not measured.
fn concurrent(socket: &Path, ports: &[usize], gap: Duration) -> Vec<f64> {
    let barrier = Barrier::new(ports.len());
    let start = Instant::now() + Duration::from_millis(100);
    let client = |place: usize, port: usize| {
        let mut times = Vec::new();
        let phase = gap * u32::try_from(place).expect("few clients")
            / u32::try_from(ports.len()).expect("few clients");
        for turn in 0..u32::try_from(TURNS).expect("few turns") {
            if gap.is_zero() {
                barrier.wait();
            } else {
                thread::sleep((start + phase + gap * turn).saturating_duration_since(Instant::now()));
            }
            times.push(request(socket, port));
            if gap.is_zero() {
                barrier.wait();
            }
            detach(socket, port);
        }
        times
    };
    thread::scope(|scope| {
        let places = ports.iter().enumerate();
        let clients: Vec<_> = places.map(|(place, &port)| scope.spawn(move || client(place, port))).collect();
        clients.into_iter().flat_map(|client| client.join().expect("a client ends")).collect()
    })
}

fn percentile(times: &[f64], percent: usize) -> f64 {
    let mut times = times.to_vec();
    times.sort_by(f64::total_cmp);
    times[(times.len() * percent / 100).min(times.len() - 1)]
}

fn request(socket: &Path, port: usize) -> f64 {
    post(socket, "attach_localport", port)
}

fn detach(socket: &Path, port: usize) {
    post(socket, "detach_localport", port);
}

fn post(socket: &Path, path: &str, port: usize) -> f64 {
    let body = format!(
        r#"{{"vpn_type":"evpn","vpn_instance_id":"bench","mac_address":"02:00:00:00:{:02x}:{:02x}","ip_address":"10.{}.{}.1","local_port":{{"linuxif":"port{port}"}},"import_rt":"64512:10","export_rt":"64512:10"}}"#,
        port >> 8,
        port & 0xff,
        port >> 8,
        port & 0xff,
    );
    let head = format!(
        "POST /{path} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nConnection: close\r\nContent-Length: {}\r\n\r\n",
        body.len()
    );
    let start = Instant::now();
    let mut stream = UnixStream::connect(socket).expect("the agent listens");
    stream.write_all(format!("{head}{body}").as_bytes()).expect("the agent reads");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).expect("the agent answers");
    let elapsed = start.elapsed().as_secs_f64() * 1e3;
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    elapsed
}
