//! Packet headers and their arithmetic: the part of the programs that needs no kernel, tested on the host.

#![cfg_attr(not(test), no_std)]

pub mod checksum;
pub mod ecn;
pub mod flow;
pub mod header;
pub mod mpls;
pub mod outer;
pub mod reply;
pub mod scope;
