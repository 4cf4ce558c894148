//! What a client reads. The first byte tells the version.
#![no_main]

use fuzz::{check, version};
use libfuzzer_sys::fuzz_target;
use mqtt_codec::{Decoder, Role};

fuzz_target!(|data: &[u8]| {
    if let [first, rest @ ..] = data {
        check(&Decoder::new(Role::Client(version(*first)), 1 << 16), rest);
    }
});
