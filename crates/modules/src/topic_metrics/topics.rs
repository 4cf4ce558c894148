//! The topics that are counted.

use std::collections::BTreeMap;
use std::io;
use std::sync::Arc;

use mqtt_codec::Topic;
use mqtt_hooks::{Actor, Records, Standby};
use parking_lot::{Mutex, RwLock};

use super::counts::{Counts, Metric};

/// As many as EMQ X has.
pub(super) const MAX_TOPICS: usize = 512;

#[derive(Default)]
pub(super) struct Topics {
    counted: RwLock<BTreeMap<Box<str>, Arc<Counts>>>,
    /// While the module runs. It is held while topics come and go, so that the hook is on if there is one.
    running: Mutex<Option<Running>>,
}

struct Running {
    actor: Actor,
    records: Records,
    hook: Standby,
}

/// Why a topic did not come or go, in EMQ X's words.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum Wrong {
    #[error("module_not_loaded")]
    Stopped,
    #[error("quota_exceeded")]
    Full,
    #[error("already_existed")]
    Known,
    #[error("topic_not_found")]
    Unknown,
}

impl Topics {
    pub(super) fn restore(&self, records: &Records) -> io::Result<()> {
        let mut counted = self.counted.write();
        records.each(&mut |key, _| {
            if let Some(topic) = std::str::from_utf8(key).ok().filter(|_| counted.len() < MAX_TOPICS) {
                counted.insert(topic.into(), Arc::default());
            }
        })
    }

    pub(super) fn begin(&self, actor: Actor, records: Records, hook: Standby) {
        let mut running = self.running.lock();
        hook.set(self.len() > 0);
        *running = Some(Running { actor, records, hook });
    }

    pub(super) fn end(&self) {
        *self.running.lock() = None;
        self.counted.write().values_mut().for_each(|counts| *counts = Arc::default());
    }

    pub(super) fn len(&self) -> usize {
        self.counted.read().len()
    }

    pub(super) fn count(&self, topic: &Topic, metrics: &[Metric]) {
        if let Some(counts) = self.counted.read().get(topic.as_str()) {
            metrics.iter().for_each(|metric| counts.add(*metric));
        }
    }

    pub(super) fn tick(&self) {
        self.counted.read().values().for_each(|counts| counts.tick());
    }

    pub(super) fn add(&self, topic: &Topic) -> Result<(), Wrong> {
        let running = self.running.lock();
        let Running { actor, records, hook } = running.as_ref().ok_or(Wrong::Stopped)?;
        {
            let mut counted = self.counted.write();
            if counted.contains_key(topic.as_str()) {
                return Err(Wrong::Known);
            }
            if counted.len() >= MAX_TOPICS {
                return Err(Wrong::Full);
            }
            counted.insert(topic.as_str().into(), Arc::default());
        }
        actor.act(|moment| records.keep(moment, topic.as_str().as_bytes(), b"1"));
        hook.set(true);
        Ok(())
    }

    pub(super) fn remove(&self, topic: &str) -> Result<(), Wrong> {
        self.take_out(|counted| counted.remove(topic).map(|_| vec![topic.into()]).ok_or(Wrong::Unknown))
    }

    pub(super) fn remove_all(&self) -> Result<(), Wrong> {
        self.take_out(|counted| Ok(std::mem::take(counted).into_keys().collect()))
    }

    fn take_out(
        &self,
        take: impl FnOnce(&mut BTreeMap<Box<str>, Arc<Counts>>) -> Result<Vec<Box<str>>, Wrong>,
    ) -> Result<(), Wrong> {
        let running = self.running.lock();
        let Running { actor, records, hook } = running.as_ref().ok_or(Wrong::Stopped)?;
        let gone = take(&mut self.counted.write())?;
        actor.act(|moment| gone.iter().for_each(|topic| records.forget(moment, topic.as_bytes())));
        hook.set(self.len() > 0);
        Ok(())
    }

    pub(super) fn get(&self, topic: &str) -> Result<Arc<Counts>, Wrong> {
        self.counted.read().get(topic).cloned().ok_or(Wrong::Unknown)
    }

    /// In order of topics.
    pub(super) fn each(&self, mut show: impl FnMut(&str, &Counts)) {
        self.counted.read().iter().for_each(|(topic, counts)| show(topic, counts));
    }
}
