//! Events published to a stream of NATS JetStream.

use std::collections::{HashMap, HashSet};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use mqtt_hooks::{Host, Secret, Span};
use mqtt_jetstream::{Login, Message, Publisher, Servers, Unpublished};
use parking_lot::Mutex;

use super::batch::{Batch, Line, Tells};
use super::secret;
use super::subject::{Template, token};
use super::target::{Outcome, Target};

mqtt_hooks::settings! {
    /// A stream of NATS JetStream that events are published to.
    pub struct NatsSink {
        /// Name
        ///
        /// In metrics and logs; with another one it is another sink. Letters, digits, `-`, `_` and `.`.
        pub name: String = "",
        /// Addresses
        ///
        /// Of nats-servers, `nats://10.0.0.1:4222` or `tls://`, without user and password; one is enough to find the others of a cluster.
        pub urls: Vec<String> = [] in 0..=16,
        /// Subject
        ///
        /// Of each message. What is no letter, digit, `-`, `_`, `:` or `@` in a client id or in the name of the node is `%` and two digits there; `${event}` is `connected`,
        /// `disconnected` or `gap`.
        pub subject: String = "rollcall.presence.${node}.${clientid}",
        /// Stream
        ///
        /// That has to be the one which takes them. Empty: whichever does. It is not made: `nats stream add` does.
        pub stream: String = "",
        /// User
        ///
        /// If the nats-servers ask for one.
        pub user: String = "",
        /// Password
        ///
        /// Without TLS it can be read on the way.
        pub password: Secret = "",
        /// File with the password
        ///
        /// Instead of the password itself; read at a start, without blanks at its ends.
        pub password_file: String = "",
        /// Token
        ///
        /// Instead of user and password.
        pub token: Secret = "",
        /// File with the token
        ///
        /// Instead of the token itself; read at a start, without blanks at its ends.
        pub token_file: String = "",
        /// Authorities
        ///
        /// A file, PEM: who signs the nats-servers' certificates. Without one, who the system trusts.
        pub ca: String = "",
        /// Certificate to show
        ///
        /// A file, PEM, with those between it and its authority. Empty: none.
        pub cert: String = "",
        /// Its key
        ///
        /// A file, PEM.
        pub key: String = "",
        /// Messages on the way
        ///
        /// So many may be unacknowledged, no two of one client.
        pub max_inflight: u16 = 256 in 1..=1000,
        /// Time for an acknowledgement
        ///
        /// Without one by then there is another connection, and the message is published again by the same id.
        pub timeout: Span = "5s",
        /// Longest rest
        ///
        /// Between two tries. The first rest is a second, each is twice as long as the one before.
        pub retry_max: Span = "30s",
    }
}

/// One that can be used.
pub(super) struct Stream {
    publisher: Publisher,
    subject: Template,
    sink: String,
    at_once: usize,
}

impl NatsSink {
    /// Reads the files that it names, too.
    pub(super) fn stream(&self) -> Result<Stream, String> {
        for url in &self.urls {
            let host = ["nats://", "tls://"].into_iter().find_map(|scheme| url.strip_prefix(scheme));
            // What is kept secret has keys of its own, which are not shown.
            if !host.is_some_and(|host| !host.is_empty() && !host.contains(['@', '/', ' '])) {
                return Err("urls: wants addresses like \"nats://10.0.0.1:4222\", without user and password".to_owned());
            }
        }
        let subject = Template::read(&self.subject)?;
        if !self.stream.bytes().all(|byte| byte.is_ascii_graphic() && !b".*>/\\".contains(&byte)) {
            return Err(format!("stream: {:?}: wants visible ASCII without '.', '*', '>', '/' and '\\'", self.stream));
        }
        if self.timeout.0 < Duration::from_millis(100) {
            return Err("timeout: wants 100ms or more".to_owned());
        }
        if self.retry_max.0 < Duration::from_millis(100) {
            return Err("retry_max: wants 100ms or more".to_owned());
        }
        let servers = Servers {
            urls: self.urls.clone(),
            login: self.login()?,
            tls: self.tls()?,
            name: format!("rollcall sink {}", self.name),
            stream: Some(self.stream.clone()).filter(|stream| !stream.is_empty()),
            timeout: self.timeout.0,
        };
        let publisher = Publisher::new(servers).map_err(|why| format!("urls: {why}"))?;
        Ok(Stream { publisher, subject, sink: self.name.clone(), at_once: self.max_inflight.into() })
    }

    fn login(&self) -> Result<Login, String> {
        let password = secret::read("password", &self.password, &self.password_file)?;
        match (&*self.user, password, secret::read("token", &self.token, &self.token_file)?) {
            ("", None, None) => Ok(Login::None),
            ("", None, Some(token)) => Ok(Login::Token(token)),
            ("", Some(_), _) => Err("password: wants user, too".to_owned()),
            (_, None, None) => Err("user: wants password or password_file, too".to_owned()),
            (name, Some(password), None) => Ok(Login::User { name: name.to_owned(), password }),
            (_, _, Some(_)) => Err("wants user or token, not both".to_owned()),
        }
    }

    fn tls(&self) -> Result<Option<mqtt_jetstream::ClientConfig>, String> {
        let named = |file: &'_ str| if file.is_empty() { None } else { Some(Path::new(file).to_owned()) };
        let (ca, cert, key) = (named(&self.ca), named(&self.cert), named(&self.key));
        let shown = match (&cert, &key) {
            (None, None) => None,
            (Some(cert), Some(key)) => Some(mqtt_fetch::Shown { cert, key }),
            (Some(_), None) => return Err("cert: wants key, too".to_owned()),
            (None, Some(_)) => return Err("key: wants cert, too".to_owned()),
        };
        let is_asked_for = ca.is_some() || shown.is_some() || self.urls.iter().any(|url| url.starts_with("tls://"));
        match mqtt_fetch::client_config(ca.as_deref(), "ca", shown) {
            Ok(config) => Ok(Some(config)),
            // A server may ask for TLS all the same, and most don't.
            Err(_) if !is_asked_for => Ok(None),
            Err(why) => Err(why),
        }
    }
}

impl Stream {
    pub(super) fn into_target(self, host: Arc<dyn Host>) -> impl Target {
        Teller { stream: self, host, taken: Mutex::default() }
    }

    /// Those of these lines that are not taken, a lane for each client: no event of one is there without those before it.
    pub(super) fn lanes(&self, node: &str, lines: &[Line], taken: &HashSet<String>) -> Vec<Vec<Message>> {
        let (mut lanes, mut of_client) = (Vec::<Vec<Message>>::new(), HashMap::new());
        // Numbers of events are a node's own, and another sink of it may have the same stream.
        let own = format!("{}/{}", token(node), self.sink);
        for line in lines {
            let (client_id, id) = match &line.tells {
                Tells::Event(entry) => (entry.client_id(), format!("{own}/{}", entry.number)),
                Tells::Gap(gap) => ("", format!("{own}/gap/{}-{}", gap.from, gap.to)),
            };
            if taken.contains(&id) {
                continue;
            }
            let lane = *of_client.entry(client_id).or_insert_with(|| {
                lanes.push(Vec::new());
                lanes.len() - 1
            });
            lanes[lane].push(Message {
                subject: self.subject.subject(node, &line.tells),
                id,
                headers: vec![("Rollcall-Node", node.to_owned()), ("Rollcall-Sink", self.sink.clone())],
                body: line.json.clone().into(),
            });
        }
        lanes
    }
}

struct Teller {
    stream: Stream,
    host: Arc<dyn Host>,
    /// What the stream has of a batch that it hasn't all of: told again when JetStream has forgotten its id, it would be there twice.
    taken: Mutex<HashSet<String>>,
}

#[async_trait::async_trait]
impl Target for Teller {
    async fn tell(&self, batch: &Batch) -> Outcome {
        // What is missing may be anybody's: what comes behind a gap waits until that is told.
        let pieces = batch.lines.chunk_by(|a, b| matches!((&a.tells, &b.tells), (Tells::Event(_), Tells::Event(_))));
        for lines in pieces {
            let lanes = self.stream.lanes(self.host.node(), lines, &self.taken.lock());
            let note = |id: &str| {
                self.taken.lock().insert(id.to_owned());
            };
            match self.stream.publisher.publish(lanes, self.stream.at_once, note).await {
                Ok(()) => {}
                Err(Unpublished::NotNow(why)) => return Outcome::NotNow { why, after: None },
                Err(Unpublished::Refused(why)) => return Outcome::Refused { why, is_for_content: true },
            }
        }
        self.taken.lock().clear();
        Outcome::Taken
    }
}
