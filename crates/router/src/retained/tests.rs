use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;

fn topic(text: &str) -> Topic {
    Topic::new(text.to_owned()).unwrap()
}

fn retained(topics: &[&str]) -> Retained<String> {
    let retained = Retained::new(topics.len());
    for text in topics {
        assert_eq!(retained.insert(&topic(text), (*text).to_owned()), Ok(None));
    }
    retained
}

fn matching<V: Clone>(retained: &Retained<V>, filter: &str) -> Vec<V> {
    let mut out = Vec::new();
    retained.matching(&Filter::new(filter.to_owned()).unwrap(), &mut out);
    out
}

#[test]
fn a_listing_goes_through_all_topics_in_order() {
    let topics: Vec<_> = (0..1000).map(|n| format!("{}/{}", n % 7, n)).collect();
    let retained = retained(&topics.iter().map(String::as_str).collect::<Vec<_>>());
    let (mut out, mut after) = (Vec::new(), None);
    loop {
        after = retained.following(after.as_deref(), 400, &mut out);
        if after.is_none() {
            break;
        }
    }
    assert_eq!(out, matching(&retained, "#"));
    assert_eq!((retained.following(Some("9"), 9, &mut out), out.len()), (None, 1000));
}

#[test]
fn filters_find_their_topics() {
    let retained = retained(&["a", "a/b", "a/b/c", "a/", "/", "/b", "b", "$SYS/b", "$SYS", "a-b", "a!", "ab/b"]);
    let check = |filter, expected: &[&str]| assert_eq!(matching(&retained, filter), expected, "{filter}");
    check("a", &["a"]);
    check("a/#", &["a", "a/", "a/b", "a/b/c"]);
    check("a/+", &["a/", "a/b"]);
    check("+", &["a", "a!", "a-b", "b"]);
    check("+/b", &["/b", "a/b", "ab/b"]);
    check("+/+/#", &["/", "/b", "a/", "a/b", "a/b/c", "ab/b"]);
    check("/#", &["/", "/b"]);
    check("$SYS/+", &["$SYS/b"]);
    check("$SYS/#", &["$SYS", "$SYS/b"]);
    check("c/#", &[]);
    check("+/+/+/+", &[]);
    assert_eq!(matching(&retained, "#").len(), 10);
}

#[test]
fn a_topic_has_one_message() {
    let retained = Retained::new(1);
    assert_eq!(retained.insert(&topic("a"), 1), Ok(None));
    assert_eq!(retained.insert(&topic("b"), 2), Err(Full));
    assert_eq!(retained.insert(&topic("a"), 3), Ok(Some(1)));
    assert_eq!((retained.get(&topic("a")), retained.get(&topic("b"))), (Some(3), None));
    assert_eq!(retained.remove(&topic("b")), None);
    assert_eq!(retained.remove(&topic("a")), Some(3));
    assert_eq!(retained.remove(&topic("a")), None);
    assert!(retained.is_empty());
    assert_eq!(retained.insert(&topic("b"), 2), Ok(None));
}

#[test]
fn what_is_not_kept_is_gone_from_the_index_too() {
    let retained = Retained::new(1000);
    for number in 0..1000 {
        retained.insert(&topic(&format!("a/{number}")), number).unwrap();
    }
    assert_eq!(retained.retain(|number| number % 3 == 0), 666);
    assert_eq!(retained.len(), 334);
    assert_eq!(matching(&retained, "a/+").len(), 334);
    assert_eq!(retained.retain(|_| false), 334);
    assert!(retained.is_empty());
}

#[test]
fn listing_names_every_topic() {
    let retained = retained(&["a/b", "c"]);
    let mut topics = Vec::new();
    retained.for_each(|topic, value| topics.push((topic.to_owned(), value.clone())));
    topics.sort();
    assert_eq!(topics, ["a/b", "c"].map(|text| (text.to_owned(), text.to_owned())));
}

#[test]
fn long_searches_go_on_where_they_stopped() {
    let retained = Retained::new(100_000);
    for number in 0..10_000 {
        retained.insert(&topic(&format!("a/{number:05}")), number).unwrap();
        retained.insert(&topic(&format!("a/{number:05}/b")), number).unwrap();
    }
    assert_eq!(matching(&retained, "a/+"), Vec::from_iter(0..10_000));
    assert_eq!(matching(&retained, "a/+/b"), Vec::from_iter(0..10_000));
    assert_eq!(matching(&retained, "#").len(), 20_000);
}

#[test]
fn deep_topics_are_found() {
    let deep = vec!["a"; 30_000].join("/");
    let slashes = "/".repeat(65_535);
    let retained = retained(&[&deep, &slashes, "a/b"]);
    assert_eq!(matching(&retained, &vec!["+"; 30_000].join("/")), [&*deep]);
    assert_eq!(matching(&retained, &format!("{deep}/#")), [&*deep]);
    assert_eq!(matching(&retained, &format!("{}/#", vec!["+"; 30_000].join("/"))), [&*slashes, &*deep]);
}

#[test]
fn map_and_index_agree_after_threads_come_and_go() {
    let retained = Retained::new(20);
    std::thread::scope(|scope| {
        for thread in 0..4 {
            let retained = &retained;
            scope.spawn(move || {
                for round in 0..5000 {
                    let topic = topic(&format!("a/{}", (round * 7 + thread) % 30));
                    match round % 5 {
                        0 | 1 => drop(retained.insert(&topic, round)),
                        2 | 3 => drop(retained.remove(&topic)),
                        _ => assert!(matching(retained, "a/#").len() <= 30),
                    }
                }
                retained.retain(|round| round % 2 == 0);
            });
        }
    });
    let mut topics: Vec<_> = retained.values.iter().map(|value| value.key().clone()).collect();
    topics.sort();
    assert_eq!(topics, Vec::from_iter(retained.index.read().iter().cloned()));
    assert!(retained.len() <= 20);
}

/// All slices of a walk, with what is done after each.
fn in_slices<V: Clone>(retained: &Retained<V>, filter: &str, budget: usize, mut between: impl FnMut(usize)) -> Vec<V> {
    let filter = Filter::new(filter.to_owned()).unwrap();
    let (mut cursor, mut out) = (Cursor::default(), Vec::new());
    for slice in 0.. {
        let before = out.len();
        let progress = retained.next_slice(&filter, &mut cursor, budget, &mut out);
        assert!(out.len() - before <= budget.max(1), "a slice of {}", out.len() - before);
        assert_eq!(cursor.is_over(), progress == Progress::Over);
        if progress == Progress::Over {
            break;
        }
        assert!(slice <= 2 * retained.len(), "{filter} never ends");
        between(slice);
    }
    let len = out.len();
    assert_eq!(retained.next_slice(&filter, &mut cursor, budget, &mut out), Progress::Over);
    assert_eq!(out.len(), len);
    out
}

#[test]
fn a_walk_in_slices_finds_what_one_at_once_does() {
    let retained = retained(&["a", "a/b", "a/b/c", "a/", "/", "/b", "b", "$SYS/b", "$SYS", "a-b", "a!", "ab/b"]);
    for filter in ["#", "a", "nothing", "a/#", "+", "+/b", "+/+/#", "$SYS/#", "c/#", "a/+", "+/nothing"] {
        for budget in 0..15 {
            assert_eq!(in_slices(&retained, filter, budget, |_| {}), matching(&retained, filter), "{filter} {budget}");
        }
    }
}

#[test]
fn a_slice_ends_also_where_nothing_matches() {
    let retained = Retained::new(100_000);
    for number in 0..10_000 {
        retained.insert(&topic(&format!("{number}/a")), number).unwrap();
    }
    let mut slices = 0;
    assert_eq!(in_slices(&retained, "+/b", 1000, |_| slices += 1), [0; 0]);
    assert!((10..=30).contains(&slices), "{slices}");
}

#[test]
fn long_topics_use_up_a_budget_sooner() {
    let retained = Retained::new(100);
    for number in 0..100 {
        retained.insert(&topic(&format!("{}{number:03}", "x".repeat(10_000))), number).unwrap();
    }
    let mut slices = 0;
    assert_eq!(in_slices(&retained, "#", 100, |_| slices += 1), Vec::from_iter(0..100));
    assert!((9..=11).contains(&slices), "{slices}");
}

#[test]
fn threads_that_come_and_go_hide_nothing_from_a_walk_in_slices() {
    let retained = Retained::new(10_000);
    for number in 0..1000 {
        retained.insert(&topic(&format!("stays/{number:04}")), 0).unwrap();
    }
    let is_over = std::sync::atomic::AtomicBool::new(false);
    std::thread::scope(|scope| {
        for thread in 0..2 {
            let (retained, is_over) = (&retained, &is_over);
            scope.spawn(move || {
                let mut number = thread;
                while !is_over.load(std::sync::atomic::Ordering::Relaxed) {
                    number = (number + 7) % 1000;
                    let (stays, goes) = (topic(&format!("stays/{number:04}")), topic(&format!("stays/{number:04}/x")));
                    retained.insert(&stays, thread).unwrap();
                    retained.insert(&goes, -1).unwrap();
                    retained.remove(&goes);
                }
            });
        }
        for budget in [1, 7, 1000] {
            for _ in 0..20 {
                let found = in_slices(&retained, "stays/+", budget, |_| {});
                assert!(found.len() == 1000 && !found.contains(&-1));
            }
        }
        is_over.store(true, std::sync::atomic::Ordering::Relaxed);
    });
}

fn texts(levels: &'static [&'static str]) -> impl Strategy<Value = String> {
    proptest::collection::vec(proptest::sample::select(levels), 1..5).prop_map(|levels| levels.join("/"))
}

proptest! {
    #[test]
    fn agrees_with_the_plain_rule(
        changes in proptest::collection::vec(
            (texts(&["a", "b", "", "$x", "ab", "a!", "ä"]), any::<Option<u8>>()), 1..120),
        filters in proptest::collection::vec(texts(&["a", "b", "", "$x", "ab", "ä", "+", "+", "#"]), 1..20),
    ) {
        let (retained, mut oracle) = (Retained::new(1000), BTreeMap::new());
        for (text, value) in changes {
            let Ok(topic) = Topic::new(text) else { continue };
            match value {
                Some(value) => {
                    let value = (topic.clone(), value);
                    prop_assert_eq!(retained.insert(&topic, value.clone()), Ok(oracle.insert(topic, value)));
                }
                None => prop_assert_eq!(retained.remove(&topic), oracle.remove(&topic)),
            }
        }
        prop_assert_eq!(retained.len(), oracle.len());
        for filter in filters {
            let Ok(filter) = Filter::new(filter) else { continue };
            let mut found = Vec::new();
            retained.matching(&filter, &mut found);
            found.sort();
            let expected = oracle.values().filter(|(topic, _)| filter.matches(topic)).cloned();
            prop_assert_eq!(found, expected.collect::<Vec<_>>(), "{}", filter);
        }
    }

    #[test]
    fn slices_neither_skip_nor_repeat_whatever_changes_between_them(
        first in proptest::collection::vec(texts(&["a", "b", "", "$x", "ab", "ä"]), 0..60),
        changes in proptest::collection::vec((texts(&["a", "b", "", "$x", "ab", "ä"]), any::<bool>()), 0..60),
        at_once in 0..4_usize,
        filter in texts(&["a", "b", "", "$x", "+", "+", "#"]),
        budget in 0..6_usize,
    ) {
        let topics = |texts: Vec<String>| texts.into_iter().filter_map(|text| Topic::new(text).ok());
        let Ok(filter) = Filter::new(filter) else { return Ok(()) };
        let retained = Retained::new(1000);
        let mut number = 0;
        let mut insert = |topic: &Topic| {
            number += 1;
            retained.insert(topic, (topic.clone(), number)).unwrap();
        };
        let mut stays = std::collections::BTreeSet::new();
        for topic in topics(first) {
            insert(&topic);
            stays.insert(topic);
        }
        let mut ever = stays.clone();
        let mut changes = changes.into_iter().filter_map(|(text, comes)| Some((Topic::new(text).ok()?, comes)));
        let found = in_slices(&retained, filter.as_str(), budget, |_| {
            for (topic, comes) in changes.by_ref().take(at_once) {
                if comes {
                    insert(&topic);
                    ever.insert(topic);
                } else {
                    retained.remove(&topic);
                    stays.remove(&topic);
                }
            }
        });
        let found: Vec<_> = found.into_iter().map(|(topic, _)| topic).collect();
        let once: std::collections::BTreeSet<_> = found.iter().cloned().collect();
        prop_assert_eq!(once.len(), found.len(), "a topic twice: {:?}", found);
        stays.retain(|topic| filter.matches(topic));
        ever.retain(|topic| filter.matches(topic));
        prop_assert!(stays.is_subset(&once), "{}: {:?} of {:?}", filter, once, stays);
        prop_assert!(once.is_subset(&ever), "{}: {:?} beyond {:?}", filter, once, ever);
    }
}
