use super::*;

fn populated() -> Node {
    let mut node = Node::new();
    node.attach(&in_vpn("gone", attach("tap7", 7, None)));
    node.attach(&Attach { gateway: Some(ip("10.0.0.1")), ..attach("tap0", 1, Some("10.0.0.1")) });
    node.attach(&Attach { description: Some("a port".into()), ..attach("tap0", 1, Some("2001:db8::1")) });
    node.attach(&attach("tap1", 2, None));
    node.announce(&Remote { sequence: 6, ..remote(LOWER, 3, None) });
    node.attach(&attach("tap1", 3, None));
    node.withdraw(&remote(LOWER, 3, None));
    node.vpns.detach(&Detach { vpn: "gone".into(), ..detach(7, None) }).unwrap();
    node.settle();
    node
}

#[test]
fn what_was_stored_comes_out_the_same() {
    let before = populated();
    let text = serde_json::to_string(&before.vpns.snapshot()).unwrap();
    let snapshot: Snapshot = serde_json::from_str(&text).unwrap();
    let mut after = Node { vpns: Vpns::restore(config(), &snapshot).unwrap(), ..Node::new() };
    after.settle();
    assert_eq!(after.fib, before.fib);
    assert_eq!(after.routes, before.routes);
    assert_eq!(after.vpns.snapshot(), snapshot);
    assert!(after.mac_routes().contains(&(mac(3), None, 7)));
    // Requests that come again change nothing, and new identifiers are those that would have come.
    assert!(!after.attach(&attach("tap0", 1, Some("10.0.0.1"))).changed);
    let next = after.attach(&in_vpn("next", attach("tap8", 8, None)));
    assert_eq!((next.vpn, next.port, next.vni.get()), (3, Some(4), 16_002));
}

#[test]
fn stored_state_that_contradicts_itself_is_refused() {
    let good = populated().vpns.snapshot();
    let twice = |change: fn(&mut Snapshot)| {
        let mut snapshot = good.clone();
        let mut other = snapshot.vpns[0].clone();
        (other.name, other.number, other.vni) = ("other".into(), 9, Vni::new(9).unwrap());
        for (number, port) in (100..).zip(other.ports.iter_mut()) {
            (port.number, port.interface) = (number, format!("other{number}"));
        }
        snapshot.vpns.push(other);
        change(&mut snapshot);
        Vpns::restore(config(), &snapshot).map(drop)
    };
    assert_eq!(twice(|_| {}), Ok(()));
    type Fault = (fn(&mut Snapshot), &'static str);
    let faults: [Fault; 9] = [
        (|s| s.vpns[1].name = "blue".into(), "name"),
        (|s| s.vpns[1].number = 2, "number"),
        (|s| s.vpns[1].number = 0, "number"),
        (|s| s.vpns[1].vni = s.vpns[0].vni, "VNI"),
        (|s| s.vpns[1].ports.clear(), "no ports"),
        (|s| s.vpns[1].ports[0].number = 0, "port number"),
        (|s| s.vpns[1].ports[0].interface = "tap0".into(), "interface"),
        (|s| s.vpns[1].ports[0].macs.clear(), "no MAC addresses"),
        (|s| s.vpns[1].ports[1].macs[0].mac = MacAddr([2, 0, 0, 0, 0, 1]), "MAC address"),
    ];
    for (change, word) in faults {
        let error = twice(change).unwrap_err().to_string();
        assert!(error.contains(word), "{word}: {error}");
    }
}

#[test]
fn what_is_attached_again_is_not_stale() {
    let mut node = populated();
    node.attach(&Attach {
        port: AttachPort::Interface("tap5".into()),
        ..attach("tap5", 5, Some("10.0.0.5"))
    });
    let snapshot = node.vpns.snapshot();
    let mut stale = Stale::of(&snapshot);
    assert_eq!(stale.len(), 5);
    stale.confirm(&attach("tap0", 1, Some("10.0.0.1")));
    // What may use any address is there as well when it is attached with one, and the other way round.
    stale.confirm(&attach("tap1", 2, Some("10.0.0.2")));
    stale.confirm(&attach("tap5", 5, None));
    stale.confirm(&in_vpn("other", attach("tap1", 3, None)));
    let rest: Vec<_> = stale.take().into_iter().map(|detach| (detach.mac, detach.ip)).collect();
    let address = |text| Some(InterfaceAddress::host(ip(text)));
    assert_eq!(rest, [(mac(1), address("2001:db8::1")), (mac(3), None)]);
    assert!(stale.is_empty());
}
