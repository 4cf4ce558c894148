//! How filters relate to each other: which matches all that another does, which have a topic in common.

use super::Filter;

impl Filter {
    /// True if every topic that `other` matches is matched by this one too. Groups of shared filters make no difference.
    pub fn covers(&self, other: &Self) -> bool {
        let (ours, theirs) = (self.pattern(), other.pattern());
        // [MQTT-4.7.2-1]: what begins with `$` is out of a leading wildcard's reach.
        if starts_wild(ours) && theirs.starts_with('$') {
            return false;
        }
        let mut theirs = spelled_out(theirs).split('/');
        for our in ours.split('/') {
            match (our, theirs.next()) {
                ("#", _) => return true,
                ("+", Some(their)) if their != "#" => {}
                (our, Some(their)) if our == their => {}
                _ => return false,
            }
        }
        theirs.next().is_none()
    }

    /// True if some topic is matched by both. Groups of shared filters make no difference.
    pub fn overlaps(&self, other: &Self) -> bool {
        let (ours, theirs) = (self.pattern(), other.pattern());
        // [MQTT-4.7.2-1]
        if starts_wild(ours) && theirs.starts_with('$') || starts_wild(theirs) && ours.starts_with('$') {
            return false;
        }
        let (mut ours, mut theirs) = (spelled_out(ours).split('/'), spelled_out(theirs).split('/'));
        loop {
            match (ours.next(), theirs.next()) {
                // Whatever the other has from here on, nothing included: `#` matches its parent.
                (Some("#"), _) | (_, Some("#")) | (None, None) => return true,
                (Some("+"), Some(_)) | (Some(_), Some("+")) => {}
                (Some(our), Some(their)) if our == their => {}
                _ => return false,
            }
        }
    }
}

/// With a level for each that all its topics have: no topic is empty, so here `#` does not stand for nothing.
fn spelled_out(pattern: &str) -> &str {
    match pattern {
        "#" => "+/#",
        "/#" => "/+/#",
        pattern => pattern,
    }
}

fn starts_wild(pattern: &str) -> bool {
    pattern.starts_with(['+', '#'])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Topic;

    /// All texts of one to `longest` of these levels.
    fn texts(levels: &[&str], longest: usize) -> Vec<String> {
        let mut all: Vec<String> = levels.iter().map(|&level| level.to_owned()).collect();
        let mut last = all.clone();
        for _ in 1..longest {
            last = last.iter().flat_map(|text| levels.iter().map(move |level| format!("{text}/{level}"))).collect();
            all.extend(last.iter().cloned());
        }
        all
    }

    /// Filters of up to three levels, and which of all topics of up to four levels they match: that is one more than any
    /// filter has, and of the letters one is in no filter.
    fn filters_with_matches() -> Vec<(Filter, Vec<bool>)> {
        let topics = texts(&["a", "", "$x", "c"], 4).into_iter().filter_map(|text| Topic::new(text).ok());
        let topics: Vec<_> = topics.collect();
        let filters = texts(&["a", "", "$x", "+", "#"], 3).into_iter().filter_map(|text| Filter::new(text).ok());
        let matches = |filter: Filter| {
            let matched = topics.iter().map(|topic| filter.matches(topic)).collect();
            (filter, matched)
        };
        filters.map(matches).collect()
    }

    #[test]
    fn a_filter_covers_another_if_it_matches_all_that_the_other_does() {
        let filters = filters_with_matches();
        for (ours, our_matches) in &filters {
            for (theirs, their_matches) in &filters {
                let expected = our_matches.iter().zip(their_matches).all(|(&our, &their)| our || !their);
                assert_eq!(ours.covers(theirs), expected, "{ours} covers {theirs}");
            }
        }
    }

    #[test]
    fn filters_overlap_if_a_topic_is_matched_by_both() {
        let filters = filters_with_matches();
        for (ours, our_matches) in &filters {
            for (theirs, their_matches) in &filters {
                let expected = our_matches.iter().zip(their_matches).any(|(&our, &their)| our && their);
                assert_eq!(ours.overlaps(theirs), expected, "{ours} overlaps {theirs}");
            }
        }
    }

    #[test]
    fn a_shared_filter_is_looked_at_by_its_pattern() {
        let filter = |text: &'static str| Filter::new(text).unwrap();
        assert!(filter("a/#").covers(&filter("$share/g/a/b")) && filter("$share/g/a/#").covers(&filter("a/b")));
        assert!(filter("a/+").overlaps(&filter("$share/g/+/b")));
        assert!(!filter("$share/g/#").covers(&filter("$share/g/$SYS/#")));
    }
}
