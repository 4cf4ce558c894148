use std::time::Duration;

use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};

use super::*;
use crate::memory::{Faults, Line, Memory};

#[derive(Debug)]
enum Heard {
    Came(Arc<Peer>),
    Went(ByteString),
    Piece(Bytes),
}

struct Ears(UnboundedSender<Heard>);

impl Hear for Ears {
    fn came(&mut self, peer: Arc<Peer>) {
        self.0.send(Heard::Came(peer)).unwrap();
    }

    fn went(&mut self, peer: &Peer) {
        self.0.send(Heard::Went(peer.name().clone())).unwrap();
    }

    async fn hear(&mut self, _: &Arc<Peer>, pieces: Vec<Bytes>) {
        for piece in pieces {
            self.0.send(Heard::Piece(piece)).unwrap();
        }
    }
}

struct Node {
    links: Links,
    line: Line,
    heard: UnboundedReceiver<Heard>,
}

impl Node {
    fn start(memory: &Memory, name: &'static str) -> Self {
        let (ears, heard) = unbounded_channel();
        let line = memory.line();
        Self { links: Links::start(line.clone(), name.into(), Ears(ears)), line, heard }
    }

    fn lives(&self, epoch: u64, others: &[(&'static str, u64)]) {
        let lives = others.iter().map(|(name, epoch)| (ByteString::from(*name), *epoch)).collect();
        self.links.note_lives(Some((epoch, lives)));
    }

    async fn came(&mut self) -> Arc<Peer> {
        match self.heard.recv().await {
            Some(Heard::Came(peer)) => peer,
            other => panic!("{other:?}"),
        }
    }

    async fn piece(&mut self) -> Bytes {
        match self.heard.recv().await {
            Some(Heard::Piece(piece)) => piece,
            other => panic!("{other:?}"),
        }
    }

    async fn went(&mut self) -> ByteString {
        match self.heard.recv().await {
            Some(Heard::Went(name)) => name,
            other => panic!("{other:?}"),
        }
    }
}

async fn two() -> (Node, Node, Arc<Peer>, Arc<Peer>) {
    let memory = Memory::default();
    let (mut a, mut b) = (Node::start(&memory, "a"), Node::start(&memory, "b"));
    a.lives(1, &[("b", 2)]);
    b.lives(2, &[("a", 1)]);
    let (to_b, to_a) = (a.came().await, b.came().await);
    (a, b, to_b, to_a)
}

#[tokio::test(start_paused = true)]
async fn what_is_said_is_heard_though_frames_are_lost() {
    let (a, mut b, to_b, to_a) = two().await;
    a.line.set(Faults { lost_frames: 5, ..Faults::default() });
    b.line.set(Faults { lost_frames: 3, ..Faults::default() });
    let mut place = 0;
    for number in 0..1000_u32 {
        place = to_b.say(&[&number.to_be_bytes(), b"!"]);
        if number % 100 == 0 {
            tokio::task::yield_now().await;
        }
    }
    for number in 0..1000_u32 {
        assert_eq!(b.piece().await, [&number.to_be_bytes()[..], b"!"].concat());
    }
    to_b.handled(place).await;
    assert_eq!((to_b.held(), to_b.pending(), to_a.held()), (0, 0, 0));
}

#[tokio::test(start_paused = true)]
async fn what_was_said_behind_something_is_heard_behind_it() {
    let (a, mut b, to_b, _) = two().await;
    a.links.note_told(7);
    let place = to_b.say(&[b"at 7"]);
    tokio::time::sleep(Duration::from_secs(2)).await;
    assert!(b.heard.try_recv().is_err() && !to_b.has_handled(place));
    b.links.note_told(6);
    tokio::time::sleep(Duration::from_secs(2)).await;
    assert!(b.heard.try_recv().is_err());
    b.links.note_told(7);
    assert_eq!(b.piece().await, "at 7");
    to_b.handled(place).await;
}

#[tokio::test(start_paused = true)]
async fn who_begins_another_life_hears_nothing_that_was_said_to_the_one_before() {
    let (mut a, mut b, to_b, _) = two().await;
    b.line.set(Faults { is_mute: true, ..Faults::default() });
    let place = to_b.say(&[b"lost"]);
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert!(!to_b.has_handled(place));
    a.lives(1, &[("b", 3)]);
    assert_eq!(a.went().await, "b");
    to_b.handled(place).await;
    assert_eq!(to_b.say(&[b"to nobody"]), 0);
    let to_b = a.came().await;
    to_b.say(&[b"new"]);
    b.line.set(Faults::default());
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert!(b.heard.try_recv().is_err(), "it does not know of its own new life yet");
    b.lives(3, &[("a", 1)]);
    assert_eq!(b.went().await, "a");
    b.came().await;
    assert_eq!(b.piece().await, "new");
    // We are out of it.
    a.links.note_lives(None);
    assert_eq!(a.went().await, "b");
}
