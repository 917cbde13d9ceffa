//! What happens to a speaker with two sessions, one thing after another.

#![no_main]

use bagpipe_fuzz::peers::Peers;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: &[u8]| {
    let Some((&kind, mut rest)) = input.split_first() else { return };
    let mut peers = Peers::new(kind & 1 != 0, kind & 2 != 0);
    while let Some((&[what, length], more)) = rest.split_first_chunk() {
        let (bytes, more) = more.split_at_checked(length.into()).unwrap_or((more, &[]));
        peers.step(what, bytes);
        rest = more;
    }
    peers.end();
});
