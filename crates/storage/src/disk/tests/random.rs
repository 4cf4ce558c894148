//! Random steps, restarts, failures and compaction against a plain map.

use proptest::collection::vec;
use proptest::prelude::*;

use super::failing::{Full, faulty};
use super::*;

#[derive(Clone, Debug)]
enum Event {
    Write(Vec<Change>),
    /// A write for whose beginning only there is room.
    Fail(Vec<Change>, usize),
    Compact(usize),
    Reopen,
}

#[derive(Clone, Debug)]
struct Change {
    table: usize,
    key: Vec<u8>,
    value: Option<Vec<u8>>,
}

fn change() -> impl Strategy<Value = Change> {
    let key = prop_oneof![3 => vec(0..4u8, 1..3), 1 => vec(0..2u8, 21..25)];
    (0..3usize, key, proptest::option::weighted(0.7, vec(any::<u8>(), 0..60))).prop_map(|(table, key, value)| Change {
        table: table * 4,
        key,
        value,
    })
}

fn event() -> impl Strategy<Value = Event> {
    let changes = || vec(change(), 1..12);
    prop_oneof![
        8 => changes().prop_map(Event::Write),
        1 => (changes(), 0..200usize).prop_map(|(changes, room)| Event::Fail(changes, room)),
        3 => (1..8usize).prop_map(Event::Compact),
        1 => Just(Event::Reopen),
    ]
}

fn steps_of(changes: &[Change]) -> Steps {
    let mut steps = Steps::default();
    for Change { table, key, value } in changes {
        match value {
            Some(value) => steps.put(Table::ALL[*table], key, value),
            None => steps.remove(Table::ALL[*table], key),
        }
    }
    steps
}

proptest! {
    // Each case copies and opens the folder dozens of times.
    #![proptest_config(ProptestConfig::with_cases(40))]

    #[test]
    fn it_agrees_with_a_map(events in vec(event(), 1..80), is_power in any::<bool>()) {
        let durability = if is_power { Durability::Power } else { Durability::Process };
        let folder = tempfile::tempdir().unwrap();
        let start = || Shared::open(folder.path().to_owned(), durability, faulty()).unwrap().0;
        let mut expected = Records::new();
        let mut store = Some((start(), Compactor::default()));
        for event in events {
            let (shared, compactor) = store.as_mut().unwrap();
            match event {
                Event::Write(changes) => {
                    let steps = steps_of(&changes);
                    shared.write(&steps).unwrap();
                    apply(&mut expected, &steps);
                }
                Event::Fail(changes, room) => {
                    let steps = steps_of(&changes);
                    let _full = Full::after(room);
                    if shared.write(&steps).is_ok() {
                        apply(&mut expected, &steps);
                    }
                }
                Event::Compact(steps) => {
                    for _ in 0..steps {
                        compactor.step(&shared.log).unwrap();
                        let copy = copy(folder.path());
                        prop_assert_eq!(&records(&open(copy.path()).unwrap().0), &expected);
                    }
                }
                Event::Reopen => {
                    drop(store.take());
                    store = Some((start(), Compactor::default()));
                }
            }
            prop_assert_eq!(&records(&store.as_ref().unwrap().0), &expected);
        }
        let (shared, compactor) = store.as_mut().unwrap();
        while compactor.step(&shared.log).unwrap() == Progress::Working {}
        prop_assert_eq!(&records(shared), &expected);
        let log = shared.log.lock();
        prop_assert!(log.segments.len() == 1 || log.total <= 2 * log.live + log.tuning.slack);
    }
}
