//! A UDP load with sockets at both ends: batches of small datagrams over several flows, counted where they
//! arrive.

use std::fs::File;
use std::io::{IoSlice, IoSliceMut};
use std::net::{SocketAddr, UdpSocket};
use std::os::fd::AsRawFd;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Barrier};
use std::thread;
use std::time::{Duration, Instant};

use bagpipe_agent::lab::{Lab, LabError};
use nix::sched::{CloneFlags, CpuSet, sched_setaffinity, setns};
use nix::sys::socket::{MsgFlags, MultiHeaders, SockaddrStorage, recvmmsg, sendmmsg};
use nix::unistd::Pid;

use crate::side_by_side;
use crate::topology::Pair;

/// Datagrams in one `sendmmsg`.
const BATCH: usize = 64;
/// First destination port.
const PORT: u16 = 7000;

/// Prints the comparison.
pub fn compare() -> Result<(), LabError> {
    let (kernel_lab, bagpipe_lab) = (Lab::new()?, Lab::new()?);
    let (kernel, bagpipe) = (Pair::kernel(&kernel_lab)?, Pair::bagpipe(&bagpipe_lab)?);
    let what = "UDP, 64-byte packets, 4 flows";
    side_by_side(what, "Mpps", || Ok(megapackets(&kernel)), || Ok(megapackets(&bagpipe)))
}

fn megapackets(pair: &Pair) -> f64 {
    let [one, two] = &pair.hosts;
    let path = |host: &bagpipe_agent::lab::Host| Path::new("/run/netns").join(host.node.namespace());
    let load = Load {
        sender: &path(one),
        receiver: &path(two),
        destination: two.ipv4.parse().expect("the host's address"),
        flows: 4,
        // With the headers of UDP, IPv4 and Ethernet, and the frame check sequence, 64 bytes.
        payload: 18,
        duration: Duration::from_secs(1),
    };
    run(&load) / 1e6
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
}

/// Sends as fast as it can for the duration, the sender on one processor and the receiver on another. Returns
/// the datagrams per second that arrived.
///
/// # Panics
/// When a namespace or a socket can't be had: a benchmark has nothing to measure then.
fn run(load: &Load) -> f64 {
    let stop = Arc::new(AtomicBool::new(false));
    let received = Arc::new(AtomicU64::new(0));
    let ready = Arc::new(Barrier::new(2));
    thread::scope(|scope| {
        let receiver = scope.spawn({
            let (stop, received, ready) = (stop.clone(), received.clone(), ready.clone());
            move || receive(load, &stop, &received, &ready)
        });
        let sender = scope.spawn({
            let ready = ready.clone();
            move || send(load, &ready)
        });
        let elapsed = sender.join().expect("the sender runs");
        let arrived = received.load(Ordering::Relaxed);
        stop.store(true, Ordering::Relaxed);
        receiver.join().expect("the receiver runs");
        arrived as f64 / elapsed.as_secs_f64()
    })
}

fn enter(namespace: &Path, processor: usize) {
    let file = File::open(namespace).expect("the namespace exists");
    setns(file, CloneFlags::CLONE_NEWNET).expect("root may enter a namespace");
    let mut processors = CpuSet::new();
    processors.set(processor).expect("processor number");
    // On a machine with one processor both ends share it.
    let _ = sched_setaffinity(Pid::from_raw(0), &processors);
}

fn receive(load: &Load, stop: &AtomicBool, received: &AtomicU64, ready: &Barrier) {
    enter(load.receiver, 1);
    let sockets: Vec<UdpSocket> = (0..load.flows)
        .map(|flow| {
            let socket = UdpSocket::bind(SocketAddr::new(load.destination, PORT + flow)).expect("bind");
            socket.set_nonblocking(true).expect("non-blocking");
            nix::sys::socket::setsockopt(&socket, nix::sys::socket::sockopt::RcvBufForce, &(8 << 20))
                .expect("root may set the receive buffer");
            socket
        })
        .collect();
    ready.wait();
    let mut buffers = vec![[0; 256]; BATCH];
    let mut headers = MultiHeaders::<()>::preallocate(BATCH, None);
    while !stop.load(Ordering::Relaxed) {
        let mut count = 0;
        for socket in &sockets {
            let mut slices = buffers.iter_mut().map(|buffer| [IoSliceMut::new(buffer)]).collect::<Vec<_>>();
            let results =
                recvmmsg(socket.as_raw_fd(), &mut headers, slices.iter_mut(), MsgFlags::MSG_DONTWAIT, None);
            count += results.map_or(0, |results| results.count());
        }
        received.fetch_add(count as u64, Ordering::Relaxed);
        if count < BATCH {
            // Lets a batch gather, rather than taking the sockets' locks for each datagram.
            thread::sleep(Duration::from_micros(200));
        }
    }
}

/// Returns the time it took.
fn send(load: &Load, ready: &Barrier) -> Duration {
    enter(load.sender, 0);
    let sockets: Vec<UdpSocket> = (0..load.flows)
        .map(|flow| {
            let any: SocketAddr =
                if load.destination.is_ipv4() { "0.0.0.0:0" } else { "[::]:0" }.parse().expect("address");
            let socket = UdpSocket::bind(any).expect("bind");
            socket.connect(SocketAddr::new(load.destination, PORT + flow)).expect("connect");
            socket
        })
        .collect();
    let payload = vec![0; load.payload];
    let slices = vec![[IoSlice::new(&payload)]; BATCH];
    let addresses: Vec<Option<SockaddrStorage>> = vec![None; BATCH];
    let mut headers = MultiHeaders::preallocate(BATCH, None);
    ready.wait();
    let start = Instant::now();
    while start.elapsed() < load.duration {
        for socket in &sockets {
            // A full queue is no error of the benchmark: what counts is what arrives.
            let _ = sendmmsg(socket.as_raw_fd(), &mut headers, &slices, &addresses, [], MsgFlags::empty());
        }
    }
    start.elapsed()
}
