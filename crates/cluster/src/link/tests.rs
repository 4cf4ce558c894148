use bytestring::ByteString;
use tokio::time::{Duration, Instant};

use super::*;

/// A generator of numbers that is the same each time.
struct Numbers(u64);

impl Numbers {
    fn next(&mut self, below: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % below
    }
}

#[test]
fn a_frame_comes_back_as_it_was() {
    let frame = Frame {
        from: ByteString::from("a@1"),
        epoch: 1,
        to_epoch: 2,
        position: 3,
        ack: Ack { received: 4, handled: 5, has_gap: true },
        offset: 6,
        data: "data".into(),
    };
    let bytes = frame.encode();
    assert_eq!(Frame::decode(bytes.clone()), Some(frame));
    for len in 0..bytes.len() - "data".len() {
        assert_eq!(Frame::decode(bytes.slice(..len)), None, "{len}");
    }
    let mut later = bytes.to_vec();
    later[0] += 1;
    assert_eq!(Frame::decode(later.into()), None);
}

/// Frames and answers get lost, are doubled and overtake each other: each piece comes once, in order, and all are handled in the end.
#[test]
fn pieces_come_once_and_in_order_whatever_happens_to_frames() {
    for seed in 1..100 {
        let mut numbers = Numbers(seed);
        let (mut out, mut incoming) = (Outgoing::default(), Incoming::default());
        let mut now = Instant::now();
        let (mut pushed, mut came) = (0_u32, 0_u32);
        let (mut frames, mut acks) = (Vec::new(), Vec::new());
        let all = 100;
        while out.pending() > 0 || pushed < all {
            if pushed < all && numbers.next(3) == 0 {
                let body = vec![pushed as u8; numbers.next(if seed % 20 == 0 { 600_000 } else { 300 }) as usize];
                out.push(&[&pushed.to_be_bytes(), &body]);
                pushed += 1;
            }
            now += Duration::from_millis(numbers.next(50));
            out.look(now);
            while let Some((offset, data)) = out.poll_data(now) {
                match numbers.next(5) {
                    0 => {}
                    1 => frames.extend([(offset, data.clone()), (offset, data)]),
                    2 => frames.insert(numbers.next(frames.len() as u64 + 1) as usize, (offset, data)),
                    _ => frames.push((offset, data)),
                }
            }
            for (offset, data) in frames.drain(..) {
                assert_ne!(incoming.take(offset, &data), Taken::Bad);
                while let Some(piece) = incoming.poll_piece() {
                    assert_eq!(piece[..4], came.to_be_bytes(), "seed {seed}");
                    assert!(piece[4..].iter().all(|byte| *byte == came as u8));
                    came += 1;
                }
                incoming.note_handled();
                acks.push(incoming.ack());
            }
            for ack in acks.drain(..) {
                if numbers.next(3) > 0 {
                    out.note_ack(ack, now);
                }
            }
        }
        assert_eq!((came, out.held(), out.handled()), (all, 0, out.end()), "seed {seed}");
    }
}

#[test]
fn who_says_that_more_has_arrived_than_was_sent_is_not_believed() {
    let (mut out, now) = (Outgoing::default(), Instant::now());
    out.push(&[b"piece"]);
    out.note_ack(Ack { received: 9, handled: 9, has_gap: false }, now);
    assert_eq!((out.pending(), out.handled()), (1, 0));
    let mut incoming = Incoming::default();
    assert_eq!(incoming.take(0, &u32::MAX.to_be_bytes()), Taken::Bad);
    assert_eq!(incoming.poll_piece(), None);
}

/// Else a message of 16 MiB would never be whole.
#[test]
fn a_piece_longer_than_the_window_gets_through() {
    let (mut out, mut incoming) = (Outgoing::default(), Incoming::default());
    let now = Instant::now();
    let body = vec![7; 16 << 20];
    let end = out.push(&[&body]);
    let mut rounds = 0;
    while out.handled() < end {
        while let Some((offset, data)) = out.poll_data(now) {
            incoming.take(offset, &data);
        }
        if let Some(piece) = incoming.poll_piece() {
            assert_eq!(piece, body);
            incoming.note_handled();
        }
        out.note_ack(incoming.ack(), now);
        rounds += 1;
        assert!(rounds < 100);
    }
}
