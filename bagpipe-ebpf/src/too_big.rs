//! Packets that the underlay does not take: the sender is told, as the kernel's VXLAN device does.

use aya_ebpf::bindings::__sk_buff;
use aya_ebpf::helpers::generated::bpf_csum_diff;
use bagpipe_common::DropReason;
use bagpipe_packet::checksum;
use bagpipe_packet::header::{
    ETHERNET, Ethernet, Ipv4, Ipv6, Tag, ethertype, fragment, is_unspecified, protocol,
};

use crate::maps::SCRATCH;
use crate::skb::{Action, Skb, redirect};
use crate::source::Sender;
use crate::{counters, stage};

/// Smallest IPv4 MTU that is told, and length of the packet that tells it (RFC 1812 §4.3.2.3).
const SMALLEST_IPV4: usize = 576;
/// Smallest IPv6 MTU, and length of the packet that tells one (RFC 4443 §2.4 c).
const SMALLEST_IPV6: usize = 1280;
/// Bytes of an offending IPv4 packet that are quoted.
const QUOTE_IPV4: usize = SMALLEST_IPV4 - size_of::<Ipv4>() - size_of::<Icmp>();
/// Bytes of an offending IPv6 packet that are quoted.
pub(crate) const QUOTE_IPV6: usize = SMALLEST_IPV6 - size_of::<Ipv6>() - size_of::<Icmp>();

/// Type, code, checksum, and the MTU (RFC 1191 §4, RFC 4443 §3.2).
#[repr(C, align(2))]
struct Icmp {
    kind: u8,
    code: u8,
    checksum: [u8; 2],
    mtu: [u8; 4],
}

/// Length of a frame, or of the largest one that it is cut into, with its tags.
#[inline(always)]
pub(crate) fn largest_frame(skb: Skb) -> u32 {
    let tag = if skb.tag().is_some() { size_of::<Tag>() as u32 } else { 0 };
    let payload = skb.gso_size();
    if payload == 0 {
        return skb.length() + tag;
    }
    ETHERNET as u32 + tag + segment_headers(skb).unwrap_or(0) + payload
}

/// Length of the network and transport headers that each segment repeats.
#[inline(always)]
fn segment_headers(skb: Skb) -> Result<u32, DropReason> {
    let (tag, kind) = match skb.protocol() {
        ethertype::C_TAG | ethertype::S_TAG => {
            let tag = skb.load::<4>(ETHERNET as u32)?;
            (size_of::<Tag>() as u32, u16::from_be_bytes([tag[2], tag[3]]))
        }
        kind => (0, kind),
    };
    let at = ETHERNET as u32 + tag;
    let (network, transport) = if kind == ethertype::IPV6 {
        (size_of::<Ipv6>() as u32, skb.load::<1>(at + 6)?[0])
    } else {
        (u32::from(skb.load::<1>(at)?[0] & 0x0f) * 4, skb.load::<1>(at + 9)?[0])
    };
    let transport =
        if transport == protocol::UDP { 8 } else { u32::from(skb.load::<1>(at + network + 12)?[0] >> 4) * 4 };
    Ok(tag + network + transport)
}

/// Turns a packet into an ICMP error that tells its sender the largest frame that would have fitted.
#[unsafe(no_mangle)]
pub(crate) extern "C" fn answer_too_big(skb: *mut __sk_buff, sender: *const Sender, limit: u32) -> Action {
    stage::run(skb, sender, |skb, sender| answer(skb, sender, limit))
}

#[inline(always)]
fn answer(skb: Skb, sender: &Sender, limit: u32) -> Result<Option<Action>, DropReason> {
    let length = skb.length();
    let tag = if skb.tag().is_some() { size_of::<Tag>() } else { 0 };
    let mtu = limit.saturating_sub((ETHERNET + tag) as u32);
    let ethernet = *skb.header::<Ethernet>(0)?;
    let ethernet = Ethernet { destination: ethernet.source, source: ethernet.destination, ..ethernet };
    match skb.protocol() {
        ethertype::IPV4 if mtu >= SMALLEST_IPV4 as u32 => ipv4(skb, &ethernet, mtu)?,
        ethertype::IPV6 if mtu >= SMALLEST_IPV6 as u32 => ipv6(skb, &ethernet, mtu)?,
        _ => return Err(DropReason::TooBig),
    }
    counters::dropped(DropReason::TooBig, length);
    counters::delivered(sender.port, sender.vpn, skb.length());
    Ok(Some(redirect(skb.interface())))
}

/// Fragmentation needed (RFC 792, RFC 1191). Also where fragmenting is allowed: a tunnel does not fragment
/// (RFC 7348 §4.3), and the sender learns the size for its own fragments.
#[inline(always)]
fn ipv4(skb: Skb, ethernet: &Ethernet, mtu: u32) -> Result<(), DropReason> {
    let ip = *skb.header::<Ipv4>(ETHERNET)?;
    // No error is sent about these (RFC 1122 §3.2.2).
    let is_multiple = |address: [u8; 4]| address[0] == 0 || address[0] == 127 || address[0] >= 224;
    let later_fragment = u16::from_be_bytes(ip.fragment) & fragment::OFFSET != 0;
    if is_multiple(ip.source) || is_multiple(ip.destination) || later_fragment {
        return Err(DropReason::TooBig);
    }
    if ip.protocol == protocol::ICMP {
        let at = ETHERNET as u32 + u32::from(ip.version_length & 0x0f) * 4;
        if matches!(skb.load::<1>(at)?[0], 3..=5 | 11 | 12) {
            return Err(DropReason::TooBig);
        }
    }
    let quote = quote::<QUOTE_IPV4>(skb)?;
    let reply = Ipv4 {
        version_length: 0x45,
        traffic_class: 0xc0,
        total_length: (SMALLEST_IPV4 as u16).to_be_bytes(),
        identification: [0; 2],
        fragment: fragment::DF.to_be_bytes(),
        ttl: 64,
        protocol: protocol::ICMP,
        checksum: [0; 2],
        source: ip.destination,
        destination: ip.source,
    }
    .summed();
    let mut icmp = Icmp { kind: 3, code: 4, checksum: [0; 2], mtu: mtu.to_be_bytes() };
    // SAFETY: the quote has that many bytes.
    let sum = unsafe { sum::<512>(quote, 0) + sum::<{ QUOTE_IPV4 - 512 }>(quote, 512) };
    // Sums over the bytes as they lie in memory give a checksum that is stored as it lies in memory.
    icmp.checksum = (!checksum::fold(sum + header_sum(&icmp))).to_ne_bytes();
    skb.renew((ETHERNET + SMALLEST_IPV4) as u32)?;
    skb.store(0, ethernet)?;
    skb.store(ETHERNET as u32, &reply)?;
    skb.store((ETHERNET + size_of::<Ipv4>()) as u32, &icmp)?;
    // SAFETY: the scratch is larger.
    let quote = unsafe { &*quote.cast::<[u8; QUOTE_IPV4]>() };
    skb.store((ETHERNET + size_of::<Ipv4>() + size_of::<Icmp>()) as u32, quote)
}

/// Packet too big (RFC 4443 §3.2).
#[inline(always)]
fn ipv6(skb: Skb, ethernet: &Ethernet, mtu: u32) -> Result<(), DropReason> {
    let ip = *skb.header::<Ipv6>(ETHERNET)?;
    // No error is sent about these (RFC 4443 §2.4 e).
    if ip.source[0] == 0xff || is_unspecified(&ip.source) || ip.destination[0] == 0xff {
        return Err(DropReason::TooBig);
    }
    let behind = (ETHERNET + size_of::<Ipv6>()) as u32;
    if ip.next_header == protocol::ICMPV6 && skb.load::<1>(behind)?[0] < 128 {
        return Err(DropReason::TooBig);
    }
    let quote = quote::<QUOTE_IPV6>(skb)?;
    let length = size_of::<Icmp>() + QUOTE_IPV6;
    let reply = Ipv6 {
        version_class_flow: [0x60, 0, 0, 0],
        payload_length: (length as u16).to_be_bytes(),
        next_header: protocol::ICMPV6,
        hop_limit: 64,
        source: ip.destination,
        destination: ip.source,
    };
    let mut icmp = Icmp { kind: 2, code: 0, checksum: [0; 2], mtu: mtu.to_be_bytes() };
    // SAFETY: the quote has that many bytes.
    let sum =
        unsafe { sum::<512>(quote, 0) + sum::<512>(quote, 512) + sum::<{ QUOTE_IPV6 - 1024 }>(quote, 1024) };
    let pseudo = checksum::sum(&reply.source)
        + checksum::sum(&reply.destination)
        + length as u64
        + u64::from(protocol::ICMPV6);
    let pseudo = u64::from(checksum::fold(pseudo).to_be());
    icmp.checksum = (!checksum::fold(sum + pseudo + header_sum(&icmp))).to_ne_bytes();
    skb.renew((ETHERNET + SMALLEST_IPV6) as u32)?;
    skb.store(0, ethernet)?;
    skb.store(ETHERNET as u32, &reply)?;
    skb.store((ETHERNET + size_of::<Ipv6>()) as u32, &icmp)?;
    // SAFETY: the scratch is as large.
    let quote = unsafe { &*quote };
    skb.store((ETHERNET + size_of::<Ipv6>() + size_of::<Icmp>()) as u32, quote)
}

/// Copies the beginning of the offending packet to where it survives the changes.
#[inline(always)]
fn quote<const N: usize>(skb: Skb) -> Result<*mut [u8; QUOTE_IPV6], DropReason> {
    const { assert!(N <= QUOTE_IPV6) };
    let scratch = SCRATCH.get_ptr_mut(0).ok_or(DropReason::TooBig)?;
    // SAFETY: the scratch is this CPU's own and has at least N bytes.
    skb.load_into(ETHERNET as u32, unsafe { &mut *scratch.cast::<[u8; N]>() })?;
    Ok(scratch)
}

/// The sum of N bytes of a quote, as words in memory.
///
/// # Safety
/// The quote has `N` bytes at `from`.
#[inline(always)]
unsafe fn sum<const N: usize>(quote: *mut [u8; QUOTE_IPV6], from: usize) -> u64 {
    const { assert!(N % 4 == 0 && N <= 512) };
    // SAFETY: as required from the caller; the helper reads N bytes.
    let sum = unsafe {
        let words = quote.cast::<u8>().add(from).cast::<u32>();
        bpf_csum_diff(core::ptr::null_mut(), 0, words, N as u32, 0)
    };
    u64::from(sum as u32)
}

#[inline(always)]
fn header_sum(icmp: &Icmp) -> u64 {
    let [a, b, c, d] = icmp.mtu;
    u64::from(u16::from_ne_bytes([icmp.kind, icmp.code]))
        + u64::from(u16::from_ne_bytes([a, b]))
        + u64::from(u16::from_ne_bytes([c, d]))
}
