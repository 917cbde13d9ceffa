//! The GRE checksum, which covers header and payload (RFC 2784 §2.5).

use core::ffi::c_void;

use aya_ebpf::helpers::generated::bpf_loop;
use bagpipe_packet::checksum;

use crate::skb::Skb;

/// Bytes that are summed at once, as few as the stack takes, before the rest is summed by the word.
const CHUNK: usize = 16;
/// More chunks, or words, than any packet has.
const MANY: u32 = (u16::MAX as usize / CHUNK) as u32 + 1;

/// A sum on its way through a packet.
struct Sum {
    skb: Skb,
    at: u32,
    left: u32,
    value: u64,
}

/// Whether the checksum of the GRE packet of `length` bytes at an offset is right.
#[inline(always)]
pub(crate) fn is_sum_right(skb: Skb, at: usize, length: u32) -> bool {
    // Segments do not have theirs yet: they have not left the machine that makes them.
    if skb.gso_size() != 0 {
        return true;
    }
    let mut sum = Sum { skb, at: at as u32, left: length, value: 0 };
    repeat(add::<CHUNK> as *mut c_void, &mut sum);
    repeat(add::<2> as *mut c_void, &mut sum);
    if sum.left == 1 {
        let Ok([last]) = skb.load(sum.at) else { return false };
        sum.value += u64::from(last) << 8;
        sum.left = 0;
    }
    sum.left == 0 && checksum::fold(sum.value) == 0xffff
}

#[inline(always)]
fn repeat(body: *mut c_void, sum: &mut Sum) {
    // SAFETY: the kernel calls `body` with an index and the sum, which outlives the loop.
    unsafe { bpf_loop(MANY, body, core::ptr::from_mut(sum).cast(), 0) };
}

/// Adds the next bytes. Returns zero to go on.
extern "C" fn add<const N: usize>(_: u32, sum: *mut Sum) -> i64 {
    // SAFETY: `repeat` passed it.
    let sum = unsafe { &mut *sum };
    if sum.left < N as u32 {
        return 1;
    }
    let Ok(bytes) = sum.skb.load::<N>(sum.at) else { return 1 };
    sum.value += checksum::sum(&bytes);
    sum.at += N as u32;
    sum.left -= N as u32;
    0
}
