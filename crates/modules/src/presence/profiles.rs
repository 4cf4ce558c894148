//! What events look like, and on which topics: as other brokers tell them, so that what was made for those goes on as it is.
//!
//! Several may be on at once, but of EMQX's one: they are all on the same topics.

use std::sync::Arc;

use mqtt_codec::topic::TopicError;
use mqtt_codec::{Filter, Properties, Property, Topic};
use mqtt_hooks::{Reserve, StartError};

use super::event::{Event, Style};
use super::topics::{CONNECTED, DISCONNECTED, Topics};

mod aws;
mod cloudevents;
mod emqx5;
pub(super) mod schema;

mqtt_hooks::choice! {
    /// What events look like.
    pub enum Profile {
        /// As EMQ X 4.3 tells them.
        Emqx4 = "emqx4",
        /// As EMQX 5 tells them, up to 5.8.
        Emqx5 = "emqx5",
        /// As EMQX 5.9 and 6 tell them.
        Emqx6 = "emqx6",
        /// As AWS IoT Core tells them, below `$aws/events/presence/`.
        Aws = "aws",
        /// CloudEvents 1.0, as JSON.
        CloudEvents = "cloudevents",
    }
}

impl Profile {
    /// All of them.
    pub(super) const ALL: [Self; 5] = [Self::Emqx4, Self::Emqx5, Self::Emqx6, Self::Aws, Self::CloudEvents];

    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Emqx4 => "emqx4",
            Self::Emqx5 => "emqx5",
            Self::Emqx6 => "emqx6",
            Self::Aws => "aws",
            Self::CloudEvents => "cloudevents",
        }
    }

    const fn is_emqx(self) -> bool {
        matches!(self, Self::Emqx4 | Self::Emqx5 | Self::Emqx6)
    }

    /// The topic of an event of this client, at this node or at the other one named.
    pub(super) fn topic(
        self,
        topics: &Topics,
        node: Option<&str>,
        client_id: &str,
        has_come: bool,
    ) -> Result<Topic, TopicError> {
        match self {
            Self::Emqx4 | Self::Emqx5 | Self::Emqx6 => {
                topics.of_at(node, client_id, if has_come { CONNECTED } else { DISCONNECTED })
            }
            Self::Aws => aws::topic(client_id, has_come),
            Self::CloudEvents => topics.of_at(node, client_id, cloudevents::SUFFIX),
        }
    }

    const fn content_type(self) -> &'static str {
        match self {
            Self::CloudEvents => "application/cloudevents+json; charset=utf-8",
            _ => "application/json",
        }
    }

    fn properties(self, has_come: bool) -> Properties {
        let schema = schema::name(self, has_come);
        Properties::from([
            Property::ContentType(self.content_type().into()),
            Property::UserProperty("schema".into(), schema.into()),
        ])
    }

    fn write(self, event: &Event<'_>, style: Style<'_>, node: &str) -> Vec<u8> {
        match self {
            Self::Emqx4 => event.write(style),
            Self::Emqx5 | Self::Emqx6 => emqx5::write(event, style, self == Self::Emqx6),
            Self::Aws => aws::write(event),
            Self::CloudEvents => cloudevents::write(event, style, node),
        }
    }
}

/// Those that are on.
#[derive(Debug)]
pub(super) struct Profiles {
    on: Box<[On]>,
    topics: Arc<Topics>,
}

/// One that is on.
#[derive(Debug)]
pub(super) struct On {
    profile: Profile,
    connected: Properties,
    disconnected: Properties,
}

impl Profiles {
    pub(super) fn new(wanted: &[Profile], topics: Arc<Topics>) -> Self {
        let on = wanted.iter().map(|&profile| On {
            profile,
            connected: profile.properties(true),
            disconnected: profile.properties(false),
        });
        Self { on: on.collect(), topics }
    }

    /// Whether they can be on at once.
    pub(super) fn check(wanted: &[Profile]) -> Result<(), StartError> {
        for (at, profile) in wanted.iter().enumerate() {
            let clash = wanted[..at].iter().find(|before| *before == profile || before.is_emqx() && profile.is_emqx());
            if let Some(before) = clash {
                let (before, name) = (before.name(), profile.name());
                let why = format!("profiles: {before} and {name} have the same topics, so only one of them can be on");
                return Err(StartError::Config(why));
            }
        }
        Ok(())
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &On> {
        self.on.iter()
    }

    /// Whether it is the topic of an event.
    pub(super) fn is_event(&self, topic: &Topic) -> bool {
        self.on.iter().any(|on| match on.profile {
            Profile::Emqx4 | Profile::Emqx5 | Profile::Emqx6 => self.topics.is_event(topic),
            Profile::Aws => topic.as_str().starts_with(aws::PREFIX),
            Profile::CloudEvents => self.topics.ends_with(topic, cloudevents::SUFFIX),
        })
    }

    /// Who keeps clients away from topics that are not below `$SYS`.
    pub(super) fn reserved(&self) -> Option<Arc<dyn Reserve>> {
        self.on.iter().any(|on| on.profile == Profile::Aws).then(|| Arc::new(aws::Reserved) as _)
    }
}

impl On {
    pub(super) fn topic(&self, topics: &Topics, event: &Event<'_>) -> Result<Topic, TopicError> {
        self.profile.topic(topics, event.client.node(), &event.client.client_id, event.end.is_none())
    }

    pub(super) fn properties(&self, event: &Event<'_>) -> Properties {
        if event.end.is_none() { self.connected.clone() } else { self.disconnected.clone() }
    }

    pub(super) fn write(&self, event: &Event<'_>, style: Style<'_>, node: &str) -> Vec<u8> {
        self.profile.write(event, style, node)
    }
}

/// Whether a filter may match a topic that begins with these levels.
fn may_reach(filter: &Filter, first: &[&str]) -> bool {
    let mut levels = filter.pattern().split('/');
    for (at, own) in first.iter().enumerate() {
        match levels.next() {
            Some(level) if level == *own => {}
            // [MQTT-4.7.2-1]: no wildcard in front reaches what begins with `$`.
            Some("#") => return at > 0,
            Some("+") if at > 0 => {}
            _ => return false,
        }
    }
    levels.next().is_some()
}

#[cfg(test)]
mod tests;
