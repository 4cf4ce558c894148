//! How many clients of each tag are online, away or missed: counted where somebody asks, and told as a topic of each tag.
//!
//! `$SYS/brokers/${node}/presence/groups/${tag}/counts` is a state topic. Its counts are made from the tables of known clients, of the
//! roster and of who is missed; nothing is kept while nobody subscribes, and who comes and goes never waits for it. Who is the first
//! to subscribe counts, some clients at a time; from then on a task counts anew where something may have changed, once a second or, where
//! that takes long, so seldom that it takes no more than a tenth of a thread.

use std::collections::BTreeMap;
use std::sync::Arc;

use mqtt_codec::{Filter, Message, Topic};
use mqtt_hooks::{Actor, Host, States, Walk};
use parking_lot::Mutex;
use serde::Serialize;

use super::absence::Missing;
use super::roster::Roster;
use super::standing::Standing;
use super::states::{done, message};
use super::topics::Topics;
use super::turns::pause;
use super::{Entry, History, tags};

/// The last level of the topics.
const COUNTS: &str = "counts";

/// Clients looked at in one go.
const PIECE: usize = 64;

/// Tags that are counted; who makes up tags finds no end otherwise. Those that are found first are.
const GROUPS: usize = 10_000;

/// Names found in one go.
const NAMES: usize = 64;

const SECOND_MS: u64 = 1000;

/// Where nothing has happened, maintenance may have ended all the same.
const IDLE_MS: u64 = 10_000;

/// How many there are of a group.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub(super) struct Count {
    /// All of them.
    pub(super) members: u64,
    online: u64,
    offline: u64,
    absent: u64,
    silent: u64,
    never_seen: u64,
    maintenance: u64,
}

impl Count {
    fn add(&mut self, standing: Standing) {
        self.members += 1;
        match standing {
            Standing::Online => self.online += 1,
            Standing::Offline => self.offline += 1,
            Standing::Absent => self.absent += 1,
            Standing::Silent => self.silent += 1,
            Standing::NeverSeen => self.never_seen += 1,
            Standing::Maintenance => self.maintenance += 1,
            Standing::Unexpected => {}
        }
    }
}

/// What clients are counted by.
#[derive(Clone)]
pub(super) struct Sources {
    pub(super) host: Arc<dyn Host>,
    pub(super) history: Arc<History>,
    pub(super) roster: Arc<Roster>,
    pub(super) missing: Arc<Missing>,
}

/// A count under way.
#[derive(Default)]
pub(super) struct Counting {
    at: At,
    /// Of the whole roster.
    pub(super) all: Count,
    pub(super) groups: BTreeMap<Box<str>, Count>,
}

/// Where it goes on.
enum At {
    Known(u64),
    /// After this member of the roster: those that are not known.
    Roster(Option<Box<str>>),
}

impl Default for At {
    fn default() -> Self {
        Self::Known(0)
    }
}

/// Whether a client is online, by what is known of it.
pub(super) type IsOnline<'a> = dyn Fn(&str, Option<&Entry>) -> bool + Sync + 'a;

/// The broker is not asked: who subscribes is locked while it is told of, and it is asked about others.
fn by_table(_: &str, last: Option<&Entry>) -> bool {
    last.is_some_and(Entry::is_connected)
}

impl Counting {
    /// Counts some more; false: those were all.
    pub(super) fn go_on(&mut self, sources: &Sources, is_online: &IsOnline<'_>) -> bool {
        match &self.at {
            At::Known(at) => {
                let mut found = Vec::new();
                let next = sources.history.walk(*at, PIECE, 0, &mut found);
                for client_id in &found {
                    if let Some(last) = sources.history.last_event(client_id) {
                        self.count_known(&last, is_online(client_id, Some(&last)), sources);
                    }
                }
                self.at = next.map_or(At::Roster(None), At::Known);
                true
            }
            At::Roster(after) => {
                let some = sources.roster.some(after.as_deref(), "", PIECE);
                let now = sources.host.now_ms();
                for (client_id, member) in &some {
                    if sources.history.last_event(client_id).is_none() {
                        let is_online = is_online(client_id, None);
                        let standing = Standing::of(Some(member), is_online, false, std::iter::empty(), now);
                        self.all.add(standing);
                        self.count(member.tags.iter().map(|tag| &**tag), standing);
                    }
                }
                let is_more = some.len() == PIECE;
                self.at = At::Roster(some.into_iter().next_back().map(|(client_id, _)| client_id));
                is_more
            }
        }
    }

    fn count_known(&mut self, last: &Entry, is_online: bool, sources: &Sources) {
        let client_id = last.client_id();
        let member = sources.roster.get(client_id);
        let tags = tags::names(&last.tags, client_id, &sources.roster);
        if member.is_none() && tags.is_empty() {
            return;
        }
        let missed = sources.missing.of(client_id);
        let missed = missed.iter().map(|(_, what)| *what);
        let standing = Standing::of(member.as_ref(), is_online, true, missed, sources.host.now_ms());
        if member.is_some() {
            self.all.add(standing);
        }
        self.count(tags.iter().map(|tag| &**tag), standing);
    }

    fn count<'a>(&mut self, tags: impl Iterator<Item = &'a str>, standing: Standing) {
        for tag in tags {
            if let Some(count) = self.groups.get_mut(tag) {
                count.add(standing);
            } else if self.groups.len() < GROUPS {
                self.groups.entry(tag.into()).or_default().add(standing);
            }
        }
    }
}

/// See the [module](self).
pub(super) struct Groups {
    topics: Arc<Topics>,
    sources: Sources,
    table: Mutex<Table>,
}

#[derive(Default)]
struct Table {
    /// Of all groups; `None`: nobody has counted.
    counted: Option<BTreeMap<Box<str>, Told>>,
    counting: Option<Counting>,
}

/// A group's count.
#[derive(Clone, Copy)]
struct Told {
    count: Count,
    /// The event after which it was no longer what it had been.
    number: u64,
}

impl Groups {
    pub(super) fn new(topics: Arc<Topics>, sources: Sources) -> Self {
        Self { topics, sources, table: Mutex::default() }
    }

    /// What may have changed counts, as it is.
    fn seen(&self) -> [u64; 3] {
        [self.sources.history.last_number(), self.sources.roster.version(), self.sources.missing.version()]
    }

    /// Counts some more of the first count there is; true: it is there. Not more than one counts at a time: who comes while another
    /// does waits for a piece, and has it counted.
    fn is_counted(&self, table: &mut Table) -> bool {
        if table.counted.is_some() {
            return true;
        }
        let mut counting = table.counting.take().unwrap_or_default();
        if counting.go_on(&self.sources, &by_table) {
            table.counting = Some(counting);
            return false;
        }
        let number = self.sources.history.last_number();
        table.counted = Some(counting.groups.into_iter().map(|(tag, count)| (tag, Told { count, number })).collect());
        true
    }

    /// For ever: tells what has changed.
    pub(super) async fn run(self: Arc<Self>, actor: Actor) {
        let host = Arc::clone(actor.host());
        let (mut seen, mut counted_at, mut pause_ms) = ([0; 3], 0, SECOND_MS);
        loop {
            host.sleep_until(host.clock_ms() + pause_ms).await;
            pause_ms = SECOND_MS;
            if !host.is_sys_named_by(COUNTS) {
                *self.table.lock() = Table::default();
                continue;
            }
            let (sees, now) = (self.seen(), host.clock_ms());
            if sees == seen && now < counted_at + IDLE_MS && self.table.lock().counted.is_some() {
                continue;
            }
            let began = host.instant();
            let mut counting = Counting::default();
            while counting.go_on(&self.sources, &by_table) {
                pause().await;
            }
            let took = host.instant().saturating_duration_since(began).as_millis() as u64;
            (seen, counted_at, pause_ms) = (sees, now, SECOND_MS.max(took * 9));
            let changed = self.take(counting.groups);
            for piece in changed.chunks(PIECE) {
                actor.act(|moment| {
                    for (tag, told) in piece {
                        let Ok(topic) = self.topics.of_group(tag, COUNTS) else { continue };
                        moment.publish_state(&topic, told.number, &mut || shown(tag, told, topic.clone()));
                    }
                });
                pause().await;
            }
        }
    }

    /// These are the counts from now on; returns those that are others than before. Whose last client has gone counts none.
    fn take(&self, groups: BTreeMap<Box<str>, Count>) -> Vec<(Box<str>, Told)> {
        let number = self.sources.history.last_number();
        let mut table = self.table.lock();
        let before = table.counted.take().unwrap_or_default();
        let told = |(tag, count): (Box<str>, Count)| {
            let same = before.get(&tag).filter(|told| told.count == count);
            (tag, same.copied().unwrap_or(Told { count, number }))
        };
        let counted: BTreeMap<_, _> = groups.into_iter().map(told).collect();
        let mut changed = Vec::new();
        for (tag, told) in &counted {
            if before.get(tag).is_none_or(|before| before.count != told.count) {
                changed.push((tag.clone(), *told));
            }
        }
        let gone = before.into_keys().filter(|tag| !counted.contains_key(tag));
        changed.extend(gone.map(|tag| (tag, Told { count: Count::default(), number })));
        table.counted = Some(counted);
        changed
    }
}

impl States for Groups {
    fn is_about(&self, filter: &Filter) -> bool {
        self.topics.is_about_groups(filter, COUNTS)
    }

    fn find(&self, filter: &Filter, walk: &mut Walk, found: &mut Vec<Box<str>>) -> bool {
        let mut table = self.table.lock();
        if !self.is_counted(&mut table) {
            return true;
        }
        if walk.at == 0 {
            walk.until = self.sources.history.last_number();
        }
        let (mut looked_at, counted) = (0, table.counted.iter().flatten());
        for (tag, told) in counted.skip(walk.at as usize).take(NAMES) {
            looked_at += 1;
            let matches = || self.topics.of_group(tag, COUNTS).is_ok_and(|topic| filter.matches(&topic));
            if told.number > walk.since && matches() {
                found.push(tag.clone());
            }
        }
        walk.at += looked_at;
        looked_at == NAMES as u64
    }

    fn state(&self, name: &str) -> Option<Message> {
        let told = *self.table.lock().counted.as_ref()?.get(name)?;
        let topic = self.topics.of_group(name, COUNTS).ok()?;
        Some(shown(name, &told, topic))
    }

    fn done(&self, walk: &Walk) -> Option<Message> {
        done(&self.topics, walk)
    }
}

#[derive(Serialize)]
struct Shown<'a> {
    v: u8,
    tag: &'a str,
    #[serde(flatten)]
    count: Count,
    event: u64,
}

fn shown(tag: &str, told: &Told, topic: Topic) -> Message {
    message(topic, &Shown { v: 1, tag, count: told.count, event: told.number })
}

#[cfg(test)]
mod tests;
