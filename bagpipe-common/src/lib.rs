//! The ABI between the agent and the eBPF programs.
//!
//! Every map that the agent fills and a program reads has its key and value type here, and nothing else is
//! here. The types are plain C structs without padding, so that their bytes are compared by the kernel as they
//! stand and `bpftool map dump` prints them by name.
//!
//! Three rules keep a lookup consistent while the agent writes (a BPF map element may be overwritten under a
//! reader):
//!
//! * A value that changes in place is at most eight bytes and aligned, so that it is written at once.
//! * A larger value ([`Encap`], [`Adjacency`], [`Rule`]) is written once into a free slot, then a reference of at most eight bytes is moved to it.
//! * An object is written before what refers to it, and removed after.
//!
//! Addresses are sixteen bytes in network order; IPv4 is in its IPv4-mapped form (`::ffff:a.b.c.d`).

#![no_std]

mod counters;
mod forwarding;
mod keys;
pub mod limits;
mod routing;
mod underlay;

pub use counters::{Counters, Drop, DropReason};
pub use forwarding::{Neighbor, Port, TRUNK, Target, TargetKind, Vpn, neighbor_flags, port_flags};
pub use keys::{FdbKey, FloodKey, FloodScope, NeighborKey, TunnelKey, VlanKey};
pub use routing::{
    Adjacency, EndpointKey, GROUP_BUCKETS, Label, LabelKind, ROUTE_KEY_BITS, RouteKey, RoutePrefix, Router,
    Rule, router_flags, rule_flags,
};
pub use underlay::{Encap, Settings, Tunnel, encap_flags, settings_flags};

/// The version of everything in this crate. It names the directory that maps are pinned in, so an agent never
/// adopts maps of another layout.
pub const ABI_VERSION: u32 = 4;

/// An address as the maps hold it: sixteen bytes, IPv4 in its IPv4-mapped form.
pub type Address = [u8; 16];

/// The IPv4-mapped form (RFC 4291 §2.5.5.2) of an IPv4 address.
#[inline(always)]
#[must_use]
pub const fn mapped(ipv4: [u8; 4]) -> Address {
    // Put together as a number: from an array of zeros, the compiler for BPF makes a call that fills it by the byte.
    (0xffff_0000_0000 | u32::from_be_bytes(ipv4) as u128).to_be_bytes()
}

/// Marks the types of this crate as plain data for aya.
///
/// # Safety
/// Each type is `repr(C)`, `Copy`, has no padding (checked in each module's tests) and is valid for all bytes.
#[cfg(feature = "user")]
macro_rules! plain_data {
    ($($type:ty),* $(,)?) => { $(
        #[allow(unsafe_code, reason = "the map ABI: the type is repr(C) without padding, see the tests")]
        // SAFETY: see the macro's documentation.
        unsafe impl aya::Pod for $type {}
    )* };
}

#[cfg(feature = "user")]
plain_data!(
    Adjacency,
    Counters,
    Drop,
    Encap,
    EndpointKey,
    FdbKey,
    FloodKey,
    Label,
    Neighbor,
    NeighborKey,
    Port,
    RouteKey,
    RoutePrefix,
    Router,
    Rule,
    Settings,
    Target,
    Tunnel,
    TunnelKey,
    VlanKey,
    Vpn
);
