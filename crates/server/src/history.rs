//! The history of presence in the store.

use std::borrow::Cow;
use std::net::SocketAddr;
use std::sync::{Arc, Weak};

use mqtt_hooks::{Initiator, Listener};
use mqtt_modules::presence::{End, Entry, History, Keep};
use mqtt_storage::{EndRecord, EventRecord, OnlineRecord, StoreError};

use crate::broker::Broker;
use crate::records;

/// More events than a process can tell in a millisecond: those of the next begin above the last of this one, also where
/// nothing is stored, or was not stored in time.
const NUMBERS_PER_MS: u64 = 1000;

/// An empty history, or what earlier processes have left of it.
pub(crate) fn open(broker: &Arc<Broker>) -> Result<Arc<History>, StoreError> {
    let first = broker.numbers.epoch * NUMBERS_PER_MS;
    let Some(durable) = &broker.durable else {
        return Ok(History::restored(first, Arc::new(()), Vec::new()));
    };
    let mut kept = Vec::new();
    let mut listener = Arc::new(Listener { name: "".into(), port: 0 });
    mqtt_storage::read_events(&**durable.journal.store(), |place, event| {
        kept.push((place, entry(event, &mut listener)?));
        Ok(())
    })?;
    Ok(History::restored(first, Arc::new(Stored(Arc::downgrade(broker))), kept))
}

/// Whoever looks at a history does not keep a broker that has ended, nor its folder.
struct Stored(Weak<Broker>);

impl Keep for Stored {
    fn keep(&self, place: u64, entry: &Entry) {
        if let Some(broker) = self.0.upgrade() {
            broker.stage(|stage| stage.event(place, &record(entry)));
        }
    }

    fn forget(&self, place: u64) {
        if let Some(broker) = self.0.upgrade() {
            broker.stage(|stage| stage.forget_event(place));
        }
    }
}

fn record(entry: &Entry) -> EventRecord<'_> {
    EventRecord {
        number: entry.number,
        at: entry.at,
        connection: entry.conn_id,
        end: entry.end().map(|end| EndRecord {
            reason: end.reason,
            code: end.code,
            initiator: match end.initiator {
                Initiator::Client => 0,
                Initiator::Server => 1,
                Initiator::Admin => 2,
            },
        }),
        client: OnlineRecord {
            session: None,
            client_id: Cow::Borrowed(entry.client_id()),
            username: entry.username().map(Cow::Borrowed),
            level: entry.version.level(),
            peer: SocketAddr::new(entry.ip, entry.peer_port),
            port: entry.listener.port,
            listener: Cow::Borrowed(&entry.listener.name),
            keep_alive: entry.keep_alive,
            clean_start: entry.clean_start,
            expiry_interval: entry.expiry_interval,
            connected_at: entry.connected_at,
            session_present: entry.session_present,
            epoch: entry.epoch,
            seq: entry.seq,
            will: None,
        },
    }
}

/// `listener` is that of the entry before: most share one.
fn entry(record: EventRecord<'_>, listener: &mut Arc<Listener>) -> Result<Entry, StoreError> {
    let EventRecord { number, at, connection, end, client } = record;
    let mut info = records::connection_info(connection, &client)?;
    if info.listener != *listener {
        *listener = info.listener;
    }
    info.listener = Arc::clone(listener);
    let end = end.map(|end| End {
        reason: Cow::Owned(end.reason.into_owned()),
        code: end.code,
        initiator: match end.initiator {
            0 => Initiator::Client,
            2 => Initiator::Admin,
            _ => Initiator::Server,
        },
    });
    Ok(Entry::new(number, &info, client.seq, at, end))
}

#[cfg(test)]
mod tests {
    use mqtt_codec::Version;
    use mqtt_hooks::{ConnectionInfo, Listener, Reason};

    use super::*;

    #[test]
    fn an_event_comes_back_as_it_was() {
        let client = ConnectionInfo {
            client_id: "c".into(),
            username: Some("u".into()),
            version: Version::V5,
            peer: "[2001:db8::1]:5000".parse().unwrap(),
            listener: Arc::new(Listener { name: "tcp".into(), port: 1883 }),
            keep_alive: 60,
            clean_start: false,
            expiry_interval: u32::MAX,
            connected_at: 1_625_572_213_873,
            session_present: true,
            epoch: 1_625_572_213_000,
            conn_id: 41,
        };
        let quiet = ConnectionInfo { username: None, peer: ([127, 0, 0, 1], 1).into(), ..client.clone() };
        for client in [client, quiet] {
            for reason in [None, Some(Reason::Kicked), Some(Reason::TakenOver), Some(Reason::Closed("tcp_closed"))] {
                let told = Entry::new(7, &client, 3, 1_625_572_213_999, reason.map(End::from));
                assert_eq!(entry(record(&told), &mut Arc::clone(&told.listener)).unwrap(), told);
            }
        }
    }
}
