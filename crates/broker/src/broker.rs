//! What all connections share.

use std::sync::{Arc, Weak};

use arc_swap::{ArcSwap, Guard};
use mqtt_hooks::Hooks;
use mqtt_session::Gauge;

use crate::client::clients::Clients;
use crate::client::connection::Awaited;
use crate::client::{Client, ClientRef};
use crate::cluster::Membership;
use crate::coming::banned::Banned;
use crate::coming::doors::Doors;
use crate::coming::entrance::Entrance;
use crate::config::{Config, Fixed, ListenerLimits};
use crate::delivery::batch::Workplaces;
use crate::delivery::retained::RetainedMessages;
use crate::delivery::routes::Routes;
use crate::store::durable::Durable;
use crate::store::past::Past;
use crate::terms::Terms;
use crate::time::clock::Clock;
use crate::time::deadlines::Deadlines;
use crate::watch::Watched;
use crate::watch::memory::Memory;
use crate::watch::refusals::Refused;

/// What the broker is made of. Whoever needs some of it is given these parts and not all of it; what is about all, a client's
/// coming and going, a publication's way and what is taken back at the start, has its methods where that is.
pub(crate) struct Broker {
    pub(crate) config: Fixed,
    terms: ArcSwap<Terms>,
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
        let session = mqtt_session::Config {
            max_stored: limits.retained_messages,
            is_stored: durable.is_there(),
            share: Arc::clone(&share),
            kept: kept.clone(),
            ..mqtt_session::Config::default()
        };
        let terms = Terms::new(&config, session);
        let memory = Memory::new(terms.memory(), share, kept.clone());
        let doors = Doors::new(Banned::load(&durable), &terms, config.anonymous);
        Self {
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
            terms: ArcSwap::from_pointee(terms),
            config: config.into(),
        }
    }

    /// What holds for clients now.
    pub(crate) fn terms(&self) -> Guard<Arc<Terms>> {
        self.terms.load()
    }

    /// What of this need not wait for a restart holds from now on. One at a time.
    pub(crate) fn set_terms(&self, config: &Config) {
        let terms = Arc::new(Terms::new(config, mqtt_session::Config::clone(&self.terms().session)));
        self.terms.store(Arc::clone(&terms));
        self.watched.memory.set_limit(terms.memory());
        // Behind that: a listener that is added meanwhile has the new ones, or is renewed here.
        self.doors.renew(&terms);
    }

    /// Makes a listener known, for which these bounds of its own hold.
    pub(crate) fn add_listener(&self, open: &Arc<mqtt_net::Listener>, own: &ListenerLimits) -> Arc<Entrance> {
        self.doors.add(open, own, &self.terms)
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
