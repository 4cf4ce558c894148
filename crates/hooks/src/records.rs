//! What a module keeps beyond the process.

use std::io;
use std::sync::Arc;

use crate::{Host, Moment};

/// Where a broker has the records of one module. Only this crate makes one, so no module gets at another's.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RecordTable(Arc<str>);

impl RecordTable {
    pub(crate) fn new(name: &str) -> Self {
        Self(name.into())
    }

    /// Its name, which no other has: the module's, or one that begins with it.
    pub fn name(&self) -> &str {
        &self.0
    }
}

/// A module's records: its own, and no other's. Each has a key; they are there after a restart, and after a `kill -9` if
/// they were stored, which they are with what the [`Moment`] is about.
#[derive(Clone)]
pub struct Records {
    table: RecordTable,
    host: Arc<dyn Host>,
}

impl Records {
    /// Those of a module; for who runs modules. A module has them from [`Ctx::records`](crate::Ctx::records).
    pub fn new(module: &str, host: Arc<dyn Host>) -> Self {
        Self { table: RecordTable::new(module), host }
    }

    /// Those of a module's timers.
    pub(crate) fn of_timers(module: &str, host: Arc<dyn Host>) -> Self {
        Self { table: RecordTable::new(&format!("{module}.timers")), host }
    }

    /// Records that stand apart from these, with keys of their own. `name` is one that nothing else of the module has; `timers` is
    /// taken.
    #[must_use]
    pub fn part(&self, name: &str) -> Self {
        Self { table: RecordTable::new(&format!("{}.{name}", self.table.0)), host: Arc::clone(&self.host) }
    }

    /// Keeps a record, instead of what has this key. A key has some 60,000 bytes at the most.
    pub fn keep(&self, moment: &mut dyn Moment, key: &[u8], record: &[u8]) {
        moment.keep(&self.table, key, record);
    }

    /// The record with this key is not needed any more.
    pub fn forget(&self, moment: &mut dyn Moment, key: &[u8]) {
        moment.forget(&self.table, key);
    }

    /// Shows `visit` each record with its key, in order of keys.
    pub fn each(&self, visit: &mut dyn FnMut(&[u8], &[u8])) -> io::Result<()> {
        self.host.records(&self.table, visit)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::Recorder;

    #[test]
    fn records_are_a_module_s_own() {
        let host = Recorder::new();
        let (one, other) = (Records::new("one", host.clone()), Records::new("other", host.clone()));
        one.keep(&mut host.moment(), b"k", b"1");
        other.keep(&mut host.moment(), b"k", b"2");
        other.keep(&mut host.moment(), b"k", b"3");
        one.forget(&mut host.moment(), b"k");
        let mut seen = Vec::new();
        for records in [one, other] {
            records.each(&mut |key, record| seen.push((key.to_vec(), record.to_vec()))).unwrap();
        }
        assert_eq!(seen, [(b"k".to_vec(), b"3".to_vec())]);
    }

    #[test]
    fn parts_have_keys_of_their_own() {
        let host = Recorder::new();
        let all = Records::new("one", host.clone());
        let part = all.part("more");
        part.keep(&mut host.moment(), b"k", b"1");
        all.keep(&mut host.moment(), b"k", b"2");
        all.forget(&mut host.moment(), b"k");
        let mut seen = Vec::new();
        part.each(&mut |key, record| seen.push((key.to_vec(), record.to_vec()))).unwrap();
        all.each(&mut |key, _| panic!("{key:?}")).unwrap();
        assert_eq!(seen, [(b"k".to_vec(), b"1".to_vec())]);
    }
}
