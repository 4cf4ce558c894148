//! What there is in a router, for who looks at it.

use std::fmt::Write;
use std::hash::Hash;
use std::sync::atomic::Ordering;

use mqtt_codec::Filter;

use super::{Options, Router};
use crate::group::Shared;
use crate::leaf::Subscribers;

impl<K: Clone + Eq + Hash> Router<K> {
    /// Different filters, shared ones counted once per group.
    pub fn filters_len(&self) -> usize {
        self.filters.load(Ordering::Relaxed)
    }

    /// Subscriptions, shared ones included.
    pub fn subscriptions_len(&self) -> usize {
        self.subscriptions.load(Ordering::Relaxed)
    }

    /// Shared subscriptions.
    pub fn shared_len(&self) -> usize {
        self.shared.load(Ordering::Relaxed)
    }

    /// Different filters without `$share/group/`.
    pub fn patterns_len(&self) -> usize {
        self.leaves.len()
    }

    /// True if anyone has subscribed with this filter, `$share/group/` apart.
    pub fn has_pattern(&self, pattern: &str) -> bool {
        self.leaves.contains_key(pattern.as_bytes())
    }

    /// True if anyone has subscribed with this filter.
    pub fn is_subscribed(&self, filter: &Filter) -> bool {
        self.leaves.get(filter.pattern().as_bytes()).is_some_and(|leaf| match filter.group() {
            Some(name) => leaf.groups().is_some_and(|groups| groups.contains_key(name)),
            None => !leaf.plain().is_empty(),
        })
    }

    /// Calls `visit` once with each filter's text without `$share/group/`. Locks like
    /// [`for_each_filter`](Self::for_each_filter).
    pub fn for_each_pattern(&self, mut visit: impl FnMut(&str)) {
        for leaf in &self.leaves {
            visit(leaf.key().as_str());
        }
    }

    /// Calls `visit` with each different filter's text. For listings: it walks all of them, shard by shard.
    ///
    /// A shard is locked meanwhile, so `visit` must not use this router.
    pub fn for_each_filter(&self, mut visit: impl FnMut(&str)) {
        self.for_each_list(|filter, _| visit(filter));
    }

    /// Calls `visit` with each subscription: the filter's text, who, and what for. Locks like
    /// [`for_each_filter`](Self::for_each_filter).
    pub fn for_each_subscription(&self, mut visit: impl FnMut(&str, &K, Options)) {
        self.for_each_list(|filter, of| match of {
            Of::Plain(subscribers) => {
                subscribers
                    .subscriptions()
                    .iter()
                    .for_each(|subscription| visit(filter, &subscription.key, subscription.options()));
            }
            Of::Shared(group) => {
                group.for_each(|subscription| visit(filter, &subscription.key, subscription.options()))
            }
        });
    }

    fn for_each_list(&self, mut visit: impl FnMut(&str, Of<'_, K>)) {
        let mut text = String::new();
        for leaf in &self.leaves {
            let pattern = leaf.key().as_str();
            if !leaf.plain().is_empty() {
                visit(pattern, Of::Plain(leaf.plain()));
            }
            for (name, group) in leaf.groups().into_iter().flatten() {
                text.clear();
                // The one group that has a prefix of its own.
                let share = if &**name == "$queue" { "" } else { "$share/" };
                write!(text, "{share}{name}/{pattern}").expect("a String takes any text");
                visit(&text, Of::Shared(group));
            }
        }
    }
}

/// Whom a filter belongs to.
enum Of<'a, K> {
    Plain(&'a Subscribers<K>),
    Shared(&'a Shared<K>),
}
