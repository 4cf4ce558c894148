//! What is wanted of modules, kept by the broker's store.

use std::collections::HashMap;
use std::io;
use std::sync::Arc;

use mqtt_broker::ModuleRecords;
use mqtt_modules::{MemoryStates, States};
use parking_lot::Mutex;
use serde::{Deserialize, Serialize};
use serde_json::Value;

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
    records: ModuleRecords,
    states: Mutex<HashMap<String, ModuleState>>,
}

pub(crate) fn open(records: ModuleRecords) -> Arc<dyn States> {
    if !records.are_lasting() {
        return Arc::new(MemoryStates::default());
    }
    let mut states = HashMap::new();
    for (name, state) in records.found() {
        match serde_json::from_slice::<ModuleState>(state) {
            Ok(state) => drop(states.insert(name.clone(), state)),
            Err(error) => tracing::error!(module = name, %error, "its stored state can't be read; its default holds"),
        }
    }
    Arc::new(StoredStates { records, states: Mutex::new(states) })
}

impl StoredStates {
    fn change(&self, name: &str, change: impl FnOnce(&mut ModuleState)) -> io::Result<()> {
        let mut states = self.states.lock();
        let mut state = states.get(name).cloned().unwrap_or_default();
        change(&mut state);
        let record = serde_json::to_vec(&state)?;
        self.records.keep(name, &record)?;
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
