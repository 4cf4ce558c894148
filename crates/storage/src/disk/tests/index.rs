//! The index agrees with a plain map.

use super::super::index::{Index, Place};
use super::*;

fn place(offset: u32) -> Place {
    Place { segment: 1, offset, len: 0 }
}

#[test]
fn it_agrees_with_a_map() {
    let mut index = Index::default();
    let mut map = BTreeMap::new();
    let mut random = 1u64;
    // Grows over several chunks, churns, and shrinks to nothing, twice.
    for round in 0..200_000u32 {
        random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        let key = (random >> 40) % 20_000;
        let key = if key.is_multiple_of(7) { vec![b'x'; 10 + key as usize % 30] } else { key.to_be_bytes().to_vec() };
        let grows = round / 50_000 % 2 == 0;
        if (random >> 33) % 8 < if grows { 6 } else { 1 } {
            assert_eq!(index.insert(&key, place(round)), map.insert(key, place(round)));
        } else {
            assert_eq!(index.remove(&key), map.remove(&key));
        }
        assert_eq!(index.len(), map.len());
    }
    for (key, place) in &map {
        assert_eq!(index.get(key), Some(*place));
    }
    for key in map.keys() {
        assert!(index.remove(key).is_some());
    }
    assert_eq!((index.len(), index.iter().count()), (0, 0));
}

/// By session and number, as what waits comes and goes: at the end, from the beginning, and now and then from the middle.
#[test]
fn it_agrees_with_a_map_about_what_waits() {
    let mut index = Index::of(Table::Deliveries);
    let mut map = BTreeMap::new();
    let mut random = 1u64;
    let mut numbers = [0u64, u64::MAX - 1_000_000, 7, 15, 16];
    for round in 0..200_000u32 {
        random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        let session = (random >> 40) as usize % numbers.len();
        let key = |number: u64| [(session as u64).to_be_bytes(), number.to_be_bytes()].concat();
        let grows = round / 20_000 % 2 == 0;
        match (random >> 33) % 8 {
            0..4 if grows => {
                numbers[session] += 1 + (random >> 50) % 3;
                assert_eq!(
                    index.insert(&key(numbers[session]), place(round)),
                    map.insert(key(numbers[session]), place(round))
                );
            }
            4 => {
                let some = key(numbers[session].saturating_sub((random >> 50) % 100));
                assert_eq!(index.insert(&some, place(round)), map.insert(some, place(round)));
            }
            5 => {
                let some = key(numbers[session].saturating_sub((random >> 50) % 100));
                assert_eq!((index.get(&some), index.remove(&some)), (map.get(&some).copied(), map.remove(&some)));
            }
            _ => {
                let first = map.range(key(0)..).next().map(|(key, _)| key.clone()).unwrap_or_default();
                assert_eq!(index.remove(&first), map.remove(&first));
            }
        }
        assert_eq!(index.len(), map.len());
    }
    // A key that is none of these is no other's.
    for len in [0, 8, 15, 17, 30] {
        assert_eq!(index.insert(&vec![0; len], place(len as u32)), map.insert(vec![0; len], place(len as u32)));
    }
    let mut found: Vec<_> = index.iter().map(|entry| (entry.key().to_vec(), entry.place)).collect();
    found.sort();
    assert!(!map.is_empty() && found.iter().map(|(key, place)| (key, place)).eq(&map));
    for (key, place) in &map {
        assert_eq!((index.get(key), index.remove(key)), (Some(*place), Some(*place)));
    }
    assert_eq!((index.len(), index.iter().count()), (0, 0));
}

#[test]
fn keys_of_every_length_are_told_apart() {
    let mut index = Index::default();
    for len in 0..100 {
        assert_eq!(index.insert(&vec![0; len], place(len as u32)), None);
    }
    for len in 0..100 {
        assert_eq!(index.get(&vec![0; len]), Some(place(len as u32)));
    }
    assert!(index.iter().all(|entry| entry.key().len() == entry.place.offset as usize));
}
