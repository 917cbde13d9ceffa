//! A UDP load with sockets at both ends: small datagrams over several flows, counted where they arrive.
//!
//! The sending sockets use UDP_SEGMENT, and the sending host cuts each batch into datagrams before its interface:
//! so less of a processor's time goes into the sockets, which are no part of the overlay, and more into the
//! packets, which both overlays get one by one.

use std::fs::File;
use std::io::IoSliceMut;
use std::net::{SocketAddr, UdpSocket};
use std::os::fd::AsRawFd;
use std::path::Path;
use std::sync::Barrier;
use std::thread;
use std::time::{Duration, Instant};

use bagpipe_agent::lab::{Host, Lab, LabError};
use nix::sched::{CloneFlags, CpuSet, sched_setaffinity, setns};
use nix::sys::socket::{MsgFlags, MultiHeaders, recvmmsg, setsockopt, sockopt};
use nix::unistd::Pid;

use crate::side_by_side;
use crate::topology::Pair;

/// Datagrams that a socket sends, or receives, in one system call.
const BATCH: usize = 64;
/// Datagrams of a flow on their way: more than any overlay takes.
const ANY: usize = usize::MAX;
/// As many as an overlay can have that takes packets over to a process of its own, as Open vSwitch does, and would spend
/// its time with those that it has to drop.
const FEW: usize = 2 * BATCH;
/// What has not arrived by then is lost.
const LOST: Duration = Duration::from_millis(5);
/// First destination port.
const PORT: u16 = 7000;

/// Prints the comparison of an E-VPN with the kernel, of IP-VPNs with the kernel, and of one with Open vSwitch.
pub fn compare() -> Result<(), LabError> {
    let labs = [Lab::new()?, Lab::new()?, Lab::new()?, Lab::new()?];
    let kernel = Pair::kernel(&labs[0])?;
    let bagpipe = Pair::bagpipe(&labs[1])?;
    let (udp, bare) = (Pair::labelled(&labs[2], "udp")?, Pair::labelled(&labs[3], "ethernet")?);
    for pair in [&kernel, &bagpipe, &udp, &bare] {
        cut_before_interface(pair)?;
    }
    for (what, pair) in [
        ("UDP, 64-byte packets, 4 flows", &bagpipe),
        ("UDP, 64-byte packets, 4 flows, MPLS in UDP", &udp),
        ("UDP, 64-byte packets, 4 flows, bare MPLS", &bare),
    ] {
        side_by_side(
            what,
            "Mpps",
            "kernel",
            || Ok(megapackets(&kernel, ANY)),
            || Ok(megapackets(pair, ANY)),
        )?;
    }
    let lab = Lab::new()?;
    let switches = Pair::open_vswitch(&lab, bare.labels())?;
    cut_before_interface(&switches)?;
    for (what, window) in [
        ("UDP, 64-byte packets, 4 flows, bare MPLS", ANY),
        ("the same, 128 packets of a flow on their way", FEW),
    ] {
        side_by_side(
            what,
            "Mpps",
            "OVS",
            || Ok(megapackets(&switches, window)),
            || Ok(megapackets(&bare, window)),
        )?;
    }
    Ok(())
}

/// The sending host cuts what a socket sends at once into datagrams: nothing larger leaves it.
fn cut_before_interface(pair: &Pair) -> Result<(), LabError> {
    pair.hosts[0].node.run(&["ethtool", "-K", Host::INTERFACE, "tx-udp-segmentation", "off"]).map(drop)
}

fn megapackets(pair: &Pair, window: usize) -> f64 {
    let [one, two] = &pair.hosts;
    let path = |host: &Host| Path::new("/run/netns").join(host.node.namespace());
    let load = Load {
        sender: &path(one),
        receiver: &path(two),
        destination: two.ipv4.parse().expect("the host's address"),
        flows: 4,
        // With the headers of UDP, IPv4 and Ethernet, and the frame check sequence, 64 bytes.
        payload: 18,
        duration: Duration::from_secs(1),
        window,
    };
    let rate = run(&load);
    // Open vSwitch's hosts have no offloads.
    assert!(rate > 0.0, "no datagram arrives; before Linux 6.11, UDP_SEGMENT needs checksum offload");
    rate / 1e6
}

/// What a load is made of.
struct Load<'a> {
    /// Network namespace of the sender, a path such as `/run/netns/NAME`.
    sender: &'a Path,
    /// Network namespace of the receiver.
    receiver: &'a Path,
    /// Address of the receiver.
    destination: std::net::IpAddr,
    /// UDP flows; each has its own socket at both ends.
    flows: u16,
    /// Payload of a datagram in bytes.
    payload: usize,
    /// How long to send.
    duration: Duration,
    /// Datagrams of a flow that are on their way at most.
    window: usize,
}

/// Sends and receives as fast as it can for the duration, on each processor its share of the flows. Returns the
/// datagrams per second that were received.
///
/// A thread drains the receiving sockets of its flows after each batch: so the whole way of a datagram, from
/// socket to socket, is on one processor, and no processor waits for the locks or caches of another.
///
/// # Panics
/// When a namespace or a socket can't be had: a benchmark has nothing to measure then.
fn run(load: &Load) -> f64 {
    let processors = thread::available_parallelism().map_or(1, usize::from).min(usize::from(load.flows));
    let ready = Barrier::new(processors);
    thread::scope(|scope| {
        let threads = (0..processors)
            .map(|processor| {
                let ready = &ready;
                scope.spawn(move || {
                    pin(processor);
                    let mut flows = (0..load.flows)
                        .filter(|flow| usize::from(*flow) % processors == processor)
                        .map(|flow| Flow::open(load, flow))
                        .collect::<Vec<_>>();
                    ready.wait();
                    exchange(&mut flows, load)
                })
            })
            .collect::<Vec<_>>();
        threads.into_iter().map(|thread| thread.join().expect("a sender runs")).sum()
    })
}

/// One flow: a socket in each namespace. A socket stays in the namespace that it was made in.
struct Flow {
    sender: UdpSocket,
    receiver: UdpSocket,
    /// Datagrams that have not arrived.
    in_flight: usize,
    /// When the last one was sent or received.
    moved: Instant,
}

impl Flow {
    fn open(load: &Load, flow: u16) -> Self {
        let destination = SocketAddr::new(load.destination, PORT + flow);
        enter(load.receiver);
        let receiver = UdpSocket::bind(destination).expect("bind");
        setsockopt(&receiver, sockopt::RcvBufForce, &(8 << 20)).expect("root may set the receive buffer");
        enter(load.sender);
        let any: SocketAddr =
            if load.destination.is_ipv4() { "0.0.0.0:0" } else { "[::]:0" }.parse().expect("address");
        let sender = UdpSocket::bind(any).expect("bind");
        sender.connect(destination).expect("connect");
        // The sender's address is that of the route to the receiver. A connected receiver is found with its route.
        receiver.connect(sender.local_addr().expect("an address")).expect("connect");
        let segment = i32::try_from(load.payload).expect("a small payload");
        setsockopt(&sender, sockopt::UdpGsoSegment, &segment).expect("UDP_SEGMENT");
        Self { sender, receiver, in_flight: 0, moved: Instant::now() }
    }

    /// Sends a batch, if there is room for one on the way.
    fn send(&mut self, payload: &[u8], window: usize) {
        if self.moved.elapsed() > LOST {
            self.in_flight = 0;
        }
        // A full queue is no error of the benchmark: what counts is what arrives.
        if self.in_flight.saturating_add(BATCH) <= window && self.sender.send(payload).is_ok() {
            self.in_flight += BATCH;
            self.moved = Instant::now();
        }
    }

    fn arrived(&mut self, datagrams: usize) -> usize {
        if datagrams > 0 {
            self.in_flight = self.in_flight.saturating_sub(datagrams);
            self.moved = Instant::now();
        }
        datagrams
    }
}

/// Returns the datagrams received per second.
fn exchange(flows: &mut [Flow], load: &Load) -> f64 {
    let payload = vec![0; load.payload * BATCH];
    let mut receiving = MultiHeaders::<()>::preallocate(BATCH, None);
    let mut buffers = vec![[0; 64]; BATCH];
    let start = Instant::now();
    let mut received = 0;
    while start.elapsed() < load.duration {
        let before = received;
        for flow in &mut *flows {
            flow.send(&payload, load.window);
            let mut slices = buffers.iter_mut().map(|buffer| [IoSliceMut::new(buffer)]).collect::<Vec<_>>();
            let fd = flow.receiver.as_raw_fd();
            let results = recvmmsg(fd, &mut receiving, slices.iter_mut(), MsgFlags::MSG_DONTWAIT, None);
            received += flow.arrived(results.map_or(0, Iterator::count));
        }
        if load.window != ANY && received == before {
            // Whoever has the datagrams may need this processor.
            thread::yield_now();
        }
    }
    received as f64 / start.elapsed().as_secs_f64()
}

fn enter(namespace: &Path) {
    let file = File::open(namespace).expect("the namespace exists");
    setns(file, CloneFlags::CLONE_NEWNET).expect("root may enter a namespace");
}

fn pin(processor: usize) {
    let mut processors = CpuSet::new();
    processors.set(processor).expect("processor number");
    sched_setaffinity(Pid::from_raw(0), &processors).expect("the processor is there");
}
