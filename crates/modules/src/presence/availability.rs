//! Availability without a will: a topic for each client that says `online` or `offline`, as if it were retained there.
//!
//! Nothing is: what a subscriber is sent is made of the table of clients that are known, which outlives the process and has a bound. So
//! a client costs no more than it does anyway, whatever ids it makes up; what a rule says is so for all clients once the rule is set, and
//! gone with it; and after a crash there is nothing to clean up, for nothing was left. What is sent again is what is true by then, under the
//! subscriber's lock, under which changes are delivered too.
//!
//! The topics are this module's own: no client publishes there, by its will neither, or it could say of another what it likes. A
//! topic has one owner, so no two clients speak on it.

use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use mqtt_codec::{Filter, Message, Properties, Qos, Topic};
use mqtt_hooks::{ConnectionInfo, Ctx, Fact, Moment, Observe, Reason, Reserve, StartError, States, Walk};
use parking_lot::Mutex;

use self::rule::{Reach, Rule};
use super::{Entry, History};

mod rule;

/// Clients that are looked at in one go.
const PIECE: usize = 64;

/// Clients that are between two connections at a time, or there are more threads than this.
const MAX_REPLACED: usize = 4096;

mqtt_hooks::settings! {
    /// A rule of availability.
    pub struct Settings {
        /// Topic
        ///
        /// Where it is told: ${clientid} stands for the client id, once. Ids with a slash or a wildcard have none.
        pub topic: String = "",
        /// Online
        ///
        /// What is told of a client that is online.
        pub online: String = "online",
        /// Offline
        ///
        /// What is told of a client that is not.
        pub offline: String = "offline",
        /// Client ids
        ///
        /// Of which clients: * stands for any text, ? for any character.
        pub r#match: String = "*",
    }
}

/// All rules, checked.
#[derive(Debug)]
pub(super) struct Rules(Box<[Rule]>);

impl Rules {
    pub(super) fn new(settings: &[Settings]) -> Result<Self, StartError> {
        let rule = |(at, settings)| {
            Rule::new(settings).map_err(|why| StartError::Config(format!("availability, entry {}: {why}", at + 1)))
        };
        settings.iter().enumerate().map(rule).collect::<Result<_, _>>().map(Self)
    }

    /// By which rule a topic is whose. Where several rules have it, it is that of the first.
    fn owner<'a>(&'a self, topic: &'a Topic) -> Option<(&'a Rule, &'a str)> {
        self.0.iter().find_map(|rule| Some((rule, rule.owner(topic.as_str())?)))
    }

    /// The topics of a client, with what each rule has to say. `skipped` is told of those that there can't be.
    fn of<'a>(&'a self, client_id: &'a str, skipped: impl Fn()) -> impl Iterator<Item = (&'a Rule, Topic)> {
        let about = self.0.iter().filter(move |rule| rule.is_about(client_id));
        about.filter_map(move |rule| {
            let Some(topic) = rule.topic_of(client_id) else {
                skipped();
                return None;
            };
            let owner = self.owner(&topic);
            let is_own = owner.is_some_and(|(first, owner)| std::ptr::eq(first, rule) && owner == client_id);
            is_own.then_some((rule, topic))
        })
    }
}

/// Tells of it.
pub(super) struct Availability {
    rules: Rules,
    history: Arc<History>,
    /// [`Host::epoch`](mqtt_hooks::Host::epoch)
    epoch: u64,
    /// Who has lost a connection to one that is about to be told of.
    replaced: Mutex<HashSet<Arc<str>>>,
    skipped: Arc<AtomicU64>,
}

impl Availability {
    /// Registers it, if there are rules. After who notes what happens in `history`.
    pub(super) fn register(ctx: &Ctx, rules: Rules, history: &Arc<History>, skipped: &Arc<AtomicU64>) {
        if rules.0.is_empty() {
            return;
        }
        let (history, skipped, epoch) = (Arc::clone(history), Arc::clone(skipped), ctx.host().epoch());
        let all = Arc::new(Self { rules, history, epoch, replaced: Mutex::default(), skipped });
        ctx.reserve(all.clone());
        ctx.states(all.clone());
        ctx.observe(all);
    }

    fn skip(&self) {
        let skipped = self.skipped.fetch_add(1, Ordering::Relaxed) + 1;
        // Who has such an id comes as often as they like.
        if skipped.is_power_of_two() {
            tracing::warn!(skipped, "no topic can be made of a client id for its availability");
        }
    }

    fn is_online(&self, last: &Entry) -> bool {
        if last.is_connected() || last.is_unseen() {
            return last.is_connected();
        }
        // The connection that takes over is told of next, with nothing in between but the end of this process.
        let is_replaced = |reason| [Reason::TakenOver, Reason::Discarded].iter().any(|of| of.name() == reason);
        last.reason().is_some_and(|reason| last.epoch == self.epoch && is_replaced(reason))
    }

    fn tell(&self, client: &ConnectionInfo, is_online: bool, moment: &mut dyn Moment) {
        let client_id = &*client.client_id;
        let mut number = None;
        for (rule, topic) in self.rules.of(client_id, || self.skip()) {
            let number =
                *number.get_or_insert_with(|| self.history.last_event(client_id).map_or(0, |last| last.number));
            moment.publish_state_to_all(&topic, number, &mut || message(topic.clone(), rule, is_online));
        }
    }
}

fn message(topic: Topic, rule: &Rule, is_online: bool) -> Message {
    let payload = if is_online { &rule.online } else { &rule.offline };
    // Who asks to be told what is retained [MQTT-3.3.1-13] is told that this is: a bridge hands it on as such.
    Message { topic, payload: payload.clone(), qos: Qos::AtLeastOnce, retain: true, properties: Properties::EMPTY }
}

impl Observe for Availability {
    fn observe(&self, fact: &Fact<'_>, moment: &mut dyn Moment) {
        match *fact {
            // Who is taken over was online and is so.
            Fact::Connected { client, .. } if self.replaced.lock().remove(&client.client_id) => {}
            Fact::Connected { client, .. } => self.tell(client, true, moment),
            Fact::Disconnected { client, reason: Reason::TakenOver | Reason::Discarded, .. } => {
                let mut replaced = self.replaced.lock();
                if replaced.len() < MAX_REPLACED {
                    replaced.insert(Arc::clone(&client.client_id));
                }
            }
            Fact::Disconnected { client, .. } => self.tell(client, false, moment),
            _ => {}
        }
    }
}

impl Reserve for Availability {
    fn owns(&self, topic: &Topic) -> bool {
        self.rules.owner(topic).is_some()
    }
}

impl States for Availability {
    fn is_about(&self, filter: &Filter) -> bool {
        self.rules.0.iter().any(|rule| rule.reach(filter) != Reach::None)
    }

    fn find(&self, filter: &Filter, walk: &mut Walk, found: &mut Vec<Box<str>>) -> bool {
        let reaches: Vec<_> = self.rules.0.iter().map(|rule| rule.reach(filter)).collect();
        let (mut ids, mut next) = (Vec::new(), None);
        if reaches.contains(&Reach::All) {
            next = self.history.walk(walk.at, PIECE, walk.since, &mut ids);
        } else {
            let named = reaches.iter().filter_map(|reach| match reach {
                Reach::One(client_id) => Some(Box::from(*client_id)),
                Reach::None | Reach::All => None,
            });
            ids.extend(named);
            ids.sort_unstable();
            ids.dedup();
            ids.retain(|id| self.history.last_event(id).is_some_and(|last| last.number > walk.since));
        }
        for id in &ids {
            let topics = self.rules.of(id, || {}).map(|(_, topic)| topic).filter(|topic| filter.matches(topic));
            found.extend(topics.map(|topic| Box::from(topic.as_str())));
        }
        walk.at = next.unwrap_or(walk.at);
        next.is_some()
    }

    fn state(&self, name: &str) -> Option<Message> {
        let topic = Topic::new(name.to_owned()).ok()?;
        let (rule, client_id) = self.rules.owner(&topic)?;
        let last = self.history.last_event(client_id)?;
        Some(message(topic.clone(), rule, self.is_online(&last)))
    }

    fn done(&self, _: &Walk) -> Option<Message> {
        None
    }
}

#[cfg(test)]
mod tests;
