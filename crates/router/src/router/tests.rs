use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;

use super::*;

fn filter(text: &str) -> Filter {
    Filter::new(text.to_owned()).unwrap()
}

fn topic(text: &str) -> Topic {
    Topic::new(text.to_owned()).unwrap()
}

fn router<'a>(subscriptions: &[(&str, &'a str, Options)]) -> Router<&'a str> {
    let router = Router::new();
    for &(text, key, options) in subscriptions {
        router.subscribe(&filter(text), key, options);
    }
    router
}

fn qos(qos: Qos) -> Options {
    Options { qos, ..Options::default() }
}

fn id(id: u32) -> Options {
    Options { subscription_id: NonZeroU32::new(id), ..Options::default() }
}

/// What one subscriber gets.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
struct Copy {
    qos: Qos,
    retain_as_published: bool,
    ids: Vec<u32>,
}

fn copies<K: Clone + Eq + Hash + Ord + std::fmt::Debug>(found: &Matches<K>) -> BTreeMap<K, Copy> {
    let mut copies = BTreeMap::new();
    for one in found.iter() {
        let mut ids = one.subscription_ids.to_vec();
        ids.sort_unstable();
        let copy = Copy { qos: one.qos, retain_as_published: one.retain_as_published, ids };
        assert_eq!(copies.insert(one.key.clone(), copy), None, "{:?} is there twice", one.key);
    }
    copies
}

#[track_caller]
fn check(filters: &[&str], name: &str, expected: &[&str]) {
    let subscriptions: Vec<_> = filters.iter().map(|&text| (text, text, Options::default())).collect();
    let router = router(&subscriptions);
    let mut found = Matches::default();
    router.matches(&topic(name), None, &mut found);
    let keys: Vec<_> = copies(&found).into_keys().collect();
    let expected: BTreeSet<_> = expected.iter().copied().collect();
    assert_eq!(keys, expected.iter().copied().collect::<Vec<_>>(), "{name}");
    assert_eq!(router.is_wanted(&topic(name)), !keys.is_empty());
    assert_eq!(found.is_empty(), keys.is_empty());
    router.matches_named(&topic(name), &mut found);
    let named = keys.into_iter().filter(|filter| !filter.ends_with(['+', '#']));
    assert_eq!(copies(&found).into_keys().collect::<Vec<_>>(), named.collect::<Vec<_>>(), "{name}");
    // What is found so is not taken for all there are.
    router.matches(&topic(name), None, &mut found);
    assert_eq!(copies(&found).len(), expected.len(), "{name}");
}

#[test]
fn who_names_the_last_level_is_told_apart() {
    let filters = ["$SYS/a/+/b", "$SYS/a/+/+", "$SYS/a/#", "$SYS/a/c/b", "$SYS/+/c/b", "$SYS/#", "+/a/c/b", "#"];
    check(&filters, "$SYS/a/c/b", &filters[..6]);
    let router = router(&[("$SYS/#", "ann", Options::default()), ("a/b", "ann", Options::default())]);
    assert!(router.has_dollar_filters() && !router.has_dollar_names());
    router.subscribe(&filter("$SYS/+/b"), "bob", Options::default());
    router.subscribe(&filter("$share/g/$SYS/+/b"), "cid", Options::default());
    assert!(router.has_dollar_names());
    router.unsubscribe(&filter("$SYS/+/b"), &"bob");
    assert!(router.has_dollar_names());
    assert!(router.has_dollar_name("b") && !router.has_dollar_name("settled"));
    router.unsubscribe(&filter("$share/g/$SYS/+/b"), &"cid");
    assert!(!router.has_dollar_names() && !router.has_dollar_name("b"));
}

#[test]
fn a_last_level_is_known_while_a_filter_names_it() {
    let router = Router::new();
    for text in ["$SYS/+/settled", "$SYS/a/settled", "a/settled", "$SYS/settled/+", "$SYS/settled/#"] {
        router.subscribe(&filter(text), "ann", Options::default());
    }
    for (text, is_named) in [("$SYS/+/settled", true), ("a/settled", true), ("$SYS/a/settled", false)] {
        assert!(router.has_dollar_name("settled"));
        router.unsubscribe(&filter(text), &"ann");
        assert_eq!(router.has_dollar_name("settled"), is_named, "{text}");
    }
}

#[test]
fn filters_match_as_the_spec_says() {
    let filters = ["#", "+", "a", "a/#", "a/+", "+/b", "/+", "+/+", "a/b/#", "/", "+/#", "$SYS/#", "$SYS/+", "a//b"];
    check(&filters, "a", &["#", "+", "a", "a/#", "+/#"]);
    check(&filters, "a/b", &["#", "a/#", "a/+", "+/b", "+/+", "a/b/#", "+/#"]);
    check(&filters, "a/", &["#", "a/#", "a/+", "+/+", "+/#"]);
    check(&filters, "/b", &["#", "+/b", "/+", "+/+", "+/#"]);
    check(&filters, "/", &["#", "/", "/+", "+/+", "+/#"]);
    check(&filters, "a//b", &["#", "a/#", "+/#", "a//b"]);
    check(&filters, "$SYS/b", &["$SYS/#", "$SYS/+"]);
    check(&filters, "$SYS", &["$SYS/#"]);
    check(&filters, "$other", &[]);
    check(&["b", "b/+"], "a/b", &[]);
}

#[test]
fn overlapping_subscriptions_are_one_copy() {
    let kept = Options { retain_as_published: true, ..id(3) };
    let router = router(&[
        ("a/b", "ann", Options { qos: Qos::AtLeastOnce, ..id(1) }),
        ("a/+", "ann", Options { qos: Qos::ExactlyOnce, ..id(2) }),
        ("a/+", "bob", kept),
        ("a/#", "ann", qos(Qos::AtMostOnce)),
        ("#", "cid", qos(Qos::AtLeastOnce)),
    ]);
    let mut found = Matches::default();
    router.matches(&topic("a/b"), None, &mut found);
    let copy = |qos, retain_as_published, ids: &[u32]| Copy { qos, retain_as_published, ids: ids.to_vec() };
    let expected = BTreeMap::from([
        ("ann", copy(Qos::ExactlyOnce, false, &[1, 2])),
        ("bob", copy(Qos::AtMostOnce, true, &[3])),
        ("cid", copy(Qos::AtLeastOnce, false, &[])),
    ]);
    assert_eq!(copies(&found), expected);
    found.clear();
    assert!(found.is_empty());
}

#[test]
fn no_local_hides_only_what_it_would_bring() {
    let no_local = Options { no_local: true, qos: Qos::ExactlyOnce, ..id(1) };
    let router = router(&[("a", "ann", no_local), ("b", "ann", no_local), ("b", "bob", no_local), ("+", "cid", id(2))]);
    router.subscribe(&filter("b/#"), "ann", id(3));
    let mut found = Matches::default();
    let mut check = |name: &str, publisher: Option<&&'static str>, expected: &[(&str, &[u32])]| {
        router.matches(&topic(name), publisher, &mut found);
        let copies = copies(&found);
        let copies: Vec<(&str, &[u32])> = copies.iter().map(|(key, copy)| (*key, &*copy.ids)).collect();
        assert_eq!(copies, expected, "{name} by {publisher:?}");
    };
    check("a", Some(&"ann"), &[("cid", &[2])]);
    check("a", Some(&"bob"), &[("ann", &[1]), ("cid", &[2])]);
    check("b", Some(&"ann"), &[("ann", &[3]), ("bob", &[1]), ("cid", &[2])]);
    check("b", None, &[("ann", &[1, 3]), ("bob", &[1]), ("cid", &[2])]);
    check("b", Some(&"bob"), &[("ann", &[1, 3]), ("cid", &[2])]);
}

#[test]
fn asked_again_it_knows_what_has_changed() {
    let router = router(&[("a", "ann", id(1))]);
    let other = Router::new();
    let mut found = Matches::default();
    let mut check = |router: &Router<&'static str>, name: &str, expected: &[(&str, &[u32])]| {
        for _ in 0..2 {
            router.matches(&topic(name), None, &mut found);
            let copies = copies(&found);
            let copies: Vec<(&str, &[u32])> = copies.iter().map(|(key, copy)| (*key, &*copy.ids)).collect();
            assert_eq!(copies, expected, "{name}");
        }
    };
    check(&router, "a", &[("ann", &[1])]);
    check(&other, "a", &[]);
    check(&router, "a", &[("ann", &[1])]);
    check(&router, "b", &[]);
    router.subscribe(&filter("+"), "bob", id(2));
    check(&router, "b", &[("bob", &[2])]);
    check(&router, "a", &[("ann", &[1]), ("bob", &[2])]);
    router.subscribe(&filter("a"), "ann", id(3));
    check(&router, "a", &[("ann", &[3]), ("bob", &[2])]);
    router.unsubscribe(&filter("a"), &"ann");
    check(&router, "a", &[("bob", &[2])]);
}

#[test]
fn who_hears_only_itself_is_nobody() {
    let router = router(&[("a", "ann", Options { no_local: true, ..Options::default() })]);
    let mut found = Matches::default();
    router.matches(&topic("a"), Some(&"ann"), &mut found);
    assert!(found.is_empty());
}

#[test]
fn subscribing_again_replaces_the_options() {
    let router = Router::new();
    for text in ["a", "+", "$share/g/a"] {
        assert!(!router.subscribe(&filter(text), 1, id(1)));
        assert!(router.subscribe(&filter(text), 1, id(2)));
    }
    let mut found = Matches::default();
    router.matches(&topic("a"), None, &mut found);
    assert_eq!(copies(&found)[&1].ids, [2, 2]);
    assert_eq!((router.filters_len(), router.subscriptions_len(), router.shared_len()), (3, 3, 1));
}

#[test]
fn members_of_a_group_take_turns() {
    let router = router(&[
        ("$share/g/a/+", "ann", qos(Qos::AtLeastOnce)),
        ("$share/g/a/+", "bob", id(7)),
        ("$share/g/a/+", "cid", Options::default()),
    ]);
    let mut found = Matches::default();
    let mut firsts = Vec::new();
    for _ in 0..6 {
        router.matches(&topic("a/b"), None, &mut found);
        assert_eq!(found.iter().count(), 0);
        let groups: Vec<_> = found.groups().collect();
        assert_eq!(groups.len(), 1);
        let candidates: Vec<_> = groups[0].candidates().map(|member| *member.key()).collect();
        let all: BTreeSet<_> = candidates.iter().copied().collect();
        assert_eq!((candidates.len(), all.len()), (3, 3));
        firsts.push(candidates[0]);
    }
    assert_eq!(firsts[..3], firsts[3..]);
    assert_eq!(firsts[..3].iter().collect::<BTreeSet<_>>().len(), 3);
}

#[test]
fn one_pattern_has_plain_subscribers_and_several_groups() {
    let router = router(&[
        ("a/b", "ann", Options::default()),
        ("$share/g/a/b", "ann", Options::default()),
        ("$share/h/a/b", "ann", Options::default()),
        ("$share/h/a/#", "bob", Options::default()),
    ]);
    let mut found = Matches::default();
    router.matches(&topic("a/b"), None, &mut found);
    assert_eq!((found.iter().count(), found.groups().count()), (1, 3));
    assert!(!router.unsubscribe(&filter("$share/i/a/b"), &"ann"));
    assert!(router.unsubscribe(&filter("a/b"), &"ann"));
    assert!(!router.unsubscribe(&filter("a/b"), &"ann"));
    assert!(router.unsubscribe(&filter("$share/g/a/b"), &"ann"));
    router.matches(&topic("a/b"), None, &mut found);
    assert_eq!((found.iter().count(), found.groups().count()), (0, 2));
    assert!(!found.is_empty());
    assert_eq!((router.filters_len(), router.subscriptions_len(), router.shared_len()), (2, 2, 2));
}

#[test]
fn listings_name_every_filter_and_subscription() {
    let router = router(&[("a/+", "ann", id(1)), ("$share/g/a/+", "ann", id(2)), ("$share/g/a/+", "bob", id(3))]);
    let mut filters = BTreeSet::new();
    router.for_each_filter(|text| assert!(filters.insert(text.to_owned())));
    assert_eq!(Vec::from_iter(filters), ["$share/g/a/+", "a/+"]);
    let mut subscriptions = BTreeSet::new();
    router.for_each_subscription(|text, key, options| {
        subscriptions.insert((text.to_owned(), *key, options.subscription_id.map(u32::from)));
    });
    let expected = [("$share/g/a/+", "ann", 2), ("$share/g/a/+", "bob", 3), ("a/+", "ann", 1)];
    let expected = expected.map(|(text, key, id)| (text.to_owned(), key, Some(id)));
    assert_eq!(Vec::from_iter(subscriptions), expected);
}

#[test]
fn deep_and_long_topics_are_found() {
    let router = Router::new();
    let levels = vec!["a"; 30_000];
    let deep = levels.join("/");
    let pluses = vec!["+"; 30_000].join("/");
    let slashes = "/".repeat(65_535);
    let long = "x".repeat(65_535);
    let filters = [&deep, &pluses, &format!("{deep}/#"), &slashes, &long].map(|text| filter(text));
    for (key, filter) in filters.iter().enumerate() {
        router.subscribe(filter, key, Options::default());
    }
    let mut found = Matches::default();
    let mut check = |name: &str, expected: &[usize]| {
        router.matches(&topic(name), None, &mut found);
        assert_eq!(copies(&found).into_keys().collect::<Vec<_>>(), expected);
    };
    check(&deep, &[0, 1, 2]);
    check(&format!("{deep}/a"), &[2]);
    check(&slashes, &[3]);
    check(&long, &[4]);
    for (key, filter) in filters.iter().enumerate() {
        assert!(router.unsubscribe(filter, &key));
    }
    check_empty(&router);
}

#[test]
fn more_shapes_are_found_than_are_looked_up_together() {
    let levels = 6;
    let shapes: Vec<String> = (0..1 << levels)
        .map(|pluses| {
            let level = |at| if pluses >> at & 1 == 1 { "+" } else { "a" };
            (0..levels).map(level).collect::<Vec<_>>().join("/")
        })
        .collect();
    let shapes: Vec<&str> = shapes.iter().map(String::as_str).collect();
    check(&shapes, "a/a/a/a/a/a", &shapes);
    let without_a_first: Vec<_> = shapes.iter().copied().filter(|shape| shape.starts_with('+')).collect();
    check(&shapes, "b/a/a/a/a/a", &without_a_first);
}

#[test]
fn who_waits_for_a_shard_keeps_nobody_from_another() {
    let router = Router::new();
    let shard_of = |text: &str| router.leaves.determine_map(text.as_bytes());
    // The hash is another each time; soon there is a topic in another shard than its parent's subtree.
    let parent = (0..).map(|number| number.to_string()).find(|name| shard_of(name) != shard_of(&format!("{name}/#")));
    let parent = parent.unwrap();
    let subtree = format!("{parent}/#");
    router.subscribe(&filter(&parent), 1, Options::default());
    router.subscribe(&filter(&subtree), 2, Options::default());

    let wanted = topic(&parent);
    let (tell, told) = std::sync::mpsc::channel();
    std::thread::scope(|scope| {
        let subtree_locked = router.leaves.shards()[shard_of(&subtree)].write();
        scope.spawn(|| {
            router.look_up(&wanted, Reach::All, &mut Scratch::default(), |leaf| {
                tell.send(leaf.plain().subscriptions()[0].key).is_ok()
            });
        });
        assert_eq!(told.recv(), Ok(1));
        drop(router.leaves.shards()[shard_of(&parent)].write());
        drop(subtree_locked);
        assert_eq!(told.recv(), Ok(2));
    });
}

#[track_caller]
fn check_empty<K: Clone + Eq + Hash>(router: &Router<K>) {
    assert!(router.leaves.is_empty() && router.memberships.is_empty());
    assert!(router.shapes.load().is_empty() && !router.has_dollar_filters());
    assert_eq!((router.filters_len(), router.subscriptions_len(), router.shared_len()), (0, 0, 0));
}

#[test]
fn threads_that_come_and_go_leave_nothing_but_those_who_stay() {
    let router = Router::new();
    let filters = ["a/b", "a/+", "+/b", "a/#", "$share/g/a/b", "$share/g/a/+", "$share/h/a/b"].map(filter);
    std::thread::scope(|scope| {
        for thread in 0..4_u32 {
            let (router, filters) = (&router, &filters);
            scope.spawn(move || {
                let stays = 1000 + thread;
                router.subscribe(&filters[thread as usize], stays, Options::default());
                let mut found = Matches::default();
                for round in 0..2000 {
                    let filter = &filters[round % filters.len()];
                    assert!(!router.subscribe(filter, thread, Options::default()));
                    router.matches(&topic("a/b"), None, &mut found);
                    // What a thread did itself it sees, whatever the others do.
                    assert!(found.iter().any(|one| *one.key == stays));
                    let plain = found.iter().any(|one| *one.key == thread);
                    let shared = found.groups().any(|group| group.candidates().any(|one| *one.key() == thread));
                    assert_eq!((plain, shared), (filter.group().is_none(), filter.group().is_some()));
                    assert!(router.unsubscribe(filter, &thread));
                }
            });
        }
    });
    let mut found = Matches::default();
    router.matches(&topic("a/b"), None, &mut found);
    assert_eq!(copies(&found).into_keys().collect::<Vec<_>>(), [1000, 1001, 1002, 1003]);
    assert_eq!(found.groups().count(), 0);
    for (thread, filter) in (0..4).zip(&filters) {
        assert!(router.unsubscribe(filter, &(1000 + thread)));
    }
    check_empty(&router);
}

/// Subscribes, or unsubscribes if there are no options.
type Change = (Filter, u8, Option<Options>);

/// The same by asking every filter in turn.
#[derive(Default)]
struct Oracle(BTreeMap<(Filter, u8), Options>);

impl Oracle {
    fn copies(&self, topic: &Topic, publisher: Option<u8>) -> BTreeMap<u8, Copy> {
        let mut copies = BTreeMap::<u8, Copy>::new();
        for ((filter, key), options) in &self.0 {
            let hidden = options.no_local && publisher == Some(*key);
            if filter.group().is_none() && filter.matches(topic) && !hidden {
                let copy = copies.entry(*key).or_default();
                copy.qos = copy.qos.max(options.qos);
                copy.retain_as_published |= options.retain_as_published;
                copy.ids.extend(options.subscription_id.map(u32::from));
                copy.ids.sort_unstable();
            }
        }
        copies
    }

    fn groups(&self, topic: &Topic) -> Vec<Vec<u8>> {
        let mut groups = BTreeMap::<&Filter, Vec<u8>>::new();
        for (filter, key) in self.0.keys().filter(|(filter, _)| filter.group().is_some() && filter.matches(topic)) {
            groups.entry(filter).or_default().push(*key);
        }
        let mut groups: Vec<_> = groups.into_values().collect();
        groups.sort();
        groups
    }
}

/// While `absent` is, it is passed over by what would be at QoS 0 for it, and found by all else.
fn check_receivers(router: &Router<u8>, oracle: &Oracle, absent: u8, topic: &Topic, found: &mut Matches<u8>) {
    let place = |attendance| {
        let of = oracle.0.keys().filter(|(_, key)| *key == absent);
        of.for_each(|(filter, key)| router.set_attendance_at(filter, key, attendance));
    };
    place(Attendance::Absent);
    let all = oracle.copies(topic, None);
    for highest in [Qos::AtMostOnce, Qos::AtLeastOnce, Qos::ExactlyOnce] {
        router.receivers(topic, None, highest, found);
        let mut expected = all.clone();
        expected.retain(|key, copy| *key != absent || highest.min(copy.qos) > Qos::AtMostOnce);
        assert_eq!(copies(found), expected, "{topic} {highest:?}");
        let mut present = expected.clone();
        present.remove(&absent);
        let mut visited = BTreeSet::new();
        let passed_over = found.visit(Qos::AtMostOnce, |found| assert!(visited.insert(*found.key)));
        assert_eq!(visited, present.into_keys().collect());
        assert_eq!(passed_over > 0, all.contains_key(&absent));
    }
    router.matches(topic, None, found);
    assert_eq!(copies(found), all, "{topic}");
    place(Attendance::Present);
    router.receivers(topic, None, Qos::AtMostOnce, found);
    assert_eq!(copies(found), all, "{topic}");
}

fn check_against_oracle(keys: u8, changes: Vec<Change>, topics: &[Topic]) {
    let (router, mut oracle, mut found) = (Router::new(), Oracle::default(), Matches::default());
    let last = changes.len() - 1;
    for (at, (filter, key, options)) in changes.into_iter().enumerate() {
        let key = key % keys;
        match options {
            Some(options) => {
                let replaced = oracle.0.insert((filter.clone(), key), options).is_some();
                assert_eq!(router.subscribe(&filter, key, options), replaced);
            }
            None => {
                assert_eq!(router.unsubscribe(&filter, &key), oracle.0.remove(&(filter, key)).is_some());
            }
        }
        if at % 16 != 0 && at != last {
            continue;
        }
        for topic in topics {
            for publisher in [None, Some(key)] {
                router.matches(topic, publisher.as_ref(), &mut found);
                let expected = oracle.copies(topic, publisher);
                let mut groups: Vec<Vec<u8>> = Vec::new();
                for group in found.groups() {
                    groups.push(group.candidates().map(|one| *one.key()).collect());
                }
                groups.iter_mut().for_each(|group| group.sort_unstable());
                groups.sort();
                assert_eq!(copies(&found), expected, "{topic}");
                assert_eq!(groups, oracle.groups(topic), "{topic}");
                assert_eq!(found.is_empty(), expected.is_empty() && groups.is_empty());
                assert_eq!(found.is_single(), expected.len() + groups.len() <= 1, "{topic}");
                (0..keys).for_each(|key| assert_eq!(found.has(&key), expected.contains_key(&key), "{topic} {key}"));
            }
            let wanted = oracle.0.keys().any(|(filter, _)| filter.matches(topic));
            assert_eq!(router.is_wanted(topic), wanted);
            check_receivers(&router, &oracle, key, topic, &mut found);
        }
    }
    let has_dollar = oracle.0.keys().any(|(filter, _)| filter.pattern().starts_with('$'));
    assert_eq!(router.has_dollar_filters(), has_dollar);
    let filters: BTreeSet<_> = oracle.0.keys().map(|(filter, _)| filter.as_str().to_owned()).collect();
    let mut listed = BTreeSet::new();
    router.for_each_filter(|text| assert!(listed.insert(text.to_owned())));
    assert_eq!((router.filters_len(), router.subscriptions_len()), (filters.len(), oracle.0.len()));
    assert_eq!(listed, filters);
    for (filter, key) in oracle.0.keys() {
        assert!(router.unsubscribe(filter, key));
    }
    check_empty(&router);
}

fn options() -> impl Strategy<Value = Options> {
    (0..3_u8, any::<bool>(), any::<bool>(), 0..4_u32).prop_map(|(qos, no_local, retain_as_published, id)| Options {
        qos: Qos::from_u8(qos).unwrap(),
        no_local,
        retain_as_published,
        subscription_id: NonZeroU32::new(id),
    })
}

fn topics() -> impl Strategy<Value = Topic> {
    proptest::collection::vec(proptest::sample::select(vec!["a", "b", "", "$x", "ä"]), 1..5)
        .prop_filter_map("empty", |levels| Topic::new(levels.join("/")).ok())
}

fn filters() -> impl Strategy<Value = Filter> {
    let levels = proptest::collection::vec(proptest::sample::select(vec!["a", "b", "", "$x", "ä", "+", "+"]), 0..4);
    let share = proptest::sample::select(vec!["", "", "", "$share/g/", "$share/h/"]);
    (share, levels, any::<bool>()).prop_filter_map("empty", |(share, mut levels, hash)| {
        levels.extend(hash.then_some("#"));
        Filter::new(format!("{share}{}", levels.join("/"))).ok()
    })
}

fn deep_topics() -> impl Strategy<Value = Topic> {
    proptest::collection::vec(proptest::sample::select(vec!["a", "a", "b", "$x"]), 4..8)
        .prop_map(|levels| topic(&levels.join("/")))
}

fn deep_filters() -> impl Strategy<Value = Filter> {
    let levels = proptest::collection::vec(proptest::sample::select(vec!["a", "b", "$x", "+", "+", "+"]), 3..7);
    let share = proptest::sample::select(vec!["", "", "", "$share/g/"]);
    (share, levels, any::<bool>()).prop_map(|(share, mut levels, hash)| {
        levels.extend(hash.then_some("#"));
        filter(&format!("{share}{}", levels.join("/")))
    })
}

fn changes(filters: impl Strategy<Value = Filter>, most: usize) -> impl Strategy<Value = Vec<Change>> {
    let options = proptest::option::weighted(0.8, options());
    proptest::collection::vec((filters, any::<u8>(), options), 1..most)
}

proptest! {
    #[test]
    fn agrees_with_the_plain_rule(
        changes in changes(filters(), 80),
        topics in proptest::collection::vec(topics(), 1..12),
    ) {
        check_against_oracle(6, changes, &topics);
    }

    /// So many that shapes are asked first whether they may lead to a filter that matches.
    #[test]
    fn many_shapes_agree_with_the_plain_rule(
        changes in changes(deep_filters(), 300),
        topics in proptest::collection::vec(deep_topics(), 1..12),
    ) {
        check_against_oracle(6, changes, &topics);
    }

    #[test]
    fn long_lists_agree_with_the_plain_rule(
        changes in changes(proptest::sample::select(vec!["a", "+", "#", "a/#", "$share/g/a"]).prop_map(filter), 400),
    ) {
        check_against_oracle(100, changes, &[topic("a")]);
    }
}

#[test]
fn what_one_subscriber_wants_is_what_a_look_up_finds_of_it() {
    let many: Vec<_> = (0..100).map(|n| n.to_string()).collect();
    let hidden = Options { no_local: true, ..id(4) };
    let subscriptions = [
        ("a/b", "ann", id(1)),
        ("a/+", "ann", Options { qos: Qos::ExactlyOnce, ..id(2) }),
        ("#", "ann", Options { retain_as_published: true, ..qos(Qos::AtLeastOnce) }),
        ("a/#", "bob", hidden),
        ("+/b", "bob", id(5)),
        ("a/c", "bob", id(6)),
        ("$share/g/a/b", "cid", id(7)),
    ];
    let router = router(&subscriptions);
    // With more, so that the list is indexed.
    for key in &many {
        router.subscribe(&filter("a/b"), key, id(9));
    }
    let mut found = Matches::default();
    for (name, publisher) in
        [("a/b", None), ("a/b", Some("bob")), ("a/c", Some("bob")), ("a/d", Some("bob")), ("b", None)]
    {
        router.matches(&topic(name), publisher.as_ref(), &mut found);
        let found = copies(&found);
        for key in ["ann", "bob", "cid", "dan", "0", "99"] {
            let wish = router.wish_of(&key, &topic(name), publisher.as_ref()).map(|wish| {
                let Wish { qos, retain_as_published, subscription_ids: mut ids } = wish;
                ids.sort_unstable();
                Copy { qos, retain_as_published, ids }
            });
            assert_eq!(wish.as_ref(), found.get(key), "{key} {name}");
        }
    }
}

#[test]
fn a_look_up_says_how_many_changes_it_has_seen() {
    let router = router(&[("a", "ann", Options::default()), ("$share/g/a", "bob", Options::default())]);
    let mut found = Matches::default();
    for filter in ["b", "a", "$share/g/a"].map(filter) {
        router.matches(&topic("a"), None, &mut found);
        assert_eq!(found.seen_changes(), router.changes());
        router.members(&filter, &mut found);
        assert_eq!(found.seen_changes(), router.changes());
        router.subscribe(&filter, "ann", Options::default());
        assert!(found.seen_changes() < router.changes());
        router.matches_named(&topic("a"), &mut found);
        router.unsubscribe(&filter, &"ann");
        assert!(found.seen_changes() < router.changes());
    }
}
