//! A stream of messages of any type.

#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: &[u8]| {
    if let Some((context, bytes)) = bagpipe_fuzz::context(input) {
        bagpipe_fuzz::stream_holds(bytes, &context);
    }
});
