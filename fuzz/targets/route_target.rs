//! NLRI of the route target membership family.

#![no_main]

use bagpipe_bgp::types::Family;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| bagpipe_fuzz::nlri_hold(Family::ROUTE_TARGET, bytes));
