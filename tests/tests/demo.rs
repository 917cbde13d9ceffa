//! `bagpipe demo`: it keeps its promises, and leaves nothing behind, however it ends.

use std::fs;
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use bagpipe_agent::lab::{Lab, LabError, wait_until};
use bagpipe_tests::{SOON, bagpipe};

#[test]
fn it_runs_and_can_be_kept_standing() -> Result<(), LabError> {
    let start = Instant::now();
    let demo = start_demo(&[]);
    let id = demo.id();
    let text = finish(demo, 0);
    assert!(start.elapsed() < Duration::from_secs(10), "{:?}:\n{text}", start.elapsed());
    for promise in ["VNI 100", " 0 lost", ": 0 delivered, 5 dropped as unknown-endpoint"] {
        assert!(text.contains(promise), "no `{promise}` in:\n{text}");
    }
    assert_eq!(left_by(id), [""; 0]);

    let demo = start_demo(&["--nodes", "3", "--keep"]);
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
    for (name, number) in [("INT", 2), ("TERM", 15)] {
        let demo = start_half(name);
        let id = demo.id();
        finish(demo, 128 + number);
        assert_eq!(left_by(id), [""; 0], "after SIG{name}");
    }
}

#[test]
fn what_a_killed_demo_left_is_swept() -> Result<(), LabError> {
    let mut demo = start_half("KILL");
    let id = demo.id();
    demo.wait().expect("the demo is a child");
    assert_ne!(left_by(id), [""; 0]);
    drop(Lab::new()?);
    assert_eq!(left_by(id), [""; 0]);
    Ok(())
}

fn start_demo(arguments: &[&str]) -> Child {
    let mut command = Command::new(bagpipe());
    let command = command.arg("demo").args(arguments).stdout(Stdio::piped()).stderr(Stdio::piped());
    command.spawn().expect("the demo starts")
}

/// Starts a demo, and sends it a signal when it is half done.
fn start_half(signal: &str) -> Child {
    let demo = start_demo(&[]);
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
