//! ARP from a port: the sender is checked, and a request for a known address is answered.

use aya_ebpf::bindings::__sk_buff;
use bagpipe_common::{DropReason, mapped};
use bagpipe_packet::header::{ARP_REQUEST, Arp, ETHERNET, Ethernet};
use bagpipe_packet::reply::ArpReply;
use bagpipe_packet::scope;

use crate::skb::{Action, Skb};
use crate::source::Sender;
use crate::{gateway, stage};

/// Answers a request that [`gateway::respondent`] knows the answer to and that is no announcement (RFC 5227 §1.1); other
/// ARP packets go on.
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
    if arp.operation != ARP_REQUEST || arp.sender_ip == arp.target_ip {
        return Ok(None);
    }
    let (source, target) = (mapped(arp.sender_ip), mapped(arp.target_ip));
    let scope = scope::ipv4(arp.target_ip);
    let Some(owner) = gateway::respondent(sender, ethernet.destination, source, target, scope) else {
        return Ok(None);
    };
    skb.store(0, &ArpReply::new(&arp, ethernet.source, owner.mac))?;
    Ok(Some(sender.give_back(skb)))
}
