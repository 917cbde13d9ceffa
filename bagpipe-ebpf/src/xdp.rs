//! From the underlay, at the XDP hook: removes the outer headers and leaves the verdict before the packet.

use aya_ebpf::helpers::generated::{bpf_xdp_adjust_head, bpf_xdp_adjust_meta, bpf_xdp_get_buff_len};
use aya_ebpf::programs::XdpContext;
use bagpipe_common::{DropReason, Target};
use bagpipe_packet::header::Ipv4;

use crate::bytes::{self, Bytes};
use crate::switch;
use crate::tunnel::{self, Congestion, Inner};

/// What the XDP program tells the TC program: bytes before the packet. The kernel merges segments only where
/// these are equal.
#[repr(C, align(2))]
#[derive(Clone, Copy)]
pub(crate) struct Verdict {
    magic: [u8; 4],
    vpn: [u8; 2],
    zero: [u8; 2],
    kind: u8,
    vni: [u8; 3],
    id: [u8; 4],
}

/// Marks metadata as ours.
const MAGIC: [u8; 4] = *b"bpvd";

impl Verdict {
    #[inline(always)]
    fn new(vpn: u16, target: Target) -> Self {
        let Target { kind, vni, id } = target;
        Self { magic: MAGIC, vpn: vpn.to_ne_bytes(), zero: [0; 2], kind, vni, id: id.to_ne_bytes() }
    }

    /// The instance and the target, if these bytes are a verdict. It is one no longer then: the packet may go through
    /// a port to another node, inside this machine, and that one is not to believe it.
    #[inline(always)]
    pub(crate) fn take(&mut self) -> Option<(u16, Target)> {
        if self.magic != MAGIC {
            return None;
        }
        self.magic = [0; 4];
        let target = Target { kind: self.kind, vni: self.vni, id: u32::from_ne_bytes(self.id) };
        Some((u16::from_ne_bytes(self.vpn), target))
    }
}

/// See [`crate::programs::underlay_xdp`]. The error has the length of the packet as it came.
#[inline(always)]
pub(crate) fn ingress(context: &XdpContext) -> Result<(), (DropReason, u32)> {
    // SAFETY: the context of this program run.
    let length = unsafe { bpf_xdp_get_buff_len(context.ctx) } as u32;
    decapsulate(context, length).map_err(|reason| (reason, length))
}

#[inline(always)]
fn decapsulate(context: &XdpContext, length: u32) -> Result<(), DropReason> {
    // SAFETY: the context of this program run.
    let xdp = unsafe { &*context.ctx };
    let packet = Bytes::new(bytes::address(&xdp.data), bytes::address(&xdp.data_end));
    let Some(arrival) = tunnel::arrival(packet, length)? else { return Ok(()) };
    let inner = Inner::read(packet, arrival.outer)?;
    let target = switch::target_from_tunnel(arrival.vpn, inner.ethernet.destination)?;
    let network = arrival.outer + inner.link_length();
    match inner.congestion(packet, network, arrival.traffic_class)? {
        Congestion::Unchanged => {}
        Congestion::Ipv4(first, checksum) => {
            write(packet, network, first)?;
            write(packet, network + core::mem::offset_of!(Ipv4, checksum), checksum)?;
        }
        Congestion::Ipv6(first) => write(packet, network, first)?,
    }
    // SAFETY: the context of this program run.
    if unsafe { bpf_xdp_adjust_head(context.ctx, arrival.outer as i32) } != 0 {
        return Err(DropReason::Encapsulation);
    }
    // SAFETY: the context of this program run.
    if unsafe { bpf_xdp_adjust_meta(context.ctx, -(size_of::<Verdict>() as i32)) } != 0 {
        return Err(DropReason::Encapsulation);
    }
    let metadata = Bytes::new(bytes::address(&xdp.data_meta), bytes::address(&xdp.data));
    write(metadata, 0, Verdict::new(arrival.vpn, target))
}

/// Overwrites bytes of the packet or of its metadata.
#[inline(always)]
fn write<T: 'static>(bytes: Bytes, offset: usize, value: T) -> Result<(), DropReason> {
    let place = bytes.at::<T>(offset).ok_or(DropReason::Malformed)?;
    // SAFETY: inside the packet, which the verifier checks again; no other reference is in use.
    unsafe { core::ptr::from_ref(place).cast_mut().write(value) };
    Ok(())
}
