//! Adding the outer headers: a frame becomes a packet of VXLAN or MPLS to one or, one after the other, to several endpoints.

use aya_ebpf::bindings::{
    __sk_buff, BPF_ADJ_ROOM_ENCAP_L2_SHIFT, BPF_F_ADJ_ROOM_DECAP_L3_IPV4, BPF_F_ADJ_ROOM_DECAP_L3_IPV6,
    BPF_F_ADJ_ROOM_ENCAP_L2_ETH, BPF_F_ADJ_ROOM_ENCAP_L3_IPV4, BPF_F_ADJ_ROOM_ENCAP_L3_IPV6,
    BPF_F_ADJ_ROOM_ENCAP_L4_GRE, BPF_F_ADJ_ROOM_ENCAP_L4_UDP, BPF_F_ADJ_ROOM_FIXED_GSO,
    BPF_F_ADJ_ROOM_NO_CSUM_RESET, bpf_redir_neigh, bpf_redir_neigh__bindgen_ty_1,
};
use bagpipe_common::{DropReason, Encap, Target, TargetKind, encap_flags};
use bagpipe_packet::header::{self, ETHERNET, Ethernet, Ipv4, Ipv6, Tag, ethertype};
use bagpipe_packet::mpls::{ENTRY, Payload, overhead, reserved};
use bagpipe_packet::outer::{Inner, OVER_IPV4, OVER_IPV6, OverIpv4, OverIpv6};

use crate::maps;
use crate::skb::{Action, Skb, redirect, redirect_neighbor};
use crate::{mpls, stage};

/// Kept for every packet: the segment size, because segments are of the inner packet; and what the NIC said of
/// checksums, because the inner ones stay as they are.
const ALWAYS: u32 = BPF_F_ADJ_ROOM_FIXED_GSO | BPF_F_ADJ_ROOM_NO_CSUM_RESET;
/// The kernel's number for "it is a tunnel packet already".
const EALREADY: i32 = -114;
const AF_INET: u32 = 2;
const AF_INET6: u32 = 10;

/// A frame on its way into a tunnel: what is needed to write any outer header before it.
#[repr(C)]
#[derive(Clone, Copy)]
pub(crate) struct Wrapping {
    /// Hash of the flow.
    hash: u32,
    /// The frame that the underlay must take: the whole one, or its largest segment.
    largest: u32,
    /// Bytes of outer header that are there, none at first.
    outer: u32,
    /// Length of the frame, with its tags.
    length: u16,
    /// UDP destination port.
    port: u16,
    /// How many of `tags` there are.
    tag_count: u32,
    /// Tags of the frame, outermost first, each an EtherType and a control field.
    tags: [[u8; size_of::<Tag>()]; 2],
    /// Its link header; the EtherType is the one behind the tags.
    ethernet: Ethernet,
    /// DSCP and ECN of the packet in it.
    traffic_class: u8,
    zero: u8,
}

impl Wrapping {
    /// Takes a frame's link header apart.
    #[inline(always)]
    fn new(skb: Skb, largest: u32) -> Result<Self, DropReason> {
        let mut wrapping = Self::begun(skb, largest);
        wrapping.take(skb)?;
        Ok(wrapping)
    }

    /// What is known without touching the frame, to be completed by [`Wrapping::take`] where it is: copied as a whole, it
    /// would be on the stack twice.
    #[inline(always)]
    pub(crate) fn begun(skb: Skb, largest: u32) -> Self {
        Self {
            hash: skb.flow_hash(),
            largest,
            outer: 0,
            length: 0,
            port: maps::settings().map_or(0, |settings| settings.vxlan_port),
            tag_count: 0,
            tags: [[0; 4]; 2],
            ethernet: Ethernet { destination: [0; 6], source: [0; 6], ethertype: [0; 2] },
            traffic_class: 0,
            zero: 0,
        }
    }

    /// Takes the frame's link header apart.
    #[inline(always)]
    pub(crate) fn take(&mut self, skb: Skb) -> Result<(), DropReason> {
        self.take_tags(skb)?;
        self.ethernet = *skb.header(0)?;
        self.traffic_class = traffic_class(skb);
        let length = skb.length() + self.tags_length();
        // More would not fit the length fields of the outer headers.
        if length > u32::from(u16::MAX) - OVER_IPV6 as u32 {
            return Err(DropReason::TooBig);
        }
        self.length = length as u16;
        // The kernel adds room only to what it takes for IP.
        if !matches!(skb.protocol(), ethertype::IPV4 | ethertype::IPV6) {
            skb.set_protocol(ethertype::IPV4)?;
        }
        Ok(())
    }

    /// Puts the outer headers for an endpoint before the frame, in place of those for another one.
    #[inline(always)]
    fn write(&mut self, skb: Skb, encap: &Encap, target: Target) -> Result<(), DropReason> {
        let outer = length_over(encap, target.kind);
        if self.largest + outer - ETHERNET as u32 > encap.mtu {
            return Err(DropReason::TooBig);
        }
        let first = self.outer == 0;
        if first {
            self.begin(skb, encap, target.kind, outer)?;
        } else if self.outer != outer {
            Self::resize(skb, encap, target.kind, self.outer, outer)?;
        }
        self.outer = outer;
        if mpls::is_labelled(target) {
            self.write_labelled(skb, encap, target, outer)?;
        } else {
            self.write_vxlan(skb, encap, mpls::label(target))?;
        }
        if first && self.tag_count == 0 { skb.write(outer as usize, self.ethernet) } else { Ok(()) }
    }

    #[inline(always)]
    fn write_vxlan(&self, skb: Skb, encap: &Encap, vni: u32) -> Result<(), DropReason> {
        let inner = Inner {
            length: self.length,
            hash: self.hash,
            traffic_class: self.traffic_class,
            vni,
            port: self.port,
        };
        if is_ipv6(encap) {
            skb.write(0, OverIpv6::new(encap, inner))
        } else {
            skb.write(0, OverIpv4::new(encap, inner))
        }
    }

    #[inline(always)]
    fn write_labelled(&self, skb: Skb, encap: &Encap, target: Target, outer: u32) -> Result<(), DropReason> {
        let label = mpls::label(target);
        // What is not labelled is no frame of any instance.
        if label == reserved::IMPLICIT_NULL {
            return Err(DropReason::NoNextHop);
        }
        // A frame has no time to live that could go over into the label.
        skb.write(outer as usize - ENTRY, mpls::entry(label, u8::MAX, self.traffic_class))?;
        if target.kind == TargetKind::Mpls as u8 {
            return mpls::write_link(skb, encap, ethertype::MPLS);
        }
        let payload = Payload {
            length: self.length + (outer - ETHERNET as u32) as u16,
            hash: self.hash,
            traffic_class: self.traffic_class,
        };
        mpls::write_carrier(skb, encap, target.kind, payload, ethertype::MPLS)
    }

    #[inline(always)]
    fn tags_length(&self) -> u32 {
        self.tag_count * size_of::<Tag>() as u32
    }

    /// Removes the tags, so that the network header follows the Ethernet header.
    #[inline(always)]
    fn take_tags(&mut self, skb: Skb) -> Result<(), DropReason> {
        let Some((kind, control)) = skb.tag() else { return Ok(()) };
        self.tags[0] = tag(kind, control);
        self.tag_count = 1;
        skb.pop_tag()?;
        let Some((kind, control)) = skb.tag() else { return Ok(()) };
        self.tags[1] = tag(kind, control);
        self.tag_count = 2;
        skb.pop_tag()?;
        // Three tags are more than any standard has a use for.
        if skb.tag().is_some() { Err(DropReason::Malformed) } else { Ok(()) }
    }

    /// Makes room for the first outer header, and writes the frame's own link header behind it if there are tags.
    #[inline(always)]
    fn begin(&self, skb: Skb, encap: &Encap, kind: u8, outer: u32) -> Result<(), DropReason> {
        let room = outer + self.tags_length();
        if kind == TargetKind::Mpls as u8 {
            self.begin_on_ethernet(skb, room)?;
        } else {
            make_room(
                skb,
                encap,
                kind,
                room,
                BPF_F_ADJ_ROOM_ENCAP_L2_ETH,
                ETHERNET as u32 + self.tags_length(),
            )?;
        }
        if self.tag_count == 0 {
            return Ok(());
        }
        let addresses = [self.ethernet.destination, self.ethernet.source];
        skb.store(outer, &addresses)?;
        let at = outer + size_of_val(&addresses) as u32;
        skb.store(at, &self.tags[0])?;
        if self.tag_count > 1 {
            skb.store(at + size_of::<Tag>() as u32, &self.tags[1])?;
        }
        skb.store(at + self.tags_length(), &self.ethernet.ethertype)
    }

    /// Makes room for a label and a link header. What is to be segmented gets it before its own link header: see
    /// [`crate::mpls`]. Anything else gets it as for other endpoints, whose copies may follow.
    #[inline(always)]
    fn begin_on_ethernet(&self, skb: Skb, room: u32) -> Result<(), DropReason> {
        if skb.gso_size() != 0 {
            return skb.lengthen_link(room);
        }
        skb.adjust_room(room as i32, ALWAYS.into()).map_err(|_| DropReason::Encapsulation)
    }

    /// From the outer headers for one endpoint to those for another.
    #[inline(always)]
    fn resize(skb: Skb, encap: &Encap, kind: u8, from: u32, to: u32) -> Result<(), DropReason> {
        // Segments on Ethernet have no network header that others could take the place of.
        let is_bare = kind == TargetKind::Mpls as u8 || from == ON_ETHERNET;
        if is_bare && skb.gso_size() != 0 {
            return Err(DropReason::TunnelInTunnel);
        }
        let (protocol, family) = family_of(encap);
        let family = if to < from { family } else { 0 };
        let difference = to as i32 - from as i32;
        skb.adjust_room(difference, (ALWAYS | family).into()).map_err(|_| DropReason::Encapsulation)?;
        if skb.protocol() == protocol { Ok(()) } else { skb.set_protocol(protocol) }
    }
}

/// Bytes before a frame under a label on Ethernet.
const ON_ETHERNET: u32 = (ETHERNET + ENTRY) as u32;

/// The EtherType of the outer header, and the flag that says so when headers are removed.
#[inline(always)]
const fn family_of(encap: &Encap) -> (u16, u32) {
    if is_ipv6(encap) {
        (ethertype::IPV6, BPF_F_ADJ_ROOM_DECAP_L3_IPV6)
    } else {
        (ethertype::IPV4, BPF_F_ADJ_ROOM_DECAP_L3_IPV4)
    }
}

/// Makes room for outer headers behind the Ethernet header, and notes for segmentation where the inner packet begins,
/// whose link header has `link` bytes.
#[inline(always)]
pub(crate) fn make_room(
    skb: Skb,
    encap: &Encap,
    kind: u8,
    room: u32,
    inner: u32,
    link: u32,
) -> Result<(), DropReason> {
    let (family, protocol) = if is_ipv6(encap) {
        (BPF_F_ADJ_ROOM_ENCAP_L3_IPV6, ethertype::IPV6)
    } else {
        (BPF_F_ADJ_ROOM_ENCAP_L3_IPV4, ethertype::IPV4)
    };
    let carrier = if kind == TargetKind::MplsGre as u8 {
        BPF_F_ADJ_ROOM_ENCAP_L4_GRE
    } else {
        BPF_F_ADJ_ROOM_ENCAP_L4_UDP
    };
    let flags = u64::from(ALWAYS | family | carrier | inner) | u64::from(link) << BPF_ADJ_ROOM_ENCAP_L2_SHIFT;
    match skb.adjust_room(room as i32, flags) {
        Ok(()) => Ok(()),
        Err(EALREADY) => begin_again(skb, room as i32, protocol),
        Err(_) => Err(DropReason::Encapsulation),
    }
}

/// Makes room in a packet that is a tunnel's already: the kernel can note only one tunnel, which matters where a
/// packet is yet to be segmented.
#[inline(always)]
fn begin_again(skb: Skb, room: i32, protocol: u16) -> Result<(), DropReason> {
    if skb.gso_size() != 0 {
        return Err(DropReason::TunnelInTunnel);
    }
    if skb.protocol() != protocol {
        skb.set_protocol(protocol)?;
    }
    skb.adjust_room(room, ALWAYS.into()).map_err(|_| DropReason::Encapsulation)
}

/// Puts the outer headers for one endpoint before a frame. Returns zero, or one more than the number of the reason
/// why not.
#[unsafe(no_mangle)]
pub(crate) extern "C" fn wrap(
    skb: *mut __sk_buff,
    wrapping: *mut Wrapping,
    encap: *const Encap,
    target: u32,
) -> u32 {
    // SAFETY: the caller passes its own; the verifier wants to see that they are not null.
    let (Some(wrapping), Some(encap)) = (unsafe { (wrapping.as_mut(), encap.as_ref()) }) else { return 1 };
    match wrapping.write(Skb::from_raw(skb), encap, unpacked(target)) {
        Ok(()) => 0,
        Err(reason) => reason as u32 + 1,
    }
}

/// Sends a frame to one remote endpoint. `largest` is the length of the frame, or of the largest that it
/// is cut into.
#[unsafe(no_mangle)]
pub(crate) extern "C" fn send_remote(
    skb: *mut __sk_buff,
    encap: *const Encap,
    target: u32,
    largest: u32,
) -> Action {
    stage::run_alone(skb, |skb| {
        // SAFETY: the caller passes a value of the map; the verifier wants to see that it is not null.
        let encap = unsafe { encap.as_ref() }.ok_or(DropReason::NoNextHop)?;
        let target = unpacked(target);
        Wrapping::new(skb, largest)?.write(skb, encap, target)?;
        check_resolved(encap, target)?;
        Ok(Some(send(encap)))
    })
}

/// Kind and VNI or label of a target, for a stage.
#[inline(always)]
pub(crate) const fn packed(target: Target) -> u32 {
    let [a, b, c] = target.vni;
    u32::from_be_bytes([target.kind, a, b, c])
}

#[inline(always)]
const fn unpacked(target: u32) -> Target {
    let [kind, vni @ ..] = target.to_be_bytes();
    Target { kind, vni, id: 0 }
}

/// The kernel resolves a gateway for IP packets only.
#[inline(always)]
pub(crate) fn check_resolved(encap: &Encap, target: Target) -> Result<(), DropReason> {
    if target.kind == TargetKind::Mpls as u8 && encap.flags & encap_flags::RESOLVED == 0 {
        return Err(DropReason::NoNextHop);
    }
    Ok(())
}

/// The largest frame that the way to an endpoint takes.
#[inline(always)]
pub(crate) fn limit(encap: &Encap, target: Target) -> u32 {
    encap.mtu.saturating_sub(length_over(encap, target.kind) - ETHERNET as u32)
}

/// Sends a wrapped packet.
#[inline(always)]
pub(crate) fn send(encap: &Encap) -> Action {
    if encap.flags & encap_flags::RESOLVED != 0 {
        return redirect(encap.ifindex);
    }
    let words = header::words(&encap.gateway);
    let (nh_family, ipv6_nh) = match words {
        [0, 0, header::MAPPED, ipv4] => (AF_INET, [ipv4, 0, 0, 0]),
        _ => (AF_INET6, words),
    };
    let mut neighbor =
        bpf_redir_neigh { nh_family, __bindgen_anon_1: bpf_redir_neigh__bindgen_ty_1 { ipv6_nh } };
    redirect_neighbor(encap.ifindex, &mut neighbor)
}

/// Bytes of outer header before a frame.
#[inline(always)]
const fn length_over(encap: &Encap, kind: u8) -> u32 {
    if kind != TargetKind::Vxlan as u8 {
        return ETHERNET as u32 + overhead(kind, is_ipv6(encap), true);
    }
    if is_ipv6(encap) { OVER_IPV6 as u32 } else { OVER_IPV4 as u32 }
}

/// Whether the outer header is IPv6.
#[inline(always)]
pub(crate) const fn is_ipv6(encap: &Encap) -> bool {
    encap.flags & encap_flags::IPV6 != 0
}

/// DSCP and ECN of an untagged IP packet, which the outer header copies; zero for other frames.
#[inline(always)]
fn traffic_class(skb: Skb) -> u8 {
    match skb.protocol() {
        ethertype::IPV4 => skb.header::<Ipv4>(ETHERNET).map_or(0, |ip| ip.traffic_class),
        ethertype::IPV6 => skb.header::<Ipv6>(ETHERNET).map_or(0, Ipv6::traffic_class),
        _ => 0,
    }
}

#[inline(always)]
const fn tag(kind: u16, control: u16) -> [u8; size_of::<Tag>()] {
    let ([a, b], [c, d]) = (kind.to_be_bytes(), control.to_be_bytes());
    [a, b, c, d]
}
