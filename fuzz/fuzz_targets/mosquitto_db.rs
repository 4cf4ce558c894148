//! A file of mosquitto's: it is read, or is an error, and takes no more memory than some times its length.
//!
//! The first byte says whether what follows is all of it, or what stands behind the head of a version.
#![no_main]

use libfuzzer_sys::fuzz_target;

const HEAD: &[u8] = b"\0\xB5\0mosquitto db\0\0\0\0\0\0\0";

fuzz_target!(|data: &[u8]| {
    let [kind, rest @ ..] = data else { return };
    match kind % 3 {
        0 => mqtt_migrate::mosquitto_db::fuzz(rest),
        version => mqtt_migrate::mosquitto_db::fuzz(&[HEAD, &[4 + version], rest].concat()),
    }
});
