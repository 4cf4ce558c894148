//! What all connections share.

use std::sync::{Arc, Weak};

use mqtt_hooks::Hooks;
use mqtt_session::Gauge;

use crate::client::clients::Clients;
use crate::client::connection::Awaited;
use crate::client::{Client, ClientRef};
use crate::cluster::Membership;
use crate::coming::banned::Banned;
use crate::coming::doors::Doors;
use crate::config::Config;
use crate::delivery::batch::Workplaces;
use crate::delivery::retained::RetainedMessages;
use crate::delivery::routes::Routes;
use crate::store::durable::Durable;
use crate::store::past::Past;
use crate::time::clock::Clock;
use crate::time::deadlines::Deadlines;
use crate::watch::memory::Memory;
use crate::watch::refusals::Refused;
use crate::watch::{Watched, machine};

/// What the broker is made of. Whoever needs some of it is given these parts and not all of it; what is about all, a client's
/// coming and going, a publication's way and what is taken back at the start, has its methods where that is.
pub(crate) struct Broker {
    pub(crate) config: Config,
    pub(crate) session_config: Arc<mqtt_session::Config>,
    pub(crate) clock: Clock,
    pub(crate) deadlines: Deadlines<Weak<Client>, Awaited>,
    pub(crate) doors: Doors,
    pub(crate) clients: Clients<ClientRef>,
    pub(crate) routes: Routes<ClientRef>,
    pub(crate) retained: RetainedMessages,
    pub(crate) workplaces: Workplaces,
    pub(crate) durable: Durable,
    pub(crate) hooks: Arc<Hooks>,
    pub(crate) watched: Watched,
    pub(crate) membership: Membership,
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
            kept: kept.clone(),
        });
        let doors = Doors::new(Banned::load(&durable), &config, &session_config);
        Self {
            session_config,
            clock: Clock::new(past.alive),
            clients: Clients::default(),
            routes: Routes::default(),
            retained: RetainedMessages::new(limits.retained_messages, kept),
            hooks: Hooks::new(),
            deadlines: Deadlines::default(),
            workplaces: Workplaces::default(),
            watched: Watched::new(memory),
            membership: Membership::default(),
            doors,
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
