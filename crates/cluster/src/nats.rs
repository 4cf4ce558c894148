//! A log in NATS JetStream: one stream of three replicas.

mod fitness;
mod snapshots;
mod wire;

use std::future::ready;
use std::time::Duration;

use async_nats::jetstream::consumer::push::{Ordered, OrderedConfig};
use async_nats::jetstream::consumer::{DeliverPolicy, ReplayPolicy};
use async_nats::jetstream::context::Context;
use async_nats::jetstream::stream::{self, DiscardPolicy, RetentionPolicy, StorageType};
use async_nats::jetstream::{ErrorCode, context};
use async_nats::{Client, ConnectOptions, ReconnectToServer, Server, ServerAddr};
use bytes::Bytes;
use futures_util::StreamExt;
use mqtt_roll::MAX_BATCH;
use parking_lot::Mutex;
use rustls::ClientConfig;

use crate::{Entry, Log, LogError, Reader};
use snapshots::Snapshots;
pub use wire::{NatsInbox, NatsWire};

/// How the servers are reached, and what the stream is.
#[derive(Clone)]
pub struct NatsConfig {
    /// `nats://host:port`, with `user:password@` or `token@` where that is asked for; one is enough to find the others.
    pub servers: Vec<String>,
    /// User and password, where they do not stand there.
    pub login: Option<(String, String)>,
    /// Where the servers' monitoring is, `host:port`: it alone tells whether they sync what they acknowledge.
    pub monitors: Vec<String>,
    /// For `tls://` and for servers that ask for TLS.
    pub tls: Option<ClientConfig>,
    /// Of the cluster: the stream is `ROLL_name`, its subject `roll.name`; snapshots are in `ROLL_name_SNAPSHOTS`.
    pub cluster: String,
    /// Of each batch.
    pub replicas: usize,
    /// What the stream may hold; the oldest goes first.
    pub max_bytes: i64,
    /// Goes on with servers that may lose what they have acknowledged.
    pub is_unsafe: bool,
}

/// The stream, by one connection of its own.
#[derive(Clone, Debug)]
pub struct NatsLog {
    client: Client,
    context: Context,
    stream: String,
    subject: String,
    snapshots: Snapshots,
}

/// A consumer of the stream that keeps nothing at the server.
pub struct NatsReader(Ordered);

impl NatsConfig {
    /// With what is usual.
    pub fn new(cluster: impl Into<String>, servers: Vec<String>) -> Self {
        Self {
            servers,
            login: None,
            monitors: Vec::new(),
            tls: None,
            cluster: cluster.into(),
            replicas: 3,
            max_bytes: 2 * 1024 * 1024 * 1024,
            is_unsafe: false,
        }
    }

    fn options(&self) -> ConnectOptions {
        let last = Mutex::new(None);
        let options = ConnectOptions::new()
            .name(format!("rollcall {}", self.cluster))
            // Others count us for dead after 3 s, so a server that is there and says nothing is left before that: the third ping
            // that waits for its answer ends the connection.
            .ping_interval(Duration::from_millis(300))
            .connection_timeout(Duration::from_secs(1))
            .request_timeout(Some(Duration::from_secs(2)))
            .reconnect_to_server_callback(move |servers, _| ready(next_server(&servers, &mut last.lock())))
            .max_reconnects(None);
        let options = match &self.login {
            Some((user, password)) => options.user_and_password(user.clone(), password.clone()),
            None => options,
        };
        match &self.tls {
            Some(tls) => options.tls_client_config(tls.clone()),
            None => options,
        }
    }

    fn stream(&self, name: &str, subject: &str) -> stream::Config {
        stream::Config {
            name: name.into(),
            subjects: vec![subject.into()],
            description: Some("Who is online at which node".into()),
            retention: RetentionPolicy::Limits,
            storage: StorageType::File,
            // What is oldest goes: whoever would need it is told that there is a gap.
            discard: DiscardPolicy::Old,
            max_bytes: self.max_bytes,
            max_message_size: MAX_BATCH as i32,
            num_replicas: self.replicas,
            deny_delete: true,
            deny_purge: true,
            ..stream::Config::default()
        }
    }
}

impl NatsLog {
    /// Connects, and looks at the servers and the stream, which is made if there is none.
    ///
    /// # Errors
    /// No server answers, or what is there is not fit and the configuration does not say that this is known.
    pub async fn connect(config: &NatsConfig) -> Result<Self, LogError> {
        if config.cluster.is_empty() || config.cluster.contains(|letter: char| !letter.is_ascii_alphanumeric()) {
            return Err(unfit(
                format!("`{}` can't be a cluster's name", config.cluster),
                "give it letters and digits alone",
            ));
        }
        fitness::check_servers(config).await?;
        let client = config.options().connect(&config.servers[..]).await.map_err(away)?;
        let mut context = async_nats::jetstream::new(client.clone());
        context.set_timeout(Duration::from_secs(2));
        let stream = format!("ROLL_{}", config.cluster);
        let subject = format!("roll.{}", config.cluster);
        open_stream(&context, config, config.stream(&stream, &subject)).await?;
        let snapshots = Snapshots::open(&context, config).await?;
        Ok(Self { client, context, stream, subject, snapshots })
    }

    /// Of the server that it is connected to.
    pub fn server_version(&self) -> String {
        self.client.server_info().version
    }

    /// Closes the connection, as far as it can.
    pub async fn close(&self) {
        let _ = self.client.drain().await;
    }
}

impl Log for NatsLog {
    type Reader = NatsReader;

    async fn append(&self, batch: Bytes) -> Result<(), LogError> {
        // While there is no connection, what is published would wait and come in a heap when there is one again.
        if self.client.connection_state() != async_nats::connection::State::Connected {
            return Err(LogError::Away("no connection to a server".into()));
        }
        let answer = self.context.publish(self.subject.clone(), batch).await.map_err(away)?;
        answer.await.map(drop).map_err(away)
    }

    async fn read_from(&self, position: u64) -> Result<NatsReader, LogError> {
        let config = OrderedConfig {
            deliver_subject: self.client.new_inbox(),
            deliver_policy: DeliverPolicy::ByStartSequence { start_sequence: position },
            replay_policy: ReplayPolicy::Instant,
            ..OrderedConfig::default()
        };
        let stream = self.context.get_stream_no_info(&self.stream).await.map_err(away)?;
        let consumer = stream.create_consumer(config).await.map_err(away)?;
        consumer.messages().await.map(NatsReader).map_err(away)
    }

    async fn end(&self) -> Result<u64, LogError> {
        // The stream's leader answers, so nothing that it has acknowledged is missing.
        let stream = self.context.get_stream(&self.stream).await.map_err(away)?;
        Ok(stream.cached_info().state.last_sequence)
    }

    async fn save(&self, position: u64, snapshot: Bytes) -> Result<(), LogError> {
        self.snapshots.save(position, snapshot).await
    }

    async fn saved(&self) -> Result<Option<Bytes>, LogError> {
        self.snapshots.load().await
    }
}

/// Makes the stream, or takes the one that is there, if it is fit.
async fn open_stream(context: &Context, config: &NatsConfig, wanted: stream::Config) -> Result<(), LogError> {
    let name = wanted.name.clone();
    let found = context.get_or_create_stream(wanted).await.map_err(|why| match why.kind() {
        context::CreateStreamErrorKind::JetStream(error)
            if error.error_code() == ErrorCode::STREAM_REPLICAS_NOT_SUPPORTED =>
        {
            unfit(
                format!("the stream {name} can't be made with {} replicas: {error}", config.replicas),
                "run three nats-servers as one cluster with JetStream",
            )
        }
        _ => away(why),
    })?;
    fitness::check_stream(config, &found.cached_info().config)
}

impl Reader for NatsReader {
    async fn next(&mut self) -> Result<Entry, LogError> {
        let message =
            self.0.next().await.ok_or_else(|| LogError::Away("the consumer is gone".into()))?.map_err(away)?;
        let position = message.info().map_err(|why| LogError::Away(why.to_string()))?.stream_sequence;
        Ok(Entry { position, batch: message.payload.clone() })
    }
}

/// Another one than the last time, the one that has failed least often: a server that hangs takes connections and a second each.
fn next_server(servers: &[Server], last: &mut Option<ServerAddr>) -> Option<ReconnectToServer> {
    let others = servers.iter().filter(|server| servers.len() == 1 || last.as_ref() != Some(&server.addr));
    let next = others.min_by_key(|server| server.failed_attempts)?;
    *last = Some(next.addr.clone());
    let delay = Duration::from_millis(50).saturating_mul(next.failed_attempts.min(5) as u32);
    Some(ReconnectToServer { addr: next.addr.clone(), delay: Some(delay) })
}

fn away(why: impl std::fmt::Display) -> LogError {
    LogError::Away(why.to_string())
}

fn unfit(what: String, fix: &str) -> LogError {
    LogError::Unfit { what, fix: fix.into() }
}
