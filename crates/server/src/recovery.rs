//! The next process after one that ended, well or not.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::{Duration, Instant};

use mqtt_codec::Will;
use mqtt_hooks::{ConnectionInfo, Fact, Reason};
use mqtt_session::{Publication, Session, Timestamp};
use mqtt_storage::{Loaded, LoadedSession, OnlineRecord, StoreError};

use crate::batch::Batch;
use crate::broker::Broker;
use crate::client::{ClientRef, Transition};
use crate::clock::wall_ms;
use crate::records;
use crate::timers::Timer;

/// Clients looked after before other tasks of the thread have their turn.
const AT_ONCE: usize = 64;

/// A client that was online when the process died.
#[derive(Debug)]
pub(crate) struct Fallen {
    info: ConnectionInfo,
    /// The last time the broker is known to have lived: milliseconds since the Unix epoch.
    at: u64,
    /// Of a connection whose session ended with it.
    will: Option<Will>,
}

impl Broker {
    /// Takes back what an earlier process has left. Returns those who were online when it died: they are to be told of
    /// as gone, when they come back or after a while.
    pub(crate) fn restore(&self, loaded: Loaded) -> Result<Vec<ClientRef>, StoreError> {
        let Loaded { sessions, mut online, retained, alive_at, .. } = loaded;
        // Whatever is known to have happened, the broker saw.
        let seen = sessions.iter().map(|session| session.record.last_fact_ms);
        let seen = seen.chain(online.values().map(|record| record.connected_at));
        let alive_at = seen.chain(alive_at).max().unwrap_or(0);
        self.restore_retained(retained);
        let connections: HashMap<u64, u64> =
            online.iter().filter_map(|(number, record)| Some((record.session?, *number))).collect();
        let mut fallen = Vec::new();
        for session in sessions {
            let connection = connections.get(&session.number).and_then(|number| online.remove_entry(number));
            let client = match connection {
                None => self.restore_session(session, None)?,
                Some((number, record)) => {
                    let client = self.restore_session(session, Some((number, &record, alive_at)))?;
                    fallen.push(client.clone());
                    client
                }
            };
            self.clients.insert(client);
        }
        for (number, record) in online {
            let client = self.restore_fallen(number, &record, alive_at)?;
            fallen.push(client.clone());
            self.clients.insert(client);
        }
        Ok(fallen)
    }

    fn restore_session(
        &self,
        loaded: LoadedSession,
        online: Option<(u64, &OnlineRecord<'_>, u64)>,
    ) -> Result<ClientRef, StoreError> {
        let LoadedSession { number, record, mut kept, mut will_due, subscriptions } = loaded;
        let mut transition = Transition {
            has_session: true,
            seq: record.seq,
            last_fact_ms: record.last_fact_ms,
            created_at: record.created_at,
            expires_at: record.expires_at.map(Timestamp).into(),
            ..Transition::default()
        };
        if let Some((connection, online, alive_at)) = online {
            kept.session_expiry = online.expiry_interval;
            kept.version = online.version()?;
            kept.will = online.will.as_ref().map(|will| will.will()).transpose()?;
            // As if the connection had ended when the broker did.
            let expiry = online.expiry_interval;
            transition.expires_at = (expiry < u32::MAX).then(|| Timestamp(alive_at).plus_seconds(expiry)).into();
            will_due = kept.will.as_ref().map(|will| Timestamp(alive_at).plus_seconds(will.delay.min(expiry)));
            transition.seq = online.seq;
            transition.last_fact_ms = online.connected_at;
            let info = records::connection_info(connection, online)?;
            transition.fallen = Some(Box::new(Fallen { info, at: alive_at, will: None }));
        }
        self.queued_expire.store(true, Relaxed);
        let mut session = Session::restore(Arc::clone(&self.session_config), kept, will_due);
        for subscription in &subscriptions {
            session.subscribe(&subscription.filter, subscription.options, subscription.id);
        }
        let client = ClientRef::new(record.client_id.as_ref().into(), session);
        client.state.lock().number = number;
        for subscription in &subscriptions {
            if self.route(&subscription.filter, &client, subscription.options, subscription.id).is_err() {
                tracing::error!(client_id = %client.id, filter = %subscription.filter, "limits.shape_levels is lower than before");
            }
        }
        if transition.fallen.is_none() {
            let next = will_due.into_iter().chain(transition.expires_at.at()).min();
            transition.timer = next.map(|at| self.timers.insert(at, Timer::Client(Arc::downgrade(&client.0))));
        }
        *client.transition.lock() = transition;
        Ok(client)
    }

    /// Of a session that ended with its connection, only that is left to tell.
    fn restore_fallen(&self, number: u64, record: &OnlineRecord<'_>, alive_at: u64) -> Result<ClientRef, StoreError> {
        let info = records::connection_info(number, record)?;
        let will = record.will.as_ref().map(|will| will.will()).transpose()?;
        let client = ClientRef::new(Arc::clone(&info.client_id), Session::new(Arc::clone(&self.session_config)));
        let fallen = Fallen { at: alive_at, info, will };
        *client.transition.lock() = Transition {
            seq: record.seq,
            last_fact_ms: record.connected_at,
            created_at: record.connected_at,
            fallen: Some(Box::new(fallen)),
            ..Transition::default()
        };
        Ok(client)
    }

    /// Tells that the client went when an earlier process died, if that is still to be told.
    pub(crate) fn tell_fallen(&self, client: &ClientRef, transition: &mut Transition, now: Timestamp) {
        let Some(fallen) = transition.fallen.take() else { return };
        let noticed = Instant::now();
        let Fallen { info, at, will } = *fallen;
        self.stage(|stage| stage.go(info.conn_id));
        let will = match will {
            Some(will) => Some(Publication::new(will.message, now)),
            None => client.state.lock().session.take_will(now, false),
        };
        // An undelayed will comes before the fact.
        if let Some(will) = will {
            self.publish_will(&will, now);
        }
        transition.seq += 1;
        transition.last_fact_ms = at.max(transition.last_fact_ms).min(wall_ms());
        let at = transition.last_fact_ms;
        self.hooks.observe(&Fact::Disconnected {
            client: &info,
            reason: Reason::NodeDown,
            reason_string: None,
            at,
            seq: transition.seq,
            flaps: transition.flaps.count(at),
            noticed,
        });
    }

    /// Tells of all who have not come back by now.
    async fn tell_all_fallen(&self, fallen: Vec<ClientRef>) {
        for clients in fallen.chunks(AT_ONCE) {
            {
                let _batch = Batch::begin(self);
                clients.iter().for_each(|client| self.give_up_fallen(client));
            }
            tokio::task::yield_now().await;
        }
    }

    fn give_up_fallen(&self, client: &ClientRef) {
        let _batch = Batch::begin(self);
        let _group = self.group();
        let mut transition = client.transition.lock();
        if transition.fallen.is_none() {
            return;
        }
        let now = self.clock.now();
        self.tell_fallen(client, &mut transition, now);
        let will_due = client.state.lock().session.will().and_then(|(_, due)| due);
        if !transition.has_session {
            transition.expires_at = now.into();
        }
        let next = will_due.into_iter().chain(transition.expires_at.at()).min();
        self.look_after(client, &mut transition, next, now);
    }
}

/// Tells of those who were online when an earlier process died, once subscribers have had time to come back.
pub(crate) async fn tell(broker: Arc<Broker>, fallen: Vec<ClientRef>, grace: Duration) {
    tokio::time::sleep(grace).await;
    let clients = fallen.len();
    broker.tell_all_fallen(fallen).await;
    if clients > 0 {
        tracing::info!(clients, "those who were online before the last end are reported gone");
    }
}
