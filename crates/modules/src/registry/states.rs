//! What is kept of modules: whether they are wanted, and their settings.

use std::collections::{BTreeMap, HashMap};
use std::io;

use parking_lot::Mutex;
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// Where the wanted state and the settings of modules are kept.
///
/// What keeps something returns once it is kept. It may block for as long as a disk does: changes are rare.
pub trait States: Send + Sync + 'static {
    /// `None`: never told.
    fn wanted(&self, name: &str) -> Option<bool>;

    /// Keeps whether a module is wanted.
    fn keep(&self, name: &str, on: bool) -> io::Result<()>;

    /// `None`: never changed, so what is configured holds.
    fn settings(&self, name: &str) -> Option<Value>;

    /// Keeps settings that are from now on to be used instead of the configured ones.
    fn keep_settings(&self, name: &str, settings: &Value) -> io::Result<()>;

    /// Whether an operator has a module among those to be seen; `None`: never told.
    fn added(&self, name: &str) -> Option<bool>;

    /// Keeps whether a module is added. One that is not is not wanted either, and its settings are forgotten.
    fn keep_added(&self, name: &str, added: bool) -> io::Result<()>;
}

/// Has them in memory, and what changes is first written where it is told to; by default that is nowhere.
#[derive(Default)]
pub struct MemoryStates {
    states: Mutex<HashMap<String, ModuleState>>,
    write: Option<Box<Write>>,
}

/// Writes the record of a module of this name instead of the one before.
pub type Write = dyn Fn(&str, &[u8]) -> io::Result<()> + Send + Sync;

/// What is written of a module.
#[derive(Clone, Default, Serialize, Deserialize)]
struct ModuleState {
    wanted: Option<bool>,
    /// If they were changed while the broker ran.
    settings: Option<Value>,
    #[serde(default)]
    added: Option<bool>,
}

impl MemoryStates {
    /// Begins with the records that earlier processes have written.
    pub fn written(found: &BTreeMap<String, Vec<u8>>, write: Box<Write>) -> Self {
        let mut states = HashMap::new();
        for (name, state) in found {
            match serde_json::from_slice::<ModuleState>(state) {
                Ok(state) => drop(states.insert(name.clone(), state)),
                Err(error) => {
                    tracing::error!(module = name, %error, "its stored state can't be read; its default holds")
                }
            }
        }
        Self { states: Mutex::new(states), write: Some(write) }
    }

    fn change(&self, name: &str, change: impl FnOnce(&mut ModuleState)) -> io::Result<()> {
        let mut states = self.states.lock();
        let mut state = states.get(name).cloned().unwrap_or_default();
        change(&mut state);
        if let Some(write) = &self.write {
            write(name, &serde_json::to_vec(&state)?)?;
        }
        states.insert(name.to_owned(), state);
        Ok(())
    }
}

impl States for MemoryStates {
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

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use serde_json::json;

    use super::*;

    #[test]
    fn what_is_written_is_what_the_next_process_finds() {
        let records = Arc::new(Mutex::new(BTreeMap::from([("broken".to_owned(), b"{".to_vec())])));
        let next = || {
            let (found, written) = (records.lock().clone(), Arc::clone(&records));
            let write = move |name: &str, record: &[u8]| {
                written.lock().insert(name.to_owned(), record.to_vec());
                Ok(())
            };
            MemoryStates::written(&found, Box::new(write))
        };
        let states = next();
        states.keep("a", true).unwrap();
        states.keep_settings("a", &json!({"x": 1})).unwrap();
        states.keep_added("b", true).unwrap();
        let states = next();
        assert_eq!(
            (states.wanted("a"), states.settings("a"), states.added("a")),
            (Some(true), Some(json!({"x": 1})), None)
        );
        assert_eq!((states.wanted("b"), states.added("b")), (None, Some(true)));
        assert_eq!(states.wanted("broken"), None);
        states.keep_added("a", false).unwrap();
        let states = next();
        assert_eq!((states.wanted("a"), states.settings("a"), states.added("a")), (Some(false), None, Some(false)));
    }

    #[test]
    fn what_cannot_be_written_has_not_changed() {
        let write = |_: &str, _: &[u8]| Err(io::ErrorKind::StorageFull.into());
        let states = MemoryStates::written(&BTreeMap::new(), Box::new(write));
        states.keep("a", true).unwrap_err();
        assert_eq!(states.wanted("a"), None);
    }
}
