//! Counting: plain additions to this CPU's values.

use aya_ebpf::btf_maps::PerCpuArray;
use bagpipe_common::{Counters, DropReason};

use crate::maps::{DROPS, PORT_STATS, VPN_STATS};

/// Counts a frame that came from a port.
#[inline(always)]
pub(crate) fn received(port: u32, vpn: u16, bytes: u32) {
    add_received(&PORT_STATS, port, bytes);
    add_received(&VPN_STATS, vpn.into(), bytes);
}

/// Counts a frame delivered to a port.
#[inline(always)]
pub(crate) fn delivered(port: u32, vpn: u16, bytes: u32) {
    add_delivered(&PORT_STATS, port, bytes);
    add_delivered(&VPN_STATS, vpn.into(), bytes);
}

/// Counts a dropped packet.
#[inline(always)]
pub(crate) fn dropped(reason: DropReason, bytes: u32) {
    if let Some(drop) = DROPS.get_ptr_mut(reason as u32) {
        // SAFETY: the value is this CPU's own.
        unsafe {
            (*drop).packets += 1;
            (*drop).bytes += u64::from(bytes);
        }
    }
}

#[inline(always)]
fn add_received<const N: usize>(map: &PerCpuArray<Counters, N>, index: u32, bytes: u32) {
    if let Some(counters) = map.get_ptr_mut(index) {
        // SAFETY: the value is this CPU's own.
        unsafe {
            (*counters).rx_packets += 1;
            (*counters).rx_bytes += u64::from(bytes);
        }
    }
}

#[inline(always)]
fn add_delivered<const N: usize>(map: &PerCpuArray<Counters, N>, index: u32, bytes: u32) {
    if let Some(counters) = map.get_ptr_mut(index) {
        // SAFETY: the value is this CPU's own.
        unsafe {
            (*counters).tx_packets += 1;
            (*counters).tx_bytes += u64::from(bytes);
        }
    }
}
