//! Two engines that peer with each other directly.

use bagpipe_bgp::speaker::PeerState;
use bagpipe_bgp::types::Family;
use serde_json::json;

use super::*;

const ADDRESSES: [[u8; 4]; 2] = [[192, 0, 2, 1], [192, 0, 2, 2]];

fn engine(number: usize, now: Instant) -> Engine {
    let address = ADDRESSES[number];
    let config = EngineConfig {
        speaker: SpeakerConfig {
            terms: SpeakerTerms { restart_time: 120, ..SpeakerTerms::default() },
            ..SpeakerConfig::new(64_512, address.into())
        },
        local_endpoint: address.into(),
        vnis: 100..=199,
        overlay: Overlay::new(address.into()),
        duplicates: DuplicateDetection::default(),
    };
    let mut engine = Engine::new(config, None, now).unwrap();
    let peer = PeerConfig {
        passive: number == 1,
        families: vec![Family::ROUTE_TARGET, Family::EVPN],
        ..PeerConfig::new(ADDRESSES[1 - number].into(), 64_512)
    };
    engine.add_peer(peer, now);
    engine
}

/// Connects the first engine to the second, and carries bytes until nothing is left.
fn converse(now: Instant) -> [Engine; 2] {
    let mut engines = [engine(0, now), engine(1, now)];
    let Some(Action::Connect { conn, .. }) = engines[0].poll_action() else {
        panic!("no attempt to connect")
    };
    let accepted = engines[1].accepted(SocketAddr::new(ADDRESSES[0].into(), 50_000), now).unwrap();
    engines[0].connected(conn, now);
    let conns = [conn, accepted];
    carry(&mut engines, conns, now);
    let attached = engines[1].attach(&request("02:00:00:00:00:02", "10.0.0.2"), now).unwrap();
    assert_eq!(attached.vni.get(), 100);
    engines[0].attach(&request("02:00:00:00:00:01", "10.0.0.1"), now).unwrap();
    carry(&mut engines, conns, now);
    engines
}

fn carry(engines: &mut [Engine; 2], conns: [ConnId; 2], now: Instant) {
    let mut quiet = 0;
    while quiet < 2 {
        quiet += 1;
        for from in [0, 1] {
            while let Some(bytes) = engines[from].poll_transmit(conns[from]) {
                engines[1 - from].received(conns[1 - from], &bytes, now);
                quiet = 0;
            }
        }
    }
}

fn request(mac: &str, ip: &str) -> AttachRequest {
    serde_json::from_value(json!({
        "vpn_type": "evpn", "vpn_instance_id": "blue", "mac_address": mac, "ip_address": ip,
        "local_port": "tap0", "import_rt": "64512:1", "export_rt": "64512:1",
    }))
    .unwrap()
}

#[test]
fn what_one_attaches_the_other_forwards_to_and_shows() {
    let [mut engine, _] = converse(Instant::now());
    assert!(engine.peers().all(|peer| peer.state == PeerState::Established));
    let converged = |event: EngineEvent| matches!(event, EngineEvent::Speaker(SpeakerEvent::Converged));
    assert!(std::iter::from_fn(|| engine.poll_event()).any(converged));
    assert!(std::iter::from_fn(|| engine.poll_change()).count() > 0);

    assert_eq!(engine.describe(1), "VPN instance 'blue' (evpn)");
    assert!(engine.describe(9).contains("number 9"));
    let as_json = |views: serde_json::Result<serde_json::Value>| views.unwrap();
    assert_eq!(
        as_json(serde_json::to_value(engine.fdb().collect::<Vec<_>>())),
        json!([
            {"vpn": "blue", "mac": "02:00:00:00:00:01", "target": "port", "interface": "tap0", "any_ip": false},
            {"vpn": "blue", "mac": "02:00:00:00:00:02", "target": "vxlan", "endpoint": "192.0.2.2", "vni": 100},
        ])
    );
    assert_eq!(
        as_json(serde_json::to_value(engine.neighbors().collect::<Vec<_>>())),
        json!([
            {"vpn": "blue", "ip": "10.0.0.1", "mac": "02:00:00:00:00:01", "router": false},
            {"vpn": "blue", "ip": "10.0.0.2", "mac": "02:00:00:00:00:02", "router": false},
        ])
    );
    assert_eq!(
        as_json(serde_json::to_value(engine.vpns().collect::<Vec<_>>())),
        json!([{
            "name": "blue", "type": "evpn", "number": 1, "vni": 100, "rd": "192.0.2.1:1",
            "import_rt": ["64512:1"], "export_rt": ["64512:1"], "gateway_ip": null, "label": null,
            "plugged_into": null, "ports": 1, "local_macs": 1, "routes": 0,
            "remote_routes": 2, "remote_endpoints": ["192.0.2.2"], "frozen_macs": [], "description": null,
        }])
    );
    assert_eq!(
        as_json(serde_json::to_value(engine.ports().collect::<Vec<_>>())),
        json!([{
            "vpn": "blue", "interface": "tap0", "number": 1,
            "macs": [{
                "mac": "02:00:00:00:00:01", "ips": ["10.0.0.1"], "sequence": 0, "advertised": true,
                "label": null, "description": null,
            }],
        }])
    );
}

#[test]
fn routes_are_shown_with_what_becomes_of_them() {
    let [engine, _] = converse(Instant::now());
    let routes: Vec<RouteView> = engine.routes().collect();
    let mac = |address: &str| routes.iter().find(|route| route.route.contains(address)).unwrap();
    let (own, remote) = (mac("02:00:00:00:00:01"), mac("02:00:00:00:00:02"));
    assert_eq!((own.peer, own.imported_by.len(), &own.ignored), (None, 0, &None));
    assert_eq!(remote.peer, Some(ADDRESSES[1].into()));
    assert_eq!((remote.imported_by.as_slice(), &remote.ignored), (["blue".to_owned()].as_slice(), &None));
    assert!(serde_json::to_value(routes).unwrap().is_array());
}

#[test]
fn what_is_to_be_stored_or_logged_is_said_once() {
    let now = Instant::now();
    let mut engine = engine(0, now);
    let events = |engine: &mut Engine| {
        std::iter::from_fn(|| engine.poll_event()).map(|event| format!("{event:?}")).collect::<Vec<_>>()
    };
    events(&mut engine);
    let attach = request("02:00:00:00:00:01", "10.0.0.1");
    engine.attach(&attach, now).unwrap();
    engine.attach(&request("02:00:00:00:00:01", "10.0.0.2"), now).unwrap();
    assert_eq!(events(&mut engine), [r#"VpnCreated { vpn: "blue" }"#, "AttachmentsChanged"]);
    engine.attach(&attach, now).unwrap();
    assert_eq!(events(&mut engine), [""; 0]);

    let wrong = AttachRequest { mac_address: None, ..attach };
    assert_eq!(engine.check(&wrong).map(drop), engine.attach(&wrong, now).map(drop));
    assert!(engine.check(&wrong).is_err());

    let detach = |ip: Option<&str>| DetachRequest {
        vpn_type: Some("evpn".into()),
        vpn_instance_id: Some("blue".into()),
        mac_address: Some("02:00:00:00:00:01".into()),
        ip_address: ip.map(str::to_owned),
        local_port: None,
    };
    assert!(engine.detach(&detach(Some("10.0.0.9")), now).is_err());
    assert_eq!(events(&mut engine), [""; 0]);
    engine.detach(&detach(None), now).unwrap();
    assert_eq!(events(&mut engine), [r#"VpnRemoved { vpn: "blue" }"#, "AttachmentsChanged"]);
    assert!(engine.is_empty());
}

#[test]
fn only_what_nobody_attaches_again_is_swept() {
    let now = Instant::now();
    let mut before = engine(0, now);
    for number in 1..=3 {
        let (mac, ip) = (format!("02:00:00:00:00:0{number}"), format!("10.0.0.{number}"));
        before.attach(&request(&mac, &ip), now).unwrap();
    }
    let config = EngineConfig {
        speaker: SpeakerConfig::new(64_512, ADDRESSES[0].into()),
        local_endpoint: ADDRESSES[0].into(),
        vnis: 100..=199,
        duplicates: DuplicateDetection::default(),
        overlay: Overlay::new(ADDRESSES[0].into()),
    };
    let mut after = Engine::new(config, Some(&before.snapshot()), now).unwrap();
    assert_eq!(after.stale(), 3);
    after.attach(&request("02:00:00:00:00:01", "10.0.0.1"), now).unwrap();
    let detach: DetachRequest = serde_json::from_value(json!({
        "vpn_type": "evpn", "vpn_instance_id": "blue", "mac_address": "02:00:00:00:00:02",
    }))
    .unwrap();
    after.detach(&detach, now).unwrap();
    let swept = after.sweep_stale(now);
    assert_eq!(swept.iter().map(|detach| detach.mac.to_string()).collect::<Vec<_>>(), ["02:00:00:00:00:03"]);
    assert_eq!(after.ports().map(|port| port.macs.len()).sum::<usize>(), 1);
    assert_eq!((after.stale(), after.sweep_stale(now).len()), (0, 0));
}
