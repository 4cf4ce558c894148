//! What is staged is loaded again.

use std::sync::Arc;

use bytes::Bytes;
use mqtt_codec::{Filter, Message, PacketId, Properties, Property, Qos, SubscribeOptions, Topic, Version, Will};
use mqtt_session::{
    Attach, Change, Config, Delivery, DeliveryOptions, Fanout, Outbox, Publication, Session, SubscriptionIds, Timestamp,
};

use crate::{
    Alive, Bounds, Disk, Durability, Failing, Journal, Loaded, Memory, OnlineRecord, SessionRecord, Stage, Step, Steps,
    Store, StoreError, Table, Visit, WillRecord, read_records,
};

fn message(topic: &str, payload: &str, qos: Qos) -> Message {
    Message {
        topic: Topic::new(topic).unwrap(),
        payload: Bytes::copy_from_slice(payload.as_bytes()),
        qos,
        retain: false,
        properties: Properties::from([Property::ContentType("text".into()), Property::PayloadFormat(false)]),
    }
}

const ALIVE: Alive = Alive { wall: 5_500, clock: Timestamp(4_400), boot: u128::MAX - 7, since_boot: 3_300 };

fn session_record(client_id: &str) -> SessionRecord<'_> {
    SessionRecord {
        client_id: client_id.into(),
        level: 5,
        session_expiry: 100,
        expires_at: Some(7_000),
        will: None,
        seq: 4,
        last_fact_ms: 6_000,
        created_at: 5_000,
        from: None,
    }
}

fn journal(store: &Arc<dyn Store>) -> Journal {
    let loaded = Loaded::read(&**store).unwrap();
    Journal::new(Arc::clone(store), loaded.last_message)
}

/// All backends, and whatever keeps the folder of one there.
fn stores() -> Vec<(Arc<dyn Store>, Option<tempfile::TempDir>)> {
    let mut stores: Vec<(Arc<dyn Store>, _)> = vec![(Arc::new(Memory::default()), None)];
    for durability in [Durability::Process, Durability::Power] {
        let folder = tempfile::tempdir().unwrap();
        stores.push((Arc::new(Disk::open(folder.path(), durability).unwrap()), Some(folder)));
    }
    stores
}

/// A session that is connected and stored.
fn attached(version: Version) -> Session {
    let mut session = Session::new(Arc::new(Config { is_stored: true, max_inflight: 1, ..Config::default() }));
    let connect = mqtt_codec::Connect::new(version, "c");
    session.attach(&Attach { connect: &connect, session_expiry: 100, keep_alive: 0 });
    session.resume(Timestamp(0), &mut Outbox::new());
    session
}

fn deliver(session: &mut Session, fanout: &mut Fanout<'_>, qos: Qos) {
    let options = DeliveryOptions { qos, subscription_ids: &[1, 2], ..Default::default() };
    session.deliver(fanout, options, Timestamp(0), &mut Outbox::new());
}

fn stage(journal: &Journal, number: u64, session: &mut Session) {
    let changes = session.take_changes();
    journal.stage(|stage| changes.iter().for_each(|change| stage.change(number, change)));
}

fn count(store: &dyn Store, table: Table) -> usize {
    let mut records = 0;
    store
        .read(table, &mut |_, _| {
            records += 1;
            Ok(())
        })
        .unwrap();
    records
}

#[test]
fn everything_comes_back() {
    for (store, _folder) in stores() {
        let journal = journal(&store);
        let filter = Filter::new("a/+/#").unwrap();
        let options = SubscribeOptions {
            qos: Qos::ExactlyOnce,
            no_local: true,
            retain_as_published: true,
            retain_handling: mqtt_codec::RetainHandling::SendIfNew,
        };
        let bounds = Bounds { epoch: 1, connection: 2, seq: 3, session: 4 };
        let will = Will { message: message("w", "gone", Qos::AtLeastOnce), delay: 9 };
        let online = OnlineRecord {
            session: Some(3),
            info: b"somebody"[..].into(),
            seq: 3,
            will: Some(WillRecord::new(&will, None)),
        };
        let retained =
            Publication::new(Message { retain: true, ..message("r", "kept", Qos::AtMostOnce) }, Timestamp(0));
        journal.stage(|stage| {
            stage.put_session(3, &session_record("c"));
            stage.subscribe(3, &filter, options, Some(8));
            stage.come(2, &online);
            stage.retain(&retained);
            stage.bounds(&bounds);
            stage.alive(ALIVE);
            stage.module("greeter", b"on");
        });
        journal.retry().unwrap();

        let loaded = Loaded::read(&*store).unwrap();
        assert_eq!((loaded.bounds, loaded.alive), (bounds, Some(ALIVE)));
        assert_eq!(loaded.online.get(&2), Some(&online));
        assert_eq!(loaded.online[&2].will.as_ref().unwrap().will().unwrap(), will);
        assert_eq!(loaded.retained, [retained]);
        assert_eq!(loaded.modules["greeter"], b"on");
        let [session] = &loaded.sessions[..] else { panic!("one session") };
        assert_eq!((session.number, &session.record), (3, &session_record("c")));
        let [subscription] = &session.subscriptions[..] else { panic!("one subscription") };
        assert_eq!((&subscription.filter, subscription.options, subscription.id), (&filter, options, Some(8)));
        assert!(!subscription.owes_retained);
        journal.stage(|stage| stage.subscribe_owing(3, &filter, options, Some(8)));
        journal.retry().unwrap();
        let loaded = Loaded::read(&*store).unwrap();
        let [subscription] = &loaded.sessions[0].subscriptions[..] else { panic!("one subscription") };
        assert_eq!((subscription.options, subscription.owes_retained), (options, true));

        journal.stage(|stage| {
            stage.unsubscribe(3, &filter);
            stage.go(2);
            stage.forget_retained(&Topic::new("r").unwrap());
            stage.remove_session(3);
        });
        journal.retry().unwrap();
        for table in Table::ALL {
            assert_eq!(count(&*store, table) > 0, matches!(table, Table::Meta | Table::Modules), "{table:?}");
        }
    }
}

#[test]
fn a_module_has_its_own_records_only() {
    for (store, _folder) in stores() {
        let journal = journal(&store);
        journal.stage(|stage| {
            for (module, key, record) in [
                ("b", "1", "one"),
                ("b", "2", "two"),
                ("ab", "1", "another's"),
                ("b", "1", "newer"),
                ("b", "3", "three"),
            ] {
                stage.keep_record(module, key.as_bytes(), record.as_bytes());
            }
            stage.forget_record("b", b"2");
        });
        journal.retry().unwrap();
        let mut kept = Vec::new();
        read_records(&*store, "b", |key, record| {
            kept.push((key.to_vec(), record.to_vec()));
            Ok(())
        })
        .unwrap();
        assert_eq!(kept, [(b"1".to_vec(), b"newer".to_vec()), (b"3".to_vec(), b"three".to_vec())]);
    }
}

#[test]
fn deliveries_come_back_as_they_were() {
    for (store, _folder) in stores() {
        let journal = journal(&store);
        journal.stage(|stage| stage.put_session(3, &session_record("c")));
        let mut session = attached(Version::V5);
        let publications = ["one", "two", "three"].map(|payload| Publication {
            expires_at: Some(Timestamp(9_000)),
            ..Publication::new(message("t", payload, Qos::ExactlyOnce), Timestamp(0))
        });
        publications[1].place.set_single();
        for publication in &publications {
            deliver(&mut session, &mut Fanout::new(publication), Qos::ExactlyOnce);
        }
        stage(&journal, 3, &mut session);
        journal.retry().unwrap();
        assert_eq!((count(&*store, Table::Messages), count(&*store, Table::Deliveries)), (2, 3));

        let mut loaded = Loaded::read(&*store).unwrap();
        let kept = &loaded.sessions[0].kept;
        let ids: Vec<_> = kept.deliveries.iter().map(|delivery| delivery.packet_id.map(|id| id.as_u16())).collect();
        assert_eq!(ids, [Some(1), None, None]);
        for (delivery, publication) in kept.deliveries.iter().zip(&publications) {
            assert_eq!(*delivery.publication, *publication);
            assert_eq!((delivery.qos, delivery.subscription_ids.as_slice()), (Qos::ExactlyOnce, &[1, 2][..]));
        }
        // The next process ends the session.
        let kept = loaded.sessions.remove(0).kept;
        let mut session = Session::restore(Arc::new(Config::default()), kept, None);
        session.give_up();
        stage(&journal, 3, &mut session);
        journal.retry().unwrap();
        assert_eq!((count(&*store, Table::Messages), count(&*store, Table::Deliveries)), (0, 0));
    }
}

#[test]
fn a_message_for_many_is_stored_until_the_last_has_it() {
    for (store, _folder) in stores() {
        let journal = journal(&store);
        let mut sessions: Vec<_> = (0..3).map(|_| attached(Version::V3_1_1)).collect();
        let publication = Publication::new(message("t", "m", Qos::AtLeastOnce), Timestamp(0));
        let mut fanout = Fanout::new(&publication);
        for (number, session) in (1..).zip(&mut sessions) {
            deliver(session, &mut fanout, Qos::AtLeastOnce);
            stage(&journal, number, session);
        }
        for (number, session) in (1..).zip(&mut sessions) {
            journal.retry().unwrap();
            assert_eq!(count(&*store, Table::Messages), 1);
            session.give_up();
            stage(&journal, number, session);
        }
        journal.retry().unwrap();
        assert_eq!(count(&*store, Table::Messages), 0);
    }
}

#[test]
fn a_group_is_written_as_a_whole() {
    for (store, _folder) in stores() {
        let journal = Arc::new(journal(&store));
        let (staged, halfway) = std::sync::mpsc::channel();
        std::thread::scope(|scope| {
            scope.spawn(|| {
                for n in 0..200u64 {
                    let bundle = journal.bundle();
                    let outer = journal.stage(|stage| stage.module(&n.to_string(), b"first"));
                    staged.send(outer).unwrap();
                    let nested = journal.bundle();
                    journal.stage(|stage| stage.module(&format!("{n} too"), b"second"));
                    drop((nested, bundle));
                }
                drop(staged);
            });
            for position in halfway {
                journal.commit(position).unwrap();
                assert!(journal.is_written(position));
                // Whatever was written is even: both of a bundle or none.
                assert_eq!(count(&*store, Table::Modules) % 2, 0);
            }
        });
    }
}

/// Fails until it is told that all is well.
#[derive(Default)]
struct Flaky {
    memory: Memory,
    works: std::sync::atomic::AtomicBool,
    /// Bytes that it was offered last.
    offered: std::sync::atomic::AtomicUsize,
}

impl Store for Flaky {
    fn write(&self, steps: &Steps) -> Result<(), StoreError> {
        self.offered.store(steps.size(), std::sync::atomic::Ordering::Relaxed);
        if self.works.load(std::sync::atomic::Ordering::Relaxed) {
            return self.memory.write(steps);
        }
        Err(StoreError::Io(std::io::ErrorKind::StorageFull.into()))
    }

    fn read(&self, table: Table, visit: &mut Visit<'_>) -> Result<(), StoreError> {
        self.memory.read(table, visit)
    }
}

#[test]
fn what_could_not_be_written_is_written_later_in_order() {
    let flaky = Arc::new(Flaky::default());
    let journal = Journal::new(Arc::clone(&flaky) as _, 0);
    let first = journal.stage(|stage| stage.module("m", b"first"));
    assert_eq!(journal.commit(first), Err(Failing));
    assert!(journal.is_failing());
    let second = journal.stage(|stage| stage.module("m", b"second"));
    assert_eq!(journal.commit(second), Err(Failing));
    assert!(journal.retry().is_err() && journal.staged_size() > 0);

    flaky.works.store(true, std::sync::atomic::Ordering::Relaxed);
    journal.retry().unwrap();
    assert!(journal.is_written(second) && !journal.is_failing());
    flaky
        .read(Table::Modules, &mut |_, value| {
            assert_eq!(value, b"second");
            Ok(())
        })
        .unwrap();
}

#[test]
fn a_retry_offers_only_what_was_refused_first() {
    let flaky = Arc::new(Flaky::default());
    let journal = Journal::new(Arc::clone(&flaky) as _, 0);
    journal.stage(|stage| stage.module("m", b"first"));
    assert!(journal.retry().is_err());
    let mut last = journal.position();
    for n in 0..100_u8 {
        last = journal.stage(|stage| stage.module("m", &[n; 10_000]));
        assert!(journal.retry().is_err());
        assert_eq!(flaky.offered.load(std::sync::atomic::Ordering::Relaxed), b"mfirst".len());
    }
    assert!((1_000_000..1_010_000).contains(&journal.staged_size()), "{}", journal.staged_size());
    // Attempts with nothing new leave nothing behind.
    let waiting = journal.staged_size();
    for _ in 0..100 {
        last = journal.stage(|_| {});
        assert!(journal.retry().is_err());
    }
    assert_eq!(journal.staged_size(), waiting);
    flaky.works.store(true, std::sync::atomic::Ordering::Relaxed);
    journal.retry().unwrap();
    assert!(journal.is_written(last) && journal.staged_size() == 0);
    let loaded = flaky.read(Table::Modules, &mut |_, value| {
        assert_eq!(value, [99; 10_000]);
        Ok(())
    });
    loaded.unwrap();
}

#[test]
fn sessions_of_schema_1_are_opened_and_written_anew() {
    let folder = tempfile::tempdir().unwrap();
    let store = Disk::open(folder.path(), Durability::Process).unwrap();
    let mut steps = Steps::default();
    steps.put(Table::Meta, b"schema", &1_u32.to_le_bytes());
    // "c", level 5, 100 s, until 7000 ms, no will, the 4th fact, at 6000 ms.
    let old = [1, b'c', 5, 100, 1, 0xd8, 0x36, 0, 4, 0xf0, 0x2e];
    steps.put(Table::Sessions, &3_u64.to_be_bytes(), &old);
    steps.put(Table::Sessions, &9_u64.to_be_bytes(), &old);
    store.write(&steps).unwrap();
    drop(store);
    // The second time there is nothing to be done.
    for _ in 0..2 {
        let store = Disk::open(folder.path(), Durability::Process).unwrap();
        let loaded = Loaded::read(&store).unwrap();
        let sessions: Vec<_> = loaded.sessions.iter().map(|session| (session.number, &session.record)).collect();
        let expected = SessionRecord { created_at: 6_000, ..session_record("c") };
        assert_eq!(sessions, [(3, &expected), (9, &expected)]);
    }
}

#[test]
fn an_unreadable_session_of_schema_1_is_left_out() {
    let store = Memory::default();
    let mut steps = Steps::default();
    steps.put(Table::Meta, b"schema", &1_u32.to_le_bytes());
    steps.put(Table::Sessions, &3_u64.to_be_bytes(), &[1, b'c', 5]);
    store.write(&steps).unwrap();
    for _ in 0..2 {
        let loaded = Loaded::read(&store).unwrap();
        assert!(loaded.sessions.is_empty() && loaded.unreadable[0].table == Table::Sessions);
        assert_eq!(loaded.bounds.session, 3, "its number is not given again");
    }
}

#[test]
fn another_schema_is_refused() {
    let store = Memory::default();
    Loaded::read(&store).unwrap();
    let mut steps = Steps::default();
    steps.put(Table::Meta, b"schema", &9u32.to_le_bytes());
    // What it wrote may look broken here: that isn't what has to be told.
    steps.put(Table::Meta, b"alive", b"of another length");
    steps.put(Table::Meta, b"bounds", b"\xFF");
    store.write(&steps).unwrap();
    let error = Loaded::read(&store).unwrap_err().to_string();
    assert!(error.contains("schema 9"), "{error}");
}

#[test]
fn an_unreadable_record_is_left_out_and_told() {
    for table in Table::ALL {
        let store = Memory::default();
        let kept = Arc::new(Memory::default());
        let journal = Journal::new(Arc::clone(&kept) as _, 0);
        journal.stage(|stage| stage.put_session(7, &session_record("c")));
        journal.retry().unwrap();
        Loaded::read(&store).unwrap();
        let mut steps = Steps::default();
        kept.read(Table::Sessions, &mut |key, value| {
            steps.put(Table::Sessions, key, value);
            Ok(())
        })
        .unwrap();
        steps.put(table, b"bounds", b"\xFF");
        store.write(&steps).unwrap();
        for _ in 0..2 {
            let loaded = Loaded::read(&store).unwrap();
            assert_eq!(loaded.sessions.len(), 1);
            // These are read by whoever wrote them.
            let read_by_others = [Table::Modules, Table::Notes, Table::Retired, Table::Records];
            match &loaded.unreadable[..] {
                [] => assert!(read_by_others.contains(&table), "{table:?}"),
                [one] => assert_eq!((one.table, &one.key[..]), (table, &b"bounds"[..])),
                more => panic!("{more:?}"),
            }
            assert_eq!(count(&store, table), 1 + usize::from([Table::Meta, Table::Sessions].contains(&table)));
        }
    }
}

#[test]
fn no_number_is_given_again_if_the_record_of_them_is_lost() {
    for (store, _folder) in stores() {
        let journal = journal(&store);
        let online = OnlineRecord { session: None, info: b"somebody"[..].into(), seq: 40, will: None };
        journal.stage(|stage| {
            stage.put_session(9, &session_record("c"));
            stage.come(12, &online);
            stage.bounds(&Bounds { epoch: 1, connection: 20, seq: 50, session: 30 });
            stage.steps.put(Table::Messages, &77_u64.to_be_bytes(), b"");
            stage.steps.put(Table::Meta, b"bounds", b"");
        });
        journal.retry().unwrap();
        let loaded = Loaded::read(&*store).unwrap();
        assert_eq!((loaded.bounds.session, loaded.bounds.connection, loaded.last_message), (9, 12, 77));
        assert!(loaded.bounds.seq > 40);
    }
}

#[test]
fn a_store_that_has_lost_its_schema_is_not_taken_for_a_new_one() {
    let store = Memory::default();
    let mut steps = Steps::default();
    Loaded::read(&store).unwrap();
    steps.put(Table::Modules, b"greeter", b"on");
    steps.remove(Table::Meta, b"schema");
    store.write(&steps).unwrap();
    for _ in 0..2 {
        assert_eq!(Loaded::read(&store).unwrap().modules["greeter"], b"on");
    }
}

/// What came by an earlier version as the largest packet there can be has no room for what version 5 adds.
#[test]
fn a_message_that_is_too_large_for_a_record_leaves_none() {
    let of = |len| Message {
        topic: Topic::new("t").unwrap(),
        payload: vec![0; len].into(),
        qos: Qos::AtLeastOnce,
        retain: true,
        properties: Properties::EMPTY,
    };
    // Length and text of the topic, and the packet id.
    let largest = 268_435_455 - 3 - 2;
    assert!(!Stage::can_keep_message(&of(largest)) && Stage::can_keep_message(&of(largest - 1)));
    for (store, _folder) in stores() {
        let journal = journal(&store);
        let publication = Publication::new(of(largest), Timestamp(0));
        let delivery = Delivery {
            number: 1,
            publication: publication.clone().into(),
            subscription_ids: SubscriptionIds::new(&[]),
            qos: Qos::AtLeastOnce,
            retain: false,
            stored: false,
            packet_id: None,
            was_queued: true,
            by_group: false,
        };
        journal.stage(|stage| {
            stage.put_session(3, &session_record("c"));
            stage.retain(&publication);
            stage.change(3, &Change::Kept(delivery));
        });
        journal.retry().unwrap();
        let loaded = Loaded::read(&*store).unwrap();
        assert!(loaded.retained.is_empty() && loaded.sessions[0].kept.deliveries.is_empty());
        assert_eq!(loaded.unreadable, []);
    }
}

#[test]
fn a_batch_tells_what_it_was_told() {
    let mut steps = Steps::default();
    steps.put(Table::Meta, b"a", b"1");
    steps.remove(Table::Sent, b"b");
    steps.put(Table::Online, b"c", b"");
    let mut twice = Steps::default();
    twice.append(&steps);
    twice.append(&steps);
    let steps =
        [Step::Put(Table::Meta, b"a", b"1"), Step::Remove(Table::Sent, b"b"), Step::Put(Table::Online, b"c", b"")];
    assert_eq!(twice.iter().collect::<Vec<_>>(), [steps, steps].concat());
    twice.clear();
    assert!(twice.is_empty() && twice.size() == 0);
}

/// Its end was stored, and not that of all it had.
#[test]
fn subscriptions_of_a_session_that_is_over_are_removed_at_the_next_start() {
    for (store, _folder) in stores() {
        let journal = journal(&store);
        let filter = |text: &str| Filter::new(text.to_owned()).unwrap();
        journal.stage(|stage| {
            for (session, text) in [(3, "a"), (3, "b"), (4, "a"), (5, "c")] {
                stage.subscribe(session, &filter(text), SubscribeOptions::default(), None);
            }
            stage.put_session(4, &session_record("stays"));
            stage.unsubscribe(3, &filter("a"));
        });
        journal.retry().unwrap();
        // Of this one nothing is known but that it can't be read: what it has stays with it.
        let mut steps = Steps::default();
        steps.put(Table::Sessions, &5_u64.to_be_bytes(), b"unreadable");
        store.write(&steps).unwrap();
        for _ in 0..2 {
            let loaded = Loaded::read(&*store).unwrap();
            let [session] = &loaded.sessions[..] else { panic!("one session") };
            assert_eq!((session.number, session.subscriptions.len()), (4, 1));
            assert_eq!(count(&*store, Table::Subscriptions), 2);
        }
    }
}

/// The same for what it was owed: the message that only it kept goes, the one that another session keeps too stays.
#[test]
fn messages_of_a_session_that_is_over_are_removed_at_the_next_start() {
    for (store, _folder) in stores() {
        let journal = journal(&store);
        let mut sessions: Vec<_> = (0..2).map(|_| attached(Version::V5)).collect();
        for keepers in [2, 1, 2] {
            let publication = Publication::new(message("t", "m", Qos::ExactlyOnce), Timestamp(0));
            let mut fanout = Fanout::new(&publication);
            for (number, session) in (1..).zip(&mut sessions).take(keepers) {
                deliver(session, &mut fanout, Qos::ExactlyOnce);
                stage(&journal, number, session);
            }
        }
        journal.stage(|stage| stage.change(1, &Change::Received(PacketId::new(7).unwrap())));
        journal.stage(|stage| stage.put_session(2, &session_record("stays")));
        journal.retry().unwrap();
        assert_eq!((count(&*store, Table::Deliveries), count(&*store, Table::Messages)), (5, 3));
        for _ in 0..2 {
            let loaded = Loaded::read(&*store).unwrap();
            let [session] = &loaded.sessions[..] else { panic!("one session") };
            assert_eq!((session.number, session.kept.deliveries.len()), (2, 2));
            assert_eq!((count(&*store, Table::Deliveries), count(&*store, Table::Messages)), (2, 2));
            assert_eq!((count(&*store, Table::Sent), count(&*store, Table::Received)), (0, 0));
        }
    }
}
