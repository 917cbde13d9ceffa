//! What an agent refuses, and how it says so: the thing, the cause, the remedy. Nothing is changed by it.

use std::fs;
use std::net::TcpListener;
use std::path::Path;
use std::process::Command;

use bagpipe_agent::lab::{Agent, Attachment, Lab, LabError};
use bagpipe_tests::bagpipe;
use bagpipe_tests::fabric::{Fabric, attachment};
use serde_json::Value;

#[test]
fn attachments() -> Result<(), LabError> {
    let fabric = Fabric::new(2)?;
    let (agent, host) = (&fabric.agents[0], &fabric.hosts[0]);
    let before = shown(agent)?;
    let refused = |what: &str, change: &dyn Fn(&mut Attachment), words: &[&str]| {
        let mut wrong = attachment(host);
        change(&mut wrong);
        let error = agent.attach(&wrong).expect_err(what).to_string();
        for word in words {
            assert!(error.contains(word), "{what}: no `{word}` in: {error}");
        }
    };
    refused("an unknown interface", &|a| a.port = "tap77".to_owned(), &["exit code 1", "tap77"]);
    refused("a malformed MAC address", &|a| a.mac = "02:00:00:00:00".to_owned(), &["02:00:00:00:00"]);
    refused("a group MAC address", &|a| a.mac = "03:00:00:00:00:01".to_owned(), &["03:00:00:00:00:01"]);
    refused(
        "a malformed IP address",
        &|a| a.addresses = vec!["192.168.10.256".to_owned()],
        &["192.168.10.256"],
    );
    refused("a malformed route target", &|a| a.route_target = "64512".to_owned(), &["64512"]);
    refused("a VNI of 25 bits", &|a| a.vni = Some(1 << 24), &["16777216"]);

    // Against what is attached already: the MAC address on a second port, the VNI in a second instance.
    fabric.lab.link((agent.node(), "spare"), (&host.node, "spare"))?;
    refused("a MAC address of another port", &|a| a.port = "spare".to_owned(), &[&host.mac, "to-host1"]);
    let second = |a: &mut Attachment| {
        a.vpn = "red".to_owned();
        a.port = "spare".to_owned();
    };
    refused("a VNI of another instance", &second, &["10", "blue"]);

    assert_eq!(before, shown(agent)?, "nothing changed");
    fabric.assert_whole()
}

/// The ports and the instances of an agent, without what they have carried: hosts speak of their own accord.
fn shown(agent: &Agent) -> Result<[Value; 2], LabError> {
    let mut views = [agent.json(&["show", "ports"])?, agent.json(&["show", "vpns"])?];
    for entry in views.iter_mut().filter_map(Value::as_array_mut).flatten() {
        entry.as_object_mut().and_then(|fields| fields.remove("traffic"));
    }
    Ok(views)
}

#[test]
fn command_lines() {
    let code = |arguments: &[&str]| {
        Command::new(bagpipe()).args(arguments).output().expect("it starts").status.code()
    };
    assert_eq!(code(&["attach"]), Some(2));
    assert_eq!(code(&["--socket", "/nonexistent/socket", "status"]), Some(3));
}

#[test]
fn configurations() -> Result<(), LabError> {
    let lab = Lab::new()?;
    let check = |text: &str| {
        let file = lab.directory().join("checked.toml");
        fs::write(&file, text).expect("the file is written");
        let output = Command::new(bagpipe()).args(["agent", "--check", "--config"]).arg(&file).output();
        let output = output.expect("it starts");
        (output.status.code(), String::from_utf8_lossy(&output.stderr).into_owned())
    };
    let (bgp, rest) = ("[bgp]\nlocal_address = \"10.0.0.1\"\n", "[dataplane]\nunderlay = [\"eth0\"]\n");
    assert_eq!(check(&format!("{bgp}as_number = 64512\n{rest}")).0, Some(0));
    let (code, error) = check(&format!("{bgp}as_nummer = 64512\n{rest}"));
    assert_eq!(code, Some(2));
    assert!(error.contains("as_nummer") && error.contains(":3"), "{error}");
    Ok(())
}

#[test]
fn a_port_that_is_taken() {
    let (error, port) = start_on_a_taken_port("");
    assert!(error.contains(&format!("127.0.0.1:{port}")), "{error}");
}

/// A kernel without TCP-AO keeps an agent from starting that is to use it; with one that has it, the agent gets as far as
/// the port.
#[test]
fn tcp_ao_that_the_kernel_does_not_have() {
    let key = "tcp_ao = { key_id = 1, receive_id = 1, key = \"secret\" }";
    let (error, port) = start_on_a_taken_port(&format!("[[bgp.peers]]\naddress = \"127.0.0.2\"\n{key}"));
    let words = if kernel_has_tcp_ao() {
        vec![format!("127.0.0.1:{port}")]
    } else {
        ["peer 127.0.0.2", "CONFIG_TCP_AO", "a password in place of tcp_ao"].map(str::to_owned).to_vec()
    };
    for word in words {
        assert!(error.contains(&word), "no {word:?} in: {error}");
    }
    assert!(!error.contains("secret"), "{error}");
}

/// What the kernel itself says: TCP_AO_INFO (40, linux/tcp.h) is no option of one that has no TCP-AO.
fn kernel_has_tcp_ao() -> bool {
    let script = "import socket, errno\n\
                  try: socket.socket().getsockopt(socket.SOL_TCP, 40, 48)\n\
                  except OSError as error: raise SystemExit(error.errno == errno.ENOPROTOOPT)";
    Command::new("python3").args(["-c", script]).status().expect("it starts").success()
}

/// What an agent says that can't listen, and on which port.
fn start_on_a_taken_port(peers: &str) -> (String, u16) {
    let taken = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let port = taken.local_addr().expect("a bound socket").port();
    let directory = std::env::temp_dir().join(format!("bagpipe-taken-{port}"));
    fs::create_dir_all(&directory).expect("a directory");
    let error = start_on(&directory, port, peers);
    fs::remove_dir_all(&directory).expect("the directory goes");
    (error, port)
}

/// What an agent says that can't listen.
fn start_on(directory: &Path, port: u16, peers: &str) -> String {
    let config = directory.join("bagpipe.toml");
    let shown = directory.display();
    let text = format!(
        "[bgp]\nlocal_address = \"127.0.0.1\"\nas_number = 64512\nlisten = [\"127.0.0.1:{port}\"]\n\
         {peers}\n[dataplane]\ndriver = \"none\"\n[api]\nlisten = \"\"\nsocket = \"{shown}/socket\"\n\
         [state]\ndirectory = \"{shown}\"\n"
    );
    fs::write(&config, text).expect("the file is written");
    let output =
        Command::new(bagpipe()).args(["agent", "--config"]).arg(&config).output().expect("it starts");
    assert_eq!(output.status.code(), Some(1));
    String::from_utf8_lossy(&output.stderr).into_owned()
}
