use std::collections::BTreeSet;

use mqtt_hooks::testing::foo;
use mqtt_hooks::{ConnectionInfo, Reason};
use proptest::prelude::*;

use super::*;
use crate::presence::history::entry::End;

fn event(client_id: &str, number: u64, at: u64, reason: Option<Reason>) -> Entry {
    let client = ConnectionInfo { client_id: client_id.into(), ..foo() };
    Entry::new(number, &client, number, at, reason.map(End::from))
}

fn last(shard: &Shard, hash: u32, client_id: &str) -> Option<u64> {
    shard.find(hash, client_id).map(|slot| shard.last_of(slot).number)
}

fn put(shard: &mut Shard, entry: &Entry) -> Vec<u64> {
    let mut gone = Vec::new();
    // All in one bucket, so that the way through it is gone too.
    let slot = shard.find(7, entry.client_id());
    shard.put(7, slot, entry, &entry.to_record(), entry.number as u32, &mut gone);
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
            let entry = event(&id, number, now, goes.then_some(Reason::Kicked));
            let gone = put(&mut shard, &entry);
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
                prop_assert_eq!(last(&shard, 7, &client.id), Some(client.number));
            }
            prop_assert!(last(&shard, 7, "nobody").is_none() && last(&shard, 8, &plain[0].id).is_none());
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
        prop_assert!(plain.iter().all(|client| client.went.is_none() == last(&shard, 7, &client.id).is_some()));
    }
}

#[test]
fn who_is_online_is_forgotten_only_when_all_are() {
    let mut shard = Shard::new(Limits { clients: 3, forget_after_ms: u64::MAX });
    put(&mut shard, &event("online", 1, 1, None));
    for number in 2..100 {
        put(&mut shard, &event(&format!("visitor {number}"), number, number, Some(Reason::Kicked)));
    }
    assert!(last(&shard, 7, "online").is_some());
    assert_eq!((shard.len(), shard.forgotten), (3, 96));
}

#[test]
fn long_names_take_the_room_of_several() {
    let mut shard = Shard::new(Limits { clients: 100, forget_after_ms: u64::MAX });
    for number in 0..100 {
        put(&mut shard, &event(&number.to_string(), number, number, None));
    }
    assert_eq!(shard.len(), 100);
    let long = "x".repeat(90 * RECORD);
    put(&mut shard, &event(&long, 100, 100, None));
    assert!(shard.len() < 60 && last(&shard, 7, &long).is_some(), "{}", shard.len());
}
