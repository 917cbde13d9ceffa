//! ICMP errors: what a packet that can't go on becomes, for its sender.

use aya_ebpf::bindings::__sk_buff;
use aya_ebpf::helpers::generated::bpf_csum_diff;
use bagpipe_common::{Address, DropReason};
use bagpipe_packet::checksum;
use bagpipe_packet::header::{
    ETHERNET, Ethernet, Ipv4, Ipv6, ethertype, fragment, icmp, is_unspecified, protocol,
};
use bagpipe_packet::scope::{self, Scope};

use crate::budget;
use crate::echo::TTL;
use crate::maps::{ROUTERS, SCRATCH};
use crate::skb::{Action, Skb};
use crate::{counters, nd, stage};

/// Smallest IPv4 MTU that is told, and length of the longest ICMP error (RFC 1812 §4.3.2.3).
const SMALLEST_IPV4: usize = 576;
/// Smallest IPv6 MTU, and length of the longest ICMPv6 error (RFC 4443 §2.4 c).
const SMALLEST_IPV6: usize = 1280;
/// Bytes of an offending IPv4 packet that are quoted, at most.
const QUOTE_IPV4: u32 = (SMALLEST_IPV4 - size_of::<Ipv4>() - size_of::<Icmp>()) as u32;
/// Bytes of an offending IPv6 packet that are quoted, at most.
const QUOTE_IPV6: u32 = (SMALLEST_IPV6 - size_of::<Ipv6>() - size_of::<Icmp>()) as u32;
/// Room for a quote, and what fills up its last word.
pub(crate) const QUOTE_ROOM: usize = QUOTE_IPV6 as usize + 4;
/// Bytes that the kernel sums at once, at most.
const SUMMED_AT_ONCE: u32 = 512;
/// In place of a router's instance: the destination of the packet speaks for itself.
pub(crate) const NO_ROUTER: u32 = 0;
/// Who speaks for a router without an IPv4 address (RFC 7600 §3).
const DUMMY_IPV4: [u8; 4] = [192, 0, 0, 8];

/// Type, code, checksum, and the MTU where there is one (RFC 792, RFC 1191 §4, RFC 4443 §3).
#[repr(C, align(2))]
struct Icmp {
    kind: u8,
    code: u8,
    checksum: [u8; 2],
    mtu: [u8; 4],
}

/// Turns a packet into the ICMP error that tells its sender why it was dropped. `router` is the instance of the router's
/// addresses or [`NO_ROUTER`], `reason` the number of a [`DropReason`], `mtu` counts for [`DropReason::TooBig`].
#[unsafe(no_mangle)]
pub(crate) extern "C" fn icmp_error(skb: *mut __sk_buff, router: u32, reason: u32, mtu: u32) -> Action {
    stage::run_alone(skb, |skb| {
        let reason = match reason {
            number if number == DropReason::TooBig as u32 => DropReason::TooBig,
            number if number == DropReason::TtlExceeded as u32 => DropReason::TtlExceeded,
            _ => DropReason::NoRoute,
        };
        let length = skb.length();
        let Ethernet { destination, source, ethertype } = *skb.header(0)?;
        let answered = match skb.protocol() {
            ethertype::IPV4 => ipv4(skb, router, reason, mtu),
            ethertype::IPV6 => ipv6(skb, router, reason, mtu),
            _ => None,
        };
        answered.ok_or(reason)?;
        skb.store(0, &Ethernet { destination: source, source: destination, ethertype })?;
        counters::dropped(reason, length);
        Ok(None)
    })
}

/// Destination unreachable or time exceeded (RFC 792). Fragmentation is needed (RFC 1191) also where it is allowed: a
/// tunnel does not fragment (RFC 7348 §4.3), and the sender learns the size for its own fragments.
#[inline(always)]
fn ipv4(skb: Skb, router: u32, reason: DropReason, mtu: u32) -> Option<()> {
    let ip = skb.header::<Ipv4>(ETHERNET).ok()?;
    if !may_be_told_ipv4(skb, ip) || !budget::spend() {
        return None;
    }
    let (kind, code, mtu) = match reason {
        DropReason::TooBig if mtu < SMALLEST_IPV4 as u32 => return None,
        DropReason::TooBig => (icmp::UNREACHABLE, icmp::FRAGMENTATION_NEEDED, mtu),
        DropReason::TtlExceeded => (icmp::TIME_EXCEEDED, 0, 0),
        _ => (icmp::UNREACHABLE, icmp::NET_UNREACHABLE, 0),
    };
    let source = match ROUTERS.get(router) {
        _ if router == NO_ROUTER => ip.destination,
        Some(router) if router.ipv4 != [0; 4] => router.ipv4,
        _ => DUMMY_IPV4,
    };
    let quote = Quote::take(skb, u16::from_be_bytes(ip.total_length).into(), QUOTE_IPV4)?;
    let length = size_of::<Icmp>() as u32 + quote.length;
    let reply = Ipv4 {
        version_length: 0x45,
        // Internetwork control (RFC 1812 §4.3.2.5).
        traffic_class: 0xc0,
        total_length: (size_of::<Ipv4>() as u16 + length as u16).to_be_bytes(),
        identification: [0; 2],
        fragment: fragment::DF.to_be_bytes(),
        ttl: TTL,
        protocol: protocol::ICMP,
        checksum: [0; 2],
        source,
        destination: ip.source,
    }
    .summed();
    let header = Icmp { kind, code, checksum: [0; 2], mtu: mtu.to_be_bytes() };
    write(skb, &reply, header.summed(0, &quote), &quote)
}

/// Destination unreachable, packet too big or time exceeded (RFC 4443 §3).
#[inline(always)]
fn ipv6(skb: Skb, router: u32, reason: DropReason, mtu: u32) -> Option<()> {
    let ip = skb.header::<Ipv6>(ETHERNET).ok()?;
    if !may_be_told_ipv6(skb, ip) || !budget::spend() {
        return None;
    }
    let (kind, mtu) = match reason {
        DropReason::TooBig if mtu < SMALLEST_IPV6 as u32 => return None,
        DropReason::TooBig => (icmp::TOO_BIG_V6, mtu),
        DropReason::TtlExceeded => (icmp::TIME_EXCEEDED_V6, 0),
        _ => (icmp::UNREACHABLE_V6, 0),
    };
    let source = match ROUTERS.get(router) {
        _ if router == NO_ROUTER => ip.destination,
        Some(router) if !is_unspecified(&router.ipv6) => router.ipv6,
        // Rather in another's name than not to be heard: such packets would be lost one after the other.
        _ if reason == DropReason::TooBig => ip.destination,
        _ => return None,
    };
    let total = size_of::<Ipv6>() as u32 + u32::from(u16::from_be_bytes(ip.payload_length));
    let quote = Quote::take(skb, total, QUOTE_IPV6)?;
    let length = size_of::<Icmp>() as u32 + quote.length;
    let reply = Ipv6 {
        version_class_flow: [0x60, 0, 0, 0],
        payload_length: (length as u16).to_be_bytes(),
        next_header: protocol::ICMPV6,
        hop_limit: TTL,
        source,
        destination: ip.source,
    };
    let pseudo = checksum::sum::<{ size_of::<Address>() }>(&reply.source)
        + checksum::sum(&reply.destination)
        + u64::from(length)
        + u64::from(protocol::ICMPV6);
    let header = Icmp { kind, code: 0, checksum: [0; 2], mtu: mtu.to_be_bytes() };
    // Sums over the bytes as they lie in memory give a checksum that is stored as it lies in memory.
    let header = header.summed(checksum::fold(pseudo).to_be().into(), &quote);
    write(skb, &reply, header, &quote)
}

/// No error is sent about an error, nor about what one host has not sent to one other, nor about fragments but the first
/// (RFC 1812 §4.3.2.7).
#[inline(always)]
fn may_be_told_ipv4(skb: Skb, ip: &Ipv4) -> bool {
    let is_between_hosts =
        scope::ipv4(ip.source) == Scope::Global && scope::ipv4(ip.destination) == Scope::Global;
    if !is_between_hosts || u16::from_be_bytes(ip.fragment) & fragment::OFFSET != 0 {
        return false;
    }
    let at = ETHERNET as u32 + u32::from(ip.version_length & 0x0f) * 4;
    ip.protocol != protocol::ICMP || skb.load(at).is_ok_and(|[kind]| !icmp::is_error(kind))
}

/// The same for IPv6 (RFC 4443 §2.4 e).
#[inline(always)]
fn may_be_told_ipv6(skb: Skb, ip: &Ipv6) -> bool {
    if scope::ipv6(&ip.source) == Scope::None || scope::ipv6(&ip.destination) == Scope::None {
        return false;
    }
    let Ok((mut next, mut at)) = nd::behind_extensions(skb, ip.next_header) else { return false };
    if next == protocol::FRAGMENT {
        let Ok([kind, _, offset, flags]) = skb.load(at) else { return false };
        if u16::from_be_bytes([offset, flags]) >> 3 != 0 {
            return false;
        }
        (next, at) = (kind, at + 8);
    }
    next != protocol::ICMPV6 || skb.load(at).is_ok_and(|[kind]| !icmp::is_error_v6(kind))
}

/// The beginning of the offending packet, kept where it survives the changes.
struct Quote {
    bytes: *mut [u8; QUOTE_ROOM],
    /// Bytes of it.
    length: u32,
}

impl Quote {
    /// Copies as much of a packet, which is `total` bytes long, as an error may quote.
    #[inline(always)]
    fn take(skb: Skb, total: u32, most: u32) -> Option<Self> {
        let there = skb.length() - ETHERNET as u32;
        // Behind a packet there may be padding. Packets to be segmented may be longer than they can say.
        let packet = if skb.gso_size() == 0 && total < there { total } else { there };
        let length = if packet < most { packet } else { most };
        let bytes = SCRATCH.get_ptr_mut(0)?;
        // The verifier wants to see these bounds.
        if length == 0 || length > QUOTE_IPV6 {
            return None;
        }
        let last = (length & !3) as usize;
        // SAFETY: the scratch is this CPU's own, and has room for one more word than the longest quote.
        unsafe {
            *bytes.cast::<u8>().add(last).cast::<u32>() = 0;
            skb.load_some(ETHERNET as u32, bytes.cast(), length).ok()?;
        }
        Some(Self { bytes, length })
    }

    /// The sum as words in memory.
    #[inline(always)]
    fn sum(&self) -> u64 {
        let words = (self.length + 3) & !3;
        let mut sum = 0;
        for part in 0..3 {
            let from = part * SUMMED_AT_ONCE;
            if words > from {
                let left = words - from;
                let size = if left < SUMMED_AT_ONCE { left } else { SUMMED_AT_ONCE };
                // SAFETY: the quote has that many bytes at that place, and a word more.
                sum += unsafe {
                    let start = self.bytes.cast::<u8>().add(from as usize).cast();
                    bpf_csum_diff(core::ptr::null_mut(), 0, start, size, 0) as u32
                } as u64;
            }
        }
        sum
    }
}

impl Icmp {
    /// The header with its checksum, which covers the quote, and what else is given, too.
    #[inline(always)]
    fn summed(self, more: u64, quote: &Quote) -> Self {
        let [a, b, c, d] = self.mtu;
        let sum = u64::from(u16::from_ne_bytes([self.kind, self.code]))
            + u64::from(u16::from_ne_bytes([a, b]))
            + u64::from(u16::from_ne_bytes([c, d]));
        Self { checksum: (!checksum::fold(sum + more + quote.sum())).to_ne_bytes(), ..self }
    }
}

/// Writes the error in place of the packet.
#[inline(always)]
fn write<T>(skb: Skb, ip: &T, icmp: Icmp, quote: &Quote) -> Option<()> {
    let behind = (ETHERNET + size_of::<T>() + size_of::<Icmp>()) as u32;
    skb.renew(behind + quote.length).ok()?;
    skb.store_summed(ETHERNET as u32, ip).ok()?;
    skb.store_summed((ETHERNET + size_of::<T>()) as u32, &icmp).ok()?;
    // SAFETY: as many bytes as were taken.
    unsafe { skb.store_some(behind, quote.bytes.cast(), quote.length).ok() }
}
