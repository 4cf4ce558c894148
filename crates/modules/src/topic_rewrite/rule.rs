//! A rule, and what it makes of a topic and of a filter.

use mqtt_codec::{Filter, Topic};
use mqtt_hooks::is_sys;
use regex::{Regex, RegexBuilder};

use super::destination::Destination;
use super::{Action, RuleSettings};

/// Bytes of memory that one expression may take.
const MAX_SIZE: usize = 1 << 20;

pub(super) struct Rule {
    action: Action,
    source: Filter,
    expression: Regex,
    destination: Destination,
}

/// What becomes of a topic or a filter.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Rewritten<T> {
    /// It stays, by no rule or by one whose expression does not match.
    Not,
    To(T),
    /// It stays, for this is none or below `$SYS`.
    Wrong(String),
}

impl Rule {
    /// Checks it; the error says what is wrong.
    pub(super) fn new(settings: &RuleSettings) -> Result<Self, String> {
        let RuleSettings { action, source_topic, re, dest_topic } = settings;
        let source = Filter::new(source_topic.clone()).map_err(|why| format!("source_topic: {why}"))?;
        if source.group().is_some() || source.is_bad_share() {
            return Err("source_topic: the group of a shared subscription is no part of it".to_owned());
        }
        if is_sys(source.pattern()) {
            return Err("source_topic: $SYS is the broker's own".to_owned());
        }
        let mut builder = RegexBuilder::new(re);
        // Its time grows with the topic and not faster, whatever it is; its memory has a bound.
        let expression = builder.size_limit(MAX_SIZE).dfa_size_limit(MAX_SIZE).build();
        let expression = expression.map_err(|why| format!("re: {}", last_line(&why.to_string())))?;
        let groups = expression.captures_len() - 1;
        let destination = Destination::read(dest_topic, groups)
            .map_err(|number| format!("dest_topic: ${number} stands for no group of re, which has {groups}"))?;
        let sample = destination.sample();
        let is_wrong = match action {
            Action::Sub => filter(&sample).is_none(),
            Action::Pub | Action::All => topic(&sample).is_none(),
        };
        if is_wrong {
            return Err(format!("dest_topic: {dest_topic:?} makes no topic that a client may have"));
        }
        Ok(Self { action: *action, source, expression, destination })
    }

    /// [`Action::All`] is for both of the others.
    pub(super) fn is_for(&self, action: Action) -> bool {
        self.action == Action::All || self.action == action
    }

    /// `None`: the expression does not match.
    fn apply(&self, text: &str) -> Option<String> {
        Some(self.destination.filled(&self.expression.captures(text)?))
    }
}

/// By the first rule that is about it. Of a filter the broker looks itself how many levels it has: one that has become another may be
/// refused.
pub(super) fn rewrite_topic<'a>(
    mut rules: impl Iterator<Item = &'a Rule>,
    from: &Topic,
    max_levels: impl FnOnce() -> usize,
) -> Rewritten<Topic> {
    let rule = rules.find(|rule| rule.source.matches(from));
    match rule.and_then(|rule| rule.apply(from.as_str())) {
        None => Rewritten::Not,
        Some(text) => {
            // A listener may allow more than the broker in general: what was taken with so many may go on with as many.
            let fits = |topic: &Topic| topic.levels_len() <= max_levels().max(from.levels_len());
            topic(&text).filter(fits).map_or(Rewritten::Wrong(text), Rewritten::To)
        }
    }
}

/// The same for a filter; its group stays.
pub(super) fn rewrite_filter<'a>(mut rules: impl Iterator<Item = &'a Rule>, from: &Filter) -> Rewritten<Filter> {
    // It is refused later as it is.
    if from.is_bad_share() {
        return Rewritten::Not;
    }
    // A rule is about a filter if it is about all of its topics.
    let rule = rules.find(|rule| rule.source.covers(from));
    let Some(text) = rule.and_then(|rule| rule.apply(from.pattern())) else { return Rewritten::Not };
    if filter(&text).is_none() {
        return Rewritten::Wrong(text);
    }
    let group = &from.as_str()[..from.as_str().len() - from.pattern().len()];
    // With the group it may be too long.
    Filter::new(format!("{group}{text}")).map_or(Rewritten::Wrong(text), Rewritten::To)
}

/// That clients may publish to.
fn topic(text: &str) -> Option<Topic> {
    Topic::new(text.to_owned()).ok().filter(|topic| !is_sys(topic.as_str()))
}

/// No shared one: nobody gets into a group by a rule.
fn filter(text: &str) -> Option<Filter> {
    let filter = Filter::new(text.to_owned()).ok()?;
    (filter.group().is_none() && !filter.is_bad_share() && !is_sys(filter.pattern())).then_some(filter)
}

/// The lines before it are a drawing of where the fault is.
fn last_line(text: &str) -> &str {
    text.lines().last().unwrap_or(text)
}
