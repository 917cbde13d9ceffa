//! What a route of an IP-VPN takes in memory, from the session to the desired forwarding state: a peer announces VPN-IPv4
//! routes with a label of its whole instance, then with a label each.
//!
//! `cargo run --release -p bagpipe-agent --example million_routes [ROUTES]`

use std::error::Error;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::Instant;

use bagpipe_agent::engine::{Engine, EngineConfig};
use bagpipe_agent::fib::Fib;
use bagpipe_agent::vpn::{AttachRequest, Overlay};
use bagpipe_bgp::session::SessionConfig;
use bagpipe_bgp::speaker::{ConnId, PeerConfig, SpeakerConfig};
use bagpipe_bgp::types::{Family, IpPrefix, Label, RouteDistinguisher, RouteTarget};
use bagpipe_bgp::wire::community::TunnelType;
use bagpipe_bgp::wire::{
    Attributes, Context, ExtendedCommunity, LabelStack, Message, NextHop, Nlri, UpdateWriter, VpnRoute,
};

const ASN: u32 = 64_512;
const OWN: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 1);
const PEER: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 2);
const FAMILIES: [Family; 1] = [Family::VPNV4];
const PAGE: u64 = 4096;

fn main() -> Result<(), Box<dyn Error>> {
    let routes = std::env::args().nth(1).map_or(Ok(1_000_000), |count| count.parse())?;
    for (what, labels) in [("one label for all", 1), ("a label each", 1_000_000)] {
        let mut node = Node::new()?;
        let (before, start) = (resident()?, Instant::now());
        node.load(routes, labels)?;
        let (bytes, time) = (resident()?.saturating_sub(before), start.elapsed());
        println!(
            "{routes} routes, {what}: {:.0} routes/s, {} bytes per route",
            f64::from(routes) / time.as_secs_f64(),
            bytes / u64::from(routes).max(1)
        );
        // Its memory is given back to the allocator, not to the system: the second figure would be too small.
        std::mem::forget(node);
    }
    Ok(())
}

/// An agent without its rim.
struct Node {
    engine: Engine,
    conn: ConnId,
    fib: Fib,
}

impl Node {
    /// With an established session, and an IP-VPN that imports.
    fn new() -> Result<Self, Box<dyn Error>> {
        let now = Instant::now();
        let config = EngineConfig {
            speaker: SpeakerConfig { families: FAMILIES.to_vec(), ..SpeakerConfig::new(ASN, OWN) },
            local_endpoint: OWN.into(),
            vnis: 1..=10,
            overlay: Overlay::new(OWN.into()),
        };
        let mut engine = Engine::new(config, None, now)?;
        let peer =
            PeerConfig { passive: true, families: FAMILIES.to_vec(), ..PeerConfig::new(PEER.into(), ASN) };
        engine.add_peer(peer, now);
        let conn = engine.accepted(SocketAddr::new(PEER.into(), 50_000), now).map_err(|_| "refused")?;
        let open = SessionConfig {
            local_asn: ASN,
            router_id: PEER,
            remote_asn: ASN,
            hold_time: 0,
            families: FAMILIES.to_vec(),
            restart_time: 0,
            long_lived_time: 0,
            restarting: false,
        };
        for message in [Message::Open(open.open()), Message::Keepalive] {
            engine.received(conn, &message.encode(&Context::default()), now);
        }
        let request: AttachRequest = serde_json::from_str(
            r#"{"vpn_type": "ipvpn", "vpn_instance_id": "blue", "mac_address": "02:00:00:00:00:01", "local_port": "tap0",
                "ip_address": "192.0.2.9", "import_rt": "64512:1", "export_rt": "64512:1"}"#,
        )?;
        engine.attach(&request, now)?;
        Ok(Self { engine, conn, fib: Fib::default() })
    }

    /// Each UPDATE as full as it gets.
    fn load(&mut self, routes: u32, labels: u32) -> Result<(), Box<dyn Error>> {
        let target: RouteTarget = "64512:1".parse()?;
        let attributes = Attributes {
            next_hop: Some(NextHop::from(IpAddr::V4(PEER))),
            local_pref: Some(100),
            extended_communities: vec![
                target.into(),
                ExtendedCommunity::encapsulation(TunnelType::MPLS_IN_UDP),
            ],
            ..Attributes::default()
        };
        let context = Context { four_octet_as: true, families: FAMILIES.to_vec(), ..Context::default() };
        let writer = || UpdateWriter::announce(&context, Family::VPNV4, &attributes);
        let mut update = writer();
        for number in 0..routes {
            let nlri = route(number, labels)?;
            if !update.push(&nlri) {
                self.receive(&std::mem::replace(&mut update, writer()).finish());
                update.push(&nlri);
            }
        }
        self.receive(&update.finish());
        if self.fib.routes.len() != routes as usize + 1 {
            return Err(format!("{} routes arrived of {routes}", self.fib.routes.len()).into());
        }
        Ok(())
    }

    fn receive(&mut self, update: &[u8]) {
        self.engine.received(self.conn, update, Instant::now());
        while let Some(change) = self.engine.poll_change() {
            self.fib.apply(&change);
        }
        while self.engine.poll_event().is_some() {}
    }
}

/// One /24 after the other, from 10.0.0.0 on.
fn route(number: u32, labels: u32) -> Result<Nlri, Box<dyn Error>> {
    let prefix = IpPrefix::new(Ipv4Addr::from_bits((10 << 24) + (number << 8)).into(), 24).ok_or("prefix")?;
    let label = Label::new(16 + number % labels).ok_or("label")?;
    let labels = LabelStack::new(&[label]).ok_or("labels")?;
    Ok(Nlri::Vpn(VpnRoute { labels, rd: RouteDistinguisher::from_ipv4(PEER, 1), prefix }))
}

/// Octets that are resident.
fn resident() -> Result<u64, Box<dyn Error>> {
    let text = std::fs::read_to_string("/proc/self/statm")?;
    let pages: u64 = text.split(' ').nth(1).ok_or("statm")?.parse()?;
    Ok(pages * PAGE)
}
