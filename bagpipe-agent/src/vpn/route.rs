//! Routes of other nodes: which of them may be used for forwarding, and what they say for it.

use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;

use bagpipe_bgp::types::{
    EthernetSegmentId, EthernetTagId, IpPrefix, Label, LabelField, MacAddr, RouteDistinguisher, Vni,
};
use bagpipe_bgp::wire::pmsi::PmsiTunnelKind;
use bagpipe_bgp::wire::{Attributes, EvpnRoute, ExtendedCommunity, Nlri, OverlayIndex, VpnRoute};

use super::flow_rules::applied;
use super::overlay::{Encapsulation, Overlay, Tunnel};
use super::vpns::VpnsConfig;
use crate::fib::{Adjacency, Target};

/// The Ethernet tag of a route of a segment as a whole (RFC 7432 §8.2.1).
const MAX_ET: EthernetTagId = EthernetTagId::MAX;

/// The key of a route that may be used for forwarding (RFC 7432 §7.1 to §7.3, RFC 9136 §3.1, each with the
/// Ethernet tag zero; RFC 4364 §4.3.4).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum RouteKey {
    /// E-VPN type 2.
    MacIp(RouteDistinguisher, MacAddr, Option<IpAddr>),
    /// E-VPN type 3.
    Multicast(RouteDistinguisher, IpAddr),
    /// E-VPN type 1, of a segment as a whole: the node is on it (RFC 7432 §8.2.1).
    OnSegment(RouteDistinguisher, EthernetSegmentId),
    /// E-VPN type 1, of an instance on a segment: the node takes frames for it there (RFC 7432 §8.4.1).
    ForSegment(RouteDistinguisher, EthernetSegmentId),
    /// E-VPN type 5.
    EvpnPrefix(RouteDistinguisher, IpPrefix),
    /// VPN-IPv4 or VPN-IPv6.
    Prefix(RouteDistinguisher, IpPrefix),
}

impl RouteKey {
    /// The key of a route, if it is of a kind that may be used.
    #[must_use]
    pub const fn of(nlri: &Nlri) -> Option<Self> {
        match nlri {
            Nlri::Evpn(EvpnRoute::MacIp { rd, tag: 0, mac, ip, .. }) => Some(Self::MacIp(*rd, *mac, *ip)),
            Nlri::Evpn(EvpnRoute::InclusiveMulticast { rd, tag: 0, originator }) => {
                Some(Self::Multicast(*rd, *originator))
            }
            Nlri::Evpn(EvpnRoute::EthernetAutoDiscovery { rd, esi, tag: 0, .. }) => {
                Some(Self::ForSegment(*rd, *esi))
            }
            Nlri::Evpn(EvpnRoute::EthernetAutoDiscovery { rd, esi, tag: MAX_ET, .. }) => {
                Some(Self::OnSegment(*rd, *esi))
            }
            Nlri::Evpn(EvpnRoute::IpPrefix { rd, tag: 0, prefix, .. }) => {
                Some(Self::EvpnPrefix(*rd, *prefix))
            }
            Nlri::Vpn(VpnRoute { rd, prefix, .. }) => Some(Self::Prefix(*rd, *prefix)),
            _ => None,
        }
    }

    /// Its route distinguisher.
    #[must_use]
    pub const fn rd(&self) -> RouteDistinguisher {
        match self {
            Self::MacIp(rd, ..)
            | Self::Multicast(rd, _)
            | Self::OnSegment(rd, _)
            | Self::ForSegment(rd, _)
            | Self::EvpnPrefix(rd, _)
            | Self::Prefix(rd, _) => *rd,
        }
    }

    /// The IP prefix that packets are routed by.
    #[must_use]
    pub const fn prefix(&self) -> Option<IpPrefix> {
        match self {
            Self::MacIp(_, _, Some(ip)) => Some(IpPrefix::host(*ip)),
            Self::EvpnPrefix(_, prefix) | Self::Prefix(_, prefix) => Some(*prefix),
            Self::MacIp(_, _, None) | Self::Multicast(..) | Self::OnSegment(..) | Self::ForSegment(..) => {
                None
            }
        }
    }
}

impl fmt::Display for RouteKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::MacIp(rd, mac, Some(ip)) => write!(f, "mac-ip {mac} {ip} rd {rd}"),
            Self::MacIp(rd, mac, None) => write!(f, "mac-ip {mac} rd {rd}"),
            Self::Multicast(rd, originator) => write!(f, "multicast {originator} rd {rd}"),
            Self::OnSegment(rd, esi) => write!(f, "ethernet-ad {esi} rd {rd}"),
            Self::ForSegment(rd, esi) => write!(f, "ethernet-ad {esi} tag 0 rd {rd}"),
            Self::EvpnPrefix(rd, prefix) => write!(f, "ip-prefix {prefix} rd {rd}"),
            Self::Prefix(rd, prefix) => write!(f, "vpn {prefix} rd {rd}"),
        }
    }
}

/// What a route says: an E-VPN takes what it says of frames, an IP-VPN what it says of packets.
#[derive(Clone, Debug, PartialEq)]
pub struct RemoteRoute {
    /// Where frames go.
    pub frames: Option<Frames>,
    /// Where packets go.
    pub packets: Option<Through>,
    /// Who is on a segment.
    pub segment: Option<OnSegment>,
    /// Its attributes.
    pub attributes: Arc<Attributes>,
}

impl RemoteRoute {
    /// Whether it is a route of this node, of another IP-VPN.
    pub(crate) const fn is_local(&self) -> bool {
        matches!(self.packets, Some(Through::Local(_)))
    }

    /// Whether both came with the same attributes in memory, and lead to the same places.
    pub(crate) fn says_the_same(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.attributes, &other.attributes)
            && (self.frames, self.packets, self.segment) == (other.frames, other.packets, other.segment)
    }
}

/// Where frames go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Frames {
    /// The remote endpoint, and the VNI or label that it receives with.
    pub target: Target,
    /// Its address.
    pub endpoint: IpAddr,
    /// The segment that the MAC address is on; zero if it is behind the endpoint alone.
    pub esi: EthernetSegmentId,
    /// The MAC address never moves (RFC 7432 §15.2).
    pub sticky: bool,
    /// Sequence number of MAC mobility (RFC 7432 §7.7).
    pub sequence: u32,
}

/// A node that is on a segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OnSegment {
    /// Its address.
    pub endpoint: IpAddr,
    /// One node at a time forwards for a MAC address on the segment (RFC 7432 §7.5).
    pub single_active: bool,
}

/// Where packets go.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Through {
    /// To a remote endpoint, under a label.
    Mpls {
        /// Its address.
        endpoint: IpAddr,
        /// The target.
        target: Target,
    },
    /// To a remote endpoint, in a frame for its router (RFC 9135 §5, RFC 9136 §4.4.1).
    Vxlan {
        /// Its address.
        endpoint: IpAddr,
        /// The VNI of the IP-VPN there.
        vni: Vni,
        /// Its router's MAC address.
        router: MacAddr,
    },
    /// To the host that has this address (RFC 9136 §4.1).
    Gateway(IpAddr),
    /// To a port of this node: the route is of another IP-VPN here.
    Local(Adjacency),
}

impl Through {
    /// The remote endpoint.
    #[must_use]
    pub const fn endpoint(&self) -> Option<IpAddr> {
        match self {
            Self::Mpls { endpoint, .. } | Self::Vxlan { endpoint, .. } => Some(*endpoint),
            Self::Gateway(_) | Self::Local(_) => None,
        }
    }
}

/// Why a route is not used for forwarding.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Ignored {
    /// A family without VPN routes.
    #[error("not a VPN route")]
    Family,
    /// A rule for packets, not a way for them.
    #[error("a flow specification is no way for packets")]
    FlowSpec,
    /// Of what may become of packets, only one is known.
    #[error("only flow specifications with a redirect and nothing else are applied")]
    FlowAction,
    /// The data plane looks at addresses, protocol and ports.
    #[error("a condition that is not on whole prefixes, few protocols or few ranges of ports")]
    FlowField,
    /// Type 4: by it those on a segment choose who forwards floods to it (RFC 7432 §8.5).
    #[error("Ethernet segment routes are for those who are on the segment")]
    EthernetSegment,
    /// RFC 7432 §5: zero is no segment.
    #[error("the Ethernet segment identifier is zero")]
    NoSegment,
    /// Types that nobody knows.
    #[error("E-VPN routes of this type are not used for forwarding")]
    RouteType,
    /// VLAN-aware bundles (RFC 7432 §6.3) are not supported.
    #[error("the Ethernet tag is not zero")]
    EthernetTag,
    /// Only what this node can send.
    #[error("no Encapsulation community with a tunnel that this node knows")]
    Encapsulation,
    /// No label, several of them, or one that is never sent (RFC 3032 §2.1).
    #[error("not exactly one label that packets can have")]
    Label,
    /// Packets in frames need a destination (RFC 9136 §4.4.1).
    #[error("no Router's MAC community")]
    RouterMac,
    /// RFC 9136 §3.2: a gateway or a segment, not both; and segments and MAC addresses are not resolved.
    #[error("an overlay index that is not a gateway address")]
    OverlayIndex,
    /// Nowhere to send to.
    #[error("the tunnel endpoint is not a unicast address")]
    Endpoint,
    /// A route of this node that came back.
    #[error("the tunnel endpoint is this node")]
    Own,
    /// A type 3 route without ingress replication in its PMSI_TUNNEL (RFC 7432 §11.2).
    #[error("no PMSI tunnel for ingress replication")]
    Pmsi,
    /// A MAC address that no interface has.
    #[error("a group or all-zero MAC address")]
    Mac,
    /// An IP address that no interface has.
    #[error("an unspecified, multicast or IPv4-mapped IP address")]
    Ip,
}

/// What a route says for forwarding on a node.
///
/// # Errors
/// Why it is not used.
pub fn classify(
    nlri: &Nlri,
    attributes: &Arc<Attributes>,
    config: &VpnsConfig,
) -> Result<(RouteKey, RemoteRoute), Ignored> {
    let key = RouteKey::of(nlri);
    let reader = Reader { attributes, config };
    let mut segment = None;
    let (frames, packets) = match nlri {
        Nlri::Evpn(route) => match route {
            EvpnRoute::EthernetAutoDiscovery { esi: EthernetSegmentId::ZERO, .. } => {
                return Err(Ignored::NoSegment);
            }
            EvpnRoute::EthernetAutoDiscovery { tag: MAX_ET, .. } => {
                segment = Some(reader.on_segment()?);
                (None, None)
            }
            EvpnRoute::EthernetAutoDiscovery { tag, label, .. } => {
                check_tag(*tag)?;
                (Some(reader.frames(reader.endpoint(reader.next_hop()?)?, *label)?), None)
            }
            EvpnRoute::EthernetSegment { .. } => return Err(Ignored::EthernetSegment),
            EvpnRoute::MacIp { esi, tag, mac, ip, label, ip_label, .. } => {
                let (frames, packets) = reader.mac_ip(*tag, *mac, *ip, *label, *ip_label)?;
                (Some(Frames { esi: *esi, ..frames }), packets)
            }
            EvpnRoute::InclusiveMulticast { tag, .. } => (Some(reader.multicast(*tag)?), None),
            EvpnRoute::IpPrefix { tag, label, prefix, .. } => {
                check_tag(*tag)?;
                check_prefix(*prefix)?;
                (None, Some(reader.evpn_prefix(route, *label)?))
            }
            _ => return Err(Ignored::RouteType),
        },
        Nlri::Vpn(route) => {
            check_prefix(route.prefix)?;
            (None, Some(reader.vpn_prefix(route)?))
        }
        Nlri::FlowSpec(flow) => return Err(applied(flow, attributes).err().unwrap_or(Ignored::FlowSpec)),
        _ => return Err(Ignored::Family),
    };
    let route = RemoteRoute { frames, packets, segment, attributes: Arc::clone(attributes) };
    key.map(|key| (key, route)).ok_or(Ignored::RouteType)
}

/// The attributes of a route, on a node.
struct Reader<'a> {
    attributes: &'a Attributes,
    config: &'a VpnsConfig,
}

impl Reader<'_> {
    fn mac_ip(
        &self,
        tag: EthernetTagId,
        mac: MacAddr,
        ip: Option<IpAddr>,
        label: LabelField,
        ip_label: Option<LabelField>,
    ) -> Result<(Frames, Option<Through>), Ignored> {
        if mac.is_multicast() || mac.is_zero() {
            return Err(Ignored::Mac);
        }
        if ip.is_some_and(|ip| ip.is_unspecified() || ip.is_multicast() || ip != ip.to_canonical()) {
            return Err(Ignored::Ip);
        }
        check_tag(tag)?;
        let endpoint = self.endpoint(self.next_hop()?)?;
        // RFC 9135 §4.1: the second label is that of the IP-VPN. Without the Router's MAC it leads nowhere, but the
        // first still does.
        let packets = ip.and(ip_label).and_then(|label| self.routed(endpoint, label).ok());
        Ok((self.frames(endpoint, label)?, packets))
    }

    /// Without an ESI Label community, which there has to be, nothing says that only one node forwards.
    fn on_segment(&self) -> Result<OnSegment, Ignored> {
        let label = self.attributes.extended_communities.iter().find_map(ExtendedCommunity::as_esi_label);
        let single_active = label.is_some_and(|label| label.single_active);
        Ok(OnSegment { endpoint: self.endpoint(self.next_hop()?)?, single_active })
    }

    fn multicast(&self, tag: EthernetTagId) -> Result<Frames, Ignored> {
        let pmsi = self.attributes.pmsi_tunnel.as_ref().ok_or(Ignored::Pmsi)?;
        let PmsiTunnelKind::IngressReplication(endpoint) = pmsi.tunnel else { return Err(Ignored::Pmsi) };
        check_tag(tag)?;
        self.frames(self.endpoint(endpoint)?, pmsi.label)
    }

    fn frames(&self, endpoint: IpAddr, label: LabelField) -> Result<Frames, Ignored> {
        let target = match self.tunnel(self.overlay().evpn)? {
            Tunnel::Vxlan => Target::Vxlan { endpoint, vni: label.vni() },
            Tunnel::Mpls(form) => Target::Mpls { endpoint, label: sendable(label.mpls())?, form },
        };
        let mobility =
            self.attributes.extended_communities.iter().find_map(ExtendedCommunity::as_mac_mobility);
        let (sticky, sequence) = mobility.map_or((false, 0), |mobility| (mobility.sticky, mobility.sequence));
        Ok(Frames { target, endpoint, esi: EthernetSegmentId::ZERO, sticky, sequence })
    }

    fn evpn_prefix(&self, route: &EvpnRoute, label: LabelField) -> Result<Through, Ignored> {
        match route.overlay_index() {
            // RFC 9136 §3.2: without a label the Router's MAC is itself what resolves the prefix.
            Some(OverlayIndex::None) if label.vni().get() == 0 => Err(Ignored::OverlayIndex),
            Some(OverlayIndex::None) => self.routed(self.endpoint(self.next_hop()?)?, label),
            Some(OverlayIndex::Gateway(gateway)) => {
                self.endpoint(self.next_hop()?)?;
                Ok(Through::Gateway(gateway))
            }
            _ => Err(Ignored::OverlayIndex),
        }
    }

    /// Packets by the label of an E-VPN route.
    fn routed(&self, endpoint: IpAddr, label: LabelField) -> Result<Through, Ignored> {
        match self.tunnel(self.overlay().evpn)? {
            Tunnel::Vxlan => {
                let router = self.router_mac().ok_or(Ignored::RouterMac)?;
                Ok(Through::Vxlan { endpoint, vni: label.vni(), router })
            }
            Tunnel::Mpls(form) => {
                let target = Target::Mpls { endpoint, label: sendable(label.mpls())?, form };
                Ok(Through::Mpls { endpoint, target })
            }
        }
    }

    fn vpn_prefix(&self, route: &VpnRoute) -> Result<Through, Ignored> {
        let endpoint = self.endpoint(self.next_hop()?)?;
        let label = route.labels.top().filter(|_| route.labels.len() == 1).ok_or(Ignored::Label)?;
        match self.tunnel(self.overlay().ipvpn)? {
            // The label is the VNI (RFC 9012 §8). Who does not name its router takes any that it has itself: the
            // gateway is everywhere.
            Tunnel::Vxlan => Ok(Through::Vxlan {
                endpoint,
                vni: Vni::new(label.get()).ok_or(Ignored::Label)?,
                router: self.router_mac().unwrap_or(self.overlay().gateway_mac),
            }),
            Tunnel::Mpls(form) => {
                let target = Target::Mpls { endpoint, label: sendable(label)?, form };
                Ok(Through::Mpls { endpoint, target })
            }
        }
    }

    const fn overlay(&self) -> &Overlay {
        &self.config.overlay
    }

    fn tunnel(&self, preferred: Encapsulation) -> Result<Tunnel, Ignored> {
        self.overlay().tunnel(self.attributes, preferred).ok_or(Ignored::Encapsulation)
    }

    fn router_mac(&self) -> Option<MacAddr> {
        let mac = self.attributes.extended_communities.iter().find_map(ExtendedCommunity::as_router_mac);
        mac.filter(|mac| !mac.is_multicast() && !mac.is_zero())
    }

    fn next_hop(&self) -> Result<IpAddr, Ignored> {
        self.attributes.next_hop.map(|next_hop| next_hop.address).ok_or(Ignored::Endpoint)
    }

    /// An IPv4 address in the form of IPv6 has the same key in the maps: it must not have two names before them.
    fn endpoint(&self, address: IpAddr) -> Result<IpAddr, Ignored> {
        let endpoint = address.to_canonical();
        if endpoint.is_unspecified() || endpoint.is_multicast() {
            return Err(Ignored::Endpoint);
        }
        if endpoint == self.config.local_endpoint {
            return Err(Ignored::Own);
        }
        Ok(endpoint)
    }
}

const fn check_tag(tag: EthernetTagId) -> Result<(), Ignored> {
    if tag == 0 { Ok(()) } else { Err(Ignored::EthernetTag) }
}

/// Group addresses are not routed, and an IPv4 address has one form only.
fn check_prefix(prefix: IpPrefix) -> Result<(), Ignored> {
    let address = prefix.address();
    if address.is_multicast() || prefix.is_host() && address != address.to_canonical() {
        return Err(Ignored::Ip);
    }
    Ok(())
}

/// Implicit null is never on the wire (RFC 3032 §2.1); of the other special labels only the explicit nulls say
/// nothing but "pop", and that the label below decides: there is none.
const fn sendable(label: Label) -> Result<Label, Ignored> {
    if label.is_special_purpose() { Err(Ignored::Label) } else { Ok(label) }
}
