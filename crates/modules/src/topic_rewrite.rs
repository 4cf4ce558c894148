//! Topics that become others, by rules of a filter and a regular expression, as EMQ X's `emqx_mod_rewrite`: those of messages on
//! their way in, and those of filters that clients subscribe with and give up.
//!
//! The first rule whose `source_topic` matches is the one: if its expression does not match the topic, it stays as it is. The group
//! of a shared subscription stays before its filter. What would be no topic, would have too many levels, or would lie below `$SYS`, is left as it was and
//! counted; nothing below `$SYS` is looked at.
//!
//! Rules of authorization are about the topic of a message as it was sent, as with EMQ X, and about a filter as it has become: so it
//! is kept, and looked at again when they change.
//!
//! A rule may make a delayed message of one; when its time has come, rules look at it again, and it is not delayed once more.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use mqtt_codec::{Filter, SubscribeOptions};
use mqtt_hooks::{
    ConnectionInfo, Ctx, Host, Incoming, Info, Intercept, Listing, Module, Moment, Number, Passage, Settings as _,
    StartError, read_settings,
};
use serde_json::Value;

mod destination;
mod rule;

use crate::delayed_publish;
use rule::{Rewritten, Rule};

mqtt_hooks::choice! {
    /// What a rule is about.
    pub enum Action {
        /// Messages.
        Pub = "pub",
        /// Subscriptions.
        Sub = "sub",
        /// Both.
        All = "all",
    }
}

mqtt_hooks::settings! {
    /// A rule of [`Settings`].
    pub struct RuleSettings {
        /// For
        ///
        /// Messages, subscriptions, or both.
        pub action: Action = All,
        /// Topics
        ///
        /// A filter: what it matches is looked at by this rule, and by no later one.
        pub source_topic: String = "",
        /// Regular expression
        ///
        /// What becomes another topic, with groups in parentheses. It may match a part only: ^ and $ are its beginning and end.
        pub re: String = "",
        /// Become
        ///
        /// The other topic, in which $1 to $9 stand for what the groups have matched.
        pub dest_topic: String = "",
    }
}

mqtt_hooks::settings! {
    /// Settings of [`TopicRewrite`].
    pub struct Settings {
        /// Rules
        ///
        /// The first whose filter matches a topic is the one that counts. Each costs a comparison for each message.
        pub rule: Vec<RuleSettings> = [] in 0..=256,
    }
}

/// The module `topic_rewrite`.
#[derive(Default)]
pub struct TopicRewrite {
    counts: Arc<Counts>,
}

/// Since the process began.
#[derive(Default)]
struct Counts {
    messages: AtomicU64,
    subscriptions: AtomicU64,
    wrong: AtomicU64,
}

#[async_trait::async_trait]
impl Module for TopicRewrite {
    fn info(&self) -> Info {
        Info {
            name: "topic_rewrite",
            title: "Topic Rewrite",
            description: "Makes other topics of those that clients publish to and subscribe with, by rules.",
            default_on: false,
            settings: Settings::FORM,
        }
    }

    fn check(&self, config: &Value) -> Result<(), StartError> {
        rules(&read_settings(config)?).map(drop)
    }

    async fn start(&self, ctx: &Ctx) -> Result<(), StartError> {
        let rules = rules(&ctx.settings()?)?;
        // Without rules nobody is to pay for being shown.
        if !rules.is_empty() {
            ctx.intercept(Arc::new(Rewrite { rules, host: ctx.host(), counts: Arc::clone(&self.counts) }));
        }
        Ok(())
    }

    fn numbers(&self) -> Vec<Number> {
        let Counts { messages, subscriptions, wrong } = &*self.counts;
        let rewritten = |of: &'static str, count: &AtomicU64| {
            Number::counter("rewritten", "Topics that became others.", count.load(Relaxed)).labelled("of", of)
        };
        vec![
            rewritten("messages", messages),
            rewritten("subscriptions", subscriptions),
            Number::counter(
                "wrong",
                "Topics left as they were, for what they would have become is none, has too many levels, or is below $SYS.",
                wrong.load(Relaxed),
            ),
        ]
    }

    fn listing(&self) -> Listing {
        Listing {
            title_zh: "主题重写", description_zh: "按规则重写客户端发布和订阅的主题。", ..Listing::default()
        }
    }

    fn stop_warning(&self) -> &'static str {
        "Messages go to the topics that clients name, and who subscribes from now on gets those; subscriptions stay as they have become."
    }
}

fn rules(settings: &Settings) -> Result<Vec<Rule>, StartError> {
    let rules = settings.rule.iter().zip(1..);
    rules
        .map(|(rule, at)| Rule::new(rule).map_err(|why| StartError::Config(format!("rule, entry {at}: {why}"))))
        .collect()
}

/// Its hooks.
struct Rewrite {
    rules: Vec<Rule>,
    host: Arc<dyn Host>,
    counts: Arc<Counts>,
}

impl Intercept for Rewrite {
    fn publish(&self, incoming: &mut Incoming<'_>, _: &mut dyn Moment) -> Passage {
        let topic = &mut incoming.message.topic;
        let rules = self.rules.iter().filter(|rule| rule.is_for(Action::Pub));
        let rewritten = rule::rewrite_topic(rules, topic, || self.host.max_topic_levels());
        if let Rewritten::To(other) = &rewritten
            && delayed_publish::delays_again(incoming.publisher, other)
        {
            return Passage::Pass;
        }
        self.count(&rewritten, topic.as_str(), &self.counts.messages);
        if let Rewritten::To(other) = rewritten {
            *topic = other;
        }
        Passage::Pass
    }

    fn subscribe(&self, _: &ConnectionInfo, filter: &mut Filter, _: &mut SubscribeOptions) {
        self.rewrite_filter(filter, &self.counts.subscriptions);
    }

    fn unsubscribe(&self, _: &ConnectionInfo, filter: &mut Filter) {
        self.rewrite_filter(filter, &AtomicU64::new(0));
    }
}

impl Rewrite {
    fn rewrite_filter(&self, filter: &mut Filter, count: &AtomicU64) {
        let rules = self.rules.iter().filter(|rule| rule.is_for(Action::Sub));
        let rewritten = rule::rewrite_filter(rules, filter);
        self.count(&rewritten, filter.as_str(), count);
        if let Rewritten::To(other) = rewritten {
            *filter = other;
        }
    }

    fn count<T>(&self, rewritten: &Rewritten<T>, from: &str, count: &AtomicU64) {
        match rewritten {
            Rewritten::Not => {}
            Rewritten::To(_) => drop(count.fetch_add(1, Relaxed)),
            Rewritten::Wrong(to) => {
                self.counts.wrong.fetch_add(1, Relaxed);
                tracing::debug!(from, to, "a topic is left as it was: by its rule it would become none");
            }
        }
    }
}

#[cfg(test)]
mod tests;
