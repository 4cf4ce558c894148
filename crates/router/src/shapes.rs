//! The shapes of wildcard filters: where their `+` stand, how deep they go, whether they end in `#`.
//!
//! However many wildcard filters there are, a topic is tried once per shape that fits it: with the shape's `+` put
//! into the topic's levels, the filter that may match has a known text and can be looked up like an exact one.

use std::collections::BTreeMap;
use std::sync::Arc;

use arc_swap::{ArcSwap, Guard};
use parking_lot::Mutex;

use crate::Full;
use crate::patterns::Patterns;

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

    /// What it adds to the cost of a match: the levels to put together.
    fn cost(&self) -> usize {
        self.levels as usize + usize::from(self.hash)
    }

    /// Appends the pattern of this shape that matches `topic`, whose levels end at `ends`.
    ///
    /// The topic has as many levels as the shape, or more if it ends in `#`.
    pub(crate) fn write_pattern(&self, topic: &str, ends: &[u32], pattern: &mut String) {
        let end_of = |levels: usize| if levels == 0 { 0 } else { ends[levels - 1] as usize };
        let mut copied = 0;
        for &plus in &*self.pluses {
            let plus = usize::from(plus);
            let start = if plus == 0 { 0 } else { end_of(plus) + 1 };
            pattern.push_str(&topic[copied..start]);
            pattern.push('+');
            copied = end_of(plus + 1);
        }
        pattern.push_str(&topic[copied..end_of(self.levels as usize)]);
        match (self.hash, self.levels) {
            (false, _) => {}
            (true, 0) => pattern.push('#'),
            (true, _) => pattern.push_str("/#"),
        }
    }
}

/// Memory for a look-up, used again for each topic.
#[derive(Debug, Default)]
pub(crate) struct Scratch {
    pub(crate) ends: Vec<u32>,
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
            found &= found - 1;
        }
        start += 8;
    }
    at.extend((start..).zip(rest).filter(|&(_, &byte)| byte == b'/').map(|(slash, _)| slash));
}

/// All shapes at one moment, in an order that brings those together which fit a topic.
#[derive(Debug, Default)]
pub(crate) struct Table {
    /// Without `#`, ordered by levels.
    plain: Vec<Shape>,
    /// With `#`, ordered by levels.
    hash: Vec<Shape>,
}

impl Table {
    pub(crate) fn is_empty(&self) -> bool {
        self.plain.is_empty() && self.hash.is_empty()
    }

    /// The shapes that fit a topic of so many levels: each has one pattern that matches it.
    pub(crate) fn fitting(&self, topic: &str, levels: u32) -> impl Iterator<Item = &Shape> {
        let dollar = topic.starts_with('$');
        let plain = &self.plain[self.plain.partition_point(|shape| shape.levels < levels)..];
        let plain = plain.iter().take_while(move |shape| shape.levels == levels);
        // `#` stands for any number of levels, none included.
        let hash = self.hash.iter().take_while(move |shape| shape.levels <= levels);
        plain.chain(hash).filter(move |shape| !(dollar && shape.leads()))
    }
}

/// The shapes of all filters, counted.
#[derive(Debug)]
pub(crate) struct Shapes {
    max_cost: usize,
    counted: Mutex<Counted>,
    /// Read by every match, so without a lock; replaced when a shape appears or disappears.
    table: ArcSwap<Table>,
}

#[derive(Debug, Default)]
struct Counted {
    filters: BTreeMap<Shape, usize>,
    cost: usize,
}

impl Shapes {
    pub(crate) fn new(max_cost: usize) -> Self {
        Self { max_cost, counted: Mutex::default(), table: ArcSwap::default() }
    }

    /// The shapes now.
    pub(crate) fn load(&self) -> Guard<Arc<Table>> {
        self.table.load()
    }

    /// Counts a filter that appeared.
    pub(crate) fn add(&self, shape: Shape) -> Result<(), Full> {
        let mut counted = self.counted.lock();
        if let Some(filters) = counted.filters.get_mut(&shape) {
            *filters += 1;
            return Ok(());
        }
        let cost = counted.cost + shape.cost();
        if cost > self.max_cost {
            return Err(Full);
        }
        counted.cost = cost;
        counted.filters.insert(shape, 1);
        self.publish(&counted);
        Ok(())
    }

    /// Uncounts a filter that disappeared.
    pub(crate) fn remove(&self, shape: &Shape) {
        let mut counted = self.counted.lock();
        let Some(filters) = counted.filters.get_mut(shape) else { return };
        *filters -= 1;
        if *filters == 0 {
            counted.filters.remove(shape);
            counted.cost -= shape.cost();
            self.publish(&counted);
        }
    }

    fn publish(&self, counted: &Counted) {
        let (hash, plain) = counted.filters.keys().cloned().partition(|shape| shape.hash);
        self.table.store(Arc::new(Table { plain, hash }));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn patterns(filters: &[&str], topic: &str) -> Vec<String> {
        let shapes = Shapes::new(100_000);
        for filter in filters {
            shapes.add(Shape::of(filter).unwrap()).unwrap();
        }
        let mut ends = Vec::new();
        find_ends(topic, &mut ends);
        let pattern = |shape: &Shape| {
            let mut pattern = String::new();
            shape.write_pattern(topic, &ends, &mut pattern);
            pattern
        };
        shapes.load().fitting(topic, ends.len() as u32).map(pattern).collect()
    }

    #[test]
    fn a_shape_takes_the_levels_of_the_topic() {
        assert_eq!(patterns(&["x/+/y"], "a/b/c"), ["a/+/c"]);
        assert_eq!(patterns(&["+/x/+"], "a/b/c"), ["+/b/+"]);
        assert_eq!(patterns(&["+/+"], "/"), ["+/+"]);
        assert_eq!(patterns(&["+/#", "#", "x/#"], "a/b"), ["#", "a/#", "+/#"]);
        assert_eq!(patterns(&["x/y/#"], "ä/ö"), ["ä/ö/#"]);
        assert_eq!(patterns(&["/#"], "/"), ["/#"]);
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
        assert_eq!(patterns(&["+", "+/x/x", "x/x/x/#"], "a/b"), [""; 0]);
        assert_eq!(patterns(&["+/x", "#", "x/+", "$SYS/#"], "$SYS/b"), ["$SYS/+", "$SYS/#"]);
    }

    #[test]
    fn shapes_are_counted_and_bounded() {
        let shapes = Shapes::new(5);
        let [two, three] = ["a/+", "a/b/#"].map(|pattern| Shape::of(pattern).unwrap());
        shapes.add(two.clone()).unwrap();
        shapes.add(two.clone()).unwrap();
        shapes.add(three.clone()).unwrap();
        assert_eq!(shapes.add(Shape::of("#").unwrap()), Err(Full));
        shapes.remove(&two);
        shapes.remove(&three);
        assert!(!shapes.load().is_empty());
        shapes.remove(&two);
        assert!(shapes.load().is_empty());
        shapes.add(Shape::of("+/+/+/+/#").unwrap()).unwrap();
    }
}
