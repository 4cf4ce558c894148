//! How much a subscriber's filters may cost those who publish.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::hash::{BuildHasher, Hasher};

use foldhash::fast::RandomState;
use mqtt_codec::Filter;

use crate::Full;

/// A group counts for so many levels more: each that a topic reaches is another delivery, not one more id in it.
const GROUP: usize = 8;

/// The different shapes of one subscriber's filters, counted by their levels so that they can be bounded.
///
/// The shape of a filter is where its `+` stand, how many levels it has and whether `#` ends it: `a/+/b` and `x/+/y` have
/// the same. Of one shape at most one filter matches a topic, and a router asks for each shape that fits the topic. So
/// this bounds both what a subscriber adds to the cost of a publish that has nothing to do with it, and how many of its
/// filters one publish may reach. A shared filter counts with its group, wildcards or not, and for eight levels more,
/// because each group gets a copy.
/// An exact filter costs one look-up whatever there is, and does not count.
///
/// ```
/// use mqtt_codec::Filter;
/// use mqtt_router::Variety;
///
/// let mut anna = Variety::default();
/// anna.add(&Filter::new("stairs/+/light")?, 4)?;
/// anna.add(&Filter::new("garden/+/gate")?, 4)?;
/// assert!(anna.add(&Filter::new("garden/#")?, 4).is_err());
/// # Ok::<_, Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, Default)]
pub struct Variety {
    /// How many filters have a shape, which is known by its hash.
    shapes: HashMap<u64, u32, RandomState>,
    levels: usize,
}

impl Variety {
    /// Levels that a filter counts for if none of its shape is there; 0: it does not count.
    pub fn levels_of(filter: &Filter) -> usize {
        match filter.group() {
            Some(_) => filter.levels_len() + GROUP,
            None if filter.has_wildcard() => filter.levels_len(),
            None => 0,
        }
    }

    /// Counts a filter that was not there before. Fails, and counts nothing, if the shapes would have more than
    /// `max_levels` in all.
    pub fn add(&mut self, filter: &Filter, max_levels: usize) -> Result<(), Full> {
        let levels = Self::levels_of(filter);
        if levels == 0 {
            return Ok(());
        }
        match self.shapes.entry(shape(filter, self.shapes.hasher())) {
            Entry::Occupied(mut filters) => *filters.get_mut() += 1,
            Entry::Vacant(vacant) => {
                if self.levels + levels > max_levels {
                    return Err(Full);
                }
                self.levels += levels;
                vacant.insert(1);
            }
        }
        Ok(())
    }

    /// Uncounts a filter that was counted.
    pub fn remove(&mut self, filter: &Filter) {
        let levels = Self::levels_of(filter);
        if levels == 0 {
            return;
        }
        if let Entry::Occupied(mut filters) = self.shapes.entry(shape(filter, self.shapes.hasher())) {
            *filters.get_mut() -= 1;
            if *filters.get() == 0 {
                filters.remove();
                self.levels -= levels;
            }
        }
    }

    /// Levels of all different shapes.
    pub const fn levels(&self) -> usize {
        self.levels
    }
}

/// Two shapes have the same by a chance of one in 2^64, and nobody knows by which texts.
fn shape(filter: &Filter, hasher: &RandomState) -> u64 {
    let mut hasher = hasher.build_hasher();
    hasher.write(filter.group().unwrap_or_default().as_bytes());
    for level in filter.pattern().split('/') {
        hasher.write_u8(match level {
            "+" => 1,
            "#" => 2,
            _ => 3,
        });
    }
    hasher.finish()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn filter(text: &str) -> Filter {
        Filter::new(text.to_owned()).unwrap()
    }

    fn added(max: usize, filters: &[&str]) -> (Variety, Vec<bool>) {
        let mut variety = Variety::default();
        let added = filters.iter().map(|text| variety.add(&filter(text), max).is_ok()).collect();
        (variety, added)
    }

    #[test]
    fn filters_of_one_shape_count_once() {
        let (variety, added) = added(7, &["a/+/b", "x/+/y", "a/#", "b/#", "a/b/c/d/e/f/g/h", "a/+", "+", "#"]);
        assert_eq!(added, [true, true, true, true, true, true, false, false]);
        assert_eq!(variety.levels(), 7);
    }

    #[test]
    fn a_shared_filter_counts_for_its_group() {
        let (variety, added) =
            added(30, &["$share/g/a", "$share/g/b", "$share/h/a", "$share/g/+", "+", "$share/i/a/b"]);
        assert_eq!(added, [true, true, true, true, true, false]);
        assert_eq!(variety.levels(), 3 * (GROUP + 1) + 1);
    }

    #[test]
    fn what_has_gone_makes_room() {
        let (mut variety, added) = added(5 + GROUP, &["a/+", "b/+", "$share/g/a", "a/#", "a"]);
        assert_eq!(added, [true; 5]);
        assert!(variety.add(&filter("#"), 5 + GROUP).is_err());
        variety.remove(&filter("a/+"));
        assert_eq!(variety.levels(), 5 + GROUP);
        variety.remove(&filter("b/+"));
        variety.remove(&filter("b/+"));
        assert_eq!(variety.levels(), 3 + GROUP);
        assert!(variety.add(&filter("+/+"), 5 + GROUP).is_ok());
        for text in ["$share/g/a", "a/#", "a", "+/+"] {
            variety.remove(&filter(text));
        }
        assert_eq!((variety.levels(), variety.shapes.len()), (0, 0));
    }
}
