use std::collections::BTreeMap;

use mqtt_codec::{Filter, Topic};
use proptest::prelude::*;

use super::*;
use crate::{Matches, Options, Router};

fn filter(text: &str) -> Filter {
    Filter::new(text.to_owned()).unwrap()
}

/// The members of the one group that the topic `a` reaches: those who are there, and those who are not.
fn members(router: &Router<u32>, found: &mut Matches<u32>) -> (Vec<u32>, Vec<u32>) {
    router.matches(&Topic::new("a").unwrap(), None, found);
    let Some(group) = found.groups().next() else { return (Vec::new(), Vec::new()) };
    (group.present().map(|one| *one.key()).collect(), group.absent().map(|one| *one.key()).collect())
}

#[test]
fn the_absent_come_after_those_who_are_there() {
    let router = Router::new();
    let mut found = Matches::default();
    for key in 0..5 {
        router.subscribe(&filter("$share/g/a"), key, Options::default());
        router.subscribe(&filter("$share/h/+"), key, Options::default());
    }
    for key in [0, 2, 4] {
        router.set_attendance(&key, Attendance::Absent);
    }
    router.set_attendance(&7, Attendance::Absent);
    router.matches(&Topic::new("a").unwrap(), None, &mut found);
    assert_eq!(found.groups().count(), 2);
    for group in found.groups() {
        let candidates: Vec<_> = group.candidates().map(|one| *one.key()).collect();
        let (present, absent) = candidates.split_at(2);
        assert!(present.iter().all(|key| key % 2 == 1) && absent.iter().all(|key| key % 2 == 0), "{candidates:?}");
        assert_eq!(candidates.len(), 5);
    }
    // What it subscribes to while it is away it is absent from, too.
    router.subscribe(&filter("$share/i/a"), 2, Options::default());
    router.unsubscribe(&filter("$share/g/a"), &2);
    router.matches(&Topic::new("a").unwrap(), None, &mut found);
    let present: usize = found.groups().map(|group| group.present().count()).sum();
    assert_eq!(present, 4);
    router.set_attendance(&2, Attendance::Present);
    let present: usize = found.groups().map(|group| group.present().count()).sum();
    assert_eq!(present, 6);
}

#[test]
fn who_is_there_takes_turns_whoever_is_absent() {
    let router = Router::new();
    for key in 0..100 {
        router.subscribe(&filter("$share/g/a"), key, Options::default());
        if key >= 3 {
            router.set_attendance(&key, Attendance::Absent);
        }
    }
    let mut found = Matches::default();
    let firsts: Vec<_> = (0..9).map(|_| members(&router, &mut found).0[0]).collect();
    assert_eq!(firsts[..3], firsts[3..6]);
    assert_eq!(firsts[..3].iter().collect::<HashSet<_>>().len(), 3);
}

#[test]
fn one_that_stays_is_met_whoever_leaves_meanwhile() {
    for turn in 0..4 {
        for leaves in 0..4 {
            let router = Router::new();
            for key in 0..4 {
                router.subscribe(&filter("$share/g/a"), key, Options::default());
            }
            let mut found = Matches::default();
            for _ in 0..=turn {
                router.matches(&Topic::new("a").unwrap(), None, &mut found);
            }
            let group = found.groups().next().unwrap();
            let mut met = HashSet::new();
            for (at, one) in group.present().enumerate() {
                met.insert(*one.key());
                if at == 1 {
                    router.set_attendance(&leaves, Attendance::Absent);
                }
            }
            met.insert(leaves);
            assert_eq!(met.len(), 4, "turn {turn}, {leaves} leaves");
        }
    }
}

#[test]
fn a_walk_ends_however_fast_others_come_and_go() {
    let router = Router::new();
    for key in 0..100 {
        router.subscribe(&filter("$share/g/a"), key, Options::default());
    }
    let mut found = Matches::default();
    router.matches(&Topic::new("a").unwrap(), None, &mut found);
    let group = found.groups().next().unwrap();
    let met = group.present().inspect(|_| {
        router.set_attendance(&0, Attendance::Absent);
        router.set_attendance(&0, Attendance::Present);
    });
    assert!((100..=100 + usize::from(MAX_RESTARTS)).contains(&met.count()));
}

proptest! {
    #[test]
    fn members_are_where_their_presence_says(changes in proptest::collection::vec((0..60_u32, 0..4_u8), 1..400)) {
        let (router, mut oracle) = (Router::new(), BTreeMap::new());
        let mut found = Matches::default();
        for (key, change) in changes {
            match change {
                0 | 1 => {
                    router.subscribe(&filter("$share/g/a"), key, Options::default());
                    oracle.entry(key).or_insert(Attendance::Present);
                }
                2 => {
                    let existed = oracle.remove(&key).is_some();
                    prop_assert_eq!(router.unsubscribe(&filter("$share/g/a"), &key), existed);
                }
                _ => {
                    let attendance = if key % 3 == 0 { Attendance::Present } else { Attendance::Absent };
                    router.set_attendance(&key, attendance);
                    oracle.entry(key).and_modify(|old| *old = attendance);
                }
            }
        }
        let (mut present, mut absent) = members(&router, &mut found);
        present.sort_unstable();
        absent.sort_unstable();
        let those = |attendance| oracle.iter().filter(move |(_, one)| **one == attendance).map(|(key, _)| *key);
        prop_assert_eq!(present, those(Attendance::Present).collect::<Vec<_>>());
        prop_assert_eq!(absent, those(Attendance::Absent).collect::<Vec<_>>());
    }
}
