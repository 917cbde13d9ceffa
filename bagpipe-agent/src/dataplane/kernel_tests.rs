//! The driver over this machine's kernel: real maps and netlink, in a network namespace of its own. Needs root.

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::env;
use std::io::{self, Write};
use std::net::IpAddr;
use std::path::Path;
use std::process::{self, Command, Stdio};
use std::rc::Rc;
use std::time::Duration;

use aya::Pod;
use aya::maps::lpm_trie::LpmTrie;
use aya::maps::{Array, HashMap, MapData, PerCpuArray};
use bagpipe_bgp::types::{Label, MacAddr, Vni};
use bagpipe_common as abi;

use super::driver::Ebpf;
use super::host::Hooks;
use super::map_cli;
use super::netlink::events::Events;
use super::programs::UnderlayMode;
use super::underlay::State;
use super::{Config, InterfaceError, PINS, headroom_bridge_of, pins_of, vxlan_device_of};
use crate::fib::{Adjacency, Change, Hop, LabelUse, Mac, MplsForm, Neighbor, Port, Route, Router, Target};

/// Set in the process that runs in the new network namespace.
const INSIDE: &str = "BAGPIPE_TEST_INSIDE_NAMESPACE";

/// MAC addresses that there is room for: enough for several threads to remove them.
const FDB: u32 = 8192;

#[test]
fn the_driver_follows_the_kernel() {
    if env::var_os(INSIDE).is_none() {
        // `unshare` leaves /sys as it is, so that the BPF filesystem stays visible.
        let status = Command::new("unshare")
            .arg("--net")
            .arg(env::current_exe().unwrap())
            .args(["dataplane::kernel_tests::the_driver_follows_the_kernel", "--exact", "--nocapture"])
            .env(INSIDE, "1")
            .status()
            .unwrap();
        assert!(status.success(), "in the namespace: {status}; this test needs root");
        return;
    }
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(scenario());
}

async fn scenario() {
    let instance = format!("test-{}", process::id());
    let pins = Pins::create(&instance);
    ip("link set lo up");
    ip("link add u1 type veth peer name u2");
    ip("link set u1 up");
    ip("link set u2 up");
    ip("addr add 10.0.0.1/24 dev u1");
    ip("route add 10.9.0.0/16 via 10.0.0.254");
    ip("neigh replace 10.0.0.254 lladdr 02:00:00:00:00:fe dev u1 nud permanent");
    ip("link add tap1 type veth peer name host1");

    let config = Config {
        instance: instance.clone(),
        underlay: BTreeSet::from(["u1".to_owned()]),
        local_addresses: vec!["10.0.0.1".parse().unwrap()],
        vxlan_port: 14789,
        gateway_mac: MacAddr([0, 0, 0x5e, 0, 1, 1]),
        router_mac: MacAddr([2, 0, 10, 0, 0, 1]),
        uniform_ttl: false,
        maximum_routes: bagpipe_common::limits::ROUTES,
    };
    let attached = Rc::new(RefCell::new(Attached::default()));
    let start = |known: &[u16]| {
        let hooks = Box::new(Rc::clone(&attached));
        Ebpf::start_with(config.clone(), &known.iter().copied().collect(), hooks, false).unwrap()
    };

    let mut driver = start(&[]);
    assert!(!driver.adopted());
    assert_eq!(attached.borrow().underlay, BTreeSet::from([index_of("u1")]));
    assert_eq!(attached.borrow().stray, BTreeSet::from([index_of(&vxlan_device_of(&instance))]));
    assert_eq!(driver.interface("tap9"), Err(InterfaceError::NotFound("tap9".into())));
    assert_eq!(driver.interface("u1"), Err(InterfaceError::Underlay("u1".into())));
    assert_eq!(driver.interface("lo"), Err(InterfaceError::Loopback("lo".into())));
    assert_eq!(driver.interface("tap1").map(|info| info.ifindex), Ok(index_of("tap1")));

    for change in changes() {
        driver.apply(&change);
    }
    driver.commit().unwrap();
    assert_eq!(driver.verify().unwrap(), []);
    assert_eq!(attached.borrow().ports, BTreeSet::from([index_of("tap1")]));
    let bridge = headroom_bridge_of(&instance);
    assert_eq!(driver.interface(&bridge), Err(InterfaceError::Own(bridge.clone())));
    let members = BTreeSet::from([vxlan_device_of(&instance), "tap1".to_owned()]);
    until(&mut driver, |_| members_of(&bridge) == members).await;
    let taken = std::mem::take(&mut *attached.borrow_mut());
    let missing: Vec<_> = driver.verify().unwrap().iter().map(|found| found.map).collect();
    assert_eq!(missing, ["port_ingress", "underlay_ingress"], "somebody has taken them off");
    *attached.borrow_mut() = taken;
    let nexthop = driver.nexthops().pop().unwrap();
    assert_eq!((nexthop.state, nexthop.mtu), (State::Resolved, Some(1500)));
    assert_eq!(nexthop.gateway, Some("10.0.0.254".parse().unwrap()));

    assert!(output("neigh show dev u1").contains("PERMANENT"), "what an administrator set stays");

    // The gateway's MAC address changes; the path MTU; the gateway; the interface goes down and comes up.
    ip("neigh replace 10.0.0.254 lladdr 02:00:00:00:00:ff dev u1 nud permanent");
    until(&mut driver, |driver| nexthop_of(driver).mac == Some(MacAddr([2, 0, 0, 0, 0, 0xff]))).await;
    ip("route replace 10.9.0.0/16 via 10.0.0.254 mtu 1400");
    until(&mut driver, |driver| nexthop_of(driver).mtu == Some(1400)).await;
    ip("route replace 10.9.0.0/16 via 10.0.0.253");
    until(&mut driver, |driver| nexthop_of(driver).state == State::Unresolved).await;
    let kept = output("neigh show 10.0.0.253 dev u1");
    assert!(kept.contains("managed"), "the kernel is asked to resolve the gateway: {kept}");
    ip("link set u1 down");
    until(&mut driver, |driver| nexthop_of(driver).state == State::NoRoute).await;
    let health = driver.health().into_iter().map(|problem| problem.what).collect::<String>();
    assert!(health.contains("ip link set u1 up") && health.contains("bagpipe show nexthops"), "{health}");
    ip("link set u1 up");
    ip("route replace 10.9.0.0/16 via 10.0.0.254");
    ip("neigh replace 10.0.0.254 lladdr 02:00:00:00:00:fe dev u1 nud permanent");
    until(&mut driver, |driver| nexthop_of(driver).state == State::Resolved).await;
    assert_eq!(driver.health(), []);

    // More happens than there is room to tell of: everything is read again.
    let mut idle = Events::open().unwrap();
    let routes: String =
        (0..40_000).map(|n| format!("route add 10.77.{}.{}/32 dev lo\n", n / 250, n % 250)).collect();
    batch(&routes);
    ip("neigh replace 10.0.0.254 lladdr 02:00:00:00:00:ee dev u1 nud permanent");
    assert!(idle.take().unwrap().lost);
    until(&mut driver, |driver| nexthop_of(driver).mac == Some(MacAddr([2, 0, 0, 0, 0, 0xee]))).await;

    // The port's interface vanishes and comes back.
    ip("link del tap1");
    let ports = || map_cli::dump(&instance, "port_of_interface").unwrap();
    until(&mut driver, |_| ports().is_empty()).await;
    // As the kernel does: the program goes with its interface.
    attached.borrow_mut().ports.clear();
    ip("link add tap1 type veth peer name host1");
    until(&mut driver, |_| attached.borrow().ports == BTreeSet::from([index_of("tap1")])).await;

    // Somebody deletes the agent's own device.
    let device = vxlan_device_of(&instance);
    let old = index_of(&device);
    ip(&format!("link del {device}"));
    until(&mut driver, |_| attached.borrow().stray.iter().any(|index| *index > old)).await;

    // And the bridge that gives headroom; or sets it up, which would have it forward.
    ip(&format!("link del {bridge}"));
    until(&mut driver, |_| members_of(&bridge).contains("tap1")).await;
    let old = index_of(&bridge);
    ip(&format!("link set {bridge} up"));
    until(&mut driver, |_| members_of(&bridge).contains("tap1") && index_of(&bridge) > old).await;

    // The agent is gone; the maps stay, and agree with each other.
    drop(driver);
    assert_eq!(map_cli::verify_offline(&instance).unwrap(), []);
    let fdb = map_cli::dump(&instance, "fdb").unwrap();
    assert_eq!(fdb[1]["key"]["mac"], "02:00:00:00:01:02");
    assert_eq!(fdb[1]["value"]["kind"], "vxlan");
    let routes = map_cli::dump_text(&instance, "routes").unwrap();
    assert_eq!(routes[1], ["vpn 1 10.0.0.0/8", "group 1"]);
    assert_eq!(routes[0], ["vpn 1 2001:db8::/32", "next hop 1 label 17 in udp"]);
    assert_eq!(map_cli::dump(&instance, "groups").unwrap().len(), abi::GROUP_BUCKETS as usize);
    let groups = map_cli::dump(&instance, "groups").unwrap();
    let summaries = map_cli::list(&instance).unwrap();
    assert_eq!(
        summaries.iter().find(|map| map.name == "FDB").map(|map| (map.entries, map.capacity)),
        Some((2, FDB))
    );

    // It comes back, and only a part is confirmed. Programs of an earlier configuration are taken off.
    attached.borrow_mut().ports.insert(index_of("host1"));
    attached.borrow_mut().underlay.insert(index_of("u2"));
    ip(&format!("link set host1 master {bridge}"));
    let mut driver = start(&[1]);
    assert!(driver.adopted());
    driver.commit().unwrap();
    assert_eq!(driver.verify().unwrap(), []);
    assert_eq!(map_cli::dump(&instance, "groups").unwrap(), groups, "no bucket has changed");
    assert_eq!(attached.borrow().ports, BTreeSet::from([index_of("tap1")]));
    assert_eq!(attached.borrow().underlay, BTreeSet::from([index_of("u1")]));
    until(&mut driver, |_| members_of(&bridge) == members).await;
    assert_eq!(driver.fib().macs.len(), 2);
    for change in
        changes().iter().filter(|change| !matches!(change, Change::Mac(_, _, Some(mac)) if !mac.any_ip))
    {
        driver.apply(change);
    }
    assert_eq!(driver.sweep().unwrap(), 1);
    assert_eq!(driver.verify().unwrap(), []);
    assert_eq!(driver.fib().macs.len(), 1);
    assert_eq!(driver.counters().ports.len(), 1);

    // Many go at once, and some that are away already.
    let many: Vec<MacAddr> = (0..FDB - 8)
        .map(|n| {
            let [_, _, high, low] = n.to_be_bytes();
            MacAddr([2, 1, 0, 0, high, low])
        })
        .collect();
    let place = |mac: &MacAddr, mac_is| Change::Mac(1, *mac, mac_is);
    let mut fdb = fdb_of(&instance);
    for away in [0, 8] {
        many.iter().for_each(|mac| {
            driver.apply(&place(mac, Some(Mac { target: Target::Port(1), any_ip: true })));
        });
        driver.commit().unwrap();
        assert_eq!(driver.verify().unwrap(), []);
        for mac in many.iter().step_by(1000).take(away) {
            fdb.remove(&abi::FdbKey { vpn: 1, mac: mac.0 }).unwrap();
        }
        many.iter().for_each(|mac| driver.apply(&place(mac, None)));
        driver.commit().unwrap();
        assert_eq!(driver.verify().unwrap(), []);
        assert_eq!(fdb.keys().count(), 1);
    }
    drop(driver);

    let removed = map_cli::cleanup(&instance).unwrap();
    for device in [vxlan_device_of(&instance), bridge] {
        assert!(removed.contains(&format!("interface {device}")), "{removed:?}");
    }
    assert!(!Path::new(PINS).join(&instance).exists());
    drop(pins);
}

fn fdb_of(instance: &str) -> HashMap<MapData, abi::FdbKey, abi::Target> {
    let data = MapData::from_pin(pins_of(instance).join("maps/FDB")).unwrap();
    HashMap::try_from(aya::maps::Map::HashMap(data)).unwrap()
}

fn changes() -> Vec<Change> {
    let (vni, endpoint) = (Vni::new(100).unwrap(), "10.9.0.2".parse().unwrap());
    let (local, remote) = (MacAddr([2, 0, 0, 0, 1, 1]), MacAddr([2, 0, 0, 0, 1, 2]));
    let far = Target::Vxlan { endpoint, vni };
    let address = IpAddr::from([192, 168, 0, 2]);
    let label = |number| Label::new(number).unwrap();
    let adjacency = Adjacency { vpn: 1, destination: local, source: remote, target: Target::Port(1) };
    let near = Hop::Adjacency(adjacency);
    let labelled = Hop::Labelled(Target::Mpls { endpoint, label: label(17), form: MplsForm::Udp });
    vec![
        Change::Vpn(1, Some(vni)),
        Change::Port(1, Some(Port { interface: "tap1".into(), vpn: 1, egress: false })),
        Change::Mac(1, local, Some(Mac { target: Target::Port(1), any_ip: true })),
        Change::Mac(1, remote, Some(Mac { target: far, any_ip: false })),
        Change::Neighbor(1, address, Some(Neighbor { mac: remote, router: false, port: None })),
        Change::Flood(1, Target::Port(1), true),
        Change::Flood(1, far, true),
        Change::Endpoint(1, endpoint, true),
        Change::Router(1, Some(Router { ipv4: Some([192, 168, 0, 254].into()), ..Router::default() })),
        Change::Route(1, "192.168.0.1/32".parse().unwrap(), Some(Route { hops: [near].into() })),
        Change::Route(1, "10.0.0.0/8".parse().unwrap(), Some(Route { hops: [near, labelled].into() })),
        Change::Route(1, "2001:db8::/32".parse().unwrap(), Some(Route { hops: [labelled].into() })),
        Change::Label(label(16), Some(LabelUse::Adjacency(1, adjacency))),
    ]
}

/// Interfaces in a bridge; none when it is not there.
fn members_of(bridge: &str) -> BTreeSet<String> {
    let members = output(&format!("-o link show master {bridge}"));
    let name = |line: &str| line.split(": ").nth(1)?.split('@').next().map(str::to_owned);
    members.lines().filter_map(name).collect()
}

fn nexthop_of(driver: &Ebpf) -> super::NexthopView {
    driver.nexthops().pop().unwrap()
}

/// Lets the driver follow events until something holds, for half a minute at most; then the maps must be right.
async fn until(driver: &mut Ebpf, holds: impl Fn(&Ebpf) -> bool) {
    let wait = async {
        while !holds(driver) {
            driver.event().await;
            driver.commit().unwrap();
        }
    };
    tokio::time::timeout(Duration::from_secs(30), wait).await.expect("the driver follows the kernel");
    assert_eq!(driver.verify().unwrap(), []);
}

/// Where programs would be attached.
#[derive(Debug, Default)]
struct Attached {
    ports: BTreeSet<u32>,
    underlay: BTreeSet<u32>,
    stray: BTreeSet<u32>,
}

impl Hooks for Rc<RefCell<Attached>> {
    fn attach_port(&mut self, ifindex: u32) -> io::Result<()> {
        self.borrow_mut().ports.insert(ifindex);
        Ok(())
    }

    fn detach_port(&mut self, ifindex: u32) -> io::Result<()> {
        self.borrow_mut().ports.remove(&ifindex);
        Ok(())
    }

    fn has_port(&mut self, ifindex: u32) -> io::Result<bool> {
        Ok(self.borrow().ports.contains(&ifindex))
    }

    fn has_underlay(&mut self, ifindex: u32) -> io::Result<bool> {
        Ok(self.borrow().underlay.contains(&ifindex))
    }

    fn attach_underlay(&mut self, ifindex: u32, _: UnderlayMode) -> io::Result<()> {
        self.borrow_mut().underlay.insert(ifindex);
        Ok(())
    }

    fn detach_underlay(&mut self, ifindex: u32) -> io::Result<()> {
        self.borrow_mut().underlay.remove(&ifindex);
        Ok(())
    }

    fn attach_stray(&mut self, ifindex: u32) -> io::Result<()> {
        self.borrow_mut().stray.insert(ifindex);
        Ok(())
    }
}

/// What the kernel wants of tries (BPF_F_NO_PREALLOC).
const NO_PREALLOC: u32 = 1;

/// The pins of an agent instance, removed at the end, also of a failed test.
struct Pins(String);

impl Pins {
    fn create(instance: &str) -> Self {
        let directory = pins_of(instance).join("maps");
        std::fs::create_dir_all(&directory).unwrap();
        let pins = Self(instance.to_owned());
        let pin = |name: &str| directory.join(name);
        array::<abi::Encap>(&pin("ENCAPS"));
        array::<u32>(&pin("NEXTHOPS"));
        array::<abi::Port>(&pin("PORTS"));
        HashMap::<_, abi::NeighborKey, abi::Neighbor>::create(64, 0).unwrap().pin(pin("NEIGHBORS")).unwrap();
        HashMap::<_, abi::FdbKey, abi::Target>::create(FDB, 0).unwrap().pin(pin("FDB")).unwrap();
        HashMap::<_, abi::FloodKey, abi::Target>::create(64, 0).unwrap().pin(pin("FLOODS")).unwrap();
        array::<abi::Vpn>(&pin("VPNS"));
        array::<abi::Adjacency>(&pin("ADJACENCIES"));
        array_of::<abi::Target>(&pin("GROUPS"), 4 * abi::GROUP_BUCKETS);
        array::<abi::Router>(&pin("ROUTERS"));
        array::<abi::Rule>(&pin("RULES"));
        array::<u32>(&pin("CLASSIFIERS"));
        HashMap::<_, abi::NeighborKey, abi::Target>::create(64, 0).unwrap().pin(pin("HOSTS")).unwrap();
        LpmTrie::<_, abi::RoutePrefix, abi::Target>::create(64, NO_PREALLOC)
            .unwrap()
            .pin(pin("ROUTES"))
            .unwrap();
        HashMap::<_, u32, abi::Label>::create(64, 0).unwrap().pin(pin("LABELS")).unwrap();
        HashMap::<_, abi::EndpointKey, u32>::create(64, 0).unwrap().pin(pin("ENDPOINTS")).unwrap();
        HashMap::<_, u32, u32>::create(64, 0).unwrap().pin(pin("VNIS")).unwrap();
        HashMap::<_, abi::TunnelKey, abi::Tunnel>::create(64, 0).unwrap().pin(pin("TUNNELS")).unwrap();
        HashMap::<_, abi::VlanKey, u32>::create(64, 0).unwrap().pin(pin("PORT_OF_VLAN")).unwrap();
        HashMap::<_, u32, u32>::create(64, 0).unwrap().pin(pin("PORT_OF_INTERFACE")).unwrap();
        PerCpuArray::<_, abi::Counters>::create(64, 0).unwrap().pin(pin("PORT_STATS")).unwrap();
        PerCpuArray::<_, abi::Counters>::create(64, 0).unwrap().pin(pin("VPN_STATS")).unwrap();
        PerCpuArray::<_, abi::Drop>::create(32, 0).unwrap().pin(pin("DROPS")).unwrap();
        pins
    }
}

impl Drop for Pins {
    fn drop(&mut self) {
        let _ = map_cli::cleanup(&self.0);
    }
}

fn array<T: Pod>(pin: &Path) {
    array_of::<T>(pin, 64);
}

fn array_of<T: Pod>(pin: &Path, size: u32) {
    Array::<_, T>::create(size, 0).unwrap().pin(pin).unwrap();
}

fn index_of(name: &str) -> u32 {
    output(&format!("-o link show dev {name}"))
        .split(':')
        .next()
        .and_then(|index| index.parse().ok())
        .unwrap_or(0)
}

fn output(arguments: &str) -> String {
    let output = Command::new("ip").args(arguments.split(' ')).output().unwrap();
    String::from_utf8(output.stdout).unwrap()
}

fn batch(commands: &str) {
    let mut child = Command::new("ip").args(["-batch", "-"]).stdin(Stdio::piped()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(commands.as_bytes()).unwrap();
    assert!(child.wait().unwrap().success());
}

fn ip(arguments: &str) {
    let status = Command::new("ip").args(arguments.split(' ')).status().unwrap();
    assert!(status.success(), "ip {arguments}");
}
