//! Neighbour discovery from a port: what a message claims is checked, and a solicitation for a known address is
//! answered.

use aya_ebpf::bindings::__sk_buff;
use bagpipe_common::{Address, DropReason, neighbor_flags};
use bagpipe_packet::header::{ETHERNET, Ethernet, Ipv6, Mac, NeighborMessage, is_extension, nd, protocol};
use bagpipe_packet::reply::NeighborAdvertisement;
use bagpipe_packet::scope;

use crate::skb::{Action, Skb};
use crate::source::Sender;
use crate::{gateway, stage};

/// Extension headers that are looked behind.
const EXTENSIONS: usize = 6;
/// Options of a message that are looked at: more than any known message has.
const OPTIONS: usize = 8;
/// Where ICMPv6 is without extension headers.
const FIRST: u32 = (ETHERNET + size_of::<Ipv6>()) as u32;

/// Answers a solicitation that [`gateway::respondent`] knows the answer to; other packets go on.
#[unsafe(no_mangle)]
pub(crate) extern "C" fn nd_ingress(skb: *mut __sk_buff, sender: *const Sender) -> Action {
    stage::run(skb, sender, ingress)
}

#[inline(always)]
fn ingress(skb: Skb, sender: &Sender) -> Result<Option<Action>, DropReason> {
    let station = skb.header::<Ethernet>(0)?.destination;
    let ip = *skb.header::<Ipv6>(ETHERNET)?;
    let (next, at) = behind_extensions(skb, ip.next_header)?;
    if next != protocol::ICMPV6 {
        return Ok(None);
    }
    let end = FIRST + u32::from(u16::from_be_bytes(ip.payload_length));
    match skb.load::<1>(at)?[0] {
        nd::ROUTER_SOLICITATION => {
            check_options(skb, sender, at + 8, end, nd::SOURCE_LINK_LAYER)?;
            Ok(None)
        }
        nd::ROUTER_ADVERTISEMENT => {
            check_options(skb, sender, at + 16, end, nd::SOURCE_LINK_LAYER)?;
            Ok(None)
        }
        nd::ADVERTISEMENT => {
            let message = message(skb, at)?;
            let claimed = check_options(skb, sender, at + MESSAGE, end, nd::TARGET_LINK_LAYER)?;
            sender.claiming(claimed.unwrap_or(sender.mac))?.check_address(message.target)?;
            Ok(None)
        }
        nd::SOLICITATION => {
            let message = message(skb, at)?;
            check_options(skb, sender, at + MESSAGE, end, nd::SOURCE_LINK_LAYER)?;
            // RFC 4861 §7.1.1; a packet that a receiver would ignore is not answered.
            let valid = at == FIRST && ip.hop_limit == nd::HOP_LIMIT && message.code == 0;
            if valid {
                return answer(skb, sender, station, ip.source, message.target);
            }
            Ok(None)
        }
        _ => Ok(None),
    }
}

const MESSAGE: u32 = size_of::<NeighborMessage>() as u32;

#[inline(always)]
fn answer(
    skb: Skb,
    sender: &Sender,
    station: Mac,
    source: Address,
    target: Address,
) -> Result<Option<Action>, DropReason> {
    let scope = scope::ipv6(&target);
    let Some(owner) = gateway::respondent(sender, station, source, target, scope) else { return Ok(None) };
    let router = owner.flags & neighbor_flags::ROUTER != 0;
    let reply = NeighborAdvertisement::new(sender.mac, source, target, owner.mac, router);
    skb.renew(size_of_val(&reply) as u32)?;
    skb.store(0, &reply)?;
    Ok(Some(sender.give_back(skb)))
}

#[inline(always)]
fn message(skb: Skb, at: u32) -> Result<NeighborMessage, DropReason> {
    let bytes = skb.load::<{ size_of::<NeighborMessage>() }>(at)?;
    // SAFETY: a structure of bytes, as many as were loaded.
    Ok(unsafe { core::mem::transmute::<[u8; size_of::<NeighborMessage>()], NeighborMessage>(bytes) })
}

/// The first header that is no extension, and where it is. A fragment is looked at no further: receivers ignore
/// neighbour discovery in fragments (RFC 6980 §5).
#[inline(always)]
pub(crate) fn behind_extensions(skb: Skb, first: u8) -> Result<(u8, u32), DropReason> {
    let (mut next, mut at) = (first, FIRST);
    for _ in 0..EXTENSIONS {
        if !is_extension(next) || next == protocol::FRAGMENT {
            break;
        }
        let [following, length] = skb.load::<2>(at)?;
        next = following;
        at += 8 * (u32::from(length) + 1);
    }
    // More than any packet has that means well: what is behind them is not to pass unseen.
    if is_extension(next) && next != protocol::FRAGMENT {
        return Err(DropReason::Malformed);
    }
    Ok((next, at))
}

/// Checks the link-layer address that a message claims in an option of this kind, and returns it.
#[inline(always)]
fn check_options(skb: Skb, sender: &Sender, at: u32, end: u32, kind: u8) -> Result<Option<Mac>, DropReason> {
    // The message is shorter than its own fields, for those who believe the length in the IPv6 header.
    if at > end {
        return Err(DropReason::Malformed);
    }
    let (mut at, mut claimed) = (at, None);
    for _ in 0..OPTIONS {
        if at >= end {
            break;
        }
        let [found, length, mac @ ..] = skb.load::<8>(at)?;
        // RFC 4861 §4.6: no option has length zero.
        if length == 0 {
            return Err(DropReason::Malformed);
        }
        if found == kind {
            claimed = Some(sender.claiming(mac)?.mac);
        }
        at += 8 * u32::from(length);
    }
    if at < end { Err(DropReason::Malformed) } else { Ok(claimed) }
}
