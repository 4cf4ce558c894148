//! Small records of other parts than modules.

use std::collections::BTreeMap;
use std::io;

use parking_lot::Mutex;

use crate::store::durable::Durable;

/// Small records of other parts than modules, by name.
#[derive(Debug, Default)]
pub(crate) struct Settings(Mutex<BTreeMap<String, Vec<u8>>>);

impl Settings {
    pub(crate) const fn new(stored: BTreeMap<String, Vec<u8>>) -> Self {
        Self(Mutex::new(stored))
    }

    pub(crate) fn get(&self, name: &str) -> Option<Vec<u8>> {
        self.0.lock().get(name).cloned()
    }

    /// It is in the store when this returns, if there is one.
    pub(crate) fn keep(&self, durable: &Durable, name: &str, record: &[u8]) -> io::Result<()> {
        let mut kept = self.0.lock();
        durable.store_now(|stage| stage.setting(name, record)).map_err(io::Error::other)?;
        kept.insert(name.to_owned(), record.to_vec());
        Ok(())
    }
}
