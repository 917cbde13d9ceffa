//! What goes through a reflector: how soon all of it is passed on, to one client or to many, and what a route takes of
//! its memory.

use std::thread;
use std::time::Instant;

use bagpipe_agent::lab::{Lab, LabError};
use bagpipe_bgp::types::Family;

use crate::client::{Client, REFLECTOR};
use crate::process::{processor_time, resident};
use crate::reflectors::Kind;
use crate::routes::Routes;
use crate::{LIMIT, ROUNDS, median};

const ROUTES: u32 = 100_000;
const CLIENTS: u8 = 50;
const ROUTES_TO_MANY: u32 = 10_000;

/// What one run gave.
#[derive(Clone, Copy, Debug)]
struct Run {
    /// Seconds from the first octet sent to the last route received; none: more than the limit.
    time: Option<f64>,
    /// Seconds of a processor that the reflector took meanwhile: others may want the processors, too.
    processor: f64,
    /// Octets of resident memory that a route took.
    memory: f64,
}

/// Prints time and memory, with one client that announces and one that listens.
pub fn report() -> Result<(), LabError> {
    for (family, name) in [(Family::VPNV4, "VPN-IPv4"), (Family::EVPN, "E-VPN type 2")] {
        let routes = Routes::of_many_vpns(family, ROUTES);
        compare(&format!("{ROUTES} {name} routes reflected"), &routes, 1)?;
    }
    Ok(())
}

/// Prints the time until many clients have all routes.
pub fn report_clients() -> Result<(), LabError> {
    for (family, name) in [(Family::VPNV4, "VPN-IPv4"), (Family::EVPN, "E-VPN type 2")] {
        let routes = Routes::of_many_vpns(family, ROUTES_TO_MANY);
        compare(&format!("{ROUTES_TO_MANY} {name} routes to {CLIENTS} clients"), &routes, CLIENTS)?;
    }
    Ok(())
}

fn compare(what: &str, routes: &Routes, clients: u8) -> Result<(), LabError> {
    let kinds = Kind::of(routes.family);
    let mut runs: Vec<Vec<Run>> = vec![Vec::new(); kinds.len()];
    for _ in 0..ROUNDS {
        for (kind, runs) in kinds.iter().zip(&mut runs) {
            if runs.iter().all(|run| run.time.is_some()) {
                runs.push(run(*kind, routes, clients)?);
            }
        }
    }
    println!("{what}");
    let median = |runs: &[Run], value: fn(&Run) -> f64| median(runs.iter().map(value).collect());
    let medians = |runs: &Vec<Run>| {
        let time = median(runs, |run| run.time.unwrap_or(LIMIT.as_secs_f64()));
        [time, median(runs, |run| run.processor), median(runs, |run| run.memory)]
    };
    let ours = runs.first().map(medians).unwrap_or_default();
    for (kind, runs) in kinds.iter().zip(&runs) {
        let values = medians(runs);
        let more = if runs.iter().all(|run| run.time.is_some()) { ' ' } else { '>' };
        let ([time, processor, memory], ratios) =
            (values, [0, 1, 2].map(|which: usize| values[which] / ours[which]));
        println!(
            "  {:<8}{more}{time:>8.3} s   ratio {:>7.2}   processor {processor:>7.3} s   ratio {:>7.2}   \
             {memory:>6.0} bytes/route   ratio {:>6.2}",
            kind.name(),
            ratios[0],
            ratios[1],
            ratios[2],
        );
    }
    println!();
    Ok(())
}

fn run(kind: Kind, routes: &Routes, clients: u8) -> Result<Run, LabError> {
    let lab = Lab::new()?;
    let (node, hosts) = (lab.node("reflector")?, lab.node("clients")?);
    lab.link((&node, "eth0"), (&hosts, "eth0"))?;
    node.address("eth0", &format!("{REFLECTOR}/24"))?;
    for number in 1..=clients + 1 {
        hosts.address("eth0", &format!("10.99.0.{number}/24"))?;
    }
    let reflector = kind.start(&lab, &node)?;
    let mut source = Client::establish(&hosts, 1, routes.family)?;
    let others = (2..=clients + 1).map(|number| Client::establish(&hosts, number, routes.family));
    let mut others: Vec<_> = others.collect::<Result<_, _>>()?;
    source.reach(&mut others, routes.family);

    let bytes = routes.bytes();
    let process = reflector.process();
    let (before, busy) = (resident(process), processor_time(process));
    let start = Instant::now();
    let last: Option<Instant> = thread::scope(|scope| {
        let listeners: Vec<_> =
            others.iter_mut().map(|other| scope.spawn(|| other.count(routes.count, LIMIT))).collect();
        source.send(&bytes);
        let ends: Option<Vec<_>> =
            listeners.into_iter().map(|listener| listener.join().expect("a client ends")).collect();
        ends?.into_iter().max()
    });
    let memory = (resident(process) - before) / routes.count as f64;
    let processor = processor_time(process) - busy;
    Ok(Run { time: last.map(|last| (last - start).as_secs_f64()), processor, memory })
}
