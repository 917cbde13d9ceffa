//! How many ICMP errors are sent: no more than help, whatever makes them needed (RFC 1812 §4.3.2.8, RFC 4443 §2.4 f).

use aya_ebpf::helpers::generated::bpf_ktime_get_ns;

use crate::maps::BUDGET;

/// Time that one error takes up: a thousand errors in a second.
const EACH: u64 = 1_000_000;
/// Time that may be saved up: a thousand errors at once, of as many flows that learn of a smaller path together.
const MOST: u64 = 1_000 * EACH;

/// What this CPU may spend.
#[repr(C)]
#[derive(Clone, Copy)]
pub(crate) struct Budget {
    /// Nanoseconds saved up.
    saved: u64,
    /// When they were counted, in nanoseconds since the machine started.
    counted: u64,
}

/// Whether this CPU may send an error now; if so, it has.
#[inline(always)]
pub(crate) fn spend() -> bool {
    let Some(budget) = BUDGET.get_ptr_mut(0) else { return false };
    // SAFETY: no pointer is passed.
    let now = unsafe { bpf_ktime_get_ns() };
    // SAFETY: the value is this CPU's own.
    let budget = unsafe { &mut *budget };
    let saved = budget.saved.saturating_add(now.wrapping_sub(budget.counted)).min(MOST);
    budget.counted = now;
    budget.saved = saved.saturating_sub(EACH);
    saved >= EACH
}
