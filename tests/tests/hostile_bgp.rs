//! Malformed BGP sent to a running agent that has another session, routes and traffic: what RFC 4271 §6 and RFC 7606
//! say happens to the session that sent it, and nothing to anything else.

use std::fs;
use std::time::Duration;

use bagpipe_agent::lab::{Agent, LabError, Node, Ping, wait_until};
use bagpipe_bgp::wire::{Capability, Context, Message, Open};
use bagpipe_tests::SOON;
use bagpipe_tests::fabric::{Fabric, fdb};
use bagpipe_tests::speaker::{Closed, Speaker, open};
use serde_json::Value;

/// The malicious peer, and a node that is nobody's peer.
const HOSTILE: &str = "10.99.0.66";
const STRANGER: &str = "10.99.0.67";

/// The port of BGP.
const PORT: u16 = 179;

/// What malformed messages are about, and what the same session announced beside it.
const VICTIM: &str = "02:66:00:00:00:01";
const BYSTANDER: &str = "02:66:00:00:00:02";

/// ORIGIN, AS_PATH, LOCAL_PREF; extended communities: route target 64512:10, VXLAN.
const ATTRIBUTES: &str = "400101 00 400200 400504 00000064 c01010 0002fc000000000a 030c000000000008";

/// What becomes of a session, and of the route that the bytes were about.
enum Fate {
    /// The session stays, and so does the route.
    Kept,
    /// The session stays without the route.
    Withdrawn,
    /// A NOTIFICATION with code and subcode, and a word of what `show peers` says.
    Reset(u8, u8, &'static str),
}
use Fate::{Kept, Reset, Withdrawn};

#[test]
fn only_what_is_malformed_suffers() -> Result<(), LabError> {
    let scene = Scene::new()?;
    let agent = &scene.fabric.agents[0];
    let before = agent.process_id();
    let (host, target) = (&scene.fabric.hosts[0], &scene.fabric.hosts[1]);
    let ping = Ping::start(&host.node, &target.ipv4, Duration::from_millis(20))?;

    for (what, bytes, fate) in established() {
        scene.send_established(what, &bytes, &fate)?;
        scene.assert_others_untouched(what)?;
    }
    for (what, bytes, codes, word) in unopened() {
        let mut speaker = scene.connect();
        speaker.send(&bytes);
        scene.assert_reset(what, &mut speaker, codes, word)?;
        scene.assert_others_untouched(what)?;
    }
    scene.half_an_open()?;
    scene.strangers();
    scene.assert_others_untouched("strangers")?;
    scene.established()?;

    let loss = ping.finish()?;
    assert_eq!(loss.lost, 0, "traffic went on all the time: {loss:?}");
    assert_eq!(agent.process_id(), before);
    assert!(!agent.log().contains("panicked"), "{}", agent.log());
    scene.fabric.assert_whole()
}

/// What is sent over a session that is established.
fn established() -> Vec<(&'static str, Vec<u8>, Fate)> {
    let mut marker = message(4, "");
    marker[3] = 0;
    let mut long = message(4, "");
    long[17] = 20;
    let mut short = message(4, "");
    short[17] = 18;
    let reach = reach(VICTIM);
    let with = |added: &str| update(&format!("{ATTRIBUTES} {reach} {added}"));
    let origin = ATTRIBUTES.replace("400101 00", "400101 09");
    let targets = ATTRIBUTES.replace("c01010", "c0100f").replace("000008", "0000");
    vec![
        ("nothing wrong", with(""), Kept),
        ("ATOMIC_AGGREGATE with a value (7606 §7.6)", with("400601 00"), Kept),
        ("AGGREGATOR of a wrong length (7606 §7.7)", with("c00703 000000"), Kept),
        ("ORIGIN of an unknown value (7606 §7.1)", update(&format!("{origin} {reach}")), Withdrawn),
        ("extended communities cut off (7606 §7.14)", update(&format!("{targets} {reach}")), Withdrawn),
        ("MED with the flags of another (7606 §3 (c))", with("c00404 00000001"), Withdrawn),
        ("an attribute that ends early (7606 §4)", with("4005"), Withdrawn),
        ("a marker that is not all ones (4271 §6.1)", marker, Reset(1, 1, "marker")),
        ("a KEEPALIVE that is too long (4271 §6.1)", long, Reset(1, 2, "length 20")),
        ("a length below the header's (4271 §6.1)", short, Reset(1, 2, "length 18")),
        ("an unknown message type (4271 §6.1)", message(9, ""), Reset(1, 3, "type 9")),
        (
            "attributes longer than the message (4271 §6.3)",
            message(2, "0000 0010 40010100"),
            Reset(3, 1, "3/1"),
        ),
        ("two MP_REACH_NLRI (7606 §3 (g))", with(&reach), Reset(3, 1, "3/1")),
        ("a second OPEN (4271 §6.6)", encode(open(HOSTILE)), Reset(5, 3, "OPEN")),
    ]
}

/// What is sent, as which bytes, the NOTIFICATION for it, and a word of what `show peers` says.
type Opening = (&'static str, Vec<u8>, (u8, u8), &'static str);

/// What is sent in place of an OPEN.
fn unopened() -> Vec<Opening> {
    let mut version = encode(open(HOSTILE));
    version[19] = 3;
    let changed = |change: &dyn Fn(&mut Open)| {
        let mut open = open(HOSTILE);
        change(&mut open);
        encode(open)
    };
    vec![
        ("another protocol", b"GET / HTTP/1.1\r\nHost: bgp\r\n\r\n".to_vec(), (1, 1), "marker"),
        ("zeros", vec![0; 4096], (1, 1), "marker"),
        ("an UPDATE before the OPEN", update(&format!("{ATTRIBUTES} {}", reach(VICTIM))), (5, 1), "UPDATE"),
        ("BGP version 3", version, (2, 1), "version 3"),
        (
            "another AS",
            changed(&|open| open.capabilities = vec![Capability::FourOctetAs(64_999)]),
            (2, 2),
            "AS",
        ),
        ("a hold time of 1 s", changed(&|open| open.hold_time = 1), (2, 6), "hold time"),
        ("no router id", changed(&|open| open.router_id = [0; 4].into()), (2, 3), "identifier"),
    ]
}

/// A fabric of which the first agent accepts one more peer.
struct Scene {
    fabric: Fabric,
    hostile: Node,
}

impl Scene {
    fn new() -> Result<Self, LabError> {
        let mut fabric = Fabric::new(2)?;
        let hostile = fabric.bare_node(66)?;
        hostile.address("eth0", &format!("{STRANGER}/24"))?;
        let agent = &mut fabric.agents[0];
        agent.stop()?;
        let text = fs::read_to_string(agent.config()).expect("the configuration is there");
        let listen = format!("[bgp]\nlisten = [\"{}:{PORT}\"]", Fabric::address(1));
        let peer = format!("[[bgp.peers]]\naddress = \"{HOSTILE}\"\npassive = true\n[dataplane]");
        let text = text.replace("[bgp]", &listen).replace("[dataplane]", &peer);
        fs::write(agent.config(), text).expect("the configuration is written");
        agent.resume()?;
        let scene = Self { fabric, hostile };
        scene.fabric.settle()?;
        scene.fabric.assert_whole()?;
        Ok(scene)
    }

    fn agent(&self) -> &Agent {
        &self.fabric.agents[0]
    }

    fn connect(&self) -> Speaker {
        Speaker::connect(&self.hostile, HOSTILE, (&Fabric::address(1), PORT))
    }

    /// A session that has announced two MAC addresses.
    fn established(&self) -> Result<Speaker, LabError> {
        let mut speaker = self.connect();
        speaker.establish(HOSTILE);
        for mac in [VICTIM, BYSTANDER] {
            speaker.send(&update(&format!("{ATTRIBUTES} {}", reach(mac))));
            wait_until(SOON, "a route of the peer", || fdb(self.agent(), mac).map(drop))?;
        }
        Ok(speaker)
    }

    fn send_established(&self, what: &str, bytes: &[u8], fate: &Fate) -> Result<(), LabError> {
        let mut speaker = self.established()?;
        speaker.send(bytes);
        match fate {
            Reset(code, subcode, word) => {
                self.assert_reset(what, &mut speaker, (*code, *subcode), word)?;
                let gone =
                    || [VICTIM, BYSTANDER].iter().all(|mac| fdb(self.agent(), mac).is_none()).then_some(());
                return wait_until(SOON, what, gone);
            }
            Withdrawn => wait_until(SOON, what, || fdb(self.agent(), VICTIM).is_none().then_some(()))?,
            Kept => {}
        }
        // Messages are handled in order: once a later one has had its effect, so has this one.
        let later = "02:66:00:00:00:03";
        speaker.send(&update(&format!("{ATTRIBUTES} {}", reach(later))));
        wait_until(SOON, what, || fdb(self.agent(), later).map(drop))?;
        assert_eq!(fdb(self.agent(), VICTIM).is_some(), matches!(fate, Kept), "{what}");
        assert!(fdb(self.agent(), BYSTANDER).is_some(), "{what}: the other route stays");
        drop(speaker);
        wait_until(SOON, what, || fdb(self.agent(), later).is_none().then_some(()))
    }

    fn assert_reset(
        &self,
        what: &str,
        speaker: &mut Speaker,
        codes: (u8, u8),
        word: &str,
    ) -> Result<(), LabError> {
        let notification = speaker.notification().map(|sent| (sent.code, sent.subcode));
        assert_eq!(notification, Ok(codes), "{what}");
        assert_eq!(speaker.receive(), Err(Closed), "{what}");
        let named = format!("{what}: the last error names `{word}`");
        wait_until(SOON, &named, || self.last_error().contains(word).then_some(()))
    }

    /// Half an OPEN, and silence: the next connection takes its place.
    fn half_an_open(&self) -> Result<(), LabError> {
        let mut silent = self.connect();
        silent.send(&encode(open(HOSTILE))[..25]);
        drop(self.established()?);
        assert_eq!(silent.notification().map(|sent| (sent.code, sent.subcode)), Ok((6, 7)), "half an OPEN");
        Ok(())
    }

    /// Who is no peer is told nothing.
    fn strangers(&self) {
        for _ in 0..10 {
            let mut stranger = Speaker::connect(&self.hostile, STRANGER, (&Fabric::address(1), PORT));
            assert_eq!(stranger.receive(), Err(Closed), "a stranger");
        }
    }

    fn last_error(&self) -> String {
        self.peer(HOSTILE)["last_error"].as_str().unwrap_or_default().to_owned()
    }

    fn peer(&self, address: &str) -> Value {
        let peers = self.agent().json(&["show", "peers"]).unwrap_or_default();
        let found = peers.as_array().and_then(|peers| peers.iter().find(|peer| peer["address"] == address));
        found.cloned().unwrap_or_default()
    }

    /// The other session never went down, its routes are there, and the maps are what they should be.
    fn assert_others_untouched(&self, what: &str) -> Result<(), LabError> {
        let reflector = Fabric::address(254);
        assert_eq!(self.peer(&reflector)["state"], "established", "{what}");
        assert!(!self.agent().log().contains(&format!("{reflector} is down")), "{what}");
        assert!(fdb(self.agent(), &self.fabric.hosts[1].mac).is_some(), "{what}");
        self.fabric.verify()
    }
}

fn encode(open: Open) -> Vec<u8> {
    Message::Open(open).encode(&Context::default()).to_vec()
}

/// MP_REACH_NLRI with the route of a MAC address behind the hostile peer.
fn reach(mac: &str) -> String {
    let route =
        format!("0221 0001 0a630042 0001 {} 00000000 30 {} 00 00000a", "00".repeat(10), mac.replace(':', ""));
    format!("800e2c 0019 46 04 0a630042 00 {route}")
}

fn update(attributes: &str) -> Vec<u8> {
    let length = hex(attributes).len();
    message(2, &format!("0000 {length:04x} {attributes}"))
}

/// A message of a type, with its body in hexadecimal digits.
fn message(kind: u8, body: &str) -> Vec<u8> {
    let body = hex(body);
    let length = u16::try_from(19 + body.len()).expect("short").to_be_bytes();
    [&[0xff; 16][..], &length, &[kind], &body].concat()
}

fn hex(text: &str) -> Vec<u8> {
    let digits: String = text.split_whitespace().collect();
    let octet = |at: usize| u8::from_str_radix(&digits[at..at + 2], 16).expect("hexadecimal digits");
    (0..digits.len()).step_by(2).map(octet).collect()
}
