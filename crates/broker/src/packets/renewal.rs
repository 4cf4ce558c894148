//! AUTH of a client that is in: it is authenticated again, and goes on meanwhile as it was (section 4.12.1).

use std::future::pending;
use std::sync::Arc;

use bytes::Bytes;
use mqtt_codec::{Auth, Packet, Properties, Property, ReasonCode};
use mqtt_hooks::{Challenge, Exchange, Grant, Login};
use mqtt_session::Timestamp;

use crate::client::ClientRef;
use crate::client::connection::Connection;
use crate::client::ending::Ending;
use crate::client::seat::Seat;
use crate::delivery::batch::Batch;
use crate::packets::answer::push_to;
use crate::packets::subscribe::give_up_forbidden;
use crate::watch::metrics::Metric;
use crate::watch::refusals::{Kind, Refused};

/// Begins to ask modules, or hands them what the client says to a challenge.
#[inline(never)]
pub(super) fn handle(seat: &Seat, auth: &Auth) -> Result<(), Ending> {
    // [MQTT-4.12.0-7]: who named no method has none to go by. [MQTT-4.12.0-5] [MQTT-4.12.1-1]: nor may it name another one.
    let named = auth.properties.authentication_method();
    let method = seat.connection.method().filter(|method| named.as_deref().is_some_and(|named| *named == **method));
    let Some(method) = method else { return Err(Ending::refused(ReasonCode::ProtocolError)) };
    let data = data_of(&auth.properties);
    let is_expected = if auth.reason == ReasonCode::Reauthenticate {
        // One at a time: this is what a client may make the broker hold.
        seat.connection.begin_renewal(|| {
            let asking = Asking { client: seat.client.clone(), connection: Arc::clone(&seat.connection), method };
            tokio::spawn(asking.renew(data)).abort_handle()
        })
    } else {
        seat.connection.answer(data)
    };
    if is_expected { Ok(()) } else { Err(Ending::refused(ReasonCode::ProtocolError)) }
}

/// Authentication data in memory of its own: it may wait longer than the read buffer should.
pub(crate) fn data_of(properties: &Properties) -> Bytes {
    properties.authentication_data().map_or_else(Bytes::new, |data| Bytes::copy_from_slice(&data))
}

/// What each AUTH and a CONNACK that lets in have. [MQTT-4.12.0-5]
pub(crate) fn properties_of(method: &str, data: Option<Bytes>) -> impl Iterator<Item = Property> + use<> {
    let data = data.filter(|data| !data.is_empty());
    [Property::AuthenticationMethod(method.into())].into_iter().chain(data.map(Property::AuthenticationData))
}

/// Whether this lets in as long as it says.
pub(crate) fn is_over(grant: &Grant, now: Timestamp) -> bool {
    grant.expires_at.is_some_and(|at| at <= now.0)
}

/// The client as those who authenticate it see it.
struct Asking {
    client: ClientRef,
    connection: Arc<Connection>,
    method: Arc<str>,
}

impl Asking {
    /// The connection ends it should it end first.
    async fn renew(mut self, data: Bytes) {
        let (connection, method) = (Arc::clone(&self.connection), Arc::clone(&self.method));
        let broker = connection.broker();
        let mut exchange = Exchange::new(&method, data, &mut self);
        exchange.is_renewal = true;
        // Who lets a challenge lie is not to be challenged for ever.
        let until = broker.clock.patient().after(broker.terms().mqtt.connect_timeout);
        let login = broker.clock.wait_for(broker.hooks.exchange(&connection.info, &mut exchange), until).await;
        let conclusion = exchange.into_conclusion();
        let mut batch = Batch::begin(broker);
        batch.count(Metric::Authenticate, 1);
        self.conclude(login, conclusion, &mut batch);
        let _ = batch.finish();
    }

    fn conclude(&self, login: Option<Login>, conclusion: Option<Bytes>, batch: &mut Batch<'_>) {
        let Self { client, connection, .. } = self;
        let grant = match login {
            Some(Login::Allow(grant)) if self.is_same_client(&grant) && !is_over(&grant, connection.now()) => grant,
            login => {
                let (reason, rule) = match login {
                    None => (ReasonCode::NotAuthorized, "no answer in time"),
                    Some(Login::Deny(code)) => (code, "it is not authenticated again"),
                    Some(Login::Allow(_) | Login::Ignore) => {
                        (ReasonCode::NotAuthorized, "granted to another user, or for no time")
                    }
                };
                let (peer, client_id) = (Some(connection.info.peer), &*client.id);
                let refused = Refused { kind: Kind::Renewal, peer, client_id, reason, rule: &rule, about: "" };
                connection.broker().tell_refused(&refused);
                batch.count(Metric::AuthFailure, 1);
                // [MQTT-4.12.1-2]
                return connection.end(Ending::refused(ReasonCode::NotAuthorized));
            }
        };
        batch.count(Metric::AuthSuccess, 1);
        // Before the client is told, which may begin again at once.
        connection.renew(grant.rules, grant.expires_at.map(Timestamp));
        let _ = give_up_forbidden(client, connection, batch);
        if let Err(ending) = self.send(ReasonCode::Success, conclusion, batch) {
            connection.end(ending);
        }
    }

    /// What was told of this connection names a user, and goes on holding.
    fn is_same_client(&self, grant: &Grant) -> bool {
        grant.username.is_none() || grant.username == self.connection.info.username
    }

    fn send(&self, reason: ReasonCode, data: Option<Bytes>, batch: &mut Batch<'_>) -> Result<(), Ending> {
        let properties = properties_of(&self.method, data).collect();
        push_to(&self.client, &self.connection, &Packet::Auth(Auth { reason, properties }), batch)
    }
}

#[async_trait::async_trait]
impl Challenge for Asking {
    async fn challenge(&mut self, data: Bytes) -> Bytes {
        // Before the challenge is sent, so that its answer finds somebody.
        let answered = self.connection.expect_answer();
        let sent = {
            let mut batch = Batch::begin(self.connection.broker());
            let sent = self.send(ReasonCode::ContinueAuthentication, Some(data), &mut batch);
            let _ = batch.finish();
            sent
        };
        if let Err(ending) = sent {
            self.connection.end(ending);
        }
        match answered.await {
            Ok(data) => data,
            // The connection ends, and this with it.
            Err(_) => pending().await,
        }
    }
}
