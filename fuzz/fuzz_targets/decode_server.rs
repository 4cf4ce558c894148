//! What a server reads. The first byte tells the version, or that CONNECT is still to come.
#![no_main]

use fuzz::{check, connected, version};
use libfuzzer_sys::fuzz_target;
use mqtt_codec::{Decoder, Role};

const MAX: u32 = 1 << 16;

fuzz_target!(|data: &[u8]| {
    match data {
        [first @ 0..3, rest @ ..] => check(&connected(version(*first), MAX), rest),
        [_, rest @ ..] => check(&Decoder::new(Role::Server, MAX), rest),
        [] => {}
    }
});
