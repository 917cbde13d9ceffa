//! Two nodes' programs at the ends of a cable, and measured traffic through them. The test is in a namespace of its own.

use std::process::{Child, Stdio};
use std::time::{Duration, Instant};
use std::{fs, thread};

use bagpipe_common::DropReason;

use crate::isolated::{Namespace, ip};
use crate::packet::Mac;
use crate::programs::Copy;

/// A MAC address as `ip` takes it.
#[must_use]
pub fn text(mac: Mac) -> String {
    mac.map(|byte| format!("{byte:02x}")).join(":")
}

/// The index of an interface.
///
/// # Panics
/// When there is none of this name.
#[must_use]
pub fn ifindex(name: &str) -> u32 {
    let text = fs::read_to_string(format!("/sys/class/net/{name}/ifindex")).expect("the interface");
    text.trim().parse().expect("an index")
}

/// The underlay: a cable with a known MAC address at each end.
///
/// # Panics
/// When it can't be made.
pub fn underlay() {
    ip(&[
        "link",
        "add",
        "u1",
        "address",
        "02:00:00:00:ff:01",
        "type",
        "veth",
        "peer",
        "name",
        "u2",
        "address",
        "02:00:00:00:ff:02",
    ]);
    for end in ["u1", "u2"] {
        ip(&["link", "set", end, "up", "mtu", "1500"]);
    }
}

/// Demands answers to a few pings, and returns what `ping` prints.
///
/// # Panics
/// When there is none.
pub fn ping(from: &Namespace, arguments: &[&str]) -> String {
    from.run("ping", &[&["-c", "3", "-i", "0.05", "-W", "2"], arguments].concat())
}

/// An iperf3 server, ended when this is dropped.
#[derive(Debug)]
pub struct Server(Child);

impl Server {
    /// Starts one in a namespace and waits until it listens.
    ///
    /// # Panics
    /// When it does not.
    #[must_use]
    pub fn new(host: &Namespace) -> Self {
        let mut command = host.command("iperf3");
        let server =
            command.args(["-s"]).stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("iperf3 runs");
        let listening = || host.run("ss", &["-Hltn", "sport = :5201"]).contains("5201");
        let limit = Instant::now() + Duration::from_secs(10);
        while !listening() {
            assert!(Instant::now() < limit, "iperf3 does not listen");
            thread::yield_now();
        }
        Self(server)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Gbit/s of one TCP stream.
///
/// # Panics
/// When there was none.
#[must_use]
pub fn tcp(from: &Namespace, to: &str) -> f64 {
    let limit = Instant::now() + Duration::from_secs(10);
    loop {
        let report = from.run("iperf3", &["-c", to, "-t", "1", "-J"]);
        let report: serde_json::Value = serde_json::from_str(&report).expect("JSON");
        if let Some(rate) = report["end"]["sum_received"]["bits_per_second"].as_f64() {
            return rate / 1e9;
        }
        // The server may still be at the end of the test before.
        let error = report["error"].as_str().unwrap_or("no rate");
        assert!(error.contains("busy") && Instant::now() < limit, "iperf3 -c {to}: {error}");
    }
}

/// In Gbit/s, what a stream that loses its segments, and lives on what it repeats, does not come to. How fast one is on a
/// machine with nothing else to do is for the benchmarks to say.
const TRICKLE: f64 = 0.05;

/// Prints a rate, and demands that it is more than a trickle.
///
/// # Panics
/// When it is not.
pub fn assert_flows(rate: f64, what: &str) {
    println!("{what}: {rate:.2} Gbit/s");
    assert!(rate > TRICKLE, "{what}: only {rate:.3} Gbit/s");
}

/// Prints what was dropped, for the reader of a failure.
pub fn report(nodes: &[&Copy]) {
    for (number, node) in nodes.iter().enumerate() {
        for reason in DropReason::ALL {
            let drops = node.drops(*reason);
            if drops.packets != 0 {
                println!("node {number}: {} dropped: {}", drops.packets, reason.name());
            }
        }
    }
}
