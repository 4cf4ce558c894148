//! The shapes of wildcard filters: where their `+` stand, how deep they go, whether they end in `#`.
//!
//! However many wildcard filters there are, a topic is tried once per shape that fits it: with the shape's `+` put
//! into the topic's levels, the filter that may match has a known text and can be looked up like an exact one.
//!
//! One client can bring in thousands of shapes, of which hardly any leads to a filter that matches. Where many fit a
//! topic, each is therefore asked first whether it may have one, by what is known of the words in its filters.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use arc_swap::{ArcSwap, Guard};
use foldhash::fast::RandomState;
use parking_lot::Mutex;

use crate::patterns::{Patterns, TOGETHER};
use crate::words::{self, Seen, TOLD_APART, Words};

/// From so many on shapes are asked first. Fewer are looked up in one or two goes, which costs no more than asking.
pub(crate) const ASKED_FROM: usize = 2 * TOGETHER;

/// What wildcard filters have in common that differ only in the text of their levels.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Shape {
    /// Ends in `#`.
    hash: bool,
    /// Levels, `#` not counted.
    levels: u32,
    /// Levels that are `+`, in order. A pattern of 65,535 bytes has no level above 65,535.
    pluses: Arc<[u16]>,
}

impl Shape {
    /// The shape of a filter's pattern; `None` if it has no wildcard.
    pub(crate) fn of(pattern: &str) -> Option<Self> {
        // Most filters have none, and are told without looking at their levels.
        if !pattern.bytes().any(|byte| byte == b'+' || byte == b'#') {
            return None;
        }
        let (mut hash, mut levels, mut pluses) = (false, 0, Vec::new());
        for level in pattern.split('/') {
            match level {
                "#" => {
                    hash = true;
                    break;
                }
                "+" => pluses.push(levels as u16),
                _ => {}
            }
            levels += 1;
        }
        Some(Self { hash, levels, pluses: pluses.into() })
    }

    /// True if it begins with a wildcard, which does not reach `$` topics. [MQTT-4.7.2-1]
    fn leads(&self) -> bool {
        self.pluses.first() == Some(&0) || (self.hash && self.levels == 0)
    }

    /// True if its last level is no wildcard.
    pub(crate) fn names_last(&self) -> bool {
        !self.hash && self.pluses.last().is_none_or(|&last| u32::from(last) + 1 < self.levels)
    }

    /// Its `+` among the levels that are told apart, a bit each.
    fn plus_bits(&self) -> u64 {
        // In order, so those beyond are all behind the first that is.
        let told_apart = self.pluses.iter().take_while(|&&plus| usize::from(plus) < TOLD_APART);
        told_apart.fold(0, |bits, plus| bits | 1 << plus)
    }

    /// The first in order that ends like this and goes as deep.
    fn first_of_its_level(&self) -> Self {
        Self { hash: self.hash, levels: self.levels, pluses: Arc::default() }
    }

    fn is_of_one_level_with(&self, other: &Self) -> bool {
        self.hash == other.hash && self.levels == other.levels
    }

    /// Appends the pattern of this shape that matches `topic`, whose levels end at `ends`.
    ///
    /// The topic has as many levels as the shape, or more if it ends in `#`.
    pub(crate) fn write_pattern(&self, topic: &str, ends: &[u32], pattern: &mut String) {
        // Only shapes that fit are asked for it, so the topic has as many levels.
        let end_of = |levels: usize| if levels == 0 { 0 } else { ends[levels - 1] as usize };
        let mut copied = 0;
        for &plus in &*self.pluses {
            let plus = usize::from(plus);
            // From the end of the level before the last `+`, with its slash, up to this one: texts between wildcards
            // are copied whole.
            let start = if plus == 0 { 0 } else { end_of(plus) + 1 };
            pattern.push_str(&topic[copied..start]);
            pattern.push('+');
            copied = end_of(plus + 1);
        }
        pattern.push_str(&topic[copied..end_of(self.levels as usize)]);
        match (self.hash, self.levels) {
            (false, _) => {}
            (true, 0) => pattern.push('#'),
            // [MQTT-4.7.1-1]: `#` stands alone or behind a slash.
            (true, _) => pattern.push_str("/#"),
        }
    }
}

/// Memory for a look-up, used again for each topic.
#[derive(Debug, Default)]
pub(crate) struct Scratch {
    pub(crate) ends: Vec<u32>,
    pub(crate) words: Vec<u64>,
    pub(crate) patterns: Patterns,
}

/// Puts into `ends` where the levels of a topic end.
pub(crate) fn find_ends(topic: &str, ends: &mut Vec<u32>) {
    ends.clear();
    push_slashes(topic.as_bytes(), ends);
    ends.push(topic.len() as u32);
}

/// Appends where the slashes are.
///
/// Eight bytes at a time: byte by byte this was a sixth of a match.
fn push_slashes(text: &[u8], at: &mut Vec<u32>) {
    const LOW: u64 = u64::from_ne_bytes([0x7f; 8]);
    const SLASHES: u64 = u64::from_ne_bytes([b'/'; 8]);
    let (words, rest) = text.as_chunks::<8>();
    let mut start = 0;
    for word in words {
        let differs = u64::from_le_bytes(*word) ^ SLASHES;
        // The high bit of each byte that does not differ; adding to the low ones carries into no neighbour.
        let mut found = !(((differs & LOW) + LOW) | differs | LOW);
        while found != 0 {
            at.push(start + found.trailing_zeros() / 8);
            // Takes the lowest bit away, which was this one.
            found &= found - 1;
        }
        start += 8;
    }
    at.extend((start..).zip(rest).filter(|&(_, &byte)| byte == b'/').map(|(slash, _)| slash));
}

/// All shapes at one moment, in an order that brings those together which fit a topic.
#[derive(Debug, Default)]
pub(crate) struct Sorted {
    /// Without `#`, by levels.
    plain: Vec<Arc<Level>>,
    /// With `#`, by levels.
    hash: Vec<Arc<Level>>,
}

/// The shapes that have as many levels, with `#` or without; never none.
#[derive(Debug)]
struct Level {
    levels: u32,
    /// In order: neighbours have most of their `+` in common.
    shapes: Vec<Shape>,
    /// Of each shape.
    known: Vec<Known>,
}

#[derive(Debug)]
struct Known {
    /// [`Shape::plus_bits`]
    pluses: u64,
    /// The words of its filters, as [`Seen`]. Those of filters that are gone stay until the shape goes.
    seen: AtomicU64,
}

impl Sorted {
    pub(crate) fn is_empty(&self) -> bool {
        self.plain.is_empty() && self.hash.is_empty()
    }

    /// How many shapes fit a topic of so many levels: each has one pattern that matches it.
    pub(crate) fn fitting(&self, levels: usize) -> usize {
        self.levels(levels).map(|level| level.shapes.len()).sum()
    }

    /// Calls `each` with the shapes that fit a topic with its levels ending at `ends`, but for those of which it is known
    /// that they lead to no filter that matches it; until `each` says false, and then it is false.
    pub(crate) fn all_fitting<'a>(
        &'a self,
        topic: &str,
        ends: &[u32],
        asked: Option<(&RandomState, &mut Vec<u64>)>,
        mut each: impl FnMut(&'a Shape) -> bool,
    ) -> bool {
        let dollar = topic.starts_with('$');
        // One that does not reach the topic is passed over, and the walk goes on.
        let mut each = |shape: &'a Shape| (dollar && shape.leads()) || each(shape);
        let Some((hasher, words)) = asked else {
            return self.levels(ends.len()).flat_map(|level| &level.shapes).all(each);
        };
        words::of_topic(topic, ends, hasher, words);
        // Of all levels so far. There are ever more, for those without `#` come last.
        let mut whole = Words::default();
        let mut rest = &words[..];
        for level in self.levels(ends.len()) {
            let told_apart = words.len().min(level.levels as usize);
            let (more, after) = rest.split_at(told_apart - (words.len() - rest.len()));
            whole = more.iter().fold(whole, |Words(all), word| Words(all ^ word));
            rest = after;
            // From one shape to the next a `+` comes or goes here and there: with it a word goes or comes.
            let (mut having, mut pluses) = (whole, 0);
            for (shape, known) in level.shapes.iter().zip(&level.known) {
                let mut changed = pluses ^ known.pluses;
                while changed != 0 {
                    having.0 ^= words[changed.trailing_zeros() as usize];
                    changed &= changed - 1;
                }
                pluses = known.pluses;
                // Relaxed: it is noted before the filter can be found, so who misses it came before the filter.
                if Seen(known.seen.load(Ordering::Relaxed)).may_have(having) && !each(shape) {
                    return false;
                }
            }
        }
        true
    }

    fn levels(&self, levels: usize) -> impl Iterator<Item = &Level> {
        // `#` stands for any number of levels, none included.
        let hash = self.hash.iter().take_while(move |level| level.levels as usize <= levels);
        // Without `#` only those of exactly as many levels.
        let plain = self.plain.binary_search_by_key(&levels, |level| level.levels as usize);
        hash.chain(plain.ok().map(|at| &self.plain[at])).map(|level| &**level)
    }

    /// The same, but for what has as many levels as `level`, or would have.
    fn with(&self, shape: &Shape, level: Option<Level>) -> Self {
        // Pointers only: levels that did not change are shared by both tables.
        let (mut plain, mut hash) = (self.plain.clone(), self.hash.clone());
        let list = if shape.hash { &mut hash } else { &mut plain };
        match (list.binary_search_by_key(&shape.levels, |level| level.levels), level) {
            (Ok(at), Some(level)) => list[at] = Arc::new(level),
            (Ok(at), None) => drop(list.remove(at)),
            (Err(at), Some(level)) => list.insert(at, Arc::new(level)),
            (Err(_), None) => {}
        }
        Self { plain, hash }
    }

    /// Notes that a shape's filters have these words, too.
    fn note(&self, shape: &Shape, seen: Seen) {
        let list = if shape.hash { &self.hash } else { &self.plain };
        let level = list.binary_search_by_key(&shape.levels, |level| level.levels).map(|at| &list[at]);
        if let Ok(level) = level
            && let Ok(at) = level.shapes.binary_search(shape)
        {
            level.known[at].seen.fetch_or(seen.0, Ordering::Relaxed);
        }
    }
}

/// The shapes of all filters, counted.
#[derive(Debug, Default)]
pub(crate) struct Shapes {
    hasher: RandomState,
    counted: Mutex<BTreeMap<Shape, Counted>>,
    /// Read by every match, so without a lock; replaced when a shape appears or disappears, under the lock of `counted`.
    sorted: ArcSwap<Sorted>,
}

#[derive(Debug)]
struct Counted {
    filters: usize,
    seen: Seen,
}

impl Shapes {
    /// The shapes now.
    pub(crate) fn load(&self) -> Guard<Arc<Sorted>> {
        self.sorted.load()
    }

    /// What words are hashed by.
    pub(crate) const fn hasher(&self) -> &RandomState {
        &self.hasher
    }

    /// Counts a filter that appears. Call it before the filter can be found: what is not known of is not looked up.
    pub(crate) fn add(&self, pattern: &str) {
        let Some(shape) = Shape::of(pattern) else { return };
        // A shape of many filters has seen everything: nothing is left to be known of it.
        if let Some(there) = self.counted.lock().get_mut(&shape)
            && there.seen == Seen::EVERYTHING
        {
            there.filters += 1;
            return;
        }
        // Not under the lock: the text may be long.
        let words = words::of_pattern(pattern, &self.hasher);
        let mut counted = self.counted.lock();
        match counted.entry(shape) {
            Entry::Occupied(mut there) => {
                there.get_mut().filters += 1;
                let seen = &mut there.get_mut().seen;
                // Noted in the table that is there: no new one is needed for a word, and nobody who matches has to
                // wait.
                if !seen.may_have(words) {
                    seen.add(words);
                    let seen = *seen;
                    self.sorted.load().note(there.key(), seen);
                }
            }
            Entry::Vacant(vacant) => {
                let shape = vacant.key().clone();
                let mut seen = Seen::default();
                seen.add(words);
                vacant.insert(Counted { filters: 1, seen });
                self.replace(&counted, &shape);
            }
        }
    }

    /// Uncounts a filter that disappeared.
    pub(crate) fn remove(&self, pattern: &str) {
        let Some(shape) = Shape::of(pattern) else { return };
        let mut counted = self.counted.lock();
        let Some(there) = counted.get_mut(&shape) else { return };
        there.filters -= 1;
        if there.filters == 0 {
            // The words of its filters go with it, and a filter that comes later begins anew.
            counted.remove(&shape);
            self.replace(&counted, &shape);
        }
    }

    /// Only the shapes that have as many levels are written anew.
    fn replace(&self, counted: &BTreeMap<Shape, Counted>, changed: &Shape) {
        let (mut shapes, mut known) = (Vec::new(), Vec::new());
        let those = counted.range(changed.first_of_its_level()..);
        for (shape, Counted { seen, .. }) in those.take_while(|(shape, _)| shape.is_of_one_level_with(changed)) {
            shapes.push(shape.clone());
            known.push(Known { pluses: shape.plus_bits(), seen: AtomicU64::new(seen.0) });
        }
        let level = (!shapes.is_empty()).then_some(Level { levels: changed.levels, shapes, known });
        // Who has loaded the ones before goes on with those: they are whole, and as they were then.
        self.sorted.store(Arc::new(self.sorted.load().with(changed, level)));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What is looked up for a topic, whether shapes are asked first or not.
    #[track_caller]
    fn patterns(filters: &[&str], topic: &str, asks: bool) -> Vec<String> {
        patterns_of(&shapes_of(filters), topic, asks)
    }

    fn shapes_of(filters: &[&str]) -> Shapes {
        let shapes = Shapes::default();
        filters.iter().for_each(|filter| shapes.add(filter));
        shapes
    }

    fn patterns_of(shapes: &Shapes, topic: &str, asks: bool) -> Vec<String> {
        let mut ends = Vec::new();
        find_ends(topic, &mut ends);
        let (mut words, mut patterns) = (Vec::new(), Vec::new());
        let sorted = shapes.load();
        sorted.all_fitting(topic, &ends, asks.then_some((shapes.hasher(), &mut words)), |shape| {
            let mut pattern = String::new();
            shape.write_pattern(topic, &ends, &mut pattern);
            patterns.push(pattern);
            true
        });
        patterns
    }

    fn unasked(filters: &[&str], topic: &str) -> Vec<String> {
        patterns(filters, topic, false)
    }

    #[test]
    fn a_shape_takes_the_levels_of_the_topic() {
        assert_eq!(unasked(&["x/+/y"], "a/b/c"), ["a/+/c"]);
        assert_eq!(unasked(&["+/x/+"], "a/b/c"), ["+/b/+"]);
        assert_eq!(unasked(&["+/+"], "/"), ["+/+"]);
        assert_eq!(unasked(&["+/#", "#", "x/#"], "a/b"), ["#", "a/#", "+/#"]);
        assert_eq!(unasked(&["x/y/#"], "ä/ö"), ["ä/ö/#"]);
        assert_eq!(unasked(&["/#"], "/"), ["/#"]);
    }

    #[test]
    fn all_slashes_are_found() {
        for text in ["/", "a/b", "////////", "0.12/.0/", "ö/¯/\u{12f}/0./", "/0123456/0123456/", "abcdefgh/abcdefgh/0"]
        {
            let mut found = Vec::new();
            push_slashes(text.as_bytes(), &mut found);
            assert_eq!(found, Vec::from_iter(text.match_indices('/').map(|(at, _)| at as u32)), "{text}");
        }
    }

    #[test]
    fn shapes_that_do_not_fit_are_not_tried() {
        assert_eq!(unasked(&["+", "+/x/x", "x/x/x/#"], "a/b"), [""; 0]);
        assert_eq!(unasked(&["+/x", "#", "x/+", "$SYS/#"], "$SYS/b"), ["$SYS/#", "$SYS/+"]);
    }

    #[test]
    fn shapes_are_counted() {
        let shapes = Shapes::default();
        for pattern in ["a/+", "b/+", "a/b/#", "a/b"] {
            shapes.add(pattern);
        }
        assert_eq!((shapes.load().fitting(2), shapes.load().fitting(1)), (2, 0));
        shapes.remove("a/+");
        shapes.remove("a/b/#");
        shapes.remove("a/b");
        assert_eq!(shapes.load().fitting(2), 1);
        shapes.remove("b/+");
        assert!(shapes.load().is_empty());
    }

    #[test]
    fn a_shape_that_is_asked_is_looked_up_only_for_words_it_has() {
        let mut filters = Vec::new();
        for bits in 1..(1 << 10) - 1 {
            let level = |level| if bits >> level & 1 == 1 { "a" } else { "+" };
            filters.push((0..10).map(level).collect::<Vec<_>>().join("/"));
        }
        let filters: Vec<_> = filters.iter().map(String::as_str).collect();
        let topic = |word: &str| [word; 10].join("/");
        let mut all = patterns(&filters, &topic("a"), true);
        all.sort();
        let mut expected = filters.clone();
        expected.sort_unstable();
        assert!(all == expected, "{} of 1022", all.len());
        // Two words that one hasher takes for the same let through every shape that has one of them; other words, and other
        // hashers, do not.
        let mut by_chance = Vec::new();
        for _ in 0..5 {
            let shapes = shapes_of(&filters);
            by_chance.extend((0..200).map(|word| patterns_of(&shapes, &topic(&format!("b{word}")), true).len()));
        }
        by_chance.sort_unstable();
        assert!(by_chance[by_chance.len() / 2] < 20, "{by_chance:?}");
        assert_eq!(unasked(&filters, &topic("b")).len(), 1022);
    }

    #[test]
    fn a_shape_knows_each_of_its_filters() {
        let filters: Vec<_> = (0..100).map(|word| format!("{word}/+/{}/#", word % 7)).collect();
        let filters: Vec<_> = filters.iter().map(String::as_str).collect();
        for (word, filter) in filters.iter().enumerate() {
            let topic = format!("{word}/x/{}/y/z", word % 7);
            assert_eq!(patterns(&filters, &topic, true), [*filter]);
            assert_eq!(patterns(&filters[..=word], &topic, true), [*filter]);
        }
    }

    #[test]
    fn levels_beyond_those_told_apart_are_looked_up() {
        let deep = vec!["a"; 100];
        for plus in [0, 63, 64, 99] {
            let mut levels = deep.clone();
            levels[plus] = "+";
            let filter = levels.join("/");
            for topic in [deep.join("/"), format!("{}/b", deep[..99].join("/"))] {
                let expected = &unasked(&[&filter], &topic);
                assert_eq!(&patterns(&[&filter], &topic, true), expected, "{plus}");
            }
            assert!(patterns(&[&filter], &vec!["b"; 100].join("/"), true).len() <= 1);
        }
    }
}
