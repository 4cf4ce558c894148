use super::*;

fn subscription(key: u32, no_local: bool) -> Subscription<u32> {
    Subscription::new(key, Options { no_local, ..Options::default() })
}

#[track_caller]
fn check(subscribers: &Subscribers<u32>, expected: impl IntoIterator<Item = u32>) {
    let mut keys: Vec<u32> = subscribers.subscriptions().iter().map(|subscription| subscription.key).collect();
    keys.sort_unstable();
    assert_eq!(keys, expected.into_iter().collect::<Vec<_>>());
    if let Subscribers::Many(many) = subscribers {
        let no_local = many.list.subscriptions.iter().filter(|subscription| subscription.no_local).count();
        assert_eq!(many.list.no_local, no_local);
        for (at, subscription) in many.list.subscriptions.iter().enumerate() {
            assert_eq!(many.position(&subscription.key), Some(at));
        }
        assert_eq!(many.index.as_ref().map_or(keys.len(), HashMap::len), keys.len());
    }
}

#[test]
fn a_leaf_is_small() {
    assert_eq!(size_of::<Leaf<u64>>(), 16);
}

#[test]
fn a_list_grows_an_index_and_shrinks_back_to_one() {
    let mut subscribers = Subscribers::None;
    for key in 0..1000 {
        assert!(!subscribers.insert(subscription(key, key % 3 == 0)));
        assert!(subscribers.insert(subscription(key, key % 2 == 0)));
    }
    check(&subscribers, 0..1000);
    for key in 0..999 {
        assert_eq!(subscribers.remove(&key).map(|subscription| subscription.key), Some(key));
        assert!(subscribers.remove(&key).is_none());
        check(&subscribers, key + 1..1000);
    }
    assert!(matches!(subscribers, Subscribers::One(_)));
    assert!(subscribers.remove(&3).is_none());
    assert!(subscribers.remove(&999).is_some());
    assert!(subscribers.is_empty());
}

#[test]
fn a_list_gives_its_memory_back() {
    let mut subscribers = Subscribers::None;
    for key in 0..10_000 {
        subscribers.insert(subscription(key, false));
    }
    for key in 100..10_000 {
        subscribers.remove(&key);
    }
    let Subscribers::Many(many) = &subscribers else { panic!("100 are many") };
    assert!(many.list.subscriptions.capacity() <= 400);
    assert!(many.index.as_ref().unwrap().capacity() <= 800);
}

#[test]
fn a_snapshot_stays_as_it_is() {
    let mut subscribers = Subscribers::None;
    for key in 0..3 {
        subscribers.insert(subscription(key, false));
    }
    let snapshot = subscribers.snapshot().unwrap();
    subscribers.remove(&0);
    subscribers.insert(subscription(7, true));
    assert_eq!(snapshot.subscriptions().len(), 3);
    assert!(!snapshot.has_no_local());
    check(&subscribers, [1, 2, 7]);
}

#[test]
fn a_list_nobody_holds_is_not_copied() {
    let mut subscribers = Subscribers::None;
    for key in 0..3 {
        subscribers.insert(subscription(key, false));
    }
    let Subscribers::Many(many) = &subscribers else { panic!("3 are many") };
    let before = Arc::as_ptr(&many.list);
    drop(subscribers.snapshot());
    subscribers.insert(subscription(3, false));
    let Subscribers::Many(many) = &subscribers else { panic!("4 are many") };
    assert_eq!(Arc::as_ptr(&many.list), before);
}
