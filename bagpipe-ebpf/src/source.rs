//! Who may send what: a port speaks only for the addresses that are attached to it.

use aya_ebpf::bindings::TC_ACT_SHOT;
use bagpipe_common::{Address, DropReason, TargetKind, neighbor_flags};
use bagpipe_packet::header::{ETHERNET, Mac, is_group, is_tag, is_unspecified};

use crate::skb::{Action, Skb, redirect};
use crate::{counters, maps, switch, trunk};

/// The sender of a frame: a port and one of its MAC addresses.
#[repr(C)]
#[derive(Clone, Copy)]
pub(crate) struct Sender {
    /// Number of the port.
    pub(crate) port: u32,
    /// Its instance.
    pub(crate) vpn: u16,
    /// The MAC address.
    pub(crate) mac: Mac,
    /// Not zero: the MAC address may use any IP address that no other has.
    pub(crate) any_ip: u32,
}

impl Sender {
    /// The sender with this MAC address, if it is one of the port's.
    #[inline(always)]
    pub(crate) fn new(port: u32, vpn: u16, mac: Mac) -> Result<Self, DropReason> {
        match maps::fdb(vpn, mac) {
            Some(target) if switch::is_port(target) && target.id == port && !is_group(mac) => {
                Ok(Self { port, vpn, mac, any_ip: u32::from(target.kind == TargetKind::PortAnyIp as u8) })
            }
            _ => Err(DropReason::SourceMac),
        }
    }

    /// The same port with another MAC address, which it claims inside a packet.
    #[inline(always)]
    pub(crate) fn claiming(&self, mac: Mac) -> Result<Self, DropReason> {
        if mac == self.mac { Ok(*self) } else { Self::new(self.port, self.vpn, mac) }
    }

    /// The sender of an IP packet, if it may use both addresses.
    #[inline(always)]
    pub(crate) fn of_packet(port: u32, vpn: u16, mac: Mac, address: Address) -> Result<Self, DropReason> {
        // What the port's own entry says of the IP address, it says of the MAC address, too.
        let local = neighbor_flags::LOCAL | port as u16 & neighbor_flags::PORT;
        match maps::neighbor(vpn, address) {
            Some(owner) if owner.mac == mac && owner.flags & !neighbor_flags::ROUTER == local => {
                Ok(Self { port, vpn, mac, any_ip: 0 })
            }
            owner => {
                let sender = Self::new(port, vpn, mac)?;
                sender.check_owner(address, owner.map(|owner| owner.mac))?;
                Ok(sender)
            }
        }
    }

    /// Checks that the sender may use an IP address.
    #[inline(always)]
    pub(crate) fn check_address(&self, address: Address) -> Result<(), DropReason> {
        self.check_owner(address, maps::neighbor(self.vpn, address).map(|owner| owner.mac))
    }

    /// Checks that the sender may use an IP address with this owner. The unspecified address is everyone's.
    #[inline(always)]
    fn check_owner(&self, address: Address, owner: Option<Mac>) -> Result<(), DropReason> {
        let allowed = match owner {
            _ if is_unspecified(&address) => true,
            Some(owner) => owner == self.mac,
            None => self.any_ip != 0 || is_link_local(address),
        };
        if allowed { Ok(()) } else { Err(DropReason::SourceIp) }
    }

    /// Sends what its packet has become back to the sender.
    #[inline(always)]
    pub(crate) fn give_back(&self, skb: Skb) -> Action {
        counters::delivered(self.port, self.vpn, skb.length());
        let port = maps::PORTS.get(self.port).copied().unwrap_or_default();
        match trunk::tag(skb, port) {
            Ok(()) => redirect(skb.interface()),
            Err(_) => TC_ACT_SHOT as Action,
        }
    }

    /// Whether a MAC address is behind the sender's own port.
    #[inline(always)]
    pub(crate) fn shares_port_with(&self, mac: Mac) -> bool {
        maps::fdb(self.vpn, mac).is_some_and(|target| switch::is_port(target) && target.id == self.port)
    }
}

/// Whether a frame is of another network that shares the port: what the instance knows of IP addresses holds for
/// untagged frames, and for those with a priority tag, whose VLAN identifier is zero (IEEE 802.1Q §9.6).
#[inline(always)]
pub(crate) fn is_in_vlan(skb: Skb) -> Result<bool, DropReason> {
    const IDENTIFIER: u16 = 0x0fff;
    let tag_follows = is_tag(skb.protocol());
    let control = match skb.tag() {
        Some((_, control)) => control,
        None if tag_follows => u16::from_be_bytes(skb.load(ETHERNET as u32)?),
        None => return Ok(false),
    };
    if control & IDENTIFIER != 0 {
        return Ok(true);
    }
    // A priority tag before another tag would hide a packet from the checks.
    if tag_follows { Err(DropReason::Malformed) } else { Ok(false) }
}

/// fe80::/10 (RFC 4291 §2.5.6).
#[inline(always)]
fn is_link_local(address: Address) -> bool {
    address[0] == 0xfe && address[1] & 0xc0 == 0x80
}
