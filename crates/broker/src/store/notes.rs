//! Small records of other parts than modules.

use std::collections::BTreeMap;
use std::io;

use parking_lot::Mutex;

/// Small records of other parts than modules, by name.
#[derive(Debug, Default)]
pub(crate) struct Notes(Mutex<BTreeMap<String, Vec<u8>>>);

impl Notes {
    pub(crate) const fn new(stored: BTreeMap<String, Vec<u8>>) -> Self {
        Self(Mutex::new(stored))
    }

    pub(super) fn get(&self, name: &str) -> Option<Vec<u8>> {
        self.0.lock().get(name).cloned()
    }

    /// Once `store` has stored it. One at a time: what is in the store last is what is here.
    pub(super) fn keep(&self, name: &str, record: &[u8], store: impl FnOnce() -> io::Result<()>) -> io::Result<()> {
        let mut kept = self.0.lock();
        store()?;
        kept.insert(name.to_owned(), record.to_vec());
        Ok(())
    }
}
