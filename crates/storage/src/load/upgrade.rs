//! Stores of earlier schemas.

use super::each;
use crate::record::{self, SessionRecord};
use crate::stage::SCHEMA_KEY;
use crate::{Batch, Store, StoreError, Table};

/// Sessions did not say when they began: that is taken to be the last fact of coming or going. All or nothing is written.
pub(super) fn from_1(store: &dyn Store) -> Result<(), StoreError> {
    let mut batch = Batch::default();
    each(store, Table::Sessions, |number, value| {
        // `created_at` is the last field, and a number below 128 is one byte.
        let with_zero = [value, &[0]].concat();
        let mut session: SessionRecord<'_> = record::read(&with_zero)?;
        session.created_at = session.last_fact_ms;
        batch.put_with(Table::Sessions, number, |out| record::write(&session, out));
        Ok(())
    })?;
    batch.put(Table::Meta, SCHEMA_KEY, &2_u32.to_le_bytes());
    store.write(&batch)
}
