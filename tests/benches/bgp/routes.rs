//! The routes that all speakers get: of a hundred VPNs, or of one; each UPDATE as full as it gets.

use std::net::{IpAddr, Ipv4Addr};

use bagpipe_bgp::types::{
    EthernetSegmentId, Family, IpPrefix, Label, LabelField, MacAddr, RouteDistinguisher, RouteTarget,
};
use bagpipe_bgp::wire::community::TunnelType;
use bagpipe_bgp::wire::{
    Attributes, Context, EvpnRoute, ExtendedCommunity, LabelStack, NextHop, Nlri, UpdateWriter, VpnRoute,
};
use bytes::Bytes;

/// The VPN of what one node imports: its VNI, and the number in its route target.
pub const VPN: u32 = 10;

/// Messages that announce or withdraw routes, and how many routes there are.
#[derive(Clone, Debug)]
pub struct Routes {
    pub family: Family,
    pub count: usize,
    pub messages: Vec<Bytes>,
}

impl Routes {
    /// VPN-IPv4 prefixes, or MAC addresses, evenly of a hundred VPNs.
    pub fn of_many_vpns(family: Family, count: u32) -> Self {
        let vpns = 100.min(count);
        let route = |number| (number / count.div_ceil(vpns), number);
        Self::new(family, (0..count).map(route), true)
    }

    /// All of one VPN.
    pub fn of_one_vpn(family: Family, count: u32) -> Self {
        Self::new(family, (0..count).map(|number| (VPN, number)), true)
    }

    /// Withdraws what [`Self::of_one_vpn`] announces.
    pub fn withdrawn(family: Family, count: u32) -> Self {
        Self::new(family, (0..count).map(|number| (VPN, number)), false)
    }

    /// A route that is none of the others.
    pub fn another(family: Family) -> Self {
        Self::new(family, std::iter::once((VPN, (1 << 24) - 1)), true)
    }

    /// All messages, one after the other.
    pub fn bytes(&self) -> Vec<u8> {
        self.messages.concat()
    }

    fn new(family: Family, routes: impl Iterator<Item = (u32, u32)>, announce: bool) -> Self {
        let (mut messages, mut count) = (Vec::new(), 0);
        let mut open: Option<(u32, UpdateWriter)> = None;
        for (vpn, number) in routes {
            count += 1;
            let nlri = nlri(family, vpn, number);
            let taken = open.as_mut().is_some_and(|(of, writer)| *of == vpn && writer.push(&nlri));
            if !taken {
                let mut writer = writer(family, vpn, announce);
                assert!(writer.push(&nlri), "there is room for a route");
                messages.extend(open.replace((vpn, writer)).map(|(_, writer)| writer.finish()));
            }
        }
        messages.extend(open.map(|(_, writer)| writer.finish()));
        Self { family, count, messages }
    }
}

/// How messages are written and read.
pub fn context(family: Family) -> Context {
    Context { four_octet_as: true, families: vec![family], ..Context::default() }
}

fn writer(family: Family, vpn: u32, announce: bool) -> UpdateWriter {
    if !announce {
        return UpdateWriter::withdraw(&context(family), family);
    }
    let target: RouteTarget = format!("64512:{vpn}").parse().expect("a route target");
    let encapsulation = if family == Family::EVPN { TunnelType::VXLAN } else { TunnelType::MPLS_IN_UDP };
    let attributes = Attributes {
        next_hop: Some(NextHop::from(IpAddr::V4(crate::client::SOURCE))),
        local_pref: Some(100),
        extended_communities: vec![target.into(), ExtendedCommunity::encapsulation(encapsulation)],
        ..Attributes::default()
    };
    UpdateWriter::announce(&context(family), family, &attributes)
}

fn nlri(family: Family, vpn: u32, number: u32) -> Nlri {
    let [_, high, middle, low] = number.to_be_bytes();
    let rd =
        RouteDistinguisher::from_ipv4(crate::client::SOURCE, u16::try_from(vpn).expect("a small number"));
    if family == Family::EVPN {
        let [_, vni @ ..] = vpn.to_be_bytes();
        return Nlri::Evpn(EvpnRoute::MacIp {
            rd,
            esi: EthernetSegmentId::ZERO,
            tag: 0,
            mac: MacAddr([2, 0, 0, high, middle, low]),
            ip: None,
            label: LabelField(vni),
            ip_label: None,
        });
    }
    let address = Ipv4Addr::new(16 + high, middle, low, 0);
    let prefix = IpPrefix::new(address.into(), 24).expect("a prefix");
    let labels = LabelStack::new(&[Label::new(16 + vpn).expect("a label")]).expect("one label");
    Nlri::Vpn(VpnRoute { labels, rd, prefix })
}
