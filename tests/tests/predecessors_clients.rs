//! Clients of bagpipe-bgp, unmodified, with an agent in its place.

use std::fs;
use std::path::Path;
use std::time::Duration;

use bagpipe_agent::lab::{Lab, LabError, wait_until};
use bagpipe_tests::SOON;
use bagpipe_tests::bagpipe_bgp::{client_python, program};
use bagpipe_tests::rest::RestAgent;
use serde_json::Value;

/// Python takes its time to start on a busy machine.
const LATER: Duration = Duration::from_secs(60);
/// The tools want the daemon's configuration at this place only, so each sees an `/etc` of its own.
const OWN_ETC: &str = "mount -t tmpfs none /etc && mkdir /etc/bagpipe-bgp && cp \"$0\" /etc/bagpipe-bgp/bgp.conf && \
                       echo 127.0.0.1 localhost >/etc/hosts && exec \"$@\"";

struct Bench {
    agent: RestAgent,
    config: String,
    lab: Lab,
}

impl Bench {
    fn new() -> Result<Self, LabError> {
        let lab = Lab::new()?;
        let agent = RestAgent::start(&lab, &lab.node("node")?, "127.0.0.1")?;
        let config = lab.directory().join("client.conf");
        fs::write(&config, "[API]\nport = 8082\n[COMMON]\nroot_helper = env\n")
            .map_err(|source| LabError::File { path: config.clone(), source })?;
        Ok(Self { agent, config: config.to_string_lossy().into_owned(), lab })
    }

    /// What a tool of bagpipe-bgp prints.
    fn tool(&self, name: &str, arguments: &[&str]) -> Result<String, LabError> {
        let tool = program(name)?.to_string_lossy().into_owned();
        let own = ["unshare", "--mount", "sh", "-c", OWN_ETC, &self.config, &tool];
        self.agent.node().run(&[&own[..], arguments].concat())
    }

    fn instances(&self) -> Result<Vec<String>, LabError> {
        let instances = self.agent.looking_glass("/vpns/instances")?;
        let ids = instances.as_array().into_iter().flatten().filter_map(|entry| entry["id"].as_str());
        Ok(ids.map(str::to_owned).collect())
    }
}

#[test]
fn predecessors_clients_on_the_command_line() -> Result<(), LabError> {
    let bench = Bench::new()?;
    let port =
        ["--port", "tap0", "--mac", "52:54:00:00:00:01", "--ip", "10.0.0.1/24", "--vpn-instance-id", "lan"];
    let attach = |operation, more: &[&str]| {
        bench.tool("bagpipe-rest-attach", &[&[operation, "--network-type", "evpn"], &port[..], more].concat())
    };
    for _ in 0..2 {
        let printed = attach("--attach", &["--rt", "64512:10", "--vni", "100"])?;
        assert!(printed.contains("response: 200"), "{printed}");
    }
    let routed = ["--attach", "--network-type", "ipvpn", "--port", "evpn:lan", "--ip", "10.0.0.254/24"];
    let more = ["--gateway-ip", "10.0.0.254", "--vpn-instance-id", "wan", "--rt", "64512:20"];
    bench.tool("bagpipe-rest-attach", &[&routed[..], &more].concat())?;
    let refused = attach("--attach", &["--rt", "64512:10", "--vni", "101"]).unwrap_err().to_string();
    assert!(refused.contains("error 400"), "{refused}");

    let glass = |words: &[&str]| bench.tool("bagpipe-looking-glass", words);
    assert_eq!(glass(&["summary", "vpn_instances_count"])?.trim(), "2");
    let shown = glass(&["-r", "vpns", "instances"])?;
    for word in ["lan", "wan", "tap0", "52:54:00:00:00:01", "target:64512:10"] {
        assert!(shown.contains(word), "no {word} in {shown}");
    }
    let graph = bench.tool("bagpipe-impex2dot", &[])?;
    for line in [
        "rt_64512_10 -> vpn_localhost__lan:0",
        "vpn_localhost__lan:0 -> rt_64512_10",
        "vpn_localhost__lan -> vpn_localhost__wan",
    ] {
        assert!(graph.contains(line), "no {line} in {graph}");
    }

    let unroute = ["--detach", "--network-type", "ipvpn", "--port", "evpn:lan", "--ip", "10.0.0.254/24"];
    bench.tool("bagpipe-rest-attach", &[&unroute[..], &more].concat())?;
    attach("--detach", &["--rt", "64512:10"])?;
    assert_eq!(bench.instances()?, Vec::<String>::new());
    Ok(())
}

#[test]
fn predecessors_clients_of_neutron() -> Result<(), LabError> {
    let mut bench = Bench::new()?;
    let commands = bench.lab.directory().join("commands");
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus/neutron_agent.py");
    let [python, script, argument] =
        [client_python()?, script, commands.clone()].map(|path| path.to_string_lossy().into_owned());
    let node = bench.agent.node().clone();
    // Held until the end of the test, which ends it.
    let _client = node.spawn("neutron", &[&python, &script, &argument])?;
    let attached = |bench: &Bench| {
        (bench.instances().ok()? == ["evpn_net", "ipvpn_net"]).then_some(())?;
        let ports = bench.agent.looking_glass("/vpns/instances/ipvpn_net/ports").ok()?;
        ports["ipvpn2-evpn1"]["endpoints"][0]["local_pref"].as_u64().filter(|value| *value == 44)
    };
    wait_until(LATER, "the client attaches", || attached(&bench))?;
    let evpn = bench.agent.looking_glass("/vpns/instances/evpn_net")?;
    assert_eq!(
        (&evpn["instance_dataplane_id"], &evpn["instance_type"]),
        (&Value::from(101), &Value::from("EVI"))
    );

    let command = |word: &str| {
        fs::write(&commands, word).map_err(|source| LabError::File { path: commands.clone(), source })?;
        wait_until(SOON, word, || (!commands.exists()).then_some(()))
    };
    let before = bench.agent.looking_glass("/vpns")?;
    command("refresh")?;
    assert_eq!(bench.agent.looking_glass("/vpns")?, before);

    let ping = |bench: &Bench| bench.agent.request("GET", "/ping", "").map(|answer| answer.body);
    let first = ping(&bench)?;
    bench.agent.forget_and_resume()?;
    assert_ne!(ping(&bench)?, first, "another number at each start");
    wait_until(LATER, "the client attaches again", || attached(&bench))?;
    command("detach")?;
    assert_eq!(bench.instances()?, Vec::<String>::new());
    Ok(())
}
