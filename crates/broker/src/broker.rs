//! What all connections share.

use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Weak};

use mqtt_hooks::Hooks;
use mqtt_router::Retained;
use mqtt_session::{Gauge, Publication};
use tokio::runtime::Handle;

use crate::client::clients::Clients;
use crate::client::connection::Awaited;
use crate::client::{Client, ClientRef};
use crate::coming::banned::Banned;
use crate::coming::doors::Doors;
use crate::config::Config;
use crate::delivery::batch::Workplaces;
use crate::delivery::routes::Routes;
use crate::store::durable::Durable;
use crate::store::past::Past;
use crate::time::clock::Clock;
use crate::time::deadlines::Deadlines;
use crate::watch::memory::Memory;
use crate::watch::refusals::Refused;
use crate::watch::{Watched, machine};

/// With fewer worker threads than this, cutting a fan-out in pieces costs more than it gains.
const MANY_WORKERS: usize = 4;

/// The broker: clients, subscriptions, retained messages, hooks.
pub(crate) struct Broker {
    pub(crate) config: Config,
    pub(crate) session_config: Arc<mqtt_session::Config>,
    pub(crate) clock: Clock,
    pub(crate) clients: Clients<ClientRef>,
    pub(crate) routes: Routes<ClientRef>,
    pub(crate) retained: Retained<Arc<Publication>>,
    /// A retained message with a message expiry has come since expired ones were last dropped.
    pub(crate) retained_expire: AtomicBool,
    pub(crate) hooks: Arc<Hooks>,
    pub(crate) deadlines: Deadlines<Weak<Client>, Awaited>,
    pub(crate) workplaces: Workplaces,
    pub(crate) doors: Doors,
    pub(crate) watched: Watched,
    /// Where a long fan-out may be flushed by several; `None`: there are too few.
    pub(crate) workers: Option<Handle>,
    pub(crate) durable: Durable,
}

impl Broker {
    pub(crate) fn new(config: Config, durable: Durable, past: &Past) -> Self {
        let limits = &config.limits;
        let (share, kept) = (Arc::default(), Gauge::default());
        let memory = limits.memory.unwrap_or_else(machine::memory_for_us);
        let memory = Memory::new(memory, Arc::clone(&share), kept.clone());
        let session_config = Arc::new(mqtt_session::Config {
            receive_maximum: limits.receive_maximum,
            topic_alias_maximum: limits.topic_alias_maximum,
            outgoing_aliases: limits.outgoing_aliases,
            max_inflight: limits.max_inflight,
            max_queued: config.session.max_queued,
            max_queued_bytes: config.session.max_queued_bytes,
            max_stored: limits.retained_messages,
            max_outbox: limits.outbox,
            is_stored: durable.is_there(),
            share,
            kept,
        });
        Self {
            session_config,
            clock: Clock::new(past.alive),
            clients: Clients::default(),
            routes: Routes::default(),
            retained: Retained::new(limits.retained_messages),
            retained_expire: AtomicBool::new(false),
            hooks: Hooks::new(),
            deadlines: Deadlines::default(),
            workplaces: Workplaces::default(),
            watched: Watched::new(memory),
            doors: Doors::new(Banned::load(&durable), config.mqtt.max_connections),
            workers: Handle::try_current().ok().filter(|runtime| runtime.metrics().num_workers() >= MANY_WORKERS),
            durable,
            config,
        }
    }

    /// Tells of a refusal, in the log.
    pub(crate) fn tell_refused(&self, refused: &Refused<'_>) {
        self.watched.refusals.tell(refused, self.clock.uptime_ms());
    }
}

impl std::fmt::Debug for Broker {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Broker").field("node", &self.config.node).finish_non_exhaustive()
    }
}
