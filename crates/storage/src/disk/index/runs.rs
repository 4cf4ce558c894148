//! Where the records of a table are whose keys are two numbers, of which the second counts up: what waits for one session.
//!
//! Sixty-four that follow each other are together. So who adds one to each of many sessions finds the place where that goes among what
//! the processor has just had, and not in as much memory as all that waits takes to find; and each costs some 13 bytes instead
//! of 45.

use super::Place;
use super::chains::Chains;

/// Bits of the second number by which those that are together differ.
const BITS: u32 = 6;

/// Those of a key's first number, and of the second all bits but [`BITS`].
#[derive(Debug)]
struct Block {
    /// Which of the sixty-four are there.
    present: u64,
    places: Places,
}

/// In order.
#[derive(Debug)]
enum Places {
    /// Most sessions have little that waits.
    One(Place),
    More(Vec<Place>),
}

#[derive(Default)]
pub(super) struct Runs {
    blocks: Chains<Block>,
    len: usize,
}

/// A key is these two numbers.
pub(super) const KEY: usize = 16;

impl Block {
    /// How many are before this one.
    const fn rank(&self, bit: u64) -> usize {
        (self.present & (bit - 1)).count_ones() as usize
    }

    fn places(&self) -> &[Place] {
        match &self.places {
            Places::One(place) => std::slice::from_ref(place),
            Places::More(places) => places,
        }
    }

    fn get(&self, bit: u64) -> Option<Place> {
        if self.present & bit == 0 { None } else { self.places().get(self.rank(bit)).copied() }
    }

    fn insert(&mut self, bit: u64, place: Place) -> Option<Place> {
        let (at, is_there) = (self.rank(bit), self.present & bit != 0);
        match &mut self.places {
            Places::One(one) if is_there => return Some(std::mem::replace(one, place)),
            Places::More(places) if is_there => return Some(std::mem::replace(&mut places[at], place)),
            Places::One(one) => {
                let both = if at == 0 { vec![place, *one] } else { vec![*one, place] };
                self.places = Places::More(both);
            }
            Places::More(places) => places.insert(at, place),
        }
        self.present |= bit;
        None
    }

    /// It may be empty then.
    fn remove(&mut self, bit: u64) -> Option<Place> {
        if self.present & bit == 0 {
            return None;
        }
        let at = self.rank(bit);
        self.present &= !bit;
        match &mut self.places {
            Places::One(place) => Some(*place),
            Places::More(places) => {
                let was = places.remove(at);
                if let [one] = places[..] {
                    self.places = Places::One(one);
                }
                Some(was)
            }
        }
    }
}

/// The key of its block, and which one it is there.
fn split(key: [u8; KEY]) -> ([u8; KEY], u64) {
    let key = u128::from_be_bytes(key);
    // The first number is above the second, and stays as it is.
    let second = key as u64;
    let block = key & !u128::from(u64::MAX) | u128::from(second >> BITS);
    (block.to_be_bytes(), 1 << (second % (1 << BITS)))
}

impl Runs {
    pub(super) const fn len(&self) -> usize {
        self.len
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = ([u8; KEY], Place)> {
        self.blocks.iter().flat_map(|entry| {
            let block = entry.key().try_into().map_or(0, u128::from_be_bytes);
            let first = block & !u128::from(u64::MAX) | u128::from((block as u64) << BITS);
            let all = (0..1_u128 << BITS).filter(|at| entry.value.present >> at & 1 == 1);
            all.zip(entry.value.places()).map(move |(at, place)| ((first | at).to_be_bytes(), *place))
        })
    }

    pub(super) fn get(&self, key: [u8; KEY]) -> Option<Place> {
        let (block, bit) = split(key);
        self.blocks.get(&block)?.get(bit)
    }

    /// Returns where the record was.
    pub(super) fn insert(&mut self, key: [u8; KEY], place: Place) -> Option<Place> {
        let (block, bit) = split(key);
        let was = match self.blocks.get_mut(&block) {
            Some(found) => found.insert(bit, place),
            None => {
                self.blocks.insert(&block, Block { present: bit, places: Places::One(place) });
                None
            }
        };
        self.len += usize::from(was.is_none());
        was
    }

    /// Returns where the record was.
    pub(super) fn remove(&mut self, key: [u8; KEY]) -> Option<Place> {
        let (block, bit) = split(key);
        let found = self.blocks.get_mut(&block)?;
        let was = found.remove(bit)?;
        if found.present == 0 {
            self.blocks.remove(&block);
        }
        self.len -= 1;
        Some(was)
    }
}
