//! Names in a client's certificate: what is no certificate has none, and a name is one that can be written down.
//!
//! By itself the fuzzer would hardly find what looks like a certificate. So after three bytes, which say where and how much is
//! replaced, comes what stands in a good one there instead; with 255 for the first of them it is all there is.
#![no_main]

use libfuzzer_sys::fuzz_target;
use mqtt_net::Named;
use mqtt_net::fuzz::{end_of, name_of};

const GOOD: &[u8] = include_bytes!("../seeds/certificate.der");

fuzz_target!(|data: &[u8]| {
    match data {
        [255, certificate @ ..] => check(certificate),
        [high, low, length, instead @ ..] => {
            let from = usize::from(u16::from_be_bytes([*high, *low])) % GOOD.len();
            let to = (from + usize::from(*length)).min(GOOD.len());
            check(&[&GOOD[..from], instead, &GOOD[to..]].concat());
        }
        _ => {}
    }
});

fn check(certificate: &[u8]) {
    let _ = end_of(certificate);
    for named in [Named::CommonName, Named::Subject, Named::Dns, Named::Uri] {
        if let Some(name) = name_of(certificate, named) {
            assert!(!name.is_empty() && !name.contains('\0'), "{name:?}");
            assert!(end_of(certificate).is_some(), "{named:?}: {name:?} of what is no certificate");
        }
    }
    assert_eq!(name_of(certificate, Named::Fingerprint).map(|digits| digits.len()), Some(64));
}
