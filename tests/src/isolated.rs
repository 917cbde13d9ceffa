//! Network namespaces for tests: made under names of their own, removed also when a test fails.

use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};
use std::{env, process};

/// Tells a test process that it is in its namespace.
const INSIDE: &str = "BAGPIPE_TEST_NAMESPACE";

/// A network namespace, removed with all its interfaces when this is dropped.
#[derive(Debug)]
pub struct Namespace {
    name: String,
}

impl Namespace {
    /// Makes a namespace with the loopback interface up.
    ///
    /// # Panics
    /// When the namespace can't be made, for example without root.
    #[must_use]
    pub fn new() -> Self {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let name = format!("bptest-{}-{}", process::id(), NUMBER.fetch_add(1, Ordering::Relaxed));
        ip(&["netns", "add", &name]);
        let namespace = Self { name };
        namespace.ip(&["link", "set", "lo", "up"]);
        namespace
    }

    /// The name, for `ip netns exec` and `ip link set netns`.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// A command to run inside.
    #[must_use]
    pub fn command(&self, program: &str) -> Command {
        let mut command = Command::new("ip");
        command.args(["netns", "exec", &self.name, program]);
        command
    }

    /// Runs `ip` inside.
    ///
    /// # Panics
    /// When it fails.
    pub fn ip(&self, arguments: &[&str]) {
        ip(&[&["-n", self.name.as_str()], arguments].concat());
    }

    /// Runs a program inside and returns what it prints.
    ///
    /// # Panics
    /// When it fails.
    #[must_use]
    pub fn run(&self, program: &str, arguments: &[&str]) -> String {
        let output = self.command(program).args(arguments).output().expect("'ip' runs");
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        let errors = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{program} {arguments:?}: {}\n{text}{errors}", output.status);
        text
    }
}

impl Default for Namespace {
    fn default() -> Self {
        Self::new()
    }
}

impl Drop for Namespace {
    fn drop(&mut self) {
        // Nothing can be done about a failure here, and a panic while panicking would hide the first one.
        let _ = Command::new("ip").args(["netns", "del", &self.name]).status();
    }
}

/// Runs `ip` in this process's namespace.
///
/// # Panics
/// When it fails.
pub fn ip(arguments: &[&str]) {
    let output = Command::new("ip").args(arguments).output().expect("iproute2 is installed");
    assert!(
        output.status.success(),
        "ip {}: {}",
        arguments.join(" "),
        String::from_utf8_lossy(&output.stderr)
    );
}

/// Runs the body of the test `name` in a network namespace of its own, by running the test again in there.
///
/// # Panics
/// When the test fails in there.
pub fn isolated(name: &str, body: impl FnOnce()) {
    if env::var_os(INSIDE).is_some() {
        return body();
    }
    let namespace = Namespace::new();
    let test = env::current_exe().expect("the test's own path");
    // In a namespace, 'ip' mounts a new /sys, without what was mounted in the old one. This mount ends with the test.
    let status = namespace
        .command("sh")
        .args(["-c", "mount -t bpf bpf /sys/fs/bpf && exec \"$0\" \"$@\""])
        .arg(test)
        .args([name, "--exact", "--nocapture", "--include-ignored"])
        .env(INSIDE, namespace.name())
        .status()
        .expect("the test runs");
    assert!(status.success(), "{name} failed in its namespace");
}
