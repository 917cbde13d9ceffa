use super::*;

const RD: [u8; 8] = [0, 0, 0xfc, 0, 0, 0, 0, 7];

/// An NLRI with this after its route distinguisher.
fn nlri(rule: &[u8]) -> Vec<u8> {
    [&[u8::try_from(8 + rule.len()).unwrap()], &RD[..], rule].concat()
}

fn decode(version: IpVersion, rule: &[u8]) -> Result<FlowSpecRoute, &'static str> {
    FlowSpecRoute::decode(version, &nlri(rule))
}

/// The examples of RFC 8955 §4.3 and RFC 8956 §3.8.
#[test]
fn rules_are_read_printed_and_written() {
    let both = [
        (
            IpVersion::V4,
            &[1, 0x18, 192, 0, 2, 3, 0x81, 6, 4, 0x81, 25][..],
            "flowspec-vpnv4 rd 64512:7 destination 192.0.2.0/24 protocol =6 port =25",
        ),
        (
            IpVersion::V4,
            &[1, 0x18, 192, 0, 2, 2, 0x18, 203, 0, 113, 4, 3, 0x89, 0x45, 0x8b, 0x91, 0x1f, 0x90],
            "flowspec-vpnv4 rd 64512:7 destination 192.0.2.0/24 source 203.0.113.0/24 port >=137&<=139,=8080",
        ),
        (
            IpVersion::V4,
            &[9, 0x01, 0x02, 0x92, 1, 0, 12, 0x80, 5],
            "flowspec-vpnv4 rd 64512:7 tcp-flags all:0x2,!any:0x100 fragment any:0x5",
        ),
        (IpVersion::V4, &[], "flowspec-vpnv4 rd 64512:7 any"),
        (
            IpVersion::V6,
            &[1, 0x20, 0, 0x20, 1, 0x0d, 0xb8, 2, 0x68, 0x40, 0x12, 0x34, 0x56, 0x78, 0x9a, 3, 0x81, 6],
            "flowspec-vpnv6 rd 64512:7 destination 2001:db8::/32 \
             source ::1234:5678:9a00:0/104 from bit 64 protocol =6",
        ),
        (
            IpVersion::V6,
            &[1, 0x20, 0, 0x20, 1, 0x0d, 0xb8, 2, 0x68, 0x41, 0x24, 0x68, 0xac, 0xf1, 0x34],
            "flowspec-vpnv6 rd 64512:7 destination 2001:db8::/32 source ::1234:5678:9a00:0/104 from bit 65",
        ),
        (
            IpVersion::V6,
            &[1, 0, 0, 13, 0xa7, 0, 0, 0, 9],
            "flowspec-vpnv6 rd 64512:7 destination ::/0 flow-label always",
        ),
    ];
    for (version, rule, text) in both {
        let route = decode(version, rule).unwrap();
        assert_eq!(route.to_string(), text);
        let mut encoded = BytesMut::new();
        route.encode(&mut encoded);
        assert_eq!(encoded, nlri(rule), "{text}");
        let again = FlowSpecRoute::new(route.rd(), version, route.components().to_vec());
        assert_eq!(again, Ok(route));
    }
}

#[test]
fn what_is_wrong_is_refused() {
    for (version, rule) in [
        // Types out of order, twice, and unknown ones.
        (IpVersion::V4, &[3, 0x81, 6, 1, 0x18, 192, 0, 2][..]),
        (IpVersion::V4, &[3, 0x81, 6, 3, 0x81, 17]),
        (IpVersion::V4, &[0, 0x81, 6]),
        (IpVersion::V4, &[14, 0x81, 6]),
        (IpVersion::V6, &[255, 0x81, 6]),
        // RFC 8956 §3.7: the flow label is of IPv6.
        (IpVersion::V4, &[13, 0x81, 6]),
        // Cut short.
        (IpVersion::V4, &[1]),
        (IpVersion::V4, &[1, 0x18, 192, 0]),
        (IpVersion::V4, &[3]),
        (IpVersion::V4, &[3, 0x81]),
        (IpVersion::V4, &[3, 0x91, 6]),
        // No term says that it is the last.
        (IpVersion::V4, &[3, 0x01, 6]),
        // Prefixes longer than an address, or with nothing behind their offset.
        (IpVersion::V4, &[1, 33, 192, 0, 2, 0, 0]),
        (IpVersion::V6, &[1, 129, 0, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1]),
        (IpVersion::V6, &[1, 32, 32]),
        (IpVersion::V6, &[1, 32, 33]),
        (IpVersion::V6, &[1, 0, 1]),
        // RFC 8955 §4.2.2.9, §4.2.2.11, §4.2.2.12: values that are too wide.
        (IpVersion::V4, &[9, 0xa1, 0, 0, 0, 2]),
        (IpVersion::V4, &[11, 0x91, 0, 46]),
        (IpVersion::V4, &[12, 0x91, 0, 2]),
    ] {
        assert!(decode(version, rule).is_err(), "{rule:02x?}");
    }
    assert!(FlowSpecRoute::decode(IpVersion::V4, &[7, 0, 0, 0, 0, 0, 0, 0]).is_err());
}

/// RFC 8955 §4.2.1: what is to be ignored.
#[test]
fn ignored_bits_are_ignored() {
    let plain = decode(IpVersion::V4, &[1, 0x14, 192, 0, 0x20, 3, 0x81, 6]).unwrap();
    assert_eq!(decode(IpVersion::V4, &[1, 0x14, 192, 0, 0x2f, 3, 0xc9, 6]), Ok(plain));
}

#[test]
fn long_rules_have_two_octets_of_length() {
    let ports = |count: u64| {
        let terms = (0..count).map(|port| Numeric::new(Comparison::EQUAL, 1000 + port)).collect();
        let component = Component::Numeric(NumericField::Port, terms);
        FlowSpecRoute::new(RouteDistinguisher(RD), IpVersion::V4, vec![component])
    };
    // Nine octets, and three for each port.
    for (count, octets, start) in
        [(76, 238, vec![237]), (77, 242, vec![0xf0, 240]), (1362, 4097, vec![0xff, 0xff])]
    {
        let route = ports(count).unwrap();
        let mut encoded = BytesMut::new();
        route.encode(&mut encoded);
        assert_eq!(encoded.len(), octets);
        assert!(encoded.starts_with(&start), "{count}");
        assert_eq!(FlowSpecRoute::decode(IpVersion::V4, &encoded), Ok(route));
    }
    assert!(ports(1363).is_err());
    assert_eq!(length(&[0xf1]), None);
    assert_eq!(length(&[]), None);
}

#[test]
fn a_rule_is_made_in_order() {
    let prefix = |text: &str, offset| FlowPrefix::new(text.parse().unwrap(), offset);
    let destination = Component::Destination(prefix("192.0.2.0/24", 0).unwrap());
    let range = [Numeric::new(Comparison::AT_LEAST, 80), Numeric::new(Comparison::AT_MOST, 90).and()];
    let ports = Component::Numeric(NumericField::DestinationPort, range.to_vec());
    let flags = Component::Bitmask(BitmaskField::TcpFlags, vec![Bitmask::all(2), Bitmask::any(0x11)]);
    let new = |version, components| FlowSpecRoute::new(RouteDistinguisher(RD), version, components);
    let route = new(IpVersion::V4, vec![flags, ports.clone(), destination.clone()]).unwrap();
    assert_eq!(
        route.to_string(),
        "flowspec-vpnv4 rd 64512:7 destination 192.0.2.0/24 destination-port >=80&<=90 tcp-flags all:0x2,any:0x11"
    );
    assert!(new(IpVersion::V4, vec![ports.clone(), ports]).is_err());
    assert!(new(IpVersion::V6, vec![destination]).is_err());
    assert!(new(IpVersion::V4, vec![Component::Numeric(NumericField::Port, Vec::new())]).is_err());

    assert_eq!(prefix("192.0.2.0/24", 8), None);
    assert_eq!(prefix("2001:db8::/32", 32), None);
    assert_eq!(prefix("2001:db8::/32", 16).unwrap().prefix().to_string(), "0:db8::/32");
}
