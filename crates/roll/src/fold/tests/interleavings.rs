//! Whatever nodes do to a log, what is told of it keeps its promises.

use std::collections::{BTreeMap, HashMap};

use super::oracle::Oracle;
use super::world::{Dice, World};
use super::*;

/// How many are tried. `ROLL_INTERLEAVINGS=1000000` tries as many; the same number always tries the same.
fn how_many() -> u64 {
    std::env::var("ROLL_INTERLEAVINGS").map_or(2000, |number| number.parse().expect("a number"))
}

fn read(fold: &mut Fold, log: &[Bytes]) -> Vec<Effect> {
    let mut effects = Vec::new();
    for batch in log {
        fold.handle_batch(fold.position() + 1, batch.clone()).unwrap();
        effects.extend(std::iter::from_fn(|| fold.poll_effect()));
    }
    effects
}

/// Strictly by turns for each client, no number left out, and no time going back.
fn check_alternation(effects: &[Effect]) {
    let mut events = 0;
    let mut last: HashMap<&str, (u64, u64, bool)> = HashMap::new();
    for effect in effects {
        let (client, event, seq, at, is_on) = match effect {
            Effect::Connected(on) => (&on.client, on.event, on.seq, on.at, true),
            Effect::Disconnected(off) => (&off.client, off.event, off.seq, off.at, false),
            _ => continue,
        };
        events += 1;
        assert_eq!(event, events);
        let (last_seq, last_at, was_on) = last.insert(client, (seq, at, is_on)).unwrap_or_default();
        assert_ne!(is_on, was_on, "{client} at event {event}");
        assert_eq!(seq, last_seq + 1, "{client} at event {event}");
        assert!(at >= last_at, "{client} at event {event}");
    }
}

fn try_one(seed: u64) {
    let mut dice = Dice::new(seed);
    let World { log, .. } = World::after(20 + dice.up_to(60), &mut dice);
    let mut whole = Fold::new();
    let effects = read(&mut whole, &log);
    check_alternation(&effects);

    let mut oracle = Oracle::default();
    log.iter().for_each(|batch| oracle.append(batch.clone()));
    assert_eq!(effects, oracle.effects);
    let online: BTreeMap<_, _> = whole.clients().map(|client| (client.id, (&*client.node.name, client.conn))).collect();
    assert_eq!(online, oracle.online());
    for node in whole.nodes() {
        assert_eq!(node.clients, online.values().filter(|(name, _)| node.name == *name).count() as u64);
    }

    // Two readers of whom the second comes with what the first has read, at any place.
    let (prefix, suffix) = log.split_at(dice.up_to(log.len()));
    let mut first = Fold::new();
    let mut parts = read(&mut first, prefix);
    let mut second = Fold::from_snapshot(&first.snapshot().unwrap()).unwrap();
    parts.extend(read(&mut second, suffix));
    assert_eq!(parts, effects);
    assert_eq!(second.snapshot(), whole.snapshot());
    assert_eq!(second.digest(), whole.digest());

    // One byte in the log of one reader.
    if !log.is_empty() {
        let mut other = log;
        let batch = dice.up_to(other.len() - 1);
        let mut bytes = other[batch].to_vec();
        let place = dice.up_to(bytes.len() - 1);
        bytes[place] ^= 1 + dice.up_to(254) as u8;
        other[batch] = bytes.into();
        assert_ne!(digest_of(&other), whole.digest(), "byte {place} of batch {batch}");
    }
}

fn digest_of(log: &[Bytes]) -> Digest {
    let mut fold = Fold::new();
    for batch in log {
        let position = fold.position() + 1;
        if fold.handle_batch(position, batch.clone()).is_err() {
            fold.pass_over(position, batch).unwrap();
        }
        while fold.poll_effect().is_some() {}
    }
    fold.digest()
}

#[test]
fn every_interleaving_is_told_by_turns_alike_by_all_and_from_any_place() {
    for seed in 0..how_many() {
        if let Err(why) = std::panic::catch_unwind(|| try_one(seed)) {
            eprintln!("seed {seed}");
            std::panic::resume_unwind(why);
        }
    }
}
