//! The way to JetStream.

use std::error::Error as _;
use std::sync::Arc;

use async_nats::client::RequestErrorKind;
use async_nats::{Client, ConnectOptions, Event, HeaderMap, HeaderValue, Request, ServerAddr, ServerError, header};
use futures_util::TryStreamExt;
use futures_util::stream;
use serde::Deserialize;
use tokio::sync::{Mutex, watch};

use crate::{Login, Message, Servers, Unpublished};

/// Publishes messages over one connection at a time, which whoever comes first makes.
pub struct Publisher {
    servers: Servers,
    addrs: Vec<ServerAddr>,
    connection: Mutex<Option<Connection>>,
}

/// To one of the servers.
#[derive(Clone)]
struct Connection {
    client: Client,
    standing: Arc<watch::Sender<Standing>>,
    stream: Option<Arc<str>>,
}

/// How a connection is.
#[derive(Debug, Default)]
struct Standing {
    /// It is not to be used any more.
    is_lost: bool,
    /// What the server has said last that answers nothing.
    said: Option<String>,
}

impl Publisher {
    /// Connects to nobody yet.
    ///
    /// # Errors
    /// It names the address that is none.
    pub fn new(servers: Servers) -> Result<Self, String> {
        let read = |url: &String| url.parse().map_err(|why| format!("{url:?}: {why}"));
        let addrs = servers.urls.iter().map(read).collect::<Result<Vec<_>, _>>()?;
        if addrs.is_empty() {
            Err("wants an address".to_owned())
        } else {
            Ok(Self { servers, addrs, connection: Mutex::default() })
        }
    }

    /// Returns when JetStream has all of them, which it has said of each whose id `taken` was told. What is in one lane is published in
    /// order, one behind the other's acknowledgement, so that none is there without those before it; of so many lanes there is one under way
    /// at once.
    ///
    /// # Errors
    /// One of them is not there, for all that is known; those that were under way may be.
    pub async fn publish(
        &self,
        lanes: Vec<Vec<Message>>,
        at_once: usize,
        taken: impl Fn(&str) + Sync,
    ) -> Result<(), Unpublished> {
        let (connection, taken) = (&self.connect().await?, &taken);
        let lanes = stream::iter(lanes.into_iter().map(Ok));
        let publish = |lane: Vec<Message>| async move {
            for message in lane {
                let id = message.id.clone();
                connection.publish(message).await?;
                taken(&id);
            }
            Ok(())
        };
        lanes.try_for_each_concurrent(at_once, publish).await
    }

    /// The one that there is, or a new one.
    async fn connect(&self) -> Result<Connection, Unpublished> {
        let mut kept = self.connection.lock().await;
        if let Some(connection) = kept.as_ref().filter(|connection| !connection.standing.borrow().is_lost) {
            return Ok(connection.clone());
        }
        *kept = None;
        let standing = Arc::new(watch::Sender::new(Standing::default()));
        let client = self.options(Arc::clone(&standing)).connect(&self.addrs[..]).await.map_err(|error| {
            let why = error.source().map_or_else(|| error.to_string(), ToString::to_string);
            Unpublished::NotNow(format!("no connection to {}: {why}", self.servers.urls.join(", ")))
        })?;
        let stream = self.servers.stream.as_deref().map(Arc::from);
        Ok(kept.insert(Connection { client, standing, stream }).clone())
    }

    fn options(&self, standing: Arc<watch::Sender<Standing>>) -> ConnectOptions {
        let servers = &self.servers;
        let options = ConnectOptions::new()
            .name(servers.name.clone())
            .connection_timeout(servers.timeout)
            .request_timeout(Some(servers.timeout))
            // It would go on for ever after nobody wants it any more, and one that is lost is not used again.
            .max_reconnects(Some(self.addrs.len()))
            .event_callback(move |event| {
                standing.send_modify(|standing| standing.note(event));
                std::future::ready(())
            });
        let options = match &servers.login {
            Login::None => options,
            Login::User { name, password } => options.user_and_password(name.clone(), password.clone()),
            Login::Token(token) => options.token(token.clone()),
        };
        match &servers.tls {
            Some(tls) => options.tls_client_config(tls.clone()),
            None => options,
        }
    }
}

impl Standing {
    fn note(&mut self, event: Event) {
        match event {
            Event::Disconnected | Event::Closed => self.is_lost = true,
            Event::ServerError(ServerError::Other(said)) => self.said = Some(said),
            Event::ServerError(error) => self.said = Some(error.to_string()),
            _ => {}
        }
    }
}

impl Connection {
    /// Returns when JetStream has the message.
    async fn publish(&self, message: Message) -> Result<(), Unpublished> {
        let fit = |value: &str| {
            let wrong = |_| Unpublished::Refused(format!("{value:?} can't be a header"));
            value.parse::<HeaderValue>().map_err(wrong)
        };
        let mut headers = HeaderMap::new();
        headers.insert(header::NATS_MESSAGE_ID, fit(&message.id)?);
        if let Some(stream) = &self.stream {
            headers.insert(header::NATS_EXPECTED_STREAM, fit(stream)?);
        }
        for (name, value) in message.headers {
            headers.insert(name, fit(&value)?);
        }
        let request = Request::new().headers(headers).payload(message.body);
        let answer = tokio::select! {
            answer = self.client.send_request(message.subject.clone(), request) => answer,
            // Else it would show when the time for an answer is over.
            () = self.until_lost() => return Err(self.lost("the connection was lost")),
        };
        let subject = &message.subject;
        answer
            .map_err(|error| match error.kind() {
                RequestErrorKind::NoResponders => Unpublished::NotNow(format!(
                    "no stream of JetStream takes {subject} now: one is wanted whose subjects match it"
                )),
                RequestErrorKind::MaxPayloadExceeded | RequestErrorKind::InvalidSubject => {
                    Unpublished::Refused(format!("{subject}: {error}"))
                }
                // A server that hangs would go on to do so.
                RequestErrorKind::TimedOut => self.lost(&format!("no acknowledgement of {subject} in time")),
                RequestErrorKind::Other => self.lost(&error.to_string()),
            })
            .and_then(|answer| read(&answer.payload).map_err(|error| self.refusal(subject, &error)))
    }

    async fn until_lost(&self) {
        // What this returns keeps the standing locked.
        drop(self.standing.subscribe().wait_for(|standing| standing.is_lost).await);
    }

    /// The next who publishes makes another one.
    fn lost(&self, why: &str) -> Unpublished {
        self.standing.send_modify(|standing| standing.is_lost = true);
        Unpublished::NotNow(match &self.standing.borrow().said {
            Some(said) => format!("{why}; the nats-server said: {said}"),
            None => why.to_owned(),
        })
    }

    fn refusal(&self, subject: &str, error: &Refusal) -> Unpublished {
        let said = format!("{} ({})", error.description, error.err_code);
        match (&self.stream, error.err_code) {
            (_, TOO_LARGE) => Unpublished::Refused(format!("{subject}: {said}")),
            (Some(stream), ANOTHER_STREAM) => Unpublished::NotNow(format!(
                "{subject} is taken by another stream than {stream}: give it subjects that match, and the other one none"
            )),
            _ => Unpublished::NotNow(format!("{subject} was not taken: {said}")),
        }
    }
}

/// JetStream's, of messages that are larger than the stream takes.
const TOO_LARGE: u64 = 10_054;

/// JetStream's, of subjects that are another stream's.
const ANOTHER_STREAM: u64 = 10_060;

/// JetStream's answer, a `PubAck`.
#[derive(Deserialize)]
struct Answer {
    stream: Option<String>,
    error: Option<Refusal>,
}

#[derive(Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
struct Refusal {
    err_code: u64,
    description: String,
}

/// Only JetStream itself says that it has a message, and in which stream.
fn read(answer: &[u8]) -> Result<(), Refusal> {
    let wrong = |description: String| Refusal { err_code: 0, description };
    match serde_json::from_slice(answer) {
        Ok(Answer { error: Some(error), .. }) => Err(error),
        Ok(Answer { stream: Some(_), error: None }) => Ok(()),
        Ok(Answer { stream: None, error: None }) => Err(wrong("the answer names no stream".to_owned())),
        Err(error) => Err(wrong(format!("the answer is not JetStream's: {error}"))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_jetstream_says_that_it_has_a_message() {
        assert_eq!(read(br#"{"stream":"S","seq":7,"domain":"d"}"#), Ok(()));
        assert_eq!(read(br#"{"stream":"S","seq":7,"duplicate":true}"#), Ok(()));
        let refused = br#"{"error":{"code":400,"err_code":10054,"description":"too large"},"stream":"S","seq":0}"#;
        assert_eq!(read(refused), Err(Refusal { err_code: TOO_LARGE, description: "too large".to_owned() }));
        for other in [&b""[..], b"OK", b"{}", b"[]", br#"{"error":{}}"#, br#"{"stream":7}"#, b"\xff"] {
            let why = read(other).unwrap_err();
            assert_eq!(why.err_code, 0, "{why:?}");
        }
    }

    #[test]
    fn what_is_no_address_is_named() {
        let servers = |urls: &[&str]| Servers {
            urls: urls.iter().map(ToString::to_string).collect(),
            login: Login::None,
            tls: None,
            name: String::new(),
            stream: None,
            timeout: std::time::Duration::from_secs(1),
        };
        assert!(Publisher::new(servers(&["nats://127.0.0.1:4222", "tls://[::1]"])).is_ok());
        for (urls, start) in
            [(&[][..], "wants"), (&["nats://a:b:c"], "\"nats://a:b:c\": "), (&["http://a"], "\"http://a\": ")]
        {
            let why = Publisher::new(servers(urls)).err().unwrap();
            assert!(why.starts_with(start), "{why}");
        }
    }
}
