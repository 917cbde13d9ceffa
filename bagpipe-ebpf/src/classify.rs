//! Which instance routes a packet: the one that its port's frames lead to, or, if one of that one's rules holds, another.

use aya_ebpf::bindings::__sk_buff;
use bagpipe_common::{DropReason, Rule, limits, rule_flags};
use bagpipe_packet::header::{ETHERNET, Ipv4, Ipv6, MAPPED, ethertype, fragment, protocol, words};

use crate::maps::RULES;
use crate::skb::Skb;

/// What rules look at.
struct Packet {
    ethertype: u16,
    source: [u32; 4],
    destination: [u32; 4],
    protocol: u8,
    /// Source and destination, of a packet that has them.
    ports: Option<(u16, u16)>,
}

/// The instance that the first rule that holds leads to; zero if none does. `first`: the slot of the first rule.
///
/// What is not an IP packet has its error from the stage that routes it.
#[unsafe(no_mangle)]
pub(crate) extern "C" fn classify(skb: *mut __sk_buff, first: u32) -> u32 {
    let skb = Skb::from_raw(skb);
    let Ok(Some(packet)) = Packet::read(skb) else { return 0 };
    let mut slot = first;
    for _ in 0..limits::RULES_PER_VPN {
        let Some(rule) = RULES.get(slot) else { return 0 };
        if packet.meets(rule) {
            return rule.vrf;
        }
        slot = rule.next;
        if slot == 0 {
            return 0;
        }
    }
    0
}

impl Packet {
    #[inline(always)]
    fn read(skb: Skb) -> Result<Option<Self>, DropReason> {
        let (source, destination, kind, at) = match skb.protocol() {
            ethertype::IPV4 => {
                let ip = skb.header::<Ipv4>(ETHERNET)?;
                // Only the first fragment has ports.
                let is_later = u16::from_be_bytes(ip.fragment) & fragment::OFFSET != 0;
                let at = if is_later { 0 } else { ETHERNET + usize::from(ip.version_length & 0x0f) * 4 };
                let mapped = |address| [0, 0, MAPPED, u32::from_ne_bytes(address)];
                (mapped(ip.source), mapped(ip.destination), ip.protocol, at)
            }
            ethertype::IPV6 => {
                let ip = skb.header::<Ipv6>(ETHERNET)?;
                (words(&ip.source), words(&ip.destination), ip.next_header, ETHERNET + size_of::<Ipv6>())
            }
            _ => return Ok(None),
        };
        let ports = match kind {
            protocol::TCP | protocol::UDP | protocol::SCTP if at != 0 => {
                let [a, b, c, d] = skb.load(at as u32)?;
                Some((u16::from_be_bytes([a, b]), u16::from_be_bytes([c, d])))
            }
            _ => None,
        };
        Ok(Some(Self { ethertype: skb.protocol(), source, destination, protocol: kind, ports }))
    }

    #[inline(always)]
    fn meets(&self, rule: &Rule) -> bool {
        self.ethertype == rule.ethertype
            && is_in(self.destination, words(&rule.destination), words(&rule.destination_mask))
            && is_in(self.source, words(&rule.source), words(&rule.source_mask))
            && (rule.flags & rule_flags::PROTOCOL == 0 || self.protocol == rule.protocol)
            && (rule.flags & rule_flags::PORTS == 0 || self.has_ports(rule))
    }

    #[inline(always)]
    fn has_ports(&self, rule: &Rule) -> bool {
        let Some((source, destination)) = self.ports else { return false };
        let ([first, last], [start, end]) = (rule.source_ports, rule.destination_ports);
        (first..=last).contains(&source) && (start..=end).contains(&destination)
    }
}

/// Whether the bits of an address that count are those of a prefix.
#[inline(always)]
fn is_in([a, b, c, d]: [u32; 4], [e, f, g, h]: [u32; 4], [k, l, m, n]: [u32; 4]) -> bool {
    (a ^ e) & k | (b ^ f) & l | (c ^ g) & m | (d ^ h) & n == 0
}
