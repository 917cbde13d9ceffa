//! BGP speakers of other projects, each beside our agent on one link, behind one interface: so that one list of cases
//! is run against each.

mod bagpipe_bgp;
mod bird;
mod exabgp;
mod frr;
mod gobgp;

use std::collections::BTreeSet;

use bagpipe_agent::lab::{Agent, Lab, LabError, Node, wait_until};
use serde_json::Value;

use crate::routes::{Route, of_agent};
use crate::{SOON, bagpipe};

/// What the peers sign with.
const PASSWORD: &str = "a-key:of_1number";

/// The route target of the IP-VPN.
pub const RED: &str = "64512:100";
/// The route target of the E-VPN, whose VNI is 10.
pub const BLUE: &str = "64512:10";

/// Who it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// GoBGP 3.10.
    Gobgp,
    /// FRR 8.4.
    Frr,
    /// BIRD 2.0.
    Bird,
    /// ExaBGP 4.2.
    Exabgp,
    /// bagpipe-bgp 21.0.
    BagpipeBgp,
}

/// Who opens the connection; the other one waits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Opens {
    /// Our agent.
    We,
    /// The peer.
    They,
}

/// On what terms the two speak.
#[derive(Clone, Copy, Debug)]
pub struct Terms {
    /// Who opens the connection.
    pub opens: Opens,
    /// Signed (RFC 2385), and from nearby only (RFC 5082).
    pub secured: bool,
    /// Our address and the peer's.
    pub addresses: [&'static str; 2],
}

/// An IPv4 link.
pub const IPV4: [&str; 2] = ["10.99.0.1", "10.99.0.2"];
/// An IPv6 link.
pub const IPV6: [&str; 2] = ["fd99::1", "fd99::2"];

/// What a peer does, as the table in `docs/COMPATIBILITY.md` has it. What it does not do is a `false` that is asserted,
/// not a case that is left out.
#[derive(Clone, Copy, Debug)]
pub struct Abilities {
    /// It waits for connections; all of them open some.
    pub waits: bool,
    /// It signs, and bounds the distance.
    pub secured: bool,
    /// The families that it negotiates with us, in our words and order.
    pub families: &'static [&'static str],
    /// It sends its routes again when it is asked to (RFC 2918).
    pub refreshes: bool,
    /// It marks the begin and the end of a refresh (RFC 7313).
    pub marks: bool,
    /// It can be told to ask for our routes again.
    pub asks: bool,
    /// It comes back with its routes kept by us (RFC 4724 §4.1).
    pub restarts: bool,
    /// It keeps our routes of these families while we are away (RFC 4724 §4.2).
    pub helps: &'static [&'static str],
}

/// A running peer.
pub trait Peer {
    /// Asks for the routes with a target, if it knows RT Constraint; the others get everything.
    ///
    /// # Errors
    /// When it refuses.
    fn want(&mut self, target: &str) -> Result<(), LabError>;

    /// Announces routes of its own, to both targets.
    ///
    /// # Errors
    /// When it refuses.
    fn announce(&mut self) -> Result<(), LabError>;

    /// Withdraws them.
    ///
    /// # Errors
    /// When it refuses.
    fn withdraw(&mut self) -> Result<(), LabError>;

    /// The routes that it announces, as we are to have them.
    ///
    /// # Errors
    /// When it does not answer.
    fn theirs(&self) -> Result<BTreeSet<Route>, LabError>;

    /// The routes that it has from us.
    ///
    /// # Errors
    /// When it does not answer.
    fn received(&self) -> Result<BTreeSet<Route>, LabError>;

    /// Asks for our routes again; only called when it can.
    ///
    /// # Errors
    /// When it refuses.
    fn ask(&self) -> Result<(), LabError> {
        Ok(())
    }

    /// Whether it has a session with us.
    fn has_session(&self) -> bool;

    /// SIGKILL.
    fn kill(&mut self);

    /// Starts it again, gracefully if it can.
    ///
    /// # Errors
    /// When it does not start.
    fn resume(&mut self) -> Result<(), LabError>;
}

/// Our agent and a peer on one link.
pub struct Pair {
    /// Ours.
    pub agent: Agent,
    /// Theirs.
    pub peer: Box<dyn Peer>,
    addresses: [&'static str; 2],
    /// What it all stands in; the last to go.
    _lab: Lab,
}

impl Kind {
    /// What it can do.
    #[must_use]
    pub const fn abilities(self) -> Abilities {
        match self {
            Self::Gobgp => gobgp::ABILITIES,
            Self::Frr => frr::ABILITIES,
            Self::Bird => bird::ABILITIES,
            Self::Exabgp => exabgp::ABILITIES,
            Self::BagpipeBgp => bagpipe_bgp::ABILITIES,
        }
    }

    fn start(self, lab: &Lab, node: &Node, terms: Terms) -> Result<Box<dyn Peer>, LabError> {
        Ok(match self {
            Self::Gobgp => Box::new(gobgp::start(lab, node, terms)?),
            Self::Frr => Box::new(frr::start(lab, node, terms)?),
            Self::Bird => Box::new(bird::Bird::start(lab, node, terms)?),
            Self::Exabgp => Box::new(exabgp::Exabgp::start(lab, node, terms)?),
            Self::BagpipeBgp => Box::new(bagpipe_bgp::start(lab, node, terms)?),
        })
    }
}

impl Pair {
    /// Both, without a session as yet. Our agent has a port in an IP-VPN and one in an E-VPN.
    ///
    /// # Errors
    /// When one does not start.
    pub fn new(kind: Kind, terms: Terms) -> Result<Self, LabError> {
        let lab = Lab::new()?;
        let (ours, theirs) = (lab.node("ours")?, lab.node("theirs")?);
        lab.link((&ours, "eth0"), (&theirs, "eth0"))?;
        let length = if terms.addresses == IPV4 { 24 } else { 64 };
        for (node, address) in [&ours, &theirs].into_iter().zip(terms.addresses) {
            node.address("eth0", &format!("{address}/{length}"))?;
        }
        let agent = Agent::configured(&lab, &bagpipe(), &ours, &configuration(terms))?;
        attach(&agent)?;
        let peer = kind.start(&lab, &theirs, terms)?;
        Ok(Self { agent, peer, addresses: terms.addresses, _lab: lab })
    }

    /// Waits until there is a session, and returns how our agent sees its peer.
    ///
    /// # Errors
    /// When there is none in time.
    pub fn established(&self) -> Result<Value, LabError> {
        wait_until(SOON * 2, "the session", || {
            let peer = self.shown()?;
            (peer["state"] == "established").then_some(peer)
        })
    }

    /// How our agent sees its peer.
    #[must_use]
    pub fn shown(&self) -> Option<Value> {
        self.agent.json(&["show", "peers"]).ok()?.get(0).cloned()
    }

    /// The routes of our agent, its own or the peer's.
    ///
    /// # Errors
    /// When it does not answer.
    pub fn routes(&self, of: Opens) -> Result<BTreeSet<Route>, LabError> {
        let next_hop = self.addresses[usize::from(of == Opens::They)];
        Ok(of_agent(&self.agent)?.into_iter().filter(|route| route.next_hop == next_hop).collect())
    }
}

/// Takes our port out of the IP-VPN: all its routes of the families of IP-VPNs go.
///
/// # Errors
/// When the agent refuses it.
pub fn detach(agent: &Agent) -> Result<(), LabError> {
    let words = ["detach", "--type", "ipvpn", "--vpn", "red", "--port", "tap1", "--mac", "02:00:00:00:01:01"];
    agent.cli(&words).map(drop)
}

/// Puts it in.
///
/// # Errors
/// When the agent refuses it.
pub fn attach(agent: &Agent) -> Result<(), LabError> {
    let evpn = ["attach", "--type", "evpn", "--vpn", "blue", "--rt", BLUE, "--vni", "10", "--port", "tap0"];
    agent.cli(&[&evpn[..], &["--mac", "02:00:00:00:00:01", "--ip", "192.168.10.1"]].concat())?;
    let ipvpn = ["attach", "--type", "ipvpn", "--vpn", "red", "--rt", RED, "--port", "tap1"];
    for (address, gateway) in [("10.1.1.2/24", "10.1.1.1"), ("fd01:1::2/64", "fd01:1::1")] {
        let own = ["--mac", "02:00:00:00:01:01", "--ip", address, "--gateway-ip", gateway];
        agent.cli(&[&ipvpn[..], &own].concat())?;
    }
    Ok(())
}

/// Our hold time is one that bagpipe-bgp takes: it asserts that it is longer than thirty seconds.
fn configuration(terms: Terms) -> String {
    let [ours, theirs] = terms.addresses;
    let socket = if ours.contains(':') { format!("[{ours}]:179") } else { format!("{ours}:179") };
    let secured = if terms.secured {
        format!("password = \"{PASSWORD}\"\nttl_security = true\n")
    } else {
        String::new()
    };
    format!(
        "[bgp]\nlocal_address = \"{ours}\"\nrouter_id = \"10.99.0.1\"\nas_number = 64512\nlisten = [\"{socket}\"]\n\
         hold_time = 90\n[[bgp.peers]]\naddress = \"{theirs}\"\npassive = {}\n{secured}\
         [dataplane]\ndriver = \"none\"\n",
        terms.opens == Opens::They
    )
}

/// A route of an IP-VPN that a peer announces.
fn vpn(prefix: &str, label: u64, next_hop: &str) -> Route {
    Route {
        kind: crate::routes::Kind::Vpn,
        rd: "64512:7".to_owned(),
        prefix: prefix.to_owned(),
        labels: vec![label],
        next_hop: next_hop.to_owned(),
        local_pref: Some(100),
        communities: BTreeSet::from([format!("rt:{RED}")]),
    }
}
