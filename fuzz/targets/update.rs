//! The body of an UPDATE.

#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: &[u8]| {
    if let Some((context, body)) = bagpipe_fuzz::context(input) {
        bagpipe_fuzz::stream_holds(&bagpipe_fuzz::message(2, body), &context);
    }
});
