//! `bagpipe demo`: it keeps its promises, and leaves nothing behind, however it ends.

use std::fs;
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use bagpipe_agent::lab::{Lab, LabError, wait_until};
use bagpipe_tests::{SOON, bagpipe};

#[test]
fn frames_go_in_vxlan() {
    assert_tells(&[], &["VNI 100", " 0 lost", ": 0 delivered, 5 dropped as unknown-endpoint"]);
}

#[test]
fn packets_go_under_labels() {
    let promises = [
        "vpnv4 10.1.2.3/32 rd 10.99.0.2:1 label 2001",
        "vpnv6 fd01:2::3/128 rd 10.99.0.2:1 label 2001",
        "2001   red  port    to-host2",
        "next hop 1 label 2001 in udp",
        "goes to endpoint 10.99.0.2, form udp, hop mpls, label 2001",
        "2  10.1.2.1  Time to live exceeded",
        "2  fd01:2::1  Time exceeded",
        "MPLS      label 2001, TTL 255, bottom of the stack",
        " 0 lost",
        "with label 1001 of red to node1: 0 delivered, 5 dropped as unknown-endpoint",
        "the same packets from 10.99.0.2, whose routes red imports: 5 delivered",
    ];
    assert_tells(&["--vpn", "ipvpn"], &promises);
}

#[test]
fn subnets_are_routed_on_the_nodes() {
    let promises = [
        "mac-ip 02:00:00:00:02:03 10.1.2.3 rd 10.99.0.2:1 tag 0 label 12 ip-label 300",
        "02:00:00:00:ff:01 > 02:00:00:00:ff:02 next hop 1 vni 300",
        "host1  10.1.1.1   is at 00:00:5e:00:01:01",
        "host2  fd01:2::1  is at 00:00:5e:00:01:01",
        "2  10.1.2.1  Time to live exceeded",
        "VXLAN     VNI 300",
        "Ethernet  02:00:00:00:ff:01 -> 02:00:00:00:ff:02",
        " 0 lost",
    ];
    assert_tells(&["--vpn", "subnets"], &promises);
}

#[test]
fn it_can_be_kept_standing() -> Result<(), LabError> {
    let _alone = alone();
    let demo = start_demo(&["--vpn", "subnets", "--nodes", "3", "--keep"]);
    let id = demo.id();
    finish(demo, 0);
    assert_ne!(left_by(id), [""; 0]);
    // A kept network outlives the sweep of another.
    drop(Lab::new()?);
    assert_ne!(left_by(id), [""; 0]);
    finish(start_demo(&["--remove"]), 0);
    assert_eq!(left_by(id), [""; 0]);
    Ok(())
}

#[test]
fn an_interrupt_leaves_nothing() {
    let _alone = alone();
    for (vpn, name, number) in [("evpn", "INT", 2), ("ipvpn", "INT", 2), ("subnets", "TERM", 15)] {
        let demo = start_half(vpn, name);
        let id = demo.id();
        finish(demo, 128 + number);
        assert_eq!(left_by(id), [""; 0], "`--vpn {vpn}` after SIG{name}");
    }
}

#[test]
fn what_a_killed_demo_left_is_swept() -> Result<(), LabError> {
    let _alone = alone();
    let mut demo = start_half("evpn", "KILL");
    let id = demo.id();
    demo.wait().expect("the demo is a child");
    assert_ne!(left_by(id), [""; 0]);
    drop(Lab::new()?);
    assert_eq!(left_by(id), [""; 0]);
    Ok(())
}

/// One demo at a time: each takes down what another was told to keep, and has its time measured.
fn alone() -> MutexGuard<'static, ()> {
    static DEMO: Mutex<()> = Mutex::new(());
    DEMO.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Asserts that a demo ends well and in time, leaves nothing, and says all of this.
fn assert_tells(arguments: &[&str], promises: &[&str]) {
    let _alone = alone();
    let start = Instant::now();
    let demo = start_demo(arguments);
    let id = demo.id();
    let text = finish(demo, 0);
    assert!(start.elapsed() < Duration::from_secs(10), "{:?}:\n{text}", start.elapsed());
    for promise in promises {
        assert!(text.contains(promise), "no `{promise}` in:\n{text}");
    }
    assert_eq!(left_by(id), [""; 0]);
}

fn start_demo(arguments: &[&str]) -> Child {
    let mut command = Command::new(bagpipe());
    let command = command.arg("demo").args(arguments).stdout(Stdio::piped()).stderr(Stdio::piped());
    command.spawn().expect("the demo starts")
}

/// Starts a demo, and sends it a signal when it is half done.
fn start_half(vpn: &str, signal: &str) -> Child {
    let demo = start_demo(&["--vpn", vpn]);
    let hosts = || left_by(demo.id()).iter().filter(|name| name.contains("host")).count();
    wait_until(SOON, "hosts of the demo", || (hosts() > 1).then_some(())).expect("the demo builds");
    let line = ["-s", signal, "--", &demo.id().to_string()];
    assert!(Command::new("kill").args(line).status().expect("kill starts").success());
    demo
}

fn finish(demo: Child, code: i32) -> String {
    let Output { status, stdout, stderr } = demo.wait_with_output().expect("the demo is a child");
    let text = format!("{}{}", String::from_utf8_lossy(&stdout), String::from_utf8_lossy(&stderr));
    assert_eq!(status.code(), Some(code), "{text}");
    text
}

/// Names of namespaces, pins and directories of the labs of a process.
fn left_by(process: u32) -> Vec<String> {
    let prefix = format!("bp{process:x}-");
    let places = ["/run/netns", "/run/bagpipe-lab", "/sys/fs/bpf/bagpipe"];
    let entries =
        places.iter().flat_map(|place| fs::read_dir(Path::new(place)).into_iter().flatten().flatten());
    let names = entries.filter_map(|entry| entry.file_name().into_string().ok());
    names.filter(|name| name.starts_with(&prefix)).collect()
}
