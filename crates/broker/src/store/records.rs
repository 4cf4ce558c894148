//! A client as the store keeps it.

use std::borrow::Cow;

use mqtt_codec::Will;
use mqtt_hooks::ConnectionInfo;
use mqtt_storage::{OnlineRecord, SessionRecord, StoreError, WillRecord};

use crate::broker::Broker;
use crate::client::{Client, ClientRef, State, Transition};
use crate::delivery::batch::Batch;

impl Broker {
    /// The client has come; its session is in the store from now on if it outlives the connection.
    pub(crate) fn stage_online(
        &self,
        client: &ClientRef,
        info: &ConnectionInfo,
        transition: &Transition,
        will: Option<&Will>,
        batch: &mut Batch<'_>,
    ) {
        if self.durable.is_none() {
            return;
        }
        let mut state = client.state.lock();
        if state.number == 0 && info.expiry_interval > 0 {
            state.number = self.next_session(batch);
            let record = session_record(client, &state, transition);
            batch.stage(|stage| stage.put_session(state.number, &record));
        }
        let record = online_record(info, transition.seq, state.number, will);
        batch.stage(|stage| stage.come(info.conn_id, &record));
    }

    /// The client is away and its session stays.
    pub(crate) fn stage_session(&self, client: &ClientRef, transition: &Transition, batch: &mut Batch<'_>) {
        let state = client.state.lock();
        if state.number > 0 {
            let record = session_record(client, &state, transition);
            batch.stage(|stage| stage.put_session(state.number, &record));
        }
    }

    /// The session ends, with all it has.
    pub(crate) fn stage_end(&self, state: &mut State, batch: &mut Batch<'_>) {
        let number = std::mem::take(&mut state.number);
        if number == 0 {
            return;
        }
        state.session.give_up();
        let changes = state.session.take_changes();
        batch.stage(|stage| {
            changes.iter().for_each(|change| stage.change(number, change));
            for (filter, _, _) in state.session.subscriptions() {
                stage.unsubscribe(number, filter);
            }
            stage.remove_session(number);
        });
    }
}

fn session_record<'a>(client: &'a Client, state: &State, transition: &Transition) -> SessionRecord<'a> {
    SessionRecord {
        client_id: Cow::Borrowed(&client.id),
        level: state.session.version().level(),
        session_expiry: state.session.session_expiry(),
        expires_at: transition.expires_at.at().map(|at| at.0),
        will: state.session.will().map(|(will, due)| WillRecord::new(&will, due)),
        seq: transition.seq,
        last_fact_ms: transition.last_fact_ms,
        created_at: transition.created_at,
    }
}

fn online_record<'a>(info: &'a ConnectionInfo, seq: u64, session: u64, will: Option<&Will>) -> OnlineRecord<'a> {
    OnlineRecord {
        session: (session > 0).then_some(session),
        info: serde_json::to_vec(info).expect("a Vec takes all bytes and the keys are texts").into(),
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
        let corrupt = |error: serde_json::Error| StoreError::Corrupt { table: "online", why: error.to_string() };
        Ok(Self {
            info: serde_json::from_slice(&record.info).map_err(corrupt)?,
            seq: record.seq,
            session: record.session,
            will: record.will.as_ref().map(WillRecord::will).transpose()?,
        })
    }
}
