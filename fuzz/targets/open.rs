//! The body of an OPEN.

#![no_main]

use bagpipe_bgp::wire::Context;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|body: &[u8]| bagpipe_fuzz::stream_holds(&bagpipe_fuzz::message(1, body), &Context::default()));
