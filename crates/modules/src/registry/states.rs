//! What is kept of modules: whether they are wanted, and their settings.

use std::collections::HashMap;
use std::io;

use parking_lot::Mutex;
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

/// Keeps them in memory only.
#[derive(Debug, Default)]
pub struct MemoryStates {
    wanted: Mutex<HashMap<String, bool>>,
    settings: Mutex<HashMap<String, Value>>,
    added: Mutex<HashMap<String, bool>>,
}

impl States for MemoryStates {
    fn wanted(&self, name: &str) -> Option<bool> {
        self.wanted.lock().get(name).copied()
    }

    fn keep(&self, name: &str, on: bool) -> io::Result<()> {
        self.wanted.lock().insert(name.to_owned(), on);
        Ok(())
    }

    fn settings(&self, name: &str) -> Option<Value> {
        self.settings.lock().get(name).cloned()
    }

    fn keep_settings(&self, name: &str, settings: &Value) -> io::Result<()> {
        self.settings.lock().insert(name.to_owned(), settings.clone());
        Ok(())
    }

    fn added(&self, name: &str) -> Option<bool> {
        self.added.lock().get(name).copied()
    }

    fn keep_added(&self, name: &str, added: bool) -> io::Result<()> {
        self.added.lock().insert(name.to_owned(), added);
        if !added {
            self.wanted.lock().insert(name.to_owned(), false);
            self.settings.lock().remove(name);
        }
        Ok(())
    }
}
