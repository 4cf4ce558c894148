mod storm;

use std::time::Duration;

use bytes::{Bytes, BytesMut};
use mqtt_roll::{Connected, Disconnected, Head, READS, Reason, Versions};
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};
use tokio::time::sleep;

use super::*;
use crate::memory::{Faults, Line, Memory};

/// A node with what it is told.
struct Told {
    node: Node,
    line: Line,
    effects: UnboundedReceiver<(u64, Effect)>,
}

fn start_with(memory: &Memory, config: Config) -> Told {
    let (sender, effects) = unbounded_channel();
    let line = memory.line();
    let tell = move |position, effect| drop(sender.send((position, effect)));
    Told { node: Node::start(line.clone(), config, tell), line, effects }
}

async fn join(memory: &Memory, name: &str) -> Told {
    let told = start_with(memory, Config::new(name));
    told.node.joined().await.unwrap();
    told
}

async fn three(memory: &Memory) -> [Told; 3] {
    [join(memory, "a").await, join(memory, "b").await, join(memory, "c").await]
}

fn up(client: &str, conn: u64) -> Up {
    Up { client: client.into(), conn, is_clean: false, is_kept: false, at: 0, info: Bytes::new(), will: None }
}

fn down(client: &str, conn: u64) -> Down {
    Down { client: client.into(), conn, at: 0, with_will: false, reason: Bytes::from_static(b"normal") }
}

async fn ended(node: &Node) -> Ended {
    match &*node.phase().wait_for(|phase| matches!(phase, Phase::Ended(_))).await.unwrap() {
        Phase::Ended(why) => why.clone(),
        other => panic!("{other:?}"),
    }
}

/// In short; `None`: it is not about a client or a node's life.
fn short(effect: &Effect) -> Option<String> {
    Some(match effect {
        Effect::Connected(Connected { client, node, event, .. }) => format!("{event} +{client} {node}"),
        Effect::Disconnected(Disconnected { client, node, reason, event, .. }) => {
            let reason = match reason {
                Reason::Said(bytes) => String::from_utf8_lossy(bytes).into_owned(),
                other => format!("{other:?}"),
            };
            format!("{event} -{client} {node} {reason}")
        }
        Effect::Joined { node, .. } => format!("joined {node}"),
        Effect::Gone { node, .. } => format!("gone {node}"),
        _ => return None,
    })
}

impl Told {
    /// The next effects, as many as are expected.
    #[track_caller]
    fn check(&mut self, expected: &[&str]) -> impl Future<Output = ()> {
        let place = std::panic::Location::caller();
        async move {
            for expected in expected {
                let next = async {
                    loop {
                        let (_, effect) = self.effects.recv().await.expect("the node runs");
                        if let Some(told) = short(&effect) {
                            return told;
                        }
                    }
                };
                let told = timeout(Duration::from_secs(60), next).await;
                assert_eq!(told.as_deref(), Ok(*expected), "{place}");
            }
        }
    }

    /// Lets come and go what does not matter.
    async fn skip(&mut self, until: &str) {
        while short(&self.effects.recv().await.expect("the node runs").1).as_deref() != Some(until) {}
    }

    fn check_quiet(&mut self) {
        let told = std::iter::from_fn(|| self.effects.try_recv().ok());
        assert_eq!(told.filter_map(|(_, effect)| short(&effect)).collect::<Vec<_>>(), [""; 0]);
    }
}

#[tokio::test(start_paused = true)]
async fn all_are_told_the_same_in_the_same_order() {
    let [mut a, mut b, mut c] = three(&Memory::default()).await;
    c.check(&["joined c"]).await;
    b.check(&["joined b", "joined c"]).await;
    a.check(&["joined a", "joined b", "joined c"]).await;
    a.node.up(up("anna", 1)).unwrap().applied().await.unwrap();
    assert!(a.node.is_seated("anna", 1));
    b.node.up(up("anna", 1)).unwrap().applied().await.unwrap();
    assert!(b.node.is_seated("anna", 1));
    // It is late, for its client is elsewhere by now.
    a.node.down(down("anna", 1));
    b.node.down(down("anna", 1));
    for told in [&mut a, &mut b, &mut c] {
        told.check(&["1 +anna a", "2 -anna a TakenOver", "3 +anna b", "4 -anna b normal"]).await;
    }
    assert!(!a.node.is_seated("anna", 1) && !b.node.is_seated("anna", 1));
    let status = c.node.status();
    assert_eq!((status.phase, status.nodes.len(), status.online, status.fenced), (Phase::Live, 3, 0, 0));
}

#[tokio::test(start_paused = true)]
async fn an_answer_that_is_lost_and_a_batch_that_comes_twice_change_nothing() {
    let [mut a, _b, mut c] = three(&Memory::default()).await;
    c.skip("joined c").await;
    a.line.set(Faults { lost_replies: 2, doubled: 2, ..Faults::default() });
    for conn in 1..4 {
        a.node.up(up("anna", conn)).unwrap().applied().await.unwrap();
    }
    a.node.down(down("anna", 3));
    c.check(&["1 +anna a", "2 -anna a TakenOver", "3 +anna a", "4 -anna a TakenOver", "5 +anna a", "6 -anna a normal"])
        .await;
    sleep(Duration::from_secs(10)).await;
    c.check_quiet();
    a.skip("6 -anna a normal").await;
    a.check_quiet();
}

#[tokio::test(start_paused = true)]
async fn a_node_that_is_cut_off_for_two_seconds_is_not_dead() {
    let [_a, b, mut c] = three(&Memory::default()).await;
    c.skip("joined c").await;
    // At any time between two beats.
    for cut in 0..50 {
        sleep(Duration::from_millis(10 * cut)).await;
        b.line.set(Faults { is_cut: true, ..Faults::default() });
        sleep(Duration::from_secs(2)).await;
        b.line.set(Faults::default());
        sleep(Duration::from_millis(700)).await;
    }
    c.check_quiet();
    assert_eq!(b.node.status().fenced, 0);
}

#[tokio::test(start_paused = true)]
async fn a_node_that_is_cut_off_for_nine_seconds_is_dead_fenced_and_back() {
    let memory = Memory::default();
    let [mut a, mut b, _c] = three(&memory).await;
    b.node.up(up("anna", 1)).unwrap().applied().await.unwrap();
    b.node.up(up("ben", 2)).unwrap().applied().await.unwrap();
    a.skip("2 +ben b").await;
    b.skip("2 +ben b").await;
    b.line.set(Faults { is_cut: true, ..Faults::default() });
    let cut = Instant::now();
    // It does not know yet; what it says is void when it arrives.
    let carl = b.node.up(up("carl", 3)).unwrap();
    a.check(&["gone b", "3 -anna b NodeDown", "4 -ben b NodeDown"]).await;
    let after = cut.elapsed();
    assert!(after > Duration::from_millis(2500) && after < Duration::from_millis(4200), "{after:?}");
    a.node.up(up("anna", 1)).unwrap().applied().await.unwrap();
    sleep(Duration::from_secs(9).saturating_sub(cut.elapsed())).await;
    b.line.set(Faults::default());
    assert_eq!(carl.applied().await, Err(Refusal::NotLive));
    b.check(&["gone b", "3 -anna b NodeDown", "4 -ben b NodeDown", "5 +anna a", "joined b"]).await;
    a.check(&["5 +anna a", "joined b"]).await;
    b.node.joined().await.unwrap();
    assert_eq!(b.node.status().fenced, 1);
    b.node.up(up("carl", 4)).unwrap().applied().await.unwrap();
    a.check(&["6 +carl b"]).await;
}

#[tokio::test(start_paused = true)]
async fn what_a_fenced_node_had_on_its_way_is_void_when_it_lands() {
    let memory = Memory::default();
    let [mut a, b, _c] = three(&memory).await;
    b.line.set(Faults { holds_back: true, ..Faults::default() });
    drop(b.node.up(up("anna", 1)).unwrap());
    a.skip("gone b").await;
    b.line.set(Faults::default());
    let held = b.line.held();
    assert!(held > 0);
    a.check(&["joined b"]).await;
    b.line.release();
    sleep(Duration::from_secs(5)).await;
    a.check_quiet();
}

#[tokio::test(start_paused = true)]
async fn nobody_is_dead_while_the_log_is_away_for_all() {
    let [mut a, mut b, mut c] = three(&Memory::default()).await;
    c.skip("joined c").await;
    a.node.up(up("anna", 1)).unwrap().applied().await.unwrap();
    for told in [&a, &b, &c] {
        told.line.set(Faults { is_cut: true, ..Faults::default() });
    }
    a.node.down(down("anna", 1));
    sleep(Duration::from_secs(20)).await;
    // One of them comes back to it two seconds before the others.
    b.line.set(Faults::default());
    sleep(Duration::from_secs(2)).await;
    a.line.set(Faults::default());
    c.line.set(Faults::default());
    c.check(&["1 +anna a", "2 -anna a normal"]).await;
    sleep(Duration::from_secs(10)).await;
    for told in [&mut a, &mut b] {
        told.skip("2 -anna a normal").await;
    }
    for told in [&mut a, &mut b, &mut c] {
        told.check_quiet();
        assert_eq!(told.node.status().fenced, 0);
    }
}

#[tokio::test(start_paused = true)]
async fn who_was_silent_before_the_log_went_away_is_waited_for_anew_when_it_is_back() {
    let [mut a, b, c] = three(&Memory::default()).await;
    let cut = || Faults { is_cut: true, ..Faults::default() };
    b.line.set(cut());
    sleep(Duration::from_secs(2)).await;
    a.line.set(cut());
    c.line.set(cut());
    sleep(Duration::from_secs(10)).await;
    a.line.set(Faults::default());
    c.line.set(Faults::default());
    sleep(Duration::from_secs(2)).await;
    b.line.set(Faults::default());
    sleep(Duration::from_secs(5)).await;
    assert_eq!(b.node.status().fenced, 0);
    a.check(&["joined a", "joined b", "joined c"]).await;
    a.check_quiet();
}

#[tokio::test(start_paused = true)]
async fn a_quick_restart_takes_the_place_of_the_process_before() {
    let memory = Memory::default();
    let [mut a, b, _c] = three(&memory).await;
    b.node.up(up("anna", 1)).unwrap().applied().await.unwrap();
    a.skip("1 +anna b").await;
    let again = join(&memory, "b").await;
    a.check(&["gone b", "2 -anna b NodeDown", "joined b"]).await;
    assert_eq!(ended(&b.node).await, Ended::Replaced);
    assert!(matches!(b.node.up(up("ben", 2)), Err(Refusal::NotLive)));
    again.node.up(up("anna", 1)).unwrap().applied().await.unwrap();
    a.check(&["3 +anna b"]).await;
}

#[tokio::test(start_paused = true)]
async fn who_leaves_says_so() {
    let [mut a, b, _c] = three(&Memory::default()).await;
    for conn in 0..1000 {
        drop(b.node.up(up(&format!("client {conn}"), conn)).unwrap());
    }
    a.skip("1000 +client 999 b").await;
    assert!(b.node.leave(Bytes::from_static(b"server_shutting_down"), Duration::from_secs(5)).await);
    a.check(&["gone b", "1001 -client 0 b server_shutting_down"]).await;
    a.skip("2000 -client 999 b server_shutting_down").await;
    sleep(Duration::from_secs(10)).await;
    a.check_quiet();
}

#[tokio::test(start_paused = true)]
async fn leaving_waits_no_longer_than_it_may() {
    let [_a, b, _c] = three(&Memory::default()).await;
    b.line.set(Faults { is_cut: true, ..Faults::default() });
    assert!(!b.node.leave(Bytes::new(), Duration::from_secs(5)).await);
}

#[tokio::test(start_paused = true)]
async fn a_process_goes_on_telling_where_the_one_before_it_stopped() {
    let memory = Memory::default();
    let [mut a, mut b, _c] = three(&memory).await;
    a.node.up(up("anna", 1)).unwrap().applied().await.unwrap();
    b.skip("1 +anna a").await;
    let told = b.node.status().position;
    drop(b);
    a.node.up(up("ben", 2)).unwrap().applied().await.unwrap();
    a.skip("gone b").await;
    let mut again = start_with(&memory, Config { told: Some(told), ..Config::new("b") });
    again.check(&["2 +ben a", "gone b", "joined b"]).await;
    // Who has kept nothing begins at the end.
    let mut fresh = start_with(&memory, Config::new("d"));
    fresh.check(&["joined d"]).await;
}

/// Clients come and go until something is kept of the log.
async fn fill(told: &Told, memory: &Memory) {
    for conn in 0..500 {
        told.node.up(up("anna", conn)).unwrap().applied().await.unwrap();
        if memory.has_snapshot() {
            return;
        }
    }
    panic!("nothing is kept");
}

#[tokio::test(start_paused = true)]
async fn who_comes_late_begins_with_what_was_kept_of_the_log() {
    let memory = Memory::default();
    let every = |name: &str| Config { snapshot_every: 4096, ..Config::new(name) };
    let a = start_with(&memory, every("a"));
    a.node.joined().await.unwrap();
    fill(&a, &memory).await;
    memory.trim(a.node.status().position - 1);
    let mut b = start_with(&memory, every("b"));
    b.check(&["joined b"]).await;
    assert_eq!(
        b.node.look(|fold| fold.client("anna").map(|anna| anna.conn)),
        a.node.look(|fold| fold.client("anna").map(|anna| anna.conn))
    );
    sleep(Duration::from_millis(100)).await;
    assert_eq!(b.node.status().digest, a.node.status().digest);
}

#[tokio::test(start_paused = true)]
async fn who_was_away_for_longer_than_the_log_reaches_back_says_what_it_missed() {
    struct Missed(tokio::sync::mpsc::UnboundedSender<(u64, u64)>);
    impl Tell for Missed {
        fn tell(&mut self, _: u64, _: Effect) {}
        fn missed(&mut self, from: u64, to: u64) {
            let _ = self.0.send((from, to));
        }
    }
    let memory = Memory::default();
    let a = start_with(&memory, Config { snapshot_every: 4096, ..Config::new("a") });
    a.node.joined().await.unwrap();
    fill(&a, &memory).await;
    let kept = a.node.status().position;
    memory.trim(10);
    let (sender, mut missed) = unbounded_channel();
    let b = Node::start(memory.line(), Config { told: Some(5), ..Config::new("b") }, Missed(sender));
    b.joined().await.unwrap();
    let (from, to) = missed.recv().await.unwrap();
    assert!(from == 5 && to > 10 && to <= kept, "{from} {to}");
}

#[tokio::test(start_paused = true)]
async fn who_has_kept_what_it_had_told_needs_no_more_of_the_log_than_came_after() {
    let memory = Memory::default();
    let a = start_with(&memory, Config { snapshot_every: 4096, ..Config::new("a") });
    let mut b = start_with(&memory, Config::new("b"));
    b.node.joined().await.unwrap();
    a.node.up(up("ben", 1)).unwrap().applied().await.unwrap();
    b.skip("1 +ben a").await;
    // Told to the end, and nothing is on its way.
    let (told, kept) = b.node.look(|fold| (fold.position(), fold.snapshot().unwrap()));
    drop(b);
    memory.trim(told);
    fill(&a, &memory).await;
    let mut again = start_with(&memory, Config { told: Some(told), kept: Some(kept), ..Config::new("b") });
    again.check(&["2 +anna a"]).await;
}

#[tokio::test(start_paused = true)]
async fn where_nothing_was_kept_a_log_without_its_beginning_is_no_log() {
    let memory = Memory::default();
    let a = join(&memory, "a").await;
    for conn in 0..10 {
        a.node.up(up("anna", conn)).unwrap().applied().await.unwrap();
    }
    memory.trim(5);
    let b = start_with(&memory, Config::new("b"));
    assert_eq!(b.node.joined().await, Err(Ended::Gap { read: 0, found: 6 }));
}

#[tokio::test(start_paused = true)]
async fn what_nobody_writes_is_passed_over_and_what_a_later_version_writes_is_the_end() {
    let memory = Memory::default();
    let [a, _b, mut c] = three(&memory).await;
    c.skip("joined c").await;
    memory.push(Bytes::from_static(b"\x01what?"));
    a.node.up(up("anna", 1)).unwrap().applied().await.unwrap();
    c.check(&["1 +anna a"]).await;
    assert_eq!(c.node.status().unread, 1);
    memory.push(Bytes::from_static(b"\x02what?"));
    let ended = ended(&c.node).await;
    assert!(matches!(ended, Ended::Unknown { why: mqtt_roll::Error::Version(2), .. }), "{ended:?}");
}

#[tokio::test(start_paused = true)]
async fn who_does_not_read_what_is_written_can_t_join() {
    let memory = Memory::default();
    let config = Config { versions: Versions { from: 1, to: 2 }, ..Config::new("a") };
    let mut a = start_with(&memory, config);
    a.check(&["joined a"]).await;
    // It is alone, so it writes what it reads.
    while a.node.look(mqtt_roll::Fold::gate) == 1 {
        sleep(Duration::from_millis(100)).await;
    }
    let b = start_with(&memory, Config { versions: READS, ..Config::new("b") });
    assert_eq!(b.node.joined().await, Err(Ended::Gated));
}

#[tokio::test(start_paused = true)]
async fn who_has_read_something_else_stops_telling_and_the_others_know_who_it_is() {
    let memory = Memory::default();
    let [a, b, c] = three(&memory).await;
    let flipped = memory.batches().len() as u64 + 1;
    c.line.set(Faults { flipped: Some(flipped), ..Faults::default() });
    for _ in 0..mqtt_roll::CHECK_EVERY {
        memory.push(Bytes::from_static(b"\x01no batch"));
    }
    let ended = ended(&c.node).await;
    assert!(matches!(ended, Ended::Outvoted { .. }), "{ended:?}");
    sleep(Duration::from_secs(10)).await;
    for right in [&a, &b] {
        let status = right.node.status();
        assert_eq!(status.phase, Phase::Live);
        assert_eq!(status.differs.map(|(name, _)| name).as_deref(), Some("c"));
    }
    assert_eq!(a.node.status().digest, b.node.status().digest);
}

#[tokio::test(start_paused = true)]
async fn a_log_that_lost_what_it_had_acknowledged_fences_who_wrote_it() {
    let memory = Memory::default();
    let [mut a, b, _c] = three(&memory).await;
    b.node.up(up("anna", 1)).unwrap().applied().await.unwrap();
    a.skip("1 +anna b").await;
    // As if b had been given an answer for one before this.
    let Head { epoch, .. } = mqtt_roll::Batch::decode(memory.batches().pop().unwrap()).unwrap().head;
    let node = a.node.look(|fold| fold.node("b").cloned()).unwrap();
    assert!(epoch > 0);
    memory
        .push(Head { node: "b".into(), epoch: node.epoch, n: node.next + 5, beat: 0, at: 0 }.encode(&BytesMut::new()));
    a.check(&["gone b", "2 -anna b NodeDown", "joined b"]).await;
    b.node.joined().await.unwrap();
}
