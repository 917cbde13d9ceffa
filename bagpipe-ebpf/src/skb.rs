//! The kernel's packet at the TC hook: thin wrappers of the helpers.

use core::ptr;

use aya_ebpf::bindings::{
    __sk_buff, BPF_CSUM_LEVEL_DEC, BPF_F_ADJ_ROOM_FIXED_GSO, BPF_F_RECOMPUTE_CSUM,
    bpf_adj_room_mode::BPF_ADJ_ROOM_MAC, bpf_redir_neigh,
};
use aya_ebpf::helpers::generated as helper;
use aya_ebpf::programs::TcContext;
use bagpipe_common::DropReason;
use bagpipe_packet::header::{ETHERNET, Ipv6, Tag, ethertype};

use crate::bytes::{self, Bytes};

/// The kernel's number for a packet to the interface's own address.
const PACKET_HOST: u32 = 0;

/// What a program answers: `TCX_NEXT`, `TC_ACT_SHOT` or what a redirect helper returned.
pub(crate) type Action = i32;

/// A packet at the TC hook.
#[derive(Clone, Copy)]
pub(crate) struct Skb(*mut __sk_buff);

impl Skb {
    #[inline(always)]
    pub(crate) fn new(context: &TcContext) -> Self {
        Self(context.skb.skb)
    }

    /// The packet of a stage.
    #[inline(always)]
    pub(crate) const fn from_raw(raw: *mut __sk_buff) -> Self {
        Self(raw)
    }

    /// The packet for a stage.
    #[inline(always)]
    pub(crate) const fn as_raw(self) -> *mut __sk_buff {
        self.0
    }

    #[inline(always)]
    fn raw(&self) -> &__sk_buff {
        // SAFETY: the context of this program run.
        unsafe { &*self.0 }
    }

    /// Bytes from the Ethernet header on, without a tag that is kept aside.
    #[inline(always)]
    pub(crate) fn length(self) -> u32 {
        self.raw().len
    }

    /// The interface that the packet came in on.
    #[inline(always)]
    pub(crate) fn interface(self) -> u32 {
        self.raw().ifindex
    }

    /// Whether the destination of the Ethernet header is the interface's own address.
    #[inline(always)]
    pub(crate) fn is_for_us(self) -> bool {
        self.raw().pkt_type == PACKET_HOST
    }

    /// Payload bytes in each segment of a packet to be segmented, else zero.
    #[inline(always)]
    pub(crate) fn gso_size(self) -> u32 {
        self.raw().gso_size
    }

    /// The EtherType that the kernel believes follows the Ethernet header.
    #[inline(always)]
    pub(crate) fn protocol(self) -> u16 {
        u16::from_be(self.raw().protocol as u16)
    }

    /// The outermost VLAN tag, which the kernel keeps beside the packet: EtherType and control.
    #[inline(always)]
    pub(crate) fn tag(self) -> Option<(u16, u16)> {
        let skb = self.raw();
        (skb.vlan_present != 0).then(|| (u16::from_be(skb.vlan_proto as u16), skb.vlan_tci as u16))
    }

    /// The bytes that can be read directly.
    #[inline(always)]
    pub(crate) fn bytes(self) -> Bytes {
        let skb = self.raw();
        Bytes::new(bytes::address(&skb.data), bytes::address(&skb.data_end))
    }

    /// What an XDP program left before the packet.
    #[inline(always)]
    pub(crate) fn metadata(self) -> Bytes {
        let skb = self.raw();
        Bytes::new(bytes::address(&skb.data_meta), bytes::address(&skb.data))
    }

    /// The header at `offset`, made readable if it is there.
    #[inline(always)]
    pub(crate) fn header<T>(self, offset: usize) -> Result<&'static T, DropReason> {
        if let Some(header) = self.bytes().at(offset) {
            return Ok(header);
        }
        self.pull((offset + size_of::<T>()) as u32);
        self.bytes().at(offset).ok_or(DropReason::Malformed)
    }

    /// Makes the first `length` bytes readable, if the packet has as many.
    #[inline(always)]
    pub(crate) fn pull(self, length: u32) {
        // SAFETY: the context of this program run. Failure shows when the bytes are read.
        unsafe { helper::bpf_skb_pull_data(self.0, length) };
    }

    /// Copies bytes from anywhere in the packet.
    #[inline(always)]
    pub(crate) fn load<const N: usize>(self, offset: u32) -> Result<[u8; N], DropReason> {
        let mut bytes = [0; N];
        self.load_into(offset, &mut bytes)?;
        Ok(bytes)
    }

    /// Copies bytes from anywhere in the packet.
    #[inline(always)]
    pub(crate) fn load_into<const N: usize>(
        self,
        offset: u32,
        bytes: &mut [u8; N],
    ) -> Result<(), DropReason> {
        // SAFETY: the helper writes N bytes or none.
        let result =
            unsafe { helper::bpf_skb_load_bytes(self.0.cast(), offset, bytes.as_mut_ptr().cast(), N as u32) };
        if result == 0 { Ok(()) } else { Err(DropReason::Malformed) }
    }

    /// Copies bytes from anywhere in the packet, a number that only the program run knows.
    ///
    /// # Safety
    /// There is room for as many.
    #[inline(always)]
    pub(crate) unsafe fn load_some(self, offset: u32, bytes: *mut u8, length: u32) -> Result<(), DropReason> {
        // SAFETY: as required from the caller.
        let result = unsafe { helper::bpf_skb_load_bytes(self.0.cast(), offset, bytes.cast(), length) };
        if result == 0 { Ok(()) } else { Err(DropReason::Malformed) }
    }

    /// Writes bytes, a number that only the program run knows, as [`Skb::store_summed`] does.
    ///
    /// # Safety
    /// There are as many.
    #[inline(always)]
    pub(crate) unsafe fn store_some(
        self,
        offset: u32,
        bytes: *const u8,
        length: u32,
    ) -> Result<(), DropReason> {
        let flags = u64::from(BPF_F_RECOMPUTE_CSUM);
        // SAFETY: as required from the caller.
        let result =
            unsafe { helper::bpf_skb_store_bytes(self.0.cast(), offset, bytes.cast(), length, flags) };
        if result == 0 { Ok(()) } else { Err(DropReason::Encapsulation) }
    }

    /// Writes a header (made of bytes) into the Ethernet header or before what the kernel has a checksum of.
    #[inline(always)]
    pub(crate) fn store<T>(self, offset: u32, header: &T) -> Result<(), DropReason> {
        self.store_with(offset, header, size_of::<T>() as u32, 0)
    }

    /// Writes a header (made of bytes) as [`Skb::store`] does, without a call: where the kernel has just made or moved
    /// headers, they can be written directly.
    #[inline(always)]
    pub(crate) fn write<T: 'static>(self, offset: usize, header: T) -> Result<(), DropReason> {
        *self.bytes().at_mut(offset).ok_or(DropReason::Encapsulation)? = header;
        Ok(())
    }

    /// Writes a header (made of bytes) and updates the checksum of the whole packet that the NIC gave.
    #[inline(always)]
    pub(crate) fn store_summed<T>(self, offset: u32, header: &T) -> Result<(), DropReason> {
        self.store_with(offset, header, size_of::<T>() as u32, BPF_F_RECOMPUTE_CSUM.into())
    }

    #[inline(always)]
    fn store_with<T>(self, offset: u32, header: &T, length: u32, flags: u64) -> Result<(), DropReason> {
        const { assert!(align_of::<T>() <= 2) };
        // SAFETY: the helper reads the header's bytes.
        let result = unsafe {
            helper::bpf_skb_store_bytes(self.0.cast(), offset, ptr::from_ref(header).cast(), length, flags)
        };
        if result == 0 { Ok(()) } else { Err(DropReason::Encapsulation) }
    }

    /// Inserts (or removes) room behind the Ethernet header. The error is the kernel's number.
    #[inline(always)]
    pub(crate) fn adjust_room(self, difference: i32, flags: u64) -> Result<(), i32> {
        // SAFETY: the context of this program run.
        let result = unsafe { helper::bpf_skb_adjust_room(self.0, difference, BPF_ADJ_ROOM_MAC, flags) };
        if result == 0 { Ok(()) } else { Err(result as i32) }
    }

    /// Makes room before the Ethernet header. What was before the network header is then one longer link header.
    #[inline(always)]
    pub(crate) fn lengthen_link(self, length: u32) -> Result<(), DropReason> {
        // SAFETY: the context of this program run.
        let result = unsafe { helper::bpf_skb_change_head(self.0, length, 0) };
        if result == 0 { Ok(()) } else { Err(DropReason::Encapsulation) }
    }

    /// Cuts or zero-fills the packet to a length, dropping segmentation.
    #[inline(always)]
    pub(crate) fn change_tail(self, length: u32) -> Result<(), DropReason> {
        // SAFETY: the context of this program run.
        let result = unsafe { helper::bpf_skb_change_tail(self.0, length, 0) };
        if result == 0 { Ok(()) } else { Err(DropReason::Encapsulation) }
    }

    /// Makes the IP packet a blank one of `length` bytes, to be written anew: with no segments, and with no checksum
    /// left for a NIC to complete.
    ///
    /// The kernel forgets a checksum to complete when its place is cut off, so there must be more before.
    #[inline(always)]
    pub(crate) fn renew(self, length: u32) -> Result<(), DropReason> {
        const CUT: u32 = 256;
        if self.change_tail(length + CUT).is_err() {
            return self.renew_head(length);
        }
        self.adjust_room(-(CUT as i32), BPF_F_ADJ_ROOM_FIXED_GSO.into())
            .map_err(|_| DropReason::Encapsulation)
    }

    /// The kernel leaves the tail alone of what it takes for a tunnel's packet, even after that was taken out of the
    /// tunnel. So its head is cut off instead, all but what must remain, and then lengthened. The segments would remain.
    #[inline(always)]
    fn renew_head(self, length: u32) -> Result<(), DropReason> {
        /// Ethernet and the longer IP header.
        const LEAST: u32 = (ETHERNET + size_of::<Ipv6>()) as u32;
        /// What the kernel cuts off at once.
        const MOST: u32 = 0xfff;
        if self.gso_size() != 0 {
            return Err(DropReason::Encapsulation);
        }
        let spare = self.length().saturating_sub(LEAST).min(MOST);
        self.adjust_room(-(spare as i32), 0).map_err(|_| DropReason::Encapsulation)?;
        let difference = length as i32 - self.length() as i32;
        self.adjust_room(difference, 0).map_err(|_| DropReason::Encapsulation)
    }

    /// Forgets that a NIC verified the outer checksum: what is left is said of the inner one.
    #[inline(always)]
    pub(crate) fn outer_checksum_done(self) {
        // SAFETY: the context of this program run. Fails harmlessly where there is nothing to forget.
        unsafe { helper::bpf_csum_level(self.0, BPF_CSUM_LEVEL_DEC.into()) };
    }

    /// Puts a VLAN tag in front.
    #[inline(always)]
    pub(crate) fn push_tag(self, kind: u16, control: u16) -> Result<(), DropReason> {
        // SAFETY: the context of this program run.
        let result = unsafe { helper::bpf_skb_vlan_push(self.0, kind.to_be(), control) };
        if result == 0 { Ok(()) } else { Err(DropReason::Encapsulation) }
    }

    /// Removes the outermost VLAN tag; the next one, if any, is then kept aside.
    #[inline(always)]
    pub(crate) fn pop_tag(self) -> Result<(), DropReason> {
        // SAFETY: the context of this program run.
        let result = unsafe { helper::bpf_skb_vlan_pop(self.0) };
        if result == 0 { Ok(()) } else { Err(DropReason::Encapsulation) }
    }

    /// Makes the kernel believe that an untagged frame is of this EtherType, which no helper does directly:
    /// removing a tag inside the packet makes it read the EtherType behind.
    ///
    /// Writes the EtherType into the frame, too.
    #[inline(always)]
    pub(crate) fn set_protocol(self, kind: u16) -> Result<(), DropReason> {
        self.push_tag(ethertype::C_TAG, 0)?;
        self.push_tag(ethertype::C_TAG, 0)?;
        self.store((ETHERNET + size_of::<Tag>() - 2) as u32, &kind.to_be_bytes())?;
        self.pop_tag()?;
        self.pop_tag()
    }

    /// A hash of the flow.
    #[inline(always)]
    pub(crate) fn flow_hash(self) -> u32 {
        // SAFETY: the context of this program run.
        unsafe { helper::bpf_get_hash_recalc(self.0) }
    }

    /// Sends a copy out of an interface. Says whether the interface took it.
    #[inline(always)]
    pub(crate) fn clone_to(self, interface: u32) -> bool {
        // SAFETY: the context of this program run.
        unsafe { helper::bpf_clone_redirect(self.0, interface, 0) >= 0 }
    }
}

/// Sends the packet out of an interface.
#[inline(always)]
pub(crate) fn redirect(interface: u32) -> Action {
    // SAFETY: no pointer is passed.
    unsafe { helper::bpf_redirect(interface, 0) as Action }
}

/// Hands the packet to the other end of a veth, in another network namespace, as if it had just arrived there.
#[inline(always)]
pub(crate) fn redirect_peer(interface: u32) -> Action {
    // SAFETY: no pointer is passed.
    unsafe { helper::bpf_redirect_peer(interface, 0) as Action }
}

/// Sends the packet to a gateway; the kernel resolves its Ethernet address and writes the Ethernet header.
#[inline(always)]
pub(crate) fn redirect_neighbor(interface: u32, gateway: &mut bpf_redir_neigh) -> Action {
    let length = size_of::<bpf_redir_neigh>() as i32;
    // SAFETY: the helper reads the structure.
    unsafe { helper::bpf_redirect_neigh(interface, gateway, length, 0) as Action }
}
