use std::cmp::Reverse;
use std::collections::BTreeMap;

use mqtt_hooks::testing::{NOW, Recorder, foo};
use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;

/// What would be on disk.
fn kept(host: &Recorder) -> Vec<(u64, Entry)> {
    let records = host.kept("presence").into_iter();
    let entry = |record: &[u8]| Entry::from_record(record, &mut foo().listener).unwrap();
    records.map(|(place, record)| (u64::from_be_bytes(place.try_into().unwrap()), entry(&record))).collect()
}

fn kept_numbers(host: &Recorder) -> Vec<u64> {
    let mut numbers: Vec<_> = kept(host).iter().map(|(_, entry)| entry.number).collect();
    numbers.sort_unstable();
    numbers
}

/// With what the host has kept.
fn restored(host: &Arc<Recorder>, first: u64) -> Arc<History> {
    let history = History::new();
    history.restore(&host.records_of("presence"), first).unwrap();
    history
}

fn history(capacity: usize) -> Arc<History> {
    let history = History::new();
    resize(&history, capacity, &Recorder::new());
    history
}

/// With no client known.
fn resize(history: &History, capacity: usize, host: &Arc<Recorder>) {
    know(history, capacity, 0, host);
}

fn know(history: &History, capacity: usize, clients: usize, host: &Arc<Recorder>) {
    let limits = Limits { clients, forget_after_ms: 1_000_000 };
    history.set_room(capacity, limits, 0, &host.records_of("presence"), &mut host.moment());
}

fn tell(history: &History, client: &ConnectionInfo, seq: u64, at: u64, reason: Option<Reason>, host: &Arc<Recorder>) {
    let happened = Happened { client, seq, at, flaps: 1, last_heard: at, reason };
    history.record(happened, &host.records_of("presence"), &mut host.moment());
}

fn named(client_id: &str) -> ConnectionInfo {
    ConnectionInfo { client_id: client_id.to_owned().into(), username: None, ..foo() }
}

fn come(history: &History, client_id: &str, at: u64) {
    come_at(&Recorder::new(), history, client_id, at);
}

fn come_at(host: &Arc<Recorder>, history: &History, client_id: &str, at: u64) {
    tell(history, &named(client_id), 1, at, None, host);
}

fn numbers(history: &History, query: &Query<'_>) -> Vec<u64> {
    history.query(query).iter().map(|entry| entry.number).collect()
}

fn all(history: &History) -> Vec<u64> {
    numbers(history, &Query::default())
}

#[test]
fn the_oldest_goes_when_there_is_no_room() {
    let history = history(3);
    for n in 0..5 {
        come(&history, "c", n);
    }
    assert_eq!(all(&history), [3, 4, 5]);
    let counts = history.counts();
    assert_eq!((counts.len, counts.capacity, counts.first, counts.last), (3, 3, Some(3), Some(5)));
    assert_eq!((counts.connected, counts.disconnected), (5, 0));
}

#[test]
fn without_room_events_are_only_counted() {
    let history = history(0);
    come(&history, "c", 0);
    tell(&history, &foo(), 2, 1, Some(Reason::Kicked), &Recorder::new());
    assert!(all(&history).is_empty());
    assert_eq!((history.counts().connected, history.counts().disconnected), (1, 1));
}

#[test]
fn long_texts_take_the_room_of_several() {
    let host = Recorder::new();
    let history = restored(&host, 1);
    resize(&history, 10, &host);
    for n in 0..10 {
        come_at(&host, &history, &format!("short {n}"), n);
    }
    come_at(&host, &history, &"x".repeat(3 * ring::TEXT), 10);
    assert_eq!(all(&history), [4, 5, 6, 7, 8, 9, 10, 11]);
    assert_eq!(kept_numbers(&host), [4, 5, 6, 7, 8, 9, 10, 11]);
    // Who takes more than four is the first to lose what they have, be it this one.
    come_at(&host, &history, &"y".repeat(9 * ring::TEXT), 11);
    assert_eq!(all(&history), [4, 5, 6, 7, 8, 9, 10, 11]);
    come_at(&host, &history, &"z".repeat(65_535), 12);
    assert_eq!(all(&history), [4, 5, 6, 7, 8, 9, 10, 11], "it has no room at all");
    assert_eq!(kept_numbers(&host), [4, 5, 6, 7, 8, 9, 10, 11]);
    assert_eq!(history.counts().connected, 13);
}

#[test]
fn a_storm_writes_over_its_own_events() {
    let host = Recorder::new();
    let history = restored(&host, 1);
    resize(&history, 1_000, &host);
    for n in 0..100 {
        come_at(&host, &history, &format!("calm {n}"), n);
    }
    come_at(&host, &history, "flapping", 100);
    for round in 0..20 {
        for n in 0..150 {
            come_at(&host, &history, &format!("storm {n}."), 101 + round);
        }
    }
    let of = |id: &str| numbers(&history, &Query { client_id_prefix: Some(id), ..Query::default() });
    assert_eq!(of("calm").len(), 100);
    assert_eq!(of("flapping"), [101]);
    for n in 0..150 {
        let its = of(&format!("storm {n}."));
        let has_last = its.contains(&(101 + 19 * 150 + n + 1));
        assert!((5..=20).contains(&its.len()) && has_last, "storm {n}: {its:?}");
    }
    for _ in 0..5_000 {
        come_at(&host, &history, "flapping", 200);
    }
    assert_eq!(of("calm").len(), 100);
    assert!((4..20).contains(&of("flapping").len()), "it has no more than the others: {}", of("flapping").len());
    assert_eq!(kept_numbers(&host), all(&history));
}

#[test]
fn each_client_keeps_its_last_four_while_there_is_room() {
    let history = history(100);
    for n in 0..1_000 {
        come(&history, &format!("c{}", n % 25), n);
    }
    for n in 0..25 {
        let id = format!("c{n}");
        let its = numbers(&history, &Query { client_id: Some(&id), ..Query::default() });
        assert_eq!(its, [901 + n, 926 + n, 951 + n, 976 + n]);
        assert_eq!(history.oldest(Some(&id)).unwrap().number, 901 + n);
    }
    assert_eq!(history.oldest(None).unwrap().number, 901);
    assert_eq!(history.oldest(Some("nobody")), None);
    // With more clients than that, the oldest of all goes.
    come(&history, "one more", 1_000);
    assert_eq!(all(&history).first(), Some(&902));
}

#[test]
fn the_api_shows_what_makes_sense_for_the_event() {
    let history = history(9);
    let quiet = ConnectionInfo { username: None, ..foo() };
    tell(&history, &foo(), 1, NOW, None, &Recorder::new());
    tell(&history, &quiet, 2, NOW + 5, Some(Reason::TakenOver), &Recorder::new());
    tell(&history, &foo(), 3, NOW + 6, Some(Reason::NodeDown), &Recorder::new());
    let shown: Vec<_> =
        history.query(&Query::default()).iter().map(|entry| serde_json::to_value(&**entry).unwrap()).collect();
    assert_eq!(
        shown[0],
        json!({
            "id": 1, "event": "connected", "clientid": "emqtt-8348fe27a87976ad4db3", "username": "foo", "at": NOW,
            "connected_at": NOW, "ipaddress": "127.0.0.1", "port": 50_123, "sockport": 1883, "listener": "mqtt",
            "proto_ver": 4, "proto_name": "MQTT", "keepalive": 60, "clean_start": true, "expiry_interval": 0,
            "session_present": false, "epoch": 3, "conn_id": 41, "seq": 1,
        })
    );
    for (key, value) in [
        ("event", json!("disconnected")),
        ("username", Value::Null),
        ("at", json!(NOW + 5)),
        ("reason", json!("takeovered")),
        ("reason_code", json!(142)),
        ("initiator", json!("server")),
        ("estimated", json!(false)),
    ] {
        assert_eq!(shown[1].get(key), Some(&value), "{key}");
    }
    assert_eq!((&shown[2]["estimated"], shown[2].get("reason_code")), (&json!(true), None));
}

#[test]
fn texts_are_told_apart() {
    for (id, username) in [("", None), ("", Some("")), ("a", Some("é")), ("aé", None), ("日本", Some("x"))] {
        let client = ConnectionInfo { username: username.map(Into::into), ..named(id) };
        let entry = Entry::read(&record::made_up(&client, 1, NOW, None)).unwrap();
        assert_eq!((entry.client_id(), entry.username()), (id, username));
    }
}

#[test]
fn events_are_found_by_number_time_and_client() {
    let history = history(100);
    for n in 0..10 {
        come(&history, ["a/1", "a/2", "b"][n as usize % 3], 100 + n);
    }
    #[track_caller]
    fn check(history: &History, query: Query<'_>, found: &[u64]) {
        assert_eq!(numbers(history, &query), found);
    }
    let any = Query::default();
    check(&history, Query { since: Some(7), ..any }, &[8, 9, 10]);
    check(&history, Query { since: Some(10), ..any }, &[]);
    check(&history, Query { before: Some(3), ..any }, &[1, 2]);
    check(&history, Query { since: Some(2), before: Some(5), newest_first: true, ..any }, &[4, 3]);
    check(&history, Query { since: Some(5), before: Some(5), ..any }, &[]);
    check(&history, Query { since: Some(u64::MAX), before: Some(0), ..any }, &[]);
    check(&history, Query { from: Some(108), ..any }, &[9, 10]);
    check(&history, Query { to: Some(100), ..any }, &[1]);
    check(&history, Query { client_id: Some("a/1"), ..any }, &[1, 4, 7, 10]);
    check(&history, Query { client_id: Some("a"), ..any }, &[]);
    let its = Query { client_id: Some("a/1"), ..any };
    check(&history, Query { limit: 2, ..its }, &[1, 4]);
    check(&history, Query { limit: 2, newest_first: true, ..its }, &[10, 7]);
    check(&history, Query { limit: 2, newest_first: true, before: Some(10), ..its }, &[7, 4]);
    check(&history, Query { limit: 1, since: Some(4), ..its }, &[7]);
    check(&history, Query { limit: 0, ..its }, &[]);
    check(&history, Query { client_id_prefix: Some("a/"), limit: 3, ..any }, &[1, 2, 4]);
    check(&history, Query { client_id_prefix: Some("a/"), limit: 3, newest_first: true, ..any }, &[10, 8, 7]);
    check(&history, Query { limit: 0, ..any }, &[]);
}

#[test]
fn a_restart_goes_on_where_the_last_process_was() {
    let host = Recorder::new();
    let history = restored(&host, 1000);
    resize(&history, 3, &host);
    for n in 0..5 {
        come_at(&host, &history, "c", n);
    }
    let history = restored(&host, 2000);
    assert_eq!(all(&history), [1002, 1003, 1004], "before the module is started");
    resize(&history, 3, &host);
    tell(&history, &foo(), 2, 9, Some(Reason::NodeDown), &host);
    assert_eq!(all(&history), [1003, 1004, 2000]);
    assert_eq!(kept_numbers(&host), [1003, 1004, 2000]);
    // A first number that is too low is not used.
    let history = restored(&host, 5);
    resize(&history, 3, &host);
    come_at(&host, &history, "c", 10);
    assert_eq!(all(&history), [1004, 2000, 2001]);
}

#[tokio::test]
async fn who_follows_hears_each_event_once() {
    let history = history(10);
    come(&history, "before", 0);
    let mut live = history.subscribe();
    assert_eq!(live.since(), 1);
    come(&history, "after", 1);
    let Some(Heard::Event(entry)) = live.next().await else { panic!("an event") };
    assert_eq!((entry.number, entry.client_id()), (2, "after"));
    drop(live);
    come(&history, "nobody", 2);
    assert!(history.state.lock().live.is_none());
}

#[tokio::test]
async fn who_is_slow_is_told_how_many_were_missed_and_can_catch_up() {
    let history = history(10_000);
    let mut live = history.subscribe();
    for n in 0..BACKLOG as u64 + 50 {
        come(&history, "c", n);
    }
    assert_eq!(live.next().await, Some(Heard::Missed(50)));
    let Some(Heard::Event(entry)) = live.next().await else { panic!("an event") };
    let missed = Query { since: Some(live.since()), before: Some(entry.number), ..Query::default() };
    assert_eq!(numbers(&history, &missed), (1..=50).collect::<Vec<_>>());
}

#[tokio::test]
async fn events_can_be_followed_without_room_for_any() {
    let history = history(0);
    let mut live = history.subscribe();
    come(&history, "c", 0);
    assert!(matches!(live.next().await, Some(Heard::Event(entry)) if entry.number == 1));
    drop(history);
    assert_eq!(live.next().await, None);
}

#[test]
fn events_of_one_client_stay_in_order_whoever_else_records_and_asks() {
    let history = history(100);
    std::thread::scope(|scope| {
        for thread in 0..4 {
            let history = &history;
            scope.spawn(move || {
                let client = named(&format!("c{thread}"));
                for seq in 0..2_000 {
                    tell(history, &client, seq, seq, None, &Recorder::new());
                }
            });
        }
        for _ in 0..200 {
            let found = history.query(&Query::default());
            assert!(found.is_sorted_by(|a, b| a.number < b.number));
            let mut last = BTreeMap::new();
            for entry in found {
                let before = last.insert(entry.client_id().to_owned(), entry.seq);
                assert!(before.is_none_or(|before| before < entry.seq));
            }
        }
    });
    assert_eq!(history.counts().connected, 8_000);
}

#[derive(Clone, Debug)]
enum Step {
    /// A client by number, with so much text besides.
    Come(usize, usize),
    Resize(usize),
    Restart(usize),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        20 => (0usize..6, prop_oneof![8 => 0usize..30, 1 => 0usize..3_000]).prop_map(|(who, len)| Step::Come(who, len)),
        1 => (0usize..40).prop_map(Step::Resize),
        1 => (0usize..40).prop_map(Step::Restart),
    ]
}

/// An event of the plain list.
#[derive(Clone, Debug)]
struct Plain {
    number: u64,
    id: String,
}

impl Plain {
    fn weight(&self) -> u64 {
        self.id.len().div_ceil(ring::TEXT).max(1) as u64
    }
}

/// The ring in a few words: who has the most loses the oldest, if that is more than the floor, and of two that have the same
/// who has had so much for longer; else the oldest of all goes.
#[derive(Debug, Default)]
struct PlainRing {
    events: Vec<Plain>,
    /// When what a client has has changed last.
    changed: BTreeMap<String, u64>,
    changes: u64,
}

impl PlainRing {
    fn push(&mut self, event: Plain) {
        self.note_change(&event.id);
        self.events.push(event);
    }

    fn make_room(&mut self, capacity: usize) {
        while self.events.iter().map(Plain::weight).sum::<u64>() > capacity as u64 {
            let of = |id: &str| self.events.iter().filter(|event| event.id == id).map(Plain::weight).sum::<u64>();
            let ranked = self.events.iter().map(|event| (of(&event.id), Reverse(self.changed[&event.id]), &event.id));
            let most = ranked.max().filter(|(most, ..)| *most > ring::FLOOR.into()).map(|(.., id)| id);
            let goes = self.events.iter().position(|event| most.is_none_or(|most| event.id == *most));
            let gone = self.events.remove(goes.expect("something takes the room"));
            self.note_change(&gone.id);
        }
    }

    fn note_change(&mut self, id: &str) {
        self.changes += 1;
        self.changed.insert(id.to_owned(), self.changes);
    }

    /// As another process finds it, which reads the events one after the other.
    fn restart(&mut self) {
        let events = std::mem::take(&mut self.events);
        events.into_iter().for_each(|event| self.push(event));
    }

    fn numbers(&self) -> Vec<u64> {
        self.events.iter().map(|event| event.number).collect()
    }
}

proptest! {
    /// Against a list; what is kept is always what is there, and the same after a restart.
    #[test]
    fn the_ring_agrees_with_a_plain_list(steps in prop::collection::vec(step(), 0..120)) {
        let host = Recorder::new();
        let mut history = restored(&host, 1);
        let (mut capacity, mut next) = (20, 1);
        resize(&history, capacity, &host);
        let mut plain = PlainRing::default();
        for step in steps {
            match step {
                Step::Come(who, len) => {
                    let id = format!("{who}{}", "x".repeat(if len < 30 { 0 } else { len }));
                    come_at(&host, &history, &id, 0);
                    let event = Plain { number: next, id };
                    // A number is used up also where there is no room.
                    next += 1;
                    if event.weight() <= capacity as u64 {
                        plain.push(event);
                    }
                }
                Step::Resize(to) => {
                    resize(&history, to, &host);
                    capacity = to;
                }
                Step::Restart(to) => {
                    next += 100;
                    history = restored(&host, next);
                    plain.restart();
                    resize(&history, to, &host);
                    capacity = to;
                }
            }
            plain.make_room(capacity);
            let expected = plain.numbers();
            prop_assert_eq!(&all(&history), &expected);
            prop_assert_eq!(&kept_numbers(&host), &expected);
            for who in 0..6 {
                let id = who.to_string();
                let oldest = plain.events.iter().find(|event| event.id == id).map(|event| event.number);
                prop_assert_eq!(history.oldest(Some(&id)).map(|entry| entry.number), oldest);
            }
        }
    }

    /// What is kept is what there is room for, and the last event of each client, once.
    #[test]
    fn what_is_kept_are_the_last_events_of_all_and_of_each(steps in prop::collection::vec(step(), 0..80)) {
        let host = Recorder::new();
        let mut history = restored(&host, 1);
        let (mut capacity, mut next) = (8, 1);
        know(&history, capacity, 10_000, &host);
        let mut plain = PlainRing::default();
        let mut last = BTreeMap::<String, u64>::new();
        for step in steps {
            match step {
                Step::Come(who, len) => {
                    let id = format!("{who}{}", "x".repeat(if len < 30 { 0 } else { len }));
                    come_at(&host, &history, &id, 0);
                    last.insert(id.clone(), next);
                    let event = Plain { number: next, id };
                    next += 1;
                    if event.weight() <= capacity as u64 {
                        plain.push(event);
                    }
                }
                Step::Resize(to) => {
                    know(&history, to, 10_000, &host);
                    capacity = to;
                }
                Step::Restart(to) => {
                    next += 100;
                    history = restored(&host, next);
                    know(&history, to, 10_000, &host);
                    // The last events of clients are kept anyway, so there is room for them again.
                    plain.events.extend(last.iter().map(|(id, number)| Plain { number: *number, id: id.clone() }));
                    plain.events.sort_by_key(|event| event.number);
                    plain.events.dedup_by_key(|event| event.number);
                    plain.restart();
                    capacity = to;
                }
            }
            plain.make_room(capacity);
            let mut expected = plain.numbers();
            prop_assert_eq!(&all(&history), &expected);
            expected.extend(last.values());
            expected.sort_unstable();
            expected.dedup();
            prop_assert_eq!(&kept_numbers(&host), &expected);
            for (id, number) in &last {
                prop_assert_eq!(history.last_event(id).map(|event| event.number), Some(*number));
            }
        }
        know(&history, 0, 0, &host);
        prop_assert!(kept_numbers(&host).is_empty());
    }

    /// Also in a folder where an older version kept its events round a ring, and one that was kept twice.
    #[test]
    fn places_of_an_older_version_are_taken_over(first in 0u64..20, len in 0u64..20, twice: bool) {
        let host = Recorder::new();
        let records = host.records_of("presence");
        let put = |place: u64, number: u64| {
            let record = record::made_up(&named("c"), number, number, None);
            records.keep(&mut host.moment(), &place.to_be_bytes(), &record);
        };
        (0..len).for_each(|n| put((first + n) % 20, n + 1));
        if twice && len > 0 {
            put(20, len);
        }
        let history = restored(&host, 1_000);
        resize(&history, 20, &host);
        prop_assert_eq!(all(&history), (1..=len).collect::<Vec<_>>());
        for n in 0..30 {
            come_at(&host, &history, "c", n);
            prop_assert_eq!(kept_numbers(&host), all(&history));
        }
        prop_assert_eq!(all(&history), (1_010..1_030).collect::<Vec<_>>());
    }

    #[test]
    fn pieces_make_no_difference(
        len in 0..600usize, since in 0..700u64, before in 0..700u64, limit in 0..700usize, newest_first: bool,
    ) {
        let history = history(400);
        for n in 0..len {
            come(&history, "c", n as u64);
        }
        let (since, before) = (Some(since), Some(before));
        let found = numbers(&history, &Query { since, before, limit, newest_first, ..Query::default() });
        let mut expected: Vec<_> =
            all(&history).into_iter().filter(|n| since < Some(*n) && Some(*n) < before).collect();
        if newest_first {
            expected.reverse();
        }
        expected.truncate(limit);
        prop_assert_eq!(found, expected);
    }
}

#[test]
fn a_client_is_known_by_its_last_event_over_restarts() {
    let host = Recorder::new();
    let history = restored(&host, 1);
    know(&history, 4, 1_000, &host);
    come_at(&host, &history, "it", 100);
    tell(&history, &named("it"), 2, 200, Some(Reason::Kicked), &host);
    (0..50).for_each(|n| come_at(&host, &history, &format!("c{n}"), 300));
    let check = |history: &History| {
        let last = history.last_event("it").expect("it is known");
        assert_eq!((last.at, last.first_seen, last.end().unwrap().reason), (200, 100, "kicked".into()));
        let of_it = Query { client_id: Some("it"), ..Query::default() };
        assert_eq!(numbers(history, &of_it), [2], "its last event is found though there was no room for it");
        assert!(numbers(history, &Query { since: Some(2), ..of_it }).is_empty());
        assert!(numbers(history, &Query { before: Some(2), newest_first: true, ..of_it }).is_empty());
        assert!(numbers(history, &Query { limit: 0, ..of_it }).is_empty());
    };
    check(&history);
    let history = restored(&host, 1_000);
    know(&history, 4, 1_000, &host);
    check(&history);
    assert_eq!(history.counts().known, 51);
    tell(&history, &named("it"), 3, 400, None, &host);
    assert_eq!(history.last_event("it").unwrap().first_seen, 100);
    // Gone for longer than it is to be known.
    tell(&history, &named("it"), 4, 500, Some(Reason::Kicked), &host);
    let records = host.records_of("presence");
    (0..History::SHARDS).for_each(|shard| history.forget_old(shard, 2_000_000, &records, &mut host.moment()));
    assert_eq!(
        (history.last_event("it"), history.counts().known),
        (None, 50),
        "those who are online are known for ever"
    );
    assert_eq!(history.counts().forgotten, 1);
}

#[test]
fn those_who_are_away_come_in_order_of_their_ids() {
    let history = History::new();
    let host = Recorder::new();
    know(&history, 0, 10_000, &host);
    for n in 0..500 {
        let id = format!("{:03}", (n * 7) % 500);
        let client = ConnectionInfo { username: (n % 2 == 0).then(|| "even".into()), ..named(&id) };
        // Of three, one is online, one says it was, and one has gone.
        tell(&history, &client, 1, n, (n % 3 == 0).then_some(Reason::Kicked), &host);
    }
    let online: Vec<_> = (0..500).filter(|n| n % 3 == 1).map(|n| format!("{:03}", (n * 7) % 500)).collect();
    let is_away = |last: &Entry| !online.iter().any(|id| id == last.client_id());
    let wanted = Wanted { after: None, prefix: "", username: None, since: 0, limit: 100 };
    let (mut after, mut found) = (None::<String>, Vec::new());
    loop {
        let (some, has_more) = history.last_events(&Wanted { after: after.as_deref(), ..wanted }, &is_away);
        found.extend(some.iter().map(|entry| entry.client_id().to_owned()));
        after = found.last().cloned();
        if !has_more {
            break;
        }
    }
    let mut expected: Vec<_> = (0..500).filter(|n| n % 3 != 1).map(|n| format!("{:03}", (n * 7) % 500)).collect();
    expected.sort();
    assert_eq!(found, expected);
    let count = |wanted: Wanted<'_>| history.last_events(&Wanted { limit: 1000, ..wanted }, &is_away).0.len();
    assert_eq!(count(Wanted { prefix: "00", ..wanted }), expected.iter().filter(|id| id.starts_with("00")).count());
    assert_eq!(
        count(Wanted { username: Some("even"), ..wanted }),
        (0..500).filter(|n| n % 3 != 1 && n % 2 == 0).count()
    );
    assert_eq!(count(Wanted { since: 450, ..wanted }), (450..500).filter(|n| n % 3 != 1).count());
}

#[test]
fn an_event_that_cannot_be_read_is_left_out() {
    let host = Recorder::new();
    let history = restored(&host, 1);
    resize(&history, 10, &host);
    come_at(&host, &history, "a", 1);
    come_at(&host, &history, "b", 2);
    let records = host.records_of("presence");
    records.keep(&mut host.moment(), b"no place", b"");
    records.keep(&mut host.moment(), &0_u64.to_be_bytes(), b"\xFF");
    let history = restored(&host, 1);
    resize(&history, 10, &host);
    assert_eq!(all(&history), [2]);
    come_at(&host, &history, "c", 3);
    assert_eq!(all(&history), [2, 3]);
}
