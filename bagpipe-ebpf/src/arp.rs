//! ARP from a port: the sender is checked, and a request for a known address is answered.

use aya_ebpf::bindings::__sk_buff;
use bagpipe_common::{DropReason, mapped};
use bagpipe_packet::header::{ARP_REQUEST, Arp, ETHERNET, Ethernet, is_group};
use bagpipe_packet::reply::ArpReply;

use crate::skb::{Action, Skb};
use crate::source::Sender;
use crate::{maps, stage};

/// Answers a request; other ARP packets go on (`None`).
///
/// Not answered are requests for an address of the same port, announcements (RFC 5227 §1.1), and requests to a
/// single station, which ask whether that station is there.
#[unsafe(no_mangle)]
pub(crate) extern "C" fn arp_ingress(skb: *mut __sk_buff, sender: *const Sender) -> Action {
    stage::run(skb, sender, ingress)
}

#[inline(always)]
fn ingress(skb: Skb, sender: &Sender) -> Result<Option<Action>, DropReason> {
    let ethernet = *skb.header::<Ethernet>(0)?;
    let arp = *skb.header::<Arp>(ETHERNET)?;
    // What a format of other lengths claims can't be checked, and receivers are not strict.
    if !arp.is_ethernet_ipv4() {
        return Err(DropReason::Malformed);
    }
    sender.claiming(arp.sender_mac)?.check_address(mapped(arp.sender_ip))?;
    let asks =
        arp.operation == ARP_REQUEST && arp.sender_ip != arp.target_ip && is_group(ethernet.destination);
    if !asks {
        return Ok(None);
    }
    let Some(owner) = maps::neighbor(sender.vpn, mapped(arp.target_ip)) else { return Ok(None) };
    if sender.shares_port_with(owner.mac) {
        return Ok(None);
    }
    skb.store(0, &ArpReply::new(&arp, ethernet.source, owner.mac))?;
    Ok(Some(sender.give_back(skb)))
}
