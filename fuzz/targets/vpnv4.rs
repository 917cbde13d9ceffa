//! NLRI of the VPN-IPv4 family.

#![no_main]

use bagpipe_bgp::types::Family;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| bagpipe_fuzz::nlri_hold(Family::VPNV4, bytes));
