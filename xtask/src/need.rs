//! What is needed besides Rust and a C compiler, what for, and the package that brings it.

use crate::command::{answer, find};

/// What something is needed for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Purpose {
    /// To build the eBPF programs.
    Build,
    /// To run the demo.
    Demo,
    /// To run the tests, besides what the demo needs.
    Test,
    /// To check like the CI, besides what the tests need.
    Check,
    /// To fuzz.
    Fuzz,
}

impl Purpose {
    /// All of them.
    pub(crate) const ALL: [Self; 5] = [Self::Build, Self::Demo, Self::Test, Self::Check, Self::Fuzz];
}

/// How a module of Python is named among the programs.
const PYTHON_MODULE: &str = "python3 -m ";

/// A program, and the packages that bring it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Need {
    /// Its name, or that of a module after `python3 -m`: a package of Debian may bring nothing else.
    pub(crate) program: &'static str,
    pub(crate) reason: &'static str,
    pub(crate) purpose: Purpose,
    /// Package in Debian and its derivatives.
    pub(crate) debian: &'static str,
    /// Package in Fedora and its relatives.
    pub(crate) fedora: &'static str,
}

impl Need {
    /// Whether it is on this machine.
    pub(crate) fn is_there(&self) -> bool {
        match self.program.strip_prefix(PYTHON_MODULE) {
            Some(module) => answer("python3", &["-c", &format!("import {module}")]).is_some(),
            None => find(self.program).is_some(),
        }
    }
}

const fn need(
    purpose: Purpose,
    program: &'static str,
    reason: &'static str,
    debian: &'static str,
    fedora: &'static str,
) -> Need {
    Need { program, reason, purpose, debian, fedora }
}

/// Programs that distributions package. What builds the eBPF programs is found out separately.
pub(crate) const NEEDS: &[Need] = &[
    need(Purpose::Demo, "ip", "makes the namespaces of the demo and the tests", "iproute2", "iproute"),
    need(Purpose::Demo, "sysctl", "sets kernel parameters in namespaces", "procps", "procps-ng"),
    need(Purpose::Demo, "kill", "ends what was started in namespaces", "procps", "procps-ng"),
    need(Purpose::Demo, "nsenter", "runs programs in namespaces", "util-linux", "util-linux"),
    need(Purpose::Demo, "ping", "sends the demo's traffic", "iputils-ping", "iputils"),
    need(Purpose::Demo, "tcpdump", "sees packets on the wire", "tcpdump", "tcpdump"),
    need(Purpose::Test, "ethtool", "switches offloads", "ethtool", "ethtool"),
    need(Purpose::Test, "iperf3", "sends TCP", "iperf3", "iperf3"),
    need(Purpose::Test, "traceroute", "shows the routers on the way", "traceroute", "traceroute"),
    need(Purpose::Test, "tshark", "dissects captures independently", "tshark", "wireshark-cli"),
    need(Purpose::Test, "bpftool", "reads pinned maps independently", "bpftool", "bpftool"),
    need(Purpose::Test, "gobgpd", "is a route reflector to talk to", "gobgpd", "gobgp"),
    need(
        Purpose::Test,
        "ovs-vswitchd",
        "is a label switching router to talk to; tests start one of their own, the system's is not needed",
        "openvswitch-switch",
        "openvswitch",
    ),
    need(Purpose::Test, "bgpd", "is a VTEP and a route reflector to talk to", "frr", "frr"),
    need(Purpose::Fuzz, "c++", "builds libFuzzer", "g++", "gcc-c++"),
    need(Purpose::Test, "bird", "is a route reflector to talk to", "bird2", "bird"),
    need(Purpose::Test, "exabgp", "announces any route to us", "exabgp", "exabgp"),
    need(Purpose::Test, "python3", "runs bagpipe-bgp", "python3", "python3"),
    need(
        Purpose::Test,
        "python3 -m ensurepip",
        "installs bagpipe-bgp in a directory of the tests' own",
        "python3-venv",
        "python3",
    ),
    need(Purpose::Test, "chromium", "shows the agent's web page", "chromium", "chromium"),
    need(Purpose::Test, "brctl", "makes the bridges of bagpipe-bgp", "bridge-utils", "bridge-utils"),
];
