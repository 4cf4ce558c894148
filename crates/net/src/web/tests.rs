use proptest::prelude::*;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use super::*;
use crate::Pipe;
use crate::web::frame::Frames;

const MASK: [u8; 4] = [0x37, 0xfa, 0x21, 0x3d];

/// A frame as a client sends it.
fn frame(head: u8, payload: &[u8]) -> Vec<u8> {
    let mut bytes = vec![head];
    match payload.len() {
        short @ 0..126 => bytes.push(0x80 | short as u8),
        middle @ 126..0x1_0000 => {
            bytes.push(0x80 | 126);
            bytes.extend((middle as u16).to_be_bytes());
        }
        long => {
            bytes.push(0x80 | 127);
            bytes.extend((long as u64).to_be_bytes());
        }
    }
    bytes.extend(MASK);
    bytes.extend(payload.iter().zip(MASK.iter().cycle()).map(|(byte, mask)| byte ^ mask));
    bytes
}

const WHOLE: u8 = frame::FINAL | frame::BINARY;

fn take(bytes: &[u8]) -> (Vec<u8>, usize, Option<Close>) {
    let (mut frames, mut input) = (Frames::default(), BytesMut::from(bytes));
    let heard = frames.take(&mut input, 0);
    assert_eq!(heard.bytes, input.len());
    (input.to_vec(), heard.pings, heard.end)
}

#[test]
fn what_rfc_6455_forbids_ends_it() {
    #[track_caller]
    fn check(bytes: &[u8], code: u16) {
        assert_eq!(take(bytes).2.map(Close::code), Some(code), "{bytes:02x?}");
    }
    check(&[WHOLE, 1, 7], 1002); // no mask
    check(&frame(WHOLE | 0x40, b"x"), 1002); // a reserved bit
    check(&frame(0x80 | 3, b"x"), 1002);
    check(&frame(0x80 | 11, b"x"), 1002);
    check(&frame(0x80, b"x"), 1002); // goes on with nothing
    check(&[frame(2, b"x"), frame(WHOLE, b"y")].concat(), 1002);
    check(&frame(9, b"x"), 1002); // a ping that is cut
    check(&frame(0x89, &[0; 126]), 1002);
    check(&frame(0x88, &[3]), 1002);
    check(&frame(0x88, &999_u16.to_be_bytes()), 1002);
    check(&frame(0x88, &1005_u16.to_be_bytes()), 1002);
    check(&frame(0x88, &[3, 0xe8, 0xff]), 1002);
    check(&[WHOLE, 0x80 | 126, 0, 125, 0, 0, 0, 0], 1002); // not the shortest length
    check(&[WHOLE, 0x80 | 127, 0xff, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0], 1002);
    check(&frame(0x81, b"text"), 1003);
    check(&frame(0x88, &[]), 1000);
    check(&frame(0x88, &1001_u16.to_be_bytes()), 1000);
}

#[test]
fn what_came_before_the_end_counts() {
    let bytes = [frame(WHOLE, b"last words"), frame(0x88, &[]), frame(WHOLE, b"never")].concat();
    assert_eq!(take(&bytes), (b"last words".to_vec(), 0, Some(Close::Normal)));
}

#[derive(Clone, Debug)]
enum Sent {
    Message(Vec<Vec<u8>>),
    Ping(Vec<u8>),
    Pong(Vec<u8>),
}

fn sent() -> impl Strategy<Value = Sent> {
    let bytes = |most| prop::collection::vec(any::<u8>(), 0..most);
    prop_oneof![
        prop::collection::vec(bytes(300), 1..4).prop_map(Sent::Message),
        bytes(70_000).prop_map(|bytes| Sent::Message(vec![bytes])),
        bytes(125).prop_map(Sent::Ping),
        bytes(125).prop_map(Sent::Pong),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn however_it_is_cut_the_same_is_heard(all in prop::collection::vec(sent(), 0..8), cuts in prop::collection::vec(1..5000_usize, 1..20)) {
        let (mut wire, mut wanted, mut wanted_pings) = (Vec::new(), Vec::new(), 0);
        for sent in &all {
            match sent {
                Sent::Message(parts) => for (at, part) in parts.iter().enumerate() {
                    let kind = if at == 0 { frame::BINARY } else { 0 };
                    let end = if at + 1 == parts.len() { frame::FINAL } else { 0 };
                    wire.extend(frame(kind | end, part));
                    // A control frame may stand between the frames of a message.
                    wire.extend(frame(0x8a, b"!"));
                    wanted.extend(part);
                },
                Sent::Ping(payload) => { wire.extend(frame(0x89, payload)); wanted_pings += 1; }
                Sent::Pong(payload) => wire.extend(frame(0x8a, payload)),
            }
        }
        let (mut frames, mut heard, mut pings) = (Frames::default(), b"kept".to_vec(), 0);
        let mut cuts = cuts.iter().cycle();
        let mut rest = &wire[..];
        while !rest.is_empty() {
            let (part, after) = rest.split_at(rest.len().min(*cuts.next().unwrap()));
            let mut input = BytesMut::from(&heard[..]);
            input.extend_from_slice(part);
            let taken = frames.take(&mut input, heard.len());
            prop_assert_eq!(taken.end, None);
            prop_assert_eq!(input.len(), heard.len() + taken.bytes);
            heard = input.to_vec();
            pings += taken.pings;
            rest = after;
        }
        prop_assert_eq!(&heard[4..], &wanted[..]);
        prop_assert_eq!(pings, wanted_pings);
    }
}

fn pair() -> (Web<Pipe>, Pipe) {
    let (ours, theirs) = Pipe::pair();
    (Web::new(ours, Vec::new()), theirs)
}

#[tokio::test]
async fn one_write_is_one_frame_and_a_ping_is_answered() {
    let (web, mut peer) = pair();
    let parts = [IoSlice::new(b"one "), IoSlice::new(b"frame")];
    assert_eq!(web.try_send(&parts).unwrap(), 9);
    let mut read = [0; 11];
    peer.read_exact(&mut read).await.unwrap();
    assert_eq!(&read, b"\x82\x09one frame");
    peer.write_all(&frame(0x89, b"you?")).await.unwrap();
    peer.write_all(&frame(0x89, &[])).await.unwrap();
    peer.write_all(&frame(WHOLE, b"in")).await.unwrap();
    let mut input = BytesMut::new();
    assert_eq!(carrier::read(&web, &mut input, 64).await.unwrap(), 2);
    assert_eq!(&input[..], b"in");
    // Three frames in one read: the last ping is answered.
    let mut pong = [0; 2];
    peer.read_exact(&mut pong).await.unwrap();
    assert_eq!(&pong, b"\x8a\x00");
}

#[tokio::test]
async fn a_full_pipe_cuts_no_frame_and_lets_no_pong_into_one() {
    let (web, mut peer) = pair();
    let sent: Vec<u8> = (0..200_000_u32).map(|n| n as u8).collect();
    let mut written = web.try_send(&[IoSlice::new(&sent)]).unwrap();
    assert!(written < sent.len());
    peer.write_all(&frame(0x89, b"now")).await.unwrap();
    let mut input = BytesMut::with_capacity(64);
    let waker = std::task::Waker::noop();
    assert!(web.poll_receive(&mut Context::from_waker(waker), &mut input).is_pending());
    let mut read = vec![0; 10 + sent.len() + 5 + 3];
    let write = async {
        while written < sent.len() {
            // More is offered than the frame has said: that comes in a frame of its own.
            match web.try_send(&[IoSlice::new(&sent[written..]), IoSlice::new(b"more")]) {
                Ok(taken) => written += taken,
                Err(_) => std::future::poll_fn(|context| web.poll_sendable(context)).await,
            }
        }
        assert_eq!(web.try_send(&[IoSlice::new(b"!")]).unwrap(), 1);
    };
    let (_, result) = tokio::join!(write, peer.read_exact(&mut read));
    result.unwrap();
    assert_eq!(read[..10], [&[0x82, 127][..], &200_000_u64.to_be_bytes()].concat());
    assert!(read[10..200_010] == sent);
    assert_eq!(&read[200_010..], b"\x8a\x03now\x82\x01!");
}

#[tokio::test]
async fn the_end_is_said_with_its_code() {
    let (web, mut peer) = pair();
    peer.write_all(&frame(0x81, b"hello")).await.unwrap();
    let error = carrier::read(&web, &mut BytesMut::new(), 64).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidData);
    let mut close = [0; 4];
    peer.read_exact(&mut close).await.unwrap();
    assert_eq!(close, [0x88, 2, 0x03, 0xeb]);
    assert_eq!(web.try_send(&[IoSlice::new(b"x")]).unwrap_err().kind(), ErrorKind::BrokenPipe);
    // Who goes on reading is told again, and does not wait for more.
    assert!(carrier::read(&web, &mut BytesMut::new(), 64).await.is_err());
}

#[tokio::test]
async fn a_ping_flood_ends_the_turn() {
    let (web, mut peer) = pair();
    let waker = std::task::Waker::noop();
    peer.write_all(&frame(0x89, &[7; 125]).repeat(400)).await.unwrap();
    let mut turns = 0;
    while peer.held_by_other() > 0 {
        let mut input = BytesMut::with_capacity(4096);
        match web.poll_receive(&mut Context::from_waker(waker), &mut input) {
            Poll::Ready(Err(error)) if error.kind() == ErrorKind::Interrupted => turns += 1,
            polled => assert!(polled.is_pending() && peer.held_by_other() == 0, "{polled:?}"),
        }
    }
    assert!(turns > 1);
    // What has answered is not what has asked.
    let mut pongs = BytesMut::with_capacity(64 * 1024);
    assert!(peer.poll_read_into(&mut Context::from_waker(waker), &mut pongs, 64 * 1024).is_ready());
    assert!(pongs.starts_with(&[0x8a, 125, 7]));
    assert!(pongs.len() < 400 / 10 * 127, "{}", pongs.len());
}

#[tokio::test]
async fn who_pings_and_takes_no_answer_is_not_read_from() {
    let (web, mut peer) = pair();
    let waker = std::task::Waker::noop();
    let ping = frame(0x89, &[7; 125]);
    let (mut input, mut unread) = (BytesMut::with_capacity(4096), 0);
    // As many as are taken; the pipe holds 64 KiB, and as many bytes again for the answers.
    for _ in 0..10_000 {
        if peer.try_write(&[IoSlice::new(&ping)]).is_err() {
            unread = peer.held_by_other();
            break;
        }
        let _ = web.poll_receive(&mut Context::from_waker(waker), &mut input);
        // Another turn: one has a budget of reads.
        tokio::task::yield_now().await;
    }
    assert!(unread > 60_000, "{unread}");
    assert!(web.is_behind());
    assert!(web.receive_now(&mut input, 4096).is_none());
    assert_eq!(peer.held_by_other(), unread);
    // It takes some, and is heard again.
    let mut pongs = [0; 127 * 2];
    peer.read_exact(&mut pongs).await.unwrap();
    assert!(!web.is_behind());
    let _ = web.poll_receive(&mut Context::from_waker(waker), &mut input);
    assert!(peer.held_by_other() < unread);
}

/// A full socket with TLS over it: what was offered is sealed, and said to be taken when there is room.
struct Full {
    pipe: Pipe,
    sealed: Mutex<Vec<u8>>,
    has_room: std::sync::atomic::AtomicBool,
}

impl Carrier for Full {
    fn poll_receive(&self, context: &mut Context<'_>, input: &mut BytesMut) -> Poll<io::Result<usize>> {
        self.pipe.poll_receive(context, input)
    }

    fn receive_now(&self, input: &mut BytesMut, room: usize) -> Option<io::Result<usize>> {
        self.pipe.receive_now(input, room)
    }

    fn try_send(&self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        let mut sealed = self.sealed.lock();
        if sealed.is_empty() {
            sealed.extend(slices.iter().flat_map(|slice| slice.iter()));
        }
        if !self.has_room.load(std::sync::atomic::Ordering::Relaxed) {
            return Err(ErrorKind::WouldBlock.into());
        }
        Carrier::try_send(&self.pipe, &[IoSlice::new(&mem::take(&mut *sealed))])
    }

    fn poll_sendable(&self, _: &mut Context<'_>) -> Poll<()> {
        if self.has_room.load(std::sync::atomic::Ordering::Relaxed) { Poll::Ready(()) } else { Poll::Pending }
    }

    fn finish(&self) {}

    fn held(&self) -> usize {
        0
    }
}

/// What a peer reads that sends these frames while there is no room, once there is.
async fn answers(sent: [&[u8]; 2]) -> Vec<u8> {
    let (pipe, mut peer) = Pipe::pair();
    let web = Web::new(Full { pipe, sealed: Mutex::default(), has_room: false.into() }, Vec::new());
    for sent in sent {
        peer.write_all(sent).await.unwrap();
        let mut input = BytesMut::with_capacity(4096);
        let _ = web.poll_receive(&mut Context::from_waker(std::task::Waker::noop()), &mut input);
    }
    web.below.has_room.store(true, std::sync::atomic::Ordering::Relaxed);
    let _ = web.try_send(&[IoSlice::new(b"!")]);
    drop(web);
    let mut read = Vec::new();
    peer.read_to_end(&mut read).await.unwrap();
    read
}

#[tokio::test]
async fn a_pong_that_is_sealed_leaves_whole_before_the_last_one() {
    let later = [frame(0x89, b"second"), frame(0x89, b"and the third of them")].concat();
    let pings = [&frame(0x89, b"the first")[..], &later];
    let pongs = [&b"\x8a\x09the first"[..], b"\x8a\x15and the third of them", b"\x82\x01!"].concat();
    assert_eq!(answers(pings).await, pongs);
}

#[tokio::test]
async fn a_pong_that_is_sealed_leaves_whole_before_the_close() {
    let later = [frame(0x89, b"second"), frame(0x88, &[])].concat();
    let sent = [&frame(0x89, b"the first")[..], &later];
    assert_eq!(answers(sent).await, [&b"\x8a\x09the first"[..], b"\x88\x02\x03\xe8"].concat());
}
