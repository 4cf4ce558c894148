use std::collections::BTreeSet;

use mqtt_hooks::testing::foo;
use mqtt_hooks::{ConnectionInfo, Reason};
use proptest::prelude::*;

use super::*;
use crate::presence::history::record::made_up;

/// All in one bucket, so that the way through it is gone too.
const HASH: Hash = Hash(7);

fn last(shard: &Shard, client_id: &str) -> Option<u64> {
    shard.find(HASH, client_id).map(|slot| shard.last_of(slot).number)
}

/// Returns who is not known any more.
fn put(shard: &mut Shard, client_id: &str, number: u64, at: u64, reason: Option<Reason>) -> Vec<u64> {
    put_from(shard, Origin(1), client_id, number, at, reason)
}

fn put_from(
    shard: &mut Shard,
    from: Origin,
    client_id: &str,
    number: u64,
    at: u64,
    reason: Option<Reason>,
) -> Vec<u64> {
    let client = ConnectionInfo { client_id: client_id.into(), ..foo() };
    let record = made_up(&client, number, at, reason);
    let (slot, mut gone) = (shard.find(HASH, client_id), Vec::new());
    let (before, is_connected, place) = (last(shard, client_id), reason.is_none(), number as u32);
    let newest = Newest { from, at, first_seen: at, is_connected, record: &record, place };
    let put_over = shard.put(HASH, slot, &newest, &mut gone);
    assert_eq!(put_over.map(|record| Glance::at(&record).unwrap().number), before);
    gone.iter().map(|last| last.number).collect()
}

/// A client of the plain list.
#[derive(Clone, Debug)]
struct Plain {
    id: String,
    number: u64,
    went: Option<u64>,
}

proptest! {
    /// The list is in the order in which clients are forgotten.
    #[test]
    fn a_shard_agrees_with_a_plain_list(
        limit in 1usize..12,
        steps in prop::collection::vec((0usize..16, any::<bool>(), 0u64..2_000), 0..150),
    ) {
        let mut shard = Shard::new(Limits { clients: limit, forget_after_ms: 60_000 });
        let (mut plain, mut now) = (Vec::<Plain>::new(), 1_000_000);
        for (number, (who, goes, later)) in (1..).zip(steps) {
            now += later;
            let id = format!("c{who}");
            let gone = put(&mut shard, &id, number, now, goes.then_some(Reason::Kicked));
            plain.retain(|client| client.id != id);
            plain.push(Plain { id, number, went: goes.then_some(now) });
            let (mut passed, mut expected) = (0, Vec::new());
            while plain.len() > limit {
                let first = plain.remove(0);
                if first.number == number {
                    plain.push(first);
                } else if first.went.is_none() && passed < 8 {
                    passed += 1;
                    plain.push(first);
                } else {
                    expected.push(first.number);
                }
            }
            prop_assert_eq!(gone, expected);
            prop_assert_eq!(shard.len(), plain.len());
            for client in &plain {
                prop_assert_eq!(last(&shard, &client.id), Some(client.number));
            }
            prop_assert!(last(&shard, "nobody").is_none() && shard.find(Hash(8), &plain[0].id).is_none());
            prop_assert!(plain.iter().all(|client| shard.is_last(HASH, client.number)) && !shard.is_last(HASH, 0));
            let mut seen = BTreeSet::new();
            let mut at = Some(0);
            while let Some(slot) = at {
                at = shard.walk(slot, 3, &mut |glance, _| { seen.insert(glance.client_id.to_owned()); });
            }
            prop_assert_eq!(seen, plain.iter().map(|client| client.id.clone()).collect::<BTreeSet<_>>());
        }
        now += 61_000;
        let mut gone = Vec::new();
        shard.forget_old(now, &mut gone);
        prop_assert!(plain.iter().all(|client| client.went.is_none() == last(&shard, &client.id).is_some()));
    }
}

#[test]
fn who_is_online_is_forgotten_only_when_all_are() {
    let mut shard = Shard::new(Limits { clients: 3, forget_after_ms: u64::MAX });
    put(&mut shard, "online", 1, 1, None);
    for number in 2..100 {
        put(&mut shard, &format!("visitor {number}"), number, number, Some(Reason::Kicked));
    }
    assert!(last(&shard, "online").is_some());
    assert_eq!((shard.len(), shard.forgotten), (3, 96));
}

#[test]
fn long_names_take_the_room_of_several() {
    let mut shard = Shard::new(Limits { clients: 100, forget_after_ms: u64::MAX });
    for number in 0..100 {
        put(&mut shard, &number.to_string(), number, number, None);
    }
    assert_eq!(shard.len(), 100);
    let long = "x".repeat(90 * RECORD);
    put(&mut shard, &long, 100, 100, None);
    assert!(shard.len() < 60 && last(&shard, &long).is_some(), "{}", shard.len());
}

#[test]
fn who_makes_up_client_ids_is_forgotten_for_them_and_not_who_is_away_from_elsewhere() {
    let mut shard = Shard::new(Limits { clients: 100, forget_after_ms: u64::MAX });
    // Each from its own address, and some behind one; all have gone.
    let from = |n: u32| Origin(if n < 20 { n } else { 20 });
    for n in 0..50 {
        put_from(&mut shard, from(n), &format!("away{n}"), u64::from(n), 1_000, Some(Reason::Kicked));
    }
    for (number, n) in (1_000..).step_by(2).zip(0..1_000) {
        let id = format!("new{n}");
        put_from(&mut shard, Origin(99), &id, number, 2_000, None);
        put_from(&mut shard, Origin(99), &id, number + 1, 2_000, Some(Reason::Kicked));
    }
    assert_eq!((0..50).filter(|n| last(&shard, &format!("away{n}")).is_some()).count(), 50);
    assert_eq!((950..1_000).filter(|n| last(&shard, &format!("new{n}")).is_some()).count(), 50);
    // Who comes from elsewhere has its place all the same, and where one moves to it counts.
    put_from(&mut shard, Origin(98), "other", 5_000, 3_000, None);
    put_from(&mut shard, Origin(97), "away3", 5_001, 3_000, None);
    assert!(last(&shard, "other").is_some() && last(&shard, "away3") == Some(5_001));
    assert_eq!((shard.len(), shard.of_origin(Origin(3))), (100, 0));
    let records = (0..100).filter_map(|origin| Some(shard.of_origin(Origin(origin))).filter(|bytes| *bytes > 0));
    assert_eq!(records.sum::<usize>(), shard.bytes());
    // Whose records are large has as much of the room as others, and not as many places.
    let long = "n".repeat(20_000);
    for n in 0..100 {
        put_from(&mut shard, Origin(96), &format!("{n}{long}"), 6_000 + n, 4_000, None);
    }
    let of_each = (0..20).filter(|n| last(&shard, &format!("away{n}")).is_some()).count();
    assert!(of_each >= 18, "{of_each} of those who are alone at their address");
}
