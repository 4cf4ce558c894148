//! A connection as the store keeps it.

use mqtt_codec::Will;
use mqtt_hooks::{ConnectionInfo, RecordError};
use mqtt_storage::{OnlineRecord, StoreError, WillRecord};

/// As the store keeps it.
pub(crate) fn online_record<'a>(
    info: &'a ConnectionInfo,
    seq: u64,
    session: u64,
    will: Option<&Will>,
) -> OnlineRecord<'a> {
    OnlineRecord {
        session: (session > 0).then_some(session),
        info: info.to_record().into(),
        seq,
        will: will.map(|will| WillRecord::new(will, None)),
    }
}

/// A connection that was open when an earlier process ended.
pub(crate) struct Online {
    pub(crate) info: ConnectionInfo,
    /// Of the fact that it came.
    pub(crate) seq: u64,
    /// The number of its session, if that is stored.
    pub(crate) session: Option<u64>,
    pub(crate) will: Option<Will>,
}

impl Online {
    pub(crate) fn read(record: &OnlineRecord<'_>) -> Result<Self, StoreError> {
        let corrupt = |error: RecordError| StoreError::Corrupt { table: "online", why: error.to_string() };
        Ok(Self {
            info: ConnectionInfo::from_record(&record.info).map_err(corrupt)?,
            seq: record.seq,
            session: record.session,
            will: record.will.as_ref().map(WillRecord::will).transpose()?,
        })
    }
}
