//! A node that imports what it is sent: how soon all of it is in the kernel, and how soon all of it is gone.

use std::io::{BufRead, BufReader};
use std::process::{Child, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use bagpipe_agent::lab::{Agent, Lab, LabError, Node, wait_until};
use bagpipe_bgp::types::Family;
use bagpipe_tests::bagpipe;
use bagpipe_tests::frr::Frr;
use bagpipe_tests::kernel::Vtep;
use serde_json::Value;

use crate::client::{Client, REFLECTOR, SOURCE};
use crate::routes::{Routes, VPN};
use crate::{ROUNDS, median};

const ROUTES: u32 = 100_000;
const WITHDRAWN: u32 = 50_000;
/// Far longer than it takes.
const LIMIT: Duration = Duration::from_secs(300);

/// Prints how long it takes from the first octet sent until the kernel has all routes.
pub fn report() -> Result<(), LabError> {
    let routes = Routes::of_one_vpn(Family::EVPN, ROUTES);
    let (mut ours, mut others) = (Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        ours.push(into_maps(&routes)?);
        others.push(into_kernel_fdb(&routes)?);
    }
    let (ours, others) = (median(ours), median(others));
    println!("{ROUTES} E-VPN type 2 routes imported by a node");
    println!("  {:<34}{ours:>8.3} s", "bagpipe, in the BPF maps");
    println!("  {:<34}{others:>8.3} s   ratio {:.2}", "FRR, in the kernel's FDB", others / ours);
    println!();
    Ok(())
}

/// Prints how long it takes from the first octet of the withdrawals until the maps hold none of the routes.
pub fn report_withdrawal() -> Result<(), LabError> {
    let announced = Routes::of_one_vpn(Family::EVPN, WITHDRAWN).bytes();
    let withdrawn = Routes::withdrawn(Family::EVPN, WITHDRAWN).bytes();
    let (mut withdrawals, mut ends) = (Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        for (withdraw, times) in [(true, &mut withdrawals), (false, &mut ends)] {
            let node = ImportingNode::new()?;
            let mut source = node.source()?;
            source.send(&announced);
            node.wait_for(WITHDRAWN)?;
            let start = Instant::now();
            // Without graceful restart, what a session brought goes with it.
            let _kept = if withdraw {
                source.send(&withdrawn);
                Some(source)
            } else {
                drop(source);
                None
            };
            node.wait_for(0)?;
            times.push(start.elapsed().as_secs_f64() * 1e3);
        }
    }
    println!("{WITHDRAWN} MAC addresses of a remote node gone from the maps");
    println!("  {:<34}{:>8.0} ms", "each withdrawn", median(withdrawals));
    println!("  {:<34}{:>8.0} ms", "with the session", median(ends));
    println!();
    Ok(())
}

fn into_maps(routes: &Routes) -> Result<f64, LabError> {
    let bytes = routes.bytes();
    let node = ImportingNode::new()?;
    let mut source = node.source()?;
    let start = Instant::now();
    source.send(&bytes);
    node.wait_for(ROUTES)?;
    Ok(start.elapsed().as_secs_f64())
}

/// An agent with one instance, whose port is there, beside the node that announces.
struct ImportingNode {
    agent: Agent,
    source: Node,
    _lab: Lab,
}

impl ImportingNode {
    fn new() -> Result<Self, LabError> {
        let (lab, node, source) = network()?;
        let hosts = lab.node("hosts")?;
        lab.link((&node, "port0"), (&hosts, "eth0"))?;
        let configuration = format!(
            "[bgp]\nlocal_address = \"{REFLECTOR}\"\nas_number = 64512\nlisten = [\"{REFLECTOR}:179\"]\n\
             [[bgp.peers]]\naddress = \"{SOURCE}\"\npassive = true\nfamilies = [\"evpn\"]\n\
             [dataplane]\nunderlay = [\"eth0\"]\n"
        );
        let agent = Agent::configured(&lab, &bagpipe(), &node, &configuration)?;
        let (vni, target) = (VPN.to_string(), format!("64512:{VPN}"));
        let vpn = ["attach", "--vpn", "bench", "--type", "evpn", "--vni", &vni, "--rt", &target];
        agent.cli(&[&vpn[..], &["--port", "port0", "--mac", "02:ff:00:00:00:01"]].concat())?;
        Ok(Self { agent, source, _lab: lab })
    }

    fn source(&self) -> Result<Client, LabError> {
        Client::establish(&self.source, 1, Family::EVPN)
    }

    /// Waits until so many routes are imported: the agent answers when their changes are in the maps, all of which
    /// have to be.
    fn wait_for(&self, routes: u32) -> Result<(), LabError> {
        wait_until(LIMIT, "routes are in the maps", || {
            let text = self.agent.cli(&["show", "vpns", "-o", "json"]).ok()?;
            let vpns = serde_json::from_str::<Value>(&text).ok()?;
            let vpn = vpns.get(0)?;
            assert_eq!(vpn.get("degraded"), Some(&Value::Array(Vec::new())), "the maps hold all routes");
            (vpn.get("remote_routes")?.as_u64()? == u64::from(routes)).then_some(())
        })
    }
}

fn network() -> Result<(Lab, Node, Node), LabError> {
    let lab = Lab::new()?;
    let (node, source) = (lab.node("node")?, lab.node("source")?);
    lab.link((&node, "eth0"), (&source, "eth0"))?;
    node.address("eth0", &format!("{REFLECTOR}/24"))?;
    source.address("eth0", &format!("{SOURCE}/24"))?;
    Ok((lab, node, source))
}

/// FRR with its zebra, a bridge and a VXLAN device.
fn into_kernel_fdb(routes: &Routes) -> Result<f64, LabError> {
    let bytes = routes.bytes();
    let (lab, node, source) = network()?;
    let _vtep = Vtep::new(&node, VPN, REFLECTOR)?;
    let _frr = Frr::start(
        &lab,
        &node,
        &format!(
            "router bgp 64512\n bgp router-id {REFLECTOR}\n no bgp default ipv4-unicast\n \
             neighbor {SOURCE} remote-as 64512\n neighbor {SOURCE} passive\n address-family l2vpn evpn\n  \
             neighbor {SOURCE} activate\n  advertise-all-vni\n exit-address-family\n"
        ),
    )?;
    let monitor = Monitor::start(&node)?;
    let mut source = Client::establish(&source, 1, routes.family)?;
    source.count(1, LIMIT).expect("FRR announces its VNI");
    let start = Instant::now();
    source.send(&bytes);
    wait_until(LIMIT, "routes are in the kernel's FDB", || {
        (monitor.entries() >= routes.count).then_some(())
    })?;
    Ok(start.elapsed().as_secs_f64())
}

/// Counts the entries that the kernel reports as added.
struct Monitor {
    child: Child,
    entries: Arc<AtomicUsize>,
}

impl Monitor {
    fn start(node: &Node) -> Result<Self, LabError> {
        let mut command = node.command("bridge");
        let child = command.args(["monitor", "fdb"]).stdout(Stdio::piped()).spawn();
        let mut child = child.map_err(|source| LabError::Missing { program: "bridge".to_owned(), source })?;
        let entries = Arc::new(AtomicUsize::new(0));
        if let Some(output) = child.stdout.take() {
            let entries = Arc::clone(&entries);
            thread::spawn(move || {
                let lines = BufReader::new(output).lines().map_while(Result::ok);
                for _ in lines.filter(|line| line.contains(" dst ") && !line.starts_with("Deleted")) {
                    entries.fetch_add(1, Ordering::Relaxed);
                }
            });
        }
        Ok(Self { child, entries })
    }

    fn entries(&self) -> usize {
        self.entries.load(Ordering::Relaxed)
    }
}

impl Drop for Monitor {
    fn drop(&mut self) {
        // Both fail only when the process is gone already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
