//! A guest that moves from node to node, while another node watches.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::time::Duration;

use bagpipe_agent::fib::Target;
use bagpipe_bgp::types::MacAddr;

use crate::host::Plan;
use crate::model::{Endpoint, Model};
use crate::network::Network;
use crate::rng::Rng;
use crate::scenario::World;

const VPN: &str = "red";
const GUEST: MacAddr = MacAddr([2, 0, 0, 0, 0, 0xff]);
const WATCHER: usize = 3;
/// In this time everybody knows: two links, each with its delay, and the pause before a write.
const KNOWN: Duration = Duration::from_millis(400);

/// Moves the guest: attached on the new node before, with or after the detach on the old one. With an even seed
/// all nodes have other guests too; with an odd one a move makes the instance on the new node, which then hears of
/// the old one only after its attachment.
pub(crate) fn run(seed: u64, moves: usize) {
    let plan = Plan { nodes: 4, reflectors: 2, plain: 0 };
    let mut world = World { network: Network::new(plan, Rng::new(seed), false), model: Model::default() };
    world.network.run(Duration::from_secs(5));
    let residents = if seed.is_multiple_of(2) { 0..WATCHER + 1 } else { WATCHER..WATCHER + 1 };
    for node in residents {
        let mac = MacAddr([2, 0, 0, 0, 0, u8::try_from(node).unwrap()]);
        attach(&mut world, &Endpoint { node, vpn: VPN, mac, ip: None });
    }
    world.network.run(Duration::from_secs(7));
    attach_guest(&mut world, 0);
    world.network.run(KNOWN);

    let mut at = 0;
    for number in 0..moves {
        let to = (at + 1 + world.network.rng.below(WATCHER - 1)) % WATCHER;
        match number % 3 {
            0 => {
                attach_guest(&mut world, to);
                watch(&mut world);
                let endpoint: IpAddr = plan.address(to).into();
                let there =
                    matches!(place(&world), Some(Target::Vxlan { endpoint: now, .. }) if now == endpoint);
                assert!(
                    there,
                    "move {number} to {to}: the new node has it as soon as it is attached, seed {seed}"
                );
                detach_guest(&mut world, at);
                watch(&mut world);
            }
            1 => {
                attach_guest(&mut world, to);
                detach_guest(&mut world, at);
            }
            _ => {
                detach_guest(&mut world, at);
                let pause = world.network.rng.millis(100);
                world.network.run(pause);
                attach_guest(&mut world, to);
            }
        }
        world.network.run(KNOWN);
        world.check();
        at = to;
    }
}

/// Lets news spread; the guest is somewhere at any time.
fn watch(world: &mut World) {
    let mut rest = KNOWN;
    while !rest.is_zero() {
        let step = Duration::from_millis(5);
        world.network.run(step);
        rest -= step;
        assert!(place(world).is_some(), "nobody has the guest");
    }
}

fn place(world: &World) -> Option<Target> {
    world.fib(WATCHER).macs.iter().find(|((_, mac), _)| *mac == GUEST).map(|(_, mac)| mac.target)
}

fn attach_guest(world: &mut World, node: usize) {
    for ip in ["172.16.0.1", "2001:db8::1"] {
        attach(world, &Endpoint { node, vpn: VPN, mac: GUEST, ip: ip.parse().ok() });
    }
}

fn detach_guest(world: &mut World, node: usize) {
    world.do_detach(&Endpoint { node, vpn: VPN, mac: GUEST, ip: None });
}

fn attach(world: &mut World, at: &Endpoint<'_>) {
    let targets: BTreeSet<String> = ["64512:1".to_owned()].into();
    world.attach_with(at, "tap0", Some((targets.clone(), targets)));
}
