//! Who is online.

use std::sync::Arc;

use mqtt_hooks::route::{Answer, Handle, Position, Refusal, Request};
use mqtt_hooks::{ConnectionInfo, Host, Lookup};
use serde::Serialize;
use serde_json::{Value, json};

use super::limit_of;

/// `/presence/clients`
pub(super) struct Clients {
    pub(super) host: Arc<dyn Host>,
}

#[async_trait::async_trait]
impl Handle for Clients {
    async fn handle(&self, request: Request) -> Result<Answer, Refusal> {
        let limit = limit_of(&request)?;
        let found = self.host.online(&Lookup {
            after: request.text("_after")?,
            prefix: request.text("prefix")?.unwrap_or_default(),
            since: request.number("since")?.unwrap_or(0),
            limit,
        });
        let next = found.clients.last().filter(|_| found.has_more).map(|last| last.client_id.to_string());
        let rows: Vec<_> = found.clients.iter().map(Online::new).collect();
        Answer::list(&rows, Position { limit, has_next: found.has_more, next, ..Position::default() })
    }
}

/// A client that is online.
#[derive(Serialize)]
struct Online<'a> {
    clientid: &'a str,
    username: Option<&'a str>,
    connected_at: u64,
    ipaddress: String,
    port: u16,
    sockport: u16,
    listener: &'a str,
    proto_ver: u8,
    proto_name: &'static str,
    keepalive: u16,
    clean_start: bool,
    expiry_interval: u32,
    conn_id: u64,
    epoch: u64,
}

impl<'a> Online<'a> {
    fn new(client: &'a ConnectionInfo) -> Self {
        Self {
            clientid: &client.client_id,
            username: client.username.as_deref(),
            connected_at: client.connected_at,
            ipaddress: client.peer.ip().to_canonical().to_string(),
            port: client.peer.port(),
            sockport: client.listener.port,
            listener: &client.listener.name,
            proto_ver: client.version.level(),
            proto_name: client.version.protocol_name(),
            keepalive: client.keep_alive,
            clean_start: client.clean_start,
            expiry_interval: client.expiry_interval,
            conn_id: client.conn_id,
            epoch: client.epoch,
        }
    }
}

/// The schema of [`Online`].
pub(super) fn schema() -> Value {
    let number = |format: &str| json!({"type": "integer", "format": format, "minimum": 0});
    let about = |mut schema: Value, description: &str| {
        schema["description"] = description.into();
        schema
    };
    json!({
        "type": "object",
        "description": "A client that is online.",
        "required": ["clientid", "connected_at", "ipaddress", "port", "sockport", "listener", "proto_ver", "proto_name",
            "keepalive", "clean_start", "expiry_interval", "conn_id", "epoch"],
        "properties": {
            "clientid": {"type": "string"},
            "username": {"type": ["string", "null"], "description": "Null if it gave none."},
            "connected_at": about(number("int64"), "Milliseconds since the Unix epoch."),
            "ipaddress": {"type": "string"},
            "port": about(number("int32"), "The peer's."),
            "sockport": about(number("int32"), "The listener's."),
            "listener": {"type": "string"},
            "proto_ver": number("int32"),
            "proto_name": {"type": "string"},
            "keepalive": number("int32"),
            "clean_start": {"type": "boolean"},
            "expiry_interval": about(number("int32"), "Seconds."),
            "conn_id": about(number("int64"), "Unique within the epoch."),
            "epoch": about(number("int64"), "Grows with every start of the broker."),
        },
    })
}
