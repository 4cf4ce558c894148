//! WebSocket's frames, cut in two ways, and requests: the same is heard however they are cut.
//!
//! The first byte says which of both the rest is, the second how it is cut.
#![no_main]

use std::net::IpAddr;

use bytes::BytesMut;
use libfuzzer_sys::fuzz_target;
use mqtt_net::fuzz::{Frames, Heard, request};
use mqtt_net::{Origins, Proxies, Upgrade};

fuzz_target!(|data: &[u8]| {
    let [kind, cut, bytes @ ..] = data else { return };
    match kind % 3 {
        0 => frames(bytes, usize::from(*cut) + 1),
        1 => requests(bytes, usize::from(*cut)),
        // With all that it wants, so that the rest is looked at too.
        _ => requests(&[GOOD, bytes].concat(), GOOD.len() + usize::from(*cut)),
    }
});

/// A request that lacks its end.
const GOOD: &[u8] = b"GET /mqtt HTTP/1.1\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n\
    Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Protocol: mqtt\r\n";

/// What stands before what is read.
const KEPT: &[u8] = b"kept";

fn frames(bytes: &[u8], size: usize) {
    let (whole, all) = hear(bytes, bytes.len().max(1));
    let (cut, parts) = hear(bytes, size);
    assert!(whole == cut && all == parts, "{all:?} and {parts:?}");
    assert!(whole.len() == KEPT.len() + all.bytes && all.bytes <= bytes.len());
}

/// What is heard if so much of it comes at a time.
fn hear(bytes: &[u8], size: usize) -> (BytesMut, Heard) {
    let (mut frames, mut input) = (Frames::default(), BytesMut::from(KEPT));
    let mut all = Heard { bytes: 0, pings: 0, end: None };
    for part in bytes.chunks(size) {
        let start = input.len();
        input.extend_from_slice(part);
        let heard = frames.take(&mut input, start);
        assert_eq!(input.len(), start + heard.bytes);
        if all.end.is_some() {
            assert_eq!(heard, Heard { bytes: 0, pings: 0, end: all.end }, "nothing is looked at behind the end");
        }
        all.bytes += heard.bytes;
        all.pings += heard.pings;
        all.end = heard.end;
    }
    assert!(input.starts_with(KEPT), "what stood before is left alone");
    (input, all)
}

fn requests(bytes: &[u8], cut: usize) {
    let proxies = Proxies::new(vec!["10.0.0.0/8".parse().expect("a network")]);
    let wanted = Upgrade { path: "/mqtt".into(), origins: Origins::Local, forwarded_from: proxies };
    let ask = |bytes: &[u8]| request(bytes, &wanted, IpAddr::from([10, 0, 0, 1]));
    let answer = ask(bytes);
    if let Ok(Some((length, _))) = answer {
        assert!(length <= bytes.len());
        assert_eq!(ask(&bytes[..length]), answer, "what follows belongs to others");
    }
    // A byte at a time it comes to the same.
    if let decided @ (Err(_) | Ok(Some(_))) = ask(&bytes[..cut.min(bytes.len())]) {
        assert_eq!(decided, answer);
    }
}
