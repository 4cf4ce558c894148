//! Opens the store, keeps it alive, and tells when it fails.

use std::collections::{BTreeMap, HashMap};
use std::io;
use std::sync::Arc;
use std::time::Instant;

use mqtt_config::Config;
use mqtt_modules::{MemoryStates, States};
use mqtt_storage::{Disk, Durability, Journal, Loaded, Store, StoreError};
use parking_lot::Mutex;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use tokio::runtime::{Handle, RuntimeFlavor};
use tokio::time::{MissedTickBehavior, interval};

use crate::broker::Broker;
use crate::clock::ALIVE_EVERY;
use crate::durable::Durable;
use crate::recovery::Past;

/// EMQ X's `name` of the alarm.
const ALARM: &str = "store_failing";

/// The broker, with its store if it is to have one, and what is in that.
pub(crate) fn open(config: Config) -> Result<(Arc<Broker>, Loaded, Past), StoreError> {
    let Some(folder) = config.data_dir.clone() else {
        let loaded = Loaded::default();
        let past = Past::default();
        return Ok((Arc::new(Broker::new(config, None, &past, Settings::default())), loaded, past));
    };
    let started = Instant::now();
    let durability = match config.storage.durability {
        mqtt_config::Durability::Process => Durability::Process,
        mqtt_config::Durability::Power => Durability::Power,
    };
    let store: Arc<dyn Store> = Arc::new(Disk::open(&folder, durability)?);
    let mut loaded = Loaded::read(&*store)?;
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
    let durable = Durable::new(journal, durability == Durability::Power && has_others);
    let settings = Settings::new(std::mem::take(&mut loaded.settings));
    let past = Past::of(&loaded)?;
    let broker = Arc::new(Broker::new(config, Some(durable), &past, settings));
    broker.store_epoch()?;
    Ok((broker, loaded, past))
}

/// The broker ends: what has not been written by now is.
pub(crate) fn finish(broker: &Broker) {
    if let Err(error) = broker.store_now(|_| {}) {
        tracing::error!(%error, "the last changes could not be stored");
    }
    // A socket that has not sent CONNECT keeps the broker; the folder is free all the same.
    if let Some(durable) = &broker.durable {
        durable.journal.store().close();
    }
}

/// Tells the store that the broker lives, and finds out whether the store does.
pub(crate) async fn keep_alive(broker: Arc<Broker>) {
    let Some(durable) = &broker.durable else { return };
    let mut every = interval(ALIVE_EVERY);
    every.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut is_failing = false;
    loop {
        every.tick().await;
        let store = || broker.store_now(|stage| stage.alive(broker.clock.alive()));
        let written = if durable.is_slow { tokio::task::block_in_place(store) } else { store() };
        match written {
            Err(error) if !is_failing => {
                let message = "the store can't be written to: QoS 1 and 2 messages are refused";
                broker.activate_alarm(ALARM, message, json!({ "why": error.to_string() }));
                is_failing = true;
            }
            Ok(()) if is_failing => {
                broker.deactivate_alarm(ALARM);
                is_failing = false;
            }
            _ => {}
        }
    }
}

/// Small records of other parts than modules.
#[derive(Debug, Default)]
pub(crate) struct Settings(Mutex<BTreeMap<String, Vec<u8>>>);

impl Settings {
    pub(crate) fn new(stored: BTreeMap<String, Vec<u8>>) -> Self {
        Self(Mutex::new(stored))
    }

    pub(crate) fn get(&self, name: &str) -> Option<Vec<u8>> {
        self.0.lock().get(name).cloned()
    }

    /// It is in the store when this returns, if there is one.
    pub(crate) fn keep(&self, broker: &Broker, name: &str, record: &[u8]) -> io::Result<()> {
        let mut kept = self.0.lock();
        broker.store_now(|stage| stage.setting(name, record)).map_err(io::Error::other)?;
        kept.insert(name.to_owned(), record.to_vec());
        Ok(())
    }
}

/// What is stored of a module.
#[derive(Clone, Default, Serialize, Deserialize)]
struct ModuleState {
    wanted: Option<bool>,
    /// If they were changed while the broker ran.
    settings: Option<Value>,
    #[serde(default)]
    added: Option<bool>,
}

/// Keeps what is wanted of modules in the store.
struct StoredStates {
    broker: Arc<Broker>,
    states: Mutex<HashMap<String, ModuleState>>,
}

pub(crate) fn module_states(broker: &Arc<Broker>, stored: &BTreeMap<String, Vec<u8>>) -> Arc<dyn States> {
    if broker.durable.is_none() {
        return Arc::new(MemoryStates::default());
    }
    let mut states = HashMap::new();
    for (name, state) in stored {
        match serde_json::from_slice::<ModuleState>(state) {
            Ok(state) => drop(states.insert(name.clone(), state)),
            Err(error) => tracing::error!(module = name, %error, "its stored state can't be read; its default holds"),
        }
    }
    Arc::new(StoredStates { broker: Arc::clone(broker), states: Mutex::new(states) })
}

impl StoredStates {
    fn change(&self, name: &str, change: impl FnOnce(&mut ModuleState)) -> io::Result<()> {
        let mut states = self.states.lock();
        let mut state = states.get(name).cloned().unwrap_or_default();
        change(&mut state);
        let record = serde_json::to_vec(&state)?;
        self.broker.store_now(|stage| stage.module(name, &record)).map_err(io::Error::other)?;
        states.insert(name.to_owned(), state);
        Ok(())
    }
}

impl States for StoredStates {
    fn wanted(&self, name: &str) -> Option<bool> {
        self.states.lock().get(name)?.wanted
    }

    fn keep(&self, name: &str, on: bool) -> io::Result<()> {
        self.change(name, |state| state.wanted = Some(on))
    }

    fn settings(&self, name: &str) -> Option<Value> {
        self.states.lock().get(name)?.settings.clone()
    }

    fn keep_settings(&self, name: &str, settings: &Value) -> io::Result<()> {
        self.change(name, |state| state.settings = Some(settings.clone()))
    }

    fn added(&self, name: &str) -> Option<bool> {
        self.states.lock().get(name)?.added
    }

    fn keep_added(&self, name: &str, added: bool) -> io::Result<()> {
        self.change(name, |state| {
            state.added = Some(added);
            if !added {
                (state.wanted, state.settings) = (Some(false), None);
            }
        })
    }
}
