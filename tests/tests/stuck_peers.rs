//! A peer that reads nothing while routes come and change: others get them in time, the agent does not keep for it what
//! it has not read, and in the end it gets the last state and not the history.

use std::collections::HashSet;
use std::time::{Duration, Instant};

use bagpipe_agent::lab::{Agent, Lab, LabError, Node, wait_until};
use bagpipe_bgp::types::{EthernetSegmentId, Family, LabelField, MacAddr, RouteDistinguisher};
use bagpipe_bgp::wire::{Attributes, Context, EvpnRoute, Message, Nlri, Open, UpdateWriter};
use bagpipe_tests::speaker::{Speaker, open};
use bagpipe_tests::{SOON, bagpipe};

const REFLECTOR: &str = "10.99.0.1";
const SOURCE: &str = "10.99.0.2";
const READER: &str = "10.99.0.3";
const STUCK: &str = "10.99.0.4";

const ROUTES: u32 = 100_000;
/// How often all of them change: 3.5 MB of UPDATEs each time.
const CHANGES: u32 = 10;
/// How long all routes may take to the peer that reads, in a build that is not optimised.
const IN_TIME: Duration = Duration::from_secs(60);
/// What the agent may grow by while they change, in KiB: an eighth of what it has to say to a peer meanwhile.
const GROWTH: u64 = 4 * 1024;

#[test]
fn a_peer_that_does_not_read_delays_nobody_and_costs_no_memory() -> Result<(), LabError> {
    let lab = Lab::new()?;
    let (ours, theirs) = (lab.node("ours")?, lab.node("theirs")?);
    lab.link((&ours, "eth0"), (&theirs, "eth0"))?;
    ours.address("eth0", &format!("{REFLECTOR}/24"))?;
    for address in [SOURCE, READER, STUCK] {
        theirs.address("eth0", &format!("{address}/24"))?;
    }
    // What the kernel would take for a peer is not of interest here.
    ours.sysctl("net.ipv4.tcp_wmem", "4096 16384 65536")?;
    theirs.sysctl("net.ipv4.tcp_rmem", "4096 16384 65536")?;
    let agent = Agent::configured(&lab, &bagpipe(), &ours, &configuration())?;
    let mut source = established(&theirs, SOURCE);
    let mut reader = established(&theirs, READER);
    let mut stuck = established(&theirs, STUCK);

    let mut before = 0;
    for med in 0..=CHANGES {
        let started = Instant::now();
        std::thread::scope(|scope| {
            scope.spawn(|| updates(med).iter().for_each(|update| source.send(update)));
            let seen = read(&mut reader, med);
            assert!(seen < 2 * ROUTES as usize, "{seen} routes where {ROUTES} have changed");
        });
        assert!(started.elapsed() < IN_TIME, "change {med} took {:?}", started.elapsed());
        if med == 0 {
            before = resident(&agent);
        }
    }
    let grown = resident(&agent).saturating_sub(before);
    assert!(grown < GROWTH, "the agent grew by {grown} KiB from {before} KiB");

    // What it could not be told at once is not told it later.
    let seen = read(&mut stuck, CHANGES);
    assert!(seen < 2 * ROUTES as usize, "{seen} routes");
    let established = || {
        let peers = agent.json(&["show", "peers"]).ok()?;
        let up = peers.as_array()?.iter().filter(|peer| peer["state"] == "established").count();
        (up == 3).then_some(())
    };
    wait_until(SOON, "all sessions are still there", established)
}

/// Clients without hold timers: a peer that is stuck is not to be given up here.
fn configuration() -> String {
    let peers = [SOURCE, READER, STUCK].map(|address| {
        format!(
            "[[bgp.peers]]\naddress = \"{address}\"\npassive = true\nfamilies = [\"evpn\"]\nhold_time = 0\n"
        )
    });
    format!(
        "[bgp]\nlocal_address = \"{REFLECTOR}\"\nas_number = 64512\nhold_time = 0\n{}\
         [bgp.reflector]\nclients = [\"10.99.0.0/24\"]\n[dataplane]\ndriver = \"none\"\n",
        peers.concat()
    )
}

fn established(node: &Node, address: &str) -> Speaker {
    let mut speaker = Speaker::connect(node, address, (REFLECTOR, 179));
    speaker.establish_with(Message::Open(Open { hold_time: 0, ..open(address) }));
    speaker
}

fn context() -> Context {
    Context { four_octet_as: true, families: vec![Family::EVPN], ..Context::default() }
}

/// All routes, with this MED.
fn updates(med: u32) -> Vec<Vec<u8>> {
    let next_hop: std::net::IpAddr = SOURCE.parse().expect("an address");
    let attributes = Attributes {
        next_hop: Some(next_hop.into()),
        local_pref: Some(100),
        med: Some(med),
        ..Attributes::default()
    };
    let mut updates = Vec::new();
    let mut routes = (0..ROUTES).map(route).peekable();
    while routes.peek().is_some() {
        let mut writer = UpdateWriter::announce(&context(), Family::EVPN, &attributes);
        while routes.next_if(|route| writer.push(route)).is_some() {}
        updates.push(writer.finish().to_vec());
    }
    updates
}

fn route(number: u32) -> Nlri {
    let [a, b, c, d] = number.to_be_bytes();
    Nlri::Evpn(EvpnRoute::MacIp {
        rd: RouteDistinguisher::from_ipv4(SOURCE.parse().expect("an address"), 1),
        esi: EthernetSegmentId::ZERO,
        tag: 0,
        mac: MacAddr([2, 0, a, b, c, d]),
        ip: None,
        label: LabelField([0, 0, 10]),
        ip_label: None,
    })
}

/// Reads until all routes have come with this MED; says how many announcements there were.
fn read(speaker: &mut Speaker, med: u32) -> usize {
    let (mut seen, mut last) = (0, HashSet::new());
    while last.len() < ROUTES as usize {
        let update = match speaker.receive().expect("the session stays") {
            Message::Update(update) => update,
            _ => continue,
        };
        for nlri in update.announced.iter().flat_map(|block| block.iter()).flatten() {
            seen += 1;
            if update.attributes.med == Some(med) {
                last.insert(nlri);
            }
        }
    }
    seen
}

/// Resident memory in KiB.
fn resident(agent: &Agent) -> u64 {
    let id = agent.process_id().expect("it runs");
    let status = std::fs::read_to_string(format!("/proc/{id}/status")).expect("its status");
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).expect("VmRSS");
    line.trim_end_matches("kB").trim().parse().expect("a number")
}
