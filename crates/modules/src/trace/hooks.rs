//! What is written.

use std::fmt;
use std::sync::Arc;

use bytes::Bytes;
use mqtt_codec::Message;
use mqtt_hooks::{
    ConnectionInfo, Delivery, DropReason, Fact, Host, Moment, Observe, ObserveAcks, ObserveDrops, ObserveMessages,
};

use super::traces::Traces;

/// Bytes of a text that clients choose, and of a payload.
const MAX_TEXT: usize = 256;
const MAX_PAYLOAD: usize = 64;

pub(super) struct Watch {
    pub(super) traces: Arc<Traces>,
    pub(super) host: Arc<dyn Host>,
}

impl Watch {
    /// About a client that comes or goes.
    fn client(&self, info: &ConnectionInfo, what: fmt::Arguments<'_>) {
        let at = self.host.now_ms();
        self.traces.each_running(|one| {
            if one.about.is_about_client(&info.client_id, info.peer.ip()) {
                one.write(at, &self.traces.counts, what);
            }
        });
    }

    /// About a message that a client sends or gets.
    fn message(&self, client_id: Option<&str>, message: &Message, what: fmt::Arguments<'_>) {
        self.traces.each_running(|one| {
            if one.about.is_about_message(client_id, &message.topic) {
                one.write(self.host.now_ms(), &self.traces.counts, what);
            }
        });
    }

    fn delivery(&self, event: &str, delivery: &Delivery<'_>, more: fmt::Arguments<'_>) {
        let Delivery { client_id, message, qos, .. } = delivery;
        let (client, topic, qos) = (Short(client_id), Short(message.topic.as_str()), *qos as u8);
        self.message(Some(client_id), message, format_args!("[{event}] {client} topic={topic} qos={qos}{more}"));
    }
}

impl Observe for Watch {
    fn observe(&self, fact: &Fact<'_>, _: &mut dyn Moment) {
        if !self.traces.are_open() {
            return;
        }
        match fact {
            Fact::Connected { client, .. } => {
                let ConnectionInfo { version, keep_alive, clean_start, session_present, listener, .. } = client;
                let (who, username) = (Who(client), client.username.as_deref().map(Short));
                self.traces.each_open(|one| one.about.note_client(&client.client_id, client.peer.ip()));
                self.client(
                    client,
                    format_args!(
                        "[CONNECTED] {who} username={username:?} version={version:?} keepalive={keep_alive} \
                     clean_start={clean_start} session_present={session_present} listener={}",
                        listener.name,
                    ),
                );
            }
            Fact::Disconnected { client, reason, .. } => {
                let (who, reason) = (Who(client), reason.name());
                self.client(client, format_args!("[DISCONNECTED] {who} reason={reason}"));
                self.traces.each_open(|one| one.about.forget_client(&client.client_id));
            }
            Fact::Refused { client_id, peer, reason, .. } => {
                let (at, client, reason) = (self.host.now_ms(), Short(client_id), reason.name());
                self.traces.each_running(|one| {
                    if one.about.is_about_client(client_id, peer.ip()) {
                        one.write(at, &self.traces.counts, format_args!("[REFUSED] {client}@{peer} reason={reason}"));
                    }
                });
            }
            Fact::Subscribed { client, filter, .. } | Fact::Unsubscribed { client, filter } => {
                let (at, who, text) = (self.host.now_ms(), Who(client), Short(filter.as_str()));
                let (event, qos) = match fact {
                    Fact::Subscribed { options, .. } => ("SUBSCRIBED", format!(" qos={}", options.qos as u8)),
                    _ => ("UNSUBSCRIBED", String::new()),
                };
                self.traces.each_running(|one| {
                    if one.about.is_about_filter(&client.client_id, client.peer.ip(), filter) {
                        one.write(at, &self.traces.counts, format_args!("[{event}] {who} filter={text}{qos}"));
                    }
                });
            }
            _ => {}
        }
    }
}

impl ObserveMessages for Watch {
    fn published(&self, message: &Message, client_id: Option<&str>) {
        let Message { topic, qos, retain, payload, .. } = message;
        let (client, topic, qos) = (Short(client_id.unwrap_or("(broker)")), Short(topic.as_str()), *qos as u8);
        let payload = Payload(payload);
        self.message(
            client_id,
            message,
            format_args!("[PUBLISH] {client} topic={topic} qos={qos} retain={retain} {payload}"),
        );
    }

    fn taken(&self, delivery: &Delivery<'_>) {
        self.delivery("DELIVER", delivery, format_args!(""));
    }

    fn unwanted(&self, message: &Message) {
        let topic = Short(message.topic.as_str());
        self.message(None, message, format_args!("[DROPPED] topic={topic} reason=no_subscribers"));
    }
}

impl ObserveAcks for Watch {
    fn acknowledged(&self, delivery: &Delivery<'_>) {
        self.delivery("ACKNOWLEDGED", delivery, format_args!(""));
    }
}

impl ObserveDrops for Watch {
    fn dropped(&self, delivery: &Delivery<'_>, reason: DropReason) {
        self.delivery("DROPPED", delivery, format_args!(" reason={reason:?}"));
    }
}

/// `id@address`
struct Who<'a>(&'a ConnectionInfo);

/// As much of a text as there is room for, in quotes: no client makes lines of its own.
#[derive(Clone, Copy)]
struct Short<'a>(&'a str);

struct Payload<'a>(&'a Bytes);

impl fmt::Display for Who<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}@{}", Short(&self.0.client_id), self.0.peer)
    }
}

impl fmt::Display for Short<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let cut = self.0.floor_char_boundary(MAX_TEXT);
        write!(f, "{:?}{}", &self.0[..cut], if cut < self.0.len() { ".." } else { "" })
    }
}

impl fmt::Debug for Short<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl fmt::Display for Payload<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "payload({})=", self.0.len())?;
        let cut = &self.0[..self.0.len().min(MAX_PAYLOAD)];
        match std::str::from_utf8(cut) {
            Ok(text) => write!(f, "{text:?}")?,
            // The cut may be within a letter.
            Err(error) if error.error_len().is_none() && self.0.len() > MAX_PAYLOAD => {
                write!(f, "{:?}", String::from_utf8_lossy(&cut[..error.valid_up_to()]))?;
            }
            Err(_) => {
                f.write_str("0x")?;
                cut.iter().try_for_each(|byte| write!(f, "{byte:02x}"))?;
            }
        }
        f.write_str(if self.0.len() > MAX_PAYLOAD { ".." } else { "" })
    }
}
