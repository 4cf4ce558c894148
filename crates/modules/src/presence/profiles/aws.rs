//! The lifecycle events of AWS IoT Core, as its documentation has them.
//!
//! What has no match here: a connection is its session, told by the epoch of the broker's process and the number of the connection; the
//! principal is the user name, or empty; the version counts a client's connections, and does not begin anew.

use std::net::IpAddr;

use mqtt_codec::topic::TopicError;
use mqtt_codec::{Filter, ReasonCode, Topic};
use mqtt_hooks::{Reason, Reserve};
use serde::Serialize;

use super::may_reach;
use crate::presence::event::Event;

pub(super) const PREFIX: &str = "$aws/events/presence/";

/// As AWS does, none for client ids with `+` or `#`.
pub(super) fn topic(client_id: &str, has_come: bool) -> Result<Topic, TopicError> {
    // Too long if the longer one is: one of them alone would break their alternation.
    if PREFIX.len() + "disconnected/".len() + client_id.len() > usize::from(u16::MAX) {
        return Err(TopicError::TooLong);
    }
    Topic::new([PREFIX, if has_come { "connected/" } else { "disconnected/" }, client_id].concat())
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Shown<'a> {
    client_id: &'a str,
    timestamp: u64,
    event_type: &'static str,
    session_identifier: String,
    principal_identifier: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    ip_address: Option<IpAddr>,
    #[serde(skip_serializing_if = "Option::is_none")]
    client_initiated_disconnect: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    disconnect_reason: Option<&'static str>,
    version_number: u64,
}

pub(super) fn write(event: &Event<'_>) -> Vec<u8> {
    let client = event.client;
    let reason = event.end.map(|end| reason(end.reason));
    let shown = Shown {
        client_id: &client.client_id,
        timestamp: event.end.map_or(client.connected_at, |end| end.at),
        event_type: if event.end.is_none() { "connected" } else { "disconnected" },
        session_identifier: format!("{:016x}{:016x}", client.epoch, client.conn_id),
        principal_identifier: client.username.as_deref().unwrap_or_default(),
        ip_address: event.end.is_none().then(|| client.peer.ip().to_canonical()),
        client_initiated_disconnect: reason.map(|reason| reason == BY_CLIENT),
        disconnect_reason: reason,
        // A connection's two events have one; its first is that of an odd number.
        version_number: event.seq.saturating_sub(1) / 2,
    };
    serde_json::to_vec(&shown).expect("a Vec takes all bytes and there are no odd keys")
}

const BY_CLIENT: &str = "CLIENT_INITIATED_DISCONNECT";

fn reason(reason: Reason) -> &'static str {
    match reason {
        Reason::Client(_) => BY_CLIENT,
        Reason::Closed(_) | Reason::Socket(_) => "CONNECTION_LOST",
        Reason::KeepAliveTimeout | Reason::Refused(ReasonCode::KeepAliveTimeout) => "MQTT_KEEP_ALIVE_TIMEOUT",
        Reason::Kicked | Reason::Refused(ReasonCode::AdministrativeAction) => "API_INITIATED_DISCONNECT",
        Reason::TakenOver | Reason::Discarded | Reason::Refused(ReasonCode::SessionTakenOver) => "DUPLICATE_CLIENTID",
        Reason::AuthExpired => "CUSTOMAUTH_TTL_EXPIRATION",
        Reason::Refused(ReasonCode::NotAuthorized | ReasonCode::BadUserNameOrPassword) => "AUTH_ERROR",
        Reason::Refused(ReasonCode::Banned) => "FORBIDDEN_ACCESS",
        Reason::SlowConsumer
        | Reason::Refused(
            ReasonCode::QuotaExceeded | ReasonCode::MessageRateTooHigh | ReasonCode::ConnectionRateExceeded,
        ) => "THROTTLED",
        Reason::ServerShuttingDown
        | Reason::ListenerStopped
        | Reason::Refused(ReasonCode::ServerShuttingDown | ReasonCode::ServerBusy | ReasonCode::ServerUnavailable) => {
            "SERVER_INITIATED_DISCONNECT"
        }
        Reason::NodeDown | Reason::InternalError | Reason::Refused(ReasonCode::UnspecifiedError) => "SERVER_ERROR",
        Reason::Refused(_) => "CLIENT_ERROR",
        _ => "UNKNOWN",
    }
}

/// The broker's own, as `$SYS` is: for reading to whom that is open.
pub(super) struct Reserved;

impl Reserve for Reserved {
    fn owns(&self, topic: &Topic) -> bool {
        topic.as_str().starts_with(PREFIX)
    }

    fn closes(&self, filter: &Filter) -> bool {
        may_reach(filter, &["$aws", "events", "presence"])
    }
}
