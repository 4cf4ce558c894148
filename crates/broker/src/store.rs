//! Opens the store, keeps it alive, and tells when it fails.

use std::sync::Arc;
use std::time::Instant;

use mqtt_storage::{Disk, Durability, Journal, Loaded, Stage, Store, StoreError, hand_over_events};
use serde_json::json;
use tokio::runtime::{Handle, RuntimeFlavor};
use tokio::time::{MissedTickBehavior, interval};

use crate::broker::Broker;
use crate::config::{self, Config};
use crate::store::durable::Durable;
use crate::store::notes::Notes;
use crate::store::past::Past;
use crate::time::clock::ALIVE_EVERY;
use crate::watch::sys;

pub(crate) mod durable;
pub(crate) mod notes;
pub(crate) mod online;
pub(crate) mod past;
pub(crate) mod records;
pub(crate) mod recovery;
pub(crate) mod serials;

/// EMQ X's `name` of the alarm.
const ALARM: &str = "store_failing";

/// The broker, with its store if it is to have one, and what is in that.
pub(crate) fn open(config: Config) -> Result<(Arc<Broker>, Loaded, Past), StoreError> {
    let Some(config::Store { folder, durability, events_for }) = config.store.clone() else {
        let loaded = Loaded::default();
        let past = Past::default();
        return Ok((Arc::new(Broker::new(config, Durable::none(), &past)), loaded, past));
    };
    let started = Instant::now();
    let store: Arc<dyn Store> = Arc::new(Disk::open(&folder, durability)?);
    let mut loaded = Loaded::read(&*store)?;
    if let Some(module) = events_for {
        hand_over_events(&*store, module)?;
    }
    tracing::info!(
        folder = %folder.display(),
        milliseconds = started.elapsed().as_millis() as u64,
        sessions = loaded.sessions.len(),
        messages = loaded.sessions.iter().map(|session| session.kept.deliveries.len()).sum::<usize>(),
        retained = loaded.retained.len(),
        fallen = loaded.online.len(),
        "store opened",
    );
    let journal = Journal::new(store, loaded.last_message);
    // Only where there are other threads that can take over what else waits for this one.
    let has_others = Handle::try_current().is_ok_and(|runtime| runtime.runtime_flavor() == RuntimeFlavor::MultiThread);
    let notes = Notes::new(std::mem::take(&mut loaded.notes));
    let past = Past::of(&loaded);
    let durable = Durable::new(Some(journal), durability == Durability::Power && has_others, &past, notes);
    durable.store_epoch()?;
    let broker = Arc::new(Broker::new(config, durable, &past));
    Ok((broker, loaded, past))
}

/// The broker ends: what has not been written by now is.
pub(crate) fn finish(durable: &Durable) {
    if let Err(error) = durable.store_now(|_| {}) {
        tracing::error!(%error, "the last changes could not be stored");
    }
    // A socket that has not sent CONNECT keeps the broker; the folder is free all the same.
    if let Some(journal) = durable.journal() {
        journal.store().close();
    }
}

/// Tells the store that the broker lives, and finds out whether the store does.
pub(crate) async fn keep_alive(broker: Arc<Broker>) {
    if !broker.durable.is_there() {
        return;
    }
    let mut every = interval(ALIVE_EVERY);
    every.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut is_failing = false;
    let mut panics = 0;
    loop {
        every.tick().await;
        let seen = broker.durable.journal().map_or(0, |journal| journal.store().panics());
        (std::mem::replace(&mut panics, seen)..seen).for_each(|_| broker.watched.faults.note("compaction"));
        let alive = broker.clock.alive();
        // What is staged while the store fails waits in memory, however long that takes.
        let stage_alive = |stage: &mut Stage<'_>| {
            if !is_failing {
                stage.alive(alive)
            }
        };
        match broker.durable.store_now(stage_alive) {
            Err(error) if !is_failing => {
                let message = "the store can't be written to: QoS 1 and 2 messages are refused";
                let notice = broker.watched.alarms.activate(ALARM, message, json!({ "why": error.to_string() }));
                sys::tell_alarms(&broker, notice);
                is_failing = true;
            }
            Ok(()) if is_failing => {
                sys::tell_alarms(&broker, broker.watched.alarms.deactivate(ALARM));
                is_failing = false;
            }
            _ => {}
        }
    }
}
