//! The agent itself: memory, time to start, time to attach.

use std::fs::{self, File};
use std::io::{Read, Write};
use std::net::TcpListener;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::sync::mpsc;
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

fn request(socket: &Path, port: usize) -> f64 {
    let body = format!(
        r#"{{"vpn_type":"evpn","vpn_instance_id":"bench","mac_address":"02:00:00:00:{:02x}:{:02x}","ip_address":"10.{}.{}.1","local_port":{{"linuxif":"port{port}"}},"import_rt":"64512:10","export_rt":"64512:10"}}"#,
        port >> 8,
        port & 0xff,
        port >> 8,
        port & 0xff,
    );
    let head = format!(
        "POST /attach_localport HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nConnection: close\r\nContent-Length: {}\r\n\r\n",
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
