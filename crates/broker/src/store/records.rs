//! A client as the store keeps it.

use std::borrow::Cow;

use mqtt_codec::Will;
use mqtt_hooks::ConnectionInfo;
use mqtt_storage::{SessionRecord, WillRecord};

use crate::client::transition::Transition;
use crate::client::{Client, ClientRef, State};
use crate::delivery::batch::Batch;
use crate::store::online::online_record;

/// The client has come; its session is in the store from now on if it outlives the connection.
pub(crate) fn stage_online(
    client: &ClientRef,
    info: &ConnectionInfo,
    transition: &Transition,
    will: Option<&Will>,
    batch: &mut Batch<'_>,
) {
    let durable = batch.durable();
    if !durable.is_there() {
        return;
    }
    let mut state = client.state.lock();
    // It is in the store from when it may first outlive its connection; one that never may leaves nothing there.
    if state.number == 0 && info.expiry_interval > 0 {
        state.number = durable.serials.next_session(|bounds| batch.stage(|stage| stage.bounds(bounds)));
        let record = session_record(client, &state, transition);
        batch.stage(|stage| stage.put_session(state.number, &record));
    }
    let record = online_record(info, transition.seq, state.number, will);
    batch.stage(|stage| stage.come(info.conn_id, &record));
}

/// The client is away and its session stays.
pub(crate) fn stage_session(client: &ClientRef, transition: &Transition, batch: &mut Batch<'_>) {
    let state = client.state.lock();
    if state.number > 0 {
        let record = session_record(client, &state, transition);
        batch.stage(|stage| stage.put_session(state.number, &record));
    }
}

/// The session ends, with all it has, or with what is given up `later`. Returns its number.
pub(crate) fn stage_end(state: &mut State, later: bool, batch: &mut Batch<'_>) -> u64 {
    let number = std::mem::take(&mut state.number);
    if number == 0 {
        return 0;
    }
    if later {
        // What is left in the store without its session when the process ends is removed by the next.
        batch.stage(|stage| stage.remove_session(number));
        return number;
    }
    // All it has goes by steps of their own: a message that others keep too stays until the last of them lets it go.
    state.session.give_up();
    let changes = state.session.take_changes();
    batch.stage(|stage| {
        changes.iter().for_each(|change| stage.change(number, change));
        for (filter, _, _) in state.session.subscriptions() {
            stage.unsubscribe(number, filter);
        }
        stage.remove_session(number);
    });
    number
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
        from: state.was_at(),
    }
}
