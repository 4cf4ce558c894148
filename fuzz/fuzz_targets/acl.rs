//! A file of rules of either kind, and a password file: each is read, or the line that is wrong is named.
//!
//! The first byte says what the rest is.
#![no_main]

use libfuzzer_sys::fuzz_target;
use mqtt_auth::PasswordFile;
use mqtt_auth::acl::{AclFile, Kind};

fuzz_target!(|data: &[u8]| {
    let [kind, text @ ..] = data else { return };
    let Ok(text) = str::from_utf8(text) else { return };
    let lines = text.lines().count() + 1;
    let wrong = match kind % 3 {
        0 => PasswordFile::parse(text).map(|file| assert!(file.len() <= lines)),
        // As it is, so that its kind is told too.
        1 => AclFile::parse(text, "f").map(|file| assert!(file.kind() == Kind::Emqx || !file.is_empty())),
        _ => AclFile::parse(&format!("{{allow, {text}}}."), "f").map(|file| assert_eq!(file.kind(), Kind::Emqx)),
    };
    if let Err(wrong) = wrong {
        assert!((1..=lines).contains(&wrong.line) && !wrong.why.is_empty(), "{wrong}");
    }
});
