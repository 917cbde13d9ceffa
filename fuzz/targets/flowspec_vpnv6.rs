//! NLRI of the family of flow specifications of VPNs, IPv6.

#![no_main]

use bagpipe_bgp::types::Family;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| bagpipe_fuzz::nlri_hold(Family::FLOWSPEC_VPNV6, bytes));
