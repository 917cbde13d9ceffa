//! The page at `/`, in Chromium: it shows what happens while it is open, and fits on a phone.

use std::env;
use std::path::PathBuf;

use bagpipe_agent::lab::{Agent, Lab, LabError, wait_until};
use bagpipe_tests::browser::Browser;
use bagpipe_tests::rest::RestAgent;
use bagpipe_tests::{SOON, bagpipe};
use serde_json::{Value, json};

const ADDRESS: &str = "http://127.0.0.1:8082/";
/// Width and height of a desktop's window and of phones.
const DESKTOP: (u32, u32) = (1100, 420);
const PHONE: (u32, u32) = (390, 844);
const SMALL_PHONE: (u32, u32) = (320, 568);
/// Names the directory that the pictures of the documents are to be written to.
const PICTURES: &str = "BAGPIPE_PICTURES";

/// An agent with its page, and another that it has a session with.
struct Network {
    agent: RestAgent,
    _other: Agent,
    _lab: Lab,
}

impl Network {
    fn new() -> Result<Self, LabError> {
        let lab = Lab::new()?;
        let (node, other) = (lab.node("node")?, lab.node("other")?);
        lab.link((&node, "eth0"), (&other, "eth0"))?;
        node.address("eth0", "10.99.0.1/24")?;
        other.address("eth0", "10.99.0.2/24")?;
        let text = "[bgp]\nlocal_address = \"10.99.0.2\"\nas_number = 64512\n[[bgp.peers]]\naddress = \"10.99.0.1\"\n\
                    [dataplane]\ndriver = \"none\"\n";
        let other = Agent::configured(&lab, &bagpipe(), &other, text)?;
        let peers = "listen = [\"10.99.0.1:179\"]\n[[bgp.peers]]\naddress = \"10.99.0.2\"\npassive = true\n";
        let agent = RestAgent::start_with(&lab, &node, "10.99.0.1", peers)?;
        let words = ["attach", "--vpn", "blue", "--port", "tap9", "--mac", "02:00:00:00:00:09"];
        other.cli(&[&words[..], &["--ip", "192.168.10.9", "--rt", "64512:10"]].concat())?;
        let network = Self { agent, _other: other, _lab: lab };
        network.attach("blue", 1)?;
        network.attach("blue", 2)?;
        wait_until(SOON, "the other's routes", || {
            let routes = network.agent.request("GET", "/v1/routes", "").ok()?.body;
            routes.contains("02:00:00:00:00:09").then_some(())
        })?;
        Ok(network)
    }

    fn attach(&self, vpn: &str, port: u8) -> Result<(), LabError> {
        self.post("attach_localport", vpn, port)
    }

    fn post(&self, verb: &str, vpn: &str, port: u8) -> Result<(), LabError> {
        let body = json!({
            "vpn_type": "evpn",
            "vpn_instance_id": vpn,
            "mac_address": format!("02:00:00:00:00:{port:02x}"),
            "ip_address": format!("192.168.10.{port}"),
            "local_port": { "linuxif": format!("tap{port}") },
            "import_rt": ["64512:10"],
            "export_rt": ["64512:10"],
        });
        let answer = self.agent.request("POST", &format!("/{verb}"), &body.to_string())?;
        assert_eq!(answer.status, 200, "{}", answer.body);
        Ok(())
    }

    fn open(&self, size: (u32, u32)) -> Result<Browser, LabError> {
        let mut page = Browser::open(self.agent.node(), ADDRESS, size)?;
        page.wait("document.getElementById('state')?.textContent === 'running'")?;
        Ok(page)
    }
}

/// Shows a table, and waits for it.
fn show(page: &mut Browser, title: &str) -> Result<(), LabError> {
    let column = match title {
        "Peers" => "Peer",
        "VPNs" => "Name",
        "Ports" => "Interface",
        "Routes" => "Best",
        "FDB" => "VPN",
        "Next hops" => "Endpoint",
        _ => "Reason",
    };
    let button =
        format!("[...document.querySelectorAll('#tabs button')].find(b => b.textContent === '{title}')");
    page.value(&format!("{button}.click()"))?;
    page.wait(&format!("document.querySelector('th')?.textContent === '{column}'"))
}

/// Whether the table has a text.
fn has(text: &str) -> String {
    format!("document.querySelector('tbody').textContent.includes('{text}')")
}

#[test]
fn what_happens_appears_without_a_reload() -> Result<(), LabError> {
    let mut network = Network::new()?;
    let mut page = network.open(DESKTOP)?;
    page.wait(&has("established"))?;
    show(&mut page, "Ports")?;
    page.wait(&has("tap1"))?;
    // A reload would make it forget this.
    page.value("window.first = true")?;
    assert_eq!(page.value(&has("tap3"))?, false);
    network.attach("blue", 3)?;
    page.wait(&has("tap3"))?;
    network.post("detach_localport", "blue", 3)?;
    page.wait(&format!("!{}", has("tap3")))?;

    // It says so when nobody answers, and goes on when somebody does.
    network.agent.stop()?;
    page.wait("document.getElementById('state').textContent === 'the agent does not answer'")?;
    network.agent.resume()?;
    page.wait("document.getElementById('state').textContent === 'running'")?;
    assert_eq!(page.value("window.first")?, true);

    // What an attach says is text, whatever it says.
    network.attach("<img src=x onerror='window.broken = true'>", 4)?;
    page.wait(&has("<img src=x"))?;
    assert_eq!(page.value("window.broken === undefined && document.images.length === 0")?, true);
    Ok(())
}

/// What is wider than the screen: names of elements, without those that are to be scrolled.
const TOO_WIDE: &str = "(() => {
    const width = document.documentElement.clientWidth;
    const wide = [...document.querySelectorAll('body *')].filter(e => !e.closest('nav') && e.getBoundingClientRect().right > width + 0.5);
    const scrolled = document.documentElement.scrollWidth > width ? ['the page'] : [];
    return [...scrolled, ...wide.map(e => e.tagName + ' ' + e.textContent.slice(0, 80))];
})()";

#[test]
fn nothing_is_wider_than_a_phone() -> Result<(), LabError> {
    let network = Network::new()?;
    network.attach(&"long-name-".repeat(9), 5)?;
    let mut page = network.open(PHONE)?;
    for size in [PHONE, SMALL_PHONE] {
        page.resize(size)?;
        for title in ["VPNs", "Ports", "Routes", "FDB", "Next hops", "Drops", "Peers"] {
            show(&mut page, title)?;
            assert_eq!(page.value("innerWidth")?, size.0, "{title}");
            assert_eq!(page.value(TOO_WIDE)?, Value::Array(Vec::new()), "{title} on {size:?}");
        }
    }
    Ok(())
}

/// The pictures of the documents, if they are asked for.
#[test]
fn pictures() -> Result<(), LabError> {
    let Some(directory) = env::var_os(PICTURES).map(PathBuf::from) else { return Ok(()) };
    let network = Network::new()?;
    let mut page = network.open(DESKTOP)?;
    for (title, size, name) in [("Routes", DESKTOP, "page.png"), ("Ports", PHONE, "page-phone.png")] {
        page.resize(size)?;
        show(&mut page, title)?;
        page.photograph(&directory.join(name))?;
    }
    Ok(())
}
