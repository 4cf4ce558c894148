//! Cheap facts about a pattern, for telling that it is not there without looking it up.

use std::hash::BuildHasher;

use foldhash::fast::RandomState;

/// Levels that are told apart. A pattern's further ones are not looked at.
pub(crate) const TOLD_APART: usize = 64;

/// Puts into `words` a number for the text of each level of a topic whose levels end at `ends`.
pub(crate) fn of_topic(topic: &str, ends: &[u32], hasher: &RandomState, words: &mut Vec<u64>) {
    words.clear();
    let mut start = 0;
    for (level, &end) in ends.iter().take(TOLD_APART).enumerate() {
        words.push(of_level(level, &topic[start..end as usize], hasher));
        start = end as usize + 1;
    }
}

/// The numbers of the levels of a pattern that have a text, all in one.
pub(crate) fn of_pattern(pattern: &str, hasher: &RandomState) -> Words {
    let levels = pattern.split('/').take(TOLD_APART).enumerate();
    let texts = levels.filter(|(_, text)| !matches!(*text, "+" | "#"));
    Words(texts.fold(0, |all, (level, text)| all ^ of_level(level, text, hasher)))
}

fn of_level(level: usize, text: &str, hasher: &RandomState) -> u64 {
    let hash = hasher.hash_one((level as u32, text));
    // The hasher leaves it to who uses its bits to mix them: as they are, with some seeds the differences of two words are alike
    // at all levels, and cancel each other out.
    let mixed = (hash ^ hash >> 32).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    (mixed ^ mixed >> 29).wrapping_mul(0xbf58_476d_1ce4_e5b9)
}

/// Of several levels: the numbers of each, by exclusive or, so that one more or one less is one operation.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Words(pub(crate) u64);

/// Which [`Words`] have been seen, for sure or perhaps: a Bloom filter of a word and two bits.
///
/// Of a shape with one filter it lets through one in a thousand others, with eight one in twenty; with a hundred it says
/// nothing, and costs next to nothing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Seen(pub(crate) u64);

impl Seen {
    pub(crate) const EVERYTHING: Self = Self(u64::MAX);

    pub(crate) fn add(&mut self, words: Words) {
        self.0 |= bits(words);
    }

    pub(crate) const fn may_have(self, words: Words) -> bool {
        self.0 & bits(words) == bits(words)
    }
}

const fn bits(Words(words): Words) -> u64 {
    1 << (words >> 58) | 1 << (words >> 52 & 63)
}
