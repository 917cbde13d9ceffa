//! What it takes to route a packet, by the number of prefixes in the table: one run of the port's program, from the
//! frame of a host to the frame for another one.
//!
//! The kernel runs it for the packet that the run before has left. So the way on is made to lead back: the new link
//! header is the old one, and only the time to live tells one run from the next.

use std::net::Ipv4Addr;

use bagpipe_agent::lab::LabError;
use bagpipe_common::{Adjacency, DropReason, Port, Vpn, mapped};
use bagpipe_tests::packet::{Ipv4, Mac, ethernet, udp};
use bagpipe_tests::programs::{Copy, adjacent, port, router};

use crate::median;

const VRF: u16 = 1;
const HOST: Mac = [2, 0, 0, 0, 0, 0xa];
const HOST_IP: [u8; 4] = [10, 0, 0, 1];
const GATEWAY: Mac = [2, 0, 0, 0, 0, 1];
/// The first prefix; the others, all of this length, follow one after the other.
const FIRST: u32 = 16 << 24;
const LENGTH: u32 = 24;
/// The address that is in `HOSTS`.
const ATTACHED: [u8; 4] = [10, 0, 0, 2];
/// No interface has it: nothing leaves the machine.
const ABSENT: u32 = 0x7fff_fff0;
/// Destinations asked for, spread over all prefixes.
const DESTINATIONS: u32 = 2_000;
/// A packet with the largest time to live is routed so many times.
const RUNS: u32 = 254;

/// Prints the figures. The destination of a packet is either that of the packet before, so that all on the way to its
/// route is in the processor's caches, or another one; what a single run takes includes what it takes to start it.
pub fn report() -> Result<(), LabError> {
    let mut node = node();
    print(&mut node, "routed, host route", |_| ATTACHED);
    let mut filled = 0;
    for count in [1, 10_000, 1_000_000] {
        for number in filled..count {
            node.route(VRF, mapped(prefix(number)), 96 + LENGTH, adjacent(1));
        }
        filled = count;
        // An odd factor visits them in no order that a processor could guess.
        let destination = |number: u32| prefix((u64::from(number) * 2_654_435_761 % u64::from(count)) as u32);
        let prefixes = if count == 1 { "prefix" } else { "prefixes" };
        print(&mut node, &format!("routed, {count} {prefixes}"), destination);
    }
    for reason in DropReason::ALL {
        assert_eq!(node.drops(*reason).packets, 0, "{}: the figures are those of an error", reason.name());
    }
    Ok(())
}

fn print(node: &mut Copy, what: &str, destination: impl Fn(u32) -> [u8; 4]) {
    let mut nanoseconds = |runs| {
        let times = (0..DESTINATIONS).map(|number| {
            let frame = frame(destination(number));
            node.time("port_ingress", &frame, runs).as_nanos() as f64
        });
        median(times.collect())
    };
    let (again, another) = (nanoseconds(RUNS), nanoseconds(1));
    println!("{what:<44} {again:>8.0} ns again   {another:>8.0} ns another");
}

fn prefix(number: u32) -> [u8; 4] {
    Ipv4Addr::from_bits(FIRST + (number << (32 - LENGTH))).octets()
}

fn frame(destination: [u8; 4]) -> Vec<u8> {
    let packet =
        Ipv4 { ttl: u8::MAX, ..Ipv4::new(HOST_IP, destination, 17) }.packet(&udp(1000, 2000, &[0; 18]));
    ethernet(GATEWAY, HOST, 0x0800, &packet)
}

/// A host behind the loopback interface, that test runs come from, and routes that all lead to port 2.
fn node() -> Copy {
    let mut node = Copy::with_routes(1_000_000);
    node.vpn(VRF, Vpn { vni: 1, local_ports: 0, remote_endpoints: 0 });
    node.interface(1, 1);
    for (number, ifindex) in [(1, 1), (2, ABSENT)] {
        node.port(number, Port { ifindex, vpn: VRF, flags: 0 });
    }
    node.mac(VRF, HOST, port(1));
    node.neighbor(VRF, mapped(HOST_IP), HOST, 0);
    node.mac(VRF, GATEWAY, router(VRF));
    node.adjacency(1, Adjacency { destination: GATEWAY, source: HOST, vpn: VRF, zero: 0, target: port(2) });
    node.host(VRF, mapped(ATTACHED), adjacent(1));
    node
}
