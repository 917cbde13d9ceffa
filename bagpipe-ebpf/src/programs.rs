//! The entry points, and what becomes of a dropped packet.

use aya_ebpf::bindings::{TC_ACT_SHOT, xdp_action};
use aya_ebpf::macros::{classifier, xdp};
use aya_ebpf::programs::{TcContext, XdpContext};
use bagpipe_common::DropReason;

use crate::skb::{Action, Skb};
use crate::{counters, port, underlay, xdp};

/// From a port: checks the source, answers ARP and ND, and switches.
#[classifier]
pub(crate) fn port_ingress(context: TcContext) -> i32 {
    let skb = Skb::new(&context);
    let length = skb.length();
    conclude(&context, port::ingress(skb), length)
}

/// From the underlay: decapsulates and delivers to ports; what is not for us goes on to the kernel.
#[classifier]
pub(crate) fn underlay_ingress(context: TcContext) -> i32 {
    let skb = Skb::new(&context);
    let length = skb.length();
    conclude(&context, underlay::ingress(skb), length)
}

/// What reaches the kernel's own tunnel device came in some other way than through an underlay interface.
#[classifier]
pub(crate) fn stray_ingress(context: TcContext) -> i32 {
    let length = Skb::new(&context).length();
    conclude(&context, Err(DropReason::StrayTunnel), length)
}

/// From the underlay, before the kernel makes a packet of it: decapsulates, so that the kernel merges segments
/// of the inner flows, and leaves the verdict to [`underlay_ingress`].
#[xdp(frags)]
pub(crate) fn underlay_xdp(context: XdpContext) -> u32 {
    match xdp::ingress(&context) {
        Ok(()) => xdp_action::XDP_PASS,
        Err((reason, length)) => {
            note(&context, reason, length);
            xdp_action::XDP_DROP
        }
    }
}

#[inline(always)]
fn conclude(context: &TcContext, result: Result<Action, DropReason>, length: u32) -> Action {
    match result {
        Ok(action) => action,
        Err(reason) => {
            note(context, reason, length);
            TC_ACT_SHOT as Action
        }
    }
}

/// Counts a drop, and with the feature `log` tells the agent's log of it.
#[cfg_attr(not(feature = "log"), allow(unused_variables))]
#[inline(always)]
pub(crate) fn note(context: &impl aya_ebpf::EbpfContext, reason: DropReason, length: u32) {
    counters::dropped(reason, length);
    #[cfg(feature = "log")]
    aya_log_ebpf::debug!(context, "{}", reason as u32);
}

#[panic_handler]
fn panic(_: &core::panic::PanicInfo<'_>) -> ! {
    loop {}
}

#[unsafe(link_section = "license")]
#[unsafe(no_mangle)]
static LICENSE: [u8; 4] = *b"GPL\0";
