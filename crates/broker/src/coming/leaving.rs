//! A client goes, for whatever reason: its connection is taken away and that is told, under its transition lock.

use std::sync::Arc;
use std::time::Instant;

use mqtt_codec::{Disconnect, Packet, Properties, Property, ReasonCode, Version};
use mqtt_hooks::{EndRecord, Fact, Reason};
use mqtt_roll::Down;
use mqtt_router::Attendance;
use mqtt_session::{Detached, Timestamp};

use crate::broker::Broker;
use crate::client::ClientRef;
use crate::client::connection::Connection;
use crate::client::ending::Ending;
use crate::client::transition::Transition;
use crate::delivery::batch::Batch;
use crate::delivery::replay;
use crate::packets::access::{self, Refusal};
use crate::packets::count;
use crate::watch::metrics::Metric;
use crate::watch::refusals::{Kind, Refused};

/// A client that goes.
#[derive(Clone, Copy)]
pub(super) struct Going<'a> {
    pub(super) ending: Ending,
    /// Of its DISCONNECT.
    pub(super) properties: &'a Properties,
    pub(super) noticed: Instant,
}

impl Broker {
    /// The connection's task ends: the client is gone, unless it has another connection by now. `properties` are those
    /// of its DISCONNECT.
    pub(crate) fn leave(
        self: &Arc<Self>,
        client: &ClientRef,
        connection: &Arc<Connection>,
        ending: Ending,
        properties: &Properties,
    ) {
        let going = Going { ending, properties, noticed: Instant::now() };
        let mut batch = Batch::begin(self);
        let bundle = self.durable.bundle();
        let mut transition = client.transition.lock();
        // Read under the lock, or it could be before the time that the client last came.
        let now = self.clock.now();
        let detached = self.detach(client, &mut transition, Some(connection), going, now, &mut batch);
        if let Some((_, detached)) = detached {
            transition.expires_at = detached.expires_at.into();
            // One whose session ends now leaves all it has to whoever there is.
            if detached.expires_at.is_none_or(|at| at > now) {
                client.state.lock().be_away(connection.info.peer.ip(), &batch);
                self.routes.hand_on_while_away(client, self.doors.is_stopping(), now, &mut batch);
            }
            let next = detached.will_at.into_iter().chain(detached.expires_at).min();
            self.look_after(client, &mut transition, next, now, &mut batch);
        }
        drop(transition);
        drop(bundle);
        // The client is gone whether or not that is stored: it is tried again every second.
        let _ = batch.finish();
    }

    /// Ends a client's connection and its session, as in EMQ X; false if there is neither, nor a connection at another node.
    pub(crate) fn kick(self: &Arc<Self>, client_id: &str) -> bool {
        let mut batch = Batch::begin(self);
        let is_kicked = self.end_client(client_id, Ending::KICKED, &mut batch)
            || self.membership.roll().is_some_and(|roll| roll.kick(client_id));
        // As when it leaves by itself.
        let _ = batch.finish();
        is_kicked
    }

    /// Ends a client's connection for this reason, and its session; false if there is neither.
    pub(crate) fn end_client(&self, client_id: &str, ending: Ending, batch: &mut Batch<'_>) -> bool {
        let Some(client) = self.clients.get(client_id) else { return false };
        let bundle = self.durable.bundle();
        let mut transition = client.transition.lock();
        // Its session ended while this waited for the lock, and it is out of the table.
        if transition.dead {
            return false;
        }
        let now = self.clock.now();
        self.tell_fallen(&client, &mut transition, now, batch);
        if let Some(timer) = transition.timer.take() {
            self.deadlines.offline.cancel(timer);
        }
        // Here and not in the connection's task, so that whoever asks next finds it gone.
        let going = Going { ending, properties: &Properties::EMPTY, noticed: Instant::now() };
        if let Some((connection, _)) = self.detach(&client, &mut transition, None, going, now, batch) {
            connection.end(ending);
        }
        transition.expires_at = now.into();
        self.look_after(&client, &mut transition, None, now, batch);
        drop(transition);
        drop(bundle);
        true
    }

    /// Ends a connection whose client has shown a certificate that is no longer good; whether it did.
    pub(crate) fn look_at_certificate(&self, connection: &Connection) -> bool {
        let is_trusted = connection.transport().is_trusted();
        if !is_trusted {
            let (kind, reason, peer) = (Kind::Renewal, ReasonCode::NotAuthorized, Some(connection.info.peer));
            let rule = &"its certificate is revoked, or signed by nobody who is trusted now";
            self.tell_refused(&Refused { kind, peer, client_id: &connection.info.client_id, reason, rule, about: "" });
            connection.end(Ending::refused(reason));
        }
        !is_trusted
    }

    /// Takes the connection away and tells why. `None` if there is none, or not this one.
    pub(super) fn detach(
        &self,
        client: &ClientRef,
        transition: &mut Transition,
        only: Option<&Arc<Connection>>,
        going: Going<'_>,
        now: Timestamp,
        batch: &mut Batch<'_>,
    ) -> Option<(Arc<Connection>, Detached)> {
        let Going { ending: Ending { reason, code }, properties, noticed } = going;
        let has_forbidden_will = self.has_forbidden_will(client);
        let to = if code == Some(ReasonCode::UseAnotherServer) { self.reference() } else { None };
        let (connection, detached) = {
            let mut state = client.state.lock();
            // A task that ends after its client was taken over has nothing to tell: that was told when it happened, and
            // the connection that is here now is another's.
            if only.is_some_and(|only| !state.is_current(only)) {
                return None;
            }
            // [MQTT-3.14.0-1]: CONNACK is there before it. Whoever comes in has this client's transition until CONNACK
            // is in the outbox.
            if let Some(reason) = code
                && state.connection()?.info.version == Version::V5
            {
                let properties = to.into_iter().map(Property::ServerReference).collect();
                let mut farewell = Packet::Disconnect(Disconnect { reason, properties });
                // [MQTT-3.1.2-24]
                if farewell.encoded_len(Version::V5) > state.session.max_packet_size() as usize {
                    farewell = Packet::Disconnect(Disconnect { reason, properties: Properties::EMPTY });
                }
                state.push(&farewell);
                count::sent(&farewell, batch);
            }
            // With the farewell in it, the outbox goes to the old connection: from here on nothing that is delivered can
            // leave by it, and it can't be found from the table.
            let connection = state.take_connection()?;
            if has_forbidden_will {
                state.session.drop_will();
            }
            // What a client asked for in DISCONNECT is held to the same limit as what it asked for in CONNECT. Before MQTT 5 none
            // asks, and how long its session is kept is another setting.
            if connection.info.version == Version::V5 {
                state.session.cap_session_expiry(self.terms().mqtt.max_session_expiry);
            }
            // [MQTT-3.1.2-23]: it keeps the session for as long as was agreed on.
            let detached = state.session.detach(now);
            state.recount(batch);
            (connection, detached)
        };
        connection.note_left();
        replay::keep_for_later(client, &connection, transition);
        // The transition lock keeps it in step with the session; the state's would keep publishers waiting.
        self.routes.router.set_attendance(client, Attendance::Absent);
        self.clients.note_offline();
        // In one bundle with the event: after a crash either both are known, or the client is found to have fallen and is
        // told of by the next process.
        batch.stage(|stage| stage.go(connection.info.conn_id));
        batch.count(Metric::Disconnected, 1);
        // An undelayed will comes before the fact.
        if let Some(will) = &detached.will {
            self.publish_will(client, Some(connection.info.peer), will, now, batch);
        }
        // Read under the transition lock: whoever comes next reads it later, so their `connected_at` is not before this.
        let at = transition.now_ms();
        let last_heard = at.saturating_sub(connection.silent_ms()).max(connection.info.connected_at.min(at));
        let reason_string = properties.reason_string();
        if let Some(roll) = self.membership.roll_of(&connection.info) {
            // Told by each node when it has read of it, before whatever comes next. Who is taken over has been told of, or this would
            // not be known here.
            let is_told = matches!(reason, Reason::TakenOver | Reason::Discarded);
            let end = EndRecord { reason, reason_string: reason_string.as_deref(), last_heard };
            if !is_told {
                let (id, conn) = (&client.id, connection.info.conn_id);
                self.membership.ends.expect(id, || roll.seat(id, conn).is_some());
                roll.down(Down {
                    client: (*client.id).into(),
                    conn: connection.info.conn_id,
                    at,
                    // [MQTT-3.14.4-3]: not if the client says goodbye.
                    with_will: reason != Reason::Client(ReasonCode::Success) && !has_forbidden_will,
                    reason: end.to_record().into(),
                });
            }
            return Some((connection, detached));
        }
        transition.seq += 1;
        // Whatever the clock does, the next fact of this client is told no earlier.
        transition.note_fact(at, at);
        let fact = Fact::Disconnected {
            client: &connection.info,
            reason,
            reason_string: reason_string.as_deref(),
            properties,
            at,
            told_at: at,
            seq: transition.seq,
            flaps: transition.flaps.count(at),
            last_heard,
            noticed,
        };
        self.hooks.observe(&fact, batch);
        tracing::debug!(client_id = %client.id, reason = reason.name(), "disconnected");
        Some((connection, detached))
    }

    /// The client may not publish its will any more, which is told: rules have changed since it came in, or its own have.
    fn has_forbidden_will(&self, client: &ClientRef) -> bool {
        // Copied: who authorizes is not asked under a session's lock. Only who has the transition changes either.
        let (connection, topic) = {
            let state = client.state.lock();
            let (Some(connection), Some(topic)) = (state.connection(), state.session.will_topic()) else {
                return false;
            };
            (Arc::clone(connection), topic.clone())
        };
        let (info, rules) = (&connection.info, connection.rules());
        let Err(Refusal { code: reason, rule }) = access::may_have_will(&self.hooks, &rules, info, &topic) else {
            return false;
        };
        let (peer, client_id) = (Some(info.peer), &*client.id);
        self.tell_refused(&Refused { kind: Kind::Will, peer, client_id, reason, rule: &rule, about: topic.as_str() });
        true
    }
}
