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
}
