//! Who is missed, as it was told: over restarts, and while presence is stopped.

use std::collections::{BTreeMap, HashMap};
use std::io;
use std::ops::Bound;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};

use mqtt_hooks::{Alarm, Moment, Records};
use parking_lot::Mutex;

/// Clients that the alarm names.
const NAMED: usize = 3;

/// A rule and a client; in order of these.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(in crate::presence) struct Key {
    pub(in crate::presence) name: Arc<str>,
    pub(in crate::presence) client_id: Arc<str>,
}

/// How a client is missed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::presence) enum What {
    /// It is away.
    Absent,
    /// It is connected and says nothing.
    Silent,
}

/// A client that is missed, as it was told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::presence) struct Missed {
    pub(in crate::presence) what: What,
    /// Milliseconds, by the rule.
    pub(in crate::presence) after: u64,
    /// Milliseconds since the Unix epoch.
    pub(in crate::presence) since: u64,
    /// Milliseconds since the Unix epoch.
    pub(in crate::presence) told_at: u64,
}

/// All who are missed.
#[derive(Debug, Default)]
pub(in crate::presence) struct Missing {
    told: Mutex<Told>,
    /// The alarm says something else.
    has_changed: AtomicBool,
    /// Grows with each change.
    version: AtomicU64,
}

#[derive(Debug, Default)]
struct Told {
    missed: BTreeMap<Key, Missed>,
    /// The rules by which each client is missed.
    clients: HashMap<Arc<str>, Vec<Arc<str>>>,
    silent: u64,
    is_restored: bool,
}

impl Key {
    pub(in crate::presence) fn new(name: &Arc<str>, client_id: &Arc<str>) -> Self {
        Self { name: Arc::clone(name), client_id: Arc::clone(client_id) }
    }

    /// No name has a `/` in it.
    fn record(&self) -> Vec<u8> {
        [self.name.as_bytes(), b"/", self.client_id.as_bytes()].concat()
    }

    /// As [`Self::text`] has it.
    pub(in crate::presence) fn read(text: &str) -> Option<Self> {
        let (name, client_id) = text.split_once('/')?;
        Some(Self { name: name.into(), client_id: client_id.into() })
    }

    pub(in crate::presence) fn text(&self) -> String {
        format!("{}/{}", self.name, self.client_id)
    }
}

impl What {
    pub(in crate::presence) const ALL: [Self; 2] = [Self::Absent, Self::Silent];
    pub(in crate::presence) const NAMES: &'static [&'static str] = &["absent", "silent"];

    pub(in crate::presence) const fn name(self) -> &'static str {
        match self {
            Self::Absent => "absent",
            Self::Silent => "silent",
        }
    }

    pub(in crate::presence) fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|what| what.name() == name)
    }
}

impl Missed {
    fn to_record(self) -> Vec<u8> {
        let what = u64::from(self.what == What::Silent);
        [what, self.after, self.since, self.told_at].map(u64::to_be_bytes).concat()
    }

    fn from_record(record: &[u8]) -> Option<Self> {
        let (words, rest) = record.as_chunks::<8>();
        let [what, after, since, told_at] = words.try_into().ok().filter(|_| rest.is_empty())?;
        let what = match u64::from_be_bytes(what) {
            0 => What::Absent,
            1 => What::Silent,
            _ => return None,
        };
        let [after, since, told_at] = [after, since, told_at].map(u64::from_be_bytes);
        Some(Self { what, after, since, told_at })
    }
}

impl Told {
    fn insert(&mut self, key: Key, missed: Missed) {
        self.remove(&key);
        self.silent += u64::from(missed.what == What::Silent);
        self.clients.entry(Arc::clone(&key.client_id)).or_default().push(Arc::clone(&key.name));
        self.missed.insert(key, missed);
    }

    fn remove(&mut self, key: &Key) -> Option<Missed> {
        let missed = self.missed.remove(key)?;
        self.silent -= u64::from(missed.what == What::Silent);
        if let Some(names) = self.clients.get_mut(&key.client_id) {
            names.retain(|name| *name != key.name);
            if names.is_empty() {
                self.clients.remove(&key.client_id);
            }
        }
        Some(missed)
    }
}

impl Missing {
    /// What an earlier process has told, unless that is known.
    pub(super) fn restore(&self, records: &Records) -> io::Result<()> {
        let mut told = self.told.lock();
        if told.is_restored {
            return Ok(());
        }
        let mut wrong = 0;
        records.each(&mut |key, record| {
            let key = std::str::from_utf8(key).ok().and_then(Key::read);
            match (key, Missed::from_record(record)) {
                (Some(key), Some(missed)) => told.insert(key, missed),
                _ => wrong += 1,
            }
        })?;
        if wrong > 0 {
            tracing::warn!(records = wrong, "clients that were told absent can't be read, and may be told again");
        }
        told.is_restored = true;
        self.note_change();
        Ok(())
    }

    /// Those of other rules are missed no more.
    pub(super) fn keep_only(&self, records: &Records, moment: &mut dyn Moment, is_kept: &dyn Fn(&Key) -> bool) {
        let mut told = self.told.lock();
        let gone: Vec<_> = told.missed.keys().filter(|key| !is_kept(key)).cloned().collect();
        // The alarm is another start's.
        self.note_change();
        for key in gone {
            told.remove(&key);
            records.forget(moment, &key.record());
        }
    }

    pub(super) fn get(&self, key: &Key) -> Option<Missed> {
        self.told.lock().missed.get(key).copied()
    }

    /// In place of how it was missed before.
    pub(super) fn insert(&self, key: &Key, missed: Missed, records: &Records, moment: &mut dyn Moment) {
        records.keep(moment, &key.record(), &missed.to_record());
        self.told.lock().insert(key.clone(), missed);
        self.note_change();
    }

    pub(super) fn remove(&self, key: &Key, records: &Records, moment: &mut dyn Moment) -> Option<Missed> {
        let missed = self.told.lock().remove(key)?;
        records.forget(moment, &key.record());
        self.note_change();
        Some(missed)
    }

    /// By which rules a client is missed, and how.
    pub(in crate::presence) fn of(&self, client_id: &str) -> Vec<(Arc<str>, What)> {
        let told = self.told.lock();
        let Some((client_id, names)) = told.clients.get_key_value(client_id) else { return Vec::new() };
        let how = |name| told.missed.get(&Key::new(name, client_id)).map(|missed| (Arc::clone(name), missed.what));
        names.iter().filter_map(how).collect()
    }

    /// Another one: something has changed.
    pub(in crate::presence) fn version(&self) -> u64 {
        self.version.load(Relaxed)
    }

    fn note_change(&self) {
        self.has_changed.store(true, Relaxed);
        self.version.fetch_add(1, Relaxed);
    }

    pub(in crate::presence) fn count(&self, what: What) -> u64 {
        let told = self.told.lock();
        match what {
            What::Absent => told.missed.len() as u64 - told.silent,
            What::Silent => told.silent,
        }
    }

    /// So many at the most, in order, and whether there are more; of one rule, after one of them.
    pub(in crate::presence) fn list(
        &self,
        name: Option<&str>,
        after: Option<&Key>,
        limit: usize,
    ) -> (Vec<(Key, Missed)>, bool) {
        let told = self.told.lock();
        let first = name.map(|name| Key { name: name.into(), client_id: "".into() });
        let start = match (after, &first) {
            (Some(after), Some(first)) if after < first => Bound::Included(first),
            (Some(after), _) => Bound::Excluded(after),
            (None, Some(first)) => Bound::Included(first),
            (None, None) => Bound::Unbounded,
        };
        let mut rest = told
            .missed
            .range((start, Bound::Unbounded))
            .take_while(|(key, _)| name.is_none_or(|name| *key.name == *name));
        let some = rest.by_ref().take(limit).map(|(key, missed)| (key.clone(), *missed)).collect();
        (some, rest.next().is_some())
    }

    /// Says how many there are, and names some, if that has changed.
    pub(super) fn show(&self, alarm: &Alarm) {
        if !self.has_changed.swap(false, Relaxed) {
            return;
        }
        let (absent, silent) = (self.count(What::Absent), self.count(What::Silent));
        let (some, has_more) = self.list(None, None, NAMED);
        if some.is_empty() {
            alarm.clear();
            return;
        }
        // An id may have 65,535 bytes.
        let short = |id: &str| id.chars().take(64).collect::<String>();
        let names: Vec<_> = some
            .iter()
            .map(|(key, missed)| {
                format!("{} ({} for {}, {})", short(&key.client_id), missed.what.name(), human(missed.after), key.name)
            })
            .collect();
        let more = if has_more { ", ..." } else { "" };
        alarm.raise(format!(
            "{absent} clients are absent and {silent} silent by their rules: {}{more}",
            names.join(", ")
        ));
    }
}

fn human(ms: u64) -> String {
    mqtt_hooks::Span(std::time::Duration::from_millis(ms)).to_string()
}
