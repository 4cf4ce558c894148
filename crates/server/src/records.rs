//! A client as the store keeps it.

use std::borrow::Cow;
use std::sync::Arc;

use mqtt_codec::Will;
use mqtt_hooks::{ConnectionInfo, Listener};
use mqtt_storage::{OnlineRecord, SessionRecord, StoreError, WillRecord};

use crate::broker::Broker;
use crate::client::{Client, ClientRef, State, Transition};

impl Broker {
    /// The client has come; its session is in the store from now on if it outlives the connection.
    pub(crate) fn stage_online(
        &self,
        client: &ClientRef,
        info: &ConnectionInfo,
        transition: &Transition,
        will: Option<&Will>,
    ) {
        if self.durable.is_none() {
            return;
        }
        let mut state = client.state.lock();
        if state.number == 0 && info.expiry_interval > 0 {
            state.number = self.next_session();
            let record = session_record(client, &state, transition);
            self.stage(|stage| stage.put_session(state.number, &record));
        }
        let record = online_record(info, transition.seq, state.number, will);
        self.stage(|stage| stage.come(info.conn_id, &record));
    }

    /// The client is away and its session stays.
    pub(crate) fn stage_session(&self, client: &ClientRef, transition: &Transition) {
        let state = client.state.lock();
        if state.number > 0 {
            let record = session_record(client, &state, transition);
            self.stage(|stage| stage.put_session(state.number, &record));
        }
    }

    /// The session ends, with all it has.
    pub(crate) fn stage_end(&self, state: &mut State) {
        let number = std::mem::take(&mut state.number);
        if number == 0 {
            return;
        }
        state.session.give_up();
        let changes = state.session.take_changes();
        self.stage(|stage| {
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
        client_id: Cow::Borrowed(&info.client_id),
        username: info.username.as_deref().map(Cow::Borrowed),
        level: info.version.level(),
        peer: info.peer,
        port: info.listener.port,
        listener: Cow::Borrowed(&info.listener.name),
        keep_alive: info.keep_alive,
        clean_start: info.clean_start,
        expiry_interval: info.expiry_interval,
        connected_at: info.connected_at,
        session_present: info.session_present,
        epoch: info.epoch,
        seq,
        will: will.map(|will| WillRecord::new(will, None)),
    }
}

/// Who it was that the record tells of.
pub(crate) fn connection_info(number: u64, record: &OnlineRecord<'_>) -> Result<ConnectionInfo, StoreError> {
    Ok(ConnectionInfo {
        client_id: (*record.client_id).into(),
        username: record.username.as_deref().map(Into::into),
        version: record.version()?,
        peer: record.peer,
        listener: Arc::new(Listener { name: (*record.listener).into(), port: record.port }),
        keep_alive: record.keep_alive,
        clean_start: record.clean_start,
        expiry_interval: record.expiry_interval,
        connected_at: record.connected_at,
        session_present: record.session_present,
        epoch: record.epoch,
        conn_id: number,
    })
}
