//! The router answers echo requests (RFC 1812 §4.3.3.6, RFC 4443 §4.2).

use aya_ebpf::bindings::__sk_buff;
use bagpipe_common::DropReason;
use bagpipe_packet::checksum;
use bagpipe_packet::header::{ETHERNET, Ethernet, Ipv4, Ipv6, ethertype, fragment, icmp, protocol};

use crate::skb::{Action, Skb};
use crate::stage;

/// Time to live of what the router itself sends (RFC 1700 "IP parameters").
pub(crate) const TTL: u8 = 64;

/// Turns an echo request round; other packets for the router are dropped.
///
/// Fragments are turned round one by one, so that there is an answer to requests of any size: all but the type is the
/// same in the answer, and the type is in the first.
#[unsafe(no_mangle)]
pub(crate) extern "C" fn echo(skb: *mut __sk_buff) -> Action {
    stage::run_alone(skb, |skb| {
        // The segments of nothing that a host would send.
        if skb.gso_size() != 0 {
            return Err(DropReason::NotRoutable);
        }
        match skb.protocol() {
            ethertype::IPV4 => ipv4(skb)?,
            _ => ipv6(skb)?,
        }
        let Ethernet { destination, source, ethertype } = *skb.header(0)?;
        skb.write(0, Ethernet { destination: source, source: destination, ethertype })?;
        Ok(None)
    })
}

#[inline(always)]
fn ipv4(skb: Skb) -> Result<(), DropReason> {
    let mut ip = *skb.header::<Ipv4>(ETHERNET)?;
    if ip.protocol != protocol::ICMP {
        return Err(DropReason::NotRoutable);
    }
    if u16::from_be_bytes(ip.fragment) & fragment::OFFSET == 0 {
        let at = ETHERNET as u32 + u32::from(ip.version_length & 0x0f) * 4;
        turn(skb, at, icmp::ECHO, icmp::ECHO_REPLY)?;
    }
    let (from, to) = ([ip.ttl, ip.protocol], [TTL, ip.protocol]);
    let sum =
        checksum::updated(u16::from_be_bytes(ip.checksum), u16::from_be_bytes(from), u16::from_be_bytes(to));
    (ip.ttl, ip.checksum) = (TTL, sum.to_be_bytes());
    (ip.source, ip.destination) = (ip.destination, ip.source);
    skb.store_summed(ETHERNET as u32, &ip)
}

#[inline(always)]
fn ipv6(skb: Skb) -> Result<(), DropReason> {
    const BEHIND: u32 = (ETHERNET + size_of::<Ipv6>()) as u32;
    let mut ip = *skb.header::<Ipv6>(ETHERNET)?;
    let (mut kind, mut at, mut is_first) = (ip.next_header, BEHIND, true);
    if kind == protocol::FRAGMENT {
        // Next header, reserved, offset and flags, identification (RFC 8200 §4.5).
        let [next, _, offset, flags] = skb.load(BEHIND)?;
        (kind, at, is_first) = (next, BEHIND + 8, u16::from_be_bytes([offset, flags]) >> 3 == 0);
    }
    if kind != protocol::ICMPV6 {
        return Err(DropReason::NotRoutable);
    }
    if is_first {
        turn(skb, at, icmp::ECHO_V6, icmp::ECHO_REPLY_V6)?;
    }
    ip.hop_limit = TTL;
    (ip.source, ip.destination) = (ip.destination, ip.source);
    skb.store_summed(ETHERNET as u32, &ip)
}

/// Makes a request at an offset the reply.
#[inline(always)]
fn turn(skb: Skb, at: u32, request: u8, reply: u8) -> Result<(), DropReason> {
    let [kind, code, a, b] = skb.load(at)?;
    if kind != request || code != 0 {
        return Err(DropReason::NotRoutable);
    }
    let (from, to) = (u16::from_be_bytes([request, 0]), u16::from_be_bytes([reply, 0]));
    let [a, b] = checksum::updated(u16::from_be_bytes([a, b]), from, to).to_be_bytes();
    skb.store_summed(at, &[reply, code, a, b])
}
