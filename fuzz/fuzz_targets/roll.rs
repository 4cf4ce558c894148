//! Batches of the roll, and snapshots of what it comes to: each is read or refused, and what was read is told by turns.
//!
//! The first byte says what the rest is: a snapshot with its sum put right, a batch as it is, or the records of one.
#![no_main]

use std::collections::HashMap;

use bytes::{Bytes, BytesMut};
use libfuzzer_sys::fuzz_target;
use mqtt_roll::{Effect, Fold, Head, Join, READS, Record};

fuzz_target!(|data: &[u8]| {
    let [kind, rest @ ..] = data else { return };
    let rest = Bytes::copy_from_slice(rest);
    match kind % 4 {
        0 => snapshot(rest),
        1 => {
            let mut fold = Fold::new();
            if fold.handle_batch(1, rest.clone()).is_err() {
                fold.pass_over(1, &rest).expect("nothing was read");
            }
            while fold.poll_effect().is_some() {}
        }
        _ => records(rest),
    }
});

/// Whatever it says, it does not break what reads on from there.
fn snapshot(bytes: Bytes) {
    let Ok(mut fold) = Fold::from_snapshot(&Fold::sum_snapshot(&bytes)) else { return };
    let same = fold.snapshot().expect("nothing is on its way");
    assert!(Fold::from_snapshot(&same).is_ok());
    let names: Vec<_> = fold.nodes().map(|node| (node.name.clone(), node.epoch, node.next)).collect();
    for (node, epoch, n) in names {
        let mut body = BytesMut::new();
        Record::Left { reason: Bytes::new() }.encode(&mut body);
        let Some(position) = fold.position().checked_add(1) else { return };
        let head = Head { node, epoch, n, beat: 0, at: 0 };
        fold.handle_batch(position, head.encode(&body)).expect("it is well formed");
        while fold.poll_effect().is_some() {}
    }
    assert_eq!(fold.online(), 0);
}

/// Two nodes say it, one after the other.
fn records(bytes: Bytes) {
    let mut fold = Fold::new();
    let mut is_on = HashMap::new();
    for (node, epoch) in [("a", 1), ("b", 2)] {
        for n in 0..3 {
            let mut body = BytesMut::new();
            match n {
                0 => Record::Join(Join { nonce: 0, addr: "".into(), versions: READS }).encode(&mut body),
                _ => body.extend_from_slice(&bytes),
            }
            let batch = Head { node: node.into(), epoch, n, beat: n, at: n }.encode(&body);
            if fold.handle_batch(fold.position() + 1, batch).is_err() {
                return;
            }
            while let Some(effect) = fold.poll_effect() {
                let (client, comes) = match effect {
                    Effect::Connected(on) => (on.client, true),
                    Effect::Disconnected(off) => (off.client, false),
                    _ => continue,
                };
                assert_ne!(is_on.insert(client, comes).unwrap_or_default(), comes);
            }
        }
    }
    let snapshot = fold.snapshot().expect("nothing is on its way");
    let same = Fold::from_snapshot(&snapshot).expect("it was written here");
    assert_eq!(same.snapshot(), Ok(snapshot));
}
