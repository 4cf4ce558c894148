//! The wanted state of modules.

use std::collections::HashMap;

use parking_lot::Mutex;

/// Where the wanted state of modules is kept.
pub trait States: Send + Sync + 'static {
    /// `None`: never told.
    fn wanted(&self, name: &str) -> Option<bool>;

    /// Returns once it is kept. May block for as long as a disk does: changes are rare.
    fn keep(&self, name: &str, on: bool) -> std::io::Result<()>;
}

/// Keeps the wanted states in memory only.
#[derive(Debug, Default)]
pub struct MemoryStates {
    wanted: Mutex<HashMap<String, bool>>,
}

impl States for MemoryStates {
    fn wanted(&self, name: &str) -> Option<bool> {
        self.wanted.lock().get(name).copied()
    }

    fn keep(&self, name: &str, on: bool) -> std::io::Result<()> {
        self.wanted.lock().insert(name.to_owned(), on);
        Ok(())
    }
}
