mod interleavings;
mod oracle;
mod world;

use bytes::BytesMut;

use super::*;
use crate::effect::{Connected, Disconnected, End};
use crate::{Dead, Down, Join, Liveness, Record, Up, Versions, Will};

/// A log that is written by hand.
#[derive(Default)]
struct Log {
    fold: Fold,
    heads: std::collections::HashMap<&'static str, Head>,
}

impl Log {
    fn batch(&self, node: &'static str, records: &[Record]) -> Bytes {
        let mut body = BytesMut::new();
        records.iter().for_each(|record| record.encode(&mut body));
        self.heads[node].encode(&body)
    }

    #[track_caller]
    fn append(&mut self, bytes: Bytes) -> (Verdict, Vec<Effect>) {
        let handled = self.fold.handle_batch(self.fold.position() + 1, bytes).unwrap();
        (handled.verdict, std::iter::from_fn(|| self.fold.poll_effect()).collect())
    }

    /// A node appends its next batch.
    #[track_caller]
    fn say(&mut self, node: &'static str, records: &[Record]) -> Vec<Effect> {
        let bytes = self.batch(node, records);
        let (verdict, effects) = self.append(bytes);
        assert_eq!(verdict, Verdict::Counts);
        let head = self.heads.get_mut(node).unwrap();
        head.n += 1;
        head.beat += 1;
        head.at += 1000;
        effects
    }

    #[track_caller]
    fn join(&mut self, node: &'static str) -> Vec<Effect> {
        let head = Head { node: node.into(), epoch: self.fold.next_epoch(), n: 0, beat: 0, at: 1000 };
        self.heads.insert(node, head);
        self.say(node, &[join()])
    }

    fn dead(&self, node: &str) -> Record {
        let Node { name, epoch, last, .. } = self.fold.node(node).unwrap().clone();
        Record::Dead(Dead { node: name, epoch, last })
    }

    /// With two nodes in it.
    fn of_two() -> Self {
        let mut log = Self::default();
        log.join("a");
        log.join("b");
        log
    }
}

fn join() -> Record {
    Record::Join(Join { nonce: 1, addr: "127.0.0.1:1".into(), versions: READS })
}

fn plain_up(client: &str, conn: u64) -> Up {
    Up {
        client: client.into(),
        conn,
        is_clean: false,
        is_kept: false,
        at: 0,
        info: Bytes::from_static(b"info"),
        will: None,
    }
}

fn up(client: &str, conn: u64) -> Record {
    Record::Up(plain_up(client, conn))
}

fn up_with_will(client: &str, conn: u64, delay: u32) -> Record {
    Record::Up(Up { will: Some(Will { delay, message: Bytes::from_static(b"will") }), ..plain_up(client, conn) })
}

fn down(client: &str, conn: u64, with_will: bool) -> Record {
    Record::Down(Down { client: client.into(), conn, at: 0, with_will, reason: Bytes::from_static(b"normal") })
}

/// Effects in short: `+` and `-` are comings and goings.
fn short(effects: &[Effect]) -> Vec<String> {
    let one = |effect: &Effect| match effect {
        Effect::Connected(Connected { client, node, conn, seq, event, .. }) => {
            format!("+{client} {node}{conn} seq {seq} event {event}")
        }
        Effect::Disconnected(Disconnected { client, node, conn, reason, seq, event, .. }) => {
            let reason = match reason {
                Reason::Said(bytes) => String::from_utf8_lossy(bytes).into_owned(),
                other => format!("{other:?}"),
            };
            format!("-{client} {node}{conn} {reason} seq {seq} event {event}")
        }
        Effect::Will { client, .. } => format!("will {client}"),
        Effect::WillWaits { client, event, delay } => format!("will {client} waits {delay} since {event}"),
        Effect::Joined { node, .. } => format!("joined {node}"),
        Effect::Gone { node, end, .. } => match end {
            End::Dead { by } => format!("dead {node} by {by}"),
            other => format!("gone {node} {other:?}"),
        },
        other => format!("{other:?}"),
    };
    effects.iter().map(one).collect()
}

#[track_caller]
fn check(effects: &[Effect], expected: &[&str]) {
    assert_eq!(short(effects), expected);
}

#[test]
fn whoever_comes_later_wins_and_the_old_one_is_told_off_first() {
    let mut log = Log::of_two();
    check(&log.say("a", &[up("anna", 1)]), &["+anna a1 seq 1 event 1"]);
    let effects = log.say("b", &[up("anna", 1)]);
    check(&effects, &["-anna a1 TakenOver seq 2 event 2", "+anna b1 seq 3 event 3"]);
    // It is not the current one any more.
    check(&log.say("a", &[down("anna", 1, true)]), &[]);
    let clean = Record::Up(Up { is_clean: true, ..plain_up("anna", 2) });
    check(&log.say("a", &[clean]), &["-anna b1 Discarded seq 4 event 4", "+anna a2 seq 5 event 5"]);
    check(&log.say("a", &[down("anna", 2, false)]), &["-anna a2 normal seq 6 event 6"]);
    check(&log.say("a", &[down("anna", 2, false)]), &[]);
    assert!(log.fold.client("anna").is_none());
}

#[test]
fn a_death_takes_all_clients_with_it_in_the_order_in_which_they_came() {
    let mut log = Log::of_two();
    log.say("b", &[up("zoe", 1), up("anna", 2), up("ben", 3)]);
    log.say("a", &[up("ben", 1)]);
    let dead = log.dead("b");
    let effects = log.say("a", &[dead, up("carl", 2)]);
    check(
        &effects,
        &["dead b by a", "-zoe b1 NodeDown seq 2 event 6", "-anna b2 NodeDown seq 2 event 7", "+carl a2 seq 1 event 8"],
    );
    assert_eq!(log.fold.node("b").unwrap().clients, 0);
    // What it appends now is void.
    let late = log.batch("b", &[up("dora", 4)]);
    assert_eq!(log.append(late), (Verdict::Fenced, vec![]));
    check(&log.join("b"), &["joined b"]);
}

#[test]
fn a_node_that_has_spoken_since_is_not_dead() {
    let mut log = Log::of_two();
    log.say("b", &[up("anna", 1)]);
    let dead = log.dead("b");
    log.say("b", &[]);
    check(&log.say("a", &[dead]), &[]);
    assert!(log.fold.node("b").unwrap().is_live());
}

#[test]
fn where_a_node_died_its_clients_went_when_it_was_heard_last() {
    let mut log = Log::of_two();
    log.say("b", &[up("anna", 1)]);
    log.say("b", &[]);
    let dead = log.dead("b");
    let effects = log.say("a", &[dead]);
    assert!(matches!(&effects[1], Effect::Disconnected(anna) if anna.at == 3000), "{effects:?}");
}

#[test]
fn a_quick_restart_is_a_death() {
    let mut log = Log::of_two();
    log.say("b", &[up("anna", 1)]);
    let late = log.batch("b", &[up("ben", 2)]);
    check(&log.join("b"), &["gone b Replaced { nonce: 1 }", "-anna b1 NodeDown seq 2 event 2", "joined b"]);
    assert_eq!(log.append(late), (Verdict::Fenced, vec![]));
    assert_eq!(log.fold.node("b").unwrap().clients, 0);
}

#[test]
fn a_join_that_comes_late_is_void() {
    let mut log = Log::of_two();
    let late = Head { n: 0, epoch: 2, ..log.heads["b"].clone() };
    log.join("b");
    let mut body = BytesMut::new();
    join().encode(&mut body);
    assert_eq!(log.append(late.encode(&body)).0, Verdict::Stale);
    let future = Head { node: "c".into(), epoch: 1000, ..late };
    assert_eq!(log.append(future.encode(&body)).0, Verdict::Stale);
}

#[test]
fn a_batch_counts_once_and_none_counts_behind_a_gap() {
    let mut log = Log::of_two();
    let first = log.batch("a", &[up("anna", 1)]);
    assert_eq!(log.append(first.clone()).0, Verdict::Counts);
    assert_eq!(log.append(first), (Verdict::Resent, vec![]));
    log.heads.get_mut("a").unwrap().n += 2;
    let behind = log.batch("a", &[up("ben", 1)]);
    assert_eq!(log.append(behind), (Verdict::Gap, vec![]));
}

#[test]
fn who_leaves_takes_its_clients_along_and_has_nothing_more_to_say() {
    let mut log = Log::of_two();
    log.say("a", &[up("anna", 1)]);
    let left = Record::Left { reason: Bytes::from_static(b"server_shutting_down") };
    let effects = log.say("a", &[left, up("ben", 2)]);
    check(&effects, &["gone a Left", "-anna a1 server_shutting_down seq 2 event 2"]);
}

#[test]
fn a_will_comes_before_the_end_that_it_is_for() {
    let mut log = Log::of_two();
    log.say("a", &[up_with_will("anna", 1, 0), up_with_will("ben", 2, 0)]);
    check(&log.say("a", &[down("anna", 1, true)]), &["will anna", "-anna a1 normal seq 2 event 3"]);
    check(&log.say("a", &[down("ben", 2, false)]), &["-ben a2 normal seq 2 event 4"]);
    log.say("b", &[up_with_will("carl", 1, 0)]);
    let dead = log.dead("b");
    check(&log.say("a", &[dead]), &["dead b by a", "will carl", "-carl b1 NodeDown seq 2 event 6"]);
}

#[test]
fn a_will_waits_for_its_delay_unless_its_client_comes_back() {
    let due = |event| Record::WillDue { client: "anna".into(), event };
    let mut log = Log::of_two();
    log.say("a", &[up_with_will("anna", 1, 5)]);
    let effects = log.say("a", &[down("anna", 1, true)]);
    check(&effects, &["-anna a1 normal seq 2 event 2", "will anna waits 5 since 2"]);
    check(&log.say("b", &[due(1)]), &[]);
    check(&log.say("b", &[due(2), due(2)]), &["will anna"]);

    log.say("a", &[up_with_will("anna", 2, 5), down("anna", 2, true)]);
    log.say("b", &[up("anna", 1)]);
    check(&log.say("a", &[due(4)]), &[]);
    // The session that it waited for is over.
    log.say("a", &[up_with_will("anna", 3, 5), down("anna", 3, true)]);
    let clean = Record::Up(Up { is_clean: true, ..plain_up("anna", 4) });
    let effects = log.say("a", &[clean]);
    assert_eq!(short(&effects)[0], "will anna");
}

#[test]
fn of_one_client_time_never_goes_back() {
    let mut log = Log::of_two();
    log.say("a", &[Record::Up(Up { at: 5000, ..plain_up("anna", 1) })]);
    let effects = log.say("b", &[Record::Up(Up { at: 4000, ..plain_up("anna", 1) })]);
    let [Effect::Disconnected(off), Effect::Connected(on)] = &effects[..] else { panic!("{effects:?}") };
    assert_eq!((off.at, on.at), (5000, 5000));
}

#[test]
fn a_session_s_home_is_known_while_its_client_is_away() {
    let mut log = Log::of_two();
    let home = |is_here| Record::Home { client: "anna".into(), is_here };
    let kept = |conn| Record::Up(Up { is_kept: true, ..plain_up("anna", conn) });
    let name = |log: &Log| log.fold.home("anna").map(|node| node.name.to_string());
    log.say("a", &[kept(1), down("anna", 1, false)]);
    assert_eq!(name(&log).as_deref(), Some("a"));
    // It is where it was until all of it is somewhere else, and nobody who has not got it can end it.
    log.say("b", &[kept(1), home(false)]);
    assert_eq!(name(&log).as_deref(), Some("a"));
    let effects = log.say("b", &[home(true)]);
    assert_eq!(effects, [Effect::Home { client: "anna".into(), node: Some("b".into()) }]);
    assert_eq!((log.fold.node("a").unwrap().homes, log.fold.node("b").unwrap().homes), (0, 1));
    // Too late: the client is elsewhere.
    log.say("a", &[kept(2)]);
    log.say("a", &[home(true)]);
    assert_eq!(log.say("b", &[home(true)]), []);
    assert_eq!(name(&log).as_deref(), Some("a"));
    log.say("a", &[down("anna", 2, false), home(false)]);
    assert_eq!(name(&log), None);
    assert_eq!(log.fold.node("a").unwrap().homes, 0);
}

#[test]
fn a_clean_start_ends_what_is_kept_anywhere() {
    let mut log = Log::of_two();
    let name = |log: &Log| log.fold.home("anna").map(|node| node.name.to_string());
    log.say("a", &[Record::Up(Up { is_kept: true, ..plain_up("anna", 1) })]);
    log.say("b", &[Record::Up(Up { is_clean: true, is_kept: true, ..plain_up("anna", 1) })]);
    assert_eq!(name(&log).as_deref(), Some("b"));
    log.say("a", &[Record::Up(Up { is_clean: true, ..plain_up("anna", 2) })]);
    assert_eq!(name(&log), None);
}

#[test]
fn whose_session_was_there_before_the_cluster_has_its_home_where_that_is_said_first() {
    let mut log = Log::of_two();
    let home = |is_here| Record::Home { client: "anna".into(), is_here };
    log.say("a", &[home(true)]);
    assert_eq!(log.say("b", &[home(true)]), []);
    assert_eq!(log.fold.home("anna").map(|node| &*node.name), Some("a"));
    log.say("a", &[home(false)]);
    assert_eq!((log.fold.home("anna"), log.fold.known()), (None, 0));
}

#[test]
fn who_will_not_come_back_keeps_nobodys_session() {
    let mut log = Log::of_two();
    let kept = |client| Record::Up(Up { is_kept: true, ..plain_up(client, 1) });
    log.say("a", &[kept("anna"), kept("berta"), Record::Home { client: "carl".into(), is_here: true }]);
    let forget = || [Record::Forget { node: "a".into() }];
    check(&log.say("b", &forget()), &[]);
    assert_eq!(log.fold.home("anna").map(|home| &*home.name), Some("a"), "it lives");
    let dead = log.dead("a");
    log.say("b", &[dead]);
    let effects = log.say("b", &forget());
    assert_eq!(effects, [Effect::Forgotten { node: "a".into(), sessions: 3 }]);
    for client in ["anna", "berta", "carl"] {
        assert_eq!(log.fold.home(client), None);
    }
    let node = log.fold.node("a").unwrap();
    assert_eq!((node.life, node.homes), (Life::Left, 0));
    // It has come all the same, and with what it had.
    log.join("a");
    log.say("a", &[Record::Home { client: "anna".into(), is_here: true }]);
    assert_eq!(log.fold.home("anna").map(|home| &*home.name), Some("a"));
    let effects = log.say("b", &[Record::Forget { node: "nobody".into() }]);
    check(&effects, &[]);
}

#[test]
fn settings_hold_for_all_and_are_bounded() {
    let mut log = Log::of_two();
    let set = |key: &str, value: Option<Vec<u8>>| Record::Setting { key: key.into(), value: value.map(Into::into) };
    log.say("a", &[set("x", Some(vec![1]))]);
    assert_eq!(log.fold.setting("x"), Some(&Bytes::from_static(&[1])));
    for number in 0..100 {
        log.say("a", &[set(&number.to_string(), Some(vec![0; crate::MAX_SETTING]))]);
    }
    assert_eq!(log.fold.settings().count(), 64);
    log.say("b", &[set("x", None)]);
    assert_eq!(log.fold.setting("x"), None);
}

#[test]
fn a_gate_opens_when_all_who_live_read_what_is_behind() {
    let mut log = Log::of_two();
    check(&log.say("a", &[Record::Gate(2)]), &[]);
    for node in ["a", "b"] {
        assert_eq!(log.fold.next_gate(), None);
        let head = Head { epoch: log.fold.next_epoch(), n: 0, ..log.heads[node].clone() };
        log.heads.insert(node, head);
        let versions = Versions { from: 1, to: 2 };
        log.say(node, &[Record::Join(Join { nonce: 2, addr: "".into(), versions })]);
    }
    assert_eq!(log.fold.next_gate(), Some(2));
    check(&log.say("b", &[Record::Gate(2)]), &["Gate(2)"]);
    // Who reads version 1 alone can't come in any more.
    let mut body = BytesMut::new();
    join().encode(&mut body);
    let head = Head { node: "c".into(), epoch: log.fold.next_epoch(), n: 0, beat: 0, at: 0 };
    assert_eq!(log.append(head.encode(&body)).0, Verdict::Gated);
}

/// Goes on to the next place where nodes say what they have read.
fn to_a_check(log: &mut Log) -> (u64, Digest) {
    while log.fold.check().is_none() {
        log.say("a", &[]);
    }
    let Some(Record::Check { position, digest }) = log.fold.check() else { unreachable!() };
    (position, digest)
}

#[test]
fn one_that_has_read_something_else_is_found_and_silences_nobody() {
    let mut log = Log::of_two();
    log.join("c");
    let (position, digest) = to_a_check(&mut log);
    assert_eq!(position, CHECK_EVERY);
    let said = |digest| Record::Check { position, digest };
    let effects = log.say("c", &[said(Digest::new(1))]);
    assert!(matches!(&effects[..], [Effect::Differs { node, .. }] if *node == *"c"), "{effects:?}");
    check(&log.say("a", &[said(digest)]), &[]);
    check(&log.say("b", &[said(digest)]), &[]);
}

#[test]
fn who_is_alone_with_what_it_has_read_is_outvoted() {
    let mut log = Log::of_two();
    log.join("c");
    let (position, _) = to_a_check(&mut log);
    let said = Record::Check { position, digest: Digest::new(1) };
    assert_eq!(log.say("a", std::slice::from_ref(&said)).len(), 1);
    let effects = log.say("b", &[said]);
    assert!(matches!(&effects[..], [Effect::Differs { .. }, Effect::Outvoted { .. }]), "{effects:?}");
}

#[test]
fn six_whole_beats_of_ours_are_a_death_and_a_word_is_life() {
    let mut log = Log::of_two();
    let mut liveness = Liveness::new("a".into());
    let mut say = |log: &mut Log, node: &'static str| {
        let bytes = log.batch(node, &[]);
        let handled = log.fold.handle_batch(log.fold.position() + 1, bytes).unwrap();
        assert_eq!(log.fold.poll_effect(), None);
        let head = log.heads.get_mut(node).unwrap();
        (head.n, head.beat) = (head.n + 1, head.beat + 1);
        liveness.note(&handled);
        liveness.silent(&log.fold)
    };
    say(&mut log, "b");
    for _ in 0..6 {
        assert_eq!(say(&mut log, "a"), []);
    }
    say(&mut log, "b");
    for _ in 0..6 {
        assert_eq!(say(&mut log, "a"), []);
    }
    // A batch without a new beat proves nothing.
    log.heads.get_mut("a").unwrap().beat -= 1;
    assert_eq!(say(&mut log, "a"), []);
    let dead = say(&mut log, "a");
    assert_eq!(dead, [Dead { node: "b".into(), epoch: 2, last: log.fold.node("b").unwrap().last }]);
}

#[test]
fn what_can_t_be_read_leaves_the_fold_as_it_was_and_can_be_passed_over() {
    let mut log = Log::of_two();
    let before = log.fold.snapshot().unwrap();
    assert_eq!(log.fold.handle_batch(3, Bytes::from_static(b"\x01nonsense")), Err(Error::Short("a node's name")));
    assert_eq!(log.fold.snapshot().unwrap(), before);
    assert_eq!(log.fold.handle_batch(5, Bytes::new()), Err(Error::Position { expected: 3, found: 5 }));
    log.fold.pass_over(3, b"\x01nonsense").unwrap();
    check(&log.say("a", &[up("anna", 1)]), &["+anna a1 seq 1 event 1"]);
}

#[test]
fn nothing_else_is_taken_before_all_is_told() {
    let mut log = Log::of_two();
    let bytes = log.batch("a", &[up("anna", 1)]);
    log.fold.handle_batch(3, bytes.clone()).unwrap();
    assert_eq!(log.fold.handle_batch(4, bytes), Err(Error::Unfinished));
    assert_eq!(log.fold.snapshot(), Err(Error::Unfinished));
}

#[test]
fn a_changed_snapshot_is_an_error() {
    let mut log = Log::of_two();
    log.say("a", &[up_with_will("anna", 1, 3), up("ben", 2), down("ben", 2, false)]);
    let whole = log.fold.snapshot().unwrap();
    assert_eq!(Fold::from_snapshot(&whole).unwrap().snapshot().unwrap(), whole);
    for len in 0..whole.len() {
        assert!(Fold::from_snapshot(&whole.slice(..len)).is_err(), "{len} bytes");
    }
    for bit in 0..whole.len() * 8 {
        let mut flipped = whole.to_vec();
        flipped[bit / 8] ^= 1 << (bit % 8);
        assert!(Fold::from_snapshot(&flipped.into()).is_err(), "bit {bit}");
    }
}

#[test]
fn a_snapshot_that_no_fold_writes_is_an_error() {
    let wrong: [fn(&mut Fold); 6] = [
        |fold| fold.nodes.0[0].next = 0,
        |fold| fold.nodes.0[0].next = u64::MAX,
        |fold| fold.nodes.0[0].name = "".into(),
        |fold| fold.nodes.0[0].name = "b".into(),
        |fold| fold.nodes.0[0].life = Life::Left,
        |fold| fold.events = 0,
    ];
    for (number, wrong) in wrong.into_iter().enumerate() {
        let mut log = Log::of_two();
        log.say("a", &[up("anna", 1)]);
        wrong(&mut log.fold);
        let read = Fold::from_snapshot(&log.fold.snapshot().unwrap());
        assert!(matches!(read, Err(Error::Malformed(_) | Error::TooLong(_))), "{number}: {read:?}");
    }
}

#[test]
fn who_is_forgotten_never_counts_what_another_has_counted() {
    let mut log = Log::default();
    log.fold.clients.max_trails = 10;
    log.join("a");
    for _ in 0..3 {
        log.say("a", &[up("anna", 1), down("anna", 1, false)]);
    }
    for number in 0..10 {
        assert_eq!(log.fold.clients.floor, 0);
        let name = format!("passer-by {number}");
        log.say("a", &[up(&name, number), down(&name, number, false)]);
    }
    assert_eq!(log.fold.known(), 10);
    assert_eq!(log.fold.clients.floor, 6);
    log.fold = Fold::from_snapshot(&log.fold.snapshot().unwrap()).unwrap();
    check(
        &log.say("a", &[up("anna", 2), up("passer-by 3", 2)]),
        &["+anna a2 seq 7 event 27", "+passer-by 3 a2 seq 3 event 28"],
    );
}
