//! How often background tasks have panicked.

use std::collections::BTreeMap;

use parking_lot::Mutex;

/// How often each task has panicked.
#[derive(Debug, Default)]
pub(crate) struct Faults(Mutex<BTreeMap<&'static str, u64>>);

impl Faults {
    pub(crate) fn note(&self, task: &'static str) {
        *self.0.lock().entry(task).or_default() += 1;
    }

    pub(crate) fn all(&self) -> BTreeMap<&'static str, u64> {
        self.0.lock().clone()
    }
}
